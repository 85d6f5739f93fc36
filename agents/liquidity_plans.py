"""Plans of liquidity providers: stages, the orders between them, and when to think again.

A provider has at most one order under way, and looks at its account before every block until the
order has landed or expired. Otherwise it is left alone until the time it set itself, or until the
pool begins to frighten or is calm again.
"""

from __future__ import annotations

from typing import NamedTuple

from agents.arrivals import Arrivals, next_arrival, wake_at
from agents.liquidity_ranges import (
    centered_range,
    liquidity_of,
    moving_gas,
    share_of_pool,
    swap_loss,
    swap_to_fit,
    unit_of,
)
from agents.pool_history import (
    IS_CALM,
    IS_FRIGHTENING,
    N_STEPS,
    STEP,
    PoolHistory,
    fees_per_day,
    observe,
)
from sim.amm.concentrated_state import ConcentratedState
from sim.amm.constant_product import ConstantProductState
from sim.chain import clock_at
from sim.kernel import F8, I8, columnar, handler, kernel, view_of
from sim.ledger import Ledger, balance_of
from sim.mempool import Outbox, post
from sim.orders import ADD, FILL, REMOVE, ROUTINE, SWAP, cause
from sim.prices import Prices
from sim.status import OK
from sim.venues import Venues, draft

NEVER = 1 << 60
_FILL, _ROUTINE = cause(FILL), cause(ROUTINE)
PASSIVE, KEEPER, LEAVER = range(3)
IN, LEAVING, OUT, REMOVING, SWAPPING, ADDING = range(6)  # from REMOVING on: an order is under way
_STAGE_OF = (SWAPPING, ADDING, REMOVING)  # by verb: SWAP, ADD, REMOVE
_MOST_LOSS = 0.03  # of a swap on the way in, fee and impact; they wait where it would be more
_SLIPPAGE = 0.01  # against the quote
GROUP, VENUE, SHARE = range(3)  # entries of ProviderState.number
GAS_RESERVE, TIP, HORIZON, REST = range(4)  # entries of ProviderState.terms


@columnar
class ProviderState(NamedTuple):
    """Columns of liquidity providers, and what they share."""

    style: I8  # int64, (n,), PASSIVE, KEEPER or LEAVER
    stage: I8  # int64, (n,), IN, LEAVING, OUT, REMOVING, SWAPPING or ADDING
    tick_lower: I8  # int64, (n,), range of a position, held or to be taken
    tick_upper: I8  # int64, (n,)
    entry_usd: F8  # float64, (n,), value at the start
    delay: I8  # int64, (n,), ticks between fright and exit, and between calm and return
    n_moves: I8  # int64, (n,), exits and re-centerings begun
    moved: I8  # int64, (n,), tick of the last of them
    expires: I8  # int64, (n,), last tick of the order under way
    bought: I8  # int64, (n,), token that the swap under way buys
    mark: F8  # float64, (n,), balance of it from which the swap has landed
    number: I8  # int64, (3,): group, venue, token of the pool's shares or -1
    terms: (
        F8  # float64, (4,): native tokens kept for gas, tip, keeper horizon in days, rest in ticks
    )


# Pools come first: kernels of `sim.amm.concentrated_orders` find them at the start of a binding.
# Large kernels take the binding and stand out of line; they unpack as much of it as they need.
_POOL_STATES = (ConcentratedState, ConstantProductState, Venues, Prices, ProviderState)
unpack_pool = view_of(*_POOL_STATES)
unpack_mind = view_of(*_POOL_STATES, PoolHistory, Arrivals)
unpack = view_of(*_POOL_STATES, PoolHistory, Arrivals, Outbox, Ledger)


# --- what they have and want ---------------------------------------------------------------------


@kernel
def site_of(people):  # type: ignore[no-untyped-def]
    """Return (group, venue, token of the pool's shares or -1)."""
    return people.number[GROUP], people.number[VENUE], people.number[SHARE]


