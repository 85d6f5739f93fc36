"""Borrowers: the book they start with, when they are alarmed, and how they defend themselves."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from agents.borrowers import KIND, BorrowersConfig
from agents.debt_books import debts_of, health_of, marked
from experiments import build, load_scenario
from sim.errors import InputError
from sim.feeds import Feeds
from sim.ledger import burn
from sim.lending.building import enter, open_positions, reserve_of
from sim.lending.state import LendingState
from sim.orders import FILL, ROUTINE, split_cause
from sim.plan import PopulationPlan
from sim.registry import Config, PopulationKind
from sim.status import Status
from sim.units import ticks
from sim.world import World
from tests.worlds import Log, planned

OK = int(Status.OK)
MARKET = (
    "venues.market={kind: lending, chain: mainnet, reserves: "
    "{ETH: {feed: eth-feed, liquidation_threshold: 0.8, loan_to_value: 0.75, base_rate: 0, "
    "slope1: 0}, USD: {feed: usd-feed, liquidation_threshold: 0.8, base_rate: 0, slope1: 0}}}"
)
USD_FEED = "{kind: oracle, chain: mainnet, token: USD, source: {kind: fixed, price_usd: 1}}"
ORACLES = (
    "venues.eth-feed={kind: oracle, chain: mainnet, token: ETH}",
    f"venues.usd-feed={USD_FEED}",
)
KEEPERS = ("populations.keepers={kind: oracle_keepers, chain: mainnet}",)
AT_REST = [(0.5, 1.4), (1.0, 1.4)]  # everybody has a health factor of 1.4


class LendersConfig(Config):
    """One account that supplies dollars, and ether of the same value."""

    supplied: float = 1e8


def make_lenders(world, site):
    """Supply what borrowers owe."""
    venue = world.venue("market")
    position = open_positions(world, venue, site.group, np.arange(1))
    for symbol, price in (("USD", 1.0), ("ETH", 2_000.0)):
        amount = np.array([site.config.supplied / price])
        enter(world, position, reserve_of(world, venue, symbol), amount, are_debts=False)
    return ()


LENDERS = PopulationKind("lenders", LendersConfig, (), make_lenders, None, lambda *_: None)


def config(**changes: Any) -> BorrowersConfig:
    made = {
        "market": "market",
        "count": 1,
        "collateral": "ETH",
        "debt": "USD",
        "debt_usd": 10_000.0,
        "health_quantiles": AT_REST,
        "awake_share": 1.0,
        "cash_share": 1.0,
        "alarm_low": 1.1,
        "alarm_high": 1.1,
        "reaction_log_sd": 0.0,
    } | changes
    return BorrowersConfig(kind="borrowers", chain="mainnet", **made)


def world_with(*, supplied=1e8, overrides=(), steps=None, **changes) -> World:
    """A market with one population of borrowers; `steps` maps seconds to ETH prices."""
    base = planned(1, *ORACLES, MARKET, *overrides).plan
    paths = base.paths.copy()
    for at, price in (steps or {}).items():
        paths[0, at // 12 :] = price
    made = config(**changes)
    plans = (
        PopulationPlan("lenders", LENDERS, "mainnet", 1, LendersConfig(supplied=supplied)),
        PopulationPlan("borrowers", KIND, "mainnet", made.count, made),
    )
    return World(replace(base, paths=paths, populations=(*base.populations, *plans)))


def set_price(world: World, price: float) -> None:
    """Let the feed of ETH say a price."""
    feeds = world.shared[Feeds]
    feeds.value[0] = feeds.posted[0] = price


def run(world: World, seconds: float) -> np.ndarray:
    """Advance to a time and return what the borrowers did."""
    log = Log(world)
    world.advance(ticks(seconds))
    return log.fills[log.fills["group"] == world.group("borrowers")]


def verbs(world: World, fills) -> list[str]:
    return [world.verb_names[k].split(".")[1] for k in fills["verb"]]


def column(world: World, name: str) -> np.ndarray:
    site = next(s for s in world.population_sites if s.name == "borrowers")
    found = world.columns_of(site)[name]
    return found() if callable(found) else found


# --- the book ------------------------------------------------------------------------------------


def test_debts_are_lognormal_and_add_up():
    debts = debts_of(3, "people", 40_000, 5e6, 2.0)
    assert debts.sum() == pytest.approx(5e6)
    # The standard error of a standard deviation of 40,000 normals is 2 / sqrt(80,000) = 0.007.
    assert np.log(debts).std() == pytest.approx(2.0, abs=5 * 0.0071)


@pytest.mark.parametrize("log_sd", [0.0, 1.0, 2.0])
def test_health_factors_have_the_quantiles_by_debt(log_sd):
    quantiles = [(0.05, 1.05), (0.25, 1.24), (0.5, 1.42), (0.9, 3.5)]
    debts = debts_of(3, "people", 20_000, 1e6, log_sd)
    order = np.random.default_rng(1).random(20_000)
    health = health_of(debts, order, quantiles)
    largest = debts.max() / debts.sum()  # one account may straddle a quantile
    for share, factor in quantiles:
        below = debts[health < factor].sum() / debts.sum()
        assert below == pytest.approx(share, abs=1e-9 + largest)
    assert health.min() >= 1.0
    assert (np.diff(health[np.argsort(order)]) >= 0.0).all()


def test_the_tails_go_on_with_the_slope_of_their_ends():
    # Four equal debts have shares 1/8, 3/8, 5/8, 7/8; from (0.25, 2) to (0.75, 4) the logarithm
    # rises by ln 2 in half a share, so by a factor of 2^(1/4) an eighth.
    health = health_of(np.ones(4), np.arange(4.0), [(0.25, 2.0), (0.75, 4.0)])
    assert health == pytest.approx(2.0 ** np.array([0.75, 1.25, 1.75, 2.25]))


def test_nobody_starts_below_one():
    health = health_of(np.ones(100), np.arange(100.0), [(0.5, 1.05), (1.0, 2.0)])
    assert health.min() == pytest.approx(1.01, rel=1e-3)


def test_no_debt_exceeds_the_largest_share_and_their_sum_stays():
    debts = debts_of(3, "people", 2_000, 1e6, 2.7, 0.05)
    drawn = debts_of(3, "people", 2_000, 1e6, 2.7)
    assert debts.sum() == pytest.approx(1e6)
    assert drawn.max() > 5e4
    assert debts.max() == pytest.approx(5e4)
    is_small = debts < 4.9e4
    ratios = debts[is_small] / drawn[is_small]
    assert ratios == pytest.approx(ratios[0])  # what is cut off is spread in proportion
    assert ratios[0] > 1.0


def test_a_largest_share_below_an_equal_one_makes_debts_equal():
    assert debts_of(3, "people", 4, 100.0, 2.7, 0.1) == pytest.approx([25.0] * 4)


# --- who is awake --------------------------------------------------------------------------------


def test_people_are_marked_by_weight_in_the_order_of_their_lots():
    # In order of lots the debts are 10, 50, 30, 10; their middles lie at 5, 35, 75 and 95 %.
    lots, debts = np.array([0.9, 0.1, 0.5, 0.3]), np.array([10.0, 10.0, 30.0, 50.0])
    assert marked(lots, debts, 0.6).tolist() == [False, True, False, True]
    assert marked(lots, debts, 0.76).tolist() == [False, True, True, True]
    assert not marked(lots, debts, 0.0).any()
    assert marked(lots, debts, 1.0).all()


@pytest.mark.parametrize("shares_of", ["debt", "people"])
def test_shares_of_the_awake_and_of_those_with_means_are_met(shares_of):
    # A share is missed by at most half of one debt, here 5 % of all, and of the awake 8.3 %.
    world = world_with(
        count=4_000, debt_usd=4e6, awake_share=0.6, cash_share=0.7, shares_of=shares_of,
        largest_debt_share=0.05,
    )  # fmt: skip
    state = world.states["borrowers"]
    weights = column(world, "debt") if shares_of == "debt" else np.ones(4_000)
    awake = weights[state.alarm > 0.0].sum() / weights.sum()
    able = weights[state.has_means == 1].sum() / weights[state.alarm > 0.0].sum()
    assert awake == pytest.approx(0.6, abs=0.025 if shares_of == "debt" else 1 / 4_000)
    assert able == pytest.approx(0.7, abs=0.042 if shares_of == "debt" else 1 / 2_000)
    assert (state.alarm[state.has_means == 1] > 0.0).all()


def test_the_book_of_the_market_is_the_book_of_the_configuration():
    quantiles = [(0.1, 1.2), (0.5, 1.6), (0.9, 3.0)]
    world = world_with(count=500, debt_usd=4e6, debt_log_sd=1.0, health_quantiles=quantiles)
    debt, health = column(world, "debt"), column(world, "health_factor")
    assert debt.sum() == pytest.approx(4e6)
    assert debt[health < 1.6].sum() / 4e6 == pytest.approx(0.5, abs=debt.max() / 4e6)
    assert column(world, "collateral") * 0.8 == pytest.approx(health * debt)
    lending = world.shared[LendingState]
    dollars = reserve_of(world, world.venue("market"), "USD")
    assert lending.reserves["cash"][dollars] == pytest.approx(1e8 - 4e6)
    world.check()


def test_a_debt_beyond_what_is_supplied_is_refused():
    with pytest.raises(InputError, match=r"populations.borrowers: the book owes"):
        world_with(supplied=9_000.0)


# --- alarms --------------------------------------------------------------------------------------


def test_a_book_at_rest_stays_at_rest():
    quantiles = [(0.1, 1.02), (0.5, 1.1), (0.9, 1.3)]
    world = world_with(
        count=30, health_quantiles=quantiles, alarm_low=1.05, alarm_high=1.25, reaction_minutes=1
    )
    assert len(run(world, 3_600)) == 0


def test_a_borrower_repays_after_its_reaction_time():
    # 8.75 ETH at 2,000 with threshold 0.8 are 14,000 for 10,000 USD. At 1,550: 10,850 < 11,000.
    # Back to a health factor of 1.3 it takes 10,000 - 10,850 / 1.3 = 1,653.85 USD.
    world = world_with(
        steps={1_200: 1_550.0},
        overrides=KEEPERS,
        reaction_minutes=30.0,
        cash_of_debt=0.5,
    )
    log = Log(world)
    world.advance(ticks(7_200))
    mine = log.fills[log.fills["group"] == world.group("borrowers")]
    report = log.fills[log.fills["group"] == world.group("keepers")][0]
    assert verbs(world, mine) == ["repay"]
    assert mine["status"].tolist() == [OK]
    assert mine["amount_in"][0] == pytest.approx(10_000.0 - 10_850.0 / 1.3)
    assert split_cause(mine["parent"][0])[0] == FILL
    assert mine["parent"][0] & ((1 << 56) - 1) >= report["fill_id"]
    # Reaction times are lognormal about the median with half a unit of spread.
    waited = (mine["time"][0] - report["time"]) / 60e6
    assert 30.0 * np.exp(-0.5 * 4) < waited < 30.0 * np.exp(0.5 * 4)
    assert column(world, "health_factor")[0] == pytest.approx(1.3)
    world.check()


def test_without_enough_of_the_debt_token_collateral_is_added():
    # Half of 1,000 USD is money: 500 are repaid; the other half is 0.25 ETH at 1,550 x 0.8 each:
    # the health factor ends at (10,850 + 310) / 9,500 and not at 1.3.
    world = world_with(cash_of_debt=0.1, reaction_minutes=1.0)
    set_price(world, 1_550.0)
    mine = run(world, 1_800)
    assert verbs(world, mine)[:2] == ["repay", "supply"]
    assert mine["amount_in"][:2].tolist() == pytest.approx([500.0, 0.25])
    assert column(world, "health_factor")[0] == pytest.approx((10_850 + 310) / 9_500)
    world.check()


def test_a_top_up_brings_the_account_to_its_target():
    # 100 USD are repaid; x ether follow, so that 10,850 + 1,240 x = 1.3 x 9,900.
    world = world_with(cash_of_debt=1.0, reaction_minutes=1.0)
    dollars, group = world.token("mainnet", "USD"), world.group("borrowers")
    burn.py_func(world.ledger, group, 0, dollars, world.balances("borrowers", dollars)[0] - 100.0)
    set_price(world, 1_550.0)
    mine = run(world, 1_800)
    assert verbs(world, mine) == ["repay", "supply"]
    assert mine["amount_in"].tolist() == pytest.approx([100.0, (1.3 * 9_900 - 10_850) / 1_240.0])
    assert column(world, "health_factor")[0] == pytest.approx(1.3)


@pytest.mark.parametrize("changes", [{"awake_share": 0.0}, {"cash_share": 0.0}])
def test_sleepers_and_those_without_means_do_nothing(changes):
    world = world_with(count=50, reaction_minutes=1.0, **changes)
    set_price(world, 1_450.0)
    assert len(run(world, 7_200)) == 0
    assert (column(world, "health_factor") < 1.1).all()


def test_a_danger_that_passes_before_the_reaction_needs_none():
    world = world_with(reaction_minutes=60.0)
    set_price(world, 1_550.0)
    run(world, 600)
    set_price(world, 2_000.0)
    world.advance(ticks(30_000))
    assert column(world, "n_actions")[0] == 0
    assert world.states["borrowers"].number[3] == 0  # nobody waits


def test_one_can_be_alarmed_again():
    world = world_with(reaction_minutes=1.0, cash_of_debt=2.0)
    for price, until in ((1_550.0, 3_600), (1_200.0, 7_200)):
        set_price(world, price)
        world.advance(ticks(until))
        assert column(world, "health_factor")[0] == pytest.approx(1.3)
    assert column(world, "n_actions")[0] == 2


def test_the_price_of_the_debt_alarms_too():
    # 17,500 USD with threshold 0.8 carry 5 ETH at a health factor of 1.4; at 2,600 it is 1.077.
    world = world_with(collateral="USD", debt="ETH", reaction_minutes=1.0)
    set_price(world, 2_600.0)
    mine = run(world, 3_600)
    assert verbs(world, mine)[0] == "repay"
    assert split_cause(mine["parent"][0])[0] == ROUTINE  # no report has been filled


def test_who_watches_the_market_acts_while_the_feed_stands_still():
    # No keeper posts: the feed stays at 2,000. By the reference price of 1,550 it takes
    # 10,000 - 10,850 / 1.3 USD; by the feed the health factor is then 14,000 / 8,346.15.
    world = world_with(
        watches="market", steps={1_200: 1_550.0}, cash_of_debt=0.5, reaction_minutes=1.0
    )
    mine = run(world, 3_600)
    assert verbs(world, mine) == ["repay"]
    assert mine["time"][0] > ticks(1_200)
    assert mine["amount_in"][0] == pytest.approx(10_000.0 - 10_850.0 / 1.3)
    assert column(world, "health_factor")[0] == pytest.approx(14_000.0 / (10_850.0 / 1.3))


@pytest.mark.parametrize("watches", ["oracle", "queue"])
def test_who_does_not_watch_the_market_sleeps_while_the_feed_stands_still(watches):
    world = world_with(
        watches=watches, steps={1_200: 1_550.0}, cash_of_debt=0.5, reaction_minutes=1.0
    )
    assert len(run(world, 3_600)) == 0


def test_the_market_is_feared_for_the_debt_too():
    # 17,500 USD with threshold 0.8 carry 5 ETH; at 2,600 the debt is 13,000 and 14,000 / 1.3 of it
    # can stay: (13,000 - 10,769.23) / 2,600 = 0.858 ETH go.
    world = world_with(
        collateral="USD", debt="ETH", watches="market", steps={1_200: 2_600.0},
        reaction_minutes=1.0, cash_of_debt=0.5,
    )  # fmt: skip
    mine = run(world, 3_600)
    assert verbs(world, mine) == ["repay"]
    assert mine["amount_in"][0] == pytest.approx((13_000.0 - 14_000.0 / 1.3) / 2_600.0)


@pytest.mark.parametrize(("watches", "n_early"), [("queue", 1), ("oracle", 0)])
def test_who_sees_the_queue_acts_before_the_feed_turns(watches, n_early):
    world = world_with(watches=watches, cash_of_debt=0.5, reaction_minutes=1.0)
    feeds = world.shared[Feeds]
    feeds.queued[0, :2], feeds.n_queued[0] = (1_550.0, 1_800.0), 2  # they fear the lower one
    feeds.queued_at[0, :2] = ticks(36_000.0)
    mine = run(world, 3_000)
    assert len(mine) == n_early
    assert mine["amount_in"].tolist() == pytest.approx([10_000.0 - 10_850.0 / 1.3] * n_early)


# --- configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"health_quantiles": [(0.5, 1.2), (0.1, 1.4)]}, "must rise"),
        ({"health_quantiles": [(0.5, 1.2), (0.5, 1.4)]}, "must rise"),
        ({"health_quantiles": [(0.1, 1.4), (0.5, 1.2)]}, "must rise"),
        ({"health_quantiles": [(0.1, 1.4), (1.5, 1.6)]}, "shares lie in 0 to 1"),
        ({"health_quantiles": [(0.1, 0.0), (0.5, 1.6)]}, "health factors above 0"),
        ({"alarm_low": 1.2, "alarm_high": 1.1}, "must not exceed alarm_high"),
        ({"collateral": "USD"}, "name two assets"),
    ],
)
def test_a_contradictory_configuration_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        config(**changes)


def test_an_asset_that_the_market_does_not_have_is_named():
    with pytest.raises(InputError, match="no token 'BTC'"):
        world_with(collateral="BTC")


# --- a million of them ---------------------------------------------------------------------------

MILLION = 1_000_000
PLACES = (
    "venues.eth-feed={kind: oracle, chain: mainnet, token: ETH}",
    "venues.par={kind: oracle, chain: mainnet, token: USD, source: {kind: fixed, price_usd: 1}}",
    (
        "venues.market={kind: lending, chain: mainnet, reserves: "
        "{ETH: {feed: eth-feed}, USD: {feed: par}}}"
    ),
)
PEOPLE = (
    "populations={lenders: {kind: suppliers, chain: mainnet, market: market, asset: USD, "
    "count: 10, supplied_usd: 4e9}, people: {kind: borrowers, chain: mainnet, market: market, "
    f"collateral: ETH, debt: USD, count: {MILLION}, debt_usd: 3e9, "
    "health_quantiles: [[0.05, 1.1], [0.5, 1.5], [0.95, 3.5]]}}"
)


def cpu_seconds(work):
    """Return what a piece of work costs, and what it made."""
    start = time.process_time()
    made = work()
    return time.process_time() - start, made


def test_a_million_borrowers_are_built_in_the_time_of_a_few_sorts():
    """Eleven sorts of a million numbers where it was measured; 25 are two seconds there."""
    scenario = load_scenario("quiet-market", [*PLACES, PEOPLE], until=3_600)
    numbers = np.random.default_rng(1).random(MILLION)
    built, model = cpu_seconds(lambda: build(scenario, seed=1))
    people = model.populations["people"]
    assert len(people) == MILLION
    debt, health = people.get("debt"), people.get("health_factor")
    assert debt.sum() == pytest.approx(3e9)
    assert (debt > 0.0).all()
    assert debt[health < 1.5].sum() == pytest.approx(1.5e9, rel=1e-3)
    sort = min(cpu_seconds(lambda: np.argsort(numbers))[0] for _ in range(3))
    assert built < 25.0 * sort
