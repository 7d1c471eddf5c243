# SPDX-License-Identifier: GPL-2.0-or-later
"""The database goes away and comes back: as a stock PowerDNS with software keys."""
import dns.exception
import dns.rcode
import dns.rdatatype
import pytest

from harness import programs, zones
from harness.backends import Gmysql
from harness.deadline import wait_for
from harness.mariadb import MariaDb
from harness.place import Place
from harness.runner import Runner
from harness.site import NO_CACHES, Site
from harness.transcript import Transcript
from harness.validate import assert_signed, keys_of

ZONE, PLAIN = zones.SIGNED, zones.PLAIN
NO_ANSWER = "no answer"
BACK_WITHIN = 20  # seconds; PowerDNS connects anew when the next question comes

# Asked before the outage, during it and afterwards; {n}: another name each time.
WARM = ((f"www.{PLAIN}", "A"), (f"www.{ZONE}", "A"), (ZONE, "SOA"), (ZONE, "DNSKEY"))
COLD = (("host{n}." + PLAIN, "A"), ("host{n}." + ZONE, "A"), ("missing{n}." + PLAIN, "A"),
        ("missing{n}." + ZONE, "A"), (f"ns1.{ZONE}", "AAAA"), ("www.no-zone{n}.test", "A"))


class MariaDbAway:
    """A MariaDB of this test's own, that can be stopped and started."""

    def __init__(self, base, identity, name):
        self.place = Place(base / f"mariadb-{name}", identity)
        self.server = MariaDb(self.place, Runner(self.place.root, identity, Transcript()))

    def stop(self) -> None:
        self.server.stop()

    def start(self) -> None:
        self.server.start()


@pytest.fixture(scope="module")
def away(base, identity):
    it = MariaDbAway(base, identity, "away")
    yield it
    it.stop()


@pytest.fixture
def both(place, runner, away):
    """The module with keys on a token, and PowerDNS without it with software keys: two
    databases that are the same but for the keys, on one MariaDB."""
    programs.our_module()
    site = Site(place, runner, Gmysql(away.server))
    for zone in (zones.many(ZONE, 9), zones.many(PLAIN, 9)):
        site.add_zone(zone)
    copy = away.server.new_database()
    for statement in ("domains", "records", "domainmetadata"):
        away.server.sql(f"INSERT INTO {copy}.{statement} SELECT * FROM {site.database.database}.{statement}")
    site.stock = {**site.settings, "gmysql-dbname": copy}
    site.secure(ZONE, site.token())
    yield site
    site.discard()
    away.server.drop(copy)
    site.transcript.assert_no_secret()


def configure(site, caches: bool) -> None:
    """`caches`: PowerDNS's own, as they are without any setting."""
    drop = dict.fromkeys(NO_CACHES) if caches else {}
    site.set(**{name.replace("-", "_"): value for name, value in drop.items()})
    stock = {k: v for k, v in {**site.stock, **drop}.items() if not k.startswith("pkcs11signer-")}
    site.write_configuration("stock", "gmysql", stock)
    for role in ("ksk", "zsk"):
        site.pdnsutil("add-zone-key", ZONE, role, "active", "ecdsa256", stock=True)
    site.pdnsutil("rectify-zone", ZONE, stock=True)


def _in_short(answer) -> str:
    signed = any(rrset.rdtype == dns.rdatatype.RRSIG for rrset in answer.answer + answer.authority)
    return dns.rcode.to_text(answer.rcode()) + (", signed" if signed else "")


def said_to_all(server, n: int) -> dict[str, str]:
    """What the server says to each question, over UDP and TCP."""
    said = {}
    for name, rdtype in WARM + tuple((name.format(n=n), rdtype) for name, rdtype in COLD):
        for tcp in (False, True):
            try:
                answer = _in_short(server.ask(name, rdtype, tcp=tcp, timeout=5))
            except (dns.exception.DNSException, OSError, EOFError):
                answer = NO_ANSWER
            said[f"{name} {rdtype} {'TCP' if tcp else 'UDP'}"] = answer
    return said


@pytest.mark.parametrize("caches", [True, False], ids=["caches", "no caches"])
def test_answers_are_those_of_a_stock_server(both, away, caches):
    site = both
    configure(site, caches)
    servers = [site.start_server(), site.start_server("stock")]
    keys = [keys_of(server, ZONE) for server in servers]

    before = [said_to_all(server, 0) for server in servers]
    away.stop()
    try:
        during = [said_to_all(server, 1) for server in servers]
    finally:
        away.start()
    for server in servers:
        server.assert_alive()
        wait_for("answers as before", lambda: set(said_to_all(server, 2).values()) == set(before[0].values()), BACK_WITHIN)
    after = [said_to_all(server, 3) for server in servers]

    assert before[0] == before[1]
    assert during[0] == during[1]
    assert after[0] == after[1]
    # Each outage is one: else nothing was seen.
    assert "SERVFAIL" in during[0].values() or NO_ANSWER in during[0].values()
    assert caches == (during[0][f"www.{ZONE} A UDP"] == "NOERROR, signed")
    for server, its_keys in zip(servers, keys):
        assert_signed(server.ask(f"host4.{ZONE}"), its_keys)
        assert_signed(server.ask(f"missing4.{ZONE}"), its_keys)
        assert keys_of(server, ZONE) == its_keys
        server.stop()


