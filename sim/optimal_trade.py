"""Best sizes of trades: closed forms for constant product pools, a solver for any pool that quotes.

A chain of constant product pools is a Moebius map, out = A x / (B + C x), and stays one when a pool
is appended. What it gives above what is put in is largest at x* = (sqrt(A B) - B) / C, where it is
(sqrt(A) - sqrt(B))^2 / C; it is positive for some x just when A > B. The differences of roots are
written as quotients, which lose no digits when A is close to B.

Against an outside price the optimum is that of Angeris et al. 2019 (An analysis of Uniswap
markets).

For any other pools the profit of a cycle is found by quotes alone: it is unimodal in the amount,
rising from 0 and falling once the marginal rate is below 1 or a pool refuses. The solver steps down
from the most that can be paid until the profit falls again, then applies Brent's method (1973,
chapter 5) in between.
"""

from __future__ import annotations

import math

from sim.kernel import kernel
from sim.status import Status
from sim.venues import quote

OK = int(Status.OK)

_STEP = 8.0  # between two amounts of the descent
_MOST_STEPS = 24  # 8^-24 of the cap is below rounding
_MOST_QUOTES = 40
_TOLERANCE = 1e-6  # of the amount; the profit is flat there, so it loses some 1e-12 of itself
_WHOLE = 1.0 - 1e-9  # share of an amount that a pool must take; summed steps may round it
_GOLDEN = 0.3819660112501051  # (3 - sqrt 5) / 2


@kernel
def append_pool(a, b, c, reserve_in, reserve_out, fee):  # type: ignore[no-untyped-def]
    """Return (A, B, C) of a chain and one more constant product pool; no pool is (1, 1, 0)."""
    keep = 1.0 - fee
    return keep * reserve_out * a, reserve_in * b, reserve_in * c + keep * a


@kernel
def best_chain_amount(a, b, c, cap):  # type: ignore[no-untyped-def]
    """Return (amount in, profit) that is best on a Moebius chain; zeros where nothing pays.

    Parameters
    ----------
    a, b, c : coefficients of out = a x / (b + c x)
    cap : most that can be paid, units of the first token
    """
    if not (a > b and c > 0.0 and cap > 0.0):
        return 0.0, 0.0
    excess = (a - b) / (math.sqrt(a) + math.sqrt(b))
    best = math.sqrt(b) * excess / c
    if best <= cap:
        return best, excess * excess / c
    return cap, cap * (a - b - c * cap) / (b + c * cap)


@kernel
def best_amount_at_price(reserve0, reserve1, fee, price):  # type: ignore[no-untyped-def]
    """Return (side, amount in, profit) of the best trade of a pool against an outside price.

    Parameters
    ----------
    reserve0, reserve1 : token units
    fee : fraction of the amount in
    price : token 1 per token 0, outside, without cost

    Returns
    -------
    side : the token that the pool is paid, 0 or 1; -1 where the price is inside the fee band
    amount : units of the token paid
    profit : units of token 1, at the outside price
    """
    keep = 1.0 - fee
    worth = price * reserve0
    if keep * worth > reserve1:  # token 0 is cheap here: pay token 1
        excess = (keep * worth - reserve1) / (math.sqrt(keep * worth) + math.sqrt(reserve1))
        return 1, math.sqrt(reserve1) * excess / keep, excess * excess / keep
    if worth < keep * reserve1:  # token 0 is dear here: pay token 0
        excess = (keep * reserve1 - worth) / (math.sqrt(keep * reserve1) + math.sqrt(worth))
        return 0, math.sqrt(worth) * excess / (keep * price), excess * excess / keep
    return -1, 0.0, 0.0


