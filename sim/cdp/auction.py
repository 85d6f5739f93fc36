"""Auctions of collateral: English ones as in 2020, and Dutch ones.

*English.* `bite` takes a lot and its share of the debt out of an unsafe vault. Bids in debt tokens
rise (`tend`), by the minimum increase each, up to debt and penalty; then bidders ask for less of
the lot (`dent`), and what they leave goes back to the vault. The last bid wins when nobody has
beaten it for the bid duration, or when the auction's time is up (`deal`). A first bid may be zero:
where nobody else bids, the lot goes for nothing and the whole debt is lost. Without any bid the
auction is restarted (`redo`).

*Dutch.* `bite` sells the whole vault at a price that starts above the oracle's and falls. Anybody
takes a part or all at the price of the moment (`take`). An auction that is stale, by its time or by
the fall of its price, must be restarted at a new price (`redo`).

What is raised pays the debt first, then is penalty. What is not raised is written off.

We differ from the contracts: leftover collateral goes back into the vault, where the contracts hand
it to the owner outside of it; a first bid of exactly zero is accepted (the contract's least bid is
1e-45 of a token); there is no limit on the debt in auctions.

References
----------
Maker contracts: `Cat.bite`, `Flipper`, `Dog.bark`, `Clipper`, `Abacus`.
"""

from __future__ import annotations

import math

from sim.cdp.state import (
    DUTCH,
    ENGLISH,
    FIXED_SPREAD,
    LINEAR,
    N_ACTIVE,
    N_AUCTIONS,
    NOBODY,
)
from sim.cdp.vault import accrue, health_factor, is_safe, take_scaled
from sim.cdp.waterfall import earn, pay_keeper, write_off
from sim.kernel import kernel
from sim.status import Status

OK = int(Status.OK)
INSUFFICIENT_FUNDS = int(Status.INSUFFICIENT_FUNDS)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
PRICE_LIMIT = int(Status.PRICE_LIMIT)
NO_POSITION = int(Status.NO_POSITION)
NOT_LIQUIDATABLE = int(Status.NOT_LIQUIDATABLE)
STALE = int(Status.STALE)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
FULL = int(Status.FULL)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
DUST = int(Status.DUST)
_ROUNDING = 1e-12  # relative


# --- opening and closing -------------------------------------------------------------------------


@kernel
def check_open(state, number, market):  # type: ignore[no-untyped-def]
    """Return OK, or NO_POSITION where a market has no such open auction."""
    if number < 0 or number >= state.counter[N_AUCTIONS]:
        return NO_POSITION
    auction = state.auctions[number]
    return OK if auction.market == market and auction.place >= 0 else NO_POSITION


@kernel
def bite(state, vault, now):  # type: ignore[no-untyped-def]
    """Start an auction: (status, number of the auction, debt tokens for the keeper to be minted).

    NOT_ALLOWED (fixed spread), NOT_LIQUIDATABLE, FULL.
    """
    row = state.vaults[vault].market
    market = state.markets[row]
    if market.mode == FIXED_SPREAD:
        return NOT_ALLOWED, NOBODY, 0.0
    if is_safe(state, vault, now) or state.collateral[vault] <= 0.0:
        return NOT_LIQUIDATABLE, NOBODY, 0.0
    number = state.counter[N_AUCTIONS]
    if number >= state.auctions.shape[0]:
        return FULL, NOBODY, 0.0
    auction = state.auctions[number]
    auction.health_factor = health_factor(state, vault, now)
    accrue(market, now)
    held, scaled = state.collateral[vault], state.scaled[vault]
    lot, taken = held, scaled
    if market.lot_size < held:
        lot = market.lot_size
        taken = scaled * (lot / held)
    auction.market, auction.vault, auction.lot = row, vault, lot
    auction.debt = taken * market.index
    auction.to_raise = auction.debt * (1.0 + market.penalty)
    auction.bid, auction.version = 0.0, 0
    auction.group = auction.row = NOBODY
    state.collateral[vault] = held - lot
    take_scaled(state, vault, taken)
    market.auction_debt += auction.debt
    _start(market, auction, now)
    auction.place = state.counter[N_ACTIVE]
    state.active[auction.place] = number
    state.counter[N_ACTIVE] += 1
    state.counter[N_AUCTIONS] = number + 1
    return OK, number, _reward(market, auction)


@kernel
def _start(market, auction, now):  # type: ignore[no-untyped-def]
    auction.started, auction.bid_until = now, 0
    auction.ends = now + market.auction_length
    auction.first_price = market.price * market.start_factor


@kernel
def _reward(market, auction):  # type: ignore[no-untyped-def]
    """Return what a keeper gets for a start or restart, booked."""
    reward = market.keeper_tip + market.keeper_share * auction.to_raise
    if reward > 0.0:
        pay_keeper(market, reward)
    return reward


