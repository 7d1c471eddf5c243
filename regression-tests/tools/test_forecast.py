# SPDX-License-Identifier: GPL-2.0-or-later
"""`forecast`: how long a token takes for a week's signatures, from what it was seen to do."""
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import zones
from harness.deadline import wait_for
from harness.speed import statistic, wait_for_statistic

ZONE = zones.SIGNED
HOSTS = 60


def forecast(site, *words, **how) -> list[dict]:
    return json.loads(site.command("forecast", *words, json=True, **how).stdout)


def secured(site, hosts: int = HOSTS):
    site.add_zone(zones.many(ZONE, hosts))
    token = site.token("signing")
    site.secure(ZONE, token)
    return token


def ask_all(server, threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for answer in pool.map(server.ask, [f"host{i}.{ZONE}" for i in range(HOSTS)]):
            assert answer.answer


def test_from_what_the_running_server_has_signed(site, spy):
    """50 ms a signature, one question at a time: less than 20 a second."""
    token = secured(site)
    server = site.start_server()
    spy.rules("C_Sign delay 50")
    ask_all(server, 1)
    wait_for_statistic(server, "store-queue", 0)
    signatures = statistic(server, "signatures")
    wait_for("a report", lambda: "rate" in forecast(site)[0], 60)
    it, = forecast(site)
    assert it["slot"] == token.label and it["module"] == "softhsm2"
    assert it["week"] == statistic(server, "store-signatures") and it["week"] >= signatures - 1
    assert it["of_keys"] <= 1
    assert 0.5 < it["rate"] < 20 and it["sessions"] < 1.5
    assert it["refill_seconds"] == pytest.approx(it["week"] / it["rate"], rel=0.1, abs=2)
    assert it["ahead_seconds"] == pytest.approx(2 * it["refill_seconds"], abs=3)
    assert it["keeps_up"] == "yes" and it["advice"]
    said = site.command("forecast").stdout
    assert re.search(r"^MODULE +SLOT +WEEK", said, re.M) and f"\n{token.label} (module softhsm2):\n  - " in said
    server.stop()
    it, = forecast(site)
    assert it["keeps_up"] == "unknown" and "rate" not in it, "the server that knew is gone"
    assert any("--measure" in line for line in it["advice"])


def test_all_of_a_zone(site, spy):
    """Not only what was asked for; and what the KSK alone would have to do."""
    secured(site)
    spy.forget()
    it, = forecast(site, ZONE)
    assert it["week"] > 2 * HOSTS and it["of_keys"] == 1
    assert spy.count("C_Sign") <= 2, "to find out whose keys they are"
    week, = json.loads(site.command("warm", ZONE, "0", json=True).stdout)
    assert it["week"] == week["made"] + week["there"]


def test_measured_now(site, spy):
    """A token that does one signature at a time, and one that does eight."""
    token = secured(site)
    spy.rules("C_Sign delay 30")
    spy.forget()
    it, = forecast(site, ZONE, "--measure")
    assert 10 < spy.count("C_Sign") < 100
    assert it["slot"] == token.label
    assert it["sessions"] > 1.5 and it["rate"] > 33
    assert it["refill_seconds"] < 10 and len(it["advice"]) == 1, "what is done so soon need not be done sooner"
    site.set(pkcs11signer_sessions="1")
    it, = forecast(site, ZONE, "--measure")
    assert 1 < it["rate"] <= 34 and it["sessions"] == 1
    assert it["refill_seconds"] >= it["week"] // 34


def test_two_tokens(site, spy):
    secured(site)
    other = site.token("other")
    site.add_zone(zones.small(zones.OTHER))
    site.secure(zones.OTHER, other)
    found = {it["slot"]: it for it in forecast(site, "--measure")}
    assert set(found) == {"signing", "other"}
    it, = forecast(site, zones.OTHER)
    assert it["slot"] == "other" and it["week"] < 20


def test_what_cannot_be_said(site, spy):
    site.add_zone(zones.small(ZONE))
    assert "no key is on a token" in site.command("forecast").stdout
    assert "unknown option" in site.command("forecast", "--what", check=False).stderr
    assert "0 or 1 arguments" in site.command("forecast", ZONE, zones.OTHER, check=False).stderr
    assert "no such zone" in site.command("forecast", "absent.test", check=False).stderr
    site.secure(ZONE, site.token("signing"))
    spy.unplug()
    result = site.command("forecast", "--measure", check=False)
    assert result.returncode == 1 and "signing" in result.stderr
