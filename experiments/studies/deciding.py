"""Spending runs where a verdict is open: rounds of replications, each looked at once.

Every round doubles the replications of the settings that are undecided, until all are decided or
the budget is spent. The intervals hold over all looks together (`experiments.studies.estimates`).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from experiments.studies.estimates import UNDECIDED
from experiments.studies.sweep import sweep, unwatched
from experiments.studies.verdicts import Finding, by_setting, evaluate, settings_of
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from experiments.studies.engines import Engine
    from experiments.studies.plan import Plan
    from experiments.studies.requirements import Requirement
    from experiments.studies.store import Store
    from experiments.studies.sweep import Progress


_ENOUGH_FOR_A_MEAN = 1_000  # runs; a mean without an interval by then has none soon


@dataclass(frozen=True)
class Decision:
    """What a study decided, and how."""

    findings: list[Finding]
    rows: pd.DataFrame
    looks: int | None  # None: looked at once, with a fixed number of runs
    why_stopped: str
    is_stopped: bool = False  # by the user, before it was done


def decide_once(
    plan: Plan, store: Store, requirements: Sequence[Requirement], confidence: float | None = None
) -> Decision:
    """Return the verdicts on the runs that are there, as a sample of fixed size.

    Parameters
    ----------
    confidence : of each verdict; the study's when left out

    Raises
    ------
    InputError
        The data set is of another study, or has no runs of this one.
    """
    rows = rows_of(plan, store)
    findings = evaluate(plan, rows, requirements, confidence=confidence)
    return Decision(findings, rows, None, "the runs that are there")


def decide_in_rounds(
    plan: Plan,
    store: Store,
    make_engine: Callable[[], Engine],
    requirements: Sequence[Requirement],
    watch: Callable[[Progress], None] = unwatched,
    confidence: float | None = None,
) -> Decision:
    """Return the verdicts after as many rounds as it takes, within the budget.

    The first look is at the study's replications; each later round doubles those of the settings
    that are open. What is decided stays as it was decided: later looks spend less and less of the
    error, and would take it back.

    Parameters
    ----------
    confidence : of each verdict, over all looks; the study's when left out

    Raises
    ------
    InputError, OutputError
        As `sweep`.
    """
    budget, started = plan.study.budget, time.monotonic()
    wanted = settings_of(plan)
    counts = {k: plan.study.replications for setting in wanted for k in setting.points}
    look, is_open = 0, wanted
    known: dict[tuple[str, str], Finding] = {}
    while True:
        progress = sweep(plan, store, make_engine(), counts=counts, watch=watch)
        look += 1
        rows = rows_of(plan, store, counts)
        for finding in evaluate(plan, rows, requirements, look, is_open, confidence):
            place = finding.setting.text, finding.requirement.text
            if place not in known or known[place].verdict == UNDECIDED:
                known[place] = finding
        findings = list(known.values())
        if progress.is_stopping:
            return Decision(findings, rows, look, "stopped by the user", is_stopped=True)
        verdicts = by_setting(findings)
        is_open = [s for s in wanted if verdicts[s.text] == UNDECIDED]
        if not is_open:
            return Decision(findings, rows, look, "everything is decided")
        helped = {f.setting.text for f in findings if more_runs_help(f)}
        is_open = [s for s in is_open if s.text in helped]
        if not is_open:
            return Decision(findings, rows, look, "more runs would not decide the rest")
        larger = counts | {k: 2 * counts[k] for setting in is_open for k in setting.points}
        if sum(larger.values()) > budget.runs:
            return Decision(findings, rows, look, f"the budget of {budget.runs:,} runs is spent")
        hours = (time.monotonic() - started) / 3600.0
        if budget.hours is not None and hours > budget.hours / 2.0:  # the next round takes as long
            return Decision(findings, rows, look, f"the budget of {budget.hours:g} h is spent")
        counts = larger


def more_runs_help(finding: Finding) -> bool:
    """Return whether more runs may decide what is open.

    They do not where runs have failed and a mean is asked for, which then never passes, nor where
    so many have not given a mean an interval.
    """
    e = finding.estimate
    if finding.verdict != UNDECIDED or finding.requirement.statistic != "mean":
        return finding.verdict == UNDECIDED
    return not e.n_failed and (math.isfinite(e.low) or e.n < _ENOUGH_FOR_A_MEAN)


def rows_of(plan: Plan, store: Store, counts: dict[int, int] | None = None) -> pd.DataFrame:
    """Return the rows of this study's runs in a data set, in the order of its plan.

    Raises
    ------
    InputError
        The data set is of another study, or has none of its runs.
    """
    rows = store.rows()  # before a place that holds nothing is noted as a data set
    store.identify(plan.about)
    wanted = {spec.run_id: k for k, spec in enumerate(plan.runs(counts))}
    place = rows["run_id"].map(wanted)
    found = rows[place.notna()].assign(_place=place).sort_values("_place").drop(columns="_place")
    if found.empty:
        raise InputError(f"{store.place} has no runs of this study; run `undertow sweep` first")
    return found.reset_index(drop=True)
