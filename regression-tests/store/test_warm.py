# SPDX-License-Identifier: GPL-2.0-or-later
"""`warm`: what it has signed is what the server asks for, all of it, this week and later."""
import json
import os
import pty
import re
import select
import signal
from concurrent.futures import ThreadPoolExecutor

import dns.rcode
import dns.rdatatype
import pytest

from harness import programs, zones
from harness.deadline import wait_for
from harness.everything import Everything, strange
from harness.faults import is_refused
from harness.later import WEEK, environment
from harness.pdnsutil_names import record_name
from harness.speed import single_key, statistic
from harness.validate import assert_signed, keys_of

ZONE = zones.SIGNED
MODES = {"nsec": None, "nsec3": "1 0 3 abcd", "opt-out": "1 1 0 -"}


def rectified(site, zone: zones.Zone, mode: str = "nsec") -> Everything:
    if MODES[mode]:
        site.pdnsutil("set-nsec3", zone.name, MODES[mode])
    site.pdnsutil("rectify-zone", zone.name)
    return Everything(zone)


def secured(site, mode: str = "nsec", zone: zones.Zone | None = None) -> Everything:
    """A zone with a KSK and a ZSK that sign with a token, and everything in it."""
    zone = zone or strange()
    site.add_zone(zone)
    site.secure(zone.name, site.token("signing"))
    return rectified(site, zone, mode)


def warm(site, *words, **how) -> list[dict]:
    return json.loads(site.command("warm", *words, json=True, **how).stdout)


def server_without_token(site, weeks: int = 0):
    """One for which it is so many weeks later, and whose PKCS#11 module is not to be found."""
    site.hsm.add_module("softhsm2", site.place.root / "unplugged.so")
    return site.start_server(env=environment(weeks * WEEK) if weeks else None)


def assert_nothing_signed(server) -> None:
    for counter in ("signatures", "store-misses", "failures", "timeouts"):
        assert statistic(server, counter) == 0, counter
    assert statistic(server, "store-hits") > 0


# -- everything, on each database

@pytest.mark.parametrize("mode", MODES)
def test_a_server_without_the_token_answers_everything(any_site, mode):
    site = any_site
    everything = secured(site, mode)
    site.pdnsutil("set-publish-cds", ZONE, "1,2,4")
    site.pdnsutil("set-publish-cdnskey", ZONE)
    made, = warm(site, ZONE, "0")
    assert made["made"] > everything.names() / 4 and made["there"] == 0
    server = server_without_token(site)
    everything.assert_answered(server)
    assert_nothing_signed(server)
    server.stop()


def test_the_weeks_ahead_too(site):
    everything = secured(site, "nsec3")
    weeks = warm(site, ZONE, "2")
    assert len(weeks) == 3 and len({week["week"] for week in weeks}) == 3
    assert {week["made"] for week in weeks} == {weeks[0]["made"]} and weeks[0]["made"] > 50
    server = server_without_token(site, 1)
    everything.assert_answered(server)
    assert_nothing_signed(server)
    server.stop()
    server = server_without_token(site, 2)
    for name, rdtype, answer in everything.ask(server):  # not valid yet
        assert answer.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN), f"{name} {rdtype}:\n{answer}"
    assert_nothing_signed(server)
    server.stop()
    server = server_without_token(site, 3)
    assert is_refused(server.ask(f"www.{ZONE}")), "that week was not signed"
    server.stop()


# -- serials that change by the week

