"""Who holds what, against a ledger filled by hand."""

import numpy as np
import pytest

from sim.holdings import balances_of, group_balances, holders
from sim.ledger import make_ledger

ROWS = np.array([2, 3, 1], np.int64)
TOKENS = [[0, 1], [1, 2, 0], []]  # of each group; the second holds token 1 in its first column


@pytest.fixture
def ledger():
    made = make_ledger(ROWS.tolist(), TOKENS, [False] * 3, 3)
    made.balance[:] = [1, 2, 3, 4, *(10, 20, 30), *(0, 50, 60), *(70, 0, 90)]
    return made


def test_the_balances_of_a_group_are_those_of_its_accounts(ledger):
    assert group_balances(ledger, ROWS).tolist() == [[4, 6, 0], [180, 80, 70], [0, 0, 0]]


def test_holders_are_listed_group_by_group_with_what_they_hold(ledger):
    found = [(g, rows.tolist(), held.tolist()) for g, rows, held in holders(ledger, ROWS, 1)]

    assert found == [(0, [0, 1], [2.0, 4.0]), (1, [0, 2], [10.0, 70.0])]


def test_nobody_holds_what_was_never_issued():
    empty = make_ledger([2], [[0]], [False], 1)

    assert holders(empty, np.array([2]), 0) == []


def test_balances_of_accounts_are_read_one_token_each(ledger):
    group, row, token = np.array([[0, 1, 1, 0], [1, 0, 2, 0], [0, 2, 0, 2]])

    assert balances_of(ledger, group, row, token).tolist() == [3.0, 20.0, 90.0, 0.0]
