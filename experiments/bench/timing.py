"""Timing: processor time and wall time, two things in turn, medians.

Two things are compared within one process, one after the other, several times over: whatever else
the machine does then meets both. Times of one thread are those of the processor; wall time counts
where threads, processes or the disk are what is measured.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Times(NamedTuple):
    """Seconds that something took."""

    wall: float
    cpu: float  # all threads of this process


def timed(body: Callable[[], object]) -> Times:
    """Run something once, without the garbage collector in between."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        wall, cpu = time.perf_counter(), time.process_time()
        body()
        return Times(time.perf_counter() - wall, time.process_time() - cpu)
    finally:
        if was_on:
            gc.enable()


def in_turn(bodies: Sequence[Callable[[], object]], repeats: int) -> list[list[Times]]:
    """Run each of several things in turn, some times over; returns the times of each."""
    found: list[list[Times]] = [[] for _ in bodies]
    for _ in range(repeats):
        for times, body in zip(found, bodies, strict=True):
            times.append(timed(body))
    return found


def count_for(body: Callable[[int], object], seconds: float, most: int) -> int:
    """Return how often a thing can be done in about so many seconds of the processor, at least 1.

    Parameters
    ----------
    body : does it n times
    seconds : processor time wanted
    most : largest n
    """
    n = 1
    while n < most:
        taken = timed(lambda n=n: body(n)).cpu  # type: ignore[misc]
        if taken > 0.2 * seconds:
            return max(1, min(most, int(n * seconds / taken)))
        n = min(most, n * 4)
    return most


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return float(statistics.median(values))


def ratios(slow: Sequence[Times], fast: Sequence[Times]) -> list[float]:
    """Return how many times longer one took than the other, pair by pair, processor time."""
    return [a.cpu / max(b.cpu, 1e-9) for a, b in zip(slow, fast, strict=True)]


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return b of the least-squares fit cost = a * size ** b."""
    x, y = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    return float(statistics.linear_regression(x, y).slope)
