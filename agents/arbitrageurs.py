"""Arbitrageurs between pools and the reference market.

Each looks at every pool of its list before each block, with its own latency and outside cost, and
swaps until the pool's marginal price equals what it can get outside. For a constant product pool
that is the closed form of Angeris et al. 2019 (dy* = (sqrt(phi P x y) - y) / phi); a pool with
ticks stops at the same price. It bids a share of the expected profit as priority fee, and loses
races: an order whose pool has moved past the limit fails and still pays gas. What it bought it
sells on the reference market after a deposit delay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from agents.population import ColumnarAgent
from agents.routing import chain_pools
from sim.chain import clock_at
from sim.draws import uniform_column
from sim.errors import InputError
from sim.exchange import ExchangeState, draft_sale, exchange_of, is_under_way
from sim.kernel import F8, I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.mempool import Outbox, post
from sim.orders import FILL, PRICE, cause
from sim.prices import Prices, fundamental_at
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import ticks
from sim.venues import Venues, draft_swap, quote, spendable

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
_GAS_KEPT = 500_000  # gas for which the gas token is kept back
_FILL = cause(FILL)
_PRICE = cause(PRICE)


@columnar
class ArbitrageState(NamedTuple):
    """Columns of arbitrageurs, and what they share; a watch is (agent, pool)."""

    latency: I8  # int64, (n,), ticks by which the reference is seen late
    outside_cost: F8  # float64, (n,), fraction of value lost on the reference market
    tip_share: F8  # float64, (n,), share of the expected profit bid as priority fee
    n_orders: I8  # int64, (n,), orders sent
    venues: I8  # int64, (n_venues,), pools they watch
    asked: I8  # int64, (n * n_venues,), tick until which an order may be pending
    seen: I8  # int64, (n * n_venues,), version of the pool at the last order
    target: F8  # float64, (n_tokens,), holding of each token they return to
    rebalanced: I8  # int64, (n * n_tokens,), tick of the last rebalancing order
    terms: F8  # float64, (3,): least profit USD, band (share of target), deposit delay ticks
    number: I8  # int64, (4,): group, reference market venue or -1, its chain, quote token


class ArbitrageursConfig(Config):
    """Arbitrageurs of pools against the reference market."""

    kind: Literal["arbitrageurs"]
    chain: str = Field(description="Chain whose pools they watch.")
    count: int = Field(1, gt=0, le=1_000, description="Number of arbitrageurs.")
    inventory_usd: float = Field(
        gt=0.0,
        description="Value that each holds of every token of its pools.",
        json_schema_extra={"unit": "USD"},
    )
    outside_cost_bps: float = Field(
        0.0,
        ge=0.0,
        lt=1_000.0,
        description="Cost of a trade on the reference market; agents differ by the spread.",
        json_schema_extra={"unit": "bp"},
    )
    outside_cost_spread_bps: float = Field(
        0.0,
        ge=0.0,
        description="Spread of that cost over agents.",
        json_schema_extra={"unit": "bp"},
    )
    latency_seconds: float = Field(
        0.0, ge=0.0, description="Delay of the reference price.", json_schema_extra={"unit": "s"}
    )
    latency_spread_seconds: float = Field(
        0.0, ge=0.0, description="Spread of the delay over agents.", json_schema_extra={"unit": "s"}
    )
    tip_share: float = Field(
        0.0, ge=0.0, lt=1.0, description="Share of expected profit bid as priority fee."
    )
    min_profit_usd: float = Field(
        0.0,
        ge=0.0,
        description="Least expected profit after gas.",
        json_schema_extra={"unit": "USD"},
    )
    rebalance_band: float = Field(
        0.25,
        gt=0.0,
        description="Rebalance outside when a holding is off its target by this share.",
    )
    deposit_delay_seconds: float = Field(
        0.0,
        ge=0.0,
        description="Time to move tokens to the reference market, where that counts no "
        "confirmations of their chain itself (`reference_market.deposits`).",
        json_schema_extra={"unit": "s"},
    )
    quote_token: str | None = Field(
        None,
        description="Token in which they count and rebalance; the last token of the first pool.",
    )
    venues: list[str] | None = Field(
        None, description="Pools they watch; all pools of the chain when left out."
    )


class Arbitrageur(ColumnarAgent):
    """One arbitrageur: a view on a row of its population."""


unpack = view_of(ArbitrageState, Outbox, Ledger, Prices, Venues, ExchangeState)


@kernel
def seen_price(prices, token, when):  # type: ignore[no-untyped-def]
    """Return the reference price of a token as of tick `when`, at the impact of now."""
    asset = prices.asset[token]
    late = fundamental_at(prices, asset, max(when, 0)) * prices.scale[token]
    return late * prices.reference[token] / prices.fundamental[token]


@kernel
def consider(arbs, box, ledger, prices, venues, row, k, clock):  # type: ignore[no-untyped-def]
    """Let one arbitrageur look at one pool and post at most one order."""
    venue = arbs.venues[k]
    watch = row * arbs.venues.shape[0] + k
    if venues.version[venue] == arbs.seen[watch] and clock.now <= arbs.asked[watch]:
        return
    token0, token1 = venues.token0[venue], venues.token1[venue]
    when = clock.now - arbs.latency[row]
    usd0, usd1 = seen_price(prices, token0, when), seen_price(prices, token1, when)
    fair, phi, cost = usd0 / usd1, 1.0 - venues.fee[venue], 1.0 - arbs.outside_cost[row]
    price = venues.price[venue]
    if price < fair * phi * cost:
        side, limit = 1, fair * phi * cost
    elif price * phi * cost > fair:
        side, limit = 0, fair / (phi * cost)
    else:
        return
    token_in = token0 if side == 0 else token1
    group = arbs.number[0]
    held = spendable(box, ledger, clock.chain, group, row, token_in, _GAS_KEPT)
    q = quote(venues, venue, side, held, limit)
    if q.status != OK:
        return
    paid, earned = (q.amount_in * usd0, q.amount_out * usd1 * cost)
    if side == 1:
        paid, earned = (q.amount_in * usd1, q.amount_out * usd0 * cost)
    chain = box.chains[clock.chain]
    native_usd = prices.reference[chain.native]
    gas = venues.gas[venues.first_verb[venue]]
    profit = earned - paid - gas * chain.base_fee * native_usd
    left = balance_of(ledger, group, row, chain.native)
    if token_in == chain.native:
        left -= q.amount_in
    if profit <= arbs.terms[0] or left <= 2.0 * gas * chain.base_fee:
        return
    order = draft_swap(box, venues, venue, side, q.amount_in, group, row, clock.now)
    order.price_limit = limit
    tip = arbs.tip_share[row] * max(profit, 0.0) / (gas * max(native_usd, 1e-12))
    order.tip = min(tip, 0.5 * left / gas - chain.base_fee)  # what it can pay, with some to spare
    order.max_fee += order.tip
    order.arrival = clock.now
    order.expires = clock.now + 4 * chain.interval
    last = venues.last_fill[venue]
    moved = venues.since[venue] > when or venues.version[venue] != arbs.seen[watch]
    order.parent = _FILL + last if moved and last > 0 else _PRICE + prices.asset[token0]
    arbs.seen[watch] = venues.version[venue]
    arbs.n_orders[row] += 1
    post(box, order)
    arbs.asked[watch] = order.expires  # a bid policy may have changed it


@kernel
def rebalance(arbs, box, ledger, prices, venues, market, row, clock):  # type: ignore[no-untyped-def]
    """Trade a holding that is off its target back on the reference market."""
    group, venue, quote_token = arbs.number[0], arbs.number[1], arbs.number[3]
    n_tokens = arbs.target.shape[0]
    delay = int(arbs.terms[2])
    for token in range(n_tokens):
        if token == quote_token or arbs.target[token] <= 0.0 or prices.is_listed[token] == 0:
            continue
        at = row * n_tokens + token
        if clock.now <= arbs.rebalanced[at] or is_under_way(market, group, row, token):
            continue
        excess = balance_of(ledger, group, row, token) - arbs.target[token]
        if abs(excess) <= arbs.terms[1] * arbs.target[token]:
            continue
        pair = (token, quote_token) if excess > 0.0 else (quote_token, token)
        amount = excess
        if excess < 0.0:
            wanted = -excess * prices.reference[token] / prices.reference[quote_token]
            amount = min(wanted, 0.9 * balance_of(ledger, group, row, quote_token))
        order = draft_sale(market, box, venues, venue, group, row, pair, delay, clock.now)
        order.amount = amount
        order.parent = cause_of_inventory(venues, arbs)
        arbs.rebalanced[at] = order.expires
        post(box, order)


@kernel
def cause_of_inventory(venues, arbs):  # type: ignore[no-untyped-def]
    """Return the last fill of the pools they watch: what filled the inventory."""
    last = 0
    for k in range(arbs.venues.shape[0]):
        last = max(last, venues.last_fill[arbs.venues[k]])
    return _FILL + last if last > 0 else 0


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Look at every pool, or rebalance on the reference market."""
    arbs, box, ledger, prices, venues, market = unpack(binding)
    clock = clock_at(message)
    n = arbs.latency.shape[0]
    if clock.chain == arbs.number[2]:
        for row in range(n):
            rebalance(arbs, box, ledger, prices, venues, market, row, clock)
        return OK
    for row in range(n):
        for k in range(arbs.venues.shape[0]):
            consider(arbs, box, ledger, prices, venues, row, k, clock)
    return OK


