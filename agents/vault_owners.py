"""Vault owners: a book of CDP debts with the spread of real books, and people who defend it.

Debts are lognormal and health factors follow debt-weighted quantiles, as those of borrowers in
lending markets do. Those awake react after their own delay when their health factor falls below
their alarm: they repay with the debt token they hold, or top up with collateral. The others sleep.
Where the oracle shows the price that waits for its delay, some may look at that one too: they are
warned before the market is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from agents.borrowers import NEVER, Quantile, check_quantiles
from agents.debt_books import awake_of, debts_of, health_of
from agents.population import ColumnarAgent
from sim.cdp.building import enter, open_vaults
from sim.cdp.reading import book_at_own_prices
from sim.cdp.state import CdpState
from sim.cdp.vault import debt_of
from sim.cdp.verbs import DEPOSIT, REPAY
from sim.chain import clock_at
from sim.draws import normal, normal_column, uniform_column, uniforms
from sim.feeds import Feeds
from sim.kernel import F8, I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.mempool import Outbox, post
from sim.orders import FILL, ROUTINE, cause
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import GWEI, MINUTE, TICKS_PER_SECOND
from sim.venues import Venues, draft

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
_GAS_NATIVE = 0.2  # native tokens of each for gas
_FILL, _ROUTINE = cause(FILL), cause(ROUTINE)
_RESCAN = 3_600 * TICKS_PER_SECOND  # the fee moves health factors even when prices do not
_SMALL = 0.01  # share of what is missing that is not worth an order
GROUP, VENUE, MARKET, N_WAITING, SEED, STREAM, SCANNED, SEES_QUEUE = range(8)  # .number

Share = Annotated[float, Field(ge=0.0, le=1.0)]


@columnar
class VaultOwnerState(NamedTuple):
    """Columns of vault owners, and what they share."""

    vault: I8  # int64, (n,), row of the vault table
    alarm: F8  # float64, (n,), health factor below which they react; 0: asleep, or without means
    target: F8  # float64, (n,), health factor to which they go back
    delay: F8  # float64, (n,), ticks, their median reaction time
    due: I8  # int64, (n,), tick at which they will react, NEVER: not alarmed
    n_actions: I8  # int64, (n,), repayments and top-ups sent
    waiting: I8  # int64, (n,), rows that are alarmed, first `number[N_WAITING]` entries
    number: I8  # int64, (8,): see GROUP …
    seen: F8  # float64, (1,): price at the last scan
    has_means: I8  # int64, (n,), 1: awake with means to defend itself
    tip: F8  # float64, (1,), native token per gas


class VaultOwnersConfig(Config):
    """Owners of vaults in one CDP market."""

    kind: Literal["vault_owners"]
    chain: str = Field(description="Chain of the market.")
    cdp: str = Field(description="CDP market.")
    count: int = Field(gt=0, le=10_000_000, description="Number of vaults.")
    debt_usd: float = Field(
        gt=0.0,
        description="Debt of all at the start, counted at the market's target price.",
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
    health_quantiles: Annotated[list[Quantile], Field(min_length=2)] = Field(
        description="Pairs [share of debt, health factor below which that share lies], rising."
    )
    shares_of: Literal["debt", "people"] = Field(
        "debt", description="Whether awake_share and cash_share are shares of debt or of people."
    )
    awake_share: Share = Field(0.6, description="Share of those who watch their health factor.")
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
    cash_share: Share = Field(
        0.7, description="Share of the awake who hold means to defend themselves."
    )
    cash_of_debt: float = Field(
        0.25, ge=0.0, description="Their means, half in each token, over their debt."
    )
    sees_queue: bool = Field(
        False, description="Whether they also watch prices that wait for the oracle's delay."
    )
    tip_gwei: float = Field(
        2.0, ge=0.0, description="Priority fee they bid.", json_schema_extra={"unit": "gwei"}
    )

    @model_validator(mode="after")
    def _check(self) -> VaultOwnersConfig:
        check_quantiles(self.health_quantiles)
        if self.alarm_low > self.alarm_high:
            raise ValueError(
                f"alarm_low ({self.alarm_low:g}) must not exceed alarm_high ({self.alarm_high:g})"
            )
        return self


class VaultOwner(ColumnarAgent):
    """One vault owner: a view on a row of its population."""


unpack = view_of(VaultOwnerState, CdpState, Outbox, Ledger, Venues, Feeds)


@kernel
def seen_price(people, cdp, feeds):  # type: ignore[no-untyped-def]
    """Return the lowest price that owners know of: the market's, or one that waits in its feed."""
    market = cdp.markets[people.number[MARKET]]
    price = market.price
    if people.number[SEES_QUEUE] != 0:
        for k in range(feeds.n_queued[market.price_feed]):
            price = min(price, feeds.queued[market.price_feed, k])
    return price


