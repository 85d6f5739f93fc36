"""Arbitrageurs: the band they leave alone, what they bid, whom they race, how they rebalance."""

import math

import numpy as np
import pytest

from sim.orders import FILL, PRICE, split_cause
from sim.status import Status
from sim.units import ticks
from tests.worlds import HANDS, run, swap, world_of

FIXED = (
    "horizon=1d",
    "price_step_seconds=12",
    "chains.mainnet.blocks={kind: fixed, interval_seconds: 12}",
)


def jump(usd, hours=0.0033):
    """ETH jumps from 2,000 USD just before the first block and stays."""
    return (
        f"assets.ETH.price={{kind: waypoints, waypoints: [[0, 2000], [{hours}, {float(usd)}], "
        f"[25, {float(usd)}]], volatility: [{{until_hours: 25, volatility: 0}}]}}"
    )


def people(**terms):
    config = {"kind": "arbitrageurs", "chain": "mainnet", "count": 1, "inventory_usd": 1e9, **terms}
    body = ", ".join(f"{name}: {value}" for name, value in config.items())
    return f"populations={{arbs: {{{body}}}}}"


def run_fills(*overrides):
    """Fills of the first minute."""
    return run(world_of(*overrides), 60.0).fills


def test_the_pool_stays_inside_the_fee_band_after_every_block():
    world = world_of(*FIXED)
    seen = []

    def look():
        step = world.now // ticks(12.0) - 1
        if step > 0:
            seen.append(world.venues.price[0] / world.prices.path[0, step])

    world.add_python_reaction(0, look)
    world.advance(ticks(43_200.0))
    ratios = np.array(seen)
    assert ratios.min() >= 0.997 * (1 - 1e-12)
    assert ratios.max() <= 1 / 0.997 * (1 + 1e-12)
    assert ratios.max() - ratios.min() > 0.005  # and uses it


@pytest.mark.parametrize(("usd", "n"), [(2_006.0, 0), (2_006.1, 1), (1_994.1, 0), (1_993.9, 1)])
def test_they_trade_outside_the_fee_band_only(usd, n):
    assert len(run_fills(*FIXED, jump(usd))) == n


@pytest.mark.parametrize(("usd", "n"), [(2_010.0, 0), (2_010.2, 1), (1_990.1, 0), (1_989.8, 1)])
def test_a_cost_outside_widens_the_band(usd, n):
    """0.997 x 0.998 = 0.995006: 2,010.04 above, 1,990.01 below."""
    assert len(run_fills(*FIXED, jump(usd), people(outside_cost_bps=20))) == n


@pytest.mark.parametrize(("basis_points", "n"), [(27.5, 0), (29.2, 1), (-27.5, 0), (-29.2, 1)])
def test_gas_widens_the_band_by_its_root(basis_points, n):
    """sqrt(8 G / V): 28.3 bp for 10 USD of gas in a pool of 10m USD."""
    gwei = 10.0 / (110_000 * 2_000.0) * 1e9
    band = math.copysign(-math.log(0.997), basis_points)
    usd = 2_000.0 * math.exp(band + basis_points * 1e-4)
    fee = f"{{base_fee_gwei: {gwei}, floor_gwei: {gwei}}}"
    fills = run_fills(*FIXED, jump(usd), f"chains.mainnet.fee_market={fee}")
    assert len(fills) == n


def test_a_least_profit_is_heeded():
    usd = 2_000.0 * math.exp(0.0031 + 0.002)  # about 1e7 / 8 x 0.002^2 = 5 USD
    assert len(run_fills(*FIXED, jump(usd), people(min_profit_usd=10))) == 0
    assert len(run_fills(*FIXED, jump(usd), people(min_profit_usd=3))) == 1


def test_who_sees_late_trades_late():
    fills = run_fills(*FIXED, jump(2_100.0), people(latency_seconds=18))
    assert (fills["time"] / 1e6).tolist() == [36.0]


def test_they_bid_their_share_of_the_profit():
    fills = run_fills(*FIXED, jump(2_100.0), people(tip_share=0.5))
    gain = fills["value_out"][0] - fills["value_in"][0]
    gas_usd = fills["gas_paid"][0] * 2_100.0
    assert gas_usd == pytest.approx(0.5 * gain, rel=1e-9)


def test_one_wins_and_the_others_fail_and_pay():
    fills = run_fills(
        *FIXED,
        jump(2_100.0),
        people(count=5),
        "chains.mainnet.fee_market={base_fee_gwei: 10, floor_gwei: 10}",
    )
    assert fills["status"].tolist() == [Status.OK] + [Status.PRICE_LIMIT] * 4
    np.testing.assert_allclose(fills["gas_paid"], 110_000 * 10e-9, rtol=1e-12)