def make(world: World, site: PopulationSite) -> ArbitrageState:
    """Return the columns of a population of arbitrageurs."""
    config, n = site.config, site.rows
    names = config.venues or priced_pools(world, site)
    venues = np.array([world.venue(name) for name in names], np.int64)
    exchange = exchange_of(world)
    quote_token = (
        world.token(config.chain, config.quote_token)
        if config.quote_token
        else int(world.venues.token1[venues[0]])
    )
    spread = uniform_column(world.seed, f"{site.name}:terms", n)
    slow = uniform_column(world.seed, f"{site.name}:latency", n)
    target = np.zeros(len(world.tokens))
    for venue in venues:
        for token in (world.venues.token0[venue], world.venues.token1[venue]):
            target[token] = config.inventory_usd / world.prices.fundamental[token]
    return ArbitrageState(
        latency=np.array(
            [ticks(config.latency_seconds + config.latency_spread_seconds * u) for u in slow],
            np.int64,
        ),
        outside_cost=(config.outside_cost_bps + config.outside_cost_spread_bps * spread) * 1e-4,
        tip_share=np.full(n, config.tip_share),
        n_orders=np.zeros(n, np.int64),
        venues=venues,
        asked=np.full(n * len(venues), -1, np.int64),
        seen=np.full(n * len(venues), -1, np.int64),
        target=target,
        rebalanced=np.full(n * len(target), -1, np.int64),
        terms=np.array(
            [config.min_profit_usd, config.rebalance_band, ticks(config.deposit_delay_seconds)],
            float,
        ),
        number=np.array(
            [
                site.group,
                exchange,
                world.venues.chain[exchange] if exchange >= 0 else -1,
                quote_token,
            ],
            np.int64,
        ),
    )


