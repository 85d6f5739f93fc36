"""Orders, fills, quotes and causes: the records that travel between agents, mempool and venues.

An order asks a *verb* of a *venue*; the fill is the same record with its outcome written in. A
composite order is a chain of legs that is executed whole or not at all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.kernel import record_of

ORDER = np.dtype(
    [
        ("key", "f8"),  # what the fee market sorts by, fixed at submission
        ("tip", "f8"),  # native token per gas, to the block producer
        ("max_fee", "f8"),  # native token per gas, most the sender pays in all
        ("gas_price", "f8"),  # native token per gas, paid
        ("gas_paid", "f8"),  # native token
        ("amount", "f8"),  # asked, token units; what of is the verb's matter
        ("amount1", "f8"),  # second amount, where the verb takes one
        ("limit", "f8"),  # least amount out
        ("price_limit", "f8"),  # marginal price at which a swap stops; 0 = none
        ("amount_in", "f8"),  # paid by the sender, token units
        ("amount_out", "f8"),  # received by the sender, token units
        ("fee_paid", "f8"),  # part of amount_in that went to the liquidity providers
        ("value_in", "f8"),  # USD, amount_in at the reference price of the block
        ("value_out", "f8"),  # USD, amount_out at the reference price of the block
        ("price_after", "f8"),  # marginal price of the venue after the fill
        ("first_bid", "f8"),  # max_fee at submission, where the bid is raised while it waits
        ("x", "f8"),  # what the verb reports beside its amounts …
        ("y", "f8"),  # … such as the health factor before a liquidation
        ("id", "i8"),  # order number
        ("fill_id", "i8"),  # fill number
        ("parent", "i8"),  # cause: space << 56 | number
        ("arrival", "i8"),  # tick at which it reached the mempool
        ("expires", "i8"),  # tick after which it is dropped
        ("time", "i8"),  # tick of the block that took it
        ("tie", "i8"),  # keyed hash of chain, block and account
        ("a", "i8"),  # argument of the verb: side, tick_lower, position, reserve …
        ("b", "i8"),  # second argument of the verb
        ("next_leg", "i8"),  # slab row of the next leg, -1 = none
        ("slot", "i8"),  # slab row of this order
        ("follower", "i8"),  # slab row of its sender's next order, where accounts keep their order
        ("rebid_at", "i8"),  # height of the chain from which its bid is raised, -1 = never
        ("height", "i8"),  # block that took it
        ("gas", "i4"),  # declared; after execution: used
        ("gas_left", "i4"),  # declared and not used by this leg
        ("spare", "i4"),
        ("chain", "i4"),
        ("verb", "i4"),  # row of the verb table
        ("venue", "i4"),
        ("group", "i4"),  # sender: account group …
        ("row", "i4"),  # … and row
        ("token_in", "i4"),
        ("token_out", "i4"),
        ("status", "i4"),
        ("place", "i4"),  # position in the block
        ("leg", "i4"),  # number of this leg in its order
        ("flag_bits", "i4"),  # CHAINED, FLASH, REFUSED
    ],
    align=True,
)
order_at: Any = record_of(ORDER)

QUOTE = np.dtype(
    [
        ("amount", "f8"),  # most to pay, token units
        ("price_limit", "f8"),  # marginal price at which to stop; 0 = none
        ("amount_in", "f8"),
        ("amount_out", "f8"),
        ("fee_paid", "f8"),
        ("price_after", "f8"),
        ("venue", "i8"),
        ("side", "i8"),  # 0: pays token 0
        ("status", "i8"),
    ],
    align=True,
)
quote_at: Any = record_of(QUOTE)

# Flags of an order.
CHAINED = 1  # the amount of this leg is what the leg before it gives
FLASH = 2  # this leg is paid with what an earlier leg of the order brought in
REFUSED = 4  # a leg found no room in the mempool

# What can cause an order: the high byte of `parent`.
NO_CAUSE, PRICE, FILL, ACCRUAL, SHOCK, ROUTINE = range(6)
CAUSE_KINDS = ("none", "price", "fill", "accrual", "shock", "routine")
_SPACE = 56


def cause(space: int, number: int = 0) -> int:
    """Return the cause id of a number in a space, such as `cause(FILL, 17)`."""
    return (space << _SPACE) | number


def split_cause(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the spaces and numbers of cause ids."""
    return ids >> _SPACE, ids & ((1 << _SPACE) - 1)


# Verbs by their place in a mechanism's list: behaviours name them by these.
SWAP, ADD, REMOVE, COLLECT = range(4)  # pools
SUPPLY, WITHDRAW, BORROW, REPAY, LIQUIDATE, FLASH_LOAN, FLASH_REPAY = range(7)  # lending markets …
LIQUIDATE_FOR_CLAIM, USE_AS_COLLATERAL, SET_MODE, UNWIND, UNWIND_REPAY = range(7, 12)  # … and on
SEND = 0  # bridges
TRADE, DEPOSIT = range(2)  # reference market
REPORT = 0  # oracles
