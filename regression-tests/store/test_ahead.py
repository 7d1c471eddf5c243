# SPDX-License-Identifier: GPL-2.0-or-later
"""Next week's signatures are made before anybody asks for them: the week turns without a signature,
and the token may be away for as long as the server says."""
import json
import signal
import subprocess
import time

import dns.rcode
import dns.rdatatype
import pytest

from harness import programs, zones
from harness.clock import DAY, WEEK, week_of
from harness.deadline import wait_for
from harness.faults import is_refused, lines
from harness.life import LONGER_SINCE
from harness.speed import KeyLog, answers, at_once, single_key, statistic, statistics
from harness.validate import assert_signed, keys_of

ZONE = zones.SIGNED
NARROW = "1 0 0 -"
HOSTS = 12
FAST = "1000"
"""pkcs11signer-ahead-rate: as fast as the token makes them"""


class Asked:
    """Of one zone: names, a denial, SOA and DNSKEY. How many signatures that takes is counted."""

    def __init__(self, server, clock, zone=ZONE, hosts=HOSTS):
        self.server = server
        self.clock = clock
        self.zone = zone
        self.names = [f"host{i}.{zone}" for i in range(hosts)]

    def questions(self):
        return [*((name, "A") for name in self.names), (self.zone, "SOA"), (self.zone, "DNSKEY"),
                (f"nothing.{self.zone}", "A")]

    def all(self):
        with at_once(lambda q: self.server.ask(*q, tcp=True, timeout=60), self.questions()) as asked:
            return answers(asked)

    def assert_served(self):
        keys = keys_of(self.server, self.zone, self.clock.now())
        for answer in self.all():
            assert answer.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN), f"{answer}\n{self.server.log[-2000:]}"
            assert_signed(answer, keys, now=self.clock.now())


def asked_for(server) -> int:
    """Signatures that the token made for somebody who waited."""
    now = statistics(server)
    return now["signatures"] - now["ahead-signatures"]


def wait_until_done(hurry, server, made: int | None = None, seconds: float = 60) -> int:
    """Until all is signed ahead that there is; how many signatures that were."""
    def done():
        now = statistics(server)
        return now["ahead-until"] and now["ahead-missing"] == 0 and (
            made is None or now["ahead-signatures"] == made)
    hurry.wait_for("end of signing ahead", done, seconds)
    return statistic(server, "ahead-signatures")


def secured(site, hosts=HOSTS, *, weeks="1", rate=FAST, **settings):
    site.add_zone(zones.many(ZONE, hosts + 1))
    token = site.token("signing")
    site.secure(ZONE, token)
    site.set(**{"pkcs11signer_sign_ahead": weeks, "pkcs11signer_ahead_rate": rate,
                "pkcs11signer_timeout": "8000", **settings})
    return token


# -- what is signed, and in which order

def test_what_was_served_is_signed_for_next_week(site, spy, clock, hurry):
    secured(site)
    server = site.start_server(env=clock.environment)
    asked = Asked(server, clock)
    asked.assert_served()
    made = asked_for(server)
    assert made > HOSTS
    wait_until_done(hurry, server, made)
    assert statistic(server, "ahead-until") == week_of(clock.now()) + 2 * WEEK
    assert abs(statistic(server, "ahead-seconds-left")
               - (week_of(clock.now()) + 2 * WEEK - clock.now())) < 60
    assert len(lines(server, "signed ahead")) == 1, lines(server, "signed ahead")
    assert "pkcs11signer_ahead_until" in server.site.runner.run("curl", "-s", "-u", f"x:{server.api_key}",
                                                    f"http://127.0.0.1:{server.web}/metrics").stdout


def test_zero_weeks_sign_nothing_and_say_until_when(site, spy, clock):
    secured(site, weeks="0")
    server = site.start_server(env=clock.environment)
    Asked(server, clock).assert_served()
    wait_for("until when", lambda: statistic(server, "ahead-until"))
    assert statistic(server, "ahead-until") == week_of(clock.now()) + WEEK
    assert statistic(server, "ahead-signatures") == 0
    assert lines(server, "signed ahead") == [], "that is said with weeks to sign ahead"


