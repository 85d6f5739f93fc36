"""Rows in the order of a small number, as a stable sort puts them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sim.grouping import ranges, rows_by_key, sort_rows

KEYS = st.lists(st.integers(0, 6), max_size=60)


@given(KEYS)
def test_rows_stand_as_a_stable_sort_puts_them(keys):
    order, bounds = sort_rows(np.array(keys, np.int64), 7)

    assert order.tolist() == sorted(range(len(keys)), key=keys.__getitem__)
    assert np.diff(bounds).tolist() == [keys.count(key) for key in range(7)]
    assert bounds[0] == 0


@given(KEYS)
def test_every_row_is_found_under_its_key_and_keys_ascend(keys):
    found = rows_by_key(np.array(keys, np.int64), 7)

    assert [key for key, _ in found] == sorted(set(keys))
    for key, rows in found:
        assert rows.tolist() == [row for row, of_row in enumerate(keys) if of_row == key]


def test_only_keys_that_occur_have_a_range():
    assert ranges(np.array([0, 0, 2, 2, 5])) == [(1, 0, 2), (3, 2, 5)]
