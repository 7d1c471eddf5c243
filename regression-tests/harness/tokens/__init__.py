# SPDX-License-Identifier: GPL-2.0-or-later
"""Tokens of several makes, all of which test_tokens.py treats alike."""
from .driver import Driver
from .nss import Nss
from .opencryptoki import OpenCryptoki
from .remote import Remote
from .smartcard import SmartCard
from .softhsm import SoftHsm
from .tpm import Tpm

DRIVERS = {driver.name: driver for driver in (SoftHsm, SmartCard, Tpm, OpenCryptoki, Nss, Remote)}
