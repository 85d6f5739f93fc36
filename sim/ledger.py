"""The ledger: who holds how much of which token, on every chain.

A token is a node `(chain, symbol)` of the token graph and has one number. Accounts come in groups
(a population of agents, the venues of one mechanism, the outside world); an account is `(group,
row)`. Each group declares the tokens its accounts can hold, so a million accounts of two tokens
cost 16 MB.

Only `transfer`, `mint` and `burn` write balances. Sum of balances = supply, for each token, always.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sim.errors import InvariantError
from sim.kernel import F8, I8, I8x2, columnar, kernel
from sim.status import Status

OK = int(Status.OK)
INSUFFICIENT_FUNDS = int(Status.INSUFFICIENT_FUNDS)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
_EPSILON = 2.0**-52


@columnar
class Ledger(NamedTuple):
    """All balances; an account of group g, row r holds token t in `slot(ledger, g, r, t)`."""

    balance: F8  # float64, (n_slots,), token units
    first: I8  # int64, (n_groups,), first slot of the group
    width: I8  # int64, (n_groups,), tokens an account of the group can hold
    column: I8x2  # int64, (n_groups, n_tokens), column of the token in the group, -1 = cannot hold
    is_outside: I8  # int64, (n_groups,), 1: may go below zero (stands for the rest of the world)
    supply: F8  # float64, (n_tokens,), token units
    n_moves: I8  # int64, (n_tokens,), transfers, mints and burns so far
    turnover: F8  # float64, (n_tokens,), sum of the amounts moved


def make_ledger(
    rows: list[int], tokens: list[list[int]], is_outside: list[bool], n_tokens: int
) -> Ledger:
    """Return an empty ledger.

    Parameters
    ----------
    rows : accounts in each group
    tokens : the tokens that each group can hold
    is_outside : whether each group may go below zero
    n_tokens : number of tokens
    """
    width = np.array([len(held) for held in tokens], np.int64)
    sizes = width * np.array(rows, np.int64)
    column = np.full((len(rows), n_tokens), -1, np.int64)
    for group, held in enumerate(tokens):
        column[group, held] = np.arange(len(held))
    return Ledger(
        balance=np.zeros(int(sizes.sum())),
        first=np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64),
        width=width,
        column=column,
        is_outside=np.array(is_outside, np.int64),
        supply=np.zeros(n_tokens),
        n_moves=np.zeros(n_tokens, np.int64),
        turnover=np.zeros(n_tokens),
    )


@kernel
def slot(ledger, group, row, token):  # type: ignore[no-untyped-def]
    """Return the place of a balance, or -1 where the group cannot hold the token."""
    column = ledger.column[group, token]
    if column < 0:
        return -1
    return ledger.first[group] + row * ledger.width[group] + column


@kernel
def balance_of(ledger, group, row, token):  # type: ignore[no-untyped-def]
    """Return a balance; 0 where the group cannot hold the token."""
    at = slot(ledger, group, row, token)
    return ledger.balance[at] if at >= 0 else 0.0


@kernel
def can_pay(ledger, group, row, token, amount):  # type: ignore[no-untyped-def]
    """Return OK, or why the account cannot pay the amount."""
    at = slot(ledger, group, row, token)
    if at < 0:
        return NOT_ALLOWED
    if not 0.0 <= amount < math.inf:
        return BAD_AMOUNT
    if ledger.is_outside[group] == 0 and ledger.balance[at] < amount:
        return INSUFFICIENT_FUNDS
    return OK


@kernel
def transfer(ledger, group, row, to_group, to_row, token, amount):  # type: ignore[no-untyped-def]
    """Move tokens between accounts; OK, or why nothing was moved."""
    status = can_pay(ledger, group, row, token, amount)
    if status != OK:
        return status
    target = slot(ledger, to_group, to_row, token)
    if target < 0:
        return NOT_ALLOWED
    ledger.balance[slot(ledger, group, row, token)] -= amount
    ledger.balance[target] += amount
    ledger.n_moves[token] += 1
    ledger.turnover[token] += amount
    return OK


@kernel
def mint(ledger, group, row, token, amount):  # type: ignore[no-untyped-def]
    """Create tokens in an account: the named issue of a stablecoin, wrapped or share token."""
    at = slot(ledger, group, row, token)
    if at < 0:
        return NOT_ALLOWED
    if not 0.0 <= amount < math.inf:
        return BAD_AMOUNT
    ledger.balance[at] += amount
    ledger.supply[token] += amount
    ledger.n_moves[token] += 1
    ledger.turnover[token] += amount
    return OK


@kernel
def burn(ledger, group, row, token, amount):  # type: ignore[no-untyped-def]
    """Destroy tokens of an account; OK, or why nothing was destroyed."""
    status = can_pay(ledger, group, row, token, amount)
    if status != OK:
        return status
    ledger.balance[slot(ledger, group, row, token)] -= amount
    ledger.supply[token] -= amount
    ledger.n_moves[token] += 1
    ledger.turnover[token] += amount
    return OK


def holdings(ledger: Ledger, group: int, rows: int) -> np.ndarray:
    """Return the balances of a group as a view: float64, (rows, width), token units."""
    first, width = int(ledger.first[group]), int(ledger.width[group])
    return ledger.balance[first : first + rows * width].reshape(rows, width)


def check_conservation(ledger: Ledger, rows: list[int], names: list[str]) -> None:
    """Check that the balances of each token add up to its supply.

    The tolerance is what rounding can do: 4 eps for each move, of the largest balance.

    Raises
    ------
    InvariantError
        A token was created or destroyed without a mint or burn; names token and amounts.
    """
    total = np.zeros(len(names))
    largest = np.abs(ledger.supply)
    for group, n in enumerate(rows):
        held = holdings(ledger, group, n)
        for token in np.flatnonzero(ledger.column[group] >= 0):
            part = held[:, ledger.column[group, token]]
            total[token] += part.sum()
            if n:
                largest[token] = max(largest[token], np.abs(part).max())
    allowed = 4 * _EPSILON * (ledger.n_moves + sum(rows)) * largest
    wrong = np.flatnonzero(~(np.abs(total - ledger.supply) <= allowed))  # what is no number, too
    if len(wrong):
        t = int(wrong[0])
        raise InvariantError(
            f"token {names[t]}: the balances add up to {total[t]:.17g} but the supply is "
            f"{ledger.supply[t]:.17g}; at most {allowed[t]:.3g} may be rounding"
        )
