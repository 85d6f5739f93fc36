"""Arbitrageurs between a staking protocol and a pool of its token.

Where the pool sells the token below what the queue will pay, less the cost of capital for the wait
and the return they require, they buy it and unstake it in one order, and claim once the request is
final: until then their capital is tied up, and it is finite. Where the pool pays more than the
exchange rate, they stake and sell in one order. They go as far as the marginal price allows, at the
wait that their whole capital would have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from agents.population import ColumnarAgent
from sim.chain import clock_at
from sim.errors import InputError
from sim.kernel import F8, I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger
from sim.mempool import Outbox, join, post
from sim.orders import CHAINED, FILL, PRICE, ROUTINE, cause
from sim.prices import Prices
from sim.registry import Config, PopulationKind, PopulationSite
from sim.staking.state import (
    CLAIM,
    STAKE,
    TICKS_A_YEAR,
    UNSTAKE,
    StakingState,
    exit_tick,
    next_final,
)
from sim.status import Status
from sim.venues import Venues, draft, draft_swap, quote, spendable

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
_GAS_KEPT = 1_000_000  # gas for which the gas token is kept back
_GAS_USD = 10_000.0  # value of the native tokens of each, where the gas token is another
_PATIENCE = 4  # blocks after which an order is given up
_FILL, _PRICE, _ROUTINE = cause(FILL), cause(PRICE), cause(ROUTINE)
_REQUIRED, _CARRY, _LEAST, _TIP_SHARE = range(4)  # entries of `terms`
_GROUP, _STAKING, _POOL, _BUY, _TOKEN, _UNDERLYING = range(6)  # entries of `number`


@columnar
class StakingArbitrageState(NamedTuple):
    """Columns of staking arbitrageurs, and what they share."""

    asked: I8  # int64, (n,), tick until which an order may be pending
    seen: I8  # int64, (n,), version of the pool at the last order
    claiming: I8  # int64, (n,), tick until which a claim may be pending
    claimed: I8  # int64, (n,), place of the request last claimed
    n_orders: I8  # int64, (n,), trades sent
    n_claims: I8  # int64, (n,), claims sent
    terms: F8  # float64, (4,): return required, cost of capital a tick, least profit in USD, share
    # of the profit bid
    number: I8  # int64, (6,): group, staking venue, pool, side of the pool that pays underlying,
    # token, underlying


class StakingArbitrageursConfig(Config):
    """Arbitrageurs who unstake what a pool sells too cheap, and stake what it overpays."""

    kind: Literal["staking_arbitrageurs"]
    chain: str = Field(description="Chain of the staking protocol and the pool.")
    count: int = Field(1, gt=0, le=1_000, description="Number of arbitrageurs.")
    staking: str = Field(description="Staking protocol.")
    pool: str = Field(description="Pool of the staking token and its underlying.")
    inventory_usd: float = Field(
        gt=0.0,
        description="Capital of each, in the underlying.",
        json_schema_extra={"unit": "USD"},
    )
    cost_of_capital: float = Field(
        0.1,
        ge=0.0,
        description="Return forgone on capital in the queue.",
        json_schema_extra={"unit": "fraction/year"},
    )
    required_bps: float = Field(
        5.0,
        ge=0.0,
        lt=10_000.0,
        description="Return required beyond all costs, for the risk of slashing.",
        json_schema_extra={"unit": "bp"},
    )
    min_profit_usd: float = Field(
        0.0,
        ge=0.0,
        description="Least expected profit after gas.",
        json_schema_extra={"unit": "USD"},
    )
    tip_share: float = Field(
        0.0, ge=0.0, lt=1.0, description="Share of expected profit bid as priority fee."
    )


class StakingArbitrageur(ColumnarAgent):
    """One staking arbitrageur: a view on a row of its population."""


unpack = view_of(StakingArbitrageState, StakingState, Outbox, Ledger, Prices, Venues)


@kernel
def pool_price(arbs, venues):  # type: ignore[no-untyped-def]
    """Return what the pool asks for a token at the margin, underlying, without the fee."""
    price = venues.price[arbs.number[_POOL]]
    return price if arbs.number[_BUY] == 1 else 1.0 / price


@kernel
def limit_at(arbs, price):  # type: ignore[no-untyped-def]
    """Return a price of the token in underlying as the pool counts prices."""
    return price if arbs.number[_BUY] == 1 else 1.0 / price


@kernel
def exit_value(arbs, staking, stake, rate, amount, now):  # type: ignore[no-untyped-def]
    """Return what one token is worth by unstaking an amount of underlying now, all costs off."""
    wait = exit_tick(staking, stake, amount, now) - now
    return rate * (1.0 - arbs.terms[_REQUIRED] - arbs.terms[_CARRY] * wait)


@kernel
def plan_exit(arbs, staking, venues, stake, rate, held, now):  # type: ignore[no-untyped-def]
    """Return (amount in, profit, price limit) of buying and unstaking, underlying; 0: not worth."""
    keep = 1.0 - venues.fee[arbs.number[_POOL]]
    worth = exit_value(arbs, staking, stake, rate, held, now)
    if not 0.0 < pool_price(arbs, venues) < worth * keep:
        return 0.0, 0.0, 0.0
    limit = limit_at(arbs, worth * keep)
    q = quote(venues, arbs.number[_POOL], arbs.number[_BUY], held, limit)
    if q.status != OK:
        return 0.0, 0.0, 0.0
    value = q.amount_out * exit_value(arbs, staking, stake, rate, q.amount_out * rate, now)
    return q.amount_in, value - q.amount_in, limit


@kernel
def plan_entry(arbs, venues, rate, held):  # type: ignore[no-untyped-def]
    """Return (amount staked, profit) of staking and selling, underlying; 0: not worth it."""
    keep, least = 1.0 - venues.fee[arbs.number[_POOL]], rate * (1.0 + arbs.terms[_REQUIRED])
    if not pool_price(arbs, venues) * keep > least:
        return 0.0, 0.0
    limit = limit_at(arbs, least / keep)
    q = quote(venues, arbs.number[_POOL], 1 - arbs.number[_BUY], held / rate, limit)
    if q.status != OK:
        return 0.0, 0.0
    return q.amount_in * rate, q.amount_out - q.amount_in * least


@kernel
def send(arbs, box, venues, prices, row, is_exit, amount, limit, profit_usd, clock):  # type: ignore[no-untyped-def]
    """Post a trade of two legs: the second spends what the first gives."""
    group, staking, pool = arbs.number[_GROUP], arbs.number[_STAKING], arbs.number[_POOL]
    buy, now, chain = arbs.number[_BUY], clock.now, box.chains[clock.chain]
    if is_exit:
        head = draft_swap(box, venues, pool, buy, amount, group, row, now)
        head.price_limit = limit
        tail = draft(box, venues, staking, UNSTAKE, group, row, now)
    else:
        head = draft(box, venues, staking, STAKE, group, row, now)
        head.amount = amount
        tail = draft_swap(box, venues, pool, 1 - buy, 0.0, group, row, now)
        tail.limit = amount
    tail.flag_bits = CHAINED
    join(box, head, tail)
    if chain.native >= 0:
        usd = max(prices.reference[chain.native], 1e-12)
        head.tip = arbs.terms[_TIP_SHARE] * profit_usd / (head.gas * usd)
        head.max_fee += head.tip
    head.expires = tail.expires = now + _PATIENCE * chain.interval
    last = venues.last_fill[pool]
    asset = prices.asset[arbs.number[_UNDERLYING]]
    head.parent = tail.parent = _FILL + last if last > 0 else _PRICE + asset
    arbs.asked[row], arbs.seen[row] = head.expires, venues.version[pool]
    arbs.n_orders[row] += 1
    post(box, head)


@kernel
def trade(arbs, staking, box, ledger, prices, venues, row, clock):  # type: ignore[no-untyped-def]
    """Let one arbitrageur compare pool and protocol, and send at most one order."""
    place, pool, chain = arbs.number[_STAKING], arbs.number[_POOL], box.chains[clock.chain]
    if clock.now <= arbs.asked[row] and venues.version[pool] == arbs.seen[row]:
        return
    if venues.is_halted[place] != 0 or venues.is_halted[pool] != 0:
        return
    token = arbs.number[_UNDERLYING]
    held = spendable(box, ledger, clock.chain, arbs.number[_GROUP], row, token, _GAS_KEPT)
    if held <= 0.0:
        return
    stake, rate = venues.row[place], venues.price[place]
    amount, profit, limit = plan_exit(arbs, staking, venues, stake, rate, held, clock.now)
    is_exit, verb = amount > 0.0, UNSTAKE
    if not is_exit:
        amount, profit = plan_entry(arbs, venues, rate, held)
        verb = STAKE
    gas = venues.gas[venues.first_verb[pool]] + venues.gas[venues.first_verb[place] + verb]
    cost = gas * chain.base_fee * prices.reference[chain.native] if chain.native >= 0 else 0.0
    usd = profit * prices.reference[token] - cost
    if amount > 0.0 and usd > arbs.terms[_LEAST]:
        send(arbs, box, venues, prices, row, is_exit, amount, limit, usd, clock)


@kernel
def collect(arbs, staking, box, venues, row, clock):  # type: ignore[no-untyped-def]
    """Let one arbitrageur claim the first of its requests that is final."""
    venue = arbs.number[_STAKING]
    at = next_final(staking, venues.row[venue], arbs.number[_GROUP], row)
    if at < 0 or (clock.now <= arbs.claiming[row] and at == arbs.claimed[row]):
        return
    order = draft(box, venues, venue, CLAIM, arbs.number[_GROUP], row, clock.now)
    order.a, order.parent = at, _ROUTINE
    order.expires = clock.now + _PATIENCE * box.chains[clock.chain].interval
    arbs.claiming[row], arbs.claimed[row] = order.expires, at
    arbs.n_claims[row] += 1
    post(box, order)


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Claim what is final, then look at the pool."""
    arbs, staking, box, ledger, prices, venues = unpack(binding)
    clock = clock_at(message)
    for row in range(arbs.asked.shape[0]):
        collect(arbs, staking, box, venues, row, clock)
        trade(arbs, staking, box, ledger, prices, venues, row, clock)
    return OK


