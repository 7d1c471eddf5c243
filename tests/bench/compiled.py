# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark's own C programs, compiled where they are used."""
import os
import shlex
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent


def compile_c(source: Path, output: Path, *flags: str) -> Path:
    compiler = shlex.split(os.environ.get("CC", "cc"))
    cflags = subprocess.run(["pkg-config", "--cflags", "p11-kit-1"], check=True,
                            capture_output=True, text=True, timeout=60).stdout.split()
    done = subprocess.run(
        [*compiler, "-std=gnu11", "-O2", *cflags, "-o", output, source, *flags, "-ldl", "-pthread"],
        capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"{source.name} does not compile:\n{done.stderr}")
    output.chmod(0o755)
    return output


def slow_module(directory: Path) -> Path:
    return compile_c(HERE.parent / "modules/p11slow.c", directory / "p11slow.so",
                     "-shared", "-fPIC", "-fvisibility=hidden")


def rawsign(directory: Path) -> Path:
    return compile_c(HERE / "rawsign.c", directory / "rawsign")


def with_core(name: str, directory: Path) -> Path:
    """NAME.c with the core as it was built, with a sanitizer too."""
    from harness import programs, sanitizer
    libraries = subprocess.run(["pkg-config", "--libs", "lmdb", "libmariadb", "p11-kit-1", "libcrypto", "libsodium"],
                               check=True, capture_output=True, text=True, timeout=60).stdout.split()
    sanitizers = {"": [], "address": ["-fsanitize=address,undefined"], "thread": ["-fsanitize=thread"]}
    return compile_c(HERE / f"{name}.c", directory / name, "-D_GNU_SOURCE", *sanitizers[sanitizer.name()],
                     "-I", str(HERE.parents[1] / "modules/pkcs11signer"),
                     str(programs.module_dir() / "libp11score.a"), *libraries)
