"""Liquidation by hand: close factor, seizure, fee, bad debt and who bears it."""

import math

import pytest

from sim.errors import RefusedError
from sim.lending.account import restoring_repayment, toxic_frontier
from sim.lending.config import CloseBase, LossBearer, ReserveConfig
from sim.lending.facade import LendingMarket, Liquidation
from sim.units import DAY


def make_account(collateral, debt, *, bonus=0.05, threshold=0.8, collateral_config=None, **rules):
    """`ann` has `collateral` COL at 1 and owes `debt` USD at 1, borrowed when COL was at 10."""
    market = LendingMarket(
        {
            "COL": ReserveConfig(
                price=10.0,
                loan_to_value=threshold,
                liquidation_threshold=threshold,
                liquidation_bonus=bonus,
                **(collateral_config or {}),
            ),
            "USD": ReserveConfig(price=1.0),
            "ALT": ReserveConfig(price=1.0),
        },
        **rules,
    )
    market.supply("bank", "USD", 10.0 * debt)
    market.supply("ann", "COL", collateral)
    market.borrow("ann", "USD", debt)
    market.set_price("COL", 1.0)
    return market


def loan_to_value(market, user="ann"):
    values = market.account_values(user)
    return values.debt_value / values.collateral_value


# --- close factor and amounts --------------------------------------------------------------------


def test_half_the_debt_can_be_repaid_between_0_95_and_1():
    market = make_account(100.0, 82.0)  # health 80 / 82 = 0.976
    assert market.max_liquidation("ann", "USD", "COL") == 41.0
    done = market.liquidate("ann", "USD", "COL")
    assert done.repaid == 41.0
    assert done.seized == pytest.approx(43.05, rel=1e-12)  # 41 * 1.05
    assert market.owed("ann", "USD") == 41.0


def test_all_debt_can_be_repaid_at_0_95_and_below():
    market = make_account(95.0, 80.0)  # 76 / 80 = 0.95
    assert market.health_factor("ann") == 0.95
    assert market.liquidate("ann", "USD", "COL").repaid == 80.0
    assert market.owed("ann", "USD") == 0.0


def test_a_market_without_the_full_close_rule_keeps_its_close_factor():
    market = make_account(90.0, 80.0, full_close_below=0.0)
    assert market.liquidate("ann", "USD", "COL").repaid == 40.0


def test_small_positions_can_be_closed_in_full():
    market = make_account(100.0, 82.0, full_close_value=101.0)
    assert market.max_liquidation("ann", "USD", "COL") == 82.0
    market = make_account(100.0, 82.0, full_close_value=82.0)
    assert market.max_liquidation("ann", "USD", "COL") == 41.0


def make_two_debts(close_base):
    market = make_account(100.0, 60.0, close_base=close_base)
    market.set_price("COL", 10.0)
    market.supply("bank", "ALT", 500.0)
    market.borrow("ann", "ALT", 22.0)
    market.set_price("COL", 1.0)
    return market


def test_the_close_factor_counts_all_debts_or_the_one_repaid():
    assert make_two_debts(CloseBase.TOTAL_DEBT).max_liquidation("ann", "USD", "COL") == 41.0
    assert make_two_debts(CloseBase.TOTAL_DEBT).max_liquidation("ann", "ALT", "COL") == 22.0
    assert make_two_debts(CloseBase.RESERVE_DEBT).max_liquidation("ann", "USD", "COL") == 30.0


def test_a_liquidation_may_not_leave_dust():
    market = make_account(100.0, 82.0, dust_value=45.0)
    with pytest.raises(RefusedError, match="dust"):
        market.liquidate("ann", "USD", "COL", 41.0)  # leaves a debt of 41
    assert market.liquidate("ann", "USD", "COL", 30.0).repaid == 30.0


def test_the_quote_is_what_the_liquidation_does_and_writes_nothing():
    market = make_account(100.0, 82.0)
    market.now += 3_600 * 10**6
    before = [column.tobytes() for column in market.state]
    quote = market.quote_liquidate("ann", "USD", "COL", 12.0)
    assert [column.tobytes() for column in market.state] == before
    assert market.liquidate("ann", "USD", "COL", 12.0) == quote


def test_prices_convert_debt_into_collateral():
    market = make_account(100.0, 80.0)
    market.set_price("USD", 0.5)
    market.set_price("COL", 0.48)  # debt 40, threshold 38.4: health 0.96
    done = market.liquidate("ann", "USD", "COL", 16.0)
    assert done.seized == pytest.approx(16.0 * 0.5 / 0.48 * 1.05, rel=1e-12)


