# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine of a test's own, as far as files and shared memory go: /run and /etc that nobody else sees.

A process that does nothing holds a namespace of mounts, of System V's shared memory, and of networks.
What is started in it by NamespaceRunner is in the first two and has the network of everybody else, unless
it asks for that too.
"""
import os
import subprocess
from pathlib import Path

from . import programs
from .deadline import wait_for
from .runner import Runner

# Mounts are the namespace's own from the start. `exec`: the process that holds it all is one.
SET_UP = """set -e
ip link set lo up
mount -t tmpfs -o mode=755 none /run
mount -t tmpfs -o mode=1777 none /dev/shm
mkdir /run/etc
cp -a /etc/. /run/etc/
mount --bind /run/etc /etc
while [ $# -gt 0 ]; do
  mount --bind "$1" "$2"
  shift 2
done
touch /run/ready
exec sleep infinity
"""


def why_not() -> str:
    """Why this machine has no namespaces for us; "" when it has."""
    if os.geteuid() != 0:
        return "only root can make a mount namespace"
    tried = subprocess.run([programs.program("unshare"), "--mount", "--ipc", "--net", "mount", "-t", "tmpfs", "none", "/run"],
                           capture_output=True, text=True, timeout=60)
    return f"no mount namespace: {tried.stderr.strip()}" if tried.returncode else ""


class Namespace:
    """`binds`: directories that are there instead of others."""

    def __init__(self, runner: Runner, log: Path, binds: dict[Path, Path]):
        pairs = [str(path) for there, here in binds.items() for path in (here, there)]
        self.holder = runner.spawn(programs.program("unshare"), "--mount", "--ipc", "--net", "--propagation", "private",
                                   "sh", "-c", SET_UP, "sh", *pairs, log=log, as_root=True, record=False)
        wait_for("mount namespace", lambda: self.path("/run/ready").exists() or not self.holder.running())
        assert self.holder.running(), f"no mount namespace:\n{self.holder.log}"

    def path(self, inside: str) -> Path:
        """Where a file that is in there can be reached from here."""
        return Path(f"/proc/{self.holder.pid}/root{inside}")

    def enter(self, home: Path, network: bool = False) -> list[str]:
        ns = f"/proc/{self.holder.pid}/ns"
        return [programs.program("nsenter"), f"--mount={ns}/mnt", f"--ipc={ns}/ipc", *([f"--net={ns}/net"] if network else []),
                f"--wd={home}", "--"]

    def end(self) -> None:
        self.holder.kill()


class NamespaceRunner(Runner):
    """Starts programs in there, those that are not root's in these groups. All else is as with Runner."""

    def __init__(self, runner: Runner, namespace: Namespace, network: bool = False, groups: tuple[str, ...] = ()):
        super().__init__(runner.home, runner.identity, runner.transcript, runner.sanitizer)
        self.namespace = namespace
        self.network = network
        self.groups = [f"--groups={','.join(groups)}"] if groups else []

    def _start(self, argv, as_root, environment):
        become = [] if as_root else self.identity.become(*self.groups)
        return [*self.namespace.enter(self.home, self.network), *become, *argv], {}
