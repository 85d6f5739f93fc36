"""Liquidation orders: which account, how much of it, what to bid, and the legs of the order."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from agents.liquidation_funds import free_entry, has_asked, scaled_debt
from agents.liquidation_search import N_FOUND, weigh
from agents.liquidation_size import (
    EXITS,
    HOLD,
    POOL,
    best_in_pools,
    leave_enough,
    seized_per_debt,
)
from sim.draws import uniforms
from sim.kernel import F8, I8, F8x2, I8x2, columnar, kernel
from sim.lending.account import claim_of
from sim.lending.liquidation import UNDERLYING, quote_liquidate
from sim.lending.reserve import withdrawable
from sim.lending.verbs import pair_of
from sim.mempool import join, post
from sim.orders import (
    CHAINED,
    FLASH,
    FLASH_LOAN,
    FLASH_REPAY,
    LIQUIDATE,
    LIQUIDATE_FOR_CLAIM,
    ROUTINE,
    SWAP,
    WITHDRAW,
    cause,
)
from sim.status import Status
from sim.venues import draft

OK = int(Status.OK)
GROUP, MARKET, LENDER, PER_BLOCK, SEED, STREAM, EXPIRES = range(7)  # LiquidatorState.number
LEAST, DISCOUNT, TASTE, FLASH_FEE, ON_CLAIMS = range(5)  # LiquidatorState.terms
AS_CLAIM = -2  # in place of a pool: the seized claim itself is taken
_PATIENCE = 4  # blocks after which a bid that follows the market is given up
_ACCEPTED = 0.99  # share of the expected collateral with which an order is content
_WHOLE = 1.0 - 1e-9  # of the cash, so that rounding does not ask for more
_N_LEGS = 4
_LEAST_REDEEMED = 100.0  # USD
_ROUTINE = cause(ROUTINE)


@columnar
class LiquidatorState(NamedTuple):
    """Columns of liquidators, and what they share."""

    exit: I8  # int64, (n,), POOL, REFERENCE or HOLD
    is_flash: I8  # int64, (n,), 1: pays with flash loans
    gas: I8  # int64, (n,), gas of a liquidation, all legs
    tip_share: F8  # float64, (n,), share of the expected profit bid as priority fee
    static_price: F8  # float64, (n,), native per gas, a bid that never changes; 0: follows
    reaction: I8  # int64, (n,), ticks that an account stays unsafe before they act
    n_orders: I8  # int64, (n,), liquidations sent
    pools: I8x2  # int64, (1, n_pools), where collateral can be sold
    terms: (
        F8x2  # float64, (1, 5): least profit USD, discount on later sales, spread of preferences,
    )
    # fee of a flash loan, discount on claims
    claim_position: I8  # int64, (n,), position that takes seized claims, -1: takes none
    redeem_due: I8  # int64, (n,), tick of the next withdrawal of such claims
    number: I8x2  # int64, (1, 7): group, market venue, flash lender or -1, most a block, seed,
    # stream, ticks after which a fixed bid expires


@columnar
class Board(NamedTuple):
    """What is the same for all accounts before a block; reserves count from the market's first."""

    usd: F8  # float64, (n_reserves,), USD, reference price
    keep: F8  # float64, (n_reserves,), 1 - cost of a side on the reference market
    price: F8x2  # float64, (3, n_reserves ** 2), debt tokens per collateral token, by exit
    source: I8  # int64, (n_reserves,), reserve of the flash lender with the same token, or -1
    purse: F8  # float64, (n_reserves,), tokens that the liquidator at hand can pay
    cost: F8  # float64, (n_reserves,), what each costs it: 1 + flash fee


def make_board(source: np.ndarray) -> Board:
    """Return an empty board; `source` is the column of that name."""
    n = len(source)
    return Board(
        np.zeros(n), np.zeros(n), np.zeros((len(EXITS), n * n)), source, np.zeros(n), np.ones(n)
    )


@kernel
def borrow_purse(board, lending, flash_fee, is_halted):  # type: ignore[no-untyped-def]
    """Write what somebody with flash loans can pay of each reserve's token."""
    for k in range(board.purse.shape[0]):
        source = board.source[k]
        can_borrow = source >= 0 and is_halted == 0
        board.purse[k] = lending.reserves[source].cash if can_borrow else 0.0
        board.cost[k] = 1.0 + flash_fee


