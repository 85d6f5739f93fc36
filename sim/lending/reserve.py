"""One asset of a market: utilization, rates, indices, and who bears a loss.

Each kernel takes one record of the table `reserves`. Indices *at* a time are computed without
writing, so that an operation can be checked before interest is written down: a refused operation
leaves even the indices as they were.

A reserve with a `rate_at_target` follows the adaptive curve and keeps the books of a Morpho Blue
market: all interest less the fee goes to the claims at once, and an index is
`(assets + v) / (shares + v)`, where the virtual `v` keeps the first supplier from moving it. With
`v = 0` that is the plain index.
"""

from __future__ import annotations

import math

from sim.kernel import kernel
from sim.lending.adaptive_rate import charged_rate, curve_rate, series_growth, utilization_error
from sim.lending.config import LossBearer, ReserveFlag
from sim.lending.interest_rate import (
    compound_growth,
    compound_growth_in_ray,
    kinked_rate,
    linear_growth,
    supplier_rate,
)
from sim.status import Status
from sim.units import TICKS_PER_SECOND

OK = int(Status.OK)
HALTED = int(Status.HALTED)
NO_CASH = int(Status.NO_CASH)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)

ACTIVE = int(ReserveFlag.ACTIVE)
PAUSED = int(ReserveFlag.PAUSED)
COLLATERAL = int(ReserveFlag.COLLATERAL)
TREASURY = int(LossBearer.TREASURY)
SUPPLIERS = int(LossBearer.SUPPLIERS)
BACKSTOP = int(LossBearer.BACKSTOP)


@kernel
def utilization(asset):  # type: ignore[no-untyped-def]
    """Return debt / (cash + debt) at the last update; 0 without debt."""
    debt = total_debt(asset)
    if debt <= 0.0:
        return 0.0
    return debt / (asset.cash + debt)


@kernel
def borrow_rate(asset):  # type: ignore[no-untyped-def]
    """Return the rate per year that borrowers pay since the last update.

    Once an outside lender has met a withdrawal, it is the rate that was posted then.
    """
    if asset.held_rate >= 0.0:
        return asset.held_rate
    if asset.rate_at_target > 0.0:
        error = utilization_error(utilization(asset), asset.kink)
        return curve_rate(asset.rate_at_target, error, asset.steepness)
    return kinked_rate(
        utilization(asset),
        asset.base_rate,
        asset.slope1,
        asset.slope2,
        asset.kink,
    )


@kernel
def supply_rate(asset):  # type: ignore[no-untyped-def]
    """Return the rate per year that claims earn since the last update.

    An open deficit earns nothing, so the claims on it dilute the rate of all.
    """
    debt = total_debt(asset)
    if debt <= 0.0:
        return 0.0
    share = debt / (asset.cash + debt + asset.deficit)
    return supplier_rate(borrow_rate(asset), share, asset.reserve_factor)


@kernel
def interest_at(asset, elapsed):  # type: ignore[no-untyped-def]
    """Return the interest of an adaptive reserve over `elapsed` ticks, tokens; writes nothing."""
    seconds = elapsed / TICKS_PER_SECOND
    rate = asset.held_rate
    if rate < 0.0:
        rate, _ = charged_rate(asset, utilization(asset), seconds)
    return total_debt(asset) * (series_growth(rate, seconds) - 1.0)


@kernel(inline=False)
def supply_index_at(asset, now):  # type: ignore[no-untyped-def]
    """Return the supply index at a tick; writes nothing."""
    elapsed = now - asset.last_update
    index = asset.supply_index
    if elapsed <= 0 or asset.scaled_debt <= 0.0:
        return index
    if asset.rate_at_target > 0.0:
        kept = interest_at(asset, elapsed) * (1.0 - asset.reserve_factor)
        shares = asset.scaled_supply + asset.scaled_treasury + asset.virtual_shares
        return (total_supply(asset) + kept + asset.virtual_shares) / shares
    return index * linear_growth(supply_rate(asset), elapsed / TICKS_PER_SECOND)


@kernel(inline=False)
def borrow_index_at(asset, now):  # type: ignore[no-untyped-def]
    """Return the borrow index at a tick; writes nothing."""
    elapsed = now - asset.last_update
    index = asset.borrow_index
    if elapsed <= 0 or asset.scaled_debt <= 0.0:
        return index
    if asset.rate_at_target > 0.0:
        debt = total_debt(asset) + interest_at(asset, elapsed)
        return (debt + asset.virtual_shares) / (asset.scaled_debt + asset.virtual_shares)
    seconds = elapsed / TICKS_PER_SECOND
    if asset.fixed_point != 0:
        return index * compound_growth_in_ray(borrow_rate(asset), seconds)
    return index * compound_growth(borrow_rate(asset), seconds)


@kernel
def withdrawable(asset):  # type: ignore[no-untyped-def]
    """Return what can be withdrawn, tokens: the cash, or anything where an outside lender pays."""
    return math.inf if asset.lender >= 0 else asset.cash


