# SPDX-License-Identifier: GPL-2.0-or-later
"""How the token and the key are found."""
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from harness import zones
from harness.commands import assert_refused
from harness.dnskey import KSK, DnsKey
from harness.pdnsutil_output import shown_keys
from harness.validate import assert_delv, keys_of

ZONE = zones.SIGNED


def assign(site, slot, pin, label, *pub_label, algorithm="ecdsa256", check=True):
    return site.command("assign", ZONE, algorithm, "ksk", "softhsm2", slot, pin, label, *pub_label, check=check)


def shown_tag(site) -> int:
    shown, = shown_keys(site.pdnsutil("show-zone", ZONE).stdout)
    return shown.tag


# -- the token

WAYS = {
    "label": lambda token: token.label,
    "serial": lambda token: token.serial,
    "slot number": lambda token: str(token.slot),
    "uri with token": lambda token: f"pkcs11:token={token.label.replace(' ', '%20')}",
    "uri with serial": lambda token: f"pkcs11:serial={token.serial}",
    "uri with much": lambda token: (f"pkcs11:token={token.label.replace(' ', '%20')};serial={token.serial};"
                                    "manufacturer=SoftHSM%20project;model=SoftHSM%20v2"),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_token_is_found_by(site, way):
    site.add_zone(zones.small(ZONE))
    decoy, token = site.token("a decoy"), site.token("the token")
    decoy.make_key("a key")
    key = DnsKey.of(ZONE, token.make_key("a key"), 13, KSK)

    assign(site, WAYS[way](token), token.pin, "a key")

    assert shown_tag(site) == key.tag
    row, = site.database.key_rows(ZONE)
    assert row.lines()["Slot"] == WAYS[way](token)
    site.pdnsutil("rectify-zone", ZONE)
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


@pytest.mark.parametrize("way", ["label", "serial", "slot number", "uri with token"])
def test_empty_readers_before_and_behind_do_not_matter(site, spy, way):
    site.add_zone(zones.small(ZONE))
    token = site.token("the token")
    key = DnsKey.of(ZONE, token.make_key("a key"), 13, KSK)
    spy.rules("slots empty 2")
    assign(site, WAYS[way](token), token.pin, "a key")
    assert shown_tag(site) == key.tag
    site.pdnsutil("rectify-zone", ZONE)
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


def test_a_label_that_two_tokens_carry_is_an_error_naming_both(site):
    site.add_zone(zones.small(ZONE))
    one, two = site.token("twins"), site.token("twins")
    one.make_key("a key")
    refused = assign(site, "twins", one.pin, "a key", check=False)
    assert_refused(refused, "twins", one.serial, two.serial)
    assert site.database.key_rows(ZONE) == []
    assign(site, one.serial, one.pin, "a key")  # the way out


def test_two_tokens_serve_one_zone(site):
    site.add_zone(zones.small(ZONE))
    one, two = site.token("one"), site.token("two")
    one.make_key("ksk")
    two.make_key("zsk")
    site.assign(ZONE, "ecdsa256", "ksk", one, "ksk")
    site.assign(ZONE, "ecdsa256", "zsk", two, "zsk")
    site.pdnsutil("rectify-zone", ZONE)
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


# -- the key

@pytest.mark.parametrize("uri", ["pkcs11:object=a%20key", "pkcs11:id=%AA%01", "pkcs11:object=a%20key;id=%aa%01",
                                 "pkcs11:object=a%20key;type=private"])
def test_the_key_is_found_by_uri(site, uri):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("decoy", id="aa02")
    key = DnsKey.of(ZONE, token.make_key("a key", id="aa01"), 13, KSK)
    assign(site, token.label, token.pin, uri)
    assert shown_tag(site) == key.tag
    site.pdnsutil("rectify-zone", ZONE)
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


def test_two_keys_of_one_label_are_an_error_naming_both_ids(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    keys = {id: DnsKey.of(ZONE, token.make_key("twins", id=id), 13, KSK) for id in ("aa01", "bb02")}
    refused = assign(site, token.label, token.pin, "twins", check=False)
    text = assert_refused(refused, "twins").lower().replace("%", "").replace(":", "")
    assert "aa01" in text and "bb02" in text
    assert site.database.key_rows(ZONE) == []
    # the way out
    assign(site, token.label, token.pin, "pkcs11:object=twins;id=%bb%02")
    assert shown_tag(site) == keys["bb02"].tag


def pairs(token, *privates):
    """Under one label and one id."""
    for private in privates:
        token.write_key(private, "aa01", "twins")
    assert len(token.objects("private", "twins")) == len(privates)


def test_of_two_keys_of_one_label_and_id_the_pinned_one_is_used(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    first, second = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pairs(token, first)
    site.assign(ZONE, "ecdsa256", "ksk", token, "twins")
    site.pdnsutil("rectify-zone", ZONE)
    token.delete("twins")
    pairs(token, second, first)
    assert "0 failed" in site.command("check").stdout
    server = site.start_server()
    key, = keys_of(server, ZONE)
    assert key.key == DnsKey.of(ZONE, first.public_key(), 13, KSK).key
    assert_delv(server, ZONE, f"www.{ZONE}")


def test_two_keys_of_one_label_and_id_and_what_helps(site):
    """The command is pasted as it stands; only the PIN is not asked for."""
    site.add_zone(zones.small(ZONE))
    token = site.token()
    privates = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    pairs(token, *privates)
    said = assert_refused(assign(site, token.label, token.pin, "twins", check=False), "twins", "2 different")
    assert site.database.key_rows(ZONE) == []
    names = re.findall(r"'(pkcs11:[^']+)'", said)
    command = re.search(r"pkcs11-tool .*$", said, re.MULTILINE)[0]
    site.runner.run("/bin/sh", "-e", "-c", command.replace("--login", f"--login --pin {token.pin}"))
    assert len(names) == 2
    for name in names:
        assign(site, token.label, token.pin, name)
    keys = {DnsKey.of(ZONE, private.public_key(), 13, KSK).tag for private in privates}
    assert {key.tag for key in shown_keys(site.pdnsutil("show-zone", ZONE).stdout)} == keys
    assert "2 keys checked, 0 failed" in site.command("check").stdout


def test_a_key_that_was_imported_twice_is_one_key(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    private = ec.generate_private_key(ec.SECP256R1())
    pairs(token, private, private)
    assign(site, token.label, token.pin, "twins")
    assert shown_tag(site) == DnsKey.of(ZONE, private.public_key(), 13, KSK).tag
    site.pdnsutil("rectify-zone", ZONE)
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


def test_labels_are_told_apart_exactly(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("Key")
    token.make_key("key 2")
    key = DnsKey.of(ZONE, token.make_key("key"), 13, KSK)
    assign(site, token.label, token.pin, "key")
    assert shown_tag(site) == key.tag


@pytest.mark.parametrize("label", ["schlüssel", "ключ 1", "key;with=odd%characters/in?it", "x" * 120])
def test_labels_of_any_kind(site, label):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    key = DnsKey.of(ZONE, token.make_key(label), 13, KSK)
    assign(site, token.label, token.pin, label)
    assert shown_tag(site) == key.tag


# -- the public half

def test_the_public_half_comes_from_the_private_keys_own_attributes(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    key = DnsKey.of(ZONE, token.make_key("a key", "RSA-1024"), 8, KSK)
    token.delete("a key", "pubkey")
    assign(site, token.label, token.pin, "a key", algorithm="rsasha256")
    assert shown_tag(site) == key.tag


def test_the_public_half_comes_from_a_certificate(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    public = token.make_key("a key", id="c0de")
    key = DnsKey.of(ZONE, public, 13, KSK)
    token.delete("a key", "pubkey")
    token.write_certificate("a key", "c0de", public)
    assign(site, token.label, token.pin, "a key")
    assert shown_tag(site) == key.tag
    site.pdnsutil("rectify-zone", ZONE)
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


def test_the_public_half_comes_from_the_pinned_key(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    key = DnsKey.of(ZONE, token.make_key("a key"), 13, KSK)
    assign(site, token.label, token.pin, "a key")
    token.delete("a key", "pubkey")
    assert shown_tag(site) == key.tag
    site.pdnsutil("rectify-zone", ZONE)
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


def test_without_any_public_half_assign_refuses(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("a key")
    token.delete("a key", "pubkey")
    refused = assign(site, token.label, token.pin, "a key", check=False)
    assert_refused(refused, "a key", "public")
    assert site.database.key_rows(ZONE) == []


def test_a_public_key_of_another_label_is_not_taken_for_it(site):
    """Were it, the signatures would verify for nobody."""
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("a key")
    token.make_key("another")
    refused = assign(site, token.label, token.pin, "a key", "another", check=False)
    assert_refused(refused, "a key")
    assert site.database.key_rows(ZONE) == []
