"""Scenario text: YAML read without surprises.

A `Source` is the plain data of one YAML file with the line of every value. The reader takes the
scalars of the YAML 1.2 core schema (`no` is text, `010` is ten) from PyYAML's events, and refuses
what a scenario never needs: tags, anchors, merge keys, a second document, non-finite numbers.
Events do not recurse, so hostile nesting ends at `MAX_DEPTH` whatever the length of the file.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from sim.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_BYTES = 1_000_000  # the largest shipped scenario has some ten thousand
MAX_DEPTH = 30  # keys and indices from the top to a value
MAX_DIGITS = 300  # more would not fit in a float

Place = tuple[str | int, ...]

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Source:
    """Plain data and where each value of it was written.

    Attributes
    ----------
    name : what messages call the file
    data : dict, list, str, int, float, bool and None only
    lines : line of each value, from 1, by its place; a value in a mapping has its key's line
    origins : text to show instead of `name:line`, for places that another source has set
    """

    name: str
    data: dict[str, Any]
    lines: dict[Place, int]
    origins: dict[Place, str] = field(default_factory=dict)

    def where(self, place: Place) -> str:
        """Return `name:line` of a place, or of the nearest place around it that was written."""
        origin = self.origin(place)
        return origin if isinstance(origin, str) else f"{self.name}:{origin}"

    def origin(self, place: Place) -> int | str:
        """Return the line of a place, or the text of the other source that has set it."""
        for length in range(len(place), -1, -1):
            known = place[:length]
            if known in self.origins:
                return self.origins[known]
            if known in self.lines:
                return self.lines[known]
        return 1


def read_yaml(path_or_name: str, raw: bytes) -> Source:
    """Return the data of one YAML file.

    Parameters
    ----------
    path_or_name : what messages call the file
    raw : the file's bytes, UTF-8

    Raises
    ------
    ScenarioError
        The bytes are not one plain YAML mapping; the message names the line.
    """
    reader = _Reader(raw, lambda line: f"{path_or_name}:{line}")
    first = reader.first()
    if not isinstance(first, yaml.MappingStartEvent):
        empty = first is None or (isinstance(first, yaml.ScalarEvent) and not first.value)
        found = "is empty" if empty else f"holds {_noun_of(first)}"
        raise reader.fault(
            1 if empty else first, f"the file {found}; write a mapping of names to values"
        )
    data = reader.value(first, ())
    reader.end()
    return Source(path_or_name, data, reader.lines)


def read_flow_value(text: str, origin: str, place: Place) -> Any:
    """Return one value written on a single line: a scalar, `[a, b]` or `{name: value}`.

    Parameters
    ----------
    text : what to read, by the rules of `read_yaml`
    origin : how messages begin, in place of `file:line`
    place : where the value will stand, since the limit on depth counts from the top

    Raises
    ------
    ScenarioError
        The text is not one such value.
    """
    # Undecodable bytes of a command line arrive as lone surrogates; the reader refuses them.
    reader = _Reader(text.encode("utf-8", "surrogatepass"), lambda _: origin)
    first = reader.first()
    if first is None:
        raise reader.fault(None, "no value is given; write null for none or '' for empty text")
    if isinstance(first, yaml.CollectionStartEvent) and not first.flow_style:
        raise reader.fault(
            first, "the value is not on one line; write [a, b] or {name: value}, or quote"
        )
    value = reader.value(first, place)
    reader.end()
    return value


def show_value(value: Any) -> str:
    """Return a value as messages show it: on one line, not long, in YAML's words."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class _Reader:
    """One YAML document, taken event by event."""

    def __init__(self, raw: bytes, locate: Callable[[int], str]) -> None:
        self.locate = locate
        self.lines: dict[Place, int] = {}
        self.line = 1
        self.events: Iterator[yaml.Event] = yaml.parse(self.decode(raw), Loader=LOADER)

    def fault(self, at: yaml.Event | int | None, why: str) -> ScenarioError:
        line = self.line if at is None else at if isinstance(at, int) else _line(at)
        return ScenarioError(f"{self.locate(line)}: {why}")

    def decode(self, raw: bytes) -> str:
        if len(raw) > MAX_BYTES:
            raise self.fault(1, f"{len(raw)} bytes are more than {MAX_BYTES}; shorten the file")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            why = f"byte 0x{raw[error.start]:02x} is not UTF-8; write UTF-8"
        else:
            text = text.removeprefix("\ufeff")
            if (match := _UNREADABLE.search(text)) is None:
                return text
            line = text.count("\n", 0, match.start()) + 1
            why = f"character U+{ord(match[0]):04X} is not allowed in YAML; remove it"
        raise self.fault(line, why)

    def next(self) -> yaml.Event:
        try:
            event = next(self.events)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line, why = mark.line + 1 if mark else self.line, _syntax_fault(error)
        except (ValueError, OverflowError):  # the Python scanner: an escape or version too large
            line, why = self.line, "a number in an escape or directive is too large; correct it"
        else:
            self.line = _line(event)
            return event
        raise self.fault(line, why)

    def first(self) -> yaml.Event | None:
        """Return the event that opens the document's value, or None when there is no document."""
        self.next()  # the start of the stream
        return None if isinstance(self.next(), yaml.StreamEndEvent) else self.next()

    def end(self) -> None:
        self.next()  # the end of the document
        if not isinstance(event := self.next(), yaml.StreamEndEvent):
            raise self.fault(event, "a second document begins; keep one document")

    def value(self, event: yaml.Event, place: Place) -> Any:
        self.refuse_extras(event)
        if len(place) > MAX_DEPTH:
            raise self.fault(
                event, f"a value is nested deeper than {MAX_DEPTH}; nest it less deeply"
            )
        self.lines.setdefault(place, _line(event))
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(place)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(place)
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
            return self.plain(event)
        return self.text(event)

    def mapping(self, place: Place) -> dict[str, Any]:
        table: dict[str, Any] = {}
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            key = self.key(event)
            at = (*place, key)
            if key in table:
                before = self.lines[at]
                why = f"key {show_value(key)} is given twice, first on line {before}; keep one"
                raise self.fault(event, why)
            self.lines[at] = _line(event)
            table[key] = self.value(self.next(), at)
        return table

    def sequence(self, place: Place) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            items.append(self.value(event, (*place, len(items))))
        return items

    def key(self, event: yaml.Event) -> str:
        self.refuse_extras(event)
        if not isinstance(event, yaml.ScalarEvent) or not event.value:
            raise self.fault(event, "a key is not a name; write name: value")
        if event.value == "<<":
            raise self.fault(event, "merge keys are not read; write the keys out")
        return self.text(event)

    def refuse_extras(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self.fault(event, "anchors and aliases are not read; write the value out")
        if (tag := getattr(event, "tag", None)) is not None:
            raise self.fault(event, f"tag {show_value(tag)} is not read; leave it out")

    def text(self, event: Any) -> str:
        text: str = event.value
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise self.fault(
                event, "half a surrogate pair is not a character; write the character itself"
            )
        return text

    def plain(self, event: Any) -> str | float | bool | None:
        text: str = event.value
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INTEGER.fullmatch(text):
            if len(text) > MAX_DIGITS:
                why = f"a number has {len(text)} digits; write at most {MAX_DIGITS}"
                raise self.fault(event, why)
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        number = float(text) if _FLOAT.fullmatch(text) else None
        if _NOT_FINITE.fullmatch(text) or (number is not None and not math.isfinite(number)):
            raise self.fault(
                event, f"{show_value(text)} is not a finite number; write a finite one"
            )
        return text if number is None else number


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return mark.line + 1 if mark is not None else 1


def _noun_of(event: yaml.Event | None) -> str:
    if isinstance(event, yaml.AliasEvent):
        return "an alias"
    return "a list" if isinstance(event, yaml.SequenceStartEvent) else "a single value"


def _syntax_fault(error: yaml.YAMLError) -> str:
    problem = str(getattr(error, "problem", None) or "the text breaks off")[:120]
    begun = getattr(error, "context_mark", None)
    if context := getattr(error, "context", None):
        problem += f" {context}" + (f" that began on line {begun.line + 1}" if begun else "")
    cure = "check indentation, colons, quotes and brackets"
    if "cannot start any token" in problem:
        cure = "indent with spaces, not tabs, and quote text that begins with @, ` or %"
    return f"not YAML: {problem}; {cure}"
