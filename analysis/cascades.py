"""Cascades: liquidations that belong together, how large they grew and what started them.

Liquidations with one trigger, such as an oracle update, are a *wave*. A wave causes a later one
when it is 5 % or more of that one's cause, weighted by debt. Waves that cause one another, directly
or not, are a *cascade*: a weakly connected component of the weighted cause graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from analysis.cascade_stories import story_of
from analysis.cause_graph import CauseGraph, cause_graph
from analysis.reading import load_run
from analysis.setting import setting_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

LEAST_WEIGHT = 0.05  # of the cause of a wave, from which another one counts
ROOT = 0.5  # exogenous share from which a liquidation is a root

MEASURES = dict(
    line.strip().split(" | ")
    for line in """
    n_cascades | cascades, single liquidations among them
    n_liquidations | liquidations
    liquidated_debt_usd | debt repaid by liquidators, USD
    largest_cascade_usd | debt liquidated in the largest cascade, USD
    largest_depth | generations of the deepest cascade
    n_roots | liquidations whose cause is exogenous by half or more
    branching_ratio | mean share of a liquidation's cause that other liquidations are
    branching_ratio_usd | the same, mean weighted by debt
    amplification | debt liquidated / debt liquidated by exogenous causes
    fundamental_share | share of the debt that was unsafe at fundamental prices too
    hawkes_branching_ratio | branching ratio of a Hawkes process fitted to their times
    hawkes_standard_error | its standard error
    hawkes_memory_seconds | mean time to those that one excites in that fit, s
    """.strip().splitlines()
)


class Cascades(NamedTuple):
    """Cascades of a run.

    Attributes
    ----------
    graph : liquidations and how far each caused the others; `liquidations` has the columns
        `cascade`, `wave` and `generation` (1: nothing before it in its cascade) besides
    table : as `cascades` returns it
    wave_edges : columns `wave` (the caused), `cause` (the causing) and `weight` (share of the
        caused wave's cause)
    """

    graph: CauseGraph
    table: pd.DataFrame
    wave_edges: pd.DataFrame


def cascades(folder: Path | str) -> pd.DataFrame:
    """Return the cascades of a run folder, the largest first.

    Returns
    -------
    DataFrame, index `cascade`, with the columns start, end, duration (s); n_liquidations, n_waves;
    debt_usd (liquidated), exogenous_usd and endogenous_usd (its parts by cause), fundamental_usd
    (unsafe at fundamental prices too), all USD; amplification = debt_usd / exogenous_usd; depth
    (generations); n_participants (borrowers and liquidators), n_chains, chains (text)

    Raises
    ------
    analysis.reading.RunFolderError
        The folder is not a whole run.
    """
    return find_cascades(load_run(folder).frames).table


def stories(folder: Path | str, n: int = 10) -> list[str]:
    """Return the n largest cascades of a run folder as sentences, the largest first.

    Raises
    ------
    analysis.reading.RunFolderError
        The folder is not a whole run.
    """
    frames = load_run(folder).frames
    return tell(find_cascades(frames), frames, n)


def tell(found: Cascades, tables: Mapping[str, pd.DataFrame], n: int = 10) -> list[str]:
    """Return the n largest cascades as sentences, the largest first."""
    mine = found.graph.liquidations
    return [
        story_of(number, found.table.loc[number], mine[mine["cascade"] == number], tables)
        for number in found.table.index[:n]
    ]


def measures(folder: Path | str) -> dict[str, float]:
    """Return what the cascades of a run folder add up to: the names of `MEASURES`.

    NaN where there is no value: nobody was liquidated, or too few for a fit.

    Raises
    ------
    analysis.reading.RunFolderError
        The folder is not a whole run.
    """
    run = load_run(folder)
    return measure(find_cascades(run.frames), run.frames, setting_of(run.manifest).assets)


def measure(
    found: Cascades, tables: Mapping[str, pd.DataFrame], assets: Mapping[str, str]
) -> dict[str, float]:
    """Return what cascades add up to.

    Parameters
    ----------
    found : cascades of a run
    tables : its records
    assets : asset whose price a token has, by token
    """
    from analysis.hawkes import fit_liquidations  # loads optimizers, for this alone

    done, table = found.graph.liquidations, found.table
    debt, endogenous = done["debt_usd"].to_numpy(float), done["endogenous"].to_numpy(float)
    total, exogenous = float(debt.sum()), float((debt * (1.0 - endogenous)).sum())
    fit = fit_liquidations(done, tables, assets)
    return {
        "n_cascades": float(len(table)),
        "n_liquidations": float(len(done)),
        "liquidated_debt_usd": total,
        "largest_cascade_usd": float(table["debt_usd"].max()) if len(table) else 0.0,
        "largest_depth": float(table["depth"].max()) if len(table) else 0.0,
        "n_roots": float((1.0 - endogenous >= ROOT).sum()),
        "branching_ratio": float(endogenous.mean()) if len(done) else float("nan"),
        "branching_ratio_usd": 1.0 - _share(exogenous, total),
        "amplification": _share(total, exogenous),
        "fundamental_share": _share(float(table["fundamental_usd"].sum()), total),
        "hawkes_branching_ratio": fit.branching_ratio,
        "hawkes_standard_error": fit.standard_error,
        "hawkes_memory_seconds": fit.memory_seconds,
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else float("nan")


# --- waves and their components ------------------------------------------------------------------


def find_cascades(tables: Mapping[str, pd.DataFrame]) -> Cascades:
    """Return the cascades of a run.

    Parameters
    ----------
    tables : record tables by name; absent and empty ones are allowed
    """
    graph = cause_graph(tables)
    done = graph.liquidations
    wave = _waves(done)
    n_waves = int(wave.max()) + 1 if len(wave) else 0
    shares = _wave_shares(graph, wave, n_waves)
    component = connected_components(shares, directed=False)[1] if n_waves else np.zeros(0, int)
    done = done.assign(
        wave=wave,
        cascade=component[wave],
        generation=_generations(graph.weights, wave, shares),
    )
    caused, cause = shares.nonzero()
    edges = pd.DataFrame({"wave": caused, "cause": cause, "weight": shares.data})
    done, table = _by_size(done)
    return Cascades(CauseGraph(done, graph.weights), table, edges)


def _waves(done: pd.DataFrame) -> NDArray[np.int64]:
    """Return the wave of each liquidation: those with one trigger; alone where it has none."""
    trigger = done["trigger"].to_numpy(np.int64)
    own = np.where(trigger > 0, trigger, -1 - np.arange(len(done)))
    return np.asarray(pd.factorize(own)[0], np.int64)


def _wave_shares(graph: CauseGraph, wave: NDArray[np.int64], n_waves: int) -> sparse.csr_array:
    """Return the share of each wave's cause that each other one is, from `LEAST_WEIGHT` on."""
    debt = graph.liquidations["debt_usd"].to_numpy(float)
    n, whole = len(wave), np.bincount(wave, debt, n_waves)
    share = np.divide(debt, whole[wave], out=np.zeros(n), where=whole[wave] > 0.0)
    of_wave = sparse.csr_array((share, (wave, np.arange(n))), shape=(n_waves, n))
    member = sparse.csr_array((np.ones(n), (np.arange(n), wave)), shape=(n, n_waves))
    shares = sparse.coo_array(of_wave @ graph.weights @ member)
    keep = (shares.data >= LEAST_WEIGHT) & (shares.row != shares.col)
    kept = (shares.data[keep], (shares.row[keep], shares.col[keep]))
    return sparse.csr_array(kept, shape=(n_waves, n_waves))


def _generations(
    weights: sparse.csr_array, wave: NDArray[np.int64], shares: sparse.csr_array
) -> NDArray[np.int64]:
    """Return 1 for what no other wave caused, else 1 more than the deepest that caused it."""
    generation = np.ones(len(wave), np.int64)
    causing_waves = np.split(shares.indices, shares.indptr[1:-1])
    for caused in range(len(wave)):
        causing = weights.indices[weights.indptr[caused] : weights.indptr[caused + 1]]
        causing = causing[np.isin(wave[causing], causing_waves[wave[caused]])]
        if len(causing):
            generation[caused] = 1 + generation[causing].max()
    return generation


def _by_size(done: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the liquidations with cascades numbered by their debt, and the table."""
    size = done.groupby("cascade")["debt_usd"].sum().sort_values(ascending=False, kind="stable")
    number = pd.Series(np.arange(1, len(size) + 1), index=size.index)
    done = done.assign(cascade=done["cascade"].map(number).astype("int64"))
    return done, _table(done)


def _table(done: pd.DataFrame) -> pd.DataFrame:
    """Return one row a cascade, in the order of their numbers."""
    debt = done["debt_usd"]
    parts = done.assign(
        exogenous_usd=debt * (1.0 - done["endogenous"]),
        endogenous_usd=debt * done["endogenous"],
        fundamental_usd=debt.where(done["shadow_health_factor"] < 1.0, 0.0),
    ).groupby("cascade")
    table = parts.agg(
        start=("time", "min"),
        end=("time", "max"),
        n_liquidations=("fill_id", "size"),
        n_waves=("wave", "nunique"),
        debt_usd=("debt_usd", "sum"),
        exogenous_usd=("exogenous_usd", "sum"),
        endogenous_usd=("endogenous_usd", "sum"),
        fundamental_usd=("fundamental_usd", "sum"),
        depth=("generation", "max"),
    )
    whole, exogenous = table["debt_usd"], table["exogenous_usd"]
    table.insert(2, "duration", table["end"] - table["start"])
    amplification = (whole / exogenous).where(exogenous > 0.0)
    table.insert(len(table.columns) - 1, "amplification", amplification)
    table["n_participants"] = _n_participants(done)
    pairs = done[["cascade", "chain"]].astype({"chain": str}).drop_duplicates()
    chains = pairs.sort_values(["cascade", "chain"]).groupby("cascade")["chain"]
    table["n_chains"] = chains.size()
    table["chains"] = [", ".join(names) for _, names in chains]
    return table


def _n_participants(done: pd.DataFrame) -> pd.Series[int]:
    """Return the number of distinct borrowers and liquidators of each cascade."""
    sides = [
        pd.DataFrame(
            {
                "cascade": done["cascade"],
                "population": done[f"{side}_population"].astype(str),
                "account": done[f"{side}_account"],
            }
        )
        for side in ("borrower", "liquidator")
    ]
    return pd.concat(sides).drop_duplicates().groupby("cascade").size()
