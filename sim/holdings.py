"""Who holds what: the balances of the ledger by group and by token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.kernel import kernel

if TYPE_CHECKING:
    from sim.ledger import Ledger


@kernel(inline=False)
def _add_accounts(ledger, rows, sums):  # type: ignore[no-untyped-def]
    """Add up the accounts of each group, a column a token that they can hold."""
    for group in range(rows.shape[0]):
        first, width = ledger.first[group], ledger.width[group]
        for row in range(rows[group]):
            for column in range(width):
                sums[group, column] += ledger.balance[first + row * width + column]


def group_balances(ledger: Ledger, rows: np.ndarray) -> np.ndarray:
    """Return the balances of each group: float64, (n_groups, n_tokens), token units.

    Parameters
    ----------
    rows : int64, (n_groups,), accounts in each group
    """
    sums = np.zeros(ledger.column.shape)
    _add_accounts(ledger, rows, sums)
    can_hold = ledger.column >= 0
    of_token = np.take_along_axis(sums, np.where(can_hold, ledger.column, 0), axis=1)
    return np.where(can_hold, of_token, 0.0)


@kernel(inline=False)
def _list_holders(ledger, rows, token, group_of, row_of, amount):  # type: ignore[no-untyped-def]
    """Write every account that holds some of a token; returns how many do."""
    n = 0
    for group in range(rows.shape[0]):
        column = ledger.column[group, token]
        if column < 0:
            continue
        at, width = ledger.first[group] + column, ledger.width[group]
        for row in range(rows[group]):
            held = ledger.balance[at + row * width]
            if held != 0.0:
                group_of[n], row_of[n], amount[n] = group, row, held
                n += 1
    return n


def holders(
    ledger: Ledger, rows: np.ndarray, token: int
) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Return (group, rows, amounts) of every account that holds some of a token.

    Parameters
    ----------
    rows : int64, (n_groups,), accounts in each group
    """
    n = int(rows.sum())
    group_of, row_of, amount = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    n = _list_holders(ledger, rows, token, group_of, row_of, amount)
    first = np.flatnonzero(np.diff(group_of[:n], prepend=-1)).tolist()
    return [
        (int(group_of[start]), row_of[start:end].copy(), amount[start:end].copy())
        for start, end in zip(first, [*first, n][1:], strict=True)
    ]


def balances_of(
    ledger: Ledger, group: np.ndarray, row: np.ndarray, token: np.ndarray
) -> np.ndarray:
    """Return what accounts hold of tokens, one of each: float64, (n,), token units.

    Parameters
    ----------
    group, row, token : int64, (n,)
    """
    column = ledger.column[group, token]
    at = ledger.first[group] + row * ledger.width[group] + np.maximum(column, 0)
    return np.where(column >= 0, ledger.balance[at], 0.0)
