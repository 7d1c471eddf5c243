# SPDX-License-Identifier: GPL-2.0-or-later
"""A fleet over Galera, each server at a node of its own."""
import time

import pytest

from harness.faults import lines
from harness.fleet import GALERA, SharedDatabase, galera_pair
from harness.fleet_use import (HOSTS, NAMES, PASSWORD, PATIENT, ask_all, ask_all_at_once, assert_signed_once,
                               at_the_same_time, built, each_in_turn, fleet_at, start, zone)  # noqa: F401: a fixture
from harness.speed import statistic, wait_for_statistic

pytestmark = pytest.mark.skipif(not GALERA.exists(), reason="no Galera (Debian: galera-4)")


@pytest.fixture
def nodes(base, identity, place):
    origin = SharedDatabase(base / f"{place.root.name}-mariadb", identity, PASSWORD)
    pair = galera_pair(origin, base / f"{place.root.name}-galera", identity)
    yield pair
    for node in pair:
        node.server.daemon.kill()


@pytest.fixture
def fleet(place, runner, identity, transcript, nodes):
    with fleet_at(nodes[0], place, identity, transcript, runner) as it:
        yield it


def servers_of(fleet, nodes, hosts: int):
    return [start(fleet.add_site(zone(hosts), pkcs11signer_mysql_socket=str(node.server.socket), **PATIENT))
            for node in nodes]


def same_everywhere(nodes) -> int:
    counts = {node.rows() for node in nodes}
    return counts.pop() if len(counts) == 1 else -1


@pytest.mark.long
@pytest.mark.parametrize("ask", [each_in_turn, at_the_same_time])
def test_what_one_has_signed_no_other_signs_again(fleet, nodes, ask):
    servers = servers_of(fleet, nodes, NAMES)
    assert_signed_once(servers, ask)
    for server in servers:
        assert statistic(server, "fleet-failed") == statistic(server, "fleet-dropped") == 0
    assert same_everywhere(nodes) >= NAMES


@pytest.mark.long
def test_a_node_without_its_cluster(fleet, nodes):
    """It refuses everything until it is one of a majority again."""
    servers = servers_of(fleet, nodes, HOSTS)
    ask_all(servers[0], range(50))
    wait_for_statistic(servers[0], "fleet-queue", 0)
    nodes[0].server.daemon.kill()
    for server in servers:
        ask_all_at_once(server, range(50, 100))
    time.sleep(6)  # until the other node counts as lost
    ask_all(servers[1], range(100, 150))
    wait_for_statistic(servers[1], "fleet-connected", 0)
    assert len(lines(servers[1], "signatures are not shared")) <= 2
    # MariaDB 11 has a variable for each of the options.
    newer = nodes[1].sql("SHOW GLOBAL VARIABLES LIKE 'wsrep_provider_pc_bootstrap'", "")
    nodes[1].sql("SET GLOBAL wsrep_provider_pc_bootstrap=ON" if newer else
                 "SET GLOBAL wsrep_provider_options='pc.bootstrap=YES'", "")
    wait_for_statistic(servers[1], "fleet-connected", 1)
    wait_for_statistic(servers[1], "fleet-queue", 0)
    assert statistic(servers[1], "fleet-failed") == 0, lines(servers[1], "fleet store")
    assert nodes[1].rows() >= 150
