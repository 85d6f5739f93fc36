"""Liquidity providers of one pool: passive, range keepers, leavers.

*Passive* ones hold the full range and never move. *Keepers* hold a range around the price; once it is
left they re-center when the fees they expect over their horizon exceed gas and swap cost. *Leavers*
hold the full range, and go, after a delay, when the price has fallen by their trigger within an hour,
when the fees of the pool over a trailing window fall short of its loss versus rebalancing, or when the
pool trades below par; they come back when that has not been so for a while. A constant product pool
knows no ranges, hence no keepers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from agents.population import ColumnarAgent
from sim.amm.concentrated_state import ConcentratedState
from sim.amm.concentrated_venue import provide, range_around
from sim.amm.constant_product import ConstantProductState, scale_pool
from sim.amm.position_index import find_position
from sim.amm.positions import range_amounts
from sim.amm.tick_math import MAX_TICK, tick_at_sqrt_price
from sim.chain import clock_at
from sim.draws import normal_column, uniform_column
from sim.errors import InputError
from sim.kernel import F8, I8, F8x2, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.mempool import Outbox, post
from sim.orders import ADD, FILL, REMOVE, ROUTINE, cause
from sim.prices import Prices
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import GWEI, HOUR, TICKS_PER_SECOND, ticks
from sim.venues import Venues, draft, draft_swap, spendable

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
NEVER = 1 << 60
_FILL, _ROUTINE = cause(FILL), cause(ROUTINE)
PASSIVE, KEEPER, LEAVER = range(3)
IN, LEAVING, REMOVING, OUT, SWAPPING, ADDING = range(6)
_BIN = 600 * TICKS_PER_SECOND  # the pool's history is kept every ten minutes
_DAY_BINS = 144
_PATIENCE = 600 * TICKS_PER_SECOND  # an order that has not landed by then is sent again
_ROUND_TRIP_GAS = 700_000  # remove, swap and add


class ProviderState(NamedTuple):
    """Columns of liquidity providers, and what they share."""

    style: I8  # int64, (n,), PASSIVE, KEEPER or LEAVER
    stage: I8  # int64, (n,), IN, LEAVING, REMOVING, OUT, SWAPPING or ADDING
    due: I8  # int64, (n,), tick of the next thought, NEVER: passive
    tick_lower: I8  # int64, (n,)
    tick_upper: I8  # int64, (n,)
    entry_usd: F8  # float64, (n,), value at the start
    delay: F8  # float64, (n,), ticks between fright and exit
    n_moves: I8  # int64, (n,), exits and re-centerings begun
    calm_since: I8  # int64, (1,), tick since which nothing frightens
    history: F8x2  # float64, (_DAY_BINS, 3): price, fees and losses of the pool, a ring
    number: (
        I8  # int64, (8,): group, venue, is concentrated, bins so far, earliest due, share token,
    )
    # is frightened, asleep until
    terms: F8  # float64, (9,): price trigger, loss trigger, window bins, calm ticks, keeper width,
    # keeper horizon days, tip, fear discount (0: none), par


class LiquidityProvidersConfig(Config):
    """Liquidity providers of one pool."""

    kind: Literal["liquidity_providers"]
    chain: str = Field(description="Chain of the pool.")
    pool: str = Field(description="Pool to which they provide.")
    count: int = Field(gt=0, le=1_000_000, description="Number of providers.")
    value_usd: float = Field(
        gt=0.0, description="Value they bring at the start.", json_schema_extra={"unit": "USD"}
    )
    pareto_tail: float = Field(
        1.2, gt=0.5, le=10.0, description="Tail index of their sizes; 1.2: the top 1 % hold half."
    )
    keeper_share: float = Field(
        0.0, ge=0.0, le=1.0, description="Share by number of range keepers."
    )
    keeper_half_width: float = Field(
        0.05,
        gt=0.0,
        lt=1.0,
        description="Half width of a keeper's range, spread over agents by 2x.",
        json_schema_extra={"unit": "fraction"},
    )
    keeper_horizon_hours: float = Field(
        24.0,
        gt=0.0,
        description="Horizon over which keepers count fees.",
        json_schema_extra={"unit": "h"},
    )
    leaver_share: float = Field(0.15, ge=0.0, le=1.0, description="Share by number of leavers.")
    price_trigger: float = Field(
        0.2,
        gt=0.0,
        lt=1.0,
        description="Fall of the price within an hour that frightens leavers.",
        json_schema_extra={"unit": "fraction"},
    )
    loss_trigger: float = Field(
        2.0, gt=0.0, description="Loss versus rebalancing over fees, trailing, that frightens them."
    )
    window_hours: float = Field(
        6.0, gt=0.2, le=23.0, description="Trailing window.", json_schema_extra={"unit": "h"}
    )
    delay_hours: float = Field(
        2.0, gt=0.0, description="Median time from fright to exit.", json_schema_extra={"unit": "h"}
    )
    delay_log_sd: float = Field(1.0, ge=0.0, description="Log spread of that time.")
    calm_hours: float = Field(
        12.0,
        gt=0.0,
        description="Time without fright before leavers return.",
        json_schema_extra={"unit": "h"},
    )
    fear_par: float | None = Field(
        None, gt=0.0, description="Par price; a discount below it frightens leavers."
    )
    fear_discount: float = Field(0.02, gt=0.0, lt=1.0, description="That discount.")
    tip_gwei: float = Field(
        1.0, ge=0.0, description="Priority fee they bid.", json_schema_extra={"unit": "gwei"}
    )

    @model_validator(mode="after")
    def _check(self) -> LiquidityProvidersConfig:
        if self.keeper_share + self.leaver_share > 1.0 + 1e-12:
            raise ValueError(
                f"keeper_share + leaver_share is {self.keeper_share + self.leaver_share:g}; "
                "it must not exceed 1"
            )
        return self


class LiquidityProvider(ColumnarAgent):
    """One liquidity provider: a view on a row of its population."""


unpack = view_of(ProviderState, Outbox, Ledger, Prices, Venues, ConcentratedState)


# --- what they see -------------------------------------------------------------------------------


@kernel
def bin_back(people, bins):  # type: ignore[no-untyped-def]
    """Return the row of the history some bins ago, or the oldest there is."""
    count = people.number[3]
    return (count - 1 - min(bins, count - 1, _DAY_BINS - 1)) % _DAY_BINS


@kernel
def observe(people, venues, now):  # type: ignore[no-untyped-def]
    """Keep the pool's history, and note whether it frightens."""
    if people.number[3] > 0 and now < people.number[3] * _BIN:
        return
    venue = people.number[1]
    place = people.number[3] % _DAY_BINS
    people.history[place, 0] = venues.price[venue]
    people.history[place, 1] = venues.fees[venue]
    people.history[place, 2] = venues.lvr[venue]
    people.number[3] = now // _BIN + 1
    hour, window = bin_back(people, 6), bin_back(people, int(people.terms[2]))
    fell = 1.0 - venues.price[venue] / max(people.history[hour, 0], 1e-300)
    fees = venues.fees[venue] - people.history[window, 1]
    losses = venues.lvr[venue] - people.history[window, 2]
    scared = fell >= people.terms[0]
    scared |= losses > people.terms[1] * max(fees, 0.0) and losses > 0.0
    if people.terms[7] > 0.0:
        scared |= venues.price[venue] <= people.terms[8] * (1.0 - people.terms[7])
    people.number[6] = 1 if scared else 0
    if scared:
        people.calm_since[0] = now


