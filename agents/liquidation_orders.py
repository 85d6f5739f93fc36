"""Liquidation orders: which account, how much of it, what to bid, and the legs of the order."""

from __future__ import annotations

from typing import NamedTuple

from agents.liquidation_funds import available, free_entry, has_asked, scaled_debt
from agents.liquidation_search import N_FOUND, weigh
from agents.liquidation_size import (
    POOL,
    best_in_pools,
    marginal_gain,
    marginal_price,
    within_cash,
)
from sim.draws import uniforms
from sim.kernel import F8, I8, kernel
from sim.lending.liquidation import UNDERLYING, quote_liquidate
from sim.lending.protocol import pair_of
from sim.mempool import join, post
from sim.orders import CHAINED, FLASH, FLASH_LOAN, FLASH_REPAY, LIQUIDATE
from sim.status import Status
from sim.venues import draft, draft_swap

OK = int(Status.OK)
GROUP, MARKET, FLASH_MARKET, PER_BLOCK, SEED, STREAM, EXPIRES = range(7)  # LiquidatorState.number
LEAST, DISCOUNT, TASTE = range(3)  # LiquidatorState.terms
_PATIENCE = 4  # blocks after which a bid that follows the market is given up
_ACCEPTED = 0.99  # share of the expected collateral with which an order is content


class LiquidatorState(NamedTuple):
    """Columns of liquidators, and what they share."""

    exit: I8  # int64, (n,), POOL, REFERENCE or HOLD
    is_flash: I8  # int64, (n,), 1: pays with flash loans
    tip_share: F8  # float64, (n,), share of the expected profit bid as priority fee
    static_price: F8  # float64, (n,), native per gas, a bid that never changes; 0: follows
    reaction: I8  # int64, (n,), ticks that an account stays unsafe before they act
    n_orders: I8  # int64, (n,), liquidations sent
    pools: I8  # int64, (n_pools,), where collateral can be sold
    terms: F8  # float64, (3,): least profit USD, discount on later sales, spread of preferences
    number: I8  # int64, (7,): group, market venue, flash lender or -1, most a block, seed, stream,
    # ticks after which a fixed bid expires


# --- deciding ------------------------------------------------------------------------------------


@kernel
def flash_reserve(lending, venues, venue, token):  # type: ignore[no-untyped-def]
    """Return the reserve of a lender that lends a token, -1: none."""
    if venue < 0 or venues.is_halted[venue] != 0:
        return -1
    market = lending.markets[venues.row[venue]]
    for reserve in range(market.first_reserve, market.first_reserve + market.n_reserves):
        if lending.reserves[reserve].token == token:
            return reserve
    return -1


@kernel
def means(hunters, funds, lending, desk, box, ledger, venues, row, reserve, clock):  # type: ignore[no-untyped-def]
    """Return (most a liquidator can pay of a debt, 1 + fee on it)."""
    if hunters.is_flash[row] == 0:
        gas = gas_of(hunters, venues, row)
        return available(
            funds, box, ledger, lending, clock.chain, row, reserve, gas, clock.now
        ), 1.0
    lender = hunters.number[FLASH_MARKET]
    source = flash_reserve(lending, venues, lender, lending.reserves[reserve].token)
    if source < 0:
        return 0.0, 1.0
    return lending.reserves[source].cash, 1.0 + desk.flash_fee[venues.row[lender]]


@kernel
def gas_of(hunters, venues, row):  # type: ignore[no-untyped-def]
    """Return the gas of a liquidator's order, all legs."""
    first = venues.first_verb[hunters.number[MARKET]]
    gas = venues.gas[first + LIQUIDATE]
    if hunters.exit[row] == POOL and hunters.pools.shape[0] > 0:
        gas += venues.gas[venues.first_verb[hunters.pools[0]]]
    if hunters.is_flash[row] != 0:
        gas += venues.gas[first + FLASH_LOAN] + venues.gas[first + FLASH_REPAY]
    return gas


@kernel
def gas_usd_of(hunters, box, prices, venues, row, chain):  # type: ignore[no-untyped-def]
    """Return what that gas costs, USD: at the base fee of now, or the liquidator's fixed price."""
    record = box.chains[chain]
    price = hunters.static_price[row]
    price = price if price > 0.0 else record.base_fee
    return gas_of(hunters, venues, row) * price * prices.reference[record.native]


@kernel(inline=False)
def choose(hunters, watch, funds, lending, desk, box, ledger, prices, venues, row, look_id, clock):  # type: ignore[no-untyped-def]
    """Return the candidate that promises a liquidator most, -1: none is worth its gas.

    The promise is an upper bound, the gain at the margin times the most it could repay, lowered by
    the liquidator's own taste for the account.
    """
    best, most = -1, 0.0
    least = hunters.terms[LEAST] + gas_usd_of(hunters, box, prices, venues, row, clock.chain)
    debt, purse, cost = -1, 0.0, 1.0
    for k in range(watch.number[N_FOUND]):
        candidate = watch.found[k]
        if candidate.most <= 0.0 or candidate.looked == look_id:
            continue
        if clock.now < candidate.since + hunters.reaction[row]:
            continue
        if candidate.debt != debt:
            debt = candidate.debt
            purse, cost = means(
                hunters, funds, lending, desk, box, ledger, venues, row, debt, clock
            )
        token_in = lending.reserves[candidate.collateral].token
        token_out = lending.reserves[debt].token
        price = marginal_price(
            venues,
            prices,
            hunters.pools,
            hunters.exit[row],
            hunters.terms[DISCOUNT],
            token_in,
            token_out,
        )
        gain = marginal_gain(lending, candidate, price, cost) * min(candidate.most, purse)
        promise = gain * prices.reference[token_out]
        if promise <= least or has_asked(funds, lending, row, candidate.position, clock.now):
            continue
        taste = uniforms(hunters.number[SEED], hunters.number[STREAM], candidate.position, row, 0)[
            0
        ]
        promise *= 1.0 - hunters.terms[TASTE] * taste
        if promise > most:
            best, most = k, promise
    return best


