"""What stuck suppliers do: borrow something that can be paid out against the claim, and leave.

Where withdrawals find no cash, part of the suppliers borrow against their claims, in whichever of
the assets they have in mind holds most cash, up to a share of what the claim allows. The loan then
stands for the withdrawal: whoever got most of it is gone. When the market has been calm for as long
as others wait before they return, they repay what they hold and are back in.
"""

from __future__ import annotations

from sim.kernel import kernel
from sim.ledger import balance_of
from sim.lending.account import account_values, debt_of
from sim.mempool import post
from sim.orders import BORROW, FILL, REPAY, ROUTINE, cause
from sim.venues import draft

BY_LOAN = 2  # `is_leaving` of those who left by a loan
_ENOUGH = 0.5  # share of the planned loan with which a supplier is gone
_WHOLE = 0.999  # of the cash, which interest and others may lower before the block
_LEAST = 1.0  # USD
_FILL, _ROUTINE = cause(FILL), cause(ROUTINE)


@kernel
def most_liquid(lending, exits):  # type: ignore[no-untyped-def]
    """Return the reserve among `exits` with most cash by value, -1: none has any."""
    best, most = -1, _LEAST
    for k in range(exits.shape[0]):
        if exits[k] >= 0:
            asset = lending.reserves[exits[k]]
            if asset.cash * asset.price > most:
                best, most = exits[k], asset.cash * asset.price
    return best


@kernel(inline=False)
def borrow_out(people, lending, box, venues, row, clock):  # type: ignore[no-untyped-def]
    """Ask for a loan against the claim; True: the supplier has got most of it, and is gone."""
    _, _, loan_value, debt_value = account_values(lending, people.position[row], clock.now)
    wanted = people.loan[0] * loan_value
    if wanted <= _LEAST:
        return False
    if debt_value >= _ENOUGH * wanted:
        return True
    reserve = most_liquid(lending, people.exits)
    if reserve < 0:
        return False
    asset = lending.reserves[reserve]
    amount = min((wanted - debt_value) / asset.price, _WHOLE * asset.cash)
    if amount * asset.price < _LEAST:
        return False
    venue = people.number[1]
    order = draft(box, venues, venue, BORROW, people.number[0], row, clock.now)
    order.a, order.b, order.amount = people.position[row], reserve, amount
    order.tip = people.terms[4]
    order.max_fee = 2.0 * order.max_fee + order.tip
    order.expires = people.due[row]
    last = venues.last_fill[venue]
    order.parent = _FILL + last if last > 0 else _ROUTINE
    post(box, order)
    return False


@kernel(inline=False)
def pay_back(people, lending, box, ledger, venues, row, clock):  # type: ignore[no-untyped-def]
    """Repay with what the supplier left with; the interest stays owed."""
    position = people.position[row]
    for slot in range(lending.debt_reserve.shape[1]):
        reserve = lending.debt_reserve[position, slot]
        if reserve < 0:
            continue
        held = balance_of(ledger, people.number[0], row, lending.reserves[reserve].token)
        owed = debt_of(lending, position, reserve, clock.now)
        order = draft(box, venues, people.number[1], REPAY, people.number[0], row, clock.now)
        order.a, order.b, order.amount = position, reserve, min(held, owed)
        order.parent = _ROUTINE
        post(box, order)
