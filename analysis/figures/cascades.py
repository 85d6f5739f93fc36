"""Cascades: every wave of liquidations through time, and the tree of the largest one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from analysis.cascade_stories import clock
from analysis.setting import Setting
from analysis.style import (
    FAINT,
    INK,
    PALETTE,
    hours,
    legend_right,
    looks,
    make_figure,
    money,
    money_axis,
    styled,
    time_axes,
    title,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from analysis.cascades import Cascades

_NAMED = 5  # cascades with a color of their own
_MOST_WAVES = 24  # of a tree, drawn
_LARGEST = 900.0  # points squared, area of the largest wave


def waves_of(found: Cascades) -> pd.DataFrame:
    """Return one row a wave: its cascade, time (s) of the first liquidation, generation and USD."""
    return found.graph.liquidations.groupby("wave").agg(
        cascade=("cascade", "first"),
        time=("time", "min"),
        generation=("generation", "max"),
        debt_usd=("debt_usd", "sum"),
        n_liquidations=("fill_id", "size"),
    )


@styled()
def plot_cascade_timeline(
    found: Cascades,
    setting: Setting = Setting(),  # noqa: B008 - immutable
    figure: Figure | None = None,
) -> NDArray[np.object_]:
    """Plot every wave of liquidations by time and debt, and the debt liquidated so far by cause.

    Parameters
    ----------
    found : cascades of a run
    setting : names shocks and warm-up
    figure : where to draw; a new one when left out

    Returns
    -------
    two panels: waves, those of the largest cascades in color; debt so far
    """
    waves, done = waves_of(found), found.graph.liquidations
    figure = figure or make_figure(5.6)
    panels = figure.subplots(2, 1, height_ratios=[1.5, 1.0], sharex=True)
    names = {number: f"cascade {number}" for number in found.table.index[:_NAMED]}
    look = looks(names.values())
    for number, part in waves.groupby("cascade"):
        name = names.get(int(str(number)))
        color = look[name].color if name else FAINT
        marker = look[name].marker if name else "."
        panels[0].plot(
            hours(part["time"]), part["debt_usd"], ls="-" if name else "", lw=0.8, marker=marker,
            ms=6 if name else 5, color=color, alpha=0.9 if name else 0.5,
            label=f"{name}: {money(found.table['debt_usd'][number])}" if name else "others",
        )  # fmt: skip
    panels[0].set_yscale("log")
    money_axis(panels[0])
    panels[0].set_ylabel("debt of a wave")
    legend_right(panels[0])
    end = max(float(done["time"].max()), setting.horizon)
    _plot_so_far(panels[1], done, end)
    time_axes(panels, setting, 0.0, end)
    title(panels[0], _headline(found))
    return np.asarray(panels)


def _plot_so_far(axes: Axes, done: pd.DataFrame, end: float) -> None:
    at = hours(np.append(done["time"].to_numpy(float), end))
    debt = np.append(done["debt_usd"].to_numpy(float), 0.0)
    own = np.cumsum(debt * (1.0 - np.append(done["endogenous"].to_numpy(float), 0.0)))
    axes.fill_between(
        at, 0.0, own, step="post", color=PALETTE[0], alpha=0.75, lw=0, label="from outside"
    )
    axes.fill_between(
        at, own, np.cumsum(debt), step="post", color=PALETTE[2], alpha=0.85, lw=0,
        label="by other\nliquidations", hatch="//", edgecolor=INK,
    )  # fmt: skip
    axes.set_ylim(bottom=0.0)
    money_axis(axes)
    axes.set_ylabel("debt so far")
    legend_right(axes)


def _headline(found: Cascades) -> str:
    total = float(found.table["debt_usd"].sum())
    share = float(found.table["endogenous_usd"].sum()) / total if total > 0.0 else 0.0
    first = float(found.table["debt_usd"].iloc[0]) / total if total > 0.0 else 0.0
    return (
        f"{money(total)} liquidated in {len(found.table):,} cascades: the largest {first:.0%}, "
        f"{share:.0%} by other liquidations"
    )


@styled()
def plot_cascade_tree(
    found: Cascades, number: int | None = None, figure: Figure | None = None
) -> Axes:
    """Plot one cascade as a tree: waves by order and generation, lines from cause to caused.

    Each with its debt and its number of liquidations; of many waves the largest.

    Parameters
    ----------
    found : cascades of a run
    number : of the cascade; the largest of those that have several waves when left out
    figure : where to draw; a new one when left out
    """
    if number is None:
        number = int(found.table[found.table["n_waves"] > 1].index[0])
    waves = waves_of(found)
    waves = waves[waves["cascade"] == number].nlargest(_MOST_WAVES, "debt_usd").sort_values("time")
    figure = figure or make_figure(4.6)
    axes = figure.subplots()
    at, level = np.arange(len(waves)), waves["generation"].to_numpy(float)
    place = dict(zip(waves.index, zip(at, level, strict=True), strict=True))
    for edge in found.wave_edges.itertuples():
        if edge.wave in place and edge.cause in place:
            _draw_edge(axes, place[edge.cause], place[edge.wave], float(str(edge.weight)))
    size = waves["debt_usd"].to_numpy(float)
    area = np.maximum(_LARGEST * size / size.max(), 12.0)
    axes.scatter(at, level, s=area, color=PALETTE[0], edgecolor=INK, lw=0.8, zorder=3)
    for k, wave in enumerate(waves.itertuples()):
        axes.annotate(
            f"{money(size[k])}\n{wave.n_liquidations}", (at[k], level[k]), ha="center",
            xytext=(0, np.sqrt(area[k] / np.pi) + 3), textcoords="offset points", fontsize=7.0,
        )  # fmt: skip
    deepest = float(level.max())
    axes.set_ylim(deepest + 0.6, 1.0 - max(0.7, 0.16 * deepest))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(-0.7, len(waves) - 0.3)
    step = 1 + (len(waves) - 1) // 12
    axes.set_xticks(at[::step], [clock(time) for time in waves["time"].iloc[::step]])
    axes.set_ylabel("generation")
    axes.set_xlabel("waves in their order, with the time of the first liquidation (h:min)")
    title(axes, _tree_headline(number, found.table[found.table.index == number].iloc[0]))
    return axes


def _draw_edge(axes: Axes, start: Any, end: Any, weight: float) -> None:
    axes.annotate(
        "", end, start, zorder=2,
        arrowprops={
            "arrowstyle": "-|>", "color": FAINT, "lw": 0.6 + 2.4 * weight, "shrinkA": 4,
            "shrinkB": 8, "connectionstyle": f"arc3,rad={0.0 if start[1] != end[1] else -0.3}",
        },
    )  # fmt: skip


def _tree_headline(number: int, row: pd.Series[Any]) -> str:
    return (
        f"Cascade {number}, from {clock(float(row['start']))} to {clock(float(row['end']))}: "
        f"{money(float(row['debt_usd']))} in {int(row['n_waves'])} waves, "
        f"{money(float(row['endogenous_usd']))} of it by earlier ones"
    )