@kernel(inline=False)
def goal_of(binding, row, amount0, amount1):  # type: ignore[no-untyped-def]
    """Return where a provider would put amounts of both tokens, and the swap that this takes.

    Returns
    -------
    lower, upper : ticks; a range that is not full is centered
    side, amount, out, loss : the swap and its loss as a share of it; amount 0: none
    share : of the liquidity in range that it would have, as a fraction
    """
    pools, reserves, venues, _, people = unpack_pool(binding)
    site = site_of(people)
    venue, pool = site[1], venues.row[site[1]]
    lower, upper = people.tick_lower[row], people.tick_upper[row]
    active = 0.0
    if site[2] < 0:
        active = pools.pool[pool].liquidity
        lower, upper = centered_range(pools, pool, lower, upper)
    unit0, unit1 = unit_of(binding, reserves, venues, site, lower, upper)
    side, amount = swap_to_fit(venues, venue, amount0, amount1, unit0, unit1)
    out, loss = swap_loss(venues, venue, side, amount) if amount > 0.0 else (0.0, 0.0)
    price = venues.price[venue]
    share = share_of_pool(active, price, amount0 * price + amount1, unit0, unit1)
    return lower, upper, side, amount, out, loss, share


@kernel
def wallet(people, box, ledger, venues, row):  # type: ignore[no-untyped-def]
    """Return what a provider can put in of both tokens: all but its reserve for gas."""
    group, venue, _ = site_of(people)
    token0, token1 = venues.token0[venue], venues.token1[venue]
    native = box.chains[venues.chain[venue]].native
    amount0 = balance_of(ledger, group, row, token0)
    amount1 = balance_of(ledger, group, row, token1)
    reserve = people.terms[GAS_RESERVE]
    amount0 -= reserve if native == token0 else 0.0
    amount1 -= reserve if native == token1 else 0.0
    return max(amount0, 0.0), max(amount1, 0.0)


# --- what they do --------------------------------------------------------------------------------
# A step of a plan is an order to send: (verb or -1 for none, a, b, amount, amount1, limit).


@kernel
def send(people, wheel, box, ledger, venues, row, now, step, parent):  # type: ignore[no-untyped-def]
    """Post the order of a step, and look again before the next block."""
    verb, a, b, amount, amount1, limit = step
    group, venue, _ = site_of(people)
    order = draft(box, venues, venue, verb, group, row, now)
    order.a, order.b = a, b
    order.amount, order.amount1, order.limit = amount, amount1, limit
    order.parent = parent
    order.tip = people.terms[TIP]
    order.max_fee += order.tip
    if verb == SWAP:
        order.token_in = venues.token0[venue] if a == 0 else venues.token1[venue]
        bought = venues.token1[venue] if a == 0 else venues.token0[venue]
        order.token_out = people.bought[row] = bought
        held = balance_of(ledger, group, row, bought)
        people.mark[row] = held + 0.5 * limit  # half: what comes in may pay gas
    elif verb == REMOVE:
        people.n_moves[row] += 1
        people.moved[row] = now
    else:
        people.tick_lower[row], people.tick_upper[row] = a, b
    people.stage[row] = _STAGE_OF[verb]
    people.expires[row] = order.expires
    wake_at(wheel, row, now + 1)
    post(box, order)


@kernel
def keep(binding, people, history, box, prices, venues, row, now, held, unit0, unit1):  # type: ignore[no-untyped-def]
    """Re-center when the fees over the horizon exceed gas and the loss of the swap."""
    lower, upper = people.tick_lower[row], people.tick_upper[row]
    is_in_range = unit0 > 0.0 and unit1 > 0.0
    if is_in_range or now - people.moved[row] < people.terms[REST]:
        return -1, lower, upper, held, 0.0, 0.0
    venue = people.number[VENUE]
    _, _, side, amount, _, loss, share = goal_of(binding, row, held * unit0, held * unit1)
    swapped = amount * venues.price[venue] if side == 0 else amount
    cost = moving_gas(box, venues, prices, venue, people.terms[TIP])
    cost += loss * swapped * prices.reference[venues.token1[venue]]
    gain = share * fees_per_day(history) * people.terms[HORIZON]
    verb = REMOVE if loss <= _MOST_LOSS and gain > cost else -1
    return verb, lower, upper, held, 0.0, 0.0


@kernel
def enter(binding, people, box, ledger, venues, row, has_swapped):  # type: ignore[no-untyped-def]
    """Swap toward the ratio of the range, or put everything in where it is near enough."""
    amount0, amount1 = wallet(people, box, ledger, venues, row)
    lower, upper, side, amount, out, loss, _ = goal_of(binding, row, amount0, amount1)
    if (amount == 0.0 or has_swapped) and amount0 > 0.0 and amount1 > 0.0:
        return ADD, lower, upper, amount0, amount1, 0.0
    verb = SWAP if amount > 0.0 and loss <= _MOST_LOSS else -1
    return verb, side, 0, amount, 0.0, out * (1.0 - _SLIPPAGE)


