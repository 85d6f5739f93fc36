"""Relayers: inventory on two chains, and arbitrage of wrapped tokens against their par.

For each lock-and-mint bridge whose wrapped token has a pool, a relayer compares the pool with
par, the reference price of the home token. Below par by more than it costs to redeem it buys in
the pool and redeems at home; above par by more than it costs to mint it sells from its inventory
and locks anew.

    cost = fee + delay x cost of a day + margin

It buys while the escrow could redeem all that it holds as well: a discount that the backing
explains is left alone. Holdings that are off their target go back over the bridges (wrapped
tokens, and tokens of liquidity networks) or over the reference market (all others), one transfer
of a kind at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from agents.arbitrageurs import rebalance
from agents.bridge_routes import (
    LOCK,
    NETWORK,
    BridgeRoutes,
    both_chains,
    draft_route,
    fund_gas,
    make_routes,
    quote_route,
    waiting_cost,
)
from agents.population import ColumnarAgent
from sim.chain import clock_at
from sim.draws import uniform_column
from sim.exchange import ExchangeState, exchange_of
from sim.kernel import F8, I8, I8x2, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.mempool import Outbox, post
from sim.orders import FILL, cause
from sim.prices import Prices
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import ticks
from sim.venues import Venues, draft_swap, quote

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
_FILL = cause(FILL)
_GAS_USD = 10_000.0
_LEAST_SHARE = 1e-6  # of the target; less is not worth an order
_PATIENCE = 4  # blocks after which an order expires
_LEAST_PROFIT, _BAND, _DEPOSIT, _MARGIN, _WAITING, _TIP_SHARE = range(6)  # RelayersState.terms


@columnar
class RelayersState(NamedTuple):
    """Columns of relayers, and what they share."""

    margin: F8  # float64, (n,), least margin against par, fraction
    n_orders: I8  # int64, (n,), orders sent
    asked: I8x2  # int64, (n, n_routes), tick until which a swap may be pending
    busy: I8x2  # int64, (n, n_routes), tick until which a transfer may be on its way
    seen: I8x2  # int64, (n, n_routes), version of the pool at the last swap
    stock: F8  # float64, (n_tokens,), holding they return to over bridges, 0: not by bridge
    target: F8  # float64, (n_tokens,), holding they return to on the reference market
    rebalanced: I8  # int64, (n * n_tokens,), tick until which such an order may be pending
    venues: I8  # int64, (n_pools,), the pools they watch
    terms: (
        F8  # float64, (6,): least profit, band, deposit delay ticks, margin, day's cost, tip share
    )
    number: I8  # int64, (4,): group, reference market venue or -1, its chain, quote token


class RelayersConfig(Config):
    """Relayers of the bridges between two chains."""

    kind: Literal["relayers"]
    chain: str = Field(description="Home chain of the bridges.")
    other_chain: str = Field(description="Chain to which they lead.")
    count: int = Field(gt=0, le=1_000, description="Number of relayers.")
    bridges: list[str] | None = Field(
        None, description="Bridges they use; all between the two chains when left out."
    )
    inventory_usd: float = Field(
        gt=0.0,
        description="Value that each holds of every token of the bridges and their pools.",
        json_schema_extra={"unit": "USD"},
    )
    margin_bps: float = Field(
        5.0,
        ge=0.0,
        description="Least gain against par, beyond fees and delay.",
        json_schema_extra={"unit": "bp"},
    )
    margin_spread_bps: float = Field(
        10.0, ge=0.0, description="Spread of it over relayers.", json_schema_extra={"unit": "bp"}
    )
    delay_cost_per_day: float = Field(
        0.001,
        ge=0.0,
        description="What a day of waiting costs them.",
        json_schema_extra={"unit": "fraction of the amount per day"},
    )
    min_profit_usd: float = Field(
        1.0, ge=0.0, description="Least profit after gas.", json_schema_extra={"unit": "USD"}
    )
    tip_share: float = Field(
        0.1, ge=0.0, lt=1.0, description="Share of expected profit bid as priority fee."
    )
    rebalance_band: float = Field(
        0.25, gt=0.0, description="A holding goes back when it is off its target by this share."
    )
    deposit_delay_seconds: float = Field(
        390.0,
        ge=0.0,
        description="Time to move tokens to the reference market, where that counts no "
        "confirmations of their chain itself (`reference_market.deposits`).",
        json_schema_extra={"unit": "s"},
    )


class Relayer(ColumnarAgent):
    """One relayer: a view on a row of its population."""


unpack = view_of(
    RelayersState,
    BridgeRoutes,
    Outbox,
    Ledger,
    Prices,
    Venues,
    ExchangeState,
)


@kernel
def bounds_against_par(relayers, routes, venues, prices, row, k):  # type: ignore[no-untyped-def]
    """Return the prices of the wrapped token to buy up to and to sell down to.

    Both are marginal prices on the swap curve, in the pool's other token, at which the last bit
    still earns the margin.
    """
    pool, wrapped = routes.pool[k], routes.tokens[k, 1]
    counter = venues.token1[pool] if venues.token0[pool] == wrapped else venues.token0[pool]
    par = prices.reference[routes.tokens[k, 0]] / prices.reference[counter]
    phi = 1.0 - venues.fee[pool]
    base = venues.fee[routes.venue[k]] + relayers.margin[row]
    redeem = base + waiting_cost(routes, k, 1, relayers.terms[_WAITING])
    mint = base + waiting_cost(routes, k, 0, relayers.terms[_WAITING])
    return par * (1.0 - redeem) * phi, par * (1.0 + mint) / phi


@kernel
def profit_against_par(prices, routes, k, bought, q, token_in, token_out):  # type: ignore[no-untyped-def]
    """Return the gain of a quoted swap in USD, the wrapped token counted at par."""
    par = prices.reference[routes.tokens[k, 0]]
    if bought:
        return q.amount_out * par - q.amount_in * prices.reference[token_in]
    return q.amount_out * prices.reference[token_out] - q.amount_in * par


@kernel
def trade_against_par(relayers, routes, box, ledger, prices, venues, row, k, now):  # type: ignore[no-untyped-def]
    """Let one relayer compare one wrapped token with its par and post at most one swap."""
    pool, wrapped = routes.pool[k], routes.tokens[k, 1]
    if venues.is_halted[pool] != 0 or venues.is_halted[routes.venue[k]] != 0:
        return
    if venues.version[pool] == relayers.seen[row, k] and now <= relayers.asked[row, k]:
        return
    is_first = venues.token0[pool] == wrapped
    price = venues.price[pool] if is_first else 1.0 / venues.price[pool]
    buy_up_to, sell_down_to = bounds_against_par(relayers, routes, venues, prices, row, k)
    if price < buy_up_to:
        bought, limit, side = True, buy_up_to, 1 if is_first else 0
    elif price > sell_down_to:
        bought, limit, side = False, sell_down_to, 0 if is_first else 1
    else:
        return
    token_in = venues.token0[pool] if side == 0 else venues.token1[pool]
    token_out = venues.token1[pool] if side == 0 else venues.token0[pool]
    group = relayers.number[0]
    amount = balance_of(ledger, group, row, token_in)
    if bought:
        held = balance_of(ledger, group, row, wrapped)
        _, payable = quote_route(venues, routes, k, 1, amount / price + held)
        amount = max(payable - held, 0.0) * price
    q = quote(venues, pool, side, amount, limit if is_first else 1.0 / limit)
    if q.status != OK:
        return
    chain = box.chains[venues.chain[pool]]
    gas = venues.gas[venues.first_verb[pool]]
    native_usd = prices.reference[chain.native] if chain.native >= 0 else 0.0
    profit = profit_against_par(prices, routes, k, bought, q, token_in, token_out)
    profit -= gas * chain.base_fee * native_usd
    if profit <= relayers.terms[_LEAST_PROFIT]:
        return
    order = draft_swap(box, venues, pool, side, q.amount_in, group, row, now)
    order.price_limit = limit if is_first else 1.0 / limit
    order.tip = relayers.terms[_TIP_SHARE] * profit / (gas * max(native_usd, 1e-12))
    if native_usd == 0.0:
        order.tip = 0.0
    order.max_fee += order.tip
    order.expires = now + _PATIENCE * chain.interval
    last = venues.last_fill[pool]
    order.parent = _FILL + last if last > 0 else 0
    relayers.seen[row, k] = venues.version[pool]
    relayers.asked[row, k] = order.expires
    relayers.n_orders[row] += 1
    post(box, order)


@kernel
def restock_amount(relayers, routes, ledger, row, k):  # type: ignore[no-untyped-def]
    """Return (side, amount) that brings the holdings of a bridge back to target; amount 0: none."""
    group, band = relayers.number[0], relayers.terms[_BAND]
    home, other = routes.tokens[k, 0], routes.tokens[k, 1]
    held, wanted = balance_of(ledger, group, row, other), relayers.stock[other]
    off = held - wanted
    if abs(off) <= band * wanted:
        return 0, 0.0
    if off > 0.0:
        return 1, off
    spare = balance_of(ledger, group, row, home)
    if routes.kind[k] == NETWORK:  # gives only what it has too much of
        spare = max(spare - relayers.stock[home], 0.0)
    return 0, min(-off, 0.9 * spare)


@kernel
def restock(relayers, routes, box, ledger, venues, row, k, now):  # type: ignore[no-untyped-def]
    """Send a holding that is off its target over its bridge."""
    if now <= relayers.busy[row, k]:
        return
    side, amount = restock_amount(relayers, routes, ledger, row, k)
    _, amount = quote_route(venues, routes, k, side, amount)
    if amount <= _LEAST_SHARE * relayers.stock[routes.tokens[k, 1]]:
        return
    order = draft_route(box, venues, routes, k, side, amount, relayers.number[0], row, now)
    order.expires = now + _PATIENCE * box.chains[order.chain].interval
    last = venues.last_fill[routes.pool[k]] if routes.pool[k] >= 0 else 0
    order.parent = _FILL + last if last > 0 else 0
    relayers.busy[row, k] = order.expires + routes.delay[k, side]
    relayers.n_orders[row] += 1
    post(box, order)


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Let everyone act before a block."""
    relayers, routes, box, ledger, prices, venues, market = unpack(binding)
    clock = clock_at(message)
    n = relayers.margin.shape[0]
    if clock.chain == relayers.number[2]:
        for row in range(n):
            rebalance(relayers, box, ledger, prices, venues, market, row, clock)
        return OK
    for k in range(routes.venue.shape[0]):
        if clock.chain != routes.chains[k, 1]:
            continue
        has_pool = routes.kind[k] == LOCK and routes.pool[k] >= 0
        for row in range(n):
            if has_pool:
                trade_against_par(relayers, routes, box, ledger, prices, venues, row, k, clock.now)
            restock(relayers, routes, box, ledger, venues, row, k, clock.now)
    return OK


