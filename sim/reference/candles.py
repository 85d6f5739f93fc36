"""Exchange candles from CSV or Parquet, read once, hashed and checked row by row.

A file has the columns `time` (opening time: a timestamp, UTC unless it has a zone, or a number of
seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by size), `open`, `high`,
`low`, `close` and `volume`; others are ignored. Rows may be missing outside the window asked for,
never inside it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.reference.config import HIGHEST_PRICE, LOWEST_PRICE
from sim.table_files import FileColumn, FileFormat, TableFile, read_table
from sim.units import TICKS_PER_SECOND

if TYPE_CHECKING:
    from pathlib import Path

PRICES = ("open", "high", "low", "close")
FORMAT = FileFormat(
    name="candles",
    noun="price file",
    content="candles",
    meaning="Prices to replay: assets.NAME.price {kind: replay, file: FILE}, or --prices FILE.",
    columns=(
        FileColumn("time", "time", "UTC", "Opening of the candle: a time, or a number since 1970."),
        FileColumn("open", "number", "USD", "First price."),
        FileColumn("high", "number", "USD", "Highest price."),
        FileColumn("low", "number", "USD", "Lowest price."),
        FileColumn("close", "number", "USD", "Last price."),
        FileColumn("volume", "number", "token", "Traded in the candle."),
    ),
)
COLUMNS = FORMAT.required
# Numbers since 1970 up to each bound count so many ticks each: the bounds are year 5138 in
# seconds, in milliseconds and in microseconds, and 1973 in the next finer unit.
_EPOCH_UNITS = ((1e11, 1_000_000.0), (1e14, 1_000.0), (1e17, 1.0), (np.inf, 0.001))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WIDEST = 1_000.0  # most times that a high or low may be away from open and close
_LARGEST_EPOCH = 1e19  # year 2286 in nanoseconds
_LAST_TICK = 253_402_300_800 * TICKS_PER_SECOND  # the year 10000, beyond which no date is written


class Candles(NamedTuple):
    """Candles of one market, without gaps."""

    file: str  # where they were read
    sha256: str  # of the whole file
    interval: int  # ticks between openings
    time: np.ndarray  # int64, (n,), opening, ticks since 1970 UTC
    open: np.ndarray  # float64, (n,), USD
    high: np.ndarray  # float64, (n,), USD
    low: np.ndarray  # float64, (n,), USD
    close: np.ndarray  # float64, (n,), USD
    volume: np.ndarray  # float64, (n,), base asset


def load_candles(
    path: str | Path, start: datetime | None = None, horizon_seconds: float | None = None
) -> Candles:
    """Read candles and return those that cover a window.

    Parameters
    ----------
    path : CSV or Parquet file
    start : opening time of the first candle wanted; by default the first of the file
    horizon_seconds : length of the window; by default to the end of the file

    Returns
    -------
    The candles of the window, and the next one where the file has it.

    Raises
    ------
    ScenarioError
        The file is missing, unreadable, empty or lacks a column; a price is out of range; times do
        not rise; a high is below or a low above another price, or 1,000 times away from it; the
        window has a gap or is not covered.
    """
    source = read_table(path, FORMAT, least=2)
    columns = _columns(source)
    time = columns["time"]
    _check_times(source, time)
    for name in PRICES:
        allowed = f"a price must be from {LOWEST_PRICE:g} to {HIGHEST_PRICE:g}"
        source.check(
            name, columns[name], lambda v: (v >= LOWEST_PRICE) & (v <= HIGHEST_PRICE), allowed
        )
    allowed = "a volume must be a finite number of at least 0"
    source.check("volume", columns["volume"], lambda v: np.isfinite(v) & (v >= 0), allowed)
    _check_extremes(source, columns)
    steps, counts = np.unique(np.diff(time), return_counts=True)
    interval = int(steps[np.argmax(counts)])
    window = _window(source, time, interval, start, horizon_seconds)
    return Candles(
        source.file, source.sha256, interval, *(columns[name][window] for name in COLUMNS)
    )


# --- reading -------------------------------------------------------------------------------------


def _columns(source: TableFile) -> dict[str, np.ndarray]:
    """Return the columns needed: times in ticks, the others as float64."""
    columns = {name: source.numbers(name) for name in COLUMNS[1:]}
    return {"time": _times(source, source.column("time")), **columns}


def _times(source: TableFile, column: Any) -> np.ndarray:
    """Return opening times in ticks since 1970 UTC."""
    import pyarrow as pa

    kind = column.type
    for row in np.flatnonzero(column.is_null().to_numpy())[:1]:
        source.refuse(int(row), "time is missing; every candle needs its opening time")
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        stamps = column.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False)
        return np.asarray(stamps.cast(pa.int64()).to_numpy(), np.int64).copy()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers = np.asarray(column.to_numpy(), np.float64)
        for row in np.flatnonzero(~((numbers >= 0) & (numbers < _LARGEST_EPOCH)))[:1]:
            source.refuse(int(row), f"time is {numbers[row]:g}; it must be a time since 1970")
        size = float(numbers.max())
        unit = next(ticks for bound, ticks in _EPOCH_UNITS if size < bound)
        return np.rint(numbers * unit).astype(np.int64)
    for row, value in enumerate(column.to_pylist()):
        try:
            datetime.fromisoformat(value)
        except (TypeError, ValueError):
            source.refuse(row, f"time is {value!r}; write it as 2020-03-12 00:00:00 (UTC)")
    return np.array([_tick(datetime.fromisoformat(value)) for value in column.to_pylist()])


def _tick(time: datetime) -> int:
    """Return the ticks since 1970 of a time, which is UTC unless it has a zone."""
    aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def _text(tick: int) -> str:
    """Return a time as text."""
    time = _EPOCH + timedelta(microseconds=int(tick))
    return time.replace(tzinfo=None).isoformat(sep=" ")


# --- checks --------------------------------------------------------------------------------------


def _check_times(source: TableFile, time: np.ndarray) -> None:
    for row in np.flatnonzero((time < 0) | (time >= _LAST_TICK))[:1]:
        source.refuse(int(row), "time is outside the years 1970 to 9999; give a time since 1970")
    for row in np.flatnonzero(np.diff(time) <= 0)[:1] + 1:
        if time[row] == time[row - 1]:
            source.refuse(int(row), f"time {_text(time[row])} appears twice; remove one candle")
        source.refuse(
            int(row),
            f"time {_text(time[row])} comes after {_text(time[row - 1])}; sort the candles by time",
        )


def _check_extremes(source: TableFile, columns: dict[str, np.ndarray]) -> None:
    """Refuse a high below, or a low above, the open or the close, or absurdly far from them."""
    for bound, sign, word in (("high", 1.0, "below"), ("low", -1.0, "above")):
        for other in ("open", "close"):
            wrong = sign * (columns[bound] - columns[other]) < 0
            for row in np.flatnonzero(wrong)[:1]:
                source.refuse(
                    int(row),
                    f"{bound} is {columns[bound][row]:g}, {word} {other} {columns[other][row]:g}; "
                    "low <= open, close <= high must hold",
                )
            times = np.exp(sign * np.log(columns[bound] / columns[other]))
            for row in np.flatnonzero(times > _WIDEST)[:1]:
                source.refuse(
                    int(row),
                    f"{bound} is {columns[bound][row]:g}, more than {_WIDEST:,.0f} times away from "
                    f"{other} {columns[other][row]:g}; correct it, or cut it to a price that was "
                    "traded",
                )


def _window(
    source: TableFile,
    time: np.ndarray,
    interval: int,
    start: datetime | None,
    horizon_seconds: float | None,
) -> slice:
    """Return the rows of a window; refuse one with a gap or beyond the file."""
    begin = int(time[0]) if start is None else _tick(start)
    closing = int(time[-1]) + interval
    end = closing if horizon_seconds is None else begin + round(horizon_seconds * TICKS_PER_SECOND)
    if not (time[0] <= begin and end <= closing):
        source.refuse(
            None,
            f"covers {_text(time[0])} to {_text(closing)}; the run needs {_text(begin)} to "
            f"{_text(end)} (UTC): move the start, shorten the run or give a longer file",
        )
    first = int(np.searchsorted(time, begin))
    if first == len(time) or time[first] != begin:
        source.refuse(
            None,
            f"has no candle that opens at the start {_text(begin)}; "
            f"the one before opens at {_text(time[first - 1])}",
        )
    past = max(int(np.searchsorted(time, end)), first + 1)  # opens at or after the end
    for row in np.flatnonzero(np.diff(time[first : past + 1]) != interval)[:1] + first + 1:
        if time[row - 1] + interval >= end:
            return slice(first, past)  # the gap comes after the window
        source.refuse(
            int(row),
            f"time {_text(time[row])} follows {_text(time[row - 1])}; candles must be "
            f"{interval / TICKS_PER_SECOND:g} s apart from {_text(begin)} to {_text(end)}: "
            "choose a window without the gap, or a file that has the candles",
        )
    return slice(first, past + 1)
