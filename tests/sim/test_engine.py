"""Engine: blocks, events and their order, and what becomes of orders that fail."""

import itertools
import math

import numpy as np
import pytest

from sim.agenda import PYTHON_RANK, SAMPLE_RANK, SHOCK_RANK
from sim.errors import EngineError, InputError
from sim.mempool import N_FREE
from sim.orders import CHAINED
from sim.status import Status
from sim.units import ticks
from tests.worlds import (
    HANDS,
    Log,
    bench,
    planned,
    post_legs,
    run,
    state_bytes,
    submit_anything,
    swap,
)

BASE_FEE = "chains.mainnet.fee_market.base_fee_gwei"
SECOND_POOL = (
    "venues.second={kind: constant_product, chain: mainnet, tokens: [ETH, USD], fee: 0.003, "
    "value_usd: 1e6}"
)
SIDE_CHAIN = (
    "chains.side={blocks: {kind: fixed, interval_seconds: 5}, native: ETH, tokens: [ETH, USD]}"
)

# --- gas limit, expiry, payment ------------------------------------------------------------------


def test_an_order_that_does_not_fit_is_passed_over():
    world = bench("chains.mainnet.gas_limit=250000")
    swap(world, 0, tip_gwei=3.0)  # 110,000
    world.submit("eth-usd", "add", HANDS, 1, amount=0.1, amount1=200.0, tip_gwei=2.0)  # 180,000
    swap(world, 2, tip_gwei=1.0)  # 110,000 more fit
    log = run(world, 24.0)
    assert log.fills["row"].tolist() == [0, 2, 1]
    assert log.fills["height"].tolist() == [0, 0, 1]
    assert log.blocks["gas_used"].tolist() == [220_000, 180_000]
    assert log.blocks["pending"].tolist() == [1, 0]


def test_a_block_never_exceeds_its_gas_limit():
    world = bench("chains.mainnet.gas_limit=500000")
    for row in range(40):
        swap(world, row, tip_gwei=float(row % 5))
    blocks = run(world, 240.0).blocks
    assert blocks["gas_used"].max() == 440_000
    assert blocks["n_included"].tolist() == [4] * 10 + [0] * 10


def test_an_order_larger_than_a_block_waits_until_it_expires():
    world = bench("chains.mainnet.gas_limit=100000")
    swap(world, 0, expires_in=30.0)
    log = run(world, 60.0)
    assert log.fills["status"].tolist() == [Status.EXPIRED]
    assert log.blocks["pending"].tolist() == [1, 1, 0, 0, 0]


@pytest.mark.parametrize(("seconds", "status"), [(12.0, Status.OK), (11.999999, Status.EXPIRED)])
def test_an_order_lives_up_to_and_including_its_deadline(seconds, status):
    world = bench()
    swap(world, 0, expires_in=seconds)
    assert run(world, 12.0).fills["status"].tolist() == [status]


def test_an_expired_order_pays_nothing_and_changes_nothing():
    world = bench(f"{BASE_FEE}=10")
    before = state_bytes(world)
    swap(world, 0, expires_in=1.0)
    fills = run(world, 12.0).fills
    assert fills["gas_paid"].tolist() == [0.0]
    assert state_bytes(world) == before


def test_who_cannot_pay_the_gas_is_dropped_without_a_fee():
    world = bench(f"{BASE_FEE}=100000")  # 11 ETH for a swap; hands have 10.05
    before = state_bytes(world)
    swap(world, 0)
    log = run(world, 12.0)
    assert log.fills["status"].tolist() == [Status.UNPAID]
    assert log.fills["gas_paid"].tolist() == [0.0]
    assert log.blocks["gas_used"].tolist() == [0]
    assert log.blocks["n_included"].tolist() == [0]
    assert state_bytes(world) == before


# --- failed orders -------------------------------------------------------------------------------

