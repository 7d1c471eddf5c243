# SPDX-License-Identifier: GPL-2.0-or-later
"""Until when the token may be away is said, by `budget`, `status` and `warm`; it is so, for zones, settings,
changes and weeks made by chance.

    P11S_CASES=100 P11S_SEED=1 /usr/bin/python3 -m pytest -n 2 regression-tests/store/test_promises.py -k chance

has a hundred cases from seed 1 on. What fails is made shorter and printed as a script."""
import calendar
import itertools
import json
import os
import re
import shutil
import time

import pytest

from harness import programs
from harness.backends import Gsqlite3
from harness.case import (
    BASE, BELOW_A_CUT, BROKEN, LONGER, ODD_NAMES, SETTLED, SPREAD, Case, ZoneCase, random_case, shorter)
from harness.clock import DAY, WEEK, week_of
from harness.life import LONGER_SINCE, Life
from harness.place import Place
from harness.runner import Runner
from harness.sanitizer import Sanitizer
from harness.site import Site
from harness.speed import statistic

SEED = int(os.environ.get("P11S_SEED", "1"))
CASES = int(os.environ.get("P11S_CASES", "0"))
SHRINK_SECONDS = float(os.environ.get("P11S_SHRINK", "90"))
SEEDS = range(SEED, SEED + CASES) if CASES else (5, 12, 33)

_numbers = itertools.count()


def moment_of(text: str) -> int | None:
    """Of `2026-12-10 00:00 UTC`, seconds since 1970; 0: now. None: it is not stated."""
    found = re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", text or "")
    if found:
        return calendar.timegm(time.strptime(found[0], "%Y-%m-%d %H:%M UTC"))
    return 0 if text == "now" else None


