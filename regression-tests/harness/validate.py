# SPDX-License-Identifier: GPL-2.0-or-later
"""Validators that are not PowerDNS: dnspython, delv, unbound, ldns, dnssec-verify."""
import dns.dnssec
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from . import programs
from .deadline import wait_for
from .dnskey import KSK
from .ports import LOOPBACK, free_port
from .runner import Result
from .server import QUERY_DEADLINE, Server

# What a delegation holds unsigned, and what proves nothing.
UNSIGNED_TYPES = (dns.rdatatype.RRSIG, dns.rdatatype.OPT)


def keys_of(server: Server, zone: str, now: float | None = None) -> dns.rrset.RRset:
    """The zone's DNSKEY set; its own signature is checked. now: the server's clock, if it is another one."""
    answer = server.ask(zone, "DNSKEY")
    name = dns.name.from_text(zone)
    keys = answer.find_rrset(answer.answer, name, dns.rdataclass.IN, dns.rdatatype.DNSKEY)
    signatures = answer.find_rrset(answer.answer, name, dns.rdataclass.IN, dns.rdatatype.RRSIG,
                                   dns.rdatatype.DNSKEY)
    dns.dnssec.validate(keys, signatures, {name: keys}, None, now)
    return keys


def first_keys_of(server: Server, zone: str) -> dns.rrset.RRset:
    """Where the server does not wait long: on a busy machine opening a token may take longer."""
    wait_for(f"DNSKEY of {zone}", lambda: server.ask(zone, "DNSKEY").rcode() != dns.rcode.SERVFAIL)
    return keys_of(server, zone)


def assert_signed(answer: dns.message.Message, keys: dns.rrset.RRset, *unsigned: str,
                  now: float | None = None) -> None:
    """Every RRset of answer and authority section has a valid signature, but those
    at the names `unsigned` (delegations)."""
    sections = answer.answer + answer.authority
    loose = [dns.name.from_text(n) for n in unsigned]
    checked = 0
    for rrset in sections:
        if rrset.rdtype in UNSIGNED_TYPES:
            continue
        if rrset.name in loose and rrset.rdtype == dns.rdatatype.NS:
            continue
        if _synthesised(rrset, sections):
            continue
        found = [s for s in sections if s.rdtype == dns.rdatatype.RRSIG and s.covers == rrset.rdtype
                 and s.name == rrset.name]
        assert found, f"no signature for {rrset}\nin {answer}"
        dns.dnssec.validate(rrset, found[0], {keys.name: keys}, None, now)
        checked += 1
    assert checked, f"nothing signed in\n{answer}"


def _synthesised(rrset, sections) -> bool:
    """A CNAME that a DNAME made is not signed."""
    return rrset.rdtype == dns.rdatatype.CNAME and any(
        s.rdtype == dns.rdatatype.DNAME and rrset.name.is_subdomain(s.name) for s in sections)


# -- delv

def anchor_file(server: Server, zone: str, keys: dns.rrset.RRset):
    ksk = next(key for key in keys if key.flags == KSK)
    fields = ksk.to_text().split()
    text = " ".join(fields[:3]) + f' "{"".join(fields[3:])}"'
    return server.site.place.file(f"{zone}.anchor",
                                  f"trust-anchors {{\n {zone}. static-key {text};\n}};\n", 0o644)


def delv(server: Server, zone: str, name: str, rdtype: str = "A") -> Result:
    anchor = anchor_file(server, zone, keys_of(server, zone))
    return server.site.runner.run(
        programs.program("delv"), f"@{LOOPBACK}", "-p", server.port, "-a", anchor, f"+root={zone}",
        "+multiline", name, rdtype, check=False)


def assert_delv(server: Server, zone: str, name: str, rdtype: str = "A", negative: bool = False) -> None:
    result = delv(server, zone, name, rdtype)
    expected = "; negative response, fully validated" if negative else "; fully validated"
    assert expected in result.output.splitlines(), f"delv is not content: {result}"


# -- unbound

