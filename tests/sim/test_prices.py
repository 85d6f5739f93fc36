"""Prices of tokens: the grid, scales, and impact on top."""

import math

import numpy as np
import pytest

from sim.prices import fundamental_at, make_prices, update_prices
from sim.reference.config import ImpactConfig
from sim.reference.impact import apply_trade, make_impact
from sim.units import MINUTE, ticks

PATHS = np.array([[100.0, 110.0, 121.0], [1.0, 1.0, 1.0]])


@pytest.mark.parametrize(
    ("seconds", "price"),
    [(0.0, 100.0), (9.999999, 100.0), (10.0, 110.0), (20.0, 121.0), (999.0, 121.0)],
)
def test_the_fundamental_is_the_grid_value_at_or_before(seconds, price):
    prices = make_prices(PATHS, 10.0, [0, 1])
    assert fundamental_at(prices, 0, ticks(seconds)) == price


def test_tokens_follow_their_assets_and_scales():
    prices = make_prices(PATHS, 10.0, [1, 0, 0, -1])
    prices.scale[:] = [1.0, 1.0, 1.05, 1.0]
    update_prices(prices, ticks(10.0))
    assert prices.fundamental.tolist() == [1.0, 110.0, 110.0 * 1.05, 0.0]
    assert prices.reference.tolist() == prices.fundamental.tolist()


def test_impact_moves_the_reference_and_not_the_fundamental():
    config = ImpactConfig(daily_volume_usd=1e9, volatility=0.04)
    prices = make_prices(PATHS, 10.0, [0, 1], make_impact([config, None]))
    apply_trade(prices, 0, -1e7, 0)  # sells 1 % of the turnover of a day
    update_prices(prices, 0)
    permanent, transient = -0.3 * 0.04 * 0.01, -7.0 * 0.04 * 0.01
    assert prices.reference[0] == pytest.approx(100.0 * math.exp(permanent + transient), rel=1e-15)
    assert prices.fundamental[0] == 100.0
    assert prices.reference[1] == 1.0
    update_prices(prices, ticks(15 * MINUTE))  # half-life
    expected = 121.0 * math.exp(permanent + transient / 2.0)
    assert prices.reference[0] == pytest.approx(expected, rel=1e-14)
