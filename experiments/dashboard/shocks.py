"""The shocks that a button offers, as the scenario's own kinds of shock, and what they can hit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from agents.liquidity_exit import providers_of
from experiments.kinds import shock_kinds

if TYPE_CHECKING:
    from sim.registry import Config
    from sim.world import World


class Targets(NamedTuple):
    """What of a world can be hit, by name."""

    assets: list[str]  # their prices can jump
    bridges: list[str]
    oracles: list[str]
    pools: list[str]  # somebody provides liquidity to them


def targets_of(world: World) -> Targets:
    """Return what of a world can be hit; assets that move come first."""
    kinds = {site.name: world.plan.venues[site.number].mechanism for site in world.venue_sites}
    moves = {name: path.max() > path.min() for name, path in _paths(world)}
    return Targets(
        assets=sorted(world.asset_names, key=lambda name: not moves[name]),
        bridges=[
            name
            for name, mechanism in kinds.items()
            if any(shock.kind == "pause_bridge" for shock in mechanism.shocks)
        ],
        oracles=[name for name, mechanism in kinds.items() if mechanism.kind == "oracle"],
        pools=[
            name
            for name, mechanism in kinds.items()
            if mechanism.quote is not None and providers_of(world, name)
        ],
    )


def _paths(world: World) -> list[tuple[str, Any]]:
    return list(zip(world.asset_names, world.prices.path, strict=True))


def make_shock(kind: str, **fields: Any) -> Config:
    """Return a shock of a registered kind."""
    return shock_kinds()[kind].config.model_validate({"kind": kind, **fields})


def words_of(shock: Config) -> str:
    """Return a shock in words, such as `price gap: ETH, -30 %`."""
    said: dict[str, Any] = shock.model_dump()
    kind = str(said.pop("kind")).replace("_", " ")
    return f"{kind}: " + ", ".join(_word(name, value) for name, value in said.items())


def _word(name: str, value: Any) -> str:
    if name == "change":
        return f"{100.0 * value:+g} %"
    if name == "share":
        return f"{100.0 * value:g} % of providers"
    if name in ("venue", "pool", "asset", "chain"):
        return str(value)
    return f"{name.replace('_', ' ')} {value:g}" if isinstance(value, float) else f"{name} {value}"
