# SPDX-License-Identifier: GPL-2.0-or-later
"""Signatures that outlive the process: a restart costs none, a token that is not there costs only
what was never asked for."""
import json
import time
from concurrent.futures import ThreadPoolExecutor

import dns.rcode
import dns.rdatatype
import pytest

from harness import zones
from harness.clock import DAY, WEEK, Clock, Uptime
from harness.deadline import wait_for
from harness.faults import is_refused, lines
from harness.speed import statistic, wait_for_statistic
from harness.validate import assert_delv, assert_signed, keys_of

ZONE = zones.SIGNED
HOSTS = 40
NEVER_ASKED = f"host{HOSTS}.{ZONE}"
NSEC3 = "1 0 0 -"
"""hash, flags, iterations, salt"""


def secured(site, spy, *, nsec3: str = "", pinned: bool = False, hosts: int = HOSTS):
    """A zone with a KSK and a ZSK, whose references name no public key unless `pinned`."""
    site.add_zone(zones.many(ZONE, hosts + 1))
    token = site.token("signing")
    if pinned:
        site.secure(ZONE, token)
    else:
        for role, flags in (("ksk", 257), ("zsk", 256)):
            token.make_key(f"{ZONE}-{role}")
            site.database.add_key_row(ZONE, site.reference(token, f"{ZONE}-{role}"), flags=flags)
    if nsec3:
        site.pdnsutil("set-nsec3", ZONE, nsec3)
    site.pdnsutil("rectify-zone", ZONE)
    spy.forget()
    return token


class Questions:
    """What is asked before and after: signed answers, and denials."""

    def __init__(self, hosts: int = HOSTS):
        self.names = [f"host{i}.{ZONE}" for i in range(hosts)]
        self.missing = [f"nothing{i}.{ZONE}" for i in range(10)]

    def assert_answered(self, server) -> None:
        keys = keys_of(server, ZONE)
        for name in self.names:
            assert_signed(server.ask(name), keys)
        for name in self.missing:
            answer = server.ask(name)
            assert answer.rcode() == dns.rcode.NXDOMAIN, answer
            assert {r.rdtype for r in answer.authority} & {dns.rdatatype.NSEC, dns.rdatatype.NSEC3}
            assert_signed(answer, keys)
        for name, rdtype in ((self.names[0], "TXT"), (ZONE, "SOA"), (ZONE, "NS")):
            answer = server.ask(name, rdtype)
            assert answer.rcode() == dns.rcode.NOERROR
            assert_signed(answer, keys)


@pytest.mark.parametrize("nsec3", ["", NSEC3], ids=["nsec", "nsec3"])
@pytest.mark.parametrize("pinned", [False, True], ids=["unpinned", "pinned"])
def test_after_a_restart_nothing_is_signed_again(site, spy, nsec3, pinned):
    secured(site, spy, nsec3=nsec3, pinned=pinned)
    questions = Questions()
    server = site.start_server()
    questions.assert_answered(server)
    assert spy.count("C_Sign") > HOSTS
    server.stop()
    spy.forget()
    server = site.start_server()
    questions.assert_answered(server)
    assert spy.count("C_Sign") == 0
    assert statistic(server, "signatures") == 0
    assert statistic(server, "store-hits") >= HOSTS
    assert statistic(server, "store-misses") == 0
    server.stop()
    assert lines(server, "store") == []


@pytest.mark.parametrize("nsec3", ["", NSEC3], ids=["nsec", "nsec3"])
@pytest.mark.parametrize("pinned", [False, True], ids=["unpinned", "pinned"])
def test_a_server_that_starts_without_the_token(site, spy, nsec3, pinned):
    secured(site, spy, nsec3=nsec3, pinned=pinned)
    questions = Questions()
    server = site.start_server()
    questions.assert_answered(server)
    delv = [(questions.names[0], False), (questions.missing[0], True)]
    for name, negative in delv:
        assert_delv(server, ZONE, name, negative=negative)
    shown = site.pdnsutil("show-zone", ZONE).stdout
    server.stop()
    spy.unplug()
    spy.forget()
    server = site.start_server()
    questions.assert_answered(server)
    for name, negative in delv:
        assert_delv(server, ZONE, name, negative=negative)
    assert spy.count("C_Sign") == spy.count("C_Login") == 0
    assert "missing or defunct" not in shown
    assert _without_log(site.pdnsutil("show-zone", ZONE).stdout) == _without_log(shown)
    taken = lines(server, "is taken from the signature store")
    assert len(taken) == (0 if pinned else 2), taken
    assert is_refused(server.ask(NEVER_ASKED)), "never asked for before"
    spy.plug()
    wait_for_statistic(server, "tokens-away", 0)
    assert_signed(server.ask(NEVER_ASKED), keys_of(server, ZONE))


