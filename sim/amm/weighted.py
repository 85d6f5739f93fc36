"""Weighted pools as venues: two to eight tokens, swaps both ways round, joins and exits.

The mathematics is `sim.amm.weighted_math`, what is common to pools of many tokens
`sim.amm.token_pool`. As in the contract, a swap pays and takes at most 30 % of a reserve, and the
first liquidity gets n V shares. Differences: real numbers instead of integers, no minimum of
locked shares, no fees to the protocol, no vault in between.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from sim.amm import token_pool
from sim.amm.concentrated_swap import round_up
from sim.amm.token_pool import (
    MOST_TOKENS,
    REMOVE_ONE,
    PoolPair,
    TokenPools,
    clear_work,
    ends_of,
    is_amount,
    meets_again,
    pairs_of,
    put_pair,
    settle_add,
    settle_remove,
    settle_swap,
    shares_of,
)
from sim.amm.weighted_math import (
    MAX_IN_RATIO,
    MAX_OUT_RATIO,
    amount_of_shares,
    in_given_out,
    net_to_price,
    out_given_in,
    price_between,
    shares_for,
    shares_of_amounts,
)
from sim.appraisal import appraisal_at
from sim.errors import InputError
from sim.kernel import F8x2, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.mempool import Outbox
from sim.orders import REMOVE, order_at, quote_at
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
_WHOLE = 1.0 - 1e-12  # share of the limit at which a swap up to a price stops


@columnar
class Weights(NamedTuple):
    """What weighted pools have beside `TokenPools`."""

    weight: F8x2  # float64, (n_rows, MOST_TOKENS), fractions that add up to 1


class WeightedConfig(Config):
    """A weighted pool of two to eight tokens of one chain."""

    kind: Literal["weighted"]
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
    weights: list[Annotated[float, Field(ge=0.01, le=0.99)]] = Field(
        description="Weight of each token; they add up to 1.",
        json_schema_extra={"unit": "fraction"},
    )
    fee: float = Field(
        0.003,
        ge=0.0,
        le=0.1,
        description="Share of the input that goes to liquidity providers.",
        json_schema_extra={"unit": "fraction of amount in"},
    )
    value_usd: float = Field(
        gt=0.0,
        le=1e15,
        description="Value of the reserves at the start, split by weight.",
        json_schema_extra={"unit": "USD", "stress": {"liquidity_scale": "multiply"}},
    )

    @model_validator(mode="after")
    def _check(self) -> WeightedConfig:
        if len(self.weights) != len(self.tokens) or abs(sum(self.weights) - 1.0) > 1e-9:
            raise ValueError(
                f"weights ({self.weights}) must be one for each of the {len(self.tokens)} tokens "
                "and add up to 1"
            )
        return self


# --- kernels -------------------------------------------------------------------------------------


@kernel
def price_of(pools, weights, row):  # type: ignore[no-untyped-def]
    """Return the marginal price of a pair: token 1 per token 0, without the fee."""
    pool, i, j = ends_of(pools, row, 0)
    return price_between(
        pools.reserves[pool, i], weights[pool, i], pools.reserves[pool, j], weights[pool, j]
    )


@kernel
def most_net(pools, weights, pool, i, j):  # type: ignore[no-untyped-def]
    """Return the most that one swap may pay after the fee: by the limit of what it pays or gets."""
    x, y = pools.reserves[pool, i], pools.reserves[pool, j]
    for_most = in_given_out(x, weights[pool, i], y, weights[pool, j], MAX_OUT_RATIO * y, 0.0)
    return min(MAX_IN_RATIO * x, for_most)


@kernel
def quote_swap(pools, weights, row, side, amount, price_limit):  # type: ignore[no-untyped-def]
    """Return (status, amount in, amount out, fee paid) of a swap up to a price; changes nothing."""
    if not is_amount(amount):
        return BAD_AMOUNT, 0.0, 0.0, 0.0
    pool, i, j = ends_of(pools, row, side)
    x, y = pools.reserves[pool, i], pools.reserves[pool, j]
    fee, quantum = pools.fee[pool], pools.quantum[pool]
    if price_limit > 0.0:
        price = price_limit if side == 0 else 1.0 / price_limit
        most = net_to_price(x, weights[pool, i], y, weights[pool, j], price) / (1.0 - fee)
        if not most > 0.0:
            return PRICE_LIMIT, 0.0, 0.0, 0.0
        amount = min(amount, most, _WHOLE * most_net(pools, weights, pool, i, j) / (1.0 - fee))
    if amount == 0.0:
        return ZERO_AMOUNT, 0.0, 0.0, 0.0
    fee_paid = round_up(amount * fee, quantum)
    net = amount - fee_paid
    if net > MAX_IN_RATIO * x:
        return INSUFFICIENT_LIQUIDITY, 0.0, 0.0, 0.0
    out = out_given_in(x, weights[pool, i], y, weights[pool, j], net, quantum)
    if quantum == 0.0 and not out > 0.0:
        return INSUFFICIENT_LIQUIDITY, 0.0, 0.0, 0.0
    return OK, amount, out, fee_paid


@kernel
def quote_exact_out(pools, weights, row, side, amount_out):  # type: ignore[no-untyped-def]
    """Return (status, amount in, fee paid) of a swap that gives `amount_out`; changes nothing."""
    if not is_amount(amount_out):
        return BAD_AMOUNT, 0.0, 0.0
    pool, i, j = ends_of(pools, row, side)
    x, y = pools.reserves[pool, i], pools.reserves[pool, j]
    if amount_out == 0.0:
        return ZERO_AMOUNT, 0.0, 0.0
    if amount_out > MAX_OUT_RATIO * y:
        return INSUFFICIENT_LIQUIDITY, 0.0, 0.0
    quantum = pools.quantum[pool]
    net = in_given_out(x, weights[pool, i], y, weights[pool, j], amount_out, quantum)
    if not net > 0.0:  # the contract limits what comes in only where that is what is given
        return INSUFFICIENT_LIQUIDITY, 0.0, 0.0
    amount = round_up(net / (1.0 - pools.fee[pool]), quantum)
    return OK, amount, amount - net


@kernel
def show_prices(pools, weights, venues, pool, now):  # type: ignore[no-untyped-def]
    """Publish the marginal prices of all pairs of a pool."""
    for row in range(pools.pool.shape[0]):
        if pools.pool[row] == pool:
            show_price(venues, pools.venue[row], price_of(pools, weights, row), now)


@kernel
def quote_remove_one(pools, weights, row, side, shares):  # type: ignore[no-untyped-def]
    """Return (status, place, amount) of giving back shares for one token of a pair alone."""
    pool, k, _ = ends_of(pools, row, side)
    if not 0.0 < shares < pools.supply[pool]:
        return BAD_AMOUNT, k, 0.0
    amount = amount_of_shares(
        pools.reserves[pool, k],
        weights[pool, k],
        shares,
        pools.supply[pool],
        pools.fee[pool],
        pools.quantum[pool],
    )
    if not amount > 0.0:
        return INSUFFICIENT_LIQUIDITY, k, 0.0
    return OK, k, amount


# --- handlers ------------------------------------------------------------------------------------

unpack = view_of(TokenPools, Ledger, Venues, Outbox, Weights)


@handler
def _quote(binding, message):  # type: ignore[no-untyped-def]
    pools, _, venues, _, own = unpack(binding)
    q = quote_at(message)
    row = venues.row[q.venue]
    status, q.amount_in, q.amount_out, q.fee_paid = quote_swap(
        pools, own.weight, row, q.side, q.amount, q.price_limit
    )
    pool, i, j = ends_of(pools, row, q.side)
    x = pools.reserves[pool, i] + q.amount_in - q.fee_paid
    y = pools.reserves[pool, j] - q.amount_out
    price = price_between(x, own.weight[pool, i], y, own.weight[pool, j])
    q.price_after = price if q.side == 0 else 1.0 / price
    return status


@handler
def _quote_order(binding, message):  # type: ignore[no-untyped-def]
    pools, _, venues, box, own = unpack(binding)
    order = order_at(message)
    if meets_again(venues, box, order):
        return NOT_ALLOWED
    status, order.amount_in, order.amount_out, order.fee_paid = quote_swap(
        pools, own.weight, venues.row[order.venue], order.a, order.amount, order.price_limit
    )
    return SLIPPAGE if status == OK and order.amount_out < order.limit else status


@handler
def _swap(binding, message):  # type: ignore[no-untyped-def]
    pools, ledger, venues, _, own = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    status, amount, out, fee_paid = quote_swap(
        pools, own.weight, row, order.a, order.amount, order.price_limit
    )
    if status != OK:
        return status
    if out < order.limit:
        return SLIPPAGE
    pool, i, j = ends_of(pools, row, order.a)
    status = settle_swap(pools, ledger, order, pool, i, j, amount, out, 0.0)
    if status != OK:
        return status
    order.fee_paid, order.price_after = fee_paid, price_of(pools, own.weight, row)
    show_prices(pools, own.weight, venues, pool, order.time)
    return OK


@handler
def _swap_out(binding, message):  # type: ignore[no-untyped-def]
    """Take `amount` of the other token; pay at most `limit` for it, 0: whatever it costs."""
    pools, ledger, venues, _, own = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    status, amount, fee_paid = quote_exact_out(pools, own.weight, row, order.a, order.amount)
    if status != OK:
        return status
    if 0.0 < order.limit < amount:
        return SLIPPAGE
    pool, i, j = ends_of(pools, row, order.a)
    status = settle_swap(pools, ledger, order, pool, i, j, amount, order.amount, 0.0)
    if status != OK:
        return status
    order.fee_paid, order.price_after = fee_paid, price_of(pools, own.weight, row)
    show_prices(pools, own.weight, venues, pool, order.time)
    return OK


@handler
def _add_unbalanced(binding, message):  # type: ignore[no-untyped-def]
    """Add exactly (amount, amount1) of the pair; `limit` is the least number of shares."""
    pools, ledger, venues, _, own = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    pool = pools.pool[row]
    if not (is_amount(order.amount) and is_amount(order.amount1)):
        return BAD_AMOUNT
    put_pair(pools, row, order.amount, order.amount1)
    shares = shares_for(
        pools.reserves[pool],
        own.weight[pool],
        pools.n_tokens[pool],
        pools.work[0],
        pools.supply[pool],
        pools.fee[pool],
        pools.quantum[pool],
    )
    status = INSUFFICIENT_LIQUIDITY if not shares > 0.0 else OK
    if status == OK and shares < order.limit:
        status = SLIPPAGE
    if status == OK:
        status = settle_add(pools, ledger, order, pool, shares)
    clear_work(pools)
    if status != OK:
        return status
    order.token_in, order.token_out = pools.tokens[pool, pools.first[row]], pools.share[pool]
    order.amount_in, order.amount_out = order.amount, shares
    show_prices(pools, own.weight, venues, pool, order.time)
    return OK


@handler
def _remove_one(binding, message):  # type: ignore[no-untyped-def]
    """Give back `amount` shares for token `a` of the pair alone, at least `limit` of it."""
    pools, ledger, venues, _, own = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    status, k, amount = quote_remove_one(pools, own.weight, row, order.a, order.amount)
    if status != OK:
        return status
    if amount < order.limit:
        return SLIPPAGE
    pool = pools.pool[row]
    pools.work[0, k] = amount
    status = settle_remove(pools, ledger, order, pool, order.amount)
    clear_work(pools)
    if status != OK:
        return status
    order.token_in, order.token_out = pools.share[pool], pools.tokens[pool, k]
    order.amount_in, order.amount_out = order.amount, amount
    show_prices(pools, own.weight, venues, pool, order.time)
    return OK


@handler
def _remove_unbalanced(binding, message):  # type: ignore[no-untyped-def]
    """Take exactly (amount, amount1) of the pair; for at most `limit` shares, 0: any number."""
    pools, ledger, venues, _, own = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    pool = pools.pool[row]
    if not (is_amount(order.amount) and is_amount(order.amount1)):
        return BAD_AMOUNT
    put_pair(pools, row, order.amount, order.amount1)
    shares = shares_of_amounts(
        pools.reserves[pool],
        own.weight[pool],
        pools.n_tokens[pool],
        pools.work[0],
        pools.supply[pool],
        pools.fee[pool],
        pools.quantum[pool],
    )
    status = INSUFFICIENT_LIQUIDITY if not shares > 0.0 else OK
    if status == OK and 0.0 < order.limit < shares:
        status = SLIPPAGE
    if status == OK:
        status = settle_remove(pools, ledger, order, pool, shares)
    clear_work(pools)
    if status != OK:
        return status
    order.token_in, order.token_out = pools.share[pool], pools.tokens[pool, pools.first[row]]
    order.amount_in, order.amount_out = shares, order.amount
    show_prices(pools, own.weight, venues, pool, order.time)
    return OK


@handler
def _appraise(binding, message):  # type: ignore[no-untyped-def]
    """Say what an account's shares would give: of two tokens both, of more the pair's first."""
    pools, ledger, venues, _, own = unpack(binding)
    asked = appraisal_at(message)
    row = venues.row[asked.venue]
    pool, i, j = ends_of(pools, row, 0)
    shares = balance_of(ledger, asked.group, asked.row, pools.share[pool])
    asked.token0, asked.units, asked.available = pools.tokens[pool, i], shares, 1.0
    if pools.n_tokens[pool] == 2:
        part = shares / pools.supply[pool]
        asked.token1, asked.verb = pools.tokens[pool, j], REMOVE
        asked.amount0 = part * pools.reserves[pool, i]
        asked.amount1 = part * pools.reserves[pool, j]
        return OK
    asked.verb = REMOVE_ONE
    _, _, asked.amount0 = quote_remove_one(pools, own.weight, row, 0, shares)
    return OK


# --- declaration ---------------------------------------------------------------------------------


def make(world: World, sites: Sequence[VenueSite]) -> tuple[TokenPools, Weights]:
    """Return the pools of a world with their first reserves; shares wait for their owners."""
    pools = token_pool.place(world, sites)
    weight = np.zeros((len(sites), MOST_TOKENS))
    for site in sites:
        config, n = site.config, len(site.tokens)
        if isinstance(config, PoolPair):
            continue
        weight[site.row, :n] = config.weights
        usd = world.prices.fundamental[list(site.tokens)]
        if usd.min() <= 0.0:
            raise InputError(f"{site.name}: all of its tokens need a reference price")
        amounts = config.value_usd * weight[site.row, :n] / usd
        shares = n * math.exp(float(weight[site.row, :n] @ np.log(amounts)))
        token_pool.fill(world, pools, site, amounts, shares)
    for site in sites:
        world.venues.fee[site.number] = pools.fee[pools.pool[site.row]]
        world.venues.price[site.number] = price_of.py_func(pools, weight, site.row)
    return pools, Weights(weight)


def _nodes(config: Any) -> list[tuple[str, str]]:
    return [(config.chain, symbol) for symbol in config.tokens]


MECHANISM = Mechanism(
    kind="weighted",
    config=WeightedConfig,
    verbs=(
        Verb("swap", _swap, 110_000, _quote_order),
        Verb("add", token_pool.add, 180_000),
        Verb("remove", token_pool.remove, 160_000),
        Verb("add_unbalanced", _add_unbalanced, 190_000),
        Verb("remove_one", _remove_one, 140_000),
        Verb("remove_unbalanced", _remove_unbalanced, 190_000),
        Verb("swap_out", _swap_out, 110_000),
    ),
    states=unpack.states,
    make=make,
    quote=_quote,
    appraise=_appraise,
    issues=shares_of,
    nodes=_nodes,
    claims=token_pool.claims,
    sample=token_pool.sample,
    check=token_pool.check,
    pairs=pairs_of,
)
