"""Positions in concentrated liquidity pools: mint, burn, collect, and what they earn.

A position earned liquidity * (growth inside its range now - growth at its last change); white paper
of Uniswap v3, section 6.4. What is burned or earned is owed until it is collected.

A tick, the active liquidity and a position are cleared when the last of their users leaves. The
contract keeps an empty position's record; nothing that it does can tell the difference.
"""

from __future__ import annotations

import math

from sim.amm.concentrated_swap import amounts_between, is_tick_reached, round_down, round_up
from sim.amm.double_double import add_pairs, floor_pair, multiply_pairs
from sim.amm.position_index import add_position, find_position, is_position, remove_position
from sim.amm.tick_math import MAX_TICK, MIN_TICK, sqrt_price_at_tick
from sim.amm.tick_table import (
    add_tick,
    change_tick,
    fee_growth_inside,
    liquidity_gross,
    place_of,
    remove_tick_if_unused,
)
from sim.kernel import kernel
from sim.status import Status

OK = int(Status.OK)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
HALTED = int(Status.HALTED)
BAD_RANGE = int(Status.BAD_RANGE)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
NO_POSITION = int(Status.NO_POSITION)
INSUFFICIENT_LIQUIDITY = int(Status.INSUFFICIENT_LIQUIDITY)
CAP = int(Status.CAP)
FULL = int(Status.FULL)


# --- fees ----------------------------------------------------------------------------------------


@kernel
def earned(position, growth, growth_low, last, last_low, quantum):  # type: ignore[no-untyped-def]
    """Return liquidity times the growth since the last change, rounded down."""
    growth, growth_low = add_pairs(growth, growth_low, -last, -last_low)
    fees, fees_low = multiply_pairs(growth, growth_low, position.liquidity, position.liquidity_low)
    if quantum != 0.0:
        fees, fees_low = floor_pair(fees / quantum, fees_low / quantum)
        fees *= quantum
    return max(fees, 0.0)


@kernel
def places_of(pools, row, number):  # type: ignore[no-untyped-def]
    """Return where a position's ticks lie in its pool's table, or would."""
    position = pools.position[number]
    return place_of(pools, row, position.tick_lower), place_of(pools, row, position.tick_upper)


@kernel
def fees_of(pools, row, number, lower, upper):  # type: ignore[no-untyped-def]
    """Return (fee0, fee1) earned since the last change, then the growth inside now: two pairs."""
    quantum, position = pools.pool[row].quantum, pools.position[number]
    inside0, inside0_low, inside1, inside1_low = fee_growth_inside(pools, row, lower, upper)
    last0, last0_low = position.fee_growth_inside0, position.fee_growth_inside0_low
    last1, last1_low = position.fee_growth_inside1, position.fee_growth_inside1_low
    fee0 = earned(position, inside0, inside0_low, last0, last0_low, quantum)
    fee1 = earned(position, inside1, inside1_low, last1, last1_low, quantum)
    return fee0, fee1, inside0, inside0_low, inside1, inside1_low


@kernel
def settle(pools, row, number, lower, upper):  # type: ignore[no-untyped-def]
    """Add the fees earned since the last change to what a position is owed."""
    position = pools.position[number]
    fee0, fee1, inside0, inside0_low, inside1, inside1_low = fees_of(
        pools, row, number, lower, upper
    )
    position.owed0 += fee0
    position.owed1 += fee1
    position.fee_growth_inside0, position.fee_growth_inside0_low = inside0, inside0_low
    position.fee_growth_inside1, position.fee_growth_inside1_low = inside1, inside1_low


@kernel
def uncollected_fees(pools, row, number):  # type: ignore[no-untyped-def]
    """Return (token 0, token 1) that `burn(0)` and `collect` would pay now; changes nothing.

    What was burned and not yet collected is part of it.
    """
    if not is_position(pools, row, number):
        return 0.0, 0.0
    position = pools.position[number]
    if position.liquidity == 0.0:  # its ticks may be gone
        return position.owed0, position.owed1
    lower, upper = places_of(pools, row, number)
    fee0, fee1, _, _, _, _ = fees_of(pools, row, number, lower, upper)
    return position.owed0 + fee0, position.owed1 + fee1


# --- amounts -------------------------------------------------------------------------------------


