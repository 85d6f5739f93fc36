"""Stableswap pools as venues: two to eight tokens that are worth about the same.

The mathematics is `sim.amm.stableswap_math`, what is common to pools of many tokens
`sim.amm.token_pool`. The fee is taken from what a swap gives, and part of it kept for the protocol
in the pool's account; `fee_paid` of a fill is the same share of what was paid. The amplification
can move in a straight line between two times, as the contract's ramp does. Differences: real
numbers instead of integers; an exact output, which the contract only estimates, is solved for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from sim.amm import token_pool
from sim.amm.concentrated_swap import round_down
from sim.amm.stableswap_math import (
    amount_of_shares,
    change_shares,
    dynamic_fee,
    excess_of,
    invariant_of,
    marginal_price,
    paid_to_price,
    price_after,
    swap_in,
    swap_out,
)
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
from sim.appraisal import appraisal_at
from sim.chain import clock_at
from sim.errors import InputError
from sim.kernel import F8, I8, F8x2, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.mempool import Outbox
from sim.orders import REMOVE, order_at, quote_at
from sim.prices import Prices
from sim.registry import Config, Mechanism, VenueSite, Verb
from sim.status import Status
from sim.units import HOUR, ticks
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
MOST_RAMP = 10.0  # by which one ramp may multiply or divide A


@columnar
class StableTerms(NamedTuple):
    """What stableswap pools have beside `TokenPools`."""

    rate: F8x2  # float64, (n_rows, MOST_TOKENS), worth of a token in the pool's unit
    a_start: F8  # float64, (n_rows,), amplification until `ramp_start` …
    a_end: F8  # float64, (n_rows,), … and from `ramp_end`
    ramp_start: I8  # int64, (n_rows,), tick
    ramp_end: I8  # int64, (n_rows,), tick
    multiplier: F8  # float64, (n_rows,), of the fee far off the peg
    admin_fee: F8  # float64, (n_rows,), share of the fees that the protocol keeps


class RampConfig(Config):
    """A change of the amplification in a straight line."""

    to: float = Field(
        ge=1.0, le=1e6, description="Amplification at the end, within ten times the one before."
    )
    start_hours: float = Field(
        ge=0.0, description="When it begins.", json_schema_extra={"unit": "h"}
    )
    length_hours: float = Field(
        24.0,
        ge=24.0,
        description="How long it takes; the contract asks for a day at least.",
        json_schema_extra={"unit": "h"},
    )


class StableSwapConfig(Config):
    """A stableswap pool of two to eight tokens of one chain."""

    kind: Literal["stableswap"]
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
    amplification: float = Field(
        ge=1.0,
        le=1e6,
        description="The contract's A, which is that of the white paper times n^(n-1).",
    )
    ramp: RampConfig | None = Field(None, description="How it changes; it stays when left out.")
    fee: float = Field(
        0.0004,
        ge=0.0,
        le=0.05,
        description="Share of the output that is the fee of a swap.",
        json_schema_extra={"unit": "fraction of amount out"},
    )
    off_peg_multiplier: float = Field(
        1.0, ge=1.0, le=20.0, description="What the fee is multiplied by far off the peg; 1: never."
    )
    admin_fee: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="Share of the fees that the protocol keeps.",
        json_schema_extra={"unit": "fraction of fees"},
    )
    rates: list[Annotated[float, Field(gt=0.0, le=1e9)]] | None = Field(
        None, description="What a token counts as, such as an exchange rate; 1 when left out."
    )
    value_usd: float = Field(
        gt=0.0,
        le=1e15,
        description="Value of the reserves at the start.",
        json_schema_extra={"unit": "USD", "stress": {"liquidity_scale": "multiply"}},
    )
    composition: list[Annotated[float, Field(gt=0.0, lt=1.0)]] | None = Field(
        None,
        description="Share of each token in the reserves at the start; equal when left out.",
        json_schema_extra={"unit": "fraction"},
    )

    @model_validator(mode="after")
    def _check(self) -> StableSwapConfig:
        n = len(self.tokens)
        for name in ("rates", "composition"):
            given = getattr(self, name)
            if given is not None and len(given) != n:
                raise ValueError(f"{name} ({given}) must be one for each of the {n} tokens")
        if self.composition is not None and abs(sum(self.composition) - 1.0) > 1e-9:
            raise ValueError(f"composition ({self.composition}) must add up to 1")
        if self.ramp is not None:
            times = self.ramp.to / self.amplification
            if not 1.0 / MOST_RAMP <= times <= MOST_RAMP:
                raise ValueError(
                    f"ramp.to ({self.ramp.to:g}) must be within {MOST_RAMP:g} times the "
                    f"amplification ({self.amplification:g})"
                )
        return self


# --- kernels -------------------------------------------------------------------------------------


@kernel
def amplification_at(terms, pool, now):  # type: ignore[no-untyped-def]
    """Return the amplification of a pool at a tick."""
    start, end = terms.ramp_start[pool], terms.ramp_end[pool]
    if now >= end:
        return terms.a_end[pool]
    if now <= start:
        return terms.a_start[pool]
    part = float(now - start) / float(end - start)
    return terms.a_start[pool] + (terms.a_end[pool] - terms.a_start[pool]) * part


@kernel
def standing(pools, terms, row, side, now):  # type: ignore[no-untyped-def]
    """Return (x, y, E) of the two sides of a pair, in the pool's unit."""
    pool, i, j = ends_of(pools, row, side)
    reserves, rates, n = pools.reserves[pool], terms.rate[pool], pools.n_tokens[pool]
    ann = amplification_at(terms, pool, now) * n
    excess = excess_of(reserves, rates, n, ann, invariant_of(reserves, rates, n, ann))
    return reserves[i] * rates[i], reserves[j] * rates[j], excess


