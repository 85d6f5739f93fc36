"""Arrivals: Poisson processes by row that nobody else's presence can move."""

import math

import numpy as np
import pytest
from scipy import stats

from agents.arrivals import NEVER, make_arrivals, next_arrival, renew
from sim.draws import stream_id
from sim.units import TICKS_PER_SECOND

DAY = 86_400 * TICKS_PER_SECOND
STREAM = stream_id("population:test")


def arrivals(rates, stops, seed=1):
    """All (row, due tick) up to each stop, in the order in which they were handed out."""
    wheel = make_arrivals(np.asarray(rates, float), seed, STREAM)
    found = []
    for now in stops:
        row = next_arrival(wheel, now)
        while row >= 0:
            due = int(wheel.due[row])
            assert due <= now
            found.append((row, due))
            renew(wheel, row, due)
            row = next_arrival(wheel, now)
        waiting = wheel.due[wheel.due < NEVER]
        assert (waiting > now).all(), "an arrival was missed"
    return found


def by_row(found):
    rows = {}
    for row, due in found:
        rows.setdefault(row, []).append(due)
    return rows


def blocks(days, n=200):
    return [round(days * DAY * (k + 1) / n) for k in range(n)]


def test_arrivals_are_as_many_as_their_rate_says():
    """20 rows, 20 days, 10 a day: 4,000 expected, SE 63; five allowed (6e-7)."""
    found = arrivals([10.0] * 20, blocks(20))
    assert abs(len(found) - 4_000) < 5 * math.sqrt(4_000)


def test_rows_have_rates_of_their_own():
    rows = by_row(arrivals([1.0, 100.0, 0.0], blocks(30)))
    assert abs(len(rows[0]) - 30) < 5 * math.sqrt(30)
    assert abs(len(rows[1]) - 3_000) < 5 * math.sqrt(3_000)
    assert 2 not in rows


def test_gaps_are_exponential_and_uncorrelated():
    dues = np.array(by_row(arrivals([500.0], blocks(20)))[0])
    gaps = np.diff(dues) / DAY * 500.0
    assert stats.kstest(gaps, "expon").pvalue > 1e-6
    correlation = float(np.corrcoef(gaps[1:], gaps[:-1])[0, 1])
    assert abs(correlation) < 5.0 / math.sqrt(len(gaps))


def test_counts_of_a_day_have_the_variance_of_a_poisson_law():
    """1,000 rows, mean 5: variance over mean has SE sqrt(2 / 1000) = 4.5 %, five allowed."""
    rows = by_row(arrivals([5.0] * 1_000, [DAY]))
    counts = np.array([len(rows.get(row, ())) for row in range(1_000)])
    assert abs(counts.var() / counts.mean() - 1.0) < 5 * math.sqrt(2.1 / 1_000)


def test_no_arrival_depends_on_when_one_looks():
    rates = [20.0, 3.0, 300.0]
    assert by_row(arrivals(rates, blocks(3, 7))) == by_row(arrivals(rates, blocks(3, 5_000)))


def test_more_rows_move_no_arrival():
    few = by_row(arrivals([20.0] * 5, blocks(2)))
    many = by_row(arrivals([20.0] * 5 + [77.0] * 500, blocks(2)))
    assert {row: many[row] for row in range(5)} == few


def test_silencing_a_row_moves_no_other():
    all_on = by_row(arrivals([20.0] * 5, blocks(2)))
    one_off = by_row(arrivals([20.0, 20.0, 0.0, 20.0, 20.0], blocks(2)))
    assert one_off == {row: dues for row, dues in all_on.items() if row != 2}


def test_seeds_have_arrivals_of_their_own():
    assert by_row(arrivals([20.0], blocks(1)))[0][0] != by_row(arrivals([20.0], blocks(1), 2))[0][0]


def test_an_idle_stretch_longer_than_the_wheel_loses_nothing():
    rates = [0.02] * 50  # the wheel spans 13.7 hours here, gaps 50 days
    assert by_row(arrivals(rates, [100 * DAY])) == by_row(arrivals(rates, blocks(100, 1_000)))


@pytest.mark.parametrize("n", [0, 1])
def test_nobody_arriving_is_fine(n):
    assert arrivals([0.0] * n, blocks(1, 3)) == []
