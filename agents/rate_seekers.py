"""Rate seekers: outside money that high supply rates attract into a lending market, slowly.

Each holder keeps a share of its funds in the market that moves towards a target with a time
constant tau. The target rises with the supply rate r above what the funds earn elsewhere:

    target = clip(elasticity * ln(r / outside_rate), 0, 1),    d share / dt = (target - share) / tau

Who is within a thousandth of the funds of the target waits. Nobody deposits while the reserve is
frozen, paused or full; withdrawals wait for cash.

References
----------
The time constant and elasticity are guesses; the form is a partial adjustment (Koyck) model.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from agents.population import ColumnarAgent
from sim.chain import clock_at
from sim.draws import uniform_column
from sim.kernel import F8, I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.lending.account import claim_of
from sim.lending.building import open_positions, reserve_of
from sim.lending.config import ReserveFlag
from sim.lending.reserve import (
    is_open,
    supply_index_at,
    supply_rate,
    total_supply,
    withdrawable,
)
from sim.lending.state import LendingState
from sim.mempool import Outbox, post
from sim.orders import ROUTINE, SUPPLY, WITHDRAW, cause
from sim.registry import Config, PopulationKind, PopulationSite
from sim.status import Status
from sim.units import HOUR, MINUTE, ticks
from sim.venues import Venues, draft

if TYPE_CHECKING:
    from sim.world import World

OK = int(Status.OK)
FROZEN = int(ReserveFlag.FROZEN)
_ROUTINE = cause(ROUTINE)
_LEAST = 1e-3  # of the funds, what is less waits
_GAS_NATIVE = 1.0


@columnar
class RateSeekerState(NamedTuple):
    """Columns of rate seekers, and what they share."""

    position: I8  # int64, (n,), position in the market
    funds: F8  # float64, (n,), tokens at the start, in the market and out of it
    due: I8  # int64, (n,), tick of the next look
    n_moves: I8  # int64, (n,), deposits and withdrawals sent
    number: I8  # int64, (3,): group, market venue, reserve
    terms: (
        F8  # float64, (4,): outside rate, elasticity, ticks of the time constant, ticks of a look
    )


class RateSeekersConfig(Config):
    """Holders of outside funds who supply one asset when the market pays more than elsewhere."""

    kind: Literal["rate_seekers"]
    chain: str = Field(description="Chain of the market.")
    market: str = Field(description="Lending market.")
    asset: str = Field(description="Symbol of what they supply.")
    count: int = Field(gt=0, le=100_000, description="Number of holders.")
    funds_usd: float = Field(
        gt=0.0, description="Funds of all, in equal parts.", json_schema_extra={"unit": "USD"}
    )
    outside_rate: float = Field(
        0.03,
        gt=0.0,
        description="What the funds earn elsewhere: no more is supplied at this rate.",
        json_schema_extra={"unit": "1/year"},
    )
    elasticity: float = Field(
        0.3, gt=0.0, description="Share of the funds that each e-fold of the rate attracts."
    )
    time_constant_hours: float = Field(
        48.0,
        gt=0.0,
        description="Time in which about two thirds of the way to the target are gone.",
        json_schema_extra={"unit": "h"},
    )
    look_minutes: float = Field(
        60.0, gt=0.0, description="Time between looks.", json_schema_extra={"unit": "min"}
    )


class RateSeeker(ColumnarAgent):
    """One holder: a view on a row of its population."""


unpack = view_of(RateSeekerState, LendingState, Outbox, Ledger, Venues)


@kernel
def target_share(rate, outside_rate, elasticity):  # type: ignore[no-untyped-def]
    """Return the share of funds that a supply rate attracts in the long run."""
    if rate <= outside_rate:
        return 0.0
    return min(elasticity * math.log(rate / outside_rate), 1.0)


@kernel(inline=False)
def adjust(people, lending, box, ledger, venues, row, clock):  # type: ignore[no-untyped-def]
    """Send one step of the way from what is supplied to the target."""
    reserve, position = people.number[2], people.position[row]
    asset = lending.reserves[reserve]
    target = target_share(supply_rate(asset), people.terms[0], people.terms[1])
    claim = claim_of(lending, position, reserve, clock.now)
    gap = target * people.funds[row] - claim
    if abs(gap) < _LEAST * people.funds[row] or not is_open(asset):
        return
    step = gap * (1.0 - math.exp(-people.terms[3] / people.terms[2]))
    verb = SUPPLY if step > 0.0 else WITHDRAW
    if step > 0.0:
        held = balance_of(ledger, people.number[0], row, asset.token)
        held -= _GAS_NATIVE * (box.chains[clock.chain].native == asset.token)
        room = asset.supply_cap - total_supply(asset)
        amount = min(step, held, room)
        if (asset.flag_bits & FROZEN) != 0:
            return
    else:
        amount = min(-step, claim, withdrawable(asset))
    if amount <= 0.0:
        return
    order = draft(box, venues, people.number[1], verb, people.number[0], row, clock.now)
    order.a, order.b, order.amount, order.parent = position, reserve, amount, _ROUTINE
    people.n_moves[row] += 1
    post(box, order)


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Let everybody who is due look at the rate."""
    people, lending, box, ledger, venues = unpack(binding)
    clock = clock_at(message)
    for row in range(people.due.shape[0]):
        if people.due[row] <= clock.now:
            people.due[row] = clock.now + int(people.terms[3])
            adjust(people, lending, box, ledger, venues, row, clock)
    return OK


