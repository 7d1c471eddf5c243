# SPDX-License-Identifier: GPL-2.0-or-later
"""openCryptoki's software token and its daemon, pkcsslotd, in a namespace of their own: all paths are built in."""
import os
import pwd
import shutil
import signal
from pathlib import Path

import pytest

from .. import namespace, programs
from ..deadline import wait_for
from ..place import Place
from ..runner import Runner
from .driver import ECDSA, EDDSA, RSA, Driver

GROUP = "pkcs11"
STORE = Path("/var/lib/opencryptoki")
# A new token has this one, and wants to hear it before it is initialized.
FIRST_SO_PIN = "87654321"
CONFIGURATION = """version opencryptoki-3.1
slot 3
{
stdll = libpkcs11_sw.so
}
"""


def is_old() -> bool:
    """3.8 runs as root and has no elliptic curves in software; 3.23 has a user of its own, and them."""
    return "pkcsslotd" not in {entry.pw_name for entry in pwd.getpwall()}


class OpenCryptoki(Driver):
    name = "opencryptoki"
    module = "opencryptoki"
    offers = RSA if is_old() else RSA | ECDSA
    may_lack_curve = EDDSA
    restarts = True
    needs_daemon = False

    def __init__(self, place: Place, runner: Runner):
        super().__init__(place, runner)
        reason = namespace.why_not()
        if reason:
            pytest.skip(reason)
        store = place.directory("opencryptoki", 0o755)
        self.namespace = namespace.Namespace(runner, place.root / "namespace.log", {STORE: store})
        self.runner = namespace.NamespaceRunner(runner, self.namespace, groups=(GROUP,))
        try:
            self._lay_out()
            self.start()
        except BaseException:
            self.discard()
            raise

    def _lay_out(self) -> None:
        """What systemd-tmpfiles and the administrator do."""
        for directory in (str(STORE), "/run/lock", "/run/lock/opencryptoki", "/run/lock/opencryptoki/swtok",
                          f"{STORE}/swtok", f"{STORE}/swtok/TOK_OBJ", "/run/opencryptoki", "/var/log/opencryptoki"):
            path = self.namespace.path(directory)
            path.mkdir(exist_ok=True)
            if "opencryptoki" in directory:
                shutil.chown(path, "root", GROUP)
                path.chmod(0o770)
        self.namespace.path("/etc/opencryptoki/opencryptoki.conf").write_text(CONFIGURATION)
        groups = self.namespace.path("/etc/group")
        lines = [line + ("," if line[-1] != ":" else "") + self.runner.identity.name
                 if line.startswith(f"{GROUP}:") else line for line in groups.read_text().splitlines()]
        groups.write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """3.8 stays in the foreground, 3.23 leaves a process of its own user behind, whatever it is asked for."""
        log = self.place.root / "pkcsslotd.log"
        sockets = [self.namespace.path(path) for path in ("/run/pkcsslotd.socket", "/run/opencryptoki/pkcsslotd.socket")]
        for path in (*sockets, self._pid_file()):
            path.unlink(missing_ok=True)
        self.daemon = self.runner.spawn(programs.program("pkcsslotd"), "-f", log=log, as_root=True, record=False)
        wait_for("pkcsslotd's socket", lambda: any(map(Path.exists, sockets)))
        wait_for("pkcsslotd", lambda: self.daemon.running() or self._child())

    def _pid_file(self) -> Path:
        return self.namespace.path("/run/opencryptoki/pkcsslotd.pid")

    def _child(self) -> int:
        """0: none. The file is there before the number is in it."""
        return int(self._pid_file().read_text() or 0) if self._pid_file().exists() else 0

    def stop(self) -> None:
        child = self._child()
        self.daemon.kill()
        if child and Path(f"/proc/{child}").exists():
            os.kill(child, signal.SIGKILL)
            wait_for("end of pkcsslotd", lambda: not Path(f"/proc/{child}").exists())

    def module_file(self) -> str:
        return f"module: {programs.library('*/pkcs11/libopencryptoki.so')}\n"

    def initialize(self) -> None:
        def tool(*argv):
            self.runner.run(programs.program("pkcs11-tool"), "--module", programs.library("*/pkcs11/libopencryptoki.so"),
                            "--slot", 3, *argv)
        tool("--init-token", "--label", self.label, "--so-pin", FIRST_SO_PIN)
        tool("--login", "--login-type", "so", "--so-pin", FIRST_SO_PIN, "--change-pin", "--new-pin", self.so_pin)
        tool("--login", "--login-type", "so", "--so-pin", self.so_pin, "--init-pin", "--new-pin", self.pin)

    def discard(self) -> None:
        if hasattr(self, "daemon"):
            self.stop()
        self.namespace.end()
