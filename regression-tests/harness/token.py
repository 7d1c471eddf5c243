# SPDX-License-Identifier: GPL-2.0-or-later
"""A SoftHSM of a test's own, and a p11-kit configuration that knows nothing else.

Keys are made and looked at with OpenSC's pkcs11-tool and SoftHSM's own tool, that
is without any code of the module under test.
"""
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509.oid import NameOID
import datetime

from . import programs
from .place import Place
from .runner import Runner

# What pkcs11-tool 0.23 calls a kind of key. It cannot make Ed448.
PKCS11_TOOL_KINDS = {
    "P-256": "EC:prime256v1", "P-384": "EC:secp384r1", "P-521": "EC:secp521r1",
    "Ed25519": "EC:edwards25519",
}
# The kind of key each DNSSEC algorithm takes, as the tests make it.
KIND_OF_ALGORITHM = {5: "RSA-1024", 7: "RSA-1024", 8: "RSA-2048", 10: "RSA-2048",
                     13: "P-256", 14: "P-384", 15: "Ed25519", 16: "Ed448"}


def some_pin() -> str:
    """Eight characters, as Transcript.secret() wants them. openCryptoki takes no more."""
    return f"{secrets.randbelow(9000) + 1000}~{secrets.randbelow(900) + 100}"


class SoftHsm:
    """A token directory and the p11-kit configuration `softhsm2` that points at it."""

    def __init__(self, place: Place, runner: Runner):
        self.place = place
        self.runner = runner
        tokens = place.directory("tokens", 0o750)
        self.configuration = place.file("softhsm2.conf", "\n".join([
            f"directories.tokendir = {tokens}",
            "objectstore.backend = file",
            "log.level = ERROR",
            "slots.removable = false",
            "slots.mechanisms = ALL", ""]))
        place.directory("xdg/pkcs11/modules", 0o755)
        place.file("xdg/pkcs11/pkcs11.conf", "user-config: only\n")
        runner.environment["SOFTHSM2_CONF"] = str(self.configuration)
        runner.environment["XDG_CONFIG_HOME"] = str(place.root / "xdg")
        self.library = programs.softhsm_module()
        self.add_module("softhsm2", self.library)

    def add_module(self, name: str, library: Path) -> None:
        self.place.file(f"xdg/pkcs11/modules/{name}.module", f"module: {library}\n")

    def add_twin(self, name: str) -> None:
        """The same library once more: p11-kit would notice if it were the same file."""
        copy = self.place.file(f"lib{name}.so", self.library.read_bytes(), 0o755)
        self.add_module(name, copy)

    def limit_mechanisms(self, allowed: str) -> None:
        """The mechanisms SoftHSM offers from now on, separated by commas."""
        text = self.configuration.read_text()
        self.place.file("softhsm2.conf",
                        re.sub(r"(?m)^slots.mechanisms = .*$", f"slots.mechanisms = {allowed}", text))

    def init_token(self, label: str, pin: str | None = None) -> "Token":
        pin = self.runner.transcript.secret(pin or some_pin())
        so_pin = self.runner.transcript.secret(some_pin())
        said = self.runner.run(programs.program("softhsm2-util"), "--init-token", "--free",
                               "--label", label, "--pin", pin, "--so-pin", so_pin).stdout
        slot = int(re.search(r"reassigned to slot (\d+)", said)[1])
        return Token(self, label, pin, so_pin, self.slots()[slot][1], slot)

    def slots(self) -> dict[int, tuple[str, str]]:
        """Slot id → (label, serial) of every initialised token."""
        out = self.runner.run(programs.program("pkcs11-tool"), "--module", self.library, "-L").stdout
        return {slot: (label, serial) for slot, label, serial in slots_in(out) if serial}


def slots_in(listed: str) -> list[tuple[int, str, str]]:
    """Slot id, label and serial, "" if it has none, of each token that `pkcs11-tool -L` has listed."""
    found = []
    for block in re.split(r"(?m)^Slot ", listed)[1:]:
        slot = re.match(r"\d+ \(0x([0-9a-f]+)\)", block)
        label = re.search(r"(?m)^  token label +: (.*)$", block)
        serial = re.search(r"(?m)^  serial num +: *(\S*)", block)
        if slot and label:
            found.append((int(slot[1], 16), label[1].rstrip(), serial[1] if serial else ""))
    return found


@dataclass
class TokenObject:
    kind: str  # "private", "public" or "cert"
    description: str
    label: str = ""
    id: str = ""
    access: str = ""
    point: bytes = b""
    fields: dict = field(default_factory=dict)


