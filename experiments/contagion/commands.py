"""The command `undertow contagion`, and what it prints."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from experiments.contagion.analyzing import ContagionResult
    from experiments.contagion.design import Design
    from experiments.scenario import Scenario

_STOPPED = 130  # as a shell says of a job that Ctrl-C ended
_TRIED = 0.02  # share of the horizon that is run to say how long worlds take
_LEAST_TRIED = 600.0  # seconds of it


def contagion(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="Shipped name, or path of a YAML file.")
    ],
    seeds: Annotated[
        int, typer.Option(metavar="N", help="Seeds 1 to N; each runs its own paired worlds.")
    ] = 32,
    subsets: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Antithetic pairs of orders for each seed, where more than 4 channels fire.",
        ),
    ] = 8,
    channels: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Channels to compare; others stay on. All if left out."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Data set; contagion/SCENARIO when left out."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", help="Processes; all cores when left out.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Override one value of the scenario."),
    ] = None,
    *,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would run, and run nothing.")
    ] = False,
) -> None:
    """Say which channel losses came through: paired worlds with channels cut, Shapley shares."""
    wanted = None if channels is None else [name.strip() for name in channels.split(",")]
    code = contagion_command(
        scenario, seeds, subsets, wanted, out, jobs, set_ or (), only_plan=plan
    )
    raise typer.Exit(code)


def contagion_command(
    name: str,
    n_seeds: int,
    n_pairs: int,
    wanted: Sequence[str] | None,
    out: Path | None,
    jobs: int | None,
    overrides: Sequence[str],
    *,
    only_plan: bool,
) -> int:
    """Print the plan, run what is missing of it and say what was found; returns the exit code."""
    from experiments.console import prepare_engine, say
    from experiments.contagion.analyzing import RESULT, contagion
    from experiments.contagion.design import Design
    from experiments.contagion.plan import chosen_channels
    from experiments.scenario import load_scenario
    from experiments.studies.console import show_sweep
    from sim.errors import InputError

    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs is {jobs}; it must be at least 1")
    scenario = load_scenario(name, overrides)
    place = out if out is not None else Path("contagion") / scenario.name
    n_jobs = jobs or os.cpu_count() or 1
    Design(["checked"], n_seeds, n_pairs)  # before anything takes long
    prepare_engine([scenario])
    design = Design(chosen_channels(scenario, wanted), n_seeds, n_pairs)
    _print_plan(scenario, design, n_jobs)
    if only_plan:
        return 0
    with show_sweep(f"contagion {scenario.name}") as watch:
        result = contagion(
            scenario, n_seeds, place, channels=wanted, n_pairs=n_pairs, jobs=n_jobs, watch=watch
        )
    print_result(result)
    say(f"\nresult   {place / RESULT}")
    for path in _draw(result):
        say(f"figure   {path}")
    if not result.is_whole:
        say("stopped; the same command goes on")
    return 0 if result.is_whole else _STOPPED


def _draw(result: ContagionResult) -> list[Path]:
    from analysis.figures.contagion import draw_contagion

    return draw_contagion(result.content, result.folder / "figures")


# --- the plan ------------------------------------------------------------------------------------


def seconds_of_world(scenario: Scenario, channels: Sequence[str]) -> float:
    """Return about how long a world takes here: the mean of one with and one without channels.

    Each is built and run for its first part, which stands for the rest.
    """
    from experiments.composition import build

    part = min(scenario.horizon, max(_TRIED * scenario.horizon, _LEAST_TRIED))
    build(scenario).run_until(part)  # loads what is compiled
    seconds = []
    for cut in ((), channels):
        started = time.perf_counter()
        model = build(scenario, without=cut)
        built = time.perf_counter()
        model.run_until(part)
        ran = time.perf_counter() - built
        seconds.append(built - started + ran * scenario.horizon / part)
    return sum(seconds) / len(seconds)


def _print_plan(scenario: Scenario, design: Design, n_jobs: int) -> None:
    from rich.table import Table

    from experiments.console import console_of, say
    from experiments.studies.console import duration

    n_first = sum(len(worlds) for worlds in design.first().values())
    seconds = seconds_of_world(scenario, design.channels)
    hours = duration(design.most_runs * seconds / n_jobs)
    k = len(design.channels)
    how = "all sets" if design.is_exact(design.channels) else f"{2 * design.n_pairs} orders"
    table = Table(
        title=f"contagion of {scenario.name}", title_justify="left", box=None, show_header=False
    )
    for label, value in (
        ("channels", f"{k}: {', '.join(design.channels)}"),
        ("seeds", f"{len(design.seeds):,}, from 1"),
        ("worlds a seed", f"{how} of the channels that fire"),
        ("runs", f"at most {design.most_runs:,}; {n_first:,} of them say what fires"),
        ("time", f"about {hours} on {n_jobs} processes, {seconds:.2g} s a world (a guess)"),
    ):
        table.add_row(label, value)
    console_of().print(table)
    say("")


# --- the result ----------------------------------------------------------------------------------


def print_result(result: ContagionResult) -> None:
    """Print losses, what each channel did to the victims, and who bore it."""
    from experiments.console import say
    from experiments.studies.console import print_table

    content = result.content
    n = len(content["seeds"])
    say(f"victims' losses, USD, mean of {n} seeds with 95 % intervals")
    say(f"  with all channels  {_shown(content['loss'])}")
    say(f"  with none          {_shown(content['direct_loss'])}")
    say(f"  by contagion       {_shown(content['contagion'])}")
    say(f"  interaction        {_shown(content['interaction'])}\n")
    print_table([_effect(row, content["shares"]) for row in content["effects"]])
    say("")
    parties = [p for p in _parties(content) if p in content["victims"]]
    if parties:
        say("who bears it: Shapley values by victim, USD")
        print_table(
            [
                {"channel": channel} | {party: _usd(row[party]) for party in parties}
                for channel, row in content["by_party"].items()
            ]
        )
    if content["failed_seeds"]:
        say(f"\nleft out, because a world failed: seeds {content['failed_seeds']}")


def _parties(content: Mapping[str, Any]) -> list[str]:
    """Return the parties that any channel does anything to."""
    rows = list(content["by_party"].values())
    return [party for party in rows[0] if any(row[party] != 0.0 for row in rows)]


def _effect(row: Mapping[str, Any], shares: Mapping[str, float] | None) -> dict[str, str]:
    share = "-" if shares is None else f"{shares[row['channel']]:.1%}"
    return {
        "channel": row["channel"],
        "fires in": f"{row['fires_in']:.0%}",
        "alone": _usd(row["solo"]["mean"]),
        "knocked out": _usd(row["knock_out"]["mean"]),
        "Shapley": _usd(row["shapley"]["mean"]),
        "interval": f"[{_usd(row['shapley']['low'])}, {_usd(row['shapley']['high'])}]",
        "share": share,
        "absorbed": _usd(row["absorbed"]),
    }


def _shown(interval: Mapping[str, float | None]) -> str:
    return f"{_usd(interval['mean']):>10}  [{_usd(interval['low'])}, {_usd(interval['high'])}]"


def _usd(value: float | None) -> str:
    """Return USD in three digits or so."""
    if value is None:
        return "?"
    for unit, suffix in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:,.2f}{suffix}"
    return f"{value:,.2f}" if value else "0"
