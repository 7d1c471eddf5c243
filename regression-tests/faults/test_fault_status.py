# SPDX-License-Identifier: GPL-2.0-or-later
"""What a running server lets others know of its tokens: statistics, `backend-cmd status`, the log."""
import json
import os

import pytest

from harness import programs, zones
from harness.deadline import wait_for
from harness.faults import Names, is_refused, lines
from harness.speed import at_once, single_key, statistic, statistics

ZONE = zones.SIGNED


@pytest.fixture
def server(site, spy):
    site.add_zone(zones.many(ZONE, 300))
    single_key(site, ZONE, site.token("signing"))
    site.set(pkcs11signer_timeout="700")
    return site.start_server(settings={"receiver-threads": "16", "distributor-threads": "1"})


def status(site) -> list[dict]:
    return json.loads(site.command("status", json=True).stdout)


def wait_for_state(site, state: str) -> dict:
    def look():
        found = status(site)
        return found[0] if found and found[0]["state"] == state else None

    return wait_for(f"state {state}", look)


def test_a_token_that_is_there(site, server):
    assert statistic(server, "tokens") == 0
    names = Names(server, warm=5)
    line = wait_for_state(site, "ready")
    assert line["server"] == server.daemon.pid
    assert (line["module"], line["slot"]) == ("softhsm2", "signing")
    assert line["reconnects"] == 0 and "trouble" not in line
    found = statistics(server)
    assert found["tokens"] == 1
    assert found["tokens-away"] == found["tokens-stuck"] == found["reconnects"] == 0
    names.assert_warm_answered()


def test_a_token_that_is_away(site, spy, server):
    names = Names(server, warm=5)
    spy.unplug()
    names.assert_cold_refused()
    line = wait_for_state(site, "away")
    assert line["trouble"] and line["since"]
    found = statistics(server)
    assert found["tokens-away"] == 1 and found["tokens-stuck"] == 0
    text = site.command("status").stdout
    assert "away" in text and "signing" in text and line["trouble"] in text

    spy.plug()
    line = wait_for_state(site, "ready")
    assert line["reconnects"] == 1 and "trouble" not in line
    found = statistics(server)
    assert found["tokens-away"] == 0 and found["reconnects"] == 1


def test_a_token_that_is_stuck(site, spy, server):
    names = Names(server, warm=5)
    spy.rules("C_Sign hang")
    with at_once(lambda _: names.ask_cold(timeout=30), range(8)):
        pass
    wait_for("stuck token", lambda: not names.cold_is_signed() and statistic(server, "tokens-stuck") == 1)
    assert statistic(server, "tokens-away") == 0
    wait_for_state(site, "stuck")
    spy.rules()
    wait_for_state(site, "ready")
    wait_for("signature", names.cold_is_signed)
    assert statistic(server, "tokens-stuck") == 0
    assert statistic(server, "reconnects") == 0


@pytest.mark.parametrize("flag, word, left", [("0x10000", "low", 2), ("0x20000", "last", 1), ("0x40000", "locked", 0)])
def test_what_the_token_says_of_its_pin(site, spy, server, flag, word, left):
    names = Names(server, warm=1)
    assert wait_for_state(site, "ready")["pin"] == "ok"
    assert statistic(server, "pin-state") == 3
    spy.rules(f"C_GetTokenInfo flags {flag}")
    spy.plug()
    names.ask_cold(timeout=30)
    assert statistic(server, "pin-state") == left
    wait_for(f"pin {word}", lambda: status(site)[0]["pin"] == word)
    spy.rules()
    spy.plug()
    wait_for("signature", names.cold_is_signed)
    assert statistic(server, "pin-state") == 3


