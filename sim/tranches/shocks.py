"""What the guardian of a tranche vault does at a given time, as scenario actions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sim.registry import Config, ShockKind
from sim.tranches.settings import KIND
from sim.tranches.state import OPEN, STOPPED, WINDING

if TYPE_CHECKING:
    from sim.world import World


class StopVault(Config):
    """Stop a vault: no requests, and nobody is served."""

    kind: Literal["stop_vault"]
    venue: str = Field(description="Tranche vault.")


class ReopenVault(Config):
    """Let a stopped vault serve again, its losses so far forgotten as a reason to stop."""

    kind: Literal["reopen_vault"]
    venue: str = Field(description="Tranche vault.")


class WindDownVault(Config):
    """Wind a vault down: no deposits, and redemptions by seniority as cash comes in."""

    kind: Literal["wind_down_vault"]
    venue: str = Field(description="Tranche vault.")


def _set_stage(world: World, venue: str, stage: int) -> None:
    vault = world.states[KIND].vaults[int(world.venues.row[world.venue(venue)])]
    if stage == STOPPED and vault["stage"] != STOPPED:
        vault["stopped_at"] = world.now
    if stage == OPEN:
        vault["peak"] = vault["index"]
    vault["stage"] = stage


SHOCKS = (
    ShockKind("stop_vault", StopVault, lambda w, c: _set_stage(w, c.venue, STOPPED)),
    ShockKind("reopen_vault", ReopenVault, lambda w, c: _set_stage(w, c.venue, OPEN)),
    ShockKind("wind_down_vault", WindDownVault, lambda w, c: _set_stage(w, c.venue, WINDING)),
)
