"""Kernels that draw log price paths in place: normals, their correlation, and the walk.

A path is an array with one element per grid step. It first holds standard normals, element k the
one that moves the price from step k - 1 to step k, and is then overwritten by prices. A draw
belongs to its step, jump or switch, so a longer horizon never changes an earlier price.
"""

from __future__ import annotations

import math

from sim.draws import normal, normals, uniforms
from sim.kernel import kernel

# The `draw` part of the addresses of an asset's stream.
NORMAL = 0  # index = pair of steps
JUMP = 1  # index = number of the jump
SWITCH = 2  # index = number of the stay in a regime


@kernel(inline=False)
def fill_normals(path, seed, stream):  # type: ignore[no-untyped-def]
    """Write a standard normal to each step but the first; an address gives two of them."""
    last = path.shape[0] - 1
    for pair in range((last + 1) // 2):
        first, second = normals(seed, stream, pair, 0, NORMAL)
        path[2 * pair + 1] = first
        if 2 * pair + 2 <= last:
            path[2 * pair + 2] = second


@kernel(inline=False)
def correlate(paths, assets, factor):  # type: ignore[no-untyped-def]
    """Turn independent normals into correlated ones, in place.

    Parameters
    ----------
    paths : float64, (n_assets, n_steps + 1), standard normals
    assets : int64, (n,), rows of `paths` in the order of `factor`
    factor : float64, (n, n), lower triangular Cholesky factor
    """
    for step in range(1, paths.shape[1]):
        # From the last row up: each row needs only rows above it, not yet overwritten.
        for i in range(assets.shape[0] - 1, -1, -1):
            mixed = 0.0
            for j in range(i + 1):
                mixed += factor[i, j] * paths[assets[j], step]
            paths[assets[i], step] = mixed


@kernel
def exponential(u, mean):  # type: ignore[no-untyped-def]
    """Return the exponential variate of a uniform."""
    return -math.log(u) * mean


@kernel
def next_regime(onward, regime, u):  # type: ignore[no-untyped-def]
    """Return the regime that follows; `onward[i, j]` is the chance of a regime up to j after i."""
    found = 0
    while u > onward[regime, found] and found < onward.shape[1] - 1:
        found += 1
    return found


@kernel(inline=False)
def walk(  # type: ignore[no-untyped-def]
    path, price, step_days, drift, volatility, dwell_days, onward, jumps, seed, stream
):
    """Turn normals into a price path with jumps and switching regimes, in place.

    Parameters
    ----------
    path : float64, (n_steps + 1,), standard normals in, prices out
    price : price at step 0
    step_days : length of a step, days
    drift, volatility : float64, (n_regimes,), of the log price, per day and per sqrt(day)
    dwell_days : float64, (n_regimes,), mean stay; inf when there is one regime
    onward : float64, (n_regimes, n_regimes), cumulative chances of the next regime
    jumps : float64, (3,), mean gap in days (inf: none), mean and standard deviation in log price
    """
    regime = 0
    n_stays = 0
    n_jumps = 0
    switch_at = math.inf
    chance = 0.0
    if drift.shape[0] > 1:
        u, chance = uniforms(seed, stream, n_stays, 0, SWITCH)
        switch_at = exponential(u, dwell_days[regime])
    jump_at = math.inf
    size = 0.0
    if jumps[0] < math.inf:
        u, v = uniforms(seed, stream, n_jumps, 0, JUMP)
        jump_at = exponential(u, jumps[0])
        size = jumps[1] + jumps[2] * normal(v)
    mean = drift[regime] * step_days
    deviation = volatility[regime] * math.sqrt(step_days)
    log_return = 0.0
    path[0] = price
    for step in range(1, path.shape[0]):
        now = step * step_days
        if switch_at >= now:
            log_return += mean + deviation * path[step]
        else:  # the regime changes within the step: its parts add up
            since = (step - 1) * step_days
            mean = 0.0
            variance = 0.0
            while switch_at < now:
                span = switch_at - since
                mean += drift[regime] * span
                variance += volatility[regime] ** 2 * span
                since = switch_at
                regime = next_regime(onward, regime, chance)
                n_stays += 1
                u, chance = uniforms(seed, stream, n_stays, 0, SWITCH)
                switch_at += exponential(u, dwell_days[regime])
            mean += drift[regime] * (now - since)
            variance += volatility[regime] ** 2 * (now - since)
            log_return += mean + math.sqrt(variance) * path[step]
            mean = drift[regime] * step_days
            deviation = volatility[regime] * math.sqrt(step_days)
        while jump_at < now:
            log_return += size
            n_jumps += 1
            u, v = uniforms(seed, stream, n_jumps, 0, JUMP)
            jump_at += exponential(u, jumps[0])
            size = jumps[1] + jumps[2] * normal(v)
        path[step] = price * math.exp(log_return)
