"""Bridge users: they move a token to another chain and back, and flee a token that loses its par.

A user arrives at its own rate, picks a direction, and takes the bridge with the least cost

    fee + delay x cost of a day + discount of the wrapped token (on the way there)

unless that exceeds what it accepts. Nobody buys into a bridge that is paused or whose wrapped
token trades further below par than `stop_discount`. A part of the users watches the discount: once
it exceeds `fright_discount` each of them acts after its own delay, redeems all its wrapped tokens
where the escrow can still pay, and else sells them in the pool.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from agents.arrivals import Arrivals, make_arrivals, next_arrival, renew
from agents.bridge_routes import (
    LOCK,
    BridgeRoutes,
    both_chains,
    discount_of,
    draft_route,
    fund_gas,
    make_routes,
    quote_route,
    waiting_cost,
)
from agents.population import ColumnarAgent
from sim.chain import clock_at
from sim.draws import normal, normal_column, uniform_column, uniforms
from sim.kernel import F8, I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.mempool import Outbox, post
from sim.orders import FILL, ROUTINE, cause
from sim.prices import Prices
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import GWEI, MINUTE, TICKS_PER_SECOND
from sim.venues import Venues, draft_swap, quote

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
_ROUTINE = cause(ROUTINE)
_FILL = cause(FILL)
_SEED, _STREAM = 0, 1  # Arrivals.clock
_CALM = 0.5  # an alarm ends below this share of the discount that raised it
_FLIGHT_SLIPPAGE = 0.05  # most that a fleeing seller loses against the quote
_GAS_USD = 100.0
# Entries of BridgeUsersState.terms.
_WAITING, _MAX_COST, _STOP, _FRIGHT, _WITHIN, _TIP = range(6)


@columnar
class BridgeUsersState(NamedTuple):
    """Columns of bridge users, and what they share."""

    size_usd: F8  # float64, (n,), median transfer, USD
    n_sent: I8  # int64, (n,), transfers asked for
    n_fled: I8  # int64, (n,), times the user fled a wrapped token
    watcher: I8  # int64, (n_watchers,), rows that watch the discount, the fastest first
    delay: F8  # float64, (n_watchers,), ticks from the alarm to the act
    alarm: I8  # int64, (n_routes,), tick at which the discount grew too large, -1: calm
    n_acted: I8  # int64, (n_routes,), watchers that acted in this alarm
    terms: F8  # float64, (6,): cost of a day, most cost, stop and fright discount, ln-sd, tip
    number: I8  # int64, (1,): account group


class BridgeUsersConfig(Config):
    """Users who move a token between two chains."""

    kind: Literal["bridge_users"]
    chain: str = Field(description="Home chain of the bridges.")
    other_chain: str = Field(description="Chain to which they lead.")
    count: int = Field(gt=0, le=10_000_000, description="Number of users.")
    bridges: list[str] | None = Field(
        None, description="Bridges they use; all between the two chains when left out."
    )
    transfers_per_day: float = Field(
        ge=0.0, description="Arrivals of one user.", json_schema_extra={"unit": "1/day"}
    )
    median_usd: float = Field(
        gt=0.0, description="Median transfer.", json_schema_extra={"unit": "USD"}
    )
    size_log_sd: float = Field(
        1.5, ge=0.0, le=4.0, description="Standard deviation of the logarithm of sizes, over all."
    )
    size_share_between: float = Field(
        0.6, ge=0.0, le=1.0, description="Share of the log variance that lies between users."
    )
    wallet_multiple: float = Field(
        20.0, gt=0.0, description="Holding of each token over the user's median transfer."
    )
    delay_cost_per_day: float = Field(
        0.002,
        ge=0.0,
        description="What waiting a day is worth.",
        json_schema_extra={"unit": "fraction of the amount per day"},
    )
    max_cost: float = Field(
        0.02,
        ge=0.0,
        description="Dearest transfer accepted.",
        json_schema_extra={"unit": "fraction"},
    )
    stop_discount: float = Field(
        0.01,
        ge=0.0,
        description="Discount of the wrapped token above which nobody buys into it.",
        json_schema_extra={"unit": "fraction of par"},
    )
    fright_discount: float = Field(
        0.02,
        ge=0.0,
        description="Discount above which watchers flee the wrapped token.",
        json_schema_extra={"unit": "fraction of par"},
    )
    watching_share: float = Field(
        0.5, ge=0.0, le=1.0, description="Share of users who watch the discount."
    )
    reaction_minutes: float = Field(
        30.0,
        ge=0.0,
        description="Median time from the alarm to the act, lognormal.",
        json_schema_extra={"unit": "min"},
    )
    reaction_log_sd: float = Field(
        1.0, ge=0.0, le=4.0, description="Standard deviation of the logarithm of that time."
    )
    tip_gwei: float = Field(
        1.0, ge=0.0, description="Priority fee they bid.", json_schema_extra={"unit": "gwei"}
    )


class BridgeUser(ColumnarAgent):
    """One bridge user: a view on a row of its population."""


unpack = view_of(
    BridgeUsersState,
    Arrivals,
    BridgeRoutes,
    Outbox,
    Ledger,
    Prices,
    Venues,
)


# --- moving --------------------------------------------------------------------------------------


@kernel
def route_cost(users, routes, prices, venues, k, side, amount, net):  # type: ignore[no-untyped-def]
    """Return the cost of a quoted transfer as a share of its amount."""
    cost = 1.0 - net / amount + waiting_cost(routes, k, side, users.terms[_WAITING])
    if side == 0:
        cost += max(discount_of(routes, prices, venues, k), 0.0)
    return cost


@kernel
def cheapest_route(users, routes, ledger, prices, venues, row, side, usd):  # type: ignore[no-untyped-def]
    """Return (route, amount) of the least cost for a transfer of `usd`; route -1: none."""
    best, best_amount, least = -1, 0.0, users.terms[_MAX_COST]
    for k in range(routes.venue.shape[0]):
        token = routes.tokens[k, side]
        if prices.reference[token] <= 0.0:
            continue
        if side == 0 and discount_of(routes, prices, venues, k) > users.terms[_STOP]:
            continue
        held = balance_of(ledger, users.number[0], row, token)
        amount = min(usd / prices.reference[token], 0.5 * held)
        net, amount = quote_route(venues, routes, k, side, amount)
        if net <= 0.0:
            continue
        cost = route_cost(users, routes, prices, venues, k, side, amount, net)
        if cost <= least:
            best, best_amount, least = k, amount, cost
    return best, best_amount


@kernel
def move(users, wheel, routes, box, ledger, prices, venues, row, now):  # type: ignore[no-untyped-def]
    """Let one user decide and post at most one transfer."""
    due = wheel.due[row]
    way, size = uniforms(wheel.clock[_SEED], wheel.clock[_STREAM], due, row, 0)
    side = 0 if way < 0.5 else 1
    usd = users.size_usd[row] * math.exp(users.terms[_WITHIN] * normal(size))
    k, amount = cheapest_route(users, routes, ledger, prices, venues, row, side, usd)
    if k < 0:
        return
    order = draft_route(box, venues, routes, k, side, amount, users.number[0], row, now)
    order.arrival = due
    order.tip = users.terms[_TIP]
    order.max_fee += order.tip
    order.parent = _ROUTINE
    post(box, order)
    users.n_sent[row] += 1


# --- fleeing -------------------------------------------------------------------------------------


@kernel
def flee(users, routes, box, ledger, venues, k, row, now):  # type: ignore[no-untyped-def]
    """Let one user leave a wrapped token: redeem it while the escrow can pay, else sell it."""
    group, token = users.number[0], routes.tokens[k, 1]
    held = balance_of(ledger, group, row, token)
    if held <= 0.0:
        return
    _, payable = quote_route(venues, routes, k, 1, held)
    pool = routes.pool[k]
    if payable >= held:
        order = draft_route(box, venues, routes, k, 1, held, group, row, now)
    elif venues.is_halted[pool] == 0:
        side = 0 if venues.token0[pool] == token else 1
        q = quote(venues, pool, side, held, 0.0)
        if q.status != OK:
            return
        order = draft_swap(box, venues, pool, side, held, group, row, now)
        order.limit = q.amount_out * (1.0 - _FLIGHT_SLIPPAGE)
    else:
        return
    order.tip = users.terms[_TIP]
    order.max_fee += order.tip
    last = venues.last_fill[pool]
    order.parent = _FILL + last if last > 0 else _ROUTINE
    post(box, order)
    users.n_fled[row] += 1


@kernel
def watch(users, routes, box, ledger, prices, venues, k, now):  # type: ignore[no-untyped-def]
    """Raise or end the alarm of one bridge, and let the watchers act whose time has come."""
    discount = discount_of(routes, prices, venues, k)
    if users.alarm[k] < 0:
        if discount <= users.terms[_FRIGHT]:
            return
        users.alarm[k], users.n_acted[k] = now, 0
    elif discount < _CALM * users.terms[_FRIGHT]:
        users.alarm[k] = -1
        return
    while users.n_acted[k] < users.watcher.shape[0]:
        next_one = users.n_acted[k]
        if users.alarm[k] + users.delay[next_one] > now:
            return
        flee(users, routes, box, ledger, venues, k, users.watcher[next_one], now)
        users.n_acted[k] = next_one + 1


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Let everyone act before a block."""
    users, wheel, routes, box, ledger, prices, venues = unpack(binding)
    now = clock_at(message).now
    row = next_arrival(wheel, now)
    while row >= 0:
        move(users, wheel, routes, box, ledger, prices, venues, row, now)
        renew(wheel, row, wheel.due[row])
        row = next_arrival(wheel, now)
    for k in range(routes.venue.shape[0]):
        if routes.kind[k] == LOCK and routes.pool[k] >= 0:
            watch(users, routes, box, ledger, prices, venues, k, now)
    return OK


