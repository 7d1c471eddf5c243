#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run of tests came to: one line with the numbers of tests passed, failed and skipped. Of pytest, from the file
of its option --junitxml (junit_family=xunit1): a test that passed and whose clearing up failed is one that failed. Of
unit tests, from automake's .trs files and the .log files beside them. With --failed before a file of pytest's: the node
ids of those that failed."""
import re
import sys
import xml.etree.ElementTree as tree
from collections import Counter
from pathlib import Path

# cmocka's line for a test. It names those that failed or were skipped again at the end, below a line with their number.
OUTCOME = re.compile(r"(?m)^\[ *(OK|FAILED|SKIPPED) *\] (?!.*\btest\(s\))(.+)")
MEANING = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}


def of_pytest(path: Path) -> dict[str, str]:
    outcome: dict[str, str] = {}
    for case in tree.parse(path).iter("testcase"):
        name = f"{case.get('file')}::{case.get('name')}"
        kinds = {it.tag for it in case}
        if kinds & {"failure", "error"}:
            outcome[name] = "failed"
        else:
            outcome.setdefault(name, "skipped" if "skipped" in kinds else "passed")
    return outcome


def of_unit_tests(path: Path) -> dict[str, str]:
    log = path.with_suffix(".log").read_text(errors="replace")
    outcome = {name: MEANING[word] for word, name in OUTCOME.findall(log)}
    # A program that died said nothing of the test it was at, nor of the rest.
    if "failed" not in outcome.values() and not re.search(r"(?m)^:test-result: (PASS|SKIP)", path.read_text()):
        outcome[""] = "failed"
    return outcome


def main(*paths: str) -> None:
    if paths[0] == "--failed":
        for name, what in of_pytest(Path(paths[1])).items():
            if what == "failed":
                print(name)
        return
    counts = Counter(it for path in map(Path, paths) if path.exists()
                     for it in (of_unit_tests if path.suffix == ".trs" else of_pytest)(path).values())
    print(*(counts[it] for it in ("passed", "failed", "skipped")))


main(*sys.argv[1:])
