"""The mempool: a slab of orders shared by all chains, and a heap of waiting orders a chain.

Order of execution: bid (high first; on a chain that takes orders as they come all bids are equal),
arrival (early first), a keyed hash, order number. Never the row number of an agent.

Where accounts keep the order of their submissions, the heap holds the first waiting order of each
account, and the others stand in line behind it: one that is stuck holds them up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sim.bids import POLICY, apply_policy, raise_due
from sim.chain import CHAIN
from sim.draws import philox
from sim.gas_prices import HISTORY, N_PRICES
from sim.kernel import I8, F8x2, I8x2, blank, columnar, invoke, kernel, records, row_address
from sim.orders import ORDER, REFUSED
from sim.status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

OK = int(Status.OK)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
NOBODY = -1
FORCED = 2.0**50  # above any bid; less the arrival it sorts exactly
_ROUNDING = 1.0 - 1e-12  # of a raise by just the least step

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
    tail: I8x2  # int64, (n_chains, n_accounts), last waiting order of an account, -1 = none
    first_account: I8  # int64, (n_groups,), number of the account of row 0 of a group
    policies: records(POLICY)  # type: ignore[valid-type]  # (n_groups,), how they bid
    estimate: F8x2  # float64, (n_chains, n_groups), native per gas, what a policy estimated
    estimated_at: I8x2  # int64, (n_chains, n_groups), tick
    paid: F8x2  # float64, (n_chains * HISTORY, N_PRICES), gas paid by price, running totals


def make_outbox(
    chains: np.ndarray, capacity: int, seed: int, group_rows: Sequence[int] = ()
) -> Outbox:
    """Return an empty mempool for the given chains.

    Parameters
    ----------
    chains : CHAIN records
    capacity : orders that can wait on all chains together
    seed : of the hashes that break ties
    group_rows : accounts of each group
    """
    chains["low_price"], chains["high_price"] = N_PRICES, -1
    n_chains, n_groups = len(chains), len(group_rows)
    keeps_order = bool((chains["has_nonces"] != 0).any())
    n_accounts = sum(group_rows) if keeps_order else 0
    counter = np.zeros(8, np.int64)
    counter[N_FREE], counter[NEXT_ORDER], counter[NEXT_FILL], counter[SEED] = capacity, 1, 1, seed
    return Outbox(
        orders=blank(capacity + 1, ORDER),
        free=np.arange(capacity, dtype=np.int64),
        counter=counter,
        heap=np.zeros((n_chains, capacity), np.int64),
        chains=chains,
        tail=np.full((n_chains, n_accounts), NOBODY, np.int64),
        first_account=np.cumsum([0, *group_rows], dtype=np.int64)[:n_groups],
        policies=blank(n_groups, POLICY),
        estimate=np.zeros((n_chains, n_groups)),
        estimated_at=np.zeros((n_chains, n_groups), np.int64),
        paid=np.zeros((n_chains * HISTORY, N_PRICES)),
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
    order.x = order.y = order.first_bid = 0.0
    order.gas_left, order.follower, order.rebid_at = 0, NOBODY, NOBODY
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
    if order.group < box.policies.shape[0]:
        apply_policy(box, order, seed)
    if chain.lifetime > 0:
        order.expires = min(order.expires, order.arrival + chain.lifetime)
    set_key(box, order)
    enqueue(box, order)
    return number


@kernel
def set_key(box, order):  # type: ignore[no-untyped-def]
    """Set what an order is sorted by: its bid, unless the chain takes orders as they come."""
    chain = box.chains[order.chain]
    if order.arrival < chain.forced_before:
        order.key = FORCED - order.arrival
    elif chain.is_first_come != 0:
        order.key = -float(order.arrival)
    else:
        invoke(chain.bid, row_address(box.chains, order.chain), row_address(box.orders, order.slot))


# --- the queue of an account ---------------------------------------------------------------------


@kernel
def enqueue(box, order):  # type: ignore[no-untyped-def]
    """Put an order in the heap, or behind the orders of its account that wait already."""
    if box.chains[order.chain].has_nonces != 0:
        account = box.first_account[order.group] + order.row
        last = box.tail[order.chain, account]
        box.tail[order.chain, account] = order.slot
        if last != NOBODY:
            box.orders[last].follower = order.slot
            return
    push(box, order.chain, order.slot)


@kernel
def step_out(box, order):  # type: ignore[no-untyped-def]
    """Take an order out of the queue of its account; returns the slab row behind it, or -1."""
    after = order.follower
    order.follower = NOBODY
    if after == NOBODY and box.chains[order.chain].has_nonces != 0:
        box.tail[order.chain, box.first_account[order.group] + order.row] = NOBODY
    return after


@kernel
def leave(box, order):  # type: ignore[no-untyped-def]
    """Take an order that was popped out of its account's queue; the next one may go now."""
    after = step_out(box, order)
    if after != NOBODY:
        push(box, order.chain, after)


