"""Liquidators: they repay the debts of unsafe accounts and take collateral with a bonus.

Before each block every liquidator goes through the unsafe accounts of its market, those that
promise it most first, chooses debt, collateral and size, and bids a share of the expected profit as
priority fee; some bid a fixed gas price whatever blocks cost. They compete: an order that comes
second fails and pays gas. They pay with inventory, or with a flash loan where a lender has cash.
Collateral is sold in a pool in the same order, on the reference market after a deposit delay, or
kept.

Where the market is short of the collateral's cash, those who accept claims take over the claim
itself, at a discount to what holding the collateral would be worth, and withdraw when there is cash
again; the others leave the account alone, or repay only as much as the cash covers.

Liquidators do not foresee the impact of their own sale on the reference market, nor each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from agents.liquidation_funds import (
    LiquidationFunds,
    count_purse,
    free_entry,
    make_funds,
    restore,
)
from agents.liquidation_orders import (
    DISCOUNT,
    FLASH_FEE,
    GROUP,
    LENDER,
    MARKET,
    PER_BLOCK,
    Board,
    LiquidatorState,
    borrow_purse,
    choose,
    make_board,
    pursue,
    redeem,
)
from agents.liquidation_search import MARKET as WATCHED
from agents.liquidation_search import N_FOUND, CandidateList, look, make_candidates
from agents.liquidation_size import REFERENCE, quote_exits
from agents.liquidator_gas import GasTank, make_tank, refuel
from agents.liquidator_means import (
    check_exits,
    endowment_of,
    exits_of,
    feeds_of,
    gas_of,
    inventory_tokens,
    lender_reserves,
    most_accounts,
    pools_of,
    split_rows,
    tokens,
)
from agents.population import ColumnarAgent
from sim.chain import clock_at
from sim.draws import uniform_column
from sim.exchange import ExchangeState, exchange_of
from sim.feeds import Feeds
from sim.kernel import handler, view_of
from sim.ledger import Ledger, balance_of
from sim.lending.building import open_positions
from sim.lending.near_accounts import NearAccounts, make_near_accounts
from sim.lending.state import LendingState
from sim.lending.verbs import LendingDesk
from sim.mempool import Outbox
from sim.orders import FILL, cause
from sim.prices import Prices
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import GWEI, TICKS_PER_SECOND, ticks
from sim.venues import Venues

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
_FILL = cause(FILL)
_REDEEM = 600 * TICKS_PER_SECOND  # claims are redeemed every ten minutes, as far as there is cash
_TRIES = 32  # candidates that one liquidator sizes before a block, at most

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class ExitShares(Config):
    """Shares of those with inventory, by what they do with collateral; they add up to 1."""

    pool: Share = Field(1.0, description="Sell it in a pool, in the same order.")
    reference: Share = Field(0.0, description="Deposit and sell it on the reference market.")
    hold: Share = Field(0.0, description="Keep it.")

    @model_validator(mode="after")
    def _check(self) -> ExitShares:
        total = self.pool + self.reference + self.hold
        if abs(total - 1.0) > 1e-9:
            raise ValueError(
                f"the shares of pool, reference and hold add up to {total:g}, not to 1"
            )
        return self


class LiquidatorsConfig(Config):
    """Liquidators of one lending market."""

    kind: Literal["liquidators"]
    chain: str = Field(description="Chain of the market.")
    market: str = Field(description="Lending market.")
    count: int = Field(gt=0, le=1_000, description="Number of liquidators.")
    inventory_usd: float = Field(
        0.0,
        ge=0.0,
        description="Inventory of all those without flash loans, in equal parts of each token.",
        json_schema_extra={"unit": "USD", "stress": {"liquidator_capital": "multiply"}},
    )
    largest_share: float = Field(
        0.4,
        gt=0.0,
        le=1.0,
        description="The largest one's share of it; the others' fall off evenly.",
    )
    inventory_tokens: list[str] | None = Field(
        None,
        min_length=1,
        description="Symbols of the inventory; all that can be borrowed if left out.",
    )
    pools: list[str] | None = Field(
        None, description="Pools for collateral; all pools of two tokens of the market if left out."
    )
    exit: ExitShares = Field(
        ExitShares(pool=1.0, reference=0.0, hold=0.0), description="What those with inventory do."
    )
    deposit_delay_seconds: float = Field(
        0.0,
        ge=0.0,
        description="Time to the reference market, where that counts no confirmations of the "
        "chain itself (`reference_market.deposits`).",
        json_schema_extra={"unit": "s"},
    )
    risk_discount: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Fraction they take off prices of collateral not sold at once.",
    )
    claim_share: Share = Field(
        0.0,
        description="Share of those with inventory who take over the claim where the market is "
        "short of cash.",
    )
    claim_discount: float = Field(
        0.02, ge=0.0, lt=1.0, description="Fraction they take off prices of such a claim."
    )
    flash_share: Share = Field(0.0, description="Share of liquidators who pay with flash loans.")
    flash_market: str | None = Field(None, description="Lending market that lends to them.")
    tip_share: Share = Field(0.3, description="Share of the expected profit bid as priority fee.")
    static_share: Share = Field(0.0, description="Share of liquidators with a fixed gas price.")
    static_gwei: Annotated[tuple[float, float], Field(strict=False)] = Field(
        (10.0, 40.0),
        description="Lowest and highest of those prices.",
        json_schema_extra={"unit": "gwei"},
    )
    static_expires_seconds: float = Field(
        600.0, gt=0.0, description="How long a fixed bid waits.", json_schema_extra={"unit": "s"}
    )
    min_profit_usd: float = Field(
        0.0,
        ge=0.0,
        description="Least expected profit after gas.",
        json_schema_extra={"unit": "USD"},
    )
    reaction_seconds: float = Field(
        0.0,
        ge=0.0,
        description="Time from when an account is first unsafe until they know of it.",
        json_schema_extra={"unit": "s"},
    )
    reaction_spread_seconds: float = Field(
        0.0, ge=0.0, description="Spread of that time over agents.", json_schema_extra={"unit": "s"}
    )
    max_per_block: int = Field(
        4, gt=0, le=32, description="Orders of one liquidator before one block."
    )
    preference_spread: Share = Field(
        0.5,
        description="How far taste may lower the rank of an account, so that they choose apart.",
    )
    gas_usd: float = Field(
        10_000.0,
        gt=0.0,
        description="Native tokens of each for gas.",
        json_schema_extra={"unit": "USD"},
    )
    refuel_below: Share = Field(
        0.5,
        description="Share of that below which those who do not sell on the reference market buy "
        "gas; 0: never.",
    )

    @model_validator(mode="after")
    def _check(self) -> LiquidatorsConfig:
        if self.flash_share > 0.0 and self.flash_market is None:
            raise ValueError("flash_share is above 0: name the flash_market that lends to them")
        if not 0.0 < self.static_gwei[0] <= self.static_gwei[1]:
            raise ValueError("static_gwei must be two numbers above 0, the lower one first")
        return self


class Liquidator(ColumnarAgent):
    """One liquidator: a view on a row of its population."""


unpack = view_of(
    LiquidatorState,
    CandidateList,
    LiquidationFunds,
    Board,
    LendingState,
    Outbox,
    Ledger,
    Prices,
    Venues,
    Feeds,
    ExchangeState,
    GasTank,
    NearAccounts,
)


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Look for unsafe accounts, then let every liquidator sell, and pursue those it likes best."""
    (
        hunters, watch, funds, board, lending, box, ledger, prices, venues, feeds, desk, tank, near
    ) = unpack(binding)  # fmt: skip
    clock = clock_at(message)
    now, chain, number = clock.now, box.chains[clock.chain], hunters.number[0]
    look(watch, near, lending, feeds.fill, now)
    market, lender = watch.number[WATCHED], number[LENDER]
    first, n = lending.markets[market].first_reserve, hunters.exit.shape[0]
    is_open = venues.is_halted[number[MARKET]] == 0 and watch.number[N_FOUND] > 0
    if is_open:
        quote_exits(
            board, lending, prices, venues, hunters.pools[0], market, hunters.terms[0, DISCOUNT]
        )
    native_usd, last = prices.reference[chain.native], venues.last_fill[number[MARKET]]
    asked = funds.asked
    for row in range(n):
        if hunters.exit[row] == REFERENCE:
            parent = _FILL * (last > 0) + last
            restore(funds, box, ledger, prices.reference, venues, desk, row, parent, now)
        else:
            refuel(
                tank, funds, hunters.pools[0], box, ledger, prices.reference, venues, desk, row,
                clock,
            )  # fmt: skip
        if hunters.claim_position[row] >= 0 and now >= hunters.redeem_due[row]:
            hunters.redeem_due[row] = now + _REDEEM
            redeem(hunters, lending, box, venues, row, now)
        if not is_open:
            continue
        fuel = balance_of(ledger, number[GROUP], row, chain.native)
        kept = min(fuel, tank.first[row])
        if hunters.is_flash[row] == 0:
            board.cost[:] = 1.0
            count_purse(board.purse, funds, ledger, lending, first, row, chain.native, kept, now)
        else:
            borrow_purse(board, lending, hunters.terms[0, FLASH_FEE], venues.is_halted[lender])
        static = hunters.static_price[row]
        gas_usd = hunters.gas[row] * native_usd * (static if static > 0.0 else chain.base_fee)
        # several orders of one block share what it holds for gas
        share = number[PER_BLOCK] * hunters.gas[row]
        most_tip = fuel / share - chain.base_fee
        if most_tip <= 0.0:
            continue
        money = (gas_usd, native_usd, most_tip, kept / share - chain.base_fee)
        posted, look_id = 0, clock.height * n + row + 1
        for _ in range(_TRIES):
            if posted == number[PER_BLOCK] or free_entry(asked, lending, row, now) < 0:
                break
            k = choose(hunters, board, watch, asked, lending, first, row, look_id, gas_usd, now)
            if k < 0:
                break
            target = watch.found[k]
            target.looked = look_id
            posted += pursue(
                hunters, board, asked, lending, box, venues, row, target, first, money, clock
            )
    return OK


