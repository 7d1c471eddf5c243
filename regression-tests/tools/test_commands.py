# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line behind `pdnsutil backend-cmd pkcs11signer "…"`."""
import json
import re

import pytest

from harness import zones
from harness.commands import assert_refused, listing
from harness.dnskey import KSK, ZSK, DnsKey
from harness.pdnsutil_output import shown_keys
from harness.validate import assert_delv

ZONE = zones.SIGNED
COMMANDS = ("help", "version", "modules", "tokens", "keys", "assign", "generate", "check", "status", "unlock-login",
            "forecast", "budget", "sign-ahead", "warm", "store")


# -- help, modules

def test_help_lists_the_commands(site):
    text = site.command("help").stdout
    for command in COMMANDS[1:]:
        assert re.search(rf"(?m)^ *{command}\b", text)


def test_help_explains_each_command(site):
    for command in COMMANDS[1:]:
        assert command in site.command("help", command).stdout


@pytest.mark.parametrize("words", [("tokenz",), ("assign", "too", "few"), ("modules", "too", "many")])
def test_a_wrong_command_says_what_is_right(site, words):
    right = {"tokenz": "tokens", "assign": "ZONE ALGORITHM", "modules": "modules"}[words[0]]
    assert_refused(site.command(*words, check=False), right)


def test_an_open_quote_is_an_error(site):
    assert_refused(site.raw_command("tokens 'open", check=False))


def test_modules_lists_what_p11_kit_knows(site):
    site.hsm.add_twin("another")
    text = site.command("modules").stdout
    assert "softhsm2" in text and "another" in text
    assert {module["name"] for module in listing(site, "modules")} == {"softhsm2", "another"}


# -- tokens

def test_tokens_lists_every_token(site):
    first, second = site.token("first token"), site.token("second token")
    tokens = listing(site, "tokens")
    known = {t["serial"]: t for t in tokens if t["label"]}
    assert set(known) == {first.serial, second.serial}
    for token in (first, second):
        it = known[token.serial]
        assert (it["label"], it["module"], int(it["slot"])) == (token.label, "softhsm2", token.slot)
        assert "SoftHSM" in it["manufacturer"] and "SoftHSM" in it["model"]
        assert isinstance(it["flags"], list)
    text = site.command("tokens").stdout
    for token in (first, second):
        line, = [line for line in text.splitlines() if token.serial in line]
        assert token.label in line and "softhsm2" in line and str(token.slot) in line


def test_tokens_lists_the_tokens_behind_empty_readers(site, spy):
    token = site.token()
    spy.rules("slots empty 2")
    assert token.serial in [t["serial"] for t in listing(site, "tokens")]


@pytest.mark.parametrize("flag, word", [("0x10000", "low"), ("0x20000", "final"), ("0x40000", "locked")])
def test_tokens_warns_of_a_pin_that_is_nearly_used_up(site, spy, flag, word):
    token = site.token()
    spy.rules(f"C_GetTokenInfo flags {flag}")
    it, = [t for t in listing(site, "tokens") if t["serial"] == token.serial]
    assert any(word in name for name in it["flags"])
    assert word in site.command("tokens").stdout


# -- keys

def test_keys_lists_keys_and_the_zones_that_use_them(site):
    token = site.token()
    kinds = {"rsa": "RSA-2048", "p256": "P-256", "p384": "P-384", "ed": "Ed25519"}
    for number, (label, kind) in enumerate(kinds.items(), 1):
        token.make_key(label, kind, id=f"0{number}ab")
    for name in (ZONE, zones.OTHER):
        site.add_zone(zones.small(name))
        site.assign(name, "ecdsa256", "ksk", token, "p256")
    ids = {name: site.database.key_rows(name)[0].id for name in (ZONE, zones.OTHER)}

    keys = {key["label"]: key for key in listing(site, "keys", "softhsm2", token.label, token.pin)}

    assert set(keys) == set(kinds)
    for number, (label, kind) in enumerate(kinds.items(), 1):
        it = keys[label]
        assert (it["type"], it["id"].lower()) == (kind, f"0{number}ab")
        assert it["private"] is True and it["public"] is True
    assert sorted(keys["p256"]["zones"]) == sorted(f"{name}. (key id {ids[name]})" for name in ids)
    assert keys["rsa"]["zones"] == []

    text = site.command("keys", "softhsm2", token.label, token.pin).stdout
    for label, kind in kinds.items():
        assert any(label in line and kind in line for line in text.splitlines())


