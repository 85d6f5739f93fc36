"""Verdicts by hand, the rows that need no chance, and what was written down beforehand."""

import json
import math

import pytest

from analysis.stylized_facts import FACTS
from experiments.scenario import load_scenario
from experiments.verify import rows_b
from experiments.verify.registry import all_rows
from experiments.verify.rows import (
    ERROR,
    FAILS,
    HOLDS,
    INPUT,
    NOT_YET,
    OPEN,
    Finding,
    Result,
    near,
    result_of,
    true,
)


@pytest.mark.parametrize(
    ("value", "error", "verdict"),
    [
        (100.9, 0.0, HOLDS),
        (101.1, 0.0, FAILS),
        (100.9, 0.3, HOLDS),  # three errors are 0.9, the tolerance is 1
        (100.0, 0.4, OPEN),  # three errors are 1.2: nothing is shown
        (103.0, 0.5, FAILS),  # six errors off
        (101.2, 0.5, OPEN),  # outside, but by chance perhaps
        (math.nan, 0.0, ERROR),
    ],
)
def test_a_number_near_its_reference_holds_when_chance_is_small(value, error, verdict):
    assert near("x", value, 100.0, 0.01, standard_error=error).verdict == verdict


@pytest.mark.parametrize(
    ("value", "error", "verdict"),
    [
        (0.3, 0.04, HOLDS),
        (0.3, 0.06, OPEN),  # two errors reach below 0.2
        (0.1, 0.04, FAILS),
        (0.1, 0.06, OPEN),
        (0.3, math.inf, OPEN),  # one seed
    ],
)
def test_a_mean_holds_when_two_errors_of_it_are_in_the_band(value, error, verdict):
    assert Finding("x", value, 0.2, 0.4, math.nan, error).verdict == verdict


def test_an_input_earns_no_credit():
    assert Finding("x", 0.3, 0.2, 0.4, is_input=True).verdict == INPUT
    given, made = Finding("x", 0.3, 0.2, 0.4, is_input=True), true("y", True)
    assert Result("B1", "", "", (), (given, made)).verdict == HOLDS
    assert Result("B1", "", "", (), (given,)).verdict == INPUT


def test_a_row_is_as_good_as_its_worst_finding():
    good, bad = true("x", True), true("x", False)
    unclear = Finding("x", 0.3, 0.2, 0.4, math.nan, math.inf)
    assert Result("A1", "", "", (), (good, unclear)).verdict == OPEN
    assert Result("A1", "", "", (), (good, unclear, bad)).verdict == FAILS
    assert Result("A1", "", "", (), (), fault="broken").verdict == ERROR
    assert Result("A1", "", "", (), missing="wheels").verdict == NOT_YET


def test_a_result_survives_json():
    findings = (Finding("x", math.inf, -math.inf, 1.0, math.nan, math.inf, "h", True), true("y", 1))
    result = Result("B9", "title", "source", (1, 2), findings, 1.5)
    again = result_of(json.loads(json.dumps(result.as_data(), allow_nan=False)))
    assert repr(again) == repr(result)  # NaN differs from itself


def _exact():
    rows = [row for row in all_rows() if row.measure is not None and not row.seeds.quick]
    return [pytest.param(row, id=row.name) for row in rows]


@pytest.mark.parametrize("row", _exact())
def test_a_row_without_chance_holds(row):
    findings = row.measure(())
    assert [f.name for f in findings if f.verdict != HOLDS] == []


def test_every_row_of_the_lists_is_there_once():
    names = [row.name for row in all_rows()]
    assert len(names) == len(set(names))
    assert set(names) >= {f"A{k}" for k in range(1, 42)} | {f"B{k}" for k in range(1, 29)}


def test_a_row_is_measured_by_a_function_or_by_shared_runs_or_says_what_is_missing():
    told = rows_b.registered()
    for row in all_rows():
        is_shared = row.name in told["rows"] or row.name in told["facts"]
        assert (row.measure is not None) + is_shared + bool(row.missing) == 1, row.name


def test_every_published_row_has_a_formula_with_its_findings():
    told = rows_b.registered()["rows"]
    assert set(told) == set(rows_b.FORMULAS)
    shared = ("arbitrage_gain", "bad_debt_share", "liquidated", "bad_debt", "full_after")
    names = {name for row in told.values() for name in row["findings"]}
    statistics = dict.fromkeys((*shared, *names), 1.0)
    for name, row in told.items():
        arms = row.get("arms") or {rows_b.AS_IT_IS: []}
        found = rows_b.FORMULAS[name](dict.fromkeys(arms, statistics))
        assert set(found) == set(row["findings"]), name


def test_there_are_three_bases_and_every_arm_is_a_scenario():
    told = rows_b.registered()
    assert len(told["bases"]) <= 3
    tasks = {
        task
        for row in rows_b.rows()
        if not row.missing
        for tasks in rows_b.tasks_of(row, row.seeds.quick[:1]).values()
        for task in tasks
    }
    assert {task.base for task in tasks} == set(told["bases"])
    for task in tasks:
        load_scenario(task.base, list(task.overrides), until=task.until)


def test_facts_of_inputs_are_facts():
    assert set(rows_b.registered()["facts_of_inputs"]) <= {fact.name for fact in FACTS}


def test_bands_give_mean_and_standard_error_over_seeds():
    band = {"unit": "1", "low": 1, "high": 4, "meaning": "three numbers"}
    found = rows_b.banded("some_name", band, [2.0, 3.0, 4.0])
    assert (found.name, found.value) == ("some name: three numbers", 3.0)
    assert found.standard_error == pytest.approx(1.0 / math.sqrt(3.0))
    assert rows_b.banded("x", band, [2.0]).verdict == OPEN
