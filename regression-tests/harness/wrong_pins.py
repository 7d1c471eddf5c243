# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of wrong PINs share: a zone whose row holds one, and a server that is asked for it."""
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dns.rcode
import pytest

from . import zones
from .deadline import wait_for
from .validate import assert_signed, keys_of

ZONE = zones.SIGNED
COUNT_LOW, FINAL_TRY, LOCKED = "0x10000", "0x20000", "0x40000"
KEY_TTL = {"dnssec-key-cache-ttl": "1"}


@pytest.fixture
def token(site, spy):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("a key")
    # A query that gives up before its login was tried proves nothing.
    site.set(pkcs11signer_timeout="10000")
    return token


@pytest.fixture
def wrong(site):
    return site.transcript.secret("3692~814")


def put_row(site, token, pin) -> int:
    return site.database.add_key_row(ZONE, site.reference(token, "a key", PIN=pin))


def state(site) -> Path:
    return site.place.root / "state"


def fails(server) -> bool:
    return server.ask(f"www.{ZONE}").rcode() == dns.rcode.SERVFAIL


def signs(server) -> bool:
    """Asked until it does: PowerDNS keeps keys for a while."""
    return server.ask(f"www.{ZONE}").rcode() == dns.rcode.NOERROR and server.ask(ZONE, "DNSKEY").answer


def assert_signs(server) -> None:
    wait_for("signature", lambda: signs(server), 10)
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))


def ask_much(server, threads: int = 8, each: int = 5) -> None:
    names = [f"www.{ZONE}", ZONE, f"missing.{ZONE}", f"ns1.{ZONE}"]
    with ThreadPoolExecutor(threads) as pool:
        answers = pool.map(lambda i: server.ask(names[i % 4], tcp=i % 2 == 0), range(threads * each))
    assert {answer.rcode() for answer in answers} == {dns.rcode.SERVFAIL}


def unlock(site, name, **how):
    return site.command("unlock-login", name, **how)
