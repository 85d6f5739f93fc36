"""The world: names, accounts, orders from Python, determinism, and where the money went."""

import math

import numpy as np
import pytest

from experiments import build, load_scenario
from experiments.recording import Recorder
from sim.errors import InputError, InvariantError
from sim.kernel import shapes_of
from sim.outside import OUTSIDE, OUTSIDE_ACCOUNTS
from sim.registry import PopulationKind, Verb
from sim.units import ticks
from sim.world import World, empty_state
from tests.worlds import BENCH, HANDS, Log, bench, run, swap, world_of

MARKET = (
    "horizon=6h",
    "price_step_seconds=1",
    "reference_market={interval_seconds: 5}",
    "assets.ETH.terms={spread_bps: 2, taker_fee_bps: 3}",
    "assets.ETH.impact={daily_volume_usd: 1e8, volatility: 0.05}",
    "chains.mainnet.fee_market={base_fee_gwei: 5, floor_gwei: 1}",
    (
        "populations.arbitrageur={kind: arbitrageurs, chain: mainnet, count: 3, inventory_usd: 1e5,"
        " latency_spread_seconds: 3, tip_share: 0.3, deposit_delay_seconds: 4, "
        "outside_cost_spread_bps: 5}"
    ),
)
NOISE = (
    "populations.{}={{kind: noise_traders, chain: mainnet, count: {}, swaps_per_day: {}, "
    "median_usd: 2e4}}"
)


def market(*overrides, seed=1):
    return world_of(*MARKET, NOISE.format("noise", 100, 100), *overrides, seed=seed)


def arrivals(fills, world, population):
    """(row, arrival) of the orders of a population, sorted."""
    mine = fills[fills["group"] == world.group(population)]
    return sorted(zip(mine["row"].tolist(), mine["arrival"].tolist(), strict=True))


# --- money ---------------------------------------------------------------------------------------


def test_gains_and_losses_over_all_accounts_add_up_to_nothing():
    world = market()
    start = world.holdings()
    log = run(world, 21_600.0)
    assert len(log.fills) > 1_000
    price = world.prices.fundamental
    gains = (world.holdings() - start) @ price
    turnover = float(world.ledger.turnover @ price)
    assert np.abs(gains).sum() > 1e3  # there is something to add up
    assert abs(gains.sum()) <= 1e-9 * turnover


def test_holdings_of_a_token_add_up_to_its_supply():
    world = market()
    world.advance(ticks(3_600.0))
    np.testing.assert_allclose(
        world.holdings().sum(axis=0), world.ledger.supply, rtol=1e-12, atol=1e-6
    )


def test_accounts_add_up_to_their_groups():
    world = market()
    world.advance(ticks(3_600.0))
    accounts = np.array([table.sum(axis=0) for table in world.account_holdings()])
    np.testing.assert_allclose(accounts, world.holdings(), rtol=1e-9, atol=1e-6)


def test_a_whole_run_keeps_every_invariant():
    world = market()
    for hour in range(1, 7):
        world.advance(ticks(3_600.0 * hour))
        world.check()


def test_a_check_finds_a_stray_token():
    world = market()
    world.ledger.balance[5] += 1.0
    with pytest.raises(InvariantError, match="balances add up"):
        world.check()


def test_what_a_pool_holds_belongs_to_the_holders_of_its_shares():
    world = bench()
    held = world.holdings()
    pool, eth, usd = (
        world.group("constant_product"),
        *(world.token("mainnet", symbol) for symbol in ("ETH", "USD")),
    )
    assert held[pool, [eth, usd]].tolist() == [0.0, 0.0]
    assert held[OUTSIDE, [eth, usd]].tolist() == [2_500.0, 5e6]  # genesis holds all shares


# --- determinism ---------------------------------------------------------------------------------


def content_hash(seed=1):
    scenario = load_scenario(
        "quiet-market", [*MARKET, NOISE.format("noise", 100, 100), "horizon=1h"]
    )
    model = build(scenario, seed)
    recorder = Recorder(model.world, scenario.records)
    model.run_until(scenario.horizon)
    recorder.finish()
    return recorder.content_hash()


def test_the_same_seed_gives_the_same_records():
    assert content_hash() == content_hash()


def test_another_seed_gives_other_records():
    assert content_hash(1) != content_hash(2)


def test_a_population_that_never_trades_moves_nothing():
    without, silent = market(), market(NOISE.format("silent", 50, 0))
    one, two = run(without, 7_200.0).fills, run(silent, 7_200.0).fills
    for name in ("time", "row", "arrival", "amount_in", "amount_out", "gas_paid", "status"):
        assert (one[name] == two[name]).all(), name


