"""Pools of two to eight tokens: what they hold, their shares, and one venue for each pair of tokens.

A venue is an edge between two tokens, so a pool of n tokens is n (n - 1) / 2 venues: the one that a
scenario names trades the first two, and `pairs_of` names the others, as `NAME:A-B`. All of them are
rows of one table; `pool` is the row in which the reserves and shares are, and the account of that
row holds the money. A composite order may not meet one pool twice, as its legs are quoted before
any is executed.

What differs from pool to pool, its curve, is in the modules of the mechanisms. What does not is
here: adding and removing in proportion, claims, records, checks.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import Field

from sim.errors import InputError, InvariantError
from sim.kernel import F8, I8, F8x2, I8x2, columnar, handler, kernel, view_of
from sim.ledger import Ledger, burn, can_pay, mint, slot, transfer
from sim.orders import order_at
from sim.registry import Claim, Columns, Config, VenueSite
from sim.status import Status
from sim.venues import Venues

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.world import World

OK = int(Status.OK)
SLIPPAGE = int(Status.SLIPPAGE)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
NOT_ALLOWED = int(Status.NOT_ALLOWED)
MOST_TOKENS = 8
ADD_UNBALANCED, REMOVE_ONE, REMOVE_UNBALANCED, SWAP_OUT = range(3, 7)  # verbs after add and remove


@columnar
class TokenPools(NamedTuple):
    """All pools of a mechanism; row = venue, that is a pair of tokens of a pool."""

    reserves: F8x2  # float64, (n_rows, MOST_TOKENS), token units, in the row of the pool
    owed: F8x2  # float64, (n_rows, MOST_TOKENS), the protocol's fees, beside the reserves
    tokens: I8x2  # int64, (n_rows, MOST_TOKENS), ledger ids, -1: none
    n_tokens: I8  # int64, (n_rows,)
    pool: I8  # int64, (n_rows,), row of the pool that the pair belongs to
    first: I8  # int64, (n_rows,), place of token 0 of the pair in the pool
    second: I8  # int64, (n_rows,)
    fee: F8  # float64, (n_rows,), fraction
    supply: F8  # float64, (n_rows,), shares
    parameters: F8x2  # float64, (n_rows, MOST_TOKENS), of a trading function of one's own
    quantum: F8  # float64, (n_rows,), amounts are multiples of it; 0: real numbers
    venue: I8  # int64, (n_rows,)
    share: I8  # int64, (n_rows,), token of the shares
    group: I8  # int64, (n_rows,), account of the pool …
    account: I8  # int64, (n_rows,)
    work: F8x2  # float64, (4, MOST_TOKENS), amounts and balances under way; zero between calls


class PoolPair(Config):
    """Another pair of tokens of a pool of more than two: made with the pool, not by hand."""

    kind: str
    chain: str
    pool: str = Field(description="Name of the pool.")
    tokens: list[str] = Field(min_length=2, max_length=2, description="The two tokens.")


def pairs_of(name: str, config: Any) -> list[tuple[str, Config]]:
    """Return names and configs of the further pairs of a pool: all but its first two tokens."""
    return [
        (
            f"{name}:{a}-{b}",
            PoolPair(kind=config.kind, chain=config.chain, pool=name, tokens=[a, b]),
        )
        for a, b in list(itertools.combinations(config.tokens, 2))[1:]
    ]


def shares_of(name: str, config: Any) -> tuple[tuple[str, str], ...]:
    """Return (chain, symbol) of the shares that a pool issues; a further pair issues none."""
    return () if isinstance(config, PoolPair) else ((config.chain, f"LP-{name}"),)


# --- kernels -------------------------------------------------------------------------------------


@kernel
def ends_of(pools, row, side):  # type: ignore[no-untyped-def]
    """Return (pool, place of the token paid, place of the token received) of a swap."""
    if side == 0:
        return pools.pool[row], pools.first[row], pools.second[row]
    return pools.pool[row], pools.second[row], pools.first[row]


@kernel
def meets_again(venues, box, order):  # type: ignore[no-untyped-def]
    """Return whether a later leg of the same order is of the same pool."""
    slot_of, group, account = order.next_leg, venues.group[order.venue], venues.account[order.venue]
    found = False
    while slot_of >= 0:
        venue = box.orders[slot_of].venue
        found |= venues.group[venue] == group and venues.account[venue] == account
        slot_of = box.orders[slot_of].next_leg
    return found


@kernel
def settle_swap(pools, ledger, order, pool, i, j, amount, out, owed):  # type: ignore[no-untyped-def]
    """Pay a quoted swap and book it; `owed` of token j leaves the reserves for the protocol."""
    token_in, token_out = pools.tokens[pool, i], pools.tokens[pool, j]
    if slot(ledger, order.group, order.row, token_out) < 0:
        return NOT_ALLOWED
    group, account = pools.group[pool], pools.account[pool]
    status = transfer(ledger, order.group, order.row, group, account, token_in, amount)
    if status != OK:
        return status
    transfer(ledger, group, account, order.group, order.row, token_out, out)
    book_swap(pools, pool, i, j, amount, out, owed)
    order.amount_in, order.amount_out = amount, out
    order.token_in, order.token_out = token_in, token_out
    return OK


@kernel
def book_swap(pools, pool, i, j, amount, out, owed):  # type: ignore[no-untyped-def]
    """Book a swap in the reserves."""
    pools.reserves[pool, i] += amount
    pools.reserves[pool, j] -= out + owed
    pools.owed[pool, j] += owed


@kernel
def settle_add(pools, ledger, order, pool, shares):  # type: ignore[no-untyped-def]
    """Take the amounts that stand in `work[0]` from the sender, for new shares."""
    amounts, n = pools.work[0], pools.n_tokens[pool]
    for k in range(n):
        status = can_pay(ledger, order.group, order.row, pools.tokens[pool, k], amounts[k])
        if status != OK:
            return status
    status = mint(ledger, order.group, order.row, pools.share[pool], shares)
    if status != OK:
        return status
    group, account = pools.group[pool], pools.account[pool]
    for k in range(n):
        token = pools.tokens[pool, k]
        transfer(ledger, order.group, order.row, group, account, token, amounts[k])
        pools.reserves[pool, k] += amounts[k]
    pools.supply[pool] += shares
    return OK


@kernel
def settle_remove(pools, ledger, order, pool, shares):  # type: ignore[no-untyped-def]
    """Pay the amounts that stand in `work[0]` to the sender, for shares."""
    amounts, n = pools.work[0], pools.n_tokens[pool]
    for k in range(n):
        token = pools.tokens[pool, k]
        if amounts[k] > 0.0 and slot(ledger, order.group, order.row, token) < 0:
            return NOT_ALLOWED
    status = burn(ledger, order.group, order.row, pools.share[pool], shares)
    if status != OK:
        return status
    group, account = pools.group[pool], pools.account[pool]
    for k in range(n):
        token = pools.tokens[pool, k]
        if amounts[k] > 0.0:
            transfer(ledger, group, account, order.group, order.row, token, amounts[k])
            pools.reserves[pool, k] -= amounts[k]
    pools.supply[pool] -= shares
    return OK


@kernel
def clear_work(pools):  # type: ignore[no-untyped-def]
    """Leave the scratch rows at zero, as they must be between calls."""
    for k in range(pools.work.shape[0]):
        for j in range(pools.work.shape[1]):
            pools.work[k, j] = 0.0


@kernel
def put_pair(pools, row, amount0, amount1):  # type: ignore[no-untyped-def]
    """Write amounts of the two tokens of a pair to `work[0]`."""
    pools.work[0, pools.first[row]] = amount0
    pools.work[0, pools.second[row]] = amount1


@kernel
def share_of_pair(pools, row, amount0, amount1):  # type: ignore[no-untyped-def]
    """Return the share of the pool that at most these amounts of a pair are."""
    pool = pools.pool[row]
    held0 = pools.reserves[pool, pools.first[row]]
    held1 = pools.reserves[pool, pools.second[row]]
    return min(amount0 / held0, amount1 / held1)


@kernel
def is_amount(amount):  # type: ignore[no-untyped-def]
    """Return whether a number can be an amount: from 0 to below infinity."""
    return 0.0 <= amount < math.inf


@kernel
def add_in_proportion(pools, ledger, venues, order):  # type: ignore[no-untyped-def]
    """Add at most (amount, amount1) of the pair, and of the other tokens what the ratio asks."""
    row = venues.row[order.venue]
    pool = pools.pool[row]
    if not (0.0 < order.amount < math.inf and 0.0 < order.amount1 < math.inf):
        return BAD_AMOUNT
    part = share_of_pair(pools, row, order.amount, order.amount1)
    shares = part * pools.supply[pool]
    if not shares > 0.0:
        return BAD_AMOUNT
    if shares < order.limit:
        return SLIPPAGE
    for k in range(pools.n_tokens[pool]):
        pools.work[0, k] = part * pools.reserves[pool, k]
    amount0, amount1 = pools.work[0, pools.first[row]], pools.work[0, pools.second[row]]
    status = settle_add(pools, ledger, order, pool, shares)
    clear_work(pools)
    if status != OK:
        return status
    order.token_in, order.token_out = pools.tokens[pool, pools.first[row]], pools.share[pool]
    order.amount_in, order.amount1, order.amount_out = amount0, amount1, shares
    return OK


@kernel
def remove_in_proportion(pools, ledger, venues, order):  # type: ignore[no-untyped-def]
    """Give back `amount` shares for a part of every reserve."""
    row = venues.row[order.venue]
    pool = pools.pool[row]
    if not 0.0 < order.amount < pools.supply[pool]:
        return BAD_AMOUNT
    part = order.amount / pools.supply[pool]
    for k in range(pools.n_tokens[pool]):
        pools.work[0, k] = part * pools.reserves[pool, k]
    amount0, amount1 = pools.work[0, pools.first[row]], pools.work[0, pools.second[row]]
    status = settle_remove(pools, ledger, order, pool, order.amount)
    clear_work(pools)
    if status != OK:
        return status
    order.token_in, order.token_out = pools.share[pool], pools.tokens[pool, pools.first[row]]
    order.amount_in, order.amount_out, order.amount1 = order.amount, amount0, amount1
    return OK


unpack = view_of(TokenPools, Ledger, Venues)  # the first three of every mechanism of this kind


@handler
def add(binding, message):  # type: ignore[no-untyped-def]
    """Add in the pool's ratio; see `add_in_proportion`."""
    pools, ledger, venues = unpack(binding)
    return add_in_proportion(pools, ledger, venues, order_at(message))


