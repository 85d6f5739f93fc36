"""What an account's claim on a lending market is worth, shortfalls of its debtors included.

A claim bears its part of what debtors owe beyond their collateral, at the prices asked for, and of
recognized losses that nobody has borne yet; the books show neither.
"""

from __future__ import annotations

from sim.appraisal import BOOK, FAIR, appraisal_at
from sim.kernel import handler, kernel
from sim.lending.account import claim_of, find_slot
from sim.lending.modes import secures
from sim.lending.reserve import borrow_index_at, supply_index_at
from sim.lending.verbs import unpack
from sim.orders import WITHDRAW
from sim.status import Status

OK = int(Status.OK)


@kernel
def price_for(state, prices, reserve, basis):  # type: ignore[no-untyped-def]
    """Return the price of a reserve that a basis asks for."""
    asset = state.reserves[reserve]
    return prices.fundamental[asset.token] if basis == FAIR else asset.price


@kernel(inline=False)
def shortfall_share(state, prices, position, basis, now):  # type: ignore[no-untyped-def]
    """Return the share of a position's debts that its collateral does not cover."""
    collateral = debt = 0.0
    for slot in range(state.collateral_reserve.shape[1]):
        if secures(state, position, slot):
            k = state.collateral_reserve[position, slot]
            claim = state.collateral_scaled[position, slot]
            claim *= supply_index_at(state.reserves[k], now)
            collateral += claim * price_for(state, prices, k, basis)
    for slot in range(state.debt_reserve.shape[1]):
        k = state.debt_reserve[position, slot]
        if k >= 0:
            owed = state.debt_scaled[position, slot] * borrow_index_at(state.reserves[k], now)
            debt += owed * price_for(state, prices, k, basis)
    return (debt - collateral) / debt if debt > collateral else 0.0


@kernel(inline=False)
def lost_share(state, prices, reserve, basis, now):  # type: ignore[no-untyped-def]
    """Return the share of claims on a reserve that is lost and not yet taken from them."""
    asset = state.reserves[reserve]
    claims = asset.scaled_supply * supply_index_at(asset, now)
    if basis == BOOK or claims <= 0.0:
        return 0.0
    lost, index = asset.deficit, borrow_index_at(asset, now)
    for position in range(state.positions.shape[0]):
        slot = find_slot(state.debt_reserve, position, reserve)
        if slot >= 0:
            owed = state.debt_scaled[position, slot] * index
            lost += owed * shortfall_share(state, prices, position, basis, now)
    return min(lost / claims, 1.0)


@handler
def on_appraise(binding, message):  # type: ignore[no-untyped-def]
    """Say what a position's claim on reserve `b` would bring; `a` is the position."""
    state, _, _, _, _, prices = unpack(binding)
    asked = appraisal_at(message)
    claim = claim_of(state, asked.a, asked.b, asked.now)
    asset = state.reserves[asked.b]
    asked.token0, asked.verb, asked.units = asset.token, WITHDRAW, claim
    asked.amount0 = claim * (1.0 - lost_share(state, prices, asked.b, asked.basis, asked.now))
    asked.available = min(asset.cash / claim, 1.0) if claim > 0.0 else 0.0
    return OK
