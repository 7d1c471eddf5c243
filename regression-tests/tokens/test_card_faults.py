# SPDX-License-Identifier: GPL-2.0-or-later
"""A card that is pulled, reset or given a wrong PIN, and a pcscd that is restarted: the server signs again
by itself, and the card is not locked."""
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import zones
from harness.card import LABEL, PIN, RESET_IS_NOTICED, SOON
from harness.deadline import wait_for
from harness.faults import Names, is_refused, is_signed, lines
from harness.speed import statistic
from harness.validate import assert_signed, keys_of

ZONE = zones.SIGNED
MODULE = "opensc-pkcs11"
BACK = 20.0
AT_ONCE = 2.0
TIMEOUT = "10000"  # longer than anything may take that is not to wait for it

READERS = pytest.mark.parametrize("reader", [0, 1], ids=["first-reader", "second-reader"])


def prepare(card, site, reader=0, slot=LABEL):
    card.insert(reader)
    card.initialize()
    site.add_zone(zones.many(ZONE, 400))
    for role in ("ksk", "zsk"):
        site.command("generate", ZONE, "ecdsa256", role, MODULE, slot, PIN, role)
    site.pdnsutil("rectify-zone", ZONE)
    site.set(pkcs11signer_timeout=TIMEOUT)


@pytest.fixture
def served(card, card_site):
    prepare(card, card_site)
    return Names(card_site.start_server(), ZONE, warm=20)


def wait_until_signed(names):
    wait_for("signature", names.cold_is_signed, BACK, SOON)


def assert_signed_after_reset(names):
    if RESET_IS_NOTICED:
        wait_until_signed(names)
    names.assert_cold_signed()


def assert_unharmed(card, names):
    """The card has not been given a wrong PIN, and the server is the one that was started."""
    names.server.assert_alive()
    names.assert_warm_answered()
    for _ in range(10):
        names.assert_cold_signed()
    assert card.tries_left() == 3
    assert statistic(names.server, "tokens-away") == 0


# -- pulled

@READERS
def test_pulled_and_put_back(card, card_site, reader):
    prepare(card, card_site, reader)
    names = Names(card_site.start_server(), ZONE, warm=20)
    for round_ in (1, 2, 3):
        card.pull()
        names.assert_cold_refused()
        for _ in range(3):
            assert names.assert_cold_refused() < AT_ONCE
            names.assert_warm_answered()
        verifies = card.counts()["verifies"]
        card.insert(reader)
        wait_until_signed(names)
        assert card.counts()["verifies"] <= verifies + 1
        assert_unharmed(card, names)
        assert statistic(names.server, "reconnects") == round_
    assert lines(names.server, LABEL, "is back")


def test_put_into_the_other_reader(card, served):
    """By label: the reader does not matter."""
    for reader in (1, 0):
        card.pull()
        served.assert_cold_refused()
        card.insert(reader)
        wait_until_signed(served)
        assert_unharmed(card, served)


@READERS
def test_by_number_it_must_be_the_same_reader(card, card_site, reader):
    prepare(card, card_site, reader, slot=4 * reader)
    names = Names(card_site.start_server(), ZONE, warm=5)
    card.pull()
    names.assert_cold_refused()
    card.insert(1 - reader)
    names.assert_cold_refused()
    card.pull()
    card.insert(reader)
    wait_until_signed(names)
    assert_unharmed(card, names)


def test_out_for_a_moment(card, served):
    """Perhaps nobody has looked while it was out."""
    for _ in range(3):
        card.pull()
        card.insert()
        wait_until_signed(served)
        assert_unharmed(card, served)


def test_pulled_under_load(card, served):
    card.signatures_take(20)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(served.ask_cold, timeout=40) for _ in range(200)]
        wait_for("some signatures", lambda: sum(each.done() for each in asked) > 20)
        card.pull()
        wait_for("some refusals", lambda: any(each.done() and is_refused(each.result()) for each in asked))
        card.insert()
        answers = [each.result() for each in asked]
    assert all(is_signed(answer) or is_refused(answer) for answer in answers)
    wait_until_signed(served)
    assert_unharmed(card, served)


# -- reset, and in use by others

def test_reset_by_another_program(card, served):
    """Whoever asks then does not notice."""
    for _ in range(5):
        resets = card.counts()["resets"]
        card.reset()
        assert card.counts()["resets"] > resets
        assert_signed_after_reset(served)
    assert_unharmed(card, served)


def test_reset_when_there_are_many_sessions(card, served):
    """OpenSC selects the card's application when it logs out, and not before: closing one of them is not enough."""
    card.signatures_take(20)
    with ThreadPoolExecutor(8) as pool:
        assert all(map(is_signed, pool.map(lambda _: served.ask_cold(timeout=40), range(50))))
    card.signatures_take(0)
    for _ in range(5):
        card.reset()
        assert_signed_after_reset(served)
    assert_unharmed(card, served)


def test_reset_before_the_first_login(card, card_site):
    """There is nothing to log out from: OpenSC must be made to look at the card anew."""
    prepare(card, card_site)
    path = card_site.place.root / "pin"
    set_pin(card_site, f"file:{path}")
    server = card_site.start_server()
    assert is_refused(server.ask(f"www.{ZONE}"))
    card.reset()
    card_site.place.file("pin", PIN)
    wait_for("signature", lambda: not is_refused(server.ask(f"www.{ZONE}", timeout=30)), BACK)
    assert_unharmed(card, Names(server, ZONE, warm=5))


