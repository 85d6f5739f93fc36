"""Prices of tokens in USD: the fundamental of its asset, and the reference with trading impact.

The fundamental lies on its own time grid, drawn ahead; nothing in the simulation moves it. A token
is worth `scale` units of its asset (1 for the asset itself).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sim.kernel import F8, I8, F8x2, columnar, kernel
from sim.reference.conditions import (
    CALM,
    STEP,
    Conditions,
    make_conditions,
    observe,
    set_terms,
)
from sim.reference.config import VenueTermsConfig
from sim.reference.impact import ImpactState, VenueTerms, make_impact, transient_at
from sim.units import TICKS_PER_SECOND


@columnar
class Prices(NamedTuple):
    """Fundamental paths a row an asset; current prices a row a token.

    The columns of impact and of conditions carry the names that the kernels of
    `sim.reference.impact` and `sim.reference.conditions` work on.
    """

    path: F8x2  # float64, (n_assets, n_steps + 1), USD
    step: I8  # int64, (1,), ticks per grid step
    now: I8  # int64, (1,), tick of the last update
    asset: I8  # int64, (n_tokens,), asset of the token, -1: has no reference price
    scale: F8  # float64, (n_tokens,), units of the asset
    is_listed: I8  # int64, (n_tokens,), 1: trades on the reference market; 0: issued by a venue
    fundamental: F8  # float64, (n_tokens,), USD now
    reference: F8  # float64, (n_tokens,), USD now, mid
    permanent: F8  # float64, (n_assets,), log impact that stays
    transient: F8  # float64, (n_assets,), log impact that decays, as of `updated`
    decay: F8  # float64, (n_assets,), per tick
    permanent_per_usd: F8  # float64, (n_assets,), log price per USD bought
    transient_per_usd: F8  # float64, (n_assets,), log price per USD bought
    updated: I8  # int64, (n_assets,), tick
    half_spread: F8  # float64, (n_assets,), fraction
    taker_fee: F8  # float64, (n_assets,), fraction
    variance: F8  # float64, (n_assets,), this and what follows: see `Conditions`
    turnover: F8  # float64, (n_assets,)
    traded: F8  # float64, (n_assets,), USD
    last_log: F8  # float64, (n_assets,)
    observed: I8  # int64, (1,)
    given_turnover: F8x2  # float64, (n_assets, n_minutes)
    plain: F8x2  # float64, (n_assets, 4)
    rule: F8x2  # float64, (n_assets, 8)


@kernel
def fundamental_at(prices, asset, now):  # type: ignore[no-untyped-def]
    """Return the fundamental price of an asset at a tick: the grid value at or before it."""
    step = min(now // prices.step[0], prices.path.shape[1] - 1)
    return prices.path[asset, step]


@kernel(inline=False)
def observe_minutes(prices, now):  # type: ignore[no-untyped-def]
    """Observe every minute up to now: trades come later, so that impact is what it was then."""
    while prices.observed[0] + STEP <= now:
        at = prices.observed[0] + STEP
        prices.observed[0] = at
        for asset in range(prices.variance.shape[0]):
            if prices.rule[asset, CALM] > 0.0:
                log_price = math.log(fundamental_at(prices, asset, at))
                log_price += prices.permanent[asset] + transient_at(prices, asset, at)
                observe(prices, asset, log_price, at)


@kernel
def update_prices(prices, now):  # type: ignore[no-untyped-def]
    """Bring the fundamental and reference price of every token to now."""
    prices.now[0] = now
    if prices.observed[0] + STEP <= now:
        observe_minutes(prices, now)
    step = min(now // prices.step[0], prices.path.shape[1] - 1)
    for token in range(prices.asset.shape[0]):
        asset = prices.asset[token]
        if asset >= 0:
            value = prices.path[asset, step] * prices.scale[token]
            impact = prices.permanent[asset] + transient_at(prices, asset, now)
            prices.fundamental[token] = value
            prices.reference[token] = value * math.exp(impact) if impact != 0.0 else value


def make_prices(
    paths: np.ndarray,
    step_seconds: float,
    asset: list[int],
    impact: ImpactState | None = None,
    terms: VenueTerms | None = None,
    conditions: Conditions | None = None,
) -> Prices:
    """Return prices for the given fundamental paths.

    Parameters
    ----------
    paths : float64, (n_assets, n_steps + 1), USD on a grid of `step_seconds`
    step_seconds : seconds
    asset : for each token its asset, or -1
    impact, terms : by asset; none: no impact, no spread, no fee
    conditions : by asset; none: depth and spread are constant
    """
    n = len(paths)
    impact = impact or make_impact([None] * n)
    if conditions is None:
        conditions = make_conditions([None] * n, [None] * n, [VenueTermsConfig()] * n, 0.0)
    # A plan may build several worlds: each moves its own columns.
    impact = ImpactState(*(column.copy() for column in impact))
    conditions = Conditions(*(column.copy() for column in conditions))
    half_spread = terms.half_spread.copy() if terms else np.zeros(n)
    set_terms(conditions, impact, half_spread)
    conditions.last_log[:] = np.log(np.asarray(paths)[:, 0])
    prices = Prices(
        path=np.ascontiguousarray(paths, np.float64),
        step=np.array([round(step_seconds * TICKS_PER_SECOND)], np.int64),
        now=np.zeros(1, np.int64),
        asset=np.array(asset, np.int64),
        scale=np.ones(len(asset)),
        is_listed=(np.array(asset) >= 0).astype(np.int64),
        fundamental=np.zeros(len(asset)),
        reference=np.zeros(len(asset)),
        **impact._asdict(),
        half_spread=half_spread,
        taker_fee=terms.taker_fee.copy() if terms else np.zeros(n),
        **conditions._asdict(),
    )
    update_prices(prices, 0)
    return prices
