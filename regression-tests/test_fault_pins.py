# SPDX-License-Identifier: GPL-2.0-or-later
"""Wrong PINs: one try each, over queries, threads, restarts and programs; how one gets out of it."""
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dns.rcode
import pytest

from harness import zones
from harness.deadline import wait_for
from harness.validate import assert_signed, keys_of
from test_commands import assert_refused

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
    return site.transcript.secret("36925814")


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


# -- one try

def test_a_wrong_pin_is_tried_once_over_queries_threads_and_restarts(site, token, spy, wrong):
    put_row(site, token, wrong)
    for _ in range(3):
        server = site.start_server()
        ask_much(server)
        assert site.command("check", ZONE, check=False).returncode == 1
        server.stop()
    assert spy.count("C_Login") == 1
    told = [line for line in site.servers[0].log.splitlines() if "refused the PIN" in line]
    assert len([line for line in told if "[pkcs11signer] token" in line]) == 1, told
    later = site.servers[2].log
    assert later.count("[pkcs11signer] token") == 1
    assert token.serial in later and f"unlock-login {token.serial}" in later


def test_two_servers_make_one_try(site, token, spy, wrong):
    put_row(site, token, wrong)
    first, second = site.start_server(), site.start_server()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(ask_much, (first, second)))
    assert spy.count("C_Login") == 1


def test_pdnsutil_and_the_server_make_one_try(site, token, spy, wrong):
    assert_refused(site.command("assign", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, wrong, "a key",
                                check=False), "PIN")
    put_row(site, token, wrong)
    assert fails(site.start_server())
    assert spy.count("C_Login") == 1


def test_keys_makes_one_try_too(site, token, spy, wrong):
    for _ in range(3):
        assert_refused(site.command("keys", "softhsm2", token.label, wrong, check=False), "PIN", token.serial)
    assert spy.count("C_Login") == 1
    assert "a key" in site.command("keys", "softhsm2", token.label, token.pin).stdout
    assert spy.count("C_Login") == 2


def test_the_state_directory_holds_no_pin(site, token, wrong):
    put_row(site, token, wrong)
    server = site.start_server()
    assert fails(server)
    site.database.set_content(site.database.key_rows(ZONE)[0].id, site.reference(token, "a key"))
    assert_signs(server)
    files = [path for path in state(site).iterdir() if path.is_file()]
    assert {"refused-pins", "refused-pins.lock"} <= {path.name for path in files}
    for path in files:
        if path.name.startswith("refused-pins"):
            assert path.stat().st_mode & 0o777 == 0o600
            assert path.stat().st_uid == site.runner.identity.uid
        for pin in (wrong, token.pin):
            assert pin.encode() not in path.read_bytes()


# -- corrected

def test_a_pin_corrected_in_the_table_is_picked_up(site, token, spy, wrong):
    key = put_row(site, token, wrong)
    server = site.start_server(settings=KEY_TTL)
    assert fails(server)
    site.database.set_content(key, site.reference(token, "a key"))
    assert_signs(server)
    assert spy.count("C_Login") == 2


def test_a_pin_corrected_in_the_file_is_picked_up(site, token, spy, wrong):
    path = site.place.file("pin", wrong)
    put_row(site, token, f"file:{path}")
    server = site.start_server(settings=KEY_TTL)
    ask_much(server)
    site.place.file("pin", token.pin)
    assert_signs(server)
    assert spy.count("C_Login") == 2


def test_a_pin_is_corrected_after_a_restart(site, token, spy, wrong):
    """The token says COUNT_LOW now, but it was our own PIN that did it."""
    path = site.place.file("pin", wrong)
    put_row(site, token, f"file:{path}")
    server = site.start_server()
    assert fails(server)
    server.stop()
    site.place.file("pin", token.pin)
    assert_signs(site.start_server())
    assert spy.count("C_Login") == 2


def test_two_wrong_pins_leave_the_third_try_to_people(site, token, spy, wrong):
    path = site.place.file("pin", wrong)
    put_row(site, token, f"file:{path}")
    server = site.start_server()
    assert fails(server)
    site.place.file("pin", site.transcript.secret("36925815"))
    assert fails(server)
    site.place.file("pin", token.pin)
    assert fails(server)
    assert spy.count("C_Login") == 2
    assert "wrong PIN was given lately" in server.log
    unlock(site, token.label)
    assert_signs(server)
    assert spy.count("C_Login") == 3


def test_a_pin_changed_on_the_token_needs_no_restart(site, token, spy):
    """The server is logged in with the old one; another program proves the new one."""
    key = put_row(site, token, token.pin)
    server = site.start_server(settings=KEY_TTL)
    assert_signs(server)
    token.change_pin()
    site.database.set_content(key, site.reference(token, "a key"))
    server.control("purge", f"{ZONE}$")
    wait_for("refusal", lambda: fails(server), 10)
    assert "logged in, but not with this PIN" in server.log
    site.command("check", ZONE)
    assert_signs(server)
    assert spy.count("C_Login") == 2


