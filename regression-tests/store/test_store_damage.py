# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever stands in the store, or happens to it: no wrong answer, and the server lives."""
import fcntl
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from harness import programs, zones
from harness.deadline import wait_for
from harness.faults import is_refused, lines
from harness.speed import statistic, wait_for_statistic
from harness.validate import assert_signed, keys_of
from test_store import HOSTS, NEVER_ASKED, Questions, secured

ZONE = zones.SIGNED
PAGE = 4096


def state(site) -> Path:
    return site.place.root / "state"


def store_file(site) -> Path:
    return state(site) / "signatures.lmdb"


@pytest.fixture
def filled(site, spy):
    """A store with the answers to all questions, and nobody who has it open."""
    # What reads a damaged file first is a process that may die of it; a server that dies fails the test anyway.
    site.runner.sanitizer.set(handle_segv=0, handle_sigbus=0)
    secured(site, spy)
    questions = Questions()
    server = site.start_server()
    questions.assert_answered(server)
    server.stop()
    spy.forget()
    return questions


def assert_all_is_well(site, questions, server=None):
    server = server or site.start_server()
    questions.assert_answered(server)
    assert_signed(server.ask(NEVER_ASKED), keys_of(server, ZONE))
    server.stop()
    return server


# -- the file

def _cut(path: Path, part: float) -> None:
    os.truncate(path, int(path.stat().st_size * part))


def _overwrite(path: Path, content: bytes) -> None:
    with open(path, "r+b") as file:
        file.truncate(0)
        file.write(content)


@pytest.mark.parametrize("spoil", [
    pytest.param(lambda p: _cut(p, 0.5), id="half"),
    pytest.param(lambda p: os.truncate(p, 100), id="100-bytes"),
    pytest.param(lambda p: _overwrite(p, b"something else\n" * 1000), id="foreign"),
    pytest.param(lambda p: _overwrite(p, bytes(40960)), id="zeros")])
def test_a_file_that_is_none(site, spy, filled, spoil):
    spoil(store_file(site))
    server = assert_all_is_well(site, filled)
    told = lines(server, "signatures.lmdb.broken")
    assert len(told) == 1 and "begins empty" in told[0]
    assert (state(site) / "signatures.lmdb.broken").exists()
    assert spy.count("C_Sign") > HOSTS
    # And it is a good one now.
    spy.forget()
    assert_all_is_well(site, filled)
    assert spy.count("C_Sign") == 0


def test_the_end_of_the_file_is_cut_off(site, spy, filled):
    """It may have held nothing but pages that are free."""
    _cut(store_file(site), 0.9)
    server = assert_all_is_well(site, filled)
    if not lines(server, "signatures.lmdb.broken"):
        assert spy.count("C_Sign") == 1, "that of the name never asked for"
    spy.forget()
    assert_all_is_well(site, filled)
    assert spy.count("C_Sign") == 0


def test_a_file_of_another_program(site, spy, filled, tool):
    """LMDB, but no store."""
    data = store_file(site).read_bytes().replace(b"signatures 1", b"signatures 9")
    _overwrite(store_file(site), data)
    server = assert_all_is_well(site, filled)
    assert len(lines(server, "another program's, or another version's")) == 1


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes_in_pages(site, spy, filled, seed):
    dice = random.Random(seed)
    path = store_file(site)
    data = bytearray(path.read_bytes())
    for _ in range(dice.choice([1, 3, 20])):
        at = dice.randrange(len(data) - 64)
        if dice.random() < 0.3:
            at -= at % PAGE  # where a page says what it is
        data[at:at + 64] = dice.randbytes(64)
    _overwrite(path, bytes(data))
    assert_all_is_well(site, filled)
    assert_all_is_well(site, filled)


def _quit(server):
    server.stop()


def _signal(number):
    def end(server):
        assert server.daemon.terminate(number) == -number
    return end


def _end_guardian(how):
    def end(server):
        # The guardian kills the server without further ado: the last second's signatures are lost.
        wait_for_statistic(server, "store-queue", 0)
        how(server)
    return end


def _kill(server):
    wait_for_statistic(server, "store-queue", 0)
    os.kill(server.daemon.pid, signal.SIGKILL)
    server.daemon.process.wait(20)


@pytest.mark.parametrize("settings,end", [
    pytest.param({}, _quit, id="quit"),
    pytest.param({}, _signal(signal.SIGTERM), id="sigterm"),
    pytest.param({}, _signal(signal.SIGINT), id="sigint"),
    pytest.param({}, _kill, id="sigkill"),
    pytest.param({"guardian": "yes"}, _end_guardian(_quit), id="guardian-quit"),
    pytest.param({"guardian": "yes"}, _end_guardian(lambda s: s.daemon.terminate()), id="guardian-sigterm")])
