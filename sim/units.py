"""Time and money units used everywhere: ticks, seconds, days, gwei."""

from __future__ import annotations

import re

from sim.errors import InputError

TICKS_PER_SECOND = 1_000_000  # event times are integer microseconds
MINUTE = 60.0
HOUR = 3_600.0
DAY = 86_400.0
YEAR = 365.0 * DAY  # rates per year are linear over 365 days, as in the lending contracts
GWEI = 1e-9  # native tokens

_DURATION = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[0-9]+)?)\s*(us|ms|s|m|min|h|d)?\s*", re.IGNORECASE)
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": MINUTE, "min": MINUTE, "h": HOUR, "d": DAY}


def ticks(seconds: float) -> int:
    """Return the tick nearest to a time in seconds."""
    return round(seconds * TICKS_PER_SECOND)


def seconds(tick: int) -> float:
    """Return the time in seconds of a tick."""
    return tick / TICKS_PER_SECOND


def parse_duration(text: str | float) -> float:
    """Return the seconds of a duration such as `90`, `90s`, `5m`, `6h` or `2d`.

    Raises
    ------
    InputError
        The text is not a number followed by us, ms, s, m, h or d.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    match = _DURATION.fullmatch(str(text))
    if match is None:
        raise InputError(
            f"'{text}' is not a duration; write a number and us, ms, s, m, h or d, such as 6h"
        )
    return float(match[1]) * _SECONDS[(match[2] or "s").lower()]
