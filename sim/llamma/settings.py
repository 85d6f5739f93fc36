"""What a scenario says about a crvUSD market."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sim.registry import Config

KIND = "llamma"
FEWEST, MOST = 4, 50  # bands of one loan


class LlammaConfig(Config):
    """A market of loans whose collateral lies in bands, with its pool (crvUSD)."""

    kind: Literal["llamma"]
    chain: str = Field(description="Chain on which the market lives.")
    collateral: str = Field(description="Symbol of the collateral.")
    debt: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_+-]{0,62}$",
        description="Symbol of the debt token, which loans mint and burn.",
    )
    debt_asset: str | None = Field(
        None,
        description="Asset whose price path the debt token has; with it the token comes into being "
        "here. Left out: another such market of the chain issues it.",
    )
    is_listed: bool = Field(
        True,
        description="Whether the debt token trades on the reference market; else in pools alone, "
        "and the asset is its par.",
    )
    feed: str = Field(description="Oracle that prices the collateral, in debt tokens of 1 USD.")
    amplification: float = Field(
        100.0, ge=2.0, le=1_000.0, description="A: a band is as wide as 1 / A of its price."
    )
    fee: float = Field(
        0.006,
        ge=0.0,
        lt=0.5,
        description="Share of the input of an exchange that stays in the band.",
        json_schema_extra={"unit": "fraction of amount in"},
    )
    has_dynamic_fee: bool = Field(
        True,
        description="Whether an exchange soon after a move of the oracle pays at least that move: "
        "1 - ratio^3, falling to 0 within oracle_delay_seconds, and a single move counts 25 % at "
        "most.",
    )
    oracle_delay_seconds: float = Field(
        120.0,
        gt=0.0,
        description="Time in which a move of the oracle is forgotten by the dynamic fee.",
        json_schema_extra={"unit": "s"},
    )
    loan_discount: float = Field(
        0.09, ge=0.0, lt=1.0, description="Share of collateral that cannot be borrowed against."
    )
    liquidation_discount: float = Field(
        0.06, ge=0.0, lt=1.0, description="Share of collateral that does not count for health."
    )
    rate: float = Field(
        0.0,
        ge=0.0,
        le=10.0,
        description="Interest on loans; the prices of bands grow with it.",
        json_schema_extra={"unit": "1/year"},
    )
    debt_ceiling: float | None = Field(
        None,
        ge=0.0,
        description="Most that all loans may owe; none when left out.",
        json_schema_extra={"unit": "debt tokens"},
    )

    @model_validator(mode="after")
    def _check(self) -> LlammaConfig:
        if self.loan_discount <= self.liquidation_discount:
            raise ValueError(
                f"loan_discount ({self.loan_discount}) must be above liquidation_discount "
                f"({self.liquidation_discount}), or a new loan could be liquidated at once"
            )
        return self
