# SPDX-License-Identifier: GPL-2.0-or-later
"""A SmartCard-HSM (schsm/, emulated) in one of two readers of the real pcscd, and OpenSC.

All of it is in a namespace of its own, with a /run/pcscd and a p11-kit configuration that
nobody else sees: there, PKCS#11 modules are those of Debian's opensc-pkcs11 and what
/etc/pkcs11/modules says.
"""
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_der_public_key

from . import programs
from .deadline import wait_for
from .namespace import Namespace, NamespaceRunner
from .place import Place
from .runner import Daemon, Result, Runner

SOURCES = Path(__file__).parent / "native/schsm"
READER_DRIVER = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
MODULE_FILES = Path("/usr/share/p11-kit/modules")
# Of the first reader, in a network of its own. No port that the kernel gives to a client: a card that looks for its
# reader again and again would one day be connected to itself.
PORT = 15963

# As Debian's reader.conf.d/vpcd; one driver makes both readers, the second one port further.
READER_CONFIGURATION = """FRIENDLYNAME "Virtual PCD"
DEVICENAME /dev/null:{port}
LIBPATH {driver}
CHANNELID {port}
"""

# From 0.26 on, OpenSC does not select the card's application when it logs out. After a reset nothing helps but
# initializing the library anew, which the module does once in five seconds: some queries find it out.
RESET_IS_NOTICED = programs.opensc_number() >= 26
# Between queries that find it out: each takes a name that was not asked for.
SOON = 0.25

SERIAL = "DENK0100042"
# From 0.26 on, OpenSC leaves out the name of a token's only PIN.
LABEL = "SmartCard-HSM (UserPIN)" if programs.opensc_number() < 26 else "SmartCard-HSM"
PIN = "123~56"
SO_PIN = "0123012301230123"


