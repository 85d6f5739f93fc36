"""Tables in files: what is read, and where a fault is told."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim.errors import ScenarioError
from sim.table_files import FileColumn, FileFormat, FileSource, read_table

PEOPLE = FileFormat(
    name="people",
    noun="people file",
    content="people",
    meaning="Whoever there is.",
    columns=(
        FileColumn("name", "text", "", "Name."),
        FileColumn("height", "number", "m", "Height."),
        FileColumn("age", "whole number", "year", "Age.", is_required=False),
    ),
)


def written(folder, text, name="people.csv"):
    (folder / name).write_text(text)
    return folder / name


def table_of(folder, text):
    return read_table(written(folder, text), PEOPLE)


def refusal(body):
    with pytest.raises(ScenarioError) as error:
        body()
    return str(error.value)


def test_csv_and_parquet_give_the_same_columns(tmp_path):
    csv = table_of(tmp_path, "name,height,age\n007,1.5,30\n0xab,2,40\n")
    columns = {"name": ["007", "0xab"], "height": ["1.5", "2"], "age": [30, 40]}
    pq.write_table(pa.table(columns), tmp_path / "people.parquet")
    parquet = read_table(tmp_path / "people.parquet", PEOPLE)
    for table in (csv, parquet):
        assert table.texts("name") == ["007", "0xab"]  # text, whatever it looks like
        assert table.numbers("height").tolist() == [1.5, 2.0]
        assert table.whole_numbers("age").tolist() == [30, 40]


def test_a_table_knows_its_hash_and_its_optional_columns(tmp_path):
    table = table_of(tmp_path, "name,height,extra\nann,1.5,x\n")
    assert table.sha256 == hashlib.sha256((tmp_path / "people.csv").read_bytes()).hexdigest()
    assert (table.has("age"), table.has("extra"), table.n_rows) == (False, True, 1)
    assert PEOPLE.required == ("name", "height")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ": is empty; it must have the columns name, height"),
        ("name\nann\n", ": column 'height' is missing; the columns must be name, height, and the"),
        ("name,height,height\nann,1,2\n", ": column 'height' appears twice"),
        ("name,height\n", ": has 0 people; at least 1 are needed"),
        ("name,height\nann,1,2,3\n", ": cannot be read as CSV ("),
    ],
)
def test_a_file_without_the_columns_is_refused(tmp_path, text, told):
    message = refusal(lambda: table_of(tmp_path, text))
    assert message.startswith(f"people file {tmp_path / 'people.csv'}{told}")


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path):
    assert "cannot be read (No such file" in refusal(lambda: read_table(tmp_path / "x", PEOPLE))
    (tmp_path / "x").write_bytes(b"name\xff")
    assert "(byte 4 is not UTF-8)" in refusal(lambda: read_table(tmp_path / "x", PEOPLE))


CELLS = {
    "text for a number": ("ann,tall", "height is 'tall'; it must be a number"),
    "nothing for a number": ("ann,", "height is nan; it must be a finite number of at least 0"),
    "negative": ("ann,-1", "height is -1; it must be a finite number of at least 0"),
    "infinite": ("ann,inf", "height is inf; it must be a finite number of at least 0"),
    "nothing for a text": (",1.5", "name is missing; every row needs one"),
}


@pytest.mark.parametrize("case", CELLS)
def test_a_wrong_cell_is_told_with_its_line(tmp_path, case):
    row, told = CELLS[case]
    table = table_of(tmp_path, f"name,height\nbob,1.8\n\n{row}\n")

    def read():
        table.texts("name")
        table.amounts("height")

    assert refusal(read) == f"people file {tmp_path / 'people.csv'}, line 4: {told}"


def test_a_wrong_cell_of_parquet_is_told_with_its_row(tmp_path):
    pq.write_table(pa.table({"name": ["a", "b"], "height": [1.0, None]}), tmp_path / "p")
    table = read_table(tmp_path / "p", PEOPLE)
    assert ", row 2: height is nan; " in refusal(lambda: table.amounts("height"))


def test_whole_numbers_have_no_fraction(tmp_path):
    table = table_of(tmp_path, "name,height,age\nann,1,30.5\n")
    told = refusal(lambda: table.whole_numbers("age"))
    assert told.endswith("line 2: age is 30.5; it must be a whole number")


def test_a_column_of_nothing_is_all_nan(tmp_path):
    assert np.isnan(table_of(tmp_path, "name,height\nann,\nbob,\n").numbers("height")).all()


def test_a_repeated_key_is_told_with_both_places(tmp_path):
    table = table_of(tmp_path, "name,height\nann,1\nbob,2\nann,3\n")
    told = refusal(lambda: table.unique("name"))
    assert told.endswith("line 4: name 'ann' stands in line 2 already; add them up in one row")


def test_what_is_constant_in_a_group_may_not_differ(tmp_path):
    table = table_of(tmp_path, "name,height\nann,1\nbob,2\nann,1\n")
    assert table.constant("height", ["x", "y", "x"]) == {"x": 1.0, "y": 2.0}
    told = refusal(lambda: table.constant("height", ["x", "x", "x"]))
    assert told.endswith("line 3: height of 'x' is 2; an earlier row has 1")


def test_a_source_refuses_another_file_than_the_one_it_knows(tmp_path):
    file = str(written(tmp_path, "name,height\nann,1\n"))
    known = FileSource(file=file, sha256=FileSource(file=file).table(PEOPLE).sha256)
    assert known.table(PEOPLE).n_rows == 1
    written(tmp_path, "name,height\nann,2\n")
    assert f"not {known.sha256}; give that file" in refusal(lambda: known.table(PEOPLE))
