"""Lending markets as venues: orders, prices from feeds, the ledger, records and checks.

The rules are in `sim.lending.market` and `sim.lending.liquidation`. Here an order becomes a call of
them and the transfers that follow. Prices are read from the feeds of the market before anything
that depends on them.

Arguments of the verbs: `a` is the sender's position (for a liquidation the borrower's), `b` the
reserve (for a liquidation `pair_of(debt reserve, collateral reserve)`), `amount` tokens, inf =
all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from sim.chain import clock_at
from sim.engine import GENESIS, OUTSIDE
from sim.errors import InputError, InvariantError
from sim.feeds import Feeds, read_feed
from sim.kernel import F8, I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of, slot, transfer
from sim.lending.account import health_factor
from sim.lending.book import enter_book
from sim.lending.config import CloseBase, LossBearer, MarketConfig, ReserveConfig
from sim.lending.liquidation import UNDERLYING, liquidate, quote_liquidate
from sim.lending.market import borrow, repay, supply, withdraw
from sim.lending.reserve import (
    accrue,
    borrow_index_at,
    borrow_rate,
    supply_index_at,
    supply_rate,
    utilization,
)
from sim.lending.shocks import SHOCKS
from sim.lending.state import LendingState, add_positions, make_state
from sim.mempool import Outbox
from sim.orders import FLASH_LOAN, FLASH_REPAY, order_at
from sim.prices import Prices
from sim.registry import Claim, Config, Mechanism, VenueSite, Verb
from sim.status import Status
from sim.units import TICKS_PER_SECOND
from sim.venues import Venues

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.world import World

OK = int(Status.OK)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
NO_POSITION = int(Status.NO_POSITION)
NO_CASH = int(Status.NO_CASH)
SLIPPAGE = int(Status.SLIPPAGE)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
_TO_REPAYMENT = FLASH_REPAY - FLASH_LOAN
_HALF = 32
_MASK = (1 << _HALF) - 1


@columnar
class LendingDesk(NamedTuple):
    """What the markets need beside their own tables."""

    account: I8  # int64, (n_markets,), account of each market in the group of lending markets
    group: I8  # int64, (1,), that group
    flash_fee: F8  # float64, (n_markets,), fraction of a flash loan
    unsafe_since: I8  # int64, (n_positions,), tick since which the health factor at reference
    # prices is below 1, as of the last sample; -1: it is not


class ReserveSettings(Config):
    """One asset of a lending market."""

    feed: str = Field(description="Oracle that prices the asset here.")
    base_rate: float = Field(
        0.0,
        ge=0.0,
        description="Borrow rate without utilization.",
        json_schema_extra={"unit": "1/year"},
    )
    slope1: float = Field(
        0.055,
        ge=0.0,
        description="Rate added up to the kink.",
        json_schema_extra={"unit": "1/year"},
    )
    slope2: float = Field(
        0.60,
        ge=0.0,
        description="Rate added beyond the kink.",
        json_schema_extra={"unit": "1/year"},
    )
    kink: float = Field(0.90, gt=0.0, le=1.0, description="Utilization at which the slope changes.")
    reserve_factor: float = Field(
        0.10, ge=0.0, le=1.0, description="Share of interest that goes to the treasury."
    )
    loan_to_value: float = Field(
        0.75, ge=0.0, le=1.0, description="Share of collateral value that can be borrowed."
    )
    liquidation_threshold: float = Field(
        0.80, ge=0.0, le=1.0, description="Share of collateral value that may be owed."
    )
    liquidation_bonus: float = Field(
        0.05, ge=0.0, le=1.0, description="What a liquidator gets on top of what it repays."
    )
    liquidation_protocol_fee: float = Field(
        0.0, ge=0.0, le=1.0, description="Share of the bonus that goes to the treasury."
    )
    supply_cap: float | None = Field(
        None,
        ge=0.0,
        description="Most that can be supplied; none when left out.",
        json_schema_extra={"unit": "token"},
    )
    borrow_cap: float | None = Field(
        None,
        ge=0.0,
        description="Most that can be borrowed; none when left out.",
        json_schema_extra={"unit": "token"},
    )
    is_frozen: bool = Field(False, description="No new supply and no new debt.")
    is_paused: bool = Field(False, description="Nothing at all.")
    can_be_borrowed: bool = Field(True, description="Whether it can be borrowed.")
    can_be_collateral: bool = Field(True, description="Whether claims on it secure debts.")


class LendingConfig(Config):
    """A lending market with the rules of Aave v3."""

    kind: Literal["lending"]
    chain: str = Field(description="Chain on which the market lives.")
    reserves: dict[str, ReserveSettings] = Field(min_length=1, description="Assets by symbol.")
    close_factor: float = Field(
        0.5, gt=0.0, le=1.0, description="Share of the debt that one liquidation may repay."
    )
    close_base: Literal["total_debt", "reserve_debt"] = Field(
        "total_debt", description="What the close factor is a share of."
    )
    full_close_below: float = Field(
        0.95,
        ge=0.0,
        le=1.0,
        description="Health factor at or below which all may be repaid; 0: never.",
    )
    loss_order: list[Literal["treasury", "suppliers"]] = Field(
        ["treasury", "suppliers"],
        description="Who bears bad debt, first bearer first; what is left stays an open deficit.",
    )
    flash_fee: float = Field(
        0.0009,
        ge=0.0,
        le=0.1,
        description="Fee of a flash loan.",
        json_schema_extra={"unit": "fraction"},
    )
    n_collateral_slots: int = Field(
        2, ge=1, le=8, description="Different assets one account can supply."
    )
    n_debt_slots: int = Field(2, ge=1, le=8, description="Different assets one account can owe.")


# --- orders --------------------------------------------------------------------------------------

unpack = view_of(LendingState, LendingDesk, Ledger, Venues, Feeds, Prices)
unpack_all = view_of(LendingState, LendingDesk, Ledger, Venues, Feeds, Prices, Outbox)


@kernel
def pair_of(debt_reserve, collateral_reserve):  # type: ignore[no-untyped-def]
    """Return the `b` argument of a liquidation."""
    return (debt_reserve << _HALF) | collateral_reserve


@kernel
def refresh_prices(state, venues, feeds, prices, market, now):  # type: ignore[no-untyped-def]
    """Read the feeds of a market into its reserves."""
    first = state.markets[market].first_reserve
    for reserve in range(first, first + state.markets[market].n_reserves):
        feed = state.reserves[reserve].price_feed
        state.reserves[reserve].price = read_feed(feeds, venues, prices, feed, now)


@kernel
def is_owner(state, position, group, row):  # type: ignore[no-untyped-def]
    """Return whether a position exists and belongs to an account."""
    if position < 0 or position >= state.positions.shape[0]:
        return False
    owner = state.positions[position]
    return owner.population == group and owner.owner == row


@kernel
def is_reserve_of(state, reserve, market):  # type: ignore[no-untyped-def]
    """Return whether a reserve exists and belongs to a market."""
    first = state.markets[market].first_reserve
    return first <= reserve < first + state.markets[market].n_reserves


@kernel
def _check_order(state, venues, order):  # type: ignore[no-untyped-def]
    """Return OK, NO_POSITION or NOT_ALLOWED for the rows that an order names."""
    market = venues.row[order.venue]
    if not is_owner(state, order.a, order.group, order.row):
        return NO_POSITION
    if not is_reserve_of(state, order.b, market):
        return NOT_ALLOWED
    return OK


@kernel
def _pay_in(state, desk, ledger, order, market, token, amount):  # type: ignore[no-untyped-def]
    """Book tokens that the sender pays to the market."""
    transfer(ledger, order.group, order.row, desk.group[0], desk.account[market], token, amount)
    order.token_in, order.amount_in = token, amount


@kernel
def _pay_out(state, desk, ledger, order, market, token, amount):  # type: ignore[no-untyped-def]
    """Book tokens that the market pays to the sender: all it holds where rounding left it short."""
    group, account = desk.group[0], desk.account[market]
    amount = min(amount, balance_of(ledger, group, account, token))
    transfer(ledger, group, account, order.group, order.row, token, amount)
    order.token_out, order.amount_out = token, amount


@handler
def _supply(binding, message):  # type: ignore[no-untyped-def]
    state, desk, ledger, venues, _, _ = unpack(binding)
    order = order_at(message)
    status = _check_order(state, venues, order)
    if status != OK:
        return status
    token = state.reserves[order.b].token
    held = balance_of(ledger, order.group, order.row, token)
    status, paid = supply(state, order.a, order.b, order.amount, held, order.time)
    if status == OK:
        market = venues.row[order.venue]
        _pay_in(state, desk, ledger, order, market, token, paid)
    return status


@handler
def _withdraw(binding, message):  # type: ignore[no-untyped-def]
    state, desk, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    status = _check_order(state, venues, order)
    if status != OK:
        return status
    token, market = state.reserves[order.b].token, venues.row[order.venue]
    if slot(ledger, order.group, order.row, token) < 0:
        return NOT_ALLOWED
    refresh_prices(state, venues, feeds, prices, market, order.time)
    status, paid = withdraw(state, order.a, order.b, order.amount, order.time)
    if status == OK:
        _pay_out(state, desk, ledger, order, market, token, paid)
    return status


@handler
def _borrow(binding, message):  # type: ignore[no-untyped-def]
    state, desk, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    status = _check_order(state, venues, order)
    if status != OK:
        return status
    token, market = state.reserves[order.b].token, venues.row[order.venue]
    if slot(ledger, order.group, order.row, token) < 0:
        return NOT_ALLOWED
    refresh_prices(state, venues, feeds, prices, market, order.time)
    status, paid = borrow(state, order.a, order.b, order.amount, order.time)
    if status == OK:
        _pay_out(state, desk, ledger, order, market, token, paid)
    return status


@handler
def _repay(binding, message):  # type: ignore[no-untyped-def]
    state, desk, ledger, venues, _, _ = unpack(binding)
    order = order_at(message)
    status = _check_order(state, venues, order)
    if status != OK:
        return status
    token = state.reserves[order.b].token
    held = balance_of(ledger, order.group, order.row, token)
    status, paid = repay(state, order.a, order.b, order.amount, held, order.time)
    if status == OK:
        _pay_in(state, desk, ledger, order, venues.row[order.venue], token, paid)
    return status


@kernel
def _check_liquidation(state, ledger, venues, order):  # type: ignore[no-untyped-def]
    """Return OK or why the rows and tokens of a liquidation order cannot work."""
    market = venues.row[order.venue]
    debt, collateral = order.b >> _HALF, order.b & _MASK
    if order.a < 0 or order.a >= state.positions.shape[0]:
        return NO_POSITION
    if not (is_reserve_of(state, debt, market) and is_reserve_of(state, collateral, market)):
        return NOT_ALLOWED
    token = state.reserves[collateral].token
    return NOT_ALLOWED if slot(ledger, order.group, order.row, token) < 0 else OK


@handler
def _quote_liquidate(binding, message):  # type: ignore[no-untyped-def]
    state, _, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    status = _check_liquidation(state, ledger, venues, order)
    if status != OK:
        return status
    now = order.time
    refresh_prices(state, venues, feeds, prices, venues.row[order.venue], now)
    debt, collateral = order.b >> _HALF, order.b & _MASK
    status, repaid, seized, _, _ = quote_liquidate(
        state, order.a, debt, collateral, order.amount, math.inf, UNDERLYING, now
    )
    order.token_in, order.token_out = (
        state.reserves[debt].token,
        state.reserves[collateral].token,
    )
    order.amount_in, order.amount_out = repaid, seized
    return SLIPPAGE if status == OK and seized < order.limit else status


@handler
def _liquidate(binding, message):  # type: ignore[no-untyped-def]
    """Repay at most `amount` of a debt; `limit` is the least collateral to receive."""
    state, desk, ledger, venues, feeds, prices = unpack(binding)
    order = order_at(message)
    status = _check_liquidation(state, ledger, venues, order)
    if status != OK:
        return status
    market, now = venues.row[order.venue], order.time
    refresh_prices(state, venues, feeds, prices, market, now)
    debt, collateral = order.b >> _HALF, order.b & _MASK
    paid_token = state.reserves[debt].token
    held = balance_of(ledger, order.group, order.row, paid_token)
    health = health_factor(state, order.a, now)
    status, repaid, seized, fee, bad_debt = quote_liquidate(
        state, order.a, debt, collateral, order.amount, held, UNDERLYING, now
    )
    if status == OK and seized < order.limit:
        status = SLIPPAGE
    if status != OK:
        return status
    liquidate(state, order.a, debt, collateral, order.amount, held, UNDERLYING, now)
    _pay_in(state, desk, ledger, order, market, paid_token, repaid)
    token = state.reserves[collateral].token
    _pay_out(state, desk, ledger, order, market, token, seized)
    order.x, order.y, order.amount1 = health, state.reserves[collateral].price, fee
    order.price_after = bad_debt
    return OK


@kernel
def is_paid_back(box, order, repay_verb, owed):  # type: ignore[no-untyped-def]
    """Return whether a later leg of the order repays a flash loan and its fee."""
    at = order.next_leg
    while at >= 0:
        leg = box.orders[at]
        if (
            leg.verb == repay_verb
            and leg.venue == order.venue
            and leg.b == order.b
            and leg.amount1 >= owed * (1.0 - 1e-12)
        ):
            return True
        at = leg.next_leg
    return False


@handler
def _quote_flash_loan(binding, message):  # type: ignore[no-untyped-def]
    state, desk, ledger, venues, _, _, box = unpack_all(binding)
    order = order_at(message)
    market = venues.row[order.venue]
    if not is_reserve_of(state, order.b, market):
        return NOT_ALLOWED
    owed = order.amount * (1.0 + desk.flash_fee[market])
    if not is_paid_back(box, order, order.verb + _TO_REPAYMENT, owed):
        return NOT_ALLOWED
    if not 0.0 < order.amount < math.inf:
        return BAD_AMOUNT
    if order.amount > state.reserves[order.b].cash:
        return NO_CASH
    order.token_out = state.reserves[order.b].token
    if slot(ledger, order.group, order.row, order.token_out) < 0:
        return NOT_ALLOWED
    order.amount_out = order.amount
    return OK


@handler
def _flash_loan(binding, message):  # type: ignore[no-untyped-def]
    """Lend `amount` of reserve `b` until the flash repayment of the same order."""
    state, desk, ledger, venues, _, _ = unpack(binding)
    order = order_at(message)
    if order.next_leg < 0 and order.leg == 0:
        return NOT_ALLOWED  # only as a leg of an order that pays it back
    market, token = venues.row[order.venue], state.reserves[order.b].token
    accrue(state.reserves[order.b], order.time)
    state.reserves[order.b].cash -= order.amount
    _pay_out(state, desk, ledger, order, market, token, order.amount)
    return OK


@handler
def _quote_flash_repay(binding, message):  # type: ignore[no-untyped-def]
    """`amount1` is owed; what the order earned before must cover it."""
    state, _desk, _, venues, _, _ = unpack(binding)
    order = order_at(message)
    if not is_reserve_of(state, order.b, venues.row[order.venue]) or not order.amount1 > 0.0:
        return NOT_ALLOWED
    order.token_in, order.amount_in = state.reserves[order.b].token, order.amount1
    return SLIPPAGE if order.amount < order.amount1 + order.limit else OK


@handler
def _flash_repay(binding, message):  # type: ignore[no-untyped-def]
    state, desk, ledger, venues, _, _ = unpack(binding)
    order = order_at(message)
    if order.leg == 0:
        return NOT_ALLOWED
    asset, market = state.reserves[order.b], venues.row[order.venue]
    fee = order.amount1 - order.amount1 / (1.0 + desk.flash_fee[market])
    accrue(asset, order.time)
    asset.cash += order.amount1
    if asset.supply_index > 0.0:
        asset.scaled_treasury += fee / asset.supply_index
    _pay_in(state, desk, ledger, order, market, asset.token, order.amount1)
    order.fee_paid = fee
    return OK


@handler
def _refresh(binding, message):  # type: ignore[no-untyped-def]
    """Before each block: read the feeds of the chain's markets, so that all see the same prices."""
    state, _, _, venues, feeds, prices = unpack(binding)
    clock = clock_at(message)
    for market in range(state.markets.shape[0]):
        if state.markets[market].chain == clock.chain:
            refresh_prices(state, venues, feeds, prices, market, clock.now)
    return OK


