"""How fast a shock spreads: when each venue and chain first differs from a world without it.

Both worlds have the same seed, hence the same prices, arrivals and sizes until the shock tells. A
venue is reached when a stress metric of it first differs by at least a threshold between the two.
A venue is not compared with its own past: a crash of the fundamental price that both worlds have is
no contagion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.lending import reserve_names
from analysis.series import frame_of, wide
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

NEVER = np.inf


class Metric(NamedTuple):
    """A stress metric.

    Attributes
    ----------
    name : what is measured
    record : table that has it
    threshold : difference between the worlds from which a place counts as reached
    unit : of the difference
    meaning : how it is computed
    """

    name: str
    record: str
    threshold: float
    unit: str
    meaning: str


METRICS = (
    Metric("price", "pools", 0.01, "log", "natural logarithm of the pool's price"),
    Metric("liquidity", "pools", 0.10, "log", "natural logarithm of its active liquidity"),
    Metric("utilization", "lending", 0.02, "fraction", "debt / (cash + debt) of a reserve"),
    Metric(
        "bad_debt", "lending", 0.001, "fraction",
        "latent and recognized bad debt of a market / what was supplied to it at the start",
    ),
    Metric("backing", "bridges", 0.01, "fraction", "escrow / wrapped supply, at most 1"),
    Metric("report", "oracles", 0.01, "log", "natural logarithm of the reported price"),
    Metric("base_fee", "chains", 0.25, "log", "natural logarithm of the base fee, mean of 5 min"),
)  # fmt: skip
_BY_NAME = {metric.name: metric for metric in METRICS}
_FEE_SECONDS = 300.0  # base fees of single blocks scatter


def stress_metrics(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return every stress metric through time.

    Parameters
    ----------
    tables : record tables of a run

    Returns
    -------
    by metric, float64: index time (s); one column a pool, reserve (`venue token`), market, bridge,
    feed or chain
    """
    pools, markets = frame_of(tables, "pools"), frame_of(tables, "lending")
    bridges, oracles = frame_of(tables, "bridges"), frame_of(tables, "oracles")
    named = markets.assign(reserve=reserve_names(markets) if len(markets) else "")
    found = {
        "price": _log(wide(pools, "venue", "price")),
        "liquidity": _log(wide(pools, "venue", "liquidity")),
        "utilization": wide(named, "reserve", "utilization"),
        "bad_debt": _bad_debt_shares(markets),
        "backing": wide(bridges, "venue", "backing_ratio").clip(upper=1.0),
        "report": _log(wide(oracles, "feed", "reported")),
        "base_fee": _base_fees(frame_of(tables, "chains")),
    }
    return {name: frame for name, frame in found.items() if not frame.empty}