def test_keys_tells_which_half_is_missing(site):
    token = site.token()
    token.make_key("half")
    token.delete("half", "pubkey")
    key, = listing(site, "keys", "softhsm2", token.label, token.pin)
    assert (key["private"], key["public"]) == (True, False)


def test_keys_without_a_pin_shows_what_needs_no_login(site):
    token = site.token()
    token.make_key("a key")
    result = site.command("keys", "softhsm2", token.label)
    assert "a key" in result.stdout


def test_keys_refuses_a_wrong_pin(site):
    token = site.token()
    wrong = site.transcript.secret("1357~246")
    assert_refused(site.command("keys", "softhsm2", token.label, wrong, check=False), "PIN")


@pytest.mark.parametrize("words", [("tokens",), ("keys",), ("modules",), ("check",)])
def test_tables_line_up(site, words):
    site.add_zone(zones.small(ZONE))
    token = site.token("a token with a long label")
    site.token("short")
    token.make_key("k")
    token.make_key("a key with a longer label")
    site.assign(ZONE, "ecdsa256", "ksk", token, "k")
    site.assign(ZONE, "ecdsa256", "zsk", token, "a key with a longer label")
    extra = ("softhsm2", token.label, token.pin) if words == ("keys",) else ()
    lines = [l for l in site.command(*words, *extra).stdout.splitlines() if l.strip()]
    head = lines[0]
    rows = [line for line in lines[1:] if "  " in line.strip()]  # not the summary of `check`
    assert rows
    titles = list(re.finditer(r"\S+", head))
    for left, right in zip(titles, titles[1:]):
        gap = range(left.end(), right.start())
        assert any(all(len(row) <= i or row[i] == " " for row in rows) for i in gap), \
            f"{left[0]} and {right[0]} run into each other:\n" + "\n".join(lines)


# -- assign

def test_assign_does_what_hsm_assign_does(any_site):
    site = any_site
    site.add_zone(zones.small(ZONE))
    token = site.token("a token")
    key = DnsKey.of(ZONE, token.make_key("a key"), 13, KSK)
    result = site.command("assign", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "a key")
    assert "Error" not in result.stderr
    shown, = shown_keys(site.pdnsutil("show-zone", ZONE).stdout)
    assert (shown.tag, shown.flags) == (key.tag, KSK)
    if site.database.has_rows:
        row, = site.database.key_rows(ZONE)
        assert list(row.lines()) == ["Private-key-format", "Algorithm", "Engine", "Slot", "PIN", "Label",
                                     "PublicKey"]
    site.pdnsutil("rectify-zone", ZONE)
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


