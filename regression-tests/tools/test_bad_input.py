# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input gets a clear error and loses nothing."""

import re

import dns.rcode
import pytest

from harness import programs, zones
from harness.commands import assert_refused
from harness.deadline import wait_for
from harness.dnskey import KSK
from harness.validate import assert_signed, keys_of

ZONE = zones.SIGNED
# From 4.8 on PowerDNS makes the DNSKEYs of all a zone's keys before it does anything with one, and a server
# caches them for its answers: there a row that has no public key stops the API. pdnsutil goes on (shim/repair_mode.cc).
READS_ALL_KEYS = programs.pdns_number() >= 40800
GOOD = "good.test"


# -- assign checks everything first and stores nothing on failure

def refused_by_both(site, token, words, *, algorithm="ecdsa256", module="softhsm2", slot=None, pin=None,
                    label="a key", hsm_assign=True):
    """By `backend-cmd assign` with these words; by `hsm assign` too, whose built-in
    engine may be the one that finds the fault."""
    arguments = (ZONE, algorithm, "ksk", module, slot if slot is not None else token.label,
                 pin if pin is not None else token.pin, label)
    text = assert_refused(site.command("assign", *arguments, check=False), *words)
    assert site.database.key_rows(ZONE) == []
    if hsm_assign:
        result = site.pdnsutil("hsm", "assign", *arguments, check=False)
        assert result.returncode == 1 and "Error: " in result.stderr, str(result)
        assert site.database.key_rows(ZONE) == []
    return text


@pytest.fixture
def token(site):
    site.add_zone(zones.small(ZONE))
    token = site.token("the token")
    token.make_key("a key")
    return token


def test_assign_with_an_unknown_module_says_which_are_known(site, token):
    site.hsm.add_twin("another")
    refused_by_both(site, token, ["no-such-module", "softhsm2", "another"], module="no-such-module")


def test_assign_with_an_absent_token_says_which_are_there(site, token):
    refused_by_both(site, token, ["no such token", "the token"], slot="no such token")


def test_assign_with_an_absent_slot_number(site, token):
    refused_by_both(site, token, ["424242"], slot="424242")


def test_assign_with_a_label_that_is_not_there_says_which_are(site, token):
    token.make_key("another key")
    refused_by_both(site, token, ["no such key", "a key", "another key"], label="no such key")


def test_assign_names_at_most_ten_labels(site, token):
    for i in range(11):
        token.make_key(f"key-number-{i:02}")
    text = refused_by_both(site, token, ["no such key"], label="no such key", hsm_assign=False)
    assert 1 <= sum(f"key-number-{i:02}" in text for i in range(11)) + ("a key" in text) <= 10


def test_assign_with_a_wrong_pin(site, token):
    refused_by_both(site, token, ["PIN", "the token"], pin=site.transcript.secret("1122~344"))


def test_assign_asks_a_wrong_pin_of_the_token_once(site, token, spy):
    """A card locks after three."""
    wrong = site.transcript.secret("1122~344")
    assert_refused(site.command("assign", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, wrong, "a key", check=False),
                   "PIN")
    assert spy.count("C_Login") == 1


def test_assign_with_a_locked_pin(site, token, spy):
    spy.rules("C_Login return 0xa4")
    assert_refused(site.command("assign", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "a key",
                                check=False), "locked")
    assert site.database.key_rows(ZONE) == []


def test_assign_does_not_try_a_pin_that_the_token_says_is_locked(site, token, spy):
    spy.rules("C_GetTokenInfo flags 0x40000")
    assert_refused(site.command("assign", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "a key",
                                check=False), "locked")
    assert spy.count("C_Login") == 0
    assert site.database.key_rows(ZONE) == []


@pytest.mark.parametrize("algorithm, kind", [("rsasha256", "P-256"), ("ecdsa256", "RSA-1024"), ("ecdsa384", "P-256"),
                                             ("ecdsa256", "P-384"), ("ecdsa256", "P-521"), ("ecdsa256", "Ed25519"),
                                             ("ed25519", "P-256"), ("ed25519", "Ed448"), ("ed448", "Ed25519")])
