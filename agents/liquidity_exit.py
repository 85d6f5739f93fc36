"""A shock to liquidity: providers of a pool are told to leave, all at once or a share of them.

Each sends the order that takes its liquidity out in the instant of the shock; the order waits in
the mempool and pays gas like any other. From then on they behave as leavers do who were frightened:
they come back, each after its own delay, when the pool has been calm for long enough. What a pool
holds of its own is nobody's to take out, and stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from agents.arrivals import wake_at
from agents.liquidity_plans import IN, LEAVER, NEVER, REMOVING, TIP, VENUE, ProviderState
from agents.pool_history import IS_CALM, LAST_FRIGHT
from sim.draws import uniform_column
from sim.errors import InputError
from sim.orders import SHOCK, cause
from sim.registry import Config, PopulationSite, ShockKind
from sim.units import GWEI, ticks

if TYPE_CHECKING:
    from sim.world import World

_EXPIRES = 600.0  # seconds; as every order of theirs


class LiquidityExit(Config):
    """Let liquidity providers of a pool take out what they have in it."""

    kind: Literal["liquidity_exit"]
    pool: str = Field(description="Pool that they leave.")
    share: float = Field(1.0, gt=0.0, le=1.0, description="Share by number of those who leave.")


def providers_of(world: World, pool: str) -> list[PopulationSite]:
    """Return the populations that provide liquidity to a pool."""
    venue = world.venue(pool)
    return [
        site
        for site in world.population_sites
        if isinstance(own := world.states[site.name], tuple)
        and len(own) > 0
        and isinstance(own[0], ProviderState)
        and own[0].number[VENUE] == venue
    ]


def _leave(world: World, config: Any) -> None:
    sites = providers_of(world, config.pool)
    if not sites:
        raise InputError(
            f"nobody provides liquidity to '{config.pool}'; name a pool that has a population of "
            "liquidity_providers"
        )
    for site in sites:
        _empty(world, site, config)


def _empty(world: World, site: PopulationSite, config: Any) -> None:
    """Send the orders of one population, and let its pool not be calm."""
    people, history, wheel = world.states[site.name]
    held = world.columns_of(site)["liquidity"]()
    told = uniform_column(world.seed, f"{site.name}:exit", site.rows) < config.share
    history.state[LAST_FRIGHT], history.state[IS_CALM] = max(world.now, 1), 0
    for row in np.flatnonzero(told & (people.stage == IN) & (held > 0.0)):
        world.submit(
            config.pool,
            "remove",
            site.name,
            int(row),
            amount=float(held[row]),
            a=int(people.tick_lower[row]),
            b=int(people.tick_upper[row]),
            tip_gwei=float(people.terms[TIP]) / GWEI,
            expires_in=_EXPIRES,
            parent=cause(SHOCK),
        )
        people.style[row], people.stage[row] = LEAVER, REMOVING
        people.n_moves[row] += 1
        people.moved[row] = world.now
        people.expires[row] = world.now + ticks(_EXPIRES)
        if wheel.due[row] == NEVER:  # others look again when they had meant to
            wake_at(wheel, int(row), world.now + 1)


KINDS = (ShockKind("liquidity_exit", LiquidityExit, _leave),)
