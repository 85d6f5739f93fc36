"""The body of `undertow cascades`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.table import Table

from analysis.cascade_stories import clock
from analysis.cascades import MEASURES, find_cascades, measure, tell
from analysis.reading import load_run
from analysis.setting import setting_of
from experiments.console import console_of, say

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

_MOST_ROWS = 20


def print_cascades(folder: Path, n_stories: int) -> None:
    """Print what the cascades of a run folder add up to, the largest ones, and their stories.

    Raises
    ------
    analysis.reading.RunFolderError
        The folder is not a whole run.
    """
    run = load_run(folder)
    found = find_cascades(run.frames)
    if not len(found.table):
        say("nobody was liquidated")
        return
    console = console_of()
    measures = Table(box=None, show_header=False)
    measures.add_column()
    measures.add_column(justify="right")
    for name, value in measure(found, run.frames, setting_of(run.manifest).assets).items():
        if not math.isnan(value):
            measures.add_row(MEASURES[name], f"{value:,.0f}" if value >= 1e3 else f"{value:,.4g}")
    console.print(measures)
    say("")
    console.print(_largest(found.table.head(_MOST_ROWS)))
    for story in tell(found, run.frames, n_stories):
        say(f"\n{story}")


def _largest(table: pd.DataFrame) -> Table:
    shown = Table(box=None)
    for name in ("cascade", "start", "minutes", "liquidations", "waves", "depth", "USD"):
        shown.add_column(name, justify="right")
    shown.add_column("by others", justify="right")
    shown.add_column("participants", justify="right")
    shown.add_column("chains")
    for number, row in table.iterrows():
        shown.add_row(
            str(number),
            clock(float(row["start"])),
            f"{float(row['duration']) / 60.0:,.0f}",
            f"{int(row['n_liquidations']):,}",
            f"{int(row['n_waves']):,}",
            str(int(row["depth"])),
            f"{float(row['debt_usd']):,.0f}",
            f"{float(row['endogenous_usd']) / max(float(row['debt_usd']), 1e-300):.1%}",
            f"{int(row['n_participants']):,}",
            str(row["chains"]),
        )
    return shown
