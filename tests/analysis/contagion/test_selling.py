"""Depth: what a pool and the outside market take until the price has fallen."""

import numpy as np
import pytest

from analysis.contagion.selling import depths, last_at
from tests.analysis.builders import frame
from tests.analysis.contagion.books import TIME, manifest, tables


def test_a_constant_product_pool_falls_as_its_reserves_say():
    depth = depths(tables(), manifest(), TIME)["b/wETH"]

    # 40 x 80,000 is kept: after 10 wETH are in, the price is 80,000 x 40 / 50^2 = 1,280
    assert depth.price == 2_000.0
    assert float(depth.price_ratio(10 * 2_000.0)) == pytest.approx(0.64, rel=1e-4)


def test_a_token_with_an_outside_market_without_impact_never_falls():
    depth = depths(tables(), manifest(), TIME)["b/ETH"]

    np.testing.assert_array_equal(depth.price_ratio([0.0, 1e12]), 1.0)


def test_the_outside_market_falls_by_its_impact():
    about = manifest()
    about["scenario"]["assets"]["ETH"]["impact"] = {
        "permanent_coefficient": 1.0, "transient_coefficient": 4.0, "volatility": 0.05,
        "daily_volume_usd": 1e9,
    }  # fmt: skip
    depth = depths(tables(), about, TIME)["a/ETH"]

    # 5 x 5 % x 400m / 1bn = 10 % of the log price
    assert float(depth.price_ratio(4e8)) == pytest.approx(np.exp(-0.1), rel=1e-4)


def test_a_range_of_concentrated_liquidity_pays_no_more_than_it_has():
    about, records = manifest(), tables()
    about["scenario"]["venues"]["pool"]["kind"] = "concentrated_liquidity"
    records["pools"] = records["pools"].assign(liquidity=10 * np.sqrt(40.0 * 80_000.0))
    depth = depths(records, about, TIME)["b/wETH"]

    # 400 and 800,000 virtual: 80,000 are out when y_v has fallen by a tenth, x = 400 (1/.9 - 1)
    assert depth.sold[-1] == pytest.approx(2_000.0 * 400.0 / 9.0, rel=1e-9)
    assert float(depth.price_ratio(2_000.0 * 44.0)) == pytest.approx((400 / 444) ** 2, rel=1e-4)
    assert float(depth.price_ratio(1e6)) == 0.0


def test_more_sold_never_means_a_higher_price():
    depth = depths(tables(), manifest(), TIME)["b/wETH"]

    assert (np.diff(depth.price_ratio(np.geomspace(1.0, 1e12, 200))) <= 0.0).all()


def test_the_last_sample_at_or_before_a_time_counts():
    samples = frame("prices", time=[1.0, 2.0, 2.0, 3.0], reference=[1.0, 2.0, 2.5, 3.0])

    assert last_at(samples, 2.5)["reference"].tolist() == [2.0, 2.5]
    assert last_at(samples, 0.5).empty
