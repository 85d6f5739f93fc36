"""The cascades of a run, largest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.cascades import MEASURES, cascades, measures, stories
from analysis.report.blocks import Cell, Prose, Section, Table, number, table_of
from analysis.report.markets import figures_of
from analysis.report.source import LeftOut
from analysis.report.wording import plain_words

if TYPE_CHECKING:
    from analysis.report.source import RunSource

_TITLE = "Cascades"
_STORIES, _ROWS = 10, 25
_COLUMNS = {
    "start": "start (s)",
    "end": "end (s)",
    "duration": "duration (s)",
    "debt_usd": "debt liquidated (USD)",
    "exogenous_usd": "of it by exogenous causes (USD)",
    "endogenous_usd": "by other liquidations (USD)",
    "fundamental_usd": "unsafe at fundamental prices too (USD)",
    "n_liquidations": "liquidations",
    "n_waves": "waves",
    "n_participants": "participants",
    "n_chains": "chains reached",
}


def _whole(value: float) -> Cell:
    """Return the cell of a measure; counts are whole numbers, however they are stored."""
    return number(int(value) if float(value).is_integer() else value)


def make_section(source: RunSource) -> Section | LeftOut:
    """Return the largest cascades as stories, their measures and a table of them."""
    if source.table("liquidations").empty:
        return LeftOut(_TITLE, "nobody was liquidated")
    folder = source.run.folder
    table = cascades(folder).head(_ROWS)
    rows = [
        [Cell(MEASURES.get(name, plain_words(name))), _whole(value)]
        for name, value in measures(folder).items()
    ]
    columns = {str(name): _COLUMNS.get(str(name), plain_words(name)) for name in table.columns}
    money = [name for name in columns if name.endswith("_usd")]
    return Section(
        "cascades",
        _TITLE,
        [
            Prose(stories(folder, n=_STORIES)),
            *figures_of(source, "cascade_timeline", "cascade_tree"),
            Table("cascade-measures", "Measures of all cascades", ("measure", "value"), rows),
            table_of("cascades-table", "The largest cascades", table, columns, usd=money),
        ],
    )
