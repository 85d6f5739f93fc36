"""Interest: the kinked rate curve, and how a rate becomes growth of an index.

The borrow rate rises with slope `slope1` to the kink and with `slope2` beyond it. Suppliers receive
what borrowers pay, spread over all claims, less the reserve factor. Rates are per year of 365 days.

Debt compounds every second by the first four terms of the binomial series,
`(1 + r)^n ~ 1 + n r + n(n-1)/2 r^2 + n(n-1)(n-2)/6 r^3`, with `r` the rate per second; supply grows
linearly between two operations. Both are the contract's formulas, evaluated in float64 instead of
27-digit fixed point. The series is exact compounding for up to three seconds and short by about
(n r)^4 / 24 later: at 100 % a year 2e-12 after a day without any operation, 2 % after a year.
Between whole seconds, which no contract sees, the same polynomial holds.

One of the contract's roundings can be seen: of `r^3`, some 1e-27 at usual rates, its 27 digits keep
one digit or none. Its index falls short of the series by up to n^3 / 6 e-27: 1e-13 after a day
without any operation, 3e-9 after a month, 5e-6 after a year. `compound_growth_in_ray` does, too.

References
----------
Aave v3 contracts: `DefaultReserveInterestRateStrategyV2`, `MathUtils`.
"""

from __future__ import annotations

import numpy as np

from sim.kernel import kernel
from sim.units import YEAR

RAY = 1e27  # one, in the contract


@kernel
def kinked_rate(utilization, base_rate, slope1, slope2, kink):  # type: ignore[no-untyped-def]
    """Return the borrow rate per year at a utilization.

    Parameters
    ----------
    utilization : fraction of cash and debt that is lent out
    base_rate, slope1, slope2 : rates per year
    kink : utilization where the slope changes, above zero
    """
    if utilization <= kink:
        return base_rate + slope1 * utilization / kink
    return base_rate + slope1 + slope2 * (utilization - kink) / (1.0 - kink)


@kernel
def supplier_rate(borrow_rate, utilization, reserve_factor):  # type: ignore[no-untyped-def]
    """Return the rate per year of claims when a fraction `reserve_factor` goes to the treasury."""
    return borrow_rate * utilization * (1.0 - reserve_factor)


@kernel
def linear_growth(rate, seconds):  # type: ignore[no-untyped-def]
    """Return the growth factor of the supply index over `seconds` at a rate per year."""
    return 1.0 + rate * seconds / YEAR


@kernel
def compound_growth(rate, seconds):  # type: ignore[no-untyped-def]
    """Return the growth factor of the borrow index over `seconds` at a rate per year."""
    r = rate / YEAR
    n = seconds
    second = 0.5 * n * (n - 1.0) * r * r
    third = n * (n - 1.0) * (n - 2.0) * r * r * r / 6.0
    return 1.0 + n * r + second + third


@kernel
def compound_growth_in_ray(rate, seconds):  # type: ignore[no-untyped-def]
    """Return the same growth factor with the powers of the rate in the contract's 27 digits."""
    r = rate / YEAR
    n = seconds
    square = np.floor(r * r * RAY)
    cube = np.floor(square * r)
    second = 0.5 * n * (n - 1.0) * square
    third = n * (n - 1.0) * (n - 2.0) * cube / 6.0
    return 1.0 + n * r + (second + third) / RAY
