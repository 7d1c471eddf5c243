# SPDX-License-Identifier: GPL-2.0-or-later
"""What pdnsutil says about a key is what the token's public key gives."""
import pytest

from harness import zones
from harness.dnskey import ALGORITHMS, KSK, ZSK, DnsKey
from harness.pdnsutil_output import shown_keys

KINDS = [("ecdsa256", "P-256"), ("rsasha256", "RSA-2048")]


def assert_shown(shown, key: DnsKey, algorithm: int) -> None:
    assert (shown.tag, shown.algorithm, shown.bits) == (key.tag, algorithm, key.bits)
    assert shown.active and shown.published


@pytest.mark.parametrize("algorithm, kind", KINDS)
def test_show_zone_agrees_with_an_independent_computation(any_site, algorithm, kind):
    site = any_site
    zone = site.add_zone(zones.small(zones.SIGNED)).name
    token = site.token()
    number = ALGORITHMS[algorithm]
    keys = {"KSK": DnsKey.of(zone, token.make_key("ksk", kind), number, KSK),
            "ZSK": DnsKey.of(zone, token.make_key("zsk", kind), number, ZSK)}
    site.assign(zone, algorithm, "ksk", token, "ksk")
    site.assign(zone, algorithm, "zsk", token, "zsk")

    shown = {key.role: key for key in shown_keys(site.pdnsutil("show-zone", zone).stdout)}

    assert set(shown) == {"KSK", "ZSK"}
    for role, key in keys.items():
        assert_shown(shown[role], key, number)
    assert shown["KSK"].dnskey == keys["KSK"].text()
    for digest in ("SHA256", "SHA384"):
        assert keys["KSK"].ds(digest).lower() in shown["KSK"].ds


def test_a_single_ksk_is_shown_as_csk(any_site):
    site = any_site
    zone = site.add_zone(zones.small(zones.SIGNED)).name
    token = site.token()
    key = DnsKey.of(zone, token.make_key("csk"), 13, KSK)
    site.assign(zone, "ecdsa256", "ksk", token, "csk")
    shown, = shown_keys(site.pdnsutil("show-zone", zone).stdout)
    assert shown.role == "CSK"
    assert_shown(shown, key, 13)
    assert shown.dnskey == key.text()


@pytest.mark.parametrize("algorithm, kind", KINDS)
def test_exported_ds_and_dnskey_agree_with_an_independent_computation(site, algorithm, kind):
    zone = site.add_zone(zones.small(zones.SIGNED)).name
    token = site.token()
    key = DnsKey.of(zone, token.make_key("ksk", kind), ALGORITHMS[algorithm], KSK)
    site.assign(zone, algorithm, "ksk", token, "ksk")
    row, = site.database.key_rows(zone)

    ds = site.pdnsutil("export-zone-ds", zone).stdout.lower()
    dnskey = site.pdnsutil("export-zone-dnskey", zone, row.id).stdout

    for digest in ("SHA256", "SHA384"):
        assert key.ds(digest).lower() in ds
    assert dnskey.strip() == f"{zone} IN DNSKEY {key.text()}"


def test_list_keys_shows_the_keys_of_every_zone(site):
    token = site.token()
    token.make_key("ksk")
    for name in (zones.SIGNED, zones.OTHER):
        site.add_zone(zones.small(name))
        site.assign(name, "ecdsa256", "ksk", token, "ksk")
    listed = site.pdnsutil("list-keys").stdout
    assert zones.SIGNED in listed and zones.OTHER in listed and "ECDSAP256SHA256" in listed
