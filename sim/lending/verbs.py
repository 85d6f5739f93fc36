"""What can be asked of a lending market: an order becomes a call of its rules, and transfers.

The rules are in `sim.lending.market` and `sim.lending.liquidation`. Prices are read from the feeds
of the market before anything that depends on them.

Arguments of the verbs: `a` is the sender's position (for a liquidation the borrower's), `b` the
reserve (for a liquidation `pair_of(debt reserve, collateral reserve)`), `amount` tokens, inf =
all. What an account says about itself, liquidation for a claim, and unwinding are in
`sim.lending.standing`, `claim_liquidation` and `unwinding`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from sim.chain import clock_at
from sim.feeds import Feeds, read_feed
from sim.kernel import F8, I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of, slot, transfer
from sim.lending.account import health_factor
from sim.lending.liquidation import UNDERLYING, liquidate, quote_liquidate
from sim.lending.market import borrow, repay, supply, withdraw
from sim.lending.reserve import accrue, is_open
from sim.lending.state import LendingState
from sim.mempool import Outbox
from sim.orders import FLASH_LOAN, FLASH_REPAY, order_at
from sim.outside import INSURER, OUTSIDE
from sim.prices import Prices
from sim.status import Status
from sim.venues import Venues

OK = int(Status.OK)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
NO_POSITION = int(Status.NO_POSITION)
NO_CASH = int(Status.NO_CASH)
HALTED = int(Status.HALTED)
SLIPPAGE = int(Status.SLIPPAGE)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
_TO_REPAYMENT = FLASH_REPAY - FLASH_LOAN
_HALF = 32
_MASK = (1 << _HALF) - 1


@columnar
class LendingDesk(NamedTuple):
    """What the markets need beside their own tables."""

    account: I8  # int64, (n_markets,), account of each market in the group of lending markets
    group: I8  # int64, (1,), that group
    flash_fee: F8  # float64, (n_markets,), fraction of a flash loan
    unsafe_since: I8  # int64, (n_positions,), tick since which the health factor at reference
    # prices is below 1, as of the last sample; -1: it is not


unpack = view_of(LendingState, LendingDesk, Ledger, Venues, Feeds, Prices)
unpack_all = view_of(LendingState, LendingDesk, Ledger, Venues, Feeds, Prices, Outbox)


@kernel
def pair_of(debt_reserve, collateral_reserve):  # type: ignore[no-untyped-def]
    """Return the `b` argument of a liquidation."""
    return (debt_reserve << _HALF) | collateral_reserve


@kernel
def refresh_prices(state, venues, feeds, prices, market, now):  # type: ignore[no-untyped-def]
    """Read the feeds of a market into its reserves."""
    first = state.markets[market].first_reserve
    for reserve in range(first, first + state.markets[market].n_reserves):
        feed = state.reserves[reserve].price_feed
        state.reserves[reserve].price = read_feed(feeds, venues, prices, feed, now)


@kernel
def is_owner(state, position, group, row):  # type: ignore[no-untyped-def]
    """Return whether a position exists and belongs to an account."""
    if position < 0 or position >= state.positions.shape[0]:
        return False
    owner = state.positions[position]
    return owner.population == group and owner.owner == row


@kernel
def is_reserve_of(state, reserve, market):  # type: ignore[no-untyped-def]
    """Return whether a reserve exists and belongs to a market."""
    first = state.markets[market].first_reserve
    return first <= reserve < first + state.markets[market].n_reserves


@kernel
def check_order(state, venues, order):  # type: ignore[no-untyped-def]
    """Return OK, NO_POSITION or NOT_ALLOWED for the rows that an order names."""
    market = venues.row[order.venue]
    if not is_owner(state, order.a, order.group, order.row):
        return NO_POSITION
    if not is_reserve_of(state, order.b, market):
        return NOT_ALLOWED
    return OK


@kernel
def pay_in(state, desk, ledger, order, market, token, amount):  # type: ignore[no-untyped-def]
    """Book tokens that the sender pays to the market."""
    transfer(ledger, order.group, order.row, desk.group[0], desk.account[market], token, amount)
    order.token_in, order.amount_in = token, amount


@kernel
def pay_out(state, desk, ledger, order, market, token, amount):  # type: ignore[no-untyped-def]
    """Book tokens that the market pays to the sender: all it holds where rounding left it short."""
    group, account = desk.group[0], desk.account[market]
    amount = min(amount, balance_of(ledger, group, account, token))
    transfer(ledger, group, account, order.group, order.row, token, amount)
    order.token_out, order.amount_out = token, amount


@kernel
def pay_withdrawal(state, desk, ledger, order, market, token, amount):  # type: ignore[no-untyped-def]
    """Book a withdrawal: the market pays, or the outside lender who has taken the claim over."""
    if state.reserves[order.b].lender < 0:
        pay_out(state, desk, ledger, order, market, token, amount)
        return
    transfer(ledger, OUTSIDE, INSURER, order.group, order.row, token, amount)
    order.token_out, order.amount_out = token, amount


@handler
def on_supply(binding, message):  # type: ignore[no-untyped-def]
    """Supply tokens as collateral."""
    state, desk, ledger, venues, _, _ = unpack(binding)
    order = order_at(message)
    status = check_order(state, venues, order)
    if status != OK:
        return status
    token = state.reserves[order.b].token
    held = balance_of(ledger, order.group, order.row, token)
    status, paid = supply(state, order.a, order.b, order.amount, held, order.time)
    if status == OK:
        market = venues.row[order.venue]
        pay_in(state, desk, ledger, order, market, token, paid)
    return status


@handler
def on_withdraw(binding, message):  # type: ignore[no-untyped-def]
    """Withdraw supplied tokens."""
    state, desk, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    status = check_order(state, venues, order)
    if status != OK:
        return status
    token, market = state.reserves[order.b].token, venues.row[order.venue]
    if slot(ledger, order.group, order.row, token) < 0:
        return NOT_ALLOWED
    refresh_prices(state, venues, feeds, prices, market, order.time)
    status, paid = withdraw(state, order.a, order.b, order.amount, order.time)
    if status == OK:
        pay_withdrawal(state, desk, ledger, order, market, token, paid)
    return status


@handler
def on_borrow(binding, message):  # type: ignore[no-untyped-def]
    """Borrow against the collateral of a position."""
    state, desk, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    status = check_order(state, venues, order)
    if status != OK:
        return status
    token, market = state.reserves[order.b].token, venues.row[order.venue]
    if slot(ledger, order.group, order.row, token) < 0:
        return NOT_ALLOWED
    refresh_prices(state, venues, feeds, prices, market, order.time)
    status, paid = borrow(state, order.a, order.b, order.amount, order.time)
    if status == OK:
        pay_out(state, desk, ledger, order, market, token, paid)
    return status


@handler
def on_repay(binding, message):  # type: ignore[no-untyped-def]
    """Repay a debt, anybody's."""
    state, desk, ledger, venues, _, _ = unpack(binding)
    order = order_at(message)
    status = check_order(state, venues, order)
    if status != OK:
        return status
    token = state.reserves[order.b].token
    held = balance_of(ledger, order.group, order.row, token)
    status, paid = repay(state, order.a, order.b, order.amount, held, order.time)
    if status == OK:
        pay_in(state, desk, ledger, order, venues.row[order.venue], token, paid)
    return status


