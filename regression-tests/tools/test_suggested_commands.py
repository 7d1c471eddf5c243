# SPDX-License-Identifier: GPL-2.0-or-later
"""A command that a message suggests can be pasted into a shell as it stands, whatever the names in it are."""
import re

import pytest

from harness import zones

ZONE = r"a\.b\032it's$HOME.test"
COMMAND = re.compile(r"pdnsutil --config-dir=\S+ (?:rectify-zone|show-zone|remove-zone-key) .*")


@pytest.fixture
def token(site):
    site.add_zone(zones.small(ZONE))
    token = site.token("it's $HOME")
    token.make_key("a key")
    return token


def test_what_comes_next_behind_assign(site, token):
    said = site.command("assign", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "a key").stdout
    rectify, show = COMMAND.findall(said)
    assert "Adding NSEC" in site.paste(rectify).stderr
    assert "DS = " in site.paste(show).stdout


def test_a_row_that_cannot_be_used_is_removed(site, token):
    row = site.database.add_key_row(ZONE, b"Engine: softhsm2\n")
    said = site.pdnsutil("show-zone", ZONE).stderr
    site.paste(COMMAND.search(said)[0])
    assert row not in [row.id for row in site.database.key_rows(ZONE)]