@handler
def remove(binding, message):  # type: ignore[no-untyped-def]
    """Remove in the pool's ratio; see `remove_in_proportion`."""
    pools, ledger, venues = unpack(binding)
    return remove_in_proportion(pools, ledger, venues, order_at(message))


# --- building and reading ------------------------------------------------------------------------


def make_pools(n: int) -> TokenPools:
    """Return a table of `n` venues without tokens."""
    floats = {"fee", "supply", "quantum"}
    wide = {"reserves", "owed", "tokens", "parameters", "work"}
    columns: dict[str, Any] = {
        name: np.zeros(n, np.float64 if name in floats else np.int64)
        for name in TokenPools._fields
        if name not in wide
    }
    return TokenPools(
        reserves=np.zeros((n, MOST_TOKENS)),
        owed=np.zeros((n, MOST_TOKENS)),
        tokens=np.full((n, MOST_TOKENS), -1, np.int64),
        parameters=np.zeros((n, MOST_TOKENS)),
        work=np.zeros((4, MOST_TOKENS)),
        **columns,
    )


def place(world: World, sites: Sequence[VenueSite]) -> TokenPools:
    """Return the pools of a world without reserves, every pair at its pool.

    Raises
    ------
    InputError
        A pair names no pool of its kind, or tokens that the pool does not have.
    """
    state = make_pools(len(sites))
    mains = {site.name: site for site in sites if not isinstance(site.config, PoolPair)}
    for site in sites:
        row = site.row
        main = site
        if isinstance(site.config, PoolPair):
            if site.config.pool not in mains:
                raise InputError(f"{site.name}: there is no pool '{site.config.pool}' of its kind")
            main = mains[site.config.pool]
            if not set(site.tokens) <= set(main.tokens):
                raise InputError(f"{site.name}: {main.name} does not hold both of its tokens")
        else:
            state.tokens[row, : len(site.tokens)] = site.tokens
            state.n_tokens[row] = len(site.tokens)
            state.share[row] = site.own_tokens[0]
            state.fee[row] = site.config.fee
        state.pool[row], state.venue[row] = main.row, site.number
        state.first[row], state.second[row] = (main.tokens.index(t) for t in site.tokens[:2])
        state.group[row], state.account[row] = main.group, main.account
        world.venues.account[site.number] = main.account
    return state


