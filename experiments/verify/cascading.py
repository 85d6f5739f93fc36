"""A cascade round by round: liquidated collateral sold where the lending market reads its price.

Accounts are uniform in the logarithm of the price at which they become unsafe: `rho` units of
collateral are seized for each unit by which the log price falls. Sold into a constant product pool
with a reserve of X, they lower its log price by n = 2 rho / X times as much, to first order: an
outside fall s0 becomes s0 / (1 - n), and never ends for n >= 1.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from sim.amm.constant_product_facade import ConstantProductPool
from sim.lending.config import ReserveConfig
from sim.lending.facade import LendingMarket

DEPTH = 10_000.0  # ETH in the pool
PRICE = 2_000.0  # USD
THRESHOLD, BONUS = 0.8, 0.05
SHOCK = 0.0025  # log price; the second order takes n^2 F / (4 (1 - n)) of the fall F: 1 % at 0.8
SPACING = 1e-5  # log price between two accounts: 0.4 % of the shock


class Cascade(NamedTuple):
    """What a cascade came to."""

    fall: float  # log price, the shock included
    rounds: list[float]  # ETH seized in each
    n_left: int  # accounts not liquidated


def market_of(rho: float, n: int) -> LendingMarket:
    """Return a market with a lender and n debtors, the k-th unsafe after a fall of (k + 1/2) du."""
    flat: dict[str, Any] = {"base_rate": 0.0, "slope1": 0.0, "slope2": 0.0}
    ether = ReserveConfig(
        price=PRICE,
        loan_to_value=THRESHOLD,
        liquidation_threshold=THRESHOLD,
        liquidation_bonus=BONUS,
        **flat,
    )
    market = LendingMarket(
        {"ETH": ether, "USD": ReserveConfig(price=1.0, **flat)}, close_factor=1.0
    )
    market.supply("bank", "USD", 2.0 * rho * SPACING * PRICE * n)
    seized = rho * SPACING
    for k in range(n):
        unsafe_at = PRICE * math.exp(-(k + 0.5) * SPACING)
        debt = seized * unsafe_at / (1.0 + BONUS)
        market.supply(k, "ETH", debt / (unsafe_at * THRESHOLD))
        market.borrow(k, "USD", debt)
    return market


def cascade(rho: float, n: int, shock: float = SHOCK) -> Cascade:
    """Let somebody sell until the price has fallen by the shock, then liquidate round by round."""
    market, pool = market_of(rho, n), ConstantProductPool(DEPTH, DEPTH * PRICE, 0.0)
    pool.swap_exact_in(0, DEPTH * math.expm1(shock / 2.0))
    rounds: list[float] = []
    first = 0
    while True:
        price = pool.reserves[1] / pool.reserves[0]
        market.set_price("ETH", price)
        seized = 0.0
        while first < n and market.health_factor(first) < 1.0:
            seized += market.liquidate(first, "USD", "ETH").seized
            first += 1
        if seized == 0.0:
            return Cascade(math.log(PRICE / price), rounds, n - first)
        pool.swap_exact_in(0, seized)
        rounds.append(seized)
