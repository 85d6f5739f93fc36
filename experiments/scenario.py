"""Scenarios: validated descriptions of a world, its people, its shocks and what to record.

A scenario is a YAML file. Its kinds of venues, populations and shocks come from the registry, so
that `undertow schema` documents whatever is registered, plug-ins included.
"""

from __future__ import annotations

import copy
import functools
import operator
import stat
from datetime import datetime
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic_core import PydanticKnownError

from experiments.book_files import with_known_books
from experiments.faults import fault, validate
from experiments.kinds import mechanisms, populations, shock_kinds
from experiments.overrides import apply_overrides
from experiments.price_files import with_known_candles
from experiments.references import check_references
from experiments.shock_times import with_times
from experiments.yaml_source import MAX_BYTES, Place, Source, read_yaml
from sim.background import BackgroundConfig
from sim.bids import with_bid
from sim.errors import InputError, ScenarioError
from sim.exchange import ExchangeTerms
from sim.reference.config import (
    CorrelationConfig,
    ImpactConfig,
    PriceConfig,
    TrailingConfig,
    VenueTermsConfig,
)
from sim.registry import Config
from sim.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHORTEST = 1e-3  # seconds: the finest grid of prices
_LONGEST = 3.2e7  # seconds: a year, in ticks well within 53 bits


def _at_least_one_second(seconds: float) -> float:
    if 0.0 < seconds < 1.0:
        raise ValueError(f"{seconds:g} s is too short; give 0 for never, or at least 1 s")
    return seconds


def _is_possible(seconds: float) -> float:
    if seconds < _SHORTEST:
        raise ValueError(
            f"{seconds:g} s is no length of a run; it must be at least {_SHORTEST:g} s"
        )
    return seconds


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(ge=0.0, le=_LONGEST),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": _LONGEST},
                {"type": "string", "pattern": r"^\s*[0-9]*\.?[0-9]+([eE][0-9]+)?\s*[a-zA-Z]*\s*$"},
            ],
            "unit": "seconds, or text such as 6h",
        }
    ),
]


def _is_whole(value: Any) -> Any:
    if type(value) is not int:  # true and 1.0 equal 1, but are no version
        raise PydanticKnownError("literal_error", {"expected": "1"})
    return value


Version = Annotated[Literal[1], BeforeValidator(_is_whole)]
Every = Annotated[Duration, AfterValidator(_at_least_one_second)]  # 0: never
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+-]{0,62}$")]
SUFFIXES = (".yaml", ".yml")


class BlockConfig(Config):
    """When a chain makes blocks."""

    kind: Literal["fixed", "exponential"] = Field(
        "fixed", description="Fixed intervals, or exponential ones with the given mean."
    )
    interval_seconds: float = Field(
        ge=0.01,
        le=86_400.0,
        description="Mean time between blocks.",
        json_schema_extra={"unit": "s"},
    )


class FeeMarketConfig(Config):
    """How a chain sells its block space."""

    kind: Literal["eip1559", "first_price"] = Field(
        "eip1559", description="Base fee with priority fees, or pay your bid."
    )
    base_fee_gwei: float = Field(
        0.0,
        ge=0.0,
        description="Base fee at the start; under first price the going price, which plain orders "
        "bid.",
        json_schema_extra={"unit": "gwei"},
    )
    floor_gwei: float = Field(
        0.0,
        ge=0.0,
        description="Least base fee, or least going price.",
        json_schema_extra={"unit": "gwei"},
    )


class TokenConfig(Config):
    """A token worth a fixed number of units of an asset."""

    symbol: Name = Field(description="Symbol on the chain.")
    asset: Name = Field(description="Asset that prices it.")
    scale: float = Field(
        1.0, gt=0.0, description="Units of the asset one token is worth, such as an exchange rate."
    )


class MempoolConfig(Config):
    """How many orders wait for a chain's blocks, how long, and how a bid is raised."""

    lifetime_seconds: Duration = Field(
        0.0, description="Time after which a waiting order is dropped; 0: only its sender's own."
    )
    gas: int = Field(
        0,
        ge=0,
        le=10**15,
        description="Gas of all orders that may wait, background included; beyond it the cheapest "
        "are dropped. 0: no limit.",
        json_schema_extra={"unit": "gas"},
    )
    replacement: float = Field(
        0.1, gt=0.0, le=10.0, description="Least raise of a bid that replaces another, a fraction."
    )


