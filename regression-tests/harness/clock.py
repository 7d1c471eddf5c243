# SPDX-License-Identifier: GPL-2.0-or-later
"""libfaketime: a clock that a test sets, also while programs run that see it."""
import glob
import os
import struct
import time
from pathlib import Path

import pytest

from .deadline import wait_for
from .place import Place

WEEK = 7 * 86400
DAY = 86400


def library() -> str:
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        pytest.skip("libfaketime is not installed (Debian: libfaketime)")
    return found[0]


def week_of(moment: float) -> int:
    """When PowerDNS's week that the moment is in began."""
    return int(moment) // WEEK * WEEK


class Clock:
    """What CLOCK_REALTIME is for programs started with `environment`: ahead of the real one by what
    was set last. Waiting takes as long as ever: CLOCK_MONOTONIC is left alone, and so are the times of
    files, by which the store knows that nobody else has written to its file."""

    def __init__(self, place: Place):
        self._place = place
        self._offset = 0
        self._file = "clock"
        preload = [library(), *os.environ.get("LD_PRELOAD", "").split()]
        self.environment = {
            "LD_PRELOAD": " ".join(preload), "FAKETIME_TIMESTAMP_FILE": str(place.root / self._file),
            "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
            "FAKETIME_DONT_RESET": "1",
        }
        self.set(time.time())

    @classmethod
    def in_midweek(cls, place: Place) -> "Clock":
        """In the middle of a week to come."""
        clock = cls(place)
        clock.set(week_of(time.time()) + WEEK + 3 * DAY)
        return clock

    def set(self, moment: float) -> None:
        """It goes on from there."""
        self._offset = round(moment - time.time())
        self._place.file(self._file, f"{self._offset:+d}\n", 0o644)

    def now(self) -> float:
        return time.time() + self._offset

    def pass_(self, seconds: float) -> None:
        self.set(self.now() + seconds)


class Uptime:
    """For how long the machine has been up, as programs see it that are started with `environment`, beside
    those of a Clock. Nothing is deleted for its age in the first hour."""

    def __init__(self, place: Place, library: Path, clock: Clock | None = None):
        self._place = place
        others = clock.environment if clock else {}
        self.environment = {**others, "P11S_UPTIME_FILE": str(place.root / "uptime"),
                            "LD_PRELOAD": f"{library} {others.get('LD_PRELOAD', os.environ.get('LD_PRELOAD', ''))}"}
        self._more = 0
        self.pass_(0)

    def pass_(self, seconds: int) -> None:
        """Less than two hours: the wall clock does not, so it would have jumped."""
        self._more += seconds
        self._place.file("uptime", f"{self._more}\n", 0o644)


class Hurry:
    """Time passes faster for programs that are started with `environment`, which has all of `others`: what they do every
    half minute comes in seconds. Nothing a test asks for meanwhile may have a deadline by that clock."""
    EVERY, STEP, MOST = 0.05, 500, 2000  # after so many seconds the clock is ahead by milliseconds more
    TIMES = 10  # as fast, where looking takes longer than that

    def __init__(self, place: Place, library: Path, others: dict[str, str] | None = None):
        others = others or {}
        before = others.get("LD_PRELOAD", os.environ.get("LD_PRELOAD", ""))
        self._path = place.file("hurry", bytes(8), 0o644)
        self.environment = {**others, "P11S_HURRY_FILE": str(self._path), "LD_PRELOAD": f"{library} {before}"}
        self._more = 0
        self._stepped = time.monotonic()

    def _step(self) -> None:
        now = time.monotonic()
        self._more += min(max(round((now - self._stepped) * 1000 * self.TIMES), self.STEP), self.MOST)
        self._stepped = now
        with open(self._path, "r+b") as file:  # the same file: programs have it mapped
            file.write(struct.pack("=q", self._more))

    def now(self) -> float:
        """What the programs' clock shows."""
        return time.monotonic() + self._more / 1000

    def pass_(self, seconds: float) -> None:
        until = self._more + seconds * 1000
        self._stepped = time.monotonic()
        while self._more < until:
            self._step()
            time.sleep(self.EVERY)

    def wait_for(self, what: str, condition, seconds: float = 60):
        """As deadline.wait_for(). What the condition waits for comes early, too."""
        self._stepped = time.monotonic()
        return wait_for(what, lambda: condition() or self._step(), seconds, self.EVERY)
