"""Suppliers of lending markets: deposits of Pareto size, three speeds, and a share asleep.

A supplier is alarmed when utilization is high, when the market has recognized or carries bad debt,
or when a token it fears trades below par. It then leaves after a delay of its speed, as far as
there is cash, and comes back for the rest every few minutes. Some of those who find no cash borrow
something else against their claim and leave with it (`agents.supplier_loans`). When the market has
been calm for long enough they return with what they took out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from agents.population import ColumnarAgent
from agents.supplier_loans import BY_LOAN, borrow_out, pay_back
from sim.chain import clock_at
from sim.draws import uniform_column, uniforms
from sim.kernel import F8, I8, F8x2, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.lending.account import claim_of, values_at, write_indices
from sim.lending.building import enter, open_positions, reserve_of
from sim.lending.near_accounts import (
    CHECKED,
    N_NEAR,
    NearAccounts,
    enlist,
    is_list_whole,
    make_near_accounts,
)
from sim.lending.reserve import supply_index_at, utilization, withdrawable
from sim.lending.state import LendingState
from sim.mempool import Outbox, post
from sim.orders import FILL, ROUTINE, SUPPLY, WITHDRAW, cause
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import GWEI, HOUR, MINUTE, TICKS_PER_SECOND, ticks
from sim.venues import Venues, draft

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
NEVER = 1 << 60
_FILL, _ROUTINE = cause(FILL), cause(ROUTINE)
_LOOK = 60 * TICKS_PER_SECOND  # the market is looked at once a minute
_RESCAN = 3_600 * TICKS_PER_SECOND  # interest makes shortfalls even when prices stand still
_HOURS_PER_TICK = 1.0 / TICKS_PER_SECOND / HOUR  # hours a tick
ASLEEP, FAST, MEDIUM, SLOW = range(4)
_RANGES = ((1.0, 1.0), (5.0, 90.0), (60.0, 720.0), (360.0, 4_320.0))  # minutes, by speed


@columnar
class SupplierState(NamedTuple):
    """Columns of suppliers, and what they share."""

    position: I8  # int64, (n,), position in the market
    speed: I8  # int64, (n,), ASLEEP, FAST, MEDIUM or SLOW
    due: I8  # int64, (n,), tick of the next try to leave or return, NEVER: at ease
    is_leaving: I8  # int64, (n,), 1: on the way out, 0: in, -1: out, waiting to return, 2: gone by
    # a loan
    can_borrow: I8  # int64, (n,), 1: borrows against the claim when stuck
    stuck_since: I8  # int64, (n,), tick since which it finds no cash, NEVER: not stuck
    since: I8  # int64, (n,), tick since which it wants out
    n_retries: I8  # int64, (n,), tries to leave since its last alarm
    stuck_usd_hours: F8  # float64, (n,), USD-hours of withdrawals that found no cash
    number: I8  # int64, (10,): group, market venue, reserve, seed, stream, tick of the last look,
    # calm since, feared pool or -1, tick of the last scan for shortfalls, tick of public bad news
    terms: (
        F8  # float64, (11,): utilization trigger, calm utilization, calm ticks, retry ticks, tip,
    )
    # fear discount, par of the feared token, bad debt seen in USD, bad debt that alarms in USD,
    # prices and shortfalls in USD as of the last scan
    exits: I8  # int64, (n_exits,), reserves that the stuck borrow, at least one; -1: none
    loan: F8  # float64, (2,): share of the most they may borrow, ticks that they wait before
    grown: F8x2  # float64, (2, n_reserves of all markets), supply and borrow index as of a scan


class SuppliersConfig(Config):
    """Suppliers of one asset of a lending market."""

    kind: Literal["suppliers"]
    chain: str = Field(description="Chain of the market.")
    market: str = Field(description="Lending market.")
    asset: str = Field(description="Symbol of what they supply.")
    count: int = Field(gt=0, le=10_000_000, description="Number of suppliers.")
    supplied_usd: float = Field(
        gt=0.0,
        description="Deposits of all at the start.",
        json_schema_extra={"unit": "USD", "stress": {"book_scale": "multiply"}},
    )
    pareto_tail: float = Field(1.15, gt=0.5, le=10.0, description="Tail index of deposits.")
    fast_share: float = Field(
        0.1, ge=0.0, le=1.0, description="Share by value that leaves in 5-90 min."
    )
    medium_share: float = Field(
        0.3, ge=0.0, le=1.0, description="Share by value that leaves in 1-12 h."
    )
    slow_share: float = Field(
        0.3, ge=0.0, le=1.0, description="Share by value that leaves in 6-72 h."
    )
    utilization_trigger: float = Field(0.97, gt=0.0, le=1.0, description="Utilization that alarms.")
    bad_debt_trigger: float = Field(
        1e-3, ge=0.0, description="Bad debt of the market over the deposits that alarms."
    )
    fear_pool: str | None = Field(
        None, description="Pool whose token 0 they fear when it trades below par against token 1."
    )
    fear_par: float = Field(1.0, gt=0.0, description="Par of that price.")
    fear_discount: float = Field(0.02, gt=0.0, lt=1.0, description="Discount that alarms.")
    news_at_seconds: float | None = Field(
        None,
        ge=0.0,
        description="Time at which public bad news reaches them.",
        json_schema_extra={"unit": "s"},
    )
    calm_utilization: float = Field(0.9, gt=0.0, le=1.0, description="Utilization that calms.")
    calm_hours: float = Field(
        24.0, gt=0.0, description="Calm before they return.", json_schema_extra={"unit": "h"}
    )
    retry_minutes: float = Field(
        10.0, gt=0.0, description="Time between tries.", json_schema_extra={"unit": "min"}
    )
    stuck_borrow_share: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="Share by value of those who borrow against their claim when they find no cash "
        "to withdraw, and leave.",
    )
    stuck_assets: list[str] = Field(
        [], description="Symbols that they borrow: the one with most cash."
    )
    stuck_minutes: float = Field(
        30.0,
        ge=0.0,
        description="How long they try to withdraw first.",
        json_schema_extra={"unit": "min"},
    )
    stuck_loan_share: float = Field(
        0.9, gt=0.0, le=1.0, description="Share of the most they could borrow that they borrow."
    )
    tip_gwei: float = Field(
        1.0,
        ge=0.0,
        description="Priority fee; doubles with each try, up to 64 times.",
        json_schema_extra={"unit": "gwei"},
    )

    @model_validator(mode="after")
    def _check(self) -> SuppliersConfig:
        total = self.fast_share + self.medium_share + self.slow_share
        if total > 1.0 + 1e-12:
            raise ValueError(
                f"fast_share + medium_share + slow_share is {total:g}; it must not exceed 1"
            )
        if self.stuck_borrow_share > 0.0 and not self.stuck_assets:
            raise ValueError("stuck_borrow_share is above 0: name the stuck_assets they borrow")
        if self.asset in self.stuck_assets:
            raise ValueError(
                f"stuck_assets name '{self.asset}', which they find no cash of; name other assets"
            )
        if self.calm_utilization > self.utilization_trigger:
            raise ValueError(
                f"calm_utilization ({self.calm_utilization:g}) must not exceed utilization_trigger "
                f"({self.utilization_trigger:g})"
            )
        return self


class Supplier(ColumnarAgent):
    """One supplier: a view on a row of its population."""


unpack = view_of(SupplierState, NearAccounts, LendingState, Outbox, Ledger, Venues)


@kernel(inline=False)
def shortfall_of(near, lending, market, index, now):  # type: ignore[no-untyped-def]
    """Return by how much debts exceed their collateral in a market, USD at the prices it uses.

    Such an account is unsafe long before, hence among those near it.
    """
    total = 0.0
    write_indices(lending, index, now)
    is_listed = is_list_whole(near, lending, market, index)
    n = near.state[N_NEAR] if is_listed else lending.positions.shape[0]
    for k in range(n):
        position = near.rows[k] if is_listed else k
        if lending.positions[position].market == market and lending.debt_reserve[position, 0] >= 0:
            collateral, threshold_value, debt = values_at(lending, position, index)
            near.state[CHECKED] += 1
            if not is_listed:
                enlist(near, position, threshold_value, debt)
            total += max(0.0, debt - collateral)
    return total


@kernel
def bad_debt_of(people, near, lending, market, now):  # type: ignore[no-untyped-def]
    """Return recognized and visible bad debt of a market, USD.

    Positions are looked through when a price of the market has changed, or after an hour.
    """
    recognized, prices = 0.0, 0.0
    first = lending.markets[market].first_reserve
    for reserve in range(first, first + lending.markets[market].n_reserves):
        asset = lending.reserves[reserve]
        recognized += asset.written_off * asset.price
        prices += asset.price * (1.0 + reserve - first)  # told apart by their place
    if prices != people.terms[9] or now >= people.number[8] + _RESCAN:
        people.terms[9], people.number[8] = prices, now
        people.terms[10] = shortfall_of(near, lending, market, people.grown, now)
    return recognized + people.terms[10]


@kernel
def is_alarming(people, near, lending, venues, market, now):  # type: ignore[no-untyped-def]
    """Return whether the market gives reason to leave now."""
    reserve = people.number[2]
    if now >= people.number[9]:
        people.number[9] = NEVER  # news is news once
        return True
    if utilization(lending.reserves[reserve]) >= people.terms[0]:
        return True
    pool = people.number[7]
    if pool >= 0:
        price = venues.price[pool]
        if price > 0.0 and price / people.terms[6] - 1.0 <= -people.terms[5]:
            return True
    bad_debt = bad_debt_of(people, near, lending, market, now)
    is_news = bad_debt - people.terms[7] > people.terms[8]
    if is_news:
        people.terms[7] = bad_debt
    return is_news


@kernel
def reaction(people, row, now):  # type: ignore[no-untyped-def]
    """Return the ticks until an alarmed supplier acts: log-uniform in the range of its speed."""
    low, high = _RANGES[people.speed[row]]
    u = uniforms(people.number[3], people.number[4], now, row, 0)[0]
    return int(low * math.exp(u * math.log(high / low)) * 60.0 * TICKS_PER_SECOND)


@kernel(inline=False)
def look(people, near, lending, venues, market, now):  # type: ignore[no-untyped-def]
    """Alarm everybody who is awake and in, or send home those who wait for calm."""
    reserve = people.number[2]
    if utilization(lending.reserves[reserve]) >= people.terms[1]:
        people.number[6] = now
    if is_alarming(people, near, lending, venues, market, now):
        people.number[6] = now
        for row in range(people.position.shape[0]):
            if people.speed[row] != ASLEEP and people.is_leaving[row] == 0:
                people.is_leaving[row], people.n_retries[row] = 1, 0
                people.stuck_since[row] = NEVER
                people.since[row] = people.due[row] = now + reaction(people, row, now)
    elif now - people.number[6] >= people.terms[2]:
        for row in range(people.position.shape[0]):
            is_out = people.is_leaving[row] == -1 or people.is_leaving[row] == BY_LOAN
            if is_out and people.due[row] == NEVER:
                people.due[row] = now + reaction(people, row, now)
            elif people.is_leaving[row] == 1:
                people.is_leaving[row], people.due[row] = 0, NEVER  # the reason is gone


@kernel
def leave(people, lending, box, ledger, venues, row, clock):  # type: ignore[no-untyped-def]
    """Ask for what there is cash for, and come back for the rest."""
    position, reserve = people.position[row], people.number[2]
    claim = claim_of(lending, position, reserve, clock.now)
    asset = lending.reserves[reserve]
    if claim * asset.price < 1.0:
        people.is_leaving[row], people.due[row] = -1, NEVER
        return
    waited = (clock.now - people.since[row]) * _HOURS_PER_TICK
    if people.n_retries[row] > 0:
        people.stuck_usd_hours[row] += claim * asset.price * waited
    people.since[row] = clock.now
    people.due[row] = clock.now + int(people.terms[3])
    people.n_retries[row] += 1
    amount = min(claim, withdrawable(asset))
    if amount * asset.price < 1.0:
        if people.stuck_since[row] == NEVER:
            people.stuck_since[row] = clock.now
        is_patient = clock.now - people.stuck_since[row] < people.loan[1]
        has_borrowed = (
            people.can_borrow[row] != 0
            and not is_patient
            and borrow_out(people, lending, box, venues, row, clock)
        )
        if has_borrowed:
            people.is_leaving[row], people.due[row] = BY_LOAN, NEVER
        return
    venue = people.number[1]
    order = draft(box, venues, venue, WITHDRAW, people.number[0], row, clock.now)
    order.a, order.b = position, reserve
    order.amount = math.inf if amount == claim else amount
    order.tip = people.terms[4] * 2.0 ** min(people.n_retries[row] - 1, 6)
    order.max_fee = 2.0 * order.max_fee + order.tip
    order.expires = people.due[row]
    last = venues.last_fill[venue]
    order.parent = _FILL + last if last > 0 else _ROUTINE
    post(box, order)


@kernel
def come_back(people, box, ledger, venues, lending, row, clock):  # type: ignore[no-untyped-def]
    """Supply again what was taken out."""
    people.is_leaving[row], people.due[row] = 0, NEVER
    token = lending.reserves[people.number[2]].token
    amount = balance_of(ledger, people.number[0], row, token)
    if token == box.chains[clock.chain].native:
        amount -= 1.0
    if amount <= 0.0:
        return
    order = draft(box, venues, people.number[1], SUPPLY, people.number[0], row, clock.now)
    order.a, order.b, order.amount = people.position[row], people.number[2], amount
    order.parent = _ROUTINE
    post(box, order)


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Let the market be looked at, and everybody who is due leave or come back."""
    people, near, lending, box, ledger, venues = unpack(binding)
    clock = clock_at(message)
    if clock.now < people.number[5] + _LOOK:
        return OK
    people.number[5] = clock.now
    market = venues.row[people.number[1]]
    look(people, near, lending, venues, market, clock.now)
    for row in range(people.position.shape[0]):
        if people.due[row] > clock.now:
            continue
        if people.is_leaving[row] == 1:
            leave(people, lending, box, ledger, venues, row, clock)
        elif people.is_leaving[row] == -1:
            come_back(people, box, ledger, venues, lending, row, clock)
        elif people.is_leaving[row] == BY_LOAN:
            people.is_leaving[row], people.due[row] = 0, NEVER
            pay_back(people, lending, box, ledger, venues, row, clock)
        else:
            people.due[row] = NEVER
    return OK


