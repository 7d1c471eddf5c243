# SPDX-License-Identifier: GPL-2.0-or-later
"""When a PIN is tried, by what the token says of the tries that are left, and where it does not say what is wrong."""
import dns.rcode
import pytest

from harness.deadline import wait_for
from harness.validate import assert_signed, keys_of
from harness.wrong_pins import (COUNT_LOW, FINAL_TRY, KEY_TTL, LOCKED, ZONE, ask_much, assert_signs, fails, put_row,
                                unlock, token, wrong)  # noqa: F401: fixtures

FAILED = ["C_Login blame 0x6"]  # CKR_FUNCTION_FAILED
NO_FLAGS = f"C_GetTokenInfo clear {COUNT_LOW}"


@pytest.mark.parametrize("flag, word", [(FINAL_TRY, "final try"), (LOCKED, "locked")])
def test_no_login_on_the_final_try_whatever_is_said(site, token, spy, flag, word):
    put_row(site, token, token.pin)
    spy.rules(f"C_GetTokenInfo flags {flag}")
    server = site.start_server()
    told = f"[pkcs11signer] the PIN of token '{token.label}'"
    ask_much(server, 2)
    assert server.log.count(told) == 1 and word in server.log
    unlock(site, token.label)
    ask_much(server, 2)
    assert server.log.count(told) == 2, "who said unlock-login is told once more"
    assert spy.count("C_Login") == 0
    spy.rules()
    assert_signs(server)


def test_the_final_try_is_for_the_right_one_of_two_namesakes(site, token, spy):
    """pkcs11-tool takes the first token of a label, whose PIN would be spent."""
    spy.rules(f"C_GetTokenInfo flags {FINAL_TRY}")
    site.database.add_key_row(ZONE, site.reference(token, "a key", Slot=token.serial))
    assert f"--token-label '{token.label}' --login --test" in site.command("check", check=False).stdout
    twin = site.token(token.label)
    for one in (token, twin):
        site.database.add_key_row(ZONE, site.reference(one, "a key", Slot=one.serial))
        assert f"--slot {one.slot:#x} --login --test" in site.command("check", check=False).stdout


def test_count_low_lets_in_a_proven_pin_only(site, token, spy, wrong):
    key = put_row(site, token, token.pin)
    spy.rules(f"C_GetTokenInfo flags {COUNT_LOW}")
    server = site.start_server()
    ask_much(server, 2)
    assert spy.count("C_Login") == 0
    assert server.log.count("[pkcs11signer] token") == 1
    assert "unlock-login" in server.log
    spy.rules()
    assert_signs(server)
    server.stop()

    spy.rules(f"C_GetTokenInfo flags {COUNT_LOW}")
    spy.forget()
    server = site.start_server()
    assert_signs(server)  # proven before the restart
    assert spy.count("C_Login") == 1
    server.stop()
    site.database.set_content(key, site.reference(token, "a key", PIN=wrong))
    assert fails(site.start_server())
    assert spy.count("C_Login") == 1


def test_unlock_login_allows_one_try_when_the_count_is_low(site, token, spy):
    put_row(site, token, token.pin)
    spy.rules(f"C_GetTokenInfo flags {COUNT_LOW}")
    server = site.start_server()
    assert fails(server)
    unlock(site, token.label)
    assert_signs(server)
    assert spy.count("C_Login") == 1


def test_a_login_that_the_process_does_not_survive_is_not_tried_again(site, token, spy):
    put_row(site, token, token.pin)
    # No store: what the second server has signed, the third has to sign anew.
    site.set(pkcs11signer_timeout="300", pkcs11signer_store="none")
    spy.rules("C_Login hang")
    server = site.start_server()
    assert fails(server)
    wait_for("C_Login", lambda: spy.count("C_Login") == 1)
    server.daemon.kill()
    spy.rules()
    server = site.start_server()
    ask_much(server, 2)
    assert "cut short" in server.log and f"unlock-login {token.serial}" in server.log
    assert spy.count("C_Login") == 1
    unlock(site, token.serial)
    assert_signs(server)
    server.daemon.kill()

    spy.rules("C_Login hang")  # a PIN that the token took before is trusted
    server = site.start_server()
    assert fails(server)
    wait_for("C_Login", lambda: spy.count("C_Login") == 3)
    server.daemon.kill()
    spy.rules()
    assert_signs(site.start_server())


# -- a token that does not say that it was the PIN


def test_a_wrong_pin_that_the_token_says_by_its_flags_alone(site, token, spy, wrong):
    key = put_row(site, token, wrong)
    spy.rules(*FAILED)
    for _ in range(2):
        server = site.start_server()
        ask_much(server)
        server.stop()
    assert spy.count("C_Login") == 1
    assert "C_Login: CKR_FUNCTION_FAILED, and it says that a wrong PIN was given" in site.servers[0].log
    site.database.set_content(key, site.reference(token, "a key"))
    assert_signs(site.start_server())
    assert spy.count("C_Login") == 2


def test_a_wrong_pin_that_the_token_does_not_say(site, token, spy, wrong):
    """It may have been something else, so there is a second try; the third one is for people."""
    key = put_row(site, token, wrong)
    spy.rules(*FAILED, NO_FLAGS)
    for _ in range(3):
        server = site.start_server(settings=KEY_TTL)
        ask_much(server)
        assert site.command("check", ZONE, check=False).returncode == 1
        server.stop()
    assert spy.count("C_Login") == 2
    line, = (line for line in site.servers[0].log.splitlines() if "[pkcs11signer] two logins to token" in line)
    assert f"unlock-login {token.serial}" in line and "is away" not in site.servers[0].log
    server = site.start_server(settings=KEY_TTL)
    site.database.set_content(key, site.reference(token, "a key"))
    assert_signs(server)
    assert spy.count("C_Login") == 3


@pytest.mark.parametrize("rv", ["0x5", "0x6", "0x30", "0x80000001"])
def test_a_login_that_fails_without_a_reason_may_be_right_all_the_same(site, token, spy, rv):
    put_row(site, token, token.pin)
    spy.rules(f"C_Login return {rv}")
    server = site.start_server()
    ask_much(server)
    assert spy.count("C_Login") == 2
    spy.rules()
    ask_much(server, 2)
    unlock(site, token.label)
    assert_signs(server)


def test_a_pin_that_the_token_has_taken_gets_over_any_failure(site, token, spy):
    """None of them says that it is wrong now."""
    put_row(site, token, token.pin)
    server = site.start_server()
    assert_signs(server)
    spy.rules("C_Login return 0x6")
    spy.plug()
    spy.forget()

    def cold():
        return server.ask(f"missing.{ZONE}", timeout=30)
    assert cold().rcode() == dns.rcode.SERVFAIL
    wait_for("more logins", lambda: spy.count("C_Login") > 4, 30)
    spy.rules()
    wait_for("signature", lambda: cold().rcode() == dns.rcode.NXDOMAIN, 30)
    assert_signed(cold(), keys_of(server, ZONE))
