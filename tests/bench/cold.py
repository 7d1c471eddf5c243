# SPDX-License-Identifier: GPL-2.0-or-later
"""Cold answers with enough threads, each between two looks at the token by itself.

The machine's speed changes by a third within a minute, so what a ratio compares is
measured side by side.
"""
import re
import subprocess

import compiled
from answers import COLD_NAMES, SESSIONS, loaded
from harness import programs
from installation import ALGORITHMS, BUILT_IN, MODULE, P256, RSA, SOFTWARE, ZONE
from waiting import MANY_RECEIVERS, settings

UNVERIFIED, NO_STORE = "module, verify=no", "module, store=none"
RAW_SECONDS = 0.7
RUNS = {  # engine, settings
    SOFTWARE: (SOFTWARE, {}),
    BUILT_IN: (BUILT_IN, {}),
    MODULE: (MODULE, {}),
    NO_STORE: (MODULE, {"pkcs11signer_store": "none"}),
    UNVERIFIED: (MODULE, {"pkcs11signer_verify": "no"}),
}
OPENSSL = {P256: "ecdsap256", RSA: "rsa2048"}
STEPS_A_ROUND = 1 + len(ALGORITHMS) * len(RUNS)


def measure(bench) -> None:
    """One round."""
    bench.progress("libcrypto by itself")
    libcrypto(bench)
    for algorithm in ALGORITHMS:
        before = bench.raw_signatures(algorithm, SESSIONS, RAW_SECONDS)
        bench.results.add(before, "raw", algorithm.name)
        for run, (engine, extra) in RUNS.items():
            bench.progress(f"{algorithm.name}, {run}: cold, {SESSIONS} threads and more")
            with bench.server(engine, algorithm, **settings(MANY_RECEIVERS), **extra) as server:
                bench.load.first_answer(server, ZONE)
                names = bench.load.names((ZONE, 0, COLD_NAMES[algorithm]))
                rate = loaded(bench, server, "cold, enough threads", run, algorithm.name,
                              questions=names, passes=1).rate
            after = bench.raw_signatures(algorithm, SESSIONS, RAW_SECONDS)
            bench.results.add(rate / ((before + after) / 2), "of raw", run, algorithm.name)
            before = after


def libcrypto(bench) -> None:
    """Seconds of one CPU for a signature, and for its verification."""
    done = subprocess.run([programs.program("openssl"), "speed", "-mr", "-seconds", "1",
                           *OPENSSL.values()], capture_output=True, text=True, timeout=60,
                          check=True)
    for algorithm, kind in ((P256, "F4"), (RSA, "F2")):
        rates = re.search(rf"(?m)^\+{kind}:\d+:\d+:([\d.]+):([\d.]+)$", done.stdout).groups()
        for what, rate in zip(("sign", "verify"), rates):
            bench.results.add(1 / float(rate), "libcrypto", what, algorithm.name)
    done = bench.installation.runner.run(
        compiled.with_core("verifybench", bench.installation.place.root.parent), record=False)
    for line in done.stdout.splitlines():
        what, seconds = line.split()
        bench.results.add(float(seconds), "P-256", what)
