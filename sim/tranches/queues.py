"""The end of an epoch: waiting deposits and redemptions are served pro rata, up to what limits.

Deposits come first, the last tranche's first, then redemptions, the senior's first. What is not
served waits for the next epoch.

* A tranche redeems at most the gate's share of its value an epoch, and no more than the cash there.
* Coverage, the share of value below the senior tranche, may not fall below the minimum by an exit
  from below it or by an entry to it.
* A tranche that is short of its claim takes no deposits.
* Where more leaves than comes, redeemers leave the swing in the tranche.
* A stopped vault serves nobody. One that winds down redeems without gate, notice or swing, each
  tranche from the cash that exceeds the value of those above it.
"""

from __future__ import annotations

import math

from sim.kernel import kernel
from sim.ledger import balance_of, burn, mint, transfer
from sim.tranches.state import (
    DEPOSITED,
    N_REACHED,
    OPEN,
    REDEEMING,
    STOPPED,
    WINDING,
    price_of,
    serve,
    value_of,
)
from sim.tranches.waterfall import leverage_of

_IMPAIRED = 1e-9  # of a claim, beyond what rounding leaves


@kernel
def free_cash(state, ledger, row):  # type: ignore[no-untyped-def]
    """Return the cash that a vault may pay out."""
    vault = state.vaults[row]
    return max(balance_of(ledger, vault.group, vault.account, vault.cash) - vault.escrow, 0.0)


@kernel
def room_below(state, row):  # type: ignore[no-untyped-def]
    """Return the value that may leave from below the senior tranche: (B - x) / (V - x) >= m."""
    vault, total = state.vaults[row], value_of(state, row)
    below = total - state.nav[row, 0]
    return max((below - vault.minimum * total) / (1.0 - vault.minimum), 0.0)


@kernel
def room_above(state, ledger, row):  # type: ignore[no-untyped-def]
    """Return the value that may enter the senior tranche: B / (V + y) >= m, and the leverage."""
    vault, total = state.vaults[row], value_of(state, row)
    below, room = total - state.nav[row, 0], math.inf
    if vault.minimum > 0.0:
        room = max(below / vault.minimum - total, 0.0)
    if vault.highest > 0.0:
        room = min(room, max(senior_capacity(state, ledger, row) - state.nav[row, 0], 0.0))
    return room


@kernel(inline=False)
def senior_capacity(state, ledger, row):  # type: ignore[no-untyped-def]
    """Return the most that the senior tranche may hold: junior value x diversification x leverage.

    Diversification is 1 less the sum of squared shares of the junior's holders.
    """
    vault = state.vaults[row]
    last = vault.n_tranches - 1
    token, total, squares, n = state.share[row, last], 0.0, 0.0, 0.0
    for group in range(state.rows.shape[0]):
        if ledger.column[group, token] < 0:
            continue
        for account in range(state.rows[group]):
            held = balance_of(ledger, group, account, token)
            if held > 0.0 and (group != vault.group or account != vault.account):
                total, squares, n = total + held, squares + held * held, n + 1.0
    if total <= 0.0:
        return 0.0
    leverage = leverage_of(n, vault.few_backers, vault.many_backers, vault.highest)
    return state.nav[row, last] * (1.0 - squares / (total * total)) * leverage


@kernel
def is_mature(state, request, row, k, now):  # type: ignore[no-untyped-def]
    """Return whether a request is a redemption of a tranche whose notice is over."""
    if request.kind != REDEEMING or request.vault != row or request.tranche != k:
        return False
    is_winding = state.vaults[row].stage == WINDING
    return is_winding or now - request.time >= state.notice[row, k]


@kernel
def mature_shares(state, row, k, now):  # type: ignore[no-untyped-def]
    """Return the shares that ask to be redeemed now."""
    total = 0.0
    for at in range(state.counter[N_REACHED]):
        if is_mature(state, state.requests[at], row, k, now):
            total += state.requests[at].amount
    return total


