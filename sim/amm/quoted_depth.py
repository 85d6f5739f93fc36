"""Quoted depth: many pools nobody models one by one, as one impact curve that refills.

With u the depth in use (units of token 0 sold, net; below 0: bought), N all that was ever sold net,
and C the cost of the curve (`sim.amm.depth_curve`, C' = m), the marginal price is

    p = anchor (1 - sign(u) m(|u|) - k N)

and selling q gives anchor (q - C(|u + q|) + C(|u|) - k (N q + q^2 / 2)). Buying inverts that. What
a trade uses refills exponentially, u halving in each half-life, so that the price returns to the
anchor: the reference price of the pair, or a mid of the venue's own that only the linear permanent
impact k moves. Parts of a trade at one time cost what the whole costs. From rest no round trip
gains while the anchor stands: trades add C(|u|) to what is lost and refilling never gives it back
(Alfonsi and Schied 2010), and linear permanent impact adds k N^2 / 2, which is 0 at the end. The
inventory of each side is finite and belongs to outside makers; refilling depth does not refill it.

Differences from real markets: one curve for both directions, no provider's decision behind it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from sim.amm.depth_curve import cost_at, curve_of, impact_at, power_law
from sim.chain import clock_at
from sim.errors import InputError, InvariantError
from sim.kernel import F8, I8, F8x2, columnar, handler, kernel, view_of
from sim.ledger import Ledger, slot, transfer
from sim.orders import order_at, quote_at
from sim.prices import Prices
from sim.registry import Columns, Config, Mechanism, VenueSite, Verb
from sim.status import Status
from sim.units import ticks
from sim.venues import Venues, show_price

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.world import World

OK = int(Status.OK)
SLIPPAGE = int(Status.SLIPPAGE)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
PRICE_LIMIT = int(Status.PRICE_LIMIT)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
INSUFFICIENT_LIQUIDITY = int(Status.INSUFFICIENT_LIQUIDITY)
REFERENCE, OWN = 0, 1  # anchors
_CUTS = 80  # of a bisection: the depth over 2^80 is below rounding
_MOST_STEPS = 60  # of Newton's method, which converges from one side
_LN2 = 0.6931471805599453
_ENOUGH = 1e-15  # relative step at which it stops


@columnar
class QuotedDepthState(NamedTuple):
    """All quoted depths; row = venue."""

    start: F8x2  # float64, (n, N_SEGMENTS), token 0, where each segment of the curve starts
    low: F8x2  # float64, (n, N_SEGMENTS), marginal impact there, fraction
    slope: F8x2  # float64, (n, N_SEGMENTS), fraction per token 0
    before: F8x2  # float64, (n, N_SEGMENTS), cost up to there, token 0
    depth: F8  # float64, (n,), token 0, where the curve ends
    permanent: F8  # float64, (n,), fraction of the anchor per token 0 sold net
    half_life: F8  # float64, (n,), ticks
    used: F8  # float64, (n,), token 0 sold net and not refilled, as of `since`
    since: I8  # int64, (n,), tick
    sold: F8  # float64, (n,), token 0 sold net since the start
    inventory0: F8  # float64, (n,), token units
    inventory1: F8  # float64, (n,), token units
    fee: F8  # float64, (n,), fraction of amount_in
    anchor: I8  # int64, (n,), REFERENCE or OWN
    mid: F8  # float64, (n,), token 1 per token 0, anchor of its own
    venue: I8  # int64, (n,)
    token0: I8  # int64, (n,)
    token1: I8  # int64, (n,)
    group: I8  # int64, (n,), account of the venue …
    account: I8  # int64, (n,)


class PointsCurve(Config):
    """Impact at given amounts, linear in between."""

    kind: Literal["points"]
    points: list[Annotated[list[float], Field(min_length=2, max_length=2)]] = Field(
        min_length=1,
        max_length=63,
        description="Pairs of an amount of token 0 and the impact of trading it at once.",
        json_schema_extra={"unit": "token 0, bp"},
    )
    measured: Literal["average", "marginal"] = Field(
        "average",
        description="Whether impacts are those of the whole amount, as quotes show, or of its last "
        "unit.",
    )


class PowerLawCurve(Config):
    """Impact that grows with a power of the amount."""

    kind: Literal["power_law"]
    amount: float = Field(
        gt=0.0,
        description="An amount of token 0, traded at once.",
        json_schema_extra={"unit": "token 0"},
    )
    impact_bps: float = Field(
        gt=0.0,
        lt=10_000.0,
        description="Impact of that amount.",
        json_schema_extra={"unit": "bp"},
    )
    exponent: float = Field(gt=0.0, le=3.0, description="Power of the amount.")
    depth: float = Field(
        gt=0.0,
        description="Amount of token 0 at which the depth ends.",
        json_schema_extra={"unit": "token 0"},
    )
    measured: Literal["average", "marginal"] = Field(
        "average",
        description="Whether the impact is that of the whole amount, or of its last unit.",
    )


class QuotedDepthConfig(Config):
    """Two tokens of one chain, traded along an impact curve that refills."""

    kind: Literal["quoted_depth"]
    chain: str = Field(description="Chain on which it trades.")
    tokens: Annotated[
        list[str],
        Field(min_length=2, max_length=2, description="Token 0 and token 1; price is 1 per 0."),
    ]
    curve: Annotated[PointsCurve | PowerLawCurve, Field(discriminator="kind")] = Field(
        description="How the price moves with what is traded, either way."
    )
    anchor: Literal["reference", "own"] = Field(
        "reference",
        description="What the price refills to: the reference price of the pair, or a mid of its "
        "own that stays where it starts but for permanent impact.",
    )
    mid: float | None = Field(
        None,
        gt=0.0,
        description="Own mid at the start; the fundamental price of the pair when left out.",
        json_schema_extra={"unit": "token 1 per token 0"},
    )
    permanent_bps: float = Field(
        0.0,
        ge=0.0,
        description="Fall of an own mid for each token 0 sold, linear.",
        json_schema_extra={"unit": "bp per token 0"},
    )
    refill_half_life_seconds: float = Field(
        gt=0.0,
        description="Time in which half of the depth in use refills.",
        json_schema_extra={"unit": "s"},
    )
    fee: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Share of the input that the makers keep.",
        json_schema_extra={"unit": "fraction of amount in"},
    )
    inventory_usd: float = Field(
        gt=0.0,
        le=1e15,
        description="Value of each token that the makers hold at the start.",
        json_schema_extra={"unit": "USD"},
    )


# --- kernels: prices are relative to the anchor -------------------------------------------------


@kernel
def marginal(depth, row, used, sold):  # type: ignore[no-untyped-def]
    """Return the marginal price over the anchor when `used` is in use and `sold` was sold net."""
    impact = impact_at(depth.start, depth.low, depth.slope, row, abs(used))
    return 1.0 - math.copysign(impact, used) - depth.permanent[row] * sold


@kernel
def proceeds(depth, row, used, sold, amount):  # type: ignore[no-untyped-def]
    """Return what selling an amount of token 0 brings, over the anchor; below 0 for a purchase."""
    start, low, slope, before = depth.start, depth.low, depth.slope, depth.before
    cost = cost_at(start, low, slope, before, row, abs(used + amount))
    cost -= cost_at(start, low, slope, before, row, abs(used))
    return amount - cost - depth.permanent[row] * (sold + 0.5 * amount) * amount


@kernel
def bought_for(depth, row, used, sold, paid):  # type: ignore[no-untyped-def]
    """Return the token 0 that `paid` (token 1 over the anchor) buys: Newton's method from above.

    The price rises with the amount, so that the first guess is too much and each step stays so.
    """
    amount = paid / marginal(depth, row, used, sold)
    for _ in range(_MOST_STEPS):
        over = -proceeds(depth, row, used, sold, -amount) - paid
        step = over / marginal(depth, row, used - amount, sold - amount)
        amount -= step
        if not abs(step) > _ENOUGH * amount:
            break
    return amount


@kernel
def amount_to(depth, row, side, used, sold, level):  # type: ignore[no-untyped-def]
    """Return the token 0 sold (side 0) or bought until the marginal price over the anchor is there.

    At most what is left of the curve.
    """
    sign = 1.0 if side == 0 else -1.0
    low, high = 0.0, depth.depth[row] - sign * used
    for _ in range(_CUTS):
        middle = 0.5 * (low + high)
        price = marginal(depth, row, used + sign * middle, sold + sign * middle)
        is_short = price > level if side == 0 else price < level
        low, high = (middle, high) if is_short else (low, middle)
        if not low < 0.5 * (low + high) < high:
            break
    return low


@kernel
def used_at(depth, row, now):  # type: ignore[no-untyped-def]
    """Return the depth in use at a tick, token 0."""
    if depth.used[row] == 0.0:
        return 0.0
    return depth.used[row] * math.exp(-_LN2 * (now - depth.since[row]) / depth.half_life[row])


@kernel
def anchor_of(depth, prices, row):  # type: ignore[no-untyped-def]
    """Return the price at rest, permanent impact apart: token 1 per token 0."""
    if depth.anchor[row] == OWN:
        return depth.mid[row]
    return prices.reference[depth.token0[row]] / prices.reference[depth.token1[row]]


@kernel
def quote_swap(depth, row, anchor, used, side, amount, price_limit):  # type: ignore[no-untyped-def]
    """Return (status, amount in, amount out, fee paid, token 0 sold net); changes nothing.

    BAD_AMOUNT, ZERO_AMOUNT, PRICE_LIMIT, or INSUFFICIENT_LIQUIDITY where curve or inventory end.
    """
    if not 0.0 <= amount < math.inf:
        return BAD_AMOUNT, 0.0, 0.0, 0.0, 0.0
    sold, keep = depth.sold[row], 1.0 - depth.fee[row]
    if not marginal(depth, row, used, sold) > 0.0:
        return INSUFFICIENT_LIQUIDITY, 0.0, 0.0, 0.0, 0.0
    if price_limit > 0.0:
        most = amount_to(depth, row, side, used, sold, price_limit / anchor)
        if most <= 0.0:
            return PRICE_LIMIT, 0.0, 0.0, 0.0, 0.0
        if side != 0:
            most = -proceeds(depth, row, used, sold, -most) * anchor
        amount = min(amount, most / keep)
    if amount == 0.0:
        return ZERO_AMOUNT, 0.0, 0.0, 0.0, 0.0
    fee_paid = amount * depth.fee[row]
    moved = amount - fee_paid
    if side != 0:
        left = depth.depth[row] + used
        if not moved / anchor <= -proceeds(depth, row, used, sold, -left):
            return INSUFFICIENT_LIQUIDITY, 0.0, 0.0, 0.0, 0.0
        moved = -bought_for(depth, row, used, sold, moved / anchor)
    is_beyond = abs(used + moved) > depth.depth[row]
    if is_beyond or not marginal(depth, row, used + moved, sold + moved) > 0.0:
        return INSUFFICIENT_LIQUIDITY, 0.0, 0.0, 0.0, 0.0
    out = proceeds(depth, row, used, sold, moved) * anchor if side == 0 else -moved
    held = depth.inventory1[row] if side == 0 else depth.inventory0[row]
    if not 0.0 < out <= held:
        return INSUFFICIENT_LIQUIDITY, 0.0, 0.0, 0.0, 0.0
    return OK, amount, out, fee_paid, moved


@kernel
def execute_swap(depth, row, side, used, amount, out, moved, now):  # type: ignore[no-untyped-def]
    """Book a quoted swap."""
    depth.used[row], depth.since[row] = used + moved, now
    depth.sold[row] += moved
    if side == 0:
        depth.inventory0[row] += amount
        depth.inventory1[row] -= out
    else:
        depth.inventory1[row] += amount
        depth.inventory0[row] -= out


# --- handlers ------------------------------------------------------------------------------------

unpack = view_of(QuotedDepthState, Ledger, Venues, Prices)


@handler
def _quote(binding, message):  # type: ignore[no-untyped-def]
    depth, _, venues, prices = unpack(binding)
    q = quote_at(message)
    row = venues.row[q.venue]
    anchor, used = anchor_of(depth, prices, row), used_at(depth, row, prices.now[0])
    status, q.amount_in, q.amount_out, q.fee_paid, moved = quote_swap(
        depth, row, anchor, used, q.side, q.amount, q.price_limit
    )
    q.price_after = anchor * marginal(depth, row, used + moved, depth.sold[row] + moved)
    return status


@handler
def _quote_order(binding, message):  # type: ignore[no-untyped-def]
    depth, _, venues, prices = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    anchor, used = anchor_of(depth, prices, row), used_at(depth, row, prices.now[0])
    status, order.amount_in, order.amount_out, order.fee_paid, _ = quote_swap(
        depth, row, anchor, used, order.a, order.amount, order.price_limit
    )
    return SLIPPAGE if status == OK and order.amount_out < order.limit else status


@handler
def _swap(binding, message):  # type: ignore[no-untyped-def]
    depth, ledger, venues, prices = unpack(binding)
    order = order_at(message)
    row, now = venues.row[order.venue], prices.now[0]
    anchor, used = anchor_of(depth, prices, row), used_at(depth, row, now)
    status, amount, out, fee_paid, moved = quote_swap(
        depth, row, anchor, used, order.a, order.amount, order.price_limit
    )
    if status != OK:
        return status
    if out < order.limit:
        return SLIPPAGE
    if slot(ledger, order.group, order.row, order.token_out) < 0:
        return NOT_ALLOWED
    group, account = depth.group[row], depth.account[row]
    status = transfer(ledger, order.group, order.row, group, account, order.token_in, amount)
    if status != OK:
        return status
    transfer(ledger, group, account, order.group, order.row, order.token_out, out)
    execute_swap(depth, row, order.a, used, amount, out, moved, now)
    order.amount_in, order.amount_out, order.fee_paid = amount, out, fee_paid
    order.price_after = anchor * marginal(depth, row, depth.used[row], depth.sold[row])
    show_price(venues, order.venue, order.price_after, order.time)
    return OK


@handler
def _refill(binding, message):  # type: ignore[no-untyped-def]
    """Before each block of its chain: show the price that refilling and the anchor have moved."""
    depth, _, venues, prices = unpack(binding)
    clock = clock_at(message)
    for row in range(depth.venue.shape[0]):
        venue = depth.venue[row]
        if venues.chain[venue] != clock.chain:
            continue
        used = used_at(depth, row, clock.now)
        price = anchor_of(depth, prices, row) * marginal(depth, row, used, depth.sold[row])
        if price != venues.price[venue]:
            show_price(venues, venue, price, clock.now)
    return OK


# --- declaration ---------------------------------------------------------------------------------


def make_curve(config: PointsCurve | PowerLawCurve) -> tuple[np.ndarray, float]:
    """Return the segments of a configured curve, float64, (4, N_SEGMENTS), and where it ends."""
    is_average = config.measured == "average"
    if config.kind == "points":
        amounts = [amount for amount, _ in config.points]
        impacts = [bps * 1e-4 for _, bps in config.points]
        return curve_of(amounts, impacts, is_average=is_average), amounts[-1]
    impact = config.impact_bps * 1e-4
    made = power_law(config.amount, impact, config.exponent, config.depth, is_average=is_average)
    return made, config.depth


def make_state(n: int) -> QuotedDepthState:
    """Return a table of `n` quoted depths, all zero but for the curves, which have no segments."""
    words = {"since", "anchor", "venue", "token0", "token1", "group", "account"}
    columns: dict[str, Any] = {
        name: np.zeros(n, np.int64 if name in words else np.float64)
        for name in QuotedDepthState._fields[4:]
    }
    flat = curve_of([1.0], [0.0], is_average=False)
    curves = (np.tile(part, (n, 1)) for part in flat)
    return QuotedDepthState(*curves, **columns)


def _put_curve(state: QuotedDepthState, row: int, config: PointsCurve | PowerLawCurve) -> None:
    segments, state.depth[row] = make_curve(config)
    columns = (state.start, state.low, state.slope, state.before)
    for column, part in zip(columns, segments, strict=True):
        column[row] = part


def make(world: World, sites: Sequence[VenueSite]) -> QuotedDepthState:
    """Return the quoted depths of a world, at rest, with inventories of equal value."""
    state = make_state(len(sites))
    for site in sites:
        row, config = site.row, site.config
        usd = [float(world.prices.fundamental[token]) for token in site.tokens]
        if min(usd) <= 0.0:
            raise InputError(f"{site.name}: both of its tokens need a reference price")
        if config.anchor == "reference" and (config.mid is not None or config.permanent_bps > 0.0):
            raise InputError(
                f"{site.name}: mid and permanent_bps belong to an own anchor; set anchor: own, or "
                "leave them out"
            )
        try:
            _put_curve(state, row, config.curve)
        except InputError as error:
            raise InputError(f"venues.{site.name}.curve: {error}") from None
        state.permanent[row] = config.permanent_bps * 1e-4
        state.half_life[row] = ticks(config.refill_half_life_seconds)
        state.anchor[row] = OWN if config.anchor == "own" else REFERENCE
        state.mid[row] = config.mid if config.mid is not None else usd[0] / usd[1]
        state.fee[row], state.venue[row] = config.fee, site.number
        state.token0[row], state.token1[row] = site.tokens
        state.group[row], state.account[row] = site.group, site.account
        state.inventory0[row] = config.inventory_usd / usd[0]
        state.inventory1[row] = config.inventory_usd / usd[1]
        world.endow(site.group, site.account, site.tokens[0], float(state.inventory0[row]))
        world.endow(site.group, site.account, site.tokens[1], float(state.inventory1[row]))
        world.venues.fee[site.number] = config.fee
        world.venues.price[site.number] = anchor_of.py_func(state, world.prices, row)
    return state


def sample(world: World, state: QuotedDepthState) -> dict[str, Columns]:
    """Return the columns of the `pools` record; their liquidity is the depth not in use."""
    used = np.array([used_at(state, row, world.now) for row in range(len(state.venue))])
    return {
        "pools": {
            "venue": state.venue,
            "reserve0": state.inventory0,
            "reserve1": state.inventory1,
            "liquidity": state.depth - np.abs(used),
        }
    }


def check(world: World, state: QuotedDepthState) -> None:
    """Check that every venue holds its inventory.

    Raises
    ------
    InvariantError
        One does not; names venue and amounts.
    """
    for row, venue in enumerate(state.venue):
        for token, amount in (
            (int(state.token0[row]), float(state.inventory0[row])),
            (int(state.token1[row]), float(state.inventory1[row])),
        ):
            held = world.balance(int(state.group[row]), int(state.account[row]), token)
            if abs(held - amount) > 1e-9 * (1.0 + float(world.ledger.turnover[token])):
                raise InvariantError(
                    f"{world.venue_names[venue]} holds {held:.15g} {world.token_names[token]}, its "
                    f"inventory is {amount:.15g}"
                )


MECHANISM = Mechanism(
    role="outside",
    kind="quoted_depth",
    config=QuotedDepthConfig,
    verbs=(Verb("swap", _swap, 150_000, _quote_order),),
    states=unpack.states,
    make=make,
    quote=_quote,
    react=_refill,
    sample=sample,
    check=check,
)
