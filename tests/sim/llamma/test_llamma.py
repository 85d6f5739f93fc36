"""Bands, exchange and loans: published numbers, hand arithmetic, and the integer reference."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sim.errors import InputError, RefusedError
from sim.llamma.bands import as_collateral, as_debt, band_price, highest_price, lowest_price
from sim.llamma.deposits import effective_collateral
from sim.llamma.facade import LlammaMarket
from sim.llamma.loans import withdrawn_part
from tests.sim.llamma.integer_reference import ONE, LlammaReference, whole

A = 100.0
PLAIN = {"has_dynamic_fee": False}


# --- one band ------------------------------------------------------------------------------------


def test_a_band_trades_between_its_published_edges():
    """Top 2,000, oracle 1,990: 1,990^3 / 2,000^2 and 1,990^3 / 1,980^2."""
    assert lowest_price(1_990.0, 2_000.0) == pytest.approx(1_970.14975, rel=1e-8)
    assert highest_price(1_990.0, 2_000.0, A) == pytest.approx(2_010.15177, rel=1e-8)
    assert band_price(0.0, 1.0, 1_990.0, 2_000.0, A) == pytest.approx(1_970.14975, rel=1e-8)
    assert band_price(1.0, 0.0, 1_990.0, 2_000.0, A) == pytest.approx(2_010.15177, rel=1e-8)


def test_a_slow_fall_sells_at_the_geometric_mean_of_the_edges():
    assert as_debt(0.0, 1.0, 2_000.0, 2_000.0, A) == pytest.approx(1_989.97487, rel=1e-8)
    assert as_collateral(1_989.97487, 0.0, 1_980.0, 2_000.0, A) == pytest.approx(1.0, rel=1e-8)


def one_loan(fee=0.0, n=10, price=2_000.0, **terms):
    """10 collateral at 2,000 against 15,000."""
    market = LlammaMarket(price, fee=fee, **(PLAIN | terms))
    market.create_loan("ann", 10.0, 15_000.0, n)
    return market


def arbitrage(market, price):
    """Trade with the pool until its price is `price`, from whichever side."""
    for side in (0, 1):
        try:
            market.exchange(side, 1e9, price)
        except RefusedError:
            continue


def after_path(n, *, is_back):
    """Return a loan after the oracle has gone through its bands in n steps, and back up."""
    market = one_loan()
    first, last = market.position("ann").bands
    top, bottom = market.edges(first)[0] * 1.001, market.edges(last)[1] * 0.999
    path = np.exp(np.linspace(np.log(top), np.log(bottom), n))
    for price in (*path, *path[::-1]) if is_back else path:
        market.set_price(price)
        arbitrage(market, price)
    return market.position("ann")


def test_a_slow_fall_by_small_steps_tends_to_what_the_formula_says():
    """The error is of first order in the step: twice the finer less the coarser has none left."""
    expected = one_loan().converted("ann")
    coarse, fine = (after_path(n, is_back=False) for n in (600, 1_200))
    assert coarse.y == fine.y == 0.0
    assert expected > fine.x > coarse.x
    assert (expected - fine.x) / (expected - coarse.x) == pytest.approx(0.5, abs=0.01)
    assert 2.0 * fine.x - coarse.x == pytest.approx(expected, rel=1e-6)


def test_a_slow_way_down_and_up_tends_to_cost_nothing_without_a_fee():
    coarse, fine = (after_path(n, is_back=True) for n in (300, 600))
    assert coarse.x == fine.x == 0.0
    assert coarse.y < fine.y < 10.0
    assert 2.0 * fine.y - coarse.y == pytest.approx(10.0, rel=1e-5)


def test_jumps_lose_what_a_slow_move_does_not():
    market = one_loan()
    first, last = market.position("ann").bands
    expected = market.converted("ann")
    market.set_price(market.edges(last)[1])
    arbitrage(market, market.edges(last)[1])
    assert market.position("ann").x < 0.95 * expected
    assert last - first == 9


def test_the_pool_sells_below_a_falling_market():
    """1 % inside the band the oracle has fallen 1 %, the pool's price by 3 %."""
    market = one_loan()
    top, _ = market.edges(market.position("ann").bands[0])
    market.set_price(top * 0.99)
    market.exchange(1, 1e-9)
    assert market.price() == pytest.approx(top * 0.99**3, rel=1e-6)


# --- loans ---------------------------------------------------------------------------------------


def test_a_loan_begins_at_the_lowest_band_that_covers_it():
    """10 (1 - 9 %) / 10 x sqrt(.99) x sum .99^k: worth 8.6608 tops; debt 15,000: top 1,731.93."""
    worth = effective_collateral(10.0, 10, 0.09, A)
    by_hand = sum(0.91 * math.sqrt(0.99) * 0.99**k for k in range(10))
    assert worth == pytest.approx(by_hand, rel=1e-12)
    market = one_loan()
    first, last = market.position("ann").bands
    assert market.edges(first)[0] >= 15_000.0 / worth > market.edges(first)[1]
    assert last == first + 9
    assert market.health("ann", is_full=False) == pytest.approx(
        worth / 0.91 * 0.94 * market.edges(first)[0] / 15_000.0 - 1.0, rel=1e-9
    )


