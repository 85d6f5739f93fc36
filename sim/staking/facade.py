"""`LiquidStaking`: one staking pool by hand, over the kernels that the engine runs."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

import numpy as np

from sim.errors import InputError, RefusedError
from sim.ledger import balance_of, burn, make_ledger, mint, transfer
from sim.staking.state import (
    FINAL,
    N_FREE,
    close,
    enter,
    exit_tick,
    finalize,
    make_state,
    report,
    slash,
    worth_of,
)
from sim.units import DAY, seconds, ticks

if TYPE_CHECKING:
    from collections.abc import Hashable

_POOL, _USERS = 0, 1  # account groups
_UNDERLYING, _TOKEN = 0, 1  # tokens


class LiquidStaking:
    """One liquid staking pool.

    Users are any hashable keys, with underlying without end; time is an own clock that only
    `advance` moves. The fee goes to the pool's own account.

    Parameters
    ----------
    reward_rate : fraction a year, before the fee
    fee_share : fraction of rewards
    report_interval : seconds between reports; 0: whenever time advances, compounded
    minimum_delay : seconds from a request to its payment, at least
    exit_capacity : underlying that can leave in a day
    queue_shares_losses : whether requests bear slashing until they are final
    exchange_rate : underlying per token at the start

    Examples
    --------
    >>> pool = LiquidStaking(reward_rate=0.0365, fee_share=0.1)
    >>> pool.stake("ann", 100.0)
    100.0
    >>> pool.advance(86_400.0)
    >>> round(pool.exchange_rate, 9)
    1.00009
    >>> request = pool.unstake("ann", 50.0)
    >>> pool.advance(86_400.0)
    >>> round(pool.claim(request), 7)
    50.0045
    """

    def __init__(
        self,
        reward_rate: float,
        fee_share: float = 0.0,
        report_interval: float = 86_400.0,
        minimum_delay: float = 86_400.0,
        exit_capacity: float = math.inf,
        *,
        queue_shares_losses: bool = True,
        exchange_rate: float = 1.0,
    ) -> None:
        if not 0.0 <= fee_share < 1.0:
            raise InputError(f"fee_share ({fee_share}) must be a fraction from 0 to below 1")
        for name, value in (
            ("reward_rate", reward_rate),
            ("report_interval", report_interval),
            ("minimum_delay", minimum_delay),
        ):
            if not 0.0 <= value < math.inf:
                raise InputError(f"{name} ({value}) must be a number, 0 or more")
        for name, value in (("exit_capacity", exit_capacity), ("exchange_rate", exchange_rate)):
            if not value > 0.0:
                raise InputError(f"{name} ({value}) must be above 0")
        self._state = state = make_state(1, 0)
        state.rate[0], state.reward_rate[0], state.fee_share[0] = (
            exchange_rate,
            reward_rate,
            fee_share,
        )
        state.interval[0], state.delay[0] = ticks(report_interval), ticks(minimum_delay)
        state.capacity[0] = exit_capacity / ticks(DAY)
        state.shares_losses[0] = queue_shares_losses
        state.underlying[0], state.token[0] = _UNDERLYING, _TOKEN
        self._ledger = make_ledger([1, 0], [[0, 1], [0, 1]], [False, False], 2)
        self._rows: dict[Hashable, int] = {}
        self._due: list[tuple[int, int, int]] = []  # tick, serial number, place
        self._n_requests = 0
        self.now = 0  # ticks

    def _row(self, user: Hashable) -> int:
        if user not in self._rows:
            self._rows[user] = len(self._rows)
            balance = np.concatenate([self._ledger.balance, np.zeros(2)])
            self._ledger = self._ledger._replace(balance=balance)
        return self._rows[user]

    # --- verbs -----------------------------------------------------------------------------------

    def stake(self, user: Hashable, amount: float) -> float:
        """Stake underlying; return the tokens minted at the reported rate."""
        if not 0.0 < amount < math.inf:
            raise InputError(f"amount ({amount}) must be a number above 0")
        row, tokens = self._row(user), amount / self.exchange_rate
        mint(self._ledger, _POOL, 0, _UNDERLYING, float(amount))
        mint(self._ledger, _USERS, row, _TOKEN, tokens)
        self._state.backing[0] += amount
        return tokens

    def unstake(self, user: Hashable, tokens: float) -> int:
        """Ask for the way back; return the number of the request.

        Raises
        ------
        RefusedError
            The user holds less, or the table of requests is full.
        """
        row, state = self._row(user), self._state
        amount = tokens * self.exchange_rate
        if not 0.0 < tokens <= self.balance(user) or state.counter[N_FREE] == 0:
            raise RefusedError(
                f"{user!r} cannot unstake {tokens}: holds {self.balance(user):.17g} tokens"
            )
        if state.shares_losses[0]:
            transfer(self._ledger, _USERS, row, _POOL, 0, _TOKEN, float(tokens))
        elif amount > state.backing[0]:
            raise RefusedError(f"{tokens} tokens ask for more than the backing, {self.backing:g}")
        else:
            burn(self._ledger, _USERS, row, _TOKEN, float(tokens))
        at = int(enter(state, 0, _USERS, row, float(tokens), amount, self.now))
        heapq.heappush(self._due, (int(state.requests["due"][at]), self._n_requests, at))
        self._n_requests += 1
        return at

    def claim(self, request: int) -> float:
        """Pay a request that is final; return the amount.

        Raises
        ------
        RefusedError
            It is not final, or paid already.
        """
        if self._state.requests["stage"][request] != FINAL:
            raise RefusedError(f"request {request} is not final; let time advance")
        row = int(self._state.requests["row"][request])
        amount = float(close(self._state, request))
        transfer(self._ledger, _POOL, 0, _USERS, row, _UNDERLYING, amount)
        return amount

    def advance(self, elapsed: float) -> None:
        """Move the clock: reports and final requests happen at their times."""
        if not 0.0 <= elapsed < math.inf:
            raise InputError(f"elapsed ({elapsed}) must be a number of seconds, 0 or more")
        state, end = self._state, self.now + ticks(elapsed)
        while True:
            interval = int(state.interval[0])
            next_report = int(state.reported[0]) + interval if interval else end
            next_final = self._due[0][0] if self._due else end + 1
            if min(next_report, next_final) > end or (not interval and self.now == end):
                break
            self.now = min(next_report, next_final)
            if next_final <= next_report:
                finalize(state, self._ledger, heapq.heappop(self._due)[2])
            else:
                report(state, self._ledger, 0, self.now)
        self.now = end

    def slash(self, share: float) -> float:
        """Burn a share of the backing and report it; return the amount."""
        if not 0.0 < share < 1.0:
            raise InputError(f"share ({share}) must be a fraction between 0 and 1")
        amount = float(slash(self._state, self._ledger, 0, float(share)))
        self._state.rate[0] = worth_of(self._state, 0, self.supply)
        return amount

    # --- state -----------------------------------------------------------------------------------

    def balance(self, user: Hashable) -> float:
        """Return the tokens of a user."""
        return float(balance_of(self._ledger, _USERS, self._row(user), _TOKEN))

    def wait(self, amount: float) -> float:
        """Return how long a request of an amount of underlying made now would take, seconds."""
        return seconds(int(exit_tick(self._state, 0, float(amount), self.now)) - self.now)

    @property
    def exchange_rate(self) -> float:
        """Underlying per token, as of the last report."""
        return float(self._state.rate[0])

    @property
    def backing(self) -> float:
        """Underlying that belongs to the holders of the token, those that wait included."""
        return float(self._state.backing[0])

    @property
    def supply(self) -> float:
        """Tokens in existence."""
        return float(self._ledger.supply[_TOKEN])

    @property
    def fees(self) -> float:
        """Tokens that the treasury has got."""
        return float(self._state.fees[0])

    @property
    def reward_rate(self) -> float:
        """Rewards a year before the fee, fraction."""
        return float(self._state.reward_rate[0])
