"""Block space: the base fee and the orders left waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from analysis.series import measured
from analysis.setting import Setting
from analysis.style import (
    hours,
    legend_right,
    looks,
    make_figure,
    plain_axis,
    styled,
    time_axes,
    title,
)
from sim.units import GWEI, HOUR

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from analysis.style import Look

_BINS = 480  # more intervals than this are narrower than a line


@styled()
def plot_block_space(
    chains: pd.DataFrame,
    setting: Setting = Setting(),  # noqa: B008 - immutable
    figure: Figure | None = None,
) -> NDArray[np.object_]:
    """Plot the base fee (mean, with its range shaded) and the longest queue of each interval.

    Parameters
    ----------
    chains : record table, one row a block
    setting : names shocks and warm-up
    figure : where to draw; a new one when left out

    Returns
    -------
    base fee, and orders waiting where any had to wait
    """
    names = sorted(chains["chain"].astype(str).unique())
    look = looks(names)
    end = float(chains["time"].max())
    waits = bool((chains["pending"] > 0).any())
    figure = figure or make_figure(5.4 if waits else 3.4)
    ratios = [1.3, 1.0] if waits else [1.0]
    panels = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)
    panels = panels.ravel()
    for name in names:
        _plot_chain(panels, chains[chains["chain"] == name], end, name, look[name])
    if (chains["base_fee"] > 0.0).any():
        _scale(panels[0], chains["base_fee"][chains["base_fee"] > 0.0] / GWEI)
    panels[0].set_ylabel("base fee (gwei)")
    if waits:
        panels[1].set_ylabel("orders waiting\nafter a block (count)")
        panels[1].set_ylim(bottom=0.0, top=1.08 * float(chains["pending"].max()))
        panels[1].yaxis.set_major_locator(MaxNLocator(5, integer=True))
    legend_right(panels[0], "chain")
    time_axes(panels, setting, 0.0, end)
    title(panels[0], _headline(measured(chains, setting.warmup)))
    return np.asarray(panels)


def _plot_chain(
    panels: NDArray[np.object_], blocks: pd.DataFrame, end: float, name: str, look: Look
) -> None:
    interval = np.minimum((blocks["time"] * (_BINS / max(end, 1e-9))).astype(int), _BINS - 1)
    grouped = blocks.groupby(interval)
    at = hours(grouped["time"].mean())
    fee = grouped["base_fee"].agg(["min", "mean", "max"]) / GWEI
    panels[0].fill_between(at, fee["min"], fee["max"], color=look.color, alpha=0.3, lw=0)
    panels[0].plot(at, fee["mean"], color=look.color, ls=look.dashes, lw=1.5, label=name)
    for axes in panels[1:]:
        axes.plot(at, grouped["pending"].max(), color=look.color, ls=look.dashes, lw=1.3)


def _scale(axes: Axes, fees: pd.Series[float]) -> None:
    """Take logarithms where fees differ by more than 20 times."""
    if fees.max() / fees.min() > 20.0:
        axes.set_yscale("log")
        plain_axis(axes)
    else:
        axes.set_ylim(0.0, 1.1 * float(fees.max()))


def _headline(chains: pd.DataFrame) -> str:
    top = chains.iloc[int(chains["base_fee"].argmax())]
    peak = top["base_fee"] / GWEI
    median = chains["base_fee"][chains["chain"] == top["chain"]].median()
    waiting = int(chains["pending"].max())
    if median <= 0.0 or top["base_fee"] < 1.05 * median:
        waited = f"up to {waiting:,} orders waited" if waiting else "no order had to wait"
        return f"The base fee stayed at {peak:.3g} gwei; {waited}"
    return (
        f"The base fee rose to {top['base_fee'] / median:.3g} times its median: {peak:.3g} gwei on "
        f"{top['chain']} at {top['time'] / HOUR:.1f} h"
    )
