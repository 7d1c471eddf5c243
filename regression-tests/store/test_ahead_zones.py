# SPDX-License-Identifier: GPL-2.0-or-later
"""What is signed ahead and what the budget says follow the database: zones, keys and records that
are there now."""
import json
import os
import time

import pytest

from harness import zones
from harness.clock import DAY, WEEK, week_of
from harness.deadline import wait_for
from harness.faults import is_refused, lines
from harness.pdnsutil_names import record_name
from harness.speed import KeyLog, single_key, statistic, statistics
from harness.validate import keys_of

FAST = "1000"
KEPT, OTHER = "kept.test", "other.test"
MINUTE = 60


def two_zones(site, clock, hosts=4, **settings):
    """Each with a key of its own on one token, asked for, and signed ahead."""
    token = site.token("signing")
    for zone in (KEPT, OTHER):
        site.add_zone(zones.many(zone, hosts))
        single_key(site, zone, token)
    site.set(**{"pkcs11signer_sign_ahead": "1", "pkcs11signer_ahead_rate": FAST, **settings})
    server = site.start_server(env=clock.environment)
    for zone in (KEPT, OTHER):
        ask_all(server, clock, zone, hosts)
    return server


def ask_all(server, clock, zone, hosts=4):
    for i in range(hosts):
        assert not is_refused(server.ask(f"host{i}.{zone}"))
    keys_of(server, zone, clock.now())


def is_done(server, made=None):
    now = statistics(server)
    return now["ahead-until"] and now["ahead-missing"] == 0 and (made is None or now["ahead-signatures"] == made)


def budget(site, clock, *words):
    return {row["zone"].rstrip("."): row for row in json.loads(
        site.command("budget", *words, json=True, env=clock.environment).stdout)}


def delete_zone(site):
    site.pdnsutil("delete-zone", OTHER)


def remove_key(site):
    (row,) = site.database.key_rows(OTHER)
    site.pdnsutil("remove-zone-key", OTHER, row.id)


def deactivate_key(site):
    (row,) = site.database.key_rows(OTHER)
    site.pdnsutil("deactivate-zone-key", OTHER, row.id)


def disable_dnssec(site):
    site.pdnsutil("disable-dnssec", OTHER)


# -- zones and keys that go

@pytest.mark.parametrize("go", [delete_zone, remove_key, deactivate_key, disable_dnssec])
def test_what_has_no_key_is_not_signed_ahead(site, spy, place, clock, hurry, go):
    """So slow a rate that most is still to be signed when the key goes: none of it is."""
    keys, hosts = KeyLog(place, site.runner), 60
    server = two_zones(site, clock, hosts, pkcs11signer_ahead_rate="1")
    hurry.wait_for("all that is missing", lambda: statistic(server, "ahead-missing") > hosts * 2 - 20)
    go(site)
    made = statistic(server, "ahead-signatures")
    hurry.wait_for("the missing of one zone", lambda: statistic(server, "ahead-missing") <= hosts + 1)
    assert statistic(server, "ahead-signatures") - made < hosts - 10, "it did not get there by signing"
    keys.forget()
    assert list(budget(site, clock)) == [KEPT]
    server.stop()
    site.set(pkcs11signer_ahead_rate=FAST)
    server = site.start_server(env=clock.environment)
    keys_of(server, KEPT, clock.now())
    server.ask(f"host0.{KEPT}")
    hurry.wait_for("the end", lambda: is_done(server), MINUTE)
    assert set(keys.labels()) == {KEPT}
    assert statistic(server, "ahead-until") == week_of(clock.now()) + 2 * WEEK
    assert lines(server, "is late") == []


@pytest.mark.databases("gsqlite3", "gmysql", "lmdb", "bind")
def test_a_zone_that_goes_counts_nowhere(any_site, clock, hurry):
    """On each database: the thread has connections of its own to it."""
    site = any_site
    token = site.token("signing")
    site.add_zone(zones.many(KEPT, 2))
    site.secure(KEPT, token)
    site.set(pkcs11signer_sign_ahead="1", pkcs11signer_ahead_rate=FAST)
    server = site.start_server(env=clock.environment)
    ask_all(server, clock, KEPT, 2)
    hurry.wait_for("the end", lambda: is_done(server), MINUTE)
    assert statistic(server, "ahead-until") == week_of(clock.now()) + 2 * WEEK
    site.pdnsutil("disable-dnssec", KEPT)
    hurry.wait_for("nothing", lambda: statistic(server, "ahead-until") == 0, MINUTE)
    assert budget(site, clock) == {}
    assert "token may be away" not in site.command("status", env=clock.environment).stdout


