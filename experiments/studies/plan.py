"""Plans: the list of runs of a study, each with an id that says all that decides its outcome."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.studies.design import design_points, drawn_values, n_points, replication_seeds
from experiments.studies.requirements import parse_requirement
from experiments.studies.variation import Variation, factor_values
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from experiments.studies.requirements import Requirement
    from experiments.studies.study import Study

_ALL_CHECKED = 100  # design points; more take too long
_LAYERS = ("sim", "agents", "experiments", "analysis")


@functools.cache
def code_version() -> str:
    """Return the hash of every source file that decides an outcome."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for file in sorted(p for layer in _LAYERS for p in (root / layer).rglob("*.py")):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class RunSpec:
    """One run of a study."""

    run_id: str
    point: int  # row of the design
    replication: int
    seed: int
    factors: dict[str, Any]  # value of each, by name


class Plan:
    """All runs that a study asks for.

    Parameters
    ----------
    study : from `load_study`

    Raises
    ------
    ScenarioError
        A factor, an outcome or a requirement does not fit the scenario.
    InputError
        The study asks for more runs than its budget allows.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.n_points = n_points(study)
        self.n_runs = self.n_points * study.replications
        if self.n_runs > study.budget.runs:
            raise study.fault(
                ("budget", "runs"),
                f"{self.n_points:,} design points x {study.replications:,} replications are "
                f"{self.n_runs:,} runs; the budget is {study.budget.runs:,}: raise it, or ask for "
                "fewer",
            )
        self.variation = Variation(study)
        self.outcomes = _outcomes(study)
        self.points = design_points(study)
        self._check_values()

    def _check_values(self) -> None:
        """Refuse values out of bounds.

        Of a large design that is every value, the other factors as in the first point.
        """
        if len(self.points) <= _ALL_CHECKED:
            for point in self.points:
                self.variation.check(point)
            return
        first = self.points[0]
        self.variation.check(first)
        for name, factor in self.study.designed.items():
            listed = [point[name] for point in self.points]
            values = listed if self.study.design.kind == "list" else factor_values(factor)
            for value in dict.fromkeys(values):
                self.variation.check({**first, name: value})

    @functools.cached_property
    def identity(self) -> str:
        """Return the hash of what all runs share: base scenario, outcomes and code version."""
        return _digest([self.variation.data, sorted(self.outcomes), code_version()])

    @functools.cached_property
    def about(self) -> dict[str, Any]:
        """Return what the data set is of, for `Store.identify`."""
        return {
            "study": self.study.name,
            "identity": self.identity,
            "scenario": self.variation.data,
            "outcomes": list(self.outcomes),
            "code_version": code_version(),
        }

    def schema(self) -> pa.Schema:
        """Return the columns of the data set."""
        from experiments.studies.store import schema_of

        factors: dict[str, list[Any]] = {
            name: [point[name] for point in self.points] for name in self.study.designed
        }
        factors |= {name: [0.0] for name in self.study.drawn}
        return schema_of({name: factors[name] for name in self.study.factors}, self.outcomes)

    def run_id(self, values: dict[str, Any], seed: int) -> str:
        """Return the hash of all that decides the outcome of a run."""
        laid = [
            [name, self.variation.targets[name], getattr(self.study.factors[name], "book", ""), v]
            for name, v in sorted(values.items())
        ]
        return _digest([self.identity, laid, seed])[:32]

    def runs(self, counts: Mapping[int, int] | None = None) -> Iterator[RunSpec]:
        """Yield the runs, replication by replication.

        Parameters
        ----------
        counts : replications of each design point; the study's, of all points, when left out
        """
        if counts is None:
            counts = dict.fromkeys(range(len(self.points)), self.study.replications)
        n = max(counts.values(), default=0)
        seeds = replication_seeds(self.study, n)
        drawn = drawn_values(self.study, n)
        for r in range(n):
            own = {name: float(column[r]) for name, column in drawn.items()}
            for k, point in enumerate(self.points):
                if r < counts.get(k, 0):
                    values = {**point, **own}
                    yield RunSpec(self.run_id(values, int(seeds[r])), k, r, int(seeds[r]), values)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _outcomes(study: Study) -> tuple[str, ...]:
    """Return the columns of the data set: those asked for, and those of the requirements."""
    from analysis.metrics import QUANTITIES

    for k, name in enumerate(study.outcomes):
        if name not in QUANTITIES:
            raise study.fault(("outcomes", k), _unknown(name, QUANTITIES))
    requirements = study.parsed
    for k, requirement in enumerate(requirements):
        if requirement.outcome not in QUANTITIES:
            raise study.fault(("requirements", k), _unknown(requirement.outcome, QUANTITIES))
    named = [*study.outcomes, *(requirement.outcome for requirement in requirements)]
    return tuple(dict.fromkeys(named)) if study.outcomes else tuple(QUANTITIES)


def _unknown(name: str, known: Any) -> str:
    from experiments.faults import nearest

    return f"there is no outcome '{name}'{nearest(name, known)}"


def requirements_of(study: Study, texts: Sequence[str]) -> list[Requirement]:
    """Return requirements given by text, checked against the known outcomes."""
    from analysis.metrics import QUANTITIES

    found = [parse_requirement(text) for text in texts or study.requirements]
    for requirement in found:
        if requirement.outcome not in QUANTITIES:
            raise InputError(
                f"requirement {requirement.text!r}: {_unknown(requirement.outcome, QUANTITIES)}"
            )
    return found
