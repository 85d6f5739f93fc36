"""The moments of a story, on records that are counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.report import moments
from tests.analysis.builders import HOUR, frame, rows


def test_a_fall_is_the_deepest_below_an_earlier_peak():
    prices = frame(
        "prices",
        time=np.array([0.0, 60.0, 120.0, 180.0, 240.0]),
        asset="ETH",
        reference=np.array([50.0, 120.0, 110.0, 60.0, 90.0]),
    )
    (fall,) = moments.falls(prices, 0.0)
    assert (fall.asset, fall.peak_time, fall.trough_time) == ("ETH", 60.0, 180.0)
    assert (fall.peak, fall.trough, fall.end) == (120.0, 60.0, 90.0)
    assert fall.share == -0.5


def test_falls_leave_the_warmup_and_small_moves_out():
    prices = frame(
        "prices", time=np.array([0.0, 60.0, 120.0]), asset="ETH",
        reference=np.array([200.0, 100.0, 99.8]),
    )  # fmt: skip
    assert moments.falls(prices, 60.0) == []  # 0.2 % only


def test_the_busiest_hour_has_the_most_debt_within_an_hour_of_a_liquidation():
    done = frame(
        "liquidations",
        time=np.array([0.0, 0.5, 0.9, 1.95, 2.0]) * HOUR,
        debt_usd=np.array([1.0, 10.0, 10.0, 12.0, 1.0]),
    )
    busiest = moments.busiest_hour(done)
    assert busiest == moments.Busiest(0.0, 3, 21.0)  # 20 from 0.5 h on, 13 from 1.95 h on


def test_nobody_liquidated_has_no_busiest_hour():
    assert moments.busiest_hour(frame("liquidations")) is None


def test_bad_debt_peaks_at_a_sample_and_names_the_worse_market():
    positions = rows(
        "positions",
        [
            {"time": np.array([0.0, 60.0]), "venue": "a", "shortfall": np.array([0.0, 30.0])},
            {"time": np.array([0.0, 60.0]), "venue": "b", "shortfall": np.array([5.0, 10.0])},
        ],
    )
    peak = moments.bad_debt_peak(positions, frame("lending"), 0.0)
    assert peak == moments.Extreme("a", 60.0, 40.0)


def test_a_reserve_is_full_from_its_first_full_sample_for_as_long_as_samples_say():
    markets = frame(
        "lending", time=np.arange(5.0) * 60.0, venue="market", token="a/ETH",
        utilization=np.array([0.5, 1.0, 0.9, 0.9995, 0.2]),
    )  # fmt: skip
    assert moments.full_reserves(markets) == [moments.Extreme("market ETH", 60.0, 120.0)]


def test_oracle_errors_have_their_sign_and_small_ones_are_left_out():
    oracles = rows(
        "oracles",
        [
            {"time": np.array([0.0, 60.0]), "feed": "late", "reported": 100.0,
             "reference": np.array([100.0, 80.0])},
            {"time": np.array([0.0, 60.0]), "feed": "good", "reported": 100.0,
             "reference": np.array([100.0, 99.5])},
        ],
    )  # fmt: skip
    (error,) = moments.oracle_errors(oracles)
    assert (error.name, error.time, error.value) == ("late", 60.0, pytest.approx(0.25))


def test_refused_withdrawals_begin_where_their_total_first_grows():
    people = frame(
        "populations", time=np.array([0.0, 60.0, 120.0]), population="lenders",
        stuck_usd_hours=np.array([2.0, 2.0, 7.0]),
    )  # fmt: skip
    assert moments.first_refusals(people) == [moments.Extreme("lenders", 120.0, 5.0)]


def test_cover_is_lost_at_the_first_sample_below_one():
    bridges = frame(
        "bridges", time=np.array([0.0, 60.0, 120.0]), venue="bridge",
        backing_ratio=np.array([1.0, 0.6, 0.4]),
    )  # fmt: skip
    assert moments.uncovered(bridges) == [moments.Extreme("bridge", 60.0, 0.4)]


def test_the_longest_queue_is_found_on_each_chain_that_had_one():
    chains = rows(
        "chains",
        [
            {"time": np.array([0.0, 13.0, 26.0]), "chain": "a", "pending": np.array([1, 9, 2])},
            {"time": np.array([0.0, 2.0]), "chain": "b", "pending": 0},
        ],
    )
    assert moments.block_peaks(chains, "pending") == [moments.Extreme("a", 13.0, 9.0)]


def test_the_worst_of_a_tranche_is_told_with_its_time_and_small_ones_are_not():
    tranches = rows(
        "tranches",
        [
            {
                "time": np.array([0.0, HOUR, 2 * HOUR]),
                "venue": "vault",
                "tranche": name,
                "nav": 8.0,
                "loss": np.array(loss),
                "discount": np.array(discount),
            }
            for name, loss, discount in (
                ("senior", [0.0, 0.0, 0.004], [0.0, 0.06, 0.02]),
                ("junior", [1.0, 7.0, 5.0], [0.0, 0.0, 0.0]),  # 1 lost before the start
            )
        ],
    )
    lost = moments.tranche_extremes(tranches, "loss", 0.001)
    assert lost == [("junior of vault", HOUR, 6.0 / 8.0)]
    assert moments.tranche_extremes(tranches, "discount", 0.001) == [
        ("senior of vault", HOUR, 0.06)
    ]
