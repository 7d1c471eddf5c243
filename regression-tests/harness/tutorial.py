# SPDX-License-Identifier: GPL-2.0-or-later
"""A document with commands and what they print, read, run and compared.

    ```console
    $ opensc-tool --list-readers
    OUTPUT
    ```

A command may go on after a backslash at the end of a line and have a here-document that ends with END.
`<!-- test: WORDS -->` stands for what a person does.
"""
import re
from dataclasses import dataclass
from pathlib import Path

PROMPT = "$ "
FENCE = "```"


@dataclass
class Step:
    """Something to do: `command`, or a person's `action`. `first` and `last`: the lines of its output."""
    line: int
    command: str = ""
    action: str = ""
    first: int = 0
    last: int = 0


def steps(lines: list[str]) -> list[Step]:
    found: list[Step] = []
    inside = False
    at = 0
    while at < len(lines):
        line = lines[at]
        action = re.fullmatch(r"<!-- test: (.*) -->", line)
        if line.startswith(FENCE):
            inside = line == f"{FENCE}console"
        elif action and not inside:
            found.append(Step(at, action=action[1]))
        elif inside and line.startswith(PROMPT):
            end = _end_of_command(lines, at)
            found.append(Step(at, command="\n".join([line[len(PROMPT):], *lines[at + 1:end]]), first=end, last=end))
            at = end - 1
        elif inside:
            found[-1].last = at + 1
        at += 1
    return found


def _end_of_command(lines: list[str], at: int) -> int:
    end = at + 1
    while lines[end - 1].endswith("\\"):
        end += 1
    if "<<END" in lines[end - 1]:
        while lines[end] != "END":
            end += 1
        end += 1
    return end


def shape(step: Step, output: str) -> list[str]:
    """What is the same each time: not keys, not numbers, not how columns are laid out."""
    text = re.sub(r"[A-Za-z0-9+/=]{24,}", "X", output)
    text = re.sub(r"\d+", "N", text)
    lines = [re.sub(r"\s+", " ", line).strip() for line in text.splitlines() if line.strip()]
    # What stands before the signature.
    lines = [re.sub(r"( RRSIG( \S+){8}) .*", r"\1", line) for line in lines]
    # A server may shuffle its records.
    return sorted(lines) if step.command.startswith("dig ") else lines


def rewrite(path: Path, lines: list[str], outputs: dict[int, str]) -> None:
    """The document with what was printed this time; outputs by the step's line."""
    for step in reversed(steps(lines)):
        if step.command:
            lines[step.first:step.last] = [line.rstrip() for line in outputs[step.line].splitlines()]
    path.write_text("\n".join(lines) + "\n")
