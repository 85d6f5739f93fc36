"""How strongly events excite further events: a Hawkes process in block bins, with a covariate.

The count of a bin is Poisson with mean

    rate + effect x_b + n (1 - phi) sum_k phi^(k - 1) y_(b - k),

x being a covariate, y the counts before, and n the branching ratio: the mean number of events that
one event excites itself, spread over later bins as phi^k (Kirchner 2017: a Hawkes process in bins
is an autoregression of counts). Events of one block are one bin, since nobody reacts within a
block. A base rate that moves with what is not in the covariate looks like excitation and pushes n
towards 1: read it beside the branching ratio that recorded causes give.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize

from analysis.series import frame_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LEAST_EVENTS = 20  # fewer are not fitted
_MOST_BINS = 200_000
_BLOCK = 12.0  # s, where a run has no record of blocks
_DECAYS = (0.2, 0.8, 0.97, 0.997)  # from which the search starts
_LARGEST_DECAY = 1.0 - 1e-6


class HawkesFit(NamedTuple):
    """A fitted process; NaN throughout where there was too little to fit.

    Attributes
    ----------
    rate : events per second that neither the covariate nor other events explain
    effect : events per unit of the covariate
    branching_ratio : events that one event excites itself
    standard_error : of it, from the information matrix
    memory_seconds : mean time from an event to those it excites
    log_likelihood : of the counts
    """

    rate: float
    effect: float
    branching_ratio: float
    standard_error: float
    memory_seconds: float
    log_likelihood: float


_NO_FIT = HawkesFit(*([math.nan] * 6))


def fit_hawkes(counts: Any, bin_seconds: float, covariate: Any = None) -> HawkesFit:
    """Fit the process by maximum likelihood.

    Parameters
    ----------
    counts : int64, (n,), events of each bin
    bin_seconds : width of a bin
    covariate : float64, (n,), at least 0; none when left out
    """
    y = np.asarray(counts, float)
    if y.sum() < LEAST_EVENTS:
        return _NO_FIT
    x = np.zeros(len(y)) if covariate is None else np.asarray(covariate, float)
    scale = float(x.mean())
    x = x / scale if scale > 0.0 else x
    mean = float(y.mean())
    found = [_search(y, x, mean, decay) for decay in _DECAYS]
    best = min(found, key=lambda one: float(one.fun))
    rate, effect, ratio, decay = best.x
    return HawkesFit(
        rate=float(rate * mean / bin_seconds),
        effect=float(effect * mean / scale) if scale > 0.0 else 0.0,
        branching_ratio=float(ratio),
        standard_error=_standard_error(y, x, mean, best.x),
        memory_seconds=float(bin_seconds / (1.0 - decay)),
        log_likelihood=-float(best.fun),
    )


def _search(y: NDArray[np.float64], x: NDArray[np.float64], mean: float, decay: float) -> Any:
    """Return the optimum that lies nearest to a decay; rates in units of the mean count."""
    has_covariate = bool(x.any())

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        intensity, slopes = _intensity(y, x, mean, parameters)
        value = float((intensity - y * np.log(intensity)).sum())
        return value, slopes @ (1.0 - y / intensity)

    first = np.array([0.3, 0.3 if has_covariate else 0.0, 0.4, decay])
    bounds = [(1e-9, None), (0.0, None if has_covariate else 0.0), (0.0, 5.0)]
    return optimize.minimize(
        loss, first, jac=True, method="L-BFGS-B", bounds=[*bounds, (0.0, _LARGEST_DECAY)]
    )


def _intensity(
    y: NDArray[np.float64], x: NDArray[np.float64], mean: float, parameters: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean count of each bin and its slopes: (n,), (4, n)."""
    rate, effect, ratio, decay = parameters
    excited = _smooth_before(y, decay)  # (1 - decay) sum of decay^(k - 1) y_(b - k)
    slope = (_smooth_before(excited, decay) - excited) / (1.0 - decay)
    slopes = np.array([np.full(len(y), mean), mean * x, excited, ratio * slope])
    return mean * (rate + effect * x) + ratio * excited, slopes


def _smooth_before(values: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
    """Return the exponentially weighted mean of what came before each value; 0 at the first."""
    before = pd.Series(np.concatenate([[0.0], values[:-1]]))
    return before.ewm(alpha=1.0 - decay, adjust=False).mean().to_numpy()


def _standard_error(
    y: NDArray[np.float64], x: NDArray[np.float64], mean: float, parameters: NDArray[np.float64]
) -> float:
    """Return the standard error of the branching ratio; what lies at a bound counts as known."""
    intensity, slopes = _intensity(y, x, mean, parameters)
    is_free = parameters > 1e-6
    is_free[2] = True
    weighted = slopes[is_free] * np.sqrt(y) / intensity
    covariance = np.linalg.pinv(weighted @ weighted.T)
    return float(np.sqrt(covariance[int(is_free[:2].sum()), int(is_free[:2].sum())]))


def fit_liquidations(
    done: pd.DataFrame, tables: Mapping[str, pd.DataFrame], assets: Mapping[str, str]
) -> HawkesFit:
    """Fit the process to liquidations, with falls of their collateral's fundamental price.

    In bins of a block of the chain with most of them; the collateral is that of most debt.

    Parameters
    ----------
    done : liquidations, as in `analysis.cause_graph`
    tables : records
    assets : asset whose price a token has, by token
    """
    if len(done) < LEAST_EVENTS:
        return _NO_FIT
    chains = frame_of(tables, "chains")
    busiest = done["chain"].astype(str).value_counts().index[0]
    blocks = chains["time"][chains["chain"].astype(str) == busiest].to_numpy(float)
    end = max(float(frame["time"].max()) for frame in (chains, done) if len(frame))
    block = float(np.diff(blocks).mean()) if len(blocks) > 1 else _BLOCK
    width = max(block, end / _MOST_BINS)
    edges = np.arange(0.0, end + 2.0 * width, width)
    counts = np.histogram(done["time"].to_numpy(float), edges)[0]
    token = done.groupby(done["collateral_token"].astype(str))["debt_usd"].sum().idxmax()
    prices = frame_of(tables, "prices")
    mine = prices[prices["asset"].astype(str) == assets.get(str(token), "")]
    if not len(mine):
        return fit_hawkes(counts, width)
    path = np.interp(edges, mine["time"], np.log(mine["fundamental"]))
    return fit_hawkes(counts, width, np.maximum(-np.diff(path), 0.0))
