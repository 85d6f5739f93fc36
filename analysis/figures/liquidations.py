"""Liquidations and bad debt over time, by chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import seaborn as sns

from analysis.lending import bad_debt_path
from analysis.series import since
from analysis.setting import Setting
from analysis.style import (
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
from sim.units import HOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from analysis.style import Look

_BINS = 96


@styled()
def plot_liquidations(
    liquidations: pd.DataFrame,
    positions: pd.DataFrame,
    markets: pd.DataFrame,
    setting: Setting = Setting(),  # noqa: B008 - immutable
    figure: Figure | None = None,
) -> NDArray[np.object_]:
    """Plot debt liquidated in each interval as stacked bars, and bad debt below it, by chain.

    Parameters
    ----------
    liquidations, positions, markets : record tables
    setting : names shocks and warm-up
    figure : where to draw; a new one when left out

    Returns
    -------
    liquidations, where there were any, and bad debt
    """
    bad = _by_chain(bad_debt_path(positions, markets), markets)
    chains = sorted({*liquidations["chain"].astype(str), *bad.columns})
    look = looks(chains)
    end = max(
        float(frame["time"].max()) for frame in (markets, positions, liquidations) if len(frame)
    )
    ratios = [1.3, 1.0] if len(liquidations) else [1.0]
    figure = figure or make_figure(1.6 + 2.0 * len(ratios))
    panels = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)
    panels = panels.ravel()
    if len(liquidations):
        colors = {name: look[name].color for name in look}
        _plot_bars(panels[0], liquidations, np.linspace(0.0, end / HOUR, _BINS + 1), colors)
    _plot_bad_debt(panels[-1], bad, look)
    for axes in panels:
        axes.set_ylim(0.0, max(axes.get_ylim()[1], 100.0))
        money_axis(axes)
    legend_right(panels[0], "chain", panels[-1])
    time_axes(panels, setting, 0.0, end)
    measured = bad[bad.index >= setting.warmup]
    title(panels[0], _headline(since(liquidations, setting.warmup), measured))
    return np.asarray(panels)


def _plot_bad_debt(axes: Axes, bad: pd.DataFrame, look: dict[str, Look]) -> None:
    for chain, one in look.items():
        path = bad.get(chain, bad.sum(axis=1)[:0])
        axes.plot(
            hours(path.index), path, color=one.color, ls=one.dashes, marker=one.marker,
            ms=3.0, lw=1.5, drawstyle="steps-post", label=chain,
        )  # fmt: skip
    axes.set_ylabel("bad debt (USD)")


def _by_chain(by_venue: pd.DataFrame, markets: pd.DataFrame) -> pd.DataFrame:
    chain = dict(zip(markets["venue"].astype(str), markets["chain"].astype(str), strict=True))
    return by_venue.T.groupby(by_venue.columns.map(lambda venue: chain.get(venue, venue))).sum().T


def _plot_bars(
    axes: Axes, liquidations: pd.DataFrame, edges: NDArray[np.float64], colors: dict[str, str]
) -> None:
    shown = pd.DataFrame(
        {
            "hour": hours(liquidations["time"]),
            "debt": liquidations["debt_usd"].to_numpy(float),
            "chain": liquidations["chain"].astype(str),
        }
    )
    order = [chain for chain in colors if chain in set(shown["chain"])]
    sns.histplot(
        shown, x="hour", weights="debt", hue="chain", hue_order=order, multiple="stack",
        bins=list(edges), palette=[colors[chain] for chain in order], alpha=1.0, lw=0.0,
        element="step", legend=False, ax=axes,
    )  # fmt: skip
    axes.set_xlabel("")  # the panel below has it
    axes.set_ylabel(f"debt liquidated\n(USD per {60 * edges[1]:.0f} min)")


def _headline(liquidations: pd.DataFrame, bad: pd.DataFrame) -> str:
    debt = money(float(liquidations["debt_usd"].sum()))
    total = bad.sum(axis=1)
    words = f"{len(liquidations):,} liquidations repaid {debt} of debt"
    if not len(liquidations):
        words = "No liquidation"
    if not total.size or total.max() <= 0.0:
        return f"{words}; no bad debt"
    hour = float(total.index[int(total.argmax())]) / HOUR
    return f"{words}; bad debt peaked at {money(float(total.max()))} ({hour:.0f} h)"