def test_dnskey_first_then_the_hottest(site, spy, place, clock, hurry):
    keys = KeyLog(place, site.runner)
    token = site.token("signing")
    for zone in ("hot.test", "cold.test"):
        site.add_zone(zones.many(zone, 5))
        single_key(site, zone, token)
    site.set(pkcs11signer_ahead_rate=FAST)
    server = site.start_server(env=clock.environment)
    for zone in ("hot.test", "cold.test"):
        for i in range(5):
            server.ask(f"host{i}.{zone}")
        keys_of(server, zone, clock.now())
    server.stop()
    clock.pass_(DAY)
    server = site.start_server(env=clock.environment)
    for i in range(5):
        server.ask(f"host{i}.hot.test")  # from the store: on a second day
    server.stop()
    site.set(pkcs11signer_sign_ahead="1")
    keys.forget()
    server = site.start_server(env=clock.environment)
    for zone in ("cold.test", "hot.test"):
        keys_of(server, zone, clock.now())
    wait_until_done(hurry, server, 12)
    labels = keys.labels()
    assert sorted(labels[:2]) == ["cold.test", "hot.test"], labels
    assert labels[2:] == ["hot.test"] * 5 + ["cold.test"] * 5


def test_only_the_newest_soa_is_signed_ahead(site, spy, clock, hurry):
    secured(site)
    site.set(pkcs11signer_sign_ahead="0")
    server = site.start_server(env=clock.environment)
    keys_of(server, ZONE, clock.now())
    for _ in range(5):
        site.pdnsutil("increase-serial", ZONE)
        server.ask(ZONE, "SOA")
    assert asked_for(server) == 6
    server.stop()
    site.set(pkcs11signer_sign_ahead="1")
    server = site.start_server(env=clock.environment)
    keys_of(server, ZONE, clock.now())
    server.ask(ZONE, "SOA")
    assert wait_until_done(hurry, server, 2) == 2


def test_narrow_lies_are_left_out(site, spy, clock, hurry):
    secured(site)
    site.pdnsutil("set-nsec3", ZONE, NARROW, "narrow")
    server = site.start_server(env=clock.environment)
    keys_of(server, ZONE, clock.now())
    for i in range(10):
        assert server.ask(f"nothing{i}.{ZONE}").rcode() == dns.rcode.NXDOMAIN
    # For each name one that covers it; once the DNSKEY, the SOA, what covers the wildcard, and the
    # zone's own NSEC3. The first and the last two recur.
    assert asked_for(server) == 14
    assert wait_until_done(hurry, server, 3) == 3


# -- how fast

def test_a_rate_is_not_exceeded(site, spy, clock):
    secured(site, rate="2")
    server = site.start_server(env=clock.environment)
    Asked(server, clock).assert_served()
    made = asked_for(server)
    wait_for("first signature", lambda: statistic(server, "ahead-signatures") > 0)
    began = time.monotonic()
    before = statistic(server, "ahead-signatures")
    while (so_far := statistic(server, "ahead-signatures")) < made:
        # What is read was so at the latest when it was asked for.
        assert so_far - before <= 2 * (time.monotonic() - began) + 1
        assert time.monotonic() < began + 60
        time.sleep(0.2)


def test_two_servers_do_not_make_the_same(site, spy, clock, hurry):
    secured(site)
    servers = [site.start_server(env=clock.environment) for _ in range(2)]
    for server in servers:
        Asked(server, clock).assert_served()
    made = asked_for(servers[0])
    wait_for("signatures", lambda: sum(statistic(s, "ahead-signatures") for s in servers) >= made)
    for server in servers:
        wait_until_done(hurry, server)
    assert sum(statistic(s, "ahead-signatures") for s in servers) == made


# -- restarts, and ends