def test_assign_refuses_a_key_type_that_is_not_the_algorithms(site, algorithm, kind):
    site.add_zone(zones.small(ZONE))
    token = site.token("the token")
    token.make_key("a key", kind)
    mnemonic = {"rsasha256": "RSASHA256", "ecdsa256": "ECDSAP256SHA256", "ecdsa384": "ECDSAP384SHA384",
                "ed25519": "ED25519", "ed448": "ED448"}[algorithm]
    refused_by_both(site, token, ["a key", mnemonic], algorithm=algorithm)


@pytest.mark.parametrize("kind", ["RSA-512", "RSA-1016"])
def test_assign_refuses_rsa_under_1024_bits(site, kind):
    site.add_zone(zones.small(ZONE))
    token = site.token("the token")
    token.make_key("a key", kind)
    refused_by_both(site, token, ["1024"], algorithm="rsasha256")


def test_assign_stores_nothing_when_the_first_signature_is_wrong(site, token, spy):
    spy.rules("C_Sign corrupt")
    assert_refused(site.command("assign", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "a key",
                                check=False), "a key")
    assert site.database.key_rows(ZONE) == []


# -- rows that are no good: their zone fails, the rest goes on

BREAK_TESTED = {
    # what is in the row, words its message must hold
    "unknown-module": (lambda s, t: s.reference(t, "a key", Engine="no-such-module"), ["no-such-module", "softhsm2"]),
    "absent-token": (lambda s, t: s.reference(t, "a key", Slot="no such token"), ["no such token"]),
    "absent-label": (lambda s, t: s.reference(t, "no such key"), ["no such key", "good"]),
    "wrong-pin": (lambda s, t: s.reference(t, "a key", PIN=s.transcript.secret("1122~344")), ["PIN"]),
    "no-pin": (lambda s, t: s.reference(t, "a key", PIN=""), ["PIN", "pkcs11signer-pin-source"]),
    "pin-file-missing": (lambda s, t: s.reference(t, "a key", PIN="file:/no/such/pin"), ["/no/such/pin"]),
    "pin-file-open": (lambda s, t: s.reference(
        t, "a key", PIN=f"file:{s.place.file('open-pin', t.pin, mode=0o644)}"), ["open-pin"]),
    "key-type": (lambda s, t: s.reference(t, "rsa"), ["ECDSAP256SHA256", "RSA"]),
    "rsa-512": (lambda s, t: s.reference(t, "rsa-512", 8), ["1024"]),
    "pinned-other": (lambda s, t: s.reference(t, "a key") + b"PublicKey: " + b"A" * 84 + b"QUI=\n", []),
    "empty": (lambda s, t: b"", []),
    "blank": (lambda s, t: b"\n \n", []),
    "truncated-slot": (lambda s, t: s.reference(t, "a key").split(b"PIN:")[0], []),
    "truncated-engine": (lambda s, t: b"Private-key-format: v1.2\nAlgorithm: 13\nEngine: soft", []),
    "no-label": (lambda s, t: s.reference(t, "a key", Label=None, PubLabel=None), ["Label"]),
    "no-slot": (lambda s, t: s.reference(t, "a key", Slot=None), ["Slot"]),
    "megabyte-line": (lambda s, t: s.reference(t, "x" * (1 << 20)), []),
    "megabyte-lines": (lambda s, t: s.reference(t, "a key") + b"Comment: more of it\n" * (1 << 16), []),
    "binary": (lambda s, t: b"Engine: softhsm2\n" + bytes(range(1, 256)) * 16, []),
    "zero-byte": (lambda s, t: s.reference(t, "a key").replace(b"Label", b"La\0bel"), []),
    "algorithm-word": (lambda s, t: s.reference(t, "a key", "ecdsa"), ["Algorithm"]),
    "algorithm-huge": (lambda s, t: s.reference(t, "a key", "99999999999999999999"), []),
    "algorithm-negative": (lambda s, t: s.reference(t, "a key", -13), []),
    "algorithm-unknown": (lambda s, t: s.reference(t, "a key", 99), ["99"]),
    "algorithm-private": (lambda s, t: s.reference(t, "a key", 65549), []),
    "algorithm-missing": (lambda s, t: s.reference(t, "a key").replace(b"Algorithm: 13\n", b""), []),
    "bad-base64": (lambda s, t: s.reference(t, "a key") + b"PublicKey: !!! no base64 !!!\n", ["PublicKey"]),
    "short-key": (lambda s, t: s.reference(t, "a key") + b"PublicKey: AAAA\n", []),
}


