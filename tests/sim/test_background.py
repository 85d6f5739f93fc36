"""Background demand: bids, ages, room, and the prices that a calibrated demand pays."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from sim.background import BackgroundConfig, bid_weights, make_background, median_bid
from sim.gas_prices import N_PRICES, bucket_of, grid
from sim.kernel import ROOT
from sim.units import GWEI
from tests.worlds import bench, run

# 60th percentile of gas prices by hour, 12 March 2020, gwei
PRICES = (
    *(8, 10, 11, 10, 20, 15, 21, 30, 37, 36, 47, 84),
    *(110, 124, 151, 190, 191, 162, 92, 79, 67, 80, 76, 79),
)
SPREADS = (*[0.85] * 5, *[0.45] * 5, *[0.25] * 7, *[0.45] * 7)
CAPACITY = 1e7 / 13.1
DATA = Path(os.environ.get("UNDERTOW_DATA", ROOT.parent / "shared" / "data"))
GAS_FILE = "gas/ethereum_gas_10m_seven_crisis_days.parquet"


def demand(**fields):
    given_fields = {"gas_per_second": [1e6], "median_gwei": [50.0], "log_sd": [0.5], **fields}
    given_fields = {name: value for name, value in given_fields.items() if value is not None}
    return BackgroundConfig.model_validate(given_fields)


def world_with(config, *overrides, market="first_price", gas_limit=10_000_000):
    text = config.model_dump_json(exclude_none=True).replace('"', "").replace(":", ": ")
    return bench(
        "populations={}",
        "chains.mainnet.blocks={kind: fixed, interval_seconds: 13.1}",
        f"chains.mainnet.gas_limit={gas_limit}",
        f"chains.mainnet.fee_market={{kind: {market}, base_fee_gwei: 8}}",
        "chains.mainnet.mempool={lifetime_seconds: 3h}",
        f"chains.mainnet.background={text.replace(',', ', ')}",
        *overrides,
    )


def by_hour(log, column="p60"):
    hour = log.blocks["time"] // 3_600_000_000
    return np.array([np.median(log.blocks[column][hour == k]) for k in range(hour.max() + 1)])


# --- bids ----------------------------------------------------------------------------------------


def test_two_steps_of_the_grid_are_a_raise_of_ten_percent():
    prices = grid()
    np.testing.assert_allclose(prices[2:] / prices[:-2], 1.1, rtol=1e-12)
    assert [bucket_of(price) for price in prices] == list(range(N_PRICES))


@given(st.floats(0.1, 1_000.0), st.floats(0.05, 1.5))
def test_bids_are_lognormal(median, log_sd):
    weights, prices = bid_weights(median * GWEI, log_sd), grid()
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    mean = weights @ np.log(prices)
    assert mean == pytest.approx(np.log(median * GWEI), abs=0.03)
    spread = np.sqrt(weights @ (np.log(prices) - mean) ** 2)
    assert spread == pytest.approx(log_sd, rel=0.05)


def test_a_full_block_takes_what_its_median_bid_was_chosen_for():
    """Half more demand than room: 40 % of the room is 26.7 % of the demand."""
    median = median_bid(100.0, 1.5, 1.0, 0.3, is_base_fee=False)
    assert 1.5 * norm.sf(np.log(100.0 / median) / 0.3) == pytest.approx(0.4, rel=1e-9)


def test_with_a_base_fee_those_who_bid_more_than_it_fill_half_a_block():
    median = median_bid(100.0, 1.5, 1.0, 0.3, is_base_fee=True)
    assert 1.5 * norm.sf(np.log(100.0 / median) / 0.3) == pytest.approx(0.5, rel=1e-9)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"median_gwei": None}, "give target_gwei or median_gwei"),
        ({"target_gwei": [5.0]}, "give target_gwei or median_gwei"),
        ({"log_sd": [0.0]}, "log_sd must be above 0"),
        ({"gas_per_second": [-1.0]}, "gas_per_second must be 0 or more"),
        ({"median_gwei": None, "target_gwei": [5.0], "rebid_minutes": 3.0}, "stay as they are"),
    ],
)
def test_a_demand_that_makes_no_sense_is_refused(fields, says):
    with pytest.raises(ValueError, match=says):
        demand(**fields)


# --- prices paid ---------------------------------------------------------------------------------


@pytest.mark.parametrize("surplus", [0.95, 1.05])
def test_without_agents_the_hourly_prices_of_12_march_2020_come_out(surplus):
    config = demand(
        gas_per_second=[surplus * CAPACITY],
        median_gwei=None,
        target_gwei=[float(price) for price in PRICES],
        log_sd=list(SPREADS),
    )
    log = run(world_with(config), 86_399.0)
    np.testing.assert_allclose(by_hour(log) / GWEI, PRICES, rtol=0.1)


def crisis_days():
    path = DATA / GAS_FILE
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    file = pd.read_parquet(path)
    return {str(day): rows for day, rows in file.groupby(file["time"].dt.date)}


def test_the_hourly_prices_of_12_march_2020_are_those_of_the_chain():
    day = crisis_days()["2020-03-12"]
    hourly = day.groupby(day["time"].dt.hour)["p60_gwei"].median()
    np.testing.assert_allclose(PRICES, hourly, rtol=0.1)


def test_without_agents_the_hourly_prices_of_crisis_days_come_out():
    for rows in crisis_days().values():
        hourly = rows.groupby(rows["time"].dt.hour)["p60_gwei"].median().to_numpy()
        config = demand(
            gas_per_second=[1.02 * CAPACITY],
            median_gwei=None,
            target_gwei=hourly.tolist(),
            log_sd=[0.4],
        )
        log = run(world_with(config), 86_399.0)
        np.testing.assert_allclose(by_hour(log) / GWEI, hourly, rtol=0.1)


def test_under_a_base_fee_the_target_is_what_all_pay():
    config = demand(
        gas_per_second=[CAPACITY], median_gwei=None, target_gwei=[30.0, 60.0], log_sd=[0.5]
    )
    log = run(world_with(config, market="eip1559"), 7_199.0)
    late = log.blocks["time"] // 1_000_000 % 3_600 > 1_200
    hour = log.blocks["time"][late] // 3_600_000_000
    base = log.blocks["base_fee"][late]
    assert [base[hour == k].mean() / GWEI for k in (0, 1)] == pytest.approx([30, 60], rel=0.1)


def test_with_raised_bids_the_price_peaks_hours_after_the_jump():
    rates = [0.9 * CAPACITY] * 2 + [1.4 * CAPACITY] * 3 + [0.8 * CAPACITY]
    config = demand(gas_per_second=rates, median_gwei=[20.0], log_sd=[0.5], rebid_minutes=5.0)
    price = by_hour(run(world_with(config), 43_199.0))
    assert price[2] < 0.5 * price.max()  # the jump comes at 2 h
    assert 4 <= price.argmax() <= 7
    assert price[-1] < 0.7 * price.max()


# --- conservation --------------------------------------------------------------------------------


@given(
    st.floats(0.5, 3.0),
    st.floats(0.1, 1.2),
    st.sampled_from([None, 5.0]),
    st.sampled_from(["0", "200000000"]),
)
def test_all_gas_that_arrived_was_included_or_dropped_or_waits(surplus, log_sd, rebid, room):
    config = demand(gas_per_second=[surplus * CAPACITY], log_sd=[log_sd], rebid_minutes=rebid)
    world = world_with(config, f"chains.mainnet.mempool={{lifetime_seconds: 10m, gas: {room}}}")
    blocks = run(world, 3_000.0).blocks
    d, waiting = world.background.demand[0], world.background.total[0].sum()
    assert d["arrived"] == pytest.approx(surplus * CAPACITY * 0.999 * 3_000.0, rel=0.01)
    assert d["included"] + d["dropped"] + waiting == pytest.approx(d["arrived"], rel=1e-9)
    assert blocks["background_gas"].sum() == pytest.approx(d["included"], abs=len(blocks))
    assert waiting <= surplus * CAPACITY * 600.0
    if room != "0":
        assert waiting <= 2e8 * (1 + 1e-9)
    world.check()


def test_the_table_of_no_demand_is_empty():
    assert make_background([]).total.shape == (0, N_PRICES)
