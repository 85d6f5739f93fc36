"""An oracle contract: one price feed, written by reports that are orders like any other.

A report waits in the mempool, pays gas, and may become active only after a contract delay (as in a
delayed-feed module). It is refused when it is older than the last one or when the feed is frozen.
Feeds that average a pool or are fixed take no reports.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from sim.chain import clock_at
from sim.errors import InputError
from sim.feeds import (
    FIXED,
    N_QUEUED,
    POOL_TWAP,
    REPORTED,
    Feeds,
    activate,
    make_feeds,
    observe_pool,
    read_feed,
)
from sim.kernel import handler, kernel, view_of
from sim.orders import order_at
from sim.registry import Config, Mechanism, ShockKind, VenueSite, Verb
from sim.status import Status
from sim.units import TICKS_PER_SECOND, ticks
from sim.venues import Venues

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.world import World

OK = int(Status.OK)
HALTED = int(Status.HALTED)
STALE = int(Status.STALE)
FULL = int(Status.FULL)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
NOT_ALLOWED = int(Status.NOT_ALLOWED)


class ReportedSource(Config):
    """Reports of the reference price by keepers."""

    kind: Literal["reported"] = "reported"
    deviation: float = Field(
        0.01,
        gt=0.0,
        le=1.0,
        description="Move of the reference price that triggers a report.",
        json_schema_extra={"unit": "fraction"},
    )
    heartbeat_seconds: float = Field(
        3_600.0,
        gt=0.0,
        description="Longest time between reports.",
        json_schema_extra={"unit": "s"},
    )
    delay_seconds: float = Field(
        0.0,
        ge=0.0,
        description="Time until a report is active.",
        json_schema_extra={"unit": "s", "stress": {"oracle_delay": "add"}},
    )
    priced_as: str | None = Field(
        None,
        description="Token, as chain/symbol, whose reference price is reported: an exchange "
        "rate feed that is blind to what backs the token.",
    )
    reporters: int = Field(
        1, ge=1, le=100, description="Transactions' worth of gas that one report takes."
    )


class PoolAverageSource(Config):
    """Time-weighted average price of a pool; its other token counts at its reference price."""

    kind: Literal["pool_twap"]
    pool: str = Field(description="Pool that holds the token.")
    window_seconds: float = Field(
        1_800.0, gt=0.0, description="Length of the average.", json_schema_extra={"unit": "s"}
    )


class FixedSource(Config):
    """A hard-coded price."""

    kind: Literal["fixed"]
    price_usd: float = Field(gt=0.0, description="The price.", json_schema_extra={"unit": "USD"})


class OracleConfig(Config):
    """The price feed of one token, in USD."""

    kind: Literal["oracle"]
    chain: str = Field(description="Chain on which the contract lives.")
    token: str = Field(description="Token that is priced.")
    source: Annotated[
        ReportedSource | PoolAverageSource | FixedSource, Field(discriminator="kind")
    ] = Field(ReportedSource(), description="Where the price comes from.")


unpack = view_of(Feeds, Venues)


@handler
def _report(binding, message):  # type: ignore[no-untyped-def]
    """Report `amount` USD, observed at tick `a`."""
    feeds, venues = unpack(binding)
    order = order_at(message)
    feed = venues.row[order.venue]
    if feeds.kind[feed] != REPORTED:
        return NOT_ALLOWED
    if feeds.is_frozen[feed] != 0:
        return HALTED
    if not 0.0 < order.amount < math.inf:
        return BAD_AMOUNT
    if order.a <= feeds.posted_at[feed]:
        return STALE
    activate(feeds, feed, order.time)
    n = feeds.n_queued[feed]
    if n == N_QUEUED:
        return FULL
    feeds.queued[feed, n] = order.amount
    feeds.queued_at[feed, n] = order.time + feeds.delay[feed]
    feeds.queued_since[feed, n] = order.a
    feeds.n_queued[feed] = n + 1
    feeds.posted[feed] = order.amount
    feeds.posted_at[feed] = order.a
    activate(feeds, feed, order.time)
    return OK


@handler
def _observe(binding, message):  # type: ignore[no-untyped-def]
    """Before each block: observe the pools of averages on this chain."""
    feeds, venues = unpack(binding)
    clock = clock_at(message)
    for feed in range(feeds.kind.shape[0]):
        if feeds.kind[feed] == POOL_TWAP and venues.chain[feeds.venue[feed]] == clock.chain:
            observe_pool(feeds, venues, feed, clock.now)
    return OK


def make(world: World, sites: Sequence[VenueSite]) -> Feeds:
    """Return the feeds of a world; reported ones start at the reference price of time 0."""
    feeds = make_feeds(len(sites))
    feeds.posted_at[:] = -1
    feeds.pool[:] = -1
    for site in sites:
        row, source = site.row, site.config.source
        feeds.token[row], feeds.venue[row] = site.tokens[0], site.number
        price = float(world.prices.reference[site.tokens[0]])
        if source.kind == "reported":
            feeds.kind[row] = REPORTED
            feeds.deviation[row] = source.deviation
            feeds.heartbeat[row] = ticks(source.heartbeat_seconds)
            feeds.delay[row] = ticks(source.delay_seconds)
            feeds.reporters[row] = source.reporters
            if source.priced_as is not None:
                feeds.token[row] = world.token(*source.priced_as.partition("/")[::2])
                price = float(world.prices.reference[feeds.token[row]])
        elif source.kind == "fixed":
            feeds.kind[row], price = FIXED, source.price_usd
        else:
            feeds.kind[row] = POOL_TWAP
            feeds.window[row] = ticks(source.window_seconds)
            _point_at_pool(world, feeds, row, source.pool)
        feeds.value[row] = feeds.posted[row] = price
    return feeds


def _point_at_pool(world: World, feeds: Feeds, row: int, name: str) -> None:
    pool = world.venue(name)
    plan = world.plan.venues[pool]
    nodes = [world.token(*node) for node in plan.tokens]
    token = int(feeds.token[row])
    if plan.mechanism.quote is None or token not in nodes[:2]:
        raise InputError(
            f"oracle {world.plan.venues[int(feeds.venue[row])].name}: '{name}' is not a pool of "
            f"{world.token_names[token]}"
        )
    feeds.pool[row] = pool
    feeds.pool_side[row] = nodes.index(token)
    feeds.other[row] = nodes[1 - nodes.index(token)]


@kernel(inline=False)
def _read_all(feeds, venues, prices, now, values):  # type: ignore[no-untyped-def]
    """Write what a contract reads from every feed now."""
    for feed in range(values.shape[0]):
        values[feed] = read_feed(feeds, venues, prices, feed, now)


def sample(world: World, feeds: Feeds) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the `oracles` record."""
    rows = []
    values = np.zeros(len(feeds.kind))
    _read_all(feeds, world.venues, world.prices, world.now, values)
    for feed, value in enumerate(values):
        rows.append(
            {
                "feed": world.venue_names[int(feeds.venue[feed])],
                "reported": float(value),
                "reference": float(world.prices.reference[feeds.token[feed]]),
                "age": float((world.now - feeds.since[feed]) / TICKS_PER_SECOND),
            }
        )
    return {"oracles": rows}


