"""Verdicts are right as often as they say: coverage, and wrong PASS under looks again and again.

The truth of a requirement lies in a population: drawn from a formula, or the bad debt of 20,000
real runs (`bad_debt_of_runs`: nine in ten without, the rest over orders of magnitude). Samples are
drawn from it with replacement. What a sample of n values does to a verdict is read off
`estimate` and `decide` once for each n, as the largest count that passes, so that thousands of
replays cost little.

Seeds are fixed; a standard error of the shares is stated with each, and the bounds asserted lie at
least 3 of them away from what theory expects.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.studies import load_study
from experiments.studies.engines import LocalEngine
from experiments.studies.estimates import (
    FAIL,
    PASS,
    clopper_pearson,
    decide,
    estimate,
    is_inflated,
    order_bounds,
)
from experiments.studies.extremes import search_confidence
from experiments.studies.plan import Plan
from experiments.studies.requirements import parse_requirement
from experiments.studies.store import Store
from experiments.studies.study import shipped_studies
from experiments.studies.sweep import sweep
from experiments.studies.worker import Job, run_one
from tests.experiments.studies import bad_debt_of_runs

LOOKS = tuple(200 * 2**k for k in range(8))  # 200 to 25,600 runs, doubled while undecided
REPLAYS = 10_000


def test_the_empirical_distribution_is_of_enough_runs_and_mostly_zero():
    population = bad_debt_of_runs.read()
    assert len(population) >= 20_000
    assert 0.85 < (population == 0.0).mean() < 0.97
    bad = population[population > 0.0]
    assert bad.max() / np.median(bad) > 10.0  # a tail
    assert is_inflated(population[:: len(population) // 1_000])


# --- coverage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.05, 0.2, 0.5])
def test_intervals_of_a_drawn_probability_cover_the_truth(p):
    # 20,000 samples of 2,000 runs: standard error 0.15 %
    counts = np.random.default_rng(1).binomial(2_000, p, 20_000)
    assert 0.935 <= share_covering(counts, 2_000, p) <= 0.965


def share_covering(counts, n, p):
    known = {int(k): clopper_pearson(int(k), n, 0.025) for k in np.unique(counts)}
    return np.mean([known[k][0] <= p <= known[k][1] for k in counts.tolist()])


def test_intervals_of_the_share_of_bad_runs_cover_an_empirical_truth():
    # 20,000 samples of 1,000 values: standard error 0.15 %
    population, threshold = bad_debt_of_runs.read(), 1e-4
    truth = float((population > threshold).mean())
    rng = np.random.default_rng(3)
    counts = [int((rng.choice(population, 1_000) > threshold).sum()) for _ in range(20_000)]
    assert 0.935 <= share_covering(np.array(counts), 1_000, truth) <= 0.965


def test_intervals_of_a_tail_quantile_cover_an_empirical_truth():
    # 20,000 samples of 1,000 values: standard error 0.15 %. Of an empirical distribution with
    # ties the quantile is that of its own values.
    population = np.sort(bad_debt_of_runs.read())
    truth = population[int(np.ceil(0.97 * len(population))) - 1]
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(20_000):
        low, high = order_bounds(np.sort(rng.choice(population, 1_000)), 0.97, 0.025)
        hits += low <= truth <= high
    assert 0.935 <= hits / 20_000 <= 0.965


def test_intervals_of_a_mean_cover_the_truth_where_tails_are_light():
    # 500 samples of 200 values: standard error 1 %; the bounds hold for this seed
    rng, requirement, hits = np.random.default_rng(6), parse_requirement("mean(x) >= 0"), 0
    for _ in range(500):
        sample = rng.gamma(4.0, 0.25, 200)
        made = estimate(requirement, sample, np.ones(200, bool), 0.95)
        hits += made.low <= 1.0 <= made.high
    assert 0.935 <= hits / 500 <= 0.965


# --- wrong verdicts ------------------------------------------------------------------------------


def verdict_of(text, n, n_bad, look, confidence=0.95):
    """Return the verdict on n runs, of which some violate: 0 where good, 1 where bad."""
    requirement = parse_requirement(text)
    values = np.zeros(n)
    values[:n_bad] = 1.0
    return decide(requirement, estimate(requirement, values, np.ones(n, bool), confidence, look))


def most_that_pass(text, n, look, confidence=0.95):
    """Return the largest number of bad runs that still passes; -1 when none does."""
    low, high = -1, n
    while high - low > 1:
        middle = (low + high) // 2
        is_kept = verdict_of(text, n, middle, look, confidence) == PASS
        low, high = (middle, high) if is_kept else (low, middle)
    return low


def fewest_that_fail(text, n, look):
    low, high = -1, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if verdict_of(text, n, middle, look) == FAIL else (middle, high)
    return high


def replay(text, share_bad, seed):
    """Return the shares of replays that end in PASS, and in FAIL, within the looks."""
    rng = np.random.default_rng(seed)
    bad, before = np.zeros(REPLAYS, np.int64), 0
    is_open = np.ones(REPLAYS, bool)
    n_pass = n_fail = 0
    for look, n in enumerate(LOOKS, start=1):
        bad += rng.binomial(n - before, share_bad, REPLAYS)
        before = n
        passes = is_open & (bad <= most_that_pass(text, n, look))
        fails = is_open & (bad >= fewest_that_fail(text, n, look))
        n_pass, n_fail = n_pass + int(passes.sum()), n_fail + int(fails.sum())
        is_open &= ~passes & ~fails
    return n_pass / REPLAYS, n_fail / REPLAYS


@pytest.mark.parametrize(
    ("text", "share_bad"),
    [
        ("P(x > 0) <= 0.01", 0.0101),  # just beyond the bound: the hardest to tell
        ("P(x > 0) <= 0.01", 0.02),
        ("P(x > 0) <= 0.1", 0.101),
        ("quantile(x, 0.95) <= 0", 0.0505),
        ("quantile(x, 0.95) <= 0", 0.07),
    ],
)
def test_a_wrong_pass_is_no_more_frequent_than_stated(text, share_bad):
    # 10,000 replays: standard error 0.2 %; the stated error is 5 % over all looks together
    n_pass, _ = replay(text, share_bad, 7)
    assert n_pass <= 0.05


@pytest.mark.parametrize(
    ("text", "share_bad"), [("P(x > 0) <= 0.01", 0.0099), ("quantile(x, 0.95) <= 0", 0.0495)]
)
def test_a_wrong_fail_is_no_more_frequent_than_stated(text, share_bad):
    _, n_fail = replay(text, share_bad, 8)
    assert n_fail <= 0.05


def test_the_largest_value_that_passes_is_wrong_no_more_often_than_stated(write_study):
    """Of eight caps the last six break the requirement, each by a little.

    Runs at different caps are drawn apart, which misleads a search most. 10,000 replays: standard
    error 0.2 %. Decided one by one, six bad caps of a 5 % chance each would mislead one search in
    four: 1 - 0.95 ** 6 = 26 %, less what whole numbers of runs leave unused.
    """
    caps = "values: [0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008]"
    plan = Plan(load_study(write_study(("values: [0.001, 0.003]", caps))))
    text, n, bad = "P(x > 0) <= 0.05", 2_000, [0.02, 0.04, *[0.0501] * 6]
    counts = np.random.default_rng(11).binomial(n, bad, (REPLAYS, 8))
    picked_wrong = {}
    for confidence in (0.95, search_confidence(plan, "fee")):
        passes = counts <= most_that_pass(text, n, None, confidence)
        last = 7 - np.argmax(passes[:, ::-1], axis=1)
        picked_wrong[confidence] = float((passes.any(axis=1) & (last >= 2)).mean())
    alone, searched = picked_wrong.values()
    assert alone > 0.15
    assert searched <= 0.05


def test_verdicts_on_an_empirical_distribution_are_right():
    population = bad_debt_of_runs.read()
    share = float((population > 1e-3).mean())
    wrong, _ = replay(f"P(x > 0) <= {share * 0.99}", share, 9)
    assert wrong <= 0.05
    right, _ = replay(f"P(x > 0) <= {share * 1.5}", share, 10)
    assert right >= 0.99  # and what is well within bounds is found to be so


# --- the sign of a known effect ------------------------------------------------------------------

CRASH = """
version: 1
name: small-crash
scenario: black-thursday
until: 3h
set: {warmup: 10m, records.sample_seconds: 10m, records.position_seconds: 10m}
levers:
  threshold:
    path: venues.pool-lending.reserves.ETH.liquidation_threshold
    values: [0.75, 0.90]
    book: %s
