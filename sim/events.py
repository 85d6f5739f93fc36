"""Events in Python: once or by a schedule, with the names of Mesa 3.5 on every Mesa.

What differs from Mesa: functions are held strongly (Mesa loses a lambda), and times are whole
ticks, so that an interval of 0.1 s does not drift.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from sim.errors import InputError
from sim.units import seconds, ticks

if TYPE_CHECKING:
    from sim.model import Model


class Priority(IntEnum):
    """Order of events at one tick; the lower number goes first."""

    LOW = 10
    DEFAULT = 5
    HIGH = 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something happens again and again.

    Parameters
    ----------
    interval : seconds between two executions, or a function of the model that returns them
    start : time of the first one, seconds; None: one interval from now
    end : no execution after this time, seconds; None: no end
    count : most executions; None: no limit

    Raises
    ------
    InputError
        The interval or the count is not positive, or the start lies after the end.
    """

    interval: float | Callable[[Any], float] = 1.0
    start: float | None = None
    end: float | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        if not callable(self.interval) and not self.interval > 0.0:
            raise InputError(f"the interval of a schedule is {self.interval}; it must be positive")
        if self.count is not None and self.count <= 0:
            raise InputError(f"the count of a schedule is {self.count}; it must be positive")
        if self.start is not None and self.end is not None and self.start > self.end:
            raise InputError(
                f"a schedule starts at {self.start:g} s, after its end at {self.end:g} s; "
                "swap them or leave the end out"
            )


class Event:
    """A function that will be called once, at a tick; held strongly until then."""

    __slots__ = ("function", "number", "priority", "tick")

    def __init__(self, tick: int, priority: int, number: int, function: Callable[[], Any]) -> None:
        self.tick = tick
        self.priority = priority
        self.number = number
        self.function: Callable[[], Any] | None = function

    @property
    def time(self) -> float:
        """Time of the event in seconds."""
        return seconds(self.tick)

    @property
    def CANCELED(self) -> bool:  # noqa: N802 - Mesa's spelling
        """Whether the event was cancelled, or has happened."""
        return self.function is None

    def cancel(self) -> None:
        """Let the event not happen; forget its function."""
        self.function = None

    def execute(self) -> None:
        """Call the function, unless cancelled."""
        function, self.function = self.function, None
        if function is not None:
            function()

    def __lt__(self, other: Event) -> bool:
        return (self.tick, self.priority, self.number) < (other.tick, other.priority, other.number)


class EventQueue:
    """Events by tick, then priority, then order of scheduling."""

    def __init__(self) -> None:
        self._heap: list[Event] = []
        self._numbers = itertools.count()

    def add(self, tick: int, priority: int, function: Callable[[], Any]) -> Event:
        """Add and return an event."""
        event = Event(tick, int(priority), next(self._numbers), function)
        heapq.heappush(self._heap, event)
        return event

    def due(self, now: int) -> Iterator[Event]:
        """Remove and yield the events up to `now`, those included that are added meanwhile."""
        while self.has_due(now):
            yield heapq.heappop(self._heap)

    def has_due(self, now: int) -> bool:
        """Return whether an event waits for `now` or an earlier tick."""
        return bool(self._heap) and self._heap[0].tick <= now


class EventGenerator:
    """Calls a function by a schedule until stopped, or until the world's horizon.

    Parameters
    ----------
    model : its events go on this model's queue
    function : held strongly
    schedule : ours or Mesa's
    priority : order at one tick
    """

    def __init__(
        self, model: Model, function: Callable[[], Any], schedule: Any, priority: int
    ) -> None:
        self.model = model
        self.function = function
        self.schedule = schedule
        self.priority = priority
        self.execution_count = 0
        self.is_active = False
        self._event: Event | None = None

    @property
    def next_scheduled_time(self) -> float | None:
        """Time of the next execution in seconds, None: none."""
        return None if self._event is None else self._event.time

    def start(self) -> EventGenerator:
        """Schedule the first execution."""
        first = self.schedule.start
        self.is_active = True
        self._schedule(self._next_tick() if first is None else ticks(first))
        return self

    def stop(self) -> None:
        """Schedule no more."""
        self.is_active = False
        if self._event is not None:
            self._event.cancel()
            self._event = None

    def _next_tick(self) -> int:
        interval = self.schedule.interval
        length = ticks(interval(self.model) if callable(interval) else interval)
        if length <= 0:
            raise InputError(
                f"the interval of a schedule is {seconds(length):g} s; it must be 1 µs or more"
            )
        return self.model.now + length

    def _schedule(self, tick: int) -> None:
        schedule = self.schedule
        is_last = schedule.count is not None and self.execution_count >= schedule.count
        is_over = schedule.end is not None and tick > ticks(schedule.end)
        if is_last or is_over or tick > self.model.horizon:
            self.stop()
        else:
            self._event = self.model.schedule_tick(tick, self.priority, self._run)

    def _run(self) -> None:
        self._event = None
        self.function()
        self.execution_count += 1
        if self.is_active:
            self._schedule(self._next_tick())
