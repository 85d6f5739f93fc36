"""The commands `exposures` and `spread`, runs without shocks, holdings, and the backtest."""

import numpy as np
import pandas as pd
import pytest

from analysis.contagion.backtest import agreement
from analysis.contagion.exposures import exposure_graph
from experiments import load_scenario, run
from experiments.backtest import backtest
from experiments.calm import without_shocks
from sim.errors import InputError

UNTIL = 3 * 3_600.0


def small_exploit(*overrides, until=UNTIL):
    """Return the bridge exploit with few accounts, up to an hour after it."""
    whole = load_scenario("bridge-exploit")
    few = [
        f"populations.{name}.count={min(20, one.count)}"
        for name, one in whole.populations.items()
        if getattr(one, "count", 1) > 1
    ]
    return load_scenario(
        "bridge-exploit", [*few, "records.sample_seconds=10m", *overrides], until=until
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return the folders of a run with the exploit and of one without."""
    place = tmp_path_factory.mktemp("runs")
    scenario = small_exploit("records.holding_accounts=true")
    run(scenario, 5, out=place / "shocked", figures=False)
    run(without_shocks(scenario), 5, out=place / "calm", figures=False)
    return place / "shocked", place / "calm"


@pytest.fixture(scope="module")
def held(folders):
    return pd.read_parquet(folders[0] / "records" / "holdings.parquet")


# --- runs without shocks --------------------------------------------------------------------------


def test_a_calm_scenario_has_neither_shocks_nor_news_and_is_else_the_same():
    scenario = small_exploit()
    calm = without_shocks(scenario)

    assert calm.shocks == []
    people = calm.populations
    assert all(getattr(one, "news_at_seconds", None) is None for one in people.values())
    assert calm.venues == scenario.venues
    assert people["traders"] == scenario.populations["traders"]
    assert scenario.shocks  # the given one is left as it was
    with pytest.raises(InputError, match="has no shocks; run it as it is"):
        without_shocks(calm)


def test_both_worlds_are_the_same_until_the_shock(folders):
    pools = [pd.read_parquet(folder / "records" / "pools.parquet") for folder in folders]
    before = [frame[frame["time"] < 7_200.0].reset_index(drop=True) for frame in pools]

    pd.testing.assert_frame_equal(*before)
    assert not pools[0].equals(pools[1])


def test_the_command_runs_the_paired_world(undertow):
    done = undertow("run", "bridge-exploit", "--until", "10m", "--without-shocks", "--no-figures")

    assert done.code == 0
    assert "runs/bridge-exploit-1-calm/records" in done.out.replace("\\", "/")


# --- holdings -------------------------------------------------------------------------------------


def test_claims_of_a_market_are_what_it_says_was_supplied(folders, held):
    markets = pd.read_parquet(folders[0] / "records" / "lending.parquet")
    mine = held[(held["venue"] == "market-a") & (held["amount"] > 0.0) & (held["time"] == 3_600.0)]
    said = markets[(markets["venue"] == "market-a") & (markets["time"] == 3_600.0)]

    claims = mine.groupby("token", observed=True)["amount"].sum()
    for token, supplied in zip(said["token"], said["supplied"], strict=True):
        # what the treasury has earned is nobody's claim yet
        assert claims[token] == pytest.approx(supplied, rel=1e-4)


def test_parts_of_a_pool_add_up_to_its_reserves(folders, held):
    pools = pd.read_parquet(folders[0] / "records" / "pools.parquet")
    mine = held[(held["venue"] == "rseth-pool") & (held["time"] == 3_600.0)]
    pool = pools[(pools["venue"] == "rseth-pool") & (pools["time"] == 3_600.0)].iloc[0]

    parts = mine.groupby("token", observed=True)["amount"].sum()
    assert parts["a/rsETH"] == pytest.approx(pool["reserve0"], rel=1e-9)
    assert parts["a/ETH"] == pytest.approx(pool["reserve1"], rel=1e-9)


def test_holders_of_a_wrapped_token_hold_all_of_it(folders, held):
    bridges = pd.read_parquet(folders[0] / "records" / "bridges.parquet")
    for time in (3_600.0, UNTIL):
        mine = held[(held["venue"] == "bridge") & (held["time"] == time)]
        bridge = bridges[bridges["time"] == time].iloc[0]
        owed = bridge["minted"] + bridge["in_flight"]
        assert mine["amount"].sum() == pytest.approx(owed, rel=1e-9)
        assert {"market-b", "wrseth-pool"} <= set(
            mine.loc[mine["holder_kind"] == "venue", "holder"]
        )


def test_accounts_add_up_to_their_population(folders, held):
    plain = run(small_exploit(), 5).tables["holdings"]
    key = ["time", "holder", "venue", "token"]
    sums, whole = (
        frame[frame["amount"] > 0.0].astype(dict.fromkeys(key[1:], str)).groupby(key)["value"].sum()
        for frame in (held, plain)
    )

    assert (held["account"] >= 0).any()
    assert (plain["account"] == -1).all()
    pd.testing.assert_series_equal(sums, whole, rtol=1e-12)


def test_debtors_have_their_main_tokens(folders):
    positions = pd.read_parquet(folders[0] / "records" / "positions.parquet")
    tokens = positions.groupby("population", observed=True)[["collateral_token", "debt_token"]]

    first = tokens.first()
    assert first.loc["loopers-b"].tolist() == ["b/wrsETH", "b/ETH"]
    assert first.loc["usdc-borrowers"].tolist() == ["a/LST", "a/USDC"]


# --- commands -------------------------------------------------------------------------------------


def test_exposures_are_printed_and_written_where_asked(undertow, here, folders):
    done = undertow("exposures", str(folders[0]), "--time", "1h", "--largest", "4", "--out", "net")

    assert done.code == 0
    assert "largest exposures at 1 h" in done.out
    assert "market-a LST" in done.out
    nodes = pd.read_parquet(here / "net" / "nodes.parquet").set_index("node")
    assert nodes["debt_rank"].between(0.0, 1.0).all()
    assert nodes.loc["bridge", "kind"] == "bridge"
    assert {file.name for file in (here / "net").iterdir()} == {
        "nodes.parquet", "exposures.parquet", "exposures.png"
    }  # fmt: skip
    again = undertow("exposures", str(folders[0]), "--out", "net")
    assert again.code == 2
    assert "net exists" in again.err


def test_exposures_write_nothing_unless_asked(undertow, here, folders):
    done = undertow("exposures", str(folders[0]), "--accounts", "--largest", "3")

    assert done.code == 0
    assert "-borrowers[" in done.out
    assert list(here.iterdir()) == []


def test_spread_says_when_the_exploit_reached_whom(undertow, here, folders):
    done = undertow("spread", *map(str, folders), "--out", "map")

    assert done.code == 0
    venues = pd.read_parquet(here / "map" / "venues.parquet").set_index("place")["delay"]
    assert venues["bridge"] == 0.0
    assert venues["bridge"] <= venues["wrseth-pool"] <= venues["market-a"] < np.inf
    assert venues["usdc-feed"] == np.inf
    assert (here / "map" / "spread.png").is_file()


def test_spread_wants_a_pair(undertow, folders):
    done = undertow("spread", str(folders[0]), str(folders[0]))

    assert done.code == 2
    assert "make it with --without-shocks" in done.err


# --- backtest -------------------------------------------------------------------------------------


def test_debt_rank_foretells_who_loses_by_the_exploit():
    # 4 worlds, in place of 100, whose forged amounts differ; in 100 the mean was .861 with a
    # standard error of .006 (.063 a world): below .7 in 4 worlds by chance is 5 standard errors
    random = np.random.default_rng(7)
    worlds = []
    for seed in range(1, 5):
        share = float(random.uniform(0.05, 1.0))
        amounts = [
            f"shocks.0.do.amount={78_882 * share}",
            f"shocks.1.do.amount={37_618 * share}",
            f"populations.exploiter-a.amount={51_949 * share}",
            f"populations.exploiter-b.amount={37_618 * share}",
        ]
        worlds.append((small_exploit(*amounts), seed))

    losses = backtest(worlds)

    assert agreement(losses).within > 0.7
    totals = losses.groupby("world")[["predicted", "simulated"]].sum()
    assert (totals["simulated"] > 1e6).all()
    assert (totals["predicted"] > totals["simulated"]).all()  # it knows no liquidation in time


# --- vaults ---------------------------------------------------------------------------------------


def test_a_vault_is_exposed_to_its_market_and_pool_and_its_investors_to_it():
    """Of 100 million USD 60 are lent and 25 in a pool; who waits is exposed as who holds."""
    whole = load_scenario("tranche-run", ["records.position_seconds=10m"], until=1_200.0)
    result = run(whole, 1)
    graph = exposure_graph(result.tables, result.manifest, 600.0)
    found = {(one, other): about["value"] for one, other, about in graph.edges(data=True)}

    assert found["vault", "market-x USDC"] == pytest.approx(55e6, rel=1e-3)
    assert found["vault", "market-y USDC"] == pytest.approx(5e6, rel=1e-3)
    assert found["vault", "eth-usdc"] == pytest.approx(25e6, rel=1e-2)
    investors = sum(value for (_, other), value in found.items() if other == "vault")
    assert investors == pytest.approx(100e6, rel=1e-2)
