# SPDX-License-Identifier: GPL-2.0-or-later
"""setup.sh, demo.sh, check.sh: what they promise of the machine they run on, and of what they count."""
import os
import re
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import namespace, processes, programs, sanitizer, spy
from harness.deadline import PATIENCE, wait_for

SLOW = Path(__file__).parents[1] / "harness/native/slow.c"
# With the source of PowerDNS where somebody has given it, as setup.sh then must not fetch it.
THIS_BUILD = {"P11S_MODULE_DIR": str(programs.module_dir()),
              **{name: os.environ[name] for name in ("P11S_PDNS_SOURCE",) if name in os.environ}}
MODULE_FILES = Path("/usr/share/p11-kit/modules")
SETUP = programs.REPOSITORY / "setup.sh"


# -- a library that waits, as libtpm2-pkcs11-1 does where there is no TPM, for each program that p11-kit is in

@pytest.fixture
def slow_machine(place, runner):
    """A runner on a machine where p11-kit has such a library, and the file that says which programs loaded it."""
    reason = namespace.why_not()
    if reason:
        pytest.skip(reason)
    loaded = place.file("loaded", mode=0o666)
    library = spy.build(place.directory("slow", 0o755), SLOW, "-D_GNU_SOURCE", f'-DLOADED="{loaded}"')
    modules = place.directory("slow-modules", 0o755)
    for path in MODULE_FILES.iterdir():
        shutil.copy(path, modules)
    place.file("slow-modules/slow.module", f"module: {library}\ncritical: no\n", 0o644)
    machine = namespace.Namespace(runner, place.root / "namespace.log", {MODULE_FILES: modules})
    yield namespace.NamespaceRunner(runner, machine), loaded
    machine.end()


def demo(machine, *options, **how):
    return machine.run(programs.REPOSITORY / "demo.sh", *options, as_root=True, timeout=300, record=False,
                       env=THIS_BUILD, **how)


@sanitizer.skip_with("the demo is with the usual build")
@pytest.mark.parametrize("options", [(), ("--card",), ("--mysql",)], ids=" ".join)
def test_demo_says_what_it_is_about_and_no_more(slow_machine, place, options):
    """Nothing comes from a library of the machine, and nothing waits for it."""
    machine, loaded = slow_machine
    # It is there: whatever has p11-kit in it loads it.
    waits = machine.spawn(programs.pdns_server(), "--version", log=place.root / "waits.log", as_root=True)
    wait_for("a program that waits for it", lambda: "pdns_server" in loaded.read_text())
    waits.kill()
    place.file("loaded", mode=0o666)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    done = demo(machine, *options)

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said, _, next_steps = done.stdout.partition("All was as expected. What next:\n")
    assert next_steps and "FAILED" not in said, str(done)
    assert len(done.stdout.splitlines()) <= 120
    assert done.stderr == "", done.stderr
    assert loaded.read_text() == ""
    # The clock says how busy the machine is, too.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 15
    for page in re.findall(r"\S+\.(?:md|sh)", next_steps):
        assert (programs.REPOSITORY / page).is_file(), page


def home_of_demo(said: str) -> Path:
    return Path(re.search(r"/tmp/pkcs11signer-demo\.\w+", said)[0])


@sanitizer.skip_with("the demo is with the usual build")
def test_demo_leaves_a_server_that_does_what_is_said_of_it(runner):
    said = demo(runner, "--card", "--keep").stdout.split("to work with it:\n")[1]
    try:
        shell, *commands = [line.strip() for line in said.strip().split("\n\n")[0].splitlines()]

        def typed(*lines):
            return runner.run("sh", "-c", f"{shell} -i", input="\n".join([*lines, "exit"]), as_root=True, record=False)

        done = typed(*commands)
        assert "fully validated" in done.stdout, str(done)
        assert "rror" not in done.output, str(done)
        # The server says once a second what it has.
        wait_for("status", lambda: "DENK0100042" in typed("pkcs11signer status").stdout)
    finally:
        runner.run("sh", "-c", re.search(r"(?m)^  (kill .*; rm -r /tmp/.*)$", said)[1], as_root=True)
    wait_for("end of it", lambda: not processes.at_home_in(home_of_demo(said)))
    assert not home_of_demo(said).exists()


