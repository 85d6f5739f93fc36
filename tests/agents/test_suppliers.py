"""Suppliers in small markets: sizes and speeds, what alarms them, how they leave and return."""

import numpy as np
import pytest
from pydantic import ValidationError

from agents.suppliers import (
    ASLEEP,
    FAST,
    KIND,
    MEDIUM,
    NEVER,
    SLOW,
    SuppliersConfig,
    is_in_share,
    speeds_of,
)
from experiments.kinds import mechanisms
from sim.draws import uniform_column
from sim.lending.building import enter, open_positions, reserve_of
from sim.lending.settings import LendingConfig
from sim.lending.state import LendingState
from sim.oracles.oracle import OracleConfig
from sim.orders import FILL, split_cause
from sim.plan import PopulationPlan, VenuePlan
from sim.registry import Config, PopulationKind
from sim.status import Status
from sim.trial import small_plan
from sim.units import ticks
from sim.world import World

HOME = "home"
SUPPLIED = 1_000_000.0  # USD of all suppliers
HOUR = 3_600.0


class HandsConfig(Config):
    """One account with 1,000 ETH of collateral (2m USD), and what it owes in USD at the start."""

    debt: float
    cash: float = 0.0


def _make_hands(world, site):
    venue = world.venue("market")
    positions = open_positions(world, venue, site.group, np.arange(1))
    ether, dollars = (reserve_of(world, venue, symbol) for symbol in ("ETH", "USD"))
    enter(world, positions, ether, np.array([1_000.0]), are_debts=False)
    if site.config.debt:
        enter(world, positions, dollars, np.array([site.config.debt]), are_debts=True)
    return ()


def _fund_hands(world, site, state):
    world.endow_column(site.group, world.token(HOME, "GAS"), 10.0)
    world.endow_column(site.group, world.token(HOME, "USD"), site.config.cash)


HANDS = PopulationKind("hands", HandsConfig, (), _make_hands, None, _fund_hands)


def config_of(**changes):
    """Everybody fast unless said otherwise; no interest, so that numbers stay whole."""
    given = {
        "kind": "suppliers", "chain": HOME, "market": "market", "asset": "USD", "count": 10,
        "supplied_usd": SUPPLIED, "pareto_tail": 10.0, "fast_share": 1.0, "medium_share": 0.0,
        "slow_share": 0.0,
    }  # fmt: skip
    return SuppliersConfig(**(given | changes))


def market_world(debt=0.0, cash=0.0, horizon=200 * HOUR, seed=1, pools=(), **changes):
    """A market in which suppliers hold 1m USD and one borrower owes `debt` of it."""
    still = {"base_rate": 0.0, "slope1": 0.0, "slope2": 0.0}
    oracle, lending = mechanisms()["oracle"], mechanisms()["lending"]
    made = []
    for name, symbol, price in (("eth-feed", "ETH", 2_000.0), ("usd-feed", "USD", 1.0)):
        source = {"kind": "fixed", "price_usd": price}
        config = OracleConfig(kind="oracle", chain=HOME, token=symbol, source=source)
        made.append(VenuePlan(name, oracle, HOME, ((HOME, symbol),), config))
    config = LendingConfig(
        kind="lending",
        chain=HOME,
        reserves={"ETH": {"feed": "eth-feed"} | still, "USD": {"feed": "usd-feed"} | still},
    )
    made.append(VenuePlan("market", lending, HOME, ((HOME, "ETH"), (HOME, "USD")), config))
    people = config_of(**changes)
    populations = (
        PopulationPlan("lenders", KIND, HOME, people.count, people),
        PopulationPlan("hands", HANDS, HOME, 1, HandsConfig(debt=debt, cash=cash)),
    )
    return World(small_plan((*made, *pools), populations, seed=seed, horizon_seconds=horizon))


class Watch:
    """Keeps the fills of the lenders."""

    def __init__(self, world):
        self.world, self._fills = world, []
        world.on_fills = lambda fills: self._fills.append(fills.copy())

    def until(self, hours):
        self.world.advance(ticks(hours * HOUR))
        self.world.flush()
        self.world.check()
        fills = np.concatenate(self._fills)
        return fills[fills["group"] == self.world.group("lenders")]


