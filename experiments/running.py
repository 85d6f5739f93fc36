"""A run: build, advance, record, summarize, draw."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.reading import load_run
from experiments.composition import build
from experiments.drawing import drawer_of
from experiments.recording import Recorder
from experiments.run_folder import whole_folder, write_json
from experiments.scenario import check_scenario
from experiments.shock_times import shock_times
from sim.errors import InputError
from sim.kernel import source_hash
from sim.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    import pyarrow as pa

    from experiments.drawing import Drawer
    from experiments.scenario import Scenario

_LIBRARIES = ("undertow", "mesa", "numpy", "numba", "networkx", "pandas", "pyarrow", "pydantic")


@dataclass(frozen=True)
class RunResult:
    """What a run produced.

    Attributes
    ----------
    manifest : scenario as run, seed, versions, content hash, work done
    summary : measured quantities by name
    tables : record tables as data frames; those of a folder are read when they are asked for
    folder : run folder, None when nothing was written
    figures : pictures drawn
    model : the model at the end of the run
    """

    manifest: dict[str, Any]
    summary: dict[str, Any]
    tables: Mapping[str, pd.DataFrame]
    folder: Path | None
    figures: tuple[Path, ...]
    model: Model


def run(
    scenario: Scenario,
    seed: int = 1,
    *,
    out: Path | str | None = None,
    force: bool = False,
    figures: bool | Drawer = True,
    progress: Callable[[Model, Recorder], None] | None = None,
) -> RunResult:
    """Run a scenario to its end and return the results.

    Parameters
    ----------
    scenario : from `load_scenario`
    seed : whole number from 0 to 2**63 - 1
    out : run folder to write; None keeps the records in memory
    force : replace a run folder that exists
    figures : draw figures into the folder; or who draws them, already started
    progress : called every 10 ms or so of work

    Raises
    ------
    InputError
        It is no scenario, it cannot be built, or the folder exists.
    OutputError
        The disk is full or cannot be written.
    """
    check_scenario(scenario)
    started = time.perf_counter()
    if out is None:
        recorder, model = _simulate(scenario, seed, None, progress)
        manifest = make_manifest(scenario, seed, recorder, time.perf_counter() - started)
        tables = {name: table.to_pandas() for name, table in recorder.tables().items()}
        summary = _summarize(tables, manifest)
        return RunResult(manifest, summary, tables, None, (), model)
    with drawer_of(figures) as drawer, whole_folder(Path(out), force) as folder:
        records = folder / "records"
        records.mkdir()
        recorder, model = _simulate(scenario, seed, records, progress)
        manifest = make_manifest(scenario, seed, recorder, time.perf_counter() - started)
        write_json(folder / "manifest.json", manifest)
        if drawer is not None:
            drawer.begin(folder)
        summary = _summarize(load_run(folder).frames, manifest)
        write_json(folder / "summary.json", summary)
        drawn = drawer.finish() if drawer is not None else []
    place = Path(out)
    figure_paths = tuple(place / "figures" / path.name for path in drawn)
    return RunResult(manifest, summary, _Written(place, manifest), place, figure_paths, model)


def outcomes_of(
    scenario: Scenario,
    seed: int,
    names: Collection[str],
    progress: Callable[[Model, Recorder], None] | None = None,
) -> dict[str, Any]:
    """Run a scenario in memory and return some quantities of its summary, the cheapest way.

    Parameters
    ----------
    scenario, seed, progress : as in `run`
    names : of `analysis.metrics.QUANTITIES`
    """
    from analysis.metrics import summarize

    recorder, _ = _simulate(scenario, seed, None, progress)
    about = {"scenario": scenario.model_dump(mode="json")}
    return dict(summarize(_Frames(recorder.tables()), about, frozenset(names)))


class _Written(Mapping[str, pd.DataFrame]):
    """The tables of a run folder, each read when it is looked at; never those of another run."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self._folder = folder
        self._hash = manifest["content_hash"]
        self._names = list(load_run(folder).tables())
        self._read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            found = load_run(self._folder)
            if found.manifest.get("content_hash") != self._hash:
                raise InputError(
                    f"{self._folder} holds another run by now, so '{name}' of this one is gone; "
                    "look at the tables before the folder is replaced, or run without a folder"
                )
            self._read[name] = found.table(name)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Frames(Mapping[str, pd.DataFrame]):
    """Record tables that become data frames when they are looked at."""

    def __init__(self, tables: dict[str, pa.Table]) -> None:
        self._tables = tables
        self._made: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._made:
            self._made[name] = self._tables[name].to_pandas()
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tables

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


def _simulate(
    scenario: Scenario,
    seed: int,
    records: Path | None,
    progress: Callable[[Model, Recorder], None] | None,
) -> tuple[Recorder, Model]:
    model = build(scenario, seed)
    recorder = Recorder(model.world, scenario.records, records)
    if progress is not None:
        model.world.on_pause = lambda: progress(model, recorder)
    try:
        model.run_until(scenario.horizon)
        recorder.finish()
    except BaseException:
        _abandon(recorder)
        raise
    return recorder, model


def _abandon(recorder: Recorder) -> None:
    """Keep unfinished files from being finished when they are forgotten: the disk may be full."""
    for writer in recorder.writers.values():
        writer.abandon()


def _summarize(tables: Mapping[str, pd.DataFrame], manifest: dict[str, Any]) -> dict[str, Any]:
    from analysis.metrics import summarize

    return dict(summarize(tables, manifest))


def make_manifest(
    scenario: Scenario, seed: int, recorder: Recorder, wall_seconds: float
) -> dict[str, Any]:
    """Return what is needed to repeat a run and to trust it."""
    world = recorder.world
    return {
        "scenario": scenario.model_dump(mode="json"),
        "seed": seed,
        "status": "done",
        "shock_times": shock_times(scenario),  # s, in the scenario's order; reactions included
        "roles": {v.mechanism.kind: v.mechanism.role for v in world.plan.venues}
        | {population.name: population.kind.role for population in world.plan.populations},
        "content_hash": recorder.content_hash(),
        "code_version": source_hash(),
        "versions": {name: _version_of(name) for name in _LIBRARIES}
        | {"python": sys.version.split()[0]},
        "platform": _platform(),
        "work": {
            "blocks": {
                name: int(chain["height"])
                for name, chain in zip(world.chain_names, world.box.chains, strict=True)
                if chain["native"] >= 0  # the reference market has auctions, not blocks
            },
            "orders": int(world.box.counter[7]),
            "fills": recorder.n_fills,
            "by_status": recorder.n_by_status,
            "refused_by_mempool": int(world.box.counter[4]),
            "rows": {name: writer.n_rows for name, writer in recorder.writers.items()},
        },
        "wall_seconds": round(wall_seconds, 3),
    }


@functools.cache
def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # run from the source tree
        return "not installed"


@functools.cache
def _platform() -> dict[str, str]:
    import platform

    from llvmlite import binding

    return {
        "system": platform.platform(),
        "cpu": binding.get_host_cpu_name(),
        "libc": " ".join(platform.libc_ver()),
    }
