# SPDX-License-Identifier: GPL-2.0-or-later
"""How the module is launched, what it refuses, and what it exports."""
import subprocess
from pathlib import Path

import pytest

from harness import programs, zones
from harness.server import Server
from harness.validate import assert_delv

ZONE = zones.SIGNED


def assert_one_clear_line(text: str, *words) -> None:
    lines = [line for line in text.splitlines() if "pkcs11signer" in line and "launch" in line.lower()
             and all(word in line for word in words)]
    assert lines, text
    assert len({line.split("pkcs11signer", 1)[1] for line in lines}) <= 2, "\n".join(lines)


@pytest.mark.parametrize("launch", ["gsqlite3,pkcs11signer", "pkcs11signer", "bind,pkcs11signer,gsqlite3"])
def test_a_wrong_launch_order_is_refused(site, launch):
    site.write_configuration("conf", launch)
    ended = Server.start_and_fail(site)
    assert ended.code not in (0, -6, -11), "it must end, not crash"
    assert_one_clear_line(ended.log, "first" if "," in launch else "behind")


@pytest.mark.parametrize("launch", ["gsqlite3,pkcs11signer", "pkcs11signer"])
def test_pdnsutil_refuses_a_wrong_launch_order_too(site, launch):
    site.write_configuration("conf", launch)
    result = site.pdnsutil("list-all-zones", check=False)
    assert result.returncode not in (0, -6, -11)
    assert "pkcs11signer" in result.stderr


def test_a_module_built_for_another_version_refuses_to_run(site):
    """The version it was built for is a string in it: a copy with another one stands for such a build."""
    version = programs.pdns_version()
    other = version[:-1] + chr(ord(version[-1]) ^ 1)
    ours = Path(site.settings["module-dir"]) / programs.OUR_BACKEND
    built = ours.read_bytes()
    assert f"PowerDNS {version}\0".encode() in built
    ours.unlink()
    ours.write_bytes(built.replace(f"PowerDNS {version}".encode(), f"PowerDNS {other}".encode()))
    ours.chmod(0o755)

    ended = Server.start_and_fail(site)

    assert ended.code not in (0, -6, -11), "it must end, not crash"
    lines = [line for line in ended.log.splitlines() if "built for PowerDNS" in line]
    assert len(lines) == 1 and other in lines[0] and version in lines[0], ended.log


def test_two_databases_behind_it(site):
    """The zone's keys go to the database that stores keys."""
    from harness.backends import Lmdb
    other = Lmdb(site.place)
    site.write_configuration("conf", "pkcs11signer,gsqlite3,lmdb", {**site.settings, **other.settings()})
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    assert len(site.database.key_rows(ZONE)) == 2
    assert_delv(site.start_server(), ZONE, f"www.{ZONE}")


def exported(library: Path) -> list[str]:
    out = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True,
                         text=True, timeout=60).stdout
    return [line.split()[-1] for line in out.splitlines() if line.strip()]


def test_the_module_exports_only_what_the_loader_needs():
    assert exported(programs.our_module()) == []
    assert exported(programs.our_shim()) == ["p11s_shim_start"]


@pytest.mark.parametrize("library", [programs.OUR_BACKEND, programs.OUR_SHIM])
def test_the_module_needs_only_libraries_that_it_is_known_to_need(library):
    out = subprocess.run(["readelf", "-d", programs.our_shim().parent / library], check=True, capture_output=True,
                         text=True, timeout=60).stdout
    needed = {line.split("[")[1].split(".so")[0] for line in out.splitlines() if "NEEDED" in line}
    assert needed <= {"libp11-kit", "libcrypto", "libsodium", "liblmdb", "libmariadb", "libstdc++", "libgcc_s", "libc",
                      "libm", "libpthread", "ld-linux-x86-64", "libasan", "libubsan", "libtsan"}


def test_the_server_serves_zones_without_any_token(site):
    """A module that is only there must not be in the way."""
    site.add_zone(zones.small(zones.PLAIN))
    server = site.start_server()
    assert server.ask(f"www.{zones.PLAIN}").answer
    server.stop()


def test_start_and_stop_leave_no_crash_behind(site):
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    for _ in range(5):
        server = site.start_server()
        server.ask(f"www.{ZONE}")
        server.stop()


def test_no_thread_of_the_module_is_left_when_exit_takes_libraries_down(site, threadend_library):
    """OpenSSL's data of that thread were freed by both: one stop in fifty crashed or hung."""
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    env = {"LD_PRELOAD": str(threadend_library)}
    checked = site.command("check", check=False, env=env)
    assert checked.returncode == 0, str(checked)
    server = site.start_server(env=env)
    server.ask(f"www.{ZONE}")
    server.stop()


def test_it_ends_at_once_on_sigterm(site):
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    server = site.start_server()
    server.ask(f"www.{ZONE}")
    # As the stock server: daemon=no has no handler for it.
    assert server.daemon.terminate() == -15


@pytest.mark.parametrize("settings", [{"guardian": "yes"}, {"distributor-threads": "8", "receiver-threads": "4"},
                                      {"distributor-threads": "1"}])
def test_other_ways_to_run_the_server(site, settings):
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    server = site.start_server(settings=settings)
    assert_delv(server, ZONE, f"www.{ZONE}")
    assert_delv(server, ZONE, f"missing.{ZONE}", negative=True)
    server.stop()


def test_pdns_control_commands_go_on_working(site):
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    server = site.start_server()
    assert_delv(server, ZONE, f"www.{ZONE}")
    for command in ("rping", "purge", "reload", "cycle", "list-zones"):
        server.control(command, check=command != "cycle")
    assert server.control("show", "udp-queries").stdout.strip().isdigit()
    assert_delv(server, ZONE, f"www.{ZONE}")
    server.stop()
