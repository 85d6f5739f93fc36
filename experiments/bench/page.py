"""The benchmark as a table: on the screen, and as the page of the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from experiments.bench.rows import Row, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MET = {True: "yes", False: "**no**", None: ""}

_HEAD = """# Benchmarks

Written by `undertow bench --write docs/benchmarks.md`; not by hand. How to read it:

* Times of one thread are processor time, so that others on the machine disturb them least; starts,
  threads and whole runs are wall time. Two things are compared in turn within one process; a ratio
  is the median over pairs.
* *Work* says what was done while the time was taken. A number without its work says nothing.
* A target is met or not on this machine; absolute times differ between machines, ratios little.
* `undertow bench --quick` takes less than three minutes; `--only SECTION` runs one section;
  `--json` prints the rows; `--peers` also installs and measures other packages.

"""


def _work_of(row: Row) -> str:
    return ", ".join(f"{name} {shown(count)}" for name, count in row.work.items())


def as_markdown(machine: Mapping[str, str], sections: Mapping[str, Sequence[Row]]) -> str:
    """Return the page: the machine, then a table for each section."""
    lines = [_HEAD, "## Machine\n", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in machine.items()]
    for title, rows in sections.items():
        lines += [f"\n## {title}\n", "| what | value | target | met | work | how |"]
        lines += ["|---|---|---|---|---|---|"]
        lines += [_line(row) for row in rows]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    cells = [
        row.name,
        f"{shown(row.value)} {row.unit}".strip(),
        "" if row.target is None else str(row.target),
        _MET[row.met],
        _work_of(row),
        row.note,
    ]
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def as_table(sections: Mapping[str, Sequence[Row]]) -> Table:
    """Return the table for the screen: without the work, which `--json` tells."""
    table = Table("what", "value", "target", "met", box=None, pad_edge=False)
    for title, rows in sections.items():
        table.add_section()
        table.add_row(title.upper())
        for row in rows:
            met = "" if row.met is None else "yes" if row.met else "NO"
            target = "" if row.target is None else str(row.target)
            table.add_row(row.name, f"{shown(row.value)} {row.unit}".strip(), target, met)
    return table
