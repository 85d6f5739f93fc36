"""One band: where its liquidity lies between two prices, and what it trades at.

A band reaches from the oracle price `top` down to `bottom = top (A - 1) / A`. It holds x debt
tokens and y collateral. At oracle price p

    (f + x) (g + y) = p A^2 y0^2,   f = A y0 p^2 / top,   g = (A - 1) y0 top / p,

where y0 is the collateral that would be there if all were collateral and the oracle at the top:
the positive root of `p A y0^2 - y0 (top (A - 1) x / p + p^2 A y / top) - x y = 0`. The marginal
price is `(f + x) / (g + y)`: it runs from `p^3 / top^2` (all collateral) to `p^3 / bottom^2` (all
debt tokens), three times as fast as the oracle, so that the pool sells below a falling market and
buys above a rising one.

References
----------
Curve Finance (2022), crvUSD white paper.
"""

from __future__ import annotations

import math

from sim.kernel import kernel


@kernel
def par_collateral(x, y, price, top, a):  # type: ignore[no-untyped-def]
    """Return y0: the collateral of the band if it were all collateral, at the top."""
    b = top * (a - 1.0) * x / price + price * price * a * y / top
    return (b + math.sqrt(b * b + 4.0 * a * price * x * y)) / (2.0 * a * price)


@kernel
def shifts(y0, price, top, a):  # type: ignore[no-untyped-def]
    """Return (f, g): by what the curve of the band is shifted."""
    return a * y0 * price * price / top, (a - 1.0) * y0 * top / price


@kernel
def lowest_price(price, top):  # type: ignore[no-untyped-def]
    """Return the marginal price of a band that is all collateral."""
    return price * price * price / (top * top)


@kernel
def highest_price(price, top, a):  # type: ignore[no-untyped-def]
    """Return the marginal price of a band that is all debt tokens."""
    bottom = top * (a - 1.0) / a
    return price * price * price / (bottom * bottom)


@kernel
def band_price(x, y, price, top, a):  # type: ignore[no-untyped-def]
    """Return the marginal price of a band, debt tokens per collateral; empty: its middle."""
    if x <= 0.0 and y <= 0.0:
        return price * price * price / (top * top * (a - 1.0) / a)
    if x <= 0.0:
        return lowest_price(price, top)
    if y <= 0.0:
        return highest_price(price, top, a)
    f, g = shifts(par_collateral(x, y, price, top, a), price, top, a)
    return (f + x) / (g + y)


@kernel
def to_oracle(x, y, price, top, a):  # type: ignore[no-untyped-def]
    """Return (x, y) of a band after trading with it until its price is the oracle's."""
    bottom = top * (a - 1.0) / a
    if x <= 0.0 and y <= 0.0:
        return 0.0, 0.0
    y0 = par_collateral(x, y, price, top, a)
    f, g = shifts(y0, price, top, a)
    invariant = (f + x) * (g + y)
    if price > top:
        return 0.0, max(invariant / f - g, 0.0)
    if price < bottom:
        return max(invariant / g - f, 0.0), 0.0
    return a * y0 * price * (1.0 - price / top), a * y0 * (1.0 - bottom / price)


@kernel
def as_debt(x, y, price, top, a):  # type: ignore[no-untyped-def]
    """Return the debt tokens of a band after a slow fall of the oracle through the rest of it.

    Traded to the oracle first; then collateral is sold at the geometric mean of where it stands and
    the bottom: `x + y sqrt(bottom p)`.
    """
    bottom = top * (a - 1.0) / a
    x, y = to_oracle(x, y, price, top, a)
    return x + y * math.sqrt(bottom * min(price, top))


@kernel
def as_collateral(x, y, price, top, a):  # type: ignore[no-untyped-def]
    """Return the collateral of a band after a slow rise through the rest of it: `y + x / sqrt`."""
    bottom = top * (a - 1.0) / a
    x, y = to_oracle(x, y, price, top, a)
    return y + x / math.sqrt(top * max(price, bottom))
