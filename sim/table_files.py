"""Tables in files, CSV or Parquet: read once, hashed, every fault at its line or row.

A `FileFormat` declares the columns of one kind of file with their units; `undertow files` prints
them. Columns beyond the declared ones are ignored. Numbers may be written as text, as exports of
large integers are.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

import numpy as np
from pydantic import Field

from sim.errors import ScenarioError
from sim.registry import Config

if TYPE_CHECKING:
    from collections.abc import Callable


class FileColumn(NamedTuple):
    """One column of a kind of file."""

    name: str
    kind: Literal["number", "whole number", "text", "time"]
    unit: str
    meaning: str
    is_required: bool = True


class FileFormat(NamedTuple):
    """One kind of file that a scenario may name."""

    name: str
    noun: str  # "price file"
    content: str  # what its rows are: "candles"
    meaning: str
    columns: tuple[FileColumn, ...]

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the columns that every file of this kind has."""
        return tuple(column.name for column in self.columns if column.is_required)


class FileSource(Config):
    """A file that a scenario names: where it is, and what it must hold."""

    file: str = Field(
        min_length=1,
        description="CSV or Parquet file, from the folder of the scenario; `undertow files` "
        "prints its columns.",
    )
    sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="Hash of the file, which is then refused when it has changed; filled in by "
        "every run. A file outside the folder of the scenario needs it.",
    )

    def read(self) -> Any:
        """Return what the file holds; each kind of source reads its own."""
        raise NotImplementedError

    def table(self, of: FileFormat) -> TableFile:
        """Read the file.

        Raises
        ------
        ScenarioError
            It cannot be read, lacks a column, or is not the file of that hash.
        """
        found = read_table(self.file, of)
        if self.sha256 not in (None, found.sha256):
            why = f"has SHA-256 {found.sha256}, not {self.sha256}"
            found.refuse(None, f"{why}; give that file, or leave sha256 out")
        return found