def test_however_it_ends_the_store_is_opened_as_it_is(site, spy, settings, end):
    """All signatures are there, and nobody had to copy the file."""
    secured(site, spy)
    questions = Questions()
    server = site.start_server(settings=settings)
    questions.assert_answered(server)
    end(server)
    wait_for("end of all who have it open", lambda: is_alone(site))
    inode = store_file(site).stat().st_ino
    spy.forget()
    server = site.start_server(env={"PKCS11SIGNER_PROBE": "/bin/false"})
    questions.assert_answered(server)
    assert spy.count("C_Sign") == 0
    assert lines(server, "store") == [] and store_file(site).stat().st_ino == inode
    server.stop()


def is_alone(site) -> bool:
    """Whether nobody has the store open."""
    with open(state(site) / "signatures.guard", "rb") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.fixture
def slow_probe(site):
    """The program that copies, on a disk that is slow until the file `go` is there."""
    script = site.place.file("slow-probe", f"""#!/bin/sh
if [ "$1" = --copy-store ]; then
  echo $$ > probe-pid
  while [ ! -e go ]; do
    echo at 1 of 9
    sleep 0.1
  done
fi
exec {programs.our_probe()} "$@"
""", 0o755)
    return {"PKCS11SIGNER_PROBE": str(script)}


def test_a_copy_that_takes_long_holds_up_no_answer(site, spy, filled, slow_probe):
    os.truncate(state(site) / "signatures.guard", 0)
    server = site.start_server(env=slow_probe)
    keys = keys_of(server, ZONE)
    for name in filled.names[:5]:
        assert_signed(server.ask(name), keys)
    wait_for("line in the log", lambda: lines(server, "1 of 9 records so far"))
    assert statistic(server, "store-signatures") == 0 and spy.count("C_Sign") > 0
    site.place.file("go", "")
    wait_for("store", lambda: statistic(server, "store-signatures") > HOSTS)
    spy.forget()
    for name in filled.names[5:]:
        assert_signed(server.ask(name), keys)
    assert spy.count("C_Sign") == 0
    assert not (state(site) / "signatures.lmdb.broken").exists()
    server.stop()
    assert len(lines(server, "signature store")) in (2, 3), "how far it is, and that it is done"


def test_a_server_that_ends_while_its_store_is_copied(site, spy, filled, slow_probe):
    """Nothing is lost, and no process is left behind."""
    os.truncate(state(site) / "signatures.guard", 0)
    server = site.start_server(env=slow_probe)
    server.ask(filled.names[0])
    server.stop()
    pid = int((site.place.root / "probe-pid").read_text())
    wait_for("end of the program", lambda: not Path(f"/proc/{pid}").exists())
    spy.forget()
    server = assert_all_is_well(site, filled)
    assert spy.count("C_Sign") == 1, "that of the name never asked for"
    assert lines(server, "signatures.lmdb.broken") == []


def test_two_servers_wait_for_one_copy(site, spy, filled, slow_probe):
    os.truncate(state(site) / "signatures.guard", 0)
    servers = [site.start_server(env=slow_probe) for _ in range(2)]
    site.place.file("go", "")
    spy.forget()
    for server in servers:
        wait_for("store", lambda s=server: statistic(s, "store-signatures") > HOSTS)
        filled.assert_answered(server)
    assert spy.count("C_Sign") == 0


def test_not_closed_properly(site, spy, filled):
    """Killed: all that was written is there."""
    server = site.start_server()
    filled.assert_answered(server)
    server.daemon.process.send_signal(signal.SIGKILL)
    server.daemon.process.wait(20)
    server = site.start_server()
    filled.assert_answered(server)
    assert spy.count("C_Sign") == 0
    assert lines(server, "store") == []


@pytest.mark.parametrize("moment", range(5))
def test_killed_while_it_signs_and_writes(site, spy, moment):
    secured(site, spy, hosts=300)
    server = site.start_server()
    for i in range(60 * (moment + 1) - 1):
        server.ask(f"host{i}.{ZONE}")
    server.daemon.process.send_signal(signal.SIGKILL)
    server.daemon.process.wait(20)
    server = site.start_server()
    Questions().assert_answered(server)
    assert lines(server, "store") == []
    server.stop()


# -- what stands in it

@pytest.mark.parametrize("how,invalid", [("swap", False), ("forge", True), ("garble", False)])
def test_records_that_were_tampered_with(site, spy, filled, tool, how, invalid):
    site.runner.run(tool, store_file(site), how)
    server = site.start_server()
    filled.assert_answered(server)
    told = lines(server, "does not verify")
    assert (statistic(server, "store-invalid") > 0) == invalid
    assert len(told) == (1 if invalid else 0), "once a minute"
    assert spy.count("C_Sign") > 0
    server.stop()
    spy.forget()
    server = assert_all_is_well(site, filled)
    assert lines(server, "does not verify") == []
    assert spy.count("C_Sign") <= 1, "made anew, and kept: only one was never asked for"


