# SPDX-License-Identifier: GPL-2.0-or-later
"""pkcs11signer-store=mysql: what one server of a fleet has signed, no other signs again; and
whatever happens to the database costs nothing but that."""
import json
import time

import dns.rcode
import pytest

from harness import programs, sanitizer, zones
from harness.clock import DAY, WEEK, Clock, Hurry, Uptime
from harness.deadline import wait_for
from harness.faults import lines
from harness.fleet import DATABASE, TABLE, USER, SharedDatabase
from harness.fleet_use import (HOSTS, NAMES, PASSWORD, PATIENT, ZONE, ahead, ask_all, ask_all_at_once,
                               assert_all_valid, assert_signed_once, at_the_same_time, built, each_in_turn, fleet_at,
                               name, one_behind_the_other, signatures, start, zone)  # noqa: F401: a fixture
from harness.leaks import assert_core_clean, assert_words_clean
from harness.speed import statistic, wait_for_statistic
from harness.spy import Spy


@pytest.fixture(scope="module")
def mariadb_of_fleet(base, identity):
    it = SharedDatabase(base / "mariadb-fleet", identity, PASSWORD)
    yield it
    it.discard()


@pytest.fixture
def database(mariadb_of_fleet):
    mariadb_of_fleet.reset()
    return mariadb_of_fleet


@pytest.fixture
def fleet(place, runner, identity, transcript, database):
    with fleet_at(database, place, identity, transcript, runner) as it:
        yield it
        database.go_on()


def filled(fleet, numbers):
    """What a server has signed that is gone now."""
    server = start(fleet.add_site(zone(), **PATIENT))
    assert_all_valid(server, numbers)
    wait_for_statistic(server, "fleet-queue", 0)
    server.stop()
    return fleet.database.rows()


# -- sharing

@pytest.mark.parametrize("ask", [each_in_turn, one_behind_the_other, at_the_same_time])
def test_what_one_has_signed_no_other_signs_again(fleet, ask):
    servers = [start(fleet.add_site(zone(NAMES), **PATIENT)) for _ in range(2)]
    assert_signed_once(servers, ask)
    assert NAMES <= fleet.database.rows() <= NAMES + 10
    assert fleet.database.claims() == 0
    for server in servers:
        server.stop()


def test_a_new_server_without_a_token_serves_what_others_have_signed(fleet):
    numbers = range(40)
    first = start(fleet.add_site(zone(), pinned=True, **PATIENT))
    assert_all_valid(first, numbers)
    wait_for_statistic(first, "fleet-queue", 0)
    first.stop()
    site = fleet.add_site(zone(), pinned=True, token=False, **PATIENT)
    second = start(site)
    assert_all_valid(second, numbers)
    assert signatures(second) == 0
    assert second.ask(name(HOSTS - 1)).rcode() == dns.rcode.SERVFAIL, "never asked for before"
    wait_for_statistic(second, "store-queue", 0)
    second.stop()
    # It has them itself now.
    fleet.database.stop()
    assert_all_valid(start(site, connected=False), numbers)


@pytest.mark.long
def test_a_claim_of_a_server_that_has_died_is_waited_for_once(fleet):
    """It has said that it signs, and never does."""
    numbers = range(20)
    filled(fleet, numbers)
    fleet.database.sql(f"UPDATE {TABLE} SET signature='', message='', claimed_by=x'0102030405060708',"
                       " claimed_at=UTC_TIMESTAMP(3) + INTERVAL 1 HOUR")
    server = start(fleet.add_site(zone(), **PATIENT))
    assert_all_valid(server, numbers)
    assert statistic(server, "fleet-awaited") > 0
    wait_for_statistic(server, "fleet-queue", 0)
    assert fleet.database.claims() == 0 and fleet.database.rows() > len(numbers)


def test_what_one_signs_ahead_no_other_signs_ahead(fleet, clock, spy_library):
    """Both know all of it, and are at it at the same time: it takes each token six seconds."""
    names = range(60)
    servers, spies = [], []
    for _ in range(2):
        site = fleet.add_site(zone(60), pkcs11signer_sign_ahead="1", pkcs11signer_ahead_rate="1000", **PATIENT)
        spies.append(Spy(site.place, site.runner, site.hsm, spy_library))
        servers.append(start(site, env=clock.environment))
    for server in servers:
        ask_all_at_once(server, names)
    asked = signatures(*servers) - ahead(*servers)
    for spy in spies:
        spy.rules("C_Sign delay 100")
    wait_for("end of signing ahead", lambda: ahead(*servers) >= asked * 0.95 and all(
        statistic(it, "ahead-until") and statistic(it, "ahead-missing") == 0 for it in servers), 60)
    made = ahead(*servers)
    assert made <= asked * 1.05, [ahead(server) for server in servers]
    clock.pass_(WEEK)
    for server in servers:
        server.control("purge")
        ask_all_at_once(server, names)
    assert signatures(*servers) <= made + asked * 1.05


