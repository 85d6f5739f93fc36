"""Record frames of runs that never were: a crash on two chains, and a quiet pool."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from sim.records import TABLES

HOUR = 3_600.0
KINDS = {"float64": "float64", "int64": "int64", "text": "category"}


def frame(name: str, **columns: Any) -> pd.DataFrame:
    """Return a record table as read from Parquet; columns left out are 0 or empty."""
    n = max((np.size(value) for value in columns.values()), default=0)
    made = {}
    for column in TABLES[name].columns:
        default = "" if column.kind == "text" else 0
        value = columns.pop(column.name, default)
        value = np.full(n, value) if np.ndim(value) == 0 else value
        made[column.name] = pd.Series(value).astype(KINDS[column.kind])
    assert not columns, f"{name} has no columns {list(columns)}"
    return pd.DataFrame(made)


def rows(name: str, parts: list[dict[str, Any]]) -> pd.DataFrame:
    """Return a record table of several blocks of columns, in the order of time."""
    frames = [frame(name, **part) for part in parts]
    text = [c.name for c in TABLES[name].columns if c.kind == "text"]
    table = pd.concat([one.astype(dict.fromkeys(text, "str")) for one in frames])
    table = table.sort_values("time", kind="stable", ignore_index=True)
    return table.astype(dict.fromkeys(text, "category"))


def pool(chain: str, token0: str, token1: str) -> dict[str, Any]:
    """Return a pool as the manifest describes it."""
    return {"kind": "constant_product", "chain": chain, "tokens": [token0, token1]}


# --- a quiet market: one pool, one arbitrageur ----------------------------------------------------


def quiet_manifest() -> dict[str, Any]:
    return {
        "seed": 1,
        "scenario": {
            "name": "quiet-market",
            "horizon": 168 * HOUR,
            "warmup": 0.0,
            "chains": {"mainnet": {"native": "ETH", "tokens": ["ETH", "USD"]}},
            "venues": {"eth-usd": pool("mainnet", "ETH", "USD")},
            "populations": {"arbitrageur": {"kind": "arbitrageurs", "chain": "mainnet"}},
            "shocks": [],
        },
    }


@cache
def quiet_run(seed: int = 1) -> dict[str, pd.DataFrame]:
    """Return the record tables of seven days without an event."""
    random = np.random.default_rng(seed)
    time = np.arange(0.0, 168 * HOUR + 1, 300.0)
    n = len(time)
    reference = 2_000.0 * np.exp(np.cumsum(random.normal(0.0, 0.05 * np.sqrt(300 / 86_400), n)))
    error = np.clip(np.cumsum(random.normal(0, 0.001, n)) % 0.012 - 0.006, -0.003, 0.003)
    price = reference * np.exp(error)
    invariant = 2_500.0 * 5e6
    reserve0, reserve1 = np.sqrt(invariant / price), np.sqrt(invariant * price)
    steps = np.concatenate([[0.0], np.abs(np.diff(reserve1))])
    fees, lvr = 0.003 * np.cumsum(steps), 1.1 * 0.003 * np.cumsum(steps)
    block = np.arange(0.0, 168 * HOUR, 12.0)
    swaps = np.sort(random.choice(block, 2_000, replace=False))
    size = random.lognormal(8.0, 0.6, len(swaps))
    eth, usd = "mainnet/ETH", "mainnet/USD"
    buys = random.random(len(swaps)) < 0.5
    at = np.interp(swaps, time, reference)
    return {
        "fills": frame(
            "fills",
            fill_id=np.arange(1, len(swaps) + 1),
            time=swaps,
            chain="mainnet",
            population="arbitrageur",
            kind="constant_product.swap",
            venue="eth-usd",
            token_in=np.where(buys, usd, eth),
            token_out=np.where(buys, eth, usd),
            amount_in=np.where(buys, size, size / at),
            amount_out=np.where(buys, size / at, size),
            value_in=size,
            value_out=size,
            gas_paid=0.001,
            status="OK",
        ),
        "pools": frame(
            "pools",
            time=time,
            venue="eth-usd",
            chain="mainnet",
            price=price,
            reference_price=reference,
            reserve0=reserve0,
            reserve1=reserve1,
            liquidity=np.sqrt(invariant),
            value_usd=reserve0 * reference + reserve1,
            volume_usd=np.cumsum(steps),
            fees_usd=fees,
            lvr_usd=lvr,
        ),
        "prices": rows(
            "prices",
            [
                {"time": time, "asset": "ETH", "fundamental": reference, "reference": reference},
                {"time": time, "asset": "USD", "fundamental": 1.0, "reference": 1.0},
            ],
        ),
        "chains": frame(
            "chains",
            time=block,
            chain="mainnet",
            block=np.arange(len(block)),
            gas_used=random.binomial(1, 0.04, len(block)) * 110_000,
            base_fee=1e-9,
            n_included=0,
        ),
        "equity": rows(
            "equity",
            [
                {"time": time[::2], "population": name, "account": -1, "value": value[::2]}
                for name, value in (
                    ("arbitrageur", 1e9 + lvr - fees),
                    ("eth-usd", reserve0 * reference + reserve1),
                )
            ],
        ),
    }


# --- a crash on two chains ------------------------------------------------------------------------

_PATH = [
    (0, 194.6), (8, 171.6), (10.6, 162.0), (11, 132.9), (12.3, 141.6), (13.8, 128.4), (17, 144.0),
    (21, 127.0), (23.3, 121.2), (23.6, 106.5), (25.7, 107.3), (26.25, 88.4), (26.7, 116.7),
    (27.7, 133.1), (29, 109.7), (37.6, 139.4), (39.8, 115.7), (44, 128.3), (48, 134.1),
]  # fmt: skip


def crash_manifest() -> dict[str, Any]:
    return {
        "seed": 7,
        "scenario": {
            "name": "black-thursday",
            "horizon": 48 * HOUR,
            "warmup": 2 * HOUR,
            "chains": {
                "mainnet": {"native": "ETH", "tokens": ["ETH", "DAI", "USDC"]},
                "rollup": {"native": "ETH", "tokens": ["ETH", "USDC"]},
            },
            "venues": {
                "eth-dai": pool("mainnet", "ETH", "DAI"),
                "eth-usdc": pool("mainnet", "ETH", "USDC"),
                "dai-usdc": pool("mainnet", "DAI", "USDC"),
                "eth-usdc-5": pool("rollup", "ETH", "USDC"),
                "weth-eth": pool("rollup", "wETH", "ETH"),
                "cdp": {"kind": "lending_market", "chain": "mainnet"},
                "lend": {"kind": "lending_market", "chain": "rollup"},
                "bridge": {"kind": "lock_and_mint"},
            },
            "populations": {
                "arbitrageurs": {"kind": "arbitrageurs"},
                "liquidators": {"kind": "liquidators"},
                "borrowers": {"kind": "borrowers"},
            },
            "shocks": [
                {"at": 10.6 * HOUR, "do": {"kind": "demand_surge"}},
                {"at": 23.5 * HOUR, "do": {"kind": "halt_venue", "venue": "bridge"}},
            ],
        },
    }  # fmt: skip


@cache
def crash_run(seed: int = 7) -> dict[str, pd.DataFrame]:
    """Return the record tables of 48 hours with two crashes, liquidations and a depeg."""
    random = np.random.default_rng(seed)
    time = np.arange(0.0, 48 * HOUR + 1, 60.0)
    hours, path = np.array(_PATH).T
    eth = np.exp(np.interp(time / HOUR, hours, np.log(path)))
    eth *= np.exp(random.normal(0.0, 0.002, len(time)))
    dai = 1.0 + 0.08 * np.exp(-(((time / HOUR - 25) / 8) ** 2))
    speed = np.abs(np.gradient(np.log(eth), 1.0))
    stress = np.convolve(speed, np.ones(30) / 30, "same") / speed.mean()
    liquidations = _liquidations(random, time, eth)
    return {
        "prices": rows(
            "prices",
            [
                {"time": time, "asset": asset, "fundamental": price, "reference": price}
                for asset, price in (("ETH", eth), ("DAI", dai), ("USDC", np.ones_like(eth)))
            ],
        ),
        "pools": _pools(random, time, eth, dai, stress),
        "liquidations": liquidations,
        "positions": _positions(random, time, eth),
        "lending": _markets(random, time, eth),
        "chains": _chains(random, stress),
        "bridges": _bridges(time),
        "fills": _fills(random, time, eth),
        "equity": rows(
            "equity",
            [
                {
                    "time": time[::10],
                    "population": name,
                    "account": -1,
                    "value": 1e6 + gain * time[::10],
                    "trading_gain": gain * time[::10],
                    "gas": 0.05 * time[::10],
                }
                for name, gain in (("arbitrageurs", 2.0), ("liquidators", 0.7), ("borrowers", -1.5))
            ],
        ),
    }


def _liquidations(random, time, eth) -> pd.DataFrame:
    low = np.minimum.accumulate(eth)
    falls = np.concatenate([[0.0], -np.diff(np.log(low))])
    at = np.sort(random.choice(time, 420, p=falls / falls.sum())) + random.uniform(0, 60, 420)
    debt = random.lognormal(9.0, 1.6, 420)
    return frame(
        "liquidations",
        fill_id=np.arange(420),
        time=at,
        chain=np.where(random.random(420) < 0.7, "mainnet", "rollup"),
        venue="cdp",
        position=random.integers(0, 3_000, 420),
        liquidator_population="liquidators",
        liquidator_account=random.integers(0, 8, 420),
        debt_usd=debt,
        seized_usd=1.09 * debt,
        health_factor=0.98,
        delay=random.exponential(300.0, 420),
    )


def _pools(random, time, eth, dai, stress) -> pd.DataFrame:
    one = np.ones_like(eth)
    parts = []
    for venue, chain, price0, price1, value, lag in (
        ("eth-dai", "mainnet", eth, dai, 10e6, 12),
        ("eth-usdc", "mainnet", eth, one, 4e6, 20),
        ("dai-usdc", "mainnet", dai, one, 2e6, 40),
        ("eth-usdc-5", "rollup", eth, one, 0.9e6, 4),
        ("weth-eth", "rollup", 0.0 * eth, eth, 0.5e6, 1),
    ):
        reference = price0 / price1
        price = np.ones_like(eth) if venue == "weth-eth" else _delayed(reference, lag)
        price = price * np.exp(random.normal(0.0, 0.0005, len(eth)))
        scale = value / (2 * np.sqrt(price[0])) / price1[0]
        reserve0, reserve1 = scale / np.sqrt(price), scale * np.sqrt(price)
        fees = np.cumsum(value * 3e-6 * (0.3 + stress))
        parts.append(
            {
                "time": time,
                "venue": venue,
                "chain": chain,
                "price": price,
                "reference_price": reference,
                "reserve0": reserve0,
                "reserve1": reserve1,
                "value_usd": reserve0 * price0 + reserve1 * price1,
                "volume_usd": fees / 0.003,
                "fees_usd": fees,
                "lvr_usd": np.cumsum(value * 3.2e-6 * stress**1.3),
            }
        )
    return rows("pools", parts)


def _delayed(values, n):
    weights = np.exp(-np.arange(5 * n) / n)
    padded = np.concatenate([np.full(5 * n - 1, values[0]), values])
    return np.convolve(padded, weights / weights.sum(), "valid")


def _positions(random, time, eth) -> pd.DataFrame:
    n, parts = 800, []
    quantiles = np.interp(
        random.random(n), [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1], [1.25, 1.35, 1.6, 2, 2.8, 4.5, 7]
    )
    debt = random.lognormal(9.5, 1.8, n)
    closed = np.ones(n, bool)
    for k in range(0, len(time), 60):
        price = eth[k] / eth[0]
        factor = quantiles * price
        factor = np.where(factor < 1.0, 1.0 + 0.3 * random.random(n), factor)
        factor = np.where(random.random(n) < 0.004, 0.9, factor)
        here = closed & (random.random(n) < 0.995)
        collateral = debt * factor / 0.75
        late = 25.5 < time[k] / HOUR < 40
        collateral = np.where(late & (np.arange(n) % 90 == 0), 0.93 * debt, collateral)
        parts.append(
            {
                "time": np.full(here.sum(), time[k]),
                "venue": np.where(np.arange(n)[here] % 3 == 0, "lend", "cdp"),
                "position": np.arange(n)[here],
                "population": "borrowers",
                "collateral": collateral[here],
                "debt": debt[here],
                "health_factor": 0.75 * (collateral / debt)[here],
                "shortfall": np.maximum(debt - collateral, 0.0)[here],
            }
        )
    return rows("positions", parts)


def _markets(random, time, eth) -> pd.DataFrame:
    hour = time / HOUR
    parts = []
    for venue, chain, token, supplied, base, peak in (
        ("cdp", "mainnet", "mainnet/DAI", 120e6, 0.62, 0.99),
        ("lend", "rollup", "rollup/USDC", 58e6, 0.70, 1.0),
        ("lend", "rollup", "rollup/ETH", 300e3, 0.20, 0.45),
    ):
        run = 1.0 / (1.0 + np.exp(-(hour - 25.0)))
        share = np.clip(base + (peak - base) * run * 1.02 - 0.006 * np.maximum(hour - 32, 0), 0, 1)
        parts.append(
            {
                "time": time,
                "venue": venue,
                "chain": chain,
                "token": token,
                "supplied": supplied,
                "borrowed": share * supplied,
                "cash": (1 - share) * supplied,
                "utilization": share,
                "borrow_rate": 0.04 * share + np.maximum(share - 0.8, 0.0) * 3.0,
                "supply_rate": 0.03 * share,
                "oracle_price": eth if token.endswith("ETH") else np.ones_like(eth),
                "bad_debt": np.where(hour > 30, 40e3, 0.0) if venue == "cdp" else 0.0,
            }
        )
    return rows("lending", parts)


def _chains(random, stress) -> pd.DataFrame:
    parts = []
    for chain, interval, floor, push in (("mainnet", 13.1, 8e-9, 1.0), ("rollup", 2.0, 1e-10, 0.4)):
        time = np.arange(interval, 48 * HOUR, interval)
        load = np.interp(time, np.arange(len(stress)) * 60.0, stress)
        walk = 0.2 * np.sin(time / 4_000.0) + random.normal(0.0, 0.05, len(time))
        parts.append(
            {
                "time": time,
                "chain": chain,
                "block": np.arange(len(time)),
                "gas_used": 5_000_000,
                "base_fee": floor * np.exp(push * np.minimum(load, 3.5) + walk),
                "pending": random.poisson(np.maximum(load - 1.0, 0.0) ** 2 * 30 * push),
                "n_included": 3,
            }
        )
    return rows("chains", parts)


def _bridges(time) -> pd.DataFrame:
    hour = time / HOUR
    minted = 20e3 + 200 * np.sin(hour / 5)
    locked = np.where((hour > 23.5) & (hour < 30), 0.92, 1.0) * minted
    off = np.where(hour > 23.5, -0.06 * np.exp(-(hour - 23.5) / 3.0), 0.0005 * np.sin(3 * hour))
    return frame(
        "bridges",
        time=time,
        venue="bridge",
        token="mainnet/ETH",
        locked=locked,
        minted=minted,
        in_flight=50.0,
        backing_ratio=locked / minted,
        depeg=off,
    )


def _fills(random, time, eth) -> pd.DataFrame:
    routes = [
        ("eth-dai", "mainnet", "mainnet/ETH", "mainnet/DAI", 6_000, "constant_product.swap"),
        ("eth-usdc", "mainnet", "mainnet/ETH", "mainnet/USDC", 4_000, "constant_product.swap"),
        ("dai-usdc", "mainnet", "mainnet/DAI", "mainnet/USDC", 2_000, "constant_product.swap"),
        ("eth-usdc-5", "rollup", "rollup/ETH", "rollup/USDC", 5_000, "concentrated.swap"),
        ("weth-eth", "rollup", "rollup/wETH", "rollup/ETH", 500, "constant_product.swap"),
        ("bridge", "mainnet", "mainnet/ETH", "rollup/wETH", 300, "bridge.lock"),
    ]
    parts = []
    for venue, chain, token_in, token_out, n, kind in routes:
        size = random.lognormal(7.0, 1.5, n)
        turned = (random.random(n) < 0.5) & (venue != "bridge")
        parts.append(
            {
                "time": np.sort(random.uniform(0, 48 * HOUR, n)),
                "chain": chain,
                "population": "arbitrageurs",
                "kind": kind,
                "venue": venue,
                "token_in": np.where(turned, token_out, token_in),
                "token_out": np.where(turned, token_in, token_out),
                "amount_in": size,
                "amount_out": size,
                "value_in": size,
                "value_out": size,
                "gas": 110_000,
                "gas_paid": 0.002,
                "status": np.where(random.random(n) < 0.03, "SLIPPAGE", "OK"),
            }
        )
    return rows("fills", parts)
