"""Liquidity networks: inventory of one asset on two chains, lent to whoever crosses.

A sender pays `amount` on one side. A relayer fronts the rest after the fee from the inventory of
the other side, `fill_seconds` later; what was paid in joins the inventory of its own side after
`settle_seconds`. The fee is a base fee plus one week of the average borrowing rate over the step
of utilization that the transfer causes, the rule of Across:

    u = 1 - inventory / target,   R(u) = R0 + R1 min(u, k) / k + R2 max(0, u - k) / (1 - k)
    fee = base + (1 + mean of R over [u, u + amount / target]) ** (1 / 52) - 1

With `relayer_fee` the relayer's capital and gas are asked for, too (`sim.bridges.relayer_fee`).

Source: Across Protocol documentation, "Fees in the system" (LP fee). The network itself owns its
inventory, fees included; there are no shares to buy. Sending needs free inventory (NO_CASH) and
stays below a cap on what is in flight (CAP).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from pydantic import Field

from sim.agenda import Agenda, event_at
from sim.bridges.liquidity_fee import average_rate, weekly_rate
from sim.bridges.relayer_fee import RelayerFee, capital_fee, gas_fee
from sim.bridges.shocks import SHOCKS
from sim.bridges.transfers import (
    FULL,
    N_MOVES,
    OK,
    TRANSFER,
    check_equal,
    dequeue,
    enqueue,
    has_place,
    make_places,
    make_table,
    may_send,
    pending_claims,
    put,
    release_place,
)
from sim.kernel import F8, I8, F8x2, I8x2, columnar, handler, kernel, records, view_of
from sim.ledger import Ledger, balance_of, transfer
from sim.mempool import Outbox
from sim.orders import order_at, quote_at
from sim.outside import INSURER, OUTSIDE
from sim.prices import Prices
from sim.registry import Channel, Claim, Columns, Config, Mechanism, VenueSite, Verb
from sim.status import Status
from sim.units import ticks
from sim.venues import Venues

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.world import World

CAP = int(Status.CAP)
HALTED = int(Status.HALTED)
NO_CASH = int(Status.NO_CASH)
SLIPPAGE = int(Status.SLIPPAGE)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)

DELIVER = "liquidity_network.deliver"


@columnar
class LiquidityNetworkState(NamedTuple):
    """All liquidity networks; row = network, column = side: 0 home chain, 1 other chain."""

    inventory: F8x2  # float64, (n, 2), tokens free to be lent
    unsettled: F8x2  # float64, (n, 2), tokens paid in and not yet part of the inventory
    target: F8x2  # float64, (n, 2), inventory at utilization 0
    capital: F8x2  # float64, (n, 4), capital fee: lower, upper, cutoff on each side in tokens
    fill_gas: F8  # float64, (n,), gas of a payment that is asked for
    base_fee: F8  # float64, (n,), fraction of the amount
    kink: F8  # float64, (n,), utilization
    rate: F8x2  # float64, (n, 3), per year: at 0, added up to the kink, added beyond it
    cap: F8  # float64, (n,), tokens in flight to one side at most; inf: none
    delay: I8x2  # int64, (n, 2), ticks from send to delivery
    settle: I8  # int64, (n,), ticks from send to settlement
    in_flight: F8x2  # float64, (n, 2), sent from the side and not delivered, after fees
    queued: F8x2  # float64, (n, 2), of them due already
    first: I8x2  # int64, (n, 2), first transfer that is due and waits, -1: none
    last: I8x2  # int64, (n, 2)
    transfers: records(TRANSFER)  # type: ignore[valid-type]  # (capacity,)
    free: I8  # int64, (capacity,), stack of free places
    counter: I8  # int64, (3,): free places, event number, moves so far
    venue: I8  # int64, (n,)
    group: I8  # int64, (n,), account of the network …
    account: I8  # int64, (n,)
    tokens: I8x2  # int64, (n, 2)
    chains: I8x2  # int64, (n, 2)
    is_paused: I8  # int64, (n,)
    is_insured: I8  # int64, (n,), 1: an insurer outside settles transfers at once, out of its own
    insured: F8x2  # float64, (n, 2), tokens that it has paid on each side so far, less those it got


class LiquidityNetworkConfig(Config):
    """A bridge that pays out of its own inventory on the other side."""

    kind: Literal["liquidity_network"]
    chain: str = Field(description="Chain of side 0.")
    other_chain: str = Field(description="Chain of side 1.")
    token: str = Field(description="Token of side 0.")
    other_token: str = Field(description="Token of side 1, of the same asset.")
    inventory_usd: float = Field(
        gt=0.0,
        description="Inventory of each side at the start; utilization counts against it.",
        json_schema_extra={"unit": "USD"},
    )
    fill_seconds: float = Field(
        30.0,
        ge=0.0,
        le=3.2e7,
        description="Time until a relayer pays the receiver.",
        json_schema_extra={"unit": "s"},
    )
    settle_seconds: float = Field(
        3_600.0,
        ge=0.0,
        le=3.2e7,
        description="Time until what was paid in can be lent again.",
        json_schema_extra={"unit": "s"},
    )
    base_fee_bps: float = Field(
        2.0,
        ge=0.0,
        lt=10_000.0,
        description="Fee at any utilization.",
        json_schema_extra={"unit": "bp of the amount"},
    )
    base_rate: float = Field(
        0.0,
        ge=0.0,
        description="Borrowing rate at utilization 0.",
        json_schema_extra={"unit": "1/year"},
    )
    slope1: float = Field(
        0.04,
        ge=0.0,
        description="Rate added from utilization 0 to the kink.",
        json_schema_extra={"unit": "1/year"},
    )
    slope2: float = Field(
        0.06,
        ge=0.0,
        description="Rate added from the kink to utilization 1.",
        json_schema_extra={"unit": "1/year"},
    )
    kink: float = Field(0.65, gt=0.0, lt=1.0, description="Utilization where the rate steepens.")
    relayer_fee: RelayerFee | None = Field(
        None, description="Fees of relayers for capital and gas; none when left out."
    )
    cap: float | None = Field(
        None,
        ge=0.0,
        description="Most tokens on their way from one side; none when left out.",
        json_schema_extra={"unit": "tokens"},
    )


# --- kernels -------------------------------------------------------------------------------------


@kernel
def utilization_of(inventory, target):  # type: ignore[no-untyped-def]
    """Return 1 - inventory / target, within 0 and 1."""
    return min(max(1.0 - inventory / target, 0.0), 1.0)


@kernel
def relayer_charge(networks, box, prices, row, side, amount):  # type: ignore[no-untyped-def]
    """Return what the relayer of the far side asks for, tokens."""
    if networks.fill_gas[row] < 0.0:
        return 0.0
    chain, token = networks.chains[row, 1 - side], networks.tokens[row, 1 - side]
    lower, upper = networks.capital[row, 0], networks.capital[row, 1]
    charge = capital_fee(amount, lower, upper, networks.capital[row, 3 - side])
    return charge + gas_fee(box, prices, chain, token, networks.fill_gas[row])


@kernel
def quote_insured(networks, row, amount, charge):  # type: ignore[no-untyped-def]
    """Return (status, net amount, fee) of a send that an insurer settles: as at utilization 0."""
    if not 0.0 <= amount < math.inf:
        return BAD_AMOUNT, 0.0, 0.0
    if amount == 0.0:
        return ZERO_AMOUNT, 0.0, 0.0
    fee = amount * (networks.base_fee[row] + weekly_rate(networks.rate[row, 0])) + charge
    if fee >= amount:
        return ZERO_AMOUNT, 0.0, 0.0
    return OK, amount - fee, fee


@kernel
def quote_network(networks, row, side, amount, charge):  # type: ignore[no-untyped-def]
    """Return (status, net amount, fee) of a send; changes nothing.

    `charge` is the relayer's, tokens. HALTED, BAD_AMOUNT, ZERO_AMOUNT, NO_CASH or CAP.
    """
    if networks.is_insured[row] != 0:
        return quote_insured(networks, row, amount, charge)
    if networks.is_paused[row] != 0:
        return HALTED, 0.0, 0.0
    if not 0.0 <= amount < math.inf:
        return BAD_AMOUNT, 0.0, 0.0
    if amount == 0.0:
        return ZERO_AMOUNT, 0.0, 0.0
    free, target = networks.inventory[row, 1 - side], networks.target[row, 1 - side]
    if amount > free:
        return NO_CASH, 0.0, 0.0
    yearly = average_rate(
        utilization_of(free, target),
        utilization_of(free - amount, target),
        networks.rate[row, 0],
        networks.rate[row, 1],
        networks.rate[row, 2],
        networks.kink[row],
    )
    fee = amount * (networks.base_fee[row] + weekly_rate(yearly)) + charge
    net = amount - fee
    if net <= 0.0:
        return ZERO_AMOUNT, 0.0, 0.0
    if networks.in_flight[row, side] + net > networks.cap[row]:
        return CAP, 0.0, 0.0
    return OK, net, fee


@kernel
def settle_insured(networks, ledger, order, row, net):  # type: ignore[no-untyped-def]
    """Let the insurer take what is sent, less the fee, and pay it on the other side; its status."""
    side, group, account = order.a, networks.group[row], networks.account[row]
    token, other = networks.tokens[row, side], networks.tokens[row, 1 - side]
    fee = order.amount - net
    status = transfer(ledger, order.group, order.row, group, account, token, order.amount)
    if status != OK:
        return status
    transfer(ledger, group, account, OUTSIDE, INSURER, token, net)
    transfer(ledger, OUTSIDE, INSURER, order.group, order.row, other, net)
    networks.inventory[row, side] += fee
    networks.insured[row, side] -= net
    networks.insured[row, 1 - side] += net
    networks.counter[N_MOVES] += 2
    return OK


@kernel
def book_send(networks, row, side, amount, net):  # type: ignore[no-untyped-def]
    """Book a quoted send: the payout leaves the free inventory at once."""
    networks.inventory[row, 1 - side] -= net
    networks.in_flight[row, side] += net
    networks.unsettled[row, side] += amount
    networks.counter[N_MOVES] += 1


@kernel
def settle(networks, at):  # type: ignore[no-untyped-def]
    """Let what was paid in join the inventory of its side."""
    t = networks.transfers[at]
    row, side, amount = t.bridge, t.side, t.amount
    networks.inventory[row, side] += amount
    networks.unsettled[row, side] = max(networks.unsettled[row, side] - amount, 0.0)
    networks.counter[N_MOVES] += 1
    release_place(networks, at)


@kernel
def pay_out(networks, ledger, row, side):  # type: ignore[no-untyped-def]
    """Pay every transfer from a side that is due, in order."""
    own_group, own_account = networks.group[row], networks.account[row]
    token = networks.tokens[row, 1 - side]
    while networks.is_paused[row] == 0 and networks.first[row, side] >= 0:
        t = networks.transfers[networks.first[row, side]]
        group, account, net = t.group, t.row, t.net
        dequeue(networks, row, side)
        paid = min(net, balance_of(ledger, own_group, own_account, token))  # rounding
        transfer(ledger, own_group, own_account, group, account, token, paid)
        networks.in_flight[row, side] = max(networks.in_flight[row, side] - net, 0.0)
        networks.counter[N_MOVES] += 1


# --- handlers ------------------------------------------------------------------------------------

unpack = view_of(LiquidityNetworkState, Agenda, Ledger, Venues, Outbox, Prices)


@kernel
def ask(networks, agenda, ledger, venues, box, prices, order):  # type: ignore[no-untyped-def]
    """Return (status, net, fee) of an order; changes nothing."""
    row = venues.row[order.venue]
    status = may_send(networks, ledger, order, row)
    if status != OK:
        return status, 0.0, 0.0
    charge = relayer_charge(networks, box, prices, row, order.a, order.amount)
    status, net, fee = quote_network(networks, row, order.a, order.amount, charge)
    if status == OK and net < order.limit:
        status = SLIPPAGE
    if status == OK and not has_place(networks, agenda):
        status = FULL
    return status, net, fee


@handler
def estimate(binding, message):  # type: ignore[no-untyped-def]
    """Quote a transfer for those who choose a bridge."""
    networks, _, _, venues, box, prices = unpack(binding)
    q = quote_at(message)
    row = venues.row[q.venue]
    charge = relayer_charge(networks, box, prices, row, q.side, q.amount)
    status, net, fee = quote_network(networks, row, q.side, q.amount, charge)
    if status == OK:
        q.amount_in, q.amount_out, q.fee_paid = q.amount, net, fee
    return status


@handler
def _quote_send(binding, message):  # type: ignore[no-untyped-def]
    networks, agenda, ledger, venues, box, prices = unpack(binding)
    order = order_at(message)
    status, net, fee = ask(networks, agenda, ledger, venues, box, prices, order)
    order.amount_in, order.amount_out, order.fee_paid = order.amount, net, fee
    return status


@kernel
def send_on(networks, agenda, ledger, order, row, net):  # type: ignore[no-untyped-def]
    """Take what is sent, and schedule the payout and the settlement; returns the status."""
    side, amount = order.a, order.amount
    token, group, account = networks.tokens[row, side], networks.group[row], networks.account[row]
    status = transfer(ledger, order.group, order.row, group, account, token, amount)
    if status != OK:
        return status
    book_send(networks, row, side, amount, net)
    due = order.time + networks.delay[row, side]
    put(networks, agenda, row, side, order.group, order.row, net, net, due)
    due = order.time + networks.settle[row]
    at = put(networks, agenda, row, side, group, account, amount, amount, due)
    networks.transfers[at].is_repayment = 1
    return OK


@handler
def _send(binding, message):  # type: ignore[no-untyped-def]
    """Send `amount` from side a: paid out on the other side after the fill time."""
    networks, agenda, ledger, venues, box, prices = unpack(binding)
    order = order_at(message)
    status, net, fee = ask(networks, agenda, ledger, venues, box, prices, order)
    if status != OK:
        return status
    row, side, amount = venues.row[order.venue], order.a, order.amount
    if networks.is_insured[row] != 0:
        status = settle_insured(networks, ledger, order, row, net)
    else:
        status = send_on(networks, agenda, ledger, order, row, net)
    if status != OK:
        return status
    order.token_in, order.token_out = networks.tokens[row, side], networks.tokens[row, 1 - side]
    order.amount_in, order.amount_out, order.fee_paid = amount, net, fee
    return OK


@handler
def _deliver(binding, message):  # type: ignore[no-untyped-def]
    """Settle what was paid in, or queue a payout that is due and pay what can be paid."""
    networks, _, ledger, _, _, _ = unpack(binding)
    event = event_at(message)
    row = event.b
    if event.a >= 0:
        if networks.transfers[event.a].is_repayment != 0:
            settle(networks, event.a)
        else:
            enqueue(networks, event.a)
    pay_out(networks, ledger, row, 0)
    pay_out(networks, ledger, row, 1)
    return OK


# --- declaration ---------------------------------------------------------------------------------


def make(world: World, sites: Sequence[VenueSite]) -> LiquidityNetworkState:
    """Return the networks of a world, their inventory worth `inventory_usd` on each side."""
    n, configs = len(sites), [site.config for site in sites]
    tokens = np.array([site.tokens for site in sites], np.int64).reshape(-1, 2)
    usd = np.array([config.inventory_usd for config in configs])
    inventory = usd[:, None] / world.prices.fundamental[tokens]
    for site in sites:
        asked = site.config.relayer_fee
        least = site.config.base_fee_bps + (asked.lower_bps if asked is not None else 0.0)
        world.venues.fee[site.number] = least * 1e-4
        for side, token in enumerate(site.tokens):
            world.endow(site.group, site.account, token, float(inventory[site.row, side]))
    delay = np.array([ticks(c.fill_seconds) for c in configs], np.int64)
    return LiquidityNetworkState(
        inventory=inventory,
        unsettled=np.zeros((n, 2)),
        target=inventory.copy(),
        capital=np.array([_capital_of(world, site) for site in sites]).reshape(-1, 4),
        fill_gas=np.array(
            [-1.0 if c.relayer_fee is None else float(c.relayer_fee.fill_gas) for c in configs]
        ),
        base_fee=np.array([c.base_fee_bps * 1e-4 for c in configs]),
        kink=np.array([c.kink for c in configs]),
        rate=np.array([[c.base_rate, c.slope1, c.slope2] for c in configs]),
        cap=np.array([math.inf if c.cap is None else c.cap for c in configs]),
        delay=np.stack([delay, delay], axis=1),
        settle=np.array([ticks(c.settle_seconds) for c in configs], np.int64),
        is_insured=np.zeros(n, np.int64),
        insured=np.zeros((n, 2)),
        **make_table(world.event_number(DELIVER), n),
        **make_places(world, sites),
    )


def _capital_of(world: World, site: VenueSite) -> tuple[float, float, float, float]:
    """Return lower and upper capital fee, and the cutoff in tokens of each side."""
    asked = site.config.relayer_fee
    if asked is None:
        return 0.0, 0.0, math.inf, math.inf
    cutoffs = [asked.cutoff_usd / float(world.prices.fundamental[t]) for t in site.tokens]
    return asked.lower_bps * 1e-4, asked.upper_bps * 1e-4, cutoffs[0], cutoffs[1]


def claims(world: World, state: LiquidityNetworkState) -> list[Claim]:
    """Return what is on its way to receivers, and the networks' debt for it."""
    return pending_claims(state, state.tokens[:, ::-1])


