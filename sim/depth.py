"""How much a pool takes until its marginal price has moved by a given share."""

from __future__ import annotations

import numpy as np

from sim.kernel import kernel
from sim.status import Status
from sim.venues import Venues, quote

OK = int(Status.OK)
MOVES = (-0.05, -0.02, -0.01, 0.01, 0.02, 0.05)  # of the price of token 0 in token 1, fractions


@kernel(inline=False)
def _measure(venues, pools, moves, reference, usd):  # type: ignore[no-untyped-def]
    for k in range(pools.shape[0]):
        pool = pools[k]
        price, quoted = venues.price[pool], reference[venues.token1[pool]]
        price0 = reference[venues.token0[pool]]
        if quoted <= 0.0:  # of tokens without a reference price the pool is the market
            quoted = price0 / price
        if price0 <= 0.0:
            price0 = quoted * price
        for j in range(moves.shape[0]):
            side = 0 if moves[j] < 0.0 else 1
            q = quote(venues, pool, side, 1e30, price * (1.0 + moves[j]))
            net = q.amount_in - q.fee_paid
            usd[k, j] = net * (price0 if side == 0 else quoted) if q.status == OK else 0.0


def measure_depth(venues: Venues, pools: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return what must be paid in to move the marginal price of pools, without fees.

    Parameters
    ----------
    pools : int64, (n,), venues that are pools
    reference : float64, (n_tokens,), USD, 0: none

    Returns
    -------
    float64, (n, n_moves), USD; down, the price of token 0, what is sold of it; where the liquidity
    ends before, what it takes to get there; 0: none
    """
    usd = np.zeros((len(pools), len(MOVES)))
    _measure(venues, pools, np.array(MOVES), reference, usd)
    return usd
