# SPDX-License-Identifier: GPL-2.0-or-later
"""Random questions, and what became of them."""
import random
import threading
from dataclasses import dataclass, field

import dns.exception
import dns.rcode

import answers
from world import HOSTS, PLAIN

TIMEOUT = 5
PROBLEMS_KEPT = 20


@dataclass
class Tally:
    """What all threads add to."""
    good: int = 0          # validated
    unsigned: int = 0      # answered, no signature asked for or none to expect
    refused: int = 0       # SERVFAIL while something was wrong, or just afterwards
    changes: int = 0
    failed_changes: int = 0
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: str) -> None:
        with self.lock:
            setattr(self, what, getattr(self, what) + 1)

    def problem(self, text: str) -> None:
        with self.lock:
            self.problem_count += 1
            if len(self.problems) < PROBLEMS_KEPT:
                self.problems.append(text)


class Client(threading.Thread):
    """Asks one question after the other until `stop`."""

    def __init__(self, world, weather, tally: Tally, stop: threading.Event, seed: str):
        super().__init__(name=seed, daemon=True)
        self.world, self.weather, self.tally, self.stop = world, weather, tally, stop
        self.random = random.Random(seed)

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self.one()
            except Exception as error:  # a client that dies would hide what comes later
                self.tally.problem(f"{type(error).__name__}: {error}")

    def one(self) -> None:
        pick = self.random.random()
        zone = self.random.choice(self.world.zones)
        if pick < 0.01:
            # PowerDNS does not transfer a zone with narrow NSEC3.
            self.transfer(self.random.choice([z for z in self.world.zones if "narrow" not in z.nsec3]))
        elif pick < 0.06:
            self.ask_unsigned()
        else:
            self.ask(zone)

    def question(self, zone) -> tuple[str, str]:
        r = self.random
        label, rdtype = r.choice([
            (f"host{r.randrange(HOSTS)}", "A"), (f"host{r.randrange(HOSTS)}", "A"),
            (f"host{r.randrange(HOSTS)}", "TXT"),
            (f"x{r.getrandbits(40):x}", "A"), (f"x{r.getrandbits(40):x}.host1", "AAAA"),
            (f"x{r.getrandbits(40):x}.wild", "A"), (f"new{r.randrange(8)}", "A"), ("alias", "A"),
            ("", "DNSKEY"), ("", "SOA"), ("", "NS"), ("", "ANY"), ("www", "ANY")])
        return f"{label}.{zone.name}".lstrip("."), rdtype

    def ask(self, zone) -> None:
        name, rdtype = self.question(zone)
        signed, tcp = self.random.random() < 0.9, self.random.random() < 0.1
        trouble = self.weather.trouble()
        try:
            answer = self.world.server.ask(name, rdtype, dnssec=signed, tcp=tcp, timeout=TIMEOUT)
            rcode = answer.rcode()
        except (dns.exception.DNSException, OSError, EOFError) as error:
            rcode, answer = None, f"{type(error).__name__} {error}"
        if rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            if signed:
                answers.check(zone, answer)
            self.tally.add("good" if signed else "unsigned")
        else:
            self.refused(f"{name} {rdtype}{' over TCP' if tcp else ''}", answer, trouble)

    def refused(self, question: str, answer, trouble: bool) -> None:
        """TCP is closed without an answer where UDP gets SERVFAIL."""
        if trouble or self.weather.trouble():
            self.tally.add("refused")
        else:
            self.tally.problem(f"refused though nothing was wrong: {question}: {answer}")

    def ask_unsigned(self) -> None:
        """A zone without keys is never refused."""
        answer = self.world.server.ask(f"www.{PLAIN}", "A", timeout=TIMEOUT)
        if answer.rcode() != dns.rcode.NOERROR or not answer.answer:
            self.tally.problem(f"the unsigned zone: {answer}")
        self.tally.add("unsigned")

    def transfer(self, zone) -> None:
        trouble = self.weather.trouble()
        try:
            rrsets = self.world.server.transfer(zone.name)
        except (dns.exception.DNSException, OSError, EOFError) as error:
            self.refused(f"{zone.name} AXFR", f"{type(error).__name__} {error}", trouble)
            return
        answers.check_signatures(zone, rrsets)
        self.tally.add("good")
