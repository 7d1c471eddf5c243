# SPDX-License-Identifier: GPL-2.0-or-later
"""A module that was built with a sanitizer, in stock PowerDNS.

Which one it is, the program tells that is built with it. The runtime has to be in the process first, so PowerDNS's
programs are started with LD_PRELOAD, and early.c has it start before any other library does. What it finds goes to
files, of which there may be none after a test; but GCC's UBSan, beside ASan, only knows standard error.
"""
import functools
import os
import re
import subprocess
from pathlib import Path

import pytest

from . import programs
from .place import Place
from .transcript import Transcript

EXPECTED = "P11S_SANITIZER"  # address or thread: then the module must be built with it
EARLY = Path(__file__).parent / "native/early.c"
RUNTIMES = {"libasan": "address", "libtsan": "thread"}

UNDEFINED = ": runtime error: "
# ThreadSanitizer's reports, and what stands in one of the module, or of test_sanitizer.py's faults.
BETWEEN_REPORTS = re.compile(r"^={18}\n", re.MULTILINE)
THEIR_NUMBER = re.compile(r"^ThreadSanitizer: reported \d+ warnings\n", re.MULTILINE)
OURS = re.compile(r"\b(?:libpkcs11signerbackend|pkcs11signer|faulty\d)\.so\+0x")
OPTIONS = {
    "ASAN_OPTIONS": {
        "suppressions": "address.supp",
        # PowerDNS leaves what it has to exit(), and its stacks have no frame pointers: whose a leak is
        # could not be told. Leaks of ours are found by the unit tests, the fuzz targets and `make soak`.
        "detect_leaks": 0,
        # PowerDNS's own are C++ of another compiler run: std::string and new/delete across libraries.
        "alloc_dealloc_mismatch": 0, "detect_odr_violation": 0,
        "strict_string_checks": 1, "check_initialization_order": 1,
        # It would ask for the time while it holds its lock; libfaketime's answer allocates.
        "allocator_release_to_os_interval_ms": -1,
    },
    "UBSAN_OPTIONS": {"print_stacktrace": 1},
    "TSAN_OPTIONS": {
        "suppressions": "thread.supp", "history_size": 7, "second_deadlock_stack": 1,
        # The guardian and the daemon fork; the child starts threads.
        "die_after_fork": 0,
        # PowerDNS exits in a signal handler, with all that is done at exit.
        "report_signal_unsafe": 0,
        # The files say it: exit statuses are for the tests to look at.
        "exitcode": 0,
    },
}


@functools.cache
def runtimes() -> dict[str, str]:
    """Name → path of the sanitizers' runtime libraries that our build needs; none: it has no sanitizer. The module
    does not say so itself: libtool links C++ libraries with -nostdlib."""
    if not programs.our_probe().exists():
        return {}
    out = subprocess.run(["ldd", programs.our_probe()], check=True, capture_output=True, text=True, timeout=60).stdout
    return {name: path for name, path in re.findall(r"(lib(?:a|t|ub)san)\.so\S* => (\S+)", out)}


def name() -> str:
    """address, thread, or "" when the module is built without."""
    return next((RUNTIMES[it] for it in runtimes() if it in RUNTIMES), "")


def expected() -> str:
    """What was asked for."""
    return os.environ.get(EXPECTED, "")


def skip_with(reason: str, *names: str):
    """A mark for what cannot be under these sanitizers, or any."""
    return pytest.mark.skipif(name() in (names or tuple(RUNTIMES.values())), reason=f"with a sanitizer: {reason}")


def ours(text: str) -> str:
    """Those of ThreadSanitizer's reports that name the module. PowerDNS and its libraries are not built with it, which
    makes them a source of reports of their own: it sees their calls of libc, and not what orders them. Of another
    sanitizer's reports, all."""
    if name() != "thread":
        return text
    reports = BETWEEN_REPORTS.split(THEIR_NUMBER.sub("", text))
    return "".join(it for it in reports if OURS.search(it) or "WARNING: ThreadSanitizer: data race" not in it)


class Sanitizer:
    """What programs of one test are given, and what was found in them."""

    def __init__(self, place: Place, transcript: Transcript, early: Path | None = None):
        """`early`: EARLY, built."""
        self.transcript = transcript
        self._early = [str(early)] if early else []
        self._seen: set[str] = set()
        self.directory = place.directory("sanitizer", 0o777) if runtimes() else place.root / "sanitizer"
        self._options = {tool: dict(options) for tool, options in OPTIONS.items()}
        for options in self._options.values():
            if "suppressions" in options:
                options["suppressions"] = programs.suppressions() / options["suppressions"]

    def set(self, **options) -> None:
        """For this test, whichever sanitizer it is."""
        for tool in ("ASAN_OPTIONS", "TSAN_OPTIONS"):
            self._options[tool].update(options)

    def environment(self, before: dict) -> dict:
        """`before`, with what a program of PowerDNS needs."""
        if not runtimes():
            return before
        preload = " ".join([*runtimes().values(), *self._early, *before.get("LD_PRELOAD", "").split()])
        return {**before, "LD_PRELOAD": preload, **{
            tool: ":".join(f"{key}={value}" for key, value in {
                **options, "log_path": self.directory / "report"}.items())
            for tool, options in self._options.items()}}

    def take_reports(self) -> str:
        """What was found so far; it is forgotten."""
        files = sorted(self.directory.glob("report*"))
        found = "".join(ours(path.read_text(errors="replace")) for path in files)
        for path in files:
            path.unlink()
        said = {line for _, text in self.transcript.texts() for line in text.splitlines() if UNDEFINED in line}
        found += "\n".join(sorted(said - self._seen))
        self._seen |= said
        return found

    def assert_clean(self) -> None:
        reports = self.take_reports()
        assert not reports, f"found by the sanitizer:\n{reports[:20000]}"
