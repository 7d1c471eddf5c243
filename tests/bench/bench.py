#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures the module against PowerDNS's built-in engine and against software keys.

Needs ./setup.sh --tests to have run. Writes docs/performance.md (the part between its
markers) and docs/performance.svg, and prints the same table.
"""
import argparse
import datetime
import sys
from pathlib import Path

sys.dont_write_bytecode = True
from installation import installation  # noqa: E402
import answers  # noqa: E402
import busy  # noqa: E402
import cold  # noqa: E402
import latency  # noqa: E402
import machine  # noqa: E402
import page  # noqa: E402
import plot  # noqa: E402
import start  # noqa: E402
import store  # noqa: E402
import table  # noqa: E402
import transfer  # noqa: E402
import waiting  # noqa: E402
import zones  # noqa: E402
from harness import programs  # noqa: E402
from load import Load  # noqa: E402
from progress import Progress  # noqa: E402
from measured import Results  # noqa: E402

PARTS = {"answers": answers, "cold": cold, "waiting": waiting, "busy": busy}  # in every round
ONCE = {"latency": latency, "zones": zones, "store": store, "start": start,
        "transfer": transfer}


class Bench:
    """What every measurement has at hand."""

    def __init__(self, installed, progress: Progress):
        self.installation = installed
        self.server = installed.server
        self.slow = installed.slow
        self.load = Load(installed)
        self.results = Results()
        self.progress = progress

    def raw_signatures(self, algorithm, threads: int, seconds: float) -> float:
        token = self.installation.token
        done = self.installation.runner.run(
            self.installation.rawsign, token.hsm.library, token.label, algorithm.name,
            algorithm.mechanism, threads, seconds, input=token.pin + "\n", record=False)
        return float(done.stdout)


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="default 3; medians are shown")
    parser.add_argument("--only", action="append", choices=[*PARTS, *ONCE],
                        help="this part alone; prints what was measured, writes no file")
    parser.add_argument("--docs", type=Path, default=programs.REPOSITORY / "docs",
                        help="where performance.md and performance.svg go")
    return parser.parse_args(argv)


def measure(options) -> tuple[Results, float]:
    wanted = options.only or [*PARTS, *ONCE]
    steps = sum(PARTS[p].STEPS_A_ROUND for p in PARTS if p in wanted) * options.rounds
    progress = Progress(1 + steps + sum(ONCE[p].STEPS for p in ONCE if p in wanted))
    progress("token, keys and databases")
    with installation() as installed:
        bench = Bench(installed, progress)
        for _ in range(options.rounds):
            for part in (p for p in PARTS if p in wanted):
                PARTS[part].measure(bench)
        for part in (p for p in ONCE if p in wanted):
            ONCE[part].measure(bench)
    progress.done()
    return bench.results, progress.elapsed()


def report(results: Results, rounds: int, seconds: float) -> str:
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return (f"{today}, {rounds} round{'s'[: rounds > 1]} in {seconds:.0f} s, medians.\n"
            f"Machine: {machine.description(programs.pdns_server())}.\n\n"
            + table.markdown(table.HEAD, [row.cells() for row in table.goals(results)]) + "\n"
            + table.markdown(table.BUSY_HEAD, table.while_signing(results)) + "\n"
            + table.markdown(table.ABSOLUTE_HEAD, table.absolute(results)) + "\n"
            + "![Answers per second and times against the token's latency](performance.svg)\n")


def main(argv) -> int:
    options = arguments(argv)
    results, seconds = measure(options)
    print("\n".join(results.dump()), file=sys.stderr)
    if options.only:
        return 0
    text = report(results, options.rounds, seconds)
    print(text)
    plot.draw(results, options.docs / "performance.svg")
    page.write(options.docs / "performance.md", text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
