# SPDX-License-Identifier: GPL-2.0-or-later
"""What the Tab key does behind `pkcs11signer`, in the real shells."""
import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time

import pytest

from harness import processes, programs, zones
from harness.deadline import PATIENCE

ZONE = zones.SIGNED
COMPLETION = programs.REPOSITORY / "modules/pkcs11signer/completion"
# How a shell is started, and told of the completion in the directory {0}.
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"],
             ". /usr/share/bash-completion/bash_completion; . {0}/pkcs11signer"),
    "zsh": (["zsh", "-f", "-i"], "fpath=({0} $fpath); autoload -U compinit; compinit -u -D"),
}
# Completes by the program; otherwise shows what words the shell has made of the line.
SHOW = """pkcs11signer() { if [ "$1" = --complete ]; then command pkcs11signer "$@"; else printf '<%s>' "$@"; echo =; fi; }"""
TAB = "\t"
DROP_LINE = "\x15"


class Shell:
    """One with a terminal, which types and reads."""

    def __init__(self, site, name: str):
        argv, load = SHELLS[name]
        master, slave = pty.openpty()
        env = {**site.runner.environment_of(argv), **site.by_name(), "TERM": "dumb"}
        self.process = subprocess.Popen(
            [programs.program(argv[0]), *argv[1:]], stdin=slave, stdout=slave, stderr=slave, env=env,
            cwd=site.place.root, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            **site.runner.identity.popen_arguments())
        os.close(slave)
        self.master = master
        directory = site.place.directory("completion", 0o755)
        for file in COMPLETION.iterdir():
            site.place.file(f"completion/{file.name}", file.read_text(), mode=0o644)
        self.type(f"{load.format(directory)}\n{SHOW}\necho loa''ded\n")
        self.read_until("loaded")

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def read_until(self, pattern: str) -> re.Match:
        said, end = "", time.monotonic() + 30 * PATIENCE
        while not (found := re.search(pattern, said)):
            assert select.select([self.master], [], [], max(0, end - time.monotonic()))[0], said
            said += os.read(self.master, 4096).decode(errors="replace")
        return found

    def words(self, line: str) -> list[str]:
        """What the program gets when that is typed, and Enter."""
        self.type(f"pkcs11signer {line}\n")
        return re.findall("<(.*?)>", self.read_until("(<[^%]*>)=")[1])

    def end(self) -> None:
        processes.kill_tree(self.process.pid)
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def token(site):
    site.add_zone(zones.small(ZONE))
    token = site.token("dns keys")
    token.make_key("a key: $HOME")
    return token


@pytest.mark.parametrize("name", SHELLS)
def test_what_a_shell_completes(site, token, name):
    other = site.token("it's \"$HOME\"")
    shell = Shell(site, name)
    conf = f"--config-dir={site.place.root / 'conf'}"
    try:
        for typed, expected in (
                (f"gen{TAB}", ["generate"]),
                (f"help unl{TAB}", ["help", "unlock-login"]),
                (f"--config-d{TAB}{conf[len('--config-dir='):]} mod{TAB}", [conf, "modules"]),
                (f"{conf} keys soft{TAB} dn{TAB}", [conf, "keys", "softhsm2", "dns keys"]),
                (f"{conf} keys softhsm2 'dns k{TAB}", [conf, "keys", "softhsm2", "dns keys"]),
                (f"{conf} unlock-login it{TAB}", [conf, "unlock-login", other.label]),
                (f"{conf} unlock-login --a{TAB}", [conf, "unlock-login", "--all"]),
                (f"{conf} store pur{TAB} sig{TAB}", [conf, "store", "purge", ZONE]),
                (f"{conf} assign sig{TAB} ecdsa2{TAB} k{TAB} softhsm2 'dns keys' - a{TAB}",
                 [conf, "assign", ZONE, "ecdsa256", "ksk", "softhsm2", "dns keys", "-", "a key: $HOME"]),
                (f"{conf} check nowh{TAB}", [conf, "check", "nowh"])):
            assert shell.words(typed) == expected
        shell.type(f"pkcs11signer keys \"$(touch ran)\" x{TAB}{DROP_LINE}")
        assert shell.words("check") == ["check"] and not (site.place.root / "ran").exists()
    finally:
        shell.end()


def complete(site, *words) -> list[str]:
    said = site.runner.run(programs.our_command(), "--complete", f"--config-dir={site.place.root / 'conf'}", *words,
                           env=site.by_name(), check=False)
    assert said.stderr == ""
    return said.stdout.splitlines()


def test_nothing_logs_in(site, token, spy):
    """Whatever PIN there is."""
    wrong = site.place.file("wrong", site.transcript.secret("1357~246"))
    site.set(pkcs11signer_pin_source=f"file:{wrong}")
    assert complete(site, "keys", "softhsm2", "") == ["dns keys"]
    assert complete(site, "assign", ZONE, "13", "ksk", "softhsm2", "dns keys", "-", "") == ["a key: $HOME"]
    assert complete(site, "unlock-login", "") == ["--all", "dns keys"]
    assert complete(site, "keys", "softhsm2", "dns keys", "13") == []
    assert spy.count("C_OpenSession") > 0 and spy.count("C_Login") == 0


def test_what_cannot_be_found_out_is_left_out(site, token, spy):
    assert complete(site, "keys", "nonesuch", "") == complete(site, "nonsense", "") == complete(site, "status", "") == []
    twins = [site.token("twins").serial, site.token("twins").serial]
    assert sorted(complete(site, "keys", "softhsm2", "")) == sorted(["dns keys", *twins])
    (site.place.root / "conf/pdns.conf").unlink()
    assert complete(site, "check", "") == []
    assert "zsk" in complete(site, "assign", ZONE, "13", "")


def test_a_token_that_hangs_is_not_waited_for(site, token, spy):
    spy.rules("C_GetTokenInfo hang")
    begun = time.monotonic()
    site.runner.run(programs.our_command(), "--complete", f"--config-dir={site.place.root / 'conf'}", "keys", "softhsm2",
                    "", env=site.by_name(), check=False)
    assert time.monotonic() - begun < 10 * PATIENCE