@kernel
def _close(state, number):  # type: ignore[no-untyped-def]
    """Take an auction off the list of open ones."""
    auction = state.auctions[number]
    last = state.counter[N_ACTIVE] - 1
    moved = state.active[last]
    state.active[auction.place] = moved
    state.auctions[moved].place = auction.place
    auction.place = NOBODY
    state.counter[N_ACTIVE] = last


@kernel
def _raise_for(market, auction, amount, is_all):  # type: ignore[no-untyped-def]
    """Book debt tokens that an auction brought in and that are burned: debt first, then penalty.

    `is_all`: with them the whole sum is raised; of the debt not even rounding is left.
    """
    covered = auction.debt if is_all else min(amount, auction.debt)
    auction.debt -= covered
    market.auction_debt = max(market.auction_debt - covered, 0.0)
    market.issued -= amount
    if amount > covered:
        market.penalties += amount - covered
        earn(market, amount - covered)


@kernel
def _give_up(market, auction):  # type: ignore[no-untyped-def]
    """Write off what an auction did not raise: (deficit, what the backstop pays)."""
    deficit = auction.debt
    auction.debt = 0.0
    market.auction_debt = max(market.auction_debt - deficit, 0.0)
    return deficit, write_off(market, deficit)


# --- English -------------------------------------------------------------------------------------


@kernel
def _check_bid(state, number, now):  # type: ignore[no-untyped-def]
    """Return OK, NOT_ALLOWED or STALE for another bid in an open auction."""
    auction = state.auctions[number]
    if state.markets[auction.market].mode != ENGLISH:
        return NOT_ALLOWED
    is_over = auction.bid_until != 0 and auction.bid_until <= now
    return STALE if is_over or auction.ends <= now else OK


@kernel
def quote_tend(state, number, amount, now):  # type: ignore[no-untyped-def]
    """Return (status, bid) of bidding `amount`, at most debt and penalty; changes nothing.

    NOT_ALLOWED, STALE (no more bids), BAD_AMOUNT or PRICE_LIMIT (does not beat the last bid by
    enough).
    """
    status = _check_bid(state, number, now)
    if status != OK:
        return status, 0.0
    if not 0.0 <= amount < math.inf:
        return BAD_AMOUNT, 0.0
    auction = state.auctions[number]
    bid = min(amount, auction.to_raise)
    if auction.bid_until != 0:
        least = auction.bid * (1.0 + state.markets[auction.market].min_bid_increase)
        if bid <= auction.bid or (bid < least and bid < auction.to_raise):
            return PRICE_LIMIT, 0.0
    return OK, bid


@kernel
def quote_dent(state, number, lot, now):  # type: ignore[no-untyped-def]
    """Return (status, bid) of asking for `lot` against the whole sum; changes nothing.

    NOT_ALLOWED, STALE, BAD_AMOUNT or PRICE_LIMIT (the bids have not risen to the sum, or the lot is
    not smaller by enough).
    """
    status = _check_bid(state, number, now)
    if status != OK:
        return status, 0.0
    if not 0.0 <= lot < math.inf:
        return BAD_AMOUNT, 0.0
    auction = state.auctions[number]
    if auction.bid_until == 0 or auction.bid < auction.to_raise:
        return PRICE_LIMIT, 0.0
    increase = 1.0 + state.markets[auction.market].min_bid_increase
    if lot * increase > auction.lot * (1.0 + _ROUNDING) or lot >= auction.lot:
        return PRICE_LIMIT, 0.0
    return OK, auction.bid


@kernel
def enter_bid(state, number, bid, lot, group, row, now):  # type: ignore[no-untyped-def]
    """Enter a bid that a quote has accepted; returns the bid that it replaces.

    The caller takes the new bid into escrow and gives the old one back; the lot's rest goes back
    to the vault.
    """
    auction = state.auctions[number]
    before = auction.bid
    state.collateral[auction.vault] += auction.lot - lot
    auction.lot, auction.bid = lot, bid
    auction.group, auction.row = group, row
    auction.bid_until = now + state.markets[auction.market].bid_duration
    auction.version += 1
    return before


@kernel
def can_deal(state, number, now):  # type: ignore[no-untyped-def]
    """Return whether an open English auction has a winner."""
    auction = state.auctions[number]
    is_over = auction.bid_until <= now or auction.ends <= now
    return state.markets[auction.market].mode == ENGLISH and auction.bid_until != 0 and is_over


@kernel
def deal(state, number, now):  # type: ignore[no-untyped-def]
    """End an auction: (status, deficit, what the backstop pays); NOT_ALLOWED while it runs.

    The caller burns the bid and hands the lot to the winner.
    """
    if not can_deal(state, number, now):
        return NOT_ALLOWED, 0.0, 0.0
    auction = state.auctions[number]
    market = state.markets[auction.market]
    _raise_for(market, auction, auction.bid, auction.bid >= auction.to_raise)
    deficit, paid = _give_up(market, auction)
    auction.version += 1
    _close(state, number)
    return OK, deficit, paid


