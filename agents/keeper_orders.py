"""What keepers of CDP markets do before a block: whom to bite, what to bid, how much to take.

A bid is worth what the lot brings by the keeper's exit, less its margin and gas.
"""

from __future__ import annotations

from agents.keeper_state import (
    GROUP,
    MARKET,
    N_FOUND,
    OPENING,
    PARENT,
    PER_BLOCK,
    RAISE,
    TIP,
    VENUE,
    cost_of,
    has_asked,
    prepare,
    proceeds,
    send,
)
from agents.liquidation_funds import excess_of
from agents.liquidation_size import POOL
from agents.routing import best_pool
from sim.cdp.auction import auction_price, can_deal, is_stale
from sim.cdp.liquidation import quote_liquidate
from sim.cdp.state import ENGLISH, FIXED_SPREAD, N_ACTIVE
from sim.cdp.vault import is_safe
from sim.cdp.verbs import BITE, DEAL, DENT, LIQUIDATE, REDO, TAKE, TEND
from sim.kernel import kernel
from sim.mempool import join, post
from sim.orders import CHAINED, FILL, ROUTINE, cause
from sim.status import Status
from sim.venues import draft_swap

OK = int(Status.OK)
_TURN = 4  # blocks after which it is another keeper's turn to start an auction
_HALVINGS = 8  # sizes tried of a purchase that is sold in a pool
_ACCEPTED = 0.99  # share of the expected amount with which a sale is content
_LEAST_SALE = 100.0  # USD, what is less waits for more
_FILL, _ROUTINE = cause(FILL), cause(ROUTINE)


# --- English auctions ----------------------------------------------------------------------------


@kernel
def rising_bid(keepers, cdp, row, lot, worth, purse):  # type: ignore[no-untyped-def]
    """Return the bid of a keeper while bids rise, -1: none."""
    increase = 1.0 + cdp.markets[lot.market].min_bid_increase
    has_bid = lot.bid_until != 0
    least = min(lot.bid * increase, lot.to_raise) if has_bid else 0.0
    most = min(worth, purse, lot.to_raise)
    if keepers.is_direct[row] != 0:
        bid = most
    elif has_bid:
        bid = min(max(least, keepers.terms[0, RAISE] * worth), lot.to_raise)
    else:
        bid = keepers.terms[0, OPENING] * worth
    if bid < least or bid > most or (has_bid and bid <= lot.bid):
        return -1.0
    return bid


@kernel
def falling_lot(keepers, cdp, row, lot, worth, purse):  # type: ignore[no-untyped-def]
    """Return the lot with which a keeper is content for the whole sum, -1: none."""
    if purse < lot.to_raise or worth <= lot.to_raise:
        return -1.0
    most = lot.lot / (1.0 + cdp.markets[lot.market].min_bid_increase)
    least = lot.lot * lot.to_raise / worth  # what it brings in a pool falls less than in proportion
    if least > most:
        return -1.0
    return least if keepers.is_direct[row] != 0 else most


@kernel(inline=False)
def bid_in(keepers, cdp, box, ledger, prices, venues, row, number, purse, clock):  # type: ignore[no-untyped-def]
    """Bid in an English auction, or settle one that is won: (whether sent, debt tokens bid)."""
    lot, now = cdp.auctions[number], clock.now
    if lot.group == keepers.number[0, GROUP] and lot.row == row:
        if not can_deal(cdp, number, now):
            return False, 0.0
        order = prepare(keepers, box, venues, DEAL, row, number, 0.0, now)
        return send(keepers, cdp, box, ledger, order, DEAL, 0.0, now), 0.0
    if lot.ends <= now or (lot.bid_until != 0 and lot.bid_until <= now):
        return False, 0.0
    gained = proceeds(keepers, cdp, prices, venues, row, lot.lot)[0]
    cost = cost_of(keepers, cdp, box, prices, venues, row, TEND, clock.chain)
    worth = gained * (1.0 - keepers.margin[row]) - cost
    if worth <= 0.0:
        return False, 0.0
    verb, paid = TEND, 0.0
    if lot.bid_until != 0 and lot.bid >= lot.to_raise:
        verb, paid = DENT, lot.to_raise
        amount = falling_lot(keepers, cdp, row, lot, worth, purse)
    else:
        amount = paid = rising_bid(keepers, cdp, row, lot, worth, purse)
    if amount < 0.0:
        return False, 0.0
    order = prepare(keepers, box, venues, verb, row, number, amount, now)
    is_sent = send(keepers, cdp, box, ledger, order, verb, paid, now)
    return is_sent, paid if is_sent else 0.0


