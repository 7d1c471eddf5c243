# SPDX-License-Identifier: GPL-2.0-or-later
"""Running programs: as the service's user, in a private environment, with a deadline."""
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import processes, programs
from .deadline import PATIENCE, wait_for
from .identity import Identity
from .sanitizer import Sanitizer
from .transcript import Transcript

DEADLINE = 60.0


@dataclass(frozen=True)
class Result:
    command: str
    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    def __str__(self) -> str:
        return (f"{self.command}\nexit {self.returncode}\n"
                f"-- stdout\n{self.stdout}\n-- stderr\n{self.stderr}")


class Runner:
    """Starts programs and remembers what they said."""

    def __init__(self, home: Path, identity: Identity, transcript: Transcript, sanitizer: Sanitizer | None = None):
        self.home = home
        self.identity = identity
        self.transcript = transcript
        self.sanitizer = sanitizer
        self.environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin",
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
        }
        # Not installed: it would not be found.
        if programs.our_probe().exists():
            self.environment["PKCS11SIGNER_PROBE"] = str(programs.our_probe())

    def environment_of(self, argv: list[str], env: dict | None = None) -> dict:
        """What that program finds in its environment. `env`: more of it."""
        merged = {**self.environment, **(env or {})}
        ours = (programs.pdns_server(), programs.pdnsutil())
        loads_us = self.sanitizer and any(program in word for word in argv for program in ours)
        return self.sanitizer.environment(merged) if loads_us else merged

    def _start(self, argv: list[str], as_root: bool, environment: dict) -> tuple[list[str], dict]:
        """The command to start, which must become the program without a fork, and how: for Popen. It copies all of this
        process when it is to change the user, which takes longer than most programs."""
        if as_root:
            return argv, {}
        if "LD_PRELOAD" in environment:  # that is for the program alone
            return argv, self.identity.popen_arguments()
        return [*self.identity.become(), *argv], {}

    def run(self, *argv, check: bool = True, timeout: float = DEADLINE, input: str | None = None,
            env: dict | None = None, quiet: tuple[str, ...] = (), as_root: bool = False,
            record: bool = True) -> Result:
        """Run to the end. `quiet`: lines the *caller's own input* is echoed in, left
        out of the transcript. `record=False`: the output is not the module's."""
        argv = [str(a) for a in argv]
        environment = self.environment_of(argv, env)
        command, who = self._start(argv, as_root, environment)
        process = subprocess.Popen(
            command, cwd=self.home, env=environment,
            stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **who)
        try:
            out, err = process.communicate(input.encode() if input is not None else None, timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            processes.kill_tree(process.pid)
            out, err = process.communicate()
            raise AssertionError(f"{' '.join(argv)} did not end within {timeout * PATIENCE:g} s\n"
                                 f"{out.decode(errors='replace')}{err.decode(errors='replace')}") from None
        result = Result(" ".join(argv), process.returncode,
                        out.decode(errors="replace"), err.decode(errors="replace"))
        if record:
            for name, text in (("stdout", result.stdout), ("stderr", result.stderr)):
                lines = [l for l in text.splitlines() if l not in quiet]
                self.transcript.add(f"{name} of {Path(argv[0]).name} {' '.join(argv[1:4])}", "\n".join(lines))
        if check:
            assert result.returncode == 0, f"failed: {result}"
        return result

    def spawn(self, *argv, log: Path, env: dict | None = None, as_root: bool = False,
              record: bool = True) -> "Daemon":
        argv = [str(a) for a in argv]
        environment = self.environment_of(argv, env)
        command, who = self._start(argv, as_root, environment)
        with open(log, "ab") as sink:
            process = subprocess.Popen(command, cwd=self.home, env=environment,
                                       stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, **who)
        if record:
            self.transcript.add_log(log)
        return Daemon(process, log, argv)


class Daemon:
    """A program that runs until it is told to end. Always ended by its own pid."""

    def __init__(self, process: subprocess.Popen, log: Path, argv: list[str]):
        self.process = process
        self.log_path = log
        self.argv = argv

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def running(self) -> bool:
        return self.process.poll() is None

    def wait(self, seconds: float = 20.0) -> int:
        wait_for(f"end of {Path(self.argv[0]).name}", lambda: not self.running(), seconds)
        return self.process.returncode

    def terminate(self, sig: int = signal.SIGTERM, seconds: float = 20.0) -> int:
        if self.running():
            self.process.send_signal(sig)
            try:
                return self.wait(seconds)
            except AssertionError:
                self.kill()
                raise
        return self.process.returncode

    def kill(self) -> None:
        """With its children, as a guardian has one. For clean-up only: does not complain."""
        if self.running():
            processes.kill_tree(self.pid)
        self.process.wait()