class ChainConfig(Config):
    """A chain: block clock, block space and the tokens that live on it."""

    blocks: BlockConfig
    gas_limit: int = Field(
        30_000_000,
        gt=0,
        le=10**12,
        description="Gas in a block.",
        json_schema_extra={"unit": "gas"},
    )
    fee_market: FeeMarketConfig = FeeMarketConfig()
    ordering: Literal["priority_fee", "first_come"] = Field(
        "priority_fee", description="Which orders go first: the highest bid, or the first to come."
    )
    losing_orders: Literal["land", "revert_protected"] = Field(
        "land",
        description="What becomes of an order that fails: it takes its place and pays, or it is "
        "left out of the block for free.",
    )
    account_order: Literal["free", "nonce"] = Field(
        "free",
        description="Orders of one account go by their bids, or in the order of their submission: "
        "one that is stuck holds up those after it.",
    )
    mempool: MempoolConfig = MempoolConfig()
    background: BackgroundConfig | None = Field(
        None, description="Demand for block space beside the agents'; none when left out."
    )
    native: Name = Field(description="Token that pays the gas.")
    tokens: list[Name | TokenConfig] = Field(
        min_length=1, description="Tokens: the name of an asset, or {symbol, asset, scale}."
    )


class AssetConfig(Config):
    """An asset of the reference market: its fundamental price, and the terms of trading it."""

    price: PriceConfig
    impact: ImpactConfig | None = Field(
        None, description="Impact of trades on the reference price; none when left out."
    )
    terms: VenueTermsConfig = Field(
        VenueTermsConfig(spread_bps=0.0, taker_fee_bps=0.0),
        description="Spread and taker fee of the reference market.",
    )
    trailing: TrailingConfig | None = Field(
        None,
        description="Trailing volatility and turnover, for `impact.depth: trailing` and "
        "`terms.spread: trailing`; without either they have no effect.",
    )

    @model_validator(mode="after")
    def _check_trailing(self) -> AssetConfig:
        asked = [
            name
            for name, is_trailing in (
                ("impact.depth", self.impact is not None and self.impact.depth == "trailing"),
                ("terms.spread", self.terms.spread == "trailing"),
            )
            if is_trailing
        ]
        if asked and self.trailing is None:
            raise ValueError(
                f"{' and '.join(asked)} is trailing, but `trailing` is left out; give it a "
                "calm_volatility"
            )
        return self


class ReferenceMarketConfig(ExchangeTerms):
    """The reference market as a place where agents trade."""

    interval_seconds: float = Field(
        1.0,
        ge=0.01,
        le=86_400.0,
        description="Time between its auctions.",
        json_schema_extra={"unit": "s"},
    )


class RecordConfig(Config):
    """What a run records, and how often."""

    sample_seconds: Every = Field(
        60.0, description="Between samples of pools, markets and prices; 0: none."
    )
    position_seconds: Every = Field(
        3_600.0, description="Between samples of debtors and of holdings in venues; 0: none."
    )
    holding_accounts: bool = Field(
        False, description="List holdings account by account, not only by population."
    )
    equity_seconds: Every = Field(
        600.0, description="Between samples of equity and of depth; 0: none."
    )
    check_seconds: Every = Field(
        3_600.0,
        description="Between checks of conservation and of every protocol's invariants; 0: only at "
        "the end.",
    )


class ScenarioBase(Config):
    """A world, its people, its shocks, and what to record."""

    version: Version = Field(description="Version of this format.")
    name: Name = Field(description="Name of the scenario.")
    description: str = Field("", description="What it shows, and what is counterfactual in it.")
    horizon: Annotated[Duration, AfterValidator(_is_possible)] = Field(
        description="Length of the run, warm-up included."
    )
    warmup: Duration = Field(
        0.0, description="Time before the first shock that statistics leave out."
    )
    price_step_seconds: float = Field(
        1.0,
        ge=0.001,
        description="Grid of the fundamental prices.",
        json_schema_extra={"unit": "s"},
    )
    step_seconds: float | None = Field(
        None,
        gt=0.0,
        description="What one Mesa step advances; the longest block interval when left out.",
        json_schema_extra={"unit": "s"},
    )
    assets: dict[Name, AssetConfig] = Field(min_length=1, description="Assets by name.")
    correlations: list[CorrelationConfig] = Field(
        [], description="Correlations of the diffusive parts of prices."
    )
    reference_market: ReferenceMarketConfig | None = Field(
        None, description="Lets agents trade on the reference market; they cannot when left out."
    )
    chains: dict[Name, ChainConfig] = Field(min_length=1, description="Chains by name.")
    records: RecordConfig = RecordConfig()
    mempool_capacity: int = Field(
        16_384, ge=16, le=1 << 22, description="Orders that can wait on all chains together."
    )


