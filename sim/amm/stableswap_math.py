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

from sim.amm.concentrated_swap import round_down
from sim.kernel import kernel

_MOST_STEPS = 255  # of Newton's method, as in the contract
_EPSILON = 2.0**-52
_BISECTIONS = 200
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
        middle = 0.5 * (low + high) if low > 0.125 * high else 0.125 * high
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
def imbalance_fee(fee, n):  # type: ignore[no-untyped-def]
    """Return the fee on what differs from proportion."""
    return fee * n / (4.0 * (n - 1.0))


@kernel
def swap_out(x, y, rate_out, excess, paid, fee, multiplier, quantum):  # type: ignore[no-untyped-def]
    """Return (amount out, fee in units of the token out, share that is) for x rising by `paid`."""
    given = given_for(x, y, excess, paid)
    share = dynamic_fee(fee, multiplier, x + 0.5 * paid, y - 0.5 * given)
    if quantum > 0.0:
        given = max(math.floor(given) - 1.0, 0.0)
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
def charge_change(reserves, after, rates, n, d0, d1, fee, multiplier, fees, quantum):  # type: ignore[no-untyped-def]
    """Write the fee on each token for a change of all reserves, D going from d0 to d1, to `fees`.

    `after` becomes the reserves without those fees.
    """
    base, middle = imbalance_fee(fee, n), (d0 + d1) / n
    for k in range(n):
        ideal = d1 / d0 * reserves[k]
        share = dynamic_fee(base, multiplier, rates[k] * (reserves[k] + after[k]), middle)
        fees[k] = round_down(share * abs(ideal - after[k]), quantum)
        after[k] -= fees[k]


@kernel
def change_shares(reserves, after, rates, n, ann, supply, fee, multiplier, fees, quantum):  # type: ignore[no-untyped-def]
    """Return the shares that a change of all reserves is worth, below 0: costs.

    `fees` gets the fee on each token, `after` becomes the reserves without them.
    """
    d0 = invariant_of(reserves, rates, n, ann)
    d1 = invariant_of(after, rates, n, ann)
    charge_change(reserves, after, rates, n, d0, d1, fee, multiplier, fees, quantum)
    left = invariant_of(after, rates, n, ann)
    shares = supply * (left - d0) / d0
    if quantum > 0.0:
        return math.floor(shares) if shares > 0.0 else math.floor(shares) - 1.0
    return shares


@kernel
def amount_of_shares(reserves, rates, n, ann, j, part, fee, multiplier, reduced, quantum):  # type: ignore[no-untyped-def]
    """Return (amount, fee) of one token for a part of all shares; `reduced` is written over."""
    d0 = invariant_of(reserves, rates, n, ann)
    d1 = d0 - part * d0
    y = balance_for(reserves, rates, n, ann, d1, j)
    base, middle = imbalance_fee(fee, n), (d0 + d1) / (2.0 * n)
    for k in range(n):
        x = reserves[k] * rates[k]
        expected = x * (d1 / d0) - y if k == j else x - x * (d1 / d0)
        mean = 0.5 * (x + y) if k == j else x
        share = dynamic_fee(base, multiplier, mean, middle)
        reduced[k] = reserves[k] - share * expected / rates[k]
    one = 1.0 if quantum > 0.0 else 0.0
    held = reduced[j] * rates[j] - balance_for(reduced, rates, n, ann, d1, j)
    amount = round_down((held - one) / rates[j], quantum)
    return amount, reserves[j] - y / rates[j] - amount