@kernel
def redeemer_share(state, ledger, row, now):  # type: ignore[no-untyped-def]
    """Return the share of the price that redeemers get: less the swing when outflow is large."""
    vault, net = state.vaults[row], 0.0
    if vault.swing <= 0.0 or vault.stage == WINDING:
        return 1.0
    for k in range(vault.n_tranches):
        net += mature_shares(state, row, k, now) * price_of(state, ledger, row, k)
        net -= state.joining[row, k]
    return 1.0 - vault.swing if net > vault.swing_from * value_of(state, row) else 1.0


@kernel(inline=False)
def admit(state, ledger, row, k):  # type: ignore[no-untyped-def]
    """Serve the deposits that wait for a tranche."""
    vault, asked = state.vaults[row], state.joining[row, k]
    price = price_of(state, ledger, row, k)
    if asked <= 0.0 or price <= 0.0 or state.nav[row, k] < state.claim[row, k] * (1.0 - _IMPAIRED):
        return
    room = room_above(state, ledger, row) if k == 0 else math.inf
    part = min(room / asked, 1.0)
    if part <= 0.0:
        return
    token, supply, joined = state.share[row, k], ledger.supply[state.share[row, k]], 0.0
    fair = state.fair[row, k] / supply if supply > 0.0 else 1.0
    for at in range(state.counter[N_REACHED]):
        request = state.requests[at]
        if request.kind == DEPOSITED and request.vault == row and request.tranche == k:
            amount = request.amount * part
            mint(ledger, request.group, request.row, token, amount / price)
            vault.taken += amount / price * fair - amount
            joined += amount
            serve(state, at, amount)
    state.nav[row, k] += joined
    state.claim[row, k] += joined
    vault.flows += joined


@kernel(inline=False)
def redeem(state, ledger, row, k, most, kept, now):  # type: ignore[no-untyped-def]
    """Serve redemptions of a tranche up to an amount of cash, at a share of the price."""
    vault, asked = state.vaults[row], mature_shares(state, row, k, now)
    token, price = state.share[row, k], price_of(state, ledger, row, k) * kept
    if asked <= 0.0 or price <= 0.0 or most <= 0.0:
        return
    part, supply = min(most / (asked * price), 1.0), ledger.supply[token]
    fair, short = state.fair[row, k] / supply, state.claim[row, k] / state.nav[row, k]
    for at in range(state.counter[N_REACHED]):
        request = state.requests[at]
        if not is_mature(state, request, row, k, now):
            continue
        held = balance_of(ledger, vault.group, vault.account, token)
        shares = min(request.amount * part, held)  # sums of requests round
        amount = min(shares * price, state.nav[row, k], free_cash(state, ledger, row))
        burn(ledger, vault.group, vault.account, token, shares)
        transfer(ledger, vault.group, vault.account, request.group, request.row, vault.cash, amount)
        state.nav[row, k] -= amount
        state.claim[row, k] -= amount * short
        state.realized[row, k] += amount * (short - 1.0)
        vault.flows -= amount
        vault.paid += amount
        vault.taken += amount - shares * fair
        serve(state, at, request.amount if part == 1.0 else shares)


@kernel(inline=False)
def settle(state, ledger, row, now):  # type: ignore[no-untyped-def]
    """End an epoch of a vault that has just been valued."""
    vault = state.vaults[row]
    vault.epochs += 1
    if vault.stage == STOPPED:
        return
    kept = redeemer_share(state, ledger, row, now)
    above = 0.0
    if vault.stage == OPEN:
        for k in range(vault.n_tranches - 1, -1, -1):
            admit(state, ledger, row, k)
    for k in range(vault.n_tranches):
        most = free_cash(state, ledger, row)
        if vault.stage == WINDING:
            most -= above
        else:
            most = min(most, vault.gate * state.nav[row, k])
            if k > 0:
                most = min(most, room_below(state, row))
        redeem(state, ledger, row, k, most, kept, now)
        above += state.nav[row, k]