# --- Dutch ---------------------------------------------------------------------------------------


@kernel
def curve_price(market, first_price, elapsed):  # type: ignore[no-untyped-def]
    """Return the price of a Dutch auction, USD per collateral token, `elapsed` ticks on."""
    if market.curve == LINEAR:
        left = market.curve_time - elapsed
        return first_price * left / market.curve_time if left > 0 else 0.0
    return first_price * math.pow(market.step_factor, float(elapsed // market.curve_time))


@kernel
def auction_price(state, number, now):  # type: ignore[no-untyped-def]
    """Return the price of a Dutch auction now, debt tokens per collateral token."""
    auction = state.auctions[number]
    market = state.markets[auction.market]
    price = curve_price(market, auction.first_price, now - auction.started)
    return price / market.target_price


@kernel
def is_stale(state, number, now):  # type: ignore[no-untyped-def]
    """Return whether an open auction must be restarted before anybody can buy."""
    auction = state.auctions[number]
    market = state.markets[auction.market]
    if market.mode == ENGLISH:
        return auction.bid_until == 0 and auction.ends <= now
    if now - auction.started > market.auction_length:
        return True
    price = auction_price(state, number, now) * market.target_price
    return price < market.stale_below * auction.first_price or price <= 0.0


@kernel
def quote_take(state, number, amount, price_limit, held, now):  # type: ignore[no-untyped-def]
    """Return (status, collateral taken, debt tokens paid) of taking at most `amount`.

    A part must leave at least the debt floor, with penalty, to be raised. Changes nothing.
    NOT_ALLOWED (no Dutch auction), BAD_AMOUNT, ZERO_AMOUNT, STALE, PRICE_LIMIT, DUST or
    INSUFFICIENT_FUNDS.
    """
    auction = state.auctions[number]
    market = state.markets[auction.market]
    if market.mode != DUTCH:
        return NOT_ALLOWED, 0.0, 0.0
    if not amount >= 0.0 or not price_limit >= 0.0:
        return BAD_AMOUNT, 0.0, 0.0
    if is_stale(state, number, now):
        return STALE, 0.0, 0.0
    price = auction_price(state, number, now)
    if price > price_limit > 0.0:
        return PRICE_LIMIT, 0.0, 0.0
    taken = min(amount, auction.lot)
    owed = taken * price
    if owed >= auction.to_raise:
        owed = auction.to_raise
        taken = min(owed / price, auction.lot)
    elif taken < auction.lot:
        floor = market.debt_floor * (1.0 + market.penalty)
        if auction.to_raise - owed < floor:
            if auction.to_raise <= floor:
                return DUST, 0.0, 0.0
            owed = auction.to_raise - floor
            taken = owed / price
    if taken <= 0.0 or owed <= 0.0:
        return ZERO_AMOUNT, 0.0, 0.0
    return (OK, taken, owed) if owed <= held else (INSUFFICIENT_FUNDS, 0.0, 0.0)


@kernel
def take(state, number, amount, price_limit, held, now):  # type: ignore[no-untyped-def]
    """Buy from a Dutch auction: (status, taken, paid, deficit, what the backstop pays).

    The caller burns what is paid and hands out what is taken.
    """
    status, taken, owed = quote_take(state, number, amount, price_limit, held, now)
    if status != OK:
        return status, 0.0, 0.0, 0.0, 0.0
    auction = state.auctions[number]
    market = state.markets[auction.market]
    is_sold_out = taken >= auction.lot
    is_paid = owed >= auction.to_raise
    auction.lot = 0.0 if is_sold_out else auction.lot - taken
    auction.to_raise -= owed
    auction.bid += owed
    auction.version += 1
    _raise_for(market, auction, owed, is_paid)
    deficit = paid = 0.0
    if is_sold_out or is_paid:
        state.collateral[auction.vault] += auction.lot
        auction.lot = 0.0
        deficit, paid = _give_up(market, auction)
        _close(state, number)
    return OK, taken, owed, deficit, paid


@kernel
def redo(state, number, now):  # type: ignore[no-untyped-def]
    """Restart a stale auction: (status, debt tokens for the keeper to be minted).

    NOT_LIQUIDATABLE while it is not stale. A lot or sum below the debt floor earns nothing.
    """
    if not is_stale(state, number, now):
        return NOT_LIQUIDATABLE, 0.0
    auction = state.auctions[number]
    market = state.markets[auction.market]
    _start(market, auction, now)
    auction.version += 1
    floor = market.debt_floor * (1.0 + market.penalty)
    worth = auction.lot * market.price / market.target_price
    if auction.to_raise < floor or worth < floor:
        return OK, 0.0
    return OK, _reward(market, auction)
