"""First passage: the time at which two worlds first differ, place by place."""

import numpy as np
import pytest

from analysis.contagion.first_passage import (
    METRICS,
    chain_delays,
    check_pair,
    first_passages,
    first_shock,
    reached_venues,
    stress_metrics,
)
from sim.errors import InputError
from sim.records import TABLES
from tests.analysis.builders import rows
from tests.analysis.contagion.books import manifest

TIME = np.arange(0.0, 7_201.0, 600.0)


def world(moves):
    """Return two hours in which a pool, a market and a bridge move after given times, if ever."""
    after = {name: moves.get(name, np.inf) <= TIME for name in ("pool", "market", "bridge", "fee")}
    crash = np.where(TIME > 600.0, 0.8, 1.0)  # of the fundamental: both worlds have it
    return {
        "pools": rows(
            "pools",
            [
                {
                    "time": TIME, "venue": "pool", "chain": "b", "liquidity": 1e3,
                    "price": 2_000.0 * crash * np.where(after["pool"], 0.98, 1.0),
                }
            ],
        ),
        "lending": rows(
            "lending",
            [
                {
                    "time": TIME, "venue": "market", "chain": "b", "token": token,
                    "supplied": 1e6, "oracle_price": 1.0, "utilization": share,
                }
                for token, share in (
                    ("b/USDC", np.where(after["market"], 0.9, 0.6)), ("b/wETH", 0.0 * TIME)
                )
            ],
        ),
        "bridges": rows(
            "bridges",
            [
                {
                    "time": TIME, "venue": "bridge", "token": "a/ETH",
                    "backing_ratio": np.where(after["bridge"], 0.5, 1.01),
                }
            ],
        ),
        "chains": rows(
            "chains",
            [
                {"time": TIME + 10.0, "chain": name, "base_fee": fee}
                for name, fee in (("a", np.where(after["fee"], 2e-9, 1e-9)), ("b", 1e-9))
            ],
        ),
    }  # fmt: skip


SHOCK = {"bridge": 1_200.0, "pool": 1_800.0, "market": 4_200.0}


@pytest.fixture
def passages():
    return first_passages(world(SHOCK), world({}), 1_200.0)


def delays(table):
    return {
        (place, metric): delay
        for place, metric, delay in table[["place", "metric", "delay"]].to_numpy()
    }


def test_each_place_is_reached_when_its_two_worlds_part(passages):
    found = delays(passages)

    assert found["bridge", "backing"] == 0.0
    assert found["pool", "price"] == 600.0
    assert found["market USDC", "utilization"] == 3_000.0
    assert found["market wETH", "utilization"] == np.inf
    assert passages["delay"].is_monotonic_increasing


def test_a_crash_that_both_worlds_have_reaches_nothing():
    found = first_passages(world({}), world({}))

    assert not np.isfinite(found["delay"]).any()
    assert not found["difference"].any()


def test_a_difference_below_the_threshold_does_not_count():
    found = delays(first_passages(world(SHOCK), world({}), 1_200.0, {"price": 0.03}))

    assert found["pool", "price"] == np.inf
    assert found["bridge", "backing"] == 0.0


def test_a_lower_threshold_never_comes_later(passages):
    lower = {metric.name: 0.5 * metric.threshold for metric in METRICS}
    found = delays(first_passages(world(SHOCK), world({}), 1_200.0, lower))

    assert all(found[key] <= delay for key, delay in delays(passages).items())


def test_what_differs_before_the_shock_is_not_its_work():
    found = delays(first_passages(world(SHOCK), world({}), 4_800.0))

    assert found["pool", "price"] == 0.0  # it differs all along
    early = delays(first_passages(world({"pool": 600.0}), world({"pool": 600.0}), 1_200.0))
    assert early["pool", "price"] == np.inf


def test_a_venue_and_its_chain_are_reached_by_their_first_metric(passages):
    table = reached_venues(passages, manifest()).set_index("place")

    assert table.loc["market", "delay"] == 3_000.0
    assert table.loc["market", "metric"] == "utilization"
    assert table.loc["b", "metric"] == "price of pool"
    assert chain_delays(table.reset_index()) == {"b": 600.0, "a": np.inf}  # its bridge is b's too


def test_a_chain_is_also_reached_by_its_base_fee():
    passages = first_passages(world({"fee": 3_000.0}), world({}), 1_200.0)
    table = reached_venues(passages, manifest()).set_index("place")

    assert table.loc["a", "metric"] == "base_fee"
    assert table.loc["a", "delay"] == 2_100.0  # the five minutes from 3,000 s end at 3,300 s


def test_every_metric_comes_from_a_declared_record():
    assert {metric.record for metric in METRICS} <= set(TABLES)
    assert set(stress_metrics(world({}))) <= {metric.name for metric in METRICS}


def test_the_first_shock_with_a_time_of_its_own_counts():
    assert first_shock(manifest()) == 4_000.0
    assert first_shock({}) == 0.0


def test_worlds_that_are_no_pair_are_refused():
    one, calm = manifest(), manifest()
    calm["scenario"]["shocks"] = []
    check_pair(one, calm)
    with pytest.raises(InputError, match="has shocks"):
        check_pair(one, one)
    with pytest.raises(InputError, match="differ in seed"):
        check_pair(one, calm | {"seed": 2})
    shorter = {name: frame.head(4) for name, frame in world({}).items()}
    with pytest.raises(InputError, match="same times"):
        first_passages(world({}), shorter)
    with pytest.raises(InputError, match="threshold mood"):
        first_passages(world({}), world({}), 0.0, {"mood": 1.0})
