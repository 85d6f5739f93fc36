"""Acting in a built world from Python: orders, bids, prices of now.

What Python asks of compiled code crosses as an address and numbers; every index is checked here,
for a wrong one would write anywhere.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from sim.chain import plain_bid
from sim.errors import InputError
from sim.kernel import kernel, view_of
from sim.mempool import Outbox, post, replace_bid, resort
from sim.plan import number_of
from sim.prices import Prices, update_prices
from sim.units import GWEI, ticks
from sim.venues import Venues, draft

if TYPE_CHECKING:
    from sim.world import World

_FINITE = math.nextafter(math.inf, 0.0)
_own = view_of(Outbox, Venues)
_own_box = view_of(Outbox)
_own_prices = view_of(Prices)


class OrderTerms(TypedDict, total=False):
    """What an order may say; all of it may be left out."""

    amount: float  # of the verb; a swap pays at most this
    amount1: float  # of token 1, where a verb takes two
    limit: float  # least that must come out
    price_limit: float  # price that a swap may move the pool to
    a: int  # of the verb; the side of a swap: 0 pays token 0
    b: int  # of the verb
    token_in: str | None  # "chain/symbol", for a trade on the reference market
    token_out: str | None
    chain: str | None  # where to send it; the venue's own, but a bridge also takes its other chain
    tip_gwei: float  # 0: no tip
    max_fee_gwei: float  # 0: twice the base fee of now
    expires_in: float  # seconds; 600 when left out
    parent: int  # cause


_AMOUNTS = ("amount", "amount1", "limit", "price_limit")
_DEFAULTS: dict[str, Any] = dict.fromkeys(OrderTerms.__annotations__, 0)
_DEFAULTS |= {"token_in": None, "token_out": None, "chain": None, "expires_in": 600.0}


@kernel(inline=False)
def refresh(binding, now):  # type: ignore[no-untyped-def]
    """Bring prices to now; an address is cheap to pass from Python, a wide state is not."""
    (prices,) = _own_prices(binding)
    update_prices(prices, now)


@kernel(inline=False)
def resort_chain(binding, chain):  # type: ignore[no-untyped-def]
    """Sort the mempool of a chain anew, after its rule changed."""
    (box,) = _own_box(binding)
    resort(box, chain)


@kernel(inline=False)
def replace_order(binding, chain, number, tip, max_fee):  # type: ignore[no-untyped-def]
    """Raise the bid of an order that waits; returns the status."""
    (box,) = _own_box(binding)
    return replace_bid(box, chain, number, tip, max_fee)


@kernel(inline=False)
def _submit(binding, venue, verb, group, row, now, numbers, words):  # type: ignore[no-untyped-def]
    """Draft and post one order."""
    box, venues = _own(binding)
    order = draft(box, venues, venue, verb, group, row, now)
    if words[6] >= 0:
        order.chain = words[6]
        order.max_fee = plain_bid(box.chains[order.chain])
    order.amount, order.amount1, order.limit, order.price_limit = (
        numbers[0],
        numbers[1],
        numbers[2],
        numbers[3],
    )
    order.tip = numbers[4]
    order.max_fee += order.tip
    if numbers[5] > 0.0:
        order.max_fee = numbers[5]
    order.a, order.b, order.parent = words[0], words[1], words[2]
    order.token_in, order.token_out = words[3], words[4]
    order.expires = words[5]
    return post(box, order)


def submit(
    world: World, binding: int, act: tuple[str, str], account: tuple[str, int], given: OrderTerms
) -> int:
    """Submit an order; returns its number, or -1 when the mempool is full.

    Parameters
    ----------
    binding : address of the world's outbox and venues
    act : names of venue and verb
    account : name of the population, and row in it

    Raises
    ------
    InputError
        A name or row does not exist, or a number is out of range; says what is allowed.
    """
    number = world.venue(act[0])
    mechanism = world.plan.venues[number].mechanism
    verbs = [verb.name for verb in mechanism.verbs]
    offset = number_of(act[1], verbs, f"verb of {mechanism.kind}")
    group, row = world.group(account[0]), account[1]
    terms = _checked(given)
    _check_whole(row=row)
    if not 0 <= row < world.group_rows[group]:
        raise InputError(
            f"{account[0]} has no row {row}; rows run from 0 to {world.group_rows[group] - 1}"
        )
    sold, bought = (_token(world, terms[name]) for name in ("token_in", "token_out"))
    if mechanism.quote is not None and act[1] == "swap":
        if terms["a"] not in (0, 1):
            raise InputError(f"the side of a swap is {terms['a']}; it must be 0 or 1")
        pair = int(world.venues.token0[number]), int(world.venues.token1[number])
        sold, bought = pair[terms["a"]], pair[1 - terms["a"]]
    bid = terms["tip_gwei"] * GWEI, terms["max_fee_gwei"] * GWEI
    numbers = np.array([*(terms[name] for name in _AMOUNTS), *bid], float)
    expires = world.now + ticks(terms["expires_in"])
    on_chain = -1 if terms["chain"] is None else world.chain(terms["chain"])
    words = [terms["a"], terms["b"], terms["parent"], sold, bought, expires, on_chain]
    return int(
        _submit(binding, number, offset, group, row, world.now, numbers, np.array(words, np.int64))
    )


def _checked(given: OrderTerms) -> dict[str, Any]:
    """Return all terms of an order; refuse what is unknown or out of range."""
    for name in given.keys() - _DEFAULTS.keys():
        raise InputError(f"an order has no '{name}'; it has {', '.join(_DEFAULTS)}")
    terms: dict[str, Any] = {**_DEFAULTS, **given}
    _check_whole(**{name: terms[name] for name in ("a", "b", "parent")})
    for name in _AMOUNTS:
        _check_number(name, terms[name], math.inf)
    for name in ("tip_gwei", "max_fee_gwei", "expires_in"):
        _check_number(name, terms[name], _FINITE)
    return terms


def _token(world: World, name: str | None) -> int:
    return -1 if name is None else number_of(name, world.token_names, "token")


def _check_whole(**numbers: Any) -> None:
    """Refuse numbers that are not whole, which would be cut."""
    for name, value in numbers.items():
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
            raise InputError(f"{name} is {value!r}; it must be a whole number")


def _check_number(name: str, value: float, most: float) -> None:
    """Refuse NaN, what is below 0 and what is beyond the most."""
    if not 0.0 <= value <= most:
        allowed = "at least 0" if most == math.inf else "at least 0 and finite"
        raise InputError(f"{name} is {value:g}; it must be {allowed}")
