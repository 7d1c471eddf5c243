# SPDX-License-Identifier: GPL-2.0-or-later
"""What clients get where the administrator has set no threads, timeouts and caches: all sessions busy or hanging
delay no answer that needs no signature, and every question gets an answer in time."""
import sys
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import dns.exception
import dns.rcode
import pytest

from harness import programs, zones
from harness.deadline import PATIENCE, wait_for
from harness.site import NO_CACHES
from harness.speed import single_key, statistic
from harness.validate import first_keys_of

sys.path.append(str(programs.REPOSITORY / "tests/bench"))
from load import Load, percentile  # noqa: E402

ZONE, PLAIN = zones.SIGNED, zones.PLAIN
NAMES, WARM = 4000, 50
CLIENTS = 64  # twice as many as there are threads
PAUSE = 0.05  # seconds, of a client behind an answer: the token is to be busy, not the machine
ONSET = 1.0  # seconds; a burst may have all threads for half a second (docs/performance.md)
SIGN_MS = 50
SESSIONS = 8
TIMEOUT = 2.0  # seconds; the default of pkcs11signer-timeout
LATE = 2.0 * PATIENCE  # an answer at the deadline may be as late on a busy machine
SECONDS, RATE = 1.5, 200
HICCUP_MS = 100 * PATIENCE  # of a busy machine, other than behind a signature: the idle server has them, too


def start(site, packet_cache: bool):
    site.set(**dict.fromkeys([*NO_CACHES, "pkcs11signer-timeout"]), loglevel="4")
    site.set(cache_ttl=None if packet_cache else "0")
    token = site.token()
    for zone in (ZONE, PLAIN):
        site.add_zone(zones.many(zone, NAMES))
    single_key(site, ZONE, token)
    server = site.start_server(settings=dict.fromkeys(("receiver-threads", "distributor-threads", "queue-limit")))
    first_keys_of(server, ZONE)
    return server


def slowest(load, server, names) -> dict[str, float]:
    """The 99th percentile for each zone, milliseconds. An answer that does not come takes five seconds."""
    run = load.run(server, names, seconds=SECONDS, rate=RATE, detail=True)
    return {zone: percentile(run.milliseconds[zone], 99) for zone in (ZONE, PLAIN)}


@contextmanager
def asked_for(server):
    """As many clients ask for names that were never asked for, one after the other. What they got is in the list:
    a code, or why there was no answer in time."""
    over, got = threading.Event(), []

    def ask(client: int):
        number = WARM + client
        while not over.is_set():
            try:
                got.append(server.ask(f"host{number}.{ZONE}", timeout=TIMEOUT + LATE).rcode())
            except dns.exception.DNSException as error:
                got.append(error)
            number += CLIENTS
            over.wait(PAUSE)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(CLIENTS)]
    for each in threads:
        each.start()
    try:
        yield got
    finally:
        over.set()
        for each in threads:
            each.join()


@pytest.mark.parametrize("rule", ["hang", f"delay {SIGN_MS}"])
@pytest.mark.parametrize("packet_cache", [True, False], ids=["packet cache", "no packet cache"])
def test_busy_sessions_delay_nothing_else(site, spy, packet_cache, rule):
    server = start(site, packet_cache)
    load = Load(SimpleNamespace(site=site))
    names = load.names((ZONE, 0, WARM), (PLAIN, 0, WARM))
    load.run(server, names, passes=1).assert_all_answered()
    idle = slowest(load, server, names)

    spy.rules(f"C_Sign {rule}")
    with asked_for(server) as cold:
        wait_for("work for all sessions", lambda: statistic(server, "under-way") >= SESSIONS)
        time.sleep(ONSET)
        begun, made = time.monotonic(), statistic(server, "signatures")
        busy = slowest(load, server, names)
        made, seconds = statistic(server, "signatures") - made, time.monotonic() - begun
    spy.rules()

    for zone in (ZONE, PLAIN):
        assert busy[zone] <= 2 * idle[zone] + HICCUP_MS, (zone, idle, busy)
    assert all(code in (dns.rcode.NOERROR, dns.rcode.SERVFAIL) for code in cold), cold
    if rule != "hang":  # more sessions than PowerDNS has threads by itself are at work, on a busy machine too
        assert made >= SESSIONS / 2 * seconds * 1000 / SIGN_MS
