"""What the manifest of a run tells its readers: tokens, chains, populations, shocks, warm-up."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, NamedTuple


class Setting(NamedTuple):
    """The setting of a run.

    Attributes
    ----------
    name : name of the scenario
    warmup : seconds that statistics leave out
    horizon : seconds, length of the run; 0: not known
    shocks : time (s) and words of each shock
    tokens : tokens of a venue as `chain/symbol`, by venue
    assets : asset whose price a token has, by token
    natives : asset whose price the native token of a chain has, by chain
    kinds : kind of a population, by population
    roles : whose gains and losses those of a population, or of a protocol's accounts, count as;
        by population and by kind of protocol
    """

    name: str = ""
    warmup: float = 0.0
    horizon: float = 0.0
    shocks: tuple[tuple[float, str], ...] = ()
    tokens: Mapping[str, tuple[str, ...]] = {}
    assets: Mapping[str, str] = {}
    natives: Mapping[str, str] = {}
    kinds: Mapping[str, str] = {}
    roles: Mapping[str, str] = {}


def setting_of(manifest: Mapping[str, Any]) -> Setting:
    """Return the setting that a manifest holds; what it lacks stays empty."""
    scenario = manifest.get("scenario", {})
    chains = scenario.get("chains", {})
    assets = _assets(chains)
    return Setting(
        name=str(scenario.get("name", "")),
        warmup=float(scenario.get("warmup", 0.0)),
        horizon=float(scenario.get("horizon", 0.0)),
        shocks=tuple((time, _words(shock)) for time, shock in timed_shocks(manifest)),
        tokens={name: _tokens(venue) for name, venue in scenario.get("venues", {}).items()},
        assets=assets,
        natives={
            name: assets.get(f"{name}/{chain['native']}", chain["native"])
            for name, chain in chains.items()
            if chain.get("native")
        },
        kinds={name: str(p.get("kind", "")) for name, p in scenario.get("populations", {}).items()},
        roles=dict(manifest.get("roles", {})),
    )


def timed_shocks(manifest: Mapping[str, Any]) -> list[tuple[float, dict[str, Any]]]:
    """Return time (s) and scenario entry of each shock, by time.

    Shocks that react to others have the time that the run gave them; one whose time the manifest
    does not tell is left out.
    """
    shocks = manifest.get("scenario", {}).get("shocks", [])
    times = manifest.get("shock_times", [shock.get("at") for shock in shocks])
    found = [(float(at), s) for at, s in zip(times, shocks, strict=True) if at is not None]
    return sorted(found, key=itemgetter(0))


def _assets(chains: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, chain in chains.items():
        for token in chain.get("tokens", []):
            if isinstance(token, str):
                found[f"{name}/{token}"] = token
            elif token.get("asset"):
                found[f"{name}/{token['symbol']}"] = token["asset"]
    return found


def _tokens(venue: Mapping[str, Any]) -> tuple[str, ...]:
    tokens = venue.get("tokens", [])
    return tuple(f"{venue.get('chain', '')}/{t}" for t in tokens if isinstance(t, str))


def _words(shock: Mapping[str, Any]) -> str:
    return str(shock.get("do", {}).get("kind", "shock")).replace("_", " ")
