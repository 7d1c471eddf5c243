# SPDX-License-Identifier: GPL-2.0-or-later
"""The databases of PowerDNS behind the module.

Each knows the settings PowerDNS needs for it, how a zone gets in, and how to read
and write the raw rows of `cryptokeys` behind PowerDNS's back. LMDB has no rows
that other programs can read: `content_of` is not there, `raw` is.
"""
import contextlib
import functools
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import programs
from .mariadb import MariaDb
from .place import Place
from .zones import Zone

SQLITE_SCHEMA = ("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql",
                 "/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql")


@dataclass(frozen=True)
class KeyRow:
    id: int
    flags: int
    active: bool
    published: bool
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    def lines(self) -> dict[str, str]:
        return dict(line.split(": ", 1) if ": " in line else (line.rstrip(":"), "")
                    for line in self.text.splitlines())


class Database:
    name: str
    has_rows = True
    creates_zones = True

    def settings(self) -> dict[str, str]:
        raise NotImplementedError

    def prepare(self, site) -> None:
        """After the configuration has been written."""

    def add_zone(self, site, zone: Zone) -> None:
        path = site.place.file(f"{zone.name}.zone", zone.text)
        # Without the module: how the zone gets in is none of its business.
        site.pdnsutil("load-zone", zone.name, path, stock=True)

    def key_rows(self, zone: str) -> list[KeyRow]:
        raise NotImplementedError

    def add_key_row(self, zone: str, content: bytes, flags: int = 257,
                    active: bool = True, published: bool = True) -> int:
        """A row as another program would have written it. Its id."""
        raise NotImplementedError

    def set_content(self, key_id: int, content: bytes) -> None:
        raise NotImplementedError

    def raw(self) -> bytes:
        """Every byte the database holds, for looking for what must not be there."""
        raise NotImplementedError

    def discard(self) -> None:
        pass


class _Sqlite:
    """Row access for the two backends that keep their keys in SQLite."""

    def __init__(self, path: Path, zone_column: str):
        self.path = path
        self.zone_column = zone_column

    def connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=20, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    def zone_key(self, connection, zone: str):
        if self.zone_column == "domain":
            return zone
        row = connection.execute("SELECT id FROM domains WHERE name = ?", (zone,)).fetchone()
        assert row, f"no zone {zone}"
        return row[0]

    def rows(self, zone: str) -> list[KeyRow]:
        connection = self.connect()
        try:
            found = connection.execute(
                "SELECT id, flags, active, published, CAST(content AS BLOB) FROM cryptokeys"
                f" WHERE {self.zone_column} = ? ORDER BY id", (self.zone_key(connection, zone),))
            return [KeyRow(i, f, bool(a), bool(p), bytes(c)) for i, f, a, p, c in found]
        finally:
            connection.close()

    def add(self, zone: str, content: bytes, flags: int, active: bool, published: bool) -> int:
        connection = self.connect()
        try:
            return connection.execute(
                f"INSERT INTO cryptokeys ({self.zone_column}, flags, active, published, content)"
                " VALUES (?, ?, ?, ?, CAST(? AS TEXT))",
                (self.zone_key(connection, zone), flags, active, published, content)).lastrowid
        finally:
            connection.close()

    def set(self, key_id: int, content: bytes) -> None:
        connection = self.connect()
        try:
            connection.execute("UPDATE cryptokeys SET content = CAST(? AS TEXT) WHERE id = ?",
                               (content, key_id))
        finally:
            connection.close()


