"""The exposure graph of a small world, by hand."""

import numpy as np
import pandas as pd
import pytest

from analysis.contagion.exposures import (
    clear,
    exposure_graph,
    largest_exposures,
    network_of,
    predicted_losses,
    rank_nodes,
)
from sim.errors import InputError
from tests.analysis.builders import frame
from tests.analysis.contagion.books import TIME, manifest, tables


@pytest.fixture
def graph():
    return exposure_graph(tables(), manifest())


def edges(graph):
    return {(one, other): data["value"] for one, other, data in graph.edges(data=True)}


def test_every_holding_is_an_exposure_to_the_venue_that_owes_it(graph):
    found = edges(graph)
    loan = found.pop(("market USDC", "borrowers"))

    assert found == {
        ("lenders", "market USDC"): 150_000.0,
        ("borrowers", "market wETH"): 120_000.0,
        ("providers", "pool"): 160_000.0,
        ("pool", "bridge"): 80_000.0,
        ("market wETH", "bridge"): 120_000.0,
    }
    assert loan > 0.0


def test_a_loan_is_what_is_missing_when_its_collateral_is_sold_into_the_pool(graph):
    # 40 wETH into the pool of 40 and 80,000: a quarter of the price, 20,000 for a debt of 70,000;
    # 20 wETH: 4/9 of the price, 17,777.78 for a debt of 20,000
    expected = 50_000.0 + 20_000.0 - 40_000.0 * 4 / 9

    assert edges(graph)["market USDC", "borrowers"] == pytest.approx(expected, rel=1e-4)


def test_participants_have_their_own_equity_and_venues_that_of_their_claimants(graph):
    equity = {name: about["equity"] for name, about in graph.nodes.items()}

    assert equity == {
        "lenders": 200_000.0, "borrowers": 30_000.0, "providers": 170_000.0, "pool": 160_000.0,
        "market USDC": 150_000.0, "market wETH": 120_000.0, "bridge": 200_000.0,
    }  # fmt: skip


def test_a_failed_bridge_reaches_lenders_through_those_who_pledged_its_token(graph):
    losses = predicted_losses(graph, {"bridge": 0.1})

    # pool: .1 x 80/160 of its 160,000; market wETH: all of .1, hence borrowers lose .4 of equity
    loan = edges(graph)["market USDC", "borrowers"]
    assert losses["providers"] == pytest.approx(0.05 * 160_000.0)
    assert losses["borrowers"] == pytest.approx(0.1 * 120_000.0)
    assert losses["lenders"] == pytest.approx(0.4 * loan)


def test_passed_on_once_nobody_loses_more_of_his_equity_than_the_bridge_did(graph):
    losses = predicted_losses(graph, {"bridge": 0.1}, is_linear=False)

    assert losses["borrowers"] == pytest.approx(0.1 * 30_000.0)  # leverage of 4 counts as 1


def test_what_is_ranked_first_costs_the_populations_most(graph):
    ranks = rank_nodes(graph)

    # the bridge alone: all of pool and collateral, then the loans
    loan = edges(graph)["market USDC", "borrowers"]
    lost = 80_000.0 + 30_000.0 + loan
    assert ranks.index[0] == "bridge"
    assert ranks.loc["bridge", "debt_rank"] == pytest.approx(lost / 400_000.0)
    assert ranks.loc["lenders", "debt_rank"] == 0.0
    assert ranks.loc["bridge", "exposed_to_it"] == 200_000.0


def test_the_largest_exposures_come_first_with_their_share_of_equity(graph):
    first = largest_exposures(graph, 2)

    assert first["who"].tolist() == ["providers", "lenders"]
    assert first["share_of_equity"].tolist() == pytest.approx([160 / 170, 150 / 200])


def test_a_market_pays_all_but_what_no_collateral_covers(graph):
    names, cleared = clear(graph)
    paid = dict(zip(names, cleared.payments, strict=True))

    loan = edges(graph)["market USDC", "borrowers"]
    assert paid["market USDC"] == pytest.approx(150_000.0 - loan)
    assert paid["borrowers"] == 0.0  # non-recourse: its other money is its own
    assert paid["bridge"] == paid["market wETH"] + 80_000.0 == 200_000.0


def test_a_bridge_without_half_its_escrow_pays_half_through_all_its_holders(graph):
    names, cleared = clear(graph, {"bridge": 0.5})
    paid = dict(zip(names, cleared.payments, strict=True))

    assert paid["bridge"] == pytest.approx(100_000.0)
    assert paid["market wETH"] == pytest.approx(60_000.0)
    assert paid["pool"] == pytest.approx(120_000.0)


def test_weights_are_those_of_populations_alone(graph):
    network = network_of(graph)
    weights = dict(zip(network.names, network.weights, strict=True))

    assert weights["lenders"] == pytest.approx(0.5)
    assert weights["bridge"] == 0.0
    assert network.weights.sum() == pytest.approx(1.0)


def test_accounts_are_nodes_where_they_are_recorded():
    records = tables()
    held = records["holdings"]
    whose = np.where(held["holder"] == "borrowers", 1, -1)
    graph = exposure_graph(
        records | {"holdings": held.assign(account=whose)}, manifest(), has_accounts=True
    )

    assert edges(graph)["borrowers[1]", "market wETH"] == 120_000.0
    assert edges(graph)["market USDC", "borrowers[0]"] == pytest.approx(50_000.0, rel=1e-4)
    assert graph.nodes["borrowers[1]"]["equity"] == 30_000.0  # claims less debts
    with pytest.raises(InputError, match="holding_accounts"):
        exposure_graph(records, manifest(), has_accounts=True)


def test_a_vault_is_exposed_to_its_market_and_investors_to_the_vault():
    about, records = manifest(), tables()
    about["scenario"]["venues"]["vault"] = {"kind": "tranche_vault", "chain": "b"}
    more = frame(
        "holdings", time=TIME, holder=["vault", "lenders"], holder_kind=["venue", "population"],
        account=-1, venue=["market", "vault"], token=["b/USDC", "b/senior"],
        value=[50_000.0, 40_000.0],
    )  # fmt: skip
    text = {"holder": str, "holder_kind": str, "venue": str, "token": str}
    held = pd.concat([records["holdings"].astype(text), more.astype(text)])
    graph = exposure_graph(records | {"holdings": held}, about)

    assert edges(graph)["vault", "market USDC"] == 50_000.0
    assert edges(graph)["lenders", "vault"] == 40_000.0
    assert graph.nodes["vault"] == {"kind": "tranche_vault", "equity": 40_000.0}


def test_a_population_may_have_the_name_of_a_venue():
    records = tables()
    held = records["holdings"].astype({"holder": str})
    named = held.assign(holder=held["holder"].replace({"lenders": "bridge"}))
    graph = exposure_graph(records | {"holdings": named}, manifest())

    assert edges(graph)["bridge (population)", "market USDC"] == 150_000.0


def test_before_the_first_sample_there_is_no_graph():
    with pytest.raises(InputError, match="no holdings are recorded up to 10 s"):
        exposure_graph(tables(), manifest(), 10.0)
    with pytest.raises(InputError, match="position_seconds"):
        exposure_graph({"holdings": frame("holdings")}, {}, TIME)


def test_only_nodes_of_the_graph_can_fail(graph):
    with pytest.raises(InputError, match="no node 'bank'; there are: borrowers, bridge"):
        predicted_losses(graph, {"bank": 1.0})
