"""CDP markets in a world: money on the ledger, the start, and the records."""

import re

import numpy as np
import pytest

from experiments import load_scenario, run
from sim.cdp.building import enter, open_vaults
from sim.cdp.state import CdpState
from sim.errors import InputError, InvariantError, ScenarioError
from sim.trial import ACTORS, Request, Trial, actors, small_plan
from sim.units import ticks
from sim.world import World
from tests.examples import ENGLISH, VAULTS, config_of, feeds, venue

RULES = {**VAULTS, "stability_fee": 0.0}
POOL = {"tokens": ["ETH", "DAI"], "value_usd": 1e4}
(DEPOSIT, WITHDRAW, DRAW, REPAY, LIQUIDATE, BITE, TEND, DENT, DEAL, TAKE, REDO) = range(11)


def prepare(world, site):
    """Actor 1 owes 2,200 against 1 ETH at 2,000 USD: unsafe, and beyond its worth."""
    vaults = open_vaults(world, world.venue("vaults"), site.group, np.arange(site.rows))
    enter(world, vaults, np.array([5.0, 1.0, 2.0, 9.0]), np.array([0.0, 2_200.0, 0.0, 9_000.0]))


def trial(*more, **rules):
    """A CDP market whose debt token is worth a dollar, and four vaults."""
    config = config_of("cdp", **{**RULES, "debt_asset": "USD", **rules})
    return Trial(small_plan((*feeds(), venue("vaults", config), *more), (actors(prepare),)))


def send(hands, verb, row, a, amount=0.0):
    return hands.send(Request(hands.world.venue("vaults"), verb, row, amount=amount, a=a))


def dai(world, row):
    return world.balance(world.group(ACTORS), row, world.token("home", "DAI"))


# --- the start -----------------------------------------------------------------------------------


def test_what_was_drawn_is_the_supply():
    world = trial().world
    assert world.ledger.supply[world.token("home", "DAI")] == 11_200.0
    assert world.states["cdp"][0].markets["elsewhere"][0] == 0.0


def test_what_pools_hold_comes_out_of_what_was_drawn():
    world = trial(venue("pool", config_of("constant_product", **POOL))).world
    token = world.token("home", "DAI")
    assert world.ledger.supply[token] == pytest.approx(11_200.0)
    assert world.balances("constant_product", token)[0] == pytest.approx(5_000.0)


def test_what_exceeds_it_was_issued_elsewhere():
    deep = config_of("constant_product", **{**POOL, "value_usd": 1e5})
    world = trial(venue("pool", deep)).world
    assert world.states["cdp"][0].markets["elsewhere"][0] == pytest.approx(50_000.0 - 11_200.0)


def test_a_surplus_at_the_start_was_paid_as_fees():
    world = trial(surplus_at_start=200.0).world
    assert world.ledger.supply[world.token("home", "DAI")] == pytest.approx(11_000.0)
    world.check()
    with pytest.raises(InputError, match="surplus_at_start: 20000 debt tokens exceed the debts"):
        trial(surplus_at_start=20_000.0)


def test_the_debt_token_has_a_price_and_a_place_on_the_reference_market():
    for is_listed in (True, False):
        world = trial(is_listed=is_listed).world
        token = world.token("home", "DAI")
        assert world.prices.reference[token] == 1.0
        assert world.prices.is_listed[token] == is_listed


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"debt_asset": "EUR"}, "venues.vaults.debt_asset: no asset 'EUR'"),
        ({"debt_asset": None, "debt": "USD"}, "no CDP market issues 'USD'"),
        ({"feed": "nowhere"}, "venues.vaults.feed: no oracle 'nowhere'"),
        ({"feed": "vaults"}, "venues.vaults.feed: 'vaults' is not an oracle"),
    ],
    ids=["asset", "issuer", "feed", "no oracle"],
)
def test_what_the_market_needs_and_lacks_is_named(rules, message):
    with pytest.raises(InputError, match=re.escape(message)):
        trial(**rules)


# --- orders --------------------------------------------------------------------------------------


