# SPDX-License-Identifier: GPL-2.0-or-later
"""A single call that fails: the job is done once more on a fresh session, and the client gets its
answer. Every function that serving queries calls, with every CK_RV that is worth it."""
import dns.dnssec
import pytest

from harness import zones
from harness.deadline import wait_for
from harness.faults import LOST, Names, is_refused, is_signed, lines
from harness.speed import answers, at_once, statistic
from harness.validate import assert_signed, keys_of

ZONE = zones.SIGNED

FIRST = ["C_GetSlotList", "C_GetSlotInfo", "C_GetTokenInfo", "C_GetMechanismList", "C_OpenSession",
         "C_GetSessionInfo", "C_Login", "C_FindObjectsInit", "C_FindObjects", "C_FindObjectsFinal",
         "C_GetAttributeValue", "C_SignInit", "C_Sign", "C_CloseSession"]


def served(site, algorithm="ecdsa256", kind="P-256", **settings):
    site.add_zone(zones.many(ZONE, 400))
    token = site.token("signing")
    token.make_key("a key", kind)
    site.assign(ZONE, algorithm, "ksk", token, "a key")
    site.pdnsutil("rectify-zone", ZONE)
    site.set(**settings)
    # So many that none is refused because too many wait.
    return token, site.start_server(settings={"receiver-threads": "32", "distributor-threads": "1"})


def spelled(label: str, number: int) -> str:
    """One of 2^n spellings of a token's URI, each a token of its own to the module: one that it
    has never opened a session on."""
    return "pkcs11:token=" + "".join(
        f"%{ord(c):02x}" if number >> i & 1 else c for i, c in enumerate(label))


def outcome(server, name: str, keys) -> str:
    """Empty when the answer is as it should be."""
    answer = server.ask(name)
    if not is_signed(answer):
        return f"no answer: {lines(server)[-1:]}"
    try:
        assert_signed(answer, keys)
    except dns.dnssec.ValidationFailure as failure:
        return f"does not validate: {failure}"
    return ""


@pytest.mark.parametrize("function", FIRST)
def test_a_call_that_fails_once_at_the_first_query_ever(site, spy, function):
    token, server = served(site, pkcs11signer_timeout="10000")
    keys = keys_of(server, ZONE)
    row, = site.database.key_rows(ZONE)
    wrong = {}
    for number, (name, rv) in enumerate(LOST.items()):
        site.database.set_content(row.id, site.reference(token, "a key", Slot=spelled(token.label, number)))
        spy.plug()  # nobody is logged in
        spy.forget()
        rules = [spy.fail_once(function, rv)]
        if function == "C_CloseSession":  # of a session that is of no use any more
            rules.append(spy.fail_once("C_SignInit", LOST["CKR_SESSION_HANDLE_INVALID"]))
        spy.rules(*rules)
        said = outcome(server, f"host{number}.{ZONE}", keys)
        assert hex(rv) in spy.outcomes(function), f"{function} was not called: the test proves nothing"
        logins = spy.count("C_Login")
        if said or not 1 <= logins <= 2:
            wrong[name] = f"{logins} C_Login; {said}"
    assert wrong == {}


@pytest.mark.parametrize("algorithm,kind", [("ecdsa256", "P-256"), ("rsasha256", "RSA-2048")])
@pytest.mark.parametrize("function", ["C_SignInit", "C_Sign"])
def test_a_call_that_fails_once_on_a_session_that_has_signed(site, spy, function, algorithm, kind):
    _, server = served(site, algorithm, kind, pkcs11signer_timeout="10000")
    names = Names(server, warm=1)
    wrong = {}
    for name, rv in LOST.items():
        spy.forget()
        spy.rules(spy.fail_once(function, rv))
        said = outcome(server, names.cold(), names.keys)
        assert hex(rv) in spy.outcomes(function)
        logins = spy.count("C_Login")
        if said or logins > 1:
            wrong[name] = f"{logins} C_Login; {said}"
    assert wrong == {}
    assert statistic(server, "retries") == len(LOST)
    assert statistic(server, "tokens-away") == 0
    assert lines(server, "token '") == [], "what was got over is not worth a line"


