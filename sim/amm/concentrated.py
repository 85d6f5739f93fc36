"""Concentrated liquidity pools (Uniswap v3): one pool by hand, with the contract's own verbs.

Liquidity is given to ranges of ticks; between two initialized ticks the pool follows x y = L^2 with
virtual reserves (white paper of Uniswap v3, section 6). Price is token 1 per token 0. Amounts are
token units; with `quantum` 1.0 they are raw units and every step rounds as the contract does.

Differences from the contract: float64 instead of integers, no callbacks and hence no lock, no
oracle, no flash loans, no balances (whoever moves the tokens keeps them).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.amm import concentrated_swap, positions
from sim.amm.concentrated_state import ConcentratedState, PoolTerms, grow, make
from sim.amm.position_index import find_position
from sim.amm.tick_math import MAX_TICK, MIN_TICK, sqrt_price_limit
from sim.errors import InputError, RefusedError
from sim.kernel import bind, kernel, view_of
from sim.status import Status

if TYPE_CHECKING:
    from collections.abc import Hashable

# --- doors from Python: one address instead of a tuple of arrays ---------------------------------

unpack = view_of(ConcentratedState)


@kernel(inline=False)
def _swap(binding, row, zero_for_one, amount, limit):  # type: ignore[no-untyped-def]
    (pools,) = unpack(binding)
    return concentrated_swap.execute_swap(pools, row, zero_for_one, amount, limit)


@kernel(inline=False)
def _quote_swap(binding, row, zero_for_one, amount, limit):  # type: ignore[no-untyped-def]
    (pools,) = unpack(binding)
    return concentrated_swap.quote_swap(pools, row, zero_for_one, amount, limit)


@kernel(inline=False)
def _tick(binding, row):  # type: ignore[no-untyped-def]
    (pools,) = unpack(binding)
    return concentrated_swap.tick_of(pools, row)


@kernel(inline=False)
def _mint(binding, row, account, tick_lower, tick_upper, liquidity):  # type: ignore[no-untyped-def]
    (pools,) = unpack(binding)
    return positions.mint(pools, row, 0, account, tick_lower, tick_upper, liquidity)


@kernel(inline=False)
def _find(binding, row, account, tick_lower, tick_upper):  # type: ignore[no-untyped-def]
    (pools,) = unpack(binding)
    return find_position(pools, row, 0, account, tick_lower, tick_upper)


@kernel(inline=False)
def _burn(binding, row, number, liquidity):  # type: ignore[no-untyped-def]
    (pools,) = unpack(binding)
    return positions.burn(pools, row, number, liquidity)


@kernel(inline=False)
def _collect(binding, row, number, max0, max1):  # type: ignore[no-untyped-def]
    (pools,) = unpack(binding)
    return positions.collect(pools, row, number, max0, max1)


@kernel(inline=False)
def _holdings(binding, row, number):  # type: ignore[no-untyped-def]
    (pools,) = unpack(binding)
    amount0, amount1 = positions.position_amounts(pools, row, number)
    fees0, fees1 = positions.uncollected_fees(pools, row, number)
    return amount0, amount1, fees0, fees1


class Position(NamedTuple):
    """What a position holds and is owed now."""

    liquidity: float
    amount0: float  # token units, what burning all of it would give
    amount1: float
    owed0: float  # token units, what burn(0) and collect would pay
    owed1: float


class ConcentratedLiquidityPool:
    """One pool, by hand, over the kernels that the engine runs.

    Parameters
    ----------
    fee : fraction of the amount in, such as 0.003
    tick_spacing : ticks between possible range bounds
    sqrt_price : sqrt(token 1 per token 0) at the start
    fee_protocol : (n0, n1), the protocol takes 1 / n of the fees in each token; 0 or 4 to 10
    quantum : None for real numbers; 1.0 rounds every step to whole units as the contract does

    Raises
    ------
    InputError
        An argument is out of its bounds; RefusedError where the contract itself would refuse.
    """

    def __init__(
        self,
        fee: float,
        tick_spacing: int,
        sqrt_price: float,
        fee_protocol: tuple[int, int] = (0, 0),
        quantum: float | None = None,
    ) -> None:
        if quantum is not None and not 0.0 < quantum < math.inf:
            raise InputError(f"quantum ({quantum}) must be above 0, or None for real numbers")
        terms = PoolTerms(fee, tick_spacing, float(sqrt_price), fee_protocol, quantum or 0.0)
        self._accounts: dict[Hashable, int] = {}
        self._rebind(make([terms]))

    def _rebind(self, state: ConcentratedState) -> None:
        self._state = state
        self._binding = bind(state)
        self._address = self._binding.ctypes.data

    def __getstate__(self) -> dict[str, Any]:
        return {"state": self._state, "accounts": self._accounts}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self._accounts = kept["accounts"]
        self._rebind(kept["state"])

    # --- what the contract shows -----------------------------------------------------------------

    @property
    def sqrt_price(self) -> float:
        """Square root of token 1 per token 0."""
        return float(self._state.pool[0].sqrt_price)

    @property
    def tick(self) -> int:
        """Current tick; one below the tick whose price is met if a swap came down across it."""
        return int(_tick(self._address, 0))

    @property
    def liquidity(self) -> float:
        """Liquidity of the positions in range."""
        return float(self._state.pool[0].liquidity)

    @property
    def fee_growth_global0(self) -> float:
        """Fees in token 0 so far, per unit of liquidity."""
        pool = self._state.pool[0]
        return float(pool.fee_growth_global0 + pool.fee_growth_global0_low)

    @property
    def fee_growth_global1(self) -> float:
        """Fees in token 1 so far, per unit of liquidity."""
        pool = self._state.pool[0]
        return float(pool.fee_growth_global1 + pool.fee_growth_global1_low)

    @property
    def protocol_fees(self) -> tuple[float, float]:
        """Fees of the protocol that it has not collected, token units."""
        pool = self._state.pool[0]
        return float(pool.protocol_fees0), float(pool.protocol_fees1)

    @property
    def max_liquidity_per_tick(self) -> float:
        """Most liquidity of all positions that end at one tick."""
        return float(self._state.pool[0].max_liquidity_per_tick)

    @property
    def ticks(self) -> dict[int, tuple[float, float]]:
        """Liquidity gross and net of each initialized tick."""
        pool = self._state.pool[0]
        used = self._state.tick[1 : 1 + pool.n_ticks]
        return {int(t.tick): (float(t.liquidity_gross), float(t.liquidity_net)) for t in used}

    def position(self, owner: Hashable, tick_lower: int, tick_upper: int) -> Position:
        """Return what a position holds and is owed now; all 0 if there is none."""
        number = self._find(owner, tick_lower, tick_upper)
        if number < 0:
            return Position(0.0, 0.0, 0.0, 0.0, 0.0)
        liquidity = float(self._state.position[number].liquidity)
        return Position(liquidity, *map(float, _holdings(self._address, 0, number)))

    # --- what the contract does ------------------------------------------------------------------

    def mint(
        self, owner: Hashable, tick_lower: int, tick_upper: int, liquidity: float
    ) -> tuple[float, float]:
        """Add liquidity to a position; return the (token 0, token 1) to pay for it.

        Raises
        ------
        RefusedError
            No liquidity, bounds out of order, reach or spacing, or too much at one tick.
        """
        account = self._accounts.setdefault(owner, len(self._accounts))
        order = (0, account, *_ticks(tick_lower, tick_upper), float(liquidity))
        status, amount0, amount1, _ = _mint(self._address, *order)
        if status == Status.FULL:
            self._rebind(grow(self._state))
            status, amount0, amount1, _ = _mint(self._address, *order)
        if status != Status.OK:
            raise self._refusal(status, liquidity, tick_lower, tick_upper)
        return float(amount0), float(amount1)

    def burn(
        self, owner: Hashable, tick_lower: int, tick_upper: int, liquidity: float
    ) -> tuple[float, float]:
        """Take liquidity out; return the (token 0, token 1) now owed for it. 0 settles fees.

        Raises
        ------
        RefusedError
            Bounds out of order or reach; the owner has no such position, or less liquidity in it.
        """
        number = self._find(owner, tick_lower, tick_upper)
        status, amount0, amount1 = _burn(self._address, 0, number, float(liquidity))
        if status == Status.NO_POSITION and not _is_in_reach(tick_lower, tick_upper):
            status = Status.BAD_RANGE
        if status != Status.OK:
            raise self._refusal(status, liquidity, tick_lower, tick_upper)
        return float(amount0), float(amount1)

    def collect(
        self,
        owner: Hashable,
        tick_lower: int,
        tick_upper: int,
        max0: float = math.inf,
        max1: float = math.inf,
    ) -> tuple[float, float]:
        """Take at most (max0, max1) of what a position is owed; 0 where there is none.

        Raises
        ------
        InputError
            A most is negative.
        """
        number = self._find(owner, tick_lower, tick_upper)
        status, amount0, amount1 = _collect(self._address, 0, number, float(max0), float(max1))
        if status == Status.BAD_AMOUNT:
            raise InputError(f"max0 ({max0}) and max1 ({max1}) must be 0 or more token units")
        return float(amount0), float(amount1)

    def swap(
        self, zero_for_one: bool, amount_specified: float, sqrt_price_limit: float | None = None
    ) -> tuple[float, float]:
        """Swap; return the (token 0, token 1) that the pool receives, negative where it gives.

        Parameters
        ----------
        zero_for_one : token 0 is paid and the price falls; else token 1 and it rises
        amount_specified : above 0 the most to pay, below 0 minus what is to come out
        sqrt_price_limit : where to stop, even before the whole amount is done

        Raises
        ------
        RefusedError
            Nothing to swap, or the limit is not beyond the price on the right side.
        """
        limit = _limit(zero_for_one, sqrt_price_limit)
        status, paid, taken, _, _, _ = _swap(
            self._address, 0, bool(zero_for_one), float(amount_specified), limit
        )
        if status == Status.PRICE_LIMIT:
            side = "below" if zero_for_one else "above"
            raise RefusedError(
                f"sqrt_price_limit ({limit}) must be {side} the price ({self.sqrt_price}) and "
                f"short of the last tick's; turn zero_for_one or leave the limit out"
            )
        if status != Status.OK:
            raise RefusedError(
                f"amount_specified ({amount_specified}) must be a number, above 0 for what is "
                "paid or below 0 for what comes out"
            )
        return _signed(zero_for_one, paid, taken)

    def quote(
        self, zero_for_one: bool, amount_specified: float, sqrt_price_limit: float | None = None
    ) -> tuple[float, float]:
        """Return what `swap` would, (0, 0) if it would refuse; changes nothing."""
        limit = _limit(zero_for_one, sqrt_price_limit)
        _, paid, taken, _, _, _ = _quote_swap(
            self._address, 0, bool(zero_for_one), float(amount_specified), limit
        )
        return _signed(zero_for_one, paid, taken)

    def collect_protocol(
        self, max0: float = math.inf, max1: float = math.inf
    ) -> tuple[float, float]:
        """Take the protocol's fees; as in the contract, the last quantum of each stays."""
        pool = self._state.pool[0]
        amount0 = max(0.0, min(float(max0), float(pool.protocol_fees0 - pool.quantum)))
        amount1 = max(0.0, min(float(max1), float(pool.protocol_fees1 - pool.quantum)))
        pool.protocol_fees0 -= amount0
        pool.protocol_fees1 -= amount1
        return amount0, amount1

    # --- inside ----------------------------------------------------------------------------------

    def _find(self, owner: Hashable, tick_lower: int, tick_upper: int) -> int:
        lower, upper = _ticks(tick_lower, tick_upper)
        account = self._accounts.get(owner, -1)
        return int(_find(self._address, 0, account, lower, upper))

    def _refusal(self, status: int, liquidity: float, lower: int, upper: int) -> RefusedError:
        """Return the error that says why a mint or burn is refused."""
        spacing = int(self._state.pool[0].tick_spacing)
        if status == Status.BAD_RANGE and lower >= upper:
            text = (
                f"tick_lower ({lower}) must be below tick_upper ({upper}); "
                "swap the two or widen the range"
            )
        elif status == Status.BAD_RANGE:
            text = (
                f"tick_lower ({lower}) and tick_upper ({upper}) must be multiples of the spacing "
                f"({spacing}) from {MIN_TICK} to {MAX_TICK}; round them"
            )
        elif status == Status.CAP:
            text = (
                f"liquidity ({liquidity}) would raise a bound of [{lower}, {upper}] above "
                f"{self.max_liquidity_per_tick}, the most at one tick; mint less"
            )
        elif status == Status.NO_POSITION:
            text = f"the owner has no liquidity in [{lower}, {upper}]; mint first"
        elif status == Status.INSUFFICIENT_LIQUIDITY:
            text = f"liquidity ({liquidity}) is more than the position [{lower}, {upper}] has"
        else:
            text = f"liquidity ({liquidity}) must be a positive number; only burn takes 0"
        return RefusedError(text)


def _ticks(tick_lower: int, tick_upper: int) -> tuple[int, int]:
    """Return both as plain integers."""
    for name, tick in (("tick_lower", tick_lower), ("tick_upper", tick_upper)):
        if not isinstance(tick, int | np.integer):
            raise InputError(f"{name} ({tick!r}) must be a whole number, such as -600")
    return int(tick_lower), int(tick_upper)


def _is_in_reach(tick_lower: int, tick_upper: int) -> bool:
    """Return whether bounds are in order and in reach, as the contract asks of a burn."""
    return MIN_TICK <= tick_lower < tick_upper <= MAX_TICK


def _limit(zero_for_one: bool, limit: float | None) -> float:
    """Return a limit for the kernels, the last possible price where none is given."""
    return float(sqrt_price_limit.py_func(bool(zero_for_one)) if limit is None else limit)


def _signed(zero_for_one: bool, paid: float, taken: float) -> tuple[float, float]:
    """Return the amounts of token 0 and 1 with the pool's sign."""
    amounts = float(paid), 0.0 - float(taken)
    return amounts if zero_for_one else amounts[::-1]
