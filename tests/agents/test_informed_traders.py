"""Informed traders: what a signal of given accuracy is worth, and when it is worth a trade."""

import math

import numpy as np
import pytest
from scipy.special import ndtr

from agents.informed_traders import forecast_at, trailing_volatility
from experiments import build, load_scenario
from sim.errors import ScenarioError
from sim.orders import PRICE, cause
from sim.status import Status
from sim.units import HOUR, TICKS_PER_SECOND, ticks

HORIZON = 600.0  # seconds
VOLATILITY = 0.1  # per sqrt(day)
SPREAD = VOLATILITY * math.sqrt(HORIZON / 86_400.0)  # of the log return over the horizon

SCENARIO = """
version: 1
name: informed
horizon: {days}d
assets:
  ETH: {{price: {{kind: gbm, price: 2000, volatility: 0.1}}}}
  USD: {{price: {{kind: fixed, price: 1}}}}
chains:
  mainnet:
    blocks: {{kind: fixed, interval_seconds: 1}}
    native: ETH
    tokens: [ETH, USD]
venues:
  pool: {{kind: constant_product, chain: mainnet, tokens: [{tokens}], fee: {fee}, value_usd: 1e9}}
populations:
  {arbitrageur}
  informed:
    kind: informed_traders
    chain: mainnet
    count: {count}
    signals_per_day: 96
    accuracy: {accuracy}
    horizon_low_seconds: {low}
    horizon_high_seconds: 600
    volatility_window_hours: 480 # in a short run: that of the whole path
    median_wallet_usd: 10000
    wallet_log_sd: 0
    trade_share: 0.25
    slippage: 0.05
    tip_gwei: 0 # gas would be paid from positions in ETH
"""
ARBITRAGEUR = "arbitrageur: {kind: arbitrageurs, chain: mainnet, inventory_usd: 1e9}"


def model_of(tmp_path, **terms):
    """Return a model; every block an arbitrageur without costs brings the pool to F."""
    terms = {
        "days": 2, "fee": 0.0, "count": 100, "accuracy": 0.8, "low": 600, "tokens": "ETH, USD",
        "arbitrageur": ARBITRAGEUR,
    } | terms  # fmt: skip
    file = tmp_path / "informed.yaml"
    file.write_text(SCENARIO.format(**terms))
    return build(load_scenario(str(file)), seed=5)


def trades_of(model, until):
    """Return the fills of the informed traders as (openings, closings), trade by trade."""
    world = model.world
    found = []
    informed = world.group("informed")
    world.on_fills = lambda fills: found.append(fills[fills["group"] == informed].copy())
    model.run_until(until)
    world.flush()
    world.check()
    fills = np.concatenate(found)
    assert (fills["status"] == Status.OK).all()
    fills = fills[np.lexsort((fills["time"], fills["row"]))]
    _, first, counts = np.unique(fills["row"], return_index=True, return_counts=True)
    opening = np.concatenate(
        [np.arange(a, a + n - n % 2, 2) for a, n in zip(first, counts, strict=True)]
    )
    return fills[opening], fills[opening + 1]


def log_path(world):
    return np.log(world.prices.path[world.asset("ETH")])


def returns_of(world, opened, horizon=HORIZON):
    """Return the log return of ETH over the horizon from each arrival, read off the path."""
    path, at = log_path(world), opened["arrival"] // TICKS_PER_SECOND
    later = (opened["arrival"] + ticks(horizon)) // TICKS_PER_SECOND
    return path[later] - path[at]


