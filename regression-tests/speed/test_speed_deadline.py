# SPDX-License-Identifier: GPL-2.0-or-later
"""A query that waited long enough is refused; the signature it asked for is not lost."""
import dns.rcode

from harness import zones
from harness.speed import statistic, wait_for_statistic
from harness.validate import assert_signed, first_keys_of

ZONE = zones.SIGNED


def test_a_late_signature_serves_the_next_query(site, spy):
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    site.set(pkcs11signer_timeout="300", pkcs11signer_store="none")
    server = site.start_server()
    keys = first_keys_of(server, ZONE)
    spy.forget()
    spy.rules("C_Sign hang")
    before = statistic(server, "timeouts")

    assert server.ask(f"www.{ZONE}").rcode() == dns.rcode.SERVFAIL
    assert statistic(server, "timeouts") == before + 1
    assert statistic(server, "under-way") == 1
    spy.rules()
    wait_for_statistic(server, "under-way", 0)
    late = statistic(server, "late-used")

    assert_signed(server.ask(f"www.{ZONE}"), keys)
    assert spy.count("C_Sign") == 1
    assert statistic(server, "late-used") == late + 1
    assert statistic(server, "timeouts") == before + 1


def test_a_query_after_the_deadline_joins_the_signature_still_under_way(site, spy):
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    site.set(pkcs11signer_timeout="300", pkcs11signer_store="none")
    server = site.start_server()
    keys = first_keys_of(server, ZONE)
    spy.forget()
    spy.rules("C_Sign hang")
    before = {name: statistic(server, name) for name in ("timeouts", "shared")}

    for _ in range(3):
        assert server.ask(f"www.{ZONE}").rcode() == dns.rcode.SERVFAIL
    assert statistic(server, "timeouts") == before["timeouts"] + 3
    assert statistic(server, "shared") == before["shared"] + 2
    spy.rules()
    wait_for_statistic(server, "under-way", 0)

    assert_signed(server.ask(f"www.{ZONE}"), keys)
    assert spy.count("C_Sign") == 1


def test_the_deadline_is_for_all_signatures_of_a_query(site, spy):
    """A name that is not there takes three: SOA and two NSECs."""
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    site.set(pkcs11signer_timeout="1500", pkcs11signer_store="none")
    server = site.start_server()
    keys = first_keys_of(server, ZONE)
    spy.rules("C_Sign delay 1000")

    answer = server.ask(f"missing.{ZONE}")
    assert answer.rcode() == dns.rcode.SERVFAIL, "each signature by itself was in time"
    assert statistic(server, "timeouts") == 1
    spy.rules()
    wait_for_statistic(server, "under-way", 0)
    assert_signed(server.ask(f"missing.{ZONE}"), keys)

    # Another query has time of its own, right behind and whatever PowerDNS has in its caches.
    spy.rules("C_Sign delay 1000")
    for name in ("www", "ns1"):
        assert_signed(server.ask(f"{name}.{ZONE}"), keys)
    assert statistic(server, "timeouts") == 1
