"""Momentum traders: direction, bounds, cool-down, unwinding, and independence of draws."""

import numpy as np
import pytest

from experiments import build, load_scenario
from sim.errors import ScenarioError
from sim.orders import PRICE, cause
from sim.status import Status
from sim.units import HOUR, TICKS_PER_SECOND, ticks

SCENARIO = """
version: 1
name: trend
horizon: 8h
assets:
  ETH:
    price:
      kind: waypoints
      waypoints: {waypoints}
      volatility: [{{until_hours: 8, volatility: {volatility}}}]
  USD: {{price: {{kind: fixed, price: 1}}}}
chains:
  mainnet:
    blocks: {{kind: fixed, interval_seconds: 12}}
    native: ETH
    tokens: [ETH, USD]
venues:
  pool: {{kind: constant_product, chain: mainnet, tokens: [{tokens}], fee: 0.003, value_usd: 100e6}}
populations:
  arbitrageur: {{kind: arbitrageurs, chain: mainnet, inventory_usd: 1e8}}
  noise:
    {{kind: noise_traders, chain: mainnet, count: 40, swaps_per_day: 20, median_usd: 500}}
  trend:
    kind: momentum_traders
    chain: mainnet
    count: {count}
    looks_per_day: 288
    median_wallet_usd: 10000
    wallet_log_sd: 1.0
    lookback_low_seconds: 600
    lookback_high_seconds: 1800
    threshold_low: 0.01
    threshold_high: 0.03
    trade_share: 0.2
    position_share: 0.4
    delay_median_seconds: 60
    cooldown_seconds: 300
    venues: [pool]
"""
UP = [[0, 2000], [2, 2000], [3, 2400], [8, 2400]]  # 18 % up in the third hour
DOWN = [[0, 2000], [2, 2000], [3, 1600], [8, 1600]]


def run(tmp_path, waypoints, until=8 * HOUR, count=60, volatility=0.0, tokens="ETH, USD"):
    """Return the model after a run, and the fills of the momentum traders."""
    file = tmp_path / "trend.yaml"
    file.write_text(
        SCENARIO.format(waypoints=waypoints, count=count, volatility=volatility, tokens=tokens)
    )
    model = build(load_scenario(str(file)), seed=11)
    world = model.world
    found = []
    world.on_fills = lambda fills: found.append(fills[fills["group"] == trend].copy())
    trend = world.group("trend")
    model.run_until(until)
    world.flush()
    world.check()
    return model, np.concatenate(found)


def eth_bought(world, fills):
    """Return the ETH that each fill brought in, below 0 for sales."""
    eth = world.token("mainnet", "ETH")
    return np.where(fills["token_out"] == eth, fills["amount_out"], -fills["amount_in"])


@pytest.mark.parametrize("tokens", ["ETH, USD", "USD, ETH"])
@pytest.mark.parametrize(("waypoints", "sign"), [(UP, 1.0), (DOWN, -1.0)])
def test_they_trade_in_the_direction_of_the_move(tmp_path, waypoints, sign, tokens):
    model, fills = run(tmp_path, waypoints, until=3 * HOUR, tokens=tokens)
    assert len(fills) > 60
    assert (fills["status"] == Status.OK).all()
    assert (sign * eth_bought(model.world, fills) > 0.0).all()
    # an even 18 % an hour takes 3.3 minutes to the least threshold of 1 %, 18.2 % the other way
    # a little less; nobody sees it sooner
    first = 2 * HOUR + HOUR * 0.01 / abs(np.log(waypoints[2][1] / 2_000.0))
    assert fills["arrival"].min() >= ticks(first)


def test_they_do_nothing_without_a_trend(tmp_path):
    model, fills = run(tmp_path, [[0, 2000], [8, 2015]])
    assert len(fills) == 0
    assert model.world.states["trend"][0].n_trades.sum() == 0


def test_the_cause_of_their_orders_is_the_price(tmp_path):
    model, fills = run(tmp_path, UP, until=3 * HOUR)
    assert (fills["parent"] == cause(PRICE, model.world.asset("ETH"))).all()


@pytest.mark.parametrize("waypoints", [UP, DOWN])
def test_they_unwind_when_the_trend_has_ended(tmp_path, waypoints):
    model, fills = run(tmp_path, waypoints)
    world, state = model.world, model.world.states["trend"][0]
    for row in np.unique(fills["row"]):
        mine = eth_bought(world, fills[fills["row"] == row])
        assert abs(mine.sum()) <= 0.02 * abs(mine[0])  # 1 % of a trade counts as closed
    assert (state.plan == 0).all()
    assert (state.direction == 0).all()


