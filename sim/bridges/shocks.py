"""What a scenario can do to a bridge: pause it, resume it, forge its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sim.agenda import DELIVERY_RANK
from sim.bridges.transfers import DRAIN, EVENT_NUMBER
from sim.errors import InputError
from sim.registry import Config, ShockKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim.world import World


class PauseBridge(Config):
    """Pause a bridge: sends fail, and what is on its way waits."""

    kind: Literal["pause_bridge"]
    venue: str = Field(description="Bridge to pause.")


class ResumeBridge(Config):
    """Let a paused bridge work again; what waits is delivered at once, in order."""

    kind: Literal["resume_bridge"]
    venue: str = Field(description="Bridge to resume.")


class Forge(Config):
    """Forge tokens of a lock-and-mint bridge in favor of the first account of a population."""

    kind: Literal["forge"]
    venue: str = Field(description="Bridge that is deceived.")
    mode: Literal["mint_on_destination", "release_from_escrow"] = Field(
        description="Mint wrapped tokens without a lock, or pay out the escrow without a burn."
    )
    population: str = Field(description="Population whose row 0 receives the tokens.")
    amount: float = Field(
        gt=0.0,
        description="Tokens forged; a release takes at most what the escrow holds.",
        json_schema_extra={"unit": "tokens"},
    )


def _bridge_of(world: World, name: str) -> tuple[Any, int]:
    """Return the state of a bridge's mechanism, and the bridge's row in it."""
    number = world.venue(name)
    state = world.states[world.plan.venues[number].mechanism.kind]
    if not hasattr(state, "is_paused"):
        raise InputError(f"venue '{name}' is no bridge; only bridges can be paused")
    return state, int(world.venues.row[number])


def drain(world: World, state: Any, row: int) -> None:
    """Pay what waits, and value the bridge's token anew, later in this tick."""
    world.schedule(world.now, DELIVERY_RANK, int(state.counter[EVENT_NUMBER]), a=DRAIN, b=row)


def _pause(world: World, config: PauseBridge) -> None:
    state, row = _bridge_of(world, config.venue)
    state.is_paused[row] = 1
    is_open = bool(state.is_insured[row])  # an insured bridge settles all the same
    world.venues.is_halted[world.venue(config.venue)] = 0 if is_open else 1


def _resume(world: World, config: ResumeBridge) -> None:
    state, row = _bridge_of(world, config.venue)
    state.is_paused[row] = 0
    world.venues.is_halted[world.venue(config.venue)] = 0
    drain(world, state, row)


def forge_kind(apply: Callable[[World, Any], None]) -> ShockKind:
    """Return the shock `forge`, carried out by the mechanism that can be deceived."""

    def checked(world: World, config: Forge) -> None:
        mechanism = world.plan.venues[world.venue(config.venue)].mechanism
        if all(shock.kind != "forge" for shock in mechanism.shocks):
            raise InputError(
                f"venue '{config.venue}' is a {mechanism.kind}; forge needs a lock_and_mint bridge"
            )
        apply(world, config)

    return ShockKind("forge", Forge, checked)


SHOCKS = (
    ShockKind("pause_bridge", PauseBridge, _pause),
    ShockKind("resume_bridge", ResumeBridge, _resume),
)
