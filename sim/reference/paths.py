"""Fundamental prices on their own grid, drawn ahead of a run.

Element k of a path is the price at k steps. A path is a function of its settings, the seed, the
asset's name and the step: a longer horizon, or an asset declared later, changes no number of it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.draws import stream_id
from sim.errors import ScenarioError
from sim.reference.bridge import NO_VOLATILITY, fill_bridge
from sim.reference.candles import Candles, load_candles
from sim.reference.config import (
    CorrelationConfig,
    FixedPriceConfig,
    GbmPriceConfig,
    JumpDiffusionPriceConfig,
    PriceConfig,
    RegimeSwitchingPriceConfig,
    ReplayPriceConfig,
    WaypointsPriceConfig,
)
from sim.reference.correlation import correlation_factor
from sim.reference.diffusion import correlate, fill_normals, walk
from sim.reference.pinned import stressed
from sim.reference.replay import candle_knots
from sim.reference.waypoints import waypoint_knots, waypoint_volatility
from sim.units import DAY, HOUR, TICKS_PER_SECOND, ticks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_PRICES = 2**28  # 2 GiB of float64


class _PathRequest(NamedTuple):
    """Which path is to be filled."""

    asset: str
    step_ticks: int
    horizon_ticks: int
    seed: int
    candles: Candles | None  # read already, or None: read the file of the settings

    @property
    def stream(self) -> int:
        """Return the stream of the asset's draws."""
        return stream_id(f"price:{self.asset}")


def make_paths(
    configs: Mapping[str, PriceConfig],
    horizon_seconds: float,
    step_seconds: float,
    seed: int,
    correlation: Sequence[CorrelationConfig] = (),
    candles: Mapping[str, Candles] | None = None,
) -> np.ndarray:
    """Return the fundamental price of each asset at each step.

    Parameters
    ----------
    configs : price settings by asset, in declared order
    horizon_seconds : time to cover; the grid ends at the first step that is not before it
    step_seconds : length of a step, rounded to a tick
    seed : seed of the run
    correlation : correlations of diffusive parts; by default none
    candles : candles of replayed assets that are in memory already, instead of their files

    Returns
    -------
    float64, (n_assets, n_steps + 1), USD, C-contiguous; row = asset in declared order

    Raises
    ------
    ScenarioError
        The grid is not usable, a path does not reach the horizon, a price file is wrong, or the
        correlations cannot hold together.
    """
    step_ticks, horizon_ticks = ticks(step_seconds), ticks(horizon_seconds)
    n_steps = _count_steps(step_ticks, horizon_ticks, len(configs))
    assets, factor = correlation_factor(correlation, configs)
    paths = np.empty((len(configs), n_steps + 1))
    requests = [
        _PathRequest(asset, step_ticks, horizon_ticks, seed, (candles or {}).get(asset))
        for asset in configs
    ]
    for path, request, config in zip(paths, requests, configs.values(), strict=True):
        if config.is_diffusive:
            fill_normals(path, seed, request.stream)
    if assets:
        rows = [list(configs).index(asset) for asset in assets]
        correlate(paths, np.array(rows, np.int64), factor)
    for path, request, config in zip(paths, requests, configs.values(), strict=True):
        _FILL[type(config)](path, config, request)
        _check_prices(path, request)
    return paths


