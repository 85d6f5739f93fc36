"""Channels: each cut changes one variable and no random number; what it does, by hand."""

import math

import numpy as np
import pytest

from agents.liquidity_plans import LEAVER
from experiments.composition import build, plan_of
from experiments.scenario import load_scenario
from sim.bridges.escrow import LockAndMintState
from sim.channels import ROLES, absorbed_by_channel, channels_of
from sim.errors import InputError
from sim.feeds import INSTANT, Feeds
from sim.lending.building import reserve_of
from sim.lending.reading import value_book
from sim.lending.state import LendingState
from sim.oracles.oracle import SetOracle
from sim.outside import INSURER, OUTSIDE
from sim.snapshots import ADDRESSES
from sim.status import Status
from sim.tranches.state import STOPPED, WINDING
from sim.units import ticks
from sim.world import World
from tests.sim.lending.test_file_book import MARKET, ORACLES
from tests.sim.test_exchange import IMPACT, trade
from tests.sim.test_exchange import MARKET as EXCHANGE
from tests.sim.tranches.test_world import scenario as vault_scenario
from tests.worlds import BENCH, planned, run, swap

HOUR = 3_600.0
_ADDRESSES = {f"venues.{name}" for name in ADDRESSES}  # of compiled code and its arguments


def arrays_of(world):
    """Return every array of a world by name, records field by field."""
    owners = {"ledger": world.ledger, "prices": world.prices, "venues": world.venues}
    for name, own in world.states.items():
        for state in own if type(own) is tuple else (own,):
            owners[f"{name}.{type(state).__name__}"] = state
    found = {f"chains.{name}": world.box.chains[name] for name in world.box.chains.dtype.names}
    for owner, state in owners.items():
        for name, column in zip(getattr(state, "_fields", ()), state, strict=False):
            for field in column.dtype.names or ("",):
                found[f"{owner}.{name}.{field}".rstrip(".")] = column[field] if field else column
    return {name: found[name] for name in found if name not in _ADDRESSES}


def changed_by(whole, cut):
    """Return the names of the arrays that differ between two worlds at time 0."""
    before, after = arrays_of(whole), arrays_of(cut)
    return {
        name
        for name in before
        if before[name].shape != after[name].shape
        or before[name].tobytes() != after[name].tobytes()
    }


@pytest.fixture(scope="module")
def exploit():
    return load_scenario("bridge-exploit")


def worlds_of(scenario, *cut):
    return World(plan_of(scenario, 1)), World(plan_of(scenario, 1, without=cut))


# --- one variable each ---------------------------------------------------------------------------


def test_without_lag_only_the_kind_of_the_feeds_changes(exploit):
    assert changed_by(*worlds_of(exploit, "oracle_lag")) == {"oracle.Feeds.kind"}


def test_without_flight_only_what_frightens_leavers_changes(exploit):
    found = changed_by(*worlds_of(exploit, "lp_flight"))
    assert found == {"rseth-lps.PoolHistory.terms", "wrseth-lps.PoolHistory.terms"}


def test_without_bridge_risk_only_the_bridges_are_insured(exploit):
    found = changed_by(*worlds_of(exploit, "bridge"))
    assert found == {"lock_and_mint.LockAndMintState.is_insured"}


def test_without_scarce_block_space_only_limits_and_the_fee_rule_change(exploit):
    whole, cut = worlds_of(exploit, "gas")
    assert changed_by(whole, cut) == {"chains.gas_limit", "chains.close", "chains.is_held"}
    assert cut.box.chains["is_held"].tolist() == [1, 1, 0]  # auctions have no gas


def test_without_a_run_only_an_outside_lender_is_added(exploit):
    whole, cut = worlds_of(exploit, "lender_run")
    found = changed_by(whole, cut)
    tables = {"positions", "collateral_reserve", "collateral_scaled", "is_used"}
    tables |= {"debt_reserve", "debt_scaled"}
    rows = {name for name in found if tables & set(name.split("."))}
    assert found - rows == {
        "lending.LendingState.reserves.lender", "lending.LendingDesk.unsafe_since"
    }  # fmt: skip
    before, after = (world.shared[LendingState] for world in (whole, cut))
    n = len(before.positions)
    assert (after.positions[:n] == before.positions).all()
    assert (after.collateral_scaled[n:] == 0.0).all()
    assert (after.positions["population"][n:] == 0).all()


