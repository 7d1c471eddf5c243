# SPDX-License-Identifier: GPL-2.0-or-later
"""A flood of names that were never asked for has not all of the query threads: some go on answering what
needs no signature. Who is refused finds the signature made when he asks again.
"""
import time
from concurrent.futures import ThreadPoolExecutor

import dns.rcode

from harness import zones
from harness.speed import statistic, wait_for_statistic
from harness.validate import assert_signed, keys_of

FLOODED, PLAIN = "flooded.test", "plain.test"
THREADS, MAY_WAIT = 8, 6  # three quarters
NAMES = 30


def test_a_flood_leaves_threads_for_other_answers(site, spy):
    token = site.token()
    site.add_zone(zones.many(FLOODED, NAMES))
    site.add_zone(zones.small(PLAIN))
    site.secure(FLOODED, token)
    site.set(pkcs11signer_sessions="1", pkcs11signer_timeout="20000")
    server = site.start_server(settings={"receiver-threads": str(THREADS), "distributor-threads": "1"})
    keys = keys_of(server, FLOODED)
    names = [f"host{i}.{FLOODED}" for i in range(NAMES)]
    spy.forget()
    spy.rules("C_Sign hang")

    with ThreadPoolExecutor(NAMES) as pool:
        # the harness gives up later than the server's threads, sooner than pkcs11signer-timeout
        asked = [pool.submit(server.ask, name, timeout=15) for name in names]
        refused = NAMES - MAY_WAIT
        # all but those that may wait are refused, although the token does nothing at all
        wait_for_refusals(asked, refused)
        assert sum(not each.done() for each in asked) == MAY_WAIT
        for _ in range(3 * THREADS):
            assert server.ask(f"www.{PLAIN}").rcode() == dns.rcode.NOERROR
        assert statistic(server, "overloaded") + statistic(server, "timeouts") == refused
        spy.rules()
        codes = [each.result(30).rcode() for each in asked]

    assert codes.count(dns.rcode.SERVFAIL) == refused
    assert codes.count(dns.rcode.NOERROR) == MAY_WAIT
    wait_for_statistic(server, "under-way", 0)
    for name in names:
        assert_signed(server.ask(name), keys)
    assert spy.count("C_Sign") == NAMES


def wait_for_refusals(asked, count: int, seconds: float = 12) -> None:
    end = time.monotonic() + seconds
    while sum(each.done() for each in asked) < count:
        assert time.monotonic() < end, "not refused in time"
        time.sleep(0.02)
    assert all(each.result().rcode() == dns.rcode.SERVFAIL for each in asked if each.done())
