"""Lock-and-mint bridges: tokens locked at home in an escrow, wrapped ones minted on another chain.

Sending home to other locks `amount`, keeps the fee, and mints the rest on the other chain after
`finality_delay`; sending back burns wrapped tokens at once and pays from the escrow after
`return_delay`. The bridge owes

    obligations = wrapped supply + in flight = escrow,   unless something was forged.

When the escrow is too small for a redemption that is due, the redemption waits, and everyone
behind it waits too: first come, first served. Backing is min(1, escrow / obligations), so that
tokens burned and not yet paid count as much as those still held. A wrapped token is valued at
backing times its par, the price of the home token; what it trades at is its pool's matter. Pausing
holds back sends and deliveries.

While finality of a chain is delayed (`finality_lag` of the chain), what is sent from it waits as
much longer; what is on its way already keeps its time.

`loss_allocation` says who bears a shortfall. `remote`: the wrapped token alone, as above.
`uniform`: its issuer treats all holders alike, wrapped or not. With H home tokens that exist, each
backed at par, the claims are those outside the escrow and what the bridge owes, so that both tokens
are worth

    H / (H - escrow + obligations)   of par.

Differences from deployed bridges: no validator set or message fees; delivery needs no order of the
receiver and costs no gas on the far chain.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from sim.agenda import Agenda, event_at
from sim.bridges.escrow import (
    MINTED,
    RELEASED,
    LockAndMintState,
    backing_of,
    book_lock,
    cover,
    deliver_minted,
    obligations_of,
    pay_redemptions,
    quote_lock_and_mint,
    recognize,
    settle,
)
from sim.bridges.shocks import SHOCKS, Forge, drain, forge_kind
from sim.bridges.transfers import (
    FULL,
    N_MOVES,
    OK,
    ROUNDING,
    check_equal,
    depeg_of,
    enqueue,
    has_place,
    make_places,
    make_table,
    may_send,
    pending_claims,
    put,
)
from sim.errors import InputError
from sim.kernel import handler, kernel, view_of
from sim.ledger import Ledger, burn, mint, transfer
from sim.mempool import Outbox
from sim.orders import order_at, quote_at
from sim.prices import Prices, update_prices
from sim.registry import Channel, Claim, Columns, Config, Mechanism, VenueSite, Verb
from sim.status import Status
from sim.units import ticks
from sim.venues import Venues

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.world import World

NO_CASH = int(Status.NO_CASH)
SLIPPAGE = int(Status.SLIPPAGE)

DELIVER = "lock_and_mint.deliver"


class LockAndMintConfig(Config):
    """A bridge that locks a token on its home chain and mints a wrapped one on another chain."""

    kind: Literal["lock_and_mint"]
    chain: str = Field(description="Home chain: where the token is locked.")
    other_chain: str = Field(description="Chain on which the wrapped token is minted.")
    token: str = Field(description="Token of the home chain that is locked.")
    wrapped: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_+-]{0,62}$",
        description="Symbol of the wrapped token; it comes into being with the bridge.",
    )
    finality_delay_seconds: float = Field(
        ge=0.0,
        le=3.2e7,
        description="Time from lock to mint: finality of the home chain and the message.",
        json_schema_extra={"unit": "s"},
    )
    return_delay_seconds: float = Field(
        ge=0.0,
        le=3.2e7,
        description="Time from burn to redemption.",
        json_schema_extra={"unit": "s"},
    )
    fee_bps: float = Field(
        0.0,
        ge=0.0,
        lt=10_000.0,
        description="Fee of each transfer, kept by the bridge.",
        json_schema_extra={"unit": "bp of the amount"},
    )
    outstanding_cap: float | None = Field(
        None,
        ge=0.0,
        description="Most tokens the bridge may owe after a lock; none when left out.",
        json_schema_extra={"unit": "tokens"},
    )
    return_cap: float | None = Field(
        None,
        ge=0.0,
        description="Most tokens on their way back after a burn; none when left out.",
        json_schema_extra={"unit": "tokens"},
    )
    loss_allocation: Literal["remote", "uniform"] = Field(
        "remote",
        description="Who bears a shortfall of the escrow: holders of the wrapped token, or all "
        "holders of both tokens alike.",
    )
    total_supply: float | None = Field(
        None,
        gt=0.0,
        description="Home tokens that exist at the start, to share a uniform loss; those of the "
        "world when left out.",
        json_schema_extra={"unit": "tokens"},
    )


# --- handlers ------------------------------------------------------------------------------------

unpack = view_of(LockAndMintState, Agenda, Ledger, Prices, Venues, Outbox)


@kernel
def ask(bridges, agenda, ledger, venues, order):  # type: ignore[no-untyped-def]
    """Return (status, net, fee) of an order; changes nothing."""
    row = venues.row[order.venue]
    status = may_send(bridges, ledger, order, row)
    if status != OK:
        return status, 0.0, 0.0
    owed = obligations_of(bridges, ledger.supply[bridges.tokens[row, 1]], row)
    status, net, fee = quote_lock_and_mint(bridges, owed, row, order.a, order.amount)
    if status == OK and net < order.limit:
        status = SLIPPAGE
    if status == OK and not has_place(bridges, agenda):
        status = FULL
    return status, net, fee


@handler
def estimate(binding, message):  # type: ignore[no-untyped-def]
    """Quote a transfer for those who choose a bridge; redemptions only as far as the escrow pays.

    What is on its way back comes first. NO_CASH: nobody knows when the escrow pays again.
    """
    bridges, _, ledger, _, venues, _ = unpack(binding)
    q = quote_at(message)
    row = venues.row[q.venue]
    amount = q.amount
    if q.side == 1:
        left = bridges.escrow[row] * (1.0 + ROUNDING) - bridges.in_flight[row, 1]
        amount = min(amount, max(left, 0.0))
        if amount <= 0.0 < q.amount:
            return NO_CASH
    owed = obligations_of(bridges, ledger.supply[bridges.tokens[row, 1]], row)
    status, net, fee = quote_lock_and_mint(bridges, owed, row, q.side, amount)
    if status == OK:
        q.amount_in, q.amount_out, q.fee_paid = amount, net, fee
    return status


@handler
def _quote_send(binding, message):  # type: ignore[no-untyped-def]
    bridges, agenda, ledger, _, venues, _ = unpack(binding)
    order = order_at(message)
    status, net, fee = ask(bridges, agenda, ledger, venues, order)
    order.amount_in, order.amount_out, order.fee_paid = order.amount, net, fee
    return status


@handler
def _send(binding, message):  # type: ignore[no-untyped-def]
    """Send `amount`: a = 0 locks at home and mints later, a = 1 burns and redeems later."""
    bridges, agenda, ledger, prices, venues, box = unpack(binding)
    order = order_at(message)
    status, net, fee = ask(bridges, agenda, ledger, venues, order)
    if status != OK:
        return status
    row, side, amount = venues.row[order.venue], order.a, order.amount
    token = bridges.tokens[row, side]
    if side == 0:
        status = transfer(
            ledger, order.group, order.row, bridges.group[row], bridges.account[row], token, amount
        )
    else:
        status = burn(ledger, order.group, order.row, token, amount)
    if status != OK:
        return status
    lag = box.chains[order.chain].finality_lag
    due = order.time + bridges.delay[row, side] + lag
    if bridges.is_insured[row] != 0:
        settle(bridges, ledger, row, side, order, net)
    elif side == 0:
        book_lock(bridges, row, net, fee)
        put(bridges, agenda, row, 0, order.group, order.row, net, net, due)
        pay_redemptions(bridges, ledger, row)
    else:
        bridges.in_flight[row, 1] += amount
        put(bridges, agenda, row, 1, order.group, order.row, amount, net, due)
    recognize(bridges, ledger, prices, row)
    order.token_in, order.token_out = token, bridges.tokens[row, 1 - side]
    order.amount_in, order.amount_out, order.fee_paid = amount, net, fee
    return OK


@handler
def _deliver(binding, message):  # type: ignore[no-untyped-def]
    """Queue a transfer that is due, and pay what can be paid."""
    bridges, _, ledger, prices, _, _ = unpack(binding)
    event = event_at(message)
    row = event.b
    if event.a >= 0:
        enqueue(bridges, event.a)
    cover(bridges, ledger, row)
    deliver_minted(bridges, ledger, row)
    pay_redemptions(bridges, ledger, row)
    recognize(bridges, ledger, prices, row)
    return OK


# --- declaration ---------------------------------------------------------------------------------


def make(world: World, sites: Sequence[VenueSite]) -> LockAndMintState:
    """Return the bridges of a world; wrapped tokens get the asset and scale of their home token."""
    prices, n = world.prices, len(sites)
    for site in sites:
        home, wrapped = site.tokens
        prices.asset[wrapped], prices.scale[wrapped] = prices.asset[home], prices.scale[home]
        world.venues.fee[site.number] = site.config.fee_bps * 1e-4
        if site.config.other_chain == site.config.chain:
            raise InputError(
                f"bridge '{site.name}' leads from chain '{site.config.chain}' to itself; "
                "name another chain as other_chain"
            )
    update_prices(prices, 0)
    configs = [site.config for site in sites]
    caps = [[c.outstanding_cap, c.return_cap] for c in configs]
    delays = [[ticks(c.finality_delay_seconds), ticks(c.return_delay_seconds)] for c in configs]
    return LockAndMintState(
        escrow=np.zeros(n),
        fees=np.zeros(n),
        fee=np.array([c.fee_bps * 1e-4 for c in configs]),
        cap=np.array([[math.inf if x is None else x for x in pair] for pair in caps]).reshape(
            -1, 2
        ),
        delay=np.array(delays, np.int64).reshape(-1, 2),
        forged=np.zeros((n, 2)),
        is_uniform=np.array([c.loss_allocation == "uniform" for c in configs], np.int64),
        par=np.array([prices.scale[site.tokens[0]] for site in sites]),
        outside=np.zeros(n),
        is_insured=np.zeros(n, np.int64),
        insured=np.zeros(n),
        **make_table(world.event_number(DELIVER), n),
        **make_places(world, sites),
    )


def open_escrows(world: World, state: LockAndMintState) -> None:
    """Lock the cover of every wrapped token that exists at time 0, as if bridged before."""
    for row in range(len(state.escrow)):
        home, wrapped = (int(token) for token in state.tokens[row])
        missing = float(world.ledger.supply[wrapped] - state.escrow[row])
        if missing > 0.0:
            world.endow(int(state.group[row]), int(state.account[row]), home, missing)
            state.escrow[row] += missing
    _count_outside(world, state)


def _count_outside(world: World, state: LockAndMintState) -> None:
    """Note how many home tokens exist beside those of the world, where a loss is shared.

    Raises
    ------
    InputError
        The world holds more than are said to exist, or two bridges value one home token.
    """
    for row in np.flatnonzero(state.is_uniform):
        home, venue = int(state.tokens[row, 0]), int(state.venue[row])
        name, total = world.venue_names[venue], world.plan.venues[venue].config.total_supply
        if np.sum(state.tokens[:, 0] == home) > 1:
            raise InputError(
                f"venues.{name}.loss_allocation: another bridge locks the same token; uniform "
                "needs it to be the only one"
            )
        held = float(world.ledger.supply[home])
        if total is not None and total < held:
            raise InputError(
                f"venues.{name}.total_supply ({total:g}) must be at least the {held:g} tokens of "
                "the scenario; raise it"
            )
        state.outside[row] = 0.0 if total is None else total - held


def claims(world: World, state: LockAndMintState) -> list[Claim]:
    """Return what is on its way to receivers, and what the bridges owe.

    A wrapped token is a debt of its bridge, whose account therefore carries minus the supply: all
    holdings of a wrapped token, this debt included, add up to 0. A transfer on its way, either
    way, is worth as much as the wrapped token until it is paid.
    """
    found = pending_claims(state, state.tokens[:, [1, 1]])
    for row in range(len(state.escrow)):
        wrapped = int(state.tokens[row, 1])
        own = np.array([state.account[row]], np.int64)
        debt = np.array([-world.ledger.supply[wrapped]])
        found.append(Claim(int(state.group[row]), own, wrapped, debt, int(state.venue[row])))
    return found


def sample(world: World, state: LockAndMintState) -> dict[str, Columns]:
    """Return the columns of the `bridges` record."""
    home, wrapped = state.tokens.T
    supply = world.ledger.supply[wrapped]
    in_flight = state.in_flight.sum(axis=1)
    pairs = zip(state.escrow.tolist(), (supply + in_flight).tolist(), strict=True)
    return {
        "bridges": {
            "venue": state.venue,
            "token": home,
            "locked": state.escrow,
            "minted": supply,
            "in_flight": in_flight,
            "backing_ratio": [backing_of.py_func(escrow, owed) for escrow, owed in pairs],
            "depeg": [depeg_of(world, *pair) for pair in state.tokens[:, ::-1].tolist()],
        }
    }


def check(world: World, state: LockAndMintState) -> None:
    """Check that escrow and forged amounts cover what is owed, and that the escrow is really there.

    Raises
    ------
    InvariantError
        They do not; the message names the forged amounts.
    """
    moves = int(state.counter[N_MOVES])
    for row in range(len(state.escrow)):
        home, wrapped = (int(token) for token in state.tokens[row])
        name = world.venue_names[int(state.venue[row])]
        minted, released = (float(x) for x in state.forged[row])
        supply = float(world.ledger.supply[wrapped])
        owed = supply + float(state.in_flight[row].sum())
        covered = float(state.escrow[row] - state.insured[row]) + minted + released
        n = moves + int(world.ledger.n_moves[wrapped])
        largest = max(owed, covered, float(world.ledger.turnover[wrapped]))
        check_equal(
            f"bridge {name}: escrow with {minted:.17g} forged by minting and {released:.17g} by "
            f"release, against wrapped supply and in flight",
            covered,
            owed,
            n,
            largest,
        )
        held = float(world.balances(MECHANISM.kind, home)[int(state.account[row])])
        booked = float(state.escrow[row] + state.fees[row])
        check_equal(f"bridge {name}: account against escrow and fees", held, booked, n, largest)


def _forge(world: World, config: Forge) -> None:
    """Forge tokens; `forged` remembers how many of each kind."""
    state: LockAndMintState = world.states[MECHANISM.kind]
    row = int(world.venues.row[world.venue(config.venue)])
    group, amount = world.group(config.population), float(config.amount)
    home, wrapped = (int(token) for token in state.tokens[row])
    if config.mode == "mint_on_destination":
        status = mint(world.ledger, group, 0, wrapped, amount)
        kind = MINTED
    else:
        amount = min(amount, float(state.escrow[row]))
        account = int(state.group[row]), int(state.account[row])
        status = transfer(world.ledger, *account, group, 0, home, amount)
        kind = RELEASED
        state.escrow[row] -= amount if status == OK else 0.0
    if status != OK:
        token = world.token_names[wrapped if kind == MINTED else home]
        raise InputError(
            f"{config.population}[0] cannot receive {token} ({Status(status).name.lower()}); "
            "name a population that can hold it"
        )
    state.forged[row, kind] += amount
    state.counter[N_MOVES] += 1
    drain(world, state, row)


# --- without bridge risk -------------------------------------------------------------------------


def _cut(world: World, state: LockAndMintState) -> None:
    """Let transfers settle at once at par, also while sends are paused; the insurer covers."""
    state.is_insured[:] = 1


def _insured(world: World, state: LockAndMintState) -> float:
    """Return what the insurer has paid, USD."""
    return float(state.insured @ world.prices.fundamental[state.tokens[:, 0]])


MECHANISM = Mechanism(
    kind="lock_and_mint",
    config=LockAndMintConfig,
    verbs=(Verb("send", _send, 90_000, _quote_send),),
    states=unpack.states,
    make=make,
    estimate=estimate,
    open=open_escrows,
    is_made_first=True,
    issues=lambda name, config: ((config.other_chain, config.wrapped),),
    nodes=lambda config: [(config.chain, config.token), (config.other_chain, config.wrapped)],
    claims=claims,
    sample=sample,
    check=check,
    events=((DELIVER, _deliver),),
    shocks=(*SHOCKS, forge_kind(_forge)),
    channels=(Channel("bridge", _cut, absorbed=_insured),),
)