def test_no_late_alarm_for_a_zone_that_is_gone(site, spy, clock, hurry):
    """Its token is unplugged, the week ends: nothing is late."""
    server = two_zones(site, clock)
    hurry.wait_for("the end", lambda: is_done(server), MINUTE)
    spy.unplug()
    delete_zone(site)
    hurry.wait_for("one zone", lambda: list(budget(site, clock)) == [KEPT], MINUTE)
    clock.set(week_of(clock.now()) + 2 * WEEK - DAY)
    keys_of(server, KEPT, clock.now())
    hurry.wait_for("the missing of one zone", lambda: 0 < statistic(server, "ahead-missing"), MINUTE)
    hurry.wait_for("an alarm about the one that is there", lambda: lines(server, "is late"), MINUTE)
    assert OTHER not in budget(site, clock)


def test_what_belongs_to_no_zone_is_deleted_after_a_day(site, spy, clock, hurry):
    server = two_zones(site, clock)
    hurry.wait_for("the end", lambda: is_done(server, 10), MINUTE)
    stored = statistic(server, "store-signatures")
    assert stored == 20
    delete_zone(site)
    hurry.wait_for("one zone", lambda: list(budget(site, clock)) == [KEPT] and is_done(server), MINUTE)
    noticed(hurry)
    assert statistic(server, "store-signatures") == stored
    clock.pass_(DAY + 60)
    hurry.wait_for("deletion", lambda: statistic(server, "store-signatures") == 10, MINUTE)
    assert len(lines(server, "signatures deleted")) == 1
    ask_all(server, clock, KEPT)
    assert statistic(server, "store-signatures") == 10


def noticed(hurry):
    """The server has looked again, after twenty seconds, and says nothing of it."""
    hurry.pass_(30)


def test_a_zone_that_comes_back_within_a_day_loses_nothing(site, spy, clock, hurry):
    server = two_zones(site, clock)
    hurry.wait_for("the end", lambda: is_done(server, 10), MINUTE)
    (row,) = site.database.key_rows(OTHER)
    remove_key(site)
    hurry.wait_for("one zone", lambda: list(budget(site, clock)) == [KEPT], MINUTE)
    noticed(hurry)
    clock.pass_(DAY / 2)
    site.database.add_key_row(OTHER, row.content)
    hurry.wait_for("both zones", lambda: len(budget(site, clock)) == 2, MINUTE)
    noticed(hurry)
    clock.pass_(DAY * 0.75)
    signed = statistic(server, "signatures")
    ask_all(server, clock, OTHER)
    assert statistic(server, "signatures") == signed
    assert statistic(server, "store-signatures") == 20


@pytest.mark.parametrize("settings", [{"guardian": "yes"}, {"query-cache-ttl": "300", "dnssec-key-cache-ttl": "300",
                                                            "zone-metadata-cache-ttl": "300"}],
                         ids=["guardian", "caches"])
def test_also_there(site, clock, hurry, settings):
    """In a process that a guardian started; and past PowerDNS's caches, whatever their times."""
    token = site.token("signing")
    site.add_zone(zones.many(KEPT, 2))
    site.secure(KEPT, token)
    site.set(pkcs11signer_sign_ahead="1", pkcs11signer_ahead_rate=FAST)
    server = site.start_server(env=clock.environment, settings=settings)
    ask_all(server, clock, KEPT, 2)
    hurry.wait_for("the end", lambda: is_done(server), MINUTE)
    site.pdnsutil("disable-dnssec", KEPT)
    hurry.wait_for("nothing", lambda: statistic(server, "ahead-until") == 0, MINUTE)


# -- records that change and change back

