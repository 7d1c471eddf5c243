# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/p11spy.c in front of SoftHSM: who calls what, and calls that go wrong."""
import os
import subprocess
from pathlib import Path

from . import programs
from .place import Place
from .runner import Runner
from .token import SoftHsm

SOURCE = programs.REPOSITORY / "tests/p11spy.c"
THREADEND = Path(__file__).parent / "threadend.c"


def build(directory: Path, source: Path = SOURCE) -> Path:
    """Compile it; the path of the library."""
    directory.mkdir(mode=0o755, exist_ok=True)
    library = directory / source.with_suffix(".so").name
    flags = subprocess.run(["pkg-config", "--cflags", "p11-kit-1"], check=True, capture_output=True,
                           text=True, timeout=60).stdout.split()
    compiler = os.environ.get("CC", "cc").split()
    done = subprocess.run([*compiler, "-shared", "-fPIC", "-O1", "-fvisibility=hidden", *flags, "-o", library,
                           source, "-ldl", "-pthread"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    library.chmod(0o755)
    return library


class Spy:
    """The module `softhsm2` is the spy from now on; pkcs11-tool still goes to SoftHSM itself."""

    def __init__(self, place: Place, runner: Runner, hsm: SoftHsm, library: Path):
        self.place = place
        directory = place.directory("spy", 0o755)
        self.log = directory / "calls"
        runner.environment["P11SPY_MODULE"] = str(hsm.library)
        runner.environment["P11SPY_LOG"] = str(self.log)
        runner.environment["P11SPY_RULES"] = str(directory / "rules")
        self.rules()
        self.forget()
        hsm.add_module("softhsm2", library)

    def rules(self, *lines: str) -> None:
        """From now on, for every process: these rules and no others."""
        self.place.file("spy/rules", "".join(f"{line}\n" for line in lines))

    def forget(self) -> None:
        """Start the list of calls anew. The file stays the same one: a call may be under way."""
        if not self.log.exists():
            self.place.file("spy/calls")
        os.truncate(self.log, 0)

    def calls(self) -> list[tuple[str, str]]:
        """(thread name, function) of each call since forget()."""
        pairs = [line.rsplit(" ", 1) for line in self.log.read_text().splitlines()]
        return [(thread, function) for thread, function in pairs]

    def count(self, function: str) -> int:
        return sum(f == function for _, f in self.calls())
