"""Liquid staking pools as venues: stake, unstake, claim, reports, slashing.

`stake` mints the token at the reported rate, `unstake` asks for the way back, `claim` (a: place of
the request) pays a request that is final. The pool shows its reported rate as the price of its
venue, which is what exchange rate oracles read. The fundamental value of the token is what backs
it: its asset is that of the underlying, its scale the backing per token; what it trades at is its
pools' matter.

Differences from deployed protocols: rewards do not depend on validators or on the chain's total
stake; new stake earns at once; requests are not split; a request that waits earns nothing; the
queue is not served from new stake.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from sim.agenda import DELIVERY_RANK, Agenda, event_at, schedule
from sim.chain import clock_at
from sim.errors import InputError, InvariantError
from sim.kernel import handler, kernel, view_of
from sim.ledger import Ledger, burn, can_pay, mint, slot, transfer
from sim.orders import order_at
from sim.prices import Prices, update_prices
from sim.registry import Claim, Config, Mechanism, ShockKind, VenueSite, Verb
from sim.staking.state import (
    EVENT_NUMBER,
    FINAL,
    N_FREE,
    N_MOVES,
    ROOM,
    TICKS_A_DAY,
    StakingState,
    close,
    enter,
    finalize,
    make_state,
    report,
    slash,
    worth_of,
)
from sim.status import Status
from sim.units import ticks
from sim.venues import Venues, show_price

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.world import World

OK = int(Status.OK)
FULL = int(Status.FULL)
NO_CASH = int(Status.NO_CASH)
SLIPPAGE = int(Status.SLIPPAGE)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
NO_POSITION = int(Status.NO_POSITION)
NOT_ALLOWED = int(Status.NOT_ALLOWED)

FINALIZE = "liquid_staking.finalize"
_WHOLE = 1.0 - 1e-12  # of a claim that rounding may have made larger than what is held


class LiquidStakingConfig(Config):
    """A pool that stakes a token and issues one whose exchange rate grows."""

    kind: Literal["liquid_staking"]
    chain: str = Field(description="Chain of the pool.")
    token: str = Field(description="Token that is staked.")
    issued: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_+-]{0,62}$",
        description="Symbol of the token issued; it comes into being with the pool.",
    )
    exchange_rate: float = Field(
        1.0,
        gt=0.0,
        description="Exchange rate at the start.",
        json_schema_extra={"unit": "underlying per token"},
    )
    reward_rate: float = Field(
        0.03,
        ge=0.0,
        le=1.0,
        description="Rewards on what is staked, before the fee.",
        json_schema_extra={"unit": "fraction/year"},
    )
    fee_share: float = Field(
        0.1,
        ge=0.0,
        lt=1.0,
        description="Share of rewards that goes to the treasury, in new tokens.",
        json_schema_extra={"unit": "fraction of rewards"},
    )
    treasury: str | None = Field(
        None,
        description="Population whose row 0 gets the fee; the pool's own account when left out.",
    )
    report_interval_seconds: float = Field(
        86_400.0,
        ge=0.0,
        description="Time between reports of rewards and rate; 0: before every block.",
        json_schema_extra={"unit": "s"},
    )
    minimum_delay_seconds: float = Field(
        86_400.0,
        ge=0.0,
        le=3.2e7,
        description="Least time from a request to its payment.",
        json_schema_extra={"unit": "s"},
    )
    exit_capacity_per_day: float | None = Field(
        None,
        gt=0.0,
        description="Underlying that can leave; any amount when left out.",
        json_schema_extra={"unit": "tokens/day"},
    )
    queue_shares_losses: bool = Field(
        True,
        description="Whether requests bear slashing until they are final, or have what they asked "
        "for set aside at once.",
    )


# --- handlers ------------------------------------------------------------------------------------

unpack = view_of(StakingState, Agenda, Ledger, Prices, Venues)


@kernel
def show_rate(pools, ledger, prices, venues, row, now):  # type: ignore[no-untyped-def]
    """Show the reported rate as the venue's price, and value the token by what backs it."""
    token, venue = pools.token[row], pools.venue[row]
    if pools.rate[row] != venues.price[venue]:
        show_price(venues, venue, pools.rate[row], now)
    worth = worth_of(pools, row, ledger.supply[token])
    scale = prices.scale[pools.underlying[row]] * worth
    if scale != prices.scale[token]:
        prices.scale[token] = scale
        update_prices(prices, prices.now[0])


