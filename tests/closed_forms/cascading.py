"""A whole world built for cascades: pool, feed, market, debtors, liquidators, keepers, recorder.

Accounts are uniform in the log price at which they become unsafe: `rho` units of collateral are
seized for each unit by which the log price of the pool falls. A feed reports the price of a pool
with a reserve of `DEPTH`, and liquidators sell there what they seize in the same order: n = 2 rho /
DEPTH of the log price falls again for each unit by which it fell. A hand sells first, and lowers
the log price by `SHOCK`. No fees, no gas, no interest; nothing else moves.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.composition import plan_of
from experiments.recording import Recorder
from experiments.scenario import load_scenario
from sim.lending.building import enter, reserve_of
from sim.lending.settings import KIND as LENDING
from sim.units import ticks
from sim.world import World

DEPTH = 10_000.0  # ETH in the pool
PRICE = 2_000.0  # USD
THRESHOLD, BONUS = 0.8, 0.05
SHOCK = 0.0025  # log price; the second order takes n^2 F / (4 (1 - n)) of the fall F: 1 % at 0.8
HORIZON = 900.0  # s
FLAT = "base_rate: 0, slope1: 0, slope2: 0"
POOL = (
    "{kind: constant_product, chain: mainnet, tokens: [ETH, USD], fee: 0, value_usd: "
    f"{2.0 * DEPTH * PRICE}}}"
)
FEED = (
    "{kind: oracle, chain: mainnet, token: ETH, "
    "source: {kind: reported, pool: eth-usd, deviation: 1e-9}}"
)
DOLLAR = "{kind: oracle, chain: mainnet, token: USD, source: {kind: fixed, price_usd: 1}}"
MARKET = (
    "{kind: lending, chain: mainnet, close_factor: 1, full_close_below: 1, reserves: "
    f"{{ETH: {{feed: eth-feed, loan_to_value: 0.75, liquidation_threshold: {THRESHOLD}, "
    f"liquidation_bonus: {BONUS}, {FLAT}}}, USD: {{feed: usd-feed, {FLAT}}}}}}}"
)
SETTING = (
    "horizon=900s",
    "price_step_seconds=12",
    "assets.ETH.price={kind: fixed, price: 2000}",
    "chains.mainnet.blocks={kind: fixed, interval_seconds: 12}",
    "chains.mainnet.gas_limit=1000000000000",
    f"venues.eth-usd={POOL}",
    f"venues.eth-feed={FEED}",
    f"venues.usd-feed={DOLLAR}",
    f"venues.market={MARKET}",
)
PEOPLE = (
    "{hands: {kind: noise_traders, chain: mainnet, count: 1, swaps_per_day: 0, "
    "median_usd: 1000000, size_log_sd: 0, venues: [eth-usd]}, "
    "bank: {kind: suppliers, chain: mainnet, market: market, asset: USD, count: 1, "
    "supplied_usd: 1e9, fast_share: 0, medium_share: 0, slow_share: 0}, "
    "debtors: {kind: borrowers, chain: mainnet, market: market, collateral: ETH, debt: USD, "
    "positions: {file: '%s'}, awake_share: 0}, "
    "hunters: {kind: liquidators, chain: mainnet, market: market, count: 20, "
    "inventory_usd: 1e9, inventory_tokens: [USD], pools: [eth-usd], max_per_block: 32, "
    "preference_spread: 1}, "
    "keepers: {kind: oracle_keepers, chain: mainnet}}"
)


def even_book(rho: float, n: int, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Return debtors of one size, the k-th unsafe after a fall of (k + 1/2) `spacing`."""
    return (np.arange(n) + 0.5) * spacing, np.full(n, rho * spacing)


def random_book(rho: float, n: int, spacing: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return debtors of uneven sizes, one at random in each `spacing`; `rho` is the mean."""
    random = np.random.default_rng(seed)
    size = random.lognormal(-0.125, 0.5, n)  # of mean 1
    return (np.arange(n) + random.uniform(0.0, 1.0, n)) * spacing, rho * spacing * size


class CascadingWorld:
    """A scenario that can be run many times, with some debtors out of harm's way.

    Parameters
    ----------
    file : where its book goes
    distances : float64, (n,), fall of the log price at which each debtor becomes unsafe
    seized : float64, (n,), ETH seized of each
    """

    def __init__(self, file: Path, distances: np.ndarray, seized: np.ndarray) -> None:
        unsafe_at = PRICE * np.exp(-distances)
        debt = seized * unsafe_at / (1.0 + BONUS)
        lines = ["account,asset,collateral,debt"]
        for k, (owed, price) in enumerate(zip(debt.tolist(), unsafe_at.tolist(), strict=True)):
            lines.append(f"{k},ETH,{owed / (price * THRESHOLD)!r},0")
            lines.append(f"{k},USD,0,{owed!r}")
        file.write_text("\n".join(lines) + "\n")
        overrides = (*SETTING, f"populations={PEOPLE % file}", "records.sample_seconds=60")
        self.scenario: Any = load_scenario("quiet-market", overrides)

    def run(self, safe: Any = (), shock: float = SHOCK) -> dict[str, pd.DataFrame]:
        """Return the records of a run in which the debtors `safe` can never be liquidated.

        They are given 100 ETH of collateral each: no draw and no order of another moves.
        """
        world = World(plan_of(self.scenario, 1))
        people = world.states[LENDING][0].positions
        theirs = (people["population"] == world.group("debtors")) & np.isin(people["owner"], safe)
        rows, ether = np.flatnonzero(theirs), reserve_of(world, world.venue("market"), "ETH")
        enter(world, rows, ether, np.full(len(rows), 100.0), are_debts=False)
        recorder = Recorder(world, self.scenario.records)
        amount = DEPTH * math.expm1(shock / 2.0)
        world.submit("eth-usd", "swap", "hands", 0, amount=amount, a=0)
        world.advance(ticks(HORIZON))
        recorder.finish()
        return {name: table.to_pandas() for name, table in recorder.tables().items()}
