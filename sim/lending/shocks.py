"""What a guardian can do to a reserve of a lending market at a given time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sim.errors import InputError
from sim.lending.config import ReserveFlag
from sim.registry import Config, ShockKind

if TYPE_CHECKING:
    from sim.world import World


class FreezeReserve(Config):
    """Freeze a reserve: no new supply of it and no new debt in it."""

    kind: Literal["freeze_reserve"]
    venue: str = Field(description="Lending market.")
    asset: str = Field(description="Symbol of the reserve.")


class UnfreezeReserve(Config):
    """Let a frozen reserve take supply and debt again."""

    kind: Literal["unfreeze_reserve"]
    venue: str = Field(description="Lending market.")
    asset: str = Field(description="Symbol of the reserve.")


class PauseReserve(Config):
    """Pause a reserve: nothing at all can be done with it."""

    kind: Literal["pause_reserve"]
    venue: str = Field(description="Lending market.")
    asset: str = Field(description="Symbol of the reserve.")


class UnpauseReserve(Config):
    """Let a paused reserve work again."""

    kind: Literal["unpause_reserve"]
    venue: str = Field(description="Lending market.")
    asset: str = Field(description="Symbol of the reserve.")


def _reserve(world: World, config: Any) -> Any:
    from sim.lending.building import reserve_of
    from sim.lending.settings import KIND

    number = world.venue(config.venue)
    if world.plan.venues[number].mechanism.kind != KIND:
        raise InputError(f"'{config.venue}' is not a lending market")
    return world.states[KIND][0].reserves[reserve_of(world, number, config.asset)]


def _freeze(world: World, config: Any) -> None:
    _reserve(world, config)["flag_bits"] |= int(ReserveFlag.FROZEN)


def _unfreeze(world: World, config: Any) -> None:
    _reserve(world, config)["flag_bits"] &= ~int(ReserveFlag.FROZEN)


def _pause(world: World, config: Any) -> None:
    _reserve(world, config)["flag_bits"] |= int(ReserveFlag.PAUSED)


def _unpause(world: World, config: Any) -> None:
    _reserve(world, config)["flag_bits"] &= ~int(ReserveFlag.PAUSED)


SHOCKS = (
    ShockKind("freeze_reserve", FreezeReserve, _freeze),
    ShockKind("unfreeze_reserve", UnfreezeReserve, _unfreeze),
    ShockKind("pause_reserve", PauseReserve, _pause),
    ShockKind("unpause_reserve", UnpauseReserve, _unpause),
)
