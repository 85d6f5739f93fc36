"""The market in a world: liquidation for a claim, unwinding, guardian actions as shocks."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.kinds import mechanisms
from sim.lending.building import enter, open_positions, reserve_of
from sim.lending.verbs import pair_of
from sim.orders import (
    CHAINED,
    LIQUIDATE,
    LIQUIDATE_FOR_CLAIM,
    SWAP,
    UNWIND,
    UNWIND_REPAY,
    WITHDRAW,
)
from sim.status import Status
from sim.trial import ACTORS, Request, Trial, actors, small_plan
from tests.examples import POOL, RESERVES, config_of, feeds, venue

MARKET, SWAPS = 2, 3  # venue numbers


def prepare(world, site):
    """Row 0 pledges 10 ETH and owes 16,500 USD, row 1 has lent the dollars, row 2 pledges ETH."""
    positions = open_positions(world, MARKET, site.group, np.arange(site.rows))
    ether, dollars = (reserve_of(world, MARKET, symbol) for symbol in ("ETH", "USD"))
    enter(world, positions[[0, 2]], ether, np.array([10.0, 1.0]), are_debts=False)
    enter(world, positions[1:2], dollars, np.array([100_000.0]), are_debts=False)
    enter(world, positions[:1], dollars, np.array([16_500.0]), are_debts=True)


def make_trial():
    market = config_of("lending", reserves=RESERVES)
    pool = config_of("constant_product", **POOL)
    venues = (*feeds(), venue("market", market), venue("pool", pool))
    return Trial(small_plan(venues, (actors(prepare),), seed=1))


def state_of(trial):
    return trial.world.states["lending"][0]


def asset_of(trial, k):
    return state_of(trial).reserves[k]


def drain_ether(trial):
    """Leave 2 ETH of the 11 in cash, as if the rest were lent."""
    asset = asset_of(trial, 0)
    world = trial.world
    group, account = world.group("lending"), int(world.states["lending"][1].account[0])
    from sim.ledger import transfer
    from sim.outside import GENESIS, OUTSIDE

    transfer(world.ledger, group, account, OUTSIDE, GENESIS, int(asset["token"]), 9.0)
    asset["cash"] -= 9.0


def liquidation(verb, **fields):
    pair = int(pair_of.py_func(1, 0))
    return Request(MARKET, verb, 1, a=0, b=pair, amount=np.inf, **fields)


def test_a_liquidation_beyond_the_cash_fails_and_changes_nothing():
    """16,500 owed against 16,000 of threshold: health 0.97, so half: 8,250 USD for 4.33 ETH."""
    trial = make_trial()
    drain_ether(trial)
    outcome = trial.send(liquidation(LIQUIDATE))
    assert outcome.status == Status.NO_CASH


def test_a_claim_is_taken_over_where_cash_is_short_and_no_token_moves_but_the_repayment():
    trial = make_trial()
    drain_ether(trial)
    asset = asset_of(trial, 0)
    before, cash = float(asset["scaled_supply"]), float(asset["cash"])
    outcome = trial.send(liquidation(LIQUIDATE_FOR_CLAIM, amount1=1.0))
    assert outcome.status == Status.OK
    fill = outcome.fills[0]
    assert fill["amount_in"] == pytest.approx(8_250.0, rel=1e-6)
    assert fill["amount_out"] == pytest.approx(8_250.0 / 2_000.0 * 1.05, rel=1e-6)
    state = state_of(trial)
    assert float(asset["scaled_supply"]) == pytest.approx(before, rel=1e-12)
    assert float(asset["cash"]) == cash
    mine = state.collateral_scaled[1][state.collateral_reserve[1] == 0].sum()
    assert mine == pytest.approx(fill["amount_out"], rel=1e-6)
    ether, dollars = outcome.balances[1] - outcome.balances[0], 0
    held = [int(asset_of(trial, k)["token"]) for k in (0, 1)]
    assert ether[held[0]] == dollars
    assert ether[held[1]] == pytest.approx(-8_250.0, rel=1e-6)
    trial.world.check()


@pytest.mark.parametrize("receiver", [0.0, 2.0, -1.0, 99.0, np.nan])
def test_only_a_position_of_the_sender_can_take_the_claim(receiver):
    outcome = make_trial().send(liquidation(LIQUIDATE_FOR_CLAIM, amount1=receiver))
    assert outcome.status == Status.NO_POSITION


def unwinding(amount=2.0, least=3_900.0, **fields):
    """Take out ETH, sell it for USD, repay."""
    head = Request(MARKET, UNWIND, 0, a=0, b=0, amount=amount)
    sale = Request(SWAPS, SWAP, 0, a=0, flag_bits=CHAINED)
    back = Request(MARKET, UNWIND_REPAY, 0, a=0, b=1, amount1=least, flag_bits=CHAINED)
    return head, sale, replace(back, **fields)


def test_an_account_beyond_withdrawing_unwinds_in_one_order():
    """Health 0.97: even 2 ETH cannot be withdrawn, but sold they repay 4,000 less costs."""
    trial = make_trial()
    assert trial.send(Request(MARKET, WITHDRAW, 0, a=0, b=0, amount=2.0)).status == Status.UNHEALTHY
    given = 0.997 * 2.0  # constant product of 250 ETH and 500,000 USD, fee 0.3 %
    expected = 500_000.0 * given / (250.0 + given)
    outcome = trial.send(*unwinding())
    assert outcome.status == Status.OK
    assert outcome.fills[2]["amount_in"] == pytest.approx(expected, rel=1e-9)
    state = state_of(trial)
    assert state.collateral_scaled[0].sum() == pytest.approx(8.0, rel=1e-9)
    assert state.debt_scaled[0].sum() == pytest.approx(16_500.0 - expected, rel=1e-6)
    trial.world.check()


@pytest.mark.parametrize(
    "legs",
    [
        unwinding(least=5_000.0),  # the pool does not give that much
        unwinding(least=1_000.0),  # that little does not restore health
        unwinding(least=0.0),
        unwinding(b=0),  # repays the reserve that was taken out
        unwinding(a=1),  # somebody else's debt
        unwinding(amount=20.0),
    ],
)
def test_an_unwinding_that_does_not_add_up_changes_nothing(legs):
    outcome = make_trial().send(*legs)
    assert outcome.status == Status.LEG_FAILED


def test_nobody_unwinds_without_a_repayment_behind():
    trial = make_trial()
    assert trial.send(unwinding()[0]).status == Status.NOT_ALLOWED
    assert trial.send(replace(unwinding()[2], amount=10.0)).status == Status.NOT_ALLOWED


# --- guardian actions as shocks -------------------------------------------------------------------


def shock(trial, kind, **fields):
    chosen = {s.kind: s for s in mechanisms()["lending"].shocks}[kind]
    config = chosen.config.model_validate({"kind": kind, "venue": "market", **fields})
    chosen.apply(trial.world, config)


@pytest.mark.parametrize(
    ("kind", "fields", "column", "value"),
    [
        ("freeze_reserve", {}, "flag_bits", 1 | 2 | 8 | 16),
        ("freeze_reserve", {"zero_loan_to_value": True}, "loan_to_value", 0.0),
        ("pause_reserve", {}, "flag_bits", 1 | 4 | 8 | 16),
        ("set_borrowing", {"is_enabled": False}, "flag_bits", 1 | 16),
        ("set_caps", {"supply_cap": 7.0}, "supply_cap", 7.0),
        ("set_caps", {"borrow_cap": 8.0}, "borrow_cap", 8.0),
        ("set_collateral", {"loan_to_value": 0.0}, "loan_to_value", 0.0),
        ("set_collateral", {"liquidation_threshold": 0.78}, "liquidation_threshold", 0.78),
        ("set_rates", {"slope2": 3.0}, "slope2", 3.0),
        ("set_rates", {"reserve_factor": 0.5}, "reserve_factor", 0.5),
    ],
)
def test_an_action_changes_its_reserve_and_no_other(kind, fields, column, value):
    trial = make_trial()
    other = asset_of(trial, 1).tobytes()
    shock(trial, kind, asset="ETH", **fields)
    assert asset_of(trial, 0)[column] == value
    assert asset_of(trial, 1).tobytes() == other


def test_an_action_that_changes_nothing_is_refused():
    with pytest.raises(ValueError, match="it would change nothing; give borrow_cap or"):
        shock(make_trial(), "set_caps", asset="ETH")


def test_the_treasury_is_paid_to_an_account():
    trial = make_trial()
    asset = asset_of(trial, 1)
    asset["scaled_treasury"], asset["surplus"] = 50.0, -50.0
    token = int(asset["token"])
    before = trial.world.balances(ACTORS, token).copy()
    shock(trial, "collect_treasury", asset="USD", population=ACTORS)
    gained = trial.world.balances(ACTORS, token) - before
    assert gained.tolist() == [pytest.approx(50.0), 0.0, 0.0, 0.0]
    trial.world.check()
