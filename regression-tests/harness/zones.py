# SPDX-License-Identifier: GPL-2.0-or-later
"""The zones the tests serve."""
from dataclasses import dataclass

SIGNED = "signed.test"
OTHER = "other.test"
PLAIN = "plain.test"

SOA_MINIMUM = 300

# One of everything that DNSSEC treats differently.
RICH = """$ORIGIN {zone}.
$TTL 3600
@          SOA    ns1 hostmaster 2023010101 3600 600 604800 300
@          NS     ns1
@          NS     ns2
@          MX     10 mail
@          TXT    "a zone of the end to end tests"
ns1        A      192.0.2.1
ns2        A      192.0.2.2
mail       A      192.0.2.25
www        A      192.0.2.80
www        AAAA   2001:db8::80
alias      CNAME  www
dangling   CNAME  missing
*.wild     A      192.0.2.7
*.wild     TXT    "from the wildcard"
host.new   A      192.0.2.9
host2.new  A      192.0.2.9
host3.new  A      192.0.2.9
host4.new  A      192.0.2.9
host5.new  A      192.0.2.9
host6.new  A      192.0.2.9
host7.new  A      192.0.2.9
host8.new  A      192.0.2.9
host9.new  A      192.0.2.9
old        DNAME  new
leaf.empty TXT    "below an empty non-terminal"
insecure   NS     ns.insecure
ns.insecure A     192.0.2.53
secure     NS     ns.secure
secure     DS     12345 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
ns.secure  A      192.0.2.54
"""

SMALL = """$ORIGIN {zone}.
$TTL 3600
@          SOA    ns1 hostmaster 2023010101 3600 600 604800 300
@          NS     ns1
ns1        A      192.0.2.1
www        A      192.0.2.80
"""


@dataclass(frozen=True)
class Zone:
    name: str
    text: str


def rich(name: str = SIGNED) -> Zone:
    return Zone(name, RICH.format(zone=name))


def small(name: str) -> Zone:
    return Zone(name, SMALL.format(zone=name))


def many(name: str, hosts: int) -> Zone:
    """A zone with host0 to host<n-1>."""
    lines = [f"host{i} A 192.0.2.{i % 250 + 1}" for i in range(hosts)]
    return Zone(name, SMALL.format(zone=name) + "\n".join(lines) + "\n")
