# SPDX-License-Identifier: GPL-2.0-or-later
"""A token that signs wrongly: bits flipped, too short, too long, far too long, all zeros."""
import dns.exception
import dns.rcode
import pytest

from harness import zones
from harness.deadline import wait_for
from harness.server import Server
from harness.speed import answers, at_once, statistic, wait_for_statistic
from harness.validate import assert_signed, assert_transfer_verifies, keys_of

ZONE = zones.SIGNED
KINDS = {"rsasha256": "RSA-2048", "ecdsa256": "P-256", "ed25519": "Ed25519"}
FAULTS = ("corrupt", "short", "long", "huge", "zero")
HOSTS = 40
PREFIX = "[pkcs11signer] "

each_kind = pytest.mark.parametrize("algorithm", KINDS)
each_fault = pytest.mark.parametrize("fault", FAULTS)


class Signed:
    """A zone with one key, and a server that has signed with it."""

    def __init__(self, site, spy, algorithm: str):
        self.spy = spy
        token = site.token()
        site.add_zone(zones.many(ZONE, HOSTS))
        token.make_key(ZONE, KINDS[algorithm])
        # `hsm assign` of PowerDNS 4.7 itself does not take Ed25519.
        site.command("assign", ZONE, algorithm, "ksk", "softhsm2", token.label, token.pin, ZONE)
        site.pdnsutil("rectify-zone", ZONE)
        # A thread for each question, so that none is refused because too many wait on a busy machine.
        self.server: Server = site.start_server(settings={"receiver-threads": "56", "distributor-threads": "1"})
        self.keys = keys_of(self.server, ZONE)
        assert_signed(self.server.ask(f"www.{ZONE}"), self.keys)
        spy.forget()

    def host(self, number: int, **how):
        return self.server.ask(f"host{number}.{ZONE}", **how)

    def assert_good(self, answer) -> None:
        assert answer.rcode() == dns.rcode.NOERROR, answer
        assert_signed(answer, self.keys)

    def assert_good_or_refused(self, answer) -> bool:
        """True if it was good."""
        if answer.rcode() == dns.rcode.SERVFAIL:
            assert not answer.answer, f"a refusal with records in it:\n{answer}"
            return False
        self.assert_good(answer)
        return True

    def lines_about_signatures(self) -> list[str]:
        return [line for line in self.server.log.splitlines() if PREFIX in line and "signature" in line]


@each_fault
@each_kind
def test_one_faulty_signature_is_made_anew(site, spy, algorithm, fault):
    site.set(pkcs11signer_sessions="1")  # another worker's first session would be counted
    signed = Signed(site, spy, algorithm)

    spy.rules(f"C_Sign {fault} 1")
    signed.assert_good(signed.host(0))

    assert spy.count("C_Sign") == 2
    # A fresh session: the faulty one is closed.
    assert spy.count("C_CloseSession") == 1 and spy.count("C_OpenSession") == 1
    assert statistic(signed.server, "bad-signatures") == 1
    assert statistic(signed.server, "retries") == 1
    assert statistic(signed.server, "failures") == 0


@each_fault
@each_kind
def test_a_token_that_keeps_signing_wrongly(site, spy, algorithm, fault):
    signed = Signed(site, spy, algorithm)

    spy.rules(f"C_Sign {fault}")
    with at_once(lambda n: signed.host(n, timeout=20), range(HOSTS - 1)) as asked:
        for answer in answers(asked):
            assert answer.rcode() == dns.rcode.SERVFAIL and not answer.answer, answer

    # Each was tried once more, and no oftener.
    assert spy.count("C_Sign") == 2 * (HOSTS - 1)
    assert statistic(signed.server, "bad-signatures") == 2 * (HOSTS - 1)
    assert statistic(signed.server, "retries") == HOSTS - 1
    assert statistic(signed.server, "failures") == HOSTS - 1
    said = signed.lines_about_signatures()
    assert len(said) == 1, "\n".join(said) or signed.server.log
    assert "dns keys" in said[0] or ZONE in said[0], "neither the token nor the zone is named"
    signed.assert_good(signed.server.ask(f"www.{ZONE}"))  # what was signed before stays

    spy.rules()
    wait_for("good signature", lambda: signed.assert_good_or_refused(signed.host(HOSTS - 1)), 3)
    for number in range(HOSTS):
        signed.assert_good(signed.host(number))


@each_kind
def test_faults_that_come_and_go_are_never_seen(site, spy, algorithm):
    """Whatever the token does, a client that validates gets a good answer or SERVFAIL."""
    signed = Signed(site, spy, algorithm)
    good = 0

    for round_, fault in enumerate(FAULTS * 2):
        names = [f"{host}-{round_}.host{host}.{ZONE}" for host in range(10)]
        with at_once(signed.server.ask, names) as asked:
            spy.rules(f"C_Sign {fault}")
            spy.rules()
            for answer in answers(asked):
                if answer.rcode() == dns.rcode.NXDOMAIN:
                    assert_signed(answer, signed.keys)
                    good += 1
                else:
                    assert answer.rcode() == dns.rcode.SERVFAIL and not answer.answer, answer
    assert good > 0
    signed.assert_good(signed.host(0))


@each_fault
def test_a_transfer_is_whole_and_good_or_fails(site, spy, fault):
    signed = Signed(site, spy, "ecdsa256")

    spy.rules(f"C_Sign {fault}")
    with pytest.raises((dns.exception.DNSException, OSError, EOFError)):
        signed.server.transfer(ZONE)
    signed.server.assert_alive()

    spy.rules()
    wait_for_statistic(signed.server, "under-way", 0)  # what the first has left is not joined by the second
    assert_transfer_verifies(signed.server, ZONE)


@each_fault
def test_pdnsutil_takes_no_key_that_signs_wrongly(site, spy, fault):
    token = site.token()
    site.add_zone(zones.small(ZONE))
    token.make_key(ZONE)
    spy.rules(f"C_Sign {fault}")

    for command in (lambda: site.assign(ZONE, "ecdsa256", "ksk", token, ZONE, check=False),
                    lambda: site.command("assign", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin,
                                         ZONE, check=False)):
        said = command()
        assert said.returncode == 1, str(said)
        assert "signature" in said.output, str(said)
        assert site.database.key_rows(ZONE) == []


def test_a_refused_first_signature_does_not_become_known(site, spy):
    """The key's first signature after the start is verified, too; then all goes on."""
    token = site.token()
    site.add_zone(zones.small(ZONE))
    token.make_key(ZONE)
    site.assign(ZONE, "ecdsa256", "ksk", token, ZONE)
    site.pdnsutil("rectify-zone", ZONE)
    spy.rules("C_Sign zero")
    server = site.start_server()
    assert server.ask(f"www.{ZONE}").rcode() == dns.rcode.SERVFAIL
    spy.rules()
    wait_for("good answer", lambda: server.ask(f"www.{ZONE}").rcode() == dns.rcode.NOERROR, 3)
    assert_signed(server.ask(f"www.{ZONE}"), keys_of(server, ZONE))
