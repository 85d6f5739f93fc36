"""What a scenario may say about prices: the fundamental, its correlations, impact and venue terms.

Volatilities are fractions per square root of a day. A drift is the drift *of the log price* per
day unless `drift_of: price` is set; the default, zero drift of the log price, makes the log price
a martingale, so that the expected price grows at half the variance rate.
"""

from __future__ import annotations

import math
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from collections.abc import Iterable

_PER_ROOT_DAY = "1/sqrt(day)"
LOWEST_PRICE, HIGHEST_PRICE = 1e-12, 1e12  # USD: what numbers of tokens can be counted in doubles


def _quantity(unit: str, description: str, default: Any = ..., **bounds: Any) -> Any:
    """Return a field with its unit in the JSON schema."""
    return Field(default, description=description, json_schema_extra={"unit": unit}, **bounds)


def _volatility(description: str) -> Any:
    """Return the volatility of a drawn path, which a study may scale."""
    extra: Any = {"unit": _PER_ROOT_DAY, "stress": {"volatility": "multiply"}}
    return Field(..., description=description, json_schema_extra=extra, ge=0)


def _price(description: str) -> Any:
    """Return the field of a price in USD."""
    return _quantity("USD", description, ge=LOWEST_PRICE, le=HIGHEST_PRICE)


Point = Annotated[tuple[float, float], Field(strict=False)]  # a YAML list [hours, price]
Points = Annotated[tuple[Point, ...], Field(strict=False)]


class Settings(BaseModel):
    """Base of the settings here: strict types, unknown keys refused, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class _Diffusion(Settings):
    """What the drawn processes share; their normals can be correlated."""

    is_diffusive: ClassVar[bool] = True

    price: float = _price("Price at time 0.")
    drift_of: Literal["log_price", "price"] = Field(
        "log_price",
        description="What the drift belongs to. `log_price`: the mean log return per day, so that "
        "0 makes the log price a martingale. `price`: the growth rate of the expected price, so "
        "that 0 makes the price itself a martingale (jumps are compensated).",
    )


class FixedPriceConfig(Settings):
    """A price that never moves, such as a stablecoin's par."""

    is_diffusive: ClassVar[bool] = False

    kind: Literal["fixed"]
    price: float = _price("The price.")


class GbmPriceConfig(_Diffusion):
    """Geometric Brownian motion: d ln F = drift dt + volatility dW."""

    kind: Literal["gbm"]
    volatility: float = _volatility("Standard deviation of the log return.")
    drift_per_day: float = _quantity("1/day", "Drift; of what, `drift_of` says.", 0.0)


class JumpDiffusionPriceConfig(_Diffusion):
    """Geometric Brownian motion with normal jumps of the log price at Poisson times (Merton 1976).

    With `drift_of: log_price` the drift is that of the continuous part: jumps come on top.
    """

    kind: Literal["jump_diffusion"]
    volatility: float = _volatility("Volatility between jumps.")
    drift_per_day: float = _quantity("1/day", "Drift; of what, `drift_of` says.", 0.0)
    jumps_per_day: float = _quantity("1/day", "Mean number of jumps.", ge=0)
    jump_mean: float = _quantity("log price", "Mean jump of the log price.")
    jump_sd: float = _quantity("log price", "Standard deviation of a jump.", ge=0)


class RegimeConfig(Settings):
    """One regime of a switching process."""

    name: str = Field(min_length=1, description="Name of the regime.")
    volatility: float = _volatility("Volatility in this regime.")
    drift_per_day: float = _quantity("1/day", "Drift; of what, `drift_of` says.", 0.0)
    mean_dwell_seconds: float = _quantity("s", "Mean of the exponential dwell time.", gt=0)
    next_weights: dict[str, float] | None = Field(
        None,
        description="Relative chance of each regime that may follow, by name; by default all "
        "others are equally likely.",
    )


class RegimeSwitchingPriceConfig(_Diffusion):
    """Geometric Brownian motion whose regime switches at exponential times (a Markov chain).

    The path starts in the first regime listed.
    """

    kind: Literal["regime_switching"]
    regimes: Annotated[tuple[RegimeConfig, ...], Field(strict=False)] = Field(
        min_length=2, description="The regimes; the first is where the path starts."
    )

    @model_validator(mode="after")
    def _check_regimes(self) -> RegimeSwitchingPriceConfig:
        names = [regime.name for regime in self.regimes]
        if len(set(names)) < len(names):
            raise ValueError(f"regimes are named {', '.join(names)}; give each a name of its own")
        for regime in self.regimes:
            _check_next_weights(regime, names)
        return self


