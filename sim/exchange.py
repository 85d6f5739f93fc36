"""The reference market as a venue: agents trade with the outside world at the reference price.

It stands for centralised exchanges. The price is the reference mid, less half the spread and the
taker fee; a trade moves it by the linear impact of `sim.prices`.

Plain, a trade takes its tokens from the sender's wallet and pays into it, and a delay is an order
that arrives later. Where the market counts the confirmations of a chain, tokens of that chain come
by `deposit`, a transaction of the chain with its gas and its queue: they leave the wallet for the
market's account, remain the sender's claim, and are sold for the token named with it in the first
auction after the chain has built so many more blocks. Payment goes to the wallet at once. A market
with an inventory pays out no more than it has; what is gone comes back with a half-life.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from sim.chain import clock_at
from sim.errors import InputError, InvariantError
from sim.kernel import F8, I8, blank, columnar, handler, kernel, records, view_of
from sim.ledger import Ledger, balance_of, slot, transfer
from sim.mempool import Outbox, post
from sim.orders import DEPOSIT, FILL, TRADE, cause, order_at
from sim.outside import OUTSIDE, REFERENCE_MARKET
from sim.prices import Prices, update_prices
from sim.reference.conditions import PERMANENT, TRANSIENT
from sim.reference.impact import ImpactState, apply_trade, transient_at
from sim.registry import Channel, Claim, Config, Mechanism, VenueSite, Verb
from sim.status import Status
from sim.units import HOUR, TICKS_PER_SECOND
from sim.venues import Venues, draft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.world import World

OK = int(Status.OK)
SLIPPAGE = int(Status.SLIPPAGE)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
FULL = int(Status.FULL)
INSUFFICIENT_LIQUIDITY = int(Status.INSUFFICIENT_LIQUIDITY)
FROM_WALLET = -1  # in ExchangeState.confirmations
_FILL = cause(FILL)
_PATIENCE = 60 * TICKS_PER_SECOND  # of a delayed trade, after it has arrived

HELD = np.dtype(
    [
        ("amount", "f8"),  # tokens deposited
        ("order", "i8"),  # number of the order that brought them
        ("fill", "i8"),  # its fill
        ("height", "i8"),  # of its chain, from which they count
        ("group", "i8"),  # whose they are
        ("row", "i8"),
        ("token_in", "i8"),
        ("token_out", "i8"),  # for which they are to be sold
    ],
    align=True,
)


@columnar
class ExchangeState(NamedTuple):
    """The reference market: what it counts, what it holds for others, what it can pay out."""

    venue: I8  # int64, (n,), venues of this kind
    confirmations: I8  # int64, (n_tokens,), blocks of the token's chain, FROM_WALLET: none asked
    chain: I8  # int64, (n_tokens,), of each token
    stock: F8  # float64, (n_tokens,), what it can pay out as of `counted`, token units
    full: F8  # float64, (n_tokens,), what that returns to; inf: unlimited
    counted: I8  # int64, (n_tokens,), tick
    restock: F8  # float64, (1,), 1/tick, rate of that return
    promised: F8  # float64, (n_tokens,), of it, to the deposits of this auction
    held: records(HELD)  # type: ignore[valid-type]  # (capacity,), deposits, first `n_held`
    n_held: I8  # int64, (1,)
    permanent: F8  # float64, (n_assets,), log impact that trades would have had where it is cut …
    transient: F8  # float64, (n_assets,)
    decay: F8  # float64, (n_assets,), 1/tick
    permanent_per_usd: F8  # float64, (n_assets,), 0 where impact is not cut
    transient_per_usd: F8  # float64, (n_assets,)
    updated: I8  # int64, (n_assets,), tick
    absorbed: F8  # float64, (1,), USD that trades were paid more for it


Confirmations = Annotated[int, Field(ge=1, le=1_000_000)]


class ExchangeTerms(Config):
    """What the reference market counts and what it can pay; its prices are those of the assets."""

    deposits: dict[str, Confirmations] = Field(
        {},
        description="Confirmations after which a deposit counts, by chain. Tokens of a chain that "
        "is left out are traded from the wallet, with the senders' own delays.",
        json_schema_extra={"unit": "blocks"},
    )
    inventory_usd: float | None = Field(
        None,
        gt=0.0,
        description="What it can pay out of each token; unlimited when left out.",
        json_schema_extra={"unit": "USD"},
    )
    restock_half_life_hours: float = Field(
        1.0,
        gt=0.0,
        description="Half-life with which its inventory returns to that.",
        json_schema_extra={"unit": "h"},
    )


class ExchangeConfig(ExchangeTerms):
    """The reference market as a venue, on a chain of its own."""

    kind: Literal["reference_market"] = "reference_market"
    chain: str = "exchange"


@kernel
def quote_trade(prices, token_in, token_out, amount):  # type: ignore[no-untyped-def]
    """Return the amount of `token_out` for `amount` of `token_in`.

    Each side trades at its reference mid after half of the trade's own impact, half the spread and
    the taker fee.
    """
    sold, bought = prices.asset[token_in], prices.asset[token_out]
    usd = amount * prices.reference[token_in]
    own = prices.permanent_per_usd[sold] + prices.transient_per_usd[sold]
    own += prices.permanent_per_usd[bought] + prices.transient_per_usd[bought]
    keep = (1.0 - prices.half_spread[sold]) * (1.0 - prices.taker_fee[sold])
    keep *= (1.0 - prices.half_spread[bought]) * (1.0 - prices.taker_fee[bought])
    return usd / prices.reference[token_out] * keep * math.exp(-own * usd / 2.0)


@kernel
def book_impact(market, sold, bought, usd, out, now):  # type: ignore[no-untyped-def]
    """Book the impact that a trade would have where impact is cut, and what it is paid more."""
    gap = market.permanent[bought] + transient_at(market, bought, now)
    gap -= market.permanent[sold] + transient_at(market, sold, now)
    usd_then = usd * math.exp(market.permanent[sold] + transient_at(market, sold, now))
    for asset in (sold, bought):
        own = market.permanent_per_usd[asset] + market.transient_per_usd[asset]
        gap += own * usd_then / 2.0
    market.absorbed[0] += out * (1.0 - math.exp(-gap))
    apply_trade(market, sold, -usd_then, now)
    apply_trade(market, bought, usd_then, now)


# --- what it can pay, and what it holds ----------------------------------------------------------


@kernel
def stock_at(market, token, now):  # type: ignore[no-untyped-def]
    """Return what the market can pay out of a token at a tick; changes nothing."""
    full = market.full[token]
    if full == math.inf:
        return full
    missing = full - market.stock[token]
    return full - missing * math.exp(-market.restock[0] * (now - market.counted[token]))


@kernel
def move_stock(market, token, change, now):  # type: ignore[no-untyped-def]
    """Add what came in (> 0) or went out at a tick."""
    market.stock[token] = stock_at(market, token, now) + change
    market.counted[token] = now


@kernel
def held_of(market, order):  # type: ignore[no-untyped-def]
    """Return the entry that an order deposited, -1: none, or sold already."""
    for k in range(market.n_held[0]):
        if market.held[k].order == order:
            return k
    return -1


@kernel
def is_under_way(market, group, row, token):  # type: ignore[no-untyped-def]
    """Return whether somebody has a deposit that sells or buys a token."""
    for k in range(market.n_held[0]):
        entry = market.held[k]
        is_his = entry.group == group and entry.row == row
        if is_his and (entry.token_in == token or entry.token_out == token):
            return True
    return False


@kernel
def draft_sale(market, box, venues, venue, group, row, pair, delay, now):  # type: ignore[no-untyped-def]
    """Return an order, to be given its amount and posted, that sells on the reference market.

    A deposit on the token's chain where the market counts its confirmations, else a trade that
    arrives `delay` later.

    Parameters
    ----------
    pair : (token sold, token bought)
    """
    token_in, token_out = pair
    is_deposit = market.confirmations[token_in] != FROM_WALLET
    order = draft(box, venues, venue, DEPOSIT if is_deposit else TRADE, group, row, now)
    order.token_in, order.token_out = token_in, token_out
    if is_deposit:
        order.chain = market.chain[token_in]
        order.max_fee = 2.0 * box.chains[order.chain].base_fee
    else:
        order.arrival = now + delay
        order.expires = order.arrival + _PATIENCE
    return order


# --- verbs ---------------------------------------------------------------------------------------

unpack = view_of(ExchangeState, Ledger, Prices, Venues, Outbox)


@kernel
def refusal(ledger, prices, order):  # type: ignore[no-untyped-def]
    """Return OK, or why the market has no such trade."""
    token_in, token_out = order.token_in, order.token_out
    if token_in < 0 or token_out < 0 or token_in == token_out:
        return NOT_ALLOWED
    if prices.is_listed[token_in] == 0 or prices.is_listed[token_out] == 0:
        return NOT_ALLOWED
    if not 0.0 <= order.amount < math.inf:
        return BAD_AMOUNT
    if order.amount == 0.0:
        return ZERO_AMOUNT
    return OK if slot(ledger, order.group, order.row, token_out) >= 0 else NOT_ALLOWED


@handler
def _deposit(binding, message):  # type: ignore[no-untyped-def]
    """Deposit `amount` of token_in, to be sold for token_out once it counts."""
    market, ledger, prices, venues, _ = unpack(binding)
    order = order_at(message)
    status = refusal(ledger, prices, order)
    if status != OK:
        return status
    token = order.token_in
    if market.confirmations[token] == FROM_WALLET or order.chain != market.chain[token]:
        return NOT_ALLOWED
    k = market.n_held[0]
    if k == market.held.shape[0]:
        return FULL
    group, account = venues.group[order.venue], venues.account[order.venue]
    status = transfer(ledger, order.group, order.row, group, account, token, order.amount)
    if status != OK:
        return status
    entry = market.held[k]
    entry.amount, entry.order, entry.fill = order.amount, order.id, order.fill_id
    entry.height = order.height + market.confirmations[token]
    entry.group, entry.row = order.group, order.row
    entry.token_in, entry.token_out = token, order.token_out
    market.n_held[0] = k + 1
    order.amount_in = order.amount
    return OK


@kernel
def is_credited(market, box, k):  # type: ignore[no-untyped-def]
    """Return whether a deposit has its confirmations; its own block is the first of them."""
    entry = market.held[k]
    return box.chains[market.chain[entry.token_in]].height >= entry.height


@kernel
def take_held(market, k):  # type: ignore[no-untyped-def]
    """Strike a deposit from the table; the last one takes its place."""
    last = market.n_held[0] - 1
    if k < last:
        market.held[k] = market.held[last]
    market.n_held[0] = last


@handler
def _trade(binding, message):  # type: ignore[no-untyped-def]
    """Sell `amount` of token_in for at least `limit` of token_out; `a`: the deposit it sells."""
    market, ledger, prices, venues, box = unpack(binding)
    order = order_at(message)
    status = refusal(ledger, prices, order)
    if status != OK:
        return status
    token_in, token_out = order.token_in, order.token_out
    group, row, amount = order.group, order.row, order.amount
    k = -1
    if order.a == 0:
        if market.confirmations[token_in] != FROM_WALLET:
            return NOT_ALLOWED
    else:
        k = held_of(market, order.a)
        if k < 0 or not is_credited(market, box, k):
            return NOT_ALLOWED
        entry = market.held[k]
        is_his = entry.group == group and entry.row == row and entry.token_in == token_in
        if not is_his or entry.amount != order.amount:
            return NOT_ALLOWED
        group, row = venues.group[order.venue], venues.account[order.venue]
        amount = min(amount, balance_of(ledger, group, row, token_in))  # sums of deposits round
    out = quote_trade(prices, token_in, token_out, amount)
    if out < order.limit:
        return SLIPPAGE
    if out > stock_at(market, token_out, order.time):
        return INSUFFICIENT_LIQUIDITY
    status = transfer(ledger, group, row, OUTSIDE, REFERENCE_MARKET, token_in, amount)
    if status != OK:
        return status
    transfer(ledger, OUTSIDE, REFERENCE_MARKET, order.group, order.row, token_out, out)
    if k >= 0:
        take_held(market, k)
    move_stock(market, token_in, amount, order.time)
    move_stock(market, token_out, -out, order.time)
    usd = amount * prices.reference[token_in]
    prices.traded[prices.asset[token_in]] += usd
    prices.traded[prices.asset[token_out]] += usd
    sold, bought = prices.asset[token_in], prices.asset[token_out]
    paid = out * prices.reference[token_out]
    book_impact(market, sold, bought, usd, paid, order.time)
    apply_trade(prices, prices.asset[token_in], -usd, order.time)
    apply_trade(prices, prices.asset[token_out], usd, order.time)
    update_prices(prices, order.time)
    order.amount_in, order.amount_out = amount, out
    return OK


@handler
def react(binding, message):  # type: ignore[no-untyped-def]
    """Before each auction, offer every deposit that counts, if it can be paid."""
    market, _, prices, venues, box = unpack(binding)
    clock = clock_at(message)
    venue = market.venue[0]
    if market.n_held[0] == 0 or clock.chain != venues.chain[venue]:
        return OK
    market.promised[:] = 0.0
    for k in range(market.n_held[0]):
        entry = market.held[k]
        if not is_credited(market, box, k):
            continue
        out = quote_trade(prices, entry.token_in, entry.token_out, entry.amount)
        if market.promised[entry.token_out] + out > stock_at(market, entry.token_out, clock.now):
            continue  # waits for the inventory
        market.promised[entry.token_out] += out
        order = draft(box, venues, venue, TRADE, entry.group, entry.row, clock.now)
        order.token_in, order.token_out = entry.token_in, entry.token_out
        order.amount, order.a, order.parent = entry.amount, entry.order, _FILL + entry.fill
        order.expires = clock.now
        post(box, order)
    return OK


# --- building and reading ------------------------------------------------------------------------


def make(world: World, sites: Sequence[VenueSite]) -> ExchangeState:
    """Return the reference market of a world.

    Raises
    ------
    InputError
        It counts confirmations of a chain that is not there.
    """
    config = sites[0].config
    known = [name for name in world.chain_names if name != config.chain]
    for name in config.deposits:
        if name not in known:
            raise InputError(
                f"reference_market.deposits: there is no chain '{name}'; the chains are: "
                f"{', '.join(known)}"
            )
    chains = [token.chain for token in world.tokens]
    full = np.full(len(chains), np.inf)
    if config.inventory_usd is not None:
        is_priced = world.prices.fundamental > 0.0
        full[is_priced] = config.inventory_usd / world.prices.fundamental[is_priced]
    return ExchangeState(
        venue=np.array([site.number for site in sites], np.int64),
        confirmations=np.array([config.deposits.get(c, FROM_WALLET) for c in chains], np.int64),
        chain=np.array([world.chain(c) for c in chains], np.int64),
        stock=full.copy(),
        full=full,
        counted=np.zeros(len(chains), np.int64),
        restock=np.array([math.log(2.0) / (config.restock_half_life_hours * HOUR)])
        / TICKS_PER_SECOND,
        promised=np.zeros(len(chains)),
        held=blank(256, HELD),
        n_held=np.zeros(1, np.int64),
        **{name: np.zeros_like(getattr(world.prices, name)) for name in ImpactState._fields},
        absorbed=np.zeros(1),
    )


def grow(state: ExchangeState) -> ExchangeState | None:
    """Return a state with twice the room for deposits when more than half is taken."""
    n, room = int(state.n_held[0]), len(state.held)
    if 2 * n <= room:
        return None
    held = blank(2 * room, HELD)
    held[:n] = state.held[:n]
    return state._replace(held=held)


def claims(world: World, state: ExchangeState) -> list[Claim]:
    """Return the deposits of each account, and the market's debt for them."""
    held = state.held[: int(state.n_held[0])]
    venue = int(state.venue[0])
    found = []
    for token in np.unique(held["token_in"]):
        mine = held[held["token_in"] == token]
        for group in np.unique(mine["group"]):
            part = mine[mine["group"] == group]
            found.append(Claim(int(group), part["row"].copy(), int(token), part["amount"].copy()))
        own = np.array([world.venues.account[venue]])
        debt = np.array([-mine["amount"].sum()])
        found.append(Claim(int(world.venues.group[venue]), own, int(token), debt))
    return found


