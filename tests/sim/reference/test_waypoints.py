"""Bridges through waypoints and wicks.

Monte Carlo tests accept 4.5 standard errors, a false alarm of 7e-6 for each comparison and seed.
"""

import math

import numpy as np
import pytest

from sim.errors import ScenarioError
from sim.reference.config import WaypointsPriceConfig
from sim.reference.paths import make_paths
from sim.units import DAY

Z = 4.5
# 12 March 2020 00:00 UTC + hours: five-minute closes of ETH/USDT, and three lows between closes.
BLACK_THURSDAY = [
    [0, 194.61], [2, 185.0], [6, 181.8], [7, 173.8], [8, 171.6], [10.17, 167.95], [10.58, 162.05],
    [10.83, 143.05], [11.00, 132.91], [11.17, 142.59], [11.75, 128.90], [12.33, 141.59],
    [13.75, 128.38], [14.67, 141.57], [17.17, 144.25], [19.92, 139.54], [20.92, 126.76],
    [22.17, 133.08], [23.33, 121.24], [23.58, 106.52], [25.67, 107.29], [26.00, 96.62],
    [26.25, 88.35], [26.50, 95.97], [26.67, 116.67], [27.00, 111.12], [27.67, 133.10],
    [27.83, 118.87], [29.00, 109.70], [29.17, 121.00], [30.08, 114.50], [36.92, 127.64],
    [37.58, 139.39], [39.75, 115.65], [40.75, 128.23], [42.83, 115.23], [44.0, 128.32],
    [48.0, 134.06],
]  # fmt: skip
WICKS = [[10.79, 125.0], [11.04, 123.0], [26.29, 86.0]]
SEGMENTS = [[10.5, 0.09], [13, 0.34], [23, 0.15], [29, 0.35], [48, 0.23]]


def waypoints(points, segments, **values):
    volatility = [{"until_hours": end, "volatility": level} for end, level in segments]
    return WaypointsPriceConfig.model_validate(
        {"kind": "waypoints", "waypoints": points, "volatility": volatility, **values}
    )


def path_of(config, hours, step=1.0, seed=7):
    return make_paths({"ETH": config}, hours * 3_600, step, seed)[0]


@pytest.mark.parametrize("step", [1.0, 0.5, 7.0])
def test_the_path_meets_every_waypoint_and_wick_exactly(step):
    path = path_of(waypoints(BLACK_THURSDAY, SEGMENTS, wicks=WICKS), 48, step)
    for hour, price in BLACK_THURSDAY + WICKS:
        assert path[math.ceil(round(hour * 3_600, 6) / step)] == price


def test_each_segment_has_the_stated_local_volatility():
    path = path_of(waypoints(BLACK_THURSDAY, SEGMENTS), 48)
    squares = np.diff(np.log(path)) ** 2
    begin = 0.0
    for end, volatility in SEGMENTS:
        inside = squares[round(begin * 3_600) : round(end * 3_600)]
        realized = math.sqrt(inside.mean() * DAY)
        # A bridge of n steps takes back about ln(n) / n of the variance: below 0.4 % here, as is
        # what the slopes add; half of each enters the volatility.
        assert abs(realized / volatility - 1) < Z / math.sqrt(2 * len(inside)) + 0.004
        begin = end


def test_black_thursday_realizes_the_volatility_of_that_day():
    # The real five-minute closes realize 29 % per sqrt(day). The mean over 8 seeds of a sum of 576
    # squares has a relative standard error below 2 %; waypoints and noise together reproduce 29 %
    # as far as the calibration rounds: we ask for 26 to 32 %.
    realized = []
    for seed in range(8):
        closes = path_of(waypoints(BLACK_THURSDAY, SEGMENTS), 48, 5.0, seed)[::60]
        realized.append(math.sqrt(np.sum(np.diff(np.log(closes)) ** 2) / 2))
    assert 0.26 < np.mean(realized) < 0.32


def test_without_volatility_the_path_is_log_linear():
    path = path_of(waypoints([[0, 100.0], [1, 50.0], [3, 200.0]], [[3, 0.0]]), 3, 60.0)
    expected = np.concatenate((100 * 0.5 ** (np.arange(60) / 60), 50 * 4 ** (np.arange(121) / 120)))
    assert np.allclose(path, expected, rtol=1e-14)


def test_noise_between_waypoints_has_the_variance_of_a_brownian_bridge():
    # Volatility 0.1 for 4 h, then 0.3 for 8 h, between waypoints 12 h apart; in units of 0.1^2 h
    # the variance is a = 4 up to hour 4 and b = 72 after it.
    config = waypoints([[0, 1.0], [12, 1.0]], [[4, 0.1], [12, 0.3]])
    n = 4_000
    logs = np.array([np.log(path_of(config, 12, 1_800.0, seed)) for seed in range(n)])
    for hour, before in ((2, 2.0), (4, 4.0), (8, 40.0)):
        variance = before * (76 - before) / 76 * 0.01 / 24
        sample = logs[:, 2 * hour]
        assert abs(sample.mean()) < Z * math.sqrt(variance / n)
        assert abs(sample.var() / variance - 1) < Z * math.sqrt(2 / n)


def test_noise_ends_where_volatility_ends_before_a_waypoint():
    config = waypoints([[0, 1.0], [2, 1.0]], [[1, 0.2], [2, 0.0]])
    path = path_of(config, 2, 60.0)
    assert np.std(path[:60]) > 1e-3
    assert np.allclose(path[60:], 1.0, atol=1e-12)


def test_a_wick_leaves_the_line_and_returns_within_its_seconds():
    config = waypoints([[0, 100.0], [1, 100.0]], [[1, 0.0]], wicks=[[0.5, 81.0]], wick_seconds=30.0)
    path = path_of(config, 1)
    assert path[1_800] == path.min() == 81.0
    assert path[[1_785, 1_815]] == pytest.approx(90.0)  # halfway in log price
    assert np.allclose(np.delete(path, slice(1_771, 1_830)), 100.0)


def test_a_wick_beside_a_waypoint_leaves_from_it():
    config = waypoints([[0, 100.0], [1, 100.0]], [[1, 0.0]], wicks=[[0.005, 90.0]])
    path = path_of(config, 1)
    assert path[0] == 100.0
    assert path[18] == 90.0
    assert path[9] == pytest.approx(math.sqrt(9_000))


def test_waypoints_that_end_before_the_horizon_are_refused():
    config = waypoints([[0, 1.0], [2, 1.0]], [[2, 0.1]])
    with pytest.raises(ScenarioError, match=r"of ETH end at hour 2.*horizon of 2\.5 hours"):
        path_of(config, 2.5)


def test_waypoints_on_one_step_are_refused():
    config = waypoints([[0, 1.0], [0.99, 1.0], [1, 2.0]], [[2, 0.1]])
    with pytest.raises(ScenarioError, match=r"hours 0\.99 and 1 fall on one step of 60 s"):
        path_of(config, 1, 60.0)


def test_a_volatility_segment_shorter_than_a_step_is_refused():
    config = waypoints([[0, 1.0], [1, 1.0]], [[0.49, 0.1], [0.495, 0.9], [1, 0.1]])
    with pytest.raises(ScenarioError, match=r"until hour 0\.495 lasts no step of 60 s"):
        path_of(config, 1, 60.0)
