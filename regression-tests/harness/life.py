# SPDX-License-Identifier: GPL-2.0-or-later
"""A case (case.py) brought about: a server, a token behind a spy, a calendar; and what was answered.

Nothing of what the module knows is used to tell what has been served: only the questions that were
asked, the answers that came, and those that a second server gives to the same questions, one with
the same database, the token, and no store."""
import time
import zlib
from base64 import b32hexdecode
from dataclasses import dataclass, replace

import dns.dnssec
import dns.exception
import dns.name
import dns.rcode
import dns.rdatatype

from . import programs
from .case import BROKEN, DENIALS, LONGER, PLAIN, SPREAD, Case
from .clock import WEEK, Clock, Hurry, week_of
from .deadline import wait_for
from .dnskey import KSK, ZSK
from .site import NO_CACHES, Site
from .speed import KeyLog, statistics, wait_for_statistic
from .spy import Spy
from .zones import Zone

ALGORITHM = "ecdsa256"
KEYS = ("DNSKEY", "CDS", "CDNSKEY", "SOA")
PAST_THE_SPY = "past-the-spy"  # a directory with a p11-kit configuration
LONGER_SINCE = 50103
MINUTE = 60  # until the server has noticed what is new in the database
LOOK_SECONDS = 7  # the server looks for what it can sign ahead every five


@dataclass(frozen=True)
class Signed:
    """What one signature was for, whatever its week. An SOA has the serial of the database."""
    zone: str
    owner: str
    rdtype: str
    ttl: int
    rdatas: frozenset
    tag: int

    @property
    def is_made_up(self) -> bool:
        """An NSEC3 record that covers the one hash that was asked for (narrow)."""
        if self.rdtype != "NSEC3":
            return False
        (rdata,) = self.rdatas
        covers, behind = (int.from_bytes(b32hexdecode(text.upper().encode()), "big")
                          for text in (self.owner.split(".")[0], rdata.split()[4]))
        return covers + 2 == behind


@dataclass(frozen=True)
class Answer:
    rcode: int
    content: frozenset = frozenset()  # (owner, type, rdatas) of all records but RRSIGs; no serial
    signed: frozenset = frozenset()
    rrsigs: tuple = ()  # (rrset, rrsig)

    @property
    def good(self) -> bool:
        return self.rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)


FAILED = Answer(dns.rcode.SERVFAIL)


def _name(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _texts(rrset, serials: dict) -> frozenset:
    texts = (rdata.to_text() for rdata in rrset)
    if rrset.rdtype == dns.rdatatype.SOA:
        serial = serials.get(_name(rrset.name), "")
        texts = (" ".join([*text.split()[:2], serial, *text.split()[3:]]) for text in texts)
    return frozenset(texts)


def read(rcode: int, rrsets, serials: dict) -> Answer:
    """serials: of the zones, in the database."""
    sets, sigs = {}, {}
    for rrset in rrsets:
        if rrset.rdtype == dns.rdatatype.RRSIG:
            for sig in rrset:
                sigs.setdefault((rrset.name, sig.type_covered), {})[sig.to_text()] = sig
        elif (rrset.name, rrset.rdtype) in sets:
            sets[rrset.name, rrset.rdtype].update(rrset)
        else:
            sets[rrset.name, rrset.rdtype] = rrset
    content, signed, pairs = set(), set(), []
    for (name, rdtype), rrset in sets.items():
        type_name, texts = dns.rdatatype.to_text(rdtype), _texts(rrset, serials)
        content.add((_name(name), type_name, texts))
        for sig in sigs.get((name, rdtype), {}).values():
            owner = name
            if sig.labels < len(name) - 1:  # from a wildcard
                owner = dns.name.Name((b"*", *name.labels[-sig.labels - 1:]))
            signed.add(Signed(_name(sig.signer), _name(owner), type_name, sig.original_ttl, texts, sig.key_tag))
            pairs.append((rrset, sig))
    return Answer(rcode, frozenset(content), frozenset(signed), tuple(pairs))


def ask(server, zone: str, question: tuple[str, str], serials: dict) -> Answer:
    name, rdtype = question
    try:
        if rdtype == "AXFR":
            return read(dns.rcode.NOERROR, server.transfer(zone), serials)
        message = server.ask(name, rdtype)
        return read(message.rcode(), message.answer + message.authority + message.additional, serials)
    except (dns.exception.DNSException, OSError, EOFError):
        return FAILED


def why_not_valid(answer: Answer, keys: dict, now: float) -> str:
    """"" when all its signatures are good at that moment. keys: of all zones, by name."""
    for rrset, sig in answer.rrsigs:
        try:
            dns.dnssec.validate_rrsig(rrset, sig, keys, None, now)
        except dns.dnssec.ValidationFailure as error:
            return f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)}: {error or 'signature does not verify'}"
    return ""


