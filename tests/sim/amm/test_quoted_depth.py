"""Quoted depth: its curve, refilling, path independence, and round trips; alone and in a world."""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sim.amm.depth_curve import curve_of, impact_at, power_law
from sim.amm.quoted_depth_facade import QuotedDepth
from sim.errors import InputError, RefusedError
from sim.status import Status
from sim.units import ticks
from tests.worlds import HANDS, planned, run

# Aggregator quotes for WETH to USDC on 20 November 2023: amount of ether, average impact
QUOTES = [(526.0, 10e-4), (1.9e3, 24e-4), (5.6e3, 58e-4), (18.9e3, 159e-4), (49e3, 457e-4)]
MID, EPS = 2_000.0, 2.0**-52


def depth(**terms):
    return QuotedDepth(QUOTES, mid=MID, half_life=60.0, **terms)


# --- the curve -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("amount", "impact"), QUOTES)
def test_a_sale_meets_the_quotes_it_was_made_of(amount, impact):
    assert depth().swap_exact_in(0, amount) == pytest.approx(
        MID * amount * (1.0 - impact), rel=16 * EPS
    )


@pytest.mark.parametrize(("amount", "impact"), QUOTES)
def test_a_purchase_meets_them_too(amount, impact):
    paid = MID * amount * (1.0 + impact)
    assert depth().swap_exact_in(1, paid * (1.0 - 1e-12)) == pytest.approx(amount, rel=1e-11)


def test_marginal_points_are_the_price_after_the_trade():
    market = QuotedDepth([(10.0, 0.01), (30.0, 0.02)], mid=100.0, half_life=1.0, is_average=False)
    # 10 at a mean of 50 bp: 995; 5 more from 100 to 125 bp
    assert market.swap_exact_in(0, 10.0) == pytest.approx(995.0, rel=1e-15)
    assert market.price == pytest.approx(99.0, rel=1e-15)
    assert market.swap_exact_in(0, 5.0) == pytest.approx(500.0 * (1.0 - 0.01125), rel=1e-15)
    assert market.price == pytest.approx(98.75, rel=1e-15)


def test_average_points_give_an_impact_that_never_falls():
    segments = curve_of([q for q, _ in QUOTES], [i for _, i in QUOTES], is_average=True)
    start, low, slope = segments[0][:6], segments[1][:6], segments[2][:6]
    high = low + slope * ([*start[1:], 49e3] - start)
    assert low[0] == 0.0
    assert (slope >= 0.0).all()
    assert (low[1:] >= high[:-1] - 1e-15).all()


@pytest.mark.parametrize("amount", [10.0, 526.0, 5_600.0, 40_000.0])
def test_a_power_law_is_met_to_a_thousandth(amount):
    segments = power_law(526.0, 10e-4, 0.75, 49e3, is_average=True)
    start, low, slope, _ = (part.reshape(1, -1) for part in segments)
    exact = 1.75 * 10e-4 * (amount / 526.0) ** 0.75
    assert impact_at(start, low, slope, 0, amount) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(
    "points", [[(10.0, 0.02), (20.0, 0.005)], [(10.0, 0.01), (5.0, 0.02)], [(1.0, 1.2)]]
)
def test_an_impossible_curve_is_refused(points):
    with pytest.raises(InputError, match="points"):
        QuotedDepth(points, mid=1.0, half_life=1.0)


def test_beyond_its_curve_and_its_inventory_it_refuses():
    with pytest.raises(RefusedError, match="insufficient_liquidity"):
        depth().swap_exact_in(0, 49_001.0)
    with pytest.raises(RefusedError, match="insufficient_liquidity"):
        depth().swap_exact_in(1, MID * 60e3)
    with pytest.raises(RefusedError, match="insufficient_liquidity"):
        depth(inventory1=1e6).swap_exact_in(0, 600.0)
    with pytest.raises(RefusedError, match="insufficient_liquidity"):
        depth(inventory0=400.0).swap_exact_in(1, 1e6)


# --- time and paths ------------------------------------------------------------------------------


def test_half_of_the_depth_in_use_refills_in_a_half_life():
    market = depth()
    market.swap_exact_in(0, 1_000.0)
    assert market.used == 1_000.0
    market.advance(60.0)
    assert market.used == pytest.approx(500.0, rel=1e-14)
    market.advance(120.0)
    assert market.used == pytest.approx(125.0, rel=1e-14)
    market.advance(36_000.0)
    assert market.price == pytest.approx(MID, rel=1e-15)


def test_the_fee_is_taken_from_the_input():
    assert depth(fee=0.5).swap_exact_in(0, 1_052.0) == depth().swap_exact_in(0, 526.0)


def test_an_own_mid_keeps_the_permanent_impact_and_no_more():
    """526 sold at 0.01 bp each move the mid by 5.26 bp for good."""
    market = depth(permanent=1e-6)
    market.swap_exact_in(0, 526.0)
    market.advance(36_000.0)
    assert market.price == pytest.approx(MID * (1.0 - 526e-6), rel=1e-14)


