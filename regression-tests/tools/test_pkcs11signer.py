# SPDX-License-Identifier: GPL-2.0-or-later
"""The program `pkcs11signer`: `pdnsutil backend-cmd pkcs11signer "…"` without a second quoting, as the server's user."""
import json
import os
import pwd
import re
import shlex
import subprocess

import pytest

from harness import programs, zones
from harness.commands import assert_refused

ZONE = zones.SIGNED
ODD = ("", "a b", "it's", '"', "\\", "x\ny", "*", "$HOME `id` $(id)", "é", "~", "a\tb", "#;&|", "-", "%s\\n")
NAME = r"""it's $HOME "x" \ *"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def token(site):
    site.add_zone(zones.small(ZONE))
    return site.token("dns keys")


# -- the same as backend-cmd

def said_of_it(result) -> list[str]:
    """What is on stderr but for times, and for what pdnsutil echoes."""
    return [re.sub(r"^\w+ \d+ [\d:]+ ", "", line) for line in result.stderr.splitlines() if not line.startswith("== ")]


def same(site, *words):
    """Status, stdout and errors, byte for byte."""
    ours = site.pkcs11signer(*words, check=False)
    stock = site.command(*words, check=False)
    assert (ours.returncode, ours.stdout) == (stock.returncode, stock.stdout), words
    assert said_of_it(ours) == said_of_it(stock), words
    return ours


def test_each_command_is_the_same(site, token):
    token.make_key("a key")
    key = ("softhsm2", token.label, token.pin)
    site.pkcs11signer("assign", ZONE, "ecdsa256", "ksk", *key, "a key")
    site.pkcs11signer("warm", ZONE, "1")
    for words in (("modules", "--"), ("tokens", "--json"), ("keys", *key), ("check",), ("check", "nowhere.test"),
                  ("status",), ("unlock-login", "--all"), ("forecast",), ("budget", "nowhere.test"), ("version",), ("version", "--json"), ("sign-ahead", "all", "1"),
                  ("warm", ZONE, "0"), ("store", "stats"), ("generate", ZONE, "13", "ksk", *key, "a key"),
                  ("assign", ZONE, "13", "nsk", *key, "none")):
        same(site, *words)


def test_odd_arguments_are_the_same(site, token):
    for odd in ODD:
        same(site, "keys", "softhsm2", odd)
    assert_refused(same(site, "check", *ODD), "")
    assert_refused(same(site, "nonsense"), "no such command")
    assert same(site, "", "x").returncode == 1


def test_what_needs_no_server_is_the_same(site):
    """Nor a configuration with the module in it."""
    for words in ((), ("help",), ("HELP", "assign"), ("assign", "--help")):
        ours = site.runner.run(programs.our_command(), "--config-dir=/nonexistent", *words)
        assert ours.stdout == site.command(*words).stdout and ours.stderr == ""
    assert site.runner.run(programs.our_command(), "--help").stdout == site.command("help").stdout
    own = site.runner.run(programs.our_command(), "--version").stdout
    assert site.command("version").stdout.startswith(own) and own.endswith(f" for PowerDNS {programs.pdns_version()}\n")
    assert site.pkcs11signer("--json", "help").stdout == site.command("help", json=True).stdout
    unknown = site.runner.run(programs.our_command(), "help", "assing", check=False)
    assert_refused(unknown, "did you mean: assign")
    assert unknown.stderr in site.command("help", "assing", check=False).stderr
    assert site.runner.run(programs.our_command(), "--nonsense", "help", check=False).returncode == 1


def test_names_that_a_shell_would_change(site):
    site.add_zone(zones.small(ZONE))
    token = site.token("it's $HOME * \\")
    words = ("generate", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, NAME)
    site.pkcs11signer(*words)
    assert token.labels() == [NAME]
    row, = site.database.key_rows(ZONE)
    assert (row.lines()["Slot"], row.lines()["Label"]) == (token.label, NAME)
    assert "1 key checked, 0 failed" in site.pkcs11signer("check").stdout


def test_another_configuration(site, token):
    """By name, and with --json before the command; messages have both options for pasting."""
    site.write_configuration("conf", "pkcs11signer,gsqlite3")
    (site.place.root / "conf/pdns.conf").rename(site.place.root / "conf/pdns-other.conf")
    said = site.pkcs11signer("tokens", check=False)
    assert said.returncode == 1
    said = site.runner.run(programs.our_command(), "--config-dir", site.place.root / "conf", "--config-name=other",
                           "--json", "tokens", env=site.by_name())
    assert token.serial in said.stdout and said.stdout.startswith("[")


def test_the_command_that_allows_another_try_is_pasted(site):
    """As the message has it, whatever the token is called."""
    site.add_zone(zones.small(ZONE))
    token = site.token("it's $HOME")
    token.make_key("a key")
    words = ("assign", ZONE, "13", "ksk", "softhsm2", token.label, site.transcript.secret("1357~246"), "a key")
    site.pkcs11signer(*words, check=False)
    refused = site.pkcs11signer(*words, check=False)
    command = re.search(r"say: (pkcs11signer .* unlock-login .*)", refused.stderr)[1]
    assert "1 refused PIN" in site.paste(command).stdout


# -- whom root's commands are run as

@pytest.fixture
def seen(site, token):
    """Runs `pkcs11signer` as root; says as whom pdnsutil was run. The real one does the work."""
    site.place.directory("bin", 0o755)
    wrapper = site.place.file("bin/pdnsutil", f'#!/bin/sh\necho "as $(id -un)@$HOME" >&2\nexec '
                              f'{shlex.quote(programs.pdnsutil())} "$@"\n', mode=0o755)

    def run(*words, **how):
        said = site.pkcs11signer(*words, as_root=True, **how)
        assert said.returncode == 0 or not how.get("check", True)
        return (re.search(r"(?m)^as (.*)@", said.stderr) or ["", None])[1]
    yield run
    wrapper.unlink()


@needs_root
def test_root_s_commands_are_the_server_s_user_s(site, token, seen, identity):
    assert seen("generate", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, "a key") == identity.name
    for made in ("tokens", "state"):
        assert {path.lstat().st_uid for path in (site.place.root / made).rglob("*")} == {identity.uid}
    said = site.pkcs11signer("tokens", as_root=True)
    assert f"as {identity.name}@{pwd.getpwuid(identity.uid).pw_dir}" in said.stderr


@needs_root
def test_whom_it_is(site, seen, identity):
    """--user, setuid, the state directory's owner, in this order."""
    conf = f"--config-dir={site.place.root / 'conf'}"
    for user in ("root", "nobody", "0", str(identity.uid)):
        name = pwd.getpwuid(int(user)).pw_name if user.isdigit() else user
        said = site.runner.run(programs.our_command(), conf, "--user", user, "modules", as_root=True, check=False,
                               env=site.by_name())
        assert f"as {name}@" in said.stderr, said
    os.chown(site.place.root / "state", 0, 0)
    assert seen("modules") == "root"
    site.set(setuid="nobody # the server's")
    assert seen("modules", check=False) == "root", "nobody may not read the configuration"
    (site.place.root / "conf/pdns.conf").chmod(0o644)
    assert seen("modules", check=False) == "nobody"
    extra = site.place.directory("conf.d", 0o755)
    site.place.file("conf.d/B.conf", f" setuid = \\\n {identity.name} \n#setuid=daemon\n", mode=0o644)
    site.place.file("conf.d/a.conf", "setuid=daemon\n", mode=0o644)
    site.place.file("conf.d/c.txt", "setuid=daemon\n", mode=0o644)
    site.set(include_dir=str(extra))
    (site.place.root / "conf/pdns.conf").chmod(0o644)
    assert seen("modules", check=False) == identity.name
    site.set(setuid="nonesuch", include_dir=None)
    refused = site.pkcs11signer("modules", as_root=True, check=False)
    assert_refused(refused, "setting setuid: there is no user 'nonesuch'")


