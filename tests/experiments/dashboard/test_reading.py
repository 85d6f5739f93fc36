"""What is read of a world: against numbers worked out by hand."""

import itertools
import math

import numpy as np
import pytest

from analysis.style import PALETTE as PALETTE_OF_FIGURES
from experiments.composition import build
from experiments.dashboard.history import MOST, History
from experiments.dashboard.look import CALM, PALETTE, STRESSED, UNEASY, stress_color
from experiments.dashboard.reading import AT_RISK, FULL_FALL, HEALTH_EDGES, read
from experiments.dashboard.shocks import make_shock
from experiments.kinds import shock_kinds
from sim.snapshots import changed, state_of
from sim.units import ticks
from tests.experiments.dashboard.scenes import small
from tests.worlds import bench, swap


def token(reading, name):
    return next(token for token in reading.tokens if token.name == name)


def link(reading, name):
    return next(link for link in reading.links if link.venue == name)


@pytest.fixture
def world(tmp_path_factory):
    return build(small(tmp_path_factory.getbasetemp())).world


def strike(world, kind, **fields):
    shock_kinds()[kind].apply(world, make_shock(kind, **fields))


# --- tokens and links -----------------------------------------------------------------------------


def test_a_world_at_rest_is_calm():
    reading = read(bench())
    assert reading.time == 0.0
    assert reading.prices == {"ETH": 2_000.0, "USD": 1.0}
    assert reading.gaps == {"eth-usd": 0.0}
    assert [(t.name, t.value, t.stress) for t in reading.tokens] == [
        ("mainnet/ETH", 5e6, 0.0),  # 2,500 ETH and 5m USD
        ("mainnet/USD", 5e6, 0.0),
    ]
    pool = link(reading, "eth-usd")
    assert (pool.kind, pool.source, pool.target) == ("pool", "mainnet/ETH", "mainnet/USD")
    assert (pool.value, pool.stress, pool.is_halted) == (1e7, 0.0, False)


def test_stress_of_a_pool_is_its_distance_from_the_reference_over_5_percent():
    world = bench()
    for row in range(5):
        swap(world, row, amount=20_000.0)
    world.advance(ticks(24.0))
    # constant product: 5m USD + 0.997 x 100,000 move the price by (1 + 99,700 / 5m)^2 - 1 = 4.03 %
    reading = read(world)
    assert reading.gaps["eth-usd"] == pytest.approx(1.01994**2 - 1.0, rel=2e-3)
    assert link(reading, "eth-usd").stress == pytest.approx(reading.gaps["eth-usd"] / 0.05)


def test_a_halted_venue_is_fully_stressed(world):
    strike(world, "pause_bridge", venue="bridge")
    bridge = link(read(world), "bridge")
    assert (bridge.kind, bridge.source, bridge.target) == ("bridge", "main/USD", "side/wUSD")
    assert (bridge.stress, bridge.is_halted) == (1.0, True)


def test_stress_of_a_token_is_the_fall_of_its_price_within_an_hour():
    world = bench()
    world.advance(ticks(600.0))
    strike(world, "price_gap", asset="ETH", change=-0.1)
    world.advance(ticks(660.0))
    assert token(read(world), "mainnet/ETH").stress == pytest.approx(0.1 / FULL_FALL)
    assert token(read(world), "mainnet/USD").stress == 0.0
    world.advance(ticks(4_300.0))  # more than an hour later nothing falls any more
    assert token(read(world), "mainnet/ETH").stress == 0.0


def test_stress_of_a_token_is_also_the_error_of_its_feed(world):
    strike(world, "set_oracle", venue="usd-feed", price_usd=1.02)
    assert token(read(world), "main/USD").stress == pytest.approx(0.02 / 0.05)


def test_stress_of_a_token_is_also_a_reserve_that_runs_dry(world):
    reserves = world.states["lending"][0].reserves
    usd = int(np.flatnonzero(reserves["token"] == world.token("main", "USD"))[0])
    debt = 5e6  # of the borrowers
    reserves["cash"][usd] = debt / 19.0  # debt / (cash + debt) = 0.95: halfway from 0.9 to 1
    assert token(read(world), "main/USD").stress == pytest.approx(0.5, rel=1e-6)


# --- health ---------------------------------------------------------------------------------------


def test_debts_are_sorted_by_health_factor(world):
    health = read(world).health
    (positions,) = world.sample_positions()["positions"]
    assert sum(health.debt) == pytest.approx(5e6, rel=1e-9)
    assert sum(health.n_debtors) == 200
    for k, (low, high) in enumerate(itertools.pairwise(HEALTH_EDGES)):
        inside = (positions["health_factor"] >= low) & (positions["health_factor"] < high)
        assert health.n_debtors[k] == np.count_nonzero(inside)
        assert health.debt[k] == pytest.approx(positions["debt"][inside].sum())
    risky = positions["health_factor"] < AT_RISK
    assert health.at_risk == pytest.approx(positions["debt"][risky].sum())
    assert health.shortfall == 0.0


def test_a_world_without_markets_has_no_debts():
    health = read(bench()).health
    assert not any(health.debt)
    assert health.at_risk == health.shortfall == 0.0


def test_reading_changes_nothing_but_what_samples_note(world):
    """A market notes at each sample which positions are unsafe; that is of no other consequence."""
    world.advance(ticks(600.0))
    strike(world, "price_gap", asset="ETH", change=-0.3)
    world.advance(ticks(640.0))
    before = state_of(world)
    read(world)
    assert changed(before, state_of(world)) in (["lending.unsafe_since"], [])


# --- history and colors ---------------------------------------------------------------------------


def test_a_history_keeps_few_points_evenly_over_all_time():
    history = History()
    for k in range(5_000):
        history.append(float(k), {"price": 2.0 * k})
    assert len(history.time) <= MOST + 1
    assert history.time[0] == 0.0
    assert history.time[-1] == 4_999.0
    gaps = np.diff(history.time[:-1])
    assert (gaps == gaps[0]).all()
    assert history.values["price"] == [2.0 * time for time in history.time]


def test_a_name_that_comes_later_has_no_points_before():
    history = History()
    history.append(0.0, {"a": 1.0})
    history.append(3_600.0, {"a": 2.0, "b": 5.0})
    assert math.isnan(history.values["b"][0])
    assert history.points("b", scale=100.0) == [(1.0, 500.0)]
    assert history.points("a") == [(0.0, 1.0), (1.0, 2.0)]
    assert history.points("c") == []


def test_stress_goes_from_calm_by_way_of_uneasy_to_stressed():
    assert [stress_color(stress) for stress in (0.0, 0.5, 1.0)] == [CALM, UNEASY, STRESSED]
    assert stress_color(0.25) == "#cfae6a"  # halfway from #9fb4c7 to #ffa90e


def test_the_palette_is_that_of_the_figures():
    assert PALETTE == PALETTE_OF_FIGURES
