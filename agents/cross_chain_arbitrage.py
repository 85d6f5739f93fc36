"""Arbitrage between two pools of one pair on two chains, with inventory on both.

When the base token is dearer in one pool than in the other, fees and margin counted, they buy it in
the cheap pool and sell as much in the dear one, out of what they hold on each chain: two orders,
one a chain, neither waiting for the other. The amount is where the marginal prices meet, by
bisection over quotes, or what they hold. Holdings that are off their target go back over the
bridges, in their time: so a price crosses at once as far as inventory lasts, and then as fast as
bridges refill it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from agents.bridge_routes import BridgeRoutes, both_chains, fund_gas, make_routes
from agents.population import ColumnarAgent
from agents.relayers import restock
from sim.chain import clock_at
from sim.errors import InputError
from sim.kernel import F8, I8, I8x2, columnar, handler, kernel, view_of
from sim.ledger import Ledger
from sim.mempool import Outbox, post
from sim.orders import FILL, cause
from sim.prices import Prices
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.venues import Venues, draft_swap, quote, spendable

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
_FILL = cause(FILL)
_GAS_USD = 10_000.0
_GAS_KEPT = 500_000  # gas for which the gas token is kept back
_PATIENCE = 4  # blocks after which an order expires
_CUTS = 40  # of the bisection: the price at which both meet is known to 1e-12 of the gap
# Entries of `terms`; the band lies where `agents.relayers.restock` looks for it.
_LEAST_PROFIT, _BAND, _MARGIN, _TIP_SHARE = range(4)
_GROUP, _HOME, _OTHER, _IS_FLIPPED = range(4)  # entries of `number`


@columnar
class CrossChainState(NamedTuple):
    """Columns of cross-chain arbitrageurs, and what they share."""

    n_orders: I8  # int64, (n,), orders sent
    asked: I8  # int64, (n,), tick until which an order may be pending
    seen: I8x2  # int64, (n, 2), versions of both pools at the last order
    busy: I8x2  # int64, (n, n_routes), tick until which a transfer may be on its way
    stock: F8  # float64, (n_tokens,), holding they return to over bridges
    terms: F8  # float64, (4,): least profit USD, band, margin, tip share
    number: I8  # int64, (4,): group, pool at home, other pool, 1: its base is token 1


class CrossChainArbitrageConfig(Config):
    """Arbitrageurs between two pools of one pair on two chains."""

    kind: Literal["cross_chain_arbitrage"]
    chain: str = Field(description="Home chain of the bridges, and of the first pool.")
    other_chain: str = Field(description="Chain of the other pool.")
    pool: str = Field(description="Pool on the home chain; its token 0 is the base.")
    other_pool: str = Field(description="Pool of the same pair on the other chain.")
    count: int = Field(1, gt=0, le=1_000, description="Number of arbitrageurs.")
    bridges: list[str] | None = Field(
        None, description="Bridges they use; all between the two chains when left out."
    )
    inventory_usd: float = Field(
        gt=0.0,
        description="Value that each holds of each token of both pools.",
        json_schema_extra={"unit": "USD"},
    )
    margin_bps: float = Field(
        5.0,
        ge=0.0,
        lt=1_000.0,
        description="Least gap of prices beyond both fees.",
        json_schema_extra={"unit": "bp"},
    )
    min_profit_usd: float = Field(
        1.0, ge=0.0, description="Least profit after gas.", json_schema_extra={"unit": "USD"}
    )
    tip_share: float = Field(
        0.1, ge=0.0, lt=1.0, description="Share of expected profit bid as priority fee, each side."
    )
    rebalance_band: float = Field(
        0.25, gt=0.0, description="A holding goes back when it is off its target by this share."
    )


class CrossChainArbitrageur(ColumnarAgent):
    """One cross-chain arbitrageur: a view on a row of its population."""


unpack = view_of(CrossChainState, BridgeRoutes, Outbox, Ledger, Prices, Venues)


@kernel
def base_price(venues, pool, is_flipped):  # type: ignore[no-untyped-def]
    """Return the marginal price of the base in a pool, whichever of its tokens that is."""
    return 1.0 / venues.price[pool] if is_flipped else venues.price[pool]


@kernel
def quote_base(venues, pool, is_flipped, is_bought, amount, limit):  # type: ignore[no-untyped-def]
    """Return (amount in, amount out, side, price limit) of trading the base up to a price."""
    side = 1 if is_bought != is_flipped else 0
    own_limit = 1.0 / limit if is_flipped else limit
    q = quote(venues, pool, side, amount, own_limit)
    if q.status != OK:
        return 0.0, 0.0, side, own_limit
    return q.amount_in, q.amount_out, side, own_limit


@kernel(inline=False)
def meet(venues, cheap, dear, purse, margin):  # type: ignore[no-untyped-def]
    """Return the price of the base, fees apart, at which as much is sold dear as is bought cheap.

    Parameters
    ----------
    cheap, dear : (pool, is flipped)
    purse : (what can be paid for the base, base that can be sold)
    """
    phi_cheap, phi_dear = 1.0 - venues.fee[cheap[0]], 1.0 - venues.fee[dear[0]]
    phi_dear *= 1.0 - margin
    low = base_price(venues, cheap[0], cheap[1]) / phi_cheap
    high = base_price(venues, dear[0], dear[1]) * phi_dear
    for _ in range(_CUTS):
        middle = 0.5 * (low + high)
        bought = quote_base(venues, cheap[0], cheap[1], True, purse[0], middle * phi_cheap)[1]
        sold = quote_base(venues, dear[0], dear[1], False, purse[1], middle / phi_dear)[0]
        if bought > sold:
            high = middle
        else:
            low = middle
    return low


@kernel
def send(people, box, venues, row, pool, trade, tip_usd, native_usd, now):  # type: ignore[no-untyped-def]
    """Post one side; `trade` is (amount in, amount out, side, price limit)."""
    order = draft_swap(box, venues, pool, trade[2], trade[0], people.number[_GROUP], row, now)
    chain = box.chains[order.chain]
    order.price_limit = trade[3]
    if native_usd > 0.0:
        order.tip = tip_usd / (order.gas * native_usd)
    order.max_fee += order.tip
    order.expires = now + _PATIENCE * chain.interval
    last = max(venues.last_fill[people.number[_HOME]], venues.last_fill[people.number[_OTHER]])
    order.parent = _FILL + last if last > 0 else 0
    people.asked[row] = max(people.asked[row], order.expires)
    people.n_orders[row] += 1
    post(box, order)


@kernel
def gas_usd(box, prices, venues, pool):  # type: ignore[no-untyped-def]
    """Return (USD of the gas of a swap, USD per native token) on a pool's chain."""
    chain = box.chains[venues.chain[pool]]
    native_usd = prices.reference[chain.native] if chain.native >= 0 else 0.0
    return venues.gas[venues.first_verb[pool]] * chain.base_fee * native_usd, native_usd


