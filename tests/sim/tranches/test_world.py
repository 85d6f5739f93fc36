"""A vault in a world: it holds what it says, and a lending loss reaches its tranches in order."""

import functools

import numpy as np
import pytest

from experiments.composition import plan_of
from experiments.scenario import load_scenario
from sim.tranches.shocks import SHOCKS as VAULT_SHOCKS
from sim.units import DAY, HOUR, ticks
from sim.world import World

AT_REST = (
    "horizon=3d",
    "price_step_seconds=12",
    "assets.ETH.price={kind: fixed, price: 2000}",
    (
        "assets.THIN={price: {kind: waypoints, waypoints: [[0, 10], [24, 10], [24.1, 7], [72, 7]], "
        "volatility: [{until_hours: 72, volatility: 0}]}}"
    ),
    "chains.mainnet.blocks={kind: fixed, interval_seconds: 12}",
    "chains.mainnet.tokens=[ETH, USD, THIN]",
)
VENUES = """venues={
  pool: {kind: constant_product, chain: mainnet, tokens: [ETH, USD], value_usd: 1e7},
  usd-feed: {kind: oracle, chain: mainnet, token: USD, source: {kind: fixed, price_usd: 1}},
  thin-feed: {kind: oracle, chain: mainnet, token: THIN, source: {kind: reference}},
  market: {kind: lending, chain: mainnet, reserves: {
    USD: {feed: usd-feed, slope1: 0, slope2: 0},
    THIN: {feed: thin-feed, can_be_borrowed: false}}},
  vault: {kind: tranches, chain: mainnet, token: USD, value_usd: 1e6, nav: NAV,
    tranches: [{name: senior}, {name: mezzanine, thickness: 0.12}, {name: junior, thickness: 0.08}],
    gate: 0.2, exit_pools: [pool]}}"""
PEOPLE = """populations={
  manager: {kind: vault_managers, chain: mainnet, vault: vault, gas_usd: 1,
    deposits: [{market: market, share: 0.5}], liquidity: [{pool: pool, share: 0.3}]},
  lenders: {kind: suppliers, chain: mainnet, market: market, asset: USD, count: 1,
    supplied_usd: 5e5, fast_share: 0, medium_share: 0, slow_share: 0},
  debtors: {kind: borrowers, chain: mainnet, market: market, collateral: THIN, debt: USD, count: 1,
    debt_usd: 4e5, awake_share: 0, health_quantiles: [[0.0, 1.0667], [1.0, 1.0667]]},
  seniors: {kind: tranche_investors, chain: mainnet, vault: vault, tranche: senior, count: 4,
    share: 0.9, informed_share: 0, slow_share: 0},
  hands: {kind: noise_traders, chain: mainnet, count: 2, swaps_per_day: 0, median_usd: 1000}}"""


@functools.cache
def scenario(nav, *more):
    texts = [VENUES.replace("NAV", nav), PEOPLE]
    flat = [" ".join(text.split()) for text in texts]
    return load_scenario("quiet-market", [*AT_REST, *flat, *more])


def world_of(nav="oracle", *more):
    """A vault of a million: half lent, 0.3 in a pool, the rest cash; its debtor's collateral falls
    by 30 % after a day."""
    return World(plan_of(scenario(nav, *more), 1))


def vault_of(world):
    state = world.states["tranches"]
    return state, state.vaults[0]


def at(world, seconds):
    world.advance(ticks(seconds))
    return vault_of(world)


def test_the_vault_holds_its_portfolio_in_its_own_name():
    """The claims of market and pool, and the cash, are those of the vault's account."""
    world = world_of()
    state, vault = at(world, 600.0)
    group, row = int(vault["group"]), int(vault["account"])
    held = world.account_holdings()[group][row]
    own = state.share[0, :3]
    worth = np.delete(held * world.prices.fundamental, own)
    assert worth.sum() == pytest.approx(1e6, rel=1e-9)
    usd = world.token("mainnet", "USD")
    assert held[usd] == pytest.approx(5e5 + 1.5e5 + 2e5 - 1.0, rel=1e-9)
    assert state.nav[0, :3] == pytest.approx([8e5, 1.2e5, 8e4], rel=1e-9)
    world.check()


