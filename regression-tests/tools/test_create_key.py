# SPDX-License-Identifier: GPL-2.0-or-later
"""`pdnsutil hsm create-key` makes the key pair on the token."""
import pytest

from harness import zones
from harness.dnskey import KSK, DnsKey
from harness.pdnsutil_output import shown_keys
from harness.validate import assert_delv

ZONE = zones.SIGNED


def prepared(site, token, label="new key", algorithm=13, zone=ZONE, **changes) -> int:
    """A row for a key that is not on the token yet. Its id."""
    return site.database.add_key_row(zone, site.reference(token, label, algorithm, **changes))


def create(site, key_id, *bits, check=True):
    return site.pdnsutil("hsm", "create-key", ZONE, key_id, *bits, check=check)


@pytest.mark.databases("gsqlite3", "gmysql", "bind")
def test_create_key_makes_a_key_pair_that_signs(any_site):
    site = any_site
    site.add_zone(zones.small(ZONE))
    token = site.token()
    key_id = prepared(site, token)

    done = create(site, key_id)

    assert "created" in done.output
    key = DnsKey.of(ZONE, token.public_key("new key"), 13, KSK)
    shown, = shown_keys(site.pdnsutil("show-zone", ZONE).stdout)
    assert (shown.tag, shown.dnskey) == (key.tag, key.text())
    site.pdnsutil("rectify-zone", ZONE)
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


@pytest.mark.parametrize("algorithm, bits, size", [(13, (), 256), (14, (), 384), (8, ("1024",), 1024),
                                                   (8, (), 2048), (15, (), 256)])
def test_create_key_makes_the_kind_the_algorithm_wants(site, algorithm, bits, size):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    create(site, prepared(site, token, algorithm=algorithm), *bits)
    key = DnsKey.of(ZONE, token.public_key("new key"), algorithm, KSK)
    assert key.bits == size


def test_a_created_key_can_not_leave_the_token(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    create(site, prepared(site, token))
    private, = token.objects("private", "new key")
    assert "sensitive" in private.access and "never extractable" in private.access
    assert "always sensitive" in private.access


def test_created_keys_have_ids_of_their_own_shared_by_both_halves(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    for label in ("first", "second", "third"):
        create(site, prepared(site, token, label))
    private = {o.label: o.id for o in token.objects("private")}
    public = {o.label: o.id for o in token.objects("public")}
    assert private == public
    assert len(set(private.values())) == 3 and all(len(i) >= 16 for i in private.values())


def test_create_key_refuses_a_label_that_is_there(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("new key")
    before = token.objects()
    refused = create(site, prepared(site, token), check=False)
    assert refused.returncode != 0 and "new key" in refused.stderr
    assert token.objects() == before


def test_create_key_refuses_a_row_that_pins_another_key(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("new key")
    site.assign(ZONE, "ecdsa256", "ksk", token, "new key")
    token.delete("new key")
    row, = site.database.key_rows(ZONE)
    refused = create(site, row.id, check=False)
    assert refused.returncode != 0
    assert token.objects() == []


def test_create_key_ends_cleanly_when_there_is_nothing_to_make_it_on(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    refused = create(site, prepared(site, token, Slot="no such token"), check=False)
    assert refused.returncode == 1 and "no such token" in refused.stderr


def test_show_zone_of_a_row_without_a_key_does_not_fail(site):
    """Between the row and create-key."""
    site.add_zone(zones.small(ZONE))
    token = site.token()
    key_id = prepared(site, token)
    shown = site.pdnsutil("show-zone", ZONE, check=False)
    assert shown.returncode in (0, 1) and f"{key_id}" in shown.output
