"""Vaults by hand: fee, health, draw, repay, withdraw, and the fixed spread."""

import math
from fractions import Fraction

import pytest
from pydantic import ValidationError

from sim.cdp.facade import CdpMarket
from sim.errors import InputError, RefusedError

YEAR = 365 * 86_400


def with_debt(price=200.0, collateral=10.0, debt=1_000.0, **rules):
    """A market in which ann has a vault."""
    market = CdpMarket(price, **rules)
    market.deposit("ann", collateral)
    market.draw("ann", debt)
    return market


# --- the stability fee ---------------------------------------------------------------------------


def test_the_fee_compounds_to_its_yearly_rate_however_often_it_is_written_down():
    market = with_debt(stability_fee=0.08)
    for _ in range(2 * 1_000):
        market.wait(YEAR / 1_000)
    exact = 1_000 * Fraction(108, 100) ** 2
    # 2,000 roundings of the index, of half an epsilon each, twice
    assert abs(Fraction(market.debt("ann")) / exact - 1) < 2_000 * 2.0**-52


def test_a_second_multiplies_the_debt_by_the_contracts_factor():
    duty = Fraction(1_000_000_002_440_418_608_258_400_030, 10**27)  # 8 % a year, as deployed
    market = with_debt(stability_fee=0.08)
    for seconds in (1, 999, 1_000):
        market.wait(float(seconds))
    exact = 1_000 * duty**2_000
    assert abs(Fraction(market.debt("ann")) / exact - 1) < 1e-14


def test_the_fee_is_surplus_at_once_and_mints_nothing():
    market = with_debt(stability_fee=0.5)
    market.wait(YEAR)
    books = market.books()
    assert market.debt("ann") == pytest.approx(1_500.0, rel=1e-14)
    assert books["surplus"] == pytest.approx(500.0, rel=1e-12)
    assert books["issued"] == 1_000.0
    market.check()


# --- what owners can do --------------------------------------------------------------------------


def test_the_health_factor_is_collateral_over_ratio_times_debt():
    market = with_debt(liquidation_ratio=1.5)
    assert market.health_factor("ann") == pytest.approx(10 * 200 / (1.5 * 1_000), rel=1e-15)
    assert market.health_factor("bob") == math.inf


def test_the_debt_token_counts_at_its_target_whatever_it_trades_at():
    market = with_debt(liquidation_ratio=1.5, target_price_usd=1.25)
    assert market.health_factor("ann") == pytest.approx(2_000 / (1.5 * 1_250), rel=1e-15)


def test_no_more_can_be_drawn_than_the_ratio_allows():
    market = with_debt(liquidation_ratio=1.5)
    market.draw("ann", 333.0)
    with pytest.raises(RefusedError, match="UNHEALTHY"):
        market.draw("ann", 1.0)
    with pytest.raises(RefusedError, match="UNHEALTHY"):
        market.withdraw("ann", 0.01)
    assert market.debt("ann") == 1_333.0


def test_what_is_not_needed_can_be_withdrawn():
    market = with_debt(liquidation_ratio=1.5)
    assert market.withdraw("ann", 2.5) == 2.5  # 7.5 * 200 = 1.5 * 1,000
    assert market.repay("ann") == 1_000.0
    assert market.withdraw("ann") == 7.5
    assert market.books()["issued"] == 0.0


def test_the_ceiling_bounds_all_debts():
    market = with_debt(debt_ceiling=1_200.0)
    market.deposit("bob", 10.0)
    with pytest.raises(RefusedError, match=r"CAP.*1000 of at most 1200"):
        market.draw("bob", 201.0)
    assert market.draw("bob", 200.0) == 200.0


def test_no_debt_may_lie_below_the_floor():
    market = with_debt(debt_floor=100.0)
    market.deposit("bob", 10.0)
    with pytest.raises(RefusedError, match="DUST"):
        market.draw("bob", 99.0)
    with pytest.raises(RefusedError, match="DUST"):
        market.repay("ann", 901.0)
    assert market.repay("ann", 900.0) == 900.0
    assert market.repay("ann", 100.0) == 100.0


