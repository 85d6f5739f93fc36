"""Unwinding: collateral is taken out, sold, and the proceeds repay the debt, in one order.

An account close to its limits can hardly withdraw before it repays, nor repay before it has sold.
Contracts do both at once with a flash loan and a swap; here it is an order of three legs: `unwind`
takes collateral out, a swap sells it, `unwind_repay` pays the debt with what came out. `unwind`
counts the repayment that the last leg promises as made.

Arguments: `a` is the sender's position, `b` the reserve. `unwind`: `amount` collateral tokens, inf
= the whole claim. `unwind_repay`: `amount1` the least debt tokens repaid; what the swap gave beyond
the debt stays with the sender.

References
----------
Aave v3 periphery: `ParaSwapRepayAdapter`, without its flash loan and fee.
"""

from __future__ import annotations

from sim.kernel import handler, kernel
from sim.ledger import balance_of, slot
from sim.lending.account import debt_of
from sim.lending.market import check_reserve, quote_withdraw, repay, withdraw_against
from sim.lending.verbs import (
    check_order,
    pay_in,
    pay_withdrawal,
    refresh_prices,
    unpack,
    unpack_all,
)
from sim.orders import UNWIND, UNWIND_REPAY, order_at
from sim.status import Status

OK = int(Status.OK)
NO_POSITION = int(Status.NO_POSITION)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
SLIPPAGE = int(Status.SLIPPAGE)
_TO_REPAYMENT = UNWIND_REPAY - UNWIND


@kernel
def promised_relief(state, box, order):  # type: ignore[no-untyped-def]
    """Return the value of the debt that a later leg repays at least, quote units; -1: none does."""
    at = order.next_leg
    while at >= 0:
        leg = box.orders[at]
        is_promise = (
            leg.verb == order.verb + _TO_REPAYMENT
            and leg.venue == order.venue
            and leg.a == order.a
            and leg.b != order.b
            and 0 <= leg.b < state.reserves.shape[0]
            and leg.amount1 > 0.0
        )
        if is_promise:
            owed = debt_of(state, order.a, leg.b, order.time)
            return min(leg.amount1, owed) * state.reserves[leg.b].price
        at = leg.next_leg
    return -1.0


@handler
def on_quote_unwind(binding, message):  # type: ignore[no-untyped-def]
    """Say what collateral would come out, counting the repayment that the order promises."""
    state, _, ledger, venues, feeds, prices, box = unpack_all(binding)
    order = order_at(message)
    status = check_order(state, venues, order)
    if status != OK:
        return status
    order.token_in = order.token_out = state.reserves[order.b].token
    if slot(ledger, order.group, order.row, order.token_out) < 0:
        return NOT_ALLOWED
    refresh_prices(state, venues, feeds, prices, venues.row[order.venue], order.time)
    relief = promised_relief(state, box, order)
    if relief < 0.0:
        return NOT_ALLOWED
    status, paid, _ = quote_withdraw(state, order.a, order.b, order.amount, relief, order.time)
    order.amount_out = paid
    return status


@handler
def on_unwind(binding, message):  # type: ignore[no-untyped-def]
    """Take collateral out, to be sold and paid back by the legs behind."""
    state, desk, ledger, venues, feeds, prices, box = unpack_all(binding)
    order = order_at(message)
    status = check_order(state, venues, order)
    if status != OK:
        return status
    market, token = venues.row[order.venue], state.reserves[order.b].token
    if slot(ledger, order.group, order.row, token) < 0:
        return NOT_ALLOWED
    refresh_prices(state, venues, feeds, prices, market, order.time)
    relief = promised_relief(state, box, order)
    if relief < 0.0:
        return NOT_ALLOWED
    status, paid = withdraw_against(state, order.a, order.b, order.amount, relief, order.time)
    if status == OK:
        pay_withdrawal(state, desk, ledger, order, market, token, paid)
    return status


@handler
def on_quote_unwind_repay(binding, message):  # type: ignore[no-untyped-def]
    """Say what would be repaid of what the legs before bring in."""
    state, _, _, venues, _, _ = unpack(binding)
    order = order_at(message)
    status = check_order(state, venues, order)
    if status == OK:
        status = check_reserve(state, order.a, order.b)
    if status != OK:
        return status
    debt = debt_of(state, order.a, order.b, order.time)
    if debt <= 0.0:
        return NO_POSITION
    if not order.amount1 > 0.0:
        return NOT_ALLOWED
    order.token_in, order.amount_in = state.reserves[order.b].token, min(order.amount, debt)
    return SLIPPAGE if order.amount < min(order.amount1, debt) else OK


@handler
def on_unwind_repay(binding, message):  # type: ignore[no-untyped-def]
    """Repay the debt with what the legs before brought in."""
    state, desk, ledger, venues, _, _ = unpack(binding)
    order = order_at(message)
    status = check_order(state, venues, order)
    if status != OK:
        return status
    if order.leg == 0:
        return NOT_ALLOWED
    token = state.reserves[order.b].token
    held = balance_of(ledger, order.group, order.row, token)
    amount = min(order.amount, held)
    status, paid = repay(state, order.a, order.b, amount, held, order.time)
    if status == OK:
        pay_in(state, desk, ledger, order, venues.row[order.venue], token, paid)
    return status
