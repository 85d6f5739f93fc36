"""Causal contagion: which channel a loss came through, from worlds in which channels are cut.

A world is a set S of channels that are on; v(S) is what the victims lose in it. Of a channel c,

    solo        v({c}) - v(none)            what it does alone
    knock-out   v(all) - v(all without c)   what its absence would save
    Shapley     mean over all orders of v(before and c) - v(before)

and Shapley values add up to v(all) - v(none), which is the loss by contagion; v(none) is the direct
loss. The interaction is what is left of the loss by contagion when the solos are taken off. All of
it is computed seed by seed, since the worlds of a seed share every random number, and averaged over
seeds; intervals are percentile bootstrap intervals over seeds. Losses are vectors, one entry for
each party that can bear them, so every figure is split by who bears it.

References
----------
L. S. Shapley, A value for n-person games, 1953. R. Mitchell, J. Cooper, E. Frank, G. Holmes,
Sampling permutations for Shapley value estimation, JMLR 23 (2022), for the antithetic pairs.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Channels = frozenset[str]
CONFIDENCE = 0.95
_RESAMPLES = 2_000
_STREAM = 0x636F6E74  # of the orders and of the bootstrap


class Interval(NamedTuple):
    """A mean over seeds."""

    mean: float
    low: float  # percentile bootstrap; NaN below two seeds
    high: float
    standard_error: float
    n: int


# --- which worlds --------------------------------------------------------------------------------


def corners(channels: Sequence[str]) -> list[Channels]:
    """Return the worlds that every analysis needs: none, each alone, all but each, all."""
    every = frozenset(channels)
    found = [frozenset(), *(frozenset({c}) for c in channels), *(every - {c} for c in channels)]
    return list(dict.fromkeys([*found, every]))


def all_worlds(channels: Sequence[str]) -> list[Channels]:
    """Return every set of channels, small ones first."""
    sizes = range(len(channels) + 1)
    return [frozenset(chosen) for size in sizes for chosen in combinations(channels, size)]


def antithetic_orders(channels: Sequence[str], n_pairs: int, seed: int) -> list[tuple[str, ...]]:
    """Return random orders of the channels, each followed by its reverse.

    Parameters
    ----------
    channels : in any order
    n_pairs : pairs of an order and its reverse
    seed : of the world; the same seed gives the same orders
    """
    rng = np.random.default_rng([_STREAM, seed])
    names = sorted(channels)
    found: list[tuple[str, ...]] = []
    for _ in range(n_pairs):
        order = tuple(names[k] for k in rng.permutation(len(names)))
        found += [order, order[::-1]]
    return found


def worlds_of(orders: Sequence[Sequence[str]]) -> list[Channels]:
    """Return the worlds that orders pass through, each once."""
    passed = (frozenset(order[:k]) for order in orders for k in range(len(order) + 1))
    return list(dict.fromkeys(passed))


def is_enumerated(n_channels: int, n_pairs: int, most: int = 4) -> bool:
    """Return whether all worlds are looked at: few channels, or no more worlds than orders pass."""
    return n_channels <= most or 2**n_channels <= 2 + 2 * n_pairs * (n_channels - 1)


# --- Shapley values ------------------------------------------------------------------------------


def shapley_values(worlds: Mapping[Channels, np.ndarray], channels: Sequence[str]) -> np.ndarray:
    """Return exact Shapley values from the losses of all worlds.

    Parameters
    ----------
    worlds : v(S), float64, (n_parties,), for every set of the channels
    channels : in the order of the rows that are returned

    Returns
    -------
    float64, (n_channels, n_parties); they add up to v(all) - v(none) to rounding

    Notes
    -----
    sum over S without c of |S|! (n - |S| - 1)! / n! (v(S and c) - v(S))
    """
    n = len(channels)
    terms: list[list[np.ndarray]] = [[] for _ in channels]
    for world in all_worlds(channels):
        for k, channel in enumerate(channels):
            if channel not in world:
                weight = 1.0 / (n * math.comb(n - 1, len(world)))
                terms[k].append(weight * (worlds[world | {channel}] - worlds[world]))
    return np.array([_sum(found) for found in terms])


def sampled_shapley_values(
    worlds: Mapping[Channels, np.ndarray],
    channels: Sequence[str],
    orders: Sequence[Sequence[str]],
) -> np.ndarray:
    """Return Shapley values estimated from some orders; arguments as for `shapley_values`.

    They add up to v(all) - v(none) for any orders, since the steps of each order do.
    """
    terms: dict[str, list[np.ndarray]] = {channel: [] for channel in channels}
    for order in orders:
        for k, channel in enumerate(order):
            before, after = worlds[frozenset(order[:k])], worlds[frozenset(order[: k + 1])]
            terms[channel].append((after - before) / len(orders))
    return np.array([_sum(terms[channel]) for channel in channels])


def _sum(vectors: list[np.ndarray]) -> np.ndarray:
    """Add vectors up with one rounding for each entry."""
    return np.array([math.fsum(column) for column in np.array(vectors).T.tolist()])


# --- seed by seed --------------------------------------------------------------------------------


def attribute(
    worlds: Mapping[Channels, np.ndarray],
    channels: Sequence[str],
    parties: Sequence[str],
    orders: Sequence[Sequence[str]] | None = None,
) -> pd.DataFrame:
    """Return what each channel does to each party in the worlds of one seed.

    Parameters
    ----------
    worlds : v(S), float64, (n_parties,), USD, of all sets, or of those that the orders pass through
        and of the corners
    channels : compared
    parties : names of the entries of v
    orders : through which Shapley values are estimated; None: exact, from all sets

    Returns
    -------
    a row for each channel and party: `channel`, `party`, `solo`, `knock_out`, `shapley`, USD
    """
    none, every = worlds[frozenset()], worlds[frozenset(channels)]
    if orders is None:
        shapley = shapley_values(worlds, channels)
    else:
        shapley = sampled_shapley_values(worlds, channels, orders)
    tables = [
        pd.DataFrame(
            {
                "channel": channel,
                "party": list(parties),
                "solo": worlds[frozenset({channel})] - none,
                "knock_out": every - worlds[frozenset(channels) - {channel}],
                "shapley": shapley[k],
            }
        )
        for k, channel in enumerate(channels)
    ]
    return pd.concat(tables, ignore_index=True)


def fires(contents: Mapping[Channels, str], channels: Sequence[str]) -> tuple[str, ...]:
    """Return the channels that change anything in the worlds of one seed.

    A channel whose cut leaves both the full and the otherwise frictionless world equal to the last
    bit never fired there; its effect is exactly 0.

    Parameters
    ----------
    contents : hash of everything that happened in each of the corners
    """
    every = frozenset(channels)
    return tuple(
        c
        for c in channels
        if contents[frozenset({c})] != contents[frozenset()]
        or contents[every - {c}] != contents[every]
    )


def filled(
    worlds: Mapping[Channels, np.ndarray],
    wanted: Sequence[Channels],
    firing: Sequence[str],
) -> dict[Channels, np.ndarray]:
    """Return the losses of wanted worlds, those of silent channels taken from where they are off.

    Parameters
    ----------
    worlds : v(S) of the worlds that were run
    wanted : sets of channels
    firing : channels that change anything; the others make no difference
    """
    heard = frozenset(firing)
    return {
        world: worlds[world & heard] if world & heard in worlds else worlds[world]
        for world in wanted
    }


# --- over seeds ----------------------------------------------------------------------------------


def interval_of(values: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """Return the mean over seeds with its bootstrap interval; repeatable to the last bit.

    Parameters
    ----------
    values : float64, (n_seeds,)
    """
    values = np.asarray(values, float)
    n = len(values)
    mean = math.fsum(values.tolist()) / n if n else math.nan
    if n < 2:
        return Interval(mean, math.nan, math.nan, math.nan, n)
    rng = np.random.default_rng([_STREAM, n])
    means = values[rng.integers(0, n, (_RESAMPLES, n))].mean(axis=1)
    low, high = np.quantile(means, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return Interval(mean, float(low), float(high), float(values.std(ddof=1) / math.sqrt(n)), n)


def effects(seeds: pd.DataFrame, parties: Sequence[str]) -> pd.DataFrame:
    """Return the mean effect of each channel on some parties together, with intervals.

    Parameters
    ----------
    seeds : rows of `attribute` with a column `seed`
    parties : whose losses are added up

    Returns
    -------
    a row for each channel and measure (`solo`, `knock_out`, `shapley`): `channel`, `measure`, and
    the fields of `Interval`, USD
    """
    mine = seeds[seeds["party"].isin(parties)]
    sums = mine.groupby(["channel", "seed"], sort=False)[list(MEASURES)].sum()
    return pd.DataFrame(_rows(sums))


MEASURES = ("solo", "knock_out", "shapley")


def _rows(sums: pd.DataFrame) -> Iterator[dict[str, object]]:
    for channel, table in sums.groupby("channel", sort=False):
        for measure in MEASURES:
            interval = interval_of(table[measure].to_numpy())
            yield {"channel": channel, "measure": measure, **interval._asdict()}


def interaction(seeds: pd.DataFrame, parties: Sequence[str]) -> Interval:
    """Return the loss by contagion that no channel causes alone: that loss minus the solos.

    Shapley values add up to the loss by contagion, so both sums are over the rows.
    """
    mine = seeds[seeds["party"].isin(parties)]
    sums = mine.groupby("seed", sort=False)[["shapley", "solo"]].sum()
    return interval_of((sums["shapley"] - sums["solo"]).to_numpy())


def by_party(seeds: pd.DataFrame) -> pd.DataFrame:
    """Return the mean Shapley value of each channel for each party: channels x parties, USD."""
    means = seeds.pivot_table("shapley", "channel", "party", aggfunc="mean")
    return means.loc[list(dict.fromkeys(seeds["channel"])), list(dict.fromkeys(seeds["party"]))]


def shares_of(values: Mapping[str, float]) -> dict[str, float] | None:
    """Return values as shares of their sum; None where one is negative or all are 0.

    A share of a loss that another channel undoes says nothing.
    """
    total = math.fsum(values.values())
    if min(values.values(), default=0.0) < 0.0 or total <= 0.0:
        return None
    return {name: value / total for name, value in values.items()}
