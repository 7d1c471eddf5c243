# SPDX-License-Identifier: GPL-2.0-or-later
"""A zone's life for some weeks, made by chance or written down: zones, settings, and what happens to
them, as a script that says the same each time and can be made shorter."""
import random
import re
from dataclasses import dataclass, field, fields, replace

import dns.name

HOUR, DAY = 3600, 86400
ABSENT = "HINFO"
SETTLED = 600
"""Seconds after which PowerDNS's caches have forgotten what was before, with its defaults."""

DENIALS = {"nsec": None, "nsec3": "1 0 1 ab", "narrow": "1 0 0 -", "opt-out": "1 1 0 -"}
SOA_EDITS = ("INCEPTION-INCREMENT", "INCREMENT-WEEKS", "INCEPTION-EPOCH", "EPOCH", "NONE")
BASE = (("@", "NS", "ns1"), ("ns1", "A", "192.0.2.1"))
# What a zone may have besides, each as a whole.
PIECES = (
    (("www", "A", "192.0.2.80"), ("www", "AAAA", "2001:db8::80")),
    (("mail", "A", "192.0.2.25"), ("@", "MX", "10 mail")),
    (("@", "TXT", '"of the zone"'),),
    (("alias", "CNAME", "www"),),
    (("*.wild", "A", "192.0.2.7"),),
    (("leaf.empty", "TXT", '"below an empty non-terminal"'),),
    (("sub", "NS", "ns.sub"), ("ns.sub", "A", "192.0.2.53")),
    (("safe", "NS", "ns1"), ("safe", "DS", "12345 13 2 " + "ab" * 32)),
    (("x.y.gov", "NS", "ns1"), ("z.gov", "NS", "ns1")),
    (("old", "DNAME", "new"), ("host.new", "A", "192.0.2.9")),
    (("kid", "NS", "ns1"),), (("kid", "NS", "ns1"), ("kid", "DS", "12345 13 2 " + "cd" * 32)),
)
BELOW_A_CUT = (("sub", "NS", "ns.sub"), ("hidden.sub", "TXT", '"under a delegation"'),
               ("deep.er.sub", "A", "192.0.2.8"))
ODD_NAMES = (("a*b", "A", "192.0.2.62"), ("x\\032y", "TXT", '"a blank"'), ("\\200", "TXT", '"no letter"'))
STRANGE = (
    BELOW_A_CUT, ODD_NAMES, (("a\\.dot", "TXT", '"a dot in a label"'), ("MiXeD.Case", "A", "192.0.2.60")),
    (("_sip._tcp", "SRV", "1 2 5060 ns1"), ("a/b", "A", "192.0.2.61")))
LONGER, SPREAD = "rrsig-expiry-extend", "soa-edit-spread"  # from 5.1.3 on; left out before
PLAIN = re.compile(r"@|(\*\.)?[a-z0-9_.-]+")  # an owner that the API takes
BROKEN = ("broken", "A", "300.1.2.3")  # a row of the database: no zone file may say that


@dataclass(frozen=True)
class ZoneCase:
    name: str
    records: tuple = BASE
    serial: str = "2023010101"  # "week": the first of the day on which the week began
    denial: str = "nsec"
    keys: tuple = ("ksk", "zsk")  # or ("csk",)
    soa_edit: str | None = None
    cds: bool = False
    assigned: bool = True  # the row pins the public key

    def __str__(self) -> str:
        return f"ZoneCase({', '.join([repr(self.name), *_unusual(self, ZoneCase(self.name))])})"

    def text(self, serial: str) -> str:
        lines = [" ".join(record) for record in self.records if record != BROKEN]
        return "\n".join([f"$ORIGIN {self.name}.", "$TTL 3600", f"@ SOA ns1 hostmaster {serial} 3600 600 604800 300",
                          *lines, ""])