@kernel
def gain_per_debt(board, lending, candidate, first, way):  # type: ignore[no-untyped-def]
    """Return the gain per token of a first small repayment, tokens of debt.

    No repayment gains more per token: times the most that may be repaid it is an upper bound.
    """
    j, k = candidate.collateral - first, candidate.debt - first
    seized = seized_per_debt(lending, candidate.position, candidate.debt, candidate.collateral)
    return seized * board.price[way, j * board.usd.shape[0] + k] - board.cost[k]


@kernel(inline=False)
def choose(hunters, board, watch, asked, lending, first, row, look_id, gas_usd, now):  # type: ignore[no-untyped-def]
    """Return the candidate that promises a liquidator most, -1: none is worth its gas.

    The promise is an upper bound, the gain at the margin times the most it could repay, lowered by
    the liquidator's own taste for the account.
    """
    best, most = -1, 0.0
    least = hunters.terms[0, LEAST] + gas_usd
    for k in range(watch.number[N_FOUND]):
        candidate = watch.found[k]
        if candidate.most <= 0.0 or candidate.looked == look_id:
            continue
        if now < candidate.since + hunters.reaction[row]:
            continue
        at = candidate.debt - first
        gain = gain_per_debt(board, lending, candidate, first, hunters.exit[row])
        promise = gain * min(candidate.most, board.purse[at]) * board.usd[at]
        if promise <= max(least, most) or has_asked(asked, lending, row, candidate.position, now):
            continue
        taste = uniforms(
            hunters.number[0, SEED], hunters.number[0, STREAM], candidate.position, row, 0
        )[0]
        promise *= 1.0 - hunters.terms[0, TASTE] * taste
        if promise > most:
            best, most = k, promise
    return best


@kernel
def bid(hunters, chain, order, row, profit, native_usd, most_tip, now):  # type: ignore[no-untyped-def]
    """Set what an order offers for its place in a block, and how long it stands."""
    static = hunters.static_price[row]
    if static > 0.0:
        order.tip = max(static - chain.base_fee, 0.0)
        order.max_fee = static
        order.expires = now + hunters.number[0, EXPIRES]
        return
    if native_usd > 0.0:
        tip = hunters.tip_share[row] * profit / (order.gas * native_usd)
        order.tip = min(tip, most_tip)
    order.max_fee += order.tip
    order.expires = now + _PATIENCE * chain.interval


@kernel(inline=False)
def compose(hunters, box, venues, row, candidate, source, plan, now):  # type: ignore[no-untyped-def]
    """Return the order of a liquidation, all legs.

    With a flash loan: borrow, liquidate, sell, pay back. With inventory: liquidate, and sell where
    the exit is a pool (`plan` says which; -1: elsewhere, later).

    Parameters
    ----------
    source : reserve of the flash lender
    plan : (repayment, collateral seized, pool or `AS_CLAIM`, side, what to pay back, least
        profit), tokens
    """
    repaid, seized, pool, side, owed, least = plan
    is_flash = hunters.is_flash[row]
    slot = -1
    for leg in range(_N_LEGS):
        venue, verb, flags = hunters.number[0, LENDER], FLASH_LOAN, FLASH
        if leg == 1:
            venue, verb, flags = hunters.number[0, MARKET], LIQUIDATE, FLASH * is_flash
        elif leg == 2:
            venue, verb, flags = pool, SWAP, CHAINED
        elif leg == 3:
            verb, flags = FLASH_REPAY, CHAINED
        if (leg == 2 and pool < 0) or (is_flash == 0 and (leg == 0 or leg == 3)):
            continue
        order = draft(box, venues, venue, verb, hunters.number[0, GROUP], row, now)
        order.flag_bits, order.parent, order.amount = flags, candidate.parent, repaid
        if leg == 0 or leg == 3:
            order.b = source
        if leg == 1:
            if pool == AS_CLAIM:
                order.verb += LIQUIDATE_FOR_CLAIM - LIQUIDATE
                order.amount1 = float(hunters.claim_position[row])
            order.a, order.b = candidate.position, pair_of(candidate.debt, candidate.collateral)
            order.limit = _ACCEPTED * seized
        elif leg == 2:
            order.a, order.limit = side, owed + least
            order.token_in = venues.token0[pool] if side == 0 else venues.token1[pool]
            order.token_out = venues.token1[pool] if side == 0 else venues.token0[pool]
        elif leg == 3:
            order.amount1, order.limit = owed, least
        if slot < 0:
            slot = order.slot
        else:
            join(box, box.orders[slot], order)
    return box.orders[slot]


