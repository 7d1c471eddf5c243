# SPDX-License-Identifier: GPL-2.0-or-later
"""What is the same is done once: one signature for all who ask for it at once, one key
object and one look-up for all zones that share a key."""
from harness import zones
from harness.speed import answers, at_once, statistic, statistics, wait_for_statistic
from harness.validate import assert_signed, keys_of

ZONE = zones.SIGNED
CLIENTS = 64
SHARING = 10_000
ASKED = 300


def test_one_cold_name_for_64_clients_costs_one_signature(site, spy):
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    site.set(pkcs11signer_timeout="30000")
    # PowerDNS hands questions out in turn: each of the 64 gets a thread of its own.
    server = site.start_server(settings={"distributor-threads": str(CLIENTS)})
    keys = keys_of(server, ZONE)
    spy.forget()
    spy.rules("C_Sign hang")

    with at_once(lambda _: server.ask(f"www.{ZONE}", timeout=30), range(CLIENTS)) as asked:
        try:
            wait_for_statistic(server, "shared", CLIENTS - 1)
        finally:
            spy.rules()
        got = answers(asked)

    assert spy.count("C_Sign") == 1
    assert statistic(server, "signatures") == 2, "the DNSKEY's and this one"
    assert_signed(got[0], keys)
    # PowerDNS gives the RRsets of an answer in any order.
    texts = {tuple(sorted(rrset.to_text() for rrset in answer.answer)) for answer in got}
    assert len(texts) == 1, texts


def add_zones_that_share_a_key(site, names, content: bytes) -> None:
    """Straight into the database: pdnsutil would take a process for each."""
    connection = site.database.table.connect()
    with connection:
        connection.execute("BEGIN")
        for name in names:
            zone = connection.execute("INSERT INTO domains (name, type) VALUES (?, 'NATIVE')", (name,)).lastrowid
            connection.executemany(
                "INSERT INTO records (domain_id, name, type, content, ttl, auth, ordername)"
                " VALUES (?, ?, ?, ?, 3600, 1, '')",
                [(zone, name, "SOA", f"ns1.{name} hostmaster.{name} 1 3600 600 604800 300"),
                 (zone, name, "NS", "ns1.plain.test")])
            connection.execute("INSERT INTO cryptokeys (domain_id, flags, active, published, content)"
                               " VALUES (?, 257, 1, 1, CAST(? AS TEXT))", (zone, content))
        connection.execute("COMMIT")
    connection.close()


def test_ten_thousand_zones_that_share_a_key_cost_one_look_up(site, spy):
    names = [f"zone{i}.test" for i in range(SHARING)]
    token = site.token()
    public_key = token.make_key("shared")
    site.add_zone(zones.small(ZONE))
    site.assign(ZONE, "ecdsa256", "ksk", token, "shared")
    row, = site.database.key_rows(ZONE)
    add_zones_that_share_a_key(site, names, row.content)
    server = site.start_server(settings={"distributor-threads": "8"})
    spy.forget()

    keys_of(server, names[0])
    looked_up = spy.count("C_FindObjectsInit")
    assert looked_up > 0
    some = names[1::(SHARING - 1) // ASKED][:ASKED]
    for start in range(0, ASKED, 50):
        with at_once(lambda name: keys_of(server, name), some[start:start + 50]) as asked:
            for keys in answers(asked):
                assert len(keys) == 1 and keys[0].key == public_point(public_key)

    assert spy.count("C_FindObjectsInit") == looked_up
    assert spy.count("C_Sign") == ASKED + 1
    counted = statistics(server)
    assert (counted["keys"], counted["key-lookups"], counted["tokens"]) == (1, 1, 1), counted


def public_point(key) -> bytes:
    numbers = key.public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
