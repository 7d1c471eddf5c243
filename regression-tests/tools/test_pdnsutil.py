# SPDX-License-Identifier: GPL-2.0-or-later
"""pdnsutil: every key command does what it does for software keys."""
import re

import dns.rdatatype
import pytest

from harness import programs, zones
from harness.backends import Lmdb
from harness.dnskey import KSK, ZSK, DnsKey
from harness.pdnsutil_names import record_name
from harness.pdnsutil_output import shown_keys
from harness.validate import assert_delv, keys_of

ZONE = zones.SIGNED


def shown(site, zone: str = ZONE) -> dict:
    return {key.role: key for key in shown_keys(site.pdnsutil("show-zone", zone).stdout)}


def key_ids(site, zone: str = ZONE) -> dict[str, int]:
    return {role: key.id for role, key in shown(site, zone).items()}


@pytest.fixture
def signed(any_site):
    any_site.add_zone(zones.small(ZONE))
    any_site.secure(ZONE, any_site.token())
    return any_site


def test_deactivate_and_activate_zone_key(signed):
    site = signed
    zsk = shown(site)["ZSK"]
    server = site.start_server()

    site.pdnsutil("deactivate-zone-key", ZONE, zsk.id)
    assert not next(k for k in shown_keys(site.pdnsutil("show-zone", ZONE).stdout) if k.id == zsk.id).active
    tags = signing_tags(server)
    assert zsk.tag not in tags and tags

    site.pdnsutil("activate-zone-key", ZONE, zsk.id)
    assert shown(site)["ZSK"].active
    assert signing_tags(server) == {zsk.tag}


def signing_tags(server) -> set[int]:
    answer = server.ask(f"www.{ZONE}")
    return {r.key_tag for rrset in answer.answer if rrset.rdtype == dns.rdatatype.RRSIG for r in rrset}


def test_unpublish_and_publish_zone_key(signed):
    site = signed
    ksk = shown(site)["KSK"]
    server = site.start_server()

    site.pdnsutil("unpublish-zone-key", ZONE, ksk.id)
    assert not shown(site)["KSK"].published
    answer = server.ask(ZONE, "DNSKEY")
    assert [r.flags for s in answer.answer if s.rdtype == dns.rdatatype.DNSKEY for r in s] == [ZSK]

    site.pdnsutil("publish-zone-key", ZONE, ksk.id)
    assert shown(site)["KSK"].published
    assert sorted(key.flags for key in keys_of(server, ZONE)) == [ZSK, KSK]


def test_a_change_of_flags_leaves_the_content_as_it_was(signed):
    site = signed
    if not site.database.has_rows:
        before = site.database.raw().count(b"PublicKey: ")
        assert before >= 2
        return
    before = [row.content for row in site.database.key_rows(ZONE)]
    for key_id in key_ids(site).values():
        for command in ("deactivate", "unpublish", "publish", "activate"):
            site.pdnsutil(f"{command}-zone-key", ZONE, key_id)
    assert [row.content for row in site.database.key_rows(ZONE)] == before


def test_remove_zone_key(signed):
    site = signed
    ids = key_ids(site)
    site.pdnsutil("remove-zone-key", ZONE, ids["ZSK"])
    left = shown_keys(site.pdnsutil("show-zone", ZONE).stdout)
    assert [key.id for key in left] == [ids["KSK"]]


def test_secure_zone_makes_software_keys_as_without_the_module(any_site):
    site = any_site
    site.add_zone(zones.small(ZONE))
    site.pdnsutil("secure-zone", ZONE)
    key, = shown_keys(site.pdnsutil("show-zone", ZONE).stdout)
    assert (key.role, key.algorithm, key.bits) == ("CSK", 13, 256)
    if site.database.has_rows:
        row, = site.database.key_rows(ZONE)
        assert set(row.lines()) == {"Private-key-format", "Algorithm", "PrivateKey"}
    # What the module made readable stays readable without it.
    assert shown_keys(site.pdnsutil("show-zone", ZONE, stock=True).stdout) == [key]
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


def test_add_import_and_export_of_software_keys(any_site):
    site = any_site
    site.add_zone(zones.small(ZONE))
    site.pdnsutil("add-zone-key", ZONE, "ksk", "active", "published", "ecdsa256")
    key, = shown_keys(site.pdnsutil("show-zone", ZONE).stdout)
    exported = site.pdnsutil("export-zone-key", ZONE, key.id).stdout
    assert "PrivateKey: " in exported
    path = site.place.file("exported.key", exported)
    site.add_zone(zones.small(zones.OTHER))
    site.pdnsutil("import-zone-key", zones.OTHER, path, "active", "published", "ksk")
    other, = shown_keys(site.pdnsutil("show-zone", zones.OTHER).stdout)
    assert other.tag == key.tag
    generated = site.pdnsutil("generate-zone-key", "zsk", "ecdsa256").output
    assert "PrivateKey: " in generated


def test_rectify_and_check_all_zones(signed):
    site = signed
    site.add_zone(zones.small(zones.PLAIN))
    site.pdnsutil("rectify-zone", ZONE)
    site.pdnsutil("rectify-all-zones")
    checked = site.pdnsutil("check-all-zones")
    assert "Checked 2 zones" in checked.output and "0 had errors" in checked.output
    assert "0 errors" in site.pdnsutil("check-zone", ZONE).output