@kernel
def worth_of(cdp, vault, price):  # type: ignore[no-untyped-def]
    """Return the debt tokens that a vault's collateral carries at a price."""
    market = cdp.markets[cdp.vaults[vault].market]
    return cdp.collateral[vault] * price / (market.liquidation_ratio * market.target_price)


@kernel(inline=False)
def scan(people, cdp, price, now):  # type: ignore[no-untyped-def]
    """Alarm every awake owner whose health factor has fallen below its alarm."""
    for row in range(people.vault.shape[0]):
        if people.alarm[row] <= 0.0 or people.due[row] != NEVER:
            continue
        vault = people.vault[row]
        debt = debt_of(cdp, vault, now)
        if debt <= 0.0 or worth_of(cdp, vault, price) >= people.alarm[row] * debt:
            continue
        u = uniforms(people.number[SEED], people.number[STREAM], now, row, 0)[0]
        people.due[row] = now + int(people.delay[row] * math.exp(0.5 * normal(u)))
        people.waiting[people.number[N_WAITING]] = row
        people.number[N_WAITING] += 1


@kernel
def means_of(people, box, ledger, chain, row, token):  # type: ignore[no-untyped-def]
    """Return what an owner can defend itself with; the gas of the start is not for that."""
    held = balance_of(ledger, people.number[GROUP], row, token)
    return max(held - _GAS_NATIVE * (box.chains[chain].native == token), 0.0)


@kernel
def send(people, box, venues, verb, row, amount, parent, now):  # type: ignore[no-untyped-def]
    """Post a repayment or top-up."""
    order = draft(box, venues, people.number[VENUE], verb, people.number[GROUP], row, now)
    order.a, order.amount, order.parent = people.vault[row], amount, parent
    order.tip = people.tip[0]
    order.max_fee = 2.0 * order.max_fee + order.tip
    post(box, order)


@kernel
def repayment(cdp, vault, wanted, held, now):  # type: ignore[no-untyped-def]
    """Return what can be repaid of what is wanted: not below the debt floor, or all."""
    debt = debt_of(cdp, vault, now)
    amount = min(wanted, held, debt)
    floor = cdp.markets[cdp.vaults[vault].market].debt_floor
    if amount < debt < amount + floor:
        amount = debt if held >= debt else max(debt - floor, 0.0)
    return amount