# --- raising a bid -------------------------------------------------------------------------------


@kernel
def find(box, chain, number):  # type: ignore[no-untyped-def]
    """Return the slab row of a waiting order by its number, or -1."""
    for k in range(box.chains[chain].pending):
        slot = box.heap[chain, k]
        while slot != NOBODY:
            if box.orders[slot].id == number:
                return slot
            slot = box.orders[slot].follower
    return NOBODY


@kernel
def replace_bid(box, chain, number, tip, max_fee):  # type: ignore[no-untyped-def]
    """Replace a waiting order by itself with a higher bid.

    Returns
    -------
    OK; NOT_ALLOWED when no such order waits, or its bid is not raised by the replacement step
    """
    slot = find(box, chain, number)
    if slot == NOBODY:
        return NOT_ALLOWED
    order = box.orders[slot]
    least = (1.0 + box.chains[chain].replacement) * _ROUNDING
    if max_fee < order.max_fee * least or tip < order.tip * least:
        return NOT_ALLOWED
    order.tip, order.max_fee = tip, max_fee
    set_key(box, order)
    build_heap(box, chain)
    return OK


@kernel
def resort(box, chain):  # type: ignore[no-untyped-def]
    """Sort all waiting orders of a chain anew."""
    for k in range(box.chains[chain].pending):
        slot = box.heap[chain, k]
        while slot != NOBODY:
            set_key(box, box.orders[slot])
            slot = box.orders[slot].follower
    build_heap(box, chain)


@kernel
def raise_bids(box, chain):  # type: ignore[no-untyped-def]
    """Raise the bids of orders that have waited as long as their sender's policy says."""
    is_changed = False
    for k in range(box.chains[chain].pending):
        slot = box.heap[chain, k]
        while slot != NOBODY:
            order = box.orders[slot]
            if raise_due(box, order):
                set_key(box, order)
                is_changed = True
            slot = order.follower
    if is_changed:
        build_heap(box, chain)


# --- the heap ------------------------------------------------------------------------------------


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
def sift_down(box, chain, at, n, slot):  # type: ignore[no-untyped-def]
    """Put a slab row at a place of a heap of n, or where it belongs below."""
    heap = box.heap[chain]
    while True:
        child = 2 * at + 1
        if child >= n:
            break
        if child + 1 < n and goes_before(box.orders, heap[child + 1], heap[child]):
            child += 1
        if not goes_before(box.orders, heap[child], slot):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = slot


@kernel
def build_heap(box, chain):  # type: ignore[no-untyped-def]
    """Put the waiting orders of a chain in order after their bids changed."""
    n = box.chains[chain].pending
    for k in range(n // 2):
        at = n // 2 - 1 - k
        sift_down(box, chain, at, n, box.heap[chain, at])


@kernel
def pop(box, chain):  # type: ignore[no-untyped-def]
    """Remove and return the slab row that goes first on a chain."""
    heap = box.heap[chain]
    n = box.chains[chain].pending - 1
    box.chains[chain].pending = n
    first = heap[0]
    sift_down(box, chain, 0, n, heap[n])
    return first
