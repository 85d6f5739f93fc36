"""Routes over bridges: what each gives for an amount, how long it takes, what its token is worth.

Participants that cross chains share this table of bridges, whatever their kind. Side 0 leads from
the home chain to the other one, side 1 back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sim.bridges import liquidity_network, lock_and_mint
from sim.chain import plain_bid
from sim.errors import InputError
from sim.kernel import I8, I8x2, columnar, kernel
from sim.status import Status
from sim.units import DAY, TICKS_PER_SECOND
from sim.venues import NO_TOKEN, draft, quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.registry import PopulationSite
    from sim.world import World

OK = int(Status.OK)
LOCK, NETWORK = 0, 1  # BridgeRoutes.kind
_KINDS = (lock_and_mint.MECHANISM.kind, liquidity_network.MECHANISM.kind)
_TICKS_PER_DAY = DAY * TICKS_PER_SECOND


@columnar
class BridgeRoutes(NamedTuple):
    """The bridges that a population uses; row = bridge, column = side."""

    venue: I8  # int64, (n,)
    kind: I8  # int64, (n,), LOCK or NETWORK
    pool: I8  # int64, (n,), first pool that trades the wrapped token, -1: none
    tokens: I8x2  # int64, (n, 2), token paid on each side
    chains: I8x2  # int64, (n, 2)
    delay: I8x2  # int64, (n, 2), ticks from send to delivery


@kernel
def quote_route(venues, routes, k, side, amount):  # type: ignore[no-untyped-def]
    """Return (net amount, amount in) of sending at most an amount over one bridge.

    Both are 0 where the bridge refuses, or cannot pay anything within a time that is known.
    """
    venue = routes.venue[k]
    if venues.is_halted[venue] != 0:
        return 0.0, 0.0
    q = quote(venues, venue, side, amount, 0.0)
    return (q.amount_out, q.amount_in) if q.status == OK else (0.0, 0.0)


@kernel
def whole_route(venues, routes, k, side, amount):  # type: ignore[no-untyped-def]
    """Return what arrives of an amount that one bridge takes as a whole; 0: it does not."""
    net, taken = quote_route(venues, routes, k, side, amount)
    return net if taken >= amount else 0.0


@kernel
def draft_route(box, venues, routes, k, side, amount, group, row, now):  # type: ignore[no-untyped-def]
    """Return a new order that sends an amount over one bridge, to be finished and posted."""
    chain = routes.chains[k, side]
    order = draft(box, venues, routes.venue[k], 0, group, row, now)
    order.chain = chain
    order.max_fee = plain_bid(box.chains[chain])
    order.a, order.amount = side, amount
    order.token_in, order.token_out = routes.tokens[k, side], routes.tokens[k, 1 - side]
    return order


@kernel
def discount_of(routes, prices, venues, k):  # type: ignore[no-untyped-def]
    """Return 1 - market price / par of the token that a bridge mints; 0 where nothing trades it."""
    pool = routes.pool[k]
    if pool < 0:
        return 0.0
    wrapped = routes.tokens[k, 1]
    if venues.token0[pool] == wrapped:
        usd = venues.price[pool] * prices.reference[venues.token1[pool]]
    else:
        usd = prices.reference[venues.token0[pool]] / venues.price[pool]
    return 1.0 - usd / prices.reference[routes.tokens[k, 0]]


@kernel
def waiting_cost(routes, k, side, per_day):  # type: ignore[no-untyped-def]
    """Return the cost of the delay of a route, as a share of the amount."""
    return per_day * routes.delay[k, side] / _TICKS_PER_DAY


def make_routes(world: World, site: PopulationSite) -> BridgeRoutes:
    """Return the bridges of a population: those it names, or all between its two chains.

    Raises
    ------
    InputError
        A venue is no bridge, does not lead from `chain` to `other_chain`, or there is none.
    """
    config = site.config
    ends = [world.chain(config.chain), world.chain(config.other_chain)]
    every = [v.name for v in world.plan.venues if v.mechanism.kind in _KINDS]
    names = config.bridges or [name for name in every if _ends_of(world, name) == ends]
    for name in names:
        if name not in every or _ends_of(world, name) != ends:
            raise InputError(
                f"{site.name}: '{name}' is no bridge from {config.chain} to {config.other_chain}; "
                f"bridges are: {', '.join(every) or 'none'}"
            )
    if not names:
        raise InputError(
            f"{site.name}: no bridge leads from {config.chain} to {config.other_chain}; "
            "add one to the venues"
        )
    return routes_over(world, names)


def _ends_of(world: World, name: str) -> list[int]:
    number = world.venue(name)
    state = world.states[world.plan.venues[number].mechanism.kind]
    return [int(chain) for chain in state.chains[world.venues.row[number]]]


def routes_over(world: World, names: Sequence[str]) -> BridgeRoutes:
    """Return the table of the bridges with the given names."""
    n = len(names)
    routes = BridgeRoutes(
        *(np.zeros(n, np.int64) for _ in range(3)), *(np.zeros((n, 2), np.int64) for _ in range(3))
    )
    for k, name in enumerate(names):
        number = world.venue(name)
        kind = world.plan.venues[number].mechanism.kind
        state, line = world.states[kind], int(world.venues.row[number])
        routes.venue[k], routes.kind[k] = number, _KINDS.index(kind)
        routes.tokens[k], routes.chains[k] = state.tokens[line], state.chains[line]
        routes.delay[k] = state.delay[line]
        routes.pool[k] = pool_of(world, int(state.tokens[line, 1])) if kind == _KINDS[LOCK] else -1
    return routes


def pool_of(world: World, token: int) -> int:
    """Return the first pool that trades a token, -1: none."""
    venues = world.venues
    trades = (venues.token0 == token) | (venues.token1 == token)
    found = np.flatnonzero(trades & (venues.token0 != NO_TOKEN))
    return int(found[0]) if len(found) else -1


def both_chains(world: World, site: PopulationSite) -> list[int]:
    """Return the chains before whose blocks a population acts that crosses them."""
    return [site.chain, world.chain(site.config.other_chain)]


def fund_gas(world: World, site: PopulationSite, usd: float) -> None:
    """Give every account native tokens worth `usd` on both chains."""
    for chain in both_chains(world, site):
        native = int(world.box.chains[chain]["native"])
        if native >= 0:
            world.endow_column(site.group, native, usd / world.prices.fundamental[native])
