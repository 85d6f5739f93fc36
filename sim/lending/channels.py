"""Lending markets without the two ways by which stress travels through them.

`lender_run`: an outside lender meets every withdrawal. It pays the tokens, takes the claim over and
earns the posted rate with it; so a run takes no cash out of the market. From its first payment the
borrow rate of the reserve stands still. Loans still need cash.

`collateral`: accounts with several collaterals or debts are split at time 0, one account for each
pair of assets, so that a fall of one asset endangers no debt that another secures. With C_i the
collateral of an account weighted by its liquidation threshold and D_j a debt, the account of the
pair (i, j) gets the share D_j / sum D of collateral i and the share C_i / sum C of debt j; so every
part has the health factor of the whole. The pair of the two largest stays where it was, and what
its population does for an account, it does for that part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.kernel import kernel
from sim.lending.modes import secures, terms_of
from sim.lending.reading import grown_indices
from sim.lending.settings import KIND
from sim.lending.state import LendingState, add_positions
from sim.outside import INSURER, OUTSIDE
from sim.registry import Channel

if TYPE_CHECKING:
    from sim.lending.verbs import LendingDesk
    from sim.world import World

Own = tuple["LendingState", "LendingDesk"]


def _replace(world: World, state: LendingState, desk: LendingDesk) -> None:
    """Set the state after positions were added."""
    desk = desk._replace(unsafe_since=np.full(len(state.positions), -1, np.int64))
    world.replace_state(KIND, (state, desk))


# --- the run of lenders --------------------------------------------------------------------------


def _has_claims(world: World, own: Own) -> bool:
    return bool((own[0].reserves["n_claims"] > 0).any())


def _cut_run(world: World, own: Own) -> None:
    state, desk = own
    first, n = len(state.positions), len(state.reserves)
    state = add_positions(state, state.reserves["market"], OUTSIDE, np.full(n, INSURER))
    state.reserves["lender"] = first + np.arange(n)
    _replace(world, state, desk)


def _lent(world: World, own: Own) -> float:
    reserves = own[0].reserves
    return float(reserves["lent"] @ world.prices.fundamental[reserves["token"]])


# --- shared collateral ---------------------------------------------------------------------------


@kernel(inline=False)
def _weigh(state, has, weight):  # type: ignore[no-untyped-def]
    """Write the value of each pledged claim, weighted by its liquidation threshold."""
    for position in range(weight.shape[0]):
        for slot in range(weight.shape[1]):
            if secures(state, position, slot):
                k = state.collateral_reserve[position, slot]
                value = state.collateral_scaled[position, slot] * has[k]
                weight[position, slot] = value * terms_of(state, position, k)[1]


def _values(state: LendingState, now: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what secures debts, and the debts: two float64, (n_positions, n_slots), USD."""
    supply_index, borrow_index = grown_indices(state, now)
    price = state.reserves["price"]
    pledged = np.zeros_like(state.collateral_scaled)
    _weigh(state, supply_index * price, pledged)
    owed = np.where(
        state.debt_reserve >= 0, state.debt_scaled * (borrow_index * price)[state.debt_reserve], 0.0
    )
    return pledged, owed


def _shared(pledged: np.ndarray, owed: np.ndarray) -> np.ndarray:
    """Return the positions whose debts are secured together: several assets pledged, or owed."""
    n_pledged, n_owed = (pledged > 0.0).sum(axis=1), (owed > 0.0).sum(axis=1)
    return np.flatnonzero((n_owed > 0) & (n_pledged > 0) & (n_pledged + n_owed > 2))


def _has_shared(world: World, own: Own) -> bool:
    state = own[0]
    return bool(len(state.positions)) and len(_shared(*_values(state, world.now))) > 0


def _cut_collateral(world: World, own: Own) -> None:
    state, desk = own
    pledged, owed = _values(state, world.now)
    rows = _shared(pledged, owed)
    parts = [_pairs_of(pledged[row], owed[row]) for row in rows]
    owners = np.repeat(rows, [len(pairs) - 1 for pairs in parts])
    at = len(state.positions)
    columns = state.positions[owners]
    state = add_positions(state, columns["market"], columns["population"], columns["owner"])
    state.positions["mode"][at:] = columns["mode"]
    for row, pairs in zip(rows, parts, strict=True):
        for (i, j), (share, part) in pairs[1:]:
            _move(state, int(row), at, (i, j), (share, part))
            at += 1
        _keep(state, int(row), pledged[row], pairs[0])
    for k in range(len(state.reserves)):
        state.reserves["n_claims"][k] = (state.collateral_reserve == k).sum()
        state.reserves["n_debts"][k] = (state.debt_reserve == k).sum()
    _replace(world, state, desk)


Pair = tuple[tuple[int, int], tuple[float, float]]


def _pairs_of(pledged: np.ndarray, owed: np.ndarray) -> list[Pair]:
    """Return (slot of the collateral, slot of the debt) of each pair, and the parts it gets.

    The parts are the share of that collateral and of that debt; the pair of the largest comes
    first.

    Parameters
    ----------
    pledged, owed : float64, (n_slots,), USD, of one account
    """
    return [
        ((int(i), int(j)), (float(owed[j] / owed.sum()), float(pledged[i] / pledged.sum())))
        for i in np.argsort(-pledged, kind="stable")
        for j in np.argsort(-owed, kind="stable")
        if pledged[i] > 0.0 and owed[j] > 0.0
    ]


def _move(
    state: LendingState, row: int, to: int, slots: tuple[int, int], parts: tuple[float, float]
) -> None:
    """Give a new account its part of a collateral and of a debt of an old one."""
    (i, j), (share, part) = slots, parts
    state.collateral_reserve[to, 0] = state.collateral_reserve[row, i]
    state.collateral_scaled[to, 0] = state.collateral_scaled[row, i] * share
    state.is_used[to, 0] = 1
    state.debt_reserve[to, 0] = state.debt_reserve[row, j]
    state.debt_scaled[to, 0] = state.debt_scaled[row, j] * part


def _keep(state: LendingState, row: int, pledged: np.ndarray, pair: Pair) -> None:
    """Leave the first pair where it was, beside claims that secure nothing."""
    (i, j), (share, part) = pair
    for slot in range(state.collateral_reserve.shape[1]):
        if slot == i:
            state.collateral_scaled[row, slot] *= share
        elif pledged[slot] > 0.0:
            state.collateral_reserve[row, slot], state.collateral_scaled[row, slot] = -1, 0.0
            state.is_used[row, slot] = 0
    for slot in range(state.debt_reserve.shape[1]):
        if slot == j:
            state.debt_scaled[row, slot] *= part
        else:
            state.debt_reserve[row, slot], state.debt_scaled[row, slot] = -1, 0.0


CHANNELS = (
    Channel("lender_run", _cut_run, _has_claims, _lent),
    Channel("collateral", _cut_collateral, _has_shared),
)