def test_drawing_mints_and_repaying_burns():
    hands = trial()
    world, token = hands.world, hands.world.token("home", "DAI")
    assert send(hands, DRAW, 2, 2, 1_000.0).status.name == "OK"
    assert world.ledger.supply[token] == 12_200.0
    assert dai(world, 2) == 1_000.0
    send(hands, REPAY, 2, 2, 400.0)
    assert world.ledger.supply[token] == pytest.approx(11_800.0)
    assert dai(world, 2) == 600.0
    assert send(hands, DRAW, 1, 2, 1.0).status.name == "NO_POSITION"  # not its vault


def test_bids_are_held_and_given_back_when_they_are_beaten():
    hands = trial(liquidation=ENGLISH)
    world = hands.world
    send(hands, DRAW, 2, 2, 1_000.0)
    send(hands, DRAW, 3, 3, 2_000.0)
    assert send(hands, BITE, 0, 1).status.name == "OK"
    send(hands, TEND, 2, 0, 600.0)
    assert (dai(world, 2), dai(world, 3)) == (400.0, 2_000.0)
    send(hands, TEND, 3, 0, 900.0)
    assert (dai(world, 2), dai(world, 3)) == (1_000.0, 1_100.0)
    send(hands, TEND, 3, 0, 1_000.0)  # it pays the difference to its own bid
    assert dai(world, 3) == 1_000.0
    world.advance(world.now + ticks(90.0))
    before = hands.balances(3)[0]
    send(hands, DEAL, 0, 0)  # anybody may settle
    assert hands.balances(3)[0] == before + 1.0
    market = world.states["cdp"][0].markets[0]
    assert market["unbacked"] == pytest.approx(1_200.0)
    assert world.ledger.supply[world.token("home", "DAI")] == pytest.approx(14_200.0 - 1_000.0)
    world.check()


def test_a_backstop_pays_from_the_insurer_outside():
    hands = trial(liquidation=ENGLISH, backstop=500.0, surplus_at_start=100.0)
    world, token = hands.world, hands.world.token("home", "DAI")
    send(hands, BITE, 0, 1)
    send(hands, TEND, 0, 0, 0.0)
    world.advance(world.now + ticks(90.0))
    send(hands, DEAL, 0, 0)
    market = world.states["cdp"][0].markets[0]
    bearers = [float(market[name]) for name in ("from_surplus", "from_backstop", "unbacked")]
    assert bearers == pytest.approx([100.0, 500.0, 1_600.0])
    assert world.balances("outside", token)[4] == -500.0
    world.check()


def test_holdings_of_the_debt_token_and_the_debt_for_it_add_up_to_nothing():
    hands = trial(liquidation=ENGLISH)
    send(hands, DRAW, 2, 2, 1_000.0)
    send(hands, BITE, 0, 1)
    send(hands, TEND, 2, 0, 600.0)
    token = hands.world.token("home", "DAI")
    assert hands.world.holdings()[:, token].sum() == pytest.approx(0.0, abs=1e-9)


def test_books_that_do_not_balance_are_caught():
    world = trial().world
    world.shared[CdpState].markets["unbacked"][0] += 1.0
    with pytest.raises(InvariantError, match=r"vaults: issued, and debts \+ unbacked - surplus"):
        world.check()


def test_two_markets_may_share_a_debt_token():
    issuer = venue("vaults", config_of("cdp", **RULES, debt_asset="USD"))
    other = venue("more", config_of("cdp", **RULES, debt_ceiling=50.0))
    world = World(small_plan((*feeds(), issuer, other), (actors(prepare),)))
    tokens = world.states["cdp"][0].markets["debt_token"]
    assert tokens[0] == tokens[1]
    world.check()


# --- a delayed oracle, and the records -----------------------------------------------------------

CRASH = """{
  kind: waypoints, waypoints: [[0, 2000], [1, 2000], [1.1, 1400], [6, 1400]],
  volatility: [{until_hours: 6, volatility: 1e-4}]}"""
