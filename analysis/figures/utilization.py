"""How much of each lending reserve is lent out, and at what rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.lending import FULL, hours_at_full_utilization, reserve_names
from analysis.series import measured, wide
from analysis.setting import Setting
from analysis.style import (
    FAINT,
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
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_MOST = 6  # reserves drawn: as many as there are looks


@styled()
def plot_utilization(
    markets: pd.DataFrame,
    setting: Setting = Setting(),  # noqa: B008 - immutable
    figure: Figure | None = None,
) -> NDArray[np.object_]:
    """Plot utilization and borrow rate of the largest reserves through time.

    Parameters
    ----------
    markets : record table
    setting : names shocks and warm-up
    figure : where to draw; a new one when left out

    Returns
    -------
    two panels: utilization, borrow rate
    """
    named = markets.assign(
        reserve=reserve_names(markets), usd=markets["borrowed"] * markets["oracle_price"]
    )
    largest = named.groupby("reserve")["usd"].max().nlargest(_MOST)
    largest = largest[largest > 0.0] if (largest > 0.0).any() else largest
    named = named[named["reserve"].isin(largest.index)]
    look = looks(largest.index)
    figure = figure or make_figure(5.4)
    panels = figure.subplots(2, 1, sharex=True)
    for axes, column in zip(panels, ("utilization", "borrow_rate"), strict=True):
        values = 100.0 * wide(named, "reserve", column)
        for name in largest.index:
            one = look[name]
            axes.plot(
                hours(values.index), values[name], color=one.color, ls=one.dashes, lw=1.6,
                label=name,
            )  # fmt: skip
    panels[0].axhline(100.0, color=FAINT, lw=1.0)
    panels[0].set_ylim(0.0, 104.0)
    panels[0].set_ylabel("utilization (%)")
    panels[1].set_ylim(bottom=0.0)
    panels[1].set_ylabel("borrow rate (% per year)")
    legend_right(panels[0], "reserve")
    time_axes(panels, setting, float(named["time"].min()), float(named["time"].max()))
    title(panels[0], _headline(measured(named, setting.warmup)))
    return np.asarray(panels)


def _headline(markets: pd.DataFrame) -> str:
    full = hours_at_full_utilization(markets)
    if full.max() > 0.0:
        hours_full = f"(≥ {100 * FULL:.1f} %) for {full.max():.1f} h"
        return f"The reserve {full.idxmax()} was lent out fully {hours_full}"
    top = markets.iloc[int(markets["utilization"].argmax())]
    most = f"{top['reserve']}, {100 * top['utilization']:.0f} %"
    return f"No reserve was lent out fully; highest: {most}"
