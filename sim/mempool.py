"""The mempool: a slab of orders shared by all chains, and a heap of waiting orders a chain.

Order of execution: bid (high first), arrival (early first), a keyed hash, order number. Never the
row number of an agent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.chain import CHAIN
from sim.draws import philox
from sim.kernel import I8, I8x2, blank, columnar, invoke, kernel, records, row_address
from sim.orders import ORDER, REFUSED

# Entries of Outbox.counter.
N_FREE, NEXT_ORDER, N_FILLS, NEXT_FILL, N_REFUSED, SEED, N_BLOCKS, N_ORDERS = range(8)


@columnar
class Outbox(NamedTuple):
    """Where behaviours put orders. The last slab row is a sink for orders that find no room."""

    orders: records(ORDER)  # type: ignore[valid-type]  # (capacity + 1,)
    free: I8  # int64, (capacity,), stack of free slab rows
    counter: I8  # int64, (8,), see N_FREE …
    heap: I8x2  # int64, (n_chains, capacity)
    chains: records(CHAIN)  # type: ignore[valid-type]  # (n_chains,)


def make_outbox(chains: np.ndarray, capacity: int, seed: int) -> Outbox:
    """Return an empty mempool for the given chains."""
    counter = np.zeros(8, np.int64)
    counter[N_FREE], counter[NEXT_ORDER], counter[NEXT_FILL], counter[SEED] = capacity, 1, 1, seed
    return Outbox(
        orders=blank(capacity + 1, ORDER),
        free=np.arange(capacity, dtype=np.int64),
        counter=counter,
        heap=np.zeros((len(chains), capacity), np.int64),
        chains=chains,
    )


@kernel
def claim(box):  # type: ignore[no-untyped-def]
    """Return a cleared order: a free slab row, or the sink when the slab is full."""
    n = box.counter[N_FREE]
    if n == 0:
        slot = box.orders.shape[0] - 1
    else:
        slot = box.free[n - 1]
        box.counter[N_FREE] = n - 1
    order = box.orders[slot]
    order.slot = slot
    order.next_leg = -1
    order.tip = order.max_fee = order.amount = order.amount1 = order.limit = 0.0
    order.price_limit = order.amount_in = order.amount_out = order.fee_paid = 0.0
    order.value_in = order.value_out = order.price_after = order.gas_paid = order.gas_price = 0.0
    order.x = order.y = 0.0
    order.parent = order.a = order.b = order.time = order.height = order.fill_id = 0
    order.status = order.place = order.leg = order.flag_bits = 0
    order.token_in = order.token_out = -1
    return order


@kernel
def release(box, slot):  # type: ignore[no-untyped-def]
    """Give a slab row back."""
    if slot < box.orders.shape[0] - 1:
        box.free[box.counter[N_FREE]] = slot
        box.counter[N_FREE] += 1


@kernel
def join(box, head, leg):  # type: ignore[no-untyped-def]
    """Append a leg to a composite order that has not been posted; its gas joins the head's.

    A leg that found no room marks the whole order, which `post` then refuses.
    """
    sink = box.orders.shape[0] - 1
    if head.slot == sink or leg.slot == sink:
        head.flag_bits |= REFUSED
        release(box, leg.slot)
        return
    last = head.slot
    while box.orders[last].next_leg >= 0:
        last = box.orders[last].next_leg
    box.orders[last].next_leg = leg.slot
    leg.leg = box.orders[last].leg + 1
    head.gas += leg.gas


@kernel
def post(box, order):  # type: ignore[no-untyped-def]
    """Put an order in its chain's mempool; returns its number, or -1 when there is no room."""
    sink = box.orders.shape[0] - 1
    if order.slot == sink or (order.flag_bits & REFUSED) != 0:
        at = order.slot
        while at >= 0:
            after = box.orders[at].next_leg
            box.orders[at].next_leg = -1
            release(box, at)
            at = after
        box.counter[N_REFUSED] += 1
        return -1
    chain = box.chains[order.chain]
    number = box.counter[NEXT_ORDER]
    box.counter[NEXT_ORDER] = number + 1
    seed = box.counter[SEED]
    words = philox(order.row, chain.height, order.group, order.chain, seed & 0xFFFFFFFF, seed >> 32)
    order.tie = words[0]
    at = order.slot
    while at >= 0:
        box.orders[at].id = number
        at = box.orders[at].next_leg
    invoke(chain.bid, row_address(box.chains, order.chain), row_address(box.orders, order.slot))
    push(box, order.chain, order.slot)
    return number


@kernel
def goes_before(orders, a, b):  # type: ignore[no-untyped-def]
    """Return whether slab row a is executed before slab row b."""
    x, y = orders[a], orders[b]
    if x.key != y.key:
        return x.key > y.key
    if x.arrival != y.arrival:
        return x.arrival < y.arrival
    if x.tie != y.tie:
        return x.tie < y.tie
    return x.id < y.id


@kernel
def push(box, chain, slot):  # type: ignore[no-untyped-def]
    """Add a slab row to a chain's heap."""
    heap = box.heap[chain]
    at = box.chains[chain].pending
    box.chains[chain].pending = at + 1
    while at > 0:
        parent = (at - 1) >> 1
        if not goes_before(box.orders, slot, heap[parent]):
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = slot


@kernel
def pop(box, chain):  # type: ignore[no-untyped-def]
    """Remove and return the slab row that goes first on a chain."""
    heap = box.heap[chain]
    n = box.chains[chain].pending - 1
    box.chains[chain].pending = n
    first, moved, at = heap[0], heap[n], 0
    while True:
        child = 2 * at + 1
        if child >= n:
            break
        if child + 1 < n and goes_before(box.orders, heap[child + 1], heap[child]):
            child += 1
        if not goes_before(box.orders, heap[child], moved):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = moved
    return first
