"""The tables of all tranche vaults: vaults, tranches, what they hold, who waits.

Amounts are in the vault's cash token. `flows` is what investors have put in and not taken out;
`gain` the part of everything earned or lost since the start that is recognized. The value of a
vault is flows + gain, and the net asset values of its tranches add up to it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sim.appraisal import APPRAISAL
from sim.kernel import I8, F8x2, I8x2, blank, columnar, kernel, records

N_TRANCHES = 4  # most of one vault
N_SEEN = 256  # valuations remembered for the recognition delay
N_HOLDINGS = 64  # positions of all vaults together
CAPACITY = 8_192  # requests that wait, all vaults together
ROOM = 16  # places that must be free for a new request
N_FREE, N_REACHED, EVENT_NUMBER, N_HELD = range(4)
# ^ of `counter`: free places, places ever used, event number, rows of `holdings`
FREE, DEPOSITED, REDEEMING = range(3)  # kinds of a request
DEPOSIT, REDEEM, CANCEL = range(3)  # verbs
OPEN, STOPPED, WINDING = range(3)  # stages of a vault
STAGES = ("open", "stopped", "winding")
AT_BOOK, AT_ORACLE, AT_EXIT = range(3)  # net asset value policies

VAULT = np.dtype(
    [
        ("venue", "i8"),
        ("chain", "i8"),
        ("group", "i8"),  # its account …
        ("account", "i8"),
        ("cash", "i8"),  # token
        ("n_tranches", "i8"),
        ("stage", "i8"),  # OPEN, STOPPED, WINDING
        ("policy", "i8"),  # AT_BOOK, AT_ORACLE, AT_EXIT
        ("rule", "i8"),  # FIXED, SPLIT, LEVERAGE
        ("epoch", "i8"),  # ticks
        ("epochs", "i8"),  # how many have ended
        ("interval", "i8"),  # ticks between valuations
        ("valued_at", "i8"),  # tick of the last one
        ("accrued_at", "i8"),  # tick up to which coupons are paid
        ("delay", "i8"),  # ticks from a valuation to its recognition
        ("n_seen", "i8"),  # valuations so far
        ("wind_after", "i8"),  # ticks from a stop to winding down, -1: never by itself
        ("stopped_at", "i8"),
        ("is_insured", "i8"),  # 1: an insurer outside takes over what is to be redeemed, at once
        ("gross", "f8"),  # value by the policy, not delayed
        ("fair", "f8"),  # recoverable value at fundamental prices
        ("flows", "f8"),
        ("gain", "f8"),
        ("index", "f8"),  # value of one unit invested at the start, recognized
        ("peak", "f8"),  # its highest
        ("stop_loss", "f8"),  # fall from the peak that stops the vault, 0: none
        ("gate", "f8"),  # share of a tranche that an epoch may redeem
        ("minimum", "f8"),  # least coverage that exits below and entries above the senior may leave
        ("swing", "f8"),  # share of the price that redeemers leave when outflow is large
        ("swing_from", "f8"),  # net outflow over value from which they do
        ("least", "f8"),  # adaptive split: bounds of the senior's share
        ("most", "f8"),
        ("ceded", "f8"),  # leverage: share of income ceded to the last tranche
        ("highest", "f8"),  # leverage: most, 0: no bound on the senior
        ("few_backers", "f8"),  # leverage: holders at which it begins …
        ("many_backers", "f8"),  # … and reaches the most
        ("escrow", "f8"),  # cash of deposits that wait
        ("paid", "f8"),  # cash paid to redeemers so far
        ("insured", "f8"),  # cash that the insurer has paid them
        ("taken", "f8"),  # by those who left or joined from those who stayed, so far
    ],
    align=True,
)
HOLDING = np.dtype(
    [("vault", "i8"), ("venue", "i8"), ("a", "i8"), ("b", "i8")],  # one position of a vault
    align=True,
)
REQUEST = np.dtype(
    [
        ("amount", "f8"),  # cash of a deposit, shares of a redemption, not yet served
        ("time", "i8"),
        ("vault", "i8"),
        ("tranche", "i8"),
        ("group", "i8"),  # whose it is
        ("row", "i8"),
        ("kind", "i8"),  # FREE, DEPOSITED, REDEEMING
    ],
    align=True,
)


@columnar
class TrancheState(NamedTuple):
    """All tranche vaults; row = vault, column = tranche, senior first."""

    vaults: records(VAULT)  # type: ignore[valid-type]  # (n,)
    share: I8x2  # int64, (n, N_TRANCHES), token
    nav: F8x2  # float64, (n, N_TRANCHES), cash, recognized
    fair: F8x2  # float64, (n, N_TRANCHES), cash, if the recoverable value were recognized
    claim: F8x2  # float64, (n, N_TRANCHES), cash, highest value entitled to
    rate: F8x2  # float64, (n, N_TRANCHES), fraction a year
    notice: I8x2  # int64, (n, N_TRANCHES), ticks that a redemption waits at least
    income: F8x2  # float64, (n, N_TRANCHES), cash so far
    realized: F8x2  # float64, (n, N_TRANCHES), cash, losses that redeemers took with them
    asked: F8x2  # float64, (n, N_TRANCHES), shares whose redemption waits
    joining: F8x2  # float64, (n, N_TRANCHES), cash whose deposit waits
    seen: F8x2  # float64, (n, N_SEEN), gains seen, a ring
    seen_at: I8x2  # int64, (n, N_SEEN), tick
    held: F8x2  # float64, (n, n_tokens), what a vault has, all venues together
    feed: I8x2  # int64, (n, n_tokens), feed that prices the token, -1: the reference price
    sale: I8x2  # int64, (n, n_tokens), pool where it is sold for cash, -1: none
    holdings: records(HOLDING)  # type: ignore[valid-type]  # (N_HOLDINGS,)
    requests: records(REQUEST)  # type: ignore[valid-type]  # (CAPACITY,)
    free: I8  # int64, (CAPACITY,), stack of free places
    counter: I8  # int64, (4,)
    rows: I8  # int64, (n_groups,), accounts of each group of the ledger
    message: records(APPRAISAL)  # type: ignore[valid-type]  # (1,)


_COLUMNS: dict[str, tuple[int, str]] = {
    "share": (N_TRANCHES, "i8"),
    "notice": (N_TRANCHES, "i8"),
    "seen": (N_SEEN, "f8"),
    "seen_at": (N_SEEN, "i8"),
} | dict.fromkeys(
    ("nav", "fair", "claim", "rate", "income", "realized", "asked", "joining"), (N_TRANCHES, "f8")
)


def make_state(n: int, n_tokens: int, event: int, rows: list[int]) -> TrancheState:
    """Return a table of `n` empty vaults.

    Parameters
    ----------
    n_tokens : tokens of the ledger
    event : number of the event that ends an epoch
    rows : accounts of each group of the ledger
    """
    columns: dict[str, Any] = {
        name: np.zeros((n, width), kind) for name, (width, kind) in _COLUMNS.items()
    }
    columns["share"][:] = -1
    return TrancheState(
        vaults=blank(n, VAULT),
        held=np.zeros((n, n_tokens)),
        feed=np.full((n, n_tokens), -1, np.int64),
        sale=np.full((n, n_tokens), -1, np.int64),
        holdings=blank(N_HOLDINGS, HOLDING),
        requests=blank(CAPACITY, REQUEST),
        free=np.arange(CAPACITY, dtype=np.int64)[::-1].copy(),
        counter=np.array([CAPACITY, 0, event, 0], np.int64),
        rows=np.array(rows, np.int64),
        message=blank(1, APPRAISAL),
        **columns,
    )


@kernel
def value_of(state, row):  # type: ignore[no-untyped-def]
    """Return the recognized value of a vault, cash."""
    total = 0.0
    for k in range(state.vaults[row].n_tranches):
        total += state.nav[row, k]
    return total


@kernel
def coverage_of(state, row):  # type: ignore[no-untyped-def]
    """Return the share of a vault's value that stands below the senior tranche; 0 without value."""
    total = value_of(state, row)
    return (total - state.nav[row, 0]) / total if total > 0.0 else 0.0


