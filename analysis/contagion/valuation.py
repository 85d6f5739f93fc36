"""Network valuation: equity when claims on others are worth what these can pay.

    E_i = A_i - L_i + Σ_j A_ij V(E_j) - Σ_j A_ji

with outside assets A_i and debts L_i, which are senior, and claims A_ij of i on j. The valuation V
of a claim makes the model: Eisenberg-Noe clearing, Furfine's fixed recovery and linear DebtRank are
three of them (Barucca et al. 2020). Starting from claims at par, equity falls to the greatest
solution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Valuation: TypeAlias = (
    "Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]"
)
_MOST_ROUNDS = 100_000
_CLOSE = 1e-14  # of all claims: the change of equity at which it has settled


def clearing_value(equity: Any, debts: Any, _before: Any) -> NDArray[np.float64]:
    """Value claims as Eisenberg and Noe do: what is left for a debtor's junior creditors.

    Parameters
    ----------
    equity, debts : float64, (n,): equity now, claims of others on it; equity at first is not used
    """
    share = np.divide(equity + debts, debts, out=np.zeros_like(debts), where=debts > 0.0)
    return np.where(equity >= 0.0, 1.0, np.maximum(share, 0.0))


def fixed_recovery(recovery: float) -> Valuation:
    """Return Furfine's valuation: a defaulter's claims are worth the share `recovery` of par."""

    def value(equity: Any, _debts: Any, _before: Any) -> NDArray[np.float64]:
        return np.where(equity >= 0.0, 1.0, recovery)

    return value


def equity_share(equity: Any, _debts: Any, before: Any) -> NDArray[np.float64]:
    """Value claims as linear DebtRank does: by the share of its equity that a debtor has kept."""
    share = np.divide(equity, before, out=np.zeros_like(before), where=before > 0.0)
    return np.asarray(np.clip(share, 0.0, 1.0))


def network_equity(
    claims: Any, outside: Any, debts: Any, shock: Any, valuation: Valuation
) -> NDArray[np.float64]:
    """Return the equity of everybody after a shock to outside assets: float64, (n,).

    Parameters
    ----------
    claims : float64, (n, n), claims of the row on the column
    outside, debts : float64, (n,), outside assets before the shock, and outside debts (senior)
    shock : float64, (n,), loss of outside assets
    valuation : what a claim is worth, a fraction of par

    Raises
    ------
    InputError
        Equity has not settled after many rounds.

    References
    ----------
    Barucca et al. (2020), Network valuation in financial systems, equations 3 and 12.
    """
    A, owed = np.asarray(claims, float), np.asarray(claims, float).sum(axis=0)
    base = np.asarray(outside, float) - np.asarray(debts, float) - owed
    before = base + A.sum(axis=1)
    base = base - np.asarray(shock, float)
    equity = base + A.sum(axis=1)
    for _ in range(_MOST_ROUNDS):
        lower = base + A @ valuation(equity, owed, before)
        if np.abs(lower - equity).max(initial=0.0) <= _CLOSE * max(float(A.sum()), 1e-300):
            return np.asarray(lower)
        equity = lower
    raise InputError(f"equity has not settled in {_MOST_ROUNDS} rounds; check the claims")
