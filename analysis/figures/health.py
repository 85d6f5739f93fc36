"""How healthy the debt of lending markets was, through time."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator, NullLocator

from analysis.series import measured
from analysis.setting import Setting
from analysis.style import (
    PALETTE,
    hours,
    legend_right,
    make_figure,
    plain_axis,
    styled,
    time_axes,
    title,
)
from sim.units import HOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
_MOST = 4  # markets drawn
_FLOOR, _CEILING = 0.5, 10.0  # health factors shown


def health_quantiles(positions: pd.DataFrame) -> pd.DataFrame:
    """Return debt-weighted quantiles of the health factor through time.

    Parameters
    ----------
    positions : record table

    Returns
    -------
    float64; index: time; columns: `SHARES`, each the health factor below or at which that share of
    the debt stands
    """
    owing = positions[positions["debt"] > 0.0]
    time, factor, debt = (owing[name].to_numpy(float) for name in ("time", "health_factor", "debt"))
    order = np.lexsort((factor, time))
    factor, debt = factor[order], debt[order]
    times, starts = np.unique(time[order], return_index=True)
    rows = []
    for start, end in itertools.pairwise([*starts, len(order)]):
        share = np.cumsum(debt[start:end])
        place = np.searchsorted(share / share[-1], SHARES)
        rows.append(factor[start:end][np.minimum(place, end - start - 1)])
    return pd.DataFrame(rows, index=times, columns=list(SHARES), dtype=float)


@styled()
def plot_health(
    positions: pd.DataFrame,
    setting: Setting = Setting(),  # noqa: B008 - immutable
    figure: Figure | None = None,
) -> NDArray[np.object_]:
    """Plot bands of the health factor that hold 50 % and 90 % of the debt, and its median.

    Parameters
    ----------
    positions : record table
    setting : names shocks and warm-up
    figure : where to draw; a new one when left out

    Returns
    -------
    one panel a lending market, the largest debt first
    """
    venues = positions["venue"].astype(str)
    debt = positions.groupby(venues)["debt"].sum().nlargest(_MOST)
    figure = figure or make_figure(1.6 + 2.4 * len(debt))
    panels = figure.subplots(len(debt), 1, sharex=True, sharey=True, squeeze=False).ravel()
    bands = {str(venue): health_quantiles(positions[venues == venue]) for venue in debt.index}
    for axes, (venue, quantiles) in zip(panels, bands.items(), strict=True):
        _plot_bands(axes, quantiles.clip(_FLOOR, _CEILING))
        axes.set_ylabel(f"{venue}\nhealth factor (-)")
    low, high = (pd.concat(bands.values())[share] for share in (SHARES[0], SHARES[-1]))
    panels[0].set_ylim(
        0.95 * max(min(low.min(), 0.9), _FLOOR), 1.05 * min(max(high.max(), 2.1), _CEILING)
    )
    legend_right(panels[0])
    times = positions["time"]
    time_axes(panels, setting, float(times.min()), float(times.max()))
    title(panels[0], _headline(measured(positions, setting.warmup)))
    return panels


def _plot_bands(axes: Axes, shown: pd.DataFrame) -> None:
    at = hours(shown.index)
    blue, red = PALETTE[0], PALETTE[2]
    axes.fill_between(
        at, shown[0.05], shown[0.95], color=blue, alpha=0.22, lw=0, label="90 % of the debt"
    )
    axes.fill_between(
        at, shown[0.25], shown[0.75], color=blue, alpha=0.45, lw=0, label="50 % of the debt"
    )
    axes.plot(at, shown[0.5], color="#1b4f80", lw=2.0, label="median")
    axes.axhline(1.0, color=red, lw=1.5, ls=(0, (5, 1.5)), label="liquidated below 1")
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(FixedLocator([0.5, 0.75, 1, 1.5, 2, 3, 5, 10]))
    plain_axis(axes)


def _headline(positions: pd.DataFrame) -> str:
    """Return what is seen: how near the weakest twentieth of the debt came to liquidation."""
    weakest = health_quantiles(positions)[SHARES[0]]
    return (
        f"The weakest 5 % of debt fell from a health factor of {weakest.iloc[0]:.2f} "
        f"to {weakest.min():.2f} at {float(weakest.index[int(weakest.argmin())]) / HOUR:.0f} h"
        if weakest.min() < 0.99 * weakest.iloc[0]
        else f"The weakest 5 % of debt was seen at a health factor of {weakest.min():.2f} or more"
    )
