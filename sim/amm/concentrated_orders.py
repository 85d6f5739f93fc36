"""Orders to concentrated liquidity pools: what becomes of each verb, and the transfers that follow.

Arguments: a swap takes the side in `a` (0 pays token 0), at most `amount` in and at least `limit`
out, and stops at `price_limit`. Liquidity verbs take the ticks in `a` and `b`; `add` spends at most
(amount, amount1) for at least `limit` of liquidity, and shows it in `x`; `remove` burns `amount` of
liquidity (inf: all) and collects; `collect` takes the fees.

A swap declares the gas of crossing 16 initialized ticks and pays that of those it crossed.

Differences from the contract: the protocol takes no share of the fees, and a swap from which
nothing would come out is refused, where the contract moves the price for free.

Large kernels stand out of line and take the address of a binding, since a tuple of arrays as an
argument costs more than the work. Amounts are real numbers here, hence the 0.0 for the quantum.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from sim.amm import positions
from sim.amm.concentrated_state import ConcentratedState
from sim.amm.concentrated_swap import check_swap, walk
from sim.amm.position_index import find_position
from sim.amm.tick_math import MAX_TICK, sqrt_price_limit
from sim.appraisal import appraisal_at
from sim.kernel import I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of, can_pay, slot, transfer
from sim.orders import REMOVE, order_at, quote_at
from sim.status import Status
from sim.venues import Venues, show_price

OK = int(Status.OK)
SLIPPAGE = int(Status.SLIPPAGE)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
INSUFFICIENT_LIQUIDITY = int(Status.INSUFFICIENT_LIQUIDITY)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
NO_POSITION = int(Status.NO_POSITION)
BAD_RANGE = int(Status.BAD_RANGE)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
TICK_GAS = 22_000  # of crossing an initialized tick, beyond the 130,000 of the swap itself
SPARE_TICKS = 16  # crossings that a swap declares gas for; more are not charged
SPARE_GAS = TICK_GAS * SPARE_TICKS


@columnar
class PoolDesk(NamedTuple):
    """What the pools need beside their own tables; row = pool."""

    token0: I8  # int64, (n_pools,)
    token1: I8  # int64, (n_pools,)
    group: I8  # int64, (n_pools,), account of the pool …
    account: I8  # int64, (n_pools,)
    venue: I8  # int64, (n_pools,)


unpack = view_of(ConcentratedState, PoolDesk, Ledger, Venues)
_pools_at = view_of(ConcentratedState)

# --- what several verbs call ---------------------------------------------------------------------


@kernel
def limit_of(side, price_limit):  # type: ignore[no-untyped-def]
    """Return the square-root limit of a price limit; 0 means none."""
    return math.sqrt(price_limit) if price_limit > 0.0 else sqrt_price_limit(side == 0)


@kernel(inline=False)
def ask(binding, row, side, amount, price_limit):  # type: ignore[no-untyped-def]
    """Quote a swap up to a price; (status, amount in, amount out, fee paid, sqrt price after)."""
    (pools,) = _pools_at(binding)
    limit = limit_of(side, price_limit)
    if not 0.0 <= amount < math.inf:
        return BAD_AMOUNT, 0.0, 0.0, 0.0, 0.0
    status = check_swap(pools.pool[row], side == 0, amount, limit)
    if status != OK:
        return status, 0.0, 0.0, 0.0, 0.0
    _, paid, out, fee, after, _ = walk(pools, row, side == 0, amount, limit, 0.0, False)
    if not (paid > 0.0 and out > 0.0):
        return INSUFFICIENT_LIQUIDITY, 0.0, 0.0, 0.0, 0.0
    return OK, paid, out, fee, after


@kernel(inline=False)
def mint(binding, row, group, account, tick_lower, tick_upper, liquidity):  # type: ignore[no-untyped-def]
    """Add liquidity to a position; see `sim.amm.positions.mint`."""
    (pools,) = _pools_at(binding)
    return positions.mint(pools, row, group, account, tick_lower, tick_upper, liquidity)


@kernel(inline=False)
def quote_mint(binding, row, group, account, tick_lower, tick_upper, liquidity):  # type: ignore[no-untyped-def]
    """Quote that; see `sim.amm.positions.quote_mint`."""
    (pools,) = _pools_at(binding)
    return positions.quote_mint(pools, row, group, account, tick_lower, tick_upper, liquidity)


@kernel(inline=False)
def unit_amounts(binding, row, tick_lower, tick_upper):  # type: ignore[no-untyped-def]
    """Return the (token 0, token 1) of one unit of liquidity in a range of a pool now."""
    (pools,) = _pools_at(binding)
    return positions.range_amounts(pools, row, tick_lower, tick_upper, 1.0)


@kernel(inline=False)
def burn(binding, row, number, liquidity):  # type: ignore[no-untyped-def]
    """Take liquidity out of a position; returns the status of `sim.amm.positions.burn`."""
    (pools,) = _pools_at(binding)
    return positions.burn(pools, row, number, liquidity)[0]


# --- orders --------------------------------------------------------------------------------------


@kernel
def pay_out(desk, ledger, row, order, token, amount):  # type: ignore[no-untyped-def]
    """Pay from a pool to the sender: all it holds where rounding left it short by a residue."""
    group, account = desk.group[row], desk.account[row]
    amount = min(amount, balance_of(ledger, group, account, token))
    transfer(ledger, group, account, int(order.group), int(order.row), int(token), amount)
    return amount


@kernel
def can_hold(desk, ledger, row, order):  # type: ignore[no-untyped-def]
    """Return whether the sender's account can hold both tokens of a pool."""
    return (
        slot(ledger, int(order.group), int(order.row), desk.token0[row]) >= 0
        and slot(ledger, int(order.group), int(order.row), desk.token1[row]) >= 0
    )


