#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A week of signing, with and without pkcs11signer-sign-ahead: docs/signature-store.svg.

Needs ./setup.sh --tests to have run. Two servers run side by side, each with a token and an empty store of its
own, a client that asks steadily, and libfaketime: their calendar is SPEED times as fast, set in steps of
a quarter of an hour. Everything else is not: the token, timeouts, CLOCK_MONOTONIC.

So what counts is how much of the calendar the token needs for the whole zone, HOSTS * SIGN_MS * SPEED:
as long as a card that makes two a second needs for EQUIVALENT names. ahead/pace.h does the same with both: in
either case what limits is the twentieth of the token's time that it does not hold back, as there would
be five days. The looks through the store, every P11S_AHEAD_LOOK_MS, are ten hours of the calendar apart.
"""
import argparse
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "regression-tests"))

import compiled  # noqa: E402
import weekdraw  # noqa: E402
from harness import programs, zones  # noqa: E402
from harness.backends import Gsqlite3  # noqa: E402
from harness.clock import DAY, WEEK, Clock, week_of  # noqa: E402
from harness.identity import service_identity  # noqa: E402
from harness.place import Place  # noqa: E402
from harness.publish import publish  # noqa: E402
from harness.runner import Runner  # noqa: E402
from harness.site import Site  # noqa: E402
from harness.speed import single_key, statistics  # noqa: E402
from harness.transcript import Transcript  # noqa: E402
from progress import Progress  # noqa: E402
from slow import SlowToken  # noqa: E402
from steady import Client  # noqa: E402

HOUR = 3600
SPEED = 7200          # an hour of the calendar in half a second
STEP = 0.125          # seconds between two settings of the clock: a quarter of an hour
FROM, DAYS = DAY // 2, 9.5  # since a week's beginning
HOSTS = 120
SIGN_MS = 20
QUERIES = 200         # a second
TIMEOUT_MS = 100      # pkcs11signer-timeout
EQUIVALENT = HOSTS * SIGN_MS * SPEED // 500
THREADS = {"receiver-threads": "8", "distributor-threads": "1"}


@dataclass(frozen=True)
class Sample:
    """Since the start, at a moment of the server's calendar."""
    moment: float
    asked: int  # signatures for somebody who waited
    ahead: int
    refused: int


class Server:
    """One installation and its clock."""

    def __init__(self, directory: Path, weeks: int):
        place = Place(directory / f"ahead{weeks}", service_identity())
        runner = Runner(place.root, place.identity, Transcript())
        self.site = Site(place, runner, Gsqlite3(place))
        control = place.file("slow")
        runner.environment["P11SLOW_MODULE"] = str(self.site.hsm.library)
        runner.environment["P11SLOW_CONTROL"] = str(control)
        self.token = SlowToken(control)
        self.site.hsm.add_module("softhsm2", compiled.slow_module(place.root))
        self.clock = Clock(place)
        self.clock.set(week_of(time.time()) + WEEK + FROM)
        self.site.add_zone(zones.many(zones.SIGNED, HOSTS))
        single_key(self.site, zones.SIGNED, self.site.token("signing"))
        self.site.set(pkcs11signer_sign_ahead=str(weeks), pkcs11signer_sessions="1",
                      pkcs11signer_timeout=str(TIMEOUT_MS), loglevel="4")
        self.server = self.site.start_server(settings=THREADS, env=self.clock.environment)
        self.samples: list[Sample] = []

    def run(self, begin: float, client: Client) -> None:
        """All the days, from `begin` of the calendar on."""
        names = [f"host{i}.{zones.SIGNED}" for i in range(HOSTS)]
        self.clock.set(begin)
        started = time.monotonic()
        with self.token.delayed(sign_ms=SIGN_MS), client.asking(self.server.port, names, QUERIES):
            while self.clock.now() < begin + DAYS * DAY:
                self.clock.set(begin + (time.monotonic() - started) * SPEED)
                moment = self.clock.now()
                if not self.samples or moment // HOUR > self.samples[-1].moment // HOUR:
                    self._sample(moment, client)
                time.sleep(STEP)
        self.server.assert_alive()

    def _sample(self, moment: float, client: Client) -> None:
        now = statistics(self.server)
        self.samples.append(Sample(moment, now["signatures"] - now["ahead-signatures"],
                                   now["ahead-signatures"], client.refused))


