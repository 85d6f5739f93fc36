"""Swaps in concentrated liquidity pools: from initialized tick to initialized tick.

Between two ticks the pool is a constant product pool with virtual reserves (white paper of Uniswap
v3, sections 6.2 and 6.3), S being the square-root price:

    token 1 moved = L |S' - S|,    token 0 moved = L |1/S' - 1/S| = token 1 moved / (S S')

A step that ends inside a range never subtracts neighboring prices: the amount that drives the price
gives S', and S S' turns it into the other amount.

`quantum` 0 is real numbers. Otherwise each step rounds as the contract does: what the pool receives
up, what it gives down, fees up; and where a word of 256 possible ticks ends, a step ends too.
"""

from __future__ import annotations

import math

import numpy as np

from sim.amm.double_double import add_float, add_pairs, divide_by_pair, floor_pair
from sim.amm.tick_math import (
    COARSE_SQRT_PRICE,
    HIGHEST_LIMIT,
    LOWEST_LIMIT,
    MAX_TICK,
    MIN_TICK,
    Q96,
    sqrt_price_at_tick,
    tick_at_sqrt_price,
)
from sim.kernel import kernel
from sim.status import Status

OK = int(Status.OK)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
PRICE_LIMIT = int(Status.PRICE_LIMIT)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
HALTED = int(Status.HALTED)

PIPS = 1e6  # fees are in millionths
Q128 = 2.0**128  # the contract's fee growth is a multiple of 2^-128
WORD = 256  # possible ticks in a word of the contract's bitmap
RESIDUE = 2.0**-50  # of the amount asked: what rounding may leave of it

# Where the current tick is when the price is exactly the price of a tick t.
AT = 0  # t
BELOW = 1  # t - 1: a swap came down to t and crossed it
BELOW_AT_WORD_END = 2  # t - 1 if t ends a word of the bitmap, else t: it came down to its limit


# --- rounding and amounts ------------------------------------------------------------------------


@kernel
def round_up(amount, quantum):  # type: ignore[no-untyped-def]
    """Return the least multiple of `quantum` not below `amount`; `amount` itself for 0."""
    return amount if quantum == 0.0 else np.ceil(amount / quantum) * quantum


@kernel
def round_down(amount, quantum):  # type: ignore[no-untyped-def]
    """Return the largest multiple of `quantum` not above `amount`; `amount` itself for 0."""
    return amount if quantum == 0.0 else np.floor(amount / quantum) * quantum


@kernel
def amounts_between(liquidity, lower, upper):  # type: ignore[no-untyped-def]
    """Return the (token 0, token 1) that liquidity holds between two square-root prices."""
    amount1 = liquidity * (upper - lower)
    return amount1 / (lower * upper), amount1


# --- the current tick ----------------------------------------------------------------------------


@kernel
def tick_of(pools, row):  # type: ignore[no-untyped-def]
    """Return the current tick of a pool, as the contract's slot0 tells it."""
    pool = pools.pool[row]
    tick = tick_at_sqrt_price(pool.sqrt_price)
    return tick if is_tick_reached(pool, tick, sqrt_price_at_tick(tick)) else tick - 1


@kernel
def is_tick_reached(pool, tick, sqrt_price):  # type: ignore[no-untyped-def]
    """Return whether a tick, with its square-root price, is not above the current tick."""
    if sqrt_price != pool.sqrt_price:
        return sqrt_price < pool.sqrt_price
    if pool.standing == BELOW_AT_WORD_END:
        return tick % (WORD * pool.tick_spacing) != 0
    return pool.standing == AT