def _count_steps(step_ticks: int, horizon_ticks: int, n_assets: int) -> int:
    if step_ticks < 1:
        raise ScenarioError(
            f"step_seconds is {step_ticks / TICKS_PER_SECOND:g}; it must be at least "
            f"{1 / TICKS_PER_SECOND:g}"
        )
    if horizon_ticks < 0:
        raise ScenarioError(
            f"horizon is {horizon_ticks / TICKS_PER_SECOND:g} s; it must be at least 0"
        )
    n_steps = -(-horizon_ticks // step_ticks)
    if n_assets * (n_steps + 1) > MAX_PRICES:
        shortest = horizon_ticks * n_assets / MAX_PRICES / TICKS_PER_SECOND
        raise ScenarioError(
            f"step_seconds {step_ticks / TICKS_PER_SECOND:g} makes {n_assets * (n_steps + 1):,} "
            f"prices; at most {MAX_PRICES:,} are held: use a step of {shortest:.3g} s or more"
        )
    return n_steps


def _check_prices(path: np.ndarray, request: _PathRequest) -> None:
    """Refuse a path that left the range of numbers."""
    if path.min() > 0.0 and path.max() < math.inf:
        return
    step = int(np.flatnonzero(~((path > 0.0) & (path < math.inf)))[0])
    hour = step * request.step_ticks / TICKS_PER_SECOND / HOUR
    raise ScenarioError(
        f"price of {request.asset} is {path[step]:g} at hour {hour:g}; it must stay a number above "
        "0: lower the drift, the volatility, the jumps or the horizon"
    )


def _fill_fixed(path: np.ndarray, config: FixedPriceConfig, request: _PathRequest) -> None:
    path[:] = config.price


def _fill_gbm(path: np.ndarray, config: GbmPriceConfig, request: _PathRequest) -> None:
    _fill_walk(path, config, request, [config])


def _fill_jumps(path: np.ndarray, config: JumpDiffusionPriceConfig, request: _PathRequest) -> None:
    gap = 1.0 / config.jumps_per_day if config.jumps_per_day > 0 else math.inf
    growth = math.expm1(config.jump_mean + config.jump_sd**2 / 2)
    jumps = (gap, config.jump_mean, config.jump_sd)
    _fill_walk(path, config, request, [config], jumps, config.jumps_per_day * growth)


def _fill_regimes(
    path: np.ndarray, config: RegimeSwitchingPriceConfig, request: _PathRequest
) -> None:
    _fill_walk(path, config, request, config.regimes)


def _fill_walk(
    path: np.ndarray,
    config: Any,
    request: _PathRequest,
    regimes: Sequence[Any],
    jumps: tuple[float, float, float] = (math.inf, 0.0, 0.0),
    jump_growth: float = 0.0,
) -> None:
    """Fill a path of one or more regimes, with or without jumps that grow the price so fast."""
    volatility = np.array([regime.volatility for regime in regimes])
    drift = np.array([regime.drift_per_day for regime in regimes])
    if config.drift_of == "price":
        drift = drift - volatility**2 / 2 - jump_growth
    dwell_days = np.array([getattr(r, "mean_dwell_seconds", math.inf) for r in regimes]) / DAY
    step_days = request.step_ticks / TICKS_PER_SECOND / DAY
    walk(
        path,
        config.price,
        step_days,
        drift,
        volatility,
        dwell_days,
        _onward(regimes),
        np.array(jumps),
        request.seed,
        request.stream,
    )


def _onward(regimes: Sequence[Any]) -> np.ndarray:
    """Return the cumulative chances of the regime that follows each."""
    weights = np.ones((len(regimes), len(regimes)))
    for row, regime in enumerate(regimes):
        named = getattr(regime, "next_weights", None)
        if named is not None:
            weights[row] = [named.get(other.name, 0.0) for other in regimes]
        weights[row, row] = 0.0
    total = np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    return np.cumsum(weights / total, axis=1)


def _fill_waypoints(path: np.ndarray, config: WaypointsPriceConfig, request: _PathRequest) -> None:
    knots = waypoint_knots(config, request.step_ticks)
    if knots.step[-1] < len(path) - 1:
        raise ScenarioError(
            f"waypoints of {request.asset} end at hour {config.waypoints[-1][0]:g}; they must "
            f"reach the horizon of {request.horizon_ticks / TICKS_PER_SECOND / HOUR:g} hours: "
            "add a waypoint or shorten the run"
        )
    volatility = waypoint_volatility(config, request.step_ticks)
    fill_bridge(path, *stressed(knots, volatility, config, len(path) - 1))


def _fill_replay(path: np.ndarray, config: ReplayPriceConfig, request: _PathRequest) -> None:
    candles = request.candles
    if candles is None:
        horizon_seconds = request.horizon_ticks / TICKS_PER_SECOND
        candles = load_candles(config.file, config.start, horizon_seconds)
    if config.sha256 not in (None, candles.sha256):
        raise ScenarioError(
            f"price file {config.file} has SHA-256 {candles.sha256}; the scenario was made with "
            f"{config.sha256}: give that file, or remove sha256"
        )
    knots = candle_knots(config, candles, request.step_ticks)
    if knots.step[-1] < len(path) - 1:
        covered = len(candles.time) * candles.interval / TICKS_PER_SECOND
        raise ScenarioError(
            f"candles of {request.asset} cover {covered / HOUR:g} hours; they must reach the "
            f"horizon of {request.horizon_ticks / TICKS_PER_SECOND / HOUR:g} hours: shorten the "
            "run or give more candles"
        )
    fill_bridge(path, *stressed(knots, NO_VOLATILITY, config, len(path) - 1))


_FILL: dict[type, Any] = {
    FixedPriceConfig: _fill_fixed,
    GbmPriceConfig: _fill_gbm,
    JumpDiffusionPriceConfig: _fill_jumps,
    RegimeSwitchingPriceConfig: _fill_regimes,
    WaypointsPriceConfig: _fill_waypoints,
    ReplayPriceConfig: _fill_replay,
}
