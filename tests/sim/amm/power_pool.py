"""Pools by trading functions of our own: weighted, and x^a + y^a (Niemerg et al. 2020)."""

import math
from typing import Literal

from sim.amm.custom_curve import CurveConfig, answer, curve_mechanism, point_at
from sim.kernel import handler, kernel


@kernel
def weighted_logs(reserves, weights):
    """Sum of weights times logarithms; a weight of 0 is no token."""
    total = 0.0
    for k in range(reserves.shape[0]):
        if weights[k] > 0.0:
            total += weights[k] * math.log(reserves[k])
    return total


@handler
def weighted_curve(binding, pool):
    reserves, parameters = point_at(binding, pool)
    return answer(binding, weighted_logs(reserves, parameters))


@handler
def power_curve(binding, pool):
    reserves, parameters = point_at(binding, pool)
    return answer(binding, reserves[0] ** parameters[0] + reserves[1] ** parameters[0])


@handler
def falling_curve(binding, pool):
    reserves, _ = point_at(binding, pool)
    return answer(binding, reserves[0] - reserves[1])


class LogPoolConfig(CurveConfig):
    """A weighted pool by its trading function."""

    kind: Literal["log_pool"]


class PowerPoolConfig(CurveConfig):
    """A pool that keeps x^a + y^a."""

    kind: Literal["power_pool"]


LOG_POOL = curve_mechanism("log_pool", LogPoolConfig, weighted_curve)
POWER_POOL = curve_mechanism("power_pool", PowerPoolConfig, power_curve)
BROKEN = curve_mechanism("power_pool", PowerPoolConfig, falling_curve)