FAILURES = [
    ("swap", {"amount": 100.0, "a": 1, "limit": 1.0}, Status.SLIPPAGE),
    ("swap", {"amount": 0.0, "a": 1}, Status.ZERO_AMOUNT),
    ("swap", {"amount": -1.0, "a": 1}, Status.BAD_AMOUNT),
    ("swap", {"amount": math.nan, "a": 0}, Status.BAD_AMOUNT),
    ("swap", {"amount": math.inf, "a": 0}, Status.BAD_AMOUNT),
    ("swap", {"amount": 20_001.0, "a": 1}, Status.INSUFFICIENT_FUNDS),
    ("swap", {"amount": 100.0, "a": 1, "price_limit": 1_999.0}, Status.PRICE_LIMIT),
    ("swap", {"amount": 1.0, "a": 0, "price_limit": 2_001.0}, Status.PRICE_LIMIT),
    ("add", {"amount": 1.0, "amount1": 0.0}, Status.BAD_AMOUNT),
    ("add", {"amount": 1.0, "amount1": 2_000.0, "limit": 1e9}, Status.SLIPPAGE),
    ("add", {"amount": 11.0, "amount1": 30_000.0}, Status.INSUFFICIENT_FUNDS),
    ("add", {"amount": math.inf, "amount1": 1.0}, Status.BAD_AMOUNT),
    ("remove", {"amount": 1.0}, Status.INSUFFICIENT_FUNDS),
    ("remove", {"amount": 0.0}, Status.BAD_AMOUNT),
    ("remove", {"amount": 1e12}, Status.BAD_AMOUNT),
]


@pytest.mark.parametrize(("verb", "terms", "status"), FAILURES)
def test_a_failed_order_changes_nothing(verb, terms, status):
    world = bench()
    before = state_bytes(world)
    submit_anything(world, "eth-usd", verb, 0, **terms)
    log = run(world, 12.0)
    assert log.fills["status"].tolist() == [status]
    assert (log.fills["amount_in"][0], log.fills["amount_out"][0]) == (0.0, 0.0)
    assert log.blocks["n_failed"].tolist() == [1]
    assert state_bytes(world) == before


def test_a_failed_order_pays_gas_and_changes_nothing_else():
    world = bench(f"{BASE_FEE}=10")
    before, balance = state_bytes(world), world.ledger.balance.copy()
    swap(world, 0, limit=1.0)
    fill = run(world, 12.0).fills[0]
    assert fill["gas_paid"] == pytest.approx(110_000 * 10e-9, rel=1e-14)
    changed = {name for name, data in state_bytes(world).items() if data != before[name]}
    assert changed == {"ledger.balance", "ledger.n_moves", "ledger.turnover"}
    moved = world.ledger.balance - balance
    assert np.count_nonzero(moved) == 2  # the sender, and where base fees go
    assert moved.min() == pytest.approx(-fill["gas_paid"], rel=1e-10)


def test_a_halted_venue_fails_orders_and_nobody_else():
    world = bench(SECOND_POOL)
    world.venues.is_halted[world.venue("second")] = 1
    swap(world, 0, venue="second", tip_gwei=1.0)
    swap(world, 1)
    assert run(world, 12.0).fills["status"].tolist() == [Status.HALTED, Status.OK]


def test_a_gas_free_chain_charges_nothing_whatever_is_bid():
    world = bench("reference_market={}", "chains.mainnet.tokens=[ETH, USD]")
    before = world.ledger.balance.copy()
    world.submit("exchange", "trade", HANDS, 0, amount=1.0, tip_gwei=1e9)
    fills = run(world, 1.0).fills
    assert fills["status"].tolist() == [Status.NOT_ALLOWED]  # it names no tokens
    assert fills["gas_paid"].tolist() == [0.0]
    assert (world.ledger.balance == before).all()


# --- composite orders ----------------------------------------------------------------------------


def test_a_round_trip_over_two_pools_executes_both_legs():
    world = bench(SECOND_POOL)
    legs = [("eth-usd", 1, 1_000.0, 0.0, 0), ("second", 0, 0.0, 0.0, CHAINED)]
    post_legs(world, legs)
    first, second = run(world, 12.0).fills
    assert first["status"] == second["status"] == Status.OK
    assert second["amount_in"] == first["amount_out"]
    x, y, net = 2_500.0, 5e6, 997.0
    eth = x * net / (y + net)
    assert first["amount_out"] == pytest.approx(eth, rel=1e-14)
    usd = 5e5 * eth * 0.997 / (250.0 + eth * 0.997)
    assert second["amount_out"] == pytest.approx(usd, rel=1e-14)


