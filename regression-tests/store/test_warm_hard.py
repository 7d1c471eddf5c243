# SPDX-License-Identifier: GPL-2.0-or-later
"""`warm` says that a zone can be served, and it can, however hard the zone is: name by name, type by
type, and in a transfer.

P11S_HARD_ZONES=40 makes so many zones of each kind instead of one, P11S_SEED=7 others."""
import json
import os

import dns.exception
import dns.rcode
import dns.rdatatype
import pytest

from harness import hardzones, zones
from harness.faults import is_refused
from harness.speed import single_key, statistic
from harness.validate import assert_signed, assert_transfer_verifies, keys_of

ZONE = zones.SIGNED
SEED = int(os.environ.get("P11S_SEED", "1"))
NUMBER = int(os.environ.get("P11S_HARD_ZONES", "1"))
MODES = {"nsec": (), "nsec3": ("1 0 3 abcd",), "opt-out": ("1 1 0 -",)}

BELOW_A_DELEGATION = """
cut        NS     ns1
txt.cut    TXT    "no business there"
sub.cut    NS     ns1
"""
UNUSUAL = r"""
dot\.ted   A      192.0.2.61
dot        A      192.0.2.62
a.dot      A      192.0.2.63
sl/ash     A      192.0.2.64
sl-ash     A      192.0.2.65
sp\032ace  A      192.0.2.66
ctl\001    A      192.0.2.67
UPPER      A      192.0.2.68
"""
TTLS = """
mixed 60   TXT    "z"
mixed 7200 TXT    "a"
mixed 300  TXT    "m"
"""
OPT_OUT = """
x.y.gov    NS     ns1
a.edu      NS     ns1
a.edu      DS     12345 13 2 {digest}
b.c.edu    NS     ns1
"""


def warm(site, name: str = ZONE) -> dict:
    week, = json.loads(site.command("warm", name, "0", json=True).stdout)
    return week


def secured(site, zone: zones.Zone, mode: str, token=None) -> None:
    site.add_zone(zone)
    if token:
        site.assign(zone.name, "ecdsa256", "ksk", token, "key")
    else:
        single_key(site, zone.name, site.token("signing"))
    if MODES[mode]:
        site.pdnsutil("set-nsec3", zone.name, *MODES[mode])
    site.pdnsutil("rectify-zone", zone.name)


def server_without_token(site):
    site.hsm.add_module("softhsm2", site.place.root / "unplugged.so")
    return site.start_server(settings={"any-to-tcp": "no"})


def server_with_token(site):
    site.hsm.add_module("softhsm2", site.hsm.library)
    return site.start_server(settings={"any-to-tcp": "no"})


def breaks_off(server, zone: str) -> bool:
    try:
        server.transfer(zone)
        return False
    except (dns.exception.DNSException, EOFError):
        return True


def assert_served(site, asked: dict[str, list]) -> None:
    """What a server without the token does not answer, one with it does not answer either."""
    server = server_without_token(site)
    failed = {zone: hardzones.unanswered(server, questions) for zone, questions in asked.items()}
    broken = [zone for zone in asked if breaks_off(server, zone)]
    assert statistic(server, "store-hits") > 0
    server = server_with_token(site)
    missing = [f"{name} {rdtype}" for zone, questions in failed.items()
               for name, rdtype in set(questions) - set(hardzones.unanswered(server, questions))]
    missing += [f"transfer of {zone}" for zone in broken if not breaks_off(server, zone)]
    assert not missing, f"{len(missing)} of {sum(map(len, asked.values()))}: " + ", ".join(sorted(missing)[:20])


# -- made at random

def test_hard_zones(site):
    token = site.token("signing")
    token.make_key("key")
    asked = {}
    for number in range(NUMBER):
        for mode in MODES:
            zone = hardzones.hard(f"{mode}.{number}.test", SEED)
            secured(site, zone, mode, token)
            assert "left_out" not in warm(site, zone.name)
            asked[zone.name] = hardzones.questions(zone)
    assert_served(site, asked)


def test_zones_that_are_not_rectified(site):
    token = site.token("signing")
    token.make_key("key")
    asked = {}
    for number in range(NUMBER):
        for mode in MODES:
            zone = hardzones.hard(f"{mode}.{number}.mangled.test", SEED, parts=6)
            secured(site, zone, mode, token)
            connection = site.database.table.connect()
            new = hardzones.mangle(connection, zone, SEED)
            connection.close()
            assert "left_out" not in warm(site, zone.name)
            asked[zone.name] = hardzones.questions(zone, new)
    assert_served(site, asked)


