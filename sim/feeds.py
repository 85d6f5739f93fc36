"""Price feeds: what contracts believe a token is worth, in USD.

A feed is reported (by orders, perhaps active only after a contract delay), a time-weighted average
of a pool, or fixed. Contracts read feeds; `sim.oracles` writes them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.kernel import F8, I8, F8x2, I8x2, columnar, kernel
from sim.units import TICKS_PER_SECOND
from sim.venues import cumulative_at

REPORTED, POOL_TWAP, FIXED = range(3)
N_QUEUED = 64  # reports that can wait for the contract delay
N_OBSERVED = 64  # observations kept for a time-weighted average
_SECONDS_PER_TICK = 1.0 / TICKS_PER_SECOND


@columnar
class Feeds(NamedTuple):
    """All feeds; row = oracle venue."""

    kind: I8  # int64, (n,), REPORTED, POOL_TWAP or FIXED
    token: I8  # int64, (n,), token that is priced
    venue: I8  # int64, (n,), oracle venue
    value: F8  # float64, (n,), USD, active
    since: I8  # int64, (n,), tick at which the active value was observed
    posted: F8  # float64, (n,), USD, last report, active or waiting
    posted_at: I8  # int64, (n,), tick at which the last report was observed
    is_frozen: I8  # int64, (n,), 1: keeps its value and refuses reports
    delay: I8  # int64, (n,), ticks until a report is active
    deviation: F8  # float64, (n,), fraction that triggers a report
    heartbeat: I8  # int64, (n,), ticks after which a report is due
    reporters: I8  # int64, (n,), transactions a report takes
    pool: I8  # int64, (n,), pool of the average, -1: none
    pool_side: I8  # int64, (n,), 0: the token is token 0 of the pool
    other: I8  # int64, (n,), the pool's other token, valued at its reference price
    window: I8  # int64, (n,), ticks of the average
    n_queued: I8  # int64, (n,)
    queued: F8x2  # float64, (n, N_QUEUED), USD, waiting for the delay, oldest first
    queued_at: I8x2  # int64, (n, N_QUEUED), tick from which it is active
    queued_since: I8x2  # int64, (n, N_QUEUED), tick at which it was observed
    n_observed: I8  # int64, (n,), observations so far
    observed: F8x2  # float64, (n, N_OBSERVED), cumulative price of the pool, a ring
    observed_at: I8x2  # int64, (n, N_OBSERVED), tick of the observation


def make_feeds(n: int) -> Feeds:
    """Return a table of `n` feeds, all zero."""
    columns = []
    for name in Feeds._fields:
        dtype = np.float64 if name in _FLOATS else np.int64
        columns.append(np.zeros((n, _WIDE[name]) if name in _WIDE else n, dtype))
    return Feeds(*columns)


_FLOATS = {"value", "posted", "deviation", "queued", "observed"}
_WIDE = {
    "queued": N_QUEUED,
    "queued_at": N_QUEUED,
    "queued_since": N_QUEUED,
    "observed": N_OBSERVED,
    "observed_at": N_OBSERVED,
}


@kernel
def activate(feeds, feed, now):  # type: ignore[no-untyped-def]
    """Make the reports whose delay has passed the active value."""
    n, passed = feeds.n_queued[feed], 0
    while passed < n and feeds.queued_at[feed, passed] <= now:
        feeds.value[feed] = feeds.queued[feed, passed]
        feeds.since[feed] = feeds.queued_since[feed, passed]
        passed += 1
    if passed > 0:
        for k in range(passed, n):
            feeds.queued[feed, k - passed] = feeds.queued[feed, k]
            feeds.queued_at[feed, k - passed] = feeds.queued_at[feed, k]
            feeds.queued_since[feed, k - passed] = feeds.queued_since[feed, k]
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
def read_feed(feeds, venues, prices, feed, now):  # type: ignore[no-untyped-def]
    """Return the USD price that a contract reads from a feed now."""
    if feeds.is_frozen[feed] != 0:
        return feeds.value[feed]
    if feeds.kind[feed] == REPORTED:
        activate(feeds, feed, now)
    elif feeds.kind[feed] == POOL_TWAP:
        mean = pool_average(feeds, venues, feed, now)
        ratio = mean if feeds.pool_side[feed] == 0 else 1.0 / mean
        feeds.value[feed] = ratio * prices.reference[feeds.other[feed]]
        feeds.since[feed] = now
    return feeds.value[feed]
