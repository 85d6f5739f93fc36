"""Supply, withdraw, borrow, repay: by hand, with the refusals of the contract."""

import math

import numpy as np
import pytest

from sim.errors import InputError, RefusedError
from sim.lending import market as kernels
from sim.lending import reserve
from sim.lending.config import LossBearer, MarketConfig, ReserveConfig
from sim.lending.facade import LendingMarket
from sim.lending.state import add_positions, make_state
from sim.status import Status
from sim.units import DAY, YEAR


def make_market(dai=None, eth=None, **rules):
    """ETH at 200 (75 / 80 %), DAI at 1; 10,000 DAI lent by `bank`, 10 ETH pledged by `ann`."""
    market = LendingMarket(
        {
            "ETH": ReserveConfig(price=200.0, **(eth or {})),
            "DAI": ReserveConfig(price=1.0, **(dai or {})),
            "GEM": ReserveConfig(price=5.0, can_be_collateral=False),
        },
        **rules,
    )
    market.supply("bank", "DAI", 10_000.0)
    market.supply("ann", "ETH", 10.0)
    return market


def snapshot(market):
    return [column.tobytes() for column in market.state]


# --- values --------------------------------------------------------------------------------------


def test_values_and_health_by_hand():
    market = make_market()
    market.borrow("ann", "DAI", 1_000.0)
    assert market.account_values("ann") == (2_000.0, 1_600.0, 1_500.0, 1_000.0)
    assert market.health_factor("ann") == 1.6


def test_health_is_infinite_without_debt():
    assert make_market().health_factor("ann") == math.inf


def test_an_asset_that_is_no_collateral_counts_for_nothing():
    market = make_market()
    market.supply("bob", "GEM", 100.0)
    assert market.account_values("bob").collateral_value == 0.0


def test_two_collaterals_add_up_each_at_its_own_threshold():
    market = make_market(dai={"loan_to_value": 0.5, "liquidation_threshold": 0.6})
    market.supply("ann", "DAI", 1_000.0)
    assert market.account_values("ann") == (3_000.0, 2_200.0, 2_000.0, 0.0)


def test_the_liquidation_price_is_where_health_is_one():
    market = make_market()
    market.borrow("ann", "DAI", 1_000.0)
    price = market.liquidation_price("ann", "ETH")
    assert price == pytest.approx(125.0, rel=1e-12)  # 10 ETH * 125 * 0.8 = 1,000
    market.set_price("ETH", price)
    assert market.health_factor("ann") == pytest.approx(1.0, rel=1e-12)


def test_the_liquidation_price_of_a_short_lies_above():
    market = make_market()
    market.supply("carl", "ETH", 50.0)
    market.supply("dora", "DAI", 1_000.0)
    market.borrow("dora", "ETH", 2.0)
    assert market.liquidation_price("dora", "ETH") == pytest.approx(400.0)  # 0.8 * 1,000 / 2


def test_an_account_that_no_price_can_harm_has_liquidation_price_zero():
    assert make_market().liquidation_price("ann", "ETH") == 0.0
    assert make_market().liquidation_price("ann", "GEM") == 0.0


# --- interest ------------------------------------------------------------------------------------


def test_a_year_of_interest_by_hand():
    market = make_market()
    market.borrow("ann", "DAI", 1_000.0)  # U = 0.1: 0.055 / 9 a year
    rate = 0.055 / 9.0
    assert market.borrow_rate("DAI") == pytest.approx(rate, rel=1e-12)
    market.accrue(YEAR)
    interest = 1_000.0 * math.expm1(rate)
    assert market.owed("ann", "DAI") - 1_000.0 == pytest.approx(interest, rel=1e-6)
    assert market.treasury("DAI") == pytest.approx(0.1 * interest, rel=1e-6)
    assert market.supplied("bank", "DAI") == pytest.approx(10_000.0 * (1 + 0.09 * rate), rel=1e-12)


def test_nothing_accrues_without_debt():
    market = make_market()
    market.accrue(YEAR)
    assert market.supplied("bank", "DAI") == 10_000.0


def test_an_observer_sees_interest_that_is_not_written_down_yet():
    market = make_market()
    market.borrow("ann", "DAI", 1_000.0)
    before = snapshot(market)
    market.now += 10**6 * 3_600
    assert market.owed("ann", "DAI") > 1_000.0
    assert snapshot(market) == before


def test_everyone_can_leave_after_interest_and_only_treasury_and_surplus_stay():
    market = make_market(eth={"reserve_factor": 0.2})
    market.borrow("ann", "DAI", 1_400.0)
    market.accrue(200 * DAY)
    market.repay("ann", "DAI")
    market.withdraw("ann", "ETH")
    market.withdraw("bank", "DAI")
    asset = market._asset("DAI")
    assert market.account_values("ann") == (0.0, 0.0, 0.0, 0.0)
    assert market.cash("DAI") == pytest.approx(market.treasury("DAI") + asset.surplus, abs=1e-9)


