# SPDX-License-Identifier: GPL-2.0-or-later
"""Who the programs under test run as.

p11-kit reads a private configuration ($XDG_CONFIG_HOME) for every user but
root. So when the tests run as root, the programs run as `pdns`, the user that
Debian's unit takes; otherwise as whoever runs the tests.
"""
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from . import programs

SERVICE_USER = "pdns"


@dataclass(frozen=True)
class Identity:
    name: str
    uid: int
    gid: int

    @property
    def differs(self) -> bool:
        return os.geteuid() != self.uid

    def popen_arguments(self) -> dict:
        if not self.differs:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def become(self, *groups: str) -> list[str]:
        """Before a command: this user runs it. groups: setpriv's options, if not no groups."""
        if not self.differs:
            return []
        return [programs.program("setpriv"), f"--reuid={self.uid}", f"--regid={self.gid}",
                *(groups or ["--clear-groups"]), "--"]

    def own(self, path: Path) -> Path:
        if self.differs:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)
        return path


def service_identity() -> Identity:
    if os.geteuid() != 0:
        me = pwd.getpwuid(os.geteuid())
        return Identity(me.pw_name, me.pw_uid, me.pw_gid)
    try:
        entry = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        raise RuntimeError(f"no user {SERVICE_USER}: install pdns-server (./setup.sh does)") from None
    return Identity(entry.pw_name, entry.pw_uid, entry.pw_gid)