@kernel
def ask_stake(pools, ledger, order, row):  # type: ignore[no-untyped-def]
    """Return (status, tokens) of a stake; changes nothing."""
    if not 0.0 <= order.amount < math.inf:
        return BAD_AMOUNT, 0.0
    tokens = order.amount / pools.rate[row]
    if tokens == 0.0:
        return ZERO_AMOUNT, 0.0
    if slot(ledger, order.group, order.row, pools.token[row]) < 0:
        return NOT_ALLOWED, 0.0
    return (SLIPPAGE if tokens < order.limit else OK), tokens


@kernel
def ask_unstake(pools, agenda, ledger, order, row):  # type: ignore[no-untyped-def]
    """Return (status, underlying asked for) of an unstake; changes nothing."""
    if not 0.0 <= order.amount < math.inf:
        return BAD_AMOUNT, 0.0
    amount = order.amount * pools.rate[row]
    if amount == 0.0:
        return ZERO_AMOUNT, 0.0
    if slot(ledger, order.group, order.row, pools.underlying[row]) < 0:
        return NOT_ALLOWED, 0.0
    if pools.shares_losses[row] == 0 and amount > pools.backing[row]:
        return NO_CASH, 0.0
    if amount < order.limit:
        return SLIPPAGE, 0.0
    if agenda.size[0] + ROOM > agenda.events.shape[0] - 2 or pools.counter[N_FREE] < ROOM:
        return FULL, 0.0
    return OK, amount


@handler
def _quote_stake(binding, message):  # type: ignore[no-untyped-def]
    pools, _, ledger, _, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    status, tokens = ask_stake(pools, ledger, order, row)
    order.token_in, order.token_out = pools.underlying[row], pools.token[row]
    order.amount_in, order.amount_out = order.amount, tokens
    return status


@handler
def _stake(binding, message):  # type: ignore[no-untyped-def]
    """Stake `amount` for at least `limit` tokens."""
    pools, _, ledger, prices, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    status, tokens = ask_stake(pools, ledger, order, row)
    if status != OK:
        return status
    underlying, token = pools.underlying[row], pools.token[row]
    status = transfer(
        ledger, order.group, order.row, pools.group[row], pools.account[row], underlying,
        order.amount,
    )  # fmt: skip
    if status != OK:
        return status
    mint(ledger, order.group, order.row, token, tokens)
    pools.backing[row] += order.amount
    pools.counter[N_MOVES] += 1
    show_rate(pools, ledger, prices, venues, row, order.time)
    order.token_in, order.token_out = underlying, token
    order.amount_in, order.amount_out = order.amount, tokens
    return OK


@handler
def _quote_unstake(binding, message):  # type: ignore[no-untyped-def]
    pools, agenda, ledger, _, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    status, amount = ask_unstake(pools, agenda, ledger, order, row)
    order.token_in, order.token_out = pools.token[row], pools.underlying[row]
    order.amount_in, order.amount_out = order.amount, amount
    return status


@handler
def _unstake(binding, message):  # type: ignore[no-untyped-def]
    """Give up `amount` tokens for at least `limit` underlying, to be claimed once final."""
    pools, agenda, ledger, prices, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    status, amount = ask_unstake(pools, agenda, ledger, order, row)
    if status != OK:
        return status
    token = pools.token[row]
    if pools.shares_losses[row] != 0:
        status = transfer(
            ledger, order.group, order.row, pools.group[row], pools.account[row], token,
            order.amount,
        )  # fmt: skip
    else:
        status = burn(ledger, order.group, order.row, token, order.amount)
    if status != OK:
        return status
    at = enter(pools, row, order.group, order.row, order.amount, amount, order.time)
    pools.counter[N_MOVES] += 1
    due, kind = pools.requests[at].due, pools.counter[EVENT_NUMBER]
    schedule(agenda, due, DELIVERY_RANK, venues.chain[order.venue], kind, at, row, 0.0, 0.0)
    show_rate(pools, ledger, prices, venues, row, order.time)
    order.token_in, order.token_out = token, pools.underlying[row]
    order.amount_in, order.amount_out = order.amount, amount
    order.b = at
    return OK