def test_more_traders_move_nobodys_arrivals():
    few, many = market(), world_of(*MARKET, NOISE.format("noise", 300, 100))
    one, two = (arrivals(run(w, 7_200.0).fills, w, "noise") for w in (few, many))
    assert [arrival for arrival in two if arrival[0] < 100] == one


def test_switching_a_population_off_moves_nobodys_arrivals():
    both = market(NOISE.format("second", 50, 100))
    alone = market(NOISE.format("second", 50, 100))
    alone.switch("second", False)
    one, two = run(both, 7_200.0).fills, run(alone, 7_200.0).fills
    assert arrivals(one, both, "noise") == arrivals(two, alone, "noise")
    assert arrivals(one, both, "second")
    assert arrivals(two, alone, "second") == []


def test_knocking_out_the_arbitrageur_moves_no_arrival():
    with_them, without = market(), market()
    without.switch("arbitrageur", False)
    one, two = run(with_them, 7_200.0).fills, run(without, 7_200.0).fills
    assert arrivals(one, with_them, "noise") == arrivals(two, without, "noise")


def test_gas_does_not_move_the_fundamental_price():
    dear = market("chains.mainnet.fee_market={base_fee_gwei: 500, floor_gwei: 500}")
    assert (dear.prices.path == market().prices.path).all()


# --- names and orders from Python ----------------------------------------------------------------


def test_a_world_knows_its_parts_by_name():
    world = market()
    assert (world.chain("mainnet"), world.chain("exchange")) == (0, 1)
    assert (world.venue("eth-usd"), world.venue("exchange")) == (0, 1)
    assert world.token_names == ["mainnet/ETH", "mainnet/USD", "mainnet/LP-eth-usd"]
    assert world.asset("USD") == 1
    assert world.group_names[OUTSIDE] == "outside"
    assert world.group_rows[OUTSIDE] == len(OUTSIDE_ACCOUNTS)
    assert world.verb_names[:3] == [f"constant_product.{v}" for v in ("swap", "add", "remove")]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda world: world.chain("l2"), "no chain 'l2'; there are: mainnet"),
        (lambda world: world.venue("x"), "no venue 'x'; there are: eth-usd"),
        (lambda world: world.token("mainnet", "DAI"), "chain 'mainnet' has no token 'DAI'"),
        (lambda world: world.asset("BTC"), "no asset 'BTC'; there are: ETH, USD"),
        (lambda world: world.group("x"), "no population or mechanism 'x'"),
        (lambda world: world.switch("x", False), "no population 'x' acts here"),
        (lambda world: world.submit("eth-usd", "sell", HANDS, 0), "no verb of .* 'sell'"),
        (lambda world: world.submit("eth-usd", "swap", HANDS, 64), "rows run from 0 to 63"),
        (lambda world: world.submit("eth-usd", "swap", HANDS, -1), "has no row -1"),
        (lambda world: world.submit("eth-usd", "swap", HANDS, 0, a=2), "the side of a swap is 2"),
        (
            lambda world: world.submit("eth-usd", "swap", HANDS, 0, tip=2),
            "an order has no 'tip'; it has amount, amount1, ",
        ),
        (lambda world: world.endow(1, 0, 0, -1.0), "cannot be given -1.0"),
    ],
    ids=[
        "chain",
        "venue",
        "token",
        "asset",
        "group",
        "switch",
        "verb",
        "row",
        "sign",
        "side",
        "term",
        "endow",
    ],
)
def test_a_name_or_number_that_does_not_exist_is_refused(ask, said):
    with pytest.raises(InputError, match=said):
        ask(bench())


def test_an_order_from_python_says_what_it_was_told():
    world = bench("chains.mainnet.fee_market.base_fee_gwei=10")
    number = swap(
        world, 3, 50.0, tip_gwei=2.0, max_fee_gwei=40.0, limit=0.02, expires_in=90.0, parent=99
    )
    order = world.box.orders[world.box.heap[0, 0]]
    assert order["id"] == number == 1
    assert (order["row"], order["amount"], order["limit"], order["parent"]) == (3, 50.0, 0.02, 99)
    assert (order["tip"], order["max_fee"]) == (pytest.approx(2e-9), pytest.approx(40e-9))
    assert (order["arrival"], order["expires"]) == (0, ticks(90.0))


def test_a_switched_off_population_can_be_switched_on_again():
    world = market()
    world.switch("noise", False)
    log = Log(world)
    world.advance(ticks(1_800.0))
    world.switch("noise", True)
    world.advance(ticks(3_600.0))
    mine = log.fills[log.fills["group"] == world.group("noise")]
    assert mine["time"].min() >= ticks(1_800.0)


