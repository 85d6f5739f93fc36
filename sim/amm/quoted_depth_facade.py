"""`QuotedDepth`: one quoted depth by hand, over the kernels that the engine runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sim.amm.depth_curve import curve_of
from sim.amm.quoted_depth import (
    OK,
    OWN,
    execute_swap,
    make_state,
    marginal,
    quote_swap,
    used_at,
)
from sim.errors import InputError, RefusedError
from sim.status import Status
from sim.units import ticks

if TYPE_CHECKING:
    from collections.abc import Sequence


class QuotedDepth:
    """Two tokens, traded along an impact curve that refills.

    Parameters
    ----------
    points : (amount of token 0, impact as a fraction), amounts increasing
    mid : token 1 per token 0 at rest
    half_life : seconds in which half of the depth in use refills
    fee : fraction of the amount in
    permanent : fraction by which the mid falls for each token 0 sold net
    inventory0, inventory1 : token units
    is_average : whether impacts are those of the whole amount, or of its last unit

    Examples
    --------
    >>> depth = QuotedDepth([(100.0, 0.01)], mid=2_000.0, half_life=60.0)
    >>> depth.swap_exact_in(0, 100.0)
    198000.0
    >>> depth.price, depth.used
    (1960.0, 100.0)
    >>> depth.advance(60.0)
    >>> round(depth.used, 9)
    50.0
    """

    def __init__(
        self,
        points: Sequence[tuple[float, float]],
        mid: float,
        half_life: float,
        fee: float = 0.0,
        permanent: float = 0.0,
        inventory0: float = math.inf,
        inventory1: float = math.inf,
        *,
        is_average: bool = True,
    ) -> None:
        for name, value in (("mid", mid), ("half_life", half_life)):
            if not 0.0 < value < math.inf:
                raise InputError(f"{name} ({value}) must be a number above 0")
        if not 0.0 <= fee < 1.0:
            raise InputError(f"fee ({fee}) must be a fraction from 0 to below 1, such as 0.0005")
        if not 0.0 <= permanent < math.inf:
            raise InputError(f"permanent ({permanent}) must be a fraction per token, 0 or more")
        self._state = state = make_state(1)
        amounts, impacts = [list(column) for column in zip(*points, strict=True)]
        columns = (state.start, state.low, state.slope, state.before)
        for column, part in zip(
            columns, curve_of(amounts, impacts, is_average=is_average), strict=True
        ):
            column[0] = part
        state.depth[0], state.half_life[0] = amounts[-1], ticks(half_life)
        state.anchor[0], state.mid[0] = OWN, mid
        state.fee[0], state.permanent[0] = fee, permanent
        state.inventory0[0], state.inventory1[0] = inventory0, inventory1
        self.now = 0  # ticks

    def swap_exact_in(self, token_in: int, amount: float, price_limit: float = 0.0) -> float:
        """Pay at most an amount of token 0 or 1, up to a marginal price; return what comes out.

        Raises
        ------
        RefusedError
            The curve or the inventory ends before, nothing would move, or the price is beyond the
            limit.
        """
        if token_in not in (0, 1):
            raise InputError(f"token_in ({token_in}) must be 0 or 1")
        state, used = self._state, self.used
        mid = float(state.mid[0])
        status, paid, out, _, moved = quote_swap(
            state, 0, mid, used, token_in, float(amount), float(price_limit)
        )
        if status != OK:
            raise RefusedError(
                f"a swap of {amount} of token {token_in} is refused "
                f"({Status(status).name.lower()}); {used:g} of {state.depth[0]:g} are in use"
            )
        execute_swap(state, 0, token_in, used, paid, out, moved, self.now)
        return float(out)

    def advance(self, elapsed: float) -> None:
        """Let time pass, in seconds: depth refills."""
        if not 0.0 <= elapsed < math.inf:
            raise InputError(f"elapsed ({elapsed}) must be a number of seconds, 0 or more")
        self.now += ticks(elapsed)

    @property
    def used(self) -> float:
        """Token 0 sold net and not refilled yet."""
        return float(used_at(self._state, 0, self.now))

    @property
    def price(self) -> float:
        """Marginal price without the fee, token 1 per token 0."""
        state = self._state
        return float(state.mid[0] * marginal(state, 0, self.used, state.sold[0]))
