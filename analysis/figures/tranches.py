"""A tranche vault through time: the waterfall with attachment lines, the queue, the discount."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter

from analysis.series import measured, wide
from analysis.setting import Setting
from analysis.style import (
    FAINT,
    INK,
    hours,
    legend_right,
    looks,
    make_figure,
    money,
    styled,
    time_axes,
    title,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from analysis.style import Look


def _cash(amount: float) -> str:
    """Write an amount of a vault's cash short, without a currency sign."""
    return money(amount).replace("$", "")


_CASH = FuncFormatter(lambda amount, _: _cash(amount))


@styled()
def plot_tranches(
    tranches: pd.DataFrame,
    setting: Setting = Setting(),  # noqa: B008 - immutable
    figure: Figure | None = None,
) -> NDArray[np.object_]:
    """Plot the tranches of the largest vault, who waits to leave, and what shares trade at.

    The tranches are stacked, the last at the bottom: their borders are the attachment points, in
    value; the dotted lines show the borders of the start.

    Parameters
    ----------
    tranches : record table
    setting : names shocks and warm-up
    figure : where to draw; a new one when left out

    Returns
    -------
    three panels: net asset value by tranche, queue by tranche, discount of traded shares
    """
    names = tranches["venue"].astype(str)
    vault = str(tranches["nav"].groupby(names).max().idxmax())
    mine = tranches[names == vault].assign(tranche=tranches["tranche"].astype(str))
    order = mine.drop_duplicates("tranche").sort_values("level")["tranche"].tolist()
    look = looks(order)
    figure = figure or make_figure(7.4)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(2.2, 1.2, 1.0))
    _draw_waterfall(panels[0], wide(mine, "tranche", "nav")[order[::-1]], look)
    queue = wide(mine, "tranche", "queue")[order]
    for name in order:
        one = look[name]
        panels[1].plot(
            hours(queue.index), queue[name], color=one.color, ls=one.dashes, lw=1.6, label=name
        )
    panels[1].set_ylabel("redemptions\nwaiting (cash)")
    panels[1].set_ylim(0.0, max(1.08 * float(queue.max().max()), 1.0))
    panels[1].yaxis.set_major_formatter(_CASH)
    _draw_discount(panels[2], mine, order, look)
    legend_right(panels[0], f"{vault}, tranche")
    time_axes(panels, setting, float(mine["time"].min()), float(mine["time"].max()))
    title(panels[0], _headline(measured(mine, setting.warmup), order))
    return np.asarray(panels)


def _draw_waterfall(axes: Axes, values: pd.DataFrame, look: dict[str, Look]) -> None:
    """Stack the tranches, the last at the bottom, with the attachment points of the start."""
    at, below = hours(values.index), np.zeros(len(values))
    for name in values.columns:
        above = below + values[name].to_numpy(float)
        axes.fill_between(at, below, above, color=look[str(name)].color, alpha=0.55, lw=0.0,
                          label=name)  # fmt: skip
        axes.plot(at, above, color=look[str(name)].color, lw=1.2)
        axes.axhline(float(above[0]), color=INK, lw=0.8, ls=":")
        below = above
    axes.set_ylim(0.0, 1.08 * float(np.max(below)))
    axes.set_ylabel("net asset value (cash)")
    axes.yaxis.set_major_formatter(_CASH)


def _draw_discount(axes: Axes, mine: pd.DataFrame, order: list[str], look: dict[str, Look]) -> None:
    """Draw the discount of every tranche whose shares trade in a pool."""
    traded = mine[mine["secondary_price"] > 0.0]
    axes.axhline(0.0, color=FAINT, lw=1.0)
    if len(traded):
        discount = 100.0 * wide(traded, "tranche", "discount")
        for name in (name for name in order if name in discount):
            one = look[name]
            axes.plot(hours(discount.index), discount[name], color=one.color, ls=one.dashes, lw=1.6)
    else:
        axes.text(0.5, 0.5, "no shares trade in a pool", transform=axes.transAxes, ha="center",
                  color=FAINT)  # fmt: skip
    axes.set_ylabel("discount (%)")


def _headline(mine: pd.DataFrame, order: list[str]) -> str:
    """Say which tranches bore a loss, and how many wanted to leave."""
    loss = wide(mine, "tranche", "loss")[order]
    value = wide(mine, "tranche", "nav")[order].iloc[0]
    worst = (loss - loss.iloc[0]).max()
    parts = [
        f"{name} −{100 * min(worst[name] / value[name], 1.0):.0f} %"
        for name in order[::-1]
        if worst[name] > 0.005 * value[name]
    ]
    queue = float(mine.groupby("time")["queue"].sum().max())
    lost = "largest losses: " + ", ".join(parts) if parts else "no tranche lost"
    return f"{lost.capitalize()}; most waiting to leave: {_cash(queue)} of cash"
