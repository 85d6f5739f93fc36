"""The engine: events, reactions, and the building of blocks. Names no mechanism and no agent.

`advance` runs compiled over tables of handlers until the next thing that needs Python: a full
record buffer, a Python event, or a fault. The order of a block is `build_block`, on one screen.
"""

from __future__ import annotations

from typing import NamedTuple

from sim.agenda import BLOCK_RANK, PYTHON, Agenda, take
from sim.background import Background, best_bid, draw_off
from sim.chain import BLOCK, CLOCK, next_interval
from sim.fee_market import ESTIMATE_BLOCKS, WAIT
from sim.gas_prices import N_PRICES, SHOWN, count_gas, recent
from sim.kernel import I8, columnar, invoke, kernel, records, row_address, view_of
from sim.ledger import Ledger, can_pay
from sim.mempool import (
    N_BLOCKS,
    N_FILLS,
    N_ORDERS,
    NEXT_FILL,
    SEED,
    Outbox,
    leave,
    pop,
    push,
    release,
)
from sim.orders import CHAINED, FLASH, ORDER
from sim.outcomes import (
    pay_background,
    pay_gas,
    return_gas,
    write_fill,
    write_legs,
)
from sim.pool_rules import prepare
from sim.prices import Prices, update_prices
from sim.status import Status
from sim.venues import Venues

OK = int(Status.OK)
UNPAID = int(Status.UNPAID)
HALTED = int(Status.HALTED)
LEG_FAILED = int(Status.LEG_FAILED)
FAULT = int(Status.FAULT)
NOT_ALLOWED = int(Status.NOT_ALLOWED)

DONE, FLUSH, CALL_PYTHON, FAULTED, PAUSE = range(5)  # why `advance` returned
LEAST_GAS = 21_000  # gas of the cheapest transaction


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


everything = view_of(Outbox, Tables, Agenda, Ledger, Prices, Venues, Background)


@kernel
def next_chain(chains):  # type: ignore[no-untyped-def]
    """Return the chain whose block is next; ties go to the lower number; -1: none."""
    first = -1
    for k in range(chains.shape[0]):
        if chains[k].is_halted == 0 and (first < 0 or chains[k].next < chains[first].next):
            first = k
    return first


@kernel
def is_swap(venues, order):  # type: ignore[no-untyped-def]
    """Return whether an order is the swap of a pool: its tokens are known before it is executed."""
    return order.verb == venues.first_verb[order.venue] and venues.token0[order.venue] >= 0


