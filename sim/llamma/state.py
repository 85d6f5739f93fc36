"""The tables of all crvUSD markets: markets, their bands, loans.

Band n lies at place n + `CENTER`; the first one's top is the oracle price of the start. Debts are
stored *scaled*: tokens = scaled debt * index, as are the prices of bands.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sim.kernel import F8x2, I8x2, blank, columnar, records
from sim.llamma.settings import MOST, LlammaConfig
from sim.units import ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

N_BANDS = 2_048  # at A = 100 from 30,000 times the first price to a 30,000th of it
CENTER = N_BANDS // 2
NO_BAND = 1 << 30

MARKET = np.dtype(
    [
        ("chain", "i8"),
        ("group", "i8"),  # account of the market
        ("account", "i8"),
        ("collateral_token", "i8"),
        ("debt_token", "i8"),
        ("price_feed", "i8"),
        ("active", "i8"),  # band in which was traded last
        ("low", "i8"),  # bands outside low to high never held anything
        ("high", "i8"),
        ("last_update", "i8"),  # tick at which the index grew last
        ("delay", "i8"),  # ticks in which a move of the oracle is forgotten
        ("has_dynamic_fee", "i8"),
        ("moved_at", "i8"),  # tick of the last exchange or deposit that wrote the oracle down …
        ("moved_price", "f8"),  # … its price then …
        ("moved_fee", "f8"),  # … and the part of the fee left from moves before it
        ("a", "f8"),  # amplification
        ("log_step", "f8"),  # log of the price of a band over that of the one above it
        ("fee", "f8"),  # fraction of the amount in
        ("base_price", "f8"),  # top of band 0 at index 1, debt tokens per collateral
        ("index", "f8"),  # debt tokens per scaled debt
        ("rate", "f8"),  # per year
        ("loan_discount", "f8"),
        ("liquidation_discount", "f8"),
        ("debt_ceiling", "f8"),  # inf: none
        ("reported", "f8"),  # what the feed says, debt tokens per collateral
        ("price", "f8"),  # what the market uses of it: a move counts 25 % at most
        ("scaled_debt", "f8"),  # of all loans
        ("issued", "f8"),  # debt tokens minted less burned here
        ("elsewhere", "f8"),  # supply at the start that no loan has drawn; issuing market only
    ],
    align=True,
)

LOAN = np.dtype(
    [
        ("market", "i4"),  # row of `markets`
        ("population", "i4"),  # whose loan it is
        ("owner", "i4"),  # row in that population
        ("n", "i4"),  # bands, 0: no loan
        ("first", "i8"),  # highest band
        ("scaled", "f8"),  # debt / index
        ("discount", "f8"),  # liquidation discount of the loan
        ("unsafe_since", "i8"),  # tick since which its health is negative, as of the last sample
    ],
    align=True,
)


@columnar
class LlammaState(NamedTuple):
    """All crvUSD markets with their bands and loans."""

    markets: records(MARKET)  # type: ignore[valid-type]
    x: F8x2  # float64, (n_markets, N_BANDS), debt tokens
    y: F8x2  # float64, (n_markets, N_BANDS), collateral tokens
    shares: F8x2  # float64, (n_markets, N_BANDS)
    n_owners: I8x2  # int64, (n_markets, N_BANDS), loans with shares
    loans: records(LOAN)  # type: ignore[valid-type]
    held: F8x2  # float64, (n_loans, MOST), shares of each of its bands, highest band first


def make_state(configs: Sequence[LlammaConfig], prices: Sequence[float]) -> LlammaState:
    """Return empty markets; band 0 of each begins at the price given."""
    n = len(configs)
    markets = blank(n, MARKET)
    for market, config, price in zip(markets, configs, prices, strict=True):
        for name in ("fee", "rate", "loan_discount", "liquidation_discount", "has_dynamic_fee"):
            market[name] = getattr(config, name)
        market["a"] = config.amplification
        market["log_step"] = math.log1p(-1.0 / config.amplification)
        market["delay"] = ticks(config.oracle_delay_seconds)
        market["debt_ceiling"] = math.inf if config.debt_ceiling is None else config.debt_ceiling
        market["index"] = 1.0
        market["base_price"] = market["reported"] = market["price"] = price
        market["moved_price"], market["moved_at"] = price, -market["delay"]
        market["low"], market["high"] = NO_BAND, -NO_BAND
    return LlammaState(
        markets=markets,
        x=np.zeros((n, N_BANDS)),
        y=np.zeros((n, N_BANDS)),
        shares=np.zeros((n, N_BANDS)),
        n_owners=np.zeros((n, N_BANDS), np.int64),
        loans=blank(0, LOAN),
        held=np.zeros((0, MOST)),
    )


def add_loans(state: LlammaState, market: int, population: int, owner: np.ndarray) -> LlammaState:
    """Return the state with empty loans appended, one for each owner (int64, (n,))."""
    before, n = len(state.loans), len(owner)
    loans = blank(before + n, LOAN)
    loans[:before] = state.loans
    loans["market"][before:], loans["population"][before:] = market, population
    loans["owner"][before:] = owner
    loans["unsafe_since"][before:] = -1
    return state._replace(loans=loans, held=np.concatenate([state.held, np.zeros((n, MOST))]))
