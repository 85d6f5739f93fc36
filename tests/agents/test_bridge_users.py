"""Bridge users choose the cheapest bridge, stop below par, and flee when frightened."""

import numpy as np
import pytest

from agents.bridge_users import KIND, BridgeUsersConfig
from tests.agents.crossing import Log, crossing, shock


def people(**fields):
    given = {
        "kind": "bridge_users", "chain": "home", "other_chain": "other", "count": 200,
        "transfers_per_day": 12.0, "median_usd": 500.0, "size_log_sd": 0.5, **fields,
    }  # fmt: skip
    return BridgeUsersConfig(**given)


def push_below_par(world, share):
    """Sell so many wrapped tokens into the pool, by hand, that its price falls by `share`."""
    pools = world.states["constant_product"]
    root = np.sqrt(1.0 - share)
    group = world.group("people")
    amount = pools.reserve0[0] * (1.0 / root - 1.0)
    world.endow(group, 0, world.token("other", "bUSD"), amount)
    lock = world.states["lock_and_mint"]
    world.endow(int(lock.group[0]), 0, world.token("home", "USD"), amount)
    lock.escrow[0] += amount
    world.submit("pool", "swap", "people", 0, amount=amount * 1.0005, a=0, tip_gwei=5.0)


def test_users_cross_both_ways_by_the_cheapest_bridge():
    world = crossing(KIND, people())
    log = Log(world)
    log.run(12.0)
    sends = log.done("liquidity_network.send")
    assert {int(f["a"]) for f in sends} == {0, 1}
    # 200 users, 12 a day, half a day: 1,200 arrivals, standard deviation 35; five of them below.
    assert 1_025 < len(log.rows) < 1_375
    assert len(sends) > 0.9 * len(log.rows)  # 2 to 20 bp against 5 bp and 5 minutes more of waiting


def test_without_a_network_they_lock_and_burn():
    world = crossing(KIND, people(), network=False)
    log = Log(world)
    log.run(6.0)
    assert {int(f["a"]) for f in log.done("lock_and_mint.send")} == {0, 1}
    assert world.states["lock_and_mint"].fees[0] > 0.0


def test_nobody_buys_into_a_wrapped_token_below_par():
    world = crossing(KIND, people(watching_share=0.0), network=False)
    push_below_par(world, 0.05)
    log = Log(world)
    log.run(0.05)
    log.run(3.0)
    sends = log.done("lock_and_mint.send")
    assert {int(f["a"]) for f in sends} == {1}


def test_nobody_uses_a_paused_bridge():
    world = crossing(KIND, people(), network=False)
    log = Log(world)
    shock(world, "pause_bridge")
    assert log.run(2.0) == []


def test_the_frightened_redeem_while_the_escrow_pays():
    config = people(transfers_per_day=0.0, watching_share=1.0, reaction_minutes=10.0)
    world = crossing(KIND, config, network=False)
    push_below_par(world, 0.05)
    log = Log(world)
    log.run(12.0)
    burns = log.done("lock_and_mint.send")
    assert len(burns) == 200
    assert all(f["a"] == 1 for f in burns)
    # Half have acted after the median delay: a binomial of 200, standard deviation 7; five of them.
    early = sum(f["arrival"] <= 600_000_000 + burns[0]["arrival"] for f in burns)
    assert 60 < early < 140
    assert world.balances("people", world.token("other", "bUSD")).sum() == 0.0


def test_the_frightened_sell_when_the_escrow_is_gone():
    world = crossing(KIND, people(transfers_per_day=0.0, watching_share=0.5), network=False)
    push_below_par(world, 0.03)
    log = Log(world)
    log.run(0.001)
    escrow = float(world.states["lock_and_mint"].escrow[0])
    shock(world, "forge", mode="release_from_escrow", population="people", amount=escrow)
    log.run(12.0)
    assert log.done("lock_and_mint.send") == []
    n_watchers = len(world.states["people"][0].watcher)
    # The seller of the push is among the rows, and each watcher sells once, within its slippage.
    assert n_watchers - 5 <= len(log.done("constant_product.swap")) <= n_watchers + 1
    assert world.venues.price[1] < 0.97


@pytest.mark.parametrize("seed", [1, 2])
def test_two_runs_of_one_seed_are_the_same(seed):
    fills = []
    for _ in range(2):
        world = crossing(KIND, people(), seed=seed)
        log = Log(world)
        fills.append([f.tobytes() for f in log.run(3.0)])
    assert fills[0] == fills[1]
    assert fills[0]
