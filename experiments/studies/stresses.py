"""Named uncertainties: one number that scales every field of a scenario that says it follows.

A field of a mechanism or a population follows a stress when its JSON schema carries
`{"stress": {NAME: "multiply" | "add"}}`; a new kind joins by marking its fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from experiments.scenario import Scenario

Place = tuple[str | int, ...]

STRESSES = {
    "shock_scale": "depth of a known price path, in logarithm; times",
    "shock_speed": "speed of a known price path; times",
    "volatility": "volatility of drawn price paths; times",
    "liquidity_scale": "value of pools and of their liquidity providers; times",
    "book_scale": "debts of borrowers and deposits of suppliers; times",
    "oracle_delay": "delay of every reported oracle price; plus seconds",
    "liquidator_capital": "capital of liquidators; times",
}


def places_of(scenario: Scenario, stress: str) -> list[tuple[Place, str]]:
    """Return where a scenario follows a stress, and how.

    Raises
    ------
    InputError
        The stress has no effect on this scenario; says why.
    """
    found = list(_followers(scenario, (), stress))
    if found:
        return found
    if stress == "volatility":
        why = "every price path of this scenario is pinned to known prices"
        raise InputError(f"volatility has nothing to scale: {why}; use shock_scale or shock_speed")
    if stress in ("shock_scale", "shock_speed"):
        why = "no price path of this scenario is pinned to known prices"
        raise InputError(f"{stress} has nothing to scale: {why}; use volatility")
    raise InputError(f"{stress} has nothing to change in this scenario")


def _followers(value: Any, place: Place, stress: str) -> Iterator[tuple[Place, str]]:
    """Yield the place of every field that follows a stress, in the order of the scenario."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            extra = field.json_schema_extra
            marks = extra.get("stress") if isinstance(extra, dict) else None
            inner = getattr(value, name)
            if isinstance(marks, dict) and stress in marks and inner is not None:
                yield (*place, name), str(marks[stress])
            yield from _followers(inner, (*place, name), stress)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _followers(inner, (*place, name), stress)
    elif isinstance(value, list | tuple):
        for k, inner in enumerate(value):
            yield from _followers(inner, (*place, k), stress)
