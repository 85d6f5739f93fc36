"""What a configuration of lending markets may say: assets, risk limits, liquidation rules.

Bounds stand in the annotations, where validators and schemas read them too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
from typing import Annotated, Any, get_args, get_type_hints

from annotated_types import Interval

from sim.errors import InputError


class ReserveFlag(IntFlag):
    """What a reserve may be used for; the bits of `flag_bits`."""

    ACTIVE = 1  # off: nothing at all
    FROZEN = 2  # on: no new supply, no new debt
    PAUSED = 4  # on: nothing at all, for now
    BORROWING = 8  # off: no new debt
    COLLATERAL = 16  # off: counts for nothing and cannot be seized
    ISOLATED_DEBT = 32  # on: can be owed by accounts in isolation mode


class LossBearer(IntEnum):
    """Who bears a recognized deficit; the order is a row of `loss_order`."""

    NOBODY = 0  # the rest stays as an open deficit
    TREASURY = 1  # what the protocol has earned and not taken out
    SUPPLIERS = 2  # all claims pro rata: the supply index falls
    BACKSTOP = 3  # tokens that an insurer has put aside for the reserve


class CloseBase(IntEnum):
    """What the close factor is a fraction of."""

    RESERVE_DEBT = 0  # the debt repaid, as up to version 3.2
    TOTAL_DEBT = 1  # all debt of the account, as from version 3.3


MOST_WITH_MODES = 62  # assets of a mode are bits of one integer

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


def check_limits(
    loan_to_value: float, liquidation_threshold: float, liquidation_bonus: float
) -> None:
    """Check what the contract requires of the three risk limits of a collateral.

    Raises
    ------
    InputError
        The loan to value exceeds the threshold, or the bonus cannot be paid at the threshold.
    """
    if loan_to_value > liquidation_threshold:
        raise InputError(
            f"loan_to_value ({loan_to_value}) must not exceed liquidation_threshold "
            f"({liquidation_threshold}); lower the first or raise the second"
        )
    worth = liquidation_threshold * (1.0 + liquidation_bonus)
    if worth > 1.0 + 1e-12:
        raise InputError(
            f"liquidation_threshold * (1 + liquidation_bonus) ({worth:.6g}) must not exceed 1, "
            "or a liquidation at the threshold could not be paid; lower either"
        )


@dataclass(frozen=True, kw_only=True)
class ReserveConfig:
    """One asset of a market: interest rate, risk limits, flags.

    Rates are per year; fractions are of value; caps and backstop in tokens. A finite `debt_ceiling`
    (tokens owed, counted without interest) makes it collateral in isolation. A `rate_at_target`
    above 0 puts the adaptive curve in the place of the kinked one: `kink` is then its target, and
    the other rates play no part. The defaults are a plain asset that can be lent and pledged; there
    is no default price.
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
    debt_ceiling: NonNegative = math.inf
    rate_at_target: Finite = 0.0
    steepness: Positive = 4.0
    adjustment_speed: Finite = 50.0
    least_rate: Finite = 0.001
    most_rate: Finite = 2.0
    exact_exponential: bool = False
    virtual_shares: Finite = 0.0
    backstop: Finite = 0.0
    is_active: bool = True
    is_frozen: bool = False
    is_paused: bool = False
    can_be_borrowed: bool = True
    can_be_collateral: bool = True
    can_be_borrowed_in_isolation: bool = False

    def __post_init__(self) -> None:
        """Check bounds and what the contract requires of the three risk limits."""
        check_bounds(self)
        check_limits(self.loan_to_value, self.liquidation_threshold, self.liquidation_bonus)

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
            | flag.ISOLATED_DEBT * self.can_be_borrowed_in_isolation
        )


@dataclass(frozen=True, kw_only=True)
class ModeConfig:
    """One efficiency mode: risk limits for accounts that keep to assets which move together.

    Assets are numbers of the market's reserves, counted from 0. In the mode the limits replace
    those of the collateral assets named, and only the borrowable ones can be owed.
    """

    label: str
    loan_to_value: Fraction
    liquidation_threshold: PartialFraction
    liquidation_bonus: Finite
    collateral: tuple[int, ...]
    borrowable: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check bounds and the three risk limits."""
        check_bounds(self)
        check_limits(self.loan_to_value, self.liquidation_threshold, self.liquidation_bonus)


@dataclass(frozen=True, kw_only=True)
class MarketConfig:
    """One lending market: liquidation rules, loss order and assets.

    The defaults are the rules of Aave v3 without its limits on small positions, which are sums of
    money (2,000 and 1,000 quote units from version 3.3) and therefore stated by whoever wants them.
    With `fixed_point` two roundings of the contract's that can be seen are made as there: the mean
    limits of an account with several claims go down to whole basis points, and the third power of a
    rate per second to 27 digits.
    """

    reserves: tuple[ReserveConfig, ...]
    close_factor: PartialFraction = 0.5
    close_base: CloseBase = CloseBase.TOTAL_DEBT
    full_close_below: Fraction = 0.95
    full_close_value: Finite = 0.0
    dust_value: Finite = 0.0
    fixed_point: bool = False
    loss_order: tuple[LossBearer, ...] = (LossBearer.TREASURY, LossBearer.SUPPLIERS)
    modes: tuple[ModeConfig, ...] = ()
    accrues_with: int = -1  # reserve that accrues when another is withdrawn; -1: itself alone

    def __post_init__(self) -> None:
        """Check bounds, that there is an asset, and that nobody bears a loss twice."""
        check_bounds(self)
        if not self.reserves:
            raise InputError("reserves is empty; a market needs at least one asset")
        if len(set(self.loss_order)) < len(self.loss_order):
            names = ", ".join(LossBearer(b).name.lower() for b in self.loss_order)
            raise InputError(f"loss_order ({names}) names a bearer twice; name each once")
        if self.modes and len(self.reserves) > MOST_WITH_MODES:
            raise InputError(
                f"a market with efficiency modes has {len(self.reserves)} reserves; "
                f"it can have {MOST_WITH_MODES}"
            )
        for mode in self.modes:
            for asset in (*mode.collateral, *mode.borrowable):
                if not 0 <= asset < len(self.reserves):
                    raise InputError(
                        f"efficiency mode '{mode.label}' names reserve {asset}; the market has 0 "
                        f"to {len(self.reserves) - 1}"
                    )