def test_sessions_and_handles_are_not_lost_by_retries(site, spy):
    """After every fault the session is closed: none is left over in the token."""
    _, server = served(site, pkcs11signer_timeout="10000", pkcs11signer_sessions="1")
    names = Names(server, warm=1)
    spy.forget()
    for rv in LOST.values():
        spy.rules(spy.fail_once("C_Sign", rv))
        names.assert_cold_signed()
    opened, closed = spy.outcomes("C_OpenSession"), spy.outcomes("C_CloseSession")
    assert opened == closed == ["0x0"] * len(LOST)


def test_a_login_that_is_lost_under_many_sessions(site, spy):
    """All of them lose it at once; one login brings it back for all."""
    _, server = served(site, pkcs11signer_timeout="20000")
    names = Names(server, warm=1)
    spy.rules("C_Sign delay 20")
    with at_once(lambda _: names.ask_cold(timeout=30), range(16)) as asked:
        answers(asked)
    for _ in range(3):
        opened = statistic(server, "sessions-opened")
        spy.log_out()
        spy.forget()
        with at_once(lambda _: names.ask_cold(timeout=30), range(16)) as asked:
            for answer in answers(asked):
                assert_signed(answer, names.keys)
        assert spy.outcomes("C_Login") == ["0x0"]
        assert statistic(server, "sessions-opened") > opened
    assert statistic(server, "failures") == statistic(server, "timeouts") == 0
    assert lines(server, "token '") == []


def test_a_key_looked_for_while_the_login_is_lost_and_another_worker_logs_in(site, spy):
    """What is not there without the login is looked for again, though the login is back by then."""
    _, server = served(site, pkcs11signer_timeout="20000")
    names = Names(server, warm=1)
    spy.rules("C_Sign delay 20")
    with at_once(lambda _: names.ask_cold(timeout=30), range(16)) as asked:
        answers(asked)
    for _ in range(3):
        spy.log_out()
        spy.rules("C_Sign delay 20", "C_FindObjects delay 100")
        with at_once(lambda _: names.ask_cold(timeout=30), range(16)) as asked:
            for answer in answers(asked):
                assert_signed(answer, names.keys)
        spy.rules("C_Sign delay 20")
    assert statistic(server, "failures") == 0


def test_a_call_that_fails_twice_is_an_error_for_that_query_alone(site, spy):
    _, server = served(site, pkcs11signer_timeout="10000")
    names = Names(server, warm=1)
    spy.rules("C_Sign fail 0x30 2 times")
    assert is_refused(names.ask_cold())
    assert "token 'signing' (module softhsm2): C_Sign: CKR_DEVICE_ERROR" in server.log
    names.assert_cold_signed()


def test_a_login_that_keeps_failing_is_not_tried_over_and_over(site, spy):
    """Any C_Login may cost a try, whatever it says."""
    _, server = served(site, pkcs11signer_timeout="10000")
    names = Names(server, warm=1)
    spy.plug()
    spy.forget()
    spy.rules("C_Login return 0x30")
    for _ in range(20):
        names.assert_cold_refused()
    assert spy.count("C_Login") <= 4, "twice for the first query, and what looks for the token"
    spy.rules()
    wait_for("signature", names.cold_is_signed)


def test_a_token_all_of_whose_sessions_somebody_else_has(site, spy):
    """From the start: there is no session, and then there is one."""
    spy.rules("C_OpenSession limit 0")
    site.add_zone(zones.many(ZONE, 40))
    site.add_zone(zones.small(zones.PLAIN))
    token = site.token()
    token.make_key("a key")
    site.database.add_key_row(ZONE, site.reference(token, "a key"))
    site.set(pkcs11signer_timeout="10000")
    server = site.start_server()
    for i in range(10):
        assert is_refused(server.ask(f"host{i}.{ZONE}"))
    assert server.ask(f"www.{zones.PLAIN}").answer
    assert lines(server, token.label, "no session left", "other programs")
    assert spy.count("C_OpenSession") <= 4, "twice for the first query, and what looks for the token"
    spy.rules()
    wait_for("signature", lambda: is_signed(server.ask(f"host0.{ZONE}")))
    Names(server, warm=10)