class Scenario(ScenarioBase):
    """A scenario of the kinds registered when it was read; see `scenario_model`."""

    venues: dict[str, Any] = Field(default={})
    populations: dict[str, Any] = Field(default={})
    shocks: list[Any] = Field(default=[])
    _source: Source | None = PrivateAttr(None)

    @property
    def source(self) -> Source | None:
        """Where the scenario was read, for the lines of faults; None when it was made in Python."""
        return self._source

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what the scenario says; its class is made anew from the registry."""
        return _revive, (self.model_dump_json(), self._source)


def _revive(text: str, source: Source | None) -> Scenario:
    scenario = scenario_model().model_validate_json(text)
    scenario._source = source  # noqa: SLF001
    return scenario


@functools.lru_cache(maxsize=8)
def _model_of(venues: tuple[Any, ...], people: tuple[Any, ...], shocks: tuple[Any, ...]) -> Any:
    def one_of(kinds: tuple[Any, ...]) -> Any:
        if len(kinds) == 1:
            return kinds[0]
        return Annotated[functools.reduce(operator.or_, kinds), Field(discriminator="kind")]

    def by_name(kinds: tuple[Any, ...]) -> Any:
        return dict[Name, one_of(kinds)]  # type: ignore[misc]

    class TimedShock(Config):
        """A shock and its time: `at` a time, or `after` another shock and a `delay`."""

        name: Name | None = Field(None, description="Name by which others refer to it.")
        at: Duration | None = Field(None, description="When, since the start of the run.")
        after: Name | int | None = Field(
            None, description="Name, or place counted from 0, of the shock to which it reacts."
        )
        delay: Duration = Field(0.0, description="Time from that shock to this one.")
        do: one_of(shocks)  # type: ignore[valid-type]

        @model_validator(mode="after")
        def _check(self) -> TimedShock:
            if (self.at is None) == (self.after is None):
                raise ValueError("give either at or after")
            if self.at is not None and self.delay:
                raise ValueError("delay goes with after; add it to at instead")
            return self

    fields: dict[str, Any] = {
        "venues": (by_name(venues), Field(default={}, description="Protocols by name.")),
        "populations": (by_name(people), Field(default={}, description="Participants by name.")),
        "shocks": (
            list[TimedShock],
            Field(default=[], description="What happens, in any order."),
        ),
    }
    return create_model("Scenario", __base__=Scenario, __doc__=ScenarioBase.__doc__, **fields)


def scenario_model() -> type[Scenario]:
    """Return the pydantic model of a scenario with every registered kind."""
    venues = tuple(m.config for m in mechanisms().values() if m.kind != "reference_market")
    people = tuple(with_bid(p.config) for p in populations().values())
    return cast(
        "type[Scenario]",
        _model_of(venues, people, tuple(s.config for s in shock_kinds().values())),
    )


# --- finding and reading -------------------------------------------------------------------------


def shipped_scenarios() -> dict[str, Any]:
    """Return the scenarios that come with the package: name -> file, in alphabetical order."""
    folder = files("experiments") / "scenarios"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    return dict(sorted((entry.name.removesuffix(".yaml"), entry) for entry in found))


def read_scenario(name: str) -> Source:
    """Return the unvalidated source of a scenario: a shipped name, or the path of a YAML file.

    Raises
    ------
    ScenarioError
        There is no such scenario or file, or it is not readable YAML.
    """
    shipped = shipped_scenarios()
    if name in shipped:
        return read_yaml(f"{name}.yaml", shipped[name].read_bytes())
    path = Path(name)
    if path.suffix in SUFFIXES or _is_file(path):
        return read_yaml(name, bytes_of(path))
    near = get_close_matches(name, shipped, 3)
    offered = (
        f"did you mean {' or '.join(map(repr, near))}?"
        if near
        else f"shipped: {', '.join(shipped)}"
    )
    raise ScenarioError(f"no scenario {name!r}; {offered} (a file of your own ends in .yaml)")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long, or a folder that may not be searched
        return False


def bytes_of(path: Path) -> bytes:
    """Return what a file holds; refuses folders, devices and what cannot be read."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            why = "is a folder" if stat.S_ISDIR(mode) else "is not a regular file"
            raise ScenarioError(f"{path} {why}; give the path of a YAML file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, ScenarioError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise ScenarioError(
            f"{path} cannot be read: {reason}; give the path of a YAML file"
        ) from None


