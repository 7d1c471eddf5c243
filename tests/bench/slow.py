# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/modules/p11slow.c from outside: says how slow it is, reads what it has counted.

The file it shares is `struct control` there.
"""
import mmap
import struct
from contextlib import contextmanager
from pathlib import Path

SIZE = 8192
CALL_US, SIGN_US, SIGNING, MOST_SIGNING, COUNTERS = 0, 8, 16, 24, 32
NAME_SIZE, COUNTER_SIZE = 24, 32


class SlowToken:
    def __init__(self, path: Path):
        """`path`: an empty file that the server may write."""
        with open(path, "r+b") as file:
            file.truncate(SIZE)
            self._memory = mmap.mmap(file.fileno(), SIZE)

    def _get(self, offset: int) -> int:
        return struct.unpack_from("=Q", self._memory, offset)[0]

    def _set(self, offset: int, value: int) -> None:
        struct.pack_into("=Q", self._memory, offset, value)

    @contextmanager
    def delayed(self, *, call_ms: float = 0, sign_ms: float = 0):
        """Inside, every call takes call_ms longer, and C_Sign sign_ms on top."""
        self._set(CALL_US, round(call_ms * 1000))
        self._set(SIGN_US, round(sign_ms * 1000))
        try:
            yield
        finally:
            self._set(CALL_US, 0)
            self._set(SIGN_US, 0)

    def calls(self) -> dict[str, int]:
        """Function → calls since the server started."""
        found = {}
        for offset in range(COUNTERS, SIZE - COUNTER_SIZE, COUNTER_SIZE):
            name = self._memory[offset:offset + NAME_SIZE].rstrip(b"\0").decode()
            if not name:
                break
            found[name] = self._get(offset + NAME_SIZE)
        return found

    def signatures(self) -> int:
        calls = self.calls()
        return calls.get("C_Sign", 0) + calls.get("C_SignFinal", 0)

    def total(self) -> int:
        return sum(self.calls().values())

    def busy(self) -> int:
        """Sessions that sign just now."""
        return self._get(SIGNING)

    def most_signing(self) -> int:
        """Most signatures under way at once since reset()."""
        return self._get(MOST_SIGNING)

    def reset(self) -> None:
        """Only while no server runs: one that was killed leaves its sessions busy."""
        self._memory[:] = bytes(SIZE)
