# SPDX-License-Identifier: GPL-2.0-or-later
"""What is soaked: three zones signed by one token, tests/modules/p11spy.c before it, one server.

On MariaDB: SQLite keeps the descriptors of closed connections for later ones.
"""
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "regression-tests"))

from harness import programs, spy as spying  # noqa: E402
from harness.backends import Gmysql  # noqa: E402
from harness.dnskey import DnsKey  # noqa: E402
from harness.identity import service_identity  # noqa: E402
from harness.mariadb import MariaDb  # noqa: E402
from harness.place import Place  # noqa: E402
from harness.publish import publish  # noqa: E402
from harness.runner import Runner  # noqa: E402
from harness.site import Site  # noqa: E402
from harness.transcript import Transcript  # noqa: E402
from harness.zones import SMALL, Zone, small  # noqa: E402

HOSTS = 50
PLAIN = "plain.test"
SESSIONS = 4
SETTINGS = {
    "pkcs11signer_sessions": str(SESSIONS), "pkcs11signer_timeout": "500",
    "pkcs11signer_transfer_timeout": "2000",
    # Else it grows for as long as new names are asked for.
    "max_signature_cache_entries": "2000", "loglevel": "5",
}
# So that what the spy says of the server is not mixed with what it says of tools.
UNSEEN = {"P11SPY_EVENTS": "/dev/null"}


@dataclass
class Signed:
    """A zone, the key that always signs it, and others that come and go."""
    name: str
    algorithm: str
    number: int
    kind: str
    nsec3: tuple = ()
    others: list[str] = field(default_factory=list)  # labels on the token
    known: dict[int, DnsKey] = field(default_factory=dict)  # every key it may be signed with


def zones() -> list[Signed]:
    return [Signed("nsec.test", "ecdsa256", 13, "P-256"),
            Signed("narrow.test", "ed25519", 15, "Ed25519", ("1 0 0 ab", "narrow")),
            Signed("nsec3.test", "rsasha256", 8, "RSA-2048", ("1 0 0 ab",))]


def zone_text(name: str) -> str:
    hosts = "".join(f"host{i} A 192.0.2.{i + 1}\n" for i in range(HOSTS))
    return SMALL.format(zone=name) + hosts + "alias CNAME www\n*.wild A 192.0.2.7\n"


class World:
    def __init__(self, directory: Path):
        programs.our_module()
        self.place = Place(directory / "run", service_identity())
        self.runner = Runner(self.place.root, self.place.identity, Transcript())
        database = Place(directory / "mariadb", self.place.identity)
        self.mariadb = MariaDb(database, Runner(database.root, self.place.identity, Transcript()))
        self.site = Site(self.place, self.runner, Gmysql(self.mariadb))
        self.site.set(**SETTINGS)
        self.zones = zones()
        self.token = self.site.token()
        self.site.add_zone(small(PLAIN))
        for zone in self.zones:
            self._sign(zone)
        self.spy = spying.Spy(self.place, self.runner, self.site.hsm, spying.build(directory / "spy"))
        # Every call in a file: too much for ten minutes. The ends of calls will do.
        del self.runner.environment["P11SPY_LOG"]
        self.server = self.site.start_server(settings={"distributor-threads": "4", "receiver-threads": "2"})

    def _sign(self, zone: Signed) -> None:
        self.site.add_zone(Zone(zone.name, zone_text(zone.name)))
        labels = [f"{zone.name} {n}" for n in range(3)]
        for label, flags in zip(labels, (257, 256, 256)):
            key = DnsKey.of(zone.name, self.token.make_key(label, zone.kind), zone.number, flags)
            zone.known[key.tag] = key
        zone.others = labels[1:]
        self.assign(zone, "ksk", labels[0])
        if zone.nsec3:
            self.site.pdnsutil("set-nsec3", zone.name, *zone.nsec3)
        self.site.pdnsutil("rectify-zone", zone.name)

    def assign(self, zone: Signed, role: str, label: str, check: bool = True):
        return self.site.command("assign", zone.name, zone.algorithm, role, "softhsm2", self.token.label,
                                 self.token.pin, label, check=check, env=UNSEEN)

    def discard(self) -> None:
        self.site.discard()
        self.mariadb.stop()


@contextmanager
def world():
    """In a directory of its own that is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="p11s-soak-"))
    directory.chmod(0o711)
    publish(directory)
    made = None
    try:
        made = World(directory)
        yield made
    finally:
        if made is not None:
            made.discard()
        shutil.rmtree(directory, ignore_errors=True)
