"""Relayers keep wrapped tokens near par, restock over bridges, leave unbacked discounts alone."""

import numpy as np
import pytest

from agents.relayers import KIND, RelayersConfig
from tests.agents.crossing import Log, crossing, shock

FEE, POOL_FEE = 5e-4, 5e-4  # of the bridge, of the pool


def relayers(**fields):
    given = {
        "kind": "relayers", "chain": "home", "other_chain": "other", "count": 2,
        "inventory_usd": 1_000_000.0, "margin_bps": 5.0, "margin_spread_bps": 0.0,
        "delay_cost_per_day": 0.0, "tip_share": 0.0, "rebalance_band": 0.01, **fields,
    }  # fmt: skip
    return RelayersConfig(**given)


def move_pool(world, price):
    """Put the pool at a price by scaling its reserves; the outside pays or takes the difference."""
    pools = world.states["constant_product"]
    root = np.sqrt(pools.reserve0[0] * pools.reserve1[0])
    for reserve, value, token in (
        (pools.reserve0, root / np.sqrt(price), int(pools.token0[0])),
        (pools.reserve1, root * np.sqrt(price), int(pools.token1[0])),
    ):
        change = value - reserve[0]
        world.ledger.balance[
            world.ledger.first[pools.group[0]] + world.ledger.column[pools.group[0], token]
        ] += change
        world.ledger.supply[token] += change
        reserve[0] = value
    lock = world.states["lock_and_mint"]
    home = world.token("home", "USD")
    missing = world.ledger.supply[world.token("other", "bUSD")] - lock.escrow[0]
    world.ledger.balance[
        world.ledger.first[lock.group[0]] + world.ledger.column[lock.group[0], home]
    ] += missing
    world.ledger.supply[home] += missing
    lock.escrow[0] += missing
    world.venues.price[1] = price
    world.venues.version[1] += 1


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0.97, (1.0 - FEE - 5e-4) * (1.0 - POOL_FEE)),  # buys until redeeming earns the margin only
        (1.03, (1.0 + FEE + 5e-4) / (1.0 - POOL_FEE)),
    ],
)
def test_they_bring_the_pool_to_par_less_fees_and_margin(start, end):
    world = crossing(KIND, relayers(), network=False)
    move_pool(world, start)
    log = Log(world)
    log.run(0.01)
    # The limit is on the swap curve; fees of 5 bp on 1.5 % of a reserve join the pool beside it.
    assert world.venues.price[1] == pytest.approx(end, rel=POOL_FEE * 0.016)
    assert len(log.done("constant_product.swap")) == 1  # the second one finds nothing to do


def test_a_price_within_the_costs_is_left_alone():
    world = crossing(KIND, relayers(), network=False)
    move_pool(world, 0.9990)
    log = Log(world)
    assert log.run(0.1) == []


def test_what_they_bought_they_redeem_and_gain_the_discount():
    world = crossing(KIND, relayers(count=1), network=False)
    move_pool(world, 0.97)
    people = world.group("people")
    usd = [world.token("home", "USD"), world.token("other", "USD"), world.token("other", "bUSD")]
    before = world.holdings()[people][usd].sum()
    log = Log(world)
    log.run(2.0)
    swap = log.rows[0]
    redeemed = sum(f["amount_in"] for f in log.done("lock_and_mint.send"))
    assert redeemed == pytest.approx(swap["amount_out"], rel=0.01)
    assert world.states["lock_and_mint"].in_flight.sum() == 0.0
    gain = world.holdings()[people][usd].sum() - before
    expected = swap["amount_out"] - swap["amount_in"] - redeemed * FEE
    assert gain == pytest.approx(expected, rel=1e-9)
    assert gain > 0.0


@pytest.mark.parametrize(("left", "most"), [(1_000.0, 0.0), (1_010_000.0, 10_000.0)])
def test_they_buy_no_more_than_the_escrow_redeems_with_what_they_hold(left, most):
    world = crossing(KIND, relayers(count=1), network=False)
    move_pool(world, 0.97)
    escrow = float(world.states["lock_and_mint"].escrow[0])
    shock(world, "forge", mode="release_from_escrow", population="people", amount=escrow - left)
    log = Log(world)
    log.run(1.0)
    bought = sum(f["amount_out"] for f in log.done("constant_product.swap"))
    assert bought == pytest.approx(most, rel=0.02)  # it divides by the price before its own impact
    assert bought <= most


def test_a_paused_bridge_stops_them():
    world = crossing(KIND, relayers(), network=False)
    move_pool(world, 0.9)
    shock(world, "pause_bridge")
    log = Log(world)
    assert log.run(0.5) == []


def test_they_balance_their_inventory_over_the_network():
    world = crossing(KIND, relayers(count=1, inventory_usd=100_000.0))
    other = world.token("other", "USD")
    held = (
        world.ledger.first[world.group("people")]
        + world.ledger.column[world.group("people"), other]
    )
    world.ledger.balance[held] += 20_000.0
    world.ledger.supply[other] += 20_000.0
    log = Log(world)
    log.run(1.0)
    sends = log.done("liquidity_network.send")
    assert sends[0]["a"] == 1
    assert sends[0]["amount_in"] == pytest.approx(20_000.0)
    assert world.balances("people", other)[0] == pytest.approx(100_000.0)


def test_they_turn_home_tokens_into_pool_tokens_on_the_reference_market():
    world = crossing(KIND, relayers(count=1), network=False, market=True)
    move_pool(world, 0.9)
    log = Log(world)
    log.run(2.0)
    assert log.done("reference_market.trade")
    other = world.balances("people", world.token("other", "USD"))[0]
    assert other == pytest.approx(1_000_000.0, rel=0.02)
