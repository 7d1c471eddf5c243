# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures as the rows of a table, each with what was to be reached."""
from dataclasses import dataclass

import answers
import busy
import cold
import machine
import start
import store
import waiting
import zones
from installation import ALGORITHMS, BUILT_IN, MODULE, P256, PLAIN, RSA, SOFTWARE, ZONE


@dataclass(frozen=True)
class Row:
    what: str
    built_in: str
    module: str
    goal: str = ""
    reached: bool | None = None

    def cells(self) -> list[str]:
        return [self.what, self.built_in, self.module, self.goal, VERDICTS[self.reached]]


VERDICTS = {None: "", True: "yes", False: "**no**"}
THREADS = f"`{waiting.name_of(waiting.MANY_RECEIVERS)}`"
HEAD = ["", "built-in engine", "pkcs11signer", "goal", "reached"]


def goals(r) -> list[Row]:
    """r: Results."""
    rows = [_calls(r, a.name) for a in ALGORITHMS]
    rows += [_ratio(r, f"warm answers/s against software keys, {a.name}", "warm",
                    ("warm", SOFTWARE, a.name), a.name, 1.0) for a in ALGORITHMS]
    rows += [_slow_calls(r, a.name) for a in ALGORITHMS]
    rows += [
        *_cold_rsa(r),
        *_cold_p256(r),
        *_slow_signatures(r),
        _one_name(r),
        *_zones(r),
        *_store(r),
        *_start(r)]
    return rows


def _calls(r, algorithm: str) -> Row:
    ours = r.get("calls", MODULE, algorithm)
    return Row(f"PKCS#11 calls for a warm answer, {algorithm}",
               f"{r.get('calls', BUILT_IN, algorithm):.2g}", f"{ours:.2g}", "0", ours == 0)


def _ratio(r, what: str, kind: str, below: tuple, algorithm: str, goal: float) -> Row:
    theirs, ours = (r.ratio((kind, engine, algorithm), below) for engine in (BUILT_IN, MODULE))
    return Row(what, f"{theirs:.2f}", f"{ours:.2f}", f"≥ {goal:g}", ours >= goal)


def _cold_rsa(r) -> list[Row]:
    theirs, ours = (r.get("of raw", engine, RSA.name) for engine in (BUILT_IN, MODULE))
    most, _ = _most(r, RSA)
    return [
        Row(f"cold {RSA.name} signatures/s against the raw token with {answers.SESSIONS} threads,"
            f" {THREADS}", f"{theirs:.2f}", f"{ours:.2f}", "≥ 0.85", ours >= 0.85),
        Row("the most that row can be on these CPUs", "",
            f"{most / r.get('raw', RSA.name):.2f}")]


def _cold_p256(r) -> list[Row]:
    theirs = ("cold, enough threads", BUILT_IN, P256.name)
    what = f"cold {P256.name} signatures/s against the built-in engine, {THREADS}"
    rows = []
    for run, text in ((MODULE, ""), (cold.UNVERIFIED, ", `pkcs11signer-verify=no`"),
                      (cold.NO_STORE, ", `pkcs11signer-store=none`")):
        ours = r.ratio(("cold, enough threads", run, P256.name), theirs)
        goal = ("≥ 2", ours >= 2) if run == MODULE else ("", None)
        rows.append(Row(what + text, "1.00", f"{ours:.2f}", *goal))
    most = [each / r.get(*theirs) for each in _most(r, P256)]
    rows.insert(1, Row("the most that row can be on these CPUs; without verification",
                       "", f"{most[0]:.2f}; {most[1]:.2f}"))
    return rows


def _most(r, algorithm) -> tuple[float, float]:
    """Answers a second if queueing cost nothing and no CPU ever idled, with and without
    verification: server, load and token are on the same CPUs, so their times add up."""
    cpus = machine.cpus()
    seconds = (1 / r.get("cold, enough threads", SOFTWARE, P256.name)
               - r.get("libcrypto", "sign", P256.name) / cpus + 1 / r.get("raw", algorithm.name))
    verify = (r.get("P-256", "verify-with-table") if algorithm == P256
              else r.get("libcrypto", "verify", algorithm.name))
    return 1 / (seconds + verify / cpus), 1 / seconds


def _slow_calls(r, algorithm: str) -> Row:
    theirs, ours = (r.ratio(("warm 1 ms", engine, algorithm), ("warm", engine, algorithm))
                    for engine in (BUILT_IN, MODULE))
    return Row(f"warm answers/s, every PKCS#11 call taking 1 ms against none, {algorithm}",
               f"{theirs:.3f}", f"{ours:.2f}", "≥ 0.95", ours >= 0.95)


def _slow_signatures(r) -> list[Row]:
    rows = []
    for threads in waiting.THREADS:
        ours = r.get("slow signatures", MODULE, threads)
        theirs = ("slow signatures", BUILT_IN, threads)
        first = threads == waiting.THREADS[0]
        rows.append(Row(f"signatures/s, {waiting.SIGN_MS} ms each, {answers.SESSIONS} sessions,"
                        f" `{waiting.name_of(threads)}`",
                        f"{r.get(*theirs):.0f}" if r.has(*theirs) else "", f"{ours:.0f}",
                        "≥ 360" if first else "", ours >= 360 if first else None))
    return rows


