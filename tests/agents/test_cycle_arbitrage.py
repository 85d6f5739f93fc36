"""Cycle arbitrageurs in a small world: what they trade, what they earn, and when they lose."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from agents.cycle_arbitrage import KIND, CycleArbitrageConfig, watch
from sim.errors import InputError
from sim.graph import token_graph
from sim.optimal_trade import append_pool, best_chain_amount
from sim.orders import FILL, split_cause
from sim.plan import PopulationPlan
from sim.status import Status
from sim.units import ticks
from sim.world import World
from tests.worlds import HANDS, Log, planned, run, swap

OK, LEG_FAILED = int(Status.OK), int(Status.LEG_FAILED)
GAS = "chains.mainnet.fee_market={kind: eip1559, base_fee_gwei: 20, floor_gwei: 10}"
POOL = "{{kind: constant_product, chain: mainnet, tokens: [{}], fee: {}, value_usd: {}}}"
TWO_POOLS = ("venues.second=" + POOL.format("ETH, USD", 0.0005, 4e6),)
TRIANGLE = (
    "assets.BTC={price: {kind: fixed, price: 30000}}",
    "chains.mainnet.tokens=[ETH, USD, BTC]",
    "venues.btc-usd=" + POOL.format("BTC, USD", 0.0005, 6e6),
    "venues.btc-eth=" + POOL.format("BTC, ETH", 0.0005, 5e6),
)


def config(**changes):
    made = {"chain": "mainnet", "start_tokens": ["USD"], "inventory_usd": 1e6} | changes
    return CycleArbitrageConfig(kind="cycle_arbitrage", **made)


def plan(name="cyclists", **changes):
    made = config(**changes)
    return PopulationPlan(name, KIND, "mainnet", made.count, made)


def make_world(*overrides, populations=None, **changes):
    """A bench whose ETH/USD pool of 2,500 ETH has company, with gas and cycle arbitrageurs."""
    bench = planned(1, GAS, *overrides).plan
    mine = populations or (plan(**changes),)
    return World(replace(bench, populations=(*bench.populations, *mine)))


def push(world, hands=10, side=1):
    """Let some hands pay 10,000 USD each (side 1) or 5 ETH each (side 0) into the first pool."""
    for row in range(hands):
        swap(world, row, 10_000.0 if side == 1 else 5.0, side)


def of(world, fills, name="cyclists"):
    """The fills of a population."""
    return fills[fills["group"] == world.group(name)]


def orders(fills):
    """Fills of one order each, in order of execution."""
    return [fills[fills["id"] == number] for number in dict.fromkeys(fills["id"].tolist())]


def value(world, name):
    """What each row of a population holds, USD."""
    return sum(
        world.balances(name, token) * world.prices.reference[token]
        for token in range(len(world.tokens))
        if world.prices.asset[token] >= 0
    )


def pools_of(world):
    return world.states["constant_product"]


# --- one trade -----------------------------------------------------------------------------------


def test_a_gap_between_two_pools_is_traded_away_in_one_order():
    world = make_world(*TWO_POOLS)
    push(world)
    fills = of(world, run(world, 40.0).fills)
    assert [world.venue_names[v] for v in fills["venue"]] == ["second", "eth-usd"]
    assert fills["status"].tolist() == [OK, OK]
    assert fills["leg"].tolist() == [0, 1]
    assert fills["amount_in"][1] == fills["amount_out"][0]
    assert fills["amount_out"][1] > fills["amount_in"][0]


def test_the_amount_is_the_closed_form_optimum():
    world = make_world(*TWO_POOLS)
    push(world)
    world.advance(ticks(12.0))  # the hands' block
    state, chain = pools_of(world), (1.0, 1.0, 0.0)
    for venue, side in ((world.venue("second"), 1), (world.venue("eth-usd"), 0)):
        row = world.venues.row[venue]
        pair = (state.reserve0[row], state.reserve1[row])[:: 1 if side == 0 else -1]
        chain = append_pool(*chain, float(pair[0]), float(pair[1]), float(state.fee[row]))
    amount, profit = best_chain_amount(*chain, 1e6)
    fills = of(world, run(world, 24.0).fills)
    assert fills["amount_in"][0] == pytest.approx(amount, rel=1e-4)
    assert fills["amount_out"][1] - fills["amount_in"][0] == pytest.approx(profit, rel=1e-8)


def test_a_triangle_is_traded_from_the_native_token_with_gas_kept_back():
    world = make_world(*TRIANGLE, start_tokens=["ETH"], inventory_usd=40_000.0, tip_share=0.5)
    push(world)
    before = value(world, "cyclists")
    fills = of(world, run(world, 40.0).fills)
    assert fills["status"].tolist() == [OK, OK, OK]
    assert fills["token_in"][0] == fills["token_out"][2] == world.token("mainnet", "ETH")
    for leg, after in pairwise(fills):
        assert (after["token_in"], after["amount_in"]) == (leg["token_out"], leg["amount_out"])
    assert [world.venue_names[v] for v in fills["venue"]] == ["eth-usd", "btc-usd", "btc-eth"]
    assert value(world, "cyclists")[0] > before[0]


def test_a_pool_with_ticks_is_traded_as_any_other():
    ticked = "venues.second=" + POOL.format("ETH, USD", 0.0005, 4e6).replace(
        "constant_product", "concentrated_liquidity"
    )
    plain, other = make_world(*TWO_POOLS), make_world(ticked)
    profits = []
    for world in (plain, other):
        push(world)
        fills = of(world, run(world, 40.0).fills)
        assert fills["status"].tolist() == [OK, OK]
        profits.append(fills["amount_out"][1] - fills["amount_in"][0])
    assert profits[0] == pytest.approx(profits[1], rel=1e-3)  # full range: the same curve


def test_the_parent_is_the_fill_that_moved_the_pool():
    world = make_world(*TWO_POOLS)
    push(world)
    every = run(world, 40.0).fills
    hands = every[every["group"] == world.group(HANDS)]
    spaces, numbers = split_cause(of(world, every)["parent"])
    assert spaces.tolist() == [FILL, FILL]
    assert numbers.tolist() == [hands["fill_id"].max()] * 2


def test_a_small_inventory_is_spent_whole():
    world = make_world(*TWO_POOLS, inventory_usd=1_000.0)
    push(world)
    fills = of(world, run(world, 24.0).fills)
    assert fills["amount_in"][0] == 1_000.0


def test_the_tip_is_a_share_of_the_expected_profit():
    plain, tipping = (make_world(*TWO_POOLS, tip_share=share) for share in (0.0, 0.4))
    paid = []
    for world in (plain, tipping):
        push(world)
        fills = of(world, run(world, 40.0).fills)
        gained = (fills["amount_out"][1] - fills["amount_in"][0]) / 2_000.0
        paid.append((fills["gas_paid"].sum(), gained, fills["gas"][0], fills["gas_price"][0]))
    (gas, gained, _, _), (gas_tipped, gained_tipped, units, price) = paid
    assert gained == pytest.approx(gained_tipped, rel=1e-9)
    tip = gas_tipped - gas
    assert tip == pytest.approx(0.4 * (gained - gas), rel=1e-2)  # base fee falls by a block
    assert gas_tipped == pytest.approx(units * price, rel=1e-12)


# --- not trading ---------------------------------------------------------------------------------


def test_pools_at_rest_are_left_alone():
    world = make_world(*TWO_POOLS)
    assert len(run(world, 120.0).fills) == 0


def test_a_gap_inside_the_fees_is_left_alone():
    world = make_world(*TWO_POOLS)
    swap(world, 0, 5_000.0, 1)
    assert len(of(world, run(world, 60.0).fills)) == 0


def test_a_profit_below_the_least_is_left_alone():
    world = make_world(*TWO_POOLS, min_profit_usd=10_000.0)
    push(world)
    assert len(of(world, run(world, 60.0).fills)) == 0


def test_a_halted_pool_is_left_alone_until_it_resumes():
    world = make_world(*TWO_POOLS)
    push(world)
    world.advance(ticks(12.0))
    world.venues.is_halted[world.venue("second")] = 1
    assert len(of(world, run(world, 60.0).fills)) == 0
    world.venues.is_halted[world.venue("second")] = 0
    assert of(world, run(world, 84.0).fills)["status"].tolist() == [OK, OK]


def test_a_full_mempool_is_left_alone():
    bench = planned(1, GAS, *TWO_POOLS).plan
    everybody = (*bench.populations, plan())
    world = World(replace(bench, populations=everybody, mempool_capacity=2))
    push(world, hands=2)
    assert len(of(world, run(world, 60.0).fills)) == 0


# --- races ---------------------------------------------------------------------------------------


def test_two_of_a_kind_race_and_the_loser_pays_gas_alone():
    world = make_world(*TWO_POOLS, count=2)
    push(world)
    before = [world.balances("cyclists", token).copy() for token in (0, 1)]
    fills = of(world, run(world, 24.0).fills)
    won, lost = orders(fills)
    assert won["status"].tolist() == [OK, OK]
    assert lost["status"].tolist() == [LEG_FAILED, LEG_FAILED]
    assert won["row"][0] != lost["row"][0]
    loser = lost["row"][0]
    assert world.balances("cyclists", 1)[loser] == before[1][loser]
    gas = lost["gas_paid"].sum()
    assert gas > 0.0
    assert world.balances("cyclists", 0)[loser] == pytest.approx(before[0][loser] - gas, rel=1e-12)


def test_the_higher_bid_wins():
    bids = (plan("timid", tip_share=0.1), plan("bold", tip_share=0.6))
    world = make_world(*TWO_POOLS, populations=bids)
    push(world)
    fills = run(world, 24.0).fills
    assert of(world, fills, "bold")["status"].tolist() == [OK, OK]
    assert of(world, fills, "timid")["status"].tolist() == [LEG_FAILED] * 2


def test_the_slow_lose_to_the_fast():
    speeds = (plan("slow", latency_seconds=5.0, tip_share=0.9), plan("fast"))
    world = make_world(*TWO_POOLS, populations=speeds)
    push(world)
    fills = run(world, 60.0).fills
    assert of(world, fills, "fast")["status"].tolist() == [OK, OK]
    assert of(world, fills, "slow")["status"].tolist() == [LEG_FAILED] * 2


def test_nothing_is_sent_again_while_an_order_is_on_its_way():
    world = make_world(*TWO_POOLS, latency_seconds=50.0)
    push(world)
    world.advance(ticks(60.0))  # seen before the block at 24 s, in the mempool at 74 s
    assert world.states["cyclists"].n_orders.tolist() == [1]
    fills = of(world, run(world, 84.0).fills)
    assert fills["status"].tolist() == [OK, OK]
    assert world.states["cyclists"].n_orders.tolist() == [1]


def test_latency_differs_between_agents_by_the_spread():
    world = make_world(*TWO_POOLS, count=20, latency_seconds=1.0, latency_spread_seconds=2.0)
    latency = world.states["cyclists"].latency
    assert latency.min() >= ticks(1.0)
    assert latency.max() <= ticks(3.0)
    assert len(set(latency.tolist())) == 20


# --- the token graph changes ---------------------------------------------------------------------


def test_a_pool_that_joins_the_graph_is_traded_and_one_that_leaves_is_not():
    world = make_world(*TWO_POOLS)
    graph = token_graph(world)
    second = world.venue("second")
    graph.halt(second)
    assert watch(world, "cyclists", graph) == 0
    push(world)
    assert len(of(world, run(world, 60.0).fills)) == 0
    graph.resume(second)
    assert watch(world, "cyclists", graph) == 2
    assert of(world, run(world, 84.0).fills)["status"].tolist() == [OK, OK]
    graph.remove(second)
    assert watch(world, "cyclists", graph) == 0
    push(world)
    assert len(of(world, run(world, 144.0).fills)) == 0


def test_watching_the_same_graph_again_changes_nothing():
    plain, again = make_world(*TWO_POOLS, count=3), make_world(*TWO_POOLS, count=3)
    fills = []
    for world in (plain, again):
        push(world)
        world.advance(ticks(6.0))
        if world is again:
            watch(world, "cyclists", token_graph(world))
        fills.append(run(world, 120.0).fills.tobytes())
    assert fills[0] == fills[1]


def test_the_token_graph_of_a_world_numbers_nodes_as_tokens():
    world = make_world(*TRIANGLE)
    graph = token_graph(world)
    assert graph.nodes == [(token.chain, token.symbol) for token in world.tokens]
    assert graph.topology.number_of_edges() == 3
    assert graph.topology.has_edge(("mainnet", "BTC"), ("mainnet", "ETH"))


# --- always --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_trade_loses_and_no_profit_is_left_whatever_the_hands_do(seed):
    world = make_world(*TRIANGLE, *TWO_POOLS, count=2, max_length=4, start_tokens=["USD", "ETH"])
    rng = np.random.default_rng(seed)
    log = Log(world)
    for row in range(60):
        side, pool = int(rng.random() < 0.8), str(rng.choice(["eth-usd", "second"]))
        amount = float(rng.uniform(0.1, 1.0)) * (5.0 if side == 0 else 10_000.0)
        swap(world, row, amount, side, venue=pool)
        world.advance(world.now + ticks(float(rng.exponential(10.0))))
    world.advance(world.now + ticks(60.0))
    fills = of(world, log.fills)
    assert (fills["status"] == OK).sum() >= 4
    for legs in orders(fills):
        if legs["status"][0] == OK:
            usd = world.prices.reference[legs["token_in"][0]]
            cost = legs["gas_paid"].sum() * 2_000.0
            assert (legs["amount_out"][-1] - legs["amount_in"][0]) * usd > cost
    state = world.states["cyclists"]
    least = state.gas.min() * world.box.chains[0]["base_fee"] * 2_000.0
    left = state.gain * world.prices.reference[state.start]
    assert left.max() <= max(least, 1e-6 * world.venues.volume.sum())
    world.check()


def test_same_seed_same_fills():
    made = []
    for _ in range(2):
        world = make_world(*TRIANGLE, *TWO_POOLS, count=3, tip_share=0.3)
        push(world, 8)
        made.append(run(world, 120.0).fills.tobytes())
    assert made[0] == made[1]


# --- bad input -----------------------------------------------------------------------------------


def test_a_start_token_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="has no token 'DOGE'"):
        make_world(*TWO_POOLS, start_tokens=["DOGE"])


def test_a_start_token_without_a_price_is_refused():
    with pytest.raises(
        InputError, match="cannot start from 'LP-second', which has no reference price"
    ):
        make_world(*TWO_POOLS, start_tokens=["LP-second"])


@pytest.mark.parametrize(
    "changes",
    [{"max_length": 1}, {"max_length": 5}, {"tip_share": 1.0}, {"start_tokens": []}, {"count": 0}],
)
def test_values_out_of_range_are_refused(changes):
    with pytest.raises(ValidationError):
        config(**changes)
