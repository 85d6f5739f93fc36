"""The story of a study: what was asked, what was decided, where outcomes are extreme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.metrics import QUANTITIES
from analysis.report.blocks import Fact, Facts, Heading, Note, Prose, Section, number, setting
from analysis.report.wording import listed, percent, plain_words, plural

if TYPE_CHECKING:
    from analysis.data_sets import DataSet

_MOST = 6  # outcomes told and drawn
_ORDER = ("FAIL", "UNDECIDED", "PASS")


def make_section(data: DataSet) -> Section:
    """Return the first section of a study's page."""
    blocks: list[Any] = [Facts(_facts(data)), Prose(_opening(data))]
    if len(data.rows) < data.n_planned:
        missing = data.n_planned - len(data.rows)
        blocks.append(
            Note(
                f"{plural(missing, 'run')} of {data.n_planned:,} planned are missing: the sweep "
                "has not ended. Start it again and it goes on; every number here is of the runs "
                "that are there."
            )
        )
    blocks.append(Heading("What was found"))
    blocks.append(Prose(_found(data), is_list=True))
    if quote := str(data.verdict.get("quote", "")):
        blocks += [Heading("To quote"), Prose(quote.splitlines())]
    return Section("story", "The story", blocks)


def _facts(data: DataSet) -> list[Fact]:
    facts = []
    if data.verdict:
        looks = data.verdict.get("looks")
        told = "looked at once" if looks is None else plural(looks, "look")
        facts.append(Fact("Verdict", str(data.verdict.get("verdict", "")), told))
    settings = data.rows.groupby(data.levers).ngroups if data.levers else 1
    failed = len(data.failed)
    share = f"{percent(failed / len(data.rows))} of the runs"
    return [
        *facts,
        Fact("Runs", f"{len(data.rows):,}", f"of {data.n_planned:,} planned"),
        Fact("Failed runs", f"{failed:,}", share if failed else ""),
        Fact("Settings of the levers", f"{settings:,}", listed(data.levers)),
    ]


def _opening(data: DataSet) -> list[str]:
    others = [name for name in data.factors if name not in data.levers]
    runs, seeds = len(data.rows), data.rows["seed"].nunique()
    words = f"{plural(runs, 'run')} of {data.about['scenario'].get('name', '')}, {seeds:,} seeds"
    if data.levers:
        called = "levers" if data.verdict else "what the design combines"
        words += f"; {called}: {listed(data.levers)}"
    if others:
        words += f"; varied beside them: {listed(others)}"
    return [f"{words}. Settings share their seeds, so that they differ by the levers alone."]


def _found(data: DataSet) -> list[str]:
    return [*_decided(data), *_extremes(data), *_best(data), *_failed_words(data)]


def _decided(data: DataSet) -> list[str]:
    findings = data.findings
    if findings.empty:
        return ["No verdict was given on these runs; undertow verdict gives one."]
    counts = verdict_by_setting(data)["verdict"].value_counts()
    told = listed(f"{counts[word]:,} {word}" for word in reversed(_ORDER) if word in counts)
    requirements = list(dict.fromkeys(findings["requirement"]))
    lines = [
        (
            f"Required: {listed(requirements)}. Of {plural(int(counts.sum()), 'setting')}: {told}, "
            f"all requirements together. {_overall_words(data)}"
        )
    ]
    if stopped := data.verdict.get("stopped"):
        lines.append(f"It ended because: {stopped}.")
    return lines


def _overall_words(data: DataSet) -> str:
    return {
        "PASS": "The study passes, for every setting does.",
        "FAIL": "The study as a whole fails, for at least one setting does.",
        "UNDECIDED": "The study is undecided: no setting fails, but not every one passes.",
    }.get(str(data.verdict.get("verdict")), "")


def verdict_by_setting(data: DataSet) -> pd.DataFrame:
    """Return the worst verdict of each setting of the levers."""
    findings, levers = data.findings, data.levers
    rank = findings.assign(rank=findings["verdict"].map(_ORDER.index))
    if not levers:
        return pd.DataFrame({"verdict": [_ORDER[int(rank["rank"].min())]]})
    worst = rank.groupby(levers, sort=False)["rank"].min().reset_index()
    return worst.assign(verdict=[_ORDER[k] for k in worst["rank"]])


def _extremes(data: DataSet) -> list[str]:
    lines = []
    for row in data.verdict.get("extreme", []):
        shown = {name: value for name, value in row.items() if name in data.levers}
        told = listed(f"{name} = {'none' if v is None else v}" for name, v in shown.items())
        beyond = f"; the next value, {row.get('next_value')}, is {row.get('next_verdict')}"
        lines.append(f"The extreme value that passes everything: {told}{beyond}.")
    return lines


def _best(data: DataSet) -> list[str]:
    """Return where the outcomes of the requirements are extreme."""
    if not data.levers:
        return []
    lines = []
    for outcome in outcomes_told(data)[:3]:
        means = data.ended.groupby(data.levers)[outcome].mean().dropna()
        if len(means) > 1:
            high, low = means.idxmax(), means.idxmin()
            lines.append(
                f"The mean of {outcome} goes from {_value(outcome, means.min())} at "
                f"{_setting(data, low)} to {_value(outcome, means.max())} at "
                f"{_setting(data, high)}."
            )
    return lines


def _setting(data: DataSet, values: Any) -> str:
    each = values if isinstance(values, tuple) else (values,)
    named = zip(data.levers, each, strict=True)
    return ", ".join(f"{name} = {setting(value).text}" for name, value in named)


def _value(outcome: str, value: float) -> str:
    unit = QUANTITIES[outcome].unit if outcome in QUANTITIES else ""
    if unit == "fraction":
        return percent(value)
    return f"{number(float(value)).text} {unit.strip('-')}".strip()


def _failed_words(data: DataSet) -> list[str]:
    if data.failed.empty:
        return ["Every run ended."]
    counts = data.failed["status"].value_counts()
    told = listed(f"{count:,} {plain_words(status)}" for status, count in counts.items())
    return [f"Runs that failed: {told}. A failed run counts as a violation of every requirement."]


def outcomes_told(data: DataSet) -> list[str]:
    """Return the outcomes that are drawn: those of requirements, then the first ones."""
    text = " ".join(data.findings.get("requirement", []))
    first = [outcome for outcome in data.outcomes if outcome in text]
    return list(dict.fromkeys([*first, *data.outcomes]))[:_MOST]
