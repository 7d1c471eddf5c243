# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys as real tokens have them: no public key object, only a certificate, another label, no label, odd ones."""
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from harness import zones
from harness.commands import assert_refused, listing
from harness.dnskey import KSK, DnsKey
from harness.faults import is_refused
from harness.pdnsutil_output import shown_keys
from harness.validate import assert_delv, assert_signed, keys_of

ZONE = zones.SIGNED
LABEL, ID = "a key", "aa01"
PUBLIC, CERTIFICATE = "C_FindObjects hide 2", "C_FindObjects hide 1"
POINT, INFO = "0x181", "0x129"
NUMBERS = {"P-256": ("ecdsa256", 13), "P-384": ("ecdsa384", 14), "RSA-2048": ("rsasha256", 8), "Ed25519": ("ed25519", 15)}

LABELS = {"32 bytes": "a label that has thirty-two byte", "32 bytes of UTF-8": "ключ зоны пример", "UTF-8": "schlüssel № 1",
          "spaces": "the  zone's   key", "a colon": "signed.test: KSK", "like a line": "PIN: 12", "quotes": 'the "key"',
          "a backslash": "DOM\\key", "percent": "100%41"}


@pytest.fixture
def token(site, spy):
    assert len(LABELS["32 bytes"]) == 32 and len(LABELS["32 bytes of UTF-8"].encode()) <= 32
    site.add_zone(zones.many(ZONE, 20))
    token = site.token()
    token.make_key("a decoy", id="dd04")
    return token


def assign(site, token, label=LABEL, *pub_label, kind="P-256", check=True):
    return site.command("assign", ZONE, NUMBERS[kind][0], "ksk", "softhsm2", token.label, token.pin, label, *pub_label,
                        check=check)


def assert_used(site, public_key, kind="P-256"):
    """The key that is assigned is this one, everybody says so, and its signatures are good."""
    expected = DnsKey.of(ZONE, public_key, NUMBERS[kind][1], KSK)
    shown, = shown_keys(site.pdnsutil("show-zone", ZONE).stdout)
    assert (shown.tag, shown.bits) == (expected.tag, expected.bits)
    assert expected.ds("SHA256").lower() in [ds.lower() for ds in shown.ds]
    assert site.command("check").stdout.strip().endswith("1 key checked, 0 failed")
    site.pdnsutil("rectify-zone", ZONE)
    server = site.start_server()
    keys = keys_of(server, ZONE)
    assert [key.key for key in keys] == [expected.key]
    for name in ("www", "missing", "host1"):
        assert_signed(server.ask(f"{name}.{ZONE}"), keys)
    assert_delv(server, ZONE, f"www.{ZONE}")
    return server


def listed(site, token, **wanted) -> list:
    """The rows of `keys` that are like this."""
    rows = listing(site, "keys", "softhsm2", token.label, token.pin)
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


# -- where the public half is

@pytest.mark.parametrize("kind", ["RSA-2048"])
def test_no_public_key_object_but_the_private_key_tells(site, token, kind):
    public = token.make_key(LABEL, kind, ID)
    token.delete(LABEL, "pubkey")
    assign(site, token, kind=kind)
    row, = listed(site, token, label=LABEL)
    assert row["private"] and not row["public"] and row["zones"]
    assert_used(site, public, kind)


@pytest.mark.parametrize("lent", [POINT, INFO], ids=["CKA_EC_POINT", "CKA_PUBLIC_KEY_INFO"])
def test_the_private_key_has_the_point(site, token, spy, lent):
    """SoftHSM's has not: it is lent what its public key says."""
    public = token.make_key(LABEL, "P-256", ID)
    spy.rules(PUBLIC)
    assert_refused(assign(site, token, check=False), LABEL, "public half")
    spy.rules(PUBLIC, f"C_GetAttributeValue lend {lent}")
    assign(site, token)
    assert_used(site, public)


