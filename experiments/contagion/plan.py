"""The worlds of a contagion analysis as runs of a sweep, which stores, resumes and spreads them."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from experiments.contagion.worlds import CONTENT, channels_in, outcome_names, run_world
from experiments.faults import nearest
from experiments.kinds import mechanisms, populations
from experiments.scenario import Scenario
from experiments.studies.plan import RunSpec, code_version
from experiments.studies.store import schema_of
from sim.channels import GENERAL
from sim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from analysis.contagion.causal import Channels

WITHOUT = "without"  # the one factor: names of the channels that are cut, joined
_NOTHING = "nothing"
_JOIN = "+"
_TIME_LIMIT = 3_600.0  # seconds a world


def without_text(cut: Iterable[str]) -> str:
    """Return the value of the factor for channels that are cut."""
    return _JOIN.join(sorted(cut)) or _NOTHING


def known_channels() -> tuple[str, ...]:
    """Return every channel that any registered kind declares."""
    declared = [
        *GENERAL,
        *(channel for mechanism in mechanisms().values() for channel in mechanism.channels),
        *(channel for population in populations().values() for channel in population.channels),
    ]
    return tuple(sorted({channel.name for channel in declared}))


def chosen_channels(scenario: Scenario, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return the channels that are compared: those of the scenario, or some of them.

    Raises
    ------
    InputError
        There is no such channel, the scenario does not have it, or it has none at all.
    """
    present = channels_in(scenario)
    if wanted is None:
        if not present:
            raise InputError(f"{scenario.name} has no channel by which stress could travel")
        return present
    known = known_channels()
    for name in wanted:
        if name not in known:
            raise InputError(f"there is no channel '{name}'{nearest(name, known)}")
        if name not in present:
            raise InputError(
                f"{scenario.name} has no channel '{name}'; it has: {', '.join(present) or 'none'}"
            )
    if not wanted:
        raise InputError(f"no channel is named; {scenario.name} has: {', '.join(present)}")
    return tuple(sorted(set(wanted)))


@dataclass(frozen=True)
class CutWorlds:
    """What the value of the factor makes of the scenario: a world without some channels."""

    base: Scenario

    def outcomes(
        self,
        values: Mapping[str, Any],
        seed: int,
        names: Sequence[str],
        watch: Callable[..., None],
    ) -> dict[str, Any]:
        """Run the world of a value of the factor; see `run_world`."""
        text = values[WITHOUT]
        cut = () if text == _NOTHING else text.split(_JOIN)
        return run_world(self.base, seed, cut, names, watch)


class ContagionPlan:
    """Worlds to run, by seed.

    Parameters
    ----------
    scenario : as loaded
    channels : compared; all others stay on
    worlds : by seed, the sets of channels that are on
    """

    def __init__(
        self,
        scenario: Scenario,
        channels: Sequence[str],
        worlds: Mapping[int, Sequence[Channels]],
    ) -> None:
        self.channels = tuple(channels)
        self.worlds = worlds
        self.variation = CutWorlds(scenario)
        self.outcomes = outcome_names(known_channels())
        self.time_limit = _TIME_LIMIT

    @property
    def n_runs(self) -> int:
        """Return the number of worlds."""
        return sum(len(worlds) for worlds in self.worlds.values())

    @functools.cached_property
    def identity(self) -> str:
        """Return the hash of what all worlds share."""
        shared = [self.variation.base.model_dump(mode="json"), self.outcomes, code_version()]
        return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()

    @functools.cached_property
    def about(self) -> dict[str, Any]:
        """Return what the data set is of, for `Store.identify`."""
        scenario = self.variation.base
        return {
            "study": f"contagion of {scenario.name}",
            "identity": self.identity,
            "scenario": scenario.model_dump(mode="json"),
            "outcomes": list(self.outcomes),
            "code_version": code_version(),
        }

    def schema(self) -> pa.Schema:
        """Return the columns of the data set; the content is a text, outcomes else numbers."""
        numbers = [name for name in self.outcomes if name != CONTENT]
        schema = schema_of({WITHOUT: [_NOTHING]}, numbers)
        return schema.insert(len(schema) - 2, pa.field(CONTENT, pa.string()))

    def key(self, seed: int, on: Channels) -> str:
        """Return the id of a world."""
        text = without_text(frozenset(self.channels) - on)
        return hashlib.sha256(f"{self.identity} {text} {seed}".encode()).hexdigest()[:32]

    def runs(self, counts: Mapping[int, int] | None = None) -> Iterator[RunSpec]:
        """Yield the worlds, seed by seed; at most `counts` of a place in the list of a seed."""
        for replication, (seed, worlds) in enumerate(self.worlds.items()):
            for point, on in enumerate(worlds):
                if counts is not None and replication >= counts.get(point, 0):
                    continue
                values = {WITHOUT: without_text(frozenset(self.channels) - on)}
                yield RunSpec(self.key(seed, on), point, replication, seed, values)
