"""Mechanisms and populations that break one rule each: what the contract checks must catch."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from sim.amm import constant_product
from sim.amm.constant_product import execute_swap, quote_swap, unpack
from sim.chain import clock_at
from sim.draws import uniform_column
from sim.kernel import F8, I8, columnar, handler, view_of
from sim.ledger import Ledger, transfer
from sim.mempool import Outbox, post
from sim.orders import ROUTINE, cause, order_at
from sim.registry import Config, PopulationKind, Verb
from sim.venues import Venues, draft_swap

OK = 0
_GOOD = constant_product.MECHANISM
_SWAP = _GOOD.verbs[0]
_ROUTINE = cause(ROUTINE)


def pool_with(**changes):
    """The constant product pool with its swap replaced, and no other verb."""
    from dataclasses import replace

    verb = Verb("swap", changes.pop("execute", _SWAP.execute), 110_000, changes.pop("leg", None))
    return replace(_GOOD, verbs=(verb,), **changes)


@handler
def _swap_and_forge(binding, message):
    """Gives a token more than the pool does, from nowhere."""
    pools, ledger, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    status, amount, out, fee = quote_swap(pools, row, order.a, order.amount, order.price_limit)
    if status != OK:
        return status
    pool, account, token = pools.group[row], pools.account[row], order.token_in
    status = transfer(ledger, order.group, order.row, pool, account, token, amount)
    if status != OK:
        return status
    token = order.token_out
    transfer(ledger, pool, account, order.group, order.row, token, out)
    at = ledger.first[order.group] + order.row * ledger.width[order.group]
    ledger.balance[at + ledger.column[order.group, token]] += 1.0
    execute_swap(pools, row, order.a, amount, out, fee)
    order.amount_in, order.amount_out, order.fee_paid = amount, out, fee
    return OK


@handler
def _swap_without_transfer(binding, message):
    pools, _, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    status, amount, out, fee = quote_swap(pools, row, order.a, order.amount, order.price_limit)
    if status == OK:
        execute_swap(pools, row, order.a, amount, out, fee)
        order.amount_in, order.amount_out, order.fee_paid = amount, out, fee
    return status


@handler
def _swap_that_keeps_the_change(binding, message):
    """Takes the money first and asks afterwards whether it can be filled."""
    pools, ledger, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    status, amount, out, fee = quote_swap(pools, row, order.a, order.amount, order.price_limit)
    if status != OK:
        return status
    pool, account = pools.group[row], pools.account[row]
    execute_swap(pools, row, order.a, amount, out, fee)
    status = transfer(ledger, order.group, order.row, pool, account, order.token_in, amount)
    if status != OK:
        return status
    transfer(ledger, pool, account, order.group, order.row, order.token_out, out)
    order.amount_in, order.amount_out, order.fee_paid = amount, out, fee
    return OK


@handler
def _quote_that_writes(binding, message):
    pools, _, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    pools.fees0[row] += 1e-9
    status, order.amount_in, order.amount_out, order.fee_paid = quote_swap(
        pools, row, order.a, order.amount, order.price_limit
    )
    return status


@handler
def _quote_that_flatters(binding, message):
    pools, _, venues = unpack(binding)
    order = order_at(message)
    row = venues.row[order.venue]
    status, order.amount_in, order.amount_out, order.fee_paid = quote_swap(
        pools, row, order.a, order.amount, order.price_limit
    )
    order.amount_out *= 1.001
    return status


@handler
def _swap_of_a_wrong_row(binding, message):
    """Reads the row that the order names in `b`, whatever it is."""
    pools, _, _ = unpack(binding)
    order = order_at(message)
    return 6 if pools.fee[order.b] >= 0.0 else 7


FORGES = pool_with(execute=_swap_and_forge)
WITHOUT_TRANSFER = pool_with(execute=_swap_without_transfer)
KEEPS_THE_CHANGE = pool_with(execute=_swap_that_keeps_the_change)
QUOTE_WRITES = pool_with(leg=_quote_that_writes)
QUOTE_FLATTERS = pool_with(leg=_quote_that_flatters)
WRONG_ROW = pool_with(execute=_swap_of_a_wrong_row)


class VagueConfig(Config):
    kind: Literal["vague"]
    chain: str
    delay_seconds: float = Field(1.0, description="A time without its unit.")


class MuteConfig(Config):
    kind: Literal["mute"]
    chain: str
    size: float = 1.0


# --- populations ---------------------------------------------------------------------------------


@columnar
class TraderState(NamedTuple):
    size: F8  # float64, (n,), USD
    n_seen: I8  # int64, (n,), blocks seen
    number: I8  # int64, (2,): group, venue


class TradersConfig(Config):
    kind: Literal["traders"]
    chain: str
    count: int = Field(1, description="Number of traders.")


_view = view_of(TraderState, Outbox, Ledger, Venues)


@handler
def _trade(binding, message):
    people, box, _, venues = _view(binding)
    clock = clock_at(message)
    for row in range(people.size.shape[0]):
        people.n_seen[row] += 1
        if people.n_seen[row] % 20 == row:
            group, venue = people.number
            order = draft_swap(box, venues, venue, 1, people.size[row], group, row, clock.now)
            order.parent = _ROUTINE
            post(box, order)
    return OK


@handler
def _help_oneself(binding, message):
    people, _, ledger, _ = _view(binding)
    ledger.balance[ledger.first[people.number[0]]] += 1.0
    return OK


@handler
def _send_nonsense(binding, message):
    people, box, _, venues = _view(binding)
    group, venue = people.number
    post(box, draft_swap(box, venues, venue, 1, -1.0, group, 0, clock_at(message).now))
    return OK


def _make(world, site):
    size = 100.0 * (1.0 + uniform_column(world.seed, f"{site.name}:size", site.rows))
    return _state(world, site, size)


def _make_in_sequence(world, site):
    """The last row draws first."""
    size = 100.0 * (1.0 + uniform_column(world.seed, f"{site.name}:size", site.rows))
    return _state(world, site, np.ascontiguousarray(size[::-1]))


def _state(world, site, size):
    number = np.array([site.group, world.venue("eth-usd")], np.int64)
    return TraderState(size, np.zeros(site.rows, np.int64), number)


def _fund(world, site, state):
    for symbol in ("USD", "GAS"):
        world.endow_column(site.group, world.token(site.config.chain, symbol), 1e5)


def _traders(react, make=_make):
    return PopulationKind("traders", TradersConfig, _view.states, make, react, _fund)


GOOD_TRADERS = _traders(_trade)
THIEVES = _traders(_help_oneself)
BABBLERS = _traders(_send_nonsense)
SEQUENTIAL = _traders(_trade, _make_in_sequence)
