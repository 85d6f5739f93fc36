"""The result of liquidity providers: fees, loss versus rebalancing and inventory, pool by pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.liquidity import pool_results
from analysis.setting import Setting
from analysis.style import (
    FAINT,
    INK,
    PALETTE,
    hours,
    legend_right,
    looks,
    make_figure,
    styled,
    time_axes,
    title,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_MOST = 6  # pools drawn: as many as there are looks
_PARTS = (
    ("fees", 1.0, "fees", PALETTE[0]),
    ("lvr", -1.0, "loss versus\nrebalancing", PALETTE[2]),
    ("inventory", 1.0, "inventory", PALETTE[3]),
    ("total", 1.0, "total", INK),
)


@styled()
def plot_liquidity(
    pools: pd.DataFrame,
    fills: pd.DataFrame,
    setting: Setting = Setting(),  # noqa: B008 - immutable
    figure: Figure | None = None,
) -> NDArray[np.object_]:
    """Plot fees less loss versus rebalancing through time, and the whole result at the end.

    All in percent of the pool's value when statistics start; gas is left out.

    Parameters
    ----------
    pools, fills : record tables
    setting : names shocks and warm-up
    figure : where to draw; a new one when left out

    Returns
    -------
    two panels: paths, split of the result
    """
    results = pool_results(pools, fills, setting.warmup)
    names = ["fees", "lvr", "inventory", "total"]
    start = results[results["value"] > 0.0].groupby("venue")["value"].first().nlargest(_MOST)
    results = results[results["venue"].isin(start.index)].copy()
    results[names] = results[names].mul(100.0 / results["venue"].map(start), axis=0)
    figure = figure or make_figure(4.2 + 0.55 * len(start))
    panels = figure.subplots(2, 1, height_ratios=[1.0, 0.35 + 0.28 * len(start)])
    paths = {venue: results[results["venue"] == venue] for venue in start.index}
    _plot_paths(panels[0], paths)
    _plot_split(panels[1], paths)
    time_axes(panels[:1], setting, float(pools["time"].min()), float(pools["time"].max()))
    title(panels[0], _headline(paths, start))
    return np.asarray(panels)


def _plot_paths(axes: Axes, paths: dict[str, pd.DataFrame]) -> None:
    axes.axhline(0.0, color=FAINT, lw=1.0)
    look = looks(paths)
    if len(paths) == 1:
        (path,) = paths.values()
        at = hours(path["time"])
        axes.plot(at, path["fees"], color=PALETTE[0], ls="-", lw=1.6, label="fees")
        axes.plot(
            at, -path["lvr"], color=PALETTE[2], ls=(0, (5, 1.5)), lw=1.6,
            label="loss versus\nrebalancing",
        )  # fmt: skip
        axes.plot(at, path["fees"] - path["lvr"], color=INK, lw=2.0, label="fees less loss")
    else:
        for venue, path in paths.items():
            one = look[venue]
            axes.plot(
                hours(path["time"]), path["fees"] - path["lvr"], color=one.color, ls=one.dashes,
                lw=1.7, label=venue,
            )  # fmt: skip
    what = "result so far" if len(paths) == 1 else "fees less loss vs\nrebalancing"
    axes.set_ylabel(f"{what} (% of value)")
    legend_right(axes)


def _plot_split(axes: Axes, paths: dict[str, pd.DataFrame]) -> None:
    """Draw four bars a pool with their numbers, since fees are small beside inventory."""
    rows = np.arange(len(paths))[::-1]
    ends = [path.iloc[-1] for path in paths.values()]
    for k, (name, sign, label, color) in enumerate(_PARTS):
        values = [sign * float(end[name]) + 0.0 for end in ends]
        at = rows + 0.3 - 0.2 * k
        axes.barh(at, values, height=0.18, color=color, label=label)
        for place, value in zip(at, values, strict=True):
            axes.annotate(
                f"{round(value, 2) + 0.0:+.2f}", (value, place), va="center", fontsize=7.5,
                xytext=(3 if value >= 0 else -3, 0), textcoords="offset points",
                ha="left" if value >= 0 else "right",
            )  # fmt: skip
    axes.axvline(0.0, color=FAINT, lw=1.0)
    axes.set_yticks(rows, list(paths))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_ylabel("pool")
    axes.set_xlim(*_limits([sign * float(end[name]) for end in ends for name, sign, *_ in _PARTS]))
    axes.set_xlabel("result at the end (% of value at the start)")
    legend_right(axes)


def _limits(values: list[float]) -> tuple[float, float]:
    """Return limits with room for the numbers beside the bars."""
    room = 0.12 * max(map(abs, values)) or 1.0
    return min([0.0, *values]) - room, max([0.0, *values]) + room


def _headline(paths: dict[str, pd.DataFrame], start: pd.Series[float]) -> str:
    ends = {venue: path.iloc[-1] for venue, path in paths.items()}
    net = (
        sum((end["fees"] - end["lvr"]) * start[venue] for venue, end in ends.items()) / start.sum()
    )
    compared = "covered" if net >= 0.0 else "fell short of"
    return f"Fees {compared} the loss versus rebalancing: {net:+.2f} % of value in pools"
