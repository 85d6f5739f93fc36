"""Momentum traders: they follow the trend of the reference price of their pool's pair.

A trader looks at Poisson times. When the return over its own lookback exceeds its own threshold it
trades in that direction after its own reaction delay: a bounded share of its wallet per trade, a
bounded position in all, and a cool-down after each trade. When the return falls back below
`exit_share` of the threshold the trend has ended for it, and it unwinds in trades of the same
bound. What it sees is the reference price, impact included, sampled every 15 seconds; what lies
before the start is the price at the start.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from agents.arrivals import Arrivals, make_arrivals, next_arrival, renew, wake_at
from agents.population import ColumnarAgent
from agents.routing import (
    amount_in_for,
    best_pool,
    fund_pairs,
    log_reference,
    moving_asset,
    moving_pools,
    send_route,
    swap_cost,
    swap_gas_usd,
    tokens_held,
)
from sim.chain import clock_at
from sim.draws import normal_column, uniform_column
from sim.kernel import F8, I8, F8x2, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.mempool import Outbox
from sim.orders import PRICE, cause
from sim.prices import Prices
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import GWEI, TICKS_PER_SECOND, ticks
from sim.venues import Venues, spendable

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
_PRICE = cause(PRICE)
_SAMPLE_SECONDS = 15.0
_SAMPLE = ticks(_SAMPLE_SECONDS)
_SLOTS_TO_SPARE = 4  # samples beyond the longest lookback
_DUST = 0.01  # of one trade: a position below it counts as closed
_UNWIND = 2  # MomentumState.plan; otherwise a direction, or 0: none

# Entries of MomentumState.terms and .number.
TRADE_SHARE, POSITION_SHARE, EXIT_SHARE, SLIPPAGE, TIP, MOST_COST = range(6)
GROUP, SETTLE, SPLITS, LAST_SAMPLE = range(4)


@columnar
class MomentumState(NamedTuple):
    """Columns of momentum traders, and what they share."""

    wallet_usd: F8  # float64, (n,), value at the start, USD
    lookback: I8  # int64, (n,), ticks
    threshold: F8  # float64, (n,), log return over the lookback
    delay: I8  # int64, (n,), ticks from seeing to ordering
    home: I8  # int64, (n,), their pool's row of `pools`
    plan: I8  # int64, (n,), decided and not done: direction, 2 to unwind, 0 for nothing
    direction: I8  # int64, (n,), of the position: 1 long token 0, -1 short, 0 flat
    base: F8  # float64, (n,), token 0 held before the position, token units
    n_trades: I8  # int64, (n,), trades ordered
    pools: I8  # int64, (n_pools,), venues they trade in
    asset: I8  # int64, (n_pools,), asset that moves the pool's price
    history: F8x2  # float64, (n_pools, n_slots), log reference price of token 0 in token 1, a ring
    terms: F8  # float64, (6,), see TRADE_SHARE …
    number: I8  # int64, (4,), see GROUP …: account group, ticks until an order is settled, …


class MomentumTradersConfig(Config):
    """Trend followers with bounded wallets."""

    kind: Literal["momentum_traders"]
    chain: str = Field(description="Chain on which they trade.")
    count: int = Field(gt=0, le=10_000_000, description="Number of traders.")
    looks_per_day: float = Field(
        48.0,
        ge=0.0,
        description="How often one looks at prices.",
        json_schema_extra={"unit": "1/day"},
    )
    median_wallet_usd: float = Field(
        gt=0.0,
        description="Median value of a wallet, half in each token of its pool.",
        json_schema_extra={"unit": "USD"},
    )
    wallet_log_sd: float = Field(
        1.5, ge=0.0, le=4.0, description="Standard deviation of the logarithm of wallets."
    )
    lookback_low_seconds: float = Field(
        900.0, ge=60.0, description="Shortest lookback.", json_schema_extra={"unit": "s"}
    )
    lookback_high_seconds: float = Field(
        14_400.0,
        ge=60.0,
        le=604_800.0,
        description="Longest lookback; the logarithm is uniform between the two.",
        json_schema_extra={"unit": "s"},
    )
    threshold_low: float = Field(
        0.01, gt=0.0, description="Least threshold.", json_schema_extra={"unit": "log return"}
    )
    threshold_high: float = Field(
        0.05,
        gt=0.0,
        description="Largest threshold; uniform between the two.",
        json_schema_extra={"unit": "log return"},
    )
    exit_share: float = Field(
        0.0,
        ge=-1.0,
        lt=1.0,
        description="They unwind when the return is at most this part of the threshold.",
    )
    trade_share: float = Field(
        0.25, gt=0.0, le=1.0, description="Most of the wallet that one trade moves."
    )
    position_share: float = Field(
        0.5, gt=0.0, le=1.0, description="Most of the wallet that a position moves."
    )
    delay_median_seconds: float = Field(
        120.0,
        ge=0.0,
        description="Median reaction delay; exponential over traders.",
        json_schema_extra={"unit": "s"},
    )
    cooldown_seconds: float = Field(
        600.0,
        ge=0.0,
        description="Rest after a trade; at least four block intervals, so that it has settled.",
        json_schema_extra={"unit": "s"},
    )
    slippage: float = Field(
        0.02, ge=0.0, lt=1.0, description="Slippage limit.", json_schema_extra={"unit": "fraction"}
    )
    most_cost: float = Field(
        0.03,
        gt=0.0,
        description="They open nothing that costs more in fee, impact and gas.",
        json_schema_extra={"unit": "fraction of the amount"},
    )
    tip_gwei: float = Field(
        1.0, ge=0.0, description="Priority fee they bid.", json_schema_extra={"unit": "gwei"}
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
    def _check_ranges(self) -> Self:
        for low, high in (
            ("lookback_low_seconds", "lookback_high_seconds"),
            ("threshold_low", "threshold_high"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(
                    f"{low} ({getattr(self, low):g}) must be at most {high} "
                    f"({getattr(self, high):g}); swap the two or widen the range"
                )
        return self


class MomentumTrader(ColumnarAgent):
    """One momentum trader: a view on a row of its population."""


unpack = view_of(MomentumState, Arrivals, Outbox, Ledger, Prices, Venues)


@kernel
def remember(traders, prices, venues, now):  # type: ignore[no-untyped-def]
    """Sample the reference prices up to now; a stretch without blocks keeps the price before it."""
    sample, n_slots = now // _SAMPLE, traders.history.shape[1]
    last = traders.number[LAST_SAMPLE]
    for at in range(max(last + 1, sample - n_slots + 1), sample + 1):
        for k in range(traders.pools.shape[0]):
            venue = traders.pools[k]
            if at < sample:
                value = traders.history[k, last % n_slots]
            else:
                value = log_reference(prices, venues.token0[venue], venues.token1[venue])
            traders.history[k, at % n_slots] = value
    traders.number[LAST_SAMPLE] = max(last, sample)


@kernel
def position_of(traders, ledger, venues, row):  # type: ignore[no-untyped-def]
    """Return the size of a trader's position, token 0 of its pool; below 0: less than none."""
    token = venues.token0[traders.pools[traders.home[row]]]
    held = balance_of(ledger, traders.number[GROUP], row, token)
    return traders.direction[row] * (held - traders.base[row])


