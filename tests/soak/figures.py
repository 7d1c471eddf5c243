# SPDX-License-Identifier: GPL-2.0-or-later
"""What the server holds: descriptors, sessions on the token, threads, memory."""
import os
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from world import SESSIONS

MEMORY_MAY_GROW = 16 << 20  # what the allocator keeps differs by that much between two looks
SETTLES_WITHIN = 30.0


@dataclass(frozen=True)
class Figures:
    open_files: Counter  # by what they are
    descriptors: int
    sessions: int
    threads: int
    memory: int

    def grown(self, before: "Figures") -> list[str]:
        found = [f"{name}: {getattr(before, name)} before, {getattr(self, name)} afterwards"
                 for name in ("descriptors", "sessions", "threads")
                 if getattr(self, name) > getattr(before, name)]
        if self.descriptors > before.descriptors:
            found.append(f"descriptors that are new: {dict(self.open_files - before.open_files)}")
        if self.memory > before.memory + MEMORY_MAY_GROW:
            found.append(f"memory: {before.memory >> 20} MiB before, {self.memory >> 20} MiB afterwards; "
                         f"{MEMORY_MAY_GROW >> 20} MiB more are tolerated")
        return found

    def __str__(self) -> str:
        return (f"{self.descriptors} descriptors, {self.sessions} sessions, {self.threads} threads, "
                f"{self.memory >> 20} MiB")


def open_sessions(spy) -> int:
    """Opened with success, and nobody has asked to close them since."""
    opened = set()
    for event in spy.events():
        if event.function == "C_OpenSession" and event.outcome == "0x0":
            opened.add(event.session)
        elif event.function == "C_CloseSession":
            opened.discard(event.session)
        elif event.function == "C_CloseAllSessions":
            opened.clear()
    return len(opened)


def open_files(pid: int) -> Counter:
    found = Counter()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[re.sub(r"\[\d+\]", "", os.readlink(link))] += 1
        except FileNotFoundError:  # closed meanwhile
            continue
    return found


def look(world) -> Figures:
    pid = world.server.daemon.pid
    status = Path(f"/proc/{pid}/status").read_text()
    files = open_files(pid)
    return Figures(files, files.total(), open_sessions(world.spy),
                   int(re.search(r"Threads:\s+(\d+)", status)[1]),
                   int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024)


def all_at_work(world, tag: str) -> None:
    """Every worker has a session: more cold questions at once than there are workers, and a slow token."""
    world.spy.rules("C_Sign delay 20")
    try:
        with ThreadPoolExecutor(4 * SESSIONS) as pool:
            names = [f"{tag}{i}.{zone.name}" for i in range(4 * SESSIONS) for zone in world.zones]
            list(pool.map(lambda name: world.server.ask(name, timeout=10), names))
    finally:
        world.spy.rules()


def settled(world, tag: str, before: Figures | None = None) -> Figures:
    """With all workers at work and all connections closed. Waits until nothing is more than before."""
    world.server.control("purge")
    all_at_work(world, tag)
    end = time.monotonic() + SETTLES_WITHIN
    now = look(world)
    while before and now.grown(before) and time.monotonic() < end:
        time.sleep(0.5)
        now = look(world)
    return now