# --- purchases: Dutch auctions and the fixed spread ----------------------------------------------


@kernel(inline=False)
def best_purchase(keepers, cdp, prices, venues, row, most, price, cost):  # type: ignore[no-untyped-def]
    """Return (collateral, pool, side) that gains most at a price, debt tokens each; 0: nothing."""
    best, best_gain, best_venue, best_side, tried = 0.0, 0.0, -1, 0, most
    for _ in range(_HALVINGS if keepers.exit[row] == POOL else 1):
        out, pool, side = proceeds(keepers, cdp, prices, venues, row, tried)
        gain = out * (1.0 - keepers.margin[row]) - tried * price - cost
        if gain > best_gain:
            best, best_gain, best_venue, best_side = tried, gain, pool, side
        tried *= 0.5
    return best, best_venue, best_side


@kernel
def add_sale(box, venues, order, pool, side, paid):  # type: ignore[no-untyped-def]
    """Append the sale in a pool of what an order gives, for no less than it pays."""
    if pool < 0:
        return
    leg = draft_swap(box, venues, pool, side, 0.0, order.group, order.row, order.arrival)
    leg.flag_bits, leg.limit, leg.parent = CHAINED, paid, order.parent
    join(box, order, leg)


@kernel(inline=False)
def take_from(keepers, cdp, box, ledger, prices, venues, row, number, purse, clock):  # type: ignore[no-untyped-def]
    """Buy from a Dutch auction where that pays: (whether sent, debt tokens)."""
    now, lot = clock.now, cdp.auctions[number]
    if is_stale(cdp, number, now):
        return False, 0.0
    price = auction_price(cdp, number, now)
    most = min(lot.lot, purse / price, lot.to_raise / price)
    cost = cost_of(keepers, cdp, box, prices, venues, row, TAKE, clock.chain)
    if most <= 0.0:
        return False, 0.0
    amount, pool, side = best_purchase(keepers, cdp, prices, venues, row, most, price, cost)
    if amount <= 0.0:
        return False, 0.0
    order = prepare(keepers, box, venues, TAKE, row, number, amount, now)
    order.price_limit, order.limit = price, _ACCEPTED * amount
    paid = amount * price
    add_sale(box, venues, order, pool, side, paid * _ACCEPTED)
    is_sent = send(keepers, cdp, box, ledger, order, TAKE, paid, now)
    return is_sent, paid if is_sent else 0.0


@kernel(inline=False)
def liquidate(keepers, cdp, box, ledger, prices, venues, row, vault, purse, parent, clock):  # type: ignore[no-untyped-def]
    """Liquidate a vault at the fixed spread where that pays: (whether sent, debt tokens)."""
    now = clock.now
    status, repaid, seized, _ = quote_liquidate(cdp, vault, purse, purse, now)
    if status != OK or seized <= 0.0:
        return False, 0.0
    price = repaid / seized
    cost = cost_of(keepers, cdp, box, prices, venues, row, LIQUIDATE, clock.chain)
    amount, pool, side = best_purchase(keepers, cdp, prices, venues, row, seized, price, cost)
    if amount <= 0.0:
        return False, 0.0
    paid = min(amount * price, repaid)
    if quote_liquidate(cdp, vault, paid, purse, now)[0] != OK:
        return False, 0.0
    order = prepare(keepers, box, venues, LIQUIDATE, row, vault, paid, now)
    order.limit, order.parent = _ACCEPTED * amount, parent
    add_sale(box, venues, order, pool, side, paid * _ACCEPTED)
    is_sent = send(keepers, cdp, box, ledger, order, LIQUIDATE, paid, now)
    return is_sent, paid if is_sent else 0.0


# --- a keeper's turn -----------------------------------------------------------------------------


