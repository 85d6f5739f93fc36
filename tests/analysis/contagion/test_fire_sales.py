"""Fire sales: the worked example, parts that add up, and what a shock can do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.contagion.fire_sales import fire_sale
from sim.errors import InputError

HELD = np.array([[60.0, 40.0], [10.0, 40.0]])  # assets 100 and 50, weights .6/.4 and .2/.8
LEVERAGE, IMPACT = np.array([9.0, 4.0]), np.array([1e-3, 5e-4])
EQUITY = np.array([10.0, 10.0])
FALL = np.array([-0.05, 0.0])


def test_the_worked_example():
    found = fire_sale(HELD, 20.0, LEVERAGE, IMPACT, FALL)

    assert found.direct_loss == pytest.approx(0.175, rel=1e-9)
    np.testing.assert_allclose(found.sales, (16.6, 12.4), rtol=1e-9)
    np.testing.assert_allclose(found.price_moves, (-0.0166, -0.0062), rtol=1e-9)
    assert found.total == pytest.approx(0.0829, rel=1e-9)


def test_what_each_loses_and_what_each_costs_add_up_to_the_whole():
    found = fire_sale(HELD, EQUITY, LEVERAGE, IMPACT, FALL)

    # bank 1 holds 60 and 40: 60 x .0166 + 40 x .0062; bank 2: 10 x .0166 + 40 x .0062
    np.testing.assert_allclose(found.indirect_loss, (1.244, 0.414), rtol=1e-9)
    np.testing.assert_allclose(found.vulnerability, (0.1244, 0.0414), rtol=1e-9)
    assert found.systemicness.sum() == pytest.approx(found.total, rel=1e-12)


def test_nobody_sells_without_debt():
    found = fire_sale(HELD, EQUITY, [0.0, 0.0], IMPACT, FALL)

    assert not found.sales.any()
    assert found.total == 0.0


@given(st.floats(0.0, 3.0), st.lists(st.floats(-0.5, 0.0), min_size=2, max_size=2))
def test_the_answer_is_in_proportion_to_the_shock(factor, fall):
    one = fire_sale(HELD, EQUITY, LEVERAGE, IMPACT, fall)
    more = fire_sale(HELD, EQUITY, LEVERAGE, IMPACT, factor * np.array(fall))

    assert more.total == pytest.approx(factor * one.total, rel=1e-9, abs=1e-15)
    np.testing.assert_allclose(more.sales, factor * one.sales, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"leverage": [-1.0, 1.0]}, "at least 0"), ({"equity": [0.0, 1.0]}, "above 0")],
)
def test_numbers_that_make_no_sense_are_refused(change, words):
    given_ = {"equity": EQUITY, "leverage": LEVERAGE} | change
    with pytest.raises(InputError, match=words):
        fire_sale(HELD, given_["equity"], given_["leverage"], IMPACT, FALL)
