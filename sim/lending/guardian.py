"""What a guardian or risk steward can do to a reserve, with the contract's meaning.

* *Frozen*: no new supply and no new debt; repayment, withdrawal and liquidation go on.
* *Paused*: nothing at all, liquidation included.
* *Loan to value 0*: nothing new can be borrowed against the asset, claims on it are not used as
  collateral from their first supply, and whoever owes and pledges it must take it out before other
  collateral. Positions keep their liquidation threshold.
* *Caps* stop what is new; what exceeds a lowered cap stays.
* *Liquidation threshold*: existing positions are measured by it at once.
* *Rates*: interest up to now is written down at the old ones.

References
----------
Aave v3 contracts: `PoolConfigurator` (freezing sets the loan to value to 0 from version 3.1).
"""

from __future__ import annotations

import math
from typing import Any

from sim.errors import InputError
from sim.lending.config import ReserveFlag, check_limits
from sim.lending.reserve import accrue

_RATES = ("base_rate", "slope1", "slope2", "kink", "reserve_factor")
_CURVE = ("base_rate", "slope1", "slope2")
_CAPS = ("supply_cap", "borrow_cap", "debt_ceiling")
_NONE = -1.0  # of `pending_loan_to_value`


class Guardian:
    """Acts on one reserve at one time.

    Parameters
    ----------
    asset : record of the reserve, changed in place
    now : tick
    """

    def __init__(self, asset: Any, now: int) -> None:
        self.asset, self.now = asset, now

    def _set_flag(self, flag: ReserveFlag, is_on: bool) -> None:
        bits = int(self.asset["flag_bits"])
        self.asset["flag_bits"] = bits | int(flag) if is_on else bits & ~int(flag)

    def freeze(self, *, zero_loan_to_value: bool = False) -> None:
        """Freeze; with `zero_loan_to_value` keep the loan to value for the end of the freeze."""
        self._set_flag(ReserveFlag.FROZEN, True)
        if zero_loan_to_value and self.asset["pending_loan_to_value"] == _NONE:
            self.asset["pending_loan_to_value"] = self.asset["loan_to_value"]
            self.asset["loan_to_value"] = 0.0

    def unfreeze(self) -> None:
        """End a freeze; a loan to value that was kept comes back."""
        self._set_flag(ReserveFlag.FROZEN, False)
        if self.asset["pending_loan_to_value"] != _NONE:
            self.asset["loan_to_value"] = self.asset["pending_loan_to_value"]
            self.asset["pending_loan_to_value"] = _NONE

    def pause(self) -> None:
        """Let nothing happen."""
        self._set_flag(ReserveFlag.PAUSED, True)

    def unpause(self) -> None:
        """Let the reserve work again."""
        self._set_flag(ReserveFlag.PAUSED, False)

    def set_borrowing(self, *, is_enabled: bool) -> None:
        """Allow or forbid new debt."""
        self._set_flag(ReserveFlag.BORROWING, is_enabled)

    def set_caps(self, **caps: float) -> None:
        """Set `supply_cap`, `borrow_cap` or `debt_ceiling`; inf: none.

        Raises
        ------
        InputError
            A cap is not one of these, or negative; or a ceiling is added to an asset that is plain
            collateral already, or taken away.
        """
        for name, value in caps.items():
            if name not in _CAPS or not value >= 0.0:
                raise InputError(f"{name} ({value}) must be one of {', '.join(_CAPS)}, at least 0")
            is_isolated = self.asset["debt_ceiling"] < math.inf
            if (
                name == "debt_ceiling"
                and (value < math.inf) != is_isolated
                and self.asset["scaled_supply"] > 0.0
            ):
                raise InputError(
                    f"debt_ceiling ({value}): an asset that has suppliers cannot begin or cease to "
                    "be isolated; set a number for an isolated asset, inf for a plain one"
                )
        for name, value in caps.items():
            self.asset[name] = value

    def set_limits(
        self,
        *,
        loan_to_value: float | None = None,
        liquidation_threshold: float | None = None,
        liquidation_bonus: float | None = None,
    ) -> None:
        """Set risk limits; what is left out stays.

        Raises
        ------
        InputError
            The three together are not possible.
        """
        pending = float(self.asset["pending_loan_to_value"])
        current = float(self.asset["loan_to_value"]) if pending == _NONE else pending
        limits = (
            current if loan_to_value is None else loan_to_value,
            _or(liquidation_threshold, self.asset["liquidation_threshold"]),
            _or(liquidation_bonus, self.asset["liquidation_bonus"]),
        )
        check_limits(*limits)
        place = "loan_to_value" if pending == _NONE else "pending_loan_to_value"
        self.asset[place] = limits[0]
        self.asset["liquidation_threshold"], self.asset["liquidation_bonus"] = limits[1:]

    def set_rates(self, **rates: float) -> None:
        """Set parameters of the rate curve or the reserve factor, from now on.

        Raises
        ------
        InputError
            A name is none of these, or its value impossible.
        """
        is_adaptive = self.asset["rate_at_target"] > 0.0
        for name, value in rates.items():
            if is_adaptive and name in _CURVE:
                raise InputError(
                    f"{name} ({value}): the reserve has the adaptive curve, which has no such "
                    "rate; set kink (its target) or reserve_factor"
                )
            most = 1.0 if name in {"kink", "reserve_factor"} else math.inf
            if name not in _RATES or not 0.0 <= value <= most or (name == "kink" and value == 0.0):
                raise InputError(f"{name} ({value}) is not a possible {' or '.join(_RATES)}")
        accrue(self.asset, self.now)
        for name, value in rates.items():
            self.asset[name] = value


def set_mode_limits(
    mode: Any,
    loan_to_value: float | None,
    liquidation_threshold: float | None,
    liquidation_bonus: float | None,
) -> None:
    """Set risk limits of an efficiency mode; what is left out stays.

    Raises
    ------
    InputError
        The three together are not possible.
    """
    limits = (
        _or(loan_to_value, mode["loan_to_value"]),
        _or(liquidation_threshold, mode["liquidation_threshold"]),
        _or(liquidation_bonus, mode["liquidation_bonus"]),
    )
    check_limits(*limits)
    mode["loan_to_value"], mode["liquidation_threshold"], mode["liquidation_bonus"] = limits


def _or(value: float | None, current: Any) -> float:
    return float(current) if value is None else value
