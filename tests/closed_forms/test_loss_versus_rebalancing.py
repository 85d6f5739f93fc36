"""Loss versus rebalancing: Milionis et al. 2022 and 2023, Nezlobin and Tassy 2025.

Pools face one arbitrageur without costs and a log price that is a martingale; what is measured, and
how, is in `experiments.verify.rebalancing`, which `undertow verify` runs too.
"""

import math

import numpy as np
import pytest

from experiments.verify import rebalancing
from experiments.verify.rebalancing import (
    EVERY_STEP,
    FEES,
    GAIN,
    LOSS,
    TRADES,
    TURNOVER,
    fixed_gain_rate,
    fixed_trade_probability,
    gain_rate,
    liquidity_of,
    slope_in_block_time,
    slope_in_fee,
    slope_in_volatility,
    trade_probability,
    without_fee,
)
from sim.units import DAY
from tests.worlds import world_of


def check(what, measured, expected, tolerance):
    """Fail when a measured mean is off by more than the tolerance, a share of what is expected.

    The tolerance must be worth at least 3.3 standard errors: were the seeds drawn anew, a false
    alarm at most once in a thousand. Where prices that stand still between steps take half of a
    tolerance (fixtures say how much), at most one in ten; most errors are far smaller than that.
    """
    value, error = measured
    said = f"{what}: {value:.6g} +- {error:.2g}, expected {expected:.6g} within {tolerance:.1%}"
    assert 3.3 * error <= tolerance * expected, f"too few days to tell; {said}"
    assert abs(value - expected) <= tolerance * expected, said


# --- theory --------------------------------------------------------------------------------------


def test_the_formulas_give_the_published_numbers():
    assert trade_probability(0.05, 0.003, 12.0) == pytest.approx(0.12195, abs=5e-6)
    assert trade_probability(0.05, 0.0005, 12.0) == pytest.approx(0.45455, abs=6e-6)
    assert gain_rate(0.05, 0.003, 12.0) * 1e4 == pytest.approx(0.3811, abs=5e-5)
    assert gain_rate(0.05, 0.0005, 12.0) * 1e4 == pytest.approx(1.42045, abs=1e-5)
    assert fixed_gain_rate(0.05, 0.003, 12.0) * 1e4 == pytest.approx(0.32089, abs=1e-4)
    assert fixed_trade_probability(0.05, 0.003, 12.0) == pytest.approx(0.1246, abs=5e-5)


# --- exponential blocks --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def poisson():
    """240 days at 5 % a day."""
    return rebalancing.poisson(tuple(range(1, 13)))


@pytest.fixture(scope="module")
def slowest():
    """Four years."""
    return rebalancing.slowest(tuple(range(31, 35)))


@pytest.fixture(scope="module")
def thirty():
    """The pool of 30 bp for three more years: 1,320 days in all."""
    return rebalancing.thirty(tuple(range(1, 13)), (21, 22, 23))


@pytest.mark.parametrize(
    ("blocks", "name", "seconds", "published"),
    [
        ("poisson", "eth-usd", 12.0, 0.1220),
        ("poisson", "ten-bp", 12.0, 0.2941),
        ("poisson", "five-bp", 12.0, 0.4545),
        ("poisson", "one-bp", 12.0, 0.8065),
        ("poisson", "slow-ten", 120.0, 0.5685),
        ("poisson", "slow-five", 120.0, 0.7249),
        ("poisson", "slow-one", 120.0, 0.9295),
        ("slowest", "slowest-thirty", 600.0, 0.4955),
        ("slowest", "slowest-ten", 600.0, 0.7466),
        ("slowest", "slowest-five", 600.0, 0.8549),
        ("slowest", "slowest-one", 600.0, 0.9672),
    ],
)
def test_blocks_trade_as_often_as_theory_says(request, blocks, name, seconds, published):
    """Cells of the table with the engine's own blocks; all of it: `test_trade_probability`."""
    p = request.getfixturevalue(blocks)[name]
    expected = trade_probability(0.05, p.gamma, seconds)
    assert expected == pytest.approx(published, rel=2e-3)  # the table takes gamma for the fee
    check(f"trade probability of {name}", p.trade_probability(), expected, 0.01)


def test_arbitrageurs_gain_what_theory_says_at_five_basis_points(poisson):
    p = poisson["five-bp"]
    expected = gain_rate(0.05, p.gamma, 12.0)
    assert expected * 1e4 == pytest.approx(1.42045, rel=2e-3)
    check("gain", p.per_loss(GAIN), expected, 0.005)
    check("gain, plain", p.mean(GAIN), expected, 0.01)


