"""Cascades by hand: six liquidations, two of them caused by the sales of others."""

import json

import numpy as np
import pytest

from analysis import cascades as module
from analysis.cascades import MEASURES, find_cascades, measure, tell
from analysis.cause_graph import cause_graph
from sim.errors import InputError
from tests.analysis.builders import frame

FILL = 2 << 56
PRICE = 1 << 56
SHARE = 0.6  # of the second report's move, by the sale that follows the first liquidations

# fill, order, cause, time, kind, venue
#  1  1  price    0  oracle.report        report that makes A and B unsafe
#  2  2  fill 1  12  lending.liquidate    A, 100 USD …
#  3  2  fill 1  12  constant_product.swap  … sold in the same order
#  4  3  fill 1  12  lending.liquidate    B, 300 USD, sold later by fill 5
#  5  4  fill 4  24  reference_market.trade
#  6  5  price   36  oracle.report        moved by fill 3 (20 %), fill 5 (40 %) and the price
#  7  6  fill 6  48  lending.liquidate    C, 200 USD, the same shares
#  8  7  routine 60  constant_product.swap  by somebody else
#  9  8  fill 10 72  lending.liquidate    D, 50 USD: half by fill 8, which nobody's fall caused
# 10  9  price   70  oracle.report


def fills():
    kinds = {
        1: "oracle.report",
        3: "constant_product.swap",
        5: "reference_market.trade",
        6: "oracle.report",
        8: "constant_product.swap",
        10: "oracle.report",
    }
    ids = np.arange(1, 11)
    return frame(
        "fills",
        fill_id=ids,
        order_id=[1, 2, 2, 3, 4, 5, 6, 7, 8, 9],
        cause_id=[
            PRICE, FILL + 1, FILL + 1, FILL + 1, FILL + 4, PRICE, FILL + 6, 5 << 56, FILL + 10,
            PRICE,
        ],
        time=[0.0, 12.0, 12.0, 12.0, 24.0, 36.0, 48.0, 60.0, 72.0, 70.0],
        submitted=[0.0, 12.0, 12.0, 12.0, 24.0, 36.0, 48.0, 60.0, 72.0, 70.0],
        kind=[kinds.get(k, "lending.liquidate") for k in ids],
        venue=[{"oracle.report": "feed"}.get(kinds.get(k), "market") for k in ids],
        price_after=[0.0, 0.0, 95.0, 0.0, 0.0, 0.0, 0.0, 100.0, 0.0, 0.0],
        status="OK",
    )  # fmt: skip


def causes():
    plain = [(1, "price", 0, 1.0), (3, "fill", 1, 1.0), (5, "fill", 4, 1.0), (8, "routine", 0, 1.0)]
    weighted = [
        (2, "price", 0, 1.0), (4, "price", 0, 1.0),
        (6, "price", 0, 0.4), (6, "fill", 3, 0.2), (6, "fill", 5, 0.4),
        (7, "price", 0, 0.4), (7, "fill", 3, 0.2), (7, "fill", 5, 0.4),
        (9, "price", 0, 0.5), (9, "fill", 8, 0.5),
        (10, "price", 0, 1.0),
    ]  # fmt: skip
    child, kind, parent, weight = zip(*plain, *weighted, strict=True)
    return frame("causes", fill_id=child, parent_kind=kind, parent_id=parent, weight=weight)


def liquidations():
    return frame(
        "liquidations",
        fill_id=[2, 4, 7, 9],
        time=[12.0, 12.0, 48.0, 72.0],
        chain=["a", "a", "a", "b"],
        venue="market",
        position=[0, 1, 2, 3],
        borrower_population="people",
        borrower_account=[0, 1, 2, 3],
        liquidator_population="hunters",
        liquidator_account=[0, 0, 1, 0],
        debt_usd=[100.0, 300.0, 200.0, 50.0],
        health_factor=0.99,
        shadow_health_factor=[0.99, 0.99, 1.01, 0.99],
        collateral_token="a/ETH",
    )


def records():
    return {
        "fills": fills(),
        "causes": causes(),
        "liquidations": liquidations(),
        "oracles": frame(
            "oracles", time=[0.0, 1.0, 40.0], feed="feed", reported=[100.0, 98.0, 90.0],
            age=[10.0, 1.0, 4.0],
        ),
        "prices": frame("prices", time=[0.0, 48.0], asset="ETH", permanent=[0.0, -0.02]),
    }  # fmt: skip


@pytest.fixture(scope="module")
def tables():
    return records()


@pytest.fixture(scope="module")
def found(tables):
    return find_cascades(tables)


