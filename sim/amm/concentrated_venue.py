"""Concentrated liquidity pools as venues: orders, the ledger, records and checks.

The pools are in `sim.amm.concentrated_state`, swaps and positions in their own modules. Here an order
becomes a call of them and the transfers that follow.

Arguments of the verbs: a swap takes the side in `a` (0 pays token 0), at most `amount` in and at least
`limit` out, and stops at `price_limit`. Liquidity verbs take the ticks in `a` and `b`; `add` spends at
most (amount, amount1) for at least `limit` liquidity; `remove` burns `amount` of liquidity (inf: all)
and collects; `collect` takes the fees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from sim.amm.concentrated_state import ConcentratedState, PoolTerms, grow
from sim.amm.concentrated_state import make as make_pools
from sim.amm.concentrated_swap import execute_swap, quote_swap
from sim.amm.position_index import find_position
from sim.amm.positions import (
    burn,
    collect,
    liquidity_for_amounts,
    mint,
    position_amounts,
    quote_mint,
    uncollected_fees,
)
from sim.amm.tick_math import MAX_TICK, sqrt_price_limit, tick_at_sqrt_price
from sim.engine import GENESIS, OUTSIDE
from sim.errors import InputError, InvariantError
from sim.kernel import I8, handler, kernel, view_of
from sim.ledger import Ledger, balance_of, can_pay, slot, transfer
from sim.orders import order_at, quote_at
from sim.registry import Claim, Config, Mechanism, VenueSite, Verb
from sim.status import Status
from sim.venues import Venues, show_price

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
SLIPPAGE = int(Status.SLIPPAGE)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
NO_POSITION = int(Status.NO_POSITION)
BAD_RANGE = int(Status.BAD_RANGE)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
_SPACING = {100: 1, 500: 10, 3_000: 60, 10_000: 200}  # tick spacing by fee in pips, as deployed


class PoolDesk(NamedTuple):
    """What the pools need beside their own tables; row = pool."""

    token0: I8  # int64, (n_pools,)
    token1: I8  # int64, (n_pools,)
    group: I8  # int64, (n_pools,), account of the pool …
    account: I8  # int64, (n_pools,)
    venue: I8  # int64, (n_pools,)


class ConcentratedConfig(Config):
    """A concentrated liquidity pool (Uniswap v3) of two tokens of one chain."""

    kind: Literal["concentrated_liquidity"]
    chain: str = Field(description="Chain on which the pool lives.")
    tokens: Annotated[
        list[str],
        Field(min_length=2, max_length=2, description="Token 0 and token 1; price is 1 per 0."),
    ]
    fee: float = Field(
        0.003,
        ge=0.0,
        lt=1.0,
        description="Share of the input that goes to liquidity providers.",
        json_schema_extra={"unit": "fraction of amount in"},
    )
    tick_spacing: int | None = Field(
        None, ge=1, le=16_383, description="Ticks between usable ones; by the fee when left out."
    )
    fee_protocol: int = Field(
        0,
        ge=0,
        le=10,
        description="The protocol takes one n-th of the fees; 0: nothing, else 4 to 10.",
    )
    value_usd: float = Field(
        gt=0.0,
        description="Value of the liquidity at the start; it belongs to genesis until a population "
        "of liquidity providers brings its own.",
        json_schema_extra={"unit": "USD"},
    )
    half_width: float | None = Field(
        None,
        gt=0.0,
        lt=1.0,
        description="Its range is price x (1 - w) to price / (1 - w); the full range when left out.",
        json_schema_extra={"unit": "fraction"},
    )


unpack = view_of(ConcentratedState, PoolDesk, Ledger, Venues)


@kernel
def limit_of(side, price_limit):  # type: ignore[no-untyped-def]
    """Return the square-root limit of a price limit; 0 means none."""
    return math.sqrt(price_limit) if price_limit > 0.0 else sqrt_price_limit(side == 0)


@kernel(inline=False)
def ask(pools, row, side, amount, price_limit):  # type: ignore[no-untyped-def]
    """Quote a swap up to a price; (status, amount in, amount out, fee paid, sqrt price after)."""
    if not 0.0 <= amount < math.inf:
        return BAD_AMOUNT, 0.0, 0.0, 0.0, 0.0
    status, paid, out, fee, after, _ = quote_swap(
        pools, row, side == 0, amount, limit_of(side, price_limit)
    )
    if status == OK and not (paid > 0.0 and out > 0.0):
        status = ZERO_AMOUNT
    return status, paid, out, fee, after


@kernel
def pay_out(pools, desk, ledger, row, order, token, amount):  # type: ignore[no-untyped-def]
    """Pay from a pool to the sender: all it holds where rounding left it short by a residue."""
    group, account = desk.group[row], desk.account[row]
    amount = min(amount, balance_of(ledger, group, account, token))
    transfer(ledger, group, account, order.group, order.row, token, amount)
    return amount


@handler
def _quote(binding, message):  # type: ignore[no-untyped-def]
    pools, _, _, venues = unpack(binding)
    q = quote_at(message)
    row = venues.row[q.venue]
    status, q.amount_in, q.amount_out, q.fee_paid, after = ask(
        pools, row, q.side, q.amount, q.price_limit
    )
    q.price_after = after * after
    return status


@handler
def _quote_order(binding, message):  # type: ignore[no-untyped-def]
    pools, _, _, venues = unpack(binding)
    order = order_at(message)
    status, order.amount_in, order.amount_out, order.fee_paid, _ = ask(
        pools, venues.row[order.venue], order.a, order.amount, order.price_limit
    )
    return SLIPPAGE if status == OK and order.amount_out < order.limit else status


@handler
def _swap(binding, message):  # type: ignore[no-untyped-def]
    pools, desk, ledger, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    status, paid, out, fee, _ = ask(pools, row, order.a, order.amount, order.price_limit)
    if status == OK and out < order.limit:
        status = SLIPPAGE
    if status == OK and slot(ledger, order.group, order.row, order.token_out) < 0:
        status = NOT_ALLOWED
    if status != OK:
        return status
    group, account = desk.group[row], desk.account[row]
    status = transfer(ledger, order.group, order.row, group, account, order.token_in, paid)
    if status != OK:
        return status
    execute_swap(pools, row, order.a == 0, order.amount, limit_of(order.a, order.price_limit))
    order.amount_out = pay_out(pools, desk, ledger, row, order, order.token_out, out)
    order.amount_in, order.fee_paid = paid, fee
    root = pools.pool[row].sqrt_price
    order.price_after = root * root
    show_price(venues, order.venue, order.price_after, order.time)
    return OK


@handler
def _add(binding, message):  # type: ignore[no-untyped-def]
    pools, desk, ledger, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    if not (0.0 <= order.amount < math.inf and 0.0 <= order.amount1 < math.inf):
        return BAD_AMOUNT
    if not -MAX_TICK <= order.a < order.b <= MAX_TICK:
        return BAD_RANGE
    liquidity = liquidity_for_amounts(pools, row, order.a, order.b, order.amount, order.amount1)
    if liquidity < order.limit:
        return SLIPPAGE
    status, amount0, amount1 = quote_mint(
        pools, row, order.group, order.row, order.a, order.b, liquidity
    )
    token0, token1 = desk.token0[row], desk.token1[row]
    if status == OK:
        status = can_pay(ledger, order.group, order.row, token0, amount0)
    if status == OK:
        status = can_pay(ledger, order.group, order.row, token1, amount1)
    if status != OK:
        return status
    mint(pools, row, order.group, order.row, order.a, order.b, liquidity)
    group, account = desk.group[row], desk.account[row]
    transfer(ledger, order.group, order.row, group, account, token0, amount0)
    transfer(ledger, order.group, order.row, group, account, token1, amount1)
    order.token_in, order.amount_in, order.amount1, order.x = token0, amount0, amount1, liquidity
    return OK


@kernel
def _collect_all(pools, desk, ledger, row, number, order):  # type: ignore[no-untyped-def]
    """Pay out everything a settled position is owed."""
    _, amount0, amount1 = collect(pools, row, number, math.inf, math.inf)
    order.token_out = desk.token0[row]
    order.amount_out = pay_out(pools, desk, ledger, row, order, desk.token0[row], amount0)
    order.amount1 = pay_out(pools, desk, ledger, row, order, desk.token1[row], amount1)


@handler
def _remove(binding, message):  # type: ignore[no-untyped-def]
    pools, desk, ledger, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    number = find_position(pools, row, order.group, order.row, order.a, order.b)
    if number < 0:
        return NO_POSITION
    held = pools.position[number].liquidity
    liquidity = held if order.amount == math.inf else order.amount
    if not liquidity > 0.0:
        return ZERO_AMOUNT if liquidity == 0.0 else BAD_AMOUNT
    status, _, _ = burn(pools, row, number, liquidity)
    if status != OK:
        return status
    _collect_all(pools, desk, ledger, row, number, order)
    order.x = liquidity
    return OK


@handler
def _collect(binding, message):  # type: ignore[no-untyped-def]
    pools, desk, ledger, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    number = find_position(pools, row, order.group, order.row, order.a, order.b)
    if number < 0:
        return NO_POSITION
    if pools.position[number].liquidity > 0.0:
        burn(pools, row, number, 0.0)
    _collect_all(pools, desk, ledger, row, number, order)
    return OK


# --- building ------------------------------------------------------------------------------------


def spacing_of(config: ConcentratedConfig) -> int:
    """Return the tick spacing of a pool: as given, or the deployed one for its fee."""
    if config.tick_spacing is not None:
        return config.tick_spacing
    pips = round(config.fee * 1e6)
    if pips not in _SPACING:
        known = ", ".join(f"{p / 1e6:g}" for p in _SPACING)
        raise InputError(
            f"fee {config.fee:g} has no deployed tick spacing ({known}); set tick_spacing"
        )
    return _SPACING[pips]


def range_around(price: float, half_width: float | None, spacing: int) -> tuple[int, int]:
    """Return usable ticks of price x (1 - w) to price / (1 - w), or the full range."""
    most = MAX_TICK // spacing * spacing
    if half_width is None:
        return -most, most
    root = math.sqrt(1.0 - half_width)
    lower = int(tick_at_sqrt_price(math.sqrt(price) * root)) // spacing * spacing
    upper = -(-int(tick_at_sqrt_price(math.sqrt(price) / root)) // spacing) * spacing
    return max(lower, -most), min(max(upper, lower + spacing), most)


def make(world: World, sites: Sequence[VenueSite]) -> tuple[ConcentratedState, PoolDesk]:
    """Return the pools of a world at reference prices, with their genesis liquidity."""
    terms, prices = [], []
    for site in sites:
        price0, price1 = (float(world.prices.fundamental[token]) for token in site.tokens)
        prices.append(price0 / price1)
        try:
            spacing = spacing_of(site.config)
        except InputError as error:
            raise InputError(f"venues.{site.name}.fee: {error}") from None
        share = site.config.fee_protocol
        terms.append(PoolTerms(site.config.fee, spacing, math.sqrt(prices[-1]), (share, share)))
    state = make_pools(terms, n_tick_slots=512, n_positions=4_096)
    desk = PoolDesk(
        *(
            np.array(column, np.int64)
            for column in (
                [site.tokens[0] for site in sites],
                [site.tokens[1] for site in sites],
                [site.group for site in sites],
                [site.account for site in sites],
                [site.number for site in sites],
            )
        )
    )
    for site, price in zip(sites, prices, strict=True):
        world.venues.fee[site.number] = site.config.fee
        world.venues.price[site.number] = price
        lower, upper = range_around(
            price, site.config.half_width, int(state.pool["tick_spacing"][site.row])
        )
        provide(
            world, (state, desk), site.row, OUTSIDE, GENESIS, (lower, upper), site.config.value_usd
        )
    return state, desk


def provide(
    world: World,
    own: tuple[ConcentratedState, PoolDesk],
    row: int,
    group: int,
    account: int,
    ticks: tuple[int, int],
    value_usd: float,
) -> float:
    """Give an account a position worth `value_usd` while the world is built; returns its liquidity."""
    state, desk = own
    lower, upper = ticks
    tokens = int(desk.token0[row]), int(desk.token1[row])
    usd0, usd1 = (float(world.prices.fundamental[token]) for token in tokens)
    _, unit0, unit1, number = mint(state, row, group, account, lower, upper, 1.0)
    value = unit0 * usd0 + unit1 * usd1
    liquidity = value_usd / value - 1.0
    if number < 0 or not liquidity > 0.0:
        raise InputError(
            f"{world.venue_names[int(desk.venue[row])]}: a position of {value_usd:g} USD in ticks "
            f"{lower} to {upper} cannot be made"
        )
    status, amount0, amount1, _ = mint(state, row, group, account, lower, upper, liquidity)
    if status != OK:
        raise InputError(
            f"{world.venue_names[int(desk.venue[row])]}: ticks {lower} to {upper} are refused "
            f"({Status(status).name.lower()})"
        )
    pool = int(desk.group[row]), int(desk.account[row])
    world.endow(*pool, tokens[0], unit0 + amount0)
    world.endow(*pool, tokens[1], unit1 + amount1)
    return liquidity + 1.0


# --- reading -------------------------------------------------------------------------------------


@kernel(inline=False)
def _value_positions(pools, amounts):  # type: ignore[no-untyped-def]
    """Write what every position would give now, fees included: (n_positions, 2)."""
    for number in range(pools.position.shape[0]):
        row = pools.position[number].pool
        amounts[number, 0] = amounts[number, 1] = 0.0
        if row >= 0:
            amount0, amount1 = position_amounts(pools, row, number)
            fee0, fee1 = uncollected_fees(pools, row, number)
            amounts[number, 0], amounts[number, 1] = amount0 + fee0, amount1 + fee1


def position_holdings(state: ConcentratedState) -> np.ndarray:
    """Return what every position would give now, fees included: float64, (n_positions, 2)."""
    amounts = np.zeros((len(state.position), 2))
    _value_positions(state, amounts)
    return amounts


def claims(world: World, own: tuple[ConcentratedState, PoolDesk]) -> list[Claim]:
    """Return what the owners of positions hold of the pools."""
    state, desk = own
    amounts = position_holdings(state)
    found = []
    for row in range(len(state.pool)):
        pool = np.array([desk.account[row]], np.int64)
        mine = state.position["pool"] == row
        for side, token in enumerate((int(desk.token0[row]), int(desk.token1[row]))):
            for group in np.unique(state.position["group"][mine]):
                of_group = mine & (state.position["group"] == group)
                owners = state.position["account"][of_group].astype(np.int64)
                found.append(Claim(int(group), owners, token, amounts[of_group, side]))
            total = np.array([-amounts[mine, side].sum()])
            found.append(Claim(int(desk.group[row]), pool, token, total))
    return found


def sample(
    world: World, own: tuple[ConcentratedState, PoolDesk]
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows for the `pools` record."""
    state, desk = own
    rows = []
    for row in range(len(state.pool)):
        group, account = int(desk.group[row]), int(desk.account[row])
        tokens = int(desk.token0[row]), int(desk.token1[row])
        held = [float(balance_of(world.ledger, group, account, token)) for token in tokens]
        rows.append(
            {
                "venue": int(desk.venue[row]),
                "reserve0": held[0],
                "reserve1": held[1],
                "liquidity": float(state.pool[row]["liquidity"]),
            }
        )
    return {"pools": rows}


