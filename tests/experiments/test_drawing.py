"""Drawing in a process of its own: the same pictures, whatever becomes of the process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.figures import draw_folder
from experiments import drawing
from experiments.drawing import Drawer, drawer_of
from tests.analysis.builders import crash_manifest, crash_run

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups here")


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    """Have a process of its own on any machine."""
    monkeypatch.setattr(drawing, "_n_cores", lambda: 2)
    monkeypatch.setattr(drawing, "_LOADING", 0.0)


@pytest.fixture
def folder(tmp_path):
    """Return a run folder without figures."""
    (tmp_path / "records").mkdir()
    (tmp_path / "manifest.json").write_text(json.dumps(crash_manifest()))
    for name in ("bridges", "lending"):
        table = pa.Table.from_pandas(crash_run()[name])
        pq.write_table(table, tmp_path / "records" / f"{name}.parquet")
    return tmp_path


def pictures(folder):
    return {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}


def lives(pid):
    """Return whether any process of a session is alive."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_process_draws_what_is_drawn_here(folder):
    with Drawer() as drawer:
        drawer.begin(folder)
        paths = drawer.finish()
        assert drawer._process.returncode == 0
    drawn = pictures(folder)

    draw_folder(folder)

    assert [path.stem for path in paths] == sorted(path.stem for path in paths)
    assert len(drawn) == 2
    assert pictures(folder) == drawn


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_a_killed_process_leaves_is_drawn_here(folder, when):
    with Drawer() as drawer:
        if when == "before":
            os.killpg(drawer._process.pid, signal.SIGKILL)
            drawer._process.wait()
        drawer.begin(folder)
        if when == "after":
            os.killpg(drawer._process.pid, signal.SIGKILL)
        assert len(drawer.finish()) == 2


def test_a_fault_of_the_process_is_told_as_if_drawn_here(folder):
    (folder / "records" / "lending.parquet").write_bytes(b"no Parquet")
    with Drawer() as drawer:
        drawer.begin(folder)
        with pytest.raises(ValueError, match=r"lending\.parquet cannot be read"):
            drawer.finish()


def test_a_process_that_takes_too_long_is_ended(folder, monkeypatch):
    monkeypatch.setattr(drawing, "_PATIENCE", 0.01)
    with Drawer() as drawer:
        pid = drawer._process.pid
        drawer.begin(folder)
        assert len(drawer.finish()) == 2
        assert not lives(pid)


def test_an_interrupt_leaves_no_process(folder):
    drawer = Drawer()
    pid = drawer._process.pid
    with pytest.raises(KeyboardInterrupt), drawer:
        raise KeyboardInterrupt
    assert not lives(pid)


def test_a_drawer_whose_owner_is_killed_ends_by_itself():
    code = (
        "import time\nfrom experiments import drawing\ndrawing._n_cores = lambda: 2\n"
        "print(drawing.Drawer()._process.pid, flush=True)\ntime.sleep(60)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
    )
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.communicate()
    deadline = time.monotonic() + 60
    while lives(pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_one_core_draws_here(folder, monkeypatch):
    monkeypatch.setattr(drawing, "_n_cores", lambda: 1)
    with Drawer() as drawer:
        assert drawer._process is None
        drawer.begin(folder)
        assert len(drawer.finish()) == 2


def test_a_quick_run_draws_here_where_the_libraries_are_loaded(folder, monkeypatch):
    monkeypatch.setattr(drawing, "_LOADING", 60.0)
    with Drawer() as drawer:
        drawer.begin(folder)
        assert drawer._process is None
        assert len(drawer.finish()) == 2


def test_an_interpreter_that_cannot_be_started_draws_here(folder, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(folder / "nowhere"))
    with Drawer() as drawer:
        drawer.begin(folder)
        assert len(drawer.finish()) == 2


def test_a_drawer_is_new_or_given_or_nobody():
    with drawer_of(False) as nobody:
        assert nobody is None
    with drawer_of(True) as drawer:
        assert isinstance(drawer, Drawer)
        with drawer_of(drawer) as given:
            assert given is drawer
        assert drawer._process is not None  # who started it ends it
    assert drawer._process is None
