# SPDX-License-Identifier: GPL-2.0-or-later
"""A token that is unplugged and comes back: warm answers go on, nobody waits, and it signs again by
itself, but only with the key that was there before."""
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from harness import zones
from harness.deadline import wait_for
from harness.faults import Names, is_refused, lines
from harness.speed import answers, at_once, single_key, statistic, wait_for_statistic
from harness.validate import assert_signed, keys_of

ZONE = zones.SIGNED
OTHER = zones.OTHER

# Longer than anything may take that is not to wait for it.
TIMEOUT = "10000"
AT_ONCE = 2.0
BACK = 10.0
# As tests/modules/p11spy.c takes it out: cleanly; as OpenSC does; so that only sessions notice.
WAYS = ["unplugged", "unplugged-opensc", "unplugged-unseen"]


def served(site, algorithm="ecdsa256", kind="P-256", **how):
    site.add_zone(zones.many(ZONE, 300))
    token = site.token("signing")
    site.secure(ZONE, token, algorithm=algorithm, kind=kind)
    site.set(pkcs11signer_timeout=TIMEOUT)
    return token, site.start_server(**how)


def unplug(spy, names: Names, how: str = "unplugged") -> None:
    """And let the server notice."""
    spy.unplug(how)
    assert names.assert_cold_refused() < AT_ONCE
    assert statistic(names.server, "tokens-away") == 1


def plug(spy, server) -> None:
    before = statistic(server, "reconnects")
    spy.plug()
    wait_until_back(server, before + 1)


def wait_until_back(server, reconnects: int = 1) -> None:
    wait_for("token", lambda: statistic(server, "reconnects") == reconnects, BACK)
    assert statistic(server, "tokens-away") == 0


# -- out

@pytest.mark.parametrize("how", WAYS)
def test_warm_answers_go_on_while_the_token_is_out(site, spy, how):
    _, server = served(site)
    names = Names(server)
    unplug(spy, names, how)
    for _ in range(5):
        names.assert_warm_answered(rounds=2)
        assert names.assert_cold_refused() < AT_ONCE
    server.assert_alive()


@pytest.mark.parametrize("how", WAYS)
def test_a_query_makes_no_call_while_the_token_is_out(site, spy, how):
    _, server = served(site)
    names = Names(server, warm=5)
    unplug(spy, names, how)
    spy.forget()
    for _ in range(20):
        assert names.assert_cold_refused() < AT_ONCE
    # What looks for the token does so once a second, and tries it where it says that it is there.
    assert spy.count("C_SignInit") == spy.count("C_Sign") == 0
    assert spy.count("C_FindObjectsInit") == 0
    looks = 5
    assert spy.count("C_GetSlotList") <= 2 * looks
    tries = 0 if how == "unplugged" else looks
    assert spy.count("C_OpenSession") <= tries
    assert spy.count("C_Login") <= tries
    assert statistic(server, "timeouts") == 0


def test_zones_without_this_token_do_not_notice(site, spy):
    site.add_zone(zones.many(OTHER, 100))
    site.add_zone(zones.small(zones.PLAIN))
    site.add_zone(zones.small("software.test"))
    single_key(site, OTHER, site.token("second"))
    site.pdnsutil("secure-zone", "software.test")
    site.pdnsutil("rectify-zone", "software.test")
    _, server = served(site)
    names, others = Names(server, warm=5), Names(server, OTHER, warm=5)
    spy.rules("token named signing")
    unplug(spy, names)
    spy.forget()
    for _ in range(20):
        names.assert_cold_refused()
        others.assert_cold_signed()
    assert spy.count("C_Login") == 0
    assert_signed(server.ask("www.software.test"), keys_of(server, "software.test"))
    assert server.ask(f"www.{zones.PLAIN}").answer
    plug(spy, server)
    names.assert_cold_signed()


def test_a_server_that_starts_without_the_token(site, spy):
    token, server = served(site)
    names = Names(server, warm=1)  # of a zone whose keys are known
    server.stop()
    spy.unplug()
    server = site.start_server()
    names.server = server
    for _ in range(5):
        assert names.assert_cold_refused() < AT_ONCE
    assert len(lines(server, "token 'signing'", "away")) == 1
    plug(spy, server)
    names.assert_cold_signed()
    assert spy.outcomes("C_Login")[-1] == "0x0"


@pytest.mark.parametrize("how", WAYS)
def test_a_server_ends_while_its_token_is_out(site, spy, how):
    _, server = served(site)
    unplug(spy, Names(server, warm=1), how)
    server.stop()


# -- back

@pytest.mark.parametrize("how,algorithm,kind", [
    *((how, "ecdsa256", "P-256") for how in WAYS), ("unplugged", "rsasha256", "RSA-2048")])
def test_the_token_is_used_again_by_itself(site, spy, how, algorithm, kind):
    _, server = served(site, algorithm, kind)
    names = Names(server, warm=5)
    unplug(spy, names, how)
    refused = names.cold()
    assert is_refused(server.ask(refused))
    failures = statistic(server, "failures")
    spy.forget()
    plug(spy, server)
    # No query had to fail for that: the first one is signed, with a key that was found anew.
    names.assert_cold_signed()
    assert_signed(server.ask(refused), names.keys)
    for _ in range(20):
        names.assert_cold_signed()
    assert statistic(server, "failures") == failures
    assert [o for o in spy.outcomes("C_Login") if o != "0x32"] == ["0x0"], "logged in once"
    assert spy.count("C_FindObjectsInit") > 0
    assert statistic(server, "reconnects") == 1


