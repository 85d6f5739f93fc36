"""Informed traders: one-way positions on a noisy signal of the fundamental price to come.

A trader looks at Poisson times and draws a horizon h of 1 to 30 minutes. Its signal of the log
return r of its pool's pair over h, whose variance is s^2 by the volatility of the past, is r plus
noise of variance s^2 (1 / accuracy^2 - 1): `accuracy` is the correlation of signal and return. It
expects

    E[r | signal] = accuracy^2 signal

so that a trade of A on the sign of a signal earns A * accuracy * s * sqrt(2 / pi) on average before
costs (the projection of two normals; the filter of Kyle 1985). It trades only when what it expects
exceeds fee and impact, both ways, and gas; of four sizes it takes the one of which it expects most;
it holds to the horizon, then closes. It is no arbitrageur: what a pool lags behind the fundamental
counts for nothing in its reckoning, and what the pool is ahead is taken off.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from agents.arrivals import Arrivals, make_arrivals, next_arrival, renew, wake_at
from agents.population import ColumnarAgent
from agents.routing import (
    best_pool,
    fund_pairs,
    log_path,
    moving_asset,
    moving_pools,
    send_route,
    swap_gas_usd,
    tokens_held,
    trade_cost,
)
from sim.chain import clock_at
from sim.draws import normal_column, normals, uniform_column, uniforms
from sim.kernel import F8, I8, F8x2, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.mempool import Outbox
from sim.orders import PRICE, cause
from sim.prices import Prices, fundamental_at
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import GWEI, HOUR, MINUTE, TICKS_PER_SECOND, ticks
from sim.venues import Venues, spendable

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
_PRICE = cause(PRICE)
_SEED, _STREAM = 0, 1  # Arrivals.clock
_MINUTE = ticks(MINUTE)
_FLAT = -1  # InformedState.bought
_SIZES = 4  # they try their most, a half, a quarter and an eighth of it
_DUST = 1e-3  # of what was paid: a position below it counts as closed

# Entries of InformedState.terms and .number.
ACCURACY, TRADE_SHARE, SHORTEST, LONGEST, SLIPPAGE, TIP = range(6)
GROUP, SETTLE, SPLITS = range(3)


@columnar
class InformedState(NamedTuple):
    """Columns of informed traders, and what they share."""

    wallet_usd: F8  # float64, (n,), value at the start, USD
    home: I8  # int64, (n,), their pool's row of `pools`
    bought: I8  # int64, (n,), token they hold a position in, -1: flat
    before: F8  # float64, (n,), held of it before, token units
    paid_usd: F8  # float64, (n,), asked for the position, USD at reference
    n_trades: I8  # int64, (n,), positions opened
    pools: I8  # int64, (n_pools,), venues they trade in
    asset: I8  # int64, (n_pools,), asset that moves the pool's price
    volatility: F8x2  # float64, (n_pools, n_minutes), per sqrt(second), of the past
    terms: F8  # float64, (6,), see ACCURACY …; horizons in ticks
    number: I8  # int64, (3,): account group, ticks until an order is settled, 1: splits routes


class InformedTradersConfig(Config):
    """Traders who know something of the fundamental price to come."""

    kind: Literal["informed_traders"]
    chain: str = Field(description="Chain on which they trade.")
    count: int = Field(gt=0, le=10_000_000, description="Number of traders.")
    signals_per_day: float = Field(
        8.0,
        ge=0.0,
        description="Signals of one trader while flat.",
        json_schema_extra={"unit": "1/day"},
    )
    accuracy: float = Field(
        0.3,
        ge=0.0,
        le=1.0,
        description="Correlation of the signal with the return over its horizon.",
    )
    horizon_low_seconds: float = Field(
        60.0, ge=1.0, description="Shortest horizon.", json_schema_extra={"unit": "s"}
    )
    horizon_high_seconds: float = Field(
        1_800.0,
        ge=1.0,
        le=86_400.0,
        description="Longest horizon; the logarithm is uniform between the two.",
        json_schema_extra={"unit": "s"},
    )
    volatility_window_hours: float = Field(
        6.0,
        gt=0.0,
        description="Past over which they measure volatility.",
        json_schema_extra={"unit": "h"},
    )
    median_wallet_usd: float = Field(
        gt=0.0,
        description="Median value of a wallet, half in each token of its pool.",
        json_schema_extra={"unit": "USD"},
    )
    wallet_log_sd: float = Field(
        1.0, ge=0.0, le=4.0, description="Standard deviation of the logarithm of wallets."
    )
    trade_share: float = Field(
        0.25, gt=0.0, le=0.5, description="Most of the wallet that a position takes."
    )
    slippage: float = Field(
        0.01, ge=0.0, lt=1.0, description="Slippage limit.", json_schema_extra={"unit": "fraction"}
    )
    tip_gwei: float = Field(
        2.0, ge=0.0, description="Priority fee they bid.", json_schema_extra={"unit": "gwei"}
    )
    gas_usd: float = Field(
        500.0, ge=0.0, description="Native tokens for gas.", json_schema_extra={"unit": "USD"}
    )
    splits_routes: bool = Field(
        False, description="Whether they split a trade over two pools of the pair."
    )
    venues: list[str] | None = Field(
        None, description="Pools they use; all pools of the chain with moving prices when left out."
    )

    @model_validator(mode="after")
    def _check_horizons(self) -> Self:
        if self.horizon_low_seconds > self.horizon_high_seconds:
            raise ValueError(
                f"horizon_low_seconds ({self.horizon_low_seconds:g}) must be at most "
                f"horizon_high_seconds ({self.horizon_high_seconds:g}); swap the two"
            )
        return self


class InformedTrader(ColumnarAgent):
    """One informed trader: a view on a row of its population."""


unpack = view_of(InformedState, Arrivals, Outbox, Ledger, Prices, Venues)


@kernel
def log_fundamental(prices, token0, token1, when):  # type: ignore[no-untyped-def]
    """Return the logarithm of the fundamental price of token 0 in token 1 at a tick."""
    first = fundamental_at(prices, prices.asset[token0], when) * prices.scale[token0]
    second = fundamental_at(prices, prices.asset[token1], when) * prices.scale[token1]
    return math.log(first / second)


@kernel
def horizon_at(traders, wheel, row, due):  # type: ignore[no-untyped-def]
    """Return the horizon of the signal that a trader gets at a tick, ticks."""
    u = uniforms(wheel.clock[_SEED], wheel.clock[_STREAM], due, row, 0)[0]
    low, high = traders.terms[SHORTEST], traders.terms[LONGEST]
    return int(low * (high / low) ** u)


@kernel
def forecast_at(traders, wheel, prices, venues, row, due, horizon):  # type: ignore[no-untyped-def]
    """Return the log return that a trader expects of its pair over the horizon of its signal."""
    k = traders.home[row]
    token0, token1 = venues.token0[traders.pools[k]], venues.token1[traders.pools[k]]
    now = log_fundamental(prices, token0, token1, due)
    gain = log_fundamental(prices, token0, token1, due + horizon) - now
    minute = min(due // _MINUTE, traders.volatility.shape[1] - 1)
    sd = traders.volatility[k, minute] * math.sqrt(horizon / TICKS_PER_SECOND)
    z = normals(wheel.clock[_SEED], wheel.clock[_STREAM], due, row, 1)[0]
    accuracy = traders.terms[ACCURACY]
    # accuracy^2 (gain + sd sqrt(1 / accuracy^2 - 1) z), which is also right at accuracy 0
    return accuracy * (accuracy * gain + math.sqrt(1.0 - accuracy * accuracy) * sd * z)


@kernel
def expected_gain(box, venues, prices, venue, side, amount, out, edge, tip):  # type: ignore[no-untyped-def]
    """Return what a position is expected to earn when it closes at the cost it opens at, USD.

    `edge` is the log return expected of the token bought in the token paid.
    """
    token = venues.token0[venue] if side == 0 else venues.token1[venue]
    usd = amount * prices.reference[token]
    cost = trade_cost(venues, venue, side, amount, out)
    gas = 2.0 * swap_gas_usd(box, venues, prices, venue, tip)
    return usd * ((1.0 - cost) * (1.0 - cost) * math.exp(edge) - 1.0) - gas


@kernel
def best_size(traders, box, prices, venues, token_in, token_out, most, hope, fair):  # type: ignore[no-untyped-def]
    """Return the amount of which a trader expects most, 0 where it expects to lose.

    `hope` is the log return that it expects of the token bought in the token paid, `fair` the log
    price of the one in the other now.
    """
    best, best_gain, tip = 0.0, 0.0, traders.terms[TIP]
    amount = most
    for _ in range(_SIZES):
        venue, side, out = best_pool(venues, traders.pools, token_in, token_out, amount)
        if venue >= 0:
            price = venues.price[venue] if side == 1 else 1.0 / venues.price[venue]
            edge = hope - max(math.log(price) - fair, 0.0)
            gain = expected_gain(box, venues, prices, venue, side, amount, out, edge, tip)
            if gain > best_gain:
                best, best_gain = amount, gain
        amount *= 0.5
    return best


@kernel
def consider(traders, wheel, box, ledger, prices, venues, row, due, clock):  # type: ignore[no-untyped-def]
    """Let one flat trader read its signal; returns (token to pay, amount, tick at which to close).

    The amount is 0 where it does not trade.
    """
    horizon = horizon_at(traders, wheel, row, due)
    end = prices.step[0] * (prices.path.shape[1] - 1)
    if due + horizon > end or due + horizon <= clock.now:
        return -1, 0.0, due
    forecast = forecast_at(traders, wheel, prices, venues, row, due, horizon)
    venue = traders.pools[traders.home[row]]
    token0, token1 = venues.token0[venue], venues.token1[venue]
    token_in, token_out = (token1, token0) if forecast > 0.0 else (token0, token1)
    group = traders.number[GROUP]
    most = traders.terms[TRADE_SHARE] * traders.wallet_usd[row] / prices.reference[token_in]
    gas = 4 * venues.gas[venues.first_verb[venue]]
    most = min(most, spendable(box, ledger, clock.chain, group, row, token_in, gas))
    if most <= 0.0:
        return -1, 0.0, due
    fair = log_fundamental(prices, token_out, token_in, due)
    hope = abs(forecast)
    amount = best_size(traders, box, prices, venues, token_in, token_out, most, hope, fair)
    if amount > 0.0:
        traders.bought[row] = token_out
        traders.before[row] = balance_of(ledger, group, row, token_out)
        traders.paid_usd[row] = amount * prices.reference[token_in]
        traders.n_trades[row] += 1
    return token_in, amount, due + horizon


@kernel
def close(traders, box, ledger, prices, venues, row, clock):  # type: ignore[no-untyped-def]
    """Return (token to sell, what is left of a position of it); 0 is left when it is closed."""
    venue = traders.pools[traders.home[row]]
    token, group = traders.bought[row], traders.number[GROUP]
    gas = 2 * venues.gas[venues.first_verb[venue]]
    left = balance_of(ledger, group, row, token) - traders.before[row]
    left = min(left, spendable(box, ledger, clock.chain, group, row, token, gas))
    if left * prices.reference[token] <= _DUST * traders.paid_usd[row]:
        traders.bought[row] = _FLAT
        return token, 0.0
    return token, left


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Let every trader act whose signal arrives or whose horizon ends before this block."""
    traders, wheel, box, ledger, prices, venues = unpack(binding)
    clock = clock_at(message)
    row = next_arrival(wheel, clock.now)
    while row >= 0:
        due, later = wheel.due[row], clock.now + traders.number[SETTLE]
        if traders.bought[row] == _FLAT:
            token_in, amount, later = consider(
                traders, wheel, box, ledger, prices, venues, row, due, clock
            )
        else:
            token_in, amount = close(traders, box, ledger, prices, venues, row, clock)
        if amount > 0.0:
            venue = traders.pools[traders.home[row]]
            token0, token1 = venues.token0[venue], venues.token1[venue]
            token_out = token1 if token_in == token0 else token0
            expires = min(clock.now + traders.number[SETTLE], later) - 1
            parent = _PRICE + traders.asset[traders.home[row]]
            group, tip = traders.number[GROUP], traders.terms[TIP]
            ask = (group, row, due, clock.now, expires, tip, parent)
            splits, slippage = traders.number[SPLITS], traders.terms[SLIPPAGE]
            pools = traders.pools
            send_route(
                box, venues, prices, pools, token_in, token_out, amount, slippage, splits, ask
            )
            wake_at(wheel, row, later)
        else:
            renew(wheel, row, due)
        row = next_arrival(wheel, clock.now)
    return OK


