"""What users do with a market: supply, withdraw, borrow, repay.

Each kernel takes the tables, the rows, the amount and the tick, and returns (status, tokens moved).
It checks everything on numbers as of the tick, and only then writes interest and amounts down.
`available` is the payer's balance on the ledger (inf: do not check), so that after OK the transfer
of the returned amount cannot fail. Tokens move from the account to the market for `supply` and
`repay`, from the market for `withdraw` and `borrow`.

References
----------
Aave v3 contracts: `SupplyLogic`, `BorrowLogic`, `ValidationLogic`.
"""

from __future__ import annotations

import math

from sim.kernel import kernel
from sim.lending.account import (
    account_values,
    add_claim,
    add_debt,
    find_slot,
    is_pledged,
    limited,
    note_change,
    slot_for,
    summed_values,
    take_claim,
    take_debt,
)
from sim.lending.config import ReserveFlag
from sim.lending.modes import (
    can_be_used,
    can_owe,
    has_bit,
    has_zero_loan_to_value,
    isolating_reserve,
    note_isolated_debt,
    terms_of,
)
from sim.lending.reserve import (
    accrue,
    borrow_index_at,
    borrow_rate,
    is_open,
    supply_index_at,
    withdrawable,
)
from sim.status import Status

OK = int(Status.OK)
INSUFFICIENT_FUNDS = int(Status.INSUFFICIENT_FUNDS)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
HALTED = int(Status.HALTED)
NO_POSITION = int(Status.NO_POSITION)
NO_SLOT = int(Status.NO_SLOT)
NO_CASH = int(Status.NO_CASH)
UNHEALTHY = int(Status.UNHEALTHY)
CAP = int(Status.CAP)
NOT_COLLATERAL = int(Status.NOT_COLLATERAL)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
ZERO_LTV = int(Status.ZERO_LTV)
MODE = int(Status.MODE)

FROZEN = int(ReserveFlag.FROZEN)
BORROWING = int(ReserveFlag.BORROWING)
# The last supplier's claim may exceed the cash by what rounding left; the cash is then all of it.
ROUNDING = 1e-12  # of the claim before and after interest and losses


@kernel
def check_amount(amount):  # type: ignore[no-untyped-def]
    """Return OK for a positive number, inf included; else ZERO_AMOUNT or BAD_AMOUNT."""
    if amount > 0.0:
        return OK
    return ZERO_AMOUNT if amount == 0.0 else BAD_AMOUNT


@kernel
def check_finite(amount):  # type: ignore[no-untyped-def]
    """Return OK for a positive finite number; else ZERO_AMOUNT or BAD_AMOUNT."""
    return BAD_AMOUNT if amount == math.inf else check_amount(amount)


@kernel
def check_reserve(state, position, reserve):  # type: ignore[no-untyped-def]
    """Return OK, NO_POSITION (the position is in another market), or HALTED."""
    asset = state.reserves[reserve]
    if state.positions[position].market != asset.market:
        return NO_POSITION
    return OK if is_open(asset) else HALTED


# --- supply and withdraw -------------------------------------------------------------------------


@kernel(inline=False)
def supply(state, position, reserve, amount, available, now):  # type: ignore[no-untyped-def]
    """Lend tokens to the market; a first claim is used as collateral where that is allowed.

    Returns
    -------
    (status, tokens paid in): OK, ZERO_AMOUNT, BAD_AMOUNT, NO_POSITION, HALTED (inactive, paused,
    frozen, or suppliers have lost everything), CAP, NO_SLOT, INSUFFICIENT_FUNDS
    """
    asset = state.reserves[reserve]
    status = check_finite(amount)
    if status == OK:
        status = check_reserve(state, position, reserve)
    if status != OK:
        return status, 0.0
    index = supply_index_at(asset, now)
    if (asset.flag_bits & FROZEN) != 0 or index <= 0.0:
        return HALTED, 0.0
    scaled = asset.scaled_supply + asset.scaled_treasury
    if scaled * index + amount > asset.supply_cap:
        return CAP, 0.0
    slot = slot_for(state.collateral_reserve, position, reserve)
    if slot < 0:
        return NO_SLOT, 0.0
    if amount > available:
        return INSUFFICIENT_FUNDS, 0.0
    accrue(asset, now)
    add_claim(state, position, slot, reserve, amount / index)
    asset.cash += amount
    return OK, amount


@kernel
def withdraw(state, position, reserve, amount, now):  # type: ignore[no-untyped-def]
    """Take tokens back from the market; `amount` inf means the whole claim.

    Returns
    -------
    (status, tokens paid out): OK, ZERO_AMOUNT, BAD_AMOUNT, NO_POSITION, HALTED (inactive, paused),
    INSUFFICIENT_FUNDS (more than the claim), NO_CASH, UNHEALTHY, ZERO_LTV (other collateral has to
    go first)
    """
    return withdraw_against(state, position, reserve, amount, 0.0, now)


