"""Gas prices on a grid, and what the last blocks paid: the data of every estimate of a bid.

The grid is logarithmic; two steps are the raise of 10 % with which a bid replaces another. For each
chain a ring of running totals holds the gas paid at each price, so that the gas of any number of
blocks, by price, is a difference of two rows.
"""

from __future__ import annotations

import math

import numpy as np

from sim.kernel import kernel

STEP = 0.5 * math.log(1.1)  # of the logarithm of the price
N_PRICES = 400
LOWEST = 1e-12  # native per gas: 0.001 gwei; the grid ends at 190,000 gwei
HISTORY = 512  # blocks, one row each
SHOWN = 0.6  # share of the gas of a block that pays at most the price that is shown


def grid() -> np.ndarray:
    """Return the price of each bucket, its geometric center: float64, (N_PRICES,), native/gas."""
    return np.asarray(LOWEST * np.exp((np.arange(N_PRICES) + 0.5) * STEP))


@kernel
def bucket_of(price):  # type: ignore[no-untyped-def]
    """Return the bucket of a gas price; prices off the grid are in the first or the last one."""
    if price <= LOWEST:
        return 0
    return min(int(math.log(price / LOWEST) / STEP), N_PRICES - 1)


@kernel
def percentile(paid, after, before, low, high, share):  # type: ignore[no-untyped-def]
    """Return the price that a share of the gas paid at most, between two rows; 0: none was paid.

    Only the buckets from `low` to `high` are looked at. Within a bucket the gas is taken as spread
    evenly over the logarithm of the price.
    """
    total = 0.0
    for k in range(low, high + 1):
        total += paid[after, k] - paid[before, k]
    if total <= 0.0:
        return 0.0
    wanted, below = share * total, 0.0
    for k in range(low, high + 1):
        gas = paid[after, k] - paid[before, k]
        if gas > 0.0 and (below + gas >= wanted or k == high):
            if k == 0:
                return 0.0  # gas is free
            return LOWEST * math.exp((k + min((wanted - below) / gas, 1.0)) * STEP)
        below += gas
    return 0.0


@kernel
def row_at(number, n):  # type: ignore[no-untyped-def]
    """Return the row of the running totals of a chain after n blocks that paid."""
    return number * HISTORY + (n + HISTORY) % HISTORY


@kernel
def count_gas(box, number, gas, price):  # type: ignore[no-untyped-def]
    """Add gas to what the block at hand paid at a price; the first of a block opens its row."""
    chain, bucket = box.chains[number], bucket_of(price)
    if chain.has_paid == 0:
        chain.has_paid = 1
        chain.n_paid += 1
        now, before = row_at(number, chain.n_paid), row_at(number, chain.n_paid - 1)
        for k in range(chain.low_price, chain.high_price + 1):
            box.paid[now, k] = box.paid[before, k]
    chain.low_price = min(chain.low_price, bucket)
    chain.high_price = max(chain.high_price, bucket)
    box.paid[row_at(number, chain.n_paid), bucket] += gas


@kernel
def recent(box, number, n_blocks, share):  # type: ignore[no-untyped-def]
    """Return the price that a share of the gas of the last n blocks that used any paid at most.

    0: there was none yet.
    """
    chain = box.chains[number]
    after = row_at(number, chain.n_paid)
    before = row_at(number, chain.n_paid - min(n_blocks, chain.n_paid))
    return percentile(box.paid, after, before, chain.low_price, chain.high_price, share)
