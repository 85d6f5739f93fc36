"""Scenarios: validated descriptions of a world, its people, its shocks and what to record.

A scenario is a YAML file. Its kinds of venues, populations and shocks come from the registry, so that
`undertow schema` documents whatever is registered, plug-ins included.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, create_model

from experiments.faults import fault, nearest, validate
from experiments.kinds import mechanisms, populations, shock_kinds
from experiments.overrides import apply_overrides
from experiments.yaml_source import Source, read_yaml
from sim.errors import InputError, ScenarioError
from sim.reference.config import CorrelationConfig, ImpactConfig, PriceConfig, VenueTermsConfig
from sim.registry import Config
from sim.units import parse_duration

Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(ge=0.0, le=3.2e7, json_schema_extra={"unit": "seconds, or text such as 6h"}),
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+-]{0,62}$")]
SUFFIXES = (".yaml", ".yml")
_MAX_BYTES = 1 << 20


class BlockConfig(Config):
    """When a chain makes blocks."""

    kind: Literal["fixed", "exponential"] = Field(
        "fixed", description="Fixed intervals, or exponential ones with the given mean."
    )
    interval_seconds: float = Field(
        gt=0.0, le=86_400.0, description="Mean time between blocks.", json_schema_extra={"unit": "s"}
    )


class FeeMarketConfig(Config):
    """How a chain sells its block space."""

    kind: Literal["eip1559", "first_price"] = Field(
        "eip1559", description="Base fee with priority fees, or pay your bid."
    )
    base_fee_gwei: float = Field(
        0.0, ge=0.0, description="Base fee at the start.", json_schema_extra={"unit": "gwei"}
    )
    floor_gwei: float = Field(
        0.0, ge=0.0, description="Least base fee.", json_schema_extra={"unit": "gwei"}
    )


class TokenConfig(Config):
    """A token worth a fixed number of units of an asset."""

    symbol: Name = Field(description="Symbol on the chain.")
    asset: Name = Field(description="Asset that prices it.")
    scale: float = Field(
        1.0, gt=0.0, description="Units of the asset one token is worth, such as an exchange rate."
    )


class ChainConfig(Config):
    """A chain: block clock, block space and the tokens that live on it."""

    blocks: BlockConfig
    gas_limit: int = Field(
        30_000_000, gt=0, le=10**12, description="Gas in a block.", json_schema_extra={"unit": "gas"}
    )
    fee_market: FeeMarketConfig = FeeMarketConfig()
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


class ReferenceMarketConfig(Config):
    """The reference market as a place where agents trade."""

    interval_seconds: float = Field(
        1.0, gt=0.0, description="Time between its auctions.", json_schema_extra={"unit": "s"}
    )


class RecordConfig(Config):
    """What a run records, and how often."""

    sample_seconds: Duration = Field(60.0, description="Between samples of pools, markets and prices.")
    position_seconds: Duration = Field(3_600.0, description="Between samples of debtors.")
    equity_seconds: Duration = Field(600.0, description="Between samples of equity.")
    check_seconds: Duration = Field(
        3_600.0, description="Between checks of conservation and of every protocol's invariants."
    )


class ScenarioBase(Config):
    """A world, its people, its shocks, and what to record."""

    version: Literal[1] = Field(description="Version of this format.")
    name: Name = Field(description="Name of the scenario.")
    description: str = Field("", description="What it shows, and what is counterfactual in it.")
    horizon: Duration = Field(description="Length of the run, warm-up included.")
    warmup: Duration = Field(
        0.0, description="Time before the first shock that statistics leave out."
    )
    price_step_seconds: float = Field(
        1.0, gt=0.0, description="Grid of the fundamental prices.", json_schema_extra={"unit": "s"}
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

    venues: dict[str, Any] = {}
    populations: dict[str, Any] = {}
    shocks: list[Any] = []


@functools.lru_cache(maxsize=8)
def _model_of(venues: tuple[Any, ...], people: tuple[Any, ...], shocks: tuple[Any, ...]) -> Any:
    def one_of(kinds: tuple[Any, ...]) -> Any:
        if len(kinds) == 1:
            return kinds[0]
        return Annotated[functools.reduce(operator.or_, kinds), Field(discriminator="kind")]

    class TimedShock(Config):
        """A shock and its time."""

        at: Duration = Field(description="When, since the start of the run.")
        do: one_of(shocks)  # type: ignore[valid-type]

    return create_model(
        "Scenario",
        __base__=Scenario,
        __doc__=ScenarioBase.__doc__,
        venues=(dict[Name, one_of(venues)], Field(default={}, description="Protocols by name.")),
        populations=(
            dict[Name, one_of(people)],
            Field(default={}, description="Participants by name."),
        ),
        shocks=(list[TimedShock], Field(default=[], description="What happens, in any order.")),
    )


def scenario_model() -> type[Scenario]:
    """Return the pydantic model of a scenario with every registered kind."""
    venues = tuple(m.config for m in mechanisms().values() if m.kind != "reference_market")
    people = tuple(p.config for p in populations().values())
    return cast(
        "type[Scenario]",
        _model_of(venues, people, tuple(s.config for s in shock_kinds().values())),
    )


# --- finding and reading -------------------------------------------------------------------------


def shipped_scenarios() -> dict[str, Any]:
    """Return the scenarios that come with the package: name -> file, in alphabetical order."""
    folder = files("experiments") / "scenarios"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    return {entry.name.removesuffix(".yaml"): entry for entry in sorted(found, key=lambda e: e.name)}


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
    if path.suffix in SUFFIXES or path.exists():
        return read_yaml(name, _bytes_of(path))
    near = get_close_matches(name, shipped, 3)
    hint = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else "; shipped:"
    raise ScenarioError(
        f"no scenario '{name}'{hint} {'' if near else ', '.join(shipped)}".rstrip()
        + " (a file of your own ends in .yaml)"
    )


def _bytes_of(path: Path) -> bytes:
    try:
        if not path.is_file():
            why = "is a folder" if path.is_dir() else "does not exist"
            raise ScenarioError(f"{path} {why}; give the path of a YAML file")
        with path.open("rb") as file:
            return file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ScenarioError(f"{path} cannot be read: {error.strerror}") from error


def load_scenario(
    name: str, overrides: Sequence[str] = (), prices: str | None = None, until: float | None = None
) -> Scenario:
    """Return a validated scenario.

    Parameters
    ----------
    name : shipped name, or path of a YAML file
    overrides : `path=value`, as for `--set`
    prices : file of candles to replay instead of the first asset that is not fixed
    until : seconds; ends the run earlier

    Raises
    ------
    ScenarioError
        The scenario, an override or the file is wrong; names file, line, field, value and what is
        allowed.
    """
    source = read_scenario(name)
    model = scenario_model()
    if overrides:
        source = apply_overrides(source, overrides, model)
    scenario = validate(source, model)
    check_references(source, scenario)
    if prices is not None:
        scenario = with_prices(scenario, prices)
    if until is not None:
        scenario = _ending_at(scenario, until)
    return scenario


def with_prices(scenario: Scenario, file: str) -> Scenario:
    """Return the scenario with the candles of a file in place of its first moving asset."""
    from sim.reference.config import ReplayPriceConfig

    moving = [name for name, asset in scenario.assets.items() if asset.price.kind != "fixed"]
    if not moving:
        raise ScenarioError(f"{scenario.name} has no asset whose price moves; --prices has no use")
    asset = scenario.assets[moving[0]]
    replay = ReplayPriceConfig(kind="replay", file=str(Path(file).resolve()))
    changed = asset.model_copy(update={"price": replay, "impact": None})
    return scenario.model_copy(update={"assets": {**scenario.assets, moving[0]: changed}})


def _ending_at(scenario: Scenario, until: float) -> Scenario:
    if not 0.0 < until <= scenario.horizon:
        raise InputError(
            f"--until is {until:g} s; it must be above 0 and at most the horizon of "
            f"{scenario.name}, {scenario.horizon:g} s (or set a longer one: --set horizon=…)"
        )
    return scenario.model_copy(
        update={"horizon": until, "warmup": min(scenario.warmup, until / 2.0)}
    )


# --- references between parts --------------------------------------------------------------------


def check_references(source: Source, scenario: Scenario) -> None:
    """Check that every chain, token, asset and venue that is named exists.

    Raises
    ------
    ScenarioError
        One is missing; names the place, the name and what exists.
    """
    for name, chain in scenario.chains.items():
        _check_chain(source, scenario, name, chain)
    known = known_tokens(scenario)
    for name, venue in scenario.venues.items():
        place = ("venues", name)
        _check_name(source, (*place, "chain"), venue.chain, scenario.chains, "chain")
        for chain, symbol in mechanisms()[venue.kind].nodes(venue):
            where = _place_of(source, place, symbol)
            _check_name(source, where, chain, scenario.chains, "chain")
            _check_name(source, where, symbol, known[chain], f"token of chain {chain}")
    for name, people in scenario.populations.items():
        _check_population(source, scenario, name, people)
    for k, shock in enumerate(scenario.shocks):
        for field, known_names in (
            ("venue", scenario.venues),
            ("chain", scenario.chains),
            ("population", scenario.populations),
        ):
            value = getattr(shock.do, field, None)
            if value is not None:
                _check_name(source, ("shocks", k, "do", field), value, known_names, field)
        if shock.at > scenario.horizon:
            raise fault(
                source,
                ("shocks", k, "at"),
                f"{shock.at:g} s lies beyond the horizon of {scenario.horizon:g} s",
            )


def known_tokens(scenario: Scenario) -> dict[str, list[str]]:
    """Return the symbols of each chain: declared ones, and those that venues issue."""
    known = {
        name: [token if isinstance(token, str) else token.symbol for token in chain.tokens]
        for name, chain in scenario.chains.items()
    }
    for name, venue in scenario.venues.items():
        mechanism = mechanisms()[venue.kind]
        for chain, symbol in mechanism.issues(name, venue):
            known.get(chain, []).append(symbol)
    return known


def _check_chain(source: Source, scenario: Scenario, name: str, chain: ChainConfig) -> None:
    symbols = [token if isinstance(token, str) else token.symbol for token in chain.tokens]
    for k, token in enumerate(chain.tokens):
        asset = token if isinstance(token, str) else token.asset
        _check_name(source, ("chains", name, "tokens", k), asset, scenario.assets, "asset")
        if symbols.index(symbols[k]) < k:
            raise fault(source, ("chains", name, "tokens", k), f"'{symbols[k]}' is listed twice")
    _check_name(source, ("chains", name, "native"), chain.native, symbols, "token of the chain")


def _check_population(source: Source, scenario: Scenario, name: str, people: Any) -> None:
    place = ("populations", name)
    for field in ("chain", "other_chain"):
        if (value := getattr(people, field, None)) is not None:
            _check_name(source, (*place, field), value, scenario.chains, "chain")
    for field in ("venue", "market", "pool", "bridge"):
        if (value := getattr(people, field, None)) is not None:
            _check_name(source, (*place, field), value, scenario.venues, "venue")
    for field in ("venues", "pools", "markets", "bridges"):
        for k, value in enumerate(getattr(people, field, None) or ()):
            _check_name(source, (*place, field, k), value, scenario.venues, "venue")


def _place_of(source: Source, place: tuple[str | int, ...], symbol: str) -> tuple[str | int, ...]:
    """Return the most exact place of a symbol below a place that the file has a line for."""
    found = [p for p in source.lines if p[: len(place)] == place and p[-1] == symbol]
    entry: Any = source.data
    for step in place:
        entry = entry.get(step, {}) if isinstance(entry, dict) else {}
    tokens = entry.get("tokens") if isinstance(entry, dict) else None
    if isinstance(tokens, list) and symbol in tokens:
        found.append((*place, "tokens", tokens.index(symbol)))
    return found[-1] if found else place


def _check_name(
    source: Source, place: tuple[str | int, ...], name: str, known: Iterable[str], what: str
) -> None:
    if name not in list(known):
        raise fault(source, place, f"there is no {what} '{name}'{nearest(name, known)}")
