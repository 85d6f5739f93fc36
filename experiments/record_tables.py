"""Record tables on their way to Parquet files: rows that wait, and the writer of one table.

Columns are those of `sim.records`. Text columns are dictionaries of the names that occur. The
digest of a table covers the values of every column in declared order, not the bytes of the file,
so it changes neither with the version of the Parquet library nor with how rows came in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sim.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sim.records import Table

_TYPES = {
    "float64": pa.float64(),
    "int64": pa.int64(),
    "text": pa.dictionary(pa.int32(), pa.string()),
}
_KINDS = {"float64": np.float64, "int64": np.int64, "text": np.int32}
_ROWS_A_GROUP = 50_000


def schema_of(table: Table) -> pa.Schema:
    """Return the Arrow schema of a record table; units and meanings are field metadata."""
    return pa.schema(
        pa.field(c.name, _TYPES[c.kind], metadata={"unit": c.unit, "meaning": c.meaning})
        for c in table.columns
    )


class Text(NamedTuple):
    """A text column as codes into a list of names."""

    codes: np.ndarray  # int, (n,)
    names: Sequence[str]


class _Names:
    """The names of a text column so far, each with a code of its own."""

    def __init__(self) -> None:
        self._code: dict[str, int] = {}
        self._seen: dict[int, tuple[Sequence[str], np.ndarray]] = {}

    def codes_of(self, value: Text | Sequence[str]) -> np.ndarray:
        """Return the codes of a column: int32, (n,)."""
        if isinstance(value, Text):
            return np.asarray(self._codes_for(value.names)[value.codes])
        return np.array([self._code_of(name) for name in value], np.int32)

    def _codes_for(self, names: Sequence[str]) -> np.ndarray:
        """Return the code of each name of a list; most lists come again and again."""
        known, codes = self._seen.get(id(names), (None, None))
        if known is None or codes is None or len(codes) != len(names):
            codes = np.array([self._code_of(name) for name in names], np.int32)
            self._seen[id(names)] = names, codes  # holding the list keeps its id from another one
        return codes

    def _code_of(self, name: str) -> int:
        return self._code.setdefault(name, len(self._code))

    def text(self, codes: np.ndarray) -> Text:
        """Return codes with the names that occur among them, in the order of their codes."""
        occurs = np.bincount(codes, minlength=len(self._code)) > 0
        names = [name for name, it_does in zip(self._code, occurs.tolist(), strict=True) if it_does]
        return Text((np.cumsum(occurs, dtype=np.int32) - 1)[codes], names)


class RowBuffer:
    """Rows of a table that wait, a column an array, until there are enough of them.

    Parameters
    ----------
    table : whose rows they are
    capacity : rows
    hand_on : called with the columns of `capacity` rows whenever there are as many
    """

    def __init__(
        self, table: Table, capacity: int, hand_on: Callable[[dict[str, Any]], None]
    ) -> None:
        self.table = table
        self.capacity = capacity
        self.n_rows = 0
        self._hand_on = hand_on
        self._kinds = {c.name: _KINDS[c.kind] for c in table.columns}
        self._names = {c.name: _Names() for c in table.columns if c.kind == "text"}
        self._columns: dict[str, np.ndarray] = {}

    def append(self, columns: Mapping[str, Any]) -> int:
        """Append rows and return how many.

        Parameters
        ----------
        columns : arrays of one length, or one number for all rows; text as `Text` or as strings
        """
        values = {name: columns[name] for name in self._kinds}
        for name, names in self._names.items():
            values[name] = names.codes_of(values[name])
        n = self._length_of(values)
        start = 0
        while start < n:
            taken = min(self.capacity - self.n_rows, n - start)
            whole = start == 0 and taken == n
            self._put(values if whole else _part(values, start, start + taken), taken)
            start += taken
            if self.n_rows == self.capacity:
                self.empty()
        return n

    def _length_of(self, values: Mapping[str, Any]) -> int:
        n = -1
        for name, value in values.items():
            if hasattr(value, "__len__") and len(value) != n:
                if n >= 0:
                    raise EngineError(
                        f"record {self.table.name}: column {name} has {len(value)} rows, those "
                        f"before it have {n}; give it as many, or one number for all"
                    )
                n = len(value)
        return abs(n)  # numbers alone make one row

    def _put(self, values: Mapping[str, Any], n: int) -> None:
        if not self._columns:
            self._columns = {
                name: np.empty(self.capacity, kind) for name, kind in self._kinds.items()
            }
        start, end = self.n_rows, self.n_rows + n
        for name, value in values.items():
            self._columns[name][start:end] = value
        self.n_rows = end

    def empty(self) -> None:
        """Hand on what waits."""
        n, columns = self.n_rows, self._columns
        self.n_rows, self._columns = 0, {}
        if n:
            made: dict[str, Any] = {name: column[:n] for name, column in columns.items()}
            for name, names in self._names.items():
                made[name] = names.text(made[name])
            self._hand_on(made)


def _part(values: Mapping[str, Any], start: int, end: int) -> dict[str, Any]:
    """Return some rows of columns; a number stands for all rows."""
    return {
        name: value[start:end] if hasattr(value, "__len__") else value
        for name, value in values.items()
    }


class SampleBuffer:
    """Many samples of a few rows each, which become columns together.

    A sample is kept as it came, for that is quick; lengths and names are looked at when thousands
    are joined.

    Parameters
    ----------
    table : whose rows they are
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.n_samples = self.n_rows = 0
        self._parts: dict[str, list[Any]] = {column.name: [] for column in table.columns}
        self._text = [column.name for column in table.columns if column.kind == "text"]

    def append(self, columns: Mapping[str, Any]) -> None:
        """Keep a copy of a sample: arrays of one length, or one number for all rows."""
        n = 1
        for name, parts in self._parts.items():
            value = columns[name]
            if isinstance(value, np.ndarray):
                value, n = value.copy(), len(value)
            elif isinstance(value, Text):
                value = Text(value.codes.copy(), value.names)
            parts.append(value)
        self.n_samples += 1
        self.n_rows += n

    def empty(self) -> dict[str, Any]:
        """Return all samples as columns, and forget them."""
        lengths = self._lengths()
        joined: dict[str, Any] = {}
        for name, parts in self._parts.items():
            joined[name] = (
                _join_text(parts, lengths) if name in self._text else _join(parts, lengths)
            )
            parts.clear()
        self.n_samples = self.n_rows = 0
        return joined

    def _lengths(self) -> np.ndarray:
        """Return the rows of each sample: int64, (n_samples,)."""
        lengths = np.full(self.n_samples, -1)
        for name, parts in self._parts.items():
            rows = np.array([_rows_of(part) for part in parts])
            wrong = np.flatnonzero((rows >= 0) & (lengths >= 0) & (rows != lengths))
            if len(wrong):
                raise EngineError(
                    f"record {self.table.name}: column {name} has {rows[wrong[0]]} rows, those "
                    f"before it have {lengths[wrong[0]]}; give it as many, or one number for all"
                )
            lengths = np.maximum(lengths, rows)
        return np.asarray(np.abs(lengths))  # numbers alone make one row


