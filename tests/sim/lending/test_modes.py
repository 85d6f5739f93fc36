"""Efficiency mode, isolation, and loan to value 0, by hand and by the contract's conditions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import InputError, RefusedError
from sim.lending.config import ModeConfig, ReserveConfig
from sim.lending.facade import LendingMarket
from sim.lending.modes import threshold_in
from sim.lending.reading import value_book
from sim.status import Status

ETHER, STAKED, DOLLARS, GOLD = "ETH", "STK", "USD", "XAU"
CORRELATED = ModeConfig(
    label="ether", loan_to_value=0.93, liquidation_threshold=0.95, liquidation_bonus=0.01,
    collateral=(1,), borrowable=(0,),
)  # fmt: skip


def make_market(staked=None, gold=None, modes=(CORRELATED,), **rules):
    """ETH at 2,000, STK at 2,500 (70 / 75 %, bonus 8 %), USD at 1, XAU at 100; 1m of each lent."""
    market = LendingMarket(
        {
            ETHER: ReserveConfig(price=2_000.0),
            STAKED: ReserveConfig(
                price=2_500.0,
                **{"loan_to_value": 0.70, "liquidation_threshold": 0.75, "liquidation_bonus": 0.08}
                | (staked or {}),
            ),
            DOLLARS: ReserveConfig(price=1.0, can_be_borrowed_in_isolation=True),
            GOLD: ReserveConfig(price=100.0, **(gold or {})),
        },
        modes=modes,
        **rules,
    )
    for token in (ETHER, DOLLARS, GOLD):
        market.supply("bank", token, 1e6)
    return market


def refused(call, status):
    with pytest.raises(RefusedError, match=rf"\({Status(status).name}\)"):
        call()


# --- efficiency mode -----------------------------------------------------------------------------


def test_limits_of_the_mode_replace_those_of_its_collateral():
    """100 STK are worth 250,000: 70 / 75 % outside the mode, 93 / 95 % in it."""
    market = make_market()
    market.supply("ann", STAKED, 100.0)
    assert market.account_values("ann") == (250_000.0, 187_500.0, 175_000.0, 0.0)
    market.set_mode("ann", "ether")
    values = market.account_values("ann")
    assert values.threshold_value == pytest.approx(237_500.0, rel=1e-15)
    assert values.loan_value == pytest.approx(232_500.0, rel=1e-15)


def test_other_collateral_keeps_its_own_limits_in_the_mode():
    market = make_market()
    market.supply("ann", STAKED, 100.0)
    market.supply("ann", GOLD, 100.0)  # 10,000 at 75 / 80 %
    market.set_mode("ann", "ether")
    values = market.account_values("ann")
    assert values.threshold_value == pytest.approx(237_500.0 + 8_000.0, rel=1e-15)
    assert values.loan_value == pytest.approx(232_500.0 + 7_500.0, rel=1e-15)


def test_only_borrowable_assets_can_be_owed_in_the_mode():
    market = make_market()
    market.supply("ann", STAKED, 100.0)
    market.set_mode("ann", "ether")
    refused(lambda: market.borrow("ann", DOLLARS, 1.0), Status.MODE)
    assert market.borrow("ann", ETHER, 116.0) == 116.0  # 232,000 of at most 232,500
    refused(lambda: market.borrow("ann", ETHER, 1.0), Status.UNHEALTHY)


def test_a_mode_is_refused_to_who_owes_something_else():
    market = make_market()
    market.supply("ann", STAKED, 100.0)
    market.borrow("ann", DOLLARS, 1_000.0)
    refused(lambda: market.set_mode("ann", "ether"), Status.MODE)
    market.repay("ann", DOLLARS)
    market.set_mode("ann", "ether")


def test_leaving_a_mode_needs_health_outside_it():
    """Owing 190,000 against 187,500 of threshold outside is too much, 186,000 is not."""
    market = make_market()
    market.supply("ann", STAKED, 100.0)
    market.set_mode("ann", "ether")
    market.borrow("ann", ETHER, 95.0)
    refused(lambda: market.set_mode("ann", None), Status.UNHEALTHY)
    assert market.health_factor("ann") == pytest.approx(237_500.0 / 190_000.0)
    market.repay("ann", ETHER, 2.0)
    market.set_mode("ann", None)
    assert market.health_factor("ann") == pytest.approx(187_500.0 / 186_000.0)


def test_a_liquidation_in_the_mode_pays_the_bonus_of_the_mode():
    """116 ETH of debt; STK falls to 2,400: health 0.95 x 240,000 / 232,000 = 0.983, half at 1 %."""
    market = make_market()
    market.supply("ann", STAKED, 100.0)
    market.set_mode("ann", "ether")
    market.borrow("ann", ETHER, 116.0)
    market.set_price(STAKED, 2_400.0)
    done = market.liquidate("ann", ETHER, STAKED)
    assert done.repaid == pytest.approx(58.0, rel=1e-12)
    assert done.seized == pytest.approx(58.0 * 2_000.0 / 2_400.0 * 1.01, rel=1e-12)


def test_a_reserve_with_loan_to_value_zero_lends_nothing_in_a_mode_either():
    market = make_market()
    market.supply("ann", STAKED, 100.0)
    market.set_mode("ann", "ether")
    market.guardian(STAKED).set_limits(loan_to_value=0.0)
    values = market.account_values("ann")
    assert values.loan_value == 0.0
    assert values.threshold_value == pytest.approx(237_500.0, rel=1e-15)


def test_an_unknown_mode_is_refused_with_those_there_are():
    with pytest.raises(InputError, match=r"'gold'.*must be one of ether"):
        make_market().set_mode("ann", "gold")


def test_a_mode_that_names_a_reserve_that_is_not_there_is_refused():
    mode = ModeConfig(
        label="odd", loan_to_value=0.9, liquidation_threshold=0.9, liquidation_bonus=0.01,
        collateral=(7,), borrowable=(0,),
    )  # fmt: skip
    with pytest.raises(InputError, match="'odd' names reserve 7"):
        make_market(modes=(mode,))


def test_the_book_of_positions_is_what_the_rules_say_one_by_one():
    market = make_market(gold={"loan_to_value": 0.0})
    for user, tokens in {"ann": (STAKED, GOLD), "bob": (STAKED, ETHER), "cyd": (DOLLARS,)}.items():
        for token in tokens:
            market.supply(user, token, 1.0)
    market.set_mode("bob", "ether")
    book = value_book(market.state, np.ones(len(market.state.reserves)), 0)
    rows = [market._rows[user] for user in ("ann", "bob", "cyd")]
    assert book.collateral[rows].tolist() == [1.0, 2.0, 1.0]  # gold cannot begin to be used
    assert book.threshold[rows] == pytest.approx([0.75, 0.95 + 0.80, 0.80], rel=1e-15)
    assert [threshold_in(market.state, mode, 1) for mode in (-1, 0)] == [0.75, 0.95]


# --- isolation -----------------------------------------------------------------------------------


def isolated(ceiling=1_000.0):
    """XAU is collateral in isolation; `ann` pledges 100 of it, 10,000 USD at 75 / 80 %."""
    market = LendingMarket(
        {
            ETHER: ReserveConfig(price=2_000.0),
            GOLD: ReserveConfig(price=100.0, debt_ceiling=ceiling),
            DOLLARS: ReserveConfig(price=1.0, can_be_borrowed_in_isolation=True),
        }
    )
    market.supply("bank", ETHER, 1e3)
    market.supply("bank", DOLLARS, 1e6)
    market.supply("ann", GOLD, 100.0)
    return market


def test_debts_of_all_in_isolation_stay_within_the_ceiling():
    market = isolated()
    market.supply("bob", GOLD, 100.0)
    market.borrow("ann", DOLLARS, 600.0)
    refused(lambda: market.borrow("bob", DOLLARS, 401.0), Status.CAP)
    market.borrow("bob", DOLLARS, 400.0)
    refused(lambda: market.borrow("ann", DOLLARS, 1e-6), Status.CAP)


def test_a_repayment_makes_room_below_the_ceiling_and_interest_takes_none():
    market = isolated()
    market.borrow("ann", DOLLARS, 1_000.0)
    market.accrue(3e7)
    assert market._asset(GOLD).isolated_debt == 1_000.0
    market.repay("ann", DOLLARS, 300.0)
    assert market._asset(GOLD).isolated_debt == 700.0
    market.borrow("ann", DOLLARS, 300.0)


def test_only_marked_assets_can_be_owed_in_isolation():
    refused(lambda: isolated().borrow("ann", ETHER, 0.1), Status.MODE)


def test_a_second_asset_secures_nothing_beside_an_isolated_one():
    market = isolated()
    market.supply("ann", ETHER, 5.0)
    assert market.account_values("ann").collateral_value == 10_000.0
    refused(lambda: market.use_as_collateral("ann", ETHER), Status.NOT_COLLATERAL)


def test_an_isolated_asset_secures_nothing_beside_others():
    market = isolated()
    market.supply("bob", ETHER, 5.0)
    market.supply("bob", GOLD, 100.0)
    assert market.account_values("bob").collateral_value == 10_000.0  # of ether alone
    market.borrow("bob", ETHER, 1.0)  # not in isolation
    assert market._asset(GOLD).isolated_debt == 0.0


def test_an_account_can_change_which_of_the_two_it_uses():
    market = isolated()
    market.supply("ann", ETHER, 5.0)
    market.use_as_collateral("ann", GOLD, is_used=False)
    market.use_as_collateral("ann", ETHER)
    assert market.borrow("ann", DOLLARS, 7_000.0) == 7_000.0
    assert market._asset(GOLD).isolated_debt == 0.0


def test_a_liquidation_in_isolation_makes_room_below_the_ceiling():
    market = isolated(ceiling=7_500.0)
    market.borrow("ann", DOLLARS, 7_500.0)
    market.set_price(GOLD, 90.0)  # health 0.96: half of the debt
    done = market.liquidate("ann", DOLLARS, GOLD)
    assert done.repaid == pytest.approx(3_750.0)
    assert market._asset(GOLD).isolated_debt == pytest.approx(3_750.0)


# --- collateral that is used, and loan to value 0 -------------------------------------------------


def test_a_claim_can_cease_to_be_collateral_only_if_debts_stay_secured():
    market = make_market()
    market.supply("ann", STAKED, 100.0)
    market.borrow("ann", DOLLARS, 1_000.0)
    refused(lambda: market.use_as_collateral("ann", STAKED, is_used=False), Status.UNHEALTHY)
    market.supply("ann", GOLD, 100.0)  # 8,000 at its threshold
    market.use_as_collateral("ann", STAKED, is_used=False)
    assert market.account_values("ann").collateral_value == 10_000.0
    refused(lambda: market.liquidate("ann", DOLLARS, STAKED), Status.NOT_LIQUIDATABLE)
    market.set_price(GOLD, 1.0)
    refused(lambda: market.liquidate("ann", DOLLARS, STAKED), Status.NOT_COLLATERAL)


def test_collateral_of_loan_to_value_zero_has_to_go_first():
    """Ann pledges ETH and STK and owes; once STK has loan to value 0 she may not take ETH."""
    market = make_market()
    market.supply("ann", ETHER, 10.0)
    market.supply("ann", STAKED, 1.0)
    market.borrow("ann", DOLLARS, 1_000.0)
    market.guardian(STAKED).set_limits(loan_to_value=0.0)
    refused(lambda: market.withdraw("ann", ETHER, 1.0), Status.ZERO_LTV)
    refused(lambda: market.use_as_collateral("ann", ETHER, is_used=False), Status.ZERO_LTV)
    assert market.withdraw("ann", STAKED) == 1.0
    assert market.withdraw("ann", ETHER, 1.0) == 1.0


def test_without_debt_or_unpledged_nothing_has_to_go_first():
    market = make_market()
    market.supply("ann", ETHER, 10.0)
    market.supply("ann", STAKED, 1.0)
    market.guardian(STAKED).set_limits(loan_to_value=0.0)
    assert market.withdraw("ann", ETHER, 1.0) == 1.0
    market.borrow("ann", DOLLARS, 1_000.0)
    market.use_as_collateral("ann", STAKED, is_used=False)
    assert market.withdraw("ann", ETHER, 1.0) == 1.0


def test_a_first_claim_of_loan_to_value_zero_is_not_used():
    market = make_market()
    market.guardian(STAKED).set_limits(loan_to_value=0.0)
    market.supply("ann", STAKED, 1.0)
    assert market.account_values("ann").collateral_value == 0.0
    refused(lambda: market.use_as_collateral("ann", STAKED), Status.NOT_COLLATERAL)


# --- properties ----------------------------------------------------------------------------------

USERS, TOKENS = ("u", "v"), (ETHER, STAKED, DOLLARS, GOLD)
operations = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(("supply", "borrow", "withdraw", "repay")),
            st.sampled_from(USERS),
            st.sampled_from(TOKENS),
            st.floats(0.01, 3e3) | st.just(math.inf),
        ),
        st.tuples(st.just("set_mode"), st.sampled_from(USERS), st.sampled_from(("ether", None))),
        st.tuples(
            st.just("use_as_collateral"),
            st.sampled_from(USERS),
            st.sampled_from(TOKENS),
            st.booleans(),
        ),
        st.tuples(st.just("liquidate"), st.sampled_from(USERS), st.sampled_from(TOKENS),
                  st.sampled_from(TOKENS)),
        st.tuples(st.just("freeze"), st.sampled_from(TOKENS), st.booleans()),
        st.tuples(st.just("pause"), st.sampled_from(TOKENS), st.booleans()),
        st.tuples(st.just("set_price"), st.sampled_from(TOKENS), st.floats(0.5, 5e3)),
        st.tuples(st.just("accrue"), st.floats(0.0, 1e7)),
    ),
    max_size=30,
)  # fmt: skip


def act(market, operation):
    """Run one operation; returns whether it was accepted."""
    verb, *arguments = operation
    try:
        if verb in {"freeze", "pause"}:
            guardian = market.guardian(arguments[0])
            getattr(guardian, verb if arguments[1] else f"un{verb}")()
        else:
            getattr(market, verb)(*arguments)
    except RefusedError:
        return False
    return True


def strained():
    """A market with every cap, an isolated asset and a mode."""
    market = make_market(
        staked={"supply_cap": 1_500.0, "liquidation_bonus": 0.05},
        gold={"debt_ceiling": 2_000.0, "borrow_cap": 500.0, "supply_cap": 1e6 + 900.0},
    )
    for user in USERS:
        market.health_factor(user)
    return market


def snapshot(market):
    return [column.tobytes() for column in market.state]


@given(operations)
def test_caps_are_never_exceeded_by_what_is_accepted(sequence):
    market = strained()
    for operation in sequence:
        if act(market, operation) and operation[0] in {"supply", "borrow"}:
            asset = market._asset(operation[2])
            claims = (asset.scaled_supply + asset.scaled_treasury) * asset.supply_index
            if operation[0] == "supply":
                assert claims <= asset.supply_cap * (1.0 + 1e-12)
            else:
                assert asset.scaled_debt * asset.borrow_index <= asset.borrow_cap * (1.0 + 1e-12)
            assert market._asset(GOLD).isolated_debt <= 2_000.0 * (1.0 + 1e-12)


@given(operations)
def test_orders_to_a_frozen_or_paused_reserve_change_nothing(sequence):
    market, frozen, paused = strained(), set(), set()
    for operation in sequence:
        before = snapshot(market)
        accepted = act(market, operation)
        if operation[0] in {"freeze", "pause"}:
            chosen = frozen if operation[0] == "freeze" else paused
            (chosen.add if operation[2] else chosen.discard)(operation[1])
            continue
        named = set(operation[2:]) & set(TOKENS)
        is_new = operation[0] in {"supply", "borrow"}
        if operation[0] in {"supply", "borrow", "withdraw", "repay", "liquidate"} and (
            named & paused or (is_new and named & frozen)
        ):
            assert not accepted
        assert accepted or snapshot(market) == before


@given(operations)
def test_isolated_accounts_owe_only_marked_assets_and_modes_only_borrowable_ones(sequence):
    market = strained()
    for operation in sequence:
        if not act(market, operation) or operation[0] != "borrow":
            continue
        row, state = market._rows[operation[1]], market.state
        used = state.collateral_reserve[row][state.is_used[row] != 0]
        if used.tolist() == [3]:
            assert operation[2] == DOLLARS
        if state.positions[row]["mode"] == 0:
            assert operation[2] == ETHER


@given(operations)
def test_health_is_what_the_definition_says(sequence):
    """The sum over used claims of value and threshold, over the debts, in plain Python."""
    market = strained()
    for operation in sequence:
        act(market, operation)
    state = market.state
    for user in USERS:
        row = market._rows[user]
        threshold = debt = 0.0
        for k, token in enumerate(TOKENS):
            config, asset = market.config.reserves[k], market._asset(token)
            is_used = any(
                state.collateral_reserve[row, slot] == k and state.is_used[row, slot]
                for slot in range(4)
            )
            limit = config.liquidation_threshold
            if token == STAKED and state.positions[row]["mode"] == 0:
                limit = 0.95
            threshold += market.supplied(user, token) * asset.price * limit * is_used
            debt += market.owed(user, token) * asset.price
        expected = threshold / debt if debt > 0.0 else np.inf
        assert market.health_factor(user) == pytest.approx(expected, rel=1e-9)
