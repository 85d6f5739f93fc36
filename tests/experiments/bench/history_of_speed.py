"""A history of speed that a later change is compared with, by pytest-benchmark.

    pytest tests/experiments/bench/history_of_speed.py --benchmark-autosave
    pytest tests/experiments/bench/history_of_speed.py --benchmark-compare --benchmark-sort=name

The first keeps the times of this commit in `.benchmarks`; the second shows them beside those now.
Not among the tests that are collected by name: people compare times, on one quiet machine.
Each benchmark also asserts the work that was done, so that nothing gets fast by doing less.
"""

from __future__ import annotations

import pytest

from experiments.bench.operations import _STILL, swapping_world
from experiments.bench.worlds import Runner, dense, world_of
from experiments.bench.yardstick import Yardstick
from experiments.running import run
from experiments.scenario import load_scenario

ROUNDS = {"rounds": 7, "iterations": 1, "warmup_rounds": 1}


@pytest.mark.parametrize("n", [1_000, 10_000, 100_000])
def test_blocks_of_a_dense_market(benchmark, n):
    runner = Runner(world_of(dense(n, days=3.0)))
    runner.start()
    n_blocks = 1_000_000 // n
    benchmark.pedantic(runner.blocks, (n_blocks,), **ROUNDS)
    done = runner.work()
    assert done["blocks"] == 8 * n_blocks
    assert 0.009 * n < done["swap"] / done["blocks"] < 0.012 * n


def test_blocks_of_the_bare_kernels(benchmark):
    bare = Yardstick(10_000, 1)
    benchmark.pedantic(bare.advance, (500,), **ROUNDS)
    assert bare.work["swaps"] > 8 * 500 * 90


def test_idle_blocks(benchmark):
    runner = Runner(world_of(dense(10_000, *_STILL, days=100.0)))
    runner.start()
    benchmark.pedantic(runner.blocks, (50_000,), **ROUNDS)
    done = runner.work()
    assert (done["blocks"], done["fills"]) == (8 * 50_000, 0)


def test_swaps_all_in(benchmark):
    runner = swapping_world(100.0, 3.0)
    benchmark.pedantic(runner.blocks, (2_000,), **ROUNDS)
    assert 99.0 < runner.work()["swap"] / (8 * 2_000) < 101.0


def test_a_build_of_a_dense_market(benchmark):
    scenario = dense(50_000, days=0.1)
    world = benchmark.pedantic(world_of, (scenario,), rounds=5, iterations=1, warmup_rounds=1)
    assert sum(world.group_rows) > 100_000


def test_six_hours_of_the_default_scenario(benchmark):
    scenario = load_scenario("black-thursday", until=6 * 3_600.0)
    done = benchmark.pedantic(run, (scenario, 1), rounds=3, iterations=1, warmup_rounds=1)
    assert done.manifest["work"]["blocks"]["sidechain"] == 10_800
