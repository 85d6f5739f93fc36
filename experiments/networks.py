"""`undertow exposures` and `undertow spread`: who hangs on whom, and how far a shock came.

Only typer and the standard library are imported here, as in `experiments.cli`.
"""

# typer reads the annotations when the program runs: no `from __future__ import annotations`

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

RunArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Run folder.")]
OutOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="New folder for tables and figure; nothing when left out."),
]


def _time(text: str) -> float:
    from sim.errors import InputError
    from sim.units import parse_duration

    try:
        return parse_duration(text)
    except InputError as error:
        raise typer.BadParameter(str(error)) from None


def add_network_commands(app: typer.Typer) -> None:
    """Add both commands to the command line."""
    app.command()(exposures)
    app.command()(spread)


def exposures(
    folder: RunArgument,
    time: Annotated[
        float | None,
        typer.Option(
            parser=_time, metavar="DURATION", help="Time of the run, e.g. 12h; the end if left out."
        ),
    ] = None,
    largest: Annotated[int, typer.Option(min=1, metavar="N", help="Rows of each table.")] = 15,
    out: OutOption = None,
    *,
    accounts: Annotated[
        bool,
        typer.Option("--accounts", help="Account by account; needs records.holding_accounts."),
    ] = False,
) -> None:
    """Print who would lose how much if another failed, and the DebtRank of each."""
    from analysis.contagion.exposures import exposure_graph, largest_exposures, rank_nodes
    from analysis.reading import load_run
    from experiments.console import say

    run = load_run(folder)
    moment = float("inf") if time is None else time
    graph = exposure_graph(run.frames, run.manifest, moment, has_accounts=accounts)
    ranks, edges = rank_nodes(graph), largest_exposures(graph, largest)
    when = "the end" if time is None else f"{time / 3_600:g} h"
    _print(f"largest exposures at {when}", edges, {"value": "USD", "share_of_equity": "%"})
    units = {
        **dict.fromkeys(("equity", "exposed_to_it", "exposed_to_others"), "USD"),
        **dict.fromkeys(("debt_rank", "original_debt_rank"), "%"),
    }
    say("")
    words = "DebtRank: share of all populations' equity that the others lose if it alone fails"
    _print(words, ranks.head(largest).reset_index(), units)
    if out is not None:
        from analysis.figures.exposures import plot_exposures

        tables = {
            "nodes": ranks.reset_index(),
            "exposures": largest_exposures(graph, graph.number_of_edges()),
        }
        _write(out, tables, "exposures.png", lambda: plot_exposures(graph))


def spread(
    folder: RunArgument,
    calm: Annotated[
        Path,
        typer.Argument(metavar="CALM", help="The same run made with --without-shocks."),
    ],
    start: Annotated[
        float | None,
        typer.Option(
            parser=_time, metavar="DURATION", help="Count from here; the first shock if left out."
        ),
    ] = None,
    out: OutOption = None,
) -> None:
    """Print when a shock reached each venue and chain, against the same world without it."""
    from analysis.contagion.first_passage import (
        chain_delays,
        check_pair,
        first_passages,
        first_shock,
        reached_venues,
    )
    from analysis.reading import load_run
    from analysis.setting import setting_of

    run, other = load_run(folder), load_run(calm)
    check_pair(run.manifest, other.manifest)
    begin = first_shock(run.manifest) if start is None else start
    passages = first_passages(run.frames, other.frames, begin)
    venues = reached_venues(passages, run.manifest)
    _print(f"reached, time since {begin / 3_600:g} h", venues, {"delay": "min"})
    if out is not None:
        from analysis.figures.first_passage import place_graph, plot_first_passage

        _write(
            out,
            {"passages": passages, "venues": venues},
            "spread.png",
            lambda: plot_first_passage(
                place_graph(run.frames, setting_of(run.manifest).tokens),
                passages,
                chain_delays(venues),
            ),
        )


def _print(title: str, frame: "pd.DataFrame", units: dict[str, str]) -> None:
    from rich.table import Table

    from experiments.console import console_of

    table = Table(title=title, title_justify="left", box=None)
    for name in frame:
        unit = units.get(str(name))
        words = str(name).replace("_", " ") + (f" ({unit})" if unit else "")
        table.add_column(words, justify="right" if unit else "left", no_wrap=not unit)
    for row in frame.itertuples(index=False):
        cells = zip(frame.columns, row, strict=True)
        table.add_row(*(_cell(value, units.get(str(name))) for name, value in cells))
    console_of().print(table)


def _cell(value: Any, unit: str | None) -> str:
    if unit is None:
        return str(value) or "-"
    if value != value:  # NaN  # noqa: PLR0124
        return "-"
    if value == float("inf"):
        return "never"
    return {"USD": f"{value:,.0f}", "%": f"{100 * value:.2f}", "min": f"{value / 60:,.1f}"}[unit]


def _write(out: Path, tables: "dict[str, pd.DataFrame]", picture: str, plot: Any) -> None:
    from analysis.style import save
    from experiments.console import say
    from experiments.run_folder import whole_folder
    from sim.errors import InputError

    if out.exists():
        raise InputError(f"{out} exists; give another --out")
    with whole_folder(out, force=False) as folder:
        for name, frame in tables.items():
            frame.to_parquet(folder / f"{name}.parquet", index=False)
        save(plot().figure, folder / picture)
    for name in tables:
        say(f"table    {out / name}.parquet")
    say(f"figure   {out / picture}")
