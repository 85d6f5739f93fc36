"""Liquidators in a small market: whom they find, how much they repay, who wins, what it pays."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from agents.liquidation_search import CandidateList, look, weigh
from agents.liquidation_size import HOLD, POOL, REFERENCE, best_in_pool
from agents.liquidator_means import inventory_shares
from agents.liquidators import KIND, LiquidatorsConfig
from sim.errors import InputError
from sim.feeds import Feeds
from sim.kernel import bind, kernel, view_of
from sim.ledger import burn
from sim.lending.building import enter, open_positions, reserve_of
from sim.lending.near_accounts import NearAccounts
from sim.lending.state import LendingState
from sim.orders import ACCRUAL, FILL, split_cause
from sim.plan import PopulationPlan
from sim.registry import Config, PopulationKind
from sim.status import Status
from sim.units import GWEI, ticks
from sim.venues import Venues
from sim.world import World
from tests.worlds import Log, planned

OK, LEG_FAILED = int(Status.OK), int(Status.LEG_FAILED)
NOT_LIQUIDATABLE = int(Status.NOT_LIQUIDATABLE)
FIXED = "{kind: oracle, chain: mainnet, token: USD, source: {kind: fixed, price_usd: 1}}"
ORACLES = (
    "venues.eth-feed={kind: oracle, chain: mainnet, token: ETH}",
    f"venues.usd-feed={FIXED}",
)
MARKET = (
    "{kind: lending, chain: mainnet, close_factor: 0.5, full_close_below: 0, reserves: "
    "{ETH: {feed: eth-feed, liquidation_threshold: 0.8, loan_to_value: 0.75, "
    "liquidation_bonus: 0.05, base_rate: 0, slope1: 0}, "
    "USD: {feed: usd-feed, liquidation_threshold: 0.8, base_rate: 0, slope1: 0}}}"
)
GAS = "chains.mainnet.fee_market={kind: eip1559, base_fee_gwei: 10, floor_gwei: 10}"
KEEPERS = ("populations.keepers={kind: oracle_keepers, chain: mainnet}",)
HOLDING = {"pool": 0.0, "reference": 0.0, "hold": 1.0}


class BookConfig(Config):
    """Accounts of one market: (collateral symbol, tokens, debt symbol, tokens) each."""

    market: str
    accounts: tuple[tuple[str, float, str, float], ...]


def make_book(world, site):
    """Enter the accounts; the last one only supplies a million USD and 500 ETH to lend."""
    venue, n = world.venue(site.config.market), site.rows
    positions = open_positions(world, venue, site.group, np.arange(n))
    dollars, ether = (reserve_of(world, venue, symbol) for symbol in ("USD", "ETH"))
    enter(world, positions[-1:], dollars, np.array([1e6]), are_debts=False)
    enter(world, positions[-1:], ether, np.array([500.0]), are_debts=False)
    for position, (pledged, claim, owed, debt) in zip(
        positions, site.config.accounts, strict=False
    ):
        for symbol, amount, are_debts in ((pledged, claim, False), (owed, debt, True)):
            reserve = reserve_of(world, venue, symbol)
            enter(world, np.array([position]), reserve, np.array([amount]), are_debts=are_debts)
    return ()


BOOK = PopulationKind("book", BookConfig, (), make_book, None, lambda *_: None)


def config(**changes: Any) -> LiquidatorsConfig:
    made = {"market": "market", "count": 1, "inventory_usd": 1e6, "largest_share": 1.0} | changes
    return LiquidatorsConfig(kind="liquidators", chain="mainnet", **made)


def world_with(
    *accounts, people=None, steps=None, overrides=(), markets=(("market", MARKET),), **changes
) -> World:
    """A market with the accounts given as (ETH, USD owed) or in full, and liquidators.

    `steps` maps seconds to the ETH price from then on.
    """
    prices = {f"venues.{name}={market}": None for name, market in markets}
    base = planned(1, *ORACLES, *prices, *overrides).plan
    paths = base.paths.copy()
    for at, price in sorted((steps or {}).items()):
        paths[0, math.ceil(at / 12) :] = price
    full = tuple(a if len(a) == 4 else ("ETH", a[0], "USD", a[1]) for a in accounts)
    book = tuple(
        PopulationPlan(
            f"book-{name}",
            BOOK,
            "mainnet",
            len(full) + 1,
            BookConfig(market=name, accounts=full if name == "market" else ()),
        )
        for name, _ in markets
    )
    teams = people or {"hunters": config(**changes)}
    plans = tuple(PopulationPlan(n, KIND, "mainnet", c.count, c) for n, c in teams.items())
    return World(replace(base, paths=paths, populations=(*base.populations, *book, *plans)))


def set_price(world: World, price: float) -> None:
    """Let the feed of ETH say a price."""
    feeds = world.shared[Feeds]
    feeds.value[0] = feeds.posted[0] = price


def run(world: World, seconds: float) -> Log:
    log = Log(world)
    world.advance(ticks(seconds))
    return log


def of(world: World, fills: np.ndarray, name: str = "hunters", verb: str | None = None):
    mine = fills["group"] == world.group(name)
    if verb is not None:
        mine &= fills["verb"] == world.verb_names.index(verb)
    return fills[mine]


def liquidations(world: World, log: Log, name: str = "hunters"):
    return of(world, log.fills, name, "lending.liquidate")


def profit(world: World, name: str = "hunters") -> np.ndarray:
    site = world.population_sites[world.population_names.index(name)]
    return world.columns_of(site)["profit_usd"]()


# --- finding -------------------------------------------------------------------------------------


def test_a_position_is_liquidated_in_the_block_after_the_report_that_made_it_unsafe():
    # 10 ETH at 2,000 with threshold 0.8 carry 16,000 USD; 15,000 owed are safe down to 1,875.
    world = world_with((10.0, 15_000.0), steps={120: 1_860.0}, overrides=KEEPERS, exit=HOLDING)
    log = run(world, 600)
    report = of(world, log.fills, "keepers")[0]
    done = liquidations(world, log)[0]
    assert report["height"] + 1 == done["height"]
    assert split_cause(done["parent"]) == (FILL, report["fill_id"])
    assert done["status"] == OK
    assert done["x"] == pytest.approx(10 * 1_860 * 0.8 / 15_000, rel=1e-12)  # health factor before
    # Half the debt at most: 7,500 USD for 7,500 x 1.05 / 1,860 ETH.
    assert done["amount_in"] == pytest.approx(7_500.0, rel=1e-9)
    assert done["amount_out"] == pytest.approx(7_500.0 * 1.05 / 1_860.0, rel=1e-9)
    world.check()


def test_a_forced_delay_counts_from_the_block_that_saw_the_account_unsafe():
    steps, delay = {120: 1_860.0}, 600.0
    world = world_with(
        (10.0, 15_000.0), steps=steps, overrides=KEEPERS, exit=HOLDING, reaction_seconds=delay
    )
    log = run(world, 1_200)
    report = of(world, log.fills, "keepers")[0]
    done = liquidations(world, log)[0]
    assert done["time"] == report["time"] + ticks(12.0 + delay)


def test_an_account_that_recovers_during_the_delay_is_left_alone():
    steps = {120: 1_860.0, 480: 2_000.0}
    world = world_with(
        (10.0, 15_000.0), steps=steps, overrides=KEEPERS, exit=HOLDING, reaction_seconds=600.0
    )
    assert len(liquidations(world, run(world, 3_600))) == 0


def test_an_account_that_was_noticed_once_is_watched():
    steps = {120: 1_860.0, 480: 2_000.0, 960: 1_860.0}
    world = world_with(
        (10.0, 15_000.0), steps=steps, overrides=KEEPERS, exit=HOLDING, reaction_seconds=600.0
    )
    log = run(world, 3_600)
    third = of(world, log.fills, "keepers")[2]
    done = liquidations(world, log)[0]
    assert done["time"] == third["time"] + ticks(12.0)
    assert split_cause(done["parent"]) == (FILL, third["fill_id"])  # this fall, not the first


def test_nobody_liquidates_a_healthy_account():
    # 10 ETH x 2,000 x 0.8 is 16,000: the first account stands at a health factor of exactly one.
    world = world_with((10.0, 16_000.0), (10.0, 15_999.0), (10.0, 1.0))
    log = run(world, 7_200)
    assert len(of(world, log.fills)) == 0


def test_interest_that_makes_an_account_unsafe_is_the_cause():
    dear = MARKET.replace("base_rate: 0, slope1: 0}}", "base_rate: 0.9, slope1: 0}}")
    world = world_with((10.0, 15_999.0), markets=(("market", dear),), exit=HOLDING)
    done = liquidations(world, run(world, 7_200))[0]
    # 90 % a year take 16,000 / 15,999 - 1 = 6.25e-5 in some 2,190 s; the next hourly scan sees it.
    assert 3_600 <= done["time"] / 1e6 <= 3_660
    assert split_cause(done["parent"])[0] == ACCRUAL


def test_a_candidate_keeps_the_tick_at_which_it_was_first_unsafe():
    world = world_with((10.0, 15_000.0), (10.0, 15_500.0), (10.0, 10_000.0))
    watch = next(s for s in world.states["hunters"] if isinstance(s, CandidateList))
    near = next(s for s in world.states["hunters"] if isinstance(s, NearAccounts))
    lending = world.shared[LendingState]

    def look_at(price: float, now: int) -> list[tuple[int, int]]:
        lending.reserves["price"][0] = price
        book = _looking(bind(watch, near, lending, world.shared[Feeds]).ctypes.data, now)
        rows = watch.found[: watch.number[0]]
        assert book == len(rows)
        return [(int(row["position"]), int(row["since"])) for row in rows]

    assert look_at(2_000.0, 1) == []
    assert look_at(1_930.0, 2) == [(1, 2)]
    assert look_at(1_860.0, 3) == [(0, 3), (1, 2)]
    assert look_at(1_930.0, 4) == [(1, 2)]
    assert look_at(1_860.0, 5) == [(0, 3), (1, 2)]  # also when it was safe in between


_watching = view_of(CandidateList, NearAccounts, LendingState, Feeds)


@kernel(inline=False)
def _looking(binding, now):
    watch, near, lending, feeds = _watching(binding)
    look(watch, near, lending, feeds.fill, now)
    return watch.number[0]


# --- how much ------------------------------------------------------------------------------------


def best_on_curve(most, seized, cost, x, y, fee):
    """Return the r for which y (1-f) k r / (x + (1-f) k r) - c r is largest, in closed form."""
    keep = (1.0 - fee) * seized
    return min(most, max(0.0, (math.sqrt(x * y * keep / cost) - x) / keep))


@pytest.mark.parametrize("most", [1e3, 1e5, 1e6, 5e6])
@pytest.mark.parametrize("price", [1_900.0, 1_500.0, 990.0])
@pytest.mark.parametrize("cost", [1.0, 1.0009])
def test_the_size_is_the_best_one(most, price, cost):
    world = world_with((10.0, 15_000.0))
    pools = world.states["constant_product"]
    x, y, fee = pools.reserve0[0], pools.reserve1[0], pools.fee[0]
    seized = 1.08 / price
    numbers = np.array([most, seized, cost])
    found = np.zeros(2)
    _size(bind(world.venues).ctypes.data, world.venue("eth-usd"), numbers, found)
    best, gain = found

    def gain_of(repaid):
        sold = (1.0 - fee) * seized * repaid
        return y * sold / (x + sold) - cost * repaid

    grid = gain_of(np.linspace(0.0, most, 20_001))
    assert gain >= grid.max() - 1e-6 * abs(grid.max())
    if gain_of(1e-6 * most) > 0.0:
        assert gain == pytest.approx(gain_of(best), rel=1e-9)
        exact = best_on_curve(most, seized, cost, x, y, fee)
        assert best == pytest.approx(exact, rel=1.1e-3 if exact == most else 1e-5)
        assert gain == pytest.approx(gain_of(exact), rel=1e-6)


_pooled = view_of(Venues)


@kernel(inline=False)
def _size(binding, venue, numbers, found):
    (venues,) = _pooled(binding)
    found[0], found[1] = best_in_pool(venues, venue, 0, numbers[0], numbers[1], numbers[2])


def test_a_liquidation_stops_where_the_pool_pays_no_more():
    # Half the debt would be 500,000 USD; the pool holds five million on each side.
    rich = {"inventory_usd": 2e6, "inventory_tokens": ["USD"]}
    world = world_with((700.0, 1e6), steps={0: 1_780.0}, **rich)
    pools = world.states["constant_product"]
    x, y, fee = pools.reserve0[0], pools.reserve1[0], pools.fee[0]
    wanted = best_on_curve(5e5, 1.05 / 1_780.0, 1.0, x, y, fee)
    done = liquidations(world, run(world, 12))[0]
    assert 0.0 < wanted < 2e5
    assert done["amount_in"] == pytest.approx(wanted, rel=1e-4)


def test_the_inventory_limits_the_size():
    world = world_with(
        (10.0, 15_000.0), inventory_usd=1_000.0, inventory_tokens=["USD"], exit=HOLDING
    )
    set_price(world, 1_860.0)
    log = run(world, 600)
    done = liquidations(world, log)
    assert done["amount_in"].tolist() == [1_000.0]  # the ether does not become dollars again
    assert world.balances("hunters", world.token("mainnet", "USD"))[0] == 0.0


def test_what_does_not_pay_its_gas_is_left_alone():
    # 450,000 gas at 10 gwei and 1,860 USD are 8.37 USD; 5 % on half of 300 USD are 7.5.
    world = world_with(
        (0.2, 300.0), (2.0, 3_000.0), steps={0: 1_860.0}, overrides=(GAS,), exit=HOLDING
    )
    assert liquidations(world, run(world, 600))["a"].tolist() == [1]


def test_a_least_profit_is_respected():
    # Bonuses on half the debt: 375 and 3,750 USD.
    accounts = ((10.0, 15_000.0), (100.0, 150_000.0))
    world = world_with(*accounts, steps={0: 1_860.0}, exit=HOLDING, min_profit_usd=500.0)
    assert liquidations(world, run(world, 600))["a"].tolist() == [1]


def test_the_largest_debt_and_the_largest_collateral_are_chosen():
    world = world_with((10.0, 15_000.0))
    lending = world.shared[LendingState]
    dollars = int(lending.debt_reserve[0, 0])
    ether = 1 - dollars
    lending.debt_reserve[0, 1], lending.debt_scaled[0, 1] = ether, 1.0  # 1 ETH, 2,000 USD
    lending.collateral_reserve[0, 1], lending.collateral_scaled[0, 1] = dollars, 500.0
    candidate = np.zeros(1, world.states["hunters"][1].found.dtype)
    _weigh(bind(world.states["hunters"][1]._replace(found=candidate), lending).ctypes.data)
    assert (candidate["debt"][0], candidate["collateral"][0]) == (dollars, ether)
    assert candidate["most"][0] == pytest.approx(0.5 * 17_000.0)  # of the total debt, in dollars


_weighing = view_of(CandidateList, LendingState)


@kernel(inline=False)
def _weigh(binding):
    watch, lending = _weighing(binding)
    weigh(lending, watch.found[0], 0)


# --- who wins ------------------------------------------------------------------------------------


def test_the_higher_bid_wins_and_the_loser_pays_gas():
    people = {
        "modest": config(tip_share=0.1, exit=HOLDING),
        "greedy": config(tip_share=0.6, exit=HOLDING),
    }
    world = world_with((10.0, 15_000.0), people=people, overrides=(GAS,))
    set_price(world, 1_860.0)
    log = run(world, 120)
    lost, won = liquidations(world, log, "modest"), liquidations(world, log, "greedy")
    assert won["status"].tolist() == [OK]
    assert lost["status"].tolist() == [NOT_LIQUIDATABLE]
    assert won["place"][0] < lost["place"][0]
    # The bonus is 375 USD at the market; the gas 450,000 at 10 gwei and 2,000 USD.
    gain = 7_500.0 * (1.05 * 2_000.0 / 1_860.0 - 1.0)
    base = 450_000 * 10 * GWEI
    profit_before_bid = gain - base * 2_000.0
    assert won["gas_paid"][0] == pytest.approx(base + 0.6 * profit_before_bid / 2_000.0, rel=1e-6)
    assert lost["gas_paid"][0] == pytest.approx(base + 0.1 * profit_before_bid / 2_000.0, rel=1e-6)
    assert profit(world, "modest")[0] == pytest.approx(-lost["gas_paid"][0] * 2_000.0)
    assert profit(world, "greedy")[0] == pytest.approx(0.4 * profit_before_bid, rel=1e-6)
    world.check()


def test_those_who_rank_differently_do_not_all_meet_at_one_account():
    accounts = [(10.0, 15_000.0)] * 12
    firsts = {}
    for spread in (0.0, 1.0):
        world = world_with(
            *accounts,
            count=4,
            largest_share=0.3,
            exit=HOLDING,
            max_per_block=1,
            preference_spread=spread,
        )
        set_price(world, 1_860.0)
        log = run(world, 12)
        firsts[spread] = len(set(liquidations(world, log)["a"].tolist()))
    assert firsts[0.0] == 1
    assert firsts[1.0] >= 3


def test_a_bid_that_does_not_follow_the_market_waits_and_is_not_repeated():
    people = {
        "hunters": config(
            static_share=1.0, static_gwei=(5.0, 5.0), static_expires_seconds=300.0, exit=HOLDING
        )
    }
    world = world_with((10.0, 15_000.0), people=people, overrides=(GAS,))
    set_price(world, 1_860.0)
    log = run(world, 1_200)
    dropped = of(world, log.fills)
    assert set(dropped["status"].tolist()) == {int(Status.EXPIRED)}
    assert np.diff(dropped["arrival"] / 1e6).min() >= 300.0
    assert (dropped["max_fee"] == 5.0 * GWEI).all()


def test_no_more_orders_are_sent_in_a_block_than_allowed():
    accounts = [(10.0, 15_000.0)] * 12
    world = world_with(*accounts, exit=HOLDING, max_per_block=3)
    set_price(world, 1_860.0)
    done = liquidations(world, run(world, 600))
    assert len(done) == 12
    assert np.bincount(done["height"]).max() == 3


# --- how they pay and how they leave -------------------------------------------------------------


def test_a_flash_liquidation_needs_no_inventory_and_leaves_no_debt():
    lender = MARKET.replace("close_factor", "flash_fee: 0.0009, close_factor")
    world = world_with(
        (10.0, 15_000.0),
        markets=(("market", MARKET), ("lender", lender)),
        inventory_usd=0.0,
        flash_share=1.0,
        flash_market="lender",
        gas_usd=1_000.0,
    )
    set_price(world, 1_860.0)
    lending, dollars = world.shared[LendingState], world.token("mainnet", "USD")
    row = reserve_of(world, world.venue("lender"), "USD")
    before = float(lending.reserves["cash"][row])
    log = run(world, 120)
    legs = of(world, log.fills)
    assert [world.verb_names[v].split(".")[1] for v in legs["verb"]] == [
        "flash_loan", "liquidate", "swap", "flash_repay",
    ]  # fmt: skip
    assert (legs["status"] == OK).all()
    repaid = legs["amount_in"][1]
    assert repaid == pytest.approx(7_500.0)
    assert legs["amount_out"][0] == repaid
    assert legs["amount_in"][3] == pytest.approx(repaid * 1.0009)
    assert lending.reserves["cash"][row] - before == pytest.approx(repaid * 0.0009)
    earned = legs["amount_out"][2] - legs["amount_in"][3]
    assert world.balances("hunters", dollars)[0] == pytest.approx(earned)
    assert earned > 0.0
    assert profit(world)[0] == pytest.approx(earned - legs["gas_paid"].sum() * 2_000.0)
    world.check()


def test_a_flash_loan_may_come_from_the_market_itself():
    world = world_with((10.0, 15_000.0), inventory_usd=0.0, flash_share=1.0, flash_market="market")
    set_price(world, 1_860.0)
    legs = of(world, run(world, 120).fills)
    assert legs["status"].tolist() == [OK] * 4
    world.check()


def test_a_flash_liquidation_that_would_not_pay_itself_back_fails_whole():
    people = {
        name: config(inventory_usd=0.0, flash_share=1.0, flash_market="market", tip_share=share)
        for name, share in (("late", 0.1), ("early", 0.6))
    }
    world = world_with((10.0, 15_000.0), people=people, overrides=(GAS,))
    set_price(world, 1_860.0)
    log = run(world, 120)
    lost = of(world, log.fills, "late")
    assert lost["status"].tolist() == [LEG_FAILED] * 4
    assert profit(world, "late")[0] == pytest.approx(-lost["gas_paid"].sum() * 2_000.0)
    world.check()


def test_collateral_is_sold_on_the_reference_market_when_the_deposit_has_arrived():
    world = world_with(
        (10.0, 15_000.0),
        overrides=(
            "reference_market={interval_seconds: 1}",
            "assets.ETH.terms={spread_bps: 0, taker_fee_bps: 10}",
        ),
        exit={"pool": 0.0, "reference": 1.0, "hold": 0.0},
        deposit_delay_seconds=390.0,
        inventory_tokens=["USD"],
    )
    set_price(world, 1_990.0 * 0.93)
    log = run(world, 3_000)
    done, sold = liquidations(world, log)[0], of(world, log.fills, verb="reference_market.trade")
    ether, dollars = (world.token("mainnet", symbol) for symbol in ("ETH", "USD"))
    assert len(sold) == 1
    assert sold["amount_in"][0] == pytest.approx(done["amount_out"] - done["gas_paid"])
    # Seen before the next block, deposited then, sold 390 s later.
    assert sold["time"][0] == done["time"] + ticks(12.0 + 390.0)
    assert split_cause(sold["parent"][0]) == (FILL, done["fill_id"])
    assert world.balances("hunters", ether)[0] == pytest.approx(5.0)  # the gas of the start
    out = sold["amount_in"][0] * 2_000.0 * 0.999
    assert world.balances("hunters", dollars)[0] == pytest.approx(1e6 - 7_500.0 + out)
    assert profit(world)[0] == pytest.approx(out - 7_500.0)


def test_a_market_that_counts_confirmations_is_reached_by_deposits():
    world = world_with(
        (10.0, 15_000.0),
        overrides=("reference_market={interval_seconds: 1, deposits: {mainnet: 30}}",),
        exit={"pool": 0.0, "reference": 1.0, "hold": 0.0},
        deposit_delay_seconds=1.0,  # has no say here
        inventory_tokens=["USD"],
    )
    set_price(world, 1_990.0 * 0.93)
    log = run(world, 3_000)
    done = liquidations(world, log)[0]
    sent = of(world, log.fills, verb="reference_market.deposit")
    sold = of(world, log.fills, verb="reference_market.trade")
    # One deposit of all but the gas of the liquidation, in the next block; nothing is sold twice,
    # and nothing bought to fill what only seems to be missing meanwhile.
    assert (len(sent), len(sold)) == (1, 1)
    assert sent["time"][0] == done["time"] + ticks(12.0)
    assert sent["amount_in"][0] == pytest.approx(done["amount_out"] - done["gas_paid"])
    assert sold["time"][0] == sent["time"][0] + ticks(29 * 12.0)  # its own block is the first
    assert sold["amount_in"][0] == sent["amount_in"][0]
    ether, dollars = (world.token("mainnet", symbol) for symbol in ("ETH", "USD"))
    assert world.balances("hunters", dollars)[0] == pytest.approx(
        1e6 - 7_500.0 + 2_000.0 * sold["amount_in"][0]
    )
    assert world.balances("hunters", ether)[0] == pytest.approx(5.0 - sent["gas_paid"][0])
    world.check()


def drained(share, *overrides, **terms):
    """Return a world whose only liquidator has lost a share of its 5 ETH for gas."""
    world = world_with(overrides=overrides, inventory_tokens=["USD"], **terms)
    ether = world.token("mainnet", "ETH")
    assert burn.py_func(world.ledger, world.group("hunters"), 0, ether, 5.0 * share) == OK
    return world


def test_who_sells_in_pools_buys_gas_there_when_half_is_gone():
    world = drained(0.6, exit={"pool": 1.0, "reference": 0.0, "hold": 0.0})
    log = run(world, 30)
    ether, dollars = (world.token("mainnet", symbol) for symbol in ("ETH", "USD"))
    bought = of(world, log.fills, verb="constant_product.swap")
    assert len(bought) == 1
    # 6,000 USD into 2,500 ETH and 5 m USD at a fee of 0.3 %.
    net = 6_000.0 * 0.997
    assert bought["amount_out"][0] == pytest.approx(2_500.0 * net / (5e6 + net))
    assert world.balances("hunters", ether)[0] == pytest.approx(2.0 + bought["amount_out"][0])
    assert world.balances("hunters", dollars)[0] == pytest.approx(1e6 - 6_000.0)


def test_who_holds_collateral_and_has_no_pool_buys_gas_on_the_reference_market():
    market = "reference_market={interval_seconds: 1}"
    world = drained(0.6, market, exit=HOLDING)
    world.states["hunters"][0].pools[:] = world.venue("exchange")  # no pool of the pair
    run(world, 30)
    assert world.balances("hunters", world.token("mainnet", "ETH"))[0] == pytest.approx(5.0)


@pytest.mark.parametrize(("share", "terms"), [(0.4, {}), (0.6, {"refuel_below": 0.0})])
def test_with_enough_gas_left_or_without_the_rule_none_is_bought(share, terms):
    world = drained(share, exit={"pool": 1.0, "reference": 0.0, "hold": 0.0}, **terms)
    assert len(of(world, run(world, 120).fills)) == 0


def test_inventory_that_comes_back_is_used_again():
    accounts = [(10.0, 15_000.0)] * 3
    world = world_with(*accounts, inventory_usd=8_000.0, inventory_tokens=["USD"])
    set_price(world, 1_860.0)
    done = liquidations(world, run(world, 600))
    assert (done["status"] == OK).all()
    assert done["amount_in"].sum() > 2 * 8_000.0
    world.check()


def test_the_short_side_of_the_book_is_liquidated_too():
    # 20,000 USD with threshold 0.8 carry 7.5 ETH up to 2,133.
    world = world_with(("USD", 20_000.0, "ETH", 7.5), steps={0: 2_200.0}, exit=HOLDING)
    set_price(world, 2_200.0)
    done = liquidations(world, run(world, 120))[0]
    assert done["amount_in"] == pytest.approx(3.75)
    assert done["amount_out"] == pytest.approx(3.75 * 2_200.0 * 1.05)
    world.check()


def test_who_repays_the_native_token_keeps_what_it_bids():
    # Of 3.75 ETH that may be repaid 2 are held, in the wallet that the bid comes out of.
    world = world_with(
        ("USD", 20_000.0, "ETH", 7.5),
        steps={0: 2_200.0},
        exit=HOLDING,
        inventory_usd=4_400.0,
        inventory_tokens=["ETH"],
        tip_share=0.5,
        gas_usd=220.0,
    )
    set_price(world, 2_200.0)
    done = liquidations(world, run(world, 120))
    assert done["status"].tolist() == [OK] * len(done)
    assert done["amount_in"][0] == pytest.approx(2.0)
    assert done["gas_paid"][0] > 0.0
    world.check()


# --- bad debt ------------------------------------------------------------------------------------


def test_bad_debt_appears_when_the_price_gaps_below_the_collateral():
    # At 1,000 USD 10 ETH cannot cover 15,000. First 7,500 USD for 7.875 ETH, then the last
    # 2.125 ETH for 2,125 / 1.05 USD; what is left is lost.
    world = world_with((10.0, 15_000.0), steps={0: 1_000.0}, exit=HOLDING)
    set_price(world, 1_000.0)
    done = liquidations(world, run(world, 600))
    assert done["amount_in"].tolist() == pytest.approx([7_500.0, 2_125.0 / 1.05])
    lending = world.shared[LendingState]
    lost = 15_000.0 - 7_500.0 - 2_125.0 / 1.05
    assert done["price_after"].tolist() == pytest.approx([0.0, lost])
    assert lending.reserves["written_off"].sum() == pytest.approx(lost)
    world.check()


@pytest.mark.parametrize("after", [1_700.0, 1_580.0, 1_500.0])
def test_bad_debt_after_a_delay_is_what_the_fall_until_then_leaves(after):
    # Full close d after HF = 1 at price P: bad debt / debt = max(0, 1 - P' / (P LT (1 + bonus))).
    full = MARKET.replace("full_close_below: 0,", "full_close_below: 1,")
    steps = {120: 1_870.0, 600: after}
    world = world_with(
        (10.0, 14_960.1),
        steps=steps,
        overrides=KEEPERS,
        markets=(("market", full),),
        exit=HOLDING,
        reaction_seconds=900.0,
    )
    done = liquidations(world, run(world, 3_600))
    share = max(0.0, 1.0 - after / (1_870.0 * 0.8 * 1.05))
    assert done["price_after"].sum() / 14_960.1 == pytest.approx(share, abs=1e-5)
    world.check()


# --- building ------------------------------------------------------------------------------------


def test_inventory_falls_off_evenly_from_the_largest():
    shares = inventory_shares(8, 0.375)
    assert shares.sum() == pytest.approx(1.0)
    assert shares[0] == pytest.approx(0.375, rel=1e-9)
    ratios = shares[1:] / shares[:-1]
    assert ratios == pytest.approx(np.full(7, ratios[0]))
    assert inventory_shares(4, 0.25) == pytest.approx(np.full(4, 0.25))
    assert inventory_shares(1, 1.0).tolist() == [1.0]
    with pytest.raises(InputError, match=r"largest_share \(0.1\) must be at least 0.25"):
        inventory_shares(4, 0.1)


def test_shares_of_flash_static_and_exits_are_numbers_of_liquidators():
    world = world_with(
        (10.0, 1.0),
        count=10,
        flash_share=0.2,
        flash_market="market",
        static_share=0.5,
        static_gwei=(10.0, 40.0),
        exit={"pool": 0.5, "reference": 0.25, "hold": 0.25},
        overrides=("reference_market={interval_seconds: 1}",),
    )
    state, _, funds, *_ = world.states["hunters"]
    assert state.is_flash.sum() == 2
    assert (state.exit[state.is_flash == 1] == POOL).all()
    others = state.exit[state.is_flash == 0]
    assert [int((others == kind).sum()) for kind in (POOL, REFERENCE, HOLD)] == [4, 2, 2]
    fixed = state.static_price[state.static_price > 0.0] / GWEI
    assert len(fixed) == 5
    assert ((fixed >= 10.0) & (fixed <= 40.0)).all()
    usd = funds.endowment @ world.prices.reference[funds.tokens[0]]
    assert (usd - 10_000.0)[state.is_flash == 1] == pytest.approx(0.0)
    assert usd.sum() - 10 * 10_000.0 == pytest.approx(1e6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flash_share": 0.5}, "name the flash_market"),
        ({"exit": {"pool": 0.5, "reference": 0.0, "hold": 0.0}}, "add up to 0.5, not to 1"),
        ({"static_gwei": (40.0, 10.0)}, "the lower one first"),
    ],
)
def test_a_contradictory_configuration_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        config(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"market": "eth-usd"}, "'eth-usd' is no lending market"),
        ({"pools": ["market"]}, "'market' is no pool"),
        ({"flash_share": 1.0, "flash_market": "eth-feed"}, "'eth-feed' is no lending market"),
        ({"exit": {"pool": 0.0, "reference": 1.0, "hold": 0.0}}, "needs a reference_market"),
        ({"inventory_tokens": ["BTC"]}, "no reserve 'BTC'"),
        ({"count": 3, "largest_share": 0.2}, "populations.hunters: largest_share"),
    ],
)
def test_what_the_world_does_not_have_is_named(changes, message):
    with pytest.raises(InputError, match=message):
        world_with((10.0, 1.0), **changes)


def test_the_same_seed_gives_the_same_liquidations():
    accounts = [(10.0, 15_000.0 + k) for k in range(20)]
    logs = []
    for _ in range(2):
        world = world_with(*accounts, count=4, largest_share=0.3, overrides=(GAS,))
        set_price(world, 1_860.0)
        logs.append(of(world, run(world, 240).fills).tobytes())
    assert logs[0] == logs[1]


# --- claims in place of tokens --------------------------------------------------------------------


def short_world(**changes):
    """An account of 10 ETH and 15,000 USD falls below 1 at 1,860; the market has 1 ETH of cash."""
    world = world_with(
        (10.0, 15_000.0), steps={120: 1_860.0}, overrides=KEEPERS, exit=HOLDING, **changes
    )
    state = world.shared[LendingState]
    book = next(k for k, p in enumerate(state.positions) if state.collateral_scaled[k].max() > 1e5)
    ether = reserve_of(world, world.venue("market"), "ETH")
    enter(world, np.array([book]), ether, np.array([509.0]), are_debts=True)
    return world, ether


def test_without_taking_claims_only_what_the_cash_covers_is_liquidated():
    world, _ = short_world()
    done = liquidations(world, run(world, 600))
    assert done["amount_out"].sum() <= 1.0


def test_claims_are_taken_over_where_cash_is_short():
    world, ether = short_world(claim_share=1.0, claim_discount=0.02)
    state = world.shared[LendingState]
    before = float(state.reserves[ether]["scaled_supply"])
    log = run(world, 600)
    taken = of(world, log.fills, verb="lending.liquidate_for_claim")
    taken = taken[taken["status"] == OK]
    assert taken["amount_in"][0] == pytest.approx(7_500.0, rel=1e-6)
    assert taken["amount_out"][0] == pytest.approx(7_500.0 / 1_860.0 * 1.05, rel=1e-6)
    paid = of(world, log.fills, verb="lending.withdraw")
    out = paid["amount_out"][paid["status"] == OK].sum()
    assert float(state.reserves[ether]["scaled_supply"]) == pytest.approx(before - out, rel=1e-9)


def test_claims_become_tokens_when_there_is_cash_again():
    world, ether = short_world(claim_share=1.0, claim_discount=0.02)
    log = run(world, 600)
    state, desk = world.shared[LendingState], world.states["lending"][1]
    world.endow(int(desk.group[0]), int(desk.account[0]), int(state.reserves[ether]["token"]), 20.0)
    state.reserves[ether]["cash"] += 20.0
    world.advance(ticks(2_400))
    paid = of(world, log.fills, verb="lending.withdraw")
    taken = of(world, log.fills, verb="lending.liquidate_for_claim")
    got = paid["amount_out"][paid["status"] == OK].sum()
    assert got == pytest.approx(
        taken["amount_out"][taken["status"] == OK].sum(), rel=1e-4
    )  # and interest


def test_a_discount_beyond_the_bonus_keeps_them_from_claims():
    world, _ = short_world(claim_share=1.0, claim_discount=0.06)
    log = run(world, 600)
    assert len(of(world, log.fills, verb="lending.liquidate_for_claim")) == 0
