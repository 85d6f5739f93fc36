"""`IsolatedMarket`: one Morpho Blue market with the contract's verbs, over the engine's kernels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sim.lending.facade import LendingMarket, Liquidation
from sim.lending.isolated import PairConfig, incentive_factor, pair_market

if TYPE_CHECKING:
    from collections.abc import Hashable

_ORDER = ("collateral", "loan")


class IsolatedMarket:
    """One isolated market; users are any hashable keys, time moves by `accrue` alone.

    Parameters
    ----------
    liquidation_loan_to_value : fraction, most debt over collateral
    price : loan tokens per collateral token
    **terms : other fields of `PairConfig`

    Raises
    ------
    InputError
        A number is not usable.

    Examples
    --------
    >>> market = IsolatedMarket(0.86, price=2_000.0)
    >>> market.supply("bank", 10_000.0)
    10000.0
    >>> market.supply_collateral("ann", 1.0)
    1.0
    >>> market.borrow("ann", 1_600.0)
    1600.0
    >>> round(market.health_factor("ann"), 3)
    1.075
    """

    def __init__(self, liquidation_loan_to_value: float, price: float, **terms: Any) -> None:
        pair = PairConfig(liquidation_loan_to_value=liquidation_loan_to_value, **terms)
        config = pair_market(pair, _ORDER, {"collateral": price, "loan": 1.0}, _ORDER)
        self.incentive_factor = incentive_factor(liquidation_loan_to_value)
        self.market = LendingMarket.of(config, _ORDER)

    # --- verbs -----------------------------------------------------------------------------------

    def supply(self, user: Hashable, amount: float) -> float:
        """Lend loan tokens; returns the amount."""
        return self.market.supply(user, "loan", amount)

    def withdraw(self, user: Hashable, amount: float = math.inf) -> float:
        """Take back loan tokens, by default all; returns the amount."""
        return self.market.withdraw(user, "loan", amount)

    def supply_collateral(self, user: Hashable, amount: float) -> float:
        """Pledge collateral; returns the amount."""
        return self.market.supply(user, "collateral", amount)

    def withdraw_collateral(self, user: Hashable, amount: float = math.inf) -> float:
        """Take back collateral, by default all; returns the amount."""
        return self.market.withdraw(user, "collateral", amount)

    def borrow(self, user: Hashable, amount: float) -> float:
        """Take a loan; returns the amount."""
        return self.market.borrow(user, "loan", amount)

    def repay(self, user: Hashable, amount: float = math.inf) -> float:
        """Pay back a loan, by default all; returns the amount."""
        return self.market.repay(user, "loan", amount)

    def liquidate(
        self, user: Hashable, *, repaid: float = math.inf, seized: float = math.inf
    ) -> Liquidation:
        """Repay debt of an unhealthy account and seize collateral with the incentive.

        Parameters
        ----------
        repaid, seized : most loan tokens paid, most collateral tokens taken; the smaller binds
        """
        worth = self.market.state.reserves[0]["price"] / self.incentive_factor
        amount = min(repaid, seized * float(worth))
        return self.market.liquidate(user, "loan", "collateral", amount)

    def accrue(self, seconds: float) -> None:
        """Let time pass, and write down interest."""
        self.market.accrue(seconds)

    def set_price(self, price: float) -> None:
        """Set the price of collateral, loan tokens per token."""
        self.market.set_price("collateral", price)

    # --- what can be seen ------------------------------------------------------------------------

    def health_factor(self, user: Hashable) -> float:
        """Return collateral value x threshold over debt; inf without debt."""
        return self.market.health_factor(user)

    def supplied(self, user: Hashable) -> float:
        """Return the claim of a supplier, loan tokens with interest."""
        return self.market.supplied(user, "loan")

    def collateral(self, user: Hashable) -> float:
        """Return the collateral of an account."""
        return self.market.supplied(user, "collateral")

    def owed(self, user: Hashable) -> float:
        """Return the debt of an account, loan tokens with interest."""
        return self.market.owed(user, "loan")

    def utilization(self) -> float:
        """Return debt over what is supplied."""
        return self.market.utilization("loan")

    def borrow_rate(self) -> float:
        """Return the rate per year that borrowers pay now."""
        return self.market.borrow_rate("loan")

    def supply_rate(self) -> float:
        """Return the rate per year that suppliers earn now."""
        return self.market.supply_rate("loan")

    def rate_at_target(self) -> float:
        """Return the rate per year at target utilization, as of the last accrual."""
        return float(self.market.state.reserves[1]["rate_at_target"])

    def fees(self) -> float:
        """Return the claim of the fee recipient, loan tokens."""
        return self.market.treasury("loan")