@pytest.mark.parametrize("verb", ["deposit", "withdraw", "draw", "repay", "liquidate"])
@pytest.mark.parametrize("amount", [-1.0, math.nan])
def test_an_amount_that_is_none_is_refused(verb, amount):
    with pytest.raises(RefusedError, match="BAD_AMOUNT"):
        getattr(with_debt(), verb)("ann", amount)


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (lambda m: m.deposit("ann", 0.0), "ZERO_AMOUNT"),
        (lambda m: m.draw("ann", math.inf), "BAD_AMOUNT"),
        (lambda m: m.withdraw("ann", 11.0), "INSUFFICIENT_FUNDS"),
        (lambda m: m.repay("bob", 1.0), "NO_POSITION"),
        (lambda m: m.liquidate("ann"), "NOT_LIQUIDATABLE"),
        (lambda m: m.bite("ann"), "NOT_ALLOWED"),
        (lambda m: m.deal(0), "NO_POSITION"),
    ],
    ids=["no collateral", "no bound", "too much", "no debt", "safe", "no auctions", "no auction"],
)
def test_what_cannot_be_done_is_refused_with_its_reason(call, status):
    with pytest.raises(RefusedError, match=status):
        call(with_debt())


def test_numbers_that_are_none_are_refused():
    with pytest.raises(InputError, match="price"):
        CdpMarket(0.0)
    with pytest.raises(InputError, match="seconds"):
        CdpMarket(1.0).wait(-1.0)
    with pytest.raises(InputError, match="has not begun"):
        CdpMarket(1.0).auction(0)
    with pytest.raises(ValidationError, match="must leave 1 \\+ bonus"):
        CdpMarket(1.0, liquidation_ratio=1.1)


# --- the fixed spread ----------------------------------------------------------------------------


def test_a_liquidation_seizes_the_debt_and_its_bonus_at_the_oracle_price():
    market = with_debt()
    market.set_price(149.0)  # 1,490 < 1.5 * 1,000
    done = market.liquidate("ann")
    assert done.repaid == 1_000.0
    assert done.seized == pytest.approx(1_130.0 / 149.0, rel=1e-15)
    assert done.deficit == 0.0
    assert market.collateral("ann") == pytest.approx(10.0 - 1_130.0 / 149.0, rel=1e-14)
    assert market.debt("ann") == market.books()["issued"] == 0.0


def test_a_part_can_be_liquidated_and_must_leave_a_debt_above_the_floor():
    market = with_debt(debt_floor=100.0)
    market.set_price(149.0)
    with pytest.raises(RefusedError, match="DUST"):
        market.liquidate("ann", 950.0)
    assert market.liquidate("ann", 400.0).seized == pytest.approx(400 * 1.13 / 149, rel=1e-15)
    assert market.debt("ann") == 600.0


def test_the_close_factor_bounds_one_liquidation():
    market = with_debt(liquidation={"kind": "fixed_spread", "close_factor": 0.5, "bonus": 0.1})
    market.set_price(149.0)
    assert market.liquidate("ann").repaid == 500.0


def test_where_collateral_does_not_suffice_the_rest_of_the_debt_is_written_off():
    market = with_debt()
    market.set_price(90.0)  # 900 USD for 1,000: 900 / 1.13 are repaid
    done = market.liquidate("ann")
    assert done.seized == 10.0
    assert done.repaid == pytest.approx(900.0 / 1.13, rel=1e-15)
    assert done.deficit == pytest.approx(1_000.0 - 900.0 / 1.13, rel=1e-14)
    books = market.books()
    assert books["unbacked"] == books["issued"] == pytest.approx(done.deficit, rel=1e-12)
    assert market.debt("ann") == 0.0
    market.check()


# --- the waterfall -------------------------------------------------------------------------------


def test_a_loss_is_borne_by_surplus_backstop_and_then_by_nobody():
    # 1,000 of debt, 226 USD of collateral at a bonus of 13 %: 200 are repaid, 800 are lost.
    market = with_debt(surplus_at_start=100.0, backstop=300.0)
    market.set_price(22.6)
    assert market.liquidate("ann").deficit == pytest.approx(800.0, rel=1e-12)
    books = market.books()
    assert books["from_surplus"] == 100.0
    assert books["from_backstop"] == 300.0
    assert books["backstop_left"] == 0.0
    assert books["unbacked"] == pytest.approx(400.0, rel=1e-12)
    # 900 were issued before (100 of 1,000 had been paid as fees); 200 and 300 are burned.
    assert books["issued"] == pytest.approx(400.0, rel=1e-12)
    market.check()


def test_later_income_heals_unbacked_debt_before_it_is_surplus():
    market = with_debt(stability_fee=1.0)
    market.deposit("bob", 1_000.0)
    market.draw("bob", 600.0)
    market.set_price(56.5)  # 565 USD: 500 are repaid, 500 lost
    market.liquidate("ann")
    market.wait(YEAR)  # bob owes 1,200
    books = market.books()
    assert books["healed"] == pytest.approx(500.0, rel=1e-9)
    assert books["unbacked"] == pytest.approx(0.0, abs=1e-9)
    assert books["surplus"] == pytest.approx(100.0, rel=1e-9)
    market.check()