@dataclass(frozen=True)
class Case:
    """Steps, by their first word:

        ask ZONE PART           all, some, keys, transfer, or a type at the zone's top
        pass, turn SECONDS      turn: of the next week
        restart
        set ZONE OWNER TYPE TTL CONTENT…      without CONTENT: removed
        denial ZONE KIND; cds ZONE DIGEST…; serial ZONE
        add key ZONE ROLE LABEL; deactivate, remove ZONE LABEL
        disable, delete, create ZONE
        ahead WEEKS             `sign-ahead all`"""
    zones: tuple[ZoneCase, ...] = ()
    steps: tuple[tuple, ...] = ()
    weeks: int = 0  # that the server signs ahead
    caches: bool = False  # PowerDNS's defaults, or none
    threads: tuple[int, int] = (1, 3)  # receivers, distributors
    settings: dict = field(default_factory=dict)
    warm: int | None = None  # at the end, all zones, for so many weeks more
    restarts: bool = True  # without the token

    def __str__(self) -> str:
        """As it is written."""
        steps = "".join(f"    {step!r},\n" for step in self.steps)
        more = "".join(f", {text}" for text in _unusual(self, Case()))
        return f"Case(({', '.join(map(str, self.zones))},), (\n{steps}){more})"

    def zone(self, name: str) -> ZoneCase:
        return next(zone for zone in self.zones if zone.name == name)

    def questions(self, name: str) -> list[tuple[str, str]]:
        """All that a signature could be needed for, whenever a record is there."""
        origin = dns.name.from_text(name)
        records = [*self.zone(name).records,
                   *((s[2], s[3], "") for s in self.steps if s[0] == "set" and s[1] == name)]
        asked = {(origin, rdtype) for rdtype in ("SOA", "DNSKEY", "CDS", "CDNSKEY", "NSEC3PARAM", ABSENT)}
        for owner, rdtype, _ in records:
            at = dns.name.from_text(owner, None) + origin if owner != "@" else origin
            asked |= {(at, rdtype), (at, ABSENT), (at, "DS"), (_below(at, "absent"), "A")}
            while at != origin:
                at = at.parent()
                asked |= {(at, "A"), (_below(at, "zzz"), "TXT")}
        return sorted((str(at), rdtype) for at, rdtype in asked)


def _unusual(it, usual) -> list[str]:
    return [f"{f.name}={getattr(it, f.name)!r}" for f in fields(it)
            if f.name not in ("name", "zones", "steps") and getattr(it, f.name) != getattr(usual, f.name)]


def _below(name: dns.name.Name, label: str) -> dns.name.Name:
    return dns.name.Name((label.encode(), *name.labels))


# -- by chance

