# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything a test made the programs say, and the PINs that must not be in it."""
from pathlib import Path


class Transcript:
    def __init__(self):
        self._texts: list[tuple[str, str]] = []
        self._logs: list[Path] = []
        self._secrets: list[str] = []

    def secret(self, value: str) -> str:
        """Declare a value that no program may ever print. Nor can it by chance: "~" is in no hexadecimal number, in no
        base64 and in no time; sc-hsm-tool wants 16 hexadecimal digits of the officer."""
        assert "~" in value or len(value) >= 16, value
        self._secrets.append(value)
        return value

    def add(self, origin: str, text: str) -> None:
        self._texts.append((origin, text))

    def add_log(self, path: Path) -> None:
        """A file that is still being written; it is read at the end."""
        if path not in self._logs:
            self._logs.append(path)

    def texts(self):
        yield from self._texts
        for path in self._logs:
            if path.exists():
                yield f"log {path.name}", path.read_text(errors="replace")

    def assert_no_secret(self) -> None:
        leaks = []
        for origin, text in self.texts():
            for value in self._secrets:
                if value in text:
                    line = next((l for l in text.splitlines() if value in l), "")
                    leaks.append(f"{origin}: {line.strip()[:200]}")
        assert not leaks, "a PIN was shown:\n" + "\n".join(leaks)
