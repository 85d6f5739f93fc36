"""Loss versus rebalancing, measured: pools against one arbitrageur, day by day.

Gains and fees are divided by the pool's value at each trade, since that value drifts. Standard
errors come from days, which are nearly independent: prices stay inside the fee band for minutes to
hours.

References
----------
Milionis et al. 2022 (arXiv 2208.06046) and 2023 (2305.14604); Nezlobin and Tassy 2025 (2505.05113).
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sim.errors import EngineError
from sim.status import Status
from sim.units import DAY, ticks
from sim.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

FIXED_SLOT = math.sqrt(2.0 * math.pi) / 1.4603545088095868  # sqrt(2 pi) / |zeta(1/2)| = 1.7164
TRADES, GAIN, FEES, TURNOVER = range(4)
SIGMA = 0.05  # per square root of a day, of the scenario
LOSS = SIGMA**2 / 8.0  # a day


class Pool(NamedTuple):
    """What one pool did, a row a day; money as a share of the pool's value."""

    per_day: np.ndarray  # float64, (n_days, 4): trades, gain, fees, turnover
    blocks_per_day: float
    fee: float

    @property
    def gamma(self) -> float:
        """Half-width of the band in which nobody trades, in log price."""
        return -math.log1p(-self.fee)

    def mean(self, *columns: int) -> tuple[float, float]:
        """Mean a day of a sum of columns, and its standard error."""
        daily = self.per_day[:, list(columns)].sum(axis=1)
        return float(daily.mean()), float(daily.std()) / math.sqrt(len(daily))

    def per_loss(self, column: int, sigma: float = SIGMA) -> tuple[float, float]:
        """Mean a day of a column at the theoretical loss, and its standard error.

        Gain and fees add up to the loss, whose rate is sigma^2 / 8. A column over their sum hardly
        knows how much the path happened to move: half of the noise is gone.
        """
        a, b = self.per_day[:, column], self.per_day[:, [GAIN, FEES]].sum(axis=1)
        ratio, loss = float(a.sum() / b.sum()), sigma**2 / 8.0
        error = float((a - ratio * b).std() / b.mean()) / math.sqrt(len(a)) * loss
        return ratio * loss, error

    def trade_probability(self) -> tuple[float, float]:
        """Share of blocks with a trade, by the better of two estimates, and its standard error."""
        estimates = self.mean(TRADES), self.per_loss(TRADES)
        mean, error = min(estimates, key=lambda estimate: estimate[1])
        return mean / self.blocks_per_day, error / self.blocks_per_day


# --- worlds --------------------------------------------------------------------------------------


def pool(fee: float, chain: str = "mainnet") -> str:
    """Return a pool of 10 million USD that keeps its fees beside the reserves."""
    return (
        f"{{kind: constant_product, chain: {chain}, tokens: [ETH, USD], fee: {fee}, "
        "value_usd: 10e6, fees_compound: false}"
    )


def chain(name: str, kind: str, seconds: float) -> tuple[str, str]:
    """Return overrides for one more chain with an arbitrageur of its own."""
    return (
        (
            f"chains.{name}={{blocks: {{kind: {kind}, interval_seconds: {seconds}}}, native: ETH, "
            "tokens: [ETH, USD]}"
        ),
        f"populations.on-{name}={{kind: arbitrageurs, chain: {name}, inventory_usd: 1e9}}",
    )


@functools.cache
def _scenario(overrides: tuple[str, ...]) -> Any:
    from experiments.scenario import load_scenario

    return load_scenario("quiet-market", overrides)


def _world(overrides: tuple[str, ...], seed: int) -> World:
    from experiments.composition import plan_of

    return World(plan_of(_scenario(overrides), seed))


def liquidity_of(world: World) -> np.ndarray:
    """Return sqrt(x y) of each venue: constant, since fees stay beside the reserves."""
    state, row = world.states["constant_product"], world.venues.row
    return np.asarray(np.sqrt(state.reserve0[row] * state.reserve1[row]))