def check(world: World, state: ExchangeState) -> None:
    """Check that the market holds what was deposited.

    Raises
    ------
    InvariantError
        It does not; names the token.
    """
    held = state.held[: int(state.n_held[0])]
    venue = int(state.venue[0])
    group, account = int(world.venues.group[venue]), int(world.venues.account[venue])
    for token, name in enumerate(world.token_names):
        owed = float(held["amount"][held["token_in"] == token].sum())
        has = world.balance(group, account, token)
        largest = max(owed, float(world.ledger.turnover[token]))
        if abs(has - owed) > 4 * 2.0**-52 * (1 + int(world.ledger.n_moves[token])) * largest:
            raise InvariantError(
                f"reference_market: holds {has!r} of {name}, deposits are {owed!r}"
            )


# --- without impact ------------------------------------------------------------------------------


def _has_impact(world: World, market: ExchangeState) -> bool:
    return bool(np.any(world.prices.plain[:, [PERMANENT, TRANSIENT]])) or bool(
        np.any(market.permanent_per_usd) or np.any(market.transient_per_usd)
    )


def _cut_impact(world: World, market: ExchangeState) -> None:
    """Let the market pay as if trades moved no price; keep the coefficients to count by how much.

    Depth counts as that of time 0.
    """
    prices = world.prices
    market.decay[:] = prices.decay
    for name in ("permanent_per_usd", "transient_per_usd"):
        getattr(market, name)[:] = getattr(prices, name)
        getattr(prices, name)[:] = 0.0
    prices.plain[:, [PERMANENT, TRANSIENT]] = 0.0


IMPACT = Channel(
    "impact", _cut_impact, _has_impact, lambda world, market: float(market.absorbed[0])
)

MECHANISM = Mechanism(
    kind="reference_market",
    config=ExchangeConfig,
    verbs=(Verb("trade", _trade, 21_000), Verb("deposit", _deposit, 60_000)),
    states=unpack.states,
    make=make,
    react=react,
    claims=claims,
    grow=grow,
    check=check,
    channels=(IMPACT,),
)


def exchange_of(world: World) -> int:
    """Return the venue number of the reference market, -1 where the world has none."""
    state: Any = world.states.get(MECHANISM.kind)
    return int(state.venue[0]) if state is not None and len(state.venue) else -1
