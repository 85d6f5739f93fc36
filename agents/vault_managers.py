"""Managers of tranche vaults: they invest the vault at the start and raise cash for redemptions.

A manager acts for the account of its vault: deposits in lending markets and liquidity positions are
opened in its name, and so are the orders that close them. It looks at the queue: what will ask to
be paid at the end of the epoch, up to the gate, and a buffer. What cash is missing comes from the
positions in their order, as much as each venue can pay; tokens that are not cash are sold in the
vault's exit pools, at each look as far as the slippage allowed. That is the fire sale. A vault that
winds down closes everything, an insured one nothing. What comes in stays cash: nothing is invested
later.

What a position is and how it is closed comes from an appraisal (`sim.appraisal`); only opening one
knows the kinds of venues.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from agents.population import ColumnarAgent
from sim.amm.concentrated_venue import Openings, provide, range_around
from sim.amm.constant_product import ConstantProductState, scale_pool
from sim.appraisal import APPRAISAL, SEEN, appraise
from sim.chain import clock_at
from sim.errors import InputError
from sim.kernel import F8, I8, blank, columnar, handler, kernel, records, view_of
from sim.ledger import Ledger, balance_of
from sim.lending.building import enter, open_positions, reserve_of
from sim.mempool import Outbox, post
from sim.orders import ROUTINE, SWAP, cause
from sim.prices import Prices
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.tranches.building import hold, set_aside
from sim.tranches.queues import free_cash
from sim.tranches.state import N_HELD, STOPPED, WINDING, TrancheState, price_of, value_of
from sim.units import GWEI, MINUTE, ticks
from sim.venues import Venues, draft

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
_ROUTINE = cause(ROUTINE)
_SMALL = 1e-4  # of the vault's value, what is less waits
VENUE, LOOKED = range(2)  # .number
BUFFER, SLIPPAGE, TIP, GAS, EVERY = range(5)  # .terms


@columnar
class VaultManagerState(NamedTuple):
    """What a manager knows of its vault."""

    number: I8  # int64, (2,): vault's venue, tick of the last look
    terms: F8  # float64, (5,): buffer, slippage, tip, native tokens kept for gas, ticks of a look
    n_exits: I8  # int64, (1,), orders sent that close positions
    n_sales: I8  # int64, (1,), orders sent that sell tokens
    message: records(APPRAISAL)  # type: ignore[valid-type]  # (1,)


class DepositSettings(Config):
    """A deposit of the vault's cash in a lending market."""

    market: str = Field(description="Lending market.")
    share: float = Field(gt=0.0, le=1.0, description="Share of the vault's value at the start.")


class LiquiditySettings(Config):
    """A liquidity position."""

    pool: str = Field(description="Pool.")
    share: float = Field(gt=0.0, le=1.0, description="Share of the vault's value at the start.")
    half_width: float | None = Field(
        None,
        gt=0.0,
        lt=1.0,
        description="Range price x (1 - w) to price / (1 - w); full when left out.",
        json_schema_extra={"unit": "fraction"},
    )


class VaultManagersConfig(Config):
    """The manager of one tranche vault."""

    kind: Literal["vault_managers"]
    chain: str = Field(description="Chain of the vault.")
    vault: str = Field(description="Tranche vault.")
    deposits: list[DepositSettings] = Field([], description="Deposits, the first closed first.")
    liquidity: list[LiquiditySettings] = Field(
        [], description="Liquidity positions, closed after the deposits, in their order."
    )
    buffer: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Cash it keeps beyond what the next epoch pays, as a share of the value.",
    )
    slippage: float = Field(
        0.01,
        gt=0.0,
        lt=1.0,
        description="How far one sale may move the price of a pool.",
        json_schema_extra={"unit": "fraction"},
    )
    look_minutes: float = Field(
        10.0, gt=0.0, description="Time between looks.", json_schema_extra={"unit": "min"}
    )
    gas_usd: float = Field(
        2_000.0,
        gt=0.0,
        description="Native tokens that the vault keeps for gas, part of its value.",
        json_schema_extra={"unit": "USD"},
    )
    tip_gwei: float = Field(
        1.0, ge=0.0, description="Priority fee.", json_schema_extra={"unit": "gwei"}
    )

    @model_validator(mode="after")
    def _check(self) -> VaultManagersConfig:
        total = sum(part.share for part in self.deposits)
        total += sum(part.share for part in self.liquidity)
        if total > 1.0 + 1e-12:
            raise ValueError(f"deposits and liquidity add up to {total:g} of the vault; at most 1")
        return self


class VaultManager(ColumnarAgent):
    """The manager: a view on its row."""


