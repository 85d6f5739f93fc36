"""Borrowers of a crvUSD market: a book of loans over bands, and people who repay in time.

Debts are lognormal; each loan borrows a share of the most that its bands allow. Those awake look at
their health and, some time after it has fallen below their alarm, repay a share of their debt with
the debt tokens they kept: in soft liquidation that is all that can still be done. The others leave
it to the bands.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from agents.debt_books import debts_of
from agents.population import ColumnarAgent
from sim.chain import clock_at
from sim.draws import normal_column, uniform_column
from sim.kernel import F8, I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.llamma.building import enter, open_loans
from sim.llamma.deposits import effective_collateral
from sim.llamma.loans import debt_of, health
from sim.llamma.settings import FEWEST, MOST
from sim.llamma.state import LlammaState
from sim.llamma.verbs import REPAY
from sim.mempool import Outbox, post
from sim.orders import ROUTINE, cause
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import MINUTE, TICKS_PER_SECOND
from sim.venues import Venues, draft

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
NEVER = np.iinfo(np.int64).max
_GAS_NATIVE = 0.2  # native tokens of each for gas
_ROUTINE = cause(ROUTINE)
GROUP, VENUE, MARKET = range(3)  # .number

Share = Annotated[float, Field(ge=0.0, le=1.0)]


@columnar
class LlammaBorrowerState(NamedTuple):
    """Columns of borrowers, and what they share."""

    loan: I8  # int64, (n,), row of the table of loans
    alarm: F8  # float64, (n,), health below which they react; below -1: asleep, or without means
    delay: F8  # float64, (n,), ticks, reaction time
    due: I8  # int64, (n,), tick at which they will react, NEVER: not alarmed
    n_repayments: I8  # int64, (n,), sent
    repaid_share: F8  # float64, (1,), share of the debt of one repayment
    number: I8  # int64, (3,): see GROUP …
    seen: F8  # float64, (1,), price at the last scan


class LlammaBorrowersConfig(Config):
    """Borrowers of one crvUSD market."""

    kind: Literal["llamma_borrowers"]
    chain: str = Field(description="Chain of the market.")
    llamma: str = Field(description="crvUSD market.")
    count: int = Field(gt=0, le=1_000_000, description="Number of loans.")
    debt_usd: float = Field(
        gt=0.0,
        description="Debt of all at the start.",
        json_schema_extra={"unit": "USD", "stress": {"book_scale": "multiply"}},
    )
    debt_log_sd: float = Field(
        1.5, ge=0.0, le=5.0, description="Standard deviation of the logarithm of debts."
    )
    bands_low: int = Field(10, ge=FEWEST, le=MOST, description="Fewest bands of a loan.")
    bands_high: int = Field(10, ge=FEWEST, le=MOST, description="Most bands of a loan.")
    borrowed_low: float = Field(
        0.7, gt=0.0, lt=1.0, description="Least share of the most that can be borrowed."
    )
    borrowed_high: float = Field(0.97, gt=0.0, lt=1.0, description="Largest such share.")
    awake_share: Share = Field(0.3, description="Share of people who watch their health.")
    alarm: float = Field(
        0.03, gt=-1.0, description="Health below which those awake repay; 0: can be liquidated."
    )
    cash_of_debt: float = Field(
        0.2, ge=0.0, description="Debt tokens that those awake keep, over their debt."
    )
    repaid_share: float = Field(
        0.1, gt=0.0, le=1.0, description="Share of the debt of one repayment."
    )
    reaction_minutes: float = Field(
        30.0, ge=0.0, description="Median reaction time.", json_schema_extra={"unit": "min"}
    )
    reaction_log_sd: float = Field(1.0, ge=0.0, description="Log spread of reaction times.")

    @model_validator(mode="after")
    def _check(self) -> LlammaBorrowersConfig:
        for name in ("bands", "borrowed"):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            if low > high:
                raise ValueError(f"{name}_low ({low:g}) must not exceed {name}_high ({high:g})")
        return self


class LlammaBorrower(ColumnarAgent):
    """One borrower: a view on a row of its population."""


unpack = view_of(LlammaBorrowerState, LlammaState, Outbox, Ledger, Venues)


@kernel(inline=False)
def scan(people, llamma, now):  # type: ignore[no-untyped-def]
    """Alarm every borrower awake whose health has fallen below its alarm."""
    for row in range(people.loan.shape[0]):
        if people.alarm[row] <= -1.0 or people.due[row] != NEVER:
            continue
        if health(llamma, people.loan[row], 1, now) < people.alarm[row]:
            people.due[row] = now + int(people.delay[row])


@kernel(inline=False)
def repay(people, llamma, box, ledger, venues, row, clock):  # type: ignore[no-untyped-def]
    """Post one borrower's repayment, if the alarm still holds; without means it goes to sleep."""
    loan = people.loan[row]
    people.due[row] = NEVER
    if not health(llamma, loan, 1, clock.now) < people.alarm[row]:
        return
    group, token = people.number[GROUP], llamma.markets[people.number[MARKET]].debt_token
    amount = people.repaid_share[0] * debt_of(llamma, loan, clock.now)
    if balance_of(ledger, group, row, token) < amount:
        people.alarm[row] = -2.0
        return
    order = draft(box, venues, people.number[VENUE], REPAY, group, row, clock.now)
    order.a, order.amount, order.parent = loan, amount, _ROUTINE
    people.n_repayments[row] += 1
    post(box, order)


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Raise alarms when the price has moved, and let those repay whose time has come."""
    people, llamma, box, ledger, venues = unpack(binding)
    clock = clock_at(message)
    price = llamma.markets[people.number[MARKET]].price
    if price != people.seen[0]:
        scan(people, llamma, clock.now)
        people.seen[0] = price
    for row in range(people.loan.shape[0]):
        if people.due[row] <= clock.now:
            repay(people, llamma, box, ledger, venues, row, clock)
    return OK


def make(world: World, site: PopulationSite) -> LlammaBorrowerState:
    """Return the columns of a population of borrowers, and open their loans."""
    config, n, seed = site.config, site.rows, world.seed
    venue = world.venue(config.llamma)
    loans = open_loans(world, venue, site.group, np.arange(n))
    row = int(world.venues.row[venue])
    market = world.shared[LlammaState].markets[row]
    debts = debts_of(seed, site.name, n, config.debt_usd, config.debt_log_sd)
    drawn = uniform_column(seed, f"{site.name}:bands", n)
    span = config.bands_high - config.bands_low + 1
    bands = (config.bands_low + np.floor(drawn * span)).astype(np.int64)
    share = uniform_column(seed, f"{site.name}:borrowed", n)
    share = config.borrowed_low + (config.borrowed_high - config.borrowed_low) * share
    worth = [effective_collateral(1.0, int(k), market["loan_discount"], market["a"]) for k in bands]
    # The most is borrowed where the first band begins right below the price.
    most = np.array(worth) * float(market["price"]) * math.exp(float(market["log_step"]))
    enter(world, loans, debts / (share * most), debts, bands)
    awake = uniform_column(seed, f"{site.name}:awake", n) < config.awake_share
    spread = np.exp(config.reaction_log_sd * normal_column(seed, f"{site.name}:delay", n))
    return LlammaBorrowerState(
        loan=loans,
        alarm=np.where(awake, config.alarm, -2.0),
        delay=config.reaction_minutes * MINUTE * TICKS_PER_SECOND * spread,
        due=np.full(n, NEVER, np.int64),
        n_repayments=np.zeros(n, np.int64),
        repaid_share=np.array([config.repaid_share]),
        number=np.array([site.group, venue, row], np.int64),
        seen=np.zeros(1),
    )


def fund(world: World, site: PopulationSite, state: LlammaBorrowerState) -> None:
    """Give those awake their debt tokens, and everybody gas."""
    llamma = world.shared[LlammaState]
    market = llamma.markets[int(state.number[MARKET])]
    owed = llamma.loans["scaled"][state.loan] * market["index"]
    means = np.where(state.alarm > -1.0, site.config.cash_of_debt * owed, 0.0)
    world.endow_column(site.group, int(market["debt_token"]), means)
    native = int(world.box.chains[site.chain]["native"])
    world.endow_column(site.group, native, _GAS_NATIVE)


def tokens(world: World, site: PopulationSite) -> list[int]:
    """Return what they can hold: collateral, debt token and gas."""
    plan = world.plan.venues[world.venue(site.config.llamma)]
    symbols = {plan.config.collateral, plan.config.debt, world.plan.chains[site.chain].native}
    return [world.token(site.config.chain, symbol) for symbol in sorted(symbols)]


def columns(world: World, site: PopulationSite, state: LlammaBorrowerState) -> dict[str, Any]:
    """Return computed columns: debt, debt tokens, and health."""

    def debt() -> np.ndarray:
        llamma = world.shared[LlammaState]
        return np.array([debt_of(llamma, int(loan), world.now) for loan in state.loan])

    def current() -> np.ndarray:
        llamma = world.shared[LlammaState]
        return np.array([health(llamma, int(loan), 1, world.now) for loan in state.loan])

    return {"debt": debt, "health": current}


KIND = PopulationKind(
    kind="llamma_borrowers",
    config=LlammaBorrowersConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=LlammaBorrower,
    role="borrowers",
    tokens=tokens,
    columns=columns,
)
