"""Records: every value that happened, once, in declared columns, under one hash."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from experiments import load_scenario, run
from experiments.record_tables import TableWriter, Text, schema_of
from sim.errors import InvariantError
from sim.records import TABLES, table
from sim.status import Status

PRICES = table("prices")


def _columns(n, asset="ETH", first=0.0):
    numbers = {c.name: first + np.arange(n, dtype=float) for c in PRICES.columns}
    return numbers | {"asset": [asset] * n}


def _digest(*batches):
    writer = TableWriter(PRICES, None)
    for batch in batches:
        writer.append(batch)
    writer.close()
    return writer.digest()


# --- one table ------------------------------------------------------------------------------------


def test_the_hash_does_not_depend_on_how_rows_come_in():
    whole = _columns(5)
    halves = [{k: v[:2] for k, v in whole.items()}, {k: v[2:] for k, v in whole.items()}]

    assert _digest(whole) == _digest(*halves)


def test_the_hash_does_not_depend_on_how_text_is_coded():
    names = ["ETH", "DAI", "ETH"]
    coded = Text(np.array([2, 0, 2]), ["DAI", "unused", "ETH"])

    assert _digest(_columns(3) | {"asset": names}) == _digest(_columns(3) | {"asset": coded})


@pytest.mark.parametrize(
    "change",
    [
        {"reference": np.array([0.0, np.nextafter(1.0, 2.0), 2.0])},
        {"reference": np.array([0.0, 2.0, 1.0])},
        {"asset": ["ETH", "ETH", "DAI"]},
    ],
)
def test_the_hash_sees_every_value_and_its_row(change):
    assert _digest(_columns(3)) != _digest(_columns(3) | change)


def test_the_hash_sees_where_a_text_ends():
    assert _digest(_columns(2) | {"asset": ["ab", "c"]}) != _digest(
        _columns(2) | {"asset": ["a", "bc"]}
    )


def test_a_table_is_the_same_in_memory_and_in_its_file(tmp_path):
    kept, written = TableWriter(PRICES, None), TableWriter(PRICES, tmp_path)
    for writer in (kept, written):
        writer.append(_columns(3))
        writer.append(_columns(2, "DAI", 10.0))
        writer.close()

    file = pq.read_table(tmp_path / "prices.parquet").to_pandas()
    pd.testing.assert_frame_equal(file, kept.to_arrow().to_pandas())
    assert kept.n_rows == written.n_rows == len(file) == 5
    assert file["asset"].tolist() == ["ETH"] * 3 + ["DAI"] * 2
    assert file["reference"].tolist() == [0, 1, 2, 10, 11]


@pytest.mark.parametrize("name", TABLES)
def test_an_empty_table_has_all_its_columns(name):
    assert TableWriter(TABLES[name], None).to_arrow().schema == schema_of(TABLES[name])


def test_columns_of_unequal_length_or_missing_are_a_fault():
    with pytest.raises(KeyError, match="reference"):
        _digest({k: v for k, v in _columns(2).items() if k != "reference"})


# --- a run ----------------------------------------------------------------------------------------

TRADERS = (
    "populations.traders={kind: noise_traders, chain: mainnet, count: 50, swaps_per_day: 48, "
    "median_usd: 1000}"
)
FEES = "chains.mainnet.fee_market={kind: eip1559, base_fee_gwei: 20, floor_gwei: 10}"
FIRST_SHOCK = "shocks=[{at: 90m, do: {kind: halt_venue, venue: eth-usd}}]"


@pytest.fixture(scope="module")
def result():
    """Return two hours of a pool with traders and gas, halted for the last half hour."""
    return run(load_scenario("quiet-market", [TRADERS, FEES, FIRST_SHOCK], until=7_200.0), 5)


def test_fills_are_numbered_in_order_of_execution(result):
    fills = result.tables["fills"]

    assert fills["fill_id"].is_unique
    assert fills["fill_id"].is_monotonic_increasing
    assert fills["time"].is_monotonic_increasing
    assert (fills["submitted"] <= fills["time"]).all()
    assert set(fills["status"]) <= {status.name for status in Status}


def test_every_fill_has_causes_whose_weights_add_up_to_one(result):
    weights = result.tables["causes"].groupby("fill_id")["weight"].sum()

    assert set(weights.index) == set(result.tables["fills"]["fill_id"])
    np.testing.assert_allclose(weights, 1.0, rtol=1e-12)


def test_gas_is_paid_once_an_order_at_no_less_than_the_base_fee(result):
    fills = result.tables["fills"]
    paid = fills[fills["gas"] > 0]
    blocks = result.tables["chains"].set_index("block")["base_fee"]

    assert len(paid)
    assert (paid["gas_paid"] >= paid["gas"] * blocks.loc[paid["block"]].to_numpy() * 0.999).all()
    assert not fills.loc[fills["leg"] > 0, "gas_paid"].any()


def test_no_swap_is_done_in_a_halted_venue(result):
    fills = result.tables["fills"]
    done = fills[(fills["status"] == "OK") & (fills["venue"] == "eth-usd")]

    assert (done["time"] > 3_600).any()
    assert done["time"].max() <= 5_400


def test_samples_stand_at_their_times_from_the_start_to_the_end(result):
    for name, every in (("pools", 300), ("prices", 300), ("equity", 600)):
        times = np.unique(result.tables[name]["time"])
        assert times.tolist() == list(range(0, 7_201, every))


def test_the_reference_price_is_the_fundamental_times_both_impacts(result):
    prices = result.tables["prices"]

    impact = np.exp(prices["permanent"] + prices["transient"])
    np.testing.assert_allclose(prices["reference"], prices["fundamental"] * impact, rtol=1e-15)


def test_profits_and_losses_of_all_accounts_add_up_to_nothing(result):
    equity = result.tables["equity"]
    groups = equity[equity["account"] < 0]
    gains = groups.groupby("time")["trading_gain"].sum()
    turnover = result.tables["fills"]["value_in"].sum()

    assert turnover > 1e5
    assert gains.abs().max() <= 1e-9 * turnover


def test_accounts_are_valued_at_the_start_and_at_the_end(result):
    accounts = result.tables["equity"].query("account >= 0 and population == 'traders'")
    groups = result.tables["equity"].query("account < 0 and population == 'traders'")

    assert accounts.groupby("time").size().to_dict() == {0.0: 50, 7_200.0: 50}
    for time, value in accounts.groupby("time")["value"].sum().items():
        assert groups.set_index("time")["value"][time] == pytest.approx(value, rel=1e-12)


def test_activity_of_populations_adds_up_to_the_fills(result):
    activity = result.tables["populations"].groupby("population")[["n_filled", "n_failed"]].sum()
    fills = result.tables["fills"]

    for name, (filled, failed) in activity.iterrows():
        mine = fills[fills["population"] == name]
        assert filled == (mine["status"] == "OK").sum()
        assert failed == (mine["status"] != "OK").sum()


def test_a_world_that_breaks_its_rules_is_found_at_the_next_check():
    def forge(model, _):
        model.world.ledger.supply[0] += 1.0

    scenario = load_scenario("quiet-market", ["records.check_seconds=10m"], until=3_600.0)

    with pytest.raises(InvariantError):
        run(scenario, 1, progress=forge)
