# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys that want their PIN at each signature (CKA_ALWAYS_AUTHENTICATE): a login of their own between C_SignInit and
C_Sign, and no PIN tried twice. SoftHSM does not sign with such a key without it."""
from itertools import pairwise

import pytest

from harness import zones
from harness.deadline import wait_for
from harness.dnskey import KSK, ZSK, DnsKey
from harness.faults import LOST, is_refused, is_signed, lines
from harness.pdnsutil_output import shown_keys
from harness.speed import answers, at_once, statistic
from harness.validate import assert_delv, assert_signed, assert_transfer_verifies, keys_of

ZONE = zones.SIGNED
OTHER = zones.OTHER
OK, NOT_LOGGED_IN, PIN_INCORRECT = "0x0", "0x101", "0xa0"
ALWAYS = "--always-auth"


@pytest.fixture
def token(site, spy):
    site.add_zone(zones.many(ZONE, 200))
    return site.token()


def pin_file(site, pin) -> None:
    path = site.place.file("pin", f"{pin}\n")
    site.set(pkcs11signer_pin_source=f"file:{path}")


def secure(site, token, *, algorithm="ecdsa256", kind="P-256", pin=""):
    """A KSK and a ZSK; their public keys."""
    made = {}
    for role in ("ksk", "zsk"):
        made[role] = token.make_key(role, kind, None, ALWAYS)
        site.command("assign", ZONE, algorithm, role, "softhsm2", token.label, pin, role)
    site.pdnsutil("rectify-zone", ZONE)
    return made


def steps(spy) -> list:
    """The calls that make up signatures, in order."""
    return [event for event in spy.events() if event.function in ("C_SignInit", "C_Login", "C_Sign")]


# -- signatures

@pytest.mark.parametrize("pin", ["source", "table"])
@pytest.mark.parametrize("algorithm,number,kind", [("ecdsa256", 13, "P-256"), ("ecdsa384", 14, "P-384"),
                                                   ("rsasha256", 8, "RSA-2048"), ("ed25519", 15, "Ed25519")])
def test_answers_are_signed(site, token, spy, algorithm, number, kind, pin):
    if pin == "source":
        pin_file(site, token.pin)
    made = secure(site, token, algorithm=algorithm, kind=kind, pin="" if pin == "source" else token.pin)
    assert "always authenticate" in token.objects("private", "ksk")[0].access
    shown = {key.role: key.tag for key in shown_keys(site.pdnsutil("show-zone", ZONE).stdout)}
    assert shown == {"KSK": DnsKey.of(ZONE, made["ksk"], number, KSK).tag,
                     "ZSK": DnsKey.of(ZONE, made["zsk"], number, ZSK).tag}
    assert site.command("check").stdout.strip().endswith("2 keys checked, 0 failed")

    server = site.start_server()
    spy.forget()
    keys = keys_of(server, ZONE)
    for name in ("www", "missing", "ns1"):
        assert_signed(server.ask(f"{name}.{ZONE}"), keys)
    assert_delv(server, ZONE, f"www.{ZONE}")
    assert spy.count("C_Sign") > 3
    assert spy.count("C_Login") == spy.count("C_Sign") + 1  # and the token's own
    assert statistic(server, "logins") == spy.count("C_Login")

    spy.forget()
    for _ in range(10):
        assert_signed(server.ask(f"www.{ZONE}"), keys)
    assert spy.calls() == []
    assert_transfer_verifies(server, ZONE)


def test_softhsm_does_not_sign_without_it(site, token, spy):
    """What is tested here is the test."""
    secure(site, token, pin=token.pin)
    server = site.start_server()
    keys_of(server, ZONE)
    spy.rules("C_Login return 0")
    assert is_refused(server.ask(f"www.{ZONE}"))
    assert NOT_LOGGED_IN in spy.outcomes("C_Sign")
    spy.rules()
    assert_signed(server.ask(f"host1.{ZONE}"), keys_of(server, ZONE))


def test_many_at_once_do_not_take_each_others_login(site, token, spy):
    """A card takes the login to be for the next signature, whoever gave it."""
    secure(site, token, pin=token.pin)
    site.set(pkcs11signer_timeout="30000")
    # No more than three quarters of them wait for long.
    server = site.start_server(settings={"receiver-threads": "48", "distributor-threads": "1"})
    keys = keys_of(server, ZONE)
    spy.rules("C_Sign delay 5")
    spy.forget()
    with at_once(lambda i: server.ask(f"host{i}.{ZONE}", timeout=30), range(24)) as asked:
        got = answers(asked)
    for answer in got:
        assert_signed(answer, keys)
    signing = {event.session for event in steps(spy) if event.function == "C_Sign"}
    assert len(signing) > 1, "one session did all the work: nothing was shown"
    for first, second in pairwise(steps(spy)):
        if first.function == "C_SignInit":
            assert second == type(second)("C_Login", first.session, OK)
        elif second.function == "C_Sign":
            assert first == type(first)("C_Login", second.session, OK)


def test_other_keys_on_the_token_need_no_login(site, token, spy):
    secure(site, token, pin=token.pin)
    site.add_zone(zones.many(OTHER, 20))
    token.make_key("plain")
    site.command("assign", OTHER, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "plain")
    site.pdnsutil("rectify-zone", OTHER)
    server = site.start_server()
    keys = {zone: keys_of(server, zone) for zone in (ZONE, OTHER)}
    spy.forget()
    for i in range(5):
        assert_signed(server.ask(f"host{i}.{OTHER}"), keys[OTHER])
    assert spy.count("C_Login") == 0 and spy.count("C_Sign") >= 5


# -- PINs

def assert_refuses(spy, server, start: int):
    for i in range(start, start + 20):
        assert is_refused(server.ask(f"host{i}.{ZONE}"))
    # What a signature was begun on for nothing is closed: else the next one could not begin.
    assert set(spy.outcomes("C_SignInit")) <= {OK}


def test_a_wrong_pin_in_the_source_costs_no_try(site, token, spy):
    """The token is logged in, and not with that one."""
    pin_file(site, token.pin)
    secure(site, token)
    server = site.start_server()
    keys = keys_of(server, ZONE)
    assert_signed(server.ask(f"host0.{ZONE}"), keys)
    wrong = site.transcript.secret("8642~975")
    spy.forget()
    pin_file(site, wrong)
    assert_refuses(spy, server, 1)
    assert "not with this PIN" in server.log
    assert spy.count("C_Login") == 0
    assert_signed(server.ask(f"host0.{ZONE}"), keys)
    pin_file(site, token.pin)
    assert_signed(server.ask(f"host61.{ZONE}"), keys)
    server.stop()

    # Without a login, as for any key: one try.
    pin_file(site, wrong)
    for start in (70, 100):
        server = site.start_server()
        assert_refuses(spy, server, start)
        server.stop()
    assert spy.outcomes("C_Login").count(PIN_INCORRECT) == 1
    pin_file(site, token.pin)
    assert_signed(site.start_server().ask(f"host130.{ZONE}"), keys)


def test_a_pin_that_the_token_takes_no_more_is_tried_once(site, token, spy):
    secure(site, token, pin=token.pin)
    server = site.start_server()
    keys = keys_of(server, ZONE)
    spy.forget()
    spy.rules(spy.fail_once("C_Login", int(PIN_INCORRECT, 16)))
    assert_refuses(spy, server, 1)
    assert lines(server, "refused the PIN", token.serial)
    refused = site.command("check", check=False)
    assert refused.returncode == 1 and "unlock-login" in refused.stdout
    server.stop()
    server = site.start_server()
    assert_refuses(spy, server, 30)
    assert spy.outcomes("C_Login") == [PIN_INCORRECT]

    spy.rules()
    site.command("unlock-login", token.label)
    wait_for("signature", lambda: is_signed(server.ask(f"host60.{ZONE}")))
    assert_signed(server.ask(f"host61.{ZONE}"), keys)


def test_a_source_that_is_gone_and_back(site, token, spy):
    pin_file(site, token.pin)
    secure(site, token)
    server = site.start_server()
    keys = keys_of(server, ZONE)
    assert_signed(server.ask(f"host0.{ZONE}"), keys)
    (site.place.root / "pin").unlink()
    spy.forget()
    for i in range(1, 6):
        assert is_refused(server.ask(f"host{i}.{ZONE}"))
    assert spy.count("C_Login") == 0
    assert "(CKA_ALWAYS_AUTHENTICATE): " in server.log
    pin_file(site, token.pin)
    assert_signed(server.ask(f"host6.{ZONE}"), keys)


def test_the_token_says_that_this_is_the_last_try(site, token, spy):
    """Then the right PIN is not given either: that is for people."""
    secure(site, token, pin=token.pin)
    server = site.start_server()
    keys = keys_of(server, ZONE)
    spy.rules("C_GetTokenInfo flags 0x20000")
    spy.forget()
    for i in range(5):
        assert is_refused(server.ask(f"host{i}.{ZONE}"))
    assert spy.count("C_Login") == 0
    spy.rules()
    wait_for("signature", lambda: is_signed(server.ask(f"host9.{ZONE}")))
    assert_signed(server.ask(f"host9.{ZONE}"), keys)


# -- faults

@pytest.mark.parametrize("function", ["C_SignInit", "C_Login", "C_Sign"])
@pytest.mark.parametrize("name", ["CKR_DEVICE_ERROR", "CKR_SESSION_HANDLE_INVALID", "CKR_USER_NOT_LOGGED_IN"])
def test_a_call_that_fails_once_is_got_over(site, token, spy, function, name):
    secure(site, token, pin=token.pin)
    server = site.start_server()
    keys = keys_of(server, ZONE)
    spy.rules(spy.fail_once(function, LOST[name]))
    assert_signed(server.ask(f"host1.{ZONE}"), keys)
    assert statistic(server, "retries") == 1
    for i in range(2, 12):
        assert_signed(server.ask(f"host{i}.{ZONE}"), keys)
    assert statistic(server, "retries") == 1


def test_a_token_that_takes_the_login_for_granted(site, token, spy):
    """CKR_USER_ALREADY_LOGGED_IN: then whether the key signs is C_Sign's to say."""
    secure(site, token, pin=token.pin)
    server = site.start_server()
    keys_of(server, ZONE)
    spy.rules("C_Login return 0x100")
    spy.forget()
    assert is_refused(server.ask(f"host1.{ZONE}"))
    assert NOT_LOGGED_IN in spy.outcomes("C_Sign")


def test_the_login_hangs(site, token, spy):
    """The others do not wait for it for ever, and it is got over."""
    site.add_zone(zones.many(OTHER, 20))
    secure(site, token, pin=token.pin)
    token.make_key("plain")
    site.command("assign", OTHER, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "plain")
    site.pdnsutil("rectify-zone", OTHER)
    server = site.start_server(settings={"receiver-threads": "4"})
    keys, other = keys_of(server, ZONE), keys_of(server, OTHER)
    spy.rules("C_Login hang")
    assert is_refused(server.ask(f"host1.{ZONE}", timeout=30))
    assert_signed(server.ask(f"host1.{OTHER}", timeout=30), other)
    spy.rules()
    wait_for("signature", lambda: is_signed(server.ask(f"host1.{ZONE}", timeout=30)))
    assert_signed(server.ask(f"host2.{ZONE}", timeout=30), keys)