def test_health_above_the_bands_counts_what_is_above_them():
    market = one_loan()
    top, _ = market.edges(market.position("ann").bands[0])
    gap = market.health("ann") - market.health("ann", is_full=False)
    assert gap == pytest.approx((2_000.0 - top) * 10.0 / 15_000.0, rel=1e-9)


def test_too_much_debt_is_refused():
    with pytest.raises(RefusedError, match="UNHEALTHY"):
        LlammaMarket(2_000.0).create_loan("ann", 10.0, 18_500.0, 10)
    with pytest.raises(RefusedError, match="BAD_RANGE"):
        LlammaMarket(2_000.0).create_loan("ann", 10.0, 100.0, 3)
    with pytest.raises(RefusedError, match="CAP"):
        LlammaMarket(2_000.0, debt_ceiling=99.0).create_loan("ann", 10.0, 100.0, 5)
    with pytest.raises(RefusedError, match="NO_SLOT"):
        one_loan().create_loan("ann", 10.0, 100.0, 5)


def converting():
    """A loan half of whose first band is sold."""
    market = one_loan()
    top, _ = market.edges(market.position("ann").bands[0])
    market.set_price(top * 0.995)
    market.exchange(1, 700.0)
    return market


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda market: market.borrow_more("ann", 0.0, 1.0), id="borrow"),
        pytest.param(lambda market: market.add_collateral("ann", 1.0), id="add"),
        pytest.param(lambda market: market.remove_collateral("ann", 1.0), id="remove"),
    ],
)
def test_the_bands_of_a_loan_that_is_converted_cannot_be_moved(change):
    with pytest.raises(RefusedError, match="NOT_ALLOWED"):
        change(converting())


def test_a_repayment_moves_the_bands_down_or_only_lowers_the_debt():
    market = one_loan()
    before = market.position("ann").bands
    market.repay("ann", 1_000.0)
    assert market.position("ann").bands[0] > before[0]
    market = converting()
    before = market.position("ann")
    market.repay("ann", 1_000.0)
    after = market.position("ann")
    assert after == before._replace(debt=14_000.0)


def test_a_full_repayment_gives_back_what_is_in_the_bands():
    market = converting()
    before = market.position("ann")
    assert market.repay("ann") == (15_000.0, before.x, before.y)
    assert market.position("ann").debt == 0.0


def test_more_collateral_lowers_the_bands_and_less_raises_them():
    market = one_loan()
    first = market.position("ann").bands[0]
    market.add_collateral("ann", 2.0)
    assert market.position("ann").bands[0] > first
    market.remove_collateral("ann", 2.0)
    assert market.position("ann").bands[0] == first
    with pytest.raises(RefusedError, match="INSUFFICIENT_FUNDS"):
        market.remove_collateral("ann", 11.0)


def test_a_loan_is_liquidated_below_zero_health_alone():
    market = one_loan()
    with pytest.raises(RefusedError, match="NOT_LIQUIDATABLE"):
        market.liquidate("ann")
    market.set_price(market.edges(market.position("ann").bands[1])[1] * 0.9)
    assert market.health("ann") < 0.0
    moved = market.liquidate("ann")
    assert (moved.closed, moved.x, moved.y) == (15_000.0, 0.0, pytest.approx(10.0))


def test_a_part_of_a_liquidation_takes_less_than_its_share():
    """h = 6 %: of a half the part is (1.03 / 1.06 / 2 + 1 / 2) / 2 = 0.49292."""
    assert withdrawn_part(0.5, 0.06) == pytest.approx(0.5 * (0.5 * 1.03 / 1.06 + 0.5), rel=1e-12)
    market = one_loan()
    market.set_price(1_400.0)
    before = market.health("ann")
    moved = market.liquidate("ann", 0.5)
    assert moved.y == pytest.approx(10.0 * withdrawn_part(0.5, 0.06), rel=1e-9)
    assert market.position("ann").debt == pytest.approx(7_500.0)
    assert market.health("ann") > before


def test_interest_raises_debts_and_the_prices_of_bands():
    market = one_loan(rate=0.1)
    top = market.edges(0)[0]
    market.accrue(36.5 * 86_400.0)
    assert market.position("ann").debt == pytest.approx(15_150.0)
    assert market.edges(0)[0] == pytest.approx(top * 1.01)


