# SPDX-License-Identifier: GPL-2.0-or-later
"""Cold and warm answers of the three engines, with PowerDNS's default threads."""
from statistics import mean

from installation import ALGORITHMS, BUILT_IN, MODULE, P256, RSA, SOFTWARE, ZONE
from process import cpu_seconds

SESSIONS = 8  # the module's default
COLD_NAMES = {P256: 10_000, RSA: 3_000}
WARM_NAMES = 1_000
WARM_SECONDS, WARM_TURNS = 1.0, 3
STEPS_A_ROUND = len(ALGORITHMS) * 3


def measure(bench) -> None:
    """One round."""
    for algorithm in ALGORITHMS:
        for engine in (SOFTWARE, BUILT_IN, MODULE):
            bench.progress(f"{algorithm.name}, {engine}: cold, warm, warm with 1 ms a call")
            with bench.server(engine, algorithm) as server:
                cold(bench, server, engine, algorithm)
                warm(bench, server, engine, algorithm)


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
    """Of names that `cold` has asked for, with a fast and a slow token in turn."""
    names, key = warm_names(bench), (engine, algorithm.name)
    rates, calls, answers, used = {0: [], 1: []}, 0, 0, 0.0
    for _ in range(WARM_TURNS):
        for call_ms in (0, 1) if engine != SOFTWARE else (0,):
            with bench.slow.delayed(call_ms=call_ms):
                calls_before, cpu_before = bench.slow.total(), cpu_seconds(server.daemon.pid)
                run = bench.load.run(server, questions=names,
                                     seconds=WARM_SECONDS).assert_all_answered()
            rates[call_ms].append(run.rate)
            if call_ms == 0:
                calls += bench.slow.total() - calls_before
                used += cpu_seconds(server.daemon.pid) - cpu_before
                answers += run.completed
    bench.results.add(mean(rates[0]), "warm", *key)
    bench.results.add(used * 1e6 / answers, "cpu", "warm", *key)
    bench.results.add(calls / answers, "calls", *key)
    if rates[1]:
        bench.results.add(mean(rates[1]), "warm 1 ms", *key)


def warm_names(bench):
    return bench.load.names((ZONE, 0, WARM_NAMES))