@dataclass(frozen=True)
class Run:
    weeks: int
    samples: list
    turn: float
    sent: int
    unanswered: int
    refused: int

    def between(self, first: float, last: float) -> Sample:
        """What happened from `first` to `last` hours after the turn."""
        def at(hours):
            return max((s for s in self.samples if s.moment <= self.turn + hours * HOUR),
                       key=lambda s: s.moment, default=self.samples[0])
        a, b = at(first), at(last)
        return Sample(b.moment - a.moment, b.asked - a.asked, b.ahead - a.ahead, b.refused - a.refused)

    def done_before(self) -> float:
        """How many hours before the turn the last of those signed ahead was there."""
        most = max(s.ahead for s in self.samples if s.moment <= self.turn)
        return (self.turn - min(s.moment for s in self.samples if s.ahead >= most)) / HOUR

    def most_in_an_hour(self) -> float:
        """Of those signed ahead."""
        return max((b.ahead - a.ahead) * HOUR / (b.moment - a.moment)
                   for a, b in zip(self.samples, self.samples[1:]))


def measure() -> list[Run]:
    programs.our_module()
    directory = Path(tempfile.mkdtemp(prefix="p11s-week-"))
    directory.chmod(0o711)
    publish(directory)
    servers: list[Server] = []
    try:
        for weeks in (0, 1):
            servers.append(Server(directory, weeks))
        return _side_by_side(servers)
    finally:
        for server in servers:
            server.site.discard()
        shutil.rmtree(directory, ignore_errors=True)


def _side_by_side(servers: list) -> list[Run]:
    begin = week_of(servers[0].clock.now()) + FROM
    clients = [Client() for _ in servers]
    threads = [threading.Thread(target=s.run, args=(begin, c)) for s, c in zip(servers, clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = [Run(weeks, s.samples, begin - FROM + WEEK, c.sent, c.sent - c.answered, c.refused)
            for weeks, (s, c) in enumerate(zip(servers, clients))]
    for run in runs:
        if not run.samples or run.samples[-1].moment < run.turn + DAY:
            raise SystemExit("a run ended before its time")
    return runs


def report(run: Run) -> str:
    before, turn, after = run.between(-WEEK, -1), run.between(-1, 24), run.between(24, 10 * 24)
    lines = [f"pkcs11signer-sign-ahead={run.weeks}: {run.sent} queries, {run.unanswered} not answered,"
             f" {run.refused} SERVFAIL; at most {run.most_in_an_hour():.1f} an hour signed ahead"]
    if before.ahead:
        lines.append(f"  all were signed ahead {run.done_before():.0f} hours before the turn")
    for name, part in (("until an hour before the turn", before), ("then, until a day after it", turn), ("later", after)):
        lines.append(f"  {name}: {part.asked} signatures that somebody waited for, {part.ahead} ahead,"
                     f" {part.refused} SERVFAIL")
    return "\n".join(lines)


def main(argv) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--svg", type=Path, default=programs.REPOSITORY / "docs/signature-store.svg")
    options = parser.parse_args(argv)
    progress = Progress(1)
    progress(f"{DAYS} days of two servers, {DAYS * DAY / SPEED:.0f} s")
    runs = measure()
    progress.done()
    print(f"the whole zone: {HOSTS * SIGN_MS * SPEED / HOUR / 1000:.1f} hours of the token, as {EQUIVALENT} names"
          " with two signatures a second")
    for run in runs:
        print(report(run))
    weekdraw.draw(runs, options.svg)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
