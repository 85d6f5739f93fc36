"""The price gap: what it moves, from when on, and for whom."""

import numpy as np
import pytest

from experiments.composition import plan_of
from experiments.scenario import load_scenario
from sim.errors import InputError
from sim.shocks import KINDS, PriceGap
from sim.units import ticks
from sim.world import World
from tests.worlds import BENCH, bench

APPLY = {kind.kind: kind.apply for kind in KINDS}["price_gap"]


def gap(asset="ETH", change=-0.25):
    return PriceGap(kind="price_gap", asset=asset, change=change)


def prices(world):
    world.refresh_prices()
    return world.prices.fundamental[world.token("mainnet", "ETH")]


def test_a_gap_moves_the_price_for_good_and_leaves_the_past():
    world = bench()
    world.advance(ticks(120.0))
    before = world.prices.path.copy()

    APPLY(world, gap())

    eth = world.asset("ETH")
    np.testing.assert_array_equal(world.prices.path[eth, :10], 2_000.0)  # steps of 12 s
    np.testing.assert_array_equal(world.prices.path[eth, 10:], 1_500.0)
    np.testing.assert_array_equal(world.prices.path[1 - eth], before[1 - eth])
    assert prices(world) == 1_500.0
    world.advance(ticks(3_600.0))
    assert prices(world) == 1_500.0
    world.check()


def test_a_gap_between_two_steps_of_the_grid_waits_for_the_next():
    world = bench()
    world.advance(ticks(121.0))

    APPLY(world, gap())

    assert prices(world) == 2_000.0
    world.advance(ticks(132.0))
    assert prices(world) == 1_500.0


def test_gaps_multiply():
    world = bench()
    APPLY(world, gap(change=-0.5))
    APPLY(world, gap(change=0.5))
    assert prices(world) == 1_500.0


def test_another_world_of_the_same_plan_does_not_see_the_gap():
    plan = plan_of(load_scenario("quiet-market", BENCH), 1)
    one, other = World(plan), World(plan)

    APPLY(one, gap())

    assert (prices(one), prices(other)) == (1_500.0, 2_000.0)


def test_the_engine_trades_at_the_price_after_the_gap():
    """An arbitrageur brings the pool to the new price, within its fee of 0.3 %."""
    world = bench(
        "populations.arbitrageur={kind: arbitrageurs, chain: mainnet, count: 1, inventory_usd: 1e9}"
    )
    world.advance(ticks(60.0))
    APPLY(world, gap())
    world.advance(ticks(600.0))
    assert world.venues.price[0] == pytest.approx(1_500.0, rel=0.0035)
    world.check()


def test_a_gap_of_an_asset_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="no asset 'BTC'; there are: ETH, USD"):
        APPLY(bench(), gap(asset="BTC"))
