# SPDX-License-Identifier: GPL-2.0-or-later
"""One line on stderr that says where we are."""
import sys
import time


class Progress:
    def __init__(self, steps: int):
        self.steps, self.step, self.start = steps, 0, time.monotonic()
        self.terminal = sys.stderr.isatty()

    def elapsed(self) -> float:
        return time.monotonic() - self.start

    def __call__(self, what: str) -> None:
        """The next step begins."""
        self.step += 1
        text = f"[{self.elapsed():4.0f} s] {min(self.step, self.steps)}/{self.steps}  {what}"
        print(f"\r\033[K{text}" if self.terminal else text, end="" if self.terminal else "\n",
              file=sys.stderr, flush=True)

    def done(self) -> None:
        print("\r\033[K" if self.terminal else "", end="", file=sys.stderr, flush=True)
