"""Liquidation: who may repay how much of a debt, what is seized for it, and bad debt.

Below a health factor of one anybody may repay part of a debt and seize collateral worth
`1 + liquidation_bonus` times as much. One call may repay `close_factor` of the debt; all of it at
a health factor of `full_close_below` or less, or when debt or collateral are worth less than
`full_close_value`. A part of the bonus goes to the treasury as a claim. When an account has debts
but nothing left that counts as collateral, the debts are written off: they become the deficit of
their reserves, borne at once in the `loss_order` of the market.

References
----------
Aave v3.3 contracts: `LiquidationLogic`. Earlier versions: `close_base` RESERVE_DEBT, both limits on
small positions 0, and an empty `loss_order`, for they knew no write-off.
"""

from __future__ import annotations

from sim.kernel import kernel
from sim.lending.account import (
    account_values,
    add_claim,
    claim_of,
    debt_of,
    find_slot,
    is_pledged,
    slot_for,
    take_claim,
    take_debt,
)
from sim.lending.config import CloseBase
from sim.lending.market import check_amount, check_reserve
from sim.lending.modes import isolating_reserve, note_isolated_debt, secures, terms_of
from sim.lending.reserve import accrue, bear_deficit
from sim.status import Status

OK = int(Status.OK)
INSUFFICIENT_FUNDS = int(Status.INSUFFICIENT_FUNDS)
NO_POSITION = int(Status.NO_POSITION)
NO_SLOT = int(Status.NO_SLOT)
NO_CASH = int(Status.NO_CASH)
NOT_LIQUIDATABLE = int(Status.NOT_LIQUIDATABLE)
NOT_COLLATERAL = int(Status.NOT_COLLATERAL)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
DUST = int(Status.DUST)

TOTAL_DEBT = int(CloseBase.TOTAL_DEBT)
UNDERLYING = -1  # the `receiver` that takes tokens instead of a claim
ROUNDING = 2.0**-50  # a part this close to the whole is the whole: no residue stays behind


@kernel
def closable_debt(state, debt_reserve, debt, debt_value, collateral_leg_value, health):  # type: ignore[no-untyped-def]
    """Return the tokens of a debt that one liquidation may repay.

    Parameters
    ----------
    debt : tokens owed in `debt_reserve`
    debt_value : quote units, all debts of the account
    collateral_leg_value : quote units, the claim that will be seized from
    health : health factor of the account
    """
    owed = state.reserves[debt_reserve]
    market = owed.market
    price = owed.price
    smaller_leg = min(debt * price, collateral_leg_value)
    if (
        health <= state.markets[market].full_close_below
        or smaller_leg < state.markets[market].full_close_value
    ):
        return debt
    base = debt
    if state.markets[market].close_base == TOTAL_DEBT:
        base = debt_value / price
    limit = state.markets[market].close_factor * base
    return limit if limit < debt * (1.0 - ROUNDING) else debt


@kernel(inline=False)
def max_liquidation(state, position, debt_reserve, collateral_reserve, now):  # type: ignore[no-untyped-def]
    """Return the most tokens that one liquidation could repay now; 0 if none is allowed.

    The rules of close factor, health and available collateral are applied; who could pay, cash and
    flags are not.
    """
    pledged = state.reserves[collateral_reserve]
    _, threshold_value, _, debt_value = account_values(state, position, now)
    if not threshold_value < debt_value or not is_pledged(state, position, collateral_reserve):
        return 0.0
    debt = debt_of(state, position, debt_reserve, now)
    claim = claim_of(state, position, collateral_reserve, now)
    leg_value = claim * pledged.price
    health = threshold_value / debt_value
    limit = closable_debt(state, debt_reserve, debt, debt_value, leg_value, health)
    bonus = terms_of(state, position, collateral_reserve)[2]
    return min(limit, leg_value / (1.0 + bonus) / state.reserves[debt_reserve].price)


@kernel
def seizure(state, debt_reserve, collateral_reserve, bonus, repaid, claim):  # type: ignore[no-untyped-def]
    """Return what a repayment seizes at a bonus.

    Returns
    -------
    repaid : tokens of debt, less than asked for where the claim is too small
    taken : tokens of collateral that leave the account
    protocol_fee : the part of `taken` that goes to the treasury
    """
    pledged = state.reserves[collateral_reserve]
    ratio = state.reserves[debt_reserve].price / pledged.price
    taken = repaid * ratio * (1.0 + bonus)
    if taken > claim * (1.0 - 2.0 * ROUNDING):
        taken = claim
        repaid = min(repaid, claim / (1.0 + bonus) / ratio)
    premium = taken - taken / (1.0 + bonus)
    return repaid, taken, premium * pledged.liquidation_protocol_fee