def test_without_impact_only_the_coefficients_move_from_prices_to_the_count():
    given = (*BENCH, EXCHANGE, IMPACT)
    found = changed_by(planned(1, *given), planned(1, *given, without=("impact",)))
    assert {name for name in found if not name.startswith("reference_market")} == {
        "prices.permanent_per_usd", "prices.transient_per_usd", "prices.plain"
    }  # fmt: skip


def test_without_redemptions_only_the_vaults_are_insured():
    found = changed_by(*worlds_of(vault_scenario("oracle"), "redemption"))
    assert found == {"tranches.TrancheState.vaults.is_insured"}


@pytest.mark.parametrize("cut", ["bridge", "gas", "lender_run", "lp_flight", "oracle_lag"])
def test_a_cut_moves_no_random_number(exploit, cut):
    """Prices, block times and everybody's sizes, delays and waking times are the same bits."""
    whole, without = worlds_of(exploit, cut)
    assert whole.prices.path.tobytes() == without.prices.path.tobytes()
    for name in ("traders", "bridge-users", "eth-suppliers", "loopers", "rseth-lps"):
        mine = [world.states[name] for world in (whole, without)]
        mine = [own if type(own) is tuple else (own,) for own in mine]
        for before, after in zip(*mine, strict=True):
            for column, other in zip(before, after, strict=True):
                if "PoolHistory" not in type(before).__name__:
                    assert column.tobytes() == other.tobytes()


def test_random_block_times_are_those_of_the_whole_world():
    world = planned(3, "chains.mainnet.blocks={kind: exponential, interval_seconds: 12}")
    cut = planned(
        3, "chains.mainnet.blocks={kind: exponential, interval_seconds: 12}", without=("gas",)
    )
    assert (run(world, HOUR).blocks["time"] == run(cut, HOUR).blocks["time"]).all()


def test_a_world_names_its_channels_and_refuses_to_cut_others(exploit):
    world = World(plan_of(exploit, 1))
    assert channels_of(world) == ("bridge", "gas", "lender_run", "lp_flight", "oracle_lag")
    with pytest.raises(InputError, match="no channel 'impact' to cut; it has: bridge, gas"):
        build(exploit, 1, without={"impact"})


def test_every_role_is_one_that_losses_are_counted_by():
    from experiments.kinds import mechanisms, populations

    roles = {kind.role for kind in [*mechanisms().values(), *populations().values()]}
    assert roles <= set(ROLES)


# --- impact --------------------------------------------------------------------------------------


def test_without_impact_a_sale_gets_the_undisturbed_price_and_the_gap_is_counted():
    """5 ETH are 10,000 USD; own impact 7.3 x 5e-9 a dollar: half of it would be lost."""
    world = planned(1, EXCHANGE, IMPACT, without=("impact",))
    fill = trade(world, "ETH", "USD", 5.0)
    assert fill["amount_out"] == 10_000.0
    assert world.prices.reference[world.token("mainnet", "ETH")] == 2_000.0
    own = 7.3 * 0.05 / 1e7 * 10_000.0
    lost = 10_000.0 * (1.0 - math.exp(-own / 2.0))
    assert absorbed_by_channel(world) == {"impact": pytest.approx(lost, rel=1e-9)}


def test_a_second_sale_would_have_met_the_price_that_the_first_one_left():
    """Half of the impact of the one, all of that of the other but a second's decay of the rest."""
    world = planned(1, EXCHANGE, IMPACT, without=("impact",))
    trade(world, "ETH", "USD", 5.0)
    trade(world, "ETH", "USD", 5.0, row=1)
    own = 7.3 * 0.05 / 1e7 * 10_000.0
    lost = 10_000.0 * (2.0 - math.exp(-own / 2.0) - math.exp(-1.5 * own))
    assert absorbed_by_channel(world)["impact"] == pytest.approx(lost, rel=2e-3)


# --- oracle lag ----------------------------------------------------------------------------------

FALL = (
    "assets.ETH.price={kind: waypoints, waypoints: [[0, 2000], [1, 1990], [24, 1990]], "
    "volatility: [{until_hours: 24, volatility: 0}]}"
)
KEEPERS = "populations.keepers={kind: oracle_keepers, chain: mainnet}"
FEED = "venues.eth-feed={kind: oracle, chain: mainnet, token: ETH}"


