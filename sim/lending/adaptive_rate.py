"""The adaptive curve: a rate at target utilization that moves with the error of utilization.

With utilization U, target T and error e = (U - T) / (1 - T) above the target, (U - T) / T below it,
borrowers pay

    rate = rate_at_target * (1 + (C - 1) e)       above the target
    rate = rate_at_target * (1 + (1 - 1 / C) e)   below it

with steepness C, and meanwhile the rate at target grows by exp(speed * e * time), between a least
and a most rate. What is charged for an interval is the curve at the mean of the rate at target, by
the trapezoidal rule over its start, middle and end; debts then grow by the first four terms of the
exponential series. Utilization moves within an interval by interest alone, which the contract
leaves out, too.

The deployed contract does not take the exponential itself but `2^q (1 + r + r^2 / 2)`, q the
nearest integer to x / ln 2: up to 0.9 % off, and within 1e-9 where |x| < 0.0018, that is for
intervals of up to 19 minutes at full error. Both are here.

References
----------
Morpho contracts: `AdaptiveCurveIrm`, `ExpLib`, `MathLib.wTaylorCompounded`.
"""

from __future__ import annotations

import math

from sim.kernel import kernel
from sim.units import YEAR

_LN2 = math.log(2.0)


@kernel
def utilization_error(utilization, target):  # type: ignore[no-untyped-def]
    """Return how far utilization is from its target: -1 unused, 0 at target, 1 full."""
    span = 1.0 - target if utilization > target else target
    return (utilization - target) / span


@kernel
def curve_rate(rate_at_target, error, steepness):  # type: ignore[no-untyped-def]
    """Return the rate per year at an error of utilization."""
    slope = steepness - 1.0 if error >= 0.0 else 1.0 - 1.0 / steepness
    return rate_at_target * (1.0 + slope * error)


@kernel
def contract_exponential(x):  # type: ignore[no-untyped-def]
    """Return exp(x) as the contract takes it: a parabola around the nearest power of two."""
    q = math.trunc((x + math.copysign(0.5 * _LN2, x)) / _LN2)
    r = x - q * _LN2
    return math.ldexp(1.0 + r + 0.5 * r * r, q)


@kernel
def moved_rate(asset, adaptation):  # type: ignore[no-untyped-def]
    """Return the rate at target after an adaptation (speed * error * time)."""
    if asset.exact_exponential != 0:
        factor = math.exp(adaptation)
    else:
        factor = contract_exponential(adaptation)
    return min(max(asset.rate_at_target * factor, asset.least_rate), asset.most_rate)


@kernel
def charged_rate(asset, utilization, seconds):  # type: ignore[no-untyped-def]
    """Return (rate charged for an interval, rate at target after it), per year.

    Parameters
    ----------
    asset : record with `rate_at_target` and the constants of the curve; `kink` is the target
    utilization : at the start of the interval
    seconds : length of the interval
    """
    error = utilization_error(utilization, asset.kink)
    adaptation = asset.adjustment_speed * error * seconds / YEAR
    start = asset.rate_at_target
    end = moved_rate(asset, adaptation) if adaptation != 0.0 else start
    middle = moved_rate(asset, 0.5 * adaptation) if adaptation != 0.0 else start
    mean = (start + end + 2.0 * middle) / 4.0
    return curve_rate(mean, error, asset.steepness), end


@kernel
def series_growth(rate, seconds):  # type: ignore[no-untyped-def]
    """Return the growth of debts over an interval: 1 + x + x^2 / 2 + x^3 / 6."""
    x = rate * seconds / YEAR
    return 1.0 + x + 0.5 * x * x + x * x * x / 6.0
