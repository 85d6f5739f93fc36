"""Routing, against the swap curve x y = k by hand."""

import math

import numpy as np
import pytest

from agents.routing import (
    amount_in_for,
    amount_out_of,
    best_pool,
    best_split,
    moving_pools,
    send_route,
    side_of,
    swap_cost,
    trade_cost,
)
from experiments import build, load_scenario
from sim.errors import InputError
from sim.orders import PRICE, cause
from sim.status import Status
from sim.units import ticks

# A deep pool at 30 bp, and a shallow one at 10 bp that lists the tokens the other way round.
SCENARIO = """
version: 1
name: routes
horizon: 1h
assets:
  ETH: {price: {kind: fixed, price: 2000}}
  USD: {price: {kind: fixed, price: 1}}
  BTC: {price: {kind: gbm, price: 40000, volatility: 0.03}}
chains:
  mainnet:
    blocks: {kind: fixed, interval_seconds: 12}
    fee_market: {kind: eip1559, base_fee_gwei: 10, floor_gwei: 10}
    native: ETH
    tokens: [ETH, USD, BTC]
venues:
  deep: {kind: constant_product, chain: mainnet, tokens: [ETH, USD], fee: 0.003, value_usd: 10e6}
  cheap: {kind: constant_product, chain: mainnet, tokens: [USD, ETH], fee: 0.001, value_usd: 1e6}
  other: {kind: constant_product, chain: mainnet, tokens: [BTC, USD], fee: 0.0, value_usd: 90e6}
populations:
  people:
    {kind: noise_traders, chain: mainnet, count: 2, swaps_per_day: 0, median_usd: 25000}
"""
POOLS = {"deep": (2_500.0, 5e6, 0.003), "cheap": (250.0, 5e5, 0.001)}  # ETH, USD, fee


@pytest.fixture
def world(tmp_path):
    """Return a world with three pools and no trade of its own."""
    file = tmp_path / "routes.yaml"
    file.write_text(SCENARIO)
    return build(load_scenario(str(file)), seed=3).world


def sold(pool: str, eth: float) -> float:
    """Return the USD that a pool gives for ETH, by the swap curve."""
    x, y, fee = POOLS[pool]
    net = eth * (1.0 - fee)
    return y * net / (x + net)


def tokens(world) -> tuple[int, int]:
    return world.token("mainnet", "ETH"), world.token("mainnet", "USD")


def every_pool(world) -> np.ndarray:
    return np.array([world.venue(name) for name in ("deep", "cheap", "other")], np.int64)


def best_split_by_hand(eth: float) -> tuple[float, float]:
    """Return the most USD for ETH over both pools, and the share of the cheap one.

    Equal marginal prices, solved for the price:

    d out / d a = g x y / (x + g a)^2 = 1 / m^2 gives a = (m sqrt(g x y) - x) / g, with g = 1 - fee;
    the amounts add up to `eth`.
    """
    shape = [(x, y, 1.0 - fee) for x, y, fee in POOLS.values()]
    slope = sum(math.sqrt(x * y / g) for x, y, g in shape)
    m = (eth + sum(x / g for x, y, g in shape)) / slope
    amounts = [(m * math.sqrt(g * x * y) - x) / g for x, y, g in shape]
    out = sum(sold(name, a) for name, a in zip(POOLS, amounts, strict=True))
    return out, amounts[1] / eth


@pytest.mark.parametrize(
    ("eth", "better"), [(0.1, "cheap"), (0.5, "cheap"), (1.0, "deep"), (50.0, "deep")]
)
def test_route_picks_the_pool_that_gives_more(world, eth, better):
    eth_token, usd_token = tokens(world)
    by_hand = {name: sold(name, eth) for name in POOLS}
    assert max(by_hand, key=by_hand.get) == better
    venue, side, out = best_pool(world.venues, every_pool(world), eth_token, usd_token, eth)
    assert world.venue_names[venue] == better
    assert side == (0 if better == "deep" else 1)
    assert out == pytest.approx(by_hand[better], rel=1e-12)


def test_route_the_other_way_pays_the_other_token(world):
    eth_token, usd_token = tokens(world)
    x, y, fee = POOLS["cheap"]
    venue, side, out = best_pool(world.venues, every_pool(world), usd_token, eth_token, 100.0)
    assert (world.venue_names[venue], side) == ("cheap", 0)
    assert out == pytest.approx(x * 100.0 * (1 - fee) / (y + 100.0 * (1 - fee)), rel=1e-12)


def test_route_passes_over_a_halted_pool(world):
    eth_token, usd_token = tokens(world)
    world.venues.is_halted[world.venue("cheap")] = 1
    venue, _, _ = best_pool(world.venues, every_pool(world), eth_token, usd_token, 0.1)
    assert world.venue_names[venue] == "deep"
    world.venues.is_halted[world.venue("deep")] = 1
    assert best_pool(world.venues, every_pool(world), eth_token, usd_token, 0.1)[0] == -1


