#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Ten minutes of random questions, key changes, API calls and faults from a fixed seed.

At the end the server must hold no more descriptors, sessions, threads and memory
than after a warm-up, and every signed answer it gave must have been a good one.
Needs ./setup.sh --tests to have run. SOAK_SECONDS and SOAK_SEED change length and course.
"""
import os
import re
import sys
import threading
import time

sys.dont_write_bytecode = True
import figures  # noqa: E402
from changes import Changes  # noqa: E402
from clients import Client, Tally  # noqa: E402
from harness.deadline import wait_for  # noqa: E402
from weather import AFTERWARDS, Weather  # noqa: E402
from world import world  # noqa: E402

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
SEED = os.environ.get("SOAK_SEED", "1")
CLIENTS = 3
WARM_UP = min(60.0, SECONDS / 4)  # the same as the rest, but what it leaves is not judged
CRASH = re.compile(r"terminate called|Got a signal|Sanitizer")


class Progress:
    """One line that says where we are."""

    def __init__(self, tally: Tally, weather: Weather):
        self.tally, self.weather, self.start = tally, weather, time.monotonic()
        self.terminal, self.last = sys.stderr.isatty(), 0.0

    def __call__(self, force: bool = False) -> None:
        now, t = time.monotonic(), self.tally
        if not force and now - self.last < (1 if self.terminal else 10):
            return
        self.last = now
        text = (f"[{now - self.start:4.0f}/{SECONDS:.0f} s] {t.good} good, {t.unsigned} unsigned, {t.refused} refused, "
                f"{t.changes} changes; {t.problem_count} problems; {self.weather.now or 'fair'}")
        print(f"\r\033[K{text}" if self.terminal else text, end="" if self.terminal else "\n",
              file=sys.stderr, flush=True)

    def done(self) -> None:
        self(force=True)
        print("" if self.terminal else "", file=sys.stderr, flush=True)


class Storm:
    """All threads, for a while."""

    def __init__(self, soaked, tally: Tally, weather: Weather, stop: threading.Event, name: str):
        self.stop, self.weather = stop, weather
        self.changes = Changes(soaked, weather, tally, stop, f"{SEED} {name} changes")
        self.threads = [weather, self.changes] + [
            Client(soaked, weather, tally, stop, f"{SEED} {name} client {n}") for n in range(CLIENTS)]

    def blow(self, server, seconds: float, progress: Progress) -> None:
        end = time.monotonic() + seconds
        for thread in self.threads:
            thread.start()
        while time.monotonic() < end and server.daemon.running():
            progress()
            time.sleep(0.2)
        self.stop.set()
        for thread in self.threads:
            thread.join(90)
            assert not thread.is_alive(), f"{thread.name} does not end"
        self.weather.clear()
        self.weather.spy.plug()


def blow(soaked, tally: Tally, seconds: float, name: str, progress_of=None) -> Weather:
    stop = threading.Event()
    weather = Weather(soaked.spy, stop, f"{SEED} {name} weather")
    progress = progress_of or Progress(tally, weather)
    progress.weather = weather
    storm = Storm(soaked, tally, weather, stop, name)
    storm.blow(soaked.server, seconds, progress)
    if soaked.server.daemon.running():
        wait_for("signatures after the faults", lambda: serves(soaked), AFTERWARDS + 5)
        storm.changes.tidy_up()
    return weather


def serves(soaked) -> bool:
    return all(soaked.server.ask(f"s{time.monotonic_ns()}.{zone.name}", timeout=5).rcode() == 3
               for zone in soaked.zones)


def soak(soaked) -> tuple[Tally, list[str]]:
    tally = Tally()
    first = Weather(soaked.spy, threading.Event(), "")
    progress = Progress(tally, first)
    blow(soaked, tally, WARM_UP, "warm-up", progress)
    before = figures.settled(soaked, "before")
    weather = blow(soaked, tally, SECONDS - WARM_UP, "soak", progress)
    progress.done()
    complaints = []
    if soaked.server.daemon.running():
        after = figures.settled(soaked, "after", before)
        print(f"after the warm-up: {before}\nat the end:        {after}")
        complaints += after.grown(before)
        soaked.server.stop()
    else:
        complaints.append(f"the server ended with {soaked.server.daemon.process.returncode}")
    print("faults: " + ", ".join(f"{count} {kind}" for kind, count in sorted(weather.seen.items())))
    if CRASH.search(soaked.server.log):
        complaints.append("a crash in the log")
    soaked.site.transcript.assert_no_secret()
    return tally, complaints


def main() -> int:
    print(f"seed {SEED}, {SECONDS:.0f} s", file=sys.stderr)
    with world() as soaked:
        try:
            tally, complaints = soak(soaked)
        except AssertionError as error:
            print(f"FAILED: {error}")
            return 1
        log = soaked.server.log
    print(f"{tally.good} signed answers validated, {tally.unsigned} unsigned, {tally.refused} refused during faults, "
          f"{tally.changes} changes made, {tally.failed_changes} refused during faults")
    if not tally.problems and not complaints and tally.good > 0:
        print("passed")
        return 0
    for text in tally.problems + complaints:
        print(f"PROBLEM: {text}")
    print(f"FAILED with {tally.problem_count + len(complaints)} problems; the end of the server's log:")
    print("\n".join(log.splitlines()[-30:]))
    return 1


if __name__ == "__main__":
    sys.exit(main())
