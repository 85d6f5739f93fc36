"""Spillovers between recorded series: which share of the surprise in one comes from another.

A vector autoregression is fitted (statsmodels) and the variance of its forecast errors split. The
generalized split (Pesaran and Shin 1998; Diebold and Yilmaz 2012) does not depend on the order of
the series:

    θ_ij = Σ_h (e_iᵀ Ψ_h Σ e_j)² / σ_jj / Σ_h e_iᵀ Ψ_h Σ Ψ_hᵀ e_i,    h = 0 ... H - 1

Its rows do not add up to 1 and are divided by their sums. The Cholesky split (Diebold and Yilmaz
2009) takes the series in the given order, the first not moved by the others within a step. Both
measure association in time: that one venue reads the price of another looks the same as contagion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.contagion.first_passage import stress_metrics
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Spillovers(NamedTuple):
    """Shares of forecast error variance, and what follows from them.

    Attributes
    ----------
    shares : float64, (n, n): of the variance of the row, that comes from the column; rows sum to 1
    total : mean share that comes from others
    given, received, net : float64, (n,): to all others, from all others, difference
    """

    shares: NDArray[np.float64]
    total: float
    given: NDArray[np.float64]
    received: NDArray[np.float64]
    net: NDArray[np.float64]


def moving_average(coefficients: Any, horizon: int) -> NDArray[np.float64]:
    """Return the responses Ψ_0 ... Ψ_(horizon - 1) to surprises: float64, (horizon, n, n).

    Parameters
    ----------
    coefficients : float64, (n_lags, n, n), of the vector autoregression
    horizon : steps ahead, at least 1
    """
    lags = np.asarray(coefficients, float)
    n_lags, n, _ = lags.shape
    responses = np.zeros((horizon, n, n))
    responses[0] = np.eye(n)
    for step in range(1, horizon):
        for lag in range(1, min(step, n_lags) + 1):
            responses[step] += responses[step - lag] @ lags[lag - 1]
    return responses


def spillovers(
    coefficients: Any, covariance: Any, horizon: int = 10, *, is_generalized: bool = True
) -> Spillovers:
    """Return the spillovers of a vector autoregression whose numbers are known.

    Parameters
    ----------
    coefficients : float64, (n_lags, n, n)
    covariance : float64, (n, n), of the surprises
    horizon : steps ahead of the forecast
    is_generalized : independent of the order of the series; else by Cholesky factors

    References
    ----------
    Diebold and Yilmaz (2012), Better to give than to receive, equations 2 to 7.
    """
    sigma = np.asarray(covariance, float)
    responses = moving_average(coefficients, horizon)
    variance = np.einsum("hij,jk,hik->i", responses, sigma, responses)
    if is_generalized:
        parts = ((responses @ sigma) ** 2).sum(axis=0) / np.diag(sigma)
    else:
        parts = ((responses @ np.linalg.cholesky(sigma)) ** 2).sum(axis=0)
    shares = parts / variance[:, None]
    shares /= shares.sum(axis=1, keepdims=True)
    others = shares - np.diag(np.diag(shares))
    given, received = others.sum(axis=0), others.sum(axis=1)
    return Spillovers(shares, float(received.mean()), given, received, given - received)


def recorded_changes(
    tables: Mapping[str, pd.DataFrame], metrics: Iterable[str] = ("price", "utilization")
) -> pd.DataFrame:
    """Return how stress metrics of a run changed from sample to sample, for `fit_spillovers`.

    Series that never change are left out, and so are those that say what one before them says.

    Parameters
    ----------
    tables : record tables
    metrics : of `analysis.contagion.first_passage.METRICS`

    Returns
    -------
    float64; index time (s), one column a place and metric, as `pool price`
    """
    found = stress_metrics(tables)
    parts = [found[name].add_suffix(f" {name}") for name in metrics if name in found]
    if not parts:
        return pd.DataFrame()
    changes = pd.concat(parts, axis=1, join="inner").diff().iloc[1:].dropna(axis=1)
    chosen: list[Any] = []
    for name in changes.columns[np.ptp(changes.to_numpy(), axis=0) > 0.0]:
        values = changes[[*chosen, name]].to_numpy()
        scaled = (values - values.mean(axis=0)) / values.std(axis=0)
        if np.linalg.matrix_rank(scaled) == values.shape[1]:
            chosen.append(name)
    return changes[chosen]


def fit_spillovers(
    series: pd.DataFrame, horizon: int = 10, n_lags: int = 1, *, is_generalized: bool = True
) -> Spillovers:
    """Return the spillovers between recorded series, which should be stationary.

    Parameters
    ----------
    series : float64, one row a step, one column a series; returns or changes, not levels
    horizon, n_lags : steps ahead of the forecast, and lags of the regression
    is_generalized : as in `spillovers`

    Raises
    ------
    InputError
        There are too few steps, a series is constant or has gaps, or two say the same.
    """
    from statsmodels.tsa.api import VAR

    values = series.to_numpy(float)
    least = 10 * n_lags * values.shape[1]
    if len(values) < least:
        raise InputError(f"{len(values)} steps are too few for these series; {least} would do")
    for name, column in zip(series.columns, values.T, strict=True):
        if not np.isfinite(column).all() or np.ptp(column) == 0.0:
            raise InputError(f"series '{name}' is constant or has gaps; leave it out")
    scale = values.std(axis=0)  # shares do not depend on units, the solver's precision does
    if np.linalg.matrix_rank(values / scale - (values / scale).mean(axis=0)) < len(scale):
        raise InputError("some series are sums of others; leave one of these out")
    fitted = VAR(values / scale).fit(n_lags)
    return spillovers(fitted.coefs, fitted.sigma_u, horizon, is_generalized=is_generalized)
