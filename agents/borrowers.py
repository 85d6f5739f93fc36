"""Borrowers: a book of debts with the spread of real books, and people who defend it, or sleep.

Debts are lognormal. Health factors follow debt-weighted quantiles, as books are reported: a
quantile of 10 % at 1.2 says that a tenth of the *debt* has a health factor below 1.2. Some
borrowers are awake, a share of the *debt* too: when their health factor falls below their own alarm
they react after their own delay, while they have means: they repay with the debt token they hold,
or top up with collateral. Where feeds are late they may judge by the price that waits in a feed, or
by the reference price. The others sleep. An alarm lies at most half way from 1 to the health factor
of the start: a book at rest stays at rest. With `positions` the debts and health factors are those
of a file of real accounts, and `collateral` and `debt` are what people defend themselves with. With
an `unwind_pool` they are loopers, who also unwind when the loop costs more than it earns or its
collateral trades at a discount (`agents.looping`).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from agents.debt_books import awake_of, enter_debts
from agents.looping import LOOK, loop_out
from agents.population import ColumnarAgent
from sim.chain import clock_at
from sim.draws import normal, normal_column, uniform_column, uniforms
from sim.errors import InputError
from sim.feeds import FIXED, Feeds
from sim.kernel import F8, I8, F8x2, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.lending.account import account_values, debt_of, values_at, write_indices
from sim.lending.building import mode_of, reserve_of
from sim.lending.modes import terms_of
from sim.lending.position_file import PositionSource
from sim.lending.reading import value_book
from sim.lending.state import LendingState
from sim.mempool import Outbox, post
from sim.orders import FILL, REPAY, ROUTINE, SUPPLY, cause
from sim.prices import Prices
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import GWEI, HOUR, MINUTE, TICKS_PER_SECOND, ticks
from sim.venues import Venues, draft

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
NEVER = 1 << 60
_GAS_NATIVE = 0.2  # native tokens of each for gas
_FILL, _ROUTINE = cause(FILL), cause(ROUTINE)
_RESCAN = 3_600 * TICKS_PER_SECOND  # interest moves health factors even when prices do not
_NOTICED = 0.005  # relative change of a price outside the feeds that makes people look again
_WATCHES = ("oracle", "queue", "market")
ORACLE, QUEUE, MARKET = range(3)


@columnar
class BorrowerState(NamedTuple):
    """Columns of borrowers, and what they share."""

    position: I8  # int64, (n,), position in the market
    alarm: F8  # float64, (n,), health factor below which they react; 0: asleep, or without means
    target: F8  # float64, (n,), health factor to which they go back
    delay: F8  # float64, (n,), ticks, their median reaction time
    due: I8  # int64, (n,), tick at which they will react, NEVER: not alarmed
    n_actions: I8  # int64, (n,), repayments and top-ups sent
    waiting: I8  # int64, (n_awake,), rows that are alarmed, first `number[3]` entries
    number: I8  # int64, (11,): group, market venue, collateral reserve, alarmed rows, seed, stream,
    # tick of the last scan, collateral token, debt token, debt reserve, what they watch
    seen: F8  # float64, (3,): prices of collateral and debt, and fear, at the last scan
    tip: F8  # float64, (1,), native token per gas
    unwind_due: I8  # int64, (n,), tick of the next part to unwind, NEVER: no reason; (0,) where
    # nobody unwinds
    n_unwinds: I8  # int64, (n,) or (0,), parts sent
    pool: I8  # int64, (1,), pool in which loopers sell collateral, -1: they do not unwind
    looked: I8  # int64, (1,), tick of their last look
    loop: F8  # float64, (8,), what `agents.looping` names: yield of the collateral and least carry
    # per year, discount, median delay in ticks, its log spread, part, slippage, ticks between parts
    has_means: I8  # int64, (n,), 1: awake with means to defend itself
    awake: I8  # int64, (n_awake,), rows of those who watch
    grown: F8x2  # float64, (2, n_reserves of all markets), supply and borrow index as of a scan


Quantile = Annotated[tuple[float, float], Field(strict=False)]


def check_quantiles(quantiles: list[Quantile]) -> None:
    """Check that quantiles of health factors rise and lie within their bounds.

    Raises
    ------
    ValueError
        They do not.
    """
    pairs = list(pairwise(quantiles))
    if any(after[0] <= before[0] or after[1] < before[1] for before, after in pairs):
        raise ValueError("health_quantiles must rise: each share above, no factor below the last")
    if quantiles[0][0] < 0.0 or quantiles[-1][0] > 1.0 or quantiles[0][1] <= 0.0:
        raise ValueError("health_quantiles: shares lie in 0 to 1, health factors above 0")


class BorrowersConfig(Config):
    """Borrowers of one lending market with one collateral and one debt asset."""

    kind: Literal["borrowers"]
    chain: str = Field(description="Chain of the market.")
    market: str = Field(description="Lending market.")
    count: int | None = Field(
        None,
        gt=0,
        le=10_000_000,
        description="Number of borrowers; that of the accounts in the file with positions.",
    )
    collateral: str = Field(description="Symbol of the collateral.")
    debt: str = Field(description="Symbol of the debt.")
    positions: PositionSource | None = Field(
        None, description="File of accounts, in place of debt_usd and health_quantiles."
    )
    debt_usd: float | None = Field(
        None,
        gt=0.0,
        description="Debt of all at the start; not with positions.",
        json_schema_extra={"unit": "USD", "stress": {"book_scale": "multiply"}},
    )
    debt_log_sd: float = Field(
        2.7, ge=0.0, le=5.0, description="Standard deviation of the logarithm of debts."
    )
    largest_debt_share: float = Field(
        1.0,
        gt=0.0,
        le=1.0,
        description="Largest single debt over all debt; 1: as it is drawn, and a spread of 2.7 "
        "sometimes gives half of a book to one debt.",
        json_schema_extra={"unit": "fraction"},
    )
    health_quantiles: Annotated[list[Quantile], Field(min_length=2)] | None = Field(
        None,
        description="Pairs [share of debt, health factor below which that share lies], rising; not "
        "with positions.",
    )
    shares_of: Literal["debt", "people"] = Field(
        "debt", description="Whether awake_share and cash_share are shares of debt or of people."
    )
    awake_share: float = Field(
        0.6, ge=0.0, le=1.0, description="Share of those who watch their health factor."
    )
    watches: Literal["oracle", "queue", "market"] = Field(
        "oracle",
        description="Prices they judge by: those of the market's feeds; or also those that wait in "
        "the feeds for a delay; or also reference prices, of tokens that have them and whose feed "
        "is not fixed. Of two prices they fear the worse.",
    )
    alarm_low: float = Field(1.05, gt=1.0, description="Lowest alarm.")
    alarm_high: float = Field(1.25, gt=1.0, description="Highest alarm.")
    target_gain: float = Field(
        0.2,
        gt=0.0,
        description="How far above their alarm they go back, at most to where they started.",
    )
    reaction_minutes: float = Field(
        30.0, gt=0.0, description="Median reaction time.", json_schema_extra={"unit": "min"}
    )
    reaction_log_sd: float = Field(1.0, ge=0.0, description="Log spread of reaction times.")
    cash_share: float = Field(
        0.7, ge=0.0, le=1.0, description="Share of the awake who hold means to defend themselves."
    )
    cash_of_debt: float = Field(
        0.25, ge=0.0, description="Their means, half in each token, over their debt."
    )
    tip_gwei: float = Field(
        2.0, ge=0.0, description="Priority fee they bid.", json_schema_extra={"unit": "gwei"}
    )

    efficiency_mode: str | None = Field(
        None, description="Label of the efficiency mode of the market in which they are."
    )
    unwind_pool: str | None = Field(
        None,
        description="Pool of collateral and debt in which loopers sell collateral to repay; they "
        "do not unwind when left out.",
    )
    collateral_yield: float = Field(
        0.0,
        ge=0.0,
        description="What the collateral earns by itself.",
        json_schema_extra={"unit": "1/year"},
    )
    unwind_carry: float = Field(
        0.0,
        description="Carry on equity below which they unwind.",
        json_schema_extra={"unit": "1/year"},
    )
    unwind_discount: float = Field(
        0.02,
        gt=0.0,
        lt=1.0,
        description="Discount of the collateral in the pool, against the feeds of the market, "
        "beyond which they unwind.",
    )
    unwind_hours: float = Field(
        12.0,
        gt=0.0,
        description="Median time from the reason to the first part.",
        json_schema_extra={"unit": "h"},
    )
    unwind_part: float = Field(
        0.25, gt=0.0, le=1.0, description="Share of the collateral sold in one order at most."
    )
    unwind_slippage: float = Field(
        0.01, gt=0.0, lt=1.0, description="Loss against the feeds that they accept in a sale."
    )
    unwind_pause_minutes: float = Field(
        60.0, gt=0.0, description="Time between parts.", json_schema_extra={"unit": "min"}
    )

    @model_validator(mode="after")
    def _check(self) -> BorrowersConfig:
        drawn = {"debt_usd": self.debt_usd, "health_quantiles": self.health_quantiles}
        if self.positions is None:
            missing = [k for k, v in {"count": self.count, **drawn}.items() if v is None]
            if missing:
                raise ValueError(f"{' and '.join(missing)} missing; give them, or positions")
        elif given := [name for name, value in drawn.items() if value is not None]:
            raise ValueError(f"{' and '.join(given)} cannot stand beside positions; leave one out")
        check_quantiles(self.health_quantiles or [(0.0, 1.0), (1.0, 1.0)])
        if self.collateral == self.debt:
            raise ValueError(f"collateral and debt are both '{self.debt}'; name two assets")
        if self.alarm_low > self.alarm_high:
            raise ValueError(
                f"alarm_low ({self.alarm_low:g}) must not exceed alarm_high ({self.alarm_high:g})"
            )
        return self


class Borrower(ColumnarAgent):
    """One borrower: a view on a row of its population."""


unpack = view_of(BorrowerState, LendingState, Outbox, Ledger, Venues, Feeds, Prices)


@kernel
def feared_move(watches, reserve, sign, feeds, prices):  # type: ignore[no-untyped-def]
    """Return the worst price that people know of, over that of the market; `sign` 1: a rise."""
    feed, worst = reserve.price_feed, 0.0
    if watches == QUEUE:
        for k in range(feeds.n_queued[feed]):
            worst = max(worst, sign * math.log(feeds.queued[feed, k] / reserve.price))
    elif watches == MARKET and feeds.kind[feed] != FIXED and prices.asset[reserve.token] >= 0:
        worst = max(worst, sign * math.log(prices.reference[reserve.token] / reserve.price))
    return math.exp(sign * worst)


@kernel(inline=False)
def fear_of(people, lending, feeds, prices):  # type: ignore[no-untyped-def]
    """Return by what health factors fall at the worst prices that people know of, at most 1."""
    watches = people.number[10]
    if watches == ORACLE:
        return 1.0
    pledged = feared_move(watches, lending.reserves[people.number[2]], -1.0, feeds, prices)
    return pledged / feared_move(watches, lending.reserves[people.number[9]], 1.0, feeds, prices)


@kernel(inline=False)
def scan(people, lending, fear, now):  # type: ignore[no-untyped-def]
    """Alarm every awake borrower whose health factor has fallen below its alarm."""
    write_indices(lending, people.grown, now)
    for k in range(people.awake.shape[0]):
        row = people.awake[k]
        if people.alarm[row] <= 0.0 or people.due[row] != NEVER:
            continue
        _, threshold, debt = values_at(lending, people.position[row], people.grown)
        if debt <= 0.0 or threshold * fear >= people.alarm[row] * debt:
            continue
        u = uniforms(people.number[4], people.number[5], now, row, 0)[0]
        people.due[row] = now + int(people.delay[row] * math.exp(0.5 * normal(u)))
        people.waiting[people.number[3]] = row
        people.number[3] += 1


@kernel
def means_of(box, ledger, chain, group, row, token):  # type: ignore[no-untyped-def]
    """Return what a borrower can defend itself with; the gas of the start is not for that."""
    held = balance_of(ledger, group, row, token)
    return max(held - _GAS_NATIVE * (box.chains[chain].native == token), 0.0)


@kernel(inline=False)
def defend(people, lending, box, ledger, venues, feeds, fear, row, clock):  # type: ignore[no-untyped-def]
    """Let one borrower repay, or top up where its debt token does not suffice; False: no means."""
    position, reserve = people.position[row], people.number[2]
    _, threshold, _, debt_value = account_values(lending, position, clock.now)
    threshold *= fear
    if debt_value <= 0.0 or threshold >= people.alarm[row] * debt_value:
        return True  # the danger is over
    group, venue = people.number[0], people.number[1]
    debt_reserve = people.number[9]
    price = lending.reserves[debt_reserve].price
    missing = debt_value - threshold / people.target[row]
    repay = min(
        missing / price,
        means_of(box, ledger, clock.chain, group, row, people.number[8]),
        debt_of(lending, position, debt_reserve, clock.now),
    )
    last = feeds.fill[lending.reserves[reserve].price_feed]
    parent = _FILL + last if last > 0 else _ROUTINE
    posted = False
    if repay * price > 0.01 * missing:
        order = draft(box, venues, venue, REPAY, group, row, clock.now)
        order.a, order.b, order.amount = position, debt_reserve, repay
        order.tip = people.tip[0]
        order.max_fee = 2.0 * order.max_fee + order.tip
        order.parent = parent
        post(box, order)
        posted = True
    left = missing - repay * price
    weight = terms_of(lending, position, reserve)[1]
    worth = lending.reserves[reserve].price * weight * fear
    held = means_of(box, ledger, clock.chain, group, row, people.number[7])
    amount = min(left * people.target[row] / worth, held)
    if left > 0.01 * missing and amount * worth > 0.01 * left:
        order = draft(box, venues, venue, SUPPLY, group, row, clock.now)
        order.a, order.b, order.amount = position, reserve, amount
        order.tip = people.tip[0]
        order.max_fee = 2.0 * order.max_fee + order.tip
        order.parent = parent
        post(box, order)
        posted = True
    people.n_actions[row] += posted
    return posted


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Raise alarms when a price has moved, and let those defend themselves whose time has come."""
    people, lending, box, ledger, venues, feeds, prices = unpack(binding)
    clock = clock_at(message)
    collateral_price = lending.reserves[people.number[2]].price
    debt_price = lending.reserves[people.number[9]].price
    fear = fear_of(people, lending, feeds, prices)
    moved = collateral_price != people.seen[0] or debt_price != people.seen[1]
    moved |= abs(fear - people.seen[2]) > _NOTICED
    if moved or clock.now >= people.number[6] + _RESCAN:
        scan(people, lending, fear, clock.now)
        people.seen[0], people.seen[1], people.seen[2] = collateral_price, debt_price, fear
        people.number[6] = clock.now
    kept = 0
    for k in range(people.number[3]):
        row = people.waiting[k]
        if people.due[row] > clock.now:
            people.waiting[kept] = row
            kept += 1
            continue
        if defend(people, lending, box, ledger, venues, feeds, fear, row, clock):
            people.due[row] = NEVER  # may be alarmed again
        else:
            people.alarm[row] = 0.0  # nothing left to defend it with
    people.number[3] = kept
    loop_out(people, lending, box, venues, clock)
    return OK