@kernel
def look(traders, box, ledger, prices, venues, row, now):  # type: ignore[no-untyped-def]
    """Return what one trader wants to do: a direction to trade in, 2 to unwind, 0 for nothing."""
    k = traders.home[row]
    token, other = venues.token0[traders.pools[k]], venues.token1[traders.pools[k]]
    sample = max(now - traders.lookback[row], 0) // _SAMPLE
    then = traders.history[k, sample % traders.history.shape[1]]
    trend = log_reference(prices, token, other) - then
    wallet, threshold = traders.wallet_usd[row], traders.threshold[row]
    held_usd = position_of(traders, ledger, venues, row) * prices.reference[token]
    gas = swap_gas_usd(box, venues, prices, traders.pools[k], traders.terms[TIP])
    # what is worth no more than the gas of two trades stays: gas itself is paid from the position
    if held_usd <= max(_DUST * traders.terms[TRADE_SHARE] * wallet, 2.0 * gas):
        traders.direction[row] = 0
    direction = traders.direction[row]
    if direction == 0:
        return 1 if trend > threshold else -1 if trend < -threshold else 0
    if direction * trend <= traders.terms[EXIT_SHARE] * threshold:
        return _UNWIND
    room = traders.terms[POSITION_SHARE] * wallet - held_usd
    has_room = room >= 0.5 * traders.terms[TRADE_SHARE] * wallet  # no tiny additions
    return direction if direction * trend > threshold and has_room else 0


@kernel
def size_of(traders, ledger, prices, venues, row, plan, side):  # type: ignore[no-untyped-def]
    """Return the amount of the token that is paid, before the bound of the balance."""
    venue = traders.pools[traders.home[row]]
    token0, token1 = venues.token0[venue], venues.token1[venue]
    usd0, wallet = prices.reference[token0], traders.wallet_usd[row]
    held = max(position_of(traders, ledger, venues, row), 0.0)
    most = traders.terms[TRADE_SHARE] * wallet
    if plan == _UNWIND:
        wanted = min(held, most / usd0)
        return wanted if side == 0 else amount_in_for(venues, venue, side, wanted)
    room = traders.terms[POSITION_SHARE] * wallet - held * usd0
    return min(most, room) / prices.reference[token0 if side == 0 else token1]


