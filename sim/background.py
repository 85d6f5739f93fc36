"""Background demand for block space: everybody whom the simulation does not follow one by one.

Gas arrives at a rate per second; each unit bids a lognormal price. What is not included waits in a
table of gas by bid and age, so the cost of a block depends on the number of prices, not of orders.
The background obeys the rules of the mempool: lifetime, eviction of the cheapest, and, where told,
replacement (a waiting bid is raised by the replacement step now and then, so that a jump of demand
raises prices for hours). Fees go from the outside account of background users to those of
validators and base fees.

What 60 % of the gas of a full first-price block pays at most, p60, satisfies, for arrivals a and
capacity c in gas per second and bids W,

    a P(W > p60) = 0.4 min(a, c),

if what waits from earlier bids less. `median_bid` solves it for the median of W. Under a base fee
all that bid enough pay the same price p, which stands still where a P(W > p) is the target c/2.

Approximations: arrivals are a steady flow; ages are known to 1/18 of the lifetime (nothing
outlives it); background users do not cancel. On a chain that takes orders as they come the
background of a block counts as having arrived with the block before it.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from sim.gas_prices import LOWEST, N_PRICES, STEP, grid
from sim.kernel import F8x2, blank, columnar, kernel, records
from sim.orders import ORDER
from sim.registry import Config
from sim.units import GWEI, HOUR, MINUTE, TICKS_PER_SECOND, ticks

COHORTS = 18  # ages that are told apart
FOREVER = 1 << 60
_HOUR = ticks(HOUR)
_RAISE = 2  # buckets: the grid is made so that two steps are a raise of 10 %
_ABOVE_P60 = 0.4
_NORMAL = NormalDist()
_WIDEST = 4.0  # standard deviations of bids that are kept

DEMAND = np.dtype(
    [
        ("cohort", "i8"),  # ticks of one cohort
        ("period", "i8"),  # number of the cohort that arrives now
        ("last", "i8"),  # tick up to which demand has arrived
        ("low", "i8"),  # buckets that can hold anything: from …
        ("high", "i8"),  # … up to, inclusive
        ("n_hours", "i8"),
        ("tip", "f8"),  # native per gas, where a base fee is paid
        ("rebid", "f8"),  # 1/tick, rate at which waiting bids are raised
        ("arrived", "f8"),  # gas so far
        ("included", "f8"),  # gas so far
        ("dropped", "f8"),  # gas so far: expired or evicted
        ("fees", "f8"),  # native, in the block at hand
    ],
    align=True,
)


class BackgroundConfig(Config):
    """Demand for block space by everybody else; lists go by hour, their last value stays."""

    gas_per_second: list[float] = Field(
        min_length=1, description="Gas that arrives.", json_schema_extra={"unit": "gas/s"}
    )
    target_gwei: list[float] | None = Field(
        None,
        min_length=1,
        description="Gas price that is paid, 60th percentile; bids are chosen to give it.",
        json_schema_extra={"unit": "gwei"},
    )
    median_gwei: list[float] | None = Field(
        None, min_length=1, description="Median bid.", json_schema_extra={"unit": "gwei"}
    )
    log_sd: list[float] = Field(
        min_length=1, description="Standard deviation of the logarithm of bids."
    )
    tip_gwei: float = Field(
        0.0,
        ge=0.0,
        description="Priority fee they bid where a base fee is paid.",
        json_schema_extra={"unit": "gwei"},
    )
    rebid_minutes: float | None = Field(
        None,
        gt=0.0,
        description="Mean time after which a waiting bid is raised by 10 %; never if left out.",
        json_schema_extra={"unit": "min"},
    )

    @model_validator(mode="after")
    def _check(self) -> BackgroundConfig:
        if (self.target_gwei is None) == (self.median_gwei is None):
            raise ValueError("give target_gwei or median_gwei, not both")
        if self.target_gwei is not None and self.rebid_minutes is not None:
            raise ValueError(
                "target_gwei holds for bids that stay as they are; with rebid_minutes give "
                "median_gwei"
            )
        if min(self.gas_per_second) < 0.0:
            raise ValueError("gas_per_second must be 0 or more")
        for name in ("target_gwei", "median_gwei", "log_sd"):
            if min(getattr(self, name) or [1.0]) <= 0.0:
                raise ValueError(f"{name} must be above 0")
        return self


@columnar
class Background(NamedTuple):
    """Waiting gas of the chains that have background demand; rows are demands."""

    waiting: F8x2  # float64, (n * N_PRICES, COHORTS), gas by bid and age
    total: F8x2  # float64, (n, N_PRICES), gas by bid
    rate: F8x2  # float64, (n, n_hours), gas per tick
    weight: F8x2  # float64, (n * n_hours, N_PRICES), share of arrivals by bid
    price: F8x2  # float64, (1, N_PRICES), native per gas
    demand: records(DEMAND)  # type: ignore[valid-type]  # (n,)
    order: records(ORDER)  # type: ignore[valid-type]  # (1,), through which fee markets price it


def median_bid(
    target: float, arrivals: float, capacity: float, log_sd: float, *, is_base_fee: bool
) -> float:
    """Return the median bid with which a steady demand pays a target price.

    Parameters
    ----------
    target : price, any unit: the 60th percentile of what is paid
    arrivals, capacity : gas per second
    log_sd : of the bids
    is_base_fee : all pay one price, and blocks are half full; else each pays its bid
    """
    above = 0.5 * capacity if is_base_fee else _ABOVE_P60 * min(arrivals, capacity)
    share = min(above / arrivals, 1.0 - 1e-3) if arrivals > 0.0 else _ABOVE_P60
    return float(target * math.exp(log_sd * _NORMAL.inv_cdf(share)))


def bid_weights(median: float, log_sd: float) -> np.ndarray:
    """Return the share of lognormal bids in each bucket: float64, (N_PRICES,), adds up to 1."""
    edges = np.log(LOWEST) + STEP * np.arange(1, N_PRICES)
    z = (edges - math.log(median)) / log_sd
    cumulative = np.array([0.0, *map(_NORMAL.cdf, z), 1.0])
    cumulative[1:-1][z < -_WIDEST] = 0.0
    cumulative[1:-1][z > _WIDEST] = 1.0
    return np.diff(cumulative)


def _at(values: list[float], hour: int) -> float:
    return values[min(hour, len(values) - 1)]


def _medians(config: BackgroundConfig, n: int, capacity: float, *, is_base_fee: bool) -> list[Any]:
    """Return the median bid of each hour, native per gas."""
    if config.median_gwei is not None:
        return [_at(config.median_gwei, hour) * GWEI for hour in range(n)]
    targets = config.target_gwei or []
    return [
        median_bid(
            _at(targets, hour) * GWEI,
            _at(config.gas_per_second, hour),
            capacity,
            _at(config.log_sd, hour),
            is_base_fee=is_base_fee,
        )
        for hour in range(n)
    ]


def make_background(
    chains: list[tuple[BackgroundConfig, float, float, bool]],
) -> Background:
    """Return the demand of the chains that have one, with nothing waiting yet.

    Parameters
    ----------
    chains : of each its (demand, capacity in gas per second, lifetime of orders in seconds or 0,
        whether a base fee is paid)
    """
    lists = [(c.gas_per_second, c.target_gwei or c.median_gwei or [], c.log_sd) for c, *_ in chains]
    n_hours = max((len(values) for found in lists for values in found), default=1)
    n = len(chains)
    made = Background(
        waiting=np.zeros((n * N_PRICES, COHORTS)),
        total=np.zeros((n, N_PRICES)),
        rate=np.zeros((n, n_hours)),
        weight=np.zeros((n * n_hours, N_PRICES)),
        price=grid()[np.newaxis].copy(),
        demand=blank(n, DEMAND),
        order=blank(1, ORDER),
    )
    for row, (config, capacity, lifetime, is_base_fee) in enumerate(chains):
        for hour, median in enumerate(_medians(config, n_hours, capacity, is_base_fee=is_base_fee)):
            made.rate[row, hour] = _at(config.gas_per_second, hour) / TICKS_PER_SECOND
            made.weight[row * n_hours + hour] = bid_weights(median, _at(config.log_sd, hour))
        used = np.flatnonzero(made.weight[row * n_hours : (row + 1) * n_hours].sum(axis=0))
        record = made.demand[row]
        record["cohort"] = max(ticks(lifetime) // COHORTS, 1) if lifetime > 0.0 else FOREVER
        record["n_hours"] = n_hours
        record["low"], record["high"] = used[0], used[-1]
        record["tip"] = config.tip_gwei * GWEI
        if config.rebid_minutes is not None:
            record["rebid"] = 1.0 / ticks(config.rebid_minutes * MINUTE)
            record["high"] = N_PRICES - 1
    return made


# --- kernels -------------------------------------------------------------------------------------


@kernel
def arrive(background, row, now):  # type: ignore[no-untyped-def]
    """Bring a demand to now: raise waiting bids, let the old ones go and the new ones come."""
    demand = background.demand[row]
    if demand.rebid > 0.0:
        raise_waiting(background, row, 1.0 - math.exp(-demand.rebid * (now - demand.last)))
    while demand.last < now:
        if demand.last // demand.cohort != demand.period:
            demand.period = demand.last // demand.cohort
            expire(background, row)
        hour = demand.last // _HOUR
        until = min(now, (hour + 1) * _HOUR, (demand.period + 1) * demand.cohort)
        at = row * demand.n_hours + min(hour, demand.n_hours - 1)
        gas = background.rate[row, min(hour, demand.n_hours - 1)] * (until - demand.last)
        cohort = demand.period % COHORTS
        for k in range(demand.low, demand.high + 1):
            new = gas * background.weight[at, k]
            background.waiting[row * N_PRICES + k, cohort] += new
            background.total[row, k] += new
        demand.arrived += gas
        demand.last = until


@kernel
def expire(background, row):  # type: ignore[no-untyped-def]
    """Drop the oldest cohort, whose place the new one takes; add the others up anew."""
    demand = background.demand[row]
    oldest = demand.period % COHORTS
    for k in range(demand.low, demand.high + 1):
        waiting = background.waiting[row * N_PRICES + k]
        demand.dropped += waiting[oldest]
        waiting[oldest] = 0.0
        total = 0.0
        for cohort in range(COHORTS):
            total += waiting[cohort]
        background.total[row, k] = total


@kernel
def raise_waiting(background, row, share):  # type: ignore[no-untyped-def]
    """Raise the bids of a share of all that waits by the replacement step."""
    demand = background.demand[row]
    for n in range(demand.high - _RAISE - demand.low + 1):
        k = demand.high - _RAISE - n
        if background.total[row, k] <= 0.0:
            continue
        for cohort in range(COHORTS):
            moved = share * background.waiting[row * N_PRICES + k, cohort]
            background.waiting[row * N_PRICES + k, cohort] -= moved
            background.waiting[row * N_PRICES + k + _RAISE, cohort] += moved
            background.total[row, k] -= moved
            background.total[row, k + _RAISE] += moved


@kernel
def draw_off(background, row, k, gas):  # type: ignore[no-untyped-def]
    """Take gas of one bid out of what waits, the oldest first."""
    at, left = background.demand[row].period % COHORTS, gas
    waiting = background.waiting[row * N_PRICES + k]
    for _ in range(COHORTS):
        at = at + 1 if at + 1 < COHORTS else 0
        part = min(waiting[at], left)
        waiting[at] -= part
        left -= part
        if left <= 0.0:
            break
    background.total[row, k] = max(background.total[row, k] - gas, 0.0)


@kernel
def best_bid(background, row, below):  # type: ignore[no-untyped-def]
    """Return the highest bucket below one in which gas waits, or -1."""
    k = min(below - 1, background.demand[row].high)
    while k >= background.demand[row].low:
        if background.total[row, k] > 0.0:
            return k
        k -= 1
    return -1


@kernel
def worst_bid(background, row, least):  # type: ignore[no-untyped-def]
    """Return the lowest bucket from one on in which gas waits, or -1."""
    for k in range(max(background.demand[row].low, least), background.demand[row].high + 1):
        if background.total[row, k] > 0.0:
            return k
    return -1


@kernel
def waiting_gas(background, row):  # type: ignore[no-untyped-def]
    """Return all gas that waits."""
    total = 0.0
    for k in range(background.demand[row].low, background.demand[row].high + 1):
        total += background.total[row, k]
    return total
