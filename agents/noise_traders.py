"""Noise traders: Poisson arrivals, heavy-tailed sizes, and demand that falls with its cost.

A trader arrives at its own rate, wants to turn a lognormal USD amount of one token into another,
asks every pool of the pair for a quote and takes the best one. It trades with probability

    exp(-elasticity * cost) * activity / max_activity

where cost is fee plus price impact plus gas as a share of the amount, and activity is
(volatility of the last hour / calm volatility) ** activity_power, at most max_activity; where no
calm volatility is given, that of the path so far stands for it. Sizes are bounded by half of what
the trader's wallet holds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from agents.arrivals import Arrivals, make_arrivals, next_arrival, renew
from agents.population import ColumnarAgent
from agents.routing import best_pool, chain_pools, swap_cost
from sim.chain import clock_at
from sim.draws import normal, normal_column, uniform_column, uniforms
from sim.kernel import F8, I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.mempool import Outbox, post
from sim.orders import ROUTINE, cause
from sim.prices import Prices
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import DAY, HOUR, TICKS_PER_SECOND
from sim.venues import Venues, draft_swap

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
_ROUTINE = cause(ROUTINE)
_SEED, _STREAM = 0, 1  # Arrivals.clock
_BIN_SECONDS = 60.0


@columnar
class NoiseState(NamedTuple):
    """Columns of noise traders, and what they share."""

    size_usd: F8  # float64, (n,), median trade, USD
    slippage: F8  # float64, (n,), most they accept against the quote, fraction
    n_trades: I8  # int64, (n,), orders sent
    venues: I8  # int64, (n_venues,), pools they route over
    activity: F8  # float64, (n_minutes,), arrival multiplier / max_activity
    settings: F8  # float64, (3,): elasticity, ln-sd of sizes of one trader, tip in native per gas
    number: I8  # int64, (1,): account group


class NoiseTradersConfig(Config):
    """Traders who trade for reasons of their own."""

    kind: Literal["noise_traders"]
    chain: str = Field(description="Chain on which they trade.")
    count: int = Field(gt=0, le=10_000_000, description="Number of traders.")
    swaps_per_day: float = Field(
        ge=0.0, description="Arrivals of one trader.", json_schema_extra={"unit": "1/day"}
    )
    median_usd: float = Field(
        gt=0.0, description="Median size of a swap.", json_schema_extra={"unit": "USD"}
    )
    size_log_sd: float = Field(
        2.0, ge=0.0, le=4.0, description="Standard deviation of the logarithm of sizes, over all."
    )
    size_share_between: float = Field(
        0.6, ge=0.0, le=1.0, description="Share of the log variance that lies between traders."
    )
    wallet_multiple: float = Field(
        40.0, gt=0.0, description="Wallet of a trader over its median size, half in each side."
    )
    slippage_low: float = Field(
        0.005,
        ge=0.0,
        lt=1.0,
        description="Least slippage limit.",
        json_schema_extra={"unit": "fraction"},
    )
    slippage_high: float = Field(
        0.03,
        ge=0.0,
        lt=1.0,
        description="Largest slippage limit.",
        json_schema_extra={"unit": "fraction"},
    )
    elasticity: float = Field(
        0.0,
        ge=0.0,
        description="Demand falls as exp(-elasticity x cost).",
    )
    activity_power: float = Field(
        0.0,
        ge=0.0,
        le=2.0,
        description="Arrivals grow with (hourly volatility / calm volatility) to this power.",
    )
    calm_volatility: float | None = Field(
        None,
        gt=0.0,
        description="Volatility at which they arrive at their own rate; that of the path so far "
        "when left out, which a long crisis raises.",
        json_schema_extra={"unit": "1/sqrt(day)"},
    )
    max_activity: float = Field(4.0, ge=1.0, description="Largest multiple of the arrival rate.")
    tip_gwei: float = Field(
        1.0, ge=0.0, description="Priority fee they bid.", json_schema_extra={"unit": "gwei"}
    )
    venues: list[str] | None = Field(
        None, description="Pools they use; all pools of the chain when left out."
    )


class NoiseTrader(ColumnarAgent):
    """One noise trader: a view on a row of its population."""


unpack = view_of(NoiseState, Arrivals, Outbox, Ledger, Prices, Venues)


@kernel
def trade(traders, wheel, box, ledger, prices, venues, row, clock):  # type: ignore[no-untyped-def]
    """Let one trader decide and post at most one order."""
    due, seed, stream = wheel.due[row], wheel.clock[_SEED], wheel.clock[_STREAM]
    pick, side_draw = uniforms(seed, stream, due, row, 0)
    accept, size_draw = uniforms(seed, stream, due, row, 1)
    n = traders.venues.shape[0]
    pair = traders.venues[min(int(pick * n), n - 1)]
    side = 0 if side_draw < 0.5 else 1
    token_in = venues.token0[pair] if side == 0 else venues.token1[pair]
    token_out = venues.token1[pair] if side == 0 else venues.token0[pair]
    usd = traders.size_usd[row] * math.exp(traders.settings[1] * normal(size_draw))
    group = traders.number[0]
    held = balance_of(ledger, group, row, token_in)
    amount = min(usd / prices.reference[token_in], 0.5 * held)
    if amount <= 0.0:
        return
    venue, side, out = best_pool(venues, traders.venues, token_in, token_out, amount)
    if venue < 0:
        return
    minute = min(due // (60 * TICKS_PER_SECOND), traders.activity.shape[0] - 1)
    cost = swap_cost(box, venues, prices, venue, side, amount, out)
    if accept >= traders.activity[minute] * math.exp(-traders.settings[0] * max(cost, 0.0)):
        return
    order = draft_swap(box, venues, venue, side, amount, group, row, clock.now)
    order.arrival = due
    order.limit = out * (1.0 - traders.slippage[row])
    order.tip = traders.settings[2]
    order.max_fee += order.tip
    order.parent = _ROUTINE
    post(box, order)
    traders.n_trades[row] += 1


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Let everybody who has arrived decide."""
    traders, wheel, box, ledger, prices, venues = unpack(binding)
    clock = clock_at(message)
    row = next_arrival(wheel, clock.now)
    while row >= 0:
        trade(traders, wheel, box, ledger, prices, venues, row, clock)
        renew(wheel, row, wheel.due[row])
        row = next_arrival(wheel, clock.now)
    return OK


