"""Transfers on their way: a bounded table, and a queue for each side of each bridge.

Both kinds of bridge carry the same columns, so these kernels serve both: `transfers`, `free` and
`counter` are the table, `first` and `last` the queues of transfers that are due and not yet paid.
Side 0 leads from the home chain to the other one, side 1 back. A queue is paid in order: nobody is
paid before those who were due earlier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sim.agenda import DELIVERY_RANK, schedule
from sim.chain import plain_bid
from sim.errors import InvariantError
from sim.grouping import rows_by_key
from sim.kernel import blank, kernel
from sim.ledger import slot
from sim.registry import Claim, VenueSite
from sim.status import Status
from sim.venues import draft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.world import World

OK = int(Status.OK)
FULL = int(Status.FULL)
NOT_ALLOWED = int(Status.NOT_ALLOWED)

N_FREE, EVENT_NUMBER, N_MOVES = range(3)  # entries of `counter`
CAPACITY = 16_384  # transfers on their way at one time, all bridges of a kind
ROOM = 16  # places that must be free, so that every leg of one order finds its own
NOBODY = -1
DRAIN = -1  # event without a transfer: pay what waits
ROUNDING = 1e-12  # relative: a last redemption may meet an escrow that rounding made smaller

TRANSFER = np.dtype(
    [
        ("amount", "f8"),  # taken from the sender, fee included where it is paid on arrival
        ("net", "f8"),  # that the receiver gets
        ("due", "i8"),  # tick of delivery
        ("bridge", "i8"),  # row of the bridge
        ("side", "i8"),  # 0: to the other chain, 1: back
        ("group", "i8"),  # receiver
        ("row", "i8"),
        ("is_repayment", "i8"),  # 1: to the bridge's own inventory
        ("next", "i8"),  # next in the queue
    ],
    align=True,
)


@kernel
def has_place(state, agenda):  # type: ignore[no-untyped-def]
    """Return whether the table and the agenda have room for the transfers of any one order."""
    is_short = agenda.size[0] + ROOM > agenda.events.shape[0] - 2
    return not is_short and state.counter[N_FREE] >= ROOM


@kernel
def may_send(state, ledger, order, row):  # type: ignore[no-untyped-def]
    """Return OK, or NOT_ALLOWED where side, chain or account do not fit the bridge."""
    side = order.a
    if side != 0 and side != 1:
        return NOT_ALLOWED
    if order.chain != state.chains[row, side]:
        return NOT_ALLOWED
    if slot(ledger, order.group, order.row, state.tokens[row, 1 - side]) < 0:
        return NOT_ALLOWED
    return OK


@kernel
def enter(state, row, side, group, account, amount, net, due):  # type: ignore[no-untyped-def]
    """Enter a transfer into the table, which has room; returns its place."""
    n = state.counter[N_FREE] - 1
    state.counter[N_FREE] = n
    at = state.free[n]
    transfer = state.transfers[at]
    transfer.amount, transfer.net, transfer.due = amount, net, due
    transfer.bridge, transfer.side, transfer.next = row, side, NOBODY
    transfer.group, transfer.row, transfer.is_repayment = group, account, 0
    return at


@kernel
def put(state, agenda, row, side, group, account, amount, net, due):  # type: ignore[no-untyped-def]
    """Enter a transfer and schedule its delivery; the caller has asked `has_place`."""
    at = enter(state, row, side, group, account, amount, net, due)
    chain = state.chains[row, 1 - side]
    schedule(agenda, due, DELIVERY_RANK, chain, state.counter[EVENT_NUMBER], at, row, 0.0, 0.0)
    return at


@kernel
def release_place(state, at):  # type: ignore[no-untyped-def]
    """Give the place of a transfer back."""
    state.transfers[at].net = state.transfers[at].amount = 0.0
    state.free[state.counter[N_FREE]] = at
    state.counter[N_FREE] += 1


@kernel
def enqueue(state, at):  # type: ignore[no-untyped-def]
    """Append a transfer that is due to the queue of its bridge and side."""
    transfer = state.transfers[at]
    row, side = transfer.bridge, transfer.side
    last = state.last[row, side]
    if last < 0:
        state.first[row, side] = at
    else:
        state.transfers[last].next = at
    state.last[row, side] = at
    state.queued[row, side] += transfer.amount


@kernel
def dequeue(state, row, side):  # type: ignore[no-untyped-def]
    """Remove the first transfer of a queue and give its place back; returns the place."""
    at = state.first[row, side]
    after = state.transfers[at].next
    state.first[row, side] = after
    if after < 0:
        state.last[row, side] = NOBODY
        state.queued[row, side] = 0.0
    else:
        state.queued[row, side] -= state.transfers[at].amount
    release_place(state, at)
    return at


@kernel
def draft_send(box, venues, state, row, side, amount, group, account, now):  # type: ignore[no-untyped-def]
    """Return a new order that sends `amount` over a bridge from the chain of its side."""
    chain = state.chains[row, side]
    order = draft(box, venues, state.venue[row], 0, group, account, now)
    order.chain = chain
    order.max_fee = plain_bid(box.chains[chain])
    order.a, order.amount = side, amount
    order.token_in, order.token_out = state.tokens[row, side], state.tokens[row, 1 - side]
    return order


def make_table(event: int, n: int) -> dict[str, Any]:
    """Return the columns of an empty table of transfers, for `n` bridges.

    Parameters
    ----------
    event : number of the event that delivers
    n : bridges
    """
    return {
        "in_flight": np.zeros((n, 2)),
        "queued": np.zeros((n, 2)),
        "first": np.full((n, 2), NOBODY, np.int64),
        "last": np.full((n, 2), NOBODY, np.int64),
        "transfers": blank(CAPACITY, TRANSFER),
        "free": np.arange(CAPACITY, dtype=np.int64)[::-1].copy(),
        "counter": np.array([CAPACITY, event, 0], np.int64),
    }


def make_places(world: World, sites: Sequence[VenueSite]) -> dict[str, Any]:
    """Return the columns that say where each bridge stands: venue, account, tokens, chains."""
    chains = [[site.chain, world.chain(site.config.other_chain)] for site in sites]
    return {
        "venue": np.array([site.number for site in sites], np.int64),
        "group": np.array([site.group for site in sites], np.int64),
        "account": np.array([site.account for site in sites], np.int64),
        "tokens": np.array([site.tokens for site in sites], np.int64).reshape(-1, 2),
        "chains": np.array(chains, np.int64).reshape(-1, 2),
        "is_paused": np.zeros(len(sites), np.int64),
    }


def pending_claims(state: Any, tokens: np.ndarray) -> list[Claim]:
    """Return what receivers of transfers on their way will get, and the bridges' debt for it.

    Parameters
    ----------
    state : state of a kind of bridge
    tokens : int64, (n_bridges, 2), token in which the claims on transfers of each side count
    """
    if state.counter[N_FREE] == len(state.transfers):
        return []
    table = state.transfers
    table = table[(table["net"] > 0.0) & (table["is_repayment"] == 0)]
    n_groups = int(table["group"].max(initial=0)) + 1
    keys = (2 * table["bridge"] + table["side"]) * n_groups + table["group"]
    found = []
    for key, mine in rows_by_key(keys, 2 * len(tokens) * n_groups):
        (bridge, side), group = divmod(key // n_groups, 2), key % n_groups
        token, net = int(tokens[bridge, side]), table["net"][mine]
        own, venue = np.array([state.account[bridge]], np.int64), int(state.venue[bridge])
        found.append(Claim(group, table["row"][mine], token, net, venue))
        found.append(Claim(int(state.group[bridge]), own, token, np.array([-net.sum()]), venue))
    return found


def depeg_of(world: World, token: int, par: int) -> float:
    """Return pool price / par - 1 of a token, at the first pool that trades it; 0: no pool.

    Parameters
    ----------
    token : token whose market price is asked
    par : token whose reference price is its par
    """
    venues, usd = world.venues, world.prices.reference
    pools = np.flatnonzero((venues.token0 == token) | (venues.token1 == token))
    if not len(pools):
        return 0.0
    venue = int(pools[0])
    if venues.token0[venue] == token:
        return float(venues.price[venue] * usd[venues.token1[venue]] / usd[par] - 1.0)
    return float(usd[venues.token0[venue]] / venues.price[venue] / usd[par] - 1.0)


def check_equal(what: str, found: float, expected: float, moves: int, largest: float) -> None:
    """Check an identity up to the rounding of its moves: 4 eps each, of the largest amount.

    Raises
    ------
    InvariantError
        The two differ by more.
    """
    allowed = 4 * 2.0**-52 * (moves + 8) * largest
    if abs(found - expected) > allowed:
        raise InvariantError(
            f"{what}: {found:.17g} against {expected:.17g}; at most {allowed:.3g} may be rounding"
        )
