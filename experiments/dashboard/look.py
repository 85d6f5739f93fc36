"""How charts look: the palette of the figures, and a color for each stress.

The colors are written out, since the module that has them loads matplotlib and seaborn.
"""

from __future__ import annotations

from typing import Any

PALETTE = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59")
DASHES: tuple[Any, ...] = ("solid", [6, 2], [2, 2], [8, 2, 2, 2], [10, 4], [1, 3])
CALM, UNEASY, STRESSED = "#9fb4c7", "#ffa90e", "#bd1f01"
TEXT = "#7d828c"  # on light and dark pages
GRID = "#8a8d9333"


def stress_color(stress: float) -> str:
    """Return the color of a stress from 0 to 1, from calm by way of uneasy to stressed."""
    low, high, share = (
        (CALM, UNEASY, 2.0 * stress) if stress < 0.5 else (UNEASY, STRESSED, 2.0 * stress - 1.0)
    )
    share = min(max(share, 0.0), 1.0)
    parts = (
        round((1.0 - share) * int(low[k : k + 2], 16) + share * int(high[k : k + 2], 16))
        for k in (1, 3, 5)
    )
    return "#" + "".join(f"{part:02x}" for part in parts)


def title(text: str, top: int = 2, left: int | str = 8) -> dict[str, Any]:
    """Return the title of a chart, or of a part of it; pixels from the top."""
    style = {"fontSize": 14, "fontWeight": 600, "color": TEXT}
    return {"text": text, "top": top, "left": left, "textStyle": style}


def time_axis(grid: int = 0, *, has_name: bool = True) -> dict[str, Any]:
    """Return an axis of hours."""
    return {
        "type": "value",
        "gridIndex": grid,
        "min": "dataMin",
        "max": "dataMax",
        "axisLabel": {"color": TEXT, "fontSize": 10, "showMinLabel": False, "showMaxLabel": False},
        "name": "h" if has_name else "",
        "nameTextStyle": {"color": TEXT},
        "splitLine": {"show": False},
        "axisLine": {"lineStyle": {"color": TEXT}},
    }


def value_axis(name: str, grid: int = 0) -> dict[str, Any]:
    """Return a vertical axis whose name says the unit."""
    return {
        "type": "value",
        "gridIndex": grid,
        "scale": True,
        "name": name,
        "nameTextStyle": {"color": TEXT, "align": "left", "fontSize": 10},
        "axisLabel": {"color": TEXT, "fontSize": 10},
        "splitLine": {"lineStyle": {"color": GRID}},
        "splitNumber": 3,
    }


def legend(names: list[str], top: int) -> dict[str, Any]:
    """Return a legend in a line, which scrolls when it is long."""
    return {
        "data": names,
        "type": "scroll",
        "top": top,
        "right": 8,
        "left": 130,
        "itemWidth": 20,
        "itemHeight": 8,
        "itemGap": 8,
        "icon": "roundRect",
        "textStyle": {"color": TEXT, "fontSize": 10},
    }


def line(name: str, points: list[tuple[float, float]], number: int, grid: int) -> dict[str, Any]:
    """Return a line through time, with the look of its number."""
    color = PALETTE[number % 6]
    return {
        "type": "line",
        "name": name,
        "data": points,
        "xAxisIndex": grid,
        "yAxisIndex": grid,
        "showSymbol": False,
        "lineStyle": {"width": 1.8, "type": DASHES[number % 6], "color": color},
        "itemStyle": {"color": color},
    }


def marks(hours: list[tuple[float, str]]) -> dict[str, Any]:
    """Return vertical lines where shocks happened, for the `markLine` of a series."""
    return {
        "symbol": "none",
        "silent": True,
        "label": {"show": False},
        "lineStyle": {"color": PALETTE[4], "type": "dashed", "width": 1.2},
        "data": [{"xAxis": round(hour, 4), "name": words} for hour, words in hours],
    }


def plain_option() -> dict[str, Any]:
    """Return what every chart has: no animation, since a new frame comes before it would end."""
    return {"animation": False, "textStyle": {"fontFamily": "inherit"}}


def unit_of(largest: float) -> tuple[float, str]:
    """Return the factor and the name of the unit in which amounts of USD are short."""
    for unit, name in ((1e9, "USD bn"), (1e6, "USD m"), (1e3, "USD k")):
        if largest >= unit:
            return 1.0 / unit, name
    return 1.0, "USD"
