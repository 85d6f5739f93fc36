"""What the mempool does between blocks: expiry, raised bids, eviction of the cheapest."""

from __future__ import annotations

from sim.background import arrive, draw_off, waiting_gas, worst_bid
from sim.kernel import kernel
from sim.mempool import NOBODY, build_heap, raise_bids, step_out
from sim.outcomes import write_legs
from sim.status import Status

EXPIRED = int(Status.EXPIRED)
EVICTED = int(Status.EVICTED)


@kernel(inline=False)
def prepare(box, background, tables, prices, clock):  # type: ignore[no-untyped-def]
    """Bring the mempool of a chain to now, before a block is built."""
    number = clock.chain
    chain = box.chains[number]
    chain.has_paid = 0
    if chain.demand >= 0:
        arrive(background, chain.demand, clock.now)
    if chain.pending > 0:
        drop_expired(box, tables, prices, clock)
        raise_bids(box, number)
    if chain.pool_gas > 0:
        evict(box, background, tables, prices, clock)


@kernel
def drop_expired(box, tables, prices, clock):  # type: ignore[no-untyped-def]
    """Drop the orders that are past their time, wherever in line they stand."""
    chain, heap = box.chains[clock.chain], box.heap[clock.chain]
    kept, n, is_heap = 0, chain.pending, True
    for k in range(n):
        slot = first = heap[k]
        while slot != NOBODY and box.orders[slot].expires < clock.now:
            after = step_out(box, box.orders[slot])
            write_legs(box, tables, prices, clock, slot, EXPIRED)
            slot = after
        if slot == NOBODY:
            continue
        drop_behind(box, tables, prices, clock, slot)
        is_heap = is_heap and kept == k and slot == first
        heap[kept] = slot
        kept += 1
    chain.pending = kept
    if not is_heap:
        build_heap(box, clock.chain)


@kernel
def drop_behind(box, tables, prices, clock, slot):  # type: ignore[no-untyped-def]
    """Drop what is past its time behind an order of the same account."""
    at = slot
    while box.orders[at].follower != NOBODY:
        behind = box.orders[at].follower
        if box.orders[behind].expires >= clock.now:
            at = behind
            continue
        after = box.orders[behind].follower
        if after == NOBODY:  # the last in line
            account = box.first_account[box.orders[at].group] + box.orders[at].row
            box.tail[clock.chain, account] = at
        box.orders[at].follower = after
        box.orders[behind].follower = NOBODY
        write_legs(box, tables, prices, clock, behind, EXPIRED)


# --- a full mempool ------------------------------------------------------------------------------


@kernel
def pooled_gas(box, number):  # type: ignore[no-untyped-def]
    """Return the gas of all orders that wait on a chain, the background apart."""
    total = 0
    for k in range(box.chains[number].pending):
        slot = box.heap[number, k]
        while slot != NOBODY:
            total += box.orders[slot].gas
            slot = box.orders[slot].follower
    return total


@kernel
def cheapest(box, number):  # type: ignore[no-untyped-def]
    """Return the place in the heap of the order that offers least for its gas, or -1.

    Ties: the one that would be executed last.
    """
    worst, heap = -1, box.heap[number]
    for k in range(box.chains[number].pending):
        if worst < 0:
            worst = k
            continue
        order, other = box.orders[heap[k]], box.orders[heap[worst]]
        if order.max_fee < other.max_fee or (
            order.max_fee == other.max_fee
            and (order.arrival, order.tie, order.id) > (other.arrival, other.tie, other.id)
        ):
            worst = k
    return worst


@kernel
def evict(box, background, tables, prices, clock):  # type: ignore[no-untyped-def]
    """Drop the cheapest until the mempool holds no more gas than it may.

    An order takes those behind it along: they could not be executed without it.
    """
    number = clock.chain
    chain = box.chains[number]
    excess = pooled_gas(box, number) - float(chain.pool_gas)
    if chain.demand >= 0:
        excess += waiting_gas(background, chain.demand)
    at, k = cheapest(box, number), 0
    while excess > 0.0:
        k = worst_bid(background, chain.demand, k) if chain.demand >= 0 else -1
        if k < 0 and at < 0:
            return
        if k >= 0 and (
            at < 0 or background.price[0, k] <= box.orders[box.heap[number, at]].max_fee
        ):
            gas = min(background.total[chain.demand, k], excess)
            draw_off(background, chain.demand, k, gas)
            background.demand[chain.demand].dropped += gas
            excess -= gas
            continue
        k, slot = max(k, 0), box.heap[number, at]
        chain.pending -= 1
        box.heap[number, at] = box.heap[number, chain.pending]
        while slot != NOBODY:
            excess -= box.orders[slot].gas
            after = step_out(box, box.orders[slot])
            write_legs(box, tables, prices, clock, slot, EVICTED)
            slot = after
        build_heap(box, number)
        at = cheapest(box, number)
