"""Stableswap (Egorov 2019): an invariant between constant sum and constant product.

    A n S + D = A n D + D^(n+1) / (n^n P),   S = sum x_k,  P = product x_k,  x_k = rate_k reserve_k

The amplification is the contracts' number: they multiply A by n where the paper has A n^n, so that
the A here is the paper's times n^(n-1). With E = S - D + D / (A n) everything but D has a closed
form: the marginal price of token i in j is

    ((x_i + E) / x_i) / ((x_j + E) / x_j)

and what a payment of dx gives is the root of a quadratic in the change itself,

    dy^2 - (y + E + dx) dy + dx y (1 + E / (x + dx)) = 0

so that small trades keep all their digits. D is found by Newton's method, as in the contract.

Fees are those of the contracts with an off-peg multiplier m: a fee f becomes
m f / ((m - 1) 4 x_i x_j / (x_i + x_j)^2 + 1), which is f in balance and rises to m f; adding and
removing out of proportion pays f n / (4 (n - 1)) on the difference from proportion. With a quantum,
amounts are whole units and what the contract takes off by one, to be safe, is taken off.
"""

from __future__ import annotations

import math

import numpy as np

from sim.amm.concentrated_swap import round_down
from sim.kernel import kernel

_MOST_STEPS = 255  # of Newton's method, as in the contract
_EPSILON = 2.0**-52
_BISECTIONS = 200
_POLISH = 2  # steps of Newton's method by which a difference gets its digits
_FEE_UNITS = 1e10
_NEARLY = 1e-4  # of a unit, below which a fee is the whole number above
_EXACT = 1e-14  # of an amount, at which the search for a price ends


@kernel
def invariant_of(reserves, rates, n, ann):  # type: ignore[no-untyped-def]
    """Return D; `ann` is the contract's A times n."""
    total = 0.0
    for k in range(n):
        total += reserves[k] * rates[k]
    d = total
    if not total > 0.0:
        return 0.0
    for _ in range(_MOST_STEPS):
        power = d
        for k in range(n):
            power *= d / (n * reserves[k] * rates[k])
        before = d
        d *= (ann * total + n * power) / ((ann - 1.0) * d + (n + 1) * power)
        if abs(d - before) <= _EPSILON * d:
            break
    return d


@kernel
def excess_of(reserves, rates, n, ann, d):  # type: ignore[no-untyped-def]
    """Return E = S - D + D / (A n)."""
    total = 0.0
    for k in range(n):
        total += reserves[k] * rates[k]
    return total - d + d / ann


@kernel
def balance_for(reserves, rates, n, ann, d, j):  # type: ignore[no-untyped-def]
    """Return x_j for which D is `d` beside the other reserves, times its rate."""
    total, c = 0.0, d
    for k in range(n):
        if k != j:
            x = reserves[k] * rates[k]
            total += x
            c *= d / (n * x)
    c *= d / (n * ann)
    b = total + d / ann - d
    root = math.sqrt(b * b + 4.0 * c)
    return 2.0 * c / (b + root) if b > 0.0 else 0.5 * (root - b)


@kernel
def given_for(x, y, excess, paid):  # type: ignore[no-untyped-def]
    """Return by how much y falls when x rises by `paid`, D kept."""
    b = y + excess + paid
    q = paid * y * (1.0 + excess / (x + paid))
    return 2.0 * q / (b + math.sqrt(max(b * b - 4.0 * q, 0.0)))


@kernel
def paid_for(x, y, excess, given):  # type: ignore[no-untyped-def]
    """Return by how much x must rise for y to fall by `given` (below y), D kept."""
    b = x + excess - given
    q = given * x * (1.0 + excess / (y - given))
    root = math.sqrt(b * b + 4.0 * q)
    return 2.0 * q / (b + root) if b > 0.0 else 0.5 * (root - b)


