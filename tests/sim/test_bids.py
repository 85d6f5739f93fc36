"""Bid policies: fixed prices, percentiles of recent blocks, bids that are raised while waiting."""

import numpy as np
import pytest

from experiments.composition import plan_of
from experiments.scenario import load_scenario
from sim.errors import ScenarioError
from sim.units import GWEI
from sim.world import World
from tests.worlds import BENCH, HANDS, bench, run, swap

FIRST_PRICE = "chains.mainnet.fee_market={kind: first_price, base_fee_gwei: 10}"
CROWD = (
    "chains.mainnet.background={gas_per_second: [3e6], median_gwei: [50], log_sd: [0.3]}",
    "chains.mainnet.gas_limit=10000000",
)


def policy(**fields):
    text = ", ".join(f"{name}: {value}" for name, value in fields.items())
    return f"populations.{HANDS}.bid={{{text}}}"


def test_without_a_policy_orders_bid_the_going_price():
    world = bench(FIRST_PRICE)
    swap(world, 0)
    assert run(world, 12.0).fills["gas_price"].tolist() == [pytest.approx(10 * GWEI)]


def test_fixed_prices_lie_in_their_range_and_stay():
    world = bench(FIRST_PRICE, policy(kind="static", low_gwei=10, high_gwei=40))
    for row in range(64):
        swap(world, row)
    first = run(world, 12.0).fills
    for row in range(64):
        swap(world, row)
    second = run(world, 24.0).fills
    prices = dict(zip(first["row"], first["gas_price"] / GWEI, strict=True))
    assert prices == dict(zip(second["row"], second["gas_price"] / GWEI, strict=True))
    values = np.array(list(prices.values()))
    assert 10.0 <= values.min() < 15.0
    assert 35.0 < values.max() <= 40.0


def test_a_share_of_the_accounts_follows_the_policy():
    world = bench(FIRST_PRICE, policy(kind="static", low_gwei=30, high_gwei=30, share=0.25))
    for row in range(64):
        swap(world, row)
    fills = run(world, 12.0).fills
    following = np.sort(fills["row"][fills["gas_price"] > 20 * GWEI])
    assert following.tolist() == list(range(3, 64, 4))


def test_a_percentile_policy_bids_what_recent_blocks_paid():
    fields = {"kind": "percentile", "percentile": 0.5, "n_blocks": 50, "estimate_minutes": 1}
    world = bench(FIRST_PRICE, *CROWD, policy(**fields))
    log = run(world, 1_200.0)
    swap(world, 0)
    world.advance(world.now + 12_000_000)
    bid = log.fills["max_fee"][-1] / GWEI
    # the best 10 of 36 million bids a block: half of those paid more than the upper 13.9 %
    assert bid == pytest.approx(50 * np.exp(0.3 * 1.085), rel=0.05)


def test_an_estimate_is_kept_until_it_is_old():
    fields = {"kind": "percentile", "n_blocks": 5, "estimate_minutes": 60}
    world = bench(FIRST_PRICE, *CROWD, policy(**fields))
    swap(world, 0)  # before any block has paid: the going price
    run(world, 1_200.0)
    swap(world, 1)
    pending = world.box.orders[world.box.heap[0, : world.box.chains[0]["pending"]]]
    np.testing.assert_allclose(pending["max_fee"], 10 * GWEI, rtol=1e-12)


def test_an_adaptive_bid_rises_by_a_tenth_each_few_blocks_up_to_its_limit():
    fields = {"kind": "adaptive", "rebid_blocks": 2, "most_multiple": 1.4, "stays_seconds": 9000}
    world = bench(FIRST_PRICE, *CROWD, policy(**fields))
    swap(world, 0)
    bids = []
    world.add_python_reaction(
        0, lambda: bids.append(float(world.box.orders[world.box.heap[0, 0]]["max_fee"]))
    )
    run(world, 12.0 * 12)
    steps = np.repeat([1.0, 1.1, 1.21, 1.331], [3, 2, 2, 5])
    np.testing.assert_allclose(bids, 10 * GWEI * steps, rtol=1e-12)


def test_an_adaptive_bid_gets_in_at_last():
    fields = {"kind": "adaptive", "rebid_blocks": 1, "most_multiple": 100, "stays_seconds": 9000}
    world = bench(FIRST_PRICE, *CROWD, policy(**fields))
    swap(world, 0)
    fill = run(world, 1_200.0).fills[0]
    assert fill["status"] == 0
    raises = fill["height"]
    assert fill["gas_price"] == pytest.approx(10 * GWEI * 1.1**raises, rel=1e-9)


def test_a_policy_that_makes_no_sense_is_refused():
    with pytest.raises(ScenarioError, match=r"low_gwei \(50\) is above high_gwei \(40\)"):
        load_scenario("quiet-market", [*BENCH, policy(kind="static", low_gwei=50)])


def test_every_population_takes_a_policy():
    scenario = load_scenario("black-thursday", ["populations.keepers.bid={kind: adaptive}"])
    assert scenario.populations["keepers"].bid.kind == "adaptive"


def test_runs_with_policies_repeat():
    plan = plan_of(load_scenario("quiet-market", [*BENCH, FIRST_PRICE, *CROWD, policy(
        kind="adaptive", rebid_blocks=1)]), 7)  # fmt: skip
    hashes = []
    for _ in range(2):
        world = World(plan)
        for row in range(30):
            swap(world, row)
        log = run(world, 600.0)
        hashes.append((log.blocks.tobytes(), log.fills["gas_paid"].tobytes()))
    assert hashes[0] == hashes[1]
