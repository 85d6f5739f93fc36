"""What a page is made of: text, facts, figures, tables, commands. Plain data; nothing is escaped.

Everything here is text that somebody may have chosen (names of scenarios, messages of errors); the
template escapes all of it.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.style import save, styled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import pandas as pd
    from matplotlib.axes import Axes


_SHORT = 26  # letters that a cell keeps in one line
_SMALLEST = 1e-6  # below, numbers are written with an exponent


@dataclass(frozen=True)
class Prose:
    """Sentences: paragraphs, or the points of a list."""

    lines: Sequence[str]
    is_list: bool = False
    kind: str = "prose"


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str
    kind: str = "heading"


@dataclass(frozen=True)
class Note:
    """A remark about what is shown, set apart from it."""

    text: str
    kind: str = "note"


@dataclass(frozen=True)
class Fact:
    """One number that a reader should see first."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Facts:
    """The numbers that a reader should see first."""

    facts: Sequence[Fact]
    kind: str = "facts"


@dataclass(frozen=True)
class Picture:
    """A figure: a PNG, the words that stand for it, and how to read it."""

    png: bytes
    alternative: str
    caption: str
    kind: str = "picture"

    @property
    def source(self) -> str:
        """Return the picture as a data URL."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Commands:
    """Lines for a shell."""

    lines: Sequence[str]
    kind: str = "commands"


@dataclass(frozen=True)
class Cell:
    """What a table shows at a place, and by what it sorts: a number where it is one."""

    text: str
    value: float | int | str | None = None

    @property
    def is_number(self) -> bool:
        """Return whether it sorts as a number."""
        return isinstance(self.value, int | float)

    @property
    def is_short(self) -> bool:
        """Return whether it is kept in one line."""
        return len(self.text) <= _SHORT

    @property
    def sort_value(self) -> str:
        """Return the exact value, as text that reads back as the same number."""
        return self.text if self.value is None else repr(self.value).strip("'\"")


@dataclass(frozen=True)
class Table:
    """A table that sorts by every column.

    Attributes
    ----------
    name : unlike that of every other table of the page
    caption : what the rows are
    columns : headings, with the unit where there is one
    rows : cells, as many as there are columns
    is_folded : shown only when it is opened, and not printed
    """

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    is_folded: bool = False
    kind: str = "table"

    @property
    def is_numeric(self) -> list[bool]:
        """Whether each column holds numbers, a number at least."""
        return [any(row[k].is_number for row in self.rows) for k in range(len(self.columns))]


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading of its own."""

    name: str
    title: str
    blocks: Sequence[Any]


@dataclass(frozen=True)
class Page:
    """A whole page.

    Attributes
    ----------
    title, subtitle : of what it reports
    sections : from top to bottom
    """

    title: str
    subtitle: str
    sections: Sequence[Section] = field(default_factory=list)


def picture(draw: Callable[[], Any], caption: str) -> Picture | None:
    """Draw a figure into memory; None where it has no data.

    Parameters
    ----------
    draw : returns the Axes, or nothing
    caption : how to read it; its title, which says what is seen, stands for it where it is not seen
    """
    with styled():
        axes = draw()
        if axes is None:
            return None
        panels: list[Axes] = list(np.ravel(axes))
        file = io.BytesIO()
        save(panels[0].figure, file)  # type: ignore[arg-type] # never a part of a figure here
    seen = next((text for panel in panels if (text := panel.get_title(loc="left"))), "")
    return Picture(file.getvalue(), f"{seen}. {caption}" if seen else caption, caption)


def number(value: Any, digits: int = 4) -> Cell:
    """Return the cell of a number in a few digits; a dash where there is none."""
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return Cell("–", "")
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return Cell(str(value))
    exact = value.item() if isinstance(value, np.number) else value
    return Cell(_digits(exact, digits).replace("-", "−"), exact)


def _digits(exact: float, digits: int) -> str:
    if isinstance(exact, int):
        return f"{exact:,}"
    if not math.isfinite(exact):
        return "never" if exact > 0 else str(exact)
    size = abs(exact)
    if size >= 10 ** (digits - 1) or exact == 0.0:
        return f"{exact:,.0f}"
    if size < _SMALLEST:
        return f"{exact:.{digits - 1}g}"
    return f"{exact:,.{max(digits - 1 - math.floor(math.log10(size)), 0)}f}"


def usd(value: Any) -> Cell:
    """Return the cell of an amount of USD: whole dollars from a hundred on, else cents."""
    if value is None or not math.isfinite(value):
        return Cell("–", "")
    exact = float(value)
    if abs(exact) < 0.005:
        return Cell("0", exact)
    return Cell(f"{exact:,.{0 if abs(exact) >= 100.0 else 2}f}".replace("-", "−"), exact)


def setting(value: Any) -> Cell:
    """Return the cell of a value of a lever, in as few digits as it was given in."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return Cell(str(value))
    exact = value.item() if isinstance(value, np.number) else value
    return Cell(f"{exact:.6g}".replace("-", "−"), exact)


def table_of(
    name: str,
    caption: str,
    frame: pd.DataFrame,
    columns: dict[str, str],
    **shown: Collection[str],
) -> Table:
    """Return the table of some columns of a frame.

    Parameters
    ----------
    name, caption : as in `Table`
    frame : one row a row
    columns : heading of each column, by its name in the frame
    shown : columns that are shown by a function of their own, `usd`, `share` (of fractions, in
        percent) or `setting`; by `number` when not named
    """
    how = {column: _SHOWN[kind] for kind, names in shown.items() for column in names}
    rows = [
        [how.get(key, number)(row[key]) for key in columns]
        for row in frame[list(columns)].to_dict("records")
    ]
    return Table(name, caption, list(columns.values()), rows)


def share(value: Any) -> Cell:
    """Return the cell of a fraction, in percent; it sorts by, and holds, the fraction."""
    if value is None or not math.isfinite(value):
        return Cell("–", "")
    return Cell(f"{number(100.0 * float(value)).text} %", float(value))


_SHOWN: dict[str, Callable[[Any], Cell]] = {"usd": usd, "share": share, "setting": setting}