@kernel(inline=False)
def quote_liquidate(  # type: ignore[no-untyped-def]
    state,
    position,
    debt_reserve,
    collateral_reserve,
    amount,
    available,
    receiver,
    now,
):
    """Return what `liquidate` would do; writes nothing.

    Returns
    -------
    (status, repaid, seized, protocol_fee, bad_debt), as `liquidate`
    """
    pledged = state.reserves[collateral_reserve]
    owed = state.reserves[debt_reserve]
    nothing = 0.0
    status = _check(state, position, debt_reserve, collateral_reserve, amount, receiver)
    if status != OK:
        return status, nothing, nothing, nothing, nothing
    _, threshold_value, _, debt_value = account_values(state, position, now)
    if not threshold_value < debt_value:
        return NOT_LIQUIDATABLE, nothing, nothing, nothing, nothing
    slot = find_slot(state.collateral_reserve, position, collateral_reserve)
    if slot >= 0 and not secures(state, position, slot):
        return NOT_COLLATERAL, nothing, nothing, nothing, nothing
    debt = debt_of(state, position, debt_reserve, now)
    claim = claim_of(state, position, collateral_reserve, now)
    if debt <= 0.0 or claim <= 0.0:
        return NO_POSITION, nothing, nothing, nothing, nothing
    leg_value = claim * pledged.price
    health = threshold_value / debt_value
    limit = closable_debt(state, debt_reserve, debt, debt_value, leg_value, health)
    bonus = terms_of(state, position, collateral_reserve)[2]
    repaid, taken, fee = seizure(
        state, debt_reserve, collateral_reserve, bonus, min(amount, limit), claim
    )
    left = (debt - repaid) * owed.price
    claim_left = (claim - taken) * pledged.price
    is_partial = repaid < debt and taken < claim
    if is_partial and min(left, claim_left) < state.markets[owed.market].dust_value:
        return DUST, nothing, nothing, nothing, nothing
    if repaid > available:
        return INSUFFICIENT_FUNDS, nothing, nothing, nothing, nothing
    if receiver == UNDERLYING and taken - fee > pledged.cash:
        return NO_CASH, nothing, nothing, nothing, nothing
    bad_debt = 0.0
    if taken >= claim and not _has_collateral(state, position, collateral_reserve):
        others = _debt_value_except(state, position, debt_reserve, now)
        bad_debt = others + (left if repaid < debt else 0.0)
    return OK, repaid, taken - fee, fee, bad_debt


@kernel
def _check(state, position, debt_reserve, collateral_reserve, amount, receiver):  # type: ignore[no-untyped-def]
    """Return OK, or what is wrong with an order whatever the health of the account."""
    status = check_amount(amount)
    if status == OK:
        status = check_reserve(state, position, debt_reserve)
    if status == OK:
        status = check_reserve(state, position, collateral_reserve)
    if status == OK:
        status = _check_receiver(state, position, receiver, collateral_reserve)
    return status


@kernel
def _check_receiver(state, position, receiver, reserve):  # type: ignore[no-untyped-def]
    """Return OK, NOT_ALLOWED (the account itself), NO_POSITION or NO_SLOT."""
    if receiver == UNDERLYING:
        return OK
    if receiver == position:
        return NOT_ALLOWED
    if state.positions[receiver].market != state.positions[position].market:
        return NO_POSITION
    return OK if slot_for(state.collateral_reserve, receiver, reserve) >= 0 else NO_SLOT


@kernel
def _has_collateral(state, position, except_reserve):  # type: ignore[no-untyped-def]
    """Return whether claims on other reserves still secure the account."""
    for slot in range(state.collateral_reserve.shape[1]):
        reserve = state.collateral_reserve[position, slot]
        if reserve == except_reserve or not secures(state, position, slot):
            continue
        if state.collateral_scaled[position, slot] * state.reserves[reserve].price > 0.0:
            return True
    return False


@kernel
def _debt_value_except(state, position, except_reserve, now):  # type: ignore[no-untyped-def]
    """Return the value of all debts but one, quote units."""
    value = 0.0
    for slot in range(state.debt_reserve.shape[1]):
        reserve = state.debt_reserve[position, slot]
        if reserve >= 0 and reserve != except_reserve:
            debt = debt_of(state, position, reserve, now)
            value += debt * state.reserves[reserve].price
    return value


