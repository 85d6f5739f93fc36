"""What holds after any sequence of operations, in each of the three ways to liquidate."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.cdp.facade import CdpMarket
from sim.errors import RefusedError

USERS = ("u", "v", "w")
MODES = {
    "fixed_spread": {"kind": "fixed_spread", "close_factor": 0.7},
    "english": {"kind": "english", "lot_size": 40.0, "auction_hours": 1.0},
    "dutch": {"kind": "dutch", "keeper_tip": 5.0},
}
SCALE = 1e7  # no operation moves more debt tokens than this, by far


def make_market(mode):
    """Three vaults of 100 collateral tokens at 100 USD; two of them owe."""
    market = CdpMarket(
        100.0,
        liquidation=MODES[mode],
        stability_fee=0.2,
        debt_floor=50.0,
        surplus_at_start=30.0,
        backstop=400.0,
    )
    for user in USERS:
        market.deposit(user, 100.0)
    market.draw("u", 5_000.0)
    market.draw("v", 6_600.0)
    return market


amounts = st.floats(0.0, 8e3, allow_nan=False) | st.just(math.inf)
users, numbers = st.sampled_from(USERS), st.integers(0, 4)
operations = st.one_of(
    st.tuples(st.sampled_from(("deposit", "withdraw")), users, st.floats(0.0, 150.0)),
    st.tuples(st.sampled_from(("draw", "repay", "liquidate")), users, amounts),
    st.tuples(st.just("bite"), users),
    st.tuples(st.just("tend"), numbers, st.integers(0, 2), st.floats(0.0, 8e3)),
    st.tuples(st.just("dent"), numbers, st.integers(0, 2), st.floats(0.0, 40.0)),
    st.tuples(st.just("take"), numbers, st.floats(0.0, 100.0) | st.just(math.inf)),
    st.tuples(st.sampled_from(("deal", "redo")), numbers),
    st.tuples(st.just("wait"), st.floats(0.0, 1e4) | st.floats(0.0, 3e7)),
    st.tuples(st.just("set_price"), st.floats(10.0, 150.0)),
)
sequences = st.lists(operations, max_size=40)
modes = pytest.mark.parametrize("mode", MODES)


def apply(market, operation):
    """Run one operation; returns the change in the supply that it must have made, None: refused."""
    verb, *arguments = operation
    before = market.books()
    try:
        result = getattr(market, verb)(*arguments)
    except RefusedError:
        return None
    after = market.books()
    made = after["from_backstop"] - before["from_backstop"]
    change = {
        "draw": lambda: result,
        "repay": lambda: -result,
        "liquidate": lambda: -result.repaid - made,
        "take": lambda: -result.paid - made,
        "deal": lambda: -market.auction(arguments[0])["bid"] - made,
        "redo": lambda: result,
        "bite": lambda: after["incentives"] - before["incentives"],
    }
    return change.get(verb, lambda: 0.0)()


@modes
@given(operations=sequences)
def test_supply_is_debts_and_unbacked_debt_less_surplus(mode, operations):
    market = make_market(mode)
    supply = 5_000.0 + 6_600.0 - 30.0
    for operation in operations:
        supply += apply(market, operation) or 0.0
        books = market.books()
        debts = sum(market.debt(user) for user in USERS)
        fees = debts - books["scaled_debt"] * books["index"]  # not written down yet: no surplus
        backed = debts - fees + books["auction_debt"]
        assert abs(supply - (backed + books["unbacked"] - books["surplus"])) <= 1e-9 * SCALE
        market.check(SCALE)


@modes
@given(operations=sequences)
def test_collateral_is_in_vaults_in_auctions_or_handed_out(mode, operations):
    market = make_market(mode)
    total = 300.0
    for verb, *arguments in operations:
        before = market.auction(arguments[0])["lot"] if is_lot(market, verb, arguments) else 0.0
        try:
            result = getattr(market, verb)(*arguments)
        except RefusedError:
            continue
        if verb in {"deposit", "withdraw"}:
            total += result if verb == "deposit" else -result
        elif verb in {"liquidate", "take"}:
            total -= result.seized if verb == "liquidate" else result.taken
        elif verb == "deal":
            total -= before
    lots = [market.auction(k) for k in range(market.last + 1)]
    inside = sum(market.collateral(user) for user in USERS)
    inside += sum(lot["lot"] for lot in lots if lot["place"] >= 0)
    assert abs(inside - total) <= 1e-9 * 1e4


def is_lot(market, verb, arguments):
    """Whether an operation settles an auction that exists."""
    return verb == "deal" and arguments[0] <= market.last


@modes
@given(operations=sequences)
def test_what_is_refused_changes_nothing(mode, operations):
    market = make_market(mode)
    for operation in operations:
        before = [column.tobytes() for column in market.state]
        if apply(market, operation) is None:
            assert [column.tobytes() for column in market.state] == before


@modes
@given(operations=sequences)
def test_nothing_is_negative(mode, operations):
    market = make_market(mode)
    for operation in operations:
        apply(market, operation)
        books = market.books()
        for name in ("scaled_debt", "auction_debt", "surplus", "unbacked", "backstop_left"):
            assert books[name] >= 0.0, name
        assert (market.state.collateral >= 0.0).all()
        assert (market.state.scaled >= 0.0).all()


@modes
@given(st.floats(51.0, 6_000.0), st.floats(0.0, 1e7))
def test_nobody_owes_less_by_drawing_and_repaying(mode, amount, seconds):
    market = make_market(mode)
    market.draw("w", amount)
    market.wait(seconds)
    assert market.repay("w") >= amount
