# SPDX-License-Identifier: GPL-2.0-or-later
"""The curves of latency.py, with gnuplot."""
import subprocess
from pathlib import Path

import latency
from harness import programs
from installation import BUILT_IN, ENGINES, MODULE, SOFTWARE

COLOURS = {SOFTWARE: "#7f7f7f", BUILT_IN: "#c44e52", MODULE: "#2a6fb0"}
TITLES = {SOFTWARE: "software keys", BUILT_IN: "built-in engine", MODULE: "pkcs11signer"}


def _at(r, kind, what, engine, call_ms) -> float:
    """Software keys know no token: the same everywhere."""
    return r.get("latency", kind, what, engine, 0 if engine == SOFTWARE else call_ms)


def _block(r, kind: str, what) -> str:
    """One line for each latency: its number, then the three engines."""
    lines = [" ".join([str(i), *(f"{_at(r, kind, what, e, ms):.4f}" for e in ENGINES)])
             for i, ms in enumerate(latency.CALL_MS)]
    return f"${kind}_{what} << EOD\n" + "\n".join(lines) + "\nEOD\n"


def _curves(kind: str, *whats) -> str:
    """The second of them is dashed, its curves go without titles."""
    curves = []
    for what in whats:
        for column, engine in enumerate(ENGINES, 2):
            title = f"title '{TITLES[engine]}'" if what == whats[0] else "dt (4,4) notitle"
            curves.append(f"${kind}_{what} using 1:{column} with linespoints"
                          f" lc rgb '{COLOURS[engine]}' lw 2 pt 7 ps 0.5 {title}")
    return "plot " + ", \\\n  ".join(curves) + "\n"


def script(r, svg: Path) -> str:
    text = "".join(_block(r, kind, what) for kind in ("warm", "cold") for what in ("rate", "refused", 50, 99))
    ticks = ", ".join(f"'{ms}' {i}" for i, ms in enumerate(latency.CALL_MS))
    text += f"""set terminal svg size 960,760 font 'sans,12' background '#ffffff'
set output '{svg}'
set multiplot layout 2,2
set xtics ({ticks})
set xrange [-0.2:{len(latency.CALL_MS) - 0.8}]
set xlabel 'every PKCS#11 call takes … ms longer'
set logscale y
set format y '%g'
set grid ytics lc rgb '#dddddd'
set key below
"""
    for kind in ("warm", "cold"):
        text += f"set title '{kind}: answers per second (dashed: refusals)'\n" + _curves(kind, "rate", "refused")
    for kind in ("warm", "cold"):
        text += f"set title '{kind}: ms to the answer, p50 (dashed: p99)'\n" + _curves(kind, 50, 99)
    return text + "unset multiplot\n"


def draw(r, svg: Path) -> None:
    subprocess.run([programs.program("gnuplot"), "-"], input=script(r, svg), text=True, check=True,
                   timeout=60)
