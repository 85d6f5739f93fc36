"""Run folders: what is read, and what is told of folders that are no runs."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.reading import RunFolderError, load_run
from sim.errors import InputError
from tests.analysis.builders import frame


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "manifest.json").write_text(json.dumps({"seed": 7}))
    (tmp_path / "summary.json").write_text(json.dumps({"n_fills": 2}))
    fills = frame("fills", time=[1.0, 2.0], status="OK")
    pq.write_table(pa.Table.from_pandas(fills), tmp_path / "records" / "fills.parquet")
    return tmp_path


def test_a_run_gives_manifest_summary_and_tables(folder):
    run = load_run(str(folder))
    assert (run.manifest, run.summary) == ({"seed": 7}, {"n_fills": 2})
    assert list(run.tables()) == ["fills"]
    assert run.table("fills")["time"].to_list() == [1.0, 2.0]


def test_a_table_is_read_once(folder):
    run = load_run(folder)
    assert run.table("fills") is run.table("fills")


def test_a_run_without_a_summary_has_an_empty_one(folder):
    (folder / "summary.json").unlink()
    assert load_run(folder).summary == {}


@pytest.mark.parametrize("missing", ["manifest.json", "records"])
def test_a_folder_that_is_no_run_is_refused(folder, missing):
    (folder / missing).rename(folder / "elsewhere")
    with pytest.raises(
        RunFolderError, match=rf"is not a run folder, for it has no {missing}; give"
    ):
        load_run(folder)


def test_a_missing_folder_and_a_file_are_refused(folder):
    with pytest.raises(RunFolderError, match=r"nowhere does not exist; give the folder"):
        load_run(folder / "nowhere")
    with pytest.raises(RunFolderError, match=r"manifest.json is not a folder; give"):
        load_run(folder / "manifest.json")


def test_broken_files_are_named(folder):
    (folder / "records" / "pools.parquet").write_bytes(b"PAR1 no")
    run = load_run(folder)
    with pytest.raises(RunFolderError, match=r"pools.parquet cannot be read \("):
        run.table("pools")
    (folder / "manifest.json").write_text("[1")
    with pytest.raises(RunFolderError, match=r"manifest.json cannot be read \("):
        load_run(folder)
    (folder / "manifest.json").write_text("[1]")
    with pytest.raises(RunFolderError, match=r"manifest.json holds no names"):
        load_run(folder)


def test_absent_and_unknown_tables_are_told_apart(folder):
    run = load_run(folder)
    with pytest.raises(RunFolderError, match=r"has no table 'pools'; it has: fills"):
        run.table("pools")
    with pytest.raises(InputError, match=r"no record table 'pol'; there are: fills"):
        run.table("pol")
