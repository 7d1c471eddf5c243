# SPDX-License-Identifier: GPL-2.0-or-later
"""Several servers with tokens of their own that hold the same keys, and a MariaDB they share."""
import base64
import copy
import shutil
import signal
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from . import programs, zones
from .backends import Gsqlite3
from .identity import Identity
from .mariadb import MariaDb
from .place import Place
from .ports import LOOPBACK, free_port
from .runner import Runner
from .sanitizer import Sanitizer
from .site import Site
from .transcript import Transcript

SCHEMA = programs.REPOSITORY / "docs/schema.mysql.sql"
TABLE = "pkcs11signer_signatures"
DATABASE = "signatures"
GALERA = Path("/usr/lib/galera/libgalera_smm.so")
USER = "signer"


class SharedDatabase:
    """A MariaDB of its own, with a user that has a password and the rights that the documentation
    gives it."""

    def __init__(self, base: Path, identity: Identity, password: str):
        place = Place(base, identity)
        self.server = MariaDb(place, Runner(place.root, identity, Transcript()))
        self.password = password
        self.reset()

    def reset(self) -> None:
        """As at the beginning, whatever a test has done."""
        if not self.server.daemon.running():
            self.start()
        self.go_on()
        self.sql("SET GLOBAL read_only=0", "")
        self.sql(f"DROP DATABASE IF EXISTS {DATABASE}", "")
        self.sql(f"CREATE DATABASE {DATABASE}", "")
        self.sql(SCHEMA.read_text())
        self.sql(f"CREATE OR REPLACE USER {USER}@localhost IDENTIFIED BY '{self.password}'")
        self.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {DATABASE}.{TABLE} TO {USER}@localhost")

    def sql(self, statement: str, database: str = DATABASE) -> str:
        return self.server.sql(statement, database).stdout.strip()

    def number(self, statement: str) -> int:
        return int(self.sql(statement))

    def rows(self) -> int:
        """Signatures, without claims."""
        return self.number(f"SELECT COUNT(*) FROM {TABLE} WHERE signature<>''")

    def claims(self) -> int:
        return self.number(f"SELECT COUNT(*) FROM {TABLE} WHERE signature=''")

    # -- faults

    def stop(self) -> None:
        self.server.stop()

    def start(self) -> None:
        self.server.start()

    def hang(self) -> None:
        self.server.daemon.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.server.daemon.process.send_signal(signal.SIGCONT)

    def discard(self) -> None:
        self.go_on()
        self.server.daemon.kill()


class GaleraNode:
    """One of two databases that are one, for a Fleet. Made from a data directory that has the schema."""

    def __init__(self, origin: SharedDatabase, base: Path, identity: Identity, name: str):
        self.place = Place(base / name, identity)
        self.password = origin.password
        self.server = copy.copy(origin.server)
        self.server.place = self.place
        self.server.socket = self.place.root / "sock"
        self.server.data = self.place.root / "data"
        shutil.copytree(origin.server.data, self.server.data)
        for path in (self.server.data, *self.server.data.rglob("*")):
            identity.own(path)
        self.address = f"{LOOPBACK}:{free_port()}"
        self.transfer = f"{LOOPBACK}:{free_port()}"
        self.whole = f"{LOOPBACK}:{free_port()}"

    def start(self, *peers: "GaleraNode") -> None:
        """Without peers it is the cluster."""
        self.server.start(
            "--wsrep-on=ON", f"--wsrep-provider={GALERA}", "--wsrep-cluster-name=tests", "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2", f"--wsrep-node-address={self.address}",
            f"--wsrep-sst-receive-address={self.whole}",
            "--wsrep-cluster-address=gcomm://" + ",".join(p.address for p in peers),
            f"--wsrep-provider-options=gmcast.listen_addr=tcp://{self.address};ist.recv_addr={self.transfer};"
            "gcache.size=16M", *([] if peers else ["--wsrep-new-cluster"]))

    sql, number, rows, claims, stop = (SharedDatabase.sql, SharedDatabase.number, SharedDatabase.rows,
                                       SharedDatabase.claims, SharedDatabase.stop)


def galera_pair(origin: SharedDatabase, base: Path, identity: Identity) -> list[GaleraNode]:
    """Two nodes of one cluster, running. The second begins as a copy of the first, so that nothing
    has to be transferred."""
    origin.stop()
    first = GaleraNode(origin, base, identity, "node1")
    first.start()
    first.stop()
    origin.server.data = first.server.data
    second = GaleraNode(origin, base, identity, "node2")
    first.start()
    second.start(first)
    return [first, second]


class Fleet:
    """Sites whose rows of `cryptokeys` say the same, of the same keys. Nothing is started."""

    def __init__(self, root: Path, identity: Identity, transcript: Transcript, database: SharedDatabase,
                 sanitizer: Sanitizer):
        self.root = root
        self.identity = identity
        self.transcript = transcript
        self.database = database
        self.sanitizer = sanitizer
        self.keys = {role: ec.generate_private_key(ec.SECP256R1()) for role in ("ksk", "zsk")}
        self.sites: list[Site] = []

    def add_site(self, zone: zones.Zone, *, pinned: bool = False, token: bool = True, **settings) -> Site:
        """`pinned`: the rows name their public keys. `token=False`: there is none."""
        place = Place(self.root / f"site{len(self.sites)}", self.identity)
        site = Site(place, Runner(place.root, self.identity, self.transcript, self.sanitizer), Gsqlite3(place))
        self.sites.append(site)
        password = place.file("password", self.database.password + "\n")
        site.set(**{"pkcs11signer_store": "mysql", "pkcs11signer_mysql_socket": str(self.database.server.socket),
                    "pkcs11signer_mysql_user": USER, "pkcs11signer_mysql_dbname": DATABASE,
                    "pkcs11signer_mysql_password_file": str(password), **settings})
        site.add_zone(zone)
        holder = site.token("dns keys") if token else None
        for role, flags in (("ksk", 257), ("zsk", 256)):
            if holder:
                holder.import_key(role, self.keys[role])
            row = {"Private-key-format": "v1.2", "Algorithm": 13, "Engine": "softhsm2", "Slot": "dns keys",
                   "PIN": holder.pin if holder else "1234", "Label": role}
            if pinned:
                row["PublicKey"] = self._public(role)
            site.database.add_key_row(zone.name, "".join(f"{k}: {v}\n" for k, v in row.items()).encode(),
                                      flags=flags)
        site.pdnsutil("rectify-zone", zone.name)
        return site

    def _public(self, role: str) -> str:
        """As in a DNSKEY record (RFC 6605, 4)."""
        numbers = self.keys[role].public_key().public_numbers()
        return base64.b64encode(numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")).decode()

    def discard(self) -> None:
        for site in self.sites:
            site.discard()

