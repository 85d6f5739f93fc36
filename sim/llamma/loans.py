"""The controller: loans against bands, their health, and hard liquidation.

A loan of n bands begins at the lowest band whose slow sale still covers the debt: the first band is
the largest `k` with `effective_collateral * top(k) >= debt`. Its health is

    converted to debt tokens * (1 - liquidation_discount) / debt - 1,

and, as long as the market is above its bands, what the collateral is worth beyond the top of the
first one is added. Below zero anybody may pay the debt, less the debt tokens in the bands, and take
the rest. While a loan is being converted its bands stay where they are: nothing can be borrowed,
added or taken, and a repayment lowers the debt alone.

Each kernel checks everything before it changes anything, and returns a status first.

Differences from the contract: health adds in real numbers, without its rounding; a full repayment
nets the debt tokens of the bands against the debt; there is no callback (use a composite order).
"""

from __future__ import annotations

import math

from sim.kernel import kernel
from sim.llamma.deposits import (
    can_hold,
    converted,
    deposit,
    effective_collateral,
    position_of,
    withdraw,
)
from sim.llamma.settings import FEWEST, MOST
from sim.llamma.state import CENTER
from sim.llamma.trading import index_at, top_of
from sim.status import Status

OK = int(Status.OK)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
BAD_RANGE = int(Status.BAD_RANGE)
NO_POSITION = int(Status.NO_POSITION)
NO_SLOT = int(Status.NO_SLOT)
UNHEALTHY = int(Status.UNHEALTHY)
NOT_LIQUIDATABLE = int(Status.NOT_LIQUIDATABLE)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
INSUFFICIENT_FUNDS = int(Status.INSUFFICIENT_FUNDS)
CAP = int(Status.CAP)


@kernel
def accrue(m, now):  # type: ignore[no-untyped-def]
    """Write down the index up to a tick."""
    m.index = index_at(m, now)
    m.last_update = max(now, m.last_update)


@kernel
def debt_of(state, loan, now):  # type: ignore[no-untyped-def]
    """Return what a loan owes, debt tokens with interest."""
    mine = state.loans[loan]
    return mine.scaled * index_at(state.markets[mine.market], now)


@kernel
def is_converting(state, loan):  # type: ignore[no-untyped-def]
    """Return whether a loan's bands have come to trading: it cannot move them.

    They have where its first band is not below the lowest one that holds debt tokens.
    """
    mine = state.loans[loan]
    m = state.markets[mine.market]
    if mine.n == 0:
        return False
    for band in range(m.active, m.low - 1, -1):
        if state.x[mine.market, band + CENTER] > 0.0:
            return mine.first <= band
    return False


@kernel(inline=False)
def first_band(state, market, collateral, debt, n, now):  # type: ignore[no-untyped-def]
    """Return (status, first band) of a loan: OK or UNHEALTHY (too much debt)."""
    m = state.markets[market]
    worth = effective_collateral(collateral, n, m.loan_discount, m.a) * top_of(m, m.active, now)
    if not worth > 0.0:
        return UNHEALTHY, 0
    below = math.floor(math.log(worth / debt) / -m.log_step)
    first = int(min(max(m.active + below, -CENTER), CENTER - n))
    if not top_of(m, first, now) < m.price or not can_hold(state, market, first, n):
        return UNHEALTHY, 0
    return OK, first


@kernel(inline=False)
def health(state, loan, is_full, now):  # type: ignore[no-untyped-def]
    """Return the health of a loan; inf without debt.

    Parameters
    ----------
    is_full : 1: with what the collateral is worth above its bands
    """
    mine = state.loans[loan]
    debt = debt_of(state, loan, now)
    if debt <= 0.0:
        return math.inf
    found = converted(state, loan, 0, now) * (1.0 - mine.discount) / debt - 1.0
    if is_full != 0 and not is_converting(state, loan):
        m = state.markets[mine.market]
        above = m.price - top_of(m, mine.first, now)
        if above > 0.0:
            _, y = position_of(state, loan)
            found += above * y / debt
    return found


@kernel(inline=False)
def create(state, loan, collateral, debt, n, now):  # type: ignore[no-untyped-def]
    """Pledge collateral in n bands and borrow.

    Returns
    -------
    status : OK, BAD_AMOUNT, ZERO_AMOUNT, BAD_RANGE (4 to 50 bands), NO_SLOT (it has a loan), CAP,
        UNHEALTHY
    """
    mine = state.loans[loan]
    status = check(collateral)
    if status == OK:
        status = check(debt)
    if status != OK:
        return status
    if n < FEWEST or n > MOST:
        return BAD_RANGE
    if mine.n > 0:
        return NO_SLOT
    m = state.markets[mine.market]
    if m.scaled_debt * index_at(m, now) + debt > m.debt_ceiling:
        return CAP
    status, first = first_band(state, mine.market, collateral, debt, n, now)
    if status != OK:
        return status
    accrue(m, now)
    deposit(state, loan, mine.market, collateral, first, n)
    set_debt(state, loan, debt)
    return OK


@kernel
def check(amount):  # type: ignore[no-untyped-def]
    """Return OK for a positive finite number, else ZERO_AMOUNT or BAD_AMOUNT."""
    if 0.0 < amount < math.inf:
        return OK
    return ZERO_AMOUNT if amount == 0.0 else BAD_AMOUNT


@kernel
def set_debt(state, loan, debt):  # type: ignore[no-untyped-def]
    """Set what a loan owes; it gets the discount of now."""
    mine = state.loans[loan]
    m = state.markets[mine.market]
    m.scaled_debt = max(m.scaled_debt - mine.scaled, 0.0)
    mine.scaled = debt / m.index
    m.scaled_debt += mine.scaled
    mine.discount = m.liquidation_discount


