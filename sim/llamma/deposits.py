"""Deposits over bands, withdrawals, and what a position becomes when prices move slowly.

A deposit is spread evenly over consecutive bands below the active one, none of which may hold debt
tokens; each band counts shares of those who are in it. Empty bands between the active one and a
deposit above it are skipped: the deposit's neighbor becomes the active band.

Differences from the contract: shares carry no dead weight (a thousandth of a unit there), and what
is left of a band without owners is cleared.
"""

from __future__ import annotations

import math

from sim.kernel import kernel
from sim.llamma.bands import as_collateral, as_debt
from sim.llamma.state import CENTER, N_BANDS
from sim.llamma.trading import top_of


@kernel
def can_hold(state, market, first, n):  # type: ignore[no-untyped-def]
    """Return whether collateral can be put into bands.

    Neither they nor the bands below them down to the active one may hold debt tokens.
    """
    m = state.markets[market]
    if first + CENTER < 0 or first + n + CENTER > N_BANDS:
        return False
    is_free = True
    for band in range(first, max(m.active + 1, first + n)):
        is_free = is_free and not state.x[market, band + CENTER] > 0.0
    return is_free


@kernel
def deposit(state, loan, market, amount, first, n):  # type: ignore[no-untyped-def]
    """Put collateral into `n` bands from `first` on; `can_hold` was asked before."""
    m, mine = state.markets[market], state.loans[loan]
    m.active = min(m.active, first - 1)
    m.low, m.high = min(m.low, first), max(m.high, first + n - 1)
    mine.first, mine.n = first, n
    for k in range(n):
        at, part = first + k + CENTER, amount / n
        before, shares = state.y[market, at], state.shares[market, at]
        new = shares * part / before if before > 0.0 and shares > 0.0 else part
        state.held[loan, k] = new
        state.shares[market, at] = shares + new
        state.y[market, at] = before + part
        state.n_owners[market, at] += 1


@kernel
def withdraw(state, loan, market, fraction):  # type: ignore[no-untyped-def]
    """Take a fraction of a position out of its bands; returns (debt tokens, collateral)."""
    mine = state.loans[loan]
    total_x = total_y = 0.0
    for k in range(mine.n):
        at = mine.first + k + CENTER
        part = state.held[loan, k] * fraction
        of_band = min(part / state.shares[market, at], 1.0)
        x, y = state.x[market, at] * of_band, state.y[market, at] * of_band
        state.held[loan, k] -= part
        state.shares[market, at] -= part
        if fraction >= 1.0:
            state.held[loan, k] = 0.0
            state.n_owners[market, at] -= 1
            if state.n_owners[market, at] == 0:
                x, y = state.x[market, at], state.y[market, at]
                state.shares[market, at] = state.x[market, at] = state.y[market, at] = 0.0
        if state.n_owners[market, at] > 0:
            state.x[market, at] -= x
            state.y[market, at] -= y
        total_x, total_y = total_x + x, total_y + y
    if fraction >= 1.0:
        mine.n = 0
    return total_x, total_y


@kernel
def position_of(state, loan):  # type: ignore[no-untyped-def]
    """Return (debt tokens, collateral) of a loan in its bands now."""
    mine = state.loans[loan]
    x = y = 0.0
    for k in range(mine.n):
        at = mine.first + k + CENTER
        part = state.held[loan, k] / state.shares[mine.market, at]
        x += state.x[mine.market, at] * part
        y += state.y[mine.market, at] * part
    return x, y


@kernel(inline=False)
def converted(state, loan, to_collateral, now):  # type: ignore[no-untyped-def]
    """Return what a position becomes if the oracle moves slowly through all of its bands.

    Parameters
    ----------
    to_collateral : 1: up, in collateral; 0: down, in debt tokens
    """
    mine = state.loans[loan]
    m, total = state.markets[mine.market], 0.0
    for k in range(mine.n):
        at = mine.first + k + CENTER
        part = state.held[loan, k] / state.shares[mine.market, at]
        x, y = state.x[mine.market, at], state.y[mine.market, at]
        top = top_of(m, mine.first + k, now)
        if to_collateral != 0:
            total += part * as_collateral(x, y, m.price, top, m.a)
        else:
            total += part * as_debt(x, y, m.price, top, m.a)
    return total


@kernel
def effective_collateral(collateral, n, discount, a):  # type: ignore[no-untyped-def]
    """Return the collateral that, sold at the top of the first of n bands, gives what they give.

    `y (1 - discount) / n sqrt((A - 1) / A) sum_k ((A - 1) / A)^k`: each band is sold slowly, at the
    geometric mean of its edges.
    """
    step = (a - 1.0) / a
    part = collateral * (1.0 - discount) / n * math.sqrt(step)
    return part * a * (1.0 - math.exp(math.log(step) * n))
