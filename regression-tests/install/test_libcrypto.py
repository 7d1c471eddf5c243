# SPDX-License-Identifier: GPL-2.0-or-later
"""What OPENSSL_CONF makes of libcrypto in the process does not reach the module's own use of it."""
import pytest

from harness import programs, zones
from harness.validate import assert_signed, keys_of

ZONE = zones.SIGNED
# An engine on the very token that holds the keys, for all that engines can do. It is not asked for
# random numbers: SoftHSM, in the same process, asks libcrypto for them.
ENGINE = """
openssl_conf = init
[init]
engines = engines
[engines]
pkcs11 = pkcs11
[pkcs11]
engine_id = pkcs11
dynamic_path = {engine}
MODULE_PATH = {softhsm}
default_algorithms = RSA,EC,PKEY
init = 0
"""


@pytest.mark.parametrize("algorithm, kind", [("ecdsa256", "P-256"), ("rsasha256", "RSA-2048"), ("rsasha1", "RSA-2048"),
                                             ("ed25519", "Ed25519")])
def test_an_engine_for_the_whole_process(site, algorithm, kind):
    engine = ENGINE.format(engine=programs.openssl_engine(), softhsm=site.hsm.library)
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("k", kind)
    site.runner.environment["OPENSSL_CONF"] = str(site.place.file("openssl.cnf", engine))
    site.command("assign", ZONE, algorithm, "ksk", "softhsm2", token.label, token.pin, "k")
    site.pdnsutil("rectify-zone", ZONE)
    server = site.start_server()
    keys = keys_of(server, ZONE)
    assert_signed(server.ask(f"www.{ZONE}", "A"), keys)
    assert_signed(server.ask(f"missing.{ZONE}", "A"), keys)
    assert "cannot" not in site.command("check", ZONE).output
