#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run of pytest came to, from the file of its option --junitxml (junit_family=xunit1): a line with the
numbers of tests passed, failed and skipped, then the node id of each that failed. A test that passed and whose
clearing up failed is one that failed."""
import sys
import xml.etree.ElementTree as tree


def main(path: str) -> None:
    outcome: dict[str, str] = {}
    for case in tree.parse(path).iter("testcase"):
        name = f"{case.get('file')}::{case.get('name')}"
        kinds = {it.tag for it in case}
        if kinds & {"failure", "error"}:
            outcome[name] = "failed"
        else:
            outcome.setdefault(name, "skipped" if "skipped" in kinds else "passed")
    counts = list(outcome.values())
    print(*(counts.count(it) for it in ("passed", "failed", "skipped")))
    for name, what in outcome.items():
        if what == "failed":
            print(name)


main(*sys.argv[1:])