def test_the_protocol_fee_is_a_part_of_the_bonus_and_a_claim_of_the_treasury():
    market = make_account(100.0, 82.0, collateral_config={"liquidation_protocol_fee": 0.1})
    done = market.liquidate("ann", "USD", "COL", 40.0)
    assert done.protocol_fee == pytest.approx(0.2, rel=1e-12)  # 40 * 5 % * 10 %
    assert done.seized == pytest.approx(41.8, rel=1e-12)
    assert market.treasury("COL") == pytest.approx(0.2, rel=1e-12)
    assert market.supplied("ann", "COL") == pytest.approx(58.0, rel=1e-12)
    assert market.cash("COL") == pytest.approx(58.2, rel=1e-12)


@pytest.mark.parametrize(
    ("bonus", "amount"),
    [(0.05, 10.0 / (1.0 - 0.75 * 1.05)), (0.0, 40.0)],
)
def test_the_amount_that_restores_loan_to_value(bonus, amount):
    assert restoring_repayment(85.0, 100.0, 0.75, bonus) == pytest.approx(amount, rel=1e-9)


def test_the_restoring_amount_of_the_worked_example_is_47_0588():
    assert restoring_repayment(85.0, 100.0, 0.75, 0.05) == pytest.approx(47.0588, abs=5e-5)


@pytest.mark.parametrize(
    ("threshold", "factor"),
    [(0.77, 1.07411), (0.86, 1.04384), (0.915, 1.02617), (0.945, 1.01678)],
)
def test_a_market_on_the_terms_of_an_incentive_factor_pays_that_factor(threshold, factor):
    """Morpho Blue: min(1.15, 1 / (1 - 0.3 (1 - LLTV))), without a close factor."""
    bonus = min(1.15, 1.0 / (1.0 - 0.3 * (1.0 - threshold))) - 1.0
    market = make_account(100.0, 100.0 * threshold + 0.1, threshold=threshold, bonus=bonus,
                          close_factor=1.0)  # fmt: skip
    done = market.liquidate("ann", "USD", "COL")
    assert done.repaid == 100.0 * threshold + 0.1
    assert done.seized / done.repaid == pytest.approx(factor, abs=5e-6)
    assert done.seized / done.repaid == pytest.approx(1.0 + bonus, rel=1e-12)


@pytest.mark.parametrize("target", [0.75, 0.8])
def test_repaying_the_restoring_amount_restores(target):
    market = make_account(100.0, 85.0, close_factor=1.0)
    amount = restoring_repayment(85.0, 100.0, target, 0.05)
    market.liquidate("ann", "USD", "COL", amount)
    assert loan_to_value(market) == pytest.approx(target, rel=1e-12)


def test_nothing_restores_beyond_the_frontier_and_nothing_is_needed_below_the_target():
    assert restoring_repayment(96.0, 100.0, 0.75, 0.05) == math.inf
    assert restoring_repayment(70.0, 100.0, 0.75, 0.05) == 0.0


# --- toxic frontier ------------------------------------------------------------------------------


def test_the_toxic_frontier_by_hand():
    assert toxic_frontier(0.10, 0.0) == pytest.approx(1 / 1.1, rel=1e-15)
    assert toxic_frontier(0.05, 2 * 0.1) == pytest.approx(0.793651, abs=5e-7)


@pytest.mark.parametrize("bonus", [0.05, 0.10, 0.125])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_liquidation_raises_loan_to_value_exactly_beyond_the_frontier(bonus, side):
    debt = 1_000.0 * (1.0 / (1.0 + bonus) + side * 1e-9)
    market = make_account(1_000.0, debt, bonus=bonus)
    before = loan_to_value(market)
    market.liquidate("ann", "USD", "COL", 300.0)
    assert math.copysign(1.0, loan_to_value(market) - before) == side


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_with_a_sale_into_a_pool_the_frontier_is_lower(side):
    """The seized collateral is sold into x y = k with 10 times the account's collateral."""
    debt, repaid = 1_000.0 * (toxic_frontier(0.05, 0.2) + side * 1e-3), 0.1
    market = make_account(1_000.0, debt, bonus=0.05, threshold=0.75)
    before = loan_to_value(market)
    seized = market.liquidate("ann", "USD", "COL", repaid).seized
    market.set_price("COL", (10_000.0 / (10_000.0 + seized)) ** 2)
    assert math.copysign(1.0, loan_to_value(market) - before) == side


