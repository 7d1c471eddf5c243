# SPDX-License-Identifier: GPL-2.0-or-later
"""A server that starts logs in and finds its keys before a query needs them."""
import time

import pytest

from harness import zones
from harness.backends import Bind
from harness.deadline import PATIENCE, wait_for
from harness.faults import is_refused, is_signed
from harness.wrong_pins import put_row, wrong  # noqa: F401: a fixture

ZONE, OTHER = zones.SIGNED, zones.OTHER
KEYPAD = "C_GetTokenInfo flags 0x100"  # CKF_PROTECTED_AUTHENTICATION_PATH
SEARCHES = "C_FindObjectsInit"


@pytest.fixture
def token(site, spy):
    """With a zone and its two keys."""
    site.set(pkcs11signer_prepare=None)  # the default
    site.add_zone(zones.many(ZONE, 20))
    token = site.token()
    site.secure(ZONE, token)
    spy.forget()
    return token


def first_is_ready(site, spy, name=f"host1.{ZONE}", **how):
    """A server whose first signed answer makes no login, and looks for no key."""
    server = site.start_server(**how)
    wait_for("two keys that are found", lambda: spy.count(SEARCHES) == 4)  # a private and a public half each
    assert spy.count("C_Login") == 1
    time.sleep(0.2)  # for what should not come
    spy.forget()
    assert is_signed(server.ask(name))
    assert spy.count("C_Sign") == 1
    assert spy.count("C_Login") == spy.count(SEARCHES) == 0
    return server


@pytest.mark.parametrize("guardian", ["no", "yes"])
def test_the_first_query_makes_no_login(site, spy, token, guardian):
    first_is_ready(site, spy, settings={"guardian": guardian})


def test_the_first_query_makes_no_login_with_the_store_of_an_earlier_start(site, spy, token):
    first_is_ready(site, spy).stop()
    spy.forget()
    first_is_ready(site, spy, f"host2.{ZONE}")


def test_bind_that_makes_backends_of_its_own(site, spy, token):
    """With bind-hybrid, while it is made."""
    bind = Bind(site.place)
    site.settings.update(bind.settings(), **{"bind-hybrid": "yes"})
    del site.settings["bind-dnssec-db"]
    bind.add_zone(site, zones.many(ZONE, 20))
    site.write_configuration("conf", "pkcs11signer,bind,gsqlite3")
    first_is_ready(site, spy)


def test_not_when_it_is_not_wanted(site, spy, token):
    site.set(pkcs11signer_prepare="no")
    server = site.start_server()
    time.sleep(0.5)
    assert spy.count("C_OpenSession") == 0
    assert is_signed(server.ask(f"host1.{ZONE}"))
    assert spy.count("C_Login") == 1


def test_pdnsutil_does_not(site, spy, token):
    site.pdnsutil("list-all-zones")
    site.pdnsutil("list-keys", ZONE)
    assert spy.count("C_Login") == 0


def test_a_wrong_pin_is_tried_once(site, spy, token, wrong):
    """By the first start; neither by the queries, nor by another start."""
    site.add_zone(zones.small(OTHER))
    for zone in (ZONE, OTHER):
        for row in site.database.key_rows(zone):
            site.database.set_content(row.id, site.reference(token, f"{ZONE}-zsk", PIN=wrong))
    put_row(site, token, wrong)
    for _ in range(2):
        server = site.start_server()
        wait_for("login", lambda: spy.count("C_Login") == 1)
        assert is_refused(server.ask(f"host1.{ZONE}"))
        server.stop()
    assert spy.count("C_Login") == 1


def test_a_wrong_pin_is_not_tried_when_that_would_be_forgotten(site, spy, token, wrong):
    """A server that is started again and again must not lock the token."""
    for row in site.database.key_rows(ZONE):
        site.database.set_content(row.id, site.reference(token, f"{ZONE}-zsk", PIN=wrong))
    site.set(pkcs11signer_state_dir="")
    for number in range(3):
        server = site.start_server()
        wait_for("session", lambda: spy.count("C_OpenSession") > number)
        server.stop()
    assert spy.count("C_Login") == 0


def test_nobody_is_called_to_a_keypad(site, spy, token):
    spy.rules(KEYPAD)
    site.start_server()
    wait_for("session", lambda: spy.count("C_OpenSession") > 0)
    time.sleep(0.2)
    assert spy.count("C_Login") == 0


def test_a_login_that_hangs_does_not_keep_the_server_from_starting(site, spy, token):
    site.add_zone(zones.small(OTHER))
    spy.rules("C_Login hang")
    begun = time.monotonic()
    server = site.start_server()
    assert server.ask(f"www.{OTHER}").answer
    assert time.monotonic() - begun < 10 * PATIENCE
    spy.rules()
    wait_for("signed answer", lambda: is_signed(server.ask(f"host1.{ZONE}")))
    server.stop()