def check(world: World, own: tuple[ConcentratedState, PoolDesk]) -> None:
    """Check that every pool holds what its positions would take out, to rounding.

    Raises
    ------
    InvariantError
        A pool holds less; names pool, token and amounts.
    """
    state, desk = own
    amounts = position_holdings(state)
    for row in range(len(state.pool)):
        mine = state.position["pool"] == row
        for side, token in enumerate((int(desk.token0[row]), int(desk.token1[row]))):
            owed = float(amounts[mine, side].sum())
            held = float(
                balance_of(world.ledger, int(desk.group[row]), int(desk.account[row]), token)
            )
            moved = float(world.ledger.turnover[token])
            if owed > held + 1e-9 * (1.0 + moved):
                raise InvariantError(
                    f"pool {world.venue_names[int(desk.venue[row])]} owes {owed:.12g} "
                    f"{world.token_names[token]} to its positions and holds {held:.12g}"
                )


def grown(own: tuple[ConcentratedState, PoolDesk]) -> tuple[ConcentratedState, PoolDesk] | None:
    """Return the pools with more room where a table is nearly full, else None."""
    state, desk = own
    larger = grow(state)
    return None if larger is state else (larger, desk)


MECHANISM = Mechanism(
    kind="concentrated_liquidity",
    config=ConcentratedConfig,
    verbs=(
        Verb("swap", _swap, 150_000, _quote_order),
        Verb("add", _add, 350_000),
        Verb("remove", _remove, 200_000),
        Verb("collect", _collect, 130_000),
    ),
    states=unpack.states,
    make=make,
    quote=_quote,
    claims=claims,
    sample=sample,
    check=check,
    grow=grown,
)
