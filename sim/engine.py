"""The engine: events, reactions, and the building of blocks. Names no mechanism and no agent.

`advance` runs compiled over tables of handlers until the next thing that needs Python: a full
record buffer, a Python event, or a fault. The order of a block is `build_block`, on one screen.
"""

from __future__ import annotations

from typing import NamedTuple

from sim.agenda import BLOCK_RANK, PYTHON, Agenda, take
from sim.chain import BLOCK, CLOCK, next_interval
from sim.fee_market import WAIT
from sim.kernel import I8, columnar, invoke, kernel, records, row_address, view_of
from sim.ledger import Ledger, can_pay, transfer
from sim.mempool import (
    N_BLOCKS,
    N_FILLS,
    N_ORDERS,
    NEXT_FILL,
    SEED,
    Outbox,
    pop,
    push,
    release,
)
from sim.orders import CHAINED, FLASH, ORDER
from sim.prices import Prices, update_prices
from sim.status import Status
from sim.venues import Venues

OK = int(Status.OK)
EXPIRED = int(Status.EXPIRED)
UNPAID = int(Status.UNPAID)
HALTED = int(Status.HALTED)
LEG_FAILED = int(Status.LEG_FAILED)
FAULT = int(Status.FAULT)
INSUFFICIENT_FUNDS = int(Status.INSUFFICIENT_FUNDS)

DONE, FLUSH, CALL_PYTHON, FAULTED, PAUSE = range(5)  # why `advance` returned
LEAST_GAS = 21_000  # gas of the cheapest transaction

# Rows of the outside group of accounts.
REFERENCE_MARKET, VALIDATORS, BASE_FEES, BACKGROUND, INSURER, GENESIS = range(6)
OUTSIDE_ACCOUNTS = (
    "reference_market",
    "validators",
    "base_fees",
    "background_users",
    "insurer",
    "genesis",
)
OUTSIDE = 0  # the outside world is always the first account group


@columnar
class Tables(NamedTuple):
    """What the engine calls, and where it writes what happened."""

    execute: I8  # int64, (n_verbs,), handler address
    quote: I8  # int64, (n_verbs,), handler address, 0: cannot be a leg
    verb_binding: I8  # int64, (n_verbs,)
    react: I8  # int64, (n_reactions,), handler address
    react_binding: I8  # int64, (n_reactions,)
    react_chain: I8  # int64, (n_reactions,), -1: every chain
    react_is_on: I8  # int64, (n_reactions,)
    on_event: I8  # int64, (n_event_kinds,), handler address
    event_binding: I8  # int64, (n_event_kinds,)
    clock: records(CLOCK)  # type: ignore[valid-type]  # (1,)
    fills: records(ORDER)  # type: ignore[valid-type]  # (capacity,)
    blocks: records(BLOCK)  # type: ignore[valid-type]  # (capacity,)


everything = view_of(Outbox, Tables, Agenda, Ledger, Prices, Venues)


@kernel
def next_chain(chains):  # type: ignore[no-untyped-def]
    """Return the chain whose block is next; ties go to the lower number; -1: none."""
    first = -1
    for k in range(chains.shape[0]):
        if chains[k].is_halted == 0 and (first < 0 or chains[k].next < chains[first].next):
            first = k
    return first


@kernel
def book_swap(venues, prices, order):  # type: ignore[no-untyped-def]
    """Add a swap to its pool's volume, fees and loss versus rebalancing, USD.

    Loss versus rebalancing is what the pool gave less what it got, fees apart, at the reference
    price of the block (Milionis et al. 2022, discrete form).
    """
    venue = order.venue
    if (
        order.verb != venues.first_verb[venue]
        or venues.token0[venue] < 0
        or prices.is_listed[order.token_in] == 0
        or prices.is_listed[order.token_out] == 0
    ):
        return
    fee = order.value_in * order.fee_paid / order.amount_in
    venues.volume[venue] += order.value_in
    venues.fees[venue] += fee
    venues.lvr[venue] += order.value_out - (order.value_in - fee)


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
def pay_gas(box, ledger, order):  # type: ignore[no-untyped-def]
    """Charge the gas of an order; OK or UNPAID. The base fee and the tip go outside."""
    chain = box.chains[order.chain]
    cost = order.gas * order.gas_price
    if cost == 0.0 or chain.native < 0:
        return OK
    if can_pay(ledger, order.group, order.row, chain.native, cost) != OK:
        return UNPAID
    base = min(order.gas * chain.base_fee, cost)
    transfer(ledger, order.group, order.row, OUTSIDE, BASE_FEES, chain.native, base)
    transfer(ledger, order.group, order.row, OUTSIDE, VALIDATORS, chain.native, cost - base)
    chain.burned += base
    chain.tips += cost - base
    order.gas_paid = cost
    return OK