def _without_log(text: str) -> list[str]:
    return [line for line in text.splitlines() if "[pkcs11signer]" not in line]


# -- several processes

def test_two_servers_share_a_store(site, spy):
    secured(site, spy)
    questions = Questions()
    servers = [site.start_server(), site.start_server()]
    questions.assert_answered(servers[0])
    made = spy.count("C_Sign")
    wait_for_statistic(servers[0], "store-queue", 0)
    questions.assert_answered(servers[1])
    assert spy.count("C_Sign") == made
    for server in servers:
        server.stop()
        assert lines(server, "store") == []


def test_the_server_of_a_guardian_has_it_open(site, spy):
    secured(site, spy)
    questions = Questions()
    for _ in range(2):
        spy.forget()
        server = site.start_server(settings={"guardian": "yes"})
        questions.assert_answered(server)
        # The guardian kills it without further ado.
        wait_for_statistic(server, "store-queue", 0)
        assert statistic(server, "store-signatures") >= HOSTS
        server.stop()
        assert lines(server, "store") == []
    assert spy.count("C_Sign") == 0


def test_what_is_not_wanted_is_not_there(site, spy):
    site.set(pkcs11signer_store="none")
    secured(site, spy)
    questions = Questions()
    server = site.start_server()
    questions.assert_answered(server)
    assert not (site.place.root / "state/signatures.lmdb").exists()
    assert statistic(server, "store-misses") == 0


@pytest.mark.parametrize("name,value,said", [
    ("store", "yes", "none of lmdb, mysql and none"),
    ("store-size", "3", "from 4 to 65536")])
def test_settings_that_make_no_sense(site, name, value, said):
    site.set(**{f"pkcs11signer-{name}": value})
    assert said in site.pdnsutil("list-all-zones", check=False).output


# -- a token that does not answer

def test_a_token_that_hangs_costs_no_stored_answer(site, spy):
    secured(site, spy)
    questions = Questions()
    server = site.start_server()
    questions.assert_answered(server)
    server.stop()
    site.set(pkcs11signer_timeout="500")
    server = site.start_server()
    keys_of(server, ZONE)
    spy.rules("C_Sign hang", "C_SignInit hang")
    questions.assert_answered(server)
    spy.rules()


# -- commands

def test_store_commands(site, spy):
    secured(site, spy)
    questions = Questions()
    server = site.start_server()
    questions.assert_answered(server)
    wait_for_statistic(server, "store-queue", 0)
    stored = statistic(server, "store-signatures")
    stats, = json.loads(site.command("store", "stats", json=True).stdout)
    assert stats["signatures"] == stored > HOSTS
    assert stats["expired"] == 0 and stats["public_keys"] == 2
    of_zone, = json.loads(site.command("store", "stats", f"{ZONE.upper()}.", json=True).stdout)
    assert of_zone["signatures"] == stored
    of_other, = json.loads(site.command("store", "stats", zones.OTHER, json=True).stdout)
    assert of_other["signatures"] == 0
    verified, = json.loads(site.command("store", "verify", json=True).stdout)
    assert verified == {"signatures": stored, "good": stored, "bad": 0, "of_unknown_keys": 0}
    assert "0 signatures deleted" in site.command("store", "purge", zones.OTHER).stdout
    assert f"{stored} signatures deleted" in site.command("store", "purge", ZONE).stdout
    wait_for_statistic(server, "store-signatures", 0)
    questions.assert_answered(server)  # from PowerDNS's memory, or made anew
    server.stop()
    assert site.command("store", "what", check=False).returncode == 1


# -- a clock that is wrong

@pytest.mark.parametrize("off,said", [(40 * DAY, "days ahead of"), (-time.time() + 1000, "days behind")],
                         ids=["ahead", "1970"])
