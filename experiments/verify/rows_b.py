"""Published figures: rows, bands, seeds and bases are in `published.yaml`, written down beforehand.

What a row makes of the statistics of its runs is one function here: from statistics by arm, of one
seed, to the value of each of its findings.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from analysis.stylized_facts import FACTS
from experiments.verify.rows import Finding, Result, Row, Seeds
from sim.errors import InputError

Arms = Mapping[str, Mapping[str, float]]  # statistics of one seed by arm
AS_IT_IS = "as it is"
FORMULAS: dict[str, Callable[[Arms], dict[str, float]]] = {}


class RunTask(NamedTuple):
    """One run that rows need."""

    base: str
    until: str | None
    overrides: tuple[str, ...]
    seed: int


@functools.cache
def registered() -> dict[str, Any]:
    """Return what was written down before the first run."""
    from experiments.yaml_source import read_yaml

    name = "published.yaml"
    data = (files("experiments.verify") / name).read_bytes()
    return dict(read_yaml(name, data).data)


def _formula(name: str) -> Callable[[Callable[[Arms], dict[str, float]]], None]:
    def add(function: Callable[[Arms], dict[str, float]]) -> None:
        FORMULAS[name] = function

    return add


def _plain(*names: str) -> Callable[[Arms], dict[str, float]]:
    """Return a formula that takes statistics of the scenario as it is."""
    return lambda arms: {name: arms[AS_IT_IS][name] for name in names}


FORMULAS |= {
    "B3": _plain("losing_pools", "full_range_better"),
    "B4": _plain("below_holding", "fees_over_loss"),
    "B8": _plain("arbitrage_share", "top_three"),
    "B10": _plain("immediate", "liquidable"),
    "B11": _plain("leverage", "larger_higher"),
    "B16": _plain("premium"),
    "B17": _plain("moved_first", "reverted"),
}


@_formula("B2")
def _b2(arms: Arms) -> dict[str, float]:
    return {"cut": 1.0 - arms["100 ms"]["arbitrage_gain"] / arms[AS_IT_IS]["arbitrage_gain"]}


@_formula("B12")
def _b12(arms: Arms) -> dict[str, float]:
    share = {name: arm["bad_debt_share"] for name, arm in arms.items()}
    return {
        "safe_corner": share["debt x1, 5 %"],
        "unsafe_corner": share["debt x10, 30 %"],
        "by_debt": share["debt x10, 30 %"] - share["debt x1, 30 %"],
        "by_volatility": share["debt x10, 30 %"] - share["debt x10, 5 %"],
    }


@_formula("B14")
def _b14(arms: Arms) -> dict[str, float]:
    return {"defaults": arms["50 % a day"]["bad_debt_share"]}


@_formula("B18")
def _b18(arms: Arms) -> dict[str, float]:
    most, less, plain = (arms[name]["liquidated"] for name in ("-30 %", "-15 %", "-30 %, no loops"))
    return {
        "amplification": most / plain if plain > 0.0 else math.nan,
        "convexity": most / less if less > 0.0 else math.nan,
    }


@_formula("B24")
def _b24(arms: Arms) -> dict[str, float]:
    told = {name: arms[AS_IT_IS][name] for name in ("full_after", "dollars_gone", "bad_debt")}
    faster = arms["frozen after 20 min"]["bad_debt"]
    return told | {"faster_is_better": told["bad_debt"] - faster}


@_formula("B26")
def _b26(arms: Arms) -> dict[str, float]:
    return {"falls_more": arms["-25 %"]["falls_more"] - arms["calm"]["falls_more"]}


@_formula("B28")
def _b28(arms: Arms) -> dict[str, float]:
    inside = arms[AS_IT_IS]["inside"]
    return {"inside": inside, "less_with_gas": inside - arms["200 gwei"]["inside"]}


# --- rows ----------------------------------------------------------------------------------------


def rows() -> list[Row]:
    """Return the rows of published figures and of stylized facts."""
    told = registered()
    seeds = Seeds(*(tuple(told["seeds"][effort]) for effort in ("quick", "full")))
    found = [
        Row(name, row["title"], row["source"], seeds=seeds, group=row["base"])
        for name, row in told["rows"].items()
    ]
    found += [
        Row(name, row["title"], "analysis.stylized_facts", seeds=seeds, group=row["base"])
        for name, row in told["facts"].items()
    ]
    found += [Row(name, what, missing=what) for name, what in told["missing"].items()]
    found += [
        Row(name, row["title"], missing=row["missing"])
        for name, row in told["facts_missing"].items()
    ]
    return found


def tasks_of(row: Row, seeds: tuple[int, ...]) -> dict[str, list[RunTask]]:
    """Return the runs that a row needs by arm, one a seed."""
    told = registered()
    arms = told["rows"].get(row.name, {}).get("arms") or {AS_IT_IS: []}
    until = told["bases"][row.group].get("until")
    return {
        arm: [RunTask(row.group, until, tuple(overrides), seed) for seed in seeds]
        for arm, overrides in arms.items()
    }


def run_statistics(task: RunTask) -> dict[str, float]:
    """Run one scenario and return its statistics."""
    from experiments.running import run
    from experiments.scenario import load_scenario
    from experiments.verify.statistics import statistics_of
    from sim.units import parse_duration

    until = parse_duration(task.until) if task.until else None
    return statistics_of(
        run(load_scenario(task.base, list(task.overrides), until=until), task.seed)
    )


def result_from(row: Row, by_arm: Mapping[str, list[Mapping[str, float]]]) -> Result:
    """Return the result of a row from the statistics of its runs: by arm, a mapping a seed."""
    told, n = registered(), len(next(iter(by_arm.values())))
    seeds = row.seeds.full if n > len(row.seeds.quick) else row.seeds.quick
    if row.name in told["facts"]:
        findings = _facts(by_arm[AS_IT_IS])
    else:
        each = [
            FORMULAS[row.name]({arm: found[k] for arm, found in by_arm.items()}) for k in range(n)
        ]
        bands = told["rows"][row.name]["findings"]
        if any(set(values) != set(bands) for values in each):
            raise InputError(f"published.yaml and the formula of {row.name} differ in findings")
        findings = [banded(name, bands[name], [e[name] for e in each]) for name in bands]
    return Result(row.name, row.title, row.source, seeds, tuple(findings))


def banded(name: str, band: Mapping[str, Any], values: list[float]) -> Finding:
    """Return the finding of a registered band from a value a seed."""
    mean, error = _mean(values)
    return Finding(
        f"{name.replace('_', ' ')}: {band['meaning']}",
        mean,
        float(band.get("low", -math.inf)),
        float(band.get("high", math.inf)),
        math.nan,
        error,
        str(band["unit"]),
        bool(band.get("is_input", False)),
    )


def _mean(values: list[float]) -> tuple[float, float]:
    """Return mean and standard error over seeds; infinite with one seed, 0 where all are equal."""
    found = np.array(values, float)
    if not np.isfinite(found).all():
        return float(found.mean()), math.inf
    if len(found) < 2:
        return float(found.mean()), math.inf
    return float(found.mean()), float(found.std(ddof=1)) / math.sqrt(len(found))


def _facts(found: list[Mapping[str, float]]) -> list[Finding]:
    """Return a finding for each fact of which some run has data; means over those that have."""
    inputs, findings = set(registered()["facts_of_inputs"]), []
    for fact in FACTS:
        values = [one[f"fact {fact.name}"] for one in found]
        known = [value for value in values if not math.isnan(value)]
        if not known:
            continue
        mean, error = _mean(known)
        name = f"{fact.name.replace('_', ' ')}: {fact.meaning}"
        is_input = fact.name in inputs
        findings.append(Finding(name, mean, fact.low, fact.high, math.nan, error, "1", is_input))
    return findings