# --- building ------------------------------------------------------------------------------------


def _market_config(config: LendingConfig, prices: list[float]) -> MarketConfig:
    reserves = []
    for settings, price in zip(config.reserves.values(), prices, strict=True):
        given = settings.model_dump(exclude={"feed"})
        for cap in ("supply_cap", "borrow_cap"):
            given[cap] = math.inf if given[cap] is None else given[cap]
        reserves.append(ReserveConfig(price=price, **given))
    return MarketConfig(
        reserves=tuple(reserves),
        close_factor=config.close_factor,
        close_base=CloseBase[config.close_base.upper()],
        full_close_below=config.full_close_below,
        loss_order=tuple(LossBearer[bearer.upper()] for bearer in config.loss_order),
    )


def make(world: World, sites: Sequence[VenueSite]) -> tuple[LendingState, LendingDesk]:
    """Return the lending markets of a world, without positions; populations bring the book."""
    markets, tokens, feeds = [], [], []
    for site in sites:
        reference = [float(world.prices.reference[token]) for token in site.tokens]
        try:
            markets.append(_market_config(site.config, reference))
        except InputError as error:
            raise InputError(f"venues.{site.name}: {error}") from None
        tokens += list(site.tokens)
        feeds += [
            _feed_row(world, site, symbol, settings.feed)
            for symbol, settings in site.config.reserves.items()
        ]
    state = make_state(
        markets,
        [site.chain for site in sites],
        tokens,
        feeds,
        n_collateral_slots=max(site.config.n_collateral_slots for site in sites),
        n_debt_slots=max(site.config.n_debt_slots for site in sites),
    )
    desk = LendingDesk(
        account=np.array([site.account for site in sites], np.int64),
        group=np.array([sites[0].group], np.int64),
        flash_fee=np.array([site.config.flash_fee for site in sites]),
        unsafe_since=np.zeros(0, np.int64),
    )
    return state, desk