@kernel
def cycle_margin(venues, venue, side, row):  # type: ignore[no-untyped-def]
    """Return what a vanishing amount becomes on a cycle: the product of marginal prices after fees.

    Above 1 some amount makes a profit before gas, and else none does. 0 where a pool has no price.
    """
    margin = 1.0
    for k in range(venue.shape[1]):
        at = venue[row, k]
        if at < 0:
            break
        price = venues.price[at]
        if not price > 0.0:
            return 0.0
        margin *= (1.0 - venues.fee[at]) * (price if side[row, k] == 0 else 1.0 / price)
    return margin


@kernel
def cycle_output(venues, venue, side, row, amount):  # type: ignore[no-untyped-def]
    """Return what comes out of a cycle for an amount; 0 where a pool refuses some of its part."""
    for k in range(venue.shape[1]):
        if venue[row, k] < 0:
            break
        q = quote(venues, venue[row, k], side[row, k], amount, 0.0)
        if q.status != OK or q.amount_in < _WHOLE * amount:
            return 0.0
        amount = q.amount_out
    return amount


@kernel
def _bracket(venues, venue, side, row, cap):  # type: ignore[no-untyped-def]
    """Return (amount, profit, low, high): the best amount of a descent and its two neighbors."""
    high = amount = cap
    profit = cycle_output(venues, venue, side, row, cap) - cap
    low = 0.0
    for _ in range(_MOST_STEPS):
        low = amount / _STEP
        other = cycle_output(venues, venue, side, row, low) - low
        if profit > 0.0 and other <= profit:
            break
        high, amount, profit = amount, low, other
        low = 0.0
    return amount, profit, low, high


@kernel(inline=False)
def best_cycle_amount(venues, venue, side, row, cap):  # type: ignore[no-untyped-def]
    """Return (amount in, profit) that is best on a cycle of pools; zeros where nothing pays.

    Parameters
    ----------
    venues : Venues, whose quotes are asked
    venue, side : int64, (n_cycles, max_length), legs; -1 ends a short cycle
    row : the cycle
    cap : most that can be paid, units of its first token

    Returns
    -------
    amount, profit : units of the first token; the profit is as quoted at that amount, before gas
    """
    if not 0.0 < cap < math.inf:
        return 0.0, 0.0
    x, best, low, high = _bracket(venues, venue, side, row, cap)
    if x == cap:
        near = cap * (1.0 - _TOLERANCE)
        if cycle_output(venues, venue, side, row, near) - near <= best:
            return cap, best  # still rising at the cap
    second = third = x  # amounts of the second best profit, and of the one before it
    second_best = third_best = best
    step = before = 0.0
    for _ in range(_MOST_QUOTES):
        middle = 0.5 * (low + high)
        tolerance = _TOLERANCE * x
        if not abs(x - middle) > 2.0 * tolerance - 0.5 * (high - low):
            break
        r = (x - second) * (best - third_best)
        q = (x - third) * (best - second_best)
        p = (x - third) * q - (x - second) * r
        q = 2.0 * (q - r)
        if q > 0.0:
            p = -p
        q = abs(q)
        is_inside = q * (low - x) < p < q * (high - x)
        if abs(before) > tolerance and is_inside and abs(p) < abs(0.5 * q * before):
            step, before = p / q, step  # the top of the parabola through the three
            if x + step - low < 2.0 * tolerance or high - x - step < 2.0 * tolerance:
                step = math.copysign(tolerance, middle - x)
        else:
            before = (high if x < middle else low) - x
            step = _GOLDEN * before
        tried = x + (step if abs(step) >= tolerance else math.copysign(tolerance, step))
        profit = cycle_output(venues, venue, side, row, tried) - tried
        if profit >= best:
            low, high = (x, high) if tried >= x else (low, x)
            third, third_best, second, second_best = second, second_best, x, best
            x, best = tried, profit
        else:
            low, high = (low, tried) if tried >= x else (tried, high)
            if profit >= second_best or second == x:
                third, third_best, second, second_best = second, second_best, tried, profit
            elif profit >= third_best or third in (x, second):
                third, third_best = tried, profit
    if not best > 0.0:
        return 0.0, 0.0
    return x, best