@pytest.fixture
def around_it(site):
    """A token, a zone that works, an unsigned one, and one whose row the test breaks."""
    token = site.token("the token")
    for label, kind in (("a key", "P-256"), ("rsa", "RSA-1024")):
        token.make_key(label, kind)
    for name in (ZONE, GOOD, zones.PLAIN):
        site.add_zone(zones.small(name))
        site.pdnsutil("rectify-zone", name)
    token.make_key("good")
    site.assign(GOOD, "ecdsa256", "ksk", token, "good")
    site.pdnsutil("rectify-zone", GOOD)
    return token


def assert_only_that_zone_fails(server) -> None:
    for _ in range(2):
        for rdtype in ("A", "DNSKEY"):
            answer = server.ask(f"www.{ZONE}" if rdtype == "A" else ZONE, rdtype)
            assert answer.rcode() == dns.rcode.SERVFAIL, f"not refused:\n{answer}\n{server.log}"
        assert_signed(server.ask(f"www.{GOOD}"), keys_of(server, GOOD))
        assert server.ask(f"www.{zones.PLAIN}").answer
    assert server.ask(f"www.{ZONE}", "A", dnssec=False).rcode() in (dns.rcode.NOERROR, dns.rcode.SERVFAIL)
    server.assert_alive()


def assert_log_tells(server, key_id: int, words) -> None:
    lines = [line for line in server.log.splitlines()
             if ZONE in line and (f"key id {key_id}" in line or f"key {key_id}" in line)]
    assert lines, f"no line about zone {ZONE} and key id {key_id}:\n{server.log[-6000:]}"
    for word in words:
        assert any(word in line for line in lines), f"{word!r} is in none of:\n" + "\n".join(lines)[:4000]
    assert all(len(line) < 4096 for line in lines), "a log line as long as a book"


@pytest.mark.parametrize("fault", BREAK_TESTED)
def test_a_bad_row_fails_its_own_zone_only_and_can_be_repaired(site, around_it, fault):
    token = around_it
    if fault == "rsa-512":
        token.make_key("rsa-512", "RSA-512")
    make, words = BREAK_TESTED[fault]
    key_id = site.database.add_key_row(ZONE, make(site, token))
    server = site.start_server()

    assert_only_that_zone_fails(server)
    assert_log_tells(server, key_id, words)

    # What repairs it works.
    shown = site.pdnsutil("show-zone", ZONE)
    assert f"ID = {key_id} " in shown.stdout and "defunct" in shown.stdout, str(shown)[-3000:]
    assert "invalid" in site.pdnsutil("list-keys", ZONE).stdout
    site.pdnsutil("remove-zone-key", ZONE, key_id)
    assert site.database.key_rows(ZONE) == []
    site.assign(ZONE, "ecdsa256", "ksk", token, "a key")
    site.pdnsutil("rectify-zone", ZONE)
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))
    server.stop()


@pytest.mark.parametrize("fault", ["empty", "absent-label", "binary", "truncated-slot"])
def test_disable_dnssec_repairs_too(site, around_it, fault):
    site.database.add_key_row(ZONE, BREAK_TESTED[fault][0](site, around_it))
    server = site.start_server()
    assert server.ask(f"www.{ZONE}").rcode() == dns.rcode.SERVFAIL
    site.pdnsutil("disable-dnssec", ZONE)
    assert site.database.key_rows(ZONE) == []
    answer = server.ask(f"www.{ZONE}")
    assert answer.rcode() == dns.rcode.NOERROR and answer.answer


