# SPDX-License-Identifier: GPL-2.0-or-later
"""`backend-cmd … check`: every reference is looked at, and what is wrong is said."""
import json

import pytest

from harness import zones
from harness.commands import assert_refused

ZONE = zones.SIGNED


def checked(site, *words, check=True):
    """Result, and what it says about each key: (zone, key id) → object."""
    result = site.command("check", *words, json=True, check=check)
    return result, {(it["zone"].rstrip("."), it["key_id"]): it for it in json.loads(result.stdout)}


def test_check_approves_of_what_works(any_site):
    site = any_site
    token = site.token()
    for name in (ZONE, zones.OTHER):
        site.add_zone(zones.small(name))
        site.secure(name, token)
    _, found = checked(site)
    assert len(found) == 4 and all(it["ok"] is True for it in found.values())
    _, found = checked(site, ZONE)
    assert {zone for zone, _ in found} == {ZONE} and len(found) == 2
    text = site.command("check").stdout
    assert len([line for line in text.splitlines() if ZONE in line]) == 2
    assert "4" in text.strip().splitlines()[-1]


@pytest.mark.parametrize("words", [(), (ZONE,)])
def test_check_with_nothing_to_look_at_fails(site, words):
    """Software keys are no references."""
    site.add_zone(zones.small(ZONE))
    site.pdnsutil("secure-zone", ZONE)
    assert_refused(site.command("check", *words, check=False), "no key reference", *words)


def broken(site, token) -> dict[str, int]:
    """A zone for each way a reference can be wrong; zone → key id."""
    for label, kind in (("good", "P-256"), ("rsa", "RSA-1024"), ("gone", "P-256"), ("other", "P-256")):
        token.make_key(label, kind)
    row = {}

    def put(zone, content):
        site.add_zone(zones.small(zone))
        row[zone] = site.database.add_key_row(zone, content)

    site.add_zone(zones.small("pinned.test"))
    site.assign("pinned.test", "ecdsa256", "ksk", token, "other")
    stored, = site.database.key_rows("pinned.test")
    token.delete("other")
    token.make_key("other")
    row["pinned.test"] = stored.id

    put("good.test", site.reference(token, "good"))
    put("type.test", site.reference(token, "rsa"))
    put("label.test", site.reference(token, "no such key"))
    put("token.test", site.reference(token, "good", Slot="no such token"))
    put("module.test", site.reference(token, "good", Engine="no-such-module"))
    put("pin.test", site.reference(token, "good", PIN=site.transcript.secret("2468~357")))
    put("empty.test", b"")
    return row


def test_check_finds_everything_that_is_wrong_and_goes_on(site):
    token = site.token()
    ids = broken(site, token)

    result, found = checked(site, check=False)

    assert result.returncode == 1 and "Error: " in result.stderr
    ok = {zone: found[zone, key_id]["ok"] for zone, key_id in ids.items() if (zone, key_id) in found}
    assert ok.pop("good.test") is True
    assert ok == {zone: False for zone in ids if zone != "good.test"}
    for zone, words in {"type.test": ("ECDSAP256SHA256",), "label.test": ("no such key", "good"),
                        "token.test": ("no such token",), "module.test": ("no-such-module", "softhsm2"),
                        "pin.test": ("PIN",)}.items():
        for word in words:
            assert word in found[zone, ids[zone]]["message"], found[zone, ids[zone]]
    table = site.command("check", check=False)
    assert table.returncode == 1
    for zone, key_id in ids.items():
        assert any(zone in line and str(key_id) in line for line in table.stdout.splitlines())


def test_check_of_one_zone_does_not_fail_for_another(site):
    token = site.token()
    broken(site, token)
    site.command("check", "good.test")
    assert_refused(site.command("check", "label.test", check=False))


def test_check_finds_a_token_that_signs_wrongly(site, spy):
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    spy.rules("C_Sign corrupt")
    result, found = checked(site, check=False)
    assert result.returncode == 1
    assert [it["ok"] for it in found.values()] == [False, False]


def test_check_of_an_unknown_zone_is_an_error(site):
    assert_refused(site.command("check", "nowhere.test", check=False), "nowhere.test")


def test_a_module_whose_calls_are_logged(site):
    """p11-kit would write the PIN where everything that the server says goes: this key has none."""
    token = site.token()
    token.make_key("key")
    site.add_zone(zones.small(ZONE))
    site.database.add_key_row(ZONE, site.reference(token, "key", PIN=None))
    assert "log-calls" not in site.command("check", check=False).output
    site.place.file("xdg/pkcs11/modules/softhsm2.module", f"module: {site.hsm.library}\nlog-calls: yes\n")
    lines = [line for line in site.command("check", check=False).stdout.splitlines() if "log-calls: yes" in line]
    assert len(lines) == 1 and lines[0].startswith("Warning: PKCS#11 module 'softhsm2'")
    module, = [it for it in json.loads(site.command("modules", json=True).stdout) if it["name"] == "softhsm2"]
    assert "log-calls: yes" in module["warning"]
    server = site.start_server()
    server.ask(ZONE, "DNSKEY")
    assert sum("log-calls: yes" in line for line in server.log.splitlines()) == 1