def _one_name(r) -> Row:
    ours = r.get("one name", MODULE)
    return Row(f"signatures by the token when {waiting.CLIENTS} clients ask one cold name at once",
               f"{r.get('one name', BUILT_IN):.0f}", f"{ours:.0f}", "1", ours == 1)


def _zones(r) -> list[Row]:
    look_ups, searches = r.get("look-ups"), r.get("searches")
    zone = r.get("bytes a zone", zones.NO_KEY)
    ours, software = (r.get("bytes a zone", engine) - zone for engine in (MODULE, SOFTWARE))
    return [
        Row(f"look-ups on the token for {zones.ZONES:,} zones that share one key"
            f" (`C_FindObjectsInit`, private half and public half: {searches:.0f})",
            "", f"{look_ups:.0f}", "1", look_ups == 1),
        Row(f"memory for a zone's reference (a software key: {software:.0f} bytes;"
            f" what PowerDNS keeps of a zone without a key: {zone:.0f})",
            "", f"{ours:.0f} bytes", "< 1024", ours < 1024)]


def _store(r) -> list[Row]:
    value = {name: r.get("store", name) for name in ("median", "p99", "mib", "open", "recover")}
    return [
        Row(f"look-up in a store of {store.RECORDS:,} signatures, p99 (median {value['median']:.1f} µs)",
            "", f"{value['p99']:.1f} µs", f"< {store.GOAL_US} µs", value["p99"] < store.GOAL_US),
        Row(f"opening that store ({value['mib']:.0f} MiB); after a kill", "",
            f"{value['open'] * 1000:.0f} ms; {value['recover']:.1f} s")]


def _start(r) -> list[Row]:
    theirs, ours = (r.get("first answer", engine) * 1000 for engine in (BUILT_IN, MODULE))
    ratio = r.ratio(("first answer", MODULE), ("first answer", BUILT_IN))
    token = r.get("bytes a token") / 2**20
    return [
        Row("first signed answer after a start, against the built-in engine", f"1.00 ({theirs:.1f} ms)",
            f"{ratio:.2f} ({ours:.1f} ms)", "≤ 1.5", ratio <= 1.5),
        Row(f"memory for each further token, with {start.TOKENS} that have signed", "", f"{token:.2f} MiB", "< 2 MiB",
            token < 2)]


ABSOLUTE_HEAD = ["answers per second (server CPU time per answer)",
                 *(f"{kind}, {a.name}" for kind in ("warm", "cold", f"cold, {THREADS}")
                   for a in ALGORITHMS)]


def absolute(r) -> list[list[str]]:
    rows = [[engine] + [_rate(r, kind, engine, a.name)
                        for kind in ("warm", "cold", "cold, enough threads") for a in ALGORITHMS]
            for engine in cold.RUNS]
    rows.append([f"the token by itself, {answers.SESSIONS} threads"] + [""] * 4 +
                [f"{r.get('raw', a.name):,.0f}" for a in ALGORITHMS])
    rows.append(["libcrypto by itself, one CPU: a signature; its verification"] + [""] * 4 +
                ["; ".join(f"{r.get('libcrypto', what, a.name) * 1e6:.0f} µs"
                           for what in ("sign", "verify")) for a in ALGORITHMS])
    micro = {what: r.get("P-256", what) * 1e6 for what in ("verify", "verify-with-table", "table")}
    rows.append(["the module's verification: by libcrypto; with the key's table; making that table"]
                + [""] * 4 + [f"{micro['verify']:.0f} µs; {micro['verify-with-table']:.0f} µs; "
                              f"{micro['table'] / 1000:.0f} ms", ""])
    return rows


def _rate(r, *key) -> str:
    if not r.has(*key):
        return ""
    return f"{r.get(*key):,.0f} ({r.get('cpu', *key):.0f} µs)"


BUSY_HEAD = ["p99 while all sessions sign, against idle", "threads", "`cache-ttl`", "cold queries",
             "unsigned answers", "warm answers", "goal", "reached"]


def while_signing(r) -> list[list[str]]:
    """Answers that need no signature; threads are `receiver-threads` × `distributor-threads`."""
    rows = []
    for case in busy.CASES:
        times = [[r.get("busy", 99, zone, state, case.engine, str(case)) for state in ("idle", "busy")]
                 for zone in (PLAIN, ZONE)]
        reached = all(full <= 2 * idle for idle, full in times) if case.recommended else None
        rows.append([case.engine, f"{case.receivers}×{case.distributors}", f"{case.cache_ttl}", f"{case.cold}",
                     *(f"{full / idle:.1f} ({idle:.2f} → {full:.2f} ms)" for idle, full in times),
                     "≤ 2" if case.recommended else "", VERDICTS[reached]])
    return rows


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)
