"""Every quantity of the summary with its value, unit and meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.metrics import QUANTITIES
from analysis.report.blocks import Cell, Prose, Section, Table, number, share, usd
from analysis.report.wording import listed

if TYPE_CHECKING:
    from analysis.report.source import RunSource

_COLUMNS = ("quantity", "value", "unit", "what it is")
_SHOWN = {"fraction": share, "USD": usd}


def make_section(source: RunSource) -> Section:
    """Return all numbers of `summary.json` that are not parts of others."""
    rows, missing = [], []
    for name, quantity in QUANTITIES.items():
        value = source.summary.get(name)
        if value is None:
            missing.append(name)
            continue
        unit = "" if quantity.unit in ("-", "fraction") else quantity.unit
        cell = _SHOWN.get(quantity.unit, number)(value)
        rows.append([Cell(name), cell, Cell(unit), Cell(quantity.meaning)])
    blocks = [
        Prose(["The names are those of summary.json; docs/definitions.md defines each of them."]),
        Table("quantities-table", "All quantities of the run", _COLUMNS, rows),
    ]
    if missing:
        absent = f"Without a value in this run: {listed(missing)}."
        blocks.append(Prose([absent]))
    return Section("quantities", "All quantities", blocks)
