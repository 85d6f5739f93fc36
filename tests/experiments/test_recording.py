"""Records: every value that happened, once, in declared columns, under one hash."""

from __future__ import annotations

import numpy as np
import pytest

from experiments import build, fill_records, load_scenario, record_tables, run
from experiments.recording import Recorder
from sim.errors import InvariantError
from sim.kernel import Kernel
from sim.status import Status

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


# --- the work of recording ------------------------------------------------------------------------


def _recorded(monkeypatch=None, rows=None, every="5m"):
    """Return the recorder of an hour in which many trade, after it has finished."""
    if monkeypatch is not None:
        monkeypatch.setattr(fill_records, "_ROWS_WAITING", rows)
        monkeypatch.setattr(record_tables, "_ROWS_A_GROUP", rows)
    changes = [TRADERS.replace("50,", "500,"), FEES, f"records.sample_seconds={every}"]
    scenario = load_scenario("quiet-market", changes, until=3_600.0)
    model = build(scenario, 3)
    recorder = Recorder(model.world, scenario.records)
    model.run_until(scenario.horizon)
    recorder.finish()
    return recorder


def test_records_do_not_depend_on_how_many_rows_wait(monkeypatch):
    whole = _recorded()
    pieces = _recorded(monkeypatch, 7)

    assert whole.writers["fills"].n_rows > 500
    assert len(whole.writers["fills"]._batches) == 1
    assert len(pieces.writers["fills"]._batches) == -(-whole.writers["fills"].n_rows // 7)
    assert pieces.content_hash() == whole.content_hash()


def test_fills_and_blocks_do_not_depend_on_how_often_the_state_is_sampled():
    seldom, often = _recorded(every="1h"), _recorded(every="10s")

    for name in ("fills", "causes", "chains"):
        assert often.writers[name].digest() == seldom.writers[name].digest()
    assert often.writers["pools"].n_rows == 361 * seldom.writers["pools"].n_rows / 2


def test_no_fill_waits_longer_than_its_turn(monkeypatch):
    most = []
    take = fill_records.EngineRecords.take_fills

    def watch(self, fills):
        take(self, fills)
        most.append(self._n_waiting["fills"])

    monkeypatch.setattr(fill_records.EngineRecords, "take_fills", watch)
    _recorded(monkeypatch, 50)
    assert len(most) > 10
    assert max(most) < 50


def test_a_sample_calls_as_much_compiled_code_for_many_pools_as_for_one(monkeypatch):
    def calls(n_pools):
        pools = [
            f"venues.more-{k}={{kind: constant_product, chain: mainnet, tokens: [ETH, USD], "
            "fee: 0.003, value_usd: 1e5}"
            for k in range(n_pools)
        ]
        scenario = load_scenario("quiet-market", pools, until=3_600.0)
        recorder = Recorder(build(scenario, 1).world, scenario.records)
        recorder.samples.take_state()
        counted = []
        call = Kernel.__call__
        with monkeypatch.context() as patch:
            patch.setattr(Kernel, "__call__", lambda *a: (counted.append(a[0]), call(*a))[1])
            recorder.samples.take_state()
        assert recorder.samples._waiting["pools"].n_rows == 2 * (1 + n_pools)
        return len(counted)

    assert calls(20) == calls(0) > 0
