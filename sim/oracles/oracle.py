"""An oracle contract: one price feed, written by reports that are orders like any other.

A report waits in the mempool, pays gas, and may become active only after a contract delay (as in a
delayed-feed module). It is refused when it is older than the last one or when the feed is frozen.
Feeds that average a pool, are fixed or are computed from other feeds take no reports.

A computed feed is what deployed adapters are: an exchange rate times a feed (blind to a market
discount, its growth capped if wished), a product of feeds, or the lowest of several. It pays no gas
and has no delay of its own; its age is that of its oldest part.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from sim.chain import clock_at
from sim.errors import InputError
from sim.feeds import (
    EXCHANGE_RATE,
    FIXED,
    LIVE,
    LOWEST,
    N_INPUTS,
    N_QUEUED,
    N_STEPS,
    POOL_TWAP,
    PRODUCT,
    REPORTED,
    Feeds,
    activate,
    age_of,
    compute,
    make_feeds,
    observe_pool,
    rate_of,
    read_feed,
)
from sim.kernel import handler, kernel, view_of
from sim.orders import order_at
from sim.registry import Columns, Config, Mechanism, ShockKind, VenueSite, Verb
from sim.status import Status
from sim.units import TICKS_PER_SECOND, YEAR, ticks
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
    pool: str | None = Field(
        None,
        description="Pool whose marginal price keepers report instead: a market feed of a token "
        "that the reference market does not trade.",
    )
    reporters: int = Field(
        1, ge=1, le=100, description="Transactions' worth of gas that one report takes."
    )


class PoolAverageSource(Config):
    """Time-weighted average price of a pool."""

    kind: Literal["pool_twap"]
    pool: str = Field(description="Pool that holds the token.")
    feed: str | None = Field(
        None,
        description="Oracle that values the pool's other token; its reference price when left out.",
    )
    window_seconds: float = Field(
        1_800.0, gt=0.0, description="Length of the average.", json_schema_extra={"unit": "s"}
    )


class FixedSource(Config):
    """A hard-coded price."""

    kind: Literal["fixed"]
    price_usd: float = Field(gt=0.0, description="The price.", json_schema_extra={"unit": "USD"})


class ReferenceSource(Config):
    """The reference price itself, without delay or gas."""

    kind: Literal["reference"]


class GrowthCap(Config):
    """A bound on an exchange rate: linear growth from a snapshot."""

    yearly: float = Field(
        ge=0.0, description="Most growth in a year.", json_schema_extra={"unit": "fraction/year"}
    )
    snapshot_rate: float | None = Field(
        None,
        gt=0.0,
        description="Rate of the snapshot; that of the start when left out.",
        json_schema_extra={"unit": "underlying per token"},
    )
    snapshot_age_seconds: float = Field(
        0.0,
        ge=0.0,
        description="Age of the snapshot at the start.",
        json_schema_extra={"unit": "s"},
    )


class ExchangeRateSource(Config):
    """An exchange rate times the feed of the underlying: blind to what the market pays."""

    kind: Literal["exchange_rate"]
    feed: str = Field(description="Oracle of the underlying token.")
    staking: str | None = Field(
        None, description="Staking protocol whose reported exchange rate counts; or give a rate."
    )
    rate: float | None = Field(
        None,
        gt=0.0,
        description="Exchange rate that stands still, in place of a staking protocol's.",
        json_schema_extra={"unit": "underlying per token"},
    )
    growth_cap: GrowthCap | None = Field(
        None, description="Bound on the rate, as a snapshot-based adapter has; none when left out."
    )

    @model_validator(mode="after")
    def _check(self) -> ExchangeRateSource:
        if (self.staking is None) == (self.rate is None):
            raise ValueError("give either staking or rate, where the exchange rate comes from")
        return self


class ProductSource(Config):
    """A product of feeds, such as token/ETH times ETH/USD."""

    kind: Literal["product"]
    feeds: list[str] = Field(
        min_length=2, max_length=N_INPUTS, description="Oracles that are multiplied."
    )


class LowestSource(Config):
    """The lowest of several feeds, such as an exchange rate feed and a market feed."""

    kind: Literal["lower_of"]
    feeds: list[str] = Field(
        min_length=2, max_length=N_INPUTS, description="Oracles of which the lowest counts."
    )


class OracleConfig(Config):
    """The price feed of one token, in USD."""

    kind: Literal["oracle"]
    chain: str = Field(description="Chain on which the contract lives.")
    token: str = Field(description="Token that is priced.")
    source: Annotated[
        ReportedSource
        | PoolAverageSource
        | FixedSource
        | ReferenceSource
        | ExchangeRateSource
        | ProductSource
        | LowestSource,
        Field(discriminator="kind"),
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
    feeds.queued_fill[feed, n] = order.fill_id
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


_KINDS = {
    "reported": REPORTED,
    "pool_twap": POOL_TWAP,
    "fixed": FIXED,
    "reference": LIVE,
    "exchange_rate": EXCHANGE_RATE,
    "product": PRODUCT,
    "lower_of": LOWEST,
}


def make(world: World, sites: Sequence[VenueSite]) -> Feeds:
    """Return the feeds of a world; reported ones start at the price of time 0.

    Raises
    ------
    InputError
        A feed is computed from itself, from too many others, or from what is no oracle or rate.
    """
    feeds = make_feeds(len(sites))
    feeds.posted_at[:] = -1
    for column in (feeds.pool, feeds.other_feed, feeds.inputs, feeds.steps, feeds.rate_venue):
        column[:] = -1
    feeds.growth[:] = math.inf
    for site in sites:
        row, source = site.row, site.config.source
        feeds.token[row], feeds.venue[row] = site.tokens[0], site.number
        feeds.kind[row] = _KINDS[source.kind]
        if source.kind == "reported":
            _set_reports(world, feeds, row, source)
        elif source.kind == "fixed":
            feeds.value[row] = source.price_usd
        elif source.kind == "pool_twap":
            feeds.window[row] = ticks(source.window_seconds)
            _point_at_pool(world, feeds, row, source.pool)
            if source.feed is not None:
                feeds.other_feed[row] = _input_of(world, row, sites, source.feed)
        elif source.kind == "exchange_rate":
            _set_rate(world, feeds, row, source)
        _list_inputs(world, feeds, row, sites)
    for row, site in enumerate(sites):
        _list_steps(feeds, row, site.name)
    for row in range(len(sites)):
        for step in feeds.steps[row][feeds.steps[row] >= 0]:
            _set_first_value(world, feeds, int(step))
    return feeds


def _set_reports(world: World, feeds: Feeds, row: int, source: ReportedSource) -> None:
    feeds.deviation[row] = source.deviation
    feeds.heartbeat[row] = ticks(source.heartbeat_seconds)
    feeds.delay[row] = ticks(source.delay_seconds)
    feeds.reporters[row] = source.reporters
    if source.pool is not None:
        _point_at_pool(world, feeds, row, source.pool)
    if source.priced_as is not None:
        feeds.token[row] = world.token(*source.priced_as.partition("/")[::2])


def _set_rate(world: World, feeds: Feeds, row: int, source: ExchangeRateSource) -> None:
    if source.rate is not None:
        feeds.rate[row] = source.rate
    else:
        venue = world.venue(str(source.staking))
        if world.venues.token0[venue] >= 0 or not world.venues.price[venue] > 0.0:
            raise InputError(
                f"{world.venue_names[int(feeds.venue[row])]}: '{source.staking}' has no exchange "
                "rate; name a staking protocol"
            )
        feeds.rate_venue[row] = venue
    cap = source.growth_cap
    if cap is not None:
        first = float(rate_of.py_func(feeds, world.venues, row, 0))
        feeds.snapshot[row] = first if cap.snapshot_rate is None else cap.snapshot_rate
        feeds.snapshot_at[row] = -ticks(cap.snapshot_age_seconds)
        feeds.growth[row] = feeds.snapshot[row] * cap.yearly / ticks(YEAR)


def _input_of(world: World, row: int, sites: Sequence[VenueSite], name: str) -> int:
    found = [site.row for site in sites if site.name == name]
    if not found:
        raise InputError(f"{sites[row].name}: '{name}' is no oracle; name one")
    return found[0]


def _list_inputs(world: World, feeds: Feeds, row: int, sites: Sequence[VenueSite]) -> None:
    source = sites[row].config.source
    names = getattr(source, "feeds", None) or [getattr(source, "feed", None)]
    parts = [_input_of(world, row, sites, name) for name in names if name is not None]
    feeds.inputs[row, : len(parts)] = parts


def _list_steps(feeds: Feeds, row: int, name: str) -> None:
    """List the feeds that a feed needs, in an order in which each comes after its own inputs."""
    steps: list[int] = []

    def add(feed: int, path: tuple[int, ...]) -> None:
        if feed in path:
            raise InputError(f"{name}: is computed from itself; name other feeds")
        for part in feeds.inputs[feed][feeds.inputs[feed] >= 0]:
            add(int(part), (*path, feed))
        if feed not in steps:
            steps.append(feed)

    add(row, ())
    if len(steps) > N_STEPS:
        raise InputError(f"{name}: needs {len(steps)} feeds; at most {N_STEPS} can be joined")
    feeds.steps[row, : len(steps)] = steps


def _set_first_value(world: World, feeds: Feeds, feed: int) -> None:
    """Give a feed its value of time 0; pools count at their reference price, as none has traded."""
    kind = int(feeds.kind[feed])
    if kind in (REPORTED, POOL_TWAP, LIVE):
        feeds.value[feed] = world.prices.reference[feeds.token[feed]]
    elif kind != FIXED:
        compute.py_func(feeds, world.venues, feed, 0)
    feeds.posted[feed] = feeds.value[feed]


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
def _read_all(feeds, venues, prices, now, values, ages):  # type: ignore[no-untyped-def]
    """Write what a contract reads from every feed now, and how old that is, ticks."""
    for feed in range(values.shape[0]):
        values[feed] = read_feed(feeds, venues, prices, feed, now)
        ages[feed] = age_of(feeds, feed, now)


def sample(world: World, feeds: Feeds) -> dict[str, Columns]:
    """Return the columns of the `oracles` record."""
    values, ages = np.zeros(len(feeds.kind)), np.zeros(len(feeds.kind), np.int64)
    _read_all(feeds, world.venues, world.prices, world.now, values, ages)
    return {
        "oracles": {
            "feed": feeds.venue,
            "reported": values,
            "reference": world.prices.reference[feeds.token],
            "age": ages / TICKS_PER_SECOND,
        }
    }


class FreezeOracle(Config):
    """Freeze a feed at its present value: reports are refused."""

    kind: Literal["freeze_oracle"]
    venue: str = Field(description="Oracle to freeze.")


class ThawOracle(Config):
    """Let a frozen feed take reports again."""

    kind: Literal["thaw_oracle"]
    venue: str = Field(description="Oracle to thaw.")


class SetOracle(Config):
    """Attack a feed: make it read a false price until its next report.

    A feed that takes no reports reads it until it is thawed.
    """

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
    feeds.n_queued[row] = feeds.fill[row] = 0
    feeds.since[row] = world.now
    if feeds.kind[row] != REPORTED:
        feeds.is_frozen[row] = 1


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
