# SPDX-License-Identifier: GPL-2.0-or-later
"""Signatures are verified before anybody sees them, unless the administrator says no."""
import dns.dnssec
import pytest

from harness import zones
from harness.speed import statistic
from harness.validate import assert_signed, keys_of

ZONE = zones.SIGNED


def signed_server(site, **settings):
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    site.set(**settings)
    server = site.start_server()
    keys = keys_of(server, ZONE)
    assert_signed(server.ask(f"www.{ZONE}"), keys)
    return server, keys


def test_a_faulty_signature_is_made_anew_and_not_sent(site, spy):
    server, keys = signed_server(site)
    spy.forget()
    spy.rules("C_Sign corrupt 1")
    assert_signed(server.ask(f"ns1.{ZONE}"), keys)
    assert spy.count("C_Sign") == 2
    assert statistic(server, "bad-signatures") == 1
    assert statistic(server, "retries") == 1
    assert statistic(server, "failures") == 0


def test_without_verifying_all_works(site, spy):
    server, keys = signed_server(site, pkcs11signer_verify="no")
    for name, rdtype in ((f"ns1.{ZONE}", "A"), (ZONE, "SOA"), (f"missing.{ZONE}", "A")):
        assert_signed(server.ask(name, rdtype), keys)
    assert statistic(server, "bad-signatures") == 0


def test_without_verifying_nothing_is_verified(site, spy):
    """Else the setting would be worth nothing. The first signature by each key is verified
    all the same: it proves that the key is the right one."""
    server, keys = signed_server(site, pkcs11signer_verify="no")
    spy.forget()
    spy.rules("C_Sign corrupt 1")
    with pytest.raises(dns.dnssec.ValidationFailure):
        assert_signed(server.ask(f"ns1.{ZONE}"), keys)
    assert spy.count("C_Sign") == 1
    assert statistic(server, "bad-signatures") == 0


def test_the_first_signature_by_a_key_is_verified_in_any_case(site, spy):
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    site.set(pkcs11signer_verify="no")
    server = site.start_server()
    spy.rules("C_Sign corrupt 1")
    keys_of(server, ZONE)
    assert statistic(server, "bad-signatures") == 1