def _rows_of(value: Any) -> int:
    """Return how many rows a column has; -1 for one number for all."""
    if isinstance(value, Text):
        return len(value.codes)
    return len(value) if hasattr(value, "__len__") else -1


def _join(parts: list[Any], lengths: np.ndarray) -> np.ndarray:
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.asarray(np.concatenate(parts))
    if not any(hasattr(part, "__len__") for part in parts):
        return np.repeat(np.array(parts), lengths)
    filled = zip(parts, lengths.tolist(), strict=True)
    return np.asarray(np.concatenate([np.broadcast_to(part, n) for part, n in filled]))


def _join_text(parts: list[Any], lengths: np.ndarray) -> Text:
    """Return text of all samples, whose lists of names may differ."""
    names = _Names()
    codes = [names.codes_of(part) for part in parts]
    return names.text(_join(codes, lengths))


class TableWriter:
    """Appends columns to one table: to a Parquet file, or kept in memory.

    Small batches are gathered first: a Parquet row group of ten rows costs as much as one of ten
    thousand.
    """

    def __init__(self, table: Table, folder: Path | None) -> None:
        self.table = table
        self.schema = schema_of(table)
        self.n_rows = 0
        self._waiting = RowBuffer(table, _ROWS_A_GROUP, self._write)
        self._digests = {column.name: hashlib.sha256() for column in table.columns}
        self._batches: list[pa.Table] = []
        self._writer = None
        if folder is not None:
            path = folder / f"{table.name}.parquet"
            text = [column.name for column in table.columns if column.kind == "text"]
            self._writer = pq.ParquetWriter(  # dictionaries of numbers make larger files, slower
                path, self.schema, compression="zstd", use_dictionary=text
            )

    def append(self, columns: Mapping[str, Any]) -> None:
        """Append columns of one length; text as `Text` or as a list of strings."""
        self.n_rows += self._waiting.append(columns)

    def _write(self, columns: dict[str, Any]) -> None:
        arrays = []
        for name, digest in self._digests.items():
            value = columns[name]
            if isinstance(value, Text):
                ended = np.array([f"{text}\0".encode() for text in value.names], object)
                digest.update(b"".join(ended[value.codes]))
                codes = pa.array(value.codes, pa.int32())
                arrays.append(pa.DictionaryArray.from_arrays(codes, pa.array(value.names)))
            else:
                digest.update(value)
                arrays.append(pa.array(value))
        batch = pa.Table.from_arrays(arrays, schema=self.schema)
        if self._writer is not None:
            self._writer.write_table(batch)
        else:
            self._batches.append(batch)

    def close(self) -> None:
        """Write what waits and finish the file."""
        self._waiting.empty()
        if self._writer is not None:
            self._writer.close()

    def abandon(self) -> None:
        """Leave the file as it is, without an end: the disk may be full."""
        if self._writer is not None:
            self._writer.is_open = False

    def digest(self) -> bytes:
        """Return the hash of all values, after `close`."""
        return b"".join(digest.digest() for digest in self._digests.values())

    def to_arrow(self) -> pa.Table:
        """Return what was kept in memory, after `close`."""
        return pa.concat_tables(self._batches) if self._batches else self.schema.empty_table()