# --- building ------------------------------------------------------------------------------------


def make(
    world: World, site: PopulationSite
) -> tuple[LiquidatorState, CandidateList, LiquidationFunds, Board, GasTank, NearAccounts]:
    """Return the columns of a population of liquidators."""
    config = site.config
    held = tokens(world, site)
    market, exchange = world.venue(config.market), exchange_of(world)
    exit_, is_flash = exits_of(site, world.seed)
    lender = world.venue(config.flash_market) if config.flash_market is not None else -1
    state = _hunters(world, site, exit_, is_flash, lender)
    auction = world.box.chains["interval"][world.venues.chain[exchange]] if exchange >= 0 else 0
    terms = (ticks(config.deposit_delay_seconds), int(auction), inventory_tokens(world, site)[0])
    funds = make_funds(site.group, held, endowment_of(world, site, is_flash), exchange, terms)
    row = int(world.venues.row[market])
    board = make_board(lender_reserves(world, site, lender))
    n_reserves = len(world.shared[LendingState].reserves)
    watch = make_candidates(row, feeds_of(world, row), most_accounts(world), n_reserves)
    native = int(world.box.chains[site.chain]["native"])
    gas = np.full(site.rows, config.gas_usd / world.prices.fundamental[native])
    near = make_near_accounts(most_accounts(world), n_reserves)
    return state, watch, funds, board, make_tank(gas, config.refuel_below), near


