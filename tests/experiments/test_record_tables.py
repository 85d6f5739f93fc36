"""Tables of records: every value once, in declared columns, under one hash."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from experiments.record_tables import RowBuffer, SampleBuffer, TableWriter, Text, schema_of
from sim.errors import EngineError
from sim.records import TABLES, table

PRICES = table("prices")


def _columns(n, asset="ETH", first=0.0):
    numbers = {c.name: first + np.arange(n, dtype=float) for c in PRICES.columns}
    return numbers | {"asset": [asset] * n}


def _digest(*batches):
    writer = TableWriter(PRICES, None)
    for batch in batches:
        writer.append(batch)
    writer.close()
    return writer.digest()


# --- one table ------------------------------------------------------------------------------------


def test_the_hash_does_not_depend_on_how_rows_come_in():
    whole = _columns(5)
    halves = [{k: v[:2] for k, v in whole.items()}, {k: v[2:] for k, v in whole.items()}]

    assert _digest(whole) == _digest(*halves)


def test_the_hash_does_not_depend_on_how_text_is_coded():
    names = ["ETH", "DAI", "ETH"]
    coded = Text(np.array([2, 0, 2]), ["DAI", "unused", "ETH"])

    assert _digest(_columns(3) | {"asset": names}) == _digest(_columns(3) | {"asset": coded})


@pytest.mark.parametrize(
    "change",
    [
        {"reference": np.array([0.0, np.nextafter(1.0, 2.0), 2.0])},
        {"reference": np.array([0.0, 2.0, 1.0])},
        {"asset": ["ETH", "ETH", "DAI"]},
    ],
)
def test_the_hash_sees_every_value_and_its_row(change):
    assert _digest(_columns(3)) != _digest(_columns(3) | change)


def test_the_hash_sees_where_a_text_ends():
    assert _digest(_columns(2) | {"asset": ["ab", "c"]}) != _digest(
        _columns(2) | {"asset": ["a", "bc"]}
    )


def test_a_table_is_the_same_in_memory_and_in_its_file(tmp_path):
    kept, written = TableWriter(PRICES, None), TableWriter(PRICES, tmp_path)
    for writer in (kept, written):
        writer.append(_columns(3))
        writer.append(_columns(2, "DAI", 10.0))
        writer.close()

    file = pq.read_table(tmp_path / "prices.parquet").to_pandas()
    pd.testing.assert_frame_equal(file, kept.to_arrow().to_pandas())
    assert kept.n_rows == written.n_rows == len(file) == 5
    assert file["asset"].tolist() == ["ETH"] * 3 + ["DAI"] * 2
    assert file["reference"].tolist() == [0, 1, 2, 10, 11]


@pytest.mark.parametrize("name", TABLES)
def test_an_empty_table_has_all_its_columns(name):
    assert TableWriter(TABLES[name], None).to_arrow().schema == schema_of(TABLES[name])


def test_columns_of_unequal_length_or_missing_are_a_fault():
    with pytest.raises(KeyError, match="reference"):
        _digest({k: v for k, v in _columns(2).items() if k != "reference"})
    with pytest.raises(EngineError, match=r"prices: column reference has 1 rows, .* have 2"):
        _digest(_columns(2) | {"reference": np.zeros(1)})


def test_one_number_stands_for_all_rows():
    whole = _columns(3) | {"time": np.full(3, 7.0)}

    assert _digest(_columns(3) | {"time": 7.0}) == _digest(whole)


def test_only_names_that_occur_are_written():
    writer = TableWriter(PRICES, None)
    writer.append(_columns(2) | {"asset": Text(np.array([3, 1]), ["a", "b", "c", "d"])})
    writer.close()

    column = writer.to_arrow()["asset"].chunk(0)
    assert column.dictionary.to_pylist() == ["b", "d"]
    assert column.to_pylist() == ["d", "b"]


def test_names_that_join_a_list_later_are_written_too():
    names, writer = ["a"], TableWriter(PRICES, None)
    writer.append(_columns(1) | {"asset": Text(np.array([0]), names)})
    names.append("b")
    writer.append(_columns(1) | {"asset": Text(np.array([1]), names)})
    writer.close()

    assert writer.to_arrow()["asset"].to_pylist() == ["a", "b"]


def test_rows_are_handed_on_by_the_capacity_and_nothing_written_later_changes_them():
    handed = []
    buffer = RowBuffer(PRICES, 4, lambda columns: handed.append(columns["reference"]))
    mine = _columns(7)
    for _ in range(2):
        assert buffer.append(mine) == 7
    mine["reference"][:] = -1.0
    buffer.empty()

    assert [len(part) for part in handed] == [4, 4, 4, 2]
    assert np.concatenate(handed).tolist() == [*range(7), *range(7)]


def test_samples_are_joined_as_they_came_and_nothing_written_later_changes_them():
    buffer, live, names = SampleBuffer(PRICES), _columns(2), ["x", "y"]
    codes = np.array([1, 0])
    buffer.append(live | {"time": 5.0, "asset": Text(codes, names)})
    live["reference"][:], codes[:] = -1.0, 0
    buffer.append(_columns(1, "DAI", 10.0) | {"asset": ["DAI"]})
    assert (buffer.n_samples, buffer.n_rows) == (2, 3)

    joined = buffer.empty()
    assert joined["time"].tolist() == [5.0, 5.0, _columns(1, "DAI", 10.0)["time"][0]]
    assert joined["reference"].tolist() == [0.0, 1.0, 10.0]
    assert [joined["asset"].names[k] for k in joined["asset"].codes] == ["y", "x", "DAI"]
    assert (buffer.n_samples, buffer.n_rows) == (0, 0)


def test_samples_of_unequal_length_or_missing_are_a_fault():
    with pytest.raises(KeyError, match="reference"):
        SampleBuffer(PRICES).append({k: v for k, v in _columns(2).items() if k != "reference"})
    buffer = SampleBuffer(PRICES)
    buffer.append(_columns(2))
    with pytest.raises(EngineError, match=r"prices: column reference has 1 rows, .* have 2"):
        buffer.append(_columns(2) | {"reference": np.zeros(1)})


def test_many_samples_of_changing_shape_keep_their_order():
    buffer, names = SampleBuffer(PRICES), ["x", "y", "z"]
    sizes = [2] * 40 + [3] * 5 + [1, 2]
    for k, n in enumerate(sizes):
        sample = {**_columns(n), "time": float(k), "asset": Text(np.arange(n), names)}
        buffer.append(sample)
    joined = buffer.empty()
    assert joined["time"].tolist() == [float(k) for k, n in enumerate(sizes) for _ in range(n)]
    assert joined["asset"].codes.tolist() == [row for n in sizes for row in range(n)]


def test_a_thread_writes_the_same_file_and_its_faults_come_back(tmp_path):
    tables = []
    for place, thread in ((tmp_path / "a", None), (tmp_path / "b", ThreadPoolExecutor(1))):
        place.mkdir()
        writer = TableWriter(PRICES, place, thread)
        for _ in range(3):
            writer.append(_columns(60_000))
        writer.close()
        tables.append((writer.digest(), (place / "prices.parquet").read_bytes()))
    assert tables[0] == tables[1]


def test_what_goes_wrong_in_the_thread_is_raised_where_the_rows_came_from(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    writer = TableWriter(PRICES, tmp_path, ThreadPoolExecutor(1))
    monkeypatch.setattr(writer._writer, "write_table", fail)
    writer.append(_columns(50_000))
    with pytest.raises(OSError, match="No space left"):
        writer.append(_columns(50_000))
    writer.abandon()
