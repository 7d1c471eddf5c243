# SPDX-License-Identifier: GPL-2.0-or-later
"""A SmartCard-HSM behind pcscd and OpenSC: what is done with a real one, with the same commands."""
import re

import pytest

from harness import zones
from harness.card import LABEL, PIN, SERIAL
from harness.deadline import wait_for
from harness.dnskey import KSK, ZSK, DnsKey
from harness.faults import is_refused, is_signed
from harness.pdnsutil_output import shown_keys
from harness.validate import assert_delv, assert_signed, assert_transfer_verifies, keys_of

ZONE = "cmouse.aa"
OTHER = "cmouse.bb"
KSK_LABEL, ZSK_LABEL = f"{ZONE}-KSK", f"{ZONE}-ZSK"
ROLES = {"ksk": KSK_LABEL, "zsk": ZSK_LABEL}
MODULE = "opensc"

READERS = pytest.mark.parametrize("reader", [0, 1], ids=["first-reader", "second-reader"])


@pytest.fixture
def ready(card, card_site):
    """A card that has a PIN, in the first reader, p11-kit's name for it, and a zone."""
    card.insert()
    card.initialize()
    card.name_module(MODULE)
    card_site.add_zone(zones.small(ZONE))
    return card_site


def assign(site, zone, role, label, slot=LABEL, **how):
    algorithm = "rsasha256" if label in ROLES.values() else "ecdsa256"
    return site.command("assign", zone, algorithm, role, MODULE, slot, PIN, label, **how)


def assign_both(site, zone=ZONE, slot=LABEL):
    for role, label in ROLES.items():
        assign(site, zone, role, label, slot)
    site.pdnsutil("rectify-zone", zone)


def assert_served(server, zone, *algorithms):
    keys = keys_of(server, zone)
    assert {key.algorithm for key in keys} == set(algorithms)
    for name, rdtype in ((f"www.{zone}", "A"), (zone, "SOA"), (f"missing.{zone}", "A")):
        assert_signed(server.ask(name, rdtype), keys)
    assert_delv(server, zone, f"www.{zone}")
    return keys


def assert_unsigned(server, zone):
    assert not is_signed(server.ask(f"www.{zone}"))
    assert not server.ask(zone, "DNSKEY").answer


# -- the walk-through

@READERS
@pytest.mark.parametrize("by", ["label", "number", "serial"])
def test_the_walk_through(card, card_site, reader, by):
    card.insert(reader)
    listed = card.tool("opensc-tool", "--list-readers").stdout
    assert re.findall(r"(?m)^(\d) +(Yes|No) +Virtual PCD 00 0\d$", listed) == [
        ("0", "No" if reader else "Yes"), ("1", "Yes" if reader else "No")]
    card.tool("sc-hsm-tool", "--initialize", "--so-pin", "0123012301230123", "--pin", PIN)
    for bits, label in ((2048, KSK_LABEL), (1024, ZSK_LABEL)):
        made = card.tool("pkcs11-tool", "--module", "opensc-pkcs11.so", "-l", "--pin", PIN, "-k",
                         "--key-type", f"RSA:{bits}", "-a", label).stdout
        assert "Key pair generated" in made and re.findall(r"(?m)^ +label: +(.*)$", made) == [label, label]
    card.name_module(MODULE)
    listed = card.tool("p11-kit", "list-modules").stdout
    # Older and newer p11-kit.
    assert re.match(r"(module: )?opensc(: opensc-pkcs11\.so\n|\n +path: .*/opensc-pkcs11\.so\n)", listed)
    assert f"token: {LABEL}" in listed

    card_site.add_zone(zones.rich(ZONE))
    slot = {"label": LABEL, "number": card.slot(), "serial": SERIAL}[by]
    assert card.slot() == (4 if reader else 0)
    assign_both(card_site, slot=slot)
    shown = {key.role: key for key in shown_keys(card_site.pdnsutil("show-zone", ZONE).stdout)}
    for role, flags, label in (("KSK", KSK, KSK_LABEL), ("ZSK", ZSK, ZSK_LABEL)):
        expected = DnsKey.of(ZONE, card.public_key(label), 8, flags)
        assert (shown[role].tag, shown[role].bits) == (expected.tag, expected.bits)
    ds = DnsKey.of(ZONE, card.public_key(KSK_LABEL), 8, KSK).ds("SHA256")
    assert ds.lower() in [text.lower() for text in shown["KSK"].ds]

    server = card_site.start_server()
    keys = assert_served(server, ZONE, 8)
    assert_transfer_verifies(server, ZONE)
    card_site.pdnsutil("disable-dnssec", ZONE)
    assert_unsigned(server, ZONE)
    assert card.labels() == [KSK_LABEL, ZSK_LABEL]

    # The keys are used again, and by two zones.
    card_site.add_zone(zones.small(OTHER))
    for zone in (ZONE, OTHER):
        assign_both(card_site, zone, slot)
    assert assert_served(server, ZONE, 8) == keys
    assert {key.key for key in assert_served(server, OTHER, 8)} == {key.key for key in keys}

    for zone in (ZONE, OTHER):
        card_site.pdnsutil("disable-dnssec", zone)
    for label in ROLES.values():
        card.pkcs11("--delete-object", "--type", "privkey", "-a", label)
    assert card.labels() == []
    refused = assign(card_site, ZONE, "ksk", KSK_LABEL, check=False)
    assert refused.returncode == 1 and KSK_LABEL in refused.stderr
    assert card_site.database.key_rows(ZONE) == []
    server.stop()


