"""Escrows of lock-and-mint bridges: what is locked, owed and paid, and who bears what is missing.

The rules are in `sim.bridges.lock_and_mint`; the kernels here know neither orders' bids nor a
world, and `sim.bridges.facade` works on them by hand.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from sim.bridges.transfers import (
    N_MOVES,
    OK,
    ROUNDING,
    TRANSFER,
    dequeue,
)
from sim.kernel import F8, I8, F8x2, I8x2, columnar, kernel, records
from sim.ledger import balance_of, mint, transfer
from sim.outside import INSURER, OUTSIDE
from sim.status import Status

CAP = int(Status.CAP)
HALTED = int(Status.HALTED)
BAD_AMOUNT = int(Status.BAD_AMOUNT)
ZERO_AMOUNT = int(Status.ZERO_AMOUNT)

MINTED, RELEASED = 0, 1  # columns of `forged`
_FULLY_BACKED = 1.0 - 1e-12


@columnar
class LockAndMintState(NamedTuple):
    """All lock-and-mint bridges; row = bridge, column 0 = home to other, 1 = back."""

    escrow: F8  # float64, (n,), home tokens locked
    fees: F8  # float64, (n,), home tokens earned, beside the escrow
    fee: F8  # float64, (n,), fraction of the amount sent
    cap: F8x2  # float64, (n, 2), obligations at most; in flight back at most; inf: none
    delay: I8x2  # int64, (n, 2), ticks from send to delivery
    forged: F8x2  # float64, (n, 2), wrapped tokens minted, home tokens released, without cover
    in_flight: F8x2  # float64, (n, 2), sent and not delivered, queues included
    queued: F8x2  # float64, (n, 2), of them due already
    first: I8x2  # int64, (n, 2), first transfer that is due and waits, -1: none
    last: I8x2  # int64, (n, 2)
    transfers: records(TRANSFER)  # type: ignore[valid-type]  # (capacity,)
    free: I8  # int64, (capacity,), stack of free places
    counter: I8  # int64, (3,): free places, event number, moves so far
    venue: I8  # int64, (n,)
    group: I8  # int64, (n,), account of the bridge …
    account: I8  # int64, (n,)
    tokens: I8x2  # int64, (n, 2), home token, wrapped token
    chains: I8x2  # int64, (n, 2), home chain, other chain
    is_paused: I8  # int64, (n,)
    is_uniform: I8  # int64, (n,), 1: home tokens share a shortfall
    par: F8  # float64, (n,), units of the asset that a home token is worth without one
    outside: F8  # float64, (n,), home tokens that exist beside those of the world
    is_insured: I8  # int64, (n,), 1: settles at once, an insurer outside covers the escrow
    insured: F8  # float64, (n,), home tokens that it has paid so far


@kernel
def quote_lock_and_mint(bridges, obligations, row, side, amount):  # type: ignore[no-untyped-def]
    """Return (status, net amount, fee) of a send; changes nothing.

    HALTED, BAD_AMOUNT, ZERO_AMOUNT, or CAP; `obligations` is what the bridge owes now.
    """
    if bridges.is_paused[row] != 0 and bridges.is_insured[row] == 0:
        return HALTED, 0.0, 0.0
    if not 0.0 <= amount < math.inf:
        return BAD_AMOUNT, 0.0, 0.0
    fee = amount * bridges.fee[row]
    net = amount - fee
    if net <= 0.0:
        return ZERO_AMOUNT, 0.0, 0.0
    after = obligations + net if side == 0 else bridges.in_flight[row, 1] + amount
    if after > bridges.cap[row, side]:
        return CAP, 0.0, 0.0
    return OK, net, fee


@kernel
def obligations_of(bridges, supply, row):  # type: ignore[no-untyped-def]
    """Return what the bridge owes: wrapped supply and everything in flight, tokens."""
    return supply + bridges.in_flight[row, 0] + bridges.in_flight[row, 1]


@kernel
def backing_of(escrow, obligations):  # type: ignore[no-untyped-def]
    """Return min(1, escrow / obligations); 1 where nothing is owed."""
    if escrow >= obligations * _FULLY_BACKED:
        return 1.0
    return escrow / obligations


@kernel
def book_lock(bridges, row, net, fee):  # type: ignore[no-untyped-def]
    """Book a lock: the escrow takes what will be minted."""
    bridges.escrow[row] += net
    bridges.fees[row] += fee
    bridges.in_flight[row, 0] += net
    bridges.counter[N_MOVES] += 1


@kernel
def is_payable(bridges, row):  # type: ignore[no-untyped-def]
    """Return whether the escrow covers the first redemption that waits."""
    at = bridges.first[row, 1]
    if at < 0 or bridges.is_paused[row] != 0:
        return False
    return bridges.transfers[at].amount <= bridges.escrow[row] * (1.0 + ROUNDING)


@kernel
def book_delivery(bridges, row, side, amount, net):  # type: ignore[no-untyped-def]
    """Book a delivery; a redemption leaves the escrow, its fee stays with the bridge."""
    bridges.in_flight[row, side] = max(bridges.in_flight[row, side] - amount, 0.0)
    if side == 1:
        bridges.escrow[row] = max(bridges.escrow[row] - amount, 0.0)
        bridges.fees[row] += amount - net
    bridges.counter[N_MOVES] += 1


@kernel
def deliver_minted(bridges, ledger, row):  # type: ignore[no-untyped-def]
    """Mint all that is due on the other chain."""
    while bridges.is_paused[row] == 0 and bridges.first[row, 0] >= 0:
        t = bridges.transfers[bridges.first[row, 0]]
        group, account, net = t.group, t.row, t.net
        dequeue(bridges, row, 0)
        mint(ledger, group, account, bridges.tokens[row, 1], net)
        book_delivery(bridges, row, 0, net, net)


@kernel
def pay_redemptions(bridges, ledger, row):  # type: ignore[no-untyped-def]
    """Pay the redemptions that are due, in order, until the escrow does not cover the next one."""
    token = bridges.tokens[row, 0]
    own_group, own_account = bridges.group[row], bridges.account[row]
    while is_payable(bridges, row):
        t = bridges.transfers[bridges.first[row, 1]]
        group, account, amount, net = t.group, t.row, t.amount, t.net
        dequeue(bridges, row, 1)
        paid = min(net, balance_of(ledger, own_group, own_account, token))  # rounding
        transfer(ledger, own_group, own_account, group, account, token, paid)
        book_delivery(bridges, row, 1, amount, net)


@kernel
def shared_backing(supply, escrow, obligations):  # type: ignore[no-untyped-def]
    """Return what any holder keeps when all share a shortfall: min(1, supply / claims)."""
    return backing_of(supply, supply - escrow + obligations)


@kernel
def recognize(bridges, ledger, prices, row):  # type: ignore[no-untyped-def]
    """Value the wrapped token at its backing: `scale` says how much of the asset it is worth."""
    home, wrapped = bridges.tokens[row, 0], bridges.tokens[row, 1]
    owed = obligations_of(bridges, ledger.supply[wrapped], row)
    if bridges.is_uniform[row] != 0:
        supply = ledger.supply[home] + bridges.outside[row]
        kept = shared_backing(supply, bridges.escrow[row], owed)
        prices.scale[home] = prices.scale[wrapped] = bridges.par[row] * kept
        return
    prices.scale[wrapped] = prices.scale[home] * backing_of(bridges.escrow[row], owed)


@kernel
def cover(bridges, ledger, row):  # type: ignore[no-untyped-def]
    """Let the insurer fill an insured escrow up to what the bridge owes."""
    if bridges.is_insured[row] == 0:
        return
    home, wrapped = bridges.tokens[row, 0], bridges.tokens[row, 1]
    missing = obligations_of(bridges, ledger.supply[wrapped], row) - bridges.escrow[row]
    if missing > bridges.escrow[row] * (1.0 - _FULLY_BACKED):
        transfer(ledger, OUTSIDE, INSURER, bridges.group[row], bridges.account[row], home, missing)
        bridges.escrow[row] += missing
        bridges.insured[row] += missing
        bridges.counter[N_MOVES] += 1


@kernel
def settle(bridges, ledger, row, side, order, net):  # type: ignore[no-untyped-def]
    """Deliver a send of an insured bridge within its own transaction."""
    amount = order.amount
    if side == 0:
        bridges.escrow[row] += net
        bridges.fees[row] += amount - net
        mint(ledger, order.group, order.row, bridges.tokens[row, 1], net)
    else:
        bridges.in_flight[row, 1] += amount
        cover(bridges, ledger, row)
        token = bridges.tokens[row, 0]
        own_group, own_account = bridges.group[row], bridges.account[row]
        paid = min(net, balance_of(ledger, own_group, own_account, token))  # rounding
        transfer(ledger, own_group, own_account, order.group, order.row, token, paid)
        book_delivery(bridges, row, 1, amount, net)
    bridges.counter[N_MOVES] += 1
