# SPDX-License-Identifier: GPL-2.0-or-later
"""NSS's own soft token, without NSS: p11-kit hands libsoftokn3 the parameters it wants."""
from .. import programs
from .driver import EDDSA, Driver


class Nss(Driver):
    name = "nss"
    module = "nss"
    may_lack_curve = EDDSA

    def module_file(self) -> str:
        directory = self.place.directory("nss")
        return (f"module: {programs.library('*/libsoftokn3.so')}\n"
                f"x-init-reserved: configdir='sql:{directory}' certPrefix='' keyPrefix='' secmod='' "
                f"flags=optimizeSpace dbTokenDescription='{self.label}'\n")

    def initialize(self) -> None:
        pin = self.place.file("nss-pin", self.pin + "\n")
        self.runner.run(programs.program("certutil"), "-N", "-d", f"sql:{self.place.root / 'nss'}", "-f", pin)
        pin.unlink()
