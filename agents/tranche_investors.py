"""Investors in one tranche of a vault: they watch it, and leave by the queue or by the pool.

Each has a size (Pareto), a speed and an appetite for risk, which scales what alarms it: coverage of
the senior tranche below a level, a fall of its own tranche's value per share from the highest it
has seen, a discount in the secondary pool, a queue that takes long. *Informed* investors see what
can be recovered at fundamental prices, and act in minutes; *slow* ones see the recognized values
and act in days; the others are asleep.

Who leaves sells in the pool as long as the discount there is no more than what the wait in the
queue is worth, its impatience times the epochs it expects, and puts the rest into the queue. When
nothing has alarmed for long enough, those who are out come back with their cash. Those with cash
and without fear buy shares in the pool at a bargain.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from agents.population import ColumnarAgent
from sim.chain import clock_at
from sim.draws import normal_column, uniform_column, uniforms
from sim.errors import InputError
from sim.kernel import F8, I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.mempool import Outbox, post
from sim.orders import ROUTINE, SWAP, cause
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.tranches.settings import KIND as VAULT_KIND
from sim.tranches.settings import thicknesses
from sim.tranches.state import (
    DEPOSIT,
    OPEN,
    REDEEM,
    TrancheState,
    can_redeem,
    coverage_of,
    price_of,
)
from sim.units import GWEI, HOUR, MINUTE, TICKS_PER_SECOND, ticks
from sim.venues import Venues, draft

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
NEVER = 1 << 60
_ROUTINE = cause(ROUTINE)
_GAS_NATIVE = 0.2  # native tokens of each for gas
_DUST = 1.0  # cash; less is not worth an order
ASLEEP, INFORMED, SLOW = range(3)  # speeds
IN, LEAVING, OUT = range(3)  # stages
GROUP, VENUE, TRANCHE, POOL, SIDE, SEED, STREAM, LOOKED, ALARMED = range(9)  # .number
(
    COVERAGE, FALL, DISCOUNT, EPOCHS, IMPATIENCE, CALM, EVERY, TIP, BARGAIN, HIGHEST, HIGHEST_FAIR,
    START,
) = range(12)  # .terms  # fmt: skip
SEEN_COVERAGE, SEEN_FALL, SEEN_PRICE = range(3)  # .sight, by recognized (0) and fair value (3)


@columnar
class TrancheInvestorState(NamedTuple):
    """Columns of investors, and what they share."""

    speed: I8  # int64, (n,), ASLEEP, INFORMED, SLOW
    appetite: F8  # float64, (n,), times what alarms: 2 bears twice the loss
    shares_at_start: F8  # float64, (n,), tokens
    stage: I8  # int64, (n,), IN, LEAVING, OUT
    due: I8  # int64, (n,), tick at which it acts next, NEVER: nothing to do
    n_redemptions: I8  # int64, (n,), requests sent
    n_sales: I8  # int64, (n,), sales in the pool sent
    number: I8  # int64, (9,): group, vault, tranche, pool or -1, side of the share in it, seed,
    # stream, tick of the last look, tick of the last alarm
    terms: F8  # float64, (12,): triggers, impatience, ticks of calm and of a look, tip, bargain,
    # highest value of a share seen, recognized and fair, coverage at the start
    sight: F8  # float64, (6,): coverage, fall and value of a share, recognized and fair
    bounds: F8  # float64, (4,): ticks of the reaction, informed and slow, each from and to


class TrancheInvestorsConfig(Config):
    """Investors in one tranche of a vault."""

    kind: Literal["tranche_investors"]
    chain: str = Field(description="Chain of the vault.")
    vault: str = Field(description="Tranche vault.")
    tranche: str = Field(description="Name of the tranche.")
    count: int = Field(gt=0, le=1_000_000, description="Number of investors.")
    share: float = Field(gt=0.0, le=1.0, description="Share of the tranche they hold at the start.")
    pareto_tail: float = Field(
        1.2, gt=0.5, le=10.0, description="Tail index of their sizes; 1.2: the top 1 % hold half."
    )
    cash_usd: float = Field(
        0.0,
        ge=0.0,
        description="Cash of all beside, in proportion to their sizes, for bargains.",
        json_schema_extra={"unit": "USD"},
    )
    pool: str | None = Field(None, description="Pool of the shares and the vault's cash.")
    informed_share: float = Field(
        0.15, ge=0.0, le=1.0, description="Share by number of the informed."
    )
    slow_share: float = Field(0.45, ge=0.0, le=1.0, description="Share by number of the slow.")
    informed_minutes: tuple[float, float] = Field(
        (10.0, 60.0),
        strict=False,
        description="Range of the time in which the informed act.",
        json_schema_extra={"unit": "min"},
    )
    slow_hours: tuple[float, float] = Field(
        (24.0, 72.0),
        strict=False,
        description="Range of the time in which the slow act.",
        json_schema_extra={"unit": "h"},
    )
    appetite_log_sd: float = Field(
        0.3, ge=0.0, le=3.0, description="Log spread of their appetites for risk."
    )
    coverage_trigger: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Coverage of the senior tranche that alarms; 0: none does. Appetite scales the "
        "way to it from the coverage of the start.",
    )
    fall_trigger: float = Field(
        0.01, gt=0.0, description="Fall of the value of a share from its highest that alarms."
    )
    discount_trigger: float = Field(
        0.02, gt=0.0, description="Discount in the pool that alarms; more than 1: none does."
    )
    queue_trigger_epochs: float = Field(
        3.0, gt=0.0, description="Epochs that the queue takes, at the gate, that alarm."
    )
    impatience: float = Field(
        0.01, ge=0.0, le=1.0, description="Discount they accept for each epoch of waiting saved."
    )
    bargain_discount: float = Field(
        0.1, gt=0.0, lt=1.0, description="Discount at which those with cash buy in the pool."
    )
    calm_hours: float = Field(
        120.0,
        gt=0.0,
        description="Time without alarm after which those who left return.",
        json_schema_extra={"unit": "h"},
    )
    look_minutes: float = Field(
        10.0, gt=0.0, description="Time between looks.", json_schema_extra={"unit": "min"}
    )
    tip_gwei: float = Field(
        1.0, ge=0.0, description="Priority fee.", json_schema_extra={"unit": "gwei"}
    )

    @model_validator(mode="after")
    def _check(self) -> TrancheInvestorsConfig:
        if self.informed_share + self.slow_share > 1.0 + 1e-12:
            raise ValueError(
                f"informed_share + slow_share is {self.informed_share + self.slow_share:g}; it "
                "must not exceed 1"
            )
        for name in ("informed_minutes", "slow_hours"):
            low, high = getattr(self, name)
            if not 0.0 < low <= high:
                raise ValueError(f"{name} ({low:g}, {high:g}) must rise from above 0")
        return self


class TrancheInvestor(ColumnarAgent):
    """One investor: a view on a row of its population."""


unpack = view_of(TrancheInvestorState, TrancheState, Outbox, Ledger, Venues)


# --- what they see -------------------------------------------------------------------------------


@kernel
def see(people, state, ledger, row):  # type: ignore[no-untyped-def]
    """Note coverage, fall from the highest and value of a share, recognized and fair."""
    vault, k = state.vaults[row], people.number[TRANCHE]
    supply = ledger.supply[state.share[row, k]]
    price, fair = price_of(state, ledger, row, k), 1.0
    if supply > 0.0:
        fair = state.fair[row, k] / supply
    people.terms[HIGHEST] = max(people.terms[HIGHEST], price)
    people.terms[HIGHEST_FAIR] = max(people.terms[HIGHEST_FAIR], fair)
    total = 0.0
    for j in range(vault.n_tranches):
        total += state.fair[row, j]
    sight = people.sight
    sight[SEEN_COVERAGE] = coverage_of(state, row)
    sight[SEEN_FALL] = 1.0 - price / people.terms[HIGHEST]
    sight[SEEN_PRICE] = price
    sight[3 + SEEN_COVERAGE] = (total - state.fair[row, 0]) / total if total > 0.0 else 0.0
    sight[3 + SEEN_FALL] = 1.0 - fair / people.terms[HIGHEST_FAIR]
    sight[3 + SEEN_PRICE] = fair


@kernel
def pool_price(people, venues):  # type: ignore[no-untyped-def]
    """Return what a share trades at in cash; 0 without a pool."""
    pool = people.number[POOL]
    if pool < 0 or venues.price[pool] <= 0.0:
        return 0.0
    return venues.price[pool] if people.number[SIDE] == 0 else 1.0 / venues.price[pool]


@kernel
def queue_epochs(people, state, ledger, row):  # type: ignore[no-untyped-def]
    """Return how many epochs the queue of the tranche takes at the gate."""
    k = people.number[TRANCHE]
    a_time = state.vaults[row].gate * state.nav[row, k]
    asked = state.asked[row, k] * price_of(state, ledger, row, k)
    return asked / a_time if a_time > 0.0 else 0.0


@kernel
def is_alarmed(people, person, epochs, market):  # type: ignore[no-untyped-def]
    """Return whether what somebody sees is more than its appetite bears."""
    seen = 3 if people.speed[person] == INFORMED else 0
    appetite, sight = people.appetite[person], people.sight
    price = sight[SEEN_PRICE]
    start = people.terms[START]
    bearable = start - (start - people.terms[COVERAGE]) * appetite  # a vault at rest alarms nobody
    if people.terms[COVERAGE] > 0.0 and sight[seen + SEEN_COVERAGE] < bearable:
        return True
    if sight[seen + SEEN_FALL] > people.terms[FALL] * appetite:
        return True
    is_traded = market > 0.0 and price > 0.0
    if is_traded and 1.0 - market / price > people.terms[DISCOUNT] * appetite:
        return True
    return epochs > people.terms[EPOCHS] * appetite


@kernel
def reaction(people, person, now):  # type: ignore[no-untyped-def]
    """Return the ticks until somebody acts: log-uniform in the range of its speed."""
    at = 0 if people.speed[person] == INFORMED else 2
    low, high = people.bounds[at], people.bounds[at + 1]
    u = uniforms(people.number[SEED], people.number[STREAM], now, person, 0)[0]
    return int(low * math.exp(u * math.log(high / low)))


# --- what they do --------------------------------------------------------------------------------


@kernel
def post_swap(people, box, ledger, venues, person, side, amount, limit, now):  # type: ignore[no-untyped-def]
    """Send a swap of shares (side 0) or cash (1) in the pool, down or up to a price in cash."""
    pool, is_first = people.number[POOL], people.number[SIDE] == 0
    order = draft(box, venues, pool, SWAP, people.number[GROUP], person, now)
    order.a = side if is_first else 1 - side
    order.amount = amount
    order.token_in = venues.token0[pool] if order.a == 0 else venues.token1[pool]
    order.token_out = venues.token1[pool] if order.a == 0 else venues.token0[pool]
    order.price_limit = limit if is_first else 1.0 / limit
    order.tip, order.parent = people.terms[TIP], _ROUTINE
    order.max_fee += order.tip
    order.expires = now + int(people.terms[EVERY])
    post(box, order)


@kernel
def post_request(people, box, venues, person, verb, amount, now):  # type: ignore[no-untyped-def]
    """Send a deposit or a redemption."""
    order = draft(box, venues, people.number[VENUE], verb, people.number[GROUP], person, now)
    order.a, order.amount = people.number[TRANCHE], amount
    order.tip, order.parent = people.terms[TIP], _ROUTINE
    order.max_fee += order.tip
    post(box, order)


@kernel(inline=False)
def leave(people, state, box, ledger, venues, person, row, epochs, now):  # type: ignore[no-untyped-def]
    """Sell in the pool while that beats the wait; at the next look ask for the rest."""
    k, price = people.number[TRANCHE], people.sight[SEEN_PRICE]
    shares = balance_of(ledger, people.number[GROUP], person, state.share[row, k])
    if shares * max(price, pool_price(people, venues)) < _DUST:
        people.stage[person], people.due[person] = OUT, NEVER
        return
    wait = max(epochs, 1.0)
    least = people.sight[3 + SEEN_PRICE] if people.speed[person] == INFORMED else price
    least = min(least, price) * (1.0 - min(people.terms[IMPATIENCE] * wait, 0.99))
    if pool_price(people, venues) > least * (1.0 + 1e-3) and least > 0.0:
        post_swap(people, box, ledger, venues, person, 0, shares, least, now)
        people.n_sales[person] += 1
    elif can_redeem(state.vaults[row]) and price > 0.0:
        post_request(people, box, venues, person, REDEEM, shares, now)
        people.n_redemptions[person] += 1
    people.due[person] = now + int(people.terms[EVERY])


@kernel(inline=False)
def invest(people, state, box, ledger, venues, person, row, is_back, now):  # type: ignore[no-untyped-def]
    """Buy a bargain in the pool; who comes back puts the rest of its cash into the vault."""
    vault = state.vaults[row]
    cash = balance_of(ledger, people.number[GROUP], person, vault.cash)
    if cash < _DUST:
        return
    seen = 3 if people.speed[person] == INFORMED else 0
    fair = min(people.sight[SEEN_PRICE], people.sight[seen + SEEN_PRICE])
    most, market = fair * (1.0 - people.terms[BARGAIN]), pool_price(people, venues)
    if 0.0 < market < most:
        post_swap(people, box, ledger, venues, person, 1, cash, most, now)
    elif is_back and vault.stage == OPEN:
        post_request(people, box, venues, person, DEPOSIT, cash, now)


@kernel(inline=False)
def look(people, state, box, ledger, venues, row, now):  # type: ignore[no-untyped-def]
    """Let everybody who is awake see, be alarmed, and act when it is due."""
    see(people, state, ledger, row)
    epochs, market = queue_epochs(people, state, ledger, row), pool_price(people, venues)
    if is_alarmed_at_all(people, epochs, market):
        people.number[ALARMED] = now
    is_calm = now - people.number[ALARMED] >= people.terms[CALM]
    for person in range(people.speed.shape[0]):
        if people.speed[person] == ASLEEP:
            continue
        if people.stage[person] == IN and people.due[person] == NEVER:
            if is_alarmed(people, person, epochs, market):
                people.stage[person] = LEAVING
                people.due[person] = now + reaction(people, person, now)
            else:
                invest(people, state, box, ledger, venues, person, row, False, now)
        elif people.stage[person] == OUT and is_calm and people.due[person] == NEVER:
            people.due[person] = now + reaction(people, person, now)
        if people.due[person] > now:
            continue
        if people.stage[person] == LEAVING:
            leave(people, state, box, ledger, venues, person, row, epochs, now)
        else:
            people.stage[person], people.due[person] = IN, NEVER
            invest(people, state, box, ledger, venues, person, row, True, now)


@kernel
def is_alarmed_at_all(people, epochs, market):  # type: ignore[no-untyped-def]
    """Return whether anybody awake is alarmed."""
    for person in range(people.speed.shape[0]):
        if people.speed[person] != ASLEEP and is_alarmed(people, person, epochs, market):
            return True
    return False


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Look at the vault now and then."""
    people, state, box, ledger, venues = unpack(binding)
    clock = clock_at(message)
    if clock.now < people.number[LOOKED] + people.terms[EVERY]:
        return OK
    people.number[LOOKED] = clock.now
    row = venues.row[people.number[VENUE]]
    look(people, state, box, ledger, venues, row, clock.now)
    return OK


