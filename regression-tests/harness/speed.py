# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of speed look at: statistics, and whose key was signed with when."""
import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import dns.message

from .deadline import wait_for
from .place import Place
from .runner import Runner
from .server import Server
from .site import Site
from .token import Token

PREFIX = "pkcs11signer-"


def statistics(server: Server) -> dict[str, int]:
    """Those of the module, by name without `pkcs11signer-`, as `pdns_control show *` has them."""
    pairs = [item.split("=", 1) for item in server.show("*").split(",") if item]
    return {name.removeprefix(PREFIX): int(value) for name, value in pairs if name.startswith(PREFIX)}


def statistic(server: Server, name: str) -> int:
    return int(server.show(PREFIX + name))


def wait_for_statistic(server: Server, name: str, value: int, seconds: float = 30) -> None:
    wait_for(f"{name} of {value}", lambda: statistic(server, name) == value, seconds)


@contextmanager
def at_once(question, items):
    """question(item) for each, all under way at the same time, as futures."""
    items = list(items)
    with ThreadPoolExecutor(len(items)) as pool:
        yield [pool.submit(question, item) for item in items]


def answers(asked: list[Future]) -> list[dns.message.Message]:
    return [each.result(60) for each in asked]


def single_key(site: Site, zone: str, token: Token) -> None:
    """One key of its own for the zone; its label is the zone's name."""
    token.generate(zone)
    site.assign(zone, "ecdsa256", "ksk", token, zone)
    site.pdnsutil("rectify-zone", zone)


class KeyLog:
    """The label of the key in each C_SignInit, in order. To be made before the server."""

    def __init__(self, place: Place, runner: Runner):
        self.path = place.file("spy/keys")
        runner.environment["P11SPY_KEYS"] = str(self.path)

    def forget(self) -> None:
        os.truncate(self.path, 0)

    def labels(self) -> list[str]:
        return self.path.read_text().splitlines()
