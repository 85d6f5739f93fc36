"""Chains: when blocks come."""

import math

import numpy as np
import pytest
from scipy import stats

from sim.chain import CHAIN, next_interval
from sim.draws import stream_id
from sim.units import TICKS_PER_SECOND
from tests.worlds import bench, run

EXPONENTIAL = "chains.mainnet.blocks={kind: exponential, interval_seconds: 12}"


def intervals(n, seed=1, name="chain:main", interval=12_000_000):
    chain = np.zeros(1, CHAIN)
    chain["interval"], chain["is_random"], chain["stream"] = interval, 1, stream_id(name)
    found = []
    for height in range(n):
        chain["height"] = height
        found.append(next_interval(chain[0], seed))
    return np.array(found, float)


def test_fixed_blocks_come_at_multiples_of_the_interval():
    blocks = run(bench(), 120.0).blocks
    assert blocks["time"].tolist() == [12 * TICKS_PER_SECOND * k for k in range(1, 11)]
    assert blocks["height"].tolist() == list(range(10))


def test_exponential_intervals_have_the_mean_and_variance_of_their_law():
    """2e4 intervals: SE of the mean 0.7 %, of the variance 2 %; five allowed (6e-7)."""
    n = 20_000
    gaps = intervals(n) / 12_000_000
    assert abs(gaps.mean() - 1.0) < 5.0 / math.sqrt(n)
    assert abs(gaps.var() - 1.0) < 5.0 * math.sqrt(8.0 / n)


def test_exponential_intervals_follow_their_law():
    assert stats.kstest(intervals(10_000) / 12_000_000, "expon").pvalue > 1e-6


def test_successive_intervals_are_uncorrelated():
    gaps = intervals(20_000) / 12_000_000 - 1.0
    assert abs(float(np.mean(gaps[1:] * gaps[:-1]))) < 5.0 / math.sqrt(20_000)


def test_an_interval_is_at_least_one_tick():
    assert intervals(2_000, interval=1).min() >= 1


@pytest.mark.parametrize("other", [{"seed": 2}, {"name": "chain:side"}])
def test_chains_and_seeds_have_clocks_of_their_own(other):
    assert not (intervals(10) == intervals(10, **other)).any()


def test_exponential_blocks_in_a_world_have_the_right_mean():
    """7,200 blocks of 12 s: SE of their number 85; five allowed (6e-7)."""
    blocks = run(bench(EXPONENTIAL), 86_400.0).blocks
    assert abs(len(blocks) - 7_200) < 5 * math.sqrt(7_200)
    assert (np.diff(blocks["time"]) > 0).all()


def test_the_block_clock_of_a_chain_does_not_depend_on_other_chains():
    other = (
        "chains.side={blocks: {kind: exponential, interval_seconds: 2}, native: ETH, tokens: [ETH]}"
    )
    alone = run(bench(EXPONENTIAL), 3_600.0).blocks
    both = run(bench(EXPONENTIAL, other), 3_600.0).blocks
    assert (both["time"][both["chain"] == 0] == alone["time"]).all()
