"""Liquidity providers of one pool: passive, range keepers, leavers.

*Passive* ones hold the full range and never move. *Keepers* hold a range around the price; when the
price has left it they re-center if the fees they expect over their horizon exceed gas and the loss
of the swap, and if they have rested since the last time. *Leavers* hold the full range; when the
pool frightens (`agents.pool_history`) they go after a delay of their own, and come back, as late,
when it has been calm for long enough. A constant product pool has no ranges, hence no keepers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from agents.arrivals import Arrivals, make_arrivals, wake_all
from agents.liquidity_book import enter_liquidity
from agents.liquidity_plans import (
    IN,
    KEEPER,
    LEAVER,
    NEVER,
    SHARE,
    VENUE,
    ProviderState,
    react,
    unpack,
)
from agents.pool_history import (
    LOSS_TRIGGER,
    PAR,
    PRICE_TRIGGER,
    STEP,
    PoolHistory,
    make_history,
)
from agents.population import ColumnarAgent
from sim.amm.concentrated_state import ConcentratedState
from sim.amm.concentrated_venue import position_holdings
from sim.amm.constant_product import ConstantProductState
from sim.amm.pool_files import LiquiditySource, one_of
from sim.draws import normal_column, uniform_column
from sim.errors import InputError
from sim.registry import Channel, Config, PopulationKind, PopulationSite
from sim.units import GWEI, HOUR, ticks

if TYPE_CHECKING:
    from sim.world import World


class LiquidityProvidersConfig(Config):
    """Liquidity providers of one pool."""

    kind: Literal["liquidity_providers"]
    chain: str = Field(description="Chain of the pool.")
    pool: str = Field(description="Pool to which they provide.")
    count: int | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="Number of providers; with ranges that of the ranges in the file.",
    )
    value_usd: float | None = Field(
        None,
        gt=0.0,
        description="Value they bring at the start; or give ranges.",
        json_schema_extra={"unit": "USD", "stress": {"liquidity_scale": "multiply"}},
    )
    ranges: LiquiditySource | None = Field(
        None,
        description="File of the ranges that they hold at the start, in place of value_usd: one "
        "provider for each range; those of one owner decide alike.",
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
    keeper_rest_hours: float = Field(
        1.0,
        ge=0.0,
        description="Least time between two moves of a keeper.",
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
        0.002,
        gt=0.0,
        description="Loss versus rebalancing less fees, over the window, that frightens them.",
        json_schema_extra={"unit": "fraction of a full-range value"},
    )
    window_hours: float = Field(
        6.0, gt=0.2, le=24.0, description="Trailing window.", json_schema_extra={"unit": "h"}
    )
    delay_hours: float = Field(
        2.0,
        gt=0.0,
        description="Median time from fright to exit, and from calm to return.",
        json_schema_extra={"unit": "h"},
    )
    delay_log_sd: float = Field(1.0, ge=0.0, le=4.0, description="Log spread of that time.")
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
    gas_reserve_usd: float = Field(
        200.0,
        gt=0.0,
        description="Native tokens each keeps for gas.",
        json_schema_extra={"unit": "USD"},
    )
    tip_gwei: float = Field(
        1.0, ge=0.0, description="Priority fee they bid.", json_schema_extra={"unit": "gwei"}
    )

    @model_validator(mode="after")
    def _check(self) -> LiquidityProvidersConfig:
        if self.ranges is None and self.count is None:
            raise ValueError("count is missing; give it and value_usd, or ranges")
        one_of(self.value_usd, self.ranges, "ranges")
        if self.ranges is not None and self.ranges.price == "from_file":
            raise ValueError("price: from_file of ranges is said where the pool is; leave it out")
        if self.keeper_share + self.leaver_share > 1.0 + 1e-12:
            raise ValueError(
                f"keeper_share + leaver_share is {self.keeper_share + self.leaver_share:g}; "
                "it must not exceed 1"
            )
        return self


class LiquidityProvider(ColumnarAgent):
    """One liquidity provider: a view on a row of its population."""


# --- building ------------------------------------------------------------------------------------


def make(world: World, site: PopulationSite) -> tuple[ProviderState, PoolHistory, Arrivals]:
    """Return the columns of a population of providers, and put its liquidity into the pool."""
    config, n, seed = site.config, site.rows, world.seed
    venue = world.venue(config.pool)
    book = enter_liquidity(world, site, venue, has_ranges=_check_pool(world, site, venue))
    lots = normal_column(seed, f"{site.name}:delay", n)[book.owner]
    delay = np.exp(config.delay_log_sd * lots)
    state = ProviderState(
        style=book.style,
        stage=np.full(n, IN, np.int64),
        tick_lower=book.tick_lower,
        tick_upper=book.tick_upper,
        entry_usd=book.value_usd,
        delay=np.ceil(delay * ticks(config.delay_hours * HOUR)).astype(np.int64),
        n_moves=np.zeros(n, np.int64),
        moved=np.full(n, -NEVER, np.int64),
        expires=np.zeros(n, np.int64),
        bought=np.zeros(n, np.int64),
        mark=np.zeros(n),
        number=np.array([site.group, venue, book.share], np.int64),
        terms=np.array(
            [
                _gas_reserve(world, site),
                config.tip_gwei * GWEI,
                config.keeper_horizon_hours / 24.0,
                ticks(config.keeper_rest_hours * HOUR),
            ],
            float,
        ),
    )
    history = make_history(
        config.price_trigger,
        config.loss_trigger,
        config.window_hours,
        ticks(config.calm_hours * HOUR),
        config.fear_par,
        config.fear_discount,
    )
    return state, history, _wheel_of(seed, site, book.style)


def _check_pool(world: World, site: PopulationSite, venue: int) -> bool:
    """Return whether the pool has ranges."""
    kind = world.plan.venues[venue].mechanism.kind
    if kind not in {"constant_product", "concentrated_liquidity"}:
        raise InputError(
            f"populations.{site.name}.pool: '{site.config.pool}' is a {kind}; it must be a pool, "
            "constant_product or concentrated_liquidity"
        )
    if site.config.keeper_share > 0.0 and kind == "constant_product":
        raise InputError(
            f"populations.{site.name}.keeper_share ({site.config.keeper_share:g}) must be 0: "
            f"'{site.config.pool}' has no ranges"
        )
    if site.config.ranges is not None and kind == "constant_product":
        raise InputError(
            f"populations.{site.name}.ranges: '{site.config.pool}' has no ranges; give value_usd"
        )
    return kind == "concentrated_liquidity"


def _wheel_of(seed: int, site: PopulationSite, style: np.ndarray) -> Arrivals:
    """Return a wheel on which keepers wake first within one step, not all at once."""
    wheel = make_arrivals(np.zeros(len(style)), seed, site.stream)
    start = uniform_column(seed, f"{site.name}:start", len(style)) * STEP
    keepers = np.flatnonzero(style == KEEPER)
    wake_all(wheel, keepers, start[keepers].astype(np.int64))
    return wheel


def _gas_reserve(world: World, site: PopulationSite) -> float:
    """Return the native tokens that each keeps for gas."""
    native = int(world.box.chains[site.chain]["native"])
    if native < 0:
        return 0.0
    return float(site.config.gas_reserve_usd / world.prices.fundamental[native])


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give every provider its reserve for gas."""
    native = int(world.box.chains[site.chain]["native"])
    if native >= 0:
        world.endow_column(site.group, native, _gas_reserve(world, site))


