"""`Bridge`: one lock-and-mint bridge by hand, over the kernels that the engine runs."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

import numpy as np

from sim.bridges.escrow import (
    MINTED,
    RELEASED,
    LockAndMintState,
    backing_of,
    book_lock,
    deliver_minted,
    obligations_of,
    pay_redemptions,
    quote_lock_and_mint,
)
from sim.bridges.transfers import N_FREE, OK, enqueue, enter, make_table
from sim.errors import InputError, RefusedError
from sim.ledger import balance_of, burn, make_ledger, mint, transfer
from sim.status import Status
from sim.units import seconds, ticks

if TYPE_CHECKING:
    from collections.abc import Hashable

_BRIDGE, _USERS = 0, 1  # account groups
_HOME, _WRAPPED = 0, 1  # tokens


class Bridge:
    """One lock-and-mint bridge.

    Users are any hashable keys, with home tokens without end; time is an own clock that only
    `advance` moves.

    Parameters
    ----------
    finality_delay : seconds from lock to mint
    return_delay : seconds from burn to redemption
    fee : fraction of each amount, kept by the bridge
    outstanding_cap, return_cap : tokens owed after a lock, tokens on their way back after a burn

    Examples
    --------
    >>> bridge = Bridge(finality_delay=900.0, return_delay=604_800.0)
    >>> bridge.lock("ann", 10.0)
    10.0
    >>> bridge.advance(900.0)
    >>> bridge.deliver()
    10.0
    >>> bridge.wrapped("ann"), bridge.escrow, bridge.backing_ratio
    (10.0, 10.0, 1.0)
    """

    def __init__(
        self,
        finality_delay: float,
        return_delay: float,
        fee: float = 0.0,
        outstanding_cap: float = math.inf,
        return_cap: float = math.inf,
    ) -> None:
        for name, value in (("finality_delay", finality_delay), ("return_delay", return_delay)):
            if not 0.0 <= value < math.inf:
                raise InputError(f"{name} ({value}) must be a number of seconds, 0 or more")
        if not 0.0 <= fee < 1.0:
            raise InputError(f"fee ({fee}) must be a fraction from 0 to below 1, such as 0.0005")
        for name, value in (("outstanding_cap", outstanding_cap), ("return_cap", return_cap)):
            if not value >= 0.0:
                raise InputError(f"{name} ({value}) must be a number of tokens, 0 or more")
        self._state = LockAndMintState(
            escrow=np.zeros(1),
            fees=np.zeros(1),
            fee=np.array([float(fee)]),
            cap=np.array([[outstanding_cap, return_cap]], float),
            delay=np.array([[ticks(finality_delay), ticks(return_delay)]], np.int64),
            forged=np.zeros((1, 2)),
            **make_table(0, 1),
            venue=np.zeros(1, np.int64),
            group=np.array([_BRIDGE], np.int64),
            account=np.zeros(1, np.int64),
            tokens=np.array([[_HOME, _WRAPPED]], np.int64),
            chains=np.array([[0, 1]], np.int64),
            is_paused=np.zeros(1, np.int64),
            is_uniform=np.zeros(1, np.int64),
            par=np.ones(1),
            outside=np.zeros(1),
            is_insured=np.zeros(1, np.int64),
            insured=np.zeros(1),
        )
        self._ledger = make_ledger([1, 0], [[0, 1], [0, 1]], [False, False], 2)
        self._rows: dict[Hashable, int] = {}
        self._due: list[tuple[int, int, int]] = []  # tick, serial number, place in the table
        self._n_sent = 0
        self.now = 0  # ticks

    # --- users -----------------------------------------------------------------------------------

    def _row(self, user: Hashable) -> int:
        """Return the row of a user; a new one gets its place in a new ledger."""
        if user not in self._rows:
            self._rows[user] = len(self._rows)
            balance = np.concatenate([self._ledger.balance, np.zeros(2)])
            self._ledger = self._ledger._replace(balance=balance)
        return self._rows[user]

    def wrapped(self, user: Hashable) -> float:
        """Return the wrapped tokens of a user."""
        row = self._row(user)
        return float(balance_of(self._ledger, _USERS, row, _WRAPPED))

    def received(self, user: Hashable) -> float:
        """Return the home tokens that a user has got from the bridge."""
        row = self._row(user)
        return float(balance_of(self._ledger, _USERS, row, _HOME))

    # --- verbs -----------------------------------------------------------------------------------

    def _quote(self, side: int, amount: float) -> tuple[float, float]:
        status, net, fee = quote_lock_and_mint(
            self._state, self._obligations(), 0, side, float(amount)
        )
        if status == OK and self._state.counter[N_FREE] == 0:
            status = Status.FULL
        if status != OK:
            raise RefusedError(
                f"amount ({amount}) is refused ({Status(status).name.lower()}); the bridge owes "
                f"{self._obligations():g} of at most {self._state.cap[0, 0]:g}, with "
                f"{self.in_flight[1]:g} of at most {self._state.cap[0, 1]:g} on the way back"
            )
        return float(net), float(fee)

    def _enter(self, side: int, row: int, amount: float, net: float) -> None:
        due = self.now + int(self._state.delay[0, side])
        at = int(enter(self._state, 0, side, _USERS, row, amount, net, due))
        heapq.heappush(self._due, (due, self._n_sent, at))
        self._n_sent += 1

    def lock(self, user: Hashable, amount: float) -> float:
        """Lock home tokens; return the wrapped tokens that will be minted.

        Raises
        ------
        RefusedError
            The bridge is paused, the amount is not above 0, or a cap would be exceeded.
        """
        row = self._row(user)
        net, fee = self._quote(0, amount)
        mint(self._ledger, _BRIDGE, 0, _HOME, float(amount))
        book_lock(self._state, 0, net, fee)
        self._enter(0, row, net, net)
        return net

    def burn(self, user: Hashable, amount: float) -> float:
        """Burn wrapped tokens; return the home tokens that will be redeemed.

        Raises
        ------
        RefusedError
            As for `lock`, or the user holds less.
        """
        row = self._row(user)
        net, _ = self._quote(1, amount)
        if burn(self._ledger, _USERS, row, _WRAPPED, float(amount)) != OK:
            raise RefusedError(
                f"{user!r} cannot burn {amount}: holds {self.wrapped(user):.17g} wrapped tokens"
            )
        self._state.in_flight[0, 1] += amount
        self._enter(1, row, float(amount), net)
        return net

    def advance(self, elapsed: float) -> None:
        """Move the clock; transfers that fall due join their queues."""
        if not 0.0 <= elapsed < math.inf:
            raise InputError(f"elapsed ({elapsed}) must be a number of seconds, 0 or more")
        self.now += ticks(elapsed)
        while self._due and self._due[0][0] <= self.now:
            enqueue(self._state, heapq.heappop(self._due)[2])

    def deliver(self) -> float:
        """Mint all that is due on the other chain; return the amount."""
        before = self.supply
        deliver_minted(self._state, self._ledger, 0)
        return self.supply - before

    def redeem(self) -> float:
        """Pay redemptions that are due, in order, as far as the escrow goes; return the amount."""
        before = self._held()
        pay_redemptions(self._state, self._ledger, 0)
        return before - self._held()

    def pause(self) -> None:
        """Refuse sends and hold everything that is on its way."""
        self._state.is_paused[0] = 1

    def resume(self) -> None:
        """Work again."""
        self._state.is_paused[0] = 0

    def forge_mint(self, user: Hashable, amount: float) -> None:
        """Mint wrapped tokens without a lock."""
        _check_forged(amount, math.inf)
        row = self._row(user)
        mint(self._ledger, _USERS, row, _WRAPPED, float(amount))
        self._state.forged[0, MINTED] += amount

    def forge_release(self, user: Hashable, amount: float) -> None:
        """Pay escrow out without a burn."""
        _check_forged(amount, self.escrow)
        row = self._row(user)
        transfer(self._ledger, _BRIDGE, 0, _USERS, row, _HOME, float(amount))
        self._state.escrow[0] -= amount
        self._state.forged[0, RELEASED] += amount

    # --- state -----------------------------------------------------------------------------------

    def _held(self) -> float:
        return float(balance_of(self._ledger, _BRIDGE, 0, _HOME))

    def _obligations(self) -> float:
        return float(obligations_of(self._state, self.supply, 0))

    @property
    def time(self) -> float:
        """Seconds since the start."""
        return seconds(self.now)

    @property
    def escrow(self) -> float:
        """Home tokens locked."""
        return float(self._state.escrow[0])

    @property
    def fees(self) -> float:
        """Home tokens earned."""
        return float(self._state.fees[0])

    @property
    def supply(self) -> float:
        """Wrapped tokens in existence."""
        return float(self._ledger.supply[_WRAPPED])

    @property
    def in_flight(self) -> tuple[float, float]:
        """Tokens sent and not delivered: to the other chain, and back."""
        return float(self._state.in_flight[0, 0]), float(self._state.in_flight[0, 1])

    @property
    def queued(self) -> float:
        """Redemptions that are due and not paid, tokens."""
        return float(self._state.queued[0, 1])

    @property
    def forged(self) -> tuple[float, float]:
        """Tokens forged: minted without a lock, released without a burn."""
        return float(self._state.forged[0, MINTED]), float(self._state.forged[0, RELEASED])

    @property
    def backing_ratio(self) -> float:
        """Escrow over obligations, at most 1."""
        return float(backing_of(self.escrow, self._obligations()))


def _check_forged(amount: float, most: float) -> None:
    if not 0.0 < amount <= most or math.isinf(amount):
        raise InputError(f"amount ({amount}) must be above 0 and at most {most:g}")