@pytest.mark.parametrize("accuracy", [0.2, 0.5, 0.9])
def test_forecast_has_the_stated_correlation_and_is_unbiased(tmp_path, accuracy):
    n = 2_800
    world = model_of(tmp_path, days=20, accuracy=accuracy, count=2, arbitrageur="").world
    state, wheel = world.states["informed"]
    dues = ticks(HORIZON) * np.arange(n, dtype=np.int64)
    forecast = np.array(
        [
            forecast_at(state, wheel, world.prices, world.venues, 0, int(due), ticks(HORIZON))
            for due in dues
        ]
    )
    path = log_path(world)
    at = dues // TICKS_PER_SECOND
    gain = path[at + int(HORIZON)] - path[at]
    # n disjoint windows; SE of a correlation (1 - a^2) / sqrt(n), of the slope of the return on the
    # forecast sqrt(1 - a^2) / (a sqrt(n)), plus 1 % for volatility measured; 4 SE: 1 in 16,000
    correlation = np.corrcoef(gain, forecast)[0, 1]
    assert correlation == pytest.approx(
        accuracy, abs=4 * (1 - accuracy**2) / math.sqrt(n) + 0.01 * accuracy
    )
    slope = (gain * forecast).sum() / (forecast**2).sum()
    assert slope == pytest.approx(
        1.0, abs=4 * math.sqrt(1 - accuracy**2) / (accuracy * math.sqrt(n)) + 0.02
    )


@pytest.mark.parametrize("tokens", ["ETH, USD", "USD, ETH"])
def test_profit_before_costs_is_what_the_accuracy_implies(tmp_path, tokens):
    accuracy = 0.8
    model = model_of(tmp_path, accuracy=accuracy, tokens=tokens)
    opened, closed = trades_of(model, 12 * HOUR)
    n = len(opened)
    assert n > 2_000
    gain = np.log(closed["amount_out"] / opened["amount_in"])
    # Given the path, a signal has the right sign with probability Phi(a |r| / (s sqrt(1 - a^2))),
    # and the noise of each trader is its own: the mean over trades has the standard error below.
    # What a second of delay adds at either end is noise of its own, of s sqrt(2 / 600).
    r = np.abs(returns_of(model.world, opened))
    right = ndtr(accuracy * r / (SPREAD * math.sqrt(1 - accuracy**2)))
    expected = (r * (2 * right - 1)).mean()
    error = math.sqrt((4 * r**2 * right * (1 - right)).sum() + n * SPREAD**2 * 2 / 600) / n
    # 3 %: volatility measured, the impact of 1e-5, the returns lost to delay; 4 SE: 1 in 16,000
    assert gain.mean() == pytest.approx(expected, abs=4 * error + 0.03 * expected)
    assert error < 0.03 * expected  # so the test sees a tenth
    # The same without the path: a s sqrt(2 / pi), from 72 windows of 10 minutes, whose |r| vary by
    # 76 %: SE 9 %, 4 SE.
    assert expected == pytest.approx(accuracy * SPREAD * math.sqrt(2 / math.pi), rel=0.36)


def test_money_gained_is_the_profit_of_the_trades(tmp_path):
    model = model_of(tmp_path)
    world = model.world
    eth, usd = world.token("mainnet", "ETH"), world.token("mainnet", "USD")
    before = [world.balances("informed", token).copy() for token in (eth, usd)]
    opened, closed = trades_of(model, 6 * HOUR)
    assert (closed["amount_out"] - opened["amount_in"]).sum() != 0.0
    mine = np.unique(opened["row"])
    for token, start in zip((eth, usd), before, strict=True):
        paid = np.where(opened["token_in"] == token, opened["amount_in"], 0.0)
        back = np.where(closed["token_out"] == token, closed["amount_out"], 0.0)
        got = np.bincount(opened["row"], back - paid, len(start))
        is_flat = world.states["informed"][0].bought == -1
        rows = mine[is_flat[mine]]
        gained = world.balances("informed", token) - start
        assert gained[rows] == pytest.approx(got[rows], abs=1e-9 * start.max())


