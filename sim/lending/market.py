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
    slot_for,
    take_claim,
    take_debt,
)
from sim.lending.config import ReserveFlag
from sim.lending.reserve import (
    accrue,
    borrow_index_at,
    counts_as_collateral,
    is_open,
    supply_index_at,
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
    """Lend tokens to the market; the claim is collateral where the reserve allows it.

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


@kernel(inline=False)
def withdraw(state, position, reserve, amount, now):  # type: ignore[no-untyped-def]
    """Take tokens back from the market; `amount` inf means the whole claim.

    Returns
    -------
    (status, tokens paid out): OK, ZERO_AMOUNT, BAD_AMOUNT, NO_POSITION, HALTED (inactive, paused),
    INSUFFICIENT_FUNDS (more than the claim), UNHEALTHY, NO_CASH
    """
    asset = state.reserves[reserve]
    status = check_amount(amount)
    if status == OK:
        status = check_reserve(state, position, reserve)
    if status != OK:
        return status, 0.0
    slot = find_slot(state.collateral_reserve, position, reserve)
    if slot < 0:
        return NO_POSITION, 0.0
    scaled = state.collateral_scaled[position, slot]
    claim = scaled * supply_index_at(asset, now)
    is_all = amount == math.inf or amount == claim
    paid = claim if is_all else amount
    if paid > claim:
        return INSUFFICIENT_FUNDS, 0.0
    if not _is_healthy_without(state, position, reserve, paid, now):
        return UNHEALTHY, 0.0
    cash = asset.cash
    if is_all and 0.0 < paid - cash <= ROUNDING * (paid + scaled):
        paid = cash
    if paid > cash:
        return NO_CASH, 0.0
    accrue(asset, now)
    if not is_all:
        scaled = min(scaled, paid / asset.supply_index)
    take_claim(state, position, slot, reserve, scaled)
    asset.cash = cash - paid
    return OK, paid


@kernel
def _is_healthy_without(state, position, reserve, amount, now):  # type: ignore[no-untyped-def]
    """Return whether debts stay within the thresholds after a withdrawal."""
    asset = state.reserves[reserve]
    if not counts_as_collateral(asset):
        return True
    _, threshold_value, _, debt_value = account_values(state, position, now)
    if debt_value == 0.0:
        return True
    value = amount * asset.price * asset.liquidation_threshold
    return threshold_value - value >= debt_value


# --- borrow and repay ----------------------------------------------------------------------------


@kernel(inline=False)
def borrow(state, position, reserve, amount, now):  # type: ignore[no-untyped-def]
    """Take a loan within the loan to value of the collateral.

    Returns
    -------
    (status, tokens paid out): OK, ZERO_AMOUNT, BAD_AMOUNT, NO_POSITION, HALTED (inactive, paused,
    frozen), NOT_COLLATERAL (not open to borrowers), CAP, NO_SLOT, UNHEALTHY, NO_CASH
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
    asset.cash += paid
    return OK, paid
