"""What liquidators pay with: inventory, what orders under way will take, selling collateral.

Those who leave through the reference market deposit what they seized; it is sold when the deposit
has arrived. They sell what exceeds their first holdings into the token of which they lack most, and
without such a lack into their home token. So inventory comes back, gas is refilled, and profit
piles up in the home token.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.exchange import draft_sale, held_of
from sim.kernel import F8x2, I8x2, columnar, kernel, records
from sim.ledger import balance_of
from sim.lending.account import find_slot
from sim.mempool import post

N_PENDING = 32  # orders a liquidator may have under way, of each kind
GROUP, EXCHANGE, DEPOSIT_TICKS, AUCTION, HOME = range(5)  # LiquidationFunds.desk
_LEAST_SALE = 100.0  # USD, what is less waits for more
NEVER = 1 << 60

ASKED = np.dtype(
    [
        ("until", "i8"),  # tick until which the order may be pending
        ("position", "i8"),
        ("reserve", "i8"),  # of the debt
        ("scaled", "f8"),  # the debt when it was posted, without interest
        ("amount", "f8"),  # tokens it will pay; 0 for a flash loan
    ],
    align=True,
)
SALE = np.dtype(
    [
        ("until", "i8"),  # tick until which the tokens are under way
        ("token_in", "i8"),
        ("token_out", "i8"),
        ("amount", "f8"),  # tokens sold
        ("expected", "f8"),  # tokens bought
        ("deposit", "i8"),  # number of the order that deposits them, 0: sold from the wallet
    ],
    align=True,
)


@columnar
class LiquidationFunds(NamedTuple):
    """Inventory of liquidators, and their orders under way."""

    tokens: I8x2  # int64, (1, n_tokens), what they hold, in the order of their ledger columns
    endowment: F8x2  # float64, (n, n_tokens), token units at the start
    asked: records(ASKED)  # type: ignore[valid-type]  # (n * N_PENDING,), liquidations
    sales: records(SALE)  # type: ignore[valid-type]  # (n * N_PENDING,), on the reference market
    desk: I8x2  # int64, (1, 5): group, reference market venue or -1, ticks of a deposit, ticks of
    # its auction, home token


@kernel
def scaled_debt(lending, position, reserve):  # type: ignore[no-untyped-def]
    """Return a debt without interest: it changes when somebody repays or borrows."""
    slot = find_slot(lending.debt_reserve, position, reserve)
    return lending.debt_scaled[position, slot] if slot >= 0 else 0.0


@kernel
def is_pending(lending, entry, now):  # type: ignore[no-untyped-def]
    """Return whether an order may still wait: not expired, and its debt is as it was."""
    if entry.until < now:
        return False
    return scaled_debt(lending, entry.position, entry.reserve) == entry.scaled


@kernel
def has_asked(asked, lending, row, position, now):  # type: ignore[no-untyped-def]
    """Return whether a liquidator has an order under way for a position."""
    for k in range(row * N_PENDING, (row + 1) * N_PENDING):
        if asked[k].position == position and is_pending(lending, asked[k], now):
            return True
    return False


@kernel
def free_entry(asked, lending, row, now):  # type: ignore[no-untyped-def]
    """Return an entry of `asked` for a new order, -1 where too many are under way."""
    for k in range(row * N_PENDING, (row + 1) * N_PENDING):
        if not is_pending(lending, asked[k], now):
            return k
    return -1


@kernel(inline=False)
def count_purse(purse, funds, ledger, lending, first, row, native, kept, now):  # type: ignore[no-untyped-def]
    """Write what a liquidator can pay of each reserve's token beside its pending orders.

    `kept` of the native token is for gas and tips: an order that spends it twice is refused.
    """
    for k in range(purse.shape[0]):
        token = lending.reserves[first + k].token
        held = balance_of(ledger, funds.desk[0, GROUP], row, token)
        purse[k] = max(held - kept * (token == native), 0.0)
    for k in range(row * N_PENDING, (row + 1) * N_PENDING):
        entry = funds.asked[k]
        if entry.amount > 0.0 and is_pending(lending, entry, now):
            at = entry.reserve - first
            purse[at] = max(purse[at] - entry.amount, 0.0)


@kernel
def excess_of(funds, ledger, row, column, now):  # type: ignore[no-untyped-def]
    """Return (excess, lack) of a token against the first holding, sales under way counted."""
    token = funds.tokens[0, column]
    spare = balance_of(ledger, funds.desk[0, GROUP], row, token) - funds.endowment[row, column]
    coming = 0.0
    for k in range(row * N_PENDING, (row + 1) * N_PENDING):
        sale = funds.sales[k]
        if sale.until >= now:
            spare -= sale.amount * (sale.token_in == token)
            coming += sale.expected * (sale.token_out == token)
    return max(spare, 0.0), max(-spare - coming, 0.0)


@kernel
def most_lacking(funds, ledger, usd, row, now):  # type: ignore[no-untyped-def]
    """Return (token, USD) of which a liquidator lacks most; its home token where it lacks none."""
    best, most = funds.desk[0, HOME], 0.0
    for column in range(funds.tokens.shape[1]):
        token = funds.tokens[0, column]
        lack = excess_of(funds, ledger, row, column, now)[1] * usd[token]
        if lack > _LEAST_SALE and lack > most:
            best, most = token, lack
    return best, most


@kernel
def follow_deposits(funds, market, row, now):  # type: ignore[no-untyped-def]
    """Notice which deposits have left the wallet, and which were sold or never got into a block."""
    for k in range(row * N_PENDING, (row + 1) * N_PENDING):
        sale = funds.sales[k]
        if sale.deposit == 0:
            continue
        if held_of(market, sale.deposit) >= 0:
            sale.amount, sale.until = 0.0, NEVER  # no longer in the wallet, nor paid for yet
        elif sale.until == NEVER or sale.until < now:
            sale.deposit, sale.until = 0, -1


@kernel(inline=False)
def restore(funds, box, ledger, usd, venues, market, row, parent, now):  # type: ignore[no-untyped-def]
    """Deposit what a liquidator has in excess, to be sold when it arrives, for what it lacks.

    `usd` are the reference prices of all tokens.
    """
    follow_deposits(funds, market, row, now)
    home, free = funds.desk[0, HOME], row * N_PENDING
    for column in range(funds.tokens.shape[1]):
        token_in = funds.tokens[0, column]
        amount = excess_of(funds, ledger, row, column, now)[0]
        if amount * usd[token_in] <= _LEAST_SALE:
            continue
        token_out, lack = most_lacking(funds, ledger, usd, row, now)
        if token_in == home:  # profit stays; only a lack is bought
            amount = min(amount, lack / usd[home])
        while free < (row + 1) * N_PENDING and funds.sales[free].until >= now:
            free += 1
        if token_out == token_in or amount <= 0.0 or free == (row + 1) * N_PENDING:
            continue
        pair = (token_in, token_out)
        venue, group = funds.desk[0, EXCHANGE], funds.desk[0, GROUP]
        order = draft_sale(
            market, box, venues, venue, group, row, pair, funds.desk[0, DEPOSIT_TICKS], now
        )
        order.amount, order.parent = amount, parent
        is_deposit = order.chain != venues.chain[venue]
        until = order.expires if is_deposit else order.arrival + 2 * funds.desk[0, AUCTION]
        sale = funds.sales[free]
        sale.token_in, sale.token_out, sale.amount = token_in, token_out, amount
        sale.expected = amount * usd[token_in] / usd[token_out]
        number = post(box, order)
        if number >= 0:
            sale.until = until
            sale.deposit = number if is_deposit else 0


def make_funds(
    group: int, tokens: list[int], endowment: np.ndarray, exchange: int, terms: tuple[int, int, int]
) -> LiquidationFunds:
    """Return funds without orders under way.

    Parameters
    ----------
    group : account group
    tokens : what they can hold, in the order of their ledger columns
    endowment : float64, (n, n_tokens), token units
    exchange : venue of the reference market, -1: none
    terms : ticks of a deposit, ticks between auctions of the reference market, home token
    """
    n = len(endowment)
    asked, sales = np.zeros(n * N_PENDING, ASKED), np.zeros(n * N_PENDING, SALE)
    asked["until"] = sales["until"] = -1
    return LiquidationFunds(
        tokens=np.array([tokens], np.int64),
        endowment=np.ascontiguousarray(endowment, np.float64),
        asked=asked,
        sales=sales,
        desk=np.array([[group, exchange, *terms]], np.int64),
    )
