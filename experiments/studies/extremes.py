"""The extreme value of a lever that keeps every requirement: what a cap recommendation is.

Who looks at m values and picks the last one that passes has m chances to be misled. So each value
of such a search is decided at 1 - alpha / m (Bonferroni, whatever the outcomes have in common):
then no value that breaks a requirement passes, whichever is picked and however the outcome depends
on the lever, but in a share alpha of studies; and the interval at the value holds although the
value was chosen for it. A value passes when it passes every requirement, which costs nothing more.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd

from experiments.studies.estimates import PASS
from experiments.studies.verdicts import by_setting
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.studies.plan import Plan
    from experiments.studies.verdicts import Finding, Setting


def search_confidence(plan: Plan, lever: str) -> float:
    """Return the confidence of each verdict of a search over the values of a lever.

    Raises
    ------
    InputError
        The study has no such lever.
    """
    check_lever(plan, lever)
    n_values = len({point[lever] for point in plan.points})
    return 1.0 - (1.0 - plan.study.confidence) / n_values


def check_lever(plan: Plan, lever: str) -> None:
    """Refuse a lever that the study does not have, or whose values have no order.

    Raises
    ------
    InputError
        Says which levers there are.
    """
    levers = plan.study.levers
    if lever not in levers:
        raise InputError(
            f"no lever '{lever}'; levers of {plan.study.name}: {', '.join(levers) or 'none'}"
        )
    values = [point[lever] for point in plan.points]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise InputError(f"lever '{lever}' takes values without an order")


def extreme_passing(
    plan: Plan, findings: Sequence[Finding], lever: str, *, largest: bool
) -> pd.DataFrame:
    """Return the largest (or smallest) value of a lever that passes every requirement.

    Parameters
    ----------
    findings : at `search_confidence`, so that what is picked holds

    Returns
    -------
    one row for each combination of the other levers, each a search of its own: the value, None when
    none passes, the next value beyond it with its verdict, and the intervals at the value

    Raises
    ------
    InputError
        The study has no such lever, its values have no order, or the findings are at a lower
        confidence than the search takes.
    """
    least = search_confidence(plan, lever)
    if min(finding.confidence for finding in findings) < least - 1e-12:
        raise InputError(
            f"the findings hold one by one; for the value of '{lever}' that is picked to hold, "
            f"decide at confidence {least:.6g}, of `search_confidence`"
        )
    verdict = by_setting(findings)
    groups: dict[str, dict[str, Setting]] = {}
    for finding in findings:
        others = {k: v for k, v in finding.setting.levers.items() if k != lever}
        groups.setdefault(json.dumps(others), {})[finding.setting.text] = finding.setting
    rows = []
    for text, settings in groups.items():
        ordered = sorted(settings.values(), key=lambda s: s.levers[lever], reverse=largest)
        place = next((k for k, s in enumerate(ordered) if verdict[s.text] == PASS), None)
        chosen = None if place is None else ordered[place]
        beyond = ordered[place - 1] if place else (ordered[-1] if place is None else None)
        rows.append(
            {
                **json.loads(text),
                lever: None if chosen is None else chosen.levers[lever],
                "next_value": None if beyond is None else beyond.levers[lever],
                "next_verdict": None if beyond is None else verdict[beyond.text],
                "bounds": _bounds_at(findings, chosen),
            }
        )
    return pd.DataFrame(rows)


def _bounds_at(findings: Sequence[Finding], setting: Setting | None) -> str:
    if setting is None:
        return ""
    return "; ".join(
        f"{f.requirement.text}: {f.estimate.value:.4g} "
        f"[{f.estimate.low:.4g}, {f.estimate.high:.4g}]"
        for f in findings
        if f.setting.points == setting.points
    )
