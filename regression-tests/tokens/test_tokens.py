# SPDX-License-Identifier: GPL-2.0-or-later
"""The same on every token there is to be had without hardware: docs/tokens.md has what comes out."""
import threading

import dns.rcode
import pytest

from harness import programs, zones
from harness.deadline import wait_for
from harness.dnskey import ALGORITHMS, KSK, ZSK, DnsKey
from harness.faults import Names, is_signed, lines
from harness.pdnsutil_output import shown_keys
from harness.speed import answers, at_once, statistics
from harness.token import some_pin
from harness.tokens import DRIVERS
from harness.validate import assert_delv, assert_signed, assert_transfer_verifies, keys_of

ZONE = zones.SIGNED
OTHER = zones.OTHER
NAMES = {number: name for name, number in ALGORITHMS.items()}


@pytest.fixture(params=DRIVERS)
def driver(request, place, runner):
    """A new token, of each make."""
    it = DRIVERS[request.param](place, runner)
    yield it
    it.discard()


@pytest.fixture
def site(driver, place, make_site):
    """SQLite, and p11-kit knows the token."""
    programs.our_module()
    for it in make_site(driver.runner):
        driver.attach(it)
        yield it


def main_algorithm(driver) -> int:
    return 13 if 13 in driver.offers else 8


def label_of(zone, role):
    return f"{zone}-{role}"


def command(site, driver, what, zone, algorithm, role, label="", pin="", **how):
    return site.command(what, zone, NAMES[algorithm], role, driver.module, driver.label, pin or driver.pin,
                        label or label_of(zone, role), **how)


def generate(site, driver, zone=ZONE, algorithm=0, roles=("ksk", "zsk")):
    for role in roles:
        command(site, driver, "generate", zone, algorithm or main_algorithm(driver), role)
    site.pdnsutil("rectify-zone", zone)


def assert_served(server, zone, algorithm):
    keys = keys_of(server, zone)
    assert {key.algorithm for key in keys} == {algorithm}
    for name, rdtype in ((f"www.{zone}", "A"), (zone, "SOA"), (f"missing.{zone}", "A")):
        assert_signed(server.ask(name, rdtype), keys)
    if algorithm not in (5, 7):  # today's validators distrust SHA-1
        assert_delv(server, zone, f"www.{zone}")
    return keys


def asked_of_the_token(server):
    """What counts when a worker has something to do: without a job there is no PKCS#11 call."""
    return {name: value for name, value in statistics(server).items() if not name.startswith(("store-", "ahead-")) or
            name in ("store-hits", "store-misses")}


class Load:
    """Cold names asked for from three threads until it ends."""

    def __init__(self, names: Names):
        self.names = names
        self.signed = self.refused = 0
        self.wrong: list[str] = []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(3)]

    def _ask(self) -> None:
        while not self._end.is_set():
            try:
                if self.names.cold_is_signed():
                    self.signed += 1
                else:
                    self.refused += 1
                    self._end.wait(0.02)
            except Exception as error:  # seen by the test, which is in another thread
                self.wrong.append(repr(error))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join()
        self.names.server.assert_alive()


# -- what it is for

def test_from_a_new_token_to_validated_answers(site, driver):
    algorithm = main_algorithm(driver)
    for zone in (ZONE, OTHER):
        site.add_zone(zones.rich(zone))
    generate(site, driver)
    for role in ("ksk", "zsk"):
        command(site, driver, "assign", OTHER, algorithm, role, label_of(ZONE, role))
    site.pdnsutil("rectify-zone", OTHER)
    assert driver.token.labels() == [label_of(ZONE, "ksk"), label_of(ZONE, "zsk")]
    assert site.command("check").stdout.strip().endswith("4 keys checked, 0 failed")
    listed = site.command("keys", driver.module, driver.label, driver.pin).stdout
    assert label_of(ZONE, "ksk") in listed and OTHER in listed

    shown = {key.role: key for key in shown_keys(site.pdnsutil("show-zone", ZONE).stdout)}
    for role, flags in (("KSK", KSK), ("ZSK", ZSK)):
        expected = DnsKey.of(ZONE, driver.token.public_key(label_of(ZONE, role.lower())), algorithm, flags)
        assert (shown[role].tag, shown[role].bits, shown[role].dnskey) == (
            expected.tag, expected.bits, expected.text() if flags == KSK else shown[role].dnskey)

    server = site.start_server()
    for zone in (ZONE, OTHER):
        assert_served(server, zone, algorithm)
        assert_transfer_verifies(server, zone)
    before = asked_of_the_token(server)
    assert before["signatures"] > 0 and before["logins"] == 1
    for _ in range(3):
        for zone in (ZONE, OTHER):
            assert_served(server, zone, algorithm)
    assert asked_of_the_token(server) == before
    server.stop()


def test_each_algorithm_that_it_offers(site, driver):
    for algorithm in sorted(driver.offers):
        zone = site.add_zone(zones.small(f"alg{algorithm}.test")).name
        generate(site, driver, zone, algorithm, ("ksk",))
        site.pdnsutil("set-nsec3", zone, "1 0 0 -")  # algorithms 5 and 7 differ in nothing else
        site.pdnsutil("rectify-zone", zone)
    server = site.start_server()
    for algorithm in sorted(driver.offers):
        zone = f"alg{algorithm}.test"
        key, = assert_served(server, zone, algorithm)
        assert key.key == DnsKey.of(zone, driver.token.public_key(label_of(zone, "ksk")), algorithm, KSK).key