def test_what_has_expired_is_deleted(fleet, place, uptime_library, hurry_library):
    """Not in the first hour."""
    filled(fleet, range(20))
    fleet.database.sql(f"UPDATE {TABLE} SET expires=1000 ORDER BY id LIMIT 10")
    kept = fleet.database.rows() - 10
    uptime = Uptime(place, uptime_library)
    hurry = Hurry(place, hurry_library, uptime.environment)
    start(fleet.add_site(zone(), **PATIENT), env=hurry.environment)
    hurry.pass_(8)  # each server looks in the first six seconds
    assert fleet.database.rows() == kept + 10
    uptime.pass_(3601)
    hurry.wait_for("end of expired rows", lambda: fleet.database.rows() == kept)


@pytest.mark.parametrize("now,said", [(1000, "behind the database's"),
                                      (time.time() + 40.5 * DAY, "40 days ahead of the database's")], ids=["1970", "ahead"])
def test_a_member_with_a_wrong_clock_deletes_nobody_s_rows(fleet, place, uptime_library, hurry_library, now, said):
    filled(fleet, range(40))
    kept = fleet.database.rows()
    clock = Clock(place)
    clock.set(now)
    uptime = Uptime(place, uptime_library, clock)
    hurry = Hurry(place, hurry_library, uptime.environment)
    server = start(fleet.add_site(zone(), **PATIENT), env=hurry.environment)
    hurry.wait_for("line in the log", lambda: lines(server, said))
    uptime.pass_(3601)
    hurry.pass_(16)  # it looks every 10 to 15 seconds
    assert fleet.database.rows() == kept
    assert len(lines(server, said)) == 1
    clock.set(time.time())
    hurry.wait_for("line in the log", lambda: lines(server, "clock agrees with the database's"))
    assert fleet.database.rows() == kept


def test_the_server_of_a_guardian_shares(fleet):
    count = filled(fleet, range(20))
    server = start(fleet.add_site(zone(), **PATIENT), guardian="yes")
    assert_all_valid(server, range(20))
    assert signatures(server) == 0 and fleet.database.rows() == count


def test_the_table_has_a_limit(fleet):
    """What is of least use goes, and DNSKEY signatures stay."""
    first = start(fleet.add_site(zone(NAMES), **PATIENT))
    ask_all_at_once(first, range(1300))
    assert_all_valid(first, range(5))
    wait_for_statistic(first, "fleet-queue", 0)
    first.stop()
    before = fleet.database.rows()
    keys = f"SELECT COUNT(*) FROM {TABLE} WHERE SUBSTR(message, 1, 2) = x'0030'"
    assert before > 1300 and fleet.database.number(keys) == 1
    fleet.database.sql(f"UPDATE {TABLE} SET last_used=UTC_DATE() - INTERVAL 2 DAY ORDER BY id LIMIT 700")
    recent = f"SELECT COUNT(*) FROM {TABLE} WHERE last_used=UTC_DATE()"
    used_today = fleet.database.number(recent)
    second = start(fleet.add_site(zone(NAMES), pkcs11signer_mysql_signatures="1000", **PATIENT))
    wait_for("line in the log", lambda: lines(second, "more than pkcs11signer-mysql-signatures allows"))
    assert 850 < fleet.database.rows() <= 905
    assert fleet.database.number(keys) == 1 and fleet.database.number(recent) == used_today
    assert fleet.database.claims() == 0


# -- the database fails

def test_the_database_is_stopped_and_started_in_between(fleet):
    servers = [start(fleet.add_site(zone(), **PATIENT)) for _ in range(2)]
    ask_all(servers[0], range(100))
    fleet.database.stop()
    for server in servers:
        ask_all_at_once(server, range(100, 200))
        wait_for_statistic(server, "fleet-connected", 0)
        told = lines(server, "signatures are not shared")
        assert len(told) <= 2, told  # lost, and what connecting says
        ask_all(server, range(0, 200, 7))
    fleet.database.start()
    for server in servers:
        wait_for_statistic(server, "fleet-connected", 1)
        wait_for_statistic(server, "fleet-queue", 0)
        assert len(lines(server, "signatures are shared again")) == 1
    # What was made meanwhile is in it too.
    assert fleet.database.rows() >= 200
    before = signatures(*servers)
    ask_all(servers[1], range(200, HOSTS))
    ask_all(servers[0], range(200, HOSTS))
    assert signatures(*servers) - before <= (HOSTS - 200) * 1.02 + 1


