"""State of all concentrated liquidity pools: pools, initialized ticks, positions.

The ticks of a pool are a run of rows of one table, the positions of all pools share another. Tables
grow only here, in Python: a kernel that finds no room answers FULL before it changes anything, and
whoever bound the state grows it, binds it again and tries once more.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.amm.position_index import enter_number
from sim.amm.tick_math import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    max_liquidity_per_tick,
)
from sim.errors import InputError, RefusedError
from sim.kernel import I8, bind, columnar, kernel, records, view_of

if TYPE_CHECKING:
    from collections.abc import Sequence

POOL = np.dtype(
    [
        ("sqrt_price", "f8"),  # sqrt(token 1 per token 0); 0 = not initialized
        ("liquidity", "f8"),  # active at the current tick …
        ("liquidity_low", "f8"),  # … and what a float cannot hold of it
        ("fee_growth_global0", "f8"),  # token units per unit of liquidity; add the low part,
        ("fee_growth_global0_low", "f8"),  # which is not carried over
        ("fee_growth_global1", "f8"),
        ("fee_growth_global1_low", "f8"),
        ("protocol_fees0", "f8"),  # token units, not yet collected
        ("protocol_fees1", "f8"),
        ("fee", "f8"),  # fraction of the amount in …
        ("fee_pips", "f8"),  # … and in millionths
        ("quantum", "f8"),  # 0 = real numbers
        ("max_liquidity_per_tick", "f8"),
        ("first_tick", "i8"),  # row of the low sentinel in the table of ticks
        ("n_tick_slots", "i8"),  # rows of this pool there, both sentinels included
        ("n_ticks", "i8"),  # initialized ticks
        ("cursor", "i8"),  # place, from the low sentinel, of the last tick not above the current
        ("n_active", "i8"),  # positions in range
        ("standing", "i8"),  # on which side of the tick an exactly met price lies
        ("tick_spacing", "i8"),
        ("fee_protocol0", "i8"),  # the protocol takes 1 / this of the fees; 0 = nothing
        ("fee_protocol1", "i8"),
    ],
    align=True,
)

TICK = np.dtype(
    [
        ("sqrt_price", "f8"),
        ("liquidity_net", "f8"),  # becomes active when the price rises across the tick
        ("liquidity_net_low", "f8"),
        ("fee_growth_outside0", "f8"),
        ("fee_growth_outside0_low", "f8"),
        ("fee_growth_outside1", "f8"),
        ("fee_growth_outside1_low", "f8"),
        ("tick", "i8"),
        ("n_net", "i8"),  # positions that begin here minus those that end
        ("liquidity_gross", "f8"),
        ("liquidity_gross_low", "f8"),
        ("n_positions", "i8"),  # that begin or end here
    ],
    align=True,
)

POSITION = np.dtype(
    [
        ("liquidity", "f8"),
        ("liquidity_low", "f8"),
        ("fee_growth_inside0", "f8"),  # at the last change
        ("fee_growth_inside0_low", "f8"),
        ("fee_growth_inside1", "f8"),
        ("fee_growth_inside1_low", "f8"),
        ("owed0", "f8"),  # token units
        ("owed1", "f8"),
        ("account", "i8"),
        ("group", "i8"),
        ("pool", "i8"),  # -1 = free
        ("tick_lower", "i8"),
        ("tick_upper", "i8"),
        ("next_free", "i8"),
    ],
    align=True,
)


@columnar
class ConcentratedState(NamedTuple):
    """All concentrated liquidity pools with their ticks and positions."""

    pool: records(POOL)  # type: ignore[valid-type]  # (n_pools,)
    tick: records(TICK)  # type: ignore[valid-type]  # (all pools' slots,), sorted within a pool
    position: records(POSITION)  # type: ignore[valid-type]  # (n_position_slots,)
    position_index: I8  # int64, (power of 2,), -1 or a row of `position`
    free_position: I8  # int64, (1,), first row of the chain of free ones


class PoolTerms(NamedTuple):
    """What a pool is created with."""

    fee: float  # fraction of the amount in
    tick_spacing: int
    sqrt_price: float  # sqrt(token 1 per token 0)
    fee_protocol: tuple[int, int] = (0, 0)
    quantum: float = 0.0  # 0 = real numbers


def _table(dtype: np.dtype[Any], n: int) -> np.ndarray:
    return np.zeros(n, np.dtype((np.record, dtype)))


def _check_terms(terms: PoolTerms) -> None:
    """Raise what the factory and the pool would refuse."""
    if not 0.0 <= terms.fee < 1.0:
        raise InputError(f"fee ({terms.fee}) must be a fraction from 0 to below 1, such as 0.003")
    if not (isinstance(terms.tick_spacing, int | np.integer) and 0 < terms.tick_spacing < 16384):
        raise InputError(
            f"tick_spacing ({terms.tick_spacing}) must be a whole number from 1 to 16383"
        )
    if not MIN_SQRT_PRICE <= terms.sqrt_price < MAX_SQRT_PRICE:
        raise RefusedError(
            f"sqrt_price ({terms.sqrt_price}) must be from {MIN_SQRT_PRICE:.6g} to below "
            f"{MAX_SQRT_PRICE:.6g}, the prices of ticks {MIN_TICK} and {MAX_TICK}"
        )
    for share in terms.fee_protocol:
        if share != 0 and not 4 <= share <= 10:
            raise RefusedError(
                f"fee_protocol {terms.fee_protocol} must hold 0 (nothing) or whole numbers from 4 "
                "to 10 (one n-th of the fees) for token 0 and token 1"
            )
    if not 0.0 <= terms.quantum < math.inf:
        raise InputError(f"quantum ({terms.quantum}) must be above 0, or None for real numbers")


def make(
    pools: Sequence[PoolTerms], n_tick_slots: int = 64, n_positions: int = 64
) -> ConcentratedState:
    """Return the state of pools at their first prices, without positions.

    Parameters
    ----------
    pools : one row each
    n_tick_slots : per pool, two of them sentinels
    n_positions : of all pools together

    Raises
    ------
    InputError, RefusedError
        A pool could not be created with these terms.
    """
    state = ConcentratedState(
        _table(POOL, len(pools)),
        _table(TICK, len(pools) * n_tick_slots),
        _table(POSITION, 0),
        np.full(1, -1, np.int64),
        np.full(1, -1, np.int64),
    )
    for row, terms in enumerate(pools):
        _check_terms(terms)
        pool = state.pool[row]
        pool.sqrt_price, pool.quantum = terms.sqrt_price, terms.quantum
        pool.fee, pips = terms.fee, terms.fee * 1e6
        pool.fee_pips = round(pips) if abs(pips - round(pips)) < 1e-6 else pips
        pool.tick_spacing = terms.tick_spacing
        pool.max_liquidity_per_tick = max_liquidity_per_tick(int(terms.tick_spacing))
        pool.fee_protocol0, pool.fee_protocol1 = terms.fee_protocol
        pool.first_tick, pool.n_tick_slots = row * n_tick_slots, n_tick_slots
        low, high = state.tick[pool.first_tick], state.tick[pool.first_tick + 1]
        low.tick, low.sqrt_price = MIN_TICK - 1, 0.0
        high.tick, high.sqrt_price = MAX_TICK + 1, math.inf
    return _with_positions(state, n_positions)


def _with_positions(state: ConcentratedState, n_positions: int) -> ConcentratedState:
    """Return a state with more rows for positions and a new index of them."""
    n_old = len(state.position)
    position = _table(POSITION, n_positions)
    position[:n_old] = state.position
    position["pool"][n_old:] = -1
    position["next_free"][n_old:] = np.arange(n_old + 1, n_positions + 1)
    position["next_free"][-1] = state.free_position[0]
    index = np.full(1 << (2 * n_positions - 1).bit_length(), -1, np.int64)
    free = np.array([n_old], np.int64)
    made = ConcentratedState(state.pool, state.tick, position, index, free)
    _fill_index(bind(made).ctypes.data)
    return made


@kernel(inline=False)
def _fill_index(binding):  # type: ignore[no-untyped-def]
    """Enter every position into an empty index."""
    (pools,) = _unpack(binding)
    for number in range(pools.position.shape[0]):
        if pools.position[number].pool >= 0:
            enter_number(pools, number)


_unpack = view_of(ConcentratedState)


def _with_ticks(state: ConcentratedState, n_tick_slots: int) -> ConcentratedState:
    """Return a state with `n_tick_slots` for ticks in each pool."""
    tick = _table(TICK, len(state.pool) * n_tick_slots)
    for row in range(len(state.pool)):
        pool = state.pool[row]
        used = state.tick[pool.first_tick : pool.first_tick + pool.n_ticks + 2]
        pool.first_tick, pool.n_tick_slots = row * n_tick_slots, n_tick_slots
        tick[pool.first_tick : pool.first_tick + len(used)] = used
    return state._replace(tick=tick)


def grow(state: ConcentratedState) -> ConcentratedState:
    """Return a state in which every table that is nearly full has twice the room.

    Whoever bound the old one binds the result. After it, a mint that was FULL finds room.
    """
    if state.free_position[0] < 0:
        state = _with_positions(state, 2 * max(len(state.position), 1))
    slots = int(state.pool["n_tick_slots"].max(initial=0))
    if (state.pool["n_ticks"] + 4 > state.pool["n_tick_slots"]).any():
        state = _with_ticks(state, 2 * max(slots, 4))
    return state
