"""Several mechanisms in one transaction: flash loan, liquidation, sale, repayment, or nothing."""

from dataclasses import replace

import numpy as np
import pytest

from sim.ledger import transfer
from sim.lending.verbs import pair_of
from sim.llamma.loans import withdrawn_part
from sim.llamma.verbs import LIQUIDATE as CLOSE
from sim.orders import CHAINED, FLASH, FLASH_LOAN, FLASH_REPAY, LIQUIDATE, SWAP
from sim.outside import GENESIS, OUTSIDE
from sim.status import Status
from sim.trial import Request, Trial, actors, small_plan
from tests.examples import (
    BANDS,
    POOL,
    RESERVES,
    config_of,
    feeds,
    open_bands,
    open_books,
    venue,
)

MARKET, SWAPS = 2, 3
FEE = 0.0009


def make_trial(**market):
    """Account 1 owes 16,500 USD against 10 ETH at 2,000: health 0.97, half can be repaid."""
    venues = (
        *feeds(),
        venue("market", config_of("lending", reserves=RESERVES, **market)),
        venue("pool", config_of("constant_product", **{**POOL, "value_usd": 1e7})),
    )
    trial = Trial(small_plan(venues, (actors(open_books),), seed=1))
    world = trial.world
    group, dollars = world.group("actors"), world.token("home", "USD")
    held = world.balance(group, 3, dollars)  # the liquidator has nothing of its own
    transfer.py_func(world.ledger, group, 3, OUTSIDE, GENESIS, dollars, held)
    return trial


def path(repaid=8_250.0):
    """Borrow, liquidate, sell what was seized, pay back with the fee."""
    owed = repaid * (1.0 + FEE)
    pair = int(pair_of.py_func(1, 0))
    return (
        Request(MARKET, FLASH_LOAN, 3, b=1, amount=repaid),
        Request(MARKET, LIQUIDATE, 3, a=1, b=pair, amount=repaid, flag_bits=FLASH),
        Request(SWAPS, SWAP, 3, a=0, flag_bits=CHAINED),
        Request(MARKET, FLASH_REPAY, 3, b=1, amount1=owed, flag_bits=CHAINED),
    )


def test_a_liquidator_without_means_earns_the_bonus_in_one_transaction():
    """8,250 repaid seize 4.33125 ETH; 2,500 ETH and 5m USD give the rest after 0.3 %."""
    trial = make_trial()
    outcome = trial.send(*path())
    assert outcome.status == Status.OK
    seized = 8_250.0 * 1.05 / 2_000.0
    given = 0.997 * seized
    proceeds = 5e6 * given / (2_500.0 + given)
    gained = outcome.balances[1] - outcome.balances[0]
    dollars = trial.world.token("home", "USD")
    assert gained[dollars] == pytest.approx(proceeds - 8_250.0 * (1.0 + FEE), rel=1e-6)
    assert gained[trial.world.token("home", "ETH")] == pytest.approx(0.0, abs=1e-12)
    state = trial.world.states["lending"][0]
    assert state.debt_scaled[1].sum() == pytest.approx(8_250.0, rel=1e-6)
    trial.world.check()


@pytest.mark.parametrize(
    "legs",
    [
        path()[:3],  # nothing pays back
        (*path()[:3], replace(path()[3], amount1=8_250.0)),  # without the fee
        (*path()[:3], replace(path()[3], amount1=9_000.0)),  # more than the sale brings
        path(1e6),  # more than the market has
    ],
    ids=["no-repayment", "no-fee", "too-much", "no-cash"],
)
def test_a_path_that_does_not_add_up_changes_nothing(legs):
    trial = make_trial()
    before = trial.world.states["lending"][0]
    positions = before.collateral_scaled.copy(), before.debt_scaled.copy()
    reserves = before.reserves["cash"].copy()
    assert trial.send(*legs).status != Status.OK
    after = trial.world.states["lending"][0]
    assert np.array_equal(positions[0], after.collateral_scaled)
    assert np.array_equal(positions[1], after.debt_scaled)
    assert np.array_equal(reserves, after.reserves["cash"])


def lend_everything(trial, reserve):
    """Let all of a reserve be borrowed by somebody outside: full utilization."""
    world = trial.world
    state, desk = world.states["lending"]
    asset, group = state.reserves[reserve], world.group("lending")
    cash = float(asset["cash"])
    account = int(desk.account[0])
    transfer.py_func(world.ledger, group, account, OUTSIDE, GENESIS, int(asset["token"]), cash)
    asset["cash"] = 0.0


def test_at_full_utilization_a_liquidation_for_tokens_refuses_as_the_contract_does():
    """No ETH in cash: the transfer of the collateral would revert, so the whole path does."""
    trial = make_trial()
    lend_everything(trial, 0)
    single = replace(path()[1], row=0, flag_bits=0)
    assert trial.send(single).status == Status.NO_CASH
    assert trial.send(*path()).status == Status.LEG_FAILED


def test_a_full_utilization_of_the_debt_hinders_flash_loans_and_not_liquidations():
    trial = make_trial()
    lend_everything(trial, 1)
    assert trial.send(*path()).status == Status.LEG_FAILED
    assert trial.send(replace(path()[1], row=0, flag_bits=0)).status == Status.OK


def test_a_small_position_is_closed_whole_and_no_dust_is_left():
    """Debt 16,500, half is 8,250; with 20,000 as the limit of small legs all can be repaid; what
    would leave less than 1,000 is refused."""
    trial = make_trial(full_close_value=20_500.0, dust_value=1_000.0)
    whole = replace(path()[1], row=0, flag_bits=0)
    assert trial.send(replace(whole, amount=15_600.0)).status == Status.DUST
    outcome = trial.send(replace(whole, amount=15_400.0))
    assert outcome.fills[0]["amount_in"] == pytest.approx(15_400.0)


def test_a_hard_liquidation_of_bands_is_followed_by_the_sale_of_what_came_out():
    """Half of 20,500 owed against 10 ETH: 4.929 ETH come out, which a pool pays less 0.3 %."""
    venues = (
        *feeds(),
        venue("bands", config_of("llamma", **BANDS, debt_asset="USD")),
        venue("pool", config_of("constant_product", tokens=["ETH", "cUSD"], value_usd=1e7)),
    )
    trial = Trial(small_plan(venues, (actors(open_bands),), seed=1))
    close = Request(MARKET, CLOSE, 3, a=2, amount=0.5)
    outcome = trial.send(close, Request(SWAPS, SWAP, 3, a=0, flag_bits=CHAINED))
    assert outcome.status == Status.OK
    gained = outcome.balances[1] - outcome.balances[0]
    given = 0.997 * 10.0 * withdrawn_part(0.5, 0.06)
    owed = outcome.fills[0]["amount_in"]
    assert owed == pytest.approx(10_250.0, rel=1e-5)
    proceeds = 5e6 * given / (2_500.0 + given)
    assert gained[trial.world.token("home", "cUSD")] == pytest.approx(proceeds - owed, rel=1e-6)
    trial.world.check()
