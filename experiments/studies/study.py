"""Study files: what is varied, how often it is repeated, and what has to hold.

A study names a scenario, its *levers* (what a protocol decides), its *uncertainties* (what it does
not), a design over them, replications, outcomes and requirements. It is YAML, read and refused like
a scenario.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from experiments.faults import fault, nearest, validate
from experiments.scenario import SUFFIXES, Duration, Name, Version, bytes_of, shipped_scenarios
from experiments.studies.requirements import Requirement, parse_requirement
from experiments.yaml_source import Source, read_yaml
from sim.errors import InputError, ScenarioError
from sim.registry import Config

if TYPE_CHECKING:
    from collections.abc import Mapping

Scalar = float | int | str | bool
Range = Annotated[list[float], Field(min_length=2, max_length=2)]
Values = Annotated[list[Scalar], Field(min_length=1, max_length=10_000)]
PathText = Annotated[str, Field(min_length=1, max_length=400)]


class Uniform(Config):
    """Evenly between two ends."""

    kind: Literal["uniform"]
    low: float
    high: float


class LogUniform(Config):
    """Evenly in the logarithm between two ends above 0."""

    kind: Literal["loguniform"]
    low: float = Field(gt=0.0)
    high: float = Field(gt=0.0)


class Triangular(Config):
    """A most likely value between two ends."""

    kind: Literal["triangular"]
    low: float
    mode: float
    high: float


class Normal(Config):
    """Gaussian."""

    kind: Literal["normal"]
    mean: float
    deviation: float = Field(gt=0.0)


class LogNormal(Config):
    """Positive, its logarithm Gaussian."""

    kind: Literal["lognormal"]
    median: float = Field(gt=0.0)
    log_deviation: float = Field(gt=0.0, description="Standard deviation of the logarithm.")


Distribution = Annotated[
    Uniform | LogUniform | Triangular | Normal | LogNormal, Field(discriminator="kind")
]


class Factor(Config):
    """Something that is varied: a path into the scenario and the values it takes."""

    path: PathText | list[PathText] | None = Field(
        None,
        description="Where in the scenario, as for --set; several places get the same value. Left "
        "out for a named uncertainty, such as shock_scale.",
    )
    apply: Literal["set", "multiply", "add"] = Field(
        "set", description="What a value does to the scenario's own: replaces, multiplies or adds."
    )
    values: Values | None = Field(None, description="The values it takes.")
    range: Range | None = Field(None, description="Lowest and highest value.")
    levels: int | None = Field(
        None, ge=2, le=1000, description="Values that a grid takes from the range, ends included."
    )


class Lever(Factor):
    """A parameter that the protocol decides."""

    book: Literal["hf_preserving", "positions_fixed"] = Field(
        "hf_preserving",
        description="How users respond to the change: they re-lever to the health factors they had "
        "(where the protocol settles), or keep their positions (the effect of day one).",
    )


class Uncertainty(Factor):
    """Something that the protocol does not decide."""

    distribution: Distribution | None = Field(
        None,
        description="Drawn anew for every replication, the same at every setting of the levers.",
    )


class GridDesign(Config):
    """Every combination of all values."""

    kind: Literal["grid"]


class LatinHypercubeDesign(Config):
    """Points that stratify every factor on its own."""

    kind: Literal["latin_hypercube"]
    points: int = Field(ge=2, le=1_000_000)


class SobolDesign(Config):
    """A scrambled Sobol' sequence."""

    kind: Literal["sobol"]
    points: int = Field(ge=2, le=1_000_000, description="Best a power of two.")


class ListDesign(Config):
    """Points given one by one."""

    kind: Literal["list"]
    points: list[dict[Name, Scalar]] = Field(min_length=1, max_length=1_000_000)


Design = Annotated[
    GridDesign | LatinHypercubeDesign | SobolDesign | ListDesign, Field(discriminator="kind")
]


class Budget(Config):
    """What a study may cost; more is refused before anything starts."""

    runs: int = Field(1_000_000, ge=1, description="Runs in all, those of verdicts included.")
    hours: float | None = Field(
        None, gt=0.0, description="Wall-clock hours on the workers at hand; no limit when left out."
    )
    gigabytes: float = Field(10.0, gt=0.0, description="Size of the data set.")


class StudyModel(Config):
    """A scenario, what is varied in it, and what has to hold."""

    version: Version = Field(description="Version of this format.")
    name: Name = Field(description="Name of the study.")
    description: str = Field("", description="What it decides, for whom.")
    scenario: str = Field(description="Shipped name, or a YAML file beside the study.")
    until: Duration | None = Field(None, description="Ends every run earlier.")
    overrides: dict[PathText, Any] = Field(
        {}, alias="set", description="Values laid over the scenario in every run, by path."
    )
    levers: dict[Name, Lever] = Field({}, description="What the protocol decides, by name.")
    uncertainties: dict[Name, Uncertainty] = Field(
        {}, description="What it does not decide, by name."
    )
    design: Design = Field(GridDesign(kind="grid"), description="How the factors are combined.")
    replications: int = Field(
        ge=1, le=10_000_000, description="Runs at every point of the design, seeds in common."
    )
    seed: int = Field(1, ge=0, lt=2**63, description="Seed of the study.")
    outcomes: list[Name] = Field(
        [], description="Columns of the data set; all quantities of a summary when left out."
    )
    requirements: list[str] = Field(
        [], description="What has to hold, such as P(bad_debt_share_peak > 0.001) <= 0.01."
    )
    confidence: float = Field(0.95, gt=0.5, lt=1.0, description="Of intervals and verdicts.")
    time_limit: Duration = Field(3600.0, description="Wall-clock time of one run.")
    budget: Budget = Budget()