@kernel
def check_liquidation(state, ledger, venues, order):  # type: ignore[no-untyped-def]
    """Return OK or why the rows and tokens of a liquidation order cannot work."""
    market = venues.row[order.venue]
    debt, collateral = order.b >> _HALF, order.b & _MASK
    if order.a < 0 or order.a >= state.positions.shape[0]:
        return NO_POSITION
    if not (is_reserve_of(state, debt, market) and is_reserve_of(state, collateral, market)):
        return NOT_ALLOWED
    token = state.reserves[collateral].token
    return NOT_ALLOWED if slot(ledger, order.group, order.row, token) < 0 else OK


@handler
def on_quote_liquidate(binding, message):  # type: ignore[no-untyped-def]
    """Say what a liquidation would repay and seize."""
    state, _, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    status = check_liquidation(state, ledger, venues, order)
    if status != OK:
        return status
    now = order.time
    refresh_prices(state, venues, feeds, prices, venues.row[order.venue], now)
    debt, collateral = order.b >> _HALF, order.b & _MASK
    status, repaid, seized, _, _ = quote_liquidate(
        state, order.a, debt, collateral, order.amount, math.inf, UNDERLYING, now
    )
    order.token_in, order.token_out = (
        state.reserves[debt].token,
        state.reserves[collateral].token,
    )
    order.amount_in, order.amount_out = repaid, seized
    return SLIPPAGE if status == OK and seized < order.limit else status


