# SPDX-License-Identifier: GPL-2.0-or-later
"""pdnsutil run by root for a server that is not: tokens are used with the rights of the state directory's owner."""
import os

import pytest

from harness import programs, zones
from harness.commands import assert_refused
from harness.validate import assert_delv

ZONE = zones.SIGNED

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def token(site):
    site.add_zone(zones.small(ZONE))
    return site.token()


def root(site, *words, **how):
    """p11-kit reads the machine's configuration for root: it has the same SoftHSM as softhsm2."""
    return site.command(*words, as_root=True, **how)


def generate(site, token, pin=None, **how):
    return root(site, "generate", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin if pin is None else pin,
                "a key", **how)


def owners(directory) -> set[int]:
    return {path.lstat().st_uid for path in directory.rglob("*")}


def give(directory, uid: int, mode: int | None = None) -> None:
    for path in (directory, *directory.rglob("*")):
        os.chown(path, uid, -1)
    if mode is not None:
        directory.chmod(mode)


def assert_served(site) -> None:
    site.pdnsutil("rectify-zone", ZONE)
    server = site.start_server()
    assert_delv(server, ZONE, f"www.{ZONE}")


def test_what_root_makes_the_server_has(site, token, identity):
    (site.place.root / "tokens").chmod(0o700)
    generate(site, token)
    assert owners(site.place.root / "tokens") == {identity.uid}
    assert owners(site.place.root / "state") == {identity.uid}
    assert "1 key checked, 0 failed" in root(site, "check", ZONE).stdout
    assert "a key" in root(site, "keys", "softhsm2", token.label, token.pin).stdout
    assert_served(site)


def test_create_key_as_root(site, token, identity):
    key_id = site.database.add_key_row(ZONE, site.reference(token, "a key"))
    site.pdnsutil("hsm", "create-key", ZONE, key_id, as_root=True)
    assert token.labels() == ["a key"] and owners(site.place.root / "tokens") == {identity.uid}
    assert_served(site)


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_the_database_is_root_s_to_write(site, token, identity, mode):
    """A server that may read its database only, or not even that: here it is given it afterwards."""
    database, = site.place.root.rglob("*.sqlite3")
    os.chown(database, 0, identity.gid)
    database.chmod(mode)
    database.parent.chmod(0o755)
    os.chown(database.parent, 0, 0)
    generate(site, token)
    give(database.parent, identity.uid)
    assert_served(site)


def test_a_credential_is_root_s_to_read(site, token):
    """The one that the server gets from systemd."""
    credentials = site.place.directory("credentials", 0o700)
    site.place.file("credentials/pin", token.pin, mode=0o600)
    give(credentials, 0)
    site.set(pkcs11signer_pin_source="credential:pin")
    env = {"CREDENTIALS_DIRECTORY": str(credentials)}
    generate(site, token, "", env=env)
    root(site, "check", ZONE, env=env)
    root(site, "keys", "softhsm2", token.label, env=env)


def test_what_the_server_cannot_use_root_is_told(site, token, identity):
    """A token, a PIN file and a key that root made by other means."""
    generate(site, token)
    who = f"as user {identity.name}, whom {site.place.root / 'state'} belongs to"
    pin = site.place.file("pin", token.pin, mode=0o600)
    os.chown(pin, 0, 0)
    assert_refused(root(site, "assign", ZONE, "ecdsa256", "zsk", "softhsm2", token.label, f"file:{pin}", "a key",
                        check=False), str(pin), "Permission denied", who)
    give(site.place.root / "tokens", 0, 0o700)
    for command in (["check", ZONE], ["assign", ZONE, "ecdsa256", "zsk", "softhsm2", token.label, token.pin, "a key"],
                    ["keys", "softhsm2", token.label, token.pin]):
        refused = root(site, *command, check=False)
        assert refused.returncode == 1, refused
        assert who in refused.output, refused
    assert_refused(generate(site, token, check=False), who)
    assert token.label not in root(site, "tokens").stdout


def test_where_the_server_is_root_s_too(site, token):
    """So is the state directory: then all is used as root."""
    for directory in ("tokens", "state"):
        give(site.place.root / directory, 0, 0o700)
    generate(site, token)
    assert owners(site.place.root / "tokens") == owners(site.place.root / "state") == {0}
    root(site, "check", ZONE)
    site.pdnsutil("rectify-zone", ZONE)
    server = site.start_server(as_root=True)
    assert_delv(server, ZONE, f"www.{ZONE}")


def test_root_that_may_not_become_another_user_is_warned(site, token):
    """In a container without these capabilities: what root makes stays root's."""
    words = f"generate {ZONE} ecdsa256 ksk softhsm2 '{token.label}' {token.pin} 'a key'"
    made = site.runner.run(programs.program("setpriv"), "--bounding-set=-setuid,-setgid", programs.pdnsutil(),
                           f"--config-dir={site.place.root / 'conf'}", "backend-cmd", "pkcs11signer", words,
                           as_root=True, quiet=(f"== {words}",))
    assert f"root may not work as the owner of {site.place.root / 'state'}: Operation not permitted" in made.stderr
    assert 0 in owners(site.place.root / "tokens")