def test_what_it_does_not_offer_is_an_error_that_says_so(site, driver):
    site.add_zone(zones.small(ZONE))
    missing = sorted(set(NAMES) - driver.offers)
    for algorithm in missing:
        refused = command(site, driver, "generate", ZONE, algorithm, "ksk", check=False)
        assert refused.returncode == 1
        if algorithm in driver.may_lack_curve and f"know the curve of algorithm {algorithm} " in refused.stderr:
            continue
        assert f"cannot sign with algorithm {algorithm} " in refused.stderr, refused
        offered = refused.stderr.split("it offers: ")[1]
        assert sorted(driver.offers) == [int(item.split()[0]) for item in offered.split(", ")]
    assert site.database.key_rows(ZONE) == []
    assert driver.token.labels() == []


# -- what goes wrong

def test_a_wrong_pin_is_tried_once(site, driver):
    site.add_zone(zones.many(ZONE, 20))
    generate(site, driver, roles=("ksk",))
    wrong = site.transcript.secret("3692~814")
    row, = site.database.key_rows(ZONE)
    site.database.set_content(row.id, row.content.replace(driver.pin.encode(), wrong.encode()))
    server = site.start_server(settings={"receiver-threads": "8", "distributor-threads": "1"})
    names = [f"host{i}.{ZONE}" for i in range(20)]
    with at_once(server.ask, names * 2) as asked:
        assert {answer.rcode() for answer in answers(asked)} == {dns.rcode.SERVFAIL}
    assert site.command("check", check=False).returncode == 1
    counted = statistics(server)
    assert (counted["logins"], counted["logins-refused"]) == (1, 1)
    line, = lines(server, "refused the PIN")
    assert driver.label in line

    site.database.set_content(row.id, row.content)
    wait_for("signature", lambda: is_signed(server.ask(names[0])))
    assert_served(server, ZONE, main_algorithm(driver))


@pytest.mark.parametrize("driver", ["tpm2"], indirect=True)
def test_tokens_of_one_serial_have_pins_of_their_own(site, driver):
    """All tokens of a TPM have the serial number 0000000000000000. What one says of a PIN is not said of the other."""
    pin = site.transcript.secret(some_pin())
    driver.initialize("more keys", pin)
    other = driver.find("more keys", pin)
    assert other.serial == driver.token.serial
    for zone in (ZONE, OTHER):
        site.add_zone(zones.small(zone))
    refused = command(site, driver, "generate", ZONE, 13, "ksk", pin=pin, check=False)
    assert refused.returncode == 1 and "refused the PIN" in refused.stderr
    site.command("generate", OTHER, NAMES[13], "ksk", driver.module, "more keys", pin, "a key")  # there it is the right one
    generate(site, driver, roles=("ksk",))
    site.pdnsutil("rectify-zone", OTHER)
    server = site.start_server()
    for zone in (ZONE, OTHER):
        assert_served(server, zone, 13)
    counted = statistics(server)
    assert (counted["logins"], counted["logins-refused"]) == (2, 0)

    unclear = site.command("unlock-login", other.serial, check=False)
    assert unclear.returncode == 1
    assert all(word in unclear.stderr for word in ("'dns keys'", "'more keys'", "by its label", "--all")), unclear.stderr
    assert site.command("unlock-login", "more keys").stdout.startswith("no refused PIN of token 'more keys'")
    assert site.command("unlock-login", driver.label).stdout.startswith("1 refused PIN of token 'dns keys'")


def test_a_key_that_is_made_while_the_server_runs(site, driver):
    """By another process, while the server has sessions that are logged in."""
    for zone in (ZONE, OTHER):
        site.add_zone(zones.small(zone))
    generate(site, driver)
    server = site.start_server()
    assert_served(server, ZONE, main_algorithm(driver))
    generate(site, driver, OTHER)
    wait_for("signature", lambda: is_signed(server.ask(f"www.{OTHER}")), 60)
    for zone in (OTHER, ZONE):
        assert_served(server, zone, main_algorithm(driver))


def test_a_key_that_is_deleted(site, driver):
    site.add_zone(zones.many(ZONE, 20))
    generate(site, driver, roles=("ksk",))
    server = site.start_server()
    names = Names(server, ZONE, warm=5)
    driver.token.delete(label_of(ZONE, "ksk"), "privkey")
    assert driver.token.labels() == []
    if driver.sees_deletions:
        said = f"has no private key '{label_of(ZONE, 'ksk')}'; it has: none"
        # OpenSC, initialized just now, is not made to look again at once.
        wait_for(said, lambda: names.assert_cold_refused() and said in server.log, 10)
    else:
        names.assert_cold_signed()
    names.assert_warm_answered()
    assert site.command("check", check=False).returncode == 1


RESTARTED = [name for name, driver in DRIVERS.items() if driver.restarts]


@pytest.mark.parametrize("driver", RESTARTED, indirect=True)
def test_what_is_between_server_and_token_is_restarted_under_load(site, driver):
    site.add_zone(zones.many(ZONE, 5000))
    generate(site, driver, roles=("ksk",))
    server = site.start_server(settings={"receiver-threads": "8", "distributor-threads": "1"})
    names = Names(server, ZONE, warm=5)
    with Load(names) as load:
        wait_for("signatures", lambda: load.signed > 20)
        driver.stop()
        if driver.needs_daemon:
            wait_for("refusals", lambda: load.refused > 5, 30)
        names.assert_warm_answered()
        driver.start()
        seen = load.signed
        wait_for("signatures again", lambda: load.signed > seen + 20, 60)
    assert not load.wrong
    names.assert_cold_signed()
    assert statistics(server)["logins-refused"] == 0
