"""Price feeds: what contracts believe a token is worth, in USD.

A feed is reported (by orders, perhaps active only after a contract delay), a time-weighted average
of a pool, fixed, the reference price itself, or computed from other feeds: an exchange rate times a
feed, a product, the lowest of several. Contracts read feeds; `sim.oracles` writes them. Where the
lag of oracles is cut, a reported or averaged feed is an instant one: what its keepers see, or its
pool's price, as of the first reading at a tick, so that all of a block reads what its start shows.

An exchange rate may be capped: at most snapshot x (1 + yearly growth x years since), linear, as the
price adapters of Aave v3 for correlated assets do.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sim.kernel import F8, I8, F8x2, I8x2, columnar, kernel
from sim.units import TICKS_PER_SECOND
from sim.venues import cumulative_at

REPORTED, POOL_TWAP, FIXED, LIVE, EXCHANGE_RATE, PRODUCT, LOWEST, INSTANT = range(8)
N_INPUTS = 8  # feeds that one is computed from
N_STEPS = 16  # feeds that must be up to date before one is read, itself included
N_QUEUED = 64  # reports that can wait for the contract delay
N_OBSERVED = 64  # observations kept for a time-weighted average
_SECONDS_PER_TICK = 1.0 / TICKS_PER_SECOND


@columnar
class Feeds(NamedTuple):
    """All feeds; row = oracle venue."""

    kind: I8  # int64, (n,), REPORTED …
    token: I8  # int64, (n,), token that is priced
    venue: I8  # int64, (n,), oracle venue
    value: F8  # float64, (n,), USD, active
    since: I8  # int64, (n,), tick at which the active value was observed
    fill: I8  # int64, (n,), fill that made the active value, 0: none did
    posted: F8  # float64, (n,), USD, last report, active or waiting
    posted_at: I8  # int64, (n,), tick at which the last report was observed
    is_frozen: I8  # int64, (n,), 1: keeps its value and refuses reports
    delay: I8  # int64, (n,), ticks until a report is active
    deviation: F8  # float64, (n,), fraction that triggers a report
    heartbeat: I8  # int64, (n,), ticks after which a report is due
    reporters: I8  # int64, (n,), transactions a report takes
    pool: I8  # int64, (n,), pool of the average, or whose price is reported, -1: none
    pool_side: I8  # int64, (n,), 0: the token is token 0 of the pool
    other: I8  # int64, (n,), the pool's other token
    other_feed: I8  # int64, (n,), feed that values it, -1: its reference price
    window: I8  # int64, (n,), ticks of the average
    n_queued: I8  # int64, (n,)
    queued: F8x2  # float64, (n, N_QUEUED), USD, waiting for the delay, oldest first
    queued_at: I8x2  # int64, (n, N_QUEUED), tick from which it is active
    queued_since: I8x2  # int64, (n, N_QUEUED), tick at which it was observed
    queued_fill: I8x2  # int64, (n, N_QUEUED), fill of the report
    n_observed: I8  # int64, (n,), observations so far
    observed: F8x2  # float64, (n, N_OBSERVED), cumulative price of the pool, a ring
    observed_at: I8x2  # int64, (n, N_OBSERVED), tick of the observation
    inputs: I8x2  # int64, (n, N_INPUTS), feeds it is computed from, -1: no more
    steps: I8x2  # int64, (n, N_STEPS), feeds to bring up to date before it is read, in order,
    # itself last; -1: no more
    rate_venue: I8  # int64, (n,), venue whose price is the exchange rate, -1: `rate` is
    rate: F8  # float64, (n,), exchange rate, fixed
    snapshot: F8  # float64, (n,), exchange rate from which growth is capped
    snapshot_at: I8  # int64, (n,), its tick; below 0: before the start
    growth: F8  # float64, (n,), most that the rate may grow a tick, inf: no cap


def make_feeds(n: int) -> Feeds:
    """Return a table of `n` feeds, all zero."""
    columns = []
    for name in Feeds._fields:
        dtype = np.float64 if name in _FLOATS else np.int64
        columns.append(np.zeros((n, _WIDE[name]) if name in _WIDE else n, dtype))
    return Feeds(*columns)


_FLOATS = {"value", "posted", "deviation", "queued", "observed", "rate", "snapshot", "growth"}
_WIDE = {
    "queued": N_QUEUED,
    "queued_at": N_QUEUED,
    "queued_since": N_QUEUED,
    "queued_fill": N_QUEUED,
    "observed": N_OBSERVED,
    "observed_at": N_OBSERVED,
    "inputs": N_INPUTS,
    "steps": N_STEPS,
}


@kernel
def activate(feeds, feed, now):  # type: ignore[no-untyped-def]
    """Make the reports whose delay has passed the active value."""
    n, passed = feeds.n_queued[feed], 0
    while passed < n and feeds.queued_at[feed, passed] <= now:
        feeds.value[feed] = feeds.queued[feed, passed]
        feeds.since[feed] = feeds.queued_since[feed, passed]
        feeds.fill[feed] = feeds.queued_fill[feed, passed]
        passed += 1
    if passed > 0:
        for k in range(passed, n):
            feeds.queued[feed, k - passed] = feeds.queued[feed, k]
            feeds.queued_at[feed, k - passed] = feeds.queued_at[feed, k]
            feeds.queued_since[feed, k - passed] = feeds.queued_since[feed, k]
            feeds.queued_fill[feed, k - passed] = feeds.queued_fill[feed, k]
        feeds.n_queued[feed] = n - passed


@kernel
def observe_pool(feeds, venues, feed, now):  # type: ignore[no-untyped-def]
    """Remember the cumulative price of a feed's pool, at most 60 times a window."""
    count = feeds.n_observed[feed]
    last = (count - 1) % N_OBSERVED
    if count > 0 and now - feeds.observed_at[feed, last] < feeds.window[feed] // 60:
        return
    feeds.observed[feed, count % N_OBSERVED] = cumulative_at(venues, feeds.pool[feed], now)
    feeds.observed_at[feed, count % N_OBSERVED] = now
    feeds.n_observed[feed] = count + 1


