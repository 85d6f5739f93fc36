"""A liquid staking pool: what backs its token, what it reports, and the queue out of it.

    exchange rate = backing / supply of the token, as of the last report

Rewards are issued at each report in proportion to the backing; the fee on them is paid in new
tokens, so that holders gain reward x (1 - fee) and the treasury the rest, as with Lido. A slash
burns backing at once; the rate follows with a report.

The queue is first come, first served. The exit capacity serves it as a fluid, one request after the
other: a request is final when all before it and itself have passed, and no sooner than the minimum
delay. Until then its tokens stay in escrow and share losses, but not rewards: it is paid

    min(tokens x rate at the request, tokens x backing per token when final),

or, where the terms protect the queue, what it asked for is set aside at once. Final requests wait
for a claim.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from sim.kernel import F8, I8, blank, columnar, kernel, records
from sim.ledger import burn, mint
from sim.units import DAY, YEAR, ticks

CAPACITY = 16_384  # requests that wait or are not claimed, all pools together
ROOM = 16  # places that must be free, so that every leg of one order finds its own
N_FREE, EVENT_NUMBER, N_MOVES = range(3)  # entries of `counter`
FREE, WAITING, FINAL = range(3)  # stages of a request
STAKE, UNSTAKE, CLAIM = range(3)  # verbs
TICKS_A_YEAR, TICKS_A_DAY = ticks(YEAR), ticks(DAY)

REQUEST = np.dtype(
    [
        ("tokens", "f8"),  # given up
        ("amount", "f8"),  # underlying to be paid: at most while waiting, for certain when final
        ("due", "i8"),  # tick at which it is final
        ("pool", "i8"),  # row of the staking pool
        ("group", "i8"),  # who is paid
        ("row", "i8"),
        ("stage", "i8"),  # FREE, WAITING, FINAL
    ],
    align=True,
)


@columnar
class StakingState(NamedTuple):
    """All liquid staking pools; row = pool."""

    backing: F8  # float64, (n,), underlying that belongs to the token's holders, the queue's too
    set_aside: F8  # float64, (n,), underlying of requests that share no losses any more
    rate: F8  # float64, (n,), underlying per token, reported
    reward_rate: F8  # float64, (n,), fraction a year
    fee_share: F8  # float64, (n,), fraction of rewards
    interval: I8  # int64, (n,), ticks between reports, 0: before every block
    reported: I8  # int64, (n,), tick up to which rewards are issued
    capacity: F8  # float64, (n,), underlying that may exit a tick, inf: any amount
    delay: I8  # int64, (n,), ticks, least time from request to payment
    shares_losses: I8  # int64, (n,), 1: requests bear losses until they are final
    exit_free: F8  # float64, (n,), tick at which the exit has served all requests so far
    escrowed: F8  # float64, (n,), tokens of requests that wait
    queued: F8  # float64, (n,), underlying that waiting requests ask for
    claimable: I8  # int64, (n,), final requests not claimed
    rewards: F8  # float64, (n,), underlying issued so far
    slashed: F8  # float64, (n,), underlying burned so far
    fees: F8  # float64, (n,), tokens paid to the treasury so far
    treasury_group: I8  # int64, (n,), account that gets the fee …
    treasury_row: I8  # int64, (n,)
    requests: records(REQUEST)  # type: ignore[valid-type]  # (CAPACITY,)
    free: I8  # int64, (CAPACITY,), stack of free places
    counter: I8  # int64, (3,): free places, event number, moves so far
    venue: I8  # int64, (n,)
    group: I8  # int64, (n,), account of the pool …
    account: I8  # int64, (n,)
    underlying: I8  # int64, (n,), token that is staked
    token: I8  # int64, (n,), token that is issued


_WORDS = {
    "interval", "reported", "delay", "shares_losses", "claimable", "treasury_group",
    "treasury_row", "venue", "group", "account", "underlying", "token",
}  # fmt: skip


def make_state(n: int, event: int) -> StakingState:
    """Return a table of `n` pools, all zero; `event` is the number of the event that finalizes."""
    columns: dict[str, Any] = {
        name: np.zeros(n, np.int64 if name in _WORDS else np.float64)
        for name in StakingState._fields
    }
    columns["requests"] = blank(CAPACITY, REQUEST)
    columns["free"] = np.arange(CAPACITY, dtype=np.int64)[::-1].copy()
    columns["counter"] = np.array([CAPACITY, event, 0], np.int64)
    return StakingState(**columns)


@kernel
def worth_of(pools, row, supply):  # type: ignore[no-untyped-def]
    """Return the underlying behind one token now, reported or not."""
    return pools.backing[row] / supply if supply > 0.0 else pools.rate[row]


@kernel
def reward_due(pools, row, now):  # type: ignore[no-untyped-def]
    """Return the reward since the last report: linear, or compounded where each block reports."""
    years = (now - pools.reported[row]) / TICKS_A_YEAR
    earned = pools.reward_rate[row] * years
    return pools.backing[row] * (math.expm1(earned) if pools.interval[row] == 0 else earned)


@kernel
def report(pools, ledger, row, now):  # type: ignore[no-untyped-def]
    """Issue the rewards since the last report, pay the fee in new tokens, and set the rate."""
    token, supply = pools.token[row], ledger.supply[pools.token[row]]
    reward = reward_due(pools, row, now)
    pools.reported[row] = now
    pools.counter[N_MOVES] += 1
    if supply <= 0.0 or pools.backing[row] <= 0.0:
        return
    mint(ledger, pools.group[row], pools.account[row], pools.underlying[row], reward)
    pools.backing[row] += reward
    pools.rewards[row] += reward
    fee = pools.fee_share[row] * reward
    shares = fee * supply / (pools.backing[row] - fee)
    mint(ledger, pools.treasury_group[row], pools.treasury_row[row], token, shares)
    pools.fees[row] += shares
    pools.rate[row] = worth_of(pools, row, ledger.supply[token])


@kernel
def slash(pools, ledger, row, share):  # type: ignore[no-untyped-def]
    """Burn a share of the backing; returns the amount. The rate follows with a report."""
    amount = pools.backing[row] * share
    burn(ledger, pools.group[row], pools.account[row], pools.underlying[row], amount)
    pools.backing[row] -= amount
    pools.slashed[row] += amount
    pools.counter[N_MOVES] += 1
    return amount


@kernel
def exit_tick(pools, row, amount, now):  # type: ignore[no-untyped-def]
    """Return the tick at which a request of an amount made now would be final."""
    served = max(pools.exit_free[row], float(now)) + amount / pools.capacity[row]
    return max(math.ceil(min(served, 9e18)), now + pools.delay[row])


@kernel
def enter(pools, row, group, account, tokens, amount, now):  # type: ignore[no-untyped-def]
    """Enter a request whose tokens are in escrow or burned; returns its place, which is free."""
    n = pools.counter[N_FREE] - 1
    pools.counter[N_FREE] = n
    at = pools.free[n]
    request = pools.requests[at]
    request.tokens, request.amount, request.stage = tokens, amount, WAITING
    request.due = exit_tick(pools, row, amount, now)
    request.pool, request.group, request.row = row, group, account
    pools.exit_free[row] = max(pools.exit_free[row], float(now)) + amount / pools.capacity[row]
    pools.queued[row] += amount
    if pools.shares_losses[row] != 0:
        pools.escrowed[row] += tokens
    else:
        pools.backing[row] -= amount
        pools.set_aside[row] += amount
    return at


@kernel
def finalize(pools, ledger, at):  # type: ignore[no-untyped-def]
    """Settle a request that is due: what it will be paid is certain from now on."""
    request = pools.requests[at]
    row = request.pool
    pools.queued[row] = max(pools.queued[row] - request.amount, 0.0)
    if pools.shares_losses[row] != 0:
        token = pools.token[row]
        worth = request.tokens * worth_of(pools, row, ledger.supply[token])
        request.amount = min(request.amount, worth, pools.backing[row])
        burn(ledger, pools.group[row], pools.account[row], token, request.tokens)
        pools.escrowed[row] = max(pools.escrowed[row] - request.tokens, 0.0)
        pools.backing[row] -= request.amount
        pools.set_aside[row] += request.amount
    request.stage = FINAL
    pools.claimable[row] += 1
    pools.counter[N_MOVES] += 1


@kernel
def close(pools, at):  # type: ignore[no-untyped-def]
    """Free the place of a request that is paid; returns what it was paid."""
    request = pools.requests[at]
    row, amount = request.pool, request.amount
    pools.set_aside[row] = max(pools.set_aside[row] - amount, 0.0)
    pools.claimable[row] -= 1
    pools.counter[N_MOVES] += 1
    request.stage, request.amount, request.tokens = FREE, 0.0, 0.0
    pools.free[pools.counter[N_FREE]] = at
    pools.counter[N_FREE] += 1
    return amount


@kernel
def next_final(pools, row, group, account):  # type: ignore[no-untyped-def]
    """Return the place of a final request of an account that is not claimed; -1: none."""
    if pools.claimable[row] == 0:
        return -1
    for at in range(pools.requests.shape[0]):
        request = pools.requests[at]
        if (
            request.stage == FINAL
            and request.pool == row
            and request.group == group
            and request.row == account
        ):
            return at
    return -1
