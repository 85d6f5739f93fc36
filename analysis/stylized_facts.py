"""Stylized facts of a run: statistics that real markets show, with the band that they lie in.

Returns are those of the reference price of the asset with the most pool volume, sample by sample;
hourly statistics compare hours with each other. A fact for which a run has no data does not hold
and does not fail: its value is NaN and its verdict None.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.liquidity import price_errors, swap_fills
from analysis.microstructure import lp_outcomes
from analysis.reading import load_run
from analysis.series import frame_of, growth, measured, wide
from analysis.setting import setting_of
from sim.units import HOUR

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from analysis.setting import Setting

TAIL = 0.05  # share of the observations that the tail index is taken from
_LEAST = 30  # observations without which nothing is said
_STRESS = 0.9  # quantile of hourly volatility from which an hour is one of stress


class Fact(NamedTuple):
    """A statistic, the band in which real markets have it, and what it says."""

    name: str
    low: float
    high: float
    meaning: str


def _facts(text: str) -> tuple[Fact, ...]:
    rows = [[part.strip() for part in line.split("|", 3)] for line in text.strip().splitlines()]
    return tuple(Fact(row[0], float(row[1]), float(row[2]), row[3]) for row in rows)


FACTS = _facts(
    """
    excess_kurtosis           | 3    | inf  | of returns from sample to sample
    kurtosis_falls            | 0    | inf  | that, less that of hourly returns
    tail_index                | 2    | 4    | Hill index of the largest 5 % of absolute returns
    return_autocorrelation    | -0.05 | 0.05 | mean autocorrelation of returns at lags 5 to 20
    absolute_autocorrelation  | 0.05 | 1    | the same of absolute returns, lags 1 to 12
    skewness                  | -inf | 0    | of returns from sample to sample
    volume_volatility         | 0    | 1    | correlation of pool volume and volatility, by hour
    depth_volatility          | -1   | 0    | correlation of depth at 2 % and volatility, by hour
    gas_volatility            | 0    | 1    | correlation of the base fee and volatility, by hour
    arbitrage_elasticity      | 1.5  | 2.5  | slope of log arbitrage volume on log volatility
    reference_leads           | 0    | 2    | correlation with the pool's next return, less reverse
    errors_inside_fee         | 0.7  | 1    | share of samples at which a pool is within its fee
    providers_below_holding   | 0.5  | 0.95 | share of providers who made less than holding
    provider_kurtosis         | 0    | inf  | excess kurtosis of what they made beyond holding
    liquidation_branching     | 0.5  | 1    | branching ratio of a Hawkes process of liquidations
    liquidation_clustering    | 1.5  | inf  | Fano factor of liquidations in an hour; 1: Poisson
    liquidation_tail          | 0    | 3    | Hill index of the largest debts repaid
    liquidator_concentration  | 0.6  | 1    | share of the debt that the three largest repaid
    searcher_concentration    | 0.6  | 1    | share of the volume of the three largest arbitrageurs
    utilization_peak          | 0.999 | 1   | highest utilization of a reserve
    rate_jump                 | 2    | inf  | highest borrow rate of a reserve over its first
    correlation_in_stress     | 0    | 2    | correlation of assets in stress, less that in calm
    """
)


def table(folder: Path | str) -> pd.DataFrame:
    """Return the stylized facts of a run folder.

    Returns
    -------
    DataFrame, index `statistic`, with the columns value, low, high (the band), holds (True, False;
    None: no data) and meaning

    Raises
    ------
    analysis.reading.RunFolderError
        The folder is not a whole run.
    """
    run = load_run(folder)
    return table_of(run.frames, setting_of(run.manifest))


def table_of(tables: Mapping[str, pd.DataFrame], setting: Setting) -> pd.DataFrame:
    """Return what `table` does, from record tables; absent and empty ones are allowed."""
    values = {
        **_returns(tables, setting),
        **_hours(tables, setting),
        **_pools(tables, setting),
        **_liquidations(tables, setting),
        **_lending(tables, setting),
    }
    rows = [
        {
            "statistic": fact.name,
            "value": values[fact.name],
            "low": fact.low,
            "high": fact.high,
            "holds": _holds(values[fact.name], fact),
            "meaning": fact.meaning,
        }
        for fact in FACTS
    ]
    return pd.DataFrame(rows).astype({"holds": object}).set_index("statistic")


def _holds(value: float, fact: Fact) -> bool | None:
    return None if math.isnan(value) else bool(fact.low <= value <= fact.high)


# --- estimators ----------------------------------------------------------------------------------


def hill_index(values: Any, tail: float = TAIL) -> float:
    """Return the Hill estimate of the tail index of positive values; NaN where too few.

    Parameters
    ----------
    values : float64, (n,)
    tail : share of the values, the largest ones, that it is taken from

    References
    ----------
    Hill (1975).
    """
    size = np.sort(np.asarray(values, float))[::-1]
    size = size[size > 0.0]
    k = int(tail * len(size))
    if k < 5 or size[0] <= size[k]:
        return math.nan
    return float(1.0 / np.log(size[:k] / size[k]).mean())


def autocorrelation(values: Any, n_lags: int) -> NDArray[np.float64]:
    """Return the autocorrelation at lags 1 to n_lags; NaN where values do not vary."""
    x = np.asarray(values, float) - np.mean(values)
    total = float(x @ x)
    if total <= 0.0 or len(x) <= n_lags:
        return np.full(n_lags, np.nan)
    return np.array([float(x[:-lag] @ x[lag:]) / total for lag in range(1, n_lags + 1)])


def excess_kurtosis(values: Any) -> float:
    """Return the fourth standardized moment less 3; NaN where values do not vary."""
    x = np.asarray(values, float) - np.mean(values) if len(values) else np.zeros(0)
    spread = float((x**2).mean()) if len(x) >= _LEAST else 0.0
    return float((x**4).mean()) / spread**2 - 3.0 if spread > 0.0 else math.nan


def _skewness(x: NDArray[Any]) -> float:
    away = x - x.mean()
    spread = float((away**2).mean())
    return float((away**3).mean()) / spread**1.5 if spread > 0.0 else math.nan


def fano_factor(times: Any, start: float, end: float, window: float) -> float:
    """Return the variance over the mean of counts in windows; 1 for a Poisson process."""
    edges = np.arange(start, end + 1e-9, window)
    if len(edges) < 9:
        return math.nan
    counts = np.histogram(np.asarray(times, float), edges)[0]
    return float(counts.var() / counts.mean()) if counts.any() else math.nan


def _correlation(one: Any, other: Any) -> float:
    pair = pd.DataFrame({"one": one, "other": other}).dropna()
    if len(pair) < 8 or not (pair.std() > 0.0).all():
        return math.nan
    return float(np.corrcoef(pair["one"], pair["other"])[0, 1])


# --- what the facts are taken from ---------------------------------------------------------------


def main_asset(tables: Mapping[str, pd.DataFrame], setting: Setting) -> str:
    """Return the asset that moves and has the most pool volume; empty where none moves."""
    prices = measured(frame_of(tables, "prices"), setting.warmup)
    paths = wide(prices, "asset", "reference")
    moving = [str(name) for name in paths if np.ptp(paths[name].dropna().to_numpy()) > 0.0]
    volume = dict.fromkeys(moving, 0.0)
    totals = growth(frame_of(tables, "pools"), "venue", "volume_usd", setting.warmup)
    for venue, usd in totals.items():
        for asset in {
            setting.assets.get(token, "") for token in setting.tokens.get(str(venue), ())
        }:
            if asset in volume:
                volume[asset] += float(usd)
    return max(volume, key=lambda name: volume[name], default="")


def returns_of(tables: Mapping[str, pd.DataFrame], setting: Setting) -> pd.Series[float]:
    """Return the log returns of the main asset's reference price; index time."""
    prices = measured(frame_of(tables, "prices"), setting.warmup)
    asset = main_asset(tables, setting)
    mine = prices[prices["asset"].astype(str) == asset].set_index("time")["reference"]
    return pd.Series(np.log(mine.to_numpy(float)), mine.index, dtype=float).diff().dropna()