@pytest.mark.parametrize("caches", [True, False], ids=["caches", "no caches"])
def test_a_table_of_keys_that_is_gone_does_not_make_a_zone_unsigned(both, away, caches):
    """The records can be read, the keys can not."""
    site = both
    configure(site, caches)
    databases = [site.database.database, site.stock["gmysql-dbname"]]
    servers = [site.start_server(), site.start_server("stock")]
    before = [said_to_all(server, 0) for server in servers]
    for name in databases:
        away.server.sql("RENAME TABLE cryptokeys TO not_there", name)
    during = [said_to_all(server, 1) for server in servers]
    for name in databases:
        away.server.sql("RENAME TABLE not_there TO cryptokeys", name)
    after = [said_to_all(server, 2) for server in servers]

    assert before[0] == before[1]
    assert during[0] == during[1]
    assert after[0] == after[1]
    assert "NOERROR" not in [said for question, said in during[0].items() if f"{ZONE} " in question]
    for server in servers:
        assert_signed(server.ask(f"host4.{ZONE}"), keys_of(server, ZONE))
        server.stop()


def test_the_token_is_not_touched_for_it(both, away, spy_library):
    """No session is lost and no login made because a database is away."""
    from harness.spy import Spy
    site = both
    spy = Spy(site.place, site.runner, site.hsm, spy_library)
    configure(site, False)
    server = site.start_server()
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))
    spy.forget()
    away.stop()
    try:
        said_to_all(server, 1)
    finally:
        away.start()
    wait_for("good answer", lambda: server.ask(f"host2.{ZONE}", timeout=5).rcode() == dns.rcode.NOERROR, BACK_WITHIN)
    assert spy.count("C_Login") == 0 and spy.count("C_CloseSession") == 0 and spy.count("C_OpenSession") <= 1
    server.stop()


COMMANDS = {
    "show-zone": (["show-zone", ZONE], ["show-zone", ZONE]),
    "list-keys": (["list-keys", ZONE], ["list-keys", ZONE]),
    "rectify-zone": (["rectify-zone", ZONE], ["rectify-zone", ZONE]),
    "remove-zone-key": (["remove-zone-key", ZONE, "1"], ["remove-zone-key", ZONE, "1"]),
    "test-algorithms": (["test-algorithms"], ["test-algorithms"]),
}


def test_pdnsutil_ends_as_the_stock_one(both, away):
    site = both
    configure(site, False)
    away.stop()
    try:
        told = {}
        for name, (ours, stock) in COMMANDS.items():
            # test-algorithms makes RSA keys and signatures of all sizes, which has nothing to do with us.
            told[name] = [site.pdnsutil(*ours, check=False, timeout=300),
                          site.pdnsutil(*stock, stock=True, check=False, timeout=300)]
    finally:
        away.start()
    for name, (ours, stock) in told.items():
        assert ours.returncode == stock.returncode, f"{name}: {ours}\n{stock}"
        assert ("Unable to" in ours.output or "connect" in ours.output) == \
               ("Unable to" in stock.output or "connect" in stock.output), f"{name}: {ours}\n{stock}"
        assert "terminate called" not in ours.output, f"{name}: {ours}"


def test_our_commands_say_that_the_database_is_away(both, away):
    site = both
    token = site.hsm.init_token("another")
    token.make_key("a key")
    away.stop()
    try:
        told = [site.command(*words, check=False) for words in (
            ("check",), ("list",), ("assign", ZONE, "ecdsa256", "zsk", "softhsm2", "another", token.pin, "a key"),
            ("generate", ZONE, "ecdsa256", "zsk", "softhsm2", "another", token.pin, "made"))]
        assigned = site.assign(ZONE, "ecdsa256", "zsk", token, "a key", check=False)
    finally:
        away.start()
    for said in (*told, assigned):
        assert said.returncode == 1, str(said)
        assert "connect" in said.output, str(said)
        assert "terminate called" not in said.output, str(said)
    assert token.labels() == ["a key"], "a key pair was made for no zone"


# -- SQLite

def test_a_read_only_sqlite_file(site):
    """What only reads goes on; what writes says why it can not."""
    site.add_zone(zones.small(ZONE))
    token = site.token()
    site.secure(ZONE, token)
    token.make_key("one more")
    server = site.start_server()
    site.database.path.chmod(0o400)
    site.database.path.parent.chmod(0o500)
    try:
        assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))
        said = site.command("assign", ZONE, "ecdsa256", "zsk", "softhsm2", token.label, token.pin, "one more",
                            check=False)
        stock = site.pdnsutil("add-zone-key", ZONE, "zsk", "ecdsa256", stock=True, check=False)
    finally:
        site.database.path.parent.chmod(0o700)
        site.database.path.chmod(0o600)
    for one in (said, stock):
        assert one.returncode == 1 and "readonly database" in one.output, str(one)
    assert len(site.database.key_rows(ZONE)) == 2
    server.stop()


def test_a_sqlite_file_that_is_moved_away_and_back(site):
    """The server has it open and goes on; pdnsutil says what is missing."""
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    server = site.start_server()
    elsewhere = site.database.path.with_suffix(".moved")
    site.database.path.rename(elsewhere)
    try:
        assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))
        ours, stock = site.pdnsutil("show-zone", ZONE, check=False), site.pdnsutil("show-zone", ZONE, stock=True,
                                                                                  check=False)
    finally:
        elsewhere.rename(site.database.path)
    assert ours.returncode == stock.returncode == 1, f"{ours}\n{stock}"
    for said in (ours, stock):
        assert str(site.database.path) in said.output, str(said)
    assert_signed(server.ask(f"ns1.{ZONE}"), keys_of(server, ZONE))
    server.stop()