def tokens(world: World, site: PopulationSite) -> list[int]:
    """Return what providers can hold: both tokens, the pool's share and gas."""
    plan = world.plan.venues[world.venue(site.config.pool)]
    nodes = [*plan.tokens, *plan.mechanism.issues(plan.name, plan.config)]
    native = world.plan.chains[site.chain].native
    if native:
        nodes.append((site.config.chain, native))
    return [world.token(*node) for node in nodes]


# --- without flight ------------------------------------------------------------------------------


def _can_flee(world: World, own: Any) -> bool:
    return bool((own[0].style == LEAVER).any())


def _cut_flight(world: World, own: Any) -> None:
    """Let nothing that happens in the pool frighten anybody; the tokens just stay, nobody pays."""
    own[1].terms[[PRICE_TRIGGER, LOSS_TRIGGER]] = np.inf
    own[1].terms[PAR] = -np.inf


# --- reading -------------------------------------------------------------------------------------


def columns(world: World, site: PopulationSite, own: Any) -> dict[str, Any]:
    """Return computed columns of providers, each (n,).

    `value_usd` is what a provider would take out, fees included, at the fundamental prices of now;
    `liquidity` its shares or liquidity; `is_in_range` whether it earns fees.
    """
    venue, share = (int(word) for word in own[0].number[[VENUE, SHARE]])
    row = int(world.venues.row[venue])

    def mine() -> tuple[np.ndarray, np.ndarray]:
        position = world.shared[ConcentratedState].position
        at = np.flatnonzero((position["pool"] == row) & (position["group"] == site.group))
        return at, position["account"][at]

    def liquidity() -> np.ndarray:
        if share >= 0:
            return np.array(world.balances(site.name, share))
        found = np.zeros(site.rows)
        at, account = mine()
        found[account] = world.shared[ConcentratedState].position["liquidity"][at]
        return found

    def value_usd() -> np.ndarray:
        usd = world.prices.fundamental[[world.venues.token0[venue], world.venues.token1[venue]]]
        found = np.zeros(site.rows)
        if share >= 0:
            pool = world.shared[ConstantProductState]
            held = pool.reserve0[row] + pool.fees0[row], pool.reserve1[row] + pool.fees1[row]
            return np.asarray(liquidity() * ((np.array(held) @ usd) / pool.supply[row]))
        at, account = mine()
        np.add.at(found, account, position_holdings(world.shared[ConcentratedState])[at] @ usd)
        return found

    def is_in_range() -> np.ndarray:
        held = liquidity() > 0.0
        if share >= 0:
            return held
        price = float(world.shared[ConcentratedState].pool["sqrt_price"][row]) ** 2
        state = own[0]
        is_above, is_below = 1.0001**state.tick_lower <= price, price < 1.0001**state.tick_upper
        return np.asarray(held & is_above & is_below)

    return {"value_usd": value_usd, "liquidity": liquidity, "is_in_range": is_in_range}


KIND = PopulationKind(
    kind="liquidity_providers",
    config=LiquidityProvidersConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=LiquidityProvider,
    tokens=tokens,
    columns=columns,
    role="liquidity_providers",
    channels=(Channel("lp_flight", _cut_flight, _can_flee),),
)