# -- one by one, on each database

def test_opt_out_below_an_empty_non_terminal(any_site):
    site = any_site
    zone = zones.Zone(ZONE, (zones.SMALL + OPT_OUT).format(zone=ZONE, digest="ab" * 32))
    secured(site, zone, "opt-out")
    warm(site)
    server = server_without_token(site)
    keys = keys_of(server, ZONE)
    for name in "nx.gov", "nx.y.gov", "a.nx.gov", "nx.c.edu", "nx.edu", "nx":
        answer = server.ask(f"{name}.{ZONE}")
        assert answer.rcode() == dns.rcode.NXDOMAIN, f"{name}: {answer}"
        assert_signed(answer, keys)
    assert statistic(server, "signatures") == statistic(server, "failures") == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_transfer_without_the_token(any_site, mode):
    site = any_site
    zone = zones.Zone(ZONE, zones.SMALL.format(zone=ZONE) + BELOW_A_DELEGATION + UNUSUAL + TTLS)
    secured(site, zone, mode)
    assert "left_out" not in warm(site)
    server = server_without_token(site)
    assert server.transfer(ZONE)
    assert statistic(server, "signatures") == statistic(server, "failures") == 0


def test_a_transfer_that_is_no_different_costs_nothing(site):
    """As many signatures as the transfer has: the two chains are one."""
    secured(site, zones.rich(), "opt-out")
    made = warm(site)["made"]
    server = server_without_token(site)
    assert_transfer_verifies(server, ZONE)
    assert made == sum(len(rrset) for rrset in server.transfer(ZONE) if rrset.rdtype == dns.rdatatype.RRSIG)


# -- what cannot be served, and is said

def insert(site, name: str, rdtype: str, content: str) -> None:
    connection = site.database.table.connect()
    connection.execute("INSERT INTO records (domain_id, name, type, content, ttl, prio)"
                       " SELECT id, ?, ?, ?, 300, 0 FROM domains WHERE name = ?", (name, rdtype, content, ZONE))
    connection.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_record_that_cannot_be_read(site, mode):
    secured(site, zones.rich(), mode)
    insert(site, f"broken.{ZONE}", "A", "no address")
    site.pdnsutil("rectify-zone", ZONE)
    said, = warm(site)["left_out"]
    assert f"broken.{ZONE}.: " in said and "expected digits" in said
    counted = site.command("forecast", ZONE).stdout
    assert f"Not counted: broken.{ZONE}.: " in counted
    forecast, = json.loads(site.command("forecast", ZONE, json=True).stdout)
    assert forecast["left_out"] == [said]
    server = server_without_token(site)
    assert is_refused(server.ask(f"broken.{ZONE}"))
    keys = keys_of(server, ZONE)
    for name in "www", "mail", "alias":
        assert_signed(server.ask(f"{name}.{ZONE}"), keys)
    assert_served(site, {ZONE: hardzones.questions(zones.rich(), [f"broken.{ZONE}"])})


def test_many_records_that_cannot_be_read(site):
    secured(site, zones.small(ZONE), "nsec")
    for number in range(15):
        insert(site, f"broken{number:02}.{ZONE}", "MX", "\x1b[31m no number")
    said = warm(site)["left_out"]
    assert len(said) == 11 and f"broken00.{ZONE}.: " in said[0] and said[10].startswith("5 more names")
    assert "\x1b" not in site.command("warm", ZONE).stdout


def test_a_chain_that_is_not_the_zone_s(site):
    """`set-nsec3` without `rectify-zone`: PowerDNS makes hashes of what are names."""
    secured(site, zones.rich(), "nsec")
    site.pdnsutil("set-nsec3", ZONE, "1 0 3 abcd")
    said, = warm(site)["left_out"]
    assert "denials" in said and "not rectified" in said
    site.pdnsutil("rectify-zone", ZONE)
    assert "left_out" not in warm(site)


def test_names_in_another_spelling(site):
    secured(site, zones.rich(), "nsec")
    insert(site, f"UPPER.{ZONE}", "A", "192.0.2.99")
    insert(site, f"a\\047b.{ZONE}", "A", "192.0.2.99")
    said, = warm(site)["left_out"]
    assert "transfers" in said and f"a/b.{ZONE}. and 1 more names" in said
    server = server_without_token(site)
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))
    assert server.ask(f"upper.{ZONE}").rcode() == dns.rcode.NXDOMAIN
    assert breaks_off(server, ZONE)
