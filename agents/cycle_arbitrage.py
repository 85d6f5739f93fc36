"""Arbitrageurs of cycles: buy a token along the pools of one chain and be back with more of it.

The population watches every cycle of its chain that passes a start token. When the price of a pool
has moved, the cycles through that pool are valued anew: first the product of marginal prices after
fees, and only where it exceeds 1 the best amount. Before a block each arbitrageur takes the open
cycle with the largest profit after gas, then further ones over other pools, and posts each as one
atomic order: all legs or none. It bids a share of the expected profit as priority fee. The last leg
must give back the amount paid, gas and tip; so a race that is lost fails, and still pays gas.

A pool through which an order is pending is left alone until that order expires or the pool moves.
Latency is the time an order takes to the mempool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from agents.population import ColumnarAgent
from agents.routing import chain_pools
from sim.chain import clock_at
from sim.cycles import Cycles, drop_repeats, enumerate_cycles, rotate_cycles
from sim.draws import uniform_column
from sim.errors import InputError
from sim.graph import TokenGraph, token_graph
from sim.kernel import F8, I8, I8x2, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.mempool import N_FREE, Outbox, join, post
from sim.optimal_trade import best_cycle_amount, cycle_margin, cycle_output
from sim.orders import CHAINED, FILL, cause
from sim.prices import Prices
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import ticks
from sim.venues import Venues, draft_swap

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
_FILL = cause(FILL)
_GROUP, _N_OPEN, _N_LOOKS = range(3)  # CycleArbitrageState.number
_LEAST_MARGIN = 1.0 + 1e-9  # what is below is rounding
_PATIENCE = 4  # blocks after which an order expires
_GAS_USD = 10_000.0  # native tokens each gets where it does not start from them


@columnar
class CycleArbitrageState(NamedTuple):
    """Columns of cycle arbitrageurs, and the cycles they share."""

    latency: I8  # int64, (n,), ticks an order takes to the mempool
    tip_share: F8  # float64, (n,), share of the expected profit bid as priority fee
    n_orders: I8  # int64, (n,), orders sent
    asked: I8x2  # int64, (n, n_venues), tick until which an order through the pool may be pending
    posted: I8x2  # int64, (n, n_venues), version of the pool at that order
    seen: I8  # int64, (n_venues,), version of the pool at the last look
    first: I8  # int64, (n_venues + 1,), where a pool's cycles begin in `through`
    through: I8  # int64, (n_passes,), cycles sorted by the pools they pass
    venue: I8x2  # int64, (n_cycles, max_length), pools in order; -1 ends a short cycle
    side: I8x2  # int64, (n_cycles, max_length), 0: pays token 0
    start: I8  # int64, (n_cycles,), token it starts from
    gas: I8  # int64, (n_cycles,), of all legs
    amount: F8  # float64, (n_cycles,), best amount in at the last look, units of the start token
    gain: F8  # float64, (n_cycles,), profit before gas at that amount, units of the start token
    open: I8  # int64, (n_cycles,), the cycles with a gain, in no order
    place: I8  # int64, (n_cycles,), where a cycle stands in `open`, -1: nowhere
    looked: I8  # int64, (n_cycles,), number of the last look at the cycle
    terms: F8  # float64, (1,): least profit USD
    number: I8  # int64, (3,): account group, open cycles, looks so far


class CycleArbitrageConfig(Config):
    """Arbitrageurs of cycles of pools on one chain."""

    kind: Literal["cycle_arbitrage"]
    chain: str = Field(description="Chain whose pools they watch.")
    count: int = Field(1, gt=0, le=1_000, description="Number of arbitrageurs.")
    max_length: int = Field(3, ge=2, le=4, description="Most pools in a cycle.")
    start_tokens: list[str] = Field(
        min_length=1, description="Tokens in which they hold inventory, the preferred one first."
    )
    inventory_usd: float = Field(
        gt=0.0,
        description="Value that each holds of every start token.",
        json_schema_extra={"unit": "USD"},
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
    latency_seconds: float = Field(
        0.0,
        ge=0.0,
        description="Time an order takes to the mempool.",
        json_schema_extra={"unit": "s"},
    )
    latency_spread_seconds: float = Field(
        0.0, ge=0.0, description="Spread of that time over agents.", json_schema_extra={"unit": "s"}
    )


class CycleArbitrageur(ColumnarAgent):
    """One cycle arbitrageur: a view on a row of its population."""


unpack = view_of(CycleArbitrageState, Outbox, Ledger, Prices, Venues)


# --- looking -------------------------------------------------------------------------------------


@kernel
def set_gain(arbs, cycle, amount, gain):  # type: ignore[no-untyped-def]
    """Store the best trade of a cycle, and keep the list of cycles with a gain."""
    arbs.amount[cycle], arbs.gain[cycle] = amount, gain
    at, n = arbs.place[cycle], arbs.number[_N_OPEN]
    if gain > 0.0 and at < 0:
        arbs.open[n], arbs.place[cycle] = cycle, n
        arbs.number[_N_OPEN] = n + 1
    elif gain <= 0.0 and at >= 0:
        last = arbs.open[n - 1]
        arbs.open[at], arbs.place[last] = last, at
        arbs.place[cycle] = -1
        arbs.number[_N_OPEN] = n - 1


@kernel
def value_cycle(arbs, ledger, venues, cycle):  # type: ignore[no-untyped-def]
    """Value one cycle anew, for the largest holding of its start token in the population."""
    amount = gain = 0.0
    if cycle_margin(venues, arbs.venue, arbs.side, cycle) > _LEAST_MARGIN:
        most = 0.0
        for row in range(arbs.latency.shape[0]):
            most = max(most, balance_of(ledger, arbs.number[_GROUP], row, arbs.start[cycle]))
        amount, gain = best_cycle_amount(venues, arbs.venue, arbs.side, cycle, most)
    set_gain(arbs, cycle, amount, gain)


@kernel
def look(arbs, ledger, venues):  # type: ignore[no-untyped-def]
    """Value the cycles through every pool that has moved since the last look, each once."""
    arbs.number[_N_LOOKS] += 1
    now = arbs.number[_N_LOOKS]
    for venue in range(arbs.seen.shape[0]):
        if venues.version[venue] == arbs.seen[venue]:
            continue
        arbs.seen[venue] = venues.version[venue]
        for k in range(arbs.first[venue], arbs.first[venue + 1]):
            cycle = arbs.through[k]
            if arbs.looked[cycle] != now:
                arbs.looked[cycle] = now
                value_cycle(arbs, ledger, venues, cycle)


# --- trading -------------------------------------------------------------------------------------


@kernel
def native_price(box, prices, chain):  # type: ignore[no-untyped-def]
    """Return the USD price of a chain's gas token; 0 where gas is free."""
    native = box.chains[chain].native
    return prices.reference[native] if native >= 0 else 0.0


