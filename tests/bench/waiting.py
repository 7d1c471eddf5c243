# SPDX-License-Identifier: GPL-2.0-or-later
"""A token that takes its time: how many signatures at once, and how many for one name."""
import select
import socket
import time

import dns.flags
import dns.message
import dns.rcode

from harness.ports import LOOPBACK
from installation import BUILT_IN, MODULE, P256, ZONE

SIGN_MS = 20
SECONDS = 3.0
CLIENTS = 64
NEVER_ASKED = f"host19999.{ZONE}"

# receiver-threads, distributor-threads
MANY_RECEIVERS = (16, 1)
MANY_DISTRIBUTORS = (1, 16)
AS_IN_ANSWERS = (2, 3)
THREADS = (MANY_RECEIVERS, MANY_DISTRIBUTORS, AS_IN_ANSWERS)

STEPS_A_ROUND = 1 + len(THREADS) + 2


def measure(bench) -> None:
    """One round."""
    for engine in (BUILT_IN, MODULE):
        for threads in THREADS if engine == MODULE else (MANY_RECEIVERS,):
            bench.progress(f"{engine}: {SIGN_MS} ms a signature, {name_of(threads)}")
            with bench.server(engine, P256, **settings(threads)) as server:
                rate(bench, server, engine, threads)
    for engine in (BUILT_IN, MODULE):
        bench.progress(f"{engine}: {CLIENTS} clients ask one cold name at once")
        with bench.server(engine, P256, **settings(MANY_RECEIVERS)) as server:
            one_name(bench, server, engine)


def settings(threads: tuple[int, int]) -> dict:
    return {"receiver_threads": threads[0], "distributor_threads": threads[1]}


def name_of(threads: tuple[int, int]) -> str:
    return f"receiver-threads={threads[0]} distributor-threads={threads[1]}"


def rate(bench, server, engine, threads) -> None:
    bench.load.first_answer(server, ZONE)
    with bench.slow.delayed(sign_ms=SIGN_MS):
        run = bench.load.run(server, bench.load.names((ZONE, 0, 10_000)), seconds=SECONDS)
    bench.results.add(run.rate, "slow signatures", engine, threads)


def one_name(bench, server, engine) -> None:
    bench.load.first_answer(server, ZONE)
    before = bench.slow.signatures()
    with bench.slow.delayed(sign_ms=50):
        answers = ask_at_once(server.port, NEVER_ASKED, CLIENTS)
    if answers != CLIENTS:
        raise AssertionError(f"{answers} good answers to {CLIENTS} clients")
    bench.results.add(bench.slow.signatures() - before, "one name", engine)


def ask_at_once(port: int, name: str, clients: int, seconds: float = 20) -> int:
    """How many of so many clients, a socket each, got a good answer."""
    query = dns.message.make_query(name, "A", want_dnssec=True)
    wire = query.to_wire()
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(clients)]
    good = 0
    try:
        for s in sockets:
            s.connect((LOOPBACK, port))
        for s in sockets:
            s.send(wire)
        waiting, end = set(sockets), time.monotonic() + seconds
        while waiting and time.monotonic() < end:
            for s in select.select(list(waiting), [], [], 0.5)[0]:
                waiting.discard(s)
                answer = dns.message.from_wire(s.recv(65535))
                good += answer.rcode() == dns.rcode.NOERROR and len(answer.answer) == 2
    finally:
        for s in sockets:
            s.close()
    return good