@pytest.mark.parametrize("kind", ["INCEPTION-INCREMENT", "INCREMENT-WEEKS", "INCEPTION-EPOCH", "NONE"])
@pytest.mark.parametrize("serial", ["1", "today", "4000000000"])
def test_the_serial_of_each_week(site, kind, serial):
    """`today`: a serial that INCEPTION-INCREMENT itself has set, and would go on from."""
    start = int(site.runner.run("date", "+%s").stdout) // WEEK * WEEK
    number = serial if serial != "today" else \
        site.runner.run("date", "-u", "-d", f"@{start}", "+%Y%m%d01").stdout.strip()
    text = zones.small(ZONE).text.replace("2023010101", number)
    secured(site, zone=zones.Zone(ZONE, text))
    site.pdnsutil("set-meta", ZONE, "SOA-EDIT", kind)
    weeks = warm(site, ZONE, "2")
    assert weeks[0]["made"] == weeks[2]["made"] and "left_out" not in weeks[0]
    serials = []
    for week in range(3):
        server = server_without_token(site, week)
        answer = server.ask(ZONE, "SOA")
        assert not is_refused(answer) and not is_refused(server.ask(f"missing.{ZONE}"))
        assert_nothing_signed(server)
        serials.append(next(r for r in answer.answer if r.rdtype == dns.rdatatype.SOA)[0].serial)
        server.stop()
    if kind == "NONE":
        assert set(serials) == {int(number)}
    elif serial == "1":
        assert len(set(serials)) == 3


def test_a_serial_that_nobody_knows_is_said(site):
    secured(site, zone=zones.small(ZONE))
    site.pdnsutil("set-meta", ZONE, "SOA-EDIT", "EPOCH")
    week, = warm(site, ZONE, "0")
    assert any("SOA-EDIT EPOCH" in what for what in week["left_out"])
    server = server_without_token(site)
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))
    assert is_refused(server.ask(ZONE, "SOA"))


# -- which keys sign what

def test_one_key_for_all(site):
    zone = strange()
    site.add_zone(zone)
    single_key(site, ZONE, site.token("signing"))
    everything = rectified(site, zone)
    warm(site, ZONE, "0")
    server = server_without_token(site)
    everything.assert_answered(server)
    assert_nothing_signed(server)


def test_two_algorithms_during_a_rollover(site):
    zone = strange()
    site.add_zone(zone)
    token = site.token("signing")
    for algorithm, kind in (("ecdsa256", "P-256"), ("rsasha256", "RSA-2048")):
        for role in ("ksk", "zsk"):
            token.make_key(f"{role} {algorithm}", kind)
            site.assign(ZONE, algorithm, role, token, f"{role} {algorithm}")
    everything = rectified(site, zone, "nsec3")
    warm(site, ZONE, "0")
    server = server_without_token(site)
    everything.assert_answered(server)
    assert_nothing_signed(server)
    algorithms = {s.algorithm for r in server.ask(f"www.{ZONE}").answer if r.rdtype == dns.rdatatype.RRSIG
                  for s in r}
    assert algorithms == {8, 13}


def test_a_key_that_is_not_active_signs_nothing(site, spy):
    secured(site, zone=zones.small(ZONE))
    token = site.token("another")
    token.make_key("standby")
    site.command("assign", ZONE, "ecdsa256", "zsk", "softhsm2", token.label, token.pin, "standby")
    standby = max(row.id for row in site.database.key_rows(ZONE))
    before, = warm(site, ZONE, "0")
    site.pdnsutil("deactivate-zone-key", ZONE, str(standby))
    site.command("store", "purge")
    after, = warm(site, ZONE, "0")
    assert after["made"] < before["made"]
    server = server_without_token(site)
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))
    assert_nothing_signed(server)


def test_only_the_ksk_is_on_the_token(site, spy):
    zone = zones.many(ZONE, 50)
    site.add_zone(zone)
    token = site.token("signing")
    token.make_key("ksk")
    site.assign(ZONE, "ecdsa256", "ksk", token, "ksk")
    site.pdnsutil("add-zone-key", ZONE, "zsk", "256", "active", "ecdsa256")
    everything = rectified(site, zone)
    spy.forget()
    week, = warm(site, ZONE, "0")
    assert week["made"] == 1 and any("ZSK is not on a token" in what for what in week["left_out"])
    server = server_without_token(site)
    everything.assert_answered(server)
    assert_nothing_signed(server)


# -- what is made when it is asked for

