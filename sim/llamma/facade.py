"""`LlammaMarket`: one crvUSD market by hand, over the kernels that the engine runs.

Users are any hashable keys; time is an own clock that `accrue` moves, the oracle moves by
`set_price`. Tokens come from and go to nowhere, as if every user were rich.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.errors import InputError, RefusedError
from sim.llamma import loans, trading
from sim.llamma.deposits import converted, position_of
from sim.llamma.settings import KIND, LlammaConfig
from sim.llamma.state import CENTER, add_loans, make_state
from sim.status import Status
from sim.units import ticks

if TYPE_CHECKING:
    from collections.abc import Hashable

_FIRST = 8  # loans for which there is room at first


class Position(NamedTuple):
    """What a loan has in its bands, and owes."""

    x: float  # debt tokens
    y: float  # collateral tokens
    debt: float  # debt tokens
    bands: tuple[int, int]  # first and last


class Exchange(NamedTuple):
    """What an exchange moved."""

    amount_in: float
    amount_out: float
    fee_paid: float  # part of amount_in


class HardLiquidation(NamedTuple):
    """What a hard liquidation moved."""

    closed: float  # debt
    x: float  # debt tokens out of the bands, part of what closed it
    y: float  # collateral out of the bands


class LlammaMarket:
    """One market.

    Parameters
    ----------
    price : oracle price at the start, debt tokens per collateral: the top of band 0
    **terms : fields of `LlammaConfig`, such as `amplification`, `fee`, `loan_discount`, `rate`

    Raises
    ------
    InputError
        A number is not usable.

    Examples
    --------
    >>> market = LlammaMarket(2_000.0)
    >>> market.create_loan("ann", 10.0, 15_000.0, 10)
    >>> market.set_price(1_600.0)
    >>> market.is_converting("ann")
    False
    >>> bought = market.exchange(1, 3_000.0)  # pays debt tokens for collateral
    >>> market.is_converting("ann")
    True
    """

    def __init__(self, price: float, **terms: Any) -> None:
        if not 0.0 < price < math.inf:
            raise InputError(f"price ({price}) must be above 0 and finite")
        given = {"kind": KIND, "chain": "here", "collateral": "C", "debt": "D", "feed": "oracle"}
        self.config = LlammaConfig.model_validate(given | terms)
        self.state = make_state([self.config], [price])
        self._rows: dict[Hashable, int] = {}
        self.now = 0  # ticks

    @property
    def _market(self) -> Any:
        return self.state.markets[0]

    def _loan(self, user: Hashable) -> int:
        row = self._rows.setdefault(user, len(self._rows))
        if row >= len(self.state.loans):
            self.state = add_loans(self.state, 0, 0, np.arange(row, 2 * row + _FIRST))
        return row

    def _observe(self) -> float:
        m = self._market
        return float(trading.observe_price(m, float(m["reported"]), self.now))

    def _done(self, what: str, status: int, is_written: bool = True) -> None:
        if status != Status.OK:
            raise RefusedError(f"{what} refused ({Status(status).name})")
        if is_written:
            trading.write_price(self._market, self._observe(), self.now)

    # --- the pool --------------------------------------------------------------------------------

    def quote(self, side: int, amount: float, price_limit: float = 0.0) -> Exchange:
        """Return what `exchange` would move, and change nothing."""
        return self._exchange(side, amount, price_limit, is_written=False)

    def exchange(self, side: int, amount: float, price_limit: float = 0.0) -> Exchange:
        """Exchange at most `amount`: side 0 pays collateral, side 1 debt tokens.

        Parameters
        ----------
        price_limit : marginal price at which to stop, 0: none
        """
        return self._exchange(side, amount, price_limit, is_written=True)

    def _exchange(self, side: int, amount: float, limit: float, *, is_written: bool) -> Exchange:
        if side not in {0, 1}:
            raise InputError(f"side ({side}) must be 0 (pays collateral) or 1 (pays debt tokens)")
        fee = self.fee()
        status, *moved, _ = trading.exchange(
            self.state, 0, side, float(amount), limit, fee, self.now, is_written
        )
        self._done(f"exchange of {amount:.10g}", status, is_written)
        return Exchange(*map(float, moved))

    def fee(self) -> float:
        """Return the fee of an exchange now, fraction of the amount in."""
        return float(trading.fee_of(self._market, self._observe()))

    def price(self) -> float:
        """Return the marginal price of the active band, debt tokens per collateral."""
        return float(trading.contract_price(self.state, 0, self.now))

    def oracle_price(self) -> float:
        """Return the oracle price that the market uses."""
        return float(self._market["price"])

    def set_price(self, price: float) -> None:
        """Let the oracle report a price."""
        if not 0.0 < price < math.inf:
            raise InputError(f"price ({price}) must be above 0 and finite")
        self._market["reported"] = price
        self._observe()

    def active_band(self) -> int:
        """Return the band in which was traded last."""
        return int(self._market["active"])

    def band(self, n: int) -> tuple[float, float]:
        """Return the (debt tokens, collateral) of a band."""
        return float(self.state.x[0, n + CENTER]), float(self.state.y[0, n + CENTER])

    def edges(self, n: int) -> tuple[float, float]:
        """Return the oracle prices between which a band lies, highest first."""
        tops = [float(trading.top_of(self._market, k, self.now)) for k in (n, n + 1)]
        return tops[0], tops[1]

    # --- loans -----------------------------------------------------------------------------------

    def create_loan(self, user: Hashable, collateral: float, debt: float, n: int) -> None:
        """Pledge collateral in n bands, as low as the debt allows, and borrow."""
        row = self._loan(user)
        status = loans.create(self.state, row, float(collateral), float(debt), n, self.now)
        self._done(f"loan of {debt:.10g} on {collateral:.10g} in {n} bands to {user!r}", status)

    def borrow_more(self, user: Hashable, collateral: float, debt: float) -> None:
        """Borrow more, with more collateral or none."""
        row = self._loan(user)
        status = loans.adjust(self.state, row, float(collateral), float(debt), self.now)
        self._done(f"loan of {debt:.10g} more to {user!r}", status)

    def add_collateral(self, user: Hashable, amount: float) -> None:
        """Add collateral to a loan that is not being converted."""
        row = self._loan(user)
        status = loans.adjust(self.state, row, float(amount), 0.0, self.now)
        self._done(f"{amount:.10g} more collateral of {user!r}", status)

    def remove_collateral(self, user: Hashable, amount: float) -> None:
        """Take collateral out of a loan that is not being converted."""
        row = self._loan(user)
        status = loans.adjust(self.state, row, -float(amount), 0.0, self.now)
        self._done(f"{amount:.10g} less collateral of {user!r}", status)

    def repay(self, user: Hashable, amount: float = math.inf) -> tuple[float, float, float]:
        """Repay; returns (repaid, debt tokens and collateral that come back with the whole)."""
        row = self._loan(user)
        status, *moved = loans.repay(self.state, row, float(amount), math.inf, self.now)
        self._done(f"repayment of {amount:.10g} by {user!r}", status)
        return float(moved[0]), float(moved[1]), float(moved[2])

    def liquidate(self, user: Hashable, fraction: float = 1.0) -> HardLiquidation:
        """Close a fraction of a loan whose health is negative."""
        row = self._loan(user)
        status, *moved = loans.liquidate(self.state, row, float(fraction), self.now)
        self._done(f"liquidation of {user!r} (health {self.health(user):.4g})", status)
        return HardLiquidation(*map(float, moved))

    def health(self, user: Hashable, *, is_full: bool = True) -> float:
        """Return the health of a loan, below 0: can be liquidated; inf without one.

        Parameters
        ----------
        is_full : with what the collateral is worth above its bands
        """
        return float(loans.health(self.state, self._loan(user), int(is_full), self.now))

    def is_converting(self, user: Hashable) -> bool:
        """Return whether a loan is in soft liquidation."""
        return bool(loans.is_converting(self.state, self._loan(user)))

    def position(self, user: Hashable) -> Position:
        """Return what a loan has and owes."""
        row = self._loan(user)
        x, y = position_of(self.state, row)
        debt = loans.debt_of(self.state, row, self.now)
        mine = self.state.loans[row]
        first = int(mine["first"])
        return Position(float(x), float(y), float(debt), (first, first + int(mine["n"]) - 1))

    def converted(self, user: Hashable, *, to_collateral: bool = False) -> float:
        """Return what a position becomes if the oracle goes slowly through its bands."""
        return float(converted(self.state, self._loan(user), int(to_collateral), self.now))

    def accrue(self, seconds: float) -> None:
        """Let time pass, and write down interest."""
        if not 0.0 <= seconds < math.inf:
            raise InputError(f"seconds ({seconds}) must be at least 0 and finite")
        self.now += ticks(seconds)
        loans.accrue(self._market, self.now)
        self._observe()
