"""General shocks: what a scenario can do to any venue or chain at a given time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sim.registry import Config, ShockKind

if TYPE_CHECKING:
    from sim.world import World


class HaltVenue(Config):
    """Halt a venue: its orders fail until it is resumed."""

    kind: Literal["halt_venue"]
    venue: str = Field(description="Venue to halt.")


class ResumeVenue(Config):
    """Let a halted venue work again."""

    kind: Literal["resume_venue"]
    venue: str = Field(description="Venue to resume.")


class HaltChain(Config):
    """Stop a chain: no blocks until it is resumed."""

    kind: Literal["halt_chain"]
    chain: str = Field(description="Chain to stop.")


class ResumeChain(Config):
    """Let a stopped chain make blocks again."""

    kind: Literal["resume_chain"]
    chain: str = Field(description="Chain to start.")


def _halt_venue(world: World, config: Any) -> None:
    world.venues.is_halted[world.venue(config.venue)] = 1


def _resume_venue(world: World, config: Any) -> None:
    world.venues.is_halted[world.venue(config.venue)] = 0


def _halt_chain(world: World, config: Any) -> None:
    world.box.chains[world.chain(config.chain)]["is_halted"] = 1


def _resume_chain(world: World, config: Any) -> None:
    chain = world.box.chains[world.chain(config.chain)]
    chain["is_halted"] = 0
    chain["next"] = max(int(chain["next"]), world.now + 1)


KINDS = (
    ShockKind("halt_venue", HaltVenue, _halt_venue),
    ShockKind("resume_venue", ResumeVenue, _resume_venue),
    ShockKind("halt_chain", HaltChain, _halt_chain),
    ShockKind("resume_chain", ResumeChain, _resume_chain),
)
