"""One position: claims, debts, values, health factor, liquidation price.

All amounts are as of a tick, interest included, and nothing is written. Values are in quote units
at the market's own prices. `health_factor = sum(collateral value * threshold) / debt value`; below
one the account can be liquidated.

References
----------
Aave v3 contracts: `GenericLogic.calculateUserAccountData`. Warmuz, Chaudhary and Pinna (2022,
arXiv 2212.07306) for the toxic frontier, McFarlane (2025, arXiv 2510.10171) for slippage.
"""

from __future__ import annotations

import math

import numpy as np

from sim.kernel import kernel
from sim.lending.modes import can_be_used, secures, terms_of
from sim.lending.reserve import borrow_index_at, supply_index_at

BASIS_POINTS = 1e4
ROUNDING = 1e-6  # basis points: a mean so close below a whole number is that number


@kernel
def find_slot(slots, position, reserve):  # type: ignore[no-untyped-def]
    """Return the slot of a position that holds a reserve, or -1."""
    for slot in range(slots.shape[1]):
        if slots[position, slot] == reserve:
            return slot
    return -1


@kernel
def slot_for(slots, position, reserve):  # type: ignore[no-untyped-def]
    """Return the slot that holds a reserve, else the first free one, or -1 without room."""
    slot = find_slot(slots, position, reserve)
    return slot if slot >= 0 else find_slot(slots, position, -1)


@kernel
def note_change(state, position):  # type: ignore[no-untyped-def]
    """Remember that somebody acted on a position: who keeps lists of positions looks at it."""
    n = state.changes[0]
    state.changes[1 + n % (state.changes.shape[0] - 1)] = position
    state.changes[0] = n + 1


@kernel
def add_claim(state, position, slot, reserve, scaled):  # type: ignore[no-untyped-def]
    """Add a scaled claim to a slot that is free or holds the reserve.

    A first claim secures debts from the start, where the account may use it.
    """
    note_change(state, position)
    asset = state.reserves[reserve]
    if state.collateral_reserve[position, slot] < 0:
        state.is_used[position, slot] = 1 if can_be_used(state, position, reserve) else 0
        state.collateral_reserve[position, slot] = reserve
        asset.n_claims += 1
    state.collateral_scaled[position, slot] += scaled
    asset.scaled_supply += scaled


@kernel
def take_claim(state, position, slot, reserve, scaled):  # type: ignore[no-untyped-def]
    """Remove a scaled claim from a slot; the slot is free when nothing is left."""
    note_change(state, position)
    asset = state.reserves[reserve]
    left = state.collateral_scaled[position, slot] - scaled
    state.collateral_scaled[position, slot] = max(0.0, left)
    asset.scaled_supply = max(0.0, asset.scaled_supply - scaled)
    if left <= 0.0:
        state.collateral_reserve[position, slot] = -1
        state.is_used[position, slot] = 0
        asset.n_claims -= 1
        if asset.n_claims == 0:
            asset.scaled_supply = 0.0  # no residue of rounding outlives the last position


@kernel
def add_debt(state, position, slot, reserve, scaled):  # type: ignore[no-untyped-def]
    """Add a scaled debt to a slot that is free or holds the reserve."""
    note_change(state, position)
    asset = state.reserves[reserve]
    if state.debt_reserve[position, slot] < 0:
        state.debt_reserve[position, slot] = reserve
        asset.n_debts += 1
    state.debt_scaled[position, slot] += scaled
    asset.scaled_debt += scaled


@kernel
def take_debt(state, position, slot, reserve, scaled):  # type: ignore[no-untyped-def]
    """Remove a scaled debt from a slot; the slot is free when nothing is left."""
    note_change(state, position)
    asset = state.reserves[reserve]
    left = state.debt_scaled[position, slot] - scaled
    state.debt_scaled[position, slot] = max(0.0, left)
    asset.scaled_debt = max(0.0, asset.scaled_debt - scaled)
    if left <= 0.0:
        state.debt_reserve[position, slot] = -1
        asset.n_debts -= 1
        if asset.n_debts == 0:
            asset.scaled_debt = 0.0  # no residue of rounding outlives the last position


@kernel
def claim_of(state, position, reserve, now):  # type: ignore[no-untyped-def]
    """Return the tokens that a position has supplied, with interest; 0 if none."""
    slot = find_slot(state.collateral_reserve, position, reserve)
    if slot < 0:
        return 0.0
    return state.collateral_scaled[position, slot] * supply_index_at(state.reserves[reserve], now)


@kernel
def is_pledged(state, position, reserve):  # type: ignore[no-untyped-def]
    """Return whether a claim of a position on a reserve secures its debts."""
    slot = find_slot(state.collateral_reserve, position, reserve)
    return slot >= 0 and secures(state, position, slot)


@kernel
def debt_of(state, position, reserve, now):  # type: ignore[no-untyped-def]
    """Return the tokens that a position owes, with interest; 0 if none."""
    slot = find_slot(state.debt_reserve, position, reserve)
    if slot < 0:
        return 0.0
    return state.debt_scaled[position, slot] * borrow_index_at(state.reserves[reserve], now)


@kernel
def limited(state, position, weighted, collateral_value):  # type: ignore[no-untyped-def]
    """Return a sum of values times limits, their mean rounded down where the market does so."""
    if state.markets[state.positions[position].market].fixed_point == 0 or collateral_value <= 0.0:
        return weighted
    mean = weighted / collateral_value
    return np.floor(mean * BASIS_POINTS + ROUNDING) / BASIS_POINTS * collateral_value


