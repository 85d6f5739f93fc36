"""Moments, invariance and refusals of drawn price paths.

Monte Carlo tests accept 4.5 standard errors: for a correct sampler the chance that a new seed
fails one comparison is 7e-6. Seeds are fixed, so a test that passes once passes always.
"""

import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from pydantic import TypeAdapter

from sim.errors import ScenarioError
from sim.reference.config import CorrelationConfig, PriceConfig
from sim.reference.paths import make_paths
from sim.units import DAY

Z = 4.5
PRICE = TypeAdapter(PriceConfig)


def settings(kind, **values):
    return PRICE.validate_python({"kind": kind, **values})


def gbm(**values):
    return settings("gbm", **{"price": 100.0, "volatility": 0.05, **values})


def regimes(*listed, **values):
    return settings("regime_switching", **{"price": 1.0, "regimes": list(listed), **values})


def pair(first, second, value):
    return CorrelationConfig.model_validate({"assets": [first, second], "correlation": value})


def path_of(config, n_steps, step=60.0, seed=7):
    return make_paths({"ETH": config}, n_steps * step, step, seed)[0]


def log_returns(config, n_steps, step=60.0, n_seeds=1):
    paths = [path_of(config, n_steps // n_seeds, step, seed) for seed in range(n_seeds)]
    return np.concatenate([np.diff(np.log(path)) for path in paths])


ALL_DRAWN = {
    "gbm": gbm(),
    "jumps": settings(
        "jump_diffusion",
        price=5.0,
        volatility=0.04,
        jumps_per_day=20.0,
        jump_mean=-0.02,
        jump_sd=0.01,
    ),
    "regimes": regimes(
        {"name": "calm", "volatility": 0.02, "mean_dwell_seconds": 600.0},
        {"name": "wild", "volatility": 0.2, "mean_dwell_seconds": 250.0},
        {"name": "fall", "volatility": 0.1, "drift_per_day": -2.0, "mean_dwell_seconds": 90.0},
    ),
    "waypoints": settings(
        "waypoints",
        waypoints=[[0, 10.0], [1.5, 11.0], [40, 9.0]],
        volatility=[
            {"until_hours": 0.7, "volatility": 0.1},
            {"until_hours": 40, "volatility": 0.3},
        ],
        wicks=[[0.8, 5.0]],
    ),
}


# --- moments -------------------------------------------------------------------------------------


def assert_moments(sample, mean, variance):
    n = len(sample)
    assert abs(sample.mean() - mean) < Z * math.sqrt(variance / n)
    assert abs(sample.var() / variance - 1.0) < Z * math.sqrt(2.0 / n)


def test_log_returns_of_gbm_have_the_stated_mean_and_variance():
    returns = log_returns(gbm(drift_per_day=0.3), 200_000, 60.0)
    assert_moments(returns, 0.3 * 60 / DAY, 0.05**2 * 60 / DAY)


def test_log_returns_of_gbm_are_independent_from_step_to_step():
    returns = log_returns(gbm(), 200_000)
    # Every second neighbor shares an address; a lag correlation has standard error 1/sqrt(n).
    for lag in (1, 2):
        correlation = np.corrcoef(returns[:-lag], returns[lag:])[0, 1]
        assert abs(correlation) < Z / math.sqrt(len(returns))


def test_zero_drift_is_a_martingale_of_the_log_price_by_default():
    returns = log_returns(gbm(volatility=0.5), 100_000, DAY / 4)
    assert_moments(returns, 0.0, 0.5**2 / 4)


@pytest.mark.parametrize("kind", ["gbm", "jump_diffusion", "regime_switching"])
def test_drift_of_price_is_the_growth_rate_of_the_expected_price(kind):
    growth = 0.02
    common = {"price": 1.0, "drift_of": "price"}
    diffusion = {"volatility": 0.4, "drift_per_day": growth}
    if kind == "gbm":
        config = settings(kind, **common, **diffusion)
    elif kind == "jump_diffusion":
        jumps = {"jumps_per_day": 1.5, "jump_mean": -0.1, "jump_sd": 0.2}
        config = settings(kind, **common, **diffusion, **jumps)
    else:
        other = {"name": "b", "volatility": 0.1, "drift_per_day": growth, "mean_dwell_seconds": DAY}
        config = regimes({"name": "a", "mean_dwell_seconds": DAY, **diffusion}, other, **common)
    # Growth factors, less the stated growth, have mean 1; their error is taken from the sample.
    factors = np.exp(log_returns(config, 100_000, DAY / 4, n_seeds=100)) / math.exp(growth / 4)
    assert abs(factors.mean() - 1.0) < Z * factors.std() / math.sqrt(len(factors))


def test_jumps_come_at_the_stated_rate_with_the_stated_size():
    config = settings(
        "jump_diffusion",
        price=1.0,
        volatility=0.0,
        jumps_per_day=30.0,
        jump_mean=-0.03,
        jump_sd=0.02,
    )
    days = 400
    returns = log_returns(config, days * 8_640, 10.0)
    sizes = returns[np.abs(returns) > 1e-12]
    # Two jumps fall in one step of 10 s with chance 6e-6: such a step of about 12,000 is no matter.
    assert abs(len(sizes) - 30 * days) < Z * math.sqrt(30 * days)
    assert_moments(sizes, -0.03, 0.02**2)


def test_jump_diffusion_has_the_variance_and_fourth_cumulant_of_merton():
    volatility, rate, mean, sd = 0.05, 6.0, -0.05, 0.1
    config = settings(
        "jump_diffusion",
        price=1.0,
        volatility=volatility,
        jumps_per_day=rate,
        jump_mean=mean,
        jump_sd=sd,
    )
    returns = log_returns(config, 100_000, DAY / 4, n_seeds=100)
    variance = (volatility**2 + rate * (mean**2 + sd**2)) / 4
    fourth = rate * (mean**4 + 6 * mean**2 * sd**2 + 3 * sd**4) / 4
    assert abs(returns.mean() - rate * mean / 4) < Z * math.sqrt(variance / len(returns))
    squares = (returns - returns.mean()) ** 2
    assert abs(squares.mean() - variance) < Z * squares.std() / math.sqrt(len(returns))
    # Var((x - m)^2) = kappa4 + 2 variance^2, so the standard error above hinges on kappa4.
    assert squares.var() == pytest.approx(fourth + 2 * variance**2, rel=0.1)


def test_regimes_are_occupied_in_proportion_to_their_dwell_times():
    up, down = 900.0, 2_700.0
    config = regimes(
        {"name": "up", "volatility": 0.0, "drift_per_day": 0.01, "mean_dwell_seconds": up},
        {"name": "down", "volatility": 0.0, "drift_per_day": -0.01, "mean_dwell_seconds": down},
    )
    total = 400 * DAY
    path = path_of(config, round(total / 60))
    # Without noise the path tells the exact time spent up: ln(F_T / F_0) = 0.01 (2 up - T).
    share = (math.log(path[-1]) / 0.01 * DAY + total) / 2 / total
    expected = up / (up + down)
    relaxation = 1 / (1 / up + 1 / down)
    error = math.sqrt(2 * expected * (1 - expected) * relaxation / total)
    assert abs(share - expected) < Z * error


def test_each_regime_has_its_own_volatility():
    config = regimes(
        {
            "name": "calm",
            "volatility": 0.01,
            "drift_per_day": 100.0,
            "mean_dwell_seconds": 10_000.0,
        },
        {
            "name": "wild",
            "volatility": 0.03,
            "drift_per_day": -100.0,
            "mean_dwell_seconds": 10_000.0,
        },
    )
    # The drifts set the regimes 0.139 apart in a step of 60 s, 176 deviations of the wilder one.
    # Steps with a switch in them, 0.6 % of all and spread over that distance, seldom come within
    # 6 deviations of a regime: they add less than 0.3 % to the variance.
    returns = log_returns(config, 100_000, n_seeds=10)
    for sign, volatility in ((1, 0.01), (-1, 0.03)):
        inside = returns[np.abs(returns - sign * 100 / 1_440) < 6 * volatility / math.sqrt(1_440)]
        assert len(inside) > 40_000
        assert_moments(inside, sign * 100 / 1_440, volatility**2 / 1_440)


def test_next_weights_choose_the_regime_that_follows():
    def stay(name, drift, weights=None):
        return {
            "name": name,
            "volatility": 0.0,
            "drift_per_day": drift,
            "mean_dwell_seconds": 3_600.0,
            "next_weights": weights,
        }

    config = regimes(
        stay("a", 1.0, {"b": 1.0, "c": 3.0}), stay("b", 2.0, {"a": 1.0}), stay("c", 3.0, {"a": 9.0})
    )
    drift = np.rint(log_returns(config, 400_000) * 1_440).astype(int)
    # a is every second stay, so b and c share the rest as 1 to 3; c's share of stays of b and c
    # of equal mean length has standard error at most 1 / sqrt(stays).
    others = drift[drift > 1]
    stays = 400_000 / 60 / 2
    assert abs((others == 3).mean() - 0.75) < Z / math.sqrt(stays)


def test_a_price_beyond_the_range_of_numbers_is_refused():
    with pytest.raises(ScenarioError, match=r"price of ETH is inf at hour .*; it must stay"):
        path_of(gbm(drift_per_day=1e4), 1_000)


def test_fixed_price_never_moves():
    assert np.all(path_of(settings("fixed", price=1.01), 50) == 1.01)


# --- correlation ---------------------------------------------------------------------------------


def test_correlation_of_returns_is_recovered():
    wanted = {("A", "B"): 0.8, ("A", "C"): -0.3, ("B", "C"): 0.1}
    configs = {name: gbm(volatility=0.02 * k) for k, name in enumerate("ABC", start=1)}
    n = 100_000
    paths = make_paths(configs, n * 60.0, 60.0, 3, [pair(*key, rho) for key, rho in wanted.items()])
    found = np.corrcoef(np.diff(np.log(paths)))
    for (first, second), rho in wanted.items():
        error = (1 - rho**2) / math.sqrt(n)
        assert abs(found["ABC".index(first), "ABC".index(second)] - rho) < Z * error
    for row, k in enumerate((1, 2, 3)):
        assert_moments(np.diff(np.log(paths[row])), 0.0, (0.02 * k) ** 2 * 60 / DAY)


def test_perfectly_correlated_assets_move_as_one():
    paths = make_paths({"A": gbm(), "B": gbm()}, 6_000.0, 60.0, 3, [pair("A", "B", 1.0)])
    assert np.array_equal(paths[0], paths[1])


def test_bridges_can_be_correlated_with_other_prices():
    bridge = settings(
        "waypoints",
        waypoints=[[0, 10.0], [48.0, 11.0]],
        volatility=[{"until_hours": 48, "volatility": 0.1}],
    )
    paths = make_paths({"A": gbm(), "W": bridge}, 48 * 3_600.0, 5.0, 3, [pair("W", "A", 0.6)])
    found = np.corrcoef(np.diff(np.log(paths)))[0, 1]
    assert abs(found - 0.6) < Z * (1 - 0.36) / math.sqrt(paths.shape[1])
    assert paths[1, -1] == 11.0


def test_correlations_that_cannot_hold_together_name_the_pair_and_its_range():
    configs = {name: gbm() for name in "ABC"}
    pairs = [pair("A", "B", 0.9), pair("B", "C", 0.9), pair("A", "C", -0.5)]
    # Beside A-B 0.9 and A-C -0.5 the pair B-C is within -0.45 +- sqrt(0.19 * 0.75).
    with pytest.raises(ScenarioError, match=r"of B and C is 0\.9.*between -0\.8275 and -0\.0725"):
        make_paths(configs, 60.0, 1.0, 1, pairs)


def test_correlations_at_the_edge_of_what_is_possible_are_accepted():
    configs = {name: gbm() for name in "ABC"}
    pairs = [pair("A", "B", 0.6), pair("A", "C", 0.8), pair("B", "C", 0.96)]
    paths = make_paths(configs, 60_000.0, 60.0, 1, pairs)
    a, b, c = np.diff(np.log(paths))
    # 0.96 = 0.6 x 0.8 + 0.8 x 0.6: C lies in the plane of A and B.
    assert np.allclose(c, 0.35 * a + 0.75 * b, atol=1e-12)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([pair("A", "X", 0.1)], "'X' has no price; it may name A, B, S"),
        ([pair("A", "A", 0.1)], "two different assets"),
        ([pair("A", "B", 0.1), pair("B", "A", 0.1)], "given twice"),
        ([pair("A", "S", 0.1)], "price of S is 'fixed'"),
    ],
)
def test_a_pair_that_means_nothing_is_refused(pairs, message):
    configs = {"A": gbm(), "B": gbm(), "S": settings("fixed", price=1.0)}
    with pytest.raises(ScenarioError, match=message):
        make_paths(configs, 60.0, 1.0, 1, pairs)


