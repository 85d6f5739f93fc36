"""Rows of the benchmark: one measured number, its target, and the work that was done for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Target:
    """A bound on a value; a stretch target is beyond it."""

    bound: float
    is_most: bool  # the value must be at most the bound, else at least
    stretch: float | None = None

    def holds(self, value: float) -> bool:
        """Return whether a value meets the bound."""
        return value <= self.bound if self.is_most else value >= self.bound

    def __str__(self) -> str:
        sign = "≤" if self.is_most else "≥"
        stretch = f", stretch {self.stretch:,g}" if self.stretch is not None else ""
        return f"{sign} {self.bound:,g}{stretch}"


def at_most(bound: float, stretch: float | None = None) -> Target:
    """Return the target of a value that must not be larger."""
    return Target(bound, True, stretch)


def at_least(bound: float, stretch: float | None = None) -> Target:
    """Return the target of a value that must not be smaller."""
    return Target(bound, False, stretch)


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes
    ----------
    name : what was measured
    value, unit : the number
    target : what it is to be; None: no target
    work : what was done meanwhile, by name
    note : how it was measured, or what it must not be compared with
    """

    name: str
    value: float
    unit: str
    target: Target | None = None
    work: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None: there is none."""
        return None if self.target is None else self.target.holds(self.value)

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain values, ready for JSON."""
        words = asdict(self) | {
            "target": None if self.target is None else str(self.target),
            "met": self.met,
        }
        return {
            key: words[key] for key in ("name", "value", "unit", "target", "met", "work", "note")
        }


def shown(value: float) -> str:
    """Return a number as people read it: whole, or with three significant digits."""
    if value == int(value) and abs(value) < 1e9:
        return f"{value:,.0f}"
    if 1.0 <= abs(value) < 1e6:
        return f"{value:,.{0 if abs(value) >= 100.0 else 1 if abs(value) >= 10.0 else 2}f}"
    return f"{value:.3g}"