def fill(
    world: World, state: TokenPools, site: VenueSite, amounts: np.ndarray, shares: float
) -> None:
    """Give a pool its first reserves, and their shares to the genesis account."""
    state.reserves[site.row, : len(amounts)] = amounts
    state.supply[site.row] = shares
    for token, amount in zip(site.tokens, amounts, strict=True):
        world.endow(site.group, site.account, token, float(amount))
    world.endow_genesis(site.own_tokens[0], shares)


def claims(world: World, own: Any) -> list[Claim]:
    """Return what the holders of shares own of the reserves, and what the pools owe them."""
    state: TokenPools = own[0]
    found = []
    for row in np.flatnonzero(state.n_tokens):
        held = [
            (int(state.tokens[row, k]), state.reserves[row, k]) for k in range(state.n_tokens[row])
        ]
        account, venue = np.array([state.account[row]], np.int64), int(state.venue[row])
        for group, rows, shares in world.holders(int(state.share[row])):
            part = shares / state.supply[row]
            found += [Claim(group, rows, token, part * amount, venue) for token, amount in held]
        for token, amount in held:
            found.append(Claim(int(state.group[row]), account, token, np.array([-amount]), venue))
    return found


def sample(world: World, own: Any) -> dict[str, Columns]:
    """Return the columns of the `pools` record: a row for each pair, of an equal part of the pool.

    A token of a pool of n is in n - 1 pairs: each shows that part of the reserve, so that pairs
    add up to the pool.
    """
    state: TokenPools = own[0]
    part = 1.0 / np.maximum(state.n_tokens[state.pool] - 1, 1)
    return {
        "pools": {
            "venue": state.venue,
            "reserve0": state.reserves[state.pool, state.first] * part,
            "reserve1": state.reserves[state.pool, state.second] * part,
            "liquidity": state.supply[state.pool],
        }
    }


def check(world: World, own: Any) -> None:
    """Check that every pool holds its reserves and what it owes to the protocol.

    Raises
    ------
    InvariantError
        One does not; names pool and amounts.
    """
    state: TokenPools = own[0]
    for row in np.flatnonzero(state.n_tokens):
        for k in range(state.n_tokens[row]):
            token = int(state.tokens[row, k])
            booked = float(state.reserves[row, k] + state.owed[row, k])
            held = world.balance(int(state.group[row]), int(state.account[row]), token)
            if not abs(held - booked) <= 1e-9 * (1.0 + float(world.ledger.turnover[token])):
                raise InvariantError(
                    f"{world.venue_names[state.venue[row]]} holds {held:.15g} "
                    f"{world.token_names[token]}, its books say {booked:.15g}"
                )
