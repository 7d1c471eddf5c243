# SPDX-License-Identifier: GPL-2.0-or-later
"""What weekplot.py has measured, with gnuplot: a panel for each run, on the same scale."""
import subprocess
from pathlib import Path

from harness import programs

HOUR = 3600
WAITED, AHEAD = "#c44e52", "#2a6fb0"
TITLES = {0: "without: pkcs11signer-sign-ahead=0", 1: "with: pkcs11signer-sign-ahead=1"}


def _block(run) -> str:
    """A line for each part of the calendar between two samples: its middle, its length, and how many
    an hour were signed for somebody who waited, ahead."""
    lines = []
    for a, b in zip(run.samples, run.samples[1:]):
        hours = (b.moment - a.moment) / HOUR
        values = (b.asked - a.asked, b.ahead - a.ahead)
        lines.append(" ".join([f"{(a.moment + b.moment) / 2:.0f}", f"{hours * HOUR:.0f}",
                               *(f"{v / hours:.3f}" for v in values)]))
    return f"$run{run.weeks} << EOD\n" + "\n".join(lines) + "\nEOD\n"


def script(runs, svg: Path) -> str:
    first, last = runs[0].samples[0].moment, runs[0].samples[-1].moment
    turn = runs[0].turn
    text = "".join(_block(run) for run in runs) + f"""set terminal svg size 960,620 font 'sans,12' background '#ffffff'
set output '{svg}'
set multiplot layout 2,1
set xdata time
set timefmt '%s'
set format x '%a'
set xtics 86400
set xrange ['{first:.0f}':'{last:.0f}']
set yrange [0:{_highest(runs):.0f}]
set rmargin 4
set ylabel 'signatures an hour'
set grid ytics lc rgb '#dddddd'
set key top right
set style fill solid 1.0 noborder
set arrow from '{turn:.0f}', graph 0 to '{turn:.0f}', graph 1 nohead dt (4,4) lc rgb '#333333'
set label 'the week turns' at '{turn:.0f}', graph 0.93 right offset -0.5,0
set label 'the store is empty' at '{first:.0f}', graph 0.93 left offset 0.5,0
"""
    for run in runs:
        text += f"set title '{TITLES[run.weeks]}'\n" + (
            f"plot $run{run.weeks} using 1:($3+$4):2 with boxes lc rgb '{AHEAD}' title 'signed ahead', \\\n"
            f"  '' using 1:3:2 with boxes lc rgb '{WAITED}' title 'while a client waits'\n")
    return text + "unset multiplot\n"


def _highest(runs) -> float:
    return 1.25 * max((b.asked + b.ahead - a.asked - a.ahead) * HOUR / (b.moment - a.moment)
                     for run in runs for a, b in zip(run.samples, run.samples[1:]))


def draw(runs, svg: Path) -> None:
    subprocess.run([programs.program("gnuplot"), "-"], input=script(runs, svg), text=True, check=True,
                   timeout=60)
