# SPDX-License-Identifier: GPL-2.0-or-later
"""The first signed answer after a start, and the memory that each token takes."""
import time

from harness import zones
from harness.faults import is_signed
from installation import BUILT_IN, MODULE
from process import resident_bytes

TOKENS = 16
STARTS = 5
STEPS = 2 + STARTS
ONE, MANY = "start-one", f"start-{TOKENS}"


def zone(number: int) -> str:
    return f"z{number}.test"


def measure(bench) -> None:
    prepare(bench)
    for number in range(STARTS):
        bench.progress(f"start {number + 1} of {STARTS}")
        for engine in (BUILT_IN, MODULE):
            with bench.installation.server_of(engine, ONE) as server:
                bench.results.add(first_answer(server, zone(0)), "first answer", engine)
    bench.progress(f"memory of {TOKENS} tokens")
    few, many = (memory(bench, *case) for case in ((ONE, 1), (MANY, TOKENS)))
    bench.results.add((many - few) / (TOKENS - 1), "bytes a token")


def prepare(bench) -> None:
    """A database with a zone whose key is on one token, and one with as many zones as tokens."""
    installation, site = bench.installation, bench.installation.site
    bench.progress(f"{TOKENS} tokens")
    installation.empty_database()
    for number in range(TOKENS):
        site.add_zone(zones.small(zone(number)))
        token = site.token(f"token {number}")
        token.make_key("key")
        installation.database.add_key_row(zone(number), site.reference(token, "key"))
        if number == 0:
            installation.keep_database(ONE, {BUILT_IN: "gsqlite3", MODULE: "pkcs11signer,gsqlite3"})
    installation.keep_database(MANY, {MODULE: "pkcs11signer,gsqlite3"})


def first_answer(server, name: str) -> float:
    """Seconds, of a server that has answered other questions."""
    begun = time.monotonic()
    answer = server.ask(f"www.{name}")
    taken = time.monotonic() - begun
    if not is_signed(answer):
        raise AssertionError(f"no signed answer:\n{answer}\n{server.log}")
    return taken


def memory(bench, database: str, tokens: int) -> int:
    """Of a server that has signed with each token."""
    with bench.installation.server_of(MODULE, database) as server:
        for number in range(tokens):
            first_answer(server, zone(number))
        return resident_bytes(server.daemon.pid)
