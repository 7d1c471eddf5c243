# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/modules/p11spy.c in front of SoftHSM: who calls what, and calls that go wrong."""
import itertools
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import programs
from .place import Place
from .runner import Runner
from .token import SoftHsm

SOURCE = programs.REPOSITORY / "tests/modules/p11spy.c"
UPTIME = Path(__file__).parent / "native/uptime.c"
HURRY = Path(__file__).parent / "native/hurry.c"
THREADEND = Path(__file__).parent / "native/threadend.c"
BADMODULE = Path(__file__).parent / "native/badmodule.c"
PROBE = programs.our_probe().name[:15]  # as the name of its thread


def build(directory: Path, source: Path = SOURCE, *defines: str, name: str = "") -> Path:
    """Compile it; the path of the library."""
    directory.mkdir(mode=0o755, exist_ok=True)
    library = directory / (name or source.with_suffix(".so").name)
    flags = subprocess.run(["pkg-config", "--cflags", "p11-kit-1"], check=True, capture_output=True,
                           text=True, timeout=60).stdout.split()
    compiler = os.environ.get("CC", "cc").split()
    done = subprocess.run([*compiler, "-shared", "-fPIC", "-O1", "-fvisibility=hidden", *flags, *defines, "-o", library,
                           source, "-ldl", "-pthread"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    library.chmod(0o755)
    return library


def compile_program(directory: Path, source: Path, *packages: str) -> Path:
    """The path of the program."""
    directory.mkdir(mode=0o755, exist_ok=True)
    program = directory / source.stem
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", *packages], check=True,
                           capture_output=True, text=True, timeout=60).stdout.split()
    done = subprocess.run([*os.environ.get("CC", "cc").split(), "-O1", "-o", program, source, *flags],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    program.chmod(0o755)
    return program


@dataclass(frozen=True)
class Event:
    """The end of a call, or that it hangs; session 0: none."""
    function: str
    session: int
    outcome: str  # "0x0", or "hangs"


class Spy:
    """The module `softhsm2` is the spy from now on; pkcs11-tool still goes to SoftHSM itself."""

    def __init__(self, place: Place, runner: Runner, hsm: SoftHsm, library: Path):
        self.place = place
        directory = place.directory("spy", 0o755)
        self.log = directory / "calls"
        self.event_log = directory / "events"
        self._lines: tuple[str, ...] = ()
        self._out = ""  # how the token is out; "": it is there
        self._plugs = 0
        self._logouts = 0
        self._tags = itertools.count(1)
        runner.environment["P11SPY_MODULE"] = str(hsm.library)
        runner.environment["P11SPY_LOG"] = str(self.log)
        runner.environment["P11SPY_EVENTS"] = str(self.event_log)
        runner.environment["P11SPY_RULES"] = str(directory / "rules")
        self.rules()
        self.forget()
        hsm.add_module("softhsm2", library)

    # -- what is to happen

    def rules(self, *lines: str) -> None:
        """From now on, for every process: these rules and no others. Whether the token is there is
        another matter."""
        self._lines = lines
        self._write()

    def _write(self) -> None:
        token = [f"token plugs {self._plugs}", f"token logouts {self._logouts}"]
        token += [f"token {self._out}"] if self._out else []
        self.place.file("spy/rules", "".join(f"{line}\n" for line in [*self._lines, *token]))

    def fail_once(self, function: str, rv: int) -> str:
        """The rule for the next call of that function to fail with that CK_RV."""
        return f"{function} fail {rv:#x} once {next(self._tags)}"

    def unplug(self, how: str = "unplugged") -> None:
        """Take the token out. how: also unplugged-opensc, unplugged-unseen (tests/modules/p11spy.c)."""
        self._out = how
        self._write()

    def plug(self) -> None:
        """Put it in; when it was in, it has been out for a moment."""
        self._out = ""
        self._plugs += 1
        self._write()

    def log_out(self) -> None:
        """Sessions stay open, but nobody is logged in to the token any more."""
        self._logouts += 1
        self._write()

    # -- what has happened

    def forget(self) -> None:
        """Start the lists of calls anew. The files stay the same ones: a call may be under way."""
        for path in (self.log, self.event_log):
            if not path.exists():
                self.place.file(f"spy/{path.name}")
            os.truncate(path, 0)

    def calls(self) -> list[tuple[str, str]]:
        """(thread name, function) of each call since forget(), but for those of the program that tries modules."""
        pairs = [line.rsplit(" ", 1) for line in self.log.read_text().splitlines()]
        return [(thread, function) for thread, function in pairs if thread != PROBE]

    def count(self, function: str) -> int:
        return sum(f == function for _, f in self.calls())

    def events(self) -> list[Event]:
        """In the order in which calls ended, or began to hang."""
        words = [line.split(" ") for line in self.event_log.read_text().splitlines()]
        return [Event(function, int(session), outcome) for function, session, outcome in words]

    def outcomes(self, function: str) -> list[str]:
        return [e.outcome for e in self.events() if e.function == function]
