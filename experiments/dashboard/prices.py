"""Prices through time: reference prices against their start, pools against the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiments.dashboard.look import (
    legend,
    line,
    marks,
    plain_option,
    time_axis,
    title,
    value_axis,
)

if TYPE_CHECKING:
    from experiments.dashboard.history import History

_MOST = 6  # lines of a part, as many as there are looks
_STILL = 1e-9  # a price that moves less is left out


def prices_option(history: History, shocks: list[tuple[float, str]]) -> dict[str, Any]:
    """Return the chart of prices.

    Parameters
    ----------
    history : of a `LiveRun`
    shocks : (hours, words) of shocks that have happened
    """
    prices, gaps = _price_lines(history), _gap_lines(history)
    for series in (prices[:1], gaps[:1]):
        if series and shocks:
            series[0]["markLine"] = marks(shocks)
    return {
        **plain_option(),
        "title": [title("Reference price"), title("Pool price", 190)],
        "legend": [
            legend([series["name"] for series in prices], 4),
            legend([series["name"] for series in gaps], 192),
        ],
        "tooltip": {"trigger": "axis", "confine": True},
        "grid": [
            {"left": 52, "right": 26, "top": 46, "height": 118},
            {"left": 52, "right": 26, "top": 234, "bottom": 30},
        ],
        "xAxis": [time_axis(0, has_name=False), time_axis(1)],
        "yAxis": [value_axis("% of the start", 0), value_axis("% from reference", 1)],
        "series": [*prices, *gaps],
    }


def _price_lines(history: History) -> list[dict[str, Any]]:
    """Return the assets that have moved; all of them as long as none has."""
    names = [name for name in history.values if name.startswith("price ")]
    moving = [name for name in names if _moves(history.values[name])] or names
    return [
        line(name.partition(" ")[2], history.points(name, 100.0 / history.values[name][0]), k, 0)
        for k, name in enumerate(moving[:_MOST])
    ]


def _moves(values: list[float]) -> bool:
    return max(values) - min(values) > _STILL * values[0]


def _gap_lines(history: History) -> list[dict[str, Any]]:
    """Return the pools whose prices have been farthest from the reference."""
    gaps = {
        name.partition(" ")[2]: history.points(name, 100.0)
        for name in history.values
        if name.startswith("gap ")
    }
    farthest = sorted(gaps, key=lambda pool: -max((abs(gap) for _, gap in gaps[pool]), default=0.0))
    shown = [pool for pool in gaps if pool in farthest[:_MOST]]  # in the order of the scenario
    return [line(pool, gaps[pool], k, 1) for k, pool in enumerate(shown)]
