# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose turn it is when more waits than the token can do: zones in turn, and what a zone
is gone without, DNSKEY and SOA, before all others.

The token has one session and hangs while the work piles up, so that the order in
which it is done afterwards is the queue's. Queries give up soon; their work stays. They come over TCP:
over UDP they would not even be queued for a token that hangs.
"""
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import dns.rcode
import pytest

from harness import zones
from harness.deadline import wait_for
from harness.speed import KeyLog, single_key, statistic
from harness.validate import assert_signed, keys_of

FLOODED, QUIET, THIRD = "flooded.test", "quiet.test", "third.test"
FLOOD = 100
AT_ONCE = 8


@pytest.fixture
def key_log(site, spy):
    return KeyLog(site.place, site.runner)


def prepare(site, flooded: zones.Zone) -> None:
    token = site.token()
    for zone in (flooded, zones.small(QUIET), zones.small(THIRD)):
        site.add_zone(zone)
        single_key(site, zone.name, token)


def start(site):
    site.set(pkcs11signer_sessions="1", pkcs11signer_transfer_timeout="20")
    return site.start_server(settings={"max-tcp-connections": str(2 * AT_ONCE)})


def ask(server, name, rdtype="A"):
    return server.ask(name, rdtype, tcp=True)


def ask_in_vain(server, name, rdtype="A"):
    """Puts one more signature into the queue."""
    before = statistic(server, "queue")
    assert ask(server, name, rdtype).rcode() == dns.rcode.SERVFAIL
    assert statistic(server, "queue") == before + 1


def warm(server, *questions):
    """Asks until there is an answer: 20 ms can be short for the first."""
    for name, rdtype in questions:
        wait_for(f"answer to {name}", lambda: ask(server, name, rdtype).rcode() != dns.rcode.SERVFAIL)


def hang(server, spy, key_log, names):
    """The token hangs in the first; the others wait."""
    spy.forget()
    key_log.forget()
    spy.rules("C_Sign hang")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert {answer.rcode() for answer in pool.map(partial(ask, server), names)} == {dns.rcode.SERVFAIL}
    assert statistic(server, "queue") == len(names) - 1
    assert key_log.labels() == [FLOODED]


def after_release(spy, key_log, count: int) -> list[str]:
    spy.rules()
    return wait_for(f"{count} signatures", lambda: len(key_log.labels()) > count and key_log.labels())[1:count + 1]


@pytest.mark.parametrize("kind", ["names", "nsec3-narrow"])
def test_one_zones_flood_does_not_hold_up_another_zone(site, spy, key_log, kind):
    prepare(site, zones.many(FLOODED, FLOOD))
    names = [f"host{i}.{FLOODED}" for i in range(FLOOD)]
    if kind == "nsec3-narrow":
        names = [f"random{i}.{FLOODED}" for i in range(FLOOD)]
        site.pdnsutil("set-nsec3", FLOODED, "1 0 0 -", "narrow")
        site.pdnsutil("rectify-zone", FLOODED)
    server = start(site)
    warm(server, (f"missing.{FLOODED}", "A"))
    hang(server, spy, key_log, names)

    ask_in_vain(server, f"www.{QUIET}")
    ask_in_vain(server, f"ns1.{QUIET}")
    ask_in_vain(server, f"www.{THIRD}")
    order = after_release(spy, key_log, 20)

    assert order[:3].count(QUIET) == 1, order
    assert order[:4].count(THIRD) == 1, order
    assert order[:6].count(QUIET) == 2, order
    assert order.count(FLOODED) == 17, order
    wait_for("end of the flood", lambda: statistic(server, "under-way") == 0)
    warm(server, (QUIET, "DNSKEY"))
    spy.forget()
    assert_signed(server.ask(f"www.{QUIET}"), keys_of(server, QUIET))
    assert spy.calls() == [], "the signature was there"


def test_dnskey_and_soa_come_before_all_others(site, spy, key_log):
    prepare(site, zones.many(FLOODED, FLOOD))
    server = start(site)
    warm(server, (f"missing.{FLOODED}", "A"))
    hang(server, spy, key_log, [f"host{i}.{FLOODED}" for i in range(FLOOD)])

    ask_in_vain(server, f"www.{QUIET}")
    ask_in_vain(server, f"www.{THIRD}")
    ask_in_vain(server, THIRD, "SOA")
    ask_in_vain(server, QUIET, "DNSKEY")
    order = after_release(spy, key_log, 6)

    assert sorted(order[:2]) == [QUIET, THIRD], order
    assert sorted(order[2:5]) == [FLOODED, QUIET, THIRD], order


def test_a_zones_own_dnskey_comes_before_its_flood(site, spy, key_log):
    site.add_zone(zones.many(FLOODED, FLOOD))
    token = site.token()
    for role, label in (("ksk", "the ksk"), ("zsk", FLOODED)):
        token.make_key(label)
        site.assign(FLOODED, "ecdsa256", role, token, label)
    site.pdnsutil("rectify-zone", FLOODED)
    server = start(site)
    warm(server, (FLOODED, "SOA"))
    hang(server, spy, key_log, [f"host{i}.{FLOODED}" for i in range(FLOOD)])

    ask_in_vain(server, FLOODED, "DNSKEY")
    assert after_release(spy, key_log, 3) == ["the ksk", FLOODED, FLOODED]