def test_the_treasury_can_be_collected_once():
    market = make_market()
    market.borrow("ann", "DAI", 1_400.0)
    market.accrue(100 * DAY)
    asset, held, cash = market._asset("DAI"), market.treasury("DAI"), market.cash("DAI")
    assert reserve.collect_treasury(asset, math.inf, market.now) == (Status.OK, held)
    assert market.cash("DAI") == cash - held
    assert reserve.collect_treasury(asset, math.inf, market.now) == (Status.ZERO_AMOUNT, 0.0)
    assert reserve.collect_treasury(asset, math.nan, market.now) == (Status.BAD_AMOUNT, 0.0)


# --- amounts -------------------------------------------------------------------------------------


def test_repayment_stops_at_the_debt():
    market = make_market()
    market.borrow("ann", "DAI", 1_000.0)
    assert market.repay("ann", "DAI", 5_000.0) == 1_000.0
    assert market.owed("ann", "DAI") == 0.0


def test_a_slot_is_free_again_when_it_is_empty():
    market = LendingMarket(
        {name: ReserveConfig(price=1.0) for name in ("A", "B")},
        n_slots=1,
    )
    market.supply("u", "A", 5.0)
    with pytest.raises(RefusedError, match="NO_SLOT"):
        market.supply("u", "B", 5.0)
    market.withdraw("u", "A")
    assert market.supply("u", "B", 5.0) == 5.0


# --- refusals ------------------------------------------------------------------------------------