@functools.cache
def empty_sqlite() -> bytes:
    """A database file with PowerDNS's schema. Made in memory: on a disk each statement waits for it."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(programs.schema(*SQLITE_SCHEMA))
        return connection.serialize()


class Gsqlite3(Database):
    name = "gsqlite3"

    def __init__(self, place: Place, instance: str = ""):
        """instance: X of `launch=gsqlite3:X`, where there are several."""
        self.prefix = f"gsqlite3-{instance}" if instance else "gsqlite3"
        place.directory(f"sqlite{instance}")
        self.path = place.file(f"sqlite{instance}/pdns.sqlite3", empty_sqlite(), 0o644)
        self.table = _Sqlite(self.path, "domain_id")

    def sql(self, statement: str) -> None:
        connection = self.table.connect()
        connection.executescript(statement)
        connection.close()

    def settings(self):
        return {f"{self.prefix}-database": str(self.path), f"{self.prefix}-dnssec": "yes",
                f"{self.prefix}-pragma-synchronous": "0"}  # nobody pulls the plug

    def key_rows(self, zone):
        return self.table.rows(zone)

    def add_key_row(self, zone, content, flags=257, active=True, published=True):
        return self.table.add(zone, content, flags, active, published)

    def set_content(self, key_id, content):
        self.table.set(key_id, content)

    def raw(self):
        return self.path.read_bytes()


class Gmysql(Database):
    name = "gmysql"

    def __init__(self, server: MariaDb):
        self.server = server
        self.database = server.new_database()

    def settings(self):
        return {"gmysql-socket": str(self.server.socket), "gmysql-user": "root",
                "gmysql-dbname": self.database, "gmysql-dnssec": "yes"}

    def sql(self, statement: str) -> str:
        return self.server.sql(statement, self.database).stdout

    def key_rows(self, zone):
        out = self.sql("SELECT k.id, k.flags, k.active, k.published, HEX(k.content) FROM cryptokeys k"
                       f" JOIN domains d ON d.id = k.domain_id WHERE d.name = '{zone}' ORDER BY k.id")
        rows = [line.split("\t") for line in out.splitlines()]
        return [KeyRow(int(i), int(f), a == "1", p == "1", bytes.fromhex(c)) for i, f, a, p, c in rows]

    def add_key_row(self, zone, content, flags=257, active=True, published=True):
        out = self.sql("INSERT INTO cryptokeys (domain_id, flags, active, published, content)"
                       f" SELECT id, {flags}, {int(active)}, {int(published)}, x'{content.hex()}'"
                       f" FROM domains WHERE name = '{zone}'; SELECT LAST_INSERT_ID()")
        return int(out)

    def set_content(self, key_id, content):
        self.sql(f"UPDATE cryptokeys SET content = x'{content.hex()}' WHERE id = {key_id}")

    def raw(self):
        return self.sql("SELECT content FROM cryptokeys").encode()

    def discard(self):
        self.server.drop(self.database)


class Lmdb(Database):
    name = "lmdb"
    has_rows = False

    def __init__(self, place: Place):
        self.directory = place.directory("lmdb")

    def settings(self):
        return {"lmdb-filename": str(self.directory / "pdns.lmdb"), "lmdb-shards": "1"}

    @staticmethod
    def as_stored(content: bytes) -> bytes:
        """A reference as the module gives it to this backend, which from 5.0 on makes an engine of it (format/keyref_lmdb.h)."""
        if programs.pdns_number() < 50000:
            return content
        number = re.search(rb"^Algorithm: (\d+)$", content, re.MULTILINE)[1]
        return (content.replace(b"\nEngine: ", b"\nPkcs11signer-Engine: ")
                .replace(b"Algorithm: " + number, b"Algorithm: %d" % (65536 + int(number))))

    def raw(self):
        return b"".join(p.read_bytes() for p in sorted(self.directory.glob("pdns.lmdb*"))
                        if not p.name.endswith("lock"))


class Bind(Database):
    name = "bind"
    creates_zones = False

    def __init__(self, place: Place):
        self.place = place
        directory = place.directory("bind")
        self.path = directory / "dnssec.sqlite3"
        self.configuration = place.file("bind/named.conf", "")
        self.table = _Sqlite(self.path, "domain")
        self.zones: list[str] = []

    def settings(self):
        return {"bind-config": str(self.configuration), "bind-dnssec-db": str(self.path)}

    def prepare(self, site):
        made = site.pdnsutil("create-bind-db", self.path, stock=True, check=False)
        if "libbindbackend.so: undefined symbol" in made.stderr:
            pytest.skip(f"pdnsutil {programs.pdns_version()} lacks a symbol that its own bind backend needs")
        assert made.returncode == 0, str(made)

    def add_zone(self, site, zone):
        path = self.place.file(f"bind/{zone.name}.zone", zone.text)
        self.zones.append(f'zone "{zone.name}" {{ type master; file "{path}"; }};\n')
        self.place.file("bind/named.conf", "".join(self.zones))

    def key_rows(self, zone):
        return self.table.rows(zone)

    def add_key_row(self, zone, content, flags=257, active=True, published=True):
        return self.table.add(zone, content, flags, active, published)

    def set_content(self, key_id, content):
        self.table.set(key_id, content)

    def raw(self):
        return self.path.read_bytes()