def days_of(world: World) -> dict[str, np.ndarray]:
    """Run a world to its end and return what each pool did on each day."""
    n_days, n = round(world.horizon / ticks(DAY)), len(world.venue_names)
    liquidity = liquidity_of(world)
    totals = np.zeros((4, n * n_days))

    def add(fills: np.ndarray) -> None:
        if not len(fills):
            return
        if not (fills["status"] == Status.OK).all():
            raise EngineError("an order of a lone arbitrageur without costs has failed")
        value = 2.0 * liquidity[fills["venue"]] * np.sqrt(fills["price_after"])
        day = np.minimum(fills["time"] // ticks(DAY), n_days - 1)
        fees = fills["value_in"] * fills["fee_paid"] / fills["amount_in"]
        gain = fills["value_out"] - fills["value_in"]
        for k, amount in enumerate((value, gain, fees, fills["value_in"])):
            totals[k] += np.bincount(fills["venue"] * n_days + day, amount / value, n * n_days)

    world.on_fills = add
    world.advance(world.horizon)
    world.flush()
    days = totals.reshape(4, n, n_days).transpose(1, 2, 0)
    return dict(zip(world.venue_names, days, strict=True))


def simulate(days: int, seeds: Sequence[int], *overrides: str) -> dict[str, Pool]:
    """Run the worlds of several seeds and return all pools by name."""
    found: dict[str, list[np.ndarray]] = {}
    for seed in seeds:
        world = _world((f"horizon={days}d", *overrides), seed)
        for name, per_day in days_of(world).items():
            found.setdefault(name, []).append(per_day)
    chains = world.box.chains["interval"][world.venues.chain]
    return {
        name: Pool(np.concatenate(parts), ticks(DAY) / chains[k], float(world.venues.fee[k]))
        for k, (name, parts) in enumerate(found.items())
    }


@functools.cache
def poisson(seeds: tuple[int, ...]) -> dict[str, Pool]:
    """Return pools of blocks of 12 s and 2 minutes, several fees, 20 days a seed at 5 % a day.

    A price that stands still for 0.2 s lowers the trade probability, by 0.3 % at one basis point.
    """
    return simulate(
        20,
        seeds,
        "price_step_seconds=0.2",
        f"venues.one-bp={pool(0.0001)}",
        f"venues.five-bp={pool(0.0005)}",
        f"venues.ten-bp={pool(0.001)}",
        *chain("two-minutes", "exponential", 120),
        f"venues.slow-one={pool(0.0001, 'two-minutes')}",
        f"venues.slow-five={pool(0.0005, 'two-minutes')}",
        f"venues.slow-ten={pool(0.001, 'two-minutes')}",
    )


@functools.cache
def slowest(seeds: tuple[int, ...]) -> dict[str, Pool]:
    """Return pools of blocks of 10 minutes, a year a seed.

    Prices move every 5 s, which lowers probabilities by 0.3 %.
    """
    return simulate(
        360,
        seeds,
        "price_step_seconds=5",
        "chains.mainnet.blocks={kind: exponential, interval_seconds: 600}",
        f"venues.slowest-one={pool(0.0001)}",
        f"venues.slowest-five={pool(0.0005)}",
        f"venues.slowest-ten={pool(0.001)}",
        f"venues.slowest-thirty={pool(0.003)}",
    )


@functools.cache
def fastest(seeds: tuple[int, ...]) -> dict[str, Pool]:
    """Return pools of blocks of 2 s, 6 days a seed.

    Prices move every 0.04 s, which lowers probabilities by up to 0.5 %.
    """
    return simulate(
        6,
        seeds,
        "price_step_seconds=0.04",
        "chains.mainnet.blocks={kind: exponential, interval_seconds: 2}",
        f"venues.fastest-one={pool(0.0001)}",
        f"venues.fastest-five={pool(0.0005)}",
    )


@functools.cache
def thirty(seeds: tuple[int, ...], more_seeds: tuple[int, ...]) -> Pool:
    """Return the pool of 30 bp of `poisson` for a year more a seed, prices every second."""
    more = simulate(360, more_seeds, "price_step_seconds=1")["eth-usd"]
    per_day = np.concatenate([poisson(seeds)["eth-usd"].per_day, more.per_day])
    return more._replace(per_day=per_day)


EVERY_STEP = (
    "price_step_seconds=60",
    "chains.mainnet.blocks={kind: fixed, interval_seconds: 60}",
    "venues.eth-usd.fee=0",
)


@functools.cache
def without_fee(seeds: tuple[int, ...], sigma: float) -> Pool:
    """Return a pool without fee that is arbitraged at every step of the price, a year a seed."""
    overrides = (*EVERY_STEP, f"assets.ETH.price.volatility={sigma}")
    return simulate(360, seeds, *overrides)["eth-usd"]


@functools.cache
def fixed(seeds: tuple[int, ...]) -> dict[str, Pool]:
    """Return pools of fixed blocks of 12 s and 10 minutes, a year a seed at 5 % a day."""
    return simulate(
        360,
        seeds,
        "price_step_seconds=12",
        "chains.mainnet.blocks={kind: fixed, interval_seconds: 12}",
        f"venues.five-bp={pool(0.0005)}",
        *chain("ten-minutes", "fixed", 600),
        f"venues.slow-thirty={pool(0.003, 'ten-minutes')}",
    )


WIDE = (  # bands some twenty standard deviations of a block wide
    "price_step_seconds=12",
    "chains.mainnet.blocks={kind: fixed, interval_seconds: 24}",
    "venues.eth-usd.fee=0.02",
)


@functools.cache
def wide(seeds: tuple[int, ...]) -> dict[str, Pool]:
    """Return pools of blocks of 12, 24 and 48 s and fees of 1.4, 2 and 2.8 %, a year a seed."""
    return simulate(
        360,
        seeds,
        *WIDE,
        f"venues.narrower={pool(0.014)}",
        f"venues.wider={pool(0.028)}",
        *chain("fast", "fixed", 12),
        *chain("slow", "fixed", 48),
        f"venues.fast={pool(0.02, 'fast')}",
        f"venues.slow={pool(0.02, 'slow')}",
    )


def slope_in_block_time(seeds: tuple[int, ...]) -> tuple[float, float]:
    """Return d ln gain / d ln block time, and its standard error."""
    pools = wide(seeds)
    gains = [pools[name].per_loss(GAIN) for name in ("fast", "eth-usd", "slow")]
    return slope([12.0, 24.0, 48.0], gains)


def slope_in_fee(seeds: tuple[int, ...]) -> tuple[float, float]:
    """Return d ln gain / d ln gamma, and its standard error."""
    pools = [wide(seeds)[name] for name in ("narrower", "eth-usd", "wider")]
    return slope([p.gamma for p in pools], [p.per_loss(GAIN) for p in pools])


@functools.cache
def slope_in_volatility(seeds: tuple[int, ...]) -> tuple[float, float]:
    """Return d ln gain / d ln sigma, and its standard error."""
    gains = [wide(seeds)["eth-usd"].per_loss(GAIN)]
    for sigma in (0.035, 0.07):
        pools = simulate(360, seeds, *WIDE, f"assets.ETH.price.volatility={sigma}")
        gains.append(pools["eth-usd"].per_loss(GAIN, sigma))
    return slope([SIGMA, 0.035, 0.07], gains)


def slope(x: Sequence[float], gains: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the regression slope of ln gain on ln x, and its standard error."""
    log_x = np.log(x) - np.log(x).mean()
    weights = log_x / (log_x**2).sum()
    values, errors = np.array(gains).T
    return float(weights @ np.log(values)), float(np.sqrt(weights**2 @ (errors / values) ** 2))


# --- theory --------------------------------------------------------------------------------------


def trade_probability(sigma: float, gamma: float, seconds: float) -> float:
    """Return the share of blocks with a trade, blocks at exponential intervals.

    References
    ----------
    Milionis et al. 2023, theorem 1.
    """
    return 1.0 / (1.0 + gamma / (sigma * math.sqrt(seconds / DAY / 2.0)))


def gain_rate(sigma: float, gamma: float, seconds: float) -> float:
    """Return the arbitrage gain of a constant product pool, a day, per value.

    References
    ----------
    Milionis et al. 2023, theorem 3.
    """
    instant = sigma**2 / 8.0 / (1.0 - sigma**2 * seconds / DAY / 8.0)
    return instant * trade_probability(sigma, gamma, seconds) * math.cosh(gamma / 2.0)


def fixed_gain_rate(sigma: float, gamma: float, seconds: float) -> float:
    """Return the same for blocks at fixed intervals; gamma is half of the spread.

    References
    ----------
    Nezlobin and Tassy 2025, with the fee of one side.
    """
    return sigma**2 / 8.0 / (1.0 + FIXED_SLOT * gamma / (sigma * math.sqrt(seconds / DAY)))


def fixed_trade_probability(sigma: float, gamma: float, seconds: float) -> float:
    """Return the share of blocks with a trade, blocks at fixed intervals."""
    return 1.0 / (math.sqrt(2.0) * gamma / (sigma * math.sqrt(seconds / DAY)) + 0.8239)