def test_what_all_hold_adds_up_with_the_vaults_debt():
    world = world_of()
    at(world, 600.0)
    for number, total in enumerate(world.holdings().sum(axis=0)):
        own = number in vault_of(world)[0].share[0, :3]
        assert total == pytest.approx(
            0.0 if own else world.ledger.supply[number], rel=1e-9, abs=1e-6
        )
    value = world.holdings()[world.group("tranches")] @ world.prices.fundamental
    assert value == pytest.approx(0.0, abs=1e-3)  # a vault is worth what it owes


def loss_of(world):
    """The vault's part of what the debtor's collateral does not cover."""
    lending = world.states["lending"][0]
    debtor = int(np.flatnonzero(lending.debt_reserve[:, 0] >= 0)[0])
    debt = float(lending.debt_scaled[debtor, 0])
    collateral = float(lending.collateral_scaled[debtor].sum()) * 7.0
    return (debt - collateral) * 5e5 / 1e6


def test_a_lending_loss_is_paid_exactly_in_order():
    """Half of the shortfall is the vault's: it takes the junior, then eats into the mezzanine."""
    world = world_of()
    state, _ = at(world, 1.5 * DAY)
    loss = loss_of(world)
    assert loss == pytest.approx(13_327.5, rel=1e-9)
    assert state.nav[0, :3] == pytest.approx([8e5, 1.2e5, 8e4 - loss], rel=1e-9)
    assert state.realized.sum() == 0.0
    assert (state.claim - state.nav)[0, :3].sum() == pytest.approx(loss, rel=1e-6)


def test_a_loss_beyond_the_junior_reaches_the_mezzanine():
    thick = "populations.manager.deposits=[{market: market, share: 0.5}]"
    low = "assets.THIN.price.waypoints=[[0, 10], [24, 10], [24.1, 4], [72, 4]]"
    world = world_of("oracle", thick, low)
    state, _ = at(world, 1.5 * DAY)
    lending = world.states["lending"][0]
    debtor = int(np.flatnonzero(lending.debt_reserve[:, 0] >= 0)[0])
    short = float(lending.debt_scaled[debtor, 0])
    short -= float(lending.collateral_scaled[debtor].sum()) * 4.0
    loss = short / 2.0
    assert loss > 8e4
    assert state.nav[0, :3] == pytest.approx([8e5, 2e5 - loss, 0.0], rel=1e-9, abs=1e-3)
    world.check()


def test_the_book_policy_waits_for_the_write_off():
    world = world_of("book")
    state, vault = at(world, 1.5 * DAY)
    assert state.nav[0, :3] == pytest.approx([8e5, 1.2e5, 8e4], rel=1e-9)
    assert vault["fair"] == pytest.approx(1e6 - loss_of(world), rel=1e-9)
    assert state.fair[0, 2] == pytest.approx(8e4 - loss_of(world), rel=1e-6)


def test_the_exit_policy_counts_what_a_sale_would_cost():
    """75 ETH of the position, into 10.3 million of both: worth x y / (x + y) with the fee."""
    world = world_of("exit")
    _, vault = at(world, 600.0)
    reserve = 1.03e7 / 2.0 / 2000.0
    net = 75.0 * 0.997
    cash = 1.03e7 / 2.0 * net / (reserve + net)
    assert vault["gross"] == pytest.approx(1e6 - 1.5e5 + cash, rel=1e-6)


def redeem(world, row, amount, tranche=0):
    return world.submit("vault", "redeem", "seniors", row, a=tranche, amount=amount)