@handler
def on_quote(binding, message):  # type: ignore[no-untyped-def]
    """Quote a swap."""
    _, _, _, venues = unpack(binding)
    q = quote_at(message)
    row = venues.row[q.venue]
    status, q.amount_in, q.amount_out, q.fee_paid, after = ask(
        binding, row, q.side, q.amount, q.price_limit
    )
    q.price_after = after * after
    return status


@handler
def on_quote_order(binding, message):  # type: ignore[no-untyped-def]
    """Quote a swap that is a leg of an order."""
    _, _, _, venues = unpack(binding)
    order = order_at(message)
    status, order.amount_in, order.amount_out, order.fee_paid, _ = ask(
        binding, venues.row[order.venue], order.a, order.amount, order.price_limit
    )
    return SLIPPAGE if status == OK and order.amount_out < order.limit else status


@handler
def on_swap(binding, message):  # type: ignore[no-untyped-def]
    """Swap."""
    pools, desk, ledger, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    status, paid, out, fee, _ = ask(binding, row, order.a, order.amount, order.price_limit)
    if status != OK:
        return status
    if out < order.limit:
        return SLIPPAGE
    if not can_hold(desk, ledger, row, order):
        return NOT_ALLOWED
    group, account = desk.group[row], desk.account[row]
    sender, place = int(order.group), int(order.row)
    status = transfer(ledger, sender, place, group, account, int(order.token_in), paid)
    if status != OK:
        return status
    limit = limit_of(order.a, order.price_limit)
    crossed = walk(pools, row, order.a == 0, order.amount, limit, 0.0, True)[5]
    order.gas_left = TICK_GAS * max(SPARE_TICKS - crossed, 0)
    order.amount_out = pay_out(desk, ledger, row, order, int(order.token_out), out)
    order.amount_in, order.fee_paid = paid, fee
    root = pools.pool[row].sqrt_price
    order.price_after = root * root
    show_price(venues, order.venue, order.price_after, order.time)
    return OK


