"""The sliders: every named uncertainty that a scenario follows, and what it makes of the scenario.

A slider scales or shifts the same fields as the uncertainty of that name does in a study.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.faults import entry_at, validate
from experiments.references import check_references
from experiments.scenario import scenario_model
from experiments.studies.stresses import STRESSES, places_of
from experiments.studies.variation import changed_value, put_value
from experiments.yaml_source import Source
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from experiments.scenario import Scenario


class Range(NamedTuple):
    """What a slider offers."""

    label: str
    low: float
    high: float
    step: float
    neutral: float  # leaves the scenario as it is


RANGES = {
    "shock_scale": Range("Depth of the price path, times", 0.0, 2.0, 0.05, 1.0),
    "shock_speed": Range("Speed of the price path, times", 0.25, 4.0, 0.25, 1.0),
    "volatility": Range("Volatility, times", 0.0, 4.0, 0.1, 1.0),
    "liquidity_scale": Range("Liquidity of pools, times", 0.1, 4.0, 0.1, 1.0),
    "book_scale": Range("Debts and deposits, times", 0.1, 4.0, 0.1, 1.0),
    "oracle_delay": Range("Delay of oracles, plus seconds", 0.0, 3_600.0, 60.0, 0.0),
    "liquidator_capital": Range("Capital of liquidators, times", 0.0, 4.0, 0.1, 1.0),
}


def sliders_of(scenario: Scenario) -> dict[str, Range]:
    """Return the sliders that have an effect on a scenario, by name."""
    found = {}
    for name in STRESSES:
        try:
            places_of(scenario, name)
        except InputError:
            continue
        found[name] = RANGES[name]
    return found


def with_sliders(scenario: Scenario, values: Mapping[str, float]) -> Scenario:
    """Return a scenario under the values of its sliders.

    Raises
    ------
    ScenarioError
        The values make no valid scenario.
    """
    moved = {name: value for name, value in values.items() if value != RANGES[name].neutral}
    if not moved:
        return scenario
    before = plain(scenario)
    data = copy.deepcopy(before)
    for name, value in moved.items():
        for place, how in places_of(scenario, name):
            put_value(data, place, changed_value(name, how, entry_at(data, place), value))
    where = ", ".join(f"{name}={value:g}" for name, value in moved.items())
    return as_scenario(f"{scenario.name} with {where}", data)


def plain(scenario: Scenario) -> dict[str, Any]:
    """Return a scenario as plain data, as in a file."""
    return scenario.model_dump(mode="json", by_alias=True)


def as_scenario(name: str, data: dict[str, Any]) -> Scenario:
    """Return the scenario of plain data.

    Raises
    ------
    ScenarioError
        It is none; `name` is how the message calls it.
    """
    source = Source(name, data, {})
    made = validate(source, scenario_model())
    check_references(source, made)
    return made
