"""Sweeps: what is run, what is kept, and what survives."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from experiments.studies import load_study
from experiments.studies.deciding import decide_once
from experiments.studies.engines import LocalEngine, RayEngine
from experiments.studies.plan import Plan
from experiments.studies.store import Store
from experiments.studies.sweep import only_driver, sweep
from experiments.studies.worker import Job, run_chunk_apart, run_one
from sim.errors import InputError, InvariantError, OutputError

ROOT = Path(__file__).resolve().parents[3]


def run_study(path, out, **options):
    plan = Plan(load_study(path))
    return sweep(plan, Store(str(out)), LocalEngine(1), **options)


def read(out):
    return pd.read_parquet(Path(out) / "runs")


# --- the data set --------------------------------------------------------------------------------


def test_every_run_is_one_row_with_factors_outcomes_and_status(write_study, tmp_path):
    progress = run_study(write_study(), tmp_path / "out")
    rows = read(tmp_path / "out")
    assert (progress.total, len(rows), progress.failed) == (12, 12, 0)
    assert list(rows.columns) == [
        *("run_id", "point", "replication", "seed"),
        *("fee", "volatility", "base_fee"),
        *("lp_net_return", "n_fills", "status", "message"),
    ]
    assert set(rows["status"]) == {"ok"}
    assert rows["run_id"].is_unique
    # a higher fee leaves arbitrage less to do, seed by seed
    fills = rows.pivot_table(index=["volatility", "replication"], columns="fee", values="n_fills")
    assert (fills[0.001] >= fills[0.003]).all()
    assert (fills[0.001] > fills[0.003]).any()


def test_a_second_start_runs_nothing(write_study, tmp_path, fake_runs):
    run_study(write_study(), tmp_path / "out")
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "out" / "runs").iterdir()}
    progress = run_study(write_study(), tmp_path / "out")
    assert (progress.before, progress.done) == (12, 0)
    assert {f: f.stat().st_mtime_ns for f in (tmp_path / "out" / "runs").iterdir()} == before


def test_more_replications_and_lever_values_run_only_what_is_new(write_study, tmp_path, fake_runs):
    out = tmp_path / "out"
    run_study(write_study(), out)
    first = read(out)
    more = write_study(("replications: 3", "replications: 4"), ("0.003]", "0.003, 0.01]"))
    progress = run_study(more, out)
    rows = read(out)
    assert (progress.before, len(rows)) == (12, 24)
    pd.testing.assert_frame_equal(rows.iloc[:12].reset_index(drop=True), first)
    assert rows["run_id"].is_unique


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("until: 10m", "until: 12m"), "the scenario has changed"),
        (("n_fills]", "volume_usd]"), "the outcomes have changed"),
    ],
)
def test_another_study_is_never_mixed_in(write_study, tmp_path, fake_runs, change, what):
    run_study(write_study(), tmp_path / "out")
    with pytest.raises(InputError, match=what):
        run_study(write_study(change), tmp_path / "out")
    assert len(read(tmp_path / "out")) == 12


def test_a_changed_code_is_never_mixed_in(write_study, tmp_path, fake_runs, monkeypatch):
    run_study(write_study(), tmp_path / "out")
    monkeypatch.setattr("experiments.studies.plan.code_version", lambda: "another")
    with pytest.raises(InputError, match="the code has changed"):
        run_study(write_study(), tmp_path / "out")


def test_a_folder_of_something_else_is_left_alone(write_study, tmp_path, fake_runs):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"holds 'chapter.tex' and is no data set"):
        run_study(write_study(), tmp_path / "thesis")
    assert [f.name for f in (tmp_path / "thesis").iterdir() if f.name != ".lock"] == ["chapter.tex"]


def test_a_file_url_is_a_folder(write_study, tmp_path, fake_runs):
    url = (tmp_path / "out").as_uri()
    assert run_study(write_study(), url).done == 12
    assert len(read(tmp_path / "out")) == 12
    assert run_study(write_study(), tmp_path / "out").before == 12


def test_a_file_system_at_a_url_shows_whole_files_only():
    store = Store("mock:///data")  # of pyarrow, in memory
    store.write("runs/a.parquet", b"all")
    assert not store.is_local
    assert store.names("runs") == ["a.parquet"]
    assert store.read("runs/a.parquet") == b"all"


def test_a_verdict_on_nothing_leaves_nothing(write_study, tmp_path):
    plan, place = Plan(load_study(write_study())), tmp_path / "out"
    with pytest.raises(InputError, match="holds no runs; run `undertow sweep` first"):
        decide_once(plan, Store(str(place)), plan.study.parsed)
    assert not place.exists()


def test_a_second_driver_is_refused(write_study, tmp_path, fake_runs):
    store = Store(str(tmp_path / "out"))
    with only_driver(store), pytest.raises(InputError, match="being written by another"):
        run_study(write_study(), tmp_path / "out")
    assert run_study(write_study(), tmp_path / "out").done == 12


# --- runs that fail ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvariantError("ETH leaks"), "invariant"),
        (ZeroDivisionError("boom"), "error"),
        (InputError("no such thing"), "invalid"),
    ],
)
def test_a_run_that_fails_is_a_row_with_its_message_and_seed(
    write_study, tmp_path, monkeypatch, error, status
):
    def simulate(job, spec):
        if spec.factors["fee"] == 0.003:
            raise error
        return dict.fromkeys(job.outcomes, 1.0)

    monkeypatch.setattr("experiments.studies.worker._simulate", simulate)
    progress = run_study(write_study(), tmp_path / "out")
    rows = read(tmp_path / "out")
    failed = rows[rows["fee"] == 0.003]
    assert len(rows) == 12
    assert set(failed["status"]) == {status}
    assert failed["message"].str.contains(str(error)).all()
    assert failed["lp_net_return"].isna().all()
    assert (progress.done, progress.failed) == (12, 6)


def test_a_run_beyond_its_time_limit_is_a_row(write_study, tmp_path):
    plan = Plan(load_study(write_study()))
    store = Store(str(tmp_path))
    job = Job(plan.variation, plan.outcomes, plan.schema(), store, time_limit=0.0)
    row = run_one(job, next(plan.runs()))
    assert row["status"] == "timeout"
    assert "time limit of 0 s" in row["message"]


def test_a_full_disk_stops_the_sweep_and_the_next_start_goes_on(
    write_study, tmp_path, fake_runs, monkeypatch
):
    real, calls = Store.write_rows, []

    def full_after_two(self, name, rows, schema):
        calls.append(name)
        if len(calls) > 2:
            raise OutputError("the disk is full")
        real(self, name, rows, schema)

    monkeypatch.setattr("experiments.studies.sweep.CHUNK_SECONDS", 1e-9)
    monkeypatch.setattr("experiments.studies.sweep.PILOT_SECONDS", 0.0)
    monkeypatch.setattr(Store, "write_rows", full_after_two)
    with pytest.raises(OutputError, match="disk is full"):
        run_study(write_study(), tmp_path / "out")
    assert len(read(tmp_path / "out")) == 3  # two of the pilot, and a chunk of one
    monkeypatch.setattr(Store, "write_rows", real)
    assert run_study(write_study(), tmp_path / "out").before == 3
    assert len(read(tmp_path / "out")) == 12


# --- who is killed -------------------------------------------------------------------------------

DRIVERS = """
import os, random, signal, sys, time
import experiments.studies.sweep as sweeping
import experiments.studies.worker as worker
from experiments.studies import load_study
from experiments.studies.engines import LocalEngine
from experiments.studies.plan import Plan
from experiments.studies.store import Store

