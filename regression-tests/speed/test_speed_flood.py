# SPDX-License-Identifier: GPL-2.0-or-later
"""A flood of names that were never asked for, at a token that is slow: what it does to other tokens, to other
zones on the same token, and to its own zone when it is over. With PowerDNS's default threads, and with those
that docs/performance.md tells one to set."""
import itertools
import threading
import time
from contextlib import contextmanager

import dns.exception
import dns.rcode
import pytest

from harness import zones
from harness.deadline import PATIENCE, wait_for
from harness.speed import single_key, statistic
from harness.validate import assert_signed, first_keys_of

FLOODED, OTHER = "flooded.test", "other.test"
NAMES = 40
SLOW_MS = 300
ONSET = 2.0  # seconds; until a flood is known as one (docs/performance.md)
# More than there are threads. With one that waits, all of them come to wait behind it: as many questions as a
# busy machine can refuse in the half second that is left then of PowerDNS's queue-limit.
CLIENTS = {"default": 8, "free": 24 if PATIENCE == 1 else 8}
PAUSE = 0.05  # seconds, of a client behind an answer: the token is to be busy, not the machine
THREADS = {
    "default": {"receiver-threads": "1", "distributor-threads": "3", "queue-limit": "1500"},
    "free": {"receiver-threads": "16", "distributor-threads": "1"},
}

threads = pytest.mark.parametrize("threads", THREADS)


def start(site, threads: str):
    site.set(pkcs11signer_sessions="1", pkcs11signer_timeout="2000")
    return site.start_server(settings=THREADS[threads])


@contextmanager
def flood(server, threads: str):
    """Random names, each of which takes a signature or two of its own. Behind it PowerDNS has none of them left."""
    over = threading.Event()
    numbers = itertools.count()

    def ask():
        while not over.is_set():
            try:
                server.ask(f"random{next(numbers)}.{FLOODED}", timeout=4)
            except dns.exception.DNSException:
                pass  # dropped, as it had waited behind others for too long
            over.wait(PAUSE)

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS[threads])]
    for client in clients:
        client.start()
    try:
        wait_for("flood", lambda: statistic(server, "overloaded") + statistic(server, "timeouts") > 50)
        time.sleep(ONSET)
        yield
    finally:
        over.set()
        for client in clients:
            client.join()
    wait_for("end of the flood", lambda: int(server.show("qsize-q")) == 0)


def add_flooded(site, token) -> None:
    site.add_zone(zones.many(FLOODED, NAMES))
    single_key(site, FLOODED, token)
    site.pdnsutil("set-nsec3", FLOODED, "1 0 0 -", "narrow")
    site.pdnsutil("rectify-zone", FLOODED)


def assert_all_answered(server, keys) -> None:
    for i in range(NAMES):
        assert_signed(server.ask(f"host{i}.{OTHER}", timeout=4 * PATIENCE), keys)


@threads
def test_a_slow_token_does_not_harm_a_fast_one(site, spy, threads):
    add_flooded(site, site.token("slow"))
    site.add_zone(zones.many(OTHER, NAMES))
    single_key(site, OTHER, site.token("fast"))
    server = start(site, threads)
    keys = first_keys_of(server, OTHER)
    first_keys_of(server, FLOODED)
    spy.rules(f"C_Sign delay {SLOW_MS}", "token named slow")

    with flood(server, threads):
        assert_all_answered(server, keys)


@threads
def test_a_flooded_zone_does_not_harm_others_nor_itself_when_it_is_over(site, spy, threads):
    token = site.token()
    add_flooded(site, token)
    site.add_zone(zones.many(OTHER, NAMES))
    single_key(site, OTHER, token)
    server = start(site, threads)
    own = first_keys_of(server, FLOODED)
    keys = first_keys_of(server, OTHER)
    spy.rules(f"C_Sign delay {SLOW_MS}")

    with flood(server, threads):
        for i in range(10):
            assert_signed(server.ask(f"host{i}.{OTHER}", timeout=4 * PATIENCE), keys)
    for i in range(10, 13):
        for zone, zone_keys in ((FLOODED, own), (OTHER, keys)):
            made = len(spy.outcomes("C_Sign"))
            assert_signed(server.ask(f"host{i}.{zone}"), zone_keys)
            # Two signatures' time: that of the one under way and its own. Another may end while this is counted.
            assert len(spy.outcomes("C_Sign")) <= made + 3
    assert statistic(server, "queue") <= 100
