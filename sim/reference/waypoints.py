"""From the waypoints of a scenario to the knots and the variance of a bridge.

A wick becomes three knots: its price, and on either side the line between the waypoints at
`wick_seconds` distance. The line is taken rather than the noisy path, because a price may not
depend on draws that come later.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sim.errors import ScenarioError
from sim.reference.bridge import Knots, Volatility
from sim.units import DAY, HOUR, TICKS_PER_SECOND, ticks

if TYPE_CHECKING:
    from sim.reference.config import WaypointsPriceConfig


def grid_step(at_seconds: float, step_ticks: int) -> int:
    """Return the first grid step that is not before a time."""
    return -(-ticks(at_seconds) // step_ticks)


def waypoint_knots(config: WaypointsPriceConfig, step_ticks: int) -> Knots:
    """Return the knots of waypoints and wicks on the grid.

    Raises
    ------
    ScenarioError
        Two points fall on one step of the grid.
    """
    points = sorted([*_shoulders(config), *config.wicks, *config.waypoints])
    steps = [grid_step(hour * HOUR, step_ticks) for hour, _ in points]
    for k in range(1, len(steps)):
        if steps[k] == steps[k - 1]:
            raise ScenarioError(
                f"waypoints, or wicks and where they begin and end, at hours "
                f"{points[k - 1][0]:.6g} and {points[k][0]:.6g} fall on one step of "
                f"{step_ticks / TICKS_PER_SECOND:g} s; use a shorter step, longer wick_seconds, "
                "or move them apart"
            )
    return Knots(np.array(steps, np.int64), np.array([price for _, price in points]))


def _shoulders(config: WaypointsPriceConfig) -> list[tuple[float, float]]:
    """Return where wicks leave and rejoin the line, unless a point of the scenario is nearer."""
    hours = np.array([hour for hour, _ in config.waypoints])
    logs = np.log([price for _, price in config.waypoints])
    given = np.sort(np.concatenate((hours, [hour for hour, _ in config.wicks])))
    reach = config.wick_seconds / HOUR
    found: set[tuple[float, float]] = set()
    for hour, _ in config.wicks:
        at = int(np.searchsorted(given, hour))
        for shoulder, is_free in (
            (hour - reach, given[at - 1] < hour - reach),
            (hour + reach, hour + reach < given[at + 1]),
        ):
            if is_free:
                found.add((shoulder, math.exp(np.interp(shoulder, hours, logs))))
    return sorted(found)


def waypoint_volatility(config: WaypointsPriceConfig, step_ticks: int) -> Volatility:
    """Return the variance of a step by segment; segments end on the grid.

    Raises
    ------
    ScenarioError
        A segment is shorter than a step.
    """
    step_days = step_ticks / TICKS_PER_SECOND / DAY
    until = [grid_step(segment.until_hours * HOUR, step_ticks) for segment in config.volatility]
    for before, end, segment in zip([0, *until], until, config.volatility, strict=False):
        if end == before:
            raise ScenarioError(
                f"volatility until hour {segment.until_hours:g} lasts no step of "
                f"{step_ticks / TICKS_PER_SECOND:g} s; use a shorter step or a longer segment"
            )
    variance = [segment.volatility**2 * step_days for segment in config.volatility]
    return Volatility(np.array(until, np.int64), np.array(variance))