def test_arbitrageurs_gain_what_theory_says_at_thirty_basis_points(thirty):
    expected = gain_rate(0.05, thirty.gamma, 12.0)
    assert expected * 1e4 == pytest.approx(0.3811, rel=2e-3)
    check("gain", thirty.per_loss(GAIN), expected, 0.01)
    check("gain, plain", thirty.mean(GAIN), expected, 0.01)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("one-bp", 0.01),
        ("five-bp", 0.01),
        ("ten-bp", 0.01),
        ("slow-one", 0.02),
        ("slow-five", 0.02),
    ],
)
def test_gain_and_fees_add_up_to_loss_versus_rebalancing(poisson, name, tolerance):
    check(f"gain and fees of {name}", poisson[name].mean(GAIN, FEES), LOSS, tolerance)


def test_gain_and_fees_add_up_at_thirty_basis_points(thirty):
    check("gain and fees", thirty.mean(GAIN, FEES), LOSS, 0.01)


def test_fees_keep_most_of_the_loss_at_thirty_basis_points(thirty):
    mean, error = thirty.per_loss(FEES)
    check("fees / loss", (mean / LOSS, error / LOSS), 0.8780, 0.005)


def test_arbitrage_turns_the_pool_over_as_theory_says(thirty):
    check("turnover a day", thirty.per_loss(TURNOVER), 0.09146, 0.01)
    check("turnover a day, plain", thirty.mean(TURNOVER), 0.09146, 0.01)


# --- every step, no fee --------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.05, 0.08])
def test_without_fee_the_loss_is_an_eighth_of_the_variance(sigma):
    """3.125 bp a day at 5 %; 1,440 squared normals a day: SE sqrt(2 / n) = 0.11 % of n = 1.6e6."""
    pool = without_fee((1, 2, 3), sigma)
    expected = sigma**2 / 8.0 / (1.0 - sigma**2 * 60.0 / DAY / 8.0)
    check("loss a day", pool.mean(GAIN), expected, 0.005)
    assert pool.per_day[:, TRADES].sum() == 3 * 360 * 1_440


def test_without_fee_the_loss_is_that_of_the_path_to_rounding():
    """A trade from price p to q, at price q, costs L (sqrt q - sqrt p)^2 / sqrt p."""
    world = world_of("horizon=2d", *EVERY_STEP)
    root, liquidity = np.sqrt(world.prices.path[0]), liquidity_of(world)[0]
    world.advance(world.horizon)
    expected = liquidity * (np.diff(root) ** 2 / root[:-1]).sum()
    # The loss is a difference of amounts some 5,000 times as large.
    assert world.venues.lvr[0] == pytest.approx(expected, rel=1e-9)
    assert world.venues.fees[0] == 0.0


# --- fixed blocks --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fixed():
    """A year."""
    return rebalancing.fixed((1,))


@pytest.mark.parametrize(
    ("name", "seconds", "published", "tolerance"),
    [
        ("eth-usd", 12.0, 0.32089, 0.015),
        ("five-bp", 12.0, 1.2722, 0.015),
        ("slow-thirty", 600.0, 1.3977, 0.02),
    ],
)
def test_fixed_blocks_protect_the_pool_as_theory_says(fixed, name, seconds, published, tolerance):
    p = fixed[name]
    expected = fixed_gain_rate(0.05, p.gamma, seconds)
    assert expected * 1e4 == pytest.approx(published, rel=2e-3)
    check(f"gain of {name}", p.per_loss(GAIN), expected, tolerance)


def test_fixed_blocks_trade_as_often_as_theory_says(fixed):
    check("trade probability", fixed["eth-usd"].trade_probability(), 0.1246, 0.015)


def test_fixed_blocks_cost_the_pool_a_sixth_less_than_exponential_ones(fixed, poisson):
    (slow, e1), (fast, e2) = (s["eth-usd"].per_loss(GAIN) for s in (fixed, poisson))
    ratio = slow / fast
    error = ratio * math.hypot(e1 / slow, e2 / fast)
    check("fixed / exponential", (ratio, error), 0.32089 / 0.3811, 0.02)


# --- scaling -------------------------------------------------------------------------------------

SEEDS = (1, 2, 3)  # a year each


def check_slope(measured, expected):
    """Fail when a slope is off by more than 0.05, or its standard error too large to tell.

    The finite width of the band takes up to 0.03 of the tolerance, see `rebalancing.WIDE`: the
    0.02 that are left must be worth 3.3 standard errors, a false alarm at most once in a thousand.
    """
    value, error = measured
    said = f"slope {value:.4f} +- {error:.4f}, expected {expected}"
    assert 3.3 * error <= 0.02, f"too few days to tell; {said}"
    assert abs(value - expected) <= 0.05, said


def test_the_gain_grows_with_the_root_of_the_block_time():
    check_slope(slope_in_block_time(SEEDS), 0.5)


def test_the_gain_falls_as_one_over_the_fee():
    check_slope(slope_in_fee(SEEDS), -1.0)


def test_the_gain_grows_with_the_cube_of_volatility():
    check_slope(slope_in_volatility(SEEDS), 3.0)
