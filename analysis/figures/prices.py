"""Pool prices against the reference market, liquidations marked, and the gap between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.liquidity import price_errors
from analysis.series import measured, value_at, wide
from analysis.setting import Setting
from analysis.style import (
    INK,
    PALETTE,
    hours,
    legend_right,
    looks,
    make_figure,
    plain_axis,
    styled,
    time_axes,
    title,
)
from sim.units import HOUR

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from analysis.style import Look

_NEAR = 0.01  # log distance within which reference prices are drawn as one, such as two of ETH/USD
_PANELS = 3  # price scales drawn
_MARKS = 144  # intervals whose liquidations are one mark: more would hide the price
_FAR = 0.2  # gap from which a price no longer follows
_MOST = 6  # pools drawn: as many as there are looks


@styled()
def plot_prices(
    pools: pd.DataFrame,
    liquidations: pd.DataFrame,
    setting: Setting = Setting(),  # noqa: B008 - immutable
    figure: Figure | None = None,
) -> NDArray[np.object_]:
    """Plot pool prices over the reference price, and below them the gap in percent.

    Pools of one reference price share a panel; the panel of the most valuable pair comes first
    and carries the liquidations, their area proportional to the debt repaid.

    Parameters
    ----------
    pools, liquidations : record tables
    setting : names shocks and warm-up
    figure : where to draw; a new one when left out

    Returns
    -------
    the panels from top to bottom: prices, then the gap
    """
    known = _largest(pools[pools["reference_price"] > 0.0])
    groups = _price_groups(known)
    prices, references = (
        wide(known, "venue", name).ffill() for name in ("price", "reference_price")
    )
    look = looks([venue for group in groups for venue in group])
    figure = figure or make_figure(3.2 + 1.7 * len(groups))
    ratios = [2.2] + [1.1] * (len(groups) - 1) + [1.3]
    panels = figure.subplots(
        len(groups) + 1, 1, sharex=True, squeeze=False, height_ratios=ratios
    ).ravel()
    for axes, group in zip(panels, groups, strict=False):
        _plot_group(axes, prices[group], references[group], look, setting)
    if len(liquidations):
        _mark_liquidations(panels[0], references[groups[0][0]], liquidations)
    errors = price_errors(known)
    _plot_errors(panels[-1], errors, look)
    time_axes(panels, setting, prices.index[0], prices.index[-1])
    for axes in panels:
        legend_right(axes)
    title(panels[0], _headline(measured(errors.reset_index(), setting.warmup).set_index("time")))
    return panels


def _largest(pools: pd.DataFrame) -> pd.DataFrame:
    value = pools.groupby(pools["venue"].astype(str))["value_usd"].max()
    return pools[pools["venue"].isin(value.nlargest(_MOST).index)]


def _price_groups(pools: pd.DataFrame) -> list[list[str]]:
    """Return the pools of pairs with one reference price, the most valuable group first."""
    value = wide(pools, "venue", "value_usd").ffill().iloc[-1].sort_values(ascending=False)
    paths = np.log(wide(pools, "venue", "reference_price").ffill())
    groups: list[list[str]] = []
    for venue in value.index:
        for group in groups:
            if (paths[venue] - paths[group[0]]).abs().max() < _NEAR:
                group.append(str(venue))
                break
        else:
            groups.append([str(venue)])
    groups.sort(key=lambda group: -value[group].sum())
    return groups[:_PANELS]


def _plot_group(
    axes: Axes,
    prices: pd.DataFrame,
    references: pd.DataFrame,
    look: dict[str, Look],
    setting: Setting,
) -> None:
    axes.plot(hours(references.index), references.iloc[:, 0], color=INK, lw=2.4, label="reference")
    for venue in prices:
        one = look[str(venue)]
        axes.plot(
            hours(prices.index), prices[venue], color=one.color, ls=one.dashes, lw=1.2, label=venue
        )
    spread = prices.max().max() / max(prices.min().min(), 1e-300)
    if spread > 20:
        axes.set_yscale("log")
        plain_axis(axes)
    axes.set_ylabel(_unit([str(venue) for venue in prices], setting).replace(" (", "\n(", 1))


def _unit(venues: list[str], setting: Setting) -> str:
    """Return the unit of prices in words: `price (DAI, USDC per ETH)`."""
    pairs = [setting.tokens.get(venue, ()) for venue in venues]
    symbols = [tuple(token.rpartition("/")[2] for token in pair) for pair in pairs]
    if not all(len(pair) == 2 for pair in symbols):
        return "price (token1 per token0)"
    above, below = (list(dict.fromkeys(pair[side] for pair in symbols)) for side in (1, 0))
    return f"price ({', '.join(above)} per {', '.join(below)})"


def _mark_liquidations(axes: Axes, reference: pd.Series[float], liquidations: pd.DataFrame) -> None:
    """Mark liquidations on the reference price; those of one interval are one mark."""
    width = max(float(reference.index[-1]) / _MARKS, 1e-9)
    interval = (liquidations["time"] // width).astype(int)
    times = liquidations["time"].groupby(interval).mean().to_numpy()
    debt = liquidations["debt_usd"].groupby(interval).sum().to_numpy()
    axes.scatter(
        hours(times), value_at(reference.index, reference, times),
        s=10.0 + 150.0 * debt / max(debt.max(), 1e-12), facecolor="none", edgecolor=PALETTE[2],
        lw=1.2, zorder=3, label="liquidations\n(area: debt)",
    )  # fmt: skip


def _plot_errors(axes: Axes, errors: pd.DataFrame, look: dict[str, Look]) -> None:
    for venue in errors:
        one = look.get(str(venue))
        if one is not None:
            axes.plot(
                hours(errors.index),
                100.0 * np.expm1(errors[venue]),
                color=one.color,
                ls=one.dashes,
                lw=1.0,
            )
    axes.axhline(0.0, color=INK, lw=0.8)
    axes.set_ylabel("pool / reference\n- 1 (%)")


def _headline(errors: pd.DataFrame) -> str:
    size = errors.abs().to_numpy(float)
    if not size.size or np.isnan(size).all():
        return "Pool prices and the reference price"
    row, column = divmod(int(np.nanargmax(size)), size.shape[1])
    hour = float(errors.index[row]) / HOUR
    gap = float(np.expm1(errors.to_numpy(float)[row, column]))
    where = f"({errors.columns[column]}, {hour:.1f} h)"
    shown = f"{100.0 * gap:+.2g}" if abs(gap) < 0.1 else f"{100.0 * gap:+,.0f}"
    if abs(gap) > _FAR:
        return f"Pool prices left the reference by up to {shown} % {where}"
    return f"Pool prices follow the reference; widest gap {shown} % {where}"
