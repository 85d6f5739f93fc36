"""Spillovers: the worked example, recovery from a simulated series, independence of the order."""

import numpy as np
import pandas as pd
import pytest

from analysis.contagion.spillovers import (
    fit_spillovers,
    moving_average,
    recorded_changes,
    spillovers,
)
from sim.errors import InputError
from tests.analysis.builders import crash_run

LAG = np.array([[0.5, 0.2], [0.1, 0.4]])
SIGMA = np.array([[1.0, 0.3], [0.3, 1.0]])


def series(n_steps, seed=3):
    """Return steps of the worked example's autoregression."""
    random = np.random.default_rng(seed)
    surprises = random.standard_normal((n_steps, 2)) @ np.linalg.cholesky(SIGMA).T
    found = np.zeros((n_steps, 2))
    for step in range(1, n_steps):
        found[step] = LAG @ found[step - 1] + surprises[step]
    return pd.DataFrame(found, columns=["a", "b"])


def test_generalized_shares_of_the_worked_example():
    found = spillovers(LAG[None], SIGMA, 10)

    expected = [[0.817801, 0.182199], [0.121372, 0.878628]]
    np.testing.assert_allclose(found.shares, expected, atol=1e-6)
    assert found.total == pytest.approx(0.151786, abs=1e-6)


def test_cholesky_total_of_the_worked_example():
    found = spillovers(LAG[None], SIGMA, 10, is_generalized=False)

    assert found.total == pytest.approx(0.096574, abs=1e-6)


def test_responses_follow_the_recursion():
    responses = moving_average([LAG, 0.1 * LAG], 3)

    np.testing.assert_array_equal(responses[0], np.eye(2))
    np.testing.assert_allclose(responses[1], LAG)
    np.testing.assert_allclose(responses[2], LAG @ LAG + 0.1 * LAG)


def test_what_is_given_is_what_is_received():
    found = spillovers(LAG[None], SIGMA)

    assert found.given.sum() == pytest.approx(found.received.sum(), rel=1e-12)
    assert found.net.sum() == pytest.approx(0.0, abs=1e-15)
    np.testing.assert_allclose(found.shares.sum(axis=1), 1.0, rtol=1e-12)


def test_generalized_shares_do_not_depend_on_the_order_of_the_series():
    first, turned = spillovers(LAG[None], SIGMA), spillovers(LAG[None, ::-1, ::-1], SIGMA)

    np.testing.assert_allclose(turned.shares[::-1, ::-1], first.shares, rtol=1e-12)


def test_a_fitted_series_gives_the_shares_of_its_process():
    # 20 series of 1,500 steps: each total scatters by about .015 and is biased by about 1/1500;
    # the mean of 20 is off by more than .012 in less than one of 1,000
    found = [fit_spillovers(series(1_500, seed)).total for seed in range(20)]

    assert np.mean(found) == pytest.approx(0.151786, abs=0.012)


def test_units_of_a_series_change_nothing():
    frame = series(400)

    plain, scaled = fit_spillovers(frame), fit_spillovers(frame.assign(b=1e9 * frame["b"]))

    np.testing.assert_allclose(scaled.shares, plain.shares, rtol=1e-6)


def test_series_that_cannot_be_fitted_are_refused():
    frame = series(200)
    with pytest.raises(InputError, match="'c' is constant"):
        fit_spillovers(frame.assign(c=1.0))
    with pytest.raises(InputError, match="sums of others"):
        fit_spillovers(frame.assign(c=frame["a"] + frame["b"]))
    with pytest.raises(InputError, match="too few"):
        fit_spillovers(frame.head(5))


def test_recorded_changes_can_be_fitted():
    changes = recorded_changes(crash_run(), ("price", "utilization", "backing"))

    assert {"eth-dai price", "cdp DAI utilization", "bridge backing"} <= set(changes)
    assert "weth-eth price" in changes
    found = fit_spillovers(changes)
    assert 0.0 < found.total < 1.0
    assert found.shares.shape == (changes.shape[1],) * 2


def test_a_series_that_says_what_another_says_is_left_out():
    run = dict(crash_run())
    pools = run["pools"].astype({"venue": str})
    copy = pools[pools["venue"] == "eth-dai"].assign(venue="eth-dai-copy")
    run["pools"] = pd.concat([pools, copy], ignore_index=True)

    assert [name for name in recorded_changes(run) if name.startswith("eth-dai")] == [
        "eth-dai price"
    ]
    assert recorded_changes({}).empty
