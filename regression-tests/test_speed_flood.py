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
from harness.validate import assert_signed, keys_of

FLOODED, OTHER = "flooded.test", "other.test"
NAMES = 40
CLIENTS = 24 if PATIENCE == 1 else 8  # with a sanitizer these keep the two cores as busy
SLOW_MS = 300
ONSET = 2.0  # seconds; until a flood is known as one (docs/performance.md)
QUEUE_LIMIT = 1.5  # seconds; PowerDNS's own
THREADS = {
    "default": {"receiver-threads": "1", "distributor-threads": "3"},
    "free": {"receiver-threads": "16", "distributor-threads": "1"},
}

threads = pytest.mark.parametrize("threads", THREADS)


def start(site, threads: str):
    site.set(pkcs11signer_sessions="1")
    return site.start_server(settings=THREADS[threads])


@contextmanager
def flood(server):
    """Random names, each of which takes a signature or two of its own."""
    over = threading.Event()
    numbers = itertools.count()

    def ask():
        while not over.is_set():
            try:
                server.ask(f"random{next(numbers)}.{FLOODED}", timeout=2)
            except dns.exception.DNSException:
                pass  # dropped, as it had waited behind others for too long

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
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
    keys = keys_of(server, OTHER)
    keys_of(server, FLOODED)
    spy.rules(f"C_Sign delay {SLOW_MS}", "token named slow")

    with flood(server):
        assert_all_answered(server, keys)


@threads
def test_a_flooded_zone_does_not_harm_others_nor_itself_when_it_is_over(site, spy, threads):
    token = site.token()
    add_flooded(site, token)
    site.add_zone(zones.many(OTHER, NAMES))
    single_key(site, OTHER, token)
    server = start(site, threads)
    own = keys_of(server, FLOODED)
    keys = keys_of(server, OTHER)
    spy.rules(f"C_Sign delay {SLOW_MS}")

    with flood(server):
        for i in range(10):
            assert_signed(server.ask(f"host{i}.{OTHER}", timeout=4 * PATIENCE), keys)
    time.sleep(QUEUE_LIMIT)  # what PowerDNS still has of the flood, it drops by then
    for i in range(3):
        begun = time.monotonic()
        assert_signed(server.ask(f"host{i}.{FLOODED}"), own)
        # two signatures' time: the one under way and its own
        assert time.monotonic() - begun < 2 * SLOW_MS / 1000 + 0.3 * PATIENCE
    assert statistic(server, "queue") <= 100
