"""Correlation of the diffusive parts: from named pairs to a Cholesky factor.

The factor is built row by row in the order in which the assets are declared. So an asset declared
later never moves one declared before it, and one without correlation moves nobody. Row i, column j
leaves the correlation of (i, j) an interval once all pairs before it are fixed; a matrix that is
not positive semidefinite is refused at the first pair outside its interval.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from sim.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sim.reference.config import CorrelationConfig

_TOLERANCE = 1e-12  # rounding of a few products of numbers up to 1


def correlation_factor(
    pairs: Sequence[CorrelationConfig], configs: Mapping[str, Any]
) -> tuple[list[str], np.ndarray]:
    """Return the correlated assets, in declared order, and their Cholesky factor.

    Parameters
    ----------
    pairs : correlations; pairs not named are uncorrelated
    configs : price settings by asset, in declared order

    Returns
    -------
    assets : names of the assets that are in a pair
    factor : float64, (n, n), lower triangular, rows of length one

    Raises
    ------
    ScenarioError
        A pair is unknown, given twice or has no diffusive part, or no such prices exist.
    """
    _check_pairs(pairs, configs)
    named = {asset for pair in pairs for asset in pair.assets}
    assets = [asset for asset in configs if asset in named]
    matrix = np.eye(len(assets))
    for pair in pairs:
        i, j = (assets.index(asset) for asset in pair.assets)
        matrix[i, j] = matrix[j, i] = pair.correlation
    return assets, _cholesky(matrix, assets)


def _check_pairs(pairs: Sequence[CorrelationConfig], configs: Mapping[str, Any]) -> None:
    seen: set[frozenset[str]] = set()
    for pair in pairs:
        first, second = pair.assets
        where = f"correlation of {first} and {second}"
        for asset in pair.assets:
            if asset not in configs:
                raise ScenarioError(
                    f"{where}: '{asset}' has no price; it may name {', '.join(configs)}"
                )
            if not configs[asset].is_diffusive:
                raise ScenarioError(
                    f"{where}: the price of {asset} is '{configs[asset].kind}', which draws "
                    "nothing to correlate; name assets with gbm, jump_diffusion, "
                    "regime_switching or waypoints, or remove the pair"
                )
        if first == second:
            raise ScenarioError(f"{where}: name two different assets")
        if frozenset(pair.assets) in seen:
            raise ScenarioError(f"{where} is given twice; remove one")
        seen.add(frozenset(pair.assets))


def _cholesky(matrix: np.ndarray, assets: Sequence[str]) -> np.ndarray:
    """Return the factor of a correlation matrix, which may be singular."""
    factor = np.zeros_like(matrix)
    for i in range(len(assets)):
        for j in range(i):
            center = math.fsum(factor[i, :j] * factor[j, :j])
            free = max(0.0, 1.0 - math.fsum(factor[i, :j] ** 2))
            reach = factor[j, j] * math.sqrt(free)
            rest = matrix[i, j] - center
            if abs(rest) > reach + _TOLERANCE:
                _refuse(assets[j], assets[i], matrix[i, j], (center - reach, center + reach))
            if reach > 0.0:
                factor[i, j] = math.copysign(min(abs(rest), reach), rest) / factor[j, j]
        rest = 1.0 - math.fsum(factor[i, :i] ** 2)
        factor[i, i] = math.sqrt(rest) if rest > _TOLERANCE else 0.0
    return factor


def _refuse(first: str, second: str, value: float, allowed: tuple[float, float]) -> NoReturn:
    low, high = (min(1.0, max(-1.0, bound)) for bound in allowed)
    raise ScenarioError(
        f"correlation of {first} and {second} is {value:g}, which no prices can have beside the "
        f"other correlations; with those it must be between {low:.4g} and {high:.4g}"
    )
