"""Scenarios as runs: what the values of the factors make of the base scenario.

Values are laid over the plain data of the validated base scenario, which is then validated again,
so that a value out of bounds is refused in the words of the scenario.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from experiments.faults import entry_at, nearest, validate
from experiments.overrides import steps_of
from experiments.references import check_references
from experiments.scenario import Scenario, load_scenario, scenario_model
from experiments.studies.stresses import STRESSES, places_of
from experiments.yaml_source import Source
from sim.errors import InputError, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from experiments.studies.study import Factor, Study

Place = tuple[str | int, ...]
Target = tuple[Place, str]  # where, and how: set, multiply, add
_THRESHOLD = "liquidation_threshold"


class Variation:
    """The base scenario of a study, and how its factors change it.

    Parameters
    ----------
    study : from `load_study`

    Raises
    ------
    ScenarioError
        The scenario is wrong, or a factor names a path that it does not have.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        overrides = [f"{path}={_flow(value)}" for path, value in study.overrides.items()]
        try:
            self.base = load_scenario(study.scenario_name(), overrides, until=study.until)
        except InputError as error:
            raise study.fault(("scenario",), str(error)) from None
        self.data: dict[str, Any] = self.base.model_dump(mode="json", by_alias=True)
        self.targets = {name: self._targets(name) for name in study.factors}
        self._is_fixed = {
            name: getattr(factor, "book", "") == "positions_fixed"
            for name, factor in study.factors.items()
        }

    def _targets(self, name: str) -> list[Target]:
        factor = self.study.factors[name]
        family = "levers" if name in self.study.levers else "uncertainties"
        if factor.path is None:
            if family == "levers" or name not in STRESSES:
                known = nearest(name, STRESSES)
                raise self.study.fault(
                    (family, name), f"has no path, and is no named uncertainty{known}"
                )
            try:
                return list(places_of(self.base, name))
            except InputError as error:
                raise self.study.fault((family, name), str(error)) from None
        paths = [factor.path] if isinstance(factor.path, str) else factor.path
        places = [self._place(family, name, path) for path in paths]
        for path, place in zip(paths, places, strict=True):
            if factor.apply == "multiply" and entry_at(self.data, place) == 0.0:
                why = f"path {path!r} is 0 in the scenario, and stays so whatever it is times"
                raise self.study.fault((family, name, "path"), f"{why}; use apply: set or add")
        return [(place, factor.apply) for place in places]

    def _place(self, family: str, name: str, path: str) -> Place:
        """Return the place that a path names; refuse one that the scenario does not have."""
        here: Any = self.data
        place: Place = ()
        try:
            steps = steps_of(path)
        except InputError as error:
            raise self.study.fault((family, name, "path"), str(error)) from None
        for step in steps:
            known: Any = range(len(here)) if isinstance(here, list) else here
            key: Any = int(step) if isinstance(here, list) and str(step).isdigit() else step
            if not isinstance(here, dict | list) or key not in known:
                inside = ".".join(map(str, place)) or "the scenario"
                has = nearest(str(step), map(str, known)) if isinstance(here, dict) else ""
                why = f"path {path!r}: {inside} has no '{step}'{has}"
                raise self.study.fault((family, name, "path"), why)
            here, place = here[key], (*place, key)
        return place

    def scenario(self, values: Mapping[str, Any]) -> Scenario:
        """Return the scenario under the given values of the factors.

        Raises
        ------
        ScenarioError
            The values make no valid scenario.
        """
        data = copy.deepcopy(self.data)
        for name, value in values.items():
            for place, how in self.targets[name]:
                before = entry_at(self.data, place)
                _put(data, place, _applied(name, how, before, value))
                if self._is_fixed.get(name) and place[-1] == _THRESHOLD:
                    _keep_positions(data, place, before)
        where = ", ".join(f"{name}={value}" for name, value in values.items())
        source = Source(f"{self.base.name} with {where or 'no change'}", data, {})
        made = validate(source, scenario_model())
        check_references(source, made)
        return made

    def check(self, values: Mapping[str, Any]) -> None:
        """Refuse values that make no valid scenario, at the study's line of the factor."""
        try:
            self.scenario(values)
        except ScenarioError as error:
            raise self.study.fault(("design",), str(error)) from None


def _flow(value: Any) -> str:
    """Return a value as one line of YAML."""
    import json

    return json.dumps(value)


def _put(data: Any, place: Place, value: Any) -> None:
    for step in place[:-1]:
        data = data[step]
    data[place[-1]] = value


def _applied(name: str, how: str, before: Any, value: Any) -> Any:
    if how == "set":
        return value
    if isinstance(before, list):
        return [_applied(name, how, part, value) for part in before]
    if isinstance(before, bool) or not isinstance(before, int | float):
        raise InputError(f"{name}: {before!r} is no number; apply: set replaces it")
    return before * value if how == "multiply" else before + value


def _keep_positions(data: dict[str, Any], place: Place, before: float) -> None:
    """Let borrowers keep their positions under a new liquidation threshold.

    Health factors are proportional to the threshold, so the book of day one has those of the old
    one times new / old.
    """
    market, symbol = place[1], place[3]
    ratio = entry_at(data, place) / before
    for people in data["populations"].values():
        owns = people.get("market") == market and people.get("collateral") == symbol
        if owns and "health_quantiles" in people:
            people["health_quantiles"] = [
                [quantile, health * ratio] for quantile, health in people["health_quantiles"]
            ]


def factor_values(factor: Factor) -> list[Any]:
    """Return the values of a factor on a grid."""
    if factor.values is not None:
        return list(factor.values)
    low, high = factor.range or (0.0, 0.0)
    n = factor.levels or 2
    return [low + (high - low) * k / (n - 1) for k in range(n)]