@kernel
def purse_of(people, box, ledger, venues, row, pool, side):  # type: ignore[no-untyped-def]
    """Return what somebody can pay on one side of a pool, gas kept back."""
    token = venues.token0[pool] if side == 0 else venues.token1[pool]
    chain = venues.chain[pool]
    return spendable(box, ledger, chain, people.number[_GROUP], row, token, _GAS_KEPT)


@kernel(inline=False)
def consider(people, box, ledger, prices, venues, row, now):  # type: ignore[no-untyped-def]
    """Let one arbitrageur compare the pools and post both sides of a trade, if it pays."""
    home, other = people.number[_HOME], people.number[_OTHER]
    is_same = venues.version[home] == people.seen[row, 0]
    is_same = is_same and venues.version[other] == people.seen[row, 1]
    if now <= people.asked[row] or (is_same and people.asked[row] < 0):
        return
    is_flipped = people.number[_IS_FLIPPED] != 0
    cheap, dear = (home, False), (other, is_flipped)
    if base_price(venues, home, False) > base_price(venues, other, is_flipped):
        cheap, dear = dear, cheap
    margin = people.terms[_MARGIN]
    phi = (1.0 - venues.fee[home]) * (1.0 - venues.fee[other]) * (1.0 - margin)
    if base_price(venues, dear[0], dear[1]) * phi <= base_price(venues, cheap[0], cheap[1]):
        return
    pays = purse_of(people, box, ledger, venues, row, cheap[0], 0 if cheap[1] else 1)
    sells = purse_of(people, box, ledger, venues, row, dear[0], 1 if dear[1] else 0)
    price = meet(venues, cheap, dear, (pays, sells), margin)
    at_cheap = price * (1.0 - venues.fee[cheap[0]])
    at_dear = price / ((1.0 - venues.fee[dear[0]]) * (1.0 - margin))
    bought = quote_base(venues, cheap[0], cheap[1], True, pays, at_cheap)
    sold = quote_base(venues, dear[0], dear[1], False, min(sells, bought[1]), at_dear)
    if sold[0] < bought[1]:  # what cannot be sold is not bought
        share = sold[0] / max(bought[1], 1e-300)
        bought = quote_base(venues, cheap[0], cheap[1], True, bought[0] * share, at_cheap)
    token = venues.token0[dear[0]] if dear[1] else venues.token1[dear[0]]
    cost_cheap, native_cheap = gas_usd(box, prices, venues, cheap[0])
    cost_dear, native_dear = gas_usd(box, prices, venues, dear[0])
    profit = (sold[1] - bought[0]) * prices.reference[token] - cost_cheap - cost_dear
    if bought[0] <= 0.0 or sold[0] <= 0.0 or profit <= people.terms[_LEAST_PROFIT]:
        return
    tip = 0.5 * people.terms[_TIP_SHARE] * profit
    send(people, box, venues, row, cheap[0], bought, tip, native_cheap, now)
    send(people, box, venues, row, dear[0], sold, tip, native_dear, now)
    people.seen[row, 0], people.seen[row, 1] = venues.version[home], venues.version[other]


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Compare the pools before each block of either chain, and send back what is off its target."""
    people, routes, box, ledger, prices, venues = unpack(binding)
    clock = clock_at(message)
    for row in range(people.n_orders.shape[0]):
        consider(people, box, ledger, prices, venues, row, clock.now)
        for k in range(routes.venue.shape[0]):
            if clock.chain == routes.chains[k, 1]:
                restock(people, routes, box, ledger, venues, row, k, clock.now)
    return OK


# --- declaration ---------------------------------------------------------------------------------


def make(world: World, site: PopulationSite) -> tuple[CrossChainState, BridgeRoutes]:
    """Return the columns and the bridges of a population of cross-chain arbitrageurs."""
    config, n = site.config, site.rows
    routes = make_routes(world, site)
    pair = [
        _tokens_of(world, site, name, chain)
        for name, chain in ((config.pool, config.chain), (config.other_pool, config.other_chain))
    ]
    stock = np.zeros(len(world.tokens))
    for token in (*pair[0], *pair[1]):
        stock[token] = config.inventory_usd / world.prices.fundamental[token]
    state = CrossChainState(
        n_orders=np.zeros(n, np.int64),
        asked=np.full(n, -1, np.int64),
        seen=np.full((n, 2), -1, np.int64),
        busy=np.full((n, len(routes.venue)), -1, np.int64),
        stock=stock,
        terms=np.array(
            [
                config.min_profit_usd,
                config.rebalance_band,
                config.margin_bps * 1e-4,
                config.tip_share,
            ]
        ),
        number=np.array(
            [
                site.group,
                world.venue(config.pool),
                world.venue(config.other_pool),
                _is_flipped(world, site, pair),
            ],
            np.int64,
        ),
    )
    return state, routes


def _tokens_of(world: World, site: PopulationSite, name: str, chain: str) -> tuple[int, int]:
    """Return both tokens of a pool.

    Raises
    ------
    InputError
        It is no pool, or on another chain.
    """
    number = world.venue(name)
    plan = world.plan.venues[number]
    if plan.mechanism.quote is None or plan.chain != chain:
        raise InputError(f"populations.{site.name}: '{name}' is no pool on chain '{chain}'")
    return int(world.venues.token0[number]), int(world.venues.token1[number])


def _is_flipped(world: World, site: PopulationSite, pair: list[tuple[int, int]]) -> int:
    """Return 1 where the other pool has the pair the other way round.

    Raises
    ------
    InputError
        The pools do not trade the same assets.
    """
    home, other = ([int(world.prices.asset[token]) for token in tokens] for tokens in pair)
    if min(home) < 0 or home not in (other, other[::-1]):
        raise InputError(
            f"populations.{site.name}: '{site.config.pool}' and '{site.config.other_pool}' must "
            "be pools of the same two assets"
        )
    return int(home != other)


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give every arbitrageur its target of each token, and gas."""
    for token in np.flatnonzero(state[0].stock > 0.0):
        world.endow_column(site.group, int(token), float(state[0].stock[token]))
    fund_gas(world, site, _GAS_USD)


def tokens(world: World, site: PopulationSite) -> list[int]:
    """Return the tokens they can hold: all of both ends."""
    ends = both_chains(world, site)
    return [k for k, token in enumerate(world.tokens) if world.chain(token.chain) in ends]


KIND = PopulationKind(
    kind="cross_chain_arbitrage",
    config=CrossChainArbitrageConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=CrossChainArbitrageur,
    role="arbitrageurs",
    chains=both_chains,
    tokens=tokens,
)