@kernel
def marginal_price(x, y, excess):  # type: ignore[no-untyped-def]
    """Return the fall of y per rise of x, for a vanishing one."""
    return (1.0 + excess / x) / (1.0 + excess / y)


@kernel
def price_after(x, y, excess, paid):  # type: ignore[no-untyped-def]
    """Return the marginal price once x has risen by `paid`."""
    given = given_for(x, y, excess, paid)
    return marginal_price(x + paid, y - given, excess + paid - given)


@kernel
def paid_to_price(x, y, excess, price):  # type: ignore[no-untyped-def]
    """Return by how much x must rise until the marginal price is `price`; 0: it is there."""
    if not marginal_price(x, y, excess) > price:
        return 0.0
    low, high = 0.0, x + y
    while high < 1e30 * (x + y) and price_after(x, y, excess, high) > price:
        low, high = high, 8.0 * high
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high) if low > 0.1 * high else 0.2 * high
        if high - low <= _EXACT * high:
            break
        if price_after(x, y, excess, middle) > price:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


# --- fees ----------------------------------------------------------------------------------------


@kernel
def dynamic_fee(fee, multiplier, x, y):  # type: ignore[no-untyped-def]
    """Return the fee between two balances: `fee` where they are equal, more off the peg."""
    if multiplier <= 1.0:
        return fee
    evenness = 4.0 * x * y / ((x + y) * (x + y))
    return multiplier * fee / ((multiplier - 1.0) * evenness + 1.0)


@kernel
def whole_fee(fee, quantum):  # type: ignore[no-untyped-def]
    """Return a fee in whole parts of 10^10, down, as the contract has it; itself for 0."""
    return fee if quantum == 0.0 else np.floor(fee * _FEE_UNITS + _NEARLY) / _FEE_UNITS


@kernel
def imbalance_fee(fee, n):  # type: ignore[no-untyped-def]
    """Return the fee on what differs from proportion."""
    return fee * n / (4.0 * (n - 1.0))


@kernel
def swap_out(x, y, rate_out, excess, paid, fee, multiplier, quantum):  # type: ignore[no-untyped-def]
    """Return (amount out, fee in units of the token out, share that is) for x rising by `paid`."""
    given = given_for(x, y, excess, paid)
    share = dynamic_fee(fee, multiplier, x + 0.5 * paid, y - 0.5 * given)
    share = whole_fee(share, quantum)
    if quantum > 0.0:
        given = max(np.floor(given) - 1.0, 0.0)
    charge = round_down(given * share, 1.0 if quantum > 0.0 else 0.0)
    out = round_down((given - charge) / rate_out, quantum)
    return out, charge / rate_out, share


@kernel
def swap_in(x, y, excess, wanted, fee, multiplier):  # type: ignore[no-untyped-def]
    """Return (rise of x, fee in y, share that is) for y to give `wanted` after the fee; -1: cannot.

    The fee depends on where the swap ends: found by repetition, which gains a digit or more each
    time as it moves the fee by less than the fee.
    """
    share, paid, given = fee, 0.0, wanted
    for _ in range(60):
        given = wanted / (1.0 - share)
        if not given < y:
            return -1.0, 0.0, 0.0
        paid = paid_for(x, y, excess, given)
        other = dynamic_fee(fee, multiplier, x + 0.5 * paid, y - 0.5 * given)
        if abs(other - share) <= _EPSILON * share:
            break
        share = other
    return paid, given - wanted, share


# --- liquidity -----------------------------------------------------------------------------------


@kernel
def misfit(reserves, rates, change, n, ann, d, rise):  # type: ignore[no-untyped-def]
    """Return (how far D + rise is from that of the changed reserves, its slope in the rise).

    The invariant is A n S - (A n - 1) D = K with K = D^(n+1) / (n^n P). Differences are taken by
    logarithms, which keep the digits of small changes.
    """
    total, power, log_power = 0.0, d, (n + 1) * math.log1p(rise / d)
    for k in range(n):
        total += change[k] * rates[k]
        power *= d / (n * reserves[k] * rates[k])
        log_power -= math.log1p(change[k] / reserves[k])
    slope = -(ann - 1.0) - power * math.exp(log_power) * (n + 1) / (d + rise)
    return ann * total - (ann - 1.0) * rise - power * math.expm1(log_power), slope


