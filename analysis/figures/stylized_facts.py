"""Stylized facts: tails of returns, memory of volatility, clustering of liquidations, the list."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import NullLocator
from scipy import special

from analysis.series import frame_of, since
from analysis.setting import Setting
from analysis.style import (
    DASHES,
    FAINT,
    INK,
    PALETTE,
    make_figure,
    plain_axis,
    styled,
    title,
)
from analysis.stylized_facts import autocorrelation, fano_factor, main_asset, returns_of
from sim.units import HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_N_LAGS = 48
_WINDOWS = (5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR)
_MARKS = {True: ("●", PALETTE[0], "in the band"), False: ("○", PALETTE[2], "outside")}


@styled()
def plot_stylized_facts(
    tables: Mapping[str, pd.DataFrame],
    facts: pd.DataFrame,
    setting: Setting = Setting(),  # noqa: B008 - immutable
    figure: Figure | None = None,
) -> NDArray[np.object_]:
    """Plot the stylized facts of a run.

    Parameters
    ----------
    tables : record tables
    facts : from `analysis.stylized_facts.table_of`
    setting : of the run
    figure : where to draw; a new one when left out

    Returns
    -------
    four panels: tail of absolute returns, autocorrelation, Fano factor of liquidations by window,
    list of all facts
    """
    figure = figure or make_figure(7.6)
    panels = figure.subplots(2, 2)
    returns = returns_of(tables, setting).to_numpy(float)
    _plot_tail(panels[0, 0], returns)
    _plot_memory(panels[0, 1], returns)
    done = since(frame_of(tables, "liquidations"), setting.warmup)
    _plot_clusters(panels[1, 0], done["time"].to_numpy(float), tables, setting)
    _list_facts(panels[1, 1], facts)
    known = facts[facts["holds"].notna()]
    n_hold = int(known["holds"].astype(bool).sum())
    of_what = f", returns of {asset}" if (asset := main_asset(tables, setting)) else ""
    title(panels[0, 0], f"{n_hold} of {len(known)} stylized facts hold{of_what}")
    return np.asarray(panels)


def _plot_tail(axes: Axes, returns: NDArray[Any]) -> None:
    """Draw how often absolute returns exceed a size, beside a normal and a cubic law."""
    axes.set_xlabel("absolute return (standard deviations)")
    axes.set_ylabel("share beyond")
    if len(returns) < 2 or not returns.std() > 0.0:
        _say(axes, "no returns")
        return
    size = np.sort(np.abs(returns - returns.mean()) / returns.std())
    beyond = 1.0 - np.arange(len(size)) / len(size)
    axes.plot(size, beyond, color=PALETTE[0], marker=".", ms=3, ls="", label="returns")
    grid = np.geomspace(0.5, max(float(size[-1]), 5.0), 60)
    axes.plot(grid, special.erfc(grid / math.sqrt(2.0)), color=INK, lw=1.2, label="normal")
    at = float(np.quantile(size, 0.95))
    tail = grid[grid >= at]
    axes.plot(
        tail, 0.05 * (tail / at) ** -3.0, color=PALETTE[2], ls=DASHES[1], lw=1.4, label="cubic law"
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(0.3 / len(size), 1.2)
    axes.set_xticks([0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0])
    axes.set_xlim(0.5, 1.1 * float(grid[-1]))
    _plain(axes)
    axes.legend(loc="lower left")


def _plot_memory(axes: Axes, returns: NDArray[Any]) -> None:
    axes.set_xlabel("lag (samples)")
    axes.set_ylabel("autocorrelation")
    n_lags = min(_N_LAGS, len(returns) // 4)
    if n_lags < 2:
        _say(axes, "too few returns")
        return
    lags = np.arange(1, n_lags + 1)
    band = 2.0 / math.sqrt(len(returns))
    axes.axhspan(-band, band, color=FAINT, alpha=0.2, lw=0, label="no memory, 95 %")
    axes.plot(
        lags, autocorrelation(returns, n_lags), color=PALETTE[2], ls=DASHES[1], marker="s", ms=3,
        lw=1.0, label="returns",
    )  # fmt: skip
    axes.plot(
        lags, autocorrelation(np.abs(returns), n_lags), color=PALETTE[0], marker="o", ms=3, lw=1.4,
        label="absolute returns",
    )  # fmt: skip
    axes.legend(loc="upper right")


def _plot_clusters(
    axes: Axes, times: NDArray[np.float64], tables: Mapping[str, pd.DataFrame], setting: Setting
) -> None:
    """Draw the variance over the mean of counts of liquidations, by the length of the window."""
    axes.set_xlabel("window (min)")
    axes.set_ylabel("variance / mean of liquidations")
    end = max((float(f["time"].max()) for f in tables.values() if len(f)), default=0.0)
    found = [(w, fano_factor(times, setting.warmup, end, w)) for w in _WINDOWS]
    known = [(w / MINUTE, fano) for w, fano in found if fano > 0.0]
    if not known:
        _say(axes, "nobody was liquidated" if not len(times) else "too short a run")
        return
    axes.plot(*zip(*known, strict=True), color=PALETTE[0], marker="o", lw=1.6, label="liquidations")
    axes.axhline(1.0, color=INK, lw=1.2, label="Poisson")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([window / MINUTE for window in _WINDOWS])
    _plain(axes)
    axes.legend(loc="best")


def _list_facts(axes: Axes, facts: pd.DataFrame) -> None:
    """Write every fact with its value, its band and whether it holds."""
    axes.set_axis_off()
    step = 1.0 / (len(facts) + 1)
    for k, fact in enumerate(facts.itertuples()):
        holds, value = fact.holds, float(str(fact.value))
        is_known = holds is not None
        mark, color, _ = _MARKS[bool(holds)] if is_known else ("–", FAINT, "")
        at = 1.0 - (k + 0.5) * step
        words = str(fact.Index).replace("_", " ")
        axes.text(0.0, at, mark, color=color, fontsize=8, va="center", transform=axes.transAxes)
        axes.text(0.05, at, words, fontsize=7.5, va="center", transform=axes.transAxes)
        text = f"{value:.3g}" if is_known else "no data"
        axes.text(0.68, at, text, fontsize=7.5, va="center", ha="right", transform=axes.transAxes)
        band = _band(float(str(fact.low)), float(str(fact.high)))
        axes.text(0.72, at, band, fontsize=7.5, va="center", color=FAINT, transform=axes.transAxes)
    axes.text(
        0.0, 0.0, "● in the band  ○ outside  – no data", fontsize=7.5, color=FAINT, va="bottom",
        transform=axes.transAxes,
    )  # fmt: skip


def _band(low: float, high: float) -> str:
    if math.isinf(low):
        return f"at most {high:g}"
    return f"at least {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"


def _plain(axes: Axes) -> None:
    """Write the ticks of two logarithmic axes as plain numbers."""
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    plain_axis(axes)


def _say(axes: Axes, words: str) -> None:
    axes.text(0.5, 0.5, words, ha="center", va="center", color=FAINT, transform=axes.transAxes)
