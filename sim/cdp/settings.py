"""What a scenario says about a CDP market."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim.registry import Config

KIND = "cdp"


class FixedSpread(Config):
    """Liquidation at a fixed spread: whoever repays the debt takes collateral with a bonus."""

    kind: Literal["fixed_spread"] = "fixed_spread"
    bonus: float = Field(
        0.13, ge=0.0, le=1.0, description="What a liquidator gets on top of what it repays."
    )
    close_factor: float = Field(
        1.0, gt=0.0, le=1.0, description="Share of the debt that one liquidation may repay."
    )


class EnglishAuction(Config):
    """Auctions of 2020: bids rise up to debt and penalty, then the lot asked for falls."""

    kind: Literal["english"]
    penalty: float = Field(
        0.13, ge=0.0, le=1.0, description="Penalty on the debt, part of what is to be raised."
    )
    lot_size: float | None = Field(
        50.0,
        gt=0.0,
        description="Most collateral of one auction; a whole vault when left out.",
        json_schema_extra={"unit": "token"},
    )
    min_bid_increase: float = Field(
        0.03, gt=0.0, le=1.0, description="By how much a bid must beat the last one, as a share."
    )
    bid_duration_minutes: float = Field(
        10.0,
        gt=0.0,
        description="Time without a better bid after which the last one wins.",
        json_schema_extra={"unit": "min"},
    )
    auction_hours: float = Field(
        6.0, gt=0.0, description="Longest time of an auction.", json_schema_extra={"unit": "h"}
    )


class ExponentialStep(Config):
    """A price that falls by a factor at equal steps."""

    kind: Literal["exponential_step"] = "exponential_step"
    factor: float = Field(0.99, gt=0.0, lt=1.0, description="Price after a step over that before.")
    step_seconds: float = Field(
        90.0, gt=0.0, description="Length of a step.", json_schema_extra={"unit": "s"}
    )


class LinearDecrease(Config):
    """A price that falls in a straight line to 0."""

    kind: Literal["linear"]
    zero_after_seconds: float = Field(
        21_600.0, gt=0.0, description="Time until the price is 0.", json_schema_extra={"unit": "s"}
    )


class DutchAuction(Config):
    """Auctions since 2021: the price falls until somebody takes the lot, or a part of it."""

    kind: Literal["dutch"]
    penalty: float = Field(
        0.13, ge=0.0, le=1.0, description="Penalty on the debt, part of what is to be raised."
    )
    start_factor: float = Field(
        1.2, gt=0.0, description="First price of an auction over the oracle's."
    )
    curve: Annotated[ExponentialStep | LinearDecrease, Field(discriminator="kind")] = Field(
        ExponentialStep(), description="How the price falls."
    )
    stale_after_minutes: float = Field(
        140.0,
        gt=0.0,
        description="Time after which an auction must be restarted.",
        json_schema_extra={"unit": "min"},
    )
    stale_below: float = Field(
        0.4,
        ge=0.0,
        lt=1.0,
        description="Price over first price below which an auction must be restarted.",
    )
    keeper_tip: float = Field(
        250.0,
        ge=0.0,
        description="Paid to whoever starts or restarts an auction.",
        json_schema_extra={"unit": "debt tokens"},
    )
    keeper_share: float = Field(
        0.001, ge=0.0, le=1.0, description="The same as a share of what is to be raised."
    )


class CdpConfig(Config):
    """A market of collateralized debt positions with the rules of Maker."""

    kind: Literal["cdp"]
    chain: str = Field(description="Chain on which the market lives.")
    collateral: str = Field(description="Symbol of the collateral.")
    debt: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_+-]{0,62}$",
        description="Symbol of the debt token, which vaults mint and burn.",
    )
    debt_asset: str | None = Field(
        None,
        description="Asset whose price path the debt token has; with it the token comes into being "
        "here. Left out: another CDP market of the chain issues it.",
    )
    is_listed: bool = Field(
        True,
        description="Whether the debt token trades on the reference market; else in pools alone, "
        "and the asset is its par.",
    )
    feed: str = Field(description="Oracle that prices the collateral here.")
    target_price_usd: float = Field(
        1.0,
        gt=0.0,
        description="Price at which the market counts its debt token.",
        json_schema_extra={"unit": "USD"},
    )
    liquidation_ratio: float = Field(
        1.5, ge=1.0, description="Least collateral value over debt value."
    )
    stability_fee: float = Field(
        0.0,
        ge=0.0,
        le=10.0,
        description="What a debt grows by in a year of 365 days, compounded each instant.",
        json_schema_extra={"unit": "fraction per year"},
    )
    debt_floor: float = Field(
        0.0,
        ge=0.0,
        description="Least debt of a vault that has one (dust).",
        json_schema_extra={"unit": "debt tokens"},
    )
    debt_ceiling: float | None = Field(
        None,
        ge=0.0,
        description="Most debt of all vaults (line); none when left out.",
        json_schema_extra={"unit": "debt tokens"},
    )
    liquidation: Annotated[
        FixedSpread | EnglishAuction | DutchAuction, Field(discriminator="kind")
    ] = Field(FixedSpread(), description="How unsafe vaults are liquidated.")
    surplus_at_start: float = Field(
        0.0,
        ge=0.0,
        description="Surplus of the system at the start, first to bear losses.",
        json_schema_extra={"unit": "debt tokens"},
    )
    backstop: float = Field(
        0.0,
        ge=0.0,
        description="Most that the insurer outside pays for losses beyond the surplus.",
        json_schema_extra={"unit": "debt tokens"},
    )

    @model_validator(mode="after")
    def _check(self) -> CdpConfig:
        if self.collateral == self.debt:
            raise ValueError(f"collateral and debt are both '{self.debt}'; name two tokens")
        if isinstance(self.liquidation, FixedSpread):
            worth = (1.0 + self.liquidation.bonus) / self.liquidation_ratio
            if worth > 1.0 + 1e-12:
                raise ValueError(
                    f"liquidation.bonus ({self.liquidation.bonus:g}) must leave 1 + bonus at or "
                    f"below the liquidation_ratio ({self.liquidation_ratio:g}), or a liquidation "
                    "at the ratio could not be paid; lower it or raise the ratio"
                )
        return self