@kernel(inline=False)
def size_up(hunters, funds, lending, desk, box, ledger, prices, venues, row, candidate, clock):  # type: ignore[no-untyped-def]
    """Return (repayment, gain, pool, side, cost) that is best for a candidate; gain 0: none."""
    purse, cost = means(
        hunters, funds, lending, desk, box, ledger, venues, row, candidate.debt, clock
    )
    most = within_cash(lending, candidate, min(candidate.most, purse))
    if most <= 0.0:
        return 0.0, 0.0, -1, 0, cost
    if hunters.exit[row] == POOL:
        repaid, gain, venue, side = best_in_pools(
            lending, venues, hunters.pools, candidate, most, cost, clock.now
        )
        return repaid, gain, venue, side, cost
    price = marginal_price(
        venues,
        prices,
        hunters.pools,
        hunters.exit[row],
        hunters.terms[DISCOUNT],
        lending.reserves[candidate.collateral].token,
        lending.reserves[candidate.debt].token,
    )
    return most, most * marginal_gain(lending, candidate, price, cost), -1, 0, cost


# --- ordering ------------------------------------------------------------------------------------


@kernel
def bid(hunters, box, prices, row, order, profit, now):  # type: ignore[no-untyped-def]
    """Set what an order offers for its place in a block, and how long it stands."""
    chain = box.chains[order.chain]
    static = hunters.static_price[row]
    if static > 0.0:
        order.tip = max(static - chain.base_fee, 0.0)
        order.max_fee = static
        order.expires = now + hunters.number[EXPIRES]
        return
    native_usd = prices.reference[chain.native]
    if native_usd > 0.0:
        order.tip = hunters.tip_share[row] * profit / (order.gas * native_usd)
    order.max_fee += order.tip
    order.expires = now + _PATIENCE * chain.interval


@kernel(inline=False)
def compose(hunters, lending, box, venues, row, candidate, plan, now):  # type: ignore[no-untyped-def]
    """Return the order of a liquidation, all legs; `plan` is (repayment, pool, side, cost, profit).

    With a flash loan: borrow, liquidate, sell, pay back. With inventory: liquidate, and sell where
    the exit is a pool.
    """
    repaid, seized, pool, side, cost, least = plan
    group, market = hunters.number[GROUP], hunters.number[MARKET]
    order = draft(box, venues, market, LIQUIDATE, group, row, now)
    order.a, order.b = candidate.position, pair_of(candidate.debt, candidate.collateral)
    order.amount, order.limit = repaid, _ACCEPTED * seized
    order.parent = candidate.parent
    head = order
    lender = hunters.number[FLASH_MARKET]
    source = -1
    if hunters.is_flash[row] != 0:
        source = flash_reserve(lending, venues, lender, lending.reserves[candidate.debt].token)
        head = draft(box, venues, lender, FLASH_LOAN, group, row, now)
        head.b, head.amount, head.flag_bits, head.parent = source, repaid, FLASH, candidate.parent
        order.flag_bits = FLASH
        join(box, head, order)
    if pool >= 0:
        swap = draft_swap(box, venues, pool, side, 0.0, group, row, now)
        swap.flag_bits, swap.parent = CHAINED, candidate.parent
        swap.limit = cost * repaid + least
        join(box, head, swap)
    if hunters.is_flash[row] != 0:
        back = draft(box, venues, lender, FLASH_REPAY, group, row, now)
        back.b, back.amount1, back.limit = source, cost * repaid, least
        back.flag_bits, back.parent = CHAINED, candidate.parent
        join(box, head, back)
    return head


@kernel(inline=False)
def pursue(hunters, funds, lending, desk, box, ledger, prices, venues, row, candidate, clock):  # type: ignore[no-untyped-def]
    """Look closely at one candidate and post a liquidation if it pays; returns whether it did."""
    weigh(lending, candidate, clock.now)
    entry = free_entry(funds, lending, row, clock.now)
    if candidate.most <= 0.0 or entry < 0:
        return False
    repaid, gain, pool, side, cost = size_up(
        hunters, funds, lending, desk, box, ledger, prices, venues, row, candidate, clock
    )
    usd = prices.reference[lending.reserves[candidate.debt].token]
    profit = gain * usd - gas_usd_of(hunters, box, prices, venues, row, clock.chain)
    if gain <= 0.0 or profit <= hunters.terms[LEAST]:
        return False
    position, debt = candidate.position, candidate.debt
    status, repaid, seized, _, _ = quote_liquidate(
        lending, position, debt, candidate.collateral, repaid, repaid, UNDERLYING, clock.now
    )
    if status != OK:
        return False
    plan = (repaid, seized, pool, side, cost, hunters.terms[LEAST] / usd)
    order = compose(hunters, lending, box, venues, row, candidate, plan, clock.now)
    bid(hunters, box, prices, row, order, profit, clock.now)
    expires = order.expires
    if post(box, order) < 0:
        return False
    asked = funds.asked[entry]
    asked.until, asked.position, asked.reserve = expires, position, debt
    asked.scaled = scaled_debt(lending, position, debt)
    asked.amount = repaid if hunters.is_flash[row] == 0 else 0.0
    hunters.n_orders[row] += 1
    return True
