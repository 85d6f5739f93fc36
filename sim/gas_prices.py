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
_SHARE = 0.6  # of the gas of a block pays at most the price that is shown


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
def percentile(paid, after, before, share):  # type: ignore[no-untyped-def]
    """Return the price that a share of the gas paid at most, between two rows; 0: none was paid.

    Within a bucket the gas is taken as spread evenly over the logarithm of the price.
    """
    total = 0.0
    for k in range(N_PRICES):
        total += paid[after, k] - paid[before, k]
    if total <= 0.0:
        return 0.0
    wanted, below = share * total, 0.0
    for k in range(N_PRICES):
        gas = paid[after, k] - paid[before, k]
        if below + gas >= wanted and gas > 0.0:
            if k == 0:
                return 0.0  # gas is free
            return LOWEST * math.exp((k + (wanted - below) / gas) * STEP)
        below += gas
    return 0.0


@kernel
def row_at(number, height):  # type: ignore[no-untyped-def]
    """Return the row of the running totals of a chain up to and including a block."""
    return number * HISTORY + height % HISTORY


@kernel
def open_row(paid, number, height):  # type: ignore[no-untyped-def]
    """Begin the row of a block: what was paid up to the block before it."""
    now, before = row_at(number, height), row_at(number, height + HISTORY - 1)
    for k in range(N_PRICES):
        paid[now, k] = paid[before, k]


@kernel
def recent(paid, chain, number, n_blocks, share):  # type: ignore[no-untyped-def]
    """Return the price that a share of the gas of the last blocks paid at most; 0: none yet.

    `chain.height` is the block that is being built: the last one with a row is before it.
    """
    last = chain.height + HISTORY - 1
    n = min(n_blocks, HISTORY - 2)
    return percentile(paid, row_at(number, last), row_at(number, last - n), share)


@kernel
def block_p60(paid, number, height):  # type: ignore[no-untyped-def]
    """Return the price that 60 % of the gas of a block paid at most; 0: it had none."""
    return percentile(paid, row_at(number, height), row_at(number, height + HISTORY - 1), _SHARE)
