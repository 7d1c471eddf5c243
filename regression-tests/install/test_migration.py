# SPDX-License-Identifier: GPL-2.0-or-later
"""A table of the built-in engine works unchanged, with the module launched; the ways out and back that the pages tell."""
import re

import pytest

from harness import programs, zones
from harness.dnskey import KSK, ZSK, DnsKey
from harness.pdnsutil_output import shown_keys
from harness.validate import assert_delv, assert_signed, assert_transfer_verifies, keys_of

ZONE = zones.SIGNED


def secured_by_the_built_in_engine(site, token, algorithm="ecdsa256", kind="P-256"):
    publics = {}
    for role in ("ksk", "zsk"):
        publics[role] = token.make_key(f"{ZONE}-{role}", kind)
        site.pdnsutil("hsm", "assign", ZONE, algorithm, role, "softhsm2", token.label, token.pin,
                      f"{ZONE}-{role}", stock=True)
    site.pdnsutil("rectify-zone", ZONE, stock=True)
    return publics


@pytest.mark.parametrize("algorithm, number, kind", [("ecdsa256", 13, "P-256"), ("rsasha256", 8, "RSA-2048")])
def test_a_table_of_the_built_in_engine_works_unchanged(any_site, algorithm, number, kind):
    site = any_site
    site.add_zone(zones.rich())
    token = site.token()
    publics = secured_by_the_built_in_engine(site, token, algorithm, kind)
    before = [row.content for row in site.database.key_rows(ZONE)] if site.database.has_rows else None

    server = site.start_server()

    keys = keys_of(server, ZONE)
    assert {key.key for key in keys} == {DnsKey.of(ZONE, p, number, KSK).key for p in publics.values()}
    assert_signed(server.ask(f"www.{ZONE}"), keys)
    assert_delv(server, ZONE, f"missing.{ZONE}", negative=True)
    assert_transfer_verifies(server, ZONE)
    if before is not None:
        assert [row.content for row in site.database.key_rows(ZONE)] == before
        assert not any(b"PublicKey" in content for content in before)
    server.stop()


def test_show_zone_says_the_same_with_and_without_the_module(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    secured_by_the_built_in_engine(site, token)
    with_module = shown_keys(site.pdnsutil("show-zone", ZONE).stdout)
    assert with_module == shown_keys(site.pdnsutil("show-zone", ZONE, stock=True).stdout)
    assert len(with_module) == 2


def test_the_way_back_is_open(site):
    """What the module stored, the built-in engine reads: it does not mind the extra line."""
    site.add_zone(zones.small(ZONE))
    token = site.token()
    site.secure(ZONE, token)
    with_module = shown_keys(site.pdnsutil("show-zone", ZONE).stdout)
    assert shown_keys(site.pdnsutil("show-zone", ZONE, stock=True).stdout) == with_module
    server = site.start_server("stock")
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))


def run_statement(site, page: str, heading: str, token) -> None:
    """The one for this database, with this token and its PIN instead of those named there."""
    database = {"gsqlite3": "SQLite", "gmysql": "MariaDB"}[site.database.name]
    section = (programs.REPOSITORY / page).read_text().split(f"\n## {heading}\n")[1]
    statement = re.search(rf"(?s)-- {database}[^\n]*\n(.*?);", section)[1]
    site.database.sql(statement.replace("1234", token.pin).replace("Slot: dns", f"Slot: {token.label}"))


@pytest.mark.databases("gsqlite3", "gmysql")
def test_a_pin_out_of_the_table(any_site):
    site = any_site
    token = site.token()
    site.add_zone(zones.small(ZONE))
    secured_by_the_built_in_engine(site, token)
    site.set(pkcs11signer_pin_source=f"file:{site.place.file('pin', token.pin, 0o600)}")

    run_statement(site, "docs/key-reference.md", "A PIN out of the table", token)

    assert [row.lines()["PIN"] for row in site.database.key_rows(ZONE)] == ["", ""]
    assert "2 keys checked, 0 failed" in site.command("check", ZONE).stdout


@pytest.mark.databases("gsqlite3", "gmysql")
def test_the_way_back_of_readme(any_site):
    """Rows whose PINs have sources; another token's stay as they are."""
    site = any_site
    token, other = site.token("dns"), site.token("dns2")
    source, others_source = (f"file:{site.place.file(it.label, it.pin, 0o600)}" for it in (token, other))
    site.set(pkcs11signer_pin_source=source)
    for name, where, pins in ((ZONE, token, ("''", source)), ("other.test", other, (others_source, others_source))):
        site.add_zone(zones.small(name))
        for role, pin in zip(("ksk", "zsk"), pins):
            site.raw_command(f"generate {name} ecdsa256 {role} softhsm2 {where.label} {pin} {name}-{role}")
        site.pdnsutil("rectify-zone", name)
    others = site.database.key_rows("other.test")
    shown = shown_keys(site.pdnsutil("show-zone", ZONE).stdout)
    server = site.start_server()
    keys = keys_of(server, ZONE)

    run_statement(site, "README.md", "Going back", token)

    assert [row.lines()["PIN"] for row in site.database.key_rows(ZONE)] == 2 * [token.pin]
    assert site.database.key_rows("other.test") == others
    assert "2 keys checked, 0 failed" in site.command("check", ZONE).stdout
    assert_signed(server.ask(f"www.{ZONE}"), keys)
    server.stop()
    server = site.start_server("stock")
    assert keys_of(server, ZONE) == keys
    assert_delv(server, ZONE, f"www.{ZONE}")
    assert shown_keys(site.pdnsutil("show-zone", ZONE, stock=True).stdout) == shown


def test_a_pinned_key_and_one_that_is_not_serve_one_zone(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("old")
    zsk = DnsKey.of(ZONE, token.make_key("new"), 13, ZSK)
    site.pdnsutil("hsm", "assign", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "old", stock=True)
    site.assign(ZONE, "ecdsa256", "zsk", token, "new")
    site.pdnsutil("rectify-zone", ZONE)
    server = site.start_server()
    assert zsk.key in {key.key for key in keys_of(server, ZONE)}
    assert_delv(server, ZONE, f"www.{ZONE}")


def test_software_keys_made_before_the_module_go_on_signing(any_site):
    site = any_site
    site.add_zone(zones.small(ZONE))
    site.pdnsutil("secure-zone", ZONE, stock=True)
    site.pdnsutil("rectify-zone", ZONE, stock=True)
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")
