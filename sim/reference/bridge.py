"""Prices through knots: a Brownian bridge of the log price, drawn forward.

Between two knots the log price is the straight line plus noise that starts and ends at zero. Drawn
forward, a step of variance v out of the variance R left to the next knot takes the noise b to

    b (1 - v / R) + sqrt(v (1 - v / R)) z,

the exact law of a Brownian motion given its end, for any volatility that depends on time alone.
Drawn so, a price needs no later normal, and a shorter horizon cuts the path without changing it.
With no volatility the path is log-linear: this is how candles are replayed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sim.kernel import kernel


class Knots(NamedTuple):
    """Prices to be met at grid steps; the first is at step 0."""

    step: np.ndarray  # int64, (n_knots,), strictly increasing
    price: np.ndarray  # float64, (n_knots,), USD


class Volatility(NamedTuple):
    """Variance of one step of the log price, constant up to and with each `until` step."""

    until: np.ndarray  # int64, (n_segments,), strictly increasing, at or beyond the last knot
    variance: np.ndarray  # float64, (n_segments,)


NO_VOLATILITY = Volatility(np.array([np.iinfo(np.int64).max]), np.zeros(1))


@kernel(inline=False)
def bridge(path, knot_step, knot_price, variance_to, until, variance):  # type: ignore[no-untyped-def]
    """Turn normals into prices through knots, in place.

    Parameters
    ----------
    path : float64, (n_steps + 1,), standard normals in, prices out; not read where variance is 0
    knot_step, knot_price : columns of `Knots`
    variance_to : float64, (n_knots,), variance between the knot before and this one
    until, variance : columns of `Volatility`
    """
    last = path.shape[0] - 1
    segment = 0
    path[0] = knot_price[0]
    for k in range(1, knot_step.shape[0]):
        first = knot_step[k - 1]
        if first >= last:
            break
        slope = math.log(knot_price[k] / knot_price[k - 1]) / (knot_step[k] - first)
        left = variance_to[k]
        noise = 0.0
        for step in range(first + 1, min(knot_step[k] - 1, last) + 1):
            while until[segment] < step:
                segment += 1
            v = variance[segment]
            if v > 0.0:
                kept = max(1.0 - v / left, 0.0)
                noise = noise * kept + math.sqrt(v * kept) * path[step]
                left -= v
            path[step] = knot_price[k - 1] * math.exp(slope * (step - first) + noise)
        if knot_step[k] <= last:
            path[knot_step[k]] = knot_price[k]


def fill_bridge(path: np.ndarray, knots: Knots, volatility: Volatility) -> None:
    """Write prices through the knots, which must reach the end of the path.

    Parameters
    ----------
    path : float64, (n_steps + 1,), standard normals in, USD out
    knots : prices to be met
    volatility : variance of each step; a knot interval without any is log-linear
    """
    bridge(path, *knots, np.diff(_cumulative(knots.step, volatility), prepend=0.0), *volatility)


def _cumulative(steps: np.ndarray, volatility: Volatility) -> np.ndarray:
    """Return the variance from step 0 to each of `steps`."""
    if not volatility.variance.any():
        return np.zeros(len(steps))
    ends = np.concatenate(([0.0], volatility.until))
    sums = np.concatenate(([0.0], np.cumsum(np.diff(ends) * volatility.variance)))
    return np.asarray(np.interp(steps, ends, sums))