def change(site, address):
    site.pdnsutil("replace-rrset", KEPT, record_name(KEPT, "host0"), "A", "300", address)
    site.pdnsutil("rectify-zone", KEPT)


@pytest.mark.databases("gsqlite3", "gmysql", "lmdb")
def test_an_rrset_that_changes_back_is_signed_ahead(any_site, clock):
    """There and back within a week: next week, without the token, what the zone has is served."""
    site = any_site
    token = site.token("signing")
    site.add_zone(zones.many(KEPT, 2))
    single_key(site, KEPT, token)
    site.set(pkcs11signer_sign_ahead="0")
    change(site, "192.0.2.1")
    server = site.start_server(env=clock.environment)
    keys_of(server, KEPT, clock.now())
    for address in ("192.0.2.1", "192.0.2.2"):
        change(site, address)
        assert address in str(server.ask(f"host0.{KEPT}").answer)
        time.sleep(1.1)  # the store's times are seconds
    change(site, "192.0.2.1")
    end = week_of(clock.now()) + WEEK
    server.stop()
    result = json.loads(site.command("sign-ahead", "all", "2", json=True, env=clock.environment).stdout)
    assert result[0]["signed"] == 2 * 2, "the DNSKEY, and of two contents the one that is there"
    clock.set(end + WEEK)
    server = site.start_server(env=clock.environment)
    answer = server.ask(f"host0.{KEPT}")
    assert not is_refused(answer) and "192.0.2.1" in str(answer.answer)
    assert statistic(server, "signatures") == 0


def test_the_server_signs_ahead_what_changed_back(site, spy, clock, hurry):
    token = site.token("signing")
    site.add_zone(zones.many(KEPT, 2))
    single_key(site, KEPT, token)
    change(site, "192.0.2.1")
    site.set(pkcs11signer_sign_ahead="1", pkcs11signer_ahead_rate=FAST)
    server = site.start_server(env=clock.environment)
    keys_of(server, KEPT, clock.now())
    for address in ("192.0.2.1", "192.0.2.2"):
        change(site, address)
        assert address in str(server.ask(f"host0.{KEPT}").answer)
        time.sleep(1.1)
    change(site, "192.0.2.1")
    assert "192.0.2.1" in str(server.ask(f"host0.{KEPT}").answer)  # PowerDNS has that signature
    made = statistic(server, "signatures") - statistic(server, "ahead-signatures")
    assert made == 3
    hurry.wait_for("the budget", lambda: budget(site, clock).get(KEPT, {}).get("seconds_left", 0) > WEEK, 2 * MINUTE)
    clock.set(week_of(clock.now()) + WEEK + DAY)
    spy.unplug()
    hurry.wait_for("token away", lambda: statistic(server, "tokens-away") == 1 or is_refused(server.ask(f"host1.{KEPT}")))
    answer = server.ask(f"host0.{KEPT}")
    assert not is_refused(answer) and "192.0.2.1" in str(answer.answer)


def test_a_challenge_that_is_gone_is_not_signed_ahead(site, spy, clock):
    """An ACME challenge, replaced and taken away: the budget does not wait for its signatures."""
    token = site.token("signing")
    site.add_zone(zones.many(KEPT, 2))
    single_key(site, KEPT, token)
    site.set(pkcs11signer_sign_ahead="0")
    server = site.start_server(env=clock.environment)
    keys_of(server, KEPT, clock.now())
    for text in ("one", "two"):
        site.pdnsutil("replace-rrset", KEPT, record_name(KEPT, "_acme-challenge"), "TXT", "60", f'"{text}"')
        site.pdnsutil("rectify-zone", KEPT)
        assert text in str(server.ask(f"_acme-challenge.{KEPT}", "TXT").answer)
        time.sleep(1.1)
    assert budget(site, clock)[KEPT]["served"] == 2
    site.pdnsutil("delete-rrset", KEPT, record_name(KEPT, "_acme-challenge"), "TXT")
    site.pdnsutil("rectify-zone", KEPT)
    assert budget(site, clock)[KEPT]["served"] == 1


# -- CDS and CDNSKEY