def test_a_restart_goes_on_with_what_is_stored(site, spy, clock, hurry):
    secured(site)
    site.set(pkcs11signer_sign_ahead="0")
    server = site.start_server(env=clock.environment)
    Asked(server, clock).assert_served()
    made = asked_for(server)
    server.stop()
    site.set(pkcs11signer_sign_ahead="1")
    server = site.start_server(env=clock.environment)
    keys_of(server, ZONE, clock.now())
    server.ask(f"host1.{ZONE}")  # so that both keys are known
    assert wait_until_done(hurry, server, made) == made
    assert asked_for(server) == 0


def test_a_server_ends_while_it_signs_ahead(site, spy, clock):
    secured(site)
    server = site.start_server(env=clock.environment)
    Asked(server, clock).assert_served()
    spy.rules("C_Sign hang")
    wait_for("a call that hangs", lambda: spy.outcomes("C_Sign").count("hangs"))
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 15


def test_a_token_that_is_away_is_waited_for(site, spy, clock, hurry):
    secured(site)
    server = site.start_server(env=clock.environment)
    asked = Asked(server, clock)
    asked.assert_served()
    made = asked_for(server)
    spy.unplug()
    wait_for("token away", lambda: statistic(server, "tokens-away") == 1)
    logins = spy.count("C_Login")
    asked.assert_served()
    assert statistic(server, "ahead-signatures") < made
    spy.plug()
    wait_until_done(hurry, server, made)
    assert spy.count("C_Login") - logins <= 1 + 2  # the probes, and the worker
    assert statistic(server, "logins-refused") == 0


# -- the week turns

def turn(clock) -> None:
    """The clock comes to the end of the week, and goes on."""
    clock.set(week_of(clock.now()) + WEEK - 1)
    wait_for("turn of the week", lambda: clock.now() % WEEK < DAY, 10)


@pytest.mark.long
def test_the_week_turns_without_a_signature(site, spy, clock):
    """On a token that makes two a second: an hour's worth of them would be SERVFAIL otherwise."""
    secured(site, rate="0", pkcs11signer_timeout="1000")
    clock.set(week_of(clock.now()) + WEEK - 1.5 * DAY)  # no time left to spread them over
    server = site.start_server(env=clock.environment)
    asked = Asked(server, clock)
    asked.assert_served()
    made = asked_for(server)
    spy.rules("C_Sign delay 500")
    wait_for("end of signing ahead", lambda: statistic(server, "ahead-signatures") == made, 120)
    before, misses = asked_for(server), statistic(server, "store-misses")
    turn(clock)
    for _ in range(3):
        for name, rdtype in asked.questions():
            assert not is_refused(server.ask(name, rdtype)), name
        asked.assert_served()
    assert asked_for(server) == before
    assert statistic(server, "store-misses") == misses
    assert statistic(server, "timeouts") == statistic(server, "overloaded") == statistic(server, "failures") == 0
    # And it goes on with the week behind.
    wait_for("more", lambda: statistic(server, "ahead-signatures") > made, 60)


def test_without_it_the_turn_costs_all_of_them(site, spy, clock):
    """What the test above is worth."""
    secured(site, weeks="0")
    server = site.start_server(env=clock.environment)
    asked = Asked(server, clock)
    asked.assert_served()
    made = asked_for(server)
    turn(clock)
    asked.assert_served()
    assert asked_for(server) == 2 * made


# -- serials that change with the week

def soa_questions(zone=ZONE):
    """Those whose answers have the SOA: itself, a name and a type that are not there."""
    return [(zone, "SOA"), (f"nothing.{zone}", "A"), (f"www.{zone}", "MX")]


def assert_soa_served(server, clock, zone=ZONE) -> set[int]:
    """The serials."""
    keys = keys_of(server, zone, clock.now())
    serials = set()
    for name, rdtype in soa_questions(zone):
        answer = server.ask(name, rdtype)
        assert not is_refused(answer), f"{name} {rdtype} at {utc(clock.now())}\n{server.log[-2000:]}"
        assert_signed(answer, keys, now=clock.now())
        serials |= {record.serial for rrset in (*answer.answer, *answer.authority)
                    if rrset.rdtype == dns.rdatatype.SOA for record in rrset}
    return serials


