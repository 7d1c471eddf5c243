# SPDX-License-Identifier: GPL-2.0-or-later
"""One installation: a token, a database, PowerDNS's configuration and its tools."""
import os
import re

from . import pdnsutil_names, programs
from .backends import Database
from .place import Place
from .runner import Result, Runner
from .server import Server
from .token import SoftHsm, Token
from .transcript import Transcript
from .zones import Zone

# Nothing but the signatures is kept in memory: a change is seen by the next query.
NO_CACHES = {
    "cache-ttl": "0", "query-cache-ttl": "0", "negquery-cache-ttl": "0",
    "zone-metadata-cache-ttl": "0", "dnssec-key-cache-ttl": "0", "zone-cache-refresh-interval": "0",
}


SETTINGS = "P11S_SETTINGS"


def given_settings() -> dict[str, str]:
    """Of PowerDNS, from the environment: NAME=VALUE, a blank between them."""
    return dict(word.split("=", 1) for word in os.environ.get(SETTINGS, "").split())


def command_line(words: tuple) -> str:
    """As one argument for `backend-cmd`, by the rules of its module (base/buf.h)."""
    return " ".join(word if re.fullmatch(r"[A-Za-z0-9_./:,%@+-]+", word) else "'" + word.replace("'", r"'\''") + "'"
                    for word in map(str, words))


class Site:
    def __init__(self, place: Place, runner: Runner, database: Database):
        self.place = place
        self.runner = runner
        self.database = database
        self.hsm = SoftHsm(place, runner)
        self.servers: list[Server] = []
        self.settings = {**NO_CACHES, "loglevel": "6", "setuid": "", "setgid": "",
                         "socket-dir": str(place.directory("run")),
                         "module-dir": str(self._module_directory()),
                         "pkcs11signer-state-dir": str(place.directory("state")),
                         # Longer than anything may take on a busy machine that is not to be waited for.
                         "pkcs11signer-timeout": "10000",
                         # Tests count signatures: none but those that somebody asks for.
                         "pkcs11signer-sign-ahead": "0",
                         "pkcs11signer-prepare": "yes",
                         **database.settings(), **given_settings()}
        self._write_configurations()
        database.prepare(self)

    @property
    def transcript(self) -> Transcript:
        return self.runner.transcript

    # -- configuration

    def _module_directory(self):
        """PowerDNS knows one module directory: the system's and ours in one."""
        directory = self.place.directory("modules", 0o755)
        for name in programs.DATABASE_BACKENDS:
            library = programs.database_backend(name)
            (directory / library.name).symlink_to(library)
        (directory / programs.OUR_BACKEND).symlink_to(programs.module_dir() / programs.OUR_BACKEND)
        return directory

    def set(self, **settings) -> None:
        """Change settings; underscores stand for dashes, None takes one away."""
        for name, value in settings.items():
            self.settings[name.replace("_", "-")] = value
        self._write_configurations()

    def _write_configurations(self) -> None:
        self.place.directory("conf", 0o755)
        self.place.directory("stock", 0o755)
        self.write_configuration("conf", f"pkcs11signer,{self.database.name}")
        ours = {k: v for k, v in self.settings.items() if not k.startswith("pkcs11signer-")}
        self.write_configuration("stock", self.database.name, ours)

    def write_configuration(self, directory: str, launch: str, settings: dict | None = None) -> None:
        settings = {"launch": launch, **(settings if settings is not None else self.settings)}
        self.place.file(f"{directory}/pdns.conf", "".join(
            f"{name}={value}\n" for name, value in settings.items() if value is not None))

    # -- zones and keys

    def add_zone(self, zone: Zone) -> Zone:
        self.database.add_zone(self, zone)
        return zone

    def token(self, label: str = "dns keys", **how) -> Token:
        return self.hsm.init_token(label, **how)

    def assign(self, zone: str, algorithm: str, role: str, token: Token, label: str,
               check: bool = True) -> Result:
        """`pdnsutil hsm assign`."""
        return self.pdnsutil("hsm", "assign", zone, algorithm, role, "softhsm2", token.label,
                             token.pin, label, check=check)

    def secure(self, zone: str, token: Token, *, algorithm: str = "ecdsa256", kind: str = "P-256") -> None:
        """A KSK and a ZSK of that kind on the token, and a rectified zone."""
        for role in ("ksk", "zsk"):
            token.generate(f"{zone}-{role}", kind)
            self.assign(zone, algorithm, role, token, f"{zone}-{role}")
        self.pdnsutil("rectify-zone", zone)

    def reference(self, token: Token, label: str, algorithm: int = 13, **changes) -> bytes:
        """A `content` as the built-in engine writes it. A change to None drops the line."""
        lines = {"Private-key-format": "v1.2", "Algorithm": algorithm, "Engine": "softhsm2",
                 "Slot": token.label, "PIN": token.pin, "Label": label, "PubLabel": label}
        lines.update(changes)
        return "".join(f"{k}: {v}\n" for k, v in lines.items() if v is not None).encode()

    # -- tools

    def pdnsutil(self, *argv, stock: bool = False, check: bool = True, **how) -> Result:
        """`stock`: as if the module had never been installed. Commands by the names of 4.7."""
        directory = self.place.root / ("stock" if stock else "conf")
        return self.runner.run(programs.pdnsutil(), f"--config-dir={directory}",
                               *pdnsutil_names.command(argv),
                               check=check, **how)

    def command(self, *words, check: bool = True, json: bool = False, **how) -> Result:
        """`pdnsutil backend-cmd pkcs11signer "…"`. pdnsutil itself echoes the command
        to stderr behind `== `; that line is not looked at."""
        text = command_line(words) + (" --json" if json else "")
        return self.raw_command(text, check=check, **how)

    def raw_command(self, text: str, check: bool = True, **how) -> Result:
        return self.pdnsutil("backend-cmd", "pkcs11signer", text, check=check,
                             quiet=(f"== {text}",), **how)

    def paste(self, command: str, **how) -> Result:
        """A command that a message has, in a shell that finds the programs under test by name."""
        return self.runner.run("/bin/sh", "-e", "-c", command, env=self.by_name(), **how)

    def by_name(self) -> dict:
        """An environment in which `pkcs11signer` and `pdnsutil` are those under test."""
        directory = self.place.directory("bin", 0o755)
        for name, program in (("pdnsutil", programs.pdnsutil()), ("pkcs11signer", programs.our_command())):
            if not (directory / name).exists():
                (directory / name).symlink_to(program)
        path = f"{directory}:{self.runner.environment['PATH']}"
        return self.runner.environment_of([programs.pdnsutil()], {"PATH": path})

    def pkcs11signer(self, *words, check: bool = True, env: dict | None = None, **how) -> Result:
        """The program `pkcs11signer`. pdnsutil echoes to stderr what it is given, a PIN too."""
        quoted = command_line(words)
        return self.runner.run(programs.our_command(), f"--config-dir={self.place.root / 'conf'}", *words,
                               check=check, env={**self.by_name(), **(env or {})}, quiet=(f"== {quoted}",), **how)

    # -- servers

    def start_server(self, directory: str = "conf", **how) -> Server:
        server = Server.start(self, directory, **how)
        self.servers.append(server)
        return server

    def discard(self) -> None:
        for server in self.servers:
            server.daemon.kill()
        self.database.discard()