# --- declaration ---------------------------------------------------------------------------------


def make(world: World, site: PopulationSite) -> tuple[BridgeUsersState, Arrivals, BridgeRoutes]:
    """Return the columns, the arrival wheel and the bridges of a population of bridge users."""
    config, n = site.config, site.rows
    routes = make_routes(world, site)
    between = config.size_log_sd * math.sqrt(config.size_share_between)
    within = config.size_log_sd * math.sqrt(1.0 - config.size_share_between)
    watches = uniform_column(world.seed, f"{site.name}:watches", n) < config.watching_share
    slow = np.exp(config.reaction_log_sd * normal_column(world.seed, f"{site.name}:reaction", n))
    delay = slow * config.reaction_minutes * MINUTE * TICKS_PER_SECOND
    watcher = np.flatnonzero(watches)
    watcher = watcher[np.argsort(delay[watcher], kind="stable")].astype(np.int64)
    z = normal_column(world.seed, f"{site.name}:size", n)
    state = BridgeUsersState(
        size_usd=config.median_usd * np.exp(between * z),
        n_sent=np.zeros(n, np.int64),
        n_fled=np.zeros(n, np.int64),
        watcher=watcher,
        delay=delay[watcher],
        alarm=np.full(len(routes.venue), -1, np.int64),
        n_acted=np.zeros(len(routes.venue), np.int64),
        terms=np.array(
            [
                config.delay_cost_per_day,
                config.max_cost,
                config.stop_discount,
                config.fright_discount,
                within,
                config.tip_gwei * GWEI,
            ]
        ),
        number=np.array([site.group], np.int64),
    )
    rate = np.full(n, config.transfers_per_day)
    return state, make_arrivals(rate, world.seed, site.stream), routes


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give every user `wallet_multiple` median transfers of each token of its bridges, and gas."""
    users, _, routes = state
    wallet = users.size_usd * site.config.wallet_multiple
    for token in np.unique(routes.tokens):
        world.endow_column(site.group, int(token), wallet / world.prices.fundamental[token])
    fund_gas(world, site, _GAS_USD)


KIND = PopulationKind(
    kind="bridge_users",
    config=BridgeUsersConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=BridgeUser,
    role="wrapped_holders",
    chains=both_chains,
)
