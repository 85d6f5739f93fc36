"""Clearing payments: who pays how much of what he owes when some cannot pay all of it.

Payments p clear when everybody pays what he owes (p̄), or all he has if that is less:

    p = min(p̄, e + Πᵀ p),    Π_ij = share of i's debts that it owes to j

(Eisenberg and Noe 2001). With costs of default (Rogers and Veraart 2013) a defaulter hands on the
share α of its outside assets and β of what it was paid. The greatest solution is found by
fictitious defaults: suppose that all pay, see who cannot, solve for what these pay, and repeat
until nobody is added; there are at most as many rounds as participants.

Loans in lending markets are non-recourse: only the part that no collateral covers belongs here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError

_ROUNDING = 1e-12  # of all that is owed: a smaller gap is no default


class Clearing(NamedTuple):
    """What everybody pays, and has left.

    Attributes
    ----------
    payments : float64, (n,), paid in all; at most what is owed
    equity : float64, (n,), what is left after paying, 0 for defaulters
    rounds : int64, (n,), round of fictitious defaults in which one defaulted; 0: it did not
    """

    payments: NDArray[np.float64]
    equity: NDArray[np.float64]
    rounds: NDArray[np.int64]


def eisenberg_noe(liabilities: Any, outside: Any) -> Clearing:
    """Return the greatest clearing payments without costs of default.

    Parameters
    ----------
    liabilities : float64, (n, n), the row owes the column; at least 0
    outside : float64, (n,), what each has beside what the others owe it; at least 0

    Raises
    ------
    InputError
        A number is negative or no number, or the sizes do not fit.

    References
    ----------
    Eisenberg and Noe (2001), Systemic risk in financial systems, theorem 1 and section 3.
    """
    return rogers_veraart(liabilities, outside, 1.0, 1.0)


def rogers_veraart(
    liabilities: Any, outside: Any, outside_recovery: float, paid_recovery: float
) -> Clearing:
    """Return the greatest clearing payments where default costs something.

    Parameters
    ----------
    liabilities, outside : as in `eisenberg_noe`
    outside_recovery : fraction of its outside assets that a defaulter hands on (alpha)
    paid_recovery : fraction of what it is paid that a defaulter hands on (beta)

    Raises
    ------
    InputError
        A number is negative or no number, a fraction is outside 0 to 1, or the sizes do not fit.

    References
    ----------
    Rogers and Veraart (2013), Failure and rescue in an interbank network, definition 3.6.
    """
    owes, has = _checked(liabilities, outside)
    for name, share in (("outside_recovery", outside_recovery), ("paid_recovery", paid_recovery)):
        if not 0.0 <= share <= 1.0:
            raise InputError(f"{name} ({share}) must be from 0 to 1")
    debts = owes.sum(axis=1)
    paid_by = np.divide(owes, debts[:, None], out=np.zeros_like(owes), where=debts[:, None] > 0).T
    slack = _ROUNDING * max(float(debts.sum()), 1e-300)
    payments, rounds = debts.copy(), np.zeros(len(debts), np.int64)
    for turn in range(1, len(debts) + 1):
        short = (has + paid_by @ payments < debts - slack) & (rounds == 0)
        if not short.any():
            break
        rounds[short] = turn
        out = rounds > 0
        inside = np.eye(out.sum()) - paid_recovery * paid_by[np.ix_(out, out)]
        given = outside_recovery * has[out]
        given += paid_recovery * paid_by[np.ix_(out, ~out)] @ debts[~out]
        payments[out] = np.clip(np.linalg.solve(inside, given), 0.0, debts[out])
    left = np.where(rounds > 0, 0.0, has + paid_by @ payments - debts)
    return Clearing(payments, np.maximum(left, 0.0), rounds)


def _checked(liabilities: Any, outside: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    owes, has = np.asarray(liabilities, float), np.asarray(outside, float)
    if owes.ndim != 2 or has.shape != owes.shape[:1] or owes.shape[0] != owes.shape[1]:
        raise InputError(
            f"liabilities {owes.shape} must be square and outside {has.shape} as long as its side"
        )
    for name, values in (("liabilities", owes), ("outside", has)):
        if not (np.isfinite(values) & (values >= 0.0)).all():
            raise InputError(f"{name} must be finite and at least 0; its least is {values.min()}")
    return owes, has
