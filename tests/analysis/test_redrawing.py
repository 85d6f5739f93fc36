"""`python -m analysis.figures` draws the figures of a run folder again."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.figures import FIGURES
from analysis.figures.__main__ import main
from tests.analysis.builders import crash_manifest, crash_run


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "manifest.json").write_text(json.dumps(crash_manifest()))
    for name in ("bridges", "lending"):
        table = pa.Table.from_pandas(crash_run()[name])
        pq.write_table(table, tmp_path / "records" / f"{name}.parquet")
    return tmp_path


def test_figures_with_data_are_drawn_into_the_folder(folder, capsys):
    assert main([str(folder)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == [str(folder / "figures" / f"{name}.png") for name in ("bridges", "utilization")]
    assert sorted(path.name for path in (folder / "figures").iterdir()) == [
        "bridges.png",
        "utilization.png",
    ]


def test_a_figure_is_drawn_alone_and_replaces_the_former(folder, capsys):
    (folder / "figures").mkdir()
    picture = folder / "figures" / "bridges.png"
    picture.write_text("old")
    assert main([str(folder), "bridges"]) == 0
    assert capsys.readouterr().out == f"{picture}\n"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(list((folder / "figures").iterdir())) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere does not exist; give the folder that `undertow run` printed"),
        ([".", "pies"], f"no figure 'pies'; there are: {', '.join(sorted(FIGURES))}"),
    ],
)
def test_a_wrong_folder_or_name_is_told_in_one_line(words, message, capsys):
    assert main(words) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"analysis.figures: {message}\n")
