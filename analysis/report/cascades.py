"""The cascades of a run, largest first."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from analysis.report.blocks import Cell, Prose, Section, Table, number, table_of
from analysis.report.source import LeftOut
from analysis.report.wording import plain_words

if TYPE_CHECKING:
    from analysis.report.source import RunSource

_TITLE = "Cascades"
_STORIES, _ROWS = 10, 25


def make_section(source: RunSource) -> Section | LeftOut:
    """Return the largest cascades as stories, their measures and a table of them."""
    if find_spec("analysis.cascades") is None:
        return LeftOut(_TITLE, "this version has no analysis of cascades")
    if source.table("liquidations").empty:
        return LeftOut(_TITLE, "nobody was liquidated")
    found = import_module("analysis.cascades.cascades")
    folder = source.run.folder
    table = found.cascades(folder)
    measures = [[Cell(plain_words(k)), number(v)] for k, v in found.measures(folder).items()]
    columns = {str(name): plain_words(name) for name in table.columns}
    return Section(
        "cascades",
        _TITLE,
        [
            Prose(found.stories(folder, n=_STORIES), is_list=True),
            Table("cascade-measures", "Measures of all cascades", ("measure", "value"), measures),
            table_of("cascades-table", "The largest cascades", table.head(_ROWS), columns),
        ],
    )
