"""Positions that exist at the start."""

import math

import numpy as np
import pytest

from sim.errors import InputError
from sim.lending.account import account_values, health_factor
from sim.lending.book import enter_book
from sim.lending.config import MarketConfig, ReserveConfig
from sim.lending.liquidation import max_liquidation
from sim.lending.state import LendingState, add_positions, make_state


def make_world(n=4, slots=2):
    """One market of ETH at 200 and DAI at 1, with `n` empty positions."""
    config = MarketConfig(reserves=(ReserveConfig(price=200.0), ReserveConfig(price=1.0)))
    state = make_state([config], [0], [0, 1], [0, 1], n_collateral_slots=slots, n_debt_slots=slots)
    return add_positions(state, 0, 7, np.arange(n))


def column(*values):
    return np.array(values)


def test_a_book_sets_claims_debts_and_cash():
    state = make_world()
    enter_book(state, column(0, 1, 2), column(1, 0, 0), column(9e3, 10.0, 5.0), are_debts=False)
    enter_book(state, column(1, 2), column(1, 1), column(1_000.0, 900.0), are_debts=True)
    assert state.reserves["cash"].tolist() == [15.0, 7_100.0]
    assert account_values(state, 1, 0) == (2_000.0, 1_600.0, 1_500.0, 1_000.0)
    assert state.reserves["n_claims"].tolist() == [2, 1]
    assert state.reserves["n_debts"].tolist() == [0, 2]


def test_a_book_may_hold_accounts_that_could_not_borrow_that_much():
    state = make_world()
    enter_book(state, column(0, 1), column(1, 0), column(9e3, 10.0), are_debts=False)
    enter_book(state, column(1), column(1), column(1_700.0), are_debts=True)
    assert health_factor(state, 1, 0) == pytest.approx(1_600.0 / 1_700.0, rel=1e-15)
    assert max_liquidation(state, 1, 1, 0, 0) == 1_700.0


@pytest.mark.parametrize(
    ("rows", "assets", "amounts", "message"),
    [
        ((9,), (0,), (1.0,), "position 9 .* 0 to 3"),
        ((0,), (2,), (1.0,), "reserve 2 .* 0 to 1"),
        ((0, 1), (0, 0), (1.0, -5.0), "claim 1 .*-5 tokens.*BAD_AMOUNT"),
        ((0,), (0,), (math.nan,), "BAD_AMOUNT"),
        ((0,), (0,), (math.inf,), "BAD_AMOUNT"),
    ],
)
def test_a_bad_book_is_refused_with_its_row(rows, assets, amounts, message):
    with pytest.raises(InputError, match=message):
        enter_book(make_world(), column(*rows), column(*assets), column(*amounts), are_debts=False)


def test_a_book_without_the_cash_it_lends_is_refused():
    with pytest.raises(InputError, match="5 tokens of reserve 1 more than is supplied"):
        enter_book(make_world(), column(0), column(1), column(5.0), are_debts=True)


def test_a_book_needs_slots():
    with pytest.raises(InputError, match="NO_SLOT"):
        enter_book(
            make_world(slots=1), column(0, 0), column(0, 1), column(1.0, 1.0), are_debts=False
        )


def test_added_positions_keep_the_old_and_share_reserves():
    old = make_world(2)
    enter_book(old, column(1), column(0), column(3.0), are_debts=False)
    new = add_positions(old, 0, 8, np.arange(3))
    assert isinstance(new, LendingState)
    assert new.reserves is old.reserves
    assert new.positions["population"].tolist() == [7, 7, 8, 8, 8]
    assert account_values(new, 1, 0) == (600.0, 480.0, 450.0, 0.0)
    assert account_values(new, 4, 0) == (0.0, 0.0, 0.0, 0.0)