def test_nobody_trades_more_than_fifty_bands_from_the_oracle():
    """A debt of 10,000 lies more than 50 bands below 2,000; from 1,500 it can be reached."""
    market = LlammaMarket(2_000.0, **PLAIN)
    market.create_loan("ann", 10.0, 10_000.0, 4)
    assert market.position("ann").bands[0] > 50
    with pytest.raises(RefusedError, match="INSUFFICIENT_LIQUIDITY"):
        market.exchange(1, 100.0)
    market.set_price(1_500.0)
    assert market.exchange(1, 100.0).amount_in == 100.0


# --- fees ----------------------------------------------------------------------------------------


def test_the_fee_stays_in_the_band():
    free, paid = one_loan(), one_loan(fee=0.01)
    for market in (free, paid):
        market.set_price(1_700.0)
    moved = paid.exchange(1, 1_000.0)
    assert moved.fee_paid == pytest.approx(10.0)
    assert moved.amount_out == pytest.approx(free.quote(1, 990.0).amount_out, rel=1e-12)
    assert paid.position("ann").x == pytest.approx(1_000.0)


def test_a_move_of_the_oracle_is_a_fee_that_is_forgotten_in_two_minutes():
    """From 1,740 to 1,700: 1 - (1,700 / 1,740)^3 = 6.739 %; after a minute half of it."""
    market = LlammaMarket(2_000.0, fee=0.006)
    market.create_loan("ann", 10.0, 15_000.0, 10)
    market.accrue(600.0)
    market.set_price(1_740.0)
    market.exchange(1, 1.0)
    market.set_price(1_700.0)
    whole_fee = 1.0 - (1_700.0 / 1_740.0) ** 3
    assert market.fee() == pytest.approx(whole_fee, rel=1e-12)
    market.accrue(60.0)
    assert market.fee() == pytest.approx(whole_fee / 2.0, rel=1e-12)
    market.accrue(60.0)
    assert market.fee() == 0.006


def test_a_move_counts_a_quarter_at_most():
    market = LlammaMarket(2_000.0)
    market.create_loan("ann", 10.0, 15_000.0, 10)
    market.accrue(600.0)
    market.set_price(2_000.0)
    market.add_collateral("ann", 1.0)  # writes the price down
    market.set_price(1_000.0)
    assert market.oracle_price() == 1_600.0
    market.accrue(120.0)
    assert market.oracle_price() == 1_000.0


# --- the integer reference -----------------------------------------------------------------------

MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("price"), st.floats(0.85, 1.15)),
        st.tuples(st.just("buy"), st.floats(1.0, 2e4)),
        st.tuples(st.just("sell"), st.floats(1e-3, 20.0)),
        st.tuples(st.just("open"), st.floats(0.3, 0.85)),
        st.tuples(st.just("close"), st.just(0.0)),
    ),
    max_size=25,
)


def both():
    exact = LlammaReference(
        100, whole(2_000.0), whole(0.006), whole(0.09), whole(0.06), price=whole(2_000.0)
    )
    return exact, LlammaMarket(2_000.0, fee=0.006, **PLAIN)


def agree(exact, market):
    for user in exact.loans:
        x, y = (amount / ONE for amount in exact.position(user))
        mine = market.position(user)
        assert mine.x == pytest.approx(x, rel=1e-9, abs=1e-6)
        assert mine.y == pytest.approx(y, rel=1e-9, abs=1e-9)
        assert market.health(user) == pytest.approx(exact.health(user) / ONE, rel=1e-9, abs=1e-9)


@given(MOVES)
@settings(max_examples=40, deadline=None)
def test_any_sequence_agrees_with_the_integer_reference(moves):
    exact, market = both()
    names = iter("abcdefghijklmnopqrstuvwxyz")
    for verb, value in (("open", 0.8), *moves):
        if verb == "price":
            price = float(exact.price / ONE * value)
            assume(400.0 < price < 9_000.0)
            exact.price = whole(price)
            market.set_price(price)
        elif verb == "open":
            user, debt = next(names), 10.0 * float(exact.price / ONE) * value
            if exact.create(user, whole(10.0), whole(debt), 8):
                market.create_loan(user, 10.0, debt, 8)
            else:
                with pytest.raises(RefusedError):
                    market.create_loan(user, 10.0, debt, 8)
        elif verb == "close" and exact.loans:
            user = next(iter(exact.loans))
            exact.close(user)
            market.repay(user)
        elif verb in {"buy", "sell"}:
            side = int(verb == "buy")
            paid, got = exact.exchange(side, whole(value))
            if paid == 0:
                with pytest.raises(RefusedError):
                    market.exchange(side, value)
                continue
            moved = market.exchange(side, value)
            assert moved.amount_in == pytest.approx(paid / ONE, rel=1e-9, abs=1e-6)
            assert moved.amount_out == pytest.approx(got / ONE, rel=1e-9, abs=1e-6)
        agree(exact, market)


def test_bad_terms_are_refused():
    with pytest.raises(ValueError, match="loan_discount"):
        LlammaMarket(1.0, loan_discount=0.05)
    with pytest.raises(InputError, match="price"):
        LlammaMarket(0.0)
