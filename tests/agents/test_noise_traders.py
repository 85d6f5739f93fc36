"""Noise traders: how often, how much, where, and what thins them out."""

import math

import numpy as np
import pytest

from agents.noise_traders import activity_by_minute
from sim.status import Status
from tests.worlds import BENCH, run, world_of

DEEP = "venues.eth-usd.value_usd=1e12"


def traders(**terms):
    """Override for a population of noise traders with deep wallets."""
    config = {
        "kind": "noise_traders",
        "chain": "mainnet",
        "count": 500,
        "swaps_per_day": 20,
        "median_usd": 100,
        "size_log_sd": 1.5,
        "wallet_multiple": 1e9,
        **terms,
    }
    body = ", ".join(f"{name}: {value}" for name, value in config.items())
    return f"populations={{noise: {{{body}}}}}"


def trades(*overrides, seconds=8_640.0, seed=1, **terms):
    """Fills of a tenth of a day of noise traders in a deep pool at a fixed price."""
    world = world_of(*BENCH, DEEP, traders(**terms), *overrides, seed=seed)
    return run(world, seconds).fills


def test_they_trade_as_often_as_they_arrive():
    """500 x 20 / 10 = 1,000 trades, SE 32; five allowed (6e-7)."""
    fills = trades()
    assert abs(len(fills) - 1_000) < 5 * math.sqrt(1_000)
    assert (fills["status"] == Status.OK).all()


def test_they_buy_as_often_as_they_sell():
    sides = trades()["a"]
    assert abs(sides.mean() - 0.5) < 5 * 0.5 / math.sqrt(len(sides))


def test_sizes_are_lognormal_with_the_median_and_spread_asked_for():
    """About 2,000 trades of 2,000 traders: SE of the log median 1.25 x 1.5 / sqrt(n) = 4 %."""
    log_size = np.log(trades(count=2_000, swaps_per_day=10)["value_in"])
    n = len(log_size)
    assert abs(np.median(log_size) - math.log(100.0)) < 5 * 1.2533 * 1.5 / math.sqrt(n)
    assert abs(log_size.std() / 1.5 - 1.0) < 5 / math.sqrt(2 * n)


def test_the_spread_between_traders_is_the_share_asked_for():
    fills = trades(count=200, swaps_per_day=200, size_share_between=0.25)
    log_size, row = np.log(fills["value_in"]), fills["row"]
    within = np.concatenate([log_size[row == r] - log_size[row == r].mean() for r in range(200)])
    variance = (within**2).sum() / (len(within) - 200)
    expected = 0.75 * 1.5**2
    assert abs(variance / expected - 1.0) < 5 * math.sqrt(2 / len(within))


def test_demand_falls_with_its_cost():
    """exp(-150 x 0.003) = 0.638 of the arrivals, with the same draws: a thinned subset."""
    every, some = trades(), trades(elasticity=150)
    share = math.exp(-150 * 0.003)
    kept = len(some) / len(every)
    assert abs(kept - share) < 5 * math.sqrt(share * (1 - share) / len(every))
    arrived = set(zip(every["row"].tolist(), every["arrival"].tolist(), strict=True))
    assert set(zip(some["row"].tolist(), some["arrival"].tolist(), strict=True)) <= arrived


@pytest.mark.parametrize("fee", [0.0005, 0.003, 0.01])
def test_demand_is_that_of_the_closed_form_at_every_fee(fee):
    """N0 exp(-kappa f): 1,000 arrivals, SE of the share at most 1.6 %; five allowed (6e-7)."""
    every = trades(f"venues.eth-usd.fee={fee}")
    some = trades(f"venues.eth-usd.fee={fee}", elasticity=100)
    share = math.exp(-100 * fee)
    assert abs(len(some) / len(every) - share) < 5 * math.sqrt(share * (1 - share) / len(every))


def test_demand_falls_with_slippage_as_with_fees():
    """Trades of 25,000 USD in a pool of 10 m: fee 0.3 %, impact 0.5 %; SE of the share 1.6 %.

    The cost is against the pool's own price, so that its walk matters little: five SE allowed.
    """
    shallow = "venues.eth-usd.value_usd=1e7"
    terms = {"median_usd": 25_000, "size_log_sd": 0, "wallet_multiple": 1e4}
    every = trades(shallow, **terms)
    some = trades(shallow, elasticity=100, **terms)
    net = 25_000 * 0.997
    cost = 1.0 - 0.997 * 5e6 / (5e6 + net)
    assert cost == pytest.approx(0.008, rel=0.02)
    share = math.exp(-100 * cost)
    assert abs(len(some) / len(every) - share) < 5 * math.sqrt(share * (1 - share) / len(every))


def test_they_take_the_cheaper_pool():
    cheap = (
        "venues.cheap={kind: constant_product, chain: mainnet, tokens: [ETH, USD], fee: 0.0005, "
        "value_usd: 1e12}"
    )
    fills = trades(cheap)
    assert set(fills["venue"].tolist()) == {1}