class Maker:
    """A case from a seed."""

    def __init__(self, seed: int):
        self.rng = random.Random(seed)
        self.steps: list[tuple] = []
        self.made = 0

    def chance(self, of: float) -> bool:
        return self.rng.random() < of

    def case(self) -> Case:
        zones = tuple(map(self.zone, self.rng.choice((["a.test"], ["a.test"], ["a.test", "b.test"],
                                                      ["a.test", "kid.a.test"]))))
        self.of = {zone.name: zone for zone in zones}
        self.names = [*self.of]
        for name in self.names:
            self.ask(name, "all")
        for _ in range(self.rng.randint(1, 4)):
            self.rng.choice((self.rest, self.turn, self.there_and_back, self.there_and_back, self.challenge,
                             self.remove, self.roll, self.keys_only, self.serial, self.unsign, self.deny, self.publish)
                            )(self.rng.choice(self.names))
            self.settle()
        if self.chance(.15):
            self.ask(self.rng.choice(self.names), "transfer")
        if self.chance(.8):
            self.steps.append(("ahead", self.rng.randint(1, 3)))
        if self.chance(.2):
            self.steps.append(("pass", self.rng.randint(1, 5) * DAY))
        if self.chance(.2):
            self.turn(self.rng.choice(self.names))
        hours = 0
        settings = {"default-soa-edit": self.maybe_edit(.1), "default-soa-edit-signed": self.maybe_edit(.1),
                    "cache-ttl": "60" if self.chance(.5) else None,
                    LONGER: str((hours := self.rng.randint(1, 90)) * HOUR) if self.chance(.2) else None}
        settings[SPREAD] = str(hours * HOUR) if hours % 2 else None
        return Case(
            zones, tuple(self.steps), weeks=self.rng.choice((0, 0, 1, 2)), caches=self.chance(.5),
            threads=self.rng.choice(((1, 3), (1, 1), (4, 1))), restarts=self.chance(.5),
            settings={name: value for name, value in settings.items() if value},
            warm=self.rng.randint(0, 2) if self.chance(.3) else None)

    def maybe_edit(self, of: float) -> str | None:
        return self.rng.choice(SOA_EDITS) if self.chance(of) else None

    def zone(self, name: str) -> ZoneCase:
        pieces = [piece for piece in PIECES + STRANGE if self.chance(.5)] + [(BROKEN,)] * self.chance(.1)
        return ZoneCase(
            name, tuple(dict.fromkeys(record for piece in (BASE, *pieces) for record in piece)),
            serial=self.rng.choice(("2023010101", "1", "week", "4000000000")),
            denial=self.rng.choice(tuple(DENIALS)), keys=self.rng.choice((("ksk", "zsk"), ("csk",))),
            soa_edit=self.maybe_edit(.2), cds=self.chance(.5), assigned=self.chance(.7))

    # What happens. Each leaves the server with some time behind it.

    def settle(self) -> None:
        self.steps.append(("pass", SETTLED))

    def ask(self, name: str, part: str | None = None) -> None:
        self.steps.append(("ask", name, part or self.rng.choice(("all", "all", "some"))))

    def rest(self, name: str) -> None:
        self.steps.append(("pass", self.rng.randint(1, 4 * 24) * HOUR))
        if self.chance(.5):
            self.steps.append(("restart",))
        self.ask(name)

    def turn(self, name: str) -> None:
        self.steps.append(("turn", self.rng.randint(1, 48) * HOUR))
        for other in self.names:
            if other == name or self.chance(.5):
                self.ask(other)

    def rrset(self, name: str) -> tuple[str, str, list[str]]:
        records = [r for r in self.of[name].records if r[1] in ("A", "TXT", "AAAA") and r != BROKEN
                   and PLAIN.fullmatch(r[0]) and not r[0].endswith("sub")]
        owner, rdtype, _ = self.rng.choice(records)
        return owner, rdtype, [r[2] for r in records if r[:2] == (owner, rdtype)]

    def other(self, rdtype: str) -> str:
        self.made += 1
        return {"A": f"198.51.100.{self.made}", "AAAA": f"2001:db8::1:{self.made}", "TXT": f'"{self.made}"'}[rdtype]

    def change(self, name: str, owner: str, rdtype: str, contents, ttl: int = 3600) -> None:
        self.steps.append(("set", name, owner, rdtype, ttl, *contents))
        self.settle()
        if self.chance(.8):
            self.ask(name)

    def there_and_back(self, name: str) -> None:
        owner, rdtype, contents = self.rrset(name)
        if self.chance(.3):
            self.change(name, owner, rdtype, contents, ttl=60)
        else:
            self.change(name, owner, rdtype, [self.other(rdtype)])
        if self.chance(.3):
            self.steps.append(("pass", self.rng.randint(1, 3) * DAY))
        if self.chance(.8):
            self.change(name, owner, rdtype, contents)

    def challenge(self, name: str) -> None:
        owner = self.rng.choice(("_acme-challenge", "www", "below.www"))
        for contents in ([self.other("TXT")], [])[:self.rng.randint(1, 2)]:
            self.change(name, owner, "TXT", contents)

    def remove(self, name: str) -> None:
        owner, rdtype, _ = self.rrset(name)
        if owner != "ns1":
            self.change(name, owner, rdtype, [])

    def roll(self, name: str) -> None:
        self.made += 1
        role, new = self.rng.choice(self.of[name].keys), f"{name}-new{self.made}"
        self.steps.append(("add key", name, role, new))
        self.settle()
        self.ask(name)
        self.steps.append((self.rng.choice(("deactivate", "remove")), name, f"{name}-{role}"))
        self.settle()
        self.ask(name)

    def keys_only(self, name: str) -> None:
        self.steps += [("pass", self.rng.randint(50, 90) * HOUR), ("restart",)]
        self.ask(name, self.rng.choice(("keys", "DNSKEY")))

    def unsign(self, name: str) -> None:
        how = self.rng.choice(("disable", "delete"))
        self.steps.append((how, name))
        self.settle()
        if how == "delete" and self.chance(.6):
            self.steps.append(("create", name))
            self.settle()
            self.ask(name)

    def deny(self, name: str) -> None:
        """In another way, and perhaps as before again."""
        for kind in (self.rng.choice(tuple(DENIALS)), self.of[name].denial)[:self.rng.randint(1, 2)]:
            self.steps.append(("denial", name, kind))
            self.settle()
            self.ask(name)

    def publish(self, name: str) -> None:
        for digests in self.rng.choices((("2",), ("4",), ()), k=self.rng.randint(1, 3)):
            self.steps.append(("cds", name, *digests))
            self.settle()
            self.ask(name, self.rng.choice(("all", "keys")))

    def serial(self, name: str) -> None:
        self.steps.append(("serial", name))
        self.settle()
        self.ask(name)


def random_case(seed: int) -> Case:
    return Maker(seed).case()


# -- shorter ones

def shorter(case: Case):
    """Cases with one thing less each, the latest steps first."""
    for i in reversed(range(len(case.steps))):
        yield replace(case, steps=case.steps[:i] + case.steps[i + 1:])
    for gone in case.zones if len(case.zones) > 1 else ():
        yield replace(case, zones=tuple(zone for zone in case.zones if zone != gone),
                      steps=tuple(step for step in case.steps if step[1:2] != (gone.name,)))
    for change in {"warm": None}, {"settings": {}}, {"caches": False}, {"weeks": 0}, {"threads": (1, 3)}:
        if replace(case, **change) != case:
            yield replace(case, **change)
    for i, zone in enumerate(case.zones):
        for change in ({"records": BASE}, {"denial": "nsec"}, {"soa_edit": None}, {"cds": False}, {"assigned": True},
                       {"serial": "2023010101"}, {"keys": ("ksk", "zsk")},
                       *({"records": tuple(r for r in zone.records if r != record)} for record in zone.records)):
            smaller = replace(zone, **change)
            if smaller != zone and set(BASE) <= set(smaller.records):
                yield replace(case, zones=(*case.zones[:i], smaller, *case.zones[i + 1:]))
