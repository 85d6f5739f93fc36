"""Square-root prices of ticks against whole-number powers and the published constants."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.amm.tick_math import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    Q96,
    max_liquidity_per_tick,
    sqrt_price_at_tick,
    sqrt_price_limit,
    tick_at_sqrt_price,
)
from tests.sim.amm import integer_reference as reference

ticks = st.integers(MIN_TICK, MAX_TICK - 1)
at = sqrt_price_at_tick.py_func
tick_at = tick_at_sqrt_price.py_func


def test_reference_meets_the_published_extreme_prices():
    assert reference.MIN_SQRT == 4295128739
    assert reference.MAX_SQRT == 1461446703485210103287273052203988822378723970342


def test_extreme_prices_are_the_published_ones():
    assert MIN_SQRT_PRICE * Q96 == 4295128739.0
    assert at(MAX_TICK) == MAX_SQRT_PRICE
    assert at(MIN_TICK) == MIN_SQRT_PRICE
    assert at(0) == 1.0


@given(ticks)
def test_sqrt_price_is_that_of_the_whole_number_powers(tick):
    assert at(tick) == pytest.approx(reference.sqrt_price_at_tick(tick) / 2**96, rel=3e-16)


def test_prices_below_2_to_the_minus_43_lie_on_the_contract_grid():
    for tick in range(MIN_TICK, MIN_TICK + 5_000, 7):
        assert at(tick) * Q96 == reference.sqrt_price_at_tick(tick)


@given(ticks)
def test_tick_of_a_tick_price_is_the_tick(tick):
    assert tick_at(at(tick)) == tick


@given(ticks.filter(lambda tick: tick > MIN_TICK))
def test_tick_just_below_a_tick_price_is_one_less(tick):
    assert tick_at(math.nextafter(at(tick), 0.0)) == tick - 1


@given(ticks)
def test_one_tick_is_one_basis_point_of_price(tick):
    tolerance = 2.0 / (at(tick) * Q96) + 1e-15  # the grid shows at the lowest prices
    assert (at(tick + 1) / at(tick)) ** 2 == pytest.approx(1.0001, rel=tolerance)


def test_limits_stop_short_of_the_extreme_ticks():
    assert MIN_SQRT_PRICE < sqrt_price_limit.py_func(True) == 4295128740 / Q96
    assert sqrt_price_limit.py_func(False) < MAX_SQRT_PRICE
    assert tick_at(sqrt_price_limit.py_func(False)) == MAX_TICK - 1


@pytest.mark.parametrize(
    ("spacing", "most"),
    [
        (10, 1917569901783203986719870431555990),
        (60, 11505743598341114571880798222544994),
        (200, 38350317471085141830651933667504588),
    ],
)
def test_most_liquidity_per_tick_is_the_published_one(spacing, most):
    assert max_liquidity_per_tick(spacing) == float(most)


def test_compiled_and_interpreted_ticks_agree():
    for tick in range(MIN_TICK, MAX_TICK, 34_567):
        assert sqrt_price_at_tick(tick) == at(tick)
        assert tick_at_sqrt_price(at(tick)) == tick
