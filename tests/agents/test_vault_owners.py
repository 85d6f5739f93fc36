"""Vault owners: the book they start with, and how they defend their vaults."""

import pytest
from pydantic import ValidationError

from experiments.kinds import populations
from sim.cdp.reading import book_at_own_prices
from sim.cdp.state import CdpState
from sim.feeds import Feeds
from sim.plan import PopulationPlan
from sim.trial import small_plan
from sim.units import ticks
from sim.world import World
from tests.examples import VAULTS, config_of, people_of, venue
from tests.worlds import Log

RULES = {**VAULTS, "stability_fee": 0.0, "debt_asset": "USD"}


def config(**changes):
    terms = {
        "cdp": "vaults", "count": 1, "debt_usd": 10_000.0, "awake_share": 1.0, "cash_share": 1.0,
        "health_quantiles": [[0.5, 1.4], [1.0, 1.4]], "alarm_low": 1.1, "alarm_high": 1.1,
        "reaction_minutes": 1.0, "reaction_log_sd": 0.0,
    } | changes  # fmt: skip
    return people_of("vault_owners", **terms)


def world_with(*, delay=0.0, rules=None, **changes):
    """A vault of 10.5 ETH at 2,000 USD that owes 10,000: a health factor of 1.4."""
    source = {"kind": "reported", "delay_seconds": delay}
    venues = (
        venue("eth-feed", config_of("oracle", token="ETH", source=source)),
        venue("vaults", config_of("cdp", **{**RULES, **(rules or {})})),
    )
    made = config(**changes)
    plan = PopulationPlan("owners", populations()["vault_owners"], "home", made.count, made)
    return World(small_plan(venues, (plan,)))


def set_price(world, price):
    feeds = world.shared[Feeds]
    feeds.value[0] = feeds.posted[0] = price


def run(world, seconds):
    log = Log(world)
    world.advance(ticks(seconds))
    world.check()
    return log.fills


def verbs(world, fills):
    return [world.verb_names[k] for k in fills["verb"]]


def book(world):
    values = book_at_own_prices(world.shared[CdpState], world.now)
    return values.debt, values.collateral / (values.debt * values.ratio)


def test_the_book_of_the_market_is_the_book_of_the_configuration():
    quantiles = [(0.1, 1.2), (0.5, 1.6), (0.9, 3.0)]
    world = world_with(count=500, debt_usd=4e6, debt_log_sd=1.0, health_quantiles=quantiles)
    debt, health = book(world)
    assert debt.sum() == pytest.approx(4e6)
    assert debt[health < 1.6].sum() / 4e6 == pytest.approx(0.5, abs=debt.max() / 4e6)
    world.check()


def test_an_owner_repays_up_to_its_target():
    # At 1,550 the collateral carries 10,850; 10,000 - 10,850 / 1.3 bring it back to 1.3.
    world = world_with(cash_of_debt=0.5)
    set_price(world, 1_550.0)
    fills = run(world, 1_800.0)
    assert verbs(world, fills) == ["cdp.repay"]
    assert fills["amount_in"][0] == pytest.approx(10_000.0 - 10_850.0 / 1.3)
    assert book(world)[1] == pytest.approx([1.3])


def test_without_enough_debt_tokens_collateral_is_added():
    # 500 of each: 500 are repaid, 0.25 ETH carry 258.33 more.
    world = world_with(cash_of_debt=0.1)
    set_price(world, 1_550.0)
    fills = run(world, 1_800.0)
    assert verbs(world, fills)[:2] == ["cdp.repay", "cdp.deposit"]
    assert fills["amount_in"][:2].tolist() == pytest.approx([500.0, 0.25])


def test_a_repayment_leaves_no_debt_below_the_floor():
    # 1,653.85 would leave 8,346; the floor of 9,000 allows 1,000, the rest is collateral.
    world = world_with(cash_of_debt=0.5, rules={"debt_floor": 9_000.0})
    set_price(world, 1_550.0)
    fills = run(world, 1_800.0)
    assert verbs(world, fills) == ["cdp.repay", "cdp.deposit"]
    assert fills["amount_in"][0] == pytest.approx(1_000.0)
    assert book(world)[1] == pytest.approx([1.3])


@pytest.mark.parametrize("changes", [{"awake_share": 0.0}, {"cash_share": 0.0}])
def test_sleepers_and_those_without_means_do_nothing(changes):
    world = world_with(count=20, **changes)
    set_price(world, 1_450.0)
    assert len(run(world, 7_200.0)) == 0


def test_a_book_at_rest_stays_at_rest():
    quantiles = [[0.1, 1.02], [0.5, 1.1], [0.9, 1.3]]
    world = world_with(count=30, health_quantiles=quantiles, alarm_low=1.05, alarm_high=1.25)
    assert len(run(world, 3_600.0)) == 0


@pytest.mark.parametrize(("sees_queue", "n_early"), [(True, 1), (False, 0)])
def test_who_sees_the_queue_acts_before_the_market_knows(sees_queue, n_early):
    world = world_with(delay=3_600.0, sees_queue=sees_queue, cash_of_debt=0.5)
    feeds = world.shared[Feeds]
    feeds.queued[0, 0], feeds.queued_at[0, 0], feeds.n_queued[0] = 1_550.0, ticks(3_600.0), 1
    assert len(run(world, 3_000.0)) == n_early
    world.advance(ticks(7_200.0))
    assert book(world)[1] == pytest.approx([1.3])


def test_computed_columns_are_those_of_the_book():
    world = world_with()
    site = world.population_sites[0]
    shown = world.columns_of(site)
    assert shown["debt"]() == pytest.approx([10_000.0])
    assert shown["collateral"]() == pytest.approx([21_000.0])
    assert shown["health_factor"]() == pytest.approx([1.4])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"health_quantiles": [(0.5, 1.2), (0.1, 1.4)]}, "must rise"),
        ({"alarm_low": 1.2, "alarm_high": 1.1}, "must not exceed alarm_high"),
    ],
    ids=["quantiles", "alarms"],
)
def test_a_contradictory_configuration_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        config(**changes)
