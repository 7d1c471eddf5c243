# SPDX-License-Identifier: GPL-2.0-or-later
"""A PKCS#11 module that crashes, hangs, is missing or is none: its own zones only."""
import json
from pathlib import Path

import dns.rcode
import pytest

from harness import sanitizer, spy as spying
from harness import zones
from harness.deadline import wait_for
from harness.validate import assert_signed, keys_of

GOOD_ZONE, BAD_ZONE, PLAIN = zones.SIGNED, zones.OTHER, zones.PLAIN

# What the compiled ones do, when, and what is said of it.
CRASHES = {
    "crash-load": ("crashes", "load", "crashed when it was loaded (signal 11)"),
    "abort-list": ("aborts", "list", "crashed when it was loaded (signal 6)"),
    "crash-initialize": ("crashes", "initialize", "crashed when it was initialized (signal 11)"),
    "exit-load": ("leaves", "load", "ended the process when it was loaded (exit code 0)"),
    "exit-initialize": ("leaves", "initialize", "ended the process when it was initialized (exit code 0)"),
    "hang-load": ("hangs", "load", "does not come back from being loaded"),
    "hang-initialize": ("hangs", "initialize", "does not come back from being initialized"),
}
FILES = {
    "missing": (None, "No such file"),
    "empty": (b"", "file too short"),
    "text": (b"module: this is no library, and long enough to hold the header of one\n" * 8, "invalid ELF header"),
    "no-pkcs11": ("libm.so.6", "C_GetFunctionList"),
}
LEFT_OUT = "it is left out"
# PowerDNS itself loads what is configured for its programs before it does anything else.
NOT_FOR_POWERDNS = "disable-in: pdns_server pdnsutil\n"


@pytest.fixture
def bad_module(base, site):
    """Makes a module `bad` of that kind; its path."""
    # A sanitizer would catch the signals that these modules are about.
    site.runner.sanitizer.set(handle_segv=0, handle_abort=0)

    def make(kind, *, critical=False):
        if kind in CRASHES:
            bad, where, _ = CRASHES[kind]
            path = spying.build(base / "badmodule", spying.BADMODULE, f"-DBAD={bad}", f"-DWHERE={where}",
                                name=f"{kind}.so")
        else:
            content, _ = FILES[kind]
            path = site.place.root / f"{kind}.so"
            if isinstance(content, str):
                path = content
            elif content is not None:
                site.place.file(path.name, content, 0o755)
        path = next(Path("/usr/lib").glob(f"*/{path}")) if isinstance(path, str) else path
        text = f"module: {path}\n" + ("critical: yes\n" if critical else "")
        site.place.file("xdg/pkcs11/modules/bad.module", text + (NOT_FOR_POWERDNS if kind in CRASHES else ""))
        return path
    return make


@pytest.fixture
def installation(site):
    """A zone of a good token, one whose keys are said to be on a token of `bad`, and one without keys."""
    token = site.token()
    for name in (GOOD_ZONE, BAD_ZONE, PLAIN):
        site.add_zone(zones.small(name))
    for name in (GOOD_ZONE, BAD_ZONE):
        site.secure(name, token)
    for row in site.database.key_rows(BAD_ZONE):
        site.database.set_content(row.id, row.content.replace(b"Engine: softhsm2\n", b"Engine: bad\n"))
    return site


def assert_only_its_zones_suffer(server, seconds=10):
    good = server.ask(f"www.{GOOD_ZONE}", timeout=seconds)
    assert good.rcode() == dns.rcode.NOERROR, str(good)
    assert_signed(good, keys_of(server, GOOD_ZONE))
    assert server.ask(f"www.{PLAIN}").rcode() == dns.rcode.NOERROR
    assert server.ask(f"www.{BAD_ZONE}", timeout=seconds).rcode() == dns.rcode.SERVFAIL
    server.assert_alive()


def own_lines(server):
    """What is said of the module itself, not of a query or a token."""
    return [line for line in server.log.splitlines() if "[pkcs11signer] PKCS#11 module 'bad'" in line]


def reason_in_list(site):
    """What `modules` says of `bad`; softhsm2 must be as ever."""
    listed = {m["name"]: m for m in json.loads(site.command("modules", json=True).stdout)}
    assert listed["softhsm2"]["version"] and not listed["softhsm2"].get("error")
    assert set(listed) == {"softhsm2", "bad"}
    return listed["bad"]["error"]


def test_why_powerdns_must_not_load_it_itself(installation, bad_module):
    """Stock PowerDNS loads all modules before main(): no module of PowerDNS could help then."""
    bad_module("crash-load")
    configuration = installation.place.root / "xdg/pkcs11/modules/bad.module"
    installation.pdnsutil("list-all-zones", stock=True)
    installation.place.file("xdg/pkcs11/modules/bad.module",
                            configuration.read_text().replace(NOT_FOR_POWERDNS, ""))
    assert installation.pdnsutil("list-all-zones", stock=True, check=False).returncode == -11


@pytest.mark.parametrize("kind", [kind for kind in CRASHES if "hang" not in kind])
def test_a_module_that_takes_the_process_down(installation, bad_module, kind):
    path = bad_module(kind)
    server = installation.start_server()
    assert_only_its_zones_suffer(server)
    line, = own_lines(server)
    assert str(path) in line and CRASHES[kind][2] in line and LEFT_OUT in line and ".module" in line
    assert CRASHES[kind][2] in reason_in_list(installation)
    assert_only_its_zones_suffer(server)
    assert len(own_lines(server)) == 1
    server.stop()


