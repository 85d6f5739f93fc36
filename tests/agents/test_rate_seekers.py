"""Outside money follows the supply rate with a time constant."""

import math

import pytest

from agents.rate_seekers import RateSeekersConfig, target_share
from experiments import build, load_scenario
from sim.lending.building import reserve_of
from sim.lending.config import ReserveFlag
from sim.lending.state import LendingState

HOUR = 3_600.0
FUNDS = 1e6


def seekers_world(rate=0.10, **fields):
    """A USD reserve whose supply rate is `rate` whatever its utilization near one half."""
    given = {"funds_usd": FUNDS, "outside_rate": 0.05, "elasticity": 0.5, "look_minutes": 30}
    given |= {"time_constant_hours": 24.0, "count": 10} | fields
    text = ", ".join(f"{key}: {value}" for key, value in given.items())
    steady = "slope1: 0, slope2: 0, reserve_factor: 0"
    fixed = "source: {kind: fixed, price_usd: %s}"
    oracle = "{kind: oracle, chain: mainnet, token: %s, " + fixed + "}"
    dollar = f"USD: {{feed: uf, base_rate: {2.0 * rate}, {steady}}}"
    market = "chain: mainnet, market: market"
    reserves = f"{{ETH: {{feed: ef}}, {dollar}}}"
    lenders = f"{{kind: suppliers, {market}, asset: USD, count: 1, supplied_usd: 1e12}}"
    debtors = (
        f"{{kind: borrowers, {market}, count: 1, collateral: ETH, debt: USD, debt_usd: 5e11, "
        "awake_share: 0, health_quantiles: [[0.5, 2.0], [0.9, 2.0]]}"
    )
    overrides = [
        "venues.ef=" + oracle % ("ETH", 2_000),
        "venues.uf=" + oracle % ("USD", 1),
        f"venues.market={{kind: lending, chain: mainnet, reserves: {reserves}}}",
        f"populations.lenders={lenders}",
        f"populations.debtors={debtors}",
        f"populations.seekers={{kind: rate_seekers, {market}, asset: USD, {text}}}",
    ]
    return build(load_scenario("quiet-market", overrides, until=160 * HOUR), seed=3)


def share(model):
    return model.populations["seekers"].get("claim").sum() / FUNDS


def dollars(model):
    world = model.world
    state = world.shared[LendingState]
    return state.reserves[reserve_of(world, world.venue("market"), "USD")]


@pytest.mark.parametrize(
    ("rate", "share"),
    [(0.01, 0.0), (0.05, 0.0), (0.05 * math.e, 0.5), (0.05 * math.e**2, 1.0), (9.0, 1.0)],
)
def test_each_e_fold_of_the_rate_attracts_the_elasticity(rate, share):
    assert target_share(rate, 0.05, 0.5) == pytest.approx(share, rel=1e-12)


def test_the_share_nears_its_target_with_the_time_constant():
    """ln 2 / 2 = 0.347 in the long run; after one constant of 24 h 1 - 1/e of it is there."""
    model, target = seekers_world(), 0.5 * math.log(2.0)
    model.run_for(24.0 * HOUR)
    assert share(model) == pytest.approx(target * (1.0 - math.exp(-1.0)), rel=0.03)  # one look
    model.run_for(96.0 * HOUR)
    assert share(model) == pytest.approx(target, rel=0.02)


def test_at_the_outside_rate_nothing_comes():
    model = seekers_world(rate=0.05)
    model.run_for(24.0 * HOUR)
    assert share(model) == 0.0


def test_a_fall_of_the_rate_lets_it_go_again():
    model = seekers_world()
    model.run_for(48.0 * HOUR)
    before = share(model)
    dollars(model)["base_rate"] = 0.02
    model.run_for(24.0 * HOUR)
    assert share(model) == pytest.approx(before * math.exp(-1.0), rel=0.04)


def test_nobody_deposits_into_a_frozen_reserve():
    model = seekers_world()
    dollars(model)["flag_bits"] |= int(ReserveFlag.FROZEN)
    model.run_for(12.0 * HOUR)
    assert model.populations["seekers"].get("n_moves").sum() == 0


def test_deposits_stop_at_the_supply_cap():
    model = seekers_world()
    dollars(model)["supply_cap"] = 1e12 + 1e8  # interest of a day is 2.7e8
    model.run_for(24.0 * HOUR)
    assert share(model) < 0.2


def test_an_impossible_rate_is_refused():
    with pytest.raises(ValueError, match="outside_rate"):
        RateSeekersConfig(
            kind="rate_seekers", chain="a", market="m", asset="A", count=1, funds_usd=1.0,
            outside_rate=0.0,
        )  # fmt: skip
