"""Who gained and who lost: trading gains by class of participants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.style import INK, PALETTE, make_figure, money, styled, title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST = 5e-4  # of the largest gain or loss; smaller ones are not drawn


@styled()
def plot_gains(gains: pd.Series[float], figure: Figure | None = None) -> Axes:
    """Plot trading gains as bars, losses to the left; they add up to zero.

    Parameters
    ----------
    gains : float64, (n_classes,), USD, by class
    figure : where to draw; a new one when left out

    Returns
    -------
    the panel
    """
    shown = gains[gains.abs() > _LEAST * gains.abs().max()].sort_values(ascending=False)
    figure = figure or make_figure(1.2 + 0.34 * len(shown))
    axes: Axes = figure.subplots()
    colors = [PALETTE[0] if value > 0.0 else PALETTE[2] for value in shown]
    bars = axes.barh(list(shown.index.astype(str)), shown, color=colors, height=0.68)
    for bar, value in zip(bars, shown, strict=True):
        hatch = "" if value > 0.0 else "///"
        bar.set(hatch=hatch, edgecolor="white", linewidth=0.0)
    labels = [f" {_signed(value)} " for value in shown]
    axes.bar_label(bars, labels, fontsize=8.5, color=INK)
    axes.axvline(0.0, color=INK, lw=0.8)
    axes.margins(x=0.16)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda amount, _: _signed(amount)))
    axes.set_xlabel("trading gain (USD)")
    title(axes, _headline(shown))
    return axes


def _signed(amount: float) -> str:
    words = money(abs(amount)).replace(".0", "")
    return words if words == "$0" else f"{'+' if amount > 0.0 else '−'}{words}"


def _headline(shown: pd.Series[float]) -> str:
    best, worst = str(shown.index[0]), str(shown.index[-1])
    lost, gained = money(-float(shown.iloc[-1])), money(float(shown.iloc[0]))
    return f"{worst[:1].upper()}{worst[1:]} lost {lost}; {best} gained {gained}"