@pytest.mark.parametrize("fault", ["empty", "absent-label", "truncated-slot"])
def test_a_bad_row_beside_a_good_one_can_be_seen_and_switched_off(site, around_it, fault):
    good = site.assign(ZONE, "ecdsa256", "zsk", around_it, "a key").stderr.split("with key id ")[1].split()[0]
    key_id = site.database.add_key_row(ZONE, BREAK_TESTED[fault][0](site, around_it))
    shown = site.pdnsutil("show-zone", ZONE).stdout
    assert f"ID = {key_id} " in shown and f"ID = {good} " in shown and "ECDSAP256SHA256" in shown
    assert all(f"remove-zone-key {ZONE}. {key_id}" in site.pdnsutil(*command).stderr or fault == "absent-label"
               for command in (("show-zone", ZONE), ("list-keys",)))
    for command in ("unpublish", "deactivate", "activate", "publish"):
        site.pdnsutil(f"{command}-zone-key", ZONE, key_id)
    site.pdnsutil("remove-zone-key", ZONE, key_id)
    server = site.start_server()
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))


@pytest.mark.parametrize("fault", ["empty", "absent-label"])
def test_of_a_bad_row_no_ds_and_no_dnskey_is_exported(site, around_it, fault):
    key_id = site.database.add_key_row(ZONE, BREAK_TESTED[fault][0](site, around_it))
    for command in (("export-zone-ds", ZONE), ("export-zone-dnskey", ZONE, key_id)):
        exported = site.pdnsutil(*command, check=False)
        assert not re.search(r"(DS|DNSKEY) +\d", exported.stdout), str(exported)
    assert exported.returncode == 1


@pytest.mark.parametrize("fault", ["empty", "absent-label", "bad-base64"])
def test_the_api_can_remove_a_bad_row(site, around_it, fault):
    key_id = site.database.add_key_row(ZONE, BREAK_TESTED[fault][0](site, around_it))
    server = site.start_server()
    listed = server.api("GET", f"/zones/{ZONE}./cryptokeys")
    assert listed.status_code in (200, 422, 500)
    if READS_ALL_KEYS:
        server.api("DELETE", f"/zones/{ZONE}./cryptokeys/{key_id}", status=500)
        site.pdnsutil("remove-zone-key", ZONE, key_id)
    else:
        server.api("DELETE", f"/zones/{ZONE}./cryptokeys/{key_id}", status=204)
    assert server.ask(f"www.{ZONE}").rcode() == dns.rcode.NOERROR
    server.assert_alive()


@pytest.mark.parametrize("fault", ["absent-label", "empty"])
def test_a_transfer_of_a_bad_zone_fails_and_of_a_good_one_does_not(site, around_it, fault):
    site.database.add_key_row(ZONE, BREAK_TESTED[fault][0](site, around_it))
    server = site.start_server()
    with pytest.raises(Exception):
        server.transfer(ZONE)
    assert server.transfer(GOOD)
    server.assert_alive()


def test_a_locked_pin_fails_its_zone_and_is_told(site, around_it, spy):
    site.database.add_key_row(ZONE, site.reference(around_it, "a key"))
    spy.rules("C_Login return 0xa4")
    server = site.start_server()
    for _ in range(3):
        assert server.ask(f"www.{ZONE}").rcode() == dns.rcode.SERVFAIL
    assert "locked" in server.log
    assert server.ask(f"www.{zones.PLAIN}").answer


def test_a_wrong_pin_is_tried_once_however_many_ask(site, around_it, spy):
    """The built-in engine makes 8 failed logins of 5 queries; a card locks after 3."""
    site.pdnsutil("disable-dnssec", GOOD)
    site.database.add_key_row(ZONE, site.reference(around_it, "a key", PIN=site.transcript.secret("1122~344")))
    server = site.start_server()
    for name in (f"www.{ZONE}", ZONE, f"missing.{ZONE}"):
        for _ in range(3):
            assert server.ask(name).rcode() == dns.rcode.SERVFAIL
    assert spy.count("C_Login") == 1