@handler
def _claim(binding, message):  # type: ignore[no-untyped-def]
    """Pay the final request at place `a` to its owner."""
    pools, _, ledger, _, venues = unpack(binding)
    order = order_at(message)
    row, at = venues.row[order.venue], order.a
    if at < 0 or at >= pools.requests.shape[0]:
        return NO_POSITION
    request = pools.requests[at]
    if request.stage != FINAL or request.pool != row:
        return NO_POSITION
    if request.group != order.group or request.row != order.row:
        return NOT_ALLOWED
    underlying, amount = pools.underlying[row], request.amount
    group, account = pools.group[row], pools.account[row]
    if can_pay(ledger, group, account, underlying, amount) != OK:
        amount *= _WHOLE
    status = transfer(ledger, group, account, order.group, order.row, underlying, amount)
    if status != OK:
        return status
    close(pools, at)
    order.token_out, order.amount_out = underlying, amount
    return OK


@handler
def _finalize(binding, message):  # type: ignore[no-untyped-def]
    pools, _, ledger, prices, venues = unpack(binding)
    event = event_at(message)
    finalize(pools, ledger, event.a)
    show_rate(pools, ledger, prices, venues, event.b, event.time)
    return OK


@handler
def _report(binding, message):  # type: ignore[no-untyped-def]
    """Before each block of its chain: report if it is time."""
    pools, _, ledger, prices, venues = unpack(binding)
    clock = clock_at(message)
    for row in range(pools.venue.shape[0]):
        is_here = venues.chain[pools.venue[row]] == clock.chain
        while is_here and clock.now > pools.reported[row]:
            due = pools.reported[row] + pools.interval[row] if pools.interval[row] else clock.now
            if due > clock.now:
                break
            report(pools, ledger, row, due)
        if is_here:
            show_rate(pools, ledger, prices, venues, row, clock.now)
    return OK


# --- declaration ---------------------------------------------------------------------------------


def make(world: World, sites: Sequence[VenueSite]) -> StakingState:
    """Return the pools of a world; their tokens are worth the underlying at the first rate."""
    prices = world.prices
    state = make_state(len(sites), world.event_number(FINALIZE))
    for site in sites:
        row, config = site.row, site.config
        underlying, token = site.tokens[0], site.own_tokens[0]
        prices.asset[token] = prices.asset[underlying]
        prices.scale[token] = prices.scale[underlying] * config.exchange_rate
        world.venues.price[site.number] = state.rate[row] = config.exchange_rate
        state.reward_rate[row], state.fee_share[row] = config.reward_rate, config.fee_share
        state.interval[row] = ticks(config.report_interval_seconds)
        state.delay[row] = ticks(config.minimum_delay_seconds)
        capacity = config.exit_capacity_per_day
        state.capacity[row] = math.inf if capacity is None else capacity / TICKS_A_DAY
        state.shares_losses[row] = config.queue_shares_losses
        state.venue[row], state.group[row], state.account[row] = (
            site.number, site.group, site.account,
        )  # fmt: skip
        state.underlying[row], state.token[row] = underlying, token
        state.treasury_group[row], state.treasury_row[row] = _treasury(world, site)
    update_prices(prices, 0)
    return state


def _treasury(world: World, site: VenueSite) -> tuple[int, int]:
    """Return the account that gets the fee."""
    name = site.config.treasury
    if name is None:
        return site.group, site.account
    group = world.group(name)
    if slot(world.ledger, group, 0, site.own_tokens[0]) < 0:
        raise InputError(
            f"venues.{site.name}.treasury: '{name}' cannot hold {site.config.issued}; name a "
            "population that can"
        )
    return group, 0


