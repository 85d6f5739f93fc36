"""Network valuation: three models of one ring, and their order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.contagion.valuation import (
    clearing_value,
    equity_share,
    fixed_recovery,
    network_equity,
)

RING = 0.5 * np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], float)  # A lends B lends C lends A
OUTSIDE, DEBTS = np.array([10.0, 5.0, 3.0]), np.array([9.0, 4.0, 2.0])


@pytest.mark.parametrize(
    ("valuation", "shock", "equity"),
    [
        (clearing_value, (1.4, 0.8, 0.7), (-0.4, 0.1, -0.1)),
        (fixed_recovery(0.0), (1.4, 0.8, 0.7), (-0.9, -0.3, -0.2)),
        (equity_share, (1.4, 0.8, 0.7), (-0.9, -0.3, -0.2)),
        (clearing_value, (1.6, 0.0, 0.6), (-0.6, 0.9, -0.1)),
        (fixed_recovery(0.0), (1.6, 0.0, 0.6), (-0.6, 0.5, -0.1)),
        (equity_share, (1.6, 0.0, 0.6), (-0.85, 0.5, -0.1)),
    ],
)
def test_equity_of_the_ring_after_a_shock(valuation, shock, equity):
    found = network_equity(RING, OUTSIDE, DEBTS, shock, valuation)

    np.testing.assert_allclose(found, equity, atol=1e-6)


def test_without_a_shock_everybody_keeps_his_equity():
    for valuation in (clearing_value, fixed_recovery(0.0), equity_share):
        found = network_equity(RING, OUTSIDE, DEBTS, np.zeros(3), valuation)
        np.testing.assert_allclose(found, 1.0, rtol=1e-12)


@given(arrays(float, 3, elements=st.floats(0.0, 3.0)), st.floats(0.0, 1.0))
def test_what_can_be_recovered_is_worth_no_less_than_nothing(shock, recovery):
    clearing = network_equity(RING, OUTSIDE, DEBTS, shock, clearing_value)
    part = network_equity(RING, OUTSIDE, DEBTS, shock, fixed_recovery(recovery))
    nothing = network_equity(RING, OUTSIDE, DEBTS, shock, fixed_recovery(0.0))

    assert (nothing <= clearing + 1e-12).all()
    assert (nothing <= part + 1e-12).all()
