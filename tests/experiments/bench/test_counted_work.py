"""Work grows with what happens, not with how many there are: counts, which no machine changes."""

from __future__ import annotations

import pytest

from experiments.bench.growth import PASSIVE
from experiments.bench.work_counts import counted_work
from experiments.bench.worlds import Runner, dense, world_of

BLOCKS = 100


def _work_a_block(n, busy, *overrides):
    runner = Runner(world_of(dense(n, *overrides, busy=busy, days=1.0)))
    runner.start()
    before = counted_work(runner.world)
    runner.blocks(BLOCKS)
    return {name: (v - before[name]) / BLOCKS for name, v in counted_work(runner.world).items()}


@pytest.fixture(scope="module")
def sizes():
    """Work of a block in markets of 2,000 and of 20,000 traders in which as much happens."""
    return [_work_a_block(n, 2_000, PASSIVE) for n in (2_000, 20_000)]


def test_ten_times_the_agents_look_at_no_more_rows_of_the_wheels(sizes):
    small, large = sizes
    # as many arrivals are expected, 20 a block: 2,000 in all, with a standard error of 45
    assert large["wheel visits"] == pytest.approx(small["wheel visits"], rel=0.15)
    assert large["wheel visits"] < 1.5 * large["orders"] + 1.0


def test_ten_times_the_borrowers_check_about_as_many_accounts(sizes):
    small, large = sizes
    assert large["accounts checked"] < 2.0 * small["accounts checked"] + 1.0
    assert large["accounts checked"] * BLOCKS < 20_000  # not once through the book


def test_every_order_of_the_market_is_counted_once():
    work = _work_a_block(1_000, 1_000)
    # 10 swaps with a standard error of 0.3; the arbitrageur's two pools; moves of providers
    assert 9.0 < work["orders"] < 14.0
