"""Pools by a trading function: against closed forms, and the contract of every mechanism."""

import pytest

from sim.amm.token_pool import PoolPair
from sim.amm.weighted_facade import WeightedPool
from sim.check import check_mechanism
from sim.errors import InputError
from sim.orders import ADD, SWAP
from sim.plan import VenuePlan
from sim.trial import Request, Trial, actors, small_plan
from tests.sim.amm.power_pool import (
    BROKEN,
    LOG_POOL,
    POWER_POOL,
    LogPoolConfig,
    PowerPoolConfig,
)

WEIGHTS = [0.5, 0.3, 0.2]
RESERVES = [250.0, 300_000.0, 200.0]
LOGS = LogPoolConfig(
    kind="log_pool", chain="home", tokens=["ETH", "USD", "GAS"], reserves=RESERVES,
    parameters=WEIGHTS, fee=0.003,
)  # fmt: skip
PAIR = PoolPair(kind="log_pool", chain="home", pool="tested-0", tokens=["ETH", "GAS"])
POWER = PowerPoolConfig(
    kind="power_pool", chain="home", tokens=["USD", "GAS"], reserves=[2e5, 1e5],
    parameters=[0.5], fee=0.0,
)  # fmt: skip


def trial_of(mechanism, *configs):
    plans = [
        VenuePlan(f"tested-{k}", mechanism, "home", tuple(mechanism.nodes(c)), c)
        for k, c in enumerate(configs)
    ]
    return Trial(small_plan(tuple(plans), (actors(),)))


def test_pools_by_a_trading_function_keep_the_contract():
    check_mechanism(LOG_POOL, LOGS, PAIR, n_orders=40)
    check_mechanism(POWER_POOL, POWER, n_orders=20, twin=False)


@pytest.mark.parametrize("amount", [1e-6, 1.0, 20.0])
def test_a_pool_of_weights_is_the_weighted_pool(amount):
    """What it gives is right to 1e-14 of the reserve, and to 1e-9 of itself where that is more."""
    trial = trial_of(LOG_POOL, LOGS, PAIR)
    by_hand = WeightedPool(RESERVES, WEIGHTS, 0.003)
    assert trial.world.venues.price == pytest.approx([2_000.0, 2.0], rel=1e-9)
    out = trial.send(Request(1, SWAP, amount=amount)).fills["amount_out"][0]
    wanted = by_hand.swap_exact_in(0, 2, amount)
    assert out == pytest.approx(wanted, rel=1e-9, abs=1e-14 * RESERVES[2])
    assert trial.world.venues.price == pytest.approx(
        [by_hand.price(0, 1), by_hand.price(0, 2)], rel=1e-8
    )


def test_a_swap_up_to_a_price_ends_there():
    """Where arbitrage against 1,900 USD outside ends: at 1,900 / 0.997, less the fee that stays."""
    trial = trial_of(LOG_POOL, LOGS)
    outcome = trial.send(Request(0, SWAP, amount=40.0, price_limit=1_900.0 / 0.997))
    by_hand = WeightedPool(RESERVES, WEIGHTS, 0.003)
    by_hand.swap_exact_in(0, 1, 40.0, price_limit=1_900.0 / 0.997)
    fill = outcome.fills[0]
    assert fill["amount_in"] == pytest.approx(by_hand.reserves[0] - 250.0, rel=1e-6)
    assert fill["price_after"] == pytest.approx(by_hand.price(0, 1), rel=1e-8)


def test_a_power_sum_by_hand():
    """sqrt(x) + sqrt(y): 4 and 9 keep 5; at x = 6.25, y = 2.5^2."""
    config = POWER.model_copy(update={"reserves": [40_000.0, 90_000.0]})
    trial = trial_of(POWER_POOL, config)
    assert trial.world.venues.price[0] == pytest.approx(1.5, rel=1e-9)
    outcome = trial.send(Request(0, SWAP, amount=22_500.0))
    assert outcome.fills["amount_out"][0] == pytest.approx(27_500.0, rel=1e-12)
    assert trial.world.venues.price[0] == pytest.approx(1.0, rel=1e-9)


def test_adding_shows_the_price_anew():
    trial = trial_of(POWER_POOL, POWER)
    version = int(trial.world.venues.version[0])
    assert trial.send(Request(0, ADD, amount=10.0, amount1=10.0)).status == 0
    assert trial.world.venues.version[0] == version + 1


def test_a_function_that_falls_in_a_reserve_is_refused():
    with pytest.raises(InputError, match="must rise in every reserve"):
        trial_of(BROKEN, POWER)