@pytest.mark.parametrize("kind", [kind for kind in CRASHES if "hang" in kind])
def test_a_module_that_hangs_delays_the_first_signature_only(installation, bad_module, kind):
    bad_module(kind)
    installation.set(pkcs11signer_timeout="500")
    server = installation.start_server()
    # Whoever asks meanwhile waits no longer than ever.
    assert server.ask(f"www.{GOOD_ZONE}", timeout=5).rcode() == dns.rcode.SERVFAIL
    assert server.ask(f"www.{PLAIN}", timeout=2).rcode() == dns.rcode.NOERROR
    wait_for("word on the module", lambda: own_lines(server), 20)
    wait_for("signed answer", lambda: server.ask(f"www.{GOOD_ZONE}").rcode() == dns.rcode.NOERROR)
    assert_only_its_zones_suffer(server)
    line, = own_lines(server)
    assert CRASHES[kind][2] in line and LEFT_OUT in line
    server.stop()


@pytest.mark.parametrize("critical", [False, True], ids=["plain", "critical"])
@pytest.mark.parametrize("kind", FILES)
def test_a_module_that_is_none(installation, bad_module, kind, critical):
    path = bad_module(kind, critical=critical)
    server = installation.start_server()
    assert_only_its_zones_suffer(server)
    reason = reason_in_list(installation)
    assert str(path) in reason and "does not load" in reason and FILES[kind][1] in reason
    # The query that failed is told the same.
    wait_for("reason in the log", lambda: "PKCS#11 module 'bad'" in server.log and FILES[kind][1] in server.log)
    server.stop()


def test_the_guardian_s_child_answers_too(installation, bad_module):
    bad_module("crash-load")
    server = installation.start_server(settings={"guardian": "yes"})
    assert_only_its_zones_suffer(server)
    assert "died" not in server.log and len(own_lines(server)) == 1
    server.stop()  # with its child


@pytest.mark.parametrize("line", [NOT_FOR_POWERDNS, "enable-in: p11-kit, pkcs11signer\n"], ids=["disable", "enable"])
def test_a_token_whose_module_powerdns_does_not_load(site, line):
    """The line that a token's module should have. It is loaded late then, and must still be alive at the end."""
    site.place.file("xdg/pkcs11/modules/softhsm2.module", f"module: {site.hsm.library}\n{line}")
    token = site.token()
    site.add_zone(zones.small(GOOD_ZONE))
    site.command("generate", GOOD_ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "a key")
    site.pdnsutil("rectify-zone", GOOD_ZONE)
    server = site.start_server()
    assert_signed(server.ask(f"www.{GOOD_ZONE}"), keys_of(server, GOOD_ZONE))
    server.stop()


def test_assign_next_to_a_crashing_module(site, bad_module):
    """backend-cmd asks nothing of modules that it does not need."""
    bad_module("crash-initialize")
    token = site.token()
    token.make_key("a key")
    site.add_zone(zones.small(GOOD_ZONE))
    site.command("assign", GOOD_ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "a key")
    result = site.command("assign", GOOD_ZONE, "ecdsa256", "ksk", "bad", token.label, token.pin, "a key", check=False)
    assert result.returncode == 1 and CRASHES["crash-initialize"][2] in result.output
    listed = json.loads(site.command("tokens", json=True).stdout)
    assert [CRASHES["crash-initialize"][2] in t.get("error", "") for t in listed if t["module"] == "bad"] == [True]


def test_without_the_program_that_tries_them(installation):
    installation.runner.environment["PKCS11SIGNER_PROBE"] = "/nonexistent/pkcs11signer-probe"
    installation.set(loglevel="9")
    installation.hsm.add_twin("bad")
    server = installation.start_server()
    good = server.ask(f"www.{GOOD_ZONE}")
    assert_signed(good, keys_of(server, GOOD_ZONE))
    assert "/nonexistent/pkcs11signer-probe: No such file or directory" in server.log
    server.stop()


@pytest.mark.parametrize("ignored", ["SIGCHLD"])
def test_where_children_are_not_waited_for(installation, bad_module, ignored):
    """A service manager or a wrapper may have had SIGCHLD ignored."""
    bad_module("crash-load")
    wrapper = ("/usr/bin/python3", "-c",
               f"import os, signal, sys; signal.signal(signal.{ignored}, signal.SIG_IGN);"
               " os.execv(sys.argv[1], sys.argv[1:])")
    server = installation.start_server(wrapper=wrapper)
    assert_only_its_zones_suffer(server)
    server.stop()


def test_who_waited_in_vain_reads_for_which_module(installation, bad_module):
    """The token is good. Another library does not come back while all are tried, for ten seconds."""
    bad_module("hang-initialize")
    installation.set(pkcs11signer_timeout="8000")
    server = installation.start_server()
    assert server.ask(f"www.{GOOD_ZONE}", timeout=30).rcode() == dns.rcode.SERVFAIL
    wait_for("its name", lambda: "did not answer in time: PKCS#11 module 'bad' has not come back from being" in server.log)
    wait_for("a signature", lambda: server.ask(f"www.{GOOD_ZONE}", timeout=30).rcode() == dns.rcode.NOERROR)