def _feed_row(world: World, site: VenueSite, symbol: str, name: str) -> int:
    if name not in world.venue_names:
        raise InputError(f"venues.{site.name}.reserves.{symbol}.feed: no oracle '{name}'")
    number = world.venue(name)
    plan = world.plan.venues[number]
    if plan.mechanism.kind != "oracle":
        raise InputError(f"venues.{site.name}.reserves.{symbol}.feed: '{name}' is not an oracle")
    return int(world.venues.row[number])


def open_positions(world: World, venue: int, group: int, rows: np.ndarray) -> np.ndarray:
    """Give accounts of a population a position in a market, while the world is built.

    Returns
    -------
    int64, (n,), rows of the position table
    """
    state, desk = world.states[KIND]
    first = len(state.positions)
    state = add_positions(state, int(world.venues.row[venue]), group, np.asarray(rows))
    desk = desk._replace(unsafe_since=np.full(len(state.positions), -1, np.int64))
    world.replace_state(KIND, (state, desk))
    return np.arange(first, len(state.positions), dtype=np.int64)


def enter(
    world: World, positions: np.ndarray, reserve: int, amounts: np.ndarray, *, are_debts: bool
) -> None:
    """Enter claims or debts of the start; the market's account holds what is supplied and not lent.

    Claims bring tokens into the world; a debt takes them out of the market to where the borrower
    spent them, outside.
    """
    state, desk = world.states[KIND]
    reserves = np.full(len(positions), reserve, np.int64)
    enter_book(state, positions, reserves, amounts, are_debts=are_debts)
    asset = state.reserves[reserve]
    group, account = int(desk.group[0]), int(desk.account[asset["market"]])
    total = float(np.sum(amounts))
    token = int(asset["token"])
    if are_debts:
        transfer(world.ledger, group, account, OUTSIDE, GENESIS, token, total)
    else:
        world.endow(group, account, token, total)


