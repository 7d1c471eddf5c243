# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the programs under test are.

Everything can be pointed elsewhere with an environment variable, so that the
same tests run against another build or another PowerDNS.
"""
import functools
import glob
import os
import re
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

# Variables of the environment.
MODULE_DIR = "P11S_MODULE_DIR"
UNPACKED = "P11S_UNPACKED"
SUPPRESSIONS = "P11S_SUPPRESSIONS"

OUR_BACKEND = "libpkcs11signerbackend.so"  # what PowerDNS loads
OUR_SHIM = "pkcs11signer.so"  # what that loads, in the right version
DATABASE_BACKENDS = ("gsqlite3", "gmysql", "lmdb", "bind")


def program(name: str, variable: str = "") -> str:
    """Absolute path of a program; `variable` in the environment overrides it."""
    given = os.environ.get(variable) if variable else None
    search = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    found = given or shutil.which(name, path=search)
    if not found:
        raise FileNotFoundError(f"{name} is not installed; ./setup.sh --tests installs what the tests need")
    return found


def pdns_server() -> str:
    return program("pdns_server", "PDNS_SERVER")


@functools.cache
def pdns_version() -> str:
    """Of the server under test, as 4.9.18."""
    out = subprocess.run([pdns_server(), "--version"], capture_output=True, text=True, timeout=60)
    return re.search(r"Authoritative Server (\S+)", out.stderr + out.stdout)[1]


def pdns_number() -> int:
    """The same as a number: 40918."""
    major, minor, patch = map(int, re.match(r"(\d+)\.(\d+)\.(\d+)", pdns_version()).groups())
    return (major * 100 + minor) * 100 + patch


def pdnsutil() -> str:
    return program("pdnsutil", "PDNSUTIL")


def pdns_control() -> str:
    return program("pdns_control", "PDNS_CONTROL")


def module_dir() -> Path:
    """The directory of the module under test."""
    default = REPOSITORY / ".build/build/modules/pkcs11signer/.libs"
    return Path(os.environ.get(MODULE_DIR, default))


def unpacked() -> Path:
    """Packages that setup.sh does not install."""
    return Path(os.environ.get(UNPACKED, REPOSITORY / ".build/unpacked"))


def suppressions() -> Path:
    """What a sanitizer is not to report."""
    return Path(os.environ.get(SUPPRESSIONS, REPOSITORY / "regression-tests/sanitizers"))


def our_module() -> Path:
    path = module_dir() / OUR_BACKEND
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run ./setup.sh, or set P11S_MODULE_DIR")
    return path


def our_shim() -> Path:
    return our_module().resolve().parent / OUR_SHIM


def our_probe() -> Path:
    """The program that tries PKCS#11 modules: beside the module's build, or where it is installed."""
    return module_dir().parent / "pkcs11signer-probe"


def our_command() -> Path:
    """The program `pkcs11signer`, where the probe is."""
    return our_probe().with_name("pkcs11signer")


def our_pages() -> Path:
    """The directory of its manual pages."""
    return our_probe().with_name("man1")


def system_module_dir() -> Path:
    """The directory of the backends that PowerDNS's packages install."""
    given = os.environ.get("PDNS_MODULE_DIR")
    if given:
        return Path(given)
    for path in sorted(glob.glob("/usr/lib/*/pdns") + glob.glob("/usr/lib/pdns")):
        if list(Path(path).glob("lib*backend.so")):
            return Path(path)
    raise FileNotFoundError("no PowerDNS backends below /usr/lib; set PDNS_MODULE_DIR")


def library(pattern: str) -> Path:
    """Of a package that `setup.sh --tests` installs, or unpacks; pattern: below /usr/lib."""
    for root in (Path("/usr/lib"), *sorted(unpacked().glob("*/usr/lib"))):
        for path in sorted(root.glob(pattern)):
            return path
    raise FileNotFoundError(f"/usr/lib/{pattern} is not installed; ./setup.sh --tests installs what the tests need")


def database_backend(name: str) -> Path:
    """PowerDNS's own backend."""
    installed = system_module_dir() / f"lib{name}backend.so"
    return installed if installed.exists() else library(f"*/pdns/lib{name}backend.so")


def softhsm_module() -> Path:
    given = os.environ.get("SOFTHSM2_MODULE")
    if given:
        return Path(given)
    for path in ("/usr/lib/softhsm/libsofthsm2.so",
                 *sorted(glob.glob("/usr/lib/*/softhsm/libsofthsm2.so"))):
        if Path(path).exists():
            return Path(path)
    raise FileNotFoundError("libsofthsm2.so is not installed; set SOFTHSM2_MODULE")


def schema(*candidates: str) -> str:
    for path in candidates:
        if Path(path).exists():
            return Path(path).read_text()
    raise FileNotFoundError(f"no database schema at {' or '.join(candidates)}")


@functools.cache
def opensc_number() -> int:
    """26 for 0.26.1."""
    told = subprocess.run([program("opensc-tool"), "--info"], capture_output=True, text=True, timeout=60).stdout
    return int(re.search(r"OpenSC 0\.(\d+)", told)[1])


def openssl_engine() -> Path:
    """libp11's engine for libcrypto, which applications use tokens by."""
    found = glob.glob("/usr/lib/*/engines-3/pkcs11.so")
    if not found:
        raise FileNotFoundError("libengine-pkcs11-openssl is not installed; ./setup.sh --tests installs it")
    return Path(found[0])