@pytest.mark.parametrize("how", ["same id, another label", "same label, another id"])
@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA-2048"])
def test_only_a_certificate(site, token, spy, kind, how):
    public = token.make_key(LABEL, kind, ID)
    token.delete(LABEL, "pubkey")
    if how == "same id, another label":
        token.write_certificate("CN=somebody", ID, public)
    else:
        token.write_certificate(LABEL, "cc03", public)
    assign(site, token, kind=kind)
    assert_used(site, public, kind)


def test_a_certificate_of_another_key_is_found_out(site, token):
    token.make_key(LABEL, "P-256", ID)
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    token.delete(LABEL, "pubkey")
    token.write_certificate(LABEL, ID, other)
    assert_refused(assign(site, token, check=False), LABEL, "verify")
    assert site.database.key_rows(ZONE) == []


@pytest.mark.parametrize("kind", ["P-256", "RSA-2048", "Ed25519"])
def test_nothing_but_the_pinned_key(site, token, spy, kind):
    """Its first signature proves that it is the one."""
    public = token.make_key(LABEL, kind, ID)
    assign(site, token, kind=kind)
    if kind == "RSA-2048":
        # SoftHSM's private key tells; one that does not:
        spy.rules("C_GetAttributeValue lend 0x120")
    token.delete(LABEL, "pubkey")
    assert_used(site, public, kind)


def test_a_wrong_pinned_key_is_found_out(site, token):
    token.make_key(LABEL, "P-256", ID)
    assign(site, token)
    token.delete(LABEL, "pubkey")
    token.delete(LABEL, "privkey")
    token.write_key(ec.generate_private_key(ec.SECP256R1()), ID, LABEL, "privkey")
    checked = site.command("check", check=False)
    assert checked.returncode == 1 and "verify" in checked.stdout
    site.pdnsutil("rectify-zone", ZONE)
    server = site.start_server()
    for i in range(5):
        assert is_refused(server.ask(f"host{i}.{ZONE}"))


# -- which public key object

@pytest.mark.parametrize("kind", ["P-256", "RSA-2048"])
def test_a_public_key_of_another_label_and_the_same_id(site, token, kind):
    private = ec.generate_private_key(ec.SECP256R1()) if kind == "P-256" else rsa.generate_private_key(65537, 2048)
    token.write_key(private, ID, LABEL, "privkey")
    token.write_key(private, ID, "its public half", "pubkey")
    assign(site, token, kind=kind)
    assert_used(site, private.public_key(), kind)


def test_a_public_key_that_only_has_the_label_of_it(site, token):
    """One id is one pair; that another key goes by the label does not matter."""
    private = ec.generate_private_key(ec.SECP256R1())
    token.write_key(private, ID, LABEL, "privkey")
    token.write_key(private, ID, "its public half", "pubkey")
    token.write_key(ec.generate_private_key(ec.SECP256R1()), "bb02", LABEL, "pubkey")
    assign(site, token)
    assert_used(site, private.public_key())


@pytest.mark.parametrize("pub_label", ["its public half", "pkcs11:object=its%20public%20half",
                                       "pkcs11:id=%bb%02;type=public"])
def test_a_public_key_of_another_label_and_another_id(site, token, pub_label):
    private = ec.generate_private_key(ec.SECP256R1())
    token.write_key(private, ID, LABEL, "privkey")
    token.write_key(private, "bb02", "its public half", "pubkey")
    assert_refused(assign(site, token, check=False), LABEL, "public half")
    assign(site, token, LABEL, pub_label)
    row, = site.database.key_rows(ZONE)
    assert row.lines()["PubLabel"] == pub_label
    assert_used(site, private.public_key())


@pytest.mark.parametrize("kind", ["P-256", "P-384", "Ed25519"])
def test_a_point_that_is_no_octet_string(site, token, spy, kind):
    public = token.make_key(LABEL, kind, ID)
    spy.rules("C_GetAttributeValue raw-point")
    assign(site, token, kind=kind)
    assert_used(site, public, kind)


