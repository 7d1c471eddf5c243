# SPDX-License-Identifier: GPL-2.0-or-later
"""PowerDNS's threads: chosen where the administrator sets none, else left as they are, and a line on what bad
ones cost."""
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from harness import programs, zones
from harness.deadline import wait_for
from harness.faults import lines
from harness.speed import single_key

THREADS = ("receiver-threads", "distributor-threads")
UNSET = dict.fromkeys(THREADS)
RECEIVER, DISTRIBUTOR = "pdns/receiver", "pdns/distributo"
PER_SESSION = 4
OWN = (1, 3)  # PowerDNS's


def start(site, **settings):
    return site.start_server(settings={**UNSET, "queue-limit": None, **settings})


def threads_of(server) -> tuple[int, int]:
    """Receivers and distributors for each, of the running process."""
    names = Counter()
    for task in Path(f"/proc/{server.daemon.process.pid}/task").iterdir():
        with suppress(OSError):  # it has ended
            names[(task / "comm").read_text().strip()] += 1
    return names[RECEIVER], names[DISTRIBUTOR] // max(1, names[RECEIVER]) or 1


def assert_threads(server, receivers: int, distributors: int) -> None:
    wait_for(f"{receivers} receivers with {distributors} distributors",
             lambda: threads_of(server) == (receivers, distributors), 10)


def choices(server) -> list[str]:
    return lines(server, "pkcs11signer-threads=keep")


def costs(server) -> list[str]:
    return lines(server, "an answer that needs no signature waits")


@pytest.mark.parametrize("sessions, receivers", [(None, 8 * PER_SESSION), ("1", 8), ("64", 64)])
def test_where_none_are_set_they_suit_the_sessions(site, sessions, receivers):
    site.set(pkcs11signer_sessions=sessions)
    server = start(site)
    assert_threads(server, receivers, 1)
    chosen, = choices(server)
    assert f"receiver-threads={receivers} distributor-threads=1" in chosen
    assert not costs(server)
    current = server.control("current-config").stdout.splitlines()
    assert f"receiver-threads={receivers}" in current and "distributor-threads=1" in current


def test_keep_leaves_powerdns_its_own(site):
    site.set(pkcs11signer_threads="keep")
    server = start(site)
    assert_threads(server, *OWN)
    assert not choices(server)
    cost, = costs(server)
    assert "dropped after queue-limit=1500 ms" in cost
    assert f"set receiver-threads={8 * PER_SESSION} distributor-threads=1" in cost


@pytest.mark.parametrize("where, receivers, distributors", [
    ("file", "1", "3"), ("file", "1", None), ("file", None, "3"), ("file", "2", "1"),
    ("included file", "1", None), ("included file", None, "2"),
    ("command line", "1", "3"), ("command line", None, "3"),
])
def test_what_is_set_stays(site, where, receivers, distributors):
    """PowerDNS's own defaults, too, and the one that is not set."""
    given = {name: value for name, value in zip(THREADS, (receivers, distributors)) if value is not None}
    if where == "file":
        site.set(**given)
    elif where == "included file":
        site.set(include_dir=str(site.place.directory("conf.d", 0o755)))
        site.place.file("conf.d/threads.conf", "".join(f"{k} = {v}  # so many\n" for k, v in given.items()))
    server = start(site, **(given if where == "command line" else {}))
    assert_threads(server, int(receivers or OWN[0]), int(distributors or OWN[1]))
    assert not choices(server)


def test_settings_of_our_own_from_the_command_line(site):
    site.set(pkcs11signer_threads="keep", pkcs11signer_sessions="64")
    server = start(site, **{"pkcs11signer-threads": "auto", "pkcs11signer-sessions": "3"})
    assert_threads(server, 12, 1)


def test_a_configuration_with_a_name(site):
    site.place.directory("named", 0o755)
    site.write_configuration("named", f"pkcs11signer,{site.database.name}",
                             {**site.settings, "receiver-threads": "3"})
    (site.place.root / "named/pdns.conf").rename(site.place.root / "named/pdns-other.conf")
    server = site.start_server("named", settings={**UNSET, "config-name": "other"})
    assert_threads(server, 3, OWN[1])


def test_under_the_guardian(site):
    server = start(site, guardian="yes")
    assert len(choices(server)) == 1
    assert f"receiver-threads={8 * PER_SESSION}" in server.control("current-config").stdout


def test_a_port_for_each_thread(site):
    """The kernel deals questions to sockets, whether their thread waits or not."""
    server = start(site, reuseport="yes")
    assert_threads(server, *OWN)
    server = start(site, **{"reuseport": "yes", "receiver-threads": "8", "distributor-threads": "1"})
    cost, = costs(server)
    assert "set reuseport=no" in cost


@pytest.mark.parametrize("given, said", [
    ({}, ""),
    ({"pkcs11signer-threads": "keep"}, "receiver-threads=1 distributor-threads=3: an answer that needs no signature"),
    ({"receiver-threads": "16", "queue-limit": "700"}, "is dropped after queue-limit=700 ms; set receiver-threads=32"),
    ({"distributor-threads": "2", "queue-limit": "0"}, "waits behind those that do; set receiver-threads=32"),
    ({"receiver-threads": "2", "distributor-threads": "1"}, "all of these threads may wait"),
    ({"receiver-threads": "8", "distributor-threads": "1", "pkcs11signer-sessions": "16"},
     "of pkcs11signer-sessions=16 no more than 8"),
    ({"receiver-threads": "8", "distributor-threads": "1"}, ""),
    ({"reuseport": "yes"}, "receiver-threads=1 distributor-threads=3: an answer that needs no signature"),
])
def test_server_and_check_say_what_they_cost(site, given, said):
    site.add_zone(zones.small(zones.SIGNED))
    single_key(site, zones.SIGNED, site.token())
    site.set(**given)
    server = start(site)
    warnings = [line for line in site.command("check").stdout.splitlines() if "-threads" in line]
    assert len(warnings) == len(lines(server, "set receiver-threads=")) == (said != "")
    if said:
        assert warnings[0].startswith("Warning: ") and said in warnings[0]
        assert warnings[0].removeprefix("Warning: ") in server.log


def test_what_the_server_prints_of_its_settings(site):
    """It has been told of its threads, and prints them as they would be."""
    def printed(*options) -> str:
        return site.runner.run(programs.pdns_server(), f"--config-dir={site.place.root / 'conf'}",
                               "--config=diff", *options).stdout
    assert f"\nreceiver-threads={8 * PER_SESSION}\n" in printed()
    assert "\nreceiver-threads=5\n" in printed("--receiver-threads=5")
    assert "distributor-threads" not in printed("--receiver-threads=5")
