"""The summary of a run: every declared name, plain JSON, whatever tables there are."""

import json
import math

import pytest

from analysis.metrics import QUANTITIES, headline, summarize
from analysis.setting import setting_of
from sim.records import TABLES
from tests.analysis.builders import (
    crash_manifest,
    crash_run,
    frame,
    quiet_manifest,
    quiet_run,
)

PARTS = {"by_pool", "by_population", "by_asset", "by_chain", "by_status"}


@pytest.fixture(scope="module")
def crash():
    return summarize(crash_run(), crash_manifest())


def test_a_summary_has_the_declared_names_and_their_parts(crash):
    assert set(crash) == set(QUANTITIES) | PARTS


@pytest.mark.parametrize("tables", [{}, {name: frame(name) for name in TABLES}])
def test_a_run_without_records_has_a_summary_of_plain_json(tables):
    found = summarize(tables, {})
    assert set(found) == set(QUANTITIES) | PARTS
    assert found["bad_debt_end"] is None
    assert found["depeg_max"] is None
    json.dumps(found, allow_nan=False)


def test_a_summary_is_plain_json(crash):
    assert json.loads(json.dumps(crash, allow_nan=False)) == crash


def test_an_infinite_delay_is_null_and_counted():
    tables = {
        "positions": frame(
            "positions", time=[0.0], venue="a", debt=10.0, health_factor=0.9, shortfall=0.0
        )
    }
    found = summarize(tables, {})
    assert (found["liquidation_delay_p50"], found["n_never_liquidated"]) == (None, 1)


def test_the_warm_up_is_left_out_of_counts(crash):
    run, start = crash_run(), crash_manifest()["scenario"]["warmup"]
    after = run["fills"][run["fills"]["time"] >= start]
    assert crash["n_fills"] == (after["status"] == "OK").sum()
    assert crash["n_failed"] == (after["status"] != "OK").sum()
    assert crash["n_liquidations"] == (run["liquidations"]["time"] >= start).sum()
    assert crash["measured_hours"] == 46.0


def test_profit_of_arbitrageurs_is_what_they_received_less_what_they_gave_and_gas():
    tables = {
        "fills": frame(
            "fills",
            time=[0.0, 60.0, 60.0, 60.0],
            chain="mainnet",
            population=["arbitrageur", "arbitrageur", "arbitrageur", "trader"],
            value_in=[100.0, 50.0, 0.0, 10.0],
            value_out=[103.0, 49.0, 0.0, 20.0],
            gas_paid=[0.01, 0.0, 0.02, 1.0],
            status=["OK", "OK", "SLIPPAGE", "OK"],
        ),
        "prices": frame("prices", time=[0.0, 60.0], asset="ETH", reference=[10.0, 20.0]),
    }
    profit = summarize(tables, quiet_manifest())["arbitrage_profit"]
    assert profit == pytest.approx(3.0 - 1.0 - 0.01 * 10.0 - 0.02 * 20.0)


def test_profit_of_liquidators_is_their_trading_gain_since_the_warm_up(crash):
    assert crash["liquidator_profit"] == pytest.approx(0.7 * 46 * 3_600)  # 0.7 USD a second
    assert crash["by_population"]["borrowers"]["trading_gain"] == pytest.approx(-1.5 * 46 * 3_600)


def test_totals_are_sums_over_pools(crash):
    pools = crash["by_pool"].values()
    assert crash["fees_usd"] == pytest.approx(sum(pool["fees_usd"] for pool in pools))
    assert crash["volume_usd"] == pytest.approx(crash["fees_usd"] / 0.003)


def test_base_fees_are_in_gwei():
    chains = frame("chains", time=[1.0, 2.0, 3.0], chain="a", base_fee=[1e-9, 3e-9, 2e-9])
    found = summarize({"chains": chains}, {})
    assert found["base_fee_max"] == pytest.approx(3.0)
    assert found["by_chain"]["a"]["base_fee_median"] == pytest.approx(2.0)


def test_the_oracle_error_has_no_sign():
    oracles = frame(
        "oracles",
        time=[0.0, 1.0],
        feed="eth",
        reported=[100.0, 90.0],
        reference=[100.0, 99.0],
        age=7.0,
    )
    found = summarize({"oracles": oracles}, {})
    assert found["oracle_error_max"] == pytest.approx(math.log(1.1))
    assert found["oracle_age_max"] == 7.0


def test_the_headline_of_a_quiet_market_speaks_of_pools_only():
    labels = [label for label, *_ in headline(summarize(quiet_run(), quiet_manifest()))]
    assert "loss versus rebalancing" in labels
    assert not {"liquidations", "bad debt, end", "largest depeg"} & set(labels)


def test_the_headline_shows_values_with_their_units():
    summary = {"liquidated_share": 0.0123456, "liquidated_debt_usd": 1234567.8, "n_fills": 12000}
    assert headline(summary) == [
        ("fills", "12,000", ""),
        ("debt liquidated", "1,234,568", "USD"),
        ("share of debt liquidated", "1.235", "%"),
    ]


def test_the_setting_reads_tokens_assets_and_shocks_of_the_manifest():
    manifest = {
        "scenario": {
            "name": "test",
            "warmup": 5.0,
            "chains": {
                "a": {"native": "ETH", "tokens": ["ETH", {"symbol": "WETH", "asset": "ETH"}]}
            },
            "venues": {
                "pool": {"kind": "constant_product", "chain": "a", "tokens": ["ETH", "WETH"]}
            },
            "shocks": [{"at": 60.0, "do": {"kind": "halt_chain", "chain": "a"}}],
        }
    }
    setting = setting_of(manifest)
    assert setting.assets == {"a/ETH": "ETH", "a/WETH": "ETH"}
    assert setting.natives == {"a": "ETH"}
    assert setting.tokens == {"pool": ("a/ETH", "a/WETH")}
    assert setting.shocks == ((60.0, "halt chain"),)
    assert setting.warmup == 5.0
