"""Delta-CoVaR: how much worse the system does when one participant does badly.

CoVaR is the value at risk of the system given the loss x of a participant, from a quantile
regression (statsmodels) of the system's loss on x. Delta-CoVaR compares a participant at its own
value at risk with the same at its median (Adrian and Brunnermeier 2016):

    delta = β_q (VaR_q(x) - VaR_0.5(x))

One row is one replication: losses of worlds that differ by seed alone. Losses along the path of
one world are not independent draws and do not belong here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from analysis.series import frame_of
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LEAST_IN_TAIL = 5  # replications that must lie beyond the quantile for it to be estimated
_PRECISION = 1e-10  # of the regression's coefficients
_MOST_ROUNDS = 20_000


class DeltaCovar(NamedTuple):
    """Delta-CoVaR of one participant.

    Attributes
    ----------
    delta : in units of the system's loss
    standard_error : of `delta`, by resampling replications; NaN when none were resampled
    slope : of the quantile regression, system loss per unit of the participant's
    value_at_risk, median : of the participant's loss
    """

    delta: float
    standard_error: float
    slope: float
    value_at_risk: float
    median: float


def delta_covar(
    loss: Any, system_loss: Any, quantile: float = 0.95, n_resamples: int = 0, seed: int = 1
) -> DeltaCovar:
    """Return the delta-CoVaR of a participant across replications.

    Parameters
    ----------
    loss : float64, (n,), of the participant, positive when it loses; a replication each
    system_loss : float64, (n,), of the system, or of all others
    quantile : fraction of replications with a smaller loss
    n_resamples : bootstrap resamples for the standard error
    seed : of the resampling

    Raises
    ------
    InputError
        There are too few replications for the quantile, or the participant's loss never differs.

    References
    ----------
    Adrian and Brunnermeier (2016), CoVaR, section II.
    """
    x, y = np.asarray(loss, float), np.asarray(system_loss, float)
    least = int(np.ceil(LEAST_IN_TAIL / (1.0 - quantile)))
    if len(x) < least:
        raise InputError(
            f"{len(x)} replications are too few for the {quantile:.0%} quantile; {least} would do"
        )
    if np.ptp(x) == 0.0:
        raise InputError("the participant loses the same in every replication; leave it out")
    slope, at_risk, median = _estimate(x, y, quantile)
    random = np.random.default_rng(seed)
    again = []
    for _ in range(n_resamples):
        picked = random.integers(0, len(x), len(x))
        one = _estimate(x[picked], y[picked], quantile)
        again.append(one[0] * (one[1] - one[2]))
    error = float(np.std(again, ddof=1)) if n_resamples > 1 else float("nan")
    return DeltaCovar(slope * (at_risk - median), error, slope, at_risk, median)


def _estimate(
    x: NDArray[np.float64], y: NDArray[np.float64], quantile: float
) -> tuple[float, float, float]:
    """Return slope, value at risk and median; the regression runs in units of its own scatter."""
    from statsmodels.regression.quantile_regression import QuantReg

    at_risk, median = (float(np.quantile(x, share)) for share in (quantile, 0.5))
    width, height = float(np.std(x)), float(np.std(y))
    if width == 0.0 or height == 0.0:
        return 0.0, at_risk, median
    line = np.column_stack([np.ones(len(x)), (x - median) / width])
    fitted = QuantReg((y - np.median(y)) / height, line).fit(
        q=quantile, p_tol=_PRECISION, max_iter=_MOST_ROUNDS
    )
    return float(fitted.params[1]) * height / width, at_risk, median


def population_losses(
    tables: Mapping[str, pd.DataFrame], *, has_price_moves: bool = True
) -> pd.Series[float]:
    """Return what each population of a run lost from its start to its end: USD, by population.

    Parameters
    ----------
    tables : record tables of one replication
    has_price_moves : what prices did to the holdings of the start counts; else only what the
        population did since, or was done to
    """
    equity = frame_of(tables, "equity")
    people = equity.loc[equity["account"] >= 0, "population"].astype(str).unique()
    whole = equity[(equity["account"] < 0) & equity["population"].isin(people)]
    by_name = whole.groupby(whole["population"].astype(str))
    if not has_price_moves:
        return -by_name["trading_gain"].last()
    return by_name["value"].first() - by_name["value"].last()


def delta_covars(
    losses: pd.DataFrame, quantile: float = 0.95, n_resamples: int = 0
) -> pd.DataFrame:
    """Return the delta-CoVaR of each participant with respect to all the others.

    Parameters
    ----------
    losses : float64, USD; one row a replication, one column a participant
    quantile, n_resamples : as in `delta_covar`

    Returns
    -------
    one row a participant whose loss differs between replications, largest delta first; columns as
    the fields of `DeltaCovar`
    """
    found = {}
    for name, loss in losses.items():
        if np.ptp(loss.to_numpy(float)) > 0.0:
            others = losses.drop(columns=name).sum(axis=1)
            found[name] = delta_covar(loss, others, quantile, n_resamples)
    table = pd.DataFrame.from_dict(found, orient="index", columns=list(DeltaCovar._fields))
    return table.sort_values("delta", ascending=False)


def normal_delta_covar(correlation: float, system_deviation: float, quantile: float) -> float:
    """Return delta-CoVaR where both losses are jointly normal: ρ σ_system z_q."""
    return correlation * system_deviation * float(stats.norm.ppf(quantile))
