"""What liquidity providers see of a pool: its last day in steps of ten minutes.

A pool frightens when its price has fallen by the trigger within an hour, when over a trailing
window its loss versus rebalancing exceeds its fees by the trigger, or when it trades below par.
Losses and fees are counted per USD of full-range liquidity at the current price: that is what a
full-range provider loses of its own, however narrow the ranges of others are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.kernel import F8, I8, F8x2, columnar, kernel
from sim.units import TICKS_PER_SECOND

STEP = 600 * TICKS_PER_SECOND  # between two looks at a pool
STEPS_PER_DAY = 144
_STEPS_PER_HOUR = 6
PRICE, FEES, LOSS = range(3)  # columns of PoolHistory.ring
PRICE_TRIGGER, LOSS_TRIGGER, WINDOW, CALM, PAR, DISCOUNT = range(6)  # of PoolHistory.terms
N_STEPS, IS_FRIGHTENING, IS_CALM, LAST_FRIGHT = range(4)  # entries of PoolHistory.state


@columnar
class PoolHistory(NamedTuple):
    """The last day of one pool, and whether it frightens."""

    ring: F8x2  # float64, (STEPS_PER_DAY + 1, 3): price, fees in USD, net loss per USD, so far
    booked: F8  # float64, (2,): fees and losses of the pool, USD, at the last look
    state: I8  # int64, (4,), see N_STEPS …
    terms: F8  # float64, (6,), see PRICE_TRIGGER …: falls and losses that frighten, window in
    # steps, ticks of calm before the pool counts as calm, par price (0: none), discount below it


def make_history(
    price_trigger: float,
    loss_trigger: float,
    window_hours: float,
    calm_ticks: int,
    par: float | None,
    discount: float,
) -> PoolHistory:
    """Return an empty history.

    Parameters
    ----------
    price_trigger : fall of the price within an hour, fraction
    loss_trigger : losses less fees over the window, fraction of the value
    window_hours : at most a day
    calm_ticks : without fright, until the pool counts as calm again
    par, discount : price, None if there is none, and fraction below it
    """
    steps = max(1, round(window_hours * _STEPS_PER_HOUR))
    return PoolHistory(
        ring=np.zeros((STEPS_PER_DAY + 1, 3)),
        booked=np.zeros(2),
        state=np.array([0, 0, 1, 0], np.int64),
        terms=np.array([price_trigger, loss_trigger, steps, calm_ticks, par or 0.0, discount]),
    )


@kernel
def row_back(history, steps):  # type: ignore[no-untyped-def]
    """Return the row of the ring some steps before the last, or the oldest there is."""
    last = history.state[N_STEPS] - 1
    return (last - min(steps, last, STEPS_PER_DAY)) % history.ring.shape[0]


@kernel
def write_step(history, price, fees, losses, value):  # type: ignore[no-untyped-def]
    """Append a step; `value` is that of full-range liquidity, USD, 0 where it is not known."""
    net = 0.0
    if history.state[N_STEPS] > 0:
        net = history.ring[row_back(history, 0), LOSS]
        if value > 0.0:
            net += (losses - history.booked[1] - (fees - history.booked[0])) / value
    history.booked[0], history.booked[1] = fees, losses
    history.state[N_STEPS] += 1
    last = row_back(history, 0)
    history.ring[last, PRICE], history.ring[last, FEES] = price, fees
    history.ring[last, LOSS] = net


@kernel
def is_frightening(history):  # type: ignore[no-untyped-def]
    """Return whether the history gives reason to leave, as of its last step."""
    last = row_back(history, 0)
    price, highest = history.ring[last, PRICE], 0.0
    for steps in range(_STEPS_PER_HOUR + 1):
        highest = max(highest, history.ring[row_back(history, steps), PRICE])
    if price <= highest * (1.0 - history.terms[PRICE_TRIGGER]):
        return True
    window = row_back(history, int(history.terms[WINDOW]))
    if history.ring[last, LOSS] - history.ring[window, LOSS] > history.terms[LOSS_TRIGGER]:
        return True
    return price <= history.terms[PAR] * (1.0 - history.terms[DISCOUNT])


@kernel
def observe(history, now, price, fees, losses, value):  # type: ignore[no-untyped-def]
    """Keep the history up to now, and judge it; a chain that stood still left nothing to see."""
    while history.state[N_STEPS] <= now // STEP:
        write_step(history, price, fees, losses, value)
    is_bad = is_frightening(history)
    if is_bad:
        history.state[LAST_FRIGHT] = now
    history.state[IS_FRIGHTENING] = 1 if is_bad else 0
    calm = (
        now - history.state[LAST_FRIGHT] >= history.terms[CALM] or history.state[LAST_FRIGHT] == 0
    )
    history.state[IS_CALM] = 1 if calm and not is_bad else 0


@kernel
def fees_per_day(history):  # type: ignore[no-untyped-def]
    """Return the fees of the pool over its last day, or less, as a rate: USD per day."""
    steps = max(min(history.state[N_STEPS] - 1, STEPS_PER_DAY), _STEPS_PER_HOUR)
    last, first = row_back(history, 0), row_back(history, STEPS_PER_DAY)
    return (history.ring[last, FEES] - history.ring[first, FEES]) * STEPS_PER_DAY / steps