def _check_next_weights(regime: RegimeConfig, names: list[str]) -> None:
    """Raise when a regime is followed by itself, by an unknown one or by none."""
    if regime.next_weights is None:
        return
    others = [name for name in names if name != regime.name]
    for name, weight in regime.next_weights.items():
        if name not in others:
            raise ValueError(
                f"next_weights of regime '{regime.name}' names '{name}'; "
                f"it may name {', '.join(others)}"
            )
        if weight < 0:
            raise ValueError(
                f"next_weights of regime '{regime.name}' gives '{name}' {weight}; "
                "a weight must be at least 0"
            )
    if math.fsum(regime.next_weights.values()) <= 0:
        raise ValueError(
            f"next_weights of regime '{regime.name}' has no positive weight; give one, "
            "or leave next_weights out for equal chances"
        )


class VolatilitySegment(Settings):
    """Volatility of the bridge up to a time."""

    until_hours: float = _quantity("h", "End of the segment, since time 0.", gt=0)
    volatility: float = _quantity(_PER_ROOT_DAY, "Volatility about the waypoints.", ge=0)


class _Pinned(Settings):
    """What known paths share: they can be made deeper, and faster."""

    shock_scale: float = Field(
        1.0,
        ge=0.0,
        le=10.0,
        description="Multiplies how far, in logarithm, the path moves away from its first price.",
        json_schema_extra={"unit": "1", "stress": {"shock_scale": "multiply"}},
    )
    shock_speed: float = Field(
        1.0,
        ge=0.01,
        le=100.0,
        description="How many times faster the path is run through; it then rests at its last "
        "price.",
        json_schema_extra={"unit": "1", "stress": {"shock_speed": "multiply"}},
    )


class WaypointsPriceConfig(_Pinned):
    """Known prices at known times, joined by a Brownian bridge of the log price.

    Its mean is log-linear in time between waypoints; its noise has the volatility stated, less
    what the bridge takes back to arrive.
    """

    is_diffusive: ClassVar[bool] = True

    kind: Literal["waypoints"]
    waypoints: Points = Field(
        min_length=2,
        description="Pairs [hours since time 0, price]; the first at hour 0, hours rising, the "
        "last at or beyond the horizon. Met exactly, at the first grid step not before them.",
        json_schema_extra={"unit": "h, USD"},
    )
    volatility: Annotated[tuple[VolatilitySegment, ...], Field(strict=False)] = Field(
        min_length=1, description="Volatility by segment, up to the last waypoint."
    )
    wicks: Points = Field(
        (),
        description="Pairs [hours since time 0, price] of short excursions: the path leaves the "
        "line between waypoints `wick_seconds` before, touches the price, and is back as long "
        "after (or at a waypoint that comes sooner).",
        json_schema_extra={"unit": "h, USD"},
    )
    wick_seconds: float = _quantity("s", "Time from the line to a wick's end and back.", 60.0, gt=0)

    @model_validator(mode="after")
    def _check_points(self) -> WaypointsPriceConfig:
        hours = [hour for hour, _ in self.waypoints]
        if hours[0] != 0.0:
            raise ValueError(f"waypoints start at hour {hours[0]:g}; the first must be at hour 0")
        _check_rising("waypoints", hours)
        _check_rising("wicks", [hour for hour, _ in self.wicks])
        for name, points in (("waypoints", self.waypoints), ("wicks", self.wicks)):
            for hour, price in points:
                if not LOWEST_PRICE <= price <= HIGHEST_PRICE:
                    raise ValueError(
                        f"{name} at hour {hour:g} has price {price:g}; it must be from "
                        f"{LOWEST_PRICE:g} to {HIGHEST_PRICE:g}"
                    )
        for hour, _ in self.wicks:
            if not 0 < hour < hours[-1] or hour in hours:
                raise ValueError(
                    f"wicks has hour {hour:g}; a wick lies between waypoints, "
                    f"inside (0, {hours[-1]:g}) and on none of them"
                )
        return self

    @model_validator(mode="after")
    def _check_volatility(self) -> WaypointsPriceConfig:
        ends = [segment.until_hours for segment in self.volatility]
        _check_rising("volatility.until_hours", ends)
        last = self.waypoints[-1][0]
        if ends[-1] < last:
            raise ValueError(
                f"volatility ends at hour {ends[-1]:g}; it must reach the last waypoint "
                f"at hour {last:g}"
            )
        return self


def _check_rising(name: str, hours: Iterable[float]) -> None:
    """Raise when times are not strictly increasing."""
    before = -math.inf
    for hour in hours:
        if hour <= before:
            raise ValueError(f"{name} has hour {hour:g} after hour {before:g}; hours must rise")
        before = hour


class ReplayPriceConfig(_Pinned):
    """A historical path from exchange candles (CSV or Parquet)."""

    is_diffusive: ClassVar[bool] = False

    kind: Literal["replay"]
    file: str = Field(
        min_length=1, description="File with columns time, open, high, low, close, volume."
    )
    start: Annotated[datetime, Field(strict=False)] | None = Field(
        None,
        description="Opening time of the candle that is time 0 (UTC unless it has a zone); by "
        "default the first candle of the file.",
    )
    candle_path: Literal["extremes", "open_close"] = Field(
        "extremes",
        description="How a candle becomes a path, log-linear between its points. `extremes`: open, "
        "the extreme nearer to the open, the other extreme, close. `open_close`: open and close.",
    )
    sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 that the file must have; a scenario as run records it.",
    )


