# SPDX-License-Identifier: GPL-2.0-or-later
"""SoftHSM, as all other tests have it."""
from ..site import Site
from .driver import ECDSA, EDDSA, RSA, Driver


class SoftHsm(Driver):
    name = "softhsm"
    module = "softhsm2"
    offers = RSA | ECDSA | EDDSA

    def attach(self, site: Site) -> None:
        site.token(self.label, pin=self.pin)
        self.token = self.find()
