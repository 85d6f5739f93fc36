"""Spreads, depth, searchers and liquidity providers, by hand."""

import numpy as np
import pytest

from analysis.liquidity import measures_of
from analysis.microstructure import (
    capital_efficiency,
    depth_medians,
    effective_spreads,
    lp_outcomes,
    mean_spread,
    pool_table,
    searcher_table,
)
from analysis.setting import Setting
from sim.records import TABLES
from tests.analysis.builders import frame, rows

SETTING = Setting(
    horizon=86_400.0,
    natives={"mainnet": "ETH"},
    assets={"mainnet/ETH": "ETH", "mainnet/USD": "USD"},
    kinds={"arbs": "arbitrageurs", "hunters": "liquidators", "people": "borrowers",
           "lps": "liquidity_providers"},
)  # fmt: skip


def pools(**changed):
    columns = {
        "time": [0.0, 86_400.0],
        "venue": "eth-usd",
        "price": [100.0, 121.0],
        "reference_price": [100.0, 121.0],
        "reserve0": [10.0, 10.0 / 1.1],
        "reserve1": [1_000.0, 1_100.0],
        "value_usd": [2_000.0, 2_200.0],
        "volume_usd": [0.0, 400.0],
        "fees_usd": 0.0,
        "lvr_usd": 0.0,
    }
    return frame("pools", **(columns | changed))


def swaps():
    """Return a swap from 100 to 90, one back up to 95, and one that failed."""
    return frame(
        "fills",
        fill_id=[1, 2, 0],
        order_id=[1, 2, 3],
        time=[10.0, 20.0, 20.0],
        chain="mainnet",
        population=["arbs", "arbs", "arbs"],
        kind="constant_product.swap",
        venue="eth-usd",
        token_in=["mainnet/ETH", "mainnet/USD", "mainnet/ETH"],
        token_out=["mainnet/USD", "mainnet/ETH", "mainnet/USD"],
        detail=[0, 1, 0],
        amount_in=[1.0, 91.0, 0.0],
        amount_out=[94.0, 1.0, 0.0],
        value_in=[100.0, 91.0, 0.0],
        value_out=[94.0, 100.0, 0.0],
        price_after=[90.0, 95.0, 0.0],
        gas_paid=[0.01, 0.01, 0.02],
        status=["OK", "OK", "SLIPPAGE"],
    )


def prices():
    both = {"time": [0.0, 86_400.0]}
    return rows(
        "prices",
        [
            both | {"asset": "ETH", "reference": [100.0, 121.0]},
            both | {"asset": "USD", "reference": [1.0, 1.0]},
        ],
    )


def depth():
    """Return a pool worth 2,000 USD that takes 8 and 12 USD to move by one percent."""
    return frame(
        "depth", time=0.0, venue="eth-usd", move=[-0.02, -0.01, 0.01, 0.02],
        usd=[17.0, 8.0, 12.0, 23.0],
    )  # fmt: skip


def test_an_effective_spread_is_twice_the_distance_from_the_price_before():
    """94 against 100, then 91 against 90: 12 % of 100 USD and 2 / 90 of 91 USD."""
    spreads = effective_spreads(swaps(), pools())
    np.testing.assert_allclose(spreads["effective_spread"], [0.12, 2.0 / 90.0])
    assert mean_spread(spreads) == pytest.approx((12.0 + 2.0 / 90.0 * 91.0) / 191.0)


def test_nobody_swapped_pays_no_spread():
    spreads = effective_spreads(frame("fills"), pools())
    assert spreads.empty
    assert np.isnan(mean_spread(spreads))


def test_capital_efficiency_is_depth_over_that_of_a_constant_product_pool():
    """Of 2,000 USD it takes 1,000 (sqrt(1.01) - 1) and 1,000 (1 / sqrt(0.99) - 1): 10.0254."""
    assert 1_000.0 * (np.sqrt(1.01) + 1.0 / np.sqrt(0.99) - 2.0) == pytest.approx(10.0254, abs=1e-4)
    assert capital_efficiency(depth(), pools())["eth-usd"] == pytest.approx(
        20.0 / 10.0254, rel=1e-5
    )