def test_out_and_in_again_while_nothing_was_to_be_signed(site, spy):
    """The first query notices that its session is lost, and is answered on a fresh one."""
    _, server = served(site)
    names = Names(server)
    spy.unplug()
    names.assert_warm_answered()
    spy.plug()
    spy.forget()
    names.assert_cold_signed()
    assert spy.outcomes("C_SignInit")[0] == "0xb3"
    assert spy.outcomes("C_Login") == ["0x0"]
    assert statistic(server, "tokens-away") == statistic(server, "reconnects") == 0
    assert lines(server, "token '") == []


def test_a_session_from_before_is_closed_and_not_used_again(site, spy):
    _, server = served(site)
    names = Names(server, warm=5)
    spy.forget()
    names.assert_cold_signed()
    before = {e.session for e in spy.events() if e.function == "C_Sign"}
    unplug(spy, names)
    plug(spy, server)
    spy.forget()
    names.assert_cold_signed()
    after = {e.session for e in spy.events() if e.function in ("C_SignInit", "C_Sign")}
    assert before and after and not before & after


def test_a_token_with_a_bad_contact(site, spy):
    _, server = served(site)
    names = Names(server)
    for how in (WAYS + WAYS):
        unplug(spy, names, how)
        plug(spy, server)
        names.assert_cold_signed()
    names.assert_warm_answered()
    assert statistic(server, "reconnects") == 6
    assert len(lines(server, "is away")) <= 6, "the log is not filled with it"


def test_a_change_is_logged_once_and_says_what_to_do(site, spy):
    _, server = served(site)
    names = Names(server, warm=5)
    unplug(spy, names)
    for _ in range(50):
        names.assert_cold_refused()
    away, = lines(server, "token 'signing'", "softhsm2")
    assert "away" in away and "looked for every second" in away
    plug(spy, server)
    names.assert_cold_signed()
    away, back = lines(server, "token 'signing'", "softhsm2")
    assert "is back after" in back


def test_out_and_in_again_under_load(site, spy):
    """Whoever is being signed for is refused, or answered rightly; nothing is left over."""
    _, server = served(site, settings={"receiver-threads": "8", "distributor-threads": "1"})
    names = Names(server, warm=20)
    for how in WAYS:
        spy.rules("C_Sign delay 20")
        with at_once(lambda _: names.ask_cold(timeout=30), range(30)) as asked:
            spy.forget()
            wait_for("signatures under way", lambda: spy.count("C_Sign") >= 3)
            spy.unplug(how)
            names.assert_warm_answered()
            for answer in answers(asked):
                if not is_refused(answer):
                    assert_signed(answer, names.keys)
        assert names.assert_cold_refused() < AT_ONCE
        plug(spy, server)
        spy.rules()
        for _ in range(10):
            names.assert_cold_signed()
    wait_for_statistic(server, "under-way", 0)
    assert statistic(server, "queue") == 0
    assert statistic(server, "timeouts") == 0


# -- another key

@pytest.fixture
def right():
    return ec.generate_private_key(ec.SECP256R1())


def with_key(site, right, pinned: bool, verify: str = "yes"):
    site.add_zone(zones.many(ZONE, 200))
    token = site.token("signing")
    token.import_key("a key", right)
    if pinned:
        site.assign(ZONE, "ecdsa256", "ksk", token, "a key")
    else:
        site.database.add_key_row(ZONE, site.reference(token, "a key"))
    site.pdnsutil("rectify-zone", ZONE)
    row, = site.database.key_rows(ZONE)
    assert ("PublicKey" in row.lines()) == pinned
    site.set(pkcs11signer_timeout=TIMEOUT, pkcs11signer_verify=verify)
    return token, site.start_server()


def replace(token, private_key) -> None:
    token.delete("a key")
    token.import_key("a key", private_key)


@pytest.mark.parametrize("out", [True, False], ids=["out", "in-place"])
@pytest.mark.parametrize("pinned,verify", [(True, "yes"), (False, "yes"), (True, "no"), (False, "no")])
def test_another_key_under_the_same_label_signs_nothing(site, spy, right, pinned, verify, out):
    token, server = with_key(site, right, pinned, verify)
    names = Names(server)
    if out:
        unplug(spy, names)
    replace(token, ec.generate_private_key(ec.SECP256R1()))
    if out:
        plug(spy, server)
    spy.forget()
    for _ in range(20):
        answer = names.ask_cold()
        assert is_refused(answer), f"not by the right key:\n{answer}"
    assert "0x0" not in spy.outcomes("C_Sign"), "it was asked to sign"
    names.assert_warm_answered()
    assert keys_of(server, ZONE) == names.keys
    assert len(lines(server, "'a key'", "'signing'", "another key stands there under this label",
                     "put the right key back, or assign the new one")) == 1

    replace(token, right)
    wait_for("signature", names.cold_is_signed)
    for _ in range(10):
        names.assert_cold_signed()


@pytest.mark.parametrize("pinned", [True, False])
def test_the_key_is_gone_and_put_back(site, spy, right, pinned):
    token, server = with_key(site, right, pinned)
    names = Names(server, warm=5)
    token.delete("a key")
    for _ in range(5):
        names.assert_cold_refused()
    assert statistic(server, "tokens-away") == 0, "the token is there"
    names.assert_warm_answered()
    token.import_key("a key", right)
    wait_for("signature", names.cold_is_signed)
    names.assert_cold_signed()