def test_another_user_is_for_root_to_choose(site):
    said = site.runner.run(programs.our_command(), "--user=root", "modules", check=False)
    assert_refused(said, "--user is for root")


@needs_root
def test_root_that_may_not_become_another_user_is_told(site, seen):
    said = site.runner.run(programs.program("setpriv"), "--bounding-set=-setuid,-setgid", programs.our_command(),
                           f"--config-dir={site.place.root / 'conf'}", "modules", as_root=True, check=False)
    assert_refused(said, "root may not become user", "--user=root")


# -- manual pages

def test_there_is_a_page_for_each_command(site):
    """With all that `help` says, in the same words."""
    pages = programs.our_pages()
    commands = [entry["command"] for entry in json.loads(site.command("help", json=True).stdout)]
    assert {page.name for page in pages.iterdir()} == {"pkcs11signer.1", *(f"pkcs11signer-{c}.1" for c in commands)}
    for command in ("", *commands):
        page = pages / f"pkcs11signer{command and '-'}{command}.1"
        shown = subprocess.run(["man", "--warnings", "--local-file", page], check=True, capture_output=True, text=True,
                               env={**os.environ, "MANWIDTH": "1000", "LC_ALL": "C.UTF-8"}, timeout=60)
        assert shown.stderr == ""
        words = " ".join(shown.stdout.split())
        for line in site.command("help", *([command] if command else [])).stdout.splitlines():
            assert " ".join(line.replace("`", "").split()) in words, f"{line!r} is not in {page.name}"
