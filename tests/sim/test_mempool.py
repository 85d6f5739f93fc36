"""Mempool: order of execution, composite orders, and what a full slab does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.chain import CHAIN
from sim.fee_market import EIP1559
from sim.kernel import bind, kernel, view_of
from sim.mempool import (
    N_FREE,
    N_REFUSED,
    NEXT_ORDER,
    Outbox,
    claim,
    goes_before,
    make_outbox,
    pop,
    post,
    release,
)
from tests.worlds import bench, post_legs, run, swap

SECOND_POOL = (
    "venues.second={kind: constant_product, chain: mainnet, tokens: [ETH, USD], fee: 0.003, "
    "value_usd: 1e6}"
)
unpack = view_of(Outbox)


@kernel(inline=False)
def _offer(binding, chain, row, tip, arrival):
    (box,) = unpack(binding)
    order = claim(box)
    order.chain, order.group, order.row, order.arrival = chain, 1, row, arrival
    order.tip = tip
    return post(box, order)


def offer(box, chain=0, row=0, tip=0.0, arrival=0):
    binding = bind(box)
    return int(_offer(binding.ctypes.data, chain, row, tip, arrival))


def small_box(capacity=64, n_chains=1, seed=1):
    chains = np.zeros(n_chains, CHAIN)
    chains["bid"] = EIP1559.bid.address
    return make_outbox(chains, capacity, seed)


def drain(box, chain=0):
    """Take all orders off a chain; return their rank keys in that order."""
    keys = []
    while box.chains[chain]["pending"] > 0:
        slot = pop(box, chain)
        order = box.orders[slot]
        keys.append((-order["key"], order["arrival"], order["tie"], order["id"]))
        release(box, slot)
    return keys


bids = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3))


@given(st.lists(bids, max_size=64))
def test_orders_come_by_bid_then_arrival_then_hash_then_number(offers):
    box = small_box()
    for tip, arrival, row in offers:
        offer(box, row=row, tip=float(tip), arrival=arrival)
    keys = drain(box)
    assert len(keys) == len(offers)
    assert keys == sorted(keys)


@given(st.lists(bids, max_size=64))
def test_every_parent_of_the_heap_goes_before_its_children(offers):
    box = small_box()
    for tip, arrival, row in offers:
        offer(box, row=row, tip=float(tip), arrival=arrival)
    heap = box.heap[0]
    for at in range(1, len(offers)):
        assert not goes_before(box.orders, heap[at], heap[(at - 1) // 2])


def test_chains_keep_their_own_heaps():
    box = small_box(n_chains=2)
    numbers = [offer(box, chain=k % 2, tip=1.0) for k in range(6)]
    assert box.chains["pending"].tolist() == [3, 3]
    assert sorted(key[3] for key in drain(box, 1)) == numbers[1::2]
    assert sorted(key[3] for key in drain(box, 0)) == numbers[0::2]


def test_one_account_keeps_its_order_of_submission():
    box = small_box()
    numbers = [offer(box, row=5) for _ in range(10)]
    assert [key[3] for key in drain(box)] == numbers


def test_the_hash_depends_on_account_seed_and_block():
    def tie(seed=1, row=0, height=0):
        box = small_box(seed=seed)
        box.chains["height"] = height
        offer(box, row=row)
        return int(box.orders[box.heap[0, 0]]["tie"])

    ties = {tie(), tie(seed=2), tie(row=1), tie(height=1), tie(seed=1 << 40)}
    assert len(ties) == 5
    assert tie() == tie()


def test_a_full_slab_refuses_and_loses_nothing():
    box = small_box(capacity=3)
    assert [offer(box) for _ in range(5)] == [1, 2, 3, -1, -1]
    assert box.counter[N_REFUSED] == 2
    assert box.counter[NEXT_ORDER] == 4
    assert len(drain(box)) == 3
    assert sorted(box.free.tolist()) == [0, 1, 2]
    assert offer(box) == 4


def test_a_cleared_row_remembers_nothing():
    box = small_box(capacity=1)
    offer(box, tip=3.0, row=7, arrival=9)
    order = box.orders[0]
    for name in ("limit", "amount_out", "gas_paid", "value_in"):
        order[name] = 5.0
    for name in ("parent", "a", "flag_bits", "next_leg", "status"):
        order[name] = 5
    drain(box)
    offer(box)
    kept = {name: order[name] for name in order.dtype.names if name not in ("id", "tie", "height")}
    assert {name for name, value in kept.items() if value != 0} == {
        *("next_leg", "token_in", "token_out"),
        *("group", "follower", "rebid_at"),
    }


# --- in a world ----------------------------------------------------------------------------------


def test_the_row_of_an_agent_does_not_predict_its_place():
    """Mean rank correlation of row and place over 120 blocks of 64: SE 0.0115, five allowed."""
    world = bench()
    turns = 120
    world.add_python_reaction(0, lambda: [swap(world, row, 1.0) for row in range(64)] and None)
    fills = run(world, 12.0 * turns).fills
    assert len(fills) == 64 * turns
    row = fills["row"] - 31.5
    place = fills["place"] - 31.5
    correlation = float(np.mean(row * place)) / ((64**2 - 1) / 12.0)
    assert abs(correlation) < 5.0 / np.sqrt(63.0 * turns)
    first = np.bincount(fills["row"][fills["place"] == 0], minlength=64)
    # Wins of each row are binomial(120, 1/64); 12 or more has probability 2e-7 a row.
    assert first.max() < 12


def test_a_higher_tip_goes_first_whatever_the_row():
    world = bench("chains.mainnet.fee_market.base_fee_gwei=1")
    for row, tip in enumerate((1.0, 3.0, 2.0)):
        swap(world, row, tip_gwei=tip)
    fills = run(world, 12.0).fills
    assert fills["row"].tolist() == [1, 2, 0]
    assert fills["place"].tolist() == [0, 1, 2]


def test_a_composite_order_takes_one_place_and_the_gas_of_all_legs():
    world = bench(SECOND_POOL)
    post_legs(world, [("eth-usd", 1, 100.0, 0.0, 0), ("second", 1, 50.0, 0.0, 0)])
    log = run(world, 12.0)
    assert log.fills["leg"].tolist() == [0, 1]
    assert log.fills["place"].tolist() == [0, 0]
    assert log.fills["id"].tolist() == [1, 1]
    assert log.fills["gas"][0] == log.blocks["gas_used"][0] == 2 * 110_000
    assert log.blocks["n_included"].tolist() == [1]


@pytest.mark.parametrize("waiting", [14, 15, 16])
def test_a_composite_order_without_room_for_all_legs_is_refused_whole(waiting):
    world = bench(SECOND_POOL, "mempool_capacity=16")
    for row in range(waiting):
        swap(world, row)
    legs = [("eth-usd", 1, 1.0, 0.0, 0), ("second", 1, 1.0, 0.0, 0), ("eth-usd", 0, 1.0, 0.0, 0)]
    assert post_legs(world, legs) == -1
    assert world.box.counter[N_FREE] == 16 - waiting
    assert world.box.counter[N_REFUSED] == 1
    fills = run(world, 12.0).fills
    assert len(fills) == waiting
    assert world.box.counter[N_FREE] == 16


def test_every_slab_row_is_given_back():
    world = bench("mempool_capacity=64", "chains.mainnet.gas_limit=1100000")
    for row in range(64):
        swap(world, row, limit=1e9 if row % 3 else 0.0, expires_in=30.0)
    run(world, 120.0)
    assert world.box.counter[N_FREE] == 64
    assert sorted(world.box.free.tolist()) == list(range(64))