@kernel
def price_of(pools, terms, row, now):  # type: ignore[no-untyped-def]
    """Return the marginal price of a pair: token 1 per token 0, without the fee."""
    x, y, excess = standing(pools, terms, row, 0, now)
    pool, i, j = ends_of(pools, row, 0)
    return marginal_price(x, y, excess) * terms.rate[pool, i] / terms.rate[pool, j]


@kernel
def quote_swap(pools, terms, row, side, amount, price_limit, now):  # type: ignore[no-untyped-def]
    """Return (status, amount in, amount out, fee paid, fee of token out, price after)."""
    if not is_amount(amount):
        return BAD_AMOUNT, 0.0, 0.0, 0.0, 0.0, 0.0
    pool, i, j = ends_of(pools, row, side)
    rate_in, rate_out = terms.rate[pool, i], terms.rate[pool, j]
    x, y, excess = standing(pools, terms, row, side, now)
    if price_limit > 0.0:
        price = price_limit if side == 0 else 1.0 / price_limit
        most = paid_to_price(x, y, excess, price * rate_out / rate_in) / rate_in
        if not most > 0.0:
            return PRICE_LIMIT, 0.0, 0.0, 0.0, 0.0, 0.0
        amount = min(amount, most)
    if amount == 0.0:
        return ZERO_AMOUNT, 0.0, 0.0, 0.0, 0.0, 0.0
    quantum, paid = pools.quantum[pool], amount * rate_in
    out, charge, share = swap_out(
        x, y, rate_out, excess, paid, pools.fee[pool], terms.multiplier[pool], quantum
    )
    if not out + charge < pools.reserves[pool, j] or (quantum == 0.0 and not out > 0.0):
        return INSUFFICIENT_LIQUIDITY, 0.0, 0.0, 0.0, 0.0, 0.0
    after = price_after(x, y, excess, paid) * rate_in / rate_out
    after = after if side == 0 else 1.0 / after
    return OK, amount, out, share * amount, charge, after


@kernel
def quote_exact_out(pools, terms, row, side, amount_out, now):  # type: ignore[no-untyped-def]
    """Return (status, amount in, fee paid, fee of token out) of a swap that gives `amount_out`."""
    if not is_amount(amount_out):
        return BAD_AMOUNT, 0.0, 0.0, 0.0
    if amount_out == 0.0:
        return ZERO_AMOUNT, 0.0, 0.0, 0.0
    pool, i, j = ends_of(pools, row, side)
    x, y, excess = standing(pools, terms, row, side, now)
    rate_out = terms.rate[pool, j]
    wanted = amount_out * rate_out
    paid, charge, share = swap_in(x, y, excess, wanted, pools.fee[pool], terms.multiplier[pool])
    if not paid > 0.0:
        return INSUFFICIENT_LIQUIDITY, 0.0, 0.0, 0.0
    amount = paid / terms.rate[pool, i]
    return OK, amount, share * amount, charge / rate_out


