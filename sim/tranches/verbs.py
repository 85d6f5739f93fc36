"""What can be asked of a tranche vault, and what it does at its times.

`deposit` (a: tranche, amount: cash) and `redeem` (a: tranche, amount: shares, inf: all) join the
queue; `cancel` (a: place of the request, which the fill of the request shows as its second
argument) leaves it. The vault pays and mints at the end of an epoch without being asked. An insured
vault has no redemptions that wait: an insurer outside pays them at once.
"""

from __future__ import annotations

import math

from sim.agenda import DELIVERY_RANK, Agenda, event_at, has_room, schedule
from sim.chain import clock_at
from sim.feeds import Feeds
from sim.kernel import handler, kernel, view_of
from sim.ledger import Ledger, balance_of, slot, transfer
from sim.orders import order_at
from sim.outside import INSURER, OUTSIDE
from sim.prices import Prices, update_prices
from sim.status import Status
from sim.tranches.nav import revalue
from sim.tranches.queues import settle
from sim.tranches.state import (
    DEPOSITED,
    EVENT_NUMBER,
    FREE,
    N_FREE,
    OPEN,
    REDEEMING,
    ROOM,
    TrancheState,
    can_redeem,
    enter,
    price_of,
    serve,
)
from sim.venues import Venues, show_price

OK = int(Status.OK)
FULL = int(Status.FULL)
HALTED = int(Status.HALTED)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
NO_POSITION = int(Status.NO_POSITION)

unpack = view_of(TrancheState, Agenda, Ledger, Feeds, Prices, Venues)


@kernel
def show_value(state, ledger, prices, venues, row, now):  # type: ignore[no-untyped-def]
    """Show the senior's price as the venue's, and value shares by what can be recovered."""
    vault, has_moved = state.vaults[row], False
    price = price_of(state, ledger, row, 0)
    if price != venues.price[vault.venue]:
        show_price(venues, vault.venue, price, now)
    for k in range(vault.n_tranches):
        token = state.share[row, k]
        supply = ledger.supply[token]
        worth = state.fair[row, k] / supply if supply > 0.0 else 1.0
        scale = prices.scale[vault.cash] * worth
        if scale != prices.scale[token]:
            prices.scale[token], has_moved = scale, True
    if has_moved:
        update_prices(prices, prices.now[0])


@kernel
def refusal(state, ledger, order, row, other):  # type: ignore[no-untyped-def]
    """Return OK, or why a request of a tranche, against token `other`, cannot be taken."""
    vault = state.vaults[row]
    if not can_redeem(vault):
        return HALTED
    if slot(ledger, order.group, order.row, other) < 0:
        return NOT_ALLOWED
    if order.amount == 0.0:
        return ZERO_AMOUNT
    if order.group == vault.group and order.row == vault.account:
        return NOT_ALLOWED
    return FULL if state.counter[N_FREE] < ROOM else OK


@kernel
def has_tranche(state, row, k):  # type: ignore[no-untyped-def]
    """Return whether a vault has a tranche of that number."""
    return 0 <= k < state.vaults[row].n_tranches


@handler
def on_deposit(binding, message):  # type: ignore[no-untyped-def]
    """Put cash into the queue of a tranche."""
    state, _, ledger, _, _, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    vault, k = state.vaults[row], order.a
    if not has_tranche(state, row, k):
        return NO_POSITION
    if vault.stage != OPEN:
        return HALTED
    if not 0.0 <= order.amount < math.inf:
        return BAD_AMOUNT
    status = refusal(state, ledger, order, row, state.share[row, k])
    if status != OK:
        return status
    status = transfer(
        ledger, order.group, order.row, vault.group, vault.account, vault.cash, order.amount
    )
    if status != OK:
        return status
    order.b = enter(state, row, k, DEPOSITED, order.amount, order.group, order.row, order.time)
    order.token_in, order.amount_in = vault.cash, order.amount
    return OK


