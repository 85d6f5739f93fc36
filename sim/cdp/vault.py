"""One vault: its debt with the stability fee, its health, and what its owner can do.

`health_factor = collateral value / (liquidation ratio * debt value)` at the market's own prices;
below one the vault can be liquidated. Every operation checks everything before it changes anything
and returns the amount that moves; the caller moves it.

References
----------
Maker contracts: `Vat.frob`, `Jug.drip`.
"""

from __future__ import annotations

import math

from sim.cdp.waterfall import earn
from sim.kernel import kernel
from sim.status import Status
from sim.units import TICKS_PER_SECOND

OK = int(Status.OK)
INSUFFICIENT_FUNDS = int(Status.INSUFFICIENT_FUNDS)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
NO_POSITION = int(Status.NO_POSITION)
UNHEALTHY = int(Status.UNHEALTHY)
CAP = int(Status.CAP)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
DUST = int(Status.DUST)
_SECONDS_PER_TICK = 1.0 / TICKS_PER_SECOND
_ROUNDING = 1e-12  # relative


@kernel
def index_at(market, now):  # type: ignore[no-untyped-def]
    """Return the debt tokens that a unit of scaled debt is at a tick."""
    elapsed = (now - market.last_update) * _SECONDS_PER_TICK
    if elapsed <= 0.0 or market.log_fee == 0.0:
        return market.index
    return market.index * math.exp(market.log_fee * elapsed)


@kernel
def accrue(market, now):  # type: ignore[no-untyped-def]
    """Let the stability fee grow the index up to a tick; the growth of all debts is income."""
    index = index_at(market, now)
    fee = market.scaled_debt * (index - market.index)
    market.index, market.last_update = index, max(now, market.last_update)
    if fee > 0.0:
        market.fees += fee
        earn(market, fee)


@kernel
def debt_of(state, vault, now):  # type: ignore[no-untyped-def]
    """Return the debt of a vault, tokens with the fee."""
    return state.scaled[vault] * index_at(state.markets[state.vaults[vault].market], now)


@kernel
def is_safe_with(market, collateral, debt):  # type: ignore[no-untyped-def]
    """Return whether so much collateral carries so much debt."""
    return debt <= 0.0 or not (
        collateral * market.price < debt * market.target_price * market.liquidation_ratio
    )


@kernel
def is_safe(state, vault, now):  # type: ignore[no-untyped-def]
    """Return whether a vault cannot be liquidated."""
    market = state.markets[state.vaults[vault].market]
    return is_safe_with(market, state.collateral[vault], debt_of(state, vault, now))


@kernel
def health_factor(state, vault, now):  # type: ignore[no-untyped-def]
    """Return the health factor of a vault; inf without debt."""
    market = state.markets[state.vaults[vault].market]
    owed = debt_of(state, vault, now) * market.target_price * market.liquidation_ratio
    return state.collateral[vault] * market.price / owed if owed > 0.0 else math.inf


@kernel
def add_scaled(state, vault, scaled):  # type: ignore[no-untyped-def]
    """Add scaled debt to a vault."""
    market = state.markets[state.vaults[vault].market]
    if state.scaled[vault] == 0.0 and scaled > 0.0:
        market.n_debts += 1
    state.scaled[vault] += scaled
    market.scaled_debt += scaled


@kernel
def take_scaled(state, vault, scaled):  # type: ignore[no-untyped-def]
    """Remove scaled debt from a vault."""
    market = state.markets[state.vaults[vault].market]
    left = max(state.scaled[vault] - scaled, 0.0)
    state.scaled[vault] = left
    market.scaled_debt = max(market.scaled_debt - scaled, 0.0)
    if left == 0.0:
        market.n_debts -= 1
        if market.n_debts == 0:
            market.scaled_debt = 0.0  # no residue of rounding outlives the last debt


@kernel
def deposit(state, vault, amount, held):  # type: ignore[no-untyped-def]
    """Add collateral: (status, amount); BAD_AMOUNT, ZERO_AMOUNT or INSUFFICIENT_FUNDS."""
    if not 0.0 <= amount < math.inf:
        return BAD_AMOUNT, 0.0
    if amount == 0.0:
        return ZERO_AMOUNT, 0.0
    if amount > held:
        return INSUFFICIENT_FUNDS, 0.0
    state.collateral[vault] += amount
    return OK, amount


@kernel
def withdraw(state, vault, amount, now):  # type: ignore[no-untyped-def]
    """Take collateral out, inf: all: (status, amount).

    BAD_AMOUNT, ZERO_AMOUNT, INSUFFICIENT_FUNDS or UNHEALTHY.
    """
    if not amount >= 0.0:
        return BAD_AMOUNT, 0.0
    held = state.collateral[vault]
    if amount == math.inf:
        amount = held
    if amount == 0.0:
        return ZERO_AMOUNT, 0.0
    if amount > held:
        return INSUFFICIENT_FUNDS, 0.0
    market = state.markets[state.vaults[vault].market]
    if not is_safe_with(market, held - amount, debt_of(state, vault, now)):
        return UNHEALTHY, 0.0
    state.collateral[vault] = held - amount
    return OK, amount


@kernel
def draw(state, vault, amount, now):  # type: ignore[no-untyped-def]
    """Owe more: (status, amount), which the caller mints.

    BAD_AMOUNT, ZERO_AMOUNT, DUST (below the debt floor), CAP (above the ceiling) or UNHEALTHY.
    """
    if not 0.0 <= amount < math.inf:
        return BAD_AMOUNT, 0.0
    if amount == 0.0:
        return ZERO_AMOUNT, 0.0
    market = state.markets[state.vaults[vault].market]
    index = index_at(market, now)
    debt = state.scaled[vault] * index + amount
    if debt < market.debt_floor:
        return DUST, 0.0
    if market.scaled_debt * index + amount > market.debt_ceiling:
        return CAP, 0.0
    if not is_safe_with(market, state.collateral[vault], debt):
        return UNHEALTHY, 0.0
    accrue(market, now)
    add_scaled(state, vault, amount / market.index)
    market.issued += amount
    return OK, amount


@kernel
def repay(state, vault, amount, held, now):  # type: ignore[no-untyped-def]
    """Owe less, inf: nothing any more: (status, amount), which the caller burns.

    BAD_AMOUNT, ZERO_AMOUNT, NO_POSITION (no debt), DUST or INSUFFICIENT_FUNDS.
    """
    if not amount >= 0.0:
        return BAD_AMOUNT, 0.0
    if amount == 0.0:
        return ZERO_AMOUNT, 0.0
    debt = debt_of(state, vault, now)
    if debt <= 0.0:
        return NO_POSITION, 0.0
    market = state.markets[state.vaults[vault].market]
    paid = debt if amount >= debt * (1.0 - _ROUNDING) else amount
    if paid < debt and debt - paid < market.debt_floor:
        return DUST, 0.0
    if paid > held:
        return INSUFFICIENT_FUNDS, 0.0
    accrue(market, now)
    scaled = state.scaled[vault] if paid == debt else paid / market.index
    take_scaled(state, vault, scaled)
    market.issued -= paid
    return OK, paid