@kernel
def word_end(tick, tick_spacing, zero_for_one):  # type: ignore[no-untyped-def]
    """Return the last possible tick of the bitmap word in which the next one is sought."""
    width = WORD * tick_spacing
    if zero_for_one:
        return max(MIN_TICK, tick // width * width)
    start = tick // tick_spacing * tick_spacing + tick_spacing
    return min(MAX_TICK, start // width * width + width - tick_spacing)


# --- one step ------------------------------------------------------------------------------------


@kernel
def drive_price(price, target, liquidity, amount, zero_for_one, exact_in, quantum):  # type: ignore[no-untyped-def]
    """Return (square-root price, other amount) after `amount` in or out, short of `target`."""
    in_token0 = exact_in == zero_for_one
    if in_token0:
        moved = amount * price if exact_in else -amount * price
        after = price * (liquidity / (liquidity + moved))  # nothing in: not an ulp moves
    else:
        moved = amount / liquidity
        after = price + (moved if exact_in else -moved)
    if quantum != 0.0 and price < 1.0:
        after = np.ceil(after * Q96) / Q96 if in_token0 else np.floor(after * Q96) / Q96
    after = max(after, target) if zero_for_one else min(after, target)
    product = price * after
    return after, amount * product if in_token0 else amount / product


@kernel
def budget_after_fee(pool, budget, quantum):  # type: ignore[no-untyped-def]
    """Return what is left of an amount after its fee."""
    if quantum == 0.0:
        return budget * (1.0 - pool.fee)
    return round_down(budget * (PIPS - pool.fee_pips) / PIPS, quantum)


@kernel
def fee_on(pool, amount_in, quantum):  # type: ignore[no-untyped-def]
    """Return the fee on top of an amount."""
    return round_up(amount_in * pool.fee_pips / (PIPS - pool.fee_pips), quantum)


@kernel
def swap_step(pool, price, target, liquidity, budget, exact_in, zero_for_one, quantum):  # type: ignore[no-untyped-def]
    """Swap at constant liquidity up to a target price, as far as the budget goes.

    Parameters
    ----------
    price, target : square-root prices
    budget : what may still come in with its fee (exact_in) or has still to come out

    Returns
    -------
    is_target : the budget reaches the target
    price : square-root price afterwards
    amount_in, amount_out, fee : token units, fee not part of amount_in
    """
    net = budget_after_fee(pool, budget, quantum) if exact_in else budget
    lower, upper = (target, price) if zero_for_one else (price, target)
    amount0, amount1 = amounts_between(liquidity, lower, upper)
    amount_in, amount_out = (amount0, amount1) if zero_for_one else (amount1, amount0)
    amount_in, amount_out = round_up(amount_in, quantum), round_down(amount_out, quantum)
    if net >= (amount_in if exact_in else amount_out):
        fee = fee_on(pool, amount_in, quantum)
        return True, target, amount_in, amount_out, fee
    after, other = drive_price(price, target, liquidity, net, zero_for_one, exact_in, quantum)
    amount_in, amount_out = (net, other) if exact_in else (other, net)
    if quantum != 0.0 and upper < COARSE_SQRT_PRICE:  # differences are exact there; rounding shows
        lower, upper = (after, price) if zero_for_one else (price, after)
        amount0, amount1 = amounts_between(liquidity, lower, upper)
        amount_in = amount0 if zero_for_one else amount1
        amount_out = min(amount1 if zero_for_one else amount0, amount_out)
    amount_in, amount_out = round_up(amount_in, quantum), round_down(amount_out, quantum)
    fee = budget - amount_in if exact_in else fee_on(pool, amount_in, quantum)
    return False, after, amount_in, amount_out, fee


@kernel
def growth_of(fee, high, low, quantum):  # type: ignore[no-untyped-def]
    """Return the fee per unit of liquidity as a pair, on the contract's grid where it rounds."""
    if quantum == 0.0:
        return fee / (high + low), 0.0
    high, low = add_pairs(high, 0.0, low, 0.0)
    growth, growth_low = divide_by_pair(fee, high, low)
    growth, growth_low = floor_pair(growth * Q128, growth_low * Q128)
    return growth / Q128, growth_low / Q128


@kernel
def cross_tick(tick, growth0, growth0_low, growth1, growth1_low):  # type: ignore[no-untyped-def]
    """Turn the fee growth outside of a tick over to its other side."""
    tick.fee_growth_outside0, tick.fee_growth_outside0_low = add_pairs(
        growth0, growth0_low, -tick.fee_growth_outside0, -tick.fee_growth_outside0_low
    )
    tick.fee_growth_outside1, tick.fee_growth_outside1_low = add_pairs(
        growth1, growth1_low, -tick.fee_growth_outside1, -tick.fee_growth_outside1_low
    )


# --- whole swaps ---------------------------------------------------------------------------------


@kernel
def check_swap(pool, zero_for_one, amount, limit):  # type: ignore[no-untyped-def]
    """Return the status with which the contract would refuse, or OK."""
    if amount == 0.0:
        return ZERO_AMOUNT
    if math.isnan(amount):
        return BAD_AMOUNT
    if pool.sqrt_price == 0.0:
        return HALTED
    if zero_for_one:
        return OK if LOWEST_LIMIT <= limit < pool.sqrt_price else PRICE_LIMIT
    return OK if pool.sqrt_price < limit <= HIGHEST_LIMIT else PRICE_LIMIT


@kernel
def walk(pools, row, zero_for_one, amount, limit, quantum, commit):  # type: ignore[no-untyped-def]
    """Swap step by step; write the outcome only if `commit`; see `quote_swap` for the rest."""
    pool = pools.pool[row]
    exact_in = amount > 0.0
    remaining = abs(amount)
    residue = RESIDUE * remaining if remaining < math.inf else 0.0
    price, high, low = pool.sqrt_price, pool.liquidity, pool.liquidity_low
    growth0, growth0_low = pool.fee_growth_global0, pool.fee_growth_global0_low
    growth1, growth1_low = pool.fee_growth_global1, pool.fee_growth_global1_low
    protocol = pool.fee_protocol0 if zero_for_one else pool.fee_protocol1
    cursor, n_active, standing = pool.cursor, pool.n_active, pool.standing
    tick = tick_of(pools, row) if quantum != 0.0 else 0
    paid, taken, fees, kept, n_crossed = 0.0, 0.0, 0.0, 0.0, 0
    is_done = False
    while price != limit:
        liquidity = high + low
        following = pools.tick[pool.first_tick + (cursor if zero_for_one else cursor + 1)]
        next_price, is_initialized = following.sqrt_price, True
        if quantum != 0.0:
            end = word_end(tick, pool.tick_spacing, zero_for_one)
            is_initialized = following.tick >= end if zero_for_one else following.tick <= end
            if is_initialized or liquidity == 0.0:  # nothing rounds without liquidity
                tick, is_initialized = following.tick, True
            else:
                tick, next_price = end, sqrt_price_at_tick(end)
        target = max(next_price, limit) if zero_for_one else min(next_price, limit)
        start = price
        is_target, price, amount_in, amount_out, fee = swap_step(
            pool, price, target, liquidity, remaining, exact_in, zero_for_one, quantum
        )
        paid, taken, fees = paid + (amount_in + fee), taken + amount_out, fees + fee
        remaining -= amount_in + fee if exact_in else amount_out
        if commit and fee > 0.0:
            share = round_down(fee / protocol, quantum) if protocol > 0 else 0.0
            kept += share
            growth, growth_low = growth_of(fee - share, high, low, quantum)
            if zero_for_one:
                growth0, growth0_low = add_float(growth0, growth0_low + growth_low, growth)
            else:
                growth1, growth1_low = add_float(growth1, growth1_low + growth_low, growth)
        if price == next_price:
            standing = BELOW if zero_for_one else AT
            tick = tick - 1 if zero_for_one else tick
            if is_initialized:
                n_crossed += 1
                if commit:
                    cross_tick(following, growth0, growth0_low, growth1, growth1_low)
                sign = -1 if zero_for_one else 1
                cursor += sign
                n_active += sign * following.n_net
                high, low = add_float(
                    high, low + sign * following.liquidity_net_low, sign * following.liquidity_net
                )
                if n_active == 0:
                    high, low = 0.0, 0.0
        elif price != start:
            standing = BELOW_AT_WORD_END if zero_for_one and price == limit else AT
        if not is_target or remaining <= residue:
            is_done = True
            break
    if commit:
        pool.sqrt_price, pool.standing = price, standing
        pool.fee_growth_global0, pool.fee_growth_global0_low = growth0, growth0_low
        pool.fee_growth_global1, pool.fee_growth_global1_low = growth1, growth1_low
        if n_crossed > 0:
            pool.cursor, pool.n_active = cursor, n_active
            pool.liquidity, pool.liquidity_low = add_pairs(high, 0.0, low, 0.0)
        if zero_for_one:
            pool.protocol_fees0 += kept
        else:
            pool.protocol_fees1 += kept
    if is_done:
        paid, taken = (amount, taken) if exact_in else (paid, -amount)
    return OK, paid, taken, fees, price, n_crossed


@kernel
def quote_swap(pools, row, zero_for_one, amount, limit):  # type: ignore[no-untyped-def]
    """Return what a swap would do; changes nothing.

    Parameters
    ----------
    pools : ConcentratedState
    row : pool
    zero_for_one : bool, token 0 is paid and the price falls
    amount : token units; above 0 the most to pay, fee included, below 0 minus what is to come out;
        inf with a limit swaps to that price
    limit : square-root price at which to stop; `sqrt_price_limit(zero_for_one)` for none

    Returns
    -------
    status : OK also if the limit stops the swap before the whole amount is done;
        ZERO_AMOUNT, BAD_AMOUNT, HALTED (pool without a price) or PRICE_LIMIT
    amount_in, amount_out : token units, 0 or more, fee part of amount_in
    fee_paid : token units, the protocol's share included
    sqrt_price_after : float
    n_crossed : initialized ticks crossed
    """
    pool = pools.pool[row]
    status = check_swap(pool, zero_for_one, amount, limit)
    if status != OK:
        return status, 0.0, 0.0, 0.0, pool.sqrt_price, 0
    if pool.quantum == 0.0:  # a constant argument: the compiler drops every branch on it
        return walk(pools, row, zero_for_one, amount, limit, 0.0, False)
    return walk(pools, row, zero_for_one, amount, limit, pool.quantum, False)


@kernel
def execute_swap(pools, row, zero_for_one, amount, limit):  # type: ignore[no-untyped-def]
    """Swap; arguments and results as in `quote_swap`, which it equals bit by bit."""
    pool = pools.pool[row]
    status = check_swap(pool, zero_for_one, amount, limit)
    if status != OK:
        return status, 0.0, 0.0, 0.0, pool.sqrt_price, 0
    if pool.quantum == 0.0:
        return walk(pools, row, zero_for_one, amount, limit, 0.0, True)
    return walk(pools, row, zero_for_one, amount, limit, pool.quantum, True)
