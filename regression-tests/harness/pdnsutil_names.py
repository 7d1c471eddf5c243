# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of pdnsutil, by the names that the version under test has for them.

Tests use the names of 4.7. 5.0 has others, of an object and a verb.
"""
from . import programs

NAMES_OF_5 = {
    "activate-zone-key": "zone activate-key",
    "add-record": "rrset add",
    "add-zone-key": "zone add-key",
    "check-all-zones": "zone check-all",
    "check-zone": "zone check",
    "create-zone": "zone create",
    "deactivate-zone-key": "zone deactivate-key",
    "delete-zone": "zone delete",
    "disable-dnssec": "zone dnssec-disable",
    "export-zone-dnskey": "zone export-dnskey",
    "export-zone-ds": "zone export-ds",
    "export-zone-key": "zone export-key",
    "generate-zone-key": "zone generate-key",
    "get-meta": "metadata get",
    "import-zone-key": "zone import-key",
    "list-all-zones": "zone list-all",
    "list-keys": "zone list-keys",
    "list-zone": "zone list",
    "load-zone": "zone load",
    "publish-zone-key": "zone publish-key",
    "rectify-all-zones": "zone rectify-all",
    "rectify-zone": "zone rectify",
    "remove-zone-key": "zone remove-key",
    "secure-zone": "zone secure",
    "set-meta": "metadata set",
    "set-nsec3": "zone set-nsec3",
    "set-publish-cdnskey": "zone set-publish-cdnskey",
    "set-publish-cds": "zone set-publish-cds",
    "show-zone": "zone show",
    "unpublish-zone-key": "zone unpublish-key",
    "unset-nsec3": "zone unset-nsec3",
    "unset-publish-cds": "zone unset-publish-cds",
}


def command(words: tuple) -> list:
    """The words of a command, its name as this version calls it."""
    if programs.pdns_number() < 50000 or not words:
        return list(words)
    name, *arguments = words
    return NAMES_OF_5.get(name, name).split() + arguments


def record_name(zone: str, label: str) -> str:
    """A name in a zone, as `add-record` wants it: relative until 4.9, full from 5.0 on."""
    return label if programs.pdns_number() < 50000 else f"{label}.{zone}"
