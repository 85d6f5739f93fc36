"""Replays of crises on real candles: what came of them beside what was reported, and its skill.

The files are those of a folder of market data that the user has. Skill is measured against a static
book: the same debts, each halved in the hour in which its health factor falls below 1 at the low.
"""

from __future__ import annotations

import math
import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.verify.rows import Finding, Row, Seeds
from experiments.verify.rows_b import banded, registered
from sim.units import HOUR

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from experiments.running import RunResult

FOLDER = "UNDERTOW_DATA"  # environment: folder of market data
_START = pd.Timestamp("2022-01-20")
_HOURS = 144
_DAYS = {  # January 2022: calls, debt in million USD
    21: (545, 43.4),
    22: (660, 28.6),
    24: (499, 18.5),
}
_DOLLARS = frozenset(
    {"USDC", "USDT", "DAI", "TUSD", "GUSD", "SUSD", "BUSD", "PAX", "FRAX", "FEI", "USDP"}
)


def data_folder() -> Path | None:
    """Return the folder of market data, None where none is named."""
    named = os.environ.get(FOLDER)
    return Path(named) if named else None


def rows() -> list[Row]:
    """Return the replays; those whose files are not there say so."""
    told, folder, found = registered(), data_folder(), []
    efforts = (tuple(told["seeds"][effort]) for effort in ("quick", "full"))
    seeds = Seeds(*efforts)
    for name, row in told["replays"].items():
        absent = [file for file in row["files"] if folder is None or not (folder / file).is_file()]
        missing = f"real candles: --prices DIR with {', '.join(absent)}" if absent else ""
        measure = None if absent else _MEASURES[name]
        found.append(
            Row(
                name,
                row["title"],
                row["source"],
                measure,
                seeds,
                f"replay {name}",
                missing,
                cost=10.0,
            )
        )
    return found


# --- January 2022 --------------------------------------------------------------------------------