def trailing_volatility(
    log_prices: np.ndarray, step_seconds: float, window_seconds: float
) -> np.ndarray:
    """Return the volatility of the past by minute.

    Parameters
    ----------
    log_prices : float64, (n_steps + 1,), on a grid of `step_seconds`
    window_seconds : how far to look back

    Returns
    -------
    float64, (n_minutes,), per sqrt(second). In the first tenth of the window, when little has been
    seen yet, that of the whole path.
    """
    stride = max(1, round(MINUTE / step_seconds))
    bin_seconds = stride * step_seconds
    squares = np.diff(log_prices[::stride]) ** 2
    n_minutes = max(1, math.ceil((len(log_prices) - 1) * step_seconds / MINUTE))
    if len(squares) == 0:
        return np.zeros(n_minutes)
    window = max(1, round(window_seconds / bin_seconds))
    total = np.concatenate([[0.0], np.cumsum(squares)])
    seen = (np.arange(n_minutes) * MINUTE / bin_seconds).astype(np.int64)  # whole bins by then
    seen = np.minimum(seen, len(squares))
    first = np.maximum(seen - window, 0)
    variance = (total[seen] - total[first]) / np.maximum(seen - first, 1)
    variance[seen < max(1, window // 10)] = squares.mean()
    return np.asarray(np.sqrt(variance / bin_seconds))


def make(world: World, site: PopulationSite) -> tuple[InformedState, Arrivals]:
    """Return the columns and the arrival wheel of a population of informed traders."""
    config, n, seed = site.config, site.rows, world.seed
    pools = moving_pools(world, site)
    step, window = world.plan.path_step_seconds, config.volatility_window_hours * HOUR
    home = uniform_column(seed, f"{site.name}:home", n)
    z = normal_column(seed, f"{site.name}:wallet", n)
    settle = max(_MINUTE, 4 * int(world.box.chains[site.chain]["interval"]))
    state = InformedState(
        wallet_usd=config.median_wallet_usd * np.exp(config.wallet_log_sd * z),
        home=np.minimum((home * len(pools)).astype(np.int64), len(pools) - 1),
        bought=np.full(n, _FLAT, np.int64),
        before=np.zeros(n),
        paid_usd=np.zeros(n),
        n_trades=np.zeros(n, np.int64),
        pools=pools,
        asset=np.array([moving_asset(world, int(k)) for k in pools], np.int64),
        volatility=np.array(
            [trailing_volatility(log_path(world, int(k)), step, window) for k in pools]
        ),
        terms=np.array(
            [
                config.accuracy,
                config.trade_share,
                ticks(config.horizon_low_seconds),
                ticks(config.horizon_high_seconds),
                config.slippage,
                config.tip_gwei * GWEI,
            ]
        ),
        number=np.array([site.group, settle, config.splits_routes], np.int64),
    )
    return state, make_arrivals(np.full(n, config.signals_per_day), seed, site.stream)


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give every trader its wallet, half in each token of its pool, and gas."""
    traders = state[0]
    fund_pairs(world, site, traders.pools[traders.home], traders.wallet_usd, site.config.gas_usd)


KIND = PopulationKind(
    kind="informed_traders",
    config=InformedTradersConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=InformedTrader,
    tokens=tokens_held,
)
