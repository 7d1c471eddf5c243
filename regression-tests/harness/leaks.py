# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking for PINs, in whatever form, in a server's memory and in all that was said."""
import base64
import subprocess
from pathlib import Path

from . import programs, zones

PAGES = 65536


def shapes(pin: str) -> dict[str, bytes]:
    """The PIN as it might stand somewhere. Base64 depends on what comes before it; the first and
    last digits depend on their neighbours."""
    raw = pin.encode()
    found = {"plain": raw, "second half": raw[15:], "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode(),
             "UTF-16LE": pin.encode("utf-16-le"), "UTF-16BE": pin.encode("utf-16-be"), "reversed": raw[::-1]}
    for before in range(3):
        found[f"base64 +{before}"] = base64.b64encode(b"x" * before + raw)[4 if before else 0:-4]
    return found


def shapes_in(data: bytes, *pins: str) -> list[str]:
    return [f"PIN {n}: {name}" for n, pin in enumerate(pins) for name, shape in shapes(pin).items()
            if data.find(shape) >= 0]


def core_dump(server) -> bytes:
    """Of the running server, without the pages that are all zeros: those are most of it."""
    stem = server.site.place.root / "memory"
    path = Path(f"{stem}.{server.daemon.pid}")
    done = subprocess.run([programs.program("gcore"), "-o", stem, str(server.daemon.pid)],
                          capture_output=True, text=True, timeout=120, cwd=server.site.place.root)
    try:
        assert done.returncode == 0 and path.stat().st_size > 1 << 20, done.stdout + done.stderr
        zeros = bytes(PAGES)
        with open(path, "rb") as file:
            data = b"".join(some for some in iter(lambda: file.read(PAGES), b"") if some != zeros)
    finally:
        path.unlink(missing_ok=True)
    # Else nothing was proven: what the server certainly has in memory is there.
    assert data.find(zones.SIGNED.encode()) >= 0 and data.find(b"dns keys") >= 0
    return data


def assert_core_clean(server, *pins: str) -> None:
    found = shapes_in(core_dump(server), *pins)
    assert not found, f"in the core dump: {found}"


def assert_words_clean(server, *pins: str) -> None:
    """The log, and whatever was said to anybody."""
    for origin, text in server.site.transcript.texts():
        found = shapes_in(text.encode(), *pins)
        assert not found, f"{origin}: {found}"
    assert len(server.log) > 1000, "the server was not talkative"