def test_a_price_limit_stops_a_swap_at_that_price():
    for side, limit in ((0, 1_984.0), (1, 2_016.0)):
        market = depth()
        market.swap_exact_in(side, 1e9 if side else 49e3, price_limit=limit)
        assert market.price == pytest.approx(limit, rel=1e-9)
    with pytest.raises(RefusedError, match="price_limit"):
        depth().swap_exact_in(0, 1.0, price_limit=2_001.0)


amounts = st.floats(1.0, 5_000.0)
trades = st.tuples(st.booleans(), amounts, st.floats(0.0, 300.0))


@settings(max_examples=60, deadline=None)
@given(
    side=st.sampled_from([0, 1]),
    amount=st.floats(1.0, 20_000.0),
    n=st.integers(2, 12),
    before=st.floats(-10_000.0, 10_000.0),
    permanent=st.sampled_from([0.0, 1e-7]),
)
def test_parts_at_one_time_cost_what_the_whole_costs(side, amount, n, before, permanent):
    whole, parts = depth(permanent=permanent), depth(permanent=permanent)
    for market in (whole, parts):
        if abs(before) > 1.0:
            market.swap_exact_in(int(before < 0.0), abs(before) * (MID if before < 0.0 else 1.0))
    paid = amount * (MID if side else 1.0)
    out = whole.swap_exact_in(side, paid)
    assert sum(parts.swap_exact_in(side, paid / n) for _ in range(n)) == pytest.approx(
        out, rel=1e-10
    )
    assert parts.price == pytest.approx(whole.price, rel=1e-10)


@settings(max_examples=80, deadline=None)
@given(steps=st.lists(trades, min_size=1, max_size=8), permanent=st.sampled_from([0.0, 1e-7]))
def test_no_round_trip_from_rest_makes_a_profit(steps, permanent):
    """Any trades at any times that end with the token 0 they began with: never more token 1."""
    market, ether, usd, turnover = depth(permanent=permanent), 0.0, 0.0, 0.0
    for is_sale, amount, pause in steps:
        if is_sale:
            usd += market.swap_exact_in(0, amount)
            ether -= amount
        else:
            ether += market.swap_exact_in(1, amount * MID)
            usd -= amount * MID
        turnover += amount * MID
        market.advance(pause)
    assume(abs(ether) > 1e-6)
    if ether > 0.0:
        usd += market.swap_exact_in(0, ether)
    else:
        low, high = 0.0, -2.0 * ether * MID  # find what buys back exactly that much
        while math.nextafter(low, high) < high:
            middle = (low + high) / 2.0
            probe = depth(permanent=permanent)
            for name in ("used", "since", "sold"):
                getattr(probe._state, name)[0] = getattr(market._state, name)[0]
            probe.now = market.now
            low, high = (middle, high) if probe.swap_exact_in(1, middle) < -ether else (low, middle)
        usd -= low
    assert usd <= 1e-9 * turnover


# --- in a world ----------------------------------------------------------------------------------

VENUE = (
    "venues.depth={kind: quoted_depth, chain: mainnet, tokens: [ETH, USD], inventory_usd: 1e8, "
    "refill_half_life_seconds: 120, curve: {kind: points, points: [[5, 100], [50, 1500]]}%s}"
)


def test_in_a_world_it_trades_like_a_pool_and_refills_to_the_reference():
    world = planned(1, VENUE % "")
    world.submit("depth", "swap", HANDS, 0, a=0, amount=5.0)
    log = run(world, 12.0)
    fill = log.fills[0]
    assert fill["status"] == Status.OK
    assert fill["amount_out"] == pytest.approx(5.0 * 2_000.0 * 0.99, rel=1e-14)
    venue = world.venue("depth")
    low = float(world.venues.price[venue])
    assert low == fill["price_after"] < 2_000.0
    world.advance(ticks(132.0))
    assert low < world.venues.price[venue] < 2_000.0
    world.advance(ticks(7_200.0))
    assert world.venues.price[venue] == pytest.approx(2_000.0, rel=1e-12)
    world.check()


def test_arbitrageurs_bring_a_pool_and_a_quoted_depth_together():
    cycles = (
        "populations.cycles={kind: cycle_arbitrage, chain: mainnet, count: 1, "
        "start_tokens: [USD], inventory_usd: 1e6}"
    )
    world = planned(1, VENUE % ", anchor: own, mid: 2100", cycles)
    world.advance(ticks(1_200.0))
    pool, market = (world.venues.price[world.venue(name)] for name in ("eth-usd", "depth"))
    assert pool > 2_000.0
    assert market <= pool * 1.003 * 1.01
    world.check()


@pytest.mark.parametrize(
    ("terms", "fault"),
    [(", mid: 2000", "own anchor"), (", permanent_bps: 1", "own anchor")],
)
def test_settings_of_an_own_mid_need_one(terms, fault):
    with pytest.raises(InputError, match=fault):
        planned(1, VENUE % terms)
