"""Known paths made deeper or faster: the stress of what cannot be drawn anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.errors import ScenarioError
from sim.reference.bridge import Knots, Volatility

if TYPE_CHECKING:
    from sim.reference.config import ReplayPriceConfig, WaypointsPriceConfig


def stressed(
    knots: Knots,
    volatility: Volatility,
    config: WaypointsPriceConfig | ReplayPriceConfig,
    last: int,
) -> tuple[Knots, Volatility]:
    """Return the knots and the volatility between them under the path's scale and speed.

    A path run through v times faster keeps the variance it gathers between two knots, so that its
    variance a step is v times larger; it then rests at its last price.

    Parameters
    ----------
    last : last step of the grid, which the path has to reach

    Raises
    ------
    ScenarioError
        Two knots fall on one step of the grid.
    """
    scale, speed = config.shock_scale, config.shock_speed
    price = (
        knots.price if scale == 1.0 else knots.price[0] * (knots.price / knots.price[0]) ** scale
    )
    if speed == 1.0:
        return Knots(knots.step, price), volatility
    step = np.rint(knots.step / speed).astype(np.int64)
    if np.any(np.diff(step) <= 0):
        raise ScenarioError(
            f"shock_speed is {speed:g}: two prices of the path fall on one step of the price grid; "
            "lower it, or shorten price_step_seconds"
        )
    if step[-1] < last:
        knots = Knots(np.append(step, last), np.append(price, price[-1]))
    else:
        knots = Knots(step, price)
    if not volatility.variance.any():
        return knots, volatility
    until = np.rint(volatility.until / speed).astype(np.int64)
    if step[-1] >= last:
        return knots, Volatility(until, volatility.variance * speed)
    until = np.append(np.minimum(until, step[-1]), last)
    return knots, Volatility(until, np.append(volatility.variance * speed, 0.0))
