# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows come and go, keys on the token stay; zones share keys and mix kinds."""
import dns.rdatatype
import pytest

from harness import zones
from harness.dnskey import KSK, DnsKey
from harness.pdnsutil_output import shown_keys
from harness.validate import assert_delv, assert_signed, assert_transfer_verifies, keys_of

ZONE = zones.SIGNED


def has_keys(site, zone: str) -> bool:
    return bool(shown_keys(site.pdnsutil("show-zone", zone).stdout))


def test_disable_dnssec_removes_rows_and_leaves_the_keys_on_the_token(any_site):
    site = any_site
    site.add_zone(zones.small(ZONE))
    token = site.token()
    site.secure(ZONE, token)
    labels = token.labels()
    server = site.start_server()
    assert keys_of(server, ZONE)

    site.pdnsutil("disable-dnssec", ZONE)

    assert not has_keys(site, ZONE)
    if site.database.has_rows:
        assert site.database.key_rows(ZONE) == []
    assert token.labels() == labels
    assert not server.ask(ZONE, "DNSKEY").answer
    answer = server.ask(f"www.{ZONE}")
    assert [r.rdtype for r in answer.answer] == [dns.rdatatype.A]
    server.stop()


def test_keys_can_be_assigned_again_after_disable_dnssec(any_site):
    site = any_site
    site.add_zone(zones.small(ZONE))
    token = site.token()
    site.secure(ZONE, token)
    before = sorted(key.tag for key in shown_keys(site.pdnsutil("show-zone", ZONE).stdout))
    site.pdnsutil("disable-dnssec", ZONE)
    for role in ("ksk", "zsk"):
        site.assign(ZONE, "ecdsa256", role, token, f"{ZONE}-{role}")
    site.pdnsutil("rectify-zone", ZONE)
    assert sorted(key.tag for key in shown_keys(site.pdnsutil("show-zone", ZONE).stdout)) == before
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


def test_one_key_signs_several_zones_at_once(any_site):
    site = any_site
    names = [f"zone{i}.test" for i in range(3)]
    token = site.token()
    public = token.make_key("shared")
    for name in names:
        site.add_zone(zones.small(name))
        site.assign(name, "ecdsa256", "ksk", token, "shared")
        site.pdnsutil("rectify-zone", name)
    server = site.start_server()
    for name in names:
        keys = keys_of(server, name)
        assert [key.key for key in keys] == [DnsKey.of(name, public, 13, KSK).key]
        assert_signed(server.ask(f"www.{name}"), keys)
        assert_delv(server, name, f"www.{name}")
    # One zone leaves; the others stay signed.
    site.pdnsutil("disable-dnssec", names[0])
    assert not server.ask(names[0], "DNSKEY").answer
    assert_signed(server.ask(f"www.{names[1]}"), keys_of(server, names[1]))


def test_a_key_moves_to_another_zone(site):
    token = site.token()
    token.make_key("wanderer")
    for name in (ZONE, zones.OTHER):
        site.add_zone(zones.small(name))
    site.assign(ZONE, "ecdsa256", "ksk", token, "wanderer")
    site.pdnsutil("disable-dnssec", ZONE)
    site.assign(zones.OTHER, "ecdsa256", "ksk", token, "wanderer")
    site.pdnsutil("rectify-zone", zones.OTHER)
    server = site.start_server()
    assert_delv(server, zones.OTHER, f"www.{zones.OTHER}")
    assert not server.ask(ZONE, "DNSKEY").answer


def test_ksk_on_the_token_and_zsk_in_software(any_site):
    site = any_site
    site.add_zone(zones.rich())
    token = site.token()
    token.make_key("ksk")
    site.assign(ZONE, "ecdsa256", "ksk", token, "ksk")
    site.pdnsutil("add-zone-key", ZONE, "zsk", "active", "ecdsa256")
    site.pdnsutil("rectify-zone", ZONE)

    server = site.start_server()
    keys = keys_of(server, ZONE)
    assert sorted(key.flags for key in keys) == [256, 257]
    assert_signed(server.ask(f"www.{ZONE}"), keys)
    assert_delv(server, ZONE, f"missing.{ZONE}", negative=True)
    assert_transfer_verifies(server, ZONE)
    if site.database.has_rows:
        engines = sorted("Engine" in row.lines() for row in site.database.key_rows(ZONE))
        assert engines == [False, True]


def test_software_zones_and_token_zones_side_by_side(any_site):
    site = any_site
    site.add_zone(zones.small(ZONE))
    site.add_zone(zones.small(zones.OTHER))
    site.secure(ZONE, site.token())
    site.pdnsutil("secure-zone", zones.OTHER)
    site.pdnsutil("rectify-zone", zones.OTHER)
    server = site.start_server()
    for name in (ZONE, zones.OTHER):
        assert_delv(server, name, f"www.{name}")


@pytest.mark.parametrize("algorithm, kind, other, other_kind", [("ecdsa256", "P-256", "rsasha256", "RSA-2048")])
def test_two_algorithms_in_one_zone_both_sign(site, algorithm, kind, other, other_kind):
    """An algorithm rollover: RFC 6840 wants every answer signed with both."""
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("old", kind)
    token.make_key("new", other_kind)
    site.assign(ZONE, algorithm, "ksk", token, "old")
    site.assign(ZONE, other, "ksk", token, "new")
    site.pdnsutil("rectify-zone", ZONE)
    server = site.start_server()
    answer = server.ask(f"www.{ZONE}")
    signatures = [r for rrset in answer.answer if rrset.rdtype == dns.rdatatype.RRSIG for r in rrset]
    assert sorted(s.algorithm for s in signatures) == [8, 13]
    assert_transfer_verifies(server, ZONE)


def test_a_running_server_sees_a_new_assignment(any_site):
    site = any_site
    site.add_zone(zones.small(ZONE))
    token = site.token()  # SoftHSM tells a running process of new keys, not of new tokens
    server = site.start_server()
    assert not server.ask(ZONE, "DNSKEY").answer
    site.secure(ZONE, token)
    if site.database.name == "bind":
        server.control("purge")
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))
