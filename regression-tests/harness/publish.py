# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies of what the programs under test read of this clone, where the service's user gets at them: the clone may be
in a directory that is its owner's alone, such as /root."""
import os
import shutil
from pathlib import Path

from . import programs


def publish(directory: Path) -> None:
    """`directory`: one that everybody can reach. From now on, here and in processes that are started, the copies are
    what is tested."""
    top = directory / "clone"
    libraries = top / "module/.libs"
    libraries.mkdir(parents=True)
    for file in (*programs.module_dir().glob("*.so"), *programs.module_dir().glob("*.a")):
        shutil.copy(file, libraries)
    for program in (programs.our_probe(), programs.our_command()):
        if program.exists():
            shutil.copy(program, libraries.parent)
    if programs.our_pages().exists():
        shutil.copytree(programs.our_pages(), libraries.parent / "man1")
    for variable, source in ((programs.UNPACKED, programs.unpacked()), (programs.SUPPRESSIONS, programs.suppressions())):
        if source.exists():
            os.environ[variable] = str(shutil.copytree(source, top / source.name))
    os.environ[programs.MODULE_DIR] = str(libraries)
    for path in (top, *top.rglob("*")):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
