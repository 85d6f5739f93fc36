"""What can be asked of a CDP market: an order becomes a call of its rules, and transfers.

Arguments of the verbs: `a` is the vault; `amount` is collateral tokens (deposit, withdraw) or debt
tokens (draw, repay, liquidate), inf = all where that makes sense. The market's account holds the
collateral; debt tokens come from `mint` and end in `burn`. The verbs of auctions are in
`sim.cdp.auction_verbs`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from sim.cdp import liquidation, vault
from sim.cdp.state import CdpState
from sim.chain import clock_at
from sim.feeds import Feeds, read_feed
from sim.kernel import I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of, burn, mint, slot, transfer
from sim.orders import order_at
from sim.outside import INSURER, OUTSIDE
from sim.prices import Prices
from sim.status import Status
from sim.venues import Venues

OK = int(Status.OK)
SLIPPAGE = int(Status.SLIPPAGE)
NO_POSITION = int(Status.NO_POSITION)
NOT_ALLOWED = int(Status.NOT_ALLOWED)

(DEPOSIT, WITHDRAW, DRAW, REPAY, LIQUIDATE, BITE, TEND, DENT, DEAL, TAKE, REDO) = range(11)


@columnar
class CdpDesk(NamedTuple):
    """What the markets need beside their own tables."""

    account: I8  # int64, (n_markets,), account of each market in the group of CDP markets
    group: I8  # int64, (1,), that group
    chain: I8  # int64, (n_markets,)
    unsafe_since: I8  # int64, (n_vaults,), tick since which the health factor at reference prices
    # is below 1, as of the last sample; -1: it is not


unpack = view_of(CdpState, CdpDesk, Ledger, Venues, Feeds, Prices)


@kernel
def refresh_price(state, venues, feeds, prices, market, now):  # type: ignore[no-untyped-def]
    """Read the feed of a market."""
    feed = state.markets[market].price_feed
    state.markets[market].price = read_feed(feeds, venues, prices, feed, now)


@kernel
def is_in(state, number, market):  # type: ignore[no-untyped-def]
    """Return whether a vault exists and is of a market."""
    return 0 <= number < state.vaults.shape[0] and state.vaults[number].market == market


@kernel
def is_owner(state, order, market):  # type: ignore[no-untyped-def]
    """Return whether the vault that an order names is the sender's."""
    if not is_in(state, order.a, market):
        return False
    mine = state.vaults[order.a]
    return mine.population == order.group and mine.owner == order.row


@kernel
def can_hold(ledger, order, token):  # type: ignore[no-untyped-def]
    """Return whether the sender's account can hold a token."""
    return slot(ledger, order.group, order.row, token) >= 0


@kernel
def pay_out(desk, ledger, market, group, row, token, amount):  # type: ignore[no-untyped-def]
    """Pay tokens that the market holds, all of them where rounding left it short."""
    own, account = desk.group[0], desk.account[market]
    paid = min(amount, balance_of(ledger, own, account, token))
    transfer(ledger, own, account, group, row, token, paid)
    return paid


@kernel
def burn_backstop(ledger, token, amount):  # type: ignore[no-untyped-def]
    """Burn what the insurer outside pays."""
    if amount > 0.0:
        burn(ledger, OUTSIDE, INSURER, token, amount)


# --- vaults --------------------------------------------------------------------------------------


@handler
def on_deposit(binding, message):  # type: ignore[no-untyped-def]
    """Add `amount` of collateral to the sender's vault."""
    state, desk, ledger, venues, _, _ = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    if not is_owner(state, order, row):
        return NO_POSITION
    token = state.markets[row].collateral_token
    held = balance_of(ledger, order.group, order.row, token)
    status, paid = vault.deposit(state, order.a, order.amount, held)
    if status == OK:
        own, account = desk.group[0], desk.account[row]
        transfer(ledger, order.group, order.row, own, account, token, paid)
        order.token_in, order.amount_in = token, paid
    return status


@handler
def on_withdraw(binding, message):  # type: ignore[no-untyped-def]
    """Take `amount` of collateral out of the sender's vault."""
    state, desk, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    row, now = venues.row[order.venue], order.time
    if not is_owner(state, order, row):
        return NO_POSITION
    token = state.markets[row].collateral_token
    if not can_hold(ledger, order, token):
        return NOT_ALLOWED
    refresh_price(state, venues, feeds, prices, row, now)
    status, amount = vault.withdraw(state, order.a, order.amount, now)
    if status == OK:
        order.token_out = token
        order.amount_out = pay_out(desk, ledger, row, order.group, order.row, token, amount)
    return status