@kernel(inline=False)
def liquidate(  # type: ignore[no-untyped-def]
    state,
    position,
    debt_reserve,
    collateral_reserve,
    amount,
    available,
    receiver,
    now,
):
    """Repay part of an unhealthy account's debt and seize its collateral with a bonus.

    Parameters
    ----------
    amount : tokens of debt to repay at most; inf = as much as allowed
    available : tokens of debt that the liquidator holds; inf = do not check
    receiver : position that takes the seized claim, or `UNDERLYING` for tokens out of the cash

    Returns
    -------
    status : OK, ZERO_AMOUNT, BAD_AMOUNT, DUST (would leave less than `dust_value`), NO_POSITION,
        HALTED, NOT_LIQUIDATABLE, NOT_COLLATERAL, INSUFFICIENT_FUNDS, NO_CASH (the market cannot pay
        tokens; a claim it can), NOT_ALLOWED, NO_SLOT
    repaid : tokens of debt, from the liquidator to the market
    seized : tokens of collateral, to the liquidator: from the market, or as a claim
    protocol_fee : tokens of collateral that become a claim of the treasury
    bad_debt : quote units, debts written off because no collateral is left
    """
    status, repaid, seized, fee, bad_debt = quote_liquidate(
        state,
        position,
        debt_reserve,
        collateral_reserve,
        amount,
        available,
        receiver,
        now,
    )
    if status != OK:
        return status, repaid, seized, fee, bad_debt
    accrue(state.reserves[debt_reserve], now)
    accrue(state.reserves[collateral_reserve], now)
    isolating = isolating_reserve(state, position)
    note_isolated_debt(state, isolating, -repaid)
    _settle_debt(state, position, debt_reserve, repaid)
    _settle_collateral(state, position, collateral_reserve, seized, fee, receiver)
    if bad_debt > 0.0:
        _write_off_all(state, position, isolating, now)
    return OK, repaid, seized, fee, bad_debt


@kernel
def _settle_debt(state, position, reserve, repaid):  # type: ignore[no-untyped-def]
    """Book the repayment; the whole debt leaves no residue."""
    asset = state.reserves[reserve]
    slot = find_slot(state.debt_reserve, position, reserve)
    scaled = state.debt_scaled[position, slot]
    if repaid < scaled * asset.borrow_index:
        scaled = min(scaled, repaid / asset.borrow_index)
    take_debt(state, position, slot, reserve, scaled)
    asset.cash += repaid


@kernel
def _settle_collateral(state, position, reserve, seized, fee, receiver):  # type: ignore[no-untyped-def]
    """Move the seized claim to the liquidator, as tokens or claim, and the fee to the treasury."""
    asset = state.reserves[reserve]
    index = asset.supply_index
    slot = find_slot(state.collateral_reserve, position, reserve)
    scaled = state.collateral_scaled[position, slot]
    if seized + fee < scaled * index * (1.0 - ROUNDING):
        scaled = min(scaled, (seized + fee) / index)
    take_claim(state, position, slot, reserve, scaled)
    asset.scaled_treasury += fee / index
    if receiver == UNDERLYING:
        asset.cash -= seized
        return
    slot = slot_for(state.collateral_reserve, receiver, reserve)
    add_claim(state, receiver, slot, reserve, seized / index)


@kernel
def write_off(state, position, now):  # type: ignore[no-untyped-def]
    """Recognize the debts of an account without collateral as bad debt.

    Returns
    -------
    (status, value written off in quote units): OK, NO_POSITION (no debt), NOT_ALLOWED (the account
    has a claim of some value, be it one that does not count as collateral now)
    """
    for slot in range(state.collateral_reserve.shape[1]):
        reserve = state.collateral_reserve[position, slot]
        if reserve >= 0 and state.reserves[reserve].price > 0.0:
            return NOT_ALLOWED, 0.0
    bad_debt = _debt_value_except(state, position, -1, now)
    if bad_debt <= 0.0:
        return NO_POSITION, 0.0
    _write_off_all(state, position, -1, now)
    return OK, bad_debt


@kernel(inline=False)
def _write_off_all(state, position, isolating, now):  # type: ignore[no-untyped-def]
    """Turn every debt of a position into the deficit of its reserve, and let it be borne.

    `isolating` is the reserve whose ceiling counted the debts, -1: none.
    """
    for slot in range(state.debt_reserve.shape[1]):
        reserve = state.debt_reserve[position, slot]
        if reserve < 0:
            continue
        accrue(state.reserves[reserve], now)
        scaled = state.debt_scaled[position, slot]
        loss = scaled * state.reserves[reserve].borrow_index
        take_debt(state, position, slot, reserve, scaled)
        note_isolated_debt(state, isolating, -loss)
        state.reserves[reserve].deficit += loss
        state.reserves[reserve].written_off += loss
        bear_deficit(state, state.reserves[reserve])
