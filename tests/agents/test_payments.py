"""Payment users arrive with the native stablecoin, by the cheapest way."""

import pytest

from agents.payments import KIND, PaymentsConfig
from sim.errors import InputError
from tests.agents.crossing import Log, crossing, shock


def payers(**fields):
    given = {
        "kind": "payments", "chain": "home", "other_chain": "other", "token": "USD",
        "other_token": "USD", "count": 100, "payments_per_day": 12.0, "median_usd": 300.0,
        "size_log_sd": 0.3, **fields,
    }  # fmt: skip
    return PaymentsConfig(**given)


def test_payments_go_both_ways_over_the_network_where_it_is_cheapest():
    world = crossing(KIND, payers())
    log = Log(world)
    log.run(6.0)
    sends = log.done("liquidity_network.send")
    assert {int(f["a"]) for f in sends} == {0, 1}
    assert log.done("lock_and_mint.send") == []
    # 100 users, 12 a day, a quarter of a day: 300 arrivals, standard deviation 17; five of them.
    assert 215 < len(sends) < 385


def test_without_a_network_they_swap_the_wrapped_token_when_it_arrives():
    world = crossing(KIND, payers(), network=False)
    log = Log(world)
    log.run(6.0)
    locks = [f for f in log.done("lock_and_mint.send") if f["a"] == 0]
    swaps = [
        f
        for f in log.done("constant_product.swap")
        if f["token_in"] == world.token("other", "bUSD")
    ]
    assert len(locks) > 50
    on_the_way = int(world.states["people"][0].number[1])
    assert 0 <= len(locks) - len(swaps) <= on_the_way
    assert sum(f["amount_in"] for f in swaps) <= sum(f["amount_out"] for f in locks) * (1 + 1e-12)
    log.run(6.2)
    held = world.balances("people", world.token("other", "bUSD"))
    assert (held > 0.0).sum() <= on_the_way + 30


def test_on_the_way_back_swap_and_burn_are_one_order():
    world = crossing(KIND, payers(), network=False)
    log = Log(world)
    log.run(6.0)
    burns = [f for f in log.done("lock_and_mint.send") if f["a"] == 1]
    assert len(burns) > 50
    swaps = {int(f["id"]): f for f in log.done("constant_product.swap")}
    for burn in burns:
        assert burn["leg"] == 1
        assert burn["amount_in"] == swaps[int(burn["id"])]["amount_out"]


def test_when_a_leg_fails_the_whole_order_fails():
    world = crossing(KIND, payers(), network=False)
    log = Log(world)
    shock(world, "pause_bridge")
    assert log.run(3.0) == []


def test_nobody_pays_more_than_the_dearest_accepted():
    world = crossing(KIND, payers(max_cost=0.0003), network=False)  # 5 bp and 5 bp at least
    log = Log(world)
    assert log.run(3.0) == []


def test_a_token_that_no_bridge_takes_is_refused():
    with pytest.raises(InputError, match="none of its bridges takes ETH on home"):
        crossing(KIND, payers(token="ETH"))
