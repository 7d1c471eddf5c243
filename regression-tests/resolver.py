#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks the server at 127.0.0.1 as resolvers do, until SIGTERM, and says what came of it:

    asking
    asked N, failed N, longest without an answer N ms

A question is asked again each quarter of a second. It has failed when the answer is not signed or no NOERROR,
or when there is none after 15 s: three tries of five seconds are what dig and resolvers make.
"""
import signal
import sys
import time

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

TRY = 0.25
TRIES = 60


def answer(name: str, kind: str):
    query = dns.message.make_query(name, kind, want_dnssec=True)
    for _ in range(TRIES):
        try:
            return dns.query.udp(query, "127.0.0.1", timeout=TRY)
        except (dns.exception.Timeout, OSError):
            # Refused at once while no server has the port.
            time.sleep(0.01)
    return None


def is_signed(response) -> bool:
    return response is not None and response.rcode() == dns.rcode.NOERROR and any(
        it.rdtype == dns.rdatatype.RRSIG for it in response.answer)


def main(zone: str) -> None:
    running = True

    def end(*_) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, end)
    asked = failed = 0
    longest, last = 0.0, time.monotonic()
    while running:
        for kind in ("SOA", "DNSKEY", "NS"):
            response = answer(zone, kind)
            asked += 1
            if not is_signed(response):
                failed += 1
                print(f"{kind}: {response}", flush=True)
            elif asked == 1:
                print("asking", flush=True)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
    print(f"asked {asked}, failed {failed}, longest without an answer {longest * 1000:.0f} ms")


main(sys.argv[1])