@dataclass
class Token:
    hsm: SoftHsm
    label: str
    pin: str
    so_pin: str
    serial: str
    slot: int

    def tool(self, *argv, check: bool = True, login: bool = True):
        credentials = ["--login", "--pin", self.pin] if login else []
        return self.hsm.runner.run(programs.program("pkcs11-tool"), "--module", self.hsm.library,
                                   "--slot", self.slot, *credentials, *argv, check=check)

    # -- making keys

    def make_key(self, label: str, kind: str = "P-256", id: str | None = None, *options: str):
        """A key pair made on the token. The public key, read back from the token. options: more for pkcs11-tool."""
        id = id or secrets.token_hex(8)
        self.generate(label, kind, id, *options)
        return self.public_key(label, id)

    def generate(self, label: str, kind: str = "P-256", id: str | None = None, *options: str) -> None:
        """The same; the public key is not read back, which takes as long."""
        id = id or secrets.token_hex(8)
        if kind == "Ed448":
            self.import_key(label, ed448.Ed448PrivateKey.generate(), id)
            return
        name = PKCS11_TOOL_KINDS.get(kind) or kind.replace("RSA-", "RSA:")
        self.tool("--keypairgen", "--key-type", name, "--label", label, "--id", id, *options)

    def import_key(self, label: str, private_key, id: str | None = None):
        """A key pair made elsewhere."""
        pem = private_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                        serialization.NoEncryption())
        path = self.hsm.place.file("import.pem", pem)
        self.hsm.runner.run(programs.program("softhsm2-util"), "--import", path, "--token", self.label,
                            "--label", label, "--id", id or secrets.token_hex(8), "--pin", self.pin)
        path.unlink()
        return private_key.public_key()

    def write_key(self, private_key, id: str, label: str | None, *halves: str):
        """A key made elsewhere, without a label when that is None; halves: privkey, pubkey, or both."""
        public_key = private_key.public_key()
        data = {"privkey": private_key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                                                     serialization.NoEncryption()),
                "pubkey": public_key.public_bytes(serialization.Encoding.DER,
                                                  serialization.PublicFormat.SubjectPublicKeyInfo)}
        for half in halves or data:
            path = self.hsm.place.file("write.der", data[half])
            named = [] if label is None else ["--label", label]
            usage = ["--usage-sign"] if half == "privkey" else []
            self.tool("--write-object", path, "--type", half, "--id", id, *named, *usage)
            path.unlink()
        return public_key

    def write_certificate(self, label: str, id: str, public_key) -> None:
        """A certificate for that key, issued by somebody else."""
        authority = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
        now = datetime.datetime(2020, 1, 1)
        certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
                       .public_key(public_key).serial_number(1)
                       .not_valid_before(now).not_valid_after(now + datetime.timedelta(days=36500))
                       .sign(authority, hashes.SHA256()))
        path = self.hsm.place.file("certificate.der",
                                   certificate.public_bytes(serialization.Encoding.DER))
        self.tool("--write-object", path, "--type", "cert", "--label", label, "--id", id)

    # -- looking

    def objects(self, kind: str = "", label: str = "") -> list[TokenObject]:
        found: list[TokenObject] = []
        # pkcs11-tool 0.27 does not end the line of a curve that it has no name for.
        listed = re.sub(r"(?m)^(  EC Params: +\S+)(  label: )", r"\1\n\2", self.tool("-O").stdout)
        for line in listed.splitlines():
            head = re.match(r"(Private Key|Public Key|Certificate) Object; (.*)", line)
            item = re.match(r"  ([A-Za-z_ ]+): +(.*)", line)
            more = re.match(r" {6,}([0-9a-f]+)$", line)
            if head:
                names = {"Private Key": "private", "Public Key": "public", "Certificate": "cert"}
                found.append(TokenObject(names[head[1]], head[2].strip()))
            elif item and found:
                key, value = item[1], item[2].strip()
                found[-1].fields[key] = value
                if key == "label":
                    found[-1].label = value
                elif key == "ID":
                    # Newer ones say "43522 (0xaa:02)", or "ce:29:43:5d:77".
                    found[-1].id = re.sub(r".*\(0x([0-9a-f:]*)\)$", r"\1", value).replace(":", "")
                elif key == "Access":
                    found[-1].access = value
                elif key in ("EC_POINT", "EC Point"):
                    point = value
                    found[-1].point = _strip_octet_string(bytes.fromhex(point))
            elif more and found and key == "EC Point":
                point += more[1]
                found[-1].point = _strip_octet_string(bytes.fromhex(point))
        return [o for o in found if kind in ("", o.kind) and label in ("", o.label)]

    def labels(self) -> list[str]:
        """The labels of the private keys."""
        return sorted(o.label for o in self.objects("private"))

    def public_key(self, label: str, id: str = ""):
        """Read from the token's public key object."""
        found = [o for o in self.objects("public", label) if id in ("", o.id)]
        assert len(found) == 1, f"{len(found)} public keys {label} {id}"
        it = found[0]
        if it.description.startswith("RSA"):
            path = self.hsm.place.root / "public.der"
            path.unlink(missing_ok=True)
            which = ["--id", it.id] if it.id else ["--label", label]
            self.tool("--read-object", "--type", "pubkey", *which, "-o", path)
            return load_der_public_key(path.read_bytes())
        curves = {65: ec.SECP256R1(), 97: ec.SECP384R1(), 133: ec.SECP521R1()}
        if len(it.point) in curves:
            return ec.EllipticCurvePublicKey.from_encoded_point(curves[len(it.point)], it.point)
        if len(it.point) == 32:
            return ed25519.Ed25519PublicKey.from_public_bytes(it.point)
        return ed448.Ed448PublicKey.from_public_bytes(it.point)

    # -- destroying

    def delete(self, label: str, *kinds: str) -> None:
        """Delete the objects of that label; kinds: privkey, pubkey, cert."""
        for kind in kinds or ("privkey", "pubkey"):
            self.tool("--delete-object", "--type", kind, "--label", label)

    def change_pin(self, new: str | None = None) -> str:
        new = self.hsm.runner.transcript.secret(new or some_pin())
        self.tool("--change-pin", "--new-pin", new)
        self.pin = new
        return new


def _strip_octet_string(data: bytes) -> bytes:
    if len(data) > 2 and data[0] == 4 and data[1] == len(data) - 2:
        return data[2:]
    if len(data) > 3 and data[0] == 4 and data[1] == 0x81 and data[2] == len(data) - 3:
        return data[3:]
    return data