REFUSED = {
    "borrow beyond loan to value": (lambda m: m.borrow("ann", "DAI", 1_500.01), "UNHEALTHY"),
    "withdraw below health one": (lambda m: m.withdraw("ann", "ETH", 3.76), "UNHEALTHY"),
    "withdraw more than the claim": (lambda m: m.withdraw("bank", "DAI", 10_001.0), "FUNDS"),
    "withdraw what was never supplied": (lambda m: m.withdraw("bob", "DAI", 1.0), "NO_POSITION"),
    "withdraw more than the cash": (lambda m: m.withdraw("bank", "DAI"), "NO_CASH.*9000"),
    "borrow more than the cash": (lambda m: m.borrow("whale", "DAI", 9_001.0), "NO_CASH"),
    "repay without debt": (lambda m: m.repay("bank", "DAI", 1.0), "NO_POSITION"),
    "supply nothing": (lambda m: m.supply("bank", "DAI", 0.0), "ZERO_AMOUNT"),
    "supply a negative amount": (lambda m: m.supply("bank", "DAI", -1.0), "BAD_AMOUNT"),
    "supply nan": (lambda m: m.supply("bank", "DAI", math.nan), "BAD_AMOUNT"),
    "supply without end": (lambda m: m.supply("bank", "DAI", math.inf), "BAD_AMOUNT"),
    "borrow nan": (lambda m: m.borrow("ann", "DAI", math.nan), "BAD_AMOUNT"),
    "liquidate a healthy account": (lambda m: m.liquidate("ann", "DAI", "ETH"), "NOT_LIQUIDATABLE"),
    "write off with claims": (lambda m: m.write_off("ann"), "NOT_ALLOWED"),
    "write off without debt": (lambda m: m.write_off("bob"), "NO_POSITION"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_why_and_changes_nothing(case):
    act, reason = REFUSED[case]
    market = make_market()
    for user in ("bob", "whale"):
        market.health_factor(user)
    market.supply("whale", "ETH", 1_000.0)
    market.borrow("ann", "DAI", 1_000.0)
    market.now += 10  # some interest that a refusal must not write down
    before = snapshot(market)
    with pytest.raises(RefusedError, match=reason):
        act(market)
    assert snapshot(market) == before


def test_exactly_the_limit_can_be_borrowed_and_withdrawn_to():
    market = make_market()
    assert market.borrow("ann", "DAI", 1_500.0) == 1_500.0
    assert market.withdraw("ann", "ETH", 0.625) == 0.625  # 9.375 * 200 * 0.8 = 1,500
    assert market.health_factor("ann") == 1.0


def test_exactly_the_cash_can_be_withdrawn_or_borrowed():
    market = make_market()
    market.supply("whale", "ETH", 1_000.0)
    market.borrow("ann", "DAI", 1_000.0)
    for act, user in ((market.withdraw, "bank"), (market.borrow, "whale")):
        with pytest.raises(RefusedError, match=r"NO_CASH.*cash of 9000"):
            act(user, "DAI", 9_000.01)
    assert market.withdraw("bank", "DAI", 4_000.0) == 4_000.0
    assert market.borrow("whale", "DAI", 5_000.0) == 5_000.0
    assert market.cash("DAI") == 0.0


def test_collateral_without_debt_can_always_be_withdrawn():
    assert make_market().withdraw("ann", "ETH") == 10.0


def test_a_supply_cap_counts_what_is_there():
    market = make_market(dai={"supply_cap": 10_500.0})
    with pytest.raises(RefusedError, match=r"CAP.*10500"):
        market.supply("bank", "DAI", 500.01)
    assert market.supply("bank", "DAI", 500.0) == 500.0


def test_a_borrow_cap_counts_what_is_owed():
    market = make_market(dai={"borrow_cap": 1_200.0})
    market.borrow("ann", "DAI", 1_000.0)
    with pytest.raises(RefusedError, match=r"CAP.*1200"):
        market.borrow("ann", "DAI", 200.01)
    assert market.borrow("ann", "DAI", 200.0) == 200.0


def test_a_frozen_reserve_lets_money_out_only():
    market = make_market()
    market.borrow("ann", "DAI", 1_000.0)
    market._asset("DAI").flag_bits |= kernels.FROZEN
    with pytest.raises(RefusedError, match="HALTED"):
        market.supply("bank", "DAI", 1.0)
    with pytest.raises(RefusedError, match="HALTED"):
        market.borrow("ann", "DAI", 1.0)
    assert market.repay("ann", "DAI", 1.0) == 1.0
    assert market.withdraw("bank", "DAI", 1.0) == 1.0


@pytest.mark.parametrize("flags", [{"is_paused": True}, {"is_active": False}])
def test_a_paused_or_inactive_reserve_does_nothing(flags):
    market = LendingMarket({"DAI": ReserveConfig(price=1.0, **flags)})
    for act in (market.supply, market.withdraw, market.borrow, market.repay):
        with pytest.raises(RefusedError, match="HALTED"):
            act("bank", "DAI", 1.0)


def test_an_asset_closed_to_borrowers_cannot_be_borrowed():
    market = make_market(dai={"can_be_borrowed": False})
    with pytest.raises(RefusedError, match="NOT_COLLATERAL"):
        market.borrow("ann", "DAI", 1.0)


def test_a_payer_without_the_tokens_is_refused():
    market = make_market()
    market.borrow("ann", "DAI", 1_000.0)
    before = snapshot(market)
    short = (Status.INSUFFICIENT_FUNDS, 0.0)
    assert kernels.supply(market.state, 0, 1, 5.0, 4.9, market.now) == short
    assert kernels.repay(market.state, 1, 1, math.inf, 999.0, market.now) == short
    assert snapshot(market) == before


def test_a_position_cannot_use_another_market():
    config = MarketConfig(reserves=(ReserveConfig(price=1.0),))
    state = make_state([config, config], [0, 1], [0, 1], [0, 1])
    state = add_positions(state, np.array([0, 1]), 0, np.arange(2))
    assert kernels.supply(state, 0, 1, 1.0, math.inf, 0) == (Status.NO_POSITION, 0.0)
    assert kernels.supply(state, 1, 1, 1.0, math.inf, 0) == (Status.OK, 1.0)
    assert state.reserves["cash"].tolist() == [0.0, 1.0]


# --- bad input -----------------------------------------------------------------------------------

BAD = {
    "kink": ({"kink": 0.0}, r"kink \(0.0\) must be above 0.0 and at most 1.0"),
    "reserve factor": ({"reserve_factor": 1.1}, r"reserve_factor \(1.1\)"),
    "price": ({"price": 0.0}, r"price \(0.0\) must be above 0.0 and below inf"),
    "price nan": ({"price": math.nan}, "price"),
    "text": ({"slope1": "5 %"}, "slope1"),
    "loan to value": ({"loan_to_value": 0.81}, "must not exceed liquidation_threshold"),
    "bonus": ({"liquidation_bonus": 0.3}, r"must not exceed 1"),
    "cap": ({"supply_cap": -1.0}, r"supply_cap \(-1.0\) must be at least 0.0"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_reserve_names_field_value_and_range(case):
    changes, message = BAD[case]
    with pytest.raises(InputError, match=message):
        ReserveConfig(**({"price": 1.0} | changes))


def test_a_bad_market_is_refused():
    asset = ReserveConfig(price=1.0)
    with pytest.raises(InputError, match="close_factor"):
        MarketConfig(reserves=(asset,), close_factor=0.0)
    with pytest.raises(InputError, match="at least one asset"):
        MarketConfig(reserves=())
    with pytest.raises(InputError, match="twice"):
        MarketConfig(reserves=(asset,), loss_order=(LossBearer.TREASURY, LossBearer.TREASURY))


def test_the_facade_refuses_unknown_tokens_negative_time_and_bad_prices():
    market = make_market()
    with pytest.raises(InputError, match=r"'XYZ'.*ETH, DAI, GEM"):
        market.supply("ann", "XYZ", 1.0)
    with pytest.raises(InputError, match="seconds"):
        market.accrue(-1.0)
    with pytest.raises(InputError, match="price"):
        market.set_price("ETH", -5.0)


def test_more_users_than_rows_were_made_for_get_new_rows():
    market = make_market()
    for user in range(50):
        with pytest.raises(RefusedError, match="NOT_LIQUIDATABLE"):
            market.liquidate(user, "DAI", "ETH", receiver=-user - 1)
    assert len(market.state.positions) >= 100
    assert market.supplied("ann", "ETH") == 10.0
