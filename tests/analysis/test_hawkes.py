"""Hawkes processes in bins: the branching ratio of a known process, and what fakes one."""

import numpy as np
import pytest

from analysis.hawkes import LEAST_EVENTS, fit_hawkes
from analysis.stylized_facts import fano_factor
from experiments.verify.rows_a_contagion import LENGTH, clusters, counts_of


@pytest.fixture(scope="module")
def times():
    return clusters(1)


def test_the_moments_of_a_hawkes_process_are_those_of_the_formulas(times):
    """Rate 0.5 / (1 - 0.6) = 1.25, Fano factor 1 / (1 - 0.6)^2 = 6.25 in long windows.

    Standard errors 0.0312 (of 10,000 events with Fano factor 6.25) and 0.79 (of 125 windows). Three
    of them: a false alarm in 0.5 % of seeds. Windows of 64 s lose 4 % of the factor to their ends.
    """
    assert len(times) / LENGTH == pytest.approx(1.25, abs=3 * 0.0312)
    assert fano_factor(times, 0.0, LENGTH, 64.0) == pytest.approx(6.25 * 0.96, abs=3 * 0.79)


def test_the_branching_ratio_is_found_within_three_standard_errors(times):
    """A false alarm in 0.3 % of seeds; bins of 0.05 s see 97.5 % of the offspring as later."""
    fit = fit_hawkes(counts_of(times, 0.05), 0.05)
    assert fit.standard_error < 0.02
    assert fit.branching_ratio == pytest.approx(0.6 * 0.975, abs=3 * fit.standard_error)
    assert fit.rate == pytest.approx(0.5, rel=0.10)
    assert fit.memory_seconds == pytest.approx(1.0, rel=0.15)


def test_events_of_a_poisson_process_excite_nothing():
    counts = np.random.default_rng(2).poisson(0.05, 20_000)
    fit = fit_hawkes(counts, 1.0)
    assert fit.branching_ratio < 3 * fit.standard_error + 0.02


def test_a_covariate_takes_the_clustering_that_it_explains():
    """Counts that follow x alone: without it they seem to excite one another."""
    random = np.random.default_rng(3)
    level = np.repeat(random.gamma(0.3, 1.0, 400), 50)
    counts = random.poisson(0.02 + 0.5 * level)
    blind, told = fit_hawkes(counts, 12.0), fit_hawkes(counts, 12.0, level)
    assert blind.branching_ratio > 0.6
    assert told.branching_ratio < 0.05
    assert told.effect == pytest.approx(0.5, rel=0.1)
    assert told.log_likelihood > blind.log_likelihood


def test_too_few_events_are_not_fitted():
    counts = np.zeros(1_000, int)
    counts[: LEAST_EVENTS - 1] = 1
    assert np.isnan(fit_hawkes(counts, 12.0)).all()
