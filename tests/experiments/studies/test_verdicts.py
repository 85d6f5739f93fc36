"""Verdicts on settings: what is compared, what failed runs do, which value is the largest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.studies import load_study
from experiments.studies.deciding import more_runs_help
from experiments.studies.estimates import FAIL, PASS, UNDECIDED, clopper_pearson
from experiments.studies.extremes import extreme_passing, search_confidence
from experiments.studies.plan import Plan
from experiments.studies.requirements import parse_requirement
from experiments.studies.verdicts import (
    compared,
    evaluate,
    overall,
    paired_differences,
    sentence,
    settings_of,
)
from sim.errors import InputError


@pytest.fixture
def plan(write_study):
    path = write_study(
        ("values: [0.001, 0.003]", "values: [0.001, 0.003, 0.01]"),
        ("replications: 3", "replications: 200"),
        ("mean(lp_net_return) >= -1", "P(lp_net_return > 0.5) <= 0.1"),
    )
    return Plan(load_study(path))


def rows_with(plan, share_bad, n_failed=0):
    """Return a data set in which a given share of the runs of each fee violates."""
    rng = np.random.default_rng(12)
    rows = []
    for run in plan.runs():
        luck = np.random.default_rng(run.replication).random()  # the same at every setting
        bad = luck < share_bad[run.factors["fee"]]
        own = {"lp_net_return": float(bad) + 0.01 * rng.random(), "n_fills": 0.0}
        place = {"point": run.point, "replication": run.replication, "seed": run.seed}
        rows.append({**place, **run.factors, **own, "status": "ok", "message": ""})
    frame = pd.DataFrame(rows)
    frame.loc[: n_failed - 1, ["status", "lp_net_return"]] = ["error", np.nan]
    return frame


def test_each_setting_has_the_runs_of_its_design_points(plan):
    settings = settings_of(plan)
    assert [s.levers["fee"] for s in settings] == [0.001, 0.003, 0.01]
    assert [len(s.points) for s in settings] == [2, 2, 2]  # two volatilities
    found = evaluate(plan, rows_with(plan, {0.001: 0.0, 0.003: 0.1, 0.01: 0.5}), plan.study.parsed)
    assert [f.verdict for f in found] == [PASS, UNDECIDED, FAIL]
    assert [f.estimate.n for f in found] == [400, 400, 400]
    assert overall(found) == FAIL


def test_the_largest_value_that_passes_is_named_with_the_next_one(plan):
    rows = rows_with(plan, {0.001: 0.0, 0.003: 0.01, 0.01: 0.5})
    confidence = search_confidence(plan, "fee")
    assert confidence == pytest.approx(1 - 0.05 / 3)
    found = evaluate(plan, rows, plan.study.parsed, confidence=confidence)
    (row,) = extreme_passing(plan, found, "fee", largest=True).to_dict("records")
    assert (row["fee"], row["next_value"], row["next_verdict"]) == (0.003, 0.01, FAIL)


def test_the_interval_of_a_value_that_was_picked_holds_for_all_it_was_picked_from(plan):
    rows = rows_with(plan, {0.001: 0.0, 0.003: 0.01, 0.01: 0.5})
    found = evaluate(plan, rows, plan.study.parsed, confidence=search_confidence(plan, "fee"))
    (row,) = extreme_passing(plan, found, "fee", largest=True).to_dict("records")
    bad = int((rows.loc[rows["fee"] == 0.003, "lp_net_return"] > 0.5).sum())
    low, high = clopper_pearson(bad, 400, 0.05 / 3 / 2)
    assert f"{bad / 400:.4g} [{low:.4g}, {high:.4g}]" in row["bounds"]


def test_findings_that_hold_one_by_one_name_no_largest_value(plan):
    rows = rows_with(plan, {0.001: 0.0, 0.003: 0.01, 0.01: 0.5})
    found = evaluate(plan, rows, plan.study.parsed)
    with pytest.raises(InputError, match=r"decide at confidence 0\.983333"):
        extreme_passing(plan, found, "fee", largest=True)


def test_a_value_passes_beyond_one_that_does_not(plan):
    rows = rows_with(plan, {0.001: 0.5, 0.003: 0.0, 0.01: 0.5})  # an optimum inside
    found = evaluate(plan, rows, plan.study.parsed, confidence=search_confidence(plan, "fee"))
    for largest, beyond in ((True, 0.01), (False, 0.001)):
        (row,) = extreme_passing(plan, found, "fee", largest=largest).to_dict("records")
        assert (row["fee"], row["next_value"], row["next_verdict"]) == (0.003, beyond, FAIL)


def test_failed_runs_are_shown_as_violations_and_left_out(plan):
    rows = rows_with(plan, {0.001: 0.0, 0.003: 0.0, 0.01: 0.0}, n_failed=6)
    finding = evaluate(plan, rows, plan.study.parsed)[0]
    n_failed = finding.estimate.n_failed
    assert n_failed == 2  # of the first six runs, two have the first fee
    assert finding.estimate.value == pytest.approx(2 / 400)
    assert (finding.without_failed.value, finding.without_failed.n) == (0.0, 398)


def test_paired_differences_have_the_luck_of_runs_taken_out(plan):
    rows = rows_with(plan, {0.001: 0.1, 0.003: 0.1, 0.01: 0.3})
    table = compared(plan, rows, ["lp_net_return"], settings_of(plan)[0]).set_index("fee")
    # at an equal share the same runs are bad, and what differs is noise of 0.01
    assert abs(table.loc[0.003, "difference"]) < 0.002
    assert table.loc[0.003, "high"] - table.loc[0.003, "low"] < 0.01
    assert table.loc[0.01, "low"] > 0.1
    assert table.loc[0.01, "pairs"] == 400
    first, _, last = settings_of(plan)
    made = paired_differences(plan, rows, "lp_net_return", first, last)
    assert made.value == pytest.approx(table.loc[0.01, "difference"])


def test_intervals_of_all_differences_together_are_wider_than_of_one(plan):
    rows = rows_with(plan, {0.001: 0.1, 0.003: 0.1, 0.01: 0.3})
    settings = settings_of(plan)
    table = compared(plan, rows, ["lp_net_return"], settings[0]).set_index("fee")
    alone = paired_differences(plan, rows, "lp_net_return", settings[0], settings[2])
    assert table.loc[0.01, "high"] - table.loc[0.01, "low"] > alone.high - alone.low


def test_the_worst_corner_is_the_point_with_the_largest_simultaneous_bound(plan):
    rows = rows_with(plan, {0.001: 0.0, 0.003: 0.0, 0.01: 0.0})
    rows.loc[(rows["point"] == 1) & (rows["replication"] < 20), "lp_net_return"] = 1.0
    finding = evaluate(plan, rows, plan.study.parsed)[0]
    assert finding.worst_point == 1
    assert finding.worst_bound > finding.estimate.upper > 20 / 400


def test_the_sentence_says_what_a_reader_must_know(plan):
    rows = rows_with(plan, {0.001: 0.0, 0.003: 0.0, 0.01: 0.0})
    text = sentence(plan, evaluate(plan, rows, plan.study.parsed)[0], 3)
    for part in ("PASS", "400 runs", "study seed 1", "hf_preserving", "3 looks", "conditional on"):
        assert part in text


def test_differences_of_rare_events_are_told_by_the_share_of_pairs(plan):
    rows = rows_with(plan, {0.001: 0.0, 0.003: 0.05, 0.01: 0.05})
    rows["lp_net_return"] = rows["lp_net_return"].round()  # 0 or 1: most pairs are alike
    row = compared(plan, rows, ["lp_net_return"], settings_of(plan)[0]).iloc[0]
    assert (row["low"], row["high"]) == (-np.inf, np.inf)
    share = rows.loc[rows["fee"] == 0.003, "lp_net_return"].mean()
    assert row["higher"] == pytest.approx(share)
    assert 0.0 < row["higher_low"] < share < row["higher_high"]
    # no pair of 400 is lower: 1 - (0.05 / 12) ** (1 / 400), 2 differences, 3 intervals each
    assert (row["lower"], row["lower_low"]) == (0.0, 0.0)
    assert row["lower_high"] == pytest.approx(1 - (0.05 / 12) ** (1 / 400))


def test_runs_are_not_spent_where_more_of_them_decide_nothing(plan):
    mean = [parse_requirement("mean(lp_net_return) >= 0")]
    spread = rows_with(plan, {0.001: 0.5, 0.003: 0.5, 0.01: 0.5})
    spread["lp_net_return"] -= spread["lp_net_return"].mean()
    assert all(more_runs_help(f) for f in evaluate(plan, spread, mean))
    failed = spread.copy()
    failed.loc[:, "status"] = np.where(failed["replication"] == 3, "error", "ok")
    assert not any(more_runs_help(f) for f in evaluate(plan, failed, mean))
    alike = pd.concat([spread.assign(lp_net_return=0.0)] * 3)  # 1,200 runs a setting
    found = evaluate(plan, alike, mean)
    assert {f.verdict for f in found} == {UNDECIDED}
    assert not any(more_runs_help(f) for f in found)


def test_the_sentence_shows_both_bounds_where_runs_failed(plan):
    rows = rows_with(plan, {0.001: 0.0, 0.003: 0.0, 0.01: 0.0}, n_failed=6)
    text = sentence(plan, evaluate(plan, rows, plan.study.parsed)[0], None)
    assert "estimate 0.005" in text
    assert "2 failed and count as violations (left out: 0 [0, " in text
