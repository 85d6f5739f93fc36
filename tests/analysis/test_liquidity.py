"""Quantities of pools and bridges, by hand."""

import numpy as np
import pytest

from analysis.liquidity import (
    depeg_episodes,
    depeg_summary,
    liquidity_fills,
    markout,
    markout_share,
    pool_results,
    pool_summary,
    price_errors,
    swap_fills,
    usd_of_gas,
)
from analysis.series import growth, held_seconds, value_at
from tests.analysis.builders import frame, rows


def pools():
    """Return a pool worth 200, 180 and 190 USD whose fees and losses run up."""
    return frame(
        "pools",
        time=[0.0, 60.0, 120.0],
        venue="eth-usd",
        price=[100.0, 82.0, 90.0],
        reference_price=[100.0, 80.0, 90.0],
        reserve0=[1.0, 1.1, 1.05],
        reserve1=[100.0, 92.0, 95.5],
        value_usd=[200.0, 180.0, 190.0],
        volume_usd=[5.0, 15.0, 30.0],
        fees_usd=[1.0, 3.0, 4.0],
        lvr_usd=[2.0, 5.0, 6.0],
    )


def fills(**changed):
    columns = {
        "time": [30.0, 90.0, 90.0],
        "chain": "mainnet",
        "kind": ["constant_product.swap", "constant_product.swap", "constant_product.swap"],
        "venue": "eth-usd",
        "token_in": ["mainnet/ETH", "mainnet/USD", "mainnet/ETH"],
        "token_out": ["mainnet/USD", "mainnet/ETH", "mainnet/USD"],
        "amount_in": [1.0, 50.0, 0.0],
        "amount_out": [95.0, 0.5, 0.0],
        "value_in": [90.0, 50.0, 0.0],
        "gas_paid": 0.01,
        "status": ["OK", "OK", "SLIPPAGE"],
    }
    return frame("fills", **(columns | changed))


def prices():
    return rows(
        "prices",
        [
            {"time": [0.0, 60.0, 120.0], "asset": "ETH", "reference": [100.0, 80.0, 90.0]},
            {"time": [0.0, 60.0, 120.0], "asset": "USD", "reference": 1.0},
        ],
    )


ASSETS = {"mainnet/ETH": "ETH", "mainnet/USD": "USD"}


def test_fees_less_loss_plus_inventory_is_the_change_in_value():
    found = pool_results(pools(), fills(), 0.0)
    assert found["fees"].to_list() == [0.0, 2.0, 3.0]
    assert found["lvr"].to_list() == [0.0, 3.0, 4.0]
    assert found["inventory"].to_list() == [0.0, -20.0 - 2.0 + 3.0, -10.0 - 3.0 + 4.0]
    assert found["total"].to_list() == [0.0, -20.0, -10.0]


def test_inventory_of_a_pool_with_flows_is_reserves_times_price_changes():
    added = fills(kind=["constant_product.add", "constant_product.swap", "constant_product.swap"])
    found = pool_results(pools(), added, 0.0)
    assert found["inventory"].to_numpy() == pytest.approx(
        [0.0, 1.0 * -20, -20 + 1.1 * 10], rel=0.05
    )


def test_pool_results_start_after_the_warm_up():
    found = pool_results(pools(), fills(), 60.0)
    assert found["time"].to_list() == [60.0, 120.0]
    assert found["fees"].to_list() == [0.0, 1.0]


def test_a_pool_without_two_reference_prices_has_no_loss_versus_rebalancing():
    assert pool_results(pools().assign(reference_price=0.0), fills(), 0.0).empty


def test_net_return_takes_loss_and_gas_off_fees():
    added = fills(kind=["constant_product.add", "constant_product.swap", "constant_product.swap"])
    gas = np.array([0.5, 9.0, 9.0])
    found = pool_summary(pools(), added, gas, 0.0)["eth-usd"]
    assert found["lp_gas_usd"] == 0.5
    assert found["lp_net_return"] == pytest.approx((3.0 - 4.0 - 0.5) / 200.0)
    assert found["volume_usd"] == 25.0