# -- unlock-login

def test_unlock_login_has_it_tried_once_more(site, token, spy, wrong):
    put_row(site, token, wrong)
    server = site.start_server()
    assert fails(server)
    said = unlock(site, token.label).stdout
    assert said.startswith("1 refused PIN of token") and token.serial in said
    ask_much(server)
    assert spy.count("C_Login") == 2


@pytest.mark.parametrize("name", ["label", "serial"])
def test_unlock_login_without_the_token(site, token, spy, wrong, name):
    put_row(site, token, wrong)
    server = site.start_server()
    assert fails(server)
    server.stop()
    site.hsm.add_module("softhsm2", Path("/nonexistent.so"))
    row, = json.loads(unlock(site, getattr(token, name), json=True).stdout)
    assert row == {"token": token.label, "serial": token.serial, "forgotten": 1}
    row, = json.loads(unlock(site, getattr(token, name), json=True).stdout)
    assert row["forgotten"] == 0


def test_unlock_login_knows_a_token_as_references_do(site, token, spy):
    for name in (token.label, token.serial, str(token.slot), f"pkcs11:serial={token.serial}"):
        said = unlock(site, name).stdout
        assert token.serial in said and said.startswith("no refused PIN"), said
    assert spy.count("C_Login") == 0


def test_unlock_login_all_and_unknown(site, token, wrong):
    assert unlock(site, "--all").stdout == "no refused PIN is remembered\n"
    assert json.loads(unlock(site, "--all", json=True).stdout) == []
    put_row(site, token, wrong)
    site.command("check", ZONE, check=False)
    assert_refused(unlock(site, "no such token", check=False), "no such token", token.label)
    assert unlock(site, "--all").stdout.startswith("1 refused PIN of")


def test_what_root_unlocks_the_server_reads(site, token, spy, wrong):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    put_row(site, token, wrong)
    server = site.start_server()
    assert fails(server)
    unlock(site, token.serial, as_root=True)
    for path in state(site).glob("refused-pins*"):
        assert path.stat().st_uid == site.runner.identity.uid
    assert fails(server)
    assert spy.count("C_Login") == 2
    assert "cannot be" not in server.log


# -- what the token says

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

FAILED = ["C_Login blame 0x6"]  # CKR_FUNCTION_FAILED
NO_FLAGS = f"C_GetTokenInfo clear {COUNT_LOW}"


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


# -- a state directory that is no help

def _missing(site):
    site.set(pkcs11signer_state_dir=str(site.place.root / "no" / "such"))


def _read_only(site):
    state(site).chmod(0o500)


def _a_file(site):
    site.set(pkcs11signer_state_dir=str(site.place.file("a-file")))


def _full(site):
    """A file system without room for one more file."""
    if os.geteuid() != 0 or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=3", "tmpfs", state(site)],
            capture_output=True, timeout=30).returncode != 0:
        pytest.skip("cannot mount a tmpfs")
    site.runner.identity.own(state(site))
    (state(site) / "fill").write_bytes(b"x" * 4096)


@pytest.mark.parametrize("spoil", [_missing, _read_only, _a_file, _full])
def test_without_a_usable_state_directory(site, token, spy, wrong, spoil):
    spoil(site)
    try:
        key = put_row(site, token, wrong)
        server = site.start_server()
        ask_much(server)
        assert spy.count("C_Login") == 1
        site.database.set_content(key, site.reference(token, "a key"))
        assert_signs(server)
        assert server.log.count("[pkcs11signer] state directory") == 1
        if spoil is _full:
            (state(site) / "fill").unlink()
            unlock(site, "--all")
            server.stop()
            assert_signs(site.start_server())
    finally:
        for server in site.servers:
            server.daemon.kill()
        if spoil is _full:
            subprocess.run(["umount", state(site)], check=True, timeout=30)
        state(site).chmod(0o700)


def test_no_state_directory_set(site, token, spy, wrong):
    site.set(pkcs11signer_state_dir="")
    put_row(site, token, wrong)
    server = site.start_server()
    ask_much(server)
    assert spy.count("C_Login") == 1
    assert "state directory" not in server.log
    assert_refused(unlock(site, token.label, check=False), "pkcs11signer-state-dir")


@pytest.mark.parametrize("content", [
    pytest.param(b"", id="empty"), pytest.param(b"\0" * 100, id="zeros"),
    pytest.param(b"pkcs11signer refused-pins 9\n", id="newer"),
    pytest.param(bytes(range(256)) * 400, id="big")])
def test_a_damaged_file_is_put_aside(site, token, spy, wrong, content):
    site.place.file("state/refused-pins", content)
    put_row(site, token, wrong)
    server = site.start_server()
    ask_much(server)
    server.stop()
    assert server.log.count("refused-pins.corrupt") == 1
    assert (state(site) / "refused-pins.corrupt").read_bytes() == content
    server = site.start_server()
    ask_much(server, 2)
    assert "refused-pins.corrupt" not in server.log
    assert spy.count("C_Login") == 1
