"""What can be asked of a crvUSD market: an order becomes a call of its rules, and transfers.

`swap` is that of every pool, collateral being token 0. For the others `a` is the loan: `create`
takes `amount` collateral, `amount1` debt and `b` bands; `borrow` adds `amount` collateral (0: none)
and `amount1` debt; `add_collateral` and `remove_collateral` take `amount`; `repay` takes `amount`
debt tokens, inf = all; `liquidate` takes the fraction `amount` of the debt, and `limit` is the
least collateral.
"""

from __future__ import annotations

from sim.chain import clock_at
from sim.feeds import Feeds, read_feed
from sim.kernel import handler, kernel, view_of
from sim.ledger import Ledger, balance_of, burn, mint, slot, transfer
from sim.llamma import loans
from sim.llamma.loans import health
from sim.llamma.state import LlammaState
from sim.llamma.trading import exchange, fee_of, observe_price, tradable_price, write_price
from sim.orders import order_at, quote_at
from sim.prices import Prices
from sim.status import Status
from sim.venues import Venues, show_price

OK = int(Status.OK)
SLIPPAGE = int(Status.SLIPPAGE)
NO_POSITION = int(Status.NO_POSITION)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
INSUFFICIENT_FUNDS = int(Status.INSUFFICIENT_FUNDS)

SWAP, CREATE, BORROW, ADD_COLLATERAL, REMOVE_COLLATERAL, REPAY, LIQUIDATE = range(7)

unpack = view_of(LlammaState, Ledger, Venues, Feeds, Prices)


@kernel
def refresh(state, venues, feeds, prices, row, now):  # type: ignore[no-untyped-def]
    """Read the feed of a market; returns the part of the fee for its move."""
    m = state.markets[row]
    return observe_price(m, read_feed(feeds, venues, prices, m.price_feed, now), now)


@kernel
def show(state, venues, venue, row, now):  # type: ignore[no-untyped-def]
    """Publish the price at which the pool trades, where it has changed."""
    price = tradable_price(state, row, now)
    if price != venues.price[venue]:
        show_price(venues, venue, price, now)


@kernel
def is_owner(state, order, row):  # type: ignore[no-untyped-def]
    """Return whether the loan that an order names is the sender's."""
    if order.a < 0 or order.a >= state.loans.shape[0]:
        return False
    mine = state.loans[order.a]
    return mine.market == row and mine.population == order.group and mine.owner == order.row


@kernel
def pay_in(state, ledger, row, order, token, amount):  # type: ignore[no-untyped-def]
    """Move tokens from the sender to the market."""
    m = state.markets[row]
    transfer(ledger, order.group, order.row, m.group, m.account, token, amount)


@kernel
def pay_out(state, ledger, row, order, token, amount):  # type: ignore[no-untyped-def]
    """Move tokens to the sender: all that the market holds where rounding left it short."""
    m = state.markets[row]
    amount = min(amount, balance_of(ledger, m.group, m.account, token))
    transfer(ledger, m.group, m.account, order.group, order.row, token, amount)
    return amount


@kernel
def issue(state, ledger, row, order, amount):  # type: ignore[no-untyped-def]
    """Mint borrowed debt tokens for the sender."""
    m = state.markets[row]
    mint(ledger, order.group, order.row, m.debt_token, amount)
    m.issued += amount
    order.token_out, order.amount_out = m.debt_token, amount


@kernel
def redeem(state, ledger, row, order, amount):  # type: ignore[no-untyped-def]
    """Burn debt tokens of the sender."""
    m = state.markets[row]
    amount = min(amount, balance_of(ledger, order.group, order.row, m.debt_token))
    burn(ledger, order.group, order.row, m.debt_token, amount)
    m.issued -= amount


# --- the pool ------------------------------------------------------------------------------------


@handler
def on_quote(binding, message):  # type: ignore[no-untyped-def]
    """Quote a swap."""
    state, _, venues, feeds, prices = unpack(binding)
    q = quote_at(message)
    row, now = venues.row[q.venue], prices.now[0]
    m = state.markets[row]
    fee = fee_of(m, refresh(state, venues, feeds, prices, row, now))
    status, q.amount_in, q.amount_out, q.fee_paid, q.price_after = exchange(
        state, row, q.side, q.amount, q.price_limit, fee, now, False
    )
    return status


@handler
def on_quote_swap(binding, message):  # type: ignore[no-untyped-def]
    """Quote a swap as a leg of an order."""
    state, _, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    fee = fee_of(state.markets[row], refresh(state, venues, feeds, prices, row, order.time))
    status, order.amount_in, order.amount_out, order.fee_paid, _ = exchange(
        state, row, order.a, order.amount, order.price_limit, fee, order.time, False
    )
    return SLIPPAGE if status == OK and order.amount_out < order.limit else status