uncertainties: # the first twelve hours of the path in three, and deeper
  shock_speed: {values: [4]}
  shock_scale: {values: [1.5]}
replications: 4
outcomes: [bad_debt_share_peak, liquidated_share]
"""


@pytest.mark.parametrize(("book", "liquidated"), [("hf_preserving", 1), ("positions_fixed", -1)])
def test_a_higher_threshold_costs_lenders_under_both_book_responses(tmp_path, book, liquidated):
    """Users who re-lever to their old health factors put less behind each debt: more is liquidated.

    Users who keep their positions are safer from liquidation, and those whom it still reaches have
    less left. Either way bad debt grows. Pairs of runs share their seeds; that four of four have
    the right sign without any effect has a probability of 6 %, of both outcomes 0.4 %.
    """
    path = tmp_path / "crash.yaml"
    path.write_text(CRASH % book, "utf-8")
    plan = Plan(load_study(str(path)))
    store = Store(str(tmp_path / "out"))
    sweep(plan, store, LocalEngine(1))
    rows = store.rows()
    assert (rows["status"] == "ok").all()
    for outcome, sign in (("bad_debt_share_peak", 1), ("liquidated_share", liquidated)):
        pairs = rows.pivot_table(index="replication", columns="threshold", values=outcome)
        assert (sign * (pairs[0.90] - pairs[0.75]) > 0.0).all()


# --- a known optimum -----------------------------------------------------------------------------


def test_the_shipped_fee_study_earns_what_the_formula_says(tmp_path):
    """Net return a day: fee N0 exp(-kappa fee) - (sigma^2 / 8) / (1 + fee / (sigma sqrt(dt / 2))).

    The optimum is 68.9 bp with 4.72 bp a day (Milionis et al. 2023 for the loss to arbitrage).
    Six replications; means lie within 4 standard errors of it: a false alarm on other seeds has a
    probability of some 3 % (Student's t of 5 degrees of freedom).
    """
    text = shipped_studies()["fee-tier"].read_text("utf-8")
    every = "[0.003, 0.005, 0.006, 0.0069, 0.008, 0.01]"
    assert every in text
    path = tmp_path / "fees.yaml"
    path.write_text(text.replace(every, "[0.003, 0.0069, 0.01]"), "utf-8")
    plan = Plan(load_study(str(path)))
    job = Job(plan.variation, plan.outcomes, plan.schema(), Store(str(tmp_path)), 100.0)
    runs = [run for run in plan.runs() if run.factors["block_seconds"] == 12][: 3 * 6]
    rows = pd.DataFrame([run_one(job, run) for run in runs])
    found = rows.pivot_table(index="replication", columns="fee", values="lp_net_return")
    for fee in found:
        spread = 0.05 * np.sqrt(12.0 / 2.0 / 86_400.0)
        expected = fee * 0.2 * np.exp(-150.0 * fee) - 0.05**2 / 8.0 / (1.0 + fee / spread)
        error = found[fee].std() / np.sqrt(len(found))
        assert abs(found[fee].mean() - expected) < 4.0 * error
        assert error < 0.02 * expected
    assert (found[0.0069] > found[0.003]).all()  # seed by seed
    assert (found[0.0069] > found[0.01]).all()
