"""What became of an order: one number each, the same in kernels, records and messages."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """Outcome of an order. Everything but `OK` left the world unchanged, gas aside."""

    OK = 0
    EXPIRED = 1  # not included before its deadline
    UNPAID = 2  # the sender could not pay the gas; dropped without a fee
    SLIPPAGE = 3  # less would come out, or more would go in, than the limit allows
    INSUFFICIENT_FUNDS = 4  # the payer holds less of the token than needed
    INSUFFICIENT_LIQUIDITY = 5  # the pool cannot give that much
    ZERO_AMOUNT = 6  # nothing would move
    PRICE_LIMIT = 7  # the price is already beyond the limit
    HALTED = 8  # the venue, token or bridge is paused
    BAD_RANGE = 9  # tick bounds out of order, off the spacing or out of reach
    NO_POSITION = 10  # the position or account slot does not exist or is empty
    NO_SLOT = 11  # the account has no free collateral or debt slot
    NO_CASH = 12  # the market or bridge has too little to pay out
    UNHEALTHY = 13  # the account would be below its limits afterwards
    NOT_LIQUIDATABLE = 14  # the health factor is not below one
    CAP = 15  # a supply, borrow or bridge cap would be exceeded
    NOT_COLLATERAL = 16  # the asset cannot serve as collateral or be borrowed here
    STALE = 17  # a report is not newer than the last one
    NOT_ALLOWED = 18  # the sender may not do this
    FULL = 19  # no room in a table; nothing was changed
    LEG_FAILED = 20  # another leg of the same order would fail
    BAD_AMOUNT = 21  # negative, infinite or not a number
    DUST = 22  # would leave a debt or collateral too small to be liquidated
    EVICTED = 40  # bid too little to stay in a full mempool
    ZERO_LTV = 30  # collateral whose loan to value is zero has to be withdrawn first
    MODE = 31  # the efficiency or isolation mode of the account does not allow the asset
    FAULT = -1  # a Python turn raised; the engine stops and raises it again


OK = int(Status.OK)
FAULT = int(Status.FAULT)
