# SPDX-License-Identifier: GPL-2.0-or-later
"""One private MariaDB server, reached through its socket only."""
import re
import shutil
from pathlib import Path

from . import programs
from .deadline import wait_for
from .once import common, once
from .place import Place
from .runner import Runner

SCHEMA = ("/usr/share/pdns-backend-mysql/schema/schema.mysql.sql",
          "/usr/share/doc/pdns-backend-mysql/schema.mysql.sql")


class MariaDb:
    def __init__(self, place: Place, runner: Runner):
        self.runner = runner
        self.place = place
        self.socket = place.root / "sock"
        # Each that starts deletes what it takes for leftovers in the common one.
        self.temporary = {"TMPDIR": str(place.directory("tmp"))}
        self.data = place.root / "data"
        shutil.rmtree(self.data, ignore_errors=True)  # of one before, in the same place
        shutil.copytree(once(common(place.root.parent) / "mariadb-data", self._install), self.data)
        for path in (self.data, *self.data.rglob("*")):
            place.identity.own(path)
        self._databases = 0
        self.start()

    def _install(self, data: Path) -> Path:
        """An empty one: making it takes longer than many a test."""
        origin = Place(data, self.place.identity)
        self.runner.run(programs.program("mariadb-install-db"), "--no-defaults", f"--datadir={data}",
                        "--skip-test-db", "--auth-root-authentication-method=normal", env=self.temporary,
                        record=False)
        return origin.root

    def start(self, *options: str) -> None:
        self.daemon = self.runner.spawn(
            programs.program("mariadbd"), "--no-defaults", f"--datadir={self.data}",
            f"--socket={self.socket}", f"--pid-file={self.place.root / 'pid'}", "--skip-networking",
            "--skip-log-bin", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M",
            "--innodb-flush-log-at-trx-commit=0", "--performance-schema=OFF", *options,
            log=self.place.root / "mariadb.log", env=self.temporary)
        wait_for("answer of MariaDB", self._answers, 60)

    def _answers(self) -> bool:
        assert self.daemon.running(), f"MariaDB ended:\n{self.daemon.log}"
        return self.sql("SELECT 1", check=False).returncode == 0

    def sql(self, statement: str, database: str = "", check: bool = True):
        return self.runner.run(programs.program("mariadb"), "--no-defaults", "--user=root",
                               f"--socket={self.socket}", "--batch", "--skip-column-names", database,
                               input=statement, check=check, record=False)

    def new_database(self) -> str:
        self._databases += 1
        name = f"t{self._databases}"
        self.sql(f"CREATE DATABASE {name}")
        self.sql(programs.schema(*SCHEMA), name)
        return name

    def drop(self, name: str) -> None:
        assert re.fullmatch(r"t\d+", name)
        self.sql(f"DROP DATABASE {name}")

    def stop(self) -> None:
        self.daemon.terminate(seconds=60)
