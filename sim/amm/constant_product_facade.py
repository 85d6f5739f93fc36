"""One constant product pool, by hand."""

from __future__ import annotations

import math

from sim.amm.constant_product import (
    execute_swap,
    make_state,
    mark_growth,
    quote_exact_out,
    quote_mint,
    quote_swap,
    scale_pool,
    shares_due,
)
from sim.errors import InputError, RefusedError
from sim.status import Status

OK = int(Status.OK)
ROOM = 2.0**112  # quanta; the contract keeps every reserve below


class ConstantProductPool:
    """One pool, by hand, over the kernels that the engine runs.

    Parameters
    ----------
    reserve0, reserve1 : token units, above 0
    fee : fraction of the amount in, from 0 to below 1
    quantum : None for real numbers; 1.0 rounds every amount to whole units as the contract does
        (given out down, taken in up, shares down), and keeps reserves within its 112 bits
    protocol_fee : whether the protocol gets a sixth of the growth by fees, in shares
    minimum_liquidity : shares that are locked for ever; the contract's 1,000 in raw units

    Notes
    -----
    The supply of shares starts at sqrt(reserve0 * reserve1), the locked ones among them.
    """

    def __init__(
        self,
        reserve0: float,
        reserve1: float,
        fee: float,
        quantum: float | None = None,
        *,
        protocol_fee: bool = False,
        minimum_liquidity: float = 0.0,
    ) -> None:
        if quantum is not None and not 0.0 < quantum < math.inf:
            raise InputError(f"quantum ({quantum}) must be above 0, or None for real numbers")
        self._quantum = quantum or 0.0
        for name, value in (("reserve0", reserve0), ("reserve1", reserve1)):
            if not 0.0 < value < math.inf:
                raise InputError(f"{name} ({value}) must be a positive number of tokens")
        if not 0.0 <= fee < 1.0:
            raise InputError(f"fee ({fee}) must be a fraction from 0 to below 1, such as 0.003")
        self._state = state = make_state(1)
        state.reserve0[0], state.reserve1[0], state.fee[0] = reserve0, reserve1, fee
        state.supply[0] = self._down(math.sqrt(reserve0 * reserve1))
        state.fees_compound[0] = 1
        self._check_room(0.0, 0.0)
        if not 0.0 <= minimum_liquidity < state.supply[0]:
            raise InputError(
                f"minimum_liquidity ({minimum_liquidity}) must be from 0 to below the first "
                f"shares ({state.supply[0]})"
            )
        self.minimum_liquidity = minimum_liquidity
        self.protocol_shares = 0.0
        if protocol_fee:
            state.root_last[0] = state.supply[0]

    def _down(self, amount: float) -> float:
        """Return the largest multiple of the quantum not above an amount."""
        return math.floor(amount / self._quantum) * self._quantum if self._quantum else amount

    def _up(self, amount: float) -> float:
        """Return the least multiple of the quantum not below an amount."""
        return math.ceil(amount / self._quantum) * self._quantum if self._quantum else amount

    def _check_room(self, amount0: float, amount1: float) -> None:
        """Refuse what would take a reserve beyond the contract's 112 bits."""
        for token, amount in enumerate((amount0, amount1)):
            held = self.reserves[token] + amount
            if self._quantum and held >= ROOM * self._quantum:
                raise RefusedError(
                    f"the reserve of token {token} ({held}) must stay below 2^112 quanta; "
                    "pay in less"
                )

    @property
    def reserves(self) -> tuple[float, float]:
        """Reserves of token 0 and token 1, token units."""
        return float(self._state.reserve0[0]), float(self._state.reserve1[0])

    @property
    def supply(self) -> float:
        """Liquidity shares outstanding."""
        return float(self._state.supply[0])

    def _sides(self, token: int) -> tuple[float, float]:
        if token not in (0, 1):
            raise InputError(f"token ({token}) must be 0 or 1")
        reserves = self.reserves
        return reserves[token], reserves[1 - token]

    def swap_exact_in(self, token_in: int, amount_in: float) -> float:
        """Pay `amount_in` of a token (0 or 1); return the amount of the other one.

        Raises
        ------
        RefusedError
            The amount is not above 0, or so small that nothing comes out.
        """
        self._sides(token_in)
        self._check_room(*((amount_in, 0.0) if token_in == 0 else (0.0, amount_in)))
        status, amount, out, fee_paid = quote_swap(self._state, 0, token_in, float(amount_in), 0.0)
        if status != OK:
            raise RefusedError(
                f"amount_in ({amount_in}) is refused ({Status(status).name.lower()}); "
                "give a positive finite number of tokens"
            )
        if self._quantum:
            return self._swap_whole(token_in, float(amount), float(fee_paid), float(out))
        execute_swap(self._state, 0, token_in, amount, out, fee_paid)
        return float(out)

    def _swap_whole(self, token_in: int, amount: float, fee_paid: float, out: float) -> float:
        """Book a swap in whole quanta; of a reserve that loses most of itself, what is left."""
        reserve_in, reserve_out = self._sides(token_in)
        net = amount - fee_paid
        left = self._up(reserve_in * reserve_out / (reserve_in + net))
        if left < 0.5 * reserve_out:  # otherwise the reserve minus the rounded amount is as exact
            out = reserve_out - left
        else:
            out = self._down(out)
            left = reserve_out - out
        if out == 0.0:
            raise RefusedError(f"amount_in ({amount}) is too small: nothing comes out; pay more")
        self._set_reserves(token_in, reserve_in + amount, left)
        return out

    def _set_reserves(self, token: int, held: float, other: float) -> None:
        """Write the reserve of a token, and that of the other one."""
        reserves = (held, other) if token == 0 else (other, held)
        self._state.reserve0[0], self._state.reserve1[0] = reserves

    def swap_exact_out(self, token_out: int, amount_out: float) -> float:
        """Take `amount_out` of a token (0 or 1); return the amount of the other one to pay.

        Raises
        ------
        RefusedError
            The amount is not between 0 and the reserve.
        """
        reserve_out, reserve_in = self._sides(token_out)
        if not 0.0 < amount_out < reserve_out:
            raise RefusedError(
                f"amount_out ({amount_out}) must be above 0 and below the reserve ({reserve_out})"
            )
        fee = float(self._state.fee[0])
        amount = self._up(float(quote_exact_out(reserve_in, reserve_out, fee, float(amount_out))))
        self._check_room(*((amount, 0.0) if token_out == 1 else (0.0, amount)))
        execute_swap(self._state, 0, 1 - token_out, amount, float(amount_out), amount * fee)
        return amount

    def mint(self, amount0: float, amount1: float) -> float:
        """Add at most these amounts in the pool's ratio; return the new shares.

        Raises
        ------
        RefusedError
            An amount is not above 0.
        """
        for name, value in (("amount0", amount0), ("amount1", amount1)):
            if not 0.0 < value < math.inf:
                raise RefusedError(f"{name} ({value}) must be a positive number of tokens")
        if self._quantum:
            return self._mint_whole(float(amount0), float(amount1))
        self._issue_due()
        shares, _, _ = quote_mint(self._state, 0, float(amount0), float(amount1))
        scale_pool(self._state, 0, 1.0 + shares / self.supply)
        mark_growth(self._state, 0)
        return float(shares)

    def _mint_whole(self, amount0: float, amount1: float) -> float:
        """Add whole quanta: all of the scarcer token, of the other one the ratio rounded down."""
        reserve0, reserve1 = self.reserves
        if amount0 / reserve0 <= amount1 / reserve1:
            amount1 = self._down(amount0 * reserve1 / reserve0)
        else:
            amount0 = self._down(amount1 * reserve0 / reserve1)
        supply = self.supply + self._down(float(shares_due(self._state, 0)))
        shares = self._down(supply * min(amount0 / reserve0, amount1 / reserve1))
        if shares == 0.0:
            raise RefusedError(
                f"amounts ({amount0}, {amount1}) are too small for a share; add more"
            )
        self._check_room(amount0, amount1)
        self._issue_due()
        self._add(amount0, amount1, shares)
        return shares

    def burn(self, shares: float) -> tuple[float, float]:
        """Give back shares; return the amounts of token 0 and token 1 for them.

        Raises
        ------
        RefusedError
            The shares are not between 0 and what is not locked of the supply.
        """
        free = self.supply - self.minimum_liquidity
        if not 0.0 < shares <= free or shares == self.supply:
            raise RefusedError(
                f"shares ({shares}) must be above 0 and below the supply ({self.supply}), of which "
                f"{self.minimum_liquidity} are locked"
            )
        if self._quantum:
            return self._burn_whole(float(shares))
        self._issue_due()
        part = shares / self.supply
        amounts = (self.reserves[0] * part, self.reserves[1] * part)
        scale_pool(self._state, 0, 1.0 - part)
        mark_growth(self._state, 0)
        return amounts

    def _burn_whole(self, shares: float) -> tuple[float, float]:
        """Take out whole quanta."""
        part = shares / (self.supply + self._down(float(shares_due(self._state, 0))))
        amounts = (self._down(self.reserves[0] * part), self._down(self.reserves[1] * part))
        if min(amounts) == 0.0:
            raise RefusedError(f"shares ({shares}) are too few: nothing of one token comes out")
        self._issue_due()
        self._add(-amounts[0], -amounts[1], -shares)
        return amounts

    def _add(self, amount0: float, amount1: float, shares: float) -> None:
        """Book whole quanta."""
        self._state.reserve0[0] += amount0
        self._state.reserve1[0] += amount1
        self._state.supply[0] += shares
        mark_growth(self._state, 0)

    def _issue_due(self) -> None:
        """Issue the protocol its shares of the growth since they were last issued."""
        due = self._down(float(shares_due(self._state, 0)))
        self.protocol_shares += due
        self._state.supply[0] += due
