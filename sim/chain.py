"""Chains: block clock, gas limit and the state of the fee market, one record a chain."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sim.draws import uniforms
from sim.kernel import kernel, record_of

CHAIN = np.dtype(
    [
        ("interval", "i8"),  # ticks between blocks, mean
        ("is_random", "i8"),  # 1: exponential intervals
        ("next", "i8"),  # tick of the next block
        ("last", "i8"),  # tick of the last block
        ("height", "i8"),  # blocks built
        ("pending", "i8"),  # orders waiting
        ("gas_limit", "i8"),
        ("gas_used", "i8"),  # of the last block
        ("n_included", "i8"),  # orders in the last block
        ("n_failed", "i8"),  # of them, failed
        ("is_halted", "i8"),  # 1: no blocks are made
        ("is_first_come", "i8"),  # 1: orders go by arrival, 0: by bid
        ("is_protected", "i8"),  # 1: an order that would fail is left out
        ("has_nonces", "i8"),  # 1: orders of one account go in the order of their submission
        ("is_held", "i8"),  # 1: blocks have no limit, the base fee stands still
        ("is_base_fee", "i8"),  # 1: the base fee is burned, 0: it only says what blocks cost now
        ("lifetime", "i8"),  # ticks that an order stays in the mempool at most, 0 = no limit
        ("pool_gas", "i8"),  # gas that the mempool holds at most, 0 = no limit
        ("forced_before", "i8"),  # orders that arrived before this tick go first, by arrival
        ("finality_lag", "i8"),  # ticks that finality takes beyond the usual
        ("demand", "i8"),  # row of the background demand, -1 = none
        ("background_gas", "i8"),  # of the last block
        ("has_paid", "i8"),  # 1: the block at hand has used gas
        ("n_paid", "i8"),  # blocks so far that used gas
        ("low_price", "i8"),  # buckets of gas prices paid so far: from …
        ("high_price", "i8"),  # … up to, inclusive; none: below low_price
        ("native", "i8"),  # token that pays the gas
        ("stream", "i8"),  # of the block clock
        ("bid", "i8"),  # fee market: handler addresses
        ("charge", "i8"),
        ("close", "i8"),
        ("base_fee", "f8"),  # native token per gas
        ("base_fee_floor", "f8"),
        ("target", "f8"),  # gas per block at which the base fee stands still
        ("tips", "f8"),  # native token, earned by producers so far
        ("burned", "f8"),  # native token, base fees so far
        ("excess", "f8"),  # gas beyond the limit so far, where there is none
        ("headroom", "f8"),  # what a plain bid is, over the base fee
        ("replacement", "f8"),  # least raise of a bid, fraction
        (
            "p60",
            "f8",
        ),  # native per gas, 60 % of the gas of the last block paid at most this; 0 = none
    ],
    align=True,
)
chain_at: Any = record_of(CHAIN)

CLOCK = np.dtype([("now", "i8"), ("chain", "i8"), ("height", "i8"), ("spare", "i8")], align=True)
clock_at: Any = record_of(CLOCK)

BLOCK = np.dtype(
    [
        ("time", "i8"),
        ("height", "i8"),
        ("gas_used", "i8"),
        ("pending", "i8"),
        ("background_gas", "i8"),
        ("base_fee", "f8"),
        ("p60", "f8"),
        ("chain", "i4"),
        ("n_included", "i4"),
        ("n_failed", "i4"),
        ("spare", "i4"),
    ],
    align=True,
)


@kernel
def plain_bid(chain):  # type: ignore[no-untyped-def]
    """Return what an order without a tip offers, native per gas: room for the base fee to rise.

    Where the price is what was bid, there is none: the going price.
    """
    return chain.headroom * chain.base_fee


@kernel
def next_interval(chain, seed):  # type: ignore[no-untyped-def]
    """Return the ticks to the next block; a random one is drawn at (chain, height)."""
    if chain.is_random == 0:
        return chain.interval
    u = uniforms(seed, chain.stream, chain.height, 0, 0)[0]
    return max(1, int(-math.log(u) * chain.interval))
