"""Arbitrage over many pools: a published instance, closed forms, an independent solver, cycles."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize

from sim.dual_arbitrage import (
    ConstantSumMarket,
    VenueMarket,
    WeightedMarket,
    best_arbitrage,
)
from sim.errors import InputError
from sim.trial import actors, small_plan
from sim.world import World
from tests.examples import POOL, config_of, venue

HALVES = np.array([0.5, 0.5])


def product(a, b, reserve_a, reserve_b, fee=0.003):
    return WeightedMarket((a, b), np.array([reserve_a, reserve_b]), HALVES, fee)


# --- published numbers and closed forms ----------------------------------------------------------

PUBLISHED = (
    WeightedMarket((0, 1, 2, 3), np.full(4, 4.0), np.array([0.4, 0.3, 0.2, 0.1]), 0.002),
    product(0, 1, 10.0, 1.0),
    product(1, 2, 1.0, 5.0),
    product(2, 3, 40.0, 50.0),
    ConstantSumMarket((2, 3), np.array([10.0, 10.0]), 0.001),
)
VALUES = (1.5, 10.0, 2.0, 3.0)


def test_the_published_instance():
    """Angeris et al. 2022: 21.4998, of 1.17499 of the second token and 3.24997 of the fourth."""
    found = best_arbitrage(PUBLISHED, VALUES)
    assert found.value == pytest.approx(21.4998, abs=1e-4)
    assert found.net == pytest.approx([0.0, 1.17499, 0.0, 3.24997], abs=1e-3)
    assert 0.0 <= found.bound - found.value <= 1e-7 * found.value


def primal(markets, values):
    """The same problem by SLSQP, as it is written: amounts paid and given, no duality."""
    places = [(k, side) for k, m in enumerate(markets) for side in range(2 * len(m.tokens))]
    n = len(places)

    def of(x, k):
        mine = x[[place[0] == k for place in places]]
        half = len(mine) // 2
        return mine[:half], mine[half:]  # paid, given

    flow = np.zeros((len(values), n))
    for column, (k, side) in enumerate(places):
        half = len(markets[k].tokens)
        flow[markets[k].tokens[side % half], column] = -1.0 if side < half else 1.0

    def room(x):
        left = []
        for k, m in enumerate(markets):
            paid, given = of(x, k)
            after = m.reserves + (1.0 - m.fee) * paid - given
            if isinstance(m, ConstantSumMarket):
                left += [after.sum() - m.reserves.sum(), *after]
            else:
                safe = np.maximum(after, 1e-9)
                left.append(m.weights @ np.log(safe / m.reserves))
        return np.array(left)

    most = [m.reserves[side % len(m.tokens)] for m, side in ((markets[k], s) for k, s in places)]
    found = [
        minimize(
            lambda x: -(np.asarray(values) @ flow @ x),
            np.full(n, start),
            jac=lambda _: -(np.asarray(values) @ flow),
            method="SLSQP",
            bounds=[(0.0, 5.0 * held) for held in most],
            constraints=[
                {"type": "ineq", "fun": room},
                {"type": "ineq", "fun": lambda x: flow @ x, "jac": lambda _: flow},
            ],
            options={"maxiter": 2_000, "ftol": 1e-12},
        )
        for start in (1e-4, 1e-3, 1e-2, 0.1)  # from some starts it stops before the top
    ]
    return max(-done.fun for done in found if room(done.x).min() > -1e-7)


def test_the_published_instance_by_an_independent_solver():
    assert primal(PUBLISHED, VALUES) == pytest.approx(21.4998, abs=1e-4)


def test_two_pools_and_a_triangle_are_their_closed_forms():
    """31.320901 for 1,448.6339 paid, and 0.2658483 for 9.443499."""
    pair = [product(0, 1, 200_000.0, 100.0), product(1, 0, 50.0, 105_000.0)]
    found = best_arbitrage(pair, [1.0, 1.0])
    assert found.value == pytest.approx(31.320901, rel=1e-6)
    assert -found.trades[0][0] == pytest.approx(1_448.6339, rel=1e-3)
    triangle = [
        product(0, 1, 1_000.0, 2_000.0),
        product(1, 2, 3_000.0, 1_000.0),
        product(2, 0, 500.0, 800.0),
    ]
    found = best_arbitrage(triangle, [1.0, 0.1, 0.1])
    assert found.value == pytest.approx(0.2658483, rel=1e-5)


def test_one_pool_against_prices_is_its_closed_form():
    """100 / 200,000 at 30 bp and 2,100 outside: 107.570926 by 4,645.3118 paid."""
    trade = product(0, 1, 100.0, 200_000.0).best_trade(np.array([2_100.0, 1.0]))
    assert -trade[1] == pytest.approx(4_645.3118, rel=1e-8)
    assert trade @ [2_100.0, 1.0] == pytest.approx(107.570926, rel=1e-8)
    trade = product(0, 1, 100.0, 200_000.0).best_trade(np.array([2_003.0, 1.0]))
    assert trade == pytest.approx([0.0, 0.0], abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_trade_of_four_tokens_cannot_be_bettered(seed):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(4, 3.0))
    pool = WeightedMarket((0, 1, 2, 3), rng.uniform(1.0, 9.0, 4), weights, 0.01)
    prices = rng.uniform(0.5, 2.0, 4) * weights / pool.reserves
    best = pool.best_trade(prices)
    after = pool.reserves - np.where(best < 0.0, 0.99 * best, best)
    assert weights @ np.log(after / pool.reserves) == pytest.approx(0.0, abs=1e-12)
    assert primal([pool], prices) <= prices @ best * (1.0 + 1e-6) + 1e-9


# --- many pools ----------------------------------------------------------------------------------


def network(seed, n_tokens=6, n_pools=14):
    """Constant product pools whose prices are some percent apart."""
    rng = np.random.default_rng(seed)
    values = np.exp(rng.normal(0.0, 1.0, n_tokens))
    markets = []
    for _ in range(n_pools):
        a, b = (int(t) for t in rng.permutation(n_tokens)[:2])
        size = 10.0 ** rng.uniform(2.0, 5.0)
        off = math.exp(rng.normal(0.0, 0.03))
        markets.append(product(a, b, size / values[a] * off, size / values[b]))
    return markets, values


def best_cycle(markets, values, longest=3):
    """Best single cycle by the closed form of chains, over all pools and directions."""
    best = 0.0
    for n in range(2, longest + 1):
        for chain in itertools.permutations(markets, n):
            for start in chain[0].tokens:
                token, a, b, c = start, 1.0, 1.0, 0.0
                for market in chain:
                    if token not in market.tokens:
                        break
                    i = market.tokens.index(token)
                    keep = 1.0 - market.fee
                    x, y = market.reserves[i], market.reserves[1 - i]
                    a, b, c = keep * y * a, x * b, x * c + keep * a
                    token = market.tokens[1 - i]
                else:
                    if token == start and a > b:
                        gain = (math.sqrt(a) - math.sqrt(b)) ** 2 / c
                        best = max(best, gain * values[start])
    return best


@pytest.mark.parametrize("seed", range(4))
def test_all_pools_together_are_never_worse_than_a_cycle(seed):
    markets, values = network(seed)
    found = best_arbitrage(markets, values)
    assert found.value >= best_cycle(markets, values) * (1.0 - 1e-7)
    assert 0.0 <= found.bound - found.value + 1e-9 <= 1e-6 * found.value + 2e-9


def test_a_small_network_by_the_independent_solver():
    markets, values = network(3, n_tokens=3, n_pools=5)
    found = best_arbitrage(markets, values)
    assert found.value > 0.1
    independent = primal(markets, values)  # it stops up to 0.2 % short of the top
    assert found.value * (1.0 - 5e-3) <= independent <= found.bound * (1.0 + 1e-6)


def test_what_is_found_can_be_traded():
    markets, values = network(9)
    found = best_arbitrage(markets, values)
    total = np.zeros(len(values))
    for market, trade in zip(markets, found.trades, strict=True):
        after = market.reserves - np.where(trade < 0.0, 0.997 * trade, trade)
        assert market.weights @ np.log(after / market.reserves) >= -1e-12
        total[list(market.tokens)] += trade
    assert (total >= -1e-9 * np.abs(found.trades[0]).max()).all()
    assert total @ values == pytest.approx(found.value, rel=1e-7)


def test_pools_at_one_price_leave_nothing():
    found = best_arbitrage([product(0, 1, 100.0, 200.0), product(1, 0, 400.0, 200.0)], [1.0, 0.5])
    assert found.value == found.bound == 0.0
    assert not found.net.any()


def test_pools_of_a_world_are_asked_by_their_quotes():
    """A constant product at 2,000, a stableswap and a weighted pool at other prices."""
    plans = (
        venue("product", config_of("constant_product", **POOL)),
        venue(
            "stable",
            config_of(
                "stableswap", **POOL, amplification=50.0, rates=[2_060.0, 1.0], fee=0.001,
            ),
        ),
        venue("weighted", config_of("weighted", **POOL, weights=[0.7, 0.3], fee=0.001)),
        venue("ranges", config_of("concentrated_liquidity", **POOL, half_width=0.2)),
    )  # fmt: skip
    world = World(small_plan(plans, (actors(),)))
    values = np.full(len(world.tokens), 1.0)
    values[world.token("home", "ETH")] = 2_000.0
    markets = [VenueMarket(world, k) for k in range(len(plans))]
    found = best_arbitrage(markets, values)
    plain = WeightedMarket(markets[0].tokens, np.array([250.0, 500_000.0]), HALVES, 0.003)
    assert markets[0].best_trade(np.array([2_100.0, 1.0])) == pytest.approx(
        plain.best_trade(np.array([2_100.0, 1.0])), rel=1e-9
    )
    assert found.value > 100.0
    assert 0.0 <= found.bound - found.value + 1e-9 <= 1e-5 * found.value


def test_values_and_tokens_must_be_there():
    with pytest.raises(InputError, match="positive numbers"):
        best_arbitrage([product(0, 1, 1.0, 1.0)], [1.0, 0.0])
    with pytest.raises(InputError, match="values of 0 to 1"):
        best_arbitrage([product(0, 2, 1.0, 1.0)], [1.0, 1.0])
