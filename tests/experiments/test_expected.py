"""The table of what was expected and what came out."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from experiments.expected import ROWS, Row, fano, liquidated_share, pool_gap, table, verdict
from experiments.scenario import shipped_scenarios

ROW = Row("height", "m", lambda _: 1.0, 1.0, 3.0, "P")
DONE = pd.DataFrame(
    {"venue": ["cdp", "cdp", "other"], "time": [30_000.0, 90_000.0, 30_000.0],
     "debt_usd": [5.0, 3.0, 9.0]}
)  # fmt: skip


def result(**tables):
    return SimpleNamespace(tables=tables)


@pytest.mark.parametrize(
    ("low", "high", "mean", "expected"),
    [
        (1.0, 3.0, 2.0, "as expected"),
        (1.0, 3.0, 0.9, "miss"),
        (1.0, None, 9.0, "as expected"),
        (None, 3.0, 3.1, "miss"),
        (1.0, None, float("inf"), "miss"),
        (None, None, 9.0, "-"),
    ],
)
def test_a_mean_outside_its_range_is_a_miss(low, high, mean, expected):
    assert verdict(ROW._replace(low=low, high=high), mean) == expected


def test_the_table_shows_mean_standard_error_and_extremes():
    # 1, 2, 3 have a standard deviation of 1 and a standard error of 1 / sqrt(3).
    line = table([ROW], np.array([[1.0], [2.0], [3.0]])).splitlines()[-1]
    assert line == "| height | m | 1 to 3 | 2 | 0.577 | 1 | 3 | as expected | P |"


def test_liquidated_shares_count_one_venue_up_to_a_time_over_the_debt_of_the_start():
    held = pd.DataFrame(
        {"venue": ["cdp", "cdp", "other", "cdp"], "time": [0.0, 0.0, 0.0, 9.0],
         "debt": [60.0, 40.0, 7.0, 1.0]}
    )  # fmt: skip
    found = result(liquidations=DONE, positions=held)
    assert liquidated_share(found, venue="cdp", until=86_400.0) == pytest.approx(5.0)
    assert liquidated_share(found, venue="cdp") == pytest.approx(8.0)


def test_the_gap_is_the_largest_of_the_pools_within_the_hours():
    pools = pd.DataFrame(
        {"venue": ["eth-dai"] * 3, "time": [0.0, 3_600.0, 7_200.0], "price": [50.0, 98.0, 101.0],
         "reference_price": 100.0}
    )  # fmt: skip
    assert pool_gap(result(pools=pools), first=1.0, last=2.0) == pytest.approx(2.0203, abs=1e-4)


def test_the_fano_factor_is_variance_over_mean_of_ten_minutes():
    # From 6 h to 6 h 40 min there are four bins with 4, 0, 0 and 0: mean 1, variance 3.
    times = 21_600.0 + np.array([1.0, 2.0, 3.0, 4.0])
    found = result(
        liquidations=pd.DataFrame({"time": times}), prices=pd.DataFrame({"time": [24_000.0]})
    )
    assert fano(found) == pytest.approx(3.0)


def test_every_table_is_of_a_shipped_scenario():
    assert {name.split()[0] for name in ROWS} <= set(shipped_scenarios())
