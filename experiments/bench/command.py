"""The command `undertow bench`."""

from pathlib import Path
from typing import Annotated

import typer


def bench(
    quick: Annotated[
        bool, typer.Option("--quick", help="Smaller worlds, fewer repeats: under three minutes.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print a list of rows instead of a table.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(metavar="SECTION", help="Run this section only; repeatable.")
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the rows as a Markdown page."),
    ] = None,
    peers: Annotated[
        bool,
        typer.Option(
            "--peers",
            help="Also measure other packages, each installed in an environment of its own.",
        ),
    ] = False,
) -> None:
    """Measure the engine: speed, memory, growth and start-up, with the work that was done."""
    from experiments.bench.session import run_benchmark

    code = run_benchmark(
        is_quick=quick, as_json=json, only=only or (), page=write, with_peers=peers
    )
    raise typer.Exit(code)