PriceConfig = Annotated[
    FixedPriceConfig
    | GbmPriceConfig
    | JumpDiffusionPriceConfig
    | RegimeSwitchingPriceConfig
    | WaypointsPriceConfig
    | ReplayPriceConfig,
    Field(discriminator="kind"),
]


class CorrelationConfig(Settings):
    """Correlation of the diffusive parts of two assets; pairs not named are uncorrelated."""

    assets: Annotated[tuple[str, str], Field(strict=False)] = Field(
        description="The two assets, whose prices are drawn or bridged (not fixed or replayed)."
    )
    correlation: float = _quantity("1", "Correlation of their normals.", ge=-1, le=1)


class ImpactConfig(Settings):
    """Impact of trades on the reference price: coefficient x daily volatility x volume / turnover.

    The permanent part stays; the transient part decays exponentially (Almgren et al. 2005,
    linearized).
    """

    daily_volume_usd: float = _quantity("USD/day", "Turnover of the reference market.", gt=0)
    volatility: float = _quantity(_PER_ROOT_DAY, "Volatility that scales the impact.", ge=0)
    permanent_coefficient: float = _quantity("1", "Permanent impact coefficient.", 0.3, ge=0)
    transient_coefficient: float = _quantity("1", "Transient impact coefficient.", 7.0, ge=0)
    half_life_minutes: float = _quantity("min", "Half-life of the transient part.", 15.0, gt=0)
    depth: Literal["constant", "trailing"] = Field(
        "constant",
        description="`constant`: the terms above hold throughout. `trailing`: they are those of a "
        "calm day, and impact per USD grows with the trailing volatility and shrinks with the "
        "trailing turnover, as the asset's `trailing` says.",
    )


class VenueTermsConfig(Settings):
    """What a taker pays on the reference market beside impact."""

    spread_bps: float = _quantity("bp", "Full spread between bid and ask.", 1.0, ge=0, lt=20_000)
    taker_fee_bps: float = _quantity("bp", "Fee of the value traded.", 10.0, ge=0, lt=10_000)
    spread: Literal["constant", "trailing"] = Field(
        "constant",
        description="`constant`: the spread above holds throughout. `trailing`: it is that of a "
        "calm day, and widens with the trailing volatility, as the asset's `trailing` says.",
    )
    spread_power: float = _quantity(
        "1",
        "Power of (trailing / calm volatility) by which a trailing spread widens; 1.5 makes 1 bp "
        "into 50 bp at 13.6 times the calm volatility.",
        1.5,
        ge=0,
        le=3,
    )
    most_spread_bps: float = _quantity("bp", "Widest trailing spread.", 500.0, ge=0, lt=20_000)

    @model_validator(mode="after")
    def _check_widest(self) -> VenueTermsConfig:
        if self.spread == "trailing" and not 0.0 < self.spread_bps <= self.most_spread_bps:
            raise ValueError(
                f"a trailing spread starts at spread_bps ({self.spread_bps:g}), which must be "
                f"above 0 and at most most_spread_bps ({self.most_spread_bps:g})"
            )
        return self


class TrailingConfig(Settings):
    """Trailing volatility and turnover of an asset, which set its depth and spread.

    Both are exponentially weighted over one-minute observations; they start calm.
    """

    calm_volatility: float = _quantity(
        _PER_ROOT_DAY, "Volatility at which the plain terms hold, and of the start.", gt=0
    )
    volatility_half_life_minutes: float = _quantity(
        "min", "Half-life of the weights of squared returns.", 60.0, gt=0
    )
    least_volatility: float = _quantity(
        "multiple of the calm one", "Least trailing volatility that counts.", 0.5, gt=0, le=1
    )
    turnover: Annotated[tuple[Point, ...], Field(strict=False)] = _quantity(
        "[h, multiple of daily_volume_usd]",
        "Daily turnover over time, linear between points, constant beyond them.",
        ((0.0, 1.0),),
        min_length=1,
    )
    turnover_half_life_hours: float = _quantity(
        "h", "Half-life of the weights of turnover.", 4.0, gt=0
    )
    counts_trades: bool = Field(
        False, description="Whether what agents trade adds to the turnover that is given."
    )

    @model_validator(mode="after")
    def _check_turnover(self) -> TrailingConfig:
        hours = [hour for hour, _ in self.turnover]
        if any(after <= before for before, after in pairwise(hours)):
            raise ValueError(f"hours of turnover must rise; they are {hours}")
        if min(multiple for _, multiple in self.turnover) <= 0.0:
            raise ValueError("multiples of turnover must be above 0")
        return self