@handler
def on_swap(binding, message):  # type: ignore[no-untyped-def]
    """Exchange at most `amount`; side 0 pays collateral."""
    state, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    row, now = venues.row[order.venue], order.time
    m = state.markets[row]
    move_fee = refresh(state, venues, feeds, prices, row, now)
    fee = fee_of(m, move_fee)
    status, paid, out, fee_paid, _ = exchange(
        state, row, order.a, order.amount, order.price_limit, fee, now, False
    )
    if status != OK:
        return status
    if out < order.limit:
        return SLIPPAGE
    if slot(ledger, order.group, order.row, order.token_out) < 0:
        return NOT_ALLOWED
    if balance_of(ledger, order.group, order.row, order.token_in) < paid:
        return INSUFFICIENT_FUNDS
    exchange(state, row, order.a, order.amount, order.price_limit, fee, now, True)
    write_price(m, move_fee, now)
    pay_in(state, ledger, row, order, order.token_in, paid)
    pay_out(state, ledger, row, order, order.token_out, out)
    order.amount_in, order.amount_out, order.fee_paid = paid, out, fee_paid
    order.price_after = tradable_price(state, row, now)
    show_price(venues, order.venue, order.price_after, now)
    return OK


@handler
def on_block(binding, message):  # type: ignore[no-untyped-def]
    """Before each block: read the feeds of the chain's markets, and show where the pools stand."""
    state, _, venues, feeds, prices = unpack(binding)
    clock = clock_at(message)
    for venue in range(venues.row.shape[0]):
        row = venues.row[venue]
        if row < state.markets.shape[0] and venues.group[venue] == state.markets[row].group:
            m = state.markets[row]
            if m.chain == clock.chain:
                venues.fee[venue] = fee_of(m, refresh(state, venues, feeds, prices, row, clock.now))
                show(state, venues, venue, row, clock.now)
    return OK


# --- loans ---------------------------------------------------------------------------------------


@handler
def on_create(binding, message):  # type: ignore[no-untyped-def]
    """Open a loan."""
    state, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    row, now = venues.row[order.venue], order.time
    if not is_owner(state, order, row):
        return NO_POSITION
    m = state.markets[row]
    if slot(ledger, order.group, order.row, m.debt_token) < 0:
        return NOT_ALLOWED
    if balance_of(ledger, order.group, order.row, m.collateral_token) < order.amount:
        return INSUFFICIENT_FUNDS
    move_fee = refresh(state, venues, feeds, prices, row, now)
    status = loans.create(state, order.a, order.amount, order.amount1, order.b, now)
    if status != OK:
        return status
    write_price(m, move_fee, now)
    pay_in(state, ledger, row, order, m.collateral_token, order.amount)
    order.token_in, order.amount_in = m.collateral_token, order.amount
    issue(state, ledger, row, order, order.amount1)
    show(state, venues, order.venue, row, now)
    return OK


@kernel
def change(state, ledger, venues, feeds, prices, order, collateral, debt):  # type: ignore[no-untyped-def]
    """Change collateral and debt of the sender's loan, and move the tokens."""
    row, now = venues.row[order.venue], order.time
    if not is_owner(state, order, row):
        return NO_POSITION
    m = state.markets[row]
    if balance_of(ledger, order.group, order.row, m.collateral_token) < collateral:
        return INSUFFICIENT_FUNDS
    if slot(ledger, order.group, order.row, m.debt_token) < 0:
        return NOT_ALLOWED
    if slot(ledger, order.group, order.row, m.collateral_token) < 0:
        return NOT_ALLOWED
    move_fee = refresh(state, venues, feeds, prices, row, now)
    status = loans.adjust(state, order.a, collateral, debt, now)
    if status != OK:
        return status
    write_price(m, move_fee, now)
    if collateral > 0.0:
        pay_in(state, ledger, row, order, m.collateral_token, collateral)
        order.token_in, order.amount_in = m.collateral_token, collateral
    elif collateral < 0.0:
        order.amount_out = pay_out(state, ledger, row, order, m.collateral_token, -collateral)
        order.token_out = m.collateral_token
    if debt > 0.0:
        issue(state, ledger, row, order, debt)
    show(state, venues, order.venue, row, now)
    return OK


