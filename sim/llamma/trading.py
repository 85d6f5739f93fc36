"""The pool of a market: oracle price, fee, exchange across bands, marginal price.

Bands above the active one (smaller numbers) hold debt tokens alone, those below it collateral
alone. Who pays debt tokens (side 1) empties the active band of collateral and goes on in the next
one below; who pays collateral (side 0) the other way. The fee is taken from the input and stays in
the band, with its owners.

The contract keeps a swap near the oracle: it leaves no band whose top is 50 bands away from it, and
touches at most 50 bands.
"""

from __future__ import annotations

import math

from sim.kernel import kernel
from sim.llamma.bands import band_price, highest_price, lowest_price, par_collateral, shifts
from sim.llamma.settings import MOST
from sim.llamma.state import CENTER, N_BANDS
from sim.status import Status
from sim.units import TICKS_PER_SECOND, YEAR

OK = int(Status.OK)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
PRICE_LIMIT = int(Status.PRICE_LIMIT)
INSUFFICIENT_LIQUIDITY = int(Status.INSUFFICIENT_LIQUIDITY)

MOST_MOVE = 1.25  # factor by which a single move of the oracle counts at most
_TICKS_A_YEAR = YEAR * TICKS_PER_SECOND


@kernel
def index_at(m, now):  # type: ignore[no-untyped-def]
    """Return the index of debts and band prices at a tick; writes nothing."""
    return m.index * (1.0 + m.rate * (now - m.last_update) / _TICKS_A_YEAR)


@kernel
def top_of(m, band, now):  # type: ignore[no-untyped-def]
    """Return the highest oracle price of a band, debt tokens per collateral."""
    return m.base_price * index_at(m, now) * math.exp(m.log_step * band)


@kernel
def observe_price(m, reported, now):  # type: ignore[no-untyped-def]
    """Take a reported price for the market's own; returns the part of the fee for its move.

    A move within `delay` of the last one that was written down counts by a factor of 1.25 at most,
    and costs `1 - ratio^3` more than what is left of those before it, less with the time passed.
    """
    m.reported = m.price = reported
    passed = now - m.moved_at
    if m.has_dynamic_fee == 0 or passed >= m.delay:
        return 0.0
    ratio = min(reported, m.moved_price) / max(reported, m.moved_price)
    if ratio < 1.0 / MOST_MOVE:
        ratio = 1.0 / MOST_MOVE
        is_up = reported > m.moved_price
        m.price = m.moved_price * MOST_MOVE if is_up else m.moved_price / MOST_MOVE
    whole = min(1.0 + m.moved_fee - ratio * ratio * ratio, 1.0 - 1e-9)
    return whole * (m.delay - passed) / m.delay


@kernel
def write_price(m, move_fee, now):  # type: ignore[no-untyped-def]
    """Write down the price at which something was done."""
    if now > m.moved_at:
        m.moved_price, m.moved_fee, m.moved_at = m.price, move_fee, now


@kernel
def _buy(x, y, f, g, keep, left, price_limit):  # type: ignore[no-untyped-def]
    """Pay up to `left` debt tokens into a band: (net input, collateral out, is it the last).

    The last band is the one where the amount or the price limit ends.
    """
    invariant = (f + x) * (g + y)
    whole = invariant / g - f - x
    most = whole
    if price_limit > 0.0:
        most = min(most, math.sqrt(invariant * price_limit) - f - x)
    net = min(left * keep, most)
    if net <= 0.0:
        return 0.0, 0.0, True
    if net >= whole:
        return whole, y, left * keep <= whole
    return net, min(max(y + g - invariant / (f + x + net), 0.0), y), True


@kernel
def _sell(x, y, f, g, keep, left, price_limit):  # type: ignore[no-untyped-def]
    """Pay up to `left` collateral into a band: (net input, debt tokens out, is it the last)."""
    limit = 1.0 / price_limit if price_limit > 0.0 else 0.0
    return _buy(y, x, g, f, keep, left, limit)