def priced_pools(world: World, site: PopulationSite) -> list[str]:
    """Return the names of the pools of a chain that can be compared with the reference market.

    Raises
    ------
    InputError
        There is none.
    """
    found = [plan.name for plan in chain_pools(world, site) if has_prices(world, plan.name)]
    if not found:
        raise InputError(
            f"populations.{site.name}: no pool of chain '{site.config.chain}' has a reference "
            "price for both tokens; add one of two tokens with an asset, or leave the population "
            "out"
        )
    return found


def has_prices(world: World, name: str) -> bool:
    """Return whether both tokens of a pool have a reference price."""
    venue = world.venue(name)
    pair = [world.venues.token0[venue], world.venues.token1[venue]]
    return bool((world.prices.is_listed[pair] == 1).all())


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give every arbitrageur its target of each token, and gas."""
    for token in np.flatnonzero(state.target > 0.0):
        world.endow_column(site.group, int(token), float(state.target[token]))
    native = int(world.box.chains[site.chain]["native"])
    if state.target[native] == 0.0:
        world.endow_column(site.group, native, 10_000.0 / world.prices.fundamental[native])


def chains(world: World, site: PopulationSite) -> list[int]:
    """Return the chains before whose blocks they act: their own, and the reference market's."""
    exchange = [k for k, name in enumerate(world.chain_names) if name == "exchange"]
    return [site.chain, *exchange]


KIND = PopulationKind(
    kind="arbitrageurs",
    config=ArbitrageursConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=Arbitrageur,
    chains=chains,
    tokens=lambda world, site: [
        k for k, token in enumerate(world.tokens) if token.chain == site.config.chain
    ],
)
