"""Liquidation at a fixed spread: repay a debt, take collateral with a bonus.

For each debt token, counted at its target price, the liquidator gets collateral worth
`1 + bonus` at the oracle price. Where the collateral does not suffice all of it goes, and the rest
of the debt is written off at once.
"""

from __future__ import annotations

from sim.cdp.state import FIXED_SPREAD
from sim.cdp.vault import accrue, debt_of, is_safe, take_scaled
from sim.cdp.waterfall import write_off
from sim.kernel import kernel
from sim.status import Status

OK = int(Status.OK)
INSUFFICIENT_FUNDS = int(Status.INSUFFICIENT_FUNDS)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
NOT_LIQUIDATABLE = int(Status.NOT_LIQUIDATABLE)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
DUST = int(Status.DUST)
_ROUNDING = 1e-12  # relative


@kernel
def quote_liquidate(state, vault, amount, held, now):  # type: ignore[no-untyped-def]
    """Return (status, repaid, seized, deficit) of repaying at most `amount`; changes nothing.

    NOT_ALLOWED (liquidates by auction), BAD_AMOUNT, ZERO_AMOUNT, NOT_LIQUIDATABLE, DUST (would
    leave a debt below the floor) or INSUFFICIENT_FUNDS.
    """
    market = state.markets[state.vaults[vault].market]
    if market.mode != FIXED_SPREAD:
        return NOT_ALLOWED, 0.0, 0.0, 0.0
    if not amount >= 0.0:
        return BAD_AMOUNT, 0.0, 0.0, 0.0
    if is_safe(state, vault, now):
        return NOT_LIQUIDATABLE, 0.0, 0.0, 0.0
    debt, collateral = debt_of(state, vault, now), state.collateral[vault]
    most = market.close_factor * debt
    repaid = most if amount >= most * (1.0 - _ROUNDING) else amount
    rate = market.target_price * (1.0 + market.penalty) / market.price
    seized, deficit = repaid * rate, 0.0
    if seized >= collateral:
        repaid, seized = collateral / rate, collateral
        deficit = max(debt - repaid, 0.0)
    elif 0.0 < debt - repaid < market.debt_floor:
        return DUST, 0.0, 0.0, 0.0
    if repaid <= 0.0:
        return ZERO_AMOUNT, 0.0, 0.0, 0.0
    if repaid > held:
        return INSUFFICIENT_FUNDS, 0.0, 0.0, 0.0
    return OK, repaid, seized, deficit


@kernel
def liquidate(state, vault, amount, held, now):  # type: ignore[no-untyped-def]
    """Liquidate: (status, repaid, seized, deficit, what the backstop pays).

    The caller burns what is repaid and paid, and hands out what is seized.
    """
    status, repaid, seized, deficit = quote_liquidate(state, vault, amount, held, now)
    if status != OK:
        return status, 0.0, 0.0, 0.0, 0.0
    market = state.markets[state.vaults[vault].market]
    accrue(market, now)
    is_empty = seized == state.collateral[vault]
    state.collateral[vault] = 0.0 if is_empty else state.collateral[vault] - seized
    debt = state.scaled[vault] * market.index
    is_whole = is_empty or repaid >= debt * (1.0 - _ROUNDING)
    take_scaled(state, vault, state.scaled[vault] if is_whole else repaid / market.index)
    market.issued -= repaid
    return OK, repaid, seized, deficit, write_off(market, deficit)
