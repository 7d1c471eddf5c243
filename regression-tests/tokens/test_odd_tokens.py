# SPDX-License-Identifier: GPL-2.0-or-later
"""Tokens that take their PIN from a keypad of their own, and tokens that have one session."""
import re

import pytest

from harness import zones
from harness.commands import assert_refused, listing
from harness.deadline import wait_for
from harness.faults import is_refused, is_signed
from harness.pdnsutil_names import record_name
from harness.speed import answers, at_once, statistic
from harness.validate import assert_delv, assert_signed, keys_of

ZONE = zones.SIGNED
OTHER = zones.OTHER
KEYPAD = "C_GetTokenInfo flags 0x100"  # CKF_PROTECTED_AUTHENTICATION_PATH
NO_PIN = ("dns keys", "keypad", "CKF_PROTECTED_AUTHENTICATION_PATH", "enable_pinpad")
ONE = ("C_GetTokenInfo sessions 1", "C_OpenSession limit 1")


@pytest.fixture
def token(site, spy):
    site.add_zone(zones.many(ZONE, 60))
    return site.token()


# -- no PIN to give

@pytest.mark.parametrize("pin", ["given", "none", "source"])
def test_a_keypad_is_an_error_that_says_so(site, token, spy, pin):
    """And nobody is logged in: neither with a PIN, nor without, which would wait for somebody at the keypad."""
    token.make_key("a key")
    if pin == "source":
        site.set(pkcs11signer_pin_source=f"file:{site.place.file('pin', token.pin)}")
    text = token.pin if pin == "given" else ""
    spy.rules(KEYPAD)
    for words in (("assign", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, text, "a key"),
                  ("generate", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, text, "another")):
        assert_refused(site.command(*words, check=False), ZONE, token.serial, *NO_PIN)
    assert site.database.key_rows(ZONE) == []
    assert spy.count("C_Login") == 0

    row, = [row for row in listing(site, "tokens") if row["serial"] == token.serial]
    assert "protected-authentication-path" in row["flags"]
    shown = site.command("keys", "softhsm2", token.label, text).stdout
    assert "a key" in shown and "keypad" in shown
    assert spy.count("C_Login") == 0


def test_a_server_whose_token_has_a_keypad(site, token, spy):
    token.make_key("a key")
    site.assign(ZONE, "ecdsa256", "ksk", token, "a key")
    site.pdnsutil("rectify-zone", ZONE)
    site.add_zone(zones.small(OTHER))
    spy.rules(KEYPAD)
    spy.forget()
    server = site.start_server()
    for i in range(10):
        assert is_refused(server.ask(f"host{i}.{ZONE}"))
    assert server.ask(f"www.{OTHER}").answer
    for word in NO_PIN:
        assert word in server.log
    result = site.command("check", check=False)
    assert result.returncode == 1 and "keypad" in result.stdout
    wait_for("word of it", lambda: [row["pin"] for row in listing(site, "status")] == ["keypad"])
    assert spy.count("C_Login") == 0
    spy.rules()  # enable_pinpad = false
    wait_for("signature", lambda: is_signed(server.ask(f"www.{ZONE}")))
    assert_delv(server, ZONE, f"www.{ZONE}")


def test_a_keypad_where_nobody_has_to_log_in(site, token, spy):
    """The server of a token that wants no login does not care."""
    token.make_key("a key")
    spy.rules(KEYPAD)
    row, = listing(site, "keys", "softhsm2", token.label, token.pin)
    assert row["public"] and not row["private"]
    spy.rules(KEYPAD, "C_GetTokenInfo clear 0x4")
    row, = listing(site, "keys", "softhsm2", token.label, "")
    assert row["public"]
    assert "keypad" not in site.command("keys", "softhsm2", token.label, "").stdout
    assert spy.count("C_Login") == 0


# -- one session

@pytest.mark.parametrize("always", [(), ("--always-auth",)], ids=["plain", "a login for each signature"])
def test_all_threads_share_the_one_session(site, token, spy, always):
    spy.rules(*ONE)
    for role in ("ksk", "zsk"):
        token.make_key(role, "P-256", None, *always)
        site.command("assign", ZONE, "ecdsa256", role, "softhsm2", token.label, token.pin, role)
    site.pdnsutil("rectify-zone", ZONE)
    site.set(pkcs11signer_sessions="8", pkcs11signer_timeout="30000")
    spy.forget()
    # No more than three quarters of them wait for long.
    server = site.start_server(settings={"receiver-threads": "48", "distributor-threads": "1"})
    with at_once(lambda i: server.ask(f"host{i}.{ZONE}", timeout=30), range(24)) as asked:
        got = answers(asked)
    keys = keys_of(server, ZONE)
    for answer in got:
        assert_signed(answer, keys)
    assert_delv(server, ZONE, f"www.{ZONE}")
    assert spy.count("C_OpenSession") == 1
    assert statistic(server, "failures") == statistic(server, "retries") == 0


