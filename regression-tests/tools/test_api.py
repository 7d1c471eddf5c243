# SPDX-License-Identifier: GPL-2.0-or-later
"""The REST API: as without the module for software keys, and no PIN anywhere."""
import re

import pytest

from harness import zones
from harness.dnskey import KSK, DnsKey
from harness.validate import assert_delv, assert_signed, keys_of

ZONE = zones.SIGNED
MADE_BY_API = ("gsqlite3", "gmysql", "lmdb")  # the bind backend makes no zones


def new_zone(name: str, **more) -> dict:
    return {"name": f"{name}.", "kind": "Native", "nameservers": [f"ns1.{name}."],
            "rrsets": [record(f"ns1.{name}", "192.0.2.1"), record(f"www.{name}", "192.0.2.80")], **more}


def record(name: str, address: str, change: str | None = None) -> dict:
    rrset = {"name": f"{name}.", "type": "A", "ttl": 3600,
             "records": [{"content": address, "disabled": False}]}
    return {**rrset, "changetype": change} if change else rrset


def zone_path(zone: str) -> str:
    return f"/zones/{zone}."


def keys_path(zone: str, key_id: int | None = None) -> str:
    return f"{zone_path(zone)}/cryptokeys" + ("" if key_id is None else f"/{key_id}")


@pytest.fixture
def signed(any_site):
    any_site.add_zone(zones.small(ZONE))
    any_site.secure(ZONE, any_site.token())
    return any_site


def test_listed_keys_are_those_of_the_token(any_site):
    site = any_site
    site.add_zone(zones.small(ZONE))
    token = site.token()
    key = DnsKey.of(ZONE, token.make_key("ksk"), 13, KSK)
    site.assign(ZONE, "ecdsa256", "ksk", token, "ksk")
    server = site.start_server()

    listed, = server.api("GET", keys_path(ZONE), status=200).json()

    assert listed["dnskey"].replace(" ", "") == key.text().replace(" ", "")
    assert (listed["algorithm"], listed["bits"], listed["flags"]) == ("ECDSAP256SHA256", 256, KSK)
    assert (listed["active"], listed["published"], listed["keytype"]) == (True, True, "csk")
    assert key.ds("SHA256").lower() in [ds.lower() for ds in listed["ds"]]
    server.stop()


def test_a_single_key_is_a_reference_without_its_pin(signed):
    server = signed.start_server()
    for listed in server.api("GET", keys_path(ZONE), status=200).json():
        key = server.api("GET", keys_path(ZONE, listed["id"]), status=200).json()
        lines = [line.rstrip() for line in key["privatekey"].splitlines()]
        assert "Engine: softhsm2" in lines and "PIN:" in lines
        assert any(line.startswith("PublicKey: ") for line in lines)


def test_keys_are_changed_and_deleted(signed):
    site = signed
    server = site.start_server()
    keys = {key["keytype"]: key for key in server.api("GET", keys_path(ZONE), status=200).json()}
    zsk = keys["zsk"]["id"]

    server.api("PUT", keys_path(ZONE, zsk), {"active": False, "published": False}, status=204)
    changed = server.api("GET", keys_path(ZONE, zsk), status=200).json()
    assert (changed["active"], changed["published"]) == (False, False)
    server.api("PUT", keys_path(ZONE, zsk), {"active": True, "published": True}, status=204)
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))

    server.api("DELETE", keys_path(ZONE, zsk), status=204)
    left = server.api("GET", keys_path(ZONE), status=200).json()
    assert [key["id"] for key in left] == [keys["ksk"]["id"]]
    server.api("GET", keys_path(ZONE, zsk), status=404)


def test_a_reference_can_be_added(any_site):
    site = any_site
    site.add_zone(zones.small(ZONE))
    token = site.token()
    key = DnsKey.of(ZONE, token.make_key("ksk"), 13, KSK)
    server = site.start_server()
    body = {"keytype": "ksk", "active": True, "privatekey": site.reference(token, "ksk").decode()}

    added = server.api("POST", keys_path(ZONE), body, status=201).json()

    assert added["dnskey"].replace(" ", "") == key.text().replace(" ", "")
    if site.database.has_rows:
        row, = site.database.key_rows(ZONE)
        assert row.lines()["PublicKey"] and row.lines()["PIN"] == token.pin
    assert_signed(server.ask(ZONE, "SOA"), keys_of(server, ZONE))


