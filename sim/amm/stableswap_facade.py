"""`StableSwapPool`: one stableswap pool by hand, over the kernels that the engine runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sim.amm.pool_arguments import (
    amounts_row,
    check_fee,
    check_pair,
    check_reserves,
    check_token,
    refuse,
)
from sim.amm.stableswap import (
    INSUFFICIENT_LIQUIDITY,
    MOST_RAMP,
    OK,
    amplification_at,
    change_of,
    keep_admin_fees,
    make_terms,
    price_of,
    quote_exact_out,
    quote_remove_one,
    quote_swap,
)
from sim.amm.stableswap_math import invariant_of
from sim.amm.token_pool import BAD_AMOUNT, book_swap, clear_work, make_pools
from sim.errors import InputError
from sim.units import DAY, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


class StableSwapPool:
    """A pool of two to eight tokens of about equal worth.

    Parameters
    ----------
    reserves : token units (with a quantum: raw units), above 0
    amplification : the contract's A
    fee : fraction of the amount out
    rates : worth of each token in the pool's unit; None: 1. With a quantum: units of 18 decimals
        for each raw unit, 1e12 for a token of 6 decimals
    off_peg_multiplier : of the fee far off the peg; 1: the fee stays
    admin_fee : share of the fees that the protocol keeps
    quantum : amounts are multiples of it, rounded as in the contract; None: real numbers

    Examples
    --------
    >>> pool = StableSwapPool([1e6, 1e6], amplification=200.0, fee=0.0)
    >>> round(pool.swap_exact_in(0, 1, 1e5), 4)
    99949.7768
    """

    def __init__(
        self,
        reserves: Sequence[float],
        amplification: float,
        fee: float,
        rates: Sequence[float] | None = None,
        off_peg_multiplier: float = 1.0,
        admin_fee: float = 0.0,
        quantum: float | None = None,
    ) -> None:
        n = check_reserves(reserves)
        check_fee(fee, quantum)
        if rates is not None and (len(rates) != n or min(rates) <= 0.0):
            raise InputError(f"rates ({list(rates)}) must be {n} numbers above 0")
        if not 1.0 <= amplification < math.inf:
            raise InputError(f"amplification ({amplification}) must be a number from 1")
        if not off_peg_multiplier >= 1.0 or not off_peg_multiplier * fee < 1.0:
            raise InputError(
                f"off_peg_multiplier ({off_peg_multiplier}) must be at least 1 and leave the fee "
                f"({fee}) below 1"
            )
        if not 0.0 <= admin_fee <= 1.0:
            raise InputError(f"admin_fee ({admin_fee}) must be a fraction from 0 to 1")
        self._pools, self._terms, self._n = make_pools(1), make_terms(1), n
        pools, terms = self._pools, self._terms
        pools.reserves[0, :n], pools.n_tokens[0] = reserves, n
        pools.fee[0], pools.quantum[0] = fee, quantum or 0.0
        if rates is not None:
            terms.rate[0, :n] = rates
        terms.a_start[0] = terms.a_end[0] = amplification
        terms.multiplier[0], terms.admin_fee[0] = off_peg_multiplier, admin_fee
        self.now = 0  # ticks
        pools.supply[0] = self.invariant

    # --- reading -------------------------------------------------------------------------------

    @property
    def reserves(self) -> tuple[float, ...]:
        """Reserves of each token, token units."""
        return tuple(float(held) for held in self._pools.reserves[0, : self._n])

    @property
    def admin_balances(self) -> tuple[float, ...]:
        """What the protocol has kept of each token, beside the reserves."""
        return tuple(float(kept) for kept in self._pools.owed[0, : self._n])

    @property
    def supply(self) -> float:
        """Liquidity shares outstanding; they start at D."""
        return float(self._pools.supply[0])

    @property
    def amplification(self) -> float:
        """The contract's A now."""
        return float(amplification_at(self._terms, 0, self.now))

    @property
    def invariant(self) -> float:
        """D, in the pool's unit."""
        ann = self.amplification * self._n
        return float(invariant_of(self._pools.reserves[0], self._terms.rate[0], self._n, ann))

    @property
    def virtual_price(self) -> float:
        """D for each share."""
        return self.invariant / self.supply

    def price(self, token_in: int, token_out: int) -> float:
        """Return the marginal price without the fee: token out per token in."""
        self._point(token_in, token_out)
        return float(price_of(self._pools, self._terms, 0, self.now))

    # --- time ----------------------------------------------------------------------------------

    def advance(self, elapsed: float) -> None:
        """Let time pass, in seconds: a ramp goes on."""
        if not 0.0 <= elapsed < math.inf:
            raise InputError(f"elapsed ({elapsed}) must be a number of seconds, 0 or more")
        self.now += ticks(elapsed)

    def ramp(self, to: float, length: float) -> None:
        """Let the amplification move to another value in a straight line, from now.

        Parameters
        ----------
        to : within ten times the present one
        length : seconds, a day or more
        """
        now = self.amplification
        if not now / MOST_RAMP <= to <= now * MOST_RAMP or not to >= 1.0:
            raise InputError(f"to ({to}) must be from 1, and within {MOST_RAMP:g} times {now:g}")
        if not DAY <= length < math.inf:
            raise InputError(f"length ({length}) must be a day ({DAY} s) or more")
        terms = self._terms
        terms.a_start[0], terms.a_end[0] = now, to
        terms.ramp_start[0], terms.ramp_end[0] = self.now, self.now + ticks(length)

    # --- swaps ---------------------------------------------------------------------------------

    def swap_exact_in(
        self, token_in: int, token_out: int, amount_in: float, price_limit: float = 0.0
    ) -> float:
        """Pay at most `amount_in`; return what comes out.

        `price_limit` is a marginal price, token out per token in, at which the swap stops.

        Raises
        ------
        RefusedError
            Nothing would move, or the price is beyond the limit.
        """
        self._point(token_in, token_out)
        pools, terms = self._pools, self._terms
        status, paid, out, _, charge, _ = quote_swap(
            pools, terms, 0, 0, float(amount_in), float(price_limit), self.now
        )
        refuse(status, f"a swap of {amount_in} of token {token_in}", self.reserves)
        self._book(token_in, token_out, paid, out, charge)
        return float(out)

    def swap_exact_out(self, token_in: int, token_out: int, amount_out: float) -> float:
        """Take `amount_out`; return what is paid for it. The contract has no such verb.

        Raises
        ------
        RefusedError
            The pool cannot give that much.
        """
        self._point(token_in, token_out)
        pools, terms = self._pools, self._terms
        status, paid, _, charge = quote_exact_out(pools, terms, 0, 0, float(amount_out), self.now)
        refuse(status, f"a swap for {amount_out} of token {token_out}", self.reserves)
        self._book(token_in, token_out, paid, float(amount_out), charge)
        return float(paid)

    def _book(self, i: int, j: int, paid: float, out: float, charge: float) -> None:
        owed = charge * float(self._terms.admin_fee[0])
        book_swap(self._pools, 0, i, j, paid, out, self._whole(owed))

    # --- liquidity -----------------------------------------------------------------------------

    def add(self, amounts: Sequence[float]) -> float:
        """Add amounts of any tokens; return the new shares.

        Raises
        ------
        RefusedError
            They would give no share.
        """
        return self._change(amounts_row(amounts, self._n), 1.0, f"adding {list(amounts)}")

    def remove_exact(self, amounts: Sequence[float]) -> float:
        """Take amounts of any tokens; return the shares they cost.

        Raises
        ------
        RefusedError
            The pool does not hold that much.
        """
        return -self._change(amounts_row(amounts, self._n), -1.0, f"removing {list(amounts)}")

    def _change(self, amounts: np.ndarray, sign: float, what: str) -> float:
        pools = self._pools
        pools.work[0] = amounts
        shares = float(change_of(pools, self._terms, 0, sign, self.now))
        is_fine = sign * shares > 0.0 and pools.supply[0] + shares > 0.0
        if is_fine:
            pools.reserves[0] += sign * amounts
            pools.supply[0] += shares
            keep_admin_fees(pools, self._terms, 0)
        clear_work(pools)
        refuse(OK if is_fine else INSUFFICIENT_LIQUIDITY, what, self.reserves)
        return shares

    def remove(self, shares: float) -> tuple[float, ...]:
        """Give back shares for a part of every token; return the amounts.

        Raises
        ------
        RefusedError
            The shares are not between 0 and the supply.
        """
        is_fine = 0.0 < shares < self.supply
        refuse(OK if is_fine else BAD_AMOUNT, f"removing {shares} shares", self.reserves)
        part = shares / self.supply
        amounts = [self._whole(held * part) for held in self.reserves]
        self._pools.reserves[0, : self._n] -= amounts
        self._pools.supply[0] -= shares
        return tuple(amounts)

    def remove_one(self, token: int, shares: float) -> float:
        """Give back shares for one token; return the amount of it.

        Raises
        ------
        RefusedError
            The shares are not between 0 and the supply, or give nothing.
        """
        check_token(token, self._n)
        pools, terms = self._pools, self._terms
        pools.first[0] = token
        status, _, amount, charge = quote_remove_one(pools, terms, 0, 0, float(shares), self.now)
        refuse(status, f"removing {shares} shares", self.reserves)
        kept = self._whole(charge * float(terms.admin_fee[0]))
        pools.reserves[0, token] -= amount + kept
        pools.owed[0, token] += kept
        pools.supply[0] -= shares
        return float(amount)

    def _whole(self, amount: float) -> float:
        quantum = float(self._pools.quantum[0])
        return math.floor(amount / quantum) * quantum if quantum > 0.0 else float(amount)

    def _point(self, token_in: int, token_out: int) -> None:
        """Let row 0 be the pair of these tokens."""
        check_pair(token_in, token_out, self._n)
        self._pools.first[0], self._pools.second[0] = token_in, token_out
