"""The compiler's door: bindings, views, the cache, and the interpreted twin."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numba import njit, types

import sim.kernel
from sim.compiler import EntryCompiler, KernelCompiler
from sim.engine import advance
from sim.kernel import (
    F8,
    I8,
    JIT,
    F8x2,
    I8x2,
    Kernel,
    StateType,
    bind,
    blank,
    cache_folder,
    columnar,
    handler,
    invoke,
    is_compiled,
    kernel,
    module_hash,
    record_of,
    records,
    row_address,
    shapes_of,
    source_hash,
    view_of,
)

ROOT = Path(__file__).resolve().parents[2]
POINT = np.dtype([("x", "f8"), ("n", "i4"), ("m", "i4")], align=True)
point_at = record_of(POINT)


@columnar
class Grid(NamedTuple):
    """A state of every shape."""

    price: F8
    count: I8
    balance: F8x2
    heap: I8x2
    points: records(POINT)


@columnar
class Line(NamedTuple):
    """A second state."""

    price: F8


unpack = view_of(Grid, Line)


def make_grid():
    return Grid(
        np.arange(3.0),
        np.arange(4),
        np.arange(6.0).reshape(2, 3),
        np.arange(8).reshape(4, 2),
        blank(2, POINT),
    )


@handler
def _mark(binding, message):
    grid, line = unpack(binding)
    point = point_at(message)
    grid.price[1] += line.price[0]
    grid.balance[1, 2] = grid.balance.shape[1]
    grid.heap[3, 0] = grid.heap.shape[0]
    grid.points[1].n = point.m + grid.count[3]
    point.x = grid.price[1]
    return 7


@kernel(inline=False)
def _call(address, binding, message):
    return invoke(address, binding, message)


@kernel(inline=False)
def _address(points, row):
    return row_address(points, row)


# --- bindings ------------------------------------------------------------------------------------


def test_a_handler_reads_and_writes_the_arrays_that_were_bound():
    grid, line, point = make_grid(), Line(np.array([10.0])), blank(1, POINT)
    point[0].m = 30
    binding = bind(grid, line)
    assert _call(_mark.address, binding.ctypes.data, point.ctypes.data) == 7
    assert grid.price.tolist() == [0.0, 11.0, 2.0]
    assert grid.balance[1, 2] == 3.0
    assert grid.heap[3, 0] == 4
    assert grid.points[1].n == 33
    assert point[0].x == 11.0


def test_a_handler_called_from_python_does_the_same():
    grid, line, point = make_grid(), Line(np.array([10.0])), blank(1, POINT)
    binding = bind(grid, line)
    assert _call(_mark.address, binding.ctypes.data, point.ctypes.data) == 7
    assert _mark.__name__ == "_mark"


def test_a_view_names_the_states_it_expects():
    assert unpack.states == (Grid, Line)
    assert [shape.ndim for shape in shapes_of(Grid).values()] == [1, 1, 2, 2, 1]


def test_the_address_of_a_row_is_where_the_row_is():
    points = blank(3, POINT)
    assert _address(points, 2) == points.ctypes.data + 2 * POINT.itemsize


@pytest.mark.parametrize(
    ("field", "array"),
    [
        ("price", np.zeros(3, np.float32)),
        ("price", np.zeros((3, 1))),
        ("price", np.zeros(6)[::2]),
        ("count", np.zeros(3)),
        ("balance", np.zeros((3, 2)).T),
        ("balance", np.zeros(3)),
    ],
    ids=["float32", "2-d", "strided", "float64", "transposed", "1-d"],
)
def test_an_array_of_another_kind_is_refused_by_name(field, array):
    with pytest.raises(TypeError, match=rf"Grid\.{field} is .*; it must be a contiguous"):
        bind(make_grid()._replace(**{field: array}), Line(np.zeros(1)))


# --- one version ---------------------------------------------------------------------------------


def uncached(function):
    """Make a kernel that is compiled anew, whatever an earlier run left in the cache."""
    if not JIT:
        return function
    options = {"error_model": "numpy", "forceinline": False, "nogil": True, "cache": False}
    return Kernel(function, options, KernelCompiler)


@uncached
def _twice(x):
    return 2 * x


@uncached
def _use_integers(n):
    return _twice(n) + _twice(3) + _twice(np.int32(n))


@uncached
def _use_all(n, x):
    return _twice(n) + _twice(x)


@pytest.mark.skipif(not JIT, reason="counts compiled versions")
def test_a_kernel_is_compiled_once_for_all_signed_integers():
    assert _use_integers(5) == 26
    assert list(_twice.inner.overloads) == [(types.int64,)]
    assert _use_all(2, 0.25) == 4.5
    assert list(_twice.inner.overloads) == [(types.int64,), (types.float64,)]


# --- no counting ---------------------------------------------------------------------------------


def test_the_engine_counts_no_references():
    """A fresh compile, since cached code has no readable form left."""
    fresh = njit(error_model="numpy", nogil=True, pipeline_class=EntryCompiler)(advance.py_func)
    fresh.compile("intp(intp, intp, intp)")
    (text,) = fresh.inspect_llvm().values()
    assert "define" in text
    assert "call void @NRT_incref" not in text
    assert "call void @NRT_decref" not in text


# --- other processes -----------------------------------------------------------------------------

SCRIPT = """
import json, sys
from experiments import load_scenario
from experiments.composition import plan_of
from experiments.recording import Recorder
import sim.kernel
from sim.compiler import EntryCompiler
from sim.engine import advance
from sim.kernel import JIT
from sim.units import ticks
from sim.world import World

