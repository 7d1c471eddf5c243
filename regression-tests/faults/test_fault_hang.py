# SPDX-License-Identifier: GPL-2.0-or-later
"""A call that does not come back: it costs the queries that need it their answer, at the deadline
and soon at once, and nobody else anything. The token is used again when it answers."""
from concurrent.futures import ThreadPoolExecutor

import dns.rcode
import pytest

from harness import zones
from harness.deadline import wait_for
from harness.faults import Names, is_refused, is_signed, lines
from harness.speed import answers, at_once, single_key, statistic
from harness.validate import assert_signed, keys_of

ZONE = zones.SIGNED
OTHER = zones.OTHER
PLAIN = zones.PLAIN

# Each takes its queries from one socket as it gets free.
THREADS = {"receiver-threads": "16", "distributor-threads": "1"}
FUNCTIONS = ["C_Sign", "C_OpenSession", "C_GetSlotList", "C_Login", "C_FindObjects"]
DEADLINE = "900"  # of a query: sooner than a token counts as stuck, and time for a signature on a busy machine
PATIENCE = 30.0


@pytest.fixture
def served(site, spy):
    site.add_zone(zones.many(ZONE, 600))
    site.add_zone(zones.small(PLAIN))
    single_key(site, ZONE, site.token("signing"))
    site.set(pkcs11signer_timeout=DEADLINE)
    return lambda: site.start_server(settings=THREADS)


def hang(spy, function: str, *rules: str) -> None:
    """The next query that needs it; nobody is logged in and no key's handle is known."""
    if function != "C_Sign":
        spy.plug()
    spy.forget()
    spy.rules(f"{function} hang", *rules)


def make_stuck(spy, names: Names, function: str = "C_Sign", *rules: str) -> None:
    hang(spy, function, *rules)
    with at_once(lambda _: names.ask_cold(timeout=PATIENCE), range(8)) as asked:
        refused = answers(asked)
    assert all(is_refused(answer) for answer in refused)
    wait_for("word of it", lambda: not names.cold_is_signed() and stuck_lines(names.server))


def stuck_lines(server) -> list[str]:
    return lines(server, "token 'signing'", "has not answered")


def over_lines(server) -> list[str]:
    return lines(server, "token 'signing'", "answers again")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_everything_else_is_answered_while_it_hangs(served, spy, function):
    server = served()
    names = Names(server)
    hang(spy, function)
    with at_once(lambda _: names.ask_cold(timeout=PATIENCE), range(100)) as asked:
        wait_for(f"hanging {function}", lambda: "hangs" in spy.outcomes(function))
        for _ in range(6):
            names.assert_warm_answered()
            for _ in range(10):
                answer = server.ask(f"www.{PLAIN}")
                assert answer.rcode() == dns.rcode.NOERROR and answer.answer
            assert is_signed(server.ask(names.warm[0], tcp=True))
        cold = answers(asked)
    assert len(cold) == 100
    assert all(is_refused(answer) for answer in cold)
    spy.rules()
    wait_for("signature", names.cold_is_signed)
    names.assert_warm_answered()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_after_the_first_few_nobody_waits(served, spy, function):
    server = served()
    names = Names(server, warm=5)
    make_stuck(spy, names, function)
    waited = statistic(server, "timeouts")
    for _ in range(30):
        names.assert_cold_refused()
    # Now and then one is let through: perhaps another session gets an answer.
    assert statistic(server, "timeouts") - waited <= 2
    assert len(stuck_lines(server)) == 1
    assert over_lines(server) == []

    spy.rules()
    wait_for("end of it", lambda: over_lines(server))
    wait_for("signature", names.cold_is_signed)
    for _ in range(10):
        names.assert_cold_signed()
    assert len(stuck_lines(server)) == len(over_lines(server)) == 1, "each is logged once"


@pytest.mark.parametrize("function", ["C_Sign", "C_Login", "C_FindObjects"])
def test_a_session_that_hung_is_closed_and_not_used_again(served, spy, function):
    server = served()
    names = Names(server, warm=5)
    make_stuck(spy, names, function)
    hung = {e.session for e in spy.events() if e.outcome == "hangs"}
    assert hung
    spy.rules()
    wait_for("end of it", lambda: over_lines(server))
    wait_for("signature", names.cold_is_signed)
    wait_for("closed sessions", lambda: hung <= {e.session for e in spy.events()
                                                 if e.function == "C_CloseSession"})
    for _ in range(10):
        names.assert_cold_signed()
    events = spy.events()
    for session in hung:
        mine = [e for e in events if e.session == session]
        came_back = max(i for i, e in enumerate(mine) if e.function == function)
        begun = [e for e in mine[came_back + 1:] if e.function in ("C_FindObjectsInit", "C_SignInit")]
        assert mine[-1].function == "C_CloseSession"
        # What it hung in is finished with it; nothing else is begun.
        assert len(begun) <= (0 if function == "C_Sign" else 4), mine


