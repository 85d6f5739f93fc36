"""Arguments of facades of pools of several tokens: checked, and refused by name."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sim.amm.token_pool import MOST_TOKENS, OK
from sim.errors import InputError, RefusedError
from sim.status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_reserves(reserves: Sequence[float]) -> int:
    """Return how many tokens there are.

    Raises
    ------
    InputError
        Too few or too many, or one is no positive number.
    """
    n = len(reserves)
    if not 2 <= n <= MOST_TOKENS:
        raise InputError(f"reserves ({n}) must be of 2 to {MOST_TOKENS} tokens")
    if not all(0.0 < reserve < math.inf for reserve in reserves):
        raise InputError(f"reserves ({list(reserves)}) must be positive numbers of tokens")
    return n


def check_fee(fee: float, quantum: float | None) -> None:
    """Check fee and quantum of a pool.

    Raises
    ------
    InputError
        One is out of its range.
    """
    if not 0.0 <= fee < 1.0:
        raise InputError(f"fee ({fee}) must be a fraction from 0 to below 1, such as 0.003")
    if quantum is not None and not 0.0 < quantum < math.inf:
        raise InputError(f"quantum ({quantum}) must be above 0, or None for real numbers")


def check_pair(token_in: int, token_out: int, n: int) -> None:
    """Check the two tokens of a swap.

    Raises
    ------
    InputError
        One does not exist, or both are the same.
    """
    check_token(token_in, n)
    check_token(token_out, n)
    if token_in == token_out:
        raise InputError(f"token_in and token_out are both {token_in}; name two tokens")


def check_token(token: int, n: int) -> None:
    """Check the place of a token.

    Raises
    ------
    InputError
        There is none.
    """
    if token not in range(n):
        raise InputError(f"token ({token}) must be from 0 to {n - 1}")


def amounts_row(amounts: Sequence[float], n: int) -> np.ndarray:
    """Return amounts of each token as float64, (MOST_TOKENS,).

    Raises
    ------
    InputError
        They are not one for each token, or one is no amount.
    """
    if len(amounts) != n or not all(0.0 <= amount < math.inf for amount in amounts):
        raise InputError(f"amounts ({list(amounts)}) must be {n} numbers of tokens, 0 or more")
    made = np.zeros(MOST_TOKENS)
    made[:n] = amounts
    return made


def refuse(status: int, what: str, reserves: Sequence[float]) -> None:
    """Raise what a status other than OK means.

    Raises
    ------
    RefusedError
        The status says no.
    """
    if status != OK:
        raise RefusedError(
            f"{what} is refused ({Status(status).name.lower()}); the pool holds {tuple(reserves)}"
        )