class Life:
    def __init__(self, site: Site, case: Case, spy_library, hurry_library):
        self.site = site
        self.case = case
        place, runner = site.place, site.runner
        site.hsm.add_module("softhsm2", site.hsm.library)
        place.directory(f"{PAST_THE_SPY}/pkcs11/modules", 0o755)
        place.file(f"{PAST_THE_SPY}/pkcs11/pkcs11.conf", "user-config: only\n")
        place.file(f"{PAST_THE_SPY}/pkcs11/modules/softhsm2.module", f"module: {site.hsm.library}\n")
        self.spy = Spy(place, runner, site.hsm, spy_library)
        self.key_log = KeyLog(place, runner)
        self.clock = Clock.in_midweek(place)
        self.hurry = Hurry(place, hurry_library, self.clock.environment)
        self.token = site.token("signing")
        self.made: dict[str, int] = {}  # keys on the token: label → flags
        self.rows: dict[str, tuple[str, int]] = {}  # label → zone, id
        self.zones = [zone.name for zone in case.zones]
        self.served: dict[Signed, set] = {}  # the weeks in which it was
        self.expected: dict[str, dict] = {}  # by zone and question: signed answers, as of ask_reference()
        self.keys: dict = {}  # of all zones, by name, as of then
        self.strays: set[str] = set()  # keys that no row names, with which was signed ahead
        self.changed = -MINUTE  # when the database was, by the real clock
        self.server = None
        self._configure()
        for zone in case.zones:
            self._add(zone.name)
        self.start()
        for step in case.steps:
            self._do(step)

    # -- setting it up

    def _configure(self) -> None:
        case = self.case
        settings = {"receiver-threads": case.threads[0], "distributor-threads": case.threads[1],
                    "pkcs11signer-sign-ahead": case.weeks, "pkcs11signer-ahead-rate": "1000",
                    "pkcs11signer-timeout": "8000", "pkcs11signer-state-dir": self.site.place.directory("state"),
                    **({name: None for name in NO_CACHES} if case.caches else {}),
                    **case.settings}
        if programs.pdns_number() < LONGER_SINCE:
            settings = {name: value for name, value in settings.items() if name not in (LONGER, SPREAD)}
        self.site.set(**{name.replace("-", "_"): value for name, value in settings.items()})
        self.site.place.directory("reference", 0o755)
        self.site.write_configuration("reference", f"pkcs11signer,{self.site.database.name}", {
            **self.site.settings, **NO_CACHES, "pkcs11signer-store": "none", "pkcs11signer-sign-ahead": "0",
            "pkcs11signer-state-dir": str(self.site.place.directory("reference-state"))})

    def _serial_to_begin_with(self, zone: str) -> str:
        serial = self.case.zone(zone).serial
        return serial if serial != "week" else time.strftime("%Y%m%d01", time.gmtime(week_of(self.clock.now())))

    def _insert(self, zone: str, table: str, columns: str, rows: list[tuple]) -> None:
        connection = self.site.database.table.connect()
        connection.executemany(
            f"INSERT INTO {table} (domain_id, {columns}) "
            f"SELECT id, {', '.join('?' * len(columns.split(', ')))} FROM domains WHERE name = ?",
            [(*row, zone) for row in rows])
        connection.close()

    def _add(self, name: str) -> None:
        zone = self.case.zone(name)
        metadata = {"SOA-EDIT": zone.soa_edit, "PUBLISH-CDS": "2" if zone.cds else None,
                    "PUBLISH-CDNSKEY": "1" if zone.cds else None,
                    "NSEC3PARAM": DENIALS[zone.denial], "NSEC3NARROW": "1" if zone.denial == "narrow" else None}
        self.site.add_zone(Zone(name, zone.text(self._serial_to_begin_with(name))))
        self._sign(name, {role: f"{name}-{role}" for role in zone.keys})
        self._insert(name, "domainmetadata", "kind, content", [row for row in metadata.items() if row[1] is not None])
        self.site.pdnsutil("rectify-zone", name, env=self.clock.environment)
        if BROKEN in zone.records:
            self._insert(name, "records", "name, type, content, ttl, auth",
                         [(f"{BROKEN[0]}.{name}", *BROKEN[1:], 3600, 1)])

    def _sign(self, zone: str, keys: dict[str, str]) -> None:
        for role, label in keys.items():
            if label not in self.made:
                self.token.generate(label)
                self.made[label] = ZSK if role == "zsk" else KSK
            if self.case.zone(zone).assigned:
                self.site.assign(zone, ALGORITHM, "zsk" if role == "zsk" else "ksk", self.token, label)
                row = max(row.id for row in self.site.database.key_rows(zone))
            else:
                row = self.site.database.add_key_row(zone, self.site.reference(self.token, label), self.made[label])
            self.rows[label] = (zone, row)

    def start(self) -> None:
        self.server = self.site.start_server(env=self.hurry.environment, settings={
            "receiver-threads": str(self.case.threads[0]), "distributor-threads": str(self.case.threads[1])})

    def restart(self) -> None:
        self.server.stop()
        self.start()

    # -- what happens

    def _do(self, step: tuple) -> None:
        if step[0] not in ("ask", "pass", "turn", "restart", "ahead"):
            self.changed = time.monotonic()
        getattr(self, "_" + step[0].replace(" ", "_"))(*step[1:])

    def _pass(self, seconds: int) -> None:
        self.clock.pass_(seconds)

    def _turn(self, seconds: int) -> None:
        self.clock.set(week_of(self.clock.now()) + WEEK + seconds)

    def _restart(self) -> None:
        self.restart()

    def serial_of(self, zone: str) -> str | None:
        connection = self.site.database.table.connect()
        row = connection.execute("SELECT content FROM records WHERE name = ? AND type = 'SOA'", (zone,)).fetchone()
        connection.close()
        return row[0].split()[2] if row else None

    def serials(self) -> dict[str, str]:
        return {zone: serial for zone in self.zones if (serial := self.serial_of(zone))}

    def _ask(self, zone: str, part: str) -> None:
        serials = self.serials()
        for question in self.questions(zone, part):
            answer = ask(self.server, zone, question, serials)
            if answer.good:
                for signed in answer.signed:
                    self.served.setdefault(signed, set()).add(week_of(self.clock.now()))
        wait_for_statistic(self.server, "store-queue", 0)

    def questions(self, zone: str, part: str = "all") -> list[tuple[str, str]]:
        if part == "transfer":
            return [(zone, "AXFR")]
        everything = self.case.questions(zone)
        if part == "keys":
            return [(zone + ".", rdtype) for rdtype in KEYS]
        if part == "some":
            return [q for q in everything if zlib.crc32(repr((q, len(self.served))).encode()) % 3 == 0]
        return everything if part == "all" else [(zone + ".", part)]

    def _set(self, zone: str, owner: str, rdtype: str, ttl: int, *contents) -> None:
        if self.serial_of(zone):
            change = {"name": f"{zone}." if owner == "@" else f"{owner}.{zone}.", "type": rdtype, "ttl": ttl,
                      "changetype": "REPLACE", "records": [{"content": c, "disabled": False} for c in contents]}
            self.server.api("PATCH", f"/zones/{zone}.", {"rrsets": [change]}, status=204)

    def _denial(self, zone: str, kind: str) -> None:
        if self.serial_of(zone):
            how = ["set-nsec3", zone, DENIALS[kind], *(["narrow"] if kind == "narrow" else [])]
            for words in how if DENIALS[kind] else ["unset-nsec3", zone], ["rectify-zone", zone]:
                self.site.pdnsutil(*words, env=self.clock.environment)

    def _cds(self, zone: str, *digests: str) -> None:
        if self.serial_of(zone):
            words = ["set-publish-cds", zone, ",".join(digests)] if digests else ["unset-publish-cds", zone]
            self.site.pdnsutil(*words, env=self.clock.environment)

    def _serial(self, zone: str) -> None:
        self.site.pdnsutil("increase-serial", zone, env=self.clock.environment, check=False)

    def _add_key(self, zone: str, role: str, label: str) -> None:
        if self.serial_of(zone):
            self._sign(zone, {role: label})

    def _deactivate(self, zone: str, label: str) -> None:
        if label in self.rows:
            self.server.api("PUT", f"/zones/{zone}./cryptokeys/{self.rows[label][1]}",
                            {"active": False, "published": True}, status=204)

    def _remove(self, zone: str, label: str) -> None:
        if label in self.rows:
            self.server.api("DELETE", f"/zones/{zone}./cryptokeys/{self.rows.pop(label)[1]}", status=204)

    def _forget_rows(self, zone: str) -> None:
        self.rows = {label: row for label, row in self.rows.items() if row[0] != zone}

    def _disable(self, zone: str) -> None:
        if any(row[0] == zone for row in self.rows.values()):
            self.site.pdnsutil("disable-dnssec", zone, env=self.clock.environment)
            self._forget_rows(zone)

    def _delete(self, zone: str) -> None:
        if self.serial_of(zone):
            self.server.api("DELETE", f"/zones/{zone}.", status=204)
            self._forget_rows(zone)

    def _create(self, zone: str) -> None:
        """With the records of the beginning, as far as the API takes them, and new keys."""
        if self.serial_of(zone) is None:
            case = self.case.zone(zone)
            plain = replace(case, records=tuple(r for r in case.records if PLAIN.fullmatch(r[0])))
            self.server.api("POST", "/zones", {
                "name": f"{zone}.", "kind": "Native",
                "zone": plain.text(self._serial_to_begin_with(zone))}, status=201)
            self._sign(zone, {role: f"{zone}-{role}-{len(self.made)}" for role in case.keys})
            self.site.pdnsutil("rectify-zone", zone, env=self.clock.environment)
            self.restart()  # the calendar may be days ahead before the server has noticed

    def _ahead(self, weeks: int) -> None:
        self.key_log.forget()
        self.site.command("sign-ahead", "all", weeks, json=True, env=self.clock.environment, check=False)
        if self.case.weeks == 0:  # else it is the server that signs, perhaps
            self.strays |= set(self.key_log.labels()) - set(self.rows)

    @property
    def has_settled(self) -> bool:
        """Whether the server knows all that is in the database."""
        return time.monotonic() - self.changed > MINUTE

    def wait_until_signed_ahead(self) -> None:
        """Until the server has done what it does by itself."""
        last, since = None, self.hurry.now()

        def rests() -> bool:
            nonlocal last, since
            now = statistics(self.server)
            state = [now[name] for name in ("ahead-signatures", "ahead-missing", "ahead-until")]
            if state != last:
                last, since = state, self.hurry.now()
            return self.hurry.now() - since > LOOK_SECONDS
        if self.case.weeks:
            self.hurry.wait_for("end of signing ahead", rests)

    # -- what there is, by a server that has the token and no store

    def ask_reference(self) -> None:
        env = {**self.clock.environment, "XDG_CONFIG_HOME": str(self.site.place.root / PAST_THE_SPY)}
        server = self.site.start_server("reference", env=env)
        serials = self.serials()
        for zone in self.zones:
            questions = [*self.questions(zone), *self.questions(zone, "transfer")] if zone in serials else []
            answers = {question: ask(server, zone, question, serials) for question in questions}
            self.expected[zone] = {q: a for q, a in answers.items() if a.good and a.signed}
            for rrset, _ in self.expected[zone].get((zone + ".", "DNSKEY"), FAILED).rrsigs:
                self.keys[rrset.name] = rrset
        server.stop()
        for zone, answers in self.expected.items():
            for question, answer in answers.items():
                wrong = why_not_valid(answer, self.keys, self.clock.now())
                assert not wrong, f"with the token, {question} of {zone}: {wrong}"

    def is_signed(self, zone: str) -> bool:
        return any(signed.zone == zone for answer in self.expected[zone].values() for signed in answer.signed)

    def was_served(self, answer: Answer) -> bool:
        """Each of its signatures, this week or last week; what was made up for the question, in both."""
        weeks = {week_of(self.clock.now()), week_of(self.clock.now()) - WEEK}
        return all(len(self.served.get(signed, set()) & weeks) >= (2 if signed.is_made_up else 1)
                   for signed in answer.signed)

    # -- without the token

    def failure(self, zone: str, question: tuple[str, str]) -> str:
        """"" when it is answered as with the token."""
        answer, expected = ask(self.server, zone, question, self.serials()), self.expected[zone][question]
        if not answer.good:
            return dns.rcode.to_text(answer.rcode)
        if answer.rcode != expected.rcode or answer.content != expected.content or answer.signed != expected.signed:
            return f"another answer:\n{answer}\nnot\n{expected}"
        return why_not_valid(answer, self.keys, self.clock.now())
