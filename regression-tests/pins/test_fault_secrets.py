# SPDX-License-Identifier: GPL-2.0-or-later
"""No PIN in a core dump of the running server, in its log, or in what any tool says.

docs/security.md says what PowerDNS itself keeps when the PIN stands in the table.
"""
import re
import secrets
import socket
import string
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from harness import sanitizer, zones
from harness.deadline import wait_for
from harness.leaks import assert_core_clean, assert_words_clean, core_dump, shapes_in
from harness.ports import LOOPBACK
from harness.validate import assert_signed, keys_of

pytestmark = sanitizer.skip_with("its shadow memory makes a core dump of terabytes")

ZONE = zones.SIGNED
TALKATIVE = {"loglevel": "9", "log_dns_queries": "yes", "log_dns_details": "yes", "query_logging": "yes",
             "log_timestamp": "yes"}
TALKATIVE_ENVIRONMENT = {"P11_KIT_DEBUG": "all"}


def long_pin() -> str:
    """So long that wherever it is found it is this PIN."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(30))


class Prepared:
    """A key on a token with a long PIN."""

    def __init__(self, site):
        self.site = site
        self.pin = long_pin()
        site.add_zone(zones.small(ZONE))
        self.token = site.hsm.init_token("dns keys", self.pin)
        self.token.make_key("a key")
        self.label = "a key"
        self.environment = {}
        site.set(**TALKATIVE)

    def source(self, way: str, pin: str) -> str:
        """What is to stand in the table."""
        site = self.site
        if way == "credential":
            self.environment["CREDENTIALS_DIRECTORY"] = str(site.place.directory("credentials"))
            site.place.file("credentials/hsm", pin)
            return "credential:hsm"
        path = site.place.file("pin", f"{pin}\n")
        if way == "setting":
            site.set(pkcs11signer_pin_source=f"file:{path}")
            return ""
        return f"file:{path}"

    def assign(self, pin: str):
        return self.site.command("assign", ZONE, "ecdsa256", "ksk", "softhsm2", self.token.label, pin, self.label,
                                 env=self.environment)

    def start(self):
        self.site.pdnsutil("rectify-zone", ZONE, env=self.environment)
        return self.site.start_server(env={**self.environment, **TALKATIVE_ENVIRONMENT})

    def use_everything(self, server) -> None:
        """Whoever may say something about a key."""
        site, environment = self.site, self.environment
        assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))
        assert server.transfer(ZONE)
        for key in server.api("GET", f"/zones/{ZONE}./cryptokeys", status=200).json():
            server.api("GET", f"/zones/{ZONE}./cryptokeys/{key['id']}", status=200)
        server.api("PUT", f"/zones/{ZONE}./rectify", status=200)
        server.api("GET", "/config", status=200)
        for words in (("check",), ("list",), ("status",), ("tokens", "softhsm2")):
            site.command(*words, check=False, env=environment)
        for words in (("show-zone", ZONE), ("list-keys",), ("export-zone-key", ZONE, "1"), ("check-zone", ZONE)):
            site.pdnsutil(*words, check=False, env=environment)
        for words in (("show", "*"), ("current-config",), ("rping",)):
            server.control(*words)


@pytest.fixture
def prepared(site):
    return Prepared(site)


@pytest.mark.parametrize("way", ["file", "credential", "setting"])
def test_a_pin_from_a_source_is_nowhere(prepared, way):
    prepared.assign(prepared.source(way, prepared.pin))
    server = prepared.start()
    prepared.use_everything(server)
    assert_core_clean(server, prepared.pin)
    assert_words_clean(server, prepared.pin)
    server.stop()


def test_a_refused_pin_is_nowhere(prepared):
    """Nor the one that comes after it."""
    site, wrong = prepared.site, prepared.site.transcript.secret(long_pin())
    prepared.assign(prepared.source("file", prepared.pin))
    site.place.file("pin", wrong)
    server = prepared.start()
    for n in range(3):
        assert server.ask(f"host{n}.{ZONE}").rcode() == dns.rcode.SERVFAIL
    assert_core_clean(server, wrong)
    site.place.file("pin", prepared.pin)
    wait_for("answer with the right PIN", lambda: server.ask(f"www.{ZONE}").rcode() == dns.rcode.NOERROR)
    assert_core_clean(server, prepared.pin, wrong)
    assert_words_clean(server, prepared.pin, wrong)
    server.stop()


@pytest.mark.parametrize("call", ["C_Login", "C_Sign"])
def test_a_key_that_wants_its_pin_each_time_has_it_no_longer_than_that(prepared, spy, call):
    """It is read from its source for each signature."""
    prepared.label = "consent"
    prepared.token.make_key(prepared.label, "P-256", None, "--always-auth")
    prepared.assign(prepared.source("file", prepared.pin))
    server = prepared.start()
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))
    assert_core_clean(server, prepared.pin)
    spy.forget()
    spy.rules(f"{call} hang")
    query = dns.message.make_query(f"ns1.{ZONE}", "A", want_dnssec=True).to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(query, (LOOPBACK, server.port))
        wait_for(call, lambda: spy.count(call))
        assert_core_clean(server, prepared.pin)
        if call == "C_Login":
            assert_own_copies_guarded(server, prepared.pin)
        else:
            assert spy.count("C_Login") == 1 and not guarded_copies(server, prepared.pin)
    spy.rules()
    wait_for("answer", lambda: server.ask(f"ns1.{ZONE}").rcode() == dns.rcode.NOERROR)
    assert_words_clean(server, prepared.pin)
    server.stop()


@pytest.mark.parametrize("call", ["C_Login", "C_OpenSession", "C_Sign"])
def test_while_a_call_hangs_the_pin_is_nowhere(prepared, spy, call):
    """Nor after it: the PIN is in the hands of the module until C_Login returns."""
    prepared.assign(prepared.source("file", prepared.pin))
    server = prepared.start()
    spy.forget()
    spy.rules(f"{call} hang")
    query = dns.message.make_query(f"www.{ZONE}", "A", want_dnssec=True).to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(query, (LOOPBACK, server.port))
        wait_for(call, lambda: spy.count(call))
        if call == "C_Login":
            assert_own_copies_guarded(server, prepared.pin)
        assert_core_clean(server, prepared.pin)
    spy.rules()
    wait_for("answer", lambda: server.ask(f"www.{ZONE}").rcode() == dns.rcode.NOERROR)
    assert_core_clean(server, prepared.pin)
    assert_words_clean(server, prepared.pin)
    server.stop()


# -- the PIN in the table

def test_a_pin_in_the_table_is_in_no_log_and_no_answer(prepared):
    """PowerDNS and the database's client keep copies of the row, so a core dump has the PIN:
    docs/security.md. The module's own copy is locked in memory and left out of the dump."""
    prepared.assign(prepared.pin)
    server = prepared.start()
    prepared.use_everything(server)
    assert_own_copies_guarded(server, prepared.pin)
    assert_words_clean(server, prepared.pin)
    server.stop()


