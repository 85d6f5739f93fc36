"""Data sets of studies: what they are of, a row a run, and the verdict where there is one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sim.errors import InputError

_RUN_COLUMNS = ("run_id", "point", "replication", "seed", "status", "message")
_ENDED = "ok"  # status of a run that ended


class DataSetError(InputError):
    """A folder is not the data set of a study; the message names it and what is missing."""


@dataclass(frozen=True)
class DataSet:
    """The data set of a study.

    Attributes
    ----------
    folder : where it lies
    about : study, base scenario, outcomes, code version
    rows : one row a run, in the order of the files
    verdict : what was decided; empty when nothing was
    n_planned : runs asked for
    """

    folder: Path
    about: Mapping[str, Any]
    rows: pd.DataFrame
    verdict: Mapping[str, Any]
    n_planned: int

    @property
    def outcomes(self) -> list[str]:
        """Names of the outcomes that the rows have."""
        return [name for name in self.about["outcomes"] if name in self.rows]

    @property
    def factors(self) -> list[str]:
        """Names of everything that was varied, in the order of the columns."""
        known = {*_RUN_COLUMNS, *self.about["outcomes"]}
        return [str(name) for name in self.rows.columns if name not in known]

    @property
    def designed(self) -> list[str]:
        """Names of the factors that the design combines: those with one value at each point."""
        counts = self.rows.groupby("point")[self.factors].nunique(dropna=False)
        is_one = counts.max() <= 1
        return [name for name in self.factors if is_one[name]]

    @property
    def levers(self) -> list[str]:
        """Names of the levers; the designed factors where no verdict says which those are."""
        named = self.verdict.get("book_response", {})
        return [name for name in self.factors if name in named] or self.designed

    @property
    def ended(self) -> pd.DataFrame:
        """The runs that ended."""
        return self.rows[self.rows["status"] == _ENDED]

    @property
    def failed(self) -> pd.DataFrame:
        """The runs that did not end."""
        return self.rows[self.rows["status"] != _ENDED]

    @property
    def findings(self) -> pd.DataFrame:
        """One row a setting and requirement of the verdict; empty when nothing was decided."""
        return pd.DataFrame(self.verdict.get("findings", []))


def load_data_set(folder: Path | str) -> DataSet:
    """Return the data set in a folder.

    Raises
    ------
    DataSetError
        It is no data set, holds no run yet, or a file of it cannot be read.
    """
    place = Path(folder)
    if not (place / "study.json").is_file():
        raise DataSetError(
            f"{place} is not the data set of a study, for it has no study.json; give the folder "
            "that `undertow sweep` wrote"
        )
    about = _read_json(place / "study.json")
    for key, kind in (("study", str), ("outcomes", list), ("scenario", dict)):
        if not isinstance(about.get(key), kind):
            raise DataSetError(f"{place}/study.json has no {key}; repeat the sweep elsewhere")
    rows = _read_rows(place)
    verdict = place / "verdict.json"
    planned = sum(_read(file).num_rows for file in sorted((place / "plans").glob("*.parquet")))
    return DataSet(
        place,
        about,
        rows,
        _read_json(verdict) if verdict.is_file() else {},
        max(planned, len(rows)),
    )


def _read_rows(place: Path) -> pd.DataFrame:
    names = [file for file in sorted((place / "runs").glob("*.parquet")) if file.name[0] != "."]
    if not names:
        raise DataSetError(f"{place} holds no runs yet; run `undertow sweep` first")
    whole: pd.DataFrame = pa.concat_tables(
        [_read(file) for file in names], promote_options="default"
    ).to_pandas()
    missing = [name for name in _RUN_COLUMNS if name not in whole]
    if missing:
        raise DataSetError(f"{place}/runs has no column {missing[0]}; repeat the sweep elsewhere")
    return whole


def _read(file: Path) -> pa.Table:
    try:
        return pq.ParquetFile(file).read(use_threads=False)
    except (ValueError, OSError) as error:  # Arrow's errors derive from these two
        raise DataSetError(f"{file} cannot be read ({error}); remove it and sweep again") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise DataSetError(f"{path} cannot be read ({error}); repeat the study") from error
    if not isinstance(data, dict):
        raise DataSetError(f"{path} holds no names and values; repeat the study")
    return data
