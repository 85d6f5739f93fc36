"""`LendingMarket`: one market under Aave v3 rules, with the contract's verbs.

The kernels are the engine's. Users are any hashable keys, assets are names, time is an own clock
that only `accrue` moves; tokens come from and go to nowhere, as if every user were rich.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.errors import InputError, RefusedError
from sim.lending import account, liquidation, market, reserve
from sim.lending.config import MarketConfig, ReserveConfig
from sim.lending.guardian import Guardian
from sim.lending.state import add_positions, make_state
from sim.status import Status
from sim.units import ticks

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

_REASONS = {
    Status.ZERO_AMOUNT: "the amount is zero",
    Status.BAD_AMOUNT: "the amount is not a positive finite number",
    Status.DUST: "it would leave a debt or collateral too small to be liquidated (dust)",
    Status.HALTED: "the reserve is paused, frozen or inactive",
    Status.NO_SLOT: "the account has no free slot; it holds {slots}",
    Status.NO_POSITION: "the account has no such claim or debt",
    Status.NO_CASH: "the market has cash of {cash}",
    Status.CAP: "supply {supply} of at most {supply_cap}, debt {debt} of at most {borrow_cap}",
    Status.NOT_COLLATERAL: "the asset cannot be borrowed, or is no collateral, here",
    Status.INSUFFICIENT_FUNDS: "the claim of the account is {claim}",
    Status.UNHEALTHY: "debt value {debt_value}, borrow limit {loan_value}, "
    "collateral at threshold {threshold_value}",
    Status.NOT_LIQUIDATABLE: "the health factor is {health}; it must be below 1",
    Status.ZERO_LTV: "collateral whose loan to value is 0 has to be withdrawn first",
    Status.MODE: "the efficiency mode or isolation of the account does not allow the asset",
    Status.NOT_ALLOWED: "the account cannot liquidate itself or be written off with claims left",
}


class AccountValues(NamedTuple):
    """What an account has and owes, quote units."""

    collateral_value: float
    threshold_value: float  # collateral times liquidation threshold
    loan_value: float  # collateral times loan to value
    debt_value: float


class Liquidation(NamedTuple):
    """What a liquidation moved."""

    repaid: float  # tokens of debt, from the liquidator
    seized: float  # tokens of collateral, to the liquidator
    protocol_fee: float  # tokens of collateral, to the treasury
    bad_debt: float  # quote units, written off


class LendingMarket:
    """One lending market.

    Parameters
    ----------
    reserves : the assets by name
    n_slots : assets that one account can supply, and owe
    **rules : fields of `MarketConfig` other than `reserves`

    Raises
    ------
    InputError
        A name, number or rule is not usable.

    Examples
    --------
    >>> market = LendingMarket({"ETH": ReserveConfig(price=200.0), "DAI": ReserveConfig(price=1.0)})
    >>> market.supply("bank", "DAI", 10_000.0)
    10000.0
    >>> market.supply("ann", "ETH", 10.0)
    10.0
    >>> market.borrow("ann", "DAI", 1_000.0)
    1000.0
    >>> market.health_factor("ann")
    1.6
    """

    def __init__(
        self, reserves: Mapping[str, ReserveConfig], *, n_slots: int | None = None, **rules: Any
    ) -> None:
        config = MarketConfig(reserves=tuple(reserves.values()), **rules)
        self._begin(config, tuple(reserves), n_slots)

    @classmethod
    def of(cls, config: MarketConfig, names: tuple[str, ...]) -> LendingMarket:
        """Return a market of a configuration whose assets get these names."""
        made = cls.__new__(cls)
        made._begin(config, names, None)  # noqa: SLF001 - its own class
        return made

    def _begin(self, config: MarketConfig, names: tuple[str, ...], n_slots: int | None) -> None:
        self.names, self.config = names, config
        n = len(self.names)
        self._n_slots = n if n_slots is None else n_slots
        self.state = make_state(
            [self.config],
            [0],
            range(n),
            range(n),
            n_collateral_slots=self._n_slots,
            n_debt_slots=self._n_slots,
        )
        self._rows: dict[Hashable, int] = {}
        self.now = 0  # ticks

    def _reserve(self, token: str) -> int:
        if token not in self.names:
            raise InputError(f"token ({token!r}) must be one of {', '.join(self.names)}")
        return self.names.index(token)

    def _asset(self, token: str) -> Any:
        return self.state.reserves[self._reserve(token)]

    def _position(self, user: Hashable) -> int:
        row = self._rows.setdefault(user, len(self._rows))
        if row >= len(self.state.positions):
            self.state = add_positions(self.state, 0, 0, np.arange(row, 2 * row + 8))
        return row

    def _settle(self, verb: str, user: Hashable, token: str, amount: float, outcome: Any) -> float:
        status, moved = outcome
        if status != Status.OK:
            raise RefusedError(self._refusal(verb, user, token, amount, Status(status)))
        return float(moved)

    def _refusal(self, verb: str, user: Hashable, token: str, amount: float, status: Status) -> str:
        values = self.account_values(user)
        numbers = values._asdict() | {
            "slots": self._n_slots,
            "cash": self._asset(token).cash,
            "supply": reserve.total_supply(self._asset(token)),
            "debt": reserve.total_debt(self._asset(token)),
            "supply_cap": self._asset(token).supply_cap,
            "borrow_cap": self._asset(token).borrow_cap,
            "claim": self.supplied(user, token),
            "health": self.health_factor(user),
        }
        shown = {name: f"{float(number):.10g}" for name, number in numbers.items()}
        reason = _REASONS[status].format(**shown)
        return f"{verb} of {amount:.10g} {token} by {user!r} refused ({status.name}): {reason}"

    # --- verbs -----------------------------------------------------------------------------------

    def supply(self, user: Hashable, token: str, amount: float) -> float:
        """Lend tokens; returns the amount."""
        r, row = self._reserve(token), self._position(user)
        outcome = market.supply(self.state, row, r, float(amount), math.inf, self.now)
        return self._settle("supply", user, token, amount, outcome)

    def withdraw(self, user: Hashable, token: str, amount: float = math.inf) -> float:
        """Take back tokens, by default all; returns the amount."""
        r, row = self._reserve(token), self._position(user)
        outcome = market.withdraw(self.state, row, r, float(amount), self.now)
        return self._settle("withdrawal", user, token, amount, outcome)

    def borrow(self, user: Hashable, token: str, amount: float) -> float:
        """Take a loan; returns the amount."""
        r, row = self._reserve(token), self._position(user)
        outcome = market.borrow(self.state, row, r, float(amount), self.now)
        return self._settle("loan", user, token, amount, outcome)

    def repay(self, user: Hashable, token: str, amount: float = math.inf) -> float:
        """Pay back a loan, by default all; returns the amount paid, at most the debt."""
        r, row = self._reserve(token), self._position(user)
        outcome = market.repay(self.state, row, r, float(amount), math.inf, self.now)
        return self._settle("repayment", user, token, amount, outcome)

    def liquidate(
        self,
        user: Hashable,
        debt_token: str,
        collateral_token: str,
        amount: float = math.inf,
        receiver: Hashable | None = None,
    ) -> Liquidation:
        """Repay debt of an unhealthy account and seize its collateral.

        Parameters
        ----------
        user : whose account is liquidated
        amount : tokens of debt to repay at most
        receiver : user who takes the collateral as a claim; None takes tokens out of the cash
        """
        return self._liquidate(
            liquidation.liquidate, user, debt_token, collateral_token, amount, receiver
        )

    def quote_liquidate(
        self,
        user: Hashable,
        debt_token: str,
        collateral_token: str,
        amount: float = math.inf,
        receiver: Hashable | None = None,
    ) -> Liquidation:
        """Return what `liquidate` would move, and change nothing."""
        return self._liquidate(
            liquidation.quote_liquidate, user, debt_token, collateral_token, amount, receiver
        )

    def _liquidate(
        self,
        kernel: Any,
        user: Hashable,
        debt_token: str,
        collateral_token: str,
        amount: float,
        receiver: Hashable | None,
    ) -> Liquidation:
        row = self._position(user)
        to = liquidation.UNDERLYING if receiver is None else self._position(receiver)
        status, *moved = kernel(
            self.state,
            row,
            self._reserve(debt_token),
            self._reserve(collateral_token),
            float(amount),
            math.inf,
            to,
            self.now,
        )
        if status != Status.OK:
            at = collateral_token if status == Status.NO_CASH else debt_token
            raise RefusedError(self._refusal("liquidation", user, at, amount, Status(status)))
        return Liquidation(*map(float, moved))

    def write_off(self, user: Hashable) -> float:
        """Recognize the debts of an account without claims as bad debt; returns their value."""
        row = self._position(user)
        outcome = liquidation.write_off(self.state, row, self.now)
        return self._settle("write-off", user, self.names[0], math.inf, outcome)

    def use_as_collateral(self, user: Hashable, token: str, is_used: bool = True) -> None:
        """Begin, or cease, to let a claim secure debts."""
        r, row = self._reserve(token), self._position(user)
        outcome = market.use_as_collateral(self.state, row, r, int(is_used), self.now)
        self._settle("use as collateral", user, token, self.supplied(user, token), outcome)

    def set_mode(self, user: Hashable, label: str | None) -> None:
        """Enter an efficiency mode by label, or leave the one the account is in (None)."""
        labels = [mode.label for mode in self.config.modes]
        if label is not None and label not in labels:
            raise InputError(f"label ({label!r}) must be one of {', '.join(labels) or 'no modes'}")
        mode = -1 if label is None else labels.index(label)
        outcome = market.set_mode(self.state, self._position(user), mode, self.now)
        self._settle("efficiency mode", user, self.names[0], 0.0, outcome)

    def collect_treasury(self, token: str, amount: float = math.inf) -> float:
        """Pay out what the protocol has earned, by default all; returns the amount."""
        outcome = reserve.collect_treasury(self._asset(token), float(amount), self.now)
        return self._settle("collection", "treasury", token, amount, outcome)

    def guardian(self, token: str) -> Guardian:
        """Return who can freeze, pause and change a reserve, as of now."""
        return Guardian(self._asset(token), self.now)

    def accrue(self, seconds: float) -> None:
        """Let time pass, and write down the interest of every reserve."""
        if not 0.0 <= seconds < math.inf:
            raise InputError(f"seconds ({seconds}) must be at least 0 and finite")
        self.now += ticks(seconds)
        for r in range(len(self.names)):
            reserve.accrue(self.state.reserves[r], self.now)

    def set_price(self, token: str, price: float) -> None:
        """Set the price at which the market values an asset, quote units."""
        if not 0.0 < price < math.inf:
            raise InputError(f"price ({price}) must be above 0 and finite")
        self._asset(token).price = price

    # --- what can be seen ------------------------------------------------------------------------

    def health_factor(self, user: Hashable) -> float:
        """Return the health factor of an account; inf without debt."""
        row = self._position(user)
        return float(account.health_factor(self.state, row, self.now))

    def account_values(self, user: Hashable) -> AccountValues:
        """Return what an account has and owes, quote units."""
        row = self._position(user)
        values = account.account_values(self.state, row, self.now)
        return AccountValues(*map(float, values))

    def supplied(self, user: Hashable, token: str) -> float:
        """Return the claim of an account, tokens with interest."""
        r, row = self._reserve(token), self._position(user)
        return float(account.claim_of(self.state, row, r, self.now))

    def owed(self, user: Hashable, token: str) -> float:
        """Return the debt of an account, tokens with interest."""
        r, row = self._reserve(token), self._position(user)
        return float(account.debt_of(self.state, row, r, self.now))

    def max_liquidation(self, user: Hashable, debt_token: str, collateral_token: str) -> float:
        """Return the most tokens of debt that one liquidation could repay; 0 if none."""
        r, c, row = self._reserve(debt_token), self._reserve(collateral_token), self._position(user)
        most = liquidation.max_liquidation(self.state, row, r, c, self.now)
        return float(most)

    def liquidation_price(self, user: Hashable, token: str) -> float:
        """Return the price of an asset at which the health factor is one, others' prices kept."""
        r, row = self._reserve(token), self._position(user)
        price, _ = account.liquidation_price(self.state, row, r, self.now)
        return float(price)

    def utilization(self, token: str) -> float:
        """Return debt / (cash + debt) of a reserve."""
        return float(reserve.utilization(self._asset(token)))

    def borrow_rate(self, token: str) -> float:
        """Return the rate per year that borrowers pay."""
        return float(reserve.borrow_rate(self._asset(token)))

    def supply_rate(self, token: str) -> float:
        """Return the rate per year that suppliers earn."""
        return float(reserve.supply_rate(self._asset(token)))

    def cash(self, token: str) -> float:
        """Return the tokens that the market can pay out."""
        return float(self._asset(token).cash)

    def treasury(self, token: str) -> float:
        """Return the claim of the protocol, tokens with interest."""
        asset = self._asset(token)
        return float(asset.scaled_treasury * asset.supply_index)

    def deficit(self, token: str) -> float:
        """Return the recognized bad debt that nobody has borne, tokens."""
        return float(self._asset(token).deficit)
