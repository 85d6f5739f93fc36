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
    from collections.abc import Sequence

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

    Pools of one reference price share a panel; that of the most valuable pair comes first. A
    liquidation is marked where its tokens are traded, with an area proportional to the debt repaid.

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
    _mark_liquidations(panels, groups, references, liquidations, setting)
    errors = price_errors(known)[[venue for group in groups for venue in group]]
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
    symbols = [_symbols(pair) for pair in pairs]
    if not all(len(pair) == 2 for pair in symbols):
        return "price (token1 per token0)"
    above, below = (list(dict.fromkeys(pair[side] for pair in symbols)) for side in (1, 0))
    return f"price ({', '.join(above)} per {', '.join(below)})"


def _mark_liquidations(
    panels: NDArray[np.object_],
    groups: list[list[str]],
    references: pd.DataFrame,
    liquidations: pd.DataFrame,
    setting: Setting,
) -> None:
    """Mark liquidations on the reference prices; those of one interval are one mark."""
    if not len(liquidations):
        return
    width = max(float(references.index[-1]) / _MARKS, 1e-9)
    marked = liquidations.assign(
        panel=_panel_of(liquidations, groups, setting),
        interval=(liquidations["time"] // width).astype(int),
    )
    marks = marked.groupby(["panel", "interval"]).agg(
        time=("time", "mean"), debt=("debt_usd", "sum")
    )
    largest = max(float(marks["debt"].max()), 1e-12)
    for panel, of_panel in marks.groupby("panel"):
        reference = references[groups[int(str(panel))][0]]
        times = of_panel["time"].to_numpy()
        panels[int(str(panel))].scatter(
            hours(times), value_at(reference.index, reference, times),
            s=10.0 + 150.0 * of_panel["debt"].to_numpy() / largest, facecolor="none",
            edgecolor=PALETTE[2], lw=1.2, zorder=3, label="liquidations\n(area: debt)",
        )  # fmt: skip


def _panel_of(
    liquidations: pd.DataFrame, groups: list[list[str]], setting: Setting
) -> pd.Series[int]:
    """Return in which panel each liquidation belongs.

    That of a pool of both its tokens, else of its collateral, else of its debt, else the first.
    """
    pairs = [[_symbols(setting.tokens.get(venue, ())) for venue in group] for group in groups]
    tokens = liquidations[["collateral_token", "debt_token"]].astype(str)
    known: dict[tuple[str, ...], int] = {}
    for both in set(tokens.itertuples(index=False, name=None)):
        seized, repaid = _symbols(both)
        wanted = ({seized, repaid}, {seized}, {repaid})
        fitting = [k for some in wanted for k, group in enumerate(pairs)
                   if any(some <= set(pair) for pair in group)]  # fmt: skip
        known[both] = fitting[0] if fitting else 0
    return tokens.apply(lambda row: known[tuple(row)], axis=1)


def _symbols(tokens: Sequence[str]) -> tuple[str, ...]:
    return tuple(token.rpartition("/")[2] for token in tokens)


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