@kernel
def book_swap(venues, prices, order):  # type: ignore[no-untyped-def]
    """Add a swap to its pool's volume, fees and loss versus rebalancing, USD.

    Loss versus rebalancing is what the pool gave less what it got, fees apart, at the reference
    price of the block (Milionis et al. 2022, discrete form).
    """
    venue = order.venue
    if (
        not is_swap(venues, order)
        or prices.is_listed[order.token_in] == 0
        or prices.is_listed[order.token_out] == 0
    ):
        return
    fee = order.value_in * order.fee_paid / order.amount_in
    venues.volume[venue] += order.value_in
    venues.fees[venue] += fee
    venues.lvr[venue] += order.value_out - (order.value_in - fee)


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
    one by one does. A chained leg spends what the leg before it gives: of two swaps, the second has
    to sell what the first buys. A flash leg is paid from what the order borrows before it.
    """
    slot, given, token = head.slot, 0.0, -1
    while slot >= 0:
        order = box.orders[slot]
        order.time = now
        if venues.is_halted[order.venue] != 0 or tables.quote[order.verb] == 0:
            return HALTED
        if order.flag_bits & CHAINED:
            if token >= 0 and is_swap(venues, order) and order.token_in != token:
                return NOT_ALLOWED
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
        given, token = order.amount_out, order.token_out if is_swap(venues, order) else -1
        slot = order.next_leg
    return OK


@kernel
def execute_legs(box, tables, prices, venues, head, clock):  # type: ignore[no-untyped-def]
    """Execute the legs of an order and write their fills; returns the gas left over, or FAULT.

    The slab row of the head is kept; those of the legs behind it are given back.
    """
    slot, left = head.slot, 0
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
        left += order.gas_left
        write_fill(box, tables, prices, order)
        if order.status == OK:
            book_swap(venues, prices, order)
        slot = order.next_leg
        if order.slot != head.slot:
            release(box, order.slot)
    return left


@kernel
def execute_order(box, tables, ledger, prices, venues, head, clock):  # type: ignore[no-untyped-def]
    """Execute one order that has paid its gas, all legs or none; returns FAULT or OK.

    Gas that it did not use is paid back: all of it where the chain leaves failing orders out.
    """
    chain, fill, status = box.chains[head.chain], box.counter[N_FILLS], OK
    if head.next_leg >= 0:
        status = quote_legs(box, tables, ledger, venues, head, clock.now)
    if status != OK:
        write_failed(box, tables, ledger, prices, head, clock)
        return OK
    left = execute_legs(box, tables, prices, venues, head, clock)
    if left == FAULT:
        return FAULT
    is_left_out = head.status != OK and chain.is_protected != 0
    return_gas(box, ledger, head, head.gas if is_left_out else left)
    chain.n_failed += head.status != OK and not is_left_out
    tables.fills[fill].gas, tables.fills[fill].gas_paid = head.gas, head.gas_paid
    release(box, head.slot)
    return OK


@kernel
def write_failed(box, tables, ledger, prices, head, clock):  # type: ignore[no-untyped-def]
    """Write an order of several legs of which one would fail."""
    chain, spare, slot = box.chains[head.chain], 0, head.slot
    while slot >= 0:
        spare += box.orders[slot].gas_left
        slot = box.orders[slot].next_leg
    return_gas(box, ledger, head, head.gas if chain.is_protected != 0 else spare)
    chain.n_failed += chain.is_protected == 0
    write_legs(box, tables, prices, clock, head.slot, LEG_FAILED)


@kernel
def include(box, tables, ledger, prices, venues, slot, clock):  # type: ignore[no-untyped-def]
    """Take one order into the block; returns the gas it uses, or FAULT."""
    order, chain = box.orders[slot], box.chains[clock.chain]
    order.time, order.height = clock.now, clock.height
    leave(box, order)
    if pay_gas(box, ledger, order) != OK:
        write_legs(box, tables, prices, clock, slot, UNPAID)
        return 0
    order.place, price = chain.n_included, order.gas_price
    if execute_order(box, tables, ledger, prices, venues, order, clock) == FAULT:
        return FAULT
    gas = order.gas  # the slab row is free, and still as it was
    if gas > 0:
        chain.n_included += 1
    if gas > 0 and chain.native >= 0:
        count_gas(box, clock.chain, float(gas), price)
    return gas


@kernel
def offer_background(background, chain, address, below):  # type: ignore[no-untyped-def]
    """Return the best bucket of background bids that may enter, below one, or -1.

    Its key and price stand in the scratch order then.
    """
    if chain.demand < 0:
        return -1
    k = best_bid(background, chain.demand, below)
    if k < 0:
        return -1
    order, demand = background.order[0], background.demand[chain.demand]
    order.max_fee, order.tip = background.price[0, k], 0.0
    if chain.is_base_fee != 0:
        order.tip = min(demand.tip, max(order.max_fee - chain.base_fee, 0.0))
    message = row_address(background.order, 0)
    if invoke(chain.charge, address, message) == WAIT:
        return -1
    invoke(chain.bid, address, message)
    if chain.is_first_come != 0:
        order.key = -float(chain.last)
    return k


@kernel
def include_background(box, background, chain, clock, k, room):  # type: ignore[no-untyped-def]
    """Take gas of one background bid into the block; returns how much."""
    demand, price = background.demand[chain.demand], background.order[0].gas_price
    gas = min(background.total[chain.demand, k], room)
    draw_off(background, chain.demand, k, gas)
    demand.included += gas
    demand.fees += gas * price
    count_gas(box, clock.chain, gas, price)
    return gas


@kernel
def close_block(box, background, ledger, clock, gas, others):  # type: ignore[no-untyped-def]
    """Settle the background's fees and let the fee market see the block."""
    chain = box.chains[clock.chain]
    if chain.demand >= 0:
        demand = background.demand[chain.demand]
        pay_background(box, ledger, clock.chain, others, demand.fees)
        demand.fees = 0.0
    chain.background_gas = int(others + 0.5)
    chain.gas_used = gas + chain.background_gas
    address = row_address(box.chains, clock.chain)
    if chain.demand >= 0:
        chain.p60 = recent(box, clock.chain, ESTIMATE_BLOCKS, SHOWN)
    invoke(chain.close, address, address)
    chain.p60 = recent(box, clock.chain, 1, SHOWN) if chain.has_paid != 0 else 0.0
    chain.last = clock.now


