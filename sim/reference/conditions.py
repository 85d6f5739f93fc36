"""Conditions of the reference market: trailing volatility and turnover, which set depth and spread.

Once a minute, on a grid of its own, each asset's log reference price gives a return r, and

    variance <- w variance + (1 - w) r^2 / dt        w = 2 ** (-dt / half-life)
    turnover <- v turnover + (1 - v) given turnover  (plus, if counted, what agents traded)

with turnover as a multiple of the plain daily volume. Impact per USD is the plain one times
(sigma_t / sigma_0) / turnover, as sigma Q / V says; the spread is the plain one times
(sigma_t / sigma_0) ** power, never below it and at most a given one. Between two minutes both stand
still, so that a round trip at once cannot gain. Impact that grows and shrinks with time does leave
round trips that gain over hours (Huberman and Stanzl 2004): nobody here looks for them.

Without a rule an asset's depth and spread are constant, and nothing is computed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sim.kernel import F8, I8, F8x2, columnar, kernel
from sim.units import DAY, HOUR, MINUTE, TICKS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.reference.config import ImpactConfig, TrailingConfig, VenueTermsConfig
    from sim.reference.impact import ImpactState

STEP = 60 * TICKS_PER_SECOND  # between two observations
_STEP_DAYS = MINUTE / DAY
_NEVER = 1 << 60
_BASIS_POINT = 1e-4
PERMANENT, TRANSIENT, HALF_SPREAD, DAILY_USD = range(4)  # columns of `plain`
# Columns of `rule`; DEPTH and SPREAD are 1 where trailing, else 0.
DEPTH, SPREAD, CALM, KEEP_VARIANCE, KEEP_TURNOVER, LEAST, POWER, MOST = range(8)


@columnar
class Conditions(NamedTuple):
    """Trailing conditions of the reference market; row = asset."""

    variance: F8  # float64, (n_assets,), of the log reference price, 1/day
    turnover: F8  # float64, (n_assets,), multiple of the plain daily volume
    traded: F8  # float64, (n_assets,), USD traded by agents since the last observation
    last_log: F8  # float64, (n_assets,), log reference price at the last observation
    observed: I8  # int64, (1,), tick of the last observation; far away where no asset has a rule
    given_turnover: F8x2  # float64, (n_assets, n_minutes), multiple; the last one stays
    plain: F8x2  # float64, (n_assets, 4), terms at rest: see PERMANENT …; 0 USD: trades not counted
    rule: F8x2  # float64, (n_assets, 8), see DEPTH …; all 0: none


def make_conditions(
    trailing: Sequence[TrailingConfig | None],
    impact: Sequence[ImpactConfig | None],
    terms: Sequence[VenueTermsConfig],
    horizon_seconds: float,
) -> Conditions:
    """Return the conditions at the start: calm volatility, and the turnover that is given.

    Parameters
    ----------
    trailing, impact, terms : of each asset
    horizon_seconds : how long the given turnover must reach
    """
    n = len(trailing)
    n_minutes = math.ceil(horizon_seconds / MINUTE) + 1
    made = Conditions(
        variance=np.zeros(n),
        turnover=np.ones(n),
        traded=np.zeros(n),
        last_log=np.zeros(n),
        observed=np.array([_NEVER], np.int64),
        given_turnover=np.ones((n, n_minutes if any(trailing) else 1)),
        plain=np.zeros((n, 4)),
        rule=np.zeros((n, 8)),
    )
    for row, config in enumerate(trailing):
        if config is None:
            continue
        made.observed[0] = 0
        hours = np.arange(n_minutes) * (MINUTE / HOUR)
        made.given_turnover[row] = np.interp(hours, *np.array(config.turnover).T)
        made.turnover[row] = made.given_turnover[row, 0]
        made.variance[row] = config.calm_volatility**2
        made.rule[row] = _rule_of(config, impact[row], terms[row])
        terms_at_rest = impact[row]
        if terms_at_rest is not None and config.counts_trades:
            made.plain[row, DAILY_USD] = terms_at_rest.daily_volume_usd
    return made


def _rule_of(
    config: TrailingConfig, impact: ImpactConfig | None, terms: VenueTermsConfig
) -> list[float]:
    """Return the row of `rule` of an asset."""
    most = terms.most_spread_bps / terms.spread_bps if terms.spread_bps > 0.0 else 1.0
    return [
        float(impact is not None and impact.depth == "trailing"),
        float(terms.spread == "trailing"),
        config.calm_volatility**2,
        0.5 ** (MINUTE / (config.volatility_half_life_minutes * MINUTE)),
        0.5 ** (MINUTE / (config.turnover_half_life_hours * HOUR)),
        config.least_volatility,
        terms.spread_power,
        most,
    ]


def set_terms(conditions: Conditions, impact: ImpactState, half_spread: np.ndarray) -> None:
    """Keep the terms at rest, and set the depth of the start, where turnover may not be plain."""
    conditions.plain[:, PERMANENT] = impact.permanent_per_usd
    conditions.plain[:, TRANSIENT] = impact.transient_per_usd
    conditions.plain[:, HALF_SPREAD] = half_spread
    factor = np.where(conditions.rule[:, DEPTH] > 0.0, 1.0 / conditions.turnover, 1.0)
    impact.permanent_per_usd[:] *= factor
    impact.transient_per_usd[:] *= factor


@kernel
def volatility_ratio(state, asset):  # type: ignore[no-untyped-def]
    """Return the trailing over the calm volatility, at least what the rule says."""
    calm = state.rule[asset, CALM]
    return max(math.sqrt(state.variance[asset] / calm), state.rule[asset, LEAST])


@kernel
def observe(state, asset, log_price, at):  # type: ignore[no-untyped-def]
    """Take one minute's log reference price, and set depth and spread from it.

    Parameters
    ----------
    state : the columns of `Conditions`, `ImpactState` and `VenueTerms`
    at : tick of the observation
    """
    change = log_price - state.last_log[asset]
    state.last_log[asset] = log_price
    w, v = state.rule[asset, KEEP_VARIANCE], state.rule[asset, KEEP_TURNOVER]
    state.variance[asset] = w * state.variance[asset] + (1.0 - w) * change * change / _STEP_DAYS
    flow = state.given_turnover[asset, min(at // STEP, state.given_turnover.shape[1] - 1)]
    if state.plain[asset, DAILY_USD] > 0.0:
        flow += state.traded[asset] / (state.plain[asset, DAILY_USD] * _STEP_DAYS)
    state.traded[asset] = 0.0
    state.turnover[asset] = v * state.turnover[asset] + (1.0 - v) * flow
    ratio = volatility_ratio(state, asset)
    if state.rule[asset, DEPTH] > 0.0:
        thinness = ratio / state.turnover[asset]
        state.permanent_per_usd[asset] = state.plain[asset, PERMANENT] * thinness
        state.transient_per_usd[asset] = state.plain[asset, TRANSIENT] * thinness
    if state.rule[asset, SPREAD] > 0.0:
        wider = min(max(ratio ** state.rule[asset, POWER], 1.0), state.rule[asset, MOST])
        state.half_spread[asset] = state.plain[asset, HALF_SPREAD] * wider
