"""General shocks: what a scenario can do to any venue or chain at a given time."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sim.agenda import SHOCK_RANK
from sim.registry import Config, ShockKind
from sim.units import ticks

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


class SequencerOutage(Config):
    """Stop a chain for a while; what waits by then goes first, in the order of its arrival."""

    kind: Literal["sequencer_outage"]
    chain: str = Field(description="Chain that makes no blocks.")
    seconds: float = Field(
        gt=0.0, le=3.2e7, description="How long.", json_schema_extra={"unit": "s"}
    )


class FinalityDelay(Config):
    """Delay the finality of a chain: bridges that wait for it wait longer."""

    kind: Literal["finality_delay"]
    chain: str = Field(description="Chain whose finality is late.")
    extra_seconds: float = Field(
        gt=0.0,
        le=3.2e7,
        description="How much longer than usual a transfer sent meanwhile waits.",
        json_schema_extra={"unit": "s"},
    )
    lasts_seconds: float = Field(
        gt=0.0, le=3.2e7, description="How long that goes on.", json_schema_extra={"unit": "s"}
    )


class PriceGap(Config):
    """Let the fundamental price of an asset jump, with all that is priced by it."""

    kind: Literal["price_gap"]
    asset: str = Field(description="Asset whose price jumps, at the next step of the price grid.")
    change: float = Field(
        gt=-1.0,
        le=10.0,
        description="By how much, for good: -0.3 takes 30 % off all prices from then on.",
        json_schema_extra={"unit": "fraction"},
    )


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


def _stop_sequencer(world: World, config: Any) -> None:
    number = world.chain(config.chain)
    chain = world.box.chains[number]
    end = world.now + ticks(config.seconds)
    chain["forced_before"] = max(int(chain["forced_before"]), end)
    chain["is_halted"] = 1
    world.resort(number)
    if end <= world.horizon:
        world.call_at(end, SHOCK_RANK, functools.partial(_restart_sequencer, world, number))


def _restart_sequencer(world: World, number: int) -> None:
    """Start a chain whose last outage is over; another may have begun meanwhile."""
    chain = world.box.chains[number]
    if world.now >= int(chain["forced_before"]):
        chain["is_halted"] = 0
        chain["next"] = max(int(chain["next"]), world.now + 1)


def _delay_finality(world: World, config: Any) -> None:
    number, lag = world.chain(config.chain), ticks(config.extra_seconds)
    world.box.chains[number]["finality_lag"] += lag
    end = world.now + ticks(config.lasts_seconds)
    if end <= world.horizon:
        world.call_at(end, SHOCK_RANK, functools.partial(_end_delay, world, number, lag))


def _end_delay(world: World, number: int, lag: int) -> None:
    world.box.chains[number]["finality_lag"] -= lag


def _gap_price(world: World, config: Any) -> None:
    path, step = world.prices.path, int(world.prices.step[0])
    asset = world.asset(config.asset)
    first = -(-world.now // step)  # what has been seen of the path stays as it was
    moved = path.copy()
    moved[asset, first:] *= 1.0 + config.change
    world.replace_paths(moved)


KINDS = (
    ShockKind("halt_venue", HaltVenue, _halt_venue),
    ShockKind("resume_venue", ResumeVenue, _resume_venue),
    ShockKind("halt_chain", HaltChain, _halt_chain),
    ShockKind("resume_chain", ResumeChain, _resume_chain),
    ShockKind("sequencer_outage", SequencerOutage, _stop_sequencer),
    ShockKind("finality_delay", FinalityDelay, _delay_finality),
    ShockKind("price_gap", PriceGap, _gap_price),
)
