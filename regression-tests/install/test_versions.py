# SPDX-License-Identifier: GPL-2.0-or-later
"""The module in a PowerDNS that it was not built for.

P11S_OTHER_BUILDS names directories with builds for other versions, each called by its version;
matrix.sh makes them. Without it these tests are not collected (conftest.py).
"""
import os
import shutil
from pathlib import Path

import pytest

from harness import programs, zones
from harness.server import Server

ZONE = zones.SIGNED
OTHERS = [Path(path) for path in os.environ.get("P11S_OTHER_BUILDS", "").split(":") if path]

others = pytest.mark.parametrize("build", OTHERS, ids=[path.name for path in OTHERS])


def put_in_place(site, build: Path) -> str:
    """That build instead of ours; the version it is for."""
    directory = Path(site.settings["module-dir"])
    (directory / programs.OUR_BACKEND).unlink()
    for name in (programs.OUR_BACKEND, programs.OUR_SHIM):
        shutil.copy(build / name, directory / name)
        (directory / name).chmod(0o755)
    return build.name


def assert_one_line(text: str, version: str) -> None:
    lines = [line for line in text.splitlines() if "pkcs11signer" in line and "Loading '" not in line]
    assert len(lines) == 1, text
    assert f"built for PowerDNS {version} and cannot run in" in lines[0] and "build it for this version" in lines[0]


@others
def test_the_server_refuses_a_module_for_another_version(site, build):
    version = put_in_place(site, build)
    ended = Server.start_and_fail(site)
    assert ended.code == 1, ended.log
    assert_one_line(ended.log, version)
    assert f"cannot run in {programs.pdns_version()}; " in ended.log


@others
def test_pdnsutil_refuses_a_module_for_another_version(site, build):
    site.add_zone(zones.small(ZONE))
    version = put_in_place(site, build)
    result = site.pdnsutil("rectify-zone", ZONE, check=False)
    assert result.returncode == 1
    assert_one_line(result.stdout + result.stderr, version)
