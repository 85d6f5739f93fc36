"""Concentrated liquidity pools as venues: terms, building, records and checks.

The pools are in `sim.amm.concentrated_state`, swaps and positions in their own modules; what orders
do is in `sim.amm.concentrated_orders`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from sim.amm import concentrated_orders as orders
from sim.amm import positions
from sim.amm.concentrated_orders import PoolDesk
from sim.amm.concentrated_state import ConcentratedState, PoolTerms, grow
from sim.amm.concentrated_state import make as make_pools
from sim.amm.pool_files import LiquiditySource, Ranges, one_of, ranges_of
from sim.amm.tick_math import MAX_TICK, tick_at_sqrt_price
from sim.errors import InputError, InvariantError
from sim.grouping import rows_by_key
from sim.holdings import balances_of
from sim.kernel import bind, kernel
from sim.outside import GENESIS, OUTSIDE
from sim.registry import Claim, Columns, Config, Mechanism, VenueSite, Verb
from sim.status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.world import World

OK = int(Status.OK)
_EPSILON = 2.0**-52
_SPACING = {100: 1, 500: 10, 3_000: 60, 10_000: 200}  # tick spacing by fee in pips, as deployed


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
    value_usd: float | None = Field(
        None,
        gt=0.0,
        le=1e15,
        description="Value of the first liquidity, which belongs to the genesis account; "
        "populations of liquidity providers add theirs; or give liquidity.",
        json_schema_extra={"unit": "USD", "stress": {"liquidity_scale": "multiply"}},
    )
    liquidity: LiquiditySource | None = Field(
        None, description="File of the ranges of the first liquidity, in place of value_usd."
    )
    half_width: float | None = Field(
        None,
        gt=0.0,
        lt=1.0,
        description="Its range is price x (1 - w) to price / (1 - w); full when left out.",
        json_schema_extra={"unit": "fraction"},
    )

    protocol_fee: Annotated[
        list[Annotated[int, Field(ge=0, le=10)]], Field(min_length=2, max_length=2)
    ] = Field(
        [0, 0],
        description="The protocol takes 1 / n of the fees in token 0 and token 1, n from 4 to 10; "
        "0: nothing. It stays in the pool's account.",
    )

    @model_validator(mode="after")
    def _check(self) -> ConcentratedConfig:
        if any(0 < share < 4 for share in self.protocol_fee):
            raise ValueError(f"protocol_fee ({self.protocol_fee}) must hold 0, or 4 to 10")
        one_of(self.value_usd, self.liquidity, "liquidity")
        if self.liquidity is not None and self.half_width is not None:
            raise ValueError("half_width and liquidity are both given; leave one out")
        return self


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


def protocol_of(config: ConcentratedConfig) -> tuple[int, int]:
    """Return by how much the fees in each token are divided for the protocol; 0: nothing."""
    return config.protocol_fee[0], config.protocol_fee[1]


def range_around(price: float, half_width: float | None, spacing: int) -> tuple[int, int]:
    """Return usable ticks of price x (1 - w) to price / (1 - w), or the full range."""
    most = MAX_TICK // spacing * spacing
    if half_width is None:
        return -most, most
    root = math.sqrt(1.0 - half_width)
    lower = int(tick_at_sqrt_price(math.sqrt(price) * root)) // spacing * spacing
    upper = -(-int(tick_at_sqrt_price(math.sqrt(price) / root)) // spacing) * spacing
    return max(lower, -most), min(max(upper, lower + spacing), most)


@kernel(inline=False)
def _ranges(root_price, half_width, spacing, bounds):  # type: ignore[no-untyped-def]
    most = MAX_TICK // spacing * spacing
    for k in range(half_width.shape[0]):
        root = math.sqrt(1.0 - half_width[k])
        lower = int(tick_at_sqrt_price(root_price * root)) // spacing * spacing
        upper = -(-int(tick_at_sqrt_price(root_price / root)) // spacing) * spacing
        bounds[k, 0] = max(lower, -most)
        bounds[k, 1] = min(max(upper, lower + spacing), most)


def ranges_around(price: float, half_width: np.ndarray, spacing: int) -> np.ndarray:
    """Return `range_around` of many widths.

    Parameters
    ----------
    half_width : float64, (n,), fraction

    Returns
    -------
    int64, (n, 2), ticks
    """
    bounds = np.zeros((len(half_width), 2), np.int64)
    _ranges(math.sqrt(price), half_width, spacing, bounds)
    return bounds


class _Start(NamedTuple):
    """How a pool begins."""

    spacing: int
    price: float  # token 1 per token 0
    ranges: Ranges | None  # of a file


def _start_of(world: World, site: VenueSite) -> _Start:
    """Return how a pool begins: at the prices of time 0, or as its file says."""
    usd = [float(world.prices.fundamental[token]) for token in site.tokens]
    if min(usd) <= 0.0:
        nameless = world.token_names[site.tokens[usd.index(min(usd))]]
        raise InputError(f"venues.{site.name}.tokens: {nameless} has no price to start from")
    try:
        spacing = spacing_of(site.config)
    except InputError as error:
        raise InputError(f"venues.{site.name}.fee: {error}") from None
    if site.config.liquidity is None:
        return _Start(spacing, usd[0] / usd[1], None)
    try:
        ranges = ranges_of(site.config.liquidity, spacing, usd[0] / usd[1])
    except InputError as error:
        raise InputError(f"venues.{site.name}.liquidity.file: {error}") from None
    return _Start(spacing, ranges.price, ranges)


def make(world: World, sites: Sequence[VenueSite]) -> tuple[ConcentratedState, PoolDesk]:
    """Return the pools of a world with their genesis liquidity."""
    starts = [_start_of(world, site) for site in sites]
    terms = [
        PoolTerms(site.config.fee, start.spacing, math.sqrt(start.price), protocol_of(site.config))
        for site, start in zip(sites, starts, strict=True)
    ]
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
    own = state, desk
    for site, start in zip(sites, starts, strict=True):
        world.venues.fee[site.number] = site.config.fee
        world.venues.price[site.number] = start.price
        own = provide(world, own, site.row, OUTSIDE, _first_openings(world, own[0], site, start))
    return own


def _first_openings(
    world: World, state: ConcentratedState, site: VenueSite, start: _Start
) -> Openings:
    """Return the genesis positions of a pool."""
    if start.ranges is None:
        bounds = range_around(start.price, site.config.half_width, start.spacing)
        account, lower, upper = (np.array([word], np.int64) for word in (GENESIS, *bounds))
        return Openings(account, lower, upper, np.array([site.config.value_usd]))
    account = np.full(start.ranges.n_accounts, GENESIS, np.int64)
    return openings_of(world, state, site.row, site.tokens, account, start.ranges)


def openings_of(
    world: World,
    state: ConcentratedState,
    row: int,
    tokens: Sequence[int],
    account: np.ndarray,
    ranges: Ranges,
) -> Openings:
    """Return the positions that ranges of a file stand for.

    Parameters
    ----------
    row : of the pool
    tokens : token 0 and token 1 of the pool
    account : int64, (ranges.n_accounts,), owners of the ranges that hold liquidity, in their order
    """
    is_open = ranges.liquidity > 0.0
    lower, upper = (
        np.ascontiguousarray(ticks[is_open]) for ticks in (ranges.tick_lower, ranges.tick_upper)
    )
    usd0, usd1 = (float(world.prices.fundamental[token]) for token in tokens)
    binding = bind(state)
    units = [
        orders.unit_amounts(binding.ctypes.data, row, low, high)
        for low, high in zip(lower.tolist(), upper.tolist(), strict=True)
    ]
    worth = np.array([unit0 * usd0 + unit1 * usd1 for unit0, unit1 in units])
    return Openings(account, lower, upper, worth * ranges.liquidity[is_open])


class Openings(NamedTuple):
    """Positions to be opened while a world is built; a row each."""

    account: np.ndarray  # int64, (n,), row of the owner in its group
    tick_lower: np.ndarray  # int64, (n,)
    tick_upper: np.ndarray  # int64, (n,)
    value_usd: np.ndarray  # float64, (n,), USD at the prices of time 0


@kernel(inline=False)
def _open(binding, row, group, openings, first, usd0, usd1, paid):  # type: ignore[no-untyped-def]
    """Mint positions from row `first` on; (status, row that was refused or number of rows)."""
    account, lower, upper, value = openings
    for k in range(first, value.shape[0]):
        unit0, unit1 = orders.unit_amounts(binding, row, lower[k], upper[k])
        liquidity = value[k] / (unit0 * usd0 + unit1 * usd1)
        status, amount0, amount1, _ = orders.mint(
            binding, row, group, account[k], lower[k], upper[k], liquidity
        )
        if status != OK:
            return status, k
        paid[0] += amount0
        paid[1] += amount1
    return OK, value.shape[0]


def provide(
    world: World,
    own: tuple[ConcentratedState, PoolDesk],
    row: int,
    group: int,
    openings: Openings,
) -> tuple[ConcentratedState, PoolDesk]:
    """Open positions in a pool while the world is built, and endow the pool with what they hold.

    Returns
    -------
    The pools, with larger tables where these did not fit; the caller keeps them

    Raises
    ------
    InputError
        A position cannot be made; names pool, value and ticks.
    """
    state, desk = own
    tokens = int(desk.token0[row]), int(desk.token1[row])
    usd = [float(world.prices.fundamental[token]) for token in tokens]
    paid, done = np.zeros(2), 0
    while done < len(openings.value_usd):
        binding = bind(state)
        status, done = _open(
            binding.ctypes.data, row, group, tuple(openings), done, usd[0], usd[1], paid
        )
        if status == Status.FULL:
            state = grow(state)
        elif status != OK:
            raise InputError(
                f"{world.venue_names[int(desk.venue[row])]}: a position of "
                f"{openings.value_usd[done]:g} USD in ticks {openings.tick_lower[done]} to "
                f"{openings.tick_upper[done]} is refused ({Status(status).name.lower()})"
            )
    for token, amount in zip(tokens, paid, strict=True):
        world.endow(int(desk.group[row]), int(desk.account[row]), token, float(amount))
    return state, desk


# --- reading -------------------------------------------------------------------------------------


@kernel(inline=False)
def _value_positions(pools, amounts):  # type: ignore[no-untyped-def]
    """Write what every position would give now, fees included: (n_positions, 2)."""
    for number in range(pools.position.shape[0]):
        row = pools.position[number].pool
        amounts[number, 0] = amounts[number, 1] = 0.0
        if row >= 0:
            amount0, amount1 = positions.position_amounts(pools, row, number)
            fee0, fee1 = positions.uncollected_fees(pools, row, number)
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
    table = state.position
    live = np.flatnonzero(table["pool"] >= 0)
    found = []
    for row, at in rows_by_key(table["pool"][live], len(state.pool)):
        mine = live[at]
        owners = table["account"][mine]
        of_group = rows_by_key(table["group"][mine], len(world.group_names))
        pool, venue = np.array([desk.account[row]], np.int64), int(desk.venue[row])
        for side, token in enumerate((int(desk.token0[row]), int(desk.token1[row]))):
            held = amounts[mine, side]
            found += [Claim(group, owners[few], token, held[few], venue) for group, few in of_group]
            found.append(Claim(int(desk.group[row]), pool, token, np.array([-held.sum()]), venue))
    return found


def sample(world: World, own: tuple[ConcentratedState, PoolDesk]) -> dict[str, Columns]:
    """Return the columns of the `pools` record."""
    state, desk = own
    ledger = world.ledger
    return {
        "pools": {
            "venue": desk.venue,
            "reserve0": balances_of(ledger, desk.group, desk.account, desk.token0),
            "reserve1": balances_of(ledger, desk.group, desk.account, desk.token1),
            "liquidity": state.pool["liquidity"],
        }
    }


def check(world: World, own: tuple[ConcentratedState, PoolDesk]) -> None:
    """Check that every pool holds what its positions would take out.

    A swap or a change of a position is exact to some ulps of the virtual reserves (a narrow range
    holds far less than these), and a pool sees no more of them than its tokens have moves.

    Raises
    ------
    InvariantError
        A pool holds less; names pool, token and amounts.
    """
    state, desk = own
    amounts = position_holdings(state)
    for row, pool in enumerate(state.pool):
        mine = state.position["pool"] == row
        liquidity = float(state.position["liquidity"][mine].sum())
        virtual = liquidity / float(pool["sqrt_price"]), liquidity * float(pool["sqrt_price"])
        for side, token in enumerate((int(desk.token0[row]), int(desk.token1[row]))):
            owed = float(amounts[mine, side].sum())
            account = int(desk.group[row]), int(desk.account[row])
            held = world.balance(*account, token)
            n_moves = int(world.ledger.n_moves[token]) + len(amounts)
            if owed > held + 4 * _EPSILON * n_moves * (held + virtual[side]):
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
        Verb("swap", orders.on_swap, 130_000, orders.on_quote_order, orders.SPARE_GAS),
        Verb("add", orders.on_add, 350_000),
        Verb("remove", orders.on_remove, 200_000),
        Verb("collect", orders.on_collect, 130_000),
    ),
    states=orders.unpack.states,
    make=make,
    quote=orders.on_quote,
    appraise=orders.on_appraise,
    claims=claims,
    sample=sample,
    check=check,
    grow=grown,
)
