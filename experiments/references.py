"""References between the parts of a scenario: every name that a part uses must exist.

A field's name says what it refers to, in configurations of any depth and kind, plug-ins included:
`pool` and `venues` name pools, `market` a lending market, `cdp` a CDP market, `llamma` a crvUSD
market, `vault` a tranche
vault, `feed` an oracle, `bridge` a bridge, `staking` a staking protocol, `chain` a chain, `token` a
token of it. What only a built world can tell is refused there, and `placed` finds the line that it
speaks of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from experiments.faults import entry_at, fault, nearest
from experiments.kinds import mechanisms
from experiments.shock_times import shock_times
from experiments.yaml_source import Place, Source, show_value
from sim.errors import InputError, ScenarioError

if TYPE_CHECKING:
    from experiments.scenario import ChainConfig, Scenario

EXCHANGE = "exchange"  # name of the reference market as a chain and as a venue
OUTSIDE = "outside"  # name of the accounts outside the scenario


class _Role(NamedTuple):
    """What a venue must be where a field names it."""

    noun: str
    fits: Callable[[Any], bool]  # of its configuration
    is_local: bool = True  # it must be on a chain of the population that names it


_ANY = _Role("venue", lambda _: True)
_POOL = _Role("pool", lambda venue: mechanisms()[venue.kind].quote is not None)
_MARKET = _Role("lending market", lambda venue: venue.kind == "lending")
_CDP = _Role("CDP market", lambda venue: venue.kind == "cdp")
_LLAMMA = _Role("crvUSD market", lambda venue: venue.kind == "llamma")
_BRIDGE = _Role("bridge", lambda venue: hasattr(venue, "other_chain"))
_FEED = _Role("oracle", lambda venue: venue.kind == "oracle", is_local=False)
_RATES = ("liquid_staking", "tranches")
_STAKING = _Role("staking protocol", lambda venue: venue.kind in _RATES, is_local=False)
_VAULT = _Role("tranche vault", lambda venue: venue.kind == "tranches")
_VENUES = {
    "venue": _ANY,
    "venues": _POOL,
    "pool": _POOL,
    "pools": _POOL,
    "unwind_pool": _POOL,
    "exit_pools": _POOL,
    "fear_pool": _POOL._replace(is_local=False),
    "market": _MARKET,
    "flash_market": _MARKET,
    "cdp": _CDP,
    "llamma": _LLAMMA,
    "vault": _VAULT,
    "bridge": _BRIDGE,
    "bridges": _BRIDGE,
    "feed": _FEED,
    "feeds": _FEED,
    "staking": _STAKING,
}
_TOKENS = {  # field: field that names the token's chain
    "token": "chain",
    "other_token": "other_chain",
    "quote_token": "chain",
    "start_tokens": "chain",
    "inventory_tokens": "chain",
    "stuck_assets": "chain",
    "asset": "chain",
    "collateral": "chain",
    "debt": "chain",
}


def check_references(source: Source, scenario: Scenario) -> None:
    """Check that every chain, token, asset, venue and population that is named exists and fits.

    Raises
    ------
    ScenarioError
        One does not; names the place, the name and what exists.
    """
    _check_names(source, scenario)
    for name, chain in scenario.chains.items():
        _check_chain(source, scenario, name, chain)
    known = known_tokens(source, scenario)
    for name in scenario.venues:
        _check_venue(source, scenario, name, known)
    for name, people in scenario.populations.items():
        place = ("populations", name)
        _check_fields(source, scenario, place, people)
        _check_tokens(source, scenario, place, people, known)
    for k, time in enumerate(_shock_times(source, scenario)):
        _check_shock(source, scenario, k, time)
    for k, pair in enumerate(scenario.correlations):
        for j, asset in enumerate(pair.assets):
            where = ("correlations", k, "assets", j)
            _check_name(source, where, asset, scenario.assets, "asset")
    if not scenario.warmup < scenario.horizon:
        why = f"{scenario.warmup:g} s is not less than the horizon of {scenario.horizon:g} s"
        raise fault(source, ("warmup",), f"{why}; shorten it, or lengthen the horizon")


def known_tokens(source: Source, scenario: Scenario) -> dict[str, list[str]]:
    """Return the symbols of each chain: declared ones, and those that venues issue.

    Raises
    ------
    ScenarioError
        A venue issues a token on a chain that does not exist, or one that is there already.
    """
    known = {name: _symbols(chain) for name, chain in scenario.chains.items()}
    for name, venue in scenario.venues.items():
        place = ("venues", name)
        _check_fields(source, scenario, place, venue)
        for chain, symbol in mechanisms()[venue.kind].issues(name, venue):
            if symbol in known[chain]:
                where = _place_of(source, place, symbol)
                why = (
                    f"issues '{symbol}', which chain {chain} has already; name its token otherwise"
                )
                raise fault(source, where, why)
            known[chain].append(symbol)
    return known


def _symbols(chain: ChainConfig) -> list[str]:
    return [token if isinstance(token, str) else token.symbol for token in chain.tokens]


def _check_names(source: Source, scenario: Scenario) -> None:
    """Refuse names that the world gives to something else."""
    for section in ("chains", "venues"):
        if scenario.reference_market is not None and EXCHANGE in getattr(scenario, section):
            why = "is the name of the reference market; name it otherwise"
            raise fault(source, (section, EXCHANGE), f"'{EXCHANGE}' {why}")
    for name in scenario.populations:
        if name == OUTSIDE or name in mechanisms():
            why = "is the name of an account group of the world; name the population otherwise"
            raise fault(source, ("populations", name), f"'{name}' {why}")


def _check_chain(source: Source, scenario: Scenario, name: str, chain: ChainConfig) -> None:
    symbols = _symbols(chain)
    for k, token in enumerate(chain.tokens):
        place: Place = ("chains", name, "tokens", k)
        if symbols.index(symbols[k]) < k:
            raise fault(source, place, f"'{symbols[k]}' is listed twice; list it once")
        if isinstance(token, str):
            _check_name(source, place, token, scenario.assets, "asset")
        else:
            _check_name(source, (*place, "asset"), token.asset, scenario.assets, "asset")
    native = ("chains", name, "native")
    _check_name(source, native, chain.native, symbols, "token", f" on chain {name}")


def _check_venue(
    source: Source, scenario: Scenario, name: str, known: dict[str, list[str]]
) -> None:
    venue, place = scenario.venues[name], ("venues", name)
    _check_tokens(source, scenario, place, venue, known)
    nodes = list(mechanisms()[venue.kind].nodes(venue))
    for k, (chain, symbol) in enumerate(nodes):
        where = _place_of(source, place, symbol)
        _check_name(source, where, symbol, known[chain], "token", f" on chain {chain}")
        if (chain, symbol) in nodes[:k]:
            raise fault(source, where, f"'{symbol}' is named twice; name two different tokens")
    if hasattr(venue, "other_token"):
        _check_same_asset(source, scenario, place, venue)


def _check_same_asset(source: Source, scenario: Scenario, place: Place, venue: Any) -> None:
    """Refuse a bridge between tokens that are worth different assets."""
    assets = {
        (chain, token if isinstance(token, str) else token.symbol): (
            token if isinstance(token, str) else token.asset
        )
        for chain, config in scenario.chains.items()
        for token in config.tokens
    }
    here = assets.get((venue.chain, venue.token))
    there = assets.get((venue.other_chain, venue.other_token))
    if here and there and here != there:
        why = f"'{venue.other_token}' is of asset {there}, but '{venue.token}' is of asset {here}"
        raise fault(source, (*place, "other_token"), f"{why}; give a token of the same asset")


def _shock_times(source: Source, scenario: Scenario) -> list[float]:
    try:
        return shock_times(scenario)
    except InputError as error:
        where, _, why = str(error).partition(": ")
        k = int(where.removeprefix("shocks[").partition("]")[0])
        raise fault(source, ("shocks", k, "after"), why) from None


def _check_shock(source: Source, scenario: Scenario, k: int, time: float) -> None:
    shock, place = scenario.shocks[k], ("shocks", k, "do")
    _check_fields(source, scenario, place, shock.do)
    if time > scenario.horizon:
        why = f"{time:g} s lies beyond the horizon of {scenario.horizon:g} s"
        where = ("shocks", k, "at" if shock.after is None else "delay")
        raise fault(source, where, f"{why}; bring it forward, or lengthen the horizon")
    makers = [
        mechanism.kind
        for mechanism in mechanisms().values()
        if any(kind.kind == shock.do.kind for kind in mechanism.shocks)
    ]
    if makers and hasattr(shock.do, "venue"):
        kind = scenario.venues[shock.do.venue].kind
        if kind not in makers:
            why = f"'{shock.do.venue}' is of kind {kind}; give one of kind {' or '.join(makers)}"
            fitting = [name for name, venue in scenario.venues.items() if venue.kind in makers]
            raise fault(source, (*place, "venue"), f"{why}{nearest(shock.do.venue, fitting)}")


# --- fields by their names ------------------------------------------------------------------------


def _names_in(config: Any, place: Place) -> Iterator[tuple[str, Place, str, Any]]:
    """Yield (field, place, name, its configuration) of every text in a configuration."""
    for field in type(config).model_fields:
        value = getattr(config, field)
        items = enumerate(value) if isinstance(value, list | tuple) else ((None, value),)
        for k, item in items:
            here = (*place, field) if k is None else (*place, field, k)
            if isinstance(item, str):
                yield field, here, item, config
            elif isinstance(item, BaseModel):
                yield from _names_in(item, here)
            elif isinstance(item, dict):
                for key, entry in item.items():
                    if isinstance(entry, BaseModel):
                        yield from _names_in(entry, (*here, key))


def _check_fields(source: Source, scenario: Scenario, place: Place, config: Any) -> None:
    """Check the chains, venues and populations that a configuration names."""
    for field, where, name, _ in _names_in(config, place):
        if field in {"chain", "other_chain"}:
            _check_name(source, where, name, scenario.chains, "chain")
        elif field == "population":
            _check_name(source, where, name, scenario.populations, "population")
        elif field in _VENUES:
            _check_role(source, scenario, where, name, _VENUES[field])
    chains = [getattr(config, field, None) for field in ("chain", "other_chain")]
    if chains[0] is not None and chains[0] == chains[1]:
        why = f"'{chains[1]}' is the chain itself; name another chain"
        raise fault(source, (*place, "other_chain"), why)
    if place[0] == "populations" and chains[0] is not None:
        _check_local(source, scenario, place, config, chains)


def _check_role(source: Source, scenario: Scenario, place: Place, name: str, role: _Role) -> None:
    fitting = [other for other, venue in scenario.venues.items() if role.fits(venue)]
    if name in scenario.venues and name not in fitting:
        article = "an" if role.noun[0] in "aeiou" else "a"
        why = f"'{name}' is of kind {scenario.venues[name].kind}, not {article} {role.noun}"
        raise fault(source, place, f"{why}{nearest(name, fitting)}")
    _check_name(source, place, name, fitting, role.noun)


def _check_local(
    source: Source, scenario: Scenario, place: Place, config: Any, chains: list[Any]
) -> None:
    for field, where, name, _ in _names_in(config, place):
        if field in _VENUES and _VENUES[field].is_local:
            chain = scenario.venues[name].chain
            if chain not in chains:
                homes = " and ".join(f"'{home}'" for home in chains if home)
                why = f"'{name}' is on chain '{chain}'; this population is on {homes}"
                raise fault(source, where, f"{why}: name one there, or change its chain")


def _check_tokens(
    source: Source, scenario: Scenario, place: Place, config: Any, known: dict[str, list[str]]
) -> None:
    """Check the tokens that a part names: on its chains, or reserves of its market."""
    market = getattr(config, "market", None)
    for field, where, symbol, owner in _names_in(config, place):
        if field not in _TOKENS:
            continue
        chain = getattr(owner, _TOKENS[field], None)
        if market is not None:
            reserves = getattr(scenario.venues[market], "reserves", {})
            _check_name(source, where, symbol, reserves, "reserve", f" in market {market}")
        elif chain is not None:
            _check_name(source, where, symbol, known[chain], "token", f" on chain {chain}")


def _place_of(source: Source, place: Place, symbol: str) -> Place:
    """Return the first place inside `place` where a symbol stands, as a key or as a value."""
    return next(_places_of(entry_at(source.data, place), place, symbol), place)


def _places_of(data: Any, place: Place, symbol: str) -> Iterator[Place]:
    entries = data.items() if isinstance(data, dict) else enumerate(data)
    for key, entry in entries:
        if symbol in (key, entry):
            yield (*place, key)
        elif isinstance(entry, dict | list):
            yield from _places_of(entry, (*place, key), symbol)


def _check_name(
    source: Source, place: Place, name: str, known: Iterable[str], noun: str, where: str = ""
) -> None:
    if name not in list(known):
        why = f"there is no {noun} {show_value(name)}{where}"
        raise fault(source, place, f"{why}{nearest(name, known)}")


# --- faults found while a world is built ----------------------------------------------------------

_DOTTED = re.compile(r"(venues|populations|assets)\.([\w+-]+)((?:\.[\w+-]+)*)(?:: | )")
_WORD = re.compile(r"[\w+-]+")


def placed(scenario: Scenario, error: InputError) -> InputError:
    """Return a fault that the world found, with the line of the scenario that it speaks of.

    The message begins with the place (`venues.eth-usd.fee: ...`), or names what it speaks of.
    """
    source = scenario.source
    if source is None:
        return error
    text = str(error)
    place: Place = ()
    if match := _DOTTED.match(text):
        place = (match[1], match[2], *match[3].split(".")[1:])
        text = text[match.end() :]
    elif text.startswith("step"):
        place = ("price_step_seconds",)
    elif text.startswith("correlation"):
        place = ("correlations",)
    else:
        place = _first_named(scenario, text)
        text = text.removeprefix(f"{place[1]}: ") if place else text
    return fault(source, place, text) if place else ScenarioError(f"{source.name}: {text}")


def _first_named(scenario: Scenario, text: str) -> Place:
    """Return the place of the first population, venue or asset that a text names."""
    for word in _WORD.findall(text):
        for section in ("populations", "venues", "assets"):
            if word in getattr(scenario, section):
                return (section, word, "price") if section == "assets" else (section, word)
    return ()
