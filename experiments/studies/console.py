"""What `undertow sweep` and `undertow verdict` print."""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from experiments.console import console_of, say
from experiments.studies.estimates import NO_INTERVAL, least_runs
from sim.units import HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from experiments.studies.deciding import Decision
    from experiments.studies.estimates import Estimate
    from experiments.studies.plan import Plan
    from experiments.studies.sweep import Progress as SweepProgress
    from experiments.studies.verdicts import Finding

_PLAIN_EVERY = 10.0  # seconds between lines when not a terminal
_ROWS_SHOWN = 5
_BYTES_A_COLUMN = 6.0  # of a row, compressed
_SECONDS_A_BLOCK = 15e-6  # rough: measured on the shipped scenarios
_SECONDS_A_SAMPLE = 1.5e-3
_SECONDS_A_RUN = 0.15


def seconds_of_run(plan: Plan) -> float:
    """Return a rough guess of the work of one run, from its blocks and samples."""
    scenario = plan.variation.base
    blocks = sum(
        scenario.horizon / chain.blocks.interval_seconds for chain in scenario.chains.values()
    )
    every = scenario.records.sample_seconds or math.inf
    samples = scenario.horizon / every
    return _SECONDS_A_RUN + _SECONDS_A_BLOCK * blocks + _SECONDS_A_SAMPLE * samples


def print_plan(plan: Plan, workers: int, n_missing: int, measured: float | None) -> None:
    """Print what a sweep would do.

    Parameters
    ----------
    workers : chunks at once
    n_missing : runs
    measured : seconds of work of a run in the data set; None: guessed from the scenario
    """
    study = plan.study
    each = seconds_of_run(plan) if measured is None else measured
    basis = (
        "guessed from blocks and samples" if measured is None else "as measured in this data set"
    )
    size = plan.n_runs * _BYTES_A_COLUMN * (len(plan.outcomes) + len(study.factors) + 4)
    table = Table(title=f"study {study.name}", title_justify="left", box=None, show_header=False)
    for label, value in (
        ("scenario", study.scenario),
        ("design", f"{study.design.kind}, {plan.n_points:,} points"),
        ("replications", f"{study.replications:,}, seeds in common"),
        ("runs", f"{plan.n_runs:,}, {n_missing:,} of them missing"),
        ("time", f"about {duration(n_missing * each / workers)} on {workers} workers"),
        ("", f"{each:.2g} s a run, {basis}; starting and compiling apart"),
        ("disk", f"about {size / 1e6:,.1f} MB"),
    ):
        table.add_row(label, value)
    console_of().print(table)
    say("")
    _print_rows(plan)
    _print_requirements(plan)


def _print_rows(plan: Plan) -> None:
    table = Table(title="first runs", title_justify="left", box=None)
    for title in ("run", "point", "replication", "seed", *plan.study.factors):
        table.add_column(title, justify="right", no_wrap=True)
    for _, spec in zip(range(_ROWS_SHOWN), plan.runs(), strict=False):
        values = (_short(spec.factors[name]) for name in plan.study.factors)
        table.add_row(
            spec.run_id[:8], str(spec.point), str(spec.replication), str(spec.seed), *values
        )
    console_of().print(table)


def _print_requirements(plan: Plan) -> None:
    requirements = plan.study.parsed
    if not requirements:
        return
    table = Table(title="least runs that could decide", title_justify="left", box=None)
    for title in ("requirement", "looked at once", "in rounds", "at a setting now"):
        table.add_column(title, overflow="fold")
    from experiments.studies.verdicts import settings_of

    planned = plan.study.replications * min(len(s.points) for s in settings_of(plan))
    for requirement in requirements:
        once, rounds = (
            least_runs(requirement, plan.study.confidence, sequential=is_sequential)
            for is_sequential in (False, True)
        )
        table.add_row(requirement.text, *(_count(n) for n in (once, rounds, planned)))
    say("")
    console_of().print(table)


def _count(n: int | None) -> str:
    return "depends on the spread" if n is None else f"{n:,}"