def test_assign_writes_a_pub_label_when_given_one(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("a key")
    site.command("assign", ZONE, "ecdsa256", "zsk", "softhsm2", token.label, token.pin, "a key", "a key")
    row, = site.database.key_rows(ZONE)
    assert row.lines()["PubLabel"] == "a key" and row.flags == ZSK


@pytest.mark.parametrize("quote", ["'", '"'])
def test_arguments_with_spaces_are_quoted(site, quote):
    site.add_zone(zones.small(ZONE))
    token = site.token("a token of mine")
    token.make_key("a key of mine")
    site.raw_command(f"assign {ZONE} 13 ksk softhsm2 {quote}a token of mine{quote} {token.pin}"
                     f" {quote}a key of mine{quote}")
    row, = site.database.key_rows(ZONE)
    assert (row.lines()["Slot"], row.lines()["Label"]) == ("a token of mine", "a key of mine")


def test_json_is_understood_anywhere_behind_the_command(site):
    token = site.token()
    token.make_key("a key")
    for text in (f"keys --json softhsm2 '{token.label}' {token.pin}", f"keys softhsm2 '{token.label}' {token.pin} --json"):
        keys = json.loads(site.raw_command(text).stdout)
        assert [key["label"] for key in keys] == ["a key"]


def test_assign_of_an_unknown_zone_is_an_error(site):
    token = site.token()
    token.make_key("a key")
    assert_refused(site.command("assign", "nowhere.test", "13", "ksk", "softhsm2", token.label, token.pin,
                                "a key", check=False), "nowhere.test")


def test_assign_wants_ksk_zsk_or_csk(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("a key")
    assert_refused(site.command("assign", ZONE, "13", "key", "softhsm2", token.label, token.pin, "a key",
                                check=False), "ksk", "zsk", "csk")
    assert site.database.key_rows(ZONE) == []


# -- generate

@pytest.mark.parametrize("algorithm, bits, size", [("ecdsa256", (), 256), ("ecdsa384", (), 384),
                                                   ("rsasha256", ("1280",), 1280), ("rsasha256", (), 2048),
                                                   ("ed25519", (), 256), ("ed448", (), 456)])
def test_generate_makes_and_assigns(site, algorithm, bits, size):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    site.command("generate", ZONE, algorithm, "ksk", "softhsm2", token.label, token.pin, "new key", *bits)
    shown, = shown_keys(site.pdnsutil("show-zone", ZONE).stdout)
    key = DnsKey.of(ZONE, token.public_key("new key"), shown.algorithm, KSK)
    assert (shown.tag, shown.bits) == (key.tag, size)
    private, = token.objects("private", "new key")
    assert "never extractable" in private.access and "always sensitive" in private.access
    site.pdnsutil("rectify-zone", ZONE)
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


@pytest.mark.databases("gmysql", "lmdb", "bind")
def test_generate_works_on_every_database(any_site):
    site = any_site
    site.add_zone(zones.small(ZONE))
    token = site.token()
    for role in ("ksk", "zsk"):
        site.command("generate", ZONE, "ecdsa256", role, "softhsm2", token.label, token.pin, f"new {role}")
    site.pdnsutil("rectify-zone", ZONE)
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


def test_generate_refuses_a_label_that_is_there(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("new key")
    before = token.objects()
    assert_refused(site.command("generate", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "new key",
                                check=False), "new key")
    assert token.objects() == before and site.database.key_rows(ZONE) == []


def test_generate_for_an_unknown_zone_makes_no_key(site):
    token = site.token()
    assert_refused(site.command("generate", "nowhere.test", "ecdsa256", "ksk", "softhsm2", token.label, token.pin,
                                "new key", check=False), "nowhere.test")
    assert token.objects() == []


@pytest.mark.parametrize("algorithm, bits", [("rsasha256", "512"), ("rsasha256", "many"), ("rsasha256", "99999999"),
                                             ("ecdsa256", "384")])
def test_generate_refuses_a_size_that_can_not_be(site, algorithm, bits):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    assert_refused(site.command("generate", ZONE, algorithm, "ksk", "softhsm2", token.label, token.pin, "new key",
                                bits, check=False))
    assert token.objects() == [] and site.database.key_rows(ZONE) == []


def test_generate_undoes_the_key_when_the_first_signature_fails(site, spy):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    spy.rules("C_Sign return 0x30")  # CKR_DEVICE_ERROR
    assert_refused(site.command("generate", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "new key",
                                check=False))
    spy.rules()
    assert token.objects() == [] and site.database.key_rows(ZONE) == []


def test_generate_undoes_the_key_when_the_table_can_not_be_written(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    connection = site.database.table.connect()
    connection.execute("CREATE TRIGGER full BEFORE INSERT ON cryptokeys BEGIN SELECT RAISE(ABORT, 'full'); END")
    connection.close()
    assert_refused(site.command("generate", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "new key",
                                check=False))
    assert token.objects() == [] and site.database.key_rows(ZONE) == []


def test_commands_work_with_no_zone_and_no_key_at_all(site):
    for command in ("modules", "tokens"):
        site.command(command)
        assert isinstance(listing(site, command), list)
    checked = site.command("check", check=False)
    assert checked.returncode == 1 and "no key reference: nothing was checked" in checked.stderr