def soa_edited(site, zone, kind, how):
    """The zone has that SOA-EDIT: by its metadata, or by a setting. Its own serial is 1."""
    site.add_zone(zones.Zone(zone, zones.small(zone).text.replace("2023010101", "1")))
    site.secure(zone, site.token("signing"))
    if how == "metadata":
        site.pdnsutil("set-meta", zone, "SOA-EDIT", kind)
    else:
        site.set(**{how: kind})
    site.set(pkcs11signer_sign_ahead="2", pkcs11signer_ahead_rate=FAST, pkcs11signer_timeout="8000")


@pytest.mark.parametrize("kind, how", [
    ("INCEPTION-INCREMENT", "metadata"), ("INCREMENT-WEEKS", "default_soa_edit"),
    ("INCEPTION-EPOCH", "default_soa_edit_signed"), ("inception-increment", "default_soa_edit")])
def test_the_serial_of_each_week_is_signed_ahead(site, spy, clock, hurry, kind, how):
    """What is promised is kept, in each week up to its last minute."""
    soa_edited(site, ZONE, kind, how)
    server = site.start_server(env=clock.environment)
    seen = assert_soa_served(server, clock)
    made = asked_for(server)
    wait_until_done(hurry, server, 2 * made)
    until = statistic(server, "ahead-until")
    assert until == week_of(clock.now()) + 3 * WEEK
    spy.unplug()
    assert utc(until) in site.command("status", env=clock.environment).stdout
    for moment in (until - 2 * WEEK + 3600, until - WEEK + 3600, until - 60):
        clock.set(moment)
        seen |= assert_soa_served(server, clock)
        wait_for("the same budget", lambda: [(row["away_until"], row.get("why")) for row in json.loads(
            site.command("budget", json=True, env=clock.environment).stdout)] == [(utc(until), None)], 20)
    assert len(seen) == 3 and asked_for(server) == made
    clock.set(until + 1)
    assert all(is_refused(server.ask(*question)) for question in soa_questions())


@pytest.mark.parametrize("kind", ["NONE", "INCREMENT-WEEKS"])
def test_a_serial_that_the_zone_got_is_signed_before_it_is_asked_for(site, spy, clock, hurry, kind):
    """And the budget does not count what was signed with the one before."""
    soa_edited(site, ZONE, kind, "metadata")
    server = site.start_server(env=clock.environment)
    before = assert_soa_served(server, clock)
    wait_until_done(hurry, server, 2 * asked_for(server))
    site.pdnsutil("increase-serial", ZONE)
    made = statistic(server, "ahead-signatures")
    wait_until_done(hurry, server, made + 3, 90)  # of this week, and of two
    until = statistic(server, "ahead-until")
    assert until == week_of(clock.now()) + 3 * WEEK
    spy.unplug()
    for moment in (clock.now(), until - WEEK + 3600, until - 60):
        clock.set(moment)
        assert before.isdisjoint(assert_soa_served(server, clock))


def test_a_budget_says_that_nobody_knows_the_serial(site, spy, clock, hurry):
    """SOA-EDIT=EPOCH: another one each second. Other zones have their budget."""
    soa_edited(site, ZONE, "EPOCH", "metadata")
    site.add_zone(zones.small(zones.OTHER))
    site.secure(zones.OTHER, site.token("another"))
    server = site.start_server(env=clock.environment)
    assert_soa_served(server, clock)
    assert_soa_served(server, clock, zones.OTHER)
    wait_for("what is said", lambda: lines(server, "SOA-EDIT=EPOCH"), 60)
    wait_until_done(hurry, server)
    end = week_of(clock.now()) + 3 * WEEK
    first, second = json.loads(site.command("budget", json=True, env=clock.environment).stdout)
    assert (first["zone"], first["away_until"], first["seconds_left"]) == (f"{ZONE}.", "now", 0)
    assert "SOA-EDIT=EPOCH" in first["why"] and "why" not in second
    assert (second["zone"], second["away_until"]) == (f"{zones.OTHER}.", utc(end))
    said = site.command("status", env=clock.environment).stdout
    assert f"the token may not be away: zone {ZONE}.: the serial of its SOA record is not known" in said
    status = json.loads(site.command("status", json=True, env=clock.environment).stdout)
    assert {row["away_until"] for row in status} == {"now"} and all("EPOCH" in row["away_why"] for row in status)
    assert statistic(server, "ahead-seconds-left") == 0
    spy.unplug()
    clock.set(end - 60)
    assert all(is_refused(server.ask(*question)) for question in soa_questions()), "as was said"
    assert_soa_served(server, clock, zones.OTHER)
    assert len(lines(server, "SOA-EDIT=EPOCH")) == 1