def test_beyond_the_frontier_the_bad_debt_is_debt_less_collateral_over_one_plus_bonus():
    market = make_account(100.0, 97.0, bonus=0.05)
    done = market.liquidate("ann", "USD", "COL")
    assert done.repaid == pytest.approx(100.0 / 1.05, rel=1e-12)
    assert done.bad_debt == pytest.approx(97.0 - 100.0 / 1.05, rel=1e-12)


# --- two steps -----------------------------------------------------------------------------------


def test_two_liquidations_earn_47_62_percent_more_than_one():
    """Collateral 9,900, debt 8,400, threshold 0.8, bonus 10 %, close factor 50 %."""
    at_once = make_account(9_900.0, 8_400.0, bonus=0.1, full_close_below=0.0)
    single = at_once.liquidate("ann", "USD", "COL")
    assert single.repaid == 4_200.0
    market = make_account(9_900.0, 8_400.0, bonus=0.1, full_close_below=0.0)
    first = restoring_repayment(8_400.0, 9_900.0, 0.8, 0.1)
    assert first == pytest.approx(4_000.0, rel=1e-12)
    steps = [market.liquidate("ann", "USD", "COL", first * (1.0 - 1e-12))]
    assert market.health_factor("ann") < 1.0
    steps.append(market.liquidate("ann", "USD", "COL"))
    assert [step.repaid for step in steps] == pytest.approx([4_000.0, 2_200.0], rel=1e-9)
    profit = sum(step.seized - step.repaid for step in steps)
    assert profit == pytest.approx(620.0, rel=1e-9)
    assert profit / (single.seized - single.repaid) - 1.0 == pytest.approx(0.4761904762, rel=1e-9)


# --- what is seized, and how ---------------------------------------------------------------------


def test_a_small_collateral_caps_the_repayment_and_debts_stay_while_others_secure_them():
    market = make_account(100.0, 82.0)
    market.set_price("COL", 10.0)
    market.supply("ann", "ALT", 10.0)
    market.set_price("COL", 0.5)
    done = market.liquidate("ann", "USD", "ALT")
    assert done == pytest.approx(Liquidation(10.0 / 1.05, 10.0, 0.0, 0.0), rel=1e-12)
    assert market.supplied("ann", "ALT") == 0.0
    assert market.owed("ann", "USD") == pytest.approx(82.0 - 10.0 / 1.05)


def test_without_cash_a_liquidator_can_take_the_claim():
    market = make_account(100.0, 82.0)
    market.supply("short", "USD", 1_000.0)
    market.borrow("short", "COL", 90.0)
    with pytest.raises(RefusedError, match=r"NO_CASH.*cash of 10"):
        market.liquidate("ann", "USD", "COL", 40.0)
    done = market.liquidate("ann", "USD", "COL", 40.0, receiver="liz")
    assert done.seized == 42.0
    assert market.supplied("liz", "COL") == pytest.approx(42.0, rel=1e-12)
    assert market.cash("COL") == 10.0


def test_an_account_cannot_receive_its_own_collateral():
    with pytest.raises(RefusedError, match="NOT_ALLOWED"):
        make_account(100.0, 82.0).liquidate("ann", "USD", "COL", receiver="ann")


def test_collateral_that_was_disabled_cannot_be_seized():
    market = make_account(100.0, 82.0)
    market._asset("COL").flag_bits &= ~16
    with pytest.raises(RefusedError, match="NOT_COLLATERAL"):
        market.liquidate("ann", "USD", "COL")


# --- bad debt ------------------------------------------------------------------------------------


def make_deficit(**rules):
    """Collateral 100, bonus 0 and debt 150: a bad debt of 50 with 1,500 supplied."""
    market = make_account(100.0, 150.0, bonus=0.0, **rules)
    done = market.liquidate("ann", "USD", "COL")
    assert done.bad_debt == pytest.approx(50.0, rel=1e-12)
    assert market.owed("ann", "USD") == 0.0
    assert market._asset("USD").written_off == pytest.approx(50.0, rel=1e-12)
    return market


def test_suppliers_bear_bad_debt_pro_rata():
    market = make_deficit()
    assert market.supplied("bank", "USD") == pytest.approx(1_450.0, rel=1e-12)
    assert market.cash("USD") == pytest.approx(1_450.0, rel=1e-12)
    assert market.deficit("USD") == 0.0


def test_a_deficit_nobody_bears_stays_open():
    market = make_deficit(loss_order=())
    assert market.supplied("bank", "USD") == 1_500.0
    assert market.deficit("USD") == pytest.approx(50.0, rel=1e-12)


