# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers and refusals a second, and how long an answer takes, against the time a PKCS#11 call takes."""
import waiting
from answers import WARM_NAMES, warm_names
from installation import ENGINES, NAMES, P256, SOFTWARE, ZONE
from load import percentile

CALL_MS = (0, 1, 5, 20, 50)
SECONDS = 1.5
RATE = 1_000  # queries/s while times are taken, or as many as are answered
TIMEOUT = 3   # what gets no answer counts as this long
STEPS = 1 + 2 * len(CALL_MS)


def measure(bench) -> None:
    """One round; software keys know no token, so their figures at 0 stand for all."""
    for engine in ENGINES:
        with bench.server(engine, P256, **waiting.settings(waiting.MANY_RECEIVERS)) as server:
            bench.load.first_answer(server, ZONE)
            bench.load.run(server, warm_names(bench), passes=1).assert_all_answered()
            for call_ms in CALL_MS if engine != SOFTWARE else (0,):
                bench.progress(f"{engine}: {call_ms} ms a call")
                names = cold_names(bench, CALL_MS.index(call_ms))
                take(bench, server, "warm", engine, call_ms, [(warm_names(bench), 0)] * 2)
                take(bench, server, "cold", engine, call_ms, [(n, 1) for n in names])
                # What nobody waits for any more is done with before the next measurement.
                bench.load.run(server, warm_names(bench), passes=1)


def cold_names(bench, which: int) -> list:
    """Two files of names that nobody has asked for yet."""
    share = (NAMES - WARM_NAMES) // (2 * len(CALL_MS))
    first = WARM_NAMES + 2 * which * share
    return [bench.load.names((ZONE, at, at + share)) for at in (first, first + share)]


def take(bench, server, kind, engine, call_ms, questions) -> None:
    (for_rate, passes), (for_times, _) = questions
    with bench.slow.delayed(call_ms=call_ms):
        run = bench.load.run(server, for_rate, seconds=SECONDS, passes=passes, timeout=TIMEOUT)
        bench.results.add(run.rate, "latency", kind, "rate", engine, call_ms)
        bench.results.add(run.refusal_rate, "latency", kind, "refused", engine, call_ms)
        run = bench.load.run(server, for_times, seconds=SECONDS, passes=passes, timeout=TIMEOUT,
                             rate=RATE, detail=True)
    for percent in (50, 99):
        bench.results.add(percentile(run.milliseconds[ZONE], percent),
                          "latency", kind, percent, engine, call_ms)
