"""Outcomes of a study over its levers: heat maps with the frontier of what passes, or lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FuncFormatter

from analysis.figures.verdicts import draw_frontier, rank_of, short
from analysis.style import FAINT, INK, PALETTE, make_figure, styled, title

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_MOST_CELLS = 16  # values of a lever up to which cells are drawn; beyond, the runs are points
_MOST_PANELS = 6
_LABELED = 60  # cells up to which each shows its value
_DARK = 0.56  # share of the color scale below which white reads better
_LOW, _HIGH = 0.05, 0.95  # quantiles of the band around a mean


@styled()
def plot_outcomes(
    rows: pd.DataFrame,
    levers: Sequence[str],
    outcome: str,
    unit: str = "",
    passing: pd.DataFrame | None = None,
    figure: Figure | None = None,
) -> Any:
    """Plot an outcome over the levers of a study.

    Two levers span a plane whose cells show the mean of the runs; further ones make panels. Of one
    lever the mean is a line and a band holds 90 % of the runs; without any, the runs are a
    histogram. Levers with many values are points.

    Parameters
    ----------
    rows : data set of a study, runs that ended
    levers : names of the levers
    outcome : name of the outcome
    unit : of the outcome; `fraction` is shown in percent
    passing : the levers' values and `passes` (bool) at settings that a verdict was given on
    figure : where to draw; a new one when left out

    Returns
    -------
    the panels; None where no run has a value
    """
    shown = rows[rows[outcome].notna()]
    if shown.empty:
        return None
    scale = 100.0 if unit == "fraction" else 1.0
    words = f"{outcome} ({'%' if unit == 'fraction' else unit})" if unit.strip("-") else outcome
    shown = shown.assign(**{outcome: shown[outcome].astype(float) * scale})
    if not levers:
        return _plot_histogram(shown[outcome], words, figure or make_figure())
    if len(levers) == 1:
        return _plot_line(shown, levers[0], outcome, words, figure or make_figure())
    return _plot_planes(shown, levers, outcome, words, passing, figure)


def _plot_histogram(values: pd.Series[float], words: str, figure: Figure) -> Axes:
    axes: Axes = figure.subplots()
    axes.hist(values.to_numpy(float), bins=min(40, max(len(values) // 4, 5)), color=PALETTE[0])
    axes.axvline(float(values.mean()), color=INK, lw=1.5)
    axes.set(xlabel=words, ylabel="runs")
    title(axes, f"Mean {values.mean():,.4g} over {len(values):,} runs")
    return axes


def _plot_line(rows: pd.DataFrame, lever: str, outcome: str, words: str, figure: Figure) -> Axes:
    axes: Axes = figure.subplots()
    groups = dict(tuple(rows.groupby(lever)[outcome]))
    values = sorted(groups, key=rank_of)
    is_number = all(isinstance(value, int | float | np.number) for value in values)
    at: list[Any] = values if is_number else list(range(len(values)))
    mean = [groups[value].mean() for value in values]
    low, high = ([groups[value].quantile(q) for value in values] for q in (_LOW, _HIGH))
    axes.fill_between(at, low, high, color=PALETTE[0], alpha=0.25, lw=0, label="90 % of runs")
    axes.plot(at, mean, color=PALETTE[0], marker="o", ms=4, label="mean")
    if not is_number:
        axes.set_xticks(at, [short(value) for value in values])
    axes.set(xlabel=lever, ylabel=words)
    axes.legend()
    best, worst = values[int(np.argmax(mean))], values[int(np.argmin(mean))]
    title(
        axes,
        f"Mean {outcome}: highest at {lever} = {short(best)}, lowest at {short(worst)}",
    )
    return axes


def _plot_planes(
    rows: pd.DataFrame,
    levers: Sequence[str],
    outcome: str,
    words: str,
    passing: pd.DataFrame | None,
    figure: Figure | None,
) -> NDArray[np.object_]:
    """Plot a panel for each setting of the further levers, on one color scale."""
    others = list(levers[2:])
    groups = list(rows.groupby(others, sort=False)) if others else [((), rows)]
    groups = groups[:_MOST_PANELS]
    n_columns = min(len(groups), 3)
    n_rows = -(-len(groups) // n_columns)
    depth = min(max(0.6 * rows[levers[1]].nunique(), 1.6), 3.4)  # inches of a panel
    figure = figure or make_figure(n_rows * (depth + 1.1), 3.4 * n_columns + 1.6 if others else 9.0)
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    means = rows.groupby(list(levers))[outcome].mean()
    limits = float(means.min()), float(means.max())
    is_cellular = all(rows[lever].nunique() <= _MOST_CELLS for lever in levers[:2])
    drawn: Any = None
    for axes, (values, part) in zip(panels, groups, strict=False):
        if is_cellular:
            inside = _matching(passing, others, values)
            drawn = _plot_cells(axes, part, levers, outcome, limits, inside)
        else:
            drawn = _plot_points(axes, part, levers, outcome, limits)
        axes.set(xlabel=levers[0], ylabel=levers[1])
        axes.grid(visible=False)
        if others:
            names = values if isinstance(values, tuple) else (values,)
            told = zip(others, names, strict=True)
            axes.set_title(", ".join(f"{name} = {short(value)}" for name, value in told))
    for axes in panels[len(groups) :]:
        axes.set_visible(False)
    ticks = FuncFormatter(lambda value, _: f"{value:,.6g}")
    bar = figure.colorbar(drawn, ax=list(panels[: len(groups)]), label=words, format=ticks)
    bar.outline.set_visible(False)
    if not others:
        title(panels[0], _headline(means, levers, outcome))
    return np.asarray(panels[: len(groups)])


def _matching(
    passing: pd.DataFrame | None, others: Sequence[str], values: Any
) -> pd.DataFrame | None:
    """Return the settings of a verdict that one panel shows."""
    if passing is None or passing.empty:
        return None
    names = values if isinstance(values, tuple) else (values,)
    for other, value in zip(others, names, strict=False):
        passing = passing[passing[other] == value]
    return passing


def _plot_cells(
    axes: Axes,
    rows: pd.DataFrame,
    levers: Sequence[str],
    outcome: str,
    limits: tuple[float, float],
    passing: pd.DataFrame | None,
) -> Any:
    x, y = levers[0], levers[1]
    xs, ys = (sorted(rows[lever].unique(), key=rank_of) for lever in (x, y))
    means = rows.groupby([x, y])[outcome].mean()
    grid = np.array([[means.get((a, b), np.nan) for a in xs] for b in ys], float)
    drawn = axes.imshow(
        np.ma.masked_invalid(grid), origin="lower", aspect="auto", cmap="viridis",
        vmin=limits[0], vmax=limits[1],
    )  # fmt: skip
    if grid.size <= _LABELED:
        _label_cells(axes, grid, limits)
    if passing is not None:
        _draw_frontier_of(axes, passing, (x, y), xs, ys)
    axes.set_xticks(range(len(xs)), [short(value) for value in xs])
    axes.set_yticks(range(len(ys)), [short(value) for value in ys])
    return drawn


def _label_cells(axes: Axes, grid: NDArray[np.float64], limits: tuple[float, float]) -> None:
    middle = limits[0] + _DARK * (limits[1] - limits[0])
    for (j, i), value in np.ndenumerate(grid):
        if np.isfinite(value):
            color = "white" if value < middle else INK
            axes.text(i, j, _label(value), ha="center", va="center", fontsize=8, color=color)


def _label(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100.0 else f"{value:.3g}"


def _draw_frontier_of(
    axes: Axes, passing: pd.DataFrame, levers: tuple[str, str], xs: list[Any], ys: list[Any]
) -> None:
    known = np.zeros((len(ys), len(xs)), bool)
    passes = np.zeros_like(known)
    for _, row in passing.iterrows():
        if row[levers[0]] in xs and row[levers[1]] in ys:
            place = ys.index(row[levers[1]]), xs.index(row[levers[0]])
            known[place], passes[place] = True, bool(row["passes"])
    draw_frontier(passes, known, axes, color="white", width=5.0)
    draw_frontier(passes, known, axes, color="#D55E00", width=2.5)


def _plot_points(
    axes: Axes,
    rows: pd.DataFrame,
    levers: Sequence[str],
    outcome: str,
    limits: tuple[float, float],
) -> Any:
    means = rows.groupby(list(levers[:2]))[outcome].mean().reset_index()
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    return axes.scatter(
        means[levers[0]], means[levers[1]], c=means[outcome], cmap="viridis",
        vmin=limits[0], vmax=limits[1], s=36, edgecolor=FAINT, linewidth=0.4,
    )  # fmt: skip


def _headline(means: pd.Series[float], levers: Sequence[str], outcome: str) -> str:
    best = means.idxmax()
    values = best if isinstance(best, tuple) else (best,)
    at = ", ".join(f"{name} = {short(value)}" for name, value in zip(levers, values, strict=True))
    return f"Mean {outcome} is highest at {at}"