@kernel
def liquidity_of(people, pools, ledger, venues, row):  # type: ignore[no-untyped-def]
    """Return the liquidity, or shares, that a provider has in the pool."""
    venue, group = people.number[1], people.number[0]
    if people.number[2] == 0:
        return balance_of(ledger, group, row, people.number[5])
    number = find_position(
        pools, venues.row[venue], group, row, people.tick_lower[row], people.tick_upper[row]
    )
    return pools.position[number].liquidity if number >= 0 else 0.0


# --- what they do --------------------------------------------------------------------------------


@kernel
def send(people, box, order, row, clock, stage):  # type: ignore[no-untyped-def]
    """Bid, post, and look again when the order should have landed."""
    order.tip = people.terms[6]
    order.max_fee = 2.0 * order.max_fee + order.tip
    order.expires = clock.now + _PATIENCE
    post(box, order)
    people.stage[row] = stage
    people.due[row] = clock.now + 1


@kernel
def remove_all(people, box, ledger, venues, pools, row, clock):  # type: ignore[no-untyped-def]
    """Take everything out."""
    venue = people.number[1]
    order = draft(box, venues, venue, REMOVE, people.number[0], row, clock.now)
    order.a, order.b = people.tick_lower[row], people.tick_upper[row]
    held = liquidity_of(people, pools, ledger, venues, row)
    order.amount = math.inf if people.number[2] != 0 else held
    last = venues.last_fill[venue]
    order.parent = _FILL + last if last > 0 else _ROUTINE
    people.n_moves[row] += 1
    send(people, box, order, row, clock, REMOVING)