def build(directory: Path) -> Path:
    """Compile the card; the path of the program."""
    directory.mkdir(mode=0o755, exist_ok=True)
    program = directory / "schsm"
    compiler = os.environ.get("CC", "cc").split()
    done = subprocess.run([*compiler, "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-o", program,
                           *sorted(SOURCES.glob("*.c")), "-lcrypto"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return program


def opensc_module() -> Path:
    return programs.library("*/opensc-pkcs11.so")


def without_polkit() -> list[str]:
    """Where pcscd asks polkit who may use cards, as on Debian 13, it would refuse whoever has no seat: nobody has one
    here, and there is no polkit. (docs/tutorial-smartcard-hsm.md has the rule for a server.)"""
    known = subprocess.run([programs.program("pcscd"), "--help"], capture_output=True, text=True, timeout=60).stdout
    return ["--disable-polkit"] if "--disable-polkit" in known else []


class Card:
    """The card, its readers and pcscd. `runner` starts programs where they see them; `binds`: what else
    is the test's own there."""

    def __init__(self, place: Place, runner: Runner, program: Path, binds: dict[Path, Path] | None = None):
        self.place = place
        for secret in (PIN, SO_PIN):
            runner.transcript.secret(secret)
        directory = place.directory("card", 0o755)
        place.directory("card/readers", 0o755)
        place.file("card/readers/vpcd", READER_CONFIGURATION.format(port=PORT, driver=READER_DRIVER))
        modules = place.directory("card/modules", 0o755)
        packaged = MODULE_FILES / "opensc-pkcs11.module"
        shutil.copy(packaged, modules)
        self.namespace = Namespace(runner, directory / "namespace.log", {MODULE_FILES: modules, **(binds or {})})
        self.runner = NamespaceRunner(runner, self.namespace)
        self.network_runner = NamespaceRunner(runner, self.namespace, network=True)
        self._program = program
        self._control = directory / "control"
        self._reader: int | None = None
        self.pcscd: Daemon | None = None
        try:
            self._power_up()
            self.start_pcscd()
        except BaseException:
            self.discard()
            raise

    def _power_up(self) -> None:
        directory = self.place.root / "card"
        self._control.unlink(missing_ok=True)
        self._card = self.network_runner.spawn(self._program, directory / "memory", self._control, SERIAL,
                                              log=directory / "card.log", as_root=True, record=False)
        wait_for("card", lambda: self._control.exists() or not self._card.running())

    def begin_anew(self) -> None:
        """Out of the reader; its program ends and begins again with what is in the card's memory."""
        self.pull()
        self._card.terminate()
        self._power_up()

    def discard(self) -> None:
        for daemon in (self.pcscd, getattr(self, "_card", None)):
            if daemon:
                daemon.kill()
        self.namespace.end()

    # -- pcscd

    def start_pcscd(self) -> None:
        log = self.place.root / "card/pcscd.log"
        self.pcscd = self.network_runner.spawn(programs.program("pcscd"), "--foreground", "--info",
                                              "--config", self.place.root / "card/readers", *without_polkit(),
                                              log=log, as_root=True, record=False)
        listening = self.namespace.path("/run/pcscd/pcscd.comm")
        wait_for("pcscd", lambda: listening.exists() or not self.pcscd.running())
        assert self.pcscd.running(), self.pcscd.log

    def stop_pcscd(self) -> None:
        self.pcscd.terminate()

    # -- what one does with a card

    def _say(self, line: str) -> str:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            control.connect(str(self._control))
            control.sendall(line.encode() + b"\n")
            return control.recv(1000).decode().strip()

    def insert(self, reader: int = 0, wait: bool = True) -> None:
        """Into the first or second reader, and pcscd has seen it."""
        if self._reader == reader:
            return
        self.pull()
        self._reader = reader
        assert self._say(f"insert {PORT + reader}") == "ok"
        if wait:
            self.wait_until(reader, True)

    def pull(self, wait: bool = True) -> None:
        self._reader = None
        assert self._say("pull") == "ok"
        if wait:
            for reader in (0, 1):
                self.wait_until(reader, False)

    def wait_until(self, reader: int, present: bool) -> None:
        wait_for(f"card {'in' if present else 'out of'} reader {reader}",
                 lambda: self.readers()[reader] == present, interval=0.1)

    def reset(self) -> None:
        """By a program that has nothing to do with the server."""
        self.tool("opensc-tool", "--reset")

    def signatures_take(self, milliseconds: int) -> None:
        assert self._say(f"slow {milliseconds}") == "ok"

    def counts(self) -> dict[str, int]:
        """Signatures made, PINs compared, resets, and commands that need APDUs of extended length, since the card's
        program began."""
        words = self._say("counts").split()
        return dict(zip(words[::2], map(int, words[1::2])))

    # -- OpenSC's tools

    def tool(self, name: str, *argv, as_root: bool = False, **how) -> Result:
        return self.runner.run(programs.program(name), *argv, as_root=as_root, **how)

    def pkcs11(self, *argv, pin: str = PIN, **how) -> Result:
        """pkcs11-tool, logged in."""
        return self.tool("pkcs11-tool", "--module", "opensc-pkcs11.so", "-l", "--pin", pin, *argv, **how)

    def readers(self) -> list[bool]:
        """Whether there is a card in each."""
        output = self.tool("opensc-tool", "--list-readers", check=False).stdout
        return [found == "Yes" for found in re.findall(r"(?m)^\d+ +(Yes|No) ", output)] or [False, False]

    def initialize(self, pin: str = PIN) -> Result:
        return self.tool("sc-hsm-tool", "--initialize", "--so-pin", SO_PIN, "--pin", pin)

    def make_key(self, label: str, kind: str = "EC:prime256v1") -> Result:
        return self.pkcs11("-k", "--key-type", kind, "-a", label)

    def labels(self) -> list[str]:
        """Of the private keys."""
        output = self.pkcs11("-O", "--type", "privkey").stdout
        return sorted(re.findall(r"(?m)^  label: +(.*)$", output))

    def tries_left(self) -> int:
        """As the card counts them."""
        output = self.tool("sc-hsm-tool").stdout
        return 0 if "User PIN locked" in output else int(re.search(r"User PIN tries left +: (\d+)", output)[1])

    def tries_left_by_opensc_tool(self) -> int:
        """The same from the status word of VERIFY without a PIN, as every ISO 7816 card has it."""
        output = self.tool("opensc-tool", "--send-apdu", "00:20:00:81").stdout
        return int(re.search(r"SW1=0x63, SW2=0xC(\d)", output)[1])

    def change_pin(self, new: str, old: str = PIN) -> None:
        self.pkcs11("--change-pin", "--new-pin", new, pin=old)

    def slot(self) -> int:
        """The number of the slot that has the card."""
        output = self.tool("pkcs11-tool", "--module", "opensc-pkcs11.so", "-L").stdout
        for block in re.split(r"(?m)^Slot ", output)[1:]:
            if "token label" in block:
                return int(re.match(r"\d+ \(0x([0-9a-f]+)\)", block)[1], 16)
        raise AssertionError(f"no card:\n{output}")

    def public_key(self, label: str):
        """As the card gives it to pkcs11-tool."""
        path = self.place.directory("card/out") / "public.der"
        path.unlink(missing_ok=True)
        self.pkcs11("--read-object", "--type", "pubkey", "-a", label, "-o", path)
        return load_der_public_key(path.read_bytes())

    # -- p11-kit

    def name_module(self, name: str) -> None:
        """OpenSC's module is called that, and no longer what Debian's package calls it: p11-kit has a
        library under one name only."""
        directory = self.namespace.path("/etc/pkcs11/modules")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{name}.module").write_text("module: opensc-pkcs11.so\n")
        (directory / "opensc-pkcs11.module").write_text("enable-in: none\n")
