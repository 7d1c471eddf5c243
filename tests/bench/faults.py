#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long who waits when a token breaks: the figures in docs/reliability.md.

Needs ./setup.sh --tests to have run. The token is a SoftHSM behind tests/modules/p11spy.c. Times are those of a
client that asks over the loopback.
"""
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "regression-tests"))

from harness import programs, spy as spying, zones  # noqa: E402
from harness.backends import Gsqlite3  # noqa: E402
from harness.deadline import wait_for  # noqa: E402
from harness.faults import Names, is_refused, is_signed  # noqa: E402
from harness.identity import service_identity  # noqa: E402
from harness.place import Place  # noqa: E402
from harness.publish import publish  # noqa: E402
from harness.runner import Runner  # noqa: E402
from harness.site import Site  # noqa: E402
from harness.speed import single_key  # noqa: E402
from harness.transcript import Transcript  # noqa: E402

ROUNDS = 10
QUESTIONS = 500
THREADS = {"receiver-threads": "16", "distributor-threads": "1"}
TIMEOUT_MS = 2000


def in_short(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return (f"median {statistics.median(ordered) * 1000:.1f} ms, 99% within "
            f"{ordered[len(ordered) * 99 // 100] * 1000:.1f} ms, longest {ordered[-1] * 1000:.1f} ms ({len(ordered)})")


def timed(action) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


class Measured:
    def __init__(self, directory: Path):
        programs.our_module()
        place = Place(directory / "run", service_identity())
        runner = Runner(place.root, place.identity, Transcript())
        self.site = Site(place, runner, Gsqlite3(place))
        self.spy = spying.Spy(place, runner, self.site.hsm, spying.build(directory / "spy"))
        self.site.add_zone(zones.many(zones.SIGNED, 20000))
        self.site.add_zone(zones.small(zones.PLAIN))
        single_key(self.site, zones.SIGNED, self.site.token("signing"))
        self.site.set(pkcs11signer_timeout=str(TIMEOUT_MS), pkcs11signer_store="none", loglevel="3")
        self.server = self.site.start_server(settings=THREADS)
        self.names = Names(self.server, warm=QUESTIONS)

    def unsigned(self) -> None:
        assert self.server.ask(f"www.{zones.PLAIN}").answer

    def warm(self) -> list[float]:
        def ask(name):
            assert is_signed(self.server.ask(name))
        return [timed(lambda: ask(name)) for name in self.names.warm]

    def others(self, when: str) -> None:
        print(f"unsigned, {when}: {in_short([timed(self.unsigned) for _ in range(QUESTIONS)])}")
        print(f"warm, {when}: {in_short(self.warm())}")

    def unplugged(self) -> None:
        first, back = [], []
        for _ in range(ROUNDS):
            self.spy.unplug()
            first.append(self.names.assert_cold_refused())
            time.sleep(1.5)
            self.spy.plug()
            back.append(timed(lambda: wait_for("signature", self.names.cold_is_signed, interval=0.01)))
        print(f"token unplugged, the first query that notices: {in_short(first)}")
        print(f"token back, until a query is signed: {in_short(back)}")
        self.spy.unplug()
        self.names.assert_cold_refused()
        print(f"token unplugged, SERVFAIL: {in_short([self.names.assert_cold_refused() for _ in range(QUESTIONS)])}")
        self.spy.plug()
        wait_for("signature", self.names.cold_is_signed)

    def hanging(self) -> None:
        self.others("before")
        self.spy.rules("C_Sign hang")
        ended, cold = threading.Event(), []

        def ask():
            while not ended.is_set():
                start = time.monotonic()
                assert is_refused(self.names.ask_cold(timeout=30))
                cold.append((start, time.monotonic() - start))
                time.sleep(0.02)
        threads = [threading.Thread(target=ask) for _ in range(8)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        self.others("C_Sign hangs")
        time.sleep(max(0.0, began + 12 - time.monotonic()))
        ended.set()
        for thread in threads:
            thread.join()
        waited = [took for _, took in cold if took > 0.1]
        print(f"cold, C_Sign hangs: {len(waited)} waited, {in_short(waited)}")
        print(f"cold, C_Sign hangs: all others {in_short([took for _, took in cold if took <= 0.1])}")
        self.spy.rules()
        print("answers again, until a query is signed: "
              f"{timed(lambda: wait_for('signature', self.names.cold_is_signed, interval=0.01)) * 1000:.0f} ms")


def main() -> None:
    directory = Path(tempfile.mkdtemp(prefix="p11s-faults-"))
    directory.chmod(0o711)
    publish(directory)
    measured = None
    try:
        measured = Measured(directory)
        measured.unplugged()
        measured.hanging()
        measured.server.stop()
    finally:
        if measured is not None:
            measured.site.discard()
        shutil.rmtree(directory, ignore_errors=True)


main()
