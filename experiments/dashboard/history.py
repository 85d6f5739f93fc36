"""Readings through time, thinned as they grow, so that a chart costs the same after a day."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST = 400  # points kept


class History:
    """Named values through time; beyond `MOST` points every second one is dropped.

    Attributes
    ----------
    time : of the points, s
    values : by name, one for each point; NaN before a name first came
    """

    def __init__(self) -> None:
        self.time: list[float] = []
        self.values: dict[str, list[float]] = {}
        self._stride = 1
        self._n_given = 0

    def append(self, time: float, values: Mapping[str, float]) -> None:
        """Add a point; of those that fall between two kept ones the newest stands at the end."""
        if self.time and (self._n_given - 1) % self._stride:
            self._drop_last()
        self._n_given += 1
        for name in [name for name in values if name not in self.values]:
            self.values[name] = [math.nan] * len(self.time)
        self.time.append(time)
        for name, column in self.values.items():
            column.append(values.get(name, math.nan))
        if len(self.time) > MOST and (self._n_given - 1) % self._stride == 0:
            self._thin()

    def points(self, name: str, scale: float = 1.0, digits: int = 5) -> list[tuple[float, float]]:
        """Return (hours, value times scale) of a name, in as many digits as a chart shows."""
        return [
            (round(time / 3_600.0, 4), float(f"{value * scale:.{digits}g}"))
            for time, value in zip(self.time, self.values.get(name, ()), strict=False)
            if math.isfinite(value)
        ]

    def _drop_last(self) -> None:
        self.time.pop()
        for column in self.values.values():
            column.pop()

    def _thin(self) -> None:
        self._stride *= 2
        self.time = self.time[::2]
        self.values = {name: column[::2] for name, column in self.values.items()}
        self._n_given = (len(self.time) - 1) * self._stride + 1