@kernel
def invariant_rise(reserves, rates, change, n, ann, d, after):  # type: ignore[no-untyped-def]
    """Return by how much D rises, from `d`, when the reserves change; `after` is written over."""
    for k in range(n):
        after[k] = reserves[k] + change[k]
    rise = invariant_of(after, rates, n, ann) - d
    for _ in range(_POLISH):
        miss, slope = misfit(reserves, rates, change, n, ann, d, rise)
        rise -= miss / slope
    return rise


@kernel
def balance_rise(reserves, rates, change, n, ann, d, rise, j, after):  # type: ignore[no-untyped-def]
    """Write to `change` by how much token j must change for D to rise so, beside other changes."""
    change[j] = 0.0
    for k in range(n):
        after[k] = reserves[k] + change[k]
    change[j] = balance_for(after, rates, n, ann, d + rise, j) / rates[j] - reserves[j]
    for _ in range(_POLISH):
        miss, slope = misfit(reserves, rates, change, n, ann, d, rise)
        left = -(slope + ann - 1.0) * (d + rise) / (n + 1)  # D^(n+1) / (n^n P) after it
        change[j] -= miss / (rates[j] * ann + left / (reserves[j] + change[j]))


@kernel
def change_shares(reserves, rates, change, n, ann, supply, fee, multiplier, fees, after, quantum):  # type: ignore[no-untyped-def]
    """Return the shares that a change of all reserves is worth, below 0: costs.

    `fees` gets the fee on each token, `change` becomes the change without them, and `after` is
    written over.
    """
    d = invariant_of(reserves, rates, n, ann)
    rise = invariant_rise(reserves, rates, change, n, ann, d, after)
    base, middle = whole_fee(imbalance_fee(fee, n), quantum), (2.0 * d + rise) / n
    for k in range(n):
        both = rates[k] * (2.0 * reserves[k] + change[k])
        share = whole_fee(dynamic_fee(base, multiplier, both, middle), quantum)
        fees[k] = round_down(share * abs(reserves[k] * (rise / d) - change[k]), quantum)
        change[k] -= fees[k]
    shares = supply * (invariant_rise(reserves, rates, change, n, ann, d, after) / d)
    if quantum > 0.0:
        return np.floor(shares) if shares > 0.0 else np.floor(shares) - 1.0
    return shares


@kernel
def amount_of_shares(reserves, rates, n, ann, j, part, fee, multiplier, change, after, quantum):  # type: ignore[no-untyped-def]
    """Return (amount, fee) of one token for a part of all shares; the rows are written over."""
    d = invariant_of(reserves, rates, n, ann)
    rise = -part * d
    for k in range(n):
        change[k] = 0.0
    balance_rise(reserves, rates, change, n, ann, d, rise, j, after)
    gross = -change[j]
    base, middle = whole_fee(imbalance_fee(fee, n), quantum), (2.0 * d + rise) / (2.0 * n)
    kept = 0.0
    for k in range(n):
        mean = rates[k] * (reserves[k] - (0.5 * gross if k == j else 0.0))
        expected = part * reserves[k] if k != j else gross - part * reserves[k]
        share = whole_fee(dynamic_fee(base, multiplier, mean, middle), quantum)
        change[k] = -share * expected
        kept = share * expected if k == j else kept
    balance_rise(reserves, rates, change, n, ann, d, rise, j, after)
    one = 1.0 / rates[j] if quantum > 0.0 else 0.0
    amount = round_down(-change[j] - kept - one, quantum)
    return amount, gross - amount
