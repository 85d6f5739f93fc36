"""Record frames of one hour of a small world: a bridge, a market on its token, a pool, people."""

from typing import Any

import pandas as pd

from tests.analysis.builders import frame, rows

TIME = 3_600.0


def manifest() -> dict[str, Any]:
    """Return a market on chain b that lends dollars against the wrapped token of a bridge."""
    return {
        "seed": 1,
        "scenario": {
            "name": "small",
            "horizon": 7_200.0,
            "assets": {"ETH": {"impact": None}, "USD": {"impact": None}},
            "chains": {
                "a": {"native": "ETH", "tokens": ["ETH"]},
                "b": {"native": "ETH", "tokens": ["ETH", {"symbol": "USDC", "asset": "USD"}]},
            },
            "venues": {
                "bridge": {"kind": "lock_and_mint", "chain": "a", "other_chain": "b"},
                "pool": {"kind": "constant_product", "chain": "b", "tokens": ["wETH", "USDC"]},
                "market": {"kind": "lending", "chain": "b"},
            },
            "populations": {"lenders": {}, "borrowers": {}, "providers": {}},
            "shocks": [{"at": 4_000.0, "do": {"kind": "forge"}}, {"at": None, "after": 0}],
        },
    }


def tables() -> dict[str, pd.DataFrame]:
    """Return the records at one hour: 100 wrapped ether, of which 60 are pledged and 40 pooled."""
    return {
        "prices": frame("prices", time=TIME, asset=["ETH", "USD"], reference=[2_000.0, 1.0]),
        "pools": frame(
            "pools", time=[TIME], venue=["pool"], chain="b", price=2_000.0, reserve0=40.0,
            reserve1=80_000.0, liquidity=1_788.854382, value_usd=160_000.0,
        ),
        "lending": frame(
            "lending", time=TIME, venue="market", chain="b", token=["b/wETH", "b/USDC"],
            supplied=[60.0, 150_000.0], cash=[60.0, 60_000.0], borrowed=[0.0, 90_000.0],
            utilization=[0.0, 0.6], oracle_price=[2_000.0, 1.0],
        ),
        "bridges": frame(
            "bridges", time=[TIME], venue=["bridge"], token=["a/ETH"], locked=100.0,
            minted=100.0, backing_ratio=1.0,
        ),
        "positions": frame(
            "positions", time=TIME, venue="market", position=[0, 1], population="borrowers",
            account=[0, 1], collateral_token="b/wETH", debt_token="b/USDC",
            collateral=[80_000.0, 40_000.0], debt=[70_000.0, 20_000.0],
        ),
        "holdings": frame(
            "holdings",
            time=TIME,
            holder=["lenders", *["borrowers"] * 2, *["providers"] * 2, "pool", "market"],
            holder_kind=[*["population"] * 5, "venue", "venue"],
            account=-1,
            venue=["market", "market", "market", "pool", "pool", "bridge", "bridge"],
            token=["b/USDC", "b/wETH", "b/USDC", "b/wETH", "b/USDC", "b/wETH", "b/wETH"],
            amount=[150_000.0, 60.0, -90_000.0, 40.0, 80_000.0, 40.0, 60.0],
            value=[150_000.0, 120_000.0, -90_000.0, 80_000.0, 80_000.0, 80_000.0, 120_000.0],
        ),
        "equity": rows(
            "equity",
            [
                {"time": [TIME], "population": [name], "account": -1, "value": value}
                for name, value in (
                    ("lenders", 200_000.0), ("borrowers", 30_000.0), ("providers", 170_000.0)
                )
            ],
        ),
    }  # fmt: skip