def feed_value(world):
    from sim.oracles.oracle import sample

    return float(sample(world, world.shared[Feeds])["oracles"]["reported"][0])


def test_without_lag_a_feed_reads_the_reference_and_nobody_reports():
    """Half an hour on ether is half way to 1,990 in its logarithm: within the deviation of 1 %."""
    given = (FALL, FEED, KEEPERS)
    late, now = planned(1, *given), planned(1, *given, without=("oracle_lag",))
    assert len(run(late, 1_800.0).fills) == 0
    assert len(run(now, 1_800.0).fills) == 0
    assert feed_value(late) == 2_000.0
    assert feed_value(now) == now.prices.reference[now.token("mainnet", "ETH")]
    assert feed_value(now) == pytest.approx(math.sqrt(2_000.0 * 1_990.0), rel=1e-6)
    assert now.shared[Feeds].kind[0] == INSTANT
    late.advance(ticks(1.5 * HOUR))
    now.advance(ticks(1.5 * HOUR))
    assert late.states["keepers"].n_reports[0] == 1  # the heartbeat
    assert now.states["keepers"].n_reports[0] == 0


def test_without_lag_a_false_price_lasts_to_the_next_reading():
    world = planned(1, FALL, FEED, KEEPERS, without=("oracle_lag",))
    world.advance(ticks(600.0))
    shock = SetOracle(kind="set_oracle", venue="eth-feed", price_usd=1.0)
    kinds = {k.kind: k for v in world.plan.venues for k in v.mechanism.shocks}
    kinds["set_oracle"].apply(world, shock)
    assert feed_value(world) == 1.0
    world.advance(ticks(612.0))
    assert feed_value(world) > 1_990.0


# --- flight of liquidity -------------------------------------------------------------------------


HALVING = (
    "assets.ETH.price={kind: waypoints, waypoints: [[0, 2000], [2, 2000], [2.5, 1000], "
    "[97, 1000]], volatility: [{until_hours: 97, volatility: 0}]}"
)
PEOPLE = (
    "populations={lps: {kind: liquidity_providers, chain: mainnet, pool: eth-usd, count: 40, "
    "value_usd: 1e7, leaver_share: 0.5, delay_hours: 1}, arbs: {kind: arbitrageurs, chain: "
    "mainnet, count: 1, inventory_usd: 1e9}}"
)


def test_without_flight_leavers_stay_when_the_price_halves():
    given = (
        "horizon=4d",
        "price_step_seconds=12",
        "chains.mainnet.blocks={kind: fixed, interval_seconds: 12}",
        HALVING,
        PEOPLE,
    )
    moves = {}
    for cut in ((), ("lp_flight",)):
        scenario = load_scenario("quiet-market", given)
        world = World(plan_of(scenario, 1, without=cut))
        world.advance(ticks(24 * HOUR))
        own = world.states["lps"][0]
        moves[cut] = int(own.n_moves[own.style == LEAVER].sum())
    assert moves[()] > 0
    assert moves["lp_flight",] == 0


# --- the run of lenders --------------------------------------------------------------------------

BOOK = ("ann,ETH,10,0,2000", "ann,USD,0,12000,1", "bob,USD,15000,0,1")
HEAD = "account,asset,collateral,debt,price_usd"


def market_world(folder, *cut, rows=BOOK, dollars="", slots=""):
    (folder / "book.csv").write_text("\n".join([HEAD, *rows]))
    people = (
        "populations.people={kind: borrowers, chain: mainnet, market: market, collateral: ETH, "
        f"debt: USD, positions: {{file: {folder / 'book.csv'}}}, awake_share: 0}}"
    )
    return planned(1, *ORACLES, MARKET % ("", dollars, slots), people, without=cut)


def withdraw(world, row, amount):
    dollars = reserve_of(world, world.venue("market"), "USD")
    world.submit("market", "withdraw", "people", row, amount=amount, a=row, b=dollars)
    return run(world, world.time + 12.0).fills[-1]