@kernel(inline=False)
def adjust(state, loan, more_collateral, more_debt, now):  # type: ignore[no-untyped-def]
    """Change collateral (below 0: take out) and debt of a loan that is not being converted.

    Returns
    -------
    status : OK, NO_POSITION, BAD_AMOUNT, NOT_ALLOWED (it is being converted), INSUFFICIENT_FUNDS
        (less collateral than that), CAP, UNHEALTHY
    """
    mine = state.loans[loan]
    if mine.n == 0:
        return NO_POSITION
    if not (abs(more_collateral) < math.inf and 0.0 <= more_debt < math.inf):
        return BAD_AMOUNT
    if is_converting(state, loan):
        return NOT_ALLOWED
    m, n = state.markets[mine.market], mine.n
    debt = debt_of(state, loan, now) + more_debt
    if more_debt > 0.0 and m.scaled_debt * index_at(m, now) + more_debt > m.debt_ceiling:
        return CAP
    _, y = position_of(state, loan)
    if not y + more_collateral > 0.0:
        return INSUFFICIENT_FUNDS
    return _move_bands(state, loan, y + more_collateral, debt, n, now)


@kernel(inline=False)
def _move_bands(state, loan, collateral, debt, n, now):  # type: ignore[no-untyped-def]
    """Put all collateral of a loan where its debt belongs; OK or UNHEALTHY."""
    mine = state.loans[loan]
    status, first = first_band(state, mine.market, collateral, debt, n, now)
    if status != OK:
        return status
    accrue(state.markets[mine.market], now)
    withdraw(state, loan, mine.market, 1.0)
    deposit(state, loan, mine.market, collateral, first, n)
    set_debt(state, loan, debt)
    return OK


@kernel(inline=False)
def repay(state, loan, amount, available, now):  # type: ignore[no-untyped-def]
    """Repay part of a debt, or all of it (inf): then the position is paid out.

    Parameters
    ----------
    available : debt tokens that the payer holds

    Returns
    -------
    (status, repaid, debt tokens out of the bands, collateral out of them): OK, NO_POSITION,
    ZERO_AMOUNT, BAD_AMOUNT, INSUFFICIENT_FUNDS, UNHEALTHY (the bands cannot be moved)
    """
    mine = state.loans[loan]
    if mine.n == 0:
        return NO_POSITION, 0.0, 0.0, 0.0
    if not amount > 0.0:
        return (ZERO_AMOUNT if amount == 0.0 else BAD_AMOUNT), 0.0, 0.0, 0.0
    debt = debt_of(state, loan, now)
    x, y = position_of(state, loan)
    if amount >= debt:
        if debt - x > available:
            return INSUFFICIENT_FUNDS, 0.0, 0.0, 0.0
        accrue(state.markets[mine.market], now)
        x, y = withdraw(state, loan, mine.market, 1.0)
        set_debt(state, loan, 0.0)
        return OK, debt, x, y
    if amount > available:
        return INSUFFICIENT_FUNDS, 0.0, 0.0, 0.0
    if is_converting(state, loan):
        accrue(state.markets[mine.market], now)
        set_debt(state, loan, debt - amount)
        return OK, amount, 0.0, 0.0
    status = _move_bands(state, loan, y, debt - amount, mine.n, now)
    return status, (amount if status == OK else 0.0), 0.0, 0.0


@kernel
def withdrawn_part(fraction, discount):  # type: ignore[no-untyped-def]
    """Return the part of a position that a liquidation of a fraction of the debt takes out.

    `((1 + h / 2) / (1 + h) (1 - fraction) + fraction) fraction`: a little less than the fraction,
    so that the rest becomes healthier.
    """
    if fraction >= 1.0:
        return 1.0
    kept = (1.0 + 0.5 * discount) / (1.0 + discount)
    return (kept * (1.0 - fraction) + fraction) * fraction


@kernel(inline=False)
def quote_liquidate(state, loan, fraction, now):  # type: ignore[no-untyped-def]
    """Return (status, debt closed, debt tokens and collateral out) of a hard liquidation.

    OK, NO_POSITION, BAD_AMOUNT (a fraction above 0 and up to 1), NOT_LIQUIDATABLE.
    """
    mine = state.loans[loan]
    if mine.n == 0:
        return NO_POSITION, 0.0, 0.0, 0.0
    if not 0.0 < fraction <= 1.0:
        return BAD_AMOUNT, 0.0, 0.0, 0.0
    if not health(state, loan, 1, now) < 0.0:
        return NOT_LIQUIDATABLE, 0.0, 0.0, 0.0
    part = withdrawn_part(fraction, mine.discount)
    x, y = position_of(state, loan)
    return OK, debt_of(state, loan, now) * fraction, x * part, y * part


@kernel(inline=False)
def liquidate(state, loan, fraction, now):  # type: ignore[no-untyped-def]
    """Close a fraction of a loan whose health is negative; returns as `quote_liquidate`."""
    status, closed, x, y = quote_liquidate(state, loan, fraction, now)
    if status != OK:
        return status, 0.0, 0.0, 0.0
    mine = state.loans[loan]
    m = state.markets[mine.market]
    accrue(m, now)
    debt, discount = mine.scaled * m.index, mine.discount
    x, y = withdraw(state, loan, mine.market, withdrawn_part(fraction, discount))
    set_debt(state, loan, debt - closed if fraction < 1.0 else 0.0)
    mine.discount = discount
    return OK, closed, x, y
