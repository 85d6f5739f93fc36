"""Faults of a scenario: its data checked against a model, each fault told at its line.

`validate` gives the data of a `Source` to a pydantic model and turns what pydantic finds into one
message with a line for each fault: `file:line: dotted.path: value is not what is allowed (unit)`.
Units, keys and choices come from the model's JSON Schema, the same one that users can print.
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from experiments.yaml_source import MAX_BYTES, Place, Source, show_value
from sim.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MAX_FAULTS = 100  # lines in one message
MAX_NAMES = 30  # known names in one line

Schema = dict[str, Any]
ModelT = TypeVar("ModelT", bound=BaseModel)


def validate(source: Source, model: type[ModelT]) -> ModelT:
    """Return the model of a source, by pydantic's strict JSON rules.

    Parameters
    ----------
    source : what `read_yaml` returned
    model : its fields may name a unit: `Field(json_schema_extra={"unit": "seconds"})`

    Raises
    ------
    ScenarioError
        The data does not fit; the message has one line for each fault, in the file's order.
    """
    try:
        return model.model_validate_json(json.dumps(source.data), strict=True)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
    raise ScenarioError(_report(source, model.model_json_schema(), errors))


def fault(source: Source, place: Place, why: str) -> ScenarioError:
    """Return the error for a fault at a place, for checks that a model cannot make.

    Parameters
    ----------
    source : where the value was written
    place : keys and indices from the top to the value
    why : the value, what is allowed and what to do
    """
    return ScenarioError(_placed(source, place, why))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: the nearest known one, then them all."""
    names = list(known)
    near = _near(name, names)
    shown = ", ".join(names[:MAX_NAMES]) or "none"
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"{near} known: {shown}{more}" if near else f"; known: {shown}{more}"


def dotted(place: Place) -> str:
    """Return a place as it is written: `venues.eth-dai.fee`, `chains[1].block_time`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{_name(step)}" for step in place)
    return "".join(steps).removeprefix(".")


def entry_at(data: Any, place: Place) -> Any:
    """Return what the data holds at a place; None when it holds nothing there."""
    for step in place:
        data = _entry(data, step)
    return data


def schema_at(model: type[BaseModel], data: Any, place: Place) -> Schema:
    """Return the JSON Schema of what stands, or would stand, at a place of the data."""
    root = model.model_json_schema()
    part = _resolve(root, root)
    for step in place:
        part = _resolve(root, _child(_chosen(root, part, data), step))
        data = _entry(data, step)
    return _chosen(root, part, data)


def _placed(source: Source, place: Place, why: str) -> str:
    return ": ".join(part for part in (source.where(place), dotted(place), why) if part)


def _name(step: str) -> str:
    plain = step.isprintable() and not re.search(r"[\s.\[\]'\"]", step)
    return step if plain and len(step) <= 60 else show_value(step)


def _near(name: str, names: Iterable[str]) -> str:
    folded = {known.casefold(): known for known in names}
    close = get_close_matches(name[:100].casefold(), folded, 1)
    return f"; did you mean '{folded[close[0]]}'?" if close else ""


class _Spot(NamedTuple):
    """Where an error of pydantic's stands: in the file and in the schema."""

    place: Place
    part: Schema
    data: Any
    unit: str
    around: Schema  # the schema of the mapping or list that holds the value
    union: Place | None  # the outermost union without a discriminator on the way
    fits: bool  # false below a union's member of another shape than the data


def _report(source: Source, schema: Schema, errors: Sequence[Any]) -> str:
    # No file has more lines than bytes: what was set from elsewhere comes after all of them.
    later = {origin: rank for rank, origin in enumerate(source.origins.values(), MAX_BYTES)}

    def rank(spot: _Spot) -> int:
        origin = source.origin(spot.place)
        return origin if isinstance(origin, int) else later[origin]

    spots = [(error, _spot(schema, source.data, error["loc"])) for error in errors]
    fitting = {spot.union for _, spot in spots if spot.fits}
    spots = [pair for pair in spots if pair[1].fits or pair[1].union not in fitting]
    spots.sort(key=lambda pair: rank(pair[1]))
    texts = [_placed(source, place, why) for place, why in _sentences(spots[:MAX_FAULTS])]
    if len(spots) > MAX_FAULTS:
        texts.append(f"{source.name}: {len(spots) - MAX_FAULTS} more faults; correct these first")
    return "\n".join(dict.fromkeys(texts))