def test_depth_of_a_pool_is_its_median_over_samples():
    later = depth().assign(time=60.0, usd=[19.0, 10.0, 14.0, 25.0])
    both = rows("depth", [depth().to_dict("list"), later.to_dict("list")])
    assert depth_medians(both).loc["eth-usd"].to_list() == [18.0, 9.0, 13.0, 24.0]


def test_a_pool_loses_against_holding_what_the_formula_says():
    """P from 100 to 121: 2,200 against 10 x 121 + 1,000 = 2,210 USD; turnover 400 / 2,100."""
    tables = {"pools": pools(), "fills": swaps(), "prices": prices(), "depth": depth()}
    row = pool_table(tables, SETTING).loc["eth-usd"]
    assert row["il_usd"] == pytest.approx(10.0)
    assert row["il_usd"] / 2_210.0 == pytest.approx(1.0 - 2.0 * 1.1 / 2.21)  # 2 sqrt(r) / (1 + r)
    assert (row["hold_return"], row["usd_return"]) == pytest.approx((0.105, 0.1))
    assert row["turnover"] == pytest.approx(400.0 / 2_100.0)
    assert (row["depth_down_2"], row["depth_up_1"]) == (17.0, 12.0)
    assert row["effective_spread"] == pytest.approx(0.0734, abs=1e-4)


def test_a_pool_whose_liquidity_changed_has_no_impermanent_loss():
    added = swaps().assign(kind="constant_product.add").head(1).assign(fill_id=3, order_id=4)
    tables = {"pools": pools(), "prices": prices()}
    tables["fills"] = rows("fills", [swaps().to_dict("list"), added.to_dict("list")])
    assert np.isnan(pool_table(tables, SETTING).loc["eth-usd", "il_usd"])


def test_searchers_gain_what_they_receive_less_what_they_give_and_gas():
    """94 - 100 + 100 - 91 = 3 USD; gas 0.04 ETH at 100 USD, that of the failed order too."""
    found = searcher_table({"fills": swaps(), "prices": prices()}, SETTING)
    assert found.index.to_list() == ["arbs"]
    row = found.loc["arbs"]
    assert (row["gross_usd"], row["gas_usd"]) == pytest.approx((3.0, 4.0))
    assert (row["profit_usd"], row["gas_share"]) == pytest.approx((-1.0, 4.0 / 3.0))
    assert (row["n_filled"], row["n_failed"], row["kind"]) == (2, 1, "arbitrageurs")


def test_liquidity_providers_are_compared_with_holding():
    """100 became 108, and would have become 110 held: -2 %; who had nothing is left out."""
    equity = frame(
        "equity",
        time=[0.0, 0.0, 9.0, 9.0, 0.0],
        population=["lps", "lps", "lps", "lps", "people"],
        account=[0, 1, 0, 1, 0],
        value=[100.0, 0.0, 108.0, 5.0, 70.0],
        holding_gain=[0.0, 0.0, 10.0, 0.0, 0.0],
        trading_gain=[0.0, 0.0, -2.0, 5.0, 0.0],
    )
    (row,) = lp_outcomes({"equity": equity}, SETTING).to_dict("records")
    assert (row["population"], row["account"]) == ("lps", 0)
    assert row["usd_return"] == pytest.approx(0.08)
    assert row["hold_return"] == pytest.approx(0.10)
    assert row["lp_return"] == pytest.approx(-0.02)


@pytest.mark.parametrize("tables", [{}, {name: frame(name) for name in TABLES}])
def test_a_run_without_records_has_empty_measures(tables):
    found = measures_of(tables, Setting())
    assert set(found) == {
        "pools", "searchers", "lps", "reserves", "collateral_velocity", "liquidation_distance",
        "depth",
    }  # fmt: skip
    assert all(part.empty for part in found.values())
