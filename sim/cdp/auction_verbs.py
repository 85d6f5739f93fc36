"""What can be asked of the auctions of a CDP market.

Arguments of the verbs: `a` is the vault for `bite`, else the auction; `amount` is debt tokens
(tend) or collateral tokens (dent, take). The market's account holds the lots and the last bids of
English auctions.
"""

from __future__ import annotations

import math

from sim.cdp import auction as rules
from sim.cdp.verbs import burn_backstop, can_hold, is_in, pay_out, refresh_price, unpack
from sim.kernel import handler, kernel
from sim.ledger import balance_of, burn, mint, transfer
from sim.orders import order_at
from sim.status import Status

OK = int(Status.OK)
SLIPPAGE = int(Status.SLIPPAGE)
INSUFFICIENT_FUNDS = int(Status.INSUFFICIENT_FUNDS)
NO_POSITION = int(Status.NO_POSITION)
NOT_ALLOWED = int(Status.NOT_ALLOWED)


@handler
def on_bite(binding, message):  # type: ignore[no-untyped-def]
    """Start an auction of an unsafe vault, or of a lot of it."""
    state, desk, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    row, now = venues.row[order.venue], order.time
    if not is_in(state, order.a, row):
        return NO_POSITION
    market = state.markets[row]
    if not can_hold(ledger, order, market.debt_token):
        return NOT_ALLOWED
    refresh_price(state, venues, feeds, prices, row, now)
    status, number, reward = rules.bite(state, order.a, now)
    if status != OK:
        return status
    lot = state.auctions[number]
    lot.observed = feeds.since[market.price_feed]
    lot.unsafe_since = desk.unsafe_since[order.a]
    mint(ledger, order.group, order.row, market.debt_token, reward)
    order.token_out, order.amount_out = market.debt_token, reward
    order.x, order.y, order.b = lot.health_factor, market.price, number
    return OK


@kernel
def _check_lot(state, ledger, venues, order):  # type: ignore[no-untyped-def]
    """Return OK, or why the sender can have nothing of the auction that an order names."""
    row = venues.row[order.venue]
    status = rules.check_open(state, order.a, row)
    if status != OK:
        return status
    return OK if can_hold(ledger, order, state.markets[row].collateral_token) else NOT_ALLOWED


@kernel
def _bid(state, desk, ledger, venues, order, bid, lot):  # type: ignore[no-untyped-def]
    """Take a bid into escrow and give the one before back; OK or INSUFFICIENT_FUNDS."""
    row = venues.row[order.venue]
    token, last = state.markets[row].debt_token, state.auctions[order.a]
    group, account, before = last.group, last.row, last.bid
    is_own = group == order.group and account == order.row
    due = bid - before if is_own else bid
    if balance_of(ledger, order.group, order.row, token) < due:
        return INSUFFICIENT_FUNDS
    rules.enter_bid(state, order.a, bid, lot, order.group, order.row, order.time)
    if group >= 0 and not is_own:
        pay_out(desk, ledger, row, group, account, token, before)
    own, desk_row = desk.group[0], desk.account[row]
    transfer(ledger, order.group, order.row, own, desk_row, token, due)
    order.token_in, order.amount_in, order.amount1 = token, due, bid
    return OK


@handler
def on_tend(binding, message):  # type: ignore[no-untyped-def]
    """Bid `amount` debt tokens for the lot of auction `a`."""
    state, desk, ledger, venues, _, _ = unpack(binding)
    order = order_at(message)
    status = _check_lot(state, ledger, venues, order)
    if status != OK:
        return status
    status, bid = rules.quote_tend(state, order.a, order.amount, order.time)
    if status != OK:
        return status
    return _bid(state, desk, ledger, venues, order, bid, state.auctions[order.a].lot)


@handler
def on_dent(binding, message):  # type: ignore[no-untyped-def]
    """Bid the whole sum of auction `a` for a smaller lot, `amount` of collateral."""
    state, desk, ledger, venues, _, _ = unpack(binding)
    order = order_at(message)
    status = _check_lot(state, ledger, venues, order)
    if status != OK:
        return status
    status, bid = rules.quote_dent(state, order.a, order.amount, order.time)
    if status != OK:
        return status
    return _bid(state, desk, ledger, venues, order, bid, order.amount)


