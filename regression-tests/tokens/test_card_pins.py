# SPDX-License-Identifier: GPL-2.0-or-later
"""A card whose PIN is changed while the server uses it: docs/deployment.md, "Changing the token's PIN"."""
import pytest

from harness import zones
from harness.card import LABEL, PIN, SOON
from harness.deadline import wait_for
from harness.faults import Names, is_refused

ZONE = zones.SIGNED
MODULE = "opensc-pkcs11"
NEW = "8642~975"


class Served:
    """A zone whose PIN comes from a file."""

    def __init__(self, card, site):
        self.card, self.site = card, site
        site.transcript.secret(NEW)
        card.insert()
        card.initialize()
        site.add_zone(zones.many(ZONE, 400))
        self.write(PIN)
        site.set(pkcs11signer_pin_source=f"file:{site.place.root / 'pin'}", pkcs11signer_timeout="10000")
        for role in ("ksk", "zsk"):
            site.command("generate", ZONE, "ecdsa256", role, MODULE, LABEL, "", role)
        site.pdnsutil("rectify-zone", ZONE)
        self.server = site.start_server()
        self.names = Names(self.server, ZONE, warm=5)

    def write(self, pin: str) -> None:
        self.site.place.file("pin", f"{pin}\n")

    def assert_signs(self) -> None:
        wait_for("signature", self.names.cold_is_signed, interval=SOON)
        for _ in range(5):
            self.names.assert_cold_signed()


@pytest.fixture
def served(card, card_site):
    return Served(card, card_site)


def test_as_the_documentation_has_it(card, served):
    """On the card, in the file, check: no signature is missed, and no try is used up."""
    card.change_pin(NEW)
    served.assert_signs()
    served.write(NEW)
    assert served.site.command("check").stdout.strip().endswith("2 keys checked, 0 failed")
    served.assert_signs()
    for _ in range(3):
        card.reset()
        served.assert_signs()
    assert card.tries_left() == 3
    served.server.stop()
    served.server = served.names.server = served.site.start_server()
    served.assert_signs()
    assert card.tries_left() == 3


def test_the_file_is_forgotten(card, served):
    """The old PIN is tried once more at the next login, which is when the card is put in again; the third try
    is for people."""
    card.change_pin(NEW)
    card.pull()
    served.names.assert_cold_refused()
    card.insert()
    wait_for("word of it", lambda: "refused the PIN" in served.server.log)
    for _ in range(20):
        assert is_refused(served.names.ask_cold(timeout=30))
    assert card.tries_left() == 2
    served.write(NEW)
    served.assert_signs()
    assert card.tries_left() == 3


def test_the_file_is_forgotten_and_the_card_is_reset(card, served):
    """OpenSC keeps PINs too (use_pin_caching): that must not come on top."""
    card.change_pin(NEW)
    card.reset()
    wait_for("a login with the old PIN", lambda: served.names.ask_cold(timeout=30) and card.tries_left() == 2, interval=SOON)
    for _ in range(20):
        served.names.ask_cold(timeout=30)
    assert card.tries_left() == 2
    served.write(NEW)
    served.assert_signs()
    assert card.tries_left() == 3