@kernel
def act(traders, box, ledger, prices, venues, row, due, clock):  # type: ignore[no-untyped-def]
    """Carry out what one trader has decided: at most one trade."""
    plan, terms, group = traders.plan[row], traders.terms, traders.number[GROUP]
    k = traders.home[row]
    venue = traders.pools[k]
    ahead = -traders.direction[row] if plan == _UNWIND else plan
    side = 1 if ahead > 0 else 0
    token0, token1 = venues.token0[venue], venues.token1[venue]
    token_in, token_out = (token0, token1) if side == 0 else (token1, token0)
    amount = size_of(traders, ledger, prices, venues, row, plan, side)
    gas = 2 * venues.gas[venues.first_verb[venue]]
    amount = min(amount, spendable(box, ledger, clock.chain, group, row, token_in, gas))
    chain = box.chains[clock.chain]
    fuel = balance_of(ledger, group, row, chain.native)
    if amount <= 0.0 or fuel < gas * (chain.base_fee + terms[TIP]):
        return
    if plan != _UNWIND:
        best, at, out = best_pool(venues, traders.pools, token_in, token_out, amount)
        if best < 0 or swap_cost(box, venues, prices, best, at, amount, out) > terms[MOST_COST]:
            return
        if traders.direction[row] == 0:
            traders.direction[row] = plan
            traders.base[row] = balance_of(ledger, group, row, token0)
    expires = clock.now + traders.number[SETTLE] - 1
    ask = (group, row, due, clock.now, expires, terms[TIP], _PRICE + traders.asset[k])
    splits, slippage = traders.number[SPLITS], terms[SLIPPAGE]
    n_sent = send_route(
        box, venues, prices, traders.pools, token_in, token_out, amount, slippage, splits, ask
    )
    traders.n_trades[row] += min(n_sent, 1)


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Sample prices, then let every trader act who looks or wakes before this block."""
    traders, wheel, box, ledger, prices, venues = unpack(binding)
    clock = clock_at(message)
    remember(traders, prices, venues, clock.now)
    row = next_arrival(wheel, clock.now)
    while row >= 0:
        due = wheel.due[row]
        if traders.plan[row] != 0:
            act(traders, box, ledger, prices, venues, row, due, clock)
            traders.plan[row] = 0
            renew(wheel, row, clock.now + traders.number[SETTLE])
        else:
            traders.plan[row] = look(traders, box, ledger, prices, venues, row, clock.now)
            if traders.plan[row] != 0:
                wake_at(wheel, row, due + traders.delay[row])
            else:
                renew(wheel, row, due)
        row = next_arrival(wheel, clock.now)
    return OK


def make(world: World, site: PopulationSite) -> tuple[MomentumState, Arrivals]:
    """Return the columns and the arrival wheel of a population of momentum traders."""
    config, n, seed = site.config, site.rows, world.seed
    pools = moving_pools(world, site)
    draw = {
        name: uniform_column(seed, f"{site.name}:{name}", n)
        for name in ("lookback", "threshold", "delay", "home")
    }
    low, high = config.lookback_low_seconds, config.lookback_high_seconds
    lookback = low * (high / low) ** draw["lookback"] * TICKS_PER_SECOND
    delay = -np.log2(draw["delay"]) * config.delay_median_seconds * TICKS_PER_SECOND
    z = normal_column(seed, f"{site.name}:wallet", n)
    spread = config.threshold_high - config.threshold_low
    n_slots = math.ceil(high / _SAMPLE_SECONDS) + _SLOTS_TO_SPARE
    pair = world.venues.token0[pools], world.venues.token1[pools]
    first = np.log(world.prices.reference[pair[0]] / world.prices.reference[pair[1]])
    interval = int(world.box.chains[site.chain]["interval"])
    settle = max(ticks(config.cooldown_seconds), 4 * interval)
    state = MomentumState(
        wallet_usd=config.median_wallet_usd * np.exp(config.wallet_log_sd * z),
        lookback=lookback.astype(np.int64),
        threshold=config.threshold_low + spread * draw["threshold"],
        delay=delay.astype(np.int64),
        home=np.minimum((draw["home"] * len(pools)).astype(np.int64), len(pools) - 1),
        plan=np.zeros(n, np.int64),
        direction=np.zeros(n, np.int64),
        base=np.zeros(n),
        n_trades=np.zeros(n, np.int64),
        pools=pools,
        asset=np.array([moving_asset(world, int(k)) for k in pools], np.int64),
        history=np.repeat(first[:, None], n_slots, axis=1),
        terms=np.array(
            [
                config.trade_share,
                config.position_share,
                config.exit_share,
                config.slippage,
                config.tip_gwei * GWEI,
                config.most_cost,
            ]
        ),
        number=np.array([site.group, settle, config.splits_routes, 0], np.int64),
    )
    return state, make_arrivals(np.full(n, config.looks_per_day), seed, site.stream)


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give every trader its wallet, half in each token of its pool, and gas."""
    traders = state[0]
    fund_pairs(world, site, traders.pools[traders.home], traders.wallet_usd, site.config.gas_usd)


KIND = PopulationKind(
    kind="momentum_traders",
    config=MomentumTradersConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=MomentumTrader,
    tokens=tokens_held,
)
