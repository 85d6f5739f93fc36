"""A list of near accounts finds what the whole book would give, and looks at few of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sim.kernel import bind, kernel, view_of
from sim.lending import market
from sim.lending.account import account_values, note_change, values_at, write_indices
from sim.lending.config import MarketConfig, ReserveConfig
from sim.lending.near_accounts import (
    CHECKED,
    N_NEAR,
    WHOLE,
    NearAccounts,
    enlist,
    is_list_whole,
    make_near_accounts,
)
from sim.lending.state import LendingState, add_positions, make_state

N = 120
_own = view_of(NearAccounts, LendingState)


@kernel(inline=False)
def _look(binding, index, found, now):
    """Write the unsafe accounts, by the list where it is whole; returns how many."""
    near, lending = _own(binding)
    write_indices(lending, index, now)
    is_listed = is_list_whole(near, lending, 0, index)
    n = near.state[N_NEAR] if is_listed else lending.positions.shape[0]
    count = 0
    for k in range(n):
        position = near.rows[k] if is_listed else k
        _, threshold_value, debt_value = values_at(lending, position, index)
        near.state[CHECKED] += 1
        if not is_listed:
            enlist(near, position, threshold_value, debt_value)
        if threshold_value < debt_value:
            found[count] = position
            count += 1
    return count


class Watch:
    """A market of three assets, and one who keeps a list of its near accounts."""

    def __init__(self, seed=1, capacity=None):
        random = np.random.default_rng(seed)
        assets = [
            ReserveConfig(
                price=2_000.0, loan_to_value=0.75, liquidation_threshold=0.8, base_rate=0.02
            ),
            ReserveConfig(
                price=30_000.0, loan_to_value=0.7, liquidation_threshold=0.75, base_rate=0.01
            ),
            ReserveConfig(price=1.0, loan_to_value=0.6, liquidation_threshold=0.7, base_rate=0.05),
        ]
        state = make_state([MarketConfig(reserves=assets)], [0], [0, 1, 2], [0, 1, 2])
        self.state = add_positions(state, 0, 0, np.arange(N))
        self.near = make_near_accounts(capacity or 8 * N, 3)
        if capacity is not None:
            self.near = self.near._replace(rows=np.zeros(capacity, np.int64))
        self.index, self.found, self.now = np.zeros((2, 3)), np.zeros(N, np.int64), 0
        market.supply(self.state, 0, 2, 1e9, np.inf, 0)
        market.supply(self.state, 0, 0, 1e5, np.inf, 0)
        for position in range(1, N):
            self.open(position, *random.uniform(0.05, 1.0, 3))

    def open(self, position, ether, bitcoin, part):
        """Supply two collaterals and borrow the third asset, or the first of them."""
        first = 10.0 * ether
        market.supply(self.state, position, 0, first, np.inf, self.now)
        market.supply(self.state, position, 1, 0.1 * bitcoin, np.inf, self.now)
        most = account_values(self.state, position, self.now)[2]
        asset = 2 if part < 0.8 else 0
        amount = 0.97 * most / float(self.state.reserves["price"][asset])
        market.borrow(self.state, position, asset, amount, self.now)

    def look(self):
        """Return the accounts found unsafe."""
        binding = bind(self.near, self.state).ctypes.data
        return self.found[: _look(binding, self.index, self.found, self.now)].tolist()

    def whole(self):
        """Return the accounts that are unsafe, one by one."""
        every = [account_values(self.state, position, self.now) for position in range(N)]
        return [position for position, v in enumerate(every) if v[1] < v[3]]


@settings(max_examples=12, deadline=None)
@given(
    moves=st.lists(
        st.tuples(st.floats(-0.04, 0.03), st.floats(-0.04, 0.03), st.floats(-0.01, 0.01)),
        min_size=3,
        max_size=12,
    ),
    seed=st.integers(0, 2**31),
)
@example(moves=[(-0.015, 0.0, 0.0)] * 12, seed=1)
def test_the_list_finds_exactly_the_unsafe_accounts_of_the_book(moves, seed):
    watch, random = Watch(), np.random.default_rng(seed)
    for move in moves:
        watch.state.reserves["price"] *= np.exp(np.array(move))
        watch.now += int(random.integers(0, 3_600_000_000))
        for _ in range(3):
            position = int(random.integers(1, N))
            if random.random() < 0.5:
                market.repay(watch.state, position, 2, 100.0, 1e9, watch.now)
            else:
                market.withdraw(watch.state, position, 1, 0.01, watch.now)
        assert watch.look() == watch.whole()


def test_few_accounts_are_looked_at_while_prices_stay_near():
    watch = Watch()
    watch.look()
    before = int(watch.near.state[CHECKED])
    for _ in range(10):
        watch.state.reserves["price"][0] *= 0.9995
        assert watch.look() == watch.whole()
    assert before == N
    assert int(watch.near.state[CHECKED]) - before < N  # ten looks at less than one book


def test_new_terms_of_the_market_look_through_the_book():
    watch = Watch()
    watch.look()
    watch.state.reserves["liquidation_threshold"][0] = 0.6
    assert watch.look() == watch.whole() != []


@pytest.mark.parametrize("n_changes", [3, 5_000])
def test_an_account_that_somebody_acted_on_is_looked_at(n_changes):
    watch = Watch()
    watch.look()
    far = int(np.setdiff1d(np.arange(1, N), watch.near.rows[: watch.near.state[N_NEAR]])[0])
    watch.state.collateral_scaled[far] *= 0.5  # as a seizure would
    for _ in range(n_changes):
        note_change(watch.state, far)
    assert far in watch.look()


def test_without_room_for_the_list_every_look_goes_through_the_book():
    watch = Watch(capacity=2)
    watch.state.reserves["price"][:2] *= 0.8
    assert watch.look() == watch.whole() != []
    assert watch.near.state[N_NEAR] == WHOLE
    assert watch.look() == watch.whole()
