"""Venues: every pool, market, bridge and exchange by one number, whatever mechanism it belongs to.

A venue says which mechanism runs it and which row of that mechanism's state it is. Pools also show
their marginal price and fee here, so that agents, oracles and pictures read all pools alike. A
verb is an entry of the verb table: the handler that executes it, the one that quotes it, and its
gas.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sim.chain import plain_bid
from sim.kernel import F8, I8, blank, columnar, invoke, kernel, records, row_address
from sim.ledger import balance_of
from sim.mempool import claim
from sim.orders import QUOTE, SWAP
from sim.units import TICKS_PER_SECOND

NO_TOKEN = -1
_SECONDS_PER_TICK = 1.0 / TICKS_PER_SECOND


@columnar
class Venues(NamedTuple):
    """One row a venue; prices are token1 per token0, marginal, without the fee."""

    row: I8  # int64, row in the mechanism's state
    chain: I8  # int64
    group: I8  # int64, account group of the mechanism
    account: I8  # int64, row of the venue's account in it
    token0: I8  # int64, -1: not a pool
    token1: I8  # int64
    first_verb: I8  # int64, row of the mechanism's first verb
    quote: I8  # int64, handler address that quotes a swap, 0: none
    quote_binding: I8  # int64
    appraise: I8  # int64, handler address that says what an account has in the venue, 0: none
    appraise_binding: I8  # int64
    curve: I8  # int64, handler address of a trading function, 0: none
    is_halted: I8  # int64, 1: orders fail with HALTED
    last_fill: I8  # int64, last fill that changed the venue
    since: I8  # int64, tick of the last price change
    version: I8  # int64, counts price changes
    price: F8  # float64, token1 per token0
    fee: F8  # float64, fraction of amount_in
    cumulative: F8  # float64, sum of price x seconds up to `since`
    volume: F8  # float64, USD swapped so far
    fees: F8  # float64, USD of fees to liquidity providers so far
    lvr: F8  # float64, USD lost to trades at the reference price so far, fees apart
    gas: I8  # int64, (n_verbs,), gas of each verb
    spare_gas: I8  # int64, (n_verbs,), gas that its orders declare beyond that
    scratch: records(QUOTE)  # type: ignore[valid-type]  # (4,), messages for quotes


def make_venues(n: int, gas: list[int], spare_gas: list[int]) -> Venues:
    """Return a table of `n` venues without prices, and the gas of each verb."""
    columns: dict[str, Any] = {
        name: np.zeros(n, np.float64 if name in _FLOATS else np.int64)
        for name in Venues._fields[:-3]
    }
    return Venues(
        **columns,
        gas=np.array(gas, np.int64),
        spare_gas=np.array(spare_gas, np.int64),
        scratch=blank(4, QUOTE),
    )


_FLOATS = {"price", "fee", "cumulative", "volume", "fees", "lvr"}


@kernel
def show_price(venues, venue, price, now):  # type: ignore[no-untyped-def]
    """Publish the marginal price of a pool; the time-weighted sum advances to now."""
    elapsed = (now - venues.since[venue]) * _SECONDS_PER_TICK
    venues.cumulative[venue] += venues.price[venue] * elapsed
    venues.since[venue] = now
    venues.price[venue] = price
    venues.version[venue] += 1


@kernel
def cumulative_at(venues, venue, now):  # type: ignore[no-untyped-def]
    """Return the sum of price x seconds up to now: a TWAP is a difference of two, over the time."""
    elapsed = (now - venues.since[venue]) * _SECONDS_PER_TICK
    return venues.cumulative[venue] + venues.price[venue] * elapsed


@kernel
def quote(venues, venue, side, amount, price_limit):  # type: ignore[no-untyped-def]
    """Quote a swap of at most `amount` (side 0 pays token 0); returns a scratch record."""
    q = venues.scratch[0]
    q.venue, q.side, q.amount, q.price_limit = venue, side, amount, price_limit
    q.amount_in = q.amount_out = q.fee_paid = q.price_after = 0.0
    q.status = invoke(
        venues.quote[venue], venues.quote_binding[venue], row_address(venues.scratch, 0)
    )
    return q


@kernel
def draft(box, venues, venue, verb, group, row, now):  # type: ignore[no-untyped-def]
    """Return a new order for a verb of a venue, to be filled in and posted.

    Its bid is the plain one: no tip, and at most twice the base fee of now (where bids are paid in
    full: the going price); it expires in 10 minutes.
    """
    order = claim(box)
    chain = box.chains[venues.chain[venue]]
    order.chain = venues.chain[venue]
    order.verb = venues.first_verb[venue] + verb
    order.venue, order.group, order.row = venue, group, row
    order.gas_left = venues.spare_gas[order.verb]
    order.gas = venues.gas[order.verb] + order.gas_left
    order.arrival = now
    order.expires = now + 600 * TICKS_PER_SECOND
    order.max_fee = plain_bid(chain)
    return order


@kernel
def draft_swap(box, venues, venue, side, amount, group, row, now):  # type: ignore[no-untyped-def]
    """Return a new swap order that pays at most `amount` of token `side` of a pool."""
    order = draft(box, venues, venue, SWAP, group, row, now)
    order.a = side
    order.amount = amount
    order.token_in = venues.token0[venue] if side == 0 else venues.token1[venue]
    order.token_out = venues.token1[venue] if side == 0 else venues.token0[venue]
    return order


@kernel
def spendable(box, ledger, chain, group, row, token, gas):  # type: ignore[no-untyped-def]
    """Return what an account can spend of a token, with the gas of one order kept back."""
    held = balance_of(ledger, group, row, token)
    if box.chains[chain].native == token:
        held -= 2.0 * gas * box.chains[chain].base_fee
    return max(held, 0.0)
