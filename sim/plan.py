"""What a world is built from: chains, tokens, venues, populations, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.background import BackgroundConfig
from sim.errors import InputError
from sim.fee_market import FeeMarket
from sim.reference.conditions import Conditions
from sim.reference.impact import ImpactState, VenueTerms
from sim.registry import Mechanism, PopulationKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class ChainPlan:
    """A chain; times in seconds, fees in gwei of the native token."""

    name: str
    interval_seconds: float
    is_random: bool
    gas_limit: int
    fee_market: FeeMarket
    base_fee_gwei: float
    base_fee_floor_gwei: float
    native: str  # symbol; "": gas is free
    is_first_come: bool = False  # orders go by arrival, not by bid
    is_protected: bool = False  # orders that would fail are left out
    has_nonces: bool = False  # orders of one account go in the order of submission
    lifetime_seconds: float = 0.0  # of an order in the mempool; 0: no limit
    pool_gas: int = 0  # that the mempool holds at most; 0: no limit
    replacement: float = 0.1  # least raise of a bid
    background: BackgroundConfig | None = None


@dataclass(frozen=True)
class TokenPlan:
    """A token of a chain; worth `scale` units of an asset, or nothing by itself (asset None)."""

    chain: str
    symbol: str
    asset: str | None
    scale: float = 1.0


@dataclass(frozen=True)
class VenuePlan:
    """A pool, market or bridge; tokens as (chain, symbol)."""

    name: str
    mechanism: Mechanism
    chain: str
    tokens: tuple[tuple[str, str], ...]
    config: Any
    is_pool: bool = True


@dataclass(frozen=True)
class PopulationPlan:
    """A population of `rows` agents of one kind; its home is `chain`."""

    name: str
    kind: PopulationKind
    chain: str
    rows: int
    config: Any


@dataclass(frozen=True)
class WorldPlan:
    """Everything that a world is built from."""

    seed: int
    horizon_seconds: float
    step_seconds: float
    assets: tuple[str, ...]
    paths: np.ndarray  # float64, (n_assets, n_steps + 1), USD
    path_step_seconds: float
    chains: tuple[ChainPlan, ...]
    tokens: tuple[TokenPlan, ...]
    venues: tuple[VenuePlan, ...]
    populations: tuple[PopulationPlan, ...]
    impact: ImpactState | None = None
    terms: VenueTerms | None = None
    conditions: Conditions | None = None
    without: tuple[str, ...] = ()  # channels that are cut: see `sim.channels`
    mempool_capacity: int = 16_384
    fill_capacity: int = 65_536


def number_of(name: str, known: Sequence[str] | Mapping[str, Any], what: str) -> int:
    """Return the place of a name among those that are known.

    Raises
    ------
    InputError
        There is no such name; names those there are.
    """
    names = list(known)
    if name not in names:
        raise InputError(f"no {what} '{name}'; there are: {', '.join(names) or 'none'}")
    return names.index(name)
