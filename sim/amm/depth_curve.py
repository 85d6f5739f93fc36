"""Impact curves: how far a price has moved once an amount has been traded away from its rest.

A curve is a row of knots, amounts q at which the marginal impact is m. Between two knots it is
linear, and it may jump up at one, so that each segment has its own two ends:

    m(q) = low + (high - low) (q - start) / (end - start),     C(q) = integral of m from 0 to q

C(q) / q is the average impact of a trade of q, which is what an aggregator's quote shows. A curve
can be measured either way: from marginal impacts the segments join them; from average ones each
segment gets the mean marginal impact that takes C from one point to the next, tilted as far as its
neighbors allow without the impact ever falling. Points of both kinds are met exactly, and the
impact of nothing is 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sim.errors import InputError
from sim.kernel import kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

N_SEGMENTS = 64  # most of a curve; also what a power law is sampled with
_FIRST = 1e-4  # share of the depth at which the sampling of a power law begins


@kernel
def segment_of(start, row, amount):  # type: ignore[no-untyped-def]
    """Return the segment of a curve that an amount lies in; unused segments start at infinity."""
    low, high = 0, start.shape[1]
    while high - low > 1:
        middle = (low + high) >> 1
        if start[row, middle] <= amount:
            low = middle
        else:
            high = middle
    return low


@kernel
def impact_at(start, low, slope, row, amount):  # type: ignore[no-untyped-def]
    """Return the marginal impact once an amount is used, fraction."""
    k = segment_of(start, row, amount)
    return low[row, k] + slope[row, k] * (amount - start[row, k])


@kernel
def cost_at(start, low, slope, before, row, amount):  # type: ignore[no-untyped-def]
    """Return what impact has cost up to an amount, in units of the amount: the integral C."""
    k = segment_of(start, row, amount)
    beyond = amount - start[row, k]
    return before[row, k] + (low[row, k] + 0.5 * slope[row, k] * beyond) * beyond


def curve_of(amounts: Sequence[float], impacts: Sequence[float], *, is_average: bool) -> np.ndarray:
    """Return the segments of a curve through points.

    Parameters
    ----------
    amounts : increasing, above 0
    impacts : fractions at these amounts, of all that was traded (average) or of the last unit
        (marginal)
    is_average : which of the two

    Returns
    -------
    float64, (4, N_SEGMENTS): start, impact there, slope, cost up to there; unused ones start at
    infinity

    Raises
    ------
    InputError
        The points are too many or out of order, or the marginal impact would fall on the way or
        reach 1.
    """
    q = np.concatenate([[0.0], np.asarray(amounts, float)])
    given, most = np.asarray(impacts, float), N_SEGMENTS - is_average
    if len(given) > most or not (np.diff(q) > 0.0).all():
        raise InputError(f"points must be at most {most}, each amount above the one before")
    if is_average:
        q, low, high = _through(q, given)
    else:
        low, high = np.concatenate([[0.0], given[:-1]]), given
    rising = np.stack([low, high], axis=1).ravel()
    if not (np.diff(rising) >= -1e-15).all() or not 0.0 <= rising[-1] < 1.0 or rising[0] < 0.0:
        shown = ", ".join(f"{m * 1e4:.4g}" for m in rising)
        raise InputError(
            f"points give marginal impacts of {shown} bp along the curve; they must never fall and "
            "stay below 10000 bp: give larger amounts, or other impacts, at the later points"
        )
    made = np.zeros((4, N_SEGMENTS))
    made[0] = math.inf
    n, length = len(low), np.diff(q)
    made[0, :n], made[1, :n], made[2, :n] = q[:-1], low, (high - low) / length
    made[3, :n] = np.concatenate([[0.0], np.cumsum((low + high) / 2.0 * length)[:-1]])
    return made


def _through(q: np.ndarray, average: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (ends, impact at the start, at the end) of segments that meet average impacts.

    Each is as steep as its neighbors allow. The first rises from 0, and has a flat part where it
    would rise beyond the middle between its mean and the next.
    """
    mean = np.diff(q[1:] * average, prepend=0.0) / np.diff(q)
    between = np.concatenate([[0.0], (mean[:-1] + mean[1:]) / 2.0])
    above = np.append(between[1:], 2.0 * mean[-1] - between[-1])
    tilt = np.minimum(mean - between, above - mean)
    low, high = mean - tilt, mean + tilt
    low[0], high[0] = 0.0, 2.0 * mean[0]
    if len(mean) == 1 or high[0] <= above[0] or above[0] <= mean[0]:
        return q, low, high
    top = above[0]
    rise = 2.0 * q[1] * (top - mean[0]) / top
    return (
        np.insert(q, 1, rise),
        np.concatenate([[0.0, top], low[1:]]),
        np.concatenate([[top, top], high[1:]]),
    )


def power_law(
    amount: float, impact: float, exponent: float, depth: float, *, is_average: bool
) -> np.ndarray:
    """Return the segments of impact x (q / amount)^exponent, up to a depth.

    Sampled at `N_SEGMENTS` amounts with equal ratios and linear in between, which is right to
    0.1 % of the impact from 1e-4 of the depth on. The average impact of a power law is its marginal
    one divided by 1 + exponent.

    Raises
    ------
    InputError
        The marginal impact would reach 1 before the depth.
    """
    q = depth * _FIRST ** np.linspace(1.0, 0.0, N_SEGMENTS)
    marginal = impact * (q / amount) ** exponent * (1.0 + exponent if is_average else 1.0)
    return curve_of(q.tolist(), marginal.tolist(), is_average=False)