def test_a_wrong_clock_costs_no_signature(site, spy, place, uptime_library, off, said):
    secured(site, spy)
    questions = Questions()
    server = site.start_server()
    questions.assert_answered(server)
    server.stop()
    clock = Clock(place)
    clock.set(time.time() + off)
    uptime = Uptime(place, uptime_library, clock)
    server = site.start_server(env=uptime.environment)
    stored = statistic(server, "store-signatures")
    wait_for("line in the log", lambda: lines(server, f"{said} the signatures in the store"))
    uptime.pass_(3601)
    time.sleep(4)  # it looks each second
    assert statistic(server, "store-signatures") == stored > HOSTS
    shown = site.command("status", env=uptime.environment).stdout
    assert f"{said} the signatures in the store: set it (NTP)" in shown
    server.stop()
    spy.forget()
    server = site.start_server()
    questions.assert_answered(server)
    assert spy.count("C_Sign") == 0
    assert "NTP" not in site.command("status").stdout


def test_what_has_expired_goes_after_an_hour(site, spy, place, uptime_library):
    """With a clock that others have too: signatures of that week outnumber the old ones."""
    secured(site, spy)
    clock = Clock(place)
    server = site.start_server(env=clock.environment)
    for i in range(5):
        server.ask(f"host{i}.{ZONE}")
    server.stop()
    clock.set(time.time() + 5 * WEEK)
    uptime = Uptime(place, uptime_library, clock)
    server = site.start_server(env=uptime.environment)
    for i in range(HOSTS):
        server.ask(f"host{i}.{ZONE}")
    wait_for_statistic(server, "store-queue", 0)
    stored = statistic(server, "store-signatures")
    uptime.pass_(3601)  # since this look the new ones are known
    wait_for("round", lambda: statistic(server, "store-expired") > 0 or uptime.pass_(3601), interval=3)
    assert statistic(server, "store-signatures") == stored - statistic(server, "store-expired") >= HOSTS


# -- a store that is full

SMALL = zones.OTHER
MISSING = 6000


def ask_all(server, names, rdtype: str = "A") -> None:
    with ThreadPoolExecutor(8) as pool:
        for answer in pool.map(lambda name: server.ask(name, rdtype), names):
            assert answer.rcode() != dns.rcode.SERVFAIL


def another_zone(site, hosts: int) -> list[str]:
    site.add_zone(zones.many(SMALL, hosts))
    site.secure(SMALL, site.token("another"))
    return [f"host{i}.{SMALL}" for i in range(hosts)]


def test_random_names_displace_nothing_that_recurs(site, spy):
    """Each makes PowerDNS make up an NSEC3 record, which will not be asked for again; two zones."""
    secured(site, spy, nsec3="")
    site.pdnsutil("set-nsec3", ZONE, NSEC3, "narrow")
    small = another_zone(site, 30)
    site.set(pkcs11signer_store_size="4")
    names = [f"host{i}.{ZONE}" for i in range(HOSTS)] + small
    server = site.start_server()
    keys = {zone: keys_of(server, zone) for zone in (ZONE, SMALL)}
    ask_all(server, names)
    ask_all(server, (f"random{i}.{ZONE}" for i in range(MISSING)))
    wait_for_statistic(server, "store-queue", 0)
    assert statistic(server, "store-evicted") > 0
    server.stop()
    assert json.loads(site.command("budget", json=True).stdout) and "LOST" not in site.command("budget").stdout
    spy.unplug()
    server = site.start_server()
    for name in names:
        assert_signed(server.ask(name), keys[SMALL if name in small else ZONE])
    for zone in keys:
        assert keys_of(server, zone) == keys[zone]


def test_a_large_zone_leaves_a_small_one_its_share(site, spy):
    """`budget` names the zone that has lost signatures for want of room."""
    hosts = 2800
    secured(site, spy, hosts=hosts)
    small = another_zone(site, 60)
    site.set(pkcs11signer_store_size="4")
    server = site.start_server()
    keys = {zone: keys_of(server, zone) for zone in (ZONE, SMALL)}
    ask_all(server, small)
    for rdtype in ("A", "TXT"):
        ask_all(server, (f"host{i}.{ZONE}" for i in range(hosts)), rdtype)
    wait_for_statistic(server, "store-queue", 0)
    lost = {row["zone"].rstrip("."): row.get("lost", 0) for row in json.loads(site.command("budget", json=True).stdout)}
    assert lost[ZONE] > 300 and lost[SMALL] == 0, lost
    told = site.command("budget").stdout
    assert "1 zone has lost signatures for want of room" in told and "Raise pkcs11signer-store-size" in told
    assert "for want of room" not in site.command("budget", SMALL).stdout
    server.stop()
    spy.unplug()
    server = site.start_server()
    for name in small:
        assert_signed(server.ask(name), keys[SMALL])
    for zone in keys:
        assert keys_of(server, zone) == keys[zone]