OWNERS = """{
  kind: vault_owners, chain: mainnet, cdp: vaults, count: 20, debt_usd: 1e6, debt_log_sd: 1,
  awake_share: 0, health_quantiles: [[0.1, 1.1], [0.5, 1.4], [1, 3]]}"""
BIDDERS = """{
  kind: keepers, chain: mainnet, cdp: vaults, count: 4, inventory_usd: 2e6,
  exit: {pool: 0, reference: 1, hold: 0}}"""
FEED = """{
  kind: oracle, chain: mainnet, token: ETH,
  source: {kind: reported, heartbeat_seconds: 600, delay_seconds: %d}}"""
MARKET = """{
  kind: cdp, chain: mainnet, collateral: ETH, debt: DAI, debt_asset: USD, feed: eth-feed,
  liquidation: %s}"""
DAI_POOL = "{kind: constant_product, chain: mainnet, tokens: [ETH, DAI], value_usd: 4e5}"
ORACLES = "{kind: oracle_keepers, chain: mainnet}"


def scenario(mode, delay=0):
    """Ether falls by 30 % in six minutes, one hour from the start."""
    given = [
        f"assets.ETH.price={CRASH}",
        "price_step_seconds=12",
        "chains.mainnet.blocks={kind: fixed, interval_seconds: 12}",
        "reference_market={}",
        "venues.eth-feed=" + FEED % delay,
        "venues.vaults=" + MARKET % mode,
        f"venues.eth-dai={DAI_POOL}",
        f"populations={{owners: {OWNERS}, bidders: {BIDDERS}, oracles: {ORACLES}}}",
        "records.sample_seconds=5m",
    ]
    return load_scenario("quiet-market", given, until=6 * 3_600)


@pytest.mark.parametrize(
    ("mode", "verb"),
    [
        ("{kind: fixed_spread}", "cdp.liquidate"),
        ("{kind: english}", "cdp.deal"),
        ("{kind: dutch}", "cdp.take"),
    ],
)
def test_every_way_to_liquidate_is_recorded_as_liquidations(mode, verb):
    result = run(scenario(mode), seed=3)
    tables = result.tables
    done, fills = tables["liquidations"], tables["fills"]
    mine = fills[(fills["kind"] == verb) & (fills["status"] == "OK")]
    assert len(done) == len(mine) > 0
    assert set(done["fill_id"]) == set(mine["fill_id"])
    assert (done["borrower_population"] == "owners").all()
    assert (done["liquidator_population"] == "bidders").all()
    assert (done["debt_token"] == "mainnet/DAI").all()
    assert (done["health_factor"] < 1.0).all()
    weights = tables["causes"].groupby("fill_id")["weight"].sum()
    assert weights.loc[done["fill_id"]].to_numpy() == pytest.approx(1.0)
    last = tables["deficits"].iloc[-1]
    losses = last["written_off"] + last["incentives"]
    parts = last[["from_surplus", "from_backstop", "healed", "unbacked"]].sum()
    assert losses == pytest.approx(parts, rel=1e-9, abs=1e-9)
    assert done["debt_repaid"].sum() > 0.0
    assert done["collateral_seized"].sum() > 0.0
    assert (tables["positions"]["venue"] == "vaults").all()
    assert set(tables["lending"]["token"]) == {"mainnet/ETH", "mainnet/DAI"}


def test_a_delayed_oracle_delays_auctions_by_its_delay():
    first = []
    for delay in (0, 3_600):
        fills = run(scenario("{kind: english}", delay), seed=3).tables["fills"]
        first.append(fills[(fills["kind"] == "cdp.bite") & (fills["status"] == "OK")]["time"].min())
    assert first[1] - first[0] == pytest.approx(3_600.0, abs=24.0)  # two blocks


def test_a_population_can_only_name_a_cdp_market():
    bidders = BIDDERS.replace("vaults", "eth-usd")
    with pytest.raises(ScenarioError, match="'eth-usd' is of kind constant_product, not a CDP"):
        load_scenario("quiet-market", [f"populations.bidders={bidders}"])
