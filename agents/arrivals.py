"""Arrivals: every row has its own Poisson process, kept on a timing wheel.

The next gap is drawn at (stream, row, tick of the last arrival): nothing depends on how many rows
there are, and a row that is switched off moves no other. Rates that vary are thinned from their
maximum by one more addressed draw. Work grows with arrivals, not with rows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sim.draws import uniforms
from sim.kernel import F8, I4, I8, columnar, kernel
from sim.units import TICKS_PER_SECOND

NEVER = 1 << 60
VISITS = 4  # of Arrivals.clock


@columnar
class Arrivals(NamedTuple):
    """A timing wheel; a slot is a stretch of time, its rows a linked list."""

    head: I4  # int32, (n_slots,), first row of the slot, -1: none; a power of two of them
    next: I4  # int32, (n_rows,), next row in the slot
    due: I8  # int64, (n_rows,), tick of the next arrival
    mean_gap: F8  # float64, (n_rows,) or (1,) where it is one for all, ticks
    clock: I8  # int64, (5,): seed, stream, ticks per slot, last slot done, rows looked at so far


@kernel
def wake_at(wheel, row, due):  # type: ignore[no-untyped-def]
    """Set the next arrival of a row that is off the wheel."""
    wheel.due[row] = due
    if due < NEVER:
        slot = (due // wheel.clock[2]) & (wheel.head.shape[0] - 1)
        wheel.next[row] = wheel.head[slot]
        wheel.head[slot] = row


@kernel
def renew(wheel, row, last):  # type: ignore[no-untyped-def]
    """Draw the next arrival of a row after its last one at tick `last`."""
    u = uniforms(wheel.clock[0], wheel.clock[1], last, row, 255)[0]
    gap = -math.log(u) * wheel.mean_gap[row if wheel.mean_gap.shape[0] > 1 else 0]
    wake_at(wheel, row, last + 1 + int(gap) if gap < 1e17 else NEVER)


@kernel
def next_arrival(wheel, now):  # type: ignore[no-untyped-def]
    """Return a row that has arrived by now and take it off the wheel; -1: no more.

    The caller acts for the row and then calls `renew(wheel, row, wheel.due[row])`. Rows of one slot
    come in no promised order; what they post is ordered by its arrival.
    """
    width, mask = wheel.clock[2], wheel.head.shape[0] - 1
    while True:
        slot = wheel.clock[3]
        before, row = -1, wheel.head[slot & mask]
        while row >= 0:
            wheel.clock[VISITS] += 1
            if wheel.due[row] <= now:
                if before < 0:
                    wheel.head[slot & mask] = wheel.next[row]
                else:
                    wheel.next[before] = wheel.next[row]
                return row
            before, row = row, wheel.next[row]
        if now < (slot + 1) * width:  # the slot of now; a division would cost more
            return -1
        wheel.clock[3] = slot + 1


@kernel(inline=False)
def wake_all(wheel, rows, due):  # type: ignore[no-untyped-def]
    """Set the next arrivals of rows that are off the wheel: int64, (n,), row and tick."""
    for k in range(rows.shape[0]):
        wake_at(wheel, rows[k], due[k])


@kernel(inline=False)
def _start(wheel):  # type: ignore[no-untyped-def]
    for row in range(wheel.due.shape[0]):
        renew(wheel, row, 0)


def make_arrivals(rate_per_day: np.ndarray, seed: int, stream: int) -> Arrivals:
    """Return a wheel with the first arrival of every row drawn.

    Parameters
    ----------
    rate_per_day : float64, (n_rows,), arrivals per day; 0: never
    seed : of the run
    stream : number of the population's random stream
    """
    rate = np.ascontiguousarray(rate_per_day, np.float64)
    with np.errstate(divide="ignore"):
        mean_gap = 86_400.0 * TICKS_PER_SECOND / rate
    if len(rate) > 0 and (rate == rate[0]).all():
        mean_gap = mean_gap[:1].copy()
    n_slots = max(4_096, 1 << (len(rate) - 1).bit_length())  # few rows outlast a turn of the wheel
    fastest = float(rate.sum()) / 86_400.0  # arrivals a second, all rows
    width = max(0.05, min(12.0, 4.0 / fastest)) if fastest > 0.0 else 12.0
    wheel = Arrivals(
        head=np.full(n_slots, -1, np.int32),
        next=np.full(len(rate), -1, np.int32),
        due=np.full(len(rate), NEVER, np.int64),
        mean_gap=mean_gap,
        clock=np.array([seed, stream, round(width * TICKS_PER_SECOND), 0, 0], np.int64),
    )
    _start(wheel)
    return wheel
