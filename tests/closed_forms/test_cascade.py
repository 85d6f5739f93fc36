"""Cascades: liquidated collateral sold where the lending market reads its price.

What is measured, and how, is in `experiments.verify.cascading`.
"""

import pytest

from experiments.verify.cascading import DEPTH, SHOCK, cascade


@pytest.mark.parametrize("rho", [1_000.0, 2_000.0, 4_000.0])
def test_a_small_shock_becomes_s0_over_1_minus_n(rho):
    """No chance: 2 % for the second order and for accounts that are not infinitely many."""
    branching = 2.0 * rho / DEPTH
    found = cascade(rho, 1_500)
    assert found.n_left > 0
    assert found.fall / SHOCK == pytest.approx(1.0 / (1.0 - branching), rel=0.02)
    assert sum(found.rounds) / found.rounds[0] == pytest.approx(1.0 / (1.0 - branching), rel=0.02)


def test_each_round_is_n_times_the_one_before():
    first, second, third = cascade(4_000.0, 1_500).rounds[:3]
    assert second / first == pytest.approx(0.8, rel=0.02)
    assert third / second == pytest.approx(0.8, rel=0.02)


def test_the_amplification_comes_nearer_to_the_formula_as_the_shock_shrinks():
    off = [5.0 - cascade(4_000.0, 3_000, shock).fall / shock for shock in (0.005, 0.0025)]
    assert 0.0 < off[1] < 0.75 * off[0]


@pytest.mark.parametrize("rho", [5_500.0, 6_000.0])
def test_a_branching_of_one_or_more_spares_nobody(rho):
    """As long as the pool is nearly as deep as it was: each account there is, however many."""
    for n in (750, 1_500):
        assert cascade(rho, n).n_left == 0
