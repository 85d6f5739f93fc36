"""How well DebtRank at a time foretells who loses in what is simulated afterwards.

Each world is run twice, with and without its shocks. A population's loss is what it has less at the
end than in the world without. What DebtRank says comes from the exposures before the first shock
and from how far each bridge failed: a network method sees the books, not the reactions. It is
judged by Spearman's rank correlation, within a world over populations, and over worlds of total
losses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from analysis.contagion.exposures import exposure_graph, predicted_losses
from analysis.contagion.first_passage import check_pair, first_shock
from analysis.series import frame_of
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

_RESAMPLES = 500


class Agreement(NamedTuple):
    """Rank correlations of predicted and simulated losses, with standard errors.

    Attributes
    ----------
    within, within_error : mean over worlds of the correlation over populations
    across, across_error : correlation over worlds of total losses; the error by resampling worlds
    n_worlds : number of worlds
    """

    within: float
    within_error: float
    across: float
    across_error: float
    n_worlds: int


def bridge_failures(tables: Mapping[str, pd.DataFrame], start: float) -> dict[str, float]:
    """Return by which share of what it owes each bridge failed at worst since a time."""
    bridges = frame_of(tables, "bridges")
    later = bridges[bridges["time"] >= start]
    worst = later.groupby(later["venue"].astype(str))["backing_ratio"].min()
    return {str(venue): float(np.clip(1.0 - ratio, 0.0, 1.0)) for venue, ratio in worst.items()}


def loss_table(
    shocked: Mapping[str, pd.DataFrame],
    calm: Mapping[str, pd.DataFrame],
    manifest: Mapping[str, Any],
    calm_manifest: Mapping[str, Any],
) -> pd.DataFrame:
    """Return what each population of a world was predicted to lose, and lost.

    Parameters
    ----------
    shocked, calm : record tables of the run with shocks and of that without
    manifest, calm_manifest : of these

    Returns
    -------
    one row a population; columns predicted, simulated (USD, positive: a loss)

    Raises
    ------
    InputError
        The runs are no pair, or no holdings are recorded before the first shock.
    """
    check_pair(manifest, calm_manifest)
    start = first_shock(manifest)
    graph = exposure_graph(shocked, manifest, np.nextafter(start, -np.inf))
    failures = {k: v for k, v in bridge_failures(shocked, start).items() if k in graph}
    predicted = predicted_losses(graph, failures)
    names = [n for n in predicted.index if graph.nodes[n]["kind"] == "population"]
    lost = (_last_values(calm) - _last_values(shocked)).reindex(names)
    return pd.DataFrame({"predicted": predicted[names], "simulated": lost.fillna(0.0)})


def _last_values(tables: Mapping[str, pd.DataFrame]) -> pd.Series[float]:
    equity = frame_of(tables, "equity")
    whole = equity[equity["account"] < 0]
    last = whole[whole["time"] == whole["time"].max()]
    values: pd.Series[float] = last.set_index(last["population"].astype(str))["value"]
    return values


def agreement(worlds: pd.DataFrame, seed: int = 1) -> Agreement:
    """Return how well predicted and simulated losses agree.

    Parameters
    ----------
    worlds : rows of `loss_table` of several worlds, with a column `world`
    seed : of the resampling of worlds

    Raises
    ------
    InputError
        There are fewer than three worlds.
    """
    by_world = [world for _, world in worlds.groupby("world")]
    if len(by_world) < 3:
        raise InputError(
            f"{len(by_world)} worlds are too few for a rank correlation; give 3 or more"
        )
    within = np.array([_rank_correlation(w["predicted"], w["simulated"]) for w in by_world])
    within = within[np.isfinite(within)]
    totals = worlds.groupby("world")[["predicted", "simulated"]].sum().to_numpy()
    random = np.random.default_rng(seed)
    again = [
        _rank_correlation(*totals[random.integers(0, len(totals), len(totals))].T)
        for _ in range(_RESAMPLES)
    ]
    return Agreement(
        float(within.mean()) if len(within) else float("nan"),
        float(within.std(ddof=1) / np.sqrt(len(within))) if len(within) > 1 else float("nan"),
        _rank_correlation(*totals.T),
        float(np.nanstd(again, ddof=1)),
        len(by_world),
    )


def _rank_correlation(one: Any, other: Any) -> float:
    """Return Spearman's rank correlation; NaN where either never differs."""
    if np.ptp(np.asarray(one)) == 0.0 or np.ptp(np.asarray(other)) == 0.0:
        return float("nan")
    return float(stats.spearmanr(one, other).statistic)