def ask(world, verb, amount):
    """Let the borrower borrow or repay USD."""
    state = world.shared[LendingState]
    dollars = reserve_of(world, world.venue("market"), "USD")
    position = len(state.positions) - 1
    world.submit("market", verb, "hands", 0, amount=amount, a=position, b=dollars)


def claims(world):
    return world.plan.populations[0].kind.columns(
        world, world.population_sites[0], world.states["lenders"]
    )["claim"]()


def dollars_of(world):
    state = world.shared[LendingState]
    return state.reserves[reserve_of(world, world.venue("market"), "USD")]


# --- who they are --------------------------------------------------------------------------------


def test_the_largest_hundred_of_three_thousand_hold_their_pareto_share():
    """0.526 on average, simulated apart from 4,000 books of another generator.

    The law itself gives the largest thirtieth (1/30)^(1 - 1/1.15) = 0.64, which 3,000 draws do not
    reach: they lack the far tail. One book varies by 0.104, the mean of 40 seeds by 0.0165; five
    standard errors are passed by chance once in two million runs.
    """
    rng = np.random.default_rng(20_240_312)
    books = rng.random((4_000, 3_000)) ** (-1.0 / 1.15)
    expected = np.sort(books, axis=1)[:, -100:].sum(axis=1) / books.sum(axis=1)
    shares = []
    for seed in range(40):
        held = claims(market_world(count=3_000, pareto_tail=1.15, seed=seed))
        shares.append(np.sort(held)[-100:].sum() / held.sum())
    error = np.std(expected) / np.sqrt(40)
    assert np.mean(expected) == pytest.approx(0.526, abs=5.0 * 0.104 / np.sqrt(4_000))
    assert abs(np.mean(shares) - np.mean(expected)) < 5.0 * error


def test_deposits_add_up_and_lie_in_the_market():
    world = market_world(count=3_000, pareto_tail=1.15)
    held = claims(world)
    raw = uniform_column(1, "lenders:deposit", 3_000) ** (-1.0 / 1.15)
    assert held.sum() == pytest.approx(SUPPLIED, rel=1e-12)
    np.testing.assert_allclose(held, SUPPLIED * raw / raw.sum(), rtol=1e-12)
    assert dollars_of(world)["cash"] == pytest.approx(SUPPLIED, rel=1e-12)
    world.check()


def test_speeds_have_their_shares_by_value():
    """The boundary supplier of each class decides by how much: at most one deposit."""
    config = config_of(fast_share=0.1, medium_share=0.3, slow_share=0.3)
    order, deposits = uniform_column(3, "order", 2_000), uniform_column(3, "size", 2_000) + 0.5
    speed = speeds_of(config, deposits, order)
    largest = deposits.max() / deposits.sum()
    for kind, share in ((FAST, 0.1), (MEDIUM, 0.3), (SLOW, 0.3), (ASLEEP, 0.3)):
        assert deposits[speed == kind].sum() / deposits.sum() == pytest.approx(share, abs=largest)


def test_shares_of_zero_leave_a_class_empty():
    config = config_of(fast_share=0.0, medium_share=0.0, slow_share=0.0)
    speed = speeds_of(config, np.ones(50), uniform_column(1, "order", 50))
    assert (speed == ASLEEP).all()


def test_all_can_be_fast():
    speed = speeds_of(config_of(), np.ones(50), uniform_column(1, "order", 50))
    assert (speed == FAST).all()


def test_shares_above_one_are_refused():
    with pytest.raises(ValidationError, match="must not exceed 1"):
        config_of(fast_share=0.6, medium_share=0.6)


def test_calm_above_alarm_is_refused():
    with pytest.raises(ValidationError, match="calm_utilization"):
        config_of(utilization_trigger=0.8, calm_utilization=0.9)


# --- what alarms them ----------------------------------------------------------------------------


def test_without_alarm_nobody_moves():
    watch = Watch(market_world(debt=960_000.0))
    assert len(watch.until(100.0)) == 0
    assert (watch.world.states["lenders"][0].due == NEVER).all()