@pytest.mark.parametrize("failing", [0, 1])
def test_a_composite_order_executes_all_legs_or_none(failing):
    world = bench(SECOND_POOL)
    before = state_bytes(world)
    limits = [0.0, 0.0]
    limits[failing] = 1e9
    post_legs(
        world,
        [("eth-usd", 1, 1_000.0, limits[0], 0), ("second", 0, 0.0, limits[1], CHAINED)],
    )
    log = run(world, 12.0)
    assert (log.fills["status"] != Status.OK).all()
    assert (log.fills["time"] == ticks(12.0)).all()
    for name in ("amount_in", "amount_out", "fee_paid", "value_in", "value_out"):
        assert log.fills[name].tolist() == [0.0, 0.0], name
    assert log.blocks["n_included"].tolist() == [1]
    assert log.blocks["n_failed"].tolist() == [1]
    assert state_bytes(world) == before
    assert world.box.counter[N_FREE] == len(world.box.free)


def test_a_composite_order_through_a_halted_venue_fails_whole():
    world = bench(SECOND_POOL)
    world.venues.is_halted[world.venue("second")] = 1
    before = state_bytes(world)
    post_legs(world, [("eth-usd", 1, 100.0, 0.0, 0), ("second", 1, 100.0, 0.0, 0)])
    assert (run(world, 12.0).fills["status"] != Status.OK).all()
    assert state_bytes(world) == before


def test_legs_that_together_cost_more_than_the_wallet_fail_whole():
    world = bench(SECOND_POOL)
    before = state_bytes(world)
    post_legs(world, [("eth-usd", 1, 15_000.0, 0.0, 0), ("second", 1, 15_000.0, 0.0, 0)])
    assert (run(world, 12.0).fills["status"] != Status.OK).all()
    assert state_bytes(world) == before


# --- time ----------------------------------------------------------------------------------------


