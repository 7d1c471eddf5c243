# SPDX-License-Identifier: GPL-2.0-or-later
"""How the token and the key are found."""
import pytest

from harness import zones
from harness.commands import assert_refused
from harness.dnskey import KSK, DnsKey
from harness.pdnsutil_output import shown_keys
from harness.validate import assert_delv

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
