# SPDX-License-Identifier: GPL-2.0-or-later
"""Every question that a zone's signatures could be needed for."""
from concurrent.futures import ThreadPoolExecutor

import dns.flags
import dns.name
import dns.node
import dns.rcode
import dns.rdatatype
import dns.zone

from . import zones
from .server import Server
from .validate import assert_signed, keys_of

# More than zones.RICH has: what PowerDNS makes of its own, odd names, and TTLs that differ.
STRANGE = zones.RICH + """
@          CAA    0 issue "ca.example"
MiXeD.Case 60 A   192.0.2.60
MiXeD.Case 60 MX  5 MAIL.Example.ORG.
a\\.dot     TXT    "a dot in a label"
a/b       A      192.0.2.61
_sip._tcp  SRV    1 2 5060 www
srv        HTTPS  1 . alpn=h2
*          7200 TXT "from the wildcard at the top"
deep.er.empty A   192.0.2.62
sub.leaf.empty A  192.0.2.63
ns2.insecure A    192.0.2.64
secure     86400 DS 12345 13 4 {digest}
unsafe     NS     ns1
naptr      NAPTR  10 10 "u" "E2U+sip" "!^.*$!sip:x@example!" .
*.cname    CNAME  www
long       TXT    "{long}" "{long}"
"""
ABSENT = "HINFO"


def strange(name: str = zones.SIGNED, more: str = "") -> zones.Zone:
    return zones.Zone(name, (STRANGE + more).format(zone=name, digest="ab" * 48, long="x" * 250))


class Everything:
    """The questions for a zone, by name and type; what stands below a delegation leads to a referral."""

    def __init__(self, zone: zones.Zone):
        self.zone = zone
        parsed = dns.zone.from_text(zone.text, origin=zone.name, relativize=False, check_origin=False)
        self.origin = parsed.origin
        self.cuts = {name for name, node in parsed.items()
                     if name != parsed.origin and node.get_rdataset(1, dns.rdatatype.NS)}
        self.questions = set(self._existing(parsed)) | set(self._missing(parsed))

    @property
    def unsigned(self) -> list[str]:
        """Names whose NS are not this zone's to sign."""
        return [str(name) for name in self.cuts]

    def _existing(self, parsed):
        for rdtype in ("SOA", "DNSKEY", "CDS", "CDNSKEY", "NSEC3PARAM", "NS", "DS"):
            yield self.origin, rdtype
        for name, node in parsed.items():
            for rdataset in node:
                yield name, dns.rdatatype.to_text(rdataset.rdtype)
            yield name, ABSENT
            yield name, "DS"

    def _missing(self, parsed):
        for name in parsed:
            yield _below(name, "absent"), "A"
            while name != self.origin:  # empty non-terminals, and what is beside them
                name = name.parent()
                yield name, "A"
                yield _below(name, "zzz"), "TXT"
                yield _below(name, "a", "b"), "A"

    def names(self) -> int:
        return len({name for name, _ in self.questions})

    def ask(self, server: Server) -> list:
        """(name, type, answer) for each; two at a time."""
        ordered = sorted(self.questions)
        with ThreadPoolExecutor(2) as pool:
            answers = pool.map(lambda q: server.ask(str(q[0]), q[1]), ordered)
            return [(str(name), rdtype, answer) for (name, rdtype), answer in zip(ordered, answers)]

    def assert_answered(self, server: Server) -> None:
        """All of them, with signatures that are good."""
        keys = keys_of(server, self.zone.name)
        for name, rdtype, answer in self.ask(server):
            assert answer.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN), f"{name} {rdtype}:\n{answer}"
            assert_signed(answer, keys, *self.unsigned)


def _below(name: dns.name.Name, *labels: str) -> dns.name.Name:
    return dns.name.Name([label.encode() for label in labels] + list(name.labels))