def first_passages(
    shocked: Mapping[str, pd.DataFrame],
    calm: Mapping[str, pd.DataFrame],
    start: float = 0.0,
    thresholds: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return when a shock reached each place.

    Parameters
    ----------
    shocked, calm : record tables of two runs of one seed, with and without the shock
    start : time of the shock, seconds; nothing before it counts
    thresholds : in place of those of `METRICS`, by name of the metric

    Returns
    -------
    one row a place and metric, the earliest first; columns place, metric, threshold, delay (s since
    `start`; inf: never), difference (largest absolute one since `start`), unit

    Raises
    ------
    InputError
        The two were not sampled at the same times, or there is no such metric.
    """
    limits = {metric.name: metric.threshold for metric in METRICS}
    for name, value in (thresholds or {}).items():
        if name not in limits or not value > 0.0:
            raise InputError(
                f"threshold {name} = {value}: give a number above 0 for one of {', '.join(limits)}"
            )
        limits[name] = value
    one, other = stress_metrics(shocked), stress_metrics(calm)
    rows = []
    for name in one.keys() & other.keys():
        gap = _gaps(one[name], other[name], start)
        for place, column in gap.items():
            reached = column.index[(column >= limits[name]).to_numpy()]
            delay = float(reached[0]) - start if len(reached) else NEVER
            rows.append(
                (str(place), name, limits[name], delay, float(column.max()), _BY_NAME[name].unit)
            )
    columns = ["place", "metric", "threshold", "delay", "difference", "unit"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(["delay", "place", "metric"], ignore_index=True)


def first_shock(manifest: Mapping[str, Any]) -> float:
    """Return the time of the first shock that has a time of its own, seconds; 0: there is none."""
    shocks = manifest.get("scenario", {}).get("shocks", [])
    return min((float(s["at"]) for s in shocks if s.get("at") is not None), default=0.0)


def check_pair(shocked: Mapping[str, Any], calm: Mapping[str, Any]) -> None:
    """Check that two runs are one world with and without shocks.

    Parameters
    ----------
    shocked, calm : manifests

    Raises
    ------
    InputError
        Seed, scenario or length differ, or the second has shocks.
    """
    for name, one, other in (
        ("seed", shocked.get("seed"), calm.get("seed")),
        *(
            (name, shocked.get("scenario", {}).get(name), calm.get("scenario", {}).get(name))
            for name in ("name", "horizon", "assets", "chains", "venues")
        ),
    ):
        if one != other:
            raise InputError(f"the runs differ in {name}; run the same scenario for both")
    if calm.get("scenario", {}).get("shocks"):
        raise InputError("the second run has shocks; make it with --without-shocks")


def reached_venues(passages: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Return when a shock reached each venue and chain, by whichever metric was first.

    A venue is reached by itself or by one of its reserves; a chain by its base fee or by a venue on
    it that it has for itself (a bridge stands on two chains and reaches neither).

    Parameters
    ----------
    passages : from `first_passages`
    manifest : of either run

    Returns
    -------
    one row a venue or chain, the earliest first; columns place, kind (venue or chain), chain,
    metric, delay (s; inf: never)
    """
    scenario = manifest.get("scenario", {})
    venues, chains = scenario.get("venues", {}), scenario.get("chains", {})
    rows: list[tuple[str, str, str, str, float]] = []
    for venue, about in venues.items():
        is_its = [p == venue or p.startswith(f"{venue} ") for p in passages["place"]]
        metric, delay = _first(passages[is_its])
        rows.append((venue, "venue", str(about.get("chain", "")), metric, delay))
    for chain in chains:
        own = [
            (delay, f"{metric} of {place}")
            for place, _, home, metric, delay in rows
            if home == chain and "other_chain" not in venues.get(place, {})
        ]
        is_fee = (passages["metric"] == "base_fee") & (passages["place"] == chain)
        fee, delay = _first(passages[is_fee])
        first = min([*own, (delay, fee)])
        rows.append((chain, "chain", chain, first[1] if first[0] < NEVER else "", first[0]))
    table = pd.DataFrame(rows, columns=["place", "kind", "chain", "metric", "delay"])
    return table.sort_values(["delay", "kind", "place"], ignore_index=True)


def chain_delays(venues: pd.DataFrame) -> dict[str, float]:
    """Return when each chain was reached, seconds.

    Parameters
    ----------
    venues : from `reached_venues`
    """
    chains = venues[venues["kind"] == "chain"]
    return {str(name): float(t) for name, t in zip(chains["place"], chains["delay"], strict=True)}


def _first(passages: pd.DataFrame) -> tuple[str, float]:
    reached = passages[np.isfinite(passages["delay"])]
    if reached.empty:
        return "", NEVER
    row = reached.iloc[0]
    return str(row["metric"]), float(row["delay"])


def _gaps(one: pd.DataFrame, other: pd.DataFrame, start: float) -> pd.DataFrame:
    """Return absolute differences since a time; where one world has no value there is none."""
    if not one.index.equals(other.index):
        raise InputError(
            "the runs were not sampled at the same times; run both with the same scenario, length "
            "and records"
        )
    both = one.columns.intersection(other.columns)
    return (one[both] - other[both]).abs().loc[start:]


def _log(frame: pd.DataFrame) -> pd.DataFrame:
    logs: pd.DataFrame = np.log(frame.where(frame > 0.0))  # type: ignore[assignment] # its stub
    return logs


def _bad_debt_shares(markets: pd.DataFrame) -> pd.DataFrame:
    """Return latent and recognized bad debt of each market, of what it had at first; fraction."""
    if markets.empty:
        return pd.DataFrame()
    usd = markets.assign(
        bad=markets["latent_bad_debt"] + markets["bad_debt"],
        has=markets["supplied"] * markets["oracle_price"],
    )
    sums = usd.groupby(["time", "venue"], observed=True)[["bad", "has"]].sum().reset_index()
    bad, has = wide(sums, "venue", "bad"), wide(sums, "venue", "has")
    first = has.iloc[0]
    return bad / first.where(first > 0.0)


def _base_fees(chains: pd.DataFrame) -> pd.DataFrame:
    """Return the mean logarithm of base fees in steps of five minutes, at the end of each."""
    paid = chains[chains["base_fee"] > 0.0]
    if paid.empty:
        return pd.DataFrame()
    step = (np.floor(paid["time"].to_numpy() / _FEE_SECONDS) + 1.0) * _FEE_SECONDS
    fees = pd.DataFrame(
        {"time": step, "chain": paid["chain"].astype(str), "fee": np.log(paid["base_fee"])}
    )
    means = fees.groupby(["time", "chain"])["fee"].mean().reset_index()
    return wide(means, "chain", "fee").ffill()