@kernel
def settle(people, history, wheel, row, now, stage):  # type: ignore[no-untyped-def]
    """Be in or out, and come back when there is something to decide.

    A leaver who is out waits for calm, one who is in for a fright; `look` wakes them then.
    """
    people.stage[row] = stage
    if people.style[row] == KEEPER:
        wake_at(wheel, row, now + STEP if stage == IN else now)
    elif stage == IN and history.state[IS_FRIGHTENING] != 0:
        people.stage[row] = LEAVING
        wake_at(wheel, row, now + people.delay[row])
    elif stage == OUT and history.state[IS_CALM] != 0:
        wake_at(wheel, row, now + people.delay[row])


@kernel
def think(binding, row, now):  # type: ignore[no-untyped-def]
    """Advance one provider by one step of its plan; an order is waited for, then repeated."""
    pools, reserves, venues, prices, people, history, wheel, box, ledger = unpack(binding)
    site, stage = site_of(people), people.stage[row]
    lower, upper = people.tick_lower[row], people.tick_upper[row]
    held = liquidity_of(pools, ledger, venues, site, row, lower, upper)
    has_swapped = stage == SWAPPING and (
        balance_of(ledger, site[0], row, people.bought[row]) >= people.mark[row]
    )
    is_leaver = people.style[row] == LEAVER
    parent = _ROUTINE
    wheel.due[row] = NEVER
    step = -1, lower, upper, held, 0.0, 0.0
    if (stage == REMOVING and held <= 0.0) or (stage == ADDING and held > 0.0):
        settle(people, history, wheel, row, now, OUT if stage == REMOVING else IN)
        return
    if stage >= REMOVING and not has_swapped and now <= people.expires[row]:
        wake_at(wheel, row, now + 1)  # the order is under way
        return
    if stage == IN:
        unit0, unit1 = unit_of(binding, reserves, venues, site, lower, upper)
        step = keep(binding, people, history, box, prices, venues, row, now, held, unit0, unit1)
    elif stage in (LEAVING, REMOVING):
        last = venues.last_fill[site[1]]
        parent = _FILL + last if is_leaver and last > 0 else _ROUTINE
        step = REMOVE, lower, upper, held, 0.0, 0.0
    elif stage == OUT and is_leaver and history.state[IS_CALM] == 0:
        return
    else:
        people.stage[row] = OUT
        step = enter(binding, people, box, ledger, venues, row, has_swapped)
    if step[0] < 0:
        wake_at(wheel, row, now + STEP)
    else:
        send(people, wheel, box, ledger, venues, row, now, step, parent)


@kernel(inline=False)
def look(binding, now):  # type: ignore[no-untyped-def]
    """Look at the pool; where it begins to frighten, or is calm again, leavers take notice."""
    pools, reserves, venues, prices, people, history, wheel = unpack_mind(binding)
    _, venue, share = site_of(people)
    was_frightening, was_calm = history.state[IS_FRIGHTENING], history.state[IS_CALM]
    if share >= 0:
        value = 2.0 * reserves.reserve1[venues.row[venue]]
    else:
        pool = pools.pool[venues.row[venue]]
        value = 2.0 * pool.liquidity * pool.sqrt_price
    value *= prices.reference[venues.token1[venue]]
    observe(history, now, venues.price[venue], venues.fees[venue], venues.lvr[venue], value)
    begins = history.state[IS_FRIGHTENING] > was_frightening
    ends = history.state[IS_CALM] > was_calm
    if not (begins or ends):
        return
    for row in range(people.style.shape[0]):
        if people.style[row] != LEAVER or wheel.due[row] != NEVER:
            continue
        if begins and people.stage[row] == IN:
            people.stage[row] = LEAVING
            wake_at(wheel, row, now + people.delay[row])
        elif ends and people.stage[row] == OUT:
            wake_at(wheel, row, now + people.delay[row])


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Look at the pool every ten minutes, and let everybody think whose time has come."""
    _, _, _, _, _, history, wheel = unpack_mind(binding)
    now = clock_at(message).now
    if history.state[N_STEPS] <= now // STEP:
        look(binding, now)
    row = next_arrival(wheel, now)
    while row >= 0:
        think(binding, int(row), now)
        row = next_arrival(wheel, now)
    return OK
