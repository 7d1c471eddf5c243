# SPDX-License-Identifier: GPL-2.0-or-later
"""A private directory for one test."""
import os
from pathlib import Path

from .identity import Identity


class Place:
    """Directories and files that belong to the user the programs run as."""

    def __init__(self, root: Path, identity: Identity):
        self.root = root
        self.identity = identity
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
        identity.own(root)

    def directory(self, name: str, mode: int = 0o700) -> Path:
        path = self.root
        for part in Path(name).parts:
            path = path / part
            if not path.exists():
                path.mkdir(mode=0o755)
                self.identity.own(path)
        path.chmod(mode)
        return path

    def file(self, name: str, content: str | bytes = "", mode: int = 0o600) -> Path:
        path = self.root / name
        data = content.encode() if isinstance(content, str) else content
        temporary = path.with_name(path.name + ".new")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(fd, "wb") as sink:
            sink.write(data)
        temporary.chmod(mode)
        self.identity.own(temporary)
        temporary.rename(path)
        return path
