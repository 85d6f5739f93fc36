"""Initialized ticks of concentrated liquidity pools, and the fee growth on either side of them.

They lie sorted in their pool's part of one table, between a sentinel at square-root price 0 and one
at infinity; `cursor` is the place of the last one not above the current tick. Each keeps the fee
growth on its far side, seen from the current tick, hence the growth inside a range is

    inside = global - below(lower) - above(upper)

(white paper of Uniswap v3, section 6.3), with the global one left out where it cancels.
"""

from __future__ import annotations

from sim.amm.concentrated_swap import is_tick_reached
from sim.amm.double_double import add_pairs
from sim.amm.tick_math import sqrt_price_at_tick
from sim.kernel import kernel


@kernel
def place_of(pools, row, tick):  # type: ignore[no-untyped-def]
    """Return the place, counted from the low sentinel, of the first tick not below `tick`."""
    pool = pools.pool[row]
    low, high = 1, pool.n_ticks + 1
    while low < high:
        middle = (low + high) // 2
        if pools.tick[pool.first_tick + middle].tick < tick:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def liquidity_gross(pools, row, tick):  # type: ignore[no-untyped-def]
    """Return the liquidity of all positions that end at a tick; above 0 if it is initialized."""
    record = pools.tick[pools.pool[row].first_tick + place_of(pools, row, tick)]
    return record.liquidity_gross if record.tick == tick else 0.0


@kernel
def add_tick(pools, row, tick):  # type: ignore[no-untyped-def]
    """Initialize a tick unless it is; all growth so far counts as below it."""
    pool = pools.pool[row]
    place = pool.first_tick + place_of(pools, row, tick)
    if pools.tick[place].tick == tick:
        return
    for i in range(pool.first_tick + pool.n_ticks + 1, place - 1, -1):
        pools.tick[i + 1] = pools.tick[i]
    pool.n_ticks += 1
    record = pools.tick[place]
    record.tick, record.sqrt_price = tick, sqrt_price_at_tick(tick)
    record.n_positions, record.n_net = 0, 0
    record.liquidity_gross, record.liquidity_gross_low = 0.0, 0.0
    record.liquidity_net, record.liquidity_net_low = 0.0, 0.0
    record.fee_growth_outside0, record.fee_growth_outside0_low = 0.0, 0.0
    record.fee_growth_outside1, record.fee_growth_outside1_low = 0.0, 0.0
    if is_tick_reached(pool, tick, record.sqrt_price):
        pool.cursor += 1
        record.fee_growth_outside0 = pool.fee_growth_global0
        record.fee_growth_outside0_low = pool.fee_growth_global0_low
        record.fee_growth_outside1 = pool.fee_growth_global1
        record.fee_growth_outside1_low = pool.fee_growth_global1_low


@kernel
def remove_tick_if_unused(pools, row, place):  # type: ignore[no-untyped-def]
    """Clear the tick at a place if no position ends there any more."""
    pool = pools.pool[row]
    if pools.tick[pool.first_tick + place].n_positions > 0:
        return
    if place <= pool.cursor:
        pool.cursor -= 1
    for i in range(pool.first_tick + place, pool.first_tick + pool.n_ticks + 1):
        pools.tick[i] = pools.tick[i + 1]
    pool.n_ticks -= 1


@kernel
def change_tick(tick, liquidity, liquidity_low, n, sign):  # type: ignore[no-untyped-def]
    """Add liquidity of `n` more positions to a tick, where they begin (sign 1) or end (-1)."""
    tick.liquidity_gross, tick.liquidity_gross_low = add_pairs(
        tick.liquidity_gross, tick.liquidity_gross_low, liquidity, liquidity_low
    )
    tick.liquidity_net, tick.liquidity_net_low = add_pairs(
        tick.liquidity_net, tick.liquidity_net_low, sign * liquidity, sign * liquidity_low
    )
    tick.n_positions += n
    tick.n_net += sign * n


@kernel
def subtract_sides(  # type: ignore[no-untyped-def]
    whole, whole_low, lower, lower_low, upper, upper_low, place_lower, place_upper, cursor
):
    """Return growth inside a range as a pair, from the global one and those outside its ticks."""
    if place_lower > cursor:  # the price is below the range: outside means above
        return add_pairs(lower, lower_low, -upper, -upper_low)
    if place_upper <= cursor:  # above the range
        return add_pairs(upper, upper_low, -lower, -lower_low)
    inside, inside_low = add_pairs(whole, whole_low, -lower, -lower_low)
    return add_pairs(inside, inside_low, -upper, -upper_low)


@kernel
def fee_growth_inside(pools, row, lower_place, upper_place):  # type: ignore[no-untyped-def]
    """Return the growth of both fees between the ticks at two places: two pairs."""
    pool = pools.pool[row]
    lower = pools.tick[pool.first_tick + lower_place]
    upper = pools.tick[pool.first_tick + upper_place]
    inside0, inside0_low = subtract_sides(
        pool.fee_growth_global0,
        pool.fee_growth_global0_low,
        lower.fee_growth_outside0,
        lower.fee_growth_outside0_low,
        upper.fee_growth_outside0,
        upper.fee_growth_outside0_low,
        lower_place,
        upper_place,
        pool.cursor,
    )
    inside1, inside1_low = subtract_sides(
        pool.fee_growth_global1,
        pool.fee_growth_global1_low,
        lower.fee_growth_outside1,
        lower.fee_growth_outside1_low,
        upper.fee_growth_outside1,
        upper.fee_growth_outside1_low,
        lower_place,
        upper_place,
        pool.cursor,
    )
    return inside0, inside0_low, inside1, inside1_low