class FreezeOracle(Config):
    """Freeze a feed at its present value: reports are refused."""

    kind: Literal["freeze_oracle"]
    venue: str = Field(description="Oracle to freeze.")


class ThawOracle(Config):
    """Let a frozen feed take reports again."""

    kind: Literal["thaw_oracle"]
    venue: str = Field(description="Oracle to thaw.")


class SetOracle(Config):
    """Attack a feed: make it read a false price until its next report."""

    kind: Literal["set_oracle"]
    venue: str = Field(description="Oracle to attack.")
    price_usd: float = Field(gt=0.0, description="False price.", json_schema_extra={"unit": "USD"})


def _feed_of(world: World, name: str) -> tuple[Feeds, int]:
    number = world.venue(name)
    if world.plan.venues[number].mechanism.kind != "oracle":
        raise InputError(f"'{name}' is not an oracle")
    return world.shared[Feeds], int(world.venues.row[number])


def _freeze(world: World, config: Any) -> None:
    feeds, row = _feed_of(world, config.venue)
    read_feed(feeds, world.venues, world.prices, row, world.now)
    feeds.is_frozen[row] = 1


def _thaw(world: World, config: Any) -> None:
    feeds, row = _feed_of(world, config.venue)
    feeds.is_frozen[row] = 0


def _set(world: World, config: Any) -> None:
    feeds, row = _feed_of(world, config.venue)
    feeds.value[row] = feeds.posted[row] = config.price_usd
    feeds.n_queued[row] = 0


MECHANISM = Mechanism(
    kind="oracle",
    config=OracleConfig,
    verbs=(Verb("report", _report, 150_000),),
    states=unpack.states,
    make=make,
    react=_observe,
    nodes=lambda config: [(config.chain, config.token)],
    sample=sample,
    shocks=(
        ShockKind("freeze_oracle", FreezeOracle, _freeze),
        ShockKind("thaw_oracle", ThawOracle, _thaw),
        ShockKind("set_oracle", SetOracle, _set),
    ),
)