def make(world: World, site: PopulationSite) -> BorrowerState:
    """Return the columns of a population of borrowers, and enter its book."""
    config, n, seed = site.config, site.rows, world.seed
    venue = world.venue(config.market)
    pledged = reserve_of(world, venue, config.collateral)
    owed = reserve_of(world, venue, config.debt)
    mode = -1
    if config.efficiency_mode is not None:
        mode = mode_of(world, venue, config.efficiency_mode)
    positions, debts, health = enter_debts(world, site, mode)
    lending = world.shared[LendingState]
    if mode >= 0:
        lending.positions["mode"][positions] = mode
    asset, loan = lending.reserves[pledged], lending.reserves[owed]
    awake, has_means = awake_of(seed, site, debts)
    drawn = uniform_column(seed, f"{site.name}:alarm", n)
    alarm = config.alarm_low + (config.alarm_high - config.alarm_low) * drawn
    alarm = np.minimum(alarm, 0.5 * (1.0 + health))  # nobody fears the leverage they chose
    spread = np.exp(config.reaction_log_sd * normal_column(seed, f"{site.name}:delay", n))
    pool = _pool_of(world, site)
    n_loopers = n if pool >= 0 else 0
    return BorrowerState(
        position=positions,
        alarm=np.where(awake, alarm, 0.0),
        target=np.minimum(alarm + config.target_gain, health),
        delay=config.reaction_minutes * MINUTE * TICKS_PER_SECOND * spread,
        due=np.full(n, NEVER, np.int64),
        n_actions=np.zeros(n, np.int64),
        waiting=np.zeros(int(awake.sum()), np.int64),
        number=np.array(
            [
                site.group,
                venue,
                pledged,
                0,
                seed,
                site.stream,
                -_RESCAN,
                int(asset["token"]),
                int(loan["token"]),
                owed,
                _WATCHES.index(config.watches),
            ],
            np.int64,
        ),
        seen=np.zeros(3),
        has_means=has_means.astype(np.int64),
        awake=np.flatnonzero(awake),
        grown=np.zeros((2, len(lending.reserves))),
        tip=np.array([config.tip_gwei * GWEI]),
        unwind_due=np.full(n_loopers, NEVER, np.int64),
        n_unwinds=np.zeros(n_loopers, np.int64),
        pool=np.array([pool], np.int64),
        looked=np.array([-LOOK], np.int64),
        loop=np.array(
            [
                config.collateral_yield,
                config.unwind_carry,
                config.unwind_discount,
                ticks(config.unwind_hours * HOUR),
                config.reaction_log_sd,
                config.unwind_part,
                config.unwind_slippage,
                ticks(config.unwind_pause_minutes * MINUTE),
            ],
            float,
        ),
    )


