# SPDX-License-Identifier: GPL-2.0-or-later
"""`pdnsutil hsm assign` stores a reference, and the key is pinned in it."""
import base64

import pytest

from harness import zones
from harness.dnskey import ALGORITHMS, KSK, ZSK, DnsKey


def expected_row(algorithm, token, label, pub_label, key: DnsKey) -> bytes:
    return (f"Private-key-format: v1.2\nAlgorithm: {algorithm}\nEngine: softhsm2\nSlot: {token.label}\n"
            f"PIN: {token.pin}\nLabel: {label}\nPubLabel: {pub_label}\n"
            f"PublicKey: {base64.b64encode(key.key).decode()}\n").encode()


def stored(site, zone: str, content: bytes) -> bool:
    """Whether exactly that content is in the table; in LMDB, whether it is in the file, as that has it."""
    if site.database.has_rows:
        return [row.content for row in site.database.key_rows(zone)] == [content]
    return site.database.as_stored(content) in site.database.raw()


@pytest.mark.parametrize("algorithm, kind", [("ecdsa256", "P-256"), ("rsasha256", "RSA-2048")])
def test_assign_stores_the_reference_with_the_public_key_pinned(any_site, algorithm, kind):
    site = any_site
    zone = site.add_zone(zones.small(zones.SIGNED)).name
    token = site.token("the token")
    public = token.make_key("a key", kind)

    done = site.assign(zone, algorithm, "ksk", token, "a key")

    number = ALGORITHMS[algorithm]
    key = DnsKey.of(zone, public, number, KSK)
    assert stored(site, zone, expected_row(number, token, "a key", "a key", key))
    assert f"assigned to {zone} with key id" in done.stderr
    if site.database.has_rows:
        row, = site.database.key_rows(zone)
        assert (row.flags, row.active, row.published) == (KSK, True, True)


def test_assign_zsk_has_the_flags_of_a_zsk(any_site):
    site = any_site
    zone = site.add_zone(zones.small(zones.SIGNED)).name
    token = site.token()
    key = DnsKey.of(zone, token.make_key("zsk"), 13, ZSK)
    site.assign(zone, "ecdsa256", "zsk", token, "zsk")
    site.start_server()
    if site.database.has_rows:
        row, = site.database.key_rows(zone)
        assert row.flags == ZSK
    answer = site.servers[0].ask(zone, "DNSKEY")
    assert key.rdata in [rdata for rrset in answer.answer for rdata in rrset]


def test_assign_takes_another_label_for_the_public_key(site):
    zone = site.add_zone(zones.small(zones.SIGNED)).name
    token = site.token()
    public = token.make_key("the key", id="aa11")
    token.tool("--delete-object", "--type", "pubkey", "--id", "aa11")
    path = site.place.file("public.pem", _pem(public))
    token.tool("--write-object", path, "--type", "pubkey", "--label", "its public half", "--id", "aa11")

    site.pdnsutil("hsm", "assign", zone, "ecdsa256", "ksk", "softhsm2", token.label, token.pin,
                  "the key", "its public half")

    key = DnsKey.of(zone, public, 13, KSK)
    row, = site.database.key_rows(zone)
    assert row.content == expected_row(13, token, "the key", "its public half", key)


def test_assign_refuses_the_same_key_twice_and_names_the_one_there(any_site):
    site = any_site
    zone = site.add_zone(zones.small(zones.SIGNED)).name
    token = site.token()
    token.make_key("a key")
    first = site.assign(zone, "ecdsa256", "ksk", token, "a key")
    key_id = first.stderr.split("with key id ")[1].split()[0]
    before = site.pdnsutil("list-keys", zone).stdout

    second = site.assign(zone, "ecdsa256", "ksk", token, "a key", check=False)

    assert second.returncode != 0
    assert "Error: " in second.stderr and key_id in second.stderr.split("Error: ")[1]
    assert site.pdnsutil("list-keys", zone).stdout == before


def test_assign_takes_the_same_key_as_ksk_and_as_zsk(site):
    zone = site.add_zone(zones.small(zones.SIGNED)).name
    token = site.token()
    token.make_key("a key")
    site.assign(zone, "ecdsa256", "ksk", token, "a key")
    site.assign(zone, "ecdsa256", "zsk", token, "a key")
    assert [row.flags for row in site.database.key_rows(zone)] == [KSK, ZSK]


@pytest.mark.parametrize("name", ["ecdsa256", "ECDSAP256SHA256"])
def test_assign_knows_powerdns_names_of_algorithms(site, name):
    zone = site.add_zone(zones.small(zones.SIGNED)).name
    token = site.token()
    token.make_key("a key")
    site.pdnsutil("hsm", "assign", zone, name, "ksk", "softhsm2", token.label, token.pin, "a key")
    row, = site.database.key_rows(zone)
    assert row.lines()["Algorithm"] == "13"


def test_assign_knows_the_label_of_the_token_in_any_case(site):
    """As the built-in engine does."""
    zone = site.add_zone(zones.small(zones.SIGNED)).name
    token = site.token("Case Matters Not")
    token.make_key("a key")
    site.pdnsutil("hsm", "assign", zone, "ecdsa256", "ksk", "softhsm2", "case matters NOT", token.pin, "a key")
    row, = site.database.key_rows(zone)
    assert row.lines()["PublicKey"]


def _pem(public_key) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    return public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
