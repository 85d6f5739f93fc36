"""Estimators of stylized facts against distributions whose answer is known."""

import math

import numpy as np
import pytest

from analysis.setting import Setting, setting_of
from analysis.stylized_facts import (
    FACTS,
    autocorrelation,
    excess_kurtosis,
    fano_factor,
    hill_index,
    main_asset,
    table_of,
)
from tests.analysis.builders import crash_manifest, crash_run, quiet_manifest, quiet_run


def test_the_tail_index_of_a_pareto_law_is_its_exponent():
    """5 % of 100,000: standard error 3 / sqrt(5,000) = 0.042; three of them, 0.3 % false alarms."""
    values = np.random.default_rng(1).pareto(3.0, 100_000) + 1.0
    assert hill_index(values) == pytest.approx(3.0, abs=0.13)


def test_the_tail_index_by_hand():
    """Five largest of 100: e^2 … over e: 1 / mean of (2 - 1) = 1."""
    values = np.concatenate([np.full(5, math.e**2), np.full(95, math.e)])
    assert hill_index(values) == pytest.approx(1.0)
    assert math.isnan(hill_index(values[:50]))


def test_autocorrelation_of_an_autoregression_falls_by_its_coefficient():
    """0.6, 0.36, 0.216; standard error about 1 / sqrt(100,000) x 1.5."""
    random = np.random.default_rng(2)
    x = np.zeros(100_000)
    noise = random.normal(size=len(x))
    for k in range(1, len(x)):
        x[k] = 0.6 * x[k - 1] + noise[k]
    np.testing.assert_allclose(autocorrelation(x, 3), [0.6, 0.36, 0.216], atol=0.015)
    assert np.isnan(autocorrelation(np.ones(10), 3)).all()


def test_excess_kurtosis_of_known_laws():
    """Two points -1.2 for a uniform law, 3 for a Laplace law (standard error 0.07)."""
    assert excess_kurtosis(np.linspace(0.0, 1.0, 10_001)) == pytest.approx(-1.2, abs=1e-3)
    laplace = np.random.default_rng(3).laplace(size=200_000)
    assert excess_kurtosis(laplace) == pytest.approx(3.0, abs=0.25)
    assert math.isnan(excess_kurtosis(np.ones(100)))


def test_a_poisson_process_has_a_fano_factor_of_one():
    """Of 1,000 windows: standard error sqrt(2 / 1,000) = 0.045."""
    times = np.random.default_rng(4).uniform(0.0, 1_000.0, 20_000)
    assert fano_factor(times, 0.0, 1_000.0, 1.0) == pytest.approx(1.0, abs=0.15)
    assert fano_factor(np.repeat(np.arange(0.5, 1_000.0, 2.0), 6), 0.0, 1_000.0, 1.0) == 3.0


def test_a_gaussian_path_has_no_fat_tails_and_a_crash_has():
    quiet = table_of(quiet_run(), setting_of(quiet_manifest()))
    crash = table_of(crash_run(), setting_of(crash_manifest()))
    assert not quiet["holds"]["excess_kurtosis"]
    assert not quiet["holds"]["absolute_autocorrelation"]
    assert quiet["holds"]["return_autocorrelation"]
    assert crash["holds"]["liquidation_clustering"]
    assert crash["value"]["liquidation_clustering"] > 3.0
    assert main_asset(crash_run(), setting_of(crash_manifest())) == "ETH"


def test_facts_without_data_neither_hold_nor_fail():
    empty = table_of({}, Setting())
    assert empty.index.to_list() == [fact.name for fact in FACTS]
    assert empty["value"].isna().all()
    assert all(verdict is None for verdict in empty["holds"])


def test_a_verdict_says_whether_the_value_lies_in_the_band():
    table = table_of(crash_run(), setting_of(crash_manifest()))
    known = table[table["value"].notna()]
    inside = (known["value"] >= known["low"]) & (known["value"] <= known["high"])
    assert known["holds"].astype(bool).equals(inside)
