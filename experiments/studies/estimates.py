"""Estimates of a requirement's statistic, with intervals that stand up to a second look.

* Fixed number of runs. Probability: Clopper-Pearson. Quantile: order statistics (binomial).
  Mean: BCa bootstrap (Efron 1987), with Student's below 100 runs. Where at least half of the runs
  have one value and few of the others carry the variance, as of bad debt, a sample says nothing of
  the mean that holds whatever the distribution (Bahadur, Savage 1956): there is no interval, and
  what is asked has to be a probability or a quantile.
* Looked at again and again. Probability: the beta-binomial mixture martingale of Robbins (1970),
  valid at every number of runs at once (Ville's inequality). Quantile and mean: look k may spend
  alpha / (k (k + 1)), which add up to alpha.

A failed run counts as a violation: as the event of a probability bounded from above (as its absence
when bounded from below), and as an infinitely bad value of a quantile. A mean leaves failed runs
out, and a requirement on it is not met while there are any.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.draws import stream_id

if TYPE_CHECKING:
    from experiments.studies.requirements import Requirement

PASS, FAIL, UNDECIDED = "PASS", "FAIL", "UNDECIDED"
_RESAMPLES = 2_000
_FEW_RUNS = 100  # Student's interval stands beside the bootstrap, which is too short for few
_LEAST_CARRIERS = 100.0  # runs that carry the variance, where most runs have one value
NO_INTERVAL = "no interval: most runs have one value; ask for P(...) or quantile(...)"
_PRIOR = (0.5, 0.5)  # of the mixture: the arcsine law, which bets on small probabilities too


class Estimate(NamedTuple):
    """What a sample says of a statistic."""

    value: float
    low: float  # two-sided interval
    high: float
    lower: float  # one-sided bounds, each at the same confidence; they decide
    upper: float
    n: int
    n_failed: int
    method: str


def estimate(
    requirement: Requirement,
    values: np.ndarray,
    is_ok: np.ndarray,
    confidence: float,
    look: int | None = None,
) -> Estimate:
    """Return the estimate of a requirement's statistic.

    Parameters
    ----------
    values : float64, (n,), the outcome of each run; NaN where a run has none
    is_ok : bool, (n,), whether the run ended
    confidence : of the interval, and of each one-sided bound
    look : number of the look, from 1, of a sequential plan; None: the only one
    """
    alpha = 1.0 - confidence
    has_value = is_ok & ~np.isnan(values)
    n_failed = int((~has_value).sum())
    if requirement.statistic == "probability":
        hits = _event(requirement, values) & has_value
        k = int(hits.sum()) + (n_failed if requirement.is_upper else 0)
        return _probability(k, len(values), alpha, n_failed, look)
    spent = alpha if look is None else alpha / (look * (look + 1))
    if requirement.statistic == "quantile":
        worst = math.inf if requirement.is_upper else -math.inf
        filled = np.where(has_value, values, worst)
        return _quantile(filled, requirement.level, spent, n_failed, look)
    return _mean(values[has_value], spent, n_failed, look)


def decide(requirement: Requirement, estimate: Estimate) -> str:
    """Return PASS, FAIL or UNDECIDED."""
    bound = requirement.bound
    if estimate.n == 0 or math.isnan(estimate.value):
        return UNDECIDED
    if requirement.statistic == "mean" and estimate.n_failed:
        return FAIL if _is_beyond(requirement, estimate) else UNDECIDED
    if requirement.is_upper:
        kept = estimate.upper <= bound if requirement.sign == "<=" else estimate.upper < bound
    else:
        kept = estimate.lower >= bound if requirement.sign == ">=" else estimate.lower > bound
    if kept:
        return PASS
    return FAIL if _is_beyond(requirement, estimate) else UNDECIDED


def _is_beyond(requirement: Requirement, estimate: Estimate) -> bool:
    if requirement.is_upper:
        return estimate.lower > requirement.bound
    return estimate.upper < requirement.bound


def _event(requirement: Requirement, values: np.ndarray) -> np.ndarray:
    t = requirement.threshold
    compare = {
        "<": np.less,
        "<=": np.less_equal,
        ">": np.greater,
        ">=": np.greater_equal,
    }[requirement.event_sign]
    with np.errstate(invalid="ignore"):
        return np.asarray(compare(values, t))


# --- probability ---------------------------------------------------------------------------------


def _probability(k: int, n: int, alpha: float, n_failed: int, look: int | None) -> Estimate:
    value = k / n if n else math.nan
    if look is None:
        low, high = clopper_pearson(k, n, alpha / 2.0)
        lower, upper = clopper_pearson(k, n, alpha)
        return Estimate(value, low, high, lower, upper, n, n_failed, "Clopper-Pearson")
    low, high = mixture_bounds(k, n, alpha)
    return Estimate(value, low, high, low, high, n, n_failed, "beta-binomial mixture, any time")


def clopper_pearson(k: int, n: int, tail: float) -> tuple[float, float]:
    """Return the exact binomial bounds that each leave `tail` outside (Clopper, Pearson 1934)."""
    from scipy.stats import beta

    low = float(beta.ppf(tail, k, n - k + 1)) if k > 0 else 0.0
    high = float(beta.ppf(1.0 - tail, k + 1, n - k)) if k < n else 1.0
    return low, high


def mixture_bounds(k: int, n: int, alpha: float) -> tuple[float, float]:
    """Return the probabilities that the mixture martingale has not refuted at level alpha.

    The martingale of a probability p is the likelihood of the data under a beta mixture over that
    under p; where it exceeds 1 / alpha, p is refuted, whenever one looks (Robbins 1970).
    """
    from scipy.optimize import brentq
    from scipy.special import betaln

    a, b = _PRIOR
    evidence = betaln(a + k, b + n - k) - betaln(a, b)

    def excess(p: float) -> float:
        likelihood = (k * math.log(p) if k else 0.0) + ((n - k) * math.log1p(-p) if n > k else 0.0)
        return float(evidence - likelihood + math.log(alpha))

    if n == 0:
        return 0.0, 1.0
    tiny = 1e-15
    middle = min(max(k / n, tiny), 1.0 - tiny)
    low = 0.0 if k == 0 or excess(tiny) < 0.0 else float(brentq(excess, tiny, middle))
    far = 1.0 - 1e-12
    high = 1.0 if k == n or excess(far) < 0.0 else float(brentq(excess, middle, far))
    return low, high


def least_runs(requirement: Requirement, confidence: float, *, sequential: bool) -> int | None:
    """Return the least number of runs that could decide a requirement; None: cannot be said.

    For a probability bounded from above these are runs without the event; for a quantile, runs
    enough for its order statistic.
    """
    alpha, bound = 1.0 - confidence, requirement.bound
    if requirement.statistic == "quantile":
        level = requirement.level if requirement.is_upper else 1.0 - requirement.level
        spent = alpha / 2.0 if sequential else alpha
        return math.ceil(math.log(spent) / math.log(level))
    if requirement.statistic != "probability" or not 0.0 < bound < 1.0:
        return None
    rare = bound if requirement.is_upper else 1.0 - bound
    if not sequential:
        return math.ceil(math.log(alpha) / math.log1p(-rare))
    low, high = 1, 2
    while mixture_bounds(0, high, alpha)[1] > rare:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if mixture_bounds(0, middle, alpha)[1] > rare:
            low = middle
        else:
            high = middle
    return high


# --- quantile ------------------------------------------------------------------------------------


def _quantile(
    values: np.ndarray, level: float, alpha: float, n_failed: int, look: int | None
) -> Estimate:
    n = len(values)
    if n == 0:
        nothing = (math.nan, -math.inf, math.inf, -math.inf, math.inf)
        return Estimate(*nothing, 0, n_failed, "order statistics")
    ordered = np.sort(values)
    low, high = order_bounds(ordered, level, alpha / 2.0)
    lower, upper = order_bounds(ordered, level, alpha)
    value = float(ordered[min(max(math.ceil(level * n) - 1, 0), n - 1)])
    method = "order statistics" + ("" if look is None else f", look {look}")
    return Estimate(value, low, high, lower, upper, n, n_failed, method)


def order_bounds(ordered: np.ndarray, level: float, tail: float) -> tuple[float, float]:
    """Return the order statistics that bound a quantile, each leaving at most `tail` outside.

    The number of values at or below the quantile is binomial, whatever the distribution.
    """
    from scipy.stats import binom

    n = len(ordered)
    rank = int(binom.ppf(tail, n, level))  # P(count < rank) <= tail
    low = float(ordered[rank - 1]) if rank > 0 else -math.inf
    rank = int(binom.isf(tail, n, level)) + 1  # P(count >= rank) <= tail
    high = float(ordered[rank - 1]) if rank <= n else math.inf
    return low, high


# --- mean ----------------------------------------------------------------------------------------


def _mean(values: np.ndarray, alpha: float, n_failed: int, look: int | None) -> Estimate:
    n = len(values)
    value = float(values.mean()) if n else math.nan
    (low, high), (lower, upper) = mean_bounds(values, alpha / 2.0, alpha)
    method = "BCa bootstrap" if n >= _FEW_RUNS else "BCa bootstrap and Student, the wider"
    if math.isinf(low):
        method = "no interval: fewer than 2 runs" if n < 2 else NO_INTERVAL
    method += "" if look is None else f", look {look}"
    return Estimate(value, low, high, lower, upper, n, n_failed, method)


def mean_bounds(values: np.ndarray, *tails: float) -> list[tuple[float, float]]:
    """Return the bounds of a mean for each tail left outside; infinite where nothing can be said.

    Parameters
    ----------
    values : float64, (n,)
    tails : probabilities, each below 0.5
    """
    from scipy.stats import t as student

    n = len(values)
    if n < 2 or is_inflated(values):
        return [(-math.inf, math.inf)] * len(tails)
    found = bootstrap_bounds(values, *tails)
    if n >= _FEW_RUNS:
        return found
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n)
    widths = [float(student.isf(tail, n - 1)) * error for tail in tails]
    return [
        (min(low, mean - width), max(high, mean + width))
        for (low, high), width in zip(found, widths, strict=True)
    ]


def is_inflated(values: np.ndarray) -> bool:
    """Return whether half of a sample is one value and too few of the others carry the variance.

    Of n values, n / kurtosis carry the variance: all alike, they are their number; where one is far
    beyond all others, it is that one.
    """
    n_alike = int(np.unique(values, return_counts=True)[1].max())
    if 2 * n_alike < len(values):
        return False
    squares = (values - values.mean()) ** 2
    fourth = float((squares**2).sum())
    carriers = float(squares.sum()) ** 2 / fourth if fourth > 0.0 else 0.0
    return carriers < _LEAST_CARRIERS


def bootstrap_bounds(values: np.ndarray, *tails: float) -> list[tuple[float, float]]:
    """Return BCa bounds of the mean of values that differ; repeatable to the last bit."""
    from scipy.stats import bootstrap

    options: dict[str, Any] = {
        "n_resamples": max(_RESAMPLES, math.ceil(20.0 / min(tails))),
        "rng": np.random.default_rng([stream_id("bootstrap"), len(values)]),
    }
    found = []
    for tail in tails:
        result = bootstrap(
            (values,),
            np.mean,
            confidence_level=1.0 - 2.0 * tail,
            method="BCa",
            batch=max(1, 2_000_000 // len(values)),
            **options,
        )
        options = {"n_resamples": 0, "bootstrap_result": result}  # the same resamples
        interval = result.confidence_interval
        found.append((float(interval.low), float(interval.high)))
    return found