def _returns(tables: Mapping[str, pd.DataFrame], setting: Setting) -> dict[str, float]:
    returns = returns_of(tables, setting)
    hourly = returns.groupby(np.floor(returns.index.to_numpy(float) / HOUR)).sum()
    names = ("return_autocorrelation", "absolute_autocorrelation", "skewness")
    found = dict.fromkeys(names, math.nan)
    short = excess_kurtosis(returns)
    if len(returns) >= _LEAST:
        x = returns.to_numpy(float)
        found = {
            "return_autocorrelation": float(autocorrelation(x, 20)[4:].mean()),
            "absolute_autocorrelation": float(autocorrelation(np.abs(x), 12).mean()),
            "skewness": _skewness(np.asarray(x, np.float64)),
        }
    return found | {
        "excess_kurtosis": short,
        "kurtosis_falls": short - excess_kurtosis(hourly),
        "tail_index": hill_index(returns.abs()),
    }


def _volatility(tables: Mapping[str, pd.DataFrame], setting: Setting) -> pd.Series[float]:
    """Return the root of the sum of squared returns of each hour; index: number of the hour."""
    squares = returns_of(tables, setting) ** 2
    return squares.groupby(np.floor(squares.index.to_numpy(float) / HOUR)).sum() ** 0.5


def _by_hour(frame: pd.DataFrame) -> NDArray[np.float64]:
    return np.floor(frame["time"].to_numpy(float) / HOUR)