@sanitizer.skip_with("the demo is with the usual build")
def test_demo_leaves_nothing_when_its_reader_goes_away():
    with subprocess.Popen([programs.REPOSITORY / "demo.sh"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          env={**os.environ, **THIS_BUILD}, text=True) as it:
        home = home_of_demo(next(line for line in it.stdout if "/tmp/pkcs11signer-demo" in line))
    wait_for("end of it", lambda: not processes.at_home_in(home))
    assert it.returncode != 0 and not home.exists()


def source_of_a_tag(directory: Path) -> Path:
    """The source of this PowerDNS as its repository has it: there, nothing but the directory's name says which it is."""
    source = Path(re.search(r"(?m)^PDNS_SOURCE = (.*)$", (programs.REPOSITORY / ".build/build/Makefile").read_text())[1])
    directory.mkdir()
    for it in source.iterdir():
        if it.name not in ("configure", "configure.ac", ".complete"):
            (directory / it.name).symlink_to(it)
    said = (source / "configure.ac").read_text()
    (directory / "configure.ac").write_text(re.sub(r"(AC_INIT\(\[pdns\], ).*", r"\1m4_esyscmd([builder-support/gen-version]))", said))
    return directory


def test_configure_loads_no_library_of_the_machine(slow_machine, place):
    """It asks pdns_server for its version."""
    machine, loaded = slow_machine
    machine.home = place.directory("configure")
    source = source_of_a_tag(machine.home / f"pdns-{programs.pdns_version()}")
    machine.run(programs.REPOSITORY / "configure", f"--with-pdns-source={source}", as_root=True, timeout=300, record=False)
    assert loaded.read_text() == ""


def test_setup_builds_with_the_source_that_it_says_to_get(slow_machine, place):
    """Where apt has no source packages; and goes on to."""
    machine, _ = slow_machine
    for lists in (machine.namespace.path("/etc/apt/sources.list.d"), machine.namespace.path("/etc/apt")):
        for it in (*lists.glob("*.list"), *lists.glob("*.sources")):
            it.unlink()
    tree = place.directory("a tree")
    shutil.copy(SETUP, tree)
    setup = [tree / "setup.sh", "--no-build"]
    refused = machine.run(*setup, as_root=True, check=False, record=False)
    assert refused.returncode == 1, str(refused)
    get, build = re.findall(r"(?m)^  (.*)$", refused.stderr)
    assert get.split()[:2] == ["git", "clone"]
    source = source_of_a_tag(place.root / get.split()[-1])
    for command in ([*"sh -c".split(), f"{build} --no-build"], setup):
        ready = machine.run(*command, as_root=True, record=False)
        assert f"== ready: {source}\n" in ready.stdout, str(ready)


# -- what is installed

def packages(name: str) -> list[str]:
    """An array of setup.sh."""
    text = re.search(rf"(?ms)^{name}=\((.*?)\)", SETUP.read_text())[1]
    return re.sub(r"#.*", "", text).split()


FOR_POWERDNS = re.compile(r"/p11-kit/modules/.|/pkcs11/modules/.|/powerdns/pdns\.d/.|/libtss2-tcti-tabrmd\.")


def test_what_tests_need_puts_nothing_into_powerdns():
    """No package that is installed for the tests has a .module file, lets PowerDNS launch something, or makes a
    tpm2-pkcs11 that is there wait. p11-kit-modules and opensc-pkcs11 come with what is there to run."""
    meant = [name for array in ("mysql", "card", "test") for name in packages(f"{array}_packages")]
    for_all = {"p11-kit-modules", "opensc-pkcs11"}
    for package in sorted(set(meant) - for_all):
        files = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True, timeout=60).stdout.splitlines()
        bad = [it for it in files if FOR_POWERDNS.search(it)]
        assert not bad, f"{package}: {bad}"


# -- what is counted

OUTCOMES = """
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
static void good(void **state) { (void)state; }
static void bad(void **state) { (void)state; fail(); }
static void left_out(void **state) { (void)state; skip(); }
static void dies(void **state) { (void)state; if (getenv("DIE") != NULL) _Exit(1); }
int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(good), cmocka_unit_test(bad), cmocka_unit_test(left_out),
                                     cmocka_unit_test(dies)};
  return cmocka_run_group_tests_name("some", tests, NULL, NULL);
}
"""


def counted(directory: Path) -> str:
    return subprocess.run([programs.REPOSITORY / "regression-tests/results.py", *sorted(directory.glob("*.trs"))],
                          capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_a_unit_test_counts_once_whatever_came_of_it(place):
    source = place.file("outcomes.c", OUTCOMES)
    program = spy.compile_program(place.directory("outcomes"), source, "cmocka")
    log, results = program.with_suffix(".log"), program.with_suffix(".trs")
    for environment, result, expected in (({}, "FAIL", "2 1 1"), ({"DIE": "1"}, "FAIL", "1 1 1")):
        with open(log, "wb") as sink:
            done = subprocess.run([program], stdout=sink, stderr=sink, env={**os.environ, **environment}, timeout=60)
        assert done.returncode != 0
        results.write_text(f":test-result: {result}\n")
        assert counted(program.parent) == expected, log.read_text()
    # It dies before anything was wrong: that is one, too.
    log.write_text("[       OK ] good\n")
    assert counted(program.parent) == "1 1 0"


# -- what is left over

def test_a_program_that_goes_on_is_found_and_ended(place, runner):
    """Though it has a session of its own and its parent is gone."""
    runner.run("sh", "-c", "setsid sleep 600 >/dev/null 2>&1 </dev/null &")
    left = processes.end_all(place.root, 0.1)
    assert len(left) == 1 and left[0].rstrip().endswith("sleep 600")
    wait_for("end of it", lambda: not processes.at_home_in(place.root), 10 * PATIENCE)


# -- the package

def test_the_package_has_the_version_of_the_module():
    version = re.search(r"AC_INIT\(\[pkcs11signer\], \[(.*?)\]\)", (programs.REPOSITORY / "configure.ac").read_text())[1]
    assert (programs.REPOSITORY / "debian/changelog").read_text().startswith(f"pkcs11signer ({version}) ")
    assert f"\n## {version}\n" in (programs.REPOSITORY / "NEWS.md").read_text()
