# SPDX-License-Identifier: GPL-2.0-or-later
"""Wrong PINs: one try each, over queries, threads, restarts and programs; how one gets out of it."""
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.commands import assert_refused
from harness.deadline import wait_for
from harness.wrong_pins import (KEY_TTL, ZONE, ask_much, assert_signs, fails, put_row, state, unlock, token,
                                wrong)  # noqa: F401: fixtures


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
    site.place.file("pin", site.transcript.secret("3692~815"))
    assert fails(server)
    site.place.file("pin", token.pin)
    wait_for("another reason", lambda: fails(server) and "wrong PIN was given lately" in server.log)
    assert spy.count("C_Login") == 2
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


@pytest.mark.parametrize("name", [
    "{0.label}", "{0.serial}", "pkcs11:serial={0.serial}", "pkcs11:token=dns%20keys;serial={0.serial}"])
def test_unlock_login_without_the_token(site, token, spy, wrong, name):
    put_row(site, token, wrong)
    server = site.start_server()
    assert fails(server)
    server.stop()
    site.hsm.add_module("softhsm2", Path("/nonexistent.so"))
    row, = json.loads(unlock(site, name.format(token), json=True).stdout)
    assert row == {"token": token.label, "serial": token.serial, "forgotten": 1}
    row, = json.loads(unlock(site, name.format(token), json=True).stdout)
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
