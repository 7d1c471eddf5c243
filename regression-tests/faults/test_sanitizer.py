# SPDX-License-Identifier: GPL-2.0-or-later
"""A sanitizer that is switched on sees the module in PowerDNS, and what it finds fails a test."""
import subprocess
from pathlib import Path

import pytest

from harness import programs, sanitizer, spy as spying, zones
from harness.server import ServerEnded
from harness.validate import assert_delv

FAULTY = Path(__file__).parents[1] / "harness/native/faulty.c"
# Number of the fault in faulty.c, the compiler's option and what the report says, by sanitizer.
FAULTS = {
    "address": [(1, "-fsanitize=address", "heap-buffer-overflow"),
                (2, "-fsanitize=undefined", "signed integer overflow")],
    "thread": [(3, "-fsanitize=thread", "data race")],
    "": [],
}
ZONE = zones.SIGNED


def test_the_module_is_built_with_what_was_asked_for():
    assert sanitizer.name() == sanitizer.expected()


def test_the_runtime_is_in_the_server_that_has_the_module(site):
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    server = site.start_server()
    assert_delv(server, ZONE, f"www.{ZONE}")
    maps = Path(f"/proc/{server.daemon.pid}/maps").read_text()
    for library in (programs.OUR_BACKEND, programs.OUR_SHIM, *sanitizer.runtimes()):
        assert library in maps
    symbols = subprocess.run(["nm", "-D", "--undefined-only", programs.our_shim()], check=True, capture_output=True,
                             text=True, timeout=60).stdout
    assert {"address": "__asan_report_load", "thread": "__tsan_read"}[sanitizer.name()] in symbols
    server.stop()


@pytest.mark.parametrize("fault, option, finding", FAULTS[sanitizer.name()])
@pytest.mark.parametrize("program", ["server", "pdnsutil"])
def test_what_it_finds_fails_the_test(site, base, program, fault, option, finding):
    library = spying.build(base / "faulty", FAULTY, f"-DFAULT={fault}", option,
                             "-fno-sanitize-recover=undefined", "-g", name=f"faulty{fault}.so")
    env = {"LD_PRELOAD": str(library)}
    if program == "server":
        try:
            site.start_server(env=env).stop()
        except ServerEnded:
            pass  # so it does with some
    else:
        site.pdnsutil("list-all-zones", env=env, check=False)
    with pytest.raises(AssertionError, match=finding):
        site.runner.sanitizer.assert_clean()
    site.runner.sanitizer.assert_clean()
