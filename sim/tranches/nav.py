"""Net asset value: what a vault's portfolio is worth by its policy, and when that is recognized.

* book: what the venues' books say, at oracle prices: bad debt counts once it is written off.
* oracle: less losses that show at the prices the venues use.
* exit: the same, but what is not cash is worth what its pool would give for all of it now.

A valuation is recognized `delay` later: the gain in force is the newest that is as old. Beside it
stands the fair value: recoverable, at fundamental prices, without delay. Claims that wait for the
cash of a market count in full under every policy.
"""

from __future__ import annotations

from sim.appraisal import BOOK, FAIR, SEEN, appraise
from sim.feeds import read_feed
from sim.kernel import kernel
from sim.ledger import balance_of
from sim.status import Status
from sim.tranches.state import (
    AT_BOOK,
    AT_EXIT,
    N_HELD,
    N_SEEN,
    OPEN,
    STOPPED,
    WINDING,
    value_of,
)
from sim.tranches.waterfall import (
    FIXED,
    SPLIT,
    bear,
    credit,
    lever_income,
    mark,
    pay_coupons,
    recover,
    split_income,
)
from sim.units import TICKS_PER_SECOND, YEAR
from sim.venues import quote

OK = int(Status.OK)
_TICKS_A_YEAR = YEAR * TICKS_PER_SECOND


# --- what the portfolio is worth -----------------------------------------------------------------


@kernel(inline=False)
def gather(state, ledger, venues, row, basis, now):  # type: ignore[no-untyped-def]
    """Write what a vault has of each token into `held`: balances and positions, less escrow."""
    vault = state.vaults[row]
    group, account = vault.group, vault.account
    for token in range(state.held.shape[1]):
        state.held[row, token] = balance_of(ledger, group, account, token)
    for k in range(vault.n_tranches):
        state.held[row, state.share[row, k]] = 0.0
    state.held[row, vault.cash] -= vault.escrow
    for n in range(state.counter[N_HELD]):
        holding = state.holdings[n]
        if holding.vault != row:
            continue
        found = appraise(
            venues, state.message, holding.venue, group, account, holding.a, holding.b, basis, now
        )
        if found.token0 >= 0:
            state.held[row, found.token0] += found.amount0
        if found.token1 >= 0:
            state.held[row, found.token1] += found.amount1


@kernel
def price_at(state, feeds, prices, venues, row, token, now):  # type: ignore[no-untyped-def]
    """Return the USD price at which a vault values a token."""
    feed = state.feed[row, token]
    return read_feed(feeds, venues, prices, feed, now) if feed >= 0 else prices.reference[token]


@kernel
def sale_value(state, venues, row, token, amount):  # type: ignore[no-untyped-def]
    """Return the cash that a pool gives for an amount of a token now, -1: it has no pool."""
    pool = state.sale[row, token]
    if pool < 0:
        return -1.0
    side = 0 if venues.token0[pool] == token else 1
    quoted = quote(venues, pool, side, amount, 0.0)
    return quoted.amount_out if quoted.status == OK else 0.0


@kernel(inline=False)
def worth(state, feeds, prices, venues, row, basis, now):  # type: ignore[no-untyped-def]
    """Return what was gathered is worth on a basis, cash; the exit policy sells what it can."""
    vault = state.vaults[row]
    total, cash = 0.0, vault.cash
    for token in range(state.held.shape[1]):
        amount = state.held[row, token]
        if amount == 0.0:
            continue
        if token == cash:
            total += amount
            continue
        if basis != FAIR and vault.policy == AT_EXIT:
            sold = sale_value(state, venues, row, token, amount)
            if sold >= 0.0:
                total += sold
                continue
        if basis == FAIR:
            total += amount * prices.fundamental[token] / prices.fundamental[cash]
        else:
            usd = price_at(state, feeds, prices, venues, row, token, now)
            total += amount * usd / price_at(state, feeds, prices, venues, row, cash, now)
    return total


