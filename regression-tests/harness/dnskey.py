# SPDX-License-Identifier: GPL-2.0-or-later
"""DNSKEY, key tag and DS computed from a public key, independently of PowerDNS."""
from dataclasses import dataclass

import dns.dnssec
import dns.name
import dns.rdatatype
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

ALGORITHMS = {
    "rsasha1": 5, "rsasha1-nsec3-sha1": 7, "rsasha256": 8, "rsasha512": 10,
    "ecdsa256": 13, "ecdsa384": 14, "ed25519": 15, "ed448": 16,
}
KSK, ZSK = 257, 256


@dataclass(frozen=True)
class DnsKey:
    """What a zone says about one public key."""
    zone: dns.name.Name
    rdata: object
    bits: int

    @classmethod
    def of(cls, zone: str, public_key, algorithm: int, flags: int) -> "DnsKey":
        rdata = dns.dnssec.make_dnskey(public_key, dns.dnssec.Algorithm(algorithm), flags)
        return cls(dns.name.from_text(zone), rdata, size_of(public_key))

    @property
    def tag(self) -> int:
        return dns.dnssec.key_id(self.rdata)

    @property
    def key(self) -> bytes:
        return self.rdata.key

    def ds(self, digest: str) -> str:
        return dns.dnssec.make_ds(self.zone, self.rdata, digest).to_text()

    def text(self) -> str:
        """As zone files write it, without spaces in the key."""
        fields = self.rdata.to_text().split()
        return " ".join(fields[:3] + ["".join(fields[3:])])


def size_of(public_key) -> int:
    if isinstance(public_key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
        return public_key.key_size
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        return 256
    if isinstance(public_key, ed448.Ed448PublicKey):
        return 456
    raise TypeError(type(public_key))