def speeds_of(config: Any, deposits: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the speed of every supplier such that the classes have their shares by value.

    Parameters
    ----------
    deposits : float64, (n,), any unit
    order : float64, (n,), uniforms that decide who is in which class
    """
    ranked = np.argsort(order)
    share = np.empty(len(deposits))
    share[ranked] = np.cumsum(deposits[ranked]) / deposits.sum()
    edges = np.cumsum([config.fast_share, config.medium_share, config.slow_share])
    classes = np.array([FAST, MEDIUM, SLOW, ASLEEP])
    return np.asarray(classes[np.searchsorted(edges, share - 1e-12)], np.int64)


def is_in_share(deposits: np.ndarray, order: np.ndarray, share: float) -> np.ndarray:
    """Return whether each supplier belongs to a share by value, drawn by lot: int64, (n,)."""
    ranked = np.argsort(order)
    reached = np.empty(len(deposits))
    reached[ranked] = np.cumsum(deposits[ranked]) - 0.5 * deposits[ranked]
    return np.asarray(reached < share * deposits.sum(), np.int64)


def make(world: World, site: PopulationSite) -> tuple[SupplierState, NearAccounts]:
    """Return the columns of a population of suppliers, and enter its deposits."""
    config, n, seed = site.config, site.rows, world.seed
    venue = world.venue(config.market)
    reserve = reserve_of(world, venue, config.asset)
    positions = open_positions(world, venue, site.group, np.arange(n))
    lending = world.shared[LendingState]
    price = float(lending.reserves[reserve]["price"])
    raw = uniform_column(seed, f"{site.name}:deposit", n) ** (-1.0 / config.pareto_tail)
    deposits = raw * (config.supplied_usd / raw.sum())
    enter(world, positions, reserve, deposits / price, are_debts=False)
    pool = world.venue(config.fear_pool) if config.fear_pool else -1
    drawn = uniform_column(seed, f"{site.name}:loan", n)
    exits = [reserve_of(world, venue, symbol) for symbol in config.stuck_assets]
    news = NEVER if config.news_at_seconds is None else ticks(config.news_at_seconds)
    near = make_near_accounts(sum(world.group_rows), len(lending.reserves))
    state = SupplierState(
        position=positions,
        speed=speeds_of(config, deposits, uniform_column(seed, f"{site.name}:speed", n)),
        due=np.full(n, NEVER, np.int64),
        is_leaving=np.zeros(n, np.int64),
        can_borrow=is_in_share(deposits, drawn, config.stuck_borrow_share),
        stuck_since=np.full(n, NEVER, np.int64),
        since=np.zeros(n, np.int64),
        n_retries=np.zeros(n, np.int64),
        stuck_usd_hours=np.zeros(n),
        number=np.array(
            [site.group, venue, reserve, seed, site.stream, -_LOOK, 0, pool, -_RESCAN, news],
            np.int64,
        ),
        terms=np.array(
            [
                config.utilization_trigger,
                config.calm_utilization,
                ticks(config.calm_hours * HOUR),
                ticks(config.retry_minutes * MINUTE),
                config.tip_gwei * GWEI,
                config.fear_discount,
                config.fear_par,
                0.0,
                config.bad_debt_trigger * config.supplied_usd,
                -1.0,
                0.0,
            ],
            float,
        ),
        exits=np.array(exits or [-1], np.int64),
        loan=np.array([config.stuck_loan_share, ticks(config.stuck_minutes * MINUTE)], float),
        grown=np.zeros((2, len(lending.reserves))),
    )
    return state, near


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give every supplier gas."""
    native = int(world.box.chains[site.chain]["native"])
    world.endow_column(site.group, native, 1.0)


def tokens(world: World, site: PopulationSite) -> list[int]:
    """Return what suppliers can hold: their asset, gas, and what the stuck borrow."""
    config = site.config
    symbols = (config.asset, world.plan.chains[site.chain].native, *config.stuck_assets)
    return list(dict.fromkeys(world.token(config.chain, symbol) for symbol in symbols))


def columns(world: World, site: PopulationSite, own: Any) -> dict[str, Any]:
    """Return the computed column `claim`: float64, (n,), tokens of the asset."""
    state: SupplierState = own[0]

    def claim() -> np.ndarray:
        lending = world.shared[LendingState]
        reserve = int(state.number[2])
        mine = lending.collateral_reserve[state.position] == reserve
        scaled = np.where(mine, lending.collateral_scaled[state.position], 0.0).sum(axis=1)
        return np.asarray(scaled * supply_index_at(lending.reserves[reserve], world.now))

    return {"claim": claim}


KIND = PopulationKind(
    kind="suppliers",
    config=SuppliersConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=Supplier,
    role="lenders",
    tokens=tokens,
    columns=columns,
)
