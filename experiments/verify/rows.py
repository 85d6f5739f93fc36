"""Rows of the validation: what is measured, against what, with which verdict.

A row is one claim with one or more findings. A finding is a number with the band in which it has to
lie: a reference and a tolerance (closed forms), or a band that was written down before the first
run (published figures). `is_input` marks numbers that say what was put in; they earn no credit.

A new row is one function in the module of its topic (`rows_a_pools` and its like) under `@row`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

HOLDS, FAILS, OPEN, INPUT, NOT_YET, ERROR = "holds", "fails", "open", "input", "not yet", "error"
_WORST = (ERROR, FAILS, OPEN, HOLDS, INPUT)  # the verdict of a row is the first that it has
_ERRORS = 3.0  # standard errors that a tolerance must be worth
_BAND_ERRORS = 2.0  # standard errors by which a mean must be inside, or outside, a band
EXACT = 1e-9  # relative


class Finding(NamedTuple):
    """One measured number and where it has to lie.

    Attributes
    ----------
    name : what it is
    value : as measured, a mean where there are several seeds; NaN: nothing could be measured
    low, high : the band, both ends allowed; infinite where there is no bound
    reference : what theory or a publication says; NaN where only a band is known
    standard_error : of the value; 0 where there is no chance in it
    unit : of value, band and reference
    is_input : it follows from what was put in, and earns no credit
    has_reference : it is judged by its distance from the reference
    """

    name: str
    value: float
    low: float
    high: float
    reference: float = math.nan
    standard_error: float = 0.0
    unit: str = "1"
    is_input: bool = False

    @property
    def verdict(self) -> str:
        """Return whether it holds; open where chance could turn the answer."""
        if self.is_input:
            return INPUT
        if math.isnan(self.value):
            return ERROR
        is_in = self.low <= self.value <= self.high
        if self.standard_error == 0.0:
            return HOLDS if is_in else FAILS
        if not math.isfinite(self.standard_error):  # one seed
            return OPEN
        if math.isfinite(self.reference):
            tolerance = (self.high - self.low) / 2.0
            is_told = _ERRORS * self.standard_error <= tolerance
            if is_in:
                return HOLDS if is_told else OPEN
            away = abs(self.value - self.reference)
            return FAILS if away > _ERRORS * self.standard_error else OPEN
        edge = _BAND_ERRORS * self.standard_error
        if self.low <= self.value - edge and self.value + edge <= self.high:
            return HOLDS
        return FAILS if self.value + edge < self.low or self.value - edge > self.high else OPEN


def near(
    name: str,
    value: float,
    reference: float,
    tolerance: float = EXACT,
    *,
    standard_error: float = 0.0,
    unit: str = "1",
    is_absolute: bool = False,
) -> Finding:
    """Return a finding that has to be near a reference.

    Parameters
    ----------
    tolerance : share of the reference, or in its unit where `is_absolute`
    """
    width = tolerance if is_absolute else tolerance * abs(reference)
    value, low, high = float(value), reference - width, reference + width
    return Finding(name, value, low, high, reference, float(standard_error), unit)


def true(name: str, is_so: bool) -> Finding:
    """Return a finding that holds exactly when a statement is true."""
    return Finding(name, float(is_so), 1.0, 1.0, 1.0)


class Seeds(NamedTuple):
    """The seeds of a row: those of a quick look, and those of a night."""

    quick: tuple[int, ...] = ()
    full: tuple[int, ...] = ()


NO_SEEDS = Seeds()
Measure = Callable[[tuple[int, ...]], Sequence[Finding]]


@dataclass(frozen=True)
class Row:
    """One row of the validation.

    Attributes
    ----------
    name : such as A1
    title : the claim, in a sentence
    source : whose claim it is
    measure : from seeds to findings
    seeds : fixed beforehand
    group : rows of a group share worlds and are measured by one process
    missing : what would have to be built first; empty when it can be measured
    cost : processor seconds of a quick look, to start the longest first
    """

    name: str
    title: str
    source: str = ""
    measure: Measure | None = None
    seeds: Seeds = NO_SEEDS
    group: str = "closed forms"
    missing: str = ""
    cost: float = 0.1

    @property
    def section(self) -> str:
        """Return the letter of its section."""
        return self.name[0]


class Registry:
    """Rows by name, filled by the modules of topics."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def row(
        self,
        name: str,
        title: str,
        source: str = "",
        *,
        seeds: Seeds = NO_SEEDS,
        group: str = "closed forms",
        cost: float = 0.1,
    ) -> Callable[[Measure], Measure]:
        """Register a function that measures a row."""

        def add(measure: Measure) -> Measure:
            self.rows.append(Row(name, title, source, measure, seeds, group, cost=cost))
            return measure

        return add


@dataclass(frozen=True)
class Result:
    """What came of a row.

    Attributes
    ----------
    name, title, source, missing : as in `Row`
    seeds : that were run
    findings : numbers with their bands
    seconds : of processor time
    fault : why it could not be measured; empty otherwise
    """

    name: str
    title: str
    source: str
    seeds: tuple[int, ...]
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0
    missing: str = ""
    fault: str = ""

    @property
    def section(self) -> str:
        """Return the letter of its section."""
        return self.name[0]

    @property
    def verdict(self) -> str:
        """Return the worst verdict of its findings."""
        if self.missing:
            return NOT_YET
        if self.fault or not self.findings:
            return ERROR
        found = {finding.verdict for finding in self.findings}
        return next(verdict for verdict in _WORST if verdict in found)

    def as_data(self) -> dict[str, Any]:
        """Return plain data; what is not finite becomes text."""
        plain = vars(self) | {"seeds": list(self.seeds), "verdict": self.verdict}
        plain["findings"] = [_finite(finding._asdict()) for finding in self.findings]
        return plain


def result_of(data: Mapping[str, Any]) -> Result:
    """Return the result that `Result.as_data` told."""
    told = {name: value for name, value in data.items() if name != "verdict"}
    findings = tuple(
        Finding(**{name: _number(name, value) for name, value in finding.items()})
        for finding in told.pop("findings")
    )
    return Result(**told | {"seeds": tuple(told["seeds"]), "findings": findings})


_TEXTS = {"name", "unit", "is_input"}


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: repr(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def _number(name: str, value: Any) -> Any:
    return value if name in _TEXTS else float(value)


def number_of(name: str) -> tuple[str, int, str]:
    """Return what rows are sorted by: section, number, rest."""
    digits = "".join(c for c in name[1:] if c.isdigit())
    return name[0], int(digits or 0), name
