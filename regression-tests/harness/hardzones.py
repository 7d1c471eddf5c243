# SPDX-License-Identifier: GPL-2.0-or-later
"""Zones that are hard to deny things in, made at random, and every question about their names."""
import random
import socket

import dns.message
import dns.name
import dns.rdatatype

from .deadline import PATIENCE
from .ports import LOOPBACK
from .zones import Zone

PLAIN_LABELS = ["a", "b", "www", "mail", "x-1", "_tcp", "UPPER", "MiXed", "0", "zz"]
# PowerDNS refuses queries for the last few, unless 8bit-dns is set; a transfer has them.
ODD_LABELS = [r"dot\.ted", r"sp\032ace", "sl/ash", r"back\\slash", "co:lon", r"at\@", "x" * 61, "star*", "-",
              r"quo\"te", r"ctl\001", r"\127\200"]
TYPES = ["A", "NS", "DS", "CNAME", "DNAME", "TXT", "SOA", "DNSKEY", "NSEC", "NSEC3PARAM", "CDS", "HINFO", "ANY"]
DIGEST = "ab" * 32


class Maker:
    """The lines of one zone."""

    def __init__(self, name: str, seed: int):
        self.random = random.Random(f"{name} {seed}")
        self.name = name
        self.lines: list[str] = []
        self.targets = ["www", "ns1", "missing", "a.missing", "www.example.org."]

    def make(self, parts: int) -> str:
        self.lines = [f"$ORIGIN {self.name}.", "$TTL 3600",
                      "@ SOA ns1 hostmaster 2023010101 3600 600 604800 300", "@ NS ns1", "ns1 A 192.0.2.1"]
        makers = [self.host, self.insecure, self.secure, self.wildcard, self.cname, self.dname, self.junk_below,
                  self.wild_cut, self.services]
        for number in range(parts):
            owner = self.below(self.label() + str(number) if number % 3 else self.label(), self.random.randint(0, 3))
            for maker in self.random.sample(makers, self.random.choice([1, 1, 1, 2])):
                maker(owner)
        return "\n".join(self.lines) + "\n"

    def label(self) -> str:
        return self.random.choice(PLAIN_LABELS if self.random.random() < 0.6 else ODD_LABELS)

    def below(self, owner: str, depth: int) -> str:
        """That many labels more, so that there may be empty non-terminals."""
        for _ in range(depth):
            label = self.label() if self.random.random() < 0.9 else "*"
            if len(label) + len(owner) < 180:
                owner = f"{label}.{owner}"
        return owner

    def add(self, owner: str, rdata: str, ttl: int | str = "") -> None:
        self.lines.append(f"{owner} {ttl} {rdata}")

    def target(self) -> str:
        return self.random.choice(self.targets)

    # -- what stands at or below a name

    def host(self, owner: str) -> None:
        self.targets.append(owner)
        for rdata in self.random.sample(["A 192.0.2.2", "AAAA 2001:db8::2", 'TXT "text"', "MX 1 WWW", 'HINFO "a" "b"',
                                         'CAA 0 issue "ca"'], 2):
            self.add(owner, rdata)
        if self.random.random() < 0.3:
            self.add(owner, 'TXT "of another TTL"', 60)
            self.add(owner, 'TXT "a third"', 7200)

    def insecure(self, owner: str) -> None:
        self.add(owner, f"NS ns.{owner}")
        self.add(owner, "NS ns1")
        self.add(f"ns.{owner}", "A 192.0.2.3")
        if self.random.random() < 0.2:
            self.add(owner, "A 192.0.2.33")

    def secure(self, owner: str) -> None:
        self.add(owner, "NS ns1")
        self.add(owner, f"DS 12345 13 2 {DIGEST}")

    def wildcard(self, owner: str) -> None:
        self.add(f"*.{owner}", self.random.choice(
            ['TXT "wild"', "A 192.0.2.4", f"CNAME {self.target()}", f"DS 1 13 2 {DIGEST}", "MX 1 mail"]))
        if self.random.random() < 0.3:
            self.host(f"beside.{owner}")
        if self.random.random() < 0.3:
            self.add(f"below.*.{owner}", 'TXT "below a wildcard"')

    def wild_cut(self, owner: str) -> None:
        self.add(f"*.{owner}", "NS ns1")

    def cname(self, owner: str) -> None:
        self.add(f"c1.{owner}", f"CNAME c2.{owner}")
        self.add(f"c2.{owner}", f"CNAME {self.target()}")

    def dname(self, owner: str) -> None:
        self.add(f"d.{owner}", f"DNAME {self.target()}")
        if self.random.random() < 0.3:
            self.host(f"occluded.d.{owner}")

    def junk_below(self, owner: str) -> None:
        """What has no business below a delegation."""
        cut = f"cut.{owner}"
        self.random.choice([self.insecure, self.secure])(cut)
        for line in self.random.sample(
                [("txt", 'TXT "junk"'), ("sub", "NS ns1"), ("ds", f"DS 2 13 2 {DIGEST}"), ("c", "CNAME www"),
                 ("*", 'TXT "wild"'), ("e.n.t", "MX 1 mail"), ("d", "DNAME example.org.")], 3):
            self.add(f"{line[0]}.{cut}", line[1])

    def services(self, owner: str) -> None:
        self.add(f"_s.{owner}", f"SRV 1 1 1 {self.target()}")
        self.add(f"_h.{owner}", "HTTPS 1 . alpn=h2")
        self.add(f"_h2.{owner}", f"HTTPS 0 _h.{owner}")
        self.add(f"_h.{owner}", "A 192.0.2.8")


