"""A1 to A7, A14, A40: loss versus rebalancing, fees and block times, against closed forms.

The worlds are `experiments.verify.rebalancing`; for a quick look their seeds are the tests'.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy.optimize import minimize_scalar

from experiments.verify import rebalancing as worlds
from experiments.verify.rebalancing import FEES, GAIN, LOSS, SIGMA, TURNOVER
from experiments.verify.rows import Finding, Registry, Seeds, near
from sim.amm.concentrated import ConcentratedLiquidityPool
from sim.units import DAY

ROWS = Registry()
_MILIONIS = "Milionis et al. 2023, arXiv 2305.14604"
_FEW, _MANY = tuple(range(1, 13)), tuple(range(1, 49))  # 20 days each
_YEARS = Seeds((21, 22, 23), tuple(range(21, 33)))
_BP = 1e4


def _of(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """Return the seeds of short worlds that go with those of the years that name a row."""
    return _FEW if len(seeds) <= 4 else _MANY


@ROWS.row(
    "A1",
    "without fee the loss is an eighth of the variance",
    "Milionis et al. 2022, arXiv 2208.06046",
    seeds=Seeds((1, 2, 3), tuple(range(1, 13))),
    group="rebalancing: steps",
    cost=5.0,
)
def _lvr(seeds: tuple[int, ...]) -> list[Finding]:
    found = []
    for sigma in (0.05, 0.08):
        value, error = worlds.without_fee(seeds, sigma).mean(GAIN)
        expected = sigma**2 / 8.0 / (1.0 - sigma**2 * 60.0 / DAY / 8.0)
        name = f"loss a day at {100 * sigma:g} %"
        found.append(
            near(
                name, _BP * value, _BP * expected, 0.005, standard_error=_BP * error, unit="bp/day"
            )
        )
    return found


# name of the pool, block seconds; fees are those of the pools
_PROBABILITIES = {
    "poisson": (
        ("eth-usd", 12.0),
        ("ten-bp", 12.0),
        ("five-bp", 12.0),
        ("one-bp", 12.0),
        ("slow-ten", 120.0),
        ("slow-five", 120.0),
        ("slow-one", 120.0),
    ),
    "slowest": (
        ("slowest-thirty", 600.0),
        ("slowest-ten", 600.0),
        ("slowest-five", 600.0),
        ("slowest-one", 600.0),
    ),
    "fastest": (("fastest-five", 2.0), ("fastest-one", 2.0)),
}


def _probability(pool: worlds.Pool, seconds: float) -> Finding:
    value, error = pool.trade_probability()
    expected = worlds.trade_probability(SIGMA, pool.gamma, seconds)
    name = f"{_BP * pool.fee:.3g} bp, blocks of {seconds:g} s"
    return near(name, value, expected, 0.01, standard_error=error)


@ROWS.row(
    "A2",
    "the share of blocks with a trade, by block time and fee (13 of the 30 published cells)",
    _MILIONIS,
    seeds=_YEARS,
    group="rebalancing: blocks",
    cost=25.0,
)
def _trades(seeds: tuple[int, ...]) -> list[Finding]:
    few = len(seeds) <= 4
    sets = {
        "poisson": worlds.poisson(_of(seeds)),
        "slowest": worlds.slowest(tuple(range(31, 35 if few else 47))),
        "fastest": worlds.fastest(tuple(range(41, 46 if few else 61))),
    }
    return [
        _probability(sets[name][pool], seconds)
        for name, pools in _PROBABILITIES.items()
        for pool, seconds in pools
    ]


@ROWS.row(
    "A3",
    "what arbitrageurs gain with fees and blocks at random",
    _MILIONIS,
    seeds=_YEARS,
    group="rebalancing: blocks",
)
def _gains(seeds: tuple[int, ...]) -> list[Finding]:
    pools = {
        "5 bp": worlds.poisson(_of(seeds))["five-bp"],
        "30 bp": worlds.thirty(_of(seeds), seeds),
    }
    return [
        near(
            f"gain a day at {name}, 12 s",
            _BP * pool.per_loss(GAIN)[0],
            _BP * worlds.gain_rate(SIGMA, pool.gamma, 12.0),
            0.01,
            standard_error=_BP * pool.per_loss(GAIN)[1],
            unit="bp/day",
        )
        for name, pool in pools.items()
    ]


@ROWS.row(
    "A4",
    "gain and fees add up to the loss; turnover of arbitrage",
    _MILIONIS,
    seeds=_YEARS,
    group="rebalancing: blocks",
)
def _sums(seeds: tuple[int, ...]) -> list[Finding]:
    pool = worlds.thirty(_of(seeds), seeds)
    whole, fees, turnover = pool.mean(GAIN, FEES), pool.per_loss(FEES), pool.per_loss(TURNOVER)
    share = fees[0] / LOSS, fees[1] / LOSS
    return [
        near(
            "gain and fees a day, 30 bp, 12 s",
            _BP * whole[0],
            _BP * LOSS,
            0.01,
            standard_error=_BP * whole[1],
            unit="bp/day",
        ),
        near("fees over loss", share[0], 0.8780, 0.01, standard_error=share[1]),
        near(
            "turnover a day", turnover[0], 0.09146, 0.01, standard_error=turnover[1], unit="1/day"
        ),
    ]


@ROWS.row(
    "A5",
    "blocks at fixed intervals: gain and share of blocks with a trade",
    "Nezlobin and Tassy 2025, arXiv 2505.05113",
    seeds=Seeds((1,), (1, 2, 3, 4)),
    group="rebalancing: fixed",
    cost=4.0,
)
def _fixed(seeds: tuple[int, ...]) -> list[Finding]:
    pools, found = worlds.fixed(seeds), []
    for name, seconds, label in (
        ("eth-usd", 12.0, "30 bp, 12 s"),
        ("five-bp", 12.0, "5 bp, 12 s"),
        ("slow-thirty", 600.0, "30 bp, 600 s"),
    ):
        value, error = pools[name].per_loss(GAIN)
        expected = worlds.fixed_gain_rate(SIGMA, pools[name].gamma, seconds)
        found.append(
            near(
                f"gain a day at {label}",
                _BP * value,
                _BP * expected,
                0.015 if seconds < 60.0 else 0.02,
                standard_error=_BP * error,
                unit="bp/day",
            )
        )
    value, error = pools["eth-usd"].trade_probability()
    return [
        *found,
        near("trade probability, 30 bp, 12 s", value, 0.1246, 0.015, standard_error=error),
    ]


@ROWS.row(
    "A6",
    "gain grows with the root of block time, one over the fee, the cube of volatility",
    _MILIONIS,
    seeds=Seeds((1, 2, 3), tuple(range(1, 13))),
    group="rebalancing: scaling",
    cost=12.0,
)
def _slopes(seeds: tuple[int, ...]) -> list[Finding]:
    return [
        near(name, *measured, **terms)  # type: ignore[arg-type]
        for name, measured, terms in (
            _slope("d ln gain / d ln block time", worlds.slope_in_block_time(seeds), 0.5),
            _slope("d ln gain / d ln fee", worlds.slope_in_fee(seeds), -1.0),
            _slope("d ln gain / d ln volatility", worlds.slope_in_volatility(seeds), 3.0),
        )
    ]


def _slope(
    name: str, measured: tuple[float, float], expected: float
) -> tuple[str, tuple[float, float, float], dict[str, float | bool]]:
    value, error = measured
    return name, (value, expected, 0.05), {"standard_error": error, "is_absolute": True}


# --- ranges --------------------------------------------------------------------------------------

PRICE, BOUNDS, TICKS = 2_000.0, (1_600.0, 2_500.0), (73_777, 78_240)


def range_value(price: float, low: float, high: float) -> float:
    """Return the value in token 1 of one unit of liquidity in a range."""
    root = math.sqrt(min(max(price, low), high))
    return price * (1.0 / root - 1.0 / math.sqrt(high)) + root - math.sqrt(low)


def loss_of_a_day(normals: np.ndarray, sigma: float) -> float:
    """Return the loss of a range to somebody who moves the pool to the price at each step.

    Of its first value; the price is a martingale that starts at `PRICE`.
    """
    pool = ConcentratedLiquidityPool(0.0, 1, math.sqrt(PRICE))
    amount0, amount1 = pool.mint("ann", *TICKS, 1e6)
    step = sigma / math.sqrt(len(normals))
    prices = PRICE * np.exp(np.cumsum(step * normals - step**2 / 2.0))
    loss = 0.0
    for price in prices.tolist():
        root = math.sqrt(price)
        received0, received1 = pool.swap(root < pool.sqrt_price, math.inf, root)
        loss -= received0 * price + received1
    return float(loss / (amount0 * PRICE + amount1))


@functools.cache
def range_loss(seeds: tuple[int, ...], n_paths: int = 80, n_steps: int = 480) -> tuple[float, ...]:
    """Return loss of a range a day, its standard error, and what theory says.

    The sum of squared normals, whose mean is known, takes the noise of the path's own variance
    out; left is that of the root of the price, which the loss is proportional to.
    """
    normals = np.concatenate(
        [np.random.default_rng(s).standard_normal((n_paths, n_steps)) for s in seeds]
    )
    losses = np.array([loss_of_a_day(row, SIGMA) for row in normals])
    control = (normals**2).mean(axis=1) - 1.0
    slope = np.cov(losses, control)[0, 1] / control.var(ddof=1)
    adjusted = losses - slope * control
    low, high = (1.0001**tick for tick in TICKS)
    expected = LOSS * 2.0 * math.sqrt(PRICE) / range_value(PRICE, low, high)
    return float(adjusted.mean()), float(adjusted.std(ddof=2)) / math.sqrt(len(normals)), expected


@ROWS.row(
    "A7",
    "a range loses 9.47 times what the full range does",
    "Milionis et al. 2022, arXiv 2208.06046",
    seeds=Seeds((7,), (7, 8, 9, 10, 11, 12)),
    group="rebalancing: range",
    cost=3.0,
)
def _range(seeds: tuple[int, ...]) -> list[Finding]:
    multiple = 2.0 * math.sqrt(PRICE) / range_value(PRICE, *BOUNDS)
    value, error, expected = range_loss(seeds)
    return [
        near("multiple, 1,600 to 2,500 at 2,000", multiple, 9.472136, 1e-6),
        near(
            "loss a day of that range, whole ticks",
            _BP * value,
            _BP * expected,
            0.01,
            standard_error=_BP * error,
            unit="bp/day",
        ),
    ]


@ROWS.row("A14", "turnover at which fees make up for the loss, and the volatility it implies")
def _break_even(_: tuple[int, ...]) -> list[Finding]:
    """Fees of the turnover sigma^2 / (8 f) imply, by 2 f sqrt(volume / tick), the volatility."""
    fee, liquidity, lower = 0.003, 1e6, 75_960
    middle = 1.0001 ** (lower + 30)
    below = ConcentratedLiquidityPool(fee, 60, 1.0001 ** ((lower + 90) / 2.0))
    tick_value = below.mint("ann", lower, lower + 60, liquidity)[1]  # all of it in token 1
    turnover = LOSS / fee
    volume = turnover * 2.0 * liquidity * math.sqrt(middle)
    implied = 2.0 * fee * math.sqrt(volume / tick_value)
    return [
        near("break-even turnover at 30 bp, 5 % a day", turnover, 0.25 / 2.4, unit="1/day"),
        near("implied volatility at that turnover, 60 ticks", implied, SIGMA, 0.002),
    ]


@ROWS.row(
    "A40",
    "liquidity that free entry brings; the best fee when demand falls with it",
    _MILIONIS,
    seeds=_YEARS,
    group="rebalancing: blocks",
)
def _entry(seeds: tuple[int, ...]) -> list[Finding]:
    """V* = fee x noise volume / gain rate, the rate as measured; f* by the formula of the gain."""
    gain, error = worlds.thirty(_of(seeds), seeds).per_loss(GAIN)
    liquidity = 0.003 * 2e6 / gain / 1e6

    def loss(fee: float) -> float:
        return LOSS * worlds.trade_probability(SIGMA, fee, 12.0) - fee * 0.2 * math.exp(
            -150.0 * fee
        )

    best = minimize_scalar(loss, bounds=(1e-4, 0.05), method="bounded", options={"xatol": 1e-9})
    return [
        near(
            "liquidity at 30 bp and 2 m USD a day of noise",
            liquidity,
            157.4,
            0.01,
            standard_error=liquidity * error / gain,
            unit="m USD",
        ),
        near("best fee, by the formula", _BP * float(best.x), 68.9, 0.01, unit="bp"),
    ]


@ROWS.row(
    "B1",
    "trades and gains by block time and fee; fixed blocks cost a sixth less than random ones",
    "Milionis et al. 2023; Nezlobin and Tassy 2025",
    seeds=_YEARS,
    group="rebalancing: blocks",
    cost=4.0,
)
def _published(seeds: tuple[int, ...]) -> list[Finding]:
    """Bands are the tolerances of A2 to A6."""
    years = (1,) if len(seeds) <= 4 else (1, 2, 3, 4)
    random, steady = worlds.thirty(_of(seeds), seeds), worlds.fixed(years)["eth-usd"]
    (slow, e1), (fast, e2) = steady.per_loss(GAIN), random.per_loss(GAIN)
    ratio = slow / fast
    return [
        _probability(worlds.poisson(_of(seeds))["five-bp"], 12.0),
        near(
            "gain with fixed blocks over that with random ones, 12 s, 30 bp",
            ratio,
            0.32089 / 0.3811,
            0.02,
            standard_error=ratio * math.hypot(e1 / slow, e2 / fast),
        ),
    ]