# --- invariance ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL_DRAWN)
def test_a_longer_horizon_changes_no_earlier_price(kind):
    whole = path_of(ALL_DRAWN[kind], 2_000, 6.5)
    for n_steps in (0, 1, 2, 431, 832, 1_999):
        assert np.array_equal(path_of(ALL_DRAWN[kind], n_steps, 6.5), whole[: n_steps + 1])


def test_another_asset_changes_no_other_price():
    few = dict(list(ALL_DRAWN.items())[1:3])
    alone = make_paths(few, 9_000.0, 7.0, 5)
    among = make_paths(ALL_DRAWN, 9_000.0, 7.0, 5)
    assert np.array_equal(among[1:3], alone)


def test_a_correlated_asset_declared_later_changes_no_earlier_price():
    alone = make_paths({"A": gbm()}, 900.0, 1.0, 5)
    both = make_paths({"A": gbm(), "B": gbm()}, 900.0, 1.0, 5, [pair("A", "B", 0.7)])
    assert np.array_equal(both[0], alone[0])


def test_volatility_scales_the_draws_and_moves_none():
    calm, wild = log_returns(gbm(volatility=0.01), 500), log_returns(gbm(volatility=0.03), 500)
    assert np.allclose(wild, 3 * calm, atol=1e-13)


