"""Ledger: conservation, refusals that change nothing, outside accounts, mint and burn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import InvariantError
from sim.ledger import (
    balance_of,
    burn,
    can_pay,
    check_conservation,
    holdings,
    make_ledger,
    mint,
    slot,
    transfer,
)
from sim.status import Status

OUTSIDE, PEOPLE, SAVERS = range(3)
ROWS = [2, 3, 2]
NAMES = ["A", "B", "C"]


def small_ledger():
    """Outside holds A, B, C; three people hold A, B; two savers hold C, B. All people have 100."""
    ledger = make_ledger(ROWS, [[0, 1, 2], [0, 1], [2, 1]], [True, False, False], 3)
    for row in range(3):
        for token in (0, 1):
            mint(ledger, PEOPLE, row, token, 100.0)
    return ledger


def snapshot(ledger):
    return [column.copy() for column in ledger]


def is_same(ledger, before):
    return all((now == then).all() for now, then in zip(ledger, before, strict=True))


accounts = st.tuples(st.integers(0, 2), st.integers(0, 1))
amounts = st.floats(0.0, 300.0) | st.sampled_from([-1.0, math.inf, math.nan, 0.0])
moves = st.one_of(
    st.tuples(st.just("transfer"), accounts, accounts, st.integers(0, 2), amounts),
    st.tuples(st.sampled_from(["mint", "burn"]), accounts, st.integers(0, 2), amounts),
)


def apply(ledger, move):
    if move[0] == "transfer":
        _, source, target, token, amount = move
        return transfer(ledger, *source, *target, token, amount)
    verb, account, token, amount = move
    return (mint if verb == "mint" else burn)(ledger, *account, token, amount)


@given(st.lists(moves, max_size=40))
def test_balances_always_add_up_to_supply(sequence):
    ledger = small_ledger()
    for move in sequence:
        apply(ledger, move)
    check_conservation(ledger, ROWS, NAMES)


@given(st.lists(moves, max_size=40))
def test_a_refused_move_changes_nothing(sequence):
    ledger = small_ledger()
    for move in sequence:
        before = snapshot(ledger)
        status = apply(ledger, move)
        assert status == Status.OK or is_same(ledger, before)


@given(st.lists(moves, max_size=40))
def test_only_outside_accounts_go_below_zero(sequence):
    ledger = small_ledger()
    for move in sequence:
        apply(ledger, move)
    for group in (PEOPLE, SAVERS):
        assert (holdings(ledger, group, ROWS[group]) >= 0.0).all()


def test_a_transfer_moves_what_it_says():
    ledger = small_ledger()
    assert transfer(ledger, PEOPLE, 0, PEOPLE, 2, 1, 30.0) == Status.OK
    assert [balance_of(ledger, PEOPLE, row, 1) for row in range(3)] == [70.0, 100.0, 130.0]
    assert ledger.supply.tolist() == [300.0, 300.0, 0.0]
    assert ledger.turnover[1] == 330.0
    assert ledger.n_moves[1] == 4


def test_a_transfer_to_oneself_changes_no_balance():
    ledger = small_ledger()
    assert transfer(ledger, PEOPLE, 0, PEOPLE, 0, 0, 30.0) == Status.OK
    assert balance_of(ledger, PEOPLE, 0, 0) == 100.0


def test_all_of_a_balance_can_be_paid_and_no_more():
    ledger = small_ledger()
    assert can_pay(ledger, PEOPLE, 0, 0, 100.0) == Status.OK
    assert can_pay(ledger, PEOPLE, 0, 0, np.nextafter(100.0, 101.0)) == Status.INSUFFICIENT_FUNDS


def test_a_token_that_a_group_cannot_hold_is_refused():
    ledger = small_ledger()
    assert slot(ledger, PEOPLE, 0, 2) == -1
    assert balance_of(ledger, PEOPLE, 0, 2) == 0.0
    assert can_pay(ledger, PEOPLE, 0, 2, 0.0) == Status.NOT_ALLOWED
    assert transfer(ledger, PEOPLE, 0, SAVERS, 0, 0, 1.0) == Status.NOT_ALLOWED
    assert mint(ledger, PEOPLE, 0, 2, 1.0) == Status.NOT_ALLOWED
    assert burn(ledger, PEOPLE, 0, 2, 1.0) == Status.NOT_ALLOWED


@pytest.mark.parametrize("amount", [-1.0, -1e-300, math.nan, math.inf])
def test_an_amount_that_is_no_amount_is_refused(amount):
    ledger = small_ledger()
    before = snapshot(ledger)
    assert transfer(ledger, OUTSIDE, 0, PEOPLE, 0, 0, amount) == Status.BAD_AMOUNT
    assert mint(ledger, PEOPLE, 0, 0, amount) == Status.BAD_AMOUNT
    assert burn(ledger, OUTSIDE, 0, 0, amount) == Status.BAD_AMOUNT
    assert is_same(ledger, before)


def test_an_outside_account_may_owe():
    ledger = small_ledger()
    assert transfer(ledger, OUTSIDE, 1, PEOPLE, 0, 0, 1e6) == Status.OK
    assert balance_of(ledger, OUTSIDE, 1, 0) == -1e6
    check_conservation(ledger, ROWS, NAMES)


def test_mint_and_burn_move_the_supply():
    ledger = small_ledger()
    assert mint(ledger, SAVERS, 0, 2, 5.0) == Status.OK
    assert ledger.supply[2] == 5.0
    assert burn(ledger, SAVERS, 0, 2, 2.0) == Status.OK
    assert (ledger.supply[2], balance_of(ledger, SAVERS, 0, 2)) == (3.0, 3.0)
    assert burn(ledger, SAVERS, 0, 2, 3.5) == Status.INSUFFICIENT_FUNDS


def test_accounts_do_not_share_slots():
    ledger = small_ledger()
    every = [
        slot(ledger, group, row, token)
        for group, rows in enumerate(ROWS)
        for row in range(rows)
        for token in range(3)
        if ledger.column[group, token] >= 0
    ]
    assert sorted(every) == list(range(len(ledger.balance)))


@pytest.mark.parametrize("stray", [1e-9, -1.0])
def test_a_stray_token_is_caught(stray):
    ledger = small_ledger()
    ledger.balance[slot(ledger, PEOPLE, 1, 1)] += stray
    with pytest.raises(InvariantError, match=r"token B: the balances add up to .* rounding"):
        check_conservation(ledger, ROWS, NAMES)


def test_a_forged_supply_is_caught():
    ledger = small_ledger()
    ledger.supply[2] += 1e-12
    with pytest.raises(InvariantError, match="token C"):
        check_conservation(ledger, ROWS, NAMES)


def test_a_group_without_rows_is_fine():
    ledger = make_ledger([1, 0], [[0], [0]], [True, False], 1)
    check_conservation(ledger, [1, 0], ["A"])
    assert holdings(ledger, 1, 0).shape == (0, 1)


def test_a_balance_that_is_no_number_is_found():
    ledger = small_ledger()
    ledger.balance[0] = np.nan
    with pytest.raises(InvariantError, match="add up to nan"):
        check_conservation(ledger, ROWS, NAMES)
