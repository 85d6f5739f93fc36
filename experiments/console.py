"""What the command line prints: progress, tables, paths. Results go to standard output."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from experiments.compiling import compile_all, is_ready
from sim.errors import InputError
from sim.units import HOUR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from experiments.running import RunResult
    from experiments.scenario import Scenario

_PLAIN_EVERY = 10.0  # seconds between progress lines when not a terminal
_WIDTH = 110  # of tables when not a terminal


def console_of(*, stderr: bool = False) -> Console:
    """Return a console that shows text as it is: names and paths are not markup."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDTH
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


def say(text: str, *, stderr: bool = False) -> None:
    """Print a line as it is, however long."""
    stream = sys.stderr if stderr else sys.stdout
    stream.write(f"{text}\n")
    stream.flush()


def prepare_engine(scenarios: Sequence[Scenario]) -> None:
    """Compile what scenarios need where this machine has not done so yet, and say so."""
    if is_ready(scenarios):
        return
    say(
        "undertow: compiling the engine for this machine; once per version, about a minute ...",
        stderr=True,
    )
    say(f"undertow: compiled in {compile_all(scenarios):.0f} s", stderr=True)


@contextlib.contextmanager
def show_progress(scenario: Scenario) -> Iterator[Callable[[Any, Any], None]]:
    """Show simulated time, blocks and fills per second on standard error."""
    console = console_of(stderr=True)
    if console.is_terminal:
        with _bar(console, scenario) as update:
            yield update
    else:
        yield _plain_lines(scenario)


@contextlib.contextmanager
def _bar(console: Console, scenario: Scenario) -> Iterator[Callable[[Any, Any], None]]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[state]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(scenario.name, total=scenario.horizon, state="")
        started = last = time.perf_counter()

        def update(model: Any, recorder: Any) -> None:
            nonlocal last
            now = time.perf_counter()
            if now - last < 0.1:
                return
            last = now
            bar.update(
                task,
                completed=model.world.time,
                state=_state(model, recorder, scenario, now - started),
            )

        yield update


def _plain_lines(scenario: Scenario) -> Callable[[Any, Any], None]:
    started = last = time.perf_counter()

    def update(model: Any, recorder: Any) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last >= _PLAIN_EVERY:
            last = now
            state = _state(model, recorder, scenario, now - started)
            say(f"{scenario.name}: {state}", stderr=True)

    return update


def _state(model: Any, recorder: Any, scenario: Scenario, elapsed: float) -> str:
    world = model.world
    has_blocks = world.box.chains["native"] >= 0  # the reference market has auctions
    blocks = int(world.box.chains["height"][has_blocks].sum())
    return (
        f"{world.time / HOUR:6.1f} of {scenario.horizon / HOUR:g} h  {blocks:,} blocks  "
        f"{recorder.n_fills / max(elapsed, 1e-3):,.0f} fills/s"
    )


def print_run(result: RunResult) -> None:
    """Print the summary of a run and the paths of what was written."""
    from analysis.metrics import headline

    manifest, work = result.manifest, result.manifest["work"]
    name = manifest["scenario"]["name"]
    table = Table(title=f"{name}, seed {manifest['seed']}", title_justify="left", box=None)
    table.add_column("quantity", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for label, value, unit in headline(result.summary):
        table.add_row(label, value, unit)
    console_of().print(table)
    n_blocks = sum(work["blocks"].values())
    say(
        f"\n{n_blocks:,} blocks, {work['orders']:,} orders, {work['fills']:,} fills "
        f"in {manifest['wall_seconds']:.1f} s; content {manifest['content_hash'][:16]}"
    )
    if result.folder is not None:
        say(f"records  {result.folder / 'records'}")
        say(f"summary  {result.folder / 'summary.json'}")
        for figure in result.figures:
            say(f"figure   {figure}")


def print_scenarios(scenarios: list[Scenario]) -> None:
    """Print one line a scenario."""
    table = Table(box=None)
    for title in ("name", "length", "chains", "venues", "agents", "what it shows"):
        table.add_column(title, overflow="fold")
    for scenario in scenarios:
        agents = sum(getattr(p, "count", 1) for p in scenario.populations.values())
        table.add_row(
            scenario.name,
            f"{scenario.horizon / HOUR:g} h",
            str(len(scenario.chains)),
            str(len(scenario.venues)),
            f"{agents:,}",
            scenario.description,
        )
    console_of().print(table)


def print_books(model: Any) -> None:
    """Print what the files of positions hold, a line for each population that starts from one."""
    for plan in model.world.plan.populations:
        if getattr(plan.config, "positions", None) is None:
            continue
        people = model.populations[plan.name]
        health = people.get("health_factor")
        has_debt = health < math.inf
        say(
            f"{plan.name}: {len(health):,} accounts of {plan.config.positions.file}, "
            f"{has_debt.sum():,} with debt, {(health < 1.0).sum():,} of these with a health factor "
            "below 1"
        )


def print_records(name: str | None) -> None:
    """Print the declared record tables."""
    from sim.records import TABLES
    from sim.records import table as find

    for declared in [find(name)] if name else TABLES.values():
        table = Table(title=f"{declared.name}: {declared.meaning}", title_justify="left", box=None)
        for title in ("column", "type", "unit", "meaning"):
            table.add_column(title, overflow="fold")
        for column in declared.columns:
            table.add_row(*(part or "-" for part in _cells(column)))
        console_of().print(table)
        say("")


def print_formats(name: str | None) -> None:
    """Print the declared formats of files."""
    from experiments.kinds import file_formats

    formats = file_formats()
    if name is not None and name not in formats:
        raise InputError(f"no file format '{name}'; there are: {', '.join(formats)}")
    for declared in [formats[name]] if name else formats.values():
        table = Table(title=f"{declared.name}: {declared.meaning}", title_justify="left", box=None)
        for title in ("column", "type", "unit", "needed", "meaning"):
            table.add_column(title, overflow="fold")
        for column in declared.columns:
            needed = "yes" if column.is_required else "no"
            table.add_row(column.name, column.kind, column.unit or "-", needed, column.meaning)
        console_of().print(table)
        say("")


def _cells(column: Any) -> tuple[str, str, str, str]:
    return column.name, column.kind, column.unit, column.meaning