def back_tokens(world: World, state: StakingState) -> None:
    """Stake the underlying of every token that exists at time 0, as if staked before."""
    for row in range(len(state.rate)):
        supply = float(world.ledger.supply[state.token[row]])
        missing = supply * float(state.rate[row]) - float(state.backing[row])
        if missing > 0.0:
            account = int(state.group[row]), int(state.account[row])
            world.endow(*account, int(state.underlying[row]), missing)
            state.backing[row] += missing


def claims(world: World, state: StakingState) -> list[Claim]:
    """Return what requests are owed, and what the pools owe.

    The token is a debt of its pool, whose account carries minus the supply: all holdings of the
    token, this debt included, add up to 0. A waiting request that shares losses counts as its
    tokens, which the pool holds for it; any other as the underlying it will be paid.
    """
    found = []
    for row in range(len(state.rate)):
        group, own = int(state.group[row]), np.array([state.account[row]], np.int64)
        token, underlying = int(state.token[row]), int(state.underlying[row])
        venue = int(state.venue[row])
        found.append(Claim(group, own, token, np.array([-world.ledger.supply[token]]), venue))
        table = state.requests[(state.requests["pool"] == row) & (state.requests["stage"] > 0)]
        waits = (table["stage"] != FINAL) & bool(state.shares_losses[row])
        for part, kind, field in ((waits, token, "tokens"), (~waits, underlying, "amount")):
            for holder in np.unique(table["group"][part]):
                mine = table[part & (table["group"] == holder)]
                amounts = mine[field].copy()
                found.append(Claim(int(holder), mine["row"].copy(), kind, amounts, venue))
                found.append(Claim(group, own, kind, np.array([-amounts.sum()]), venue))
    return found


def check(world: World, state: StakingState) -> None:
    """Check that every pool holds its backing, what is set aside, and the tokens in escrow.

    Raises
    ------
    InvariantError
        One does not; names pool and amounts.
    """
    for row, venue in enumerate(state.venue):
        token, underlying = int(state.token[row]), int(state.underlying[row])
        owed = (
            (underlying, float(state.backing[row] + state.set_aside[row])),
            (token, float(state.escrowed[row])),
        )
        for what, amount in owed:
            held = world.balance(int(state.group[row]), int(state.account[row]), what)
            is_fee = what == token and state.treasury_group[row] == state.group[row]
            extra = held - float(state.fees[row]) if is_fee else held
            if abs(extra - amount) > 1e-12 * float(1.0 + world.ledger.turnover[what]):
                raise InvariantError(
                    f"{world.venue_names[venue]} holds {extra:.15g} {world.token_names[what]} for "
                    f"others, and owes them {amount:.15g}"
                )


class Slash(Config):
    """Burn a share of what a staking protocol has staked."""

    kind: Literal["slash"]
    venue: str = Field(description="Staking protocol that is slashed.")
    share: float = Field(
        gt=0.0,
        lt=1.0,
        description="Share of the stake that is lost.",
        json_schema_extra={"unit": "fraction"},
    )
    is_reported: bool = Field(
        True, description="Whether the rate falls at once, or with the next report."
    )


def _slash(world: World, config: Slash) -> None:
    """Slash a pool."""
    state: StakingState = world.states[MECHANISM.kind]
    row = int(world.venues.row[world.venue(config.venue)])
    slash(state, world.ledger, row, config.share)
    if config.is_reported:
        state.rate[row] = worth_of(state, row, world.ledger.supply[state.token[row]])
    show_rate.py_func(state, world.ledger, world.prices, world.venues, row, world.now)


MECHANISM = Mechanism(
    kind="liquid_staking",
    config=LiquidStakingConfig,
    verbs=(
        Verb("stake", _stake, 90_000, _quote_stake),
        Verb("unstake", _unstake, 200_000, _quote_unstake),
        Verb("claim", _claim, 90_000),
    ),
    states=unpack.states,
    make=make,
    open=back_tokens,
    is_made_first=True,
    issues=lambda name, config: ((config.chain, config.issued),),
    nodes=lambda config: [(config.chain, config.token)],
    react=_report,
    claims=claims,
    check=check,
    events=((FINALIZE, _finalize),),
    shocks=(ShockKind("slash", Slash, _slash),),
)
