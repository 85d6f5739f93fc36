"""What holds for every sequence of operations on a concentrated liquidity pool."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.amm.concentrated import ConcentratedLiquidityPool
from sim.amm.concentrated_state import PoolTerms, make
from sim.amm.double_double import add_pairs, divide_by_pair, floor_pair, multiply_pairs
from sim.amm.position_index import add_position, find_position, remove_position

BOUNDS = st.tuples(st.integers(-20, 19), st.integers(1, 20)).map(
    lambda pair: (60 * pair[0], 60 * (pair[0] + pair[1]))
)
MINTS = st.tuples(st.just("mint"), st.sampled_from("ab"), BOUNDS, st.floats(1.0, 1e6))
BURNS = st.tuples(st.just("burn"), st.integers(0, 9), st.floats(0.0, 1.0))
SWAPS = st.tuples(
    st.just("swap"), st.booleans(), st.sampled_from((-1.0, 1.0)), st.floats(1e-3, 1e5)
)
STORIES = st.lists(st.one_of(MINTS, SWAPS, SWAPS, BURNS), min_size=1, max_size=25)


class Book:
    """A pool with a base position, and the money it should hold."""

    def __init__(self, fee=0.003, quantum=None, fee_protocol=(0, 0)):
        self.pool = ConcentratedLiquidityPool(fee, 60, 1.0, fee_protocol, quantum)
        self.fee = fee
        self.held = [0.0, 0.0]  # what came in less what went out
        self.turnover = 0.0
        self.owners = []
        self.mint("base", (-6000, 6000), 1e4)

    def move(self, amounts, sign=1.0):
        for k in (0, 1):
            self.held[k] += sign * amounts[k]
            self.turnover += abs(amounts[k])

    def mint(self, owner, bounds, liquidity):
        self.move(self.pool.mint(owner, *bounds, liquidity))
        if (owner, *bounds) not in self.owners:
            self.owners.append((owner, *bounds))

    def tell(self, story):
        for kind, *more in story:
            if kind == "mint":
                owner, bounds, liquidity = more
                self.mint(owner, bounds, float(round(liquidity)))
            elif kind == "burn":
                number, part = more
                key = self.owners[1:][number : number + 1]
                for owner in key:
                    self.pay_out(owner, math.floor(part * self.pool.position(*owner).liquidity))
            else:
                side, sign, amount = more
                self.move(self.pool.swap(side, sign * round(amount, 3), 0.75 if side else 1.33))
                if self.pool.sqrt_price in {0.75, 1.33}:  # back inside, for the next one
                    back = self.pool.sqrt_price == 1.33
                    self.move(self.pool.swap(back, 1e9, 1.0))

    def pay_out(self, key, liquidity):
        if self.pool.position(*key).liquidity > 0.0:
            self.pool.burn(*key, liquidity)
        self.move(self.pool.collect(*key), -1.0)

    def close(self):
        for key in self.owners:
            self.pay_out(key, self.pool.position(*key).liquidity)
        self.move(self.pool.collect_protocol(), -1.0)


@given(STORIES)
def test_what_comes_in_goes_out_again(story):
    book = Book(fee_protocol=(4, 7))
    book.tell(story)
    book.close()
    assert book.held == pytest.approx([0.0, 0.0], abs=1e-12 * book.turnover)
    assert (book.pool.liquidity, book.pool.ticks) == (0.0, {})


@given(STORIES)
def test_rounding_to_whole_units_never_favors_the_user(story):
    book = Book(quantum=1.0, fee_protocol=(4, 7))
    whole = [(k, *m[:-1], float(round(m[-1] * 1e6))) for k, *m in story if k != "burn"]
    book.tell(whole)
    book.close()
    assert min(book.held) >= 0.0
    assert all(amount == round(amount) for amount in book.held)


@given(STORIES)
def test_net_liquidity_sums_to_zero_and_to_the_active_one(story):
    book = Book()
    book.tell(story)
    ticks = book.pool.ticks
    assert sum(net for _, net in ticks.values()) == 0.0
    below = sum(net for tick, (_, net) in ticks.items() if tick <= book.pool.tick)
    assert below == book.pool.liquidity
    assert all(gross > 0.0 for gross, _ in ticks.values())


@given(STORIES, st.booleans(), st.floats(1e-3, 1e4))
def test_swap_and_back_never_profits(story, side, amount):
    book = Book()
    book.tell(story)
    paid = book.pool.swap(side, amount, 0.5 if side else 2.0)
    own, other = (0, 1) if side else (1, 0)
    back = book.pool.swap(not side, -paid[other], 2.0 if side else 0.5)
    assert paid[own] + back[own] >= -1e-12 * paid[own]


@given(STORIES)
def test_free_swap_and_back_costs_nothing(story):
    book = Book(fee=0.0)
    book.tell(story)
    start = book.pool.sqrt_price
    there = book.pool.swap(True, math.inf, start * 0.9)
    back = book.pool.swap(False, math.inf, start)
    assert there == pytest.approx((-back[0], -back[1]), rel=1e-9)


@given(STORIES)
def test_fees_owed_are_the_fees_paid(story):
    book = Book()
    book.tell([part for part in story if part[0] == "mint"])
    paid = [0.0, 0.0]
    for kind, *more in story:
        if kind == "swap":
            side, _, amount = more
            got = book.pool.swap(side, amount, 0.75 if side else 1.33)
            paid[0 if side else 1] += book.fee * got[0 if side else 1]
            if book.pool.sqrt_price in {0.75, 1.33}:
                back = book.pool.sqrt_price == 1.33
                got = book.pool.swap(back, 1e9, 1.0)
                paid[0 if back else 1] += book.fee * got[0 if back else 1]
    owed = [book.pool.position(*key)[3:] for key in book.owners]
    assert [sum(fees) for fees in zip(*owed, strict=True)] == pytest.approx(
        paid, rel=1e-9, abs=1e-12
    )


# --- pairs ---------------------------------------------------------------------------------------

whole = st.integers(-(2**52), 2**52)


def pair_of(number):
    high = float(number)
    return high, float(number - int(high))


@given(st.integers(-(2**100), 2**100), st.integers(-(2**100), 2**100))
def test_pairs_add_whole_numbers_of_100_bits_exactly(a, b):
    high, low = add_pairs.py_func(*pair_of(a), *pair_of(b))
    assert int(high) + int(low) == a + b


@given(whole, whole)
def test_pairs_multiply_whole_numbers_exactly(a, b):
    high, low = multiply_pairs.py_func(float(a), 0.0, float(b), 0.0)
    assert int(high) + int(low) == a * b


@given(st.integers(1, 2**100), st.integers(1, 2**100))
def test_quotient_of_pairs_has_100_bits(a, b):
    high, low = divide_by_pair.py_func(float(a), *pair_of(b))
    numerator, denominator = high.as_integer_ratio()
    low_numerator, low_denominator = low.as_integer_ratio()
    # |a - (high + low) b| <= 2^-100 a, in whole numbers
    scale = denominator * low_denominator
    error = int(float(a)) * scale - (
        (numerator * low_denominator + low_numerator * denominator) * b
    )
    assert abs(error) << 100 <= int(float(a)) * scale


@given(st.integers(-(2**90), 2**90), st.sampled_from((0.0, 0.25, -0.25)))
def test_floor_of_a_pair_is_the_whole_number_below(a, part):
    high, low = add_pairs.py_func(*pair_of(a), part, 0.0)
    whole_high, whole_low = floor_pair.py_func(high, low)
    assert int(whole_high) + int(whole_low) == a - (part < 0.0)


# --- the index of positions ----------------------------------------------------------------------

KEYS = st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from((-60, 0)))


@settings(max_examples=100)
@given(st.lists(st.tuples(st.booleans(), KEYS), max_size=60))
def test_index_finds_what_a_dictionary_finds(changes):
    pools = make([PoolTerms(0.003, 60, 1.0)], n_positions=24)
    known = {}
    for adds, (group, account, lower) in changes:
        key = 0, group, account, lower, 60
        if adds and key not in known:
            known[key] = add_position.py_func(pools, *key)
        elif not adds and key in known:
            remove_position.py_func(pools, known.pop(key))
    for group in range(3):
        for account in range(4):
            for lower in (-60, 0):
                key = 0, group, account, lower, 60
                assert find_position.py_func(pools, *key) == known.get(key, -1)