def _sentences(spots: Sequence[tuple[Any, _Spot]]) -> Iterator[tuple[Place, str]]:
    """Yield place and sentence of each error; a union's members at one place share a sentence."""
    shared: dict[Place, list[str]] = {}
    for error, spot in spots:
        if spot.union == spot.place and (allowed := _allowed(error, spot)):
            shared.setdefault(spot.place, []).append(allowed)
    for error, spot in spots:
        if (complete := _complete(error, spot)) is not None:
            yield complete
        elif allowed := " or ".join(dict.fromkeys(shared.get(spot.place, []))):
            yield spot.place, f"{show_value(spot.data)} is not {allowed}{spot.unit}"
        elif allowed := _allowed(error, spot):
            near = _near(spot.data, _texts(spot.part)) if isinstance(spot.data, str) else ""
            yield spot.place, f"{show_value(spot.data)} is not {allowed}{spot.unit}{near}"
        else:
            yield spot.place, f"{show_value(spot.data)}: {error['msg']}{spot.unit}"


def _complete(error: Any, spot: _Spot) -> tuple[Place, str] | None:
    """Return place and sentence of an error that is not of the form 'value is not allowed'."""
    kind, context, place = error["type"], error.get("ctx", {}), spot.place
    if kind in ("value_error", "assertion_error"):
        return place, str(context["error"])
    if kind == "missing":
        return place, f"missing; give {_expected(spot.part) or 'a value'}{spot.unit}"
    if kind == "extra_forbidden":
        return place, f"unknown key{nearest(str(place[-1]), spot.around.get('properties', {}))}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _tag_fault(spot, context)
    if kind in ("too_short", "too_long"):
        bound, word = ("min_length", "least") if kind == "too_short" else ("max_length", "most")
        count = len(spot.data) if isinstance(spot.data, list | dict) else context["actual_length"]
        return place, f"the number of entries is {count}; give at {word} {context[bound]}"
    if "Input should" not in error["msg"] and not _PHRASES.get(kind):
        return place, str(error["msg"])  # a validator's own error type
    return None


def _tag_fault(spot: _Spot, context: Mapping[str, Any]) -> tuple[Place, str]:
    union = spot.part.get("discriminator", {})
    name = union.get("propertyName") or context["discriminator"].strip("'")
    choices = list(union.get("mapping", {}))
    listed = _one_of(choices) if choices else str(context.get("expected_tags", "the known ones"))
    if not isinstance(spot.data, dict) or name not in spot.data:
        return (*spot.place, name), f"missing; give {listed}"
    given = spot.data[name]
    near = _near(given, choices) if isinstance(given, str) else ""
    return (*spot.place, name), f"{show_value(given)} is not {listed}{near}"