@pytest.mark.parametrize("rules", [ONE, ONE[1:]], ids=["says so", "only does so"])
def test_making_keys_on_it(site, token, spy, rules):
    """A key is made on a session that can write; the one that was there has to go first."""
    spy.rules(*rules)
    for role in ("ksk", "zsk"):
        site.command("generate", ZONE, "ecdsa256", role, "softhsm2", token.label, token.pin, role)
    site.pdnsutil("rectify-zone", ZONE)
    assert token.labels() == ["ksk", "zsk"]
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")

    # What is made for nothing is removed again, which takes a session that can write once more.
    token.make_key("taken", id="01")
    site.command("assign", ZONE, "ecdsa256", "zsk", "softhsm2", token.label, token.pin, "taken")
    spy.rules(*rules, "C_Sign corrupt")
    assert_refused(site.command("generate", ZONE, "ecdsa256", "zsk", "softhsm2", token.label, token.pin, "new",
                                check=False), "verify")
    assert token.labels() == ["ksk", "taken", "zsk"]


def test_pdnsutil_beside_a_server_that_has_the_session(site, token, spy):
    """It says who has it and what can be done; the server signs on."""
    token.make_key("a key")
    site.command("assign", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "a key")
    site.pdnsutil("rectify-zone", ZONE)
    server = site.start_server()
    keys = keys_of(server, ZONE)
    assert_signed(server.ask(f"www.{ZONE}"), keys)
    spy.rules("C_GetTokenInfo sessions 1", "C_OpenSession limit 0")  # for the others
    said = (token.serial, "CKR_SESSION_COUNT", "1 at most", "stop it")
    for words in (("keys", "softhsm2", token.label, token.pin),
                  ("generate", ZONE, "ecdsa256", "zsk", "softhsm2", token.label, token.pin, "new"),
                  ("assign", ZONE, "ecdsa256", "zsk", "softhsm2", token.label, token.pin, "a key")):
        assert_refused(site.command(*words, check=False), *said)
    checked = site.command("check", check=False)
    assert checked.returncode == 1 and "CKR_SESSION_COUNT" in checked.stdout
    # What needs no token goes on.
    assert "a key" not in site.pdnsutil("show-zone", ZONE).stderr
    for i in range(10):
        assert_signed(server.ask(f"host{i}.{ZONE}"), keys)
    assert statistic(server, "tokens-away") == 0


# -- no read-only sessions

@pytest.mark.parametrize("rv", ["0x6", "0xb4"], ids=["function failed", "parallel not supported"])
def test_a_token_that_has_no_read_only_sessions(site, token, spy, rv):
    """It is asked for a read/write one, and the server remembers that."""
    spy.rules(f"C_OpenSession read-only {rv}")
    for role in ("ksk", "zsk"):
        site.command("generate", ZONE, "ecdsa256", role, "softhsm2", token.label, token.pin, role)
    site.pdnsutil("rectify-zone", ZONE)
    assert "0 failed" in site.command("check").stdout
    assert {row["label"] for row in listing(site, "keys", "softhsm2", token.label, token.pin)} == {"ksk", "zsk"}
    spy.forget()
    server = site.start_server()
    assert_delv(server, ZONE, f"www.{ZONE}")
    assert is_signed(server.ask(f"host1.{ZONE}"))
    assert spy.outcomes("C_OpenSession").count(rv) == 1
    assert statistic(server, "failures") == statistic(server, "retries") == 0


# -- a mechanism that is listed, and refused

def test_a_mechanism_that_is_listed_and_refused(site, token, spy):
    """A strict policy: CKM_RSA_PKCS is refused when it comes to signing. The token's other keys know then."""
    spy.rules("C_SignInit forbid 0x1")
    for role in ("ksk", "zsk"):
        site.command("generate", ZONE, "rsasha256", role, "softhsm2", token.label, token.pin, role)
    site.pdnsutil("rectify-zone", ZONE)
    assert "0 failed" in site.command("check").stdout
    spy.forget()
    server = site.start_server()
    assert_delv(server, ZONE, f"www.{ZONE}")
    assert "CKR_MECHANISM_INVALID for CKM_RSA_PKCS, although it lists that" in server.log
    assert 1 <= spy.count("C_SignInit") - spy.count("C_Sign") <= 8  # of the first, one a session
    assert statistic(server, "failures") == statistic(server, "retries") == 0

    spy.rules("C_SignInit forbid 0x1", "C_SignInit forbid 0x40")
    result = site.command("check", check=False)
    assert result.returncode == 1
    assert "CKM_RSA_PKCS and CKM_SHA256_RSA_PKCS and takes neither" in result.stdout