@kernel(inline=False)
def size_up(hunters, board, lending, venues, row, candidate, first):  # type: ignore[no-untyped-def]
    """Return (repayment, gain, pool, side) that is best for a candidate; gain 0: none.

    Pool `AS_CLAIM`: the market is short of cash, and the liquidator takes a claim.
    """
    j, k = candidate.collateral - first, candidate.debt - first
    seized = seized_per_debt(lending, candidate.position, candidate.debt, candidate.collateral)
    cash = lending.reserves[candidate.collateral].cash
    most = min(candidate.most, board.purse[k])
    if hunters.claim_position[row] >= 0 and most * seized > cash:
        price = board.price[HOLD, j * board.usd.shape[0] + k] * (1.0 - hunters.terms[0, ON_CLAIMS])
        return most, most * (seized * price - board.cost[k]), AS_CLAIM, 0
    most = min(most, _WHOLE * cash / seized)
    if most <= 0.0:
        return 0.0, 0.0, -1, 0
    if hunters.exit[row] == POOL:
        token_in = lending.reserves[candidate.collateral].token
        token_out = lending.reserves[candidate.debt].token
        return best_in_pools(
            venues, hunters.pools[0], token_in, token_out, most, seized, board.cost[k]
        )
    price = board.price[hunters.exit[row], j * board.usd.shape[0] + k]
    return most, most * (seized * price - board.cost[k]), -1, 0


@kernel(inline=False)
def redeem(hunters, lending, box, venues, row, now):  # type: ignore[no-untyped-def]
    """Withdraw seized claims as far as there is cash."""
    position = hunters.claim_position[row]
    for slot in range(lending.collateral_reserve.shape[1]):
        reserve = lending.collateral_reserve[position, slot]
        if reserve < 0:
            continue
        asset = lending.reserves[reserve]
        claim = claim_of(lending, position, reserve, now)
        amount = min(claim, withdrawable(asset))
        if amount * asset.price < _LEAST_REDEEMED:
            continue
        market, group = hunters.number[0, MARKET], hunters.number[0, GROUP]
        order = draft(box, venues, market, WITHDRAW, group, row, now)
        order.a, order.b = position, reserve
        order.amount = math.inf if amount == claim else amount
        order.parent = _ROUTINE
        post(box, order)


@kernel(inline=False)
def pursue(hunters, board, asked, lending, box, venues, row, candidate, first, money, clock):  # type: ignore[no-untyped-def]
    """Look closely at one candidate and post a liquidation if it pays; returns whether it did.

    `money` is (USD of gas, USD per native token, most native tokens per gas it can tip, and that
    where it repays native tokens too).
    """
    gas_usd, native_usd, most_tip, least_tip = money
    now, chain = clock.now, box.chains[clock.chain]
    weigh(lending, candidate, now)
    entry = free_entry(asked, lending, row, now)
    if candidate.most <= 0.0 or entry < 0:
        return False
    repaid, gain, pool, side = size_up(hunters, board, lending, venues, row, candidate, first)
    position, debt = candidate.position, candidate.debt
    if hunters.is_flash[row] == 0 and lending.reserves[debt].token == chain.native:
        most_tip = min(most_tip, least_tip)
        if most_tip <= 0.0:
            return False
    repaid, gain = leave_enough(lending, position, debt, candidate.collateral, repaid, gain, now)
    at, usd = debt - first, board.usd[debt - first]
    profit = gain * usd - gas_usd
    if gain <= 0.0 or profit <= hunters.terms[0, LEAST]:
        return False
    receiver = hunters.claim_position[row] if pool == AS_CLAIM else UNDERLYING
    status, repaid, seized, _, _ = quote_liquidate(
        lending, position, debt, candidate.collateral, repaid, repaid, receiver, now
    )
    if status != OK:
        return False
    owed = board.cost[at] * repaid
    plan = (repaid, seized, pool, side, owed, hunters.terms[0, LEAST] / usd)
    order = compose(hunters, box, venues, row, candidate, board.source[at], plan, now)
    bid(hunters, chain, order, row, profit, native_usd, most_tip, now)
    if post(box, order) < 0:
        return False
    expires = order.expires  # a bid policy may have changed it
    record = asked[entry]
    record.until, record.position, record.reserve = expires, position, debt
    record.scaled = scaled_debt(lending, position, debt)
    record.amount = 0.0
    if hunters.is_flash[row] == 0:
        record.amount = repaid
        board.purse[at] = max(board.purse[at] - repaid, 0.0)
    hunters.n_orders[row] += 1
    return True
