"""What a scenario says about a lending market and each of its assets."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from sim.registry import Config

KIND = "lending"


class ReserveSettings(Config):
    """One asset of a lending market."""

    feed: str = Field(description="Oracle that prices the asset here.")
    base_rate: float = Field(
        0.0,
        ge=0.0,
        description="Borrow rate without utilization.",
        json_schema_extra={"unit": "1/year"},
    )
    slope1: float = Field(
        0.055,
        ge=0.0,
        description="Rate added up to the kink.",
        json_schema_extra={"unit": "1/year"},
    )
    slope2: float = Field(
        0.60,
        ge=0.0,
        description="Rate added beyond the kink.",
        json_schema_extra={"unit": "1/year"},
    )
    kink: float = Field(0.90, gt=0.0, le=1.0, description="Utilization at which the slope changes.")
    reserve_factor: float = Field(
        0.10, ge=0.0, le=1.0, description="Share of interest that goes to the treasury."
    )
    loan_to_value: float = Field(
        0.75, ge=0.0, le=1.0, description="Share of collateral value that can be borrowed."
    )
    liquidation_threshold: float = Field(
        0.80, ge=0.0, le=1.0, description="Share of collateral value that may be owed."
    )
    liquidation_bonus: float = Field(
        0.05, ge=0.0, le=1.0, description="What a liquidator gets on top of what it repays."
    )
    liquidation_protocol_fee: float = Field(
        0.0, ge=0.0, le=1.0, description="Share of the bonus that goes to the treasury."
    )
    supply_cap: float | None = Field(
        None,
        ge=0.0,
        description="Most that can be supplied; none when left out.",
        json_schema_extra={"unit": "token"},
    )
    borrow_cap: float | None = Field(
        None,
        ge=0.0,
        description="Most that can be borrowed; none when left out.",
        json_schema_extra={"unit": "token"},
    )
    is_frozen: bool = Field(False, description="No new supply and no new debt.")
    is_paused: bool = Field(False, description="Nothing at all.")
    can_be_borrowed: bool = Field(True, description="Whether it can be borrowed.")
    can_be_collateral: bool = Field(True, description="Whether claims on it secure debts.")
    debt_ceiling: float | None = Field(
        None,
        ge=0.0,
        description="Most that all accounts with it alone as collateral may owe, tokens without "
        "interest, counted as one quote unit each: collateral in isolation. Plain when left out.",
        json_schema_extra={"unit": "quote unit"},
    )
    can_be_borrowed_in_isolation: bool = Field(
        False, description="Whether accounts in isolation may owe it."
    )
    backstop: float = Field(
        0.0,
        ge=0.0,
        description="Tokens that an insurer has put aside to bear bad debt of the reserve.",
        json_schema_extra={"unit": "token"},
    )


class ModeSettings(Config):
    """An efficiency mode: limits for accounts that keep to assets which move together."""

    loan_to_value: float = Field(ge=0.0, le=1.0, description="Replaces that of its collateral.")
    liquidation_threshold: float = Field(
        gt=0.0, le=1.0, description="Replaces that of its collateral."
    )
    liquidation_bonus: float = Field(ge=0.0, le=1.0, description="Replaces that of its collateral.")
    collateral_assets: list[str] = Field(
        min_length=1, description="Symbols of the reserves to which these limits apply."
    )
    borrowable_assets: list[str] = Field(
        min_length=1, description="Symbols of the reserves that may be owed in the mode."
    )


_PER_YEAR: dict[str, Any] = {"unit": "1/year"}
_OF_AAVE = {
    "close_factor", "close_base", "full_close_below", "full_close_value", "dust_value",
    "efficiency_modes", "loss_order", "flash_fee",
}  # fmt: skip


class IsolatedPair(Config):
    """Terms of an isolated market (Morpho Blue); the constants are the deployed ones."""

    collateral: str = Field(description="Symbol of the asset that is pledged and never lent.")
    loan: str = Field(description="Symbol of the asset that is supplied and borrowed.")
    liquidation_loan_to_value: float = Field(
        gt=0.0,
        lt=1.0,
        description="Most debt over collateral, to borrow and to stay (LLTV). It decides the bonus "
        "of liquidators: the least of 15 % and what leaves 70 % of the cushion.",
    )
    fee: float = Field(0.0, ge=0.0, le=0.25, description="Share of interest for the treasury.")
    rate_at_target: float = Field(
        0.04,
        gt=0.0,
        description="Borrow rate at target utilization, at the start.",
        json_schema_extra=_PER_YEAR,
    )
    target_utilization: float = Field(
        0.9, gt=0.0, lt=1.0, description="Utilization at which the rate stays as it is."
    )
    steepness: float = Field(
        4.0, ge=1.0, description="Rate at full utilization over that at target; its inverse: empty."
    )
    adjustment_speed: float = Field(
        50.0,
        ge=0.0,
        description="Log growth of the rate at target at full utilization.",
        json_schema_extra=_PER_YEAR,
    )
    least_rate: float = Field(
        0.001, gt=0.0, description="Least rate at target.", json_schema_extra=_PER_YEAR
    )
    most_rate: float = Field(
        2.0, gt=0.0, description="Most rate at target.", json_schema_extra=_PER_YEAR
    )
    exact_exponential: bool = Field(
        False, description="Whether the rate moves by the exponential, not the contract's parabola."
    )
    loan_decimals: int = Field(
        18, ge=0, le=36, description="Decimals of the loan token, for the virtual shares."
    )


class LendingConfig(Config):
    """A lending market with the rules of Aave v3, or one isolated pair (Morpho Blue)."""

    kind: Literal["lending"]
    chain: str = Field(description="Chain on which the market lives.")
    reserves: dict[str, ReserveSettings] = Field(min_length=1, description="Assets by symbol.")
    close_factor: float = Field(
        0.5, gt=0.0, le=1.0, description="Share of the debt that one liquidation may repay."
    )
    close_base: Literal["total_debt", "reserve_debt"] = Field(
        "total_debt", description="What the close factor is a share of."
    )
    full_close_below: float = Field(
        0.95,
        ge=0.0,
        le=1.0,
        description="Health factor at or below which all may be repaid; 0: never.",
    )
    full_close_value: float = Field(
        0.0,
        ge=0.0,
        description="Debt or seized asset worth less than this may be closed whole; version 3.3 "
        "and later: 2000.",
        json_schema_extra={"unit": "quote unit"},
    )
    dust_value: float = Field(
        0.0,
        ge=0.0,
        description="What a partial liquidation must leave of the debt and of the collateral it "
        "touches; version 3.3 and later: 1000.",
        json_schema_extra={"unit": "quote unit"},
    )
    efficiency_modes: dict[str, ModeSettings] = Field(
        {}, description="Efficiency modes by label; accounts enter them one at a time."
    )
    loss_order: list[Literal["treasury", "backstop", "suppliers"]] = Field(
        ["treasury", "suppliers"],
        description="Who bears bad debt, first bearer first; what is left stays an open deficit.",
    )
    flash_fee: float = Field(
        0.0009,
        ge=0.0,
        le=0.1,
        description="Fee of a flash loan.",
        json_schema_extra={"unit": "fraction"},
    )
    n_collateral_slots: int = Field(
        2, ge=1, le=8, description="Different assets one account can supply."
    )
    n_debt_slots: int = Field(2, ge=1, le=8, description="Different assets one account can owe.")
    isolated_pair: IsolatedPair | None = Field(
        None,
        description="Makes it one isolated market (Morpho Blue); both reserves then say their feed "
        "alone, and the rules of the pair are the only ones.",
    )

    @model_validator(mode="after")
    def _check_pair(self) -> LendingConfig:
        pair = self.isolated_pair
        if pair is None:
            return self
        if pair.collateral == pair.loan or {pair.collateral, pair.loan} != set(self.reserves):
            raise ValueError(
                f"isolated_pair of {pair.collateral} and {pair.loan}: reserves must be these two, "
                f"not {', '.join(self.reserves)}"
            )
        if not pair.least_rate <= pair.rate_at_target <= pair.most_rate:
            raise ValueError(
                f"rate_at_target ({pair.rate_at_target}) must be between least_rate "
                f"({pair.least_rate}) and most_rate ({pair.most_rate})"
            )
        given = [name for name in sorted(_OF_AAVE) if name in self.model_fields_set]
        for symbol, reserve in self.reserves.items():
            given += [f"reserves.{symbol}.{name}" for name in sorted(reserve.model_fields_set)]
        given = [name for name in given if not name.endswith(".feed")]
        if given:
            raise ValueError(f"an isolated pair has rules of its own; leave out {', '.join(given)}")
        return self
