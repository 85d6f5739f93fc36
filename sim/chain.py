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
        ("height", "i8"),  # blocks built
        ("pending", "i8"),  # orders waiting
        ("gas_limit", "i8"),
        ("gas_used", "i8"),  # of the last block
        ("n_included", "i8"),  # orders in the last block
        ("n_failed", "i8"),  # of them, failed
        ("is_halted", "i8"),  # 1: no blocks are made
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
        ("base_fee", "f8"),
        ("chain", "i4"),
        ("n_included", "i4"),
        ("n_failed", "i4"),
        ("spare", "i4"),
    ],
    align=True,
)


@kernel
def next_interval(chain, seed):  # type: ignore[no-untyped-def]
    """Return the ticks to the next block; a random one is drawn at (chain, height)."""
    if chain.is_random == 0:
        return chain.interval
    u = uniforms(seed, chain.stream, chain.height, 0, 0)[0]
    return max(1, int(-math.log(u) * chain.interval))