def test_an_open_deficit_dilutes_what_suppliers_earn_and_not_what_borrowers_pay():
    market = make_deficit(loss_order=())  # cash 1,450 and a deficit of 50
    market.supply("bob", "ALT", 1_000.0)
    market.borrow("bob", "USD", 290.0)
    assert market.utilization("USD") == pytest.approx(0.2, rel=1e-12)
    rate = 0.055 * 0.2 / 0.9
    assert market.borrow_rate("USD") == pytest.approx(rate, rel=1e-12)
    assert market.supply_rate("USD") == pytest.approx(rate * 290.0 / 1_500.0 * 0.9, rel=1e-12)


@pytest.mark.parametrize(
    ("order", "treasury_pays"),
    [
        ((LossBearer.TREASURY,), True),
        ((LossBearer.TREASURY, LossBearer.SUPPLIERS), True),
        ((LossBearer.SUPPLIERS, LossBearer.TREASURY), False),
    ],
)
def test_the_treasury_bears_first_where_the_market_says_so(order, treasury_pays):
    market = make_account(100.0, 150.0, bonus=0.0, loss_order=order)
    market.set_price("COL", 10.0)
    market.accrue(1_000 * DAY)
    market.set_price("COL", 1.0)
    treasury, claim = market.treasury("USD"), market.supplied("bank", "USD")
    bad_debt = market.liquidate("ann", "USD", "COL").bad_debt
    assert 0.0 < treasury < bad_debt
    rest = bad_debt - treasury
    if not treasury_pays:
        assert market.treasury("USD") > 0.0
        assert market.treasury("USD") / treasury == pytest.approx(
            market.supplied("bank", "USD") / claim, rel=1e-12
        )
    elif LossBearer.SUPPLIERS in order:
        assert market.treasury("USD") == 0.0
        assert market.supplied("bank", "USD") == pytest.approx(claim - rest, rel=1e-12)
    else:
        assert market.supplied("bank", "USD") == claim
        assert market.deficit("USD") == pytest.approx(rest, rel=1e-12)


def test_a_treasury_that_can_bear_all_keeps_the_rest():
    market = make_account(100.0, 100.001, bonus=0.0)
    market.set_price("COL", 10.0)
    market.accrue(100 * DAY)
    treasury = market.treasury("USD")
    owed = market.owed("ann", "USD")
    market.set_price("COL", (owed - 0.5 * treasury) / 100.0)
    claim = market.supplied("bank", "USD")
    market.liquidate("ann", "USD", "COL")
    assert market.treasury("USD") == pytest.approx(0.5 * treasury, rel=1e-9)
    assert market.supplied("bank", "USD") == claim


def test_all_debts_of_an_exhausted_account_are_written_off():
    market = make_two_debts(CloseBase.TOTAL_DEBT)
    market.set_price("COL", 0.5)
    done = market.liquidate("ann", "USD", "COL")
    assert done.bad_debt == pytest.approx(82.0 - 50.0 / 1.05, rel=1e-12)
    assert market.health_factor("ann") == math.inf
    assert market._asset("ALT").written_off == pytest.approx(22.0, rel=1e-12)


def test_debts_without_any_claim_can_be_written_off():
    market = make_account(100.0, 82.0)
    market.set_price("COL", 0.5)
    market.state.collateral_reserve[1] = -1  # as if the collateral had been stolen
    market.state.collateral_scaled[1] = 0.0
    assert market.write_off("ann") == 82.0
    assert market.owed("ann", "USD") == 0.0


def test_suppliers_can_leave_with_the_little_that_is_left():
    market = make_lent_out()
    market.set_price("COL", 1e-6)
    market.liquidate("ann", "USD", "COL")
    assert market.withdraw("bank", "USD") == pytest.approx(100.0e-6 / 1.05, rel=1e-9)
    assert market.cash("USD") == 0.0


def test_a_reserve_whose_suppliers_lost_everything_takes_no_more():
    market = make_lent_out()
    market.state.collateral_reserve[1] = -1
    market.state.collateral_scaled[1] = 0.0
    market.write_off("ann")
    assert market.supplied("bank", "USD") == 0.0
    with pytest.raises(RefusedError, match="HALTED"):
        market.supply("bank", "USD", 1.0)


def make_lent_out():
    """All 100 USD of `bank` are lent to `ann` against 100 COL."""
    market = LendingMarket({"COL": ReserveConfig(price=10.0), "USD": ReserveConfig(price=1.0)})
    market.supply("bank", "USD", 100.0)
    market.supply("ann", "COL", 100.0)
    market.borrow("ann", "USD", 100.0)
    return market