@handler
def on_borrow(binding, message):  # type: ignore[no-untyped-def]
    """Borrow more, perhaps with more collateral."""
    state, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    if not (order.amount >= 0.0 and order.amount1 > 0.0):
        return ZERO_AMOUNT if order.amount1 == 0.0 else BAD_AMOUNT
    return change(state, ledger, venues, feeds, prices, order, order.amount, order.amount1)


@handler
def on_add_collateral(binding, message):  # type: ignore[no-untyped-def]
    """Add collateral."""
    state, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    if not order.amount > 0.0:
        return ZERO_AMOUNT if order.amount == 0.0 else BAD_AMOUNT
    return change(state, ledger, venues, feeds, prices, order, order.amount, 0.0)


@handler
def on_remove_collateral(binding, message):  # type: ignore[no-untyped-def]
    """Take collateral out."""
    state, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    if not order.amount > 0.0:
        return ZERO_AMOUNT if order.amount == 0.0 else BAD_AMOUNT
    return change(state, ledger, venues, feeds, prices, order, -order.amount, 0.0)


@handler
def on_repay(binding, message):  # type: ignore[no-untyped-def]
    """Repay a loan of the sender; a full repayment pays its bands out."""
    state, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    row, now = venues.row[order.venue], order.time
    if not is_owner(state, order, row):
        return NO_POSITION
    m = state.markets[row]
    if slot(ledger, order.group, order.row, m.collateral_token) < 0:
        return NOT_ALLOWED
    move_fee = refresh(state, venues, feeds, prices, row, now)
    held = balance_of(ledger, order.group, order.row, m.debt_token)
    status, repaid, x, y = loans.repay(state, order.a, order.amount, held, now)
    if status != OK:
        return status
    write_price(m, move_fee, now)
    pay_out(state, ledger, row, order, m.debt_token, x)
    redeem(state, ledger, row, order, repaid)
    order.token_in, order.amount_in = m.debt_token, max(repaid - x, 0.0)
    order.token_out, order.amount_out = m.collateral_token, 0.0
    if y > 0.0:
        order.amount_out = pay_out(state, ledger, row, order, m.collateral_token, y)
    show(state, venues, order.venue, row, now)
    return OK


@kernel
def check_liquidation(state, ledger, order, row):  # type: ignore[no-untyped-def]
    """Return OK, or why the rows and tokens of a liquidation order cannot work."""
    if order.a < 0 or order.a >= state.loans.shape[0] or state.loans[order.a].market != row:
        return NO_POSITION
    m = state.markets[row]
    if slot(ledger, order.group, order.row, m.collateral_token) < 0:
        return NOT_ALLOWED
    return NOT_ALLOWED if slot(ledger, order.group, order.row, m.debt_token) < 0 else OK


@handler
def on_quote_liquidate(binding, message):  # type: ignore[no-untyped-def]
    """Say what a hard liquidation would cost and give."""
    state, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    row, now = venues.row[order.venue], order.time
    status = check_liquidation(state, ledger, order, row)
    if status != OK:
        return status
    refresh(state, venues, feeds, prices, row, now)
    status, closed, x, y = loans.quote_liquidate(state, order.a, order.amount, now)
    m = state.markets[row]
    order.token_in, order.token_out = m.debt_token, m.collateral_token
    order.amount_in, order.amount_out = max(closed - x, 0.0), y
    return SLIPPAGE if status == OK and y < order.limit else status


@handler
def on_liquidate(binding, message):  # type: ignore[no-untyped-def]
    """Pay a debt, less the debt tokens in the bands, and take what is in them."""
    state, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    row, now = venues.row[order.venue], order.time
    status = check_liquidation(state, ledger, order, row)
    if status != OK:
        return status
    m = state.markets[row]
    move_fee = refresh(state, venues, feeds, prices, row, now)
    before = health(state, order.a, 1, now)
    status, closed, x, y = loans.quote_liquidate(state, order.a, order.amount, now)
    if status == OK and y < order.limit:
        status = SLIPPAGE
    if status == OK and balance_of(ledger, order.group, order.row, m.debt_token) < closed - x:
        status = INSUFFICIENT_FUNDS
    if status != OK:
        return status
    status, closed, x, y = loans.liquidate(state, order.a, order.amount, now)
    write_price(m, move_fee, now)
    pay_out(state, ledger, row, order, m.debt_token, x)
    redeem(state, ledger, row, order, closed)
    order.token_in, order.amount_in = m.debt_token, max(closed - x, 0.0)
    order.token_out = m.collateral_token
    order.amount_out = pay_out(state, ledger, row, order, m.collateral_token, y)
    order.x, order.y = 1.0 + before, m.price
    show(state, venues, order.venue, row, now)
    return OK
