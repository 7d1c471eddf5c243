# SPDX-License-Identifier: GPL-2.0-or-later
"""A real pdns_server on ports of its own, and what one asks it."""
import socket
import time

import dns.exception
import dns.flags
import dns.message
import dns.query
import requests

from . import programs
from .deadline import PATIENCE, DeadlineExceeded, wait_for
from .ports import LOOPBACK, free_port
from .runner import Daemon, Result

QUERY_DEADLINE = 30.0 * PATIENCE  # longer than the server takes to refuse
BIND_FAILURES = ("Address already in use", "Unable to bind", "binding to")


class Server:
    def __init__(self, site, directory: str, daemon: Daemon, port: int, web: int, api_key: str, name: str):
        self.site = site
        self.directory = directory
        self.daemon = daemon
        self.port = port
        self.web = web
        self.api_key = api_key
        self.name = name

    # -- life

    @classmethod
    def start(cls, site, directory: str = "conf", *, settings: dict | None = None,
              wrapper: tuple = (), as_root: bool = False, env: dict | None = None) -> "Server":
        """Start it and wait until it answers. `wrapper`: a command to start it with. A setting that is None
        is left to PowerDNS."""
        api_key = "a-key-of-the-tests"
        number = len(site.servers)
        for _ in range(5):
            port, web = free_port(), free_port()
            arguments = {
                "local-address": LOOPBACK, "local-port": port,
                "webserver": "yes", "webserver-address": LOOPBACK, "webserver-port": web,
                "webserver-allow-from": LOOPBACK, "api": "yes", "api-key": api_key,
                "daemon": "no", "guardian": "no", "disable-syslog": "yes", "write-pid": "no",
                "dname-processing": "yes", "allow-axfr-ips": LOOPBACK,
                "distributor-threads": "2", "receiver-threads": "1",
                "queue-limit": "10000",  # no question is dropped because the machine is busy
                "socket-dir": site.place.directory(f"run/{number}"),
                **(settings or {})}
            log = site.place.root / f"server{number}.log"
            daemon = site.runner.spawn(
                *wrapper, programs.pdns_server(), f"--config-dir={site.place.root / directory}",
                *(f"--{k}={v}" for k, v in arguments.items() if v is not None),
                log=log, as_root=as_root, env=env)
            server = cls(site, directory, daemon, port, web, api_key, str(number))
            try:
                server._wait_until_it_answers()
                return server
            except ServerEnded as ended:
                if not any(text in ended.log for text in BIND_FAILURES):
                    raise
                log.unlink()
            except BaseException:
                daemon.kill()
                raise
        raise AssertionError("found no free port in five attempts")

    @classmethod
    def start_and_fail(cls, site, directory: str = "conf", **how) -> "ServerEnded":
        """Start one that must refuse; what it said, and its exit code."""
        try:
            server = cls.start(site, directory, **how)
        except ServerEnded as ended:
            return ended
        site.servers.append(server)
        raise AssertionError(f"the server should have refused to start:\n{server.daemon.log}")

    def _wait_until_it_answers(self) -> None:
        def answers():
            if not self.daemon.running():
                raise ServerEnded(self.daemon.process.returncode, self.daemon.log)
            query = dns.message.make_query("ready.invalid.", "A")
            try:
                dns.query.udp(query, LOOPBACK, 0.5, self.port)
                dns.query.tcp(query, LOOPBACK, 0.5, self.port)
                return requests.get(self.url("/api/v1/servers"), headers=self._headers(), timeout=5).ok
            except (OSError, dns.exception.DNSException, requests.RequestException):
                return False
        try:
            wait_for("answer of pdns_server", answers, 60)
        except DeadlineExceeded as error:
            raise AssertionError(f"{error}\n{self.daemon.log}") from None

    def control(self, *words, check: bool = True) -> Result:
        return self.site.runner.run(
            programs.pdns_control(), f"--config-dir={self.site.place.root / self.directory}",
            f"--socket-dir={self.site.place.root / 'run' / self.name}", *words, check=check)

    def show(self, name: str) -> str:
        """`pdns_control show NAME`, without a process: tests ask again and again."""
        path = self.site.place.root / "run" / self.name / "pdns.controlsocket"
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(QUERY_DEADLINE)
            control.connect(str(path))
            control.sendall(f"show {name}\n".encode())
            answer = b"".join(iter(lambda: control.recv(65536), b"")).decode()
        self.site.transcript.add(f"show {name}", answer)
        return answer.strip()

    def stop(self) -> None:
        """As an administrator stops it; it must end cleanly."""
        self.control("quit")
        code = self.daemon.wait()
        assert code == 0, f"pdns_server ended with {code}:\n{self.daemon.log}"

    @property
    def log(self) -> str:
        return self.daemon.log

    def assert_alive(self) -> None:
        assert self.daemon.running(), f"pdns_server ended with {self.daemon.process.returncode}:\n{self.log}"

    # -- DNS

    def ask(self, name: str, rdtype: str = "A", *, dnssec: bool = True, tcp: bool = False,
            timeout: float = QUERY_DEADLINE) -> dns.message.Message:
        query = dns.message.make_query(name, rdtype, want_dnssec=dnssec, payload=4096)
        if tcp:
            return dns.query.tcp(query, LOOPBACK, timeout, self.port)
        answer = self._ask_udp(query, time.time() + timeout)
        return dns.query.tcp(query, LOOPBACK, timeout, self.port) if answer.flags & dns.flags.TC else answer

    def _ask_udp(self, query: dns.message.Message, expiration: float) -> dns.message.Message:
        """This server, or one of another test, may still answer who had the socket's port before."""
        here, start = (LOOPBACK, self.port), time.time()
        # Not dns.query's own waiting: each wait keeps a descriptor until Python collects its garbage.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(query.to_wire(), here)
            while (left := expiration - time.time()) > 0:
                client.settimeout(left)
                try:
                    wire, sender = client.recvfrom(65535)
                except TimeoutError:
                    break
                answer = dns.message.from_wire(wire) if sender == here else None
                if answer is not None and query.is_response(answer):
                    return answer
        raise dns.exception.Timeout(timeout=expiration - start)

    def transfer(self, zone: str) -> list:
        """The zone's records in the order they came, as rrsets."""
        messages = dns.query.xfr(LOOPBACK, zone, port=self.port, lifetime=60 * PATIENCE, timeout=30 * PATIENCE,
                                 relativize=False)
        return [rrset for message in messages for rrset in message.answer]

    # -- REST

    def url(self, path: str) -> str:
        return f"http://{LOOPBACK}:{self.web}{path}"

    def _headers(self) -> dict:
        return {"X-API-Key": self.api_key}

    def api(self, method: str, path: str, body=None, status: int | None = None):
        """A call below /servers/localhost; the answer goes to the transcript too."""
        answer = requests.request(method, self.url("/api/v1/servers/localhost" + path),
                                  headers=self._headers(), json=body, timeout=30 * PATIENCE)
        self.site.transcript.add(f"API {method} {path}", answer.text)
        if status is not None:
            assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer


class ServerEnded(AssertionError):
    def __init__(self, code: int, log: str):
        super().__init__(f"pdns_server ended with {code}:\n{log}")
        self.code = code
        self.log = log

