# SPDX-License-Identifier: GPL-2.0-or-later
"""A key's row goes to where its zone is, or the command fails and leaves nothing."""
import pytest

from harness import zones
from harness.backends import Bind, Gsqlite3
from harness.commands import assert_refused
from harness.validate import assert_delv

ZONE = zones.SIGNED


def launch(site, names: str, *databases, stock: str, **settings) -> None:
    """These databases, and no others; `stock` is the one that zones are loaded into."""
    others = {k: v for k, v in site.settings.items() if not k.startswith(site.database.name)}
    site.settings = {**others, **{k: v for it in databases for k, v in it.settings().items()}, **settings}
    site.write_configuration("conf", f"pkcs11signer,{names}")
    site.write_configuration("stock", stock, {k: v for k, v in site.settings.items()
                                              if k.startswith((stock.replace(":", "-"), "module-dir"))})


@pytest.fixture
def second(site):
    """Two databases of one kind; the zone is in the second one."""
    first, site.database = Gsqlite3(site.place, "a"), Gsqlite3(site.place, "b")
    launch(site, "gsqlite3:a,gsqlite3:b", first, site.database, stock="gsqlite3:b")
    site.add_zone(zones.small(ZONE))
    return site


def generate(site, token, label="key"):
    return site.command("generate", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, label, check=False)


def by_generate(site, token, label):
    assert generate(site, token, label).returncode == 0


def by_assign(site, token, label):
    token.make_key(label)
    site.command("assign", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, label)


def by_hsm_assign(site, token, label):
    token.make_key(label)
    site.assign(ZONE, "ecdsa256", "ksk", token, label)


def by_api(site, token, label):
    token.make_key(label)
    body = {"keytype": "ksk", "active": True, "privatekey": site.reference(token, label).decode()}
    # PowerDNS's built-in engine is asked first, and cannot log in to a token that the server is logged in to.
    server = site.start_server(settings={"pkcs11signer-prepare": "no"})
    server.api("POST", f"/zones/{ZONE}./cryptokeys", body, status=201)
    server.stop()


@pytest.mark.parametrize("way", [by_generate, by_assign, by_hsm_assign, by_api])
def test_a_row_goes_to_the_database_that_has_the_zone(second, way):
    site, token = second, second.token()
    way(site, token, "first")
    way(site, token, "second")

    rows = site.database.key_rows(ZONE)

    assert [row.lines()["Label"] for row in rows] == ["first", "second"]
    assert [it["id"] for it in site.start_server().api("GET", f"/zones/{ZONE}./cryptokeys", status=200).json()] == [
        row.id for row in rows]


def test_a_zone_of_the_second_database_is_signed(second):
    site, token = second, second.token()
    said = generate(site, token)
    row, = site.database.key_rows(ZONE)
    assert f"as key id {row.id}," in said.stdout
    assert site.command("check").stdout.strip().endswith("1 key checked, 0 failed")
    site.pdnsutil("rectify-zone", ZONE)
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


def test_pdnsutil_changes_rows_of_the_second_database(second):
    site, token = second, second.token()
    for label in ("first", "second"):
        by_generate(site, token, label)
    key_id = site.database.key_rows(ZONE)[0].id
    site.pdnsutil("deactivate-zone-key", ZONE, key_id)
    site.pdnsutil("unpublish-zone-key", ZONE, key_id)
    assert [(row.active, row.published) for row in site.database.key_rows(ZONE)] == [(False, False), (True, True)]
    site.pdnsutil("activate-zone-key", ZONE, key_id)
    site.pdnsutil("publish-zone-key", ZONE, key_id)
    assert [(row.active, row.published) for row in site.database.key_rows(ZONE)] == [(True, True), (True, True)]
    site.pdnsutil("remove-zone-key", ZONE, key_id)
    assert [row.lines()["Label"] for row in site.database.key_rows(ZONE)] == ["second"]


def assert_nothing_is_made(site, token, *words) -> None:
    assert_refused(generate(site, token), ZONE, *words)
    assert token.objects() == []


def test_a_zone_whose_database_stores_no_keys_gets_none(second):
    """The other one stores keys, but does not know the zone."""
    site, token = second, second.token()
    launch(site, "gsqlite3:a,gsqlite3:b", Gsqlite3(site.place, "c"), stock="gsqlite3:b",
           **{"gsqlite3-a-database": site.settings["gsqlite3-a-database"], "gsqlite3-a-dnssec": "yes",
              "gsqlite3-b-database": site.settings["gsqlite3-b-database"]})
    assert_nothing_is_made(site, token, "no database that stores keys has this zone", "gsqlite3-dnssec")
    assert site.database.key_rows(ZONE) == []


