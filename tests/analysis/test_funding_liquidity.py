"""Coverage, velocity and the distance to liquidation, by hand."""

import numpy as np
import pytest

from analysis.funding_liquidity import (
    collateral_velocity,
    coverage_ratios,
    liquidation_distance,
    reserve_table,
)
from analysis.setting import Setting
from tests.analysis.builders import frame

ASSETS = {"a/ETH": "ETH", "a/stETH": "ETH", "a/USD": "USD"}


def markets():
    """Return two samples of a market: 100 ETH, of which 40 are lent; 60 stETH; 1,000 USD."""
    return frame(
        "lending",
        time=[0.0, 0.0, 0.0, 3_600.0, 3_600.0, 3_600.0],
        venue="m",
        token=["a/ETH", "a/stETH", "a/USD"] * 2,
        supplied=[100.0, 60.0, 1_000.0, 100.0, 60.0, 1_000.0],
        borrowed=[40.0, 0.0, 0.0, 100.0, 0.0, 0.0],
        cash=[60.0, 60.0, 1_000.0, 0.0, 60.0, 1_000.0],
        utilization=[0.4, 0.0, 0.0, 1.0, 0.0, 0.0],
        oracle_price=[10.0, 10.0, 1.0] * 2,
    )


def test_coverage_is_cash_over_the_deposits_that_leave():
    """(1 - U) / w: 60 % of the deposits there, 30 % leave; then none is there."""
    ratio = coverage_ratios(markets())
    assert ratio["m ETH"].to_list() == pytest.approx([2.0, 0.0])
    assert coverage_ratios(markets(), 0.6)["m USD"].to_list() == pytest.approx([1 / 0.6] * 2)


def test_velocity_counts_deposits_over_those_that_were_not_borrowed_first():
    """160 deposited of which 40 were borrowed: 160 / 120; then 160 / 60."""
    found = collateral_velocity(markets(), ASSETS)
    assert found["ETH"].to_list() == pytest.approx([160 / 120, 160 / 60])
    assert found["USD"].to_list() == [1.0, 1.0]


def test_velocity_of_a_loop_is_one_over_the_haircut():
    """One token, nine tenths of each deposit borrowed and deposited again: 1 / 0.1."""
    deposits = 0.9 ** np.arange(400)
    loop = frame(
        "lending", time=[0.0], venue="m", token="a/ETH", supplied=deposits.sum(),
        borrowed=deposits[1:].sum(), oracle_price=10.0,
    )  # fmt: skip
    assert collateral_velocity(loop, ASSETS)["ETH"].iloc[0] == pytest.approx(10.0)


def test_reserves_say_how_full_they_were():
    table = reserve_table({"lending": markets()}, Setting())
    row = table.loc["m ETH"]
    assert (row["utilization_mean"], row["utilization_max"]) == (0.7, 1.0)
    assert (row["lcr_min"], row["supplied_usd"], row["borrowed_usd"]) == (0.0, 1_000.0, 1_000.0)
    assert row["hours_full"] == 0.0  # a sample lasts until the next: the last one for no time


def test_a_fall_seizes_what_is_that_near_to_it():
    """Safe ones at 1.005, 1.04 and 1.3; unsafe ones are not counted again."""
    positions = frame(
        "positions", time=[0.0] * 4 + [60.0], debt=[10.0, 20.0, 40.0, 80.0, 5.0],
        health_factor=[1.005, 1.04, 1.3, 0.99, 2.0],
    )  # fmt: skip
    found = liquidation_distance(positions)
    assert found.loc[0.0].to_list() == [10.0, 10.0, 30.0, 30.0, 30.0]
    assert found.loc[60.0].to_list() == [0.0] * 5
    # 1.3 x (1 - fall) is below 1 beyond a fall of 23 %
