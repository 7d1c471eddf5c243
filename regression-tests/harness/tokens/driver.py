# SPDX-License-Identifier: GPL-2.0-or-later
"""What test_tokens.py wants of a token."""

from .. import programs
from ..place import Place
from ..runner import Runner
from ..site import Site
from ..token import Token, slots_in, some_pin

RSA = {5, 7, 8, 10}
ECDSA = {13, 14}
EDDSA = {15, 16}


class ProxyToken(Token):
    """A token as pkcs11-tool sees it through p11-kit, that is with the configuration that the server has."""

    def tool(self, *argv, check: bool = True, login: bool = True):
        credentials = ["--login", "--pin", self.pin] if login else []
        return self.hsm.runner.run(programs.program("pkcs11-tool"), "--module", programs.library("*/p11-kit-proxy.so"),
                                   "--token-label", self.label, *credentials, *argv, check=check)


class Driver:
    """A new token with a PIN. Made before the site, whose programs run where `runner` runs them; attach() then
    makes p11-kit there know the token. `discard` ends what it started."""
    name = ""
    module = ""        # p11-kit's name for it
    label = "dns keys"
    offers = RSA | ECDSA  # DNSSEC algorithms
    may_lack_curve: set[int] = set()  # algorithms whose mechanism it lists in some versions, without their curve
    sees_deletions = True  # of a key, by another process
    needs_daemon = True  # once somebody is connected
    restarts = False   # there is a program beside the server that can be restarted

    def __init__(self, place: Place, runner: Runner):
        self.place = place
        self.runner = runner
        self.pin = runner.transcript.secret(some_pin())
        self.so_pin = runner.transcript.secret(some_pin())

    def attach(self, site: Site) -> None:
        self.add_module(self.module_file())
        self.initialize()
        self.token = self.find()

    def add_module(self, text: str, name: str = "") -> None:
        self.place.file(f"xdg/pkcs11/modules/{name or self.module}.module", text)

    def module_file(self) -> str:
        raise NotImplementedError

    def initialize(self) -> None:
        """Label and PINs, with the token's own tools."""

    def find(self, label: str = "", pin: str = "") -> Token:
        label = label or self.label
        slot, serial = self.slots()[label]
        return ProxyToken(self, label, pin or self.pin, self.so_pin, serial, slot)

    def slots(self) -> dict[str, tuple[int, str]]:
        """Label → slot and serial as p11-kit's proxy has them."""
        output = self.runner.run(programs.program("pkcs11-tool"), "--module", programs.library("*/p11-kit-proxy.so"), "-L").stdout
        return {label: (slot, serial) for slot, label, serial in slots_in(output)}

    # -- what happens to it

    def stop(self) -> None:
        """End the program beside the server."""
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError

    def discard(self) -> None:
        """End what was started; does not complain."""
