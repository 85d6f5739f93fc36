"""Verdicts: each requirement at each setting of the levers, and where more runs are worth it.

A setting is one combination of lever values; its runs are those of all design points with it. The
verdict is conditional on the distribution of the scenario's uncertainties.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.studies.estimates import (
    FAIL,
    PASS,
    UNDECIDED,
    Estimate,
    clopper_pearson,
    decide,
    estimate,
    is_inflated,
)
from experiments.studies.requirements import Requirement
from experiments.studies.worker import OK
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from experiments.studies.plan import Plan

EXIT_CODES = {PASS: 0, FAIL: 1, UNDECIDED: 3}


@dataclass(frozen=True)
class Setting:
    """One combination of lever values."""

    levers: dict[str, Any]
    points: tuple[int, ...]  # design points that have it

    @property
    def text(self) -> str:
        """Return it as it is named in tables."""
        return ", ".join(f"{name} = {_short(v)}" for name, v in self.levers.items()) or "as it is"


@dataclass(frozen=True)
class Finding:
    """What was found of one requirement at one setting."""

    setting: Setting
    requirement: Requirement
    estimate: Estimate  # failed runs counted as violations
    without_failed: Estimate  # failed runs left out
    verdict: str
    worst_bound: float  # simultaneous bound over the design points of the setting
    worst_point: int
    confidence: float  # of the interval, and of each one-sided bound

    def row(self) -> dict[str, Any]:
        """Return it as a row of a table."""
        e = self.estimate
        return {
            **self.setting.levers,
            "requirement": self.requirement.text,
            "verdict": self.verdict,
            "estimate": e.value,
            "low": e.low,
            "high": e.high,
            "lower_bound": e.lower,
            "upper_bound": e.upper,
            "runs": e.n,
            "failed_runs": e.n_failed,
            "estimate_without_failed": self.without_failed.value,
            "low_without_failed": self.without_failed.low,
            "high_without_failed": self.without_failed.high,
            "method": e.method,
            "confidence": self.confidence,
            "worst_corner_bound": self.worst_bound,
            "worst_corner": self.worst_point,
        }


def settings_of(plan: Plan) -> list[Setting]:
    """Return the settings of the levers, in the order of the design."""
    groups: dict[str, tuple[dict[str, Any], list[int]]] = {}
    for k, point in enumerate(plan.points):
        values = {name: point[name] for name in plan.study.levers}
        groups.setdefault(json.dumps(values), (values, []))[1].append(k)
    return [Setting(values, tuple(points)) for values, points in groups.values()]


def evaluate(
    plan: Plan,
    rows: pd.DataFrame,
    requirements: Sequence[Requirement],
    look: int | None = None,
    settings: Sequence[Setting] | None = None,
    confidence: float | None = None,
) -> list[Finding]:
    """Return the finding of every requirement at every setting.

    Parameters
    ----------
    rows : the data set
    look : number of the look of a sequential plan; None: the data set is looked at once
    settings : which; all when left out
    confidence : of each finding; the study's when left out
    """
    confidence = plan.study.confidence if confidence is None else confidence
    by_point = dict(tuple(rows.groupby("point", sort=False)))
    found = []
    for setting in settings if settings is not None else settings_of(plan):
        parts = {k: by_point[k] for k in setting.points if k in by_point}
        for requirement in requirements:
            whole = pd.concat(list(parts.values())) if parts else rows.iloc[:0]
            made = _estimate(requirement, whole, confidence, look)
            worst = _worst_corner(requirement, parts, confidence, look)
            ended = made
            if made.n_failed:
                ok = (whole["status"] == OK) & whole[requirement.outcome].notna()
                ended = _estimate(requirement, whole[ok], confidence, look)
            verdict = decide(requirement, made)
            found.append(Finding(setting, requirement, made, ended, verdict, *worst, confidence))
    return found


def _estimate(
    requirement: Requirement, rows: pd.DataFrame, confidence: float, look: int | None
) -> Estimate:
    values = rows[requirement.outcome].to_numpy(float)
    return estimate(requirement, values, rows["status"].to_numpy() == OK, confidence, look)


def _worst_corner(
    requirement: Requirement, parts: Mapping[int, pd.DataFrame], confidence: float, look: int | None
) -> tuple[float, int]:
    """Return the worst bound over design points that holds for all of them at once, and where.

    Bonferroni: each of m points gets a bound at 1 - alpha / m.
    """
    if not parts:
        return math.nan, -1
    each = 1.0 - (1.0 - confidence) / len(parts)
    bounds = {}
    for point, rows in parts.items():
        made = _estimate(requirement, rows, each, look)
        bounds[point] = made.upper if requirement.is_upper else made.lower
    pick = max if requirement.is_upper else min
    worst = pick(bounds, key=lambda k: bounds[k])
    return bounds[worst], worst


def overall(findings: Sequence[Finding]) -> str:
    """Return FAIL when anything fails, else UNDECIDED when anything is open, else PASS."""
    verdicts = {finding.verdict for finding in findings}
    return next((v for v in (FAIL, UNDECIDED) if v in verdicts), PASS)


def by_setting(findings: Sequence[Finding]) -> dict[str, str]:
    """Return the verdict of all requirements together at each setting, by its text."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.setting.text, []).append(finding)
    return {text: overall(group) for text, group in groups.items()}


