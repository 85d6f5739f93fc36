"""Liquidation paid with a claim: where the market is short of cash, the seized claim itself moves.

The liquidator says which of its own positions takes the claim; it withdraws when there is cash
again, like any supplier. Arguments: `a` is the borrower's position, `b` `pair_of(debt reserve,
collateral reserve)`, `amount` the most debt tokens to repay, `amount1` the sender's position,
`limit` the least claim to receive, collateral tokens. The fill's `amount_out` is the claim: it does
not lie on the sender's account.

References
----------
Aave v3 contracts: `LiquidationLogic`, `receiveAToken`.
"""

from __future__ import annotations

from sim.kernel import handler
from sim.ledger import balance_of
from sim.lending.account import health_factor
from sim.lending.liquidation import liquidate, quote_liquidate
from sim.lending.verbs import check_liquidation, is_owner, pay_in, refresh_prices, unpack
from sim.orders import order_at
from sim.status import Status

OK = int(Status.OK)
NO_POSITION = int(Status.NO_POSITION)
SLIPPAGE = int(Status.SLIPPAGE)
_HALF = 32
_MASK = (1 << _HALF) - 1


@handler
def on_liquidate_for_claim(binding, message):  # type: ignore[no-untyped-def]
    """Repay debt of an unsafe account and take over part of its claim."""
    state, desk, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    status = check_liquidation(state, ledger, venues, order)
    if status != OK:
        return status
    if not 0.0 <= order.amount1 < state.positions.shape[0]:
        return NO_POSITION
    receiver, now = int(order.amount1), order.time
    if not is_owner(state, receiver, order.group, order.row):
        return NO_POSITION
    market = venues.row[order.venue]
    refresh_prices(state, venues, feeds, prices, market, now)
    debt, collateral = order.b >> _HALF, order.b & _MASK
    token = state.reserves[debt].token
    held = balance_of(ledger, order.group, order.row, token)
    health = health_factor(state, order.a, now)
    status, repaid, seized, fee, bad_debt = quote_liquidate(
        state, order.a, debt, collateral, order.amount, held, receiver, now
    )
    if status == OK and seized < order.limit:
        status = SLIPPAGE
    if status != OK:
        return status
    liquidate(state, order.a, debt, collateral, order.amount, held, receiver, now)
    pay_in(state, desk, ledger, order, market, token, repaid)
    order.token_out, order.amount_out = state.reserves[collateral].token, seized
    order.x, order.y, order.amount1 = health, state.reserves[collateral].price, fee
    order.price_after = bad_debt
    return OK
