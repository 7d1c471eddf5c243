# SPDX-License-Identifier: GPL-2.0-or-later
"""The signature store with a million signatures in it."""
import os

import compiled
from harness import programs

RECORDS = 1_000_000
LOOKUPS = 200_000
GOAL_US = 20
STEPS = 1


def measure(bench) -> None:
    bench.progress(f"a store of {RECORDS:,} signatures")
    directory = bench.installation.place.directory("storebench")
    program = compiled.with_core("storebench", bench.installation.place.root.parent)
    done = bench.installation.runner.run(
        program, directory, RECORDS, LOOKUPS, record=False, timeout=600,
        env={"PKCS11SIGNER_PROBE": os.environ.get("PKCS11SIGNER_PROBE", str(programs.our_probe()))})
    for line in done.stdout.splitlines():
        name, value = line.split()
        bench.results.add(float(value), "store", name)
    for path in directory.iterdir():
        path.unlink()
