# SPDX-License-Identifier: GPL-2.0-or-later
"""What the workers of a run share: it is made by the first that needs it."""
import fcntl
import os
from pathlib import Path


def common(base: Path) -> Path:
    """The directory of all workers; base: that of this one."""
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def once(path: Path, make) -> Path:
    """What make(path) returned, a path, when it was called in this run; other workers wait until it has."""
    result = path.with_name(path.name + ".made")
    with open(path.with_name(path.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            result.write_text(str(make(path)))
    return Path(result.read_text())
