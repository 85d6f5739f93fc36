"""Designs: which points of the factors' space a study visits, and what each replication draws."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.studies.variation import factor_values
from sim.draws import stream_id, uniform_column

if TYPE_CHECKING:
    from experiments.studies.study import Distribution, Study

MAX_POINTS = 1_000_000


def n_points(study: Study) -> int:
    """Return the number of design points, without making them."""
    kind = study.design.kind
    if kind == "grid":
        sizes = [
            len(f.values) if f.values is not None else f.levels or 1
            for f in study.designed.values()
        ]
        return int(np.prod(sizes, dtype=object)) if sizes else 1
    points: Any = getattr(study.design, "points", 1)
    return len(points) if isinstance(points, list) else int(points)


def design_points(study: Study) -> list[dict[str, Any]]:
    """Return the design: for each point the value of every factor that the design combines."""
    names, kind = list(study.designed), study.design.kind
    if not names:
        return [{}]
    if kind == "grid":
        columns = [factor_values(factor) for factor in study.designed.values()]
        return [dict(zip(names, values, strict=True)) for values in itertools.product(*columns)]
    if kind == "list":
        return [{name: point[name] for name in names} for point in study.design.points]  # type: ignore[union-attr]
    unit = _unit_points(study, len(names))
    return [
        {name: _at(study.designed[name], u) for name, u in zip(names, row, strict=True)}
        for row in unit.tolist()
    ]


def _unit_points(study: Study, dimensions: int) -> np.ndarray:
    """Return the points in the unit cube: float64, (n, dimensions)."""
    from scipy.stats import qmc

    n = n_points(study)
    rng = np.random.default_rng([study.seed, stream_id("design")])
    if study.design.kind == "latin_hypercube":
        return np.asarray(qmc.LatinHypercube(dimensions, rng=rng).random(n))
    return np.asarray(qmc.Sobol(dimensions, rng=rng).random(n))


def _at(factor: Any, u: float) -> Any:
    """Return the value of a factor at a place between 0 and 1."""
    if factor.values is not None:
        return factor.values[min(int(u * len(factor.values)), len(factor.values) - 1)]
    low, high = factor.range
    return low + (high - low) * u


def drawn_values(study: Study, replications: int) -> dict[str, np.ndarray]:
    """Return what the uncertainties with a distribution are in each replication.

    More replications leave the first ones as they are, and so does another uncertainty.

    Returns
    -------
    float64, (replications,), by name
    """
    return {
        name: quantile_of(
            uncertainty.distribution,  # type: ignore[arg-type]
            uniform_column(study.seed, f"uncertainty:{name}", replications),
        )
        for name, uncertainty in study.drawn.items()
    }


def quantile_of(distribution: Distribution, u: np.ndarray) -> np.ndarray:
    """Return quantiles of a distribution: float64, (n,)."""
    from scipy import stats

    d: Any = distribution
    if d.kind == "uniform":
        return np.asarray(d.low + (d.high - d.low) * u)
    if d.kind == "loguniform":
        return np.asarray(d.low * (d.high / d.low) ** u)
    if d.kind == "triangular":
        width = d.high - d.low
        return np.asarray(stats.triang.ppf(u, (d.mode - d.low) / width, d.low, width))
    if d.kind == "normal":
        return np.asarray(stats.norm.ppf(u, d.mean, d.deviation))
    return np.asarray(d.median * np.exp(d.log_deviation * stats.norm.ppf(u)))


def replication_seeds(study: Study, replications: int) -> np.ndarray:
    """Return the seed of each replication, the same at every design point: int64, (n,)."""
    u = uniform_column(study.seed, "replication", 2 * replications).reshape(-1, 2)
    high, low = (u * 2.0**31).astype(np.int64).T
    return np.asarray((high << 31) | low)