@kernel
def build_block(box, tables, ledger, prices, venues, background, clock):  # type: ignore[no-untyped-def]
    """Execute the mempool of a chain in its order, up to the gas limit.

    Background bids go between the orders; at equal bids the orders go first.
    """
    number = clock.chain
    chain, address = box.chains[number], row_address(box.chains, number)
    chain.n_included = chain.n_failed = 0
    gas, others, kept, shelf = 0, 0.0, 0, box.heap.shape[1] - 1
    prepare(box, background, tables, prices, clock)
    k = offer_background(background, chain, address, N_PRICES)
    while gas + others + LEAST_GAS <= chain.gas_limit:
        if k >= 0 and (
            chain.pending == 0 or background.order[0].key > box.orders[box.heap[number, 0]].key
        ):
            room = chain.gas_limit - gas - others
            others += include_background(box, background, chain, clock, k, room)
            k = offer_background(background, chain, address, k)
            continue
        if chain.pending == 0:
            break
        slot = pop(box, number)
        order = box.orders[slot]
        if (
            order.arrival > clock.now
            or gas + others + order.gas > chain.gas_limit
            or invoke(chain.charge, address, row_address(box.orders, slot)) == WAIT
        ):
            box.heap[number, shelf - kept] = slot  # waits on the far end of the heap
            kept += 1
            continue
        used = include(box, tables, ledger, prices, venues, slot, clock)
        if used == FAULT:
            return FAULT
        gas += used
    for n in range(kept):
        push(box, number, box.heap[number, shelf - n])
    close_block(box, background, ledger, clock, gas, others)
    return OK


@kernel
def write_block(box, tables, clock):  # type: ignore[no-untyped-def]
    """Write the block just built to the block buffer and set the chain's next one."""
    chain = box.chains[clock.chain]
    block = tables.blocks[box.counter[N_BLOCKS]]
    block.time, block.height, block.chain = clock.now, chain.height, clock.chain
    block.gas_used, block.pending, block.base_fee = chain.gas_used, chain.pending, chain.base_fee
    block.background_gas, block.p60 = chain.background_gas, chain.p60
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
def run_block(box, tables, ledger, prices, venues, background, clock, number):  # type: ignore[no-untyped-def]
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
    if build_block(box, tables, ledger, prices, venues, background, clock) == FAULT:
        return FAULT
    write_block(box, tables, clock)
    return OK


@kernel(inline=False)
def advance(until, budget, binding):  # type: ignore[no-untyped-def]
    """Run events and blocks up to and including tick `until`; returns why it stopped."""
    box, tables, agenda, ledger, prices, venues, background = everything(binding)
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
            status = run_block(box, tables, ledger, prices, venues, background, clock, number)
        else:
            clock.now = until
            return DONE
        if status != OK:
            return FAULTED
    return PAUSE