def _hunters(
    world: World, site: PopulationSite, exit_: np.ndarray, is_flash: np.ndarray, lender: int
) -> LiquidatorState:
    """Return each liquidator's means and manners; the lender of flash loans is -1 for none."""
    config, n = site.config, site.rows
    pools = pools_of(world, site)
    check_exits(world, site, exit_, pools)
    fee = world.shared[LendingDesk].flash_fee[world.venues.row[lender]] if lender >= 0 else 0.0
    terms = [
        config.min_profit_usd,
        config.risk_discount,
        config.preference_spread,
        fee,
        config.claim_discount,
    ]
    number = [
        site.group,
        world.venue(config.market),
        lender,
        config.max_per_block,
        world.seed,
        site.stream,
        ticks(config.static_expires_seconds),
    ]
    slow = uniform_column(world.seed, f"{site.name}:reaction", n) * config.reaction_spread_seconds
    return LiquidatorState(
        exit=exit_,
        is_flash=is_flash,
        gas=gas_of(world, site, exit_, is_flash, pools),
        tip_share=np.full(n, config.tip_share),
        static_price=_static_prices(site, world.seed),
        reaction=np.array([ticks(config.reaction_seconds + extra) for extra in slow], np.int64),
        n_orders=np.zeros(n, np.int64),
        pools=pools.reshape(1, -1),
        terms=np.array([terms]),
        claim_position=_claim_positions(world, site, is_flash),
        redeem_due=np.zeros(n, np.int64),
        number=np.array([number], np.int64),
    )


def _static_prices(site: PopulationSite, seed: int) -> np.ndarray:
    """Return the gas price that each always bids: float64, (n,), native tokens; 0: it follows."""
    config = site.config
    is_static = split_rows(site, seed, "static", [config.static_share, 1.0 - config.static_share])
    low, high = config.static_gwei
    price = low + (high - low) * uniform_column(seed, f"{site.name}:price", site.rows)
    return np.where(is_static == 0, price * GWEI, 0.0)


def _claim_positions(world: World, site: PopulationSite, is_flash: np.ndarray) -> np.ndarray:
    """Open a position for each liquidator that accepts claims: int64, (n,), -1: none."""
    config, made = site.config, np.full(site.rows, -1, np.int64)
    parts = split_rows(site, world.seed, "claims", [config.claim_share, 1.0 - config.claim_share])
    rows = np.flatnonzero((parts == 0) & (is_flash == 0))
    if len(rows):
        made[rows] = open_positions(world, world.venue(config.market), site.group, rows)
    return made


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give every liquidator its inventory, and gas."""
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
    kind="liquidators",
    config=LiquidatorsConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=Liquidator,
    role="liquidators",
    tokens=tokens,
    columns=columns,
)
