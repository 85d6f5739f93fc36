"""The verdict figure: the plane of two levers, colored by what was decided there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Rectangle

from analysis.style import DPI, make_figure, styled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

_ORDER = ("FAIL", "UNDECIDED", "PASS")
_COLORS = {
    "PASS": "#009E73",
    "UNDECIDED": "#E9E4D0",
    "FAIL": "#D55E00",
}  # told apart by the color-blind
_MARKS = {"PASS": "pass", "UNDECIDED": "?", "FAIL": "fail"}
_MAX_PANELS = 12


@styled()
def draw_verdicts(table: pd.DataFrame, levers: Sequence[str], path: Path) -> None:
    """Draw the verdict of all requirements together over the first two levers, as PNG.

    Parameters
    ----------
    table : one row a setting and requirement, with the levers' values and `verdict`
    levers : names of the levers; further ones than two make panels, 12 at most
    path : of the picture
    """
    plot_verdicts(table, levers)[0].figure.savefig(path, dpi=DPI)


@styled()
def plot_verdicts(table: pd.DataFrame, levers: Sequence[str]) -> list[Any]:
    """Plot the verdict of all requirements together over the first two levers; returns the panels.

    Parameters
    ----------
    table, levers : as in `draw_verdicts`
    """
    worst = _worst(table, levers)
    others = list(levers[2:])
    groups = list(worst.groupby(others, sort=False)) if others else [((), worst)]
    groups = groups[:_MAX_PANELS]
    n_columns = min(len(groups), 4)
    n_rows = -(-len(groups) // n_columns)
    figure = make_figure(3.2 * n_rows + 0.8, 3.6 * n_columns + 1.0)
    panels = []
    for k, (values, part) in enumerate(groups):
        axes = figure.add_subplot(n_rows, n_columns, k + 1)
        plot_plane(part, levers, axes)
        names = values if isinstance(values, tuple) else (values,)
        axes.set_title(", ".join(f"{o} = {v}" for o, v in zip(others, names, strict=False)))
        panels.append(axes)
    return panels


def _worst(table: pd.DataFrame, levers: Sequence[str]) -> pd.DataFrame:
    """Return the verdict of all requirements together at each setting."""
    rank = table.assign(rank=table["verdict"].map(_ORDER.index))
    worst = rank.groupby(list(levers), sort=False)["rank"].min().reset_index()
    return worst.assign(verdict=[_ORDER[k] for k in worst["rank"]])


def plot_plane(table: pd.DataFrame, levers: Sequence[str], axes: Any) -> Any:
    """Plot one panel: a cell for each setting, its verdict as color and word; returns the axes."""
    x = levers[0]
    xs = sorted(table[x].unique(), key=rank_of)
    ys = sorted(table[levers[1]].unique(), key=rank_of) if len(levers) > 1 else [0]
    grid = np.full((len(ys), len(xs)), -1)
    for _, row in table.iterrows():
        place = ys.index(row[levers[1]]) if len(levers) > 1 else 0
        grid[place, xs.index(row[x])] = _ORDER.index(row["verdict"])
    for (j, i), rank in np.ndenumerate(grid):
        if rank >= 0:
            verdict = _ORDER[rank]
            cell = Rectangle((i - 0.5, j - 0.5), 1, 1, facecolor=_COLORS[verdict], edgecolor="w")
            axes.add_patch(cell)
            axes.text(i, j, _MARKS[verdict], ha="center", va="center", fontsize=8)
    draw_frontier(grid == _ORDER.index("PASS"), grid >= 0, axes)
    axes.set(xlim=(-0.5, len(xs) - 0.5), ylim=(-0.5, len(ys) - 0.5), xlabel=x)
    axes.set_xticks(range(len(xs)), [short(v) for v in xs])
    axes.set_yticks(range(len(ys)), [short(v) for v in ys] if len(levers) > 1 else [""])
    axes.set_ylabel(levers[1] if len(levers) > 1 else "")
    axes.grid(visible=False)
    return axes


def draw_frontier(
    passes: np.ndarray, known: np.ndarray, axes: Any, color: str = "k", width: float = 2.5
) -> None:
    """Draw a line between cells that pass and neighbors that do not.

    Parameters
    ----------
    passes : bool, (n_rows, n_columns)
    known : bool, same shape; cells with a verdict
    axes : of the plane, a cell a unit
    color, width : of the line
    """
    for j, i in zip(*np.nonzero(passes), strict=True):
        for dj, di, line in (
            (0, 1, ((i + 0.5, i + 0.5), (j - 0.5, j + 0.5))),
            (0, -1, ((i - 0.5, i - 0.5), (j - 0.5, j + 0.5))),
            (1, 0, ((i - 0.5, i + 0.5), (j + 0.5, j + 0.5))),
            (-1, 0, ((i - 0.5, i + 0.5), (j - 0.5, j - 0.5))),
        ):
            near = (j + dj, i + di)
            is_inside = 0 <= near[0] < known.shape[0] and 0 <= near[1] < known.shape[1]
            if is_inside and known[near] and not passes[near]:
                axes.plot(*line, color=color, lw=width, solid_capstyle="round")


def rank_of(value: Any) -> tuple[int, float, str]:
    """Return by what a value of a lever is ordered: numbers first."""
    is_number = isinstance(value, int | float | np.number)
    return (0, float(value), "") if is_number else (1, 0.0, str(value))


def short(value: Any) -> str:
    """Return a value of a lever in few letters."""
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
