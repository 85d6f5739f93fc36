"""Pools by a trading function of one's own: give the function, get a working pool.

A constant function market maker accepts a trade if it does not lower a trading function of its
reserves (Angeris and Chitra 2020, Improved price oracles: constant function market makers). The
function must rise in every reserve and be quasiconcave. Everything else follows by solving: what a
payment gives is the root of phi(x + net, y - out) = phi(x, y), the marginal price is the ratio of
two slopes, by central differences, and a swap up to a price, with which arbitrage ends, is the
root of that.

The function is a handler that reads a point and answers with a value:

    @handler
    def curve(binding, pool):
        reserves, parameters = point_at(binding, pool)
        return answer(binding, reserves[0] * reserves[1])

`curve_mechanism` makes a mechanism of it. A root is known to some 1e-15 of a reserve, on the side
of the pool; a price to some 1e-10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from sim.amm import token_pool
from sim.amm.token_pool import (
    MOST_TOKENS,
    PoolPair,
    TokenPools,
    add_in_proportion,
    clear_work,
    ends_of,
    is_amount,
    meets_again,
    pairs_of,
    remove_in_proportion,
    settle_swap,
    shares_of,
)
from sim.errors import InputError
from sim.kernel import Handler, bind, handler, invoke, kernel, view_of
from sim.ledger import Ledger
from sim.mempool import Outbox
from sim.orders import order_at, quote_at
from sim.registry import Config, Mechanism, VenueSite, Verb
from sim.status import Status
from sim.venues import Venues, show_price

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.world import World

OK = int(Status.OK)
SLIPPAGE = int(Status.SLIPPAGE)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
PRICE_LIMIT = int(Status.PRICE_LIMIT)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
INSUFFICIENT_LIQUIDITY = int(Status.INSUFFICIENT_LIQUIDITY)
_POINT, _ANSWER = 2, 3  # rows of `TokenPools.work`
_STEP = 1e-5  # of a reserve, in differences
_ROOM = 1e-6  # beyond the marginal price, in which a root is looked for
_ALL = 1.0 - 1e-12  # of a reserve, most that is given
_EXACT = 1e-15  # of a reserve, or of an amount, at which a search ends
_MOST_STEPS = 100


class CurveConfig(Config):
    """Base of the settings of a pool by a trading function; give it a `kind` of your own."""

    kind: str
    chain: str = Field(description="Chain on which the pool lives.")
    tokens: Annotated[
        list[str],
        Field(
            min_length=2,
            max_length=MOST_TOKENS,
            description="The tokens. Each pair is a venue: the first two are traded under the name "
            "of the pool, two others as NAME:A-B.",
        ),
    ]
    reserves: list[Annotated[float, Field(gt=0.0, le=1e18)]] = Field(
        description="What the pool holds of each token at the start.",
        json_schema_extra={"unit": "token"},
    )
    parameters: Annotated[list[float], Field(max_length=MOST_TOKENS)] = Field(
        [], description="Numbers that the trading function gets."
    )
    fee: float = Field(
        0.003,
        ge=0.0,
        lt=1.0,
        description="Share of the input that goes to liquidity providers.",
        json_schema_extra={"unit": "fraction of amount in"},
    )

    @model_validator(mode="after")
    def _check(self) -> CurveConfig:
        if len(self.reserves) != len(self.tokens):
            raise ValueError(
                f"reserves ({self.reserves}) must be one for each of {len(self.tokens)} tokens"
            )
        return self


# --- the trading function ------------------------------------------------------------------------

_pools_at = view_of(TokenPools)


@kernel
def point_at(binding, pool):  # type: ignore[no-untyped-def]
    """Return (reserves, parameters) at which a trading function is asked: float64 rows of 8."""
    (pools,) = _pools_at(binding)
    return pools.work[_POINT], pools.parameters[pool]


@kernel
def answer(binding, value):  # type: ignore[no-untyped-def]
    """Answer with the value of a trading function."""
    (pools,) = _pools_at(binding)
    pools.work[_ANSWER, 0] = value
    return OK


@kernel
def level(curve, binding, pools, pool):  # type: ignore[no-untyped-def]
    """Return the trading function at the point in `work`."""
    invoke(curve, binding, pool)
    return pools.work[_ANSWER, 0]


@kernel
def put_point(pools, pool):  # type: ignore[no-untyped-def]
    """Let the point be the reserves of a pool."""
    for k in range(pools.work.shape[1]):
        pools.work[_POINT, k] = pools.reserves[pool, k]


@kernel
def slope(curve, binding, pools, pool, k):  # type: ignore[no-untyped-def]
    """Return how the trading function rises with reserve k at the point."""
    point = pools.work[_POINT]
    held = point[k]
    step = _STEP * held
    point[k] = held + step
    above = level(curve, binding, pools, pool)
    point[k] = held - step
    below = level(curve, binding, pools, pool)
    point[k] = held
    return (above - below) / (2.0 * step)


@kernel
def price_at(curve, binding, pools, pool, i, j):  # type: ignore[no-untyped-def]
    """Return the marginal price at the point: token j per token i, without the fee."""
    return slope(curve, binding, pools, pool, i) / slope(curve, binding, pools, pool, j)


@kernel(inline=False)
def given_for(curve, binding, pools, pool, i, j, net):  # type: ignore[no-untyped-def]
    """Return what `net` of token i gives of token j, and move the point there; -1: it cannot.

    The root by the Illinois variant of false position, from the side that keeps the value. What is
    given never exceeds the marginal price of now, as the function is quasiconcave.
    """
    point = pools.work[_POINT]
    before, price = (
        level(curve, binding, pools, pool),
        price_at(curve, binding, pools, pool, i, j),
    )
    held = point[j]
    point[i] += net
    low, high = 0.0, min(price * net * (1.0 + _ROOM), held * _ALL)
    too_little = level(curve, binding, pools, pool) - before
    point[j] = held - high
    too_much = level(curve, binding, pools, pool) - before
    if not (too_little >= 0.0 and too_much <= 0.0):
        return -1.0
    last = 0
    for _ in range(_MOST_STEPS):
        if high - low <= max(_EXACT * held, _EXACT * high) or too_little <= 0.0:
            break
        share = too_little / (too_little - too_much)
        out = low + (high - low) * min(max(share, 1e-3), 1.0 - 1e-3)
        point[j] = held - out
        excess = level(curve, binding, pools, pool) - before
        if excess >= 0.0:
            low, too_little = out, excess
            too_much *= 0.5 if last == 1 else 1.0
            last = 1
        else:
            high, too_much = out, excess
            too_little *= 0.5 if last == -1 else 1.0
            last = -1
    point[j] = held - low
    return low


@kernel
def _price_after(curve, binding, pools, pool, i, j, net):  # type: ignore[no-untyped-def]
    """Return the marginal price after a payment from the reserves of now; 0: it is impossible."""
    put_point(pools, pool)
    if given_for(curve, binding, pools, pool, i, j, net) < 0.0:
        return 0.0
    return price_at(curve, binding, pools, pool, i, j)


@kernel(inline=False)
def net_to_price(curve, binding, pools, pool, i, j, price):  # type: ignore[no-untyped-def]
    """Return what must be paid of token i, after the fee, until token j per i falls to `price`."""
    put_point(pools, pool)
    if not price_at(curve, binding, pools, pool, i, j) > price:
        return 0.0
    low, high = 0.0, 0.01 * pools.reserves[pool, i]
    for _ in range(_MOST_STEPS):
        if not _price_after(curve, binding, pools, pool, i, j, high) > price:
            break
        low, high = high, 4.0 * high
    for _ in range(_MOST_STEPS):
        if high - low <= 1e-13 * high:
            break
        middle = 0.5 * (low + high) if low > 0.1 * high else 0.2 * high
        if _price_after(curve, binding, pools, pool, i, j, middle) > price:
            low = middle
        else:
            high = middle
    return low


@kernel(inline=False)
def quote_swap(curve, binding, pools, row, side, amount, price_limit):  # type: ignore[no-untyped-def]
    """Return (status, amount in, amount out, fee paid, price after) of a swap up to a price."""
    if not is_amount(amount):
        return BAD_AMOUNT, 0.0, 0.0, 0.0, 0.0
    pool, i, j = ends_of(pools, row, side)
    fee = pools.fee[pool]
    if price_limit > 0.0:
        price = price_limit if side == 0 else 1.0 / price_limit
        most = net_to_price(curve, binding, pools, pool, i, j, price) / (1.0 - fee)
        if not most > 0.0:
            clear_work(pools)
            return PRICE_LIMIT, 0.0, 0.0, 0.0, 0.0
        amount = min(amount, most)
    if amount == 0.0:
        clear_work(pools)
        return ZERO_AMOUNT, 0.0, 0.0, 0.0, 0.0
    fee_paid = amount * fee
    put_point(pools, pool)
    out = given_for(curve, binding, pools, pool, i, j, amount - fee_paid)
    after = price_at(curve, binding, pools, pool, i, j) if out > 0.0 else 0.0
    clear_work(pools)
    if not out > 0.0:
        return INSUFFICIENT_LIQUIDITY, 0.0, 0.0, 0.0, 0.0
    return OK, amount, out, fee_paid, after if side == 0 else 1.0 / after


@kernel
def price_of(curve, binding, pools, row):  # type: ignore[no-untyped-def]
    """Return the marginal price of a pair: token 1 per token 0, without the fee."""
    pool, i, j = ends_of(pools, row, 0)
    put_point(pools, pool)
    price = price_at(curve, binding, pools, pool, i, j)
    clear_work(pools)
    return price


@kernel
def show_prices(curve, binding, pools, venues, pool, now):  # type: ignore[no-untyped-def]
    """Publish the marginal prices of all pairs of a pool."""
    for row in range(pools.pool.shape[0]):
        if pools.pool[row] == pool:
            show_price(venues, pools.venue[row], price_of(curve, binding, pools, row), now)


@kernel(inline=False)
def first_price(curve, address, row):  # type: ignore[no-untyped-def]
    """Return the price of a pair from Python: `address` is of a binding of the pools."""
    (pools,) = _pools_at(address)
    return price_of(curve, address, pools, row)


# --- handlers ------------------------------------------------------------------------------------

unpack = view_of(TokenPools, Ledger, Venues, Outbox)


@handler
def _quote(binding, message):  # type: ignore[no-untyped-def]
    pools, _, venues, _ = unpack(binding)
    q = quote_at(message)
    curve, row = venues.curve[q.venue], venues.row[q.venue]
    status, q.amount_in, q.amount_out, q.fee_paid, q.price_after = quote_swap(
        curve, binding, pools, row, q.side, q.amount, q.price_limit
    )
    return status


@handler
def _quote_order(binding, message):  # type: ignore[no-untyped-def]
    pools, _, venues, box = unpack(binding)
    order = order_at(message)
    if meets_again(venues, box, order):
        return NOT_ALLOWED
    curve, row = venues.curve[order.venue], venues.row[order.venue]
    status, order.amount_in, order.amount_out, order.fee_paid, _ = quote_swap(
        curve, binding, pools, row, order.a, order.amount, order.price_limit
    )
    return SLIPPAGE if status == OK and order.amount_out < order.limit else status


@handler
def _swap(binding, message):  # type: ignore[no-untyped-def]
    pools, ledger, venues, _ = unpack(binding)
    order = order_at(message)
    curve, row = venues.curve[order.venue], venues.row[order.venue]
    status, amount, out, fee_paid, _ = quote_swap(
        curve, binding, pools, row, order.a, order.amount, order.price_limit
    )
    if status != OK:
        return status
    if out < order.limit:
        return SLIPPAGE
    pool, i, j = ends_of(pools, row, order.a)
    status = settle_swap(pools, ledger, order, pool, i, j, amount, out, 0.0)
    if status == OK:
        show_prices(curve, binding, pools, venues, pool, order.time)
        order.fee_paid, order.price_after = fee_paid, venues.price[order.venue]
    return status


@handler
def _add(binding, message):  # type: ignore[no-untyped-def]
    pools, ledger, venues, _ = unpack(binding)
    order = order_at(message)
    status = add_in_proportion(pools, ledger, venues, order)
    if status == OK:
        pool = pools.pool[venues.row[order.venue]]
        show_prices(venues.curve[order.venue], binding, pools, venues, pool, order.time)
    return status


@handler
def _remove(binding, message):  # type: ignore[no-untyped-def]
    pools, ledger, venues, _ = unpack(binding)
    order = order_at(message)
    status = remove_in_proportion(pools, ledger, venues, order)
    if status == OK:
        pool = pools.pool[venues.row[order.venue]]
        show_prices(venues.curve[order.venue], binding, pools, venues, pool, order.time)
    return status


# --- declaration ---------------------------------------------------------------------------------


def make(world: World, sites: Sequence[VenueSite]) -> tuple[TokenPools]:
    """Return the pools of a world with their first reserves.

    The first shares, which belong to the genesis account, are the geometric mean of the reserves.

    Raises
    ------
    InputError
        The trading function does not rise in every reserve there.
    """
    pools = token_pool.place(world, sites)
    curve = world.plan.venues[sites[0].number].mechanism.curve
    if curve is None:
        raise InputError(f"{sites[0].name}: its mechanism has no curve; use curve_mechanism")
    for site in sites:
        config = site.config
        if not isinstance(config, PoolPair):
            amounts = np.array(config.reserves)
            pools.parameters[site.row, : len(config.parameters)] = config.parameters
            shares = float(np.exp(np.log(amounts).mean()))
            token_pool.fill(world, pools, site, amounts, shares)
    binding = bind(pools)
    for site in sites:
        price = float(first_price(curve.address, binding.ctypes.data, site.row))
        if not 0.0 < price < np.inf:
            raise InputError(
                f"{site.name}: its trading function gives a price of {price}; it must rise in "
                "every reserve"
            )
        world.venues.fee[site.number] = pools.fee[pools.pool[site.row]]
        world.venues.price[site.number] = price
    return (pools,)


def _nodes(config: Any) -> list[tuple[str, str]]:
    return [(config.chain, symbol) for symbol in config.tokens]


def curve_mechanism(kind: str, config: type[CurveConfig], curve: Handler) -> Mechanism:
    """Return a mechanism of pools by a trading function.

    Parameters
    ----------
    kind : the name that scenarios write; `config` must have it as its `kind`
    config : a `CurveConfig`, with what the function needs beside in `parameters`
    curve : a handler that takes `point_at` and gives `answer`
    """
    return Mechanism(
        kind=kind,
        config=config,
        verbs=(
            Verb("swap", _swap, 150_000, _quote_order),
            Verb("add", _add, 200_000),
            Verb("remove", _remove, 170_000),
        ),
        states=unpack.states,
        make=make,
        quote=_quote,
        curve=curve,
        issues=shares_of,
        nodes=_nodes,
        claims=token_pool.claims,
        sample=token_pool.sample,
        check=token_pool.check,
        pairs=pairs_of,
    )