unpack = view_of(VaultManagerState, TrancheState, Outbox, Ledger, Prices, Venues)


@kernel
def cash_needed(me, state, ledger, row):  # type: ignore[no-untyped-def]
    """Return the cash that the next epoch will pay, and the buffer, less the cash there."""
    vault, total = state.vaults[row], value_of(state, row)
    if vault.stage == WINDING:
        return math.inf
    needed = me.terms[BUFFER] * total
    for k in range(vault.n_tranches):
        asked = state.asked[row, k] * price_of(state, ledger, row, k)
        needed += min(asked, vault.gate * state.nav[row, k])
        needed -= state.joining[row, k]
    return needed - free_cash(state, ledger, row)


@kernel
def post_exit(me, box, venues, vault, found, part, now):  # type: ignore[no-untyped-def]
    """Send the order that closes a part of a position, as its appraisal says."""
    order = draft(box, venues, found.venue, found.verb, vault.group, vault.account, now)
    order.a, order.b = found.a, found.b
    order.amount = found.units * part
    order.tip, order.parent = me.terms[TIP], _ROUTINE
    order.max_fee += order.tip
    me.n_exits[0] += 1
    post(box, order)


@kernel
def spare_of(me, state, box, ledger, row, token):  # type: ignore[no-untyped-def]
    """Return what a vault has of a token to sell: all but the gas."""
    vault = state.vaults[row]
    amount = balance_of(ledger, vault.group, vault.account, token)
    if token == box.chains[vault.chain].native:
        amount -= me.terms[GAS]
    return max(amount, 0.0)


@kernel
def unsold(me, state, box, ledger, prices, row):  # type: ignore[no-untyped-def]
    """Return what tokens are worth that are about to be sold, cash."""
    usd = 0.0
    for token in range(state.sale.shape[1]):
        if state.sale[row, token] >= 0:
            usd += spare_of(me, state, box, ledger, row, token) * prices.reference[token]
    return usd / prices.reference[state.vaults[row].cash]


@kernel(inline=False)
def raise_cash(me, state, box, ledger, prices, venues, row, now):  # type: ignore[no-untyped-def]
    """Close positions in their order until they bring the cash that is missing."""
    vault, least = state.vaults[row], _SMALL * value_of(state, row)
    missing = cash_needed(me, state, ledger, row)
    missing -= unsold(me, state, box, ledger, prices, row)
    for n in range(state.counter[N_HELD]):
        holding = state.holdings[n]
        if missing <= least or holding.vault != row:
            continue
        found = appraise(
            venues, me.message, holding.venue, vault.group, vault.account, holding.a, holding.b,
            SEEN, now,
        )  # fmt: skip
        usd = 0.0
        if found.token0 >= 0:
            usd += found.amount0 * prices.reference[found.token0]
        if found.token1 >= 0:
            usd += found.amount1 * prices.reference[found.token1]
        value = usd / prices.reference[vault.cash]
        if value <= least or found.available <= 0.0:
            continue
        part = min(missing / value, found.available, 1.0)
        post_exit(me, box, venues, vault, found, part, now)
        missing -= part * value


