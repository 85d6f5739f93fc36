"""Prices cross chains through inventory and bridges: how far, how fast, and not without them."""

import math

import numpy as np
import pytest

from sim.errors import InputError
from sim.status import Status
from tests.worlds import BENCH, Log, swap, ticks, world_of

SIDE = (
    "chains.side={blocks: {kind: fixed, interval_seconds: 2}, native: ETH, tokens: [ETH, USD]}",
    *(
        f"venues.{name}={{kind: liquidity_network, chain: mainnet, other_chain: side, "
        f"token: {token}, other_token: {token}, inventory_usd: 1e7, base_fee_bps: 1}}"
        for name, token in (("ether", "ETH"), ("dollars", "USD"))
    ),
)
POOLS = {
    False: "{kind: constant_product, chain: side, tokens: [ETH, USD], fee: 0.003, value_usd: 1e7}",
    True: "{kind: constant_product, chain: side, tokens: [USD, ETH], fee: 0.003, value_usd: 1e7}",
}
FEE, MARGIN, SOLD = 0.003, 5e-4, 100.0


def crossers(inventory_usd=1e6, **terms):
    given = {"inventory_usd": inventory_usd, "min_profit_usd": 0, "tip_share": 0} | terms
    extra = ", ".join(f"{name}: {value}" for name, value in given.items())
    return (
        "populations.crossers={kind: cross_chain_arbitrage, chain: mainnet, other_chain: side, "
        f"pool: eth-usd, other_pool: side-pool, {extra}}}"
    )


def market(*more, is_flipped=False):
    return world_of(*BENCH, *SIDE, f"venues.side-pool={POOLS[is_flipped]}", *more)


def shock(world, rows=10):
    """Ten hands sell 10 ETH each in the pool on the main chain; both pools start at 2,000."""
    for row in range(rows):
        swap(world, row, SOLD / rows, side=0)


def side_price(world):
    price = float(world.venues.price[world.venue("side-pool")])
    return 1.0 / price if price < 1.0 else price


def prices(world):
    return float(world.venues.price[world.venue("eth-usd")]), side_price(world)


def mine(world, fills, verb="constant_product.swap"):
    return fills[
        (fills["group"] == world.group("crossers"))
        & (fills["verb"] == world.verb_names.index(verb))
    ]


def test_without_them_a_shock_on_one_chain_never_reaches_the_other():
    world = market()
    shock(world)
    world.advance(ticks(6 * 3_600))
    home, side = prices(world)
    assert side == 2_000.0
    # x y = k with 2,500 ETH, the fee outside the trade but inside the pool.
    assert home == pytest.approx(2_000.0 * (2_500 / 2_600) ** 2, rel=1e-3)


def test_with_them_switched_off_nothing_crosses_either():
    world = market(crossers())
    world.switch("crossers", is_on=False)
    shock(world)
    world.advance(ticks(3_600))
    assert side_price(world) == 2_000.0


@pytest.mark.parametrize("is_flipped", [False, True])
def test_with_enough_inventory_the_gap_closes_to_fees_and_margin_in_one_round(is_flipped):
    world = market(crossers(), is_flipped=is_flipped)
    shock(world)
    log = Log(world)
    world.advance(ticks(12.0))  # the block that takes the shock
    world.advance(ticks(24.0))  # … and the next one
    sides = mine(world, log.fills)
    assert (sides["status"] == Status.OK).all()
    assert len(sides) == 2
    home, side = prices(world)
    # Each leg ends where its own marginal price, fee counted, is the common one.
    gap = (1 - FEE) * (1 - FEE) * (1 - MARGIN)
    assert home / side == pytest.approx(gap, rel=2e-4)  # fees join the reserves
    bought = sides["amount_out"][sides["venue"] == world.venue("eth-usd")][0]
    sold = sides["amount_in"][sides["venue"] == world.venue("side-pool")][0]
    assert sold == pytest.approx(bought, rel=1e-6)
    world.check()


def test_the_speed_is_that_of_the_chains():
    """The side pool moves with its first block after the shock's: 2 s, and the main one 12 s."""
    world = market(crossers())
    shock(world)
    log = Log(world)
    world.advance(ticks(60.0))
    sides = mine(world, log.fills)
    at = {int(v): float(t) / 1e6 for v, t in zip(sides["venue"], sides["time"], strict=True)}
    assert at[world.venue("side-pool")] - 12.0 == pytest.approx(2.0, abs=2.0)
    assert at[world.venue("eth-usd")] - 12.0 == pytest.approx(12.0)


def test_small_inventory_closes_the_gap_as_fast_as_bridges_refill_it():
    def moved(hours, **terms):
        world = market(crossers(2e4, **{"rebalance_band": 0.1, **terms}))
        shock(world)
        world.advance(ticks(60.0))
        first = 2_000.0 - side_price(world)
        world.advance(ticks(hours * 3_600))
        world.check()
        return first, 2_000.0 - side_price(world)

    first, later = moved(2.0)
    # 10 ETH sold in 2,500: the price falls by 2 x 10 / 2,500 of itself, to first order.
    assert first == pytest.approx(2_000.0 * 2 * 10 / 2_500, rel=0.02)
    assert later > 2.0 * first
    # Where the band is never left nothing is sent back, and what they hold is all they can do.
    assert moved(2.0, rebalance_band=10.0)[1] == pytest.approx(first, rel=0.1)


def test_a_gap_within_fees_and_margin_is_left_alone():
    world = market(crossers())
    swap(world, 0, 5.0, side=0)  # moves the price by 0.4 %, fees are 0.6 %
    log = Log(world)
    world.advance(ticks(600.0))
    assert len(mine(world, log.fills)) == 0
    assert world.states["crossers"][0].n_orders.sum() == 0


def test_they_earn_what_the_gap_was_worth():
    world = market(crossers())
    before = world.account_holdings()[world.group("crossers")] @ world.prices.reference
    shock(world)
    world.advance(ticks(60.0))
    after = world.account_holdings()[world.group("crossers")] @ world.prices.reference
    gap = math.log(2_000.0 / (2_000.0 * (2_500 / 2_600) ** 2)) - 2 * FEE - MARGIN
    # Equal pools meet in the middle; the gain is half the gap times the amount, in all.
    amount = 2_500.0 * gap / 4.0
    assert (after - before).sum() == pytest.approx(0.5 * gap * 2_000.0 * amount, rel=0.15)
    assert np.all(after > before)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"other_pool": "eth-usd"}, "'eth-usd' is no pool on chain 'side'"),
        ({"pool": "ether"}, "'ether' is of kind liquidity_network, not a pool"),
    ],
)
def test_impossible_pairs_are_refused(change, problem):
    people = crossers()
    for name, value in change.items():
        old = "side-pool" if name == "other_pool" else "eth-usd"
        people = people.replace(f"{name}: {old}", f"{name}: {value}")
    with pytest.raises(InputError, match=problem):
        market(people)
