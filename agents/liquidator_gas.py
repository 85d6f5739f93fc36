"""Gas of liquidators: who sells outside restores it there; all others buy it when it runs low.

When less than a share of the first gas is left, a liquidator sells what it has earned most of, or
some of its home token, for the native token: in the best pool of its list, and where none trades
the pair, on the reference market. One such order is under way at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from agents.liquidation_funds import DEPOSIT_TICKS, EXCHANGE, GROUP, HOME, excess_of
from agents.routing import best_pool
from sim.exchange import draft_sale
from sim.kernel import F8, I8, columnar, kernel
from sim.ledger import balance_of
from sim.mempool import post
from sim.orders import ROUTINE, cause
from sim.venues import draft_swap

_ROUTINE = cause(ROUTINE)
_LEAST_USD = 100.0  # less is not worth an order
_SLIPPAGE = 0.03
_SPARED = 0.5  # share of the home token that is not sold for gas


@columnar
class GasTank(NamedTuple):
    """What liquidators keep for gas; row = liquidator."""

    first: F8  # float64, (n,), native tokens at the start
    least: F8  # float64, (n,), native tokens below which they buy, 0: never
    until: I8  # int64, (n,), tick until which an order for gas may be pending


def make_tank(first: np.ndarray, share: float) -> GasTank:
    """Return tanks that are filled again when less than a share of the first is left."""
    return GasTank(first.copy(), share * first, np.full(len(first), -1, np.int64))


@kernel
def payment(funds, ledger, usd, native, row, now):  # type: ignore[no-untyped-def]
    """Return (token, most of it) to pay gas with: what exceeds most its first holding, or home."""
    home, best, most, worth = funds.desk[0, HOME], -1, 0.0, _LEAST_USD
    for column in range(funds.tokens.shape[1]):
        token = funds.tokens[0, column]
        excess = excess_of(funds, ledger, row, column, now)[0]
        if token != native and excess * usd[token] > worth:
            best, most, worth = token, excess, excess * usd[token]
    if best < 0 and home != native:
        best, most = home, _SPARED * balance_of(ledger, funds.desk[0, GROUP], row, home)
    return best, most


@kernel(inline=False)
def refuel(tank, funds, pools, box, ledger, usd, venues, market, row, clock):  # type: ignore[no-untyped-def]
    """Buy the gas that is missing, when little is left; `usd` are the prices of all tokens."""
    native, group = box.chains[clock.chain].native, funds.desk[0, GROUP]
    left = balance_of(ledger, group, row, native)
    if left >= tank.least[row] or clock.now <= tank.until[row]:
        return
    token, most = payment(funds, ledger, usd, native, row, clock.now)
    if token < 0:
        return
    amount = min(most, (tank.first[row] - left) * usd[native] / usd[token])
    if amount * usd[token] < _LEAST_USD:
        return
    venue, side, out = best_pool(venues, pools, token, native, amount)
    if venue >= 0:
        order = draft_swap(box, venues, venue, side, amount, group, row, clock.now)
        order.limit = (1.0 - _SLIPPAGE) * out
    elif funds.desk[0, EXCHANGE] >= 0:
        exchange, delay = funds.desk[0, EXCHANGE], funds.desk[0, DEPOSIT_TICKS]
        pair = (token, native)
        order = draft_sale(market, box, venues, exchange, group, row, pair, delay, clock.now)
        order.amount = amount
    else:
        return
    order.parent = _ROUTINE
    tank.until[row] = order.expires
    post(box, order)
