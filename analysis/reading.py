"""Run folders: a manifest, a summary and record tables that are read when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq

from sim.errors import InputError
from sim.records import table as declared_table

if TYPE_CHECKING:
    from collections.abc import Iterator


class RunFolderError(InputError):
    """A folder is not a whole run; the message names the folder and what is missing."""


@dataclass(frozen=True)
class Run:
    """A recorded run.

    Attributes
    ----------
    folder : where it lies
    manifest : scenario as run, seed, versions, content hash, status
    summary : measured quantities by name; empty when the run wrote none
    """

    folder: Path
    manifest: dict[str, Any]
    summary: dict[str, Any]
    _frames: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    def table(self, name: str) -> pd.DataFrame:
        """Return a record table, read from its file the first time.

        Parameters
        ----------
        name : one of `sim.records.TABLES`

        Raises
        ------
        sim.errors.InputError
            There is no table of that name.
        RunFolderError
            The run does not have it, or its file cannot be read.
        """
        if name not in self._frames:
            self._frames[name] = _read_table(self.folder, declared_table(name).name)
        return self._frames[name]

    @property
    def frames(self) -> Mapping[str, pd.DataFrame]:
        """The tables that the run has, each read when it is asked for."""
        return _Frames(self)

    def tables(self) -> Iterator[str]:
        """Yield the names of the tables that the run has."""
        for file in sorted((self.folder / "records").glob("*.parquet")):
            yield file.stem


class _Frames(Mapping[str, pd.DataFrame]):
    """The tables of a run by name."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._names = list(run.tables())

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._names:
            raise KeyError(name)
        return self._run.table(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def load_run(folder: Path | str) -> Run:
    """Return the run recorded in a folder.

    Raises
    ------
    RunFolderError
        The folder does not exist or is not a whole run.
    """
    place = Path(folder)
    if not place.is_dir():
        what = "is not a folder" if place.exists() else "does not exist"
        raise RunFolderError(f"{place} {what}; give the folder that `undertow run` printed")
    for name in ("manifest.json", "records"):
        if not (place / name).exists():
            raise RunFolderError(
                f"{place} is not a run folder, for it has no {name}; "
                "give the folder that `undertow run` printed"
            )
    summary = place / "summary.json"
    return Run(
        place, _read_json(place / "manifest.json"), _read_json(summary) if summary.exists() else {}
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise RunFolderError(f"{path} cannot be read ({error}); repeat the run") from error
    if not isinstance(data, dict):
        raise RunFolderError(f"{path} holds no names and values; repeat the run")
    return data


def _read_table(folder: Path, name: str) -> pd.DataFrame:
    path = folder / "records" / f"{name}.parquet"
    if not path.exists():
        has = ", ".join(sorted(file.stem for file in path.parent.glob("*.parquet"))) or "none"
        raise RunFolderError(f"{folder} has no table '{name}'; it has: {has}")
    try:
        frame: pd.DataFrame = pq.ParquetFile(path).read(use_threads=False).to_pandas()
    except (ValueError, OSError) as error:  # Arrow's errors derive from these two
        raise RunFolderError(f"{path} cannot be read ({error}); repeat the run") from error
    return frame
