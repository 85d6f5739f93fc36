"""The accounts of a market that prices may soon make unsafe: a bound instead of a scan.

A health factor is a ratio of two sums, each linear in the worths of the market's assets. From one
look to the next it has fallen at most to

    min over collaterals (worth now / then) / max over debts (worth now / then)

of what it was, worth being price times index. So a list of the accounts whose health factor was
below `BAND` holds every unsafe one until that bound reaches `1 / BAND`, with any number of
collaterals and debts; accounts that somebody has acted on since join it. Beyond the bound, or when
the terms of the market have changed, the whole book is looked through again. The list is in the
order of positions: who goes through it meets the same accounts as in the book, in the same order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.kernel import I8, F8x2, columnar, kernel

BAND = 1.02  # wider: longer lists; narrower: more often through the book
_TINY = 1e-300
_EXACT = 1.0 - 1e-9  # rounding of the bound
# Entries of NearAccounts.state.
N_NEAR, SEEN, CHECKED = range(3)
WHOLE = -1  # of N_NEAR: there is no list, look through the book
# Rows of NearAccounts.base.
CLAIM, DEBT, THRESHOLD, FLAGS, MODES = range(5)


@columnar
class NearAccounts(NamedTuple):
    """The list of one watcher for one market."""

    rows: I8  # int64, (capacity,), positions, rising; the first ones count
    base: F8x2  # float64, (5, n_reserves of all markets), as of the list: worth of a scaled claim,
    # of a scaled debt (0: nobody has one), liquidation threshold, flags; terms of modes in [4, 0]
    state: I8  # int64, (3,): accounts listed or WHOLE, changes seen, accounts checked so far


def make_near_accounts(n_accounts: int, n_reserves: int) -> NearAccounts:
    """Return an empty list; the first look goes through the book.

    Parameters
    ----------
    n_accounts : positions that all markets have at the start; an eighth of them may be near
    n_reserves : of all markets
    """
    return NearAccounts(
        rows=np.zeros(n_accounts // 8 + 1_024, np.int64),
        base=np.zeros((5, max(n_reserves, 1))),
        state=np.array([WHOLE, 0, 0], np.int64),
    )


@kernel
def terms_of_modes(lending):  # type: ignore[no-untyped-def]
    """Return one number that moves when the terms of an efficiency mode do."""
    total = 0.0
    for k in range(lending.modes.shape[0]):
        mode = lending.modes[k]
        total += (mode.liquidation_threshold + mode.collateral_bits) * (1.0 + k)
    return total


@kernel
def bound_of(near, lending, market, index):  # type: ignore[no-untyped-def]
    """Return to what share of itself a health factor can have fallen since the list; 0: any."""
    if near.base[MODES, 0] != terms_of_modes(lending):
        return 0.0
    first, least, most = lending.markets[market].first_reserve, np.inf, 0.0
    for k in range(first, first + lending.markets[market].n_reserves):
        asset = lending.reserves[k]
        is_same = near.base[THRESHOLD, k] == asset.liquidation_threshold
        if not (is_same and near.base[FLAGS, k] == asset.flag_bits):
            return 0.0
        if near.base[CLAIM, k] > 0.0:
            least = min(least, asset.price * index[0, k] / near.base[CLAIM, k])
        if near.base[DEBT, k] > 0.0:
            most = max(most, asset.price * index[1, k] / near.base[DEBT, k])
    return least / most * _EXACT if most > 0.0 else np.inf


@kernel
def begin(near, lending, market, index):  # type: ignore[no-untyped-def]
    """Begin a new list, at the worths of now."""
    near.base[MODES, 0] = terms_of_modes(lending)
    first = lending.markets[market].first_reserve
    for k in range(first, first + lending.markets[market].n_reserves):
        asset = lending.reserves[k]
        near.base[CLAIM, k] = asset.price * index[0, k] if asset.n_claims > 0 else 0.0
        owed = max(asset.price * index[1, k], _TINY)  # free today, perhaps not tomorrow
        near.base[DEBT, k] = owed if asset.n_debts > 0 else 0.0
        near.base[THRESHOLD, k], near.base[FLAGS, k] = asset.liquidation_threshold, asset.flag_bits
    near.state[N_NEAR], near.state[SEEN] = 0, lending.changes[0]


@kernel
def enlist(near, position, threshold_value, debt_value):  # type: ignore[no-untyped-def]
    """Add an account behind the others, if it is near; without room there is no list."""
    n = near.state[N_NEAR]
    if n == WHOLE or not threshold_value < BAND * debt_value:
        return
    if n == near.rows.shape[0]:
        near.state[N_NEAR] = WHOLE
        return
    near.rows[n] = position
    near.state[N_NEAR] = n + 1


@kernel
def place_of(near, position):  # type: ignore[no-untyped-def]
    """Return the place of the first listed account that does not stand before a position."""
    low, high = 0, near.state[N_NEAR]
    while low < high:
        middle = (low + high) // 2
        if near.rows[middle] < position:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def insert(near, position):  # type: ignore[no-untyped-def]
    """Add an account at its place, unless it is listed; without room there is no list."""
    at, n = place_of(near, position), near.state[N_NEAR]
    if at < n and near.rows[at] == position:
        return
    if n == near.rows.shape[0]:
        near.state[N_NEAR] = WHOLE
        return
    for k in range(n - at):
        near.rows[n - k] = near.rows[n - k - 1]
    near.rows[at] = position
    near.state[N_NEAR] = n + 1


@kernel(inline=False)
def catch_up(near, lending):  # type: ignore[no-untyped-def]
    """Add the accounts that somebody has acted on; where these are too many, there is no list."""
    n, size = lending.changes[0], lending.changes.shape[0] - 1
    if n - near.state[SEEN] > size:
        near.state[N_NEAR] = WHOLE
    while near.state[SEEN] < n and near.state[N_NEAR] != WHOLE:
        insert(near, lending.changes[1 + near.state[SEEN] % size])
        near.state[SEEN] += 1


@kernel
def is_list_whole(near, lending, market, index):  # type: ignore[no-untyped-def]
    """Return whether every unsafe account is on the list; else a new one is begun.

    Parameters
    ----------
    index : float64, (2, n_reserves), of `write_indices` now
    """
    if near.state[N_NEAR] != WHOLE and bound_of(near, lending, market, index) * BAND >= 1.0:
        catch_up(near, lending)
        if near.state[N_NEAR] != WHOLE:
            return True
    begin(near, lending, market, index)
    return False
