# SPDX-License-Identifier: GPL-2.0-or-later
"""Live signed answers, validated by others than PowerDNS."""
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

from harness import zones
from harness.validate import (Unbound, assert_delv, assert_signed, assert_transfer_verifies, keys_of)

ZONE = zones.SIGNED
DELEGATIONS = (f"insecure.{ZONE}", f"secure.{ZONE}")

# name, type, what the answer must be
ANSWERS = [
    ("", "SOA", dns.rcode.NOERROR),
    ("", "DNSKEY", dns.rcode.NOERROR),
    ("", "NS", dns.rcode.NOERROR),
    ("", "MX", dns.rcode.NOERROR),
    ("www", "A", dns.rcode.NOERROR),
    ("www", "AAAA", dns.rcode.NOERROR),
    ("alias", "A", dns.rcode.NOERROR),
    ("some.wild", "A", dns.rcode.NOERROR),
    ("other.wild", "TXT", dns.rcode.NOERROR),
    ("host.old", "A", dns.rcode.NOERROR),
    ("old", "DNAME", dns.rcode.NOERROR),
    ("leaf.empty", "TXT", dns.rcode.NOERROR),
    ("secure", "DS", dns.rcode.NOERROR),
]
DENIALS = [
    ("missing", "A", dns.rcode.NXDOMAIN),
    ("www", "MX", dns.rcode.NOERROR),
    ("empty", "A", dns.rcode.NOERROR),
    ("some.wild", "AAAA", dns.rcode.NOERROR),
    ("missing.old", "A", dns.rcode.NXDOMAIN),
    ("dangling", "A", dns.rcode.NXDOMAIN),
    ("insecure", "DS", dns.rcode.NOERROR),
]
# Each leads through the DNAME. PowerDNS shuffles an answer's records, and unbound
# validates the synthesised CNAME only where the DNAME happens to come first.
THROUGH_DNAME = [f"host{i}.old" for i in range(2, 10)]
REFERRALS = ("below.insecure", "below.secure")

MODES = {"nsec": None, "nsec3": ("1 0 1 ab",), "narrow": ("1 0 0 -", "narrow")}


def in_zone(name: str) -> str:
    return f"{name}.{ZONE}" if name else ZONE


def signed_zone(site, mode: str = "nsec"):
    site.add_zone(zones.rich())
    site.secure(ZONE, site.token())
    if MODES[mode]:
        site.pdnsutil("set-nsec3", ZONE, *MODES[mode])
        site.pdnsutil("rectify-zone", ZONE)
    return site.start_server()


@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_answer_validates(any_site, mode):
    server = signed_zone(any_site, mode)
    keys = keys_of(server, ZONE)
    assert sorted(key.flags for key in keys) == [256, 257]
    denial = dns.rdatatype.NSEC if mode == "nsec" else dns.rdatatype.NSEC3

    for name, rdtype, rcode in ANSWERS + DENIALS:
        answer = server.ask(in_zone(name), rdtype)
        assert answer.rcode() == rcode, f"{name} {rdtype}:\n{answer}"
        assert_signed(answer, keys, *DELEGATIONS)
        if (name, rdtype, rcode) in DENIALS:
            assert denial in [r.rdtype for r in answer.authority], f"nothing denied:\n{answer}"
    for name in REFERRALS:
        answer = server.ask(in_zone(name), "A")
        assert not answer.answer
        assert_signed(answer, keys, *DELEGATIONS)

    server.stop()


@pytest.mark.parametrize("mode", MODES)
def test_delv_and_unbound_validate(any_site, mode):
    server = signed_zone(any_site, mode)
    for name, rdtype in (("", "DNSKEY"), ("www", "A"), ("some.wild", "A"), ("alias", "A"), ("host.old", "A"),
                         ("secure", "DS")):
        assert_delv(server, ZONE, in_zone(name), rdtype)
    for name, rdtype in (("missing", "A"), ("www", "MX"), ("empty", "A"), ("insecure", "DS")):
        assert_delv(server, ZONE, in_zone(name), rdtype, negative=True)
    with Unbound(server, ZONE) as resolver:
        for name, rdtype, rcode in ANSWERS + DENIALS:
            if not name.endswith(".old"):
                resolver.assert_secure(in_zone(name), rdtype, rcode)
        assert any(resolver.is_secure(in_zone(name)) for name in THROUGH_DNAME), resolver.daemon.log


@pytest.mark.parametrize("mode", ["nsec", "nsec3"])
def test_a_transfer_verifies(any_site, mode):
    server = signed_zone(any_site, mode)
    assert_transfer_verifies(server, ZONE)
    server.stop()


def test_any_over_tcp_is_signed(any_site):
    server = signed_zone(any_site)
    keys = keys_of(server, ZONE)
    answer = server.ask(in_zone("www"), "ANY", tcp=True)
    types = {rrset.rdtype for rrset in answer.answer}
    assert {dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.RRSIG, dns.rdatatype.NSEC} <= types
    assert_signed(answer, keys)


def test_cds_and_cdnskey_are_published_signed(any_site):
    site = any_site
    site.add_zone(zones.rich())
    site.secure(ZONE, site.token())
    site.pdnsutil("set-publish-cds", ZONE, "2")
    site.pdnsutil("set-publish-cdnskey", ZONE)
    server = site.start_server()
    keys = keys_of(server, ZONE)
    ksk, = [key for key in keys if key.flags == 257]
    zone = dns.name.from_text(ZONE)

    for rdtype in ("CDS", "CDNSKEY"):
        answer = server.ask(ZONE, rdtype)
        assert_signed(answer, keys)
        rrset, = [r for r in answer.answer if r.rdtype == dns.rdatatype.from_text(rdtype)]
        if rdtype == "CDS":
            expected = dns.dnssec.make_ds(zone, ksk, "SHA256")
            assert rrset[0].to_text() == expected.to_text()
        else:
            assert rrset[0].to_text() == ksk.to_text()
    # RFC 7344: what tells the parent about a key is signed with that key.
    answer = server.ask(ZONE, "CDS")
    signatures = [r for rrset in answer.answer if rrset.rdtype == dns.rdatatype.RRSIG for r in rrset]
    assert dns.dnssec.key_id(ksk) in [s.key_tag for s in signatures]


def test_a_query_without_do_gets_no_signatures(site):
    server = signed_zone(site)
    answer = server.ask(in_zone("www"), "A", dnssec=False)
    assert [r.rdtype for r in answer.answer] == [dns.rdatatype.A]


def test_an_unsigned_zone_beside_it_is_untouched(any_site):
    any_site.add_zone(zones.small(zones.PLAIN))
    server = signed_zone(any_site)
    answer = server.ask(f"www.{zones.PLAIN}", "A")
    assert [r.rdtype for r in answer.answer] == [dns.rdatatype.A]
    assert server.ask(f"missing.{zones.PLAIN}", "A").rcode() == dns.rcode.NXDOMAIN
    assert not server.ask(zones.PLAIN, "DNSKEY").answer


def test_a_single_key_signs_a_whole_zone(any_site):
    site = any_site
    site.add_zone(zones.rich())
    token = site.token()
    token.make_key("csk")
    site.assign(ZONE, "ecdsa256", "ksk", token, "csk")
    site.pdnsutil("rectify-zone", ZONE)
    server = site.start_server()
    assert_delv(server, ZONE, in_zone("www"))
    assert_delv(server, ZONE, in_zone("missing"), negative=True)
    assert_signed(server.ask(in_zone("www")), keys_of(server, ZONE))
