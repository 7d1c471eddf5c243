# SPDX-License-Identifier: GPL-2.0-or-later
"""Starting and stopping, forking and being killed, with queries going on."""
import ctypes
import itertools
import os
import re
import shutil
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from harness import programs, sanitizer, zones
from harness.deadline import PATIENCE, wait_for
from harness.ports import LOOPBACK, free_port
from harness.server import BIND_FAILURES, Server
from harness.validate import assert_signed, keys_of

ZONE = zones.SIGNED
STARTS = int(os.environ.get("P11S_STARTS", "200"))  # fewer where a sanitizer makes each slow
AT_ONCE = 12
DEADLINE = 30 * PATIENCE  # seconds for one start, one answer and one stop
SIGNS_OF_A_CRASH = re.compile(r"terminate called|Got a signal|Sanitizer|stack smashing|double free|corrupted")


@pytest.fixture
def signed(site):
    site.add_zone(zones.small(ZONE))
    token = site.token()
    token.make_key(ZONE)
    site.assign(ZONE, "ecdsa256", "ksk", token, ZONE)
    # Narrow: each name that is not there needs signatures of its own.
    site.pdnsutil("set-nsec3", ZONE, "1 0 0 ab", "narrow")
    site.pdnsutil("rectify-zone", ZONE)
    return site


def assert_signs(server) -> None:
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))
    assert_signed(server.ask(f"missing-{time.monotonic_ns()}.{ZONE}"), keys_of(server, ZONE))


def assert_no_crash(site, *logs: str) -> None:
    for log in logs:
        assert not SIGNS_OF_A_CRASH.search(log), log
    cores = [path for path in site.place.root.rglob("core*") if path.is_file()]
    assert not cores, f"dumped core: {cores}"


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


# -- two hundred starts and stops

class Questions:
    """Asks for names that were never asked for before, and looks whether one was answered.
    Goes on while the server starts, and while it ends."""

    def __init__(self, port: int):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((LOOPBACK, port))
        self.socket.settimeout(0.01)
        self.numbers = itertools.count()
        self.good = None  # the first good answer

    def ask(self) -> None:
        query = dns.message.make_query(f"missing{next(self.numbers)}.{ZONE}", "A", want_dnssec=True)
        for action in (lambda: self.socket.send(query.to_wire()), lambda: self._look(self.socket.recv(4096))):
            try:
                action()
            except TimeoutError:
                return
            except ConnectionRefusedError:  # nobody there yet, or no longer
                time.sleep(0.01)

    def _look(self, wire: bytes) -> None:
        if self.good is None:
            answer = dns.message.from_wire(wire)
            if answer.rcode() == dns.rcode.NXDOMAIN:
                self.good = answer

    def ask_until(self, what: str, condition) -> None:
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, f"no {what} within {DEADLINE} s"
            self.ask()


class Lane:
    """A copy of the token for one server after the other. SoftHSM writes its token's file anew
    at each login, and another process that starts in that moment finds no token there."""

    def __init__(self, site, number: int):
        name = f"lane{number}"
        place = site.place
        tokens = place.root / name
        shutil.copytree(place.root / "tokens", tokens)
        for path in (tokens, *tokens.rglob("*")):
            place.identity.own(path)
        text = site.hsm.configuration.read_text().replace(str(place.root / "tokens"), str(tokens))
        self.environment = {"SOFTHSM2_CONF": str(place.file(f"{name}.conf", text))}


