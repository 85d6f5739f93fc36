"""What a scenario says about a lending market and each of its assets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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


class LendingConfig(Config):
    """A lending market with the rules of Aave v3."""

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