def test_a_right_pin_works_beside_a_wrong_one_for_the_same_token(site, around_it):
    site.database.add_key_row(ZONE, site.reference(around_it, "a key", PIN=site.transcript.secret("1122~344")))
    server = site.start_server()
    for _ in range(3):
        server.ask(f"www.{ZONE}")
        assert_signed(server.ask(f"www.{GOOD}"), keys_of(server, GOOD))


def test_a_key_replaced_on_the_token_is_not_used(site, around_it):
    """Same label, another key: signatures by it would make the zone bogus."""
    token = around_it
    site.assign(ZONE, "ecdsa256", "ksk", token, "a key")
    row, = site.database.key_rows(ZONE)
    token.delete("a key")
    token.make_key("a key")
    server = site.start_server()
    answer = server.ask(f"www.{ZONE}")
    assert answer.rcode() == dns.rcode.SERVFAIL
    assert_log_tells(server, row.id, ["a key"])
    assert_signed(server.ask(f"www.{GOOD}"), keys_of(server, GOOD))


def test_a_wrong_signature_never_leaves_the_server(site, around_it, spy):
    site.assign(ZONE, "ecdsa256", "ksk", around_it, "a key")
    server = site.start_server()
    spy.rules("C_Sign corrupt")
    assert server.ask(f"www.{ZONE}").rcode() == dns.rcode.SERVFAIL
    server.assert_alive()
    spy.rules()
    # On a busy machine the try that the query no longer waited for may still be under way.
    wait_for("signature", lambda: server.ask(f"www.{ZONE}").rcode() == dns.rcode.NOERROR)
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))


def test_many_bad_rows_do_not_disturb_a_good_zone(site, around_it):
    for number, fault in enumerate(BREAK_TESTED):
        if fault == "rsa-512":
            continue
        name = f"bad{number}.test"
        site.add_zone(zones.small(name))
        site.database.add_key_row(name, BREAK_TESTED[fault][0](site, around_it))
    server = site.start_server()
    for number in range(len(BREAK_TESTED)):
        server.ask(f"www.bad{number}.test")
        assert_signed(server.ask(f"www.{GOOD}"), keys_of(server, GOOD))
    server.stop()


def test_unknown_lines_are_kept_and_do_no_harm(site, around_it):
    content = site.reference(around_it, "a key") + b"Comment: bought in 2019\nCreated: 20190101000000\n"
    key_id = site.database.add_key_row(ZONE, content)
    for command in ("deactivate", "activate"):
        site.pdnsutil(f"{command}-zone-key", ZONE, key_id)
    row, = site.database.key_rows(ZONE)
    assert row.content == content and row.flags == KSK
    site.pdnsutil("rectify-zone", ZONE)
    server = site.start_server()
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))


@pytest.mark.parametrize("ending, prefix", [("\r\n", ""), ("\n", "\n")])
def test_line_ends_do_not_matter(site, around_it, ending, prefix):
    content = prefix + site.reference(around_it, "a key").decode().replace("\n", ending)
    site.database.add_key_row(ZONE, content.encode())
    site.pdnsutil("rectify-zone", ZONE)
    server = site.start_server()
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))


# -- settings

@pytest.mark.parametrize("name, value", [("sessions", "0"), ("sessions", "many"), ("timeout", "-1"),
                                         ("timeout", ""), ("transfer-timeout", "soon"), ("verify", "perhaps"),
                                         ("store-pins", "2")])
def test_a_setting_that_makes_no_sense_is_named(site, name, value):
    from harness.server import Server
    site.set(**{f"pkcs11signer-{name}": value})
    ended = Server.start_and_fail(site)
    assert ended.code != 0
    assert any(f"pkcs11signer-{name}" in line for line in ended.log.splitlines())