def test_an_outside_lender_meets_a_withdrawal_beyond_the_cash(tmp_path):
    """3,000 of 15,000 USD are not lent; bob takes 10,000, whose claim the lender has then."""
    assert withdraw(market_world(tmp_path), 1, 10_000.0)["status"] == Status.NO_CASH
    world = market_world(tmp_path, "lender_run")
    fill = withdraw(world, 1, 10_000.0)
    assert (fill["status"], fill["amount_out"]) == (Status.OK, 10_000.0)
    state = world.shared[LendingState]
    asset = state.reserves[1]
    assert asset["cash"] == 3_000.0
    assert state.collateral_scaled[asset["lender"], 0] == pytest.approx(10_000.0)
    assert world.balances("people", world.token("mainnet", "USD"))[1] == 10_000.0
    assert absorbed_by_channel(world) == {"lender_run": 10_000.0}
    world.check()


def test_its_rate_stands_still_from_the_first_withdrawal_that_it_meets(tmp_path):
    """At 80 % of a kink of 90 % the slope of 9 % posts 8 %; the plain rate falls with a deposit."""
    given = ", slope2: 0, kink: 0.9"
    world = market_world(tmp_path, "lender_run", dollars=given)
    world.shared[LendingState].reserves["slope1"][1] = 0.09
    withdraw(world, 1, 100.0)
    asset = world.shared[LendingState].reserves[1]
    assert asset["held_rate"] == pytest.approx(0.08, rel=1e-6)


def test_where_nobody_withdraws_the_world_is_the_same_to_the_last_bit(tmp_path):
    ends = []
    for cut in ((), ("lender_run",)):
        world = market_world(tmp_path, *cut, dollars=", slope2: 0.1")
        world.shared[LendingState].reserves["slope1"][1] = 0.09
        run(world, 6 * HOUR)
        ends.append(world.ledger.balance.tobytes() + world.account_holdings()[-1].tobytes())
    assert ends[0] == ends[1]


# --- shared collateral ---------------------------------------------------------------------------

SHARED = (
    "ann,ETH,10,3000,2000", "ann,USD,6000,9000,1", "bob,USD,30000,0,1", "cid,ETH,5,0,2000",
    "cid,USD,0,4000,1",
)  # fmt: skip


def test_split_accounts_have_the_health_of_the_whole(tmp_path):
    """Ann pledges 10 ETH and 6,000 USD at 0.8 and owes ether and dollars; cid has one of each."""
    rows = ("ann,ETH,10,2,2000", "ann,USD,6000,9000,1", *SHARED[2:])
    whole = market_world(tmp_path, rows=rows)
    cut = market_world(tmp_path, "collateral", rows=rows)
    before, after = (world.shared[LendingState] for world in (whole, cut))
    assert len(after.positions) == len(before.positions) + 3
    books = [value_book(state, state.reserves["price"], 0) for state in (before, after)]
    parts = np.flatnonzero(after.positions["owner"] == 0)
    health = books[1].threshold[parts] / books[1].debt[parts]
    assert health == pytest.approx(np.full(4, books[0].threshold[0] / books[0].debt[0]), rel=1e-14)
    assert books[1].debt[parts].sum() == pytest.approx(13_000.0, rel=1e-14)
    assert books[1].collateral[parts].sum() == pytest.approx(26_000.0, rel=1e-14)
    assert ((after.collateral_reserve[parts] >= 0).sum(axis=1) == 1).all()
    assert ((after.debt_reserve[parts] >= 0).sum(axis=1) == 1).all()
    cut.check()


def test_accounts_of_one_pair_are_not_split(tmp_path):
    with pytest.raises(InputError, match="no channel 'collateral' to cut"):
        market_world(tmp_path, "collateral")


def test_values_of_all_accounts_are_those_of_the_whole_world(tmp_path):
    rows = ("ann,ETH,10,2,2000", "ann,USD,6000,9000,1", *SHARED[2:])
    whole, cut = market_world(tmp_path, rows=rows), market_world(tmp_path, "collateral", rows=rows)
    group = whole.group("people")
    before, after = whole.account_holdings()[group], cut.account_holdings()[group]
    assert after == pytest.approx(before, rel=1e-14)


# --- block space ---------------------------------------------------------------------------------

SMALL = "chains.mainnet.gas_limit=200000"