@kernel(inline=False)
def exchange(state, market, side, amount, price_limit, fee, now, is_written):  # type: ignore[no-untyped-def]
    """Exchange at most `amount` up to a price; side 0 pays collateral, side 1 debt tokens.

    Parameters
    ----------
    price_limit : marginal price at which to stop, 0: none
    fee : fraction of the input, see `fee_of`
    is_written : whether to do it; else nothing changes

    Returns
    -------
    (status, amount in, amount out, fee paid, marginal price after without the fee's part): OK,
    BAD_AMOUNT, ZERO_AMOUNT, PRICE_LIMIT, INSUFFICIENT_LIQUIDITY
    """
    m = state.markets[market]
    if not 0.0 <= amount < math.inf:
        return BAD_AMOUNT, 0.0, 0.0, 0.0, 0.0
    if amount == 0.0:
        return ZERO_AMOUNT, 0.0, 0.0, 0.0, 0.0
    keep, step, band, n_touched = 1.0 - fee, (1 if side == 1 else -1), m.active, 0
    paid = out = after = 0.0
    last, refusal = m.active, INSUFFICIENT_LIQUIDITY
    while 0 <= band + CENTER < N_BANDS and n_touched < MOST:
        at, top = band + CENTER, top_of(m, band, now)
        x, y = state.x[market, at], state.y[market, at]
        if x > 0.0 or y > 0.0:
            n_touched += 1
        if (side == 1 and y > 0.0) or (side == 0 and x > 0.0):
            f, g = shifts(par_collateral(x, y, m.price, top, m.a), m.price, top, m.a)
            if side == 1:
                net, got, is_last = _buy(x, y, f, g, keep, amount - paid, price_limit)
            else:
                net, got, is_last = _sell(x, y, f, g, keep, amount - paid, price_limit)
            if net <= 0.0:
                refusal = PRICE_LIMIT
                break
            gross = min(net / keep, amount - paid)
            paid, out, last = paid + gross, out + got, band
            more_x, more_y = (net, -got) if side == 1 else (-got, net)
            after = (f + x + more_x) / (g + y + more_y)
            if is_written:
                move(state, market, at, side, gross, got)
            if is_last:
                break
        if is_end(m, band, side, top):
            break
        band += step
    if paid <= 0.0:
        return refusal, 0.0, 0.0, 0.0, 0.0
    if is_written:
        m.active = last
    return OK, paid, out, paid * fee, after


@kernel
def move(state, market, at, side, gross, got):  # type: ignore[no-untyped-def]
    """Book an exchange with one band."""
    if side == 1:
        state.x[market, at] += gross
        state.y[market, at] = max(state.y[market, at] - got, 0.0)
    else:
        state.y[market, at] += gross
        state.x[market, at] = max(state.x[market, at] - got, 0.0)


@kernel
def is_end(m, band, side, top):  # type: ignore[no-untyped-def]
    """Return whether an exchange goes no further than this band."""
    far = math.exp(-m.log_step * MOST)
    if side == 1:
        return band >= m.high or top * far < m.price
    return band <= m.low or top > m.price * far


@kernel
def fee_of(m, move_fee):  # type: ignore[no-untyped-def]
    """Return the fee of an exchange: the fixed one, or that of the oracle's move if it is more."""
    return max(m.fee, move_fee)


@kernel
def contract_price(state, market, now):  # type: ignore[no-untyped-def]
    """Return the marginal price of the active band."""
    m = state.markets[market]
    at, top = m.active + CENTER, top_of(m, m.active, now)
    return band_price(state.x[market, at], state.y[market, at], m.price, top, m.a)


@kernel(inline=False)
def tradable_price(state, market, now):  # type: ignore[no-untyped-def]
    """Return the marginal price at which the pool trades; between two prices: the oracle's.

    Where bands are empty around the oracle, the pool sells above it and buys below it alone.
    """
    m = state.markets[market]
    at = m.active + CENTER
    if state.x[market, at] > 0.0 and state.y[market, at] > 0.0:
        return contract_price(state, market, now)
    bid, ask, price = 0.0, math.inf, m.price
    for band in range(m.active, m.low - 1, -1):
        if state.x[market, band + CENTER] > 0.0:
            bid = highest_price(price, top_of(m, band, now), m.a)
            break
    for band in range(m.active, m.high + 1):
        if state.y[market, band + CENTER] > 0.0:
            ask = lowest_price(price, top_of(m, band, now))
            break
    return min(max(price, bid), ask)
