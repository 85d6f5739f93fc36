"""Memory an agent takes, and the time to build a million of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from experiments.bench.machine import resident_bytes
from experiments.bench.rows import Row, at_most
from experiments.bench.worlds import Effort, dense, state_bytes, world_of
from experiments.scenario import load_scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sim.world import World

_SMALL = 10_000

BORROWERS = (
    "{kind: borrowers, chain: mainnet, market: market, collateral: ETH, debt: USD, count: %d, "
    "debt_usd: %g, debt_log_sd: 1, health_quantiles: [[0, 2], [1, 3]], awake_share: 0, "
    "cash_of_debt: 0}"
)


def _difference(small: World, large: World) -> tuple[float, int]:
    """Return (bytes an agent, agents) by which two worlds differ."""
    more = sum(large.group_rows) - sum(small.group_rows)
    return (state_bytes(large) - state_bytes(small)) / more, more


def _borrowers(n: int) -> World:
    """Return a market whose accounts have three slots of collateral and two of debt."""
    lender = (
        "{kind: suppliers, chain: mainnet, market: market, asset: USD, count: 1, "
        "supplied_usd: %g, fast_share: 0, medium_share: 0, slow_share: 0}"
    )
    people = f"{{lender: {lender % (2e4 * n)}, borrowers: {BORROWERS % (n, 1e4 * n)}}}"
    slots = "venues.market.n_collateral_slots=3"
    return world_of(load_scenario("dense-market", [slots, f"populations={people}"]))


def memory(effort: Effort) -> Iterator[Row]:
    """Weigh the dense market and a book of borrowers: what one agent more takes."""
    large = 100_000 if effort.is_quick else 1_000_000
    small = world_of(dense(_SMALL // 2))  # compiled code is loaded by it
    before, started = resident_bytes(), time.process_time()
    world = world_of(dense(large // 2))
    seconds, after = time.process_time() - started, resident_bytes()
    each, more = _difference(small, world)
    n = sum(world.group_rows)
    yield Row(
        "memory of an agent, dense market",
        each,
        "bytes",
        at_most(32),
        {"agents more": more},
        "all arrays of the world, traders, borrowers and providers together; the process grew by "
        f"{(after - before) / n:,.0f} bytes an agent",
    )
    yield Row(
        "build of a million agents, dense market",
        seconds * 1e6 / n,
        "s",
        at_most(0.5),
        {"agents built": n},
        "processor time of the world, in proportion",
    )
    each, more = _difference(_borrowers(_SMALL), _borrowers(large))
    yield Row(
        "memory of a borrower",
        each,
        "bytes",
        at_most(128),
        {"borrowers more": more},
        "position, wallet and behavior; room for 3 collaterals and 2 debts",
    )