@kernel
def price_of(state, ledger, row, k):  # type: ignore[no-untyped-def]
    """Return the cash that one share of a tranche stands for; 1 before the first share."""
    supply = ledger.supply[state.share[row, k]]
    return state.nav[row, k] / supply if supply > 0.0 else 1.0


@kernel
def can_redeem(vault):  # type: ignore[no-untyped-def]
    """Return whether a vault takes redemptions: unless it is stopped and nobody outside pays."""
    return vault.stage != STOPPED or vault.is_insured == 1


@kernel
def enter(state, row, k, kind, amount, group, account, now):  # type: ignore[no-untyped-def]
    """Put a request into the table; returns its place. The caller has asked for room."""
    state.counter[N_FREE] -= 1
    at = state.free[state.counter[N_FREE]]
    state.counter[N_REACHED] = max(state.counter[N_REACHED], at + 1)
    request = state.requests[at]
    request.amount, request.time, request.kind = amount, now, kind
    request.vault, request.tranche, request.group, request.row = row, k, group, account
    if kind == REDEEMING:
        state.asked[row, k] += amount
    else:
        state.joining[row, k] += amount
        state.vaults[row].escrow += amount
    return at


@kernel
def serve(state, at, amount):  # type: ignore[no-untyped-def]
    """Take a part out of a request, and free its place when nothing is left."""
    request = state.requests[at]
    row, k = request.vault, request.tranche
    request.amount -= amount
    if request.kind == REDEEMING:
        state.asked[row, k] = max(state.asked[row, k] - amount, 0.0)
    else:
        state.joining[row, k] = max(state.joining[row, k] - amount, 0.0)
        state.vaults[row].escrow = max(state.vaults[row].escrow - amount, 0.0)
    if request.amount <= 0.0:
        request.kind = FREE
        state.free[state.counter[N_FREE]] = at
        state.counter[N_FREE] += 1
