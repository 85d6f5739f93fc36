"""Liquidators in a small market: whom they find, how much they repay, who wins, what it pays."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from agents.liquidation_size import HOLD, POOL, REFERENCE, best_in_pool
from agents.liquidation_search import CandidateList, look, weigh
from agents.liquidator_means import inventory_shares
from agents.liquidators import KIND, LiquidatorsConfig
from sim.errors import InputError
from sim.feeds import Feeds
from sim.kernel import bind, kernel, view_of
from sim.lending.protocol import enter, open_positions, reserve_of
from sim.lending.state import LendingState
from sim.orders import ACCRUAL, FILL, split_cause
from sim.registry import Config, PopulationKind
from sim.status import Status
from sim.units import GWEI, ticks
from sim.venues import Venues
from sim.world import PopulationPlan, World
from tests.worlds import Log, planned

OK, LEG_FAILED = int(Status.OK), int(Status.LEG_FAILED)
NOT_LIQUIDATABLE = int(Status.NOT_LIQUIDATABLE)
ORACLES = (
    "venues.eth-feed={kind: oracle, chain: mainnet, token: ETH}",
    "venues.usd-feed={kind: oracle, chain: mainnet, token: USD, source: {kind: fixed, price_usd: 1}}",
)
MARKET = (
    "{kind: lending, chain: mainnet, close_factor: 0.5, full_close_below: 0, reserves: "
    "{ETH: {feed: eth-feed, liquidation_threshold: 0.8, loan_to_value: 0.75, "
    "liquidation_bonus: 0.05, base_rate: 0, slope1: 0}, "
    "USD: {feed: usd-feed, liquidation_threshold: 0.8, base_rate: 0, slope1: 0}}}"
)
GAS = "chains.mainnet.fee_market={kind: eip1559, base_fee_gwei: 10, floor_gwei: 10}"
CENTER = 2_000.0  # USD per ETH at the start


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


BOOK = PopulationKind("book", BookConfig, (), make_book, None, lambda world, site, state: None)


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
            f"book-{name}", BOOK, "mainnet", len(full) + 1,
            BookConfig(market=name, accounts=full if name == "market" else ()),
        )
        for name, _ in markets
    )
    teams = people or {"hunters": config(**changes)}
    plans = tuple(PopulationPlan(n, KIND, "mainnet", c.count, c) for n, c in teams.items())
    return World(replace(base, paths=paths, populations=(*base.populations, *book, *plans)))


def keepers(world_plan_overrides=()):
    return (
        "populations.keepers={kind: oracle_keepers, chain: mainnet}",
        *world_plan_overrides,
    )


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
    world = world_with(
        (10.0, 15_000.0), steps={120: 1_860.0}, overrides=keepers(), exit=holding(), gas_usd=1e5
    )
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


def holding():
    return {"pool": 0.0, "reference": 0.0, "hold": 1.0}
