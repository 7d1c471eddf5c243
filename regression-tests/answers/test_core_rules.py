# SPDX-License-Identifier: GPL-2.0-or-later
"""The two rules that hold the design: no PowerDNS thread in PKCS#11, and no PKCS#11
call for a warm answer."""
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import zones
from harness.deadline import wait_for
from harness.validate import assert_signed, keys_of

ZONE = zones.SIGNED


@pytest.fixture
def server(site, spy):
    site.add_zone(zones.many(ZONE, 40))
    site.secure(ZONE, site.token())
    return site.start_server()


def test_a_warm_answer_makes_no_pkcs11_call(server, spy):
    keys = keys_of(server, ZONE)
    questions = [(f"www.{ZONE}", "A"), (ZONE, "SOA"), (ZONE, "DNSKEY"), (f"missing.{ZONE}", "A")]
    for name, rdtype in questions:
        assert_signed(server.ask(name, rdtype), keys)
        server.ask(name, rdtype, tcp=True)
    assert spy.count("C_Sign") > 0, "the spy saw nothing"

    spy.forget()
    for _ in range(10):
        for name, rdtype in questions:
            server.ask(name, rdtype)
            server.ask(name, rdtype, tcp=True)

    assert spy.calls() == []


def test_a_warm_answer_makes_no_pkcs11_call_after_the_key_was_read_anew(server, spy):
    """PowerDNS forgets keys and signatures apart from each other."""
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))
    server.control("purge", f"{ZONE}$")
    server.ask(f"www.{ZONE}")
    spy.forget()
    server.control("purge", f"{ZONE}$")
    assert server.ask(f"www.{ZONE}").answer
    assert spy.calls() == []


def test_one_signature_costs_one_signature(server, spy):
    keys = keys_of(server, ZONE)
    server.ask(f"www.{ZONE}")
    spy.forget()
    assert_signed(server.ask(f"host1.{ZONE}"), keys)
    assert spy.count("C_Sign") == 1
    assert spy.count("C_Login") == 0


def test_no_powerdns_thread_enters_pkcs11(server, spy):
    spy.forget()
    keys = keys_of(server, ZONE)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: server.ask(f"host{i % 40}.{ZONE}", tcp=i % 2 == 0), range(80)))
    for answer in answers:
        assert_signed(answer, keys)
    server.transfer(ZONE)
    server.api("GET", f"/zones/{ZONE}./cryptokeys", status=200)
    calls = spy.calls()
    assert calls
    strangers = {(thread, function) for thread, function in calls if thread.startswith("pdns")}
    assert strangers == set()


def test_the_same_question_asked_at_once_is_signed_once(server, spy):
    keys_of(server, ZONE)
    server.ask(f"www.{ZONE}")
    spy.forget()
    spy.rules("C_SignInit hang")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(server.ask, f"host7.{ZONE}", tcp=True) for _ in range(8)]
        _wait_for_sign(spy)
        spy.rules()
        answers = [a.result() for a in asked]
    assert all(a.answer for a in answers)
    assert spy.count("C_Sign") == 1


def _wait_for_sign(spy) -> None:
    from harness.deadline import wait_for
    wait_for("C_SignInit", lambda: spy.count("C_SignInit"))


def test_a_token_that_hangs_costs_its_own_zone_only(site, spy):
    site.add_zone(zones.small(ZONE))
    site.add_zone(zones.small(zones.PLAIN))
    site.add_zone(zones.small("software.test"))
    site.secure(ZONE, site.token())
    site.pdnsutil("secure-zone", "software.test")
    site.pdnsutil("rectify-zone", "software.test")
    site.set(pkcs11signer_timeout="300", pkcs11signer_transfer_timeout="600")
    # a PowerDNS thread waits with its query: the others need some of their own
    server = site.start_server(settings={"distributor-threads": "4"})
    keys_of(server, "software.test")
    wait_for("answer", lambda: server.ask(f"www.{ZONE}").rcode() == 0)  # 300 ms are short for a first one
    spy.rules("C_SignInit hang")
    with ThreadPoolExecutor(2) as pool:
        stuck = [pool.submit(server.ask, f"{name}.{ZONE}") for name in ("ns1", "missing")]
        assert server.ask(f"www.{zones.PLAIN}", timeout=5).answer
        assert_signed(server.ask("www.software.test", timeout=5), keys_of(server, "software.test"))
        assert [answer.result().rcode() for answer in stuck] == [2, 2]
    assert server.ask(f"www.{ZONE}").rcode() == 0, "a warm answer needs no token"
    spy.rules()
    server.assert_alive()
