# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of a fleet (fleet.py) share: its servers, questions to them, and who signed how much."""
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from . import programs, zones
from .faults import is_signed
from .fleet import Fleet
from .speed import statistic, wait_for_statistic
from .validate import assert_signed, keys_of

ZONE = zones.SIGNED
NAMES = 2000
HOSTS = 300
PASSWORD = "quite-a-long-password-of-the-tests"
THREADS = {"receiver-threads": "4", "distributor-threads": "1"}
# Long: on a busy machine the database is late now and then, and that is not what is tested.
PATIENT = {"pkcs11signer_mysql_timeout": "1000"}


@pytest.fixture(autouse=True, scope="module")
def built():
    """With a MySQL client library."""
    if b"mysql_real_connect" not in (programs.module_dir() / programs.OUR_SHIM).read_bytes():
        pytest.skip("built without a MySQL client library (Debian: libmariadb-dev)")


@contextmanager
def fleet_at(database, place, identity, transcript, runner):
    """A fleet that has no server yet."""
    programs.our_module()
    transcript.secret(PASSWORD)
    it = Fleet(place.root, identity, transcript, database, runner.sanitizer)
    yield it
    it.discard()
    transcript.assert_no_secret()


def zone(hosts: int = HOSTS) -> zones.Zone:
    return zones.many(ZONE, hosts)


def name(number: int) -> str:
    return f"host{number}.{ZONE}"


def start(site, connected: bool = True, env: dict | None = None, **settings):
    server = site.start_server(settings={**THREADS, **settings}, env=env)
    if connected:
        wait_for_statistic(server, "fleet-connected", 1)
    return server


def signatures(*servers) -> int:
    return sum(statistic(server, "signatures") for server in servers)


def ahead(*servers) -> int:
    return sum(statistic(server, "ahead-signatures") for server in servers)


def ask_all(server, numbers) -> None:
    for number in numbers:
        answer = server.ask(name(number))
        assert is_signed(answer), answer


def ask_all_at_once(server, numbers, clients: int = 4) -> None:
    with ThreadPoolExecutor(clients) as pool:
        for each in [pool.submit(ask_all, server, numbers[first::clients]) for first in range(clients)]:
            each.result(120)


def assert_all_valid(server, numbers) -> None:
    keys = keys_of(server, ZONE)
    for number in numbers:
        assert_signed(server.ask(name(number)), keys)


# -- both servers, each name

def each_in_turn(servers):
    for number in range(NAMES):
        for server in servers:
            ask_all(server, [number])


def one_behind_the_other(servers):
    for server in servers:
        ask_all_at_once(server, range(NAMES))


def at_the_same_time(servers):
    """By four clients at each, all in the same order."""
    with ThreadPoolExecutor(8) as pool:
        for each in [pool.submit(ask_all, server, range(first, NAMES, 4)) for first in range(4)
                     for server in servers]:
            each.result(300)


def assert_signed_once(servers, ask) -> None:
    """However they are asked for all names."""
    ask(servers)
    made = signatures(*servers)
    assert NAMES <= made <= NAMES * 1.02, made
    for server in servers:
        assert_all_valid(server, range(0, NAMES, 40))
        wait_for_statistic(server, "fleet-queue", 0)