def sample(world: World, state: LiquidityNetworkState) -> dict[str, Columns]:
    """Return the columns of the `bridges` record."""
    n = len(state.kink)
    return {
        "bridges": {
            "venue": state.venue,
            "token": state.tokens[:, 0],
            "locked": state.inventory[:, 0],
            "minted": state.inventory[:, 1],
            "in_flight": state.in_flight.sum(axis=1),
            "backing_ratio": np.ones(n),
            "depeg": np.zeros(n),
        }
    }


def check(world: World, state: LiquidityNetworkState) -> None:
    """Check that each account holds inventory, unsettled tokens and what is owed to receivers.

    Raises
    ------
    InvariantError
        It does not.
    """
    for row in range(len(state.kink)):
        name = world.venue_names[int(state.venue[row])]
        for side, token in enumerate(state.tokens[row].tolist()):
            held = float(world.balances(MECHANISM.kind, token)[int(state.account[row])])
            booked = state.inventory[row, side] + state.unsettled[row, side]
            booked += state.in_flight[row, 1 - side]
            check_equal(
                f"network {name}: account on side {side} against inventory, unsettled and owed",
                held,
                float(booked),
                int(state.counter[N_MOVES]),
                max(abs(held), float(world.ledger.turnover[token])),
            )


def _cut(world: World, state: LiquidityNetworkState) -> None:
    """Let transfers settle at once at the fee of a full inventory, also while sends are paused."""
    state.is_insured[:] = 1


def _insured(world: World, state: LiquidityNetworkState) -> float:
    """Return what the insurer has paid, less what it got, USD."""
    return float((state.insured * world.prices.fundamental[state.tokens]).sum())


MECHANISM = Mechanism(
    kind="liquidity_network",
    role="liquidity_providers",
    config=LiquidityNetworkConfig,
    verbs=(Verb("send", _send, 90_000, _quote_send),),
    states=unpack.states,
    make=make,
    estimate=estimate,
    nodes=lambda config: [(config.chain, config.token), (config.other_chain, config.other_token)],
    claims=claims,
    sample=sample,
    check=check,
    events=((DELIVER, _deliver),),
    shocks=SHOCKS,
    channels=(Channel("bridge", _cut, absorbed=_insured),),
)