def test_store_verify_finds_them(site, spy, filled, tool):
    assert site.command("store", "verify").returncode == 0
    site.runner.run(tool, store_file(site), "forge")
    result = site.command("store", "verify", ZONE, check=False)
    assert result.returncode == 1 and "did not verify and had to be deleted" in result.output
    assert site.command("store", "verify").returncode == 0


def test_a_zone_gets_other_keys(site, spy, filled):
    token, = [site.token("another")]
    for row in site.database.key_rows(ZONE):
        site.pdnsutil("remove-zone-key", ZONE, str(row.id))
    token.make_key("new")
    site.database.add_key_row(ZONE, site.reference(token, "new"))
    assert_all_is_well(site, filled)
    assert spy.count("C_Sign") > HOSTS


@pytest.mark.parametrize("pinned", [False, True], ids=["unpinned", "pinned"])
def test_another_key_under_the_label_while_the_server_was_down(site, spy, pinned):
    """With the token there, the new key is taken; one that is pinned is refused."""
    token = secured(site, spy, pinned=pinned)
    questions = Questions()
    server = site.start_server()
    questions.assert_answered(server)
    old = keys_of(server, ZONE)
    server.stop()
    for role in ("ksk", "zsk"):
        token.delete(f"{ZONE}-{role}")
        token.import_key(f"{ZONE}-{role}", ec.generate_private_key(ec.SECP256R1()))
    server = site.start_server()
    if pinned:
        questions.assert_answered(server)
        assert keys_of(server, ZONE) == old
        assert is_refused(server.ask(NEVER_ASKED))
        return
    assert_all_is_well(site, questions, server)
    server = site.start_server()
    assert keys_of(server, ZONE) != old
    spy.unplug()
    server.stop()
    assert {k.key for k in keys_of(site.start_server(), ZONE)}.isdisjoint({k.key for k in old})


def test_the_token_comes_back_with_another_key(site, spy):
    """What was taken from the store is the key, as if it had been there all along."""
    token = secured(site, spy)
    questions = Questions()
    server = site.start_server()
    questions.assert_answered(server)
    server.stop()
    spy.unplug()
    server = site.start_server()
    questions.assert_answered(server)
    for role in ("ksk", "zsk"):
        token.delete(f"{ZONE}-{role}")
        token.import_key(f"{ZONE}-{role}", ec.generate_private_key(ec.SECP256R1()))
    spy.plug()
    wait_for("token", lambda: statistic(server, "tokens-away") == 0, 10)
    for _ in range(3):
        assert is_refused(server.ask(NEVER_ASKED))
    questions.assert_answered(server)
    assert len(lines(server, "another key stands there under this label")) == 1


# -- the disk

def _missing(site):
    state(site).rmdir()


def _a_file(site):
    state(site).rmdir()
    site.place.file("state")


def _read_only(site):
    state(site).chmod(0o500)


def _link(site):
    store_file(site).symlink_to("/etc/hostname")


@pytest.mark.parametrize("spoil", [_missing, _a_file, _read_only, _link])
def test_without_a_place_for_it(site, spy, spoil):
    spoil(site)
    try:
        secured(site, spy)
        server = site.start_server()
        Questions().assert_answered(server)
        assert len(lines(server, "[pkcs11signer] signature store")) == 1
        server.stop()
    finally:
        if state(site).exists():
            state(site).chmod(0o700)


def test_without_a_state_directory(site, spy):
    site.set(pkcs11signer_state_dir="")
    secured(site, spy)
    server = site.start_server()
    Questions().assert_answered(server)
    assert lines(server, "store") == []


def _mount(site, size: str) -> None:
    if os.geteuid() != 0 or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", state(site)],
            capture_output=True, timeout=30).returncode != 0:
        pytest.skip("cannot mount a tmpfs")
    site.runner.identity.own(state(site))
    if size == "4k":
        (state(site) / "fill").write_bytes(b"x" * PAGE)


@pytest.mark.parametrize("size", ["4k", "64k", "80k", "100k", "140k"])
def test_a_disk_that_is_full(site, spy, size):
    """At once, or while it is being written."""
    _mount(site, size)
    try:
        secured(site, spy, hosts=200)
        server = site.start_server()
        questions = Questions(200)
        for _ in range(2):
            questions.assert_answered(server)
        server.stop()
        assert lines(server, "signature store"), "it is said"
        assert len(lines(server, "signature store")) < 5, "but not each time"
        assert_all_is_well(site, Questions())
    finally:
        for server in site.servers:
            server.daemon.kill()
        subprocess.run(["umount", state(site)], check=True, timeout=30)
