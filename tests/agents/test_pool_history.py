"""What liquidity providers see of a pool: falls, losses, discounts, calm, and rates of fees."""

import pytest

from agents.pool_history import (
    IS_CALM,
    IS_FRIGHTENING,
    LAST_FRIGHT,
    LOSS,
    N_STEPS,
    STEP,
    fees_per_day,
    is_frightening,
    make_history,
    observe,
    row_back,
)
from sim.units import HOUR, ticks

is_bad, back, rate = is_frightening.py_func, row_back.py_func, fees_per_day.py_func


def history(price_trigger=0.2, loss_trigger=0.002, window=6.0, par=None, discount=0.02):
    return make_history(price_trigger, loss_trigger, window, ticks(2 * HOUR), par, discount)


def look(seen, step, price=100.0, fees=0.0, losses=0.0, value=1e6):
    observe.py_func(seen, step * STEP, price, fees, losses, value)
    return bool(seen.state[IS_FRIGHTENING])


def test_a_first_look_does_not_frighten():
    seen = history()
    assert not look(seen, 0)
    assert seen.state[N_STEPS] == 1
    assert seen.state[IS_CALM] == 1


@pytest.mark.parametrize(("price", "frightens"), [(80.1, False), (80.0, True), (50.0, True)])
def test_a_fall_within_an_hour_frightens(price, frightens):
    seen = history()
    for step in range(6):
        look(seen, step)
    assert look(seen, 6, price) == frightens


def test_a_fall_that_takes_longer_than_an_hour_does_not():
    seen = history()
    prices = [100.0 * 0.97**step for step in range(24)]  # 17 % an hour, 52 % in all
    assert not any(look(seen, step, price) for step, price in enumerate(prices))


def test_a_fall_counts_from_the_highest_price_of_the_hour():
    seen = history()
    for step, price in enumerate([100.0, 126.0, 110.0]):
        assert not look(seen, step, price)
    assert look(seen, 3, 100.0)  # 100 / 126 - 1 = -20.6 %


def test_a_fall_is_forgotten_after_an_hour():
    seen = history()
    look(seen, 0)
    assert [look(seen, step, 75.0) for step in range(1, 9)] == [True] * 6 + [False] * 2


def test_net_loss_over_the_window_frightens():
    seen = history(window=1.0)
    look(seen, 0)
    # 400 USD of losses and 100 of fees a step on 1m USD: 3 bp a step, 21 bp after 7 steps; but the
    # window holds 6 steps, 18 bp
    assert not any(look(seen, k, fees=100.0 * k, losses=400.0 * k) for k in range(1, 12))
    assert seen.ring[back(seen, 0), LOSS] == pytest.approx(11 * 3e-4)
    # and 450 USD are 3.5 bp a step, 21 bp
    seen = history(window=1.0)
    found = [look(seen, k, fees=100.0 * k, losses=450.0 * k) for k in range(12)]
    assert found == [False] * 6 + [True] * 6


def test_fees_that_cover_the_losses_calm():
    seen = history()
    assert not any(look(seen, k, fees=1e4 * k, losses=1e4 * k) for k in range(50))


def test_a_pool_without_a_value_has_no_losses():
    seen = history()
    assert not any(look(seen, k, losses=1e6 * k, value=0.0) for k in range(20))


@pytest.mark.parametrize(("price", "frightens"), [(1.07 * 0.981, False), (1.07 * 0.979, True)])
def test_a_discount_to_par_frightens(price, frightens):
    seen = history(par=1.07)
    look(seen, 0, 1.07)
    assert look(seen, 1, price) == frightens


def test_no_price_is_below_no_par():
    assert not look(history(), 0, 1e-9)


def test_calm_returns_a_while_after_the_last_fright():
    seen = history(par=1.0)
    calm = [look(seen, k, 0.9 if 3 <= k <= 5 else 1.0) or seen.state[IS_CALM] for k in range(20)]
    assert seen.state[LAST_FRIGHT] == 5 * STEP
    # frightening at 3, 4, 5; two hours, 12 steps, later it is calm
    assert [bool(c) for c in calm[6:17]] == [False] * 11
    assert calm[17:] == [1, 1, 1]


def test_the_ring_holds_a_day():
    seen = history()
    for step in range(500):
        look(seen, step, 100.0 + step)
    assert seen.ring[back(seen, 0), 0] == 599.0
    assert seen.ring[back(seen, 144), 0] == 455.0
    assert seen.ring[back(seen, 1_000), 0] == 455.0  # the oldest there is


def test_a_chain_that_stood_still_left_no_holes():
    seen = history()
    look(seen, 0, 100.0)
    assert not look(seen, 40, 50.0)  # it may have taken all that time
    assert seen.state[N_STEPS] == 41
    assert look(seen, 41, 40.0)
    assert (seen.ring[:41, 0] > 0.0).all()


def test_fees_per_day_are_a_rate_from_the_first_hour_on():
    seen = history()
    for step in range(300):
        look(seen, step, fees=50.0 * step)
        if step == 3:
            assert rate(seen) == pytest.approx(150.0 * 24)  # 150 in what counts as an hour
        if step in {6, 30, 143, 144, 299}:
            assert rate(seen) == pytest.approx(50.0 * 144)


def test_judging_needs_no_more_than_the_last_steps():
    seen = history()
    look(seen, 0)
    before = [column.tobytes() for column in seen]
    assert not is_bad(seen)
    assert [column.tobytes() for column in seen] == before
