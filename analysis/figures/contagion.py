"""Figures of a contagion analysis: who bears what each channel does, and the channels compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.style import FAINT, INK, PALETTE, make_figure, money, save, styled, title

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

_MEASURES = (("solo", "alone"), ("knock_out", "knocked out"), ("shapley", "Shapley"))


def plot_heat_map(content: Mapping[str, Any], axes: Axes) -> Axes:
    """Plot the Shapley values of channels (rows) by party (columns), USD; red is a loss.

    Parameters
    ----------
    content : of `contagion.json`
    axes : drawn on
    """
    rows = content["by_party"]
    channels = list(rows)
    everybody = list(rows[channels[0]])
    parties = [p for p in everybody if any(rows[c][p] != 0.0 for c in channels)] or everybody
    values = np.array([[rows[c][p] for p in parties] for c in channels])
    most = float(np.abs(values).max(initial=0.0)) or 1.0
    axes.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
    for (j, i), value in np.ndenumerate(values):
        color = "w" if abs(value) > 0.6 * most else INK
        axes.text(i, j, money(value), ha="center", va="center", fontsize=8, color=color)
    axes.set_xticks(range(len(parties)), [p.replace("_", "\n") for p in parties])
    axes.set_yticks(range(len(channels)), channels)
    axes.set(xlabel="party; victims first, then who gains", ylabel="channel")
    axes.grid(visible=False)
    n_victims = sum(p in content["victims"] for p in parties)
    axes.axvline(n_victims - 0.5, color=INK, lw=1.5)
    title(axes, "Who bears it: Shapley value of each channel, USD lost (red) or gained (blue)")
    return axes


def plot_shares(content: Mapping[str, Any], axes: Axes) -> Axes:
    """Plot what each channel does to the victims' losses, with 95 % intervals over seeds.

    Parameters
    ----------
    content : of `contagion.json`
    axes : drawn on
    """
    rows = sorted(content["effects"], key=lambda row: row["shapley"]["mean"])
    for k, (measure, label) in enumerate(_MEASURES):
        place = np.arange(len(rows)) + 0.25 * (k - 1)
        mean = np.array([row[measure]["mean"] for row in rows])
        low, high = (
            np.array([mean[n] if row[measure][end] is None else row[measure][end]
                      for n, row in enumerate(rows)])
            for end in ("low", "high")
        )  # fmt: skip
        error = np.maximum([mean - low, high - mean], 0.0)
        axes.barh(
            place, mean, 0.23, xerr=error, label=label, color=PALETTE[k],
            error_kw={"ecolor": INK, "lw": 1.0, "capsize": 2.5},
        )  # fmt: skip
    axes.axvline(0.0, color=FAINT, lw=1.0)
    axes.set_yticks(range(len(rows)), [row["channel"] for row in rows])
    axes.set(xlabel="victims' loss through the channel (USD)", ylabel="channel")
    axes.xaxis.set_major_formatter(lambda usd, _: money(usd))
    axes.legend(loc="best")
    title(axes, f"Loss by contagion: {money(content['contagion']['mean'])}, by channel")
    return axes


FIGURES = {"contagion_shares": plot_shares, "contagion_heat_map": plot_heat_map}


def draw_contagion(content: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw the figures of an analysis as PNG; what was there is replaced.

    Parameters
    ----------
    content : of `contagion.json`
    folder : where the pictures go; made when it is missing
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    with styled():
        for name, plot in FIGURES.items():
            figure = make_figure(1.6 + 0.55 * max(len(content["channels"]), 4), 10.0)
            plot(content, figure.subplots())
            drawn.append(folder / f"{name}.png")
            save(figure, drawn[-1])
    return drawn
