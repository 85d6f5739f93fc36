"""Replays: profiles, the static book and its skill by hand; what the files of the days say."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from experiments.verify import rows_r

DATA = Path(
    os.environ.get("UNDERTOW_DATA", Path(__file__).resolve().parents[4] / "shared" / "data")
)
FALLING = pd.DataFrame({"open": [100.0, 99.0, 95.0], "low": [99.5, 94.5, 95.0]})


def test_skill_is_the_share_of_the_error_that_is_gone():
    real, simulated, static = (np.array(x) for x in ([1.0, 0.0], [0.75, 0.25], [0.5, 0.5]))
    assert rows_r._skill(real, simulated, static) == 0.5
    assert rows_r._skill(real, static, static) == 0.0
    assert rows_r._skill(real, np.array([0.0, 1.0]), static) == -1.0


def test_debt_is_counted_by_hour_and_by_the_low_so_far():
    profile = rows_r._Profile([0, 1, 2], [10.0, 30.0, 60.0], ["a", "b", "a"])
    assert profile.hours()[:3].tolist() == [0.1, 0.3, 0.6]
    lows = profile.lows(FALLING)  # fallen by 0.5, 5.5 and still 5.5 %
    assert lows[[0, 5]].tolist() == [0.1, 0.9]


def test_the_three_largest_liquidators_are_counted_together():
    profile = rows_r._Profile([0] * 5, [5.0, 4.0, 1.0, 1.0, 9.0], ["a", "b", "c", "d", None])
    assert profile.top_three() == pytest.approx(10.0 / 11.0)  # nobody knows who the last one is


def test_a_static_book_halves_each_debt_in_its_first_unsafe_hour():
    book = pd.DataFrame(
        {
            "time": [0.0, 0.0, 0.0, 9.0],
            "debt": [100.0, 40.0, 70.0, 100.0],
            "health_factor": [1.001, 1.05, 1.5, 0.5],  # unsafe below 99.9, 95.2 and 66.7
        }
    )
    static = rows_r._static(SimpleNamespace(tables={"positions": book}), FALLING)
    assert static.hour.tolist() == [0, 1]
    assert static.debt.tolist() == [50.0, 20.0]


def test_without_files_a_replay_says_what_it_needs(monkeypatch):
    monkeypatch.delenv(rows_r.FOLDER, raising=False)
    assert all("--prices DIR" in row.missing for row in rows_r.rows())


@pytest.mark.skipif(not (DATA / "lending").is_dir(), reason="no market data here")
def test_the_files_have_the_calls_and_debts_of_the_days(monkeypatch):
    monkeypatch.setenv(rows_r.FOLDER, str(DATA))
    assert not any(row.missing for row in rows_r.rows())
    for found in rows_r._reported(rows_r._real_calls()):
        assert found.low <= found.value <= found.high, found.name