# -- messages that are too long for the token

SHORT = "C_Sign most 1000"
HASHING = "C_SignInit forbid 0x1"  # CKM_RSA_PKCS
REFUSALS = {"EdDSA": ("ed25519", (SHORT,)),
            "RSA, no parts": ("rsasha256", (SHORT, HASHING, "C_SignUpdate return 0x54")),
            "RSA, parts that add up": ("rsasha256", (SHORT, HASHING, "C_SignUpdate most 1000"))}


def add_big_rrset(site, records=8):
    site.pdnsutil("replace-rrset", ZONE, record_name(ZONE, "big"), "TXT", "3600",
                  *(f'"{i}{200 * "x"}"' for i in range(records)))
    site.pdnsutil("rectify-zone", ZONE)


@pytest.mark.parametrize("case", REFUSALS)
def test_a_message_that_the_token_refuses_for_its_length(site, token, spy, case):
    """`check` says which RRsets, the server which one and how long it is; all others are signed."""
    algorithm, rules = REFUSALS[case]
    spy.rules(*rules)
    site.command("generate", ZONE, algorithm, "ksk", "softhsm2", token.label, token.pin, "a key")
    add_big_rrset(site)
    checked = site.command("check", check=False)
    assert checked.returncode == 1
    assert re.search(rf"up to 1000 bytes .*: RRset big\.{ZONE}\. TXT \(\d{{4}} bytes\)\.", checked.stdout)
    server = site.start_server()
    assert_delv(server, ZONE, f"www.{ZONE}")
    assert is_refused(server.ask(f"big.{ZONE}", "TXT"))
    assert re.search(rf"RRset big\.{ZONE}\. TXT: the token refuses a message of \d{{4}} bytes .*CKR_DATA_LEN_RANGE.*"
                     r"the longest that it has signed has \d{2,3}\.", server.log)
    assert_delv(server, ZONE, f"host1.{ZONE}")
    server.stop()
    site.set(pkcs11signer_state_dir=site.place.directory("state of warm"))
    warmed = site.command("warm", ZONE, "1").stdout
    assert re.search(rf"^Not signed: .*RRset big\.{ZONE}\. TXT: the token refuses .*CKR_DATA_LEN_RANGE", warmed, re.M)
    assert warmed.count("Not signed: ") == 1
    spy.unplug()
    server = site.start_server()
    assert_delv(server, ZONE, f"www.{ZONE}")
    assert_delv(server, ZONE, f"host1.{ZONE}")
    assert is_refused(server.ask(f"big.{ZONE}", "TXT"))
    server.stop()
    spy.plug()
    add_big_rrset(site, records=2)
    assert "0 failed" in site.command("check").stdout


def test_a_long_message_goes_in_parts(site, token, spy):
    """Where C_Sign refuses it, and the mechanism hashes."""
    spy.rules(SHORT, HASHING)
    site.command("generate", ZONE, "rsasha256", "ksk", "softhsm2", token.label, token.pin, "a key")
    add_big_rrset(site)
    assert "0 failed" in site.command("check").stdout
    spy.forget()
    server = site.start_server()
    assert_delv(server, ZONE, f"www.{ZONE}")
    assert spy.count("C_SignUpdate") == 0
    assert_delv(server, ZONE, f"big.{ZONE}", "TXT")
    assert spy.outcomes("C_Sign").count("0x21") == 1
    add_big_rrset(site, records=9)
    server.control("purge", f"{ZONE}$")
    assert_delv(server, ZONE, f"big.{ZONE}", "TXT")
    assert spy.outcomes("C_Sign").count("0x21") == 1  # remembered
    assert statistic(server, "failures") == statistic(server, "retries") == 0


# -- private keys behind a login that the token says it does not want

def test_keys_behind_a_login_that_is_not_asked_for(site, token, spy):
    token.make_key("made before")
    spy.rules("C_GetTokenInfo clear 0x4")  # CKF_LOGIN_REQUIRED
    row, = listing(site, "keys", "softhsm2", token.label, token.pin)
    assert row["private"]
    site.command("generate", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "generated")
    site.command("assign", ZONE, "ecdsa256", "zsk", "softhsm2", token.label, token.pin, "made before")
    site.pdnsutil("rectify-zone", ZONE)
    assert "0 failed" in site.command("check").stdout
    spy.forget()
    server = site.start_server()
    assert_delv(server, ZONE, f"www.{ZONE}")
    assert spy.count("C_Login") == 1
