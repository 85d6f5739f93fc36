"""How much debt a liquidator repays: marginal proceeds against marginal cost.

Repaying r tokens of a debt seizes collateral in proportion, bonus included. Sold into a pool, that
collateral gives a concave amount, so that the gain

    proceeds(seized(r)) - r (1 + flash fee)

has one maximum, found by golden section over quotes. At a fixed price (the reference market, whose
impact a liquidator does not foresee) the gain is linear: all, or nothing. Gains are in tokens of
the debt, before gas.
"""

from __future__ import annotations

import math

from agents.routing import amount_out_of, side_of
from sim.kernel import kernel
from sim.lending.account import claim_of, debt_of
from sim.lending.modes import terms_of

POOL, REFERENCE, HOLD = range(3)  # what a liquidator does with collateral
EXITS = ("pool", "reference", "hold")
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_QUOTES = 34  # the amount is known to 1e-6 of the most, the gain to its square
_ROUNDING = 1e-9
_NEAR = 1.0 - 1e-3  # where the gain still rises from here to the most, the most it is


@kernel
def seized_per_debt(lending, position, debt, collateral):  # type: ignore[no-untyped-def]
    """Return the collateral tokens that a liquidator receives for each token of debt."""
    pledged = lending.reserves[collateral]
    bonus = terms_of(lending, position, collateral)[2]
    ratio = lending.reserves[debt].price / pledged.price
    return ratio * (1.0 + bonus - bonus * pledged.liquidation_protocol_fee)


@kernel(inline=False)
def leave_enough(lending, position, debt, collateral, repaid, gain, now):  # type: ignore[no-untyped-def]
    """Return (repayment, gain), lowered where the market refuses to be left with dust.

    What closes debt or collateral whole stays. A smaller repayment gains at least its share.
    """
    owed, pledged = lending.reserves[debt], lending.reserves[collateral]
    dust = lending.markets[owed.market].dust_value
    if dust <= 0.0:
        return repaid, gain
    owes = debt_of(lending, position, debt, now)
    has = claim_of(lending, position, collateral, now)
    taken = owed.price / pledged.price * (1.0 + terms_of(lending, position, collateral)[2])
    if repaid >= min(owes, has / taken) * (1.0 - _ROUNDING):
        return repaid, gain
    most = min(owes - dust / owed.price, (has - dust / pledged.price) / taken)
    most *= 1.0 - _ROUNDING
    if most <= 0.0:
        return 0.0, 0.0
    return (repaid, gain) if repaid <= most else (most, gain * most / repaid)


@kernel(inline=False)
def best_in_pool(venues, venue, side, most, seized, cost):  # type: ignore[no-untyped-def]
    """Return (repayment, gain) that is best where collateral is sold in one pool.

    Parameters
    ----------
    most : tokens of debt that can be repaid
    seized : tokens of collateral for each
    cost : 1 + flash fee
    """
    low, high = 0.0, most
    left = right = gain_left = gain_right = best = gain = 0.0
    for k in range(_QUOTES):
        if k == 0:
            tried = most
        elif k == 1:
            tried = _NEAR * most
        elif k == 2 or (k > 3 and gain_left >= gain_right):
            if k > 3:
                high, right, gain_right = right, left, gain_left
            tried = left = high - _GOLDEN * (high - low)
        else:
            if k > 3:
                low, left, gain_left = left, right, gain_right
            tried = right = low + _GOLDEN * (high - low)
        out = amount_out_of(venues, venue, side, seized * tried) - cost * tried
        if k == 1 and gain >= out:
            break
        if k == 0 or out > gain:
            best, gain = tried, out
        if tried == left:
            gain_left = out
        else:
            gain_right = out
    return best, gain


@kernel(inline=False)
def best_in_pools(venues, pools, token_in, token_out, most, seized, cost):  # type: ignore[no-untyped-def]
    """Return (repayment, gain, pool, side) that is best over pools of the pair; pool -1: none."""
    best, best_gain, best_venue, best_side = 0.0, 0.0, -1, 0
    for k in range(pools.shape[0]):
        side = side_of(venues, pools[k], token_in, token_out)
        if side < 0 or venues.is_halted[pools[k]] != 0:
            continue
        repaid, gain = best_in_pool(venues, pools[k], side, most, seized, cost)
        if gain > best_gain:
            best, best_gain, best_venue, best_side = repaid, gain, pools[k], side
    return best, best_gain, best_venue, best_side


@kernel
def best_pool_price(venues, pools, token_in, token_out):  # type: ignore[no-untyped-def]
    """Return the best marginal price after fees over pools, token_out per token_in; 0: no pool."""
    best = 0.0
    for k in range(pools.shape[0]):
        side = side_of(venues, pools[k], token_in, token_out)
        if side >= 0 and venues.is_halted[pools[k]] == 0:
            price = venues.price[pools[k]] if side == 0 else 1.0 / venues.price[pools[k]]
            best = max(best, price * (1.0 - venues.fee[pools[k]]))
    return best


@kernel(inline=False)
def quote_exits(board, lending, prices, venues, pools, market, discount):  # type: ignore[no-untyped-def]
    """Write what a little collateral brings by each exit, for every pair of reserves.

    Pools: the best marginal price after the fee. Reference market: mid less half the spread and the
    fee of both sides. Both that and held collateral lose `discount`, for the risk of a later sale.
    """
    first, n = lending.markets[market].first_reserve, board.usd.shape[0]
    for k in range(n):
        token = lending.reserves[first + k].token
        board.usd[k] = prices.reference[token] if prices.asset[token] >= 0 else 0.0
        keep = 1.0
        if prices.asset[token] >= 0:
            asset = prices.asset[token]
            keep = (1.0 - prices.half_spread[asset]) * (1.0 - prices.taker_fee[asset])
        board.keep[k] = keep
    for at in range(n * n):
        j, k = at // n, at % n
        token_in, token_out = lending.reserves[first + j].token, lending.reserves[first + k].token
        board.price[POOL, at] = best_pool_price(venues, pools, token_in, token_out)
        mid = board.usd[j] / board.usd[k] if board.usd[k] > 0.0 else 0.0
        board.price[HOLD, at] = (1.0 - discount) * mid
        cost = board.keep[j] * board.keep[k] if j != k else 1.0
        board.price[REFERENCE, at] = (1.0 - discount) * cost * mid
