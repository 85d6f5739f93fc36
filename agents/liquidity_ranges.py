"""Stakes of liquidity providers: what they hold, where to put it, and what moving costs.

A provider of a constant product pool has shares, one of a concentrated liquidity pool a position;
to both, liquidity times the tokens of one unit is what they would take out. The price has left a
range when a unit of it holds one token alone.
"""

from __future__ import annotations

from sim.amm.concentrated_orders import unit_amounts
from sim.amm.position_index import find_position
from sim.amm.tick_math import MAX_TICK, tick_at_sqrt_price
from sim.kernel import kernel
from sim.ledger import balance_of
from sim.orders import ADD, REMOVE, SWAP
from sim.status import Status
from sim.venues import quote

OK = int(Status.OK)
NEAR = 0.02  # share of the whole that may lie on the wrong side: no swap for less
WHOLE = 1.0 - 1e-9  # a quote that takes this share of the amount takes it all


@kernel
def liquidity_of(pools, ledger, venues, site, row, lower, upper):  # type: ignore[no-untyped-def]
    """Return the shares or the liquidity of a provider; `site` is (group, venue, share token)."""
    group, venue, share = site
    if share >= 0:
        return balance_of(ledger, group, row, share)
    number = find_position(pools, venues.row[venue], group, row, lower, upper)
    return pools.position[number].liquidity if number >= 0 else 0.0


@kernel
def unit_of(binding, reserves, venues, site, lower, upper):  # type: ignore[no-untyped-def]
    """Return the (token 0, token 1) of one share, or of one unit of liquidity in a range.

    `binding` begins with the state of concentrated liquidity pools.
    """
    _, venue, share = site
    row = venues.row[venue]
    if share < 0:
        return unit_amounts(binding, row, lower, upper)
    supply = max(reserves.supply[row], 1e-300)
    return (
        (reserves.reserve0[row] + reserves.fees0[row]) / supply,
        (reserves.reserve1[row] + reserves.fees1[row]) / supply,
    )


@kernel
def centered_range(pools, row, lower, upper):  # type: ignore[no-untyped-def]
    """Return a range of the same width around the present price; the full range stays."""
    pool = pools.pool[row]
    spacing = pool.tick_spacing
    most = MAX_TICK // spacing * spacing
    width = upper - lower
    if width >= 2 * most:
        return lower, upper
    middle = tick_at_sqrt_price(pool.sqrt_price) + spacing // 2
    lower = max((middle - width // 2) // spacing * spacing, -most)
    return lower, min(lower + width, most)


@kernel
def swap_to_fit(venues, venue, amount0, amount1, unit0, unit1):  # type: ignore[no-untyped-def]
    """Return (side, amount) to swap so that two amounts have the ratio of a unit; 0: near enough.

    At the pool's price: what a swap moves of it is left to the second look.
    """
    price = venues.price[venue]
    worth = amount0 * price + amount1
    share = unit0 * price / max(unit0 * price + unit1, 1e-300)
    excess = amount0 * price - share * worth
    if abs(excess) <= NEAR * worth:
        return 0, 0.0
    return (0, excess / price) if excess > 0.0 else (1, -excess)


@kernel
def swap_loss(venues, venue, side, amount):  # type: ignore[no-untyped-def]
    """Return (what comes out, share lost to fee and impact) of a swap; a share of 1: impossible."""
    if venues.is_halted[venue] != 0:
        return 0.0, 1.0
    q = quote(venues, venue, side, amount, 0.0)
    if q.status != OK or q.amount_in < amount * WHOLE:
        return 0.0, 1.0
    price = venues.price[venue] if side == 0 else 1.0 / venues.price[venue]
    return q.amount_out, 1.0 - q.amount_out / (amount * price)


@kernel
def moving_gas(box, venues, prices, venue, tip):  # type: ignore[no-untyped-def]
    """Return the gas cost of taking out, swapping and putting in again, USD."""
    chain = box.chains[venues.chain[venue]]
    verb = venues.first_verb[venue]
    gas = venues.gas[verb + REMOVE] + venues.gas[verb + SWAP] + venues.gas[verb + ADD]
    if chain.native < 0:
        return 0.0
    return gas * (chain.base_fee + tip) * prices.reference[chain.native]


@kernel
def share_of_pool(active, price, worth, unit0, unit1):  # type: ignore[no-untyped-def]
    """Return what share of the liquidity in range a worth, in token 1, would become in a range."""
    mine = worth / max(unit0 * price + unit1, 1e-300)
    return mine / max(active + mine, 1e-300)
