# SPDX-License-Identifier: GPL-2.0-or-later
"""A SoftHSM in a process of its own, `p11-kit server`, at the other end of a socket."""
from .. import programs
from ..deadline import wait_for
from ..site import Site
from .driver import Driver


class Remote(Driver):
    name = "remote"
    module = "elsewhere"
    restarts = True

    def attach(self, site: Site) -> None:
        site.token(self.label, pin=self.pin)
        (self.place.root / "xdg/pkcs11/modules/softhsm2.module").unlink()
        self.library = site.hsm.library
        self.socket = self.place.directory("remote") / "socket"
        self.runner.environment["P11_KIT_SERVER_ADDRESS"] = f"unix:path={self.socket}"
        self.start()
        super().attach(site)

    def module_file(self) -> str:
        return f"module: {programs.library('*/pkcs11/p11-kit-client.so')}\n"

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self.server = self.runner.spawn(
            programs.program("p11-kit"), "server", "--foreground", "--name", self.socket,
            "--provider", self.library, f"pkcs11:token={self.label.replace(' ', '%20')}",
            log=self.place.root / "p11-kit-server.log")
        wait_for("p11-kit server", lambda: self.socket.exists() or not self.server.running())
        assert self.server.running(), self.server.log

    def stop(self) -> None:
        """It, and the processes that serve one connection each."""
        self.server.kill()

    def discard(self) -> None:
        if hasattr(self, "server") and self.server.running():
            self.stop()
