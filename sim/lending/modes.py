"""Modes of an account: which of its claims secure debts, on what terms, and what it may owe.

A claim secures debts where the account uses it as collateral, the reserve allows it and its
liquidation threshold is above zero. In an *efficiency mode* the limits of the mode replace those of
its collateral assets, and only its borrowable assets can be owed; a reserve whose own loan to value
is zero lends nothing in any mode. An account is in *isolation* when all it uses is one asset with a
debt ceiling: then it may owe only assets marked for it, and all such debts together, counted
without interest, stay within the ceiling. The ceiling counts tokens owed: those assets are meant to
be worth one quote unit.

Differences from the contract: an isolated asset is used from its first supply, where the contract
asks for a call of its own; ceilings are not rounded to cents; reserves have no siloed borrowing.

References
----------
Aave v3 contracts: `EModeLogic` (sets of assets as from version 3.2), `IsolationModeLogic`,
`ValidationLogic.validateUseAsCollateral`, `GenericLogic.calculateUserAccountData`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sim.kernel import kernel
from sim.lending.config import ReserveFlag
from sim.lending.reserve import counts_as_collateral

if TYPE_CHECKING:
    from sim.lending.state import LendingState

COLLATERAL = int(ReserveFlag.COLLATERAL)
ISOLATED_DEBT = int(ReserveFlag.ISOLATED_DEBT)


@kernel
def has_bit(bits, place):  # type: ignore[no-untyped-def]
    """Return whether a set of small numbers contains one."""
    return ((bits >> place) & 1) != 0


@kernel
def applies(state, position, reserve):  # type: ignore[no-untyped-def]
    """Return whether the limits of an account's efficiency mode replace those of a reserve."""
    mode = state.positions[position].mode
    if mode < 0:
        return False
    return has_bit(state.modes[mode].collateral_bits, reserve - state.modes[mode].first_reserve)


@kernel
def terms_of(state, position, reserve):  # type: ignore[no-untyped-def]
    """Return (loan to value, liquidation threshold, liquidation bonus) of a claim of an account."""
    asset = state.reserves[reserve]
    if not applies(state, position, reserve):
        return asset.loan_to_value, asset.liquidation_threshold, asset.liquidation_bonus
    mode = state.modes[state.positions[position].mode]
    loan_to_value = mode.loan_to_value if asset.loan_to_value > 0.0 else 0.0
    return loan_to_value, mode.liquidation_threshold, mode.liquidation_bonus


@kernel
def secures(state, position, slot):  # type: ignore[no-untyped-def]
    """Return whether the claim in a slot secures debts of the account."""
    reserve = state.collateral_reserve[position, slot]
    if reserve < 0 or state.is_used[position, slot] == 0:
        return False
    return counts_as_collateral(state.reserves[reserve])


@kernel
def isolating_reserve(state, position):  # type: ignore[no-untyped-def]
    """Return the reserve that holds an account in isolation, -1: it is not isolated."""
    found = -1
    for slot in range(state.collateral_reserve.shape[1]):
        if state.is_used[position, slot] != 0:
            if found >= 0:
                return -1
            found = state.collateral_reserve[position, slot]
    if found >= 0 and state.reserves[found].debt_ceiling < math.inf:
        return found
    return -1


@kernel
def can_be_used(state, position, reserve):  # type: ignore[no-untyped-def]
    """Return whether an account may begin to use a claim on a reserve as collateral."""
    asset = state.reserves[reserve]
    return asset.loan_to_value > 0.0 and is_compatible(state, position, reserve)


@kernel
def is_compatible(state, position, reserve):  # type: ignore[no-untyped-def]
    """Return whether isolation lets a claim stand beside those that the account uses."""
    for slot in range(state.is_used.shape[1]):
        if state.is_used[position, slot] != 0:
            return (
                state.reserves[reserve].debt_ceiling == math.inf
                and isolating_reserve(state, position) < 0
            )
    return True


@kernel
def can_owe(state, position, reserve):  # type: ignore[no-untyped-def]
    """Return whether the modes of an account let it borrow from a reserve."""
    mode = state.positions[position].mode
    if mode >= 0:
        place = reserve - state.modes[mode].first_reserve
        if not has_bit(state.modes[mode].borrowable_bits, place):
            return False
    is_free = (state.reserves[reserve].flag_bits & ISOLATED_DEBT) != 0
    return is_free or isolating_reserve(state, position) < 0


@kernel
def has_zero_loan_to_value(state, position):  # type: ignore[no-untyped-def]
    """Return whether a claim secures debts although nothing new may be borrowed against it."""
    for slot in range(state.collateral_reserve.shape[1]):
        if secures(state, position, slot):
            reserve = state.collateral_reserve[position, slot]
            if state.reserves[reserve].loan_to_value == 0.0:
                return True
    return False


@kernel
def note_isolated_debt(state, isolating, amount):  # type: ignore[no-untyped-def]
    """Add a debt, or take away a repayment (negative), of an account in isolation."""
    if isolating >= 0:
        asset = state.reserves[isolating]
        asset.isolated_debt = max(asset.isolated_debt + amount, 0.0)


def threshold_in(state: LendingState, mode: int, reserve: int) -> float:
    """Return the liquidation threshold of a reserve for accounts in a mode (-1: none)."""
    if mode >= 0:
        chosen = state.modes[mode]
        if (int(chosen["collateral_bits"]) >> (reserve - int(chosen["first_reserve"]))) & 1:
            return float(chosen["liquidation_threshold"])
    return float(state.reserves[reserve]["liquidation_threshold"])