@READERS
def test_hsm_assign(card, ready, reader):
    """PowerDNS's own command. Its engine looks at the first reader only: an empty one there is its end."""
    card.insert(reader)
    card.make_key(KSK_LABEL, "RSA:2048")
    result = ready.pdnsutil("hsm", "assign", ZONE, "rsasha256", "ksk", MODULE, LABEL, PIN, KSK_LABEL, check=False)
    if reader == 0:
        ready.pdnsutil("rectify-zone", ZONE)
        assert_served(ready.start_server(), ZONE, 8)
    else:
        assert result.returncode == 1 and "not present" in result.stderr
        assert ready.database.key_rows(ZONE) == []


def test_both_names_of_the_library(card, ready):
    """p11-kit has the library under one name; the server finds it under either."""
    (card.namespace.path("/etc/pkcs11/modules") / "opensc-pkcs11.module").unlink()
    assert card.tool("p11-kit", "list-modules").stdout.count("opensc") == 2
    card.make_key("one")
    card.make_key("two")
    ready.add_zone(zones.small(OTHER))
    ready.command("assign", ZONE, "ecdsa256", "ksk", "opensc", LABEL, PIN, "one")
    ready.command("assign", OTHER, "ecdsa256", "ksk", "opensc-pkcs11", LABEL, PIN, "two")
    for zone in (ZONE, OTHER):
        ready.pdnsutil("rectify-zone", zone)
    server = ready.start_server()
    for zone in (ZONE, OTHER):
        assert_served(server, zone, 13)
    assert card.counts()["verifies"] > 0 and card.tries_left() == 3

    # Who is in the library under one name is not thrown out by what the other one lacks.
    third = zones.small("cmouse.cc")
    ready.add_zone(third)
    card.make_key("three")
    ready.command("assign", third.name, "ecdsa256", "ksk", "opensc", LABEL, PIN, "three")
    ready.pdnsutil("rectify-zone", third.name)
    for _ in range(5):
        assert is_refused(server.ask(f"www.{third.name}", timeout=30))
    server.assert_alive()
    for zone in (ZONE, OTHER):
        assert_signed(server.ask(f"ns1.{zone}"), keys_of(server, zone))
    server.stop()
    assert_served(ready.start_server(), third.name, 13)


# -- keys

@READERS
@pytest.mark.parametrize("algorithm,number,bits", [("rsasha256", 8, "2048"), ("rsasha256", 8, "1536"),
                                                   ("rsasha256", 8, "1024"), ("rsasha512", 10, "2048"),
                                                   ("ecdsa256", 13, ""), ("ecdsa384", 14, "")])
