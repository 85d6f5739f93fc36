"""Real books and pools: positions of three protocols, reserve parameters, pools of three kinds."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from experiments.book_fit import fit_file
from experiments.composition import build
from experiments.fitted_populations import as_populations
from experiments.scenario import load_scenario
from sim.amm.concentrated_state import ConcentratedState
from sim.amm.constant_product import ConstantProductState
from sim.lending.position_file import PositionSource
from sim.lending.state import LendingState
from sim.units import ticks
from tests.experiments.test_book_fit import assert_drawn_book_fits

pd = pytest.importorskip("pandas")
ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("UNDERTOW_DATA", ROOT.parent / "shared" / "data"))
pytestmark = pytest.mark.skipif(not (DATA / "lending").is_dir(), reason="no market data here")


def read(name):
    return pd.read_parquet(DATA / f"{name}.parquet")


def scenario_of(folder, prices, venues, people=None):
    """Return a scenario with fixed prices and a feed for every token."""
    feeds = {
        f"{name}-feed": {"kind": "oracle", "chain": "mainnet", "token": name} for name in prices
    }
    assets = {name: {"price": {"kind": "fixed", "price": price}} for name, price in prices.items()}
    text = {
        "version": 1, "name": "real", "horizon": "1h", "price_step_seconds": 60,
        "assets": assets,
        "chains": {
            "mainnet": {
                "blocks": {"kind": "fixed", "interval_seconds": 12},
                "native": next(iter(prices)), "tokens": list(prices),
            }
        },
        "venues": feeds | venues, "populations": people or {},
    }  # fmt: skip
    (folder / "real.yaml").write_text(json.dumps(text))
    return load_scenario(str(folder / "real.yaml"))


def market(reserves, **fields):
    named = {name: {"feed": f"{name}-feed", **terms} for name, terms in reserves.items()}
    return {"kind": "lending", "chain": "mainnet", "reserves": named, **fields}


def people(file, collateral, debt, **source):
    return {
        "kind": "borrowers", "chain": "mainnet", "market": "market", "collateral": collateral,
        "debt": debt, "positions": {"file": file, **source},
    }  # fmt: skip


def lender(asset, usd):
    return {
        "kind": "suppliers", "chain": "mainnet", "market": "market", "asset": asset, "count": 10,
        "supplied_usd": usd,
    }  # fmt: skip


def parquet_of(folder, rows, columns=("account", "asset", "collateral", "debt", "price_usd")):
    frame = pd.DataFrame(rows, columns=list(columns))
    frame.to_parquet(folder / "book.parquet")
    return "book.parquet"


def health_of(world):
    site = world.population_sites[world.population_names.index("book")]
    return world.columns_of(site)["health_factor"]()


# --- lending books -------------------------------------------------------------------------------

ETHER = 1_723.0


def steth_rows(frame):
    """Return the rows of accounts of Aave v2: staked ether, other collateral, ether and dollars."""
    staked = float((frame["collateral"] / frame["steth_amount"]).clip(upper=1.0).median())
    rows = []
    for k, a in enumerate(frame.itertuples()):
        rows.append((k, "stETH", a.steth_amount, 0.0, staked * ETHER))
        other = max(0.0, a.collateral - staked * a.steth_amount)
        rows.append((k, "ETH", other, min(a.eth_debt, a.debt), ETHER))
        rows.append((k, "USD", 0.0, max(0.0, a.debt - a.eth_debt) * ETHER, 1.0))
    return rows, staked


def test_the_staked_ether_book_starts_a_market_with_its_health_factors(tmp_path):
    frame = read("lending/aave_steth_borrower_positions_2023")
    frame = frame[frame["version"] == "v2"]
    rows, staked = steth_rows(frame)
    file = parquet_of(tmp_path, rows)
    reserves = {
        "stETH": {"liquidation_threshold": 0.83, "loan_to_value": 0.72},
        "ETH": {"liquidation_threshold": 0.83, "loan_to_value": 0.8},
        "USD": {"liquidation_threshold": 0.8},
    }
    lenders = {"eth": lender("ETH", 6e8), "usd": lender("USD", 1.2e9)}
    prices = {"ETH": ETHER, "stETH": staked * ETHER, "USD": 1.0}
    scenario = scenario_of(
        tmp_path, prices, {"market": market(reserves)},
        lenders | {"book": people(file, "stETH", "ETH")},
    )  # fmt: skip
    assert scenario.populations["book"].count == len(frame) == 1_309
    world = build(scenario).world
    found = health_of(world)
    # One threshold for all collateral: accounts whose own average is that one must agree.
    is_plain = (np.abs(frame["liq_threshold"] - 0.83) < 5e-4).to_numpy()
    whole = is_plain & (frame["collateral"] >= staked * frame["steth_amount"]).to_numpy()
    assert whole.sum() > 300
    np.testing.assert_allclose(found[whole], frame["health_factor"][whole], rtol=1e-3)
    is_near = np.abs(found / frame["health_factor"].to_numpy() - 1.0) < 0.05
    assert is_near.mean() > 0.95
    world.advance(ticks(600.0))
    world.check()


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_book_drawn_from_the_fit_of_the_staked_ether_book_has_its_quantiles(version):
    frame = read("lending/aave_steth_borrower_positions_2023")
    frame = frame[(frame["version"] == version) & (frame["debt"] > 0.01)]
    assert_drawn_book_fits(frame["debt"].to_numpy(), frame["health_factor"].to_numpy())


def crvusd_rows():
    """Return the rows of crvUSD borrowers of three markets: bands hold collateral and crvUSD."""
    rows = []
    for a in read("lending/crvusd_borrowers_2024-01-30").itertuples():
        account = f"{a.market}-{a.user_id}"
        rows.append((account, a.market, a.collateral, 0.0, a.oracle_price))
        rows.append((account, "crvUSD", a.stablecoin, a.debt, 1.0))
    return rows


def test_the_crvusd_book_starts_and_is_fitted_market_by_market(tmp_path):
    rows = crvusd_rows()
    file = parquet_of(tmp_path, rows)
    prices = {"ETH": 2_368.790966} | {r[1]: r[4] for r in rows if r[1] != "WETH"}
    terms = {"liquidation_threshold": 0.9, "liquidation_bonus": 0.05}
    scenario = scenario_of(
        tmp_path,
        prices,
        {"market": market(dict.fromkeys(prices, terms))},
        {
            "lenders": lender("crvUSD", 1.2e8),
            "book": people(file, "ETH", "crvUSD", names={"WETH": "ETH"}),
        },
    )
    world = build(scenario).world
    debt = sum(row[3] for row in rows)
    owed = world.shared[LendingState].reserves["scaled_debt"]
    assert float(owed.sum()) == pytest.approx(debt)
    assert debt == pytest.approx(3.589e7 + 1.982e7 + 3.326e7, rel=1e-3)
    unsafe = int((health_of(world) < 1.0).sum())
    source = PositionSource(file=str(tmp_path / file), names={"WETH": "ETH"})
    fit = fit_file(source.read(), dict.fromkeys(prices, 0.9))
    assert (fit.n_accounts, fit.n_unsafe) == (686, unsafe)
    told = as_populations(fit, "mainnet", "market")
    for name in ("ETH", "WBTC", "wstETH"):
        assert f"borrowers-{name}-crvUSD:" in told


def test_the_unhealthy_accounts_of_2020_are_allowed_and_counted(tmp_path):
    frame = read("lending/compound_v2_unhealthy_accounts_2020")
    rows = []
    for a in frame.itertuples():  # collateral is risk-adjusted: times the threshold already
        rows.append((a.user_id, "ETH", a.collateral_eth / 0.75, 0.0, 200.0))
        rows.append((a.user_id, "USD", 0.0, a.borrow_eth * 200.0, 1.0))
    file = parquet_of(tmp_path, rows)
    terms = {"liquidation_threshold": 0.75, "liquidation_bonus": 0.08}
    scenario = scenario_of(
        tmp_path, {"ETH": 200.0, "USD": 1.0}, {"market": market({"ETH": terms, "USD": terms})},
        {"lenders": lender("USD", 1e5), "book": people(file, "ETH", "USD")},
    )  # fmt: skip
    found = health_of(build(scenario).world)
    assert (found < 1.0).sum() == len(frame) == 143
    np.testing.assert_allclose(found, frame["health"], atol=2e-3)


RAY = 1e27


def reserve_terms(row):
    """Return the settings of a reserve from what its contract says."""
    return {
        "base_rate": float(row.baseVariableBorrowRate) / RAY,
        "slope1": float(row.variableRateSlope1) / RAY,
        "slope2": float(row.variableRateSlope2) / RAY,
        "kink": float(row.optimalUsageRatio) / RAY,
        "reserve_factor": float(row.reserveFactor) / 1e4,
        "loan_to_value": float(row.baseLTVasCollateral) / 1e4,
        "liquidation_threshold": float(row.reserveLiquidationThreshold) / 1e4,
        "liquidation_bonus": float(row.reserveLiquidationBonus) / 1e4 - 1.0,
        "supply_cap": float(row.supplyCap),
        "borrow_cap": float(row.borrowCap),
    }


def test_reserves_of_march_2025_have_the_rates_that_the_contract_says(tmp_path):
    """A whole market as two accounts: what is supplied and what is owed, asset by asset."""
    from sim.lending.reserve import borrow_rate, utilization

    frame = read("lending/aave_v3_ethereum_reserve_params_2025-03").set_index("symbol")
    names = ("WETH", "wstETH", "WBTC")
    rows, prices, reserves = [], {}, {}
    for name in names:
        row, unit = frame.loc[name], 10.0 ** int(frame.loc[name, "decimals"])
        debt = float(row.totalScaledVariableDebt) * float(row.variableBorrowIndex) / RAY / unit
        prices[name] = float(row.priceInMarketReferenceCurrency) / 1e8
        reserves[name] = reserve_terms(row)
        rows.append(("lenders", name, float(row.availableLiquidity) / unit + debt, 0.0,
                     prices[name]))  # fmt: skip
        rows.append(("debtors", name, 0.0, debt, prices[name]))
    file = parquet_of(tmp_path, rows)
    slots = {"n_collateral_slots": 3, "n_debt_slots": 3}
    scenario = scenario_of(
        tmp_path, prices, {"market": market(reserves, **slots)},
        {"book": people(file, "wstETH", "WETH")},
    )  # fmt: skip
    state = build(scenario).world.shared[LendingState]
    for k, name in enumerate(names):
        told = float(frame.loc[name, "variableBorrowRate"]) / RAY
        # Indices and balances of the snapshot are of slightly different times.
        assert borrow_rate(state.reserves[k]) == pytest.approx(told, rel=2e-3)
    assert utilization(state.reserves[0]) == pytest.approx(0.898, abs=0.001)


# --- pools ---------------------------------------------------------------------------------------


def test_pairs_of_october_2020_are_pools_at_their_own_price(tmp_path):
    frame = read("network/uniswap_v2_pairs_reserves_2020-10").head(1)
    rows = [
        (pair.pair, symbol, amount)
        for pair in frame.itertuples()
        for symbol, amount in ((pair.symbol0, pair.reserve0), (pair.symbol1, pair.reserve1))
    ]
    file = parquet_of(tmp_path, rows, ("pool", "token", "reserve"))
    pool = {
        "kind": "constant_product", "chain": "mainnet", "tokens": ["WETH", "USDC"],
        "reserves": {"file": file, "pool_in_file": rows[0][0], "price": "from_file"},
    }  # fmt: skip
    world = build(scenario_of(tmp_path, {"WETH": 350.0, "USDC": 1.0}, {"pool": pool})).world
    pools = world.shared[ConstantProductState]
    assert pools.reserve0[0] == pytest.approx(524_595.304158)
    assert world.venues.price[world.venue("pool")] == pytest.approx(
        1.765601e8 / 524_595.3, rel=1e-6
    )
    world.advance(ticks(120.0))
    world.check()


def test_balances_of_the_staked_ether_pool_are_read_and_three_coins_are_refused(tmp_path):
    from sim.amm.pool_files import ReserveSource, reserves_of
    from sim.errors import ScenarioError

    frame = read("pools/curve_balances_daily_2021_2022")
    rows = []
    for name, mine in frame.groupby("pool"):
        last = mine[mine["time"] == mine["time"].max()]
        rows += [
            (name, token, held) for token, held in zip(last["token"], last["balance"], strict=True)
        ]
    source = ReserveSource(
        file=str(tmp_path / parquet_of(tmp_path, rows, ("pool", "token", "reserve"))),
        price="rescale",
    )
    pools = {name: [t for n, t, _ in rows if n == name] for name in {row[0] for row in rows}}
    pair = next(name for name, tokens in pools.items() if "stETH" in tokens)
    held = {token: amount for name, token, amount in rows if name == pair}
    reserve0, reserve1 = reserves_of(source, pair, pools[pair], 1.0)
    assert reserve0 * reserve1 == pytest.approx(math.prod(held.values()))
    triple = next(name for name, tokens in pools.items() if len(tokens) == 3)
    with pytest.raises(ScenarioError, match="the venue is a pool of DAI and USDC"):
        reserves_of(source, triple, ["DAI", "USDC"], 1.0)


def test_positions_of_january_2024_are_the_liquidity_of_a_pool(tmp_path):
    frame = read("pools/uniswap_v3_usdc_weth_005_lp_positions_2024-01-05")
    is_open = frame["end_time"].isna()
    frame = frame[is_open]
    raw_price = 1.0 / (2_250.0 * 1e-12)  # WETH per USDC, raw: 10^18 over 10^6
    table = frame.rename(columns={"liquidity_raw": "liquidity", "owner_id": "owner"})
    table[["owner", "tick_lower", "tick_upper", "liquidity"]].to_parquet(tmp_path / "lp.parquet")
    pool = {
        "kind": "concentrated_liquidity", "chain": "mainnet", "tokens": ["USDC", "WETH"],
        "fee": 0.0005, "liquidity": {"file": "lp.parquet", "decimals": [6, 18]},
    }  # fmt: skip
    world = build(scenario_of(tmp_path, {"WETH": 2_250.0, "USDC": 1.0}, {"pool": pool})).world
    found = float(world.shared[ConcentratedState].pool["liquidity"][0])
    tick = math.log(raw_price) / math.log(1.0001)
    lower, upper = frame["tick_lower"].to_numpy(int), frame["tick_upper"].to_numpy(int)
    liquidity = frame["liquidity_raw"].astype(float).to_numpy() / 1e12
    # Ranges lie up to half a spacing of 10 ticks off: what ends so near the price may be in or out.
    surely = liquidity[(lower + 5 <= tick) & (tick < upper - 5)].sum()
    perhaps = liquidity[(lower - 5 <= tick) & (tick < upper + 5)].sum()
    assert 0.0 < surely * (1.0 - 1e-12) <= found <= perhaps * (1.0 + 1e-12)
    world.advance(ticks(120.0))
    world.check()


def test_owners_of_january_2024_are_providers_of_a_pool(tmp_path):
    frame = read("pools/uniswap_v3_usdc_weth_005_lp_positions_2024-01-05")
    frame = frame[frame["end_time"].isna()]
    table = frame.rename(columns={"liquidity_raw": "liquidity", "owner_id": "owner"})
    table[["owner", "tick_lower", "tick_upper", "liquidity"]].to_parquet(tmp_path / "lp.parquet")
    pool = {
        "kind": "concentrated_liquidity", "chain": "mainnet", "tokens": ["USDC", "WETH"],
        "fee": 0.0005, "value_usd": 1.0,
    }  # fmt: skip
    people = {
        "kind": "liquidity_providers", "chain": "mainnet", "pool": "pool",
        "ranges": {"file": "lp.parquet", "decimals": [6, 18]},
    }  # fmt: skip
    prices = {"WETH": 2_250.0, "USDC": 1.0}
    model = build(scenario_of(tmp_path, prices, {"pool": pool}, {"people": people}))
    held = model.populations["people"].get("liquidity")
    np.testing.assert_allclose(held, frame["liquidity_raw"].astype(float) / 1e12, rtol=1e-9)
    delay = model.populations["people"].get("delay")
    assert len(set(delay.tolist())) == frame["owner_id"].nunique()
    model.world.check()
