"""Intervals against their definitions, and against samples of known truth.

Where coverage is drawn, with a fixed seed, its standard error is stated, and the bounds lie 3 of
them from the truth expected: a false alarm on another seed has a probability below 0.3 %.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from experiments.studies.estimates import (
    FAIL,
    PASS,
    UNDECIDED,
    clopper_pearson,
    decide,
    estimate,
    least_runs,
    mixture_bounds,
    order_bounds,
)
from experiments.studies.requirements import parse_requirement

RARE = parse_requirement("P(x > 0) <= 0.01")
OFTEN = parse_requirement("P(x > 0) >= 0.9")
MEAN = parse_requirement("mean(x) >= 0")
LATE = parse_requirement("quantile(x, 0.95) <= 600")


def ok(n):
    return np.ones(n, bool)


# --- probability ---------------------------------------------------------------------------------


def test_clopper_pearson_bounds_leave_the_stated_tails():
    low, high = clopper_pearson(7, 50, 0.025)
    assert binom.sf(6, 50, low) == pytest.approx(0.025, rel=1e-9)
    assert binom.cdf(7, 50, high) == pytest.approx(0.025, rel=1e-9)


def test_299_clean_runs_are_the_fewest_that_show_one_percent_at_95():
    assert least_runs(RARE, 0.95, sequential=False) == 299  # 0.99 ** 299 = 0.0495
    assert decide(RARE, estimate(RARE, np.zeros(299), ok(299), 0.95)) == PASS
    assert decide(RARE, estimate(RARE, np.zeros(298), ok(298), 0.95)) == UNDECIDED


def test_the_mixture_bound_solves_its_own_equation():
    # the martingale of p is B(a + k, b + n - k) / B(a, b) / (p^k (1 - p)^(n - k)), a = b = 1/2
    def b(x, y):
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    k, n = 3, 200
    low, high = mixture_bounds(k, n, 0.05)
    for p in (low, high):
        evidence = b(0.5 + k, 0.5 + n - k) - b(0.5, 0.5)
        likelihood = k * math.log(p) + (n - k) * math.log1p(-p)
        assert math.exp(evidence - likelihood) == pytest.approx(20.0, rel=1e-6)
    assert low < k / n < high


def test_least_runs_in_rounds_decide_and_one_less_does_not():
    n = least_runs(RARE, 0.95, sequential=True)
    assert mixture_bounds(0, n, 0.05)[1] <= 0.01 < mixture_bounds(0, n - 1, 0.05)[1]


@pytest.mark.parametrize("p", [0.01, 0.3])
def test_who_looks_after_every_run_is_misled_no_more_often_than_stated(p):
    # 2,000 sequences of 500 runs, looked at 500 times each; Ville bounds the chance of ever
    # refuting the truth by 5 %. Standard error of the count: 0.5 %.
    rng = np.random.default_rng(11)
    k = (rng.random((2_000, 500)) < p).cumsum(axis=1)
    n = np.arange(1, 501)
    from scipy.special import betaln

    log_martingale = (
        betaln(0.5 + k, 0.5 + n - k) - betaln(0.5, 0.5) - k * np.log(p) - (n - k) * np.log1p(-p)
    )
    misled = (log_martingale >= math.log(20.0)).any(axis=1).mean()
    assert misled <= 0.05
    assert misled > 0.005  # the bound is not an empty promise


def test_failed_runs_count_as_violations_of_either_kind():
    values, is_ok = np.zeros(100), ok(100)
    is_ok[:7] = False
    made = estimate(RARE, values, is_ok, 0.95)
    assert (made.value, made.n_failed) == (0.07, 7)
    good = estimate(OFTEN, np.ones(100), is_ok, 0.95)
    assert good.value == 0.93


def test_a_run_without_a_value_counts_as_a_failed_one():
    values = np.zeros(50)
    values[3] = np.nan
    assert estimate(RARE, values, ok(50), 0.95).value == 0.02


# --- quantile ------------------------------------------------------------------------------------


def test_order_statistics_bound_a_quantile_with_binomial_tails():
    ordered = np.arange(1.0, 101.0)
    low, high = order_bounds(ordered, 0.9, 0.025)
    # the value of rank r is at or below the quantile iff at least r values are
    assert binom.sf(low - 1, 100, 0.9) >= 1 - 0.025
    assert binom.cdf(low - 1, 100, 0.9) <= 0.025 < binom.cdf(low, 100, 0.9)
    assert binom.sf(high - 1, 100, 0.9) <= 0.025 < binom.sf(high - 2, 100, 0.9)


def test_too_few_runs_leave_a_quantile_without_an_upper_bound():
    made = estimate(LATE, np.zeros(58), ok(58), 0.95)
    assert made.upper == math.inf  # 0.95 ** 58 = 0.051
    assert decide(LATE, made) == UNDECIDED
    assert decide(LATE, estimate(LATE, np.zeros(59), ok(59), 0.95)) == PASS
    assert least_runs(LATE, 0.95, sequential=False) == 59


def test_a_failed_run_is_infinitely_late():
    is_ok = ok(100)
    is_ok[:8] = False  # 8 of 100: a true share of 5 % gives as many in 13 % of samples
    made = estimate(LATE, np.zeros(100), is_ok, 0.95)
    assert made.value == math.inf
    assert decide(LATE, made) == UNDECIDED
    assert decide(LATE, estimate(LATE, np.full(100, 700.0), ok(100), 0.95)) == FAIL


# --- coverage ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("p", "n"), [(0.2, 4_000), (0.02, 20_000), (0.001, 400_000)])
def test_intervals_of_a_probability_cover_as_stated(p, n):
    # exact: the sum of the binomial weights of the counts whose interval holds p
    near = np.arange(max(0, int(n * p - 8 * math.sqrt(n * p))), int(n * p + 8 * math.sqrt(n * p)))
    covers = [low <= p <= high for low, high in (clopper_pearson(k, n, 0.025) for k in near)]
    assert 0.95 <= binom.pmf(near, n, p)[covers].sum() <= 0.965


@pytest.mark.parametrize(("level", "n"), [(0.5, 400), (0.95, 4_000), (0.99, 20_000)])
def test_intervals_of_a_quantile_cover_as_stated(level, n):
    # exact: of ranks 1 to n, `low` to `high` - 1 values lie at or below the quantile
    low, high = order_bounds(np.arange(1.0, n + 1.0), level, 0.025)
    assert 0.95 <= binom.cdf(high - 1, n, level) - binom.cdf(low - 1, n, level) <= 0.965


def test_intervals_of_a_mean_cover_as_stated():
    # lognormal, 400 values, 150 repeats: standard error of the coverage 1.8 %
    rng, mean, hits = np.random.default_rng(5), math.exp(0.5 * 0.5**2), 0
    for _ in range(150):
        made = estimate(MEAN, np.exp(0.5 * rng.standard_normal(400)), ok(400), 0.95)
        hits += made.low <= mean <= made.high
    assert 0.896 <= hits / 150 <= 1.0


def test_a_mean_of_runs_that_are_all_alike_is_not_decided():
    made = estimate(MEAN, np.full(30, 0.5), ok(30), 0.95)
    assert made.value == 0.5
    assert (made.lower, made.upper) == (-math.inf, math.inf)
    assert "P(...)" in made.method
    assert decide(MEAN, made) == UNDECIDED


def test_a_mean_of_rare_and_heavy_losses_is_not_passed():
    # 1 % of runs lose 1,000: the mean is 10, and of 200 runs 13 % see no loss at all
    small = parse_requirement("mean(x) <= 1")
    few_losses = np.zeros(2_000)
    few_losses[:18] = 1_000.0
    heavy = np.zeros(2_000)
    heavy[:140] = np.exp(-7.0 + 2.0 * np.random.default_rng(1).standard_normal(140))
    for values in (np.zeros(2_000), few_losses, heavy):
        assert decide(small, estimate(small, values, ok(len(values)), 0.95)) == UNDECIDED


def test_a_mean_of_many_equal_losses_keeps_its_interval():
    # 7 % of 4,000 runs lose 1, so that 280 of them carry the variance; the share is within
    # (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n) by Wilson's formula
    values = np.zeros(4_000)
    values[:280] = 1.0
    made = estimate(MEAN, values, ok(4_000), 0.95)
    assert (made.low, made.high) == pytest.approx((0.06250, 0.07832), abs=5e-4)


def test_a_mean_of_four_runs_has_no_shorter_interval_than_student():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    made = estimate(MEAN, values, ok(4), 0.95)
    half = 3.182 * 1.29099 / 2.0  # t(0.975, 3) and the standard deviation, from tables
    assert made.low <= 2.5 - half + 1e-3
    assert made.high >= 2.5 + half - 1e-3


def test_a_mean_is_not_passed_while_runs_have_failed():
    is_ok, spread = ok(30), np.linspace(-0.1, 0.1, 30)
    is_ok[0] = False
    assert decide(MEAN, estimate(MEAN, 0.5 + spread, is_ok, 0.95)) == UNDECIDED
    assert decide(MEAN, estimate(MEAN, spread - 0.5, is_ok, 0.95)) == FAIL