# --- building ------------------------------------------------------------------------------------


def level_of(world: World, site: PopulationSite) -> int:
    """Return the number of the tranche.

    Raises
    ------
    InputError
        The vault has none of that name.
    """
    config = site.config
    names = [t.name for t in world.plan.venues[world.venue(config.vault)].config.tranches]
    if config.tranche not in names:
        raise InputError(
            f"populations.{site.name}.tranche: '{config.vault}' has no tranche "
            f"'{config.tranche}'; it has: {', '.join(names)}"
        )
    return names.index(config.tranche)


def _pool_of(world: World, site: PopulationSite, share: int, cash: int) -> tuple[int, int]:
    """Return the secondary pool and the side of the share in it; (-1, 0) where there is none."""
    name = site.config.pool
    if name is None:
        return -1, 0
    pool = world.venue(name)
    pair = [int(world.venues.token0[pool]), int(world.venues.token1[pool])]
    if sorted(pair) != sorted((share, cash)):
        raise InputError(
            f"populations.{site.name}.pool: '{name}' does not trade {world.token_names[share]} "
            f"for {world.token_names[cash]}; name a pool of these two"
        )
    return pool, pair.index(share)


def make(world: World, site: PopulationSite) -> TrancheInvestorState:
    """Return the columns of a population of investors."""
    config, n, seed = site.config, site.rows, world.seed
    venue, k = world.venue(config.vault), level_of(world, site)
    state, row = world.states[VAULT_KIND], int(world.venues.row[venue])
    share, cash = int(state.share[row, k]), int(state.vaults[row]["cash"])
    raw = uniform_column(seed, f"{site.name}:size", n) ** (-1.0 / config.pareto_tail)
    part = thicknesses(world.plan.venues[venue].config.tranches)[k] * config.share
    total = float(state.vaults[row]["flows"]) * part
    pick = uniform_column(seed, f"{site.name}:speed", n)
    edges = [config.informed_share, config.informed_share + config.slow_share]
    speeds = np.array([INFORMED, SLOW, ASLEEP])[np.searchsorted(edges, pick, side="right")]
    every = ticks(config.look_minutes * MINUTE)
    return TrancheInvestorState(
        speed=speeds.astype(np.int64),
        appetite=np.exp(config.appetite_log_sd * normal_column(seed, f"{site.name}:appetite", n)),
        shares_at_start=raw * (total / raw.sum()),
        stage=np.full(n, IN, np.int64),
        due=np.full(n, NEVER, np.int64),
        n_redemptions=np.zeros(n, np.int64),
        n_sales=np.zeros(n, np.int64),
        number=np.array(
            [
                site.group, venue, k, *_pool_of(world, site, share, cash), seed, site.stream,
                -every, 0,
            ],
            np.int64,
        ),
        terms=np.array(
            [
                config.coverage_trigger, config.fall_trigger, config.discount_trigger,
                config.queue_trigger_epochs, config.impatience, ticks(config.calm_hours * HOUR),
                every, config.tip_gwei * GWEI, config.bargain_discount, 0.0, 0.0,
                1.0 - thicknesses(world.plan.venues[venue].config.tranches)[0],
            ],
            float,
        ),
        sight=np.zeros(6),
        bounds=np.array(
            [
                *(minutes * MINUTE for minutes in config.informed_minutes),
                *(hours * HOUR for hours in config.slow_hours),
            ],
            float,
        )
        * TICKS_PER_SECOND,
    )  # fmt: skip


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give everybody shares, cash and gas."""
    vaults, row = world.states[VAULT_KIND], int(world.venues.row[int(state.number[VENUE])])
    native, cash = int(world.box.chains[site.chain]["native"]), int(vaults.vaults[row]["cash"])
    share, shares = int(vaults.share[row, int(state.number[TRANCHE])]), state.shares_at_start
    world.endow_column(site.group, share, shares)
    if site.config.cash_usd > 0.0:
        price = float(world.prices.fundamental[cash])
        part = shares / shares.sum()
        world.endow_column(site.group, cash, site.config.cash_usd / price * part)
    if native >= 0:
        world.endow_column(site.group, native, _GAS_NATIVE)


def tokens(world: World, site: PopulationSite) -> list[int]:
    """Return what investors can hold: shares of their tranche, the vault's cash, gas."""
    plan = world.plan.venues[world.venue(site.config.vault)]
    node = plan.mechanism.issues(plan.name, plan.config)[level_of(world, site)]
    nodes = [node, (plan.chain, plan.config.token)]
    if native := world.plan.chains[site.chain].native:
        nodes.append((site.config.chain, native))
    return [world.token(*node) for node in dict.fromkeys(nodes)]


KIND = PopulationKind(
    kind="tranche_investors",
    role="tranche_investors",
    config=TrancheInvestorsConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=TrancheInvestor,
    tokens=tokens,
)