@kernel
def redeem_insured(ledger, order, vault, token, shares, price):  # type: ignore[no-untyped-def]
    """Let the insurer take shares over and pay their net asset value; its status."""
    if price <= 0.0:
        return ZERO_AMOUNT
    status = transfer(ledger, order.group, order.row, OUTSIDE, INSURER, token, shares)
    if status != OK:
        return status
    amount = shares * price
    transfer(ledger, OUTSIDE, INSURER, order.group, order.row, vault.cash, amount)
    vault.insured += amount
    order.token_in, order.amount_in = token, shares
    order.token_out, order.amount_out = vault.cash, amount
    return OK


@handler
def on_redeem(binding, message):  # type: ignore[no-untyped-def]
    """Put shares into the queue out of a tranche."""
    state, _, ledger, _, _, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    vault, k = state.vaults[row], order.a
    if not has_tranche(state, row, k):
        return NO_POSITION
    if not order.amount >= 0.0:
        return BAD_AMOUNT
    token, amount = state.share[row, k], order.amount
    if amount == math.inf:
        amount = balance_of(ledger, order.group, order.row, token)
    status = refusal(state, ledger, order, row, vault.cash)
    if status == OK and amount == 0.0:
        status = ZERO_AMOUNT
    if status != OK:
        return status
    if vault.is_insured == 1:
        return redeem_insured(ledger, order, vault, token, amount, price_of(state, ledger, row, k))
    status = transfer(ledger, order.group, order.row, vault.group, vault.account, token, amount)
    if status != OK:
        return status
    order.b = enter(state, row, k, REDEEMING, amount, order.group, order.row, order.time)
    order.token_in, order.amount_in = token, amount
    return OK


@handler
def on_cancel(binding, message):  # type: ignore[no-untyped-def]
    """Take back what of a request has not been served."""
    state, _, ledger, _, _, venues = unpack(binding)
    order = order_at(message)
    row, at = venues.row[order.venue], order.a
    if at < 0 or at >= state.requests.shape[0]:
        return NO_POSITION
    request, vault = state.requests[at], state.vaults[row]
    if request.kind == FREE or request.vault != row:
        return NO_POSITION
    if request.group != order.group or request.row != order.row:
        return NOT_ALLOWED
    token = state.share[row, request.tranche] if request.kind == REDEEMING else vault.cash
    amount = min(request.amount, balance_of(ledger, vault.group, vault.account, token))
    transfer(ledger, vault.group, vault.account, order.group, order.row, token, amount)
    serve(state, at, request.amount)
    order.token_out, order.amount_out = token, amount
    return OK


@handler
def on_epoch(binding, message):  # type: ignore[no-untyped-def]
    """Value the vault, serve its queues, and set the end of the next epoch."""
    state, agenda, ledger, feeds, prices, venues = unpack(binding)
    event = event_at(message)
    row, now = event.a, event.time
    vault = state.vaults[row]
    update_prices(prices, now)
    revalue(state, ledger, feeds, prices, venues, row, now)
    settle(state, ledger, row, now)
    revalue(state, ledger, feeds, prices, venues, row, now)
    show_value(state, ledger, prices, venues, row, now)
    if has_room(agenda):
        kind = state.counter[EVENT_NUMBER]
        schedule(agenda, now + vault.epoch, DELIVERY_RANK, vault.chain, kind, row, 0, 0.0, 0.0)
    return OK


@handler
def on_block(binding, message):  # type: ignore[no-untyped-def]
    """Before each block of its chain: value a vault if it is time."""
    state, _, ledger, feeds, prices, venues = unpack(binding)
    clock = clock_at(message)
    for row in range(state.vaults.shape[0]):
        vault = state.vaults[row]
        if vault.chain == clock.chain and clock.now >= vault.valued_at + vault.interval:
            revalue(state, ledger, feeds, prices, venues, row, clock.now)
            show_value(state, ledger, prices, venues, row, clock.now)
    return OK