def test_a_cause_is_followed_back_to_the_orders_that_liquidated(tables):
    graph = cause_graph(tables)
    by_hand = np.zeros((4, 4))
    by_hand[2, :2] = 0.2, 0.4  # C: by A's own sale, and by the sale that came after B
    np.testing.assert_allclose(graph.weights.toarray(), by_hand)
    np.testing.assert_allclose(graph.liquidations["endogenous"], [0.0, 0.0, SHARE, 0.0])
    assert graph.liquidations["trigger"].to_list() == [1, 1, 6, 10]


def test_a_liquidation_carries_its_shares_of_what_it_caused(tables):
    carried = cause_graph(tables).liquidations["carried_usd"]
    np.testing.assert_allclose(carried, [100 + 0.2 * 200, 300 + 0.4 * 200, 200, 50])


def test_waves_that_cause_one_another_are_a_cascade(found):
    largest = found.table.loc[1]
    assert found.table["n_liquidations"].to_list() == [3, 1]
    assert (largest["n_waves"], largest["depth"], largest["duration"]) == (2, 2, 36.0)
    assert (largest["n_participants"], largest["n_chains"], largest["chains"]) == (5, 1, "a")
    assert largest["debt_usd"] == pytest.approx(600.0, rel=1e-12)
    assert largest["endogenous_usd"] == pytest.approx(SHARE * 200)
    assert largest["fundamental_usd"] == pytest.approx(400.0)
    assert largest["amplification"] == pytest.approx(600 / (600 - SHARE * 200))
    assert found.graph.liquidations["generation"].to_list() == [1, 1, 2, 1]
    edge = found.wave_edges.iloc[0]
    assert (len(found.wave_edges), edge["weight"]) == (1, pytest.approx(SHARE))


def test_cascades_add_up_to_the_debt_liquidated(tables, found):
    total = tables["liquidations"]["debt_usd"].sum()
    parts = found.table[["exogenous_usd", "endogenous_usd"]].to_numpy().sum()
    assert found.table["debt_usd"].sum() == pytest.approx(total, rel=1e-9)
    assert parts == pytest.approx(total, rel=1e-9)


def test_measures_are_means_and_shares_of_all_liquidations(tables, found):
    told = measure(found, tables, {"a/ETH": "ETH"})
    assert set(told) == set(MEASURES)
    assert told["branching_ratio"] == pytest.approx(SHARE / 4)
    assert told["branching_ratio_usd"] == pytest.approx(SHARE * 200 / 650)
    assert told["amplification"] == pytest.approx(650 / (650 - SHARE * 200))
    assert told["fundamental_share"] == pytest.approx(450 / 650)
    assert (told["n_roots"], told["n_cascades"], told["largest_depth"]) == (3, 2, 2)
    assert np.isnan(told["hawkes_branching_ratio"])  # four events


def test_a_wave_below_five_percent_causes_no_other(tables):
    weak = tables["causes"].copy()
    weak["weight"] = weak["weight"].where(weak["parent_kind"] != "fill", weak["weight"] * 0.08)
    weak.loc[weak["fill_id"].isin([3, 5]), "weight"] = 1.0
    apart = find_cascades(tables | {"causes": weak})
    assert apart.graph.liquidations["endogenous"][2] == pytest.approx(0.08 * SHARE)
    assert apart.table["n_liquidations"].to_list() == [2, 1, 1]


def test_a_story_tells_triggers_sales_and_generations(tables, found):
    first, second = tell(found, tables)
    assert first.startswith(
        "1. oracle update of feed at 0:00 (\u22122.0 %) \u2192 2 liquidations of $400 "
        "(2 borrowers, 1 liquidator) \u2192 \u22122.0 % impact on ETH \u2192 oracle "
        "update of feed at 0:00 (\u22128.2 %) \u2192 1 liquidation of $200"
    )
    assert "3 liquidations of $600 in 36 s on a, 2 generations deep; 20 % of the debt" in first
    assert "1 liquidation of $50" in second


def test_a_run_without_liquidations_has_no_cascades(tables):
    nothing = find_cascades({"fills": tables["fills"]})
    assert nothing.table.empty
    assert tell(nothing, {}) == []
    told = measure(nothing, {}, {})
    assert (told["n_cascades"], told["liquidated_debt_usd"]) == (0.0, 0.0)
    assert np.isnan(told["amplification"])


def test_records_of_an_earlier_version_are_refused(tables):
    old = tables["liquidations"].drop(columns="shadow_health_factor")
    with pytest.raises(InputError, match="repeat the run"):
        cause_graph({"liquidations": old})


def test_a_run_folder_is_read_by_its_three_names(tables, tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "manifest.json").write_text(json.dumps({"scenario": {}}))
    for name, table in tables.items():
        table.to_parquet(tmp_path / "records" / f"{name}.parquet")
    assert module.cascades(tmp_path)["debt_usd"].to_list() == [600.0, 50.0]
    assert len(module.stories(tmp_path, 1)) == 1
    assert module.measures(tmp_path)["n_liquidations"] == 4.0
