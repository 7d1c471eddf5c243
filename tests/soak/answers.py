# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a signed answer is a good one: each signature, and a proof for what is not there."""
import dns.dnssec
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

DENIALS = (dns.rdatatype.NSEC, dns.rdatatype.NSEC3)


class Bad(Exception):
    """An answer that should not have been sent."""


def check(zone, answer: dns.message.Message) -> None:
    """Of a question with DO, NOERROR or NXDOMAIN, below that zone."""
    sections = answer.answer + answer.authority
    if not sections:
        raise Bad(f"empty:\n{answer}")
    check_signatures(zone, sections)
    if answer.rcode() == dns.rcode.NXDOMAIN or not answer.answer:
        present = {rrset.rdtype for rrset in answer.authority}
        if dns.rdatatype.SOA not in present or not present.intersection(DENIALS):
            raise Bad(f"nothing proves that it is not there:\n{answer}")


def check_signatures(zone, sections) -> None:
    """Each RRset has signatures, and each signature verifies with a key of the zone."""
    for rrset in sections:
        if rrset.rdtype in (dns.rdatatype.RRSIG, dns.rdatatype.OPT):
            continue
        if rrset.rdtype == dns.rdatatype.DNSKEY:
            _check_keys(zone, rrset)
        found = [s for s in sections if s.rdtype == dns.rdatatype.RRSIG and s.covers == rrset.rdtype
                 and s.name == rrset.name]
        if not found:
            raise Bad(f"no signature for {rrset}")
        for signature in (rdata for s in found for rdata in s):
            _check_signature(zone, rrset, signature)


def _check_keys(zone, rrset) -> None:
    known = {key.rdata.key for key in zone.known.values()}
    for rdata in rrset:
        if rdata.key not in known:
            raise Bad(f"a key that is not of {zone.name}: {rdata}")


def _check_signature(zone, rrset, signature) -> None:
    key = zone.known.get(signature.key_tag)
    if key is None:
        raise Bad(f"signed with key tag {signature.key_tag}, which is not of {zone.name}: {rrset}")
    name = dns.name.from_text(zone.name)
    keys = {name: dns.rrset.from_rdata(name, 3600, key.rdata)}
    try:
        dns.dnssec.validate_rrsig(rrset, signature, keys)
    except dns.dnssec.ValidationFailure as error:
        raise Bad(f"{error}: {rrset}\n{signature}") from error
