"""Keepers of CDP markets: they start auctions, bid, buy and settle, with the debt tokens they have.

Before each block every keeper looks at the unsafe vaults and the open auctions of its market. In
markets with a fixed spread it liquidates. In English auctions *direct* keepers bid all that a lot
is worth to them at once; *patient* ones bid as little as wins, which is nothing where nobody has
bid. So a lot goes for nothing when the direct ones have no debt tokens left, or when their orders
do not get into blocks. In Dutch auctions all wait until the price leaves them their margin.

Collateral is sold in a pool (in the same order where it was bought, in the next block where it was
won), on the reference market after a deposit delay, or kept. Only then are there new debt tokens.

Keepers do not foresee the impact of their own sale on the reference market, nor each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from agents.keeper_orders import pursue_auctions, pursue_vaults, sell_in_pool
from agents.keeper_state import (
    ASKED,
    MARKET,
    N_ASKED,
    VENUE,
    KeeperState,
    WatchList,
    look,
    make_watch_list,
    purse_of,
)
from agents.liquidation_funds import LiquidationFunds, make_funds, restore
from agents.liquidation_size import POOL, REFERENCE
from agents.liquidator_means import inventory_shares, split_rows
from agents.liquidators import ExitShares
from agents.population import ColumnarAgent
from sim.cdp.state import CdpState
from sim.chain import clock_at
from sim.draws import uniform_column
from sim.errors import InputError
from sim.exchange import ExchangeState, exchange_of
from sim.feeds import Feeds
from sim.kernel import handler, view_of
from sim.ledger import Ledger
from sim.mempool import Outbox
from sim.orders import FILL, cause
from sim.prices import Prices
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import GWEI, ticks
from sim.venues import Venues

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
_FILL = cause(FILL)

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class KeepersConfig(Config):
    """Keepers of one CDP market."""

    kind: Literal["keepers"]
    chain: str = Field(description="Chain of the market.")
    cdp: str = Field(description="CDP market.")
    count: int = Field(gt=0, le=1_000, description="Number of keepers.")
    inventory_usd: float = Field(
        0.0,
        ge=0.0,
        description="Debt tokens of all keepers at the start.",
        json_schema_extra={"unit": "USD", "stress": {"liquidator_capital": "multiply"}},
    )
    largest_share: float = Field(
        0.4,
        gt=0.0,
        le=1.0,
        description="The largest one's share of it; the others' fall off evenly.",
    )
    margin_low: float = Field(
        0.03, ge=0.0, lt=1.0, description="Least share of the proceeds that a keeper wants to keep."
    )
    margin_high: float = Field(0.10, ge=0.0, lt=1.0, description="Largest such share.")
    direct_share: Share = Field(
        0.7, description="Share of keepers who bid all that a lot is worth to them at once."
    )
    opening_share: Share = Field(
        0.0, description="First bid of the others, over what the lot is worth to them."
    )
    raise_share: float = Field(
        0.05,
        gt=0.0,
        le=1.0,
        description="Least bid of the others against another bid, over what the lot is worth.",
    )
    pools: list[str] | None = Field(
        None, description="Pools for collateral; all pools of both tokens if left out."
    )
    exit: ExitShares = Field(
        ExitShares(pool=1.0, reference=0.0, hold=0.0), description="What they do with collateral."
    )
    deposit_delay_seconds: float = Field(
        0.0, ge=0.0, description="Time to the reference market.", json_schema_extra={"unit": "s"}
    )
    min_profit_usd: float = Field(
        0.0,
        ge=0.0,
        description="Least expected profit after gas and margin.",
        json_schema_extra={"unit": "USD"},
    )
    tip_gwei: float = Field(
        2.0, ge=0.0, description="Priority fee they bid.", json_schema_extra={"unit": "gwei"}
    )
    expires_seconds: float = Field(
        600.0, gt=0.0, description="How long an order waits.", json_schema_extra={"unit": "s"}
    )
    max_per_block: int = Field(
        8, gt=0, le=32, description="Orders of one keeper before one block, of each kind."
    )
    gas_usd: float = Field(
        10_000.0,
        gt=0.0,
        description="Native tokens of each for gas.",
        json_schema_extra={"unit": "USD"},
    )

    @model_validator(mode="after")
    def _check(self) -> KeepersConfig:
        if self.margin_low > self.margin_high:
            raise ValueError(
                f"margin_low ({self.margin_low:g}) must not exceed margin_high "
                f"({self.margin_high:g})"
            )
        return self


class Keeper(ColumnarAgent):
    """One keeper: a view on a row of its population."""


unpack = view_of(
    KeeperState,
    WatchList,
    LiquidationFunds,
    CdpState,
    Outbox,
    Ledger,
    Prices,
    Venues,
    Feeds,
    ExchangeState,
)


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Look for unsafe vaults, then let every keeper sell, bite or liquidate, bid or buy."""
    keepers, watch, funds, cdp, box, ledger, prices, venues, feeds, desk = unpack(binding)
    clock = clock_at(message)
    now, venue = clock.now, keepers.number[0, VENUE]
    market = keepers.number[0, MARKET]
    feed = cdp.markets[market].price_feed
    look(watch, cdp, market, venues.last_fill[feeds.venue[feed]], now)
    last = venues.last_fill[venue]
    parent = _FILL * (last > 0) + last
    for row in range(keepers.exit.shape[0]):
        if keepers.exit[row] == REFERENCE:
            restore(funds, box, ledger, prices.reference, venues, desk, row, parent, now)
        elif keepers.exit[row] == POOL:
            sell_in_pool(keepers, funds, cdp, box, ledger, prices, venues, row, 0, clock)
        if venues.is_halted[venue] != 0:
            continue
        purse = purse_of(keepers, cdp, box, ledger, clock.chain, row, now)
        _, purse = pursue_vaults(
            keepers, watch, cdp, box, ledger, prices, venues, row, purse, clock
        )
        pursue_auctions(keepers, cdp, box, ledger, prices, venues, row, purse, clock)
    return OK