# --- declaration ---------------------------------------------------------------------------------


def make(world: World, site: PopulationSite) -> tuple[RelayersState, BridgeRoutes]:
    """Return the columns and the bridges of a population of relayers."""
    config, n = site.config, site.rows
    routes = make_routes(world, site)
    n_routes, n_tokens = len(routes.venue), len(world.tokens)
    pools = np.unique(routes.pool[routes.pool >= 0]).astype(np.int64)
    exchange = exchange_of(world)
    stock, target = np.zeros(n_tokens), np.zeros(n_tokens)
    counters = [t for p in pools for t in (world.venues.token0[p], world.venues.token1[p])]
    held = np.unique(np.concatenate([routes.tokens.ravel(), counters]).astype(np.int64))
    target[held] = config.inventory_usd / world.prices.fundamental[held]
    stock[routes.tokens] = target[routes.tokens]
    wrapped = routes.tokens[routes.kind == LOCK, 1]
    target[wrapped] = 0.0  # the reference market does not trade them
    quote_token = next((int(t) for t in counters if t not in wrapped), int(routes.tokens[0, 0]))
    spread = uniform_column(world.seed, f"{site.name}:margin", n)
    state = RelayersState(
        margin=(config.margin_bps + config.margin_spread_bps * spread) * 1e-4,
        n_orders=np.zeros(n, np.int64),
        asked=np.full((n, n_routes), -1, np.int64),
        busy=np.full((n, n_routes), -1, np.int64),
        seen=np.full((n, n_routes), -1, np.int64),
        stock=stock,
        target=target,
        rebalanced=np.full(n * n_tokens, -1, np.int64),
        venues=pools,
        terms=np.array(
            [
                config.min_profit_usd,
                config.rebalance_band,
                ticks(config.deposit_delay_seconds),
                config.margin_bps * 1e-4,
                config.delay_cost_per_day,
                config.tip_share,
            ],
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
    return state, routes


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give every relayer its target of each token, and gas."""
    relayers, _ = state
    for token, amount in enumerate(np.maximum(relayers.stock, relayers.target)):
        if amount > 0.0:
            world.endow_column(site.group, token, float(amount))
    fund_gas(world, site, _GAS_USD)


def chains(world: World, site: PopulationSite) -> list[int]:
    """Return the chains before whose blocks they act: both ends, and the reference market's."""
    exchange = [k for k, name in enumerate(world.chain_names) if name == "exchange"]
    return [*both_chains(world, site), *exchange]


def tokens(world: World, site: PopulationSite) -> list[int]:
    """Return the tokens they can hold: all of both ends."""
    ends = both_chains(world, site)
    return [k for k, token in enumerate(world.tokens) if world.chain(token.chain) in ends]


KIND = PopulationKind(
    kind="relayers",
    config=RelayersConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=Relayer,
    role="relayers",
    chains=chains,
    tokens=tokens,
)
