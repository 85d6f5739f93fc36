"""The agenda: timed events on one queue (integer ticks), next to the block clocks of the chains.

Ties at one tick go by rank, then chain, then serial number: shock, delivery, oracle, accrual,
block, sample, Python.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sim.kernel import I8, blank, columnar, kernel, record_of, records

SHOCK_RANK, DELIVERY_RANK, ORACLE_RANK, ACCRUAL_RANK, BLOCK_RANK, SAMPLE_RANK, PYTHON_RANK = range(
    7
)
PYTHON = -1  # `handler` of an event whose body is Python

EVENT = np.dtype(
    [
        ("time", "i8"),
        ("serial", "i8"),
        ("a", "i8"),
        ("b", "i8"),
        ("x", "f8"),
        ("y", "f8"),
        ("rank", "i4"),
        ("chain", "i4"),
        ("handler", "i4"),
        ("spare", "i4"),
    ],
    align=True,
)
event_at: Any = record_of(EVENT)


@columnar
class Agenda(NamedTuple):
    """A heap of events; `size` holds the number of events and the next serial number."""

    events: records(EVENT)  # type: ignore[valid-type]  # (capacity + 2,); the last two are scratch
    size: I8  # int64, (2,)


def make_agenda(capacity: int) -> Agenda:
    """Return an empty agenda."""
    return Agenda(blank(capacity + 2, EVENT), np.zeros(2, np.int64))


@kernel
def _is_earlier(x, y):  # type: ignore[no-untyped-def]
    if x.time != y.time:
        return x.time < y.time
    if x.rank != y.rank:
        return x.rank < y.rank
    if x.chain != y.chain:
        return x.chain < y.chain
    return x.serial < y.serial


@kernel
def has_room(agenda):  # type: ignore[no-untyped-def]
    """Return whether one more event can be scheduled."""
    return agenda.size[0] < agenda.events.shape[0] - 2


@kernel
def schedule(agenda, time, rank, chain, handler, a, b, x, y):  # type: ignore[no-untyped-def]
    """Add an event; returns its serial number. The caller has asked `has_room`."""
    events, n = agenda.events, agenda.size[0]
    new = events[events.shape[0] - 1]
    serial = agenda.size[1]
    new.time, new.rank, new.chain, new.handler, new.serial = time, rank, chain, handler, serial
    new.a, new.b, new.x, new.y = a, b, x, y
    at = n
    while at > 0:
        parent = (at - 1) >> 1
        if not _is_earlier(new, events[parent]):
            break
        events[at] = events[parent]
        at = parent
    events[at] = new
    agenda.size[0] = n + 1
    agenda.size[1] = serial + 1
    return serial


@kernel
def take(agenda):  # type: ignore[no-untyped-def]
    """Remove the next event and return it (a scratch record, valid until the next call)."""
    events, n = agenda.events, agenda.size[0] - 1
    taken = events.shape[0] - 2
    events[taken] = events[0]
    agenda.size[0] = n
    at = 0
    while True:
        child = 2 * at + 1
        if child >= n:
            break
        if child + 1 < n and _is_earlier(events[child + 1], events[child]):
            child += 1
        if not _is_earlier(events[child], events[n]):
            break
        events[at] = events[child]
        at = child
    events[at] = events[n]
    return events[taken]
