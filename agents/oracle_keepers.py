"""Oracle keepers: accounts that post the price they see when deviation or heartbeat says so.

A report is an order: it bids, waits in the mempool and pays gas, so that a congested chain sees old
prices. A keeper waits for its report to land or expire before it posts the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from agents.population import ColumnarAgent
from sim.chain import clock_at
from sim.errors import InputError
from sim.feeds import REPORTED, Feeds, price_to_report
from sim.kernel import F8, I8, columnar, handler, kernel, view_of
from sim.mempool import Outbox, post
from sim.orders import PRICE, REPORT, cause
from sim.prices import Prices
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import GWEI, ticks
from sim.venues import Venues, draft

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
_PRICE = cause(PRICE)


@columnar
class KeeperState(NamedTuple):
    """Columns of oracle keepers, and what they share."""

    feeds: I8  # int64, (n_feeds,), feeds they serve; feed k is posted by keeper k mod n
    waiting: I8  # int64, (n_feeds,), tick until which a report may be pending
    n_reports: I8  # int64, (n,), reports posted
    terms: F8  # float64, (2,): tip in native token per gas, most they pay over the base fee
    number: I8  # int64, (2,): account group, ticks until a report expires


class OracleKeepersConfig(Config):
    """Keepers who report reference prices to the oracles of a chain."""

    kind: Literal["oracle_keepers"]
    chain: str = Field(description="Chain whose oracles they serve.")
    count: int = Field(1, gt=0, le=1_000, description="Number of accounts that share the feeds.")
    tip_gwei: float = Field(
        2.0, ge=0.0, description="Priority fee of a report.", json_schema_extra={"unit": "gwei"}
    )
    max_fee_multiple: float = Field(
        3.0,
        ge=1.0,
        description="Most they pay, over the base fee of the moment, where there is one.",
    )
    expires_seconds: float = Field(
        600.0,
        gt=0.0,
        description="When an unmined report is given up.",
        json_schema_extra={"unit": "s"},
    )
    budget_native: float = Field(
        1_000.0, gt=0.0, description="Native tokens of each account for gas."
    )


class OracleKeeper(ColumnarAgent):
    """One oracle keeper: a view on a row of its population."""


unpack = view_of(KeeperState, Outbox, Prices, Venues, Feeds)


@kernel
def is_due(feeds, feed, price, now):  # type: ignore[no-untyped-def]
    """Return whether a feed needs a report.

    It is off by the deviation, or the heartbeat is over.
    """
    gap = abs(price / feeds.posted[feed] - 1.0)
    return gap >= feeds.deviation[feed] or now - feeds.posted_at[feed] >= feeds.heartbeat[feed]


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Post the reports that are due."""
    keepers, box, prices, venues, feeds = unpack(binding)
    clock = clock_at(message)
    n = keepers.n_reports.shape[0]
    for k in range(keepers.feeds.shape[0]):
        feed = keepers.feeds[k]
        if feeds.kind[feed] != REPORTED:  # it is read without reports
            continue
        if (
            clock.now <= keepers.waiting[k]
            and feeds.posted_at[feed] < keepers.waiting[k] - (keepers.number[1])
        ):
            continue
        price = price_to_report(feeds, venues, prices, feed)
        if feeds.is_frozen[feed] != 0 or not is_due(feeds, feed, price, clock.now):
            continue
        order = draft(box, venues, feeds.venue[feed], REPORT, keepers.number[0], k % n, clock.now)
        order.amount, order.a = price, clock.now
        order.gas *= feeds.reporters[feed]
        order.tip = keepers.terms[0]
        chain = box.chains[clock.chain]
        room = keepers.terms[1] if chain.is_base_fee != 0 else 1.0  # a bid is paid in full there
        order.max_fee = chain.base_fee * room + order.tip
        order.expires = clock.now + keepers.number[1]
        order.parent = _PRICE + prices.asset[feeds.token[feed]]
        keepers.waiting[k] = order.expires
        keepers.n_reports[k % n] += 1
        post(box, order)
    return OK


def make(world: World, site: PopulationSite) -> KeeperState:
    """Return the columns of a population of oracle keepers."""
    config = site.config
    feeds = world.shared.get(Feeds)
    served = (
        []
        if feeds is None
        else [
            k
            for k in range(len(feeds.kind))
            if feeds.kind[k] == REPORTED and world.venues.chain[feeds.venue[k]] == site.chain
        ]
    )
    if not served:
        raise InputError(f"{site.name}: chain {config.chain} has no oracle that takes reports")
    return KeeperState(
        feeds=np.array(served, np.int64),
        waiting=np.full(len(served), -1, np.int64),
        n_reports=np.zeros(site.rows, np.int64),
        terms=np.array([config.tip_gwei * GWEI, config.max_fee_multiple]),
        number=np.array([site.group, ticks(config.expires_seconds)], np.int64),
    )


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give every keeper its budget for gas."""
    native = int(world.box.chains[site.chain]["native"])
    world.endow_column(site.group, native, site.config.budget_native)


KIND = PopulationKind(
    kind="oracle_keepers",
    config=OracleKeepersConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=OracleKeeper,
    role="relayers",
    tokens=lambda world, site: [world.token(site.config.chain, _native(world, site))],
)


def _native(world: World, site: PopulationSite) -> str:
    return world.plan.chains[site.chain].native