@kernel
def quote_remove_one(pools, terms, row, side, shares, now):  # type: ignore[no-untyped-def]
    """Return (status, place, amount, fee) of giving back shares for one token of a pair alone."""
    pool, k, _ = ends_of(pools, row, side)
    if not 0.0 < shares < pools.supply[pool]:
        return BAD_AMOUNT, k, 0.0, 0.0
    n = pools.n_tokens[pool]
    amount, charge = amount_of_shares(
        pools.reserves[pool],
        terms.rate[pool],
        n,
        amplification_at(terms, pool, now) * n,
        k,
        shares / pools.supply[pool],
        pools.fee[pool],
        terms.multiplier[pool],
        pools.work[1],
        pools.work[2],
        pools.quantum[pool],
    )
    clear_work(pools)
    if not 0.0 < amount + charge < pools.reserves[pool, k] or not amount > 0.0:
        return INSUFFICIENT_LIQUIDITY, k, 0.0, 0.0
    return OK, k, amount, charge


@kernel
def change_of(pools, terms, pool, sign, now):  # type: ignore[no-untyped-def]
    """Return the shares that the amounts in `work[0]`, added or taken, are worth; 0: impossible.

    `work[2]` gets the fees.
    """
    n, change = pools.n_tokens[pool], pools.work[1]
    for k in range(n):
        change[k] = sign * pools.work[0, k]
        if not pools.reserves[pool, k] + change[k] > 0.0:
            return 0.0
    ann = amplification_at(terms, pool, now) * n
    return change_shares(
        pools.reserves[pool],
        terms.rate[pool],
        change,
        n,
        ann,
        pools.supply[pool],
        pools.fee[pool],
        terms.multiplier[pool],
        pools.work[2],
        pools.work[3],
        pools.quantum[pool],
    )


@kernel
def keep_admin_fees(pools, terms, pool):  # type: ignore[no-untyped-def]
    """Move the protocol's part of the fees in `work[2]` out of the reserves."""
    for k in range(pools.n_tokens[pool]):
        mine = round_down(pools.work[2, k] * terms.admin_fee[pool], pools.quantum[pool])
        pools.reserves[pool, k] -= mine
        pools.owed[pool, k] += mine


@kernel
def show_prices(pools, terms, venues, pool, now):  # type: ignore[no-untyped-def]
    """Publish the marginal prices and fees of all pairs of a pool."""
    for row in range(pools.pool.shape[0]):
        if pools.pool[row] != pool:
            continue
        x, y, excess = standing(pools, terms, row, 0, now)
        _, i, j = ends_of(pools, row, 0)
        venue, fee = pools.venue[row], pools.fee[pool]
        price = marginal_price(x, y, excess) * terms.rate[pool, i] / terms.rate[pool, j]
        venues.fee[venue] = dynamic_fee(fee, terms.multiplier[pool], x, y)
        show_price(venues, venue, price, now)


# --- handlers ------------------------------------------------------------------------------------

unpack = view_of(TokenPools, Ledger, Venues, Outbox, Prices, StableTerms)


@handler
def _quote(binding, message):  # type: ignore[no-untyped-def]
    pools, _, venues, _, prices, terms = unpack(binding)
    q = quote_at(message)
    row, now = venues.row[q.venue], prices.now[0]
    status, q.amount_in, q.amount_out, q.fee_paid, _, q.price_after = quote_swap(
        pools, terms, row, q.side, q.amount, q.price_limit, now
    )
    return status


@handler
def _quote_order(binding, message):  # type: ignore[no-untyped-def]
    pools, _, venues, box, prices, terms = unpack(binding)
    order = order_at(message)
    if meets_again(venues, box, order):
        return NOT_ALLOWED
    row, now = venues.row[order.venue], prices.now[0]
    status, order.amount_in, order.amount_out, order.fee_paid, _, _ = quote_swap(
        pools, terms, row, order.a, order.amount, order.price_limit, now
    )
    return SLIPPAGE if status == OK and order.amount_out < order.limit else status


@handler
def _swap(binding, message):  # type: ignore[no-untyped-def]
    pools, ledger, venues, _, prices, terms = unpack(binding)
    order = order_at(message)
    row, now = venues.row[order.venue], prices.now[0]
    status, amount, out, fee_paid, charge, _ = quote_swap(
        pools, terms, row, order.a, order.amount, order.price_limit, now
    )
    if status != OK:
        return status
    if out < order.limit:
        return SLIPPAGE
    pool, i, j = ends_of(pools, row, order.a)
    owed = charge * terms.admin_fee[pool]
    status = settle_swap(pools, ledger, order, pool, i, j, amount, out, owed)
    if status != OK:
        return status
    order.fee_paid, order.price_after = fee_paid, price_of(pools, terms, row, now)
    show_prices(pools, terms, venues, pool, now)
    return OK


