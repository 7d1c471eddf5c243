# SPDX-License-Identifier: GPL-2.0-or-later
"""What the figures belong to."""
import os
import platform
import re
import subprocess
from pathlib import Path


def _package(name: str) -> str:
    version = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True,
                             text=True, timeout=60, check=False).stdout
    return f"{name} {version}" if version else ""


def _processor() -> str:
    found = re.search(r"(?m)^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _system() -> str:
    found = re.search(r'(?m)^PRETTY_NAME="(.*)"', Path("/etc/os-release").read_text())
    return found[1] if found else platform.system()


def cpus() -> int:
    return len(os.sched_getaffinity(0))


def description(pdns_server: str) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    server = re.search(r"(?i)powerdns authoritative server (\S+)",
                       subprocess.run([pdns_server, "--version"], stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, timeout=60).stdout)
    parts = [f"{cpus()} cores of {_processor()}", f"{memory:.0f} GiB",
             f"{_system()}, Linux {platform.release()}",
             f"PowerDNS {server[1]}" if server else "", _package("softhsm2"), _package("libssl3"),
             _package("dnsperf")]
    return ", ".join(part for part in parts if part)
