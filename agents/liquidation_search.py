"""Where liquidators look: the accounts of a lending market whose health factor is below one.

A health factor moves when a price of the market moves, when interest accrues, and when somebody
acts on the account. So accounts are looked at only when a price differs from the last one seen, and
once an hour for the interest, and only those that may have become unsafe
(`sim.lending.near_accounts`); what others did shows when a candidate is looked at again. It is
remembered when an account was first found unsafe: whoever has noticed it once keeps an eye on it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.kernel import F8, I8, F8x2, columnar, kernel, records
from sim.lending.account import claim_of, debt_of, values_at, write_indices
from sim.lending.liquidation import max_liquidation
from sim.lending.modes import secures
from sim.lending.near_accounts import CHECKED, N_NEAR, WHOLE, enlist, is_list_whole
from sim.orders import ACCRUAL, FILL, cause
from sim.units import TICKS_PER_SECOND

CANDIDATE = np.dtype(
    [
        ("position", "i8"),  # in the market
        ("since", "i8"),  # tick at which it was first found unsafe, ever
        ("parent", "i8"),  # cause id: what made it so
        ("debt", "i8"),  # reserve of its largest debt
        ("collateral", "i8"),  # reserve of its largest collateral
        ("looked", "i8"),  # number of the last look at it
        ("most", "f8"),  # tokens of debt that one liquidation may repay; 0: repaired since
    ],
    align=True,
)
N_FOUND, MARKET, SCANNED, IS_FULL = range(4)  # CandidateList.number
_RESCAN = 3_600 * TICKS_PER_SECOND  # interest moves health factors even when prices do not
_CAPACITY = 16_384  # candidates kept; where there are more, the book is scanned before every block
_FILL, _ACCRUAL = cause(FILL), cause(ACCRUAL)


@columnar
class CandidateList(NamedTuple):
    """The accounts of one market that may be liquidated, in the order of their positions."""

    found: records(CANDIDATE)  # type: ignore[valid-type]  # (capacity,), the first ones count
    spare: records(CANDIDATE)  # type: ignore[valid-type]  # (capacity,), the next list
    noticed: I8  # int64, (n_accounts,), tick at which a position was first found unsafe, -1: never
    seen: F8  # float64, (n_reserves,), USD, prices at the last scan
    feed: I8  # int64, (n_reserves,), feed of its price
    parent: I8  # int64, (n_reserves,), cause id: what moves the health of accounts with it
    number: I8  # int64, (4,): candidates, row of the market, tick of the last scan, list is full
    grown: F8x2  # float64, (2, n_reserves of all markets), supply and borrow index as of the scan


def make_candidates(market: int, feed: np.ndarray, n_accounts: int, n_all: int) -> CandidateList:
    """Return an empty list for a market, which will be scanned at the first look.

    Parameters
    ----------
    market : row of the market table
    feed : int64, (n_reserves,), feed that prices each of its assets
    n_accounts : most positions that all markets have at the start
    n_all : reserves of all markets
    """
    n_reserves = len(feed)
    return CandidateList(
        found=np.zeros(_CAPACITY, CANDIDATE),
        spare=np.zeros(_CAPACITY, CANDIDATE),
        noticed=np.full(n_accounts, -1, np.int64),
        seen=np.zeros(n_reserves),
        feed=feed,
        parent=np.zeros(n_reserves, np.int64),
        number=np.array([0, market, -_RESCAN, 0], np.int64),
        grown=np.zeros((2, n_all)),
    )


@kernel
def largest_debt(lending, position, now):  # type: ignore[no-untyped-def]
    """Return the reserve in which a position owes most, by value; -1: it owes nothing."""
    best, most = -1, 0.0
    for slot in range(lending.debt_reserve.shape[1]):
        reserve = lending.debt_reserve[position, slot]
        if reserve >= 0:
            value = debt_of(lending, position, reserve, now) * lending.reserves[reserve].price
            if value > most:
                best, most = reserve, value
    return best


@kernel
def largest_collateral(lending, position, now):  # type: ignore[no-untyped-def]
    """Return the reserve of a position's largest collateral, by value; -1: it has none."""
    best, most = -1, 0.0
    for slot in range(lending.collateral_reserve.shape[1]):
        reserve = lending.collateral_reserve[position, slot]
        if secures(lending, position, slot):
            value = claim_of(lending, position, reserve, now) * lending.reserves[reserve].price
            if value > most:
                best, most = reserve, value
    return best


