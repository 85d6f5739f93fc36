"""Fee markets: what an order bids, what it pays, and how the base fee moves.

A fee market is three handlers over `(chain record, order record)`:

* `bid` sets `order.key`, by which the mempool sorts, once, at submission;
* `charge` sets `order.gas_price` and says whether the order may enter this block (OK or WAIT);
* `close` updates the chain after a block (the message is the chain itself, whose `p60` is that of
  the last 16 blocks then).

Background demand is priced by the same handlers, as an order whose `max_fee` is its bid.

Under first price nothing is burned and `base_fee` is the going price: what 60 % of the gas of the
last 16 blocks paid at most, as wallets' estimates are. Without background demand it
stands still, lest the agents chase their own bids.
"""

from __future__ import annotations

from typing import NamedTuple

from sim.chain import chain_at
from sim.kernel import Handler, handler
from sim.orders import order_at
from sim.status import OK

WAIT = 1
ESTIMATE_BLOCKS = 16  # of the going price: some three minutes of 13 s blocks


class FeeMarket(NamedTuple):
    """One rule for block space; its name is what scenarios write."""

    name: str
    bid: Handler
    charge: Handler
    close: Handler
    is_base_fee: bool  # the base fee is a fee that is burned, not only the going price
    headroom: float  # plain bid over the base fee


@handler
def _bid_tip(binding, message):  # type: ignore[no-untyped-def]
    order = order_at(message)
    order.key = order.tip
    return OK


@handler
def _charge_eip1559(binding, message):  # type: ignore[no-untyped-def]
    chain = chain_at(binding)
    order = order_at(message)
    if order.max_fee < chain.base_fee + order.tip:
        return WAIT
    order.gas_price = chain.base_fee + order.tip
    return OK


@handler
def _close_eip1559(binding, message):  # type: ignore[no-untyped-def]
    """EIP-1559: base fee x (1 + (used - target) / target / 8)."""
    chain = chain_at(binding)
    change = 1.0 + (chain.gas_used - chain.target) / chain.target / 8.0
    chain.base_fee = max(chain.base_fee * change, chain.base_fee_floor)
    return OK


@handler
def _bid_price(binding, message):  # type: ignore[no-untyped-def]
    order = order_at(message)
    order.key = order.max_fee
    return OK


@handler
def _charge_first_price(binding, message):  # type: ignore[no-untyped-def]
    order = order_at(message)
    order.gas_price = order.max_fee
    return OK


@handler
def _close_first_price(binding, message):  # type: ignore[no-untyped-def]
    chain = chain_at(binding)
    if chain.background_gas > 0 and chain.p60 > 0.0:
        chain.base_fee = max(chain.p60, chain.base_fee_floor)
    return OK


EIP1559 = FeeMarket("eip1559", _bid_tip, _charge_eip1559, _close_eip1559, True, 2.0)
FIRST_PRICE = FeeMarket(
    "first_price", _bid_price, _charge_first_price, _close_first_price, False, 1.0
)
FEE_MARKETS = {rule.name: rule for rule in (EIP1559, FIRST_PRICE)}