@kernel(inline=False)
def defend(people, cdp, box, ledger, venues, feeds, row, price, clock):  # type: ignore[no-untyped-def]
    """Let one owner repay, or top up where its debt token does not suffice; False: no means."""
    vault, now = people.vault[row], clock.now
    debt, carried = debt_of(cdp, vault, now), worth_of(cdp, vault, price)
    if debt <= 0.0 or carried >= people.alarm[row] * debt:
        return True  # the danger is over, or the vault is gone
    market = cdp.markets[people.number[MARKET]]
    last = venues.last_fill[feeds.venue[market.price_feed]]
    parent = _FILL + last if last > 0 else _ROUTINE
    missing = debt - carried / people.target[row]
    held = means_of(people, box, ledger, clock.chain, row, market.debt_token)
    repaid = repayment(cdp, vault, missing, held, now)
    posted = False
    if repaid > _SMALL * missing:
        send(people, box, venues, REPAY, row, repaid, parent, now)
        posted = True
    left = missing - repaid
    unit = price / (market.liquidation_ratio * market.target_price)  # debt that a token carries
    held = means_of(people, box, ledger, clock.chain, row, market.collateral_token)
    amount = min(left * people.target[row] / unit, held)
    if left > _SMALL * missing and amount * unit > _SMALL * left:
        send(people, box, venues, DEPOSIT, row, amount, parent, now)
        posted = True
    people.n_actions[row] += posted
    return posted


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Raise alarms when a price has moved, and let those defend themselves whose time has come."""
    people, cdp, box, ledger, venues, feeds = unpack(binding)
    clock = clock_at(message)
    price = seen_price(people, cdp, feeds)
    if price != people.seen[0] or clock.now >= people.number[SCANNED] + _RESCAN:
        scan(people, cdp, price, clock.now)
        people.seen[0], people.number[SCANNED] = price, clock.now
    kept = 0
    for k in range(people.number[N_WAITING]):
        row = people.waiting[k]
        if people.due[row] > clock.now:
            people.waiting[kept] = row
            kept += 1
        elif defend(people, cdp, box, ledger, venues, feeds, row, price, clock):
            people.due[row] = NEVER  # may be alarmed again
        else:
            people.alarm[row] = 0.0  # nothing left to defend it with
    people.number[N_WAITING] = kept
    return OK


def make(world: World, site: PopulationSite) -> VaultOwnerState:
    """Return the columns of a population of vault owners, and enter its book."""
    config, n, seed = site.config, site.rows, world.seed
    venue = world.venue(config.cdp)
    vaults = open_vaults(world, venue, site.group, np.arange(n))
    row = int(world.venues.row[venue])
    market = world.shared[CdpState].markets[row]
    debts = debts_of(
        seed, site.name, n, config.debt_usd, config.debt_log_sd, config.largest_debt_share
    )
    health = health_of(
        debts, uniform_column(seed, f"{site.name}:health", n), config.health_quantiles
    )
    pledged = health * debts * float(market["liquidation_ratio"]) / float(market["price"])
    enter(world, vaults, pledged, debts / float(market["target_price"]))
    awake, has_means = awake_of(seed, site, debts)
    drawn = uniform_column(seed, f"{site.name}:alarm", n)
    alarm = config.alarm_low + (config.alarm_high - config.alarm_low) * drawn
    alarm = np.minimum(alarm, 0.5 * (1.0 + health))  # nobody fears the leverage they chose
    spread = np.exp(config.reaction_log_sd * normal_column(seed, f"{site.name}:delay", n))
    sees = int(config.sees_queue)
    return VaultOwnerState(
        vault=vaults,
        alarm=np.where(awake, alarm, 0.0),
        target=np.minimum(alarm + config.target_gain, health),
        delay=config.reaction_minutes * MINUTE * TICKS_PER_SECOND * spread,
        due=np.full(n, NEVER, np.int64),
        n_actions=np.zeros(n, np.int64),
        waiting=np.zeros(n, np.int64),
        number=np.array([site.group, venue, row, 0, seed, site.stream, -_RESCAN, sees], np.int64),
        seen=np.zeros(1),
        has_means=has_means.astype(np.int64),
        tip=np.array([config.tip_gwei * GWEI]),
    )


def fund(world: World, site: PopulationSite, state: VaultOwnerState) -> None:
    """Give those who hold means their tokens, and everybody gas."""
    config = site.config
    cdp = world.shared[CdpState]
    market = cdp.markets[int(state.number[MARKET])]
    debt = book_at_own_prices(cdp, 0).debt[state.vault]
    means = state.has_means * debt * config.cash_of_debt / 2.0
    for token in (int(market["collateral_token"]), int(market["debt_token"])):
        world.endow_column(site.group, token, means / world.prices.fundamental[token])
    native = int(world.box.chains[site.chain]["native"])
    world.endow_column(site.group, native, _GAS_NATIVE)


def tokens(world: World, site: PopulationSite) -> list[int]:
    """Return what vault owners can hold: collateral, debt token and gas."""
    plan = world.plan.venues[world.venue(site.config.cdp)]
    symbols = (plan.config.collateral, plan.config.debt, world.plan.chains[site.chain].native)
    return [world.token(site.config.chain, symbol) for symbol in symbols]


def columns(world: World, site: PopulationSite, state: VaultOwnerState) -> dict[str, Any]:
    """Return computed columns: debt and collateral, USD as the market sees them, and health."""

    def book() -> Any:
        return book_at_own_prices(world.shared[CdpState], world.now)

    def health_factor() -> np.ndarray:
        values = book()
        owed = (values.debt * values.ratio)[state.vault]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(owed > 0.0, values.collateral[state.vault] / owed, np.inf)

    return {
        "debt": lambda: book().debt[state.vault],
        "collateral": lambda: book().collateral[state.vault],
        "health_factor": health_factor,
    }


KIND = PopulationKind(
    kind="vault_owners",
    config=VaultOwnersConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=VaultOwner,
    tokens=tokens,
    columns=columns,
)