# -- PowerDNS 5.1: a longer validity, and a week that begins with last week's serial

def soa_serial(server) -> int:
    (record,) = next(rrset for rrset in server.ask(ZONE, "SOA").answer if rrset.rdtype == dns.rdatatype.SOA)
    return record.serial


def expirations(server) -> set[int]:
    return {sig.expiration for name, rdtype in soa_questions() for answer in [server.ask(name, rdtype)]
            for rrset in (*answer.answer, *answer.authority) if rrset.rdtype == dns.rdatatype.RRSIG for sig in rrset}


@pytest.mark.skipif(programs.pdns_number() < LONGER_SINCE, reason="this PowerDNS has neither setting")
@pytest.mark.parametrize("extend, spread", [(3 * DAY, 2 * DAY), (None, WEEK), (365 * DAY, 0)],
                         ids=["both", "the first follows the second", "a year"])
def test_longer_validity_and_serials_that_change_within_the_week(site, spy, clock, hurry, extend, spread):
    soa_edited(site, ZONE, "INCEPTION-INCREMENT", "metadata")
    site.set(rrsig_expiry_extend=extend and str(extend), soa_edit_spread=str(spread))
    extend = spread if extend is None else extend
    server = site.start_server(env=clock.environment)
    assert_soa_served(server, clock)
    wait_until_done(hurry, server)
    end = week_of(clock.now()) + 3 * WEEK
    wait_for("the budget of two weeks more", lambda: statistic(server, "ahead-until") == end)
    spy.unplug()
    made, said_at = asked_for(server), clock.now()
    (said,) = json.loads(site.command("budget", json=True, env=clock.environment).stdout)
    assert (said["away_until"], said.get("why")) == (utc(end), None)
    assert f"away until {utc(end)}" in site.command("status", env=clock.environment).stdout
    last = None
    for turned in (end - 3 * WEEK, end - 2 * WEEK, end - WEEK):
        seen = []
        for after in sorted({60, 60 + spread // 2, min(spread + 60, WEEK - 60), WEEK - 60}):
            if turned + after >= said_at:
                clock.set(turned + after)
                assert_soa_served(server, clock)
                assert expirations(server) == {turned + 2 * WEEK + extend}
                seen.append(soa_serial(server))
        assert last is None or (len({last, *seen}) == 2 and (seen[0] == last) == (spread > 0)), seen
        last = seen[-1]
    assert asked_for(server) == made
    clock.set(end + 60)
    assert any(is_refused(server.ask(*question)) for question in soa_questions())


# -- what the server's command line says, and no file

@pytest.mark.parametrize("name, given", [
    ("default-soa-edit", "INCEPTION-INCREMENT"), ("default-publish-cds", "2"),
    *([("rrsig-expiry-extend", "86400"), ("soa-edit-spread", "3600")]
      if programs.pdns_number() >= LONGER_SINCE else [])])
def test_settings_that_only_the_server_knows(site, spy, clock, hurry, name, given):
    """pdnsutil would count, and sign, what nobody asks for."""
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token("signing"))
    site.set(pkcs11signer_sign_ahead="1", pkcs11signer_ahead_rate=FAST, pkcs11signer_timeout="8000")
    server = site.start_server(env=clock.environment, settings={name: given})
    assert_soa_served(server, clock)
    wait_until_done(hurry, server)
    made = spy.outcomes("C_Sign")
    difference = f"server {server.daemon.pid} runs with {name}={given}, pdnsutil with {name}="

    (row,) = json.loads(site.command("budget", json=True, env=clock.environment).stdout)
    assert (row["away_until"], "seconds_left" in row) == ("not known", False) and difference in row["why"]
    said = site.command("status", env=clock.environment).stdout
    assert f"how long the token may be away is not known: {difference}" in said
    for words in ("sign-ahead", ZONE, "2"), ("warm", ZONE):
        result = site.command(*words, check=False, env=clock.environment)
        assert result.returncode != 0 and difference in result.output
    assert spy.outcomes("C_Sign") == made

    site.set(**{name.replace("-", "_"): given})
    (row,) = json.loads(site.command("budget", json=True, env=clock.environment).stdout)
    assert (row["away_until"], row.get("why")) == (utc(statistic(server, "ahead-until")), None)
    site.command("sign-ahead", ZONE, "2", env=clock.environment)


# -- what stands in the store

def test_what_stands_in_the_place_of_another_is_not_signed(site, spy, clock, hurry, tool):
    """Each of them verifies: it is not what is planned to be signed there."""
    made = served(site, clock)
    site.runner.run(tool, site.place.root / "state/signatures.lmdb", "swap")
    site.set(pkcs11signer_sign_ahead="1")
    server = site.start_server(env=clock.environment)
    keys_of(server, ZONE, clock.now())
    server.ask(f"host1.{ZONE}")  # so that both keys are known; and these two are stored anew
    hurry.wait_for("what is said", lambda: lines(server, "it is not signed for the weeks to come"))
    hurry.wait_for("both", lambda: statistic(server, "ahead-signatures") >= 2)
    hurry.pass_(6)
    assert made > 10 and statistic(server, "ahead-signatures") <= 3, "one may have had no other to change with"


# -- messages that are not understood

def test_times_that_nobody_can_explain(site, spy, clock, hurry, tool):
    """As of a PowerDNS to come. They are made by hand: no setting of 4.7 changes the times that it signs."""
    secured(site, hosts=2)
    server = site.start_server(env=clock.environment)
    asked = Asked(server, clock, hosts=2)
    asked.assert_served()
    wait_until_done(hurry, server, asked_for(server))
    server.stop()
    site.runner.run(tool, site.place.root / "state/signatures.lmdb", "late")
    server = site.start_server(env=clock.environment)
    hurry.wait_for("what is said", lambda: lines(server, f"zone {ZONE}", "inceptions or expirations"), 60)
    assert statistic(server, "ahead-until") == 0
    said = site.command("status", env=clock.environment).stdout
    assert f"how long the token may be away is not known: zone {ZONE}" in said and "away until" not in said
    (zone,) = json.loads(site.command("budget", json=True, env=clock.environment).stdout)
    assert zone["away_until"] == "not known" and "seconds_left" not in zone and "inceptions" in zone["why"]
    asked.server = server
    asked.assert_served()
    hurry.pass_(7)  # another look
    assert statistic(server, "ahead-until") == 0 and len(lines(server, "inceptions or expirations")) == 1


# -- the token is away

def test_the_token_may_be_away_as_long_as_it_is_said(site, spy, clock, hurry):
    """Four weeks ahead, then five weeks without the token: served until then, and no longer."""
    secured(site, weeks="4")
    server = site.start_server(env=clock.environment)
    asked = Asked(server, clock)
    asked.assert_served()
    wait_until_done(hurry, server, 4 * asked_for(server))
    until = statistic(server, "ahead-until")
    assert until == week_of(clock.now()) + 5 * WEEK
    spy.unplug()
    for week in range(1, 5):
        clock.set(week_of(until) - (5 - week) * WEEK + DAY)
        asked.assert_served()
        if week == 2:
            server.stop()
            server = site.start_server(env=clock.environment)
            asked = Asked(server, clock)
            asked.assert_served()
        wait_for("the same end", lambda: statistic(server, "ahead-until") == until)
    clock.set(until - 60)
    asked.assert_served()
    assert asked_for(server) == 0
    clock.set(until + 1)
    refused = [is_refused(answer) for answer in asked.all()]
    assert all(refused), refused
    wait_for("the end", lambda: statistic(server, "ahead-seconds-left") == 0)
    spy.plug()
    wait_for("the token", lambda: statistic(server, "tokens-away") == 0)
    asked.assert_served()


# -- commands

def served(site, clock, *, weeks="0", **settings):
    """What is in the store: this week's, and nothing ahead. The number of signatures."""
    secured(site, weeks=weeks, **settings)
    server = site.start_server(env=clock.environment)
    Asked(server, clock).assert_served()
    made = asked_for(server)
    server.stop()
    return made


def utc(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))


