# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured: one token, one zone, and the three engines that sign it.

A database for each algorithm and each kind of key: a copy of the same one but for
the row in `cryptokeys`. The built-in engine and the module read the same row of
the same database; only `launch` differs.
"""
import shutil
import sqlite3
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import compiled
from slow import SlowToken

sys.dont_write_bytecode = True
sys.path.insert(0, str(compiled.HERE.parents[1] / "regression-tests"))

from harness import programs  # noqa: E402
from harness.backends import Gsqlite3  # noqa: E402
from harness.identity import service_identity  # noqa: E402
from harness.place import Place  # noqa: E402
from harness.publish import publish  # noqa: E402
from harness.runner import Runner  # noqa: E402
from harness.site import NO_CACHES, Site  # noqa: E402
from harness.transcript import Transcript  # noqa: E402
from harness.zones import many  # noqa: E402

SOFTWARE, BUILT_IN, MODULE = ENGINES = ("software", "built-in", "module")
ZONE, PLAIN = "signed.test", "plain.test"
NAMES = 20_000
COMMON = {"loglevel": "4", "cache-ttl": "0"}
THREADS = {"receiver-threads": "2", "distributor-threads": "3"}


@dataclass(frozen=True)
class Algorithm:
    name: str       # as in the report, and as the tests' token calls the kind of key
    number: int
    pdnsutil: tuple  # what pdnsutil calls it
    mechanism: str  # what rawsign calls it


P256 = Algorithm("P-256", 13, ("ecdsa256",), "ecdsa")
RSA = Algorithm("RSA-2048", 8, ("2048", "rsasha256"), "rsa")
ALGORITHMS = (P256, RSA)


class Installation:
    def __init__(self, directory: Path):
        programs.our_module()
        self.place = Place(directory / "run", service_identity())
        self.runner = Runner(self.place.root, self.place.identity, Transcript())
        self.database = Gsqlite3(self.place)
        self.site = Site(self.place, self.runner, self.database)
        self._put_slow_module_before_token(directory)
        self.rawsign = compiled.rawsign(directory)
        self.token = self.site.token()
        for algorithm in ALGORITHMS:
            self.token.make_key(algorithm.name, algorithm.name)
        self.software_keys: dict[Algorithm, bytes] = {}
        self._servers = 0
        self._make_databases()

    def _put_slow_module_before_token(self, directory: Path) -> None:
        control = self.place.file("slow")
        environment = self.runner.environment
        environment["P11SLOW_MODULE"] = str(self.site.hsm.library)
        environment["P11SLOW_CONTROL"] = str(control)
        self.slow = SlowToken(control)
        self.site.hsm.add_module("softhsm2", compiled.slow_module(directory))

    # -- databases

    def _make_databases(self) -> None:
        self.site.add_zone(many(ZONE, NAMES))
        self.site.add_zone(many(PLAIN, NAMES))
        for algorithm in ALGORITHMS:
            # The only key of a zone signs everything, whatever its flags.
            self.site.pdnsutil("add-zone-key", ZONE, "ksk", "active", *algorithm.pdnsutil,
                               stock=True)
            self.site.pdnsutil("rectify-zone", ZONE, stock=True)
            self.keep_database(f"software-{algorithm.name}", {SOFTWARE: "gsqlite3"})
            self.software_keys[algorithm] = self.database.key_rows(ZONE)[0].content
            self.sql("DELETE FROM cryptokeys")
            self.database.add_key_row(ZONE, self.reference(algorithm))
            self.keep_database(f"token-{algorithm.name}",
                               {BUILT_IN: "gsqlite3", MODULE: "pkcs11signer,gsqlite3"})
            self.sql("DELETE FROM cryptokeys")

    def reference(self, algorithm: Algorithm) -> bytes:
        """As the built-in engine writes it."""
        return self.site.reference(self.token, algorithm.name, algorithm.number)

    def sql(self, statement: str, rows=None) -> None:
        connection = sqlite3.connect(self.database.path)
        with connection:
            if rows is None:
                connection.execute(statement)
            else:
                connection.executemany(statement, rows)
        connection.close()

    def empty_database(self) -> None:
        for table in ("cryptokeys", "domainmetadata", "records", "domains"):
            self.sql(f"DELETE FROM {table}")

    def keep_database(self, name: str, engines: dict[str, str]) -> None:
        """The database as it is now, and a configuration for each engine that reads it."""
        copy = self.place.root / "sqlite" / f"{name}.sqlite3"
        shutil.copyfile(self.database.path, copy)
        self.place.identity.own(copy)
        for engine, launch in engines.items():
            settings = {k: v for k, v in self.site.settings.items() if k not in NO_CACHES
                        and ("pkcs11signer" in launch or not k.startswith("pkcs11signer"))}
            settings["gsqlite3-database"] = str(copy)
            self.place.directory(f"{engine}-{name}", 0o755)
            self.site.write_configuration(f"{engine}-{name}", launch, {**settings, **COMMON})

    # -- servers

    @contextmanager
    def server(self, engine: str, algorithm: Algorithm, **settings):
        """A server that has just started, its token as fast as it is. Settings with
        underscores for dashes; those that start with pkcs11signer are for the module alone."""
        kind = "software" if engine == SOFTWARE else "token"
        with self.server_of(engine, f"{kind}-{algorithm.name}", **settings) as server:
            yield server

    @contextmanager
    def server_of(self, engine: str, database: str, wrapper: tuple = (), **settings):
        """`wrapper`: a command to start it with."""
        self.slow.reset()
        # What one server has signed is not to be there for the next.
        self._servers += 1
        state = self.place.directory(f"state{self._servers}")
        settings.setdefault("pkcs11signer_state_dir", state)
        given = {k.replace("_", "-"): str(v) for k, v in settings.items()}
        given = {k: v for k, v in given.items()
                 if engine == MODULE or not k.startswith("pkcs11signer")}
        server = self.site.start_server(f"{engine}-{database}", wrapper=wrapper, settings={
            **THREADS, **given})
        try:
            yield server
        finally:
            server.daemon.kill()
            shutil.rmtree(state)

    def discard(self) -> None:
        self.site.discard()


@contextmanager
def installation():
    """In a directory of its own that is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="p11s-bench-"))
    directory.chmod(0o711)
    publish(directory)
    made = None
    try:
        made = Installation(directory)
        yield made
    finally:
        if made is not None:
            made.discard()
        shutil.rmtree(directory, ignore_errors=True)