class Unbound:
    """A validating resolver that knows the anchors of some zones of one server."""

    def __init__(self, server: Server, *zones: str):
        site = server.site
        directory = site.place.directory(f"unbound-{server.port}")
        anchors, stubs = [], []
        for zone in zones:
            ksk = next(k for k in keys_of(server, zone) if k.flags == KSK)
            anchors.append(f'  trust-anchor: "{zone}. DNSKEY {ksk.to_text()}"')
            stubs.append(f'stub-zone:\n  name: "{zone}"\n  stub-addr: {LOOPBACK}@{server.port}')
        for _ in range(5):
            self.port = free_port()
            text = "\n".join([
                "server:", f'  directory: "{directory}"', '  chroot: ""', '  username: ""',
                f'  pidfile: "{directory}/pid"', "  use-syslog: no", '  logfile: ""', "  verbosity: 1",
                "  val-log-level: 2", f"  interface: {LOOPBACK}", f"  port: {self.port}",
                "  do-daemonize: no", "  do-not-query-localhost: no", "  do-ip6: no", "  num-threads: 1",
                '  module-config: "validator iterator"', "  trust-anchor-signaling: no",
                '  local-zone: "test." nodefault', "  qname-minimisation: no", *anchors,
                "remote-control:", "  control-enable: no", *stubs, ""])
            configuration = site.place.file(f"unbound-{server.port}/unbound.conf", text)
            self.daemon = site.runner.spawn(programs.program("unbound"), "-d", "-p", "-c", configuration,
                                            log=directory / "unbound.log")
            if wait_for("unbound", lambda: not self.daemon.running() or self._answers()) \
                    and self.daemon.running():
                return
            assert "bind" in self.daemon.log, f"unbound ended:\n{self.daemon.log}"
        raise AssertionError("found no free port in five attempts")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.daemon.kill()

    def _answers(self) -> bool:
        query = dns.message.make_query("version.bind.", "TXT", "CH")
        try:
            return bool(dns.query.udp(query, LOOPBACK, 0.5, self.port))
        except (OSError, dns.exception.DNSException):
            return False

    def ask(self, name: str, rdtype: str = "A") -> dns.message.Message:
        query = dns.message.make_query(name, rdtype, want_dnssec=True)
        query.flags |= dns.flags.AD
        answer, _ = dns.query.udp_with_fallback(query, LOOPBACK, QUERY_DEADLINE, self.port)
        return answer

    def is_secure(self, name: str, rdtype: str = "A", rcode: int = dns.rcode.NOERROR) -> bool:
        answer = self.ask(name, rdtype)
        return answer.rcode() == rcode and bool(answer.flags & dns.flags.AD)

    def assert_secure(self, name: str, rdtype: str = "A", rcode: int = dns.rcode.NOERROR) -> None:
        assert self.is_secure(name, rdtype, rcode), \
            f"unbound did not validate {name} {rdtype}:\n{self.ask(name, rdtype)}\n{self.daemon.log}"


# -- whole zones

def transferred_file(server: Server, zone: str):
    lines = [rrset.to_text() for rrset in server.transfer(zone)]
    soa = [line for line in lines if f"{zone}. " in line and " IN SOA " in line]
    assert len(soa) >= 1, "the transfer has no SOA"
    return server.site.place.file(f"{zone}.axfr", "\n".join(lines) + "\n")


def assert_transfer_verifies(server: Server, zone: str) -> None:
    path = transferred_file(server, zone)
    run = server.site.runner.run
    ldns = run(programs.program("ldns-verify-zone"), path, check=False)
    assert ldns.returncode == 0 and "verified and complete" in ldns.output, \
        f"ldns-verify-zone is not content: {ldns}\n{path.read_text()}"
    # -z: a zone may do with one key, whose SEP bit then says nothing
    single = [] if " DNSKEY 256 " in path.read_text() else ["-z"]
    bind = run(programs.program("dnssec-verify"), *single, "-o", zone, path, check=False)
    assert bind.returncode == 0 and "Zone fully signed" in bind.output, \
        f"dnssec-verify is not content: {bind}\n{path.read_text()}"
