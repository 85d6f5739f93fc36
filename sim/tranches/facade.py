"""`TrancheVault`: one vault by hand, over the kernels that the engine runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from sim.errors import InputError, RefusedError
from sim.ledger import balance_of, burn, make_ledger, mint, transfer
from sim.tranches.building import set_terms, set_value
from sim.tranches.nav import observe
from sim.tranches.queues import free_cash, senior_capacity, settle
from sim.tranches.settings import TrancheSettings, TrancheVaultConfig, thicknesses
from sim.tranches.state import (
    DEPOSITED,
    FREE,
    N_FREE,
    OPEN,
    REDEEMING,
    ROOM,
    STAGES,
    STOPPED,
    WINDING,
    coverage_of,
    enter,
    make_state,
    price_of,
    serve,
    value_of,
)
from sim.units import ticks

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from typing import Any

_VAULT, _USERS = 0, 1  # account groups
_CASH = 0  # token; the shares follow, senior first


class TrancheVault:
    """One tranche vault whose portfolio is a number that the caller moves.

    Users are any hashable keys, with cash without end; time is an own clock that only `advance`
    moves, epochs end on it.

    Parameters
    ----------
    tranches : senior first: (name, thickness) or (name, thickness, rate a year) or with a fourth,
        the notice in hours
    value : cash paid in at the start, all of it invested
    terms : of `TrancheVaultConfig`, such as `gate`, `minimum_coverage`, `income`, `epoch_hours`

    Raises
    ------
    InputError
        The terms contradict each other; says how.

    Examples
    --------
    >>> vault = TrancheVault([("senior", 0.8), ("junior", 0.2)], 100.0)
    >>> vault.gain(-25.0)
    >>> vault.values
    (75.0, 0.0)
    >>> vault.losses
    (5.0, 20.0)
    """

    def __init__(
        self, tranches: Sequence[tuple[Any, ...]], value: float = 1.0, **terms: Any
    ) -> None:
        fields = ("name", "thickness", "rate", "notice_hours")
        try:
            parts = [TrancheSettings(**dict(zip(fields, t, strict=False))) for t in tranches]
            config = TrancheVaultConfig(
                kind="tranches",
                chain="here",
                token="cash",
                value_usd=value,
                tranches=parts,
                **terms,
            )
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "tranches"
            raise InputError(f"{where}: {first['msg']}") from None
        n = len(parts)
        self.names = tuple(part.name for part in parts)
        tokens = list(range(n + 1))
        self._state = state = make_state(1, n + 1, 0, [1, 0])
        self._ledger = make_ledger([1, 0], [tokens, tokens], [False, False], n + 1)
        set_terms(state, 0, config)
        state.share[0, :n] = np.arange(1, n + 1)
        set_value(state, 0, [value * part for part in thicknesses(parts)])
        self._rows: dict[Hashable, int] = {}
        self._invested = value
        self.now = 0  # ticks
        row = self._row("founders")
        for k in range(n):
            mint(self._ledger, _USERS, row, k + 1, float(state.nav[0, k]))

    def _row(self, user: Hashable) -> int:
        if user not in self._rows:
            self._rows[user] = len(self._rows)
            width = len(self.names) + 1
            balance = np.concatenate([self._ledger.balance, np.zeros(width)])
            self._ledger = self._ledger._replace(balance=balance)
            self._state.rows[_USERS] = len(self._rows)
        return self._rows[user]

    def _level(self, tranche: str) -> int:
        if tranche not in self.names:
            raise InputError(f"no tranche '{tranche}'; there are: {', '.join(self.names)}")
        return self.names.index(tranche)

    # --- the portfolio ---------------------------------------------------------------------------

    def gain(self, amount: float, fair: float | None = None) -> None:
        """Let the portfolio gain, or lose (< 0), and value it; `fair`: what can be recovered.

        The recoverable value is that of the valuation when left out.
        """
        gross = self._gross + amount
        if gross < 0.0:
            raise InputError(f"amount ({amount}) would leave {gross:g}; it must leave 0 or more")
        self._invested += amount
        self._value(gross if fair is None else fair)

    def _value(self, fair: float) -> None:
        observe(self._state, 0, float(self._gross), float(fair), self.now)

    @property
    def _gross(self) -> float:
        return self._invested + self.cash

    def sell(self, amount: float) -> None:
        """Turn a part of what is invested into cash, which redemptions are paid from."""
        if not 0.0 <= amount <= self._invested:
            raise InputError(f"amount ({amount}) must be from 0 to what is invested")
        mint(self._ledger, _VAULT, 0, _CASH, float(amount))
        self._invested -= amount

    # --- verbs -----------------------------------------------------------------------------------

    def deposit(self, user: Hashable, tranche: str, amount: float) -> int:
        """Put cash into the queue of a tranche; return the number of the request.

        Raises
        ------
        RefusedError
            The vault is not open, or the queue is full.
        """
        k = self._level(tranche)
        if not 0.0 < amount < math.inf:
            raise InputError(f"amount ({amount}) must be a number above 0")
        if self._state.vaults[0]["stage"] != OPEN:
            raise RefusedError(f"the vault is {self.stage}; it takes no deposits")
        mint(self._ledger, _VAULT, 0, _CASH, float(amount))
        return self._enter(k, DEPOSITED, amount, user)

    def redeem(self, user: Hashable, tranche: str, shares: float = math.inf) -> int:
        """Put shares, all when left out, into the queue out of a tranche; return the request.

        Raises
        ------
        RefusedError
            The vault is stopped, or the user holds fewer.
        """
        k = self._level(tranche)
        held = self.balance(user, tranche)
        amount = held if shares == math.inf else shares
        if self._state.vaults[0]["stage"] == STOPPED:
            raise RefusedError("the vault is stopped; it takes no requests")
        if not 0.0 < amount <= held:
            raise RefusedError(f"{user!r} cannot redeem {shares}: holds {held:.17g} shares")
        row = self._row(user)
        transfer(self._ledger, _USERS, row, _VAULT, 0, k + 1, float(amount))
        return self._enter(k, REDEEMING, amount, user)

    def _enter(self, k: int, kind: int, amount: float, user: Hashable) -> int:
        if self._state.counter[N_FREE] < ROOM:
            raise RefusedError("the queue is full; wait for the end of the epoch")
        row = self._row(user)
        return int(enter(self._state, 0, k, kind, float(amount), _USERS, row, self.now))

    def cancel(self, request: int) -> float:
        """Take back what of a request has not been served; return the amount.

        Raises
        ------
        RefusedError
            There is no such request, or it has been served.
        """
        if not 0 <= request < len(self._state.requests):
            raise RefusedError(f"there is no request {request}")
        record = self._state.requests[request]
        if record["kind"] == FREE:
            raise RefusedError(f"request {request} has been served")
        amount, row, k = float(record["amount"]), int(record["row"]), int(record["tranche"])
        if record["kind"] == REDEEMING:
            transfer(self._ledger, _VAULT, 0, _USERS, row, k + 1, amount)
        else:
            burn(self._ledger, _VAULT, 0, _CASH, amount)
        serve(self._state, request, amount)
        return amount

    def advance(self, elapsed: float) -> None:
        """Move the clock, seconds: epochs end at their times, coupons are paid."""
        if not 0.0 <= elapsed < math.inf:
            raise InputError(f"elapsed ({elapsed}) must be a number of seconds, 0 or more")
        vault, end = self._state.vaults[0], self.now + ticks(elapsed)
        while (due := int(vault["epoch"]) * (int(vault["epochs"]) + 1)) <= end:
            self.now = due
            self._value(self._gross)
            settle(self._state, self._ledger, 0, self.now)
        self.now = end
        self._value(self._gross)

    def stop(self) -> None:
        """Stop the vault: nobody is served."""
        self._state.vaults[0]["stage"] = STOPPED

    def wind_down(self) -> None:
        """Wind the vault down: redemptions by seniority, as cash comes in."""
        self._state.vaults[0]["stage"] = WINDING

    # --- state -----------------------------------------------------------------------------------

    def balance(self, user: Hashable, tranche: str) -> float:
        """Return the shares of a user."""
        row = self._row(user)
        return float(balance_of(self._ledger, _USERS, row, self._level(tranche) + 1))

    def paid(self, user: Hashable) -> float:
        """Return the cash that a user has been paid."""
        row = self._row(user)
        return float(balance_of(self._ledger, _USERS, row, _CASH))

    def price(self, tranche: str) -> float:
        """Return the net asset value of a share."""
        return float(price_of(self._state, self._ledger, 0, self._level(tranche)))

    def queue(self, tranche: str) -> float:
        """Return the shares whose redemption waits."""
        return float(self._state.asked[0, self._level(tranche)])

    def _of_tranches(self, column: np.ndarray) -> tuple[float, ...]:
        return tuple(column[0, : len(self.names)].tolist())

    @property
    def values(self) -> tuple[float, ...]:
        """Net asset value of each tranche, senior first."""
        return self._of_tranches(self._state.nav)

    @property
    def losses(self) -> tuple[float, ...]:
        """Loss of each tranche that has not been made good, realized by redeemers included."""
        state = self._state
        return self._of_tranches(state.realized + state.claim - state.nav)

    @property
    def incomes(self) -> tuple[float, ...]:
        """Income of each tranche so far."""
        return self._of_tranches(self._state.income)

    @property
    def value(self) -> float:
        """Recognized value of the vault."""
        return float(value_of(self._state, 0))

    @property
    def coverage(self) -> float:
        """Share of the value that stands below the senior tranche."""
        return float(coverage_of(self._state, 0))

    @property
    def cash(self) -> float:
        """Cash that can be paid out."""
        return float(free_cash(self._state, self._ledger, 0))

    @property
    def taken(self) -> float:
        """What those who left or joined got beyond the recoverable value, so far."""
        return float(self._state.vaults[0]["taken"])

    @property
    def senior_capacity(self) -> float:
        """Most that the senior tranche may hold by the leverage of the junior's holders."""
        return float(senior_capacity(self._state, self._ledger, 0))

    @property
    def stage(self) -> str:
        """`open`, `stopped` or `winding`."""
        return STAGES[int(self._state.vaults[0]["stage"])]
