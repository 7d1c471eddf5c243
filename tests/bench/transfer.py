# SPDX-License-Identifier: GPL-2.0-or-later
"""Transfers of a large zone after a restart: what checking the stored signatures costs."""
import time

from harness.programs import program
from harness.zones import many
from installation import MODULE, P256, SOFTWARE
from process import cpu_seconds

NAMES = 100_000
ZONE = "large.test"
STEPS = 6
SETTINGS = {"pkcs11signer_timeout": 60_000, "pkcs11signer_sign_ahead": 0}


def prepare(bench) -> None:
    installation, site = bench.installation, bench.installation.site
    bench.progress(f"a zone of {NAMES:,} names")
    installation.empty_database()
    site.add_zone(many(ZONE, NAMES))
    for kind, content, engine, launch in (
            ("software", installation.software_keys[P256], SOFTWARE, "gsqlite3"),
            ("token", installation.reference(P256), MODULE, "pkcs11signer,gsqlite3")):
        installation.sql("DELETE FROM cryptokeys")
        installation.database.add_key_row(ZONE, content)
        site.pdnsutil("rectify-zone", ZONE, stock=True)
        installation.keep_database(f"transfer-{kind}", {engine: launch})


def measure(bench) -> None:
    prepare(bench)
    state = bench.installation.place.directory("state-of-transfers")
    for name, engine, kind in (("software keys", SOFTWARE, "software"), ("fresh", MODULE, "token"),
                               ("stored", MODULE, "token")):
        with bench.installation.server_of(engine, f"transfer-{kind}", pkcs11signer_state_dir=state,
                                          **SETTINGS) as server:
            bench.progress(f"transfer: {name}")
            transfer(bench, server, name)
            if name == "stored":
                bench.progress("transfer: cached")
                transfer(bench, server, "cached")
            server.stop()  # and all is written


def transfer(bench, server, name: str) -> None:
    cpu, clock = cpu_seconds(server.daemon.pid), time.monotonic()
    done = bench.installation.runner.run(
        program("dig"), "-p", server.port, "@127.0.0.1", "AXFR", ZONE, "+noall", "+stats", record=False, timeout=600)
    if "XFR size" not in done.stdout:
        raise AssertionError(f"no transfer:\n{done.stdout}\n{server.log}")
    bench.results.add(time.monotonic() - clock, "transfer, s", name)
    bench.results.add(cpu_seconds(server.daemon.pid) - cpu, "transfer, s of CPU", name)