def simulate(job, spec):
    time.sleep(0.01)
    return dict.fromkeys(job.outcomes, (spec.seed % 997) / 7.0 + spec.factors["fee"])

worker._simulate = simulate
sweeping.CHUNK_SECONDS = sweeping.PILOT_SECONDS = 0.05
path, moments = sys.argv[1], random.Random(int(sys.argv[3]))

def drive():
    child = os.fork()
    if not child:
        sweeping.sweep(Plan(load_study(path)), Store(sys.argv[2]), LocalEngine(1))
        os._exit(0)
    return child

for _ in range(3):
    child = drive()
    time.sleep(moments.uniform(0.05, 0.6))
    os.kill(child, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), "it had finished"
assert os.waitpid(drive(), 0)[1] == 0
"""


@pytest.mark.parametrize("moments", [1, 2])
def test_a_driver_killed_three_times_leaves_what_an_undisturbed_one_does(
    write_study, tmp_path, monkeypatch, moments
):
    study = write_study(("replications: 3", "replications: 60"))
    disturbed = tmp_path / "disturbed"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DRIVERS, study, str(disturbed), str(moments)]
    subprocess.run(command, check=True, env=environment)

    def simulate(job, spec):
        return dict.fromkeys(job.outcomes, (spec.seed % 997) / 7.0 + spec.factors["fee"])

    monkeypatch.setattr("experiments.studies.worker._simulate", simulate)
    run_study(study, tmp_path / "undisturbed")
    # chunks are cut by the measured pilot, so files may differ; rows and their order may not
    pd.testing.assert_frame_equal(read(disturbed), read(tmp_path / "undisturbed"), check_exact=True)


def test_ctrl_c_ends_what_is_in_flight_and_says_so(write_study, tmp_path, fake_runs):
    plan = Plan(load_study(write_study(("replications: 3", "replications: 30"))))

    def interrupt(progress):
        os.kill(os.getpid(), signal.SIGINT)

    import experiments.studies.sweep as sweeping

    monkey = pytest.MonkeyPatch()
    monkey.setattr(sweeping, "CHUNK_SECONDS", 1e-9)
    monkey.setattr(sweeping, "PILOT_SECONDS", 0.0)
    done = []

    def once(progress):
        if not done:
            done.append(True)
            interrupt(progress)

    try:
        progress = sweep(plan, Store(str(tmp_path / "out")), LocalEngine(1), watch=once)
    finally:
        monkey.undo()
    assert progress.is_stopping
    assert 0 < len(read(tmp_path / "out")) < 120
    assert sweep(plan, Store(str(tmp_path / "out")), LocalEngine(1)).before > 0
    assert len(read(tmp_path / "out")) == 120


# --- engines -------------------------------------------------------------------------------------


def cut_small(monkeypatch):
    """Let the pilot be one run and a chunk a few, so that the engine has most of the work."""
    monkeypatch.setattr("experiments.studies.sweep.PILOT_SECONDS", 0.0)
    monkeypatch.setattr("experiments.studies.sweep.CHUNK_SECONDS", 0.3)


def test_two_processes_write_the_same_rows_as_one(write_study, tmp_path, monkeypatch):
    path = write_study()
    run_study(path, tmp_path / "one")
    cut_small(monkeypatch)
    plan = Plan(load_study(path))
    sweep(plan, Store(str(tmp_path / "two")), LocalEngine(2))
    pd.testing.assert_frame_equal(read(tmp_path / "two"), read(tmp_path / "one"), check_exact=True)


@dataclasses.dataclass(frozen=True)
class Deadly:
    """A variation of which one value ends the process."""

    inner: object

    @property
    def base(self):
        return self.inner.base

    def outcomes(self, factors, seed, names, watch):
        if factors["fee"] == 0.003:
            os._exit(9)
        return self.inner.outcomes(factors, seed, names, watch)


def test_a_run_that_ends_its_process_is_a_row_and_spares_the_others(write_study, tmp_path):
    plan = Plan(load_study(write_study()))
    job = Job(Deadly(plan.variation), plan.outcomes, plan.schema(), Store(str(tmp_path)), 100.0)
    specs = list(plan.runs())[1:4]  # fees 0.001, 0.003, 0.003
    result = run_chunk_apart(job, "0001-000000", specs)
    rows = pd.read_parquet(tmp_path / "runs")
    assert rows["status"].tolist() == ["ok", "crashed", "crashed"]
    assert (result.n_runs, result.n_failed) == (3, 2)
    assert "died 2 times" in rows["message"][1]
    assert rows["seed"].tolist() == [spec.seed for spec in specs]


@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_a_killed_process_of_the_pool_loses_no_row(write_study, tmp_path, monkeypatch):
    path = write_study()
    run_study(path, tmp_path / "one")
    cut_small(monkeypatch)
    engine, killed = LocalEngine(2), []

    def kill(progress):
        if engine._pool._processes and not killed:
            killed.append(next(iter(engine._pool._processes)))
            os.kill(killed[0], signal.SIGKILL)

    sweep(Plan(load_study(path)), Store(str(tmp_path / "two")), engine, watch=kill)
    assert killed
    pd.testing.assert_frame_equal(read(tmp_path / "two"), read(tmp_path / "one"), check_exact=True)


def test_threads_in_a_worker_write_the_same_rows(write_study, tmp_path, monkeypatch):
    path = write_study()
    run_study(path, tmp_path / "one")
    cut_small(monkeypatch)
    run_study(path, tmp_path / "two", threads=2)
    pd.testing.assert_frame_equal(read(tmp_path / "two"), read(tmp_path / "one"), check_exact=True)


COLD = """
import sys
from numba.core import event
from experiments.studies import load_study
from experiments.studies.plan import Plan
from experiments.studies.store import Store
from experiments.studies.worker import Job, ensure_compiled, run_one
plan = Plan(load_study(sys.argv[1]))
job = Job(plan.variation, plan.outcomes, plan.schema(), Store(sys.argv[2]), 100.0)
with event.install_recorder("numba:run_pass") as passes:
    ensure_compiled(job)
    assert run_one(job, next(plan.runs()))["status"] == "ok"