def test_high_utilization_makes_the_awake_leave_and_the_sleepers_stay():
    """1m supplied, 970,000 owed: utilization 0.97 alarms; 30,000 of cash is what they can take."""
    world = market_world(debt=970_000.0, count=40, fast_share=0.5, medium_share=0.0, slow_share=0.0)
    before, speed = claims(world), world.states["lenders"][0].speed
    fills = Watch(world).until(3.0)
    asleep = speed == ASLEEP
    assert 5 < asleep.sum() < 35
    assert not asleep[fills["row"]].any()
    np.testing.assert_array_equal(claims(world)[asleep], before[asleep])
    paid = fills["amount_out"][fills["status"] == Status.OK].sum()
    assert paid == pytest.approx(30_000.0, abs=2.0)
    assert dollars_of(world)["cash"] == pytest.approx(0.0, abs=2.0)


def test_a_token_they_fear_below_par_alarms_them():
    pool = mechanisms()["constant_product"]
    config = pool.config(kind="constant_product", chain=HOME, tokens=["ETH", "USD"], value_usd=1e6)
    plan = VenuePlan("pool", pool, HOME, ((HOME, "ETH"), (HOME, "USD")), config)
    calm = market_world(pools=(plan,), fear_pool="pool", fear_par=2_040.0)
    alarmed = market_world(pools=(plan,), fear_pool="pool", fear_par=2_041.0)
    assert len(Watch(calm).until(2.0)) == 0  # 2,000 / 2,040 = 0.9804
    assert len(Watch(alarmed).until(2.0)) == 10  # 2,000 / 2,041 = 0.9799


def test_bad_debt_alarms_them():
    """1,000 ETH of collateral fall to 500 USD each: 800,000 owed, 500,000 held."""
    world = market_world(debt=800_000.0)
    watch = Watch(world)
    assert len(watch.until(1.0)) == 0
    feeds = mechanisms()["oracle"]
    shock = next(s for s in feeds.shocks if s.kind == "set_oracle")
    shock.apply(world, shock.config(kind="set_oracle", venue="eth-feed", price_usd=500.0))
    world.shared[LendingState].reserves["price"][0] = 500.0
    assert len(watch.until(4.0)) > 0


# --- how they leave ------------------------------------------------------------------------------


def test_each_speed_leaves_in_its_own_time():
    """Alarmed within a minute of the start; 5-90 minutes, 1-12 hours, 6-72 hours later."""
    world = market_world(
        debt=10_000.0, count=60, fast_share=0.3, medium_share=0.4, slow_share=0.3,
        utilization_trigger=0.009, calm_utilization=0.009, calm_hours=1_000.0,
    )  # fmt: skip
    state = world.states["lenders"][0]
    fills = Watch(world).until(80.0)
    fills = fills[fills["status"] == Status.OK]
    hours = fills["time"] / 1e6 / HOUR
    slack = 4.0 / 60.0  # two looks and two blocks
    for speed, low, high in ((FAST, 5 / 60, 1.5), (MEDIUM, 1.0, 12.0), (SLOW, 6.0, 72.0)):
        mine = hours[state.speed[fills["row"]] == speed]
        assert len(mine) >= 10
        assert mine.min() >= low
        assert mine.max() <= high + slack
        middle = np.median(mine)  # of a log-uniform: sqrt(low high)
        assert low * 1.3 < middle < high / 1.3


def test_the_fast_take_the_cash_before_the_slow():
    world = market_world(
        debt=700_000.0, count=60, fast_share=0.3, medium_share=0.0, slow_share=0.7,
        utilization_trigger=0.69, calm_utilization=0.69, calm_hours=1_000.0,
    )  # fmt: skip
    state, before = world.states["lenders"][0], claims(world)
    fills = Watch(world).until(5.0)
    took = fills[fills["status"] == Status.OK]
    assert (state.speed[took["row"]] == FAST).all()
    fast = before[state.speed == FAST].sum()
    assert took["amount_out"].sum() == pytest.approx(min(fast, 300_000.0), abs=20.0)