def test_a_database_that_hangs_holds_nobody_up(fleet):
    """At the default deadline of 20 ms."""
    servers = [start(fleet.add_site(zone())) for _ in range(2)]
    ask_all(servers[0], range(50))
    fleet.database.hang()
    start_time = time.monotonic()
    for server in servers:
        ask_all_at_once(server, range(50, 200), clients=8)
    assert time.monotonic() - start_time < 30, "nobody waits, but for the first few"
    for server in servers:
        assert statistic(server, "fleet-connected") == 0
        assert 1 <= statistic(server, "fleet-timeouts") <= 60
        assert len(lines(server, "no answer within 20 ms")) <= 1
        assert statistic(server, "timeouts") == statistic(server, "failures") == 0
    fleet.database.go_on()
    for server in servers:
        wait_for_statistic(server, "fleet-connected", 1)
        wait_for_statistic(server, "fleet-queue", 0)
    assert fleet.database.rows() >= 200


def test_servers_end_when_told_while_the_database_hangs(fleet):
    server = start(fleet.add_site(zone()))
    ask_all(server, range(20))
    fleet.database.hang()
    ask_all(server, range(20, 40))
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 15
    began = time.monotonic()
    assert server.site.command("check").returncode == 0
    assert time.monotonic() - began < 30


def test_a_server_that_starts_without_the_database(fleet):
    site = fleet.add_site(zone(), **PATIENT)
    fleet.database.stop()
    server = start(site, connected=False)
    assert_all_valid(server, range(50))
    told = lines(server, "fleet store")
    assert len(told) == 1 and "is it running?" in told[0] and "queries are answered all the same" in told[0]
    fleet.database.start()
    wait_for_statistic(server, "fleet-connected", 1)
    wait_for_statistic(server, "fleet-queue", 0)
    assert fleet.database.rows() >= 50


def test_it_is_primary_no_more(fleet):
    server = start(fleet.add_site(zone(), **PATIENT))
    ask_all(server, range(20))
    fleet.database.sql("SET GLOBAL read_only=1", "")
    ask_all(server, range(20, 60))
    wait_for_statistic(server, "fleet-connected", 0)
    wait_for("line in the log", lambda: lines(server, "must be the primary"))
    fleet.database.sql("SET GLOBAL read_only=0", "")
    wait_for_statistic(server, "fleet-connected", 1)
    wait_for_statistic(server, "fleet-queue", 0)
    assert fleet.database.rows() >= 60


@pytest.mark.parametrize("spoil,said", [
    (f"ALTER USER {USER}@localhost IDENTIFIED BY 'another'", "check pkcs11signer-mysql-user"),
    (f"DROP TABLE {TABLE}", "create it with docs/schema.mysql.sql"),
    (f"ALTER TABLE {TABLE} DROP COLUMN claimed_at", "not that of this version"),
    (f"REVOKE DELETE ON {DATABASE}.{TABLE} FROM {USER}@localhost", "needs SELECT, INSERT, UPDATE and DELETE"),
    (f"DROP DATABASE {DATABASE}", "pkcs11signer-mysql-dbname"),
], ids=["password", "table", "column", "right", "database"])
def test_one_line_says_what_to_do(fleet, spoil, said):
    site = fleet.add_site(zone(), **PATIENT)
    fleet.database.sql(spoil)
    server = start(site, connected=False)
    wait_for("line in the log", lambda: lines(server, "fleet store"))
    assert_all_valid(server, range(20))
    time.sleep(2)  # it has been tried again
    told = lines(server, "fleet store")
    assert len(told) == 1 and said in told[0], told
    assert statistic(server, "fleet-connected") == 0


# -- what stands in the table

def swapped(*columns: str) -> str:
    """Each two rows exchange these."""
    pairs = f"(SELECT id, {', '.join(columns)}, ROW_NUMBER() OVER (ORDER BY id) - 1 AS n FROM {TABLE})"
    return (f"UPDATE {TABLE} t JOIN {pairs} a ON a.id = t.id JOIN {pairs} b ON b.n = (a.n ^ 1) SET "
            + ", ".join(f"t.{c} = b.{c}" for c in columns))


@pytest.mark.parametrize("how", [
    pytest.param(f"UPDATE {TABLE} SET signature=CONCAT(SUBSTRING(signature, 1, 63),"
                 " CHAR(ORD(SUBSTRING(signature, 64)) ^ 1))", id="bit"),
    pytest.param(f"UPDATE {TABLE} SET signature=SUBSTRING(signature, 1, 40)", id="cut-off"),
    pytest.param(f"UPDATE {TABLE} SET signature=REPEAT('x', 1000)", id="too-long"),
    pytest.param(swapped("signature"), id="signatures"),
    pytest.param(swapped("message"), id="messages"),
    pytest.param(swapped("message", "signature"), id="records"),
    pytest.param(f"UPDATE {TABLE} SET key_id=REVERSE(key_id)", id="key"),
])
def test_a_row_that_was_tampered_with_is_found_out(fleet, how):
    numbers = range(30)
    filled(fleet, numbers)
    fleet.database.sql(how)
    server = start(fleet.add_site(zone(), **PATIENT))
    assert_all_valid(server, numbers)
    assert statistic(server, "store-invalid") >= len(numbers)
    assert len(lines(server, "Find out who writes")) == 1, "once a minute"
    wait_for_statistic(server, "fleet-queue", 0)
    server.stop()
    # Replaced: nobody finds anything wrong any more.
    second = start(fleet.add_site(zone(), **PATIENT))
    assert_all_valid(second, numbers)
    assert statistic(second, "store-invalid") == signatures(second) == 0