@kernel(inline=False)
def quote_withdraw(state, position, reserve, amount, relief, now):  # type: ignore[no-untyped-def]
    """Return (status, tokens paid out, part of the claim) of a withdrawal; writes nothing.

    `relief` is the value of debts, quote units, that the same order repays. The part is scaled;
    inf means the whole claim.
    """
    asset = state.reserves[reserve]
    status = check_amount(amount)
    if status == OK:
        status = check_reserve(state, position, reserve)
    if status != OK:
        return status, 0.0, 0.0
    slot = find_slot(state.collateral_reserve, position, reserve)
    if slot < 0:
        return NO_POSITION, 0.0, 0.0
    scaled = state.collateral_scaled[position, slot]
    claim = scaled * supply_index_at(asset, now)
    is_all = amount == math.inf or amount == claim
    paid = claim if is_all else amount
    if paid > claim:
        return INSUFFICIENT_FUNDS, 0.0, 0.0
    cash = withdrawable(asset)
    if is_all and 0.0 < paid - cash <= ROUNDING * (paid + scaled):
        paid = cash
    if paid > cash:
        return NO_CASH, 0.0, 0.0
    status = check_without(state, position, reserve, paid, relief, now)
    if status != OK:
        return status, 0.0, 0.0
    if is_all:
        return OK, paid, math.inf
    return OK, paid, min(scaled, paid / supply_index_at(asset, now))


@kernel(inline=False)
def withdraw_against(state, position, reserve, amount, relief, now):  # type: ignore[no-untyped-def]
    """Withdraw while the same order repays debts worth `relief`; returns as `withdraw`."""
    status, paid, part = quote_withdraw(state, position, reserve, amount, relief, now)
    if status != OK:
        return status, 0.0
    asset = state.reserves[reserve]
    accrue(asset, now)
    if asset.accrues_with >= 0:
        accrue(state.reserves[asset.accrues_with], now)
    slot = find_slot(state.collateral_reserve, position, reserve)
    part = min(part, state.collateral_scaled[position, slot])
    take_claim(state, position, slot, reserve, part)
    if asset.lender >= 0:
        take_over(state, reserve, part, paid)
    else:
        asset.cash -= paid
    return OK, paid


@kernel
def take_over(state, reserve, scaled, paid):  # type: ignore[no-untyped-def]
    """Give a claim that is withdrawn to the outside lender, who pays for it; rates stand then."""
    asset = state.reserves[reserve]
    if asset.held_rate < 0.0:
        asset.held_rate = borrow_rate(asset)
    add_claim(state, asset.lender, 0, reserve, scaled)
    state.is_used[asset.lender, 0] = 0
    asset.lent += paid


@kernel
def check_without(state, position, reserve, amount, relief, now):  # type: ignore[no-untyped-def]
    """Return OK where debts stay secured without part of a claim, else UNHEALTHY or ZERO_LTV.

    `relief` is the value of debts that are repaid in the same order, quote units.
    """
    if not is_pledged(state, position, reserve):
        return OK
    collateral_value, threshold_value, _, debt_value = summed_values(state, position, now)
    debt_value -= relief
    if debt_value <= 0.0:
        return OK
    asset = state.reserves[reserve]
    value = amount * asset.price
    threshold_value -= value * terms_of(state, position, reserve)[1]
    if not limited(state, position, threshold_value, collateral_value - value) >= debt_value:
        return UNHEALTHY
    if asset.loan_to_value > 0.0 and has_zero_loan_to_value(state, position):
        return ZERO_LTV
    return OK


# --- borrow and repay ----------------------------------------------------------------------------