@kernel
def is_free(arbs, venues, row, cycle, now):  # type: ignore[no-untyped-def]
    """Return whether no pool of a cycle is halted or has an order of this agent pending."""
    for k in range(arbs.venue.shape[1]):
        venue = arbs.venue[cycle, k]
        if venue < 0:
            break
        is_pending = now <= arbs.asked[row, venue]
        if venues.is_halted[venue] != 0:
            return False
        if is_pending and venues.version[venue] == arbs.posted[row, venue]:
            return False
    return True


@kernel
def affordable(arbs, box, ledger, row, cycle, chain):  # type: ignore[no-untyped-def]
    """Return what an agent can put into a cycle: gas, and a tip of all the gain, are kept back."""
    token = arbs.start[cycle]
    held = balance_of(ledger, arbs.number[_GROUP], row, token)
    if box.chains[chain].native == token:
        held -= 2.0 * arbs.gas[cycle] * box.chains[chain].base_fee + arbs.gain[cycle]
    return held


@kernel
def choose(arbs, box, ledger, prices, venues, row, clock):  # type: ignore[no-untyped-def]
    """Return (cycle, amount in, USD of profit after gas) that is best for an agent; -1: none."""
    best, best_amount, most = -1, 0.0, arbs.terms[0]
    fee_usd = box.chains[clock.chain].base_fee * native_price(box, prices, clock.chain)
    for k in range(arbs.number[_N_OPEN]):
        cycle = arbs.open[k]
        usd = prices.reference[arbs.start[cycle]]
        gas_usd = arbs.gas[cycle] * fee_usd
        amount, gain = arbs.amount[cycle], arbs.gain[cycle]
        if gain * usd - gas_usd <= most or not is_free(arbs, venues, row, cycle, clock.now):
            continue
        cap = affordable(arbs, box, ledger, row, cycle, clock.chain)
        if cap < amount:  # the profit is concave, so that the cap is best
            amount = cap
            gain = cycle_output(venues, arbs.venue, arbs.side, cycle, amount) - amount
        if amount > 0.0 and gain * usd - gas_usd > most:
            best, best_amount, most = cycle, amount, gain * usd - gas_usd
    return best, best_amount, most


