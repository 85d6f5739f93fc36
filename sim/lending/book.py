"""The book: positions that exist when a simulation starts.

They are written without the checks of an operation: an account may owe more than its loan to value
allows, as real accounts do after a fall in prices. What must hold is that the cash is not negative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.errors import InputError
from sim.kernel import kernel
from sim.lending.account import add_claim, add_debt, slot_for
from sim.lending.modes import is_compatible, isolating_reserve, note_isolated_debt
from sim.status import Status

if TYPE_CHECKING:
    from sim.lending.state import LendingState

OK = int(Status.OK)
NO_SLOT = int(Status.NO_SLOT)
NO_POSITION = int(Status.NO_POSITION)
BAD_AMOUNT = int(Status.BAD_AMOUNT)


@kernel
def enter_claim(state, position, reserve, amount):  # type: ignore[no-untyped-def]
    """Give a position a claim of `amount` tokens that came in as cash; returns the status."""
    asset = state.reserves[reserve]
    if not 0.0 <= amount < np.inf:
        return BAD_AMOUNT
    if state.positions[position].market != asset.market:
        return NO_POSITION
    slot = slot_for(state.collateral_reserve, position, reserve)
    if slot < 0:
        return NO_SLOT
    if amount > 0.0:
        is_new = state.collateral_reserve[position, slot] < 0
        fits = is_compatible(state, position, reserve)
        add_claim(state, position, slot, reserve, amount / asset.supply_index)
        if is_new and asset.loan_to_value == 0.0:  # it may be older than the rule
            state.is_used[position, slot] = 1 if fits else 0
        asset.cash += amount
    return OK


@kernel
def enter_debt(state, position, reserve, amount):  # type: ignore[no-untyped-def]
    """Give a position a debt of `amount` tokens that went out as cash; returns the status."""
    asset = state.reserves[reserve]
    if not 0.0 <= amount < np.inf:
        return BAD_AMOUNT
    if state.positions[position].market != asset.market:
        return NO_POSITION
    slot = slot_for(state.debt_reserve, position, reserve)
    if slot < 0:
        return NO_SLOT
    if amount > 0.0:
        add_debt(state, position, slot, reserve, amount / asset.borrow_index)
        note_isolated_debt(state, isolating_reserve(state, position), amount)
        asset.cash -= amount
    return OK


@kernel(inline=False)
def _enter_rows(state, rows, assets, amounts, are_debts):  # type: ignore[no-untyped-def]
    """Enter all rows; returns the first that failed and its status, or (-1, OK)."""
    for k in range(rows.shape[0]):
        if are_debts:
            status = enter_debt(state, rows[k], assets[k], amounts[k])
        else:
            status = enter_claim(state, rows[k], assets[k], amounts[k])
        if status != OK:
            return k, status
    return -1, OK


def enter_book(
    state: LendingState,
    rows: np.ndarray,
    assets: np.ndarray,
    amounts: np.ndarray,
    *,
    are_debts: bool,
) -> None:
    """Enter claims, or debts, of many positions; claims first, so that there is cash to lend.

    Afterwards `cash` is what the market's account must hold on the ledger.

    Parameters
    ----------
    rows, assets : integers, (n,), rows of `positions` and `reserves`
    amounts : float64, (n,), tokens
    are_debts : whether the amounts are owed or supplied

    Raises
    ------
    InputError
        A row is out of range, in another market, without a free slot, or its amount is negative or
        not finite; or the debts exceed the cash. Nothing is entered if a row is out of range.
    """
    rows, assets = np.ascontiguousarray(rows, np.int64), np.ascontiguousarray(assets, np.int64)
    _check_rows("position", rows, len(state.positions))
    _check_rows("reserve", assets, len(state.reserves))
    amounts = np.ascontiguousarray(amounts, np.float64)
    failed, status = _enter_rows(state, rows, assets, amounts, are_debts)
    kind = "debt" if are_debts else "claim"
    if status != OK:
        raise InputError(
            f"{kind} {failed} of the book: {amounts[failed]:g} tokens of reserve {assets[failed]} "
            f"at position {rows[failed]} cannot be entered ({Status(status).name}); amounts are "
            "finite and not negative, position and reserve of one market, with a free slot"
        )
    short = np.flatnonzero(state.reserves["cash"] < 0.0)
    if len(short):
        reserve = int(short[0])
        raise InputError(
            f"the book owes {-state.reserves[reserve].cash:g} tokens of reserve {reserve} more "
            "than is supplied; raise the supply or lower the debts"
        )


def _check_rows(name: str, rows: np.ndarray, n: int) -> None:
    wrong = np.flatnonzero((rows < 0) | (rows >= n))
    if len(wrong):
        raise InputError(f"{name} {rows[wrong[0]]} of the book is not one of 0 to {n - 1}")