def test_refused_logins_are_counted(site, spy):
    site.add_zone(zones.small(ZONE))
    token = site.token("signing")
    token.make_key("a key")
    site.database.add_key_row(ZONE, site.reference(token, "a key", PIN=None))
    pin = site.place.file("pin", site.transcript.secret("3692~814"))
    site.set(pkcs11signer_timeout="10000", pkcs11signer_pin_source=f"file:{pin}")
    server = site.start_server()
    for name in ("www", "ns1"):
        assert is_refused(server.ask(f"{name}.{ZONE}"))
    found = statistics(server)
    assert (found["logins"], found["logins-refused"], found["pin-state"]) == (1, 1, 2)
    # The file has the first refusal until it is written again.
    line = wait_for("the second refusal", lambda: "has refused this PIN before" in (
        found := wait_for_state(site, "no-login"))["trouble"] and found)
    assert (line["pins_refused"], line["pin"]) == (1, "low") and line["since"]
    site.place.file("pin", token.pin)
    wait_for("signature", lambda: not is_refused(server.ask(f"www.{ZONE}")))
    line = wait_for_state(site, "ready")
    assert (line["pin"], statistic(server, "pin-state")) == ("ok", 3)
    assert "trouble" not in line


def test_who_asks_for_the_status_calls_no_token(site, spy, server):
    Names(server, warm=5)
    wait_for_state(site, "ready")
    spy.forget()
    site.command("status")
    # PowerDNS itself has p11-kit initialize all modules.
    assert {function for _, function in spy.calls()} <= {"C_Initialize", "C_Finalize"}


def test_the_status_of_a_server_that_is_gone_is_not_shown(site, spy, server):
    names = Names(server, warm=5)
    wait_for_state(site, "ready")
    server.stop()
    assert status(site) == []
    site.set(pkcs11signer_timeout="10000")  # its first answer is waited for
    names.server = server = site.start_server()
    names.assert_cold_signed()
    wait_for_state(site, "ready")
    server.daemon.kill()
    assert status(site) == []
    assert "no server is running" in site.command("status").stdout


@pytest.mark.parametrize("function,rv", [("C_Sign", "0x30"), ("C_OpenSession", "0xe0")])
def test_the_log_is_not_filled_by_a_fault_that_stays(spy, server, function, rv):
    names = Names(server, warm=5)
    spy.plug()
    spy.rules(f"{function} return {rv}")
    for _ in range(100):
        names.assert_cold_refused()
    assert len(lines(server, "token 'signing'")) <= 2


# -- other namespaces

IN_A_NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--propagation", "private")


@pytest.fixture
def containers(site, spy, identity):
    """Two servers on one state directory, each of which is process 1 of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a namespace of processes")
    site.add_zone(zones.many(ZONE, 300))
    single_key(site, ZONE, site.token("signing"))
    become = ("setpriv", "--pdeathsig=KILL", f"--reuid={identity.uid}", f"--regid={identity.gid}", "--clear-groups")
    return [site.start_server(wrapper=(*IN_A_NAMESPACE, *become), as_root=True) for _ in range(2)]


def test_a_server_in_another_namespace_of_processes(site, containers):
    """Its number is another process's here, and it is told from a second one that has the same."""
    for server in containers:
        Names(server, warm=2)
    for _ in range(3):
        wait_for("both servers", lambda: [(s["server"], s["state"]) for s in status(site)] == 2 * [(1, "ready")])
    left = len(list((site.place.root / "state").glob("status.*")))
    assert left == 2
    containers[0].stop()
    assert len(status(site)) == 1
    containers[1].daemon.kill()
    wait_for("end of the second one", lambda: status(site) == [])
    assert list((site.place.root / "state").glob("*status.*")) == []


def test_the_status_seen_from_another_namespace(site, server):
    """The command runs in a namespace without the server, whose report stays."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a namespace of processes")
    Names(server, warm=5)
    pid = wait_for_state(site, "ready")["server"]
    for _ in range(2):
        seen = site.runner.run(*IN_A_NAMESPACE, programs.pdnsutil(), f"--config-dir={site.place.root / 'conf'}",
                               "backend-cmd", "pkcs11signer", "status --json", as_root=True)
        assert [s["server"] for s in json.loads(seen.stdout)] == [pid]
    assert status(site)[0]["server"] == pid
