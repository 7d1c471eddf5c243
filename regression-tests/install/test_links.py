# SPDX-License-Identifier: GPL-2.0-or-later
"""Each link in README.md, docs/ and the other pages leads to a file that is there, and to a heading of it; what
docs/architecture.md names in the sources is there."""
import re

import pytest

from harness import programs

TOP = programs.REPOSITORY
PAGES = sorted(path for folder in (".", "docs", "regression-tests", "tests")
               for path in (TOP / folder).glob("*.md" if folder != "tests" else "**/*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)

SOURCES = TOP / "modules/pkcs11signer"
SOURCE = re.compile(r"`((?:[a-z0-9]+/)+[a-z0-9_-]+\.(?:c|h|cc|hh|sh))`")
FUNCTION = re.compile(r"`(?:\w+::)?(\w+)` \(`([^`]+)`\)")


def anchors(text: str) -> set[str]:
    """As GitHub makes them: no punctuation, a dash for each blank."""
    headings = HEADING.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page) -> list[str]:
    found = []
    for link in LINK.findall(CODE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_links_lead_somewhere(page):
    assert not broken(page)


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A heading, `with` this\n[a](#a-heading-with-this) [b](#other) [c](none.md) `[d](code.md)`\n")
    assert broken(page) == ["#other", "none.md"]


def test_sources_that_the_architecture_names_are_there():
    text = (TOP / "docs/architecture.md").read_text()
    sources, functions = SOURCE.findall(text), FUNCTION.findall(text)
    assert len(sources) > 20 and len(functions) >= 10
    assert not [name for name in sources if not ((SOURCES / name).exists() or (TOP / name).exists())]
    assert not [name for name, file in functions if f"{name}(" not in (SOURCES / file).read_text()]