@kernel
def range_amounts(pools, row, tick_lower, tick_upper, liquidity):  # type: ignore[no-untyped-def]
    """Return the exact (token 0, token 1) of liquidity in a range at the current price."""
    pool = pools.pool[row]
    lower, upper = sqrt_price_at_tick(tick_lower), sqrt_price_at_tick(tick_upper)
    if not is_tick_reached(pool, tick_lower, lower):
        amount0, _ = amounts_between(liquidity, lower, upper)
        return amount0, 0.0
    if is_tick_reached(pool, tick_upper, upper):
        _, amount1 = amounts_between(liquidity, lower, upper)
        return 0.0, amount1
    amount0, _ = amounts_between(liquidity, pool.sqrt_price, upper)
    _, amount1 = amounts_between(liquidity, lower, pool.sqrt_price)
    return amount0, amount1


@kernel
def position_amounts(pools, row, number):  # type: ignore[no-untyped-def]
    """Return the (token 0, token 1) that burning a whole position would give, fees left out."""
    if not is_position(pools, row, number):
        return 0.0, 0.0
    position, quantum = pools.position[number], pools.pool[row].quantum
    amount0, amount1 = range_amounts(
        pools, row, position.tick_lower, position.tick_upper, position.liquidity
    )
    return round_down(amount0, quantum), round_down(amount1, quantum)


@kernel
def liquidity_for_amounts(pools, row, tick_lower, tick_upper, amount0, amount1):  # type: ignore[no-untyped-def]
    """Return the most liquidity that amounts of both tokens pay for in a range now."""
    unit0, unit1 = range_amounts(pools, row, tick_lower, tick_upper, 1.0)
    most0 = amount0 / unit0 if unit0 > 0.0 else math.inf
    most1 = amount1 / unit1 if unit1 > 0.0 else math.inf
    return min(most0, most1)


# --- mint, burn, collect -------------------------------------------------------------------------


@kernel
def check_range(pool, tick_lower, tick_upper):  # type: ignore[no-untyped-def]
    """Return BAD_RANGE for bounds out of order, out of reach or off the spacing, else OK."""
    if not MIN_TICK <= tick_lower < tick_upper <= MAX_TICK:
        return BAD_RANGE
    if tick_lower % pool.tick_spacing != 0 or tick_upper % pool.tick_spacing != 0:
        return BAD_RANGE
    return OK


@kernel
def check_mint(pools, row, tick_lower, tick_upper, liquidity):  # type: ignore[no-untyped-def]
    """Return the status with which a mint would be refused, room for a position aside, or OK."""
    pool = pools.pool[row]
    if liquidity == 0.0:
        return ZERO_AMOUNT
    if not 0.0 < liquidity < math.inf:
        return BAD_AMOUNT
    if pool.sqrt_price == 0.0:
        return HALTED
    if check_range(pool, tick_lower, tick_upper) != OK:
        return BAD_RANGE
    gross_lower = liquidity_gross(pools, row, tick_lower)
    gross_upper = liquidity_gross(pools, row, tick_upper)
    if max(gross_lower, gross_upper) + liquidity > pool.max_liquidity_per_tick:
        return CAP
    n_new = (1 if gross_lower == 0.0 else 0) + (1 if gross_upper == 0.0 else 0)
    return FULL if pool.n_ticks + n_new > pool.n_tick_slots - 2 else OK  # two are sentinels


@kernel
def quote_mint(pools, row, group, account, tick_lower, tick_upper, liquidity):  # type: ignore[no-untyped-def]
    """Return (status, amount0, amount1) of a mint; changes nothing; statuses as in `mint`."""
    status = check_mint(pools, row, tick_lower, tick_upper, liquidity)
    if status == OK and pools.free_position[0] < 0:
        number = find_position(pools, row, group, account, tick_lower, tick_upper)
        status = FULL if number < 0 else OK
    if status != OK:
        return status, 0.0, 0.0
    amount0, amount1 = range_amounts(pools, row, tick_lower, tick_upper, liquidity)
    quantum = pools.pool[row].quantum
    return OK, round_up(amount0, quantum), round_up(amount1, quantum)


@kernel
def change_liquidity(pools, row, number, lower, upper, liquidity, liquidity_low, n):  # type: ignore[no-untyped-def]
    """Add to a settled position, its ticks and the active liquidity; `n` positions more."""
    pool, position = pools.pool[row], pools.position[number]
    position.liquidity, position.liquidity_low = add_pairs(
        position.liquidity, position.liquidity_low, liquidity, liquidity_low
    )
    change_tick(pools.tick[pool.first_tick + lower], liquidity, liquidity_low, n, 1)
    change_tick(pools.tick[pool.first_tick + upper], liquidity, liquidity_low, n, -1)
    if lower <= pool.cursor < upper:
        pool.n_active += n
        pool.liquidity, pool.liquidity_low = add_pairs(
            pool.liquidity, pool.liquidity_low, liquidity, liquidity_low
        )
        if pool.n_active == 0:
            pool.liquidity, pool.liquidity_low = 0.0, 0.0