@kernel
def wallet(people, box, ledger, venues, row, clock, side):  # type: ignore[no-untyped-def]
    """Return what a provider can put in of one side."""
    venue = people.number[1]
    token = venues.token0[venue] if side == 0 else venues.token1[venue]
    return spendable(box, ledger, clock.chain, people.number[0], row, token, _ROUND_TRIP_GAS)


@kernel
def balance_sides(people, box, ledger, prices, venues, pools, row, clock):  # type: ignore[no-untyped-def]
    """Swap toward the ratio that the range takes; False when the ratio is near enough."""
    venue = people.number[1]
    price = venues.price[venue]
    held0 = wallet(people, box, ledger, venues, row, clock, 0) * price
    held1 = wallet(people, box, ledger, venues, row, clock, 1)
    share0 = 0.5
    if people.number[2] != 0:
        unit0, unit1 = range_amounts(
            pools, venues.row[venue], people.tick_lower[row], people.tick_upper[row], 1.0
        )
        share0 = unit0 * price / max(unit0 * price + unit1, 1e-300)
    excess = held0 - share0 * (held0 + held1)
    if abs(excess) < 0.02 * (held0 + held1):
        return False
    side = 0 if excess > 0.0 else 1
    amount = excess / price if side == 0 else -excess
    order = draft_swap(box, venues, venue, side, amount, people.number[0], row, clock.now)
    fair = price if side == 0 else 1.0 / price
    order.limit = 0.97 * amount * fair * (1.0 - venues.fee[venue])
    order.parent = _ROUTINE
    send(people, box, order, row, clock, SWAPPING)
    return True


@kernel
def add_all(people, box, ledger, venues, row, clock):  # type: ignore[no-untyped-def]
    """Put everything in."""
    venue = people.number[1]
    order = draft(box, venues, venue, ADD, people.number[0], row, clock.now)
    order.a, order.b = people.tick_lower[row], people.tick_upper[row]
    order.amount = wallet(people, box, ledger, venues, row, clock, 0)
    order.amount1 = wallet(people, box, ledger, venues, row, clock, 1)
    order.parent = _ROUTINE
    send(people, box, order, row, clock, ADDING)


@kernel
def is_worth_it(people, box, prices, venues, pools, row, clock):  # type: ignore[no-untyped-def]
    """Return whether re-centering pays: expected fees over the horizon against gas and swap cost."""
    venue = people.number[1]
    pool = pools.pool[venues.row[venue]]
    number = find_position(
        pools,
        venues.row[venue],
        people.number[0],
        row,
        people.tick_lower[row],
        people.tick_upper[row],
    )
    if number < 0:
        return False
    mine = pools.position[number].liquidity
    share = mine / max(pool.liquidity + mine, 1e-300)
    day = bin_back(people, _DAY_BINS - 1)
    seen = max(min(people.number[3], _DAY_BINS) / _DAY_BINS, 0.05)
    daily = (venues.fees[venue] - people.history[day, 1]) / seen
    chain = box.chains[clock.chain]
    gas = _ROUND_TRIP_GAS * (chain.base_fee + people.terms[6]) * prices.reference[chain.native]
    swap = 0.5 * people.entry_usd[row] * venues.fee[venue]
    return share * daily * people.terms[5] > gas + swap


