# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of docs/performance.md that is not written by hand."""
from pathlib import Path

BEGIN = "<!-- bench: begin (make bench writes this part) -->\n"
END = "<!-- bench: end -->\n"


def write(path: Path, text: str) -> None:
    old = path.read_text() if path.exists() else f"# Performance\n\n{BEGIN}{END}"
    if BEGIN not in old or END not in old:
        raise SystemExit(f"{path} does not hold these two lines, for the figures:\n{BEGIN}{END}")
    before, rest = old.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