@kernel(inline=False)
def account_values(state, position, now):  # type: ignore[no-untyped-def]
    """Return what a position has and owes, quote units.

    Returns
    -------
    collateral_value : claims that secure debts
    threshold_value : the same, each times its liquidation threshold
    loan_value : the same, each times its loan to value: the most that may be owed after a borrow
    debt_value : all debts
    """
    collateral_value, threshold_value, loan_value, debt_value = summed_values(state, position, now)
    threshold_value = limited(state, position, threshold_value, collateral_value)
    loan_value = limited(state, position, loan_value, collateral_value)
    return collateral_value, threshold_value, loan_value, debt_value


@kernel(inline=False)
def summed_values(state, position, now):  # type: ignore[no-untyped-def]
    """Return the same values, no mean of limits rounded."""
    collateral_value = threshold_value = loan_value = debt_value = 0.0
    for slot in range(state.collateral_reserve.shape[1]):
        if not secures(state, position, slot):
            continue
        reserve = state.collateral_reserve[position, slot]
        asset = state.reserves[reserve]
        loan_to_value, threshold, _ = terms_of(state, position, reserve)
        claim = state.collateral_scaled[position, slot] * supply_index_at(asset, now)
        value = claim * asset.price
        collateral_value += value
        threshold_value += value * threshold
        loan_value += value * loan_to_value
    for slot in range(state.debt_reserve.shape[1]):
        reserve = state.debt_reserve[position, slot]
        if reserve >= 0:
            asset = state.reserves[reserve]
            debt = state.debt_scaled[position, slot] * borrow_index_at(asset, now)
            debt_value += debt * asset.price
    return collateral_value, threshold_value, loan_value, debt_value


@kernel(inline=False)
def write_indices(state, index, now):  # type: ignore[no-untyped-def]
    """Write the indices of all reserves at a tick, for who looks at many positions.

    Parameters
    ----------
    index : float64, (2, n_reserves): supply, borrow
    """
    for k in range(state.reserves.shape[0]):
        index[0, k] = supply_index_at(state.reserves[k], now)
        index[1, k] = borrow_index_at(state.reserves[k], now)


@kernel
def values_at(state, position, index):  # type: ignore[no-untyped-def]
    """Return (collateral, threshold, debt) values as `account_values`, from written indices."""
    collateral_value = threshold_value = debt_value = 0.0
    for slot in range(state.debt_reserve.shape[1]):
        reserve = state.debt_reserve[position, slot]
        if reserve >= 0:
            debt = state.debt_scaled[position, slot] * index[1, reserve]
            debt_value += debt * state.reserves[reserve].price
    if debt_value <= 0.0:  # most accounts of a market only lend
        return 0.0, 0.0, 0.0
    for slot in range(state.collateral_reserve.shape[1]):
        if not secures(state, position, slot):
            continue
        reserve = state.collateral_reserve[position, slot]
        claim = state.collateral_scaled[position, slot] * index[0, reserve]
        value = claim * state.reserves[reserve].price
        collateral_value += value
        threshold_value += value * terms_of(state, position, reserve)[1]
    threshold_value = limited(state, position, threshold_value, collateral_value)
    return collateral_value, threshold_value, debt_value


@kernel(inline=False)
def health_factor(state, position, now):  # type: ignore[no-untyped-def]
    """Return the health factor of a position; inf without debt."""
    _, threshold_value, _, debt_value = account_values(state, position, now)
    return threshold_value / debt_value if debt_value > 0.0 else math.inf


@kernel
def liquidation_price(state, position, reserve, now):  # type: ignore[no-untyped-def]
    """Return where the health factor is one if only the price of `reserve` moves.

    With one collateral this is the price to index an account by; with several it holds while the
    others' prices stay.

    Returns
    -------
    price : quote units, 0 where no price of this reserve can make the account liquidatable
    exposure : tokens, claim * threshold - debt in this reserve; above zero the account is
        liquidatable below the price, below zero above it
    """
    asset = state.reserves[reserve]
    _, threshold_value, _, debt_value = account_values(state, position, now)
    exposure = -debt_of(state, position, reserve, now)
    if is_pledged(state, position, reserve):
        exposure += claim_of(state, position, reserve, now) * terms_of(state, position, reserve)[1]
    if exposure == 0.0:
        return 0.0, 0.0
    others = threshold_value - debt_value - exposure * asset.price
    return max(0.0, -others / exposure), exposure


@kernel
def restoring_repayment(debt_value, collateral_value, target, liquidation_bonus):  # type: ignore[no-untyped-def]
    """Return the repaid value after which debt is `target` times the collateral left.

    `(D - t C) / (1 - t (1 + b))`; with bonus 0 a plain sale of collateral. 0 where the account is
    there already, inf where collateral runs out first: beyond the toxic frontier.

    Parameters
    ----------
    debt_value, collateral_value : quote units
    target : debt over collateral; the liquidation threshold restores a health factor of one
    liquidation_bonus : fraction of the repaid value
    """
    excess = debt_value - target * collateral_value
    if excess <= 0.0:
        return 0.0
    if debt_value * (1.0 + liquidation_bonus) > collateral_value:
        return math.inf
    return excess / (1.0 - target * (1.0 + liquidation_bonus))


@kernel
def toxic_frontier(liquidation_bonus, price_impact):  # type: ignore[no-untyped-def]
    """Return the debt over collateral above which a liquidation makes the account worse.

    `1 / ((1 + b) * lambda)`, where `lambda = 1 + price_impact` counts the fall in value of the
    collateral left when the seized part is sold: 0 if sold elsewhere, `2 c / R` for collateral `c`
    sold into a constant product pool with reserve `R` of it, in the same units.
    """
    return 1.0 / ((1.0 + liquidation_bonus) * (1.0 + price_impact))