def test_status_and_budget_say_until_when(site, spy, clock):
    made = served(site, clock)
    end = week_of(clock.now()) + WEEK
    env = clock.environment
    assert f"token may be away until {utc(end)}" in site.command("status", env=env).stdout
    site.command("sign-ahead", ZONE, "2", env=env)
    assert f"token may be away until {utc(end + 2 * WEEK)}" in site.command("status", env=env).stdout
    (zone,) = json.loads(site.command("budget", json=True, env=env).stdout)
    assert abs(zone.pop("seconds_left") - (end + 2 * WEEK - clock.now())) < 60
    assert zone == {"zone": f"{ZONE}.", "away_until": utc(end + 2 * WEEK), "served": made}
    assert ZONE in site.command("budget", ZONE, env=env).stdout
    assert "nothing was served" in site.command("budget", "other.test", env=env).stdout
    server = site.start_server(env=env)
    keys_of(server, ZONE, clock.now())
    server.ask(f"host{HOSTS}.{ZONE}")  # for the first time: there is but this week's
    wait_for("news", lambda: [row["away_until"] for row in json.loads(
        site.command("status", json=True, env=env).stdout)] == [utc(end)])
    clock.set(end + 3 * WEEK)
    assert "token may be away" not in site.command("status", env=env).stdout


