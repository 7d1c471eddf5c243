# SPDX-License-Identifier: GPL-2.0-or-later
"""What was measured, round by round."""
from statistics import median


class Results:
    def __init__(self):
        self._values: dict[tuple, list[float]] = {}

    def add(self, value: float, *key) -> None:
        self._values.setdefault(key, []).append(value)

    def get(self, *key) -> float:
        """The median of all rounds."""
        return median(self._values[key])

    def ratio(self, above: tuple, below: tuple) -> float:
        """The median of each round's own ratio: what disturbs a round disturbs both sides."""
        pairs = list(zip(self._values[above], self._values[below]))
        return median(a / b if b else float("inf") for a, b in pairs)

    def spread(self, *key) -> tuple[float, float]:
        return min(self._values[key]), max(self._values[key])

    def has(self, *key) -> bool:
        return key in self._values

    def dump(self) -> list[str]:
        return [f"{' '.join(map(str, key))}: {', '.join(f'{v:.6g}' for v in values)}"
                for key, values in self._values.items()]
