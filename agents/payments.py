"""Payment users: they move a stablecoin to another chain, and want the native one there.

A payment takes the cheapest way of two kinds: a liquidity network, which pays the native
stablecoin; or a lock-and-mint bridge, whose wrapped token is swapped in the best pool of the other
chain once it has arrived. On the way back the swap and the burn are one order: both or neither.
The cost is what is lost against par, plus the delay at its daily cost; a payment that would cost
more than `max_cost` is not made.
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
    draft_route,
    fund_gas,
    make_routes,
    waiting_cost,
    whole_route,
)
from agents.population import ColumnarAgent
from agents.routing import best_pool
from sim.chain import clock_at
from sim.draws import normal, normal_column, uniforms
from sim.errors import InputError
from sim.kernel import F8, I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.mempool import Outbox, join, post
from sim.orders import CHAINED, ROUTINE, cause
from sim.prices import Prices
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import GWEI
from sim.venues import Venues, draft_swap

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
_ROUTINE = cause(ROUTINE)
_SEED, _STREAM = 0, 1  # Arrivals.clock
_GAS_USD = 100.0
_PATIENCE = 50  # blocks after which a swap of what arrived is tried again
_WAITING, _MAX_COST, _SLIPPAGE, _WITHIN, _TIP = range(5)  # PaymentsState.terms
_GROUP, _N_WAITING, _OTHER = range(3)  # PaymentsState.number


@columnar
class PaymentsState(NamedTuple):
    """Columns of payment users, and what they share."""

    size_usd: F8  # float64, (n,), median payment, USD
    n_paid: I8  # int64, (n,), payments sent
    route: I8  # int64, (n,), bridge whose wrapped token the user waits for, -1: none
    is_swapping: I8  # int64, (n,), 1: it was there, and a swap was sent
    due: I8  # int64, (n,), tick at which it is there, or can be tried again
    given_up: I8  # int64, (n,), tick after which it will not come
    waiting: I8  # int64, (n,), rows that wait for a wrapped token, the first `number[1]` of them
    pools: I8  # int64, (n_pools,), pools of the other chain
    stable: I8  # int64, (2,), stablecoin of each side
    terms: F8  # float64, (5,): cost of a day, most cost, slippage, ln-sd, tip
    number: I8  # int64, (3,): account group, rows that wait, other chain


class PaymentsConfig(Config):
    """Users who pay in stablecoins from one chain to another."""

    kind: Literal["payments"]
    chain: str = Field(description="Home chain of the bridges.")
    other_chain: str = Field(description="Chain to which they lead.")
    token: str = Field(description="Stablecoin of the home chain.")
    other_token: str = Field(description="Stablecoin of the other chain.")
    count: int = Field(gt=0, le=10_000_000, description="Number of users.")
    bridges: list[str] | None = Field(
        None, description="Bridges they use; all between the two chains when left out."
    )
    payments_per_day: float = Field(
        ge=0.0, description="Arrivals of one user.", json_schema_extra={"unit": "1/day"}
    )
    median_usd: float = Field(
        gt=0.0, description="Median payment.", json_schema_extra={"unit": "USD"}
    )
    size_log_sd: float = Field(
        1.5, ge=0.0, le=4.0, description="Standard deviation of the logarithm of sizes, over all."
    )
    size_share_between: float = Field(
        0.6, ge=0.0, le=1.0, description="Share of the log variance that lies between users."
    )
    wallet_multiple: float = Field(
        20.0, gt=0.0, description="Holding of each stablecoin over the user's median payment."
    )
    delay_cost_per_day: float = Field(
        0.002,
        ge=0.0,
        description="What waiting a day is worth.",
        json_schema_extra={"unit": "fraction of the amount per day"},
    )
    max_cost: float = Field(
        0.01, ge=0.0, description="Dearest payment made.", json_schema_extra={"unit": "fraction"}
    )
    slippage: float = Field(
        0.005,
        ge=0.0,
        lt=1.0,
        description="Most they lose against the quote.",
        json_schema_extra={"unit": "fraction"},
    )
    tip_gwei: float = Field(
        1.0, ge=0.0, description="Priority fee they bid.", json_schema_extra={"unit": "gwei"}
    )


class PaymentUser(ColumnarAgent):
    """One payment user: a view on a row of its population."""


unpack = view_of(
    PaymentsState,
    Arrivals,
    BridgeRoutes,
    Outbox,
    Ledger,
    Prices,
    Venues,
)


@kernel
def payment_out(payers, routes, venues, k, side, amount):  # type: ignore[no-untyped-def]
    """Return (amount at the far end, pool, its side) of one way; 0: closed, pool -1: none."""
    here, there = payers.stable[side], payers.stable[1 - side]
    if routes.tokens[k, side] == here and routes.tokens[k, 1 - side] == there:
        return whole_route(venues, routes, k, side, amount), -1, 0
    if routes.kind[k] != LOCK or routes.tokens[k, 0] != payers.stable[0]:
        return 0.0, -1, 0
    wrapped = routes.tokens[k, 1]
    if side == 0:
        net = whole_route(venues, routes, k, 0, amount)
        if net <= 0.0:
            return 0.0, -1, 0
        pool, pays, out = best_pool(venues, payers.pools, wrapped, there, net)
        return out, pool, pays
    pool, pays, out = best_pool(venues, payers.pools, here, wrapped, amount)
    if pool < 0:
        return 0.0, -1, 0
    return whole_route(venues, routes, k, 1, out), pool, pays


@kernel
def send_back(payers, routes, box, venues, k, pool, pays, amount, least, row, now):  # type: ignore[no-untyped-def]
    """Post one order that swaps into the wrapped token and burns it: both, or neither."""
    group = payers.number[_GROUP]
    order = draft_swap(box, venues, pool, pays, amount, group, row, now)
    burn = draft_route(box, venues, routes, k, 1, 0.0, group, row, now)
    burn.flag_bits = CHAINED
    burn.limit = least
    burn.parent = _ROUTINE
    join(box, order, burn)
    bid(payers, order)
    post(box, order)


@kernel
def bid(payers, order):  # type: ignore[no-untyped-def]
    """Bid the usual tip."""
    order.tip = payers.terms[_TIP]
    order.max_fee += order.tip
    order.parent = _ROUTINE


@kernel
def cheapest_way(payers, routes, prices, venues, row, side, amount):  # type: ignore[no-untyped-def]
    """Return (bridge, pool, its side, amount out) of the cheapest way accepted; bridge -1: none."""
    usd_in = prices.reference[payers.stable[side]]
    usd_out = prices.reference[payers.stable[1 - side]]
    best, pool, pays, out, least = -1, -1, 0, 0.0, payers.terms[_MAX_COST]
    for k in range(routes.venue.shape[0]):
        got, through, way = payment_out(payers, routes, venues, k, side, amount)
        if got <= 0.0 or (side == 0 and through >= 0 and payers.route[row] >= 0):
            continue  # closed, or the user still waits for a wrapped token
        cost = 1.0 - got * usd_out / (amount * usd_in)
        cost += waiting_cost(routes, k, side, payers.terms[_WAITING])
        if cost <= least:
            best, pool, pays, out, least = k, through, way, got, cost
    return best, pool, pays, out


@kernel
def pay(payers, wheel, routes, box, ledger, prices, venues, row, now):  # type: ignore[no-untyped-def]
    """Let one user decide and post at most one payment."""
    due = wheel.due[row]
    way, size = uniforms(wheel.clock[_SEED], wheel.clock[_STREAM], due, row, 0)
    side = 0 if way < 0.5 else 1
    token, group = payers.stable[side], payers.number[_GROUP]
    usd = payers.size_usd[row] * math.exp(payers.terms[_WITHIN] * normal(size))
    amount = min(usd / prices.reference[token], 0.5 * balance_of(ledger, group, row, token))
    if amount <= 0.0:
        return
    k, pool, pays, out = cheapest_way(payers, routes, prices, venues, row, side, amount)
    if k < 0:
        return
    least = out * (1.0 - payers.terms[_SLIPPAGE])
    payers.n_paid[row] += 1
    if side == 1 and pool >= 0:
        send_back(payers, routes, box, venues, k, pool, pays, amount, least, row, now)
        return
    order = draft_route(box, venues, routes, k, side, amount, group, row, now)
    bid(payers, order)
    if pool < 0:
        order.limit = least
    else:
        payers.route[row], payers.is_swapping[row] = k, 0
        payers.due[row] = now + routes.delay[k, 0]
        payers.given_up[row] = order.expires + routes.delay[k, 0]
        payers.waiting[payers.number[_N_WAITING]] = row
        payers.number[_N_WAITING] += 1
    post(box, order)


@kernel
def swap_arrived(payers, routes, box, ledger, venues, row, now):  # type: ignore[no-untyped-def]
    """Swap a wrapped token that has arrived; returns whether the user still waits."""
    k, group = payers.route[row], payers.number[_GROUP]
    held = balance_of(ledger, group, row, routes.tokens[k, 1])
    if held <= 0.0:
        is_late = now > payers.given_up[row] and venues.is_halted[routes.venue[k]] == 0
        return payers.is_swapping[row] == 0 and not is_late
    pool, pays, out = best_pool(venues, payers.pools, routes.tokens[k, 1], payers.stable[1], held)
    order_lasts = _PATIENCE * box.chains[routes.chains[k, 1]].interval
    payers.due[row] = now + order_lasts
    if pool >= 0:
        order = draft_swap(box, venues, pool, pays, held, group, row, now)
        order.limit = out * (1.0 - payers.terms[_SLIPPAGE])
        order.expires = now + order_lasts
        bid(payers, order)
        post(box, order)
        payers.is_swapping[row] = 1
    return True


@kernel
def look_for_arrivals(payers, routes, box, ledger, venues, now):  # type: ignore[no-untyped-def]
    """Let everyone act whose wrapped token may be there, and strike out who has done with it."""
    at = 0
    while at < payers.number[_N_WAITING]:
        row = payers.waiting[at]
        if now < payers.due[row] or swap_arrived(payers, routes, box, ledger, venues, row, now):
            at += 1
            continue
        payers.number[_N_WAITING] -= 1
        payers.waiting[at] = payers.waiting[payers.number[_N_WAITING]]
        payers.route[row] = -1


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Let everyone act before a block."""
    payers, wheel, routes, box, ledger, prices, venues = unpack(binding)
    clock = clock_at(message)
    if clock.chain == payers.number[_OTHER]:
        look_for_arrivals(payers, routes, box, ledger, venues, clock.now)
    row = next_arrival(wheel, clock.now)
    while row >= 0:
        pay(payers, wheel, routes, box, ledger, prices, venues, row, clock.now)
        renew(wheel, row, wheel.due[row])
        row = next_arrival(wheel, clock.now)
    return OK