class Life:
    """One server from its start to its end, with questions all the time."""

    def __init__(self, site, lane: Lane, keys, number: int):
        self.site, self.lane, self.keys, self.number = site, lane, keys, number
        self.guardian = number % 5 == 0

    def __call__(self) -> tuple[int, str]:
        for _ in range(5):
            code, log = self._live()
            if not any(text in log for text in BIND_FAILURES):
                return code, log
        raise AssertionError("found no free port in five attempts")

    def _live(self) -> tuple[int, str]:
        name, port = f"life{self.number}", free_port()
        directory = self.site.place.directory(f"run/{name}")
        log = self.site.place.root / f"{name}.log"
        log.unlink(missing_ok=True)
        daemon = self.site.runner.spawn(
            programs.pdns_server(), f"--config-dir={self.site.place.root / 'conf'}",
            f"--local-address={LOOPBACK}", f"--local-port={port}", f"--socket-dir={directory}",
            f"--guardian={'yes' if self.guardian else 'no'}", "--daemon=no", "--disable-syslog=yes",
            "--write-pid=no", "--distributor-threads=2", "--receiver-threads=1", log=log,
            env=self.lane.environment)
        server = Server(self.site, "conf", daemon, port, 0, "", name)
        questions = Questions(port)
        try:
            questions.ask_until(f"signed answer of {name}", lambda: questions.good or not daemon.running())
            if daemon.running():
                assert_signed(questions.good, self.keys)
                self._end(server)
                questions.ask_until(f"end of {name}", lambda: not daemon.running())
        except AssertionError as error:
            raise AssertionError(f"{error}\n{daemon.log}") from error
        finally:
            daemon.kill()
            questions.socket.close()
        return daemon.process.returncode, daemon.log

    def _end(self, server: Server) -> None:
        if self.guardian and self.number % 10 == 0:
            server.daemon.process.send_signal(signal.SIGTERM)
        else:
            server.control("quit")


def test_two_hundred_starts_and_stops_under_load(signed):
    signed.runner.sanitizer.set(report_thread_leaks=0)  # a stop waits 1.5 s for a worker; so slow are twelve at once
    site = signed
    server = site.start_server()
    keys = keys_of(server, ZONE)
    server.stop()

    def live(number: int) -> list[tuple[int, str]]:
        lane = Lane(site, number)
        return [Life(site, lane, keys, n)() for n in range(number, STARTS, AT_ONCE)]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = [end for some in pool.map(live, range(AT_ONCE)) for end in some]

    assert len(ends) == STARTS
    bad = [f"start {n}: exit {code}\n{log}" for n, (code, log) in enumerate(ends) if code != 0]
    assert not bad, "\n".join(bad[:3])
    assert_no_crash(site, *(log for _, log in ends))


def test_sigterm_ends_a_server_without_guardian_as_it_ends_a_stock_one(signed):
    """PowerDNS 4.7 has no handler for it."""
    codes = []
    for directory in ("conf", "stock"):
        if directory == "stock":
            signed.pdnsutil("disable-dnssec", ZONE)
        server = signed.start_server(directory)
        server.ask(f"www.{ZONE}")
        codes.append(server.daemon.terminate(seconds=5))
        assert_no_crash(signed, server.log)
    assert codes == [-signal.SIGTERM, -signal.SIGTERM]