def test_export_zone_key_shows_the_reference_without_the_pin(signed):
    site = signed
    for role, key_id in key_ids(site).items():
        lines = site.pdnsutil("export-zone-key", ZONE, key_id).stdout.splitlines()
        assert "Engine: softhsm2" in lines
        assert f"Label: {ZONE}-{role.lower()}" in lines
        assert "PIN:" in [line.rstrip() for line in lines]
        assert any(line.startswith("PublicKey: ") for line in lines)


def test_export_zone_ds_and_dnskey(signed):
    site = signed
    ksk = shown(site)["KSK"]
    ds = site.pdnsutil("export-zone-ds", ZONE).stdout.lower()
    assert all(line in ds for line in ksk.ds) and ksk.ds
    assert ksk.dnskey in site.pdnsutil("export-zone-dnskey", ZONE, ksk.id).stdout


def test_an_exported_reference_can_be_imported_where_the_pin_comes_from_a_source(site):
    """With the PIN elsewhere, the exported text is all there is to a key."""
    if programs.pdns_number() >= 40800:
        pytest.skip("from 4.8 on, import goes through the built-in engine, which logs in with the PIN in the text")
    site.add_zone(zones.small(ZONE))
    token = site.token()
    key = DnsKey.of(ZONE, token.make_key("ksk"), 13, KSK)
    site.assign(ZONE, "ecdsa256", "ksk", token, "ksk")
    row, = site.database.key_rows(ZONE)
    exported = site.pdnsutil("export-zone-key", ZONE, row.id).stdout
    site.set(pkcs11signer_pin_source=f"file:{site.place.file('pin', token.pin)}")
    site.add_zone(zones.small(zones.OTHER))
    site.pdnsutil("import-zone-key", zones.OTHER, site.place.file("exported", exported), "ksk")
    shown_key, = shown_keys(site.pdnsutil("show-zone", zones.OTHER).stdout)
    assert shown_key.tag == key.tag


def test_algorithm_self_tests_go_on_passing(site):
    with_module = site.pdnsutil("test-algorithms", timeout=300).output
    without = site.pdnsutil("test-algorithms", stock=True, timeout=300).output
    for line in ("ECDSAP256SHA256", "RSASHA256", "ED25519"):
        assert (line in without) == (line in with_module)
    site.pdnsutil("list-algorithms", "with-backend")
    assert site.pdnsutil("list-algorithms").stdout == site.pdnsutil("list-algorithms", stock=True).stdout


def test_delete_zone_removes_its_references(any_site):
    if not any_site.database.creates_zones:
        return _bind_zones_are_not_deleted_by_pdnsutil(any_site)
    site = any_site
    site.add_zone(zones.small(ZONE))
    token = site.token()
    site.secure(ZONE, token)
    site.pdnsutil("delete-zone", ZONE)
    assert ZONE not in site.pdnsutil("list-all-zones").stdout
    assert ZONE not in site.pdnsutil("list-keys").stdout
    assert len(token.labels()) == 2


def _bind_zones_are_not_deleted_by_pdnsutil(site):
    site.add_zone(zones.small(ZONE))
    assert site.pdnsutil("delete-zone", ZONE, check=False).returncode != 0


@pytest.mark.databases("gsqlite3", "gmysql", "lmdb")
def test_zones_can_be_made_and_listed_through_the_module(any_site):
    site = any_site
    site.pdnsutil("create-zone", ZONE, f"ns1.{ZONE}")
    site.pdnsutil("add-record", ZONE, record_name(ZONE, "www"), "A", "192.0.2.9")
    site.pdnsutil("create-zone", zones.OTHER, f"ns1.{zones.OTHER}")
    assert set(site.pdnsutil("list-all-zones").stdout.split()) == {ZONE, zones.OTHER}
    assert "192.0.2.9" in site.pdnsutil("list-zone", ZONE).stdout
    site.pdnsutil("set-meta", ZONE, "ALLOW-AXFR-FROM", "AUTO-NS")
    assert "AUTO-NS" in site.pdnsutil("get-meta", ZONE, "ALLOW-AXFR-FROM").stdout


def test_b2b_migrate_takes_references_along_unchanged(site):
    """Between two databases behind the module; it has no data of its own to move."""
    site.add_zone(zones.small(ZONE))
    token = site.token()
    site.secure(ZONE, token)
    contents = [row.content for row in site.database.key_rows(ZONE)]
    target = Lmdb(site.place)
    site.write_configuration("conf", "pkcs11signer,gsqlite3,lmdb", {**site.settings, **target.settings()})

    moved = site.pdnsutil("b2b-migrate", "gsqlite3", "lmdb").stdout

    assert "2 cryptokey(s)" in moved
    assert all(content in target.raw() for content in contents)
    alone = {k: v for k, v in site.settings.items() if not k.startswith("gsqlite3")}
    site.write_configuration("conf", "pkcs11signer,lmdb", {**alone, **target.settings()})
    site.pdnsutil("rectify-zone", ZONE)
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


def test_test_schema_finds_the_database(any_site):
    """It takes the first backend for it."""
    if not any_site.database.creates_zones:
        pytest.skip("this backend makes no zones")
    tested = any_site.pdnsutil("test-schema", "schema.test", check=False)
    stock = any_site.pdnsutil("test-schema", "stock.test", stock=True, check=False)
    assert tested.returncode == stock.returncode, str(tested)
    # The second one finds LMDB's files there. From 5.0 on the first one says that it made them.
    made = re.compile(r"WARNING: local files have been created.*", re.S)
    assert made.sub("", tested.stdout) == made.sub("", stock.stdout.replace("stock.test", "schema.test"))