@kernel(inline=False)
def weigh(lending, candidate, now):  # type: ignore[no-untyped-def]
    """Choose a candidate's debt and collateral, and what may be repaid; 0: it is safe, or empty."""
    position = candidate.position
    candidate.debt = largest_debt(lending, position, now)
    candidate.collateral = largest_collateral(lending, position, now)
    candidate.most = 0.0
    if candidate.debt >= 0 and candidate.collateral >= 0:
        candidate.most = max_liquidation(
            lending, position, candidate.debt, candidate.collateral, now
        )


@kernel
def notice(watch, position, now):  # type: ignore[no-untyped-def]
    """Return the tick at which a position was first found unsafe, which may be now."""
    if position >= watch.noticed.shape[0]:  # opened during the run
        return now
    if watch.noticed[position] < 0:
        watch.noticed[position] = now
    return watch.noticed[position]


@kernel(inline=False)
def scan(watch, near, lending, now):  # type: ignore[no-untyped-def]
    """List every unsafe account of the market anew; those listed before keep their history."""
    market, count, known = watch.number[MARKET], 0, 0
    first = lending.markets[market].first_reserve
    watch.number[IS_FULL] = 0
    write_indices(lending, watch.grown, now)
    is_listed = is_list_whole(near, lending, market, watch.grown)
    n = near.state[N_NEAR] if is_listed else lending.positions.shape[0]
    for k in range(n):
        position = near.rows[k] if is_listed else k
        if lending.positions[position].market != market:
            continue
        _, threshold_value, debt_value = values_at(lending, position, watch.grown)
        near.state[CHECKED] += 1
        if not is_listed:
            enlist(near, position, threshold_value, debt_value)
        if not threshold_value < debt_value:
            continue
        if count == watch.spare.shape[0]:
            watch.number[IS_FULL], near.state[N_NEAR] = 1, WHOLE
            break
        candidate = watch.spare[count]
        candidate.position, candidate.looked = position, 0
        weigh(lending, candidate, now)
        if candidate.most <= 0.0:
            continue
        while known < watch.number[N_FOUND] and watch.found[known].position < position:
            known += 1
        candidate.since = notice(watch, position, now)
        candidate.parent = watch.parent[candidate.collateral - first]
        if known < watch.number[N_FOUND]:
            before = watch.found[known]
            if before.position == position and before.most > 0.0:
                candidate.parent = before.parent
        count += 1
    watch.number[N_FOUND], watch.number[SCANNED] = count, now
    for k in range(count):
        watch.found[k] = watch.spare[k]


@kernel(inline=False)
def look(watch, near, lending, fill, now):  # type: ignore[no-untyped-def]
    """Look for unsafe accounts if a price has moved, an hour has passed, or the list was full.

    `fill` is, for each feed, the fill behind the value in force. That of its collateral is what
    makes an account unsafe, or interest where no price has moved since the scan before.
    """
    first = lending.markets[watch.number[MARKET]].first_reserve
    n_moved = 0
    for k in range(watch.seen.shape[0]):
        n_moved += lending.reserves[first + k].price != watch.seen[k]
    for k in range(watch.seen.shape[0]):
        last = fill[watch.feed[k]]
        watch.parent[k] = _FILL + last if n_moved > 0 and last > 0 else _ACCRUAL
        watch.seen[k] = lending.reserves[first + k].price
    if n_moved > 0 or watch.number[IS_FULL] != 0 or now >= watch.number[SCANNED] + _RESCAN:
        scan(watch, near, lending, now)
