"""The tables of all lending markets, and what a configuration may say.

There is a row in `reserves` for each asset of each market, in `markets` for each market, and in
`positions` for each account in a market. Amounts are stored *scaled*: tokens = scaled amount *
index, so that interest touches the indices alone.

The interest rate follows from cash and debt at the last update, which every operation refreshes:
it need not be stored. Whoever changes a rate parameter accrues the reserve first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args, get_type_hints

import numpy as np
from annotated_types import Interval

from sim.errors import InputError
from sim.kernel import F8x2, I8x2, Shape, records

if TYPE_CHECKING:
    from collections.abc import Sequence

I4x2 = Annotated[np.ndarray, Shape(np.dtype("i4"), 2)]


class ReserveFlag(IntFlag):
    """What a reserve may be used for; the bits of `flag_bits`."""

    ACTIVE = 1  # off: nothing at all
    FROZEN = 2  # on: no new supply, no new debt
    PAUSED = 4  # on: nothing at all, for now
    BORROWING = 8  # off: no new debt
    COLLATERAL = 16  # off: counts for nothing and cannot be seized


class LossBearer(IntEnum):
    """Who bears a recognized deficit; the order is a row of `loss_order`."""

    NOBODY = 0  # the rest stays as an open deficit
    TREASURY = 1  # what the protocol has earned and not taken out
    SUPPLIERS = 2  # all claims pro rata: the supply index falls


class CloseBase(IntEnum):
    """What the close factor is a fraction of."""

    RESERVE_DEBT = 0  # the debt repaid, as up to version 3.2
    TOTAL_DEBT = 1  # all debt of the account, as from version 3.3


RESERVE = np.dtype(  # one asset of one market; tokens unless said otherwise
    [
        ("market", "i8"),  # row of `markets`
        ("token", "i8"),  # ledger token
        ("price_feed", "i8"),  # oracle feed that writes `price`
        ("flag_bits", "i8"),  # bits of `ReserveFlag`
        ("last_update", "i8"),  # ticks, when the indices last grew
        ("price", "f8"),  # quote units per token, as the market believes
        ("supply_index", "f8"),  # tokens per scaled claim
        ("borrow_index", "f8"),  # tokens per scaled debt
        ("scaled_supply", "f8"),  # claims of all positions / supply index
        ("scaled_debt", "f8"),  # debts of all positions / borrow index
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
        ("dust_value", "f8"),  # quote units; a partial liquidation must leave as much of both
    ],
    align=True,
)

POSITION = np.dtype(
    [
        ("market", "i4"),  # row of `markets`
        ("population", "i4"),  # whose account it is
        ("owner", "i4"),  # row in that population
    ],
    align=True,
)


class LendingState(NamedTuple):
    """All lending markets with their reserves and positions.

    A position has a few slots of each kind; a free slot holds reserve -1 and amount 0.
    """

    reserves: records(RESERVE)  # type: ignore[valid-type]
    markets: records(MARKET)  # type: ignore[valid-type]
    loss_order: I8x2  # int64, (n_markets, n_bearers), `LossBearer`, first bearer first
    positions: records(POSITION)  # type: ignore[valid-type]
    collateral_reserve: I4x2  # int32, (n_positions, n_collateral_slots), row of `reserves`
    collateral_scaled: F8x2  # float64, (n_positions, n_collateral_slots)
    debt_reserve: I4x2  # int32, (n_positions, n_debt_slots), row of `reserves`
    debt_scaled: F8x2  # float64, (n_positions, n_debt_slots)


# --- configuration -------------------------------------------------------------------------------

Fraction = Annotated[float, Interval(ge=0.0, le=1.0)]
PartialFraction = Annotated[float, Interval(gt=0.0, le=1.0)]
NonNegative = Annotated[float, Interval(ge=0.0)]
Positive = Annotated[float, Interval(gt=0.0)]
Finite = Annotated[float, Interval(ge=0.0, lt=math.inf)]


def check_bounds(config: Any) -> None:
    """Check each annotated field of a configuration.

    Raises
    ------
    InputError
        A value lies outside its interval; the message names field, value and interval.
    """
    hints = get_type_hints(type(config), include_extras=True)
    for field in fields(config):
        value = getattr(config, field.name)
        for bound in get_args(hints[field.name])[1:]:
            if isinstance(bound, Interval) and not _lies_in(value, bound):
                raise InputError(f"{field.name} ({value}) must be {_in_words(bound)}")


def _lies_in(value: Any, bound: Interval) -> bool:
    if not isinstance(value, int | float):
        return False
    low: Any = bound.ge if bound.ge is not None else bound.gt
    high: Any = bound.le if bound.le is not None else bound.lt
    if math.isnan(value) or (low is not None and (value < low or value == bound.gt)):
        return False
    return high is None or not (value > high or value == bound.lt)


def _in_words(bound: Interval) -> str:
    words = (
        ("at least", bound.ge),
        ("above", bound.gt),
        ("at most", bound.le),
        ("below", bound.lt),
    )
    return " and ".join(f"{word} {limit}" for word, limit in words if limit is not None)


@dataclass(frozen=True, kw_only=True)
class ReserveConfig:
    """One asset of a market: interest rate, risk limits, flags.

    Rates are per year; fractions are of value; caps in tokens. The defaults are a plain asset that
    can be lent and pledged; there is no default price.
    """

    price: Annotated[float, Interval(gt=0.0, lt=math.inf)]
    base_rate: Finite = 0.0
    slope1: Finite = 0.055
    slope2: Finite = 0.60
    kink: PartialFraction = 0.90
    reserve_factor: Fraction = 0.10
    loan_to_value: Fraction = 0.75
    liquidation_threshold: Fraction = 0.80
    liquidation_bonus: Finite = 0.05
    liquidation_protocol_fee: Fraction = 0.0
    supply_cap: NonNegative = math.inf
    borrow_cap: NonNegative = math.inf
    is_active: bool = True
    is_frozen: bool = False
    is_paused: bool = False
    can_be_borrowed: bool = True
    can_be_collateral: bool = True

    def __post_init__(self) -> None:
        """Check bounds and what the contract requires of the three risk limits."""
        check_bounds(self)
        if self.loan_to_value > self.liquidation_threshold:
            raise InputError(
                f"loan_to_value ({self.loan_to_value}) must not exceed liquidation_threshold "
                f"({self.liquidation_threshold}); lower the first or raise the second"
            )
        worth = self.liquidation_threshold * (1.0 + self.liquidation_bonus)
        if worth > 1.0 + 1e-12:
            raise InputError(
                f"liquidation_threshold * (1 + liquidation_bonus) ({worth:.6g}) must not exceed 1, "
                "or a liquidation at the threshold could not be paid; lower either"
            )

    @property
    def flag_bits(self) -> int:
        """Bits of `ReserveFlag`."""
        flag = ReserveFlag
        return int(
            flag.ACTIVE * self.is_active
            | flag.FROZEN * self.is_frozen
            | flag.PAUSED * self.is_paused
            | flag.BORROWING * self.can_be_borrowed
            | flag.COLLATERAL * self.can_be_collateral
        )


@dataclass(frozen=True, kw_only=True)
class MarketConfig:
    """One lending market: liquidation rules, loss order and assets.

    The defaults are the rules of Aave v3 without its limits on small positions, which are sums of
    money (2,000 and 1,000 quote units from version 3.3) and therefore stated by whoever wants them.
    """

    reserves: tuple[ReserveConfig, ...]
    close_factor: PartialFraction = 0.5
    close_base: CloseBase = CloseBase.TOTAL_DEBT
    full_close_below: Fraction = 0.95
    full_close_value: Finite = 0.0
    dust_value: Finite = 0.0
    loss_order: tuple[LossBearer, ...] = (LossBearer.TREASURY, LossBearer.SUPPLIERS)

    def __post_init__(self) -> None:
        """Check bounds, that there is an asset, and that nobody bears a loss twice."""
        check_bounds(self)
        if not self.reserves:
            raise InputError("reserves is empty; a market needs at least one asset")
        if len(set(self.loss_order)) < len(self.loss_order):
            names = ", ".join(LossBearer(b).name.lower() for b in self.loss_order)
            raise InputError(f"loss_order ({names}) names a bearer twice; name each once")


# --- tables --------------------------------------------------------------------------------------


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
        positions=_blank(0, POSITION),
        collateral_reserve=np.full((0, n_collateral_slots), -1, np.int32),
        collateral_scaled=np.zeros((0, n_collateral_slots)),
        debt_reserve=np.full((0, n_debt_slots), -1, np.int32),
        debt_scaled=np.zeros((0, n_debt_slots)),
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
        "dust_value",
    ):
        table[name] = [getattr(market, name) for market in markets]
    return table


def _make_reserves(
    markets: Sequence[MarketConfig], tokens: Sequence[int], price_feeds: Sequence[int], now: int
) -> np.ndarray:
    assets = [asset for market in markets for asset in market.reserves]
    table = _blank(len(assets), RESERVE)
    table["market"] = [row for row, market in enumerate(markets) for _ in market.reserves]
    table["token"] = tokens
    table["price_feed"] = price_feeds
    table["flag_bits"] = [asset.flag_bits for asset in assets]
    table["last_update"] = now
    table["supply_index"] = table["borrow_index"] = 1.0
    for field in fields(ReserveConfig):
        if field.name in (RESERVE.names or ()):  # what the flags do not say
            table[field.name] = [getattr(asset, field.name) for asset in assets]
    return table


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
    return state._replace(
        positions=positions,
        collateral_reserve=_grown(state.collateral_reserve, n, -1),
        collateral_scaled=_grown(state.collateral_scaled, n, 0),
        debt_reserve=_grown(state.debt_reserve, n, -1),
        debt_scaled=_grown(state.debt_scaled, n, 0),
    )


def _grown(column: np.ndarray, n: int, value: int) -> np.ndarray:
    return np.concatenate([column, np.full((n, column.shape[1]), value, column.dtype)])
