"""Ticks and square-root prices of concentrated liquidity: sqrt_price(tick) = 1.0001^(tick / 2).

Uniswap v3 white paper, section 6.1. The contract keeps square-root prices as multiples of 2^-96 and
rounds those of ticks up. A float64 is finer than that grid only below 2^-43 (tick -596,000), where
the rounding is done here too: the price of the lowest tick is the contract's, 4295128739 / 2^96.

Powers come from two tables of pairs (1.0001^512 and 1.0001^0.5 steps): one product of pairs gives
the float nearest to the contract's price, and no bit depends on the machine's mathematical library.
"""

from __future__ import annotations

import decimal
import math

import numpy as np

from sim.amm.double_double import multiply_pairs
from sim.kernel import kernel

MIN_TICK = -887272
MAX_TICK = 887272
Q96 = 2.0**96

_BITS = 10
_LOW_TICKS = 1 << _BITS
_FIRST_HIGH = MIN_TICK >> _BITS  # -867
_N_HIGH = (MAX_TICK >> _BITS) - _FIRST_HIGH + 1


def _powers(base: decimal.Decimal, first: int, n: int) -> np.ndarray:
    """Return base^first … base^(first + n - 1) as pairs, float64, (n, 2)."""
    value = base**first
    powers = np.zeros((n, 2))
    for i in range(n):
        high = float(value)
        powers[i] = high, float(value - decimal.Decimal(high))
        value *= base
    return powers


with decimal.localcontext() as context:
    context.prec = 60
    _BASE = decimal.Decimal("1.0001").sqrt()
    _LOW = _powers(_BASE, 0, _LOW_TICKS)
    _HIGH = _powers(_BASE**_LOW_TICKS, _FIRST_HIGH, _N_HIGH)
    _TICKS_PER_LOG = float(1 / _BASE.ln())


@kernel
def sqrt_price_at_tick(tick):  # type: ignore[no-untyped-def]
    """Return the square-root price of a tick from MIN_TICK to MAX_TICK.

    Parameters
    ----------
    tick : int

    Returns
    -------
    float64, sqrt(token1 per token0)
    """
    coarse, fine = (tick >> _BITS) - _FIRST_HIGH, tick & (_LOW_TICKS - 1)
    value, _ = multiply_pairs(_HIGH[coarse, 0], _HIGH[coarse, 1], _LOW[fine, 0], _LOW[fine, 1])
    return math.ceil(value * Q96) / Q96 if value < COARSE_SQRT_PRICE else value


@kernel
def tick_at_sqrt_price(sqrt_price):  # type: ignore[no-untyped-def]
    """Return the greatest tick whose square-root price is not above `sqrt_price`.

    The logarithm only guesses; comparing with `sqrt_price_at_tick` decides.

    Parameters
    ----------
    sqrt_price : float64, from MIN_SQRT_PRICE to below MAX_SQRT_PRICE

    Returns
    -------
    int
    """
    tick = math.floor(math.log(sqrt_price) * _TICKS_PER_LOG)
    tick = max(MIN_TICK, min(MAX_TICK - 1, tick))
    while tick > MIN_TICK and sqrt_price_at_tick(tick) > sqrt_price:
        tick -= 1
    while tick < MAX_TICK - 1 and sqrt_price_at_tick(tick + 1) <= sqrt_price:
        tick += 1
    return tick


@kernel
def sqrt_price_limit(zero_for_one):  # type: ignore[no-untyped-def]
    """Return the limit that lets a swap go as far as the contract allows."""
    return LOWEST_LIMIT if zero_for_one else HIGHEST_LIMIT


def max_liquidity_per_tick(tick_spacing: int) -> float:
    """Return the most liquidity that may refer to one tick: 2^128 - 1 over the usable ticks."""
    n_ticks = 2 * (MAX_TICK // tick_spacing) + 1
    return float((2**128 - 1) // n_ticks)


COARSE_SQRT_PRICE = 2.0**-43  # below it a float64 is finer than the grid of 2^-96
MIN_SQRT_PRICE = 4295128739 / Q96
MAX_SQRT_PRICE = 1461446703485210103287273052203988822378723970342 / 2**96
LOWEST_LIMIT = 4295128740 / Q96  # the extreme ticks are never reached
HIGHEST_LIMIT = math.nextafter(MAX_SQRT_PRICE, 0.0)