@kernel
def pool_average(feeds, venues, feed, now):  # type: ignore[no-untyped-def]
    """Return the time-weighted mean price of a feed's pool over its window, token1 per token0.

    The cumulative price at the start of the window is interpolated between observations, as
    Uniswap v3 does; before a whole window has passed, the average runs from the first observation.
    """
    pool, start = feeds.pool[feed], now - feeds.window[feed]
    count = feeds.n_observed[feed]
    later, later_at = cumulative_at(venues, pool, now), now
    latest = later
    for back in range(min(count, N_OBSERVED)):
        k = (count - 1 - back) % N_OBSERVED
        before, before_at = feeds.observed[feed, k], feeds.observed_at[feed, k]
        if before_at <= start:
            share = (start - before_at) / max(later_at - before_at, 1)
            first = before + share * (later - before)
            return (latest - first) / ((now - start) * _SECONDS_PER_TICK)
        later, later_at = before, before_at
    if later_at >= now:
        return venues.price[pool]
    return (latest - later) / ((now - later_at) * _SECONDS_PER_TICK)


@kernel
def usd_of(feeds, prices, feed, ratio):  # type: ignore[no-untyped-def]
    """Return the USD price of a feed's token whose pool trades at token 1 per token 0 `ratio`."""
    other = feeds.other_feed[feed]
    usd = feeds.value[other] if other >= 0 else prices.reference[feeds.other[feed]]
    return (ratio if feeds.pool_side[feed] == 0 else 1.0 / ratio) * usd


@kernel
def price_to_report(feeds, venues, prices, feed):  # type: ignore[no-untyped-def]
    """Return what keepers see of a reported feed: its pool's price now, or the reference price."""
    if feeds.pool[feed] >= 0:
        return usd_of(feeds, prices, feed, venues.price[feeds.pool[feed]])
    return prices.reference[feeds.token[feed]]


@kernel
def rate_of(feeds, venues, feed, now):  # type: ignore[no-untyped-def]
    """Return the exchange rate that a feed multiplies with: at most what growth since allows."""
    venue = feeds.rate_venue[feed]
    rate = venues.price[venue] if venue >= 0 else feeds.rate[feed]
    if feeds.growth[feed] == math.inf:
        return rate
    return min(rate, feeds.snapshot[feed] + feeds.growth[feed] * (now - feeds.snapshot_at[feed]))


@kernel
def compute(feeds, venues, feed, now):  # type: ignore[no-untyped-def]
    """Compute a feed from its inputs, which are up to date.

    It is as old as the oldest input that can age, and was made by the newest fill behind them; the
    lowest of several is one of them.
    """
    kind = feeds.kind[feed]
    value, since, fill = 1.0, now, 0
    for k in range(N_INPUTS):
        part = feeds.inputs[feed, k]
        if part < 0:
            break
        ages = feeds.kind[part] != FIXED
        if kind != LOWEST:
            value *= feeds.value[part]
            since = min(since, feeds.since[part]) if ages else since
            fill = max(fill, feeds.fill[part])
        elif k == 0 or feeds.value[part] < value:
            value, fill = feeds.value[part], feeds.fill[part]
            since = feeds.since[part] if ages else now
    if kind == EXCHANGE_RATE:
        value *= rate_of(feeds, venues, feed, now)
        if feeds.rate_venue[feed] >= 0:
            fill = max(fill, venues.last_fill[feeds.rate_venue[feed]])
    feeds.value[feed], feeds.since[feed], feeds.fill[feed] = value, since, fill


@kernel
def refresh(feeds, venues, prices, feed, now):  # type: ignore[no-untyped-def]
    """Bring the active value of a feed to now; feeds that it needs are there already."""
    if feeds.is_frozen[feed] != 0:
        return
    kind = feeds.kind[feed]
    if kind == REPORTED:
        activate(feeds, feed, now)
    elif kind == POOL_TWAP:
        mean = pool_average(feeds, venues, feed, now)
        feeds.value[feed] = usd_of(feeds, prices, feed, mean)
        other = feeds.other_feed[feed]
        is_old = other >= 0 and feeds.kind[other] != FIXED
        feeds.since[feed] = feeds.since[other] if is_old else now
        feeds.fill[feed] = venues.last_fill[feeds.pool[feed]]
    elif kind == INSTANT:
        if feeds.since[feed] < now:
            feeds.value[feed] = price_to_report(feeds, venues, prices, feed)
            feeds.since[feed] = now
            if feeds.pool[feed] >= 0:
                feeds.fill[feed] = venues.last_fill[feeds.pool[feed]]
    elif kind == LIVE:
        feeds.value[feed] = prices.reference[feeds.token[feed]]
        feeds.since[feed] = now
    elif kind != FIXED:
        compute(feeds, venues, feed, now)


@kernel
def read_feed(feeds, venues, prices, feed, now):  # type: ignore[no-untyped-def]
    """Return the USD price that a contract reads from a feed now."""
    for k in range(N_STEPS):
        step = feeds.steps[feed, k]
        if step < 0:
            break
        refresh(feeds, venues, prices, step, now)
    return feeds.value[feed]


@kernel
def age_of(feeds, feed, now):  # type: ignore[no-untyped-def]
    """Return how old the value in force is, ticks; a fixed price does not age."""
    return 0 if feeds.kind[feed] == FIXED else now - feeds.since[feed]