print(len(passes.buffer))
"""


@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_of_three_workers_on_a_cold_node_one_compiles(write_study, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "UNDERTOW_CACHE": str(tmp_path / "cold")}
    command = [sys.executable, "-c", COLD, write_study(), str(tmp_path)]
    workers = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    passes = sorted(int(worker.communicate()[0]) for worker in workers)  # of the compiler
    assert passes[2] > 1_000
    assert passes[1] < 0.25 * passes[2]  # the faces that Python calls, which nobody waits for


@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_a_cluster_that_loses_a_node_still_writes_every_row(write_study, tmp_path, monkeypatch):
    import ray
    from ray.cluster_utils import Cluster

    cut_small(monkeypatch)
    path = write_study(("replications: 3", "replications: 20"))
    run_study(path, tmp_path / "alone")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    others = [cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    try:
        lost = []

        def kill(progress):
            if progress.done > 20 and not lost:
                lost.append(others.pop())
                cluster.remove_node(lost[0], allow_graceful=False)

        engine = RayEngine("auto")
        progress = sweep(
            Plan(load_study(path)), Store(str(tmp_path / "cluster")), engine, watch=kill
        )
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert lost
    assert progress.before + progress.done == 80
    pd.testing.assert_frame_equal(
        read(tmp_path / "cluster"), read(tmp_path / "alone"), check_exact=True
    )


def descendants():
    """Yield process id and command of every process that comes from this one."""
    command = ["ps", "-A", "-o", "pid=,ppid=,args="]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = [line.split(None, 2) for line in listed.splitlines()]
    known = {os.getpid()}
    for _ in range(5):  # generations
        known |= {int(pid) for pid, parent, *_ in found if int(parent) in known}
    return [(int(pid), text[0]) for pid, _, *text in found if text and int(pid) in known]


@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_a_killed_worker_of_ray_loses_no_row(write_study, tmp_path, monkeypatch):
    cut_small(monkeypatch)
    path = write_study(("replications: 3", "replications: 10"))
    run_study(path, tmp_path / "alone")
    engine, killed = RayEngine(None, 2), []

    def kill(progress):
        busy = [pid for pid, command in descendants() if command.startswith("ray::run_chunk")]
        if busy and not killed:
            os.kill(busy[0], signal.SIGKILL)
            killed.append(busy[0])

    sweep(Plan(load_study(path)), Store(str(tmp_path / "ray")), engine, watch=kill)
    assert killed
    pd.testing.assert_frame_equal(
        read(tmp_path / "ray"), read(tmp_path / "alone"), check_exact=True
    )


def test_without_an_address_no_cluster_that_happens_to_run_is_joined(monkeypatch):
    asked = {}
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", lambda **options: asked.update(options))
    RayEngine(None, 2)
    assert asked["address"] == "local"
    RayEngine("auto")
    assert asked["address"] == "auto"