def test_withdrawals_never_exceed_the_cash():
    world = market_world(debt=990_000.0, count=100)
    watch = Watch(world)
    for hour in range(1, 9):
        fills = watch.until(float(hour))
        assert dollars_of(world)["cash"] >= 0.0
    paid = fills["amount_out"][fills["status"] == Status.OK].sum()
    assert paid <= 10_000.0 * (1 + 1e-12)


def test_a_repayment_lets_those_who_wait_out():
    world = market_world(debt=990_000.0, cash=200_000.0, retry_minutes=10.0)
    watch = Watch(world)
    watch.until(6.0)
    assert dollars_of(world)["cash"] < 2.0
    assert world.states["lenders"][0].n_retries.min() >= 10
    ask(world, "repay", 200_000.0)
    fills = watch.until(6.5)
    late = fills[(fills["time"] > ticks(6.0 * HOUR)) & (fills["status"] == Status.OK)]
    assert late["amount_out"].sum() == pytest.approx(200_000.0, abs=3.0)


def test_tips_double_with_each_try_up_to_sixty_four_times():
    world = market_world(debt=999_000.0, cash=1_000.0, count=1, tip_gwei=2.0)
    watch = Watch(world)
    watch.until(4.0)
    ask(world, "repay", 1_000.0)
    fills = watch.until(5.0)
    tips = fills["tip"] * 1e9
    assert tips[0] == pytest.approx(2.0)
    assert tips[-1] == pytest.approx(128.0)


def test_time_stuck_is_counted_by_value():
    """One supplier of 1m with 1,000 in cash: stuck with 999,000 USD from its first try on."""
    world = market_world(debt=999_000.0, count=1)
    watch = Watch(world)
    fills = watch.until(10.0)
    first = fills["time"][0] / 1e6 / HOUR
    stuck = float(world.states["lenders"][0].stuck_usd_hours[0])
    assert stuck == pytest.approx(999_000.0 * (10.0 - first), rel=0.03)  # up to one try of 10 min


def test_a_withdrawal_names_the_last_change_of_the_market_as_its_cause():
    world = market_world(debt=0.0, count=1)
    watch = Watch(world)
    ask(world, "borrow", 970_000.0)
    fills = watch.until(3.0)
    space, number = split_cause(fills["parent"])
    assert (space[0], number[0]) == (FILL, 1)


# --- how they come back --------------------------------------------------------------------------


def test_they_return_after_calm_with_what_they_took():
    world = market_world(
        debt=500_000.0, cash=500_000.0, count=20, utilization_trigger=0.49, calm_utilization=0.49,
        calm_hours=6.0,
    )  # fmt: skip
    watch, before = Watch(world), claims(world)
    watch.until(3.0)
    assert claims(world).sum() == pytest.approx(500_000.0, abs=40.0)
    ask(world, "repay", 500_000.0)
    watch.until(5.0)
    assert claims(world).sum() < 40.0  # the rest left too
    watch.until(8.0)
    assert claims(world).sum() < 40.0  # calm for less than six hours
    watch.until(14.0)
    np.testing.assert_allclose(claims(world), before, atol=2.0)
    assert (world.states["lenders"][0].is_leaving == 0).all()


def test_who_has_returned_leaves_again_at_the_next_alarm():
    world = market_world(
        debt=500_000.0, cash=500_000.0, count=5, utilization_trigger=0.49, calm_utilization=0.49,
        calm_hours=2.0,
    )  # fmt: skip
    watch = Watch(world)
    watch.until(3.0)
    ask(world, "repay", 500_000.0)
    watch.until(12.0)
    assert claims(world).sum() == pytest.approx(SUPPLIED, abs=20.0)
    ask(world, "borrow", 700_000.0)
    watch.until(16.0)
    assert claims(world).sum() == pytest.approx(700_000.0, abs=20.0)