@kernel
def total_supply(asset):  # type: ignore[no-untyped-def]
    """Return all claims in tokens at the last update, the treasury's included."""
    scaled = asset.scaled_supply + asset.scaled_treasury
    return scaled * asset.supply_index + asset.virtual_shares * (asset.supply_index - 1.0)


@kernel
def total_debt(asset):  # type: ignore[no-untyped-def]
    """Return all debts in tokens at the last update."""
    virtual = asset.virtual_shares * (asset.borrow_index - 1.0)
    return asset.scaled_debt * asset.borrow_index + virtual


@kernel
def is_open(asset):  # type: ignore[no-untyped-def]
    """Return whether the reserve is active and not paused."""
    return (asset.flag_bits & (ACTIVE | PAUSED)) == ACTIVE


@kernel
def counts_as_collateral(asset):  # type: ignore[no-untyped-def]
    """Return whether claims on the reserve secure debts and can be seized."""
    return (asset.flag_bits & COLLATERAL) != 0 and asset.liquidation_threshold > 0.0


@kernel(inline=False)
def accrue(asset, now):  # type: ignore[no-untyped-def]
    """Write down the interest of a reserve up to a tick.

    Debts grow by the compound factor, claims by the linear one; the treasury receives its fraction
    of the compound interest as claims. What is left over goes to `surplus`.

    Returns
    -------
    (OK, interest that borrowers owe more, tokens)
    """
    if now <= asset.last_update:
        return OK, 0.0
    supply_index = supply_index_at(asset, now)
    borrow_index = borrow_index_at(asset, now)
    interest = asset.scaled_debt * (borrow_index - asset.borrow_index)
    scaled = asset.scaled_supply + asset.scaled_treasury
    to_claims = scaled * (supply_index - asset.supply_index)
    to_treasury = 0.0
    if supply_index > 0.0:  # zero once suppliers have lost everything: no claims to give
        to_treasury = interest * asset.reserve_factor
        asset.scaled_treasury += to_treasury / supply_index
    asset.surplus += interest - to_treasury - to_claims
    if asset.rate_at_target > 0.0 and asset.held_rate < 0.0:
        seconds = (now - asset.last_update) / TICKS_PER_SECOND
        _, asset.rate_at_target = charged_rate(asset, utilization(asset), seconds)
    asset.supply_index = supply_index
    asset.borrow_index = borrow_index
    asset.last_update = now
    return OK, interest


@kernel
def bear_deficit(state, asset):  # type: ignore[no-untyped-def]
    """Share an open deficit among its bearers, in the order of the market; returns what is left."""
    for place in range(state.loss_order.shape[1]):
        bearer = state.loss_order[asset.market, place]
        if bearer == TREASURY:
            _take_from_treasury(asset)
        elif bearer == BACKSTOP:
            _take_from_backstop(asset)
        elif bearer == SUPPLIERS:
            _take_from_claims(asset)
    return asset.deficit


@kernel
def _take_from_treasury(asset):  # type: ignore[no-untyped-def]
    index = asset.supply_index
    held = asset.scaled_treasury * index
    asset.borne_by_treasury += min(asset.deficit, held)
    if asset.deficit < held:
        asset.scaled_treasury -= asset.deficit / index
        asset.deficit = 0.0
    else:
        asset.scaled_treasury = 0.0
        asset.deficit -= held


@kernel
def _take_from_backstop(asset):  # type: ignore[no-untyped-def]
    paid = min(asset.deficit, asset.backstop)
    asset.borne_by_backstop += paid
    asset.backstop -= paid
    asset.cash += paid
    asset.deficit -= paid


@kernel
def _take_from_claims(asset):  # type: ignore[no-untyped-def]
    claims, virtual = total_supply(asset), asset.virtual_shares
    asset.borne_by_suppliers += min(asset.deficit, claims)
    if asset.deficit < claims:
        asset.supply_index *= 1.0 - asset.deficit / (claims + virtual)
        asset.deficit = 0.0
    else:
        asset.supply_index = virtual / (asset.scaled_supply + asset.scaled_treasury + virtual)
        asset.deficit -= claims


@kernel
def collect_treasury(asset, amount, now):  # type: ignore[no-untyped-def]
    """Pay out claims of the treasury; `amount` inf means all.

    Returns
    -------
    (status, tokens paid): OK, ZERO_AMOUNT, BAD_AMOUNT, HALTED (paused), NO_CASH
    """
    held = asset.scaled_treasury * supply_index_at(asset, now)
    paid = min(amount, held)
    if not amount >= 0.0:
        return BAD_AMOUNT, 0.0
    if paid <= 0.0:
        return ZERO_AMOUNT, 0.0
    if not is_open(asset):
        return HALTED, 0.0
    if paid > asset.cash:
        return NO_CASH, 0.0
    accrue(asset, now)
    left = asset.scaled_treasury - paid / asset.supply_index
    asset.scaled_treasury = max(0.0, left)
    asset.cash -= paid
    return OK, paid
