# SPDX-License-Identifier: GPL-2.0-or-later
"""A TPM 2.0 (swtpm) behind a resource manager, and tpm2-pkcs11.

A TPM has room for three objects and one user. On a real machine the kernel's /dev/tpmrm0 shares it out among
programs; here tpm2-abrmd does, on a message bus of the test's own.
"""
from .. import programs
from ..deadline import wait_for
from ..place import Place
from ..runner import Daemon, Runner
from .driver import Driver


class Tpm(Driver):
    name = "tpm2"
    module = "tpm2"
    restarts = True
    sees_deletions = False

    def __init__(self, place: Place, runner: Runner):
        super().__init__(place, runner)
        self.daemons: list[Daemon] = []
        self.directory = place.directory("tpm")
        for name in ("state", "store"):
            place.directory(f"tpm/{name}")
        runner.environment.update({
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.directory / 'bus'}",
            "TPM2_PKCS11_STORE": str(self.directory / "store"),
            "TPM2_PKCS11_TCTI": f"{programs.library('*/libtss2-tcti-tabrmd.so.0')}:bus_type=session",
            "TPM2_PKCS11_LOG_LEVEL": "0",
            "TSS2_LOG": "all+none"})
        try:
            self._start_tpm()
            self.start()
        except BaseException:
            self.discard()
            raise

    def _spawn(self, name: str, *argv, ready) -> Daemon:
        daemon = self.runner.spawn(programs.program(name), *argv, log=self.directory / f"{name}.log", record=False)
        self.daemons.append(daemon)
        wait_for(name, lambda: ready(daemon) or not daemon.running())
        assert daemon.running(), f"{name} ended:\n{daemon.log}"
        return daemon

    def _start_tpm(self) -> None:
        socket, bus = self.directory / "socket", self.directory / "bus"
        self._spawn("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.directory / 'state'}",
                    "--server", f"type=unixio,path={socket}", "--ctrl", f"type=unixio,path={socket}.ctrl",
                    "--flags", "not-need-init,startup-clear",
                    ready=lambda _: socket.exists() and socket.with_suffix(".ctrl").exists())
        self._spawn("dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address=unix:path={bus}",
                    ready=lambda _: bus.exists())

    def _manages(self) -> bool:
        return self.runner.run(
            programs.program("dbus-send"), "--session", "--print-reply", "--dest=org.freedesktop.DBus",
            "/org/freedesktop/DBus", "org.freedesktop.DBus.GetNameOwner", "string:com.intel.tss2.Tabrmd",
            check=False, record=False).returncode == 0

    def start(self) -> None:
        self.manager = self._spawn("tpm2-abrmd", "--session", f"--tcti=swtpm:path={self.directory / 'socket'}",
                                   ready=lambda _: self._manages())

    def stop(self) -> None:
        self.manager.kill()

    def module_file(self) -> str:
        return f"module: {programs.library('*/pkcs11/libtpm2_pkcs11.so')}\n"

    def initialize(self, label: str = "", pin: str = "") -> None:
        def tool(*argv):
            self.runner.run(programs.program("pkcs11-tool"), "--module", programs.library("*/pkcs11/libtpm2_pkcs11.so"), *argv)
        label, pin = label or self.label, pin or self.pin
        tool("--slot-index", self.made, "--init-token", "--label", label, "--so-pin", self.so_pin)
        tool("--token-label", label, "--login", "--login-type", "so", "--so-pin", self.so_pin,
             "--init-pin", "--new-pin", pin)
        self.made += 1

    made = 0  # tokens in the store; behind them is always an empty one

    def discard(self) -> None:
        for daemon in reversed(self.daemons):
            daemon.kill()
