# SPDX-License-Identifier: GPL-2.0-or-later
"""What is done wrong at first: the message says how it is done right."""
import json

import pytest

from harness import zones
from harness.commands import assert_refused, listing
from harness.deadline import wait_for
from harness.pdnsutil_output import shown_keys
from harness.speed import wait_for_statistic

ZONE = zones.SIGNED


def unquoted(site, *words):
    echoed = [f"== {word}" for word in words]
    return site.pdnsutil("backend-cmd", "pkcs11signer", *words, check=False, quiet=echoed)


def test_without_quotes_nothing_is_done(site, spy):
    """pdnsutil hands over word by word: `check` alone would check all zones, `store` and `purge` do nothing."""
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    spy.forget()
    refused = unquoted(site, "check", ZONE)
    assert_refused(refused, "nothing was done", f"Say: pkcs11signer --config-dir={site.place.root}/conf check {ZONE}")
    assert refused.stdout == "" and spy.count("C_Sign") == 0
    assert_refused(unquoted(site, "store", "purge", ZONE), f"store purge {ZONE}")


def test_without_quotes_the_pin_is_not_repeated(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("a key")
    refused = unquoted(site, "assign", ZONE, "13", "ksk", "softhsm2", token.label, token.pin, "a key")
    said = assert_refused(refused, "assign ZONE ALGORITHM ksk|zsk|csk MODULE SLOT PIN LABEL")
    assert token.pin not in said


def test_several_commands_are_still_several_commands(site):
    said = unquoted(site, "version", "help check").stdout
    assert "pkcs11signer" in said and "check [ZONE]" in said


def test_version(site):
    it, = listing(site, "version")
    number = site.pdnsutil("--version").stdout.split()[-1]
    assert (it["powerdns"], it["running_in"]) == (number, f"pdnsutil {number}")
    assert site.command("version").stdout.splitlines() == [f"pkcs11signer {it['version']} for PowerDNS {number}",
                                                           f"running in pdnsutil {number}"]


def test_a_csk_is_a_csk(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    said = site.command("generate", ZONE, "13", "csk", "softhsm2", token.label, token.pin, "all").stdout
    assert ", CSK, " in said and "To change that" not in said
    key, = shown_keys(site.pdnsutil("show-zone", ZONE).stdout)
    assert (key.role, key.flags) == ("CSK", 257)


def test_a_lone_ksk_is_said_to_be_a_csk(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    said = site.command("generate", ZONE, "13", "ksk", "softhsm2", token.label, token.pin, "one").stdout
    assert ", CSK, " in said and "no active ZSK with this algorithm" in said
    key, = shown_keys(site.pdnsutil("show-zone", ZONE).stdout)
    assert key.role == "CSK"
    site.pdnsutil("add-zone-key", ZONE, "zsk", "active", "ecdsa256")
    said = site.command("generate", ZONE, "13", "csk", "softhsm2", token.label, token.pin, "two").stdout
    assert ", KSK, " in said and "is an active ZSK with this algorithm" in said
    assert {key.role for key in shown_keys(site.pdnsutil("show-zone", ZONE).stdout)} == {"KSK", "ZSK"}


@pytest.mark.parametrize("words", [("check",), ("budget",), ("warm",), ("sign-ahead",), ("store", "stats"),
                                   ("store", "verify"), ("forecast",)])
def test_a_zone_is_written_one_way(site, words):
    """However it is typed, and whatever a command says of it."""
    site.add_zone(zones.small(ZONE))
    token = site.token()
    for kind in ("ksk", "zsk"):
        site.command("generate", ZONE, "13", kind, "softhsm2", token.label, token.pin, kind)
    site.command("warm", ZONE)
    typed = site.command(*words, ZONE.upper(), json=True).stdout
    assert ZONE.upper() not in typed
    for it in json.loads(typed):
        assert it.get("zone", f"{ZONE}.") == f"{ZONE}."
    text = site.command(*words, f"{ZONE}.").stdout
    assert ZONE not in text.replace(f"{ZONE}.", "")


def test_an_idle_server_is_a_server(site):
    """It has no key on a token yet."""
    site.add_zone(zones.small(ZONE))
    assert "no server is running" in site.command("status").stdout
    site.start_server()
    wait_for("the server's report", lambda: "the server has used no token yet" in site.command("status").stdout)


def test_budget_lists_zones_of_which_nothing_is_stored(site):
    for zone in (ZONE, zones.OTHER, zones.PLAIN):
        site.add_zone(zones.small(zone))
    token = site.token()
    site.secure(ZONE, token)
    site.command("generate", zones.OTHER, "13", "csk", "softhsm2", token.label, token.pin, "other")
    server = site.start_server()
    assert server.ask(f"www.{ZONE}").answer
    wait_for_statistic(server, "store-queue", 0)
    never, served = listing(site, "budget")
    assert served["zone"] == f"{ZONE}." and served["served"] > 0
    assert (never["zone"], never["away_until"], never["seconds_left"], never["served"]) == \
        (f"{zones.OTHER}.", "now", 0, 0)
    assert never["why"] == f"nothing of it is stored: pkcs11signer --config-dir={site.place.root}/conf " \
                           f"warm {zones.OTHER}."
    assert [it["zone"] for it in listing(site, "budget", ZONE)] == [f"{ZONE}."]
    site.command("warm", zones.OTHER)
    assert all("why" not in it for it in listing(site, "budget"))


def test_a_pin_without_a_terminal(site):
    token = site.token()
    refused = site.command("keys", "softhsm2", token.label, "-", check=False)
    assert_refused(refused, "standard input is no terminal", "file:/PATH")
