"""Channels: the ways by which stress travels, and worlds in which some of them are cut.

Mechanisms and kinds of participants declare their own (`sim.registry.Channel`); block space, which
belongs to no protocol, is declared here. One name may be declared by several: `bridge` by each kind
of bridge. A world without any channel is the frictionless one from which losses are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sim.block_space import CHANNEL as GAS
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sim.registry import Channel
    from sim.world import World

GENERAL: tuple[Channel, ...] = (GAS,)
VICTIMS = (
    "lenders",
    "borrowers",
    "liquidity_providers",
    "traders",
    "wrapped_holders",
    "tranche_investors",
    "treasury",
)
WINNERS = ("liquidators", "arbitrageurs", "attacker", "relayers", "validators", "outside")
ROLES = VICTIMS + WINNERS


def _declared(world: World) -> Iterator[tuple[Channel, Any]]:
    """Yield every channel that the parts of a world declare, with the state of its part."""
    for channel in GENERAL:
        yield channel, None
    for mechanism in dict.fromkeys(venue.mechanism for venue in world.plan.venues):
        for channel in mechanism.channels:
            yield channel, world.states[mechanism.kind]
    for population in world.plan.populations:
        for channel in population.kind.channels:
            yield channel, world.states[population.name]


def channels_of(world: World) -> tuple[str, ...]:
    """Return the names of the channels that a world has, cut ones included, in order."""
    found = {c.name for c, own in _declared(world) if c.is_there(world, own)}
    return tuple(sorted(found | set(world.plan.without)))


def cut_channels(world: World, names: Iterable[str]) -> None:
    """Cut channels of a world that is built and has not run.

    Raises
    ------
    InputError
        No part of the world has such a channel.
    """
    for name in sorted(set(names)):
        mine = [(c, own) for c, own in _declared(world) if c.name == name]
        mine = [(c, own) for c, own in mine if c.is_there(world, own)]
        if not mine:
            known = sorted({c.name for c, own in _declared(world) if c.is_there(world, own)})
            raise InputError(
                f"this world has no channel '{name}' to cut; it has: {', '.join(known) or 'none'}"
            )
        for channel, own in mine:
            channel.cut(world, own)


def absorbed_by_channel(world: World) -> dict[str, float]:
    """Return what the outside world has borne so far in place of each cut channel, USD."""
    found = dict.fromkeys(sorted(set(world.plan.without)), 0.0)
    for channel, own in _declared(world):
        if channel.name in found:
            found[channel.name] += channel.absorbed(world, own)
    return found
