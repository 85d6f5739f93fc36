"""The data set of a study: a folder, or a URL, of small files, each written whole.

    study.json          what the data set is of: base scenario, code version, outcomes
    plans/0001.parquet  the runs asked for, in order, and how they are cut into chunks
    runs/*.parquet      one file a chunk, one row a run
    verdicts/           what was decided
    events.jsonl        what happened, a line an event

A later plan holds only runs that no earlier one has, so nothing is ever run twice.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import uuid
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from experiments.run_folder import told_faults
from experiments.studies.plan import RunSpec
from sim.errors import InputError, OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd


_OBJECT_STORES = ("s3", "gcs", "abfs")


@dataclass(frozen=True)
class Generation:
    """One plan file: runs in order, cut into chunks."""

    number: int
    runs: list[RunSpec]
    pilot: int  # runs of the first chunk
    chunk: int  # runs of every other chunk

    def chunks(self) -> list[tuple[str, list[RunSpec]]]:
        """Return name and runs of every chunk."""
        cuts = [0, *range(self.pilot, len(self.runs), self.chunk), len(self.runs)]
        return [
            (f"{self.number:04d}-{k:06d}", self.runs[start:end])
            for k, (start, end) in enumerate(pairwise(cuts))
            if end > start
        ]


class Store:
    """The files of a data set, on disk or at any URL that `pyarrow.fs` knows.

    Parameters
    ----------
    place : folder, or URL such as s3://bucket/study

    Raises
    ------
    InputError
        The URL is none that can be written.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self._open()

    def _open(self) -> None:
        if "://" not in self.place:
            self.files, self.root = fs.LocalFileSystem(), str(Path(self.place).absolute())
            self.is_local = True
            return
        try:
            self.files, self.root = fs.FileSystem.from_uri(self.place)
            self.is_local = isinstance(self.files, fs.LocalFileSystem)  # file:///...
        except (pa.ArrowException, ValueError, OSError) as error:
            raise InputError(
                f"{self.place} cannot be opened ({error}); give a folder, or a URL such as "
                "s3://bucket/study"
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the place alone: connections do not travel."""
        return {"place": self.place}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the place again."""
        self.__dict__.update(state)
        self._open()

    # --- files -----------------------------------------------------------------------------------

    def names(self, folder: str) -> list[str]:
        """Return the names of the whole files in a folder, sorted."""
        selector = fs.FileSelector(f"{self.root}/{folder}", allow_not_found=True)
        found = self.files.get_file_info(selector)
        return sorted(f.base_name for f in found if f.is_file and not f.base_name.startswith("."))

    def read(self, name: str) -> bytes | None:
        """Return what a file holds; None when there is none."""
        path = f"{self.root}/{name}"
        if self.files.get_file_info(path).type == fs.FileType.NotFound:
            return None
        with self.files.open_input_stream(path) as stream:
            return bytes(stream.read())

    def write(self, name: str, data: bytes) -> None:
        """Write a file so that a reader sees all of it or nothing.

        Raises
        ------
        OutputError
            The disk is full, or the place cannot be written.
        """
        path = f"{self.root}/{name}"
        with told_faults(Path(self.place)):
            if self.is_local:
                _write_local(Path(path), data)
                return
            try:
                self._write_remote(path, data)
            except pa.ArrowException as error:
                raise OutputError(f"{path} cannot be written ({error})") from None

    def _write_remote(self, path: str, data: bytes) -> None:
        """Write where an object appears when it is whole, or under another name and rename."""
        draft = path
        if self.files.type_name not in _OBJECT_STORES:
            folder, _, name = path.rpartition("/")
            self.files.create_dir(folder, recursive=True)
            draft = f"{folder}/.{name}.{uuid.uuid4().hex}.part"
        with self.files.open_output_stream(draft) as stream:
            stream.write(data)
        if draft != path:
            self.files.move(draft, path)

    def append(self, name: str, line: str) -> None:
        """Append a line to a log; on an object store every line is a file of its own."""
        if self.is_local:
            with told_faults(Path(self.place)), Path(f"{self.root}/{name}").open("a") as file:
                file.write(line + "\n")
            return
        stem, _, ending = name.rpartition(".")
        digest = hashlib.sha256(line.encode()).hexdigest()[:12]
        self.write(f"{stem}/{digest}.{ending}", line.encode() + b"\n")

    # --- what the data set is of -----------------------------------------------------------------

    def identify(self, about: dict[str, Any]) -> None:
        """Note what the data set is of, or refuse to mix it with something else.

        Raises
        ------
        InputError
            The data set is of another scenario, of other outcomes, or of another code version.
        """
        text = self.read("study.json")
        if text is None:
            self._check_empty()
            self.write("study.json", (json.dumps(about, indent=2) + "\n").encode())
            return
        try:
            known = json.loads(text)
            same = known["identity"] == about["identity"]
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{self.place}/study.json is not readable; give another --out, or remove it all"
            ) from None
        if same:
            return
        for part, what in (
            ("scenario", "the scenario has changed"),
            ("outcomes", "the outcomes have changed"),
            ("code_version", "the code has changed"),
        ):
            if known.get(part) != about[part]:
                raise InputError(
                    f"{self.place} holds runs of another study: {what} since it was made; give "
                    "another --out, for runs of the two must not mix"
                )
        raise InputError(f"{self.place} holds runs of another study; give another --out")

    def _check_empty(self) -> None:
        info = self.files.get_file_info(self.root)
        if info.type == fs.FileType.File:
            raise InputError(f"{self.place} is a file; give a folder that is new, or a data set")
        found = self.files.get_file_info(fs.FileSelector(self.root, allow_not_found=True))
        strange = [f.base_name for f in found if not f.base_name.startswith(".")]
        if strange:
            raise InputError(
                f"{self.place} holds {strange[0]!r} and is no data set; give a new folder"
            )

    # --- plans -----------------------------------------------------------------------------------

    def generations(self) -> list[Generation]:
        """Return the plans so far."""
        found = []
        for name in self.names("plans"):
            table = pq.read_table(pa.BufferReader(self.read(f"plans/{name}")))
            notes = json.loads(table.schema.metadata[b"undertow"])
            rows = table.to_pylist()
            for row in rows:
                row["factors"] = json.loads(row["factors"])
            found.append(
                Generation(
                    notes["number"],
                    [RunSpec(**row) for row in rows],
                    notes["pilot"],
                    notes["chunk"],
                )
            )
        return found

    def add_generation(self, generation: Generation) -> None:
        """Write a plan."""
        rows = [{**vars(spec), "factors": json.dumps(spec.factors)} for spec in generation.runs]
        notes = {
            "number": generation.number,
            "pilot": generation.pilot,
            "chunk": generation.chunk,
        }
        table = pa.Table.from_pylist(rows).replace_schema_metadata({"undertow": json.dumps(notes)})
        self.write(f"plans/{generation.number:04d}.parquet", _parquet(table))

    # --- rows ------------------------------------------------------------------------------------

    def finished(self) -> set[str]:
        """Return the names of the chunks that are written."""
        return {name.removesuffix(".parquet") for name in self.names("runs")}

    def write_rows(self, name: str, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> None:
        """Write the rows of a chunk."""
        self.write(f"runs/{name}.parquet", _parquet(table_of(rows, schema)))

    def rows(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the rows written so far, in the order of the plans."""
        names = self.names("runs")
        if not names:
            raise InputError(f"{self.place} holds no runs; run `undertow sweep` first")
        wanted = list(columns) if columns else None
        tables = [
            pq.read_table(pa.BufferReader(self.read(f"runs/{name}")), columns=wanted)
            for name in names
        ]
        whole: pd.DataFrame = pa.concat_tables(tables, promote_options="default").to_pandas()
        return whole


def schema_of(factors: Mapping[str, Sequence[Any]], outcomes: Sequence[str]) -> pa.Schema:
    """Return the columns of a data set, from all values that each factor takes."""
    return pa.schema(
        [
            ("run_id", pa.string()),
            ("point", pa.int64()),
            ("replication", pa.int64()),
            ("seed", pa.int64()),
            *((name, _factor_type(values)) for name, values in factors.items()),
            *((name, pa.float64()) for name in outcomes),
            ("status", pa.string()),
            ("message", pa.string()),
        ]
    )


def table_of(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Return the table of a chunk."""
    arrays = [pa.array(_plain([row[f.name] for row in rows], f.type), f.type) for f in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _factor_type(values: Sequence[Any]) -> pa.DataType:
    if values and all(isinstance(value, bool) for value in values):
        return pa.bool_()
    is_number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return pa.float64() if is_number else pa.string()


def _plain(values: Sequence[Any], kind: pa.DataType) -> list[Any]:
    if kind == pa.float64():
        return [None if value is None else float(value) for value in values]
    return [str(value) for value in values] if kind == pa.string() else list(values)


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _write_local(path: Path, data: bytes) -> None:
    """Write beside the place and rename: whoever is killed leaves a file that nobody reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
