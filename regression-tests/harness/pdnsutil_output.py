# SPDX-License-Identifier: GPL-2.0-or-later
"""What pdnsutil prints, taken apart."""
import re
from dataclasses import dataclass, field


@dataclass
class ShownKey:
    """A key as `show-zone` describes it."""
    id: int
    role: str
    flags: int = 0
    tag: int = 0
    algorithm: int = 0
    bits: int = 0
    active: bool = False
    published: bool = False
    dnskey: str = ""
    ds: list[str] = field(default_factory=list)


def shown_keys(output: str) -> list[ShownKey]:
    keys: list[ShownKey] = []
    for line in output.splitlines():
        head = re.match(r"ID = (\d+) \((\w+)\)", line)
        if head:
            key = ShownKey(int(head[1]), head[2])
            keys.append(key)
            rest = re.search(r"flags = (\d+), tag = (\d+), algo = (\d+), bits = (\d+)\s+(Active|Inactive|\S+)\s+(\w+)",
                             line.replace("  A", "A"))
            if rest:
                key.flags, key.tag, key.algorithm, key.bits = map(int, rest.groups()[:4])
                key.active = rest[5] == "Active"
                key.published = rest[6] == "Published"
        dnskey = re.match(r"\w+ DNSKEY = \S+ IN DNSKEY (.*?) ;", line)
        if dnskey and keys:
            keys[-1].dnskey = dnskey[1].strip()
        ds = re.match(r"DS = \S+ IN DS (.*?) ;", line)
        if ds and keys:
            keys[-1].ds.append(ds[1].strip().lower())
    return keys
