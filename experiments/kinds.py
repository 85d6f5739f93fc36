"""The registry: which protocols, participants and shocks a scenario may name.

A new kind is one module and one line here; a plug-in calls `register`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents import (
    accounts,
    arbitrageurs,
    borrowers,
    bridge_users,
    cross_chain_arbitrage,
    cycle_arbitrage,
    exploiter,
    informed_traders,
    keepers,
    liquidators,
    liquidity_exit,
    liquidity_providers,
    momentum_traders,
    noise_traders,
    oracle_keepers,
    payments,
    rate_seekers,
    relayers,
    staking_arbitrageurs,
    suppliers,
    tranche_investors,
    vault_managers,
    vault_owners,
)
from sim import exchange, shocks
from sim.amm import (
    concentrated_venue,
    constant_product,
    pool_files,
    quoted_depth,
    stableswap,
    weighted,
)
from sim.bridges import liquidity_network, lock_and_mint
from sim.cdp import protocol as cdp
from sim.errors import InputError
from sim.lending import position_file
from sim.lending import protocol as lending
from sim.oracles import oracle
from sim.reference import candles
from sim.registry import Mechanism, PopulationKind, ShockKind
from sim.staking import venue as staking
from sim.tranches import protocol as tranches

if TYPE_CHECKING:
    from sim.table_files import FileFormat

_MECHANISMS: list[Mechanism] = [
    exchange.MECHANISM,
    staking.MECHANISM,
    tranches.MECHANISM,
    oracle.MECHANISM,
    constant_product.MECHANISM,
    concentrated_venue.MECHANISM,
    quoted_depth.MECHANISM,
    weighted.MECHANISM,
    stableswap.MECHANISM,
    lending.MECHANISM,
    cdp.MECHANISM,
    lock_and_mint.MECHANISM,
    liquidity_network.MECHANISM,
]
_POPULATIONS: list[PopulationKind] = [
    noise_traders.KIND,
    arbitrageurs.KIND,
    cycle_arbitrage.KIND,
    cross_chain_arbitrage.KIND,
    oracle_keepers.KIND,
    informed_traders.KIND,
    momentum_traders.KIND,
    liquidity_providers.KIND,
    bridge_users.KIND,
    payments.KIND,
    relayers.KIND,
    suppliers.KIND,
    rate_seekers.KIND,
    borrowers.KIND,
    liquidators.KIND,
    vault_owners.KIND,
    keepers.KIND,
    exploiter.KIND,
    staking_arbitrageurs.KIND,
    tranche_investors.KIND,
    vault_managers.KIND,
    accounts.KIND,
]
_SHOCKS: list[ShockKind] = [*shocks.KINDS, *liquidity_exit.KINDS]
_FORMATS = (candles.FORMAT, position_file.FORMAT, pool_files.RESERVES, pool_files.LIQUIDITY)


def mechanisms() -> dict[str, Mechanism]:
    """Return every kind of protocol by name."""
    return {mechanism.kind: mechanism for mechanism in _MECHANISMS}


def populations() -> dict[str, PopulationKind]:
    """Return every kind of participant by name."""
    return {population.kind: population for population in _POPULATIONS}


def shock_kinds() -> dict[str, ShockKind]:
    """Return every kind of shock by name: the general ones and those of the protocols."""
    found = [*_SHOCKS, *(shock for mechanism in _MECHANISMS for shock in mechanism.shocks)]
    return {shock.kind: shock for shock in found}


def file_formats() -> dict[str, FileFormat]:
    """Return every format of a file that a scenario may name."""
    return {declared.name: declared for declared in _FORMATS}


def register(kind: Mechanism | PopulationKind) -> None:
    """Add a protocol or participant of your own; scenarios may name it from then on.

    Raises
    ------
    InputError
        The name is taken.
    """
    known = [*mechanisms(), *populations()]
    if kind.kind in known:
        raise InputError(f"kind '{kind.kind}' exists already; give yours another name")
    if isinstance(kind, Mechanism):
        _MECHANISMS.append(kind)
    else:
        _POPULATIONS.append(kind)