@handler
def on_add(binding, message):  # type: ignore[no-untyped-def]
    """Add liquidity to a position of the sender, new or old."""
    _, desk, ledger, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    sender, place = int(order.group), int(order.row)  # 64 bits, as the index of positions needs
    if not (0.0 <= order.amount < math.inf and 0.0 <= order.amount1 < math.inf):
        return BAD_AMOUNT
    if not -MAX_TICK <= order.a < order.b <= MAX_TICK:
        return BAD_RANGE
    unit0, unit1 = unit_amounts(binding, row, order.a, order.b)
    liquidity = order.amount / unit0 if unit0 > 0.0 else math.inf
    if unit1 > 0.0:
        liquidity = min(liquidity, order.amount1 / unit1)
    if liquidity < order.limit:
        return SLIPPAGE
    status, amount0, amount1 = quote_mint(binding, row, sender, place, order.a, order.b, liquidity)
    # at most what was offered: liquidity x unit may be an ulp more
    amount0, amount1 = min(amount0, order.amount), min(amount1, order.amount1)
    token0, token1 = desk.token0[row], desk.token1[row]
    if status == OK:
        status = can_pay(ledger, sender, place, token0, amount0)
    if status == OK:
        status = can_pay(ledger, sender, place, token1, amount1)
    if status != OK:
        return status
    mint(binding, row, sender, place, order.a, order.b, liquidity)
    group, account = desk.group[row], desk.account[row]
    transfer(ledger, sender, place, group, account, token0, amount0)
    transfer(ledger, sender, place, group, account, token1, amount1)
    order.token_in, order.amount_in, order.amount1, order.x = token0, amount0, amount1, liquidity
    return OK


@kernel
def _collect_all(pools, desk, ledger, row, number, order):  # type: ignore[no-untyped-def]
    """Pay out everything a settled position is owed."""
    _, amount0, amount1 = positions.collect(pools, row, number, math.inf, math.inf)
    order.token_out = desk.token0[row]
    order.amount_out = pay_out(desk, ledger, row, order, desk.token0[row], amount0)
    order.amount1 = pay_out(desk, ledger, row, order, desk.token1[row], amount1)


@kernel(inline=False)
def take_out(binding, message, liquidity):  # type: ignore[no-untyped-def]
    """Burn liquidity of the sender's position (inf: all, 0: none) and pay what it is owed."""
    pools, desk, ledger, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    number = find_position(pools, row, int(order.group), int(order.row), order.a, order.b)
    if number < 0:
        return NO_POSITION
    if not can_hold(desk, ledger, row, order):
        return NOT_ALLOWED
    held = pools.position[number].liquidity
    liquidity = held if liquidity == math.inf else liquidity
    if held > 0.0:
        status = burn(binding, row, number, liquidity)
        if status != OK:
            return status
    _collect_all(pools, desk, ledger, row, number, order)
    order.x = liquidity
    return OK


@handler
def on_remove(binding, message):  # type: ignore[no-untyped-def]
    """Burn liquidity and collect."""
    order = order_at(message)
    if not order.amount > 0.0:
        return ZERO_AMOUNT if order.amount == 0.0 else BAD_AMOUNT
    return take_out(binding, message, order.amount)


@handler
def on_collect(binding, message):  # type: ignore[no-untyped-def]
    """Collect the fees of a position of the sender."""
    return take_out(binding, message, 0.0)


@handler
def on_appraise(binding, message):  # type: ignore[no-untyped-def]
    """Say what an account's position in ticks `a` to `b` would give, fees included."""
    pools, desk, _, venues = unpack(binding)
    asked = appraisal_at(message)
    row = venues.row[asked.venue]
    number = find_position(pools, row, asked.group, asked.row, asked.a, asked.b)
    asked.token0, asked.token1, asked.verb = desk.token0[row], desk.token1[row], REMOVE
    if number < 0:
        return OK
    amount0, amount1 = positions.position_amounts(pools, row, number)
    fee0, fee1 = positions.uncollected_fees(pools, row, number)
    asked.amount0, asked.amount1 = amount0 + fee0, amount1 + fee1
    asked.available, asked.units = 1.0, pools.position[number].liquidity
    return OK