@handler
def on_draw(binding, message):  # type: ignore[no-untyped-def]
    """Mint `amount` of the debt token against the sender's vault."""
    state, _, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    row, now = venues.row[order.venue], order.time
    if not is_owner(state, order, row):
        return NO_POSITION
    token = state.markets[row].debt_token
    if not can_hold(ledger, order, token):
        return NOT_ALLOWED
    refresh_price(state, venues, feeds, prices, row, now)
    status, amount = vault.draw(state, order.a, order.amount, now)
    if status == OK:
        mint(ledger, order.group, order.row, token, amount)
        order.token_out, order.amount_out = token, amount
    return status


@handler
def on_repay(binding, message):  # type: ignore[no-untyped-def]
    """Burn at most `amount` of the debt token for the debt of the sender's vault."""
    state, _, ledger, venues, _, _ = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    if not is_owner(state, order, row):
        return NO_POSITION
    token = state.markets[row].debt_token
    held = balance_of(ledger, order.group, order.row, token)
    status, paid = vault.repay(state, order.a, order.amount, held, order.time)
    if status == OK:
        burn(ledger, order.group, order.row, token, paid)
        order.token_in, order.amount_in = token, paid
    return status


# --- fixed spread --------------------------------------------------------------------------------


@kernel
def _check_liquidation(state, ledger, venues, order):  # type: ignore[no-untyped-def]
    """Return OK, or why vault or account of a liquidation cannot work."""
    row = venues.row[order.venue]
    if not is_in(state, order.a, row):
        return NO_POSITION
    return OK if can_hold(ledger, order, state.markets[row].collateral_token) else NOT_ALLOWED


@handler
def on_quote_liquidate(binding, message):  # type: ignore[no-untyped-def]
    """Say what a liquidation would repay and seize."""
    state, _, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    status = _check_liquidation(state, ledger, venues, order)
    if status != OK:
        return status
    row = venues.row[order.venue]
    refresh_price(state, venues, feeds, prices, row, order.time)
    status, repaid, seized, _ = liquidation.quote_liquidate(
        state, order.a, order.amount, math.inf, order.time
    )
    market = state.markets[row]
    order.token_in, order.token_out = market.debt_token, market.collateral_token
    order.amount_in, order.amount_out = repaid, seized
    return SLIPPAGE if status == OK and seized < order.limit else status


@handler
def on_liquidate(binding, message):  # type: ignore[no-untyped-def]
    """Repay at most `amount` of a vault's debt; `limit` is the least collateral to receive."""
    state, desk, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    status = _check_liquidation(state, ledger, venues, order)
    if status != OK:
        return status
    row, now = venues.row[order.venue], order.time
    refresh_price(state, venues, feeds, prices, row, now)
    market = state.markets[row]
    held = balance_of(ledger, order.group, order.row, market.debt_token)
    status, _, seized, _ = liquidation.quote_liquidate(state, order.a, order.amount, held, now)
    if status == OK and seized < order.limit:
        status = SLIPPAGE
    if status != OK:
        return status
    health = vault.health_factor(state, order.a, now)
    _, repaid, seized, deficit, paid = liquidation.liquidate(
        state, order.a, order.amount, held, now
    )
    burn(ledger, order.group, order.row, market.debt_token, repaid)
    burn_backstop(ledger, market.debt_token, paid)
    token = market.collateral_token
    order.token_in, order.amount_in = market.debt_token, repaid
    order.token_out = token
    order.amount_out = pay_out(desk, ledger, row, order.group, order.row, token, seized)
    order.x, order.y, order.price_after = health, market.price, deficit
    return OK


@handler
def on_block(binding, message):  # type: ignore[no-untyped-def]
    """Before each block: read the feeds of the chain's markets, so that all see the same prices."""
    state, desk, _, venues, feeds, prices = unpack(binding)
    clock = clock_at(message)
    for market in range(state.markets.shape[0]):
        if desk.chain[market] == clock.chain:
            refresh_price(state, venues, feeds, prices, market, clock.now)
    return OK