class Study(StudyModel):
    """A validated study."""

    _source: Source | None = PrivateAttr(None)
    _folder: Path = PrivateAttr(Path())

    @property
    def factors(self) -> Mapping[str, Lever | Uncertainty]:
        """Return levers and uncertainties by name, in the file's order."""
        return {**self.levers, **self.uncertainties}

    @property
    def designed(self) -> dict[str, Lever | Uncertainty]:
        """Return the factors that the design combines."""
        return {n: f for n, f in self.factors.items() if f.values is not None or f.range}

    @property
    def drawn(self) -> dict[str, Uncertainty]:
        """Return the uncertainties drawn anew for every replication."""
        return {n: u for n, u in self.uncertainties.items() if u.distribution is not None}

    @property
    def parsed(self) -> tuple[Requirement, ...]:
        """Return the requirements."""
        return tuple(parse_requirement(text) for text in self.requirements)

    def scenario_name(self) -> str:
        """Return what `load_scenario` takes: the shipped name, or the path of the file."""
        if self.scenario in shipped_scenarios():
            return self.scenario
        return str(self._folder / self.scenario)

    def fault(self, place: tuple[str | int, ...], why: str) -> ScenarioError | InputError:
        """Return the error for a fault at a place of the file."""
        if self._source is None:
            return InputError(f"{'.'.join(map(str, place))}: {why}")
        return fault(self._source, place, why)


def shipped_studies() -> dict[str, Any]:
    """Return the studies that come with the package: name -> file, in alphabetical order."""
    folder = files("experiments") / "studies" / "shipped"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    return dict(sorted((entry.name.removesuffix(".yaml"), entry) for entry in found))


def load_study(name: str) -> Study:
    """Return a validated study: a shipped name, or the path of a YAML file.

    Raises
    ------
    ScenarioError
        There is no such study, or it is wrong; names file, line, field, value and what is allowed.
    """
    source, folder = _read(name)
    study = validate(source, Study)
    study._source, study._folder = source, folder  # noqa: SLF001
    _check_factors(study)
    _check_design(study)
    for k, text in enumerate(study.requirements):
        try:
            parse_requirement(text)
        except InputError as error:
            raise study.fault(("requirements", k), str(error)) from None
    return study


def _read(name: str) -> tuple[Source, Path]:
    shipped = shipped_studies()
    if name in shipped:
        return read_yaml(f"{name}.yaml", shipped[name].read_bytes()), Path(
            str(shipped[name])
        ).parent
    path = Path(name)
    if path.suffix in SUFFIXES or path.is_file():
        return read_yaml(name, bytes_of(path)), path.resolve().parent
    raise ScenarioError(
        f"no study {name!r}{nearest(name, shipped)} (a file of your own ends in .yaml)"
    )


def _check_factors(study: Study) -> None:
    both = study.levers.keys() & study.uncertainties.keys()
    if both:
        raise study.fault(
            ("uncertainties", min(both)), "is a lever already; give one of them another name"
        )
    for family in ("levers", "uncertainties"):
        for name, factor in getattr(study, family).items():
            _check_factor(study, (family, name), factor)


def _check_factor(study: Study, place: tuple[str, str], factor: Lever | Uncertainty) -> None:
    ways = ("values", "range", "distribution")
    given = [way for way in ways if getattr(factor, way, None) is not None]
    if len(given) != 1:
        allowed = "values, range or distribution" if place[0] != "levers" else "values or range"
        said = f"has {' and '.join(given)}" if given else "says not which values it takes"
        raise study.fault(place, f"{said}; give one of {allowed}")
    if factor.range is not None and not factor.range[0] < factor.range[1]:
        low, high = factor.range
        raise study.fault(
            (*place, "range"), f"[{low:g}, {high:g}] is empty; the first must be below the second"
        )
    if factor.levels is not None and factor.range is None:
        raise study.fault((*place, "levels"), "needs a range; list the values, or give a range")
    if factor.values is not None and len(set(map(str, factor.values))) < len(factor.values):
        raise study.fault((*place, "values"), "names a value twice; keep one")
    distribution = getattr(factor, "distribution", None)
    if distribution is not None and hasattr(distribution, "low"):
        inside = getattr(distribution, "mode", distribution.low)
        if not distribution.low <= inside <= distribution.high or (
            distribution.low == distribution.high
        ):
            raise study.fault(
                (*place, "distribution"),
                f"{distribution.low:g} to {distribution.high:g} is empty or does not hold its mode",
            )


def _check_design(study: Study) -> None:
    design, names = study.design, list(study.designed)
    if isinstance(design, GridDesign):
        for name in names:
            if study.designed[name].range is not None and study.designed[name].levels is None:
                family = "levers" if name in study.levers else "uncertainties"
                raise study.fault((family, name), "a grid takes values, or a range with levels")
    if isinstance(design, ListDesign):
        for k, point in enumerate(design.points):
            if point.keys() != set(names):
                raise study.fault(
                    ("design", "points", k),
                    f"names {', '.join(sorted(point)) or 'nothing'}; it must give a value to each "
                    f"of {', '.join(names)}",
                )
