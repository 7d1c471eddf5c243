# SPDX-License-Identifier: GPL-2.0-or-later
"""dnsperf: the load, and what became of it."""
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import nan
from pathlib import Path

from harness import programs
from harness.faults import is_signed
from harness.ports import LOOPBACK

CLIENTS, OUTSTANDING = 8, 50
TIMEOUT = 5
BEHIND_RATE = 2_000


@dataclass
class Run:
    sent: int
    completed: int              # answers of any kind
    seconds: float
    codes: dict[str, int]       # answers by rcode
    milliseconds: dict[str, list[float]] = field(default_factory=dict)  # by zone; refusals are not among them

    @property
    def answered(self) -> int:
        """Every name that is asked for is there: what is not NOERROR is a refusal."""
        return self.codes.get("NOERROR", 0)

    @property
    def rate(self) -> float:
        """Answers a second that are answers."""
        return self.answered / self.seconds

    @property
    def refusal_rate(self) -> float:
        return (self.completed - self.answered) / self.seconds

    def assert_all_answered(self) -> "Run":
        if self.answered != self.sent:
            raise AssertionError(f"{self.answered} answers to {self.sent} queries: {self.codes}")
        return self


def percentile(values: list[float], percent: float) -> float:
    """Not a number where there are no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else nan


class Load:
    def __init__(self, installation):
        self.site = installation.site
        self._files: dict[tuple, Path] = {}

    def lines(self, lines: tuple[str, ...]) -> Path:
        """A file of questions."""
        if lines not in self._files:
            name = f"questions{len(self._files)}"
            self._files[lines] = self.site.place.file(name, "".join(f"{line}\n" for line in lines))
        return self._files[lines]

    def names(self, *slices: tuple[str, int, int]) -> Path:
        """host<first> to host<last - 1> of each zone, in turn."""
        columns = [[f"host{i}.{zone} A" for i in range(first, last)]
                   for zone, first, last in slices]
        return self.lines(tuple(line for row in zip(*columns) for line in row))

    def run(self, server, questions: Path, *, seconds: float = 0, passes: int = 0, rate: int = 0,
            timeout: int = TIMEOUT, dnssec: bool = True, detail: bool = False) -> Run:
        """For so many seconds or passes, whichever ends first. `detail`: the time of each query
        that was answered, by zone; one that got nothing at all has the timeout."""
        options = ["-t", timeout]
        for option, value in (("-l", seconds), ("-n", passes), ("-Q", rate)):
            options += [option, value] if value else []
        options += [option for option, wanted in (("-D", dnssec), ("-v", detail)) if wanted]
        command = _dnsperf(server, questions, OUTSTANDING, *options)
        out = self.site.runner.run(*command, record=False, timeout=seconds + 60).stdout
        server.assert_alive()
        return _parse(out, timeout)

    def first_answer(self, server, zone: str) -> None:
        """After it the key is known and a session open, and what the server answers is signed. The
        built-in engine must be asked by one client first: two threads that log in at once never
        answer again."""
        answer = server.ask(zone, "SOA", timeout=30)
        if not is_signed(answer):
            raise AssertionError(f"no signed answer, so nothing can be measured:\n{answer}")

    @contextmanager
    def behind(self, server, questions: Path, outstanding: int):
        """The questions once, in the background, ended with the block. No faster than
        BEHIND_RATE: those that are refused at once must not be over before the block is."""
        command = _dnsperf(server, questions, outstanding, "-n", 1, "-D", "-Q", BEHIND_RATE)
        process = self.site.runner.spawn(*command, log=self.site.place.root / "background.log")
        try:
            yield process
        finally:
            process.kill()


def _dnsperf(server, questions: Path, outstanding: int, *options) -> list:
    return [programs.program("dnsperf"), "-s", LOOPBACK, "-p", server.port, "-d", questions,
            "-c", CLIENTS, "-q", outstanding, *options]


def _parse(out: str, timeout: float) -> Run:
    def number(label: str) -> float:
        found = re.search(rf"(?m)^\s*{label}:\s+([\d.]+)", out)
        if not found:
            raise AssertionError(f"dnsperf says nothing of {label}:\n{out[-2000:]}")
        return float(found[1])

    codes = re.search(r"(?m)^\s*Response codes:\s+(.*)$", out)
    counted = re.findall(r"(\w+) (\d+) \(", codes[1] if codes else "")
    run = Run(int(number("Queries sent")), int(number("Queries completed")), number(r"Run time \(s\)"),
              {code: int(count) for code, count in counted})
    for code, name, seconds in re.findall(r"(?m)^> (\S+) (\S+) \S+(?: ([\d.]+))?$", out):
        zone = name.split(".", 1)[1]
        times = run.milliseconds.setdefault(zone, [])
        if code == "T" or not seconds:
            times.append(timeout * 1000)
        elif code == "NOERROR":
            times.append(float(seconds) * 1000)
    return run
