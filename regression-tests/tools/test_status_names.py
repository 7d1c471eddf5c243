# SPDX-License-Identifier: GPL-2.0-or-later
"""One token that rows name in several ways is one in `status` and in the statistics, and what they say of a token that
nobody asks is not older than a minute."""
import json

import pytest

from harness import later, zones
from harness.card import LABEL, PIN, SERIAL, SO_PIN
from harness.clock import Hurry
from harness.deadline import wait_for
from harness.faults import Names, is_refused, is_signed
from harness.speed import single_key, statistic, statistics
from harness.validate import keys_of

ZONES = [f"{name}.test" for name in ("label", "serial", "number", "uri")]
MINUTE = 60
OPENSC = "opensc-pkcs11"


def status(site) -> list[dict]:
    return json.loads(site.command("status", json=True).stdout)


def names_of(line: dict) -> set[str]:
    return {line["slot"], *line.get("other_names", [])}


def only(site, state: str) -> dict | None:
    found = status(site)
    return found[0] if [line["state"] for line in found] == [state] else None


def serve_by_names(site, token, names: list[str]):
    """A zone for each, all with keys on the token, and a server that has signed for all."""
    token.make_key("a key")
    for zone, name in zip(ZONES, names):
        site.add_zone(zones.small(zone))
        site.database.add_key_row(zone, site.reference(token, "a key", Slot=name))
        site.pdnsutil("rectify-zone", zone)
    site.set(pkcs11signer_timeout="10000")
    server = site.start_server(settings={"receiver-threads": "8"})
    for zone in ZONES[:len(names)]:
        wait_for("signature", lambda: is_signed(server.ask(f"www.{zone}")))
    return server


def test_a_token_of_four_names(site, spy):
    """Out and in again: one line, all the time, although one name alone is asked for."""
    token = site.token("signing")
    names = ["signing", token.serial, str(token.slot), f"pkcs11:token=signing;serial={token.serial}"]
    server = serve_by_names(site, token, names)
    line = wait_for("ready", lambda: only(site, "ready"))
    assert names_of(line) == set(names)
    assert (line["serial"], line["label"], line["model"]) == (token.serial, "signing", "SoftHSM v2")
    assert "old" not in line and line["seen"] >= line["since"]
    found = statistics(server)
    assert (found["tokens"], found["tokens-away"]) == (1, 0)
    text = site.command("status").stdout
    assert "OTHER NAMES" in text and text.count(token.serial) >= 2 and "(old)" not in text

    spy.unplug()
    assert is_refused(server.ask(f"ns1.{ZONES[0]}", timeout=30))
    line = wait_for("away", lambda: only(site, "away"))
    assert names_of(line) == set(names) and line["trouble"]
    assert (statistic(server, "tokens"), statistic(server, "tokens-away")) == (1, 1)
    spy.plug()
    wait_for("ready again", lambda: only(site, "ready"), MINUTE)
    wait_for("statistics", lambda: statistic(server, "tokens-away") == 0, MINUTE)


def test_tokens_that_share_a_label_or_nothing(site, spy):
    """Two tokens of one label, each by its serial: two."""
    tokens = [site.token("signing"), site.token("signing")]
    for zone, token in zip(ZONES, tokens):
        site.add_zone(zones.small(zone))
        token.make_key("a key")
        site.database.add_key_row(zone, site.reference(token, "a key", Slot=token.serial))
        site.pdnsutil("rectify-zone", zone)
    site.set(pkcs11signer_timeout="10000")
    server = site.start_server(settings={"receiver-threads": "8"})
    for zone in ZONES[:2]:
        wait_for("signature", lambda: is_signed(server.ask(f"www.{zone}")))
    lines = wait_for("both", lambda: [line for line in status(site) if line["state"] == "ready"][1:] and status(site))
    assert {line["serial"] for line in lines} == {token.serial for token in tokens}
    assert statistic(server, "tokens") == 2


