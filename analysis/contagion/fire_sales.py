"""Fire sales of those who keep their leverage: what a price shock costs beyond itself.

Who has leverage B (debt / equity) and loses R of its assets A sells A B R to have the same leverage
again, in proportion to what it holds (weights M). Sales of one dollar of asset k move its price by
l_k, and all who hold it lose:

    aggregate vulnerability = 1ᵀ A M L Mᵀ A B M F / E

for the shock F to prices and the equity E of all (Greenwood, Landier and Thesmar 2015). One round;
everybody answers to any shock, however small.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError


class FireSale(NamedTuple):
    """A price shock and the sales that it forces; losses are positive.

    Attributes
    ----------
    direct_loss : share of all equity lost by the shock itself
    sales : float64, (n_assets,), USD
    price_moves : float64, (n_assets,), fraction, by the sales
    indirect_loss : float64, (n,), USD that each loses by the sales of all
    systemicness : float64, (n,), share of all equity that the sales of each cost; sums to `total`
    vulnerability : float64, (n,), `indirect_loss` as a share of its own equity
    total : aggregate vulnerability, share of all equity lost by the sales
    """

    direct_loss: float
    sales: NDArray[np.float64]
    price_moves: NDArray[np.float64]
    indirect_loss: NDArray[np.float64]
    systemicness: NDArray[np.float64]
    vulnerability: NDArray[np.float64]
    total: float


def fire_sale(holdings: Any, equity: Any, leverage: Any, impact: Any, shock: Any) -> FireSale:
    """Return what a price shock forces to be sold, and what that costs.

    Parameters
    ----------
    holdings : float64, (n, n_assets), USD: A M
    equity : float64, (n,), USD, above 0; or that of all together as one number
    leverage : float64, (n,), debt / equity that each keeps
    impact : float64, (n_assets,), fraction by which the sale of one dollar moves the price
    shock : float64, (n_assets,), fraction, negative when prices fall

    Raises
    ------
    InputError
        A holding, a leverage or an impact is negative, or equity is not above 0.

    References
    ----------
    Greenwood, Landier and Thesmar (2015), Vulnerable banks, equations 4 to 8.
    """
    held, kept = np.asarray(holdings, float), np.asarray(leverage, float)
    moved, fall = np.asarray(impact, float), np.asarray(shock, float)
    own = np.atleast_1d(np.asarray(equity, float))
    if min(held.min(initial=0.0), kept.min(initial=0.0), moved.min(initial=0.0)) < 0.0:
        raise InputError("holdings, leverage and impact must be at least 0")
    if own.min() <= 0.0:
        raise InputError(f"equity ({own.min():g}) must be above 0; leave out who has none")
    whole = float(own.sum())
    assets = held.sum(axis=1)
    weights = np.divide(held, assets[:, None], out=np.zeros_like(held), where=assets[:, None] > 0.0)
    loss = -held @ fall
    sales_of = weights * (kept * loss)[:, None]
    sales = sales_of.sum(axis=0)
    indirect = held @ (moved * sales)
    each = indirect / own if len(own) == len(held) else np.full(len(held), np.nan)
    systemicness = sales_of @ (moved * held.sum(axis=0)) / whole
    return FireSale(
        float(loss.sum()) / whole,
        sales,
        -moved * sales,
        indirect,
        systemicness,
        each,
        float(indirect.sum()) / whole,
    )
