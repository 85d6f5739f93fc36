"""Block space in a world: room, queues, replacement, eviction, lifetime, failures, outages."""

import os
import subprocess
import sys

import numpy as np
import pytest

from sim.kernel import ROOT
from sim.ledger import balance_of
from sim.shocks import KINDS, SequencerOutage
from sim.status import Status
from sim.units import GWEI, ticks
from tests.worlds import HANDS, Log, bench, run, swap

FIRST_PRICE = "chains.mainnet.fee_market={kind: first_price, base_fee_gwei: 10}"
NONCES = "chains.mainnet.account_order=nonce"
SWAP_GAS = 110_000
ONE_A_BLOCK = f"chains.mainnet.gas_limit={SWAP_GAS}"
PROTECTED = "chains.mainnet.losing_orders=revert_protected"


def waits(**fields):
    """Return the override that gives the chain a flat background demand."""
    given = {"gas_per_second": "[3e6]", "median_gwei": "[50]", "log_sd": "[0.5]", **fields}
    return "chains.mainnet.background={" + ", ".join(f"{k}: {v}" for k, v in given.items()) + "}"


# --- order of inclusion --------------------------------------------------------------------------


def test_first_come_takes_orders_by_arrival_whatever_they_bid():
    world = bench(FIRST_PRICE, "chains.mainnet.ordering=first_come")
    for row, bid in enumerate((5.0, 9.0, 7.0)):
        world.advance(world.now + 1)
        swap(world, row, max_fee_gwei=bid)
    fills = run(world, 12.0).fills
    assert fills["row"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(fills["gas_price"], np.array([5, 9, 7]) * GWEI, rtol=1e-14)


def test_background_goes_between_orders_by_its_bids():
    """Background bids lie between 37 and 67 gwei, nine tenths of a block's gas and more."""
    world = bench(FIRST_PRICE, "chains.mainnet.gas_limit=30000000", waits(log_sd="[0.05]"))
    swap(world, 0, max_fee_gwei=100.0)
    swap(world, 1, max_fee_gwei=20.0)
    log = run(world, 12.0)
    assert log.fills["row"].tolist() == [0]
    assert log.blocks["pending"].tolist() == [1]
    assert log.blocks["gas_used"].tolist() == [30_000_000]
    assert log.blocks["background_gas"].tolist() == [30_000_000 - SWAP_GAS]


def test_a_block_never_holds_more_gas_than_its_limit():
    world = bench(FIRST_PRICE, "chains.mainnet.gas_limit=1000000", waits(gas_per_second="[70e3]"))
    for row in range(60):
        swap(world, row, max_fee_gwei=10.0 + 2.0 * row)
    blocks = run(world, 240.0).blocks
    assert blocks["gas_used"].max() <= 1_000_000
    assert blocks["n_included"].sum() > 30
    assert (blocks["background_gas"] + SWAP_GAS * blocks["n_included"] <= 1_000_000).all()


# --- the queue of an account ---------------------------------------------------------------------


def test_an_order_that_is_stuck_holds_up_those_after_it():
    world = bench(FIRST_PRICE, NONCES, "chains.mainnet.gas_limit=500000", waits())
    swap(world, 0, max_fee_gwei=1.0)
    swap(world, 0, max_fee_gwei=900.0)
    swap(world, 1, max_fee_gwei=900.0)
    log = run(world, 48.0)
    assert log.fills["row"].tolist() == [1]
    free = bench(FIRST_PRICE, "chains.mainnet.gas_limit=500000", waits())
    swap(free, 0, max_fee_gwei=1.0)
    swap(free, 0, max_fee_gwei=900.0)
    assert run(free, 48.0).fills["gas_price"].tolist() == [pytest.approx(900 * GWEI)]


def test_orders_behind_one_that_is_included_may_enter_the_same_block():
    world = bench(FIRST_PRICE, NONCES)
    for bid in (5.0, 50.0, 20.0):
        swap(world, 0, max_fee_gwei=bid)
    swap(world, 1, max_fee_gwei=10.0)
    fills = run(world, 12.0).fills
    assert fills["row"].tolist() == [1, 0, 0, 0]
    np.testing.assert_allclose(fills["gas_price"] / GWEI, [10, 5, 50, 20], rtol=1e-12)


def test_what_stands_behind_goes_when_the_first_expires_and_what_is_old_leaves_the_line():
    world = bench(FIRST_PRICE, NONCES, "chains.mainnet.gas_limit=500000", waits())
    swap(world, 0, max_fee_gwei=1.0, expires_in=40.0)
    swap(world, 0, max_fee_gwei=800.0, expires_in=20.0)
    swap(world, 0, max_fee_gwei=900.0, expires_in=500.0)
    fills = run(world, 60.0).fills
    expected = [(Status.EXPIRED, 800), (Status.EXPIRED, 1), (Status.OK, 900)]
    found = list(zip(fills["status"], fills["max_fee"] / GWEI, strict=True))
    assert found == [(status, pytest.approx(bid)) for status, bid in expected]
    assert fills["time"].tolist() == [24_000_000, 48_000_000, 48_000_000]
    assert (world.box.tail == -1).all()


# --- replacement ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("bid", "is_taken"), [(10.999, False), (11.0, True), (30.0, True)])
def test_a_bid_is_replaced_from_ten_percent_more_on(bid, is_taken):
    world = bench(FIRST_PRICE)
    number = swap(world, 0, max_fee_gwei=10.0)
    assert world.replace_bid("mainnet", number, tip_gwei=0.0, max_fee_gwei=bid) == is_taken
    fill = run(world, 12.0).fills[0]
    assert fill["gas_price"] == pytest.approx((bid if is_taken else 10.0) * GWEI, rel=1e-12)


def test_a_raised_bid_goes_first():
    world = bench(FIRST_PRICE, ONE_A_BLOCK)
    numbers = [swap(world, row, max_fee_gwei=10.0 + row) for row in range(20)]
    assert world.replace_bid("mainnet", numbers[3], tip_gwei=0.0, max_fee_gwei=500.0)
    assert run(world, 36.0).fills["row"].tolist() == [3, 19, 18]
    assert not world.replace_bid("mainnet", numbers[3], tip_gwei=0.0, max_fee_gwei=900.0)


# --- lifetime and eviction -----------------------------------------------------------------------


def test_no_order_outlives_the_mempool():
    world = bench(
        FIRST_PRICE, "chains.mainnet.gas_limit=500000", waits(),
        "chains.mainnet.mempool={lifetime_seconds: 1m}",
    )  # fmt: skip
    swap(world, 0, max_fee_gwei=1.0, expires_in=9_000.0)
    fills = run(world, 120.0).fills
    assert fills["status"].tolist() == [Status.EXPIRED]
    assert fills["time"].tolist() == [72_000_000]


def test_a_full_mempool_drops_the_cheapest_orders():
    world = bench(FIRST_PRICE, ONE_A_BLOCK, f"chains.mainnet.mempool={{gas: {3 * SWAP_GAS}}}")
    for row, bid in enumerate((30.0, 10.0, 50.0, 20.0, 40.0)):
        swap(world, row, max_fee_gwei=bid)
    fills = run(world, 36.0).fills
    dropped = fills[fills["status"] == Status.EVICTED]
    assert dropped["row"].tolist() == [1, 3]
    assert dropped["gas_paid"].tolist() == [0.0, 0.0]
    assert fills["row"][fills["status"] == Status.OK].tolist() == [2, 4, 0]


def test_an_evicted_order_takes_those_behind_it_along():
    world = bench(
        FIRST_PRICE, NONCES, ONE_A_BLOCK, f"chains.mainnet.mempool={{gas: {2 * SWAP_GAS}}}"
    )
    swap(world, 0, max_fee_gwei=10.0)
    swap(world, 0, max_fee_gwei=90.0)
    swap(world, 1, max_fee_gwei=50.0)
    fills = run(world, 12.0).fills
    assert fills["row"].tolist() == [0, 0, 1]
    assert fills["status"].tolist() == [Status.EVICTED, Status.EVICTED, Status.OK]


# --- orders that fail ----------------------------------------------------------------------------


def failing(*overrides):
    world = bench(FIRST_PRICE, *overrides)
    swap(world, 0, max_fee_gwei=20.0, limit=1e9)
    swap(world, 1, max_fee_gwei=10.0)
    return world, run(world, 12.0)


def test_a_failing_order_lands_and_pays_its_whole_bid():
    _, log = failing()
    assert log.fills["status"].tolist() == [Status.SLIPPAGE, Status.OK]
    assert log.fills["gas_paid"][0] == pytest.approx(SWAP_GAS * 20 * GWEI)
    assert log.blocks[["gas_used", "n_included", "n_failed"]][0].tolist() == (220_000, 2, 1)


def test_where_orders_are_protected_a_failing_one_is_left_out_for_free():
    world, log = failing(PROTECTED)
    assert log.fills["status"].tolist() == [Status.SLIPPAGE, Status.OK]
    assert log.fills["gas_paid"].tolist() == [0.0, pytest.approx(SWAP_GAS * 10 * GWEI)]
    assert log.fills["gas"].tolist() == [0, SWAP_GAS]
    assert log.blocks[["gas_used", "n_included", "n_failed"]][0].tolist() == (SWAP_GAS, 1, 0)
    eth, group = world.token("mainnet", "ETH"), world.group(HANDS)
    assert balance_of(world.ledger, group, 0, eth) == pytest.approx(10.05, rel=1e-15)


# --- money ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["first_price", "eip1559"])
def test_what_is_paid_for_gas_is_received(kind):
    rule = f"chains.mainnet.fee_market={{kind: {kind}, base_fee_gwei: 10}}"
    world = bench(rule, PROTECTED, waits())
    for row in range(20):
        swap(world, row, tip_gwei=float(row), limit=1e9 * (row % 2))
    log = run(world, 600.0)
    eth = world.token("mainnet", "ETH")
    held = {row: world.balance(0, row, eth) for row in (1, 2, 3)}  # validators, base fees, users
    assert held[3] < -1.0
    assert held[1] + held[2] == pytest.approx(log.fills["gas_paid"].sum() - held[3], rel=1e-12)
    assert (held[2] > 0.0) == (kind == "eip1559")
    world.check()


# --- outages -------------------------------------------------------------------------------------


def test_after_an_outage_of_the_sequencer_orders_go_by_arrival():
    world = bench(FIRST_PRICE, ONE_A_BLOCK)
    log = Log(world)
    world.advance(ticks(12.0))
    swap(world, 0, max_fee_gwei=5.0)
    world.advance(ticks(13.0))
    outage = SequencerOutage(kind="sequencer_outage", chain="mainnet", seconds=100.0)
    {kind.kind: kind.apply for kind in KINDS}["sequencer_outage"](world, outage)
    for row, bid in ((1, 20.0), (2, 80.0), (3, 40.0)):
        world.advance(world.now + ticks(1.0))
        swap(world, row, max_fee_gwei=bid)
    world.advance(ticks(114.0))
    swap(world, 4, max_fee_gwei=900.0)
    world.advance(ticks(200.0))
    assert log.fills["row"].tolist() == [0, 1, 2, 3, 4]
    times = log.blocks["time"] / 1e6
    assert not ((times > 12.0) & (times <= 113.0)).any()


def test_gas_of_a_concentrated_swap_follows_the_ticks_it_crossed():
    """130,000 and 22,000 a tick; 352,000 more are declared and given back."""
    pool = (
        "venues.thin={kind: concentrated_liquidity, chain: mainnet, tokens: [ETH, USD], "
        "fee: 0.003, value_usd: 1e5, half_width: 0.02}"
    )
    world = bench(pool, "chains.mainnet.fee_market={kind: first_price, base_fee_gwei: 10}")
    swap(world, 0, venue="thin", amount=10.0)
    swap(world, 1, venue="thin", amount=10.0, limit=1e9)
    fills = run(world, 12.0).fills
    assert sorted(fills["status"].tolist()) == [Status.OK, Status.SLIPPAGE]
    assert fills["gas"].tolist() == [130_000, 130_000]
    np.testing.assert_allclose(fills["gas_paid"], 130_000 * 10 * GWEI, rtol=1e-12)


# --- compiled and interpreted --------------------------------------------------------------------

TWIN = """
import hashlib
from tests.worlds import HANDS, bench, run, swap
world = bench(
    "chains.mainnet.fee_market={kind: first_price, base_fee_gwei: 10}",
    "chains.mainnet.account_order=nonce", "chains.mainnet.losing_orders=revert_protected",
    "chains.mainnet.mempool={lifetime_seconds: 90, gas: 40000000}",
    "chains.mainnet.background={gas_per_second: [3e6], median_gwei: [50], log_sd: [0.5], "
    "rebid_minutes: 2}", "populations." + HANDS + ".bid={kind: adaptive, rebid_blocks: 1}",
)
for row in range(30):
    swap(world, row % 20, limit=1e9 * (row % 7 == 0), tip_gwei=float(row))
log = run(world, 300.0)
fields = ["row", "status", "gas", "gas_paid", "max_fee", "height", "place"]
found = log.blocks.tobytes() + b"".join(log.fills[f].tobytes() for f in fields)
print(len(log.fills), hashlib.sha256(found).hexdigest())
"""


def test_compiled_and_interpreted_blocks_are_the_same_bits():
    said = []
    for jit in ("1", "0"):
        environment = {**os.environ, "UNDERTOW_JIT": jit, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", TWIN],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        said.append(done.stdout)
    assert said[0] == said[1]
    assert int(said[0].split()[0]) == 30
