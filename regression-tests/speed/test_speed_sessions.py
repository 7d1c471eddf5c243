# SPDX-License-Identifier: GPL-2.0-or-later
"""A token with few sessions is used with as many as it has."""
import pytest

from harness import zones
from harness.deadline import wait_for
from harness.speed import answers, at_once, statistic
from harness.validate import assert_signed, keys_of

ZONE = zones.SIGNED
CLIENTS = 24
ROOM = 3
# Long enough for all to be under way while the first is.
SLOW = "C_Sign delay 30"


@pytest.fixture
def server(site, spy):
    site.add_zone(zones.many(ZONE, 2 * CLIENTS))
    site.secure(ZONE, site.token())
    site.set(pkcs11signer_sessions="8", pkcs11signer_timeout="30000")
    # No more than three quarters of them wait for long.
    return site.start_server(settings={"receiver-threads": str(2 * CLIENTS), "distributor-threads": "1"})


def most_open(spy) -> int:
    """Sessions at a time since the server was started. Every C_OpenSession counts, also
    one that the token refused."""
    now = most = 0
    for _, function in spy.calls():
        now += (function == "C_OpenSession") - (function == "C_CloseSession")
        most = max(most, now)
    return most


def ask_all(server, first: int = 0):
    with at_once(lambda i: server.ask(f"host{first + i}.{ZONE}", timeout=30), range(CLIENTS)) as asked:
        return answers(asked)


def assert_all_signed(server, *rounds):
    keys = keys_of(server, ZONE)
    for got in rounds:
        assert len(got) == CLIENTS
        for answer in got:
            assert_signed(answer, keys)
    assert statistic(server, "failures") == 0


def test_no_more_sessions_than_the_token_says_it_has(server, spy):
    spy.forget()
    spy.rules(SLOW, f"C_GetTokenInfo sessions {ROOM}")
    cold, again = ask_all(server), ask_all(server, CLIENTS)
    assert_all_signed(server, cold, again)
    assert most_open(spy) == ROOM


@pytest.mark.parametrize("room", [1, ROOM])
def test_no_more_sessions_than_the_token_gives(server, spy, room):
    spy.forget()
    spy.rules(SLOW, f"C_OpenSession limit {room}")
    cold = ask_all(server)
    opened = spy.count("C_OpenSession")
    again = ask_all(server, CLIENTS)
    assert_all_signed(server, cold, again)
    assert statistic(server, "sessions-opened") == room
    assert spy.count("C_OpenSession") == opened, "a token that has no more is not asked again and again"


def test_what_the_token_says_and_what_it_gives_may_differ(server, spy):
    """Other programs have sessions too."""
    spy.rules(SLOW, f"C_GetTokenInfo sessions {ROOM + 2}", f"C_OpenSession limit {ROOM}")
    assert_all_signed(server, ask_all(server), ask_all(server, CLIENTS))
    assert statistic(server, "sessions-opened") == ROOM


def test_all_sessions_there_are_sign_at_once(server, spy):
    spy.rules(f"C_GetTokenInfo sessions {ROOM}", f"C_OpenSession limit {ROOM}")
    ask_all(server)
    spy.forget()
    spy.rules("C_Sign hang", f"C_OpenSession limit {ROOM}")
    with at_once(lambda i: server.ask(f"host{i}.{ZONE}", timeout=30), range(CLIENTS, 2 * CLIENTS)) as asked:
        try:
            wait_for("all sessions", lambda: spy.count("C_Sign") == ROOM)
            wait_for("all queries", lambda: statistic(server, "under-way") == CLIENTS)
            assert spy.count("C_Sign") == ROOM
        finally:
            spy.rules()
        got = answers(asked)
    assert_all_signed(server, got)