def test_the_winner_is_not_the_first_row():
    """Eight equals race 40 times: one row wins 20 or more with probability 1e-8."""
    winners = []
    for seed in range(40):
        world = world_of(*FIXED, jump(2_100.0), people(count=8), seed=seed)
        fills = run(world, 12.0).fills
        winners.append(int(fills["row"][fills["status"] == Status.OK][0]))
    assert np.bincount(winners).max() < 20
    assert len(set(winners)) >= 5


def test_a_jump_of_the_price_is_the_cause_of_the_trade_that_follows():
    fills = run_fills(*FIXED, jump(2_100.0))
    space, number = split_cause(fills["parent"])
    assert (space[0], number[0]) == (PRICE, 0)


def test_a_trade_that_moved_the_pool_is_the_cause_of_the_one_back():
    hands = (
        "populations={arbs: {kind: arbitrageurs, chain: mainnet, inventory_usd: 1e9}, "
        "hands: {kind: noise_traders, chain: mainnet, count: 1, swaps_per_day: 0, "
        "median_usd: 1e6, size_log_sd: 0}}"
    )
    world = world_of(*FIXED, "assets.ETH.price={kind: fixed, price: 2000}", hands)
    swap(world, 0, 1e6)
    moved, back = run(world, 60.0).fills
    assert world.group_names[moved["group"]] == HANDS
    assert world.group_names[back["group"]] == "arbs"
    space, number = split_cause(np.array([back["parent"]]))
    assert (space[0], number[0]) == (FILL, moved["fill_id"])


def test_they_spend_no_more_than_they_have():
    fills = run_fills(*FIXED, jump(3_000.0), people(inventory_usd=1_000))
    assert fills["amount_in"][0] == pytest.approx(1_000.0)
    assert (fills["status"] == Status.OK).all()


@pytest.mark.parametrize("delay", [0, 30])
def test_inventory_is_sold_outside_after_the_delay(delay):
    world = world_of(
        *FIXED,
        jump(2_200.0),
        people(inventory_usd=400_000, deposit_delay_seconds=delay),
        "reference_market={interval_seconds: 1}",
    )
    log = run(world, 300.0)
    outside = log.fills[log.fills["venue"] == world.venue("exchange")]
    assert len(outside) >= 1
    assert (outside["status"] == Status.OK).all()
    bought = log.fills[log.fills["venue"] == 0]["time"][0]
    assert outside["time"][0] == bought + ticks(delay)  # the exchange comes later in the same tick
    eth = world.token("mainnet", "ETH")
    assert world.balances("arbs", eth)[0] == pytest.approx(200.0, rel=0.25)


def test_inventory_is_deposited_where_the_market_counts_confirmations():
    world = world_of(
        *FIXED,
        jump(2_200.0),
        people(inventory_usd=400_000, deposit_delay_seconds=1),
        "reference_market={interval_seconds: 1, deposits: {mainnet: 10}}",
    )
    log = run(world, 1_200.0)
    outside = log.fills[log.fills["venue"] == world.venue("exchange")]
    names = [world.verb_names[verb].split(".")[1] for verb in outside["verb"]]
    assert names[:2] == ["deposit", "trade"]
    assert names.count("deposit") == names.count("trade")
    assert outside["time"][1] - outside["time"][0] == ticks(9 * 12.0)
    assert (outside["status"] == Status.OK).all()
    eth = world.token("mainnet", "ETH")
    assert world.balances("arbs", eth)[0] == pytest.approx(200.0, rel=0.25)


def test_rebalancing_at_the_reference_price_neither_gains_nor_loses():
    world = world_of(
        *FIXED,
        jump(2_200.0),
        people(inventory_usd=400_000),
        "reference_market={interval_seconds: 1}",
    )
    log = run(world, 300.0)
    outside = log.fills[log.fills["venue"] == world.venue("exchange")]
    np.testing.assert_allclose(outside["value_out"], outside["value_in"], rtol=1e-12)


def test_agents_differ_in_cost_and_latency_as_told():
    world = world_of(
        *FIXED,
        people(
            count=200,
            outside_cost_bps=5,
            outside_cost_spread_bps=10,
            latency_seconds=1,
            latency_spread_seconds=2,
        ),
    )
    state = world.states["arbs"]
    cost, latency = state.outside_cost * 1e4, state.latency / 1e6
    assert (cost.min() >= 5.0, cost.max() <= 15.0) == (True, True)
    assert abs(cost.mean() - 10.0) < 5 * 10.0 / math.sqrt(12 * 200)
    assert (latency.min() >= 1.0, latency.max() <= 3.0) == (True, True)
    assert abs(np.corrcoef(cost, latency)[0, 1]) < 5 / math.sqrt(200)


def test_who_pays_with_the_gas_token_keeps_some_for_the_gas():
    """A fall to 1,500 USD is worth all of its half ETH, gas aside."""
    fills = run_fills(
        *FIXED,
        jump(1_500.0),
        people(inventory_usd=1_000),
        "chains.mainnet.fee_market={base_fee_gwei: 5, floor_gwei: 5}",
    )
    assert fills["status"][0] == Status.OK
    assert 0.49 < fills["amount_in"][0] < 0.5
