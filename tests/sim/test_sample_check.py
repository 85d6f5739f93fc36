"""A sample that the records do not declare is found, and its column named."""

from dataclasses import replace

import numpy as np
import pytest

from sim.errors import InvariantError
from sim.sample_check import check_samples
from tests.worlds import bench


def sampled(change):
    """Return a world whose pools are sampled with some columns changed."""
    world = bench()
    (pool,) = [m for m in world._mechanisms if m.kind == "constant_product"]
    other = replace(
        pool, sample=lambda world, state: {"pools": pool.sample(world, state)["pools"] | change}
    )
    world._mechanisms = [other if m is pool else m for m in world._mechanisms]
    return world


def test_what_shipped_mechanisms_sample_is_declared():
    check_samples(bench())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"reserve0": np.zeros(2)}, "pools: columns differ in length"),
        ({"depth": np.zeros(1)}, "pools: it has no column depth"),
        ({"venue": np.array([9])}, "column venue holds 9; numbers run from 0"),
    ],
)
def test_a_wrong_sample_is_found(change, fault):
    with pytest.raises(InvariantError, match=fault):
        check_samples(sampled(change))


def test_a_missing_column_and_an_unknown_record_are_found():
    world = sampled({})
    world.sample = lambda: {"pools": [{"venue": np.zeros(1, int)}]}
    with pytest.raises(InvariantError, match="pools: the sample has no column liquidity"):
        check_samples(world)
    world.sample = lambda: {"ponds": []}
    with pytest.raises(InvariantError, match="no record 'ponds'"):
        check_samples(world)