def test_without_scarce_block_space_all_orders_fit_and_the_fee_stands():
    """Eight swaps of one block; the limit is below two of them. What is beyond it is counted."""
    fee = "chains.mainnet.fee_market={kind: eip1559, base_fee_gwei: 5, floor_gwei: 1}"
    included, fees = {}, {}
    for cut in ((), ("gas",)):
        world = planned(1, SMALL, fee, without=cut)
        for row in range(8):
            swap(world, row=row, max_fee_gwei=100.0)
        log = run(world, 12.0)
        included[cut] = int((log.fills["status"] == Status.OK).sum())
        fees[cut] = float(world.box.chains["base_fee"][0])
        gas = float(log.fills["gas"].sum())
    assert included[()] == 1
    assert included["gas",] == 8
    assert fees["gas",] == pytest.approx(5e-9, rel=1e-15)
    assert fees[()] != fees["gas",]
    assert absorbed_by_channel(world)["gas"] == pytest.approx((gas - 200_000) * 5e-9 * 2_000.0)


# --- redemptions ---------------------------------------------------------------------------------


def redeem_all(*cut, until, stop=False):
    """Return a vault of a million whose investors ask for 720,000 USD of senior shares.

    The collateral of its debtor falls after a day, and it loses 13,327.5 USD.
    """
    world = World(plan_of(vault_scenario("oracle"), 1, without=cut))
    world.advance(ticks(600.0))
    if stop:
        world.states["tranches"].vaults["stage"] = STOPPED
    for row in range(4):
        world.submit("vault", "redeem", "seniors", row, a=0, amount=math.inf)
    world.advance(ticks(until))
    world.check()
    return world


def vault_of(world):
    state = world.states["tranches"]
    return state, state.vaults[0]


def test_redemptions_are_paid_from_outside_at_once_beyond_gate_and_cash():
    """720,000 of senior shares at 1 each; the gate lets out 160,000, the cash is 200,000."""
    world = redeem_all("redemption", until=1_200.0)
    state, vault = vault_of(world)
    usd, share = world.token("mainnet", "USD"), int(state.share[0, 0])
    assert world.balances("seniors", usd).sum() == pytest.approx(720_000.0, rel=1e-12)
    assert world.balances("seniors", share).sum() == 0.0
    assert world.balance(OUTSIDE, INSURER, share) == pytest.approx(720_000.0, rel=1e-12)
    assert vault["paid"] == 0.0
    assert absorbed_by_channel(world) == {"redemption": pytest.approx(720_000.0, rel=1e-12)}
    assert world.sample()["tranches"][0]["paid"] == pytest.approx([720_000.0] * 3, rel=1e-12)


def test_an_insured_vault_sells_nothing_and_its_tranches_bear_what_they_would():
    """As in a world where nobody redeems: 13,327.5 of the junior's 80,000."""
    world = redeem_all("redemption", until=36 * HOUR)
    state, _ = vault_of(world)
    manager = world.states["manager"]
    assert (manager.n_exits[0], manager.n_sales[0]) == (0, 0)
    assert state.nav[0, :3] == pytest.approx([8e5, 1.2e5, 8e4 - 13_327.5], rel=1e-9)
    whole = redeem_all(until=36 * HOUR)
    assert whole.states["manager"].n_exits[0] > 0
    assert whole.prices.path.tobytes() == world.prices.path.tobytes()


def test_an_insured_vault_that_winds_down_sells_nothing():
    world = World(plan_of(vault_scenario("oracle"), 1, without=("redemption",)))
    world.states["tranches"].vaults["stage"] = WINDING
    world.advance(ticks(2 * HOUR))
    assert world.states["manager"].n_exits[0] == 0


@pytest.mark.parametrize(("cut", "paid"), [((), 0.0), (("redemption",), 720_000.0)])
def test_a_stopped_vault_redeems_only_from_outside(cut, paid):
    world = redeem_all(*cut, until=1_200.0, stop=True)
    usd = world.token("mainnet", "USD")
    assert world.balances("seniors", usd).sum() == pytest.approx(paid, rel=1e-12)


# --- everything off ------------------------------------------------------------------------------


def test_a_world_without_channels_runs_and_keeps_its_books(exploit):
    """Half an hour of it: what is not conserved would show in the sum over all holdings."""
    scenario = load_scenario("bridge-exploit", until=1_800.0)
    world = World(plan_of(scenario, 1, without=channels_of(World(plan_of(scenario, 1)))))
    before = sum(
        float((held @ world.prices.fundamental).sum()) for held in world.account_holdings()
    )
    assert (world.shared[LockAndMintState].is_insured == 1).all()
    world.advance(ticks(1_800.0))
    world.check()
    path = world.prices.path[:, -1] / world.prices.path[:, 0]
    assert np.isfinite(path).all()
    assert math.isfinite(before)