def make(world: World, site: PopulationSite) -> StakingArbitrageState:
    """Return the columns of a population of staking arbitrageurs.

    Raises
    ------
    InputError
        The pool is not one of the staking token and its underlying, or on another chain.
    """
    config, venues = site.config, world.venues
    place, pool = world.venue(config.staking), world.venue(config.pool)
    if world.plan.venues[place].mechanism.kind != "liquid_staking":
        raise InputError(f"{site.name}: '{config.staking}' is no staking protocol; name one")
    state, row = world.shared[StakingState], int(venues.row[place])
    pair = int(state.token[row]), int(state.underlying[row])
    traded = int(venues.token0[pool]), int(venues.token1[pool])
    if set(pair) != set(traded) or int(venues.chain[place]) != site.chain:
        names = " and ".join(world.token_names[token] for token in pair)
        raise InputError(
            f"{site.name}: '{config.pool}' must be a pool of {names}, on chain '{config.chain}'"
        )
    return StakingArbitrageState(
        **{
            name: np.full(site.rows, -1, np.int64)
            for name in ("asked", "seen", "claiming", "claimed")
        },
        n_orders=np.zeros(site.rows, np.int64),
        n_claims=np.zeros(site.rows, np.int64),
        terms=np.array(
            [
                config.required_bps * 1e-4,
                config.cost_of_capital / TICKS_A_YEAR,
                config.min_profit_usd,
                config.tip_share,
            ]
        ),
        number=np.array([site.group, place, pool, traded.index(pair[1]), *pair], np.int64),
    )


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give every arbitrageur its capital in the underlying, and gas."""
    token = int(state.number[_UNDERLYING])
    usd = world.prices.fundamental
    world.endow_column(site.group, token, float(site.config.inventory_usd / usd[token]))
    native = int(world.box.chains[site.chain]["native"])
    if native >= 0 and native != token:
        world.endow_column(site.group, native, float(_GAS_USD / usd[native]))


KIND = PopulationKind(
    kind="staking_arbitrageurs",
    config=StakingArbitrageursConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=StakingArbitrageur,
    role="arbitrageurs",
)
