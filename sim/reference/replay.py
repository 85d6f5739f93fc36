"""From candles to the knots of a path that visits their prices.

Nobody knows the order inside a candle. The extreme nearer to the open (in log price) is visited
first, at a third of the candle, the other at two thirds, and the close at the candle's last step;
on a tie the low comes first in a candle that rises and the high in one that falls. Between those
points the path is log-linear, so its range in each candle is the candle's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.errors import ScenarioError
from sim.reference.bridge import Knots
from sim.units import TICKS_PER_SECOND

if TYPE_CHECKING:
    from sim.reference.candles import Candles
    from sim.reference.config import ReplayPriceConfig

_POINTS = {"extremes": 4, "open_close": 2}  # prices to visit in a candle, each at its own step


def candle_knots(config: ReplayPriceConfig, candles: Candles, step_ticks: int) -> Knots:
    """Return the knots of a path through candles, the first of which opens at step 0.

    Raises
    ------
    ScenarioError
        The step is too long to visit every price of a candle.
    """
    n_points = _POINTS[config.candle_path]
    if step_ticks * n_points > candles.interval:
        raise ScenarioError(
            f"step of {step_ticks / TICKS_PER_SECOND:g} s is too long for candles of "
            f"{candles.interval / TICKS_PER_SECOND:g} s in {candles.file}, of which {n_points} "
            f"prices are visited; use at most {candles.interval / n_points / TICKS_PER_SECOND:g} s"
        )
    edges = -(-np.arange(len(candles.open) + 1) * candles.interval // step_ticks)
    first, length = edges[:-1], np.diff(edges)
    if config.candle_path == "open_close":
        steps = np.stack((first, edges[1:] - 1), axis=1)
        prices = np.stack((candles.open, candles.close), axis=1)
    else:
        early, late = _extremes(candles)
        thirds = (first + length // 3, first + 2 * length // 3)
        steps = np.stack((first, *thirds, edges[1:] - 1), axis=1)
        prices = np.stack((candles.open, early, late, candles.close), axis=1)
    # The last close holds at the end of the last candle.
    return Knots(
        np.append(steps.ravel(), edges[-1]).astype(np.int64),
        np.append(prices.ravel(), candles.close[-1]),
    )


def _extremes(candles: Candles) -> tuple[np.ndarray, np.ndarray]:
    """Return the extreme visited first and the one visited second."""
    up = np.log(candles.high / candles.open)
    down = np.log(candles.open / candles.low)
    is_low_first = (down < up) | ((down == up) & (candles.close >= candles.open))
    early = np.where(is_low_first, candles.low, candles.high)
    late = np.where(is_low_first, candles.high, candles.low)
    return early, late