def test_positions_are_held_to_the_horizon_and_then_closed_whole(tmp_path):
    model = model_of(tmp_path, low=60)
    opened, closed = trades_of(model, 6 * HOUR)
    assert closed["row"].tolist() == opened["row"].tolist()
    held = (closed["arrival"] - opened["arrival"]) / TICKS_PER_SECOND
    assert held.min() >= 60.0
    assert held.max() <= 600.0
    # log-uniform from 60 to 600 s: the median is sqrt(60 * 600) = 190 s; the sign test at 4 SE
    n = len(held)
    assert (held < 189.7).mean() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(n))
    assert np.array_equal(closed["token_in"], opened["token_out"])
    assert closed["amount_in"] == pytest.approx(opened["amount_out"], rel=1e-12)
    assert (opened["parent"] == cause(PRICE, model.world.asset("ETH"))).all()
    assert (closed["parent"] == cause(PRICE, model.world.asset("ETH"))).all()


def test_no_position_exceeds_its_share_of_the_wallet(tmp_path):
    opened, _ = trades_of(model_of(tmp_path), 6 * HOUR)
    assert (opened["value_in"] <= 0.25 * 10_000.0 * 1.01).all()  # 1 %: a second of price
    assert opened["value_in"].max() > 0.24 * 10_000.0


def test_they_trade_only_on_forecasts_beyond_their_costs_and_in_their_direction(tmp_path):
    fee = 0.003
    model = model_of(tmp_path, fee=fee)
    world = model.world
    opened, _ = trades_of(model, 12 * HOUR)
    state, wheel = world.states["informed"]
    assert len(opened) > 200
    forecast = np.array(
        [
            forecast_at(
                state, wheel, world.prices, world.venues, int(row), int(due), ticks(HORIZON)
            )
            for row, due in zip(opened["row"], opened["arrival"], strict=True)
        ]
    )
    is_up = opened["token_out"] == world.token("mainnet", "ETH")
    assert np.array_equal(forecast > 0.0, is_up)
    assert (np.abs(forecast) > -2.0 * math.log(1.0 - fee)).all()


@pytest.mark.parametrize(("fee", "accuracy"), [(0.05, 0.8), (0.0001, 0.0)])
def test_they_stay_out_when_the_signal_is_not_worth_the_cost(tmp_path, fee, accuracy):
    # without an arbitrageur the pool falls behind: a gap alone makes nobody trade
    model = model_of(tmp_path, fee=fee, accuracy=accuracy, arbitrageur="")
    model.run_until(6 * HOUR)
    world = model.world
    gap = world.venues.price[0] / world.prices.reference[world.token("mainnet", "ETH")]
    assert abs(math.log(gap)) > 0.003
    assert world.states["informed"][0].n_trades.sum() == 0


def test_more_traders_move_nobody_elses_signals(tmp_path):
    few, many = (model_of(tmp_path, count=count, arbitrageur="") for count in (20, 70))
    for model in (few, many):
        model.run_until(HOUR)
    small, large = (model.world.states["informed"] for model in (few, many))
    assert np.array_equal(small[0].wallet_usd, large[0].wallet_usd[:20])
    assert np.array_equal(small[0].n_trades, large[0].n_trades[:20])
    assert np.array_equal(small[1].due, large[1].due[:20])


def test_volatility_is_that_of_the_past():
    rng = np.random.default_rng(8)
    n = 20_000  # minutes
    sd = np.where(np.arange(n) < n // 2, 1e-3, 3e-3)
    path = np.concatenate([[0.0], np.cumsum(sd * rng.standard_normal(n))])
    window = 1_000
    found = trailing_volatility(path, 60.0, window * 60.0) * math.sqrt(60.0)
    assert len(found) == n
    by_hand = math.sqrt((np.diff(path)[4_000:5_000] ** 2).mean())
    assert found[5_000] == pytest.approx(by_hand, rel=1e-9)
    # SE of a standard deviation from 1,000 normals: 2.2 %; 4.5 SE
    assert found[n // 2] == pytest.approx(1e-3, rel=0.1)
    assert found[n // 2 + window] == pytest.approx(3e-3, rel=0.1)


def test_horizons_the_wrong_way_round_are_refused(tmp_path):
    with pytest.raises(ScenarioError, match=r"horizon_low_seconds \(700\) must be at most"):
        model_of(tmp_path, low=700)