def test_who_waits_has_a_claim_on_the_vault_that_it_owes():
    world = world_of()
    at(world, 600.0)
    redeem(world, 0, 1_000.0)
    world.submit("vault", "redeem", "seniors", 1, a=0, amount=500.0)
    state, vault = at(world, 700.0)
    found = [claim for claim in world.claims() if claim.token == state.share[0, 0]]
    assert {claim.venue for claim in found} == {world.venue("vault")}
    own, *waiting = sorted(found, key=lambda claim: claim.amount.sum())
    assert own.group == vault["group"]
    held = [claim for claim in waiting if claim.group == world.group("seniors")]
    assert sum(claim.amount.sum() for claim in held) == 1_500.0


def claim_on_market(world):
    lending = world.states["lending"][0]
    mine = lending.positions["population"] == world.group("tranches")
    return float(lending.collateral_scaled[mine].sum())


def test_the_gate_lets_out_a_fifth_and_the_manager_prepares_the_next():
    """160,000 of 200,000 in cash, of which 1 is gas; the next epoch pays 128,000."""
    world = world_of()
    at(world, 600.0)
    for row in range(4):
        redeem(world, row, float(np.inf))
    _, vault = at(world, DAY + 600.0)
    assert vault["paid"] == pytest.approx(1.6e5, rel=1e-6)
    assert claim_on_market(world) == pytest.approx(5e5 - (1.28e5 - (4e4 - 1.0)), rel=1e-9)


def test_redemptions_are_paid_from_cash_then_from_deposits_then_by_a_fire_sale():
    """720,000 at once: 200,000 of cash, the deposit of 500,000, and 20,000 of liquidity, half of
    which is ether that is sold in the pool."""
    world = world_of("oracle", "venues.vault.gate=1.0")
    at(world, 600.0)
    pool = world.venue("pool")
    before = float(world.venues.price[pool])
    for row in range(4):
        redeem(world, row, float(np.inf))
    _, vault = at(world, DAY + 600.0)
    assert vault["paid"] == pytest.approx(7.2e5, rel=1e-3)
    assert claim_on_market(world) == 0.0
    # x y = k and the fee: 5 ETH into some 2,570 lower the price by twice their share
    assert float(world.venues.price[pool]) / before - 1.0 == pytest.approx(
        -2 * 5.0 / 2565.0, rel=0.1
    )
    world.check()


def test_shocks_stop_reopen_and_wind_down():
    world = world_of()
    _, vault = at(world, 600.0)
    by_kind = {shock.kind: shock for shock in VAULT_SHOCKS}
    for kind, stage in (("stop_vault", 1), ("reopen_vault", 0), ("wind_down_vault", 2)):
        shock = by_kind[kind]
        shock.apply(world, shock.config(kind=kind, venue="vault"))
        assert vault["stage"] == stage


def test_a_vault_that_winds_down_sells_everything():
    world = world_of()
    at(world, 600.0)
    shock = next(shock for shock in VAULT_SHOCKS if shock.kind == "wind_down_vault")
    shock.apply(world, shock.config(kind="wind_down_vault", venue="vault"))
    for row in range(4):
        redeem(world, row, float(np.inf))
    _, vault = at(world, 0.9 * DAY)
    eth = world.token("mainnet", "ETH")
    assert world.balance(int(vault["group"]), 0, eth) < 1.0
    at(world, DAY + 600.0)  # all of the senior's investors, at once
    assert vault["paid"] == pytest.approx(7.2e5, rel=1e-3)


def test_the_sample_says_what_the_state_says():
    world = world_of()
    state, _ = at(world, HOUR)
    rows = world.sample()["tranches"][0]
    assert rows["tranche"] == ["senior", "mezzanine", "junior"]
    assert rows["attachment"] == pytest.approx([0.2, 0.08, 0.0])
    assert rows["detachment"] == pytest.approx([1.0, 0.2, 0.08])
    assert rows["nav"] == pytest.approx(state.nav[0, :3])
