# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulated SmartCard-HSM behind pcscd and OpenSC (harness/card.py)."""
from .. import card
from ..place import Place
from ..runner import Runner
from ..site import Site
from .driver import Driver


class SmartCard(Driver):
    name = "smartcard-hsm"
    module = "opensc"
    label = card.LABEL

    def __init__(self, place: Place, runner: Runner):
        self.place = place
        self.card = card.Card(place, runner, card.build(place.directory("schsm", 0o755)))
        self.runner = self.card.runner
        self.pin, self.so_pin = card.PIN, card.SO_PIN

    def attach(self, site: Site) -> None:
        # p11-kit's configuration is that of the machine, which is the test's own.
        del self.runner.environment["XDG_CONFIG_HOME"]
        self.card.insert()
        self.card.initialize()
        self.card.name_module(self.module)
        self.token = self.find()

    def discard(self) -> None:
        self.card.discard()
