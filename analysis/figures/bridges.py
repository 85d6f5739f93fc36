"""Bridges: how far wrapped tokens are backed, and what their pools pay for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.series import measured, wide
from analysis.setting import Setting
from analysis.style import INK, hours, legend_right, looks, make_figure, styled, time_axes, title
from sim.units import HOUR

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_PANELS = (
    ("backing_ratio", 1.0, "escrow /\nwrapped supply (%)"),
    ("depeg", 0.0, "wrapped price /\npar - 1 (%)"),
)


@styled()
def plot_bridges(
    bridges: pd.DataFrame,
    setting: Setting = Setting(),  # noqa: B008 - immutable
    figure: Figure | None = None,
) -> NDArray[np.object_]:
    """Plot the backing ratio of bridges and the price of their wrapped tokens against par.

    Parameters
    ----------
    bridges : record table
    setting : names shocks and warm-up
    figure : where to draw; a new one when left out

    Returns
    -------
    two panels: backing ratio, depeg
    """
    named = bridges.assign(
        bridge=bridges["venue"].astype(str)
        + " "
        + bridges["token"].astype(str).str.replace(r"^.*/", "", regex=True)
    )
    look = looks(sorted(named["bridge"].unique()))
    figure = figure or make_figure(5.2)
    panels = figure.subplots(2, 1, sharex=True)
    for axes, (column, par, label) in zip(panels, _PANELS, strict=True):
        values = wide(named, "bridge", column)
        for name in values:
            one = look[str(name)]
            axes.plot(
                hours(values.index), 100.0 * values[name], color=one.color, ls=one.dashes, lw=1.7,
                label=name,
            )  # fmt: skip
        axes.axhline(100.0 * par, color=INK, lw=0.8)
        away = 100.0 * max(float(np.nan_to_num((values - par).abs().max().max())), 0.002)
        axes.set_ylim(100.0 * par - 1.15 * away, 100.0 * par + 0.3 * away)
        if float((values - par).max().max()) * 100.0 > 0.3 * away:
            axes.set_ylim(top=100.0 * par + 1.15 * away)
        axes.set_ylabel(label)
    legend_right(panels[0], "bridge")
    time_axes(panels, setting, float(bridges["time"].min()), float(bridges["time"].max()))
    title(panels[0], _headline(measured(named, setting.warmup)))
    return np.asarray(panels)


def _headline(bridges: pd.DataFrame) -> str:
    backing, off = bridges["backing_ratio"].min(), bridges["depeg"]
    worst = bridges.iloc[int(off.abs().argmax())]
    backed = (
        "Bridges stayed fully backed"
        if backing > 0.9999
        else f"Backing fell to {100 * backing:.1f} %"
    )
    if abs(worst["depeg"]) < 0.0005:
        return f"{backed}; wrapped tokens stayed at par"
    return (
        f"{backed}; furthest from par {100 * worst['depeg']:+.1f} % at {worst['time'] / HOUR:.1f} h"
    )
