"""Loopers: carry by hand, what makes them unwind, and what an unwinding does."""

import math

import numpy as np
import pytest

from agents.looping import carry_of
from sim.lending.state import LendingState
from sim.orders import UNWIND
from sim.units import ticks
from tests.agents.test_borrowers import column, config, run, world_with
from tests.worlds import Log

POOL = (
    "venues.pool={kind: constant_product, chain: mainnet, tokens: [ETH, USD], fee: 0, "
    "value_usd: 1e9}"
)
LOOP = {
    "unwind_pool": "pool", "unwind_hours": 1.0, "unwind_discount": 0.02, "unwind_part": 0.25,
    "alarm_low": 1.0001, "alarm_high": 1.0001, "cash_share": 0.0, "unwind_slippage": 0.05,
}  # fmt: skip


def looping(rate=0.0, **changes):
    """One account at health 1.4 that owes 10,000 USD; the loan costs `rate`."""
    world = world_with(overrides=(POOL,), **(LOOP | changes))
    reserves = world.shared[LendingState].reserves
    reserves["base_rate"][1] = rate
    return world


def debt_of(world):
    return float(column(world, "debt")[0])


@pytest.mark.parametrize(
    ("terms", "carry"),
    [
        ((1_000.0, 900.0, 0.03, 0.0, 0.027), (30.0 - 24.3) / 100.0),
        ((1_000.0, 900.0, 0.03, 0.0, 0.827), (30.0 - 744.3) / 100.0),
        ((1_000.0, 900.0, 0.03, 0.01, 0.04), (40.0 - 36.0) / 100.0),
        ((1_000.0, 0.0, 0.03, 0.0, 0.5), 0.03),
        ((900.0, 900.0, 0.03, 0.0, 0.0), -math.inf),
    ],
)
def test_carry_by_hand(terms, carry):
    assert carry_of(*terms) == pytest.approx(carry, rel=1e-12)


def test_a_loop_that_pays_is_left_alone():
    world = looping(collateral_yield=0.03)
    assert len(run(world, 12 * 3_600.0)) == 0


def test_negative_carry_unwinds_after_the_delay_in_parts_until_the_debt_is_gone():
    world = looping(rate=0.5)
    fills = run(world, 24 * 3_600.0)
    first = fills[fills["verb"] == world.verb_names.index("lending.unwind")]
    assert 3_600.0 <= first["time"][0] / 1e6 <= 3_600.0 + 36.0  # the first look is at once
    assert np.diff(first["time"]).min() >= 3_600e6
    assert debt_of(world) == pytest.approx(0.0, abs=1e-6)
    assert (fills["status"] == 0).all()


def test_one_part_sells_its_share_and_repays_what_it_brought():
    """17,500 USD of collateral at 1.4 x 10,000 / 0.8; a quarter is 2.1875 ETH for 4,375 USD."""
    world = looping(rate=0.5)
    fills = run(world, 1.5 * 3_600.0)
    taken, sold, repaid = fills
    assert taken["verb"] == world.verb_names.index("lending.supply") + UNWIND
    assert taken["amount_out"] == pytest.approx(2.1875, rel=1e-4)  # an hour of interest
    assert sold["amount_in"] == taken["amount_out"]
    depth = 250_000.0
    sale = taken["amount_out"]
    assert sold["amount_out"] == pytest.approx(5e8 * sale / (depth + sale), rel=1e-9)
    assert repaid["amount_in"] == sold["amount_out"]


def test_a_discount_in_the_pool_unwinds_even_a_loop_that_pays():
    world = looping(collateral_yield=0.03)
    world.venues.price[world.venue("pool")] = 2_000.0 * 0.975
    fills = run(world, 2 * 3_600.0)
    assert len(fills) > 0


def test_whoever_would_lose_too_much_in_the_pool_waits():
    """The pool is worth 10,000 USD: a quarter of 8.75 ETH moves it by more than 1 %."""
    small = POOL.replace("1e9", "10000")
    world = world_with(overrides=(small,), **(LOOP | {"unwind_slippage": 0.01}))
    world.shared[LendingState].reserves["base_rate"][1] = 0.5
    log = Log(world)
    world.advance(ticks(3 * 3_600.0))
    sold = log.fills[log.fills["verb"] == world.verb_names.index("constant_product.swap")]
    # 2.5 ETH in the pool: 1 % of slippage is 0.025 ETH at most, less than the smallest part
    assert len(sold) == 0
    assert debt_of(world) > 10_000.0


def test_without_a_pool_nobody_unwinds():
    world = world_with(overrides=(POOL,), **(LOOP | {"unwind_pool": None}))
    world.shared[LendingState].reserves["base_rate"][1] = 5.0
    assert len(run(world, 6 * 3_600.0)) == 0


def test_a_pool_of_other_tokens_is_refused():
    assert config(unwind_pool="pool").unwind_carry == 0.0
    with pytest.raises(ValueError, match="no pool of ETH and USD"):
        world_with(unwind_pool="eth-feed")