def _pool_of(world: World, site: PopulationSite) -> int:
    """Return the pool in which loopers sell, -1: none; it is of their collateral and debt."""
    config = site.config
    if config.unwind_pool is None:
        return -1
    pool = world.venue(config.unwind_pool)
    pair = {world.token(config.chain, symbol) for symbol in (config.collateral, config.debt)}
    if pair != {int(world.venues.token0[pool]), int(world.venues.token1[pool])}:
        raise InputError(
            f"populations.{site.name}.unwind_pool: '{config.unwind_pool}' is no pool of "
            f"{config.collateral} and {config.debt}; name one, or leave it out"
        )
    return pool


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give those who hold means their tokens, and everybody gas."""
    config = site.config
    lending = world.shared[LendingState]
    book = value_book(lending, lending.reserves["price"], 0)
    means = state.has_means * book.debt[state.position] * config.cash_of_debt / 2.0
    for token in (int(state.number[7]), int(state.number[8])):
        world.endow_column(site.group, token, means / world.prices.fundamental[token])
    native = int(world.box.chains[site.chain]["native"])
    world.endow_column(site.group, native, _GAS_NATIVE)


def tokens(world: World, site: PopulationSite) -> list[int]:
    """Return what borrowers can hold: their collateral, their debt token and gas."""
    config = site.config
    symbols = (config.collateral, config.debt, world.plan.chains[site.chain].native)
    return [world.token(config.chain, symbol) for symbol in symbols]


def columns(world: World, site: PopulationSite, state: BorrowerState) -> dict[str, Any]:
    """Return computed columns: debt and collateral, USD at oracle prices, and health factor."""

    def book() -> Any:
        lending = world.shared[LendingState]
        return value_book(lending, lending.reserves["price"], world.now)

    def health_factor() -> np.ndarray:
        values = book()
        with np.errstate(divide="ignore", invalid="ignore"):
            health = values.threshold[state.position] / values.debt[state.position]
        return np.where(values.debt[state.position] > 0.0, health, np.inf)

    return {
        "debt": lambda: book().debt[state.position],
        "collateral": lambda: book().collateral[state.position],
        "health_factor": health_factor,
    }


KIND = PopulationKind(
    kind="borrowers",
    config=BorrowersConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=Borrower,
    role="borrowers",
    tokens=tokens,
    columns=columns,
)
