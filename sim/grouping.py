"""Rows in the order of a small whole number, such as the group that an account belongs to."""

from __future__ import annotations

import numpy as np

from sim.kernel import kernel


@kernel(inline=False)
def _sort(keys, bounds, order):  # type: ignore[no-untyped-def]
    """Write the stable order of the keys; `bounds` is all zero, one longer than there are keys."""
    n_keys = bounds.shape[0] - 1
    for row in range(keys.shape[0]):
        bounds[keys[row]] += 1
    first = 0
    for key in range(n_keys):
        count = bounds[key]
        bounds[key] = first
        first += count
    for row in range(keys.shape[0]):
        key = keys[row]
        order[bounds[key]] = row
        bounds[key] += 1
    for key in range(n_keys, 0, -1):  # each bound has moved to the end of its key
        bounds[key] = bounds[key - 1]
    bounds[0] = 0


def sort_rows(keys: np.ndarray, n_keys: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows sorted by key, equal ones as they came, and where each key begins.

    Parameters
    ----------
    keys : int64, (n,), from 0 to below `n_keys`
    n_keys : number of keys

    Returns
    -------
    order : int64, (n,); rows `order[bounds[k]:bounds[k + 1]]` have key k
    bounds : int64, (n_keys + 1,)

    Notes
    -----
    A counting sort: O(n + n_keys).
    """
    keys = np.ascontiguousarray(keys, np.int64)
    order, bounds = np.empty(len(keys), np.int64), np.zeros(n_keys + 1, np.int64)
    _sort(keys, bounds, order)
    return order, bounds


def ranges(bounds: np.ndarray) -> list[tuple[int, int, int]]:
    """Return (key, start, end) of each key that occurs, from the bounds of sorted rows."""
    found = np.flatnonzero(bounds[1:] > bounds[:-1])
    return list(
        zip(found.tolist(), bounds[found].tolist(), bounds[found + 1].tolist(), strict=True)
    )


def rows_by_key(keys: np.ndarray, n_keys: int) -> list[tuple[int, np.ndarray]]:
    """Return the rows of each key that occurs, keys ascending: (key, int64 rows)."""
    order, bounds = sort_rows(keys, n_keys)
    return [(key, order[start:end]) for key, start, end in ranges(bounds)]
