# SPDX-License-Identifier: GPL-2.0-or-later
"""A transfer takes all of the token, and gets through however slow it is."""
from concurrent.futures import ThreadPoolExecutor

import dns.rdatatype

from harness import zones
from harness.deadline import wait_for
from harness.speed import statistic
from harness.validate import assert_signed, assert_transfer_verifies, keys_of

ZONE = zones.SIGNED
NAMES = 500
# 500 names are 1005 signatures. With 300 ms each, eight sessions take 40 s for them,
# 64 take 5: the longest wait of one signature is what a slow token is about, and that
# stays what it is.
SLOW = "C_Sign delay 300"
SIDE_BY_SIDE = "64"


def test_a_transfer_uses_all_sessions(site, spy):
    site.add_zone(zones.many(ZONE, 40))
    site.secure(ZONE, site.token())
    site.set(pkcs11signer_sessions="8", signing_threads="8")
    server = site.start_server()
    assert_signed(server.ask(ZONE, "SOA"), keys_of(server, ZONE))  # made before the transfer's threads start
    spy.forget()
    spy.rules("C_Sign hang")
    with ThreadPoolExecutor(1) as pool:
        transfer = pool.submit(server.transfer, ZONE)
        try:
            wait_for("six signatures at once", lambda: spy.count("C_Sign") >= 6, 30)
        finally:
            spy.rules()
        rrsets = transfer.result(60)
    assert sum(rrset.rdtype == dns.rdatatype.RRSIG for rrset in rrsets) >= 80
    assert statistic(server, "workers") <= 8
    assert_transfer_verifies(server, ZONE)


def test_a_transfer_from_a_slow_token_completes_while_queries_are_answered(site, spy):
    site.add_zone(zones.many(ZONE, NAMES))
    site.add_zone(zones.small(zones.PLAIN))
    site.secure(ZONE, site.token())
    site.set(pkcs11signer_sessions=SIDE_BY_SIDE, signing_threads=SIDE_BY_SIDE)
    server = site.start_server()
    keys = keys_of(server, ZONE)
    assert_signed(server.ask(f"www.{ZONE}"), keys)
    spy.forget()
    spy.rules(SLOW)

    questions = 0
    with ThreadPoolExecutor(1) as pool:
        transfer = pool.submit(assert_transfer_verifies, server, ZONE)
        wait_for("signature of the transfer", lambda: spy.count("C_Sign"))
        while not transfer.done():
            assert server.ask(f"www.{zones.PLAIN}").answer
            assert_signed(server.ask(f"www.{ZONE}"), keys)
            questions += not transfer.done()
        transfer.result()

    assert questions > 10
    # A and NSEC of each host, of ns1 and of www; the zone's SOA, NS and NSEC. That of the
    # DNSKEY and of www's A were there.
    assert spy.count("C_Sign") == 2 * (NAMES + 2) + 3 - 1
    assert statistic(server, "timeouts") == 0
