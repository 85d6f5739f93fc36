"""What holds after any sequence of operations."""

import math

from hypothesis import given
from hypothesis import strategies as st

from sim.errors import RefusedError
from sim.lending.account import toxic_frontier
from sim.lending.config import ReserveConfig
from sim.lending.facade import LendingMarket

TOKENS = ("A", "B", "C")
USERS = ("u", "v", "w")
EPSILON = 2.0**-52


def make_market():
    """Three assets of different rates, risks and fees; `bank` has supplied 1,000 of each."""
    market = LendingMarket(
        {
            "A": ReserveConfig(price=2.0, liquidation_protocol_fee=0.1, slope2=4.0),
            "B": ReserveConfig(price=1.0, base_rate=0.02, reserve_factor=0.3, kink=0.5),
            "C": ReserveConfig(
                price=50.0, loan_to_value=0.6, liquidation_threshold=0.7, liquidation_bonus=0.1
            ),
        }
    )
    for token in TOKENS:
        market.supply("bank", token, 1_000.0)
    return market


def amounts(top):
    return st.floats(0.0, top, allow_nan=False) | st.just(math.inf)


users, tokens = st.sampled_from(USERS), st.sampled_from(TOKENS)
operations = st.one_of(
    st.tuples(
        st.sampled_from(("supply", "withdraw", "borrow", "repay")), users, tokens, amounts(2e3)
    ),
    st.tuples(st.just("liquidate"), users, tokens, tokens, amounts(2e3)),
    st.tuples(st.just("receive"), users, tokens, tokens, amounts(2e3)),
    st.tuples(st.just("accrue"), st.floats(0.0, 4e7)),
    st.tuples(st.just("set_price"), tokens, st.floats(0.01, 100.0)),
)
sequences = st.lists(operations, max_size=30)


def apply(market, operation):
    """Run one operation; returns whether it was accepted."""
    verb, *arguments = operation
    try:
        if verb == "receive":
            market.liquidate(*arguments, receiver="bank")
        else:
            getattr(market, verb)(*arguments)
    except RefusedError:
        return False
    return True


def snapshot(market):
    return [column.tobytes() for column in market.state]


def residue(asset):
    """Return assets less claims of a reserve, in units of the rounding of its largest part."""
    debt = asset.scaled_debt * asset.borrow_index
    claims = (asset.scaled_supply + asset.scaled_treasury) * asset.supply_index
    gross = max(
        asset.cash, debt, claims, asset.scaled_supply, asset.written_off, abs(asset.surplus)
    )
    return (asset.cash + debt + asset.deficit - claims - asset.surplus) / (gross * EPSILON)


def grow_old(market, operations):
    """Run the operations with every amount of money and time in between; yields what changed."""
    for operation in operations:
        before = snapshot(market)
        accepted = apply(market, operation)
        yield operation, accepted, before


@given(sequences)
def test_cash_and_debts_are_claims_treasury_and_surplus(operations):
    market = make_market()
    for _ in grow_old(market, operations):
        for asset in market.state.reserves:
            # each of at most 30 operations rounds a few times, at most 100 times larger amounts
            assert abs(residue(asset)) <= 4.0 * 30.0 * 100.0


@given(sequences)
def test_totals_are_the_sums_over_positions(operations):
    market = make_market()
    for _ in grow_old(market, operations):
        pass
    state = market.state
    for r, asset in enumerate(state.reserves):
        claims = state.collateral_scaled[state.collateral_reserve == r].sum()
        debts = state.debt_scaled[state.debt_reserve == r].sum()
        gross = 1e4 + asset.written_off
        assert abs(claims - asset.scaled_supply) <= 1e-10 * gross
        assert abs(debts - asset.scaled_debt) <= 1e-10 * gross


@given(sequences)
def test_what_is_refused_changes_nothing(operations):
    market = make_market()
    for user in USERS:
        market.health_factor(user)
    for _, accepted, before in grow_old(market, operations):
        assert accepted or snapshot(market) == before