@kernel
def mint(pools, row, group, account, tick_lower, tick_upper, liquidity):  # type: ignore[no-untyped-def]
    """Add liquidity to a position, new or old.

    Parameters
    ----------
    pools : ConcentratedState
    row : pool
    group, account : owner
    tick_lower, tick_upper : multiples of the pool's spacing
    liquidity : above 0

    Returns
    -------
    status : OK; or, with nothing changed, ZERO_AMOUNT, BAD_AMOUNT, HALTED (pool without a price),
        BAD_RANGE, CAP (more at a tick than allowed) or FULL (the caller makes room and tries again)
    amount0, amount1 : token units that the owner pays
    number : of the position, valid until it is empty and collected; -1 if refused
    """
    status = check_mint(pools, row, tick_lower, tick_upper, liquidity)
    if status != OK:
        return status, 0.0, 0.0, -1
    number = find_position(pools, row, group, account, tick_lower, tick_upper)
    if number < 0:
        if pools.free_position[0] < 0:
            return FULL, 0.0, 0.0, -1
        number = add_position(pools, row, group, account, tick_lower, tick_upper)
    add_tick(pools, row, tick_lower)
    add_tick(pools, row, tick_upper)
    lower, upper = places_of(pools, row, number)
    settle(pools, row, number, lower, upper)
    n = 1 if pools.position[number].liquidity == 0.0 else 0
    change_liquidity(pools, row, number, lower, upper, liquidity, 0.0, n)
    amount0, amount1 = range_amounts(pools, row, tick_lower, tick_upper, liquidity)
    quantum = pools.pool[row].quantum
    return OK, round_up(amount0, quantum), round_up(amount1, quantum), number


@kernel
def burn(pools, row, number, liquidity):  # type: ignore[no-untyped-def]
    """Take liquidity out of a position; what it held is owed from now on, with its fees.

    Parameters
    ----------
    pools : ConcentratedState
    row : pool
    number : of the position; whose it is, the caller has seen
    liquidity : 0 only settles fees; the position's float value is all of it

    Returns
    -------
    status : OK; or, with nothing changed, BAD_AMOUNT, NO_POSITION (none, or an empty one) or
        INSUFFICIENT_LIQUIDITY
    amount0, amount1 : token units added to what is owed, fees left out
    """
    if not 0.0 <= liquidity < math.inf:
        return BAD_AMOUNT, 0.0, 0.0
    if not is_position(pools, row, number) or pools.position[number].liquidity == 0.0:
        return NO_POSITION, 0.0, 0.0
    position, quantum = pools.position[number], pools.pool[row].quantum
    if liquidity > position.liquidity:
        return INSUFFICIENT_LIQUIDITY, 0.0, 0.0
    lower, upper = places_of(pools, row, number)
    settle(pools, row, number, lower, upper)
    if liquidity == 0.0:
        return OK, 0.0, 0.0
    amount0, amount1 = range_amounts(
        pools, row, position.tick_lower, position.tick_upper, liquidity
    )
    amount0, amount1 = round_down(amount0, quantum), round_down(amount1, quantum)
    if liquidity == position.liquidity:
        low = position.liquidity_low
        change_liquidity(pools, row, number, lower, upper, -liquidity, -low, -1)
        position.liquidity, position.liquidity_low = 0.0, 0.0
        remove_tick_if_unused(pools, row, upper)  # first: the lower one moves it
        remove_tick_if_unused(pools, row, lower)
    else:
        change_liquidity(pools, row, number, lower, upper, -liquidity, 0.0, 0)
    position.owed0 += amount0
    position.owed1 += amount1
    if position.liquidity == 0.0 and position.owed0 == 0.0 and position.owed1 == 0.0:
        remove_position(pools, number)
    return OK, amount0, amount1


@kernel
def collect(pools, row, number, max0, max1):  # type: ignore[no-untyped-def]
    """Pay out what a position is owed, up to a most of each token; `burn(0)` settles fees before.

    Returns
    -------
    status : OK, or, with nothing changed, BAD_AMOUNT or NO_POSITION
    amount0, amount1 : token units paid to the owner
    """
    if not (max0 >= 0.0 and max1 >= 0.0):
        return BAD_AMOUNT, 0.0, 0.0
    if not is_position(pools, row, number):
        return NO_POSITION, 0.0, 0.0
    position = pools.position[number]
    amount0, amount1 = min(max0, position.owed0), min(max1, position.owed1)
    position.owed0 -= amount0
    position.owed1 -= amount1
    if position.liquidity == 0.0 and position.owed0 == 0.0 and position.owed1 == 0.0:
        remove_position(pools, number)
    return OK, amount0, amount1