@kernel
def is_turn(keepers, target, row, clock):  # type: ignore[no-untyped-def]
    """Return whether it is a keeper's turn to start or restart an auction."""
    n = keepers.exit.shape[0]
    return (target + clock.height // _TURN) % n == row


@kernel
def bite_vault(keepers, watch, cdp, box, ledger, venues, row, vault, room, clock):  # type: ignore[no-untyped-def]
    """Start the auctions of a vault, one a lot; returns how many."""
    now, lots = clock.now, 1
    size, held = cdp.markets[keepers.number[0, MARKET]].lot_size, cdp.collateral[vault]
    while lots * size < held and lots < room:
        lots += 1
    for k in range(lots):
        order = prepare(keepers, box, venues, BITE, row, vault, 0.0, now)
        order.parent = watch.number[PARENT]
        if not send(keepers, cdp, box, ledger, order, BITE, 0.0, now):
            return k
    return lots


@kernel(inline=False)
def pursue_vaults(keepers, watch, cdp, box, ledger, prices, venues, row, purse, clock):  # type: ignore[no-untyped-def]
    """Let a keeper bite or liquidate unsafe vaults; returns (orders sent, purse left)."""
    sent, n = 0, watch.number[N_FOUND]
    mode = cdp.markets[keepers.number[0, MARKET]].mode
    first = (row * n) // keepers.exit.shape[0]
    for k in range(n):
        room = keepers.number[0, PER_BLOCK] - sent
        vault = watch.found[(first + k) % n]
        is_mine = mode == FIXED_SPREAD or is_turn(keepers, vault, row, clock)
        if room <= 0 or not is_mine or is_safe(cdp, vault, clock.now):
            continue
        if has_asked(keepers, cdp, row, BITE, vault, clock.now):
            continue
        if mode == FIXED_SPREAD:
            parent = watch.number[PARENT]
            is_sent, paid = liquidate(
                keepers, cdp, box, ledger, prices, venues, row, vault, purse, parent, clock
            )
            sent, purse = sent + is_sent, max(purse - paid, 0.0)
        elif cdp.collateral[vault] > 0.0:
            sent += bite_vault(keepers, watch, cdp, box, ledger, venues, row, vault, room, clock)
    return sent, purse


@kernel(inline=False)
def pursue_auctions(keepers, cdp, box, ledger, prices, venues, row, purse, clock):  # type: ignore[no-untyped-def]
    """Let a keeper bid in, buy from, settle and restart auctions; returns orders sent."""
    sent, n = 0, cdp.counter[N_ACTIVE]
    market = keepers.number[0, MARKET]
    first = (row * n) // keepers.exit.shape[0]
    for k in range(n):
        number = cdp.active[(first + k) % n]
        if cdp.auctions[number].market != market or sent >= keepers.number[0, PER_BLOCK]:
            continue
        if has_asked(keepers, cdp, row, TEND, number, clock.now):
            continue
        if is_stale(cdp, number, clock.now):
            if is_turn(keepers, number, row, clock):
                order = prepare(keepers, box, venues, REDO, row, number, 0.0, clock.now)
                sent += send(keepers, cdp, box, ledger, order, REDO, 0.0, clock.now)
            continue
        if cdp.markets[market].mode == ENGLISH:
            is_sent, paid = bid_in(
                keepers, cdp, box, ledger, prices, venues, row, number, purse, clock
            )
        else:
            is_sent, paid = take_from(
                keepers, cdp, box, ledger, prices, venues, row, number, purse, clock
            )
        sent, purse = sent + is_sent, max(purse - paid, 0.0)
    return sent


@kernel(inline=False)
def sell_in_pool(keepers, funds, cdp, box, ledger, prices, venues, row, column, clock):  # type: ignore[no-untyped-def]
    """Sell the collateral that a keeper has won in the best pool."""
    now, market = clock.now, cdp.markets[keepers.number[0, MARKET]]
    if keepers.selling[row] >= now:
        return
    amount = excess_of(funds, ledger, row, column, now)[0]
    token = market.collateral_token
    if amount * prices.reference[token] < _LEAST_SALE:
        return
    pool, side, out = best_pool(venues, keepers.pools[0], token, market.debt_token, amount)
    if pool < 0:
        return
    last = venues.last_fill[keepers.number[0, VENUE]]
    order = draft_swap(box, venues, pool, side, amount, keepers.number[0, GROUP], row, now)
    order.limit, order.tip = _ACCEPTED * out, keepers.terms[0, TIP]
    order.max_fee += order.tip
    order.expires = now + _TURN * box.chains[clock.chain].interval
    order.parent = _FILL + last if last > 0 else _ROUTINE
    expires = order.expires
    if post(box, order) >= 0:
        keepers.selling[row] = expires
