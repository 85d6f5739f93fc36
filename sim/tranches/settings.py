"""What a scenario says about a tranche vault."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sim.registry import Config
from sim.tranches.state import N_SEEN, N_TRANCHES
from sim.units import HOUR, MINUTE

KIND = "tranches"


class TrancheSettings(Config):
    """One tranche of a vault."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,20}$",
        description="Name; its shares are the token VAULT-name.",
    )
    thickness: float | None = Field(
        None,
        gt=0.0,
        lt=1.0,
        description="Share of the vault's value at the start; of the first tranche, what the "
        "others leave when left out.",
    )
    rate: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="What it is paid under fixed rates; the last tranche gets what is left.",
        json_schema_extra={"unit": "fraction/year"},
    )
    notice_hours: float = Field(
        0.0,
        ge=0.0,
        le=8_784.0,
        description="Least time that a redemption waits.",
        json_schema_extra={"unit": "h"},
    )


class FixedRates(Config):
    """Fixed rates for all but the last tranche, which gets what is left."""

    kind: Literal["fixed_senior"] = "fixed_senior"


class AdaptiveSplit(Config):
    """Two tranches share the yield by their sizes: the larger the senior, the more it gets."""

    kind: Literal["adaptive_split"]
    least: float = Field(
        0.5, ge=0.0, le=1.0, description="Least share of the base yield that the senior gets."
    )
    most: float = Field(
        0.99, ge=0.0, le=1.0, description="Most share of the base yield that the senior gets."
    )

    @model_validator(mode="after")
    def _check(self) -> AdaptiveSplit:
        if self.least > self.most:
            raise ValueError(f"least ({self.least:g}) must not exceed most ({self.most:g})")
        return self


class JuniorLeverage(Config):
    """All earn in proportion; the junior's value, spread and number of holders bound the senior."""

    kind: Literal["leverage"]
    ceded: float = Field(
        0.2, ge=0.0, lt=1.0, description="Share of their income that the others cede to the last."
    )
    highest: float = Field(
        4.0, gt=0.0, le=100.0, description="Highest leverage: senior value over diversified junior."
    )
    fewest_backers: float = Field(
        0.0, ge=0.0, description="Junior holders below which the senior takes no deposits."
    )
    most_backers: float = Field(
        10.0, gt=0.0, description="Junior holders from which leverage is the highest."
    )

    @model_validator(mode="after")
    def _check(self) -> JuniorLeverage:
        if self.fewest_backers >= self.most_backers:
            raise ValueError(
                f"fewest_backers ({self.fewest_backers:g}) must be below most_backers "
                f"({self.most_backers:g})"
            )
        return self


Income = Annotated[FixedRates | AdaptiveSplit | JuniorLeverage, Field(discriminator="kind")]


class TrancheVaultConfig(Config):
    """A vault that issues tranches over a portfolio which a population of vault managers runs."""

    kind: Literal["tranches"]
    chain: str = Field(description="Chain of the vault and of all that it holds.")
    token: str = Field(description="Cash of the vault: paid in, paid out, and its unit of account.")
    value_usd: float = Field(
        gt=0.0,
        le=1e15,
        description="Value at the start; shares that no population or pool holds are outside.",
        json_schema_extra={"unit": "USD"},
    )
    tranches: list[TrancheSettings] = Field(
        min_length=2, max_length=N_TRANCHES, description="Tranches, senior first."
    )
    income: Income = Field(FixedRates(), description="How income is shared.")
    epoch_hours: float = Field(
        24.0,
        gt=0.0,
        le=8_784.0,
        description="Time between services of the queues.",
        json_schema_extra={"unit": "h"},
    )
    gate: float = Field(
        1.0, gt=0.0, le=1.0, description="Share of a tranche's value that an epoch redeems at most."
    )
    minimum_coverage: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Least share of value below the senior tranche that exits from below it, and "
        "entries to it, may leave.",
    )
    nav: Literal["book", "oracle", "exit"] = Field(
        "oracle",
        description="Net asset value: as venues book it, less losses that show at their prices, or "
        "less what a sale of everything now would cost too.",
    )
    valuation_minutes: float = Field(
        10.0,
        gt=0.0,
        description="Time between valuations.",
        json_schema_extra={"unit": "min"},
    )
    recognition_delay_hours: float = Field(
        0.0,
        ge=0.0,
        description="Time from a valuation to its recognition.",
        json_schema_extra={"unit": "h"},
    )
    swing: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Share of the price that redeemers leave when outflow is large.",
    )
    swing_threshold: float = Field(
        0.01, ge=0.0, description="Net outflow of an epoch over value from which they do."
    )
    stop_loss: float | None = Field(
        None,
        gt=0.0,
        lt=1.0,
        description="Recognized fall from the highest value of a unit that stops the vault; never "
        "when left out.",
    )
    wind_down_after_hours: float | None = Field(
        None,
        ge=0.0,
        description="Time from a stop to winding down; never by itself when left out.",
        json_schema_extra={"unit": "h"},
    )
    feeds: list[str] = Field(
        [], description="Oracles that price what it holds; tokens without one at reference prices."
    )
    exit_pools: list[str] = Field(
        [], description="Pools of cash and another token, in which that token would be sold."
    )

    @model_validator(mode="after")
    def _check(self) -> TrancheVaultConfig:
        check_tranches(self.tranches, self.income)
        longest = (N_SEEN - 2) * self.valuation_minutes * MINUTE
        if self.recognition_delay_hours * HOUR > longest:
            raise ValueError(
                f"recognition_delay_hours ({self.recognition_delay_hours:g}) is more than "
                f"{N_SEEN - 2} valuations; value less often, or recognize sooner"
            )
        return self


def check_tranches(tranches: list[TrancheSettings], income: Any) -> None:
    """Refuse tranches that do not make a whole, or that the income rule has no use for.

    Raises
    ------
    ValueError
        Says which and why.
    """
    names = [tranche.name for tranche in tranches]
    if len(set(names)) < len(names):
        raise ValueError(f"tranches are named {', '.join(names)}; give each a name of its own")
    missing = [tranche.name for tranche in tranches[1:] if tranche.thickness is None]
    if missing:
        raise ValueError(f"tranche {missing[0]} needs a thickness; only the first may leave it out")
    below = sum(float(tranche.thickness or 0.0) for tranche in tranches[1:])
    senior = tranches[0].thickness
    if below >= 1.0 or (senior is not None and abs(senior + below - 1.0) > 1e-9):
        raise ValueError(f"thicknesses add up to {(senior or 0.0) + below:g}; they must make 1")
    if income.kind == "adaptive_split" and len(tranches) != 2:
        raise ValueError(f"adaptive_split is for 2 tranches; there are {len(tranches)}")
    rated = [t.name for t in tranches if t.rate > 0.0]
    if income.kind != "fixed_senior" and rated:
        raise ValueError(f"tranche {rated[0]} has a rate, which {income.kind} has no use for")
    if tranches[-1].rate > 0.0:
        raise ValueError(f"tranche {tranches[-1].name} is the last: it gets what is left, no rate")


def thicknesses(tranches: list[TrancheSettings]) -> list[float]:
    """Return the share of each tranche in the vault's value at the start."""
    rest = [float(tranche.thickness or 0.0) for tranche in tranches[1:]]
    return [1.0 - sum(rest), *rest]
