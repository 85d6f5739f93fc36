"""What keepers of CDP markets know: unsafe vaults, their orders under way, what a lot is worth.

A keeper may not spend more than the debt tokens that it has left: those in its bids and in orders
under way are spent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from agents.liquidation_size import POOL, REFERENCE
from agents.routing import best_pool
from sim.cdp.vault import is_safe
from sim.cdp.verbs import BITE, LIQUIDATE
from sim.kernel import F8, I8, F8x2, I8x2, columnar, kernel, records
from sim.ledger import balance_of
from sim.mempool import post
from sim.orders import ACCRUAL, FILL, REFUSED, ROUTINE, cause
from sim.units import TICKS_PER_SECOND
from sim.venues import draft, spendable

GROUP, VENUE, MARKET, PER_BLOCK, EXPIRES = range(5)  # KeeperState.number
LEAST, TIP, OPENING, RAISE = range(4)  # KeeperState.terms
N_FOUND, SCANNED, IS_FULL, PARENT = range(4)  # WatchList.number
N_ASKED = 64  # orders that a keeper may have under way
_CAPACITY = 16_384  # unsafe vaults kept
_RESCAN = 3_600 * TICKS_PER_SECOND  # the fee moves health factors even when prices do not
_FILL, _ROUTINE, _ACCRUAL = cause(FILL), cause(ROUTINE), cause(ACCRUAL)

ASKED = np.dtype(
    [
        ("until", "i8"),  # tick until which the order may be pending
        ("verb", "i8"),
        ("target", "i8"),  # vault or auction
        ("version", "i8"),  # of the auction when it was sent
        ("amount", "f8"),  # debt tokens it will pay
    ],
    align=True,
)


@columnar
class KeeperState(NamedTuple):
    """Columns of keepers, and what they share."""

    exit: I8  # int64, (n,), POOL, REFERENCE or HOLD
    is_direct: I8  # int64, (n,), 1: bids all that the lot is worth to it at once
    margin: F8  # float64, (n,), fraction of the proceeds that it keeps
    selling: I8  # int64, (n,), tick until which a sale of collateral may be pending
    n_orders: I8  # int64, (n,), orders sent
    asked: records(ASKED)  # type: ignore[valid-type]  # (n * N_ASKED,)
    pools: I8x2  # int64, (1, n_pools), where collateral can be sold
    terms: F8x2  # float64, (1, 4): least profit USD, tip in native token per gas, share of its
    # worth with which a patient keeper opens, and with which it beats a bid of zero
    number: I8x2  # int64, (1, 5): group, CDP venue, its market, most orders a block, ticks until
    # an order expires


@columnar
class WatchList(NamedTuple):
    """The unsafe vaults of one market."""

    found: I8  # int64, (capacity,), the first ones count
    seen: F8  # float64, (1,), USD, price at the last scan
    number: I8  # int64, (4,): see N_FOUND …


def make_watch_list() -> WatchList:
    """Return an empty list, so that the book is scanned at the first look."""
    return WatchList(
        np.zeros(_CAPACITY, np.int64), np.zeros(1), np.array([0, -_RESCAN, 0, 0], np.int64)
    )


@kernel(inline=False)
def look(watch, cdp, market, last_report, now):  # type: ignore[no-untyped-def]
    """List the unsafe vaults anew if the price has moved, an hour has passed, or the list is full.

    What makes a vault unsafe is the last report, or the fee where no price has moved.
    """
    price = cdp.markets[market].price
    is_due = now >= watch.number[SCANNED] + _RESCAN or watch.number[IS_FULL] != 0
    if price == watch.seen[0] and not is_due:
        return
    has_moved = price != watch.seen[0] and last_report > 0
    watch.number[PARENT] = _FILL + last_report if has_moved else _ACCRUAL
    watch.seen[0], watch.number[SCANNED], watch.number[IS_FULL] = price, now, 0
    count = 0
    for vault in range(cdp.vaults.shape[0]):
        if cdp.vaults[vault].market != market or is_safe(cdp, vault, now):
            continue
        if count == watch.found.shape[0]:
            watch.number[IS_FULL] = 1
            break
        watch.found[count] = vault
        count += 1
    watch.number[N_FOUND] = count


# --- orders under way ----------------------------------------------------------------------------


@kernel
def names_vault(verb):  # type: ignore[no-untyped-def]
    """Return whether a verb names a vault; all others that keepers send name an auction."""
    return verb in (BITE, LIQUIDATE)


@kernel
def is_pending(cdp, entry, now):  # type: ignore[no-untyped-def]
    """Return whether an order may still wait: not expired, and its auction is as it was."""
    if entry.until < now:
        return False
    if names_vault(entry.verb):
        return not is_safe(cdp, entry.target, now)
    auction = cdp.auctions[entry.target]
    return auction.place >= 0 and auction.version == entry.version


@kernel
def has_asked(keepers, cdp, row, verb, target, now):  # type: ignore[no-untyped-def]
    """Return whether a keeper has an order under way for an auction, or for a vault."""
    for k in range(row * N_ASKED, (row + 1) * N_ASKED):
        entry = keepers.asked[k]
        is_same = entry.target == target and names_vault(entry.verb) == names_vault(verb)
        if is_same and is_pending(cdp, entry, now):
            return True
    return False


@kernel
def purse_of(keepers, cdp, box, ledger, chain, row, now):  # type: ignore[no-untyped-def]
    """Return the debt tokens that a keeper has beside its orders under way."""
    market = cdp.markets[keepers.number[0, MARKET]]
    group = keepers.number[0, GROUP]
    left = spendable(box, ledger, chain, group, row, market.debt_token, 0)
    for k in range(row * N_ASKED, (row + 1) * N_ASKED):
        if keepers.asked[k].amount > 0.0 and is_pending(cdp, keepers.asked[k], now):
            left -= keepers.asked[k].amount
    return max(left, 0.0)


@kernel
def prepare(keepers, box, venues, verb, row, target, amount, now):  # type: ignore[no-untyped-def]
    """Return a new order of a keeper for a vault or auction."""
    number = keepers.number
    order = draft(box, venues, number[0, VENUE], verb, number[0, GROUP], row, now)
    order.a, order.amount, order.tip = target, amount, keepers.terms[0, TIP]
    order.max_fee += order.tip
    order.expires = now + number[0, EXPIRES]
    order.parent = _ROUTINE
    return order


@kernel
def send(keepers, cdp, box, ledger, order, verb, paid, now):  # type: ignore[no-untyped-def]
    """Post an order and remember it; False: no room, or no gas."""
    row, target, at = order.row, order.a, -1
    for k in range(row * N_ASKED, (row + 1) * N_ASKED):
        if not is_pending(cdp, keepers.asked[k], now):
            at = k
            break
    native = box.chains[order.chain].native
    fuel = balance_of(ledger, order.group, row, native) if native >= 0 else 0.0
    expires = order.expires
    if at < 0 or (native >= 0 and fuel < order.gas * order.max_fee):
        order.flag_bits |= REFUSED  # gives its rows back
        post(box, order)
        return False
    if post(box, order) < 0:
        return False
    entry = keepers.asked[at]
    entry.until, entry.verb, entry.target, entry.amount = expires, verb, target, paid
    entry.version = 0 if names_vault(verb) else cdp.auctions[target].version
    keepers.n_orders[row] += 1
    return True


# --- what a lot is worth -------------------------------------------------------------------------


@kernel(inline=False)
def proceeds(keepers, cdp, prices, venues, row, amount):  # type: ignore[no-untyped-def]
    """Return (debt tokens, pool, side) that an amount of collateral brings a keeper."""
    market = cdp.markets[keepers.number[0, MARKET]]
    token_in, token_out = market.collateral_token, market.debt_token
    if keepers.exit[row] == POOL:
        pool, side, out = best_pool(venues, keepers.pools[0], token_in, token_out, amount)
        return out, pool, side
    value = amount * prices.reference[token_in] / prices.reference[token_out]
    if keepers.exit[row] == REFERENCE:
        sold, bought = prices.asset[token_in], prices.asset[token_out]
        value *= (1.0 - prices.half_spread[sold]) * (1.0 - prices.taker_fee[sold])
        value *= (1.0 - prices.half_spread[bought]) * (1.0 - prices.taker_fee[bought])
    return value, -1, 0


@kernel
def cost_of(keepers, cdp, box, prices, venues, row, verb, chain):  # type: ignore[no-untyped-def]
    """Return the debt tokens that the gas of an order and of a sale, and the least profit are."""
    fees = box.chains[chain]
    usd = keepers.terms[0, LEAST]
    if fees.native >= 0:
        gas = venues.gas[venues.first_verb[keepers.number[0, VENUE]] + verb]
        if keepers.exit[row] == POOL:
            gas += venues.gas[venues.first_verb[keepers.pools[0, 0]]]
        usd += gas * (fees.base_fee + keepers.terms[0, TIP]) * prices.reference[fees.native]
    return usd / prices.reference[cdp.markets[keepers.number[0, MARKET]].debt_token]