def test_generate_on_the_card_twice(card, ready, reader, algorithm, number, bits):
    card.insert(reader)
    for role, label in ROLES.items():
        ready.command("generate", ZONE, algorithm, role, MODULE, LABEL, PIN, label, *([bits] if bits else []))
    ready.pdnsutil("rectify-zone", ZONE)
    assert card.labels() == [KSK_LABEL, ZSK_LABEL]
    ids = re.findall(r"(?m)^  ID: +(\S+)$", card.pkcs11("-O", "--type", "privkey").stdout)
    assert len(set(ids)) == 2
    again = ready.command("generate", ZONE, algorithm, "zsk", MODULE, LABEL, PIN, ZSK_LABEL, check=False)
    assert again.returncode == 1 and ZSK_LABEL in again.stderr
    assert card.labels() == [KSK_LABEL, ZSK_LABEL]
    keys = assert_served(ready.start_server(), ZONE, number)
    if bits:
        assert {8 * (len(key.key) - 4) for key in keys} == {int(bits)}  # RFC 3110: behind 3, 1, 0, 1
    assert ready.command("check").stdout.strip().endswith("2 keys checked, 0 failed")


def test_long_commands_and_answers(card, ready):
    """Those of a key of 2048 bits do not fit into short APDUs."""
    before = card.counts()["extended"]
    card.make_key(KSK_LABEL, "RSA:2048")
    assert card.counts()["extended"] > before
    assign(ready, ZONE, "ksk", KSK_LABEL)
    ready.pdnsutil("rectify-zone", ZONE)
    before = card.counts()["extended"]
    assert_served(ready.start_server(), ZONE, 8)
    assert card.counts()["extended"] > before


def test_what_is_on_the_card_is_there_after_a_power_cut(card, ready):
    """The keys, and how often a wrong PIN was given."""
    for label in ROLES.values():
        card.make_key(label, "RSA:1024")
    assign_both(ready)
    server = ready.start_server()
    keys = assert_served(server, ZONE, 8)
    server.stop()
    card.pkcs11("-O", pin="999999", check=False)
    assert card.tries_left() == 2
    card.begin_anew()
    card.insert(1)
    assert card.tries_left() == card.tries_left_by_opensc_tool() == 2
    server = ready.start_server()
    assert assert_served(server, ZONE, 8) == keys
    assert_signed(server.ask(f"ns1.{ZONE}"), keys)  # not asked for before: that takes a login
    assert card.tries_left() == 3


def test_a_warm_answer_asks_nothing_of_the_card(card, ready):
    card.make_key("key")
    assign(ready, ZONE, "ksk", "key")
    ready.pdnsutil("rectify-zone", ZONE)
    server = ready.start_server()
    assert_served(server, ZONE, 13)
    before = card.counts()
    assert before["signatures"] > 0
    for _ in range(10):
        assert_served(server, ZONE, 13)
    assert card.counts() == before


@pytest.mark.parametrize("how", ["pkcs11-tool", "generate"])
def test_a_key_that_is_made_while_the_server_runs(card, ready, how):
    """OpenSC knows the keys that were on the card when it first looked: it is made to look again."""
    card.make_key("old")
    assign(ready, ZONE, "ksk", "old")
    ready.pdnsutil("rectify-zone", ZONE)
    ready.add_zone(zones.small(OTHER))
    server = ready.start_server()
    assert_served(server, ZONE, 13)
    if how == "generate":
        ready.command("generate", OTHER, "ecdsa256", "ksk", MODULE, LABEL, PIN, "new")
    else:
        card.make_key("new")
        assign(ready, OTHER, "ksk", "new")
    ready.pdnsutil("rectify-zone", OTHER)
    wait_for("signature", lambda: is_signed(server.ask(f"www.{OTHER}")))
    assert_served(server, OTHER, 13)
    assert_served(server, ZONE, 13)
    assert card.tries_left() == 3


def test_a_key_that_is_replaced_while_the_server_runs(card, ready):
    """Under the same label, and perhaps with the same number on the card."""
    card.make_key("key")
    assign(ready, ZONE, "ksk", "key")
    ready.pdnsutil("rectify-zone", ZONE)
    server = ready.start_server()
    before = assert_served(server, ZONE, 13)
    ready.pdnsutil("disable-dnssec", ZONE)
    card.pkcs11("--delete-object", "--type", "privkey", "-a", "key")
    card.make_key("key")
    assign(ready, ZONE, "ksk", "key")
    ready.pdnsutil("rectify-zone", ZONE)
    wait_for("signature", lambda: is_signed(server.ask(f"www.{ZONE}")))
    assert assert_served(server, ZONE, 13) != before
