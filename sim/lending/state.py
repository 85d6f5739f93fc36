"""The tables of all lending markets.

There is a row in `reserves` for each asset of each market, in `markets` for each market, and in
`positions` for each account in a market. Amounts are stored *scaled*: tokens = scaled amount *
index, so that interest touches the indices alone.

The interest rate follows from cash and debt at the last update, which every operation refreshes:
it need not be stored. Whoever changes a rate parameter accrues the reserve first.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np

from sim.kernel import I8, F8x2, I8x2, Shape, columnar, records
from sim.lending.config import LossBearer, MarketConfig, ReserveConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

N_CHANGES = 4_096  # changes of accounts that are remembered
I4x2 = Annotated[np.ndarray, Shape(np.dtype("i4"), 2)]


RESERVE = np.dtype(  # one asset of one market; tokens unless said otherwise
    [
        ("market", "i8"),  # row of `markets`
        ("fixed_point", "i8"),  # of the market
        ("token", "i8"),  # ledger token
        ("price_feed", "i8"),  # oracle feed that writes `price`
        ("flag_bits", "i8"),  # bits of `ReserveFlag`
        ("last_update", "i8"),  # ticks, when the indices last grew
        ("price", "f8"),  # quote units per token, as the market believes
        ("supply_index", "f8"),  # tokens per scaled claim
        ("borrow_index", "f8"),  # tokens per scaled debt
        ("scaled_supply", "f8"),  # claims of all positions / supply index
        ("scaled_debt", "f8"),  # debts of all positions / borrow index
        ("n_claims", "i8"),  # positions with a claim
        ("n_debts", "i8"),  # positions with a debt
        ("scaled_treasury", "f8"),  # claims of the protocol / supply index
        ("cash", "f8"),  # what the market can pay out
        ("deficit", "f8"),  # recognized bad debt that nobody has borne yet
        ("written_off", "f8"),  # all bad debt recognized so far
        ("surplus", "f8"),  # interest paid by borrowers and assigned to nobody
        ("base_rate", "f8"),  # per year
        ("slope1", "f8"),  # per year, over utilizations up to the kink
        ("slope2", "f8"),  # per year, over utilizations beyond the kink
        ("kink", "f8"),  # utilization
        ("reserve_factor", "f8"),  # fraction of interest that goes to the treasury
        ("loan_to_value", "f8"),  # fraction of collateral value that can be borrowed
        ("liquidation_threshold", "f8"),  # fraction of collateral value that may be owed
        ("liquidation_bonus", "f8"),  # 0.05: seized value is 1.05 times the repaid value
        ("liquidation_protocol_fee", "f8"),  # fraction of the bonus that goes to the treasury
        ("supply_cap", "f8"),  # inf: none
        ("borrow_cap", "f8"),  # inf: none
        ("debt_ceiling", "f8"),  # most debt against it in isolation, without interest; inf: none
        ("isolated_debt", "f8"),  # tokens lent against it in isolation and not repaid
        ("pending_loan_to_value", "f8"),  # kept while frozen with a loan to value of 0; -1: none
        ("backstop", "f8"),  # an insurer's tokens, beside the cash on the market's account
        ("borne_by_treasury", "f8"),  # parts of `written_off`, with `deficit` all of it
        ("borne_by_backstop", "f8"),
        ("borne_by_suppliers", "f8"),
        ("lender", "i8"),  # position of the outside lender who meets withdrawals, -1: nobody does
        ("held_rate", "f8"),  # per year, borrow rate posted when it first did, -1: it has not
        ("lent", "f8"),  # tokens that it has paid so far
        ("rate_at_target", "f8"),  # per year, of the adaptive curve; 0: the kinked curve
        ("steepness", "f8"),  # of the adaptive curve: rate when full / rate at target
        ("adjustment_speed", "f8"),  # per year, at full error
        ("least_rate", "f8"),  # per year, bounds of the rate at target
        ("most_rate", "f8"),
        ("exact_exponential", "i8"),  # 0: as the contract approximates it
        ("virtual_shares", "f8"),  # added to assets and shares of both indices
        ("accrues_with", "i8"),  # reserve whose interest a withdrawal writes down, too; -1: none
    ],
    align=True,
)

MARKET = np.dtype(
    [
        ("chain", "i8"),
        ("first_reserve", "i8"),  # its reserves are consecutive rows
        ("n_reserves", "i8"),
        ("close_base", "i8"),  # `CloseBase`
        ("close_factor", "f8"),  # fraction of debt that one liquidation may repay
        ("full_close_below", "f8"),  # health factor at and below which all may be repaid
        ("full_close_value", "f8"),  # quote units; a smaller debt or collateral: all may be repaid
        ("fixed_point", "i8"),  # 1: rounds what the contract's digits round
        ("dust_value", "f8"),  # quote units; a partial liquidation must leave as much of both
    ],
    align=True,
)

POSITION = np.dtype(
    [
        ("market", "i4"),  # row of `markets`
        ("population", "i4"),  # whose account it is
        ("owner", "i4"),  # row in that population
        ("mode", "i4"),  # row of `modes`, -1: none
    ],
    align=True,
)

MODE = np.dtype(  # an efficiency mode
    [
        ("market", "i8"),
        ("first_reserve", "i8"),  # of the market: bit 0 of both sets
        ("collateral_bits", "i8"),  # reserves to which the limits of the mode apply
        ("borrowable_bits", "i8"),  # reserves that may be owed in the mode
        ("loan_to_value", "f8"),
        ("liquidation_threshold", "f8"),
        ("liquidation_bonus", "f8"),
    ],
    align=True,
)


@columnar
class LendingState(NamedTuple):
    """All lending markets with their reserves and positions.

    A position has a few slots of each kind; a free slot holds reserve -1, amount 0 and secures
    nothing.
    """

    reserves: records(RESERVE)  # type: ignore[valid-type]
    markets: records(MARKET)  # type: ignore[valid-type]
    loss_order: I8x2  # int64, (n_markets, n_bearers), `LossBearer`, first bearer first
    modes: records(MODE)  # type: ignore[valid-type]
    positions: records(POSITION)  # type: ignore[valid-type]
    collateral_reserve: I4x2  # int32, (n_positions, n_collateral_slots), row of `reserves`
    collateral_scaled: F8x2  # float64, (n_positions, n_collateral_slots)
    is_used: I4x2  # int32, (n_positions, n_collateral_slots), 1: the account lets it secure debts
    debt_reserve: I4x2  # int32, (n_positions, n_debt_slots), row of `reserves`
    debt_scaled: F8x2  # float64, (n_positions, n_debt_slots)
    changes: I8  # int64, (1 + N_CHANGES,), changes of accounts so far, and the last ones: position


def _blank(n: int, dtype: np.dtype[Any]) -> np.ndarray:
    return np.zeros(n, np.dtype((np.record, dtype)))


def make_state(
    markets: Sequence[MarketConfig],
    chains: Sequence[int],
    tokens: Sequence[int],
    price_feeds: Sequence[int],
    *,
    n_collateral_slots: int = 2,
    n_debt_slots: int = 2,
    now: int = 0,
) -> LendingState:
    """Return empty markets without positions.

    Parameters
    ----------
    markets : configuration of each market
    chains : chain of each market
    tokens, price_feeds : ledger token and oracle feed of each reserve, market after market
    n_collateral_slots, n_debt_slots : different assets that one account can supply, and owe
    now : ticks, when interest starts
    """
    n_bearers = max((len(market.loss_order) for market in markets), default=0)
    loss_order = np.full((len(markets), n_bearers), int(LossBearer.NOBODY), np.int64)
    for row, market in enumerate(markets):
        loss_order[row, : len(market.loss_order)] = [int(bearer) for bearer in market.loss_order]
    return LendingState(
        reserves=_make_reserves(markets, tokens, price_feeds, now),
        markets=_make_markets(markets, chains),
        loss_order=loss_order,
        modes=_make_modes(markets),
        positions=_blank(0, POSITION),
        collateral_reserve=np.full((0, n_collateral_slots), -1, np.int32),
        collateral_scaled=np.zeros((0, n_collateral_slots)),
        is_used=np.zeros((0, n_collateral_slots), np.int32),
        debt_reserve=np.full((0, n_debt_slots), -1, np.int32),
        debt_scaled=np.zeros((0, n_debt_slots)),
        changes=np.zeros(1 + N_CHANGES, np.int64),
    )


def _make_markets(markets: Sequence[MarketConfig], chains: Sequence[int]) -> np.ndarray:
    table = _blank(len(markets), MARKET)
    sizes = [len(market.reserves) for market in markets]
    table["chain"] = chains
    table["n_reserves"] = sizes
    table["first_reserve"] = np.cumsum([0, *sizes])[:-1]
    for name in (
        "close_base",
        "close_factor",
        "full_close_below",
        "full_close_value",
        "fixed_point",
        "dust_value",
    ):
        table[name] = [getattr(market, name) for market in markets]
    return table


def _make_modes(markets: Sequence[MarketConfig]) -> np.ndarray:
    table = _blank(sum(len(market.modes) for market in markets), MODE)
    k, first = 0, 0
    for row, market in enumerate(markets):
        for mode in market.modes:
            table[k] = (
                row,
                first,
                sum(1 << asset for asset in set(mode.collateral)),
                sum(1 << asset for asset in set(mode.borrowable)),
                mode.loan_to_value,
                mode.liquidation_threshold,
                mode.liquidation_bonus,
            )
            k += 1
        first += len(market.reserves)
    return table


def _make_reserves(
    markets: Sequence[MarketConfig], tokens: Sequence[int], price_feeds: Sequence[int], now: int
) -> np.ndarray:
    assets = [asset for market in markets for asset in market.reserves]
    table = _blank(len(assets), RESERVE)
    table["market"] = [row for row, market in enumerate(markets) for _ in market.reserves]
    table["fixed_point"] = [market.fixed_point for market in markets for _ in market.reserves]
    table["token"] = tokens
    table["price_feed"] = price_feeds
    table["flag_bits"] = [asset.flag_bits for asset in assets]
    table["last_update"] = now
    table["supply_index"] = table["borrow_index"] = 1.0
    table["pending_loan_to_value"] = table["held_rate"] = -1.0
    table["lender"] = -1
    table["accrues_with"] = _partners(markets)
    for field in fields(ReserveConfig):
        if field.name in (RESERVE.names or ()):  # what the flags do not say
            table[field.name] = [getattr(asset, field.name) for asset in assets]
    return table


def _partners(markets: Sequence[MarketConfig]) -> list[int]:
    """Return for each reserve the one that accrues with it, -1: none."""
    found: list[int] = []
    for market in markets:
        partner = len(found) + market.accrues_with if market.accrues_with >= 0 else -1
        found += [partner] * len(market.reserves)
    return found


def add_positions(
    state: LendingState,
    market: np.ndarray | int,
    population: np.ndarray | int,
    owner: np.ndarray,
) -> LendingState:
    """Return the state with empty positions appended; reserves and markets are shared.

    Parameters
    ----------
    market, population : integers, (n,) or one for all
    owner : integers, (n,), row in the population
    """
    n = len(owner)
    positions = _blank(len(state.positions) + n, POSITION)
    positions[: len(state.positions)] = state.positions
    added = positions[len(state.positions) :]
    added["market"], added["population"], added["owner"] = market, population, owner
    added["mode"] = -1
    return state._replace(
        positions=positions,
        collateral_reserve=_grown(state.collateral_reserve, n, -1),
        collateral_scaled=_grown(state.collateral_scaled, n, 0),
        is_used=_grown(state.is_used, n, 0),
        debt_reserve=_grown(state.debt_reserve, n, -1),
        debt_scaled=_grown(state.debt_scaled, n, 0),
    )


def _grown(column: np.ndarray, n: int, value: int) -> np.ndarray:
    return np.concatenate([column, np.full((n, column.shape[1]), value, column.dtype)])