@kernel(inline=False)
def sell_tokens(me, state, box, ledger, venues, row, clock):  # type: ignore[no-untyped-def]
    """Sell what is not cash in the vault's exit pools, as far as the slippage allows."""
    vault = state.vaults[row]
    for token in range(state.sale.shape[1]):
        pool = state.sale[row, token]
        if pool < 0:
            continue
        amount = spare_of(me, state, box, ledger, row, token)
        price, keep = venues.price[pool], 1.0 - me.terms[SLIPPAGE]
        if amount <= 0.0 or price <= 0.0:
            continue
        side = 0 if venues.token0[pool] == token else 1
        order = draft(box, venues, pool, SWAP, vault.group, vault.account, clock.now)
        order.a, order.amount = side, amount
        order.token_in, order.token_out = token, vault.cash
        order.price_limit = price * keep if side == 0 else price / keep
        order.tip, order.parent = me.terms[TIP], _ROUTINE
        order.max_fee += order.tip
        order.expires = clock.now + int(me.terms[EVERY])
        me.n_sales[0] += 1
        post(box, order)


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Look at the queue and the cash now and then, and sell."""
    me, state, box, ledger, prices, venues = unpack(binding)
    clock = clock_at(message)
    row = venues.row[me.number[VENUE]]
    vault = state.vaults[row]
    if clock.now < me.number[LOOKED] + me.terms[EVERY]:
        return OK
    if vault.stage == STOPPED or vault.is_insured == 1:
        return OK
    me.number[LOOKED] = clock.now
    sell_tokens(me, state, box, ledger, venues, row, clock)
    raise_cash(me, state, box, ledger, prices, venues, row, clock.now)
    return OK


# --- building ------------------------------------------------------------------------------------


def make(world: World, site: PopulationSite) -> VaultManagerState:
    """Return a manager, and invest its vault."""
    config = site.config
    vault = world.venue(config.vault)
    value_usd = world.plan.venues[vault].config.value_usd
    for deposit in config.deposits:
        _supply(world, vault, deposit.market, deposit.share * value_usd)
    for position in config.liquidity:
        _provide(world, vault, position, position.share * value_usd)
    every = ticks(config.look_minutes * MINUTE)
    gas = _gas_of(world, site)
    return VaultManagerState(
        number=np.array([vault, -every], np.int64),
        terms=np.array([config.buffer, config.slippage, config.tip_gwei * GWEI, gas, every], float),
        n_exits=np.zeros(1, np.int64),
        n_sales=np.zeros(1, np.int64),
        message=blank(1, APPRAISAL),
    )


def _account(world: World, vault: int) -> tuple[int, int]:
    return int(world.venues.group[vault]), int(world.venues.account[vault])


def _supply(world: World, vault: int, market: str, usd: float) -> None:
    """Enter a deposit of the vault in a lending market."""
    symbol, venue = world.plan.venues[vault].config.token, world.venue(market)
    group, account = _account(world, vault)
    reserve = reserve_of(world, venue, symbol)
    position = open_positions(world, venue, group, np.array([account]))
    token = world.token(world.plan.venues[vault].chain, symbol)
    amount = usd / float(world.prices.fundamental[token])
    enter(world, position, reserve, np.array([amount]), are_debts=False)
    hold(world, vault, venue, int(position[0]), reserve, usd)


def _provide(world: World, vault: int, settings: LiquiditySettings, usd: float) -> None:
    """Enter a liquidity position of the vault in a pool."""
    venue = world.venue(settings.pool)
    kind, row = world.plan.venues[venue].mechanism.kind, int(world.venues.row[venue])
    group, account = _account(world, vault)
    if kind == "concentrated_liquidity":
        own = world.states[kind]
        spacing, price = int(own[0].pool["tick_spacing"][row]), float(world.venues.price[venue])
        bounds = range_around(price, settings.half_width, spacing)
        lower, upper = (np.array([tick], np.int64) for tick in bounds)
        openings = Openings(np.array([account], np.int64), lower, upper, np.array([usd]))
        world.replace_state(kind, provide(world, own, row, group, openings))
        hold(world, vault, venue, *bounds, usd)
        return
    if kind != "constant_product" or settings.half_width is not None:
        raise InputError(
            f"'{settings.pool}' is a {kind}; a vault provides to constant_product pools, without "
            "half_width, and to concentrated_liquidity pools"
        )
    _take_shares(world, row, group, account, usd)
    hold(world, vault, venue, 0, 0, usd)


def _take_shares(world: World, row: int, group: int, account: int, usd: float) -> None:
    """Add liquidity to a constant product pool for the vault's account."""
    pools = world.shared[ConstantProductState]
    held = (
        (int(pools.token0[row]), float(pools.reserve0[row])),
        (int(pools.token1[row]), float(pools.reserve1[row])),
    )
    factor = usd / sum(amount * float(world.prices.fundamental[token]) for token, amount in held)
    world.endow(group, account, int(pools.share[row]), factor * float(pools.supply[row]))
    for token, amount in held:
        world.endow(int(pools.group[row]), int(pools.account[row]), token, amount * factor)
    scale_pool(pools, row, 1.0 + factor)


def _gas_of(world: World, site: PopulationSite) -> float:
    """Return the native tokens that the vault keeps for gas."""
    native = int(world.box.chains[site.chain]["native"])
    if native < 0:
        return 0.0
    return float(site.config.gas_usd / world.prices.fundamental[native])


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give the vault its gas, out of its value."""
    native, vault = int(world.box.chains[site.chain]["native"]), int(state.number[VENUE])
    if native >= 0:
        world.endow(*_account(world, vault), native, _gas_of(world, site))
        set_aside(world, vault, site.config.gas_usd)


def tokens(world: World, site: PopulationSite) -> list[int]:
    """Return what managers hold in their own name: nothing but gas, of which they need none."""
    native = world.plan.chains[site.chain].native
    return [world.token(site.config.chain, native)] if native else []


KIND = PopulationKind(
    kind="vault_managers",
    role="tranche_investors",  # what it holds is theirs
    config=VaultManagersConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=VaultManager,
    tokens=tokens,
)