@kernel
def recenter(people, venues, pools, row):  # type: ignore[no-untyped-def]
    """Choose a range of the same width around the present price."""
    venue = people.number[1]
    pool = pools.pool[venues.row[venue]]
    spacing = pool.tick_spacing
    half = (people.tick_upper[row] - people.tick_lower[row]) // 2
    middle = tick_at_sqrt_price(pool.sqrt_price)
    lower = (middle - half) // spacing * spacing
    people.tick_lower[row] = max(lower, -(MAX_TICK // spacing) * spacing)
    people.tick_upper[row] = min(
        people.tick_lower[row] + 2 * half // spacing * spacing, MAX_TICK // spacing * spacing
    )


@kernel
def think_inside(people, box, ledger, prices, venues, pools, row, clock):  # type: ignore[no-untyped-def]
    """A keeper who is out of range may re-center; a frightened leaver gets ready to go."""
    people.due[row] = clock.now + _BIN
    if people.style[row] == LEAVER:
        if people.number[6] != 0:
            people.stage[row] = LEAVING
            people.due[row] = clock.now + int(people.delay[row])
    elif people.style[row] == KEEPER:
        tick = tick_at_sqrt_price(pools.pool[venues.row[people.number[1]]].sqrt_price)
        is_out = tick < people.tick_lower[row] or tick >= people.tick_upper[row]
        if is_out and is_worth_it(people, box, prices, venues, pools, row, clock):
            remove_all(people, box, ledger, venues, pools, row, clock)


@kernel
def think_outside(people, box, ledger, prices, venues, pools, row, clock):  # type: ignore[no-untyped-def]
    """A keeper goes on to its new range; a leaver waits for calm."""
    people.due[row] = clock.now + _BIN
    if people.style[row] == KEEPER:
        recenter(people, venues, pools, row)
    elif clock.now - people.calm_since[0] < people.terms[3]:
        return
    if not balance_sides(people, box, ledger, prices, venues, pools, row, clock):
        add_all(people, box, ledger, venues, row, clock)


@kernel(inline=False)
def think(people, box, ledger, prices, venues, pools, row, clock):  # type: ignore[no-untyped-def]
    """Advance one provider by one step of its plan; orders are waited for, then repeated."""
    stage = people.stage[row]
    held = liquidity_of(people, pools, ledger, venues, row)
    if stage == IN:
        think_inside(people, box, ledger, prices, venues, pools, row, clock)
    elif stage == LEAVING:
        remove_all(people, box, ledger, venues, pools, row, clock)
    elif stage == REMOVING:
        people.due[row] = clock.now + _PATIENCE
        if held <= 0.0:
            people.stage[row] = OUT
            people.due[row] = clock.now
            think_outside(people, box, ledger, prices, venues, pools, row, clock)
        else:
            people.stage[row] = LEAVING  # the order did not land: again after a while
    elif stage == OUT:
        think_outside(people, box, ledger, prices, venues, pools, row, clock)
    elif stage == SWAPPING:
        add_all(people, box, ledger, venues, row, clock)
    else:
        people.due[row] = clock.now + _BIN
        people.stage[row] = IN if held > 0.0 else OUT


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    people, box, ledger, prices, venues, pools = unpack(binding)
    clock = clock_at(message)
    observe(people, venues, clock.now)
    if clock.now < people.number[4]:
        return OK
    earliest = NEVER
    for row in range(people.due.shape[0]):
        if people.due[row] <= clock.now:
            think(people, box, ledger, prices, venues, pools, row, clock)
        earliest = min(earliest, people.due[row])
    people.number[4] = earliest
    return OK


# --- building ------------------------------------------------------------------------------------


def make(world: World, site: PopulationSite) -> ProviderState:
    """Return the columns of a population of providers, and put its liquidity into the pool."""
    config, n, seed = site.config, site.rows, world.seed
    venue = world.venue(config.pool)
    kind = world.plan.venues[venue].mechanism.kind
    if kind not in {"constant_product", "concentrated_liquidity"}:
        raise InputError(f"populations.{site.name}.pool: '{config.pool}' is a {kind}, not a pool")
    is_concentrated = kind == "concentrated_liquidity"
    if config.keeper_share > 0.0 and not is_concentrated:
        raise InputError(
            f"populations.{site.name}.keeper_share ({config.keeper_share:g}) must be 0: "
            f"'{config.pool}' has no ranges"
        )
    raw = uniform_column(seed, f"{site.name}:size", n) ** (-1.0 / config.pareto_tail)
    value = raw * (config.value_usd / raw.sum())
    pick = uniform_column(seed, f"{site.name}:style", n)
    keeper = pick < config.keeper_share
    leaver = ~keeper & (pick < config.keeper_share + config.leaver_share)
    style = np.where(keeper, KEEPER, np.where(leaver, LEAVER, PASSIVE)).astype(np.int64)
    enter = _enter_ranges if is_concentrated else _enter_shares
    lower, upper, token = enter(world, site, venue, value, style)
    delay = np.exp(config.delay_log_sd * normal_column(seed, f"{site.name}:delay", n))
    start = uniform_column(seed, f"{site.name}:start", n) * _BIN  # they do not think in step
    return ProviderState(
        style=style,
        stage=np.full(n, IN, np.int64),
        due=np.where(style == PASSIVE, NEVER, start.astype(np.int64)),
        tick_lower=lower,
        tick_upper=upper,
        entry_usd=value,
        delay=delay * ticks(config.delay_hours * HOUR),
        n_moves=np.zeros(n, np.int64),
        calm_since=np.zeros(1, np.int64),
        history=np.zeros((_DAY_BINS, 3)),
        number=np.array([site.group, venue, int(is_concentrated), 0, 0, token, 0, 0], np.int64),
        terms=np.array(
            [
                config.price_trigger,
                config.loss_trigger,
                config.window_hours * 6.0,
                ticks(config.calm_hours * HOUR),
                config.keeper_half_width,
                config.keeper_horizon_hours / 24.0,
                config.tip_gwei * GWEI,
                config.fear_discount if config.fear_par is not None else 0.0,
                config.fear_par or 0.0,
            ],
            float,
        ),
    )


def _enter_ranges(
    world: World, site: PopulationSite, venue: int, value: np.ndarray, style: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Mint the first positions in a pool with ranges."""
    own = world.states["concentrated_liquidity"]
    row = int(world.venues.row[venue])
    spacing = int(own[0].pool["tick_spacing"][row])
    price = float(world.venues.price[venue])
    spread = 2.0 ** (2.0 * uniform_column(world.seed, f"{site.name}:width", len(value)) - 1.0)
    lower, upper = np.zeros(len(value), np.int64), np.zeros(len(value), np.int64)
    for k, usd in enumerate(value):
        width = min(site.config.keeper_half_width * spread[k], 0.95) if style[k] == KEEPER else None
        lower[k], upper[k] = range_around(price, width, spacing)
        own = _with_room(world, own)
        bounds = (int(lower[k]), int(upper[k]))
        provide(world, own, row, site.group, k, bounds, float(usd))
    return lower, upper, -1


def _with_room(world: World, own: Any) -> Any:
    mechanism = next(
        m for m in (v.mechanism for v in world.plan.venues) if m.kind == "concentrated_liquidity"
    )
    larger = mechanism.grow(own)
    if larger is None:
        return own
    world.replace_state("concentrated_liquidity", larger)
    return larger


def _enter_shares(
    world: World, site: PopulationSite, venue: int, value: np.ndarray, style: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Take the first shares of a constant product pool."""
    state = world.shared[ConstantProductState]
    row = int(world.venues.row[venue])
    tokens = (int(state.token0[row]), int(state.token1[row]))
    held = (float(state.reserve0[row]), float(state.reserve1[row]))
    usd = sum(
        amount * float(world.prices.fundamental[token])
        for amount, token in zip(held, tokens, strict=True)
    )
    share = int(state.share[row])
    world.endow_column(site.group, share, value / usd * float(state.supply[row]))
    factor = float(value.sum()) / usd
    for amount, token in zip(held, tokens, strict=True):
        world.endow(int(state.group[row]), int(state.account[row]), token, amount * factor)
    scale_pool(state, row, 1.0 + factor)
    zeros = np.zeros(len(value), np.int64)
    return zeros, zeros.copy(), share


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give every provider gas."""
    native = int(world.box.chains[site.chain]["native"])
    world.endow_column(site.group, native, 1.0)


def tokens(world: World, site: PopulationSite) -> list[int]:
    """Return what providers can hold: both tokens, the pool's share and gas."""
    plan = world.plan.venues[world.venue(site.config.pool)]
    nodes = [world.token(*node) for node in plan.tokens]
    issued = [world.token(*node) for node in plan.mechanism.issues(plan.name, plan.config)]
    native = world.token(site.config.chain, world.plan.chains[site.chain].native)
    return [*nodes, *issued, native]


KIND = PopulationKind(
    kind="liquidity_providers",
    config=LiquidityProvidersConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=LiquidityProvider,
    tokens=tokens,
)
