"""The moments of a run that its story and its timeline tell of, found in the records."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analysis.lending import FULL, bad_debt_path, reserve_names
from analysis.liquidity import Episode, depeg_episodes
from analysis.series import held_seconds, since, wide
from sim.units import HOUR

if TYPE_CHECKING:
    import pandas as pd

_STILL = 0.005  # fall below which a price counts as unmoved
_OFF = 0.01  # oracle error, of the reference, from which it is told


class Fall(NamedTuple):
    """The largest fall of a price from a peak to a later trough, over samples."""

    asset: str
    peak_time: float
    peak: float
    trough_time: float
    trough: float
    end: float

    @property
    def share(self) -> float:
        """The fall as a fraction of the peak, below 0."""
        return self.trough / self.peak - 1.0


class Busiest(NamedTuple):
    """The hour of the most liquidated debt."""

    start: float
    n_liquidations: int
    debt: float


class Extreme(NamedTuple):
    """A largest value: where, when, how much."""

    name: str
    time: float
    value: float


def falls(prices: pd.DataFrame, start: float) -> list[Fall]:
    """Return the largest fall of each asset's reference price since a time, the deepest first.

    Parameters
    ----------
    prices : record table
    start : seconds

    Returns
    -------
    assets that fell by less than half a percent are left out
    """
    found = []
    paths = wide(since(prices, start), "asset", "reference").ffill()
    for asset in paths:
        path = paths[asset].dropna()
        values, times = path.to_numpy(float), path.index.to_numpy(float)
        if not len(values):
            continue
        peaks = np.maximum.accumulate(values)
        low = int(np.argmin(values / peaks))
        high = int(np.argmax(values[: low + 1]))
        numbers = (times[high], values[high], times[low], values[low], values[-1])
        fall = Fall(str(asset), *(float(number) for number in numbers))
        if fall.share < -_STILL:
            found.append(fall)
    return sorted(found, key=lambda fall: fall.share)


def busiest_hour(liquidations: pd.DataFrame) -> Busiest | None:
    """Return the hour, from any liquidation on, in which most debt was liquidated."""
    if liquidations.empty:
        return None
    ordered = liquidations.sort_values("time")
    time, debt = ordered["time"].to_numpy(float), ordered["debt_usd"].to_numpy(float)
    total = np.concatenate([[0.0], np.cumsum(debt)])
    end = np.searchsorted(time, time + HOUR, side="left")
    within = total[end] - total[np.arange(len(time))]
    first = int(np.argmax(within))
    return Busiest(float(time[first]), int(end[first] - first), float(within[first]))


def bad_debt_peak(positions: pd.DataFrame, markets: pd.DataFrame, start: float) -> Extreme | None:
    """Return the largest bad debt since a time, over samples of debtors; None where there is none.

    Parameters
    ----------
    positions, markets : record tables of the whole run
    start : seconds
    """
    by_market = bad_debt_path(positions, markets)
    by_market = by_market[by_market.index >= start]
    total = by_market.sum(axis=1)
    if total.empty or total.max() <= 0.0:
        return None
    at = total.index[int(total.argmax())]
    return Extreme(str(by_market.loc[at].idxmax()), float(at), float(total.max()))


def full_reserves(markets: pd.DataFrame) -> list[Extreme]:
    """Return reserves lent out to 99.9 % or more: since when, and for how many seconds in all.

    Parameters
    ----------
    markets : record table without the warm-up

    Returns
    -------
    the longest first
    """
    if markets.empty:
        return []
    shares = wide(markets.assign(reserve=reserve_names(markets)), "reserve", "utilization")
    found = []
    for name in shares:
        share = shares[name].dropna()
        is_full = (share >= FULL).to_numpy()
        lasted = held_seconds(share.index, is_full)
        if lasted > 0.0:
            found.append(Extreme(str(name), float(share.index[int(is_full.argmax())]), lasted))
    return sorted(found, key=lambda one: -one.value)


def depegs(bridges: pd.DataFrame) -> list[tuple[Extreme, list[Episode]]]:
    """Return for each bridge the largest distance from par, and when its token was off par.

    Parameters
    ----------
    bridges : record table without the warm-up

    Returns
    -------
    bridges without an episode are left out
    """
    off = wide(bridges, "venue", "depeg")
    found = []
    for name in off:
        path = off[name].dropna()
        episodes = depeg_episodes(path.index, path)
        if episodes:
            worst = int(np.argmax(path.abs().to_numpy()))
            largest = Extreme(str(name), float(path.index[worst]), float(path.iloc[worst]))
            found.append((largest, episodes))
    return found


def uncovered(bridges: pd.DataFrame) -> list[Extreme]:
    """Return bridges whose wrapped tokens lost cover: when first, and the smallest ratio."""
    ratios = wide(bridges, "venue", "backing_ratio")
    found = []
    for name in ratios:
        ratio = ratios[name].dropna()
        below = ratio < 1.0 - 1e-6
        if below.any():
            first = float(ratio.index[int(below.to_numpy().argmax())])
            found.append(Extreme(str(name), first, float(ratio.min())))
    return found


def oracle_errors(oracles: pd.DataFrame) -> list[Extreme]:
    """Return feeds that were off the reference by a percent or more: when most, and by how much.

    Parameters
    ----------
    oracles : record table without the warm-up

    Returns
    -------
    reported / reference - 1, the largest first
    """
    known = oracles[(oracles["reported"] > 0.0) & (oracles["reference"] > 0.0)]
    found = []
    for name, feed in known.groupby(known["feed"].astype(str)):
        error = (feed["reported"] / feed["reference"] - 1.0).to_numpy(float)
        worst = int(np.argmax(np.abs(error)))
        if abs(error[worst]) > _OFF:
            found.append(Extreme(str(name), float(feed["time"].iloc[worst]), float(error[worst])))
    return sorted(found, key=lambda one: -abs(one.value))


def first_refusals(populations: pd.DataFrame) -> list[Extreme]:
    """Return populations whose withdrawals found no cash: since when, and USD hours in all.

    Parameters
    ----------
    populations : record table without the warm-up
    """
    stuck = wide(populations, "population", "stuck_usd_hours").ffill()
    found = []
    for name in stuck:
        path = stuck[name].dropna()
        path = path - path.iloc[0] if len(path) else path
        waits = path > 0.0
        if waits.any():
            at = float(path.index[int(waits.to_numpy().argmax())])
            found.append(Extreme(str(name), at, float(path.iloc[-1])))
    return sorted(found, key=lambda one: -one.value)


def block_peaks(chains: pd.DataFrame, column: str) -> list[Extreme]:
    """Return the largest base fee, or queue, of each chain and when it was there.

    Parameters
    ----------
    chains : record table without the warm-up
    column : `base_fee` or `pending`
    """
    found = []
    for name, chain in chains.groupby(chains["chain"].astype(str)):
        worst = int(chain[column].to_numpy().argmax())
        value = float(chain[column].iloc[worst])
        if value > 0.0:
            found.append(Extreme(str(name), float(chain["time"].iloc[worst]), value))
    return sorted(found, key=lambda one: -one.value)


def tranche_extremes(tranches: pd.DataFrame, value: str, least: float) -> list[Extreme]:
    """Return the largest value of a column for each tranche, the largest first.

    Parameters
    ----------
    tranches : record table, measured
    value : `loss` (as a share of the first net asset value), `queue_epochs` or `discount`
    least : tranches that never exceed it are left out
    """
    found = []
    names = tranches["tranche"].astype(str) + " of " + tranches["venue"].astype(str)
    for name, mine in tranches.groupby(names, sort=False):
        path = mine[value].to_numpy(float)
        if value == "loss":
            path = (path - path[0]) / max(float(mine["nav"].iloc[0]), 1e-12)
        at = int(np.argmax(path))
        if path[at] > least:
            found.append(Extreme(str(name), float(mine["time"].iloc[at]), float(path[at])))
    return sorted(found, key=lambda one: -one.value)