@pytest.mark.databases(*MADE_BY_API)
def test_turning_dnssec_off_and_on(any_site):
    site = any_site
    site.add_zone(zones.small(ZONE))
    token = site.token()
    site.secure(ZONE, token)
    server = site.start_server()
    assert server.api("GET", zone_path(ZONE), status=200).json()["dnssec"] is True

    server.api("PUT", zone_path(ZONE), {"dnssec": False}, status=204)
    assert server.api("GET", zone_path(ZONE), status=200).json()["dnssec"] is False
    assert server.api("GET", keys_path(ZONE), status=200).json() == []
    assert not server.ask(ZONE, "DNSKEY").answer
    assert len(token.labels()) == 2

    server.api("PUT", zone_path(ZONE), {"dnssec": True, "api_rectify": True}, status=204)
    assert server.api("GET", zone_path(ZONE), status=200).json()["dnssec"] is True
    assert_delv(server, ZONE, f"www.{ZONE}")


@pytest.mark.databases(*MADE_BY_API)
def test_a_zone_created_with_dnssec_is_signed_with_a_software_key(any_site):
    server = any_site.start_server()
    server.api("POST", "/zones", new_zone(ZONE, dnssec=True, api_rectify=True), status=201)
    key, = server.api("GET", keys_path(ZONE), status=200).json()
    assert key["algorithm"] == "ECDSAP256SHA256"
    secret = server.api("GET", keys_path(ZONE, key["id"]), status=200).json()["privatekey"]
    assert "PrivateKey: " in secret and "Engine" not in secret
    assert_delv(server, ZONE, f"www.{ZONE}")
    server.api("DELETE", zone_path(ZONE), status=204)
    server.api("GET", zone_path(ZONE), status=404)


@pytest.mark.databases(*MADE_BY_API)
def test_patch_with_rectify_signs_the_new_name(any_site):
    site = any_site
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    server = site.start_server()
    server.api("PUT", zone_path(ZONE), {"api_rectify": True, "nsec3param": "1 0 0 -"}, status=204)

    server.api("PATCH", zone_path(ZONE), {"rrsets": [record(f"new.{ZONE}", "192.0.2.99", "REPLACE")]}, status=204)

    assert_delv(server, ZONE, f"new.{ZONE}")
    assert_delv(server, ZONE, f"missing.{ZONE}", negative=True)
    server.api("PUT", f"{zone_path(ZONE)}/rectify", status=200)
    assert_delv(server, ZONE, f"new.{ZONE}")


@pytest.mark.databases(*MADE_BY_API)
def test_software_keys_behave_as_without_the_module(any_site):
    """The same story told to a server with the module and to one without."""
    site = any_site
    told = []
    for directory, zone in (("conf", "one.test"), ("stock", "two.test")):
        server = site.start_server(directory)
        told.append(story(server, zone))
        server.stop()
    assert told[0] == told[1]


def story(server, zone: str) -> list:
    """What the API says to it all, without what differs by nature."""
    heard = []

    def tell(method, path, body=None):
        answer = server.api(method, path, body)
        content = answer.json() if "json" in answer.headers.get("Content-Type", "") and answer.content else answer.text
        heard.append((method, re.sub(r"/cryptokeys/\d+", "/cryptokeys/ID", path).replace(zone, "ZONE"), answer.status_code, shape(content)))
        return content

    tell("POST", "/zones", new_zone(zone, dnssec=True, nsec3param="1 0 0 -", api_rectify=True))
    # refused half-way: nothing may be left of it
    tell("POST", "/zones", new_zone(f"bad.{zone}", dnssec=True, nsec3param="9 0 0 -"))
    tell("GET", zone_path(f"bad.{zone}"))
    csk = tell("GET", keys_path(zone))[0]["id"]
    zsk = tell("POST", keys_path(zone), {"keytype": "zsk", "active": False, "algorithm": "ecdsa256"})["id"]
    tell("GET", keys_path(zone))
    tell("PUT", keys_path(zone, zsk), {"active": True})
    tell("PUT", keys_path(zone, zsk), {"active": True, "published": False})
    tell("POST", keys_path(zone), {"keytype": "zsk", "privatekey": "rubbish"})
    tell("POST", keys_path(zone), {"keytype": "zsk", "algorithm": "no such thing"})
    tell("PATCH", zone_path(zone), {"rrsets": [record(f"new.{zone}", "192.0.2.9", "REPLACE")]})
    tell("PATCH", zone_path(zone), {"rrsets": [record(f"bad.{zone}", "no address", "REPLACE")]})
    tell("GET", zone_path(zone))
    tell("DELETE", keys_path(zone, zsk))
    tell("DELETE", keys_path(zone, 99999))
    tell("GET", keys_path(zone, csk))
    tell("PUT", zone_path(zone), {"dnssec": False})
    tell("GET", keys_path(zone))
    tell("PUT", zone_path(zone), {"dnssec": True})
    tell("GET", keys_path(zone))
    tell("DELETE", zone_path(zone))
    return heard


def shape(value):
    """Structure and plain values; neither names, ids, serials nor key material."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()
                if k not in ("id", "dnskey", "ds", "privatekey", "name", "url", "serial", "edited_serial",
                             "rrsets", "error")}
    if isinstance(value, list):
        return [shape(v) for v in value]
    return value