def test_one_session_hangs_and_the_others_go_on(served, spy):
    server = served()
    names = Names(server, warm=5)
    spy.forget()
    spy.rules("C_Sign hang 1")
    name = names.cold()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.ask, name, timeout=PATIENCE)
        wait_for("hanging C_Sign", lambda: "hangs" in spy.outcomes("C_Sign"))
        for _ in range(30):
            names.assert_cold_signed()
        assert is_refused(asked.result())
    for _ in range(3):  # each waits for that one call until its deadline
        assert is_refused(server.ask(name, timeout=PATIENCE))
        names.assert_cold_signed()
    assert spy.outcomes("C_Sign").count("hangs") == 1
    assert stuck_lines(server) == []
    hung, = {e.session for e in spy.events() if e.outcome == "hangs"}
    spy.rules()
    wait_for("closed session", lambda: any(e.function == "C_CloseSession" and e.session == hung
                                           for e in spy.events()))
    names.assert_cold_signed()


def test_a_token_with_one_session_gets_another_when_it_hangs(site, served, spy):
    """When that one works, everything does, although the first still hangs."""
    site.set(pkcs11signer_sessions="1")
    server = served()
    names = Names(server, warm=5)
    spy.forget()
    spy.rules("C_Sign hang 1")
    with at_once(lambda _: names.ask_cold(timeout=PATIENCE), range(8)) as asked:
        assert all(is_refused(answer) for answer in answers(asked))
    wait_for("signature", names.cold_is_signed)
    for _ in range(10):
        names.assert_cold_signed()
    assert spy.outcomes("C_Sign").count("hangs") == 1
    spy.rules()
    wait_for("end of all", lambda: statistic(server, "under-way") == 0)
    names.assert_cold_signed()


def test_a_late_signature_is_used(served, spy):
    """What hung is not wasted: it serves the next one who asks."""
    server = served()
    names = Names(server, warm=5)
    spy.forget()
    spy.rules("C_Sign hang")
    name = names.cold()
    assert is_refused(server.ask(name, timeout=PATIENCE))
    spy.rules()
    wait_for("end", lambda: statistic(server, "under-way") == 0)
    assert_signed(server.ask(name), names.keys)
    assert spy.count("C_Sign") == 1


@pytest.mark.parametrize("function", FUNCTIONS)
def test_another_token_goes_on(site, served, spy, function):
    """Of the same PKCS#11 module."""
    site.add_zone(zones.many(OTHER, 300))
    single_key(site, OTHER, site.token("second"))
    server = served()
    names, others = Names(server, warm=5), Names(server, OTHER, warm=5)
    spy.rules("token named signing")
    if function == "C_GetSlotList":  # a worker that begins now would hang, too
        others.assert_cold_signed()
    make_stuck(spy, names, function, "token named signing")
    for _ in range(30):
        others.assert_cold_signed()
        names.assert_cold_refused()
    assert lines(server, "token 'second'") == []
    spy.rules()
    wait_for("signature", names.cold_is_signed)


def test_a_token_that_hangs_from_the_start(site, spy):
    """Its keys are not known: nothing of the zone can be answered, everything else can."""
    site.add_zone(zones.many(ZONE, 100))
    site.add_zone(zones.small(PLAIN))
    token = site.token("signing")
    token.make_key("a key")
    site.database.add_key_row(ZONE, site.reference(token, "a key"))
    site.set(pkcs11signer_timeout=DEADLINE)
    spy.rules("C_GetSlotList hang")
    server = site.start_server(settings=THREADS)
    with at_once(lambda i: server.ask(f"host{i}.{ZONE}", timeout=PATIENCE), range(60)) as asked:
        wait_for("hanging C_GetSlotList", lambda: "hangs" in spy.outcomes("C_GetSlotList"))
        for _ in range(100):
            assert server.ask(f"www.{PLAIN}").answer
        assert all(is_refused(answer) for answer in answers(asked))
    spy.rules()
    wait_for("signature", lambda: is_signed(server.ask(f"host1.{ZONE}", timeout=PATIENCE)))
    assert_signed(server.ask(f"host2.{ZONE}"), keys_of(server, ZONE))


def test_a_token_that_hangs_is_unplugged_and_put_back(served, spy):
    """What an operator does about it."""
    server = served()
    names = Names(server, warm=5)
    make_stuck(spy, names)
    spy.unplug()
    spy.rules()  # the calls that hung say CKR_DEVICE_REMOVED
    wait_for("token away", lambda: statistic(server, "tokens-away") == 1)
    assert statistic(server, "tokens-stuck") == 0
    spy.plug()
    wait_for("signature", names.cold_is_signed)
    assert [len(lines(server, "token 'signing'", text))
            for text in ("has not answered", "answers again", "is away", "is back")] == [1, 1, 1, 1]


def test_what_looks_for_the_token_may_hang_too(served, spy):
    server = served()
    names = Names(server, warm=5)
    spy.unplug()
    names.assert_cold_refused()
    spy.forget()
    spy.rules("C_GetSlotList hang")
    wait_for("hanging C_GetSlotList", lambda: "hangs" in spy.outcomes("C_GetSlotList"))
    spy.plug()
    before = statistic(server, "timeouts")
    for _ in range(20):
        names.assert_cold_refused()
    assert statistic(server, "timeouts") == before, "nobody waits for a token that is away"
    names.assert_warm_answered()
    spy.rules()
    wait_for("signature", names.cold_is_signed)


def test_a_server_whose_token_hangs_ends_when_told(served, spy):
    server = served()
    names = Names(server, warm=5)
    make_stuck(spy, names)
    server.stop()
