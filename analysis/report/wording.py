"""How numbers and times stand in sentences; a number keeps its unit in the same line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from analysis.style import money
from sim.units import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MINUS = "−\u2060"  # and a joiner, so that no line ends between sign and amount
_LONGEST = 200  # letters of a value in a sentence; the rest is left out


def usd(amount: float) -> str:
    """Return USD in four digits or so: $12.4k, −$3.1m."""
    words = money(abs(amount))
    return f"{_MINUS}{words}" if amount < 0.0 and words != "$0" else words


def gain(amount: float) -> str:
    """Return USD with a sign: +$12.4k, −$3.1m."""
    return f"+{words}" if (words := usd(amount)) != "$0" and amount > 0.0 else words


def percent(fraction: float) -> str:
    """Return a fraction in percent, in about three digits."""
    size = abs(100.0 * fraction)
    if size == 0.0:
        return "0\u00a0%"
    places = 0 if size >= 100.0 else 1 if size >= 10.0 else 2 if size >= 0.1 else 3
    return f"{100.0 * fraction:.{places}f}\u00a0%".replace("-", "−")


def price(amount: float) -> str:
    """Return a price in USD, to the cent, or to four digits below a dollar."""
    return f"${amount:,.2f}" if amount >= 1.0 else f"${amount:.4g}"


def clock(seconds: float) -> str:
    """Return a time since the start of the run: 26.3 h, or 12 min within the first hour."""
    return (
        f"{seconds / HOUR:,.1f}\u00a0h" if seconds >= HOUR else f"{seconds / MINUTE:.0f}\u00a0min"
    )


def lasting(seconds: float) -> str:
    """Return a length of time in its natural unit."""
    if not math.isfinite(seconds):
        return "for ever"
    for unit, word, places in ((2 * DAY, "days", 1), (2 * HOUR, "h", 1), (2 * MINUTE, "min", 0)):
        if seconds >= unit:
            size = {"days": DAY, "h": HOUR, "min": MINUTE}[word]
            return f"{seconds / size:.{places}f}\u00a0{word}".replace(".0\u00a0", "\u00a0")
    return f"{seconds:.0f}\u00a0s"


def plural(count: float, one: str, many: str | None = None) -> str:
    """Return `1 chain`, `2 chains`, `no chain`."""
    if count == 0:
        return f"no {one}"
    return f"{count:,.0f} {one if count == 1 else many or one + 's'}"


def listed(words: Iterable[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    *most, last = [*words] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def plain_words(name: Any) -> str:
    """Return a name of ours as words."""
    return str(name).replace("_", " ")


def arguments(values: Mapping[str, Any]) -> str:
    """Return names and values of a description in words, such as those of a shock."""
    shown = {
        name: value for name, value in values.items() if value not in (None, False, "", [], {})
    }
    text = ", ".join(f"{plain_words(name)}{_value(value)}" for name, value in shown.items())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _value(value: Any) -> str:
    if value is True:
        return ""  # its name says it
    if isinstance(value, int | float):
        return f" {value:,.6g}"
    return f" {plain_words(value)}"
