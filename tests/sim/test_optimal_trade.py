"""Best sizes: closed forms by hand, the solver against closed forms and brute force."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sim.amm import constant_product
from sim.amm.constant_product import ConstantProductState, execute_swap, make_state
from sim.kernel import bind, handler, kernel, view_of
from sim.ledger import Ledger, make_ledger
from sim.optimal_trade import (
    append_pool,
    best_amount_at_price,
    best_chain_amount,
    best_cycle_amount,
    cycle_margin,
    cycle_output,
)
from sim.orders import quote_at
from sim.status import Status
from sim.venues import Venues, make_venues

OK, REFUSED = int(Status.OK), int(Status.INSUFFICIENT_LIQUIDITY)
_of_binding = view_of(Venues)


@kernel(inline=False)
def solve(binding, venue, side, row, cap):
    (venues,) = _of_binding(binding)
    return best_cycle_amount(venues, venue, side, row, cap)


@kernel(inline=False)
def output(binding, venue, side, row, amount):
    (venues,) = _of_binding(binding)
    return cycle_output(venues, venue, side, row, amount)


@kernel(inline=False)
def margin(binding, venue, side, row):
    (venues,) = _of_binding(binding)
    return cycle_margin(venues, venue, side, row)


class Pools:
    """Constant product pools as venues of one cycle; a pool is (reserve in, reserve out, fee)."""

    def __init__(self, pools, quote=constant_product.MECHANISM.quote):
        n = len(pools)
        self.state = make_state(n)
        self.venues = make_venues(n, [100_000], [0])
        self.ledger = make_ledger([1], [[0]], [True], 1)
        self.venue = np.arange(n, dtype=np.int64)[None, :].copy()
        self.side = (self.venue % 2).copy()  # even pools are paid token 0, odd ones token 1
        self.state.fees_compound[:] = 1
        self.venues.row[:] = np.arange(n)
        self.count = 0
        for k, (reserve_in, reserve_out, fee) in enumerate(pools):
            pair = (reserve_in, reserve_out) if k % 2 == 0 else (reserve_out, reserve_in)
            self.state.reserve0[k], self.state.reserve1[k] = pair
            self.state.fee[k] = self.venues.fee[k] = fee
        self.keep = bind(self.state, self.ledger, self.venues)
        self.venues.quote[:] = quote.address
        self.venues.quote_binding[:] = self.keep.ctypes.data
        self.own = bind(self.venues)
        self.show()

    def show(self):
        self.venues.price[:] = self.state.reserve1 / self.state.reserve0

    def solve(self, cap=math.inf):
        return solve(self.own.ctypes.data, self.venue, self.side, 0, min(cap, 1e12))

    def output(self, amount):
        return output(self.own.ctypes.data, self.venue, self.side, 0, amount)

    def margin(self):
        return margin(self.own.ctypes.data, self.venue, self.side, 0)

    def trade(self, amount):
        """Swap an amount around the cycle; return what comes out."""
        for k in range(self.venue.shape[1]):
            status, paid, out, fee = constant_product.quote_swap(
                self.state, k, k % 2, float(amount), 0.0
            )
            assert status == Status.OK
            execute_swap(self.state, k, k % 2, paid, out, fee)
            amount = out
        self.show()
        return amount


def chain_of(pools):
    chain = (1.0, 1.0, 0.0)
    for pool in pools:
        chain = append_pool(*chain, *map(float, pool))
    return chain


def best_of_chain(pools, cap=math.inf):
    return best_chain_amount(*chain_of(pools), cap)


TWO_POOLS = [(200_000, 100, 0.003), (50, 105_000, 0.003)]
TRIANGLE = [(1000, 2000, 0.003), (3000, 1000, 0.003), (500, 800, 0.003)]

pool = st.tuples(st.floats(1e2, 1e7), st.floats(0.3, 3.0), st.sampled_from([0.0, 5e-4, 3e-3, 1e-2]))


@st.composite
def cycles(draw):
    """2 to 4 pools whose prices nearly close the cycle, as (reserve in, reserve out, fee)."""
    made = [
        (depth, depth * rate, fee)
        for depth, rate, fee in draw(st.lists(pool, min_size=2, max_size=4))
    ]
    target = draw(st.floats(0.9, 1.3))
    rate = math.prod(out / paid for paid, out, _ in made)
    paid, out, fee = made[-1]
    made[-1] = (paid, out * target / rate, fee)
    return made


# --- closed forms --------------------------------------------------------------------------------


def test_two_pools_by_closed_form():
    amount, profit = best_of_chain(TWO_POOLS)
    # phi b1 b2 phi … by hand: out = A x / (B + C x)
    phi = 0.997
    a, b, c = phi * phi * 100 * 105_000, 200_000 * 50, 50 * phi + phi * phi * 100
    assert chain_of(TWO_POOLS) == pytest.approx((a, b, c), rel=1e-15)
    assert amount == pytest.approx((math.sqrt(a * b) - b) / c, rel=1e-12)
    assert (amount, profit) == (
        pytest.approx(1448.6339, abs=5e-5),
        pytest.approx(31.320901, abs=5e-7),
    )


def test_triangle_by_closed_form():
    amount, profit = best_of_chain(TRIANGLE)
    assert amount == pytest.approx(9.443499, abs=5e-7)
    assert profit == pytest.approx(0.2658483, abs=5e-8)


@pytest.mark.parametrize("pools", [TWO_POOLS, TRIANGLE])
def test_closed_form_agrees_with_walking_the_pools_to_1e9(pools):
    amount, profit = best_of_chain(pools)
    assert Pools(pools).output(amount) - amount == pytest.approx(profit, rel=1e-9)


@pytest.mark.parametrize("pools", [TWO_POOLS, TRIANGLE])
def test_solver_finds_the_closed_form(pools):
    amount, profit = best_of_chain(pools)
    found, gain = Pools(pools).solve()
    assert gain == pytest.approx(profit, rel=1e-9)
    assert found == pytest.approx(amount, rel=1e-4)


@pytest.mark.parametrize(
    ("price", "side", "amount", "profit"),
    [(2100.0, 1, 4645.3118, 107.570926), (1900.0, 0, 2.4511764, 113.814577)],
)
def test_best_trade_against_an_outside_price(price, side, amount, profit):
    found = best_amount_at_price(100.0, 200_000.0, 0.003, price)
    assert found[0] == side
    assert found[1] == pytest.approx(amount, rel=2e-8)
    assert found[2] == pytest.approx(profit, rel=5e-9)


@pytest.mark.parametrize("price", [1994.0, 1999.0, 2000.0, 2006.0])
def test_no_trade_inside_the_fee_band(price):
    assert best_amount_at_price(100.0, 200_000.0, 0.003, price) == (-1, 0.0, 0.0)


@pytest.mark.parametrize(("price", "side"), [(1993.9, 0), (2006.1, 1)])
def test_a_trade_just_outside_the_fee_band(price, side):
    found = best_amount_at_price(100.0, 200_000.0, 0.003, price)
    assert found[0] == side
    assert found[1] > 0.0
    assert found[2] > 0.0


@given(
    reserve0=st.floats(1.0, 1e6),
    reserve1=st.floats(1.0, 1e9),
    fee=st.sampled_from([0.0, 5e-4, 3e-3, 1e-2]),
    ratio=st.floats(0.5, 2.0),
)
def test_best_trade_against_a_price_beats_its_neighbors(reserve0, reserve1, fee, ratio):
    price = reserve1 / reserve0 * ratio
    side, amount, profit = best_amount_at_price(reserve0, reserve1, fee, price)
    assume(side >= 0)

    def earn(paid):
        net = paid * (1.0 - fee)
        if side == 1:
            return price * reserve0 * net / (reserve1 + net) - paid
        return reserve1 * net / (reserve0 + net) - price * paid

    noise = 1e-13 * price * reserve0
    assert earn(amount) == pytest.approx(profit, rel=1e-6, abs=noise)
    for factor in (0.0, 0.5, 0.99, 1.01, 2.0):
        assert earn(factor * amount) <= profit + noise


def test_a_cap_below_the_optimum_binds():
    amount, profit = best_of_chain(TWO_POOLS, 100.0)
    assert amount == 100.0
    assert profit == pytest.approx(Pools(TWO_POOLS).output(100.0) - 100.0, rel=1e-12)
    found, gain = Pools(TWO_POOLS).solve(100.0)
    assert found == 100.0
    assert gain == pytest.approx(profit, rel=1e-12)


def test_a_chain_that_does_not_pay_is_left_alone():
    backwards = [(out, paid, fee) for paid, out, fee in reversed(TWO_POOLS)]
    assert best_of_chain(backwards) == (0.0, 0.0)
    assert best_of_chain(TWO_POOLS, 0.0) == (0.0, 0.0)


# --- solver --------------------------------------------------------------------------------------


@given(cycles(), st.sampled_from([1e2, 1e5, 1e9]))
def test_solver_equals_the_closed_form_on_any_cycle(made, cap):
    _, profit = best_of_chain(made, cap)
    amount, gain = Pools(made).solve(cap)
    scale = min(paid for paid, _, _ in made)
    assert gain == pytest.approx(profit, rel=1e-7, abs=1e-13 * scale)
    assert 0.0 <= amount <= cap


@given(cycles(), st.sampled_from([1e2, 1e5, 1e9]))
def test_no_cycle_trade_makes_a_loss_before_gas(made, cap):
    pools = Pools(made)
    amount, gain = pools.solve(cap)
    assert gain >= 0.0
    if amount > 0.0:
        assert gain > 0.0
        assert pools.trade(amount) - amount == gain


@given(cycles())
def test_nothing_is_left_after_the_best_trade(made):
    pools = Pools(made)
    amount, gain = pools.solve(1e9)
    assume(amount > 0.0)
    pools.trade(amount)
    _, more = pools.solve(1e9)
    assert more <= 1e-7 * gain + 1e-13 * min(paid for paid, _, _ in made)


@given(cycles())
def test_margin_above_one_means_that_some_amount_pays(made):
    pools = Pools(made)
    a, b, _ = chain_of(made)
    assert pools.margin() == pytest.approx(a / b, rel=1e-12)
    if pools.margin() < 1.0 - 1e-12:
        assert pools.solve(1e9) == (0.0, 0.0)
    if pools.margin() > 1.0 + 1e-4:
        assert pools.solve(1e9)[1] > 0.0


def test_a_pool_without_a_price_has_no_margin():
    pools = Pools(TWO_POOLS)
    pools.venues.price[1] = 0.0
    assert pools.margin() == 0.0


@pytest.mark.parametrize("cap", [0.0, -1.0, math.nan])
def test_solver_does_nothing_without_money(cap):
    assert Pools(TWO_POOLS).solve(cap) == (0.0, 0.0)


_custom = view_of(ConstantProductState, Ledger, Venues)


@handler
def quote_kinked(binding, message):
    """A constant sum pool up to half its reserve, then constant product of what is left.

    It takes no more than three reserves, and counts its quotes in `fees0` of pool 0.
    """
    pools, _, venues = _custom(binding)
    q = quote_at(message)
    row = venues.row[q.venue]
    pools.fees0[0] += 1.0
    x, y = pools.reserve0[row], pools.reserve1[row]
    if q.side == 1:
        x, y = y, x
    if q.amount > 3.0 * x:
        return REFUSED
    q.amount_in = q.amount
    q.fee_paid = q.amount * pools.fee[row]
    net = q.amount - q.fee_paid
    flat = min(net, 0.5 * x)
    q.amount_out = flat * y / x
    rest = net - flat
    q.amount_out += 0.5 * y * rest / (x + rest)
    return OK


@given(cycles(), st.floats(-4.0, 4.0))
def test_solver_beats_a_grid_on_a_pool_that_only_quotes(made, decades):
    pools = Pools(made, quote_kinked)
    cap = made[0][0] * 10.0**decades
    pools.state.fees0[0] = 0.0
    amount, gain = pools.solve(cap)
    n_quotes = pools.state.fees0[0]
    assert n_quotes <= 65 * len(made)
    assert gain == (pools.output(amount) - amount if amount > 0.0 else 0.0)
    grid = cap * np.geomspace(1e-9, 1.0, 400)
    best = max(pools.output(float(x)) - float(x) for x in grid)
    assert gain >= best - 1e-9 * abs(best) - 1e-13 * made[0][0]


def test_solver_needs_few_quotes():
    pools = Pools([(1e6, 1.02e6, 0.003), (1e6, 1.01e6, 0.003)], quote_kinked)
    pools.solve(1e9)
    assert pools.state.fees0[0] <= 2 * 60


def test_compiled_solver_equals_interpreted():
    pools = Pools(TRIANGLE)
    assert best_chain_amount.py_func(*chain_of(TRIANGLE), 1e9) == best_of_chain(TRIANGLE, 1e9)
    assert best_amount_at_price.py_func(100.0, 200_000.0, 0.003, 2100.0) == best_amount_at_price(
        100.0, 200_000.0, 0.003, 2100.0
    )
    assert pools.solve(1e9)[1] == pytest.approx(best_of_chain(TRIANGLE)[1], rel=1e-9)
