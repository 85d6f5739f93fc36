"""What trades do to the reference price: price = F exp(permanent + transient).

A trade worth Q dollars (Q > 0 buys) moves the log price by coefficient x volatility x Q / V, with
V the daily turnover: for good with the permanent coefficient, and by a part that decays
exponentially with the transient one. Linear impact is what keeps a round trip from profiting
(Huberman and Stanzl 2004); Almgren et al. (2005) found a concave transient part, which is
linearized here. A trade executes at the mean of the prices it passes.

Zero coefficients leave the price exactly F.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sim.kernel import F8, I8, columnar, kernel
from sim.units import MINUTE, TICKS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.reference.config import ImpactConfig, VenueTermsConfig

_BASIS_POINT = 1e-4


@columnar
class ImpactState(NamedTuple):
    """Impact on the reference price; row = asset."""

    permanent: F8  # log price, (n_assets,)
    transient: F8  # log price, (n_assets,), as of `updated`
    decay: F8  # 1/tick, (n_assets,), rate at which the transient part fades
    permanent_per_usd: F8  # log price per USD, (n_assets,)
    transient_per_usd: F8  # log price per USD, (n_assets,)
    updated: I8  # tick, (n_assets,), of the last trade or decay


@columnar
class VenueTerms(NamedTuple):
    """What a taker pays beside impact; row = asset."""

    half_spread: F8  # fraction of the mid, (n_assets,)
    taker_fee: F8  # fraction of the value traded, (n_assets,)


def make_impact(configs: Sequence[ImpactConfig | None]) -> ImpactState:
    """Return the impact state of each asset; None leaves an asset's price at F."""
    n_assets = len(configs)
    permanent, transient, decay_rate, permanent_per_usd, transient_per_usd = np.zeros((5, n_assets))
    updated = np.zeros(n_assets, np.int64)
    state = ImpactState(
        permanent, transient, decay_rate, permanent_per_usd, transient_per_usd, updated
    )
    for row, config in enumerate(configs):
        if config is None:
            continue
        scale = config.volatility / config.daily_volume_usd
        half_life = config.half_life_minutes * MINUTE * TICKS_PER_SECOND
        state.decay[row] = math.log(2.0) / half_life
        state.permanent_per_usd[row] = config.permanent_coefficient * scale
        state.transient_per_usd[row] = config.transient_coefficient * scale
    return state


def make_venue_terms(configs: Sequence[VenueTermsConfig]) -> VenueTerms:
    """Return the spread and the fee of each asset as fractions."""
    return VenueTerms(
        np.array([config.spread_bps / 2 * _BASIS_POINT for config in configs], np.float64),
        np.array([config.taker_fee_bps * _BASIS_POINT for config in configs], np.float64),
    )


@kernel
def transient_at(state, asset, now):  # type: ignore[no-untyped-def]
    """Return the transient impact at a tick, log price; changes nothing."""
    if state.transient[asset] == 0.0:
        return 0.0
    return state.transient[asset] * math.exp(-state.decay[asset] * (now - state.updated[asset]))


@kernel
def decay(state, asset, now):  # type: ignore[no-untyped-def]
    """Bring the transient impact of an asset to a tick."""
    state.transient[asset] = transient_at(state, asset, now)
    state.updated[asset] = now


@kernel
def apply_trade(state, asset, signed_usd_volume, now):  # type: ignore[no-untyped-def]
    """Add the impact of a trade: USD bought (> 0) or sold (< 0) at a tick."""
    decay(state, asset, now)
    state.permanent[asset] += state.permanent_per_usd[asset] * signed_usd_volume
    state.transient[asset] += state.transient_per_usd[asset] * signed_usd_volume


@kernel
def reference_price(state, asset, fundamental, now):  # type: ignore[no-untyped-def]
    """Return the mid of the reference market, USD, at a tick; changes nothing."""
    return fundamental * math.exp(state.permanent[asset] + transient_at(state, asset, now))


@kernel
def quote_taker(state, terms, asset, fundamental, signed_usd_volume, now):  # type: ignore[no-untyped-def]
    """Return the price a taker pays (bought) or gets (sold), USD, before the trade is applied.

    The mid after half of the trade's own impact, beyond half the spread, with the fee in it.
    """
    own = state.permanent_per_usd[asset] + state.transient_per_usd[asset]
    middle = reference_price(state, asset, fundamental, now)
    middle *= math.exp(own * signed_usd_volume / 2.0)
    if signed_usd_volume < 0.0:
        return middle * (1.0 - terms.half_spread[asset]) * (1.0 - terms.taker_fee[asset])
    return middle * (1.0 + terms.half_spread[asset]) * (1.0 + terms.taker_fee[asset])