def test_swaps_and_liquidity_are_told_apart_by_their_verb():
    mixed = fills(kind=["concentrated.mint", "concentrated.swap", "concentrated.swap"])
    assert swap_fills(mixed, pools())["time"].to_list() == [90.0]
    assert liquidity_fills(mixed, pools())["time"].to_list() == [30.0]


def test_price_error_is_the_logarithm_of_pool_over_reference():
    errors = price_errors(pools())["eth-usd"].to_list()
    assert errors == pytest.approx([0.0, 0.024692612590371414, 0.0])  # ln 1.025


def test_markout_values_a_swap_at_later_prices():
    # 30 s later: 1 ETH in, worth 80, for 95 USD; 50 USD in for 0.5 ETH, worth 45
    swaps = swap_fills(fills(), pools())
    gains = markout(swaps, prices(), ASSETS, 30.0)
    assert gains.tolist() == [80.0 - 95.0, 50.0 - 45.0]
    assert markout_share(swaps, gains) == pytest.approx(-10.0 / 140.0)


def test_markout_is_unknown_beyond_the_run_and_without_a_price():
    swaps = swap_fills(fills(), pools())
    assert np.isnan(markout(swaps, prices(), ASSETS, 60.0)).tolist() == [False, True]
    assert np.isnan(markout(swaps, prices(), {}, 0.0)).all()


def test_gas_costs_the_native_token_at_the_last_price():
    assert usd_of_gas(fills(), prices(), {"mainnet": "ETH"}).tolist() == [1.0, 0.8, 0.8]


def minutes(*parts):
    """Return samples a minute apart: (number of minutes, depeg) after each other."""
    depeg = np.concatenate([np.full(n, value) for n, value in parts])
    return np.arange(len(depeg)) * 60.0, depeg


def test_a_depeg_starts_after_ten_minutes_and_ends_after_an_hour():
    times, depeg = minutes((5, 0.0), (30, -0.01), (10, 0.003), (61, 0.001), (5, 0.0))
    (episode,) = depeg_episodes(times, depeg)
    assert (episode.start, episode.end) == (5 * 60.0, 45 * 60.0)


def test_a_spike_of_nine_minutes_is_no_depeg():
    assert depeg_episodes(*minutes((5, 0.0), (10, -0.01), (90, 0.0))) == []  # 10 samples: 9 min


def test_a_short_return_to_par_does_not_end_a_depeg():
    times, depeg = minutes((1, 0.0), (20, -0.02), (30, 0.0), (20, -0.02), (5, 0.0))
    (episode,) = depeg_episodes(times, depeg)
    assert (episode.start, episode.end) == (60.0, times[-1])


def test_the_summary_of_bridges_takes_the_worst_token():
    times, depeg = minutes((1, 0.0), (20, -0.02), (70, 0.0))
    bridges = rows(
        "bridges",
        [
            {"time": times, "venue": "a", "depeg": depeg, "backing_ratio": 0.9},
            {"time": times, "venue": "b", "depeg": 0.001, "backing_ratio": 1.0},
        ],
    )
    found = depeg_summary(bridges, 0.0)
    assert found == {"depeg_max": 0.02, "depeg_minutes": 20.0, "backing_ratio_min": 0.9}


def test_a_running_total_grows_from_its_last_sample_before_the_start():
    assert growth(pools(), "venue", "fees_usd", 90.0).to_dict() == {"eth-usd": 1.0}
    assert growth(pools(), "venue", "fees_usd", 0.0).to_dict() == {"eth-usd": 3.0}


def test_a_value_holds_until_the_next_sample():
    assert value_at([0.0, 10.0], [1.0, 2.0], [-1.0, 0.0, 9.0, 10.0]).tolist()[1:] == [1.0, 1.0, 2.0]
    assert np.isnan(value_at([0.0], [1.0], [-1.0])).all()
    assert held_seconds([0.0, 10.0, 30.0], [True, False, True]) == 10.0