@kernel(inline=False)
def borrow(state, position, reserve, amount, now):  # type: ignore[no-untyped-def]
    """Take a loan within the loan to value of the collateral.

    Returns
    -------
    (status, tokens paid out): OK, ZERO_AMOUNT, BAD_AMOUNT, NO_POSITION, HALTED (inactive, paused,
    frozen), NOT_COLLATERAL (not open to borrowers), CAP (of the reserve, or the debt ceiling of the
    collateral), MODE, NO_SLOT, UNHEALTHY, NO_CASH
    """
    asset = state.reserves[reserve]
    status = check_finite(amount)
    if status == OK:
        status = check_reserve(state, position, reserve)
    if status != OK:
        return status, 0.0
    flags = asset.flag_bits
    if (flags & FROZEN) != 0:
        return HALTED, 0.0
    if (flags & BORROWING) == 0:
        return NOT_COLLATERAL, 0.0
    index = borrow_index_at(asset, now)
    if asset.scaled_debt * index + amount > asset.borrow_cap:
        return CAP, 0.0
    if not can_owe(state, position, reserve):
        return MODE, 0.0
    isolating = isolating_reserve(state, position)
    if isolating >= 0:
        pledged = state.reserves[isolating]
        if pledged.isolated_debt + amount > pledged.debt_ceiling:
            return CAP, 0.0
    slot = slot_for(state.debt_reserve, position, reserve)
    if slot < 0:
        return NO_SLOT, 0.0
    _, _, loan_value, debt_value = account_values(state, position, now)
    if not debt_value + amount * asset.price <= loan_value:
        return UNHEALTHY, 0.0
    if amount > asset.cash:
        return NO_CASH, 0.0
    accrue(asset, now)
    add_debt(state, position, slot, reserve, amount / index)
    note_isolated_debt(state, isolating, amount)
    asset.cash -= amount
    return OK, amount


@kernel(inline=False)
def repay(state, position, reserve, amount, available, now):  # type: ignore[no-untyped-def]
    """Pay back a loan; more than the debt, or inf, means all of it.

    Returns
    -------
    (status, tokens paid in): OK, ZERO_AMOUNT, BAD_AMOUNT, NO_POSITION, HALTED (inactive, paused),
    INSUFFICIENT_FUNDS
    """
    asset = state.reserves[reserve]
    status = check_amount(amount)
    if status == OK:
        status = check_reserve(state, position, reserve)
    if status != OK:
        return status, 0.0
    slot = find_slot(state.debt_reserve, position, reserve)
    if slot < 0:
        return NO_POSITION, 0.0
    scaled = state.debt_scaled[position, slot]
    debt = scaled * borrow_index_at(asset, now)
    paid = min(amount, debt)
    if paid > available:
        return INSUFFICIENT_FUNDS, 0.0
    accrue(asset, now)
    if paid < debt:
        scaled = min(scaled, paid / asset.borrow_index)
    take_debt(state, position, slot, reserve, scaled)
    note_isolated_debt(state, isolating_reserve(state, position), -paid)
    asset.cash += paid
    return OK, paid


# --- what an account says about itself -----------------------------------------------------------


@kernel(inline=False)
def use_as_collateral(state, position, reserve, is_used, now):  # type: ignore[no-untyped-def]
    """Begin, or cease, to use a claim as collateral.

    Returns
    -------
    (status, 0.0): OK, NO_POSITION, HALTED (inactive, paused), NOT_COLLATERAL (its loan to value is
    zero, or isolation forbids it), UNHEALTHY, ZERO_LTV
    """
    status = check_reserve(state, position, reserve)
    slot = find_slot(state.collateral_reserve, position, reserve)
    if status == OK and slot < 0:
        status = NO_POSITION
    if status != OK or (state.is_used[position, slot] != 0) == (is_used != 0):
        return status, 0.0
    if is_used == 0:
        scaled = state.collateral_scaled[position, slot]
        claim = scaled * supply_index_at(state.reserves[reserve], now)
        status = check_without(state, position, reserve, claim, 0.0, now)
    elif not can_be_used(state, position, reserve):
        status = NOT_COLLATERAL
    if status == OK:
        state.is_used[position, slot] = is_used
        note_change(state, position)
    return status, 0.0


@kernel(inline=False)
def set_mode(state, position, mode, now):  # type: ignore[no-untyped-def]
    """Enter an efficiency mode of the market, or leave the one the account is in (-1).

    Returns
    -------
    (status, 0.0): OK, NOT_ALLOWED (a mode of another market, or none), MODE (something owed is not
    borrowable in it), UNHEALTHY (debts would not stay within the thresholds)
    """
    before = state.positions[position].mode
    if mode >= state.modes.shape[0] or mode < -1:
        return NOT_ALLOWED, 0.0
    if mode >= 0:
        if state.modes[mode].market != state.positions[position].market:
            return NOT_ALLOWED, 0.0
        for slot in range(state.debt_reserve.shape[1]):
            reserve = state.debt_reserve[position, slot]
            place = reserve - state.modes[mode].first_reserve
            if reserve >= 0 and not has_bit(state.modes[mode].borrowable_bits, place):
                return MODE, 0.0
    note_change(state, position)
    state.positions[position].mode = mode
    if before >= 0 and before != mode:
        _, threshold_value, _, debt_value = account_values(state, position, now)
        if debt_value > 0.0 and not threshold_value >= debt_value:
            state.positions[position].mode = before
            return UNHEALTHY, 0.0
    return OK, 0.0
