# SPDX-License-Identifier: GPL-2.0-or-later
"""Several processes at the same token and the same table."""
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import zones
from harness.validate import assert_signed, assert_transfer_verifies, keys_of

ZONE = zones.SIGNED


@pytest.mark.databases("gsqlite3", "gmysql", "lmdb")
def test_two_servers_share_table_and_token(any_site):
    site = any_site
    site.add_zone(zones.many(ZONE, 20))
    site.secure(ZONE, site.token())
    servers = [site.start_server(), site.start_server()]
    keys = keys_of(servers[0], ZONE)
    assert keys == keys_of(servers[1], ZONE)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: servers[i % 2].ask(f"host{i // 2}.{ZONE}"), range(40)))
    for answer in answers:
        assert_signed(answer, keys)
    for server in servers:
        server.stop()


def test_pdnsutil_works_while_the_server_answers(site):
    site.add_zone(zones.many(ZONE, 60))
    token = site.token()
    site.secure(ZONE, token)
    server = site.start_server()
    keys = keys_of(server, ZONE)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(server.ask, f"host{i}.{ZONE}") for i in range(60)]
        for name in ("more.test", "evenmore.test"):
            site.add_zone(zones.small(name))
            site.command("generate", name, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, f"csk of {name}")
            site.pdnsutil("rectify-zone", name)
        for one in asked:
            assert_signed(one.result(), keys)
    # The server finds keys that another process made on the token.
    for name in ("more.test", "evenmore.test"):
        assert_signed(server.ask(f"www.{name}"), keys_of(server, name))
    server.stop()


def test_many_assign_at_once(site):
    """Each process locks the table and the token for the others now and then."""
    token = site.token()
    token.make_key("shared")
    names = [f"zone{i}.test" for i in range(6)]
    for name in names:
        site.add_zone(zones.small(name))
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda n: site.assign(n, "ecdsa256", "ksk", token, "shared", check=False), names))
    for name, result in zip(names, results):
        rows = site.database.key_rows(name)
        assert len(rows) == (1 if result.returncode == 0 else 0), str(result)
        # SQLite may be locked; SoftHSM rewrites its token's file at each login.
        assert result.returncode in (0, 1), str(result)
    assert any(result.returncode == 0 for result in results)


def test_a_transfer_and_queries_at_once(site):
    site.add_zone(zones.many(ZONE, 300))
    site.secure(ZONE, site.token())
    server = site.start_server(settings={"signing-threads": "4"})
    keys = keys_of(server, ZONE)
    with ThreadPoolExecutor(4) as pool:
        transfers = [pool.submit(server.transfer, ZONE) for _ in range(2)]
        answers = list(pool.map(lambda i: server.ask(f"host{i}.{ZONE}"), range(0, 300, 7)))
        for answer in answers:
            assert_signed(answer, keys)
        for transfer in transfers:
            assert len(transfer.result()) > 600
    assert_transfer_verifies(server, ZONE)
    server.stop()


def test_the_servers_of_a_guardian_sign_after_the_fork(site):
    """PKCS#11 does not survive fork(): the child starts anew."""
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    server = site.start_server(settings={"guardian": "yes"})
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))
    server.stop()
