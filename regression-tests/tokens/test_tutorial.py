# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/tutorial-smartcard-hsm.md: each command does what the page says that it does.

With P11S_TUTORIAL=write in the environment, the page gets what the commands print now.
"""
import os
import re
import shutil

import pytest

from harness import namespace, programs, sanitizer, tutorial
from harness.card import Card
from harness.deadline import wait_for

PAGE = programs.REPOSITORY / "docs/tutorial-smartcard-hsm.md"
SETUP = programs.REPOSITORY / "setup.sh"
WRITE = os.environ.get("P11S_TUTORIAL") == "write"

# As Debian's package brings it.
PDNS_CONF = "include-dir=/etc/powerdns/pdns.d\nlaunch=\nsecurity-poll-suffix=\n"


class Reader:
    """Does what the page says."""

    def __init__(self, card: Card):
        self.card = card
        self.runner = card.network_runner
        self.server = None

    def run(self, command: str) -> str:
        if command.startswith("apt install "):
            return self.installed(command.split()[2:])
        if command == "systemctl restart pdns":
            return self.start_server()
        if command == "systemctl restart pcscd":
            self.card.stop_pcscd()
            self.card.start_pcscd()
            return ""
        # One stream, as a terminal has it.
        path = f"{programs.our_command().parent}:{self.runner.environment['PATH']}"
        return self.runner.run("bash", "-c", f"exec 2>&1\ncd /\n{command}", as_root=True, check=False,
                               env={"PATH": path}).stdout

    def act(self, action: str) -> None:
        """What a person does, and what one waits for meanwhile."""
        if action == "insert":
            self.card.insert()
        elif action == "pull":
            self.card.pull()
        elif action == "stop pcscd":
            self.card.stop_pcscd()
        elif action == "start pcscd":
            self.card.start_pcscd()
        elif action.startswith("until signed "):
            zone = action.split()[2]
            wait_for("signature", lambda: "\tRRSIG\t" in self.dig(zone, "TXT", "+dnssec"))
        elif action.startswith("until "):
            # With a reason: the first one may be what a call met as the card went.
            _, state, why = f"{action} ".split(" ", 2)
            if state == "away":
                self.dig("away.cmouse.aa", "A", "+dnssec")
            wait_for(f"word that it is {state}",
                     lambda: re.search(f"  {state}  .*{re.escape(why.strip())}", self.status()))
        else:
            raise AssertionError(f"who can {action}?")

    def installed(self, packages: list[str]) -> str:
        """Those of the page are those of setup.sh."""
        known = set(" ".join(re.findall(r"(?s)packages=\((.*?)\)", SETUP.read_text())).split())
        assert set(packages) <= known, set(packages) - known
        return ""

    def start_server(self) -> str:
        if self.server:
            self.server.terminate()
        self.server = self.runner.spawn(
            programs.program("setpriv"), "--reuid=pdns", "--regid=pdns", "--init-groups",
            "--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service", "--no-new-privs", "--",
            programs.pdns_server(), "--guardian=no", "--daemon=no", "--disable-syslog", "--write-pid=no",
            "--pkcs11signer-timeout=10000", "--queue-limit=10000",  # a busy machine is not to be seen in the answers
            log=self.card.place.root / "server.log", as_root=True)
        wait_for("answer", lambda: "status: " in self.dig("version.bind", "CH", "TXT") or not self.server.running())
        assert self.server.running(), self.server.log
        return ""

    def status(self) -> str:
        return self.runner.run("runuser", "-u", "pdns", "--", "pdnsutil", "backend-cmd", "pkcs11signer", "status",
                               as_root=True).stdout

    def dig(self, *words: str) -> str:
        return self.runner.run("dig", "@127.0.0.1", "+time=5", "+tries=1", *words, as_root=True, check=False).stdout


@pytest.fixture
def reader(place, runner, card_program):
    reason = namespace.why_not()
    if reason:
        pytest.skip(reason)
    system = programs.system_module_dir()
    modules = place.directory("modules", 0o755)
    for library in system.glob("lib*backend.so"):
        shutil.copy(library, modules)
    (modules / programs.OUR_BACKEND).unlink(missing_ok=True)
    (modules / programs.OUR_BACKEND).symlink_to(programs.our_module())
    state = place.directory("state", 0o755)
    place.directory("state/pkcs11signer")
    card = Card(place, runner, card_program, {system: modules, "/var/lib/powerdns": state})
    (card.namespace.path("/run") / "pdns").mkdir()
    shutil.chown(card.namespace.path("/run/pdns"), place.identity.uid, place.identity.gid)
    for path in card.namespace.path("/etc/powerdns/pdns.d").iterdir():
        path.unlink()
    card.namespace.path("/etc/powerdns/pdns.conf").write_text(PDNS_CONF)
    it = Reader(card)
    yield it
    if it.server:
        it.server.kill()
    card.discard()


@sanitizer.skip_with("the commands as people type them do not bring the runtime along")
@pytest.mark.skipif(programs.pdns_number() >= 40800 or programs.opensc_number() >= 26,
                    reason="the page shows what the programs of Debian 12 print; those of later ones word it otherwise")
def test_the_page_is_true(reader):
    lines = PAGE.read_text().splitlines()
    outputs = {}
    for step in tutorial.steps(lines):
        if step.action:
            reader.act(step.action)
            continue
        outputs[step.line] = reader.run(step.command)
        expected = "\n".join(lines[step.first:step.last])
        if not WRITE:
            assert tutorial.shape(step, outputs[step.line]) == tutorial.shape(step, expected), \
                f"line {step.line + 1}: {step.command}\n{outputs[step.line]}"
    if WRITE:
        tutorial.rewrite(PAGE, lines, outputs)


def test_the_page_has_the_commands_of_the_walk_through():
    """Those that everybody with such a card knows."""
    text = re.sub(r"\\\n\s*", "", PAGE.read_text())
    for command in ("opensc-tool --list-readers",
                    "sc-hsm-tool --initialize --so-pin 0123012301230123 --pin 123456",
                    "pkcs11-tool --module opensc-pkcs11.so -l --pin 123456 -k --key-type RSA:2048 -a 'cmouse.aa-KSK'",
                    "pkcs11-tool --module opensc-pkcs11.so -l --pin 123456 -k --key-type RSA:1024 -a 'cmouse.aa-ZSK'",
                    "p11-kit list-modules", "show-zone cmouse.aa", "disable-dnssec cmouse.aa", "--delete-object"):
        assert command in text, command
