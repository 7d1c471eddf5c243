# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers that need no signature while all sessions are busy making some."""
import time
from dataclasses import dataclass

from installation import BUILT_IN, MODULE, P256, PLAIN, ZONE
from load import percentile

SIGN_MS = 50
SESSIONS = 8
SECONDS = 2.0
SETTLE = 1.0  # a burst may have all threads for half a second
RATE = 1_000
WARM_NAMES = 1_000
COLD = 16   # cold queries waiting at any time: twice as many as the token signs at once
FLOOD = 64  # more than there are threads


@dataclass(frozen=True)
class Case:
    engine: str
    receivers: int
    distributors: int
    packet_cache: bool
    cold: int = COLD

    def __str__(self) -> str:
        return (f"receiver-threads={self.receivers} distributor-threads={self.distributors}"
                f" cache-ttl={self.cache_ttl}, {self.cold} cold queries waiting")

    @property
    def cache_ttl(self) -> int:
        return 20 if self.packet_cache else 0

    @property
    def recommended(self) -> bool:
        return self.engine == MODULE and self.distributors == 1


CASES = (
    Case(BUILT_IN, 32, 1, False),
    Case(MODULE, 2, 3, False),
    Case(MODULE, 2, 3, True),
    Case(MODULE, 1, 32, False),
    Case(MODULE, 32, 1, False),
    Case(MODULE, 32, 1, True),
    Case(MODULE, 32, 1, True, FLOOD),
    Case(MODULE, 2, 3, True, FLOOD),
)
STEPS_A_ROUND = len(CASES)


def measure(bench) -> None:
    """One round."""
    for case in CASES:
        bench.progress(f"busy token: {case.engine}, {case}")
        with bench.server(case.engine, P256, receiver_threads=case.receivers,
                          distributor_threads=case.distributors,
                          cache_ttl=case.cache_ttl) as server:
            measure_case(bench, server, case)


def measure_case(bench, server, case: Case) -> None:
    bench.load.first_answer(server, ZONE)
    names = bench.load.names((ZONE, 0, WARM_NAMES), (PLAIN, 0, WARM_NAMES))
    bench.load.run(server, names, passes=1).assert_all_answered()
    take(bench, server, case, "idle", names)
    cold = bench.load.names((ZONE, WARM_NAMES, 20_000))
    with bench.slow.delayed(sign_ms=SIGN_MS), bench.load.behind(server, cold, case.cold):
        time.sleep(SETTLE)
        before = bench.slow.signatures()
        take(bench, server, case, "busy", names)
        made = bench.slow.signatures() - before
        bench.results.add(made / SECONDS, "busy", "signatures", case.engine, str(case))


def take(bench, server, case, state, names) -> None:
    run = bench.load.run(server, names, seconds=SECONDS, rate=RATE, detail=True)
    for zone in (PLAIN, ZONE):
        for percent in (50, 99):
            bench.results.add(percentile(run.milliseconds[zone], percent),
                              "busy", percent, zone, state, case.engine, str(case))
