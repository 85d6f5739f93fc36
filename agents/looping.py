"""Loopers: borrowers who hold a collateral that earns more than its loan costs, until it does not.

With collateral C, debt D and equity E = C - D, the carry of a loop is

    carry = (C (y + r_supply) - D r_borrow) / E    per year,

where y is what the collateral itself earns. A looper begins to unwind, after a delay, when the
carry is below a floor, or when the collateral trades below what the market's feeds say by more than
a discount. It goes on in parts while the reason lasts: each part is taken out of the market, sold
in the pool and repaid in one order, if the pool pays at least what the looper accepts.
"""

from __future__ import annotations

import math

from agents.routing import amount_out_of, side_of
from sim.draws import normal, uniforms
from sim.kernel import kernel
from sim.lending.account import account_values, claim_of, debt_of
from sim.lending.reserve import borrow_rate, supply_rate, withdrawable
from sim.mempool import join, post
from sim.orders import CHAINED, FILL, ROUTINE, SWAP, UNWIND, UNWIND_REPAY, cause
from sim.units import TICKS_PER_SECOND
from sim.venues import draft

NEVER = 1 << 60
LOOK = 600 * TICKS_PER_SECOND  # loopers look at rates and prices every ten minutes
YIELD, FLOOR, DISCOUNT, DELAY, SPREAD, PART, SLIPPAGE, PAUSE = range(8)  # BorrowerState.loop
_HALVINGS = 6  # a part that the pool cannot take well is halved as often
_ACCEPTED = 0.995  # share of the expected proceeds that has to be repaid
_FILL, _ROUTINE = cause(FILL), cause(ROUTINE)


@kernel
def carry_of(collateral_value, debt_value, own_yield, supply, borrow):  # type: ignore[no-untyped-def]
    """Return what a loop earns per year on its equity; -inf without equity."""
    equity = collateral_value - debt_value
    if equity <= 0.0:
        return -math.inf
    return (collateral_value * (own_yield + supply) - debt_value * borrow) / equity


@kernel
def fair_price(people, lending):  # type: ignore[no-untyped-def]
    """Return debt tokens per collateral token by the market's own feeds."""
    return lending.reserves[people.number[2]].price / lending.reserves[people.number[9]].price


@kernel
def pool_side(people, lending, venues):  # type: ignore[no-untyped-def]
    """Return the side of the pool that sells collateral for the debt token, -1: none."""
    if people.pool[0] < 0:
        return -1
    token_in = lending.reserves[people.number[2]].token
    token_out = lending.reserves[people.number[9]].token
    return side_of(venues, people.pool[0], token_in, token_out)


@kernel
def discount_of(people, lending, venues, side):  # type: ignore[no-untyped-def]
    """Return how far below the feeds the collateral trades in the pool, a fraction."""
    price = venues.price[people.pool[0]]
    if side == 1:
        price = 1.0 / price
    return 1.0 - price / fair_price(people, lending)


@kernel
def has_reason(people, lending, row, discount, now):  # type: ignore[no-untyped-def]
    """Return whether a looper wants out."""
    collateral, _, _, debt = account_values(lending, people.position[row], now)
    if debt <= 0.0:
        return False
    if discount > people.loop[DISCOUNT]:
        return True
    earned = supply_rate(lending.reserves[people.number[2]])
    paid = borrow_rate(lending.reserves[people.number[9]])
    return carry_of(collateral, debt, people.loop[YIELD], earned, paid) < people.loop[FLOOR]


@kernel(inline=False)
def watch(people, lending, venues, now):  # type: ignore[no-untyped-def]
    """Let everybody with a reason begin to unwind after a delay, and those without one stay."""
    side = pool_side(people, lending, venues)
    if side < 0:
        return
    discount = discount_of(people, lending, venues, side)
    for row in range(people.position.shape[0]):
        if not has_reason(people, lending, row, discount, now):
            people.unwind_due[row] = NEVER
        elif people.unwind_due[row] == NEVER:
            u = uniforms(people.number[4], people.number[5], now, row, 1)[0]
            spread = math.exp(people.loop[SPREAD] * normal(u))
            people.unwind_due[row] = now + int(people.loop[DELAY] * spread)


@kernel
def sellable(people, lending, venues, row, side, now):  # type: ignore[no-untyped-def]
    """Return (collateral tokens, proceeds) of the next part; 0 where the pool pays too little."""
    position, pool = people.position[row], people.pool[0]
    claim = claim_of(lending, position, people.number[2], now)
    debt = debt_of(lending, position, people.number[9], now)
    least = fair_price(people, lending) * (1.0 - people.loop[SLIPPAGE])
    amount = min(people.loop[PART] * claim, debt / least)
    amount = min(amount, withdrawable(lending.reserves[people.number[2]]))
    for _ in range(_HALVINGS):
        out = amount_out_of(venues, pool, side, amount)
        if out > 0.0 and out >= least * amount:
            return amount, out
        amount *= 0.5
    return 0.0, 0.0


@kernel(inline=False)
def unwind(people, lending, box, venues, row, side, clock):  # type: ignore[no-untyped-def]
    """Send one part: out of the market, through the pool, into the debt."""
    now, group, pool = clock.now, people.number[0], people.pool[0]
    amount, out = sellable(people, lending, venues, row, side, now)
    if amount <= 0.0:
        return
    head = draft(box, venues, people.number[1], UNWIND, group, row, now)
    head.a, head.b, head.amount = people.position[row], people.number[2], amount
    head.tip = people.tip[0]
    head.max_fee = 2.0 * head.max_fee + head.tip
    last = venues.last_fill[pool]
    head.parent = _FILL + last if last > 0 else _ROUTINE
    sale = draft(box, venues, pool, SWAP, group, row, now)
    sale.a, sale.flag_bits, sale.parent = side, CHAINED, head.parent
    sale.token_in = lending.reserves[people.number[2]].token
    sale.token_out = lending.reserves[people.number[9]].token
    join(box, head, sale)
    back = draft(box, venues, people.number[1], UNWIND_REPAY, group, row, now)
    back.a, back.b, back.flag_bits = people.position[row], people.number[9], CHAINED
    back.amount1, back.parent = _ACCEPTED * out, head.parent
    join(box, head, back)
    if post(box, head) >= 0:
        people.n_unwinds[row] += 1


@kernel(inline=False)
def loop_out(people, lending, box, venues, clock):  # type: ignore[no-untyped-def]
    """Look at the reasons when it is time, and send the parts that are due."""
    if people.pool[0] < 0:
        return
    if clock.now >= people.looked[0] + LOOK:
        people.looked[0] = clock.now
        watch(people, lending, venues, clock.now)
    side = pool_side(people, lending, venues)
    if side < 0:
        return
    for row in range(people.position.shape[0]):
        if people.unwind_due[row] <= clock.now:
            people.unwind_due[row] = clock.now + int(people.loop[PAUSE])
            unwind(people, lending, box, venues, row, side, clock)