def test_there_is_no_route_between_tokens_without_a_pool(world):
    eth_token, btc_token = world.token("mainnet", "ETH"), world.token("mainnet", "BTC")
    assert best_pool(world.venues, every_pool(world), eth_token, btc_token, 1.0)[0] == -1
    assert side_of(world.venues, world.venue("deep"), eth_token, btc_token) == -1


@pytest.mark.parametrize("eth", [5.0, 60.0, 700.0])
def test_split_gives_what_equal_marginal_prices_give(world, eth):
    eth_token, usd_token = tokens(world)
    pools = every_pool(world)
    venue, side, second, other, share, out = best_split(
        world.venues, pools, eth_token, usd_token, eth, 0.0
    )
    single = max(sold(name, eth) for name in POOLS)
    best, best_share = best_split_by_hand(eth)
    # Off by at most 0.62^9 = 1.3 % of the amount, near a maximum that is a parabola in the share:
    # lost over gained is the square of the error over the share; a tenth for the cubic term.
    lost = 1.1 * (0.618**9 / best_share) ** 2
    assert lost < 0.05
    assert best * (1.0 + 1e-12) >= out >= best - lost * (best - single)
    assert share == pytest.approx(best_share, abs=0.618**9)
    assert (world.venue_names[venue], side) == ("deep", 0)
    assert (world.venue_names[second], other) == ("cheap", 1)
    by_hand = sold("deep", (1.0 - share) * eth) + sold("cheap", share * eth)
    assert out == pytest.approx(by_hand, rel=1e-12)


def test_split_must_be_worth_its_second_order(world):
    eth_token, usd_token = tokens(world)
    gain = best_split_by_hand(60.0)[0] - max(sold(name, 60.0) for name in POOLS)
    for toll, splits in ((0.9 * gain, True), (1.1 * gain, False)):
        found = best_split(world.venues, every_pool(world), eth_token, usd_token, 60.0, toll)
        assert bool(found[2] >= 0) is splits


def test_amount_in_for_a_wanted_amount_inverts_the_swap_curve(world):
    x, y, fee = POOLS["deep"]
    wanted = 0.05 * y  # 5 % of the reserve: an impact of about 5 %
    by_hand = x * wanted / ((y - wanted) * (1.0 - fee))
    amount = amount_in_for(world.venues, world.venue("deep"), 0, wanted)
    assert amount == pytest.approx(by_hand, rel=0.06**4)
    assert amount_out_of(world.venues, world.venue("deep"), 0, amount) == pytest.approx(
        wanted, rel=0.06**4
    )


def test_cost_is_fee_and_impact_and_gas(world):
    deep, eth = world.venue("deep"), 10.0
    x, y, fee = POOLS["deep"]
    out = sold("deep", eth)
    curve = 1.0 - (1.0 - fee) / (1.0 + eth * (1.0 - fee) / x)  # price y / x is 2000
    assert y / x == 2_000.0
    assert trade_cost(world.venues, deep, 0, eth, out) == pytest.approx(curve, rel=1e-9)
    gas = 110_000 * 10e-9 * 2_000.0 / (eth * 2_000.0)
    whole = swap_cost(world.box, world.venues, world.prices, deep, 0, eth, out)
    assert whole == pytest.approx(curve + gas, rel=1e-9)


@pytest.mark.parametrize("splits", [0, 1])
def test_a_route_is_executed_as_it_was_quoted(world, splits):
    eth_token, usd_token = tokens(world)
    fills = []
    world.on_fills = lambda found: fills.append(found.copy())
    people = world.group("people")
    parent = cause(PRICE, world.asset("ETH"))
    ask = (people, 1, 5, 5, ticks(60.0), 0.0, parent)
    n_sent = send_route(
        world.box, world.venues, world.prices, every_pool(world), eth_token, usd_token, 40.0,
        0.001, splits, ask,
    )  # fmt: skip
    before = world.balances("people", usd_token)[1]
    world.advance(ticks(12.0))
    world.flush()
    fills = np.concatenate(fills)
    assert n_sent == len(fills) == (2 if splits else 1)
    assert (fills["status"] == Status.OK).all()
    assert (fills["parent"] == parent).all()
    assert fills["amount_in"].sum() == pytest.approx(40.0, rel=1e-12)
    gained = world.balances("people", usd_token)[1] - before
    best = best_split_by_hand(40.0)[0] if splits else sold("deep", 40.0)
    assert gained == pytest.approx(best, rel=1e-6)


def test_a_population_that_needs_moving_prices_says_so(world):
    site = world.population_sites[0]
    assert moving_pools(world, site).tolist() == [world.venue("other")]
    world.prices.path[world.asset("BTC")] = 40_000.0
    with pytest.raises(InputError, match="no pool whose price moves"):
        moving_pools(world, site)