_PHRASES = {
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "a finite number",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
}
_BOUNDS = (
    ("exclusiveMinimum", "greater than"),
    ("minimum", "at least"),
    ("exclusiveMaximum", "less than"),
    ("maximum", "at most"),
    ("multipleOf", "a multiple of"),
)
_NOUNS = {
    "number": "a number",
    "integer": "a whole number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}


def _allowed(error: Any, spot: _Spot) -> str:
    """Return what may stand where the error is, to follow the words 'is not'."""
    kind = error["type"]
    if kind in _PHRASES:
        numeric = kind.startswith(("greater", "less", "multiple"))
        return (numeric and _bounds(spot.part)) or _PHRASES[kind].format(**error.get("ctx", {}))
    if kind.endswith(("_type", "_parsing")) or kind in ("literal_error", "enum"):
        expected = _expected(spot.part)
        if expected:
            return expected
    found = re.match(r"Input should be (.*)", str(error["msg"]), re.DOTALL)
    return found[1] if found else ""


def _expected(part: Schema) -> str:
    """Return a schema in words: `a number greater than 0`, `one of 'fixed', 'poisson'`."""
    if choices := part.get("enum", [part["const"]] if "const" in part else []):
        return _one_of(choices)
    if "discriminator" in part:
        union = part["discriminator"]
        return f"a mapping whose '{union['propertyName']}' is {_one_of(union.get('mapping', ()))}"
    if options := part.get("anyOf"):
        return " or ".join(dict.fromkeys(filter(None, map(_expected, options))))
    if part.get("properties"):
        return f"a mapping with the keys {', '.join(part['properties'])}"
    if part.get("format") == "date-time":
        return "a time such as 2020-03-12T00:00:00Z"
    noun = _NOUNS.get(str(part.get("type")), "")
    return f"{noun} {_bounds(part)}".strip()


def _bounds(part: Schema) -> str:
    return " and ".join(f"{word} {show_value(part[key])}" for key, word in _BOUNDS if key in part)


def _one_of(choices: Iterable[Any]) -> str:
    shown = [show_value(choice) for choice in choices]
    return shown[0] if len(shown) == 1 else f"one of {', '.join(shown)}"


def _texts(part: Schema) -> list[str]:
    return [choice for choice in part.get("enum", ()) if isinstance(choice, str)]


def _resolve(root: Schema, part: Schema) -> Schema:
    """Return a schema behind references and 'or null'; what stands beside those is kept."""
    while True:
        options = part.get("anyOf") or part.get("allOf") or ()
        options = [option for option in options if option.get("type") != "null"]
        if "$ref" in part:
            target = root["$defs"][part["$ref"].rpartition("/")[2]]
        elif len(options) == 1:
            target = options[0]
        else:
            return part
        beside = {key: part[key] for key in part if key not in ("$ref", "anyOf", "allOf")}
        part = {**target, **beside}


def _chosen(root: Schema, part: Schema, data: Any) -> Schema:
    """Return the member that the data's own discriminator picks, or the schema itself."""
    union = part.get("discriminator", {})
    tag = data.get(union.get("propertyName")) if isinstance(data, dict) else None
    chosen = union.get("mapping", {}).get(tag) if isinstance(tag, str) else None
    return _resolve(root, {"$ref": chosen}) if chosen else part


def _child(part: Schema, step: str | int) -> Schema:
    """Return the schema of an entry of a mapping or list; empty when it is not described."""
    patterns = list(part.get("patternProperties", {}).values())
    if step in part.get("properties", {}):
        found = part["properties"][step]
    elif isinstance(step, int):
        fixed = part.get("prefixItems", [])
        found = fixed[step] if step < len(fixed) else part.get("items")
    else:
        found = patterns[0] if patterns else part.get("additionalProperties")
    return found if isinstance(found, dict) else {}


def _spot(root: Schema, data: Any, loc: Sequence[str | int]) -> _Spot:
    """Follow pydantic's location through schema and data together."""
    spot = _Spot((), _resolve(root, root), data, "", {}, None, fits=True)
    for step in loc:
        spot = _next_spot(root, spot, step)
    return spot


def _next_spot(root: Schema, spot: _Spot, step: str | int) -> _Spot:
    part = spot.part
    if step == "[key]":  # the fault is in the last key, not in its value
        return spot._replace(part={}, data=spot.place[-1], unit="")
    if "discriminator" in part:  # pydantic names the member chosen; the file has no such step
        target = part["discriminator"].get("mapping", {}).get(str(step))
        return spot._replace(part=_resolve(root, {"$ref": target}) if target else {})
    if options := part.get("anyOf") or part.get("oneOf"):  # likewise the member tried
        member = _member(root, options, str(step))
        fits = spot.fits and _has_shape(member, spot.data)
        union = spot.place if spot.union is None else spot.union
        return spot._replace(part=member, union=union, fits=fits)
    child = _resolve(root, _child(part, step))
    inherited = "" if step in part.get("properties", {}) else spot.unit
    unit = f" ({child['unit']})" if "unit" in child else inherited
    data = _entry(spot.data, step)
    return _Spot((*spot.place, step), child, data, unit, part, spot.union, spot.fits)


def _entry(data: Any, step: str | int) -> Any:
    """Return what the data holds at a key or index; None when it holds nothing there."""
    if isinstance(data, dict):
        return data.get(step)
    if isinstance(data, list) and isinstance(step, int) and step < len(data):
        return data[step]
    return None


_LABELS = (  # how pydantic calls a member of a union, and that member's type in the schema
    ("list[", "array"),
    ("tuple[", "array"),
    ("dict[", "object"),
    ("float", "number"),
    ("int", "integer"),
    ("bool", "boolean"),
    ("str", "string"),
)


def _member(root: Schema, options: Sequence[Schema], label: str) -> Schema:
    for option in options:
        if option.get("$ref", "").rpartition("/")[2] == label:
            return _resolve(root, option)
    resolved = [_resolve(root, option) for option in options]
    if label.startswith("literal["):
        return next((option for option in resolved if {"const", "enum"} & set(option)), {})
    kind = next((kind for begin, kind in _LABELS if begin in label), None)
    return next((option for option in resolved if option.get("type") == kind), {})


def _has_shape(part: Schema, data: Any) -> bool:
    if isinstance(data, dict | list):
        return part.get("type") == ("object" if isinstance(data, dict) else "array")
    return True
