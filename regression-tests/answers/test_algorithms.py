# SPDX-License-Identifier: GPL-2.0-or-later
"""Every DNSSEC algorithm PowerDNS knows, as far as the token offers it."""
import pytest
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519

from harness import zones
from harness.dnskey import ALGORITHMS, KSK, DnsKey
from harness.pdnsutil_output import shown_keys
from harness.token import KIND_OF_ALGORITHM
from harness.validate import assert_signed, assert_transfer_verifies, keys_of

ZONE = zones.SIGNED


@pytest.mark.parametrize("name, number", ALGORITHMS.items())
def test_each_algorithm_signs(site, name, number):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    key = DnsKey.of(ZONE, token.make_key("key", KIND_OF_ALGORITHM[number]), number, KSK)

    site.command("assign", ZONE, name, "ksk", "softhsm2", token.label, token.pin, "key")

    shown, = shown_keys(site.pdnsutil("show-zone", ZONE).stdout)
    assert (shown.tag, shown.algorithm, shown.bits) == (key.tag, number, key.bits)
    site.pdnsutil("set-nsec3", ZONE, "1 0 0 -")  # algorithms 5 and 7 differ in nothing else
    site.pdnsutil("rectify-zone", ZONE)
    server = site.start_server()
    keys = keys_of(server, ZONE)
    assert [k.key for k in keys] == [key.key]
    assert_signed(server.ask(f"www.{ZONE}"), keys)
    assert_signed(server.ask(f"missing.{ZONE}"), keys)
    if number not in (5, 7):  # today's validators distrust SHA-1
        assert_transfer_verifies(server, ZONE)


@pytest.mark.parametrize("name", ["rsasha1", "rsasha256", "ecdsa256", "ecdsa384"])
def test_hsm_assign_knows_what_the_built_in_engine_knows(site, name):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    number = ALGORITHMS[name]
    key = DnsKey.of(ZONE, token.make_key("key", KIND_OF_ALGORITHM[number]), number, KSK)
    site.assign(ZONE, name, "ksk", token, "key")
    shown, = shown_keys(site.pdnsutil("show-zone", ZONE).stdout)
    assert (shown.tag, shown.algorithm) == (key.tag, number)


@pytest.mark.parametrize("number", [13, 15])
def test_algorithms_can_be_given_as_numbers(site, number):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("key", KIND_OF_ALGORITHM[number])
    site.command("assign", ZONE, number, "ksk", "softhsm2", token.label, token.pin, "key")
    shown, = shown_keys(site.pdnsutil("show-zone", ZONE).stdout)
    assert shown.algorithm == number


@pytest.mark.parametrize("number, private", [(15, ed25519.Ed25519PrivateKey), (16, ed448.Ed448PrivateKey)])
def test_an_imported_eddsa_key_signs(site, number, private):
    """SoftHSM's import writes curve and point in another encoding than its generator."""
    site.add_zone(zones.small(ZONE))
    token = site.token()
    key = DnsKey.of(ZONE, token.import_key("key", private.generate()), number, KSK)
    site.command("assign", ZONE, number, "ksk", "softhsm2", token.label, token.pin, "key")
    site.pdnsutil("rectify-zone", ZONE)
    server = site.start_server()
    keys = keys_of(server, ZONE)
    assert [k.key for k in keys] == [key.key]
    assert_signed(server.ask(f"www.{ZONE}"), keys)


def test_an_rsa_key_with_another_exponent_signs(site):
    from cryptography.hazmat.primitives.asymmetric import rsa
    site.add_zone(zones.small(ZONE))
    token = site.token()
    private = rsa.generate_private_key(3, 1024)
    key = DnsKey.of(ZONE, token.import_key("key", private), 8, KSK)
    site.assign(ZONE, "rsasha256", "ksk", token, "key")
    site.pdnsutil("rectify-zone", ZONE)
    keys = keys_of(site.start_server(), ZONE)
    assert [k.key for k in keys] == [key.key]


ONLY_RSA = "CKM_RSA_PKCS,CKM_RSA_PKCS_KEY_PAIR_GEN"
ONLY_EC = "CKM_ECDSA,CKM_EC_KEY_PAIR_GEN"


@pytest.mark.parametrize("mechanisms, offered, algorithm, kind", [
    (ONLY_RSA, "rsasha256", "ed25519", "Ed25519"), (ONLY_RSA, "rsasha256", "ecdsa256", "P-256"),
    (ONLY_EC, "ecdsa", "rsasha256", "RSA-1024")])
def test_what_the_token_does_not_offer_is_an_error_that_lists_what_it_does(site, mechanisms, offered, algorithm, kind):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("key", kind)
    site.hsm.limit_mechanisms(mechanisms)

    refused = site.command("assign", ZONE, algorithm, "ksk", "softhsm2", token.label, token.pin, "key", check=False)

    assert refused.returncode == 1
    error = refused.stderr.split("Error: ", 1)[1].lower()
    assert offered in error
    assert site.database.key_rows(ZONE) == []


@pytest.mark.parametrize("algorithm", ["3", "12", "253", "nonsense", "-8", "", "99999999999999999999"])
def test_an_algorithm_that_is_none_is_an_error(site, algorithm):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("key")
    refused = site.command("assign", ZONE, algorithm, "ksk", "softhsm2", token.label, token.pin, "key", check=False)
    assert refused.returncode == 1 and "Error: " in refused.stderr
    assert site.database.key_rows(ZONE) == []
