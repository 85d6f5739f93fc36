"""Trailing volatility and turnover, and the depth and spread that follow from them, by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sim.kernel import bind
from sim.prices import make_prices, update_prices
from sim.reference.conditions import Conditions, make_conditions
from sim.reference.config import ImpactConfig, TrailingConfig, VenueTermsConfig
from sim.reference.impact import apply_trade, make_impact, make_venue_terms
from sim.units import ticks
from tests.worlds import world_of

CALM = 0.05
MINUTES_PER_DAY = 1_440


def market(returns, impact=None, terms=None, **trailing):
    """Return prices of one asset that has one return at the end of each minute."""
    path = 100.0 * np.exp(np.concatenate([[0.0], np.cumsum(returns)]))
    impact = ImpactConfig(
        **{"daily_volume_usd": 1e9, "volatility": CALM, "depth": "trailing"} | (impact or {})
    )
    terms = VenueTermsConfig(**{"spread_bps": 1.0, "spread": "trailing"} | (terms or {}))
    config = TrailingConfig(**{"calm_volatility": CALM} | trailing)
    return make_prices(
        path[None, :],
        60.0,
        [0],
        make_impact([impact]),
        make_venue_terms([terms]),
        make_conditions([config], [impact], [terms], 60.0 * len(returns)),
    )


def after(prices, minutes):
    update_prices(prices, ticks(60.0 * minutes))
    return prices


def test_at_the_start_the_terms_are_the_plain_ones():
    prices = market([0.0])
    assert prices.transient_per_usd[0] == 7.0 * CALM / 1e9
    assert prices.permanent_per_usd[0] == 0.3 * CALM / 1e9
    assert prices.half_spread[0] == 0.5e-4


def test_variance_is_the_weighted_mean_of_squared_returns_per_day():
    returns = [0.01, -0.02, 0.005]
    prices = after(market(returns, volatility_half_life_minutes=2.0), 3)
    w = math.sqrt(0.5)
    expected = CALM**2
    for change in returns:
        expected = w * expected + (1 - w) * change**2 * MINUTES_PER_DAY
    assert prices.variance[0] == pytest.approx(expected, rel=1e-12)
    sigma = math.sqrt(expected)
    assert prices.transient_per_usd[0] == pytest.approx(7.0 * sigma / 1e9, rel=1e-12)
    assert prices.permanent_per_usd[0] == pytest.approx(0.3 * sigma / 1e9, rel=1e-12)


def test_steady_moves_of_twice_the_calm_size_double_the_impact():
    step = 2 * CALM / math.sqrt(MINUTES_PER_DAY)
    prices = after(market([step, -step] * 600), 1_200)  # 20 half-lives
    assert prices.transient_per_usd[0] == pytest.approx(2 * 7.0 * CALM / 1e9, rel=1e-5)


def test_the_spread_widens_from_1_to_50_bp_at_the_volatility_of_black_thursday():
    # Largest trailing volatility with this half-life, 5-minute closes of 12-13 March 2020: 13.6
    # times that of 17 February to 6 March.
    step = 13.6 * CALM / math.sqrt(MINUTES_PER_DAY)
    prices = after(market([step, -step] * 600), 1_200)
    assert 2e4 * prices.half_spread[0] == pytest.approx(13.6**1.5, rel=1e-4)
    assert 2e4 * prices.half_spread[0] == pytest.approx(50.0, rel=0.01)


def test_a_spread_is_never_tighter_than_at_rest_nor_wider_than_the_most():
    quiet = after(market([0.0] * 600), 600)
    assert quiet.half_spread[0] == 0.5e-4
    step = 30 * CALM / math.sqrt(MINUTES_PER_DAY)
    wild = after(market([step, -step] * 300, terms={"most_spread_bps": 80.0}), 600)
    assert wild.half_spread[0] == pytest.approx(40e-4, rel=1e-12)


def test_depth_in_a_dead_market_stays_at_the_least_volatility_that_counts():
    prices = after(market([0.0] * 600, least_volatility=0.25), 600)
    assert prices.transient_per_usd[0] == pytest.approx(0.25 * 7.0 * CALM / 1e9, rel=1e-12)


def test_more_turnover_is_more_depth_with_its_own_half_life():
    jump = ((0.0, 1.0), (1.0, 1.0), (1.0 + 1e-9, 3.3), (9.0, 3.3))
    step = CALM / math.sqrt(MINUTES_PER_DAY)
    prices = after(market([step, -step] * 240, turnover=jump, turnover_half_life_hours=2.0), 180)
    weight = 0.5 ** (119 / 120)  # 3 h less 1 h and the minute at which the jump begins
    expected = 3.3 - 2.3 * weight
    assert prices.turnover[0] == pytest.approx(expected, rel=0.01)
    thinness = math.sqrt(prices.variance[0]) / CALM / prices.turnover[0]
    assert prices.transient_per_usd[0] == pytest.approx(7.0 * CALM / 1e9 * thinness, rel=1e-12)


def test_the_turnover_given_for_the_start_holds_from_the_start():
    prices = market([0.0], turnover=((0.0, 3.3),))
    assert prices.transient_per_usd[0] == pytest.approx(7.0 * CALM / 3.3e9, rel=1e-15)


def test_trades_of_agents_count_where_asked():
    for counts, expected in ((False, 1.0), (True, None)):
        prices = market([0.0] * 2, counts_trades=counts, turnover_half_life_hours=1.0)
        prices.traded[0] += 1e8  # a tenth of a day's volume within a minute
        after(prices, 1)
        v = 0.5 ** (1 / 60)
        rate = 1.0 + 0.1 * MINUTES_PER_DAY
        assert prices.turnover[0] == pytest.approx(expected or v + (1 - v) * rate, rel=1e-12)


def test_impact_of_trades_is_part_of_the_volatility_that_follows():
    prices = market([0.0, 0.0])
    apply_trade(prices, 0, -1e8, 0)
    moved = 7.3 * CALM * 0.1  # what the last minute saw, the transient part a minute old
    after(prices, 1)
    w = 0.5 ** (1 / 60)
    seen = 0.3 * CALM * 0.1 + 7.0 * CALM * 0.1 * 0.5 ** (1 / 15)
    assert seen < moved
    expected = w * CALM**2 + (1 - w) * seen**2 * MINUTES_PER_DAY
    assert prices.variance[0] == pytest.approx(expected, rel=1e-12)


def test_it_does_not_matter_when_blocks_fall():
    returns = 0.01 * np.sin(np.arange(300.0))
    often, seldom = market(returns), market(returns)
    for second in range(0, 18_000, 7):
        update_prices(often, ticks(second))
    update_prices(often, ticks(18_000))
    update_prices(seldom, ticks(18_000))
    for name in Conditions._fields:
        assert getattr(often, name).tobytes() == getattr(seldom, name).tobytes()
    assert often.transient_per_usd.tobytes() == seldom.transient_per_usd.tobytes()


@given(
    st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=50),
    st.floats(1.0, 1e9),
)
def test_a_round_trip_between_two_minutes_never_gains(returns, usd):
    prices = market(returns)
    update_prices.py_func(prices, ticks(60.0 * len(returns)))
    own = prices.permanent_per_usd[0] + prices.transient_per_usd[0]
    bought = math.exp(own * usd / 2)  # mean price over the first
    sold = math.exp(own * usd) * math.exp(-own * usd / 2)
    keep = (1 - prices.half_spread[0]) ** 2
    assert sold / bought * keep <= 1.0
    assert prices.half_spread[0] >= 0.5e-4
    assert own > 0.0


def test_with_the_plain_rule_nothing_is_ever_observed():
    impact = make_impact([ImpactConfig(daily_volume_usd=1e9, volatility=CALM)])
    terms = make_venue_terms([VenueTermsConfig()])
    plain = make_prices(np.array([[100.0, 300.0]]), 60.0, [0], impact, terms)
    before = [getattr(plain, name).copy() for name in Conditions._fields]
    after(plain, 600)
    for name, column in zip(Conditions._fields, before, strict=True):
        assert np.array_equal(getattr(plain, name), column)
    assert plain.transient_per_usd[0] == 7.0 * CALM / 1e9


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"turnover": ((1.0, 1.0), (1.0, 2.0))}, "must rise"),
        ({"turnover": ((0.0, 0.0),)}, "must be above 0"),
        ({"calm_volatility": 0.0}, "greater than 0"),
    ],
)
def test_impossible_settings_are_refused(settings, problem):
    with pytest.raises(ValidationError, match=problem):
        TrailingConfig(**{"calm_volatility": CALM} | settings)


def test_a_trailing_spread_needs_one_to_start_from():
    with pytest.raises(ValidationError, match="must be above 0 and at most"):
        VenueTermsConfig(spread_bps=0.0, spread="trailing")


def test_conditions_can_be_bound():
    config = TrailingConfig(calm_volatility=CALM)
    made = make_conditions([config, None], [None, None], [VenueTermsConfig()] * 2, 3_600.0)
    assert len(bind(made)) == 2 * 5 + 3 * 3  # address and extents


def test_depth_and_spread_of_a_world_follow_its_path():
    world = world_of(
        "assets.ETH.impact={daily_volume_usd: 1e9, volatility: 0.05, depth: trailing}",
        "assets.ETH.terms={spread_bps: 1, spread: trailing}",
        "assets.ETH.trailing={calm_volatility: 0.05, turnover: [[0, 2]]}",
        "horizon=6h",
        "price_step_seconds=60",
        seed=3,
    )
    world.advance(world.horizon)
    w, variance = 0.5 ** (1 / 60), CALM**2
    for change in np.diff(np.log(world.prices.path[0])):
        variance = w * variance + (1 - w) * change**2 * MINUTES_PER_DAY
    assert world.prices.variance[0] == pytest.approx(variance, rel=1e-9)
    ratio = math.sqrt(variance) / CALM
    assert world.prices.transient_per_usd[0] == pytest.approx(3.5 * CALM / 1e9 * ratio, rel=1e-9)
    assert world.prices.half_spread[0] == pytest.approx(0.5e-4 * max(ratio**1.5, 1.0), rel=1e-9)
