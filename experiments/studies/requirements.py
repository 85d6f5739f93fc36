"""Requirements: a small language for what has to hold, parsed without evaluating anything.

    P(bad_debt_share_peak > 0.001) <= 0.01
    mean(lp_net_return) >= 0
    quantile(liquidation_delay_p50, 0.95) <= 10m

A number may be in percent (`0.1%`) or a duration (`10m`, in seconds).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sim.errors import InputError
from sim.units import parse_duration

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_TOKEN = re.compile(
    rf"\s*(?:(?P<number>{_NUMBER})(?P<unit>%|[a-z]+)?|(?P<name>[A-Za-z_]\w*)|"
    r"(?P<sign><=|>=|<|>)|(?P<mark>[(),]))"
)
EXAMPLE = (
    "write it as P(bad_debt_share_peak > 0.001) <= 0.01, mean(x) >= 0 or quantile(x, 0.95) <= 60"
)
_LONGEST = 400


class Requirement(NamedTuple):
    """A statistic of one outcome, and the bound it has to keep."""

    text: str
    statistic: str  # "probability", "mean" or "quantile"
    outcome: str
    sign: str  # of the bound: <, <=, > or >=
    bound: float
    event_sign: str = ""  # probability: of the event, outcome <event_sign> threshold
    threshold: float = 0.0
    level: float = 0.5  # quantile

    @property
    def is_upper(self) -> bool:
        """Whether the bound is from above."""
        return self.sign in ("<", "<=")


def parse_requirement(text: str) -> Requirement:
    """Return a requirement.

    Raises
    ------
    InputError
        The text is none; says where it goes wrong and shows how to write one.
    """
    return _Parser(text).requirement()


class _Parser:
    """One requirement, taken token by token."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        if len(text) > _LONGEST:
            raise self.fault(f"is longer than {_LONGEST} characters")

    def fault(self, why: str) -> InputError:
        return InputError(f"requirement {self.text[:80]!r} {why}; {EXAMPLE}")

    def take(self, kind: str, allowed: str) -> str:
        found = _TOKEN.match(self.text, self.at)
        if found is None or found[kind] is None:
            rest = self.text[self.at : self.at + 20].strip()
            where = f"has {rest!r} at {self.at + 1}" if rest else "breaks off"
            raise self.fault(f"{where}, where {allowed} belongs")
        if kind == "mark" and found[kind] != allowed:
            raise self.fault(f"has {found[kind]!r} at {found.start(kind) + 1}, not {allowed!r}")
        self.at = found.end()
        self.unit = found["unit"] or ""
        return found[kind]

    def number(self, allowed: str) -> float:
        value = float(self.take("number", allowed))
        if self.unit == "%":
            return value / 100.0
        if self.unit:
            try:
                return parse_duration(f"{value}{self.unit}")
            except InputError:
                raise self.fault(f"has the unit {self.unit!r}; allowed: %, s, m, h, d") from None
        return value

    def requirement(self) -> Requirement:
        word = self.take("name", "P, mean or quantile")
        if word not in ("P", "mean", "quantile"):
            raise self.fault(f"begins with {word!r}")
        self.take("mark", "(")
        outcome = self.take("name", "the name of an outcome")
        event, threshold, level = "", 0.0, 0.5
        if word == "P":
            event, threshold = self.take("sign", "<, <=, > or >="), self.number("a number")
        elif word == "quantile":
            self.take("mark", ",")
            level = self.number("a level between 0 and 1")
            if not 0.0 < level < 1.0:
                raise self.fault(f"has the level {level:g}, which is not between 0 and 1")
        self.take("mark", ")")
        sign, bound = self.take("sign", "<, <=, > or >="), self.number("a number")
        if self.text[self.at :].strip():
            raise self.fault(f"goes on with {self.text[self.at :].strip()[:20]!r}")
        if word == "P" and not 0.0 <= bound <= 1.0:
            raise self.fault(f"bounds a probability by {bound:g}, which is not between 0 and 1")
        statistic = {"P": "probability"}.get(word, word)
        return Requirement(
            self.text.strip(), statistic, outcome, sign, bound, event, threshold, level
        )
