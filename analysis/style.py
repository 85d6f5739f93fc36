"""How figures look: palette, line styles and markers, size, time axis, legends, units.

Colors are the first six of matplotlib's `petroff10` (Petroff 2021), which stay apart under the
three color blindnesses. Their greys do not, so each also has a line style and a marker of its own.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.style import library
from matplotlib.ticker import FuncFormatter, MultipleLocator, NullFormatter

from sim.units import HOUR

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from analysis.setting import Setting

PALETTE: tuple[str, ...] = tuple(library["petroff10"]["axes.prop_cycle"].by_key()["color"][:6])
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), "-.", (0, (8, 2, 1, 2, 1, 2)), ":")
MARKERS = ("o", "s", "^", "D", "v", "P")
INK = "#2b2b33"  # the reference, totals, labels
FAINT = "#8a8d93"  # shocks, notes
WIDTH, HEIGHT = 9.0, 4.8  # inches
DPI = 120
_NOTE = 0.08  # width of a short note beside a mark, as a share of the time axis
_COMPRESSION = 2  # of 9: more takes twice the time for one percent of the size


class Look(NamedTuple):
    """Color, line style and marker of one name."""

    color: str
    dashes: Any
    marker: str


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return a look for each name, in the given order; the seventh looks like the first."""
    return {
        name: Look(PALETTE[k % 6], DASHES[k % 6], MARKERS[k % 6]) for k, name in enumerate(names)
    }


@contextmanager
def styled() -> Iterator[None]:
    """Give the settings with which figures are made and saved; also a decorator: `@styled()`."""
    settings: Any = {
        **sns.axes_style("ticks"),
        "axes.edgecolor": FAINT,
        "axes.grid": True,
        "axes.labelcolor": INK,
        "axes.labelsize": 9.5,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 11.5,
        "axes.titleweight": "bold",
        "font.sans-serif": ["DejaVu Sans"],
        "grid.color": "#e6e7ea",
        "grid.linewidth": 0.7,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
        "text.color": INK,
        "text.parse_math": False,  # a dollar is a dollar
        "xtick.color": INK,
        "xtick.labelsize": 8.5,
        "ytick.color": INK,
        "ytick.labelsize": 8.5,
    }
    with mpl.rc_context(settings):
        yield


def make_figure(height: float = HEIGHT, width: float = WIDTH) -> Figure:
    """Return an empty figure that is laid out by constraints, without any display; inches."""
    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG. `savefig` draws twice where a layout is to be made; this draws once.

    Parameters
    ----------
    figure : from `make_figure`; its layout is fixed from then on
    path : of the picture
    """
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    if (layout := figure.get_layout_engine()) is not None:
        layout.execute(figure)
        figure.set_layout_engine("none")
    options = {"compress_level": _COMPRESSION}
    canvas.print_png(path, pil_kwargs=options)  # type: ignore[no-untyped-call] # theirs has none


def time_axes(panels: Any, setting: Setting, start: float, end: float) -> None:
    """Label the time axis of panels in hours, shade the warm-up and mark the shocks.

    Parameters
    ----------
    panels : Axes from top to bottom, with lines drawn over hours
    setting : names warm-up and shocks
    start, end : seconds, from and to; the horizon counts where it is later
    """
    end = max(end, setting.horizon, start + 1e-6)
    first, last = start / HOUR, end / HOUR
    panels = np.ravel(panels)
    for axes in panels:
        axes.set_xlim(first, last)
        axes.xaxis.set_major_locator(MultipleLocator(_hour_step(last - first)))
        if setting.warmup > start:
            axes.axvspan(first, setting.warmup / HOUR, color=FAINT, alpha=0.15, lw=0, zorder=0)
        for time, _ in setting.shocks:
            if start <= time <= end:
                axes.axvline(time / HOUR, color=FAINT, lw=1.0, dashes=(4, 3), zorder=1)
    panels[-1].set_xlabel("time since the start (h)")
    notes = _spaced(setting, first, last)
    if setting.warmup > start:
        is_free = not notes or notes[0][0] - first > _NOTE * (last - first)
        _note(panels[0], first, "warm-up", "left" if is_free else "right")
    for hour, words in notes:
        _note(panels[0], hour, words, "left" if hour < first + 0.85 * (last - first) else "right")


def _hour_step(hours: float) -> float:
    steps = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 720)
    return next((step for step in steps if hours / step <= 9.0), 2_160.0)


def _spaced(setting: Setting, first: float, last: float) -> list[tuple[float, str]]:
    """Return the hours and words of shocks; words too near to a note join it."""
    marks: list[tuple[float, list[str]]] = []
    for time, words in setting.shocks:
        hour = time / HOUR
        if not first <= hour <= last:
            continue
        if marks and hour - marks[-1][0] < 2 * _NOTE * (last - first):
            marks[-1][1].append(words)
        else:
            marks.append((hour, [words]))
    return [(hour, ", ".join(dict.fromkeys(words))) for hour, words in marks]


def _note(axes: Axes, hour: float, words: str, side: str) -> None:
    """Write beside a mark, above the plot's upper edge, where no data are."""
    axes.annotate(
        words, (hour, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 2),
        textcoords="offset points", ha=side, va="bottom", fontsize=7.5, color=FAINT,
    )  # fmt: skip


def hours(seconds: Any) -> NDArray[np.float64]:
    """Return hours of seconds."""
    return np.asarray(seconds, float) / HOUR


def legend_right(axes: Axes, title: str | None = None, source: Axes | None = None) -> None:
    """Put the legend beside the plot, where it covers no data; nothing when there is no label.

    `source` gives lines and labels where they are in another panel.
    """
    handles, labels = (source or axes).get_legend_handles_labels()
    if handles:
        shown = dict(zip(labels, handles, strict=True))
        axes.legend(
            list(shown.values()), list(shown), title=title, loc="upper left",
            bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, alignment="left",
        )  # fmt: skip


def title(axes: Axes, text: str) -> None:
    """Write what is seen above the plot, clear of the notes at its upper edge."""
    axes.set_title(text, loc="left", pad=16)


def money(amount: float) -> str:
    """Return USD in four digits or so: $940, $12.4k, -$3.1m, $2.0bn."""
    sign, size = "-" if amount < 0.0 else "", abs(amount)
    for unit, suffix in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if size >= unit:
            return f"{sign}${size / unit:,.1f}{suffix}"
    digits = f"{size:,.0f}"
    return f"${digits}" if digits == "0" else f"{sign}${digits}"


def money_axis(axes: Axes) -> None:
    """Write the ticks of the vertical axis as money."""

    def tick(amount: float, _: int) -> str:
        return money(amount).replace(".0", "")

    axes.yaxis.set_major_formatter(FuncFormatter(tick))
    axes.yaxis.set_minor_formatter(NullFormatter())  # logarithmic axes label them, in formulas


def plain_axis(axes: Axes) -> None:
    """Write the ticks of a logarithmic vertical axis as plain numbers."""
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
