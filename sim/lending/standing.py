"""Orders by which an account says how it stands in a market: what it pledges, and its mode.

Arguments: `a` is the sender's position. `use_as_collateral`: `b` is the reserve, `amount` 1 to use
the claim, 0 to cease. `set_mode`: `b` is the row of the efficiency mode, -1 to leave it.
"""

from __future__ import annotations

from sim.kernel import handler
from sim.lending.market import set_mode, use_as_collateral
from sim.lending.verbs import check_order, is_owner, refresh_prices, unpack
from sim.orders import order_at
from sim.status import Status

OK = int(Status.OK)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
NO_POSITION = int(Status.NO_POSITION)


@handler
def on_use_as_collateral(binding, message):  # type: ignore[no-untyped-def]
    """Let a claim secure debts, or no longer."""
    state, _, _, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    status = check_order(state, venues, order)
    if status != OK:
        return status
    if order.amount != 0.0 and order.amount != 1.0:
        return BAD_AMOUNT
    refresh_prices(state, venues, feeds, prices, venues.row[order.venue], order.time)
    is_used = 1 if order.amount == 1.0 else 0
    status, _ = use_as_collateral(state, order.a, order.b, is_used, order.time)
    return status


@handler
def on_set_mode(binding, message):  # type: ignore[no-untyped-def]
    """Enter or leave an efficiency mode."""
    state, _, _, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    market = venues.row[order.venue]
    if not is_owner(state, order.a, order.group, order.row):
        return NO_POSITION
    if state.positions[order.a].market != market:
        return NO_POSITION
    refresh_prices(state, venues, feeds, prices, market, order.time)
    status, _ = set_mode(state, order.a, order.b, order.time)
    return status
