# SPDX-License-Identifier: GPL-2.0-or-later
"""Ten thousand zones that share one key: look-ups on the token, and memory."""
from installation import MODULE, P256, SOFTWARE
from process import resident_bytes

ZONES = 10_000
# The keys of all zones stay in PowerDNS's key cache while we look at its memory.
SETTINGS = {"receiver_threads": 2, "distributor_threads": 3, "dnssec_key_cache_ttl": 3600,
            "query_cache_ttl": 0, "negquery_cache_ttl": 0}
STEPS = 4
NO_KEY = "no key"


def prepare(bench) -> None:
    """A database with a software key, one with the same zones and a reference."""
    installation = bench.installation
    bench.progress(f"{ZONES} zones: databases")
    installation.empty_database()
    names = [(f"z{i}.test",) for i in range(ZONES)]
    installation.sql("INSERT INTO domains (name, type) VALUES (?, 'NATIVE')", names)
    for rdtype, content in (("SOA", "ns1.test hostmaster.test 1 3600 600 604800 300"),
                            ("NS", "ns1.test")):
        installation.sql("INSERT INTO records (domain_id, name, type, content, ttl, auth)"
                         f" SELECT id, name, '{rdtype}', '{content}', 3600, 1 FROM domains")
    installation.keep_database("zones-plain", {NO_KEY: "pkcs11signer,gsqlite3"})
    for kind, content, engine, launch in (
            ("software", installation.software_keys[P256], SOFTWARE, "gsqlite3"),
            ("token", installation.reference(P256), MODULE, "pkcs11signer,gsqlite3")):
        installation.sql("DELETE FROM cryptokeys")
        installation.sql("INSERT INTO cryptokeys (domain_id, flags, active, published, content)"
                         f" SELECT id, 257, 1, 1, CAST(x'{content.hex()}' AS TEXT) FROM domains")
        installation.keep_database(f"zones-{kind}", {engine: launch})


def measure(bench) -> None:
    prepare(bench)
    for engine, kind in ((NO_KEY, "plain"), (SOFTWARE, "software"), (MODULE, "token")):
        bench.progress(f"{ZONES} zones with one key, {engine}")
        with bench.installation.server_of(engine, f"zones-{kind}", **SETTINGS) as server:
            memory(bench, server, engine)
            if engine == MODULE:
                signed(bench, server)


def queries(bench, rdtype: str, first: int, last: int):
    return bench.load.lines(tuple(f"z{i}.test {rdtype}" for i in range(first, last)))


def memory(bench, server, engine) -> None:
    """DNSKEY without a signature: nothing is kept of it but the zone's keys. All threads
    have their connections and buffers after the first thousand."""
    def ask(first: int, last: int) -> None:
        bench.load.run(server, queries(bench, "DNSKEY", first, last), passes=1,
                       dnssec=False).assert_all_answered()

    ask(0, 1000)
    before = resident_bytes(server.daemon.pid)
    ask(1000, ZONES)
    grown = resident_bytes(server.daemon.pid) - before
    bench.results.add(grown / (ZONES - 1000), "bytes a zone", engine)


def signed(bench, server) -> None:
    bench.load.run(server, queries(bench, "SOA", 0, ZONES), passes=1).assert_all_answered()
    bench.results.add(int(server.control("show", "pkcs11signer-key-lookups").stdout), "look-ups")
    bench.results.add(bench.slow.calls()["C_FindObjectsInit"], "searches")
    bench.results.add(bench.slow.signatures(), "zones signed")