def reserve_of(world: World, venue: int, symbol: str) -> int:
    """Return the row of a market's reserve by symbol."""
    state, _ = world.states[KIND]
    market = state.markets[int(world.venues.row[venue])]
    symbols = list(world.plan.venues[venue].config.reserves)
    if symbol not in symbols:
        raise InputError(
            f"market {world.venue_names[venue]} has no reserve '{symbol}'; it has: "
            + ", ".join(symbols)
        )
    return int(market["first_reserve"]) + symbols.index(symbol)


# --- reading -------------------------------------------------------------------------------------


class Book(NamedTuple):
    """Values of every position at given prices."""

    collateral: np.ndarray  # float64, (n_positions,), USD
    threshold: np.ndarray  # float64, (n_positions,), USD, weighted by liquidation thresholds
    debt: np.ndarray  # float64, (n_positions,), USD


@kernel(inline=False)
def _grow_indices(state, now, supply_index, borrow_index):  # type: ignore[no-untyped-def]
    for k in range(state.reserves.shape[0]):
        supply_index[k] = supply_index_at(state.reserves[k], now)
        borrow_index[k] = borrow_index_at(state.reserves[k], now)


def grown_indices(state: LendingState, now: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the supply and borrow index of every reserve as of a tick; writes nothing."""
    supply_index, borrow_index = np.zeros((2, len(state.reserves)))
    _grow_indices(state, now, supply_index, borrow_index)
    return supply_index, borrow_index


def value_book(state: LendingState, price: np.ndarray, now: int) -> Book:
    """Return what every position has and owes at the given prices of the reserves.

    Parameters
    ----------
    price : float64, (n_reserves,), USD
    """
    supply_index, borrow_index = grown_indices(state, now)
    counts = (state.reserves["flag_bits"] & 16) != 0
    weight = state.reserves["liquidation_threshold"] * counts
    value = state.collateral_scaled * (supply_index * price)[state.collateral_reserve]
    value = np.where(state.collateral_reserve >= 0, value, 0.0)
    debt = state.debt_scaled * (borrow_index * price)[state.debt_reserve]
    debt = np.where(state.debt_reserve >= 0, debt, 0.0)
    return Book(
        collateral=(value * counts[state.collateral_reserve]).sum(axis=1),
        threshold=(value * weight[state.collateral_reserve]).sum(axis=1),
        debt=debt.sum(axis=1),
    )


def shortfall_shares(book: Book) -> np.ndarray:
    """Return the share of each position's debt that its collateral does not cover.

    Float64, (n,).
    """
    short = np.maximum(book.debt - book.collateral, 0.0)
    return np.asarray(np.divide(short, book.debt, out=np.zeros(len(short)), where=book.debt > 0.0))


@kernel(inline=False)
def _read_rates(state, rates):  # type: ignore[no-untyped-def]
    """Write utilization, borrow and supply rate of every reserve: (n_reserves, 3)."""
    for k in range(state.reserves.shape[0]):
        asset = state.reserves[k]
        rates[k, 0], rates[k, 1], rates[k, 2] = (
            utilization(asset),
            borrow_rate(asset),
            supply_rate(asset),
        )


class Entries(NamedTuple):
    """The filled slots of all positions, one entry each."""

    position: np.ndarray  # int64, (n,)
    reserve: np.ndarray  # int64, (n,)
    amount: np.ndarray  # float64, (n,), tokens


def _entries(slots: np.ndarray, scaled: np.ndarray, index: np.ndarray) -> Entries:
    position, slot_number = np.nonzero(slots >= 0)
    reserve = slots[position, slot_number].astype(np.int64)
    return Entries(position, reserve, scaled[position, slot_number] * index[reserve])


def claims(world: World, own: tuple[LendingState, LendingDesk]) -> list[Claim]:
    """Return claims and debts of every account, loans being non-recourse.

    A debt is worth at most its collateral at fundamental prices: the shortfall is taken from the
    claims on the debt's reserve pro rata, before anybody recognizes it.
    """
    state, desk = own
    if not len(state.positions):
        return []
    n, now = len(state.reserves), world.now
    supply_index, borrow_index = grown_indices(state, now)
    tokens = state.reserves["token"]
    book = value_book(state, world.prices.fundamental[tokens], now)
    share = shortfall_shares(book)
    held = _entries(state.collateral_reserve, state.collateral_scaled, supply_index)
    owed = _entries(state.debt_reserve, state.debt_scaled, borrow_index)
    lost = np.bincount(owed.reserve, owed.amount * share[owed.position], n)
    total = np.bincount(held.reserve, held.amount, n)
    kept = 1.0 - np.divide(lost, total, out=np.zeros(n), where=total > 0.0)
    kept = np.maximum(kept, 0.0)
    position = np.concatenate([held.position, owed.position])
    reserve = np.concatenate([held.reserve, owed.reserve])
    net = np.concatenate(
        [held.amount * kept[held.reserve], -owed.amount * (1.0 - share[owed.position])]
    )
    found = _by_owner(state, position, reserve, net)
    sums = np.bincount(reserve, net, n)
    accounts = desk.account[state.reserves["market"]]
    found += [
        Claim(int(desk.group[0]), accounts[k : k + 1], int(tokens[k]), -sums[k : k + 1])
        for k in range(n)
    ]
    return found


def _by_owner(
    state: LendingState, position: np.ndarray, reserve: np.ndarray, amount: np.ndarray
) -> list[Claim]:
    """Return the entries as claims, one for each population and reserve."""
    n = len(state.reserves)
    key = state.positions["population"][position].astype(np.int64) * n + reserve
    order = np.argsort(key, kind="stable")
    keys, first = np.unique(key[order], return_index=True)
    owners = state.positions["owner"][position].astype(np.int64)
    return [
        Claim(
            int(which // n),
            owners[mine],
            int(state.reserves["token"][which % n]),
            amount[mine],
        )
        for which, mine in zip(keys, np.split(order, first[1:]), strict=True)
    ]


def sample(world: World, own: tuple[LendingState, LendingDesk]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the `markets` record, and note which positions have become unsafe."""
    state, desk = own
    reference = world.prices.reference[state.reserves["token"]]
    book = value_book(state, reference, world.now)
    is_unsafe = (book.debt > 0.0) & (book.threshold < book.debt)
    desk.unsafe_since[~is_unsafe] = -1
    desk.unsafe_since[is_unsafe & (desk.unsafe_since < 0)] = world.now
    part = shortfall_shares(book)
    supply_index, borrow_index = grown_indices(state, world.now)
    owed = _entries(state.debt_reserve, state.debt_scaled, borrow_index)
    latent = np.bincount(owed.reserve, owed.amount * part[owed.position], len(state.reserves))
    names = venue_numbers(world)
    rates = np.zeros((len(state.reserves), 3))
    _read_rates(state, rates)
    rows = []
    for k, asset in enumerate(state.reserves):
        supplied = float(asset.scaled_supply + asset.scaled_treasury) * float(supply_index[k])
        rows.append(
            {
                "venue": int(names[asset.market]),
                "token": world.token_names[asset.token],
                "supplied": supplied,
                "borrowed": float(asset.scaled_debt * borrow_index[k]),
                "cash": float(asset.cash),
                "utilization": float(rates[k, 0]),
                "borrow_rate": float(rates[k, 1]),
                "supply_rate": float(rates[k, 2]),
                "oracle_price": float(asset.price),
                "bad_debt": float(asset.written_off * reference[k]),
                "latent_bad_debt": float(latent[k] * reference[k]),
            }
        )
    return {"markets": rows}


def venue_numbers(world: World) -> np.ndarray:
    """Return the venue of each lending market: int64, (n_markets,)."""
    return np.array([s.number for s in world.venue_sites if s.config.kind == KIND], np.int64)


def sample_positions(
    world: World, own: tuple[LendingState, LendingDesk]
) -> dict[str, dict[str, Any]]:
    """Return the columns of the `positions` record: every position with a debt."""
    state, _ = own
    at_oracle = value_book(state, state.reserves["price"], world.now)
    reference = world.prices.reference[state.reserves["token"]]
    at_reference = value_book(state, reference, world.now)
    rows = np.flatnonzero(at_oracle.debt > 0.0)
    debt = at_oracle.debt[rows]
    positions = state.positions[rows]
    return {
        "positions": {
            "time": np.full(len(rows), world.time),
            "venue": [world.venue_names[v] for v in venue_numbers(world)[positions["market"]]],
            "position": rows,
            "population": [world.group_names[g] for g in positions["population"]],
            "account": positions["owner"],
            "collateral": at_oracle.collateral[rows],
            "debt": debt,
            "health_factor": at_oracle.threshold[rows] / debt,
            "shortfall": np.maximum(at_reference.debt[rows] - at_reference.collateral[rows], 0.0),
        }
    }


def check(world: World, own: tuple[LendingState, LendingDesk]) -> None:
    """Check that the cash of every reserve lies on the ledger, and that the books balance.

    Raises
    ------
    InvariantError
        They do not; names market, token and amounts.
    """
    state, desk = own
    n = len(state.reserves)
    unit = np.ones(n)
    held = _entries(state.collateral_reserve, state.collateral_scaled, unit)
    owed = _entries(state.debt_reserve, state.debt_scaled, unit)
    scaled_claims = np.bincount(held.reserve, held.amount, n)
    scaled_debts = np.bincount(owed.reserve, owed.amount, n)
    for k in range(n):
        asset = state.reserves[k]
        name = world.token_names[int(asset["token"])]
        balance = world.balance(
            int(desk.group[0]), int(desk.account[asset["market"]]), int(asset["token"])
        )
        moved = float(world.ledger.turnover[int(asset["token"])])
        allowed = 1e-9 * (1.0 + moved)
        if abs(balance - float(asset["cash"])) > allowed:
            raise InvariantError(
                f"lending reserve {k} ({name}) counts {asset['cash']:.12g} in cash; its account "
                f"holds {balance:.12g}"
            )
        for what, total, parts in (
            ("claims", float(asset["scaled_supply"]), float(scaled_claims[k])),
            ("debts", float(asset["scaled_debt"]), float(scaled_debts[k])),
        ):
            if abs(total - parts) > 1e-9 * (1.0 + abs(total)):
                raise InvariantError(
                    f"lending reserve {k} ({name}): {what} of positions add up to {parts:.12g}, "
                    f"not to {total:.12g}"
                )


def liquidation_details(world: World, fills: np.ndarray) -> dict[str, Any]:
    """Return what the `liquidations` record adds to the fills of liquidations."""
    state, desk = world.states[KIND]
    positions = state.positions[fills["a"]]
    since = desk.unsafe_since[fills["a"]]
    delay = np.where(since >= 0, (fills["time"] - since) / TICKS_PER_SECOND, 0.0)
    return {
        "borrower_population": positions["population"],
        "borrower_account": positions["owner"],
        "delay": np.maximum(delay, 0.0),
    }


def liquidation_times(world: World, fills: np.ndarray, slack: int) -> tuple[np.ndarray, np.ndarray]:
    """Return when each liquidated account was last safe, and when its price was observed.

    Safety is noted at samples, so the first is exact to one sample interval, `slack` ticks.
    """
    state, desk = world.states[KIND]
    feeds = world.shared[Feeds]
    unsafe = desk.unsafe_since[fills["a"]]
    since = np.where(unsafe >= 0, unsafe, fills["time"]) - slack
    collateral = state.reserves["price_feed"][fills["b"] & _MASK]
    observed = np.minimum(feeds.since[collateral], fills["time"])
    return np.maximum(since, 0), np.maximum(observed, np.maximum(since, 0))


KIND = "lending"

MECHANISM = Mechanism(
    kind=KIND,
    config=LendingConfig,
    verbs=(
        Verb("supply", _supply, 180_000),
        Verb("withdraw", _withdraw, 220_000),
        Verb("borrow", _borrow, 300_000),
        Verb("repay", _repay, 170_000),
        Verb("liquidate", _liquidate, 450_000, _quote_liquidate),
        Verb("flash_loan", _flash_loan, 90_000, _quote_flash_loan),
        Verb("flash_repay", _flash_repay, 90_000, _quote_flash_repay),
    ),
    states=unpack_all.states,
    make=make,
    react=_refresh,
    nodes=lambda config: [(config.chain, symbol) for symbol in config.reserves],
    claims=claims,
    sample=sample,
    sample_positions=sample_positions,
    check=check,
    shocks=SHOCKS,
)
