# SPDX-License-Identifier: GPL-2.0-or-later
"""`generate` on tokens that fail once they have made the pair: it is removed, or named with the command for that."""
import re

import pytest

from harness import zones
from harness.commands import assert_refused

ZONE = zones.SIGNED
DEVICE_ERROR, GENERAL_ERROR, PROHIBITED = "0x30", "0x5", "0x1b"


@pytest.fixture
def token(site, spy):
    site.add_zone(zones.small(ZONE))
    return site.token("it's a token")


def generate(site, token, label="a new key", **how):
    return site.command("generate", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, label, check=False,
                        **how)


def run_what_it_says(site, token, said: str) -> None:
    """The command that ends the error, as somebody who pastes it; only the PIN is not asked for."""
    command = re.search(r"this removes it: (for t in .*; done)$", said, re.MULTILINE)[1]
    site.runner.run("/bin/sh", "-e", "-c", command.replace("--login", f"--login --pin {token.pin}"))


@pytest.mark.parametrize("rv", [DEVICE_ERROR, GENERAL_ERROR])
def test_what_a_failing_token_has_made_does_not_stay(site, spy, token, rv):
    spy.rules(f"C_GenerateKeyPair late {rv}")
    for _ in range(3):
        spy.forget()
        assert_refused(generate(site, token), ZONE, "C_GenerateKeyPair", "removed again")
        assert spy.count("C_GenerateKeyPair") == 1
        assert token.objects() == []
    spy.rules()
    assert generate(site, token).returncode == 0
    assert token.labels() == ["a new key"]


def test_create_key_leaves_as_little(site, spy, token):
    key_id = site.database.add_key_row(ZONE, site.reference(token, "a new key"))
    spy.rules(f"C_GenerateKeyPair late {DEVICE_ERROR}")
    refused = site.pdnsutil("hsm", "create-key", ZONE, key_id, check=False)
    assert refused.returncode != 0 and "removed again" in refused.stderr
    assert token.objects() == []


def test_a_token_that_changes_the_label_is_told_so(site, spy, token):
    spy.rules("C_GenerateKeyPair label 8")
    for _ in range(2):
        assert_refused(generate(site, token, "a long label"), "'a long label'", "pkcs11:object=a%20long%20l")
        assert token.objects() == []
    assert generate(site, token, "short").returncode == 0


def test_what_cannot_be_removed_is_named_with_the_command_that_does(site, spy, token):
    other = token.make_key("another")
    spy.rules(f"C_GenerateKeyPair late {DEVICE_ERROR}", f"C_DestroyObject return {PROHIBITED}")
    said = assert_refused(generate(site, token), "stays on the token")
    assert len(token.objects("", "a new key")) == 2
    spy.rules()
    run_what_it_says(site, token, said)
    assert token.labels() == ["another"]
    assert token.public_key("another").public_numbers() == other.public_numbers()


def test_a_pair_that_is_too_late_is_named(site, spy, token):
    site.set(pkcs11signer_transfer_timeout="1000")
    spy.rules("C_GenerateKeyPair delay 2000")
    said = assert_refused(generate(site, token), "may have made the key pair")
    spy.rules()
    if token.objects():  # pdnsutil does not wait long for the token
        run_what_it_says(site, token, said)
    assert token.objects() == []


def test_a_row_that_cannot_be_stored_leaves_a_key_that_cannot_be_removed_named(site, spy, token):
    connection = site.database.table.connect()
    connection.execute("CREATE TRIGGER no BEFORE INSERT ON cryptokeys BEGIN SELECT RAISE(ABORT, 'no more keys'); END")
    connection.close()
    spy.rules(f"C_DestroyObject return {PROHIBITED}")
    said = assert_refused(generate(site, token), "no more keys", "stays on the token")
    spy.rules()
    run_what_it_says(site, token, said)
    assert token.objects() == []


def test_of_two_tokens_of_one_label_the_command_names_the_right_one(site, spy):
    """pkcs11-tool takes the first of a label."""
    site.add_zone(zones.small(ZONE))
    for token in (site.token("twin"), site.token("twin")):
        spy.rules(f"C_GenerateKeyPair late {DEVICE_ERROR}", f"C_DestroyObject return {PROHIBITED}")
        said = assert_refused(site.command("generate", ZONE, "ecdsa256", "ksk", "softhsm2", token.serial, token.pin,
                                           "a new key", check=False), "stays on the token")
        spy.rules()
        run_what_it_says(site, token, said)
        assert token.objects() == []
