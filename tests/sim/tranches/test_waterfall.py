"""Losses by attachment points, recoveries, income rules; against the Vasicek model and by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from experiments.verify.rows_a_structures import POINTS, TABLE, tranche_loss_of
from sim.tranches.waterfall import (
    bear,
    lever_income,
    leverage_of,
    mark,
    pay_coupons,
    recover,
    senior_share,
    split_income,
)

AMOUNT = st.floats(0.0, 1e9)


def row_of(*values):
    """A row of a tranche column."""
    column = np.zeros((1, 4))
    column[0, : len(values)] = values
    return column


def test_a_loss_eats_from_the_bottom():
    """80 / 12 / 8 and a loss of 25: 8 from the junior, 12 from the mezzanine, 5 from the senior."""
    nav = row_of(80.0, 12.0, 8.0)
    assert bear(nav, 0, 3, 25.0) == 25.0
    assert nav[0, :3].tolist() == [75.0, 0.0, 0.0]


def test_more_than_everything_is_not_lost():
    nav = row_of(80.0, 12.0, 8.0)
    assert bear(nav, 0, 3, 130.0) == 100.0
    assert nav[0, :3].tolist() == [0.0, 0.0, 0.0]


def test_a_recovery_goes_to_the_senior_first():
    nav, claim = row_of(75.0, 0.0, 0.0), row_of(80.0, 12.0, 8.0)
    assert recover(nav, claim, 0, 3, 9.0) == 0.0
    assert nav[0, :3].tolist() == [80.0, 4.0, 0.0]
    assert recover(nav, claim, 0, 3, 20.0) == 4.0  # 8 + 8 make all good
    assert nav[0, :3].tolist() == [80.0, 12.0, 8.0]


@given(st.lists(AMOUNT, min_size=2, max_size=4), AMOUNT)
def test_losses_by_tranche_add_up_to_the_loss(values, loss):
    nav, n = row_of(*values), len(values)
    before = nav.copy()
    borne = bear.py_func(nav, 0, n, loss)
    total = sum(values)
    assert borne == pytest.approx(min(loss, total), rel=1e-12, abs=1e-9 * total)
    lost = before - nav
    assert lost.sum() == pytest.approx(borne, rel=1e-12, abs=1e-9 * total)
    assert (nav >= 0.0).all()
    for k in range(n):  # nobody loses before those below have lost all
        if lost[0, k] > 1e-9 * total:
            assert nav[0, k + 1 : n].max(initial=0.0) <= 1e-9 * total


@pytest.mark.parametrize("terms", TABLE)
def test_expected_losses_are_those_of_the_vasicek_table(terms):
    found = [tranche_loss_of(terms, *pair) for pair in pairwise(POINTS)]
    assert found == pytest.approx(TABLE[terms], abs=1e-6)


def test_expected_losses_are_the_closed_form_and_add_up():
    """E[(g X - K)+] = g Phi2(c, -k; -sqrt(1 - rho)), c = Phi^-1(PD), k = Phi^-1(K / g)."""
    pd, severity, rho = 0.05, 0.6, 0.2

    def excess(point):
        if point >= severity:
            return 0.0
        if point <= 0.0:
            return severity * pd
        cov = -np.sqrt(1.0 - rho)
        both = multivariate_normal(cov=[[1.0, cov], [cov, 1.0]])
        return severity * float(both.cdf([norm.ppf(pd), -norm.ppf(point / severity)]))

    for low, high in pairwise(POINTS):
        closed = (excess(low) - excess(high)) / (high - low)
        assert tranche_loss_of((pd, severity, rho), low, high) == pytest.approx(closed, abs=2e-5)
    parts = [
        tranche_loss_of((pd, severity, rho), *pair) * (pair[1] - pair[0])
        for pair in pairwise(POINTS)
    ]
    assert sum(parts) == pytest.approx(severity * pd, abs=1e-9)


@pytest.mark.parametrize(
    ("pd", "rho", "rate", "loss"),
    [(0.01, 0.2, 0.145525, None), (0.02, 0.1, 0.128237, None), (0.05, 0.2, None, 0.384422)],
)
def test_the_worst_case_default_rate_wipes_out_what_attaches_below_it(pd, rho, rate, loss):
    """Phi((Phi^-1(PD) + sqrt(rho) Phi^-1(99.9 %)) / sqrt(1 - rho)): a tranche that detaches there
    is gone at that quantile, one that attaches there is whole."""
    worst = norm.cdf((norm.ppf(pd) + np.sqrt(rho) * norm.ppf(0.999)) / np.sqrt(1.0 - rho))
    assert worst == pytest.approx(rate or loss, abs=1e-6)
    nav = row_of(1.0 - worst, worst)
    bear(nav, 0, 2, worst)
    assert nav[0, 0] == pytest.approx(1.0 - worst, abs=1e-15)
    assert nav[0, 1] == pytest.approx(0.0, abs=1e-15)


def test_the_adaptive_split_gives_8_and_18_percent():
    """80 / 20 and a base yield of 10 %: the senior gets 0.8 of it."""
    nav, claim, income = row_of(80.0, 20.0), row_of(80.0, 20.0), row_of()
    split_income(nav, claim, income, 0, 10.0, 0.5, 0.99)
    assert income[0, :2] / [80.0, 20.0] == pytest.approx([0.08, 0.18], rel=1e-15)


@pytest.mark.parametrize(("ratio", "share"), [(0.2, 0.5), (0.8, 0.8), (0.999, 0.99)])
def test_the_senior_share_is_clipped(ratio, share):
    assert senior_share(ratio, 0.5, 0.99) == share


def test_levered_income_is_ceded_to_the_junior():
    """10 on 80 / 20: 8 to the senior, of which a fifth goes down: 6.4 and 3.6."""
    nav, claim, income = row_of(80.0, 20.0), row_of(80.0, 20.0), row_of()
    lever_income(nav, claim, income, 0, 2, 10.0, 0.2)
    assert income[0, :2].tolist() == pytest.approx([6.4, 3.6])


@pytest.mark.parametrize(("n", "leverage"), [(0, 0.0), (1, 0.0), (3, 2.0), (5, 4.0), (9, 4.0)])
def test_leverage_is_linear_between_two_numbers_of_backers(n, leverage):
    assert leverage_of(float(n), 1.0, 5.0, 4.0) == leverage


def test_coupons_are_paid_from_below():
    """A year of 5 % on 80 and 9 % on 12: 4 and 1.08 out of the junior's 8."""
    nav, claim, income = row_of(80.0, 12.0, 8.0), row_of(80.0, 12.0, 8.0), row_of()
    pay_coupons(nav, claim, income, row_of(0.05, 0.09, 0.0), 0, 3, 1.0)
    assert nav[0, :3].tolist() == pytest.approx([84.0, 13.08, 2.92])
    assert income[0, :3].tolist() == pytest.approx([4.0, 1.08, -5.08])


def test_coupons_that_cannot_be_paid_are_missed_not_owed():
    """With 1 left below, the senior gets that and what the mezzanine has; claims do not grow."""
    nav, claim, income = row_of(80.0, 2.0, 1.0), row_of(80.0, 12.0, 8.0), row_of()
    pay_coupons(nav, claim, income, row_of(0.05, 0.09, 0.0), 0, 3, 1.0)
    assert nav[0, :3].tolist() == [83.0, 0.0, 0.0]
    assert claim[0, :3].tolist() == [83.0, 10.0, 7.0]  # losses stay 0, 10 and 7


@given(st.floats(0.0, 200.0))
def test_marks_add_up_to_the_value(value):
    nav, claim, marked = row_of(80.0, 6.0, 0.0), row_of(80.0, 12.0, 8.0), row_of()
    mark.py_func(nav, claim, 0, 3, value, marked)
    assert marked.sum() == pytest.approx(value, abs=1e-12)
    assert marked[0, 0] == pytest.approx(min(value, 80.0), abs=1e-12)