# --- building ------------------------------------------------------------------------------------


def tokens(world: World, site: PopulationSite) -> list[int]:
    """Return what keepers can hold: collateral, which comes first, debt token and gas."""
    plan = world.plan.venues[world.venue(site.config.cdp)]
    symbols = (plan.config.collateral, plan.config.debt, world.plan.chains[site.chain].native)
    return list(dict.fromkeys(world.token(site.config.chain, symbol) for symbol in symbols))


def pools_of(world: World, site: PopulationSite) -> np.ndarray:
    """Return the pools where collateral can be sold: int64, (n_pools,), venue numbers.

    Raises
    ------
    InputError
        A pool that is named is none of the two tokens.
    """
    pair = set(tokens(world, site)[:2])
    found = [
        number
        for number, plan in enumerate(world.plan.venues)
        if plan.mechanism.quote is not None
        and {int(world.venues.token0[number]), int(world.venues.token1[number])} == pair
    ]
    named = site.config.pools
    if named is None:
        return np.array(found, np.int64)
    for name in named:
        if world.venue(name) not in found:
            raise InputError(
                f"populations.{site.name}.pools: '{name}' is no pool of the collateral and the "
                f"debt token of '{site.config.cdp}'"
            )
    return np.array([world.venue(name) for name in named], np.int64)


def endowment_of(world: World, site: PopulationSite) -> np.ndarray:
    """Return what each keeper starts with: float64, (n, n_tokens), token units."""
    config, held, value = site.config, tokens(world, site), world.prices.fundamental
    made = np.zeros((site.rows, len(held)))
    try:
        shares = inventory_shares(site.rows, config.largest_share)
    except InputError as error:
        raise InputError(f"populations.{site.name}: {error}") from None
    made[:, 1] = shares * config.inventory_usd / value[held[1]]
    native = int(world.box.chains[site.chain]["native"])
    made[:, held.index(native)] += config.gas_usd / value[native]
    return made


def _check_exits(world: World, site: PopulationSite, exit_: np.ndarray, pools: np.ndarray) -> None:
    debt = tokens(world, site)[1]
    if (exit_ == POOL).any() and not len(pools):
        raise InputError(
            f"populations.{site.name}: there is no pool of the two tokens of '{site.config.cdp}'; "
            "add one, or set exit to reference or hold"
        )
    if (exit_ == REFERENCE).any() and (exchange_of(world) < 0 or world.prices.is_listed[debt] == 0):
        raise InputError(
            f"populations.{site.name}: exit.reference needs a reference_market in the scenario on "
            "which the debt token is listed"
        )


def make(world: World, site: PopulationSite) -> tuple[KeeperState, WatchList, LiquidationFunds]:
    """Return the columns of a population of keepers."""
    config, n, seed = site.config, site.rows, world.seed
    held, exchange = tokens(world, site), exchange_of(world)
    shares = [config.exit.pool, config.exit.reference, config.exit.hold]
    exit_ = split_rows(site, seed, "exit", shares)
    pools = pools_of(world, site)
    _check_exits(world, site, exit_, pools)
    is_direct = split_rows(site, seed, "direct", [1.0 - config.direct_share, config.direct_share])
    spread = config.margin_high - config.margin_low
    venue = world.venue(config.cdp)
    asked = np.zeros(n * N_ASKED, ASKED)
    asked["until"] = -1
    state = KeeperState(
        exit=exit_,
        is_direct=is_direct,
        margin=config.margin_low + spread * uniform_column(seed, f"{site.name}:margin", n),
        selling=np.full(n, -1, np.int64),
        n_orders=np.zeros(n, np.int64),
        asked=asked,
        pools=pools.reshape(1, -1),
        terms=np.array(
            [
                [
                    config.min_profit_usd,
                    config.tip_gwei * GWEI,
                    config.opening_share,
                    config.raise_share,
                ]
            ]
        ),
        number=np.array(
            [
                [
                    site.group,
                    venue,
                    int(world.venues.row[venue]),
                    config.max_per_block,
                    ticks(config.expires_seconds),
                ]
            ],
            np.int64,
        ),
    )
    auction = world.box.chains["interval"][world.venues.chain[exchange]] if exchange >= 0 else 0
    terms = (ticks(config.deposit_delay_seconds), int(auction), held[1])
    funds = make_funds(site.group, held, endowment_of(world, site), exchange, terms)
    return state, make_watch_list(), funds


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give every keeper its debt tokens, and gas."""
    funds = state[2]
    for column, token in enumerate(funds.tokens[0]):
        world.endow_column(site.group, int(token), funds.endowment[:, column])


def columns(world: World, site: PopulationSite, state: Any) -> dict[str, Any]:
    """Return `profit_usd`: what each holds less what it had, at reference prices, USD."""
    funds = state[2]

    def profit() -> np.ndarray:
        gained = np.zeros(site.rows)
        for column, token in enumerate(funds.tokens[0]):
            change = world.balances(site.name, int(token)) - funds.endowment[:, column]
            gained += change * world.prices.reference[token]
        return gained

    return {"profit_usd": profit}


KIND = PopulationKind(
    kind="keepers",
    config=KeepersConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=Keeper,
    tokens=tokens,
    columns=columns,
)