def test_a_python_reaction_does_not_switch_others_on():
    world = market()
    world.switch("noise", False)
    world.add_python_reaction(0, lambda: None)
    fills = run(world, 1_800.0).fills
    assert world.group("noise") not in fills["group"]


# --- accounts ------------------------------------------------------------------------------------


def test_endowments_are_balances_and_supply():
    world = bench()
    usd, supply = world.token("mainnet", "USD"), world.ledger.supply.copy()
    world.endow(world.group(HANDS), 2, usd, 5.0)
    world.endow_column(world.group(HANDS), usd, 1.0)
    assert world.balances(HANDS, usd)[2] == 20_006.0
    assert world.ledger.supply[usd] == supply[usd] + 5.0 + 64.0
    world.check()


def test_holders_are_those_who_hold():
    world = bench()
    share = world.token("mainnet", "LP-eth-usd")
    ((group, rows, amounts),) = world.holders(share)
    assert (group, OUTSIDE_ACCOUNTS[rows[0]]) == (OUTSIDE, "genesis")
    assert amounts.tolist() == [pytest.approx(np.sqrt(2_500.0 * 5e6))]


def test_a_population_shows_its_columns():
    world = bench()
    columns = world.columns_of(world.population_sites[0])
    assert {"ETH", "USD", "LP-eth-usd"} <= set(columns)
    assert columns["USD"].tolist() == [20_000.0] * 64
    world.endow(world.group(HANDS), 0, world.token("mainnet", "USD"), 1.0)
    assert columns["USD"][0] == 20_001.0  # a view, not a copy


def test_the_model_of_a_scenario_carries_its_world():
    model = build(load_scenario("quiet-market", BENCH), seed=3)
    assert isinstance(model.world, World)
    model.run_until(60.0)
    assert (model.world.time, model.world.seed) == (60.0, 3)


# --- the registry --------------------------------------------------------------------------------


def test_every_registered_kind_declares_itself():
    from experiments.kinds import mechanisms, populations

    for mechanism in mechanisms().values():
        assert mechanism.verbs
        assert all(isinstance(verb, Verb) and verb.gas > 0 for verb in mechanism.verbs)
        assert all(shapes_of(state) for state in mechanism.states)
        assert mechanism.config.model_fields["kind"].annotation is not None
    for population in populations().values():
        assert isinstance(population, PopulationKind)
        assert all(shapes_of(state) for state in population.states)


def test_a_taken_name_is_refused():
    from experiments.kinds import mechanisms, register

    with pytest.raises(InputError, match="'constant_product' exists already"):
        register(mechanisms()["constant_product"])


def test_an_empty_state_has_every_column_and_no_row():
    state = world_of(*BENCH).states["constant_product"]
    empty = empty_state(type(state))
    assert empty._fields == state._fields
    assert all(column.size == 0 for column in empty)


# --- what Python may not do -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"row": 0.5}, "row is 0.5; it must be a whole number"),
        ({"row": True}, "row is True; it must be a whole number"),
        ({"b": 0.5}, "b is 0.5; it must be a whole number"),
        ({"amount": math.nan}, "amount is nan; it must be at least 0"),
        ({"amount": -1.0}, "amount is -1; it must be at least 0"),
        ({"limit": -1.0}, "limit is -1; it must be at least 0"),
        ({"tip_gwei": math.inf}, "tip_gwei is inf; it must be at least 0 and finite"),
        ({"expires_in": math.nan}, "expires_in is nan; it must be at least 0 and finite"),
    ],
)
def test_an_order_with_a_number_that_means_nothing_is_refused_at_once(terms, said):
    world = bench()
    row = terms.pop("row", 0)
    with pytest.raises(InputError, match=said):
        world.submit("eth-usd", "swap", HANDS, row, **terms)
    assert world.box.counter[7] == 0  # no order was numbered


def test_all_may_be_asked_for_as_an_infinite_amount():
    assert bench().submit("eth-usd", "remove", HANDS, np.int64(3), amount=math.inf) == 1


def test_a_balance_is_shown_but_not_set():
    model = build(load_scenario("quiet-market", ["horizon=1h"]))
    people = model.populations["arbitrageur"]
    before = people.get("USD").copy()
    with pytest.raises(InputError, match="'USD' of 'arbitrageur' is a balance of the ledger"):
        people.set("USD", 1e9)
    with pytest.raises(InputError, match="is a balance of the ledger"):
        people[0].USD = 1e9
    with pytest.raises(ValueError, match="read-only"):
        people.get("USD")[0] = 1e9
    people.set("tip_share", 0.5)  # what it decides by may be changed
    model.world.endow(model.world.group("arbitrageur"), 0, 1, 5.0)
    assert people.get("USD")[0] == before[0] + 5.0  # and the balance shown is the live one
