#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions that the server spends on an answer, counted by valgrind's callgrind.

What else the machine does has no influence on it. The counts of a run with many
answers and of one with few are subtracted, so that start and end drop out. Prints
one table for warm answers and one for cold ones: where the instructions go, by
library.
"""
import re
import sys
from collections import Counter
from pathlib import Path

sys.dont_write_bytecode = True
from installation import BUILT_IN, MODULE, P256, SOFTWARE, ZONE, installation  # noqa: E402
from harness import programs  # noqa: E402
from load import Load  # noqa: E402
from progress import Progress  # noqa: E402
from table import markdown  # noqa: E402

PATIENT = {"pkcs11signer_timeout": 60000}  # everything takes fifty times as long
ENGINES = ((SOFTWARE, {}), (BUILT_IN, {}), (MODULE, PATIENT),
           ("module, verify=no", {"pkcs11signer_verify": "no", **PATIENT}))
WARM_NAMES = 100
FEW, MANY = 500, 2500
SHOWN = 8


def instructions(installed, load, name: str, settings: dict, questions: list) -> Counter:
    """By library, of a server that lived for these questions."""
    report = installed.place.root / "callgrind.out"
    report.unlink(missing_ok=True)
    engine = MODULE if name.startswith(MODULE) else name
    wrapper = (programs.program("valgrind"), "--tool=callgrind", "--fair-sched=yes",
               f"--callgrind-out-file={report}")
    with installed.server(engine, P256, wrapper=wrapper, **settings) as server:
        load.first_answer(server, ZONE)
        for file in questions:
            load.run(server, file, passes=1, timeout=30).assert_all_answered()
        server.control("quit")
        server.daemon.wait(120)
    return by_library(report)


def by_library(report: Path) -> Counter:
    """callgrind's own format: `ob=` says which library the cost lines behind it belong
    to, and a line behind `calls=` repeats what the called function has used."""
    names, found, library, inclusive = {}, Counter(), "", False
    for line in report.read_text().splitlines():
        if re.match(r"[+*\-\d]", line):
            if not inclusive:
                found[library] += int(line.split()[1])
            inclusive = False
        elif line.startswith("ob="):
            number, _, path = line[3:].partition(" ")
            if path:
                names[number] = Path(path).name
            library = names[number]
        elif line.startswith("cob="):
            number, _, path = line[4:].partition(" ")
            if path:
                names[number] = Path(path).name
        elif line.startswith("calls="):
            inclusive = True
    return found


def per_answer(installed, load, name, settings, kind: str) -> Counter:
    if kind == "warm":
        warm = load.names((ZONE, 0, WARM_NAMES))
        few, many = [warm] * (FEW // WARM_NAMES), [warm] * (MANY // WARM_NAMES)
    else:
        few, many = ([load.names((ZONE, 0, n))] for n in (FEW, MANY))
    least, most = (instructions(installed, load, name, settings, files) for files in (few, many))
    return Counter({library: (most[library] - least[library]) / (MANY - FEW) for library in most})


def show(kind: str, counts: dict[str, Counter]) -> str:
    engines = list(counts.values())
    by_cost = sorted(set().union(*engines), key=lambda library: -max(c[library] for c in engines))
    shown = by_cost[:SHOWN]
    if programs.OUR_SHIM not in shown:
        shown.append(programs.OUR_SHIM)
    rows = [["**all**", *(f"**{sum(c.values()):,.0f}**" for c in engines)]]
    rows += [[f"`{library}`", *(f"{c[library]:,.0f}" for c in engines)] for library in shown]
    return markdown([f"instructions per {kind} answer", *counts], rows)


def main() -> int:
    progress = Progress(1 + 2 * len(ENGINES))
    progress("token, keys and databases")
    with installation() as installed:
        load = Load(installed)
        for kind in ("warm", "cold"):
            counts = {}
            for name, settings in ENGINES:
                progress(f"{name}, {kind}")
                counts[name] = per_answer(installed, load, name, settings, kind)
            print("\n" + show(kind, counts), flush=True)
    progress.done()
    return 0


if __name__ == "__main__":
    sys.exit(main())
