# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings: the table of docs/settings.md is what the program says, and a value that makes no sense is refused.

With P11S_SETTINGS_PAGE=write in the environment, the page gets the table as the program has it now.
"""
import os
import re

import pytest

from harness import programs

PAGE = programs.REPOSITORY / "docs/settings.md"
WRITE = os.environ.get("P11S_SETTINGS_PAGE") == "write"
TABLE = re.compile(r"(?<=\| setting \| default \| \|\n\|---\|---\|---\|\n)(\|.*\n)+")
DECLARED = re.compile(r"^# (pkcs11signer-[a-z-]+)\t(.*)\n#\n# \1=(.*)$", re.MULTILINE)


def say(site, what: str) -> str:
    """What the server prints of its settings. It does not read its configuration for that."""
    return site.runner.run(programs.pdns_server(), f"--module-dir={site.settings['module-dir']}",
                           f"--launch=pkcs11signer,{site.database.name}", what).stdout


@pytest.fixture
def declared(site):
    """Name, sentence and default of each."""
    listed = say(site, "--config=default")
    found = DECLARED.findall(listed)
    assert len(found) == listed.count("\n# pkcs11signer-") // 2 > 20, listed
    return found


def test_the_table(declared):
    table = "".join(f"| `{name}` | {f'`{default}`' if default else ''} | {sentence} |\n"
                    for name, sentence, default in declared)
    if WRITE:
        PAGE.write_text(TABLE.sub(lambda _: table, PAGE.read_text()))
    assert TABLE.search(PAGE.read_text())[0] == table, \
        "P11S_SETTINGS_PAGE=write pytest regression-tests/install/test_settings.py writes it anew"


def test_help_says_the_same(site, declared):
    shown = re.findall(r"^  --(pkcs11signer-[a-z-]+)=\.\.\.\n\t(.*)$", say(site, "--help=pkcs11signer"), re.MULTILINE)
    assert shown == [(name, sentence) for name, sentence, _ in declared]


def values(name: str, sentence: str, default: str) -> tuple[tuple, tuple]:
    """The outermost that are allowed, and some that are not; the bounds are those that the sentence says."""
    bounds = re.search(r"; (\d+) to (\d+)$", sentence)
    if bounds:
        least, most = map(int, bounds.groups())
        return (least, most), (least - 1, most + 1, f"{default}x")
    if default == "yes":
        return ("no", "yes"), ("maybe",)
    if name == "pkcs11signer-store":
        return ("lmdb", "mysql"), ("tape",)
    if name == "pkcs11signer-threads":
        return ("keep", "auto"), ("32",)
    return (), ()


def test_what_makes_no_sense_is_refused(site, declared):
    allowed = {name: values(name, sentence, default) for name, sentence, default in declared}
    checked = {name: them for name, them in allowed.items() if them[0]}
    assert len(checked) == 14, sorted(checked)
    for side in (0, 1):  # the second is with pkcs11signer-store=mysql, for what is looked at then only
        site.set(**{name: good[side] for name, (good, _) in checked.items()})
        site.pdnsutil("list-all-zones")
    for name, (good, bad) in checked.items():
        for value in bad:
            site.set(**{name: value})
            refused = site.pdnsutil("list-all-zones", check=False)
            assert refused.returncode == 1 and f"setting {name}={value} is n" in refused.output, str(refused)
        site.set(**{name: good[1]})