def utc(moment: float) -> str:
    return "now" if moment == 0 else time.strftime("%a %Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


class Promise:
    """Of one zone: which questions are answered until when. exactly: not a moment longer."""

    def __init__(self, life: Life, source: str, zone: str, until: int, questions: list, exactly: bool):
        self.life = life
        self.source = source
        self.zone = zone
        self.until = until
        self.questions = questions
        self.exactly = exactly
        self.over = False

    def look(self) -> list[str]:
        """What is not as it was said."""
        now = self.life.clock.now()
        failures = {q: why for q in self.questions if (why := self.life.failure(self.zone, q))}
        said = f"{self.source} said {utc(self.until)} for {self.zone}; without the token, at {utc(now)},"
        if now < self.until and failures and not self.over:
            self.over = True
            return [f"{said} {len(failures)} of {len(self.questions)} that were served are not:" + "".join(
                f"\n  {' '.join(question)}: {why}" for question, why in [*failures.items()][:8])]
        if now >= self.until and not self.over:
            self.over = True
            if self.exactly and not failures:
                return [f"{said} all {len(self.questions)} that were served still are"]
        return []


def warmed(life: Life, zone: str, wrong: list[str]) -> list[Promise]:
    """What `warm` says of a zone."""
    if life.serial_of(zone) is None:
        return []
    result = life.site.command("warm", zone, life.case.warm, env=life.clock.environment, check=False)
    left_out = re.findall(r"^Not signed: (.*)$", result.stdout, re.M)
    until = re.search(r"can be served from the store until (\S+ \S+ UTC)", result.stdout)
    if result.returncode != 0:
        wrong.append(f"warm {zone} failed: {result.stderr[result.stderr.find('Error:'):]}")
    elif until is None and not left_out and life.is_signed(zone):
        wrong.append(f"warm {zone} said nothing: {result}")
    elif BROKEN in life.case.zone(zone).records and not any(f"{BROKEN[0]}.{zone}" in text for text in left_out) \
            and life.is_signed(zone):
        wrong.append(f"warm {zone} does not say what is broken: {result}")
    if until is None:
        return []
    return [Promise(life, "warm", zone, moment_of(until[1]), [
        q for q, a in answers_of(life, zone).items() if not is_left_out(q, a, left_out)], exactly=False)]


def is_left_out(question, answer, left_out: list[str]) -> bool:
    for text in left_out:
        if text.startswith("everything"):
            return True
        if "SOA" in text and any(signed.rdtype == "SOA" for signed in answer.signed):
            return True
        if "narrow" in text and any(signed.is_made_up for signed in answer.signed):
            return True
        if "transfer" in text and question[1] == "AXFR":
            return True
    return False


def budgeted(life: Life, wrong: list[str]) -> list[Promise]:
    """What `budget` says, and `status`, which says the least of it."""
    env = life.clock.environment
    rows = json.loads(life.site.command("budget", json=True, env=env).stdout or "[]")
    rows = [row for row in rows if row.get("served", 1) > 0]
    stated = {row["zone"].rstrip("."): moment_of(row["away_until"]) for row in rows}
    known = [until for until in stated.values() if until is not None]
    in_all = {moment_of(row["away_until"]) for row in json.loads(life.site.command("status", json=True, env=env).stdout)
              if row.get("away_until")}
    if in_all not in ({min(known, default=None)}, {None}, set()):
        wrong.append(f"status says {in_all}, budget {rows}")
    promises = []
    for zone in life.zones:
        served = served_of(life, zone)
        if zone in stated and not life.is_signed(zone):
            wrong.append(f"{zone} has no signed answers; budget says {rows}")
        elif served and zone not in stated:
            wrong.append(f"nothing of {zone} is in budget: {rows}")
        elif served and stated[zone] is None and not any(
                type(text) is str and text for name, text in rows[[*stated].index(zone)].items()
                if name not in ("zone", "away_until")):
            wrong.append(f"budget does not say why nothing is stated of {zone}: {rows}")
        elif served and stated[zone] is not None:
            # What warm has signed counts as served.
            promises.append(Promise(life, "budget", zone, stated[zone], served, exactly=life.case.warm is None))
    return promises


def answers_of(life: Life, zone: str) -> dict:
    """Those for which the zone's keys have signed, and no other zone's: a child's, for instance."""
    return {question: answer for question, answer in life.expected[zone].items()
            if all(signed.zone == zone for signed in answer.signed)}


def served_of(life: Life, zone: str) -> list:
    return [question for question, answer in answers_of(life, zone).items() if life.was_served(answer)]


def counted(life: Life) -> list[Promise]:
    """What the server's own statistic says, once it has looked."""
    if not life.case.weeks or not life.has_settled:
        return []
    until = statistic(life.server, "ahead-until")
    return [Promise(life, "ahead-until", zone, until, served_of(life, zone), exactly=False) for zone in life.zones]


def moments_of(promises: list[Promise], now: float) -> list[float]:
    """Now, behind each turn of the week, and around each end."""
    moments = {now}
    for until in {promise.until for promise in promises}:
        moments |= {turn + 120 for turn in range(week_of(now) + WEEK, until, WEEK)} | {until - 60, until + 60}
    return sorted(moment for moment in moments if moment >= now)


def check(life: Life) -> tuple[list[str], dict[str, int | None]]:
    """What was said and is not so; and until the end of which week budget said that zones are served, 1 being
    the one that it was then, 0 "now"."""
    wrong = []
    if life.strays:
        wrong.append(f"signed ahead with keys that no row names: {sorted(life.strays)}")
    life.wait_until_signed_ahead()
    life.ask_reference()
    promises = counted(life)
    if life.case.warm is not None:
        for zone in life.zones:
            promises += warmed(life, zone, wrong)
    life.spy.unplug()
    stated = budgeted(life, wrong)
    promises += stated
    weeks = {promise.zone: max(0, (promise.until - week_of(life.clock.now())) // WEEK) for promise in stated}
    if life.case.restarts:
        life.restart()
    for moment in moments_of(promises, life.clock.now()):
        life.clock.set(moment)
        for promise in promises:
            wrong += promise.look()
    return wrong, weeks


@pytest.fixture
def run(base, identity, transcript, early_library, spy_library, hurry_library):
    """Runs a case, in a directory of its own: what check() returns."""
    def run(case: Case) -> tuple[list[str], dict]:
        place = Place(base / f"case{next(_numbers)}", identity)
        runner = Runner(place.root, identity, transcript, Sanitizer(place, transcript, early_library))
        site = Site(place, runner, Gsqlite3(place))
        try:
            found = check(Life(site, case, spy_library, hurry_library))
        finally:
            site.discard()
        runner.sanitizer.assert_clean()
        if not os.environ.get("P11S_KEEP"):
            shutil.rmtree(place.root, ignore_errors=True)
        return found
    programs.our_module()
    yield run
    transcript.assert_no_secret()


def shrunk(run, case: Case) -> tuple[Case, list[str]]:
    end = time.monotonic() + SHRINK_SECONDS
    wrong, left = [], shorter(case)
    while time.monotonic() < end and (smaller := next(left, None)):
        try:
            still, _ = run(smaller)
        except AssertionError:
            continue
        if still:
            case, wrong, left = smaller, still, shorter(smaller)
    return case, wrong


def assert_kept(run, case: Case) -> dict:
    wrong, weeks = run(case)
    if wrong:
        smaller, less = shrunk(run, case)
        pytest.fail("\n".join([*wrong, str(case), *(["", "shorter:", *less, str(smaller)] if less else [])]),
                    pytrace=False)
    return weeks


@pytest.mark.parametrize("seed", SEEDS)
def test_by_chance(run, seed):
    assert_kept(run, random_case(seed))


# -- what was not kept once

WWW = ("www", "A", "192.0.2.80")
# The case, and the weeks that budget has to state by zone; less would be kept easily.
KNOWN = {
    "serials that turn with the week": (Case((
        ZoneCase("a.test", soa_edit="INCEPTION-INCREMENT"), ZoneCase("b.test"),
        ZoneCase("c.test", soa_edit="EPOCH")), (
        ("ask", "a.test", "all"), ("ask", "b.test", "all"), ("ask", "c.test", "all"), ("ahead", 1),
    ), settings={"default-soa-edit-signed": "INCREMENT-WEEKS"}), {"a.test": 2, "b.test": 2, "c.test": 0}),
    "there and back": (Case((ZoneCase("a.test", (*BASE, WWW)),), (
        ("ask", "a.test", "all"), ("pass", DAY), ("set", "a.test", "www", "A", 3600, "198.51.100.1"), ("pass", SETTLED),
        ("ask", "a.test", "all"), ("set", "a.test", "www", "A", 3600, WWW[2]), ("pass", SETTLED),
        ("ask", "a.test", "all"), ("ahead", 2))), {"a.test": 3}),
    "CDS, when the ZSK has not signed for days": (Case((ZoneCase("a.test", cds=True),), (
        ("ask", "a.test", "all"), ("pass", 3 * DAY), ("restart",), ("ask", "a.test", "DNSKEY"), ("ahead", 2))),
        {"a.test": 3}),
    "what is no zone's any more": (Case((ZoneCase("a.test"), ZoneCase("b.test"), ZoneCase("c.test")), (
        ("ask", "a.test", "all"), ("ask", "b.test", "all"), ("ask", "c.test", "all"), ("disable", "b.test"),
        ("delete", "c.test"), ("pass", SETTLED), ("ask", "a.test", "all"))), {"a.test": 1}),
    "a key that is gone": (Case((ZoneCase("a.test"),), (
        ("ask", "a.test", "all"), ("add key", "a.test", "zsk", "new"), ("remove", "a.test", "a.test-zsk"),
        ("pass", SETTLED), ("ask", "a.test", "all"), ("ahead", 1))), {"a.test": 2}),
    "an RRset that is gone when the week turns": (Case((ZoneCase("a.test", (*BASE, WWW)),), (
        ("ask", "a.test", "all"), ("turn", 3600), ("set", "a.test", "www", "A", 3600), ("pass", SETTLED),
        ("ask", "a.test", "all"))), {"a.test": 1}),
    "an RRset that changed, and nobody asked for it": (Case((ZoneCase("a.test", (*BASE, ("@", "TXT", '"old"'))),), (
        ("ask", "a.test", "DNSKEY"), ("ask", "a.test", "TXT"), ("turn", 3600),
        ("set", "a.test", "@", "TXT", 3600, '"new"'), ("pass", SETTLED), ("ask", "a.test", "DNSKEY"))), {"a.test": 1}),
    "CDS that are published no more": (Case((ZoneCase("a.test", cds=True),), (
        ("ask", "a.test", "all"), ("cds", "a.test"), ("turn", 3600), ("ask", "a.test", "all"))), {"a.test": 1}),
    "CDS with another digest": (Case((ZoneCase("a.test", cds=True),), (
        ("ask", "a.test", "all"), ("cds", "a.test", "4"), ("turn", 3600), ("ask", "a.test", "all"))), {"a.test": 1}),
    "DNSKEY with one more key": (Case((ZoneCase("a.test"),), (
        ("ask", "a.test", "all"), ("add key", "a.test", "zsk", "new"), ("pass", SETTLED), ("turn", 3600),
        ("ask", "a.test", "all"))), {"a.test": 1}),
    "DNSKEY with one more key, and without": (Case((ZoneCase("a.test", cds=True),), (
        ("ask", "a.test", "all"), ("add key", "a.test", "zsk", "new"), ("pass", SETTLED), ("ask", "a.test", "all"),
        ("remove", "a.test", "new"), ("pass", SETTLED), ("turn", 3600), ("ask", "a.test", "all"))), {"a.test": 1}),
    "another kind of denial": (Case((ZoneCase("a.test"),), (
        ("ask", "a.test", "all"), ("denial", "a.test", "nsec3"), ("pass", SETTLED), ("turn", 3600),
        ("ask", "a.test", "all"))), {"a.test": 1}),
    "NSEC3 with another salt, and back to NSEC": (Case((ZoneCase("a.test", denial="nsec3"),), (
        ("ask", "a.test", "all"), ("denial", "a.test", "opt-out"), ("pass", SETTLED), ("ask", "a.test", "all"),
        ("denial", "a.test", "nsec"), ("pass", SETTLED), ("turn", 3600), ("ask", "a.test", "all"))), {"a.test": 1}),
    "keys that no row names, where rows pin none": (Case((ZoneCase("a.test", cds=True, assigned=False),), (
        ("ask", "a.test", "all"), ("delete", "a.test"), ("pass", SETTLED), ("create", "a.test"), ("pass", SETTLED),
        ("turn", 3600), ("ask", "a.test", "all"))), {"a.test": 1}),
    "warm": (Case((
        ZoneCase("a.test", (*BASE, ("x.y.gov", "NS", "ns1")), denial="opt-out"), ZoneCase("b.test", (*BASE, BROKEN)),
        ZoneCase("c.test", (*BASE, *BELOW_A_CUT)), ZoneCase("d.test", (*BASE, *ODD_NAMES))), warm=1), {}),
}
if programs.pdns_number() >= LONGER_SINCE:
    KNOWN["a longer validity"] = (Case((ZoneCase("a.test"),), (("ask", "a.test", "all"), ("ahead", 1)),
                                       settings={LONGER: str(3 * DAY)}), {"a.test": 2})
    KNOWN["serials that change within the week"] = (
        Case((ZoneCase("a.test", soa_edit="INCEPTION-INCREMENT"), ZoneCase("b.test", soa_edit="INCREMENT-WEEKS")), (
            ("ask", "a.test", "all"), ("ask", "b.test", "all"), ("ahead", 2)),
            settings={SPREAD: str(2 * DAY), LONGER: str(3 * DAY)}, warm=2), {"a.test": 3, "b.test": 3})


@pytest.mark.parametrize("what", KNOWN)
def test_known(run, what):
    case, weeks = KNOWN[what]
    assert assert_kept(run, case) == weeks