def test_another_program_logs_in_and_out(card, served):
    for _ in range(5):
        assert card.labels() == ["ksk", "zsk"]
        served.assert_cold_signed()
    assert_unharmed(card, served)


def test_other_programs_use_the_card_under_load(card, served):
    """A signature is tried twice; that it is cut off twice by a reset is possible."""
    resets = 5
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(served.ask_cold, timeout=40) for _ in range(200)]
        for _ in range(resets):
            assert card.labels() == ["ksk", "zsk"]
            card.reset()
        answers = [each.result() for each in asked]
    refused = [answer for answer in answers if is_refused(answer)]
    assert len(refused) <= 2 * resets or RESET_IS_NOTICED, served.server.log[-4000:]
    for answer in answers:
        if answer not in refused:
            assert_signed(answer, served.keys)
    assert_signed_after_reset(served)
    assert_unharmed(card, served)


# -- pcscd

def test_pcscd_restarted(card, served):
    for _ in range(3):
        card.stop_pcscd()
        served.assert_cold_refused()
        assert served.assert_cold_refused() < AT_ONCE
        served.assert_warm_answered()
        card.start_pcscd()
        wait_until_signed(served)
        assert_unharmed(card, served)


def test_pcscd_restarted_while_nobody_asks(card, served):
    for _ in range(3):
        card.stop_pcscd()
        card.start_pcscd()
        wait_until_signed(served)
        assert_unharmed(card, served)


def test_pcscd_restarted_under_load(card, served):
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(served.ask_cold, timeout=40) for _ in range(100)]
        wait_for("some signatures", lambda: sum(each.done() for each in asked) > 10)
        card.stop_pcscd()
        card.start_pcscd()
        answers = [each.result() for each in asked]
    assert all(is_signed(answer) or is_refused(answer) for answer in answers)
    wait_until_signed(served)
    assert_unharmed(card, served)


# -- a server that was there first

@READERS
@pytest.mark.parametrize("missing", ["card", "pcscd", "both"])
def test_a_server_that_was_there_first(card, card_site, missing, reader):
    prepare(card, card_site, reader)
    if missing != "pcscd":
        card.pull()
    if missing != "card":
        card.stop_pcscd()
    server = card_site.start_server()
    for i in range(5):
        assert is_refused(server.ask(f"host{i}.{ZONE}", timeout=30))
    if missing != "card":
        card.start_pcscd()
    if missing != "pcscd":
        card.insert(reader)
    wait_for("signature", lambda: not is_refused(server.ask(f"host9.{ZONE}", timeout=30)), BACK)
    assert_unharmed(card, Names(server, ZONE, warm=5))


# -- PINs

def set_pin(site, pin):
    for row in site.database.key_rows(ZONE):
        site.database.set_content(row.id, row.content.replace(f"PIN: {PIN}\n".encode(), f"PIN: {pin}\n".encode()))


def test_a_wrong_pin_costs_one_try(card, card_site):
    prepare(card, card_site)
    wrong = card_site.transcript.secret("654~21")
    set_pin(card_site, wrong)
    verifies = card.counts()["verifies"]
    server = card_site.start_server()  # which gives it, before anybody asks
    for i in range(100):
        assert is_refused(server.ask(f"host{i}.{ZONE}", timeout=30))
    assert card.counts()["verifies"] == verifies + 1
    assert card.tries_left() == card.tries_left_by_opensc_tool() == 2
    listed = card.tool("pkcs11-tool", "--module", "opensc-pkcs11.so", "-L").stdout
    assert "user PIN count low" in listed
    assert len(lines(server, "PIN", LABEL)) >= 1

    # Neither another server nor pdnsutil tries it again.
    server.stop()
    assert card_site.command("check", check=False).returncode == 1
    server = card_site.start_server()
    for i in range(100):
        assert is_refused(server.ask(f"host{i}.{ZONE}", timeout=30))
    assert card.tries_left() == 2
    server.stop()


def test_the_right_pin_after_a_wrong_one(card, card_site):
    prepare(card, card_site)
    wrong = card_site.transcript.secret("654~21")
    server = card_site.start_server()
    names = Names(server, ZONE, warm=5)
    server.stop()
    set_pin(card_site, wrong)
    names.server = server = card_site.start_server()
    names.assert_cold_refused()
    assert card.tries_left() == 2
    for row in card_site.database.key_rows(ZONE):
        card_site.database.set_content(row.id, row.content.replace(b"PIN: 654~21\n", f"PIN: {PIN}\n".encode()))
    wait_until_signed(names)
    assert_unharmed(card, names)


def test_a_card_that_others_have_locked(card, served):
    """It is said so; what is warm goes on; with the officer's PIN it works again."""
    server = served.server
    server.stop()
    for _ in range(3):
        card.pkcs11("-O", pin="999999", check=False)
    assert card.tries_left() == 0
    served.server = server.site.start_server()
    served.assert_cold_refused()
    assert "locked" in served.server.log
    card.tool("pkcs11-tool", "--module", "opensc-pkcs11.so", "--login", "--login-type", "so",
              "--so-pin", "0123012301230123", "--init-pin", "--new-pin", PIN)
    assert card.tries_left() == 3
    wait_until_signed(served)
    assert keys_of(served.server, ZONE)