def test_what_cannot_be_signed_in_advance_is_said(site):
    more = 'made       LUA    A "\'192.0.2.99\'"\nelse       ALIAS  www.example.org.\n' \
           "hinted     HTTPS  1 . ipv4hint=auto\n"
    site.add_zone(strange(more=more))
    site.set(expand_alias="yes", enable_lua_records="yes", resolver="127.0.0.1")
    site.secure(ZONE, site.token("signing"))
    week, = warm(site, ZONE, "0")
    assert sorted(what.split(" ")[1] for what in week["left_out"]) == ["ALIAS", "LUA", "SVCB"]
    server = server_without_token(site)
    keys = keys_of(server, ZONE)
    for name in ("made", "else", "hinted"):  # that there is nothing else of the name
        answer = server.ask(f"{name}.{ZONE}", "TXT")
        assert answer.rcode() == dns.rcode.NOERROR and not answer.answer
        assert_signed(answer, keys)
    assert_signed(server.ask(f"www.{ZONE}"), keys)
    assert_nothing_signed(server)
    assert is_refused(server.ask(f"made.{ZONE}"))


def test_narrow_denies_types_of_names_that_exist(site):
    zone = strange()
    site.add_zone(zone)
    site.secure(ZONE, site.token("signing"))
    site.pdnsutil("set-nsec3", ZONE, "1 0 0 -", "narrow")
    site.pdnsutil("rectify-zone", ZONE)
    week, = warm(site, ZONE, "0")
    assert any("narrow" in what for what in week["left_out"])
    server = server_without_token(site)
    keys = keys_of(server, ZONE)
    for name, rdtype in (("www", "A"), ("www", "HINFO"), ("leaf.empty", "HINFO"), ("insecure", "DS"),
                         ("empty", "A"), ("old", "DNAME")):
        assert_signed(server.ask(f"{name}.{ZONE}", rdtype), keys)
    assert_nothing_signed(server)
    assert is_refused(server.ask(f"missing.mail.{ZONE}"))


# -- zones of other kinds

@pytest.mark.parametrize("kind", ["master", "slave"])
def test_kinds_of_zones(site, kind):
    everything = secured(site)
    site.pdnsutil("set-kind", ZONE, kind)
    warm(site, ZONE.upper() + ".", "0")
    server = server_without_token(site)
    everything.assert_answered(server)
    assert_nothing_signed(server)


def test_zones_with_nothing_to_do(site, spy):
    secured(site, zone=zones.small(ZONE))
    site.add_zone(zones.small(zones.PLAIN))
    site.pdnsutil("set-presigned", ZONE)
    spy.forget()
    said = site.command("warm", ZONE).stdout
    assert "the zone is presigned" in said and "can be served" not in said
    assert "no active key of the zone is on a token" in site.command("warm", zones.PLAIN).stdout
    assert spy.count("C_Sign") == 0
    absent = site.command("warm", "absent.test", check=False)
    assert absent.returncode == 1 and "no such zone" in absent.stderr


# -- as a command

def test_the_second_time_costs_nothing(site, spy):
    secured(site)
    first = warm(site, ZONE)
    spy.forget()
    second = warm(site, ZONE)
    assert [w["there"] for w in second] == [w["made"] for w in first]
    assert spy.count("C_Sign") == sum(w["made"] for w in second) == 0
    said = site.command("warm", ZONE, "1").stdout
    assert re.search(r"^WEEK +MADE +THERE$", said, re.M)
    assert re.search(rf"^{second[0]['week']} +0 +{second[0]['there']}$", said, re.M)
    assert f"{ZONE}. can be served from the store until " in said
    site.set(pkcs11signer_sign_ahead="2")
    more = warm(site, ZONE)
    assert [w["made"] for w in more] == [0, 0, first[0]["made"]]


def test_a_change_costs_what_has_changed(site, spy):
    secured(site)
    warm(site, ZONE, "0")
    site.pdnsutil("add-record", ZONE, record_name(ZONE, "www"), "AAAA", "2001:db8::81")
    spy.forget()
    week, = warm(site, ZONE, "0")
    assert week["made"] == spy.count("C_Sign") == 1


def test_what_was_signed_live_is_not_signed_again(site, spy):
    everything = secured(site)
    server = site.start_server()
    everything.assert_answered(server)
    server.stop()
    spy.forget()
    week, = warm(site, ZONE, "0")
    assert week["there"] > week["made"] == spy.count("C_Sign")
    assert week["made"] <= 5, "but for the few that no question asked for"