@handler
def _swap_out(binding, message):  # type: ignore[no-untyped-def]
    """Take `amount` of the other token; pay at most `limit` for it, 0: whatever it costs."""
    pools, ledger, venues, _, prices, terms = unpack(binding)
    order = order_at(message)
    row, now = venues.row[order.venue], prices.now[0]
    status, amount, fee_paid, charge = quote_exact_out(
        pools, terms, row, order.a, order.amount, now
    )
    if status != OK:
        return status
    if 0.0 < order.limit < amount:
        return SLIPPAGE
    pool, i, j = ends_of(pools, row, order.a)
    owed = charge * terms.admin_fee[pool]
    status = settle_swap(pools, ledger, order, pool, i, j, amount, order.amount, owed)
    if status != OK:
        return status
    order.fee_paid, order.price_after = fee_paid, price_of(pools, terms, row, now)
    show_prices(pools, terms, venues, pool, now)
    return OK


@handler
def _add_unbalanced(binding, message):  # type: ignore[no-untyped-def]
    """Add exactly (amount, amount1) of the pair; `limit` is the least number of shares."""
    pools, ledger, venues, _, prices, terms = unpack(binding)
    order = order_at(message)
    row, now = venues.row[order.venue], prices.now[0]
    pool = pools.pool[row]
    if not (is_amount(order.amount) and is_amount(order.amount1)):
        return BAD_AMOUNT
    put_pair(pools, row, order.amount, order.amount1)
    shares = change_of(pools, terms, pool, 1.0, now)
    status = INSUFFICIENT_LIQUIDITY if not shares > 0.0 else OK
    if status == OK and shares < order.limit:
        status = SLIPPAGE
    if status == OK:
        status = settle_add(pools, ledger, order, pool, shares)
    if status == OK:
        keep_admin_fees(pools, terms, pool)
        order.token_in, order.token_out = pools.tokens[pool, pools.first[row]], pools.share[pool]
        order.amount_in, order.amount_out = order.amount, shares
        show_prices(pools, terms, venues, pool, now)
    clear_work(pools)
    return status


@handler
def _remove_one(binding, message):  # type: ignore[no-untyped-def]
    """Give back `amount` shares for token `a` of the pair alone, at least `limit` of it."""
    pools, ledger, venues, _, prices, terms = unpack(binding)
    order = order_at(message)
    row, now = venues.row[order.venue], prices.now[0]
    status, k, amount, charge = quote_remove_one(pools, terms, row, order.a, order.amount, now)
    if status != OK:
        return status
    if amount < order.limit:
        return SLIPPAGE
    pool = pools.pool[row]
    pools.work[0, k], pools.work[2, k] = amount, charge
    status = settle_remove(pools, ledger, order, pool, order.amount)
    if status == OK:
        keep_admin_fees(pools, terms, pool)
        order.token_in, order.token_out = pools.share[pool], pools.tokens[pool, k]
        order.amount_in, order.amount_out = order.amount, amount
        show_prices(pools, terms, venues, pool, now)
    clear_work(pools)
    return status


@handler
def _remove_unbalanced(binding, message):  # type: ignore[no-untyped-def]
    """Take exactly (amount, amount1) of the pair; for at most `limit` shares, 0: any number."""
    pools, ledger, venues, _, prices, terms = unpack(binding)
    order = order_at(message)
    row, now = venues.row[order.venue], prices.now[0]
    pool = pools.pool[row]
    if not (is_amount(order.amount) and is_amount(order.amount1)):
        return BAD_AMOUNT
    put_pair(pools, row, order.amount, order.amount1)
    shares = -change_of(pools, terms, pool, -1.0, now)
    status = OK if 0.0 < shares < pools.supply[pool] else INSUFFICIENT_LIQUIDITY
    if status == OK and 0.0 < order.limit < shares:
        status = SLIPPAGE
    if status == OK:
        status = settle_remove(pools, ledger, order, pool, shares)
    if status == OK:
        keep_admin_fees(pools, terms, pool)
        order.token_in, order.token_out = pools.share[pool], pools.tokens[pool, pools.first[row]]
        order.amount_in, order.amount_out = shares, order.amount
        show_prices(pools, terms, venues, pool, now)
    clear_work(pools)
    return status


@handler
def _appraise(binding, message):  # type: ignore[no-untyped-def]
    """Say what an account's shares would give: of two tokens both, of more the pair's first."""
    pools, ledger, venues, _, prices, terms = unpack(binding)
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
    _, _, asked.amount0, _ = quote_remove_one(pools, terms, row, 0, shares, prices.now[0])
    return OK


