# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/shim/test_abi.sh, which compares the symbols that the module needs with those there are."""
import os
import subprocess

from harness import programs


def abi(**environment) -> subprocess.CompletedProcess:
    return subprocess.run([programs.REPOSITORY / "tests/shim/test_abi.sh"], capture_output=True, text=True, timeout=120,
                          env={"PATH": os.environ["PATH"], "MODULE": str(programs.our_shim()), **environment})


def test_the_installed_programs_have_every_symbol():
    done = abi(PDNS_SERVER=programs.pdns_server(), PDNSUTIL=programs.pdnsutil())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("OK") == 2


def test_symbols_that_a_program_lacks_are_named():
    control = programs.pdns_control()
    done = abi(PDNS_SERVER=programs.pdns_server(), PDNSUTIL=control)
    assert done.returncode == 1
    assert f"{control} lacks BackendMakerClass::report(" in done.stdout
    assert f"{control} lacks typeinfo for DNSBackend" in done.stdout


def test_without_powerdns_it_is_skipped():
    done = abi()
    assert done.returncode == 77 and "SKIPPED" in done.stdout