@handler
def on_deal(binding, message):  # type: ignore[no-untyped-def]
    """End auction `a`, whoever has won it: the bid is burned, the winner gets the lot."""
    state, desk, ledger, venues, _, prices = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    status = rules.check_open(state, order.a, row)
    if status != OK:
        return status
    status, deficit, paid = rules.deal(state, order.a, order.time)
    if status != OK:
        return status
    market, won = state.markets[row], state.auctions[order.a]
    token, group, account = market.collateral_token, won.group, won.row
    burned = min(won.bid, balance_of(ledger, desk.group[0], desk.account[row], market.debt_token))
    burn(ledger, desk.group[0], desk.account[row], market.debt_token, burned)
    burn_backstop(ledger, market.debt_token, paid)
    lot = pay_out(desk, ledger, row, group, account, token, won.lot)
    won.bid_usd = won.bid * prices.reference[market.debt_token]
    won.lot_usd = won.lot * prices.reference[token]
    is_own = group == order.group and account == order.row
    order.token_in, order.token_out = market.debt_token, token
    order.amount_out = lot if is_own else 0.0
    order.x, order.y, order.price_after = won.health_factor, market.price, deficit
    return OK


@handler
def on_quote_take(binding, message):  # type: ignore[no-untyped-def]
    """Say what a purchase from a Dutch auction would give and cost."""
    state, _, ledger, venues, _, _ = unpack(binding)
    order = order_at(message)
    status = _check_lot(state, ledger, venues, order)
    if status != OK:
        return status
    status, taken, owed = rules.quote_take(
        state, order.a, order.amount, order.price_limit, math.inf, order.time
    )
    market = state.markets[venues.row[order.venue]]
    order.token_in, order.token_out = market.debt_token, market.collateral_token
    order.amount_in, order.amount_out = owed, taken
    return SLIPPAGE if status == OK and taken < order.limit else status


@handler
def on_take(binding, message):  # type: ignore[no-untyped-def]
    """Buy at most `amount` of the lot of Dutch auction `a`, at `price_limit` at most (0: any).

    `limit` is the least collateral to receive.
    """
    state, desk, ledger, venues, _, _ = unpack(binding)
    order = order_at(message)
    status = _check_lot(state, ledger, venues, order)
    if status != OK:
        return status
    row, now = venues.row[order.venue], order.time
    market = state.markets[row]
    held = balance_of(ledger, order.group, order.row, market.debt_token)
    status, taken, _ = rules.quote_take(state, order.a, order.amount, order.price_limit, held, now)
    if status == OK and taken < order.limit:
        status = SLIPPAGE
    if status != OK:
        return status
    _, taken, owed, deficit, paid = rules.take(
        state, order.a, order.amount, order.price_limit, held, now
    )
    burn(ledger, order.group, order.row, market.debt_token, owed)
    burn_backstop(ledger, market.debt_token, paid)
    token = market.collateral_token
    order.token_in, order.amount_in, order.token_out = market.debt_token, owed, token
    order.amount_out = pay_out(desk, ledger, row, order.group, order.row, token, taken)
    health = state.auctions[order.a].health_factor
    order.x, order.y, order.price_after = health, market.price, deficit
    return OK


@handler
def on_redo(binding, message):  # type: ignore[no-untyped-def]
    """Restart auction `a`, which is stale or had no bid."""
    state, _, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    row, now = venues.row[order.venue], order.time
    status = rules.check_open(state, order.a, row)
    if status != OK:
        return status
    token = state.markets[row].debt_token
    if not can_hold(ledger, order, token):
        return NOT_ALLOWED
    refresh_price(state, venues, feeds, prices, row, now)
    status, reward = rules.redo(state, order.a, now)
    if status == OK:
        mint(ledger, order.group, order.row, token, reward)
        order.token_out, order.amount_out = token, reward
    return status
