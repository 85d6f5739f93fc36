"""Leveraged portfolios of a small world, and their fire sale by hand."""

import pytest

from analysis.contagion.portfolios import fire_sale_of, portfolios
from sim.errors import InputError
from tests.analysis.contagion.books import TIME, manifest, tables


@pytest.fixture
def book():
    return portfolios(tables(), manifest(), TIME)


def test_who_owes_and_still_has_something_is_leveraged(book):
    assert book.names == ["borrowers"]
    assert book.tokens == ["b/wETH"]
    assert book.holdings.tolist() == [[120_000.0]]
    assert book.debt.tolist() == [90_000.0]


def test_impact_is_that_of_the_first_dollar_in_the_pool(book):
    # a pool of 80,000 USD of the token: the price falls by 2 / 80,000 for the first dollar
    assert book.impact[0] == pytest.approx(2.0 / 80_000.0, rel=1e-5)


def test_a_fall_forces_sales_of_debt_over_equity_times_the_loss(book):
    found = fire_sale_of(book, {"b/wETH": -0.01})

    # loss 1,200 of equity 30,000; leverage 3: 3,600 sold, price down 9 %, another 10,800
    assert found.direct_loss == pytest.approx(0.04)
    assert found.sales.tolist() == pytest.approx([3_600.0])
    assert found.total == pytest.approx(10_800.0 / 30_000.0, rel=1e-5)


def test_a_shock_to_what_nobody_has_is_refused(book):
    with pytest.raises(InputError, match="no leveraged holding of b/USDC; of: b/wETH"):
        fire_sale_of(book, {"b/USDC": -0.1})
    with pytest.raises(InputError, match="no leveraged holding of anything; of: none"):
        fire_sale_of(portfolios({}, {}), {})


def test_a_token_that_nobody_buys_is_refused():
    records = {name: frame for name, frame in tables().items() if name != "pools"}
    with pytest.raises(InputError, match="b/wETH cannot be sold"):
        fire_sale_of(portfolios(records, manifest()), {"b/wETH": -0.1})
