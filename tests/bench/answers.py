# SPDX-License-Identifier: GPL-2.0-or-later
"""Cold and warm answers of the three engines, and the token by itself."""
from installation import ALGORITHMS, BUILT_IN, MODULE, P256, RSA, SOFTWARE, ZONE
from process import cpu_seconds

UNVERIFIED = "module, verify=no"
SESSIONS = 8  # the module's default
COLD_NAMES = {P256: 10_000, RSA: 3_000}
WARM_NAMES = 1_000
WARM_SECONDS = 2.0
RAW_SECONDS = 1.5

STEPS_A_ROUND = len(ALGORITHMS) * 5


def measure(bench) -> None:
    """One round."""
    for algorithm in ALGORITHMS:
        raw(bench, algorithm)
        for engine in (SOFTWARE, BUILT_IN, MODULE):
            bench.progress(f"{algorithm.name}, {engine}: cold, warm, warm with 1 ms a call")
            with bench.server(engine, algorithm) as server:
                cold(bench, server, engine, algorithm)
                warm(bench, server, engine, algorithm)
                if engine != SOFTWARE:
                    warm_and_slow(bench, server, engine, algorithm)
        bench.progress(f"{algorithm.name}, {UNVERIFIED}: cold")
        with bench.server(MODULE, algorithm, pkcs11signer_verify="no") as server:
            cold(bench, server, UNVERIFIED, algorithm)


def raw(bench, algorithm) -> None:
    bench.progress(f"{algorithm.name}, the token by itself")
    bench.results.add(bench.raw_signatures(algorithm, SESSIONS, RAW_SECONDS), "raw", algorithm.name)


def loaded(bench, server, *key, **how):
    before = cpu_seconds(server.daemon.pid)
    run = bench.load.run(server, **how).assert_all_answered()
    used = cpu_seconds(server.daemon.pid) - before
    bench.results.add(run.rate, *key)
    bench.results.add(used * 1e6 / run.completed, "cpu", *key)
    return run


def cold(bench, server, engine, algorithm) -> None:
    bench.load.first_answer(server, ZONE)
    names = bench.load.names((ZONE, 0, COLD_NAMES[algorithm]))
    loaded(bench, server, "cold", engine, algorithm.name, questions=names, passes=1)


def warm(bench, server, engine, algorithm) -> None:
    """Of names that `cold` has asked for."""
    before = bench.slow.total()
    run = loaded(bench, server, "warm", engine, algorithm.name, questions=warm_names(bench),
                 seconds=WARM_SECONDS)
    calls = bench.slow.total() - before
    bench.results.add(calls / run.completed, "calls", engine, algorithm.name)


def warm_and_slow(bench, server, engine, algorithm) -> None:
    with bench.slow.delayed(call_ms=1):
        loaded(bench, server, "warm 1 ms", engine, algorithm.name, questions=warm_names(bench),
               seconds=WARM_SECONDS)


def warm_names(bench):
    return bench.load.names((ZONE, 0, WARM_NAMES))
