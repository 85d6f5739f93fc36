"""The liquidity fee of Across: a week of the mean borrowing rate over a step of utilization.

    R(u) = R0 + R1 min(u, k) / k + R2 max(0, u - k) / (1 - k)
    fee = (1 + mean of R over [before, after]) ** (1 / 52) - 1

Source: Across Protocol documentation, "Fees in the system" (LP fee).
"""

from __future__ import annotations

import math

from sim.kernel import kernel

_WEEKS_PER_YEAR = 52.0


@kernel
def kinked_rate(utilization, base, slope1, slope2, kink):  # type: ignore[no-untyped-def]
    """Return the borrowing rate at a utilization, per year."""
    below, above = min(utilization, kink), max(utilization - kink, 0.0)
    return base + slope1 * below / kink + slope2 * above / (1.0 - kink)


@kernel
def average_rate(before, after, base, slope1, slope2, kink):  # type: ignore[no-untyped-def]
    """Return the mean rate over utilizations `before` to `after`, per year.

    The rate is linear on each side of the kink, so that its mean there is the rate in the middle.
    """
    if after <= kink or before >= kink or after <= before:
        return kinked_rate(0.5 * (before + after), base, slope1, slope2, kink)
    below = kinked_rate(0.5 * (before + kink), base, slope1, slope2, kink)
    above = kinked_rate(0.5 * (kink + after), base, slope1, slope2, kink)
    return (below * (kink - before) + above * (after - kink)) / (after - before)


@kernel
def weekly_rate(yearly):  # type: ignore[no-untyped-def]
    """Return (1 + yearly) ** (1 / 52) - 1."""
    return math.expm1(math.log1p(yearly) / _WEEKS_PER_YEAR)
