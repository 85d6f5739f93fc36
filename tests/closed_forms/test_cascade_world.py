"""Cascades in a whole world: what is recorded says how they branch, and what a root carries."""

import math

import numpy as np
import pytest

from analysis.cascades import find_cascades, measure
from tests.closed_forms.cascading import (
    DEPTH,
    PRICE,
    SHOCK,
    CascadingWorld,
    even_book,
    random_book,
)

N_WORLDS, N_ROOTS = 10, 20  # 200 roots in all


@pytest.mark.parametrize("rho", [2_000.0, 4_000.0])
def test_recorded_causes_branch_as_n_is_2_rho_over_the_reserve(tmp_path, rho):
    """No chance: 2 % for the second order and for accounts that are not infinitely many."""
    branching = 2.0 * rho / DEPTH
    world = CascadingWorld(tmp_path / "book.csv", *even_book(rho, 700, 2e-5))
    tables = world.run()
    found = find_cascades(tables)
    told = measure(found, tables, {})
    fall = math.log(PRICE / tables["pools"]["price"].iloc[-1])
    assert fall / SHOCK == pytest.approx(1.0 / (1.0 - branching), rel=0.02)
    assert told["branching_ratio"] == pytest.approx(branching, rel=0.02)
    assert told["amplification"] == pytest.approx(1.0 / (1.0 - branching), rel=0.02)
    assert told["n_cascades"] == 1.0
    assert told["fundamental_share"] == 0.0  # somebody sold; the fundamental price stood still
    assert found.table["debt_usd"].sum() == pytest.approx(
        tables["liquidations"]["debt_usd"].sum(), rel=1e-9
    )


def deleted(file, seed):
    """Return the debt that vanishes with 20 random roots of a world: as told, and as it does."""
    world = CascadingWorld(file, *random_book(2_500.0, 400, 2e-5, seed))
    tables = world.run()
    done = find_cascades(tables).graph.liquidations
    roots = done[
        (done["endogenous"] < 0.5) & (done["borrower_population"].astype(str) == "debtors")
    ]
    roots = roots.sample(N_ROOTS, random_state=seed)
    without = world.run(safe=roots["borrower_account"])["liquidations"]["debt_usd"].sum()
    return roots["carried_usd"].sum(), done["debt_usd"].sum() - without


def test_what_a_root_carries_vanishes_with_it(tmp_path):
    """200 random roots of ten worlds, 20 at a time, n = 0.5.

    The ratio has a standard error of 2.6 %. Over 60 worlds it is 0.968 with one of 1.3 %: other
    seeds would fail once in 200. One at a time: `tests.closed_forms.deleted_roots`.
    """
    pairs = [deleted(tmp_path / f"book{seed}.csv", seed) for seed in range(N_WORLDS)]
    told, vanished = np.array(pairs).T
    assert vanished.sum() == pytest.approx(told.sum(), rel=0.10)
