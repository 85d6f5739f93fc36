"""A staking pool by hand: rate, fee, queue, slashing; and the same pool in a world."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InputError, RefusedError
from sim.orders import split_cause
from sim.staking.facade import LiquidStaking
from sim.staking.state import CLAIM, UNSTAKE
from sim.status import Status
from sim.units import DAY, YEAR, ticks
from tests.worlds import Log, planned, run

POOL = (
    "venues.staking={kind: liquid_staking, chain: mainnet, token: ETH, issued: sETH, "
    "exchange_rate: 1.1, reward_rate: 0.0365, fee_share: 0.1, minimum_delay_seconds: 600%s}"
)
STAKERS = "populations.stakers={kind: accounts, chain: mainnet, holds: {ETH: 100, sETH: 40}}"


def staked(**terms):
    pool = LiquidStaking(reward_rate=0.0365, **terms)
    pool.stake("ann", 100.0)
    return pool


# --- rate and fee --------------------------------------------------------------------------------


def test_a_daily_report_adds_a_day_of_rewards_less_the_fee():
    """100 earn 0.01 a day; holders get 0.009 of it, the treasury tokens worth 0.001."""
    pool = staked(fee_share=0.1)
    pool.advance(DAY - 1.0)
    assert pool.exchange_rate == 1.0
    pool.advance(1.0)
    assert pool.exchange_rate == pytest.approx(1.00009, rel=1e-14)
    assert pool.backing == pytest.approx(100.01, rel=1e-14)
    assert pool.fees * pool.exchange_rate == pytest.approx(0.001, rel=1e-10)


def test_continuous_reports_compound_and_do_not_depend_on_their_times():
    once, often = staked(report_interval=0.0), staked(report_interval=0.0)
    once.advance(YEAR)
    for _ in range(73):
        often.advance(YEAR / 73)
    assert once.exchange_rate == pytest.approx(math.exp(0.0365), rel=1e-13)
    assert often.exchange_rate == pytest.approx(once.exchange_rate, rel=1e-13)


def test_new_stake_changes_no_rate():
    pool = staked()
    pool.advance(DAY)
    before = pool.exchange_rate
    assert pool.stake("bob", 50.0) == 50.0 / before
    assert pool.backing / pool.supply == pytest.approx(before, rel=1e-15)


# --- the queue -----------------------------------------------------------------------------------


def test_requests_are_final_in_turn_at_the_exit_capacity():
    """10 a day: the first 20 take two days, the 5 behind them half a day more."""
    pool = LiquidStaking(reward_rate=0.0, minimum_delay=3_600.0, exit_capacity=10.0)
    pool.stake("ann", 100.0)
    assert pool.wait(20.0) == 2 * DAY
    first, second = pool.unstake("ann", 20.0), pool.unstake("ann", 5.0)
    pool.advance(2 * DAY - 1.0)
    with pytest.raises(RefusedError, match="not final"):
        pool.claim(first)
    pool.advance(1.0)
    assert pool.claim(first) == 20.0
    with pytest.raises(RefusedError, match="not final"):
        pool.claim(second)
    pool.advance(DAY / 2)
    assert pool.claim(second) == 5.0


def test_the_delay_holds_where_the_exit_is_free():
    pool = LiquidStaking(reward_rate=0.0, minimum_delay=3_600.0, exit_capacity=1e9)
    assert pool.wait(1.0) == 3_600.0


def test_a_request_earns_nothing_while_it_waits():
    pool = staked(minimum_delay=10 * DAY)
    request = pool.unstake("ann", 50.0)
    pool.advance(10 * DAY)
    assert pool.claim(request) == 50.0
    # nine days of rewards on 100 stay with the other 50, who then earn a tenth by themselves
    left = 100.0 * 1.0001**9 - 50.0
    assert pool.exchange_rate == pytest.approx(left * 1.0001 / 50.0, rel=1e-12)


# --- slashing ------------------------------------------------------------------------------------


def test_a_slash_lowers_the_rate_and_what_waits_with_it():
    pool = LiquidStaking(reward_rate=0.0)
    pool.stake("ann", 100.0)
    request = pool.unstake("ann", 40.0)
    assert pool.slash(0.1) == 10.0
    assert pool.exchange_rate == 0.9
    pool.advance(DAY)
    assert pool.claim(request) == pytest.approx(36.0, rel=1e-15)
    assert pool.backing == pytest.approx(54.0, rel=1e-15)


def test_a_protected_queue_leaves_the_loss_to_those_who_stay():
    pool = LiquidStaking(reward_rate=0.0, queue_shares_losses=False)
    pool.stake("ann", 100.0)
    request = pool.unstake("ann", 40.0)
    assert pool.slash(0.1) == 6.0
    pool.advance(DAY)
    assert pool.claim(request) == 40.0
    assert pool.exchange_rate == 0.9


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["stake", "unstake", "advance", "slash", "claim"]),
            st.floats(0.01, 0.99),
        ),
        min_size=1,
        max_size=30,
    ),
    shares=st.booleans(),
)
def test_every_token_is_backed_and_nobody_gets_more_than_asked(steps, shares):
    pool = LiquidStaking(
        reward_rate=0.05, fee_share=0.1, exit_capacity=200.0, queue_shares_losses=shares
    )
    pool.stake("ann", 100.0)
    asked, paid = {}, 0.0
    for verb, x in steps:
        if verb == "stake":
            pool.stake("bob", 100.0 * x)
        elif verb == "unstake":
            tokens = pool.balance("ann") * x
            if tokens > 1e-6:
                asked[pool.unstake("ann", tokens)] = tokens * pool.exchange_rate
        elif verb == "advance":
            pool.advance(3 * DAY * x)
        elif verb == "slash":
            pool.slash(0.3 * x)
        for request in list(asked):
            if verb == "claim" and pool._state.requests["stage"][request] == 2:
                got = pool.claim(request)
                paid += got
                assert got <= asked.pop(request) * (1.0 + 1e-12)
    held = pool._ledger.balance[0]
    assert held == pytest.approx(pool.backing + pool._state.set_aside[0], rel=1e-12)
    assert held + paid == pytest.approx(pool._ledger.supply[0], rel=1e-12)


@pytest.mark.parametrize(
    "terms", [{"fee_share": 1.0}, {"exit_capacity": 0.0}, {"minimum_delay": -1.0}]
)
def test_bad_terms_are_refused(terms):
    with pytest.raises(InputError, match=next(iter(terms))):
        LiquidStaking(reward_rate=0.03, **terms)


# --- in a world ----------------------------------------------------------------------------------


def world_with(*overrides, terms=""):
    return planned(1, POOL % terms, STAKERS, *overrides)


def test_tokens_of_the_start_are_backed_and_worth_their_rate():
    world = world_with()
    token, ether = (world.token("mainnet", symbol) for symbol in ("sETH", "ETH"))
    assert world.states["liquid_staking"].backing[0] == 44.0
    assert world.prices.fundamental[token] == 1.1 * world.prices.fundamental[ether]
    world.check()


def test_an_order_unstakes_and_another_claims():
    world = world_with()
    world.submit("staking", "unstake", "stakers", 0, amount=10.0)
    log = run(world, 700.0)
    world.submit("staking", "claim", "stakers", 0, a=int(log.fills["b"][0]))
    world.advance(ticks(720.0))
    unstaked, claimed = log.fills
    assert (unstaked["status"], claimed["status"]) == (Status.OK, Status.OK)
    assert unstaked["amount_out"] == claimed["amount_out"] == pytest.approx(11.0, rel=1e-15)
    assert claimed["verb"] - unstaked["verb"] == CLAIM - UNSTAKE
    world.check()


def test_a_claim_before_its_time_or_by_another_is_refused():
    world = planned(1, POOL % "", STAKERS.replace("chain: mainnet,", "chain: mainnet, count: 2,"))
    world.submit("staking", "unstake", "stakers", 0, amount=10.0)
    log = run(world, 60.0)
    at = int(log.fills["b"][0])
    world.submit("staking", "claim", "stakers", 0, a=at)
    world.advance(ticks(700.0))
    world.submit("staking", "claim", "stakers", 1, a=at)
    world.advance(ticks(760.0))
    assert [Status(s).name for s in log.fills["status"]] == ["OK", "NO_POSITION", "NOT_ALLOWED"]


def test_a_slash_is_fundamental_at_once_and_reported_when_its_terms_say():
    from experiments.kinds import shock_kinds

    kind = shock_kinds()["slash"]
    for is_reported, shown in ((True, 0.99), (False, 1.1)):
        world = world_with(terms=", report_interval_seconds: 3600")
        world.advance(ticks(1_800.0))
        slashed = {"kind": "slash", "venue": "staking", "share": 0.1, "is_reported": is_reported}
        kind.apply(world, kind.config(**slashed))
        token, ether = (world.token("mainnet", symbol) for symbol in ("sETH", "ETH"))
        usd = world.prices.fundamental
        assert usd[token] / usd[ether] == pytest.approx(0.99, rel=1e-14)
        assert world.venues.price[world.venue("staking")] == pytest.approx(shown, rel=1e-14)
        world.advance(ticks(3_700.0))
        assert world.venues.price[world.venue("staking")] == pytest.approx(0.99, rel=1e-5)
        world.check()


def test_the_fee_reaches_the_treasury_that_is_named():
    people = "populations.treasury={kind: accounts, chain: mainnet, holds: {sETH: 0}}"
    world = world_with(people, terms=", treasury: treasury, report_interval_seconds: 3600")
    world.advance(ticks(DAY))
    token = world.token("mainnet", "sETH")
    fee = world.balances("treasury", token)[0] * world.venues.price[world.venue("staking")]
    # 24 hourly reports on some 44 ether: 44 x 0.0365 / 365 x 10 %
    assert fee == pytest.approx(44.0 * 1e-4 * 0.1, rel=1e-4)


def test_equity_counts_what_waits():
    world = world_with()
    world.submit("staking", "unstake", "stakers", 0, amount=10.0)
    world.advance(ticks(60.0))
    token = world.token("mainnet", "sETH")
    held = world.holdings()[world.group("stakers"), token]
    assert held == pytest.approx(40.0, rel=1e-15)
    world.advance(ticks(900.0))
    ether = world.token("mainnet", "ETH")
    mine = world.holdings()[world.group("stakers")]
    assert (mine[token], mine[ether]) == (pytest.approx(30.0), pytest.approx(111.0, rel=1e-4))
    assert np.isclose(world.holdings().sum(axis=0)[token], 0.0, atol=1e-12)


# --- arbitrage -----------------------------------------------------------------------------------

DEPTH = (
    "venues.depth={kind: quoted_depth, chain: mainnet, tokens: [sETH, ETH], anchor: own, mid: %s, "
    "curve: {kind: points, points: [[100, 50], [1000, 500]]}, refill_half_life_seconds: 600, "
    "inventory_usd: 1e6}"
)
ARBITRAGE = (
    "populations.arbs={kind: staking_arbitrageurs, chain: mainnet, staking: staking, pool: depth, "
    "inventory_usd: 20000, cost_of_capital: 0.1, required_bps: 0}"
)


def arbitrage_at(mid, hours=3.0, terms=""):
    world = world_with(DEPTH % mid, ARBITRAGE, terms=terms)
    log = Log(world)
    world.advance(ticks(hours * 3_600.0))
    world.check()
    return world, log.fills


def test_a_discount_beyond_the_wait_is_bought_unstaked_and_claimed():
    world, fills = arbitrage_at(1.05)
    names = [world.verb_names[verb].partition(".")[2] for verb in fills["verb"]]
    assert names[:2] == ["swap", "unstake"]
    assert "claim" in names
    ether = world.balances("arbs", world.token("mainnet", "ETH"))[0]
    assert ether + world.states["liquid_staking"].queued[0] > 10.0
    assert (fills["status"] == Status.OK).all()


def test_finite_capital_bounds_what_is_in_the_queue():
    world, _ = arbitrage_at(1.05, hours=0.1)
    assert world.states["liquid_staking"].queued[0] <= 10.0 * 1.1 / 1.05 * (1.0 + 1e-9)


def test_a_discount_below_the_cost_of_the_wait_is_left():
    """10 % a year for 182.5 days cost 5 %; the discount is 1.05 / 1.1 - 1 = -4.5 %."""
    slow = ", exit_capacity_per_day: 0.055"  # 10 ether of capital take 182 days
    _, fills = arbitrage_at(1.05, terms=slow)
    assert len(fills) == 0


def test_a_premium_is_staked_and_sold():
    world, fills = arbitrage_at(1.15, hours=0.1)
    names = [world.verb_names[verb].partition(".")[2] for verb in fills["verb"]]
    assert names[:2] == ["stake", "swap"]
    assert world.balances("arbs", world.token("mainnet", "ETH"))[0] > 10.0


def test_a_price_inside_the_costs_is_left():
    _, fills = arbitrage_at(1.1)
    assert len(fills) == 0


def test_the_first_trade_is_caused_by_the_price():
    _, fills = arbitrage_at(1.05, hours=0.02)
    assert split_cause(fills["parent"])[0][0] == 1


def test_events_have_the_numbers_of_the_engine_in_any_order_of_venues():
    """Pools that are made first come before those that a scenario lists first."""
    from sim.trial import small_plan
    from sim.world import World
    from tests.examples import MECHANISMS, venue

    kinds = ("liquidity_network", "lock_and_mint", "liquid_staking")
    venues = tuple(venue(kind, MECHANISMS[kind]["configs"][0]) for kind in kinds)
    world = World(small_plan(venues))
    assert len(world.event_kinds) == 3
    assert {name: world.event_number(name) for name in world.event_kinds} == world.event_kinds
    for kind in kinds:
        number = int(world.states[kind].counter[1])
        assert number == world.event_kinds[next(n for n in world.event_kinds if n.startswith(kind))]