@contextlib.contextmanager
def show_sweep(name: str) -> Iterator[Callable[[SweepProgress], None]]:
    """Show runs done, failed and left, speed and time left on standard error."""
    console = console_of(stderr=True)
    if not console.is_terminal:
        yield _plain_lines(name)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[state]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, state="starting")

        def update(progress: SweepProgress) -> None:
            done = progress.before + progress.done
            bar.update(task, total=progress.total, completed=done, state=_state(progress))

        yield update


def _plain_lines(name: str) -> Callable[[SweepProgress], None]:
    last = time.monotonic()

    def update(progress: SweepProgress) -> None:
        nonlocal last
        if time.monotonic() - last >= _PLAIN_EVERY:
            last = time.monotonic()
            say(f"{name}: {_state(progress)}", stderr=True)

    return update


def _state(progress: SweepProgress) -> str:
    left = duration(progress.seconds_left)
    stopping = "  stopping: what is in flight ends first" if progress.is_stopping else ""
    return (
        f"{progress.before + progress.done:,} of {progress.total:,} runs  "
        f"{progress.failed:,} failed  {progress.runs_per_second:.3g} runs/s  {left} left  "
        f"{progress.workers} workers{stopping}"
    )


def print_sweep(progress: SweepProgress, place: str, command: str) -> None:
    """Print what a sweep has done, and how to go on when it was stopped."""
    done = progress.before + progress.done
    say(
        f"{done:,} of {progress.total:,} runs in {place}/runs "
        f"({progress.done:,} new, {progress.failed:,} of them failed)"
    )
    for message in dict.fromkeys(progress.messages[:3]):
        say(f"failed   {message}")
    if progress.is_stopping:
        say(f"stopped; go on with: {command}")


def print_decision(decision: Decision) -> None:
    """Print the verdict of every requirement at every setting."""
    table = Table(box=None)
    levers = list(decision.findings[0].setting.levers)
    for title in (*levers, "requirement", "verdict"):
        table.add_column(title, overflow="fold")
    for title in ("estimate", "interval", "runs", "failed", "worst corner"):
        table.add_column(title, justify="right", no_wrap=True)
    for finding in decision.findings:
        table.add_row(*_cells(finding))
    console_of().print(table)
    if any(finding.estimate.n_failed for finding in decision.findings):
        _print_without_failed(decision, levers)
    looks = "looked at once" if decision.looks is None else f"{decision.looks} looks"
    say(f"\n{looks}; {decision.why_stopped}")
    if any(NO_INTERVAL in finding.estimate.method for finding in decision.findings):
        say(f"means without bounds have {NO_INTERVAL}")


def _print_without_failed(decision: Decision, levers: Sequence[str]) -> None:
    """Print both ends: failed runs as violations, and left out."""
    say("\nfailed runs counted as violations, and left out:")
    print_table(
        [
            {name: finding.setting.levers[name] for name in levers}
            | {
                "requirement": finding.requirement.text,
                "as_violations": _with_ends(finding.estimate),
                "left_out": _with_ends(finding.without_failed),
                "failed_share": finding.estimate.n_failed / max(finding.estimate.n, 1),
            }
            for finding in decision.findings
            if finding.estimate.n_failed
        ]
    )


def _with_ends(e: Estimate) -> str:
    return f"{_short(e.value)} [{_short(e.low)}, {_short(e.high)}]"


def _cells(finding: Finding) -> list[str]:
    e = finding.estimate
    return [
        *(_short(value) for value in finding.setting.levers.values()),
        finding.requirement.text,
        finding.verdict,
        _short(e.value),
        f"[{_short(e.low)}, {_short(e.high)}]",
        f"{e.n:,}",
        f"{e.n_failed:,}",
        f"{_short(finding.worst_bound)} at {finding.worst_point}",
    ]


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print plain rows."""
    table = Table(box=None)
    for title in rows[0]:
        table.add_column(title.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_short(value) for value in row.values()))
    console_of().print(table)


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if not math.isfinite(seconds):
        return "unknown time"
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"


def _short(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
