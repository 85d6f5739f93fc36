"""crvUSD markets in a world: soft liquidation by arbitrageurs, hard liquidation, records, books."""

import numpy as np
import pytest

from experiments import load_scenario, run
from sim.errors import InputError, InvariantError, ScenarioError
from sim.llamma.building import enter, open_loans
from sim.llamma.reading import read_loans
from sim.llamma.verbs import ADD_COLLATERAL, CREATE, LIQUIDATE, REPAY, SWAP
from sim.status import Status
from sim.trial import ACTORS, Request, Trial, actors, small_plan
from tests.examples import BANDS, config_of, feeds, open_bands, venue

MARKET = 2  # venue number


def make_trial(prepare=open_bands, **rules):
    config = config_of("llamma", **{**BANDS, "rate": 0.0, "debt_asset": "USD", **rules})
    return Trial(small_plan((*feeds(), venue("bands", config)), (actors(prepare),), seed=1))


def held(trial, row, symbol):
    world = trial.world
    return world.balance(world.group(ACTORS), row, world.token("home", symbol))


def test_a_loan_mints_what_it_borrows_and_a_repayment_burns_it():
    trial = make_trial()
    world = trial.world
    token = world.token("home", "cUSD")
    before, supply = held(trial, 3, "cUSD"), world.ledger.supply[token]
    new = Request(MARKET, CREATE, 3, a=3, b=10, amount=10.0, amount1=12_000.0)
    assert trial.send(new).status == Status.OK
    assert held(trial, 3, "cUSD") == pytest.approx(before + 12_000.0)
    assert world.ledger.supply[token] == pytest.approx(supply + 12_000.0)
    assert trial.send(Request(MARKET, REPAY, 3, a=3, amount=np.inf)).status == Status.OK
    assert world.ledger.supply[token] == pytest.approx(supply)
    assert held(trial, 3, "ETH") == pytest.approx(50.0)
    world.check()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (Request(MARKET, ADD_COLLATERAL, 1, a=0, amount=1.0), Status.NO_POSITION),
        (Request(MARKET, ADD_COLLATERAL, 0, a=0, amount=1e6), Status.INSUFFICIENT_FUNDS),
        (Request(MARKET, CREATE, 0, a=0, b=10, amount=1.0, amount1=1.0), Status.NO_SLOT),
        (Request(MARKET, LIQUIDATE, 3, a=1, amount=1.0), Status.NOT_LIQUIDATABLE),
        (Request(MARKET, LIQUIDATE, 3, a=99, amount=1.0), Status.NO_POSITION),
        (Request(MARKET, SWAP, 3, a=0, amount=1.0), Status.INSUFFICIENT_LIQUIDITY),
    ],
    ids=["not-mine", "too-much", "has-one", "healthy", "no-loan", "no-debt-tokens"],
)
def test_what_the_market_refuses_changes_nothing(request_, status):
    trial = make_trial()
    state = trial.world.states["llamma"]
    before = [column.copy() for column in state]
    assert trial.send(request_).status == status
    assert all(np.array_equal(a, b) for a, b in zip(before, state, strict=True))


def test_books_that_do_not_balance_are_caught():
    world = make_trial().world
    world.states["llamma"].y[0, 1_024 + 20] += 1.0
    with pytest.raises(InvariantError, match="bands: collateral in bands and on the ledger"):
        world.check()


def test_a_loan_at_the_start_that_the_controller_refuses_is_an_error():
    def prepare(world, site):
        loans = open_loans(world, MARKET, site.group, np.arange(site.rows))
        enter(world, loans[:1], np.array([1.0]), np.array([1_990.0]), np.array([10]))

    with pytest.raises(InputError, match=r"is refused \(unhealthy\); borrow less"):
        make_trial(prepare)


# --- a falling market ----------------------------------------------------------------------------

FALL = """{
  kind: waypoints, waypoints: [[0, 2000], [1, 2000], [4, %d], [6, %d]],
  volatility: [{until_hours: 6, volatility: 0.01}]}"""