def make(world: World, site: PopulationSite) -> RateSeekerState:
    """Return the columns of a population of rate seekers, with empty positions."""
    config, n = site.config, site.rows
    venue = world.venue(config.market)
    reserve = reserve_of(world, venue, config.asset)
    look = ticks(config.look_minutes * MINUTE)
    positions = open_positions(world, venue, site.group, np.arange(n))
    price = float(world.prices.fundamental[world.token(config.chain, config.asset)])
    return RateSeekerState(
        position=positions,
        funds=np.full(n, config.funds_usd / n / price),
        due=(look * uniform_column(world.seed, f"{site.name}:look", n)).astype(np.int64),
        n_moves=np.zeros(n, np.int64),
        number=np.array([site.group, venue, reserve], np.int64),
        terms=np.array(
            [
                config.outside_rate,
                config.elasticity,
                ticks(config.time_constant_hours * HOUR),
                look,
            ],
            float,
        ),
    )


def fund(world: World, site: PopulationSite, state: Any) -> None:
    """Give everybody the funds, and gas."""
    native = int(world.box.chains[site.chain]["native"])
    token = world.token(site.config.chain, site.config.asset)
    world.endow_column(site.group, token, state.funds)
    world.endow_column(site.group, native, _GAS_NATIVE)


def tokens(world: World, site: PopulationSite) -> list[int]:
    """Return what they can hold: their asset and gas."""
    config = site.config
    symbols = (config.asset, world.plan.chains[site.chain].native)
    return list(dict.fromkeys(world.token(config.chain, symbol) for symbol in symbols))


def columns(world: World, site: PopulationSite, state: RateSeekerState) -> dict[str, Any]:
    """Return the computed column `claim`: float64, (n,), tokens supplied."""

    def claim() -> np.ndarray:
        lending = world.shared[LendingState]
        reserve = int(state.number[2])
        mine = lending.collateral_reserve[state.position] == reserve
        scaled = np.where(mine, lending.collateral_scaled[state.position], 0.0).sum(axis=1)
        return np.asarray(scaled * supply_index_at(lending.reserves[reserve], world.now))

    return {"claim": claim}


KIND = PopulationKind(
    kind="rate_seekers",
    config=RateSeekersConfig,
    states=unpack.states,
    make=make,
    react=react,
    fund=fund,
    view=RateSeeker,
    role="lenders",
    tokens=tokens,
    columns=columns,
)