@handler
def on_liquidate(binding, message):  # type: ignore[no-untyped-def]
    """Repay at most `amount` of a debt; `limit` is the least collateral to receive."""
    state, desk, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    status = check_liquidation(state, ledger, venues, order)
    if status != OK:
        return status
    market, now = venues.row[order.venue], order.time
    refresh_prices(state, venues, feeds, prices, market, now)
    debt, collateral = order.b >> _HALF, order.b & _MASK
    paid_token = state.reserves[debt].token
    held = balance_of(ledger, order.group, order.row, paid_token)
    health = health_factor(state, order.a, now)
    status, repaid, seized, fee, bad_debt = quote_liquidate(
        state, order.a, debt, collateral, order.amount, held, UNDERLYING, now
    )
    if status == OK and seized < order.limit:
        status = SLIPPAGE
    if status != OK:
        return status
    liquidate(state, order.a, debt, collateral, order.amount, held, UNDERLYING, now)
    pay_in(state, desk, ledger, order, market, paid_token, repaid)
    token = state.reserves[collateral].token
    pay_out(state, desk, ledger, order, market, token, seized)
    order.x, order.y, order.amount1 = health, state.reserves[collateral].price, fee
    order.price_after = bad_debt
    return OK


@kernel
def is_paid_back(box, order, repay_verb, owed):  # type: ignore[no-untyped-def]
    """Return whether a later leg of the order repays a flash loan and its fee."""
    at = order.next_leg
    while at >= 0:
        leg = box.orders[at]
        if (
            leg.verb == repay_verb
            and leg.venue == order.venue
            and leg.b == order.b
            and leg.amount1 >= owed * (1.0 - 1e-12)
        ):
            return True
        at = leg.next_leg
    return False


@handler
def on_quote_flash_loan(binding, message):  # type: ignore[no-untyped-def]
    """Say whether a flash loan is paid back within its order."""
    state, desk, ledger, venues, _, _, box = unpack_all(binding)
    order = order_at(message)
    market = venues.row[order.venue]
    if not is_reserve_of(state, order.b, market):
        return NOT_ALLOWED
    owed = order.amount * (1.0 + desk.flash_fee[market])
    if not is_paid_back(box, order, order.verb + _TO_REPAYMENT, owed):
        return NOT_ALLOWED
    if not 0.0 < order.amount < math.inf:
        return BAD_AMOUNT
    if not is_open(state.reserves[order.b]):
        return HALTED
    if order.amount > state.reserves[order.b].cash:
        return NO_CASH
    order.token_out = state.reserves[order.b].token
    if slot(ledger, order.group, order.row, order.token_out) < 0:
        return NOT_ALLOWED
    order.amount_out = order.amount
    return OK


@handler
def on_flash_loan(binding, message):  # type: ignore[no-untyped-def]
    """Lend `amount` of reserve `b` until the flash repayment of the same order."""
    state, desk, ledger, venues, _, _ = unpack(binding)
    order = order_at(message)
    if order.next_leg < 0 and order.leg == 0:
        return NOT_ALLOWED  # only as a leg of an order that pays it back
    market, token = venues.row[order.venue], state.reserves[order.b].token
    accrue(state.reserves[order.b], order.time)
    state.reserves[order.b].cash -= order.amount
    pay_out(state, desk, ledger, order, market, token, order.amount)
    return OK


@handler
def on_quote_flash_repay(binding, message):  # type: ignore[no-untyped-def]
    """`amount1` is owed; what the order earned before must cover it."""
    state, _desk, _, venues, _, _ = unpack(binding)
    order = order_at(message)
    if not is_reserve_of(state, order.b, venues.row[order.venue]) or not order.amount1 > 0.0:
        return NOT_ALLOWED
    order.token_in, order.amount_in = state.reserves[order.b].token, order.amount1
    return SLIPPAGE if order.amount < order.amount1 + order.limit else OK


@handler
def on_flash_repay(binding, message):  # type: ignore[no-untyped-def]
    """Pay a flash loan back, with its fee."""
    state, desk, ledger, venues, _, _ = unpack(binding)
    order = order_at(message)
    if order.leg == 0:
        return NOT_ALLOWED
    asset, market = state.reserves[order.b], venues.row[order.venue]
    fee = order.amount1 - order.amount1 / (1.0 + desk.flash_fee[market])
    accrue(asset, order.time)
    asset.cash += order.amount1
    if asset.supply_index > 0.0:
        asset.scaled_treasury += fee / asset.supply_index
    pay_in(state, desk, ledger, order, market, asset.token, order.amount1)
    order.fee_paid = fee
    return OK


@handler
def on_block(binding, message):  # type: ignore[no-untyped-def]
    """Before each block: read the feeds of the chain's markets, so that all see the same prices."""
    state, _, _, venues, feeds, prices = unpack(binding)
    clock = clock_at(message)
    for market in range(state.markets.shape[0]):
        if state.markets[market].chain == clock.chain:
            refresh_prices(state, venues, feeds, prices, market, clock.now)
    return OK