def test_sign_ahead_makes_them_now(site, spy, clock):
    made = served(site, clock)
    spy.forget()
    result = site.command("sign-ahead", "all", "4", json=True, env=clock.environment)
    assert json.loads(result.stdout) == [
        {"signed": 4 * made, "missing": 0, "away_until": utc(week_of(clock.now()) + 5 * WEEK)}]
    assert "%" not in result.stderr and "\r" not in result.output and "[#" not in result.output
    again = site.command("sign-ahead", "all", "4", json=True, env=clock.environment)
    assert json.loads(again.stdout)[0]["signed"] == 0
    spy.unplug()
    clock.pass_(4 * WEEK)
    Asked(site.start_server(env=clock.environment), clock).assert_served()


def test_sign_ahead_is_interrupted_and_goes_on(site, spy, clock):
    made = served(site, clock, pkcs11signer_sessions="1")
    spy.rules("C_Sign delay 300")
    spy.forget()
    argv = [programs.pdnsutil(), f"--config-dir={site.place.root / 'conf'}", "backend-cmd", "pkcs11signer",
            f"sign-ahead {ZONE}"]
    process = subprocess.Popen(
        argv, env=site.runner.environment_of(argv, clock.environment), stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **site.runner.identity.popen_arguments())
    try:
        wait_for("some signatures", lambda: spy.outcomes("C_Sign").count("0x0") >= 4)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
    site.transcript.add("interrupted", out + err)
    assert process.returncode not in (0, -signal.SIGINT), out + err
    assert "interrupted" in out + err and "goes on from there" in out + err
    first = spy.outcomes("C_Sign").count("0x0")
    assert 0 < first < made
    spy.rules()
    rest = json.loads(site.command("sign-ahead", ZONE, json=True, env=clock.environment).stdout)[0]
    assert rest["missing"] == 0
    assert made - first <= rest["signed"] <= made - 1, "the first ones are kept"


@pytest.mark.parametrize("words, text", [
    (("sign-ahead", ZONE, "9"), "WEEKS is a number"), (("sign-ahead", "a..b"), "not a domain name"),
    (("sign-ahead", "missing.test"), "missing.test"), (("budget", "a..b"), "not a domain name")])
def test_what_cannot_be_done_is_said(site, words, text):
    result = site.command(*words, check=False)
    assert result.returncode != 0
    assert text in result.output