def _january(seeds: tuple[int, ...]) -> list[Finding]:
    calls, candles = _real_calls(), _candles()
    mine = calls[(calls["collateral"] == "WETH") & calls["debt"].isin(_DOLLARS)]
    real = _Profile(mine["hour"], mine["debt_usd"], mine["liquidator_id"])
    values: dict[str, list[float]] = {}
    for seed in seeds:
        result = _january_run(seed)
        done = result.tables["liquidations"]
        simulated = _Profile(
            (done["time"] // HOUR).astype(int), done["debt_usd"], done["liquidator_account"]
        )
        static = _static(result, candles)
        found = {
            "skill_by_hour": _skill(real.hours(), simulated.hours(), static.hours()),
            "skill_by_low": _skill(*(one.lows(candles) for one in (real, simulated, static))),
            "skill_of_sizes": _size_skill(real, simulated, static),
            "top_three": simulated.top_three() - real.top_three(),
            "liquidated": float(done["debt_usd"].sum()) / 1e6,
            "calls": float(len(done)),
        }
        for name, value in found.items():
            values.setdefault(name, []).append(value)
    bands = registered()["replays"]["R1"]["findings"]
    return [*_reported(calls), *(banded(name, bands[name], values[name]) for name in bands)]


def _candles() -> pd.DataFrame:
    """Return the hourly candles of the days, row = hour."""
    folder = data_folder()
    assert folder is not None  # noqa: S101 - the row would be missing
    whole = pd.read_parquet(folder / "prices" / "eth_usdt_spot_1h.parquet").set_index("time")
    return whole[_START : _START + pd.Timedelta(hours=_HOURS - 1)].reset_index()


def _real_calls() -> pd.DataFrame:
    """Return the liquidation calls of the days with hour and debt in USD (NaN: not a dollar)."""
    folder = data_folder()
    assert folder is not None  # noqa: S101 - the row would be missing
    file = folder / "lending" / "aave_v2_liquidations_2020-12_2022-04.parquet"
    calls = pd.read_parquet(file)
    hour = (calls["time"] - _START) / pd.Timedelta(hours=1)
    calls = calls[(hour >= 0.0) & (hour < _HOURS)]
    hours = np.floor(hour[calls.index].to_numpy()).astype(int)
    price = np.where(calls["debt"].isin(_DOLLARS), 1.0, np.nan)
    closes = _candles()["close"].to_numpy()
    price = np.where(calls["debt"] == "WETH", closes[hours], price)
    return calls.assign(hour=hours, debt_usd=calls["debt_amount"] * price)


def _reported(calls: pd.DataFrame) -> list[Finding]:
    """Return what the files say of the three days: calls and debt, as reported."""
    found = []
    for day, (n_calls, debt) in _DAYS.items():
        mine = calls[calls["time"].dt.day == day]
        label = f"{day} January in the files"
        found.append(_told(f"{label}, calls", float(len(mine)), n_calls, "1"))
        found.append(
            _told(
                f"{label}, debt in dollars and ether", mine["debt_usd"].sum() / 1e6, debt, "m USD"
            )
        )
    return found


def _told(name: str, value: float, reported: float, unit: str) -> Finding:
    return Finding(
        name, float(value), 0.95 * reported, 1.05 * reported, float(reported), 0.0, unit, True
    )


def _january_run(seed: int) -> RunResult:
    from experiments.running import run
    from experiments.scenario import load_scenario

    folder = data_folder()
    assert folder is not None  # noqa: S101 - the row would be missing
    scenario = load_scenario(
        str(files("experiments.verify") / "aave-2022-01.yaml"),
        prices=str(folder / "prices" / "eth_usdt_spot_1h.parquet"),
        prices_start=f"{_START:%Y-%m-%dT%H:%M:%SZ}",
    )
    return run(scenario, seed)


class _Profile:
    """Liquidations by hour, size and liquidator."""

    def __init__(self, hour: Any, debt: Any, liquidator: Any) -> None:
        self.hour = np.asarray(hour, np.int64)
        self.debt = np.asarray(debt, float)
        self.liquidator = pd.Series(np.asarray(liquidator))

    def hours(self) -> np.ndarray:
        """Return the share of the debt by hour: float64, (144,)."""
        return np.asarray(np.bincount(self.hour, self.debt, _HOURS)[:_HOURS] / self.debt.sum())

    def lows(self, candles: pd.DataFrame) -> np.ndarray:
        """Return the share of the debt by each 1 % of fall of the lowest price so far."""
        low = np.minimum.accumulate(candles["low"].to_numpy())
        fallen = np.floor(100.0 * (1.0 - low / candles["open"].iloc[0])).astype(int).clip(0)
        return np.asarray(np.bincount(fallen[self.hour], self.debt, 100) / self.debt.sum())

    def log_sizes(self) -> np.ndarray:
        """Return the deciles of log sizes about their median."""
        size = np.log(self.debt[self.debt > 0.0])
        return np.asarray(np.quantile(size, np.arange(0.1, 0.95, 0.1)) - np.median(size))

    def top_three(self) -> float:
        """Return the share of the three largest liquidators; unknown ones are left out."""
        sums = pd.Series(self.debt).groupby(self.liquidator).sum()
        return float(sums.nlargest(3).sum() / sums.sum())


def _static(result: RunResult, candles: pd.DataFrame) -> _Profile:
    """Return what a static book gives: half of each debt in its first unsafe hour."""
    book = result.tables["positions"]
    book = book[(book["time"] == book["time"].min()) & (book["debt"] > 0.0)]
    low = candles["low"].to_numpy() / candles["open"].iloc[0]
    health = book["health_factor"].to_numpy()
    is_hit = health[:, None] * low[None, :] < 1.0
    hit = is_hit.any(axis=1)
    debt = 0.5 * book["debt"].to_numpy()[hit]
    return _Profile(is_hit.argmax(axis=1)[hit], debt, np.zeros(int(hit.sum())))


def _skill(real: np.ndarray, simulated: np.ndarray, static: np.ndarray) -> float:
    """Return 1 - distance of the simulated profile over that of the static one."""
    return 1.0 - float(np.abs(simulated - real).sum() / np.abs(static - real).sum())


def _size_skill(real: _Profile, simulated: _Profile, static: _Profile) -> float:
    return _skill(real.log_sizes(), simulated.log_sizes(), static.log_sizes())


# --- March 2020 ----------------------------------------------------------------------------------


def _march(seeds: tuple[int, ...]) -> list[Finding]:
    values: dict[str, list[float]] = {}
    for seed in seeds:
        for name, value in _march_values(_march_run(seed)).items():
            values.setdefault(name, []).append(value)
    bands = registered()["replays"]["R2"]["findings"]
    return [banded(name, bands[name], values[name]) for name in bands]


def _march_run(seed: int) -> RunResult:
    from experiments.running import run
    from experiments.scenario import load_scenario

    folder = data_folder()
    assert folder is not None  # noqa: S101 - the row would be missing
    scenario = load_scenario(
        "black-thursday",
        prices=str(folder / "prices" / "eth_usdt_spot_5m_2020-03_black_thursday.parquet"),
        prices_start="2020-03-12T00:00:00Z",
    )
    return run(scenario, seed)


def _march_values(result: RunResult) -> dict[str, float]:
    from analysis.microstructure import lp_outcomes
    from analysis.setting import setting_of
    from experiments.expected import gas_price_peak, pool_gap, seized

    done = result.tables["liquidations"]
    hour = done["time"] / HOUR
    falls = hour.between(10.0, 12.0) | hour.between(23.0, 27.0)
    repaid = float(done["debt_usd"].sum())
    made = lp_outcomes(result.tables, setting_of(result.manifest))["lp_return"]
    return {
        "seized": seized(result, until=24.0 * HOUR),
        "in_the_falls": float(done.loc[falls, "debt_usd"].sum()) / repaid if repaid else math.nan,
        "pool_gap": pool_gap(result, first=10.67, last=11.17),
        "gas_peak": gas_price_peak(result),
        "providers": float(made.median()),
    }


_MEASURES: Mapping[str, Callable[[tuple[int, ...]], list[Finding]]] = {
    "R1": _january,
    "R2": _march,
}