def test_an_unasked_token(site, spy, place, hurry_library):
    """Nobody asks for it while its PIN is locked. A minute after it was seen last, what is shown is called old."""
    zone = zones.SIGNED
    site.add_zone(zones.many(zone, 5))
    single_key(site, zone, site.token("signing"))
    site.set(pkcs11signer_timeout="10000")
    hurry = Hurry(place, hurry_library)
    server = site.start_server(env=hurry.environment)
    keys_of(server, zone)
    before = wait_for("ready", lambda: only(site, "ready"))
    spy.rules("C_GetTokenInfo flags 0x40000")
    line = hurry.wait_for("word of the lock",
                          lambda: (found := only(site, "ready")) and found["pin"] == "locked" and found)
    assert line["seen"] > before["seen"] and "old" not in line
    assert statistic(server, "logins") == 1
    much_later = later.environment(2 * MINUTE)
    line, = json.loads(site.command("status", json=True, env=much_later).stdout)
    assert (line["state"], line["old"]) == ("ready", True)
    assert "  ready (old)  " in site.command("status", env=much_later).stdout


# -- a card

def serve_card(card, site):
    """A zone whose KSK and ZSK name the card in two ways."""
    card.insert()
    card.initialize()
    site.add_zone(zones.many(zones.SIGNED, 50))
    for role, name in (("ksk", LABEL), ("zsk", SERIAL)):
        site.command("generate", zones.SIGNED, "ecdsa256", role, OPENSC, name, PIN, role)
    site.pdnsutil("rectify-zone", zones.SIGNED)
    site.set(pkcs11signer_timeout="10000")
    return site.start_server()


@pytest.mark.long
def test_a_card_that_is_locked_and_unlocked_elsewhere(card, card_site):
    """With OpenSC's tools. The server sees both by itself, and tries no PIN on its own."""
    names = Names(serve_card(card, card_site), zones.SIGNED, warm=1)
    line = wait_for("ready", lambda: only(card_site, "ready"))
    assert names_of(line) == {LABEL, SERIAL} and line["serial"] == SERIAL
    for wrong in ("111~11", "222~22", "333~33"):
        card_site.transcript.secret(wrong)
        card.pkcs11("-O", pin=wrong, check=False)
    assert card.tries_left() == 0
    wait_for("no login", lambda: names.ask_cold(timeout=30) and "no-login" in [s["state"] for s in status(card_site)])
    wait_for("word of the lock", lambda: {s["pin"] for s in status(card_site)} == {"locked"}, MINUTE)
    logins = statistic(names.server, "logins")
    verifies = card.counts()["verifies"]
    card.tool("pkcs11-tool", "--module", "opensc-pkcs11.so", "--login", "--login-type", "so", "--so-pin", SO_PIN,
              "--init-pin", "--new-pin", PIN)
    line = wait_for("ready", lambda: (found := only(card_site, "ready")) and found["pin"] == "ok" and found, MINUTE)
    assert "trouble" not in line and names_of(line) == {LABEL, SERIAL}
    assert statistic(names.server, "logins") == logins
    assert card.counts()["verifies"] == verifies
    wait_for("signature", names.cold_is_signed)
    assert card.tries_left() == 3


@pytest.mark.long
def test_a_card_that_is_pulled_while_nobody_asks(card, card_site):
    server = serve_card(card, card_site)
    keys_of(server, zones.SIGNED)
    wait_for("signature", lambda: is_signed(server.ask(f"host0.{zones.SIGNED}")))
    wait_for("ready", lambda: only(card_site, "ready"))
    card.pull()
    line = wait_for("away", lambda: only(card_site, "away"), MINUTE)
    assert names_of(line) == {LABEL, SERIAL}
    assert (statistic(server, "tokens"), statistic(server, "tokens-away")) == (1, 1)
    card.insert()
    wait_for("ready", lambda: only(card_site, "ready"), MINUTE)
