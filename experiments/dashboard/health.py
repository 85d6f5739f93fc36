"""Health: the debt of all markets by health factor now, and what was at risk and liquidated."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from experiments.dashboard.look import (
    PALETTE,
    STRESSED,
    TEXT,
    UNEASY,
    legend,
    line,
    marks,
    plain_option,
    time_axis,
    title,
    unit_of,
    value_axis,
)
from experiments.dashboard.reading import AT_RISK, HEALTH_EDGES

if TYPE_CHECKING:
    from experiments.dashboard.history import History
    from experiments.dashboard.reading import HealthReading

_LINES = {
    "liquidated": "liquidated so far",
    "at risk": f"health below {AT_RISK:g}",
    "shortfall": "beyond its collateral",
}


def bin_names() -> list[str]:
    """Return the names of the bins of health factors, such as `1–1.05`."""
    names = [f"{low:g}–{high:g}" for low, high in itertools.pairwise(HEALTH_EDGES)]
    return [f"< {HEALTH_EDGES[1]:g}", *names[1:-1], f"> {HEALTH_EDGES[-2]:g}"]


def health_option(
    health: HealthReading, history: History, shocks: list[tuple[float, str]]
) -> dict[str, Any]:
    """Return the chart of health.

    Parameters
    ----------
    health : now
    history : of a `LiveRun`
    shocks : (hours, words) of shocks that have happened
    """
    scale, unit = unit_of(max(health.debt))
    bars = [_bar(k, debt * scale) for k, debt in enumerate(health.debt)]
    lines, lines_unit = _lines(history)
    if shocks:
        lines[0]["markLine"] = marks(shocks)
    return {
        **plain_option(),
        "title": [title("Debt by health factor"), title("Debt", 190)],
        "legend": legend([*_LINES.values()], 192),
        "tooltip": {"trigger": "axis", "confine": True},
        "grid": [
            {"left": 52, "right": 26, "top": 46, "height": 110},
            {"left": 52, "right": 26, "top": 234, "bottom": 30},
        ],
        "xAxis": [_bin_axis(), time_axis(1)],
        "yAxis": [value_axis(unit, 0), value_axis(lines_unit, 1)],
        "series": [
            {"type": "bar", "name": f"debt, {unit}", "data": bars, "barCategoryGap": "18%"},
            *lines,
        ],
    }


def _bar(number: int, value: float) -> dict[str, Any]:
    edge = HEALTH_EDGES[number + 1]
    color = STRESSED if edge <= 1.0 else UNEASY if edge <= AT_RISK else PALETTE[0]
    return {"value": float(f"{value:.5g}"), "itemStyle": {"color": color}}


def _bin_axis() -> dict[str, Any]:
    label = {"color": TEXT, "fontSize": 9, "interval": 0}
    return {"type": "category", "gridIndex": 0, "data": bin_names(), "axisLabel": label}


def _lines(history: History) -> tuple[list[dict[str, Any]], str]:
    values = [
        value for name in _LINES for value in history.values.get(name, ()) if math.isfinite(value)
    ]
    scale, unit = unit_of(max(values, default=0.0))
    looks = {"liquidated": 2, "at risk": 1, "shortfall": 4}
    made = [
        line(words, history.points(name, scale), looks[name], 1) for name, words in _LINES.items()
    ]
    return made, unit
