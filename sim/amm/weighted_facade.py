"""`WeightedPool`: one weighted pool by hand, over the kernels that the engine runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.amm.pool_arguments import (
    amounts_row,
    check_fee,
    check_pair,
    check_reserves,
    check_token,
    refuse,
)
from sim.amm.token_pool import MOST_TOKENS, book_swap, make_pools
from sim.amm.weighted import quote_exact_out, quote_swap
from sim.amm.weighted_math import (
    amount_for_shares,
    amount_of_shares,
    invariant_of,
    price_between,
    shares_for,
    shares_of_amounts,
)
from sim.errors import InputError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence


class WeightedPool:
    """A pool of two to eight tokens with weights.

    Parameters
    ----------
    reserves : token units (with a quantum: of 18 decimals), above 0
    weights : fractions from 0.01 that add up to 1
    fee : fraction of the amount in, from 0 to below 1
    quantum : amounts are rounded to multiples of it as the contract rounds; None: real numbers
    supply : shares outstanding; None: n V, as the contract issues for the first reserves

    Examples
    --------
    >>> pool = WeightedPool([100.0, 100.0, 100.0], [0.5, 0.25, 0.25], fee=0.0)
    >>> round(pool.swap_exact_in(1, 2, 25.0), 12)
    20.0
    >>> pool.price(1, 2)
    0.64
    """

    def __init__(
        self,
        reserves: Sequence[float],
        weights: Sequence[float],
        fee: float,
        quantum: float | None = None,
        supply: float | None = None,
    ) -> None:
        n = check_reserves(reserves)
        check_fee(fee, quantum)
        if len(weights) != n or min(weights) < 0.01 or abs(sum(weights) - 1.0) > 1e-9:
            raise InputError(
                f"weights ({list(weights)}) must be {n} fractions from 0.01 that add up to 1"
            )
        self._pools = pools = make_pools(1)
        self._weights = np.zeros((1, MOST_TOKENS))
        self._weights[0, :n], pools.reserves[0, :n] = weights, reserves
        pools.n_tokens[0], pools.fee[0], pools.quantum[0] = n, fee, quantum or 0.0
        pools.supply[0] = n * self.invariant if supply is None else supply

    # --- reading -------------------------------------------------------------------------------

    @property
    def reserves(self) -> tuple[float, ...]:
        """Reserves of each token, token units."""
        return tuple(float(held) for held in self._pools.reserves[0, : self._n])

    @property
    def supply(self) -> float:
        """Liquidity shares outstanding."""
        return float(self._pools.supply[0])

    @property
    def invariant(self) -> float:
        """The product of reserves to the power of their weights."""
        return float(invariant_of(self._pools.reserves[0], self._weights[0], self._n))

    @property
    def _n(self) -> int:
        return int(self._pools.n_tokens[0])

    def price(self, token_in: int, token_out: int) -> float:
        """Return the marginal price without the fee: token out per token in."""
        self._point(token_in, token_out)
        reserves, weights = self._pools.reserves[0], self._weights[0]
        i, j = token_in, token_out
        return float(price_between(reserves[i], weights[i], reserves[j], weights[j]))

    # --- swaps ---------------------------------------------------------------------------------

    def swap_exact_in(
        self, token_in: int, token_out: int, amount_in: float, price_limit: float = 0.0
    ) -> float:
        """Pay at most `amount_in`; return what comes out.

        `price_limit` is a marginal price, token out per token in, at which the swap stops.

        Raises
        ------
        RefusedError
            More than 30 % of a reserve would move, nothing would, or the price is beyond the limit.
        """
        self._point(token_in, token_out)
        status, paid, out, _ = quote_swap(
            self._pools, self._weights, 0, 0, float(amount_in), float(price_limit)
        )
        refuse(status, f"a swap of {amount_in} of token {token_in}", self.reserves)
        book_swap(self._pools, 0, token_in, token_out, paid, out, 0.0)
        return float(out)

    def swap_exact_out(self, token_in: int, token_out: int, amount_out: float) -> float:
        """Take `amount_out`; return what is paid for it.

        Raises
        ------
        RefusedError
            More than 30 % of a reserve would move, or nothing would.
        """
        self._point(token_in, token_out)
        status, paid, _ = quote_exact_out(self._pools, self._weights, 0, 0, float(amount_out))
        refuse(status, f"a swap for {amount_out} of token {token_out}", self.reserves)
        book_swap(self._pools, 0, token_in, token_out, paid, float(amount_out), 0.0)
        return float(paid)

    # --- joins and exits -----------------------------------------------------------------------

    def join_exact_in(self, amounts: Sequence[float]) -> float:
        """Add amounts of any tokens; return the new shares."""
        given, held = amounts_row(amounts, self._n), self._held
        shares = shares_for(*held, given, self.supply, *self._terms)
        self._refuse_unless(shares, f"a join with {list(amounts)}")
        return self._move(given, float(shares))

    def join_one(self, token: int, shares: float) -> float:
        """Pay one token for a number of shares; return the amount of it."""
        check_token(token, self._n)
        reserve, weight = self._pools.reserves[0, token], self._weights[0, token]
        amount = amount_for_shares(reserve, weight, float(shares), self.supply, *self._terms)
        self._refuse_unless(min(shares, amount), f"a join for {shares} shares")
        self._move(self._only(token, float(amount)), float(shares))
        return float(amount)

    def join_all(self, shares: float) -> tuple[float, ...]:
        """Pay all tokens in proportion for a number of shares; return the amounts."""
        self._refuse_unless(shares, f"a join for {shares} shares")
        quantum = float(self._pools.quantum[0])
        amounts = self._pools.reserves[0] * (shares / self.supply)
        if quantum > 0.0:
            amounts = np.ceil(amounts / quantum) * quantum
        self._move(amounts, float(shares))
        return tuple(float(amount) for amount in amounts[: self._n])

    def exit_one(self, token: int, shares: float) -> float:
        """Give back shares for one token; return the amount of it."""
        check_token(token, self._n)
        reserve, weight = self._pools.reserves[0, token], self._weights[0, token]
        amount = amount_of_shares(reserve, weight, float(shares), self.supply, *self._terms)
        self._refuse_unless(min(shares, amount), f"an exit with {shares} shares")
        self._move(-self._only(token, float(amount)), -float(shares))
        return float(amount)

    def exit_all(self, shares: float) -> tuple[float, ...]:
        """Give back shares for a part of every token; return the amounts."""
        is_fine = 0.0 < shares < self.supply
        self._refuse_unless(float(is_fine), f"an exit with {shares} of {self.supply} shares")
        quantum = float(self._pools.quantum[0])
        amounts = self._pools.reserves[0] * (shares / self.supply)
        if quantum > 0.0:
            amounts = np.floor(amounts / quantum) * quantum
        self._move(-amounts, -float(shares))
        return tuple(float(amount) for amount in amounts[: self._n])

    def exit_exact_out(self, amounts: Sequence[float]) -> float:
        """Take amounts of any tokens; return the shares they cost."""
        taken, held = amounts_row(amounts, self._n), self._held
        shares = shares_of_amounts(*held, taken, self.supply, *self._terms)
        self._refuse_unless(shares, f"an exit with {list(amounts)}")
        self._move(-taken, -float(shares))
        return float(shares)

    # --- arguments -----------------------------------------------------------------------------

    @property
    def _held(self) -> tuple[np.ndarray, np.ndarray, int]:
        return self._pools.reserves[0], self._weights[0], self._n

    @property
    def _terms(self) -> tuple[float, float]:
        return float(self._pools.fee[0]), float(self._pools.quantum[0])

    def _move(self, amounts: np.ndarray, shares: float) -> float:
        self._pools.reserves[0] += amounts
        self._pools.supply[0] += shares
        return shares

    def _only(self, token: int, amount: float) -> np.ndarray:
        amounts = np.zeros(MOST_TOKENS)
        amounts[token] = amount
        return amounts

    def _point(self, token_in: int, token_out: int) -> None:
        """Let row 0 be the pair of these tokens."""
        check_pair(token_in, token_out, self._n)
        self._pools.first[0], self._pools.second[0] = token_in, token_out

    def _refuse_unless(self, positive: float, what: str) -> None:
        if not positive > 0.0:
            raise RefusedError(
                f"{what} is refused; it would give nothing, or change the pool by more than it "
                f"allows at once: it holds {self.reserves} and has {self.supply} shares"
            )
