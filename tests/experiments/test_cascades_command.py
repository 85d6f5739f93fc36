"""`undertow cascades`: what it prints for a run folder."""

import json

import pytest

from analysis.reading import RunFolderError
from experiments.cascades_command import print_cascades
from tests.closed_forms.cascading import CascadingWorld, even_book


def write_run(folder, tables):
    """Write a run folder of record tables."""
    (folder / "records").mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"scenario": {}}))
    for name, table in tables.items():
        table.to_parquet(folder / "records" / f"{name}.parquet")
    return folder


def test_measures_table_and_stories_of_a_run_are_printed(tmp_path, capsys):
    tables = CascadingWorld(tmp_path / "book.csv", *even_book(2_000.0, 40, 5e-4)).run(shock=0.005)
    print_cascades(write_run(tmp_path / "run", tables), 1)
    printed = capsys.readouterr().out
    assert "debt repaid by liquidators, USD" in printed
    assert "by others" in printed
    assert printed.count("oracle update of eth-feed at 0:00") >= 1
    assert "generations deep" in printed.splitlines()[-1]


def test_a_run_in_which_nobody_was_liquidated_says_so(tmp_path, capsys):
    print_cascades(write_run(tmp_path / "run", {}), 1)
    assert capsys.readouterr().out == "nobody was liquidated\n"


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="not a run folder"):
        print_cascades(tmp_path, 1)
