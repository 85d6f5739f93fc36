"""Guardian actions: what goes on and what stops, by the contract's list."""

import math

import pytest

from sim.errors import InputError, RefusedError
from sim.lending.config import ReserveConfig
from sim.lending.facade import LendingMarket
from sim.status import Status
from sim.units import YEAR


def make_market(**eth):
    """ETH at 200 (75 / 80 %, bonus 5 %), DAI at 1; `ann` pledges 10 ETH and owes 1,000 DAI."""
    market = LendingMarket(
        {"ETH": ReserveConfig(price=200.0, **eth), "DAI": ReserveConfig(price=1.0)}
    )
    market.supply("bank", "DAI", 10_000.0)
    market.supply("bank", "ETH", 100.0)
    market.supply("ann", "ETH", 10.0)
    market.borrow("ann", "DAI", 1_000.0)
    return market


def refused(call, status):
    with pytest.raises(RefusedError, match=rf"\({Status(status).name}\)"):
        call()


def test_a_frozen_reserve_takes_no_supply_and_gives_no_loan_and_all_else_goes_on():
    market = make_market()
    market.guardian("DAI").freeze()
    market.guardian("ETH").freeze()
    refused(lambda: market.supply("bank", "DAI", 1.0), Status.HALTED)
    refused(lambda: market.borrow("ann", "DAI", 1.0), Status.HALTED)
    assert market.repay("ann", "DAI", 10.0) == 10.0
    assert market.withdraw("ann", "ETH", 1.0) == 1.0
    market.set_price("ETH", 120.0)  # 9 ETH x 120 x 0.8 = 864 against 990
    assert market.liquidate("ann", "DAI", "ETH", 100.0).repaid == 100.0
    market.guardian("DAI").unfreeze()
    assert market.supply("bank", "DAI", 1.0) == 1.0


def test_nothing_can_be_done_with_a_paused_reserve_liquidation_included():
    market = make_market()
    market.set_price("ETH", 100.0)
    market.guardian("ETH").pause()
    for call in (
        lambda: market.supply("ann", "ETH", 1.0),
        lambda: market.withdraw("bank", "ETH", 1.0),
        lambda: market.borrow("bank", "ETH", 1.0),
        lambda: market.liquidate("ann", "DAI", "ETH"),
        lambda: market.use_as_collateral("bank", "ETH", is_used=False),
        lambda: market.collect_treasury("ETH", 1e-9),
    ):
        with pytest.raises(RefusedError):
            call()
    refused(lambda: market.liquidate("ann", "DAI", "ETH"), Status.HALTED)
    market.guardian("ETH").unpause()
    assert market.liquidate("ann", "DAI", "ETH").repaid > 0.0


def test_a_freeze_can_take_the_loan_to_value_and_gives_it_back():
    market = make_market()
    market.guardian("ETH").freeze(zero_loan_to_value=True)
    market.guardian("ETH").freeze(zero_loan_to_value=True)  # twice is once
    assert market.account_values("ann")[1:3] == (1_600.0, 0.0)
    market.guardian("ETH").set_limits(loan_to_value=0.7)  # for when the freeze ends
    assert market.account_values("ann").loan_value == 0.0
    market.guardian("ETH").unfreeze()
    assert market.account_values("ann").loan_value == pytest.approx(1_400.0, rel=1e-15)


def test_a_lower_cap_stops_what_is_new_and_leaves_what_is_there():
    market = make_market()
    market.guardian("DAI").set_caps(supply_cap=5_000.0, borrow_cap=900.0)
    refused(lambda: market.supply("bank", "DAI", 1.0), Status.CAP)
    refused(lambda: market.borrow("ann", "DAI", 1.0), Status.CAP)
    assert market.supplied("bank", "DAI") == 10_000.0
    market.guardian("DAI").set_caps(supply_cap=math.inf, borrow_cap=1_100.0)
    market.supply("bank", "DAI", 1.0)
    market.borrow("ann", "DAI", 100.0)
    refused(lambda: market.borrow("ann", "DAI", 0.1), Status.CAP)


def test_a_lower_threshold_makes_existing_accounts_liquidatable():
    market = make_market()
    market.guardian("ETH").set_limits(loan_to_value=0.4, liquidation_threshold=0.45)
    assert market.health_factor("ann") == pytest.approx(900.0 / 1_000.0)
    assert market.liquidate("ann", "DAI", "ETH", 10.0).repaid == 10.0


def test_borrowing_can_be_switched_off_and_on():
    market = make_market()
    market.guardian("DAI").set_borrowing(is_enabled=False)
    refused(lambda: market.borrow("ann", "DAI", 1.0), Status.NOT_COLLATERAL)
    market.guardian("DAI").set_borrowing(is_enabled=True)
    assert market.borrow("ann", "DAI", 1.0) == 1.0


def test_a_new_rate_counts_from_its_time_on():
    """1,000 of 10,000 lent: 5.5 % x 0.1 / 0.9 = 0.611 % for a year, then 10 % more."""
    market = make_market()
    market.now += int(YEAR * 1e6)
    market.guardian("DAI").set_rates(base_rate=0.10, reserve_factor=0.5)
    first = 0.055 * 0.1 / 0.9
    grown = 1_000.0 * (1 + first + first**2 / 2 + first**3 / 6)
    assert market.owed("ann", "DAI") == pytest.approx(grown, rel=1e-9)
    use = grown / (9_000.0 + grown)
    assert market.borrow_rate("DAI") == pytest.approx(0.10 + 0.055 * use / 0.9, rel=1e-9)
    assert market.supply_rate("DAI") == pytest.approx(market.borrow_rate("DAI") * use / 2, rel=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.set_limits(loan_to_value=0.9), "must not exceed liquidation_threshold"),
        (lambda g: g.set_limits(liquidation_bonus=0.3), "must not exceed 1"),
        (lambda g: g.set_caps(supply_cap=-1.0), "at least 0"),
        (lambda g: g.set_caps(debt_ceiling=10.0), "cannot begin or cease"),
        (lambda g: g.set_rates(kink=0.0), "kink"),
        (lambda g: g.set_rates(reserve_factor=1.5), "reserve_factor"),
    ],
)
def test_impossible_changes_are_refused_and_change_nothing(change, message):
    market = make_market()
    before = market._asset("ETH").tobytes()
    with pytest.raises(InputError, match=message):
        change(market.guardian("ETH"))
    assert market._asset("ETH").tobytes() == before


def test_the_treasury_can_be_collected_up_to_the_cash():
    market = make_market()
    market.accrue(YEAR)
    earned = market.treasury("DAI")
    paid = 1_000.0 * (0.055 * 0.1 / 0.9)
    assert earned == pytest.approx(0.1 * paid, rel=0.01)  # compound, on a tenth of the interest
    cash = market.cash("DAI")
    assert market.collect_treasury("DAI", 0.25 * earned) == pytest.approx(0.25 * earned)
    assert market.collect_treasury("DAI") == pytest.approx(0.75 * earned)
    assert market.cash("DAI") == pytest.approx(cash - earned, rel=1e-15)
    refused(lambda: market.collect_treasury("DAI"), Status.ZERO_AMOUNT)