def test_cds_of_a_zsk_recurs_days_later(site, spy, clock):
    """KSK and ZSK sign CDS, once a week; the KSK signs nothing else but DNSKEY on the other days."""
    token = site.token("signing")
    site.add_zone(zones.many(KEPT, 2))
    site.secure(KEPT, token)
    site.pdnsutil("set-publish-cds", KEPT, "2")
    site.set(pkcs11signer_sign_ahead="0")
    server = site.start_server(env=clock.environment)
    assert len([rrset for rrset in server.ask(KEPT, "CDS").answer if rrset.rdtype == 46][0]) == 2
    server.stop()
    clock.pass_(3 * DAY)
    server = site.start_server(env=clock.environment)
    keys_of(server, KEPT, clock.now())
    server.ask(f"host0.{KEPT}")
    server.stop()
    assert budget(site, clock)[KEPT]["served"] == 4, "CDS twice, DNSKEY, and an address"


# -- tokens

def test_a_token_that_no_key_names_is_retired(site, spy, clock, hurry):
    token = site.token("signing")
    site.add_zone(zones.many(KEPT, 2))
    single_key(site, KEPT, token)
    (row,) = site.database.key_rows(KEPT)
    site.database.set_content(row.id, row.content.replace(b"Slot: signing", b"Slot: sgning"))
    server = site.start_server(env=clock.environment)
    assert is_refused(server.ask(f"host0.{KEPT}"))
    hurry.wait_for("token away", lambda: statistic(server, "tokens-away") == 1)
    site.database.set_content(row.id, row.content)
    hurry.wait_for("an answer", lambda: not is_refused(server.ask(f"host0.{KEPT}")), MINUTE)
    assert statistic(server, "tokens") == 2
    hurry.wait_for("one token", lambda: statistic(server, "tokens-away") == 0, MINUTE)
    assert statistic(server, "tokens") == 1
    hurry.wait_for("a status without it", lambda: [r["slot"] for r in json.loads(
        site.command("status", json=True, env=clock.environment).stdout)] == ["signing"])
    assert len(lines(server, "no key of any zone names it")) == 1
    # A token that nobody asks for stays: a row names it.
    hurry.pass_(20)
    assert statistic(server, "tokens") == 1
    # And one that is named again is back.
    site.database.set_content(row.id, row.content.replace(b"Slot: signing", b"Slot: sgning"))
    server.control("purge", f"{KEPT}$")
    hurry.wait_for("away again", lambda: is_refused(server.ask(f"host1.{KEPT}")) and statistic(server, "tokens-away") == 1,
             MINUTE)


def test_without_a_store_too(site, clock, hurry):
    token = site.token("signing")
    site.add_zone(zones.many(KEPT, 2))
    single_key(site, KEPT, token)
    site.set(pkcs11signer_store="none")
    server = site.start_server(env=clock.environment)
    ask_all(server, clock, KEPT, 2)
    assert statistic(server, "workers") > 0
    site.pdnsutil("disable-dnssec", KEPT)
    hurry.wait_for("no token", lambda: statistic(server, "tokens") == 0, MINUTE)
    hurry.wait_for("no worker", lambda: statistic(server, "workers") == 0, MINUTE)


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot takes root")
def test_in_a_chroot_with_another_user(site, clock, hurry):
    """Where PowerDNS's database is another path, and root's files cannot be read any more. There is no token
    in there; that it is retired shows that the database was asked."""
    site.add_zone(zones.many(KEPT, 2))
    single_key(site, KEPT, site.token("signing"))
    root, who = str(site.place.root), site.runner.identity
    server = site.start_server(as_root=True, env=clock.environment, settings={
        "chroot": root, "setuid": who.uid, "setgid": who.gid, "pkcs11signer-state-dir": "/state",
        "socket-dir": "/run/0", "gsqlite3-database": site.settings["gsqlite3-database"].removeprefix(root)})
    assert is_refused(server.ask(f"host0.{KEPT}"))
    assert statistic(server, "tokens") == 1
    site.pdnsutil("disable-dnssec", KEPT)
    hurry.wait_for("no token", lambda: statistic(server, "tokens") == 0, MINUTE)
    assert statistic(server, "tokens-away") == 0