def test_what_makes_a_pin_in_the_table_worse_than_a_source(prepared):
    """If this one fails, PowerDNS has learned to wipe its copies: change docs/security.md."""
    prepared.assign(prepared.pin)
    server = prepared.start()
    prepared.use_everything(server)
    assert shapes_in(core_dump(server), prepared.pin), "not found: good news"
    server.stop()


class Mapping:
    def __init__(self, header: str, lines: list[str]):
        self.first, self.end = (int(part, 16) for part in header.split()[0].split("-"))
        self.flags = next((line.split()[1:] for line in lines if line.startswith("VmFlags:")), [])


def mappings(pid: int) -> list[Mapping]:
    parts = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ rw)", Path(f"/proc/{pid}/smaps").read_text())
    return [Mapping(*((part.splitlines()[0], part.splitlines()[1:]))) for part in parts if " rw" in part[:64]]


def guarded_copies(server, pin: str) -> list[Mapping]:
    """Where in memory it is that no core dump has."""
    guarded = []
    with open(f"/proc/{server.daemon.pid}/mem", "rb", buffering=0) as memory:
        for mapping in mappings(server.daemon.pid):
            if "dd" in mapping.flags:
                memory.seek(mapping.first)
                if pin.encode() in memory.read(mapping.end - mapping.first):
                    guarded.append(mapping)
    return guarded


def assert_own_copies_guarded(server, pin: str) -> None:
    """There is such a copy; it is locked, so it is never swapped out."""
    guarded = guarded_copies(server, pin)
    assert guarded, "the module has no copy, or a core dump has it"
    assert all("lo" in mapping.flags for mapping in guarded), [mapping.flags for mapping in guarded]
