"""The reference market as a venue: agents trade with the outside world at the reference price.

It stands for centralised exchanges. The price is the reference mid, less half the spread and the
taker fee; a trade moves it by the linear impact of `sim.prices`. A deposit delay is an order that
arrives later: its tokens stay with the sender until then.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from sim.kernel import I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger, slot, transfer
from sim.orders import order_at
from sim.outside import OUTSIDE, REFERENCE_MARKET
from sim.prices import Prices, update_prices
from sim.reference.impact import apply_trade
from sim.registry import Config, Mechanism, VenueSite, Verb
from sim.status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.world import World

OK = int(Status.OK)
SLIPPAGE = int(Status.SLIPPAGE)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
NOT_ALLOWED = int(Status.NOT_ALLOWED)


@columnar
class ExchangeState(NamedTuple):
    """The reference markets; row = venue of this kind."""

    venue: I8  # int64, (n,)


class ExchangeConfig(Config):
    """The reference market; its terms are those of the assets."""

    kind: Literal["reference_market"] = "reference_market"
    chain: str = "exchange"


@kernel
def quote_trade(prices, token_in, token_out, amount):  # type: ignore[no-untyped-def]
    """Return the amount of `token_out` for `amount` of `token_in`.

    Each side trades at its reference mid after half of the trade's own impact, half the spread and
    the taker fee.
    """
    sold, bought = prices.asset[token_in], prices.asset[token_out]
    usd = amount * prices.reference[token_in]
    own = prices.permanent_per_usd[sold] + prices.transient_per_usd[sold]
    own += prices.permanent_per_usd[bought] + prices.transient_per_usd[bought]
    keep = (1.0 - prices.half_spread[sold]) * (1.0 - prices.taker_fee[sold])
    keep *= (1.0 - prices.half_spread[bought]) * (1.0 - prices.taker_fee[bought])
    return usd / prices.reference[token_out] * keep * math.exp(-own * usd / 2.0)


unpack = view_of(ExchangeState, Ledger, Prices)


@handler
def _trade(binding, message):  # type: ignore[no-untyped-def]
    """Sell `amount` of token_in for at least `limit` of token_out."""
    _, ledger, prices = unpack(binding)
    order = order_at(message)
    token_in, token_out = order.token_in, order.token_out
    if token_in < 0 or token_out < 0 or token_in == token_out:
        return NOT_ALLOWED
    if prices.is_listed[token_in] == 0 or prices.is_listed[token_out] == 0:
        return NOT_ALLOWED
    if not 0.0 <= order.amount < math.inf:
        return BAD_AMOUNT
    if order.amount == 0.0:
        return ZERO_AMOUNT
    if slot(ledger, order.group, order.row, token_out) < 0:
        return NOT_ALLOWED
    out = quote_trade(prices, token_in, token_out, order.amount)
    if out < order.limit:
        return SLIPPAGE
    status = transfer(
        ledger, order.group, order.row, OUTSIDE, REFERENCE_MARKET, token_in, order.amount
    )
    if status != OK:
        return status
    transfer(ledger, OUTSIDE, REFERENCE_MARKET, order.group, order.row, token_out, out)
    usd = order.amount * prices.reference[token_in]
    apply_trade(prices, prices.asset[token_in], -usd, order.time)
    apply_trade(prices, prices.asset[token_out], usd, order.time)
    update_prices(prices, order.time)
    order.amount_in, order.amount_out = order.amount, out
    return OK


def make(world: World, sites: Sequence[VenueSite]) -> ExchangeState:
    """Return the reference markets of a world."""
    return ExchangeState(np.array([site.number for site in sites], np.int64))


MECHANISM = Mechanism(
    kind="reference_market",
    config=ExchangeConfig,
    verbs=(Verb("trade", _trade, 21_000),),
    states=unpack.states,
    make=make,
)


def exchange_of(world: World) -> int:
    """Return the venue number of the reference market, -1 where the world has none."""
    state: Any = world.states.get(MECHANISM.kind)
    return int(state.venue[0]) if state is not None and len(state.venue) else -1
