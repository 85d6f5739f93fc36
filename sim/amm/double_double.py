"""Numbers as unevaluated sums of two floats, high + low: 106 bits instead of 53.

A pool adds and takes away liquidity of very different sizes, and tells what a position earned from
differences of ever growing sums. In single floats 10^22 + 10^6 - 10^22 is not 10^6; in pairs it is.
Sums: Knuth's two-sum. Products: Veltkamp's split and Dekker's product (Dekker 1971), because the
interpreted twin has no fused multiply-add and would round differently.
"""

from __future__ import annotations

import numpy as np

from sim.kernel import kernel

_SPLITTER = 134217729.0  # 2^27 + 1


@kernel
def add_pairs(high, low, other_high, other_low):  # type: ignore[no-untyped-def]
    """Return the sum of two pairs as a pair."""
    total = high + other_high
    part = total - high
    error = (high - (total - part)) + (other_high - part)
    error += low + other_low
    result = total + error
    return result, error - (result - total)


@kernel
def add_float(high, low, number):  # type: ignore[no-untyped-def]
    """Return a pair plus a float, not carried over: the true sum is high + low, low may be large.

    Cheaper than `add_pairs` where one sum follows the other; that one carries over at the end.
    """
    total = high + number
    part = total - high
    return total, low + ((high - (total - part)) + (number - part))


@kernel
def multiply_floats(a, b):  # type: ignore[no-untyped-def]
    """Return the exact product of two floats as a pair."""
    product = a * b
    split = _SPLITTER * a
    a_high = split - (split - a)
    a_low = a - a_high
    split = _SPLITTER * b
    b_high = split - (split - b)
    b_low = b - b_high
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


@kernel
def multiply_pairs(high, low, other_high, other_low):  # type: ignore[no-untyped-def]
    """Return the product of two pairs as a pair."""
    product, error = multiply_floats(high, other_high)
    error += high * other_low + low * other_high
    result = product + error
    return result, error - (result - product)


@kernel
def divide_by_pair(numerator, high, low):  # type: ignore[no-untyped-def]
    """Return a float divided by a pair, as a pair."""
    quotient = numerator / high
    product, error = multiply_floats(quotient, high)
    rest = ((numerator - product) - error) - quotient * low
    correction = rest / high
    result = quotient + correction
    return result, correction - (result - quotient)


@kernel
def floor_pair(high, low):  # type: ignore[no-untyped-def]
    """Return the largest whole number not above a pair, as a pair."""
    whole = np.floor(high)
    if whole != high:
        return whole, 0.0
    rest = np.floor(low)
    result = whole + rest
    return result, rest - (result - whole)