def test_no_trade_and_no_position_exceeds_its_share_of_the_wallet(tmp_path):
    # prices that turn often, so that positions open, grow, close and turn
    waypoints = [[h / 2, 2000 * (1.06 if h % 4 in (1, 2) else 0.97)] for h in range(17)]
    model, fills = run(tmp_path, waypoints, volatility=0.05)
    world, state = model.world, model.world.states["trend"][0]
    assert len(fills) > 200
    wallet = state.wallet_usd[fills["row"]]
    # the pool may be off the reference by its fee, and an order by its slippage limit of 2 %
    assert (fills["value_in"] <= 0.2 * wallet * 1.03).all()
    for row in np.unique(fills["row"]):
        mine = fills[fills["row"] == row]
        usd = np.where(
            mine["token_out"] == world.token("mainnet", "ETH"), mine["value_out"], -mine["value_in"]
        )
        position = np.cumsum(eth_bought(world, mine))
        price = np.abs(usd / eth_bought(world, mine))
        assert (np.abs(position * price) <= 0.4 * state.wallet_usd[row] * 1.10).all()
    for symbol in ("ETH", "USD"):
        assert (world.balances("trend", world.token("mainnet", symbol)) >= 0.0).all()


def test_orders_of_one_trader_are_a_cool_down_apart(tmp_path):
    _, fills = run(tmp_path, UP)
    for row in np.unique(fills["row"]):
        gaps = np.diff(fills["arrival"][fills["row"] == row])
        assert (gaps >= ticks(300.0) - 12 * TICKS_PER_SECOND).all()


def test_wallets_bound_what_they_can_lose(tmp_path):
    model, _ = run(tmp_path, UP)
    world, state = model.world, model.world.states["trend"][0]
    value = sum(
        world.balances("trend", world.token("mainnet", symbol)) * price
        for symbol, price in (("ETH", 2_400.0), ("USD", 1.0))
    )
    held = (state.wallet_usd / 2 + 500.0) * 1.2 + state.wallet_usd / 2  # had they done nothing
    # two trades of a fifth of the wallet each, there and back: four fees of 30 bp, and at most the
    # move itself gained or lost
    assert (np.abs(value - held) <= 0.4 * state.wallet_usd * (0.2 + 0.013)).all()


def test_more_traders_move_nobody_elses_draws(tmp_path):
    few, _ = run(tmp_path, [[0, 2000], [8, 2015]], until=HOUR, count=30)
    many, _ = run(tmp_path, [[0, 2000], [8, 2015]], until=HOUR, count=90)
    states = [model.world.states["trend"] for model in (few, many)]
    for name in ("wallet_usd", "lookback", "threshold", "delay", "home"):
        assert np.array_equal(getattr(states[0][0], name), getattr(states[1][0], name)[:30])
    assert np.array_equal(states[0][1].due, states[1][1].due[:30])
    noise = [model.world.states["noise"] for model in (few, many)]
    assert np.array_equal(noise[0][1].due, noise[1][1].due)
    assert np.array_equal(noise[0][0].size_usd, noise[1][0].size_usd)


def test_draws_have_the_distributions_of_the_settings(tmp_path):
    model, _ = run(tmp_path, [[0, 2000], [8, 2015]], until=12.0, count=4_000)
    state = model.world.states["trend"][0]
    u = np.log(state.lookback / ticks(600.0)) / np.log(3.0)
    v = (state.threshold - 0.01) / 0.02
    delay = 0.5 ** (state.delay / ticks(60.0))
    for uniform in (u, v, delay):  # each uniform: mean 1/2, variance 1/12; 4.5 SE: 1 in 150,000
        assert 0.0 <= uniform.min() <= uniform.max() <= 1.0
        assert uniform.mean() == pytest.approx(0.5, abs=4.5 * (12 * 4_000) ** -0.5)
    ln = np.log(state.wallet_usd / 10_000.0)
    assert ln.mean() == pytest.approx(0.0, abs=4.5 / 4_000**0.5)
    assert ln.std() == pytest.approx(1.0, abs=4.5 / 8_000**0.5)


def test_a_range_the_wrong_way_round_is_refused(tmp_path):
    file = tmp_path / "wrong.yaml"
    text = SCENARIO.format(waypoints=UP, count=3, volatility=0.0, tokens="ETH, USD")
    file.write_text(text.replace("threshold_low: 0.01", "threshold_low: 0.5"))
    with pytest.raises(ScenarioError, match=r"threshold_low \(0.5\) must be at most"):
        load_scenario(str(file))
