"""What liquidity providers made, as a distribution: against holding, and in dollars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.style import FAINT, legend_right, looks, make_figure, styled, title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_MOST = 6  # populations drawn: as many as there are looks
_PANELS = (
    ("lp_return", "return beyond holding (%)"),
    ("usd_return", "return in USD (%)"),
)
_OUTER = 0.005  # share of the providers left out on each side of the axis


@styled()
def plot_lp_outcomes(outcomes: pd.DataFrame, figure: Figure | None = None) -> NDArray[np.object_]:
    """Plot the share of the liquidity providers who made at most so much.

    Parameters
    ----------
    outcomes : from `analysis.microstructure.lp_outcomes`
    figure : where to draw; a new one when left out

    Returns
    -------
    two panels: beyond holding what they had, in USD; one line a population
    """
    counts = outcomes["population"].value_counts()
    figure = figure or make_figure(4.0)
    panels = figure.subplots(1, 2, sharey=True)
    look = looks(counts.index[:_MOST])
    for axes, (column, label) in zip(panels, _PANELS, strict=True):
        for name, one in look.items():
            made = np.sort(100.0 * outcomes[column][outcomes["population"] == name].to_numpy(float))
            share = np.arange(1, len(made) + 1) / len(made)
            axes.step(made, share, where="post", color=one.color, ls=one.dashes, lw=1.7, label=name)
        axes.axvline(0.0, color=FAINT, lw=1.0)
        seen = 100.0 * np.quantile(outcomes[column].to_numpy(float), (_OUTER, 1.0 - _OUTER))
        low, high = min(float(seen[0]), 0.0), max(float(seen[1]), 0.0)
        room = 0.05 * (high - low) or 1.0
        axes.set_xlim(low - room, high + room)
        axes.set_xlabel(label)
    panels[0].set_ylabel("share of the providers")
    panels[0].set_ylim(0.0, 1.0)
    legend_right(panels[1])
    below = float((outcomes["lp_return"] < 0.0).mean())
    middle = 100.0 * float(outcomes["lp_return"].median())
    title(
        panels[0],
        f"{below:.0%} of {len(outcomes):,} liquidity providers made less than holding; the median "
        f"{middle:+.2f} %",
    )
    return np.asarray(panels)