def test_chains_of_different_intervals_interleave():
    blocks = run(bench(SIDE_CHAIN), 60.0).blocks
    expected = sorted(
        [(12 * k, 0) for k in range(1, 6)] + [(5 * k, 1) for k in range(1, 13)]
    )  # at 60 s both: the lower number first
    assert [
        (int(t) // 1_000_000, int(c)) for t, c in zip(blocks["time"], blocks["chain"], strict=True)
    ] == expected


def test_at_one_tick_come_shock_block_sample_and_python():
    world = bench()
    seen = []
    world.on_python = lambda key: seen.append(f"python {key}")
    world.schedule_python(ticks(12.0), 7)
    world.call_at(ticks(12.0), SAMPLE_RANK, lambda: seen.append("sample"))
    world.call_at(ticks(12.0), SHOCK_RANK, lambda: seen.append("shock"))
    world.add_python_reaction(0, lambda: seen.append("block"))
    world.advance(ticks(20.0))
    assert seen == ["shock", "block", "sample", "python 7"]


def test_events_see_the_tick_they_were_set_for():
    world = bench()
    seen = []
    for seconds in (30.5, 3.0, 17.25):
        world.call_at(ticks(seconds), PYTHON_RANK, lambda: seen.append(world.time))
    world.advance(ticks(60.0))
    assert seen == [3.0, 17.25, 30.5]
    assert world.time == 60.0


def test_advancing_in_pieces_is_advancing_at_once():
    def fills(stops):
        world = bench(SIDE_CHAIN)
        log = Log(world)
        for row in range(20):
            swap(world, row, tip_gwei=float(row % 3))
        for stop in stops:
            world.advance(ticks(stop))
        return log.fills.tobytes(), state_bytes(world)

    assert fills([60.0]) == fills([0.0, 4.9, 5.0, 11.999999, 12.0, 36.0, 60.0])


def test_an_order_that_arrives_later_waits():
    world = bench()
    swap(world, 0)
    world.box.orders[world.box.heap[0, 0]]["arrival"] = ticks(30.0)
    swap(world, 1)
    fills = run(world, 60.0).fills
    assert fills["row"].tolist() == [1, 0]
    assert (fills["time"] / 1e6).tolist() == [12.0, 36.0]


def test_a_halted_chain_makes_no_blocks_until_it_resumes():
    world = bench(
        "shocks=[{at: 20, do: {kind: halt_chain, chain: mainnet}}, "
        "{at: 50, do: {kind: resume_chain, chain: mainnet}}]"
    )
    from sim.shocks import KINDS

    actions = {kind.kind: kind for kind in KINDS}
    for at, name in ((20.0, "halt_chain"), (50.0, "resume_chain")):
        config = actions[name].config(kind=name, chain="mainnet")
        apply = actions[name].apply
        world.call_at(ticks(at), SHOCK_RANK, lambda a=apply, c=config: a(world, c))
    swap(world, 0)
    times = run(world, 80.0).blocks["time"] / 1e6
    assert times[0] == 12.0
    assert times[1] >= 50.0
    assert (np.diff(times)[1:] == 12.0).all()


def test_a_reaction_is_seen_in_the_block_it_precedes():
    world = bench()
    turn = itertools.count()
    world.add_python_reaction(0, lambda: swap(world, next(turn)) and None)
    fills = run(world, 36.0).fills
    assert (fills["time"] / 1e6).tolist() == [12.0, 24.0, 36.0]
    assert (fills["arrival"] == fills["time"]).all()


def test_a_reaction_is_called_for_its_chain_alone():
    world = bench(SIDE_CHAIN)
    seen = []
    world.add_python_reaction(1, lambda: seen.append(world.time))
    world.add_python_reaction(-1, lambda: seen.append(-world.time))
    world.advance(ticks(13.0))
    assert seen == [5.0, -5.0, 10.0, -10.0, -12.0]


# --- stopping ------------------------------------------------------------------------------------


def test_small_buffers_are_flushed_and_lose_nothing():
    def total(**sizes):
        world = planned(mempool_capacity=64, **sizes)
        log = Log(world)
        world.add_python_reaction(0, lambda: [swap(world, row, 1.0) for row in range(64)] and None)
        world.advance(ticks(120.0))
        return log.fills

    large, small = total(), total(fill_capacity=65)
    assert len(large) == 640
    assert large.tobytes() == small.tobytes()


def test_a_buffer_smaller_than_the_mempool_does_not_stop_the_clock():
    world = planned(mempool_capacity=64, fill_capacity=4)
    flushes = itertools.count()

    def give_up(fills):
        assert next(flushes) < 1_000, "flushed a thousand times without a block"

    world.on_fills = give_up
    world.advance(ticks(120.0))
    assert world.box.chains["height"].tolist() == [10]


def test_a_long_run_pauses_now_and_then():
    world = bench("chains.mainnet.blocks={kind: fixed, interval_seconds: 1}")
    pauses = itertools.count()
    world.on_pause = lambda: next(pauses) and None
    world.advance(ticks(86_400.0))
    assert world.box.chains["height"].tolist() == [86_400]
    assert next(pauses) >= 4


def test_an_error_in_a_python_turn_comes_out_where_the_world_was_advanced():
    world = bench()

    def turn():
        raise KeyError("mine")

    world.add_python_reaction(0, turn)
    with pytest.raises(KeyError, match="mine"):
        world.advance(ticks(60.0))
    assert world.time == 12.0


def test_the_world_ends_at_its_horizon():
    world = bench()
    with pytest.raises(InputError, match=r"the scenario ends at 86400 s"):
        world.advance(ticks(86_400.0) + 1)


def test_a_full_agenda_is_an_error_that_says_so():
    world = bench()
    room = len(world.agenda.events) - 2 - int(world.agenda.size[0])
    for _ in range(room):
        world.schedule_python(ticks(12.0), 1)
    with pytest.raises(EngineError, match="agenda is full"):
        world.schedule_python(ticks(12.0), 1)