@pytest.mark.parametrize("kind", ["P-256", "P-384", "Ed25519"])
def test_a_key_is_made_on_a_token_that_gives_raw_points(site, token, spy, kind):
    spy.rules("C_GetAttributeValue raw-point")
    site.command("generate", ZONE, NUMBERS[kind][0], "ksk", "softhsm2", token.label, token.pin, LABEL)
    assert_used(site, token.public_key(LABEL), kind)


# -- what the key may be used for

@pytest.mark.parametrize("kind,allowed", [("RSA-2048", "SHA256-RSA-PKCS"), ("RSA-2048", "RSA-PKCS"),
                                          ("P-256", "ECDSA")])
def test_a_key_that_may_be_used_with_one_mechanism(site, token, kind, allowed):
    """CKA_ALLOWED_MECHANISMS; where it must be, the token gets the message and hashes it."""
    public = token.make_key(LABEL, kind, ID, "--allowed-mechanisms", allowed)
    assert allowed in token.objects("private", LABEL)[0].fields["Allowed mechanisms"]
    assign(site, token, kind=kind)
    assert_used(site, public, kind)


def test_a_key_that_may_be_used_with_none_of_them(site, token):
    token.make_key(LABEL, "RSA-2048", ID, "--allowed-mechanisms", "SHA512-RSA-PKCS")
    assert_refused(assign(site, token, kind="RSA-2048", check=False), LABEL, "CKR_MECHANISM_INVALID")
    assert site.database.key_rows(ZONE) == []


# -- names

@pytest.mark.parametrize("kind", ["P-256", "RSA-2048"])
def test_a_key_that_has_an_id_and_no_label(site, token, kind):
    private = ec.generate_private_key(ec.SECP256R1()) if kind == "P-256" else rsa.generate_private_key(65537, 2048)
    token.write_key(private, "0b0a", None)
    row, = listed(site, token, id="0b0a")
    assert row["label"] == "" and row["private"] and row["public"]
    refused = assign(site, token, "no such key", kind=kind, check=False)
    assert_refused(refused, "without label", "0b0a")
    assign(site, token, "pkcs11:id=%0b%0a", kind=kind)
    row, = listed(site, token, id="0b0a")
    assert row["zones"] == [f"{ZONE}. (key id 1)"]
    assert_used(site, private.public_key(), kind)


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("how", ["assign", "generate"])
def test_labels(site, token, how, name):
    label = LABELS[name]
    if how == "assign":
        token.make_key(label, "P-256", ID)
        token.make_key(f"{label}x", "P-256", "ee05")
        assign(site, token, label)
    else:
        site.command("generate", ZONE, "ecdsa256", "ksk", "softhsm2", token.label, token.pin, label)
    row, = site.database.key_rows(ZONE)
    assert row.lines()["Label"] == label
    row, = listed(site, token, label=label)
    assert row["private"] and row["public"] and row["zones"] == [f"{ZONE}. (key id 1)"]
    assert label in site.command("keys", "softhsm2", token.label, token.pin).stdout
    assert_used(site, token.public_key(label))


@pytest.mark.parametrize("label", [" before", "behind ", "  both  "])
def test_blanks_around_a_label(site, token, label):
    """A row's lines have none: such a key goes by a URI."""
    private = ec.generate_private_key(ec.SECP256R1())
    token.write_key(private, ID, label)
    assert_refused(assign(site, token, label, check=False), "blank", "%20")
    refused = site.command("generate", ZONE, "ecdsa256", "zsk", "softhsm2", token.label, token.pin, f"{label}x ",
                           check=False)
    assert_refused(refused, "blank")
    assert len(token.objects("private")) == 2 and site.database.key_rows(ZONE) == []
    assign(site, token, "pkcs11:object=" + label.replace(" ", "%20"))
    assert_used(site, private.public_key())


def test_a_label_that_looks_like_a_uri(site, token):
    private = ec.generate_private_key(ec.SECP256R1())
    token.write_key(private, ID, "pkcs11:odd=1")
    assert_refused(assign(site, token, "pkcs11:odd=1", check=False), "LABEL")
    assign(site, token, "pkcs11:object=pkcs11%3Aodd%3D1")
    assert_used(site, private.public_key())
