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
from sim.lending.account import claim_of
from sim.lending.liquidation import seizure

POOL, REFERENCE, HOLD = range(3)  # what a liquidator does with collateral
EXITS = ("pool", "reference", "hold")
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_CUTS = 30  # the amount is known to 1e-6 of the most, the gain to its square
_NEAR = 1.0 - 1e-3  # where the gain still rises from here to the most, the most it is


@kernel
def net_seizure(lending, debt, collateral, repaid, claim):  # type: ignore[no-untyped-def]
    """Return the collateral tokens that a repayment brings the liquidator."""
    _, taken, fee = seizure(lending, debt, collateral, repaid, claim)
    return taken - fee


@kernel
def pool_gain(lending, venues, candidate, venue, side, repaid, claim, cost):  # type: ignore[no-untyped-def]
    """Return the gain where collateral is sold in a pool; `cost` is 1 + flash fee."""
    seized = net_seizure(lending, candidate.debt, candidate.collateral, repaid, claim)
    return amount_out_of(venues, venue, side, seized) - cost * repaid


@kernel(inline=False)
def best_in_pool(lending, venues, candidate, venue, side, most, claim, cost):  # type: ignore[no-untyped-def]
    """Return (repayment, gain) that is best with one pool; repayment at most `most` tokens."""
    best = most
    gain = pool_gain(lending, venues, candidate, venue, side, most, claim, cost)
    near = pool_gain(lending, venues, candidate, venue, side, _NEAR * most, claim, cost)
    if gain >= near:
        return best, gain
    low, high = 0.0, most
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    gain_left = pool_gain(lending, venues, candidate, venue, side, left, claim, cost)
    gain_right = pool_gain(lending, venues, candidate, venue, side, right, claim, cost)
    for _ in range(_CUTS):
        is_left = gain_left >= gain_right
        if is_left:
            high, right, gain_right = right, left, gain_left
            left = high - _GOLDEN * (high - low)
        else:
            low, left, gain_left = left, right, gain_right
            right = low + _GOLDEN * (high - low)
        asked = pool_gain(
            lending, venues, candidate, venue, side, left if is_left else right, claim, cost
        )
        if is_left:
            gain_left = asked
        else:
            gain_right = asked
    if gain_left >= gain_right:
        return left, gain_left
    return right, gain_right


@kernel(inline=False)
def best_in_pools(lending, venues, pools, candidate, most, cost, now):  # type: ignore[no-untyped-def]
    """Return (repayment, gain, pool, side) that is best over pools of the pair; pool -1: none."""
    token_in = lending.reserves[candidate.collateral].token
    token_out = lending.reserves[candidate.debt].token
    claim = claim_of(lending, candidate.position, candidate.collateral, now)
    best, best_gain, best_venue, best_side = 0.0, 0.0, -1, 0
    for k in range(pools.shape[0]):
        side = side_of(venues, pools[k], token_in, token_out)
        if side < 0 or venues.is_halted[pools[k]] != 0:
            continue
        repaid, gain = best_in_pool(lending, venues, candidate, pools[k], side, most, claim, cost)
        if gain > best_gain:
            best, best_gain, best_venue, best_side = repaid, gain, pools[k], side
    return best, best_gain, best_venue, best_side


@kernel
def marginal_price(venues, prices, pools, exit_kind, discount, token_in, token_out):  # type: ignore[no-untyped-def]
    """Return what a first small amount of collateral brings, debt tokens per token; 0: nothing.

    Pools: the best marginal price after the fee. Reference market: mid less half the spread and the
    fee of both sides. Both that and held collateral lose `discount`, for the risk of a later sale.
    """
    if exit_kind == POOL:
        best = 0.0
        for k in range(pools.shape[0]):
            side = side_of(venues, pools[k], token_in, token_out)
            if side >= 0 and venues.is_halted[pools[k]] == 0:
                price = venues.price[pools[k]] if side == 0 else 1.0 / venues.price[pools[k]]
                best = max(best, price * (1.0 - venues.fee[pools[k]]))
        return best
    sold, bought = prices.asset[token_in], prices.asset[token_out]
    if sold < 0 or bought < 0:
        return 0.0
    keep = 1.0 - discount
    if exit_kind == REFERENCE and token_in != token_out:
        keep *= (1.0 - prices.half_spread[sold]) * (1.0 - prices.taker_fee[sold])
        keep *= (1.0 - prices.half_spread[bought]) * (1.0 - prices.taker_fee[bought])
    return keep * prices.reference[token_in] / prices.reference[token_out]


@kernel
def marginal_gain(lending, candidate, price, cost):  # type: ignore[no-untyped-def]
    """Return the gain per token of debt of a first small repayment, at an exit price.

    No repayment gains more per token: times the most that may be repaid it is an upper bound.
    """
    pledged = lending.reserves[candidate.collateral]
    seized = lending.reserves[candidate.debt].price / pledged.price
    bonus = pledged.liquidation_bonus
    return seized * (1.0 + bonus - bonus * pledged.liquidation_protocol_fee) * price - cost


@kernel
def within_cash(lending, candidate, most):  # type: ignore[no-untyped-def]
    """Return the largest repayment, at most `most`, whose collateral the market can pay out."""
    pledged = lending.reserves[candidate.collateral]
    seized = lending.reserves[candidate.debt].price / pledged.price
    bonus = pledged.liquidation_bonus
    seized *= 1.0 + bonus - bonus * pledged.liquidation_protocol_fee
    return min(most, (1.0 - 1e-9) * pledged.cash / seized) if seized > 0.0 else 0.0