@kernel
def owed_before(box, head, slot, token):  # type: ignore[no-untyped-def]
    """Return what the legs before a slab row pay of a token from the sender's own pocket."""
    at, total = head.slot, 0.0
    while at != slot:
        leg = box.orders[at]
        if leg.flag_bits & (CHAINED | FLASH) == 0 and leg.token_in == token:
            total += leg.amount_in
        at = leg.next_leg
    return total


@kernel
def quote_legs(box, tables, ledger, venues, head, now):  # type: ignore[no-untyped-def]
    """Ask every leg of a composite order, in order, what it would do; OK or the first refusal.

    Legs touch pairwise different venues, so that asking them one by one says what executing them
    one by one does. A chained leg spends what the leg before it gives; a flash leg is paid from
    what the order borrows before it.
    """
    slot, given = head.slot, 0.0
    while slot >= 0:
        order = box.orders[slot]
        order.time = now
        if venues.is_halted[order.venue] != 0 or tables.quote[order.verb] == 0:
            return HALTED
        if order.flag_bits & CHAINED:
            order.amount = given
        status = invoke(
            tables.quote[order.verb],
            tables.verb_binding[order.verb],
            row_address(box.orders, slot),
        )
        if status == OK and order.flag_bits & (CHAINED | FLASH) == 0:
            needed = owed_before(box, head, slot, order.token_in) + order.amount_in
            status = can_pay(ledger, order.group, order.row, order.token_in, needed)
        if status != OK:
            return status
        given = order.amount_out
        slot = order.next_leg
    return OK


@kernel
def execute_order(box, tables, ledger, prices, venues, head, clock):  # type: ignore[no-untyped-def]
    """Execute one order, all legs or none, and write its fills; returns FAULT or OK."""
    status = OK
    if head.next_leg >= 0:
        status = quote_legs(box, tables, ledger, venues, head, clock.now)
        if status != OK:
            box.chains[head.chain].n_failed += 1
            write_legs(box, tables, prices, clock, head.slot, LEG_FAILED)
            return OK
    slot = head.slot
    while slot >= 0:
        order = box.orders[slot]
        order.time, order.height, order.place = clock.now, clock.height, head.place
        if venues.is_halted[order.venue] != 0:
            order.status = HALTED
        else:
            order.fill_id = box.counter[NEXT_FILL]
            order.status = invoke(
                tables.execute[order.verb],
                tables.verb_binding[order.verb],
                row_address(box.orders, slot),
            )
        if order.status == FAULT or (order.status != OK and head.next_leg >= 0):
            return FAULT
        if order.status == OK:
            venues.last_fill[order.venue] = order.fill_id
        else:
            order.amount_in = order.amount_out = order.fee_paid = 0.0
            box.chains[order.chain].n_failed += 1
        write_fill(box, tables, prices, order)
        if order.status == OK:
            book_swap(venues, prices, order)
        after = order.next_leg
        release(box, slot)
        slot = after
    return OK


