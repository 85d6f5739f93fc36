"""Clearing payments: the worked examples, a linear program, and what must always hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from analysis.contagion.clearing import eisenberg_noe, rogers_veraart
from sim.errors import InputError

OWES = np.array([[0, 6, 3, 1], [2, 0, 4, 2], [3, 1, 0, 4], [1, 2, 1, 0]], float)
POOR = np.array([1.0, 0.5, 0.2, 0.3])
RICHER = np.array([1.0, 1.5, 0.5, 0.5])


@pytest.mark.parametrize(
    ("outside", "payments", "n_defaults"),
    [
        (POOR, (6.248588, 7.075706, 6.612429, 4.0), 3),
        (RICHER, (6.830986, 8.0, 7.549296, 4.0), 2),
    ],
)
def test_payments_of_the_worked_example(outside, payments, n_defaults):
    found = eisenberg_noe(OWES, outside)

    np.testing.assert_allclose(found.payments, payments, atol=1e-6)
    assert (found.rounds > 0).sum() == n_defaults


def test_one_default_brings_two_more_in_the_worked_example():
    found = eisenberg_noe(OWES, POOR)

    np.testing.assert_array_equal(found.rounds, (1, 2, 2, 0))
    np.testing.assert_allclose(found.equity, (0.0, 0.0, 0.0, 2.0), atol=1e-6)


@pytest.mark.parametrize(
    ("outside", "payments"),
    [
        (POOR, (2.159938, 2.283583, 1.919262, 1.637216)),
        (RICHER, (3.859649, 5.067982, 4.153509, 4.0)),
    ],
)
def test_costs_of_default_lower_payments_as_in_the_worked_example(outside, payments):
    np.testing.assert_allclose(
        rogers_veraart(OWES, outside, 0.8, 0.8).payments, payments, atol=1e-6
    )


def test_who_owes_nobody_keeps_what_he_has():
    found = eisenberg_noe([[0, 4], [0, 0]], [3, 1])

    np.testing.assert_array_equal(found.payments, (3.0, 0.0))
    np.testing.assert_array_equal(found.equity, (0.0, 4.0))


def test_a_circle_of_equal_debts_clears_without_any_money():
    found = eisenberg_noe([[0, 5, 0], [0, 0, 5], [5, 0, 0]], [0, 0, 0])

    np.testing.assert_array_equal(found.payments, (5.0, 5.0, 5.0))
    assert not found.rounds.any()


@st.composite
def networks(draw):
    n = draw(st.integers(2, 6))
    amounts = st.floats(0.0, 100.0).map(lambda x: round(x, 3))
    owes = draw(arrays(float, (n, n), elements=amounts)) * (1.0 - np.eye(n))
    return owes, draw(arrays(float, n, elements=amounts))


@given(networks())
def test_payments_are_those_of_the_linear_program(network):
    owes, outside = network
    debts = owes.sum(axis=1)
    shares = np.divide(owes, debts[:, None], out=np.zeros_like(owes), where=debts[:, None] > 0)
    best = linprog(
        -np.ones(len(debts)),
        A_ub=np.eye(len(debts)) - shares.T,
        b_ub=outside,
        bounds=[(0.0, debt) for debt in debts],
    )

    found = eisenberg_noe(owes, outside).payments
    assert found.sum() == pytest.approx(-best.fun, rel=1e-6, abs=1e-6)


@given(networks(), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_payments_clear_and_stay_within_bounds(network, outside_recovery, paid_recovery):
    owes, outside = network
    debts = owes.sum(axis=1)
    shares = np.divide(owes, debts[:, None], out=np.zeros_like(owes), where=debts[:, None] > 0)

    found = rogers_veraart(owes, outside, outside_recovery, paid_recovery)

    paid = shares.T @ found.payments
    poor = outside_recovery * outside + paid_recovery * paid
    expected = np.where(found.rounds > 0, np.minimum(poor, debts), debts)
    slack = 1e-9 * (1.0 + debts.sum() + outside.sum())
    np.testing.assert_allclose(found.payments, expected, atol=slack)
    assert (found.payments >= 0.0).all()
    assert (found.payments <= debts).all()
    assert (found.equity >= 0.0).all()


@given(networks())
def test_clearing_makes_no_money(network):
    owes, outside = network
    found = eisenberg_noe(owes, outside)

    total = outside.sum()
    assert found.equity.sum() == pytest.approx(total, rel=1e-9, abs=1e-9 * (1.0 + owes.sum()))


@given(networks(), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_larger_loss_never_raises_a_payment(network, share, recovery):
    owes, outside = network
    slack = 1e-9 * (1.0 + owes.sum() + outside.sum())

    more = rogers_veraart(owes, outside, recovery, recovery).payments
    less = rogers_veraart(owes, share * outside, recovery, recovery).payments

    assert (less <= more + slack).all()


@pytest.mark.parametrize(
    ("owes", "outside", "words"),
    [
        ([[0, 1]], [1, 1], "must be square"),
        ([[0, -1], [0, 0]], [1, 1], "at least 0"),
        ([[0, np.nan], [0, 0]], [1, 1], "finite"),
    ],
)
def test_numbers_that_are_no_debts_are_refused(owes, outside, words):
    with pytest.raises(InputError, match=words):
        eisenberg_noe(owes, outside)


def test_a_recovery_beyond_all_is_refused():
    with pytest.raises(InputError, match="from 0 to 1"):
        rogers_veraart(OWES, POOR, 1.2, 0.5)
