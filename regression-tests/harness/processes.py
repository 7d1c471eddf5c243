# SPDX-License-Identifier: GPL-2.0-or-later
"""Which processes there are, and what the caller of the tests may have left for them to inherit."""
import contextlib
import os
import re
import resource
import signal
import time
from pathlib import Path

from .deadline import PATIENCE


def settle() -> None:
    """From now on, no program that is started here depends on what started this one. A signal that is ignored would be
    ignored there too; one that has a handler, here, is not."""
    for it in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # Popen sees to these
        if signal.getsignal(it) == signal.SIG_IGN:
            signal.signal(it, signal.SIG_DFL if it == signal.SIGCHLD else lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    os.umask(0o022)
    os.environ.update(LC_ALL="C.UTF-8", TZ="UTC")
    time.tzset()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024 if most == resource.RLIM_INFINITY else min(1024, most), most))
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)


def _all() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _parent(pid: int) -> int:
    """0: it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(re.search(r"(?m)^PPid:\t(\d+)$", status)[1])


def kill_tree(pid: int) -> None:
    """That process, its children and theirs. Each stands still before its children are looked for: none is new then."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    for child in [it for it in _all() if _parent(it) == pid]:
        kill_tree(child)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def at_home_in(directory: Path) -> dict[int, str]:
    """Process → command line of those that were started with a home there: all that a Runner has started, and whatever
    these have started, wherever it went."""
    home = re.compile(rb"(?:^|\0)HOME=" + re.escape(os.fsencode(directory)) + rb"(?:/[^\0]*)?(?:\0|$)")
    found = {}
    for pid in _all():
        with contextlib.suppress(OSError):
            if home.search(Path(f"/proc/{pid}/environ").read_bytes()):
                found[pid] = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    return found


def end_all(directory: Path, seconds: float = 30) -> list[str]:
    """Waits until no process is at home there, and kills those that stay: their command lines. The program that tries
    modules may outlive its server by fifteen seconds."""
    end = time.monotonic() + seconds * PATIENCE
    while (left := at_home_in(directory)) and time.monotonic() < end:
        time.sleep(0.02)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [f"{pid} {command}" for pid, command in left.items()]