def test_without_dnssec_in_the_database_everything_says_so(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    site.secure(ZONE, token)
    objects = token.objects()
    site.set(gsqlite3_dnssec="no")

    for command in (("check",), ("check", ZONE), ("warm", ZONE)):
        assert_refused(site.command(*command, check=False), "gsqlite3-dnssec")
    assert_refused(generate(site, token), ZONE, "gsqlite3-dnssec")

    assert token.objects() == objects
    server = site.start_server()
    assert server.log.count("no database behind pkcs11signer stores keys") == 1


@pytest.mark.parametrize("order", ["bind,gsqlite3", "gsqlite3,bind"])
def test_bind_may_leave_its_keys_to_the_database_behind_it(site, order):
    """bind makes a PowerDNS object of its own for each zone that it reads, while PowerDNS makes bind."""
    keys, bind = site.database, Bind(site.place)
    launch(site, "bind", bind, stock="bind")
    bind.prepare(site)
    launch(site, order, keys, bind, stock="gsqlite3", **{"bind-hybrid": "yes", "zone-cache-refresh-interval": "0"})
    del site.settings["bind-dnssec-db"]
    site.write_configuration("conf", f"pkcs11signer,{order}")
    site.add_zone(zones.small(ZONE))  # the database knows the zone too
    bind.add_zone(site, zones.small(ZONE))
    site.add_zone(zones.small(zones.OTHER))
    token = site.token()

    by_generate(site, token, "generated")
    site.command("assign", zones.OTHER, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "generated")

    assert site.command("check").stdout.strip().endswith("2 keys checked, 0 failed")
    assert site.command("warm", ZONE).returncode == 0
    assert len(keys.key_rows(ZONE)) == 1
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


def test_bind_that_leaves_its_keys_to_nobody_is_told(site):
    bind = Bind(site.place)
    launch(site, "bind", bind, stock="bind", **{"bind-hybrid": "yes", "zone-cache-refresh-interval": "0"})
    bind.prepare(site)
    bind.add_zone(site, zones.small(ZONE))
    assert_nothing_is_made(site, site.token(), "no database behind pkcs11signer stores keys")


@pytest.mark.databases("gmysql")
@pytest.mark.parametrize("mode", ["NO_ENGINE_SUBSTITUTION", "STRICT_TRANS_TABLES"])
def test_names_that_the_column_cannot_hold_are_stored_as_uris(any_site, mode):
    """PowerDNS's schema has latin1 columns. MariaDB makes '????' of other letters, or refuses them."""
    site = any_site
    site.database.server.sql(f"SET GLOBAL sql_mode='{mode}'")
    site.add_zone(zones.small(ZONE))
    token = site.token("токен")
    try:
        assert generate(site, token, "ключ 1").returncode == 0
        site.command("assign", ZONE, "ecdsa256", "zsk", "softhsm2", token.label, token.pin, "pkcs11:object=ключ%201")
        plain = site.token("plain")
        assert generate(site, plain, "café").returncode == 0
    finally:
        site.database.server.sql("SET GLOBAL sql_mode=DEFAULT")

    assert token.labels() == ["ключ 1"] and plain.labels() == ["café"]
    lines = [row.lines() for row in site.database.key_rows(ZONE)[:2]]
    key = "pkcs11:object=%D0%BA%D0%BB%D1%8E%D1%87%201"
    assert [(it["Slot"], it["Label"]) for it in lines] == [("pkcs11:token=%D1%82%D0%BE%D0%BA%D0%B5%D0%BD", key)] * 2
    assert site.command("check").stdout.strip().endswith("3 keys checked, 0 failed")
    site.pdnsutil("rectify-zone", ZONE)
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


@pytest.mark.databases("gmysql")
def test_what_cannot_be_stored_otherwise_is_refused(any_site):
    """A PIN that is not ASCII: the token takes it, the column does not."""
    site = any_site
    site.database.server.sql("SET GLOBAL sql_mode='NO_ENGINE_SUBSTITUTION'")
    site.add_zone(zones.small(ZONE))
    token = site.token(pin="~тайна")
    try:
        assert_nothing_is_made(site, token, "did not keep the key reference", "UTF-8")
    finally:
        site.database.server.sql("SET GLOBAL sql_mode=DEFAULT")
    assert site.database.key_rows(ZONE) == []
