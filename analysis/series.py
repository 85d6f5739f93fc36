"""Record frames as series: a column a name, rows since a time, steps that hold until the next.

Samples are steps: a value holds from its time until the next sample. Text columns come from Parquet
as categories; here they become plain text, so that absent names never appear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sim.records import table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_KINDS = {"float64": "float64", "int64": "int64", "text": "object"}


def frame_of(tables: Mapping[str, pd.DataFrame], name: str) -> pd.DataFrame:
    """Return a record table; an empty one with the declared columns where the run has none.

    Parameters
    ----------
    tables : record tables by name
    name : one of `sim.records.TABLES`
    """
    if name in tables:
        return tables[name]
    return pd.DataFrame({c.name: pd.Series(dtype=_KINDS[c.kind]) for c in table(name).columns})


def since(frame: pd.DataFrame, start: float) -> pd.DataFrame:
    """Return the rows from a time on (seconds since the start of the run)."""
    return frame[frame["time"] >= start]


def measured(frame: pd.DataFrame, warmup: float) -> pd.DataFrame:
    """Return the rows after the warm-up; all of them where the run ended before."""
    rows = since(frame, warmup)
    return rows if len(rows) else frame


def wide(frame: pd.DataFrame, name: str, value: str) -> pd.DataFrame:
    """Return one column a name and one row a time; the last row of a name and time counts.

    Parameters
    ----------
    frame : with the columns `time`, `name` and `value`
    name : text column whose values become the columns, in alphabetical order
    value : column of numbers
    """
    names, columns = codes(frame[name])
    rows, times = pd.factorize(frame["time"].to_numpy(float), sort=True)
    found = np.full((len(times), len(names)), np.nan)
    found[rows, columns] = frame[value].to_numpy(float)  # of equal places the last one stays
    return pd.DataFrame(
        found, index=pd.Index(times, name="time"), columns=pd.Index(names, name=name)
    )


def codes(texts: pd.Series[Any]) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Return the distinct texts of a column in alphabetical order, and the place of each row's.

    Parameters
    ----------
    texts : text column, a category or not

    Returns
    -------
    names : str, (n,)
    codes : int64, (n_rows,), into `names`
    """
    numbers, found = pd.factorize(texts)
    order = np.argsort(np.asarray(found, str), kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return np.asarray(found, str)[order].astype(object), place[numbers]


def growth(frame: pd.DataFrame, name: str, value: str, start: float) -> pd.Series[float]:
    """Return by how much a running total of each name grew since a time.

    Parameters
    ----------
    frame : the whole run, since the total at `start` is the last sample at or before it
    name, value : as in `wide`
    start : seconds since the start of the run
    """
    totals = wide(frame, name, value).ffill()
    if totals.empty:
        return pd.Series(dtype=float)
    before = totals.loc[:start]
    base = before.iloc[-1] if len(before) else totals.iloc[0]
    return totals.iloc[-1] - base.fillna(0.0)


def value_at(times: Any, values: Any, at: Any) -> NDArray[np.float64]:
    """Return the last value at or before each time; NaN before the first.

    Parameters
    ----------
    times : float64, (n,), seconds, ascending
    values : float64, (n,)
    at : float64, (m,), seconds
    """
    times, values = np.asarray(times, float), np.asarray(values, float)
    place = np.searchsorted(times, np.asarray(at, float), side="right") - 1
    if not len(values):
        return np.full(place.shape, np.nan)
    return np.where(place >= 0, values[np.maximum(place, 0)], np.nan)


def held_seconds(times: Any, holds: Any) -> float:
    """Return for how many seconds a condition held, each sample lasting until the next.

    Parameters
    ----------
    times : float64, (n,), seconds, ascending
    holds : bool, (n,)
    """
    times = np.asarray(times, float)
    if len(times) < 2:
        return 0.0
    return float(np.diff(times)[np.asarray(holds, bool)[:-1]].sum())


def quantile(values: Any, share: float) -> float:
    """Return a quantile without interpolation, so that infinite values are allowed; NaN if none.

    Parameters
    ----------
    values : float64, (n,); NaN are left out
    share : fraction of the values at or below the result
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan")
    return float(np.quantile(values, share, method="inverted_cdf"))