def test_same_seed_gives_the_same_bits_and_another_seed_others():
    first, again, other = (make_paths(ALL_DRAWN, 5_000.0, 5.0, seed) for seed in (11, 11, 12))
    assert first.tobytes() == again.tobytes()
    assert np.all(first[:3, 1] != other[:3, 1])


HASH_IN_CHILD = """
import hashlib, json, sys
from pydantic import TypeAdapter
from sim.reference.config import CorrelationConfig, PriceConfig
from sim.reference.paths import make_paths
prices = TypeAdapter(dict[str, PriceConfig]).validate_json(sys.argv[1])
pairs = TypeAdapter(list[CorrelationConfig]).validate_json(sys.argv[2])
print(hashlib.sha256(make_paths(prices, 2000.0, 5.0, 11, pairs)).hexdigest())
"""


def test_compiled_and_interpreted_paths_have_the_same_bits():
    pairs = [pair("gbm", "waypoints", 0.4), pair("jumps", "regimes", -0.2)]
    prices = TypeAdapter(dict[str, PriceConfig]).dump_json(ALL_DRAWN).decode()
    correlation = TypeAdapter(list[CorrelationConfig]).dump_json(pairs).decode()
    done = subprocess.run(
        [sys.executable, "-c", HASH_IN_CHILD, prices, correlation],
        env={**os.environ, "UNDERTOW_JIT": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    compiled = make_paths(ALL_DRAWN, 2_000.0, 5.0, 11, pairs)
    assert done.stdout.strip() == hashlib.sha256(compiled).hexdigest()


# --- grid ----------------------------------------------------------------------------------------


def test_paths_are_contiguous_rows_that_start_at_the_stated_price():
    paths = make_paths(ALL_DRAWN, 100.0, 0.1, 1)
    assert paths.shape == (4, 1_001)
    assert paths.dtype == np.float64
    assert paths.flags.c_contiguous
    assert list(paths[:, 0]) == [100.0, 5.0, 1.0, 10.0]


def test_the_grid_ends_at_the_first_step_not_before_the_horizon():
    assert make_paths({"A": gbm()}, 100.0, 7.0, 1).shape == (1, 16)  # 15 steps of 7 s: 105 s


@pytest.mark.parametrize(
    ("horizon", "step", "message"),
    [
        (60.0, 0.0, r"step_seconds is 0; it must be at least 1e-06"),
        (60.0, -1.0, r"step_seconds is -1"),
        (-60.0, 1.0, r"horizon is -60 s"),
        (3e7, 0.1, r"makes 300,000,001 prices; at most 268,435,456.*step of 0\.112 s"),
    ],
)
def test_an_unusable_grid_is_refused(horizon, step, message):
    with pytest.raises(ScenarioError, match=message):
        make_paths({"A": gbm()}, horizon, step, 1)