@kernel
def build_block(box, tables, ledger, prices, venues, clock):  # type: ignore[no-untyped-def]
    """Execute the mempool of a chain in its order, up to the gas limit."""
    number = clock.chain
    chain = box.chains[number]
    address = row_address(box.chains, number)
    chain.n_included = chain.n_failed = 0
    gas, kept, shelf = 0, 0, box.heap.shape[1] - 1
    while chain.pending > 0 and gas + LEAST_GAS <= chain.gas_limit:
        slot = pop(box, number)
        order = box.orders[slot]
        if order.expires < clock.now:
            write_legs(box, tables, prices, clock, slot, EXPIRED)
            continue
        if (
            order.arrival > clock.now
            or gas + order.gas > chain.gas_limit
            or invoke(chain.charge, address, row_address(box.orders, slot)) == WAIT
        ):
            box.heap[number, shelf - kept] = slot  # waits on the far end of the heap
            kept += 1
            continue
        order.time, order.height = clock.now, clock.height
        if pay_gas(box, ledger, order) != OK:
            write_legs(box, tables, prices, clock, slot, UNPAID)
            continue
        order.place = chain.n_included
        chain.n_included += 1
        gas += order.gas
        if execute_order(box, tables, ledger, prices, venues, order, clock) == FAULT:
            return FAULT
    for k in range(kept):
        push(box, number, box.heap[number, shelf - k])
    chain.gas_used = gas
    invoke(chain.close, address, address)
    return OK


@kernel
def write_block(box, tables, clock):  # type: ignore[no-untyped-def]
    """Write the block just built to the block buffer and set the chain's next one."""
    chain = box.chains[clock.chain]
    block = tables.blocks[box.counter[N_BLOCKS]]
    block.time, block.height, block.chain = clock.now, chain.height, clock.chain
    block.gas_used, block.pending, block.base_fee = chain.gas_used, chain.pending, chain.base_fee
    block.n_included, block.n_failed = chain.n_included, chain.n_failed
    box.counter[N_BLOCKS] += 1
    box.counter[N_ORDERS] += chain.n_included
    chain.height += 1
    chain.next += next_interval(chain, box.counter[SEED])


@kernel
def run_event(tables, agenda, clock):  # type: ignore[no-untyped-def]
    """Run the next event; OK, PYTHON when its body is Python, or FAULT."""
    event = take(agenda)
    clock.now = event.time
    if event.handler == PYTHON:
        return CALL_PYTHON
    return invoke(
        tables.on_event[event.handler],
        tables.event_binding[event.handler],
        row_address(agenda.events, agenda.events.shape[0] - 2),
    )


@kernel
def run_block(box, tables, ledger, prices, venues, clock, number):  # type: ignore[no-untyped-def]
    """Update prices, let everyone react, build the block, record it; OK or FAULT."""
    chain = box.chains[number]
    clock.now, clock.chain, clock.height = chain.next, number, chain.height
    update_prices(prices, clock.now)
    for k in range(tables.react.shape[0]):
        at = tables.react_chain[k]
        if tables.react_is_on[k] != 0 and (at == number or at < 0):
            status = invoke(tables.react[k], tables.react_binding[k], tables.clock.ctypes.data)
            if status != OK:
                return FAULT
    if build_block(box, tables, ledger, prices, venues, clock) == FAULT:
        return FAULT
    write_block(box, tables, clock)
    return OK


@kernel(inline=False)
def advance(until, budget, binding):  # type: ignore[no-untyped-def]
    """Run events and blocks up to and including tick `until`; returns why it stopped."""
    box, tables, agenda, ledger, prices, venues = everything(binding)
    clock = tables.clock[0]
    for _ in range(budget):
        room = tables.fills.shape[0] - box.counter[N_FILLS]
        if room < box.orders.shape[0] or box.counter[N_BLOCKS] == tables.blocks.shape[0]:
            return FLUSH
        number = next_chain(box.chains)
        has_block = number >= 0 and box.chains[number].next <= until
        has_event = agenda.size[0] > 0 and agenda.events[0].time <= until
        if has_event and has_block:
            event, at = agenda.events[0], box.chains[number].next
            is_first = event.time < at or (event.time == at and event.rank < BLOCK_RANK)
            has_event, has_block = is_first, not is_first
        if has_event:
            status = run_event(tables, agenda, clock)
            if status == CALL_PYTHON:
                return CALL_PYTHON
        elif has_block:
            status = run_block(box, tables, ledger, prices, venues, clock, number)
        else:
            clock.now = until
            return DONE
        if status != OK:
            return FAULTED
    return PAUSE
