"""Values set on the command line: `--set path=value`, laid over a scenario before it is checked.

A path is names joined by dots with `[i]` or `.i` for an item of a list, counted from 0:
`venues.eth-dai.fee`, `chains[1].block_time`. The value is one YAML value on a line, read as in a
scenario file. What an override sets keeps the override's text as its origin, so a fault in it is
reported as `--set path=value: ...` and not at a line of the file.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.faults import dotted, entry_at, nearest, schema_at
from experiments.yaml_source import MAX_DEPTH, Place, Source, read_flow_value, show_value
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

_PATH = re.compile(r"[^\s.\[\]]+(?:\.[^\s.\[\]]+|\[[0-9]{1,9}\])*")
_STEP = re.compile(r"\[([0-9]+)\]|([^.\[\]]+)")


class _Override(NamedTuple):
    """One `--set`: how messages call it, the steps of its path, the text of its value."""

    origin: str
    steps: tuple[str | int, ...]  # an int was written [i]; a name of digits may be an index too
    text: str


def apply_overrides(source: Source, overrides: Sequence[str], model: type[BaseModel]) -> Source:
    """Return a source with values set in it; the given one is not changed.

    Keys that are missing are made; whether they are allowed is for `validate` to say afterwards.
    Only a missing name among free names (an entry of `venues`, say) must be given whole, since a
    path through it is nearly always a misspelling.

    Parameters
    ----------
    source : the scenario file
    overrides : `path=value` texts; later ones win
    model : what the result will be validated by

    Raises
    ------
    InputError
        An override is malformed, or its path does not lead through the scenario.
    """
    data, lines = copy.deepcopy(source.data), dict(source.lines)
    result = Source(source.name, data, lines, dict(source.origins))
    for text in overrides:
        _apply(result, _parse(text), model)
    return result


def steps_of(path: str) -> tuple[str | int, ...]:
    """Return the steps of a path such as `chains[1].blocks`; an int was written [i].

    Raises
    ------
    InputError
        The path is malformed.
    """
    if not (_PATH.fullmatch(path) and path.isprintable()):
        raise InputError(
            f"path {path[:80]!a} is malformed; join names by dots, and write [i] for item i"
        )
    return tuple(int(index) if index else name for index, name in _STEP.findall(path))


def _parse(text: str) -> _Override:
    path, equals, value = text.partition("=")
    path = path.strip()
    origin = f"--set {path}={value if len(value) <= 60 else value[:57] + '...'}"
    if not origin.isprintable():
        origin = f"--set {origin[6:]!a}"
    if not equals:
        shown = origin.removesuffix("=")
        raise InputError(f"{shown}: there is no '='; write path=value, such as horizon=6h")
    if not path:
        raise InputError(f"{origin}: the path is empty; write path=value, such as horizon=6h")
    if not (_PATH.fullmatch(path) and path.isprintable()):
        raise InputError(
            f"{origin}: the path is malformed; join names by dots and write [i] for item i of a "
            "list, such as chains[1].block_time=2"
        )
    if len(_STEP.findall(path)) > MAX_DEPTH:
        raise InputError(f"{origin}: the path has more than {MAX_DEPTH} steps; shorten it")
    return _Override(origin, steps_of(path), value)


def _apply(source: Source, override: _Override, model: type[BaseModel]) -> None:
    """Set one value in place, with its origin."""
    here: Any = source.data
    place: Place = ()
    created: list[Place] = []
    for step in override.steps[:-1]:
        place = (*place, _entry(here, step, place, override))
        if isinstance(here, dict) and here.get(str(place[-1])) is None:
            if place[-1] not in here:
                _check_creatable(source, place, override, model)
            here[place[-1]] = {}
            created.append(place)
        here = here[place[-1]]
    place = (*place, _entry(here, override.steps[-1], place, override))
    here[place[-1]] = read_flow_value(override.text, override.origin, place)
    _forget(source, place)
    source.origins.update(dict.fromkeys([*created, place], override.origin))


def _entry(here: Any, step: str | int, place: Place, override: _Override) -> str | int:
    """Return the key or index that a step means in what it is taken from."""
    name = dotted(place) or "the scenario"
    if isinstance(here, list):
        if isinstance(step, str) and not (step.isascii() and step.isdigit()):
            raise InputError(f"{override.origin}: {name} is a list; write {name}[i], not '{step}'")
        if len(str(step)) > 9 or int(step) >= len(here):
            allowed = f"0 to {len(here) - 1}" if here else "none, for it is empty"
            raise InputError(
                f"{override.origin}: {name} has no item {str(step)[:20]}; allowed: {allowed}"
            )
        return int(step)
    if not isinstance(here, dict):
        raise InputError(
            f"{override.origin}: {name} is {show_value(here)}, which has nothing inside"
        )
    if isinstance(step, int):
        known = nearest(str(step), here)
        raise InputError(f"{override.origin}: {name} is a mapping, not a list{known}")
    return step


def _check_creatable(
    source: Source, place: Place, override: _Override, model: type[BaseModel]
) -> None:
    """Refuse to make an entry among free names only because a path leads through it."""
    around = schema_at(model, source.data, place[:-1])
    if isinstance(around.get("additionalProperties"), dict) or "patternProperties" in around:
        name, given = str(place[-1]), entry_at(source.data, place[:-1])
        raise InputError(
            f"{override.origin}: {dotted(place[:-1]) or 'the scenario'} has no '{name}'"
            f"{nearest(name, given)}; "
            f"to add it, give it whole: --set '{dotted(place)}={{...}}'"
        )


def _forget(source: Source, place: Place) -> None:
    """Drop what is known of where a value, and all inside it, was written."""
    for table in (source.lines, source.origins):
        for inside in [known for known in table if known[: len(place)] == place]:
            del table[inside]
