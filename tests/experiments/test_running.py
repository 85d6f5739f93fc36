"""Runs: the same seed gives the same bits, and a run folder is whole or not there."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import mesa
import pandas as pd
import pyarrow.parquet as pq
import pytest

from experiments import build, load_scenario, run
from experiments.run_folder import check_place, whole_folder
from sim.errors import InputError, OutputError
from sim.records import TABLES

HOURS = 2.0
SEED = 7


def scenario_of(*overrides, hours=HOURS):
    return load_scenario("quiet-market", overrides, until=hours * 3_600)


@pytest.fixture(scope="module")
def in_memory():
    """Return a run whose tables are data frames."""
    return run(scenario_of(), SEED)


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    """Return the same run in a folder."""
    place = tmp_path_factory.mktemp("runs") / "on-disk"
    return run(scenario_of(), SEED, out=place, figures=False)


# --- the model ------------------------------------------------------------------------------------


def test_build_makes_a_mesa_model_that_runs():
    model = build(load_scenario("quiet-market"), seed=SEED)

    assert isinstance(model, mesa.Model)
    model.run_for(3_600)
    assert model.time == 3_600


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "1", True, None])
def test_a_seed_is_a_whole_number_that_the_engine_can_hold(seed):
    with pytest.raises(InputError, match=r"seed \(.*\) must be a whole number from 0"):
        build(load_scenario("quiet-market"), seed)


def test_the_package_has_no_other_names_than_its_public_ones():
    import experiments

    with pytest.raises(AttributeError, match="no attribute 'simulate'"):
        _ = experiments.simulate


# --- the same seed, the same bits -----------------------------------------------------------------


def test_the_same_seed_gives_the_same_records_again(in_memory):
    again = run(scenario_of(), SEED)

    assert again.manifest["content_hash"] == in_memory.manifest["content_hash"]
    assert again.summary == in_memory.summary


def test_another_seed_gives_other_records(in_memory):
    assert (
        run(scenario_of(), SEED + 1).manifest["content_hash"] != in_memory.manifest["content_hash"]
    )


def test_records_are_the_same_in_memory_and_on_disk(in_memory, on_disk):
    assert on_disk.manifest["content_hash"] == in_memory.manifest["content_hash"]
    for name, table in in_memory.tables.items():
        pd.testing.assert_frame_equal(on_disk.tables[name], table)


def test_figures_change_no_record(on_disk, tmp_path):
    drawn = run(scenario_of(), SEED, out=tmp_path / "drawn")

    assert drawn.figures
    assert all(figure.stat().st_size > 5_000 for figure in drawn.figures)
    assert drawn.manifest["content_hash"] == on_disk.manifest["content_hash"]
    for file in (on_disk.folder / "records").iterdir():
        assert file.read_bytes() == (tmp_path / "drawn" / "records" / file.name).read_bytes()


def test_another_process_gives_the_same_records(in_memory):
    code = (
        "from experiments import load_scenario, run\n"
        f"result = run(load_scenario('quiet-market', until={HOURS * 3_600}), {SEED})\n"
        "print(result.manifest['content_hash'])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "99", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == in_memory.manifest["content_hash"]


def test_samples_change_what_is_recorded_but_not_what_happens(in_memory):
    rarely = run(scenario_of("records.sample_seconds=20m"), SEED)

    assert len(rarely.tables["pools"]) < len(in_memory.tables["pools"])
    pd.testing.assert_frame_equal(rarely.tables["fills"], in_memory.tables["fills"])


def test_tables_of_a_replaced_folder_are_gone_rather_than_those_of_another_run(tmp_path):
    place = tmp_path / "run"
    first = run(scenario_of(), SEED, out=place, figures=False)
    pools = first.tables["pools"]
    second = run(scenario_of(), SEED + 1, out=place, force=True, figures=False)

    assert first.tables["pools"] is pools  # looked at before
    with pytest.raises(InputError, match="holds another run by now, so 'fills'"):
        first.tables["fills"]
    assert len(second.tables["fills"])


# --- results --------------------------------------------------------------------------------------


def test_a_run_without_a_folder_returns_every_table_as_a_data_frame(in_memory):
    assert in_memory.folder is None
    assert list(in_memory.tables) == list(TABLES)
    for name, table in in_memory.tables.items():
        assert list(table.columns) == [column.name for column in TABLES[name].columns]


def test_the_manifest_tells_what_is_needed_to_repeat_the_run(on_disk):
    manifest = json.loads((on_disk.folder / "manifest.json").read_text())

    assert manifest == on_disk.manifest
    assert manifest["seed"] == SEED
    assert manifest["status"] == "done"
    assert manifest["scenario"]["horizon"] == HOURS * 3_600
    assert len(manifest["content_hash"]) == len(manifest["code_version"]) == 64
    assert {"undertow", "mesa", "numpy", "numba", "python"} <= set(manifest["versions"])
    assert set(manifest["scenario"]["populations"]) <= set(manifest["roles"])
    assert manifest["roles"]["arbitrageur"] == "arbitrageurs"
    assert manifest["shock_times"] == []


def test_the_manifest_counts_the_work_that_was_done(on_disk):
    work, fills = on_disk.manifest["work"], on_disk.tables["fills"]

    assert work["fills"] == (fills["status"] == "OK").sum() > 0
    assert sum(work["by_status"].values()) == len(fills) == work["rows"]["fills"]
    assert work["blocks"]["mainnet"] == len(on_disk.tables["chains"])
    assert work["rows"] == {name: len(table) for name, table in on_disk.tables.items()}


def test_a_scenario_as_run_repeats_the_run(on_disk, tmp_path):
    (tmp_path / "again.yaml").write_text(json.dumps(on_disk.manifest["scenario"]))

    again = run(load_scenario(str(tmp_path / "again.yaml")), SEED)

    assert again.manifest["content_hash"] == on_disk.manifest["content_hash"]


def test_a_run_over_a_price_file_can_be_repeated_from_its_manifest(tmp_path):
    file = tmp_path / "candles.csv"
    rows = (f"{60 * k},2000,{2_100 + k},1900,{2_000 + k},1" for k in range(60))
    file.write_text("\n".join(["time,open,high,low,close,volume", *rows]))
    scenario = load_scenario("quiet-market", (), str(file), 1_800.0, "1970-01-01T00:10:00Z")

    first = run(scenario, SEED)
    (tmp_path / "again.yaml").write_text(json.dumps(first.manifest["scenario"]))
    again = run(load_scenario(str(tmp_path / "again.yaml")), SEED)

    assert again.manifest["content_hash"] == first.manifest["content_hash"]
    prices = first.tables["prices"]
    path = prices[prices["asset"] == "ETH"].set_index("time")["fundamental"]
    assert path[0] == 2_000  # the open of the candle of minute 10
    assert path[600] == 2_000  # the open of minute 20


def test_a_summary_holds_plain_numbers_that_json_can_hold(on_disk):
    text = (on_disk.folder / "summary.json").read_text()

    assert json.loads(text, parse_constant=pytest.fail) == on_disk.summary


def test_parquet_files_bear_units_and_meanings(on_disk):
    schema = pq.read_schema(on_disk.folder / "records" / "fills.parquet")

    for column in TABLES["fills"].columns:
        told = {b"unit": column.unit.encode(), b"meaning": column.meaning.encode()}
        assert schema.field(column.name).metadata == told


# --- the folder -----------------------------------------------------------------------------------

MANIFEST = '{"scenario": {}, "seed": 1, "content_hash": ""}'


def a_run_folder(place, text="old"):
    place.mkdir(parents=True)
    (place / "manifest.json").write_text(MANIFEST)
    (place / "summary.json").write_text(text)
    return place


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_folder_appears_whole_when_the_body_is_done(tmp_path):
    place = tmp_path / "a" / "b" / "run"

    with whole_folder(place, force=False) as draft:
        (draft / "summary.json").write_text("new")
        assert not place.exists()

    assert names(tmp_path / "a" / "b") == ["run"]
    assert (place / "summary.json").read_text() == "new"


def _fail(place, fault, *, force=False, also=None):
    """Begin a folder and end its body early."""
    with whole_folder(place, force=force) as draft:
        (draft / "summary.json").write_text("new")
        if also is not None:
            also.write_text("mine")
        raise fault


@pytest.mark.parametrize("fault", [KeyboardInterrupt, SystemExit, ValueError, MemoryError])
def test_whatever_ends_the_body_early_leaves_the_disk_as_it_was(tmp_path, fault):
    with pytest.raises(fault):
        _fail(tmp_path / "a" / "b" / "run", fault)

    assert names(tmp_path) == []


def test_a_folder_that_others_have_used_meanwhile_is_not_removed(tmp_path):
    with pytest.raises(RuntimeError):
        _fail(tmp_path / "a" / "b" / "run", RuntimeError, also=tmp_path / "a" / "mine.txt")

    assert names(tmp_path / "a") == ["mine.txt"]


def test_leftovers_of_killed_runs_do_not_block_a_later_one(tmp_path):
    for number in range(3):
        (tmp_path / f".run.{os.getpid() + number}.part").mkdir()

    with whole_folder(tmp_path / "run", force=False):
        pass

    assert "run" in names(tmp_path)
    assert len(names(tmp_path)) == 4


def test_a_run_folder_is_replaced_by_force_alone(tmp_path):
    place = a_run_folder(tmp_path / "run")

    with pytest.raises(InputError, match="exists; give another --out, or --force"):
        check_place(place, force=False)
    with whole_folder(place, force=True) as draft:
        (draft / "manifest.json").write_text("{}")
        assert (place / "summary.json").read_text() == "old"

    assert names(tmp_path) == ["run"]
    assert names(place) == ["manifest.json"]


def test_what_is_replaced_stays_when_the_body_fails(tmp_path):
    place = a_run_folder(tmp_path / "run")

    with pytest.raises(OSError, match="no"), whole_folder(place, force=True):
        raise OSError(errno.EIO, "no")

    assert names(tmp_path) == ["run"]
    assert (place / "summary.json").read_text() == "old"


def test_what_is_replaced_comes_back_when_the_last_rename_fails(tmp_path, monkeypatch):
    place = a_run_folder(tmp_path / "run")
    rename = type(place).rename

    def fail_for_drafts(self, target):
        if target == place and (self / "draft").exists():
            raise OSError(errno.EIO, "no")
        return rename(self, target)

    monkeypatch.setattr(type(place), "rename", fail_for_drafts)
    with pytest.raises(OutputError), whole_folder(place, force=True) as draft:
        (draft / "draft").write_text("")

    assert (place / "summary.json").read_text() == "old"
    assert names(tmp_path) == ["run"]


def test_force_replaces_an_empty_folder(tmp_path):
    (tmp_path / "run").mkdir()

    with whole_folder(tmp_path / "run", force=True) as draft:
        (draft / "manifest.json").write_text("{}")

    assert names(tmp_path / "run") == ["manifest.json"]


@pytest.mark.parametrize(
    ("manifest", "extra", "message"),
    [
        (None, "mine.txt", "is not a run folder"),
        ('{"name": "my extension", "version": "1"}', "main.js", "is not a run folder"),
        ("[" * 100_000, None, "is not a run folder"),
        ("not JSON", None, "is not a run folder"),
        (MANIFEST, "notes.md", "holds 'notes.md', which no run wrote"),
    ],
)
def test_force_replaces_nothing_that_is_not_a_run_folder(tmp_path, manifest, extra, message):
    place = tmp_path / "run"
    place.mkdir()
    for name, text in (("manifest.json", manifest), (extra, "mine")):
        if name and text is not None:
            (place / name).write_text(text)
    before = names(place)

    with pytest.raises(InputError, match=message), whole_folder(place, force=True):
        pytest.fail("the body runs")

    assert names(place) == before


def test_force_replaces_neither_a_file_nor_a_link_nor_where_the_command_runs(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    target = a_run_folder(tmp_path / "target" / "inner")
    (tmp_path / "link").symlink_to(target)
    monkeypatch.chdir(target)

    for name in ("file", "link"):
        with pytest.raises(InputError, match="is not a folder; it is not replaced"):
            check_place(tmp_path / name, force=True)
    for place in (target, target.parent, target / ".", target / ".."):
        with pytest.raises(InputError, match="is where this command runs"):
            check_place(place, force=True)


def test_a_folder_that_appeared_during_the_run_is_not_replaced(tmp_path):
    place = tmp_path / "run"

    with pytest.raises(InputError, match="exists"), whole_folder(place, force=False):
        a_run_folder(place, "theirs")

    assert (place / "summary.json").read_text() == "theirs"
    assert names(tmp_path) == ["run"]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EFBIG, "larger than this system allows"),
        (errno.EIO, "cannot be written"),
    ],
)
def test_faults_of_the_disk_name_the_folder_and_the_way_out(tmp_path, number, message):
    with (
        pytest.raises(OutputError, match=message) as fault,
        whole_folder(tmp_path / "run", force=False),
    ):
        raise OSError(number, os.strerror(number))

    assert str(fault.value).startswith(f"{tmp_path / 'run'}: ")
    assert fault.value.exit_code == 1


def test_a_file_size_limit_is_told_as_a_fault_of_the_disk(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    scenario = scenario_of(hours=0.5)

    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        with pytest.raises(OutputError, match="a file would be larger than this system allows"):
            run(scenario, SEED, out=tmp_path / "run", figures=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert names(tmp_path) == []