@given(sequences)
def test_indices_fall_only_where_bad_debt_was_recognized(operations):
    market = make_market()
    last = market.state.reserves.copy()
    for _ in grow_old(market, operations):
        now = market.state.reserves
        assert (now["borrow_index"] >= last["borrow_index"]).all()
        is_whole = now["written_off"] == last["written_off"]
        assert (now["supply_index"] >= last["supply_index"])[is_whole].all()
        last = now.copy()


@given(sequences)
def test_no_amount_is_negative_and_free_slots_are_empty(operations):
    market = make_market()
    for _ in grow_old(market, operations):
        state = market.state
        for name in ("cash", "scaled_supply", "scaled_debt", "scaled_treasury", "deficit"):
            assert (state.reserves[name] >= 0.0).all()
        assert ((state.collateral_scaled > 0.0) == (state.collateral_reserve >= 0)).all()
        assert ((state.debt_scaled > 0.0) == (state.debt_reserve >= 0)).all()


@given(sequences)
def test_nobody_borrows_or_withdraws_below_the_limits(operations):
    market = make_market()
    for operation, accepted, _ in grow_old(market, operations):
        if accepted and operation[0] == "borrow":
            values = market.account_values(operation[1])
            assert values.debt_value <= values.loan_value * (1.0 + 1e-12)
        if accepted and operation[0] == "withdraw":
            assert market.health_factor(operation[1]) >= 1.0 - 1e-12


@given(st.floats(10.0, 990.0), st.floats(0.0, 4e8))
def test_interest_paid_is_interest_earned_treasury_and_surplus(debt, seconds):
    market = make_market()
    market.supply("u", "C", 1_000.0)
    market.borrow("u", "B", debt)
    market.accrue(seconds)
    paid = market.owed("u", "B") - debt
    earned = market.supplied("bank", "B") - 1_000.0
    asset = market._asset("B")
    assert abs(paid - earned - market.treasury("B") - asset.surplus) <= 1e-12 * (1_000.0 + paid)
    assert abs(market.treasury("B") - 0.3 * paid) <= 1e-12 * (1_000.0 + paid)
    assert asset.surplus >= -1e-12 * (1_000.0 + paid)


@given(st.floats(0.801, 1.2), st.floats(0.01, 0.99), st.floats(0.0, 0.25))
def test_health_rises_exactly_below_the_toxic_frontier(loan_to_value, part, bonus):
    market = LendingMarket(
        {
            "COL": ReserveConfig(price=10.0, liquidation_bonus=bonus),
            "USD": ReserveConfig(price=1.0),
        }
    )
    market.supply("bank", "USD", 10_000.0)
    market.supply("ann", "COL", 1_000.0)
    market.borrow("ann", "USD", 1_000.0 * loan_to_value)
    market.set_price("COL", 1.0)
    before = market.health_factor("ann")
    amount = part * min(500.0 * loan_to_value, 1_000.0 / (1.0 + bonus))
    market.liquidate("ann", "USD", "COL", amount)
    distance = toxic_frontier(bonus, 0.0) - loan_to_value
    change = market.health_factor("ann") - before
    if abs(distance) > 1e-9:
        assert math.copysign(1.0, change) == math.copysign(1.0, distance)


@given(sequences, users, tokens, tokens)
def test_an_unlimited_liquidation_repays_the_most_that_is_allowed(
    operations, user, debt, collateral
):
    market = make_market()
    for _ in grow_old(market, operations):
        pass
    most = market.max_liquidation(user, debt, collateral)
    try:
        done = market.liquidate(user, debt, collateral, receiver="bank")
    except RefusedError:
        assert most == 0.0
    else:
        assert abs(done.repaid - most) <= 4.0 * EPSILON * most


@given(st.floats(1.0, 1e4))
def test_supplying_and_withdrawing_at_once_earns_nothing(amount):
    market = make_market()
    market.supply("u", "C", 1_000.0)
    market.borrow("u", "B", 900.0)
    market.accrue(1e6)
    market.supply("v", "B", amount)
    paid = market.withdraw("v", "B")
    assert abs(paid - amount) <= 4.0 * EPSILON * amount