def test_they_take_the_deeper_pool():
    shallow = (
        "venues.shallow={kind: constant_product, chain: mainnet, tokens: [ETH, USD], fee: 0.003, "
        "value_usd: 1e4}"
    )
    assert set(trades(shallow, size_log_sd=0)["venue"].tolist()) == {0}


def test_they_avoid_a_halted_pool():
    world = world_of(*BENCH, DEEP, traders())
    world.venues.is_halted[0] = 1
    world.advance(world.horizon // 100)
    assert world.states["noise"][0].n_trades.sum() == 0


def test_they_bound_their_slippage():
    fills = trades(slippage_low=0.01, slippage_high=0.02)
    slack = 1.0 - fills["limit"] / (fills["amount"] * np.where(fills["a"] == 1, 1 / 2000, 2000))
    fee = 0.003  # the limit is below the quote, which is below the price by the fee
    assert (slack > 0.01 + fee * 0.98 - 1e-6).all()
    assert (slack < 0.02 + fee + 1e-4).all()


def test_they_never_spend_more_than_half_a_balance():
    world = world_of(*BENCH, DEEP, traders(wallet_multiple=2, size_log_sd=3))
    fills = run(world, 8_640.0).fills
    assert (fills["status"] == Status.OK).all()
    usd = world.token("mainnet", "USD")
    # Two orders of one trader in one block may each be half of it.
    assert (world.balances("noise", usd) >= 0.0).all()


def test_arrivals_lie_between_blocks():
    fills = trades()
    assert (
        (fills["arrival"] <= fills["time"]) & (fills["arrival"] > fills["time"] - 12_000_000)
    ).all()


@pytest.mark.parametrize("most", [1.0, 4.0])
def test_a_cap_on_activity_does_not_change_the_rate(most):
    fills = trades(max_activity=most)
    assert abs(len(fills) - 1_000) < 5 * math.sqrt(1_000)


# --- activity ------------------------------------------------------------------------------------


def test_activity_is_flat_without_power_or_moves():
    rng = np.random.default_rng(1)
    path = 2_000.0 * np.exp(np.cumsum(rng.normal(0, 1e-3, 10_000)))
    assert (activity_by_minute(path, 1.0, 0.0, 4.0) == 0.25).all()
    assert (activity_by_minute(np.full(10_000, 3.0), 1.0, 1.0, 4.0) == 0.25).all()


def test_activity_follows_the_volatility_of_the_last_hour():
    """Five calm hours, then three times the volatility, against the mean of all so far."""
    rng = np.random.default_rng(2)
    sd = np.repeat([1e-4, 3e-4], [18_000, 7_200])
    path = 2_000.0 * np.exp(np.cumsum(rng.normal(0, sd)))
    activity = activity_by_minute(path, 1.0, 1.0, 4.0) * 4.0
    assert activity[100:290].mean() == pytest.approx(1.0, abs=0.15)
    minute = np.arange(365, len(activity))
    variance_so_far = (300.0 + 9.0 * (minute - 300.0)) / minute
    expected = 3.0 / np.sqrt(variance_so_far)
    assert activity[365:].mean() == pytest.approx(expected.mean(), rel=0.15)


def test_activity_against_a_given_calm_volatility_does_not_get_used_to_a_crisis():
    """A long crisis of nine times the calm volatility, power 1/2: three times the arrivals.

    An hour of 60 minute returns gives the volatility to 9 %, its root to 5 %; 600 minutes hold ten
    independent hours, so that the mean is known to 1.5 %: five SE allowed.
    """
    calm = 0.05
    rng = np.random.default_rng(4)
    path = 2_000.0 * np.exp(np.cumsum(rng.normal(0, 9 * calm / math.sqrt(86_400.0), 40_000)))
    given = activity_by_minute(path, 1.0, 0.5, 4.0, calm) * 4.0
    assert given[60:660].mean() == pytest.approx(3.0, rel=0.075)
    so_far = activity_by_minute(path, 1.0, 0.5, 4.0) * 4.0
    assert so_far[60:660].mean() == pytest.approx(1.0, rel=0.075)
    assert (activity_by_minute(path, 1.0, 2.0, 4.0, calm)[60:] == 1.0).all()  # at most four times


def test_activity_looks_back_only():
    rng = np.random.default_rng(3)
    path = 2_000.0 * np.exp(np.cumsum(rng.normal(0, 1e-4, 20_000)))
    crash = path.copy()
    crash[15_000:] *= 0.5
    calm, wild = (activity_by_minute(p, 1.0, 1.0, 4.0) for p in (path, crash))
    np.testing.assert_array_equal(wild[:250], calm[:250])
    # One jump at minute 250 is all the variance: of the last 60 minutes, and of all 251.
    assert wild[251] == pytest.approx(math.sqrt(251 / 60) / 4.0, rel=0.02)