MARKET_OF = """{
  kind: llamma, chain: mainnet, collateral: ETH, debt: cUSD, debt_asset: USD, feed: eth-feed}"""
BORROWERS = """{
  kind: llamma_borrowers, chain: mainnet, llamma: bands, count: 20, debt_usd: 1e6, debt_log_sd: 1,
  borrowed_low: 0.9, borrowed_high: 0.98, awake_share: 0}"""
ARBITRAGEURS = """{
  kind: arbitrageurs, chain: mainnet, count: 2, inventory_usd: 5e6, venues: [bands],
  quote_token: cUSD}"""
LIQUIDATORS = "{kind: llamma_liquidators, chain: mainnet, llamma: bands, inventory_usd: 5e6}"
FEED = "{kind: oracle, chain: mainnet, token: ETH, source: {kind: reference}}"


def scenario(low, *populations):
    """Ether falls from 2,000 in three hours."""
    people = {"owners": BORROWERS, **dict(populations)}
    listed = ", ".join(f"{name}: {text}" for name, text in people.items())
    given = [
        f"assets.ETH.price={FALL % (low, low)}",
        "price_step_seconds=12",
        "chains.mainnet.blocks={kind: fixed, interval_seconds: 12}",
        "reference_market={}",
        f"venues={{eth-feed: {FEED}, bands: {MARKET_OF}}}",
        f"populations={{{listed}}}",
        "records.sample_seconds=15m",
    ]
    return load_scenario("quiet-market", given, until=6 * 3_600)


def test_a_fall_is_softened_by_arbitrageurs_who_buy_the_collateral():
    """14 % down, where half of the bands lie: no loan is closed, most collateral is sold above."""
    result = run(scenario(1_720, ("arbitrageurs", ARBITRAGEURS)), seed=3)
    fills = result.tables["fills"]
    swaps = fills[(fills["kind"] == "llamma.swap") & (fills["status"] == "OK")]
    assert len(swaps) > 50
    pools = result.tables["pools"]
    first, last = pools.iloc[0], pools.iloc[-1]
    sold = first["reserve0"] - last["reserve0"]
    assert 0.2 < sold / first["reserve0"] < 1.0
    price = last["reserve1"] / sold  # of what was sold, net of what was bought back
    assert 1_720.0 < price < 1_840.0
    positions = result.tables["positions"]
    assert (positions["health_factor"] > 0.97).all()
    assert (positions["venue"] == "bands").all()


def test_a_fall_that_nobody_softens_ends_in_hard_liquidations_which_are_recorded():
    result = run(scenario(1_600, ("liquidators", LIQUIDATORS)), seed=3)
    tables = result.tables
    done, fills = tables["liquidations"], tables["fills"]
    mine = fills[(fills["kind"] == "llamma.liquidate") & (fills["status"] == "OK")]
    assert len(done) == len(mine) > 0
    assert (done["borrower_population"] == "owners").all()
    assert (done["health_factor"] < 1.0).all()
    assert (done["seized_usd"] > done["debt_usd"]).all()
    assert set(tables["lending"]["token"]) == {"mainnet/ETH", "mainnet/cUSD"}


def test_without_arbitrageurs_the_bands_hold_collateral_all_the_way_down():
    result = run(scenario(1_720), seed=3)
    assert (result.tables["pools"]["reserve1"] == 0.0).all()


def test_a_population_can_only_name_a_crvusd_market():
    wrong = BORROWERS.replace("bands", "eth-usd")
    with pytest.raises(ScenarioError, match="'eth-usd' is of kind constant_product, not a crvUSD"):
        load_scenario("quiet-market", [f"populations.owners={wrong}"])


def test_what_loans_hold_is_what_the_bands_hold():
    state = make_trial().world.states["llamma"]
    book = read_loans(state, 0)
    assert book.y.sum() == pytest.approx(state.y.sum())
    assert book.debt.sum() == pytest.approx(float(state.markets["scaled_debt"][0]))