def test_all_sessions_sign(site, spy):
    """400 signatures of 20 ms: one session would take eight seconds."""
    secured(site, zone=zones.many(ZONE, 200))
    spy.rules("C_Sign delay 20")
    spy.forget()
    warm(site, ZONE, "0")
    opened = spy.count("C_OpenSession")
    assert opened >= 8, "pkcs11signer-sessions"


def pdnsutil_on_a_terminal(site, command: str, until: str, number: int) -> str:
    """What it says on a terminal that it shares with nobody; it gets the signal when it has said that."""
    argv = [programs.pdnsutil(), f"--config-dir={site.place.root / 'conf'}", "backend-cmd", "pkcs11signer",
            command]
    outer, inner = pty.openpty()
    process = site.runner.spawn(*argv, log=f"/proc/self/fd/{inner}", record=False)
    os.close(inner)
    said = b""
    sent = False
    while True:
        ready, _, _ = select.select([outer], [], [], 60)
        assert ready, f"it says no more: {said}"
        try:
            piece = os.read(outer, 65536)
        except OSError:
            break
        if not piece:
            break
        said += piece
        if not sent and re.search(until.encode(), said):
            process.process.send_signal(number)
            sent = True
    os.close(outer)
    process.wait()
    site.transcript.add("terminal", said.decode(errors="replace"))
    return said.decode(errors="replace")


def test_interrupted_and_taken_up_again(site, spy):
    hosts = 300
    secured(site, zone=zones.many(ZONE, hosts))
    spy.rules("C_Sign delay 40")
    spy.forget()
    said = pdnsutil_on_a_terminal(site, f"warm {ZONE} 0", r"[1-9][0-9] of \d+", signal.SIGINT)
    made, total = map(int, re.search(r"interrupted: (\d+) of (\d+) signatures made", said).groups())
    assert 10 <= made < total and total > 2 * hosts
    assert spy.count("C_Sign") == made
    assert re.search(r"\[#+\.+\] \d+ of \d+", said), "a bar"
    spy.rules()
    week, = warm(site, ZONE, "0")
    assert week["there"] == made and week["made"] == total - made
    assert spy.count("C_Sign") == total


def test_a_token_that_is_out_for_a_moment(site, spy):
    secured(site, zone=zones.many(ZONE, 100))
    spy.rules("C_Sign delay 20")
    spy.forget()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(warm, site, ZONE, "0")
        wait_for("the first signatures", lambda: spy.count("C_Sign") > 20)
        spy.unplug()
        wait_for("a call that fails", lambda: any(e.outcome not in ("0x0", "hangs") for e in spy.events()))
        spy.plug()
        week, = asked.result(120)
    assert week["made"] > 200 and week["there"] == 0


def test_a_store_that_is_too_small(site, spy):
    secured(site, zone=zones.many(ZONE, 3000))
    site.set(pkcs11signer_store_size="4")
    spy.forget()
    result = site.command("warm", ZONE, "1", check=False)
    assert result.returncode == 1 and spy.count("C_Sign") == 0
    needed = int(re.search(r"Set pkcs11signer-store-size to (\d+) or more", result.stderr)[1])
    site.set(pkcs11signer_store_size=str(needed))
    weeks = warm(site, ZONE, "1")
    again = warm(site, ZONE, "1")
    assert [w["made"] for w in again] == [0, 0] and again[1]["there"] == weeks[1]["made"] > 6000


@pytest.mark.parametrize("words,said", [
    ((), "1 or 2 arguments"), ((ZONE, "9"), "a number from 0 to 8"), ((ZONE, "x"), "a number from 0 to 8"),
    ((ZONE, "1", "2"), "1 or 2 arguments")])
def test_usage(site, words, said):
    result = site.command("warm", *words, check=False)
    assert result.returncode == 1 and said in result.stderr


def test_without_a_store(site, spy):
    secured(site, zone=zones.small(ZONE))
    site.set(pkcs11signer_store="none")
    spy.forget()
    result = site.command("warm", ZONE, check=False)
    assert result.returncode == 1 and "pkcs11signer-store=none" in result.stderr
    assert spy.count("C_Sign") == 0
