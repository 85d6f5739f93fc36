"""Depth of pools: what must be paid in until the marginal price has moved so far."""

import numpy as np
import pytest

from sim.depth import MOVES, measure_depth
from tests.worlds import bench, state_bytes

FEE = 0.003
RANGE = (
    "venues.eth-usd={kind: concentrated_liquidity, chain: mainnet, tokens: [ETH, USD], fee: 0.003, "
    "value_usd: 10e6, half_width: 0.03}"
)


def depth_of(world, pool="eth-usd"):
    """Return the depth of a pool by move, USD."""
    usd = measure_depth(world.venues, np.array([world.venue(pool)]), world.prices.reference)
    return dict(zip(MOVES, usd[0].tolist(), strict=True))


def test_a_constant_product_pool_takes_the_change_of_the_root_of_the_price():
    """2,500 ETH and 5m USD: y (sqrt(1 + q) - 1) up, x P (1 / sqrt(1 - q) - 1) down, no fee."""
    found = depth_of(bench())
    for move, usd in found.items():
        root = np.sqrt(1.0 + move)
        by_hand = 5e6 * (root - 1.0 if move > 0.0 else 1.0 / root - 1.0)
        assert usd == pytest.approx(by_hand, rel=1e-9)


def test_a_range_takes_no_more_than_what_moves_its_price_to_its_end():
    """A range of +-3 % takes the same for 5 % as for 3 %, and is far deeper within."""
    found, plain = depth_of(bench(RANGE)), depth_of(bench())
    assert found[0.01] > 20.0 * plain[0.01]
    assert found[0.02] < found[0.05] < 1.6 * found[0.02]  # 3 % of liquidity, not 5 %
    assert found[-0.05] < 1.8 * found[-0.02]  # the lower end lies up to 0.6 % lower


def test_depth_of_a_range_is_its_liquidity_times_the_change_of_the_root():
    """USD in = L (sqrt(P (1 + q)) - sqrt(P)), so that 2 % over 1 % is that of the roots."""
    found = depth_of(bench(RANGE))
    by_hand = (np.sqrt(1.02) - 1.0) / (np.sqrt(1.01) - 1.0)
    assert found[0.02] / found[0.01] == pytest.approx(by_hand, rel=1e-9)


def test_measuring_depth_changes_nothing_but_the_scratch():
    world = bench()
    before = state_bytes(world)
    depth_of(world)
    after = state_bytes(world)
    assert {name for name in before if before[name] != after[name]} <= {"venues.scratch"}
