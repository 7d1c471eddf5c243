# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a PIN comes from, and where it must not go."""
import os
import pty
import subprocess

import pytest

from harness import programs, zones
from harness.commands import assert_refused
from harness.dnskey import KSK, DnsKey
from harness.pdnsutil_output import shown_keys
from harness.validate import assert_delv

ZONE = zones.SIGNED


@pytest.fixture
def token(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    site.key = DnsKey.of(ZONE, token.make_key("a key"), 13, KSK)
    return token


def assign(site, token, pin, check=True, env=None):
    return site.command("assign", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, pin, "a key",
                        check=check, env=env)


def assert_signs(site, env=None, **server):
    shown, = shown_keys(site.pdnsutil("show-zone", ZONE, env=env).stdout)
    assert shown.tag == site.key.tag
    site.pdnsutil("rectify-zone", ZONE, env=env)
    assert_delv(site.start_server(env=env, **server), ZONE, f"www.{ZONE}")


def stored_pin(site) -> str:
    row, = site.database.key_rows(ZONE)
    return row.lines()["PIN"]


@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_pin_from_a_file(site, token, ending):
    source = f"file:{site.place.file('pin', token.pin + ending)}"
    assign(site, token, source)
    assert stored_pin(site) == source
    assert_signs(site)


def test_a_pin_from_the_environment(site, token):
    env = {"HSM_PIN": token.pin}
    assign(site, token, "env:HSM_PIN", env=env)
    assert stored_pin(site) == "env:HSM_PIN"
    assert_signs(site, env=env)


def test_a_pin_from_a_systemd_credential(site, token):
    directory = site.place.directory("credentials")
    site.place.file("credentials/hsm-pin", token.pin)
    env = {"CREDENTIALS_DIRECTORY": str(directory)}
    assign(site, token, "credential:hsm-pin", env=env)
    assert stored_pin(site) == "credential:hsm-pin"
    assert_signs(site, env=env)


def test_a_pin_is_asked_for_on_the_terminal(site, token):
    """So that no shell history and no process list holds it."""
    command = f"assign {ZONE} ecdsa256 ksk softhsm2 '{token.label}' - 'a key'"
    said = _on_a_terminal(site, [programs.pdnsutil(), f"--config-dir={site.place.root / 'conf'}", "backend-cmd",
                                 "pkcs11signer", command], token.pin)
    assert "PIN" in said
    assert stored_pin(site) == token.pin
    assert shown_keys(site.pdnsutil("show-zone", ZONE).stdout)[0].tag == site.key.tag


def _on_a_terminal(site, argv, typed: str) -> str:
    """Run it with a terminal of its own, and answer its first prompt."""
    import fcntl
    import select
    import termios
    master, slave = pty.openpty()
    process = subprocess.Popen(
        argv, stdin=slave, stdout=slave, stderr=slave, env=site.runner.environment_of(argv), cwd=site.place.root,
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        **site.runner.identity.popen_arguments())
    os.close(slave)
    said, answered = "", False
    try:
        while select.select([master], [], [], 30)[0]:
            try:
                part = os.read(master, 4096).decode(errors="replace")
            except OSError:  # the terminal's other end is closed
                break
            said += part
            if not answered and "PIN" in said.split("==")[-1].split("\n", 1)[-1]:
                os.write(master, typed.encode() + b"\n")
                answered = True
        assert process.wait(30) == 0, said
    finally:
        process.kill()
        process.wait()
        os.close(master)
    site.transcript.add("terminal", said)
    return said


# -- the setting

@pytest.mark.parametrize("per_token", [False, True])
def test_an_empty_pin_comes_from_the_setting(site, token, per_token):
    name = f"pin of {token.label}" if per_token else "pin"
    path = site.place.file(name, token.pin)
    pattern = str(path).replace(token.label, "%t") if per_token else str(path)
    site.set(pkcs11signer_pin_source=f"file:{pattern}")
    assign(site, token, "")
    assert stored_pin(site) == ""
    assert_signs(site)


def test_hsm_assign_takes_an_empty_pin_with_the_setting(site, token):
    site.set(pkcs11signer_pin_source=f"file:{site.place.file('pin', token.pin)}")
    site.pdnsutil("hsm", "assign", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "a key")
    row, = site.database.key_rows(ZONE)
    site.database.set_content(row.id, row.content.replace(f"PIN: {token.pin}".encode(), b"PIN: "))
    assert_signs(site)


def test_a_pin_in_the_reference_goes_before_the_setting(site, token):
    site.set(pkcs11signer_pin_source=f"file:{site.place.file('pin', site.transcript.secret('9753~864'))}")
    assign(site, token, token.pin)
    assert_signs(site)


# -- literal PINs kept out of the table

@pytest.mark.parametrize("way", ["hsm assign", "assign", "generate"])
def test_store_pins_no_keeps_literal_pins_out_of_the_table(site, token, way):
    site.set(pkcs11signer_store_pins="no",
             pkcs11signer_pin_source=f"file:{site.place.file('pin', token.pin)}")
    if way == "hsm assign":
        site.assign(ZONE, "ecdsa256", "ksk", token, "a key")
    elif way == "assign":
        assign(site, token, token.pin)
    else:
        site.command("generate", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "new")
        site.key = DnsKey.of(ZONE, token.public_key("new"), 13, KSK)
    assert stored_pin(site) == ""
    assert token.pin.encode() not in site.database.raw()
    assert_signs(site)


@pytest.mark.databases("gmysql", "lmdb", "bind")
def test_store_pins_no_holds_on_every_database(any_site):
    site = any_site
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("a key")
    site.set(pkcs11signer_store_pins="no",
             pkcs11signer_pin_source=f"file:{site.place.file('pin', token.pin)}")
    site.assign(ZONE, "ecdsa256", "ksk", token, "a key")
    raw = site.database.raw()
    assert b"Label: a key" in raw and token.pin.encode() not in raw
    assert shown_keys(site.pdnsutil("show-zone", ZONE).stdout)[0].bits == 256


def test_store_pins_no_leaves_a_source_in_the_table(site, token):
    site.set(pkcs11signer_store_pins="no")
    source = f"file:{site.place.file('pin', token.pin)}"
    assign(site, token, source)
    assert stored_pin(site) == source
    assert_signs(site)


# -- sources that are no good

def test_a_pin_file_that_is_missing_is_named(site, token):
    path = site.place.root / "no-such-file"
    assert_refused(assign(site, token, f"file:{path}", check=False), path)
    assert site.database.key_rows(ZONE) == []


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_a_pin_file_that_others_can_read_is_refused(site, token, mode):
    path = site.place.file("pin", token.pin, mode=mode)
    assert_refused(assign(site, token, f"file:{path}", check=False), path)
    assert site.database.key_rows(ZONE) == []


def test_a_pin_file_that_is_empty_or_a_directory_is_refused(site, token):
    for path in (site.place.file("pin", ""), site.place.directory("a-directory")):
        assert_refused(assign(site, token, f"file:{path}", check=False), path)


def test_an_environment_variable_that_is_not_set_is_named(site, token):
    assert_refused(assign(site, token, "env:NOT_SET_AT_ALL", check=False), "NOT_SET_AT_ALL")


def test_a_credential_that_is_missing_is_named(site, token):
    assert_refused(assign(site, token, "credential:not-there", check=False), "not-there")
    env = {"CREDENTIALS_DIRECTORY": str(site.place.directory("credentials"))}
    assert_refused(assign(site, token, "credential:not-there", check=False, env=env), "not-there")


def test_a_credential_can_not_climb_out_of_its_directory(site, token):
    directory = site.place.directory("credentials")
    site.place.file("outside", token.pin)
    assert_refused(assign(site, token, "credential:../outside", check=False,
                          env={"CREDENTIALS_DIRECTORY": str(directory)}))


def test_no_pin_at_all_is_an_error_that_says_how_to_give_one(site, token):
    assert_refused(assign(site, token, "", check=False), "PIN", "pkcs11signer-pin-source")
    assert site.database.key_rows(ZONE) == []


def test_a_new_pin_in_the_file_is_used_by_the_next_start(site, token):
    path = site.place.file("pin", token.pin)
    assign(site, token, f"file:{path}")
    site.place.file("pin", token.change_pin())
    assert_signs(site)


def test_a_pin_file_that_the_services_group_can_read_is_taken(site, token):
    """root:pdns 0640 is how an administrator hands it to the service."""
    path = site.place.file("pin", token.pin, mode=0o640)
    assign(site, token, f"file:{path}")
    assert_signs(site)


@pytest.mark.parametrize("words", [("assign", ZONE, "ecdsa256", "ksk"), ("generate", ZONE, "ecdsa256", "ksk"), ("keys",)])
def test_a_path_without_file_spends_no_try(site, spy, words):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    behind = () if words == ("keys",) else ("a key",)
    refused = site.command(*words, "softhsm2", token.label, "/etc/powerdns/hsm-pin", *behind, check=False)
    assert_refused(refused, "did you mean file:")
    assert spy.count("C_Login") == 0