@handler
def _ramp(binding, message):  # type: ignore[no-untyped-def]
    """Before each block of its chain: show the prices that a ramp has moved."""
    pools, _, venues, _, prices, terms = unpack(binding)
    clock, now = clock_at(message), prices.now[0]
    for row in range(pools.pool.shape[0]):
        is_moving = (
            terms.ramp_start[row] < now and venues.since[pools.venue[row]] < terms.ramp_end[row]
        )
        if is_moving and pools.n_tokens[row] > 0 and venues.chain[pools.venue[row]] == clock.chain:
            show_prices(pools, terms, venues, row, now)
    return OK


# --- declaration ---------------------------------------------------------------------------------


def make_terms(n: int) -> StableTerms:
    """Return the terms of `n` venues: rates 1, no ramp, no dynamic fee."""
    words = {"ramp_start", "ramp_end"}
    columns: dict[str, Any] = {
        name: np.zeros(n, np.int64 if name in words else np.float64)
        for name in StableTerms._fields[1:]
    }
    return StableTerms(rate=np.ones((n, MOST_TOKENS)), **columns)


def _put_terms(terms: StableTerms, row: int, config: StableSwapConfig) -> None:
    if config.rates is not None:
        terms.rate[row, : len(config.rates)] = config.rates
    terms.a_start[row] = terms.a_end[row] = config.amplification
    if config.ramp is not None:
        first = config.ramp.start_hours * HOUR
        terms.ramp_start[row] = ticks(first)
        terms.ramp_end[row] = ticks(first + config.ramp.length_hours * HOUR)
        terms.a_end[row] = config.ramp.to
    terms.multiplier[row], terms.admin_fee[row] = config.off_peg_multiplier, config.admin_fee


def first_reserves(config: StableSwapConfig, usd: np.ndarray) -> np.ndarray:
    """Return the reserves of the start: the composition in the pool's unit, worth `value_usd`."""
    n = len(config.tokens)
    rates = np.ones(n) if config.rates is None else np.array(config.rates)
    shares = np.full(n, 1.0 / n) if config.composition is None else np.array(config.composition)
    amounts = shares / rates
    return np.asarray(amounts * (config.value_usd / float(amounts @ usd)))


def make(world: World, sites: Sequence[VenueSite]) -> tuple[TokenPools, StableTerms]:
    """Return the pools of a world with their first reserves; shares wait for their owners."""
    pools, terms = token_pool.place(world, sites), make_terms(len(sites))
    for site in sites:
        config, row, n = site.config, site.row, len(site.tokens)
        if isinstance(config, PoolPair):
            continue
        usd = world.prices.fundamental[list(site.tokens)]
        if usd.min() <= 0.0:
            raise InputError(f"{site.name}: all of its tokens need a reference price")
        _put_terms(terms, row, config)
        amounts = first_reserves(config, usd)
        ann = config.amplification * n
        shares = float(invariant_of.py_func(amounts, terms.rate[row], n, ann))
        token_pool.fill(world, pools, site, amounts, shares)
    for site in sites:
        pool, i, j = ends_of.py_func(pools, site.row, 0)
        held = pools.reserves[pool] * terms.rate[pool]
        multiplier, fee = terms.multiplier[pool], pools.fee[pool]
        world.venues.fee[site.number] = dynamic_fee.py_func(fee, multiplier, held[i], held[j])
        world.venues.price[site.number] = price_of(pools, terms, site.row, 0)
    return pools, terms


def _nodes(config: Any) -> list[tuple[str, str]]:
    return [(config.chain, symbol) for symbol in config.tokens]


MECHANISM = Mechanism(
    kind="stableswap",
    config=StableSwapConfig,
    verbs=(
        Verb("swap", _swap, 130_000, _quote_order),
        Verb("add", token_pool.add, 200_000),
        Verb("remove", token_pool.remove, 160_000),
        Verb("add_unbalanced", _add_unbalanced, 240_000),
        Verb("remove_one", _remove_one, 190_000),
        Verb("remove_unbalanced", _remove_unbalanced, 240_000),
        Verb("swap_out", _swap_out, 130_000),
    ),
    states=unpack.states,
    make=make,
    quote=_quote,
    appraise=_appraise,
    react=_ramp,
    issues=shares_of,
    nodes=_nodes,
    claims=token_pool.claims,
    sample=token_pool.sample,
    check=token_pool.check,
    pairs=pairs_of,
)