def _hours(tables: Mapping[str, pd.DataFrame], setting: Setting) -> dict[str, float]:
    volatility = _volatility(tables, setting)
    swaps = measured(
        swap_fills(frame_of(tables, "fills"), frame_of(tables, "pools")), setting.warmup
    )
    volume = swaps.groupby(_by_hour(swaps))["value_in"].sum()
    names = [name for name, kind in setting.kinds.items() if "arbitrage" in kind]
    own = swaps[swaps["population"].isin(names)]
    arbitrage = own.groupby(_by_hour(own))["value_in"].sum()
    depth = measured(frame_of(tables, "depth"), setting.warmup)
    near = depth[depth["move"].abs() == 0.02]
    depth_path = near.groupby(_by_hour(near))["usd"].mean()
    chains = measured(frame_of(tables, "chains"), setting.warmup)
    fee = chains.groupby(_by_hour(chains))["base_fee"].mean()
    return {
        "volume_volatility": _correlation(volume, volatility),
        "depth_volatility": _correlation(depth_path, volatility),
        "gas_volatility": _correlation(fee, volatility),
        "arbitrage_elasticity": _slope(volatility, arbitrage),
        "correlation_in_stress": _correlation_in_stress(tables, setting, volatility),
        "searcher_concentration": _top_three(own, ["population", "account"], "value_in"),
    }


def _slope(x: pd.Series[float], y: pd.Series[float]) -> float:
    """Return the slope of log y on log x by least squares."""
    pair = pd.DataFrame({"x": x, "y": y}).dropna()
    pair = pair[(pair["x"] > 0.0) & (pair["y"] > 0.0)]
    if len(pair) < 8 or not pair["x"].std() > 0.0:
        return math.nan
    return float(np.polyfit(np.log(pair["x"]), np.log(pair["y"]), 1)[0])


def _correlation_in_stress(
    tables: Mapping[str, pd.DataFrame], setting: Setting, volatility: pd.Series[float]
) -> float:
    """Return how much closer the returns of assets go together in hours of stress."""
    prices = measured(frame_of(tables, "prices"), setting.warmup)
    returns = wide(prices, "asset", "reference").map(math.log).diff().dropna()
    returns = returns.loc[:, returns.std() > 0.0]
    if returns.shape[1] < 2 or len(volatility) < 8:
        return math.nan
    stressed = volatility.index[volatility >= volatility.quantile(_STRESS)]
    in_stress = np.isin(np.floor(returns.index.to_numpy(float) / HOUR), stressed)
    means = []
    for part in (returns[in_stress], returns[~in_stress]):
        matrix = part.corr().to_numpy()
        means.append(float(matrix[np.triu_indices(len(matrix), 1)].mean()))
    return means[0] - means[1]