# -- the password

@sanitizer.skip_with("its shadow memory makes a core dump of terabytes")
def test_the_password_is_nowhere(fleet):
    site = fleet.add_site(zone(), loglevel="9", **PATIENT)
    site.set(pkcs11signer_mysql_password_file=None,
             pkcs11signer_mysql_password="file:" + str(site.place.root / "password"))
    server = start(site)
    ask_all(server, range(50))
    wait_for_statistic(server, "fleet-written", 50)
    server.api("GET", "/config", status=200)
    server.control("current-config")
    assert_core_clean(server, PASSWORD)
    fleet.database.sql(f"ALTER USER {USER}@localhost IDENTIFIED BY 'another'")
    fleet.database.stop()
    fleet.database.start()
    ask_all(server, range(50, 60))
    wait_for("refusal", lambda: lines(server, "Access denied"))
    assert_core_clean(server, PASSWORD)
    assert_words_clean(server, PASSWORD)
    # Changed on both sides: no restart.
    site.place.file("password", "another")
    wait_for_statistic(server, "fleet-connected", 1)


def test_a_password_file_that_others_can_read_is_refused(fleet):
    site = fleet.add_site(zone(), **PATIENT)
    (site.place.root / "password").chmod(0o644)
    server = start(site, connected=False)
    wait_for("line in the log", lambda: lines(server, "the password source", "is open to all users"))
    assert_all_valid(server, range(5))
    (site.place.root / "password").chmod(0o640)
    wait_for_statistic(server, "fleet-connected", 1)


@pytest.mark.parametrize("settings,said", [
    ({"mysql_timeout": "0"}, "from 1 to 10000"), ({"mysql_port": "70000"}, "from 0 to 65535"),
    ({"mysql_password": "x", "mysql_password_file": "/x"}, "only one of them")])
def test_settings_that_make_no_sense(site, settings, said):
    site.set(pkcs11signer_store="mysql", **{f"pkcs11signer_{n}": v for n, v in settings.items()})
    assert said in site.pdnsutil("list-all-zones", check=False).output


def test_the_settings_are_shown(site):
    shown = site.runner.run(programs.pdns_server(), f"--config-dir={site.place.root / 'conf'}",
                            "--config").stdout
    for setting in ("host", "socket", "port", "user", "password", "password-file", "dbname", "signatures", "timeout"):
        assert f"pkcs11signer-mysql-{setting}=" in shown


# -- commands

def test_store_commands_know_the_table(fleet):
    count = filled(fleet, range(30))
    site, = fleet.sites
    stats, = json.loads(site.command("store", "stats", json=True).stdout)
    assert stats["fleet_signatures"] == stats["signatures"] == count and stats["fleet_expired"] == 0
    of_other, = json.loads(site.command("store", "stats", zones.OTHER, json=True).stdout)
    assert of_other["fleet_signatures"] == 0
    verified, = json.loads(site.command("store", "verify", json=True).stdout)
    assert verified["fleet_signatures"] == verified["fleet_good"] == count
    fleet.database.sql(f"UPDATE {TABLE} SET signature=REPEAT('x', 64) ORDER BY id LIMIT 3")
    result = site.command("store", "verify", ZONE, check=False)
    assert result.returncode == 1 and "fleet's table" in result.output
    assert fleet.database.rows() == count - 3
    assert f"{count - 3} signatures deleted in the fleet" in site.command("store", "purge", ZONE).stdout
    assert fleet.database.rows() == 0
    server = start(site)
    assert_all_valid(server, range(5))
    assert signatures(server) > 5, "nothing has come back"


def test_store_commands_while_the_database_is_away(fleet):
    count = filled(fleet, range(10))
    site, = fleet.sites
    fleet.database.stop()
    result = site.command("store", "stats", check=False)
    assert result.returncode == 1 and "fleet store" in result.output and str(count) in result.stdout
    result = site.command("store", "purge", ZONE, check=False)
    assert result.returncode == 1 and f"{count} signatures deleted" in result.stdout
    assert "is it running?" in result.output