# --- declaration ---------------------------------------------------------------------------------


def make(world: World, site: PopulationSite) -> tuple[PaymentsState, Arrivals, BridgeRoutes]:
    """Return the columns, the arrival wheel and the bridges of a population of payment users."""
    config, n = site.config, site.rows
    routes = make_routes(world, site)
    stable = [
        world.token(config.chain, config.token),
        world.token(config.other_chain, config.other_token),
    ]
    if not np.any(routes.tokens[:, 0] == stable[0]):
        raise InputError(
            f"{site.name}: none of its bridges takes {config.token} on {config.chain}; name one "
            "that does, or another token"
        )
    pools = [
        number
        for number, venue in enumerate(world.plan.venues)
        if venue.mechanism.quote is not None and venue.chain == config.other_chain
    ]
    between = config.size_log_sd * math.sqrt(config.size_share_between)
    within = config.size_log_sd * math.sqrt(1.0 - config.size_share_between)
    z = normal_column(world.seed, f"{site.name}:size", n)
    state = PaymentsState(
        size_usd=config.median_usd * np.exp(between * z),
        n_paid=np.zeros(n, np.int64),
        route=np.full(n, -1, np.int64),
        is_swapping=np.zeros(n, np.int64),
        due=np.zeros(n, np.int64),
        given_up=np.zeros(n, np.int64),
        waiting=np.zeros(n, np.int64),
        pools=np.array(pools, np.int64),
        stable=np.array(stable, np.int64),
        terms=np.array(
            [
                config.delay_cost_per_day,
                config.max_cost,
                config.slippage,
                within,
                config.tip_gwei * GWEI,
            ]
        ),
        number=np.array([site.group, 0, world.chain(config.other_chain)], np.int64),
    )
    rate = np.full(n, config.payments_per_day)
    return state, make_arrivals(rate, world.seed, site.stream), routes


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give every user `wallet_multiple` median payments of both stablecoins, and gas."""
    payers = state[0]
    wallet = payers.size_usd * site.config.wallet_multiple
    for token in payers.stable.tolist():
        world.endow_column(site.group, token, wallet / world.prices.fundamental[token])
    fund_gas(world, site, _GAS_USD)


KIND = PopulationKind(
    kind="payments",
    config=PaymentsConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=PaymentUser,
    chains=both_chains,
)