def _folder_of(name: str) -> Path:
    """Return the folder of a scenario's file, from which its files are named."""
    shipped = shipped_scenarios()
    return Path(str(shipped[name])).parent if name in shipped else Path(name).resolve().parent


def load_scenario(
    name: str,
    overrides: Sequence[str] = (),
    prices: str | None = None,
    until: float | str | None = None,
    prices_start: str | None = None,
) -> Scenario:
    """Return a validated scenario.

    Parameters
    ----------
    name : shipped name, or path of a YAML file
    overrides : a sequence of texts `path=value`, as for `--set`
    prices : file of candles to replay in place of the first asset whose price moves, without impact
    until : seconds, or text such as 6h; ends the run earlier
    prices_start : opening time of the candle that is time 0; the first of the file when left out

    Raises
    ------
    ScenarioError
        The scenario, an override or a price file is wrong; names file, line, field, value and
        what is allowed.
    InputError
        An argument is of the wrong type, or `until` is not within the horizon.
    """
    _check_arguments(name, overrides)
    model = scenario_model()
    source = apply_overrides(read_scenario(name), overrides, model)
    scenario = validate(source, model)
    if prices is not None:
        source = _with_prices(source, scenario, prices, prices_start)
        scenario = validate(source, model)
    elif prices_start is not None:
        raise InputError(
            f"--prices-start is {prices_start!r} without --prices; give both, or neither"
        )
    check_references(source, scenario)
    scenario = with_times(scenario)
    scenario._source = source  # noqa: SLF001  # for the places of faults found later
    if until is not None:
        scenario = _ending_at(scenario, parse_duration(until))
    folder = _folder_of(name)
    return with_known_books(source, with_known_candles(source, scenario, folder), folder)


def _check_arguments(name: Any, overrides: Any) -> None:
    """Refuse a name that is no text, and a lone text where a sequence of them is asked for."""
    if not isinstance(name, str):
        raise InputError(
            f"{name!r} is no name of a scenario; give the name of a shipped one, or the path of "
            "a YAML file, as text"
        )
    is_sequence = isinstance(overrides, list | tuple)
    if not is_sequence or not all(isinstance(text, str) for text in overrides):
        raise InputError(
            f"overrides are {overrides!r}; give a list of texts, such as ['horizon=6h']"
        )


def check_scenario(given: Any) -> None:
    """Refuse what is no scenario, such as the name of one.

    Raises
    ------
    InputError
        It was not made by `load_scenario`.
    """
    if not isinstance(given, Scenario):
        shown = repr(given) if isinstance(given, str) else f"a {type(given).__name__}"
        name = given if isinstance(given, str) else "quiet-market"
        raise InputError(f"{shown} is not a scenario; read one first: load_scenario({name!r})")


def _with_prices(source: Source, scenario: Scenario, file: str, start: str | None) -> Source:
    """Return the source with the candles of a file in place of its first moving asset."""
    moving = [name for name, asset in scenario.assets.items() if asset.price.kind != "fixed"]
    if not moving:
        raise fault(source, ("assets",), "none has a price that moves; --prices has no use here")
    if start is not None:
        _check_time(start)
    replay = {"kind": "replay", "file": file} | ({"start": start} if start is not None else {})
    data, asset = copy.deepcopy(source.data), moving[0]
    data["assets"][asset] |= {"price": replay, "impact": None}
    place: Place = ("assets", asset, "price")
    origins: dict[Place, str] = {
        place: f"--prices {file}",
        (*place, "start"): f"--prices-start {start}",
        ("assets", asset, "impact"): f"--prices {file}",
    }
    lines = {known: line for known, line in source.lines.items() if known[:3] != place}
    return Source(source.name, data, lines, {**source.origins, **origins})


def _check_time(text: str) -> None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        why = "is not a time; write it as 2020-03-12T00:00:00Z"
        raise InputError(f"--prices-start: {text!r} {why}") from None


def _ending_at(scenario: Scenario, until: float) -> Scenario:
    """Return the scenario cut short; shocks after its new end are left out."""
    if not _SHORTEST <= until <= scenario.horizon:
        raise InputError(
            f"--until is {until:g} s; it must be at least {_SHORTEST:g} s and at most the horizon "
            f"of {scenario.name}, {scenario.horizon:g} s (or set a longer one: --set horizon=...)"
        )
    return scenario.model_copy(
        update={
            "horizon": until,
            "warmup": min(scenario.warmup, until / 2.0),
            "shocks": [shock for shock in scenario.shocks if shock.at <= until],
        }
    )
