"""DebtRank: the share of its equity that each participant loses when others are in distress.

Distress h is the share of equity lost, 0 to 1. A participant with exposure A_ij to another and
equity E_i loses the share A_ij / E_i of its equity when the other loses all of its own, and less in
proportion. In the linear form (Bardoscia et al. 2015) every further loss is passed on:

    h_i(t+1) = min(1, h_i(t) + Σ_j Λ_ij (h_j(t) - h_j(t-1))),    Λ_ij = A_ij / E_i

In the original form (Battiston et al. 2012) each passes its distress on once, the round after it
was first hit, so that the loss is not counted again when it comes round in a circle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from sim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_ROUNDS = 100_000
_AT_ONCE = 256  # failures computed together: accounts may be many
_CLOSE = 1e-13  # share of equity: a smaller further loss is none


def leverage(exposures: Any, equity: Any) -> Any:
    """Return Λ: exposures as shares of the equity of those who have them.

    Parameters
    ----------
    exposures : float64, (n, n), dense or sparse: what the row loses if the column fails wholly
    equity : float64, (n,); who has none has nothing to lose: his row is 0

    Returns
    -------
    sparse float64, (n, n)
    """
    table = sparse.csr_array(exposures, dtype=float)
    own = np.asarray(equity, float)
    per_dollar = np.divide(1.0, own, out=np.zeros(len(own)), where=own > 0.0)
    return sparse.csr_array(sparse.diags_array(per_dollar) @ table)


def linear_debt_rank(shares: Any, initial: Any) -> NDArray[np.float64]:
    """Return the distress of everybody in the linear form.

    Parameters
    ----------
    shares : float64, (n, n), dense or sparse: Λ
    initial : float64, (n,) or (n, m): initial distress, of m shocks at once

    Returns
    -------
    float64, of the shape of `initial`, 0 to 1

    References
    ----------
    Bardoscia, Battiston, Caccioli and Caldarelli (2015), DebtRank: a microscopic foundation for
    shock propagation, equation 7.
    """
    matrix, distress = sparse.csr_array(shares, dtype=float), _checked(initial)
    change = distress
    for _ in range(_MOST_ROUNDS):
        further = np.minimum(1.0, distress + matrix @ change)
        change, distress = further - distress, further
        if change.max(initial=0.0) <= _CLOSE:
            return distress
    raise InputError(f"distress has not settled in {_MOST_ROUNDS} rounds; check the exposures")


def debt_rank(shares: Any, initial: Any) -> NDArray[np.float64]:
    """Return the distress of everybody in the original form, in which each passes it on once.

    Parameters
    ----------
    shares, initial : as in `linear_debt_rank`; shares above 1 count as 1

    Returns
    -------
    float64, of the shape of `initial`, 0 to 1

    References
    ----------
    Battiston, Puliga, Kaushik, Tasca and Caldarelli (2012), DebtRank: too central to fail?
    """
    matrix, distress = sparse.csr_array(shares, dtype=float).copy(), _checked(initial)
    matrix.data = np.minimum(matrix.data, 1.0)
    is_fresh, is_spent = distress > 0.0, np.zeros(distress.shape, bool)
    while is_fresh.any():
        distress = np.minimum(1.0, distress + matrix @ np.where(is_fresh, distress, 0.0))
        is_spent |= is_fresh
        is_fresh = (distress > 0.0) & ~is_spent
    return distress


def systemic_loss(distress: Any, initial: Any, weights: Any) -> NDArray[np.float64]:
    """Return the loss that others add to an initial one, as a share of all equity.

    Parameters
    ----------
    distress, initial : float64, (n,) or (n, m), after and before it spread
    weights : float64, (n,), share of each in all equity (or in what else counts)

    Returns
    -------
    float64, scalar or (m,)
    """
    further = np.asarray(distress, float) - np.asarray(initial, float)
    return np.asarray(np.asarray(weights, float) @ further)


def importance(shares: Any, weights: Any, *, is_linear: bool = True) -> NDArray[np.float64]:
    """Return the DebtRank of each: the share of all equity that others lose if it fails wholly.

    Parameters
    ----------
    shares : float64, (n, n): Λ
    weights : float64, (n,), share of each in all equity
    is_linear : the linear form; else the original

    Returns
    -------
    float64, (n,), 0 to 1
    """
    n = len(np.asarray(weights))
    spread = linear_debt_rank if is_linear else debt_rank
    found = np.zeros(n)
    for first in range(0, n, _AT_ONCE):
        failures = np.eye(n, min(_AT_ONCE, n - first), -first)
        found[first : first + _AT_ONCE] = systemic_loss(spread(shares, failures), failures, weights)
    return found


def _checked(initial: Any) -> NDArray[np.float64]:
    distress = np.asarray(initial, float)
    if not ((distress >= 0.0) & (distress <= 1.0)).all():
        raise InputError("initial distress is a share of equity: give numbers from 0 to 1")
    return distress
