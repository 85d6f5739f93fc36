"""What becomes of orders: fills written, gas paid and given back."""

from __future__ import annotations

from sim.kernel import kernel
from sim.ledger import can_pay, transfer
from sim.mempool import N_FILLS, NEXT_FILL, release
from sim.outside import BACKGROUND, BASE_FEES, OUTSIDE, VALIDATORS
from sim.status import Status

OK = int(Status.OK)
UNPAID = int(Status.UNPAID)


@kernel
def write_fill(box, tables, prices, order):  # type: ignore[no-untyped-def]
    """Write an order's outcome to the fill buffer, valued at the reference price of now."""
    if order.token_in >= 0:
        order.value_in = order.amount_in * prices.reference[order.token_in]
    if order.token_out >= 0:
        order.value_out = order.amount_out * prices.reference[order.token_out]
    order.fill_id = box.counter[NEXT_FILL]
    box.counter[NEXT_FILL] += 1
    tables.fills[box.counter[N_FILLS]] = order
    box.counter[N_FILLS] += 1


@kernel
def write_legs(box, tables, prices, clock, slot, status):  # type: ignore[no-untyped-def]
    """Write every leg of an order that did not execute, and give its slab rows back."""
    while slot >= 0:
        order = box.orders[slot]
        order.status = status
        order.time, order.height = clock.now, clock.height
        order.amount_in = order.amount_out = order.fee_paid = 0.0
        write_fill(box, tables, prices, order)
        after = order.next_leg
        release(box, slot)
        slot = after


@kernel
def split(chain, gas, cost):  # type: ignore[no-untyped-def]
    """Return the part of a fee that is burned."""
    return min(gas * chain.base_fee, cost) if chain.is_base_fee != 0 else 0.0


@kernel
def pay_gas(box, ledger, order):  # type: ignore[no-untyped-def]
    """Charge the declared gas of an order; OK or UNPAID. Base fee and tip go outside."""
    chain = box.chains[order.chain]
    cost = order.gas * order.gas_price
    if cost == 0.0 or chain.native < 0:
        return OK
    if can_pay(ledger, order.group, order.row, chain.native, cost) != OK:
        return UNPAID
    base = split(chain, order.gas, cost)
    transfer(ledger, order.group, order.row, OUTSIDE, BASE_FEES, chain.native, base)
    transfer(ledger, order.group, order.row, OUTSIDE, VALIDATORS, chain.native, cost - base)
    chain.burned += base
    chain.tips += cost - base
    order.gas_paid = cost
    return OK


@kernel
def return_gas(box, ledger, order, gas):  # type: ignore[no-untyped-def]
    """Give back what was charged for gas that an order did not use."""
    chain = box.chains[order.chain]
    order.gas -= gas
    cost = gas * order.gas_price
    if gas == 0 or cost == 0.0 or chain.native < 0:
        return
    base = split(chain, gas, cost)
    transfer(ledger, OUTSIDE, BASE_FEES, order.group, order.row, chain.native, base)
    transfer(ledger, OUTSIDE, VALIDATORS, order.group, order.row, chain.native, cost - base)
    chain.burned -= base
    chain.tips -= cost - base
    order.gas_paid = order.gas * order.gas_price


@kernel
def pay_background(box, ledger, number, gas, cost):  # type: ignore[no-untyped-def]
    """Charge the background users of a block."""
    chain = box.chains[number]
    if cost == 0.0 or chain.native < 0:
        return
    base = split(chain, gas, cost)
    transfer(ledger, OUTSIDE, BACKGROUND, OUTSIDE, BASE_FEES, chain.native, base)
    transfer(ledger, OUTSIDE, BACKGROUND, OUTSIDE, VALIDATORS, chain.native, cost - base)
    chain.burned += base
    chain.tips += cost - base