def test_a_new_alarm_starts_with_the_plain_tip_again():
    """Utilization 0.98 with cash too small to ask for, then 0.5, then 0.98 again with 10,000."""
    world = market_world(debt=1e6 - 0.5, cash=999_000.0, count=1, tip_gwei=2.0, calm_hours=0.1)
    watch = Watch(world)
    watch.until(4.0)
    assert world.states["lenders"][0].n_retries[0] > 6
    ask(world, "repay", 500_000.0)
    fills = watch.until(4.02)
    assert len(fills) == 0
    world.states["lenders"][0].is_leaving[0] = 0  # the reason went before it could act
    world.states["lenders"][0].due[0] = NEVER
    ask(world, "borrow", 490_000.0)
    fills = watch.until(8.0)
    assert fills["tip"][0] == pytest.approx(2.0 * 1e-9)


def test_who_waited_for_cash_stays_when_the_reason_is_gone():
    world = market_world(debt=990_000.0, cash=990_000.0, count=1, calm_hours=1e-3)
    watch = Watch(world)
    ask(world, "repay", 980_000.0)
    fills = watch.until(24.0)
    assert len(fills) == 0
    assert claims(world)[0] == pytest.approx(SUPPLIED)


# --- those who borrow when stuck ------------------------------------------------------------------


def loan_world(**changes):
    """1m USD supplied and 999,000 lent: nothing to withdraw; the borrower's 1,000 ETH are cash."""
    given = {"stuck_borrow_share": 1.0, "stuck_assets": ["ETH"], "stuck_minutes": 30.0}
    return market_world(debt=999_999.9, cash=999_999.9, **(given | changes))


def ether_held(world):
    return world.balances("lenders", world.token(HOME, "ETH"))


def test_the_stuck_borrow_what_has_cash_up_to_their_share_of_the_limit_and_are_gone():
    """A claim of 100,000 USD at 75 % carries 75,000; nine tenths of it are 33.75 ETH."""
    world = loan_world()
    fills = Watch(world).until(6.0)
    claim = claims(world)
    np.testing.assert_allclose(ether_held(world), 0.9 * 0.75 * claim / 2_000.0, rtol=1e-9)
    assert (world.states["lenders"][0].is_leaving == 2).all()
    assert (fills["status"] == Status.OK).all()
    assert len(fills) == 10


def test_they_try_to_withdraw_for_a_while_first():
    world = loan_world(count=1, stuck_minutes=120.0)
    fills = Watch(world).until(6.0)
    alarmed = 60.0 / HOUR  # the first look
    assert fills["time"][0] / 1e6 / HOUR >= alarmed + 5.0 / 60.0 + 2.0


def test_their_share_is_by_value():
    deposits = uniform_column(3, "size", 2_000) + 0.5
    chosen = is_in_share(deposits, uniform_column(3, "order", 2_000), 0.4)
    largest = deposits.max() / deposits.sum()
    assert deposits[chosen == 1].sum() / deposits.sum() == pytest.approx(0.4, abs=largest)


def test_without_a_share_nobody_borrows():
    world = loan_world(stuck_borrow_share=0.0)
    Watch(world).until(6.0)
    assert ether_held(world).sum() == 0.0


def test_loans_end_with_the_cash_of_the_asset():
    world = loan_world(count=40)
    state = world.shared[LendingState]
    ether = state.reserves[reserve_of(world, world.venue("market"), "ETH")]
    ether["borrow_cap"] = 100.0
    Watch(world).until(8.0)
    assert 0.0 < ether_held(world).sum() <= 100.0
    assert (world.states["lenders"][0].is_leaving == 1).any()  # still trying


def test_after_calm_they_repay_and_are_back_in():
    world = loan_world(calm_hours=6.0)
    watch = Watch(world)
    watch.until(4.0)
    assert ether_held(world).sum() > 0.0
    ask(world, "repay", 999_999.9)
    watch.until(14.0)
    assert ether_held(world).sum() == pytest.approx(0.0, abs=1e-9)
    assert (world.states["lenders"][0].is_leaving == 0).all()
    assert claims(world).sum() == pytest.approx(SUPPLIED)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stuck_borrow_share": 0.4}, "name the stuck_assets"),
        ({"stuck_assets": ["USD"]}, "which they find no cash of"),
    ],
)
def test_loans_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        config_of(**changes)
