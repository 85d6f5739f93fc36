"""DebtRank: the ring by hand, the matrix inverse, and what must always hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.contagion.debt_rank import (
    debt_rank,
    importance,
    leverage,
    linear_debt_rank,
    systemic_loss,
)
from sim.errors import InputError

RING = 0.5 * np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], float)
HALF = np.array([0.5, 0.0, 0.0])


def test_linear_distress_of_the_ring():
    found = linear_debt_rank(leverage(RING, [1, 1, 1]), HALF)

    np.testing.assert_allclose(found, (0.571429, 0.142857, 0.285714), atol=1e-6)


def test_distress_passed_on_once_in_the_ring():
    found = debt_rank(leverage(RING, [1, 1, 1]), HALF)

    np.testing.assert_allclose(found, (0.5625, 0.125, 0.25), atol=1e-12)
    assert systemic_loss(found, HALF, np.full(3, 1 / 3)) == pytest.approx(0.145833, abs=1e-6)


def test_importance_is_what_others_lose_by_a_whole_failure():
    weights = np.full(3, 1 / 3)  # one fails: its lender loses 1/2, that one's lender 1/4
    found = importance(leverage(RING, [1, 1, 1]), weights)

    np.testing.assert_allclose(found, 0.25, atol=1e-12)


def test_importance_of_many_is_that_of_each():
    n = 600  # each lends half its equity to the next: more than are computed at once
    shares = leverage(0.5 * np.eye(n, k=1), np.ones(n))

    found = importance(shares, np.full(n, 1.0 / n), is_linear=False)

    first = np.minimum(np.arange(n), 60)  # lenders before it lose 1/2, 1/4, ...
    np.testing.assert_allclose(found, (1.0 - 0.5**first) / n, rtol=1e-12)


def test_who_has_no_equity_has_nothing_to_lose():
    found = linear_debt_rank(leverage(RING, [0, 1, 1]), [0.0, 0.8, 0.0])

    np.testing.assert_array_equal(found, (0.0, 0.8, 0.0))


@st.composite
def shocks(draw):
    n = draw(st.integers(2, 6))
    shares = draw(arrays(float, (n, n), elements=st.floats(0.0, 2.0))) * (1.0 - np.eye(n))
    return shares, draw(arrays(float, n, elements=st.floats(0.0, 1.0)))


@given(shocks())
def test_without_default_linear_distress_is_the_matrix_inverse(shock):
    shares, initial = shock
    shares = 0.4 * shares / max(shares.sum(axis=1).max(), 1e-9)
    initial = 0.5 * initial

    found = linear_debt_rank(shares, initial)

    inverse = np.linalg.solve(np.eye(len(initial)) - shares, initial)
    np.testing.assert_allclose(found, inverse, atol=1e-10)


@given(shocks())
def test_distress_is_a_share_of_equity_that_never_falls(shock):
    shares, initial = shock
    for spread in (debt_rank, linear_debt_rank):
        found = spread(shares, initial)
        assert (found <= 1.0).all()
        assert (found >= initial - 1e-15).all()


@given(shocks())
def test_passing_on_once_loses_no_more_than_passing_on_always(shock):
    shares, initial = shock
    once, always = debt_rank(shares, initial), linear_debt_rank(shares, initial)

    assert (once <= always + 1e-9).all()


@given(shocks(), st.floats(0.0, 1.0))
def test_a_larger_shock_never_lowers_distress(shock, share):
    shares, initial = shock

    more, less = linear_debt_rank(shares, initial), linear_debt_rank(shares, share * initial)

    assert (less <= more + 1e-9).all()


@given(shocks())
def test_several_shocks_at_once_are_as_one_by_one(shock):
    shares, initial = shock
    both = np.column_stack([initial, 0.3 * initial])
    for spread in (debt_rank, linear_debt_rank):
        found = spread(shares, both)
        for k in range(2):
            np.testing.assert_allclose(found[:, k], spread(shares, both[:, k]), atol=1e-10)


def test_distress_beyond_all_equity_is_refused():
    with pytest.raises(InputError, match="from 0 to 1"):
        linear_debt_rank(RING, [1.5, 0.0, 0.0])