@kernel
def cause_of(arbs, venues, cycle):  # type: ignore[no-untyped-def]
    """Return the last fill that moved a pool of the cycle, as a cause; 0: none did."""
    last = 0
    for k in range(arbs.venue.shape[1]):
        if arbs.venue[cycle, k] >= 0:
            last = max(last, venues.last_fill[arbs.venue[cycle, k]])
    return _FILL + last if last > 0 else 0


@kernel
def post_cycle(arbs, box, prices, venues, row, cycle, amount, profit, clock):  # type: ignore[no-untyped-def]
    """Post the legs of a cycle as one order; returns whether the mempool had room."""
    if box.counter[N_FREE] < arbs.venue.shape[1]:
        return False
    chain = box.chains[clock.chain]
    group, gas, native_usd = (
        arbs.number[_GROUP],
        arbs.gas[cycle],
        native_price(box, prices, clock.chain),
    )
    tip = arbs.tip_share[row] * profit / (gas * native_usd) if native_usd > 0.0 else 0.0
    cost = gas * (chain.base_fee + tip) * native_usd / prices.reference[arbs.start[cycle]]
    arrival = clock.now + arbs.latency[row]
    expires = arrival + _PATIENCE * chain.interval
    parent = cause_of(arbs, venues, cycle)
    head = last = -1
    for k in range(arbs.venue.shape[1]):
        venue, side = arbs.venue[cycle, k], arbs.side[cycle, k]
        if venue < 0:
            break
        leg = draft_swap(box, venues, venue, side, 0.0, group, row, arrival)
        leg.parent, leg.expires = parent, expires
        last = leg.slot
        if k == 0:
            head = last
            leg.amount, leg.tip = amount, tip
            leg.max_fee += tip
        else:
            leg.flag_bits = CHAINED
            join(box, box.orders[head], leg)
        arbs.asked[row, venue], arbs.posted[row, venue] = expires, venues.version[venue]
    box.orders[last].limit = amount + cost
    arbs.n_orders[row] += 1
    return post(box, box.orders[head]) >= 0


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Look at what moved, then let every arbitrageur take what pays it most."""
    arbs, box, ledger, prices, venues = unpack(binding)
    clock = clock_at(message)
    look(arbs, ledger, venues)
    for row in range(arbs.latency.shape[0]):
        for _ in range(arbs.number[_N_OPEN]):
            cycle, amount, profit = choose(arbs, box, ledger, prices, venues, row, clock)
            if cycle < 0:
                break
            if not post_cycle(arbs, box, prices, venues, row, cycle, amount, profit, clock):
                break
    return OK


# --- building ------------------------------------------------------------------------------------


def make(world: World, site: PopulationSite) -> CycleArbitrageState:
    """Return the columns of a population of cycle arbitrageurs, with the cycles of the world."""
    config, n = site.config, site.rows
    chain_pools(world, site)
    start_tokens(world, site)
    slow = uniform_column(world.seed, f"{site.name}:latency", n)
    spread = config.latency_spread_seconds * slow
    none = np.zeros(0, np.int64)
    table = np.zeros((0, config.max_length), np.int64)
    state = CycleArbitrageState(
        latency=np.array([ticks(config.latency_seconds + extra) for extra in spread], np.int64),
        tip_share=np.full(n, config.tip_share),
        n_orders=np.zeros(n, np.int64),
        asked=np.zeros((n, 0), np.int64),
        posted=np.zeros((n, 0), np.int64),
        seen=none.copy(),
        first=none.copy(),
        through=none.copy(),
        venue=table.copy(),
        side=table.copy(),
        start=none.copy(),
        gas=none.copy(),
        amount=np.zeros(0),
        gain=np.zeros(0),
        open=none.copy(),
        place=none.copy(),
        looked=none.copy(),
        terms=np.array([config.min_profit_usd]),
        number=np.array([site.group, 0, 0], np.int64),
    )
    _watch(state, world, site, token_graph(world))
    return state


def watch(world: World, name: str, graph: TokenGraph) -> int:
    """Let a population watch the cycles of a changed token graph; returns how many there are.

    To be called between blocks. Orders that are pending stay so.

    Parameters
    ----------
    world : the world, whose bindings are made anew
    name : of the population
    graph : nodes numbered as the world's tokens, such as a changed `token_graph(world)`
    """
    state = world.states[name]
    site = world.population_sites[world.population_names.index(name)]
    _watch(state, world, site, graph)
    world.rebind()
    return len(state.start)


def _watch(
    state: CycleArbitrageState, world: World, site: PopulationSite, graph: TokenGraph
) -> None:
    compiled = graph.compiled()
    venues = world.venues
    pool = venues.group * (1 + venues.account.max()) + venues.account
    found = drop_repeats(enumerate_cycles(compiled, site.config.max_length, site.chain), pool)
    cycles = rotate_cycles(found, start_tokens(world, site))
    n_cycles, n_venues = len(cycles.venue), len(world.venues.row)
    first, through = passes(cycles, n_venues)
    gas = world.venues.gas[world.venues.first_verb[cycles.venue]]
    fresh = {
        "seen": np.full(n_venues, -1, np.int64),
        "first": first,
        "through": through,
        "venue": cycles.venue,
        "side": cycles.side,
        "start": cycles.token[:, 0],
        "gas": np.where(cycles.venue >= 0, gas, 0).sum(axis=1),
        "amount": np.zeros(n_cycles),
        "gain": np.zeros(n_cycles),
        "open": np.zeros(n_cycles, np.int64),
        "place": np.full(n_cycles, -1, np.int64),
        "looked": np.zeros(n_cycles, np.int64),
    }
    if state.asked.shape[1] != n_venues:
        fresh["asked"] = np.full((site.rows, n_venues), -1, np.int64)
        fresh["posted"] = np.full((site.rows, n_venues), -1, np.int64)
    for name, values in fresh.items():
        column = getattr(state, name)
        column.resize(values.shape, refcheck=False)  # stays the same object, for the next binding
        column[...] = values
    state.number[_N_OPEN] = state.number[_N_LOOKS] = 0


def passes(cycles: Cycles, n_venues: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where each venue's cycles begin, and the cycles sorted by the venues they pass.

    Returns
    -------
    first : int64, (n_venues + 1,)
    through : int64, (n_passes,)
    """
    cycle, leg = np.nonzero(cycles.venue >= 0)
    venue = cycles.venue[cycle, leg]
    counts = np.bincount(venue, minlength=n_venues)
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return first, cycle[np.argsort(venue, kind="stable")]


def start_tokens(world: World, site: PopulationSite) -> list[int]:
    """Return the tokens that a population starts cycles from.

    Raises
    ------
    InputError
        A token does not exist, or has no reference price to count profits by.
    """
    tokens = [world.token(site.config.chain, symbol) for symbol in site.config.start_tokens]
    for token, symbol in zip(tokens, site.config.start_tokens, strict=True):
        if world.prices.asset[token] < 0:
            raise InputError(
                f"{site.name} cannot start from '{symbol}', which has no reference price; "
                "start_tokens must be tokens of an asset"
            )
    return tokens


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give every arbitrageur its inventory of each start token, and gas."""
    tokens = start_tokens(world, site)
    native = int(world.box.chains[site.chain]["native"])
    for token in tokens:
        amount = site.config.inventory_usd / world.prices.fundamental[token]
        world.endow_column(site.group, token, float(amount))
    if native >= 0 and native not in tokens:
        world.endow_column(site.group, native, float(_GAS_USD / world.prices.fundamental[native]))


KIND = PopulationKind(
    kind="cycle_arbitrage",
    config=CycleArbitrageConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=CycleArbitrageur,
    role="arbitrageurs",
)