class TableFile(NamedTuple):
    """A file that was read."""

    format: FileFormat
    file: str  # where it was read
    data: bytes
    is_parquet: bool
    cells: Any  # pyarrow.Table

    @property
    def sha256(self) -> str:
        """SHA-256 of the whole file."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def n_rows(self) -> int:
        """Rows of data."""
        return int(self.cells.num_rows)

    def refuse(self, row: int | None, problem: str) -> NoReturn:
        """Raise with the file and the place: a line of a CSV, a row of a Parquet file.

        Raises
        ------
        ScenarioError
            Always.
        """
        place = "" if row is None else f", {self.place(row)}"
        raise ScenarioError(f"{self.format.noun} {self.file}{place}: {problem}")

    def place(self, row: int) -> str:
        """Return where a row stands in the file: `line 7` of a CSV, `row 6` of a Parquet file."""
        return f"row {row + 1}" if self.is_parquet else f"line {self._line(row)}"

    def _line(self, row: int) -> int:
        """Return the line of a data row; empty lines are not rows."""
        lines = self.data.splitlines()
        filled = [number for number, text in enumerate(lines, start=1) if text]
        return filled[row + 1]

    def has(self, name: str) -> bool:
        """Return whether the file has a column."""
        return name in self.cells.column_names

    def column(self, name: str) -> Any:
        """Return a column as pyarrow has it."""
        return self.cells.column(name)

    def numbers(self, name: str) -> np.ndarray:
        """Return a column as float64, (n_rows,); what is missing is NaN.

        Raises
        ------
        ScenarioError
            A cell is no number.
        """
        import pyarrow as pa

        column = self.column(name)
        kind = column.type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            found = column.cast(pa.float64(), safe=False).to_numpy()
            return np.asarray(found, np.float64).copy()
        if pa.types.is_null(kind):
            return np.full(self.n_rows, np.nan)
        cells = column.to_pylist()
        for row, value in enumerate(cells):
            try:
                float(value)
            except (TypeError, ValueError):
                self.refuse(row, f"{name} is {value!r}; it must be a number")
        return np.array([float(value) for value in cells])

    def texts(self, name: str) -> list[str]:
        """Return a column as text; numbers as they are printed.

        Raises
        ------
        ScenarioError
            A cell is empty.
        """
        cells = ["" if c is None else str(c).strip() for c in self.column(name).to_pylist()]
        for row in np.flatnonzero([not cell for cell in cells])[:1]:
            self.refuse(int(row), f"{name} is missing; every row needs one")
        return cells

    def amounts(self, name: str) -> np.ndarray:
        """Return a column of finite numbers of at least 0: float64, (n_rows,).

        Raises
        ------
        ScenarioError
            A cell is something else.
        """
        found = self.numbers(name)
        allowed = "it must be a finite number of at least 0"
        self.check(name, found, lambda v: np.isfinite(v) & (v >= 0.0), allowed)
        return found

    def whole_numbers(self, name: str) -> np.ndarray:
        """Return a column of whole numbers: int64, (n_rows,).

        Raises
        ------
        ScenarioError
            A cell is something else.
        """
        found = self.numbers(name)
        allowed = "it must be a whole number"
        self.check(name, found, lambda v: (v == np.rint(v)) & (np.abs(v) < 2**53), allowed)
        return found.astype(np.int64)

    def unique(self, *names: str) -> None:
        """Refuse the first row that repeats the texts of another in the given columns.

        Raises
        ------
        ScenarioError
            There is one; names both places.
        """
        seen: dict[tuple[str, ...], int] = {}
        for row, key in enumerate(zip(*(self.texts(name) for name in names), strict=True)):
            first = seen.setdefault(key, row)
            if first != row:
                named = ", ".join(f"{n} {k!r}" for n, k in zip(names, key, strict=True))
                self.refuse(
                    row, f"{named} stands in {self.place(first)} already; add them up in one row"
                )

    def constant(self, name: str, group: list[str]) -> dict[str, float]:
        """Return the one positive number that a column has for each text of a group.

        Raises
        ------
        ScenarioError
            A number is not positive, or differs from that of an earlier row of its group.
        """
        values = self.numbers(name)
        found: dict[str, float] = {}
        allowed = "it must be a finite number above 0"
        self.check(name, values, lambda v: np.isfinite(v) & (v > 0.0), allowed)
        for row, (key, value) in enumerate(zip(group, values.tolist(), strict=True)):
            if found.setdefault(key, value) != value:
                what = f"{name} of {key!r}" if key else name
                self.refuse(row, f"{what} is {value:g}; an earlier row has {found[key]:g}")
        return found

    def check(
        self,
        name: str,
        values: np.ndarray,
        is_allowed: Callable[[np.ndarray], np.ndarray],
        allowed: str,
    ) -> None:
        """Refuse the first row whose value is not allowed.

        Raises
        ------
        ScenarioError
            There is one; names its line or row, the column, the value and what is allowed.
        """
        for row in np.flatnonzero(~is_allowed(values))[:1]:
            self.refuse(int(row), f"{name} is {values[row]:g}; {allowed}")


def read_table(path: str | Path, of: FileFormat, least: int = 1) -> TableFile:
    """Read a file and check that it has the columns of its format, and enough rows.

    Raises
    ------
    ScenarioError
        The file is missing, unreadable or empty, or lacks a column.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ScenarioError(
            f"{of.noun} {path}: cannot be read ({reason}); name a readable CSV or Parquet file"
        ) from None
    source = TableFile(of, str(path), data, data[:4] == b"PAR1", None)
    _check_text(source)
    source = source._replace(cells=_table_of(source))
    _check_columns(source)
    if source.n_rows < least:
        source.refuse(None, f"has {source.n_rows} {of.content}; at least {least} are needed")
    return source


def _check_text(source: TableFile) -> None:
    """Refuse what is neither Parquet nor text."""
    of = source.format
    if not source.data.strip():
        source.refuse(None, f"is empty; it must have the columns {', '.join(of.required)}")
    if source.is_parquet:
        return
    try:
        source.data.decode()
    except UnicodeDecodeError as error:
        source.refuse(
            None,
            f"is neither Parquet nor text (byte {error.start} is not UTF-8); give a CSV or a "
            f"Parquet file of {of.content}",
        )


def _table_of(source: TableFile) -> Any:
    import pyarrow as pa  # here, for a run without files starts without it
    import pyarrow.csv
    import pyarrow.parquet

    texts = {c.name: pa.string() for c in source.format.columns if c.kind == "text"}
    try:
        if source.is_parquet:
            return pa.parquet.read_table(pa.BufferReader(source.data))
        text = pa.BufferReader(source.data + b"\n")  # a header alone is a table without rows
        return pa.csv.read_csv(
            text,
            read_options=pa.csv.ReadOptions(use_threads=False),
            convert_options=pa.csv.ConvertOptions(column_types=texts),
        )
    except (pa.ArrowException, OSError) as error:
        kind = "Parquet" if source.is_parquet else "CSV"
        reason = str(error).splitlines()[0]
        content = source.format.content
        source.refuse(
            None, f"cannot be read as {kind} ({reason}); give a CSV or a Parquet file of {content}"
        )


def _check_columns(source: TableFile) -> None:
    names, of = list(source.cells.column_names), source.format
    for column in of.columns:
        count = names.count(column.name)
        if count == 1 or (count == 0 and not column.is_required):
            continue
        problem = "is missing" if count == 0 else "appears twice"
        source.refuse(
            None,
            f"column '{column.name}' {problem}; the columns must be {', '.join(of.required)}, "
            f"and the file has {', '.join(names)}",
        )
