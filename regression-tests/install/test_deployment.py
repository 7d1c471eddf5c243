# SPDX-License-Identifier: GPL-2.0-or-later
"""The server as Debian's unit runs it, and what `make install` sets up."""
import os
import pwd
import stat
import subprocess

import pytest

from harness import programs, zones
from harness.validate import assert_delv

ZONE = zones.SIGNED


def status_of(pid: int) -> dict[str, str]:
    lines = open(f"/proc/{pid}/status").read().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_as_user_pdns_without_new_privileges(site):
    """PIN file and state directory readable by it alone, the token by its group."""
    if os.geteuid() != 0:
        pytest.skip("only root can become user pdns")
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("a key")
    pin = site.place.file("pin", token.pin, mode=0o600)
    state = site.place.directory("state", 0o700)
    site.command("assign", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, f"file:{pin}", "a key")
    site.pdnsutil("rectify-zone", ZONE)
    user = pwd.getpwnam("pdns")
    _hand_to_the_group(site.place.root / "tokens", user.pw_gid)

    server = site.start_server(as_root=True, wrapper=(
        programs.program("setpriv"), "--reuid", "pdns", "--regid", "pdns", "--clear-groups", "--no-new-privs"))

    assert_delv(server, ZONE, f"www.{ZONE}")
    status = status_of(server.daemon.pid)
    assert set(status["Uid"].split()) == {str(user.pw_uid)} and set(status["Gid"].split()) == {str(user.pw_gid)}
    assert status["NoNewPrivs"] == "1" and not int(status["CapEff"], 16)
    for path, mode in ((pin, 0o600), (state, 0o700)):
        assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (user.pw_uid, mode)
    server.stop()


def _hand_to_the_group(directory, gid: int) -> None:
    """As root would own the tokens: the service gets at them through its group alone."""
    for path in (directory, *directory.rglob("*")):
        os.chown(path, 0, gid)
        path.chmod(0o2770 if path.is_dir() else 0o660)


def test_as_the_unit_sandboxes_it(site):
    """A credential for the PIN: nothing but the server's environment leads to it."""
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("a key")
    env = {"CREDENTIALS_DIRECTORY": str(site.place.directory("credentials", 0o500))}
    site.place.directory("credentials", 0o700)
    site.place.file("credentials/pin", token.pin, mode=0o400)
    site.set(pkcs11signer_pin_source="credential:pin", pkcs11signer_store_pins="no")
    site.command("assign", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, "", "a key", env=env)
    site.pdnsutil("rectify-zone", ZONE, env=env)
    server = site.start_server(env=env)
    assert_delv(server, ZONE, f"www.{ZONE}")
    assert token.pin.encode() not in site.database.raw()


def test_the_pin_is_in_no_file_the_server_leaves(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key("a key")
    pin = site.place.file("pin", token.pin)
    site.set(loglevel="9", pkcs11signer_pin_source=f"file:{pin}", pkcs11signer_store_pins="no", log_dns_queries="yes")
    site.assign(ZONE, "ecdsa256", "ksk", token, "a key")
    site.pdnsutil("rectify-zone", ZONE)
    server = site.start_server()
    assert_delv(server, ZONE, f"www.{ZONE}")
    server.stop()
    for path in site.place.root.rglob("*"):
        if path.is_file() and path != pin and "tokens" not in path.parts:
            assert token.pin.encode() not in path.read_bytes(), path


def test_make_install_puts_module_and_state_directory_in_place(place):
    build = programs.REPOSITORY / ".build/build"
    if not (build / "Makefile").exists():
        pytest.skip("the module under test was not built here (P11S_MODULE_DIR)")
    done = subprocess.run(["make", "-C", str(build), "install", f"DESTDIR={place.root}"], capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    module, = place.root.rglob(programs.OUR_BACKEND)
    assert module.parent.name == "pdns" and (module.parent / programs.OUR_SHIM).is_file()
    assert not list(module.parent.glob("*.la"))
    state = place.root / "var/lib/powerdns/pkcs11signer"
    assert state.is_dir() and stat.S_IMODE(state.stat().st_mode) == 0o700
