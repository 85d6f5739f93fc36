"""Series from record tables: pivots by name and time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.series import codes, wide


@pytest.mark.parametrize("dtype", [object, "str", "category"])
def test_a_pivot_has_a_row_a_time_and_a_column_a_name(dtype):
    frame = pd.DataFrame(
        {"time": [5.0, 0.0, 5.0, 5.0], "venue": ["b", "b", "a", "b"], "price": [1.0, 2.0, 3.0, 4.0]}
    ).astype({"venue": dtype})
    found = wide(frame, "venue", "price")
    assert list(found.columns) == ["a", "b"]
    assert list(found.index) == [0.0, 5.0]
    assert (found.index.name, found.columns.name) == ("time", "venue")
    np.testing.assert_array_equal(found, [[np.nan, 2.0], [3.0, 4.0]])  # the last row counts


def test_names_that_no_row_has_are_no_columns():
    texts = pd.Series(pd.Categorical(["y", "x"], categories=["x", "y", "z"]))
    names, numbers = codes(texts)
    assert names.tolist() == ["x", "y"]
    assert numbers.tolist() == [1, 0]


def test_a_pivot_of_nothing_is_empty():
    frame = pd.DataFrame({"time": [], "venue": pd.Series(dtype=object), "price": []})
    assert wide(frame, "venue", "price").shape == (0, 0)