def _top_three(frame: pd.DataFrame, who: list[str], value: str) -> float:
    """Return the share of the three largest in a sum."""
    sums = frame.groupby([frame[who[0]].astype(str), frame[who[1]]])[value].sum()
    total = float(sums.sum())
    return float(sums.nlargest(3).sum()) / total if total > 0.0 and len(sums) > 3 else math.nan


def _pools(tables: Mapping[str, pd.DataFrame], setting: Setting) -> dict[str, float]:
    pools = measured(frame_of(tables, "pools"), setting.warmup)
    errors = price_errors(pools)
    swaps = swap_fills(frame_of(tables, "fills"), pools)
    swaps = swaps[swaps["amount_in"] > 0.0]
    fee = (swaps["fee_paid"] / swaps["amount_in"]).groupby(swaps["venue"].astype(str)).median()
    inside = [
        float((errors[name].dropna().abs() <= width).mean())
        for name, width in fee.to_dict().items()
        if name in errors
    ]
    made = lp_outcomes(tables, setting)["lp_return"]
    return {
        "errors_inside_fee": float(np.mean(inside)) if inside else math.nan,
        "reference_leads": _lead(pools, growth(pools, "venue", "volume_usd", setting.warmup)),
        "providers_below_holding": float((made < 0.0).mean()) if len(made) else math.nan,
        "provider_kurtosis": excess_kurtosis(made.to_numpy(float)),
    }


def _lead(pools: pd.DataFrame, volume: pd.Series[float]) -> float:
    """Return by how much more the reference tells of the busiest pool's next return than it does.

    Of a pool of two tokens with reference prices.
    """
    known = pools[(pools["reference_price"] > 0.0) & (pools["price"] > 0.0)]
    volume = volume[volume.index.isin(known["venue"].astype(str))]
    if not len(volume):
        return math.nan
    mine = known[known["venue"] == volume.idxmax()].sort_values("time")
    pool = np.diff(np.log(mine["price"].to_numpy(float)))
    reference = np.diff(np.log(mine["reference_price"].to_numpy(float)))
    if len(pool) < _LEAST:
        return math.nan
    return _correlation(reference[:-1], pool[1:]) - _correlation(pool[:-1], reference[1:])


def _liquidations(tables: Mapping[str, pd.DataFrame], setting: Setting) -> dict[str, float]:
    from analysis.hawkes import fit_liquidations  # loads optimizers, for this alone

    done = measured(frame_of(tables, "liquidations"), setting.warmup)
    end = max((float(f["time"].max()) for f in tables.values() if len(f)), default=0.0)
    times = done["time"].to_numpy(float)
    return {
        "liquidation_branching": fit_liquidations(done, tables, setting.assets).branching_ratio,
        "liquidation_clustering": fano_factor(times, setting.warmup, end, HOUR),
        "liquidation_tail": hill_index(done["debt_usd"], 2.0 * TAIL),
        "liquidator_concentration": _top_three(
            done, ["liquidator_population", "liquidator_account"], "debt_usd"
        ),
    }


def _lending(tables: Mapping[str, pd.DataFrame], setting: Setting) -> dict[str, float]:
    markets = measured(frame_of(tables, "lending"), setting.warmup)
    if not len(markets):
        return {"utilization_peak": math.nan, "rate_jump": math.nan}
    rates = markets.groupby([markets["venue"].astype(str), markets["token"].astype(str)])
    highest, first = (rates["borrow_rate"].agg(name) for name in ("max", "first"))
    jumps = highest[first > 0.0] / first[first > 0.0]
    return {
        "utilization_peak": float(markets["utilization"].max()),
        "rate_jump": float(jumps.max()) if len(jumps) else math.nan,
    }