def activity_by_minute(
    path: np.ndarray,
    step_seconds: float,
    power: float,
    most: float,
    calm_volatility: float | None = None,
) -> np.ndarray:
    """Return (hourly volatility / calm volatility) ** power by minute, as a share of `most`.

    Parameters
    ----------
    path : float64, (n_steps + 1,), USD, on a grid of `step_seconds`
    power, most : exponent and largest multiple
    calm_volatility : 1/sqrt(day); None: that of the path so far

    Returns
    -------
    float64, (n_minutes,), in (0, 1]; a minute knows the path before it only
    """
    stride = max(1, round(_BIN_SECONDS / step_seconds))
    squares = np.diff(np.log(path[::stride])) ** 2
    if power == 0.0 or len(squares) < 2 or squares.sum() == 0.0:
        return np.full(max(len(squares), 1), 1.0 / most)
    window = round(HOUR / _BIN_SECONDS)
    total = np.concatenate([[0.0], np.cumsum(squares)])
    minute = np.arange(len(squares))
    first = np.maximum(minute - window, 0)
    hourly = (total[minute] - total[first]) / np.maximum(minute - first, 1)
    calm = total[minute] / np.maximum(minute, 1)
    if calm_volatility is not None:
        calm = np.full(len(squares), calm_volatility**2 * stride * step_seconds / DAY)
    ratio = np.sqrt(np.maximum(hourly, 1e-30) / np.maximum(calm, 1e-30)) ** power
    ratio[: min(window, len(ratio))] = 1.0  # no hour to look back on yet
    return np.asarray(np.clip(ratio, 0.25, most) / most)


def make(world: World, site: PopulationSite) -> tuple[NoiseState, Arrivals]:
    """Return the columns and the arrival wheel of a population of noise traders."""
    config, n = site.config, site.rows
    names = config.venues or [plan.name for plan in chain_pools(world, site)]
    venues = np.array([world.venue(name) for name in names], np.int64)
    between = config.size_log_sd * math.sqrt(config.size_share_between)
    within = config.size_log_sd * math.sqrt(1.0 - config.size_share_between)
    z = normal_column(world.seed, f"{site.name}:size", n)
    u = uniform_column(world.seed, f"{site.name}:slippage", n)
    asset = int(world.prices.asset[world.venues.token0[venues[0]]])
    power, most = config.activity_power, config.max_activity
    activity = activity_by_minute(
        world.prices.path[asset],
        world.plan.path_step_seconds,
        power,
        most,
        config.calm_volatility,
    )
    state = NoiseState(
        size_usd=config.median_usd * np.exp(between * z),
        slippage=config.slippage_low + (config.slippage_high - config.slippage_low) * u,
        n_trades=np.zeros(n, np.int64),
        venues=venues,
        activity=activity,
        settings=np.array([config.elasticity, within, config.tip_gwei * 1e-9]),
        number=np.array([site.group], np.int64),
    )
    rate = np.full(n, config.swaps_per_day * most)
    return state, make_arrivals(rate, world.seed, site.stream)


def tokens(world: World, site: PopulationSite) -> list[int]:
    """Return what traders can hold: the tokens of their pools, and gas."""
    names = site.config.venues
    plans = [v for v in world.plan.venues if names is None or v.name in names]
    pools = [v for v in plans if v.mechanism.quote is not None and v.chain == site.config.chain]
    nodes = [node for plan in pools for node in plan.tokens]
    if native := world.plan.chains[site.chain].native:
        nodes.append((site.config.chain, native))
    return [world.token(*node) for node in nodes]


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give every trader a wallet of `wallet_multiple` median sizes.

    Spread over its pools' tokens.
    """
    traders = state[0]
    tokens = sorted(
        {int(t) for v in traders.venues for t in (world.venues.token0[v], world.venues.token1[v])}
    )
    wallet = traders.size_usd * site.config.wallet_multiple / len(tokens)
    for token in tokens:
        world.endow_column(site.group, token, wallet / world.prices.fundamental[token])
    native = int(world.box.chains[site.chain]["native"])
    if native not in tokens:
        world.endow_column(site.group, native, 1.0)
    else:
        world.endow_column(site.group, native, 0.05)


KIND = PopulationKind(
    kind="noise_traders",
    config=NoiseTradersConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=NoiseTrader,
    tokens=tokens,
)
