# SPDX-License-Identifier: GPL-2.0-or-later
"""openCryptoki's software token and its daemon, pkcsslotd, in a namespace of their own: all paths are built in."""
import shutil
from pathlib import Path

import pytest

from .. import namespace, programs
from ..deadline import wait_for
from ..place import Place
from ..runner import Runner
from .driver import RSA, Driver, library

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


class OpenCryptoki(Driver):
    name = "opencryptoki"
    module = "opencryptoki"
    offers = RSA
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
                          f"{STORE}/swtok", f"{STORE}/swtok/TOK_OBJ"):
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
        log, socket = self.place.root / "pkcsslotd.log", self.namespace.path("/run/pkcsslotd.socket")
        socket.unlink(missing_ok=True)
        self.daemon = self.runner.spawn(programs.program("pkcsslotd"), "-f", log=log, as_root=True, record=False)
        wait_for("pkcsslotd", lambda: socket.exists() or not self.daemon.running())
        assert self.daemon.running(), f"pkcsslotd ended:\n{self.daemon.log}"

    def stop(self) -> None:
        self.daemon.kill()

    def module_file(self) -> str:
        return f"module: {library('*/pkcs11/libopencryptoki.so')}\n"

    def initialize(self) -> None:
        def tool(*argv):
            self.runner.run(programs.program("pkcs11-tool"), "--module", library("*/pkcs11/libopencryptoki.so"),
                            "--slot", 3, *argv)
        tool("--init-token", "--label", self.label, "--so-pin", FIRST_SO_PIN)
        tool("--login", "--login-type", "so", "--so-pin", FIRST_SO_PIN, "--change-pin", "--new-pin", self.so_pin)
        tool("--login", "--login-type", "so", "--so-pin", self.so_pin, "--init-pin", "--new-pin", self.pin)

    def discard(self) -> None:
        if hasattr(self, "daemon"):
            self.daemon.kill()
        self.namespace.end()
