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
    from concurrent.futures import Executor, Future
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

    Nearly all samples of a table are of the same shape: they are laid into blocks, a row a sample,
    which are columns already.

    Parameters
    ----------
    table : whose rows they are
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.n_samples = self.n_rows = 0
        self._names = [column.name for column in table.columns]
        self._text = [k for k, column in enumerate(table.columns) if column.kind == "text"]
        self._blocks: list[_Block] = []

    def append(self, columns: Mapping[str, Any]) -> None:
        """Keep a copy of a sample: arrays of one length, or one number for all rows."""
        values = [columns[name] for name in self._names]
        for k in self._text:
            if not isinstance(values[k], Text):
                values[k] = Text(np.arange(len(values[k])), list(values[k]))
        if not (self._blocks and self._blocks[-1].take(values)):
            block = _Block(self.table, values)
            block.take(values)
            self._blocks.append(block)
        self.n_samples += 1
        self.n_rows += self._blocks[-1].n_rows

    def empty(self) -> dict[str, Any]:
        """Return all samples as columns, and forget them."""
        blocks, self._blocks = self._blocks, []
        self.n_samples = self.n_rows = 0
        return {name: _joined(k, blocks) for k, name in enumerate(self._names)}


class _Block:
    """Samples of one shape: as many rows each, the same columns constant, the same names."""

    def __init__(self, table: Table, values: Sequence[Any]) -> None:
        self._size = 16
        self._count = 0
        self.names = [value.names if isinstance(value, Text) else None for value in values]
        parts = [value.codes if isinstance(value, Text) else value for value in values]
        self._lengths = [len(part) if hasattr(part, "__len__") else None for part in parts]
        lengths = [length for length in self._lengths if length is not None]
        self.n_rows = lengths[0] if lengths else 1  # numbers alone make one row
        for column, length in zip(table.columns, self._lengths, strict=True):
            if length is not None and length != self.n_rows:
                raise EngineError(
                    f"record {table.name}: column {column.name} has {length} rows, those "
                    f"before it have {self.n_rows}; give it as many, or one number for all"
                )
        self._columns = [np.empty((self._size, *np.shape(p)), np.asarray(p).dtype) for p in parts]

    def take(self, values: Sequence[Any]) -> bool:
        """Keep a sample; False where it is of another shape."""
        parts = []
        for value, length, names in zip(values, self._lengths, self.names, strict=True):
            part = value
            if names is not None:
                if not isinstance(value, Text) or value.names is not names:
                    return False
                part = value.codes
            if (len(part) if hasattr(part, "__len__") else None) != length:
                return False
            parts.append(part)
        if self._count == self._size:
            self._grow()
        for column, part in zip(self._columns, parts, strict=True):
            column[self._count] = part
        self._count += 1
        return True

    def _grow(self) -> None:
        self._size *= 2
        for k, column in enumerate(self._columns):
            self._columns[k] = np.empty((self._size, *column.shape[1:]), column.dtype)
            self._columns[k][: self._count] = column

    def column(self, k: int) -> np.ndarray:
        """Return a column of all samples: (n_samples * n_rows,)."""
        found = self._columns[k][: self._count]
        return np.repeat(found, self.n_rows) if self._lengths[k] is None else found.ravel()


def _joined(k: int, blocks: Sequence[_Block]) -> Any:
    """Return column `k` of all blocks, whose lists of names may differ."""
    parts = [block.column(k) for block in blocks]
    lists = [block.names[k] for block in blocks]
    if lists[0] is None:
        return np.concatenate(parts)
    if all(names is lists[0] for names in lists):
        return Text(np.concatenate(parts), lists[0])
    names = _Names()
    texts = [Text(p, found) for p, found in zip(parts, lists, strict=True) if found is not None]
    return names.text(np.concatenate([names.codes_of(text) for text in texts]))


class TableWriter:
    """Appends columns to one table: to a Parquet file, or kept in memory.

    Small batches are gathered first: a Parquet row group of ten rows costs as much as one of ten
    thousand.

    Parameters
    ----------
    table : whose rows they are
    folder : where the file goes; None keeps the rows in memory
    thread : writes while the world goes on, a batch of each table at a time; None writes at once
    """

    def __init__(self, table: Table, folder: Path | None, thread: Executor | None = None) -> None:
        self.table = table
        self.schema = schema_of(table)
        self.n_rows = 0
        self._waiting = RowBuffer(table, _ROWS_A_GROUP, self._hand_on)
        self._thread = thread
        self._writing: Future[None] | None = None
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

    def _hand_on(self, columns: dict[str, Any]) -> None:
        self._settle()
        if self._thread is None:
            self._write(columns)
        else:
            self._writing = self._thread.submit(self._write, columns)

    def _settle(self) -> None:
        """Wait for what is being written; raise what went wrong with it."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

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
        self._settle()
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