def findings_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """Return the findings, a row each."""
    return pd.DataFrame([finding.row() for finding in findings])


def paired_differences(
    plan: Plan, rows: pd.DataFrame, outcome: str, first: Setting, second: Setting
) -> Estimate:
    """Return the mean of an outcome at the second setting less that at the first, run by run.

    Replications have their seeds and drawn uncertainties in common, so that what differs is the
    levers alone; design points are matched by their uncertainties.
    """
    from experiments.studies.estimates import mean_bounds

    both = _paired(plan, rows, first, second, outcome)
    difference = (both["second"] - both["first"]).dropna().to_numpy()
    alpha, n = 1.0 - plan.study.confidence, len(difference)
    if n < 2:
        raise InputError(
            f"settings {first.text} and {second.text} share {n} runs; at least 2 are needed"
        )
    (low, high), (lower, upper) = mean_bounds(difference, alpha / 2.0, alpha)
    n_lost = len(both) - n
    return Estimate(
        float(difference.mean()), low, high, lower, upper, n, n_lost, "paired, BCa bootstrap"
    )


def compared(
    plan: Plan, rows: pd.DataFrame, outcomes: Sequence[str], reference: Setting
) -> pd.DataFrame:
    """Return by how much each setting differs from one of them, run by run.

    The mean difference has Student's interval, or none where most pairs are alike and few of the
    others carry the variance; the share of pairs in which the outcome is higher, and that in which
    it is lower, have Clopper and Pearson's. All hold at once at the confidence of the study
    (Bonferroni over settings, outcomes and the three).

    Returns
    -------
    one row a setting and outcome: the levers, outcome, pairs, difference, low, high, and `higher`
    and `lower`, shares, each with its `_low` and `_high`
    """
    others = [s for s in settings_of(plan) if s.points != reference.points]
    alpha = (1.0 - plan.study.confidence) / max(3 * len(others) * len(outcomes), 1)
    found = []
    for outcome in outcomes:
        for setting in others:
            both = _paired(plan, rows, reference, setting, outcome)
            d = (both["second"] - both["first"]).dropna().to_numpy(float)
            found.append({**setting.levers, "outcome": outcome, **_difference(d, alpha / 2.0)})
    return pd.DataFrame(found)


def _difference(d: np.ndarray, tail: float) -> dict[str, float]:
    """Return what paired differences say, each interval leaving `tail` on either side."""
    from scipy.stats import t as student

    n = len(d)
    mean, half = (float(d.mean()) if n else math.nan), math.inf
    if n > 1 and not is_inflated(d):
        half = float(student.isf(tail, n - 1) * d.std(ddof=1) / math.sqrt(n))
    found = {"pairs": n, "difference": mean, "low": mean - half, "high": mean + half}
    for name, count in (("higher", int((d > 0.0).sum())), ("lower", int((d < 0.0).sum()))):
        low, high = clopper_pearson(count, n, tail)
        found |= {name: count / n if n else math.nan, f"{name}_low": low, f"{name}_high": high}
    return found


def _paired(
    plan: Plan, rows: pd.DataFrame, first: Setting, second: Setting, outcome: str
) -> pd.DataFrame:
    """Return an outcome at two settings by what they share: uncertainties and replication."""
    names = [name for name in plan.study.designed if name in plan.study.uncertainties]
    ended = rows[rows["status"] == OK].set_index([*names, "replication"])
    parts = {
        name: ended.loc[ended["point"].isin(setting.points).to_numpy(), outcome]
        for name, setting in (("first", first), ("second", second))
    }
    return pd.concat(parts, axis=1, join="inner")


def sentence(plan: Plan, finding: Finding, n_looks: int | None) -> str:
    """Return what a forum post would quote of a finding."""
    from importlib.metadata import PackageNotFoundError, version

    from experiments.studies.plan import code_version

    e, r, study = finding.estimate, finding.requirement, plan.study
    try:
        number = version("undertow")
    except PackageNotFoundError:  # run from the source tree
        number = "source"
    responses = sorted({str(lever.book) for lever in study.levers.values()}) or ["no lever"]
    peeks = "looked at once" if n_looks is None else f"{n_looks} looks, error kept over all of them"
    return (
        f"{finding.verdict}: at {finding.setting.text}, {r.text} - estimate {_short(e.value)}, "
        f"{percent(finding.confidence)} interval [{_short(e.low)}, {_short(e.high)}] "
        f"({e.method}; {peeks}) "
        f"from {e.n:,} runs of {study.scenario}; {_of_failed(finding)}; seeds from study seed "
        f"{study.seed}; book response: "
        f"{', '.join(responses)}; conditional on the scenario's distribution "
        f"(Undertow {number}, code {code_version()[:12]})."
    )


def _of_failed(finding: Finding) -> str:
    e, rest = finding.estimate, finding.without_failed
    if not e.n_failed:
        return "none failed"
    ends = f"[{_short(rest.low)}, {_short(rest.high)}]"
    if finding.requirement.statistic == "mean":
        return f"{e.n_failed:,} more failed, so that it cannot pass"
    return f"{e.n_failed:,} failed and count as violations (left out: {_short(rest.value)} {ends})"


def percent(share: float) -> str:
    """Return a confidence as people write it: 95%, 99.17%."""
    return f"{100.0 * share:.4g}%"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def plain(value: Any) -> Any:
    """Return what JSON can hold: numbers that are not finite become text."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