def test_quit_while_a_signature_hangs(signed, spy):
    signed.runner.sanitizer.set(report_thread_leaks=0)  # the worker is left behind, as it must be
    server = signed.start_server()
    assert_signs(server)
    spy.rules("C_Sign hang")
    asked = dns.message.make_query(f"hangs.{ZONE}", "A", want_dnssec=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        spy.forget()
        for _ in range(3):
            sender.sendto(asked.to_wire(), (LOOPBACK, server.port))
        wait_for("C_Sign", lambda: spy.count("C_Sign"))
        begin = time.monotonic()
        server.stop()
        assert time.monotonic() - begin < 5 * PATIENCE
    assert_no_crash(signed, server.log)


@pytest.mark.parametrize("call", ["C_Login", "C_OpenSession", "C_FindObjects"])
def test_quit_while_the_first_use_of_a_token_hangs(signed, spy, call):
    signed.runner.sanitizer.set(report_thread_leaks=0)
    spy.rules(f"{call} hang")
    server = signed.start_server()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(dns.message.make_query(f"www.{ZONE}", "A", want_dnssec=True).to_wire(),
                      (LOOPBACK, server.port))
        wait_for(call, lambda: spy.count(call))
        begin = time.monotonic()
        server.stop()
        assert time.monotonic() - begin < 5 * PATIENCE
    assert_no_crash(signed, server.log)


# -- guardian

def child_of(server) -> int:
    """The instance that the guardian runs."""
    children = Path(f"/proc/{server.daemon.pid}/task/{server.daemon.pid}/children")
    return int(wait_for("child of the guardian", lambda: children.read_text().split())[0])


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_child_that_dies_is_replaced_and_the_next_one_signs(signed, spy, sig):
    server = signed.start_server(settings={"guardian": "yes"})
    assert_signs(server)
    first = child_of(server)
    spy.forget()

    os.kill(first, sig)
    wait_for("end of the first child", lambda: is_gone(first))
    second = wait_for("another child", lambda: child_of(server) if child_of(server) != first else 0)
    wait_for("answer of the second child", lambda: answers(server))

    assert_signs(server)
    assert spy.count("C_Initialize") == 1 and spy.count("C_Login") == 1
    server.stop()
    wait_for("end of the second child", lambda: is_gone(second))
    # The trace that PowerDNS prints of what we did to it is no crash of its own.
    assert server.log.count("Got a signal") == (0 if sig == signal.SIGKILL else 1)
    assert "terminate called" not in server.log


def answers(server) -> bool:
    try:
        return server.ask(f"www.{ZONE}", timeout=0.5).rcode() == dns.rcode.NOERROR
    except (dns.exception.DNSException, OSError):
        return False


def test_pdns_control_talks_to_the_child_of_a_guardian(signed, spy):
    """cycle: another child. rediscover, purge and the like: the same one goes on."""
    server = signed.start_server(settings={"guardian": "yes"})
    assert_signs(server)
    first = child_of(server)
    spy.forget()
    for words in (["rping"], ["rediscover"], ["reload"], ["purge"], ["show", "pkcs11signer-signatures"]):
        server.control(*words)
        assert_signs(server)
    assert child_of(server) == first and spy.count("C_Login") == 0

    server.control("cycle")
    wait_for("end of the first child", lambda: is_gone(first))
    wait_for("answer of the second child", lambda: answers(server))
    assert_signs(server)
    assert child_of(server) != first and spy.count("C_Login") == 1
    server.stop()
    assert_no_crash(signed, server.log)


def test_sigterm_ends_guardian_and_child(signed):
    server = signed.start_server(settings={"guardian": "yes"})
    assert_signs(server)
    child = child_of(server)
    assert server.daemon.terminate(signal.SIGTERM, seconds=5) == 0
    wait_for("end of the child", lambda: is_gone(child))
    assert_no_crash(signed, server.log)


def test_a_guardian_does_not_touch_the_token_itself(signed, spy):
    """What it has done before fork() would be worth nothing to the child. PowerDNS 4.7 itself
    initializes all modules of p11-kit in each of its processes as soon as it is loaded."""
    spy.forget()
    server = signed.start_server(settings={"guardian": "yes"})
    assert {function for _, function in spy.calls()} == {"C_Initialize"}
    assert_signs(server)
    assert {thread for thread, function in spy.calls() if function != "C_Initialize"} == {"p11s/worker"}
    server.stop()


# -- daemon

PR_SET_CHILD_SUBREAPER = 36


@contextmanager
def orphans_become_ours():
    """So that the exit status of a daemon can be asked for."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def exit_status(pid: int) -> int:
    _, status = wait_for(f"end of process {pid}",
                         lambda: (lambda got: got if got[0] else None)(os.waitpid(pid, os.WNOHANG)))
    return os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("guardian", ["no", "yes"])
def test_a_daemon(signed, guardian):
    """PowerDNS forks once more before it loads anything that matters."""
    site, port = signed, free_port()
    directory = site.place.directory("run/daemon")
    with orphans_become_ours():
        started = site.runner.spawn(
            programs.pdns_server(), f"--config-dir={site.place.root / 'conf'}", f"--local-address={LOOPBACK}",
            f"--local-port={port}", f"--socket-dir={directory}", f"--guardian={guardian}", "--daemon=yes",
            "--write-pid=yes", "--disable-syslog=yes", "--distributor-threads=2", "--receiver-threads=1",
            log=site.place.root / "daemon.log")
        server = Server(site, "conf", started, port, 0, "", "daemon")
        assert started.wait() == 0, started.log
        pid = int(wait_for("pid file", lambda: (directory / "pdns.pid").exists()
                           and (directory / "pdns.pid").read_text().strip()))
        try:
            wait_for("answer of the daemon", lambda: answers(server))
            assert_signs(server)
            server.control("quit")
            assert exit_status(pid) == 0
            pid = 0
        finally:
            if pid:
                os.kill(pid, signal.SIGKILL)
    assert_no_crash(site, started.log)
