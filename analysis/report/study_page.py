"""The page of a study: what was decided, the outcomes over the levers, what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.data_sets import load_data_set
from analysis.figures.outcomes import plot_outcomes
from analysis.figures.verdicts import plot_verdicts
from analysis.metrics import QUANTITIES
from analysis.report.blocks import (
    Cell,
    Commands,
    Note,
    Page,
    Prose,
    Section,
    Table,
    number,
    picture,
    setting,
    share,
    table_of,
)
from analysis.report.limits import parameters
from analysis.report.study_story import make_section as make_story
from analysis.report.study_story import outcomes_told, verdict_by_setting
from analysis.report.wording import listed, percent, plain_words, plural

if TYPE_CHECKING:
    from pathlib import Path

    from analysis.data_sets import DataSet
    from analysis.report.source import Repeat

_MOST_FAILED = 50  # failed runs listed
_MOST_ROWS = 120  # of a table that stands open
_MOST_VALUES = 8  # values of a factor that are named
_FINDINGS = {
    "requirement": "requirement",
    "verdict": "verdict",
    "estimate": "estimate",
    "low": "interval from",
    "high": "interval to",
    "runs": "runs",
    "failed_runs": "failed",
    "worst_corner_bound": "worst corner, bound",
    "method": "method",
}
_DIFFERENCES = {
    "outcome": "outcome",
    "difference": "mean difference",
    "low": "interval from",
    "high": "interval to",
    "pairs": "pairs",
}


def study_page(folder: Path, repeat: Repeat) -> Page:
    """Return the page of a data set.

    Raises
    ------
    analysis.data_sets.DataSetError
        It is none, or holds no runs.
    """
    data = load_data_set(folder)
    sections = [make_story(data)]
    if data.verdict:
        sections.append(_verdicts(data))
    sections.append(_outcomes(data))
    if len(data.failed):
        sections.append(_failures(data))
    sections += [_limits(data), _repeat(data, repeat)]
    scenario = data.about["scenario"]
    subtitle = f"A study of {scenario.get('name', '')}. {scenario.get('description', '')}"
    return Page(f"Study {data.about['study']}", subtitle.strip(), sections)


# --- verdicts and outcomes ------------------------------------------------------------------------


def _verdicts(data: DataSet) -> Section:
    levers = data.levers
    blocks: list[Any] = []
    findings = data.findings
    if levers and not findings.empty:
        drawn = picture(
            lambda: plot_verdicts(findings, levers),
            "Verdict of all requirements together at each setting of the first two levers; black "
            "lines part what passes from what does not.",
        )
        blocks.append(drawn)
    names = {lever: lever for lever in levers if lever in findings}
    if not findings.empty:
        columns = names | {key: words for key, words in _FINDINGS.items() if key in findings}
        caption = "Each requirement at each setting"
        if len(set(findings["requirement"])) == 1:  # say it once, not in every row
            caption = f"{findings['requirement'].iloc[0]} at each setting"
            del columns["requirement"]
        blocks.append(table_of("findings", caption, findings, columns, setting=names))
    compared = data.verdict.get("compared", {})
    differences = pd.DataFrame(compared.get("differences", []))
    if not differences.empty:
        reference = compared.get("reference", {})
        told = ", ".join(f"{name} = {value}" for name, value in reference.items())
        columns = names | {key: w for key, w in _DIFFERENCES.items() if key in differences}
        caption = f"Mean differences from {told}, run by run; intervals hold for all at once"
        blocks.append(table_of("differences", caption, differences, columns, setting=names))
    return Section("verdicts", "Verdicts", [block for block in blocks if block is not None])


def _outcomes(data: DataSet) -> Section:
    drawn = [_outcome_figure(data, outcome) for outcome in outcomes_told(data)]
    blocks: list[Any] = [figure for figure in drawn if figure is not None]
    blocks.append(_outcome_table(data))
    rest = len(data.outcomes) - len(outcomes_told(data))
    if rest > 0:
        blocks.append(Note(f"{plural(rest, 'further outcome')} in the table only."))
    return Section("outcomes", "Outcomes", blocks)


def _outcome_figure(data: DataSet, outcome: str) -> Any:
    quantity = QUANTITIES.get(outcome)
    passing = None
    if not data.findings.empty and data.levers:
        worst = verdict_by_setting(data)
        passing = worst.assign(passes=worst["verdict"] == "PASS")
    frontier = " The orange line parts settings that pass from those that do not."
    meaning = quantity.meaning if quantity else plain_words(outcome)
    shape = {
        0: "Histogram of all runs",
        1: "Mean of the runs, and the band that holds 90 % of them",
    }.get(len(data.levers), "Mean of the runs at each setting of the levers")
    caption = f"{outcome}: {meaning}. {shape}; failed runs are left out."
    is_parted = passing is not None and len(set(passing["passes"])) > 1 and len(data.levers) > 1
    return picture(
        lambda: plot_outcomes(
            data.ended, data.levers, outcome, quantity.unit if quantity else "", passing
        ),
        caption + (frontier if is_parted else ""),
    )


def _outcome_table(data: DataSet) -> Table:
    """Return mean, spread and count of every outcome at every setting."""
    ended, levers = data.ended, data.levers
    groups = list(ended.groupby(levers)) if levers else [((), ended)]
    rows = []
    for values, part in groups:
        each = values if isinstance(values, tuple) else (values,)
        for outcome in data.outcomes:
            seen = part[outcome].dropna().astype(float)
            unit = QUANTITIES[outcome].unit if outcome in QUANTITIES else ""
            shown = share if unit == "fraction" else number
            cells = [setting(value) for value in each]
            name = "" if unit == "fraction" else unit.strip("-")
            cells += [Cell(outcome), Cell(name), number(len(seen))]
            found: list[Any] = [seen.mean(), seen.std(), *seen.quantile([0.05, 0.5, 0.95])]
            cells += [shown(float(value)) for value in found]
            rows.append(cells)
    columns = (
        *levers, "outcome", "unit", "runs", "mean", "standard deviation",
        "5 % quantile", "median", "95 % quantile",
    )  # fmt: skip
    caption = "Outcomes at each setting, over the runs that ended"
    return Table("outcomes-table", caption, columns, rows, is_folded=len(rows) > _MOST_ROWS)


def _failures(data: DataSet) -> Section:
    failed = data.failed
    shown = failed.head(_MOST_FAILED).astype({"seed": str})  # a number that nobody adds up
    columns = {name: plain_words(name) for name in ("status", "seed", *data.factors, "message")}
    caption = f"{len(shown):,} of {plural(len(failed), 'failed run')}"
    table = table_of("failed-runs", caption, shown, columns, setting=data.factors)
    lines = ["Seed and values repeat a run. Failed runs stay in every estimate as violations."]
    return Section("failures", "Failed runs", [Prose(lines), table])


# --- limits and repeating -------------------------------------------------------------------------


def _limits(data: DataSet) -> Section:
    verdict = data.verdict
    lines = []
    if verdict:
        confidence = float(verdict.get("confidence", 0.0))
        lines = [
            (
                f"Intervals and verdicts are at a confidence of {percent(confidence)}; "
                f"{verdict.get('multiplicity', '')}."
            ),
            (
                "A verdict is conditional on the distribution of what the study varies beside the "
                "levers, and on the scenario: nothing was drawn that the study does not name."
            ),
        ]
        responses = verdict.get("book_response", {})
        told = listed(f"{name}: {plain_words(response)}" for name, response in responses.items())
        lines.append(f"How users respond to a change of a lever (book response): {told}.")
    else:
        lines.append(
            "Without a verdict nothing tells levers from other factors of the design: all of them "
            "are shown as levers."
        )
    lines.append("Figures show means over runs that ended; spreads and quantiles are in the table.")
    rows = [
        [Cell(name), Cell("lever" if name in data.levers else "varied"), Cell(_range(data, name))]
        for name in data.factors
    ]
    blocks = [
        Prose(lines, is_list=True),
        Table("factors", "What was varied", ("factor", "what it is", "values"), rows),
    ]
    return Section("limits", "Assumptions and limits", blocks)


def _range(data: DataSet, name: str) -> str:
    values = data.rows[name].dropna()
    distinct = sorted(values.unique(), key=lambda value: (isinstance(value, str), value))
    if len(distinct) <= _MOST_VALUES:
        return ", ".join(setting(value).text for value in distinct)
    if pd.api.types.is_numeric_dtype(values):
        low, high = (number(float(value)).text for value in (values.min(), values.max()))
        return f"{len(distinct):,} values from {low} to {high}"
    return f"{len(distinct):,} values"


def _repeat(data: DataSet, repeat: Repeat) -> Section:
    blocks: list[Any] = []
    if repeat.commands:
        blocks += [
            Prose(["In a shell, in the folder that the paths start from:"]),
            Commands(repeat.commands),
        ]
    blocks.append(Prose(list(repeat.notes), is_list=True))
    facts = {
        "identity (hash of scenario, outcomes and code)": data.about.get("identity"),
        "code version (hash of the sources)": data.about.get("code_version"),
    }
    rows = [[Cell(name), Cell(str(value))] for name, value in facts.items() if value is not None]
    blocks.append(Table("provenance", "What the runs were made with", ("what", "value"), rows))
    blocks.append(parameters(data.about["scenario"]))
    return Section("repeat", "How to repeat it", blocks)
