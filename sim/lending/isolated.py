"""Isolated markets: one collateral, one loan asset, one threshold, no governance (Morpho Blue).

A borrower may owe up to `liquidation_loan_to_value` of its collateral and is liquidated, all of it
if need be, beyond that. A liquidator gets `min(1.15, 1 / (1 - 0.3 (1 - LLTV)))` times what it
repays. Collateral is never lent, so it can always be seized and taken out. What a liquidation
leaves as debt without collateral falls on the suppliers at once, in proportion to their shares.
The rate follows `sim.lending.adaptive_rate`.

Differences from the contract: amounts are real numbers and nothing is rounded against the user; a
liquidation that asks for more than the collateral pays for is cut to it, as liquidators do before
they call, where the contract reverts; who may act for whom is not modeled.

References
----------
Morpho Labs (2023), Morpho Blue white paper; contracts `Morpho`, `SharesMathLib`, `ConstantsLib`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from sim.lending.config import (
    CloseBase,
    Finite,
    LossBearer,
    MarketConfig,
    Positive,
    ReserveConfig,
    check_bounds,
)

CURSOR = 0.3  # share of what is left below 1 that goes to the liquidator
MOST_FACTOR = 1.15  # most that is seized for a unit repaid
VIRTUAL_UNITS = 1  # virtual assets, in the smallest unit of the loan token


def incentive_factor(liquidation_loan_to_value: float) -> float:
    """Return the value seized for each unit of value repaid."""
    return min(MOST_FACTOR, 1.0 / (1.0 - CURSOR * (1.0 - liquidation_loan_to_value)))


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """Terms of one isolated market; rates per year. The defaults are the deployed constants."""

    liquidation_loan_to_value: Annotated[float, Interval(gt=0.0, lt=1.0)]
    fee: Annotated[float, Interval(ge=0.0, le=0.25)] = 0.0  # share of interest
    target_utilization: Annotated[float, Interval(gt=0.0, lt=1.0)] = 0.9
    rate_at_target: Positive = 0.04
    steepness: Annotated[float, Interval(ge=1.0)] = 4.0
    adjustment_speed: Finite = 50.0
    least_rate: Positive = 0.001
    most_rate: Positive = 2.0
    exact_exponential: bool = False
    loan_decimals: Annotated[int, Interval(ge=0, le=36)] = 18

    def __post_init__(self) -> None:
        """Check bounds."""
        check_bounds(self)


def pair_market(
    pair: PairConfig, symbols: tuple[str, str], prices: dict[str, float], order: tuple[str, ...]
) -> MarketConfig:
    """Return the market of a pair.

    Parameters
    ----------
    symbols : collateral and loan asset
    prices : of both, quote units
    order : both symbols in the order of the reserves
    """
    collateral, loan = symbols
    threshold = pair.liquidation_loan_to_value
    reserves = {
        collateral: ReserveConfig(
            price=prices[collateral],
            loan_to_value=threshold,
            liquidation_threshold=threshold,
            liquidation_bonus=incentive_factor(threshold) - 1.0,
            can_be_borrowed=False,
        ),
        loan: ReserveConfig(
            price=prices[loan],
            kink=pair.target_utilization,
            reserve_factor=pair.fee,
            loan_to_value=0.0,
            liquidation_threshold=0.0,
            can_be_collateral=False,
            rate_at_target=pair.rate_at_target,
            steepness=pair.steepness,
            adjustment_speed=pair.adjustment_speed,
            least_rate=pair.least_rate,
            most_rate=pair.most_rate,
            exact_exponential=pair.exact_exponential,
            virtual_shares=VIRTUAL_UNITS * 10.0**-pair.loan_decimals,
        ),
    }
    return MarketConfig(
        reserves=tuple(reserves[symbol] for symbol in order),
        close_factor=1.0,
        close_base=CloseBase.RESERVE_DEBT,
        full_close_below=0.0,
        loss_order=(LossBearer.SUPPLIERS,),
        accrues_with=order.index(loan),
    )