scenario = load_scenario("quiet-market", json.loads(sys.argv[1]))
world = World(plan_of(scenario, int(sys.argv[2])))
recorder = Recorder(world, scenario.records)
world.advance(world.horizon)
recorder.finish()
stats = advance.stats if JIT else None
print(json.dumps({
    "hash": recorder.content_hash(),
    "fills": recorder.n_fills,
    "compiled": JIT,
    "hits": sum(stats.cache_hits.values()) if JIT else 0,
    "misses": sum(stats.cache_misses.values()) if JIT else 0,
}))
"""
TINY = [
    "horizon=30m",
    "price_step_seconds=1",
    "reference_market={interval_seconds: 5}",
    "chains.mainnet.fee_market={base_fee_gwei: 5}",
    (
        "populations.noise={kind: noise_traders, chain: mainnet, count: 50, swaps_per_day: 200, "
        "median_usd: 2e4, elasticity: 50, activity_power: 1}"
    ),
    (
        "populations.arbitrageur={kind: arbitrageurs, chain: mainnet, count: 2, inventory_usd: 1e5,"
        " latency_spread_seconds: 3, tip_share: 0.3, deposit_delay_seconds: 4}"
    ),
]


@functools.cache
def in_process(number=0, **environment):
    """Run a world in a process of its own and return what it printed; `number` tells them apart."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(TINY), "7"],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_interpreted_gives_the_same_records_to_the_last_bit():
    compiled, interpreted = in_process(1), in_process(UNDERTOW_JIT="0")
    assert compiled["compiled"]
    assert not interpreted["compiled"]
    assert compiled["fills"] > 100
    assert interpreted["fills"] == compiled["fills"]
    assert interpreted["hash"] == compiled["hash"]


def test_processes_agree():
    assert in_process(1)["hash"] == in_process(2)["hash"]


@pytest.mark.skipif(cache_folder() is None, reason="no place to write compiled code")
def test_a_second_process_compiles_nothing():
    in_process(1)
    second = in_process(2)
    assert (second["hits"], second["misses"]) == (1, 0)
    assert is_compiled()


def test_the_code_version_covers_every_source(tree):
    before = source_hash()
    (tree / "agents" / "lone.py").write_text("x = 2\n")
    forget()
    assert len(before) == 64
    assert source_hash() != before


@pytest.mark.parametrize("changed", ["top", "middle", "bottom"])
def test_a_changed_callee_gives_its_callers_a_new_folder(tree, changed):
    before = module_hash("sim.top")
    (tree / "sim" / f"{changed}.py").write_text("y = 2\n")
    forget()
    assert module_hash("sim.top") != before


def test_a_change_elsewhere_leaves_compiled_code_alone(tree):
    before = module_hash("sim.top")
    (tree / "agents" / "lone.py").write_text("x = 2\n")
    forget()
    assert module_hash("sim.top") == before


def forget():
    for remembered in (source_hash, module_hash, sim.kernel._imports_of, sim.kernel._file_of):
        remembered.cache_clear()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A small project: `sim.top` imports `sim.middle`, which imports `sim.bottom`."""
    for layer in ("sim", "agents"):
        (tmp_path / layer).mkdir()
        (tmp_path / layer / "__init__.py").write_text("")
    (tmp_path / "sim" / "top.py").write_text("from sim.middle import (\n    a,\n    b,\n)\n")
    (tmp_path / "sim" / "middle.py").write_text("from sim import bottom\n")
    (tmp_path / "sim" / "bottom.py").write_text("y = 1\n")
    (tmp_path / "agents" / "lone.py").write_text("x = 1\n")
    monkeypatch.setattr(sim.kernel, "ROOT", tmp_path)
    forget()
    yield tmp_path
    monkeypatch.undo()
    forget()


def test_a_state_of_another_layout_is_another_type_to_the_compiler():
    class Before(NamedTuple):
        price: F8
        count: I8

    class After(NamedTuple):
        count: I8
        price: F8

    After.__qualname__ = Before.__qualname__
    if JIT:
        assert StateType(Before) == StateType(Before)
        assert StateType(Before) != StateType(After)