def hard(name: str, seed: int, parts: int = 12) -> Zone:
    return Zone(name, Maker(name, seed).make(parts))


def mangle(connection, zone: Zone, seed: int) -> list[str]:
    """What other programs do to a zone in SQLite, with no regard to what rectifying has put there. The new names."""
    chance = random.Random(f"{zone.name} {seed}")
    domain, = connection.execute("SELECT id FROM domains WHERE name = ?", (zone.name,)).fetchone()
    new = []

    def add(name: str, rdtype: str | None, content: str | None, ttl: int = 300) -> None:
        new.append(name)
        connection.execute("INSERT INTO records (domain_id, name, type, content, ttl, prio) VALUES (?, ?, ?, ?, ?, 0)",
                           (domain, name, rdtype, content, ttl))

    def at(name: str, statement: str) -> None:
        connection.execute(f"{statement} WHERE domain_id = ? AND name = ?", (domain, name))

    changes = [
        lambda name: add(f"raw.{name}", "A", "192.0.2.9"),
        lambda name: add(f"a.b.c.{name}", "TXT", '"deep"'),
        lambda name: (add(f"cut.{name}", "NS", f"ns1.{zone.name}"), add(f"txt.cut.{name}", "TXT", '"below"')),
        lambda name: [add(name, "TXT", f'"{text}"', ttl) for ttl, text in enumerate("kal")],
        lambda name: add(name, "NSEC", f"a.{zone.name} A", 77),
        lambda name: add(zone.name, "NSEC3PARAM", "1 0 5 ab", 77),
        lambda name: add(zone.name, "CDS", "1 13 2 " + DIGEST, 77),
        lambda name: add(f"ent.{name}", None, None),
        lambda name: at(name, "UPDATE records SET ordername = NULL"),
        lambda name: at(name, "UPDATE records SET auth = 1 - auth"),
        lambda name: name == zone.name or at(name, "DELETE FROM records"),
    ]
    for change in chance.sample(changes, 3):
        change(chance.choice([name for name, in connection.execute(
            "SELECT DISTINCT name FROM records WHERE domain_id = ? ORDER BY name", (domain,))]))
    return new


def owners(zone: Zone, more: list[str]) -> set[dns.name.Name]:
    """The names of a zone, and all between them and the zone's own."""
    origin = dns.name.from_text(zone.name)
    found = {origin}
    for owner in [dns.name.from_text(line.split(" ", 1)[0], origin) for line in zone.text.splitlines()[2:]] + \
            [dns.name.from_text(name) for name in more]:
        while owner != origin:
            found.add(owner)
            owner = owner.parent()
    return found


def questions(zone: Zone, more: list[str] = ()) -> list[tuple[dns.name.Name, str]]:
    """Each type at each name; and names that do not exist before, after, and below each."""
    asked = set()
    for owner in owners(zone, list(more)):
        asked |= {(owner, rdtype) for rdtype in TYPES}
        for labels in (b"-",), (b"nx",), (b"zzz",), (b"*",), (b"a", b"b"), (b"NX", b"*"):
            try:
                name = dns.name.Name(labels + owner.labels)
            except dns.name.NameTooLong:
                continue
            asked |= {(name, "A"), (name, "DS"), (name, "TXT")}
    return sorted(asked)


def unanswered(server, asked: list) -> list[tuple[dns.name.Name, str]]:
    """Those that the server answers with SERVFAIL."""
    failed = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(30 * PATIENCE)
        sock.connect((LOOPBACK, server.port))
        for name, rdtype in asked:
            query = dns.message.make_query(name, rdtype, want_dnssec=True, payload=4096).to_wire()
            sock.send(query)
            answer = sock.recv(65535)
            while answer[:2] != query[:2]:
                answer = sock.recv(65535)
            if answer[3] & 0xf == 2:
                failed.append((name, rdtype))
    return failed