@kernel(inline=False)
def revalue(state, ledger, feeds, prices, venues, row, now):  # type: ignore[no-untyped-def]
    """Value a vault's portfolio by its policy, and what of it can be recovered."""
    vault = state.vaults[row]
    basis = BOOK if vault.policy == AT_BOOK else SEEN
    gather(state, ledger, venues, row, basis, now)
    gross = worth(state, feeds, prices, venues, row, basis, now)
    gather(state, ledger, venues, row, FAIR, now)
    fair = worth(state, feeds, prices, venues, row, FAIR, now)
    observe(state, row, gross, fair, now)


# --- recognition ---------------------------------------------------------------------------------


@kernel
def observe(state, row, gross, fair, now):  # type: ignore[no-untyped-def]
    """Note a valuation, recognize the gain that is due, and mark the tranches."""
    vault = state.vaults[row]
    vault.gross, vault.fair, vault.valued_at = gross, fair, now
    place = vault.n_seen % N_SEEN
    state.seen[row, place], state.seen_at[row, place] = gross - vault.flows, now
    vault.n_seen += 1
    recognize(state, row, due_gain(state, row, now), now)
    mark(state.nav, state.claim, row, vault.n_tranches, fair, state.fair)


@kernel
def due_gain(state, row, now):  # type: ignore[no-untyped-def]
    """Return the newest gain that is as old as the recognition delay; 0 before there is one."""
    vault = state.vaults[row]
    for back in range(1, min(vault.n_seen, N_SEEN) + 1):
        place = (vault.n_seen - back) % N_SEEN
        if state.seen_at[row, place] <= now - vault.delay:
            return state.seen[row, place]
    return state.seen[row, vault.n_seen % N_SEEN] if vault.n_seen > N_SEEN else 0.0


@kernel
def distribute(state, row, gain):  # type: ignore[no-untyped-def]
    """Make losses good with a gain and give what is left by the income rule."""
    vault, last = state.vaults[row], state.vaults[row].n_tranches - 1
    income = recover(state.nav, state.claim, row, vault.n_tranches, gain)
    if income <= 0.0:
        return
    if vault.rule == FIXED or value_of(state, row) <= 0.0:
        credit(state.nav, state.claim, state.income, row, last, income)
    elif vault.rule == SPLIT:
        split_income(state.nav, state.claim, state.income, row, income, vault.least, vault.most)
    else:
        lever_income(state.nav, state.claim, state.income, row, last + 1, income, vault.ceded)


@kernel
def recognize(state, row, gain, now):  # type: ignore[no-untyped-def]
    """Bring the tranches to a gain: a loss from below, a gain by the rules, then coupons."""
    vault = state.vaults[row]
    change, before = gain - vault.gain, value_of(state, row)
    if change < 0.0:
        change = -bear(state.nav, row, vault.n_tranches, -change)
    else:
        distribute(state, row, change)
    vault.gain += change
    if vault.rule == FIXED and vault.stage != WINDING:
        years = (now - vault.accrued_at) / _TICKS_A_YEAR
        pay_coupons(state.nav, state.claim, state.income, state.rate, row, vault.n_tranches, years)
    vault.accrued_at = now
    if before > 0.0:
        vault.index *= 1.0 + change / before
    vault.peak = max(vault.peak, vault.index)
    change_stage(vault, now)


@kernel
def change_stage(vault, now):  # type: ignore[no-untyped-def]
    """Stop a vault that has lost too much, and wind down one that has been stopped for long."""
    has_lost = vault.stop_loss > 0.0 and vault.index < vault.peak * (1.0 - vault.stop_loss)
    if vault.stage == OPEN and has_lost:
        vault.stage, vault.stopped_at = STOPPED, now
    if (
        vault.stage == STOPPED
        and vault.wind_after >= 0
        and now >= vault.stopped_at + vault.wind_after
    ):
        vault.stage = WINDING
